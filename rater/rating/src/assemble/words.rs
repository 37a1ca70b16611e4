//! The words of the assembler: its bounds, what it asks of the call and dedupe indexes, and what it answers. Does nothing.

use super::{DAY, SECOND};
use facts::call::{Call, CallEvent, RawRef};
use facts::config::SiteSettings;
use facts::ids::{CallId, DedupeKey};
use facts::time::OccurredAt;
use facts::xdr::{Conflict, Position, Suspended};

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

    pub fn of<S>(event: &CallEvent<S>) -> Self {
        event.raw.as_ref().map(Self::of_raw).unwrap_or_default()
    }
}

/// Dedupe keys of foreign records over the retention.
pub trait DedupeIndex {
    /// Which row brought the key first; `None` where it was not there before: it is then, with this row.
    fn see(&mut self, key: DedupeKey, occurred_at: OccurredAt, origin: Origin) -> Option<Origin>;

    /// Whether the key was seen; asks only.
    fn knows(&self, key: DedupeKey, occurred_at: OccurredAt) -> bool;
}

/// For sources whose records carry no key of their own, such as the SIP edge.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeys;

impl DedupeIndex for NoKeys {
    fn see(&mut self, _: DedupeKey, _: OccurredAt, _: Origin) -> Option<Origin> {
        None
    }

    fn knows(&self, _: DedupeKey, _: OccurredAt) -> bool {
        false
    }
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
    /// An equal row stood in another file; the next record of the import, or its end, decides what it is.
    Waits,
    /// For a person: `too_old`, `too_many_events`.
    Conflict(Box<Conflict>),
    /// Its call has left: the caller fetches it and makes a revision, or reopens it where it was suspended.
    Late { event: Box<CallEvent>, known: Known },
    /// Its call has been taken and does not stand in a frame yet: the caller puts it there, then asks
    /// [`Assembler::push_left`].
    Leaving,
}

/// What a call has become.
#[derive(Debug)]
pub enum Outcome {
    Call(Box<Call>),
    Suspended { call_id: CallId, started_at: OccurredAt, item: Box<Suspended> },
}
