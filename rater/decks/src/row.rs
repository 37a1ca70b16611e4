//! One data row into rates or a problem. A row is never dropped without being counted, a value never guessed
//! without being named among the assumptions.

use crate::cell::Cell;
use crate::code;
use crate::currency;
use crate::date::{self, Moment};
use crate::field::Field;
use crate::header::Layout;
use crate::options::{DateOrder, ReadOptions};
use crate::price;
use crate::{DeckError, Item, Problem, Source, Totals};
use facts::deck::{Price, Rate, RowStatus};
use facts::{Currency, Prefix};
use jiff::tz::TimeZone;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// Longest interval, seconds: a day.
const INTERVAL_MAX: u32 = 86_400;
/// Time types that mean "the whole week" (Airtel's `STD_S`, others' words).
const FLAT: [&str; 7] = ["std_s", "flat", "24h", "24x7", "all", "all day", "always"];

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

/// Reads the rows below a header.
pub struct Reader<'a> {
    file: &'a str,
    layout: &'a Layout,
    template: &'a ReadOptions,
    columns: BTreeMap<Field, usize>,
    zone: TimeZone,
    currency: Option<Currency>,
    /// What is valid from then on where the row does not say.
    valid_from: Option<i64>,
    issued_at: Option<i64>,
    /// Codes seen, to find the second row for the same code, date, band and origin.
    seen: BTreeMap<(Prefix, Option<i64>, u32), u32>,
    /// Numbers of the (time band, origin) pairs in `seen`.
    pairs: BTreeMap<(Option<SmolStr>, Option<SmolStr>), u32>,
    destination: SmolStr,
    date: Option<(String, i64)>,
    /// Why something was read one way, with the first row where it mattered.
    assumed: BTreeSet<&'static str>,
    pub totals: Totals,
}

const DAY_FIRST: &str = "dates that could be read both ways were read day first";
const ONE_SECOND: &str = "rows without an increment were given the template's";
const ALWAYS: &str = "rows without a date are valid always";
const NOTICE_DATE: &str = "rows without a date are valid from the notice's date";

impl<'a> Reader<'a> {
    pub fn new(
        file: &'a str,
        layout: &'a Layout,
        currency: Option<Currency>,
        template: &'a ReadOptions,
    ) -> Result<Self, DeckError> {
        let zone = jiff::tz::TimeZoneDatabase::bundled()
            .get(&template.effective_zone)
            .map_err(|error| DeckError::Template(format!("effective_zone {:?}: {error}", template.effective_zone)))?;
        let (first, next) = template.increment;
        if next == 0 || next > INTERVAL_MAX || first > INTERVAL_MAX {
            return Err(DeckError::Template(format!("increment {first}/{next} is outside 0 to 86400 / 1 to 86400")));
        }
        let instant = |at| date::in_zone(at, &zone);
        let notice = layout.notice.effective_from.and_then(instant);
        let issued_at = template.issued_at.or_else(|| layout.notice.issued.and_then(instant));
        Ok(Self {
            file,
            layout,
            template,
            columns: layout.columns.iter().map(|(at, field, _)| (*field, *at)).collect(),
            currency,
            valid_from: template.valid_from.or(notice),
            issued_at,
            zone,
            seen: BTreeMap::new(),
            pairs: BTreeMap::new(),
            destination: SmolStr::default(),
            date: None,
            assumed: BTreeSet::new(),
            totals: Totals::default(),
        })
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
        let result = self.rates(number, cells);
        match result {
            Ok(rates) => {
                self.totals.rate_rows += 1;
                for rate in rates {
                    self.count(&rate);
                    sink(Item::Rate(rate, source.clone()));
                }
            }
            Err(Fault { field, reason, advice }) => {
                self.totals.problems += 1;
                if self.totals.problems > u64::from(self.template.limits.problems) {
                    return Err(self.beyond("more rows with problems", self.template.limits.problems));
                }
                let column = field.map_or_else(SmolStr::default, |field| self.layout.name(field));
                sink(Item::Problem(Problem { source, column, reason, advice: advice.to_owned() }));
            }
        }
        Ok(())
    }

    /// The deck's currency, which a column may have told.
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }

    pub fn assumptions(&self) -> Vec<String> {
        self.assumed.iter().map(ToString::to_string).collect()
    }

    fn beyond(&self, what: &str, limit: u32) -> DeckError {
        DeckError::TooLarge { file: self.file.to_owned(), what: what.to_owned(), limit: u64::from(limit) }
    }

    fn count(&mut self, rate: &Rate) {
        let totals = &mut self.totals;
        totals.rates += 1;
        totals.blocked += u64::from(rate.status == RowStatus::Blocked);
        totals.discontinued += u64::from(rate.status == RowStatus::Discontinued);
        *totals.increments.entry(increment_text(rate.first_interval, rate.next_interval)).or_default() += 1;
        if let Some(from) = rate.valid_from {
            let (first, last) = totals.valid_from.get_or_insert((from, from));
            *first = from.min(*first);
            *last = from.max(*last);
        }
    }

    /// Neither code nor price: a section title, terms, or the header once more.
    fn is_remark(&self, cells: &[Cell<'_>]) -> bool {
        let code = [Field::Code, Field::CountryCode, Field::AreaCode];
        let price = [Field::Rate, Field::FirstRate, Field::NextRate, Field::InterRate, Field::IntraRate];
        let empty = |fields: &[Field]| fields.iter().all(|field| self.cell(cells, *field).is_empty());
        let again = |field: Field| matches!(self.cell(cells, field), Cell::Text(text) if *text == self.layout.name(field).as_str());
        (empty(&code) && empty(&price)) || code.into_iter().any(again)
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
        self.intervals(cells, &mut rate)?;
        self.fees(cells, &mut rate)?;
        self.dates(cells, &mut rate)?;
        self.conditions(cells, &mut rate)?;
        let pair = self.pair(&rate);
        for code in &codes {
            if let Some(first) = self.seen.get(&(*code, rate.valid_from, pair)) {
                let reason = format!("row {first} already prices code {code} from the same date on");
                return Err(Fault::new(self.code_field(), reason, "keep one of the two rows"));
            }
        }
        if let Cell::Text(text) = self.cell(cells, Field::Change) {
            *self.totals.changes.entry(SmolStr::new(text)).or_default() += 1;
        }
        for code in &codes {
            self.seen.insert((*code, rate.valid_from, pair), number);
        }
        let mut rates = vec![rate; codes.len()];
        for (rate, code) in rates.iter_mut().zip(codes) {
            rate.prefix = code;
        }
        Ok(rates)
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

    fn check_currency(&mut self, cells: &[Cell<'_>]) -> Result<(), Fault> {
        let cell = self.cell(cells, Field::Currency);
        if cell.is_empty() {
            return Ok(());
        }
        let text = cell.to_string();
        let named = currency::of_cell(&text);
        let fault = |reason: String, advice| Err(Fault::new(Field::Currency, reason, advice));
        match (named, self.currency) {
            (None, _) => fault(format!("{text:?} is no currency"), "write its three letters (ISO 4217)"),
            (Some(named), Some(deck)) if named != deck => {
                fault(format!("the row is in {named}, the deck in {deck}"), "split the deck by currency")
            }
            (named, _) => {
                self.currency = named;
                Ok(())
            }
        }
    }

    fn status(&self, cells: &[Cell<'_>]) -> Result<RowStatus, Fault> {
        if self.is_yes(cells, Field::Discontinued)? {
            return Ok(RowStatus::Discontinued);
        }
        if self.is_yes(cells, Field::Forbidden)? {
            return Ok(RowStatus::Blocked);
        }
        // A carrier without a status column writes the word where the price stands.
        let price = self.cell(cells, Field::Rate).to_string();
        let text = self.cell(cells, Field::Status).to_string();
        let word = |text: &str| match text.to_lowercase().as_str() {
            "blocked" | "forbidden" | "barred" | "reject" | "rejected" => Some(RowStatus::Blocked),
            "discontinued" | "closed" | "deleted" | "removed" | "withdrawn" | "inactive" => {
                Some(RowStatus::Discontinued)
            }
            _ => None,
        };
        if let Some(status) = word(&price) {
            return Ok(status);
        }
        match text.to_lowercase().as_str() {
            "" | "current" | "open" | "active" | "new" | "valid" | "0" | "no change" | "increase" | "decrease" => {
                Ok(RowStatus::Open)
            }
            _ => word(&text).ok_or_else(|| {
                Fault::new(
                    Field::Status,
                    format!("{text:?} is no known status"),
                    "write current, blocked or discontinued, or ask what it means",
                )
            }),
        }
    }

    fn is_yes(&self, cells: &[Cell<'_>], field: Field) -> Result<bool, Fault> {
        match self.cell(cells, field) {
            Cell::Bool(value) => Ok(*value),
            cell => match cell.to_string().to_lowercase().as_str() {
                "" | "0" | "n" | "no" | "false" => Ok(false),
                "1" | "y" | "yes" | "true" | "x" => Ok(true),
                other => Err(Fault::new(field, format!("{other:?} is neither yes nor no"), "write yes or no")),
            },
        }
    }

    fn prices(&mut self, cells: &[Cell<'_>], rate: &mut Rate, status: RowStatus) -> Result<(), Fault> {
        rate.status = status;
        for (field, into) in [
            (Field::InterRate, &mut rate.inter_rate),
            (Field::IntraRate, &mut rate.intra_rate),
            (Field::IndeterminateRate, &mut rate.indeterminate_rate),
        ] {
            *into = self.price(cells, field)?;
        }
        let closed = status != RowStatus::Open;
        let base =
            if closed && self.price(cells, Field::Rate).is_err() { None } else { self.price(cells, Field::Rate)? };
        let first = self.price(cells, Field::FirstRate)?.or(base);
        let next = self.price(cells, Field::NextRate)?.or(base);
        let jurisdictional = rate.inter_rate.max(rate.intra_rate);
        let free = |price: Option<Price>| price == Some(Price(0));
        if !closed
            && !self.template.zero_is_free
            && free(first.or(next).or(jurisdictional))
            && free(next.or(first).or(jurisdictional))
        {
            let field = self.price_field();
            return Err(Fault::new(
                field,
                "the price is 0",
                "ask the carrier for the price; where it is meant to be free, say so: --zero-is-free",
            ));
        }
        match (first.or(next), next.or(first), jurisdictional) {
            (Some(first), Some(next), _) => (rate.first_rate, rate.next_rate) = (first, next),
            (_, _, Some(dearer)) => (rate.first_rate, rate.next_rate) = (dearer, dearer),
            _ if closed => {}
            _ => {
                let field = self.price_field();
                return Err(Fault::new(
                    field,
                    "the price is empty",
                    "ask the carrier for the price, or mark the row as blocked or discontinued",
                ));
            }
        }
        Ok(())
    }

    /// The column that is named where a row has no price.
    fn price_field(&self) -> Field {
        [Field::Rate, Field::NextRate, Field::FirstRate, Field::InterRate]
            .into_iter()
            .find(|field| self.columns.contains_key(field))
            .unwrap_or(Field::Rate)
    }

    fn price(&self, cells: &[Cell<'_>], field: Field) -> Result<Option<Price>, Fault> {
        price::price(self.cell(cells, field), self.currency, self.template.decimal_mark)
            .map_err(|(reason, advice)| Fault::new(field, reason, advice))
    }

    fn intervals(&mut self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        let both = match self.cell(cells, Field::Increment) {
            Cell::Empty => None,
            cell => Some(self.increment(&cell.to_string())?),
        };
        let first = self.seconds(cells, Field::FirstInterval)?;
        let next = self.seconds(cells, Field::NextInterval)?;
        let (first, next) = match (both, first, next) {
            (None, None, None) => {
                self.assumed.insert(ONE_SECOND);
                self.template.increment
            }
            (Some((a, b)), first, next) => (first.unwrap_or(a), next.unwrap_or(b)),
            (None, Some(first), next) => (first, next.unwrap_or(first)),
            (None, None, Some(next)) => (next, next),
        };
        if next == 0 {
            let field = if both.is_some() { Field::Increment } else { Field::NextInterval };
            return Err(Fault::new(field, "the next interval is 0 seconds", "give it at least 1 second"));
        }
        (rate.first_interval, rate.next_interval) = (first, next);
        Ok(())
    }

    fn increment(&self, text: &str) -> Result<(u32, u32), Fault> {
        let read = |part: &str| part.trim().parse::<u32>().ok().filter(|seconds| *seconds <= INTERVAL_MAX);
        let pair = match text.split_once(['/', '+', '-', ':']) {
            Some((first, next)) => read(first).zip(read(next)),
            None => read(text).map(|seconds| (seconds, seconds)),
        };
        pair.ok_or_else(|| {
            Fault::new(
                Field::Increment,
                format!("{text:?} is no increment"),
                "write first and next interval in seconds, as 60/1",
            )
        })
    }

    fn seconds(&self, cells: &[Cell<'_>], field: Field) -> Result<Option<u32>, Fault> {
        let cell = self.cell(cells, field);
        if cell.is_empty() {
            return Ok(None);
        }
        let text = cell.to_string();
        text.parse().ok().filter(|seconds| *seconds <= INTERVAL_MAX).map(Some).ok_or_else(|| {
            Fault::new(field, format!("{text:?} is no number of seconds"), "write whole seconds up to 86400")
        })
    }

    fn fees(&self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        rate.connect_fee = self.price(cells, Field::ConnectFee)?.unwrap_or_default();
        rate.settings.attempt_fee = self.price(cells, Field::AttemptFee)?;
        rate.settings.disconnect_fee = self.price(cells, Field::DisconnectFee)?;
        rate.free = self.seconds(cells, Field::FreeSeconds)?.map_or(0, |seconds| i64::from(seconds) * 1_000_000);
        rate.settings.grace = self.seconds(cells, Field::GraceSeconds)?.map(|seconds| i64::from(seconds) * 1_000_000);
        Ok(())
    }

    fn dates(&mut self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        rate.valid_from = match self.date(cells, Field::ValidFrom)? {
            Some(from) => Some(from),
            None => {
                let assumed = if self.valid_from.is_some() { NOTICE_DATE } else { ALWAYS };
                self.assumed.insert(assumed);
                self.valid_from
            }
        };
        rate.valid_until = self.date(cells, Field::ValidUntil)?;
        match (rate.valid_from, rate.valid_until) {
            (Some(from), Some(until)) if until <= from => {
                Err(Fault::new(Field::ValidUntil, "the row ends before it begins", "correct one of its two dates"))
            }
            _ => Ok(()),
        }
    }

    fn date(&mut self, cells: &[Cell<'_>], field: Field) -> Result<Option<i64>, Fault> {
        const ADVICE: &str = "write it as YYYY-MM-DD, or declare the order of day and month in the template";
        let cell = self.cell(cells, field);
        let written = match cell {
            Cell::Empty => return Ok(None),
            cell => cell.to_string(),
        };
        if let Some((text, micros)) = &self.date
            && *text == written
        {
            return Ok(Some(*micros));
        }
        if matches!(written.to_lowercase().as_str(), "asap" | "immediately" | "immediate" | "now") {
            return self.issued_at.map(Some).ok_or_else(|| {
                Fault::new(
                    field,
                    format!("{written:?} needs the deck's date of issue"),
                    "declare issued_at in the template",
                )
            });
        }
        let order = self.template.date_order.unwrap_or(DateOrder::DayFirst);
        let micros = match date::moment(cell, order).map_err(|reason| Fault::new(field, reason, ADVICE))? {
            Moment::Instant(micros) => micros,
            Moment::Civil(read) => {
                if read.order_mattered && self.template.date_order.is_none() {
                    self.assumed.insert(DAY_FIRST);
                }
                let at = date::in_zone(read.at, &self.zone);
                at.ok_or_else(|| Fault::new(field, format!("{written:?} is beyond the calendar"), ADVICE))?
            }
        };
        self.date = Some((written, micros));
        Ok(Some(micros))
    }

    fn conditions(&mut self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        let destination = self.cell(cells, Field::Destination);
        if let Cell::Text(text) = destination
            && *text != self.destination.as_str()
        {
            self.destination = SmolStr::new(text);
        } else if !matches!(destination, Cell::Text(_)) {
            self.destination = SmolStr::new(destination.to_string());
        }
        rate.destination = self.destination.clone();
        let origin = self.cell(cells, Field::Origin).to_string();
        rate.origin = (!origin.is_empty()).then(|| origin.into());
        let time_type = self.cell(cells, Field::TimeType).to_string();
        let is = |known: &str| known.eq_ignore_ascii_case(&time_type);
        if time_type.is_empty()
            || FLAT.iter().any(|word| is(word))
            || self.template.flat_time_types.iter().any(|w| is(w))
        {
            return Ok(());
        }
        match self.template.time_bands.iter().find(|band| is(band)) {
            Some(band) => rate.time_band = Some(band.clone()),
            None => {
                return Err(Fault::new(
                    Field::TimeType,
                    format!("time type {time_type:?} is not known"),
                    "declare it in the template as a time band or as meaning always",
                ));
            }
        }
        Ok(())
    }
}

fn increment_text(first: u32, next: u32) -> SmolStr {
    smol_str::format_smolstr!("{first}/{next}")
}
