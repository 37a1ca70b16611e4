//! Merging: four neighbouring files of a level become one of the next, in turns of so many records, so that new frames and
//! questions never wait for files of the whole past. Files under way are in no list; a death leaves them to be removed.

use super::file::{Merged, PastError, RunFile, RunWriter};
use super::state::{Run, State, run_path};
use super::{Past, lock};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Neighbouring files of one level that become one of the next.
const MERGE: usize = 4;

/// A merge under way.
pub(super) struct Ongoing {
    /// Of the files that become one.
    level: u32,
    files: Vec<Arc<RunFile>>,
    merged: Merged,
    writer: RunWriter,
    /// Number of the new file.
    file: u64,
}

impl Ongoing {
    fn begin(folder: &Path, level: u32, files: Vec<Arc<RunFile>>, file: u64) -> Result<Self, PastError> {
        let (merged, writer) = (Merged::new(&files)?, RunWriter::new(&run_path(folder, file))?);
        Ok(Self { level, files, merged, writer, file })
    }

    /// Merges on; true: all of it is written.
    fn step(&mut self, budget: &mut u64) -> Result<bool, PastError> {
        while *budget > 0 {
            let Some((key, amount)) = self.merged.next()? else { return Ok(true) };
            self.writer.push(key, amount)?;
            *budget -= 1;
        }
        Ok(false)
    }
}

/// The oldest four neighbours of a level of which nothing is merged yet.
fn four_of_a_level(state: &State, under_way: &[Ongoing]) -> Option<usize> {
    (0..(state.runs.len() + 1).saturating_sub(MERGE)).find(|first| {
        let level = state.runs[*first].0.level;
        let alike = state.runs[*first..*first + MERGE].iter().all(|(run, _)| run.level == level);
        alike && under_way.iter().all(|ongoing| ongoing.level != level)
    })
}

impl Past {
    /// Merges so many records at most, those of the smallest files first; true: there is more to merge. Does nothing where
    /// another thread merges.
    pub(super) fn merge(&self, mut budget: u64) -> Result<bool, PastError> {
        let Ok(mut under_way) = self.merging.try_lock() else { return Ok(false) };
        loop {
            while let Some(ongoing) = self.begin_merge(&under_way)? {
                under_way.push(ongoing);
            }
            let smallest = (0..under_way.len()).min_by_key(|at| under_way[*at].level);
            let Some(at) = smallest else { return Ok(false) };
            match under_way[at].step(&mut budget) {
                Ok(false) => return Ok(true),
                Ok(true) => self.end_merge(under_way.swap_remove(at))?,
                Err(error) => {
                    let broken = under_way.swap_remove(at);
                    let _ = fs::remove_file(run_path(&self.folder, broken.file));
                    return Err(error);
                }
            }
        }
    }

    fn begin_merge(&self, under_way: &[Ongoing]) -> Result<Option<Ongoing>, PastError> {
        let (level, files, file) = {
            let mut state = lock(&self.state);
            let Some(first) = four_of_a_level(&state, under_way) else { return Ok(None) };
            let chosen = &state.runs[first..first + MERGE];
            let level = chosen[0].0.level;
            let files: Vec<Arc<RunFile>> = chosen.iter().map(|(_, file)| file.clone()).collect();
            state.next_file += 1;
            (level, files, state.next_file - 1)
        };
        Ongoing::begin(&self.folder, level, files, file).map(Some)
    }

    /// Puts the new file in the place of those it has.
    fn end_merge(&self, ongoing: Ongoing) -> Result<(), PastError> {
        let Ongoing { level, files, writer, file, .. } = ongoing;
        let merged = writer.finish()?;
        {
            let mut state = lock(&self.state);
            let first = state.runs.iter().position(|(_, now)| Arc::ptr_eq(now, &files[0]));
            let Some(first) = first else {
                // Thrown away meanwhile.
                let _ = fs::remove_file(&merged.path);
                return Ok(());
            };
            let run = Run { file, level: level + 1, records: merged.records };
            let before: Vec<_> = state.runs.splice(first..first + MERGE, [(run, Arc::new(merged))]).collect();
            // What is fresh is in no file: the list goes on saying how many frames are.
            if let Err(error) = state.save_runs(&self.folder) {
                state.runs.splice(first..=first, before);
                return Err(error);
            }
        }
        for old in files {
            let _ = fs::remove_file(&old.path);
        }
        Ok(())
    }
}
