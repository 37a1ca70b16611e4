//! What a rater remembers of calls that have left it: where each stands in its own stream, and which foreign records
//! were seen (design 6.6, 7.1). Both are folds of that stream, bounded by the late-call limit: new entries in memory,
//! older ones in files. The files are a cache, made anew from the stream when they are lost or damaged; an entry comes
//! into them only when the frame that it follows from has been read back as accepted.

mod bucket_file;
mod buckets;
mod store;
#[cfg(test)]
mod tests;

pub use bucket_file::IndexError;
pub(crate) use store::{Checkpoint, Store, UNWRITTEN_MAX};

use bucket_file::{Value, word};
use buckets::Buckets;
use facts::OccurredAt;
use facts::call::CallEvent;
use facts::ids::{CallId, DedupeKey};
use facts::xdr::Position;
use rating::assemble::{CallIndex, DedupeIndex, Known, Origin, alias_of, lone_key};

const DAY: i64 = 86_400_000_000;
const SUSPENDED: u64 = 1 << 63;
/// Items of a frame fit 12 bits (4,000); 13 leave room.
const INDEX_BITS: u32 = 13;
/// A call is looked up by nothing but its id, so all calls share one bucket.
const ALL: i64 = 0;

fn value_of(first: u64, second: u64) -> Value {
    let mut value = Value::default();
    value[..8].copy_from_slice(&first.to_le_bytes());
    value[8..].copy_from_slice(&second.to_le_bytes());
    value
}

/// When the call of an entry began.
fn started(value: &Value) -> i64 {
    word(value, 8) as i64
}

/// Where calls stand. A call is known by its whole id: at half of it two calls in a billion would be taken for one, and
/// one of them for late truth about the other.
#[derive(Debug)]
pub struct CallPlaces {
    all: Buckets,
    /// Calls that began before it are forgotten.
    oldest: i64,
}

impl Default for CallPlaces {
    fn default() -> Self {
        Self { all: Buckets::default(), oldest: i64::MIN }
    }
}

impl CallPlaces {
    /// The place of a call's last revision, or of its suspended events.
    pub fn insert(&mut self, call: CallId, known: Known) {
        let place = known.at.seq << INDEX_BITS | u64::from(known.at.index);
        let flag = if known.suspended { SUSPENDED } else { 0 };
        self.all.insert(ALL, call.0, value_of(place | flag, known.started_at.micros() as u64));
    }

    /// The same for a call by its names; a second call with one key is found by the switch's key as well.
    pub fn note(&mut self, call: CallId, (id_domain, switch, call_key): (&str, &str, &str), known: Known) {
        self.insert(call, known);
        if let Some((alias, started_at)) = alias_of(id_domain, switch, call_key) {
            self.insert(alias, Known { started_at, ..known });
        }
    }

    /// Entries; one that was written again may count twice.
    pub fn len(&self) -> u64 {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held: in memory 38 to 75 a call, by how full the table is; for those in files 1.6 to 3.2.
    pub fn memory(&self) -> (usize, usize) {
        self.all.memory()
    }

    /// Forgets calls that began before the instant; their room is won back when their file is merged.
    pub fn forget_before(&mut self, instant: i64) {
        self.oldest = self.oldest.max(instant);
    }
}

impl CallIndex for CallPlaces {
    fn find(&self, call: CallId) -> Option<Known> {
        let value = self.all.get(ALL, &call.0).filter(|value| started(value) >= self.oldest)?;
        let (place, started) = (word(&value, 0), started(&value));
        let at = place & !SUSPENDED;
        let index = (at & ((1 << INDEX_BITS) - 1)) as u32;
        Some(Known {
            at: Position { seq: at >> INDEX_BITS, index },
            suspended: place & SUSPENDED != 0,
            started_at: OccurredAt(started),
        })
    }
}

/// Dedupe keys by the day of the record's own OccurredAt, with the row that brought each first.
#[derive(Debug, Default)]
pub struct Keys(Buckets);

impl Keys {
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held: in memory 38 to 75 a key; for those in files 1.6 to 3.2.
    pub fn memory(&self) -> (usize, usize) {
        self.0.memory()
    }

    /// Forgets keys of records that occurred before the instant (to the day).
    pub fn forget_before(&mut self, instant: i64) {
        self.0.forget_before(instant.div_euclid(DAY));
    }

    /// A row that a person has: the same file again adds nothing.
    pub fn note_lone(&mut self, event: &CallEvent) {
        if let Some(key) = lone_key(event) {
            self.see(key, event.occurred_at, Origin::of(event));
        }
    }

    /// A key that stands in the own stream, whose record's day is not known any more: the call's is near enough, for
    /// what is asked later is asked by the record's own day and the days around it.
    pub fn recover(&mut self, key: DedupeKey, near: OccurredAt, origin: Origin) {
        self.see(key, near, origin);
    }
}

impl Keys {
    fn get(&self, key: DedupeKey, day: i64) -> Option<Value> {
        // A call that crosses midnight puts its records' keys under the day it began on when they are recovered.
        [day, day - 1, day + 1].into_iter().find_map(|day| self.0.get(day, &key.0))
    }
}

impl DedupeIndex for Keys {
    fn knows(&self, key: DedupeKey, occurred_at: OccurredAt) -> bool {
        self.get(key, occurred_at.micros().div_euclid(DAY)).is_some()
    }

    fn see(&mut self, key: DedupeKey, occurred_at: OccurredAt, origin: Origin) -> Option<Origin> {
        let day = occurred_at.micros().div_euclid(DAY);
        if let Some(value) = self.get(key, day) {
            return Some(Origin { file: word(&value, 0), offset: word(&value, 8) });
        }
        self.0.insert(day, key.0, value_of(origin.file, origin.offset));
        None
    }
}

/// The first failure of a look-up in either; nothing may follow from an answer before this was asked.
pub(crate) fn trouble(places: &CallPlaces, keys: &Keys) -> Result<(), IndexError> {
    match places.all.trouble().or_else(|| keys.0.trouble()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
