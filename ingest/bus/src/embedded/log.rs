//! One partition of the embedded log as its writers, waiters and readers see it: what is pending, what is durable.
//! Holds its lock for memory only, never over I/O; the disk belongs to the partition's own thread (`commit`).

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use facts::stream::Incarnation;

use super::EmbeddedConfig;
use crate::api::{Appended, MAX_RECORD_BYTES, MAX_SUBMIT_BYTES, Record, Retention, Ticket, TopicKind};
use crate::error::BusError;
use segments::block::{self, HEADER, RECORD_HEADER};

/// A segment file. Only the last one of a log grows.
#[derive(Debug)]
pub struct Segment {
    pub path: PathBuf,
    pub base: u64,
    /// Bytes that are durable.
    pub end_pos: AtomicU64,
    /// Base of the next segment; `u64::MAX` while this is the last.
    pub next_base: AtomicU64,
    /// Some block starts (offset, place), in order: where a search begins.
    pub marks: Mutex<Vec<(u64, u64)>>,
}

/// How often a log without space looks for some.
const PROBE: Duration = Duration::from_millis(500);
/// Distance of marks in a segment.
const MARK_BYTES: u64 = 128 << 10;

impl Segment {
    pub fn new(path: PathBuf, base: u64, end_pos: u64, next_base: u64) -> Segment {
        Segment {
            path,
            base,
            end_pos: AtomicU64::new(end_pos),
            next_base: AtomicU64::new(next_base),
            marks: Mutex::new(Vec::new()),
        }
    }

    /// Notes where a block begins, unless a mark stands near it. Whoever reads in any order leaves marks for the others.
    pub fn mark(&self, offset: u64, at: u64) {
        let mut marks = lock(&self.marks);
        let place = marks.partition_point(|(_, before)| *before < at);
        let far = |mark: Option<&(u64, u64)>| mark.is_none_or(|(_, mark)| mark.abs_diff(at) >= MARK_BYTES);
        if far(marks.get(place)) && far(place.checked_sub(1).and_then(|before| marks.get(before))) {
            marks.insert(place, (offset, at));
        }
    }

    /// The last mark at or before `offset`.
    pub fn mark_before(&self, offset: u64) -> (u64, u64) {
        let marks = lock(&self.marks);
        let behind = marks.partition_point(|(mark, _)| *mark <= offset);
        behind.checked_sub(1).map_or((self.base, HEADER as u64), |i| marks[i])
    }
}

/// A panic while a lock is held leaves plain counters behind, which are consistent at every point here.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One partition.
#[derive(Debug)]
pub struct Log {
    pub topic: String,
    pub partition: u32,
    pub dir: PathBuf,
    pub kind: TopicKind,
    pub retention: Retention,
    pub incarnation: Incarnation,
    pub config: Arc<EmbeddedConfig>,
    state: Mutex<State>,
    /// Wakes the committer.
    work: Condvar,
    /// Wakes submitters that wait for room.
    room: Condvar,
    /// Wakes whoever waits for something durable.
    durable: Condvar,
}

#[derive(Debug)]
struct State {
    /// The next block: room for its header, then records.
    pending: Vec<u8>,
    pending_count: u32,
    /// Offset that the next submitted record will have.
    next: u64,
    begin: u64,
    /// Offset after the last durable record.
    end: u64,
    segments: Vec<Arc<Segment>>,
    /// Rises when blocks failed for want of space; tickets of an earlier generation hold up to its end only.
    generation: u64,
    generation_ends: Vec<u64>,
    poison: Option<(SystemTime, String)>,
    no_space: Option<(SystemTime, String)>,
    trim_to: u64,
    stopping: bool,
}

/// What the committer is to do next.
pub enum Work {
    /// A block was swapped out: offset of its first record, number of records.
    Block {
        base: u64,
        count: u32,
    },
    Trim {
        before: u64,
    },
    /// There was no space, and nobody has tried since: look whether there is some.
    Probe,
    End,
}

/// What a reader may read now.
pub struct Readable {
    pub begin: u64,
    pub end: u64,
    pub failed: Option<BusError>,
}

impl Log {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        (topic, partition): (&str, u32),
        dir: PathBuf,
        (kind, retention): (TopicKind, Retention),
        incarnation: Incarnation,
        config: Arc<EmbeddedConfig>,
        segments: Vec<Arc<Segment>>,
        (begin, end): (u64, u64),
    ) -> Log {
        Log {
            topic: topic.to_owned(),
            partition,
            dir,
            kind,
            retention,
            incarnation,
            config,
            state: Mutex::new(State {
                pending: empty_block(),
                pending_count: 0,
                next: end,
                begin,
                end,
                segments,
                generation: 0,
                generation_ends: Vec::new(),
                poison: None,
                no_space: None,
                trim_to: 0,
                stopping: false,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            durable: Condvar::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.clone()
    }

    fn failed(&self, state: &State) -> Option<BusError> {
        if let Some((_, reason)) = &state.poison {
            let reason = reason.clone();
            return Some(BusError::Poisoned { topic: self.topic.clone(), partition: self.partition, reason });
        }
        state.stopping.then_some(BusError::Stopped)
    }

    /// Puts records into the next block; blocks while it is full.
    pub fn submit(&self, records: &[Record<'_>]) -> Result<Ticket, BusError> {
        let mut bytes = 0;
        for record in records {
            let len = record.key.len() + record.value.len();
            if len > MAX_RECORD_BYTES {
                return Err(BusError::TooLarge { topic: self.topic.clone(), bytes: len, limit: MAX_RECORD_BYTES });
            }
            bytes += RECORD_HEADER + len;
        }
        if bytes > MAX_SUBMIT_BYTES {
            return Err(BusError::TooLarge { topic: self.topic.clone(), bytes, limit: MAX_SUBMIT_BYTES });
        }
        let mut state = lock(&self.state);
        loop {
            if let Some(error) = self.failed(&state) {
                return Err(error);
            }
            let used = state.pending.len() - HEADER;
            if used == 0 || used + bytes <= self.config.max_pending_bytes {
                break;
            }
            state = self.room.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let first = state.next;
        let was_empty = state.pending_count == 0;
        state.pending.reserve(bytes);
        for record in records {
            block::put_record(&mut state.pending, record.key, record.value, record.timestamp_ms);
        }
        // A submit holds at most 16 MiB / 16 records and a block a few of them: far below u32.
        state.pending_count += records.len() as u32;
        state.next += records.len() as u64;
        let ticket = Ticket { partition: self.partition, number: state.next, generation: state.generation, first };
        drop(state);
        if was_empty {
            self.work.notify_one();
        }
        Ok(ticket)
    }

    /// Waits until the ticket's records are durable or known not to become so.
    pub fn wait(&self, ticket: Ticket, timeout: Duration) -> Result<Option<Appended>, BusError> {
        let deadline = crate::api::deadline(timeout);
        let mut state = lock(&self.state);
        loop {
            let lost = state
                .generation_ends
                .get(ticket.generation as usize)
                .is_some_and(|generation_end| ticket.number > *generation_end);
            if lost {
                let reason = state.no_space.as_ref().map_or("there was none when it was written", |(_, why)| why);
                return Err(BusError::NoSpace { path: self.path(), reason: reason.to_owned() });
            }
            if state.end >= ticket.number {
                return Ok(Some(Appended { partition: ticket.partition, first: ticket.first, next: ticket.number }));
            }
            if let Some((_, reason)) = &state.poison {
                let reason = reason.clone();
                return Err(BusError::Poisoned { topic: self.topic.clone(), partition: self.partition, reason });
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            state = wait_until(&self.durable, state, deadline - now);
        }
    }

    /// For the committer: the next thing to do. Swaps the pending block against `block`.
    pub fn next_work(&self, block: &mut Vec<u8>) -> Work {
        let mut state = lock(&self.state);
        loop {
            if state.pending_count > 0 {
                let count = std::mem::take(&mut state.pending_count);
                let base = state.next - u64::from(count);
                block.clear();
                block.resize(HEADER, 0);
                std::mem::swap(&mut state.pending, block);
                drop(state);
                self.room.notify_all();
                return Work::Block { base, count };
            }
            if state.trim_to > state.begin {
                return Work::Trim { before: std::mem::take(&mut state.trim_to) };
            }
            if state.stopping {
                return Work::End;
            }
            if state.no_space.is_none() {
                state = self.work.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            let (woken, waited) =
                self.work.wait_timeout(state, PROBE).unwrap_or_else(std::sync::PoisonError::into_inner);
            if waited.timed_out() && woken.pending_count == 0 && !woken.stopping {
                return Work::Probe;
            }
            state = woken;
        }
    }

    /// For the committer: what did not find room would find it now.
    pub fn space_again(&self) {
        lock(&self.state).no_space = None;
    }

    /// For the committer: everything below `end` is durable, the active segment up to `end_pos`.
    pub fn publish(&self, end: u64, end_pos: u64) {
        let mut state = lock(&self.state);
        state.end = end;
        state.no_space = None;
        if let Some(active) = state.segments.last() {
            active.end_pos.store(end_pos, Ordering::Release);
        }
        drop(state);
        self.durable.notify_all();
    }

    /// For the committer: a new segment follows.
    pub fn add_segment(&self, segment: Arc<Segment>) {
        let mut state = lock(&self.state);
        if let Some(last) = state.segments.last() {
            last.next_base.store(segment.base, Ordering::Release);
        }
        state.segments.push(segment);
    }

    /// For the committer: the block it held and all that is pending did not find room. Offsets go back.
    pub fn fail_for_space(&self, reason: String) {
        let mut state = lock(&self.state);
        let end = state.end;
        state.generation += 1;
        state.generation_ends.push(end);
        state.next = end;
        state.pending.truncate(HEADER);
        state.pending_count = 0;
        let since = state.no_space.take().map_or_else(SystemTime::now, |(since, _)| since);
        state.no_space = Some((since, reason));
        drop(state);
        self.room.notify_all();
        self.durable.notify_all();
    }

    /// For the committer: a write or sync failed; nothing is taken any more.
    pub fn poison(&self, reason: String) {
        let mut state = lock(&self.state);
        state.poison = Some((SystemTime::now(), reason));
        drop(state);
        self.wake_all();
    }

    /// For the committer: these segments are gone from the log; returns them for deletion.
    pub fn drop_segments(&self, before: u64) -> (u64, Vec<Arc<Segment>>) {
        let mut state = lock(&self.state);
        let keep = state
            .segments
            .iter()
            .position(|s| s.next_base.load(Ordering::Acquire) > before)
            .unwrap_or(state.segments.len().saturating_sub(1));
        let gone: Vec<_> = state.segments.drain(..keep).collect();
        if let Some(first) = state.segments.first()
            && !gone.is_empty()
        {
            state.begin = first.base;
        }
        (state.begin, gone)
    }

    /// Asks the committer to give up whole segments below `before`; waits until it has.
    pub fn trim(&self, before: u64) -> Result<u64, BusError> {
        let mut state = lock(&self.state);
        let whole = state
            .segments
            .iter()
            .map(|s| s.next_base.load(Ordering::Acquire))
            .take_while(|next| *next <= before)
            .last();
        let Some(target) = whole.filter(|target| *target > state.begin) else { return Ok(state.begin) };
        state.trim_to = target;
        self.work.notify_one();
        while state.begin < target {
            if let Some(error) = self.failed(&state) {
                return Err(error);
            }
            state = wait_until(&self.durable, state, Duration::from_secs(1));
        }
        Ok(state.begin)
    }

    /// After a trim: whoever waits for it may look.
    pub fn notify_durable(&self) {
        self.durable.notify_all();
    }

    /// What may be read from `position` on; waits until something is there, or the deadline.
    pub fn readable(&self, position: u64, deadline: Instant) -> Readable {
        let mut state = lock(&self.state);
        loop {
            let failed = if state.end > position { None } else { self.failed(&state) };
            let waits = state.end <= position && failed.is_none();
            let left = if waits { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            if left.is_zero() {
                return Readable { begin: state.begin, end: state.end, failed };
            }
            state = wait_until(&self.durable, state, left);
        }
    }

    /// The segment that holds `offset`, or is to hold it.
    pub fn segment_of(&self, offset: u64) -> Option<Arc<Segment>> {
        let state = lock(&self.state);
        let behind = state.segments.partition_point(|s| s.base <= offset);
        behind.checked_sub(1).map(|i| Arc::clone(&state.segments[i]))
    }

    pub fn bounds(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.begin, state.end)
    }

    /// Why the log takes nothing, if so: (since, why, for good).
    pub fn trouble(&self) -> Option<(SystemTime, String, bool)> {
        let state = lock(&self.state);
        let place = format!("{}/{}", self.topic, self.partition);
        match (&state.poison, &state.no_space) {
            (Some((since, why)), _) => Some((*since, format!("{place}: {why}"), true)),
            (_, Some((since, why))) => Some((*since, format!("{place}: {why}"), false)),
            _ => None,
        }
    }

    pub fn stop(&self) {
        lock(&self.state).stopping = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        self.work.notify_all();
        self.room.notify_all();
        self.durable.notify_all();
    }
}

/// A block without records: just the room for its header.
pub fn empty_block() -> Vec<u8> {
    vec![0; HEADER]
}

fn wait_until<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, left: Duration) -> MutexGuard<'a, T> {
    match condvar.wait_timeout(guard, left) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_readers_leave_in_any_order_stand_in_order_and_apart() {
        let segment = Segment::new(PathBuf::new(), 100, 0, 0);
        // Blocks of 64 KiB with ten records each, met from the middle, then the end, then the begin.
        let block = |n: u64| (100 + n * 10, HEADER as u64 + n * (64 << 10));
        for n in (300..400).chain(700..800).chain(0..600) {
            let (offset, at) = block(n);
            segment.mark(offset, at);
        }
        let marks = lock(&segment.marks).clone();
        assert!(marks.windows(2).all(|two| two[1].1 - two[0].1 >= MARK_BYTES && two[0].0 < two[1].0), "{marks:?}");
        assert_eq!((marks.len(), segment.mark_before(99)), (50 + 250 + 50, (100, HEADER as u64)));
        for n in (0..600).chain(700..800) {
            let (offset, at) = segment.mark_before(block(n).0 + 9);
            assert!(offset <= block(n).0 && at + MARK_BYTES >= block(n).1, "block {n}: {offset} at {at}");
        }
    }
}
