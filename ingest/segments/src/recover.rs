//! What a start makes of what it read (design 7.3): a torn tail is cut off, damage in the middle, a missing segment, or a
//! head that claims more than there is, is refused with its place and reason.

use crate::block::{self, Chain, SegmentHeader};
use crate::head::HeadRead;
use crate::scan::{Finding, Scan};
use facts::stream::Incarnation;

/// Why a partition is not opened, and where. Segments are counted in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// Something in a segment is not as it was written.
    Damaged { segment: usize, byte: u64, reason: String },
    /// The segment with this base offset is not there.
    Missing { base: u64 },
}

/// How the last segment ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// With its last block; the file may want zeros up to where the next one begins.
    Whole,
    /// Its last write never finished, and nobody was told that it had: to be cut off from `byte` on.
    Torn { byte: u64, bytes: u64, reason: String },
}

fn damaged(segment: usize, byte: u64, reason: impl Into<String>) -> Wrong {
    Wrong::Damaged { segment, byte, reason: reason.into() }
}

/// The first offset of a partition whose segments, by name, begin at `bases`; all that the head names are there.
pub fn begin(bases: &[u64], read: &HeadRead) -> Result<u64, Wrong> {
    let first = bases.first().copied();
    let Some(head) = read.head else { return first.ok_or(Wrong::Missing { base: 0 }) };
    if !bases.contains(&head.active) {
        return Err(Wrong::Missing { base: head.active });
    }
    if first.is_some_and(|base| base > head.begin) {
        return Err(Wrong::Missing { base: head.begin });
    }
    Ok(head.begin)
}

/// Headers agree with names, with the topic, and with one another; no segment is missing in between.
#[derive(Debug)]
pub struct Order {
    partition: u32,
    incarnation: Incarnation,
    before: Option<u64>,
    segment: usize,
}

impl Order {
    pub fn new(partition: u32, incarnation: Incarnation) -> Self {
        Self { partition, incarnation, before: None, segment: 0 }
    }

    /// Takes the next segment: the base in its name, and its header.
    pub fn next(&mut self, base: u64, header: &SegmentHeader) -> Result<(), Wrong> {
        if header.incarnation != self.incarnation || header.partition != self.partition {
            return Err(damaged(self.segment, 40, "the segment belongs to another log"));
        }
        if header.base != base {
            let reason = format!("the segment begins with offset {}, not as its name says", header.base);
            return Err(damaged(self.segment, 8, reason));
        }
        if self.before.is_some_and(|before| header.prev_base != before) {
            return Err(Wrong::Missing { base: header.prev_base });
        }
        self.before = Some(base);
        self.segment += 1;
        Ok(())
    }
}

/// Torn tail, clean end, or damage of the last segment, which is number `segment`.
pub fn judge(last: &Scan, segment: usize, read: &HeadRead) -> Result<Tail, Wrong> {
    let claimed = read.head.filter(|head| head.active == last.header.base && head.end > last.end);
    let tail = match &last.finding {
        None => match claimed {
            Some(head) => {
                let reason = format!("the log ends with offset {}, but {} were acknowledged", last.end, head.end);
                return Err(damaged(segment, last.end_pos, reason));
            }
            None => Tail::Whole,
        },
        Some(finding) => {
            let refuse = |why: String| Err(damaged(segment, finding.byte, format!("{}; {why}", finding.reason)));
            if let Some((offset, at)) = last.block_behind {
                return refuse(format!("a block with offset {offset} follows at byte {at}"));
            }
            if let Some(head) = claimed {
                let end = last.end;
                return refuse(format!("offsets up to {} were acknowledged, the good part ends at {end}", head.end));
            }
            if read.head.is_none() {
                return refuse("the head file, which could tell a torn tail from damage, cannot be read".to_owned());
            }
            Tail::Torn { byte: last.end_pos, bytes: last.dirty_tail, reason: finding.reason.clone() }
        }
    };
    let begins = block::chain_start(last.header.incarnation);
    if segment == 0 && last.header.prev_base == u64::MAX && last.header.chain != begins {
        return Err(damaged(segment, 24, "the chain does not begin with this log's incarnation"));
    }
    Ok(tail)
}

/// What is wrong with a sealed segment that must end where the next one begins.
pub fn whole(scan: &Scan, next_base: u64, next_chain: Chain) -> Option<Finding> {
    if let Some(finding) = &scan.finding {
        return Some(finding.clone());
    }
    let wrong = |reason: String| Some(Finding { byte: scan.end_pos, reason });
    if scan.end != next_base {
        return wrong(format!("the segment ends with offset {}, but the next begins with {next_base}", scan.end));
    }
    if scan.end_pos != scan.file_len {
        return wrong(format!("the segment is {} bytes long where its blocks end at {}", scan.file_len, scan.end_pos));
    }
    if scan.chain != next_chain {
        return wrong("the next segment does not continue the chain".to_owned());
    }
    None
}
