//! Streams: one writer's chain of frames, and the rule by which readers accept or void what stands in the log
//! (design 7.1, reference/ledger.md 2.5). All safety of exactly-once is in [`StreamState`]; who owns a stream is
//! only liveness. Pure: it never reads a log and never hashes; hashes arrive as values.

use crate::xdr::Position;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::fmt;

/// The identity of one partition of a log: a UUID that stands in a record at its offset 0. A log that was lost and
/// made anew has another one, so offsets into the old one can never be applied to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// First place of a stream: frames are numbered from 1.
pub const STREAM_START: Position = Position { seq: 1, index: 0 };

/// What a frame consumed, as one half-open range (design 6.3).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Items of another stream, by position, so a frame may be consumed in parts.
    Stream { stream: SmolStr, from: Position, to: Position },
    /// Records of a topic that is no stream (`call-events`), by offset, with the log's incarnation and the CRC-32C of
    /// the record values consumed, in order.
    Events { topic: SmolStr, partition: u32, incarnation: Incarnation, from: u64, to: u64, crc32c: u32 },
}

/// How far one input has been consumed by the accepted frames.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumed {
    Stream { stream: SmolStr, next: Position },
    Events { topic: SmolStr, partition: u32, incarnation: Incarnation, next: u64 },
}

/// A new owner's claim to a stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fence {
    pub stream: SmolStr,
    /// Valid when higher than every accepted one before it.
    pub epoch: u64,
    /// Who claims: host, process, start. For people and for telling own fences from others'.
    pub owner: SmolStr,
}

/// Bits of an epoch that count the claims of one site on one disk; those above count what a person ordered: a move to
/// another site, a stream taken back after a lost disk.
const CLAIM_BITS: u32 = 20;

/// An epoch above whatever the last owner may have claimed meanwhile, alone and out of sight.
pub fn epoch_above(epoch: u64) -> u64 {
    (orders_in(epoch) + 1) << CLAIM_BITS
}

/// How many orders of persons an epoch counts.
pub fn orders_in(epoch: u64) -> u64 {
    epoch >> CLAIM_BITS
}

/// The part of a frame's header that decides on its acceptance, and its hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameMeta {
    pub stream: SmolStr,
    pub epoch: u64,
    /// From 1, without gaps among accepted frames.
    pub seq: u64,
    /// Hash of the last accepted frame before it; zeros for the first.
    pub prev_hash: [u8; 32],
    /// BLAKE3 of the Avro body of this frame (computed by whoever decoded it, never sent).
    pub hash: [u8; 32],
    pub inputs: SmallVec<[Input; 1]>,
}

/// Why a record of a stream counts for nothing. It is kept, counted and alarmed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    /// Its bytes are no frame and no fence.
    Unreadable,
    /// It belongs to another stream.
    WrongStream,
    /// A fence whose epoch is not above the current one: another claimed first.
    StaleFence,
    /// A frame of an owner that has been fenced off.
    StaleEpoch,
    /// A frame of an epoch that no fence has opened.
    UnopenedEpoch,
    /// A sequence number that has been accepted already: a duplicate.
    Repeated,
    /// A sequence number beyond the next: something before it is missing or void.
    SequenceGap,
    /// The previous hash is not that of the last accepted frame.
    BrokenChain,
    /// An input does not begin where the last accepted one ended.
    InputGap,
    /// An input ends before it begins, or one source is named twice.
    InputMalformed,
    /// An input comes from another incarnation of its log.
    WrongIncarnation,
}

impl VoidReason {
    pub const ALL: [Self; 11] = [
        Self::Unreadable,
        Self::WrongStream,
        Self::StaleFence,
        Self::StaleEpoch,
        Self::UnopenedEpoch,
        Self::Repeated,
        Self::SequenceGap,
        Self::BrokenChain,
        Self::InputGap,
        Self::InputMalformed,
        Self::WrongIncarnation,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::WrongStream => "wrong_stream",
            Self::StaleFence => "stale_fence",
            Self::StaleEpoch => "stale_epoch",
            Self::UnopenedEpoch => "unopened_epoch",
            Self::Repeated => "repeated",
            Self::SequenceGap => "sequence_gap",
            Self::BrokenChain => "broken_chain",
            Self::InputGap => "input_gap",
            Self::InputMalformed => "input_malformed",
            Self::WrongIncarnation => "wrong_incarnation",
        }
    }

    /// True for what take-overs and retries leave behind in a healthy log; the rest needs a person's eye.
    pub fn is_ordinary(self) -> bool {
        matches!(self, Self::StaleFence | Self::StaleEpoch | Self::Repeated | Self::SequenceGap)
    }
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the rule says of one record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    Accepted,
    Void(VoidReason),
}

/// The fold of one stream's log: the current epoch, the head of the chain, and where each input ends. Serialisable,
/// so that a snapshot can carry it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamState {
    stream: SmolStr,
    epoch: u64,
    owner: SmolStr,
    seq: u64,
    hash: [u8; 32],
    consumed: Vec<Consumed>,
}

/// Where the next frame has to begin in a source that is a stream, by what has been consumed.
pub fn next_position(consumed: &[Consumed], source: &str) -> Position {
    let next = consumed.iter().find_map(|one| match one {
        Consumed::Stream { stream, next } if stream == source => Some(*next),
        _ => None,
    });
    next.unwrap_or(STREAM_START)
}

impl StreamState {
    /// A stream in which nothing has been written: epoch 0 (no owner), next sequence 1, previous hash zeros, inputs
    /// at their starts.
    pub fn new(stream: impl Into<SmolStr>) -> Self {
        Self { stream: stream.into(), epoch: 0, owner: SmolStr::default(), seq: 0, hash: [0; 32], consumed: Vec::new() }
    }

    /// A stream whose inputs are fixed elsewhere than at their starts (a run, design 9.2). Only for a stream that has
    /// no frame yet, and the same for every reader of it.
    pub fn with_inputs(stream: impl Into<SmolStr>, consumed: Vec<Consumed>) -> Self {
        Self { consumed, ..Self::new(stream) }
    }

    pub fn stream(&self) -> &SmolStr {
        &self.stream
    }

    /// Epoch of the last accepted fence; 0 before the first.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who wrote the last accepted fence.
    pub fn owner(&self) -> &SmolStr {
        &self.owner
    }

    /// Sequence of the last accepted frame; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Hash of the last accepted frame; zeros before the first.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// How far every input has been consumed.
    pub fn consumed(&self) -> &[Consumed] {
        &self.consumed
    }

    /// Where the next frame has to begin in another stream.
    pub fn next_position(&self, source: &str) -> Position {
        next_position(&self.consumed, source)
    }

    /// Where the next frame has to begin in a topic, and the incarnation it must be (`None`: not consumed yet).
    pub fn next_offset(&self, topic: &str, partition: u32) -> (u64, Option<Incarnation>) {
        self.consumed
            .iter()
            .find_map(|c| match c {
                Consumed::Events { topic: t, partition: p, incarnation, next } if t == topic && *p == partition => {
                    Some((*next, Some(*incarnation)))
                }
                _ => None,
            })
            .unwrap_or((0, None))
    }

    /// Folds a fence: accepted only with a higher epoch than any before it.
    pub fn fold_fence(&mut self, fence: &Fence) -> Verdict {
        if fence.stream != self.stream {
            return Verdict::Void(VoidReason::WrongStream);
        }
        if fence.epoch <= self.epoch {
            return Verdict::Void(VoidReason::StaleFence);
        }
        self.epoch = fence.epoch;
        self.owner = fence.owner.clone();
        Verdict::Accepted
    }

    /// Folds a frame: accepted only with the current epoch, the next sequence, the right previous hash and inputs
    /// that continue. A void frame changes nothing.
    pub fn fold_frame(&mut self, frame: &FrameMeta) -> Verdict {
        if let Some(reason) = self.objection(frame) {
            return Verdict::Void(reason);
        }
        self.seq = frame.seq;
        self.hash = frame.hash;
        for input in &frame.inputs {
            self.consume(input);
        }
        Verdict::Accepted
    }

    /// The first reason against a frame, if any, without folding it.
    pub fn objection(&self, frame: &FrameMeta) -> Option<VoidReason> {
        if frame.stream != self.stream {
            return Some(VoidReason::WrongStream);
        }
        if frame.epoch != self.epoch {
            let stale = frame.epoch < self.epoch;
            return Some(if stale { VoidReason::StaleEpoch } else { VoidReason::UnopenedEpoch });
        }
        if self.epoch == 0 {
            return Some(VoidReason::UnopenedEpoch);
        }
        if frame.seq <= self.seq {
            return Some(VoidReason::Repeated);
        }
        if frame.seq != self.seq + 1 {
            return Some(VoidReason::SequenceGap);
        }
        if frame.prev_hash != self.hash {
            return Some(VoidReason::BrokenChain);
        }
        for (at, input) in frame.inputs.iter().enumerate() {
            if frame.inputs[..at].iter().any(|before| same_source(before, input)) {
                return Some(VoidReason::InputMalformed);
            }
            if let Some(reason) = self.input_objection(input) {
                return Some(reason);
            }
        }
        None
    }

    fn input_objection(&self, input: &Input) -> Option<VoidReason> {
        match input {
            Input::Stream { stream, from, to } => {
                if to < from {
                    Some(VoidReason::InputMalformed)
                } else {
                    (*from != self.next_position(stream)).then_some(VoidReason::InputGap)
                }
            }
            Input::Events { topic, partition, incarnation, from, to, .. } => {
                let (next, known) = self.next_offset(topic, *partition);
                if to < from {
                    Some(VoidReason::InputMalformed)
                } else if known.is_some_and(|known| known != *incarnation) {
                    Some(VoidReason::WrongIncarnation)
                } else {
                    (*from != next).then_some(VoidReason::InputGap)
                }
            }
        }
    }

    fn consume(&mut self, input: &Input) {
        let found = self.consumed.iter_mut().find(|c| match (&**c, input) {
            (Consumed::Stream { stream: a, .. }, Input::Stream { stream: b, .. }) => a == b,
            (Consumed::Events { topic: a, partition: p, .. }, Input::Events { topic: b, partition: q, .. }) => {
                a == b && p == q
            }
            _ => false,
        });
        match (found, input) {
            (Some(Consumed::Stream { next, .. }), Input::Stream { to, .. }) => *next = *to,
            (Some(Consumed::Events { next, .. }), Input::Events { to, .. }) => *next = *to,
            (_, Input::Stream { stream, to, .. }) => {
                self.consumed.push(Consumed::Stream { stream: stream.clone(), next: *to });
            }
            (_, Input::Events { topic, partition, incarnation, to, .. }) => self.consumed.push(Consumed::Events {
                topic: topic.clone(),
                partition: *partition,
                incarnation: *incarnation,
                next: *to,
            }),
        }
    }
}

fn same_source(a: &Input, b: &Input) -> bool {
    match (a, b) {
        (Input::Stream { stream: a, .. }, Input::Stream { stream: b, .. }) => a == b,
        (Input::Events { topic: a, partition: p, .. }, Input::Events { topic: b, partition: q, .. }) => {
            a == b && p == q
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
