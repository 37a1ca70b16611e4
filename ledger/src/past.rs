//! An index over the past of accounts: what one owed at any booked or occurred time, with what running balance, and where
//! its entries stand, at a cost that does not grow with the log. Sums of the ledger's own entries in sorted files of
//! ours, below `DATA/past/STREAM`: a cache that may be deleted. It never decides; whoever finds it damaged reads the log.

mod file;
mod names;
#[cfg(test)]
mod tests;

pub use file::PastError;

use accounting::views;
use bus::Bus;
use facts::entry::LedgerItem;
use facts::xdr::Position;
use facts::{Amount, BookedAt, Currency, LedgerEntry, OccurredAt};
use file::{Merged, RunFile, key};
use names::Names;
use schemas::{FrameView, SchemaIds};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::frames::{ledger_item, walk};
use crate::prove::write_durably;
use crate::view::View;

/// Records kept in memory before they become a file: some 15 MB.
const FLUSH: usize = 1 << 17;
/// Neighbouring files of one level that become one of the next.
const MERGE: usize = 4;
/// Files at which even a question waits for a merge.
const FILES_MAX: usize = 48;
/// Frames of one turn; between two turns others get their share.
const TURN: u64 = 64;
/// The series in which every frame counts one, by its booked time.
const FRAMES: u64 = u64::MAX;

/// What stands on disk, in a file that is replaced whole.
#[derive(Serialize, Deserialize, Default)]
struct List {
    /// Frames that the runs have, and the hash of the last.
    frames: u64,
    hash: String,
    names: u64,
    names_hash: String,
    next_file: u64,
    runs: Vec<Run>,
}

#[derive(Serialize, Deserialize, Clone)]
struct Run {
    file: u64,
    level: u32,
    records: u64,
}

struct State {
    names: Names,
    runs: Vec<(Run, Arc<RunFile>)>,
    /// Amounts of frames that are in no file yet.
    fresh: BTreeMap<[u8; 16], i128>,
    /// Last frame that is in it, and its hash.
    frames: u64,
    hash: [u8; 32],
    next_file: u64,
}

/// The index of one ledger stream. Questions and building go on beside each other.
pub struct Past {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    view: Arc<View>,
    folder: PathBuf,
    state: Mutex<State>,
    building: Mutex<()>,
    merging: Mutex<()>,
    flush: usize,
    /// Held as long as this is: one process has the folder.
    _lock: File,
}

/// Up to where a sum goes, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpTo {
    Place(Position),
    Booked(BookedAt),
    Occurred(OccurredAt),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frames hold at most 4,000 items.
fn pack(at: Position) -> u64 {
    (at.seq << 16) | u64::from(at.index.min(0xffff))
}

fn unpack(packed: u64) -> Position {
    Position { seq: packed >> 16, index: (packed & 0xffff) as u32 }
}

/// A time in an order of bytes.
fn sortable(micros: i64) -> u64 {
    (micros as u64) ^ (1 << 63)
}

/// Numbers of the two series of one account and currency: by place, by time of occurrence.
fn by_place(number: u64) -> u64 {
    number << 1
}

fn by_time(number: u64) -> u64 {
    (number << 1) | 1
}

impl Past {
    /// Opens what is below `data_dir`, as far as it is whole and of this log.
    pub fn open(bus: Arc<dyn Bus>, ids: SchemaIds, view: Arc<View>, data_dir: &Path) -> Result<Self, PastError> {
        Self::open_with(bus, ids, view, data_dir, FLUSH)
    }

    fn open_with(
        bus: Arc<dyn Bus>,
        ids: SchemaIds,
        view: Arc<View>,
        data_dir: &Path,
        flush: usize,
    ) -> Result<Self, PastError> {
        // Before its log has been read it knows no frame to compare with.
        view.ready()?;
        let folder = data_dir.join("past").join(view.stream().as_str());
        fs::create_dir_all(&folder).map_err(PastError::io("cannot make folder", &folder))?;
        let held = File::create(folder.join("lock")).map_err(PastError::io("cannot write", &folder))?;
        held.try_lock().map_err(|_| PastError::Taken { path: folder.clone() })?;
        let state = State::load(&folder, &view).unwrap_or_else(|error| {
            tracing::warn!(%error, "the index over the past is made anew");
            State::empty()
        });
        let this = Self {
            bus,
            ids,
            view,
            folder,
            state: Mutex::new(state),
            building: Mutex::new(()),
            merging: Mutex::new(()),
            flush,
            _lock: held,
        };
        this.sweep();
        Ok(this)
    }

    /// Removes files that no list names: left by a death, or merged.
    fn sweep(&self) {
        let state = lock(&self.state);
        let known: Vec<PathBuf> = state.runs.iter().map(|(run, _)| run_path(&self.folder, run.file)).collect();
        for one in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = one.path();
            if path.extension().is_some_and(|extension| extension == "run") && !known.contains(&path) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Throws everything away; the next look at the log makes it anew.
    fn forget(&self, error: &PastError) {
        tracing::warn!(%error, "the index over the past is damaged and made anew");
        let (_building, _merging) = (lock(&self.building), lock(&self.merging));
        *lock(&self.state) = State::empty();
        let _ = fs::remove_file(self.folder.join("list.json"));
        self.sweep();
    }

    /// Takes in every durable frame. `gently`: rests as long as it works, for whoever has time.
    pub fn catch_up(&self, gently: bool) -> Result<(), PastError> {
        loop {
            let begun = Instant::now();
            let more = {
                let _one = lock(&self.building);
                let (next, last) = (lock(&self.state).frames + 1, self.view.progress().state.seq());
                if next > last {
                    return Ok(());
                }
                let until = last.min(next + TURN - 1);
                walk((&*self.bus, &self.ids, &self.view), next, until, &mut |frame| {
                    lock(&self.state).take(self.view.stream(), frame)
                })?;
                if lock(&self.state).fresh.len() >= self.flush {
                    self.write_fresh()?;
                }
                until < last
            };
            let files = lock(&self.state).runs.len();
            match self.merging.try_lock() {
                Ok(_one) => self.merge()?,
                // Questions wait for others' merges only where there are far too many files.
                Err(_) if files > FILES_MAX => drop(lock(&self.merging)),
                Err(_) => {}
            }
            if !more {
                return Ok(());
            }
            if gently {
                std::thread::sleep(begun.elapsed().min(Duration::from_secs(1)));
            }
        }
    }

    /// Follows the ledger until told to stop.
    pub fn run(&self, stop: &std::sync::atomic::AtomicBool) {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            match self.catch_up(true) {
                Err(error @ (PastError::Damaged { .. } | PastError::Range)) => self.forget(&error),
                Err(error) => tracing::warn!(%error, "the index over the past waits"),
                Ok(()) => {}
            }
            for _ in 0..20 {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    fn write_fresh(&self) -> Result<(), PastError> {
        let (fresh, file) = {
            let state = lock(&self.state);
            (state.fresh.clone(), state.next_file)
        };
        let path = run_path(&self.folder, file);
        let run = RunFile::create(&path, &mut fresh.into_iter().map(Ok))?;
        let mut state = lock(&self.state);
        state.next_file = file + 1;
        state.runs.push((Run { file, level: 0, records: run.records }, Arc::new(run)));
        // Listed or not there: a run that is there and not listed would count twice after a restart.
        if let Err(error) = state.save(&self.folder) {
            state.runs.pop();
            return Err(error);
        }
        state.fresh.clear();
        Ok(())
    }

    /// Merges neighbours of one level, the newest first, until there are no four. Questions go on with the old files.
    fn merge(&self) -> Result<(), PastError> {
        loop {
            let (first, level, files, file) = {
                let mut state = lock(&self.state);
                let Some(first) = state.four_of_a_level() else { return Ok(()) };
                let chosen = &state.runs[first..first + MERGE];
                let level = chosen[0].0.level;
                let files: Vec<Arc<RunFile>> = chosen.iter().map(|(_, file)| file.clone()).collect();
                state.next_file += 1;
                (first, level, files, state.next_file - 1)
            };
            let path = run_path(&self.folder, file);
            let merged = RunFile::create(&path, &mut Merged::new(&files))?;
            {
                let mut state = lock(&self.state);
                let same = state.runs.get(first).is_some_and(|(_, now)| Arc::ptr_eq(now, &files[0]));
                if !same {
                    // Thrown away meanwhile.
                    drop(fs::remove_file(&path));
                    return Ok(());
                }
                let run = Run { file, level: level + 1, records: merged.records };
                let merged: Vec<_> = state.runs.splice(first..first + MERGE, [(run, Arc::new(merged))]).collect();
                // What is fresh is in no file: the list goes on saying how many frames are.
                if let Err(error) = state.save_runs(&self.folder) {
                    state.runs.splice(first..=first, merged);
                    return Err(error);
                }
            }
            for old in files {
                let _ = fs::remove_file(&old.path);
            }
        }
    }

    /// Runs a question; one that finds damage forgets the index, so that the next one finds it made anew.
    fn asked<T>(&self, ask: impl Fn() -> Result<T, PastError>) -> Result<T, PastError> {
        self.catch_up(false).and_then(|()| ask()).inspect_err(|error| {
            if matches!(error, PastError::Damaged { .. }) {
                self.forget(error);
            }
        })
    }

    /// What an account owed, final and provisional, in one currency.
    pub fn owed(&self, account: &str, currency: Currency, up_to: UpTo) -> Result<Amount, PastError> {
        self.asked(|| self.sum(account, currency, up_to))
    }

    fn sum(&self, account: &str, currency: Currency, up_to: UpTo) -> Result<Amount, PastError> {
        let shot = self.shot();
        let number = lock(&self.state).names.of(account).iter().find(|(of, _)| *of == Some(currency)).map(|(_, n)| *n);
        let Some(number) = number else { return Ok(Amount::ZERO) };
        let sum = match up_to {
            UpTo::Place(at) => shot.sum(self, by_place(number), pack(at))?,
            UpTo::Occurred(at) => shot.sum(self, by_time(number), sortable(at.0))?,
            UpTo::Booked(at) => {
                // As many frames as were booked by then: their places are below the next frame's.
                let frames = shot.sum(self, FRAMES, sortable(at.0))?;
                let frames = u64::try_from(frames).map_err(|_| PastError::Range)?;
                shot.sum(self, by_place(number), pack(Position { seq: frames, index: u32::MAX }))?
            }
        };
        Ok(Amount(sum))
    }

    /// Places of the newest entries of an account before `before` (none: of all), newest first, at most `most`.
    pub fn places(&self, account: &str, before: Option<Position>, most: usize) -> Result<Vec<Position>, PastError> {
        self.asked(|| {
            let shot = self.shot();
            let series: Vec<u64> = lock(&self.state).names.of(account).iter().map(|(_, n)| by_place(*n)).collect();
            let before = before.map_or(u64::MAX, pack);
            let mut found: Vec<u64> = Vec::new();
            for one in series {
                found.extend(shot.before(self, one, before, most)?);
            }
            found.sort_unstable_by(|a, b| b.cmp(a));
            found.dedup();
            found.truncate(most);
            Ok(found.into_iter().map(unpack).collect())
        })
    }

    /// Places of the oldest entries of an account behind `after` (none: of all), oldest first, at most `most`.
    pub fn places_after(
        &self,
        account: &str,
        after: Option<Position>,
        most: usize,
    ) -> Result<Vec<Position>, PastError> {
        let from = after.map_or(0, |after| pack(after).saturating_add(1));
        self.asked(|| {
            let shot = self.shot();
            let series: Vec<u64> = lock(&self.state).names.of(account).iter().map(|(_, n)| by_place(*n)).collect();
            let mut found: Vec<u64> = Vec::new();
            for one in series {
                found.extend(shot.from(self, one, from, most)?);
            }
            found.sort_unstable();
            found.dedup();
            found.truncate(most);
            Ok(found.into_iter().map(unpack).collect())
        })
    }

    /// How many frames were booked up to a time, that time included.
    pub fn frames_by(&self, at: BookedAt) -> Result<u64, PastError> {
        let frames = self.asked(|| self.shot().sum(self, FRAMES, sortable(at.0)))?;
        u64::try_from(frames).map_err(|_| PastError::Range)
    }

    fn shot(&self) -> Shot {
        Shot(lock(&self.state).runs.iter().map(|(_, file)| file.clone()).collect())
    }

    /// Files and records, for figures.
    pub fn size(&self) -> (usize, u64) {
        let state = lock(&self.state);
        (state.runs.len(), state.runs.iter().map(|(run, _)| run.records).sum::<u64>() + state.fresh.len() as u64)
    }
}

/// The files as they were when a question began. A flush between taking them and looking at what is fresh would count
/// nothing twice but might miss it, so both are looked at until the files stay the same.
struct Shot(Vec<Arc<RunFile>>);

impl Shot {
    fn sum(&self, past: &Past, series: u64, at: u64) -> Result<i128, PastError> {
        let mut files = self.0.clone();
        loop {
            let mut sum = 0i128;
            for file in &files {
                sum = sum.checked_add(file.sum(series, at)?).ok_or(PastError::Range)?;
            }
            let state = lock(&past.state);
            if state.same(&files) {
                let fresh = state.fresh.range(key(series, 0)..=key(series, at));
                for (_, amount) in fresh {
                    sum = sum.checked_add(*amount).ok_or(PastError::Range)?;
                }
                return Ok(sum);
            }
            files = state.runs.iter().map(|(_, file)| file.clone()).collect();
        }
    }

    fn before(&self, past: &Past, series: u64, at: u64, most: usize) -> Result<Vec<u64>, PastError> {
        let mut files = self.0.clone();
        loop {
            let mut older = Vec::new();
            for file in files.iter().rev() {
                if older.len() < most {
                    older.extend(file.before(series, at, most - older.len())?);
                }
            }
            let state = lock(&past.state);
            if state.same(&files) {
                let fresh = state.fresh.range(key(series, 0)..key(series, at)).rev();
                let mut found: Vec<u64> = fresh.take(most).map(|(key, _)| file::at_of(key)).collect();
                found.extend(older);
                found.truncate(most);
                return Ok(found);
            }
            files = state.runs.iter().map(|(_, file)| file.clone()).collect();
        }
    }
}

impl Shot {
    fn from(&self, past: &Past, series: u64, at: u64, most: usize) -> Result<Vec<u64>, PastError> {
        let mut files = self.0.clone();
        loop {
            let mut found = Vec::new();
            for file in &files {
                if found.len() < most {
                    found.extend(file.from(series, at, most - found.len())?);
                }
            }
            let state = lock(&past.state);
            if state.same(&files) {
                let fresh = state.fresh.range(key(series, at)..=key(series, u64::MAX));
                found.extend(fresh.map(|(key, _)| file::at_of(key)).take(most));
                found.truncate(most);
                return Ok(found);
            }
            files = state.runs.iter().map(|(_, file)| file.clone()).collect();
        }
    }
}

fn run_path(folder: &Path, file: u64) -> PathBuf {
    folder.join(format!("{file:010}.run"))
}

impl State {
    fn empty() -> Self {
        let (names, runs, fresh) = Default::default();
        Self { names, runs, fresh, frames: 0, hash: [0; 32], next_file: 0 }
    }

    fn load(folder: &Path, view: &View) -> Result<Self, PastError> {
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
        let own = |frame: &FrameView<'_>| Ok(frame.hash());
        let in_log = view.read(list.frames, own).map_err(|_| damaged("it is of another log"))?;
        if accounting::book::hex(&in_log) != list.hash {
            return Err(damaged("it is of another log"));
        }
        let names = Names::read(&folder.join("names"), list.names, &list.names_hash)?;
        let open = |run: Run| RunFile::open(&run_path(folder, run.file), run.records).map(|file| (run, Arc::new(file)));
        let runs = list.runs.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { names, runs, fresh: BTreeMap::new(), frames: list.frames, hash: in_log, next_file: list.next_file })
    }

    /// Writes the list of a moment at which nothing is fresh.
    fn save(&mut self, folder: &Path) -> Result<(), PastError> {
        let (names, names_hash) = self.names.write(&folder.join("names"))?;
        let runs = self.runs.iter().map(|(run, _)| run.clone()).collect();
        let hash = accounting::book::hex(&self.hash);
        let list = List { frames: self.frames, hash, names, names_hash, next_file: self.next_file, runs };
        write_list(folder, &list)
    }

    /// Writes other runs into the list that is there: what they hold is the same.
    fn save_runs(&self, folder: &Path) -> Result<(), PastError> {
        let path = folder.join("list.json");
        let bytes = fs::read(&path).map_err(PastError::io("cannot read", &path))?;
        let json = bytes.get(65..).unwrap_or_default();
        let mut list: List =
            serde_json::from_slice(json).map_err(|error| PastError::damaged(&path, error.to_string()))?;
        list.runs = self.runs.iter().map(|(run, _)| run.clone()).collect();
        list.next_file = self.next_file;
        write_list(folder, &list)
    }

    fn same(&self, files: &[Arc<RunFile>]) -> bool {
        self.runs.len() == files.len() && self.runs.iter().zip(files).all(|((_, now), then)| Arc::ptr_eq(now, then))
    }

    fn four_of_a_level(&self) -> Option<usize> {
        let starts = (0..=self.runs.len().checked_sub(MERGE)?).rev();
        let alike = |first: &usize| {
            let four = &self.runs[*first..*first + MERGE];
            four.iter().all(|(run, _)| run.level == four[0].0.level)
        };
        starts.into_iter().find(alike)
    }

    /// Takes one frame in.
    fn take(&mut self, stream: &SmolStr, frame: &FrameView<'_>) -> Result<(), crate::LedgerError> {
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
