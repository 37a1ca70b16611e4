//! Sheets of an XLSX workbook as rows of cells. The archive is measured before anything is kept of it, so that a
//! zip bomb is refused by name; cells are streamed, so that a declared range of a billion cells costs nothing.

use crate::archive;
use crate::cell::Cell;
use crate::options::Limits;
use crate::{DeckError, Each, Rows};
use calamine::{Data, DataRef, Reader as _, Xlsx, XlsxError};
use jiff::civil::DateTime;
use smol_str::SmolStr;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An opened workbook.
pub struct Workbook<'a> {
    file: &'a str,
    limits: &'a Limits,
    xlsx: Xlsx<Cursor<&'a [u8]>>,
}

impl<'a> Workbook<'a> {
    pub fn open(file: &'a str, bytes: &'a [u8], limits: &'a Limits) -> Result<Self, DeckError> {
        archive::measure(file, bytes, limits)?;
        let xlsx = unbroken(file, "the workbook", || Xlsx::new(Cursor::new(bytes)))?
            .map_err(|error| damaged(file, "the workbook", &error))?;
        Ok(Self { file, limits, xlsx })
    }
}

fn damaged(file: &str, place: &str, error: &XlsxError) -> DeckError {
    if matches!(error, XlsxError::Password) {
        return DeckError::Format {
            file: file.to_owned(),
            what: "protected by a password".to_owned(),
            advice: "save it without one",
        };
    }
    DeckError::Damaged { file: file.to_owned(), place: place.to_owned(), reason: error.to_string() }
}

/// calamine reckons with cell references unchecked: one such as `ABCDEFGH1` overflows, which is a panic where overflow
/// is checked (see the profiles in the root's Cargo.toml) and would else move the cell to another column.
pub fn unbroken<T>(file: &str, place: &str, read: impl FnOnce() -> T) -> Result<T, DeckError> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| DeckError::Damaged {
        file: file.to_owned(),
        place: place.to_owned(),
        reason: "a cell reference is beyond any sheet".to_owned(),
    })
}

impl Rows for Workbook<'_> {
    fn sheets(&self) -> Vec<SmolStr> {
        self.xlsx.sheet_names().iter().map(SmolStr::new).collect()
    }

    fn walk(&mut self, sheet: &str, each: &mut Each<'_>) -> Result<(), DeckError> {
        let (file, limits) = (self.file, self.limits);
        let place = |row: u32| format!("sheet {sheet:?} after row {row}");
        let mut reader = match unbroken(file, &place(0), || self.xlsx.worksheet_cells_reader(sheet))? {
            Ok(reader) => reader,
            // Chart and dialog sheets have no cells; nor has a sheet whose part is missing.
            Err(XlsxError::NotAWorksheet(_)) => return Ok(()),
            Err(error) => return Err(damaged(file, &format!("sheet {sheet:?}"), &error)),
        };
        let mut row = 0u32;
        let mut cells: Vec<Cell<'_>> = Vec::new();
        loop {
            let step = unbroken(file, "a cell", || reader.next_cell())?;
            let Some(cell) = step.map_err(|error| damaged(file, &place(row), &error))? else { break };
            let (at, column) = cell.get_position();
            let at = at.saturating_add(1);
            if at != row {
                if at < row {
                    return Err(DeckError::Damaged {
                        file: file.to_owned(),
                        place: place(row),
                        reason: format!("row {at} follows row {row}"),
                    });
                }
                if !cells.is_empty() && !each(row, &cells)? {
                    return Ok(());
                }
                cells.clear();
                row = at;
            }
            let value = convert(cell.get_value());
            if value.is_empty() {
                continue;
            }
            if column >= limits.columns {
                return Err(DeckError::TooLarge {
                    file: file.to_owned(),
                    what: format!("row {row} of sheet {sheet:?} has a cell in column {}", column + 1),
                    limit: u64::from(limits.columns),
                });
            }
            let column = column as usize;
            if cells.len() <= column {
                cells.resize(column + 1, Cell::Empty);
            }
            cells[column] = match value {
                Cell::Text(text) if text.len() > limits.cell_bytes as usize => {
                    Cell::Error("more text than a cell may hold".into())
                }
                value => value,
            };
        }
        if !cells.is_empty() {
            each(row, &cells)?;
        }
        Ok(())
    }
}

/// A value of a table that calamine holds whole.
pub fn convert_owned(value: &Data, cell_bytes: u32) -> Cell<'_> {
    let cell = match value {
        Data::Empty => Cell::Empty,
        Data::Int(value) => Cell::Number(value.to_string()),
        Data::Float(value) => Cell::number(&format!("{value:.14e}")),
        Data::String(text) => Cell::text(text.as_str()),
        Data::Bool(value) => Cell::Bool(*value),
        Data::DateTime(serial) => convert(&DataRef::DateTime(*serial)),
        Data::DateTimeIso(text) => text.parse::<DateTime>().map_or_else(|_| Cell::text(text.as_str()), Cell::Date),
        Data::DurationIso(text) => Cell::text(text.as_str()),
        Data::Error(error) => Cell::Error(error.to_string()),
        #[allow(unreachable_patterns)] // calamine may know more kinds one day
        other => Cell::Error(other.to_string()),
    };
    match cell {
        Cell::Text(text) if text.len() > cell_bytes as usize => Cell::Error("more text than a cell may hold".into()),
        cell => cell,
    }
}

/// Formula cells arrive with the value that the spreadsheet cached.
fn convert<'a>(value: &DataRef<'a>) -> Cell<'a> {
    match value {
        DataRef::Empty => Cell::Empty,
        DataRef::Int(value) => Cell::Number(value.to_string()),
        DataRef::Float(value) => Cell::number(&format!("{value:.14e}")),
        DataRef::String(text) => Cell::text(text.clone()),
        DataRef::SharedString(text) => Cell::text(*text),
        DataRef::Bool(value) => Cell::Bool(*value),
        DataRef::DateTime(serial) => {
            let (year, month, day, hour, minute, second, milli) = serial.to_ymd_hms_milli();
            let date = DateTime::new(
                year as i16,
                month as i8,
                day as i8,
                hour as i8,
                minute as i8,
                second as i8,
                i32::from(milli) * 1_000_000,
            );
            date.map_or_else(|error| Cell::Error(error.to_string()), Cell::Date)
        }
        DataRef::DateTimeIso(text) => match text.parse::<DateTime>() {
            Ok(date) => Cell::Date(date),
            Err(_) => Cell::text(text.clone()),
        },
        DataRef::DurationIso(text) => Cell::text(text.clone()),
        DataRef::Error(error) => Cell::Error(error.to_string()),
    }
}
