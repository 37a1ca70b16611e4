//! Sheets of an XLS workbook (Excel 97 to 2003, MS-XLS) as rows of cells. calamine reads it whole into dense tables, so
//! the file is measured first: what it would grow to is refused by name before a byte of it is kept.

mod cfb;

use crate::cell::Cell;
use crate::options::Limits;
use crate::xlsx::{convert_owned, unbroken};
use crate::{DeckError, Each, Rows};
use calamine::{Data, Reader as _, Xls, XlsError};
use smol_str::SmolStr;
use std::io::Cursor;

/// Bytes of one cell of calamine's table.
const CELL_BYTES: u64 = size_of::<Data>() as u64;

/// An opened workbook.
pub struct Workbook<'a> {
    file: &'a str,
    limits: &'a Limits,
    xls: Xls<Cursor<&'a [u8]>>,
}

impl<'a> Workbook<'a> {
    pub fn open(file: &'a str, bytes: &'a [u8], limits: &'a Limits) -> Result<Self, DeckError> {
        let damaged = |reason: &str| DeckError::Damaged {
            file: file.to_owned(),
            place: "the workbook".to_owned(),
            reason: reason.to_owned(),
        };
        let refuse = |what: &str, advice| DeckError::Format { file: file.to_owned(), what: what.to_owned(), advice };
        let (names, stream) = cfb::stream(bytes, &["Workbook", "Book"]).map_err(damaged)?;
        let Some(stream) = stream else {
            let password = names.iter().any(|name| name == "EncryptedPackage");
            let what = if password { "protected by a password" } else { "no workbook, though packed like one" };
            return Err(refuse(what, "save it as .xlsx or CSV without a password"));
        };
        let mut measure = Measure { bytes: 0, strings: Vec::new() };
        measure.workbook(&stream).map_err(damaged)?;
        if measure.bytes > limits.unpacked_bytes {
            let what = format!("its cells would take {} bytes", measure.bytes);
            return Err(DeckError::TooLarge { file: file.to_owned(), what, limit: limits.unpacked_bytes });
        }
        let opened = unbroken(file, "the workbook", || Xls::new(Cursor::new(bytes)))?;
        let xls = opened.map_err(|error| match error {
            XlsError::Password => refuse("protected by a password", "save it without one"),
            error => damaged(&error.to_string()),
        })?;
        Ok(Self { file, limits, xls })
    }
}

/// What calamine would keep of a workbook.
struct Measure {
    bytes: u64,
    /// Bytes of each shared string: every cell that shows one gets a copy.
    strings: Vec<u32>,
}

/// Records of a stream: type, data, place of the next.
struct Records<'s> {
    stream: &'s [u8],
    at: usize,
}

impl<'s> Iterator for Records<'s> {
    type Item = (u16, &'s [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.stream.get(self.at..self.at + 4)?;
        let (kind, length) = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
        let data = self.stream.get(self.at + 4..self.at + 4 + usize::from(length))?;
        self.at += 4 + usize::from(length);
        Some((kind, data))
    }
}

const BOF: u16 = 0x0809;
const EOF: u16 = 0x000a;
const BOUND_SHEET: u16 = 0x0085;
const SHARED_STRINGS: u16 = 0x00fc;
const CONTINUE: u16 = 0x003c;
const DIMENSIONS: u16 = 0x0200;
const LABEL_SHARED: u16 = 0x00fd;
const MULTIPLE_NUMBERS: u16 = 0x00bd;
/// Records of one cell: number, label, boolean, formula, RK, rich label.
const CELLS: [u16; 6] = [0x0203, 0x0204, 0x0205, 0x0006, 0x027e, 0x00d6];

impl Measure {
    fn workbook(&mut self, stream: &[u8]) -> Result<(), &'static str> {
        let mut sheets = Vec::new();
        let mut records = Records { stream, at: 0 };
        let mut next = records.next();
        while let Some((kind, data)) = next {
            next = records.next();
            match kind {
                EOF => break,
                BOUND_SHEET => {
                    let place = data.get(..4).ok_or("a sheet without a place")?;
                    sheets.push(u32::from_le_bytes([place[0], place[1], place[2], place[3]]) as usize);
                }
                SHARED_STRINGS => {
                    let mut parts = vec![data];
                    while let Some((CONTINUE, more)) = next {
                        parts.push(more);
                        next = records.next();
                    }
                    self.strings = strings(&parts).ok_or("its shared strings are cut")?;
                }
                _ => {}
            }
        }
        for place in sheets {
            self.sheet(stream, place)?;
        }
        Ok(())
    }

    fn sheet(&mut self, stream: &[u8], at: usize) -> Result<(), &'static str> {
        if at >= stream.len() {
            return Err("a sheet lies beyond the end of the workbook");
        }
        let u16_at = |data: &[u8], at: usize| data.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
        let short = "a cell is cut";
        let (mut rows, mut columns, mut depth) = (None::<(u16, u16)>, None::<(u16, u16)>, 0);
        let widen = |range: &mut Option<(u16, u16)>, value: u16| {
            let (low, high) = range.get_or_insert((value, value));
            (*low, *high) = (value.min(*low), value.max(*high));
        };
        for (kind, data) in (Records { stream, at }) {
            match kind {
                BOF => depth += 1,
                EOF if depth <= 1 => break,
                EOF => depth -= 1,
                DIMENSIONS if data.len() >= 14 => {
                    let number =
                        |at: usize| u64::from(u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]));
                    let (width, height) = (u64::from(u16_at(data, 10).ok_or(short)?), number(4));
                    self.bytes = self.bytes.saturating_add(height.saturating_mul(width).saturating_mul(CELL_BYTES + 8));
                }
                kind if CELLS.contains(&kind) || kind == LABEL_SHARED || kind == MULTIPLE_NUMBERS => {
                    let (row, column) = (u16_at(data, 0).ok_or(short)?, u16_at(data, 2).ok_or(short)?);
                    widen(&mut rows, row);
                    widen(&mut columns, column);
                    if kind == MULTIPLE_NUMBERS {
                        widen(&mut columns, u16_at(data, data.len().saturating_sub(2)).ok_or(short)?);
                    }
                    if kind == LABEL_SHARED {
                        let index = data.get(6..10).ok_or(short)?;
                        let index = u32::from_le_bytes([index[0], index[1], index[2], index[3]]) as usize;
                        let length = self.strings.get(index).copied().unwrap_or(0);
                        self.bytes = self.bytes.saturating_add(u64::from(length));
                    }
                    self.bytes = self.bytes.saturating_add(CELL_BYTES + data.len() as u64);
                }
                _ => {}
            }
        }
        if let (Some((top, bottom)), Some((left, right))) = (rows, columns) {
            let cells = (u64::from(bottom - top) + 1) * (u64::from(right - left) + 1);
            self.bytes = self.bytes.saturating_add(cells * CELL_BYTES);
        }
        Ok(())
    }
}

/// Bytes of each shared string in UTF-8 at most (MS-XLS 2.5.293): characters may go on in the next record, where a byte
/// says anew how wide they are.
fn strings(parts: &[&[u8]]) -> Option<Vec<u32>> {
    let mut reader = Parts { parts, rest: parts.first()?.get(8..)?, next: 1 };
    let mut lengths = Vec::new();
    while reader.more() {
        let characters = u32::from(reader.u16()?);
        let flags = reader.u8()?;
        let runs = if flags & 8 != 0 { u32::from(reader.u16()?) } else { 0 };
        let extra = if flags & 4 != 0 { reader.u16().map(u32::from)? | u32::from(reader.u16()?) << 16 } else { 0 };
        let (mut left, mut wide) = (characters, flags & 1 != 0);
        while left > 0 {
            if reader.rest.is_empty() {
                reader.turn()?;
                wide = reader.u8()? & 1 != 0;
            }
            let width = if wide { 2 } else { 1 };
            let here = left.min((reader.rest.len() / width) as u32);
            if here == 0 {
                return None;
            }
            reader.rest = reader.rest.get(here as usize * width..)?;
            left -= here;
        }
        reader.skip(u64::from(runs) * 4 + u64::from(extra))?;
        lengths.push(characters.saturating_mul(3));
    }
    Some(lengths)
}

struct Parts<'p> {
    parts: &'p [&'p [u8]],
    rest: &'p [u8],
    next: usize,
}

impl Parts<'_> {
    fn more(&mut self) -> bool {
        !self.rest.is_empty() || (self.next < self.parts.len() && self.turn().is_some())
    }

    fn turn(&mut self) -> Option<()> {
        self.rest = self.parts.get(self.next)?;
        self.next += 1;
        Some(())
    }

    fn u8(&mut self) -> Option<u8> {
        if self.rest.is_empty() {
            self.turn()?;
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.u8()?, self.u8()?]))
    }

    fn skip(&mut self, mut bytes: u64) -> Option<()> {
        while bytes > 0 {
            if self.rest.is_empty() {
                self.turn()?;
                continue;
            }
            let here = bytes.min(self.rest.len() as u64);
            self.rest = &self.rest[here as usize..];
            bytes -= here;
        }
        Some(())
    }
}

impl Rows for Workbook<'_> {
    fn sheets(&self) -> Vec<SmolStr> {
        self.xls.sheet_names().iter().map(SmolStr::new).collect()
    }

    fn walk(&mut self, sheet: &str, each: &mut Each<'_>) -> Result<(), DeckError> {
        let (file, limits) = (self.file, self.limits);
        let range = unbroken(file, sheet, || self.xls.worksheet_range(sheet))?.map_err(|error| DeckError::Damaged {
            file: file.to_owned(),
            place: format!("sheet {sheet:?}"),
            reason: error.to_string(),
        })?;
        let Some((top, left)) = range.start() else { return Ok(()) };
        let width = left as usize + range.width();
        if width > limits.columns as usize {
            let what = format!("sheet {sheet:?} has {width} columns");
            return Err(DeckError::TooLarge { file: file.to_owned(), what, limit: u64::from(limits.columns) });
        }
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(width);
        for (at, row) in range.rows().enumerate() {
            cells.clear();
            cells.resize(left as usize, Cell::Empty);
            cells.extend(row.iter().map(|value| convert_owned(value, limits.cell_bytes)));
            if cells.iter().all(Cell::is_empty) {
                continue;
            }
            if !each(top + at as u32 + 1, &cells)? {
                return Ok(());
            }
        }
        Ok(())
    }
}
