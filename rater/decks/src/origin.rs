//! Tables beside the rates that say what callers of a group pay: groups with their codes, and surcharges or rates by
//! group. They become origin groups and rows with an origin. A line that fits no code or no group is a problem.

use crate::cell::Cell;
use crate::code::{self, Signs};
use crate::field::Field;
use crate::lexicon::{self, words_of};
use crate::options::ReadOptions;
use crate::{DeckError, Item, Problem, Rows, Source, price};
use facts::Currency;
use facts::Prefix;
use facts::deck::{OriginGroup, OriginMode, Price, Rate};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Rows that are looked at for the header of such a table.
const SEARCH_ROWS: u32 = 200;
#[rustfmt::skip]
const SURCHARGE: [&str; 12] = [
    "surcharge", "surcharges", "zuschlag", "zuschlage", "aufschlag", "recargo", "supplement", "majoration", "sovrapprezzo",
    "supplemento", "надбавка", "uplift",
];
/// Groups of callers that have no number, or none that is right.
const MALFORMED: [&str; 8] =
    ["unknown", "invalid", "malformed", "missing", "anonymous", "unidentified", "no cli", "without cli"];

/// What a column of such a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Origin,
    Codes,
    Destination,
    Surcharge,
    Rate,
}

/// One line of a table, still to be fitted to the deck's codes.
struct Line {
    source: Source,
    origin: SmolStr,
    destination: SmolStr,
    price: Price,
    mode: OriginMode,
}

/// What the tables say.
#[derive(Default)]
pub struct Origins {
    groups: BTreeMap<SmolStr, OriginGroup>,
    lines: Vec<Line>,
    problems: Vec<Problem>,
}

fn column(header: &str) -> Option<Column> {
    let words = words_of(header);
    let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    match lexicon::field(header) {
        _ if any(&SURCHARGE) => Some(Column::Surcharge),
        Some(Field::Origin) => Some(Column::Origin),
        Some(Field::Code | Field::AreaCode | Field::CountryCode) => Some(Column::Codes),
        _ if lexicon::is_origin_code(&words) => Some(Column::Codes),
        Some(Field::Destination) => Some(Column::Destination),
        Some(field) if field.is_price() => Some(Column::Rate),
        _ => None,
    }
}

impl Origins {
    /// Looks through a sheet from a row on: one that holds no rates, or what stands below them. Several tables may follow
    /// one another, each with its header.
    pub fn sheet(
        &mut self,
        rows: &mut dyn Rows,
        (sheet, from): (&SmolStr, u32),
        currency: Option<Currency>,
        template: &ReadOptions,
    ) -> Result<(), DeckError> {
        let mut columns: Vec<(Column, usize)> = Vec::new();
        rows.walk(sheet, &mut |number, cells| {
            if number < from {
                return Ok(true);
            }
            let again = header(cells);
            if columns.is_empty() || !again.is_empty() {
                columns = again;
                return Ok(number < from.saturating_add(SEARCH_ROWS) || !columns.is_empty());
            }
            let source = Source { sheet: sheet.clone(), row: number };
            if let Err((reason, advice)) = self.line(&columns, cells, &source, currency, template) {
                self.problems.push(Problem { source, column: SmolStr::default(), reason, advice: advice.to_owned() });
            }
            Ok(true)
        })
    }

    fn line(
        &mut self,
        columns: &[(Column, usize)],
        cells: &[Cell<'_>],
        source: &Source,
        currency: Option<Currency>,
        template: &ReadOptions,
    ) -> Result<(), code::Fault> {
        let cell = |column: Column| {
            let at = columns.iter().find(|(known, _)| *known == column).map(|(_, at)| *at);
            at.and_then(|at| cells.get(at)).unwrap_or(&Cell::Empty)
        };
        let origin = SmolStr::new(cell(Column::Origin).to_string());
        if origin.is_empty() {
            return Ok(()); // A blank line, or a remark below the table.
        }
        let codes = cell(Column::Codes);
        if !codes.is_empty() {
            let signs = Signs { hyphen: template.hyphen, space: template.space, most: template.limits.codes_a_row };
            let mut found = Vec::new();
            code::codes(codes, None, signs, &mut found)?;
            let other = self
                .groups
                .values()
                .find(|group| group.name != origin && found.iter().any(|code| group.prefixes.contains(code)));
            if let Some(other) = other {
                return Err((
                    format!("a code of {origin:?} is one of {:?} too", other.name),
                    "leave it in one of them",
                ));
            }
            let group = self.group(&origin);
            found.retain(|code| !group.prefixes.contains(code));
            group.prefixes.extend(found);
        }
        for (column, mode) in [(Column::Surcharge, OriginMode::Add), (Column::Rate, OriginMode::Replace)] {
            let price = price::price(cell(column), currency, template.decimal_mark)?;
            let Some(price) = price else { continue };
            let destination = SmolStr::new(cell(Column::Destination).to_string());
            if destination.is_empty() && mode == OriginMode::Replace {
                return Err((format!("the rate for {origin:?} is for no destination"), "name the destination"));
            }
            self.lines.push(Line { source: source.clone(), origin: origin.clone(), destination, price, mode });
        }
        Ok(())
    }

    fn group(&mut self, name: &SmolStr) -> &mut OriginGroup {
        let empty = || OriginGroup { name: name.clone(), prefixes: Vec::new(), malformed: false };
        self.groups.entry(name.clone()).or_insert_with(empty)
    }

    /// Whether there is anything to fit.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.lines.is_empty() && self.problems.is_empty()
    }

    /// Hands over the rows of the groups, made of the deck's own by destination; and the groups.
    pub fn finish(self, deck: &BTreeMap<SmolStr, Vec<Rate>>, sink: &mut dyn FnMut(Item)) -> Vec<OriginGroup> {
        let Self { mut groups, lines, problems } = self;
        let mut problems = problems;
        for line in &lines {
            let malformed = MALFORMED.contains(&line.origin.to_lowercase().as_str());
            if malformed && !groups.contains_key(&line.origin) {
                let group = OriginGroup { name: line.origin.clone(), prefixes: Vec::new(), malformed: true };
                groups.insert(line.origin.clone(), group);
            }
        }
        for line in lines {
            let fault = |reason: String, advice: &str| {
                let source = line.source.clone();
                Problem { source, column: SmolStr::default(), reason, advice: advice.to_owned() }
            };
            if !groups.contains_key(&line.origin) {
                problems.push(fault(
                    format!("no table says which callers are {:?}", line.origin),
                    "ask for the codes of the group",
                ));
                continue;
            }
            let of_line = |base: &Rate| Rate {
                origin: Some(line.origin.clone()),
                origin_mode: line.mode,
                first_rate: line.price,
                next_rate: line.price,
                connect_fee: if line.mode == OriginMode::Add { Price(0) } else { base.connect_fee },
                ..base.clone()
            };
            if line.destination.is_empty() {
                let all = Rate::simple(Prefix::default(), "", 1, 1, line.price);
                sink(Item::Rate(of_line(&all), line.source.clone()));
                continue;
            }
            match deck.get(line.destination.to_lowercase().as_str()) {
                Some(rates) => rates.iter().for_each(|rate| sink(Item::Rate(of_line(rate), line.source.clone()))),
                None => problems.push(fault(
                    format!("no destination of the deck is called {:?}", line.destination),
                    "write it as the table of rates does",
                )),
            }
        }
        problems.into_iter().for_each(|problem| sink(Item::Problem(problem)));
        groups.into_values().filter(|group| group.malformed || !group.prefixes.is_empty()).collect()
    }
}

/// Whether a row is the header of such a table.
pub fn is_header(cells: &[Cell<'_>]) -> bool {
    !header(cells).is_empty()
}

/// The columns of a header of such a table: a group, and its codes or what its callers pay.
fn header(cells: &[Cell<'_>]) -> Vec<(Column, usize)> {
    let mut found: Vec<(Column, usize)> = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let Cell::Text(text) = cell else { continue };
        if let Some(column) = column(text)
            && !found.iter().any(|(known, _)| *known == column)
        {
            found.push((column, at));
        }
    }
    let has = |column: Column| found.iter().any(|(known, _)| *known == column);
    let of_group = has(Column::Codes) || has(Column::Surcharge) || has(Column::Rate);
    if has(Column::Origin) && of_group { found } else { Vec::new() }
}
