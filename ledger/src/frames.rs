//! Single frames out of a stream's topic, by offset: what late revisions, statements and proofs need. One reader that
//! jumps; readers of whole streams are `bus::stream`'s.

use bus::{Batch, Bus, BusError, BusHealth, Reader};
use facts::entry::LedgerItem;
use facts::xdr::Position;
use facts::{CallId, LedgerEntry};
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::LedgerError;

/// How long a durable record may take to arrive.
const WAIT: Duration = Duration::from_secs(10);

/// Reads records of one partition at any offset.
pub struct FrameReader {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    stream: SmolStr,
    topic: String,
    partition: u32,
    reader: Option<Box<dyn Reader>>,
    batch: Batch,
    /// Offset of the record that `batch` begins with.
    held: Option<u64>,
}

impl FrameReader {
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, stream: SmolStr, topic: String, partition: u32) -> Self {
        Self { bus, ids, stream, topic, partition, reader: None, batch: Batch::new(), held: None }
    }

    /// The frame of sequence `seq`, which stands at `offset`.
    pub fn frame(&mut self, seq: u64, offset: u64) -> Result<FrameView<'_>, LedgerError> {
        if self.held != Some(offset) {
            self.load(seq, offset)?;
        }
        let missing = || LedgerError::Missing { stream: self.stream.clone(), seq };
        let record = self.batch.get(0).ok_or_else(missing)?;
        let frame = FrameView::parse(record.value, &self.ids).map_err(|error| LedgerError::Frame {
            stream: self.stream.clone(),
            seq,
            error,
        })?;
        if frame.header.seq != seq {
            return Err(missing());
        }
        Ok(frame)
    }

    fn load(&mut self, seq: u64, offset: u64) -> Result<(), LedgerError> {
        self.held = None;
        let reader = match &mut self.reader {
            Some(reader) => {
                reader.seek(offset)?;
                reader
            }
            none => none.insert(self.bus.reader(&self.topic, self.partition, offset)?),
        };
        let read = reader.poll(&mut self.batch, 1, WAIT)?;
        if read == 0 || self.batch.get(0).is_none_or(|record| record.offset != offset) {
            return Err(match self.bus.health() {
                BusHealth::Away { why, .. } => BusError::Away { what: self.topic.clone(), reason: why }.into(),
                BusHealth::Up | BusHealth::Failed { .. } => LedgerError::Missing { stream: self.stream.clone(), seq },
            });
        }
        self.held = Some(offset);
        Ok(())
    }
}

/// An item of a ledger frame.
pub fn ledger_item(stream: &SmolStr, frame: &FrameView<'_>, index: usize) -> Result<LedgerItem, LedgerError> {
    let at = Position { seq: frame.header.seq, index: index as u32 };
    schemas::ledger::item(frame, index).map_err(|error| LedgerError::Item { stream: stream.clone(), at, error })
}

/// The entries of one call in a ledger frame, in order, each with its place.
pub fn entries_of_call(
    stream: &SmolStr,
    frame: &FrameView<'_>,
    call: CallId,
    mut each: impl FnMut(Position, LedgerEntry),
) -> Result<(), LedgerError> {
    for index in 0..frame.len() {
        // The id stands in the bytes as it is, so most items need no decoding.
        let bytes = frame.public(index).unwrap_or_default();
        if !bytes.windows(16).any(|window| window == call.0) {
            continue;
        }
        if let LedgerItem::Entry(entry) = ledger_item(stream, frame, index)?
            && entry.call_id == Some(call)
        {
            each(Position { seq: frame.header.seq, index: index as u32 }, *entry);
        }
    }
    Ok(())
}
