//! Reads a frame without copying its items.

use super::{FrameHeader, input_to_facts};
use crate::error::{DecodeError, Problem};
use crate::ids::{Schema, SchemaIds};
use crate::wire;
use facts::stream::FrameMeta;
use facts::{BookedAt, ObservedAt};

/// A frame that borrows its items from the record.
#[derive(Clone, Debug)]
pub struct FrameView<'a> {
    pub header: FrameHeader,
    body: &'a [u8],
    items: &'a [u8],
    offsets: Vec<u32>,
    privates: Vec<wire::PrivatePart<'a>>,
}

impl<'a> FrameView<'a> {
    /// Reads a frame record, prefix included. A fence is refused: see [`super::decode_record`].
    pub fn parse(record: &'a [u8], ids: &SchemaIds) -> Result<Self, DecodeError> {
        match ids.split(record)? {
            (Schema::Frame, body) => Self::parse_body(body),
            (other, _) => Err(DecodeError::new("record", Problem::WrongSchema(other.name()))),
        }
    }

    /// Reads the Avro body alone.
    pub fn parse_body(body: &'a [u8]) -> Result<Self, DecodeError> {
        let frame = wire::Frame::decode(body)?;
        if frame.offsets.len() != frame.privates.len() {
            return Err(DecodeError::new("Frame.privates", Problem::Mismatch));
        }
        let rising = frame.offsets.is_sorted();
        let starts = frame.offsets.first().is_none_or(|first| *first == 0);
        let inside = frame.offsets.last().is_none_or(|last| (*last as usize) < frame.items.len());
        let complete = frame.items.is_empty() || !frame.offsets.is_empty();
        if !(rising && starts && inside && complete) {
            return Err(DecodeError::new("Frame.offsets", Problem::OutOfRange));
        }
        let header = FrameHeader {
            format: frame.format,
            item_schema: frame.item_schema,
            stream: frame.stream.into(),
            epoch: frame.epoch,
            seq: frame.seq,
            prev_hash: frame.prev_hash,
            booked_at: BookedAt(frame.booked_at),
            config_seq: frame.config_seq,
            fold_version: frame.fold_version,
            inputs: frame.inputs.iter().map(input_to_facts).collect(),
            floor: frame.floor,
            clock: frame.clock.map(ObservedAt),
        };
        Ok(Self { header, body, items: frame.items, offsets: frame.offsets, privates: frame.privates })
    }

    /// BLAKE3 over the Avro body, computed anew at each call.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(self.body).as_bytes()
    }

    /// The Avro body, whose hash is the frame's.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Header and hash as the acceptance rule wants them.
    pub fn meta(&self) -> FrameMeta {
        self.header.meta(self.hash())
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Refuses a frame whose items another schema wrote, or whose private parts have another format.
    pub fn expect_items(&self, schema: [u8; 8]) -> Result<(), DecodeError> {
        if self.header.format != super::FORMAT {
            return Err(DecodeError::new("Frame.format", Problem::OutOfRange));
        }
        if self.header.item_schema != schema {
            return Err(DecodeError::new("Frame.item_schema", Problem::UnknownItems(self.header.item_schema)));
        }
        Ok(())
    }

    /// Public part of an item.
    pub fn public(&self, index: usize) -> Result<&'a [u8], DecodeError> {
        let outside = DecodeError::new("Frame.items", Problem::OutOfRange);
        let from = *self.offsets.get(index).ok_or(outside)? as usize;
        let to = self.offsets.get(index + 1).map_or(self.items.len(), |next| *next as usize);
        self.items.get(from..to).ok_or(outside)
    }

    /// Public and private part of an item. A private part under a key is refused as `Sealed`; [`Self::public`] is
    /// still there then.
    pub fn item(&self, index: usize) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        let public = self.public(index)?;
        match self.privates.get(index) {
            Some(private) if private.key_id == 0 => Ok((public, private.bytes)),
            Some(private) => Err(DecodeError::new("Frame.privates", Problem::Sealed(private.key_id))),
            None => Err(DecodeError::new("Frame.privates", Problem::OutOfRange)),
        }
    }
}
