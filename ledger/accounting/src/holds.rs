//! Open holds and limits of accounts: the fold of a ledger stream's memo items (design 5, 8.3). They stand outside the
//! trial balance; what is available is the limit, less what is owed, less what is held. Decides nothing (that is
//! `authorise`), trusts nothing: a hold opens once and ends once.

mod dump;
mod scopes;

pub use scopes::{Scope, Scopes};

use crate::authorise::full;
use crate::post::PricedCall;
use facts::entry::{
    Caps, Extend, Grant, Hold, HoldLine, LedgerEntry, LedgerItem, Posting, Release, ReleaseWhy, attempt_hold_id,
    hold_id,
};
use facts::ids::OriginId;
use facts::{Amount, OccurredAt, Side};
use hashbrown::HashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Pages of open holds: a hold's page is the first 10 bits of its id, so neither order nor number moves it.
const PAGES: usize = 1024;
/// How long a hold that ended is remembered, so that a repeated question gets the same answer. Microseconds of the
/// items' own times.
const REMEMBERED: i64 = 600_000_000;
/// Far beyond any money, and low enough that sums never overflow.
const HELD_MAX: i128 = 1 << 110;

pub(crate) const DAY: i64 = 86_400_000_000;

/// A memo item that cannot belong to this fold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HoldError {
    #[error("hold {0} is open already")]
    OpenAlready(OriginId),
    #[error("hold {0} is not open")]
    NotOpen(OriginId),
    #[error("hold {0} holds an amount below zero or beyond the integer range")]
    Amount(OriginId),
    #[error("hold {0} has other lines than its extension")]
    Lines(OriginId),
}

#[derive(Clone, Debug, Default)]
struct Page {
    holds: BTreeMap<OriginId, Hold>,
    /// Hash of its content; `None` = touched since it was last asked for.
    hash: Option<[u8; 32]>,
}

/// What an account has been granted and may do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    pub grants: Vec<Grant>,
    pub caps: Option<Caps>,
    /// Charges counted since the caps were set: day (UTC, days since 1970) and sum.
    pub spent: (i64, i128),
}

/// Open holds of one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    pub amount: Amount,
    pub calls: u32,
}

/// Holds, grants and caps.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    pages: Vec<Page>,
    open: usize,
    accounts: HashMap<SmolStr, Held>,
    /// What we may come to owe vendors for open attempts.
    vendors: HashMap<SmolStr, Held>,
    /// How many of the open holds are attempts.
    attempts: usize,
    /// By their end.
    due: BTreeSet<(i64, OriginId)>,
    /// Ended lately, in the order of their ends.
    ended: VecDeque<(i64, OriginId)>,
    /// When each of them ended last.
    ended_at: HashMap<OriginId, i64>,
    terms: BTreeMap<SmolStr, Terms>,
    scopes: Scopes,
}

fn page_of(id: OriginId) -> usize {
    (usize::from(id.0[0]) << 2) | usize::from(id.0[1] >> 6)
}

impl Holds {
    /// Folds a memo item; other items change nothing. After an error nothing of it counts.
    pub(crate) fn apply(&mut self, item: &LedgerItem) -> Result<(), HoldError> {
        match item {
            LedgerItem::Hold(hold) => self.hold(hold),
            LedgerItem::Extend(extend) => self.extend(extend),
            LedgerItem::Release(release) => self.release(release.hold_id, release.at),
            LedgerItem::Elsewhere(end) => self.release(end.hold_id, end.at),
            LedgerItem::Grant(grant) => {
                self.terms.entry(grant.account.clone()).or_default().grants.push((**grant).clone());
                Ok(())
            }
            LedgerItem::Caps(caps) => {
                self.terms.entry(caps.account.clone()).or_default().caps = Some((**caps).clone());
                Ok(())
            }
            LedgerItem::ScopeCaps(caps) => {
                self.scopes.set(caps);
                Ok(())
            }
            LedgerItem::Counted(counted) => {
                let page = self.pages.get(page_of(counted.hold_id)).ok_or(HoldError::NotOpen(counted.hold_id))?;
                let hold = page.holds.get(&counted.hold_id).ok_or(HoldError::NotOpen(counted.hold_id))?;
                self.scopes.open(counted, hold)
            }
            _ => Ok(()),
        }
    }

    /// From the first hold on the root is over pages, also when all holds have ended.
    fn make_pages(&mut self) {
        if self.pages.is_empty() {
            self.pages.resize_with(PAGES, Page::default);
        }
    }

    fn hold(&mut self, hold: &Hold) -> Result<(), HoldError> {
        let id = hold.hold_id;
        if self.get(id).is_some() {
            return Err(HoldError::OpenAlready(id));
        }
        if hold.lines.iter().any(|line| !(0..=HELD_MAX).contains(&line.amount.0)) {
            return Err(HoldError::Amount(id));
        }
        self.make_pages();
        self.attempts += usize::from(hold.is_attempt());
        let accounts = if hold.is_attempt() { &mut self.vendors } else { &mut self.accounts };
        for line in &hold.lines {
            let held = accounts.entry(line.account.clone()).or_default();
            held.amount.0 = held.amount.0.saturating_add(line.amount.0);
            held.calls += 1;
        }
        self.due.insert((hold.until.0, id));
        let page = &mut self.pages[page_of(id)];
        page.holds.insert(id, hold.clone());
        page.hash = None;
        self.open += 1;
        self.forget(hold.at.0);
        Ok(())
    }

    fn extend(&mut self, extend: &Extend) -> Result<(), HoldError> {
        let id = extend.hold_id;
        let page = self.pages.get_mut(page_of(id)).ok_or(HoldError::NotOpen(id))?;
        let hold = page.holds.get_mut(&id).ok_or(HoldError::NotOpen(id))?;
        if hold.lines.len() != extend.amounts.len() {
            return Err(HoldError::Lines(id));
        }
        if extend.amounts.iter().any(|amount| !(0..=HELD_MAX).contains(&amount.0)) {
            return Err(HoldError::Amount(id));
        }
        let accounts = if hold.is_attempt() { &mut self.vendors } else { &mut self.accounts };
        let before = if self.scopes.is_empty() { SmallVec::new() } else { hold.lines.clone() };
        for (line, amount) in hold.lines.iter_mut().zip(&extend.amounts) {
            if let Some(held) = accounts.get_mut(&line.account) {
                held.amount.0 = held.amount.0.saturating_add(amount.0 - line.amount.0);
            }
            line.amount = *amount;
        }
        hold.seconds = extend.seconds;
        self.scopes.grown(id, &before, &hold.lines);
        page.hash = None;
        Ok(())
    }

    fn release(&mut self, id: OriginId, at: OccurredAt) -> Result<(), HoldError> {
        let page = self.pages.get_mut(page_of(id)).ok_or(HoldError::NotOpen(id))?;
        let hold = page.holds.remove(&id).ok_or(HoldError::NotOpen(id))?;
        page.hash = None;
        self.open -= 1;
        self.attempts -= usize::from(hold.is_attempt());
        let accounts = if hold.is_attempt() { &mut self.vendors } else { &mut self.accounts };
        for line in &hold.lines {
            if let Some(held) = accounts.get_mut(&line.account) {
                held.amount.0 = held.amount.0.saturating_sub(line.amount.0);
                held.calls -= 1;
                if held.calls == 0 {
                    accounts.remove(&line.account);
                }
            }
        }
        self.scopes.close(&hold);
        self.due.remove(&(hold.until.0, id));
        self.ended.push_back((at.0, id));
        self.ended_at.insert(id, at.0);
        self.forget(at.0);
        Ok(())
    }

    /// Forgets holds that ended long before `now`.
    fn forget(&mut self, now: i64) {
        while let Some((at, id)) = self.ended.front().copied().filter(|(at, _)| at.saturating_add(REMEMBERED) < now) {
            self.ended.pop_front();
            // The same id may have been held and released again since.
            if self.ended_at.get(&id) == Some(&at) {
                self.ended_at.remove(&id);
            }
        }
    }

    /// Counts a charge of an account that has caps: what it owes more on the day the charge occurred.
    pub(crate) fn spend(&mut self, entry: &LedgerEntry, owed: impl Fn(&Posting) -> bool) {
        self.scopes.spend(entry, &owed);
        if self.terms.is_empty() {
            return;
        }
        let day = entry.occurred_at.0.div_euclid(DAY);
        for posting in entry.postings.iter().filter(|posting| owed(posting)) {
            let Some(terms) = self.terms.get_mut(&posting.account).filter(|terms| terms.caps.is_some()) else {
                continue;
            };
            if day > terms.spent.0 {
                terms.spent = (day, 0);
            }
            if day == terms.spent.0 {
                terms.spent.1 = terms.spent.1.saturating_add(posting.amount.0);
            }
        }
    }

    /// An open hold.
    pub fn get(&self, id: OriginId) -> Option<&Hold> {
        self.pages.get(page_of(id))?.holds.get(&id)
    }

    /// True when a hold of this id ended within the last ten minutes of the stream.
    pub fn ended(&self, id: OriginId) -> bool {
        self.ended_at.contains_key(&id)
    }

    /// What a rated call does to its hold, joined by the hold's own id or by the call: its end releases it; an estimated
    /// end only lowers it by what is charged, for the call may be going on (design 8.5). `None`: no hold is open.
    pub fn after(&self, rated: &PricedCall, now: OccurredAt) -> Option<LedgerItem> {
        if self.open == 0 {
            return None;
        }
        let hold = self.get(hold_id(rated.call_id)).or_else(|| self.named_by(rated))?;
        let charged = |account: &SmolStr| -> i128 {
            let sides = rated.sides.iter().filter(|side| side.side == Side::Sell && side.account == *account);
            sides.fold(0, |sum, side| sum.saturating_add(side.gross.0))
        };
        if rated.estimated {
            // The whole hold again, less all that has been charged: a second estimate takes off nothing twice.
            let left = |line: &HoldLine| {
                let whole = full(line, hold.seconds).unwrap_or(line.amount.0);
                Amount(whole.saturating_sub(charged(&line.account)).clamp(0, whole.max(0)))
            };
            let amounts = hold.lines.iter().map(left).collect();
            let extend = Extend { hold_id: hold.hold_id, at: now, seconds: hold.seconds, amounts };
            return Some(LedgerItem::Extend(Box::new(extend)));
        }
        let free = rated.sides.iter().all(|side| side.side == Side::Buy || side.gross.is_zero());
        let why = if free { ReleaseWhy::Ended } else { ReleaseWhy::Charged };
        Some(LedgerItem::Release(Release { hold_id: hold.hold_id, at: now, why }))
    }

    /// What a rated call does to the holds of its attempts: whatever has been priced holds nothing any more. An estimated
    /// end may come to more, so those stay open.
    pub fn after_attempts(&self, rated: &PricedCall, now: OccurredAt) -> SmallVec<[Release; 2]> {
        if self.attempts == 0 || rated.estimated {
            return SmallVec::new();
        }
        let buys = rated.sides.iter().filter(|side| side.side == Side::Buy);
        let held = buys.filter_map(|side| {
            let hold_id = attempt_hold_id(side.xdr_id);
            self.get(hold_id)?;
            let why = if side.gross.is_zero() { ReleaseWhy::Ended } else { ReleaseWhy::Charged };
            Some(Release { hold_id, at: now, why })
        });
        held.collect()
    }

    /// The hold that the call's events name, if it is one of the accounts that pay for the call: nobody ends another's.
    fn named_by(&self, rated: &PricedCall) -> Option<&Hold> {
        let hold = self.get(rated.hold_id?)?;
        let pays =
            |account: &SmolStr| rated.sides.iter().any(|side| side.side == Side::Sell && side.account == *account);
        (!hold.is_attempt() && hold.lines.iter().any(|line| pays(&line.account))).then_some(hold)
    }

    /// All open holds, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.pages.iter().flat_map(|page| page.holds.values())
    }

    /// How many holds are open.
    pub fn len(&self) -> usize {
        self.open
    }

    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Open holds of an account.
    pub fn held(&self, account: &str) -> Held {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    /// What we may come to owe a vendor for open attempts, and how many there are.
    pub fn held_for_attempts(&self, account: &str) -> Held {
        self.vendors.get(account).copied().unwrap_or_default()
    }

    /// The first hold whose call cannot be going on any more.
    pub fn due(&self, now: i64) -> Option<OriginId> {
        self.due.first().filter(|(until, _)| *until <= now).map(|(_, id)| *id)
    }

    /// Trunks and groups with caps, and what open holds count for.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Grants and caps of an account.
    pub fn terms(&self, account: &str) -> Option<&Terms> {
        self.terms.get(account)
    }

    /// Accounts with grants or caps.
    pub fn all_terms(&self) -> impl Iterator<Item = (&SmolStr, &Terms)> {
        self.terms.iter()
    }

    /// Credit beside the configured limit that is in force at `now`. `None` beyond the range.
    pub fn granted(&self, account: &str, now: i64) -> Option<Amount> {
        let Some(terms) = self.terms.get(account) else { return Some(Amount::ZERO) };
        let in_force = terms.grants.iter().filter(|grant| grant.until.is_none_or(|until| now < until.0));
        in_force.map(|grant| grant.amount).try_fold(Amount::ZERO, Amount::checked_add)
    }

    /// What has been charged on the day of `now` since caps were set.
    pub fn spent(&self, account: &str, now: i64) -> Amount {
        let spent = self.terms.get(account).map(|terms| terms.spent);
        spent.filter(|(day, _)| *day == now.div_euclid(DAY)).map_or(Amount::ZERO, |(_, sum)| Amount(sum))
    }

    /// Root over open holds, grants and caps; `None` where there is none of them, so that a ledger that never held
    /// anything has the root of its balances alone.
    pub(crate) fn root(&mut self) -> Option<[u8; 32]> {
        if self.open == 0 && self.terms.is_empty() && self.scopes.is_empty() {
            return None;
        }
        let mut all = blake3::Hasher::new();
        all.update(b"tandem.holds.v1");
        let mut bytes = Vec::new();
        for page in &mut self.pages {
            let hash = *page.hash.get_or_insert_with(|| {
                bytes.clear();
                page.holds.values().for_each(|hold| dump::hold(hold, &mut bytes));
                if bytes.is_empty() { [0; 32] } else { *blake3::hash(&bytes).as_bytes() }
            });
            all.update(&hash);
        }
        bytes.clear();
        for (account, terms) in &self.terms {
            dump::terms(account, terms, &mut bytes);
        }
        all.update(&bytes);
        if !self.scopes.is_empty() {
            bytes.clear();
            dump::scopes(&self.scopes, &mut bytes);
            all.update(b"tandem.scopes.v1").update(&bytes);
        }
        Some(*all.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests;
