//! A carrier's net position (design 5, 8.3): the accounts of one carrier, in whatever currencies, draw on one credit line:
//! the sum of their limits less the sum of what they owe, what we owe them counted against it, at the configuration's
//! exchange rates. And the parts that an account's exposure consists of. Decides nothing.

use crate::book::Book;
use facts::config::{Account, Config};
use facts::entry::Gl;
use facts::{Amount, Currency};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Carriers whose accounts draw on one line, and its currency.
pub type NetPositions = BTreeMap<SmolStr, Currency>;

/// 10^-8: a rate of one.
const ONE_TO_ONE: i64 = 100_000_000;
/// Sums this close under the limit are it: what exchanging rounds away, by account.
const ROUNDING: i128 = 1_000_000;

/// What an account's exposure consists of, in its own currency; what lowers it is negative.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exposure {
    pub account: SmolStr,
    pub carrier: SmolStr,
    pub currency: Currency,
    /// Invoiced and not paid, disputed too.
    pub invoiced: Amount,
    pub unbilled: Amount,
    /// Calls without a final price.
    pub provisional: Amount,
    /// Set aside for calls that may be going on.
    pub held: Amount,
    /// Paid ahead or not allocated yet.
    pub payments: Amount,
    /// What we owe the account as our vendor, less what we paid it ahead.
    pub we_owe: Amount,
    /// Sum of the parts.
    pub exposure: Amount,
    /// Configured, and what is granted beside it.
    pub limit: Amount,
}

/// Parts of one account's exposure by one book. `None`: a sum is beyond the range.
pub fn exposure(book: &Book, terms: &Account, now: i64) -> Option<Exposure> {
    let (mut invoiced, mut unbilled, mut provisional) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
    let (mut payments, mut we_owe) = (Amount::ZERO, Amount::ZERO);
    for line in book.lines().of_account(&terms.id).filter(|line| line.currency == terms.currency) {
        let part = match line.gl {
            Gl::ReceivableInvoiced | Gl::ReceivableDisputed => &mut invoiced,
            Gl::ReceivableUnbilled => &mut unbilled,
            Gl::ReceivableProvisional => &mut provisional,
            Gl::Prepayments | Gl::UnallocatedReceipts => &mut payments,
            gl if crate::views::owed(gl) => &mut we_owe,
            _ => continue,
        };
        *part = part.checked_add(line.balance())?;
    }
    let held = book.holds().held(&terms.id).amount;
    let all = [invoiced, unbilled, provisional, held, payments, we_owe];
    Some(Exposure {
        account: terms.id.clone(),
        carrier: terms.carrier.clone(),
        currency: terms.currency,
        invoiced,
        unbilled,
        provisional,
        held,
        payments,
        we_owe,
        exposure: all.into_iter().try_fold(Amount::ZERO, Amount::checked_add)?,
        limit: configured(terms).checked_add(book.holds().granted(&terms.id, now)?)?,
    })
}

/// The limit of the configuration: a price has 10 decimals, an amount 12.
fn configured(terms: &Account) -> Amount {
    Amount(i128::from(terms.credit_limit.0) * 100)
}

impl Exposure {
    /// The same account's parts by another site's book; the configured limit is the account's and counts once.
    pub fn join(&mut self, other: &Self, terms: &Account) -> Option<()> {
        let granted = other.limit.checked_sub(configured(terms))?;
        for (sum, more) in [
            (&mut self.invoiced, other.invoiced),
            (&mut self.unbilled, other.unbilled),
            (&mut self.provisional, other.provisional),
            (&mut self.held, other.held),
            (&mut self.payments, other.payments),
            (&mut self.we_owe, other.we_owe),
            (&mut self.exposure, other.exposure),
            (&mut self.limit, granted),
        ] {
            *sum = sum.checked_add(more)?;
        }
        Some(())
    }
}

/// Units of `to` for one of `from`, 10^-8, as the configuration has it at that time. `None`: it does not say.
pub fn rate(config: &Config, from: Currency, to: Currency, now: i64) -> Option<i64> {
    if from == to {
        return Some(ONE_TO_ONE);
    }
    let known = config.exchange_rates.iter().filter(|rate| (rate.from, rate.to) == (from, to));
    let begun = known.filter(|rate| rate.valid_from.0 <= now && rate.rate > 0);
    begun.max_by_key(|rate| rate.valid_from).map(|rate| rate.rate)
}

/// In the line's currency, never less than it is. `None`: beyond the range.
pub fn up(amount: i128, rate: i64) -> Option<i128> {
    let product = amount.checked_mul(i128::from(rate))?;
    let whole = product.div_euclid(i128::from(ONE_TO_ONE));
    Some(whole + i128::from(product.rem_euclid(i128::from(ONE_TO_ONE)) != 0))
}

/// In the line's currency, never more than it is.
pub fn down(amount: i128, rate: i64) -> Option<i128> {
    Some(amount.checked_mul(i128::from(rate))?.div_euclid(i128::from(ONE_TO_ONE)))
}

/// In the account's currency what `sum` of the line's buys; never more. The rate is above zero.
fn back(sum: i128, rate: i64) -> Option<i128> {
    Some(sum.checked_mul(i128::from(ONE_TO_ONE))?.div_euclid(i128::from(rate.max(1))))
}

/// The accounts of a carrier.
pub fn accounts<'a>(config: &'a Config, carrier: &'a str) -> impl Iterator<Item = &'a Account> {
    config.accounts.values().filter(move |account| account.carrier == carrier)
}

/// What is left of a line, in its currency. `None`: an amount is beyond the range or a rate is missing.
pub fn left(parts: &[Exposure], config: &Config, currency: Currency, now: i64) -> Option<i128> {
    parts.iter().try_fold(0_i128, |sum, part| {
        let rate = rate(config, part.currency, currency, now)?;
        sum.checked_add(down(part.limit.0, rate)?)?.checked_sub(up(part.exposure.0, rate)?)
    })
}

/// What an account whose carrier has one line may still spend, in the account's currency: nothing where an exchange rate
/// is missing. `None`: the carrier has none, and the account stands for itself.
pub fn available(book: &Book, config: &Config, terms: &Account, now: i64) -> Option<Amount> {
    let currency = book.net_position(&terms.carrier)?;
    let parts: Option<Vec<Exposure>> =
        accounts(config, &terms.carrier).map(|account| exposure(book, account, now)).collect();
    let left = parts.and_then(|parts| left(&parts, config, currency, now));
    let own = left.zip(rate(config, terms.currency, currency, now)).and_then(|(left, rate)| back(left, rate));
    Some(Amount(own.unwrap_or(0)))
}

/// How many of these accounts draw on the line of `account`'s carrier, itself included: they share what is left.
pub fn sharers<'a>(book: &Book, config: &Config, account: &str, all: impl Iterator<Item = &'a SmolStr>) -> i128 {
    let carrier = |of: &str| config.accounts.get(of).map(|terms| &terms.carrier);
    let Some(own) = carrier(account).filter(|carrier| book.net_position(carrier).is_some()) else { return 1 };
    all.filter(|other| carrier(other) == Some(own)).count().max(1) as i128
}

/// An account of a line as several sites have it: what is granted of it in all, and its exposure, in its own currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drawn {
    pub rate: i64,
    pub granted: i128,
    pub exposure: i128,
}

/// How a line's limit is to be divided among its accounts, in their currencies: what each owes, and an equal share of
/// what is left; `wants`: so much is needed on one of them now. `None`: as it is divided it may stay, or a sum is beyond the
/// range. The shares never come to more than the limit, unless more is owed already.
pub fn divide(limit: i128, all: &[Drawn], wants: Option<(usize, i128)>) -> Option<Vec<i128>> {
    let accounts = i128::try_from(all.len()).ok().filter(|n| *n > 0)?;
    let sum = |of: fn(&Drawn) -> i128| all.iter().try_fold(0_i128, |sum, one| sum.checked_add(up(of(one), one.rate)?));
    let (granted, exposed) = (sum(|one| one.granted)?, sum(|one| one.exposure)?);
    let free = limit.checked_sub(exposed)?.max(0);
    let spare = |one: &Drawn| down(one.granted.checked_sub(one.exposure)?, one.rate);
    let enough = all.iter().all(|one| spare(one).is_some_and(|spare| spare >= free / (4 * accounts)));
    let whole = granted <= limit && granted >= limit.saturating_sub(ROUNDING * accounts);
    if wants.is_none() && whole && enough {
        return None;
    }
    let equal = free / accounts;
    let first = match wants {
        // Beside what is to spare there, which may be another site's.
        Some((at, amount)) => {
            let one = all.get(at)?;
            let whole = one.granted.checked_sub(one.exposure)?.max(0).checked_add(amount)?;
            up(whole, one.rate)?.clamp(equal, free.max(equal))
        }
        None => equal,
    };
    let rest = (free - first) / (accounts - 1).max(1);
    let target = |(at, one): (usize, &Drawn)| {
        let share = if wants.is_some_and(|(of, _)| of == at) || wants.is_none() { first } else { rest };
        one.exposure.checked_add(back(share, one.rate)?)
    };
    all.iter().enumerate().map(target).collect()
}

/// So much of what is left of a line's limit may be granted on one account more, at most `more`, and what it takes of the
/// line.
pub fn raise(left: i128, more: i128, rate: i64) -> Option<(i128, i128)> {
    let raise = back(left.max(0), rate)?.min(more).max(0);
    Some((raise, up(raise, rate)?))
}

#[cfg(test)]
mod tests;
