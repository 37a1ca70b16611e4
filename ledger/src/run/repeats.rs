//! Orders of people that stand in two streams (design 8.7, 8.8): one payment or voucher that two sites took while they
//! could not see each other. The lowest site's stays, the other takes its own back; both say so, in money.

use accounting::pay;
use accounting::vouchers::VOUCHER;
use facts::LedgerEntry;
use facts::entry::{EntryKind, LedgerItem};
use smol_str::{SmolStr, format_smolstr};

use super::Core;
use super::sites::Sites;
use crate::error::LedgerError;
use crate::sites::{Double, SETTLED_MAX};

/// Reason of the entry that takes an order back since another site has booked it too.
const BOOKED_ELSEWHERE: SmolStr = SmolStr::new_static("booked_elsewhere");

impl Core<'_> {
    /// Name of a site, this one too.
    pub(super) fn name_of(&self, sites: &Sites, site: u16) -> SmolStr {
        if site == self.options.number { self.options.site.clone() } else { sites.name(site) }
    }

    /// Says that something was booked twice, what it comes to, and whose stays.
    pub(super) fn alarm_double(&self, sites: &mut Sites, one: &Double) {
        let (winner, loser) = (self.name_of(sites, one.winner), self.name_of(sites, one.loser));
        let money: Vec<String> = one.amounts.iter().map(|(account, amount)| format!("{account} {amount}")).collect();
        let what = format!(
            "{} {} is booked at site {winner} and at site {loser}{}; site {loser} takes its own back: {}",
            one.what,
            one.id,
            if one.same { "" } else { ", with another content" },
            money.join(", ")
        );
        // It may have been said before a restart.
        if !sites.alarms.contains(&what) {
            sites.alarm(what);
        }
    }

    /// An order of a person that stands in another site's stream too: the lowest site's stays.
    pub(super) fn settle_order(
        &mut self,
        sites: &mut Sites,
        site: u16,
        entry: &LedgerEntry,
    ) -> Result<(), LedgerError> {
        let (me, origin) = (self.options.number, entry.origin_id);
        if entry.kind == EntryKind::Reversal {
            // A reversal of its own order ends what counted twice.
            if let Some(double) = entry.adjusts.and_then(|of| sites.doubles.remove(&(1, of.0))) {
                sites.settled(double);
            }
            return Ok(());
        }
        let (stands, reversed, same) = {
            let fold = self.shared().fold();
            let reversed = fold.book.order(pay::origin_of_reversal(origin)).is_some();
            let same = fold.book.known_order(entry).is_some_and(|known| known.is_ok());
            (fold.book.order(origin).is_some(), reversed, same)
        };
        if !stands {
            return Ok(());
        }
        if site > me {
            if !reversed {
                let double = double(entry, (me, site), same);
                if sites.opened {
                    self.alarm_double(sites, &double);
                }
                sites.doubles.insert((1, origin.0), double);
            }
            return Ok(());
        }
        let name = sites.name(site);
        let by = format_smolstr!("site {name}");
        let reversal = match self.reversal(origin, entry.occurred_at, &by, &BOOKED_ELSEWHERE)? {
            Ok(reversal) => reversal,
            Err(refusal) if reversed => {
                tracing::debug!(%origin, %refusal, "an order that was taken back");
                return Ok(());
            }
            Err(refusal) => {
                sites.alarm(format!("order {origin} is booked at site {name} too and cannot be reversed: {refusal}"));
                return Ok(());
            }
        };
        let mut own = double(entry, (site, me), same);
        own.amounts = owed(&reversal).map(|(account, amount)| (account, facts::Amount(-amount.0))).collect();
        if !reversed {
            self.alarm_double(sites, &own);
            self.write(&LedgerItem::Entry(Box::new(reversal)))?;
        }
        sites.settled(own);
        Ok(())
    }
}

impl Sites {
    /// Keeps what was booked twice after one site has taken its own back.
    fn settled(&mut self, double: Double) {
        if self.settled.iter().any(|known| known.id == double.id) {
            return;
        }
        if self.settled.len() >= SETTLED_MAX {
            self.settled.pop_front();
        }
        self.settled.push_back(double);
    }
}

fn owed(entry: &LedgerEntry) -> impl Iterator<Item = (SmolStr, facts::Amount)> {
    entry.postings.iter().filter(|posting| posting.account == entry.account).map(|p| (p.account.clone(), p.amount))
}

fn double(entry: &LedgerEntry, (winner, loser): (u16, u16), same: bool) -> Double {
    let voucher = entry.reason.starts_with(VOUCHER.trim_end());
    let what = if voucher { VOUCHER.trim_end() } else { entry.kind.as_str() };
    let id = entry.origin_id.to_string();
    Double { what: SmolStr::new_static(what), id, winner, loser, amounts: owed(entry).collect(), same }
}
