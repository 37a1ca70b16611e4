//! The raw store: original bytes, addressed by their BLAKE3, compressed. An object appears whole or not at all and is
//! never changed. It knows nothing of calls.
//!
//! An object is a file of zstd frames of 256 KiB each in the zstd "seekable format" (a skippable frame with the frames'
//! sizes at the end), so `zstd -d` reads it and one record comes out without unpacking a gigabyte. Frames carry zstd's
//! checksum: damage is found when it is read.

use crate::error::IngestError;
use crate::files;
use facts::call::RawRef;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const FRAME: usize = 256 << 10;
const LEVEL: i32 = 3;
/// Seekable format: skippable frame magic with nibble E, and the footer's magic.
const SKIPPABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;
const FOOTER: usize = 9;
/// Objects unfinished for longer than this are left-overs of a crash.
const STALE_SECONDS: u64 = 86_400;

/// Content address of an object.
pub type Hash = [u8; 32];

/// The store in a folder. Cheap to clone; safe to use from many threads and, since objects never change, processes.
#[derive(Clone, Debug)]
pub struct RawStore {
    root: Arc<PathBuf>,
}

static UNFINISHED: AtomicU64 = AtomicU64::new(0);

impl RawStore {
    /// Opens (or begins) the store and removes what a crash left unfinished.
    pub fn open(root: &Path) -> Result<Self, IngestError> {
        let unfinished = root.join("unfinished");
        files::make_folder(&unfinished)?;
        let entries = fs::read_dir(&unfinished).map_err(|e| IngestError::io("cannot list", &unfinished, e))?;
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > STALE_SECONDS));
            if old {
                // Best effort: a left-over costs space, nothing else.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { root: Arc::new(root.to_path_buf()) })
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let hex = hex(hash);
        self.root.join(&hex[..2]).join(format!("{}.zst", &hex[2..]))
    }

    /// True where the object is held.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.path(hash).exists()
    }

    /// Begins an object whose bytes come in pieces.
    pub fn begin(&self) -> Result<RawWriter, IngestError> {
        let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("unfinished").join(format!("{}-{number}", std::process::id()));
        let file = File::create(&path).map_err(|e| IngestError::io("cannot create", &path, e))?;
        let compressor = compressor().map_err(|e| IngestError::io("cannot compress into", &path, e))?;
        Ok(RawWriter {
            store: self.clone(),
            out: BufWriter::with_capacity(FRAME, file),
            path,
            hasher: blake3::Hasher::new(),
            compressor,
            pending: Vec::with_capacity(FRAME),
            index: Vec::new(),
            size: 0,
            done: false,
        })
    }

    /// Keeps a whole object; returns its address.
    pub fn put(&self, bytes: &[u8]) -> Result<Hash, IngestError> {
        let hash = *blake3::hash(bytes).as_bytes();
        if self.contains(&hash) {
            return Ok(hash);
        }
        let mut writer = self.begin()?;
        writer.write(bytes)?;
        writer.finish().map(|(hash, _)| hash)
    }

    /// Some bytes of an object.
    pub fn get(&self, hash: &Hash, offset: u64, length: u64) -> Result<Vec<u8>, IngestError> {
        self.object(hash)?.read(offset, length)
    }

    /// The bytes of one record.
    pub fn record(&self, raw: &RawRef) -> Result<Vec<u8>, IngestError> {
        self.get(&raw.hash, raw.offset, u64::from(raw.length))
    }

    /// Opens an object to read it in pieces.
    pub fn object(&self, hash: &Hash) -> Result<RawObject, IngestError> {
        let path = self.path(hash);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(IngestError::RawMissing { hash: hex(hash), path });
            }
            Err(e) => return Err(IngestError::io("cannot open", &path, e)),
        };
        RawObject::open(*hash, path, file)
    }
}

fn compressor() -> std::io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

/// An object being written. Dropped before `finish` it leaves nothing behind.
pub struct RawWriter {
    store: RawStore,
    out: BufWriter<File>,
    path: PathBuf,
    hasher: blake3::Hasher,
    compressor: zstd::bulk::Compressor<'static>,
    pending: Vec<u8>,
    /// Compressed and original size of each frame.
    index: Vec<(u32, u32)>,
    size: u64,
    done: bool,
}

impl RawWriter {
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), IngestError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let take = bytes.len().min(FRAME - self.pending.len());
            self.pending.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.pending.len() == FRAME {
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<(), IngestError> {
        let mut write = || -> std::io::Result<u32> {
            let packed = self.compressor.compress(&self.pending)?;
            self.out.write_all(&packed)?;
            Ok(packed.len() as u32)
        };
        let packed = write().map_err(|e| IngestError::io("cannot write", &self.path, e))?;
        self.index.push((packed, self.pending.len() as u32));
        self.pending.clear();
        Ok(())
    }

    /// Makes the object durable under its address. Returns the address and the size.
    pub fn finish(mut self) -> Result<(Hash, u64), IngestError> {
        if !self.pending.is_empty() {
            self.frame()?;
        }
        let hash = *self.hasher.finalize().as_bytes();
        let target = self.store.path(&hash);
        if target.exists() {
            return Ok((hash, self.size));
        }
        let folder = target.parent().unwrap_or(&self.store.root).to_path_buf();
        files::make_folder(&folder)?;
        let index = seek_table(&self.index);
        let mut publish = || -> std::io::Result<()> {
            self.out.write_all(&index)?;
            self.out.flush()?;
            self.out.get_ref().sync_all()?;
            fs::rename(&self.path, &target)
        };
        publish().map_err(|e| IngestError::io("cannot write", &target, e))?;
        self.done = true;
        files::sync_folder(&folder)?;
        files::sync_folder(&self.store.root)?;
        Ok((hash, self.size))
    }
}

impl Drop for RawWriter {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn seek_table(index: &[(u32, u32)]) -> Vec<u8> {
    let mut table = Vec::with_capacity(8 + index.len() * 8 + FOOTER);
    table.extend(SKIPPABLE.to_le_bytes());
    table.extend(((index.len() * 8 + FOOTER) as u32).to_le_bytes());
    for (packed, original) in index {
        table.extend(packed.to_le_bytes());
        table.extend(original.to_le_bytes());
    }
    table.extend((index.len() as u32).to_le_bytes());
    table.push(0);
    table.extend(SEEKABLE.to_le_bytes());
    table
}

/// An object being read.
#[derive(Debug)]
pub struct RawObject {
    hash: Hash,
    path: PathBuf,
    file: File,
    /// Where each frame begins, packed and unpacked; one more than there are frames.
    starts: Vec<(u64, u64)>,
}

impl RawObject {
    fn open(hash: Hash, path: PathBuf, file: File) -> Result<Self, IngestError> {
        let damaged = |reason: &str| IngestError::RawDamaged { path: path.clone(), reason: reason.to_owned() };
        let length = file.metadata().map_err(|e| IngestError::io("cannot read", &path, e))?.len();
        let mut footer = [0; FOOTER];
        let at = length.checked_sub(FOOTER as u64).ok_or_else(|| damaged("it is too short"))?;
        file.read_exact_at(&mut footer, at).map_err(|e| IngestError::io("cannot read", &path, e))?;
        let word =
            |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let frames = u64::from(word(&footer, 0));
        if word(&footer, 5) != SEEKABLE || frames * 8 + FOOTER as u64 + 8 > length {
            return Err(damaged("its seek table is not whole"));
        }
        let table_at = length - FOOTER as u64 - frames * 8;
        let mut table = vec![0; (frames * 8) as usize];
        file.read_exact_at(&mut table, table_at).map_err(|e| IngestError::io("cannot read", &path, e))?;
        let mut starts = vec![(0u64, 0u64)];
        for entry in table.chunks_exact(8) {
            let (packed, original) = (word(entry, 0), word(entry, 4));
            let (a, b) = starts[starts.len() - 1];
            if original as usize > FRAME {
                return Err(damaged("a frame in its seek table is too large"));
            }
            starts.push((a + u64::from(packed), b + u64::from(original)));
        }
        if starts[starts.len() - 1].0 + 8 != table_at {
            return Err(damaged("its seek table does not fit its frames"));
        }
        Ok(Self { hash, path, file, starts })
    }

    /// Size of the original.
    pub fn size(&self) -> u64 {
        self.starts[self.starts.len() - 1].1
    }

    /// Some bytes of the original.
    pub fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, IngestError> {
        let end = offset
            .checked_add(length)
            .filter(|end| *end <= self.size())
            .ok_or_else(|| IngestError::RawRange { hash: hex(&self.hash), size: self.size(), offset, length })?;
        let mut out = Vec::with_capacity(length as usize);
        let mut frame = self.starts.partition_point(|(_, start)| *start <= offset).saturating_sub(1);
        let mut at = offset;
        while at < end {
            let bytes = self.frame(frame)?;
            let start = self.starts[frame].1;
            let from = (at - start) as usize;
            let to = ((end - start) as usize).min(bytes.len());
            out.extend_from_slice(&bytes[from..to]);
            at = start + to as u64;
            frame += 1;
        }
        Ok(out)
    }

    /// Number of pieces, for reading one after another.
    pub fn frames(&self) -> usize {
        self.starts.len() - 1
    }

    /// One piece of the original.
    pub fn frame(&self, index: usize) -> Result<Vec<u8>, IngestError> {
        let damaged = |reason: String| IngestError::RawDamaged { path: self.path.clone(), reason };
        let (Some(start), Some(end)) = (self.starts.get(index), self.starts.get(index + 1)) else {
            return Err(damaged(format!("it has no frame {index}")));
        };
        let mut packed = vec![0; (end.0 - start.0) as usize];
        self.file.read_exact_at(&mut packed, start.0).map_err(|e| IngestError::io("cannot read", &self.path, e))?;
        let bytes = zstd::bulk::decompress(&packed, FRAME).map_err(|e| damaged(format!("frame {index}: {e}")))?;
        if bytes.len() as u64 != end.1 - start.1 {
            return Err(damaged(format!("frame {index} has {} bytes, not {}", bytes.len(), end.1 - start.1)));
        }
        Ok(bytes)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).take(len).collect()
    }

    #[test]
    fn any_range_of_an_object_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = RawStore::open(folder.path()).unwrap();
        for len in [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 17] {
            let original = bytes(len);
            let mut writer = store.begin().unwrap();
            for piece in original.chunks(10_007) {
                writer.write(piece).unwrap();
            }
            let (hash, size) = writer.finish().unwrap();
            assert_eq!((hash, size), (*blake3::hash(&original).as_bytes(), len as u64));
            assert_eq!(store.put(&original).unwrap(), hash);
            for (from, to) in [(0, len), (len / 2, len), (len.saturating_sub(3), len), (0, len.min(5))] {
                let got = store.get(&hash, from as u64, (to - from) as u64).unwrap();
                assert_eq!(got, original[from..to], "{from}..{to} of {len}");
            }
            assert!(matches!(store.get(&hash, len as u64, 1), Err(IngestError::RawRange { .. })));
        }
        assert!(matches!(store.get(&[7; 32], 0, 0), Err(IngestError::RawMissing { .. })));
        assert_eq!(fs::read_dir(folder.path().join("unfinished")).unwrap().count(), 0);
    }

    #[test]
    fn a_flipped_byte_is_found_and_said_where() {
        let folder = tempfile::tempdir().unwrap();
        let store = RawStore::open(folder.path()).unwrap();
        let original = bytes(2 * FRAME);
        let hash = store.put(&original).unwrap();
        let path = store.path(&hash);
        let good = fs::read(&path).unwrap();
        for at in [20, good.len() / 2, good.len() - 12, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            let got = store.get(&hash, 0, original.len() as u64);
            let Err(IngestError::RawDamaged { path: named, .. }) = got else {
                panic!("byte {at}: {:?}", got.map(|b| b.len()))
            };
            assert_eq!(named, path);
        }
        for cut in [0, 5, good.len() - 1] {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(store.get(&hash, 0, 1).is_err());
        }
    }
}
