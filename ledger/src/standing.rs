//! Whether this site takes new calls: a person's order (drain), or because its disk was lost and what it had set aside is
//! not known (decision 0022). Kept as a file of the data folder, so that it survives a restart; no money moves by it and no
//! other site rests anything on it. What is asked of a site that takes none is refused by name, so that the switch asks
//! another one.

use accounting::authorise::Refusal;
use facts::time::rfc3339;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::LedgerError;

/// Orders remembered in the file.
const ORDERS_MAX: usize = 200;

/// How a site stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It takes calls.
    #[default]
    Open,
    /// New beside others: the next start fetches what they hold before anything is sold.
    Joining,
    /// Its disk was lost: the next start takes its streams back, from all peers but these.
    Lost { without: Vec<String> },
    /// Its streams were taken back; until then a call may be going on for which money was set aside in frames that are
    /// lost. Microseconds since 1970.
    Recovering { until: i64 },
    /// A person's order: no new calls, rights go to the other sites.
    Draining,
}

/// One stream as it came back from the peers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TakenBack {
    pub stream: String,
    /// Last frame held now; 0 where the stream has none.
    pub held: u64,
    /// Last frame that any peer had heard of: those between are lost.
    pub heard_of: u64,
    pub from: Vec<String>,
}

/// What stands in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    pub state: State,
    /// Who ordered it, why, and when (microseconds).
    pub by: String,
    pub reason: String,
    pub since: i64,
    /// After a lost disk: by partition of `call-events` the first offset that is there again.
    pub events_from: Vec<u64>,
    /// After a lost disk: what came back.
    pub taken_back: Vec<TakenBack>,
    /// Earlier and later orders, oldest first, in words.
    pub orders: Vec<String>,
}

impl Note {
    /// How it stands at `now`: a recovery ends by itself.
    pub fn state_at(&self, now: i64) -> State {
        match &self.state {
            State::Recovering { until } if now >= *until => State::Open,
            state => state.clone(),
        }
    }

    /// Why no new calls are taken; empty = they are.
    pub fn words(&self, now: i64) -> String {
        match self.state_at(now) {
            State::Open => String::new(),
            State::Joining => "joining".to_owned(),
            State::Lost { .. } => "disk lost, streams not taken back yet".to_owned(),
            State::Recovering { until } => format!("disk lost, sells again at {}", rfc3339(until)),
            State::Draining => format!("drained since {} by {}: {}", rfc3339(self.since), self.by, self.reason),
        }
    }
}

/// The file and what it says.
#[derive(Debug, Default)]
pub struct Standing {
    /// None: kept in memory only.
    path: Option<PathBuf>,
    note: Mutex<Note>,
}

impl Standing {
    /// Where it is kept below a data folder.
    pub fn path_in(data: &Path) -> PathBuf {
        data.join("sites").join("standing.json")
    }

    /// Reads the file; one that is not there says that calls are taken, one that cannot be read stops the site: selling on
    /// would be a guess.
    pub fn open(path: PathBuf) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::File { what: "cannot read", path: path.clone(), source };
        let note = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(std::io::Error::other(error)))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Note::default(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { path: Some(path), note: Mutex::new(note) })
    }

    fn lock(&self) -> MutexGuard<'_, Note> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self) -> Note {
        self.lock().clone()
    }

    pub fn state_at(&self, now: i64) -> State {
        self.lock().state_at(now)
    }

    /// Why no new calls are taken; empty = they are.
    pub fn words(&self, now: i64) -> String {
        self.lock().words(now)
    }

    /// Changes the state by an order, durably before it counts.
    pub fn order(&self, state: State, by: &str, reason: &str, now: i64) -> Result<Note, LedgerError> {
        self.change(|note| {
            note.orders.push(format!("{} {by}: {state:?}: {reason}", rfc3339(now)));
            let over = note.orders.len().saturating_sub(ORDERS_MAX);
            note.orders.drain(..over);
            (note.state, note.by, note.reason, note.since) = (state, by.to_owned(), reason.to_owned(), now);
        })
    }

    /// Changes the note, durably before it counts.
    pub fn change(&self, change: impl FnOnce(&mut Note)) -> Result<Note, LedgerError> {
        let mut note = self.lock();
        let mut new = note.clone();
        change(&mut new);
        if let Some(path) = &self.path {
            let failed = |source| LedgerError::File { what: "cannot write", path: path.clone(), source };
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            let text = serde_json::to_vec_pretty(&new).map_err(|error| failed(std::io::Error::other(error)))?;
            bus::replace_file(path, &text).map_err(failed)?;
        }
        *note = new.clone();
        Ok(new)
    }

    /// Why a call that is not known here yet may not begin.
    pub fn refuses_new(&self, now: i64) -> Option<Refusal> {
        match self.state_at(now) {
            State::Open => None,
            State::Draining => Some(Refusal::Draining),
            State::Joining | State::Lost { .. } | State::Recovering { .. } => Some(Refusal::Recovering),
        }
    }

    /// Why a call that goes on gets no more. A drained site's calls go on to their end.
    pub fn refuses_more(&self, now: i64) -> Option<Refusal> {
        self.refuses_new(now).filter(|refusal| *refusal != Refusal::Draining)
    }

    /// True while what was set aside here is not known: no rights leave, whoever asks.
    pub fn frozen(&self, now: i64) -> bool {
        self.refuses_more(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drained_site_is_drained_after_a_restart_and_a_recovery_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = Standing::path_in(folder.path());
        let standing = Standing::open(path.clone()).unwrap();
        assert_eq!((standing.refuses_new(5), standing.refuses_more(5)), (None, None));
        standing.order(State::Draining, "eva", "new disks", 5).unwrap();
        let again = Standing::open(path.clone()).unwrap();
        assert_eq!((again.refuses_new(9), again.refuses_more(9)), (Some(Refusal::Draining), None));
        assert!(again.note().words(9).contains("by eva: new disks"));
        again.order(State::Recovering { until: 100 }, "eva", "disk lost", 6).unwrap();
        assert_eq!((again.refuses_new(99), again.frozen(99)), (Some(Refusal::Recovering), true));
        assert_eq!((again.refuses_new(100), again.frozen(100)), (None, false));
        assert_eq!(Standing::open(path.clone()).unwrap().note().orders.len(), 2);
        std::fs::write(&path, "{").unwrap();
        assert!(Standing::open(path).is_err(), "a damaged note is not read as open");
    }
}
