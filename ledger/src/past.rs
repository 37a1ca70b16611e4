//! An index over the past of accounts: what one owed at any booked or occurred time, with what running balance, and where
//! its entries stand, at a cost that does not grow with the log. Sums of the ledger's own entries in sorted files of
//! ours, below `DATA/past/STREAM`: a cache that may be deleted. It never decides; whoever finds it damaged reads the log.

mod file;
mod merge;
mod names;
mod page;
mod state;
#[cfg(test)]
mod tests;

pub use file::PastError;

use bus::Bus;
use facts::xdr::Position;
use facts::{Amount, BookedAt, Currency, OccurredAt};
use file::{RunFile, RunWriter, key};
use merge::Ongoing;
use schemas::SchemaIds;
use state::{FRAMES, Run, State, by_place, by_time, pack, run_path, sortable, unpack};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::frames::walk;
use crate::view::View;

/// Records kept in memory before they become a file: some 15 MB.
const FLUSH: usize = 1 << 17;
/// Records that one turn merges: a fraction of a second, whatever the size of the files.
const STEP: u64 = 1 << 21;
/// Files at which even a question does a turn of merging.
const FILES_MAX: usize = 48;
/// So many times as many records wait for whoever follows the ledger before a question writes them.
const UNFOLLOWED: usize = 2;
/// Frames of one turn; between two turns others get their share.
const TURN: u64 = 64;
/// The index of one ledger stream. Questions and building go on beside each other.
pub struct Past {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    view: Arc<View>,
    folder: PathBuf,
    state: Mutex<State>,
    building: Mutex<()>,
    /// Merges under way, at most one of a level.
    merging: Mutex<Vec<Ongoing>>,
    flush: usize,
    turn_frames: u64,
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
            merging: Mutex::default(),
            flush,
            turn_frames: TURN,
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
        let (_building, mut merging) = (lock(&self.building), lock(&self.merging));
        merging.clear();
        *lock(&self.state) = State::empty();
        let _ = fs::remove_file(self.folder.join("list.json"));
        self.sweep();
    }

    /// Takes in every durable frame. Who has much to take in merges as it goes; who finds a few new frames leaves merging
    /// and writing to whoever follows the ledger, so that no question waits for files.
    pub fn catch_up(&self) -> Result<(), PastError> {
        let mut much = false;
        loop {
            let more = self.turn(if much { self.flush } else { self.flush * UNFOLLOWED })?;
            much |= more;
            if much {
                self.merge(u64::MAX)?;
            } else if lock(&self.state).runs.len() > FILES_MAX {
                self.merge(STEP)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes in some frames, and writes what is fresh where it is so many records; true: there are more frames.
    fn turn(&self, flush: usize) -> Result<bool, PastError> {
        let (more, full) = {
            let _one = lock(&self.building);
            let (next, last) = (lock(&self.state).frames + 1, self.view.progress().state.seq());
            if next > last {
                return Ok(false);
            }
            let until = last.min(next + self.turn_frames - 1);
            walk((&*self.bus, &self.ids, &self.view), next, until, &mut |frame| {
                lock(&self.state).take(self.view.stream(), frame)
            })?;
            (until < last, lock(&self.state).fresh.len() >= flush)
        };
        if full {
            self.write_fresh()?;
        }
        Ok(more)
    }

    /// Follows the ledger until told to stop, and merges: rests as long as it works where there is more to do.
    pub fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let mut more = false;
            match self.turn(self.flush).and_then(|left| Ok(self.merge(STEP)? || left)) {
                Err(error @ (PastError::Damaged { .. } | PastError::Range)) => self.forget(&error),
                Err(error) => tracing::warn!(%error, "the index over the past waits"),
                Ok(left) => more = left,
            }
            let rest = if more { begun.elapsed().min(Duration::from_secs(1)) } else { Duration::from_secs(1) };
            let until = Instant::now() + rest;
            while !stop.load(Ordering::Relaxed) && Instant::now() < until {
                std::thread::sleep(rest.min(Duration::from_millis(50)));
            }
        }
    }

    /// Writes what is fresh to a file; questions and new frames go on meanwhile. Does nothing where another thread does it.
    fn write_fresh(&self) -> Result<(), PastError> {
        let (writing, file, frames, hash) = {
            let mut state = lock(&self.state);
            if !state.writing.is_empty() {
                return Ok(());
            }
            state.writing = Arc::new(std::mem::take(&mut state.fresh));
            state.next_file += 1;
            (state.writing.clone(), state.next_file - 1, state.frames, state.hash)
        };
        let path = run_path(&self.folder, file);
        let written = RunWriter::new(&path).and_then(|mut writer| {
            writing.iter().try_for_each(|(key, amount)| writer.push(*key, *amount))?;
            writer.finish()
        });
        let mut state = lock(&self.state);
        if !Arc::ptr_eq(&state.writing, &writing) {
            // Thrown away meanwhile.
            let _ = fs::remove_file(&path);
            return Ok(());
        }
        state.writing = Arc::default();
        let listed = written.and_then(|run| {
            state.runs.push((Run { file, level: 0, records: run.records }, Arc::new(run)));
            // Listed or not there: a run that is there and not listed would count twice after a restart.
            state.save(&self.folder, frames, &hash).inspect_err(|_| drop(state.runs.pop()))
        });
        if let Err(error) = listed {
            let _ = fs::remove_file(&path);
            state.put_back(&writing)?;
            return Err(error);
        }
        Ok(())
    }

    /// Runs a question; one that finds damage forgets the index, so that the next one finds it made anew.
    fn asked<T>(&self, ask: impl Fn() -> Result<T, PastError>) -> Result<T, PastError> {
        self.catch_up().and_then(|()| ask()).inspect_err(|error| {
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
        (
            state.runs.len(),
            state.runs.iter().map(|(run, _)| run.records).sum::<u64>()
                + (state.writing.len() + state.fresh.len()) as u64,
        )
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
                for (_, amount) in state.unwritten(key(series, 0)..=key(series, at)) {
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
                let Some(below) = at.checked_sub(1) else { return Ok(older) };
                let fresh = state.unwritten(key(series, 0)..=key(series, below)).rev();
                let mut found: Vec<u64> = fresh.take(most).map(|(key, _)| file::at_of(*key)).collect();
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
                let fresh = state.unwritten(key(series, at)..=key(series, u64::MAX));
                found.extend(fresh.map(|(key, _)| file::at_of(*key)).take(most));
                found.truncate(most);
                return Ok(found);
            }
            files = state.runs.iter().map(|(_, file)| file.clone()).collect();
        }
    }
}
