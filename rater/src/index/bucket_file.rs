//! One immutable file of a bucket (docs/decisions, "the rater's index"): sorted records of 32 bytes in pages of 4 KiB, each with its
//! checksum, then a fence (the first eight bytes of each page's first key) and a filter. A look-up of a key that is not
//! there costs no read; of one that is there, one page. Never written to again, never the truth.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What is remembered: the 16 bytes of an id, which are a hash, and 16 bytes about it.
pub(super) type Key = [u8; 16];
pub(super) type Value = [u8; 16];
pub(super) type Entry = (Key, Value);

const MAGIC: &[u8; 8] = b"TDBUCK01";
const PAGE: usize = 4_096;
const RECORD: usize = 32;
/// Records of a page; what is left holds its checksum.
const PER_PAGE: usize = 127;
const PAYLOAD: usize = PER_PAGE * RECORD;
/// Filter bits for each record: about one look-up in two hundred goes to a page in vain.
const FILTER_BITS: u64 = 12;
const BLOCK_BITS: u64 = 512;

/// Why the index on disk is of no use, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("{}: {reason}; it is a cache and is made anew from the partition's own stream", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{what} {}: {source}; make room or set its rights, the rater tries again", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
}

impl IndexError {
    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}

/// 512 bits, one line of the processor's cache: a look-up costs one miss.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Block([u64; 8]);

/// A Bloom filter in blocks. Keys are hashes, so their own bits choose block and bits.
#[derive(Default)]
struct Filter(Vec<Block>);

impl Filter {
    fn for_count(count: u64) -> Self {
        let blocks = (count * FILTER_BITS).div_ceil(BLOCK_BITS).max(1);
        Self(vec![Block::default(); blocks as usize])
    }

    fn place(&self, key: &Key) -> (usize, [u64; 8]) {
        let hash = word(key, 8);
        let block = (u128::from(hash) * self.0.len() as u128) >> 64;
        let mut bits = hash.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut mask = [0; 8];
        for _ in 0..6 {
            mask[(bits & 7) as usize] |= 1 << ((bits >> 3) & 63);
            bits >>= 9;
        }
        (block as usize, mask)
    }

    fn add(&mut self, key: &Key) {
        let (block, mask) = self.place(key);
        self.0[block].0.iter_mut().zip(mask).for_each(|(word, mask)| *word |= mask);
    }

    fn may_hold(&self, key: &Key) -> bool {
        let (block, mask) = self.place(key);
        self.0[block].0.iter().zip(mask).all(|(word, mask)| word & mask == mask)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|block| block.0).flat_map(u64::to_le_bytes).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let block = |bytes: &[u8]| Block(std::array::from_fn(|i| word(bytes, i * 8)));
        Self(bytes.chunks_exact(64).map(block).collect())
    }
}

/// Eight bytes at a place, little endian; what is not there is zero.
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The first eight bytes in the order of the keys.
fn fence_of(key: &Key) -> u64 {
    word(key, 0).swap_bytes()
}

/// A file that was written whole, opened for look-ups.
pub(super) struct BucketFile {
    path: PathBuf,
    file: File,
    pub count: u64,
    fences: Vec<u64>,
    filter: Filter,
}

impl std::fmt::Debug for BucketFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BucketFile").field("path", &self.path).field("count", &self.count).finish()
    }
}

/// Writes a file from entries that rise strictly by key; `most` is no less than their number.
pub(super) fn write(
    path: &Path,
    bucket: i64,
    most: u64,
    next: &mut dyn FnMut() -> Result<Option<Entry>, IndexError>,
) -> Result<BucketFile, IndexError> {
    let failed = || IndexError::io("cannot write", path);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(failed())?;
    let mut out = BufWriter::with_capacity(1 << 18, file);
    out.write_all(&[0; PAGE]).map_err(failed())?;
    let (mut count, mut fences, mut filter) = (0u64, Vec::new(), Filter::for_count(most));
    let mut page = [0u8; PAGE];
    let mut at = 0;
    while let Some((key, value)) = next()? {
        if at == 0 {
            fences.push(fence_of(&key));
        }
        page[at..at + 16].copy_from_slice(&key);
        page[at + 16..at + RECORD].copy_from_slice(&value);
        filter.add(&key);
        (count, at) = (count + 1, at + RECORD);
        if at == PAYLOAD {
            out.write_all(sealed(&mut page)).map_err(failed())?;
            (page, at) = ([0; PAGE], 0);
        }
    }
    if at > 0 {
        out.write_all(sealed(&mut page)).map_err(failed())?;
    }
    let fence_bytes: Vec<u8> = fences.iter().flat_map(|fence: &u64| fence.to_le_bytes()).collect();
    let filter_bytes = filter.to_bytes();
    out.write_all(&fence_bytes).map_err(failed())?;
    out.write_all(&filter_bytes).map_err(failed())?;
    out.seek(SeekFrom::Start(0)).map_err(failed())?;
    let tail_crc = crc32c::crc32c_append(crc32c::crc32c(&fence_bytes), &filter_bytes);
    out.write_all(&header(bucket, count, filter.0.len() as u64, tail_crc)).map_err(failed())?;
    // Not synced: after a power cut the checksums tell what is missing, and the index is made anew.
    let file = out.into_inner().map_err(|e| IndexError::io("cannot write", path)(e.into_error()))?;
    Ok(BucketFile { path: path.to_path_buf(), file, count, fences, filter })
}

fn sealed(page: &mut [u8; PAGE]) -> &[u8; PAGE] {
    let crc = crc32c::crc32c(&page[..PAYLOAD]);
    page[PAYLOAD..PAYLOAD + 4].copy_from_slice(&crc.to_le_bytes());
    page
}

fn header(bucket: i64, count: u64, blocks: u64, tail_crc: u32) -> [u8; 64] {
    let mut out = [0; 64];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&bucket.to_le_bytes());
    out[16..24].copy_from_slice(&count.to_le_bytes());
    out[24..32].copy_from_slice(&blocks.to_le_bytes());
    out[32..36].copy_from_slice(&tail_crc.to_le_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

impl BucketFile {
    /// Opens a file and checks everything but its pages, which are checked when they are read.
    pub fn open(path: &Path, bucket: i64, count: u64) -> Result<Self, IndexError> {
        let damaged = |reason: String| IndexError::damaged(path, reason);
        let file = File::open(path).map_err(|e| damaged(format!("cannot be opened: {e}")))?;
        let len = file.metadata().map_err(|e| damaged(e.to_string()))?.len();
        let mut head = [0; 64];
        file.read_exact_at(&mut head, 0).map_err(|e| damaged(format!("has no header: {e}")))?;
        let (blocks, tail_crc) = (word(&head, 24), word(&head, 32) as u32);
        if head != header(bucket, count, blocks, tail_crc) {
            return Err(damaged("its header is not the one that was written".into()));
        }
        let pages = count.div_ceil(PER_PAGE as u64);
        let begin = (pages + 1) * PAGE as u64;
        if len != begin + pages * 8 + blocks * 64 {
            return Err(damaged(format!("has {len} bytes, {count} records take {}", begin + pages * 8 + blocks * 64)));
        }
        let mut tail = vec![0; (len - begin) as usize];
        file.read_exact_at(&mut tail, begin).map_err(|e| damaged(e.to_string()))?;
        if crc32c::crc32c(&tail) != tail_crc {
            return Err(damaged("its fence or filter does not have the checksum that was written".into()));
        }
        let (fences, filter) = tail.split_at(pages as usize * 8);
        let fences = fences.chunks_exact(8).map(|bytes| word(bytes, 0)).collect();
        Ok(Self { path: path.to_path_buf(), file, count, fences, filter: Filter::from_bytes(filter) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that the file holds in memory.
    pub fn memory(&self) -> usize {
        self.fences.len() * 8 + self.filter.0.len() * 64
    }

    pub fn get(&self, key: &Key) -> Result<Option<Value>, IndexError> {
        if !self.filter.may_hold(key) {
            return Ok(None);
        }
        let fence = fence_of(key);
        // Keys that share their first eight bytes may stand on both sides of a page's edge.
        let mut at = self.fences.partition_point(|first| *first < fence).saturating_sub(1);
        while at < self.fences.len() && self.fences[at] <= fence {
            let page = self.page(at)?;
            let records = self.records(at, &page);
            if let Ok(found) = records.binary_search_by(|record| record[..16].cmp(key)) {
                let mut value = Value::default();
                value.copy_from_slice(&records[found][16..]);
                return Ok(Some(value));
            }
            at += 1;
        }
        Ok(None)
    }

    fn records<'a>(&self, page: usize, bytes: &'a [u8; PAGE]) -> &'a [[u8; RECORD]] {
        let left = self.count.saturating_sub((page * PER_PAGE) as u64);
        &bytes.as_chunks::<RECORD>().0[..PER_PAGE.min(left as usize)]
    }

    fn page(&self, at: usize) -> Result<[u8; PAGE], IndexError> {
        let mut page = [0; PAGE];
        let begin = (at as u64 + 1) * PAGE as u64;
        self.file.read_exact_at(&mut page, begin).map_err(|e| IndexError::damaged(&self.path, e.to_string()))?;
        if crc32c::crc32c(&page[..PAYLOAD]) != word(&page, PAYLOAD) as u32 {
            let reason = format!("the page at byte {begin} does not have the checksum that was written");
            return Err(IndexError::damaged(&self.path, reason));
        }
        Ok(page)
    }

    /// All entries, rising.
    pub fn entries(&self) -> Entries<'_> {
        Entries { file: self, page: [0; PAGE], at: 0 }
    }
}

/// Reads a file from its first entry to its last, page by page.
pub(super) struct Entries<'a> {
    file: &'a BucketFile,
    page: [u8; PAGE],
    at: u64,
}

impl Entries<'_> {
    pub fn next(&mut self) -> Result<Option<Entry>, IndexError> {
        if self.at >= self.file.count {
            return Ok(None);
        }
        let (page, within) = ((self.at / PER_PAGE as u64) as usize, (self.at % PER_PAGE as u64) as usize * RECORD);
        if within == 0 {
            self.page = self.file.page(page)?;
        }
        self.at += 1;
        let (mut key, mut value) = (Key::default(), Value::default());
        key.copy_from_slice(&self.page[within..within + 16]);
        value.copy_from_slice(&self.page[within + 16..within + RECORD]);
        Ok(Some((key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        let mut key = [0; 16];
        let hash = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key[..8].copy_from_slice(&hash.to_le_bytes());
        key[8..].copy_from_slice(&(hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        key
    }

    fn make(path: &Path, mut entries: Vec<Entry>) -> BucketFile {
        entries.sort_unstable();
        let (most, mut entries) = (entries.len() as u64, entries.into_iter());
        write(path, 7, most, &mut || Ok(entries.next())).unwrap()
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for count in [0, 1, 126, 127, 128, 20_000] {
            let written = make(&path, (0..count).map(|n| (key(n), key(n + 1_000_000))).collect());
            let file = BucketFile::open(&path, 7, count).unwrap();
            assert_eq!((written.count, file.count, file.memory()), (count, count, written.memory()));
            for n in 0..count {
                assert_eq!(file.get(&key(n)).unwrap(), Some(key(n + 1_000_000)), "{n} of {count}");
            }
            let in_vain = (count..count + 20_000).filter(|n| file.filter.may_hold(&key(*n))).count();
            assert!(in_vain < 300, "{in_vain} of 20,000 look-ups would read a page in vain");
            assert!((count..count + 20_000).all(|n| file.get(&key(n)).unwrap().is_none()));
            let mut all = file.entries();
            let mut seen = Vec::new();
            while let Some((key, _)) = all.next().unwrap() {
                seen.push(key);
            }
            assert!(seen.is_sorted() && seen.len() as u64 == count);
        }
    }

    #[test]
    fn keys_that_begin_alike_are_found_across_pages() {
        let folder = tempfile::tempdir().unwrap();
        let alike = |n: u32| {
            let mut key = [9; 16];
            key[12..].copy_from_slice(&n.to_be_bytes());
            key
        };
        let file = make(&folder.path().join("a"), (0..1_000).map(|n| (alike(n), alike(n))).collect());
        assert!((0..1_000).all(|n| file.get(&alike(n)).unwrap() == Some(alike(n))));
        assert_eq!(file.get(&alike(1_000)).unwrap(), None);
    }

    #[test]
    fn each_flipped_byte_and_each_cut_is_found_or_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let entries: Vec<Entry> = (0..300).map(|n| (key(n), key(n))).collect();
        make(&path, entries.clone());
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            // Found when it is opened or when the page is read, or it is in bytes that hold nothing.
            let right = |file: &BucketFile| entries.iter().all(|(k, v)| file.get(k).is_ok_and(|got| got == Some(*v)));
            let wrong = |file: &BucketFile| entries.iter().any(|(k, _)| file.get(k).is_err());
            if let Ok(file) = BucketFile::open(&path, 7, 300) {
                assert!(wrong(&file) || right(&file), "byte {at}");
            }
        }
        for len in [0, 63, 64, PAGE, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = BucketFile::open(&path, 7, 300).unwrap_err().to_string();
            assert!(error.contains("made anew"), "{error}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(BucketFile::open(&path, 8, 300).is_err(), "a file of another bucket");
    }
}
