//! Reads single items back out of the own stream, by sequence and index: what late truth and suspended calls need.

use bus::{Batch, Bus, Reader};
use facts::xdr::{Position, XdrItem};
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::sync::Arc;
use std::time::Duration;

use crate::options::RaterError;

/// How long a durable record may take to arrive.
const WAIT: Duration = Duration::from_secs(10);

/// Finds frames of one stream by their sequence.
pub(crate) struct Frames {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    stream: SmolStr,
    /// (sequence, offset) wherever the distance between the two changed: fences and void records stand between.
    anchors: Vec<(u64, u64)>,
    reader: Option<Box<dyn Reader>>,
    batch: Batch,
}

impl Frames {
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, stream: &str) -> Self {
        Self { bus, ids, stream: stream.into(), anchors: Vec::new(), reader: None, batch: Batch::new() }
    }

    /// Notes where a frame stands (or, for the next one to be written, where it will stand at the earliest).
    pub fn note(&mut self, seq: u64, offset: u64) {
        let distance = |(seq, offset): (u64, u64)| offset.wrapping_sub(seq);
        if self.anchors.last().is_none_or(|last| distance(*last) != distance((seq, offset))) {
            self.anchors.push((seq, offset));
        }
    }

    /// The item at a position that is durable.
    pub fn item(&mut self, at: Position) -> Result<XdrItem, RaterError> {
        let missing = || RaterError::Missing { stream: self.stream.clone(), seq: at.seq, index: at.index };
        let place = self.anchors.partition_point(|(seq, _)| *seq <= at.seq);
        let (seq, offset) = place.checked_sub(1).and_then(|i| self.anchors.get(i)).copied().ok_or_else(missing)?;
        let from = offset + (at.seq - seq);
        let mut reader = match self.reader.take() {
            Some(mut reader) => {
                reader.seek(from)?;
                reader
            }
            None => self.bus.reader(&self.stream, 0, from)?,
        };
        let end = self.bus.end(&self.stream, 0)?;
        // Void records of another owner may stand before it; it is never further away than the log's end.
        let found = loop {
            if reader.position() >= end {
                break None;
            }
            reader.poll(&mut self.batch, 1, WAIT)?;
            let frame = self.batch.get(0).and_then(|record| FrameView::parse(record.value, &self.ids).ok());
            if let Some(frame) = frame.filter(|frame| frame.header.seq == at.seq && frame.header.stream == self.stream)
            {
                let decode = |source| RaterError::Frame { stream: self.stream.clone(), seq: at.seq, source };
                let (public, private) = frame.item(at.index as usize).map_err(decode)?;
                break Some(schemas::xdrs::decode_item(public, private).map_err(decode)?);
            }
            if self.batch.is_empty() {
                break None;
            }
        };
        self.reader = Some(reader);
        found.ok_or_else(missing)
    }
}
