//! One immutable file of the index over the past: records of 32 bytes in the order of their keys, in pages of 4 KiB with a
//! checksum each. Keys are series and place in it; a value is the sum of its series in this file so far, so that the sum
//! up to any key is one record. Never written to again, never the truth.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A series (big endian), then where in it (big endian): their order is the order of the bytes.
pub(super) type Key = [u8; 16];

const PAGE: usize = 4_096;
const RECORD: usize = 32;
const PER_PAGE: u64 = 127;
const PAYLOAD: usize = PER_PAGE as usize * RECORD;

/// Why the index is of no use, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error("{}: {reason}; it is a cache and is made anew from the log", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{what} {}: {source}; make room or set its rights", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("a sum over the past is beyond the integer range")]
    Range,
    #[error(transparent)]
    Ledger(#[from] Box<crate::LedgerError>),
    #[error("another process has the index in {}", path.display())]
    Taken { path: PathBuf },
}

impl From<crate::LedgerError> for PastError {
    fn from(error: crate::LedgerError) -> Self {
        Self::Ledger(Box::new(error))
    }
}

impl PastError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }

    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), reason: reason.into() }
    }
}

pub(super) fn key(series: u64, at: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&series.to_be_bytes());
    key[8..].copy_from_slice(&at.to_be_bytes());
    key
}

pub(super) fn series_of(key: &Key) -> u64 {
    (u128::from_be_bytes(*key) >> 64) as u64
}

pub(super) fn at_of(key: &Key) -> u64 {
    u128::from_be_bytes(*key) as u64
}

fn check_of(page: u64, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&page.to_le_bytes()).update(payload);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}

/// A file that is whole.
#[derive(Debug)]
pub(super) struct RunFile {
    file: File,
    pub path: PathBuf,
    pub records: u64,
}

impl RunFile {
    /// Writes amounts in the order of their keys and syncs. A zero key is none.
    pub fn create(
        path: &Path,
        amounts: &mut dyn Iterator<Item = Result<(Key, i128), PastError>>,
    ) -> Result<Self, PastError> {
        let file = File::create(path).map_err(PastError::io("cannot write", path))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let (mut page, mut pages, mut records) = ([0u8; PAGE], 0u64, 0u64);
        let (mut series, mut sum) = (None, 0i128);
        let mut flush = |page: &mut [u8; PAGE], pages: &mut u64| {
            let check = check_of(*pages, &page[..PAYLOAD]);
            page[PAYLOAD..PAYLOAD + 8].copy_from_slice(&check);
            out.write_all(page).map_err(PastError::io("cannot write", path))?;
            page.fill(0);
            *pages += 1;
            Ok::<(), PastError>(())
        };
        for amount in amounts {
            let (key, amount) = amount?;
            if series != Some(series_of(&key)) {
                (series, sum) = (Some(series_of(&key)), 0);
            }
            sum = sum.checked_add(amount).ok_or(PastError::Range)?;
            let at = (records % PER_PAGE) as usize * RECORD;
            page[at..at + 16].copy_from_slice(&key);
            page[at + 16..at + 32].copy_from_slice(&sum.to_le_bytes());
            records += 1;
            if records.is_multiple_of(PER_PAGE) {
                flush(&mut page, &mut pages)?;
            }
        }
        if !records.is_multiple_of(PER_PAGE) {
            flush(&mut page, &mut pages)?;
        }
        let file = out.into_inner().map_err(|error| PastError::io("cannot write", path)(error.into_error()))?;
        file.sync_all().map_err(PastError::io("cannot sync", path))?;
        Self::open(path, records)
    }

    pub fn open(path: &Path, records: u64) -> Result<Self, PastError> {
        let file = File::open(path).map_err(|error| PastError::damaged(path, error.to_string()))?;
        let bytes = file.metadata().map_err(PastError::io("cannot read", path))?.len();
        if bytes != records.div_ceil(PER_PAGE) * PAGE as u64 {
            return Err(PastError::damaged(path, format!("it has {bytes} bytes, not those of {records} records")));
        }
        Ok(Self { file, path: path.to_path_buf(), records })
    }

    fn page(&self, page: u64, into: &mut [u8; PAGE]) -> Result<(), PastError> {
        self.file.read_exact_at(into, page * PAGE as u64).map_err(PastError::io("cannot read", &self.path))?;
        if check_of(page, &into[..PAYLOAD]) != into[PAYLOAD..PAYLOAD + 8] {
            return Err(PastError::damaged(&self.path, format!("page {page} is not what was written")));
        }
        Ok(())
    }

    /// How many records have a key at most `key`: the last of them is at that place less one.
    fn count_up_to(&self, key: &Key, page: &mut [u8; PAGE]) -> Result<u64, PastError> {
        let (mut low, mut high) = (0, self.records.div_ceil(PER_PAGE));
        while low < high {
            let middle = low + (high - low) / 2;
            self.page(middle, page)?;
            if page[..16] <= key[..] { low = middle + 1 } else { high = middle }
        }
        // The last page that begins at or before the key holds the last such record.
        let Some(last) = low.checked_sub(1) else { return Ok(0) };
        self.page(last, page)?;
        let here = (self.records - last * PER_PAGE).min(PER_PAGE) as usize;
        let upto = page[..here * RECORD].chunks_exact(RECORD).take_while(|record| record[..16] <= key[..]).count();
        Ok(last * PER_PAGE + upto as u64)
    }

    /// Sum of a series up to and including `at`.
    pub fn sum(&self, series: u64, at: u64) -> Result<i128, PastError> {
        let mut page = [0; PAGE];
        let count = self.count_up_to(&key(series, at), &mut page)?;
        let Some(last) = count.checked_sub(1) else { return Ok(0) };
        // `page` is the one that holds it.
        let (found, sum) = record(&page, (last % PER_PAGE) as usize);
        Ok(if series_of(&found) == series { sum } else { 0 })
    }

    /// Places of a series below `at`, newest first, as many as `most`.
    pub fn before(&self, series: u64, at: u64, most: usize) -> Result<Vec<u64>, PastError> {
        let mut found = Vec::new();
        let Some(below) = at.checked_sub(1) else { return Ok(found) };
        let mut page = [0; PAGE];
        let mut next = self.count_up_to(&key(series, below), &mut page)?;
        while let Some(place) = next.checked_sub(1).filter(|_| found.len() < most) {
            if next.is_multiple_of(PER_PAGE) {
                self.page(place / PER_PAGE, &mut page)?;
            }
            let (key, _) = record(&page, (place % PER_PAGE) as usize);
            if series_of(&key) != series {
                break;
            }
            found.push(at_of(&key));
            next = place;
        }
        Ok(found)
    }

    /// Places of a series from `at` on, oldest first, as many as `most`.
    pub fn from(&self, series: u64, at: u64, most: usize) -> Result<Vec<u64>, PastError> {
        let mut page = [0; PAGE];
        let first = key(series, at);
        let begin = match u128::from_be_bytes(first).checked_sub(1) {
            Some(below) => self.count_up_to(&below.to_be_bytes(), &mut page)?,
            None => 0,
        };
        let mut found = Vec::new();
        for place in begin..self.records {
            if found.len() >= most {
                break;
            }
            if place == begin || place.is_multiple_of(PER_PAGE) {
                self.page(place / PER_PAGE, &mut page)?;
            }
            let (key, _) = record(&page, (place % PER_PAGE) as usize);
            if series_of(&key) != series {
                break;
            }
            found.push(at_of(&key));
        }
        Ok(found)
    }

    /// All amounts in order, for a merge.
    pub fn amounts(&self) -> Amounts<'_> {
        Amounts { file: self, next: 0, page: Box::new([0; PAGE]), before: (None, 0) }
    }
}

fn record(page: &[u8; PAGE], place: usize) -> (Key, i128) {
    let (mut key, mut sum) = ([0; 16], [0; 16]);
    key.copy_from_slice(&page[place * RECORD..place * RECORD + 16]);
    sum.copy_from_slice(&page[place * RECORD + 16..place * RECORD + 32]);
    (key, i128::from_le_bytes(sum))
}

/// Reads a file from its start, a page at a time.
pub(super) struct Amounts<'a> {
    file: &'a RunFile,
    next: u64,
    page: Box<[u8; PAGE]>,
    before: (Option<u64>, i128),
}

impl Iterator for Amounts<'_> {
    type Item = Result<(Key, i128), PastError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.file.records {
            return None;
        }
        if self.next.is_multiple_of(PER_PAGE)
            && let Err(error) = self.file.page(self.next / PER_PAGE, &mut self.page)
        {
            return Some(Err(error));
        }
        let (key, sum) = record(&self.page, (self.next % PER_PAGE) as usize);
        self.next += 1;
        let before = if self.before.0 == Some(series_of(&key)) { self.before.1 } else { 0 };
        self.before = (Some(series_of(&key)), sum);
        Some(sum.checked_sub(before).ok_or(PastError::Range).map(|amount| (key, amount)))
    }
}

/// Several files as one, equal keys added up.
pub(super) struct Merged<'a> {
    heads: Vec<std::iter::Peekable<Amounts<'a>>>,
}

impl<'a> Merged<'a> {
    pub fn new(files: &'a [std::sync::Arc<RunFile>]) -> Self {
        Self { heads: files.iter().map(|file| file.amounts().peekable()).collect() }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<(Key, i128), PastError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<Key> = None;
        for head in &mut self.heads {
            match head.peek() {
                Some(Ok((key, _))) => least = Some(least.map_or(*key, |least| least.min(*key))),
                Some(Err(_)) => return head.next(),
                None => {}
            }
        }
        let least = least?;
        let mut all = 0i128;
        for head in &mut self.heads {
            while let Some(Ok((_, amount))) = head.next_if(|next| next.as_ref().is_ok_and(|(key, _)| *key == least)) {
                match all.checked_add(amount) {
                    Some(sum) => all = sum,
                    None => return Some(Err(PastError::Range)),
                }
            }
        }
        Some(Ok((least, all)))
    }
}
