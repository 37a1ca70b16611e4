//! Hashes of a stream's frames, derived from the log and kept in a file, so that a certificate reads only what came since
//! the last one. A cache: whatever is wrong with it, the log is read again.

use super::{ProveError, Prover, items_root, write_durably};
use crate::error::LedgerError;
use crate::frames::walk;
use proof::{Hash, frame_leaf, root};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Frame hash, items' root, check.
const RECORD: usize = 32 + 32 + 8;
/// One thread at a time reads and writes the file.
static FILE: Mutex<()> = Mutex::new(());

/// What stands for each frame from the first.
pub struct Leaves(Vec<(Hash, Hash)>);

fn check_of(seq: u64, hash: &Hash, items: &Hash) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_le_bytes()).update(&hash.0).update(&items.0);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}

impl Leaves {
    /// Frames 1 to `last`, from the file as far as it is whole and of this log, else from the log.
    pub fn up_to(prover: &Prover, last: u64) -> Result<Self, ProveError> {
        let _one = FILE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = file(prover);
        let mut leaves = Self::kept(prover, &path);
        let known = leaves.0.len() as u64;
        if known >= last {
            return Ok(leaves);
        }
        walk((&*prover.bus, &prover.ids, &prover.view), known + 1, last, &mut |frame| {
            let hash = Hash(frame.hash());
            let seq = frame.header.seq;
            let failed = |error| LedgerError::Frame { stream: frame.header.stream.clone(), seq, error };
            let before = leaves.0.last().map_or([0; 32], |(hash, _)| hash.0);
            if frame.header.prev_hash != before {
                return Err(LedgerError::Missing { stream: frame.header.stream.clone(), seq: seq - 1 });
            }
            leaves.0.push((hash, items_root(frame).map_err(failed)?));
            Ok(())
        })?;
        write_durably(&path, &leaves.bytes())?;
        Ok(leaves)
    }

    fn kept(prover: &Prover, path: &PathBuf) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let mut leaves = Vec::with_capacity(bytes.len() / RECORD);
        for record in bytes.chunks_exact(RECORD) {
            let (mut hash, mut items) = (Hash::default(), Hash::default());
            hash.0.copy_from_slice(&record[..32]);
            items.0.copy_from_slice(&record[32..64]);
            if check_of(leaves.len() as u64 + 1, &hash, &items) != record[64..] {
                tracing::warn!(file = %path.display(), frame = leaves.len() + 1, "derived hashes are damaged, read again");
                break;
            }
            leaves.push((hash, items));
        }
        // The chain ties all before it to the last one.
        let own = leaves.last().is_none_or(|(hash, _)| {
            prover.view.read(leaves.len() as u64, |frame| Ok(frame.hash() == hash.0)).unwrap_or(false)
        });
        if !own {
            tracing::warn!(file = %path.display(), "derived hashes are of another log, all are read again");
            leaves.clear();
        }
        Self(leaves)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * RECORD);
        for (seq, (hash, items)) in (1u64..).zip(&self.0) {
            bytes.extend_from_slice(&hash.0);
            bytes.extend_from_slice(&items.0);
            bytes.extend_from_slice(&check_of(seq, hash, items));
        }
        bytes
    }

    /// Leaves of the tree over the first `frames`.
    pub fn leaves(&self, frames: u64) -> Vec<Hash> {
        let some = self.0.iter().take(usize::try_from(frames).unwrap_or(usize::MAX));
        (1u64..).zip(some).map(|(seq, (hash, items))| frame_leaf(seq, hash, items)).collect()
    }

    /// Root of the tree over the first `frames`; `None` where there are not as many.
    pub fn root(&self, frames: u64) -> Option<Hash> {
        let leaves = self.leaves(frames);
        (leaves.len() as u64 == frames).then(|| root(&leaves))
    }

    /// Hash of a frame.
    pub fn hash_of(&self, seq: u64) -> Option<Hash> {
        let place = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.0.get(place).map(|(hash, _)| *hash)
    }
}

fn file(prover: &Prover) -> PathBuf {
    prover.data_dir.join("proofs").join(format!("{}.leaves", prover.view.stream()))
}
