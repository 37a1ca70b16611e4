//! What a vendor asks for numbers: every price that a call to them may pay, by where it comes from, at which hour and in
//! which jurisdiction. Costs nothing itself; see `price`.

use super::cells::Frame;
use super::recipe::Conditions;
use super::{Buy, Made};
use crate::life::RowRef;
use crate::life::charge::Added;
use facts::deck::{IntervalRule, OriginMode, Price, Rate, RowStatus};
use smol_str::SmolStr;

/// One price of a vendor that a call may pay: a row, with one of its jurisdictions' rates, and the row of an origin group
/// that is added to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Term {
    pub buy: usize,
    pub row: usize,
    /// Added to the row for its callers.
    pub add: Option<usize>,
    /// The rates of both together.
    pub first: Price,
    pub next: Price,
    /// A call that may run into other hours whose increments end elsewhere: behind the first interval it is billed by the
    /// second, and so many seconds more. 0 = by the row's own increments.
    pub over: u32,
}

/// The hours that a call by a row may run into: the dearest of their rates, by row and jurisdiction, and what their
/// increments may bill beyond its end.
#[derive(Clone, Copy)]
struct Later {
    /// Where the clock begins behind free seconds, the first interval may be another hour's.
    first: Option<Price>,
    next: Price,
    over: u32,
}

/// The vendors whose cost counts for a cell; each with all that a call may pay. Empty = nobody takes it.
pub(super) type Choice = Vec<Vec<Term>>;

/// What the added row brings.
pub(super) fn added(row: Option<RowRef<'_>>) -> Added {
    row.map_or_else(Added::default, |row| {
        let disconnect = row.body.settings.disconnect_fee.unwrap_or_default();
        Added { fees: i128::from(row.body.connect_fee.0) + i128::from(disconnect.0), surcharge: row.row.next_rate }
    })
}

/// A vendor's rows of a cell, the innermost code first.
pub(super) struct Asked<'s, 'a> {
    pub stack: &'s [Frame],
    pub buys: &'a [Buy<'a>],
    pub vendor: usize,
    pub at: i64,
}

impl<'a> Asked<'_, 'a> {
    /// Rows of one code that are in force.
    fn live(&self, frame: &Frame, add: bool) -> Vec<(usize, RowRef<'a>)> {
        let range = frame.ranges.get(self.vendor).cloned().unwrap_or_default();
        let rows = range.filter_map(|index| Some((index, self.buys.get(self.vendor)?.rows.get(index)?)));
        rows.filter(|(_, row)| row.live(self.at) && (row.body.origin_mode == OriginMode::Add) == add).collect()
    }

    /// All that a call may pay; `None` where the vendor does not take these numbers.
    pub fn terms(&self, conditions: Conditions) -> Option<Vec<Term>> {
        let mut terms = match conditions {
            Conditions::Plain => self.plain_terms()?,
            Conditions::Worst => {
                let mut terms = self.of_origin(None)?;
                for origin in self.origins() {
                    terms.extend(self.of_origin(Some(origin)).unwrap_or_default());
                }
                terms
            }
        };
        terms.sort_unstable();
        terms.dedup();
        Some(terms)
    }

    /// Origin groups that a row of these codes is for.
    fn origins(&self) -> Vec<&'a SmolStr> {
        let rows = self.stack.iter().flat_map(|frame| [self.live(frame, false), self.live(frame, true)]).flatten();
        let mut origins: Vec<&SmolStr> = rows.filter_map(|(_, row)| row.body.origin.as_ref()).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// Rows that may be chosen for callers of a group, innermost first, and whether one of them always is.
    fn chosen(&self, origin: Option<&SmolStr>, add: bool) -> (Vec<(usize, RowRef<'a>)>, bool) {
        let mut found = Vec::new();
        for frame in self.stack.iter().rev() {
            let live = self.live(frame, add);
            // The caller's group before a band before none (design 4.5).
            for of_group in [true, false] {
                if of_group && origin.is_none() {
                    continue;
                }
                let group = live.iter().filter(|(_, row)| row.body.origin.as_ref() == origin.filter(|_| of_group));
                let (always, sometimes): (Vec<_>, Vec<_>) =
                    group.copied().partition(|(_, row)| row.body.time_band.is_none());
                found.extend(sometimes);
                if let Some(row) = always.last() {
                    found.push(*row);
                    return (found, true);
                }
            }
        }
        (found, false)
    }

    fn of_origin(&self, origin: Option<&SmolStr>) -> Option<Vec<Term>> {
        let (rows, always) = self.chosen(origin, false);
        let blocked = |row: &RowRef<'_>| row.status() == RowStatus::Blocked;
        // Whoever does not take plain callers is no vendor; rows of some hours alone are one while they last.
        if always && rows.last().is_some_and(|(_, row)| blocked(row)) && origin.is_none() {
            return None;
        }
        let (adds, always_added) = self.chosen(origin, true);
        let mut adds: Vec<Option<(usize, RowRef<'_>)>> = adds.into_iter().map(Some).collect();
        if !always_added {
            adds.push(None);
        }
        let mut terms = Vec::new();
        for (index, row) in rows.iter().filter(|(_, row)| !blocked(row)) {
            if reverse(row.body, row.row.first_rate, row.row.next_rate) {
                // A group of callers that the vendor pays for costs nothing; where he pays for all, he sells nothing.
                origin?;
                continue;
            }
            let later = self.later(*row, &rows);
            for add in &adds {
                push_terms(&mut terms, self.vendor, *index, *row, *add, None);
                if later.is_some() {
                    push_terms(&mut terms, self.vendor, *index, *row, *add, later);
                }
            }
        }
        (!terms.is_empty()).then_some(terms)
    }

    /// The hours that a call may run into, among the rows of the same code and callers, where they make it dearer than
    /// its own row may. Rows with steps of their own are not looked at.
    fn later(&self, row: RowRef<'_>, rows: &[(usize, RowRef<'a>)]) -> Option<Later> {
        let buy = self.buys.get(self.vendor).filter(|buy| buy.split)?;
        let sisters = rows.iter().map(|(_, other)| *other).filter(|other| {
            other.prefix() == row.prefix()
                && other.body.origin == row.body.origin
                && other.status() != RowStatus::Blocked
                && !reverse(other.body, other.row.first_rate, other.row.next_rate)
        });
        let sisters: Vec<RowRef<'_>> = sisters.collect();
        let stepped = sisters.iter().any(|other| !other.body.steps.is_empty());
        if stepped || sisters.iter().all(|other| other.body.time_band.is_none()) {
            return None;
        }
        let by_state = |other: &RowRef<'_>| {
            let body = other.body;
            [body.inter_rate, body.intra_rate, body.indeterminate_rate].into_iter().flatten().max()
        };
        let next = sisters.iter().filter_map(|other| by_state(other).max(Some(other.row.next_rate))).max()?;
        let first = sisters.iter().filter_map(|other| by_state(other).max(Some(other.row.first_rate))).max();
        let longest = sisters.iter().map(|other| other.body.next_interval.max(1)).max()?;
        let equal = sisters.iter().all(|other| other.body.next_interval.max(1) == longest);
        // A total that is rounded before it is divided has no end but its own.
        let over = if equal || buy.rule == IntervalRule::RoundTotal { 0 } else { longest - 1 };
        Some(Later { first: first.filter(|_| row.body.free > 0), next, over })
    }

    /// Rows for all callers at all hours, where there is one; nothing is added.
    fn plain_terms(&self) -> Option<Vec<Term>> {
        let (mut terms, mut for_all) = (Vec::new(), false);
        for frame in self.stack.iter().rev() {
            let live = self.live(frame, false);
            let plain = live.iter().find(|(_, row)| row.plain()).copied();
            if plain.is_some_and(|(_, row)| row.status() == RowStatus::Blocked) {
                return None;
            }
            let rows = plain.map_or(live, |plain| vec![plain]);
            for (index, row) in rows.iter().filter(|(_, row)| row.status() != RowStatus::Blocked) {
                if reverse(row.body, row.row.first_rate, row.row.next_rate) {
                    return None;
                }
                for_all |= row.body.origin.is_none();
                push_terms(&mut terms, self.vendor, *index, *row, None, None);
            }
            if plain.is_some() {
                break;
            }
        }
        for_all.then_some(terms)
    }
}

/// A price that a vendor pays us: nothing is sold on it.
fn reverse(body: &Rate, first: Price, next: Price) -> bool {
    let settings = &body.settings;
    let set = [body.inter_rate, body.intra_rate, body.indeterminate_rate, settings.minimum_amount];
    let more = [settings.maximum_amount, settings.disconnect_fee, settings.attempt_fee];
    let prices = [first, next, body.connect_fee].into_iter().chain(set.into_iter().chain(more).flatten());
    prices.chain(body.steps.iter().map(|step| step.rate)).any(|price| price.0 < 0)
}

/// All that a call may pay by a row: with rates by jurisdiction each of them.
fn push_terms(
    terms: &mut Vec<Term>,
    buy: usize,
    index: usize,
    row: RowRef<'_>,
    add: Option<(usize, RowRef<'_>)>,
    later: Option<Later>,
) {
    let by_state = [row.body.inter_rate, row.body.intra_rate, row.body.indeterminate_rate];
    let of_add = add.map_or((0, 0), |(_, add)| (add.row.first_rate.0, add.row.next_rate.0));
    let mut push = |first: Price, next: Price| {
        let first = later.and_then(|later| later.first).map_or(first, |most| most.max(first));
        let (next, over) = later.map_or((next, 0), |later| (later.next.max(next), later.over));
        let (first, next) = (Price(first.0.saturating_add(of_add.0)), Price(next.0.saturating_add(of_add.1)));
        terms.push(Term { buy, row: index, add: add.map(|(at, _)| at), first, next, over });
    };
    let missing = row.body.inter_rate.is_none() || row.body.intra_rate.is_none();
    if by_state.iter().all(Option::is_none) || missing {
        push(row.row.first_rate, row.row.next_rate);
    }
    by_state.into_iter().flatten().for_each(|price| push(price, price));
}

/// Counts what is in no cost.
pub(super) fn count_left_out(buys: &[Buy<'_>], conditions: Conditions, effective: i64, made: &mut Made) {
    for row in buys.iter().flat_map(|buy| buy.rows.iter()).filter(|row| row.row.until > effective) {
        let add = row.body.origin_mode == OriginMode::Add;
        made.surcharges += u64::from(add && conditions == Conditions::Plain);
        made.reverse += u64::from(!add && reverse(row.body, row.row.first_rate, row.row.next_rate));
        made.attempt_fees += u64::from(row.body.settings.attempt_fee.is_some_and(|fee| fee.0 != 0));
    }
}
