//! The book as people read it: balances in trade terms, trial balance, totals by line, statement rows.

use crate::book::Book;
use crate::pay::is_party;
use facts::config::Config;
use facts::entry::{EntryKind, Gl};
use facts::ids::{CallId, OriginId, XdrId};
use facts::xdr::Position;
use facts::{Amount, BookedAt, Currency, LedgerEntry, OccurredAt};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// One account's balance (design 3: *Balance (owed +)*, *Credit limit*, *Available*).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Balance {
    pub account: SmolStr,
    pub currency: Currency,
    /// What the account owes us with final prices: receivables, less payables, less what was paid ahead and not yet
    /// allocated, plus what we paid ahead. Minus = we owe it.
    pub owed: Amount,
    /// The same for calls that have no final price yet.
    pub provisional: Amount,
    /// What the customer paid ahead or is not allocated yet (plus), less what we paid a vendor ahead. Part of `owed`.
    pub prepaid: Amount,
    /// As configured, and what has been granted beside it.
    pub limit: Amount,
    /// What of the limit was granted beside the configured one (minus: taken), for a time or for good.
    pub granted: Amount,
    /// Set aside for calls that may be going on.
    pub held: Amount,
    /// Calls that it is set aside for.
    pub calls: u32,
    /// `limit - owed - provisional - held`.
    pub available: Amount,
}

/// One row of the trial balance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrialRow {
    pub gl: Gl,
    pub currency: Currency,
    pub debit: Amount,
    pub credit: Amount,
    /// Debit less credit.
    pub balance: Amount,
}

/// One balance line in full.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Total {
    pub gl: Gl,
    pub account: SmolStr,
    pub product: SmolStr,
    pub destination: SmolStr,
    pub currency: Currency,
    pub debit: Amount,
    pub credit: Amount,
    pub balance: Amount,
}

/// One entry as a line of an account's statement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatementRow {
    pub at: Position,
    pub booked_at: BookedAt,
    pub occurred_at: OccurredAt,
    pub kind: EntryKind,
    pub origin_id: OriginId,
    pub call_id: Option<CallId>,
    pub xdr_id: Option<XdrId>,
    /// What the entry adds to what the account owes, final and provisional.
    pub amount: Amount,
    pub currency: Currency,
    /// What the account owed after it, final and provisional.
    pub owed_after: Amount,
    pub by: SmolStr,
    pub reason: SmolStr,
}

fn provisional(gl: Gl) -> bool {
    matches!(gl, Gl::ReceivableProvisional | Gl::PayableProvisional)
}

fn ahead(gl: Gl) -> bool {
    matches!(gl, Gl::Prepayments | Gl::UnallocatedReceipts | Gl::PrepaymentsMade)
}

/// Deposits are security, not payment: they stand on the account but lower nothing that it owes.
pub fn owed(gl: Gl) -> bool {
    is_party(gl) && gl != Gl::Deposits
}

/// Balances of every configured account and every other account that has one, by account and currency, with the grants
/// that are in force at `now` (microseconds). `None`: a sum
/// is beyond the range.
pub fn balances(book: &Book, config: &Config, now: i64) -> Option<Vec<Balance>> {
    let mut names: BTreeSet<&SmolStr> = config.accounts.keys().collect();
    names.extend(book.lines().accounts());
    let mut out = Vec::with_capacity(names.len());
    for name in names {
        out.extend(balances_of(book, config, name, now)?);
    }
    Some(out)
}

/// Balances of one account: its own currency first known from the configuration, else those it was posted in. Empty
/// when neither the configuration nor the book knows it.
pub fn balances_of(book: &Book, config: &Config, account: &str, now: i64) -> Option<Vec<Balance>> {
    let terms = config.accounts.get(account);
    let mut rows: BTreeMap<Currency, Balance> = BTreeMap::new();
    let row = |currency: Currency| Balance {
        account: account.into(),
        currency,
        owed: Amount::ZERO,
        provisional: Amount::ZERO,
        prepaid: Amount::ZERO,
        // A price has 10 decimals, an amount 12.
        limit: terms
            .filter(|terms| terms.currency == currency)
            .map_or(Amount::ZERO, |terms| Amount(i128::from(terms.credit_limit.0) * 100)),
        granted: Amount::ZERO,
        held: Amount::ZERO,
        calls: 0,
        available: Amount::ZERO,
    };
    if let Some(terms) = terms {
        // Grants and holds are in the account's own currency.
        let (granted, held) = (book.holds().granted(account, now)?, book.holds().held(account));
        let mut own = row(terms.currency);
        own.limit = own.limit.checked_add(granted)?;
        (own.granted, own.held, own.calls) = (granted, held.amount, held.calls);
        rows.insert(terms.currency, own);
    }
    for line in book.lines().of_account(account) {
        let balance = rows.entry(line.currency).or_insert_with(|| row(line.currency));
        if provisional(line.gl) {
            balance.provisional = balance.provisional.checked_add(line.balance())?;
        } else if owed(line.gl) {
            balance.owed = balance.owed.checked_add(line.balance())?;
        }
        if ahead(line.gl) {
            balance.prepaid = balance.prepaid.checked_sub(line.balance())?;
        }
    }
    for balance in rows.values_mut() {
        let used = balance.owed.checked_add(balance.provisional)?.checked_add(balance.held)?;
        let own = terms.filter(|terms| terms.currency == balance.currency);
        if let Some(left) = own.and_then(|terms| crate::net::available(book, config, terms, now)) {
            // The carrier's line: its limit is what the other accounts leave of it here.
            balance.limit = left.checked_add(used)?;
        }
        balance.available = balance.limit.checked_sub(used)?;
    }
    Some(rows.into_values().collect())
}

/// Debits and credits by gl and currency. Balances of one currency sum to zero. `None`: a sum is beyond the range.
pub fn trial_balance(book: &Book) -> Option<Vec<TrialRow>> {
    let mut rows: BTreeMap<(Currency, Gl), (Amount, Amount)> = BTreeMap::new();
    for line in book.lines().iter() {
        let (debit, credit) = rows.entry((line.currency, line.gl)).or_default();
        *debit = debit.checked_add(Amount(line.debit))?;
        *credit = credit.checked_add(Amount(line.credit))?;
    }
    rows.into_iter()
        .map(|((currency, gl), (debit, credit))| {
            Some(TrialRow { gl, currency, debit, credit, balance: debit.checked_sub(credit)? })
        })
        .collect()
}

/// Every line that was ever posted to, by account, currency, gl, product, destination.
pub fn totals(book: &Book) -> Vec<Total> {
    let mut lines: Vec<_> = book.lines().iter().filter(|line| line.debit != 0 || line.credit != 0).collect();
    lines.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    lines
        .into_iter()
        .map(|line| Total {
            gl: line.gl,
            account: line.account.clone(),
            product: line.product.clone(),
            destination: line.destination.clone(),
            currency: line.currency,
            debit: Amount(line.debit),
            credit: Amount(line.credit),
            balance: line.balance(),
        })
        .collect()
}

/// What an entry adds to what `account` owes, per currency.
pub fn effect_on(entry: &LedgerEntry, account: &str) -> Option<Vec<(Currency, Amount)>> {
    let mut sums: Vec<(Currency, Amount)> = Vec::new();
    for posting in entry.postings.iter().filter(|p| p.account == account && owed(p.gl)) {
        match sums.iter_mut().find(|(currency, _)| *currency == posting.currency) {
            Some((_, sum)) => *sum = sum.checked_add(posting.amount)?,
            None => sums.push((posting.currency, posting.amount)),
        }
    }
    Some(sums)
}

/// A statement of `account` in one currency: what it owed before, entry by entry in log order. `None`: beyond range.
pub fn statement<'a>(
    account: &str,
    currency: Currency,
    opening: Amount,
    entries: impl IntoIterator<Item = (Position, BookedAt, &'a LedgerEntry)>,
) -> Option<Vec<StatementRow>> {
    let mut owed_after = opening;
    let mut rows = Vec::new();
    for (at, booked_at, entry) in entries {
        let Some((_, amount)) = effect_on(entry, account)?.into_iter().find(|(c, _)| *c == currency) else { continue };
        owed_after = owed_after.checked_add(amount)?;
        rows.push(StatementRow {
            at,
            booked_at,
            occurred_at: entry.occurred_at,
            kind: entry.kind,
            origin_id: entry.origin_id,
            call_id: entry.call_id,
            xdr_id: entry.xdr_id,
            amount,
            currency,
            owed_after,
            by: entry.by.clone(),
            reason: entry.reason.clone(),
        });
    }
    Some(rows)
}
