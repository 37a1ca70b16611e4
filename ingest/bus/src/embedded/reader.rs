//! Reading the embedded log: from the page cache with positioned reads, up to the durable end, every block's checksum
//! checked before a record of it is shown. No lock is held while it reads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use segments::block::{self, BlockHeader, HEADER, Next};

use super::log::{Log, Segment};
use super::scan::ADVICE;
use crate::api::{Batch, Entry, Reader, TopicKind, deadline};
use crate::error::BusError;
use crate::incarnation;

/// Reads at least so much at once, so that small blocks do not cost a call each.
const LEAST_READ: usize = 64 << 10;
const MOST_READ: usize = 64 << 20;

pub struct EmbeddedReader {
    log: Arc<Log>,
    position: u64,
    place: Option<Place>,
}

/// Where the next block begins.
struct Place {
    segment: Arc<Segment>,
    file: File,
    at: u64,
    base: u64,
}

impl EmbeddedReader {
    pub fn new(log: Arc<Log>, from: u64) -> Result<EmbeddedReader, BusError> {
        let mut reader = EmbeddedReader { log, position: 0, place: None };
        reader.seek(from)?;
        Ok(reader)
    }

    fn out_of_range(&self, asked: u64) -> BusError {
        let (begin, end) = self.log.bounds();
        BusError::OffsetOutOfRange { topic: self.log.topic.clone(), partition: self.log.partition, asked, begin, end }
    }

    /// Opens the segment of the position and walks the block headers up to it.
    fn locate(&self) -> Result<Place, BusError> {
        let segment = self.log.segment_of(self.position).ok_or_else(|| self.out_of_range(self.position))?;
        let file = match File::open(&segment.path) {
            Ok(file) => file,
            // Trimmed away in between.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && self.log.bounds().0 > self.position => {
                return Err(self.out_of_range(self.position));
            }
            Err(e) => return Err(BusError::io("cannot open", &segment.path, e)),
        };
        let (base, at) = segment.mark_before(self.position);
        let mut place = Place { segment, file, at, base };
        let log_id = block::log_id(self.log.incarnation);
        let limit = place.segment.end_pos.load(Ordering::Acquire);
        while place.at < limit {
            let mut head = [0u8; HEADER];
            place
                .file
                .read_exact_at(&mut head, place.at)
                .map_err(|e| BusError::io("cannot read", &place.segment.path, e))?;
            let header = BlockHeader::decode(&head, log_id).map_err(|reason| place.damaged(reason.to_owned()))?;
            if header.base != place.base {
                return Err(place.damaged(format!("the block begins with offset {}, not {}", header.base, place.base)));
            }
            if header.end() > self.position {
                break;
            }
            place.base = header.end();
            place.at += header.span();
            place.segment.mark(place.base, place.at);
        }
        Ok(place)
    }

    /// Reads whole blocks from the place on into the batch.
    fn fill(&mut self, batch: &mut Batch, max_bytes: usize) -> Result<(), BusError> {
        let place = match self.place.take() {
            Some(place) => place,
            None => self.locate()?,
        };
        let mut place =
            if place.segment.next_base.load(Ordering::Acquire) <= self.position { self.locate()? } else { place };
        let limit = place.segment.end_pos.load(Ordering::Acquire);
        let mut want = max_bytes.clamp(LEAST_READ, MOST_READ).min((limit - place.at) as usize);
        loop {
            if batch.buf.len() < want {
                batch.buf.resize(want, 0);
            }
            place
                .file
                .read_exact_at(&mut batch.buf[..want], place.at)
                .map_err(|e| BusError::io("cannot read", &place.segment.path, e))?;
            let needed = match self.take_blocks(&mut place, batch, want) {
                // What is good before the damage is shown first; the next poll meets it again.
                Err(_) if !batch.is_empty() => break,
                other => other?,
            };
            match needed {
                // Not even one block fitted: once more with room for it.
                Some(needed) if batch.filled == 0 => want = needed.min((limit - place.at) as usize),
                _ => break,
            }
        }
        self.place = Some(place);
        Ok(())
    }

    /// Takes the blocks that are whole within the first `have` bytes. Returns the size of the one that is not, if any.
    fn take_blocks(&mut self, place: &mut Place, batch: &mut Batch, have: usize) -> Result<Option<usize>, BusError> {
        let log_id = block::log_id(self.log.incarnation);
        let mut start = 0;
        while start < have {
            let found = block::next(&batch.buf[start..have], log_id, place.base);
            let (header, payload) = match found.map_err(|reason| place.damaged(reason.into_owned()))? {
                Next::Block { header, payload } => (header, payload),
                Next::Needs(bytes) => return Ok(Some(bytes)),
            };
            let payload_at = start + HEADER;
            let mut at = 0;
            let good = batch.entries.len();
            for offset in header.base..header.end() {
                let Some((record, next)) = block::record_at(payload, at) else {
                    batch.entries.truncate(good);
                    return Err(place.damaged("a record runs past its block".to_owned()));
                };
                at = next;
                if offset < self.position || (offset == 0 && self.is_incarnation(payload, &record)) {
                    continue;
                }
                batch.entries.push(Entry {
                    offset,
                    timestamp_ms: record.timestamp_ms,
                    key_at: (payload_at + record.key_at) as u32,
                    key_len: record.key_len as u32,
                    value_at: (payload_at + record.key_at + record.key_len) as u32,
                    value_len: record.value_len as u32,
                });
            }
            self.position = header.end();
            place.base = header.end();
            place.at += header.span();
            // Whoever looks for one record of a log that was read once walks no headers.
            if place.at < place.segment.end_pos.load(Ordering::Acquire) {
                place.segment.mark(place.base, place.at);
            }
            start += header.span() as usize;
            batch.filled = start.min(have);
        }
        Ok(None)
    }

    fn is_incarnation(&self, payload: &[u8], record: &block::RecordAt) -> bool {
        let value_at = record.key_at + record.key_len;
        self.log.kind != TopicKind::Foreign
            && incarnation::decode(&payload[record.key_at..value_at], &payload[value_at..value_at + record.value_len])
                .is_some()
    }
}

impl Place {
    fn damaged(&self, reason: String) -> BusError {
        BusError::Damaged { file: self.segment.path.clone(), byte: self.at, reason, advice: ADVICE }
    }
}

impl Reader for EmbeddedReader {
    fn poll(&mut self, batch: &mut Batch, max_bytes: usize, timeout: Duration) -> Result<usize, BusError> {
        batch.clear();
        let readable = self.log.readable(self.position, deadline(timeout));
        if readable.begin > self.position {
            return Err(self.out_of_range(self.position));
        }
        if let Some(error) = readable.failed {
            return Err(error);
        }
        if readable.end > self.position {
            self.fill(batch, max_bytes)?;
        }
        Ok(batch.len())
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn seek(&mut self, offset: u64) -> Result<(), BusError> {
        let (begin, end) = self.log.bounds();
        if offset < begin || offset > end {
            return Err(self.out_of_range(offset));
        }
        if offset != self.position {
            self.place = None;
        }
        self.position = offset;
        Ok(())
    }
}
