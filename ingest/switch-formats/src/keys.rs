//! Dedupe keys of foreign records (design 6.6) and the counts of one file. Which record is a repeat of one from
//! another file is decided by the rater, never here.

use crate::decoded::{Decoded, Fault, Flags, Record, UNNUMBERED_RECORDS_MAX};
use facts::ids::{self, DedupeKey};
use hashbrown::{HashMap, HashSet};

/// Gives every record of one file its dedupe key.
pub(crate) struct Keys {
    id_domain: String,
    switch: String,
    /// Short hashes of the records without an id seen so far in this file. Should two different ones fall together, one
    /// gets ordinal 1 instead of 0: the keys still differ and are the same when the file is read again.
    seen: HashSet<u64>,
    /// Records seen more than once: the last ordinal given.
    again: HashMap<u64, u32>,
}

impl Keys {
    pub fn new(id_domain: &str, switch: &str) -> Self {
        Self { id_domain: id_domain.into(), switch: switch.into(), seen: HashSet::new(), again: HashMap::new() }
    }

    pub fn of_record_id(&self, record_id: &str) -> DedupeKey {
        DedupeKey::of_record_id(&self.id_domain, &self.switch, record_id)
    }

    /// Key of a record without an id of its own: its bytes and its ordinal among equal ones of the file.
    pub fn of_raw(&mut self, raw: &[u8]) -> Result<DedupeKey, Fault> {
        let short = short(&ids::hash("tandem.equal.v1", &[raw]));
        let mut ordinal = 0;
        if self.seen.contains(&short) {
            let last = self.again.entry(short).or_insert(0);
            *last += 1;
            ordinal = *last;
        } else if self.seen.len() >= UNNUMBERED_RECORDS_MAX {
            return Err(Fault::new(
                "",
                format!("the file has more than {UNNUMBERED_RECORDS_MAX} records without an id of their own"),
                "split the file, or let the switch write a unique id into each record",
            ));
        } else {
            self.seen.insert(short);
        }
        Ok(DedupeKey::of_raw(&self.switch, raw, ordinal))
    }
}

fn short(hash: &[u8; 16]) -> u64 {
    u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

/// What one file held, as `tandem calls read` says it: read = accepted + repeated + rejected.
#[derive(Default)]
pub struct Tally {
    pub read: u64,
    pub accepted: u64,
    /// Records whose own id stood in the same file before.
    pub repeated: u64,
    pub rejected: u64,
    /// Rightly left out (quality records, recording legs by option); not among `read`.
    pub skipped: u64,
    /// Records that were no UTF-8 and were read as Windows-1252.
    pub latin1: u64,
    /// Sum of the accepted records' durations, microseconds.
    pub duration: i128,
    seen: HashSet<u64>,
}

impl Tally {
    pub fn add(&mut self, decoded: &Decoded) {
        match decoded {
            Decoded::Record(record) | Decoded::Event(record) => self.add_record(record),
            Decoded::Reject(_) => {
                self.read += 1;
                self.rejected += 1;
            }
            Decoded::Skip { .. } => self.skipped += 1,
        }
    }

    fn add_record(&mut self, record: &Record) {
        self.read += 1;
        self.latin1 += u64::from(record.flags.contains(Flags::LATIN1));
        let known = record.event.dedupe.is_some_and(|key| !self.seen.insert(short(&key.0)));
        if known {
            self.repeated += 1;
        } else {
            self.accepted += 1;
            self.duration += i128::from(crate::json::duration_of(&record.event).unwrap_or(0));
        }
    }
}
