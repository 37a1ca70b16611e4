//! Which durations decide a price. Both charges rise in steps, so what a call costs for each billed second of the sell
//! side is greatest where a sell step begins to hold a new buy step; and as steps repeat, the first and the last time
//! that they fall together so decide for all times between. A proof over them is one over every duration.

use crate::life::charge::lcm;
use facts::deck::{IntervalRule, Rate};
use hashbrown::HashMap;
use std::rc::Rc;

/// How one side counts seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Steps {
    /// End of the first step, seconds.
    first: u32,
    /// Length of the others, seconds.
    next: u32,
}

impl Steps {
    pub fn new(first: u32, next: u32, rule: IntervalRule) -> Self {
        let next = next.max(1);
        let first = match rule {
            IntervalRule::Anchored => first,
            IntervalRule::RoundTotal => first.div_ceil(next).saturating_mul(next),
        };
        // Without a first interval the first step is one of the others.
        Self { first: if first == 0 { next } else { first }, next }
    }

    /// Steps of a row whose charge is fee + first + steps; `None` where it has other settings or steps of its own.
    pub fn of(body: &Rate, rule: IntervalRule) -> Option<Self> {
        let plain = body.steps.is_empty() && body.free == 0 && {
            let fees_only = facts::deck::Settings {
                attempt_fee: body.settings.attempt_fee,
                disconnect_fee: body.settings.disconnect_fee,
                ..Default::default()
            };
            body.settings == fees_only
        };
        plain.then(|| Self::new(body.first_interval, body.next_interval, rule))
    }

    /// The end of the step that a call of `seconds` (at least 1) falls in: what is billed.
    pub fn billed(self, seconds: u32) -> u32 {
        if seconds <= self.first {
            return self.first;
        }
        let steps = (seconds - self.first).div_ceil(self.next);
        self.first.saturating_add(steps.saturating_mul(self.next))
    }
}

/// The sell side beside the buy sides.
type Sides = (Steps, Vec<Option<Steps>>);

/// Remembers what it found: decks have few different increments.
#[derive(Default)]
pub struct Deciding {
    known: HashMap<Sides, Rc<[u32]>>,
}

impl Deciding {
    /// Durations between `shortest` and `longest` (both included) that decide for all between; ends of sell steps.
    /// A buy side of `None` may step anywhere: then every sell step decides.
    pub fn of(&mut self, sell: Steps, mut buys: Vec<Option<Steps>>, shortest: u32, longest: u32) -> Rc<[u32]> {
        buys.sort_unstable();
        buys.dedup();
        if let Some(known) = self.known.get(&(sell, buys.clone())) {
            return known.clone();
        }
        let found: Rc<[u32]> = walk(sell, &buys, shortest, longest).into();
        self.known.insert((sell, buys), found.clone());
        found
    }
}

fn walk(sell: Steps, buys: &[Option<Steps>], shortest: u32, longest: u32) -> Vec<u32> {
    let start = sell.billed(shortest.max(1));
    let end = sell.billed(longest.max(shortest).max(1));
    let plain: Option<Vec<Steps>> = buys.iter().copied().collect();
    let Some(plain) = plain else { return sweep(sell, None, start, end) };
    let period = plain.iter().try_fold(i128::from(sell.next), |all, buy| lcm(all, i128::from(buy.next)));
    let period = period.and_then(|period| u32::try_from(period).ok()).unwrap_or(u32::MAX);
    let settled = plain.iter().map(|buy| buy.first).fold(start, u32::max);
    let first_end = settled.saturating_add(period).saturating_add(sell.next);
    let last_begin = end.saturating_sub(period.saturating_add(sell.next));
    if first_end >= last_begin {
        return sweep(sell, Some(&plain), start, end);
    }
    let mut found = sweep(sell, Some(&plain), start, first_end);
    found.extend(sweep(sell, Some(&plain), sell.billed(last_begin), end));
    found
}

/// Ends of sell steps in order: all of them, or those that are the first of a buy step of some buy side.
fn sweep(sell: Steps, buys: Option<&[Steps]>, start: u32, end: u32) -> Vec<u32> {
    let mut found = vec![start];
    let mut at = start;
    while at < end {
        let until = match buys {
            None => at,
            // Up to here no buy side takes another step.
            Some(buys) => buys.iter().map(|buy| buy.billed(at)).min().unwrap_or(end).max(at),
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

    proptest! {
        /// The greatest cost for each billed second over the deciding durations is the greatest over all.
        #[test]
        fn no_duration_outside_the_deciding_ones_is_dearer(
            sell in (0u32..70, 1u32..70), buys in prop::collection::vec((0u32..70, 1u32..70, 0u64..500, 0u64..500, 0u64..500), 1..4),
            shortest in 1u32..100, longest in 100u32..9_000,
        ) {
            let sell = Steps::new(sell.0, sell.1, IntervalRule::Anchored);
            let steps: Vec<Steps> = buys.iter().map(|(a, b, ..)| Steps::new(*a, *b, IntervalRule::Anchored)).collect();
            // Fee, first and next price of a second.
            let cost = |seconds: u32| -> u64 {
                buys.iter().map(|(a, b, fee, first, next)| {
                    let rest = u64::from(seconds.saturating_sub(*a).div_ceil(*b) * *b);
                    fee + u64::from(*a) * first + rest * next
                }).sum()
            };
            let dearest = |durations: &mut dyn Iterator<Item = u32>| {
                durations.map(|d| (cost(d), sell.billed(d))).max_by(|x, y| (u128::from(x.0) * u128::from(y.1)).cmp(&(u128::from(y.0) * u128::from(x.1)))).unwrap()
            };
            let found = walk(sell, &steps.iter().copied().map(Some).collect::<Vec<_>>(), shortest, longest);
            let (by_few, by_all) = (dearest(&mut found.iter().copied()), dearest(&mut (shortest..=sell.billed(longest))));
            prop_assert_eq!(u128::from(by_few.0) * u128::from(by_all.1), u128::from(by_all.0) * u128::from(by_few.1), "{:?}", found);
            // All by sixties or seconds: few durations, however long the calls.
            prop_assert!(walk(Steps::new(1, 1, IntervalRule::Anchored), &[Some(Steps::new(60, 60, IntervalRule::Anchored))], 1, 86_400).len() < 12);
        }
    }
}
