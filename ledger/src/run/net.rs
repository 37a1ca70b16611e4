//! The line of a carrier's net position among several sites: its limit is divided among the carrier's accounts by the
//! configuration's site, as limits that are granted and taken like any other, so that each site's rights stay within
//! their account's and all together within the line. A new exchange rate and what we owe by netting count here, and not
//! when a call begins (design 8.3).

use accounting::net::{self, Drawn, divide, raise};
use facts::Amount;
use facts::config::{Account, Config};
use smol_str::SmolStr;
use std::sync::Arc;

use super::sites::Sites;
use super::{Core, wall_micros};
use crate::error::LedgerError;

impl Core<'_> {
    /// The account's limit is its carrier's.
    pub(super) fn draws_on_carrier(&self, config: &Config, account: &str) -> bool {
        config.accounts.get(account).is_some_and(|terms| self.options.net_positions.contains_key(&terms.carrier))
    }

    /// With each tick: every line as it is best divided now.
    pub(super) fn divide_lines(&mut self, sites: &mut Sites, config: &Arc<Config>) -> Result<(), LedgerError> {
        let carriers: Vec<SmolStr> = self.options.net_positions.keys().cloned().collect();
        carriers.iter().try_for_each(|carrier| self.divide_line(sites, config, carrier, None))
    }

    /// So much is needed on an account: what the carrier's other accounts do not need is moved there.
    pub(super) fn divide_for(
        &mut self,
        sites: &mut Sites,
        config: &Arc<Config>,
        account: &SmolStr,
        want: i128,
    ) -> Result<(), LedgerError> {
        if self.options.number != self.options.config_site || !self.draws_on_carrier(config, account) {
            return Ok(());
        }
        let Some(terms) = config.accounts.get(account) else { return Ok(()) };
        self.divide_line(sites, config, &terms.carrier, Some((account, want)))
    }

    fn divide_line(
        &mut self,
        sites: &mut Sites,
        config: &Arc<Config>,
        carrier: &SmolStr,
        wants: Option<(&SmolStr, i128)>,
    ) -> Result<(), LedgerError> {
        if self.copies_are_behind() {
            return Ok(());
        }
        let accounts: Vec<&Account> = net::accounts(config, carrier).collect();
        let Some((limit, all)) = self.drawn(config, carrier, &accounts) else {
            tracing::warn!(%carrier, "its net position cannot be counted: an exchange rate is missing, or a sum is too large");
            return Ok(());
        };
        let wants = wants.and_then(|(account, want)| Some((accounts.iter().position(|x| x.id == *account)?, want)));
        let Some(targets) = divide(limit, &all, wants) else { return Ok(()) };
        for account in &accounts {
            sites.sync(&self.shared().fold(), config, self.options.number, &account.id);
        }
        for ((account, now), target) in accounts.iter().zip(&all).zip(&targets) {
            if *target < now.granted {
                self.grant_in_all(sites, account, *target);
            }
        }
        self.follow(sites)?;
        // What could be taken is granted elsewhere, and no more.
        let Some((_, taken)) = self.drawn(config, carrier, &accounts) else { return Ok(()) };
        let used = taken.iter().try_fold(0_i128, |sum, one| sum.checked_add(net::up(one.granted, one.rate)?));
        let Some(mut left) = used.and_then(|used| limit.checked_sub(used)) else { return Ok(()) };
        for ((account, now), target) in accounts.iter().zip(&taken).zip(&targets) {
            let Some((more, takes)) = raise(left, target.saturating_sub(now.granted), now.rate) else { continue };
            if more > 0 {
                left -= takes;
                self.grant_in_all(sites, account, now.granted + more);
            }
        }
        self.follow(sites)
    }

    /// The limit of a line in its currency, and its accounts as all books here have them.
    fn drawn(&self, config: &Config, carrier: &str, accounts: &[&Account]) -> Option<(i128, Vec<Drawn>)> {
        let (currency, now) = (*self.options.net_positions.get(carrier)?, wall_micros());
        let fold = self.shared().fold();
        let (mut limit, mut all) = (0_i128, Vec::with_capacity(accounts.len()));
        for account in accounts {
            let rate = net::rate(config, account.currency, currency, now)?;
            let mut sum = net::exposure(&fold.book, account, now)?;
            let mut granted = fold.book.rights().of(&account.id).map_or(0, |share| share.limit);
            for other in fold.others.values() {
                sum.join(&net::exposure(&other.book, account, now)?, account)?;
                granted = granted.checked_add(other.book.rights().of(&account.id).map_or(0, |share| share.limit))?;
            }
            limit = limit.checked_add(net::down(sum.limit.0, rate)?)?;
            all.push(Drawn { rate, granted, exposure: sum.exposure.0 });
        }
        Some((limit, all))
    }

    /// Has the rules grant or take until `whole` is granted of an account over all sites.
    fn grant_in_all(&self, sites: &mut Sites, account: &Account, whole: i128) {
        let by_others: i128 = {
            let fold = self.shared().fold();
            let granted =
                |other: &crate::fold::Fold| other.book.rights().of(&account.id).map_or(0, |share| share.limit);
            fold.others.values().map(granted).fold(0, i128::saturating_add)
        };
        sites.rules.set_limit(wall_micros(), &account.id, Amount(whole.saturating_sub(by_others)));
    }
}
