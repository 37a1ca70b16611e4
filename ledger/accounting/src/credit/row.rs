//! One site's totals on one line: the fold of that site's stream alone, so any order of streams gives the same rows.

use super::SiteNo;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Cumulative totals in 10^-12 units; what an announcement carries, so nobody ever sends a debt as a figure.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Limit granted less taken.
    pub limit: i128,
    /// Payments less refunds.
    pub funds: i128,
    /// Rights given away, by receiver, cover included; rising by site.
    pub given: SmallVec<[(SiteNo, i128); 2]>,
    pub open_holds: i128,
    /// Charged within holds, reversals taken off.
    pub held: i128,
    /// Charged beyond holds, reversals taken off.
    pub over: i128,
    /// The floor under this site's rights is `-reserve`.
    pub reserve: i128,
}

/// Far beyond any money, and low enough that sums over rows never overflow.
const TOTAL_MAX: i128 = 1 << 110;

/// Sites that one gives rights to: more than there can be, few enough for their sum.
const RECEIVERS_MAX: usize = 1 << 12;

/// Whether a total may be money: sums over others would leave the integer range.
pub(super) fn in_range(total: i128) -> bool {
    total.unsigned_abs() <= TOTAL_MAX.unsigned_abs()
}

impl Row {
    /// False where a total lies beyond anything that can be money: sums over such rows could leave the integer range.
    pub fn in_range(&self) -> bool {
        let given = self.given.iter().map(|(_, sum)| *sum);
        let all = [self.limit, self.funds, self.open_holds, self.held, self.over, self.reserve];
        self.given.len() <= RECEIVERS_MAX && all.into_iter().chain(given).all(in_range)
    }

    /// Rights given to `site` in all.
    pub fn given_to(&self, site: SiteNo) -> i128 {
        self.given.iter().find(|(to, _)| *to == site).map_or(0, |(_, sum)| *sum)
    }

    pub(super) fn give(&mut self, site: SiteNo, amount: i128) -> Option<()> {
        match self.given.binary_search_by_key(&site, |(to, _)| *to) {
            Ok(at) => self.given[at].1 = self.given[at].1.checked_add(amount)?,
            Err(at) => self.given.insert(at, (site, amount)),
        }
        Some(())
    }

    /// Rights of this row's site before what it was given: may be far below zero.
    pub fn own(&self) -> i128 {
        let given: i128 = self.given.iter().map(|(_, sum)| sum).sum();
        self.limit + self.funds - given - self.open_holds - self.held - self.over
    }
}
