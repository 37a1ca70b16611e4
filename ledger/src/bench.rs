//! Figures of the ledger for `tandem bench`: how long a restart takes from a snapshot, beside reading the same file.

use accounting::pay;
use facts::config::Account;
use facts::entry::EntryKind;
use facts::stream::StreamState;
use facts::xdr::{Position, Side};
use facts::{Currency, OccurredAt};
use smol_str::{SmolStr, format_smolstr};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::LedgerError;
use crate::fold::Fold;
use crate::snapshot::{self, Store};
use accounting::Payment;

/// Restart from a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restart {
    pub accounts: u64,
    pub file_bytes: u64,
    /// Baseline: reading the file.
    pub read: Duration,
    /// Reading, checking and rebuilding the state.
    pub restart: Duration,
}

/// Books one payment for each of so many accounts, writes a snapshot below `folder`, and loads it again.
pub fn restart(accounts: u64, currency: Currency, folder: &Path) -> Result<Restart, LedgerError> {
    let stream = SmolStr::new_static("ledger.bench");
    let mut fold = Fold::new(stream.clone());
    for n in 0..accounts {
        let (account, order) = payment(n, currency);
        // Made here, so it cannot be refused.
        if let Ok(entry) = pay::entry_for(&order, Some(&account)) {
            let at = Position { seq: n / 4_000 + 1, index: (n % 4_000) as u32 };
            fold.entry(at, &entry).map_err(|error| LedgerError::book(&stream, at, error))?;
        }
    }
    let bytes = snapshot::encode(&mut fold, &StreamState::new(stream.clone()), 0, &[], &[])?;
    let path = Store::new(folder, &stream).write(1, &bytes)?;
    drop((fold, bytes));

    let failed = |source| LedgerError::File { what: "cannot read", path: path.clone(), source };
    let began = Instant::now();
    let bytes = std::fs::read(&path).map_err(failed)?;
    let read = began.elapsed();
    let file_bytes = bytes.len() as u64;
    drop(bytes);

    let began = Instant::now();
    let bytes = std::fs::read(&path).map_err(failed)?;
    let loaded = snapshot::decode(&stream, &bytes).map_err(LedgerError::Stopped)?;
    let restart = began.elapsed();
    let found = loaded.fold.book.lines().accounts().count() as u64;
    if found != accounts {
        return Err(LedgerError::Stopped(format!("{found} accounts came back of {accounts}")));
    }
    Ok(Restart { accounts, file_bytes, read, restart })
}

fn payment(n: u64, currency: Currency) -> (Account, Payment) {
    let id = format_smolstr!("account-{n:07}");
    let account = Account {
        id: id.clone(),
        carrier: id.clone(),
        currency,
        prepaid: true,
        credit_limit: Default::default(),
        reseller: SmolStr::default(),
        unidentified: false,
    };
    let order = Payment {
        id: format_smolstr!("payment-{n}"),
        kind: EntryKind::Payment,
        account: id,
        side: Side::Sell,
        amount: facts::Amount(facts::money::ONE),
        currency,
        occurred_at: OccurredAt(0),
        by: SmolStr::new_static("bench"),
        reason: SmolStr::default(),
        adjusts: None,
        product: SmolStr::default(),
        destination: SmolStr::default(),
    };
    (account, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let done = restart(500, Currency::new("EUR").unwrap(), folder.path()).unwrap();
        assert!(done.file_bytes > 500 * 20 && done.accounts == 500);
    }
}
