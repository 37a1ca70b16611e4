//! Folds the ledger's log a second time while it runs, at half speed, and compares what it comes to with the snapshots
//! that are dumped from the live balances: memory that went bad and rules that do not repeat are found before anyone is
//! billed by them. It changes nothing; whoever shows the process's health shows what it found.

use accounting::views;
use bus::Bus;
use bus::stream::StreamReader;
use facts::stream::StreamState;
use schemas::SchemaIds;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::error::LedgerError;
use crate::fold::Fold;
use crate::snapshot::{Snapshot, Store, decode, fits};
use crate::streams::{Source, ledger_source};

/// Between two looks for a new snapshot.
const LOOK: Duration = Duration::from_secs(5);
/// Differing balances that an alarm names.
const NAMED: usize = 3;

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Refolded {
    /// Last frame up to which both came to the same; 0 = not compared yet.
    pub seq: u64,
    /// How they differ; a snapshot that is right again takes it away.
    pub unequal: Option<String>,
    pub since: Option<SystemTime>,
}

/// The second fold of one ledger.
pub struct Refold {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    source: Source,
    store: Store,
    found: Mutex<Refolded>,
    state: Mutex<Looked>,
}

/// Newest snapshot looked at, and the last that was right, with its root.
type Looked = (Option<PathBuf>, Option<(PathBuf, [u8; 32])>);

impl Refold {
    /// `data_dir` is the ledger's own, where its snapshots are.
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, site: &str, data_dir: &Path) -> Arc<Self> {
        let source = ledger_source(site);
        let store = Store::new(data_dir, &source.stream);
        Arc::new(Self { bus, ids, source, store, found: Mutex::default(), state: Mutex::default() })
    }

    pub fn found(&self) -> Refolded {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Compares each new snapshot until told to stop.
    pub fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.compare(true, stop) {
                tracing::warn!(%error, "the second fold of the ledger waits");
            }
            let until = Instant::now() + LOOK;
            while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Compares the newest snapshot if it has not been yet; true when it was. `gently`: rests as long as it works.
    pub fn compare(&self, gently: bool, stop: &AtomicBool) -> Result<bool, LedgerError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.store.files()?.into_iter().next();
        let Some(path) = newest.filter(|path| state.0.as_ref() != Some(path)) else { return Ok(false) };
        let Some(mut target) = self.read(&path) else {
            // It is of no use to a restart either, which says so.
            state.0 = Some(path);
            return Ok(false);
        };
        let base = state.1.as_ref().and_then(|(path, root)| {
            let mut kept = self.read(path).filter(|kept| kept.state.seq() <= target.state.seq())?;
            (kept.fold.book.root() == *root).then_some(kept)
        });
        let mut folded = match self.fold_to(base, target.state.seq(), gently, stop) {
            Ok(Some(folded)) => folded,
            Ok(None) => return Ok(false),
            Err(error @ LedgerError::Bus(_)) => return Err(error),
            Err(error) => {
                state.0 = Some(path);
                self.tell(Err(format!("the log does not fold a second time: {error}; run `tandem ledger verify`")));
                return Ok(true);
            }
        };
        let told = difference((&mut folded.0, &folded.1), &mut target);
        if told.is_ok() {
            state.1 = Some((path.clone(), target.fold.book.root()));
        }
        state.0 = Some(path);
        self.tell(told.map(|()| target.state.seq()));
        Ok(true)
    }

    fn read(&self, path: &Path) -> Option<Snapshot> {
        let snapshot = decode(&self.source.stream, &std::fs::read(path).ok()?).ok()?;
        fits(&snapshot, &self.bus, &self.ids, &self.source).then_some(snapshot)
    }

    /// The fold of the log up to a frame; `None` when told to stop on the way.
    fn fold_to(
        &self,
        base: Option<Snapshot>,
        last: u64,
        gently: bool,
        stop: &AtomicBool,
    ) -> Result<Option<(Fold, StreamState)>, LedgerError> {
        let (bus, ids) = (&*self.bus, &self.ids);
        let (mut fold, mut reader) = match base {
            Some(base) => (base.fold, StreamReader::resume(bus, ids, base.state, base.next_offset)?),
            None => (Fold::new(self.source.stream.clone()), StreamReader::open(bus, ids, &self.source.topic)?),
        };
        let mut at = reader.state().clone();
        while at.seq() < last {
            let begun = Instant::now();
            reader.poll(Duration::from_millis(200), &mut |accepted| {
                if accepted.state.seq() <= last {
                    fold.frame(accepted.frame, accepted.offset)?;
                    at.clone_from(accepted.state);
                }
                Ok::<(), LedgerError>(())
            })?;
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if gently {
                std::thread::sleep(begun.elapsed().min(Duration::from_secs(1)));
            }
        }
        Ok(Some((fold, at)))
    }

    fn tell(&self, told: Result<u64, String>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Ok(seq) => *found = Refolded { seq, ..Refolded::default() },
            Err(why) => {
                tracing::error!("{why}");
                found.since.get_or_insert_with(SystemTime::now);
                found.unequal = Some(why);
            }
        }
    }
}

/// How a snapshot differs from the fold of the log.
pub(crate) fn difference((fold, state): (&mut Fold, &StreamState), target: &mut Snapshot) -> Result<(), String> {
    let (log, live) = (fold.book.root(), target.fold.book.root());
    let (log_counts, live_counts) = (fold.book.counts(), target.fold.book.counts());
    if log == live && log_counts == live_counts && state.hash() == target.state.hash() {
        return Ok(());
    }
    let of_log = views::totals(&fold.book);
    let of_live = views::totals(&target.fold.book);
    let mut named: Vec<String> = Vec::new();
    let key = |row: &accounting::Total| {
        (row.gl, row.account.clone(), row.product.clone(), row.destination.clone(), row.currency)
    };
    for row in &of_live {
        let same = of_log.iter().find(|other| key(other) == key(row));
        let said = same.map_or_else(|| "nothing".to_owned(), |other| other.balance.to_string());
        if same.is_none_or(|other| (other.debit, other.credit) != (row.debit, row.credit)) && named.len() < NAMED {
            let of = if row.account.is_empty() { "the house" } else { &row.account };
            named.push(format!("{} of {of} {} {}, by the log {said}", row.gl.as_str(), row.balance, row.currency));
        }
    }
    let examples =
        if named.is_empty() { String::new() } else { format!(" ({})", named.join("; ").replace("; ", ", ")) };
    let (hex, seq) = (accounting::book::hex, state.seq());
    Err(format!(
        "the balances in memory are not what the log comes to at frame {seq}: root {} and {} entries, by the log {} and \
         {}{examples}; stop the process, remove the folder snapshots in its data, start it again, and have its memory tested",
        hex(&live[..8]),
        live_counts.all_entries(),
        hex(&log[..8]),
        log_counts.all_entries()
    ))
}
