//! What a template declares about a carrier's files, and the bounds of what is read at all.

use crate::field::Field;
use facts::Currency;
use facts::deck::RowStatus;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// How `3/4/23` is meant where nothing in the column itself says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DateOrder {
    /// 3 April 2023.
    DayFirst,
    /// 4 March 2023.
    MonthFirst,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecimalMark {
    Point,
    Comma,
}

/// What a hyphen between two numbers of a code cell means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hyphen {
    /// `3370-3379` is ten codes.
    Range,
    /// `93-76` is the code 9376.
    Separator,
}

/// What a blank between two numbers of a code cell means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// First and next interval, seconds.
pub type Increment = (u32, u32);

/// A template: whatever is `None` or empty is found out from the file, or asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadOptions {
    /// WHATWG label (`windows-1251`) of a text file without a mark; `None`: UTF-8, or told by its words.
    pub encoding: Option<SmolStr>,
    /// The sheets with rates, where several have them.
    pub sheets: Vec<SmolStr>,
    /// All sheets that have a header of rates.
    pub all_sheets: bool,
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
    /// Where rows name no increment; `None`: what the notice says, else per second.
    pub increment: Option<Increment>,
    /// Where rows name none, by how the destination's name begins.
    pub increments: Vec<(SmolStr, Increment)>,
    /// Words of a status cell, in small letters, that the reader would not know or that this carrier means otherwise.
    pub status_words: BTreeMap<SmolStr, RowStatus>,
    /// The notice's date counts for rows without one, and nobody has to confirm it.
    pub notice_date: bool,
    /// What the notice says must be what stands here, or the file is refused: so for a template, not for an answer.
    pub notice_must_agree: bool,
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
    /// A carrier's names of destinations to ours; others stay as they are.
    pub names: crate::names::Names,
    pub limits: Limits,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            encoding: None,
            sheets: Vec::new(),
            all_sheets: false,
            currency: None,
            separator: None,
            columns: BTreeMap::new(),
            date_order: None,
            decimal_mark: None,
            hyphen: None,
            space: None,
            effective_zone: SmolStr::new_static("UTC"),
            increment: None,
            increments: Vec::new(),
            status_words: BTreeMap::new(),
            notice_date: false,
            notice_must_agree: false,
            zero_is_free: false,
            valid_from: None,
            issued_at: None,
            flat_time_types: Vec::new(),
            time_bands: Vec::new(),
            names: crate::names::Names::new(),
            limits: Limits::default(),
        }
    }
}
