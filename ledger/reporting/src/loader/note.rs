//! The loader's note: how far a stream is loaded, and the range it is about to send. One small file per stream,
//! written, synced and renamed, so that after a crash the same range is sent again under the same token.

use crate::error::EngineError;
use facts::stream::STREAM_START;
use facts::xdr::Position;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A range that is being sent: from `Note::loaded` up to here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub to: Position,
    /// Wall clock when it was first noted, for judging whether the engine still knows its token.
    pub noted_ms: u64,
    /// Above 0: the range is deleted and loaded again, for the so-many-th time; part of the token.
    #[serde(default)]
    pub repair: u32,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub stream: String,
    /// The database it speaks of; another one is loaded from the beginning.
    pub incarnation: String,
    /// Another one each time the stream is loaded from its start, so that the engine's memory of the tokens of last
    /// time cannot swallow what is loaded again.
    pub load: u64,
    pub loaded: Position,
    pub pending: Option<Pending>,
    /// Where the frame source may begin to read again, in its own words.
    #[serde(default)]
    pub mark: Option<String>,
}

/// The note and its file.
#[derive(Debug)]
pub struct NoteFile {
    path: PathBuf,
    pub note: Note,
    /// The file was there and speaks of this database.
    pub known: bool,
}

impl NoteFile {
    /// Reads the note of a stream. A note of another database, or none, is a new one at the stream's start.
    /// `load` is the number a new note gets.
    pub fn open(dir: &Path, stream: &str, incarnation: &str, load: u64) -> Result<Self, EngineError> {
        std::fs::create_dir_all(dir).map_err(|e| EngineError::file(dir, &e))?;
        let path = dir.join(format!("{stream}.json"));
        let fresh = Note {
            stream: stream.to_owned(),
            incarnation: incarnation.to_owned(),
            load,
            loaded: STREAM_START,
            pending: None,
            mark: None,
        };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self { path, note: fresh, known: false }),
            Err(e) => return Err(EngineError::file(&path, &e)),
        };
        let note: Note = serde_json::from_slice(&text).map_err(|e| EngineError::File {
            path: path.display().to_string(),
            reason: format!("is no loader's note ({e}); delete it and the stream is loaded again from its start"),
        })?;
        if note.stream == stream && note.incarnation == incarnation {
            Ok(Self { path, note, known: true })
        } else {
            tracing::warn!(
                stream,
                "the reporting database is another one than the loader knew: loading from the start"
            );
            Ok(Self { path, note: fresh, known: false })
        }
    }

    /// Removes the note, for good: from now on nothing is known of the stream.
    pub fn remove(&mut self) -> Result<(), EngineError> {
        self.known = false;
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(EngineError::file(&self.path, &e)),
            _ => self.sync_dir(),
        }
    }

    fn sync_dir(&self) -> Result<(), EngineError> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(|e| EngineError::file(dir, &e))
    }

    /// Writes the note so that it survives a power cut.
    pub fn save(&self) -> Result<(), EngineError> {
        let failed = |e: std::io::Error| EngineError::file(&self.path, &e);
        let text = serde_json::to_vec(&self.note).map_err(|e| failed(e.into()))?;
        bus::replace_file(&self.path, &text).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_survives_and_another_database_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = NoteFile::open(dir.path(), "xdrs.main.0", "a", 1).unwrap();
        assert!(!file.known);
        file.note.loaded = Position { seq: 7, index: 0 };
        file.note.pending = Some(Pending { to: Position { seq: 9, index: 0 }, noted_ms: 5, repair: 0 });
        file.save().unwrap();
        let again = NoteFile::open(dir.path(), "xdrs.main.0", "a", 1).unwrap();
        assert!(again.known);
        assert_eq!(again.note, file.note);
        let other = NoteFile::open(dir.path(), "xdrs.main.0", "b", 2).unwrap();
        assert_eq!((other.known, other.note.loaded, other.note.pending), (false, STREAM_START, None));
        std::fs::write(dir.path().join("xdrs.main.0.json"), b"{").unwrap();
        let error = NoteFile::open(dir.path(), "xdrs.main.0", "a", 1).unwrap_err().to_string();
        assert!(error.contains("delete it"), "{error}");
    }
}
