//! Lines of a CSV file as rows of cells: any separator, bounded. Knows nothing of rates.

use crate::cell::Cell;
use crate::header::Search;
use crate::options::{Limits, ReadOptions};
use crate::{DeckError, Each, Rows};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use smol_str::SmolStr;

/// Separators that are tried, in this order, where the template names none.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// The lines of one file with its separator known.
pub struct Lines<'a> {
    file: &'a str,
    text: &'a str,
    separator: u8,
    limits: &'a Limits,
}

impl<'a> Lines<'a> {
    /// Finds the separator: the first one under which a header with code and price appears, else the one that
    /// cuts the first line into most cells, so that the message about the missing header shows something useful.
    pub fn open(file: &'a str, text: &'a str, template: &'a ReadOptions) -> Result<(Self, char), DeckError> {
        let with = |separator: char| Self { file, text, separator: separator as u8, limits: &template.limits };
        if let Some(separator) = template.separator {
            if !separator.is_ascii() || matches!(separator, '"' | '\n' | '\r') {
                return Err(DeckError::Template(format!("separator {separator:?} cannot separate cells")));
            }
            return Ok((with(separator), separator));
        }
        for separator in SEPARATORS {
            let mut search = Search::new(file, "", template);
            if with(separator).walk("", &mut |row, cells| search.row(row, cells)).is_ok() && search.is_found() {
                return Ok((with(separator), separator));
            }
        }
        let first = text.lines().next().unwrap_or_default();
        let most = SEPARATORS.into_iter().rev().max_by_key(|separator| first.matches(*separator).count());
        let separator = most.unwrap_or(',');
        Ok((with(separator), separator))
    }

    fn beyond(&self, row: u32, what: &str, limit: u64) -> DeckError {
        DeckError::TooLarge { file: self.file.to_owned(), what: format!("line {row} has {what}"), limit }
    }
}

impl Rows for Lines<'_> {
    fn sheets(&self) -> Vec<SmolStr> {
        vec![SmolStr::default()]
    }

    fn walk(&mut self, _sheet: &str, each: &mut Each<'_>) -> Result<(), DeckError> {
        let columns = self.limits.columns as usize;
        let mut reader = ReaderBuilder::new().delimiter(self.separator).build();
        let mut input = self.text.as_bytes();
        let mut line = 1u32;
        let mut record = Record::new(self.limits);
        let mut rows = 0u32;
        loop {
            // Line ends are eaten here, so that the number of the line on which a record begins is known.
            while let Some((b'\n' | b'\r', rest)) = input.split_first() {
                line = line.saturating_add(u32::from(input[0] == b'\n'));
                input = rest;
            }
            match record.read(&mut reader, input) {
                Read::End => return Ok(()),
                Read::TooLong => return Err(self.beyond(line, "too much text", record.text.len() as u64)),
                Read::TooMany => return Err(self.beyond(line, "too many columns", columns as u64)),
                Read::Record(consumed) => {
                    let taken = &input[..consumed];
                    input = &input[consumed..];
                    rows += 1;
                    if rows > self.limits.rows {
                        return Err(self.beyond(line, "more lines before it", u64::from(self.limits.rows)));
                    }
                    if !record.hand_over(line, self.limits, each)? {
                        return Ok(());
                    }
                    line = line.saturating_add(taken.iter().filter(|b| **b == b'\n').count() as u32);
                }
            }
        }
    }
}

enum Read {
    /// Bytes consumed.
    Record(usize),
    End,
    TooLong,
    TooMany,
}

/// Room for one record.
struct Record {
    text: Vec<u8>,
    ends: Vec<usize>,
    cells: usize,
}

impl Record {
    fn new(limits: &Limits) -> Self {
        let bytes = (limits.cell_bytes as usize).saturating_mul(limits.columns.min(32) as usize);
        Self { text: vec![0; bytes], ends: vec![0; limits.columns as usize], cells: 0 }
    }

    fn read(&mut self, reader: &mut Reader, mut input: &[u8]) -> Read {
        let (mut consumed, mut text, mut ends) = (0, 0, 0);
        loop {
            let (result, read, wrote, cells) =
                reader.read_record(input, &mut self.text[text..], &mut self.ends[ends..]);
            consumed += read;
            input = &input[read..];
            text += wrote;
            ends += cells;
            match result {
                // No more input: the next turn tells the reader so with an empty slice.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => return Read::TooLong,
                ReadRecordResult::OutputEndsFull => return Read::TooMany,
                ReadRecordResult::Record => {
                    self.cells = ends;
                    return Read::Record(consumed);
                }
                ReadRecordResult::End => return Read::End,
            }
        }
    }

    fn hand_over(&self, line: u32, limits: &Limits, each: &mut Each<'_>) -> Result<bool, DeckError> {
        let mut cells = [const { Cell::Empty }; 32];
        let mut many = Vec::new();
        let cells = if self.cells <= cells.len() {
            &mut cells[..self.cells]
        } else {
            many.resize(self.cells, Cell::Empty);
            &mut many[..]
        };
        let mut from = 0;
        for (cell, end) in cells.iter_mut().zip(&self.ends) {
            let bytes = &self.text[from..*end];
            from = *end;
            *cell = match std::str::from_utf8(bytes) {
                _ if bytes.len() > limits.cell_bytes as usize => Cell::Error("more text than a cell may hold".into()),
                Ok(text) => Cell::text(text),
                // Cannot happen: records are cut at ASCII bytes of valid UTF-8.
                Err(_) => Cell::Error("no UTF-8".into()),
            };
        }
        each(line, cells)
    }
}
