//! The books of all sites held here as one: sums of balances. What a site that is cut off has booked since is not in
//! them. Entries in the order of booking are `crate::history`'s.

use crate::node::Node;
use crate::output::Failure;
use accounting::net::Exposure;
use accounting::{Balance, TrialRow};
use facts::entry::Gl;
use facts::{Amount, Currency};
use ledger::{LedgerView, View};
use std::collections::BTreeMap;

/// Names of the sites asked for: one, or all whose books are held here, this one first.
pub fn sites<'a>(node: &'a Node, site: Option<&str>) -> Result<Vec<&'a str>, Failure> {
    Ok(named_views(node, site)?.into_iter().map(|(name, _)| name).collect())
}

fn views<'a>(node: &'a Node, site: Option<&str>) -> Result<Vec<&'a View>, Failure> {
    Ok(named_views(node, site)?.into_iter().map(|(_, view)| view).collect())
}

/// The books asked for: of one site, or of all.
pub fn named_views<'a>(node: &'a Node, site: Option<&str>) -> Result<Vec<(&'a str, &'a View)>, Failure> {
    let own = (node.settings.site.as_str(), &*node.view);
    let others = node.others.iter().map(|other| (other.name.as_str(), &*other.view));
    let all = std::iter::once(own).chain(others).filter(|(name, _)| site.is_none_or(|site| site == *name));
    let all: Vec<(&str, &View)> = all.collect();
    match site {
        Some(site) if all.is_empty() => {
            let known: Vec<&str> = node.others.iter().map(|other| other.name.as_str()).collect();
            let known = [&[node.settings.site.as_str()], &known[..]].concat().join(", ");
            Err(Failure::Usage(format!("site {site:?} is not held here; there are: {known}")))
        }
        _ => Ok(all),
    }
}

fn add(a: Amount, b: Amount) -> Result<Amount, Failure> {
    a.checked_add(b).ok_or_else(|| Failure::Broken("the sums leave the range of 26 digits before the point".to_owned()))
}

/// Balances by account and currency.
pub fn balances(node: &Node, account: Option<&str>, site: Option<&str>) -> Result<Vec<Balance>, Failure> {
    let mut sums: BTreeMap<(String, String), Balance> = BTreeMap::new();
    for view in views(node, site)? {
        for row in view.balances(account).map_err(Failure::broken)? {
            let key = (row.account.to_string(), row.currency.to_string());
            match sums.get_mut(&key) {
                None => drop(sums.insert(key, row)),
                Some(sum) => join(sum, &row)?,
            }
        }
    }
    Ok(sums.into_values().collect())
}

/// Adds another site's figures. The configured limit is the account's and counts once; what was granted beside it
/// counts where it was granted.
fn join(sum: &mut Balance, row: &Balance) -> Result<(), Failure> {
    sum.owed = add(sum.owed, row.owed)?;
    sum.provisional = add(sum.provisional, row.provisional)?;
    sum.prepaid = add(sum.prepaid, row.prepaid)?;
    sum.limit = add(sum.limit, row.granted)?;
    sum.granted = add(sum.granted, row.granted)?;
    sum.held = add(sum.held, row.held)?;
    sum.calls += row.calls;
    let used = add(add(sum.owed, sum.provisional)?, sum.held)?;
    let beyond = || Failure::Broken("the sums leave the range of 26 digits before the point".to_owned());
    sum.available = sum.limit.checked_sub(used).ok_or_else(beyond)?;
    Ok(())
}

/// Parts of exposure by account, over all sites held here; with a carrier's line its sum.
pub fn exposure(node: &Node, carrier: Option<&str>) -> Result<Vec<Exposure>, Failure> {
    let (config, mut sums) = (node.config.current(), BTreeMap::<String, Exposure>::new());
    for view in views(node, None)? {
        for row in view.exposure(carrier).map_err(Failure::broken)? {
            match (sums.get_mut(row.account.as_str()), config.accounts.get(&row.account)) {
                (Some(sum), Some(terms)) => sum
                    .join(&row, terms)
                    .ok_or_else(|| Failure::Broken("a sum is beyond the integer range".to_owned()))?,
                _ => drop(sums.insert(row.account.to_string(), row)),
            }
        }
    }
    Ok(sums.into_values().collect())
}

/// Sums per account of the chart and currency.
pub fn trial_balance(node: &Node, site: Option<&str>) -> Result<Vec<TrialRow>, Failure> {
    let mut sums: BTreeMap<(Currency, Gl), TrialRow> = BTreeMap::new();
    for view in views(node, site)? {
        for row in view.trial_balance().map_err(Failure::broken)? {
            let key = (row.currency, row.gl);
            match sums.get_mut(&key) {
                None => drop(sums.insert(key, row)),
                Some(sum) => {
                    sum.debit = add(sum.debit, row.debit)?;
                    sum.credit = add(sum.credit, row.credit)?;
                    sum.balance = add(sum.balance, row.balance)?;
                }
            }
        }
    }
    Ok(sums.into_values().collect())
}
