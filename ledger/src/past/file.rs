//! One immutable file of the index over the past: records in the order of their keys, in pages of 4 KiB with a checksum
//! each, and behind them the first key of every page, which is kept in memory: a question reads one page. Keys are series
//! and place in it; a value is the sum of its series in this file so far, so that the sum up to any key is one record.
//! Never written to again, never the truth.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::page::{Page, PageWriter, Records};

/// A series, then where in it.
pub(super) type Key = u128;

/// Of this module's files; the list of another is made anew.
pub(super) const FORMAT: u32 = 1;
/// Records, pages, hash of these and the first keys.
const FOOT: usize = 48;

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
    (Key::from(series) << 64) | Key::from(at)
}

pub(super) fn series_of(key: Key) -> u64 {
    (key >> 64) as u64
}

pub(super) fn at_of(key: Key) -> u64 {
    key as u64
}

/// A file under way.
pub(super) struct RunWriter {
    path: PathBuf,
    out: BufWriter<File>,
    page: PageWriter,
    firsts: Vec<Key>,
    /// Series of the last record, and its sum so far.
    last: (Option<u64>, i128),
    records: u64,
}

impl RunWriter {
    pub fn new(path: &Path) -> Result<Self, PastError> {
        let file = File::create(path).map_err(PastError::io("cannot write", path))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        let (page, path) = (PageWriter::new(), path.to_path_buf());
        Ok(Self { path, out, page, firsts: Vec::new(), last: (None, 0), records: 0 })
    }

    /// Adds an amount; keys rise.
    pub fn push(&mut self, key: Key, amount: i128) -> Result<(), PastError> {
        let before = if self.last.0 == Some(series_of(key)) { self.last.1 } else { 0 };
        let sum = before.checked_add(amount).ok_or(PastError::Range)?;
        if !self.page.push(key, sum) {
            self.write_page()?;
            // A page that is empty has room for any record.
            self.page.push(key, sum);
        }
        if self.page.len() == 1 {
            self.firsts.push(key);
        }
        self.last = (Some(series_of(key)), sum);
        self.records += 1;
        Ok(())
    }

    fn write_page(&mut self) -> Result<(), PastError> {
        // The page that is begun is counted among the first keys.
        let number = self.firsts.len() as u64 - 1;
        let bytes = self.page.finish(number);
        self.out.write_all(&bytes[..]).map_err(PastError::io("cannot write", &self.path))
    }

    /// Writes what is left, syncs, and opens it to be read.
    pub fn finish(mut self) -> Result<RunFile, PastError> {
        if self.page.len() > 0 {
            self.write_page()?;
        }
        let path = self.path;
        let mut tail = Vec::with_capacity(self.firsts.len() * 16 + FOOT);
        self.firsts.iter().for_each(|first| tail.extend_from_slice(&first.to_le_bytes()));
        tail.extend_from_slice(&self.records.to_le_bytes());
        tail.extend_from_slice(&(self.firsts.len() as u64).to_le_bytes());
        let hash = *blake3::hash(&tail).as_bytes();
        tail.extend_from_slice(&hash);
        self.out.write_all(&tail).map_err(PastError::io("cannot write", &path))?;
        let file = self.out.into_inner().map_err(|error| PastError::io("cannot write", &path)(error.into_error()))?;
        file.sync_all().map_err(PastError::io("cannot sync", &path))?;
        RunFile::open(&path, self.records)
    }
}

/// A file that is whole.
#[derive(Debug)]
pub(super) struct RunFile {
    file: File,
    pub path: PathBuf,
    pub records: u64,
    /// First key of each page.
    firsts: Vec<Key>,
}

impl RunFile {
    pub fn open(path: &Path, records: u64) -> Result<Self, PastError> {
        let damaged = |reason: &str| PastError::damaged(path, reason);
        let file = File::open(path).map_err(|error| PastError::damaged(path, error.to_string()))?;
        let bytes = file.metadata().map_err(PastError::io("cannot read", path))?.len();
        let read = |at: u64, into: &mut [u8]| file.read_exact_at(into, at).map_err(PastError::io("cannot read", path));
        let foot_at = bytes.checked_sub(FOOT as u64).ok_or_else(|| damaged("it is too short"))?;
        let mut foot = [0; FOOT];
        read(foot_at, &mut foot)?;
        let number = |at: usize| foot[at..at + 8].iter().rev().fold(0u64, |all, byte| (all << 8) | u64::from(*byte));
        let (said, pages) = (number(0), number(8));
        let firsts_at = pages.checked_mul(Page::BYTES as u64);
        let fits = firsts_at.and_then(|at| at.checked_add(pages.checked_mul(16)?)) == Some(foot_at);
        let Some(firsts_at) = firsts_at.filter(|_| fits && said == records) else {
            return Err(PastError::damaged(path, format!("it has {bytes} bytes, not those of {records} records")));
        };
        let mut tail = vec![0; (foot_at - firsts_at) as usize];
        read(firsts_at, &mut tail)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&tail).update(&foot[..16]);
        if hasher.finalize().as_bytes() != &foot[16..] {
            return Err(damaged("its list of pages is not what was written"));
        }
        let first = |bytes: &[u8]| bytes.iter().rev().fold(0, |all: Key, byte| (all << 8) | Key::from(*byte));
        let firsts = tail.chunks_exact(16).map(first).collect();
        Ok(Self { file, path: path.to_path_buf(), records, firsts })
    }

    fn load(&self, number: usize, page: &mut Page) -> Result<(), PastError> {
        let at = number as u64 * Page::BYTES as u64;
        self.file.read_exact_at(page.bytes(), at).map_err(PastError::io("cannot read", &self.path))?;
        if !page.is_whole(number as u64) {
            return Err(PastError::damaged(&self.path, format!("page {number} is not what was written")));
        }
        Ok(())
    }

    /// The last page that begins at or before a key.
    fn page_of(&self, key: Key) -> Option<usize> {
        self.firsts.partition_point(|first| *first <= key).checked_sub(1)
    }

    /// Sum of a series up to and including `at`.
    pub fn sum(&self, series: u64, at: u64) -> Result<i128, PastError> {
        let (mut page, until) = (Page::new(), key(series, at));
        let Some(number) = self.page_of(until) else { return Ok(0) };
        self.load(number, &mut page)?;
        let last = page.records().take_while(|(key, _)| *key <= until).last();
        Ok(last.filter(|(key, _)| series_of(*key) == series).map_or(0, |(_, sum)| sum))
    }

    /// Places of a series below `at`, newest first, as many as `most`.
    pub fn before(&self, series: u64, at: u64, most: usize) -> Result<Vec<u64>, PastError> {
        let (mut found, mut page, mut of_page) = (Vec::new(), Page::new(), Vec::new());
        let (begin, end) = (key(series, 0), key(series, at));
        // Pages that begin below the end, the newest first.
        for number in (0..self.firsts.partition_point(|first| *first < end)).rev() {
            self.load(number, &mut page)?;
            of_page.clear();
            of_page.extend(page.records().map(|(key, _)| key).filter(|key| (begin..end).contains(key)).map(at_of));
            found.extend(of_page.iter().rev().take(most - found.len()));
            if found.len() == most || self.firsts[number] < begin {
                break;
            }
        }
        Ok(found)
    }

    /// Places of a series from `at` on, oldest first, as many as `most`.
    pub fn from(&self, series: u64, at: u64, most: usize) -> Result<Vec<u64>, PastError> {
        let (mut found, mut page) = (Vec::new(), Page::new());
        let wanted = key(series, at)..=key(series, u64::MAX);
        let first = self.page_of(*wanted.start()).unwrap_or(0);
        for number in first..self.firsts.len() {
            if found.len() == most || self.firsts[number] > *wanted.end() {
                break;
            }
            self.load(number, &mut page)?;
            let own = page.records().map(|(key, _)| key).filter(|key| wanted.contains(key)).map(at_of);
            found.extend(own.take(most - found.len()));
        }
        Ok(found)
    }
}

/// Reads a file from its start, a page at a time, and gives its amounts.
struct Amounts {
    file: Arc<RunFile>,
    page: Page,
    /// The page to be read next, and where in the present one the reading stands.
    number: usize,
    records: Records,
    before: (Option<u64>, i128),
    /// The next of them.
    head: Option<(Key, i128)>,
}

impl Amounts {
    fn new(file: Arc<RunFile>) -> Result<Self, PastError> {
        let (page, records) = (Page::new(), Records::default());
        let mut this = Self { file, page, number: 0, records, before: (None, 0), head: None };
        this.advance()?;
        Ok(this)
    }

    fn advance(&mut self) -> Result<(), PastError> {
        let record = loop {
            match self.records.next(&self.page) {
                Some(record) => break Some(record),
                None if self.number == self.file.firsts.len() => break None,
                None => {
                    self.file.load(self.number, &mut self.page)?;
                    (self.number, self.records) = (self.number + 1, Records::default());
                }
            }
        };
        self.head = match record {
            None => None,
            Some((key, sum)) => {
                let before = if self.before.0 == Some(series_of(key)) { self.before.1 } else { 0 };
                self.before = (Some(series_of(key)), sum);
                Some((key, sum.checked_sub(before).ok_or(PastError::Range)?))
            }
        };
        Ok(())
    }
}

/// Several files as one, equal keys added up.
pub(super) struct Merged {
    heads: Vec<Amounts>,
}

impl Merged {
    pub fn new(files: &[Arc<RunFile>]) -> Result<Self, PastError> {
        Ok(Self { heads: files.iter().cloned().map(Amounts::new).collect::<Result<_, _>>()? })
    }

    /// The next amount; `None`: that was all.
    pub fn next(&mut self) -> Result<Option<(Key, i128)>, PastError> {
        let least = self.heads.iter().filter_map(|head| head.head).map(|(key, _)| key).min();
        let Some(least) = least else { return Ok(None) };
        let mut all = 0i128;
        for head in &mut self.heads {
            while let Some((_, amount)) = head.head.filter(|(key, _)| *key == least) {
                all = all.checked_add(amount).ok_or(PastError::Range)?;
                head.advance()?;
            }
        }
        Ok(Some((least, all)))
    }
}
