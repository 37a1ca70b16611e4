//! The frame of a stream: header, items, private parts; one Avro record whose hash is BLAKE3 over its body, so that
//! registry ids and compression, which only carry it, never change it. Whether a frame counts is `facts::stream`'s
//! rule, not this module's.

mod builder;
mod view;

pub use builder::{BYTES_MAX, FrameBuilder, FrameFull, ITEM_BYTES_MAX, ITEMS_MAX};
pub use view::FrameView;

use crate::error::{DecodeError, Problem};
use crate::ids::{Schema, SchemaIds};
use crate::wire;
use facts::stream::{Fence, FrameMeta, Incarnation, Input};
use facts::xdr::Position;
use facts::{BookedAt, ObservedAt};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Version of the frame's rules and of the private parts that this crate writes.
pub const FORMAT: u16 = 1;

/// What stands before the items.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// See [`FORMAT`].
    pub format: u16,
    /// CRC-64-AVRO of the items' schema, little endian: [`crate::xdrs::ITEMS`], [`crate::ledger::ITEMS`],
    /// [`crate::config::ITEMS`].
    pub item_schema: [u8; 8],
    pub stream: SmolStr,
    pub epoch: u64,
    /// From 1.
    pub seq: u64,
    pub prev_hash: [u8; 32],
    pub booked_at: BookedAt,
    pub config_seq: u64,
    pub fold_version: u32,
    pub inputs: SmallVec<[Input; 1]>,
    /// xdrs: offset of the oldest event of a call still open.
    pub floor: Option<u64>,
    /// xdrs: running maximum of the observed times.
    pub clock: Option<ObservedAt>,
}

impl FrameHeader {
    /// What the acceptance rule looks at; `hash` is that of the whole frame.
    pub fn meta(&self, hash: [u8; 32]) -> FrameMeta {
        FrameMeta {
            stream: self.stream.clone(),
            epoch: self.epoch,
            seq: self.seq,
            prev_hash: self.prev_hash,
            hash,
            inputs: self.inputs.clone(),
        }
    }
}

/// What stands on a stream's topic.
#[derive(Clone, Debug)]
pub enum StreamRecord<'a> {
    Fence(Fence),
    Frame(FrameView<'a>),
}

/// Appends a fence in Confluent wire format.
pub fn encode_fence(fence: &Fence, ids: &SchemaIds, out: &mut Vec<u8>) {
    ids.put_prefix(Schema::Fence, out);
    wire::Fence { stream: &fence.stream, epoch: fence.epoch, owner: &fence.owner }.encode(out);
}

/// Reads a record of a stream.
pub fn decode_record<'a>(record: &'a [u8], ids: &SchemaIds) -> Result<StreamRecord<'a>, DecodeError> {
    let (schema, body) = ids.split(record)?;
    match schema {
        Schema::Fence => {
            let fence = wire::Fence::decode(body)?;
            Ok(StreamRecord::Fence(Fence {
                stream: fence.stream.into(),
                epoch: fence.epoch,
                owner: fence.owner.into(),
            }))
        }
        Schema::Frame => FrameView::parse_body(body).map(StreamRecord::Frame),
        other => Err(DecodeError::new("record", Problem::WrongSchema(other.name()))),
    }
}

fn input_to_wire(input: &Input) -> wire::FrameInputs<'_> {
    match input {
        Input::Stream { stream, from, to } => wire::FrameInputs::StreamInput(wire::StreamInput {
            stream,
            from_seq: from.seq,
            from_index: from.index,
            to_seq: to.seq,
            to_index: to.index,
        }),
        Input::Events { topic, partition, incarnation, from, to, crc32c } => {
            wire::FrameInputs::EventsInput(wire::EventsInput {
                topic,
                partition: *partition,
                incarnation: incarnation.0,
                from: *from,
                to: *to,
                crc32c: *crc32c,
            })
        }
    }
}

fn input_to_facts(input: &wire::FrameInputs<'_>) -> Input {
    match input {
        wire::FrameInputs::StreamInput(x) => Input::Stream {
            stream: x.stream.into(),
            from: Position { seq: x.from_seq, index: x.from_index },
            to: Position { seq: x.to_seq, index: x.to_index },
        },
        wire::FrameInputs::EventsInput(x) => Input::Events {
            topic: x.topic.into(),
            partition: x.partition,
            incarnation: Incarnation(x.incarnation),
            from: x.from,
            to: x.to,
            crc32c: x.crc32c,
        },
    }
}

#[cfg(test)]
mod tests;
