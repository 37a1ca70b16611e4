//! Sheets of an ODS workbook (OpenDocument 1.3 part 3, section 9) as rows of cells. The archive is measured before, the
//! XML is streamed, and repeats are bounded: a million repeated rows of one value are refused by name.

use crate::archive::measure;
use crate::cell::Cell;
use crate::options::Limits;
use crate::{DeckError, Each, Rows};
use jiff::civil::{Date, DateTime};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use smol_str::SmolStr;
use std::io::{BufReader, Cursor, Read};

/// What an ODS archive begins with: its first part is stored, not packed, and holds the type.
pub const TYPE: &[u8] = b"application/vnd.oasis.opendocument.spreadsheet";

/// An opened workbook.
pub struct Workbook<'a> {
    file: &'a str,
    bytes: &'a [u8],
    limits: &'a Limits,
    sheets: Vec<SmolStr>,
}

impl<'a> Workbook<'a> {
    pub fn open(file: &'a str, bytes: &'a [u8], limits: &'a Limits) -> Result<Self, DeckError> {
        measure(file, bytes, limits)?;
        let mut this = Self { file, bytes, limits, sheets: Vec::new() };
        let mut sheets = Vec::new();
        this.parts(&mut |part| {
            if let Part::Sheet(name) = part {
                sheets.push(name);
            }
            Ok(true)
        })?;
        this.sheets = sheets;
        Ok(this)
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> DeckError {
        DeckError::Damaged { file: self.file.to_owned(), place: "content.xml".to_owned(), reason: reason.to_string() }
    }

    fn beyond(&self, what: String, limit: u32) -> DeckError {
        DeckError::TooLarge { file: self.file.to_owned(), what, limit: u64::from(limit) }
    }

    /// Walks the document; `each` answers `false` to stop.
    fn parts(&self, each: &mut dyn FnMut(Part) -> Result<bool, DeckError>) -> Result<(), DeckError> {
        let mut archive = zip::ZipArchive::new(Cursor::new(self.bytes)).map_err(|error| self.damaged(error))?;
        let content = archive.by_name("content.xml").map_err(|error| self.damaged(error))?;
        let mut reader =
            Reader::from_reader(BufReader::with_capacity(1 << 16, content.take(self.limits.unpacked_bytes)));
        reader.config_mut().check_end_names = false;
        let mut row = Row::new(self.limits);
        let mut buffer = Vec::new();
        loop {
            let event = reader.read_event_into(&mut buffer).map_err(|error| self.damaged(error))?;
            let part = match &event {
                Event::Eof => return Ok(()),
                Event::Start(tag) => row.start(tag, false),
                Event::Empty(tag) => row.start(tag, true),
                Event::Text(text) => {
                    row.text(text);
                    None
                }
                Event::CData(text) => {
                    row.text(text);
                    None
                }
                Event::GeneralRef(name) => {
                    row.reference(name);
                    None
                }
                Event::End(tag) => row.end(tag.local_name().as_ref()),
                Event::DocType(_) => return Err(self.damaged("it defines a document type of its own")),
                _ => None,
            };
            if row.too_wide {
                return Err(self.beyond("a row has more columns".to_owned(), self.limits.columns));
            }
            if let Some(part) = part
                && !each(part)?
            {
                return Ok(());
            }
            buffer.clear();
        }
    }
}

enum Part {
    Sheet(SmolStr),
    /// Cells, and how often the row stands there.
    Row(Vec<Cell<'static>>, u32),
}

/// The row that is being read.
struct Row<'l> {
    limits: &'l Limits,
    cells: Vec<Cell<'static>>,
    repeated: u32,
    /// Empty cells not yet written, for a sheet's rows end with a million of them.
    blank: u32,
    cell: Option<Value>,
    /// Paragraphs of the cell, or notes beside it.
    text: String,
    in_text: bool,
    annotations: u32,
    too_wide: bool,
}

/// A cell's attributes.
#[derive(Default)]
struct Value {
    kind: String,
    value: String,
    repeated: u32,
}

impl<'l> Row<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            cells: Vec::new(),
            repeated: 1,
            blank: 0,
            cell: None,
            text: String::new(),
            in_text: false,
            annotations: 0,
            too_wide: false,
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>, empty: bool) -> Option<Part> {
        match tag.local_name().as_ref() {
            "table" => {
                let name = attribute(tag, "name").unwrap_or_default();
                return Some(Part::Sheet(name.into()));
            }
            "table-row" => {
                self.cells.clear();
                self.blank = 0;
                self.repeated = count(attribute(tag, "number-rows-repeated"));
                if empty {
                    return Some(self.row());
                }
            }
            "table-cell" | "covered-table-cell" => {
                let mut value =
                    Value { repeated: count(attribute(tag, "number-columns-repeated")), ..Value::default() };
                value.kind = attribute(tag, "value-type").unwrap_or_default();
                let name = match value.kind.as_str() {
                    "date" => "date-value",
                    "boolean" => "boolean-value",
                    "string" => "string-value",
                    "time" => "time-value",
                    _ => "value",
                };
                value.value = attribute(tag, name).unwrap_or_default();
                self.text.clear();
                self.cell = Some(value);
                if empty {
                    self.close();
                }
            }
            "annotation" if !empty => self.annotations += 1,
            "p" if self.cell.is_some() && self.annotations == 0 => {
                if !self.text.is_empty() {
                    self.text("\n");
                }
                self.in_text = !empty;
            }
            "s" => self.text(" "),
            "line-break" | "tab" => self.text(" "),
            _ => {}
        }
        None
    }

    fn text(&mut self, text: &str) {
        let fits = self.text.len() + text.len() <= self.limits.cell_bytes as usize + 1;
        if (self.in_text || text == "\n") && self.cell.is_some() && self.annotations == 0 && fits {
            self.text.push_str(text);
        }
    }

    /// `&amp;` and its like; others are no XML of this kind and stand for nothing.
    fn reference(&mut self, name: &str) {
        let code = |text: &str, radix| u32::from_str_radix(text, radix).ok().and_then(char::from_u32);
        let sign = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match name.strip_prefix('#') {
                Some(rest) => rest.strip_prefix('x').map_or_else(|| code(rest, 10), |hex| code(hex, 16)),
                None => None,
            },
        };
        if let Some(sign) = sign {
            self.text(sign.encode_utf8(&mut [0; 4]));
        }
    }

    fn end(&mut self, name: &str) -> Option<Part> {
        match name {
            "table-cell" | "covered-table-cell" => self.close(),
            "annotation" => self.annotations = self.annotations.saturating_sub(1),
            "p" => self.in_text = false,
            "table-row" => return Some(self.row()),
            _ => {}
        }
        None
    }

    fn row(&mut self) -> Part {
        Part::Row(std::mem::take(&mut self.cells), self.repeated)
    }

    /// Writes the cell as often as it repeats; what is empty only once something stands behind it.
    fn close(&mut self) {
        self.in_text = false;
        let Some(value) = self.cell.take() else { return };
        let cell = cell(&value, &self.text, self.limits);
        if cell.is_empty() {
            self.blank = self.blank.saturating_add(value.repeated);
            return;
        }
        let width = self.cells.len() as u64 + u64::from(self.blank) + u64::from(value.repeated);
        if width > u64::from(self.limits.columns) {
            self.too_wide = true;
            return;
        }
        self.cells.resize(self.cells.len() + self.blank as usize, Cell::Empty);
        self.blank = 0;
        for _ in 0..value.repeated {
            self.cells.push(cell.clone());
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == name)?;
    quick_xml::escape::unescape(&found.value).ok().map(|text| text.into_owned())
}

fn count(text: Option<String>) -> u32 {
    text.map_or(1, |text| text.parse().unwrap_or(1))
}

fn cell(value: &Value, text: &str, limits: &Limits) -> Cell<'static> {
    if text.len() > limits.cell_bytes as usize {
        return Cell::Error("more text than a cell may hold".into());
    }
    match value.kind.as_str() {
        "float" | "currency" | "percentage" => Cell::number_text(&value.value),
        "date" => match value.value.parse::<DateTime>().or_else(|_| value.value.parse::<Date>().map(DateTime::from)) {
            Ok(date) => Cell::Date(date),
            Err(_) => Cell::text(value.value.clone()),
        },
        "boolean" => Cell::Bool(value.value == "true"),
        "string" if !value.value.is_empty() => Cell::text(value.value.clone()),
        _ => Cell::text(text.to_owned()),
    }
}

impl Rows for Workbook<'_> {
    fn sheets(&self) -> Vec<SmolStr> {
        self.sheets.clone()
    }

    fn walk(&mut self, sheet: &str, each: &mut Each<'_>) -> Result<(), DeckError> {
        let (mut here, mut row) = (false, 0u32);
        let rows = self.limits.rows;
        let this = &*self;
        this.parts(&mut |part| match part {
            Part::Sheet(name) => {
                let before = here;
                here = name == sheet;
                // Nothing of the sheet stands behind the next one's beginning.
                Ok(!before)
            }
            Part::Row(cells, repeated) if here => {
                if cells.is_empty() {
                    row = row.saturating_add(repeated);
                    return Ok(true);
                }
                if u64::from(row) + u64::from(repeated) > u64::from(rows) {
                    return Err(this.beyond(format!("row {} stands {repeated} times", row + 1), rows));
                }
                for _ in 0..repeated {
                    row += 1;
                    if !each(row, &cells)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Part::Row(..) => Ok(true),
        })
    }
}
