//! What is left on a line: rights, debts of other sites, the reserve; limits and reserves as the configuration has them.

use super::row::Row;
use super::site::Site;
use super::{GiveWhy, LineId, Memo, Pot, SiteNo};
use facts::Amount;

impl Site {
    /// Rights of this site on the line; below zero is a debt.
    pub fn rights(&self, line: &str) -> i128 {
        self.credit.rights(line, self.settings.me)
    }

    /// What another site stands below zero, by its frames or its announcement, whichever is newer. Never below zero.
    pub fn debt(&self, line: &str, site: SiteNo) -> i128 {
        let announced = |of: SiteNo| {
            let announcement = self.peers.get(&of)?.announced.as_ref().filter(|it| it.seq > self.folded(of))?;
            announcement.line(line)
        };
        let row = announced(site).map(|announced| &announced.row).or_else(|| self.credit.row(line, site));
        let seen = announced(site);
        let received: i128 = self
            .settings
            .sites
            .iter()
            .filter(|giver| **giver != site)
            .map(|giver| {
                let folded = self.credit.row(line, *giver).map_or(0, |row| row.given_to(site));
                let said = announced(*giver).map_or(0, |announced| announced.row.given_to(site));
                let acknowledged =
                    seen.and_then(|it| it.seen.iter().find(|(from, _)| from == giver)).map_or(0, |(_, sum)| *sum);
                folded.max(said).max(acknowledged)
            })
            .sum();
        (-(row.map_or(0, Row::own) + received)).max(0)
    }

    /// Debts of all sites but this one and `except`.
    pub(super) fn debts(&self, line: &str, except: Option<SiteNo>) -> i128 {
        let me = self.settings.me;
        let others = self.settings.sites.iter().filter(|site| **site != me && Some(**site) != except);
        others.map(|site| self.debt(line, *site)).sum()
    }

    /// Rights that may be spent: what others owe is deducted as soon as it is heard of.
    pub fn spendable(&self, line: &str) -> i128 {
        (self.rights(line) - self.debts(line, None)).max(0)
    }

    /// How far below zero this site may still go: a floor, not an allowance.
    pub fn reserve_left(&self, line: &str) -> i128 {
        let reserve = self.credit.row(line, self.settings.me).map_or(0, |row| row.reserve);
        (reserve + self.rights(line).min(0)).max(0)
    }

    /// Spendable rights, and the reserve where a pull would fail at once: what *seconds allowed* count with.
    pub fn available(&self, now: i64, line: &str) -> i128 {
        let alone = self.peers.keys().any(|site| self.is_silent(now, *site));
        self.spendable(line) + if alone { self.reserve_left(line) } else { 0 }
    }

    /// The limit of a line as the configuration has it now; only at the configuration's site.
    pub fn set_limit(&mut self, now: i64, line: &LineId, limit: Amount) {
        self.limits.insert(line.clone(), limit);
        self.adjust_limit(now, line);
        if self.pending_lower(line) > 0 {
            self.lowering.insert(line.clone());
        }
    }

    /// Lines whose limit has been lowered further than it could be taken.
    pub fn lowering(&self) -> impl Iterator<Item = &LineId> {
        self.lowering.iter()
    }

    /// What a lowered limit still waits for.
    pub fn pending_lower(&self, line: &str) -> i128 {
        let granted = self.credit.row(line, self.settings.me).map_or(0, |row| row.limit);
        self.limits.get(line).map_or(0, |limit| (granted - limit.0).max(0))
    }

    pub(super) fn adjust_limits(&mut self, now: i64) {
        for line in std::mem::take(&mut self.lowering) {
            self.adjust_limit(now, &line);
            if self.pending_lower(&line) > 0 {
                self.lowering.insert(line);
            }
        }
    }

    /// Grants at once; takes from the own rights and pulls the rest.
    pub(super) fn adjust_limit(&mut self, now: i64, line: &LineId) {
        let Some(limit) = self.limits.get(line).map(|limit| limit.0) else { return };
        let granted = self.credit.row(line, self.settings.me).map_or(0, |row| row.limit);
        if limit > granted {
            // Refused only beyond the integer range, where the limit stays as it was.
            let _ = self.append(Memo::Grant { line: line.clone(), pot: Pot::Limit, amount: Amount(limit - granted) });
            return;
        }
        let missing = self.take_pending(line);
        if missing > 0 {
            self.pull_to_lower(now, line, missing);
        }
    }

    /// Takes a lowered limit as far as the own rights go. Returns what it still waits for.
    pub(super) fn take_pending(&mut self, line: &LineId) -> i128 {
        let pending = self.pending_lower(line);
        let take = pending.min(self.rights(line)).max(0);
        if take > 0 {
            // Refused only beyond the integer range, where pending shows it.
            let _ = self.append(Memo::Take { line: line.clone(), pot: Pot::Limit, amount: Amount(take) });
        }
        pending - take
    }

    /// The reserve as the configuration has it now: raised at once, lowered no further than the own debt.
    pub fn set_reserve(&mut self, line: &LineId, reserve: Amount) {
        self.reserves.insert(line.clone(), reserve);
        self.adjust_reserve(line);
    }

    pub(super) fn adjust_reserve(&mut self, line: &LineId) {
        let Some(target) = self.reserves.get(line).map(|reserve| reserve.0) else { return };
        let now = self.credit.row(line, self.settings.me).map_or(0, |row| row.reserve);
        let debt = (-self.rights(line)).max(0);
        let reserve = if target >= now { target } else { target.max(debt.min(now)) };
        if reserve != now {
            // Refused only beyond the integer range, where the reserve stays as it was.
            let _ = self.append(Memo::Reserve { line: line.clone(), amount: Amount(reserve) });
        }
    }

    /// A person's order to move rights to another site, as much as is there. Returns what was given.
    pub fn give(&mut self, line: &LineId, to: SiteNo, amount: Amount) -> Amount {
        let most = Amount(amount.0.min(self.rights(line)).max(0));
        let memo = Memo::Give { line: line.clone(), to, amount: most, why: GiveWhy::Order };
        if most.is_zero() || self.append(memo).is_err() { Amount::ZERO } else { most }
    }

    /// Money goes back to the customer, as far as this site's rights go. Returns what was taken.
    pub fn refund(&mut self, line: &LineId, amount: Amount) -> Amount {
        let most = Amount(amount.0.min(self.rights(line)).max(0));
        let memo = Memo::Take { line: line.clone(), pot: Pot::Funds, amount: most };
        if most.is_zero() || self.append(memo).is_err() { Amount::ZERO } else { most }
    }
}
