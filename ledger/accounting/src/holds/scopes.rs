//! Caps of trunks and of groups of dial codes, and what open holds count for beside their accounts: the fold of
//! `ScopeCaps` and `Counted`. What is spent is what the charges in the frame of a hold's release come to: a call that
//! nobody asked for counts for its account alone, for the ledger holds no number to find a group by.

use super::{DAY, Held, HoldError};
use facts::entry::{Counted, Hold, HoldLine, LedgerEntry, Posting, ScopeCaps, group_scope, hold_id, trunk_scope};
use facts::ids::{CallId, OriginId};
use facts::{Amount, E164};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// One trunk or group with caps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    pub caps: ScopeCaps,
    /// Charges counted: day (UTC, days since 1970) and sum.
    pub spent: (i64, i128),
    /// Open holds that count for it.
    pub held: Held,
}

impl Scope {
    /// What may still be spent today, where there is a cap on it. `share`: of it, this site's.
    pub fn day_left(&self, now: i64, share: impl Fn(Amount) -> Amount) -> Option<i128> {
        let cap = share(self.caps.daily_spend?);
        Some(cap.0.saturating_sub(self.spent_at(now).0).saturating_sub(self.held.amount.0))
    }

    /// What was charged on the day of `now`.
    pub fn spent_at(&self, now: i64) -> Amount {
        if self.spent.0 == now.div_euclid(DAY) { Amount(self.spent.1) } else { Amount::ZERO }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    all: BTreeMap<SmolStr, Scope>,
    counted: BTreeMap<OriginId, SmallVec<[SmolStr; 2]>>,
    /// The hold that ended last: its charges stand behind its release.
    last: Option<(CallId, SmallVec<[SmolStr; 2]>)>,
}

fn of_account(lines: &[HoldLine], account: &str) -> i128 {
    lines.iter().filter(|line| line.account == account).fold(0, |sum, line| sum.saturating_add(line.amount.0))
}

impl Scopes {
    pub(super) fn set(&mut self, caps: &ScopeCaps) {
        match self.all.get_mut(&caps.scope) {
            Some(known) => known.caps = caps.clone(),
            None => {
                let new = Scope { caps: caps.clone(), spent: (0, 0), held: Held::default() };
                self.all.insert(caps.scope.clone(), new);
            }
        }
    }

    pub(super) fn open(&mut self, counted: &Counted, hold: &Hold) -> Result<(), HoldError> {
        if self.counted.contains_key(&hold.hold_id) {
            return Err(HoldError::OpenAlready(hold.hold_id));
        }
        for name in &counted.scopes {
            let Some(scope) = self.all.get_mut(name) else { continue };
            let amount = of_account(&hold.lines, &scope.caps.account);
            scope.held.amount.0 = scope.held.amount.0.saturating_add(amount);
            scope.held.calls += 1;
        }
        self.counted.insert(hold.hold_id, counted.scopes.clone());
        Ok(())
    }

    pub(super) fn grown(&mut self, id: OriginId, before: &[HoldLine], after: &[HoldLine]) {
        for name in self.counted.get(&id).into_iter().flatten() {
            let Some(scope) = self.all.get_mut(name) else { continue };
            let more = of_account(after, &scope.caps.account) - of_account(before, &scope.caps.account);
            scope.held.amount.0 = scope.held.amount.0.saturating_add(more);
        }
    }

    pub(super) fn close(&mut self, hold: &Hold) {
        if hold.is_attempt() {
            return;
        }
        let names = self.counted.remove(&hold.hold_id);
        for scope in names.iter().flatten() {
            let Some(scope) = self.all.get_mut(scope) else { continue };
            let amount = of_account(&hold.lines, &scope.caps.account);
            scope.held.amount.0 = scope.held.amount.0.saturating_sub(amount);
            scope.held.calls = scope.held.calls.saturating_sub(1);
        }
        self.last = names.map(|names| (hold.call_id, names));
    }

    /// Counts a charge of a call whose hold is open, or was released just before.
    pub(super) fn spend(&mut self, entry: &LedgerEntry, owed: &impl Fn(&Posting) -> bool) {
        let Some(call) = entry.call_id.filter(|_| !self.all.is_empty()) else { return };
        let open = self.counted.get(&hold_id(call));
        let names = open.or(self.last.as_ref().filter(|(last, _)| *last == call).map(|(_, names)| names));
        let day = entry.occurred_at.0.div_euclid(DAY);
        for name in names.cloned().unwrap_or_default() {
            let Some(scope) = self.all.get_mut(&name) else { continue };
            let postings = entry.postings.iter().filter(|posting| posting.account == scope.caps.account);
            let sum = postings.filter(|posting| owed(posting)).fold(0_i128, |sum, x| sum.saturating_add(x.amount.0));
            if day > scope.spent.0 {
                scope.spent = (day, 0);
            }
            if day == scope.spent.0 {
                scope.spent.1 = scope.spent.1.saturating_add(sum);
            }
        }
    }

    /// True where no trunk and no group has caps.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those that a call counts for: its trunk, then its accounts' groups, each by name.
    pub fn of<'a>(
        &'a self,
        accounts: impl Iterator<Item = &'a SmolStr> + Clone,
        trunk: &str,
        called: &E164,
    ) -> SmallVec<[&'a Scope; 2]> {
        let mut found = SmallVec::new();
        if self.all.is_empty() {
            return found;
        }
        let trunk = self.all.get(&trunk_scope(trunk)).filter(|_| !trunk.is_empty());
        found.extend(trunk.filter(|scope| accounts.clone().any(|account| *account == scope.caps.account)));
        for account in accounts {
            let begin = group_scope(account, "");
            let groups = self.all.range(begin.clone()..).take_while(|(name, _)| name.starts_with(begin.as_str()));
            let fits = |scope: &&Scope| scope.caps.codes.iter().any(|code| called.starts_with(*code));
            found.extend(groups.map(|(_, scope)| scope).filter(fits));
        }
        found
    }

    /// Those that an open hold counts for.
    pub fn of_hold(&self, id: OriginId) -> impl Iterator<Item = &Scope> {
        self.counted.get(&id).into_iter().flatten().filter_map(|name| self.all.get(name))
    }

    /// All of an account, or of all accounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.all.values()
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        (&self.all, &self.counted, &self.last)
    }

    /// From a snapshot; what is held is counted anew.
    pub(super) fn load(
        all: BTreeMap<SmolStr, Scope>,
        counted: Vec<(Counted, Hold)>,
        last: Option<(CallId, SmallVec<[SmolStr; 2]>)>,
    ) -> Result<Self, HoldError> {
        let mut scopes = Self { all, ..Self::default() };
        counted.iter().try_for_each(|(counted, hold)| scopes.open(counted, hold))?;
        scopes.last = last;
        Ok(scopes)
    }
}

/// What snapshots and roots are made of.
pub(super) type Parts<'a> = (
    &'a BTreeMap<SmolStr, Scope>,
    &'a BTreeMap<OriginId, SmallVec<[SmolStr; 2]>>,
    &'a Option<(CallId, SmallVec<[SmolStr; 2]>)>,
);
