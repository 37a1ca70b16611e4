//! Traffic without end for the console: the same customers and vendors, so many calls a second, as of now. Time is
//! handed in.

use crate::calls::{Flaws, Maker};
use crate::dice::Dice;
use crate::events::{PartitionOf, Wire};
use crate::shape::Day;
use facts::CallEvent;
use std::sync::Arc;

/// Index of the first live call, far from those of the day.
const FIRST: u64 = 1 << 40;
const MINUTE: i64 = 60_000_000;

/// Endless calls.
pub struct Live {
    maker: Arc<Maker>,
    day: Arc<Day>,
    wire: Wire,
    dice: Dice,
    /// Microseconds from one call to the next, on average.
    gap: i64,
    index: u64,
    next_start: i64,
}

impl Live {
    pub(crate) fn new(
        maker: &Maker,
        day: Arc<Day>,
        calls_per_second: u32,
        from: i64,
        partitions: u32,
        partition_of: PartitionOf,
    ) -> Self {
        // What would take a day to come right has no place on a live screen.
        let flaws = Flaws { late: 0, very_late: 0, estimated: 0, late_truth: 0, suspended: 0, ..maker.flaws.clone() };
        let maker = Arc::new(Maker { flaws, ..maker.clone() });
        Self {
            wire: Wire::new(Arc::clone(&maker), partitions, partition_of, from),
            // Another run of live traffic, begun at another time, has other calls.
            dice: Dice::new(maker.seed, 0x11fe, from as u64),
            index: FIRST + ((from as u64) >> 10 & 0x3_ffff_ffff) * 1_000,
            maker,
            day,
            gap: 1_000_000 / i64::from(calls_per_second.max(1)),
            next_start: from,
        }
    }

    /// Hands over everything that arrives before `now` and has not been handed over yet, at most `most` events.
    pub fn until(&mut self, now: i64, most: usize, each: &mut dyn FnMut(CallEvent)) -> usize {
        let mut given = 0;
        while given < most {
            if let Some(event) = self.wire.next(now.min(self.next_start)) {
                each(event);
                given += 1;
                continue;
            }
            if self.next_start >= now {
                break;
            }
            let minute = self.next_start.div_euclid(MINUTE).rem_euclid(1_440) as usize;
            let customer = self.day.customer(minute, &mut self.dice);
            let call = self.maker.call(self.index, self.next_start, customer);
            self.wire.call(&call);
            self.index += 1;
            self.next_start += self.dice.between(0, 2 * self.gap);
        }
        given
    }
}
