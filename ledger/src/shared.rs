//! What the thread that writes (or follows) a ledger shares with whoever reads it: the fold, between two frames, and
//! how far the log is durable.

use facts::stream::StreamState;
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
}

/// A thread that panicked while it held the lock has stopped the ledger; what it left is still shown.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Nothing read yet.
    pub fn new(stream: SmolStr) -> Arc<Self> {
        let state = StreamState::new(stream.clone());
        let progress = Progress { built: 0, state, ready: false, trouble: None };
        let fold = Mutex::new(Fold::new(stream));
        Arc::new(Self { fold, progress: Mutex::new(progress), moved: Condvar::new(), sites: Mutex::new(None) })
    }

    /// Shows another fold from now on: the log has been read (again).
    pub fn replace(&self, fold: Fold, state: StreamState) {
        let mut shown = self.fold();
        *shown = fold;
        self.progress(|p| *p = Progress { built: state.seq(), state, ready: true, trouble: None });
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
