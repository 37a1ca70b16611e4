//! Reading carriers' rate decks (CSV, XLSX, XLS, ODS) into `facts::deck::Rate` rows, with every row that cannot be read
//! named by place, reason and advice. Never opens a file, never guesses a price, never drops a row uncounted.

mod archive;
mod cell;
mod code;
mod csv;
mod currency;
mod date;
mod encoding;
mod error;
mod field;
mod header;
pub mod json;
mod lexicon;
pub mod life;
pub mod make;
pub mod names;
mod notice;
mod ods;
mod options;
mod origin;
mod pattern;
mod price;
mod prose;
mod row;
mod sheets;
mod status;
mod survey;
pub mod template;
#[cfg(test)]
mod tests;
mod totals;
mod xls;
mod xlsx;

pub use error::DeckError;
pub use field::Field;
pub use notice::Notice;
pub use options::{DateOrder, DecimalMark, Hyphen, Increment, Limits, ReadOptions, Space};
pub use totals::Totals;

use cell::Cell;
use facts::Currency;
use facts::deck::{DeckTerms, OriginGroup, Rate, RateDeck};
use smol_str::SmolStr;
use std::collections::BTreeSet;

/// Where a row stood in its file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// Empty for a CSV file.
    pub sheet: SmolStr,
    /// 1-based: the line of a CSV file, the row of a sheet.
    pub row: u32,
}

/// A row that is no rate, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub source: Source,
    /// Header of the column at fault; empty when the whole row is.
    pub column: SmolStr,
    pub reason: String,
    pub advice: String,
}

/// What a row turned into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    Rate(Rate, Source),
    Problem(Problem),
}

/// What the reader recognised, for people to check before they import.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// `csv`, `xlsx`, `xls` or `ods`.
    pub format: &'static str,
    /// Of the cells' text: `utf-8`, `utf-16le`, `windows-1252`, ...
    pub encoding: SmolStr,
    /// CSV only.
    pub separator: Option<char>,
    /// All sheets by name; empty for CSV.
    pub sheets: Vec<SmolStr>,
    /// The sheet with the rates; several with a comma between them.
    pub sheet: SmolStr,
    pub header_row: u32,
    /// Recognised columns: what it means, its header as written.
    pub columns: Vec<(Field, SmolStr)>,
    /// Headers of columns that were not used.
    pub ignored: Vec<SmolStr>,
    /// From template, notice, header or column; `None` = the file does not say and whoever imports must.
    pub currency: Option<Currency>,
    pub notice: Notice,
    /// The order of day and month, where dates needed one.
    pub date_order: Option<DateOrder>,
    /// Increment of rows that name none, and its exceptions by how the destination's name begins.
    pub increment: Option<Increment>,
    pub increments: Vec<(SmolStr, Increment)>,
    /// Groups of callers, of tables beside the rates.
    pub origin_groups: Vec<OriginGroup>,
    /// What was taken for granted because nothing said otherwise.
    pub assumptions: Vec<String>,
    /// What was found in sentences and needs a person's word before money hangs on it; each with the flag that gives
    /// it.
    pub to_confirm: Vec<String>,
}

/// A deck file read whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeckFile {
    pub rates: Vec<(Rate, Source)>,
    pub problems: Vec<Problem>,
    pub found: Found,
    pub totals: Totals,
}

impl DeckFile {
    /// The rows as a deck: sorted, and where a code has rows with several dates, each ends when the next begins.
    pub fn into_deck(self, id: &str, version: u32, terms: DeckTerms) -> RateDeck {
        let mut rates: Vec<Rate> = self.rates.into_iter().map(|(rate, _)| rate).collect();
        sort_and_close(&mut rates);
        RateDeck { id: id.into(), version, terms, rates }
    }
}

/// Sorts by prefix, origin, time band, date; an earlier row of the same code ends where a later one begins, as a
/// carrier means it who lists the price of today and the one of next week.
pub fn sort_and_close(rates: &mut [Rate]) {
    rates.sort_by(|a, b| {
        let origin = a.origin.cmp(&b.origin).then_with(|| a.time_band.cmp(&b.time_band));
        a.prefix.cmp(&b.prefix).then(origin).then_with(|| a.valid_from.cmp(&b.valid_from))
    });
    for at in 1..rates.len() {
        let (before, next) = rates.split_at_mut(at);
        let (Some(before), Some(next)) = (before.last_mut(), next.first()) else { continue };
        let same = before.prefix == next.prefix && before.origin == next.origin && before.time_band == next.time_band;
        if same && next.valid_from.is_some() && before.valid_until.is_none_or(|until| Some(until) > next.valid_from) {
            before.valid_until = next.valid_from;
        }
    }
}

/// Something that can be walked row by row, more than once.
trait Rows {
    /// Sheets in order; a CSV file has one without a name.
    fn sheets(&self) -> Vec<SmolStr>;
    /// Calls `each` with every row that has a cell, 1-based, until it answers `false`.
    fn walk(&mut self, sheet: &str, each: &mut Each<'_>) -> Result<(), DeckError>;
}

type Each<'e> = dyn FnMut(u32, &[Cell<'_>]) -> Result<bool, DeckError> + 'e;

/// Reads a whole deck. `file_name` is for messages only.
pub fn read(file_name: &str, bytes: &[u8], template: &ReadOptions) -> Result<DeckFile, DeckError> {
    let mut file = DeckFile::default();
    let (found, totals) = read_rows(file_name, bytes, template, &mut |item| match item {
        Item::Rate(rate, source) => file.rates.push((rate, source)),
        Item::Problem(problem) => file.problems.push(problem),
    })?;
    Ok(DeckFile { found, totals, ..file })
}

/// Reads a deck row by row without keeping it; what [`read`] does with a million rows in little memory.
pub fn read_rows(
    file_name: &str,
    bytes: &[u8],
    template: &ReadOptions,
    sink: &mut dyn FnMut(Item),
) -> Result<(Found, Totals), DeckError> {
    if template.names.is_empty() {
        return read_as_written(file_name, bytes, template, sink);
    }
    let ours: BTreeSet<&SmolStr> = template.names.values().collect();
    let mut unknown: BTreeSet<SmolStr> = BTreeSet::new();
    let (mut found, totals) = read_as_written(file_name, bytes, template, &mut |item| match item {
        Item::Rate(mut rate, source) => {
            match template.names.get(&rate.destination) {
                Some(name) => rate.destination = name.clone(),
                None if ours.contains(&rate.destination) || unknown.contains(&rate.destination) => {}
                None => drop(unknown.insert(rate.destination.clone())),
            }
            sink(Item::Rate(rate, source));
        }
        problem => sink(problem),
    })?;
    if let Some(first) = unknown.first() {
        found.assumptions.push(format!(
            "{} destinations that the mapping of names does not know keep the carrier's name, the first is {first:?}",
            unknown.len()
        ));
    }
    Ok((found, totals))
}

/// Reads a deck with the carrier's names of destinations.
fn read_as_written(
    file_name: &str,
    bytes: &[u8],
    template: &ReadOptions,
    sink: &mut dyn FnMut(Item),
) -> Result<(Found, Totals), DeckError> {
    let limit = template.limits.file_bytes;
    if bytes.len() as u64 > limit {
        return Err(DeckError::TooLarge { file: file_name.to_owned(), what: format!("{} bytes", bytes.len()), limit });
    }
    match recognise(file_name, bytes)? {
        Kind::Xlsx => {
            let mut workbook = xlsx::Workbook::open(file_name, bytes, &template.limits)?;
            let encoding = SmolStr::new_static("utf-8");
            let found = Found { format: "xlsx", encoding, sheets: workbook.sheets(), ..Found::default() };
            sheets::read(file_name, &mut workbook, found, template, sink)
        }
        Kind::Xls => {
            let mut workbook = xls::Workbook::open(file_name, bytes, &template.limits)?;
            let encoding = SmolStr::new_static("utf-16le");
            let found = Found { format: "xls", encoding, sheets: workbook.sheets(), ..Found::default() };
            sheets::read(file_name, &mut workbook, found, template, sink)
        }
        Kind::Ods => {
            let mut workbook = ods::Workbook::open(file_name, bytes, &template.limits)?;
            let encoding = SmolStr::new_static("utf-8");
            let found = Found { format: "ods", encoding, sheets: workbook.sheets(), ..Found::default() };
            sheets::read(file_name, &mut workbook, found, template, sink)
        }
        Kind::Text => {
            let (encoding, text) = encoding::decode(file_name, bytes, template)?;
            let (mut lines, separator) = csv::Lines::open(file_name, &text, template)?;
            let found = Found { format: "csv", encoding, separator: Some(separator), ..Found::default() };
            sheets::read(file_name, &mut lines, found, template, sink)
        }
    }
}

enum Kind {
    Xls,
    Xlsx,
    Ods,
    Text,
}

/// By the first bytes, never by the name: carriers rename files.
fn recognise(file: &str, bytes: &[u8]) -> Result<Kind, DeckError> {
    let refuse = |what: &str, advice| Err(DeckError::Format { file: file.to_owned(), what: what.to_owned(), advice });
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        return refuse("empty", "ask for it again");
    }
    if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") {
        let head = &bytes[..bytes.len().min(256)];
        let ods = head.windows(ods::TYPE.len()).any(|window| window == ods::TYPE);
        return Ok(if ods { Kind::Ods } else { Kind::Xlsx });
    }
    if begins(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Ok(Kind::Xls);
    }
    if begins(&[0x1f, 0x8b]) || begins(&[0xfd, b'7', b'z', b'X', b'Z']) || begins(b"7z\xbc\xaf") || begins(b"Rar!") {
        return refuse("a compressed archive", "unpack it and read the deck inside");
    }
    if begins(b"%PDF") {
        return refuse("a PDF document", "ask for the deck as XLSX or CSV");
    }
    Ok(Kind::Text)
}
