//! Reads a stream: folds fences and frames by the rule, hands out the accepted frames, counts the rest.

use super::StreamError;
use crate::{Batch, Bus, BusError, Reader};
use facts::stream::{StreamState, Verdict, VoidReason};
use schemas::frame::{StreamRecord, decode_record};
use schemas::{FrameView, SchemaIds};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes asked of the log at once: a few full frames.
const POLL_BYTES: usize = 4 << 20;

/// Void records by reason.
pub type Voids = BTreeMap<VoidReason, u64>;

/// An accepted frame and where it stands.
pub struct Accepted<'a> {
    pub frame: &'a FrameView<'a>,
    pub hash: [u8; 32],
    /// Its record's offset in the topic.
    pub offset: u64,
    /// Bytes of the record.
    pub bytes: usize,
    /// The fold after this frame.
    pub state: &'a StreamState,
}

/// Follows one stream. `poll` hands out what is new.
pub struct StreamReader {
    reader: Box<dyn Reader>,
    batch: Batch,
    /// Record of `batch` that comes next.
    at: usize,
    ids: SchemaIds,
    state: StreamState,
    voids: Voids,
}

impl StreamReader {
    /// From the stream's first record. The topic has to exist.
    pub fn open(bus: &dyn Bus, ids: &SchemaIds, stream: &str) -> Result<Self, BusError> {
        let from = bus.begin(stream, 0)?;
        Self::resume(bus, ids, StreamState::new(stream), from)
    }

    /// From a remembered fold and the offset after the last record folded into it.
    pub fn resume(bus: &dyn Bus, ids: &SchemaIds, state: StreamState, offset: u64) -> Result<Self, BusError> {
        let reader = bus.reader(state.stream(), 0, offset)?;
        Ok(Self { reader, batch: Batch::new(), at: 0, ids: ids.clone(), state, voids: Voids::new() })
    }

    /// The fold of all records handed out so far.
    pub fn state(&self) -> &StreamState {
        &self.state
    }

    /// Void records since it was opened.
    pub fn voids(&self) -> &Voids {
        &self.voids
    }

    /// Offset of the next record to be folded.
    pub fn offset(&self) -> u64 {
        self.batch.get(self.at).map_or_else(|| self.reader.position(), |record| record.offset)
    }

    /// Folds what is there (waiting up to `timeout` for the first record) and calls `each` with every accepted frame.
    /// Returns the number of records folded. Where `each` fails, that frame counts as not folded: the next poll
    /// begins with it again.
    pub fn poll<E: From<StreamError>>(
        &mut self,
        timeout: Duration,
        each: &mut dyn FnMut(Accepted<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        if self.at >= self.batch.len() {
            self.at = 0;
            let polled = self.reader.poll(&mut self.batch, POLL_BYTES, timeout);
            polled.map_err(|error| E::from(StreamError::from(error)))?;
        }
        let mut folded = 0;
        while let Some(record) = self.batch.get(self.at) {
            match decode_record(record.value, &self.ids) {
                Ok(StreamRecord::Fence(fence)) => {
                    if let Verdict::Void(reason) = self.state.fold_fence(&fence) {
                        *self.voids.entry(reason).or_default() += 1;
                    }
                }
                Ok(StreamRecord::Frame(frame)) => {
                    let meta = frame.meta();
                    let hash = meta.hash;
                    let mut after = self.state.clone();
                    match after.fold_frame(&meta) {
                        Verdict::Accepted => {
                            each(Accepted {
                                frame: &frame,
                                hash,
                                offset: record.offset,
                                bytes: record.value.len(),
                                state: &after,
                            })?;
                            self.state = after;
                        }
                        Verdict::Void(reason) => *self.voids.entry(reason).or_default() += 1,
                    }
                }
                Err(_) => *self.voids.entry(VoidReason::Unreadable).or_default() += 1,
            }
            self.at += 1;
            folded += 1;
        }
        Ok(folded)
    }

    /// Folds everything that is durable now.
    pub fn catch_up<E: From<StreamError>>(
        &mut self,
        bus: &dyn Bus,
        each: &mut dyn FnMut(Accepted<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = bus.end(self.state.stream(), 0).map_err(|error| E::from(StreamError::from(error)))?;
        while self.offset() < end {
            self.poll(Duration::from_secs(1), each)?;
        }
        Ok(())
    }
}
