//! Rows of a range in which calls are said again: the new revision's, and those of the one that held before, taken
//! back at the place of the new one. What held before follows from pointers that stand on the rows themselves, never
//! from the order of loading: a range sent again, a stream loaded anew, comes to the same rows. It books nothing: which
//! revision of a run counts was the ledger's decision, and comes out the same here because a run's revision counts only
//! where nothing has replaced what it was made from.

use super::{FrameCalls, LoadError, send};
use crate::engine::Session;
use crate::rows::{self, AttemptRow, LevelRow, Origin};
use facts::CallId;
use facts::xdr::{Position, Revision};
use std::collections::{HashMap, HashSet};

/// The streams of one range.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    pub site: &'a str,
    pub stream: &'a str,
    /// Where the range begins; what stands there or later in the stream is left from an earlier try.
    pub from: Position,
}

/// A revision's place.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    pub stream: String,
    pub at: Position,
}

/// Everything that is known of the revisions of a call.
#[derive(Default)]
pub(super) struct History {
    /// Rows (sign +1) of each revision.
    pub revisions: HashMap<Place, (Vec<AttemptRow<'static>>, Vec<LevelRow<'static>>)>,
    /// Revision, and the one that replaced it.
    pub replaced: HashMap<Place, Place>,
}

impl History {
    /// The revision that holds, beginning at one that holds or held.
    fn newest(&self, from: Place) -> Place {
        let mut newest = from;
        // A chain is as long as there are revisions; the bound only keeps damage from going round for ever.
        for _ in 0..=self.replaced.len() {
            match self.replaced.get(&newest) {
                Some(next) => newest = next.clone(),
                None => break,
            }
        }
        newest
    }

    /// Takes `base` back at `at`; false where there are no rows of it.
    fn take_back(
        &mut self,
        base: Place,
        at: &Place,
        attempts: &mut Vec<AttemptRow<'_>>,
        levels: &mut Vec<LevelRow<'_>>,
    ) -> bool {
        let Some((old_attempts, old_levels)) = self.revisions.get(&base) else { return false };
        attempts.extend(old_attempts.iter().map(|row| row.reversed(&at.stream, at.at)));
        levels.extend(old_levels.iter().map(|row| row.reversed(&at.stream, at.at)));
        self.replaced.insert(base, at.clone());
        true
    }
}

impl History {
    /// Takes back all that holds of the call, in the order of its places.
    fn give_up(&mut self, at: &Place, attempts: &mut Vec<AttemptRow<'_>>, levels: &mut Vec<LevelRow<'_>>) {
        let held = self.revisions.keys().filter(|place| !self.replaced.contains_key(*place));
        let mut held: Vec<Place> = held.cloned().collect();
        held.sort_by(|a, b| (&a.stream, a.at).cmp(&(&b.stream, b.at)));
        for place in held {
            self.take_back(place, at, attempts, levels);
        }
    }
}

/// All rows of the range.
pub(super) async fn rows_of<'a>(
    session: &mut Session,
    here: Here<'a>,
    frames: &'a [FrameCalls],
    refused: &HashSet<(u64, u32)>,
) -> Result<(Vec<AttemptRow<'a>>, Vec<LevelRow<'a>>), LoadError> {
    let (mut attempts, mut levels) = (Vec::new(), Vec::new());
    let mut histories = histories(session, here, frames).await?;
    for frame in frames {
        for (index, call) in &frame.gone {
            let this = Place { stream: here.stream.to_owned(), at: Position { seq: frame.seq, index: *index } };
            if let Some(history) = histories.get_mut(call) {
                history.give_up(&this, &mut attempts, &mut levels);
            }
        }
        for (index, rated) in frame.calls.iter().filter(|(index, _)| !refused.contains(&(frame.seq, *index))) {
            let at = Position { seq: frame.seq, index: *index };
            let origin = Origin { site: here.site, stream: here.stream, at };
            let Some(history) = histories.get_mut(&rated.call.call_id) else {
                rows::append(origin, rated, &mut attempts, &mut levels);
                continue;
            };
            let place = |stream: &str, at| Place { stream: stream.to_owned(), at };
            let this = place(here.stream, at);
            let base = match rated.revision {
                Revision::First => None,
                Revision::Late { based_on, .. } => Some(history.newest(place(here.stream, based_on))),
                Revision::Run { based_on, .. } => {
                    let base = place(&frame.base, based_on);
                    if history.replaced.contains_key(&base) {
                        continue; // The ledger has refused it.
                    }
                    Some(base)
                }
            };
            if let Some(base) = base {
                let (stream, based_on) = (base.stream.clone(), base.at);
                if !history.take_back(base, &this, &mut attempts, &mut levels) {
                    let (at_stream, base_stream) = (here.stream.to_owned(), stream);
                    return Err(LoadError::BaseMissing { stream: at_stream, at, base_stream, based_on });
                }
            }
            let (first_attempt, first_level) = (attempts.len(), levels.len());
            rows::append(origin, rated, &mut attempts, &mut levels);
            let own_attempts = attempts[first_attempt..].iter().map(AttemptRow::owned).collect();
            let own_levels = levels[first_level..].iter().map(LevelRow::owned).collect();
            history.revisions.insert(this, (own_attempts, own_levels));
        }
    }
    Ok((attempts, levels))
}

/// What the engine has of the calls that the range says again.
async fn histories(
    session: &mut Session,
    here: Here<'_>,
    frames: &[FrameCalls],
) -> Result<HashMap<CallId, History>, LoadError> {
    let mut histories: HashMap<CallId, History> = HashMap::new();
    let mut runs: Vec<(i64, CallId)> = Vec::new();
    let mut late: Vec<(i64, CallId)> = Vec::new();
    for (_, rated) in frames.iter().flat_map(|frame| &frame.calls) {
        let of = match rated.revision {
            Revision::First => continue,
            Revision::Late { .. } => &mut late,
            Revision::Run { .. } => &mut runs,
        };
        if histories.insert(rated.call.call_id, History::default()).is_none() {
            of.push((rows::stored_instant(rated.call.started_at.micros()), rated.call.call_id));
        }
    }
    for (_, call) in frames.iter().flat_map(|frame| &frame.gone) {
        if histories.insert(*call, History::default()).is_none() {
            late.push((0, *call));
        }
    }
    // A run keeps the start of its calls, so that it bounds where their rows are; late truth may bring another.
    runs.sort_unstable();
    for (calls, bounded) in [(&late, false), (&runs, true)] {
        for calls in calls.chunks(send::CALLS) {
            let bounds = calls.first().zip(calls.last()).filter(|_| bounded).map(|(a, b)| (a.0, b.0));
            send::histories(session, here, calls, bounds, &mut histories).await?;
        }
    }
    Ok(histories)
}
