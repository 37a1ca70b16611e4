//! What a template declares about a carrier's files, and the bounds of what is read at all.

use crate::field::Field;
use facts::Currency;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// How `3/4/23` is meant where nothing in the column itself says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DateOrder {
    /// 3 April; also where nothing is declared, then named among the assumptions.
    #[default]
    DayFirst,
    /// 4 March 2023.
    MonthFirst,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecimalMark {
    Point,
    Comma,
}

/// What a hyphen between two numbers of a code cell means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hyphen {
    /// `3370-3379` is ten codes.
    Range,
    /// `93-76` is the code 9376.
    Separator,
}

/// What a blank between two numbers of a code cell means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// `4470 4471` is two codes.
    List,
    /// `52 33,39` is the codes 5233 and 5239: the first number stands before each of the others.
    Separator,
}

/// Bounds; past one the file is refused by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    pub file_bytes: u64,
    /// All parts of a workbook together, as they really inflate.
    pub unpacked_bytes: u64,
    pub columns: u32,
    pub rows: u32,
    /// One cell.
    pub cell_bytes: u32,
    /// Parts of a workbook's archive.
    pub parts: u32,
    /// Rows with problems; more of them is another kind of file.
    pub problems: u32,
    /// Codes that one row may list or span.
    pub codes_a_row: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 256 << 20,
            unpacked_bytes: 512 << 20,
            columns: 256,
            rows: 5_000_000,
            cell_bytes: 32_768,
            parts: 1_000,
            problems: 100_000,
            codes_a_row: 1_000,
        }
    }
}

/// A template: whatever is `None` or empty is found out from the file, or asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadOptions {
    /// The sheet with rates, where several have them.
    pub sheet: Option<SmolStr>,
    pub currency: Option<Currency>,
    pub separator: Option<char>,
    /// Headers as the file writes them, where the reader would not know or could not decide.
    pub columns: BTreeMap<Field, SmolStr>,
    pub date_order: Option<DateOrder>,
    pub decimal_mark: Option<DecimalMark>,
    pub hyphen: Option<Hyphen>,
    pub space: Option<Space>,
    /// IANA zone in which dates without an offset begin.
    pub effective_zone: SmolStr,
    /// Where rows name no increment: first and next interval, seconds.
    pub increment: (u32, u32),
    /// A price of 0 is a price; without it such a row is a problem.
    pub zero_is_free: bool,
    /// Where neither row nor notice names a date; microseconds since the epoch.
    pub valid_from: Option<i64>,
    /// What `ASAP` means in a date column; without it the notice's date of issue.
    pub issued_at: Option<i64>,
    /// Time types that mean "always" beside the well-known ones.
    pub flat_time_types: Vec<SmolStr>,
    /// Time bands that rows may name.
    pub time_bands: Vec<SmolStr>,
    pub limits: Limits,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            sheet: None,
            currency: None,
            separator: None,
            columns: BTreeMap::new(),
            date_order: None,
            decimal_mark: None,
            hyphen: None,
            space: None,
            effective_zone: SmolStr::new_static("UTC"),
            increment: (1, 1),
            zero_is_free: false,
            valid_from: None,
            issued_at: None,
            flat_time_types: Vec::new(),
            time_bands: Vec::new(),
            limits: Limits::default(),
        }
    }
}
