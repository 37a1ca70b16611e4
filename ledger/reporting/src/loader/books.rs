//! What the site's ledger said of rated calls that another site charged too (design 8.8): a call whose charge it took back
//! has its rows taken back here, at the place of the reversal; a revision that it refused since the other site's charge
//! counts has no rows. So a call counts once over all sites. Needed where there are peers only. It reads the ledger and
//! books nothing.

use super::{FrameCalls, Frames, FramesError, Loader};
use bus::Bus;
use bus::stream::{StreamError, StreamReader};
use facts::CallId;
use facts::entry::{EntryKind, LedgerItem};
use facts::ids::OriginId;
use facts::stream::{Consumed, Input, STREAM_START, StreamState};
use facts::xdr::{Position, RatedCall};
use schemas::{FrameView, SchemaIds};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The ledger's word for a charge that is not booked since another site's counts; `accounting::post` has the same.
pub const CHARGED_ELSEWHERE: &str = "charged_elsewhere";
/// Beyond every frame: of a stream that is not followed nothing can be missing.
const LAST: Position = Position { seq: u64::MAX, index: 0 };
/// Ledger frames read ahead of what is loaded.
const AHEAD_MAX: usize = 10_000;

/// The ledger of one site as a loader follows it.
#[derive(Clone)]
pub struct Books(Arc<Mutex<Inner>>);

struct Inner {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    stream: String,
    reader: Option<StreamReader>,
    /// Frames read whose rated calls are not all loaded yet, then those that may be given out.
    ahead: VecDeque<Ahead>,
    cleared: VecDeque<Ahead>,
    /// Revisions that were refused, each with its frame; kept until that frame's calls are loaded.
    refused: HashMap<OriginId, u64>,
    /// Behind the last frame given out.
    place: Option<Place>,
    /// Behind the last frame that may be given out.
    cleared_to: Option<Position>,
    /// Where to begin is known; before that nothing is read.
    sought: bool,
    from_seq: u64,
}

/// What matters of a ledger frame.
struct Ahead {
    seq: u64,
    /// How far it consumed streams of rated calls.
    consumed: Vec<(String, Position)>,
    /// Calls whose charge was taken back, each at its first reversal here.
    gone: Vec<(u32, CallId)>,
    place: Place,
}

/// Enough to go on reading behind a frame.
#[derive(Clone, Serialize, Deserialize)]
struct Place {
    offset: u64,
    state: StreamState,
}

impl Books {
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, site: &str) -> Self {
        let (reader, ahead, cleared, refused, place, cleared_to) = Default::default();
        let stream = format!("ledger.{site}");
        Self(Arc::new(Mutex::new(Inner {
            bus,
            ids,
            stream,
            reader,
            ahead,
            cleared,
            refused,
            place,
            cleared_to,
            sought: false,
            from_seq: 0,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name of the ledger's stream.
    #[must_use]
    pub fn stream(&self) -> String {
        self.inner().stream.clone()
    }

    /// Up to where the ledger has booked a stream, by the frames read here; `None`: it has not been read yet.
    pub(super) fn booked(&self, stream: &str) -> Option<Position> {
        let inner = self.inner();
        Some(inner.reader.as_ref()?.state().next_position(stream))
    }

    /// Reads on, and clears the frames of which `loaded` says that all they consumed is in the engine.
    pub(super) fn look(&self, loaded: impl Fn(&str) -> Position) -> Result<(), FramesError> {
        let mut inner = self.inner();
        if !inner.sought {
            return Ok(());
        }
        inner.read()?;
        while inner.ahead.front().is_some_and(|one| one.consumed.iter().all(|(of, to)| loaded(of) >= *to)) {
            let Some(cleared) = inner.ahead.pop_front() else { break };
            inner.cleared_to = Some(Position { seq: cleared.seq + 1, index: 0 });
            inner.cleared.push_back(cleared);
        }
        Ok(())
    }

    /// Up to where the ledger's own stream may be loaded: what its frames say is said of loaded calls.
    pub(super) fn cleared(&self) -> Option<Position> {
        self.inner().cleared_to
    }

    /// A stream that is loaded less far than the frames given out had consumed it: it is loaded anew, and what was
    /// refused of it is not known here any more.
    fn lost(&self, loaded: impl Fn(&str) -> Position) -> bool {
        let inner = self.inner();
        let consumed = inner.place.iter().flat_map(|place| place.state.consumed());
        let streams = consumed.filter_map(|one| match one {
            Consumed::Stream { stream, next } if stream.starts_with("xdrs.") => Some((stream, *next)),
            _ => None,
        });
        streams.into_iter().any(|(stream, next)| loaded(stream) < next)
    }

    /// Places of calls in these frames that the ledger refused.
    pub(super) fn refused(&self, frames: &[FrameCalls]) -> HashSet<(u64, u32)> {
        let inner = self.inner();
        if inner.refused.is_empty() {
            return HashSet::new();
        }
        let lost = |rated: &RatedCall| rated.xdrs.iter().any(|x| inner.refused.contains_key(&OriginId(x.rev_id.0)));
        let calls =
            frames.iter().flat_map(|frame| frame.calls.iter().map(move |(index, call)| (frame.seq, *index, call)));
        calls.filter(|(_, _, call)| lost(call)).map(|(seq, index, _)| (seq, index)).collect()
    }
}

impl Inner {
    fn forget(&mut self) {
        (self.reader, self.place, self.cleared_to, self.sought) = (None, None, None, false);
        self.ahead.clear();
        self.cleared.clear();
        self.refused.clear();
    }

    fn give(&mut self, next: Ahead, into: &mut FrameCalls) {
        *into = FrameCalls { seq: next.seq, gone: next.gone, ..FrameCalls::default() };
        self.refused.retain(|_, seq| *seq > next.seq);
        self.place = Some(next.place);
    }

    fn read(&mut self) -> Result<(), FramesError> {
        if self.reader.is_none() {
            if self.bus.partitions(&self.stream).map_err(|e| FramesError(e.to_string()))?.is_none() {
                return Ok(());
            }
            let opened = match self.place.clone() {
                Some(place) => StreamReader::resume(&*self.bus, &self.ids, place.state, place.offset),
                None => StreamReader::open(&*self.bus, &self.ids, &self.stream),
            };
            self.reader = Some(opened.map_err(|e| FramesError(e.to_string()))?);
        }
        let Some(reader) = &mut self.reader else { return Ok(()) };
        while self.ahead.len() < AHEAD_MAX {
            let (ahead, refused, from_seq) = (&mut self.ahead, &mut self.refused, self.from_seq);
            let read = reader.poll::<ReadError>(Duration::ZERO, &mut |accepted| {
                let place = Place { offset: accepted.offset + 1, state: accepted.state.clone() };
                let one = said(accepted.frame, place, refused)?;
                if one.seq >= from_seq {
                    ahead.push_back(one);
                }
                Ok(())
            });
            if read.map_err(|error| FramesError(error.0))? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// What a frame says of calls at two sites.
fn said(
    frame: &FrameView<'_>,
    place: Place,
    refused: &mut HashMap<OriginId, u64>,
) -> Result<Ahead, schemas::DecodeError> {
    let seq = frame.header.seq;
    schemas::ledger::expect_items(frame)?;
    let mut gone: Vec<(u32, CallId)> = Vec::new();
    for (number, index) in (0..).zip(0..frame.len()) {
        match schemas::ledger::item(frame, index)? {
            LedgerItem::Entry(entry) if entry.kind == EntryKind::Reversal => {
                let call = entry.call_id.filter(|call| gone.iter().all(|(_, known)| known != call));
                gone.extend(call.map(|call| (number, call)));
            }
            LedgerItem::Refused { origin_id, reason, .. } if reason == CHARGED_ELSEWHERE => {
                refused.insert(origin_id, seq);
            }
            _ => {}
        }
    }
    let consumed = frame.header.inputs.iter().filter_map(|input| match input {
        Input::Stream { stream, to, .. } if stream.starts_with("xdrs.") => Some((stream.to_string(), *to)),
        _ => None,
    });
    Ok(Ahead { seq, consumed: consumed.collect(), gone, place })
}

/// Why the ledger cannot be read on.
struct ReadError(String);

impl From<StreamError> for ReadError {
    fn from(error: StreamError) -> Self {
        Self(error.to_string())
    }
}

impl From<schemas::DecodeError> for ReadError {
    fn from(error: schemas::DecodeError) -> Self {
        Self(error.to_string())
    }
}

impl Frames for Books {
    /// Only frames of which everything consumed is in the engine: what was given out beyond that would look as if a stream
    /// of rated calls had been lost.
    fn next(&mut self, into: &mut FrameCalls, _timeout: Duration) -> Result<bool, FramesError> {
        let mut inner = self.inner();
        let Some(next) = inner.cleared.pop_front() else { return Ok(false) };
        inner.give(next, into);
        Ok(true)
    }

    fn next_noted(&mut self, into: &mut FrameCalls, _timeout: Duration) -> Result<bool, FramesError> {
        let mut inner = self.inner();
        if inner.cleared.is_empty() && inner.ahead.is_empty() {
            inner.read()?;
        }
        let next = inner.cleared.pop_front().or_else(|| inner.ahead.pop_front());
        let Some(next) = next else { return Ok(false) };
        inner.give(next, into);
        Ok(true)
    }

    fn seek(&mut self, mark: Option<&str>, seq: u64) -> Result<(), FramesError> {
        let mut inner = self.inner();
        inner.forget();
        (inner.from_seq, inner.sought) = (seq, true);
        let read = mark.and_then(|text| serde_json::from_str::<Place>(text).ok());
        inner.place = read.filter(|place| place.state.seq() < seq && place.state.stream() == inner.stream.as_str());
        inner.read()
    }

    fn mark(&self) -> Option<String> {
        self.inner().place.as_ref().and_then(|place| serde_json::to_string(place).ok())
    }
}

impl Loader {
    /// From now on the site's ledger is followed too: calls that it gave up to another site count there.
    pub fn follow_books(&mut self, books: Books) -> Result<(), super::LoadError> {
        self.add(&books.stream(), Box::new(books.clone()))?;
        self.books = Some(books);
        Ok(())
    }

    /// Up to where a stream is booked; with the ledger followed, by the frames that were read of it, so that what it
    /// refused is known.
    pub(super) fn booked_by(&self, booked: &dyn Fn(&str) -> Option<Position>, stream: &str) -> Option<Position> {
        match &self.books {
            None => booked(stream),
            Some(books) if stream == books.stream() => books.cleared(),
            Some(books) => books.booked(stream),
        }
    }

    /// Reads the ledger on.
    pub(super) fn look_at_books(&mut self) -> Result<(), super::LoadError> {
        let Some(books) = self.books.clone() else { return Ok(()) };
        let loaded = |name: &str| {
            let stream = self.streams.iter().find(|stream| stream.name == name);
            // A run that is not followed yet is loaded up to nowhere, and one that this loader never sees is waited for.
            stream.map_or(STREAM_START, |stream| stream.file.note.loaded)
        };
        if books.lost(|name| self.streams.iter().find(|s| s.name == name).map_or(LAST, |s| s.file.note.loaded)) {
            // Until it has been sought from its start nothing of it counts as booked.
            books.inner().forget();
            return self.reload(&books.stream());
        }
        books.look(loaded).map_err(|error| super::named(&books.stream(), error))
    }
}
