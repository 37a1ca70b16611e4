//! The one interface of all buses: topics, partitions, offsets, many records to one durable answer.
//! Blocking, for threads that do nothing else; every queue behind it is bounded. It never resets an
//! offset, never creates a topic by accident, and never says "written" before it is durable.

use std::time::{Duration, Instant, SystemTime};

use facts::stream::Incarnation;

use crate::error::BusError;

/// Largest record (key + value) any bus takes. Frames close at 512 KiB, so this leaves room for
/// what others put into `switch-events`.
pub const MAX_RECORD_BYTES: usize = 4_000_000;
/// Largest sum of one [`Writer::submit`].
pub const MAX_SUBMIT_BYTES: usize = 16 << 20;
/// Most tickets that may be open on one writer.
pub const MAX_OPEN_TICKETS: usize = 4_096;

/// Longest single wait; callers that want more ask again.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// When a wait of `timeout` is over.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(LONGEST_WAIT)
}

/// What a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicKind {
    /// One event a record. Begins with an incarnation record, which readers never see.
    Events,
    /// Frames and fences: records that are hash-chained themselves. Begins with an incarnation record.
    Frames,
    /// Somebody else's topic (`switch-events`): no incarnation record is written or expected.
    Foreign,
}

/// How long a topic keeps records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Until [`Bus::trim`].
    Forever,
    /// At least so many days by the records' `timestamp_ms`.
    Days(u32),
}

/// A topic as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: u32,
    pub kind: TopicKind,
    pub retention: Retention,
    /// The incarnations a caller remembers, by partition; empty = none. Where they are given the
    /// topic must exist and be that one, else [`BusError::TopicLost`].
    pub known: Vec<Incarnation>,
}

impl TopicSpec {
    /// A topic of events, kept for ever.
    pub fn events(name: impl Into<String>, partitions: u32) -> TopicSpec {
        TopicSpec::new(name, partitions, TopicKind::Events)
    }
    /// A topic of frames, kept for ever.
    pub fn frames(name: impl Into<String>, partitions: u32) -> TopicSpec {
        TopicSpec::new(name, partitions, TopicKind::Frames)
    }
    /// A topic others write, kept for ever.
    pub fn foreign(name: impl Into<String>, partitions: u32) -> TopicSpec {
        TopicSpec::new(name, partitions, TopicKind::Foreign)
    }
    fn new(name: impl Into<String>, partitions: u32, kind: TopicKind) -> TopicSpec {
        TopicSpec { name: name.into(), partitions, kind, retention: Retention::Forever, known: Vec::new() }
    }
    /// Names at most 249 characters that are safe as a file name and as a Kafka topic.
    pub(crate) fn check(&self) -> Result<(), BusError> {
        check_name(&self.name)?;
        if self.partitions == 0 || self.partitions > 10_000 {
            return Err(BusError::Config {
                setting: format!("partitions of {}", self.name),
                reason: format!("{} is not 1 to 10000", self.partitions),
            });
        }
        Ok(())
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), BusError> {
    let reason = if name.is_empty() || name.len() > 249 {
        "its length"
    } else if name == "." || name == ".." {
        "it means a folder"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        "it has other characters"
    } else {
        return Ok(());
    };
    Err(BusError::BadName { name: name.to_owned(), reason })
}

/// A caller's memory against what there is.
pub(crate) fn check_known(spec: &TopicSpec, found: &[Incarnation]) -> Result<(), BusError> {
    for (partition, known) in spec.known.iter().enumerate() {
        if found.get(partition) != Some(known) {
            let reason = match found.get(partition) {
                Some(found) => format!("partition {partition} is incarnation {found}, expected is {known}"),
                None => format!("partition {partition} with incarnation {known} is not there"),
            };
            return Err(BusError::TopicLost { topic: spec.name.clone(), reason });
        }
    }
    Ok(())
}

/// What `ensure` found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub created: bool,
    pub partitions: Vec<PartitionInfo>,
}

/// One partition as `ensure` found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInfo {
    /// None for foreign topics only.
    pub incarnation: Option<Incarnation>,
    /// First offset still held.
    pub begin: u64,
    /// Offset after the last durable record.
    pub end: u64,
}

/// One record to be written. `timestamp_ms` is when *we* observed it (milliseconds since 1970, UTC),
/// never the call's own time: Kafka's retention goes by it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub timestamp_ms: i64,
}

/// One record read, borrowed from its [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Promise of one submit. Wait for each; a writer keeps at most [`MAX_OPEN_TICKETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub partition: u32,
    pub(crate) number: u64,
    /// Embedded: the log's generation when it was taken, and where the records end.
    pub(crate) generation: u64,
    pub(crate) first: u64,
}

/// Where records came to stand, durably: offsets `first..next` of the partition hold them
/// (and, with several writers on Kafka, perhaps others' in between).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub partition: u32,
    pub first: u64,
    pub next: u64,
}

/// The state of the bus for people and alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusHealth {
    Up,
    /// Out of reach or out of space since then; work goes on by itself when that ends.
    Away {
        since: SystemTime,
        why: String,
    },
    /// Needs a person.
    Failed {
        since: SystemTime,
        why: String,
    },
}

/// A bus: topics with partitions of records in order.
pub trait Bus: Send + Sync {
    /// Creates the topic with the right settings, or checks that it matches. A topic that was there
    /// before and has vanished or been replaced is refused.
    fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, BusError>;
    /// Number of partitions; `None` when there is no such topic.
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BusError>;
    /// All topics in name order (Kafka: those visible to us, internal ones left out).
    fn topics(&self) -> Result<Vec<String>, BusError>;
    /// A writer to an existing topic. Several may write at once, also to one partition.
    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError>;
    /// A reader from an offset within `begin..=end`; outside is an error, never a reset.
    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError>;
    /// The next offset to be written after the durable ones.
    fn end(&self, topic: &str, partition: u32) -> Result<u64, BusError>;
    /// First offset still held.
    fn begin(&self, topic: &str, partition: u32) -> Result<u64, BusError>;
    /// Gives up records before `before` (whole segments only, so perhaps fewer). Returns the new begin.
    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<u64, BusError>;
    /// How it is now. A bus that is away looks by itself, again and again, whether that has ended: nobody has to write
    /// to find out.
    fn health(&self) -> BusHealth;
    /// Makes every blocked and later call of its writers and readers return [`BusError::Stopped`].
    fn stop(&self);
}

/// Writes to one topic. On the embedded bus the records of one submit become durable together.
pub trait Writer: Send {
    /// Hands records over and returns at once unless the bounded queue is full (then it blocks).
    /// The bytes are copied; the slices are free again on return.
    fn submit(&mut self, partition: u32, records: &[Record<'_>]) -> Result<Ticket, BusError>;
    /// Waits until the records of the ticket are durable (embedded: fdatasync; Kafka: acks=all).
    /// `None`: not yet within `timeout`; ask again. After an error the ticket is spent; records of
    /// this and of all later tickets on that partition are not visible on the embedded bus and may
    /// be on Kafka. Only after a retriable error may the same writer be used again.
    fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<Option<Appended>, BusError>;
    /// Submits and waits for as long as it takes. One answer for all records.
    fn append(&mut self, partition: u32, records: &[Record<'_>]) -> Result<Appended, BusError> {
        let ticket = self.submit(partition, records)?;
        loop {
            if let Some(done) = self.wait(ticket, Duration::from_secs(1))? {
                return Ok(done);
            }
        }
    }
}

/// Reads one partition in order. Incarnation records are passed over.
pub trait Reader: Send {
    /// Fills `batch` anew with the next durable records, about `max_bytes` of them (at least one
    /// record where there is one). Waits up to `timeout` for the first. Returns their number; 0 may come early, when
    /// all there was is an incarnation record.
    fn poll(&mut self, batch: &mut Batch, max_bytes: usize, timeout: Duration) -> Result<usize, BusError>;
    /// Offset of the next record to be read.
    fn position(&self) -> u64;
    /// Goes to an offset within the log.
    fn seek(&mut self, offset: u64) -> Result<(), BusError>;
}

/// Records of one poll. Reuse it: its memory is kept between polls.
#[derive(Debug, Default)]
pub struct Batch {
    /// Grows to the largest poll and stays; `filled` of it are in use.
    pub(crate) buf: Vec<u8>,
    pub(crate) filled: usize,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key_at: u32,
    pub key_len: u32,
    pub value_at: u32,
    pub value_len: u32,
}

impl Batch {
    #[must_use]
    pub fn new() -> Batch {
        Batch::default()
    }
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// The record at `index`, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Received<'_>> {
        self.entries.get(index).map(|entry| self.received(entry))
    }
    /// The records in offset order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Received<'_>> {
        self.entries.iter().map(|entry| self.received(entry))
    }
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.filled = 0;
    }
    /// Appends a copy of a record; used where the source keeps its own memory (Kafka).
    pub(crate) fn push_copy(&mut self, offset: u64, timestamp_ms: i64, key: &[u8], value: &[u8]) {
        let key_at = self.filled;
        let value_at = key_at + key.len();
        let end = value_at + value.len();
        if self.buf.len() < end {
            self.buf.resize(end.next_power_of_two(), 0);
        }
        self.buf[key_at..value_at].copy_from_slice(key);
        self.buf[value_at..end].copy_from_slice(value);
        self.filled = end;
        // A poll stays far below 4 GiB: max_bytes is clamped by every reader.
        self.entries.push(Entry {
            offset,
            timestamp_ms,
            key_at: key_at as u32,
            key_len: key.len() as u32,
            value_at: value_at as u32,
            value_len: value.len() as u32,
        });
    }
    fn received(&self, entry: &Entry) -> Received<'_> {
        let slice = |at: u32, len: u32| &self.buf[at as usize..at as usize + len as usize];
        Received {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: slice(entry.key_at, entry.key_len),
            value: slice(entry.value_at, entry.value_len),
        }
    }
}
