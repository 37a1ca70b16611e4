//! What a long request about decks tells whoever waits for it: where it is, how many rows it has read, what it found in
//! the file. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Problems of a file that are told one by one on a terminal.
const PROBLEMS_SHOWN: usize = 20;

/// What the reader found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileTold {
    /// Label and text: format, columns, counts, prices.
    pub read: Vec<(String, String)>,
    /// The first rows that cannot be read, and how many there are.
    pub problems: Vec<String>,
    pub problem_rows: u64,
    /// By which the carrier's next notice is read without questions.
    pub template: String,
}

/// Shared by who works and who asks.
#[derive(Debug)]
pub struct Told {
    stage: Mutex<&'static str>,
    rows: AtomicU64,
    file: Mutex<Option<FileTold>>,
    /// Most changes listed one by one.
    pub changes: usize,
    /// Most problems listed one by one.
    pub problems: usize,
}

impl Default for Told {
    fn default() -> Self {
        let changes = super::weigh::CHANGES_MAX;
        Self {
            stage: Mutex::new(""),
            rows: AtomicU64::new(0),
            file: Mutex::new(None),
            changes,
            problems: PROBLEMS_SHOWN,
        }
    }
}

impl Told {
    /// With other bounds of what is listed.
    pub fn listing(changes: usize, problems: usize) -> Self {
        Self { changes, problems, ..Self::default() }
    }

    /// Begins the next part of the work.
    pub fn stage(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// One row more was read.
    pub fn row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    pub fn file(&self, file: FileTold) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    /// Part of the work, and rows read so far.
    pub fn now(&self) -> (&'static str, u64) {
        (*self.stage.lock().unwrap_or_else(PoisonError::into_inner), self.rows.load(Ordering::Relaxed))
    }

    /// What was found in the file, once it was read.
    pub fn found(&self) -> Option<FileTold> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
