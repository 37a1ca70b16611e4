//! Entries of one index: new ones in memory, older ones in files of [`super::bucket_file`], each in the bucket that its
//! caller names. What is in memory is handed over to be written in one piece, and stays readable until its files are
//! there.

use super::bucket_file::{BucketFile, Entry, IndexError, Key, Value, write};
use hashbrown::HashMap;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Entries in memory, by bucket.
pub(super) type InMemory = BTreeMap<i64, HashMap<Key, Value>>;
/// Files by bucket, oldest first.
pub(super) type Files = BTreeMap<i64, Vec<Arc<BucketFile>>>;

/// One index; the last entry of a key counts.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    active: InMemory,
    /// Number of entries in `active`.
    entries: usize,
    /// Being written.
    frozen: Option<Arc<InMemory>>,
    files: Files,
    /// Buckets below it are forgotten.
    oldest: Option<i64>,
    /// The first failure of a look-up. Whoever looks up has to ask for it before anything follows from an answer.
    trouble: RefCell<Option<IndexError>>,
}

impl Buckets {
    pub fn with_files(files: Files) -> Self {
        Self { files, ..Self::default() }
    }

    /// Entries in memory that nobody writes yet.
    pub fn unwritten(&self) -> usize {
        self.entries
    }

    /// Entries in memory and in files; one that was written again counts twice until its files are merged.
    pub fn len(&self) -> u64 {
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.values().map(HashMap::len).sum());
        (self.entries + frozen) as u64 + self.files.values().flatten().map(|file| file.count).sum::<u64>()
    }

    /// Bytes of the entries in memory, and of the fences and filters of the files.
    pub fn memory(&self) -> (usize, usize) {
        let tables = |all: &InMemory| all.values().map(HashMap::allocation_size).sum::<usize>();
        let frozen = self.frozen.as_deref().map_or(0, tables);
        (tables(&self.active) + frozen, self.files.values().flatten().map(|file| file.memory()).sum())
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    pub fn trouble(&self) -> Option<IndexError> {
        self.trouble.borrow_mut().take()
    }

    pub fn insert(&mut self, bucket: i64, key: Key, value: Value) {
        if self.active.entry(bucket).or_default().insert(key, value).is_none() {
            self.entries += 1;
        }
    }

    pub fn get(&self, bucket: i64, key: &Key) -> Option<Value> {
        let in_memory = |all: &InMemory| all.get(&bucket).and_then(|entries| entries.get(key)).copied();
        in_memory(&self.active)
            .or_else(|| self.frozen.as_deref().and_then(in_memory))
            .or_else(|| self.in_files(self.files.get(&bucket)?, key))
    }

    fn in_files(&self, files: &[Arc<BucketFile>], key: &Key) -> Option<Value> {
        files.iter().rev().find_map(|file| {
            file.get(key).unwrap_or_else(|error| {
                self.trouble.borrow_mut().get_or_insert(error);
                None
            })
        })
    }

    pub fn forget_before(&mut self, bucket: i64) {
        if self.oldest.is_some_and(|oldest| bucket <= oldest) {
            return;
        }
        self.oldest = Some(bucket);
        self.active = self.active.split_off(&bucket);
        self.entries = self.active.values().map(HashMap::len).sum();
        self.files = self.files.split_off(&bucket);
    }

    /// Hands over what is in memory, and the files as they are, to be written.
    pub fn freeze(&mut self) -> (Arc<InMemory>, Files) {
        let frozen = Arc::new(std::mem::take(&mut self.active));
        self.entries = 0;
        self.frozen = Some(frozen.clone());
        (frozen, self.files.clone())
    }

    /// What was frozen stands in these files now.
    pub fn written(&mut self, mut files: Files) {
        if let Some(oldest) = self.oldest {
            files = files.split_off(&oldest);
        }
        (self.frozen, self.files) = (None, files);
    }
}

/// Writes each frozen bucket as a new file, then merges files of about the same size: of a bucket of n entries there are
/// about log2(n) files at most, and each entry is written as often. `name` gives the next free path; entries that
/// `keep` refuses are left out.
pub(super) fn write_all(
    frozen: &InMemory,
    files: &mut Files,
    keep: &dyn Fn(&Value) -> bool,
    name: &mut dyn FnMut() -> PathBuf,
) -> Result<(), IndexError> {
    for (bucket, entries) in frozen {
        let all = entries.iter().filter(|(_, value)| keep(value));
        let mut sorted: Vec<Entry> = all.map(|(key, value)| (*key, *value)).collect();
        if sorted.is_empty() {
            continue;
        }
        sorted.sort_unstable_by_key(|entry| entry.0);
        let (most, mut sorted) = (sorted.len() as u64, sorted.into_iter());
        let of_bucket = files.entry(*bucket).or_default();
        of_bucket.push(Arc::new(write(&name(), *bucket, most, &mut || Ok(sorted.next()))?));
        while let [.., older, newer] = of_bucket.as_slice()
            && older.count <= newer.count.saturating_mul(2)
        {
            let merged = merge(&name(), *bucket, [older, newer], keep)?;
            of_bucket.truncate(of_bucket.len() - 2);
            of_bucket.push(Arc::new(merged));
        }
    }
    Ok(())
}

/// One file of two; the newer entry of a key takes the place of the older one.
fn merge(
    path: &Path,
    bucket: i64,
    [older, newer]: [&BucketFile; 2],
    keep: &dyn Fn(&Value) -> bool,
) -> Result<BucketFile, IndexError> {
    let (mut from_older, mut from_newer) = (older.entries(), newer.entries());
    let (mut a, mut b) = (from_older.next()?, from_newer.next()?);
    write(path, bucket, older.count + newer.count, &mut || {
        loop {
            let next = match (&a, &b) {
                (Some((left, _)), Some((right, _))) if left < right => std::mem::replace(&mut a, from_older.next()?),
                (Some(_), None) => std::mem::replace(&mut a, from_older.next()?),
                (left, right) => {
                    if left.map(|entry| entry.0) == right.map(|entry| entry.0) && left.is_some() {
                        a = from_older.next()?;
                    }
                    std::mem::replace(&mut b, from_newer.next()?)
                }
            };
            if next.is_none_or(|(_, value)| keep(&value)) {
                return Ok(next);
            }
        }
    })
}
