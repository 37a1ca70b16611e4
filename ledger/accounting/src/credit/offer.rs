//! What a call may cost, as far as a hold has to know: connect fee and first interval, then whole further intervals
//! (design 5). Amounts are upper bounds of the final charge: rounded up to the agreement's decimals.

use facts::Amount;
use facts::money::SCALE;

/// The terms of one side of a call at the rate it would be charged by now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Connect fee and first interval.
    pub first: Amount,
    pub first_seconds: u32,
    /// One further interval; zero for a free one.
    pub next: Amount,
    /// At least 1.
    pub next_seconds: u32,
    /// Decimals the charge will be rounded to.
    pub decimals: u8,
}

impl Offer {
    /// Cost of the first interval and `intervals` more, rounded up. `None` beyond the range.
    pub fn cost(&self, intervals: u32) -> Option<i128> {
        let exact = self.next.0.checked_mul(i128::from(intervals))?.checked_add(self.first.0)?;
        let unit = 10i128.pow(SCALE.saturating_sub(u32::from(self.decimals)));
        let rest = exact.rem_euclid(unit);
        if rest == 0 { Some(exact) } else { exact.checked_add(unit - rest) }
    }

    /// Seconds paid by the first interval and `intervals` more.
    pub fn seconds(&self, intervals: u32) -> u32 {
        self.first_seconds.saturating_add(intervals.saturating_mul(self.next_seconds))
    }

    /// Whole intervals after the first that cover `seconds`, rounded up.
    pub fn intervals_for(&self, seconds: u32) -> u32 {
        seconds.saturating_sub(self.first_seconds).div_ceil(self.next_seconds.max(1))
    }

    /// The most further intervals that cost at most `money` on top of `from` intervals already held, at most `most`.
    /// `None` when not even the first interval fits (`from` is `None`).
    pub fn fit(&self, from: Option<u32>, money: i128, most: u32) -> Option<u32> {
        let paid = match from {
            Some(intervals) => self.cost(intervals)?,
            None => 0,
        };
        let fits = |intervals: u32| self.cost(intervals).is_some_and(|cost| cost - paid <= money);
        let least = from.unwrap_or(0);
        if !fits(least) {
            return None;
        }
        // Cost never falls with the intervals, so halving finds the last that fits.
        let (mut low, mut high) = (least, most.max(least));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        Some(low)
    }
}
