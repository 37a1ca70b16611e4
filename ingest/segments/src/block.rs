//! The bytes of the embedded log: segment header, block header, records. All integers little-endian. A block is what
//! one write and one sync made durable: a 64-byte header and the records, at a multiple of 64 bytes, zeros between.
//! The chain value of a block covers the one before it, its own header and (for events) its payload; frames carry a
//! hash chain of their own, so there the header's CRC of the payload is what is chained. No I/O here.

use facts::stream::Incarnation;
use std::borrow::Cow;

/// Bytes of a segment header and of a block header; blocks begin at multiples of it.
pub const HEADER: usize = 64;
/// `u32` key length, `u32` value length, `i64` timestamp.
pub const RECORD_HEADER: usize = 16;
/// No block is longer: what claims to be is damage.
pub const MAX_BLOCK_BYTES: usize = 64 << 20;
pub(crate) const VERSION: u16 = 1;
const BLOCK_MAGIC: [u8; 4] = *b"TDMB";
const SEGMENT_MAGIC: [u8; 4] = *b"TDMS";
/// Block flag: the payload itself is part of the chain value.
pub const FLAG_PAYLOAD_CHAINED: u16 = 1;

/// Running chain value.
pub type Chain = [u8; 16];

/// First 8 bytes of the incarnation: no bytes of another log are ever taken for a block of this one.
pub fn log_id(incarnation: Incarnation) -> u64 {
    u64::from_le_bytes(array(&incarnation.0, 0))
}

/// Chain value before the first block of a log.
pub fn chain_start(incarnation: Incarnation) -> Chain {
    incarnation.0
}

/// Rounds up to where the next block may begin.
pub fn align(at: u64) -> u64 {
    at.next_multiple_of(HEADER as u64)
}

/// Copies `N` bytes out; callers pass whole headers, so it never runs past the end.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// First 64 bytes of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub base: u64,
    /// Base of the segment before it; `u64::MAX` for the first of a log.
    pub prev_base: u64,
    /// Chain value before its first block.
    pub chain: Chain,
    pub incarnation: Incarnation,
    pub partition: u32,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0u8; HEADER];
        out[0..4].copy_from_slice(&SEGMENT_MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[8..16].copy_from_slice(&self.base.to_le_bytes());
        out[16..24].copy_from_slice(&self.prev_base.to_le_bytes());
        out[24..40].copy_from_slice(&self.chain);
        out[40..56].copy_from_slice(&self.incarnation.0);
        out[56..60].copy_from_slice(&self.partition.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8; HEADER]) -> Result<SegmentHeader, &'static str> {
        if bytes[0..4] != SEGMENT_MAGIC {
            return Err("this is no segment file");
        }
        if crc32c::crc32c(&bytes[..60]) != u32::from_le_bytes(array(bytes, 60)) {
            return Err("checksum of the segment header differs");
        }
        if u16::from_le_bytes(array(bytes, 4)) != VERSION {
            return Err("the segment is of another format version");
        }
        Ok(SegmentHeader {
            base: u64::from_le_bytes(array(bytes, 8)),
            prev_base: u64::from_le_bytes(array(bytes, 16)),
            chain: array(bytes, 24),
            incarnation: Incarnation(array(bytes, 40)),
            partition: u32::from_le_bytes(array(bytes, 56)),
        })
    }
}

/// First 64 bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    pub flags: u16,
    pub log_id: u64,
    /// Offset of its first record.
    pub base: u64,
    pub count: u32,
    /// Payload bytes behind the header.
    pub length: u32,
    pub payload_crc: u32,
    pub chain: Chain,
    /// Writer's clock, milliseconds since 1970; for people.
    pub written_ms: i64,
}

impl BlockHeader {
    /// Offset after its last record.
    pub fn end(&self) -> u64 {
        self.base + u64::from(self.count)
    }

    /// Bytes from its start to where the next block begins.
    pub fn span(&self) -> u64 {
        align(HEADER as u64 + u64::from(self.length))
    }

    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = self.fields();
        out[36..52].copy_from_slice(&self.chain);
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn fields(&self) -> [u8; HEADER] {
        let mut out = [0u8; HEADER];
        out[0..4].copy_from_slice(&BLOCK_MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6..8].copy_from_slice(&self.flags.to_le_bytes());
        out[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        out[16..24].copy_from_slice(&self.base.to_le_bytes());
        out[24..28].copy_from_slice(&self.count.to_le_bytes());
        out[28..32].copy_from_slice(&self.length.to_le_bytes());
        out[32..36].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[52..60].copy_from_slice(&self.written_ms.to_le_bytes());
        out
    }

    /// Reads a header; says why where it is none. Does not look at the payload.
    pub fn decode(bytes: &[u8; HEADER], log_id: u64) -> Result<BlockHeader, &'static str> {
        if bytes[0..4] != BLOCK_MAGIC {
            return Err("no block begins here");
        }
        if crc32c::crc32c(&bytes[..60]) != u32::from_le_bytes(array(bytes, 60)) {
            return Err("checksum of the block header differs");
        }
        if u16::from_le_bytes(array(bytes, 4)) != VERSION {
            return Err("the block is of another format version");
        }
        let header = BlockHeader {
            flags: u16::from_le_bytes(array(bytes, 6)),
            log_id: u64::from_le_bytes(array(bytes, 8)),
            base: u64::from_le_bytes(array(bytes, 16)),
            count: u32::from_le_bytes(array(bytes, 24)),
            length: u32::from_le_bytes(array(bytes, 28)),
            payload_crc: u32::from_le_bytes(array(bytes, 32)),
            chain: array(bytes, 36),
            written_ms: i64::from_le_bytes(array(bytes, 52)),
        };
        if header.log_id != log_id {
            return Err("the block belongs to another log");
        }
        if header.length as usize > MAX_BLOCK_BYTES || header.base.checked_add(u64::from(header.count)).is_none() {
            return Err("the block's length or offset is out of range");
        }
        Ok(header)
    }

    /// The chain value this block must carry.
    pub fn chained(&self, before: &Chain, payload: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before);
        hasher.update(&self.fields());
        if self.flags & FLAG_PAYLOAD_CHAINED != 0 {
            hasher.update(payload);
        }
        array(hasher.finalize().as_bytes(), 0)
    }
}

/// Appends one record to a block's payload.
pub fn put_record(out: &mut Vec<u8>, key: &[u8], value: &[u8], timestamp_ms: i64) {
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(&timestamp_ms.to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Where one record's parts stand, relative to the payload.
#[derive(Debug, Clone, Copy)]
pub struct RecordAt {
    pub timestamp_ms: i64,
    pub key_at: usize,
    pub key_len: usize,
    pub value_len: usize,
}

/// The record at `at` of a payload and where the next begins; `None` where it runs past the end.
pub fn record_at(payload: &[u8], at: usize) -> Option<(RecordAt, usize)> {
    let head = payload.get(at..at.checked_add(RECORD_HEADER)?)?;
    let key_len = u32::from_le_bytes(array(head, 0)) as usize;
    let value_len = u32::from_le_bytes(array(head, 4)) as usize;
    let key_at = at + RECORD_HEADER;
    let end = key_at.checked_add(key_len)?.checked_add(value_len)?;
    if end > payload.len() {
        return None;
    }
    Some((RecordAt { timestamp_ms: i64::from_le_bytes(array(head, 8)), key_at, key_len, value_len }, end))
}

/// What a block's header says of its payload.
pub fn checksum(payload: &[u8]) -> u32 {
    crc32c::crc32c(payload)
}

/// Makes a block of what stands behind `block`'s first 64 bytes: fills in the header and the zeros up to where the next
/// block begins. What one write and one sync then make durable.
pub fn seal(block: &mut Vec<u8>, wanted: Wanted, before: &Chain) -> BlockHeader {
    let Wanted { flags, log_id, base, count, written_ms } = wanted;
    let payload = &block[HEADER..];
    let (length, payload_crc) = (payload.len() as u32, checksum(payload));
    let mut header = BlockHeader { flags, log_id, base, count, length, payload_crc, chain: [0; 16], written_ms };
    header.chain = header.chained(before, payload);
    block[..HEADER].copy_from_slice(&header.encode());
    block.resize(header.span() as usize, 0);
    header
}

/// What the writer says of a block; the rest of its header follows from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub flags: u16,
    pub log_id: u64,
    /// Offset of its first record.
    pub base: u64,
    pub count: u32,
    /// Writer's clock, milliseconds since 1970.
    pub written_ms: i64,
}

/// What stands at the beginning of some bytes.
#[derive(Debug)]
pub enum Next<'a> {
    Block {
        header: BlockHeader,
        payload: &'a [u8],
    },
    /// So many bytes are needed to see it whole.
    Needs(usize),
}

/// The block that `bytes` begin with, its checksums looked at; they may end anywhere. `base`: the offset that it has to
/// begin with. An error is damage, and says what.
pub fn next(bytes: &[u8], log_id: u64, base: u64) -> Result<Next<'_>, Cow<'static, str>> {
    let Some(head) = bytes.first_chunk() else { return Ok(Next::Needs(HEADER)) };
    let header = BlockHeader::decode(head, log_id)?;
    if header.base != base {
        return Err(format!("the block begins with offset {}, not {base}", header.base).into());
    }
    let Some(payload) = bytes.get(HEADER..HEADER + header.length as usize) else {
        return Ok(Next::Needs(header.span() as usize));
    };
    if checksum(payload) != header.payload_crc {
        return Err("checksum of the block's records differs".into());
    }
    Ok(Next::Block { header, payload })
}
