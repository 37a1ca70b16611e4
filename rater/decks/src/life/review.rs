//! What a person should know before a version counts: how much it changes, why it waits for a second person, what looks
//! wrong in it, which past calls it prices otherwise, and what a vendor's short notice would cost. Decides nothing.

use super::diff::{Change, Class, each, far};
use super::effect::{Line, OutOfRange, effect};
use super::merge::Backdated;
use super::rows::{ALWAYS, OPEN, Rows};
use facts::config::DeckRules;
use facts::deck::{IntervalRule, Price, RowStatus};
use facts::{Amount, Prefix};
use hashbrown::{HashMap, HashSet};
use smol_str::SmolStr;
use std::collections::BTreeMap;

const DAY: i64 = 86_400_000_000;
/// Fewest rows of a destination by which one of them is judged.
const NEIGHBOURS_MIN: usize = 3;
/// Stretches of time in which a vendor's claims differ from the contract; later ones are counted as the last.
const CLAIM_STRETCHES_MAX: usize = 400;

/// How much a version changes of the one before.
#[derive(Clone, Debug, Default)]
pub struct Review {
    pub counts: BTreeMap<Class, u64>,
    pub unchanged: u64,
    /// The first changes by code, as many as were asked for.
    pub changes: Vec<Change>,
    /// Changes in all.
    pub total: u64,
    /// The latest instant at which something changes; `ALWAYS` = nothing does at an instant.
    pub last: i64,
    /// The earliest instant at which something changes.
    pub first: i64,
    /// Past time whose calls have another price now.
    pub backdated: Vec<Backdated>,
    /// Keys of the older version in force at the instant of the import.
    live: u64,
    /// Codes that close or are blocked, by the instant at which they do.
    pub ends: BTreeMap<i64, u64>,
    /// Codes that end for good.
    closed: HashSet<Prefix>,
    /// New over old price of codes that change it, in 1/10,000.
    ratios: Vec<i64>,
    /// Changes whose date is far off: how many, and the first.
    far_dates: u64,
    far_date: Option<(Prefix, i64)>,
}

/// Why an import waits for a second person, in words.
pub type Cause = String;

/// The instants of an import, microseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Calls until then may have been priced.
    pub now: i64,
    /// When the file came: what is far off, and what would close, is judged from here.
    pub received: i64,
}

/// Compares the version in force with the next one, keeping at most `keep` changes.
pub fn review(old: &Rows, new: &Rows, at: Moment, rule: IntervalRule, rules: &DeckRules, keep: usize) -> Review {
    let mut review = Review { last: ALWAYS, first: OPEN, ..Review::default() };
    let first = old.is_empty();
    review.live = old.iter().filter(|row| row.live(at.received)).count() as u64;
    let horizon = i64::from(rules.date_days).saturating_mul(DAY);
    each(old, new, ALWAYS, rule, &mut |changes| {
        review.unchanged += u64::from(changes.is_empty());
        for change in changes.drain(..) {
            review.total += 1;
            *review.counts.entry(change.class).or_default() += 1;
            review.take(&change, at, first, horizon);
            if review.changes.len() < keep {
                review.changes.push(change);
            }
        }
    });
    review
}

impl Review {
    fn take(&mut self, change: &Change, at: Moment, first: bool, horizon: i64) {
        if change.from != ALWAYS {
            (self.last, self.first) = (self.last.max(change.from), self.first.min(change.from));
            // A first deck lists prices that have long been in force.
            let off = if first { change.from - at.received } else { (change.from - at.received).abs() };
            if off > horizon {
                self.far_dates += 1;
                self.far_date.get_or_insert((change.prefix, change.from));
            }
        }
        if matches!(change.class, Class::Closed | Class::Blocked) {
            *self.ends.entry(change.from).or_default() += 1;
            if change.until == OPEN {
                self.closed.insert(change.prefix);
            }
        }
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && old.next_rate.0 > 0
            && new.status == RowStatus::Open
            && change.until == OPEN
        {
            self.ratios.push(
                i64::try_from(i128::from(new.next_rate.0) * 10_000 / i128::from(old.next_rate.0)).unwrap_or(i64::MAX),
            );
        }
        if !first && change.from < at.now {
            self.backdated.push(Backdated {
                prefix: change.prefix,
                destination: change.destination.clone(),
                from: change.from,
                until: change.until.min(at.now),
            });
        }
    }

    /// Share of the codes in force that end for good, in 1/10,000.
    pub fn closed_codes(&self) -> u64 {
        (self.closed.len() as u64 * 10_000).checked_div(self.live).unwrap_or(0)
    }

    /// Share of these calls' time whose code ends for good, in 1/10,000.
    pub fn closed_time(&self, old: &Rows, lines: &[Line], received: i64) -> u64 {
        let (mut all, mut closed) = (0u64, 0u64);
        for line in lines {
            let seconds = u64::from(line.seconds).saturating_mul(line.calls);
            all = all.saturating_add(seconds);
            if old.covering(line.digits, received).is_some_and(|row| self.closed.contains(&row.prefix())) {
                closed = closed.saturating_add(seconds);
            }
        }
        u64::try_from(u128::from(closed) * 10_000 / u128::from(all.max(1))).unwrap_or(u64::MAX)
    }

    /// Median of new over old price of all codes that both versions price, in 1/10,000.
    pub fn median_ratio(&self) -> Option<i64> {
        let mut ratios = self.ratios.clone();
        ratios.sort_unstable();
        let all = ratios.len() as u64 + self.unchanged;
        let cheaper = ratios.partition_point(|ratio| *ratio < 10_000) as u64;
        let middle = all.checked_sub(1)? / 2;
        let place = if middle < cheaper {
            middle
        } else if middle < cheaper + self.unchanged {
            return Some(10_000);
        } else {
            middle - self.unchanged
        };
        ratios.get(usize::try_from(place).ok()?).copied()
    }

    /// What holds this version by the deck's rules. `week` = calls of the last seven days; without them their rule is
    /// not applied. `zero` = rows of the file at price 0.
    pub fn causes(&self, old: &Rows, week: Option<&[Line]>, now: i64, rules: &DeckRules, zero: u64) -> Vec<Cause> {
        let mut causes = Vec::new();
        let over = |share: u64, percent: u32| share > u64::from(percent) * 100;
        if !old.is_empty() && over(self.closed_codes(), rules.closed_codes_percent) {
            let (share, limit) = (percent(self.closed_codes()), rules.closed_codes_percent);
            let (closed, live) = (self.closed.len(), self.live);
            causes.push(format!("{closed} of {live} codes would close, {share} %; the limit is {limit} %"));
        }
        if let Some(lines) = week {
            let share = self.closed_time(old, lines, now);
            if over(share, rules.closed_minutes_percent) {
                let limit = rules.closed_minutes_percent;
                causes.push(format!(
                    "codes with {} % of the last week's minutes would close; the limit is {limit} %",
                    percent(share)
                ));
            }
        }
        if let Some(ratio) = self.median_ratio().filter(|_| !old.is_empty()) {
            let (low, high) = (i64::from(rules.ratio_low_percent) * 100, i64::from(rules.ratio_high_percent) * 100);
            if ratio < low || ratio > high {
                causes.push(format!(
                    "the median of new to old price is {} %; the limits are {} % and {} %",
                    percent(ratio.unsigned_abs()),
                    rules.ratio_low_percent,
                    rules.ratio_high_percent
                ));
            }
        }
        if let Some((prefix, at)) = self.far_date {
            let (count, days, at) = (self.far_dates, rules.date_days, facts::time::rfc3339(at));
            causes.push(format!("{count} changes are more than {days} days off, the first is code {prefix} at {at}"));
        }
        if zero > 0 {
            causes.push(format!("{zero} rows have price 0"));
        }
        causes
    }
}

/// 1/10,000 as percent.
fn percent(share: u64) -> String {
    let text = format!("{}.{:02}", share / 100, share % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Something that is allowed and seldom meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    pub prefix: Prefix,
    pub destination: SmolStr,
    pub text: String,
}

/// The first warnings, and how many there are.
#[derive(Clone, Debug, Default)]
pub struct Warned {
    pub first: Vec<Warning>,
    pub total: u64,
    keep: usize,
}

impl Warned {
    fn push(&mut self, prefix: Prefix, destination: &SmolStr, text: impl FnOnce() -> String) {
        self.total += 1;
        if self.first.len() < self.keep {
            self.first.push(Warning { prefix, destination: destination.clone(), text: text() });
        }
    }
}

/// Looks for what is seldom meant: numbers that fall to a much different price, and prices far off their neighbours'.
/// Of a first version too: its later codes are sold by the shorter ones until their day. Keeps at most `keep`.
pub fn warnings(old: &Rows, new: &Rows, now: i64, rule: IntervalRule, rules: &DeckRules, keep: usize) -> Warned {
    let mut warnings = Warned { keep, ..Warned::default() };
    let limit = i128::from(rules.fall_percent);
    each(old, new, ALWAYS, rule, &mut |changes| {
        for change in changes.iter() {
            let day = || facts::time::rfc3339(change.from);
            match (&change.old, &change.new, &change.covered) {
                (Some(old), None, Some(covered)) if far(old.next_rate, covered.rate, limit) => {
                    let (code, price) = (covered.prefix, covered.rate);
                    let text =
                        || format!("ends {}; its numbers fall from {} to {price} of code {code}", day(), old.next_rate);
                    warnings.push(change.prefix, &change.destination, text);
                }
                (None, Some(rate), _) if change.from > now => {
                    // What takes its numbers until then, by the version that brings it.
                    let Some(until) = new.covering(change.prefix, change.from - 1) else { continue };
                    let (code, price) = (until.prefix(), until.row.next_rate);
                    if until.status() == RowStatus::Open && far(rate.next_rate, price, limit) {
                        let at = rate.next_rate;
                        let text =
                            || format!("begins {} at {at}; until then its numbers pay {price} of code {code}", day());
                        warnings.push(change.prefix, &change.destination, text);
                    }
                }
                _ => {}
            }
        }
    });
    negative(old, new, now, &mut warnings);
    neighbours(old, new, now, rules, &mut warnings);
    warnings
}

/// Rows by which a call is paid for instead of paying: allowed (reverse billing), and by a slip of the pen dear.
fn negative(old: &Rows, new: &Rows, now: i64, warnings: &mut Warned) {
    let below = |row: &super::RowRef<'_>| row.row.next_rate.0 < 0 || row.row.first_rate.0 < 0;
    for row in new.iter().filter(|row| below(row) && row.row.until > now && row.status() == RowStatus::Open) {
        if !old.of_prefix(row.prefix()).any(|was| below(&was)) {
            let text = || format!("has the negative price {}: whoever is billed by it is paid", row.row.next_rate);
            warnings.push(row.prefix(), row.destination(), text);
        }
    }
}

/// Rows whose price is new and far from the median of their destination's.
fn neighbours(old: &Rows, new: &Rows, now: i64, rules: &DeckRules, warnings: &mut Warned) {
    let judged = |row: &super::RowRef<'_>| row.row.until > now && row.plain() && row.status() == RowStatus::Open;
    let mut prices: HashMap<&SmolStr, Vec<i64>> = HashMap::new();
    for row in new.iter().filter(judged) {
        prices.entry(row.destination()).or_default().push(row.row.next_rate.0);
    }
    prices.values_mut().for_each(|list| list.sort_unstable());
    for row in new.iter().filter(judged) {
        let Some(list) = prices.get(row.destination()).filter(|list| list.len() > NEIGHBOURS_MIN) else { continue };
        let (price, median) = (row.row.next_rate, Price(list[list.len() / 2]));
        let (low, high) = (price.min(median), price.max(median));
        let apart = i128::from(high.0) * 100 > i128::from(low.0) * i128::from(rules.neighbour_percent);
        if apart && low.0 >= 0 && old.of_prefix(row.prefix()).all(|was| was.row.next_rate != price) {
            let text = || format!("costs {price}; the median of its destination's {} rows is {median}", list.len());
            warnings.push(row.prefix(), row.destination(), text);
        }
    }
}

/// What a vendor would bill beyond the contract for calls as those of the last `days` days: his dates in `claimed`, the
/// contract's in `contract`, from `now` until both are the same.
pub fn dispute(
    contract: &Rows,
    claimed: &Rows,
    lines: &[Line],
    now: i64,
    days: u32,
    rule: IntervalRule,
) -> Result<Amount, OutOfRange> {
    let mut instants = vec![now];
    each(contract, claimed, now, rule, &mut |changes| {
        for at in changes.iter().flat_map(|change| [change.from, change.until]) {
            if at > now && at != OPEN && instants.len() < 4 * CLAIM_STRETCHES_MAX {
                instants.push(at);
            }
        }
        if instants.len() >= 2 * CLAIM_STRETCHES_MAX {
            instants.sort_unstable();
            instants.dedup();
        }
    });
    instants.sort_unstable();
    instants.dedup();
    instants.truncate(CLAIM_STRETCHES_MAX);
    let (mut sum, whole) = (0i128, i128::from(days.max(1)) * i128::from(DAY));
    let out_of_range = || OutOfRange { prefix: Prefix::default() };
    for pair in instants.windows(2) {
        let [from, until] = pair else { continue };
        let beyond = effect(contract, claimed, lines, *from, rule)?;
        let more = beyond.new.0.checked_sub(beyond.old.0).ok_or_else(out_of_range)?;
        let part = more.checked_mul(i128::from(until - from)).ok_or_else(out_of_range)?;
        sum = sum.checked_add(part).ok_or_else(out_of_range)?;
    }
    facts::money::Rounding::HalfUp.divide(sum, whole).map(Amount).ok_or_else(out_of_range)
}
