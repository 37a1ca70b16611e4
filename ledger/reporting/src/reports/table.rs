//! An answer as columns and text cells, for the console, the terminal and files: every value exact, empty = none.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a column is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Text,
    /// RFC 3339, UTC.
    Instant,
    /// Whole number.
    Count,
    /// Share of one, as a decimal; shown in percent with one decimal.
    Share,
    /// Seconds as a decimal, of talk; shown as h:mm:ss.
    Duration,
    /// Seconds as a decimal, of waiting.
    Seconds,
    Minutes,
    /// Exact decimal; the currency stands in a column of its own.
    Money,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name in JSON and CSV.
    pub key: Cow<'static, str>,
    pub title: Cow<'static, str>,
    pub kind: Kind,
}

impl Kind {
    /// Printed flush right.
    pub fn is_number(self) -> bool {
        !matches!(self, Self::Text | Self::Instant)
    }
}

/// Columns, rows, and one row of totals per currency (over all rows and not only those shown).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
    pub totals: Vec<Vec<String>>,
    /// What the figures cover, in words.
    pub covers: String,
}

pub(super) const fn column(key: &'static str, title: &'static str, kind: Kind) -> Column {
    Column { key: Cow::Borrowed(key), title: Cow::Borrowed(title), kind }
}
