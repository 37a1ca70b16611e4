//! A look at the whole sheet before its rows are read: what one row alone cannot tell. Decides nothing about a price.

use crate::cell::Cell;
use crate::date::{self, Order};
use crate::field::Field;
use crate::header::Layout;
use crate::options::{DateOrder, ReadOptions};
use crate::{DeckError, Rows, origin};

/// Lines of text below a table that are kept.
const LINES_MAX: usize = 200;

/// Headers that name a place as well as the digits of one.
const REST_OF_CODE: [&str; 7] = ["area", "city", "region", "ndc", "npa", "ville", "ciudad"];

/// What the columns say as a whole.
#[derive(Default, Debug)]
pub struct Survey {
    /// First dates that can be read only one way, and the first that could be both, each with its place.
    day_first: Option<String>,
    month_first: Option<String>,
    either: Option<String>,
    /// Text among and below the rows: terms, remarks.
    pub lines: Vec<String>,
}

impl Survey {
    /// Looks at one sheet of rates. Answers with the row at which a table of origins begins below them.
    pub fn sheet(
        &mut self,
        file: &str,
        rows: &mut dyn Rows,
        layout: &Layout,
        template: &ReadOptions,
    ) -> Result<Option<u32>, DeckError> {
        let at = |fields: &[Field]| -> Vec<usize> {
            layout.columns.iter().filter(|(_, field, _)| fields.contains(field)).map(|(at, ..)| *at).collect()
        };
        let dates = at(&[Field::ValidFrom, Field::ValidUntil]);
        let codes = at(&[Field::Code, Field::CountryCode, Field::AreaCode]);
        let mut last = String::new();
        let mut below = None;
        let mut beside = Beside::default();
        rows.walk(&layout.sheet, &mut |number, cells| {
            if number <= layout.header_row {
                if number == layout.header_row && !template.columns.contains_key(&Field::Code) {
                    beside = Beside::of(layout, cells);
                }
                return Ok(true);
            }
            if below.is_none() && codes.iter().any(|at| is_code(cells.get(*at))) {
                beside.look(cells);
            }
            if below.is_none()
                && codes.iter().all(|at| !is_code(cells.get(*at)))
                && !is_header_again(layout, cells)
                && origin::is_header(cells)
            {
                below = Some(number);
            }
            // The columns of what stands below mean something else.
            for at in dates.iter().filter(|_| template.date_order.is_none() && below.is_none()) {
                if let Some(Cell::Text(text)) = cells.get(*at)
                    && *text != last
                {
                    last.clear();
                    last.push_str(text);
                    self.date(text, || place(layout, number));
                }
            }
            if self.lines.len() < LINES_MAX && codes.iter().all(|at| !is_code(cells.get(*at))) {
                let texts: Vec<String> =
                    cells.iter().filter(|cell| !cell.is_empty()).map(ToString::to_string).collect();
                if !texts.is_empty() {
                    self.lines.push(texts.join(": "));
                }
            }
            Ok(true)
        })?;
        beside.ask(file, layout)?;
        Ok(below)
    }

    /// A date that stands somewhere.
    pub fn date(&mut self, text: &str, place: impl Fn() -> String) {
        let slot = match date::order_of(text) {
            None => return,
            Some(Order::DayFirst) => &mut self.day_first,
            Some(Order::MonthFirst) => &mut self.month_first,
            Some(Order::Either) => &mut self.either,
        };
        slot.get_or_insert_with(|| format!("{text:?} ({})", place()));
    }

    /// The order of day and month that all dates allow; `None` where none needs one.
    pub fn order(&self, file: &str, template: &ReadOptions) -> Result<Option<DateOrder>, DeckError> {
        let ask = |seen: String| Err(DeckError::DateOrder { file: file.to_owned(), seen });
        match (template.date_order, &self.day_first, &self.month_first, &self.either) {
            (Some(order), ..) => Ok(Some(order)),
            (None, Some(day), Some(month), _) => {
                ask(format!("{day} can be read day first only and {month} month first only"))
            }
            (None, Some(_), None, _) => Ok(Some(DateOrder::DayFirst)),
            (None, None, Some(_), _) => Ok(Some(DateOrder::MonthFirst)),
            (None, None, None, Some(either)) => {
                ask(format!("{either} can be read day first and month first, and no other date tells which"))
            }
            (None, None, None, None) => Ok(None),
        }
    }
}

/// A column beside the codes that is called `Area` or the like: a name, or the rest of the codes?
#[derive(Default)]
struct Beside {
    at: Option<usize>,
    name: String,
    digits: bool,
    words: bool,
}

impl Beside {
    fn of(layout: &Layout, header: &[Cell<'_>]) -> Self {
        let known = |at: usize| layout.columns.iter().any(|(column, ..)| *column == at);
        let split = layout.columns.iter().any(|(_, field, _)| *field == Field::AreaCode);
        let found = header.iter().enumerate().find(|(at, cell)| {
            let text = cell.to_string().trim().to_lowercase();
            !split && !known(*at) && REST_OF_CODE.contains(&text.as_str())
        });
        found.map_or_else(Self::default, |(at, cell)| Self { at: Some(at), name: cell.to_string(), ..Self::default() })
    }

    fn look(&mut self, cells: &[Cell<'_>]) {
        let Some(cell) = self.at.and_then(|at| cells.get(at)).filter(|cell| !cell.is_empty()) else { return };
        let number = cell.to_string().chars().all(|c| c.is_ascii_digit() || " ,;-/|".contains(c));
        (self.digits, self.words) = (self.digits || number, self.words || !number);
    }

    fn ask(self, file: &str, layout: &Layout) -> Result<(), DeckError> {
        if !self.digits || self.words {
            return Ok(());
        }
        let code = layout.columns.iter().find(|(_, field, _)| *field == Field::Code).map(|(.., name)| name.clone());
        Err(DeckError::RestOfCode { file: file.to_owned(), area: self.name, code: code.unwrap_or_default().into() })
    }
}

/// The rates' own header once more, as on a second page.
fn is_header_again(layout: &Layout, cells: &[Cell<'_>]) -> bool {
    let same = |(at, _, name): &(usize, Field, smol_str::SmolStr)| matches!(cells.get(*at), Some(Cell::Text(text)) if *text == name.as_str());
    layout.columns.iter().filter(|column| same(column)).count() * 2 > layout.columns.len()
}

fn is_code(cell: Option<&Cell<'_>>) -> bool {
    match cell {
        Some(Cell::Text(text)) => text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '^' | '=' | '\'')),
        Some(Cell::Number(_)) => true,
        _ => false,
    }
}

fn place(layout: &Layout, row: u32) -> String {
    if layout.sheet.is_empty() { format!("row {row}") } else { format!("sheet {}, row {row}", layout.sheet) }
}
