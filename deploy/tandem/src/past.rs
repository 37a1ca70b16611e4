//! Questions about the past of accounts, answered by the ledger's index where there is one, and the thread that keeps it
//! up to date. Where the index cannot be used (another process has the folder, its disk is full) whoever asks reads the
//! entries themselves: the same answer, slower.

use crate::node::Node;
use crate::output::Failure;
use bus::Bus;
use facts::{Amount, Currency};
use ledger::{EntryRow, LedgerView, Past, UpTo, View};
use schemas::SchemaIds;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The index of this process, opened when it is first needed.
pub struct Slot {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    view: Arc<View>,
    data: PathBuf,
    open: Mutex<Option<Arc<Past>>>,
}

impl Slot {
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, view: Arc<View>, data: PathBuf) -> Arc<Self> {
        Arc::new(Self { bus, ids, view, data, open: Mutex::new(None) })
    }

    /// The index, if it can be used.
    pub fn get(&self) -> Option<Arc<Past>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            match Past::open(self.bus.clone(), self.ids.clone(), self.view.clone(), &self.data) {
                Ok(past) => {
                    let past = Arc::new(past);
                    self.view.use_past(&past);
                    *open = Some(past);
                }
                Err(error) => tracing::warn!(%error, "no index over the past; entries are read instead"),
            }
        }
        open.clone()
    }

    /// Keeps it up to date until told to stop.
    pub fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            // The ledger may still be reading its log.
            if self.view.progress().ready
                && let Some(past) = self.get()
            {
                return past.run(stop);
            }
            for _ in 0..20 {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// What an account owed; `None`: the index cannot say.
pub fn owed(node: &Node, account: &str, currency: Currency, up_to: UpTo) -> Option<Amount> {
    let past = node.past.get()?;
    past.owed(account, currency, up_to).inspect_err(|error| tracing::warn!(%error, "entries are read instead")).ok()
}

/// Rows of a statement, each with what it moved and what was owed after it.
pub type Rows = Vec<(EntryRow, Amount, Amount)>;

/// The newest entries of an account, newest first, and what was owed before them; `None`: the index cannot say.
pub fn newest(
    node: &Node,
    account: &str,
    currency: Currency,
    limit: usize,
    effect: impl Fn(&EntryRow) -> Amount,
) -> Result<Option<(Rows, Amount)>, Failure> {
    let Some(past) = node.past.get() else { return Ok(None) };
    let Ok(places) = past.places(account, None, limit) else { return Ok(None) };
    let Some(last) = places.first() else { return Ok(Some((Vec::new(), Amount::ZERO))) };
    let Ok(mut owed) = past.owed(account, currency, UpTo::Place(*last)) else { return Ok(None) };
    let range = || Failure::Broken("a sum of this account is beyond the integer range".to_owned());
    let mut rows = Vec::with_capacity(places.len());
    for place in places {
        let row = node.view.entry_at(place).map_err(Failure::broken)?;
        let row = row.ok_or_else(|| Failure::Broken(format!("entry {}/{} is gone", place.seq, place.index)))?;
        let amount = effect(&row);
        let after = owed;
        owed = owed.checked_sub(amount).ok_or_else(range)?;
        rows.push((row, amount, after));
    }
    Ok(Some((rows, owed)))
}
