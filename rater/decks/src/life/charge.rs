//! What one call costs by one row, exactly: a fraction, never a rounded figure, so that comparisons and margins hold to
//! the last digit. Taxes, exchange and amount rounding belong to agreements and to `rating`.

use facts::Amount;
use facts::deck::{IntervalRule, Price, Rate};
use facts::money::Rounding;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Units of a price in one of an amount: 10^-10 to 10^-12.
const PRICE_TO_AMOUNT: i128 = 100;

/// Durations by which two sets of terms are compared, seconds: around every usual increment, and long calls.
pub const DURATIONS: [u32; 14] = [1, 5, 6, 7, 29, 30, 31, 59, 60, 61, 90, 180, 600, 3_600];

/// An exact charge: `numerator / over` in 10^-10 of the deck's currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charge {
    pub numerator: i128,
    /// Above zero.
    pub over: i128,
}

impl Charge {
    /// Which is dearer; `None` where the products leave 128 bits.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        Some(self.numerator.checked_mul(other.over)?.cmp(&other.numerator.checked_mul(self.over)?))
    }

    /// Rounded half up to 10^-12.
    pub fn amount(self) -> Option<Amount> {
        Rounding::HalfUp.divide(self.numerator.checked_mul(PRICE_TO_AMOUNT)?, self.over).map(Amount)
    }
}

/// What a row of an origin group adds to the one that prices a call (design 4.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Added {
    /// Connect fee and disconnect fee together, in 10^-10.
    pub fees: i128,
    /// A minute, on the steps of a stepped row; rates of intervals hold theirs already.
    pub surcharge: Price,
}

/// The charge of a call of whole seconds (design 13.5 and 13.6; row settings only): `None` beyond 128 bits.
pub fn charge(first: Price, next: Price, body: &Rate, seconds: u32, rule: IntervalRule) -> Option<Charge> {
    charge_with(first, next, body, Added::default(), seconds, rule)
}

/// The same with a surcharge; `first` and `next` hold it.
pub fn charge_with(
    first: Price,
    next: Price,
    body: &Rate,
    added: Added,
    seconds: u32,
    rule: IntervalRule,
) -> Option<Charge> {
    let micros = i64::from(seconds) * 1_000_000;
    let settings = &body.settings;
    if seconds == 0 || settings.grace.is_some_and(|grace| micros < grace) {
        return Some(Charge { numerator: 0, over: 1 });
    }
    let billed = counted(body, seconds);
    let own = i128::from(body.connect_fee.0) + i128::from(settings.disconnect_fee.unwrap_or_default().0);
    let fees = own.checked_add(added.fees)?;
    let (usage, over) = match body.steps.is_empty() {
        true => (intervals(first, next, body, billed, rule)?, 60),
        false => stepped(body, added.surcharge, billed)?,
    };
    let mut total = Charge { numerator: fees.checked_mul(over)?.checked_add(usage)?, over };
    for (bound, keeps) in [(settings.minimum_amount, Ordering::Greater), (settings.maximum_amount, Ordering::Less)] {
        if let Some(bound) = bound {
            let bound = Charge { numerator: i128::from(bound.0), over: 1 };
            if total.compare(bound)? != keeps {
                total = bound;
            }
        }
    }
    Some(total)
}

/// The microseconds of a call that a row's intervals count: none of one below its grace.
pub fn counted(body: &Rate, seconds: u32) -> i64 {
    let (micros, settings) = (i64::from(seconds) * 1_000_000, &body.settings);
    if seconds == 0 || settings.grace.is_some_and(|grace| micros < grace) {
        return 0;
    }
    let capped = settings.maximum_duration.map_or(micros, |most| micros.min(most));
    capped.max(settings.minimum_duration.unwrap_or(0)).saturating_sub(body.free).max(0)
}

/// Two intervals, over 60.
fn intervals(first: Price, next: Price, body: &Rate, billed: i64, rule: IntervalRule) -> Option<i128> {
    if billed == 0 {
        return Some(0);
    }
    let (first_interval, next_interval) = (i128::from(body.first_interval), i128::from(body.next_interval.max(1)));
    let seconds = i128::from(billed).checked_add(999_999)? / 1_000_000;
    let rest = match rule {
        IntervalRule::Anchored => up((seconds - first_interval).max(0), next_interval),
        IntervalRule::RoundTotal => (up(seconds.max(first_interval), next_interval) - first_interval).max(0),
    };
    let first = i128::from(first.0).checked_mul(first_interval)?;
    first.checked_add(i128::from(next.0).checked_mul(rest)?)
}

/// Up to a whole number of intervals.
fn up(seconds: i128, interval: i128) -> i128 {
    (seconds + interval - 1) / interval * interval
}

/// Steps over their common denominator.
fn stepped(body: &Rate, surcharge: Price, billed: i64) -> Option<(i128, i128)> {
    let over = body.steps.iter().try_fold(60i128, |all, step| lcm(all, i128::from(step.per.max(1))))?;
    let mut sum = 0i128;
    for (at, step) in body.steps.iter().enumerate() {
        let end = body.steps.get(at + 1).map_or(i64::MAX, |next| next.from);
        let span = billed.min(end).saturating_sub(step.from);
        if span <= 0 {
            break;
        }
        let seconds = up(i128::from(span), i128::from(step.increment.max(1)) * 1_000_000) / 1_000_000;
        let unit = over / i128::from(step.per.max(1));
        sum = sum.checked_add(i128::from(step.rate.0).checked_mul(seconds)?.checked_mul(unit)?)?;
        sum = sum.checked_add(i128::from(surcharge.0).checked_mul(seconds)?.checked_mul(over / 60)?)?;
    }
    Some((sum, over))
}

/// Least common multiple of two positive numbers.
pub(crate) fn lcm(a: i128, b: i128) -> Option<i128> {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).checked_mul(b)
}

/// A sum of charges, exact until it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sum(BTreeMap<i128, i128>);

impl Sum {
    /// Adds `times` charges; `None` beyond 128 bits.
    pub fn add(&mut self, charge: Charge, times: i128) -> Option<()> {
        let sum = self.0.entry(charge.over).or_default();
        *sum = sum.checked_add(charge.numerator.checked_mul(times)?)?;
        Some(())
    }

    /// Scaled by `times / over` and rounded half up, once, to 10^-12.
    pub fn scaled(&self, times: i128, over: i128) -> Option<Amount> {
        let common = self.0.keys().try_fold(1i128, |all, over| lcm(all, *over))?;
        let sum = self
            .0
            .iter()
            .try_fold(0i128, |sum, (over, numerator)| sum.checked_add(numerator.checked_mul(common / over)?))?;
        let numerator = sum.checked_mul(PRICE_TO_AMOUNT)?.checked_mul(times)?;
        Rounding::HalfUp.divide(numerator, common.checked_mul(over)?).map(Amount)
    }

    /// Rounded half up, once, to 10^-12.
    pub fn amount(&self) -> Option<Amount> {
        self.scaled(1, 1)
    }
}

/// How the terms of one row compare with another's, over [`DURATIONS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compared {
    Same,
    Dearer,
    Cheaper,
    /// Dearer for some durations, cheaper for others.
    Both,
}

/// Compares what a call costs by `new` with what it costs by `old`. What cannot be computed counts as dearer.
pub fn compare(old: super::RowRef<'_>, new: super::RowRef<'_>, rule: IntervalRule) -> Compared {
    let (mut dearer, mut cheaper) = (false, false);
    for seconds in DURATIONS {
        let order = old.charge(seconds, rule).zip(new.charge(seconds, rule)).and_then(|(old, new)| new.compare(old));
        match order {
            Some(Ordering::Equal) => {}
            Some(Ordering::Less) => cheaper = true,
            Some(Ordering::Greater) | None => dearer = true,
        }
    }
    match (dearer, cheaper) {
        (false, false) => Compared::Same,
        (true, false) => Compared::Dearer,
        (false, true) => Compared::Cheaper,
        (true, true) => Compared::Both,
    }
}
