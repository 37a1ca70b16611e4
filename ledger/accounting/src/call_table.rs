//! Which frames of the ledger speak of a call: 12 bytes a call, so that a late revision finds what was posted
//! before without an index that holds the content. It holds positions only; the log holds the truth.

use facts::CallId;
use hashbrown::HashTable;

const SHARDS: usize = 64;

/// Fingerprint (64 bits of the call id) → frame sequence. Sharded, so that growing moves a 64th at a time.
#[derive(Clone, Debug)]
pub struct CallTable {
    shards: Vec<HashTable<[u32; 3]>>,
    len: usize,
}

impl Default for CallTable {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), len: 0 }
    }
}

fn fingerprint(call: CallId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&call.0[..8]);
    u64::from_le_bytes(bytes)
}

fn place(print: u64) -> (usize, u64) {
    ((print >> 58) as usize, print.rotate_left(6))
}

fn packed(print: u64, seq: u32) -> [u32; 3] {
    [(print >> 32) as u32, print as u32, seq]
}

fn print_of(slot: &[u32; 3]) -> u64 {
    (u64::from(slot[0]) << 32) | u64::from(slot[1])
}

impl CallTable {
    /// Notes that frame `seq` holds an entry of this call; again is no-op. False: `seq` is beyond 32 bits.
    pub fn insert(&mut self, call: CallId, seq: u64) -> bool {
        let Ok(seq) = u32::try_from(seq) else { return false };
        self.insert_print(fingerprint(call), seq);
        true
    }

    pub(crate) fn insert_print(&mut self, print: u64, seq: u32) {
        let (shard, hash) = place(print);
        let slot = packed(print, seq);
        let shard = &mut self.shards[shard];
        if shard.find(hash, |other| *other == slot).is_none() {
            shard.insert_unique(hash, slot, |slot| place(print_of(slot)).1);
            self.len += 1;
        }
    }

    /// True when some entry of this call was posted (or, once in 2^64, of another with the same fingerprint).
    pub fn contains(&self, call: CallId) -> bool {
        let print = fingerprint(call);
        let (shard, hash) = place(print);
        self.shards[shard].find(hash, |slot| print_of(slot) == print).is_some()
    }

    /// The frames that may hold entries of this call, rising. A reader still compares the call id.
    pub fn frames_of(&self, call: CallId) -> Vec<u64> {
        let print = fingerprint(call);
        let (shard, hash) = place(print);
        let found = self.shards[shard].iter_hash(hash).filter(|slot| print_of(slot) == print);
        let mut frames: Vec<u64> = found.map(|slot| u64::from(slot[2])).collect();
        frames.sort_unstable();
        frames
    }

    /// Pairs of call and frame.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|slot| (print_of(slot), slot[2])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_of_a_call_is_found_among_many_calls() {
        let mut table = CallTable::default();
        let call = |n: u32| CallId::new("d", "s", &n.to_string());
        for n in 0..20_000 {
            assert!(table.insert(call(n), u64::from(n / 100)));
        }
        table.insert(call(7), 9_000);
        table.insert(call(7), 9_000);
        assert_eq!(table.frames_of(call(7)), [0, 9_000]);
        assert_eq!(table.frames_of(call(19_999)), [199]);
        assert!(!table.contains(call(20_000)));
        assert!(!table.insert(call(1), 1 << 32), "a frame number that does not fit is said, not cut");
        assert_eq!(table.len(), 20_001);
    }
}
