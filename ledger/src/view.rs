//! What others may ask of the ledger: one trait, answered by the process that writes the stream and by a follower
//! that only reads it. Answers show whole frames only, and what they show is durable.

mod outcome;
mod pages;

pub use outcome::{CallRefused, CallReplaced, RunOutcome};

use accounting::{Balance, Total, TrialRow, views};
use bus::Bus;
use facts::LedgerEntry;
use facts::config::Config;
use facts::entry::LedgerItem;
use facts::ids::CallId;
use facts::xdr::Position;
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::api::{EntryFilter, EntryPage, EntryRow, HoldRow, LimitRow, Page, ScopeRow, Status};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::frames::{entries_of_call, ledger_item};
use crate::orders::BooksNow;
use crate::past::Past;
use crate::run::wall_micros;
use crate::shared::{Progress, Shared};
use bus::stream::FrameReader;
use std::collections::BTreeSet;

/// The configuration in force now.
pub type ConfigNow = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// How long an answer waits for the frames that it shows to become durable.
const DURABLE_WAIT: Duration = Duration::from_secs(2);
/// How long an answer waits for a ledger that is starting.
const READY_WAIT: Duration = Duration::from_secs(5);

/// Questions to a ledger.
pub trait LedgerView: Send + Sync {
    /// Balances of one account (empty: unknown) or of all, by account and currency.
    fn balances(&self, account: Option<&str>) -> Result<Vec<Balance>, LedgerError>;
    fn trial_balance(&self) -> Result<Vec<TrialRow>, LedgerError>;
    /// Every balance line: by account, currency, gl, product, destination.
    fn totals(&self) -> Result<Vec<Total>, LedgerError>;
    /// Entries in log order or newest first.
    fn entries(&self, filter: &EntryFilter, page: &Page) -> Result<EntryPage, LedgerError>;
    /// All entries of one call, in log order.
    fn entries_for_call(&self, call: CallId) -> Result<Vec<EntryRow>, LedgerError>;
    /// One entry by its place.
    fn entry_at(&self, at: Position) -> Result<Option<EntryRow>, LedgerError>;
    /// Balance of an account in its own currency (the configuration's, else the first it was posted in), and the last
    /// frame that it has something of: where a walk back through its entries begins.
    fn anchor(&self, account: &str) -> Result<(Option<Balance>, u64), LedgerError>;
    /// Open holds, of one account or of all, by hold.
    fn holds(&self, account: Option<&str>) -> Result<Vec<HoldRow>, LedgerError>;
    /// Grants and caps, of one account or of all that have any.
    fn limits(&self, account: Option<&str>) -> Result<Vec<LimitRow>, LedgerError>;
    /// How far it is, its root and counts.
    fn status(&self) -> Result<Status, LedgerError>;
    /// Waits until everything before `next` of an xdrs stream is booked and durable; false: not within `timeout`.
    fn wait_booked(&self, stream: &str, next: Position, timeout: Duration) -> bool;
}

/// Answers from a shared fold and the stream's own log.
pub struct View {
    shared: Arc<Shared>,
    stream: SmolStr,
    config: ConfigNow,
    frames: Mutex<FrameReader>,
    past: OnceLock<Weak<Past>>,
}

impl View {
    pub fn new(shared: Arc<Shared>, bus: Arc<dyn Bus>, ids: SchemaIds, config: ConfigNow) -> Self {
        let stream = shared.fold().stream().clone();
        let frames = Mutex::new(FrameReader::new(bus, ids, stream.clone()));
        Self { shared, stream, config, frames, past: OnceLock::new() }
    }

    /// How this site stands to the others, as of its last tick; `None`: it has no peers, or has not begun.
    pub fn sites(&self) -> Option<Arc<crate::SitesStatus>> {
        self.shared.sites()
    }

    /// Parts of the exposure of the accounts of a carrier, or of all.
    pub fn exposure(&self, carrier: Option<&str>) -> Result<Vec<accounting::net::Exposure>, LedgerError> {
        let (config, now) = ((self.config)(), wall_micros());
        let rows: Option<Vec<_>> = self.settled(|fold| {
            let wanted = config.accounts.values().filter(|x| carrier.is_none_or(|carrier| x.carrier == carrier));
            wanted.map(|account| accounting::net::exposure(&fold.book, account, now)).collect()
        })?;
        rows.ok_or(LedgerError::Range { what: "the exposure" })
    }

    /// How far the stream is, without asking the fold for its root.
    pub fn progress(&self) -> Progress {
        self.shared.progress_now()
    }

    /// Asks the fold, then waits until all that the answer shows is durable. While the log is away that takes longer
    /// than anyone should wait; the answer is then given all the same, and `status` says `in_flight`.
    fn settled<T>(&self, ask: impl FnOnce(&mut Fold) -> T) -> Result<T, LedgerError> {
        if !self.shared.wait_until(Instant::now() + READY_WAIT, |p| p.ready) {
            let trouble = self.shared.progress_now().trouble;
            return Err(LedgerError::Stopped(trouble.unwrap_or_else(|| "it is still reading its log".into())));
        }
        let (answer, seen) = {
            let mut fold = self.shared.fold();
            (ask(&mut fold), self.shared.built())
        };
        let deadline = Instant::now() + DURABLE_WAIT;
        self.shared.wait_until(deadline, |p| p.state.seq() >= seen || p.trouble.is_some());
        Ok(answer)
    }

    /// The books after the last whole frame, for whoever only follows the stream: the process that writes it has them
    /// certified instead ([`crate::Orders::certify`]).
    pub(crate) fn books_now(&self) -> Result<BooksNow, LedgerError> {
        self.settled(|fold| BooksNow::of(fold, self.shared.progress_now().state.seq()))?
    }

    /// All entries of a frame, in its order.
    pub fn entries_of_frame(&self, seq: u64) -> Result<Vec<LedgerEntry>, LedgerError> {
        self.read(seq, |frame| {
            let mut entries = Vec::with_capacity(frame.len());
            for index in 0..frame.len() {
                if let LedgerItem::Entry(entry) = ledger_item(&self.stream, frame, index)? {
                    entries.push(*entry);
                }
            }
            Ok(entries)
        })
    }

    /// Entries by their places, in the order of these; no entry stands where one is missing. Neighbours that stand in the
    /// same frame cost one read of it.
    pub fn entries_at(&self, places: &[Position]) -> Result<Vec<EntryRow>, LedgerError> {
        let mut rows = Vec::with_capacity(places.len());
        for of_frame in places.chunk_by(|a, b| a.seq == b.seq) {
            let seq = of_frame[0].seq;
            if self.offset(seq).is_none() {
                continue;
            }
            self.read(seq, |frame| {
                for at in of_frame.iter().filter(|at| (at.index as usize) < frame.len()) {
                    if let LedgerItem::Entry(entry) = ledger_item(&self.stream, frame, at.index as usize)? {
                        rows.push(EntryRow::new(&self.stream, *at, frame.header.booked_at, &entry));
                    }
                }
                Ok(())
            })?;
        }
        Ok(rows)
    }

    /// What it is of, for a test that damages it.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Waits until the log has been read.
    pub(crate) fn ready(&self) -> Result<(), LedgerError> {
        self.settled(|_| ())
    }

    /// Pages that reach further back than memory does are found by this index from now on.
    pub fn use_past(&self, past: &Arc<Past>) {
        // A second one is of the same folder.
        let _ = self.past.set(Arc::downgrade(past));
    }

    pub(crate) fn stream(&self) -> &SmolStr {
        &self.stream
    }

    pub(crate) fn offset(&self, seq: u64) -> Option<u64> {
        self.shared.fold().offset_of(seq)
    }

    pub(crate) fn read<T>(
        &self,
        seq: u64,
        read: impl FnOnce(&FrameView<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let missing = || LedgerError::Missing { stream: self.stream.clone(), seq };
        let offset = self.offset(seq).ok_or_else(missing)?;
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        read(&frames.frame(seq, offset)?)
    }
}

impl LedgerView for View {
    fn balances(&self, account: Option<&str>) -> Result<Vec<Balance>, LedgerError> {
        let (config, now) = ((self.config)(), wall_micros());
        let rows = self.settled(|fold| match account {
            Some(account) => views::balances_of(&fold.book, &config, account, now),
            None => views::balances(&fold.book, &config, now),
        })?;
        rows.ok_or(LedgerError::Range { what: "the balances" })
    }

    fn trial_balance(&self) -> Result<Vec<TrialRow>, LedgerError> {
        let rows = self.settled(|fold| views::trial_balance(&fold.book))?;
        rows.ok_or(LedgerError::Range { what: "the trial balance" })
    }

    fn totals(&self) -> Result<Vec<Total>, LedgerError> {
        self.settled(|fold| views::totals(&fold.book))
    }

    fn entries(&self, filter: &EntryFilter, page: &Page) -> Result<EntryPage, LedgerError> {
        self.page(filter, page)
    }

    fn entries_for_call(&self, call: CallId) -> Result<Vec<EntryRow>, LedgerError> {
        let frames = self.settled(|fold| fold.book.frames_of(call))?;
        let mut rows = Vec::new();
        for seq in frames {
            if self.offset(seq).is_none() {
                // Still on its way to the log: not to be shown yet.
                break;
            }
            self.read(seq, |frame| {
                let booked_at = frame.header.booked_at;
                entries_of_call(&self.stream, frame, call, |at, entry| {
                    rows.push(EntryRow::new(&self.stream, at, booked_at, &entry));
                })
            })?;
        }
        Ok(rows)
    }

    fn entry_at(&self, at: Position) -> Result<Option<EntryRow>, LedgerError> {
        Ok(self.entries_at(&[at])?.pop())
    }

    fn anchor(&self, account: &str) -> Result<(Option<Balance>, u64), LedgerError> {
        let (config, now) = ((self.config)(), wall_micros());
        let own = config.accounts.get(account).map(|terms| terms.currency);
        let (rows, last) =
            self.settled(|fold| (views::balances_of(&fold.book, &config, account, now), self.shared.built()))?;
        let rows = rows.ok_or(LedgerError::Range { what: "the balances" })?;
        Ok((rows.into_iter().find(|row| own.is_none_or(|own| row.currency == own)), last))
    }

    fn holds(&self, account: Option<&str>) -> Result<Vec<HoldRow>, LedgerError> {
        self.settled(|fold| {
            let lines = fold.book.holds().iter().flat_map(|hold| hold.lines.iter().map(move |line| (hold, line)));
            let wanted = lines.filter(|(_, line)| account.is_none_or(|account| line.account == account));
            wanted.map(|(hold, line)| HoldRow::new(hold, line)).collect()
        })
    }

    fn limits(&self, account: Option<&str>) -> Result<Vec<LimitRow>, LedgerError> {
        let now = wall_micros();
        self.settled(|fold| {
            let holds = fold.book.holds();
            let mut known: BTreeSet<&SmolStr> = holds.all_terms().map(|(of, _)| of).collect();
            known.extend(holds.scopes().iter().map(|scope| &scope.caps.account));
            let scopes = |of: &SmolStr| {
                let own = holds.scopes().iter().filter(|scope| scope.caps.account == *of);
                let row = |scope: &accounting::holds::Scope| ScopeRow {
                    caps: scope.caps.clone(),
                    calls_now: scope.held.calls,
                    spent_today: scope.spent_at(now),
                };
                own.map(row).collect()
            };
            let row = |of: &SmolStr| {
                let terms = holds.terms(of).cloned().unwrap_or_default();
                let spent_today = holds.spent(of, now);
                LimitRow {
                    account: of.clone(),
                    grants: terms.grants,
                    caps: terms.caps,
                    spent_today,
                    scopes: scopes(of),
                }
            };
            known.into_iter().filter(|of| account.is_none_or(|account| *of == account)).map(row).collect()
        })
    }

    fn status(&self) -> Result<Status, LedgerError> {
        let (root, fold_version, counts) =
            self.settled(|fold| (fold.book.root(), fold.book.fold_version(), fold.book.counts()))?;
        let progress = self.shared.progress_now();
        Ok(Status {
            stream: self.stream.clone(),
            seq: progress.state.seq(),
            hash: accounting::book::hex(progress.state.hash()),
            epoch: progress.state.epoch(),
            owner: progress.state.owner().clone(),
            root: accounting::book::hex(&root),
            fold_version,
            entries: counts.entries,
            refused: counts.refused,
            consumed: progress.state.consumed().to_vec(),
            in_flight: progress.built.saturating_sub(progress.state.seq()),
            trouble: progress.trouble,
        })
    }

    fn wait_booked(&self, stream: &str, next: Position, timeout: Duration) -> bool {
        self.shared.wait_until(Instant::now() + timeout, |p| p.ready && p.state.next_position(stream) >= next)
    }
}
