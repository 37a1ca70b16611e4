//! Events of one partition to calls (design 6.6, 6.7, 7.1): any order, any repetition, same call. The only clock is the
//! running maximum of ObservedAt. Calls leave in the order in which they became ready; whoever takes some says `written`
//! for each once it stands in a frame, so that a frame can be closed between any two.
//!
//! Never prices, never reads the index or the log itself: both are handed in.

mod fold;
mod imports;
mod late;
mod list;
mod nodes;
mod open;
mod packed;
mod repeats;
mod reuse;
mod words;

pub use fold::{FoldError, fold};
pub use imports::Imports;
pub use late::apply_late;
pub use nodes::Nodes;
pub use repeats::lone_key;
pub use reuse::alias_of;
pub use words::{CallIndex, DedupeIndex, Known, Limits, NoKeys, Origin, Outcome, Pushed};

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::BuildHasher;

use facts::call::{CallEvent, EventRef};
use facts::ids::{CallId, ImportId};
use facts::time::{ObservedAt, OccurredAt};
use facts::xdr::{Conflict, Suspended};
use hashbrown::{DefaultHashBuilder, HashTable};

use smallvec::SmallVec;

use list::{Links, List};
use open::{OpenCall, Why, names, owned};
use repeats::{Repeats, is_known_by_bytes};
use reuse::Again;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A call that has been taken and does not stand in a frame yet.
#[derive(Debug, Clone, Copy)]
struct Left {
    call_id: CallId,
    first_offset: u64,
    /// Where it is a second call with one key: the first one's id, and its own start.
    again: Option<(CallId, OccurredAt)>,
}

/// The open calls of one partition.
pub struct Assembler {
    limits: Limits,
    clock: i64,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    slots: Vec<OpenCall>,
    links: Links,
    free: Vec<u32>,
    /// In the order of their first offsets, both.
    young: List,
    old: List,
    waiting: BinaryHeap<Reverse<(i64, u64, u32, u32)>>,
    ready: VecDeque<(u32, u32)>,
    /// In the order in which they were taken.
    leaving: VecDeque<Left>,
    open: usize,
    again: Again,
    repeats: Repeats,
    /// For a person: see [`Self::next_told`].
    told: VecDeque<Box<Conflict>>,
    /// Events are read that an earlier owner has counted and told of.
    replaying: bool,
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
            links: Links::default(),
            free: Vec::new(),
            young: List::default(),
            old: List::default(),
            waiting: BinaryHeap::new(),
            ready: VecDeque::new(),
            leaving: VecDeque::new(),
            open: 0,
            again: Again::default(),
            repeats: Repeats::default(),
            told: VecDeque::new(),
            replaying: false,
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

    /// Offset of the oldest event of a call that stands in no frame yet; `to` where there is none.
    pub fn floor(&self, to: u64) -> u64 {
        let first = |list: &List| list.head().and_then(|slot| self.call(slot)).map(|call| call.first_offset);
        let open = [first(&self.young), first(&self.old), self.repeats.hold()].into_iter().flatten();
        open.chain(self.leaving.iter().map(|call| call.first_offset)).min().unwrap_or(to)
    }

    /// What a person has to know beside what events gave themselves: rows that stayed alone (`lone_repeat`), calls whose
    /// key another call had before (`key_reused`, which is rated all the same).
    pub fn next_told(&mut self) -> Option<Box<Conflict>> {
        self.told.pop_front()
    }

    /// For a new owner: while events are read again, nothing is counted and nobody is told.
    pub fn replay(&mut self, replaying: bool) {
        self.replaying = replaying;
    }

    fn tell(&mut self, reason: &'static str, event: CallEvent) {
        if !self.replaying {
            self.told.push_back(Box::new(Conflict { reason: reason.into(), event }));
        }
    }

    /// Takes one event. Whatever is ready afterwards is taken with [`Self::next_ready`].
    pub fn push(
        &mut self,
        event: &EventRef<'_>,
        offset: u64,
        index: &impl CallIndex,
        dedupe: &mut impl DedupeIndex,
    ) -> Pushed {
        self.clock = self.clock.max(event.observed_at.micros());
        if !event.id.node.is_empty() && !self.nodes.first_time(event.id.node, event.id.boot_epoch, event.id.sequence) {
            self.advance();
            return Pushed::Redelivered;
        }
        let pushed = self.take(event, offset, index, dedupe);
        self.counted(event, pushed)
    }

    /// Takes an event that was [`Pushed::Leaving`], once nothing leaves any more.
    pub fn push_left(&mut self, event: &EventRef<'_>, offset: u64, index: &impl CallIndex) -> Pushed {
        let pushed = self.place(event, offset, index);
        self.counted(event, pushed)
    }

    fn counted(&mut self, event: &EventRef<'_>, pushed: Pushed) -> Pushed {
        if !matches!(pushed, Pushed::Leaving) {
            if let Some(import) = event.import {
                self.imports.count(import, &pushed);
            }
            self.advance();
        }
        pushed
    }

    fn take(
        &mut self,
        event: &EventRef<'_>,
        offset: u64,
        index: &impl CallIndex,
        dedupe: &mut impl DedupeIndex,
    ) -> Pushed {
        if event.occurred_at.micros() < self.clock.saturating_sub(self.limits.late_limit) {
            return conflict("too_old", event);
        }
        if let Some(key) = event.dedupe
            && let Some(first) = dedupe.see(key, event.occurred_at, Origin::of(event))
        {
            return self.repeated(event, offset, first, dedupe);
        }
        self.end_run(event.import);
        self.place(event, offset, index)
    }

    /// For a new owner: an event of `[floor, to)` that was folded before. Only open calls take it; what has left is in
    /// the index. Suspended calls come back as `Late`, for the caller to look whether the event is in them.
    pub fn recover(
        &mut self,
        event: &EventRef<'_>,
        offset: u64,
        index: &impl CallIndex,
        dedupe: &mut impl DedupeIndex,
    ) -> Pushed {
        if let Some(key) = event.dedupe {
            let own = Origin::of(event);
            let first = dedupe.see(key, event.occurred_at, own);
            // Where a row came first is known of those that nothing but their bytes tells apart.
            match first.filter(|first| *first != own && is_known_by_bytes(event)) {
                Some(first) => {
                    self.repeated(event, offset, first, dedupe);
                    return Pushed::Repeated;
                }
                None => self.end_run(event.import),
            }
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
        self.end_run(Some(end.import));
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
            let all = |call: &OpenCall| call.events().iter().all(|event| event.import == Some(import));
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

    fn hash(&self, event: &EventRef<'_>) -> u64 {
        self.hasher.hash_one(names(event))
    }

    /// Reads ahead what [`Self::push`] of these events will look at, so that it waits for the memory of several calls at
    /// a time. Changes nothing; what it returns means nothing.
    pub fn warm<'a>(&self, events: impl Iterator<Item = &'a EventRef<'a>>) -> u64 {
        let mut hashes: SmallVec<[u64; 64]> = events.map(|event| self.hash(event)).collect();
        for hash in &mut hashes {
            let slot = self.table.find(*hash, |slot| self.slots.get(*slot as usize).is_some_and(|it| it.hash == *hash));
            *hash = slot.copied().and_then(|slot| self.call(slot)).map_or(0, OpenCall::touch);
        }
        hashes.iter().fold(0, |all, one| all ^ one)
    }

    fn open<'a, 'b: 'a>(
        &mut self,
        events: impl Iterator<Item = &'a EventRef<'b>>,
        call_id: CallId,
        offset: u64,
        hash: u64,
    ) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(OpenCall::empty());
                self.links.grow();
                self.slots.len() as u32 - 1
            }
        };
        let call = &mut self.slots[slot as usize];
        for event in events {
            if !call.live {
                call.begin(event, call_id, hash, offset);
            }
            call.add(event);
        }
        // Its time runs from the event that opened it.
        call.first_observed = call.newest_observed();
        self.young.push_back(&mut self.links, slot);
        let slots = &self.slots;
        let rehash = |slot: &u32| slots.get(*slot as usize).map_or(0, |call| call.hash);
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
    pub fn reopen(&mut self, suspended: &Suspended, event: &EventRef<'_>, offset: u64) -> Pushed {
        if suspended.events.len() >= self.limits.events_per_call {
            return conflict("too_many_events", event);
        }
        if suspended.events.iter().any(|known| same_event(known, event)) {
            return Pushed::Redelivered;
        }
        let known: Vec<EventRef<'_>> = suspended.events.iter().map(CallEvent::view).collect();
        self.open(known.iter().chain([event]), event.call_id(), offset, self.hash(event));
        self.advance();
        Pushed::Kept
    }

    fn join(&mut self, slot: u32, event: &EventRef<'_>) -> Pushed {
        let limits = self.limits;
        let call = &mut self.slots[slot as usize];
        if call.holds(event) {
            return Pushed::Redelivered;
        }
        if !call.replace_interim(event) {
            if call.count() >= limits.events_per_call {
                return conflict("too_many_events", event);
            }
            call.add(event);
        }
        self.judge(slot);
        Pushed::Kept
    }

    /// Decides after a new event whether the call is ready, or when it will be.
    fn judge(&mut self, slot: u32) {
        let Some(call) = self.slots.get_mut(slot as usize).filter(|call| call.live && call.ready.is_none()) else {
            return;
        };
        let standing = call.standing();
        if standing.complete {
            self.make_ready(slot, Why::Complete);
        } else if standing.ended {
            call.due = call.last_observed().saturating_add(self.limits.attempt_wait);
            self.waiting.push(Reverse((call.due, call.first_offset, slot, call.generation)));
        } else if call.old && standing.alive {
            self.make_ready(slot, Why::Estimate);
        }
    }

    fn make_ready(&mut self, slot: u32, why: Why) {
        if let Some(call) = self.slots.get_mut(slot as usize).filter(|call| call.live && call.ready.is_none()) {
            call.ready = Some(why);
            self.ready.push_back((slot, call.generation));
        }
    }

    fn current(&self, slot: u32, generation: u32) -> Option<&OpenCall> {
        self.call(slot).filter(|call| call.generation == generation)
    }

    fn call(&self, slot: u32) -> Option<&OpenCall> {
        self.slots.get(slot as usize).filter(|call| call.live)
    }

    /// Looks at everything that the clock has made due.
    fn advance(&mut self) {
        while let Some(import) = self.repeats.overdue(self.clock) {
            self.end_run(Some(import));
        }
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
            let Some(call) = self.slots.get_mut(slot as usize).filter(|call| call.live) else { break };
            let over = call.first_observed.saturating_add(self.limits.maximum_call + self.limits.attempt_wait);
            if over > self.clock || call.ready.is_some() {
                break;
            }
            call.old = true;
            let standing = call.standing();
            self.young.remove(&mut self.links, slot);
            self.old.push_back(&mut self.links, slot);
            if !standing.ended && standing.alive {
                self.make_ready(slot, Why::Estimate);
            }
        }
        // The next one's turn comes when this one has left.
        if let Some(slot) = self.old.head()
            && let Some(call) = self.call(slot)
            && call.first_observed.saturating_add(self.limits.suspend_after) <= self.clock
            && call.ready.is_none()
            && call.due == i64::MAX
        {
            self.make_ready(slot, Why::Suspend("no_end"));
        }
    }

    /// Takes the next call that is ready. Until [`Self::written`] it holds the floor, and what comes for it meanwhile is
    /// [`Pushed::Leaving`].
    pub fn next_ready(&mut self) -> Option<Outcome> {
        while let Some((slot, generation)) = self.ready.pop_front() {
            let Some(call) = self.current(slot, generation) else { continue };
            let outcome = match call.ready {
                Some(Why::Complete) => folded(call, false),
                Some(Why::Estimate) => folded(call, true),
                Some(Why::Suspend(reason)) => suspended(call, reason),
                None => continue,
            };
            let again = if self.again.is_empty() { None } else { reuse::first_of(call.names()) };
            self.leaving.push_back(Left { call_id: call.call_id, first_offset: call.first_offset, again });
            self.remove(slot);
            return Some(outcome);
        }
        None
    }

    /// The call that was taken first of those still leaving stands in a frame.
    pub fn written(&mut self) {
        if let Some((first, started_at)) = self.leaving.pop_front().and_then(|call| call.again) {
            self.again.done(first, started_at);
        }
    }

    fn remove(&mut self, slot: u32) {
        let Some(call) = self.slots.get_mut(slot as usize) else { return };
        let list = if call.old { &mut self.old } else { &mut self.young };
        list.remove(&mut self.links, slot);
        if let Ok(entry) = self.table.find_entry(call.hash, |known| *known == slot) {
            entry.remove();
        }
        call.clear();
        self.free.push(slot);
        self.open -= 1;
        self.advance();
    }
}

/// Two of the same record, or of the same event of one of our nodes.
fn same_event(known: &CallEvent, event: &EventRef<'_>) -> bool {
    match (known.dedupe, event.dedupe) {
        (Some(a), Some(b)) => a == b,
        _ => !known.id.node.is_empty() && known.view().id == event.id,
    }
}

fn conflict(reason: &'static str, event: &EventRef<'_>) -> Pushed {
    Pushed::Conflict(Box::new(Conflict { reason: reason.into(), event: event.owned() }))
}

fn folded(call: &OpenCall, estimate: bool) -> Outcome {
    match fold::fold_as(call.call_id, &call.events(), estimate) {
        Ok(folded) => Outcome::Call(Box::new(folded)),
        Err(error) => suspended(call, error.reason()),
    }
}

fn suspended(call: &OpenCall, reason: &'static str) -> Outcome {
    let events = call.events();
    let started_at = events.iter().map(|event| event.started_at.unwrap_or(event.occurred_at)).min();
    Outcome::Suspended {
        call_id: call.call_id,
        started_at: started_at.unwrap_or_default(),
        item: Box::new(Suspended { reason: reason.into(), events: owned(&events) }),
    }
}

#[cfg(test)]
mod tests;
