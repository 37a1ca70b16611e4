//! Owns a stream: fences it, then appends frames to its chain, several on their way to the disk at once.

use super::StreamError;
use super::frames::Places;
use super::reader::{Accepted, StreamReader};
use crate::{Bus, BusError, Record, Ticket, TopicSpec, Writer};
use facts::stream::{Fence, FrameMeta, Input, StreamState};
use facts::time::{BookedAt, ObservedAt};
use schemas::SchemaIds;
use schemas::frame::{FORMAT, FrameBuilder, FrameHeader, encode_fence};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::time::Duration;

/// Frames that may be on their way to the disk; beyond it `append` waits for the oldest.
const PIPELINE_MAX: usize = 16;
/// One wait for durability; asked again until it has come or the bus stops.
const WAIT: Duration = Duration::from_secs(1);

/// What the owner says of a frame; chain, epoch, sequence and clock are the writer's.
#[derive(Clone, Debug)]
pub struct FrameParts {
    /// `schemas::xdrs::ITEMS`, `schemas::ledger::ITEMS`, `schemas::config::ITEMS`.
    pub item_schema: [u8; 8],
    pub config_seq: u64,
    pub fold_version: u32,
    pub inputs: SmallVec<[Input; 1]>,
    pub floor: Option<u64>,
    pub clock: Option<ObservedAt>,
    /// The owner's wall clock, microseconds.
    pub wall_micros: i64,
}

/// Writes a fence and nothing else; whether it counts, readers say. Returns the offset after it.
pub fn write_fence(
    bus: &dyn Bus,
    ids: &SchemaIds,
    stream: &str,
    epoch: u64,
    owner: &str,
    wall_micros: i64,
) -> Result<u64, BusError> {
    let fence = Fence { stream: stream.into(), epoch, owner: owner.into() };
    let mut value = Vec::new();
    encode_fence(&fence, ids, &mut value);
    let record = Record { key: stream.as_bytes(), value: &value, timestamp_ms: wall_micros / 1_000 };
    Ok(bus.writer(stream)?.append(0, &[record])?.next)
}

/// The owner's hand on a stream.
pub struct StreamWriter {
    stream: SmolStr,
    writer: Box<dyn Writer>,
    /// Reads our own records back, to learn of another owner.
    echo: StreamReader,
    ids: SchemaIds,
    epoch: u64,
    /// The fold after the last frame submitted.
    built: StreamState,
    booked_at: BookedAt,
    /// Submitted and not yet durable: sequence and ticket, oldest first.
    pending: VecDeque<(u64, Ticket)>,
    durable: u64,
    /// Where the frames seen while claiming, and our own since, stand.
    places: Places,
    /// Void records read before the claim: they say nothing about our frames.
    voids_before: u64,
    buffer: Vec<u8>,
}

impl StreamWriter {
    /// Claims a stream: makes its topic where there is none, reads it to its end, writes a fence with a higher epoch,
    /// reads up to that fence. `each` gets every accepted frame on the way, oldest first. `resume` = a remembered fold
    /// and the offset after it, instead of the beginning.
    pub fn claim<E: From<StreamError>>(
        bus: &dyn Bus,
        ids: &SchemaIds,
        stream: &str,
        owner: &str,
        resume: Option<(StreamState, u64)>,
        wall_micros: i64,
        each: &mut dyn FnMut(Accepted<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let own = |error: BusError| E::from(StreamError::from(error));
        bus.ensure(&TopicSpec::frames(stream, 1)).map_err(own)?;
        let mut echo = match resume {
            Some((state, offset)) => StreamReader::resume(bus, ids, state, offset),
            None => StreamReader::open(bus, ids, stream),
        }
        .map_err(own)?;
        let (mut booked_at, mut places) = (BookedAt::default(), Places::default());
        let mut each = |accepted: Accepted<'_>| {
            let (seq, offset) = (accepted.frame.header.seq, accepted.offset);
            booked_at = accepted.frame.header.booked_at;
            each(accepted)?;
            places.note(seq, offset);
            Ok::<(), E>(())
        };
        echo.catch_up(bus, &mut each)?;
        let mut writer = bus.writer(stream).map_err(own)?;
        let mut buffer = Vec::new();
        loop {
            let fence = Fence { stream: stream.into(), epoch: echo.state().epoch() + 1, owner: owner.into() };
            buffer.clear();
            encode_fence(&fence, ids, &mut buffer);
            let record = Record { key: stream.as_bytes(), value: &buffer, timestamp_ms: wall_micros / 1_000 };
            let written = writer.append(0, &[record]).map_err(own)?;
            while echo.offset() < written.next {
                echo.poll(WAIT, &mut each)?;
            }
            let state = echo.state();
            if state.epoch() == fence.epoch && state.owner() == &fence.owner {
                let (built, durable) = (state.clone(), state.seq());
                let voids_before = echo.voids().values().sum();
                return Ok(Self {
                    stream: stream.into(),
                    writer,
                    echo,
                    voids_before,
                    ids: ids.clone(),
                    epoch: fence.epoch,
                    built,
                    booked_at,
                    pending: VecDeque::new(),
                    durable,
                    places,
                    buffer,
                });
            }
            // Another claimed at the same time with the same or a higher epoch; the next try is above it.
        }
    }

    /// The fold after the last frame submitted: next sequence, hash, and where each input goes on.
    pub fn state(&self) -> &StreamState {
        &self.built
    }

    /// Sequence of the last frame known to be durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Booking time of the last frame.
    pub fn booked_at(&self) -> BookedAt {
        self.booked_at
    }

    /// Where the frames stand that were accepted while claiming (from `resume` on), and our own durable ones.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What whoever resumed remembers of the frames before: where they stand, and when the last of them was booked.
    pub fn remember(&mut self, places: Places, booked_at: BookedAt) {
        self.places = places;
        self.booked_at = self.booked_at.max(booked_at);
    }

    /// Offset behind the last record that was read back: no frame submitted after now stands before it.
    pub fn read_back_to(&self) -> u64 {
        self.echo.offset()
    }

    /// Frames submitted and not yet durable.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Submits the builder's items as the next frame and empties the builder. Returns its sequence; it is durable once
    /// [`Self::durable`] has reached that.
    pub fn append(&mut self, builder: &mut FrameBuilder, parts: FrameParts) -> Result<u64, StreamError> {
        while self.pending.len() >= PIPELINE_MAX {
            self.wait_oldest()?;
        }
        let seq = self.built.seq() + 1;
        let booked_at = self.booked_at.next(parts.wall_micros);
        let header = FrameHeader {
            format: FORMAT,
            item_schema: parts.item_schema,
            stream: self.stream.clone(),
            epoch: self.epoch,
            seq,
            prev_hash: *self.built.hash(),
            booked_at,
            config_seq: parts.config_seq,
            fold_version: parts.fold_version,
            inputs: parts.inputs,
            floor: parts.floor,
            clock: parts.clock,
        };
        self.buffer.clear();
        let hash = builder.finish(&header, &self.ids, &mut self.buffer);
        let meta: FrameMeta = header.meta(hash);
        if self.built.objection(&meta).is_some() {
            // The rule would void it: an owner that skips or repeats inputs must stop before it writes.
            return Err(StreamError::NotAccepted { stream: self.stream.clone(), seq });
        }
        let timestamp_ms = parts.wall_micros / 1_000;
        let record = Record { key: self.stream.as_bytes(), value: &self.buffer, timestamp_ms };
        let ticket = self.writer.submit(0, &[record])?;
        let _ = self.built.fold_frame(&meta);
        self.booked_at = booked_at;
        self.pending.push_back((seq, ticket));
        self.collect()?;
        Ok(seq)
    }

    /// Takes in what has become durable meanwhile, without waiting.
    pub fn collect(&mut self) -> Result<u64, StreamError> {
        while let Some((seq, ticket)) = self.pending.front().copied() {
            let Some(appended) = self.writer.wait(ticket, Duration::ZERO)? else { break };
            self.pending.pop_front();
            self.places.note(seq, appended.first);
            self.durable = seq;
        }
        Ok(self.durable)
    }

    /// Waits until every submitted frame is durable.
    pub fn settle(&mut self) -> Result<u64, StreamError> {
        while !self.pending.is_empty() {
            self.wait_oldest()?;
        }
        Ok(self.durable)
    }

    fn wait_oldest(&mut self) -> Result<(), StreamError> {
        let Some((seq, ticket)) = self.pending.front().copied() else { return Ok(()) };
        let appended = loop {
            if let Some(appended) = self.writer.wait(ticket, WAIT)? {
                break appended;
            }
        };
        self.pending.pop_front();
        self.places.note(seq, appended.first);
        self.durable = seq;
        Ok(())
    }

    /// Reads our own durable frames back and checks that the rule accepted them: what a hold has to wait for, and how
    /// an owner that has been fenced off learns of it. Returns the last sequence seen as accepted.
    pub fn confirm(&mut self) -> Result<u64, StreamError> {
        self.collect()?;
        while self.echo.state().seq() < self.durable && self.echo.state().epoch() == self.epoch {
            let folded = self.echo.poll::<StreamError>(WAIT, &mut |_| Ok(()))?;
            if folded == 0 {
                break;
            }
        }
        self.echo.poll::<StreamError>(Duration::ZERO, &mut |_| Ok(()))?;
        let state = self.echo.state();
        if state.epoch() != self.epoch {
            return Err(StreamError::Fenced {
                stream: self.stream.clone(),
                owner: state.owner().clone(),
                epoch: state.epoch(),
            });
        }
        if state.seq() < self.durable && self.echo.voids().values().sum::<u64>() > self.voids_before {
            return Err(StreamError::NotAccepted { stream: self.stream.clone(), seq: state.seq() + 1 });
        }
        Ok(state.seq())
    }
}
