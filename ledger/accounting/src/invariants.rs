//! What must always hold, as code that tests, the ledger and `verify` share.

use crate::book::{Book, BookError};
use facts::entry::LedgerItem;
use facts::xdr::Position;
use facts::{Amount, Currency, LedgerEntry};
use smallvec::SmallVec;
use std::fmt;

/// An entry or a trial balance whose debits and credits differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Imbalance {
    /// Debits less credits in this currency.
    Off(Currency, Amount),
    /// The sum itself is beyond the range.
    Range(Currency),
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off(currency, amount) => write!(f, "debits less credits are {amount} {currency}"),
            Self::Range(currency) => write!(f, "the sum in {currency} is beyond the integer range"),
        }
    }
}

/// Every entry sums to zero in each of its currencies.
pub fn check_entry(entry: &LedgerEntry) -> Result<(), Imbalance> {
    // Nearly all entries are two lines in one currency.
    if let [a, b] = entry.postings.as_slice()
        && a.currency == b.currency
        && a.amount.checked_neg() == Some(b.amount)
    {
        return Ok(());
    }
    let mut sums: SmallVec<[(Currency, Amount); 2]> = SmallVec::new();
    for posting in &entry.postings {
        match sums.iter_mut().find(|(currency, _)| *currency == posting.currency) {
            Some((currency, sum)) => *sum = sum.checked_add(posting.amount).ok_or(Imbalance::Range(*currency))?,
            None => sums.push((posting.currency, posting.amount)),
        }
    }
    match sums.iter().find(|(_, sum)| !sum.is_zero()) {
        None => Ok(()),
        Some((currency, sum)) => Err(Imbalance::Off(*currency, *sum)),
    }
}

/// The trial balance of every currency is zero.
pub fn check_trial_balance(book: &Book) -> Result<(), Imbalance> {
    let mut sums: SmallVec<[(Currency, Amount); 4]> = SmallVec::new();
    for line in book.lines().iter() {
        match sums.iter_mut().find(|(currency, _)| *currency == line.currency) {
            Some((currency, sum)) => *sum = sum.checked_add(line.balance()).ok_or(Imbalance::Range(*currency))?,
            None => sums.push((line.currency, line.balance())),
        }
    }
    match sums.iter().find(|(_, sum)| !sum.is_zero()) {
        None => Ok(()),
        Some((currency, sum)) => Err(Imbalance::Off(*currency, *sum)),
    }
}

/// Why a book is not the fold of its items.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RefoldError {
    #[error("item {}/{}: {error}", at.seq, at.index)]
    Item { at: Position, error: BookError },
    #[error("the book and the fold of its items have other balances or counts")]
    Differs,
}

/// The book is the fold of these items, balances and counts.
pub fn check_refold<'a>(
    book: &mut Book,
    items: impl IntoIterator<Item = (Position, &'a LedgerItem)>,
) -> Result<(), RefoldError> {
    let mut again = Book::new();
    for (at, item) in items {
        again.apply(at, item).map_err(|error| RefoldError::Item { at, error })?;
    }
    let same = again.root() == book.root()
        && again.counts() == book.counts()
        && again.calls.len() == book.calls.len()
        && again.origins == book.origins;
    if same { Ok(()) } else { Err(RefoldError::Differs) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use facts::entry::{EntryKind, Gl, Posting};
    use facts::ids::OriginId;
    use facts::{OccurredAt, XdrId};
    use smallvec::smallvec;
    use smol_str::SmolStr;

    pub(crate) fn line(gl: Gl, account: &str, currency: &str, amount: i128) -> Posting {
        let (product, destination) = (SmolStr::default(), SmolStr::default());
        let currency = Currency::new(currency).unwrap();
        Posting { gl, account: account.into(), product, destination, currency, amount: Amount(amount) }
    }

    /// A correction that moves `amount` between two accounts.
    pub(crate) fn transfer(from: &str, to: &str, amount: i128) -> LedgerEntry {
        LedgerEntry {
            kind: EntryKind::Correction,
            origin_id: OriginId([amount as u8; 16]),
            account: from.into(),
            occurred_at: OccurredAt(0),
            call_id: None,
            xdr_id: None::<XdrId>,
            source: None,
            by: "test".into(),
            reason: "test".into(),
            adjusts: None,
            postings: smallvec![
                line(Gl::ReceivableUnbilled, to, "EUR", amount),
                line(Gl::ReceivableUnbilled, from, "EUR", -amount)
            ],
        }
    }

    #[test]
    fn an_entry_must_balance_in_each_currency_apart() {
        let mut entry = transfer("a", "b", 5);
        assert_eq!(check_entry(&entry), Ok(()));
        entry.postings.push(line(Gl::Transit, "", "USD", 7));
        let usd = Currency::new("USD").unwrap();
        assert_eq!(check_entry(&entry), Err(Imbalance::Off(usd, Amount(7))));
        entry.postings.push(line(Gl::ExchangeDifference, "", "USD", -7));
        assert_eq!(check_entry(&entry), Ok(()));
        entry.postings = smallvec![line(Gl::Cost, "", "USD", 7), line(Gl::Cost, "", "EUR", -7)];
        assert!(check_entry(&entry).is_err(), "seven dollars are not seven euros");
        entry.postings = smallvec![line(Gl::Cost, "", "USD", i128::MAX), line(Gl::Cost, "", "USD", i128::MAX)];
        assert_eq!(check_entry(&entry), Err(Imbalance::Range(usd)));
        entry.postings.clear();
        assert_eq!(check_entry(&entry), Ok(()));
    }
}
