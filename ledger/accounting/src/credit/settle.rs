//! Calls that more than one site knows, and what the tick does: expiry, debts, reserves, lowered limits.

use super::fold::{Owed, cover, owed};
use super::site::{Settings, Site};
use super::{GiveWhy, Let, LineId, Memo, SiteNo};
use facts::{Amount, CallId};

impl Site {
    /// What this site owes the winner of a call: its hold, its charge, cover that has come to the wrong place. Done in
    /// the same step as folding a frame that names the call (design 8.5, 8.8).
    pub(super) fn settle(&mut self, call: CallId, line: &LineId) {
        let me = self.settings.me;
        let Some((to, charge)) = self.credit.winner(call, line).filter(|(winner, _)| *winner != me) else { return };
        let at = self.credit.at(call, line, me);
        let charged = at.charge.is_some_and(|own| !own.reversed);
        let hold = at.hold.map(|hold| hold.amount);
        let own = at.charge.map_or(0, |own| own.held + own.over);
        let cover = cover(at.cover_in, own, at.cover_out);
        let memo = match owed(hold, charged, charge.over, cover) {
            Owed::Release { passed } => {
                let why = Let::ChargedElsewhere { to, passed: Amount(passed) };
                Memo::Release { call, line: line.clone(), why }
            }
            Owed::Reverse { passed } => Memo::Reverse { call, line: line.clone(), to, passed: Amount(passed) },
            Owed::Cover { amount } => {
                Memo::Give { line: line.clone(), to, amount: Amount(amount), why: GiveWhy::Cover(call) }
            }
            Owed::Nothing => return,
        };
        // Refused only beyond the integer range; the next tick tries again.
        if self.append(memo).is_err() {
            self.watch.insert(line.clone());
        }
    }

    /// Every few seconds: what time has brought.
    pub fn tick(&mut self, now: i64) {
        while let Some((until, call, line)) = self.due.first().cloned() {
            if until > now {
                break;
            }
            self.due.pop_first();
            let open = self.credit.at(call, &line, self.settings.me).hold.is_some_and(|hold| hold.until == until);
            if open {
                // A hold that is open can be released.
                let _ = self.append(Memo::Release { call, line, why: Let::Expired });
            }
        }
        for line in std::mem::take(&mut self.watch) {
            self.adjust_reserve(&line);
            self.repay(&line);
            let indebted = self.debts(&line, None) > 0 || self.rights(&line) < 0;
            let reserve = self.credit.row(&line, self.settings.me).map_or(0, |row| row.reserve);
            let waits = self.reserves.get(&line).is_some_and(|target| target.0 != reserve);
            if indebted || waits {
                self.watch.insert(line);
            }
        }
        self.adjust_limits(now);
        self.finish_waiting(now);
    }

    /// Debts of other sites are paid from the own rights.
    pub(super) fn repay(&mut self, line: &LineId) {
        let me = self.settings.me;
        for to in self.settings.sites.clone() {
            if to == me || self.frozen {
                continue;
            }
            let amount = self.debt(line, to).min(self.rights(line));
            if amount > 0 {
                let memo = Memo::Give { line: line.clone(), to, amount: Amount(amount), why: GiveWhy::Debt };
                let _ = self.append(memo);
            }
        }
    }

    /// A site as it was after its last durable frame: the own stream whole, the others' as far as they are held here.
    /// `streams`: (site, sequence, entries) in any order that keeps each stream's own.
    pub fn restore<'a>(
        settings: Settings,
        boot: u64,
        now: i64,
        streams: impl IntoIterator<Item = (SiteNo, u64, &'a [Memo])>,
    ) -> Result<Self, super::FoldRefusal> {
        let mut site = Self::new(settings, boot, now);
        for (from, seq, memos) in streams {
            site.credit.apply_frame(from, memos)?;
            site.folded.insert(from, seq);
        }
        let me = site.settings.me;
        let open = |(key, sites): (&(CallId, LineId), &super::fold::AtSites)| {
            let at = sites.iter().find(|(of, _)| *of == me)?.1;
            Some((at.hold?.until, key.0, key.1.clone()))
        };
        site.due = site.credit.calls().filter_map(open).collect();
        site.watch = site.credit.lines().cloned().collect();
        let mut calls: Vec<(CallId, LineId)> = site.credit.calls().map(|(key, _)| key.clone()).collect();
        calls.sort_unstable();
        for (call, line) in calls {
            site.settle(call, &line);
        }
        Ok(site)
    }
}
