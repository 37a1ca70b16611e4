//! Events of one partition to calls (design 6.6, 6.7, 7.1): any order, any repetition, same call. The only clock is the
//! running maximum of ObservedAt. Calls leave in the order in which they became ready; whoever takes one says `done`
//! once it stands in a frame, so that a frame can be closed between any two.
//!
//! Never prices, never reads the index or the log itself: both are handed in.

mod fold;
mod imports;
mod late;
mod list;
mod nodes;

pub use fold::{FoldError, fold};
pub use imports::Imports;
pub use late::apply_late;
pub use nodes::Nodes;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::BuildHasher;

use facts::call::{Call, CallEvent, EventKind, RawRef};
use facts::config::SiteSettings;
use facts::ids::{CallId, DedupeKey, ImportId};
use facts::time::{ObservedAt, OccurredAt};
use facts::xdr::{Conflict, Position, Suspended};
use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;

use list::{Links, List};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Bounds and waits of the assembler, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest call: two starts with one call key further apart are two calls.
    pub maximum_call: i64,
    /// After the last event of an ended call, before missing attempts are given up.
    pub attempt_wait: i64,
    /// A call open for longer is written out and leaves the floor.
    pub suspend_after: i64,
    /// Events of older calls are for a person.
    pub late_limit: i64,
    pub open_calls: usize,
    pub events_per_call: usize,
}

impl From<&SiteSettings> for Limits {
    fn from(settings: &SiteSettings) -> Self {
        Self {
            maximum_call: i64::from(settings.maximum_call_seconds) * SECOND,
            attempt_wait: i64::from(settings.attempt_wait_seconds) * SECOND,
            suspend_after: DAY,
            late_limit: i64::from(settings.late_call_limit_days) * DAY,
            open_calls: 1_000_000,
            events_per_call: 600,
        }
    }
}

/// Where a call that is no longer open stands in the own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub at: Position,
    /// Written out without a price.
    pub suspended: bool,
    pub started_at: OccurredAt,
}

/// Calls of the last `late_call_limit_days` that have left the assembler.
pub trait CallIndex {
    fn find(&self, call: CallId) -> Option<Known>;
}

/// The row of a file that brought a record; all zero for what no file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The first eight bytes of the hash of the file, or of whatever else brought it.
    pub file: u64,
    /// First byte of the row in it.
    pub offset: u64,
}

impl Origin {
    pub fn of_raw(raw: &RawRef) -> Self {
        let mut file = [0; 8];
        file.copy_from_slice(&raw.hash[..8]);
        Self { file: u64::from_le_bytes(file), offset: raw.offset }
    }

    pub fn of(event: &CallEvent) -> Self {
        event.raw.as_ref().map(Self::of_raw).unwrap_or_default()
    }
}

/// Dedupe keys of foreign records over the retention.
pub trait DedupeIndex {
    /// Which row brought the key first; `None` where it was not there before: it is then, with this row.
    fn see(&mut self, key: DedupeKey, occurred_at: OccurredAt, origin: Origin) -> Option<Origin>;
}

/// What became of an event.
#[derive(Debug)]
pub enum Pushed {
    /// Joined its call, or opened one.
    Kept,
    /// The bus brought the same event again.
    Redelivered,
    /// A record that an earlier file or request brought already.
    Repeated,
    /// For a person: `too_old`, `key_reused`, `too_many_events`.
    Conflict(Box<Conflict>),
    /// Its call has left: the caller fetches it and makes a revision, or reopens it where it was suspended.
    Late { event: Box<CallEvent>, known: Known },
}

/// What a call has become.
#[derive(Debug)]
pub enum Outcome {
    Call(Box<Call>),
    Suspended { call_id: CallId, started_at: OccurredAt, item: Box<Suspended> },
}

/// A call that is ready; [`Assembler::done`] takes it off.
#[derive(Debug)]
pub struct Ready {
    pub slot: ReadySlot,
    pub outcome: Outcome,
}

/// The place of a ready call, for [`Assembler::done`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadySlot(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Complete,
    /// Ended at the last proof of life.
    Estimate,
    Suspend(&'static str),
}

#[derive(Debug)]
struct OpenCall {
    events: SmallVec<[Box<CallEvent>; 3]>,
    first_offset: u64,
    first_observed: i64,
    /// When missing attempts are given up; `i64::MAX` while there is no end.
    due: i64,
    ready: Option<Why>,
    /// In the list of those that have outlived the maximum call.
    old: bool,
    hash: u64,
}

/// The open calls of one partition.
pub struct Assembler {
    limits: Limits,
    clock: i64,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    slots: Vec<Option<OpenCall>>,
    /// Counts up whenever a slot is reused, so that stale entries of the queues are told apart.
    generations: Vec<u32>,
    links: Links,
    free: Vec<u32>,
    /// In the order of their first offsets, both.
    young: List,
    old: List,
    waiting: BinaryHeap<Reverse<(i64, u64, u32, u32)>>,
    ready: VecDeque<(u32, u32)>,
    open: usize,
    pub nodes: Nodes,
    pub imports: Imports,
}

impl Assembler {
    pub fn new(limits: Limits, partition: u32) -> Self {
        Self {
            limits,
            clock: i64::MIN,
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            slots: Vec::new(),
            generations: Vec::new(),
            links: Links::default(),
            free: Vec::new(),
            young: List::default(),
            old: List::default(),
            waiting: BinaryHeap::new(),
            ready: VecDeque::new(),
            open: 0,
            nodes: Nodes::default(),
            imports: Imports::new(partition),
        }
    }

    /// New bounds of a new configuration version.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Running maximum of ObservedAt; `None` before the first record.
    pub fn clock(&self) -> Option<ObservedAt> {
        (self.clock != i64::MIN).then_some(ObservedAt(self.clock))
    }

    pub fn open_calls(&self) -> usize {
        self.open
    }

    /// Forgets starts of nodes that can bring nothing any more; before the marks are written out.
    pub fn retire_nodes(&mut self) {
        if self.clock != i64::MIN {
            self.nodes.retire(self.clock, self.limits.late_limit);
        }
    }

    /// Offset of the oldest event of an open call; `to` where none is open.
    pub fn floor(&self, to: u64) -> u64 {
        let first = |list: &List| list.head().and_then(|slot| self.call(slot)).map(|call| call.first_offset);
        [first(&self.young), first(&self.old)].into_iter().flatten().min().unwrap_or(to)
    }

    /// Takes one event. Whatever is ready afterwards is taken with [`Self::peek_ready`].
    pub fn push(
        &mut self,
        event: Box<CallEvent>,
        offset: u64,
        index: &impl CallIndex,
        dedupe: &mut impl DedupeIndex,
    ) -> Pushed {
        self.clock = self.clock.max(event.observed_at.micros());
        if !event.id.node.is_empty() && !self.nodes.first_time(&event.id.node, event.id.boot_epoch, event.id.sequence) {
            self.advance();
            return Pushed::Redelivered;
        }
        let import = event.import;
        let pushed = self.take(event, offset, index, dedupe);
        if let Some(import) = import {
            self.imports.count(import, &pushed);
        }
        self.advance();
        pushed
    }

    fn take(
        &mut self,
        event: Box<CallEvent>,
        offset: u64,
        index: &impl CallIndex,
        dedupe: &mut impl DedupeIndex,
    ) -> Pushed {
        if event.occurred_at.micros() < self.clock.saturating_sub(self.limits.late_limit) {
            return conflict("too_old", event);
        }
        if let Some(key) = event.dedupe
            && dedupe.see(key, event.occurred_at, Origin::of(&event)).is_some()
        {
            return Pushed::Repeated;
        }
        self.place(event, offset, index)
    }

    /// For a new owner: an event of `[floor, to)` that was folded before. Only open calls take it; what has left is in
    /// the index. Suspended calls come back as `Late`, for the caller to look whether the event is in them.
    pub fn recover(
        &mut self,
        event: Box<CallEvent>,
        offset: u64,
        index: &impl CallIndex,
        dedupe: &mut impl DedupeIndex,
    ) -> Pushed {
        if let Some(key) = event.dedupe {
            dedupe.see(key, event.occurred_at, Origin::of(&event));
        }
        if event.occurred_at.micros() < self.clock.saturating_sub(self.limits.late_limit) {
            return Pushed::Repeated;
        }
        match self.place(event, offset, index) {
            Pushed::Late { known, .. } if !known.suspended => Pushed::Repeated,
            Pushed::Conflict(_) => Pushed::Repeated,
            other => other,
        }
    }

    /// For a new owner: the clock of the last accepted frame.
    pub fn recover_clock(&mut self, clock: ObservedAt) {
        self.clock = self.clock.max(clock.micros());
        self.advance();
    }

    /// A tick, or any other record that only moves the clock.
    pub fn tick(&mut self, clock: ObservedAt) {
        self.clock = self.clock.max(clock.micros());
        self.advance();
    }

    /// All records of an import are on the bus: calls that only wait for further attempts of it wait no longer.
    pub fn import_end(&mut self, end: &facts::call::ImportEnd) {
        self.clock = self.clock.max(end.observed_at.micros());
        if self.imports.end(end) {
            self.release(end.import);
        }
        self.advance();
    }

    fn release(&mut self, import: ImportId) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut kept = Vec::with_capacity(waiting.len());
        for entry in waiting.into_sorted_vec().into_iter().rev() {
            let Reverse((due, first, slot, generation)) = entry;
            let all = |call: &OpenCall| call.events.iter().all(|event| event.import == Some(import));
            match self.current(slot, generation) {
                Some(call) if call.due == due && call.ready.is_none() => {
                    if all(call) {
                        self.make_ready(slot, Why::Complete);
                    } else {
                        kept.push(Reverse((due, first, slot, generation)));
                    }
                }
                _ => {}
            }
        }
        self.waiting = BinaryHeap::from(kept);
    }

    /// Finds the open call of an event, or why there is none.
    fn place(&mut self, event: Box<CallEvent>, offset: u64, index: &impl CallIndex) -> Pushed {
        let hash = self.hasher.hash_one((&*event.id_domain, &*event.switch, &*event.call_key));
        let slots = &self.slots;
        let same = |slot: &u32| slots[*slot as usize].as_ref().is_some_and(|call| same_call(&call.events[0], &event));
        if let Some(slot) = self.table.find(hash, same).copied() {
            return self.join(slot, event);
        }
        let call_id = event.call_id();
        match index.find(call_id) {
            Some(known) if self.reused(&event, known.started_at) => conflict("key_reused", event),
            Some(known) => Pushed::Late { event, known },
            None => {
                self.open(SmallVec::from_iter([event]), offset, hash);
                Pushed::Kept
            }
        }
    }

    /// Whether a start is too far from the known one to be of the same call.
    fn reused(&self, event: &CallEvent, started_at: OccurredAt) -> bool {
        let start = match event.kind {
            EventKind::Started => event.occurred_at,
            EventKind::Record => event.started_at.unwrap_or(event.occurred_at),
            _ => return false,
        };
        (start.micros().saturating_sub(started_at.micros())).saturating_abs() > self.limits.maximum_call
    }

    fn open(&mut self, events: SmallVec<[Box<CallEvent>; 3]>, offset: u64, hash: u64) {
        let first_observed = events.last().map_or(self.clock, |event| event.observed_at.micros());
        let call =
            OpenCall { events, first_offset: offset, first_observed, due: i64::MAX, ready: None, old: false, hash };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.generations.push(0);
                self.links.grow();
                self.slots.len() as u32 - 1
            }
        };
        self.slots[slot as usize] = Some(call);
        self.young.push_back(&mut self.links, slot);
        let slots = &self.slots;
        let rehash = |slot: &u32| slots[*slot as usize].as_ref().map_or(0, |call| call.hash);
        self.table.insert_unique(hash, slot, rehash);
        self.open += 1;
        self.judge(slot);
        if self.open > self.limits.open_calls
            && let Some(oldest) = self.old.head().or(self.young.head())
        {
            self.make_ready(oldest, Why::Suspend("open_limit"));
        }
    }

    /// Opens a suspended call again with its events and the one that came late.
    pub fn reopen(&mut self, suspended: Suspended, event: Box<CallEvent>, offset: u64) -> Pushed {
        if suspended.events.len() >= self.limits.events_per_call {
            return conflict("too_many_events", event);
        }
        if suspended.events.iter().any(|known| same_event(known, &event)) {
            return Pushed::Redelivered;
        }
        let hash = self.hasher.hash_one((&*event.id_domain, &*event.switch, &*event.call_key));
        let mut events: SmallVec<[Box<CallEvent>; 3]> = suspended.events.into_iter().map(Box::new).collect();
        events.push(event);
        self.open(events, offset, hash);
        self.advance();
        Pushed::Kept
    }

    fn join(&mut self, slot: u32, event: Box<CallEvent>) -> Pushed {
        let limits = self.limits;
        let Some(call) = self.slots[slot as usize].as_ref() else { return Pushed::Kept };
        let start = call.events.iter().find(|e| matches!(e.kind, EventKind::Started | EventKind::Record));
        if let Some(start) = start.map(|start| start.started_at.unwrap_or(start.occurred_at))
            && self.reused(&event, start)
        {
            return conflict("key_reused", event);
        }
        let Some(call) = self.slots[slot as usize].as_mut() else { return Pushed::Kept };
        if call.events.iter().any(|known| same_event(known, &event)) {
            return Pushed::Redelivered;
        }
        let room = call.events.len() < limits.events_per_call;
        let twin = call.events.iter_mut().find(|known| {
            event.kind == EventKind::Interim
                && known.kind == EventKind::Interim
                && (known.leg, &known.attempt_key) == (event.leg, &event.attempt_key)
        });
        match twin {
            // Of several proofs of life only the last says something.
            Some(twin) if (twin.occurred_at, &twin.id) < (event.occurred_at, &event.id) => *twin = event,
            Some(_) => {}
            None if !room => return conflict("too_many_events", event),
            None => call.events.push(event),
        }
        self.judge(slot);
        Pushed::Kept
    }

    /// Decides after a new event whether the call is ready, or when it will be.
    fn judge(&mut self, slot: u32) {
        let Some(call) = self.slots[slot as usize].as_mut().filter(|call| call.ready.is_none()) else { return };
        let standing = fold::standing(&call.events);
        if standing.complete {
            self.make_ready(slot, Why::Complete);
        } else if standing.ended {
            let last = call.events.iter().map(|event| event.observed_at.micros()).max().unwrap_or(0);
            call.due = last.saturating_add(self.limits.attempt_wait);
            let entry = (call.due, call.first_offset, slot, self.generations[slot as usize]);
            self.waiting.push(Reverse(entry));
        } else if call.old && standing.alive {
            self.make_ready(slot, Why::Estimate);
        }
    }

    fn make_ready(&mut self, slot: u32, why: Why) {
        if let Some(call) = self.slots[slot as usize].as_mut().filter(|call| call.ready.is_none()) {
            call.ready = Some(why);
            self.ready.push_back((slot, self.generations[slot as usize]));
        }
    }

    fn current(&self, slot: u32, generation: u32) -> Option<&OpenCall> {
        (self.generations[slot as usize] == generation).then(|| self.call(slot)).flatten()
    }

    fn call(&self, slot: u32) -> Option<&OpenCall> {
        self.slots.get(slot as usize).and_then(Option::as_ref)
    }

    /// Looks at everything that the clock has made due.
    fn advance(&mut self) {
        while let Some(Reverse((due, _, slot, generation))) = self.waiting.peek().copied() {
            if due > self.clock {
                break;
            }
            self.waiting.pop();
            if self.current(slot, generation).is_some_and(|call| call.due == due) {
                self.make_ready(slot, Why::Complete);
            }
        }
        while let Some(slot) = self.young.head() {
            let Some(call) = self.slots[slot as usize].as_mut() else { break };
            let over = call.first_observed.saturating_add(self.limits.maximum_call + self.limits.attempt_wait);
            if over > self.clock || call.ready.is_some() {
                break;
            }
            call.old = true;
            let standing = fold::standing(&call.events);
            self.young.remove(&mut self.links, slot);
            self.old.push_back(&mut self.links, slot);
            if !standing.ended && standing.alive {
                self.make_ready(slot, Why::Estimate);
            }
        }
        // The next one's turn comes when this one is done.
        if let Some(slot) = self.old.head()
            && let Some(call) = self.call(slot)
            && call.first_observed.saturating_add(self.limits.suspend_after) <= self.clock
            && call.ready.is_none()
            && call.due == i64::MAX
        {
            self.make_ready(slot, Why::Suspend("no_end"));
        }
    }

    /// The next call that is ready. It stays open until [`Self::done`].
    pub fn peek_ready(&mut self) -> Option<Ready> {
        while let Some((slot, generation)) = self.ready.front().copied() {
            let Some(call) = self.current(slot, generation) else {
                self.ready.pop_front();
                continue;
            };
            let outcome = match call.ready {
                Some(Why::Complete) => folded(call, false),
                Some(Why::Estimate) => folded(call, true),
                Some(Why::Suspend(reason)) => suspended(call, reason),
                None => {
                    self.ready.pop_front();
                    continue;
                }
            };
            return Some(Ready { slot: ReadySlot(slot), outcome });
        }
        None
    }

    /// The call stands in a frame: forgets it.
    pub fn done(&mut self, ready: ReadySlot) {
        let slot = ready.0;
        if self.ready.front().is_some_and(|(front, _)| *front == slot) {
            self.ready.pop_front();
        }
        let Some(call) = self.slots[slot as usize].take() else { return };
        let list = if call.old { &mut self.old } else { &mut self.young };
        list.remove(&mut self.links, slot);
        if let Ok(entry) = self.table.find_entry(call.hash, |known| *known == slot) {
            entry.remove();
        }
        self.generations[slot as usize] = self.generations[slot as usize].wrapping_add(1);
        self.free.push(slot);
        self.open -= 1;
        self.advance();
    }
}

fn same_call(a: &CallEvent, b: &CallEvent) -> bool {
    a.call_key == b.call_key && a.switch == b.switch && a.id_domain == b.id_domain
}

fn same_event(a: &CallEvent, b: &CallEvent) -> bool {
    match (a.dedupe, b.dedupe) {
        (Some(a), Some(b)) => a == b,
        _ => !a.id.node.is_empty() && a.id == b.id,
    }
}

fn conflict(reason: &'static str, event: Box<CallEvent>) -> Pushed {
    Pushed::Conflict(Box::new(Conflict { reason: reason.into(), event: *event }))
}

fn folded(call: &OpenCall, estimate: bool) -> Outcome {
    match fold(&call.events, estimate) {
        Ok(folded) => Outcome::Call(Box::new(folded)),
        Err(error) => suspended(call, error.reason()),
    }
}

fn suspended(call: &OpenCall, reason: &'static str) -> Outcome {
    let events: Vec<CallEvent> = call.events.iter().map(|event| (**event).clone()).collect();
    let first = &call.events[0];
    let started_at = events.iter().map(|event| event.started_at.unwrap_or(event.occurred_at)).min();
    Outcome::Suspended {
        call_id: first.call_id(),
        started_at: started_at.unwrap_or(first.occurred_at),
        item: Box::new(Suspended { reason: reason.into(), events }),
    }
}

#[cfg(test)]
mod tests;
