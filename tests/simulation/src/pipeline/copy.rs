//! Readers of a stream, and the other site's copy: accepted records only, folded as they come.

use super::books::Books;
use super::{LEDGER, STREAMS, Slip, accepts};
use crate::Violation;
use facts::stream::{Input, StreamState};
use schemas::frame::{StreamRecord, decode_record};
use schemas::{FrameView, SchemaIds};

/// Who reads a stream's log: what it has read comes to, and where the accepted frames stand.
pub(super) struct Reader {
    pub state: StreamState,
    pub read: usize,
    pub frames: Vec<usize>,
}

impl Reader {
    pub fn new(stream: usize) -> Self {
        Self { state: StreamState::new(STREAMS[stream]), read: 0, frames: Vec::new() }
    }

    /// Reads to the end of the log; true for each record that counts.
    pub fn catch_up(&mut self, log: &[Vec<u8>], ids: &SchemaIds, slip: Option<Slip>) {
        while let Some(record) = log.get(self.read) {
            if let Some(StreamRecord::Frame(_)) = accepts(&mut self.state, record, ids, slip) {
                self.frames.push(self.read);
            }
            self.read += 1;
        }
    }

    /// The accepted frames from a sequence on, at most so many.
    pub fn frames_from<'a>(&self, log: &'a [Vec<u8>], ids: &SchemaIds, seq: u64, most: usize) -> Vec<FrameView<'a>> {
        let from = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        let places = self.frames.iter().skip(from).take(most);
        places.filter_map(|place| frame(log.get(*place)?, ids)).collect()
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

/// What another site holds of both streams.
pub(super) struct Copy {
    pub logs: [Vec<Vec<u8>>; 2],
    pub states: [StreamState; 2],
    /// Records of the source that were looked at.
    pub read: [usize; 2],
    pub books: Books,
}

impl Copy {
    pub fn new() -> Self {
        let states = STREAMS.map(StreamState::new);
        Self { logs: Default::default(), states, read: [0; 2], books: Books::new() }
    }

    /// Fetches some records; what does not count is left behind.
    pub fn fetch(
        &mut self,
        stream: usize,
        log: &[Vec<u8>],
        count: usize,
        (ids, newest, slip): (&SchemaIds, u32, Option<Slip>),
    ) -> Result<(), Violation> {
        let end = log.len().min(self.read[stream] + count);
        for record in log.get(self.read[stream]..end).unwrap_or_default() {
            let Some(read) = accepts(&mut self.states[stream], record, ids, slip) else { continue };
            if let (LEDGER, StreamRecord::Frame(frame)) = (stream, &read) {
                let folded = self.books.fold(frame, newest);
                folded.map_err(|why| Violation::new("every accepted frame can be folded elsewhere", None, why))?;
            }
            self.logs[stream].push(record.clone());
        }
        self.read[stream] = end;
        Ok(())
    }

    /// Its disk kept only so much; everything is put together from that, and asked for again from the start.
    pub fn fall_back(
        &mut self,
        stream: usize,
        keep: usize,
        with: (&SchemaIds, u32, Option<Slip>),
    ) -> Result<(), Violation> {
        let mut kept = std::mem::take(&mut self.logs[stream]);
        kept.truncate(keep);
        self.states[stream] = StreamState::new(STREAMS[stream]);
        if stream == LEDGER {
            self.books = Books::new();
        }
        self.read[stream] = 0;
        self.fetch(stream, &kept, usize::MAX, with)?;
        self.read[stream] = 0;
        Ok(())
    }
}
