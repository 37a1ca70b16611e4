//! What sites say to each other: one request for new records of many topics, one compressed answer. Everything has a
//! bound, and what does not read as it should is refused whole. It knows no frames.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of this exchange; another one is refused by name.
pub const VERSION: u32 = 1;
/// Records of one answer before compression, at most this and one record more.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Largest answer before compression that is taken.
const RAW_MAX: usize = ANSWER_BYTES_MAX + bus::MAX_RECORD_BYTES + HEAD_MAX + 64;
/// Largest head of an answer: names and ends of the topics.
const HEAD_MAX: usize = 1 << 20;
/// Topics of one request.
pub const WANT_MAX: usize = 2_000;
/// Largest message of the ledgers.
pub const MAIL_BYTES_MAX: usize = 4 << 20;
/// Largest answer to an order.
pub const ORDER_ANSWER_MAX: usize = 64 << 20;
/// Bytes before the key and value of a record.
const RECORD_HEAD: usize = 2 + 8 + 8 + 4 + 4;

/// "Give me what is new": each topic with the offset to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub version: u32,
    /// Who asks.
    pub site: String,
    pub number: u16,
    /// In the order in which they are to be answered.
    pub want: Vec<(String, u64)>,
    /// How long to wait for something new.
    pub wait_ms: u32,
    pub max_bytes: usize,
}

/// What a site says of itself and has heard, for people. Nothing rests on it; older releases leave it out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    /// Why it takes no new calls; empty = it does.
    pub standing: String,
    /// The last frame it has heard of, by stream: also of one that nobody holds.
    pub heard_of: Vec<(String, u64)>,
}

/// One topic as it stands at the answering site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicEnd {
    pub name: String,
    pub begin: u64,
    pub end: u64,
}

/// What stands before the records of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub version: u32,
    /// Who answers.
    pub site: String,
    pub number: u16,
    /// Partitions of its `call-events`: so many streams `xdrs.SITE.P` it has.
    pub partitions: u32,
    /// Newest fold version that its program folds; a program that does not say folds the first.
    #[serde(default = "first_fold")]
    pub fold: u32,
    /// Its wall clock, microseconds.
    pub now: i64,
    /// All topics that it has to give.
    pub topics: Vec<TopicEnd>,
    /// Topics of the request that cannot be given, and why.
    pub problems: Vec<(String, String)>,
    #[serde(default)]
    pub said: Said,
    /// Schema ids of its registry, by name: for who reads its records by way of a mirror.
    #[serde(default)]
    pub ids: BTreeMap<String, u32>,
}

fn first_fold() -> u32 {
    1
}

/// One record of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent<'a> {
    /// Place of its topic in the request.
    pub topic: u16,
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("its answer is damaged: {0}")]
    Damaged(&'static str),
    #[error("its answer is larger than {RAW_MAX} bytes")]
    TooLarge,
    #[error("it speaks version {0} between sites, this one speaks {VERSION}; bring both to the same release")]
    Version(u32),
}

/// Appends a record to the answer under construction.
pub fn put(out: &mut Vec<u8>, record: Sent<'_>) {
    out.extend_from_slice(&record.topic.to_le_bytes());
    out.extend_from_slice(&record.offset.to_le_bytes());
    out.extend_from_slice(&record.timestamp_ms.to_le_bytes());
    // A bus takes no record above 4 MB.
    out.extend_from_slice(&(record.key.len() as u32).to_le_bytes());
    out.extend_from_slice(&(record.value.len() as u32).to_le_bytes());
    out.extend_from_slice(record.key);
    out.extend_from_slice(record.value);
}

/// Head and records, compressed.
pub fn pack(head: &Head, records: &[u8]) -> std::io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let mut raw = Vec::with_capacity(4 + head.len() + records.len());
    raw.extend_from_slice(&(head.len() as u32).to_le_bytes());
    raw.extend_from_slice(&head);
    raw.extend_from_slice(records);
    let mut packer = zstd::bulk::Compressor::new(1)?;
    packer.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    packer.compress(&raw)
}

/// An answer, unpacked.
#[derive(Debug)]
pub struct Unpacked {
    pub head: Head,
    raw: Vec<u8>,
    at: usize,
}

/// Unpacks an answer. The records are checked while they are walked.
pub fn unpack(packed: &[u8]) -> Result<Unpacked, WireError> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = size.ok_or(WireError::Damaged("it does not say its size"))?;
    let size = usize::try_from(size).ok().filter(|size| *size <= RAW_MAX).ok_or(WireError::TooLarge)?;
    let unpacked = zstd::bulk::decompress(packed, size);
    let raw = unpacked.map_err(|_| WireError::Damaged("it cannot be unpacked"))?;
    let Some((length, rest)) = raw.split_first_chunk::<4>() else {
        return Err(WireError::Damaged("it has no head"));
    };
    let length = u32::from_le_bytes(*length) as usize;
    let Some(head) = rest.get(..length).filter(|head| head.len() <= HEAD_MAX) else {
        return Err(WireError::Damaged("its head is cut off"));
    };
    #[derive(Deserialize)]
    struct Speaks {
        version: u32,
    }
    let speaks: Speaks = serde_json::from_slice(head).map_err(|_| WireError::Damaged("its head is no head"))?;
    if speaks.version != VERSION {
        return Err(WireError::Version(speaks.version));
    }
    let head = serde_json::from_slice(head).map_err(|_| WireError::Damaged("its head is no head"))?;
    Ok(Unpacked { head, raw, at: 4 + length })
}

impl Unpacked {
    /// The records, in the order sent.
    pub fn records(&self) -> Result<Vec<Sent<'_>>, WireError> {
        let mut rest = &self.raw[self.at..];
        let mut all = Vec::new();
        while !rest.is_empty() {
            let (record, after) = record(rest).ok_or(WireError::Damaged("a record is cut off"))?;
            all.push(record);
            rest = after;
        }
        Ok(all)
    }
}

fn record(bytes: &[u8]) -> Option<(Sent<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(RECORD_HEAD)?;
    let (topic, head) = head.split_first_chunk::<2>()?;
    let (offset, head) = head.split_first_chunk::<8>()?;
    let (timestamp, head) = head.split_first_chunk::<8>()?;
    let (key, head) = head.split_first_chunk::<4>()?;
    let (value, _) = head.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value) as usize)?;
    let (topic, offset) = (u16::from_le_bytes(*topic), u64::from_le_bytes(*offset));
    Some((Sent { topic, offset, timestamp_ms: i64::from_le_bytes(*timestamp), key, value }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let topics = vec![TopicEnd { name: "ledger.a".into(), begin: 0, end: 9 }];
        let (problems, ids) = Default::default();
        let said = Said { standing: "drained".into(), heard_of: vec![("ledger.b".into(), 7)] };
        Head {
            version: VERSION,
            site: "a".into(),
            number: 1,
            partitions: 2,
            fold: 1,
            now: 5,
            topics,
            problems,
            said,
            ids,
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was_and_a_cut_or_flipped_one_is_refused() {
        let mut records = Vec::new();
        let sent = Sent { topic: 1, offset: 7, timestamp_ms: -3, key: b"k", value: &[9; 300] };
        put(&mut records, sent);
        put(&mut records, Sent { offset: 8, value: b"", ..sent });
        let packed = pack(&head(), &records).unwrap();
        let back = unpack(&packed).unwrap();
        assert_eq!(back.head, head());
        assert_eq!(back.records().unwrap(), [sent, Sent { offset: 8, value: b"", ..sent }]);
        for at in 0..packed.len() {
            let mut flipped = packed.clone();
            flipped[at] ^= 0x10;
            // A flip that is still read as the same answer does no harm; any other is refused.
            if let Ok(read) = unpack(&flipped) {
                assert_eq!((read.head.clone(), read.records().ok()), (head(), back.records().ok()), "byte {at}");
            }
            assert!(unpack(&packed[..at]).is_err(), "cut at {at}");
        }
        let short = pack(&head(), &records[..records.len() - 1]).unwrap();
        assert_eq!(unpack(&short).unwrap().records(), Err(WireError::Damaged("a record is cut off")));
    }

    #[test]
    fn a_small_answer_that_unpacks_to_gigabytes_is_refused_before_it_takes_memory() {
        let mut encoder = zstd::bulk::Compressor::new(1).unwrap();
        let bomb = encoder.compress(&vec![0; RAW_MAX + 1]).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(unpack(&bomb).unwrap_err(), WireError::TooLarge);
        let other = pack(&Head { version: 2, ..head() }, &[]).unwrap();
        assert_eq!(unpack(&other).unwrap_err(), WireError::Version(2));
    }
}
