//! Finding the header row under a letterhead and what each column means. Two columns that could both be the price
//! are refused, never chosen between.

use crate::DeckError;
use crate::cell::Cell;
use crate::field::Field;
use crate::lexicon::{Unit, currency_in, field, unit};
use crate::notice::{self, Notice};
use crate::options::ReadOptions;
use facts::Currency;
use smol_str::SmolStr;

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
    /// From the header of the price column.
    pub currency: Option<Currency>,
    pub notice: Notice,
}

impl Layout {
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
    layout: Option<Layout>,
    /// The row with most known columns, for the message when none is a header.
    nearest: Option<(usize, String)>,
}

impl<'a> Search<'a> {
    pub fn new(file: &'a str, sheet: &str, template: &'a ReadOptions) -> Self {
        Self { file, sheet: sheet.into(), template, notice: Notice::default(), layout: None, nearest: None }
    }

    /// `false` = seen enough.
    pub fn row(&mut self, number: u32, cells: &[Cell<'_>]) -> Result<bool, DeckError> {
        let found: Vec<(usize, Field, SmolStr)> = cells
            .iter()
            .enumerate()
            .filter_map(|(at, cell)| match cell {
                Cell::Text(text) => self.meaning(text).map(|field| (at, field, SmolStr::new(text))),
                _ => None,
            })
            .collect();
        let has = |fields: &[Field]| found.iter().any(|(_, field, _)| fields.contains(field));
        let code = has(&[Field::Code]) || (has(&[Field::CountryCode]) && has(&[Field::AreaCode]));
        let price = has(&[Field::Rate, Field::FirstRate, Field::NextRate, Field::InterRate, Field::IntraRate]);
        if code && price {
            self.layout = Some(self.decide(number, cells, found)?);
            return Ok(false);
        }
        if self.nearest.as_ref().is_none_or(|(known, _)| found.len() > *known) {
            let texts: Vec<String> =
                cells.iter().filter(|cell| !cell.is_empty()).take(12).map(|cell| cell.to_string()).collect();
            if !texts.is_empty() {
                let sheet = if self.sheet.is_empty() { String::new() } else { format!("sheet {:?} ", self.sheet) };
                let text: String = texts.join(", ").chars().take(200).collect();
                self.nearest = Some((found.len(), format!("{sheet}row {number}: {text}")));
            }
        }
        notice::row(&mut self.notice, cells, self.template);
        Ok(number < SEARCH_ROWS)
    }

    pub fn found(self) -> Option<Layout> {
        self.layout
    }

    /// What the row nearest to a header says.
    pub fn nearest(&self) -> Option<String> {
        self.nearest.as_ref().filter(|_| self.layout.is_none()).map(|(_, text)| text.clone())
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
        cells: &[Cell<'_>],
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
        let currency = kept.iter().filter(|(_, f, _)| price(f)).find_map(|(.., name)| currency_in(name));
        if let Some((.., name)) = kept.iter().find(|(_, f, name)| price(f) && unit(name) != Unit::default()) {
            return Err(DeckError::Unit { file: self.file.to_owned(), column: name.to_string() });
        }
        let used: Vec<usize> = kept.iter().map(|(at, ..)| *at).collect();
        let ignored = cells.iter().enumerate().filter(|(at, cell)| !used.contains(at) && !cell.is_empty());
        Ok(Layout {
            sheet: self.sheet.clone(),
            header_row,
            ignored: ignored.map(|(_, cell)| SmolStr::new(cell.to_string())).collect(),
            columns: kept,
            currency,
            notice: std::mem::take(&mut self.notice),
        })
    }

    fn ambiguous(&self, field: Field, columns: &[&SmolStr]) -> DeckError {
        let columns: Vec<String> = columns.iter().map(|name| format!("{name:?}")).collect();
        DeckError::Ambiguous { file: self.file.to_owned(), field, columns: columns.join(" and ") }
    }
}
