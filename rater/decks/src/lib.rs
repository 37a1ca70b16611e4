//! Reading carriers' rate decks (CSV, XLSX) into `facts::deck::Rate` rows, with every row that cannot be read
//! named by place, reason and advice. Never opens a file, never guesses a price, never drops a row uncounted.

mod cell;
mod code;
mod csv;
mod currency;
mod date;
mod field;
mod header;
pub mod json;
mod lexicon;
pub mod life;
mod notice;
mod options;
mod pattern;
mod price;
mod row;
#[cfg(test)]
mod tests;
mod xlsx;

pub use field::Field;
pub use notice::Notice;
pub use options::{DateOrder, DecimalMark, Hyphen, Limits, ReadOptions, Space};

use cell::Cell;
use facts::Currency;
use facts::deck::{DeckTerms, Rate, RateDeck};
use header::Layout;
use smol_str::SmolStr;
use std::collections::BTreeMap;

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
    /// `csv` or `xlsx`.
    pub format: &'static str,
    /// `utf-8`, `utf-16le`, `utf-16be`, `windows-1252`; of the cells' text.
    pub encoding: &'static str,
    /// CSV only.
    pub separator: Option<char>,
    /// All sheets by name; empty for CSV.
    pub sheets: Vec<SmolStr>,
    /// The sheet with the rates.
    pub sheet: SmolStr,
    pub header_row: u32,
    /// Recognised columns: what it means, its header as written.
    pub columns: Vec<(Field, SmolStr)>,
    /// Headers of columns that were not used.
    pub ignored: Vec<SmolStr>,
    /// From template, notice, header or column; `None` = the file does not say and whoever imports must.
    pub currency: Option<Currency>,
    pub notice: Notice,
    /// What was taken for granted because nothing said otherwise.
    pub assumptions: Vec<String>,
}

/// Counts; `rows = rates' rows + problems' rows + blank + remarks`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Rows below the header.
    pub rows: u64,
    /// Rates made; a row that lists several codes makes several.
    pub rates: u64,
    /// Rows that made rates.
    pub rate_rows: u64,
    /// Rows with a problem.
    pub problems: u64,
    pub blank: u64,
    /// Rows with text but neither a code nor a price: section titles, terms.
    pub remarks: u64,
    pub blocked: u64,
    pub discontinued: u64,
    /// Rates by increment, e.g. `60/1`.
    pub increments: BTreeMap<SmolStr, u64>,
    /// Rows by what the file says has changed.
    pub changes: BTreeMap<SmolStr, u64>,
    /// Earliest and latest first day of validity, microseconds since the epoch.
    pub valid_from: Option<(i64, i64)>,
}

/// A deck file read whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeckFile {
    pub rates: Vec<(Rate, Source)>,
    pub problems: Vec<Problem>,
    pub found: Found,
    pub totals: Totals,
}

/// Why a file is refused as a whole. Codes of single rows are `Problem`s.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeckError {
    #[error("{file} is {what}; {advice}")]
    Format { file: String, what: String, advice: &'static str },
    #[error("{file} is beyond the limit: {what} (limit {limit}); split it or raise the limit")]
    TooLarge { file: String, what: String, limit: u64 },
    #[error("{file} is damaged at {place}: {reason}; ask for it again")]
    Damaged { file: String, place: String, reason: String },
    #[error(
        "{file} has no header row with a code and a price in its first {looked} rows (looked at: {seen}); name the \
         columns in the template"
    )]
    NoHeader { file: String, looked: u32, seen: String },
    #[error("{file}: {field} could be any of the columns {columns}; name one: --column {field}=HEADER")]
    Ambiguous { file: String, field: Field, columns: String },
    #[error(
        "{file}: the prices of column {column:?} are in cents or not for a minute; write them in the currency for a \
         minute, or ask for such a deck"
    )]
    Unit { file: String, column: String },
    #[error("{file}: the sheets {sheets} all hold rates; name one: --sheet NAME")]
    SeveralSheets { file: String, sheets: String },
    #[error("{file} has no sheet {sheet:?}; it has {sheets}")]
    NoSheet { file: String, sheet: String, sheets: String },
    #[error(
        "{file}: the currency is {first} by the {first_from} and {second} by the {second_from}; ask which is meant"
    )]
    Currency { file: String, first: Currency, first_from: &'static str, second: Currency, second_from: &'static str },
    #[error("template: {0}")]
    Template(String),
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
    let limit = template.limits.file_bytes;
    if bytes.len() as u64 > limit {
        return Err(DeckError::TooLarge { file: file_name.to_owned(), what: format!("{} bytes", bytes.len()), limit });
    }
    match recognise(file_name, bytes)? {
        Kind::Xlsx => {
            let mut workbook = xlsx::Workbook::open(file_name, bytes, &template.limits)?;
            let found = Found { format: "xlsx", encoding: "utf-8", sheets: workbook.sheets(), ..Found::default() };
            read_from(file_name, &mut workbook, found, template, sink)
        }
        Kind::Text => {
            let (encoding, text) = csv::decode(file_name, bytes)?;
            let (mut lines, separator) = csv::Lines::open(file_name, &text, template)?;
            let found = Found { format: "csv", encoding, separator: Some(separator), ..Found::default() };
            read_from(file_name, &mut lines, found, template, sink)
        }
    }
}

fn read_from(
    file: &str,
    rows: &mut dyn Rows,
    mut found: Found,
    template: &ReadOptions,
    sink: &mut dyn FnMut(Item),
) -> Result<(Found, Totals), DeckError> {
    let layout = choose_sheet(file, rows, template)?;
    found.sheet = layout.sheet.clone();
    found.header_row = layout.header_row;
    found.columns = layout.columns.iter().map(|(_, field, name)| (*field, name.clone())).collect();
    found.ignored = layout.ignored.clone();
    found.notice = layout.notice.clone();
    found.currency = currency(file, &layout, template)?;
    let mut reader = row::Reader::new(file, &layout, found.currency, template)?;
    rows.walk(&layout.sheet, &mut |number, cells| {
        if number > layout.header_row {
            reader.row(number, cells, sink)?;
        }
        Ok(true)
    })?;
    found.currency = reader.currency();
    found.assumptions = reader.assumptions();
    Ok((found, reader.totals))
}

/// Finds the one sheet that holds rates.
fn choose_sheet(file: &str, rows: &mut dyn Rows, template: &ReadOptions) -> Result<Layout, DeckError> {
    let sheets = rows.sheets();
    if let Some(wanted) = &template.sheet
        && !sheets.contains(wanted)
    {
        return Err(DeckError::NoSheet { file: file.to_owned(), sheet: wanted.to_string(), sheets: sheets.join(", ") });
    }
    let mut layouts = Vec::new();
    let mut seen = Vec::new();
    for sheet in sheets.iter().filter(|sheet| template.sheet.as_ref().is_none_or(|wanted| wanted == *sheet)) {
        let mut search = header::Search::new(file, sheet, template);
        rows.walk(sheet, &mut |number, cells| search.row(number, cells))?;
        seen.extend(search.nearest());
        layouts.extend(search.found());
    }
    if layouts.len() > 1 {
        let sheets: Vec<_> = layouts.iter().map(|layout| layout.sheet.as_str()).collect();
        return Err(DeckError::SeveralSheets { file: file.to_owned(), sheets: sheets.join(", ") });
    }
    layouts.pop().ok_or_else(|| DeckError::NoHeader {
        file: file.to_owned(),
        looked: header::SEARCH_ROWS,
        seen: if seen.is_empty() { "nothing but empty cells".to_owned() } else { seen.join(" | ") },
    })
}

/// The one currency that everything which names one agrees on.
fn currency(file: &str, layout: &Layout, template: &ReadOptions) -> Result<Option<Currency>, DeckError> {
    let said = [
        (template.currency, "template"),
        (layout.notice.currency, "notice above the header"),
        (layout.currency, "price column's header"),
    ];
    let mut known: Option<(Currency, &'static str)> = None;
    for (currency, from) in said {
        match (known, currency) {
            (Some((first, first_from)), Some(second)) if first != second => {
                return Err(DeckError::Currency {
                    file: file.to_owned(),
                    first,
                    first_from,
                    second,
                    second_from: from,
                });
            }
            (None, Some(currency)) => known = Some((currency, from)),
            _ => {}
        }
    }
    Ok(known.map(|(currency, _)| currency))
}

enum Kind {
    Xlsx,
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
        return Ok(Kind::Xlsx);
    }
    if begins(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return refuse(
            "an old .xls workbook or a password-protected one",
            "save it as .xlsx or CSV without a password",
        );
    }
    if begins(&[0x1f, 0x8b]) || begins(&[0xfd, b'7', b'z', b'X', b'Z']) || begins(b"7z\xbc\xaf") || begins(b"Rar!") {
        return refuse("a compressed archive", "unpack it and read the deck inside");
    }
    if begins(b"%PDF") {
        return refuse("a PDF document", "ask for the deck as XLSX or CSV");
    }
    Ok(Kind::Text)
}
