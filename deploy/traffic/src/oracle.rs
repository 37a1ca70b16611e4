//! The true amounts, computed apart from the product: big rationals, one row after another, its own longest prefix,
//! its own rounding. Slow and plain on purpose; shares no line with the rater.

use crate::answer::{Answer, HourTotal, Line, SideTotal, UnratedTotal};
use crate::base::country;
use crate::calls::{Attempt, Fate, TrueCall};
use crate::oracle_deck::{Deck, Row};
use crate::world::{Terms, UNIDENTIFIED, World};
use facts::config::{ExchangeRate, RatedAt};
use facts::deck::{Price, RateDeck, RowStatus, Settings};
use facts::{Amount, Currency, Rounding, Side, Unrated};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Whose eyes the calls are seen with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// The edge's events: both legs to the microsecond, lost ends.
    Events,
    /// A Yeti file: one record an attempt, durations in whole seconds rounded up, nothing lost.
    Yeti,
}

/// A price in the account's currency.
struct Priced {
    net: Amount,
    gross: Amount,
    billed: i64,
}

/// One side to be priced.
struct Ask<'a> {
    side: Side,
    number: Option<&'a str>,
    answered_at: Option<i64>,
    started_at: i64,
    duration: i64,
    attempted: bool,
}

impl Ask<'_> {
    fn rated_at(&self, rule: RatedAt) -> i64 {
        match rule {
            RatedAt::Answer => self.answered_at.unwrap_or(self.started_at),
            RatedAt::Setup => self.started_at,
        }
    }
}

/// Who pays or is paid.
struct Party<'a> {
    account: &'a SmolStr,
    currency: Currency,
    deck: SmolStr,
    terms: &'a Terms,
}

/// Computes answers.
pub struct Oracle {
    world: World,
    decks: BTreeMap<SmolStr, Deck>,
    exchange: Vec<ExchangeRate>,
    view: View,
    totals: BTreeMap<(SmolStr, Side), SideTotal>,
    unrated: BTreeMap<(Side, Unrated), UnratedTotal>,
    hours: Vec<HourTotal>,
    answer: Answer,
}

impl Oracle {
    pub fn new(world: World, decks: impl Iterator<Item = RateDeck>, exchange: Vec<ExchangeRate>, view: View) -> Self {
        let answer = Answer {
            seed: 0,
            day: facts::time::rfc3339(world.day),
            calls: 0,
            rated_calls: 0,
            answered_calls: 0,
            attempts: 0,
            suspended: 0,
            estimated: 0,
            sent: None,
            sides: Vec::new(),
            unrated: Vec::new(),
            hours: Vec::new(),
        };
        Self {
            world,
            decks: decks.map(|deck| (deck.id.clone(), Deck::new(&deck))).collect(),
            exchange,
            view,
            totals: BTreeMap::new(),
            unrated: BTreeMap::new(),
            hours: vec![HourTotal::default(); 24],
            answer,
        }
    }

    /// Adds a call to the totals.
    pub fn add(&mut self, call: &TrueCall) {
        self.answer.calls += 1;
        if self.view == View::Events && call.fate == Fate::Suspended {
            self.answer.suspended += 1;
            return;
        }
        let estimated = self.view == View::Events && matches!(call.fate, Fate::Estimated { .. });
        self.answer.estimated += u64::from(estimated);
        self.answer.rated_calls += 1;
        self.answer.attempts += call.attempts.len() as u64;
        self.answer.answered_calls += u64::from(call.answered_at.is_some());
        let lines = self.lines(call);
        let hour = (call.started_at - self.world.day).div_euclid(3_600_000_000).rem_euclid(24) as usize;
        let hour = &mut self.hours[hour];
        hour.calls += 1;
        hour.answered += u64::from(call.answered_at.is_some());
        hour.talked += lines.first().map_or(0, |sell| sell.duration);
        for line in lines {
            self.book(&line);
        }
    }

    /// The answer so far.
    pub fn finish(self, seed: u64) -> Answer {
        Answer {
            seed,
            sides: self.totals.into_values().collect(),
            unrated: self.unrated.into_values().collect(),
            hours: self.hours,
            ..self.answer
        }
    }

    fn book(&mut self, line: &Line) {
        let total = self.totals.entry((line.account.clone(), line.side)).or_insert_with(|| SideTotal {
            account: line.account.clone(),
            side: line.side,
            currency: line.currency,
            xdrs: 0,
            answered: 0,
            provisional: 0,
            billed: 0,
            provisional_billed: 0,
            amount: Amount::ZERO,
            provisional_amount: Amount::ZERO,
            charged: Amount::ZERO,
        });
        total.xdrs += 1;
        total.answered += u64::from(line.answered);
        total.charged.0 += line.charged.0;
        match line.unrated {
            None => {
                total.amount.0 += line.amount.0;
                total.billed += line.billed;
            }
            Some(reason) => {
                total.provisional_amount.0 += line.amount.0;
                total.provisional_billed += line.billed;
                total.provisional += u64::from(line.answered);
                let key = (line.side, reason);
                let count = self.unrated.entry(key).or_insert(UnratedTotal {
                    side: line.side,
                    reason,
                    answered: 0,
                    unanswered: 0,
                });
                count.answered += u64::from(line.answered);
                count.unanswered += u64::from(!line.answered);
            }
        }
    }

    /// Every side of a call: the sell side, then the attempts.
    pub fn lines(&self, call: &TrueCall) -> Vec<Line> {
        let number = call.number.map(|number| number.to_string());
        let mut lines = Vec::with_capacity(1 + call.attempts.len());
        let end = self.end(call);
        let sell = Ask {
            side: Side::Sell,
            number: number.as_deref(),
            answered_at: call.answered_at,
            started_at: call.started_at,
            duration: call.answered_at.map_or(0, |answered| self.talked(end - answered)),
            attempted: !call.attempts.is_empty(),
        };
        let party = call.customer.map(|place| &self.world.customers[place]).map(|customer| Party {
            account: &customer.id,
            currency: customer.currency,
            deck: customer.product(call.premium),
            terms: &customer.terms,
        });
        lines.push(self.line(call, SmolStr::default(), &sell, party));
        for (place, attempt) in call.attempts.iter().enumerate() {
            let (answered_at, duration) = self.attempt_times(call, attempt, sell.duration);
            let started_at = match (self.view, place) {
                // A Yeti file's first record begins with the call.
                (View::Yeti, 0) => call.started_at,
                _ => attempt.started_at,
            };
            let buy =
                Ask { side: Side::Buy, number: number.as_deref(), answered_at, started_at, duration, attempted: true };
            let party = attempt.vendor.map(|place| &self.world.vendors[place]).map(|vendor| Party {
                account: &vendor.id,
                currency: vendor.currency,
                deck: vendor.id.clone(),
                terms: &vendor.terms,
            });
            lines.push(self.line(call, call.attempt_key(place), &buy, party));
        }
        lines
    }

    fn end(&self, call: &TrueCall) -> i64 {
        match self.view {
            View::Events => call.booked_end(),
            View::Yeti => call.ended_at,
        }
    }

    /// A duration as the view tells it.
    fn talked(&self, micros: i64) -> i64 {
        match self.view {
            View::Events => micros,
            View::Yeti => (micros + 999_999) / 1_000_000 * 1_000_000,
        }
    }

    fn attempt_times(&self, call: &TrueCall, attempt: &Attempt, sold: i64) -> (Option<i64>, i64) {
        let Some(answered) = attempt.answered_at else { return (None, 0) };
        match (self.view, call.fate) {
            // One record has one answer and one duration for both sides.
            (View::Yeti, _) => (call.answered_at, sold),
            (View::Events, Fate::Estimated { last_life }) => (Some(answered), last_life - answered),
            (View::Events, _) => (Some(answered), attempt.ended_at - answered),
        }
    }

    fn line(&self, call: &TrueCall, attempt_key: SmolStr, ask: &Ask<'_>, party: Option<Party<'_>>) -> Line {
        let answered = ask.answered_at.is_some();
        let none = || Priced { net: Amount::ZERO, gross: Amount::ZERO, billed: 0 };
        let (priced, unrated) = match self.rated(ask, party.as_ref()) {
            Ok(priced) => (priced, None),
            Err(reason) if answered => {
                (self.provisional(ask, party.as_ref(), reason).unwrap_or_else(none), Some(reason))
            }
            Err(reason) => (none(), Some(reason)),
        };
        let gross = party.as_ref().is_some_and(|party| party.terms.prepaid_gross);
        Line {
            call: call.index,
            call_key: call.key(),
            attempt_key,
            side: ask.side,
            account: party.as_ref().map_or(SmolStr::new_static(UNIDENTIFIED), |party| party.account.clone()),
            currency: party.as_ref().map_or_else(base_currency, |party| party.currency),
            answered,
            duration: ask.duration,
            billed: priced.billed,
            amount: priced.net,
            charged: if gross { priced.gross } else { priced.net },
            unrated,
        }
    }

    fn rated(&self, ask: &Ask<'_>, party: Option<&Party<'_>>) -> Result<Priced, Unrated> {
        let party = party.ok_or(Unrated::UnknownAccount)?;
        let number = ask.number.ok_or(Unrated::BadNumber)?;
        let deck = self.decks.get(&party.deck).ok_or(Unrated::NoDeck)?;
        let at = ask.rated_at(party.terms.rated_at);
        let row = deck.find(number, at).ok_or(Unrated::NoRate)?;
        if row.status == RowStatus::Blocked {
            return Err(Unrated::Blocked);
        }
        let exchange = self.exchange(deck.currency, party.currency, at).ok_or(Unrated::NoExchangeRate)?;
        price(deck, row, party.terms, ask, &exchange).ok_or(Unrated::AmountRange)
    }

    /// Design 4.16, as the rater's documentation has the ladder.
    fn provisional(&self, ask: &Ask<'_>, party: Option<&Party<'_>>, reason: Unrated) -> Option<Priced> {
        let Some(party) = party else { return self.provisional_by_all(ask) };
        let deck = self.decks.get(&party.deck)?;
        let at = ask.rated_at(party.terms.rated_at);
        let exchange = self.exchange(deck.currency, party.currency, at)?;
        let last_known = match (ask.side, ask.number) {
            (Side::Buy, Some(number)) if reason != Unrated::Blocked => deck.last_known(number, at),
            _ => None,
        };
        let of_country =
            ask.number.and_then(|number| deck.dearest_of(Some(country(&number[..number.len().min(15)])), at));
        let rungs = [last_known, of_country, deck.dearest_of(None, at)];
        rungs
            .into_iter()
            .flatten()
            .find_map(|row| price(deck, row, party.terms, ask, &exchange).filter(|priced| priced.net >= Amount::ZERO))
    }

    fn provisional_by_all(&self, ask: &Ask<'_>) -> Option<Priced> {
        let at = ask.rated_at(RatedAt::Answer);
        let one = BigRational::from_integer(1.into());
        let terms = Terms {
            duration_rounding: Rounding::Up,
            amount_rounding: Rounding::HalfUp,
            amount_decimals: 6,
            ..Terms::default()
        };
        for whole in [false, true] {
            let mut best: Option<Priced> = None;
            for deck in self.decks.values().filter(|deck| deck.currency == base_currency()) {
                let row = match (whole, ask.number) {
                    (true, _) => deck.dearest_of(None, at),
                    (false, Some(number)) => deck.dearest_of(Some(country(number)), at),
                    (false, None) => None,
                };
                let Some(priced) = row.and_then(|row| price(deck, row, &terms, ask, &one)) else { continue };
                if priced.net >= Amount::ZERO && best.as_ref().is_none_or(|known| priced.net > known.net) {
                    best = Some(priced);
                }
            }
            if best.is_some() {
                return best;
            }
        }
        None
    }

    fn exchange(&self, from: Currency, to: Currency, at: i64) -> Option<BigRational> {
        if from == to {
            return Some(BigRational::from_integer(1.into()));
        }
        let rates = self.exchange.iter().filter(|rate| rate.from == from && rate.to == to);
        let rate = rates.filter(|rate| rate.valid_from.micros() <= at).max_by_key(|rate| rate.valid_from)?;
        Some(ratio(rate.rate, 100_000_000))
    }
}

fn base_currency() -> Currency {
    facts::config::SiteSettings::default().base_currency
}

fn ratio(numerator: i64, denominator: i64) -> BigRational {
    BigRational::new(numerator.into(), denominator.into())
}

fn whole(number: i64) -> BigRational {
    BigRational::from_integer(number.into())
}

fn money(price: Price) -> BigRational {
    ratio(price.0, 10_000_000_000)
}

/// Rounds to an integer by a rule; `None` the rule is half up here, its caller has scaled to 12 places.
fn round(value: &BigRational, rule: Rounding) -> BigInt {
    let down = value.trunc();
    let rest = (value - &down).abs();
    let half = rest.cmp(&ratio(1, 2));
    let odd = !(down.to_integer() % BigInt::from(2)).is_zero();
    let away = match rule {
        Rounding::Up => !rest.is_zero(),
        Rounding::Down => false,
        Rounding::HalfUp | Rounding::None => half.is_ge(),
        Rounding::HalfEven => half.is_gt() || (half.is_eq() && odd),
    };
    let step = if !away {
        0
    } else if value.is_negative() {
        -1
    } else {
        1
    };
    down.to_integer() + BigInt::from(step)
}

fn amount(exact: &BigRational, rule: Rounding, decimals: u8) -> Option<Amount> {
    let decimals = if rule == Rounding::None { 12 } else { u32::from(decimals) };
    let scaled = exact * BigRational::from_integer(BigInt::from(10).pow(decimals));
    let rounded = round(&scaled, rule) * BigInt::from(10).pow(12 - decimals);
    rounded.to_i128().map(Amount)
}

/// Seconds as an exact number, rounded by the rule.
fn rounded_seconds(micros: i64, rule: Rounding) -> BigRational {
    let exact = ratio(micros, 1_000_000);
    if rule == Rounding::None { exact } else { BigRational::from_integer(round(&exact, rule)) }
}

/// How many whole steps cover a time.
fn steps(time: &BigRational, step: u32) -> BigRational {
    (time / whole(i64::from(step))).ceil()
}

/// The price of one side by one row (design 4.2, 4.3, 13.5 to 13.10).
fn price(deck: &Deck, row: &Row, terms: &Terms, ask: &Ask<'_>, exchange: &BigRational) -> Option<Priced> {
    // The deck is nearer than the agreement; what stands on the agreement is in the account's currency.
    let time = |get: fn(&Settings) -> Option<i64>| get(&deck.settings).or(get(&terms.agreement));
    let deck_money = |get: fn(&Settings) -> Option<Price>| get(&deck.settings).map(money);
    let account_money = |get: fn(&Settings) -> Option<Price>| match get(&deck.settings) {
        Some(_) => None,
        None => get(&terms.agreement).map(money),
    };
    let mut total = BigRational::zero();
    let mut billed = BigRational::zero();
    let grace = time(|s| s.grace).unwrap_or(0);
    let rounded = rounded_seconds(ask.duration, terms.duration_rounding);
    if ask.answered_at.is_some() && ask.duration >= grace && rounded.is_positive() {
        let mut seconds = rounded;
        if let Some(most) = time(|s| s.maximum_duration) {
            seconds = seconds.min(ratio(most, 1_000_000));
        }
        if let Some(least) = time(|s| s.minimum_duration) {
            seconds = seconds.max(ratio(least, 1_000_000));
        }
        seconds -= ratio(row.free, 1_000_000);
        total += ratio(row.connect_fee, 10_000_000_000);
        if seconds.is_positive() {
            let first = whole(i64::from(row.first));
            let rest = if deck.round_total {
                steps(&seconds.max(first.clone()), row.next) * whole(i64::from(row.next)) - &first
            } else {
                let beyond = seconds - &first;
                if beyond.is_positive() {
                    steps(&beyond, row.next) * whole(i64::from(row.next))
                } else {
                    BigRational::zero()
                }
            };
            let minute = |rate: i64| ratio(rate, 10_000_000_000) / whole(60);
            total += &first * minute(row.first_rate) + &rest * minute(row.next_rate);
            billed = first + rest;
        }
        total += deck_money(|s| s.disconnect_fee).unwrap_or_else(BigRational::zero);
        total = bounded(total, deck_money(|s| s.minimum_amount), deck_money(|s| s.maximum_amount));
        if !exchange.is_one() {
            total *= exchange;
        }
        total += account_money(|s| s.disconnect_fee).unwrap_or_else(BigRational::zero);
        total = bounded(total, account_money(|s| s.minimum_amount), account_money(|s| s.maximum_amount));
    }
    if ask.attempted {
        total += deck_money(|s| s.attempt_fee).unwrap_or_else(BigRational::zero) * exchange;
        total += account_money(|s| s.attempt_fee).unwrap_or_else(BigRational::zero);
    }
    if total.is_zero() {
        let billed = (billed * whole(1_000_000)).to_integer().to_i64()?;
        return Some(Priced { net: Amount::ZERO, gross: Amount::ZERO, billed });
    }
    let net = amount(&total, terms.amount_rounding, terms.amount_decimals)?;
    let gross = match terms.tax_percent {
        0 => net,
        tax => {
            let taxed = &total * ratio(1_000_000 + tax, 1_000_000);
            amount(&taxed, terms.amount_rounding, terms.amount_decimals)?
        }
    };
    let billed = (billed * whole(1_000_000)).to_integer().to_i64()?;
    Some(Priced { net, gross, billed })
}

/// Bounds hold the size of an amount, whatever its sign.
fn bounded(value: BigRational, least: Option<BigRational>, most: Option<BigRational>) -> BigRational {
    let mut size = value.abs();
    if let Some(least) = least {
        size = size.max(least);
    }
    if let Some(most) = most {
        size = size.min(most);
    }
    if value.is_negative() { -size } else { size }
}
