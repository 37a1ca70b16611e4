//! What a file adds up to: counts, distinct codes and destinations, the exact mean price. Judges nothing.

use facts::deck::{Price, Rate, RowStatus};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Counts; `rows = rate_rows + problems + blank + remarks`, but for what stands in tables beside the rates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Rows below the header.
    pub rows: u64,
    /// Rates made; a row that lists several codes makes several.
    pub rates: u64,
    /// Rows that made rates.
    pub rate_rows: u64,
    /// Rows with a problem.
    pub problems: u64,
    pub blank: u64,
    /// Rows with text but neither a code nor a price: section titles, terms.
    pub remarks: u64,
    pub blocked: u64,
    pub discontinued: u64,
    /// Rates and problems of tables beside the rates: origin groups and what they pay. Among `rates` and `problems`, not
    /// among `rows`.
    pub beside: u64,
    /// Rates for callers of a group, of such tables.
    pub origin_rates: u64,
    /// Distinct dial codes.
    pub codes: u64,
    /// Distinct destination names.
    pub destinations: u64,
    /// Of open rates, per minute of the next interval.
    pub least: Option<Price>,
    pub greatest: Option<Price>,
    /// Sum of open rates, in units of 10^-10.
    pub sum: i128,
    /// Open rates.
    pub open: u64,
    /// Rates by increment, e.g. `60/1`.
    pub increments: BTreeMap<SmolStr, u64>,
    /// Rows by what the file says has changed.
    pub changes: BTreeMap<SmolStr, u64>,
    /// Earliest and latest first day of validity, microseconds since the epoch.
    pub valid_from: Option<(i64, i64)>,
}

impl Totals {
    /// Counts one rate.
    pub fn count(&mut self, rate: &Rate) {
        self.rates += 1;
        self.blocked += u64::from(rate.status == RowStatus::Blocked);
        self.discontinued += u64::from(rate.status == RowStatus::Discontinued);
        if rate.status == RowStatus::Open {
            let price = rate.next_rate;
            self.least = Some(self.least.map_or(price, |least| least.min(price)));
            self.greatest = Some(self.greatest.map_or(price, |greatest| greatest.max(price)));
            self.sum += i128::from(price.0);
            self.open += 1;
        }
        let increment = (rate.first_interval, rate.next_interval);
        let text = smol_str::format_smolstr!("{}/{}", increment.0, increment.1);
        *self.increments.entry(text).or_default() += 1;
        if let Some(from) = rate.valid_from {
            let (first, last) = self.valid_from.get_or_insert((from, from));
            *first = from.min(*first);
            *last = from.max(*last);
        }
    }

    /// Sum of the open rates as a decimal: with [`Totals::open`] the mean, exactly.
    pub fn sum_text(&self) -> String {
        facts::money::format_scaled(self.sum, facts::deck::RATE_SCALE, 0)
    }

    /// The mean open rate, half away from zero at 10 decimals.
    pub fn mean(&self) -> Option<Price> {
        let count = i128::from(self.open);
        let twice = (self.sum * 2 + if self.sum < 0 { -count } else { count }).checked_div(count * 2)?;
        i64::try_from(twice).ok().map(Price)
    }
}
