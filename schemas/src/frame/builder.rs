//! Gathers items until a frame is full and writes it, into buffers that are used again and again.

use super::{FrameHeader, input_to_wire};
use crate::ids::{Schema, SchemaIds};
use crate::wire;

/// Most bytes of items and private parts in one frame, unless it is a single item.
pub const BYTES_MAX: usize = 512 * 1024;
/// Most items in one frame.
pub const ITEMS_MAX: usize = 4_000;
/// Most bytes of one item, both parts together; what is larger becomes a reject `too_large`.
pub const ITEM_BYTES_MAX: usize = 384 * 1024;
/// What an item costs beside its own bytes, at most: its offset, key and length.
const ITEM_OVERHEAD: usize = 8;

/// Why an item was not taken; the frame is as it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameFull {
    #[error("frame is full; write it and push the item into the next one")]
    FrameFull,
    #[error("item of {bytes} bytes is above the limit of 393216; reject it as too_large")]
    TooLarge { bytes: usize },
}

/// Items on their way into one frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    items: Vec<u8>,
    offsets: Vec<u32>,
    privates: Vec<u8>,
    /// Where each private part begins.
    private_offsets: Vec<u32>,
}

impl FrameBuilder {
    pub fn new() -> Self {
        Self {
            items: Vec::with_capacity(BYTES_MAX),
            offsets: Vec::with_capacity(ITEMS_MAX),
            privates: Vec::with_capacity(BYTES_MAX / 4),
            private_offsets: Vec::with_capacity(ITEMS_MAX),
        }
    }

    /// Takes one item: `write` appends its public and its private part (which may stay empty). Nothing is kept of an
    /// item that is refused.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> Result<(), FrameFull> {
        if self.items() >= ITEMS_MAX {
            return Err(FrameFull::FrameFull);
        }
        let (item, private) = (self.items.len(), self.privates.len());
        write(&mut self.items, &mut self.privates);
        let bytes = (self.items.len() - item) + (self.privates.len() - private);
        let refused = if bytes > ITEM_BYTES_MAX {
            Some(FrameFull::TooLarge { bytes })
        } else if self.items() > 0 && self.bytes() + ITEM_OVERHEAD > BYTES_MAX {
            Some(FrameFull::FrameFull)
        } else {
            None
        };
        if let Some(refused) = refused {
            self.items.truncate(item);
            self.privates.truncate(private);
            return Err(refused);
        }
        // Both fit u32: the buffers never grow beyond the two limits together.
        self.offsets.push(item as u32);
        self.private_offsets.push(private as u32);
        Ok(())
    }

    /// Items taken so far; the next one's index.
    pub fn items(&self) -> usize {
        self.offsets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Bytes taken so far, without the header.
    pub fn bytes(&self) -> usize {
        self.items.len() + self.privates.len() + self.items() * ITEM_OVERHEAD
    }

    /// Both parts of an item already taken.
    pub fn item(&self, index: usize) -> Option<(&[u8], &[u8])> {
        Some((part(&self.items, &self.offsets, index)?, part(&self.privates, &self.private_offsets, index)?))
    }

    /// Appends the frame in Confluent wire format, gives its hash, and is empty again.
    pub fn finish(&mut self, header: &FrameHeader, ids: &SchemaIds, out: &mut Vec<u8>) -> [u8; 32] {
        ids.put_prefix(Schema::Frame, out);
        let body = out.len();
        let offsets = std::mem::take(&mut self.offsets);
        self.offsets = self.write(header, offsets, out);
        self.clear();
        *blake3::hash(&out[body..]).as_bytes()
    }

    /// Appends the Avro body and gives the buffer of offsets back.
    fn write(&self, header: &FrameHeader, offsets: Vec<u32>, out: &mut Vec<u8>) -> Vec<u32> {
        let privates = (0..offsets.len())
            .map(|at| wire::PrivatePart {
                key_id: 0,
                bytes: part(&self.privates, &self.private_offsets, at).unwrap_or_default(),
            })
            .collect();
        let frame = wire::Frame {
            format: header.format,
            item_schema: header.item_schema,
            stream: &header.stream,
            epoch: header.epoch,
            seq: header.seq,
            prev_hash: header.prev_hash,
            booked_at: header.booked_at.0,
            config_seq: header.config_seq,
            fold_version: header.fold_version,
            inputs: header.inputs.iter().map(input_to_wire).collect(),
            floor: header.floor,
            clock: header.clock.map(|t| t.0),
            items: &self.items,
            offsets,
            privates,
        };
        frame.encode(out);
        frame.offsets
    }

    /// Forgets all items.
    pub fn clear(&mut self) {
        self.items.clear();
        self.offsets.clear();
        self.privates.clear();
        self.private_offsets.clear();
    }
}

fn part<'b>(bytes: &'b [u8], offsets: &[u32], index: usize) -> Option<&'b [u8]> {
    let from = *offsets.get(index)? as usize;
    let to = offsets.get(index + 1).map_or(bytes.len(), |next| *next as usize);
    bytes.get(from..to)
}
