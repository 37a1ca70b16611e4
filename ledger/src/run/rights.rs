//! Questions that take of an account: decided at once where this site's rights suffice, else after the other sites were
//! asked for theirs. And what the rules append, announce and show.

use accounting::credit::messages::Announced;
use accounting::credit::{Announcement, Memo, Message};
use accounting::wants::{self, Wants};
use accounting::{PayRefusal, Payment};
use facts::config::Config;
use facts::entry::{EntryKind, LedgerItem};
use facts::ids::OriginId;
use facts::stream::orders_in;
use facts::{Amount, OccurredAt, Side};
use smol_str::SmolStr;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::items::item_of;
use super::sites::Sites;
use super::{Core, wall_micros};
use crate::api::Order;
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::orders::{CreditAsk, CreditReply, OrderError, Reply};
use crate::sites::{ACCOUNTS_MAX, AccountRights, PeerStatus, SiteRights, SitesStatus};

/// Questions that wait for other sites' rights; beyond it they are decided with what is here.
const QUESTIONS_MAX: usize = 10_000;

/// Who asked.
pub(super) enum Asking {
    Credit(CreditAsk, CreditReply),
    Order(Order, Reply),
}

/// What waits for pulls.
pub(super) struct Question {
    asking: Asking,
    /// Pulls that are not over.
    open: usize,
    failed: bool,
}

impl Core<'_> {
    /// Decides on a call, or asks the other sites for what is short first.
    pub(super) fn credit(&mut self, ask: CreditAsk, reply: CreditReply) -> Result<(), LedgerError> {
        let Some(mut sites) = self.sites.take() else { return self.decided(ask, reply) };
        // What is refused anyway asks nobody for rights.
        let closed = self.closed(&ask).is_some();
        let wants = if closed { Wants::new() } else { self.wants(&mut sites, &ask) };
        let done = self.ask(&mut sites, Asking::Credit(ask, reply), wants);
        self.sites = Some(sites);
        done
    }

    /// The same for an order of a person.
    pub(super) fn order(&mut self, order: Order, reply: Reply) -> Result<(), LedgerError> {
        let Some(mut sites) = self.sites.take() else { return self.ordered(order, reply) };
        // Rights that are to go elsewhere are not asked back first.
        let wants = if let Order::Give(_) = order { Wants::new() } else { wants_of_order(&order) };
        if let Some((account, _)) = wants.first() {
            let config = (self.options.config)();
            sites.sync(&self.shared().fold(), &config, self.options.number, account);
        }
        let done = self.ask(&mut sites, Asking::Order(order, reply), wants);
        self.sites = Some(sites);
        done
    }

    fn wants(&mut self, sites: &mut Sites, ask: &CreditAsk) -> Wants {
        let (config, me, now) = ((self.options.config)(), self.options.number, wall_micros());
        let fold = self.shared().fold();
        match ask {
            CreditAsk::Authorise(wish) => {
                wish.lines.iter().for_each(|line| sites.sync(&fold, &config, me, &line.account));
                wants::of_wish(&fold.book, &config, wish, |account| sites.rules.available(now, account))
            }
            CreditAsk::Extend { hold_id, held } => {
                for line in fold.book.holds().get(*hold_id).into_iter().flat_map(|hold| &hold.lines) {
                    sites.sync(&fold, &config, me, &line.account);
                }
                wants::of_extension(&fold.book, &config, *hold_id, *held)
            }
            // What we may owe a vendor is no right of an account.
            CreditAsk::Attempt(_) | CreditAsk::Release { .. } => Wants::new(),
        }
    }

    fn ask(&mut self, sites: &mut Sites, asking: Asking, wants: Wants) -> Result<(), LedgerError> {
        let config = (self.options.config)();
        for (account, full) in &wants {
            if sites.rules.spendable(account) < *full {
                self.divide_for(sites, &config, account, *full)?;
            }
        }
        let short: Wants = wants.into_iter().filter(|(account, full)| sites.rules.spendable(account) < *full).collect();
        if short.is_empty() || sites.questions.len() >= QUESTIONS_MAX {
            return self.decide_with(sites, asking, false);
        }
        sites.next_question += 1;
        let number = sites.next_question;
        sites.questions.insert(number, Question { asking, open: short.len(), failed: false });
        let now = wall_micros();
        for (account, full) in short {
            sites.rules.pull_for_question(now, &account, full, number);
        }
        // Where nobody can be asked, the answer is there already.
        self.follow(sites)
    }

    /// A pull for a question is over; the last one decides.
    pub(super) fn ready(&mut self, sites: &mut Sites, number: u64, failed: bool) -> Result<(), LedgerError> {
        let Some(question) = sites.questions.get_mut(&number) else { return Ok(()) };
        question.open -= 1;
        question.failed |= failed;
        if question.open > 0 {
            return Ok(());
        }
        let Some(Question { asking, failed, .. }) = sites.questions.remove(&number) else { return Ok(()) };
        if !self.poster.has_room_for_order() {
            self.cut()?;
        }
        self.decide_with(sites, asking, failed)
    }

    /// Decides with what this site may spend now; `failed`: the reserve too, for a site did not answer.
    fn decide_with(&mut self, sites: &mut Sites, asking: Asking, failed: bool) -> Result<(), LedgerError> {
        match asking {
            Asking::Credit(ask, reply) => {
                let means = self.means(sites, &ask, failed);
                self.shared().fold().book.set_means(Some(means));
                let done = self.decided(ask, reply);
                self.shared().fold().book.set_means(None);
                done
            }
            Asking::Order(order, reply) => match self.may_order(sites, &order) {
                Ok(()) => self.ordered(order, reply),
                // Whoever asked may have gone; a refusal changes nothing.
                Err(refusal) => {
                    drop(reply.try_send(Err(OrderError::Refused(refusal))));
                    Ok(())
                }
            },
        }
    }

    fn means(&self, sites: &mut Sites, ask: &CreditAsk, failed: bool) -> Vec<(SmolStr, Amount)> {
        let (config, me, now) = ((self.options.config)(), self.options.number, wall_micros());
        let fold = self.shared().fold();
        let accounts: Vec<SmolStr> = match ask {
            CreditAsk::Authorise(wish) => wish.lines.iter().map(|line| line.account.clone()).collect(),
            CreditAsk::Extend { hold_id, .. } => {
                let lines = fold.book.holds().get(*hold_id).into_iter().flat_map(|hold| &hold.lines);
                lines.map(|line| line.account.clone()).collect()
            }
            CreditAsk::Attempt(_) | CreditAsk::Release { .. } => Vec::new(),
        };
        let mut means = Vec::with_capacity(accounts.len());
        for account in accounts {
            sites.sync(&fold, &config, me, &account);
            let rules = &sites.rules;
            let with_reserve = rules.spendable(&account) + if failed { rules.reserve_left(&account) } else { 0 };
            means.push((account.clone(), Amount(with_reserve.max(rules.available(now, &account)))));
        }
        means
    }

    /// What only one site may order, and what goes beyond this site's rights.
    fn may_order(&self, sites: &mut Sites, order: &Order) -> Result<(), PayRefusal> {
        let (config, me, config_site) = ((self.options.config)(), self.options.number, self.options.config_site);
        match order {
            Order::Grant(_) | Order::Caps(_) | Order::ScopeCaps(_) if me != config_site => {
                return Err(PayRefusal::OtherSite { config_site });
            }
            Order::Pay(payment) if !sites.knows_order(&self.shared().fold(), order) => {
                self.options.vouchers.may_redeem(payment, (me, config_site), |site| self.name_of(sites, site))?;
            }
            Order::Give(give) if !sites.peers.iter().any(|peer| peer.number == give.to) => {
                return Err(PayRefusal::UnknownSite(give.to));
            }
            _ => {}
        }
        let known = order_is_known(&self.shared().fold(), order);
        for (account, amount) in wants_of_order(order) {
            sites.sync(&self.shared().fold(), &config, me, &account);
            // To give is to move rights: what others owe does not stand against it.
            let rights = match order {
                _ if self.options.standing.frozen(wall_micros()) => 0,
                Order::Give(_) => sites.rules.rights(&account).max(0),
                _ => sites.rules.spendable(&account),
            };
            if amount > rights && !known {
                return Err(PayRefusal::BeyondRights { account, rights: Amount(rights) });
            }
        }
        Ok(())
    }

    /// Caps are ordered at the configuration's site; each site keeps its own copy, and a share of them holds here.
    pub(super) fn take_caps(&mut self, key: (OriginId, [u8; 16]), caps: &LedgerItem) -> Result<(), LedgerError> {
        if !self.poster.has_room_for_order() {
            self.cut()?;
        }
        let mut fold = self.shared().fold();
        if self.poster.is_empty() {
            self.certify(&mut fold)?;
        }
        let seq = self.seq();
        // The same id again is no order; with other content it was refused where it was ordered.
        let _ = self.poster.terms(&mut fold, seq, key, caps)?;
        self.shown();
        Ok(())
    }

    /// Writes an entry of the rules into the frame under construction.
    pub(super) fn append(&mut self, memo: &Memo) -> Result<(), LedgerError> {
        let config = (self.options.config)();
        if !self.poster.has_room_for_order() {
            self.cut()?;
        }
        let mut fold = self.shared().fold();
        let Some(item) = item_of(memo, &fold.book, &config, OccurredAt(wall_micros())) else {
            tracing::error!(?memo, "an account of the rules is not in the configuration any more");
            return Ok(());
        };
        if self.poster.is_empty() {
            self.certify(&mut fold)?;
        }
        let seq = self.seq();
        self.poster.memo(&mut fold, seq, &item)?;
        self.shown();
        Ok(())
    }

    /// Tells the others this ledger's totals up to its last frame, once that is durable: a window of the accounts, which
    /// moves on with each tick where there are more than fit.
    pub(super) fn announce(&mut self, sites: &mut Sites, config: &Arc<Config>) {
        if self.options.mail.is_none() {
            return;
        }
        let (me, seq) = (self.options.number, self.seq() - 1);
        let (window, next) = window_of(&config.accounts, &sites.window, ACCOUNTS_MAX);
        let mut lines = Vec::new();
        {
            let fold = self.shared().fold();
            for (account, terms) in window {
                let row = fold.book.row(account, terms.currency);
                let seen = |(number, other): (&u16, &Fold)| {
                    let share = other.book.rights().of(account)?;
                    let given = share.given.iter().find(|(to, _)| *to == me)?.1;
                    Some((*number, given))
                };
                let seen: Vec<(u16, i128)> = fold.others.iter().filter_map(seen).collect();
                if row != Default::default() || !seen.is_empty() {
                    lines.push(Announced { line: account.clone(), row, seen });
                }
            }
        }
        sites.window = next;
        let message = Message::Announce(Announcement { site: me, orders: orders_in(self.epoch), seq, lines });
        for to in sites.peers.iter().map(|peer| peer.number).collect::<Vec<_>>() {
            self.post(to, &message, seq);
        }
    }

    /// Puts the facts of `crate::sites` where others read them.
    pub(super) fn show_sites(&mut self, sites: &mut Sites, config: &Arc<Config>) {
        let (me, now) = (self.options.number, wall_micros());
        let mut fold = self.shared().fold();
        let said: HashSet<SmolStr> = {
            let of = |number: &u16| sites.rules.announced(*number).into_iter().flat_map(|said| &said.lines);
            let numbers: Vec<u16> = sites.peers.iter().map(|peer| peer.number).collect();
            numbers.iter().flat_map(of).map(|announced| announced.line.clone()).collect()
        };
        let mut accounts = Vec::new();
        for account in config.accounts.keys() {
            let any = fold.book.rights().of(account).is_some()
                || fold.others.values().any(|other| other.book.rights().of(account).is_some())
                || said.contains(account);
            if any && accounts.len() < ACCOUNTS_MAX {
                sites.sync(&fold, config, me, account);
                accounts.extend(account_rights(sites, &fold, config, (me, now), account));
            }
        }
        let peers = sites.peers.iter().map(|peer| {
            let other = fold.others.get_mut(&peer.number);
            let (folded, root) = other.map_or((0, [0; 32]), |other| (other.offsets.len() as u64, other.book.root()));
            PeerStatus {
                number: peer.number,
                name: peer.name.clone(),
                folded,
                root: accounting::book::hex(&root),
                announced: sites.rules.announced(peer.number).map(|said| said.seq),
                heard_at: sites.rules.last_heard(peer.number).map_or_else(String::new, facts::time::rfc3339),
                silent: sites.rules.is_silent(now, peer.number),
                trouble: peer.trouble.clone(),
            }
        });
        let status = SitesStatus {
            number: me,
            name: self.options.site.clone(),
            config_site: self.options.config_site,
            peers: peers.collect(),
            seq: self.seq() - 1,
            root: accounting::book::hex(&fold.book.root()),
            accounts,
            standing: self.options.standing.words(now),
            to_give: sites.to_give,
            doubles: sites.doubles.values().cloned().collect(),
            settled: sites.settled.iter().cloned().collect(),
            alarms: sites.alarms.iter().cloned().collect(),
        };
        drop(fold);
        self.shared().show_sites(status);
    }
}

/// Of all accounts the next `most` from one on, and where those behind them begin; from the first again after the last. So
/// each is told within as many ticks as there are such windows, whatever else changes meanwhile.
fn window_of<'a, T>(
    all: &'a BTreeMap<SmolStr, T>,
    from: &SmolStr,
    most: usize,
) -> (Vec<(&'a SmolStr, &'a T)>, SmolStr) {
    let mut rest = all.range(from.clone()..);
    let window: Vec<_> = rest.by_ref().take(most).collect();
    let next = rest.next().map(|(account, _)| account.clone()).unwrap_or_default();
    (window, next)
}

fn account_rights(
    sites: &Sites,
    fold: &Fold,
    config: &Config,
    (me, now): (u16, i64),
    account: &SmolStr,
) -> Option<AccountRights> {
    let currency = config.accounts.get(account)?.currency;
    let rules = &sites.rules;
    let others = fold.others.iter().map(|(number, other)| (*number, &other.book));
    let mut books: Vec<_> = std::iter::once((me, &fold.book)).chain(others).collect();
    books.sort_unstable_by_key(|(number, _)| *number);
    let site = |(site, book): &(u16, &accounting::Book)| {
        let row = book.row(account, currency);
        let rights = rules.credit().rights(account, *site);
        let said = rules.announced(*site).filter(|said| said.seq > rules.folded(*site));
        let lock = said.and_then(|said| said.line(account)).map_or(0, |announced| row.own() - announced.row.own());
        SiteRights {
            site: *site,
            limit: Amount(row.limit),
            owed: Amount(-row.funds),
            held: Amount(row.open_holds),
            given: Amount(row.given.iter().map(|(_, sum)| sum).sum()),
            received: Amount(rights - row.own()),
            rights: Amount(rights),
            reserve: Amount(row.reserve),
            debt: Amount(rules.debt(account, *site)),
            lock: Amount(lock),
        }
    };
    Some(AccountRights {
        account: account.clone(),
        currency,
        spendable: Amount(rules.spendable(account)),
        available: Amount(rules.available(now, account)),
        pending_lower: Amount(rules.pending_lower(account)),
        sites: books.iter().map(site).collect(),
    })
}

/// What an order of a person takes of an account's rights here.
fn wants_of_order(order: &Order) -> Wants {
    let mut wants = Wants::new();
    match order {
        Order::Pay(Payment { kind: EntryKind::Refund, side: Side::Sell, account, amount, .. }) => {
            wants.push((account.clone(), amount.0));
        }
        Order::Give(give) => wants.push((give.account.clone(), give.amount.0)),
        _ => {}
    }
    wants
}

impl Sites {
    /// The same id was booked here or at another site, as far as that is folded here: whatever is said of it, it is not
    /// new.
    fn knows_order(&self, fold: &Fold, order: &Order) -> bool {
        let origin: OriginId = accounting::pay::origin_of(order.id());
        order_is_known(fold, order) || fold.others.values().any(|other| other.book.order(origin).is_some())
    }
}

/// The same order stands in the book: it takes nothing again.
fn order_is_known(fold: &Fold, order: &Order) -> bool {
    let origin: OriginId = accounting::pay::origin_of(order.id());
    !order.id().is_empty() && fold.book.order(origin).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_thousand_accounts_each_is_announced_within_twenty_ticks_also_while_others_come_and_go() {
        let name = |number: u32| SmolStr::from(format!("account-{number:06}"));
        let mut all: BTreeMap<SmolStr, u32> = (0..100_000).map(|number| (name(number * 2), number)).collect();
        let (mut from, mut told) = (SmolStr::default(), HashSet::new());
        for tick in 0..21_u32 {
            let (window, next) = window_of(&all, &from, ACCOUNTS_MAX);
            assert!(window.len() <= ACCOUNTS_MAX && !window.is_empty());
            told.extend(window.iter().map(|(account, _)| (*account).clone()));
            from = next;
            // New ones everywhere, and the very account that the next window would have begun with goes.
            all.insert(name(tick * 9_001 + 1), 0);
            if tick % 3 == 0 {
                all.remove(&from);
                told.insert(from.clone());
            }
        }
        assert!((0..100_000).all(|number| told.contains(&name(number * 2))), "{} were told", told.len());
    }
}
