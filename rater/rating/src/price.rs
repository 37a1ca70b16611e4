//! The price of one side of a call (design 4.1-4.11, 13.4-13.10), in closed form: the cost of computing it does not
//! grow with the call's length, only with the number of band changes inside it. Duration rounding, intervals, exact
//! amount, one rounding.
//!
//! Never looks anything up outside the deck, never decides who pays; see `tariffs`.

mod most;

pub(crate) use most::most;

use facts::config::Agreement;
use facts::deck::{Indeterminate, IntervalRule, Price, Settings, Step};
use facts::money::{Amount, Rounding};
use facts::xdr::{RateUsed, Unrated};
use serde::Deserialize;

use crate::deck::{Chosen, CompiledDeck, Extra, Row};
use crate::exact::Exact;
use crate::explain::{Note, Trace};

const SECOND: i64 = 1_000_000;
/// Calls beyond ten years are no calls; this bounds the runs of [`Pricing::walk`].
const LONGEST: i64 = 10 * 366 * 86_400 * SECOND;
/// 10^-8: an exchange rate of one.
pub const SAME_CURRENCY: i64 = 100_000_000;

/// What the agreement adds to the deck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub duration_rounding: Rounding,
    pub amount_rounding: Rounding,
    pub amount_decimals: u8,
    /// In 10^-4 percent.
    pub tax_percent: i64,
    pub settings: Settings,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration_rounding: Rounding::Up,
            amount_rounding: Rounding::HalfUp,
            amount_decimals: 6,
            tax_percent: 0,
            settings: Settings::default(),
        }
    }
}

impl From<&Agreement> for Terms {
    fn from(agreement: &Agreement) -> Self {
        Self {
            duration_rounding: agreement.duration_rounding,
            amount_rounding: agreement.amount_rounding,
            amount_decimals: agreement.amount_decimals,
            tax_percent: agreement.tax_percent,
            settings: agreement.settings,
        }
    }
}

/// Whether a call stays within a US state (13.4); indeterminate where nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jurisdiction {
    Inter,
    Intra,
    #[default]
    Indeterminate,
}

impl Jurisdiction {
    /// As people say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inter => "interstate",
            Self::Intra => "intrastate",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// The facts of one side that its price depends on.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The instant that validity and bands follow, microseconds.
    pub rated_at: i64,
    /// The side's own duration before rounding, microseconds.
    pub duration: i64,
    pub answered: bool,
    /// This side pays an attempt fee, where there is one: every attempt of a buy side, the last of a sell side.
    pub attempted: bool,
    pub jurisdiction: Jurisdiction,
    /// Account units per deck unit in 10^-8.
    pub exchange_rate: i64,
}

/// A price before it stands on an xDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced {
    /// Rounded by the agreement's rule, in the account's currency.
    pub net: Amount,
    pub gross: Amount,
    /// What the intervals billed, microseconds.
    pub billed: i64,
    pub exact_net: Exact,
    pub exact_gross: Exact,
}

impl Priced {
    /// The exact net and gross to 12 decimals, half up: for show, never an input.
    pub fn shown(&self) -> Option<(Amount, Amount)> {
        Some((self.exact_net.round(Rounding::None, 12)?, self.exact_gross.round(Rounding::None, 12)?))
    }
}

/// Settings of one call, each from the nearest place that has it, and whether that is the agreement (whose amounts
/// are in the account's currency and join after the exchange).
struct Resolved<'a> {
    row: Option<&'a Settings>,
    deck: &'a Settings,
    agreement: &'a Settings,
}

impl Resolved<'_> {
    fn time(&self, get: impl Fn(&Settings) -> Option<i64>) -> Option<i64> {
        self.row.and_then(&get).or_else(|| get(self.deck)).or_else(|| get(self.agreement))
    }

    fn money(&self, get: impl Fn(&Settings) -> Option<Price>) -> (Option<Price>, Option<Price>) {
        match self.row.and_then(&get).or_else(|| get(self.deck)) {
            Some(inner) => (Some(inner), None),
            None => (None, get(self.agreement)),
        }
    }
}

/// Prices one side by the chosen row. `NoRate` or `Blocked` where a later band has no row or a blocked one,
/// `AmountRange` where the exact amount does not fit.
pub fn price(
    deck: &CompiledDeck,
    chosen: Chosen,
    terms: &Terms,
    ask: &Ask,
    trace: &mut impl Trace,
) -> Result<Priced, Unrated> {
    let row = deck.row(chosen.row);
    let extra = deck.row_extra(chosen.row);
    let settings =
        Resolved { row: extra.map(|extra| &extra.settings), deck: &deck.settings, agreement: &terms.settings };
    let added = chosen.added().and_then(|add| deck.row_extra(add)).map(|extra| &extra.settings);
    let (mut amount, mut billed) = (Exact::ZERO, 0);
    if let Some(duration) = chargeable(terms, ask, &settings, trace)? {
        let (inner, after) = settings.money(|s| s.disconnect_fee);
        let of_origin = added.and_then(|settings| settings.disconnect_fee);
        let free = extra.map_or(0, |extra| extra.free);
        let pricing = Pricing { deck, chosen, row, extra, ask, start: ask.rated_at.saturating_add(free) };
        billed = pricing.run(duration.saturating_sub(free), &mut amount, trace)?;
        add_fee(&mut amount, "disconnect fee", inner, trace)?;
        add_fee(&mut amount, "disconnect fee of the origin", of_origin, trace)?;
        amount = bound(amount, &settings, false, trace)?;
        amount = exchange(amount, ask, trace)?;
        add_fee(&mut amount, "disconnect fee of the agreement", after, trace)?;
        amount = bound(amount, &settings, true, trace)?;
    }
    if ask.attempted {
        let (inner, after) = settings.money(|s| s.attempt_fee);
        let mut fee = Exact::ZERO;
        add_fee(&mut fee, "attempt fee", inner, trace)?;
        add_fee(&mut fee, "attempt fee of the origin", added.and_then(|settings| settings.attempt_fee), trace)?;
        fee = exchange(fee, ask, &mut ())?;
        add_fee(&mut fee, "attempt fee of the agreement", after, trace)?;
        if !fee.is_zero() {
            amount = amount.checked_add(fee).ok_or(Unrated::AmountRange)?;
        }
    }
    finish(amount, billed, terms, trace).ok_or(Unrated::AmountRange)
}

/// The duration the intervals see, microseconds; `None` where the call is free (13.5).
fn chargeable(
    terms: &Terms,
    ask: &Ask,
    settings: &Resolved<'_>,
    trace: &mut impl Trace,
) -> Result<Option<i64>, Unrated> {
    if !ask.answered {
        trace.note(|| Note::Unanswered);
        return Ok(None);
    }
    if let Some(grace) = settings.time(|s| s.grace).filter(|grace| ask.duration < *grace) {
        trace.note(|| Note::Grace { duration: ask.duration, grace });
        return Ok(None);
    }
    let rounded = round_duration(terms.duration_rounding, ask.duration).ok_or(Unrated::AmountRange)?;
    trace.note(|| Note::Duration { from: ask.duration, to: rounded, rule: terms.duration_rounding });
    if rounded <= 0 {
        return Ok(None);
    }
    let mut duration = rounded;
    if let Some(most) = settings.time(|s| s.maximum_duration).filter(|most| duration > *most) {
        trace.note(|| Note::Capped { to: most });
        duration = most;
    }
    if let Some(least) = settings.time(|s| s.minimum_duration).filter(|least| duration < *least) {
        trace.note(|| Note::Raised { to: least });
        duration = least;
    }
    Ok(Some(duration))
}

/// To whole seconds by the rule; `none` keeps the microseconds.
pub fn round_duration(rule: Rounding, micros: i64) -> Option<i64> {
    if rule == Rounding::None {
        return Some(micros);
    }
    let (seconds, rest) = (micros / SECOND, micros % SECOND);
    if rest == 0 {
        return Some(micros);
    }
    if micros < 0 {
        let seconds = rule.divide(i128::from(micros), i128::from(SECOND))?;
        return i64::try_from(seconds).ok()?.checked_mul(SECOND);
    }
    let up = match rule {
        Rounding::Up => true,
        Rounding::Down | Rounding::None => false,
        Rounding::HalfUp => rest * 2 >= SECOND,
        Rounding::HalfEven => rest * 2 > SECOND || (rest * 2 == SECOND && seconds % 2 == 1),
    };
    (seconds + i64::from(up)).checked_mul(SECOND)
}

fn add_fee(amount: &mut Exact, name: &'static str, fee: Option<Price>, trace: &mut impl Trace) -> Result<(), Unrated> {
    if let Some(fee) = fee.filter(|fee| fee.0 != 0) {
        trace.note(|| Note::Fee { name, fee });
        *amount = amount.checked_add(Exact::fee(fee)).ok_or(Unrated::AmountRange)?;
    }
    Ok(())
}

/// Minimum and maximum amount (13.7). They bound the magnitude, so a reverse-billed call keeps its sign.
fn bound(amount: Exact, settings: &Resolved<'_>, agreement: bool, trace: &mut impl Trace) -> Result<Exact, Unrated> {
    let pick = |(inner, outer): (Option<Price>, Option<Price>)| if agreement { outer } else { inner };
    let least = pick(settings.money(|s| s.minimum_amount));
    let most = pick(settings.money(|s| s.maximum_amount));
    if least.is_none() && most.is_none() {
        return Ok(amount);
    }
    let negative = amount.is_negative();
    let mut size = if negative { amount.checked_neg().ok_or(Unrated::AmountRange)? } else { amount };
    if let Some(least) = least
        && size.checked_cmp(Exact::fee(least)).ok_or(Unrated::AmountRange)?.is_lt()
    {
        trace.note(|| Note::Bound { name: "minimum amount", bound: least });
        size = Exact::fee(least);
    }
    if let Some(most) = most
        && size.checked_cmp(Exact::fee(most)).ok_or(Unrated::AmountRange)?.is_gt()
    {
        trace.note(|| Note::Bound { name: "maximum amount", bound: most });
        size = Exact::fee(most);
    }
    if negative { size.checked_neg().ok_or(Unrated::AmountRange) } else { Ok(size) }
}

fn exchange(amount: Exact, ask: &Ask, trace: &mut impl Trace) -> Result<Exact, Unrated> {
    if ask.exchange_rate == SAME_CURRENCY || amount.is_zero() {
        return Ok(amount);
    }
    trace.note(|| Note::Exchange { rate: ask.exchange_rate });
    amount.checked_mul(ask.exchange_rate, 8).ok_or(Unrated::AmountRange)
}

fn finish(amount: Exact, billed: i64, terms: &Terms, trace: &mut impl Trace) -> Option<Priced> {
    let net = amount.round(terms.amount_rounding, terms.amount_decimals)?;
    trace.note(|| Note::Rounded { rule: terms.amount_rounding, decimals: terms.amount_decimals, net });
    let (gross, exact_gross) = if terms.tax_percent == 0 {
        (net, amount)
    } else {
        let exact = amount.checked_mul(1_000_000i64.checked_add(terms.tax_percent)?, 6)?;
        let gross = exact.round(terms.amount_rounding, terms.amount_decimals)?;
        trace.note(|| Note::Taxed { percent: terms.tax_percent, gross });
        (gross, exact)
    };
    Some(Priced { net, gross, billed, exact_net: amount, exact_gross })
}

/// The pricing of one call's time by one row and, where bands cross, its sisters.
struct Pricing<'a> {
    deck: &'a CompiledDeck,
    chosen: Chosen,
    row: &'a Row,
    extra: Option<&'a Extra>,
    ask: &'a Ask,
    /// Where the billed seconds begin: the instant plus the free seconds.
    start: i64,
}

/// Rates of one row as this call pays them: by jurisdiction, with the surcharge of the caller's origin.
struct Rates {
    first: Price,
    next: Price,
}

impl Pricing<'_> {
    /// Adds fees and intervals; the result is what was billed, microseconds.
    fn run(&self, duration: i64, amount: &mut Exact, trace: &mut impl Trace) -> Result<i64, Unrated> {
        add_fee(amount, "connect fee", self.extra.map(|extra| extra.connect_fee), trace)?;
        if let Some(extra) = self.chosen.added().and_then(|add| self.deck.row_extra(add)) {
            add_fee(amount, "connect fee of the origin", Some(extra.connect_fee), trace)?;
        }
        if let Some(free) = self.extra.map(|extra| extra.free).filter(|free| *free > 0) {
            trace.note(|| Note::Free { free });
        }
        if duration <= 0 {
            return Ok(0);
        }
        let steps = self.extra.is_some_and(|extra| !extra.steps.is_empty());
        let crosses = self.deck.crosses_bands(self.chosen.row);
        let seconds = if steps || crosses {
            self.walk(duration, amount, trace)?
        } else {
            self.straight(duration, amount, trace)?
        };
        seconds.checked_mul(SECOND).ok_or(Unrated::AmountRange)
    }

    fn rates(&self, row: &Row, extra: Option<&Extra>) -> Result<Rates, Unrated> {
        let mut rates = Rates { first: row.first_rate, next: row.next_rate };
        if let Some(rate) =
            extra.and_then(|extra| jurisdictional(extra, self.ask.jurisdiction, self.deck.indeterminate))
        {
            rates = Rates { first: rate, next: rate };
        }
        if let Some(add) = self.chosen.added() {
            let add = self.deck.row(add);
            rates.first = plus(rates.first, add.first_rate)?;
            rates.next = plus(rates.next, add.next_rate)?;
        }
        Ok(rates)
    }

    /// One row for the whole call: two products, however long it lasted.
    fn straight(&self, duration: i64, amount: &mut Exact, trace: &mut impl Trace) -> Result<i64, Unrated> {
        let rates = self.rates(self.row, self.extra)?;
        let (first, next) = (i64::from(self.row.first_interval), i64::from(self.row.next_interval));
        let rest = match self.deck.interval_rule {
            IntervalRule::Anchored => ceil(duration - first * SECOND, next * SECOND) * next,
            IntervalRule::RoundTotal => ceil(duration.max(first * SECOND), next * SECOND) * next - first,
        };
        if first > 0 {
            add_time(amount, rates.first, first, 60, first, trace)?;
        }
        if rest > 0 {
            add_time(amount, rates.next, rest, 60, next, trace)?;
        }
        Ok(first + rest)
    }

    /// Steps, bands or both: increments in runs, one run for each step and band that the call touches.
    fn walk(&self, duration: i64, amount: &mut Exact, trace: &mut impl Trace) -> Result<i64, Unrated> {
        let crosses = self.deck.crosses_bands(self.chosen.row);
        if duration > LONGEST {
            return Err(Unrated::AmountRange);
        }
        let steps = self.extra.is_some_and(|extra| !extra.steps.is_empty());
        // Steps have increments of their own: no total to round, whatever row a later band brings.
        let round_total = self.deck.interval_rule == IntervalRule::RoundTotal && !steps;
        let total = if round_total {
            let first = i64::from(self.row.first_interval) * SECOND;
            let next = i64::from(self.row.next_interval) * SECOND;
            ceil(duration.max(first), next) * next
        } else {
            duration
        };
        let (mut position, mut billed, mut index) = (0, 0, self.chosen.row);
        while position < total {
            let now = self.start.saturating_add(billed * SECOND);
            // The row was chosen at the instant; the clock of the bands runs from the end of the free seconds.
            if crosses && now > self.ask.rated_at {
                index = self.deck.rebanded(self.chosen.row, self.ask.rated_at, now)?;
            }
            let row = self.deck.row(index);
            let piece = self.piece(row, self.deck.row_extra(index), position)?;
            let until = piece.until.unwrap_or(total).min(total);
            let increment = i64::from(piece.increment.max(1));
            let mut runs = ceil(until - position, increment * SECOND);
            if crosses && !piece.whole {
                // Only increments that begin before the next change of bands.
                runs = runs.min(ceil(self.deck.bands.next_change(now) - now, increment * SECOND)).max(1);
            }
            let mut seconds = runs.checked_mul(increment).ok_or(Unrated::AmountRange)?;
            if round_total && piece.plain {
                // The total is what was rounded; its last piece may be shorter than an increment.
                seconds = seconds.min((until - position) / SECOND);
            }
            add_time(amount, piece.rate, seconds, piece.per, increment, trace)?;
            if piece.surcharge.0 != 0 {
                add_time(amount, piece.surcharge, seconds, 60, increment, trace)?;
            }
            billed += seconds;
            position = (position + seconds * SECOND).min(until);
        }
        Ok(billed)
    }

    /// The step, or the interval as a step, that holds a position.
    fn piece(&self, row: &Row, extra: Option<&Extra>, position: i64) -> Result<Piece, Unrated> {
        if let Some(steps) = extra.map(|extra| &extra.steps).filter(|steps| !steps.is_empty()) {
            let at = steps.partition_point(|step| step.from <= position).saturating_sub(1);
            let Step { rate, per, increment, .. } = steps[at];
            // A surcharge is per minute, a step per anything: they are added up one by one.
            let surcharge = self.chosen.added().map_or(Price(0), |add| self.deck.row(add).next_rate);
            let until = steps.get(at + 1).map(|next| next.from);
            return Ok(Piece { rate, surcharge, per, increment, until, whole: false, plain: false });
        }
        let first = self.row.first_interval;
        let rates = self.rates(row, extra)?;
        if position == 0 && first > 0 {
            let until = Some(i64::from(first) * SECOND);
            let (rate, surcharge) = (rates.first, Price(0));
            return Ok(Piece { rate, surcharge, per: 60, increment: first, until, whole: true, plain: true });
        }
        let (rate, surcharge, increment) = (rates.next, Price(0), row.next_interval);
        Ok(Piece { rate, surcharge, per: 60, increment, until: None, whole: false, plain: true })
    }
}

/// A stretch of the call that is billed in equal increments.
struct Piece {
    rate: Price,
    /// Per minute, beside a step's own rate.
    surcharge: Price,
    per: u32,
    increment: u32,
    /// Where it ends, microseconds of position; `None` = with the call.
    until: Option<i64>,
    /// The first interval: wholly at the rate of its start.
    whole: bool,
    /// An interval, not a step.
    plain: bool,
}

fn add_time(
    amount: &mut Exact,
    rate: Price,
    seconds: i64,
    per: u32,
    increment: i64,
    trace: &mut impl Trace,
) -> Result<(), Unrated> {
    trace.note(|| Note::Time { seconds, increment, rate, per });
    amount.add_time(rate, seconds, per).ok_or(Unrated::AmountRange)
}

fn plus(a: Price, b: Price) -> Result<Price, Unrated> {
    a.0.checked_add(b.0).map(Price).ok_or(Unrated::AmountRange)
}

/// How many whole steps cover a span; 0 for nothing.
fn ceil(span: i64, step: i64) -> i64 {
    if span <= 0 { 0 } else { (span - 1) / step.max(1) + 1 }
}

impl Extra {
    /// True where the rate depends on the call's jurisdiction.
    pub(crate) fn is_jurisdictional(&self) -> bool {
        self.inter_rate.is_some() || self.intra_rate.is_some()
    }
}

impl CompiledDeck {
    /// The rate in full, as it stands on the xDR: with the interval rates that a call of this jurisdiction pays.
    pub fn rate_paid(&self, chosen: Chosen, jurisdiction: Jurisdiction) -> RateUsed {
        let mut used = self.rate_used(chosen);
        let extra = self.row_extra(chosen.row);
        if let Some(rate) = extra.and_then(|extra| jurisdictional(extra, jurisdiction, self.indeterminate)) {
            (used.first_rate, used.next_rate) = (rate, rate);
        }
        used
    }
}

/// The rate that replaces both interval rates; `None` where the row has none for this jurisdiction: then its interval
/// rates count.
fn jurisdictional(extra: &Extra, jurisdiction: Jurisdiction, rule: Indeterminate) -> Option<Price> {
    if !extra.is_jurisdictional() {
        return None;
    }
    let (inter, intra) = (extra.inter_rate, extra.intra_rate);
    match jurisdiction {
        Jurisdiction::Inter => inter,
        Jurisdiction::Intra => intra,
        Jurisdiction::Indeterminate => extra.indeterminate_rate.or(match rule {
            Indeterminate::Inter => inter,
            Indeterminate::Intra => intra,
            Indeterminate::Dearer => inter.max(intra),
        }),
    }
}

#[cfg(test)]
mod tests;
