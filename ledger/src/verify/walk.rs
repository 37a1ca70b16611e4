//! Walks one stream's log record by record and applies the acceptance rule; behind a break it goes on comparing
//! neighbours, so that a second damage is found too.

use bus::{Batch, Bus, BusError, Reader};
use facts::stream::{FrameMeta, StreamState, Verdict, VoidReason};
use schemas::frame::{StreamRecord, decode_record};
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Break, BreakKind, StreamReport, alarming};
use crate::error::LedgerError;
use crate::streams::Source;

const POLL_BYTES: usize = 4 << 20;
const WAIT: Duration = Duration::from_secs(10);

/// One record's outcome.
pub enum Step<'a> {
    Frame(FrameView<'a>),
    /// A fence, or a record that counts for nothing as the rule wants it.
    Void,
    Broken(Break),
    End,
}

/// The walk through one stream.
pub struct Chain {
    stream: SmolStr,
    ids: SchemaIds,
    reader: Box<dyn Reader>,
    batch: Batch,
    at: usize,
    end: u64,
    offset: u64,
    state: StreamState,
    frames: u64,
    items: u64,
    voids: BTreeMap<String, u64>,
    /// After a break: sequence and hash of the last frame as it stands.
    torn: Option<(u64, [u8; 32])>,
    stuck: bool,
}

/// The log itself refuses.
pub fn broken_log(stream: &SmolStr, seq: u64, offset: Option<u64>, error: &BusError) -> Break {
    let file = match error {
        BusError::Damaged { file, byte, .. } => Some(format!("{}:{byte}", file.display())),
        _ => None,
    };
    Break { kind: BreakKind::Log, stream: stream.clone(), seq, index: None, offset, file, detail: error.to_string() }
}

impl Chain {
    pub fn open(bus: &Arc<dyn Bus>, ids: &SchemaIds, source: &Source) -> Result<Self, LedgerError> {
        let begin = bus.begin(&source.topic, source.partition)?;
        let end = bus.end(&source.topic, source.partition)?;
        Ok(Self {
            stream: source.stream.clone(),
            ids: ids.clone(),
            reader: bus.reader(&source.topic, source.partition, begin)?,
            batch: Batch::new(),
            at: 0,
            end,
            offset: begin,
            state: StreamState::new(source.stream.clone()),
            frames: 0,
            items: 0,
            voids: BTreeMap::new(),
            torn: None,
            stuck: false,
        })
    }

    /// Offset of the record that the next step reads.
    pub fn offset(&self) -> u64 {
        self.batch.get(self.at).map_or_else(|| self.reader.position(), |record| record.offset)
    }

    /// Last accepted sequence.
    pub fn seq(&self) -> u64 {
        self.state.seq()
    }

    /// The log gives nothing more.
    pub fn stuck(&self) -> bool {
        self.stuck
    }

    pub fn step(&mut self) -> Step<'_> {
        if self.at >= self.batch.len() {
            if self.stuck || self.reader.position() >= self.end {
                return Step::End;
            }
            self.at = 0;
            self.offset = self.reader.position();
            match self.reader.poll(&mut self.batch, POLL_BYTES, WAIT) {
                Ok(0) => return Step::End,
                Ok(_) => {}
                Err(error) => {
                    self.stuck = true;
                    self.batch = Batch::new();
                    let next = self.state.seq() + 1;
                    return Step::Broken(broken_log(&self.stream, next, Some(self.offset), &error));
                }
            }
        }
        let Self { batch, ids, state, stream, voids, torn, at, offset, frames, items, .. } = self;
        let Some(record) = batch.get(*at) else { return Step::End };
        *at += 1;
        *offset = record.offset;
        let broken = |kind, seq, detail| {
            let (stream, offset) = (stream.clone(), Some(record.offset));
            Step::Broken(Break { kind, stream, seq, index: None, offset, file: None, detail })
        };
        let frame = match decode_record(record.value, ids) {
            Err(error) => {
                *voids.entry(VoidReason::Unreadable.to_string()).or_default() += 1;
                let detail = format!("the record is no frame and no fence: {error}");
                return broken(BreakKind::Unreadable, torn.map_or(state.seq(), |t| t.0) + 1, detail);
            }
            Ok(StreamRecord::Fence(fence)) => {
                if let Verdict::Void(reason) = state.fold_fence(&fence) {
                    *voids.entry(reason.to_string()).or_default() += 1;
                }
                return Step::Void;
            }
            Ok(StreamRecord::Frame(frame)) => frame,
        };
        let meta = frame.meta();
        let before = (state.seq(), *state.hash());
        let reason = match state.fold_frame(&meta) {
            Verdict::Accepted => {
                *frames += 1;
                *items += frame.len() as u64;
                return Step::Frame(frame);
            }
            Verdict::Void(reason) => reason,
        };
        *voids.entry(reason.to_string()).or_default() += 1;
        if !alarming(reason) || (reason == VoidReason::SequenceGap && meta.epoch != state.epoch()) {
            return Step::Void;
        }
        let last = torn.unwrap_or(before);
        let follows = torn.is_some() && meta.seq == last.0 + 1 && meta.prev_hash == last.1;
        *torn = Some((meta.seq, meta.hash));
        if follows {
            return Step::Void;
        }
        let (seq, detail) = does_not_follow(&meta, last, reason);
        broken(BreakKind::Chain, seq, detail)
    }

    pub fn report(&self) -> StreamReport {
        StreamReport {
            stream: self.stream.clone(),
            frames: self.frames,
            seq: self.state.seq(),
            hash: accounting::book::hex(self.state.hash()),
            items: self.items,
            voids: self.voids.clone(),
        }
    }
}

/// Which frame is at fault, and how, where `meta` does not follow the frame before it (sequence and hash).
fn does_not_follow(meta: &FrameMeta, (last, hash): (u64, [u8; 32]), reason: VoidReason) -> (u64, String) {
    let seq = meta.seq;
    if seq > last + 1 {
        let detail = format!("frames {} to {} are missing: frame {seq} follows frame {last}", last + 1, seq - 1);
        return (last + 1, detail);
    }
    let detail = match reason {
        VoidReason::BrokenChain | VoidReason::SequenceGap => format!(
            "frame {last} was changed, or frame {seq} was: {seq} says {} stands before it, but {last} hashes to {}",
            short(&meta.prev_hash),
            short(&hash)
        ),
        reason => format!("frame {seq} does not count: {reason}"),
    };
    (last.max(1), detail)
}

fn short(hash: &[u8; 32]) -> String {
    accounting::book::hex(&hash[..8])
}
