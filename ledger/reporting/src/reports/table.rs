//! An answer as columns and text cells, for the console, the terminal and files: every value exact, empty = none.

use serde::Serialize;

/// How a column is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Text,
    /// RFC 3339, UTC.
    Instant,
    /// Whole number.
    Count,
    /// Share of one, as a decimal.
    Share,
    /// Seconds as a decimal, of talk.
    Duration,
    /// Seconds as a decimal, of waiting.
    Seconds,
    Minutes,
    /// Exact decimal; the currency stands in a column of its own.
    Money,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Name in JSON and CSV.
    pub key: &'static str,
    pub title: &'static str,
    pub kind: Kind,
}

/// Columns, rows, and one row of totals per currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
    pub totals: Vec<Vec<String>>,
    /// What the figures cover, in words.
    pub covers: String,
}

pub(super) const fn column(key: &'static str, title: &'static str, kind: Kind) -> Column {
    Column { key, title, kind }
}
