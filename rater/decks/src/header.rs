//! Finding the header row under a letterhead and what each column means. Two columns that could both be the price
//! are refused, never chosen between.

use crate::DeckError;
use crate::cell::Cell;
use crate::field::Field;
use crate::lexicon::{currency_in, field, is_country, unit};
use crate::notice::{self, Notice};
use crate::options::ReadOptions;
use facts::Currency;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Rows that are looked at for a header.
pub const SEARCH_ROWS: u32 = 200;
/// Where the header is and what its columns mean.
#[derive(Clone, Debug)]
pub struct Layout {
    pub sheet: SmolStr,
    pub header_row: u32,
    /// Column (from 0), meaning, header as written; rising by column.
    pub columns: Vec<(usize, Field, SmolStr)>,
    pub ignored: Vec<SmolStr>,
    /// The column with the country's name, beside one with the destination's.
    pub country: Option<usize>,
    /// Headers of price columns with their second line, which may hold the unit.
    pub prices: BTreeMap<Field, SmolStr>,
    /// From the header of the price column.
    pub currency: Option<Currency>,
    pub notice: Notice,
}

impl Layout {
    /// Whether rows can name their own increments.
    pub fn has_increments(&self) -> bool {
        let named = [Field::Increment, Field::FirstInterval, Field::NextInterval];
        self.columns.iter().any(|(_, field, _)| named.contains(field))
    }

    pub fn name(&self, field: Field) -> SmolStr {
        self.columns.iter().find(|(_, f, _)| *f == field).map_or_else(SmolStr::default, |(.., name)| name.clone())
    }
}

/// Walks the first rows of a sheet until one is a header.
pub struct Search<'a> {
    file: &'a str,
    sheet: SmolStr,
    template: &'a ReadOptions,
    notice: Notice,
    /// The header and its row; the next row may hold its second line.
    head: Option<(u32, Vec<SmolStr>)>,
    second: Option<(u32, Vec<SmolStr>)>,
    /// The row above, where it could be the first line of a header.
    above: Vec<SmolStr>,
    /// The row with most known columns, for the message when none is a header.
    nearest: Option<(usize, String)>,
}

/// What a sheet turned out to be.
pub enum Sheet {
    Rates(Layout),
    /// No header: its text.
    Text(Notice),
}

impl<'a> Search<'a> {
    pub fn new(file: &'a str, sheet: &str, template: &'a ReadOptions) -> Self {
        Self {
            file,
            sheet: sheet.into(),
            template,
            notice: Notice::default(),
            head: None,
            second: None,
            above: Vec::new(),
            nearest: None,
        }
    }

    /// `false` = seen enough.
    pub fn row(&mut self, number: u32, cells: &[Cell<'_>]) -> Result<bool, DeckError> {
        let texts = texts(cells);
        if self.head.is_some() {
            // `(USD/min)` under `Rate`: no row of rates is without a digit.
            let filled = texts.iter().filter(|text| !text.is_empty()).count();
            let second = filled > 1 && !texts.iter().any(|text| text.contains(|c: char| c.is_ascii_digit()));
            self.second = (second && all_text(cells)).then_some((number, texts));
            return Ok(false);
        }
        let found = self.fields(&texts);
        if is_header(&found) {
            self.head = Some((number, texts));
            return Ok(true);
        }
        if all_text(cells) && !self.above.is_empty() {
            for fill in [false, true] {
                let both = joined(&self.above, &texts, fill);
                if is_header(&self.fields(&both)) {
                    self.head = Some((number, both));
                    return Ok(true);
                }
            }
        }
        if self.nearest.as_ref().is_none_or(|(known, _)| found.len() > *known) {
            let texts: Vec<&str> = texts.iter().map(SmolStr::as_str).filter(|text| !text.is_empty()).take(12).collect();
            if !texts.is_empty() {
                let sheet = if self.sheet.is_empty() { String::new() } else { format!("sheet {:?} ", self.sheet) };
                let text: String = texts.join(", ").chars().take(200).collect();
                self.nearest = Some((found.len(), format!("{sheet}row {number}: {text}")));
            }
        }
        notice::row(&mut self.notice, cells);
        self.above = if all_text(cells) { texts } else { Vec::new() };
        Ok(number < SEARCH_ROWS)
    }

    /// What the sheet is, once its first rows have been walked.
    pub fn end(mut self) -> Result<Sheet, DeckError> {
        let Some((mut row, head)) = self.head.take() else { return Ok(Sheet::Text(self.notice)) };
        let mut full = head.clone();
        if let Some((second, texts)) = self.second.take() {
            row = second;
            full = joined(&head, &texts, false);
        }
        let found = self.fields(&head).into_iter().map(|(at, field)| (at, field, head[at].clone())).collect();
        self.decide(row, &full, found).map(Sheet::Rates)
    }

    /// Whether a header was found.
    pub fn is_found(&self) -> bool {
        self.head.is_some()
    }

    /// What the row nearest to a header says.
    pub fn nearest(&self) -> Option<String> {
        self.nearest.as_ref().filter(|_| self.head.is_none()).map(|(_, text)| text.clone())
    }

    fn fields(&self, texts: &[SmolStr]) -> Vec<(usize, Field)> {
        let texts = texts.iter().enumerate().filter(|(_, text)| !text.is_empty());
        texts.filter_map(|(at, text)| self.meaning(text).map(|field| (at, field))).collect()
    }

    fn meaning(&self, header: &str) -> Option<Field> {
        let named = self.template.columns.iter().find(|(_, name)| name.eq_ignore_ascii_case(header));
        let known = named.map(|(field, _)| *field).or_else(|| field(header))?;
        // A field that the template assigns by name has no other column.
        match self.template.columns.get(&known) {
            Some(name) if !name.eq_ignore_ascii_case(header) => None,
            _ => Some(known),
        }
    }

    fn decide(
        &mut self,
        header_row: u32,
        texts: &[SmolStr],
        mut found: Vec<(usize, Field, SmolStr)>,
    ) -> Result<Layout, DeckError> {
        let has = |found: &[(usize, Field, SmolStr)], field| found.iter().any(|(_, f, _)| *f == field);
        // With the whole code in a column of its own, its parts are only for show.
        if has(&found, Field::Code) {
            found.retain(|(_, field, _)| !matches!(field, Field::CountryCode | Field::AreaCode));
        }
        let mut kept: Vec<(usize, Field, SmolStr)> = Vec::with_capacity(found.len());
        for (at, field, name) in found {
            match kept.iter().find(|(_, f, _)| *f == field) {
                Some(_) if field.first_counts() => {}
                Some((_, _, first)) => return Err(self.ambiguous(field, &[first, &name])),
                None => kept.push((at, field, name)),
            }
        }
        if has(&kept, Field::Rate) && (has(&kept, Field::FirstRate) || has(&kept, Field::NextRate)) {
            let prices: Vec<&SmolStr> = kept
                .iter()
                .filter(|(_, f, _)| matches!(f, Field::Rate | Field::FirstRate | Field::NextRate))
                .map(|(.., name)| name)
                .collect();
            return Err(self.ambiguous(Field::Rate, &prices));
        }
        if let Some((field, name)) = self.template.columns.iter().find(|(field, _)| !has(&kept, **field)) {
            return Err(DeckError::Template(format!(
                "column {name:?} for {field} does not stand in the header row {header_row} of {}",
                self.file
            )));
        }
        let price = |f: &Field| matches!(f, Field::Rate | Field::FirstRate | Field::NextRate | Field::InterRate);
        let full = |at: &usize| texts.get(*at).cloned().unwrap_or_default();
        let currency = kept.iter().filter(|(_, f, _)| price(f)).find_map(|(at, ..)| currency_in(&full(at)));
        let prices: BTreeMap<Field, SmolStr> =
            kept.iter().filter(|(_, f, _)| f.is_price()).map(|(at, f, _)| (*f, full(at))).collect();
        if let Some(name) = prices.values().find(|name| unit(name).unknown) {
            return Err(DeckError::Unit { file: self.file.to_owned(), column: name.to_string() });
        }
        let mut country = texts.iter().position(|text| is_country(text));
        if let Some(at) = country.filter(|_| !has(&kept, Field::Destination)) {
            kept.push((at, Field::Destination, texts[at].clone()));
            kept.sort_by_key(|(at, ..)| *at);
            country = None;
        }
        let used: Vec<usize> = kept.iter().map(|(at, ..)| *at).collect();
        let ignored = texts.iter().enumerate().filter(|(at, text)| !used.contains(at) && !text.is_empty());
        Ok(Layout {
            sheet: self.sheet.clone(),
            header_row,
            ignored: ignored.map(|(_, text)| text.clone()).collect(),
            columns: kept,
            prices,
            country,
            currency,
            notice: std::mem::take(&mut self.notice),
        })
    }

    fn ambiguous(&self, field: Field, columns: &[&SmolStr]) -> DeckError {
        let columns: Vec<String> = columns.iter().map(|name| format!("{name:?}")).collect();
        DeckError::Ambiguous { file: self.file.to_owned(), field, columns: columns.join(" and ") }
    }
}

fn is_header(found: &[(usize, Field)]) -> bool {
    let has = |fields: &[Field]| found.iter().any(|(_, field)| fields.contains(field));
    let code = has(&[Field::Code]) || (has(&[Field::CountryCode]) && has(&[Field::AreaCode]));
    code && has(&[Field::Rate, Field::FirstRate, Field::NextRate, Field::InterRate, Field::IntraRate])
}

/// Texts of a row by column; what is no text counts as empty, for a header is text.
fn texts(cells: &[Cell<'_>]) -> Vec<SmolStr> {
    let text = |cell: &Cell<'_>| match cell {
        Cell::Text(text) => SmolStr::new(text),
        _ => SmolStr::default(),
    };
    cells.iter().map(text).collect()
}

fn all_text(cells: &[Cell<'_>]) -> bool {
    cells.iter().all(|cell| matches!(cell, Cell::Text(_) | Cell::Empty))
}

/// Two lines of a header as one. With `fill`, a text that spans columns stands above each of them.
fn joined(above: &[SmolStr], below: &[SmolStr], fill: bool) -> Vec<SmolStr> {
    let mut spanning = SmolStr::default();
    (0..above.len().max(below.len()))
        .map(|at| {
            let (up, down) = (above.get(at).cloned().unwrap_or_default(), below.get(at).cloned().unwrap_or_default());
            if !up.is_empty() {
                spanning = up.clone();
            }
            match (up.is_empty(), down.is_empty()) {
                (true, false) if fill && !spanning.is_empty() => smol_str::format_smolstr!("{spanning} {down}"),
                (true, _) => down,
                (_, true) => up,
                _ => smol_str::format_smolstr!("{up} {down}"),
            }
        })
        .collect()
}
