//! One data row into rates or a problem. A row is never dropped without being counted, a value never guessed
//! without being named among the assumptions.

mod assumed;
mod values;

use crate::cell::Cell;
use crate::code;
use crate::date;
use crate::field::Field;
use crate::header::Layout;
use crate::lexicon::{Unit, unit};
use crate::options::{DateOrder, Increment, ReadOptions};
use crate::sheets::Known;
use crate::totals::Totals;
use crate::{DeckError, Found, Item, Problem, Source};
use assumed::Assumed;
use facts::deck::{Price, Rate, RowStatus};
use facts::{Currency, Prefix};
use hashbrown::{HashMap, HashSet};
use jiff::tz::TimeZone;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Longest interval, seconds: a day.
const INTERVAL_MAX: u32 = 86_400;
/// Where nothing names an increment: per second.
const PER_SECOND: Increment = (1, 1);

/// What is wrong with which column.
struct Fault {
    field: Option<Field>,
    reason: String,
    advice: &'static str,
}

impl Fault {
    fn new(field: Field, reason: impl Into<String>, advice: &'static str) -> Self {
        Self { field: Some(field), reason: reason.into(), advice }
    }
}

/// When a row begins to count, and for whom.
type Slot = (Option<i64>, u32);

/// Reads the rows below a header.
pub struct Reader<'a> {
    file: &'a str,
    layout: &'a Layout,
    template: &'a ReadOptions,
    columns: BTreeMap<Field, usize>,
    /// Price columns that are not in the currency for a minute.
    units: BTreeMap<Field, Unit>,
    zone: TimeZone,
    order: DateOrder,
    currency: Option<Currency>,
    /// What is valid from then on where the row does not say.
    valid_from: Option<i64>,
    issued_at: Option<i64>,
    /// Where rows name no increment; `None`: nothing says it.
    increment: Option<Increment>,
    /// The same by words with which a destination's name begins; longest first.
    increments: Vec<(Vec<String>, SmolStr, Increment)>,
    /// The last destination and country, and the increment that was found for them.
    increment_memo: Option<(SmolStr, SmolStr, Option<Increment>)>,
    /// Exceptions that named a destination of the file.
    excepted: Vec<bool>,
    /// Codes seen, each with the number of its slot and the row that was first: those that came in order, as most files
    /// have them, 16 bytes a code, and there are millions; and those that did not.
    rising: Vec<(Prefix, u32, u32)>,
    seen: HashMap<Prefix, (u32, u32)>,
    /// Further rows of a code: other dates, bands, origins.
    more: BTreeMap<(Prefix, u32), u32>,
    /// Slots by number; rows as a rule share a few, and follow one another in them.
    slots: HashMap<Slot, u32>,
    last_slot: Option<(Slot, u32)>,
    /// Numbers of the (time band, origin) pairs in slots.
    pairs: BTreeMap<(Option<SmolStr>, Option<SmolStr>), u32>,
    destinations: HashSet<SmolStr>,
    destination: SmolStr,
    /// Open rates by destination in small letters, where a table of origins will ask for them.
    kept: Option<BTreeMap<SmolStr, Vec<Rate>>>,
    date: Option<(String, i64)>,
    assumed: Assumed,
    pub totals: Totals,
}

impl<'a> Reader<'a> {
    pub fn new(
        file: &'a str,
        layout: &'a Layout,
        known: &Known,
        order: Option<DateOrder>,
        template: &'a ReadOptions,
    ) -> Result<Self, DeckError> {
        let zone = jiff::tz::TimeZoneDatabase::bundled()
            .get(&template.effective_zone)
            .map_err(|error| DeckError::Template(format!("effective_zone {:?}: {error}", template.effective_zone)))?;
        let increments = if template.increments.is_empty() { &known.said.except } else { &template.increments };
        let all = increments.iter().map(|(_, increment)| *increment).chain(template.increment);
        for (first, next) in all {
            if next == 0 || next > INTERVAL_MAX || first > INTERVAL_MAX {
                return Err(DeckError::Template(format!(
                    "increment {first}/{next} is outside 0 to 86400 / 1 to 86400"
                )));
            }
        }
        let mut increments: Vec<_> = increments
            .iter()
            .map(|(name, increment)| (crate::lexicon::words_of(name), name.clone(), *increment))
            .collect();
        increments.sort_by_key(|(words, ..)| std::cmp::Reverse(words.len()));
        let mut reader = Self {
            file,
            layout,
            template,
            columns: BTreeMap::new(),
            units: BTreeMap::new(),
            currency: known.currency,
            valid_from: None,
            issued_at: None,
            zone,
            order: order.unwrap_or(DateOrder::DayFirst),
            increment: template.increment.or(known.said.all),
            excepted: vec![false; increments.len()],
            increments,
            increment_memo: None,
            rising: Vec::new(),
            seen: HashMap::new(),
            more: BTreeMap::new(),
            slots: HashMap::new(),
            last_slot: None,
            pairs: BTreeMap::new(),
            destinations: HashSet::new(),
            destination: SmolStr::default(),
            kept: None,
            date: None,
            assumed: Assumed::new(known, template),
            totals: Totals::default(),
        };
        reader.enter(layout);
        Ok(reader)
    }

    /// Turns to the next sheet; codes of the sheets before stay known.
    pub fn enter(&mut self, layout: &'a Layout) {
        let instant = |at| date::in_zone(at, &self.zone);
        self.valid_from = self.template.valid_from.or_else(|| layout.notice.effective_from.and_then(instant));
        self.issued_at = self.template.issued_at.or_else(|| layout.notice.issued.and_then(instant));
        self.layout = layout;
        self.columns = layout.columns.iter().map(|(at, field, _)| (*field, *at)).collect();
        let units = layout.prices.iter().map(|(field, name)| (*field, unit(name)));
        self.units = units.filter(|(_, unit)| *unit != Unit::default()).collect();
        for (field, unit) in &self.units {
            self.assumed.unit(&layout.prices[field], *unit);
        }
        self.assumed.notice(&layout.notice);
    }

    /// Reads one row and hands over what it means.
    pub fn row(&mut self, number: u32, cells: &[Cell<'_>], sink: &mut dyn FnMut(Item)) -> Result<(), DeckError> {
        self.totals.rows += 1;
        if self.totals.rows > u64::from(self.template.limits.rows) {
            return Err(self.beyond("more rows", self.template.limits.rows));
        }
        if cells.iter().all(Cell::is_empty) {
            self.totals.blank += 1;
            return Ok(());
        }
        if self.is_remark(cells) {
            self.totals.remarks += 1;
            return Ok(());
        }
        let source = Source { sheet: self.layout.sheet.clone(), row: number };
        match self.rates(number, cells) {
            Ok(rates) => {
                self.totals.rate_rows += 1;
                for rate in rates {
                    self.totals.count(&rate);
                    if let Some(kept) = &mut self.kept
                        && rate.status == RowStatus::Open
                    {
                        kept.entry(rate.destination.to_lowercase().into()).or_default().push(rate.clone());
                    }
                    sink(Item::Rate(rate, source.clone()));
                }
            }
            Err(Fault { field, reason, advice }) => {
                self.totals.problems += 1;
                if self.totals.problems > u64::from(self.template.limits.problems) {
                    let what = format!("more rows with problems (the last: row {number}: {reason}; {advice})");
                    return Err(self.beyond(&what, self.template.limits.problems));
                }
                let column = field.map_or_else(SmolStr::default, |field| self.layout.name(field));
                sink(Item::Problem(Problem { source, column, reason, advice: advice.to_owned() }));
            }
        }
        Ok(())
    }

    /// From now on keeps the rows of each destination, for the tables of origins.
    pub fn keep_destinations(&mut self) {
        self.kept = Some(BTreeMap::new());
    }

    /// The rows kept.
    pub fn kept(&self) -> &BTreeMap<SmolStr, Vec<Rate>> {
        const NONE: &BTreeMap<SmolStr, Vec<Rate>> = &BTreeMap::new();
        self.kept.as_ref().unwrap_or(NONE)
    }

    /// Counts and hands over what a table beside the rates says.
    pub fn beside(&mut self, item: Item, sink: &mut dyn FnMut(Item)) {
        self.totals.beside += 1;
        if let Item::Rate(rate, _) = &item {
            self.totals.rates += 1;
            self.totals.origin_rates += 1;
            self.totals.blocked += u64::from(rate.status == RowStatus::Blocked);
        } else {
            self.totals.problems += 1;
        }
        sink(item);
    }

    /// Writes down what the rows have shown, and hands over the totals.
    pub fn finish(mut self, found: &mut Found) -> Totals {
        self.totals.codes = (self.rising.len() + self.seen.len()) as u64;
        self.totals.destinations = self.destinations.len() as u64;
        found.currency = self.currency;
        found.increment = self.increment;
        found.increments = self.increments.iter().map(|(_, name, increment)| (name.clone(), *increment)).collect();
        if self.assumed.increments_used && self.template.increments.is_empty() {
            for ((_, name, (first, next)), used) in self.increments.iter().zip(&self.excepted) {
                if !used {
                    self.assumed.exception_without_code(name, *first, *next);
                }
            }
        }
        (found.assumptions, found.to_confirm) = self.assumed.told();
        self.totals
    }

    fn beyond(&self, what: &str, limit: u32) -> DeckError {
        DeckError::TooLarge { file: self.file.to_owned(), what: what.to_owned(), limit: u64::from(limit) }
    }

    /// Neither code nor price: a section title, terms, or the header once more.
    fn is_remark(&self, cells: &[Cell<'_>]) -> bool {
        let code = [Field::Code, Field::CountryCode, Field::AreaCode];
        let price = [Field::Rate, Field::FirstRate, Field::NextRate, Field::InterRate, Field::IntraRate];
        let empty = |fields: &[Field]| fields.iter().all(|field| self.cell(cells, *field).is_empty());
        if empty(&price) && (empty(&code) || is_sentence(cells)) {
            return true;
        }
        let name = |field: Field| self.layout.name(field);
        let again = |field: Field| matches!(self.cell(cells, field), Cell::Text(text) if *text == name(field).as_str());
        code.into_iter().any(again)
    }

    fn cell<'c>(&self, cells: &'c [Cell<'c>], field: Field) -> &'c Cell<'c> {
        const EMPTY: Cell<'static> = Cell::Empty;
        self.columns.get(&field).and_then(|at| cells.get(*at)).unwrap_or(&EMPTY)
    }

    fn rates(&mut self, number: u32, cells: &[Cell<'_>]) -> Result<Vec<Rate>, Fault> {
        self.check_currency(cells)?;
        let codes = self.codes(cells)?;
        let status = self.status(cells)?;
        let mut rate = Rate::simple(Prefix::default(), "", 1, 1, Price(0));
        self.prices(cells, &mut rate, status)?;
        self.conditions(cells, &mut rate)?;
        self.intervals(cells, &mut rate)?;
        self.fees(cells, &mut rate)?;
        self.dates(cells, &mut rate)?;
        let slot = (rate.valid_from, self.pair(&rate));
        let slot = self.slot(slot);
        for code in &codes {
            if let Some(first) = self.row_of(*code, slot) {
                let reason = format!("row {first} already prices code {code} from the same date on");
                return Err(Fault::new(self.code_field(), reason, "keep one of the two rows"));
            }
        }
        if let Cell::Text(text) = self.cell(cells, Field::Change) {
            *self.totals.changes.entry(SmolStr::new(text)).or_default() += 1;
        }
        for code in &codes {
            match self.first_row_of(*code) {
                Some((first, _)) if first != slot => drop(self.more.insert((*code, slot), number)),
                Some(_) => {}
                None if self.rising.last().is_none_or(|(last, ..)| last < code) => {
                    self.rising.push((*code, slot, number));
                }
                None => drop(self.seen.insert(*code, (slot, number))),
            }
        }
        if !self.destinations.contains(&rate.destination) {
            self.destinations.insert(rate.destination.clone());
        }
        let mut rates = vec![rate; codes.len()];
        for (rate, code) in rates.iter_mut().zip(codes) {
            rate.prefix = code;
        }
        Ok(rates)
    }

    /// The number of a slot.
    fn slot(&mut self, slot: Slot) -> u32 {
        if let Some((last, number)) = self.last_slot
            && last == slot
        {
            return number;
        }
        let next = self.slots.len() as u32;
        let number = *self.slots.entry(slot).or_insert(next);
        self.last_slot = Some((slot, number));
        number
    }

    /// The row that already prices a code in a slot.
    fn row_of(&self, code: Prefix, slot: u32) -> Option<u32> {
        match self.first_row_of(code)? {
            (first, row) if first == slot => Some(row),
            _ => self.more.get(&(code, slot)).copied(),
        }
    }

    /// Slot and row of a code that was seen.
    fn first_row_of(&self, code: Prefix) -> Option<(u32, u32)> {
        let (last, ..) = self.rising.last()?;
        if *last < code {
            return None;
        }
        match self.rising.binary_search_by_key(&code, |(code, ..)| *code) {
            Ok(at) => self.rising.get(at).map(|(_, slot, row)| (*slot, *row)),
            Err(_) => self.seen.get(&code).copied(),
        }
    }

    fn code_field(&self) -> Field {
        if self.columns.contains_key(&Field::Code) { Field::Code } else { Field::AreaCode }
    }

    fn codes(&self, cells: &[Cell<'_>]) -> Result<Vec<Prefix>, Fault> {
        let field = self.code_field();
        let country = (field == Field::AreaCode).then(|| self.cell(cells, Field::CountryCode));
        let template = self.template;
        let signs = code::Signs { hyphen: template.hyphen, space: template.space, most: template.limits.codes_a_row };
        let mut codes = Vec::with_capacity(1);
        code::codes(self.cell(cells, field), country, signs, &mut codes)
            .map_err(|(reason, advice)| Fault::new(field, reason, advice))?;
        Ok(codes)
    }

    fn pair(&mut self, rate: &Rate) -> u32 {
        if rate.time_band.is_none() && rate.origin.is_none() {
            return 0;
        }
        let next = self.pairs.len() as u32 + 1;
        *self.pairs.entry((rate.time_band.clone(), rate.origin.clone())).or_insert(next)
    }
}

/// One cell with several words and nothing beside it.
fn is_sentence(cells: &[Cell<'_>]) -> bool {
    let mut filled = cells.iter().filter(|cell| !cell.is_empty());
    let (first, second) = (filled.next(), filled.next());
    let is_text = |text: &str| text.contains(' ') && text.chars().filter(|c| c.is_alphabetic()).count() > 3;
    matches!((first, second), (Some(Cell::Text(text)), None) if is_text(text))
}
