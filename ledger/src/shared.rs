//! What the thread that writes (or follows) a ledger shares with whoever reads it: the fold, between two frames, and
//! how far the log is durable.

use facts::BookedAt;
use facts::entry::LedgerItem;
use facts::stream::StreamState;
use schemas::FrameView;
use smol_str::SmolStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::fold::Fold;
use crate::sites::SitesStatus;

/// The fold and the progress. Whoever needs both locks the fold first.
pub struct Shared {
    fold: Mutex<Fold>,
    progress: Mutex<Progress>,
    moved: Condvar,
    /// How this site stands to the others, as of the last tick; none: there are no others.
    sites: Mutex<Option<Arc<SitesStatus>>>,
}

/// How far the thread is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Last frame that the fold has something of.
    pub built: u64,
    /// Chain and inputs after the last frame that is durable and accepted.
    pub state: StreamState,
    /// The log has been read; before that there is nothing to show.
    pub ready: bool,
    /// Why nothing moves, if so.
    pub trouble: Option<String>,
    /// When the last frame was booked: what the stream says is whole up to then.
    pub booked_at: Option<BookedAt>,
    /// The last state root that stands in it.
    pub certified: Option<Certified>,
}

/// A state root in a ledger's stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Certified {
    /// Frame in which it stands; it is of the frames before.
    pub seq: u64,
    pub booked_at: BookedAt,
    pub root: [u8; 32],
}

impl Progress {
    /// Notes an accepted frame.
    pub fn note(&mut self, frame: &FrameView<'_>) {
        self.booked_at = Some(frame.header.booked_at);
        self.certified = certified(frame).or(self.certified);
    }
}

/// The state root that a frame begins with, if any.
pub fn certified(frame: &FrameView<'_>) -> Option<Certified> {
    // A certificate stands in front of whatever else a frame holds.
    let first = if frame.is_empty() { None } else { schemas::ledger::item(frame, 0).ok() };
    match first {
        Some(LedgerItem::Certificate { root, .. }) => {
            Some(Certified { seq: frame.header.seq, booked_at: frame.header.booked_at, root })
        }
        _ => None,
    }
}

/// A thread that panicked while it held the lock has stopped the ledger; what it left is still shown.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Nothing read yet.
    pub fn new(stream: SmolStr) -> Arc<Self> {
        let state = StreamState::new(stream.clone());
        let progress = Progress { built: 0, state, ready: false, trouble: None, booked_at: None, certified: None };
        let fold = Mutex::new(Fold::new(stream));
        Arc::new(Self { fold, progress: Mutex::new(progress), moved: Condvar::new(), sites: Mutex::new(None) })
    }

    /// Shows another fold from now on: the log has been read (again).
    pub fn replace(&self, fold: Fold, state: StreamState) {
        let mut shown = self.fold();
        *shown = fold;
        self.progress(|p| {
            let Progress { booked_at, certified, .. } = *p;
            *p = Progress { built: state.seq(), state, ready: true, trouble: None, booked_at, certified };
        });
    }

    /// The fold. Never held over I/O.
    pub fn fold(&self) -> MutexGuard<'_, Fold> {
        lock(&self.fold)
    }

    /// Reports progress to whoever waits.
    pub fn progress(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut lock(&self.progress));
        self.moved.notify_all();
    }

    pub fn progress_now(&self) -> Progress {
        lock(&self.progress).clone()
    }

    /// Shows how this site stands to the others.
    pub fn show_sites(&self, status: SitesStatus) {
        *lock(&self.sites) = Some(Arc::new(status));
    }

    /// What was shown last.
    pub fn sites(&self) -> Option<Arc<SitesStatus>> {
        lock(&self.sites).clone()
    }

    /// Last frame that the fold has something of.
    pub fn built(&self) -> u64 {
        lock(&self.progress).built
    }

    /// Waits until `done`, at most until `deadline`; true when it came to that.
    pub fn wait_until(&self, deadline: Instant, done: impl Fn(&Progress) -> bool) -> bool {
        let mut progress = lock(&self.progress);
        loop {
            if done(&progress) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            progress = self.moved.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
