//! A stream's log as a disk holds it: segments and a head in the bytes of the embedded log, written and judged by the
//! product's own code (`segments`). What is done to them here is what happens to disks: a write that is torn or has holes,
//! a claim that lags behind a power cut, a bit that flips. Beside the bytes stands what was truly acknowledged, for the
//! checks alone.

use super::Slip;
use crate::dice::Dice;
use facts::stream::Incarnation;
use segments::block::{self, BlockHeader, Chain, HEADER, Next, RECORD_HEADER, SegmentHeader, Wanted};
use segments::head::{Head, HeadRead, file_of, slot_of};
use segments::recover::{Order, Tail, Wrong, begin, judge, whole};
use segments::scan::{Scan, scan};
use std::convert::Infallible;

/// A segment is sealed where the next block would make it longer.
const SEGMENT: usize = 12 << 10;
/// Zeros written ahead.
const AHEAD: usize = 1_000;
const SECTOR: usize = 512;
/// Claims that a power cut may take back.
const CLAIMS: usize = 3;

/// Why a record is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The log's reader refuses the place.
    Damaged(String),
    /// Something else was read than was written: a broken rule.
    Lie(String),
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    file: usize,
    at: usize,
    /// Offset of the block's first record.
    base: u64,
    /// Bytes of the block's records that were read.
    within: usize,
    /// Offset of the next record.
    offset: u64,
}

impl Place {
    pub const BEGIN: Self = Self { file: 0, at: HEADER, base: 0, within: 0, offset: 0 };
}

pub(super) struct Disk {
    log: Incarnation,
    id: u64,
    /// Base by name, bytes.
    files: Vec<(u64, Vec<u8>)>,
    head: Vec<u8>,
    /// What the head file was before its last claims; they are not synced.
    heads: Vec<Vec<u8>>,
    /// The writer's memory: claim, chain, offset and place of the next block.
    claim: Head,
    chain: Chain,
    end: u64,
    at: usize,
    /// Every acknowledged record.
    pub truth: Vec<Vec<u8>>,
    /// Of a write during which the power went.
    unsure: Vec<Vec<u8>>,
}

impl Disk {
    /// An empty log, the `number`th of the world.
    pub fn new(number: u64) -> Self {
        let mut name = [9; 16];
        name[..8].copy_from_slice(&number.to_le_bytes());
        let log = Incarnation(name);
        let (id, chain) = (block::log_id(log), block::chain_start(log));
        let first = SegmentHeader { base: 0, prev_base: u64::MAX, chain, incarnation: log, partition: 0 };
        let claim = Head { serial: 1, begin: 0, end: 0, active: 0 };
        Self {
            log,
            id,
            files: vec![(0, first.encode().to_vec())],
            head: file_of(claim, id).to_vec(),
            heads: Vec::new(),
            claim,
            chain,
            end: 0,
            at: HEADER,
            truth: Vec::new(),
            unsure: Vec::new(),
        }
    }

    /// The next record, and the place behind it; nothing at the durable end.
    pub fn read(&self, place: &mut Place) -> Result<Option<&[u8]>, Unread> {
        let last = self.files.len() - 1;
        while place.file < last && place.at >= self.files[place.file].1.len() {
            (place.file, place.at) = (place.file + 1, HEADER);
        }
        let (base, bytes) = &self.files[place.file];
        let at = place.at;
        let damaged = |reason: &str| Err(Unread::Damaged(format!("segment {base} byte {at}: {reason}")));
        let limit = if place.file == last { self.at } else { bytes.len() };
        if place.at >= limit {
            return Ok(None);
        }
        let (header, payload) = match block::next(&bytes[place.at..limit], self.id, place.base) {
            Ok(Next::Block { header, payload }) => (header, payload),
            Ok(Next::Needs(_)) => return damaged("a block is cut off"),
            Err(reason) => return damaged(&reason),
        };
        let Some((record, next)) = block::record_at(payload, place.within) else {
            return damaged("a record runs past its block");
        };
        let value = &payload[record.key_at + record.key_len..next];
        if self.truth.get(place.offset as usize).is_none_or(|written| written != value) {
            return Err(Unread::Lie(format!("record {} is read as it was never written", place.offset)));
        }
        place.offset += 1;
        if next < payload.len() {
            place.within = next;
        } else {
            (place.at, place.base, place.within) = (place.at + header.span() as usize, header.end(), 0);
        }
        Ok(Some(value))
    }

    /// The block of these records, as it is to stand at the end.
    fn sealed(&mut self, records: &[Vec<u8>]) -> (Vec<u8>, BlockHeader) {
        let mut bytes = vec![0; HEADER];
        for record in records {
            block::put_record(&mut bytes, b"", record, 0);
        }
        if self.at > HEADER && self.at + block::align(bytes.len() as u64) as usize > SEGMENT {
            self.roll();
        }
        let (base, count) = (self.end, records.len() as u32);
        let wanted = Wanted { flags: 0, log_id: self.id, base, count, written_ms: 0 };
        let header = block::seal(&mut bytes, wanted, &self.chain);
        (bytes, header)
    }

    fn roll(&mut self) {
        let (at, end, prev_base) = (self.at, self.end, self.claim.active);
        self.file().truncate(at);
        let header = SegmentHeader { base: end, prev_base, chain: self.chain, incarnation: self.log, partition: 0 };
        self.files.push((end, header.encode().to_vec()));
        self.at = HEADER;
        self.note(end);
    }

    fn file(&mut self) -> &mut Vec<u8> {
        let last = self.files.len() - 1;
        &mut self.files[last].1
    }

    /// Claims what is durable, into the older slot.
    fn note(&mut self, active: u64) {
        self.heads.push(self.head.clone());
        if self.heads.len() > CLAIMS {
            self.heads.remove(0);
        }
        self.claim = Head { serial: self.claim.serial + 1, begin: 0, end: self.end, active };
        let at = slot_of(self.claim.serial);
        self.head[at..at + HEADER].copy_from_slice(&self.claim.encode(self.id));
    }

    /// One block, written and synced.
    pub fn append(&mut self, records: Vec<Vec<u8>>) {
        let (bytes, header) = self.sealed(&records);
        let at = self.at;
        let file = self.file();
        if file.len() < at + bytes.len() {
            file.resize(at + bytes.len() + AHEAD, 0);
        }
        file[at..at + bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len();
        (self.chain, self.end) = (header.chain, header.end());
        self.note(self.claim.active);
        self.truth.extend(records);
    }

    /// There is no room for all of a block: part of it is written, and given back.
    pub fn full(&mut self, record: &[u8], dice: &mut Dice) {
        let (bytes, _) = self.sealed(&[record.to_vec()]);
        let (at, part) = (self.at, dice.within(0, bytes.len() as i64 - 1) as usize);
        let file = self.file();
        file.truncate(at);
        file.extend_from_slice(&bytes[..part]);
        file.truncate(at);
    }

    /// The power goes in the middle of a write: any part of it may stand, with zeros, holes, or older bytes beside it.
    pub fn torn(&mut self, records: Vec<Vec<u8>>, dice: &mut Dice) {
        let (bytes, _) = self.sealed(&records);
        let at = self.at;
        let stale: Vec<u8> = self.files[dice.within(0, self.files.len() as i64 - 1) as usize].1.clone();
        let file = self.file();
        if file.len() < at + bytes.len() {
            file.resize(at + bytes.len(), 0);
        }
        match dice.within(0, 5) {
            // All of it but the word that it is there.
            0 => file[at..at + bytes.len()].copy_from_slice(&bytes),
            // Up to any byte; behind it what was there, nothing, or bytes of something else.
            kind @ 1..=3 => {
                let cut = dice.within(0, bytes.len() as i64 - 1) as usize;
                file[at..at + cut].copy_from_slice(&bytes[..cut]);
                match kind {
                    1 => {}
                    2 => file.truncate(at + cut),
                    _ => {
                        let from =
                            dice.within(0, stale.len() as i64 - 1) as usize & if dice.chance(500) { !63 } else { !0 };
                        let old = &stale[from..stale.len().min(from + bytes.len() - cut)];
                        file[at + cut..at + cut + old.len()].copy_from_slice(old);
                    }
                }
            }
            // Some sectors.
            _ => {
                let mut from = at;
                while from < at + bytes.len() {
                    let to = (from / SECTOR * SECTOR + SECTOR).min(at + bytes.len());
                    if dice.chance(500) {
                        file[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                    from = to;
                }
            }
        }
        self.unsure = records;
    }

    /// The power has gone: claims that were not synced may be gone too, or the one being written torn.
    pub fn lag(&mut self, dice: &mut Dice) {
        let back = dice.within(0, self.heads.len() as i64) as usize;
        if back > 0 {
            self.head.clone_from(&self.heads[self.heads.len() - back]);
        } else if dice.chance(300) {
            let at = slot_of(self.claim.serial) + dice.within(16, 63) as usize;
            self.head[at] ^= dice.within(1, 255) as u8;
        }
        self.heads.clear();
    }

    /// A bit is another one now. `sealed`: as whoever does not look at a block's checksums would never notice.
    pub fn flip(&mut self, dice: &mut Dice, sealed: bool) -> String {
        let all: usize = self.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut byte = dice.within(0, (all + self.head.len()) as i64 - 1) as usize;
        let bit = 1 << dice.within(0, 7);
        if dice.chance(400) {
            // What was written last is what most is asked of.
            let before = all - self.files.last().map_or(0, |(_, bytes)| bytes.len());
            byte = before + self.at.saturating_sub(dice.within(1, 2_000) as usize);
        }
        for (base, bytes) in &mut self.files {
            if byte < bytes.len() {
                bytes[byte] ^= bit;
                if sealed {
                    seal_again(bytes, byte, self.id);
                }
                return format!("segment {base} byte {byte}");
            }
            byte -= bytes.len();
        }
        self.head[byte] ^= bit;
        format!("head byte {byte}")
    }

    /// A start: what the product makes of the bytes; true where it cut a torn tail. A careless one cuts whatever cannot be
    /// read, claims or not; another leaves the claim as it was.
    pub fn open(&mut self, slip: Option<Slip>) -> Result<bool, Wrong> {
        let mut read = HeadRead::of(&self.head, self.id);
        let bases: Vec<u64> = self.files.iter().map(|(base, _)| *base).collect();
        let first = begin(&bases, &read)?;
        let mut order = Order::new(0, self.log);
        let mut headers = Vec::new();
        for (segment, (base, bytes)) in self.files.iter().enumerate() {
            let damaged = |reason: &str| Wrong::Damaged { segment, byte: 0, reason: reason.to_owned() };
            let header = bytes.first_chunk().ok_or_else(|| damaged("the segment header is cut off"))?;
            let header = SegmentHeader::decode(header).map_err(damaged)?;
            order.next(*base, &header)?;
            headers.push(header);
        }
        let last = self.files.len() - 1;
        let mut found = scanned(headers[last], &self.files[last].1);
        if slip == Some(Slip::CutsAcknowledged) {
            found.block_behind = None;
            read.head = read.head.map(|head| Head { end: 0, ..head });
        }
        let tail = judge(&found, last, &read)?;
        let (mut base, mut chain) = (headers[last].base, headers[last].chain);
        for segment in (0..last).rev() {
            let scan = scanned(headers[segment], &self.files[segment].1);
            if let Some(finding) = whole(&scan, base, chain) {
                return Err(Wrong::Damaged { segment, byte: finding.byte, reason: finding.reason });
            }
            (base, chain) = (scan.header.base, scan.header.chain);
        }
        let at = found.end_pos as usize;
        let (file, torn) = (self.file(), matches!(tail, Tail::Torn { .. }));
        match tail {
            Tail::Torn { byte, .. } => file.truncate(byte as usize),
            Tail::Whole if at > file.len() => file.resize(at, 0),
            Tail::Whole => {}
        }
        let serial = read.head.map_or(1, |head| head.serial + 2);
        self.claim = Head { serial, begin: first, end: found.end, active: bases[last] };
        let lags = read.head.is_none_or(|head| (head.end, head.active) != (found.end, bases[last]));
        if read.spoiled || (lags && slip != Some(Slip::OldClaimKept)) {
            self.head = file_of(self.claim, self.id).to_vec();
        }
        (self.chain, self.end, self.at) = (found.chain, found.end, at);
        self.heads.clear();
        Ok(torn)
    }

    /// After a start: records of a write that nobody was told of and that are there all the same. An error where
    /// something acknowledged is not.
    pub fn settle(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let unsure = std::mem::take(&mut self.unsure);
        let known = self.truth.len() as u64;
        if self.end == known {
            return Ok(Vec::new());
        }
        if self.end == known + unsure.len() as u64 {
            self.truth.extend_from_slice(&unsure);
            return Ok(unsure);
        }
        Err(format!("the log ends with offset {}, {known} records were acknowledged", self.end))
    }
}

fn scanned(header: SegmentHeader, bytes: &[u8]) -> Scan {
    let read = |out: &mut [u8], at: u64| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok::<(), Infallible>(())
    };
    match scan(header, bytes.len() as u64, read) {
        Ok(scan) => scan,
        Err(never) => match never {},
    }
}

/// Puts the checksum of the block around `byte` right again.
fn seal_again(bytes: &mut [u8], byte: usize, id: u64) {
    let mut at = HEADER;
    while let Some(Ok(mut header)) = bytes.get(at..).and_then(|b| b.first_chunk()).map(|b| BlockHeader::decode(b, id)) {
        let (from, to) = (at + HEADER, at + HEADER + header.length as usize);
        if (from + RECORD_HEADER..to).contains(&byte) {
            header.payload_crc = segments::block::checksum(&bytes[from..to]);
            bytes[at..from].copy_from_slice(&header.encode());
        }
        at += header.span() as usize;
    }
}
