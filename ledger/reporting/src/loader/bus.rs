//! [`Frames`] over a stream of the bus: accepted frames only, by the stream layer's rule.

use super::{FrameCalls, Frames, FramesError};
use bus::Bus;
use bus::stream::{StreamError, StreamReader};
use facts::stream::{Input, StreamState};
use facts::xdr::XdrItem;
use schemas::{FrameView, SchemaIds, xdrs};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Reads one `xdrs` stream for the loader. A topic that is not there yet is an empty stream.
pub struct BusFrames {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    stream: String,
    reader: Option<StreamReader>,
    /// Decoded frames of one poll, a few megabytes at most.
    queue: VecDeque<Queued>,
    /// Behind the last frame given out.
    place: Option<Place>,
    from_seq: u64,
}

struct Queued {
    calls: FrameCalls,
    place: Place,
}

/// The fold of a stream up to an offset: enough to go on reading there.
#[derive(Serialize, Deserialize)]
struct Place {
    offset: u64,
    state: StreamState,
}

impl BusFrames {
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, stream: &str) -> Self {
        Self { bus, ids, stream: stream.to_owned(), reader: None, queue: VecDeque::new(), place: None, from_seq: 0 }
    }

    fn fill(&mut self, timeout: Duration) -> Result<(), FramesError> {
        if self.reader.is_none() {
            if self.bus.partitions(&self.stream).map_err(shown)?.is_none() {
                return Ok(());
            }
            let opened = match self.place.take() {
                Some(place) => StreamReader::resume(&*self.bus, &self.ids, place.state, place.offset),
                None => StreamReader::open(&*self.bus, &self.ids, &self.stream),
            };
            self.reader = Some(opened.map_err(shown)?);
        }
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let (queue, from_seq) = (&mut self.queue, self.from_seq);
        let polled = reader.poll::<PollError>(timeout, &mut |accepted| {
            let seq = accepted.frame.header.seq;
            if seq >= from_seq {
                let calls = decode(accepted.frame).map_err(|e| PollError(format!("frame {seq}: {e}")))?;
                let place = Place { offset: accepted.offset + 1, state: accepted.state.clone() };
                queue.push_back(Queued { calls, place });
            }
            Ok(())
        });
        polled.map_err(|e| FramesError(e.0))?;
        Ok(())
    }
}

impl Frames for BusFrames {
    fn next(&mut self, into: &mut FrameCalls, timeout: Duration) -> Result<bool, FramesError> {
        if self.queue.is_empty() {
            self.fill(timeout)?;
        }
        let Some(next) = self.queue.pop_front() else { return Ok(false) };
        *into = next.calls;
        self.place = Some(next.place);
        Ok(true)
    }

    fn seek(&mut self, mark: Option<&str>, seq: u64) -> Result<(), FramesError> {
        self.reader = None;
        self.queue.clear();
        self.from_seq = seq;
        // A mark that cannot be read, or lies too far on, costs a longer way and nothing else.
        self.place = mark
            .and_then(|text| serde_json::from_str::<Place>(text).ok())
            .filter(|place| place.state.seq() < seq && place.state.stream() == self.stream.as_str());
        Ok(())
    }

    fn mark(&self) -> Option<String> {
        self.place.as_ref().and_then(|place| serde_json::to_string(place).ok())
    }
}

fn decode(frame: &FrameView<'_>) -> Result<FrameCalls, schemas::DecodeError> {
    frame.expect_items(xdrs::ITEMS)?;
    let mut calls = Vec::with_capacity(frame.len());
    for (index, at) in (0..).zip(0..frame.len()) {
        let (public, private) = frame.item(at)?;
        if let XdrItem::Call(call) = xdrs::decode_item(public, private)? {
            calls.push((index, *call));
        }
    }
    let base = match &frame.header.inputs[..] {
        [Input::Stream { stream, .. }] => stream.to_string(),
        _ => String::new(),
    };
    Ok(FrameCalls { seq: frame.header.seq, base, calls, ..FrameCalls::default() })
}

struct PollError(String);

impl From<StreamError> for PollError {
    fn from(error: StreamError) -> Self {
        Self(error.to_string())
    }
}

fn shown(error: bus::BusError) -> FramesError {
    FramesError(error.to_string())
}
