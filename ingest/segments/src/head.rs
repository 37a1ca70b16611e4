//! The claim of the `head` file: what was durable when it was last written. Two slots, each in a sector of its own,
//! written in turn and not synced: it may lag after a power cut, and never claims what was not synced.

use crate::block::{HEADER, VERSION, array};

/// The claim of the `head` file: what was durable when it was last written. Written lazily, so it may lag; it never
/// claims what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Rises with every write; the higher of two valid slots counts.
    pub serial: u64,
    /// First offset still held.
    pub begin: u64,
    /// Offset after the last durable record.
    pub end: u64,
    /// Base of the segment written to.
    pub active: u64,
}

/// Bytes of the head file: two slots, each in a sector of its own.
pub const HEAD_BYTES: usize = 1024;
/// Distance of the slots.
pub const HEAD_SLOT: usize = 512;

impl Head {
    pub fn encode(&self, log_id: u64) -> [u8; HEADER] {
        let mut out = [0u8; HEADER];
        out[0..4].copy_from_slice(b"TDMH");
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[8..16].copy_from_slice(&log_id.to_le_bytes());
        out[16..24].copy_from_slice(&self.serial.to_le_bytes());
        out[24..32].copy_from_slice(&self.begin.to_le_bytes());
        out[32..40].copy_from_slice(&self.end.to_le_bytes());
        out[40..48].copy_from_slice(&self.active.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8], log_id: u64) -> Option<Head> {
        let bytes: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        let right = bytes[0..4] == *b"TDMH"
            && crc32c::crc32c(&bytes[..60]) == u32::from_le_bytes(array(bytes, 60))
            && u64::from_le_bytes(array(bytes, 8)) == log_id;
        right.then(|| Head {
            serial: u64::from_le_bytes(array(bytes, 16)),
            begin: u64::from_le_bytes(array(bytes, 24)),
            end: u64::from_le_bytes(array(bytes, 32)),
            active: u64::from_le_bytes(array(bytes, 40)),
        })
    }
}

/// Where in the head file the claim with this serial stands.
pub fn slot_of(serial: u64) -> usize {
    if serial.is_multiple_of(2) { 0 } else { HEAD_SLOT }
}

/// What the two slots of a head file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRead {
    /// The higher valid slot.
    pub head: Option<Head>,
    /// A slot in use that is not valid, or there is no file.
    pub spoiled: bool,
}

impl HeadRead {
    /// There is no file.
    pub const MISSING: Self = Self { head: None, spoiled: true };

    /// Reads both slots.
    pub fn of(bytes: &[u8], log_id: u64) -> Self {
        let slot = |at: usize| bytes.get(at..at + HEADER).and_then(|slot| Head::decode(slot, log_id));
        let (a, b) = (slot(0), slot(HEAD_SLOT));
        let head = match (a, b) {
            (Some(a), Some(b)) => Some(if a.serial > b.serial { a } else { b }),
            (one, other) => one.or(other),
        };
        Self { head, spoiled: a.is_none() || b.is_none() || bytes.len() != HEAD_BYTES }
    }
}

/// A head file whose both slots say the same.
pub fn file_of(head: Head, log_id: u64) -> [u8; HEAD_BYTES] {
    let mut bytes = [0u8; HEAD_BYTES];
    let second = head.serial.max(1);
    for serial in [second - 1, second] {
        bytes[slot_of(serial)..][..HEADER].copy_from_slice(&Head { serial, ..head }.encode(log_id));
    }
    bytes
}
