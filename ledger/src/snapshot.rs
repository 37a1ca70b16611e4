//! Snapshots: the fold as a file, so that a restart reads only the rest of the log. A cache and nothing more: whatever
//! is wrong with it (another version, another log, a flipped byte), the log is read from its start instead.

use crate::error::LedgerError;
use crate::fold::Fold;
use crate::streams::Source;
use accounting::{Book, History};
use bus::Bus;
use bus::stream::FrameReader;
use facts::stream::StreamState;
use schemas::SchemaIds;
use smol_str::SmolStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"TDLEDG06";
/// Snapshots kept.
pub const KEEP: usize = 3;

/// What a snapshot holds.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub fold: Fold,
    /// Chain and inputs after the last frame it has.
    pub state: StreamState,
    /// Offset in the topic of the record behind that frame.
    pub next_offset: u64,
    /// The same of each input stream, as far as that frame has consumed it; of other sites' ledgers, as far as their
    /// copies are in the snapshots that belong to this one.
    pub inputs: Vec<(StreamState, u64)>,
    /// What the ledger's thread remembers beside its fold, in its own words.
    pub notes: Vec<u8>,
}

/// Bytes of a snapshot. Done by whoever holds the fold; writing them is for another thread.
pub fn encode(
    fold: &mut Fold,
    state: &StreamState,
    next_offset: u64,
    inputs: &[(StreamState, u64)],
    notes: &[u8],
) -> Result<Vec<u8>, LedgerError> {
    let state =
        serde_json::to_vec(&(state, inputs)).map_err(|error| LedgerError::Stopped(format!("stream state: {error}")))?;
    let (mut book, mut history) = (Vec::new(), Vec::new());
    fold.book.dump(&mut book);
    fold.history.dump(&mut history);
    let mut offsets = Vec::with_capacity(fold.offsets.len() * 8);
    fold.offsets.iter().for_each(|offset| offsets.extend_from_slice(&offset.to_le_bytes()));
    let mut out = Vec::with_capacity(128 + state.len() + book.len() + history.len() + offsets.len() + notes.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&fold.book.fold_version().to_le_bytes());
    out.extend_from_slice(&next_offset.to_le_bytes());
    for part in [&state, &book, &history, &offsets, notes] {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    }
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    Ok(out)
}

/// Reads what `encode` made; the error says why it is of no use.
pub fn decode(stream: &SmolStr, bytes: &[u8]) -> Result<Snapshot, String> {
    let (content, hash) = bytes.split_last_chunk::<32>().ok_or("too short")?;
    if blake3::hash(content).as_bytes() != hash {
        return Err("its content does not have the hash it says".into());
    }
    let rest = content.strip_prefix(MAGIC).ok_or_else(|| {
        let another = content.starts_with(&MAGIC[..6]);
        if another { "another release wrote it: the log is read instead" } else { "it is no ledger snapshot" }
    })?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or("too short")?;
    let version = u32::from_le_bytes(*version);
    let newest = crate::folds::newest();
    if version > newest {
        return Err(format!("fold version {version}, this program folds versions up to {newest}"));
    }
    let (next_offset, mut rest) = rest.split_first_chunk::<8>().ok_or("too short")?;
    let mut part = || -> Result<&[u8], String> {
        let (len, after) = rest.split_first_chunk::<8>().ok_or("too short")?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| "too long")?;
        let (part, after) = after.split_at_checked(len).ok_or("too short")?;
        rest = after;
        Ok(part)
    };
    let (state, inputs): (StreamState, Vec<(StreamState, u64)>) =
        serde_json::from_slice(part()?).map_err(|error| error.to_string())?;
    if state.stream() != stream {
        return Err(format!("it is of {}", state.stream()));
    }
    let mut fold = Fold::new(stream.clone());
    fold.book = Book::load(part()?).map_err(|error| error.to_string())?;
    fold.history = History::load(part()?).ok_or("its history is damaged")?;
    let offsets = part()?.chunks_exact(8);
    fold.offsets = offsets.map(|x| u64::from_le_bytes(x.try_into().unwrap_or_default())).collect();
    if fold.offsets.len() as u64 != state.seq() {
        return Err("it has not as many offsets as frames".into());
    }
    let notes = part()?.to_vec();
    Ok(Snapshot { fold, state, next_offset: u64::from_le_bytes(*next_offset), inputs, notes })
}

/// True when the log still holds the frame that the snapshot ends with: another log must not be gone on with.
pub fn fits(snapshot: &Snapshot, bus: &Arc<dyn Bus>, ids: &SchemaIds, source: &Source) -> bool {
    let Some(&offset) = snapshot.fold.offsets.last() else { return snapshot.state.seq() == 0 };
    let Source { stream, topic, partition } = source.clone();
    if bus.end(&topic, partition).is_ok_and(|end| snapshot.next_offset > end) {
        return false;
    }
    let mut frames = FrameReader::new(bus.clone(), ids.clone(), stream);
    match frames.frame(snapshot.state.seq(), offset) {
        Ok(frame) => frame.hash() == *snapshot.state.hash(),
        Err(error) => {
            tracing::warn!(%error, "snapshot does not fit the log");
            false
        }
    }
}

/// Folder of snapshots of one stream.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    stream: SmolStr,
}

impl Store {
    /// Snapshots of `stream` below `data_dir`.
    pub fn new(data_dir: &Path, stream: &SmolStr) -> Self {
        Self { folder: data_dir.join("snapshots").join(stream.as_str()), stream: stream.clone() }
    }

    /// Writes a snapshot durably (new file, fsync, rename, fsync of the folder) and removes all but the newest
    /// [`KEEP`].
    pub fn write(&self, seq: u64, bytes: &[u8]) -> Result<PathBuf, LedgerError> {
        let failed = |what, path: &Path| {
            let path = path.to_path_buf();
            move |source| LedgerError::File { what, path, source }
        };
        fs::create_dir_all(&self.folder).map_err(failed("cannot make folder", &self.folder))?;
        let path = self.path(seq);
        let new = self.folder.join(format!("{seq:020}.new"));
        let mut file = File::create(&new).map_err(failed("cannot write", &new))?;
        file.write_all(bytes).map_err(failed("cannot write", &new))?;
        file.sync_all().map_err(failed("cannot sync", &new))?;
        bus::failpoint::pass("ledger.snapshot");
        fs::rename(&new, &path).map_err(failed("cannot rename", &new))?;
        let folder = File::open(&self.folder).map_err(failed("cannot open", &self.folder))?;
        folder.sync_all().map_err(failed("cannot sync", &self.folder))?;
        for old in self.files()?.into_iter().skip(KEEP) {
            fs::remove_file(&old).map_err(failed("cannot remove", &old))?;
        }
        Ok(path)
    }

    /// The newest snapshot that is whole and ours; older ones are tried in turn. What is wrong is logged, not fatal.
    pub fn newest(&self) -> Option<Snapshot> {
        let files = self.files().unwrap_or_default();
        files.into_iter().find_map(|path| {
            let read = fs::read(&path).map_err(|error| error.to_string());
            match read.and_then(|bytes| decode(&self.stream, &bytes)) {
                Ok(snapshot) => Some(snapshot),
                Err(reason) => {
                    tracing::warn!(file = %path.display(), reason, "snapshot is of no use, trying an older one");
                    None
                }
            }
        })
    }

    /// The snapshot up to frame `seq`, if it is there and whole.
    pub fn at(&self, seq: u64) -> Option<Snapshot> {
        let bytes = fs::read(self.path(seq)).ok()?;
        decode(&self.stream, &bytes).inspect_err(|reason| tracing::warn!(reason, "snapshot is of no use")).ok()
    }

    /// Whether there is a file of that frame, whole or not.
    pub fn has(&self, seq: u64) -> bool {
        self.path(seq).exists()
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.folder.join(format!("{seq:020}.snapshot"))
    }

    /// Newest first.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, LedgerError> {
        let failed = |source| LedgerError::File { what: "cannot list", path: self.folder.clone(), source };
        let mut files = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|x| x == "snapshot") {
                files.push(path);
            }
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_snapshots_are_kept_and_a_damaged_one_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let stream = SmolStr::new_static("ledger.main");
        let store = Store::new(folder.path(), &stream);
        assert!(store.newest().is_none() && !store.has(1));
        let mut fold = Fold::new(stream.clone());
        let bytes = encode(&mut fold, &StreamState::new(stream.clone()), 7, &[], b"n").unwrap();
        for seq in 1..=5 {
            store.write(seq, &bytes).unwrap();
        }
        assert_eq!(store.files().unwrap().len(), KEEP);
        assert_eq!(store.at(4).unwrap().notes, b"n");
        assert!(store.at(2).is_none() && store.has(3));
        let newest = store.files().unwrap().remove(0);
        for at in [0, 9, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&newest, &damaged).unwrap();
            assert!(decode(&stream, &damaged).is_err(), "byte {at}");
            assert_eq!(store.newest().unwrap().next_offset, 7);
        }
        assert!(decode(&SmolStr::new_static("ledger.other"), &bytes).is_err());
    }
}
