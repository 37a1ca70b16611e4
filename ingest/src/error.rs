//! What can go wrong in ingest: thing, place, reason, what to do.

use std::path::{Path, PathBuf};

/// An error of the surroundings. Records that cannot be read are no errors but rejects.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("{what} {path}: {source}", path = path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("no space left for {path}; nothing half-written is kept, it goes on once there is space", path = path.display())]
    NoSpace { path: PathBuf },
    #[error("raw object {hash} is not in the raw store at {path}; restore the folder from its backup", path = path.display())]
    RawMissing { hash: String, path: PathBuf },
    #[error("raw object {path} is damaged: {reason}; restore it from the backup of the raw store", path = path.display())]
    RawDamaged { path: PathBuf, reason: String },
    #[error("raw object {hash} has {size} bytes, there is no byte range {offset} + {length}")]
    RawRange { hash: String, size: u64, offset: u64, length: u64 },
    #[error("{path} is no file; give a file of call records", path = path.display())]
    NotAFile { path: PathBuf },
    #[error("{path} has {bytes} bytes, more than the limit of {limit}; split it", path = path.display())]
    FileTooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("switch {0} is not configured; add it with `tandem apply`")]
    UnknownSwitch(String),
    #[error(transparent)]
    Format(#[from] switch_formats::FormatError),
    #[error(transparent)]
    Bus(#[from] bus::BusError),
    #[error("the writer of call events has stopped: {0}")]
    WriterStopped(String),
    #[error("the records are not durable after {0} s; send them again, nothing is counted twice")]
    NotInTime(u64),
    #[error("stopped before the end; start again, nothing is counted twice")]
    Stopped,
    #[error("setting {setting}: {reason}")]
    Setting { setting: &'static str, reason: String },
}

impl IngestError {
    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path: path.to_path_buf() }
            }
            _ => Self::Io { what, path: path.to_path_buf(), source },
        }
    }

    /// May the same call succeed later without a change by a person other than making space?
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NoSpace { .. } | Self::NotInTime(_) => true,
            Self::Bus(error) => error.is_retriable(),
            _ => false,
        }
    }
}
