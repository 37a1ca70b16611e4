//! The object `deck` of a quote line into a deck ready for look-up. Every field, its default and its limits as
//! docs/reference/quote.md lists them.

use std::sync::Arc;

use facts::deck::{DeckTerms, OriginGroup, Price, RATE_SCALE, Rate, RateDeck, Step, TimeBand, minute_of_day};
use facts::money::Currency;
use facts::number::Prefix;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use smol_str::SmolStr;

use super::call::{SECONDS_DECIMALS, currency, setting};
use super::node::{Fault, Node, Place, optional};
use crate::deck::CompiledDeck;

/// What a deck without a currency is in, where the agreement names none either.
pub(super) const USUAL_CURRENCY: &str = "USD";

/// Fields of a deck in which null is the same as leaving them out.
const DECK_FIELDS: [&str; 11] = [
    "currency",
    "time_zone",
    "effective_zone",
    "holidays",
    "band_crossing",
    "interval_rule",
    "rated_number",
    "jurisdiction_from",
    "jurisdiction_indeterminate",
    "time_bands",
    "origin_groups",
];
/// Fields of a rate in which null is the same as leaving them out.
const RATE_FIELDS: [&str; 8] = [
    "destination",
    "connect_fee",
    "first_interval",
    "first_rate",
    "next_interval",
    "origin_mode",
    "status",
    "free_seconds",
];

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A deck of a quote line: the currency it names, if any, and its rows.
#[derive(Debug)]
pub(super) struct DeckPart {
    pub currency: Option<Currency>,
    pub compiled: Arc<CompiledDeck>,
}

impl DeckPart {
    pub fn read(place: &Place<'_>, node: &Node<'_>) -> Result<Self, Fault> {
        let usual = Currency::new(USUAL_CURRENCY).map_err(|error| place.fault(error.to_string(), ""))?;
        let mut terms = DeckTerms::new(usual);
        let (mut named, mut rows) = (None, None);
        for (key, node) in place.object(node)? {
            if *node == Node::Null && DECK_FIELDS.contains(&&**key) {
                continue;
            }
            let at = place.key(key);
            match &**key {
                "currency" => named = optional(node, |node| currency(&at, node))?,
                "rates" => rows = Some(at.list(node)?),
                other => {
                    if !term(&mut terms, &at, other, node)? && !setting(&mut terms.settings, &at, other, node)? {
                        place.unknown(other)?;
                    }
                }
            }
        }
        let rows = rows.ok_or_else(|| place.missing("rates"))?;
        terms.currency = named.unwrap_or(usual);
        let zone = Zone::named(&place.key("effective_zone"), &terms.effective_zone)?;
        let at = place.key("rates");
        let rates = rows.iter().enumerate().map(|(index, row)| rate(&at.index(index), row, &zone));
        let rates = rates.collect::<Result<Vec<_>, _>>()?;
        let deck = RateDeck { id: SmolStr::default(), version: 0, terms, rates };
        let compiled = CompiledDeck::compile_with_ties(&deck)
            .map_err(|error| place.fault(error.to_string(), "correct the deck; see docs/reference/quote.md"))?;
        Ok(Self { currency: named, compiled: Arc::new(compiled) })
    }
}

/// One of the deck's own terms; false where `name` is none of them.
fn term(terms: &mut DeckTerms, at: &Place<'_>, name: &str, node: &Node<'_>) -> Result<bool, Fault> {
    match name {
        "time_zone" => terms.time_zone = at.text(node)?.into(),
        "effective_zone" => terms.effective_zone = at.text(node)?.into(),
        "holidays" => {
            let days = at.list(node)?.iter().enumerate();
            let read = |(index, day)| at.index(index).text(day).map(SmolStr::new);
            terms.holidays = days.map(read).collect::<Result<_, _>>()?;
        }
        "band_crossing" => terms.band_crossing = at.word(node)?,
        "interval_rule" => terms.interval_rule = at.word(node)?,
        "rated_number" => terms.rated_number = at.word(node)?,
        "jurisdiction_from" => terms.jurisdiction_from = at.word(node)?,
        "jurisdiction_indeterminate" => terms.indeterminate = at.word(node)?,
        "time_bands" => {
            for (index, node) in at.list(node)?.iter().enumerate() {
                let place = at.index(index);
                let band = time_band(&place, node)?;
                if terms.time_bands.iter().any(|known| known.name == band.name) {
                    return Err(
                        place.fault(format!("a second band is named {:?}", band.name), "give each its own name")
                    );
                }
                terms.time_bands.push(band);
            }
        }
        "origin_groups" => {
            for (index, node) in at.list(node)?.iter().enumerate() {
                let group = origin_group(&at.index(index), node, &terms.origin_groups)?;
                terms.origin_groups.push(group);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn time_band(place: &Place<'_>, node: &Node<'_>) -> Result<TimeBand, Fault> {
    let mut name = None;
    let mut days: Vec<SmolStr> = WEEK.iter().map(|day| SmolStr::new_static(day)).collect();
    let (mut from, mut until) = (0, 1_440);
    for (key, node) in place.object(node)? {
        let at = place.key(key);
        match &**key {
            "name" => name = Some(SmolStr::new(at.text(node)?)),
            "days" => {
                let list = at.list(node)?.iter().enumerate();
                days = list.map(|(index, day)| weekday(&at.index(index), day)).collect::<Result<_, _>>()?;
            }
            "from" => from = minute(&at, node)?,
            "until" => until = minute(&at, node)?,
            other => place.unknown(other)?,
        }
    }
    if from == until {
        let advice = "a whole day is from \"00:00\" until \"24:00\"";
        return Err(place.fault("the band begins and ends at the same minute: it owns nothing", advice));
    }
    Ok(TimeBand { name: name.ok_or_else(|| place.missing("name"))?, days, from, until })
}

fn weekday(at: &Place<'_>, node: &Node<'_>) -> Result<SmolStr, Fault> {
    let text = at.text(node)?;
    if WEEK.contains(&text) || text == "holiday" {
        return Ok(text.into());
    }
    Err(at.fault(format!("{text:?} is no day"), "write mon, tue, wed, thu, fri, sat, sun or holiday"))
}

/// `HH:MM` up to `24:00`, in minutes.
fn minute(at: &Place<'_>, node: &Node<'_>) -> Result<u16, Fault> {
    let text = at.text(node)?;
    minute_of_day(text)
        .ok_or_else(|| at.fault(format!("{text:?} is no time of day"), "write it as \"08:00\", at most \"24:00\""))
}

fn origin_group(place: &Place<'_>, node: &Node<'_>, known: &[OriginGroup]) -> Result<OriginGroup, Fault> {
    let mut name = None;
    let mut group = OriginGroup { name: SmolStr::default(), prefixes: Vec::new(), malformed: false };
    for (key, node) in place.object(node)? {
        let at = place.key(key);
        match &**key {
            "name" => name = Some(SmolStr::new(at.text(node)?)),
            "prefixes" => {
                for (index, node) in at.list(node)?.iter().enumerate() {
                    let (place, prefix) = (at.index(index), prefix(&at.index(index), node)?);
                    if let Some(other) = known.iter().find(|group| group.prefixes.contains(&prefix)) {
                        let reason = format!("prefix {prefix} is in the group {:?} too", other.name);
                        return Err(place.fault(reason, "a caller belongs to one group: take it out of one"));
                    }
                    group.prefixes.push(prefix);
                }
            }
            "malformed" => group.malformed = at.boolean(node)?,
            other => place.unknown(other)?,
        }
    }
    group.name = name.ok_or_else(|| place.missing("name"))?;
    if known.iter().any(|other| other.name == group.name) {
        return Err(place.fault(format!("a second group is named {:?}", group.name), "give each its own name"));
    }
    Ok(group)
}

fn prefix(at: &Place<'_>, node: &Node<'_>) -> Result<Prefix, Fault> {
    let text = at.text(node)?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    Prefix::new(digits).map_err(|error| at.fault(error.to_string(), "write up to 15 digits"))
}

/// One row, in the shape in which `tandem deck read --json` prints it.
pub(super) fn rate(place: &Place<'_>, node: &Node<'_>, zone: &Zone) -> Result<Rate, Fault> {
    let mut rate = Rate::simple(Prefix::default(), "", 0, 1, Price(0));
    let (mut code, mut first_rate, mut next_rate) = (None, None, None);
    let (mut first_interval, mut next_interval) = (None, None);
    for (key, node) in place.object(node)? {
        if *node == Node::Null && RATE_FIELDS.contains(&&**key) {
            continue;
        }
        let at = place.key(key);
        let price = |node| at.decimal(node, RATE_SCALE).map(Price);
        let name = |node| at.text(node).map(SmolStr::new);
        match &**key {
            "prefix" => code = Some(prefix(&at, node)?),
            "destination" => rate.destination = name(node)?,
            "connect_fee" => rate.connect_fee = price(node)?,
            "first_interval" => first_interval = Some(at.integer(node, 0, 86_400)?),
            "first_rate" => first_rate = Some(price(node)?),
            "next_interval" => next_interval = Some(at.integer(node, 1, 86_400)?),
            "next_rate" => next_rate = optional(node, price)?,
            "inter_rate" => rate.inter_rate = optional(node, price)?,
            "intra_rate" => rate.intra_rate = optional(node, price)?,
            "indeterminate_rate" => rate.indeterminate_rate = optional(node, price)?,
            "valid_from" => rate.valid_from = optional(node, |node| zone.instant(&at, node))?,
            "valid_until" => rate.valid_until = optional(node, |node| zone.instant(&at, node))?,
            "time_band" => rate.time_band = optional(node, name)?,
            "origin" => rate.origin = optional(node, name)?,
            "origin_mode" => rate.origin_mode = at.word(node)?,
            "status" => rate.status = at.word(node)?,
            "free_seconds" => rate.free = at.positive(node, SECONDS_DECIMALS)?,
            "steps" => rate.steps = steps(&at, node)?,
            // Where the row was read; it stands there for people.
            "source" => {}
            other if setting(&mut rate.settings, &at, other, node)? => {}
            other => place.unknown(other)?,
        }
    }
    rate.prefix = code.ok_or_else(|| place.missing("prefix"))?;
    if first_rate.is_none() && rate.steps.is_empty() {
        return Err(place.missing("first_rate"));
    }
    rate.first_rate = first_rate.unwrap_or_default();
    rate.next_rate = next_rate.unwrap_or(rate.first_rate);
    rate.next_interval = next_interval.unwrap_or(1);
    rate.first_interval = first_interval.unwrap_or(rate.next_interval);
    Ok(rate)
}

fn steps(place: &Place<'_>, node: &Node<'_>) -> Result<Vec<Step>, Fault> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, node) in place.list(node)?.iter().enumerate() {
        let at = place.index(index);
        let step = step(&at, node)?;
        let rises = steps.last().map_or(step.from == 0, |last| last.from < step.from);
        if !rises {
            let advice = "the first step is from \"0\", each further one from a later second";
            return Err(at.key("from").fault("the steps do not rise from 0", advice));
        }
        steps.push(step);
    }
    Ok(steps)
}

fn step(place: &Place<'_>, node: &Node<'_>) -> Result<Step, Fault> {
    let (mut rate, mut step) = (None, Step { from: 0, rate: Price(0), per: 60, increment: 1 });
    for (key, node) in place.object(node)? {
        let at = place.key(key);
        match &**key {
            "from" => step.from = at.positive(node, SECONDS_DECIMALS)?,
            "rate" => rate = Some(at.decimal(node, RATE_SCALE).map(Price)?),
            "per" => step.per = at.integer(node, 1, 86_400)?,
            "increment" => step.increment = at.integer(node, 1, 86_400)?,
            other => place.unknown(other)?,
        }
    }
    step.rate = rate.ok_or_else(|| place.missing("rate"))?;
    Ok(step)
}

/// The zone in which dates without a time begin.
pub(super) struct Zone(TimeZone);

impl Zone {
    pub fn named(at: &Place<'_>, name: &str) -> Result<Self, Fault> {
        if name == "UTC" {
            return Ok(Self(TimeZone::UTC));
        }
        TimeZoneDatabase::bundled().get(name).map(Self).map_err(|_| {
            at.fault(format!("time zone {name:?} is not in the IANA data"), "write it as \"Europe/Vienna\"")
        })
    }

    /// A time with offset, or a date, which begins at 00:00 in this zone.
    fn instant(&self, at: &Place<'_>, node: &Node<'_>) -> Result<i64, Fault> {
        let text = at.text(node)?;
        if text.len() != "2023-01-01".len() {
            return at.instant(node);
        }
        let begin = text.parse::<Date>().and_then(|date| date.to_zoned(self.0.clone()));
        begin.map(|begin| begin.timestamp().as_microsecond()).map_err(|_| {
            at.fault(format!("{text:?} is no date"), "write it as \"2023-01-01\", or as a time with offset")
        })
    }
}
