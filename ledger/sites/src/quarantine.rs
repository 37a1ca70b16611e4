//! Records that a peer gave and that were refused: kept as they came, with the reason beside them, for a person to look
//! at. Bounded, and the same record is kept once. Nothing here is ever read again by the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Records kept of one topic; later ones are refused and named all the same.
const KEPT_MAX: usize = 1_000;

/// The folder of refused records.
#[derive(Debug, Clone)]
pub(crate) struct Quarantine {
    folder: PathBuf,
}

impl Quarantine {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.join("quarantine") }
    }

    /// Keeps a record; returns where.
    pub(crate) fn keep(&self, peer: &str, topic: &str, offset: u64, value: &[u8], why: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join(topic);
        let hash = blake3::hash(value).to_hex();
        let path = folder.join(format!("{offset:012}-{}.record", &hash[..8]));
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(&folder)?;
        if fs::read_dir(&folder)?.count() >= KEPT_MAX * 2 {
            return Ok(folder);
        }
        let said = serde_json::json!({ "peer": peer, "topic": topic, "offset": offset, "reason": why });
        fs::write(path.with_extension("json"), format!("{said}\n"))?;
        bus::replace_file(&path, value).map_err(io::Error::other)?;
        Ok(path)
    }

    /// Records kept now.
    pub(crate) fn count(&self) -> usize {
        let files = |topic: fs::DirEntry| fs::read_dir(topic.path()).into_iter().flatten().flatten();
        let topics = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        topics.flat_map(files).filter(|file| file.path().extension().is_some_and(|end| end == "record")).count()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}
