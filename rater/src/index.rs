//! What a rater remembers of calls that have left it: where each stands in its own stream, and which foreign records
//! were seen. Both are folds of that stream, in memory, bounded by the late-call limit, and built anew at every start.

use facts::OccurredAt;
use facts::ids::{CallId, DedupeKey};
use facts::xdr::Position;
use hashbrown::{HashMap, HashSet};
use rating::assemble::{CallIndex, DedupeIndex, Known};
use std::collections::BTreeMap;

const DAY: i64 = 86_400_000_000;
const SUSPENDED: u64 = 1 << 63;
/// Items of a frame fit 12 bits (4,000); 13 leave room.
const INDEX_BITS: u32 = 13;

/// Where calls stand. A call is known by its whole id: at half of it two calls in a billion would be taken for one, and
/// one of them for late truth about the other.
#[derive(Debug, Default)]
pub struct CallPlaces {
    places: HashMap<[u8; 16], (u64, i64)>,
    /// Ids by the day on which the call began, to forget them by.
    days: BTreeMap<i64, Vec<[u8; 16]>>,
}

impl CallPlaces {
    /// The place of a call's last revision, or of its suspended events.
    pub fn insert(&mut self, call: CallId, known: Known) {
        let place = known.at.seq << INDEX_BITS | u64::from(known.at.index);
        let flag = if known.suspended { SUSPENDED } else { 0 };
        let started = known.started_at.micros();
        if self.places.insert(call.0, (place | flag, started)).is_none() {
            self.days.entry(started.div_euclid(DAY)).or_default().push(call.0);
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes held: 53 to 107 a call, by how full the table is, and while it grows half as much again.
    pub fn memory(&self) -> usize {
        self.places.allocation_size() + self.days.values().map(|ids| ids.capacity() * 16).sum::<usize>()
    }

    /// Forgets calls that began before the instant (to the day).
    pub fn forget_before(&mut self, instant: i64) {
        while let Some(day) = self.days.first_entry().filter(|day| *day.key() < instant.div_euclid(DAY)) {
            for id in day.remove() {
                self.places.remove(&id);
            }
        }
    }
}

impl CallIndex for CallPlaces {
    fn find(&self, call: CallId) -> Option<Known> {
        let (place, started) = *self.places.get(&call.0)?;
        let at = place & !SUSPENDED;
        let index = (at & ((1 << INDEX_BITS) - 1)) as u32;
        Some(Known {
            at: Position { seq: at >> INDEX_BITS, index },
            suspended: place & SUSPENDED != 0,
            started_at: OccurredAt(started),
        })
    }
}

/// Dedupe keys by the day of the record's own OccurredAt.
#[derive(Debug, Default)]
pub struct Keys {
    days: BTreeMap<i64, HashSet<[u8; 16]>>,
}

impl Keys {
    pub fn len(&self) -> usize {
        self.days.values().map(HashSet::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// Bytes held: 19 to 39 a key, by how full each day's table is.
    pub fn memory(&self) -> usize {
        self.days.values().map(HashSet::allocation_size).sum()
    }

    /// Forgets keys of records that occurred before the instant (to the day).
    pub fn forget_before(&mut self, instant: i64) {
        while let Some(day) = self.days.first_entry().filter(|day| *day.key() < instant.div_euclid(DAY)) {
            day.remove();
        }
    }

    /// A key that stands in the own stream, whose record's day is not known any more: the call's is near enough, for
    /// what is asked later is asked by the record's own day and the days around it.
    pub fn recover(&mut self, key: DedupeKey, near: OccurredAt) {
        self.days.entry(near.micros().div_euclid(DAY)).or_default().insert(key.0);
    }
}

impl DedupeIndex for Keys {
    fn insert(&mut self, key: DedupeKey, occurred_at: OccurredAt) -> bool {
        let day = occurred_at.micros().div_euclid(DAY);
        // A call that crosses midnight puts its records' keys under the day it began on when they are recovered.
        let near = [day - 1, day + 1];
        if near.iter().any(|day| self.days.get(day).is_some_and(|keys| keys.contains(&key.0))) {
            return false;
        }
        self.days.entry(day).or_default().insert(key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_packing_and_is_forgotten_with_its_day() {
        let mut places = CallPlaces::default();
        let call = CallId([3; 16]);
        let known =
            Known { at: Position { seq: 1 << 40, index: 3_999 }, suspended: true, started_at: OccurredAt(5 * DAY + 7) };
        places.insert(call, known);
        assert_eq!(places.find(call), Some(known));
        places.insert(call, Known { suspended: false, ..known });
        assert_eq!(places.find(call).map(|known| known.suspended), Some(false));
        places.forget_before(5 * DAY + 99);
        assert_eq!(places.len(), 1);
        places.forget_before(6 * DAY);
        assert!(places.is_empty());
    }

    #[test]
    fn a_record_counts_once_also_across_midnight() {
        let mut keys = Keys::default();
        keys.recover(DedupeKey([1; 16]), OccurredAt(DAY - 1));
        assert!(!keys.insert(DedupeKey([1; 16]), OccurredAt(DAY + 1)));
        assert!(keys.insert(DedupeKey([2; 16]), OccurredAt(DAY + 1)));
        keys.forget_before(DAY);
        assert!(keys.insert(DedupeKey([1; 16]), OccurredAt(DAY + 1)));
    }

    #[test]
    fn calls_whose_ids_begin_alike_are_two_calls() {
        let mut places = CallPlaces::default();
        let call = |last: u8| CallId([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, last]);
        let known = Known { at: Position { seq: 5, index: 1 }, suspended: false, started_at: OccurredAt(DAY) };
        places.insert(call(1), known);
        assert_eq!(places.find(call(2)), None, "its records would be taken for late truth about another call");
        places.insert(call(2), Known { at: Position { seq: 6, index: 0 }, ..known });
        assert_eq!(places.find(call(1)), Some(known));
    }

    #[test]
    fn a_million_calls_take_the_memory_that_is_documented() {
        let (mut places, mut keys) = (CallPlaces::default(), Keys::default());
        for n in 1..=1_000_000u64 {
            let id = facts::ids::hash("tandem.test.v1", &[&n.to_le_bytes()]);
            let started_at = OccurredAt((n as i64 % 3) * DAY);
            places.insert(CallId(id), Known { at: Position { seq: n, index: 0 }, suspended: false, started_at });
            assert!(keys.insert(DedupeKey(id), started_at));
            // Each table doubles when it is seven eighths full: the documented bounds hold at every size above some.
            if n >= 10_000 && n.is_power_of_two() || n == 1_000_000 {
                let (call, key) = (places.memory() as u64 / n, keys.memory() as u64 / n);
                assert!((53..=107).contains(&call), "{call} bytes a call at {n}");
                assert!((19..=39).contains(&key), "{key} bytes a key at {n}");
            }
        }
    }
}
