//! Which durations decide a price. Both charges rise in steps, so what a call costs for each billed second of the sell
//! side is greatest where a sell step begins to hold a new buy step; and as steps repeat, the first and the last time
//! that they fall together so decide for all times between. A proof over them is one over every duration.

use crate::life::charge::lcm;
use facts::deck::{IntervalRule, Rate};
use hashbrown::HashMap;
use std::rc::Rc;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// How one side counts seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Steps {
    /// End of the first step, seconds.
    first: u32,
    /// Length of the others, seconds.
    next: u32,
    /// Free seconds at the start.
    free: u32,
    /// Shorter calls are free, seconds.
    grace: u32,
    /// Shorter calls cost as much as one of so many seconds.
    least: u32,
    /// Longer calls cost no more than one of so many seconds.
    most: u32,
}

impl Steps {
    pub fn new(first: u32, next: u32, rule: IntervalRule) -> Self {
        let next = next.max(1);
        let first = match rule {
            IntervalRule::Anchored => first,
            IntervalRule::RoundTotal => first.div_ceil(next).saturating_mul(next),
        };
        // Without a first interval the first step is one of the others.
        let first = if first == 0 { next } else { first };
        Self { first, next, free: 0, grace: 0, least: 0, most: u32::MAX }
    }

    /// Steps of a row whose charge is the greater of a least amount and fees + first + steps; `None` where it is capped,
    /// has steps of its own, or counts parts of a second.
    pub fn of(body: &Rate, rule: IntervalRule) -> Option<Self> {
        let settings = &body.settings;
        if !body.steps.is_empty() || settings.maximum_amount.is_some() {
            return None;
        }
        let whole = |micros: i64| (micros % SECOND == 0).then(|| u32::try_from(micros / SECOND).ok()).flatten();
        Some(Self {
            free: whole(body.free)?,
            grace: whole(settings.grace.unwrap_or(0))?,
            least: whole(settings.minimum_duration.unwrap_or(0))?,
            most: settings.maximum_duration.map_or(Some(u32::MAX), whole)?,
            ..Self::new(body.first_interval, body.next_interval, rule)
        })
    }

    /// The end of the step that so many seconds fall in: what is billed where nothing is free.
    pub fn billed(self, seconds: u32) -> u32 {
        if seconds <= self.first {
            return self.first;
        }
        let steps = (seconds - self.first).div_ceil(self.next);
        self.first.saturating_add(steps.saturating_mul(self.next))
    }

    /// The longest call that costs no more than one of so many seconds.
    fn level_until(self, seconds: u32) -> u32 {
        if seconds < self.grace {
            return self.grace - 1;
        }
        let counted = seconds.max(self.least);
        let end = match counted.checked_sub(self.free).filter(|rest| *rest > 0) {
            None => self.free,
            Some(rest) => self.free.saturating_add(self.billed(rest)),
        };
        if end >= self.most || seconds >= self.most { u32::MAX } else { end }
    }

    /// Durations behind which the steps begin to repeat, or stop doing so.
    pub fn marks(self) -> [u32; 5] {
        [self.free, self.free.saturating_add(self.first), self.grace, self.least, self.most]
    }
}

/// The sell side beside the buy sides, and how many seconds more these may count.
type Sides = (Steps, Vec<Option<Steps>>, u32);

/// Remembers what it found: decks have few different increments.
#[derive(Default)]
pub struct Deciding {
    known: HashMap<Sides, Rc<[u32]>>,
}

impl Deciding {
    /// Durations between `shortest` and `longest` (both included) that decide for all between; ends of sell steps.
    /// A buy side of `None` may step anywhere: then every sell step decides. Buy sides count `more` seconds of the same
    /// call than the sell side.
    pub fn of(
        &mut self,
        sell: Steps,
        mut buys: Vec<Option<Steps>>,
        (shortest, longest): (u32, u32),
        more: u32,
    ) -> Rc<[u32]> {
        buys.sort_unstable();
        buys.dedup();
        let key = (sell, buys, more);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let found: Rc<[u32]> = walk(sell, &key.1, (shortest, longest), more).into();
        self.known.insert(key, found.clone());
        found
    }
}

fn walk(sell: Steps, buys: &[Option<Steps>], (shortest, longest): (u32, u32), more: u32) -> Vec<u32> {
    let start = sell.billed(shortest.max(1));
    let end = sell.billed(longest.max(shortest).max(1));
    let plain: Option<Vec<Steps>> = buys.iter().copied().collect();
    let Some(plain) = plain else { return sweep(sell, None, (start, end), more) };
    let period = period(sell, &plain);
    // Once round, and a step more on either side.
    let round = plain.iter().map(|buy| buy.next).fold(sell.next, u32::max).saturating_add(period);
    let mut found = Vec::new();
    let marks = plain.iter().flat_map(|buy| buy.marks()).map(|mark| mark.saturating_sub(more)).chain([start, end]);
    for mark in marks.map(|mark| mark.clamp(start, end)) {
        let (from, until) = (sell.billed(mark.saturating_sub(round)), mark.saturating_add(round));
        found.extend(sweep(sell, Some(&plain), (from.max(start), sell.billed(until).min(end)), more));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// After how many seconds the steps of both sides fall together again.
pub fn period(sell: Steps, buys: &[Steps]) -> u32 {
    let period = buys.iter().try_fold(i128::from(sell.next), |all, buy| lcm(all, i128::from(buy.next)));
    period.and_then(|period| u32::try_from(period).ok()).unwrap_or(u32::MAX)
}

/// Ends of sell steps in order: all of them, or those that are the first of a buy step of some buy side.
fn sweep(sell: Steps, buys: Option<&[Steps]>, (start, end): (u32, u32), more: u32) -> Vec<u32> {
    let mut found = vec![start];
    let mut at = start;
    while at < end {
        let until = match buys {
            None => at,
            // Up to here no buy side takes another step.
            Some(buys) => {
                let level = |buy: &Steps| match buy.level_until(at.saturating_add(more)) {
                    u32::MAX => u32::MAX,
                    until => until.saturating_sub(more),
                };
                buys.iter().map(level).min().unwrap_or(end).max(at)
            }
        };
        let next = sell.billed(until.saturating_add(1));
        if next <= at || next > end {
            break;
        }
        found.push(next);
        at = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Fee, first and next price of a second, least amount.
    fn cost(buys: &[(Steps, [u64; 4])], seconds: u32) -> u64 {
        let of = |(steps, [fee, first, next, least]): &(Steps, [u64; 4])| {
            if seconds < steps.grace {
                return 0;
            }
            let counted = seconds.min(steps.most).max(steps.least).saturating_sub(steps.free);
            let usage = match counted {
                0 => 0,
                counted => u64::from(steps.first) * first + u64::from(steps.billed(counted) - steps.first) * next,
            };
            (fee + usage).max(*least)
        };
        buys.iter().map(of).sum()
    }

    fn steps() -> impl Strategy<Value = Steps> {
        let some = |most: u32| prop_oneof![Just(0u32), Just(0), 1..most];
        ((0u32..70, 1u32..70), some(90), some(90), some(200), some(4_000)).prop_map(
            |(increments, free, grace, least, most)| Steps {
                free,
                grace,
                least,
                most: if most == 0 { u32::MAX } else { most },
                ..Steps::new(increments.0, increments.1, IntervalRule::Anchored)
            },
        )
    }

    proptest! {
        /// The greatest cost for each billed second over the deciding durations is the greatest over all.
        #[test]
        fn no_duration_outside_the_deciding_ones_is_dearer(
            sell in (0u32..70, 1u32..70),
            buys in prop::collection::vec((steps(), [0u64..500, 0u64..500, 0u64..500, 0u64..900]), 1..4),
            shortest in 1u32..100, longest in 100u32..9_000, more in 0u32..2,
        ) {
            let sell = Steps::new(sell.0, sell.1, IntervalRule::Anchored);
            let dearest = |durations: &mut dyn Iterator<Item = u32>| {
                let all = durations.map(|d| (u128::from(cost(&buys, d + more)), u128::from(sell.billed(d))));
                all.max_by(|x, y| (x.0 * y.1).cmp(&(y.0 * x.1))).unwrap()
            };
            let found = walk(sell, &buys.iter().map(|(steps, _)| Some(*steps)).collect::<Vec<_>>(), (shortest, longest), more);
            let (by_few, by_all) = (dearest(&mut found.iter().copied()), dearest(&mut (shortest..=sell.billed(longest))));
            prop_assert_eq!(by_few.0 * by_all.1, by_all.0 * by_few.1, "{:?}", found);
        }
    }

    #[test]
    fn few_durations_decide_however_long_the_calls() {
        let (second, minute) = (Steps::new(1, 1, IntervalRule::Anchored), Steps::new(60, 60, IntervalRule::Anchored));
        let free = Steps { free: 30, grace: 5, ..minute };
        for (sell, buys) in [(second, vec![minute, second]), (minute, vec![second]), (second, vec![free])] {
            let buys: Vec<Option<Steps>> = buys.into_iter().map(Some).collect();
            let found = walk(sell, &buys, (1, 86_400), 0);
            assert!(found.len() < 500, "{} durations", found.len());
        }
    }
}
