//! The spool: records that wait on disk while the bus is away (design 7.5), with the ids they were given. What was
//! answered as kept survives a crash; it is replayed in order and then removed. It never decodes a record.
//!
//! A file is a row of entries: length u32 LE, CRC-32C of the body u32 LE, body = partition u32, timestamp (ms) i64, key
//! length u32, key, value.

use crate::error::IngestError;
use crate::files;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const HEAD: usize = 8;
const FIXED: usize = 16;

/// One record that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting<'a> {
    pub partition: u32,
    pub timestamp_ms: i64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

pub(crate) struct Spool {
    folder: PathBuf,
    /// Oldest first; the last one may be open.
    names: VecDeque<(u64, u64)>,
    open: Option<File>,
    next: u64,
    bytes: u64,
    file_bytes: u64,
    limit: u64,
    scratch: Vec<u8>,
}

impl Spool {
    /// Opens the folder; what stands in it from earlier runs is replayed first.
    pub fn open(folder: &Path, file_bytes: u64, limit: u64) -> Result<Self, IngestError> {
        files::make_folder(folder)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(|e| IngestError::io("cannot list", folder, e))?.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let number = name.strip_suffix(".spool").and_then(|n| n.parse::<u64>().ok());
            if let (Some(number), Ok(meta)) = (number, entry.metadata()) {
                names.push((number, meta.len()));
            }
        }
        names.sort_unstable();
        let next = names.last().map_or(0, |(n, _)| n + 1);
        let bytes = names.iter().map(|(_, len)| len).sum();
        Ok(Self {
            folder: folder.to_path_buf(),
            names: names.into(),
            open: None,
            next,
            bytes,
            file_bytes,
            limit,
            scratch: Vec::new(),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}.spool"))
    }

    /// Keeps records durably, all or none of them.
    pub fn append<'a>(&mut self, records: impl Iterator<Item = Waiting<'a>>) -> Result<(), IngestError> {
        self.scratch.clear();
        for record in records {
            put(&mut self.scratch, record);
        }
        let length = self.scratch.len() as u64;
        if self.bytes + length > self.limit {
            return Err(IngestError::NoSpace { path: self.folder.clone() });
        }
        if self.names.back().is_none_or(|(_, len)| *len >= self.file_bytes) {
            self.open = None;
        }
        if self.open.is_none() {
            self.begin_file()?;
        }
        let (Some(file), Some(&(number, at))) = (&mut self.open, self.names.back()) else {
            return Err(IngestError::WriterStopped("the spool has no open file".into()));
        };
        let written = file.write_all(&self.scratch).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // A half-written entry would hide what is appended behind it.
            let whole = file.set_len(at).and_then(|()| file.seek(SeekFrom::Start(at))).and_then(|_| file.sync_data());
            if whole.is_err() {
                self.open = None;
            }
            return Err(IngestError::io("cannot write", &self.path(number), error));
        }
        self.bytes += length;
        if let Some(last) = self.names.back_mut() {
            last.1 += length;
        }
        Ok(())
    }

    fn begin_file(&mut self) -> Result<(), IngestError> {
        let path = self.path(self.next);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|e| IngestError::io("cannot create", &path, e))?;
        files::sync_folder(&self.folder)?;
        self.names.push_back((self.next, 0));
        self.next += 1;
        self.open = Some(file);
        Ok(())
    }

    /// The oldest file's bytes, for [`entries`]. It is closed for appending.
    pub fn oldest(&mut self) -> Result<Option<Vec<u8>>, IngestError> {
        let Some(&(number, _)) = self.names.front() else { return Ok(None) };
        if self.names.len() == 1 {
            self.open = None;
        }
        let path = self.path(number);
        fs::read(&path).map(Some).map_err(|e| IngestError::io("cannot read", &path, e))
    }

    /// The oldest file's records are on the bus.
    pub fn remove_oldest(&mut self) -> Result<(), IngestError> {
        let Some(&(number, length)) = self.names.front() else { return Ok(()) };
        let path = self.path(number);
        fs::remove_file(&path).map_err(|e| IngestError::io("cannot remove", &path, e))?;
        self.names.pop_front();
        self.bytes = self.bytes.saturating_sub(length);
        files::sync_folder(&self.folder)
    }

    /// Sets the oldest file aside for a person; its readable part has been replayed.
    pub fn set_oldest_aside(&mut self) -> Result<PathBuf, IngestError> {
        let Some(&(number, length)) = self.names.front() else { return Ok(self.folder.clone()) };
        let (path, aside) = (self.path(number), self.path(number).with_extension("damaged"));
        fs::rename(&path, &aside).map_err(|e| IngestError::io("cannot rename", &path, e))?;
        self.names.pop_front();
        self.bytes = self.bytes.saturating_sub(length);
        Ok(aside)
    }
}

fn put(out: &mut Vec<u8>, record: Waiting<'_>) {
    let at = out.len();
    out.extend([0; HEAD]);
    out.extend(record.partition.to_le_bytes());
    out.extend(record.timestamp_ms.to_le_bytes());
    out.extend((record.key.len() as u32).to_le_bytes());
    out.extend(record.key);
    out.extend(record.value);
    let length = (out.len() - at - HEAD) as u32;
    let crc = crc32c::crc32c(&out[at + HEAD..]);
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    out[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The records of a file, and the byte where damage begins (not a torn tail, which nobody was told of as kept).
pub(crate) fn entries(bytes: &[u8]) -> (Vec<Waiting<'_>>, Option<usize>) {
    let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + HEAD) {
        let end = at + HEAD + word(head) as usize;
        let Some(body) = bytes.get(at + HEAD..end) else { return (all, None) };
        if body.len() < FIXED || crc32c::crc32c(body) != word(&head[4..]) {
            return (all, (end < bytes.len()).then_some(at));
        }
        let (fixed, rest) = body.split_at(FIXED);
        let key_length = word(&fixed[12..]) as usize;
        let Some((key, value)) = rest.split_at_checked(key_length) else { return (all, Some(at)) };
        let stamp = [fixed[4], fixed[5], fixed[6], fixed[7], fixed[8], fixed[9], fixed[10], fixed[11]];
        all.push(Waiting { partition: word(fixed), timestamp_ms: i64::from_le_bytes(stamp), key, value });
        at = end;
    }
    (all, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(n: u32) -> [u8; 4] {
        n.to_le_bytes()
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_a_torn_tail_is_not_an_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 100, 10_000).unwrap();
        for n in 0..20 {
            let value = waiting(n);
            spool
                .append([Waiting { partition: n % 3, timestamp_ms: -5, key: b"k", value: &value }].into_iter())
                .unwrap();
        }
        drop(spool);
        let mut spool = Spool::open(folder.path(), 100, 10_000).unwrap();
        assert!(!spool.is_empty());
        let mut seen = Vec::new();
        while let Some(bytes) = spool.oldest().unwrap() {
            let (all, damage) = entries(&bytes);
            assert_eq!(damage, None);
            seen.extend(all.iter().map(|w| (w.partition, w.timestamp_ms, w.key.to_vec(), w.value.to_vec())));
            for cut in 0..bytes.len() {
                let (part, damage) = entries(&bytes[..cut]);
                assert_eq!(damage, None, "cut at {cut}");
                assert!(part.iter().zip(&all).all(|(a, b)| a == b));
            }
            for (at, flip) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0xff)]) {
                let mut bad = bytes.clone();
                bad[at] ^= flip;
                let (part, _) = entries(&bad);
                assert!(part.iter().all(|one| all.contains(one)), "byte {at} with {flip:#x}: a record nobody wrote");
            }
            let mut bad = bytes.clone();
            bad[9] ^= 1;
            assert_eq!(entries(&bad).1, (all.len() > 1).then_some(0));
            spool.remove_oldest().unwrap();
        }
        let want: Vec<_> = (0..20).map(|n| (n % 3, -5, b"k".to_vec(), waiting(n).to_vec())).collect();
        assert_eq!(seen, want);
        assert_eq!((spool.bytes(), spool.is_empty()), (0, true));
    }

    #[test]
    fn a_full_spool_takes_nothing_rather_than_half() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1000, 100).unwrap();
        let big = [0u8; 60];
        let one = || [Waiting { partition: 0, timestamp_ms: 0, key: b"", value: &big }].into_iter();
        spool.append(one()).unwrap();
        assert!(matches!(spool.append(one()), Err(IngestError::NoSpace { .. })));
        let bytes = spool.oldest().unwrap().unwrap();
        assert_eq!(entries(&bytes).0.len(), 1);
    }
}
