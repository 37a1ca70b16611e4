//! Reading a segment from its first byte to its last and telling a torn tail from damage. Reads only; what to do about a
//! finding is decided in [`crate::recover`].

use crate::block::{self, BlockHeader, Chain, HEADER, SegmentHeader};

/// Fills its first argument from the place that the second names; the place and all behind it, as far as it is asked
/// for, lie within the segment.
pub trait Read<E>: FnMut(&mut [u8], u64) -> Result<(), E> {}

impl<E, F: FnMut(&mut [u8], u64) -> Result<(), E>> Read<E> for F {}

/// Something in a file that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub byte: u64,
    pub reason: String,
}

/// What a scan found in one segment.
#[derive(Debug)]
pub struct Scan {
    pub header: SegmentHeader,
    /// Offset after the last good block before the first finding.
    pub end: u64,
    /// File position there.
    pub end_pos: u64,
    pub chain: Chain,
    pub records: u64,
    pub blocks: u64,
    pub last_written_ms: i64,
    /// The first thing wrong, if any; the rest of the file from `end_pos` on is then not part of the above.
    pub finding: Option<Finding>,
    /// Offset and place of a block with a higher offset behind the finding.
    pub block_behind: Option<(u64, u64)>,
    /// Bytes from `end_pos` to the last one that is not zero.
    pub dirty_tail: u64,
    pub file_len: u64,
}

/// Scans a whole segment of so many bytes with this header, checking every checksum and the chain. Errors are `read`'s.
pub fn scan<E>(header: SegmentHeader, file_len: u64, mut read: impl Read<E>) -> Result<Scan, E> {
    let log_id = block::log_id(header.incarnation);
    let mut scan = Scan {
        header,
        end: header.base,
        end_pos: HEADER as u64,
        chain: header.chain,
        records: 0,
        blocks: 0,
        last_written_ms: 0,
        finding: None,
        block_behind: None,
        dirty_tail: 0,
        file_len,
    };
    let mut payload = Vec::new();
    while scan.end_pos < file_len {
        match next_block(&mut read, &scan, log_id, &mut payload)? {
            Ok(found) => {
                scan.end = found.end();
                scan.end_pos += found.span();
                scan.chain = found.chain;
                scan.records += u64::from(found.count);
                scan.blocks += 1;
                scan.last_written_ms = found.written_ms;
            }
            Err(finding) => {
                scan.finding = Some(finding);
                break;
            }
        }
    }
    if scan.finding.is_some() {
        look_behind(&mut read, &mut scan, log_id)?;
        if scan.dirty_tail == 0 {
            // Nothing but zeros: room written ahead, no finding.
            scan.finding = None;
        }
    }
    Ok(scan)
}

/// Checks the block at `scan.end_pos`.
fn next_block<E>(
    read: &mut impl Read<E>,
    scan: &Scan,
    log_id: u64,
    payload: &mut Vec<u8>,
) -> Result<Result<BlockHeader, Finding>, E> {
    let at = scan.end_pos;
    let finding = |byte: u64, reason: &str| Ok(Err(Finding { byte, reason: reason.to_owned() }));
    if at + HEADER as u64 > scan.file_len {
        return finding(at, "a block header is cut off");
    }
    let mut head = [0u8; HEADER];
    read(&mut head, at)?;
    let header = match BlockHeader::decode(&head, log_id) {
        Ok(header) => header,
        Err(reason) => return finding(at, reason),
    };
    if header.base != scan.end {
        let reason = format!("the block begins with offset {} where {} has to follow", header.base, scan.end);
        return Ok(Err(Finding { byte: at, reason }));
    }
    let behind = at + HEADER as u64 + u64::from(header.length);
    if behind > scan.file_len {
        return finding(at, "the block is cut off");
    }
    // The padding up to the next block may be missing at the very end of the file only.
    let padded = (at + header.span()).min(scan.file_len) - at - HEADER as u64;
    payload.resize(padded as usize, 0);
    read(payload, at + HEADER as u64)?;
    let (data, padding) = payload.split_at(header.length as usize);
    if crc32c::crc32c(data) != header.payload_crc {
        return finding(at, "checksum of the block's records differs");
    }
    if header.chained(&scan.chain, data) != header.chain {
        return finding(at, "the block does not continue the chain: something before it was changed or removed");
    }
    if let Some(place) = padding.iter().position(|byte| *byte != 0) {
        return finding(behind + place as u64, "bytes between two blocks are not zero");
    }
    let (mut place, mut count) = (0, 0);
    while place < data.len() {
        match block::record_at(data, place) {
            Some((_, next)) => (place, count) = (next, count + 1),
            None => return finding(at + (HEADER + place) as u64, "a record runs past its block"),
        }
    }
    if count != header.count {
        return finding(at, "the block holds another number of records than it says");
    }
    Ok(Ok(header))
}

/// Looks for what stands behind a finding: any block of this log with a higher offset, and the last byte in use.
fn look_behind<E>(read: &mut impl Read<E>, scan: &mut Scan, log_id: u64) -> Result<(), E> {
    const CHUNK: usize = 1 << 20;
    let mut chunk = vec![0u8; CHUNK.min((scan.file_len - scan.end_pos) as usize)];
    let mut at = scan.end_pos;
    while at < scan.file_len {
        let len = CHUNK.min((scan.file_len - at) as usize);
        read(&mut chunk[..len], at)?;
        if let Some(last) = chunk[..len].iter().rposition(|byte| *byte != 0) {
            scan.dirty_tail = at + last as u64 + 1 - scan.end_pos;
        }
        // Blocks begin at multiples of 64, and so does every chunk.
        for (index, head) in chunk[..len].chunks_exact(HEADER).enumerate() {
            if scan.block_behind.is_some() {
                break;
            }
            let Ok(head) = <&[u8; HEADER]>::try_from(head) else { continue };
            if let Ok(header) = BlockHeader::decode(head, log_id)
                && header.base > scan.end
            {
                scan.block_behind = Some((header.base, at + (index * HEADER) as u64));
            }
        }
        at += len as u64;
    }
    Ok(())
}
