//! What a site that takes no new calls refuses and gives away, and what is said when another one has lost its disk.

use accounting::authorise::Refusal;
use facts::config::Config;
use facts::entry::{Give, GiveWhy, LedgerItem, hold_id};
use facts::ids::{OriginId, hash};
use facts::{Amount, OccurredAt};
use smol_str::SmolStr;
use std::sync::Arc;

use super::sites::Sites;
use super::{Core, wall_micros};
use crate::error::LedgerError;
use crate::orders::CreditAsk;
use crate::standing::State;

/// Accounts looked at under one lock.
const TOGETHER: usize = 64;

impl Core<'_> {
    /// Why this question is refused whatever the account has; what is known already is answered as before.
    pub(super) fn closed(&self, ask: &CreditAsk) -> Option<Refusal> {
        let (standing, now) = (&self.options.standing, wall_micros());
        let refused = match ask {
            CreditAsk::Extend { .. } => standing.refuses_more(now),
            CreditAsk::Authorise(_) | CreditAsk::Attempt(_) => standing.refuses_new(now),
            CreditAsk::Release { .. } => None,
        }?;
        let fold = self.shared().fold();
        let holds = fold.book.holds();
        let known = |call| holds.get(hold_id(call)).is_some() || holds.ended(hold_id(call)) || fold.book.knows(call);
        let answered = match ask {
            CreditAsk::Authorise(wish) => known(wish.call_id),
            // A call that has begun here tries its vendors.
            CreditAsk::Attempt(wish) => refused == Refusal::Draining && known(wish.call_id),
            CreditAsk::Extend { hold_id, .. } => holds.get(*hold_id).is_none(),
            CreditAsk::Release { .. } => true,
        };
        (!answered).then_some(refused)
    }

    /// A drained site's rights go to the sites that are heard and open, in equal parts; with every tick, for what calls
    /// give back when they end.
    pub(super) fn drain(&mut self, sites: &mut Sites, config: &Arc<Config>) -> Result<(), LedgerError> {
        let (now, me) = (wall_micros(), self.options.number);
        let note = self.options.standing.note();
        if note.state_at(now) != State::Draining {
            sites.to_give = None;
            return Ok(());
        }
        let closed = |site: u16| self.options.mail.as_ref().is_some_and(|mail| mail.closed(site));
        let open: Vec<u16> = sites.peers.iter().map(|peer| peer.number).collect();
        let open: Vec<u16> = open.into_iter().filter(|n| !sites.rules.is_silent(now, *n) && !closed(*n)).collect();
        let (mut left, accounts) = (0, config.accounts.keys().cloned().collect::<Vec<SmolStr>>());
        for group in accounts.chunks(TOGETHER) {
            let rights: Vec<i128> = {
                let fold = self.shared().fold();
                group.iter().for_each(|account| sites.sync(&fold, config, me, account));
                group.iter().map(|account| sites.rules.rights(account)).collect()
            };
            for (account, rights) in group.iter().zip(rights).filter(|(_, rights)| *rights > 0) {
                if open.is_empty() {
                    left += 1;
                    continue;
                }
                let mut rest = rights;
                for (at, to) in open.iter().enumerate() {
                    let amount = rest / (open.len() - at) as i128;
                    rest -= amount;
                    if amount > 0 {
                        self.give_away(config, account, (*to, Amount(amount)), (&note.by, &note.reason))?;
                    }
                }
                let fold = self.shared().fold();
                sites.sync(&fold, config, me, account);
            }
        }
        sites.to_give = Some(left);
        Ok(())
    }

    fn give_away(
        &mut self,
        config: &Config,
        account: &SmolStr,
        (to, amount): (u16, Amount),
        (by, reason): (&str, &str),
    ) -> Result<(), LedgerError> {
        let Some(currency) = config.accounts.get(account).map(|terms| terms.currency) else { return Ok(()) };
        let at = OccurredAt(wall_micros());
        let id = hash("tandem.drain.v1", &[account.as_bytes(), &to.to_le_bytes(), &at.0.to_le_bytes()]);
        let (origin_id, account, why) = (OriginId(id), account.clone(), GiveWhy::Order);
        let (by, reason) = (SmolStr::new(by), SmolStr::from(format!("drain: {reason}")));
        let give = Give { origin_id, account, currency, at, to, amount, why, call_id: None, by, reason };
        self.write(&LedgerItem::Give(Box::new(give)))
    }

    /// A frame or message of another site. Where its orders say that its disk was lost since it announced last, what it
    /// had announced from frame `seq` on is known by that message only: said in money, and no longer counted with.
    pub(super) fn lost_disk(&mut self, sites: &mut Sites, number: u16, (seq, orders): (u64, u64)) {
        if sites.rules.announced(number).is_none_or(|said| said.orders >= orders) {
            return;
        }
        let name = sites.name(number);
        // What it said before was true then.
        sites.said.remove(&number);
        let Some(said) = sites.rules.forget_announced(number).filter(|said| said.seq >= seq) else { return };
        let config = (self.options.config)();
        let mut money = Vec::new();
        {
            let fold = self.shared().fold();
            let Some(other) = fold.others.get(&number) else { return };
            for announced in &said.lines {
                let Some(terms) = config.accounts.get(&announced.line) else { continue };
                let here = other.book.row(&announced.line, terms.currency);
                let owed = Amount(here.funds - announced.row.funds);
                let held = Amount(announced.row.open_holds - here.open_holds);
                if owed != Amount::ZERO || held != Amount::ZERO {
                    money.push(format!("{} owed {owed} and held {held} more ({})", announced.line, terms.currency));
                }
            }
        }
        let (first, last) = (seq, said.seq);
        let money = if money.is_empty() { "no account changed in them".to_owned() } else { money.join("; ") };
        sites.alarm(format!(
            "site {name} lost its disk: frames {first} to {last} of ledger.{name} are held by nobody; by its last message: \
             {money}. Import its switches' records of that time again there, and enter payments again under their own ids"
        ));
    }
}
