//! Single frames of a stream, by sequence: what late truth, statements and proofs need. Which record bears a sequence
//! is `facts::stream`'s decision, asked when the stream was followed and remembered in [`Places`]: void records bear
//! the same numbers, so nobody may look for a frame by its number alone.

use crate::{Batch, Bus, BusError, BusHealth, Reader};
use facts::xdr::Position;
use schemas::{DecodeError, FrameView, SchemaIds};
use smol_str::SmolStr;
use std::sync::Arc;
use std::time::Duration;

/// How long a durable record may take to arrive.
const WAIT: Duration = Duration::from_secs(10);

/// Where the accepted frames of a stream stand. Fences and void records lie between frames, so only the places at
/// which the distance between sequence and offset changes are kept: a few bytes a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// (sequence, offset), both rising.
    anchors: Vec<(u64, u64)>,
    last: u64,
}

impl Places {
    /// Notes an accepted frame, in the order of sequences; one that was noted before changes nothing.
    pub fn note(&mut self, seq: u64, offset: u64) {
        if seq <= self.last {
            return;
        }
        if self.offset_by(self.anchors.last(), seq) != Some(offset) || seq != self.last + 1 {
            self.anchors.push((seq, offset));
        }
        self.last = seq;
    }

    /// Offset of a frame that was noted.
    pub fn offset(&self, seq: u64) -> Option<u64> {
        if seq > self.last {
            return None;
        }
        let place = self.anchors.partition_point(|(first, _)| *first <= seq);
        self.offset_by(place.checked_sub(1).and_then(|at| self.anchors.get(at)), seq)
    }

    /// What a remembered fold keeps of it: places where the distance changes, and the last sequence.
    pub fn parts(&self) -> (&[(u64, u64)], u64) {
        (&self.anchors, self.last)
    }

    /// From what [`Self::parts`] gave.
    pub fn from_parts(anchors: Vec<(u64, u64)>, last: u64) -> Self {
        Self { anchors, last }
    }

    fn offset_by(&self, anchor: Option<&(u64, u64)>, seq: u64) -> Option<u64> {
        anchor.map(|(first, offset)| offset + (seq - first))
    }
}

/// Why a frame cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("{stream} frame {seq} is not in the log any more; restore the log from a backup")]
    Missing { stream: SmolStr, seq: u64 },
    #[error("{stream} frame {seq}: {source}; run `tandem ledger verify`")]
    Damaged { stream: SmolStr, seq: u64, source: DecodeError },
}

/// Reads frames of one stream in any order; the last one is kept, so items of it cost one read.
pub struct FrameReader {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    stream: SmolStr,
    reader: Option<Box<dyn Reader>>,
    batch: Batch,
    /// Offset of the record that `batch` begins with.
    held: Option<u64>,
}

impl FrameReader {
    /// Opens nothing yet.
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, stream: impl Into<SmolStr>) -> Self {
        Self { bus, ids, stream: stream.into(), reader: None, batch: Batch::new(), held: None }
    }

    /// The frame of sequence `seq`, which was accepted at `offset` (see [`Places`]).
    pub fn frame(&mut self, seq: u64, offset: u64) -> Result<FrameView<'_>, FrameError> {
        if self.held != Some(offset) {
            self.load(seq, offset)?;
        }
        let missing = || FrameError::Missing { stream: self.stream.clone(), seq };
        let record = self.batch.get(0).ok_or_else(missing)?;
        let damaged = |source| FrameError::Damaged { stream: self.stream.clone(), seq, source };
        let frame = FrameView::parse(record.value, &self.ids).map_err(damaged)?;
        if frame.header.seq != seq || frame.header.stream != self.stream {
            return Err(missing());
        }
        Ok(frame)
    }

    /// One item of a frame, decoded by `decode` from its public and private bytes.
    pub fn item<T>(
        &mut self,
        at: Position,
        offset: u64,
        decode: impl FnOnce(&[u8], &[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, FrameError> {
        let frame = self.frame(at.seq, offset)?;
        let item = frame.item(at.index as usize).and_then(|(public, private)| decode(public, private));
        item.map_err(|source| FrameError::Damaged { stream: self.stream.clone(), seq: at.seq, source })
    }

    fn load(&mut self, seq: u64, offset: u64) -> Result<(), FrameError> {
        self.held = None;
        let reader = match &mut self.reader {
            Some(reader) => {
                reader.seek(offset)?;
                reader
            }
            none => none.insert(self.bus.reader(&self.stream, 0, offset)?),
        };
        let read = reader.poll(&mut self.batch, 1, WAIT)?;
        if read == 0 || self.batch.get(0).is_none_or(|record| record.offset != offset) {
            return Err(match self.bus.health() {
                BusHealth::Away { why, .. } => BusError::Away { what: self.stream.to_string(), reason: why }.into(),
                BusHealth::Up | BusHealth::Failed { .. } => FrameError::Missing { stream: self.stream.clone(), seq },
            });
        }
        self.held = Some(offset);
        Ok(())
    }
}
