//! What the index is at a moment: which files, what is in none yet, up to which frame; its list on disk; how an entry
//! becomes amounts of series.

use super::file::{FORMAT, Key, PastError, RunFile, key};
use super::names::Names;
use crate::frames::ledger_item;
use crate::prove::write_durably;
use crate::view::View;
use accounting::views;
use facts::entry::LedgerItem;
use facts::xdr::Position;
use facts::{Currency, LedgerEntry};
use schemas::FrameView;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The series in which every frame counts one, by its booked time.
pub(super) const FRAMES: u64 = u64::MAX;

/// What stands on disk, in a file that is replaced whole.
#[derive(Serialize, Deserialize, Default)]
struct List {
    /// Of the files; 0 in lists that did not say it.
    #[serde(default)]
    format: u32,
    /// Frames that the runs have, and the hash of the last.
    frames: u64,
    hash: String,
    names: u64,
    names_hash: String,
    next_file: u64,
    runs: Vec<Run>,
}

#[derive(Serialize, Deserialize, Clone)]
pub(super) struct Run {
    pub file: u64,
    pub level: u32,
    pub records: u64,
}

pub(super) struct State {
    pub names: Names,
    /// Oldest first, so what a newer one has of a stream stands behind what an older one has.
    pub runs: Vec<(Run, Arc<RunFile>)>,
    /// Amounts that a file is being written of.
    pub writing: Arc<BTreeMap<Key, i128>>,
    /// Amounts of the frames behind those.
    pub fresh: BTreeMap<Key, i128>,
    /// Last frame that is in it, and its hash.
    pub frames: u64,
    pub hash: [u8; 32],
    pub next_file: u64,
}

/// Frames hold at most 4,000 items.
pub(super) fn pack(at: Position) -> u64 {
    (at.seq << 16) | u64::from(at.index.min(0xffff))
}

pub(super) fn unpack(packed: u64) -> Position {
    Position { seq: packed >> 16, index: (packed & 0xffff) as u32 }
}

/// A time in an order of bytes.
pub(super) fn sortable(micros: i64) -> u64 {
    (micros as u64) ^ (1 << 63)
}

/// Numbers of the two series of one account and currency: by place, by time of occurrence.
pub(super) fn by_place(number: u64) -> u64 {
    number << 1
}

pub(super) fn by_time(number: u64) -> u64 {
    (number << 1) | 1
}

pub(super) fn run_path(folder: &Path, file: u64) -> PathBuf {
    folder.join(format!("{file:010}.run"))
}

impl State {
    pub fn empty() -> Self {
        let (names, runs, writing, fresh) = Default::default();
        Self { names, runs, writing, fresh, frames: 0, hash: [0; 32], next_file: 0 }
    }

    pub fn load(folder: &Path, view: &View) -> Result<Self, PastError> {
        let path = folder.join("list.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::empty()),
            Err(error) => return Err(PastError::io("cannot read", &path)(error)),
        };
        let damaged = |reason: &str| PastError::damaged(&path, reason);
        let (hash, json) = bytes.split_at_checked(65).ok_or_else(|| damaged("too short"))?;
        if blake3::hash(json).to_hex().as_bytes() != &hash[..64] {
            return Err(damaged("it does not have the hash it says"));
        }
        let list: List = serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))?;
        if list.format != FORMAT {
            return Err(damaged("it is of files of another format"));
        }
        let own = |frame: &FrameView<'_>| Ok(frame.hash());
        let in_log = view.read(list.frames, own).map_err(|_| damaged("it is of another log"))?;
        if accounting::book::hex(&in_log) != list.hash {
            return Err(damaged("it is of another log"));
        }
        let names = Names::read(&folder.join("names"), list.names, &list.names_hash)?;
        let open = |run: Run| RunFile::open(&run_path(folder, run.file), run.records).map(|file| (run, Arc::new(file)));
        let runs = list.runs.into_iter().map(open).collect::<Result<_, _>>()?;
        let (writing, fresh) = Default::default();
        Ok(Self { names, runs, writing, fresh, frames: list.frames, hash: in_log, next_file: list.next_file })
    }

    /// Writes the list of the files, which have so many frames. Names that only newer frames have may be in it.
    pub fn save(&mut self, folder: &Path, frames: u64, hash: &[u8; 32]) -> Result<(), PastError> {
        let (names, names_hash) = self.names.write(&folder.join("names"))?;
        let runs = self.runs.iter().map(|(run, _)| run.clone()).collect();
        let hash = accounting::book::hex(hash);
        let list = List { format: FORMAT, frames, hash, names, names_hash, next_file: self.next_file, runs };
        write_list(folder, &list)
    }

    /// Amounts that are in no file yet: keys of places rise, times may stand in both parts.
    pub fn unwritten(&self, keys: RangeInclusive<Key>) -> impl DoubleEndedIterator<Item = (&Key, &i128)> {
        self.writing.range(keys.clone()).chain(self.fresh.range(keys))
    }

    /// Takes back what could not be written.
    pub fn put_back(&mut self, amounts: &BTreeMap<Key, i128>) -> Result<(), PastError> {
        for (key, amount) in amounts {
            let sum = self.fresh.entry(*key).or_default();
            *sum = sum.checked_add(*amount).ok_or(PastError::Range)?;
        }
        Ok(())
    }

    /// Writes other runs into the list that is there: what they hold is the same.
    pub fn save_runs(&self, folder: &Path) -> Result<(), PastError> {
        let path = folder.join("list.json");
        let bytes = fs::read(&path).map_err(PastError::io("cannot read", &path))?;
        let json = bytes.get(65..).unwrap_or_default();
        let mut list: List =
            serde_json::from_slice(json).map_err(|error| PastError::damaged(&path, error.to_string()))?;
        list.runs = self.runs.iter().map(|(run, _)| run.clone()).collect();
        list.next_file = self.next_file;
        write_list(folder, &list)
    }

    pub fn same(&self, files: &[Arc<RunFile>]) -> bool {
        self.runs.len() == files.len() && self.runs.iter().zip(files).all(|((_, now), then)| Arc::ptr_eq(now, then))
    }

    /// Takes one frame in.
    pub fn take(&mut self, stream: &SmolStr, frame: &FrameView<'_>) -> Result<(), crate::LedgerError> {
        let header = &frame.header;
        let failed = || crate::LedgerError::Missing { stream: stream.clone(), seq: header.seq };
        if header.seq != self.frames + 1 || header.prev_hash != self.hash {
            return Err(failed());
        }
        for index in 0..frame.len() {
            if let LedgerItem::Entry(entry) = ledger_item(stream, frame, index)? {
                self.entry(Position { seq: header.seq, index: index as u32 }, &entry)
                    .ok_or(crate::LedgerError::Range { what: "the sums of an account" })?;
            }
        }
        *self.fresh.entry(key(FRAMES, sortable(header.booked_at.0))).or_default() += 1;
        (self.frames, self.hash) = (header.seq, frame.hash());
        Ok(())
    }

    fn entry(&mut self, at: Position, entry: &LedgerEntry) -> Option<()> {
        let mut accounts: Vec<&SmolStr> = vec![&entry.account];
        for posting in &entry.postings {
            if !accounts.contains(&&posting.account) {
                accounts.push(&posting.account);
            }
        }
        for account in accounts.into_iter().filter(|account| !account.is_empty()) {
            let own = entry.postings.iter().filter(|posting| posting.account == *account && views::owed(posting.gl));
            let mut sums: Vec<(Option<Currency>, i128)> = Vec::new();
            for posting in own {
                match sums.iter_mut().find(|(of, _)| *of == Some(posting.currency)) {
                    Some((_, sum)) => *sum = sum.checked_add(posting.amount.0)?,
                    None => sums.push((Some(posting.currency), posting.amount.0)),
                }
            }
            if sums.is_empty() {
                sums.push((None, 0));
            }
            for (currency, amount) in sums {
                let number = self.names.number(account, currency);
                let time = key(by_time(number), sortable(entry.occurred_at.0));
                for key in [key(by_place(number), pack(at)), time] {
                    let sum = self.fresh.entry(key).or_default();
                    *sum = sum.checked_add(amount)?;
                }
            }
        }
        Some(())
    }
}

fn write_list(folder: &Path, list: &List) -> Result<(), PastError> {
    let path = folder.join("list.json");
    let json = serde_json::to_vec(list).map_err(|error| PastError::damaged(&path, error.to_string()))?;
    let mut bytes = format!("{}\n", blake3::hash(&json).to_hex()).into_bytes();
    bytes.extend_from_slice(&json);
    write_durably(&path, &bytes).map_err(|error| PastError::damaged(&path, error.to_string()))
}
