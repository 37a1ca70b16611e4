//! Readers of a stream, and the other site's copy: accepted records only, on disks of its own, folded as they come.

use super::books::Books;
use super::disk::{Disk, Place, Unread};
use super::{LEDGER, STREAMS, Slip, accepts};
use crate::Violation;
use facts::stream::{Input, StreamState};
use schemas::frame::{StreamRecord, decode_record};
use schemas::{FrameView, SchemaIds};

/// Who reads a stream's log: what it has read comes to, and where the accepted frames stand.
pub(super) struct Reader {
    pub state: StreamState,
    pub place: Place,
    pub frames: Vec<Place>,
}

impl Reader {
    pub fn new(stream: usize) -> Self {
        Self { state: StreamState::new(STREAMS[stream]), place: Place::BEGIN, frames: Vec::new() }
    }

    /// Reads to the end of the log.
    pub fn catch_up(&mut self, log: &Disk, ids: &SchemaIds, slip: Option<Slip>) -> Result<(), Unread> {
        loop {
            let before = self.place;
            let Some(record) = log.read(&mut self.place)? else { return Ok(()) };
            if let Some(StreamRecord::Frame(_)) = accepts(&mut self.state, record, ids, slip) {
                self.frames.push(before);
            }
        }
    }

    /// The accepted frames from a sequence on, at most so many, as they stand in the log.
    pub fn records_from(&self, log: &Disk, seq: u64, most: usize) -> Result<Vec<Vec<u8>>, Unread> {
        let from = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        for place in self.frames.iter().skip(from).take(most) {
            records.extend(log.read(&mut place.clone())?.map(<[u8]>::to_vec));
        }
        Ok(records)
    }

    /// The same, looked at.
    pub fn frames_from<'a>(
        &self,
        log: &'a Disk,
        ids: &SchemaIds,
        seq: u64,
        most: usize,
    ) -> Result<Vec<FrameView<'a>>, Unread> {
        let from = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut frames = Vec::new();
        for place in self.frames.iter().skip(from).take(most) {
            frames.extend(log.read(&mut place.clone())?.and_then(|record| frame(record, ids)));
        }
        Ok(frames)
    }
}

/// A record as a frame.
pub(super) fn frame<'a>(record: &'a [u8], ids: &SchemaIds) -> Option<FrameView<'a>> {
    match decode_record(record, ids) {
        Ok(StreamRecord::Frame(frame)) => Some(frame),
        _ => None,
    }
}

/// Where the events that a frame consumed end.
pub(super) fn events_to(frame: &FrameView<'_>) -> Option<u64> {
    frame.header.inputs.iter().find_map(|input| match input {
        Input::Events { to, .. } => Some(*to),
        Input::Stream { .. } => None,
    })
}

/// How records are looked at: schemas, the newest fold version of the program, a mistake.
pub(super) type With<'a> = (&'a SchemaIds, u32, Option<Slip>);

/// What another site holds of both streams.
pub(super) struct Copy {
    pub logs: [Disk; 2],
    pub states: [StreamState; 2],
    /// Where the source is read on.
    pub places: [Place; 2],
    pub books: Books,
}

/// Why a copy does not go on.
pub(super) enum Stuck {
    /// The source cannot be read.
    Source(Unread),
    Broken(Violation),
}

impl Copy {
    pub fn new(logs: [Disk; 2]) -> Self {
        let states = STREAMS.map(StreamState::new);
        Self { logs, states, places: [Place::BEGIN; 2], books: Books::new() }
    }

    /// Fetches some records; what does not count is left behind.
    pub fn fetch(&mut self, stream: usize, log: &Disk, count: usize, with: With<'_>) -> Result<(), Stuck> {
        for _ in 0..count {
            let Some(record) = log.read(&mut self.places[stream]).map_err(Stuck::Source)? else { break };
            if take(&mut self.states[stream], &mut self.books, stream, record, with).map_err(Stuck::Broken)? {
                self.logs[stream].append(vec![record.to_vec()]);
            }
        }
        Ok(())
    }

    /// The next records of the source that count, not taken yet.
    pub fn next(&self, stream: usize, log: &Disk, count: usize, (ids, _, slip): With<'_>) -> Vec<Vec<u8>> {
        let (mut place, mut state) = (self.places[stream], self.states[stream].clone());
        let mut next = Vec::new();
        for _ in 0..count {
            let Ok(Some(record)) = log.read(&mut place) else { break };
            if accepts(&mut state, record, ids, slip).is_some() {
                next.push(record.to_vec());
            }
        }
        next
    }

    /// Puts everything together from its disk, and asks the source from the start.
    pub fn restart(&mut self, stream: usize, with: With<'_>) -> Result<(), Violation> {
        self.states[stream] = StreamState::new(STREAMS[stream]);
        if stream == LEDGER {
            self.books = Books::new();
        }
        self.places[stream] = Place::BEGIN;
        let mut place = Place::BEGIN;
        let unread = |why: Unread| Violation::new("what a start takes, a reader reads", None, format!("{why:?}"));
        while let Some(record) = self.logs[stream].read(&mut place).map_err(unread)? {
            take(&mut self.states[stream], &mut self.books, stream, record, with)?;
        }
        Ok(())
    }

    /// Its disk kept only so many records.
    pub fn fall_back(&mut self, stream: usize, keep: usize, mut disk: Disk, with: With<'_>) -> Result<(), Violation> {
        for record in self.logs[stream].truth.drain(..).take(keep) {
            disk.append(vec![record]);
        }
        self.logs[stream] = disk;
        self.restart(stream, with)
    }
}

/// Looks at one record; true where it counts, and then it is folded.
fn take(
    state: &mut StreamState,
    books: &mut Books,
    stream: usize,
    record: &[u8],
    (ids, newest, slip): With<'_>,
) -> Result<bool, Violation> {
    let Some(read) = accepts(state, record, ids, slip) else { return Ok(false) };
    if let (LEDGER, StreamRecord::Frame(frame)) = (stream, &read) {
        let folded = books.fold(frame, newest);
        folded.map_err(|why| Violation::new("every accepted frame can be folded elsewhere", None, why))?;
    }
    Ok(true)
}
