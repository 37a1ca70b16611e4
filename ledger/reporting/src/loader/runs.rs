//! When the streams of runs are loaded: one run after the other, in the order in which they were booked, and no call of
//! a rater beyond what the run was made from before all of the run that is booked is there. So the engine is, at every
//! cut of the ledger, what the ledger is there: a run's revision counts here if and only if the ledger booked it.

use super::{Frames, LoadError, Loader, Stream};
use facts::stream::STREAM_START;
use facts::xdr::Position;

/// A run that is posted or being posted.
#[derive(Clone, Debug)]
pub struct PostedRun {
    pub stream: String,
    /// What it was made from: streams, and up to where.
    pub inputs: Vec<(String, Position)>,
    /// All of it is booked.
    pub done: bool,
}

/// Where a loader learns of runs.
pub trait RunStreams: Send {
    /// In the order of their posts; `None` while the ledger has booked one that is not known here yet.
    fn posted(&self) -> Option<Vec<PostedRun>>;
    fn frames(&self, stream: &str) -> Box<dyn Frames>;
}

impl Loader {
    /// From now on the streams of runs are loaded too.
    pub fn follow(&mut self, runs: Box<dyn RunStreams>) {
        self.runs = Some(runs);
    }

    /// Up to where each stream may be loaded now; `None`: nothing new.
    pub(super) fn limits(
        &mut self,
        ask: &dyn Fn(&str) -> Option<Position>,
    ) -> Result<Vec<Option<Position>>, LoadError> {
        self.look_at_books()?;
        let booked = |stream: &str| self.booked_by(ask, stream);
        // Raters first: what is booked of a run by the time they are asked is then seen below.
        let mut limits: Vec<_> = self.streams.iter().map(|s| if s.run { None } else { booked(&s.name) }).collect();
        let Some(runs) = &self.runs else { return Ok(limits) };
        let Some(posted) = runs.posted() else { return Ok(vec![None; limits.len()]) };
        let new: Vec<_> = posted.iter().filter(|run| self.streams.iter().all(|s| s.name != run.stream)).collect();
        let new: Vec<_> = new.into_iter().map(|run| (run.stream.clone(), runs.frames(&run.stream))).collect();
        for (stream, frames) in new {
            self.add_stream(&stream, frames, true)?;
            limits.push(None);
        }
        let booked = |stream: &str| self.booked_by(ask, stream);
        for run in &posted {
            let Some(at) = self.streams.iter().position(|s| s.name == run.stream) else { continue };
            let (limit, loaded) = (booked(&run.stream).unwrap_or(STREAM_START), self.streams[at].file.note.loaded);
            let pending = self.streams[at].file.note.pending.is_some();
            if run.done && !pending && loaded >= limit {
                continue;
            }
            if pending || loaded < limit {
                limits[at] = self.of_run(run, limit);
                let ledger = self.books.as_ref().map(|books| books.stream());
                let raters = |stream: &Stream| !stream.run && Some(&stream.name) != ledger.as_ref();
                for (stream, limit) in self.streams.iter().zip(&mut limits).filter(|(stream, _)| raters(stream)) {
                    let made_from = run.inputs.iter().find(|(name, _)| *name == stream.name).map(|(_, to)| *to);
                    *limit = if pending { None } else { (*limit).min(made_from.or(Some(STREAM_START))) };
                }
            }
            break;
        }
        Ok(limits)
    }

    /// A run waits for what it was made from, and for ranges that are on their way: those are to find the same rows
    /// when they are sent again.
    fn of_run(&self, run: &PostedRun, limit: Position) -> Option<Position> {
        let ledger = self.books.as_ref().map(|books| books.stream());
        let others = || self.streams.iter().filter(|stream| !stream.run && Some(&stream.name) != ledger.as_ref());
        let on_the_way = others().any(|stream| stream.file.note.pending.is_some() || !stream.held.is_empty());
        let loaded = |name: &str, to: Position| {
            let find = |stream: &&Stream| stream.name == name;
            self.streams.iter().find(find).is_none_or(|stream| stream.file.note.loaded >= to)
        };
        let there = run.inputs.iter().all(|(name, to)| loaded(name, *to));
        (there && !on_the_way).then_some(limit)
    }
}
