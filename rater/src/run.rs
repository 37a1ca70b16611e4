//! The loop of one partition: poll, decode, assemble, rate, frame, append, several frames on their way at once.
//! A frame is closed only between records or between two calls that are ready, so that what it says it consumed and
//! what it holds always belong together.

use bus::stream::{FrameParts, StreamError};
use bus::{Batch, Reader};
use facts::call::{BusRecord, Call, CallEvent, EventRef};
use facts::ids::{CallId, Cause, EventId};
use facts::stream::Input;
use facts::xdr::{Position, RatedCall, RaterState, Revision, Xdr, XdrItem};
use rating::Tariffs;
use rating::assemble::{Known, Limits, Pushed, apply_late};
use rating::rerate::Sides;
use schemas::DecodeError;
use schemas::bus_record::RecordRef;
use schemas::frame::{BYTES_MAX, FrameBuilder, FrameFull, ITEMS_MAX};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::FOLD_VERSION;
use crate::index::{IndexError, Store, trouble};
use crate::options::{RaterError, RaterOptions, RaterStats, add};
use crate::recover::{Recovered, recover};
use crate::tariffs::tariffs_of;
use future::Arrived;

mod future;
mod memory;
mod together;

pub(crate) use future::is_void_order;

/// Room kept in every frame for counts and state, which have to stand in the frame that they count.
const SPARE_ITEMS: usize = 16;
const SPARE_BYTES: usize = 96 * 1024;
/// What one `ImportCount` takes, at most, with names of usual length.
const COUNT_BYTES: usize = 512;
/// Between two looks for another owner's fence.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// Before claiming again what another owner took, or what the bus refused.
const STEP_BACK: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
const DAY: i64 = 86_400_000_000;

pub(crate) fn wall_micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

/// Rates one partition until told to stop. A bus that is away or full, or another owner, only makes it wait and start
/// again from its own stream; anything else is returned.
pub fn run_partition(options: RaterOptions, stop: &AtomicBool, stats: &RaterStats) -> Result<(), RaterError> {
    loop {
        let ended = run_once(&options, stop, stats);
        stats.working.store(false, Ordering::Relaxed);
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(error) if error.is_stop() || stop.load(Ordering::Relaxed) => return Ok(()),
            Err(error) => error,
        };
        let fenced = matches!(error, RaterError::Stream(StreamError::Fenced { .. } | StreamError::NotAccepted { .. }));
        tracing::error!(site = %options.site, partition = options.partition, "rater: {error}");
        stats.set_trouble(Some(error.to_string()));
        if let RaterError::Stream(StreamError::Fenced { owner, .. }) = &error {
            stats.met_rival(owner);
        }
        if !fenced && !error.is_retriable() {
            return Err(error);
        }
        if let (RaterError::Index(IndexError::Damaged { .. }), Some(folder)) = (&error, options.index_folder()) {
            Store::discard(&folder);
        }
        pause(if fenced { STEP_BACK } else { RETRY }, stop);
    }
}

fn pause(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run_once(options: &RaterOptions, stop: &AtomicBool, stats: &RaterStats) -> Result<(), RaterError> {
    let Some(recovered) = recover(options, stop)? else { return Ok(()) };
    bus::failpoint::pass("rater.claimed");
    let reader = options.bus.reader(&options.topic, options.partition, recovered.to)?;
    let mut rater = Rater::new(options, stats, recovered);
    stats.set_trouble(None);
    stats.working.store(true, Ordering::Relaxed);
    rater.run(reader, stop)
}

/// Appends both parts of an item to a frame.
type Write<'w> = &'w dyn Fn(&mut Vec<u8>, &mut Vec<u8>);

struct Rater<'a> {
    options: &'a RaterOptions,
    stats: &'a RaterStats,
    it: Recovered,
    builder: FrameBuilder,
    tariffs: Arc<Tariffs>,
    config: Arc<facts::config::Config>,
    /// The open frame's input: `[from, it.to)`, and the checksum of it.
    from: u64,
    crc: u32,
    /// Calls taken from the assembler that do not stand in a frame yet.
    #[expect(clippy::vec_box, reason = "a call leaves the assembler in a box and is not moved again")]
    calls: Vec<Box<Call>>,
    /// Their sides while they are put into the frame, used again and again.
    priced: Vec<Sides>,
    /// (sequence, consumed up to) of frames on their way.
    sent: VecDeque<(u64, u64)>,
    durable_to: u64,
    last_frame: Instant,
    last_state: Instant,
    last_confirm: Instant,
    frames_since_state: u64,
    forgotten_at: i64,
    wall: i64,
    /// The index could not be written when it was tried last.
    unwritten: bool,
}

impl<'a> Rater<'a> {
    fn new(options: &'a RaterOptions, stats: &'a RaterStats, it: Recovered) -> Self {
        let config = (options.config)();
        let (from, seq) = (it.to, it.writer.durable());
        stats.set_progress(from, seq);
        Self {
            options,
            stats,
            builder: FrameBuilder::new(),
            tariffs: tariffs_of(&config),
            config,
            from,
            crc: 0,
            calls: Vec::with_capacity(together::CALLS),
            priced: Vec::with_capacity(together::CALLS),
            sent: VecDeque::new(),
            durable_to: from,
            last_frame: Instant::now(),
            last_state: Instant::now(),
            last_confirm: Instant::now(),
            // The first frame of an owner carries the state: the next owner need not look behind it.
            frames_since_state: u64::MAX,
            forgotten_at: i64::MIN,
            wall: wall_micros(),
            unwritten: false,
            it,
        }
    }

    fn run(&mut self, mut reader: Box<dyn Reader>, stop: &AtomicBool) -> Result<(), RaterError> {
        let mut batch = Batch::new();
        // Calls that became ready in a frame that was lost, or by the clock while nobody owned the stream.
        self.take_ready()?;
        self.write_calls(false)?;
        while !stop.load(Ordering::Relaxed) {
            let busy = self.it.writer.in_flight() > 0;
            let wait = if busy { Duration::from_millis(1) } else { self.options.poll_wait };
            let polled = reader.poll(&mut batch, self.options.poll_bytes, wait)?;
            // Looked at after the records came: what was applied before they were written counts for them.
            self.follow_config()?;
            self.wall = wall_micros();
            self.records(&batch, stop)?;
            if reader.position() > self.it.to && batch.iter().last().is_none_or(|last| last.offset < self.it.to) {
                // Records that readers never see (the incarnation) are consumed by passing them.
                self.it.to = reader.position();
            }
            self.it.writer.collect()?;
            let idle = polled == 0;
            // While frames are on their way the next one gathers more; when nothing is, what is there goes out.
            let counted = self.it.assembler.imports.changed() > 0;
            let waiting = (counted || !self.builder.is_empty()) && self.it.writer.in_flight() == 0;
            let quiet = idle && self.builder.is_empty() && self.last_frame.elapsed() >= self.options.idle_frame;
            if waiting || quiet {
                self.close_frame()?;
            }
            self.look_around()?;
            self.await_index(stop)?;
        }
        if !self.builder.is_empty() || self.it.assembler.imports.changed() > 0 {
            self.close_frame()?;
        }
        self.it.writer.settle()?;
        self.show();
        Ok(())
    }

    /// Takes over a newer configuration; only between frames.
    fn follow_config(&mut self) -> Result<(), RaterError> {
        let now = (self.options.config)();
        if Arc::ptr_eq(&now, &self.config) {
            return Ok(());
        }
        if !self.builder.is_empty() || !self.calls.is_empty() {
            self.close_frame()?;
        }
        if self.it.to > self.from && now.seq != self.config.seq {
            // What was consumed so far gave no item, so no figure depends on which version the frame names.
            tracing::debug!(from = self.config.seq, to = now.seq, "rater takes over a configuration");
        }
        self.tariffs = tariffs_of(&now);
        self.it.assembler.set_limits(Limits::from(&now.settings));
        self.config = now;
        Ok(())
    }

    /// Shows progress, watches for another owner, forgets what is too old.
    fn look_around(&mut self) -> Result<(), RaterError> {
        self.show();
        if self.last_confirm.elapsed() >= CONFIRM_EVERY {
            self.last_confirm = Instant::now();
            let confirmed = self.it.writer.confirm()?;
            self.write_index(confirmed)?;
        }
        if let Some(clock) = self.it.assembler.clock()
            && clock.micros() - DAY > self.forgotten_at
        {
            self.forgotten_at = clock.micros();
            let limit = i64::from(self.config.settings.late_call_limit_days) * DAY;
            let oldest = clock.micros().saturating_sub(limit).saturating_sub(DAY);
            self.it.places.forget_before(oldest);
            self.it.keys.forget_before(oldest);
        }
        Ok(())
    }

    fn show(&mut self) {
        let durable = self.it.writer.durable();
        while let Some((_, to)) = self.sent.front().copied().filter(|(seq, _)| *seq <= durable) {
            self.durable_to = to;
            self.sent.pop_front();
            bus::failpoint::pass("rater.frame-durable");
        }
        let counted = self.it.assembler.imports.changed() == 0;
        let all = counted && self.sent.is_empty() && self.builder.is_empty() && self.calls.is_empty();
        self.stats.set_progress(if all { self.it.to } else { self.durable_to }, durable);
        self.stats.open_calls.store(self.it.assembler.open_calls() as u64, Ordering::Relaxed);
        self.stats.gaps.store(self.it.assembler.nodes.given_up(), Ordering::Relaxed);
        if let Some(clock) = self.it.assembler.clock() {
            self.stats.clock.store(clock.micros(), Ordering::Relaxed);
        }
    }

    /// Consumes one record.
    fn record(
        &mut self,
        offset: u64,
        value: &[u8],
        decoded: Result<RecordRef<'_>, DecodeError>,
        stop: &AtomicBool,
    ) -> Result<(), RaterError> {
        let counts = self.it.assembler.imports.changed() + SPARE_ITEMS;
        let full = self.builder.items() + counts >= ITEMS_MAX
            || self.builder.bytes() + counts * COUNT_BYTES + SPARE_BYTES >= BYTES_MAX;
        if full && !self.builder.is_empty() {
            self.close_frame()?;
        }
        let ahead = match &decoded {
            Ok(RecordRef::Event(event)) => event.observed_at.micros(),
            Ok(RecordRef::Other(BusRecord::Tick { observed_at, .. })) => observed_at.micros(),
            Ok(RecordRef::Other(BusRecord::Reject(reject))) => reject.observed_at.micros(),
            Ok(RecordRef::Other(BusRecord::ImportEnd(end))) => end.observed_at.micros(),
            _ => i64::MIN,
        };
        let arrived = if ahead > self.wall { self.await_time(ahead, offset, stop)? } else { Arrived::Due };
        let item = match decoded {
            _ if arrived == Arrived::Stopped => return Ok(()),
            Ok(record) if arrived == Arrived::Voided => Some(self.voided(&record, offset)),
            Ok(RecordRef::Event(event)) => self.event(&event, offset)?,
            Ok(RecordRef::Other(record)) => self.other(record),
            Err(error) => {
                add(&self.stats.unreadable, 1);
                let advice = "whoever wrote it is no part of Tandem; find out who writes to call-events";
                Some(self.void(offset, format!("unreadable: {error}"), advice))
            }
        };
        if let Some(item) = item {
            self.put(&item)?;
        }
        while let Some(told) = self.it.assembler.next_told() {
            add(&self.stats.conflicts, 1);
            if told.reason == "lone_repeat" {
                self.it.keys.note_lone(&told.event);
            }
            self.put(&XdrItem::Conflict(told))?;
        }
        self.it.to = offset + 1;
        self.crc = crc32c::crc32c_append(self.crc, value);
        self.take_ready()
    }

    /// Consumes a record that is no event.
    fn other(&mut self, record: BusRecord) -> Option<XdrItem> {
        match record {
            BusRecord::Tick { observed_at, .. } => {
                self.it.assembler.tick(observed_at);
                None
            }
            BusRecord::Reject(reject) => {
                self.it.assembler.tick(reject.observed_at);
                if let Some(import) = reject.import {
                    self.it.assembler.imports.rejected(import);
                }
                add(&self.stats.rejects, 1);
                Some(XdrItem::Reject(reject))
            }
            BusRecord::ImportEnd(end) => {
                self.it.assembler.import_end(&end);
                None
            }
            BusRecord::SourceMark { switch, occurred_until, declared } => {
                Some(XdrItem::SourceMark { switch, occurred_until, declared })
            }
            // Events are read without owning them, by whoever calls this.
            BusRecord::Incarnation(_) | BusRecord::Event(_) => None,
        }
    }

    fn event(&mut self, event: &EventRef<'_>, offset: u64) -> Result<Option<XdrItem>, RaterError> {
        if bus::murmur2_partition(event.call_key.as_bytes(), self.it.partitions) != self.options.partition {
            add(&self.stats.misplaced, 1);
            let reason = format!("misplaced: call key {:?} belongs to another partition", event.call_key);
            let advice = "its writer does not partition by murmur2 of the call key as Java producers do";
            return Ok(Some(self.void(offset, reason, advice)));
        }
        let pushed = self.pushed(event, offset)?;
        trouble(&self.it.places, &self.it.keys)?;
        Ok(match pushed {
            Pushed::Kept | Pushed::Waits => None,
            Pushed::Redelivered => {
                add(&self.stats.redelivered, 1);
                None
            }
            Pushed::Repeated => {
                add(&self.stats.repeated, 1);
                None
            }
            Pushed::Conflict(conflict) => {
                add(&self.stats.conflicts, 1);
                Some(XdrItem::Conflict(conflict))
            }
            Pushed::Late { event, known } => {
                add(&self.stats.late, 1);
                self.late(event, known, offset)?
            }
            // Nothing leaves any more: see `pushed`.
            Pushed::Leaving => None,
        })
    }

    /// Late truth: a revision of the call as it was written, or the suspended call opened again.
    fn late(&mut self, event: Box<CallEvent>, known: Known, offset: u64) -> Result<Option<XdrItem>, RaterError> {
        match self.item(known.at)? {
            XdrItem::Suspended(item) => Ok(match self.it.assembler.reopen(&item, &event.view(), offset) {
                Pushed::Conflict(conflict) => Some(XdrItem::Conflict(conflict)),
                _ => None,
            }),
            XdrItem::Call(earlier) => {
                let revised = match apply_late(&earlier.call, &event) {
                    Ok(Some(call)) => call,
                    Ok(None) => return Ok(None),
                    Err(error) => {
                        let (reason, event) = (error.reason().into(), *event);
                        return Ok(Some(XdrItem::Conflict(Box::new(facts::xdr::Conflict { reason, event }))));
                    }
                };
                add(&self.stats.revised, 1);
                let trigger = trigger(&event);
                let revision = Revision::Late { trigger, based_on: known.at };
                let rated = self.rated(Box::new(revised), revision, &Cause::Late(trigger));
                Ok(Some(XdrItem::Call(Box::new(rated))))
            }
            _ => Err(RaterError::Missing {
                stream: self.options.stream().into(),
                seq: known.at.seq,
                index: known.at.index,
            }),
        }
    }

    /// An item of the own stream, from the open frame or from the log.
    fn item(&mut self, at: Position) -> Result<XdrItem, RaterError> {
        let stream = || SmolStr::from(self.options.stream());
        if at.seq == self.next_seq() {
            let missing = || RaterError::Missing { stream: stream(), seq: at.seq, index: at.index };
            let (public, private) = self.builder.item(at.index as usize).ok_or_else(missing)?;
            return schemas::xdrs::decode_item(public, private).map_err(|source| RaterError::Frame {
                stream: stream(),
                seq: at.seq,
                source,
            });
        }
        if at.seq > self.it.writer.durable() {
            self.it.writer.settle()?;
        }
        self.it.item(at)
    }

    fn next_seq(&self) -> u64 {
        self.it.writer.state().seq() + 1
    }

    fn rated(&self, mut call: Box<Call>, revision: Revision, cause: &Cause) -> RatedCall {
        self.tariffs.normalise(&mut call);
        let xdrs = self.tariffs.rate_as(&call, cause);
        self.count_sides(&xdrs);
        RatedCall { revision, call: *call, xdrs }
    }

    fn count_sides(&self, xdrs: &[Xdr]) {
        add(&self.stats.xdrs, xdrs.len() as u64);
        for xdr in xdrs {
            if let Some(counter) = xdr.unrated.and_then(|reason| self.stats.unrated.get(reason as usize)) {
                add(counter, 1);
            }
            add(&self.stats.provisional, u64::from(xdr.provisional.is_some()));
        }
    }

    fn full(&self) -> bool {
        let counts = self.it.assembler.imports.changed() + SPARE_ITEMS / 2;
        self.builder.items() + counts >= ITEMS_MAX
            || self.builder.bytes() + counts * COUNT_BYTES + SPARE_BYTES / 2 >= BYTES_MAX
    }

    fn push_item(&mut self, item: &XdrItem) -> Result<Position, FrameFull> {
        self.push_with(&|public, private| schemas::xdrs::encode_item(item, public, private))
    }

    fn push_with(&mut self, write: Write<'_>) -> Result<Position, FrameFull> {
        let at = Position { seq: self.next_seq(), index: self.builder.items() as u32 };
        self.builder.push(write)?;
        Ok(at)
    }

    /// Puts an item of the record that is being consumed, which then belongs to the next frame where this one is full.
    fn put(&mut self, item: &XdrItem) -> Result<Position, RaterError> {
        self.write_calls(true)?;
        let call_id = match item {
            XdrItem::Call(rated) => Some(rated.call.call_id),
            _ => None,
        };
        let at = match self.push_item(item) {
            Ok(at) => at,
            Err(FrameFull::TooLarge { bytes }) => self.put_too_large(call_id.unwrap_or_default(), bytes)?,
            Err(FrameFull::FrameFull) => {
                // The counts already know of the record: they wait for the frame that consumes it.
                self.write_frame()?;
                match self.push_item(item) {
                    Ok(at) => at,
                    Err(_) => self.put_too_large(call_id.unwrap_or_default(), BYTES_MAX)?,
                }
            }
        };
        if let XdrItem::Call(rated) = item {
            let known = Known { at, suspended: false, started_at: rated.call.started_at };
            self.it.places.note(rated.call.call_id, names_of(&rated.call), known);
        }
        Ok(at)
    }

    /// What is too large for an item stands as a reject, which is small.
    fn put_too_large(&mut self, call: CallId, bytes: usize) -> Result<Position, RaterError> {
        add(&self.stats.rejects, 1);
        let reason = format!("too_large: call {call} takes {bytes} bytes, the limit is 393216");
        let item = self.void(self.it.to, reason, "look at its events in call-events; it is not rated");
        match self.push_item(&item) {
            Ok(at) => Ok(at),
            Err(_) => {
                self.write_frame()?;
                self.push_item(&item).map_err(|_| RaterError::Missing {
                    stream: self.options.stream().into(),
                    seq: self.next_seq(),
                    index: 0,
                })
            }
        }
    }

    /// Adds counts and, where it is time, the state; then writes the frame.
    fn close_frame(&mut self) -> Result<(), RaterError> {
        self.write_calls(false)?;
        while let Some(count) = self.it.assembler.imports.next_changed() {
            let item = XdrItem::ImportCount(Box::new(count.clone()));
            if self.push_item(&item).is_err() {
                break;
            }
            self.it.assembler.imports.written();
        }
        let due = self.frames_since_state >= self.options.state_frames
            || self.last_state.elapsed() >= self.options.state_every;
        if due && !self.put_state() {
            // A state that is larger than the room kept for it has a frame of its own, which consumes nothing.
            self.write_frame()?;
            self.put_state();
        }
        self.write_frame()
    }

    fn state(&self) -> RaterState {
        let assembler = &self.it.assembler;
        RaterState {
            clock: assembler.clock().unwrap_or_default(),
            nodes: assembler.nodes.to_state(),
            imports: assembler.imports.incomplete(),
            ends: Vec::new(),
        }
    }

    /// False where there was no room.
    fn put_state(&mut self) -> bool {
        self.it.assembler.retire_nodes();
        let put = self.push_item(&XdrItem::State(Box::new(self.state()))).is_ok();
        if put {
            (self.frames_since_state, self.last_state) = (0, Instant::now());
            bus::failpoint::pass("rater.state-put");
        }
        put
    }

    fn write_frame(&mut self) -> Result<(), RaterError> {
        let mut inputs: SmallVec<[Input; 1]> = SmallVec::new();
        inputs.push(Input::Events {
            topic: self.options.topic.clone(),
            partition: self.options.partition,
            incarnation: self.it.incarnation,
            from: self.from,
            to: self.it.to,
            crc32c: self.crc,
        });
        let parts = FrameParts {
            item_schema: schemas::xdrs::ITEMS,
            config_seq: self.config.seq,
            fold_version: FOLD_VERSION,
            inputs,
            floor: Some(self.it.assembler.floor(self.it.to)),
            clock: self.it.assembler.clock(),
            wall_micros: wall_micros(),
        };
        bus::failpoint::pass("rater.before-frame");
        let seq = self.it.writer.append(&mut self.builder, parts)?;
        bus::failpoint::pass("rater.frame-sent");
        self.sent.push_back((seq, self.it.to));
        (self.from, self.crc) = (self.it.to, 0);
        self.last_frame = Instant::now();
        self.frames_since_state = self.frames_since_state.saturating_add(1);
        self.show();
        Ok(())
    }
}

/// What a call's id is made of.
fn names_of(call: &Call) -> (&str, &str, &str) {
    (&call.id_domain, &call.switch, &call.call_key)
}

/// The 16 bytes that name what came late: the dedupe key, else the event's own id.
fn trigger(event: &CallEvent) -> [u8; 16] {
    match event.dedupe {
        Some(key) => key.0,
        None => {
            let id: &EventId<SmolStr> = &event.id;
            id.hash()
        }
    }
}
