//! What stops the ledger or a reader of it. Orders that may not be booked are no errors: see `accounting::PayRefusal`.

use accounting::{BookError, FoldVersionError};
use bus::BusError;
use bus::run_log::RunLogError;
use bus::stream::{FrameError, StreamError};
use facts::BookedAt;
use facts::xdr::Position;
use schemas::DecodeError;
use smol_str::SmolStr;
use std::path::PathBuf;

/// Broken surroundings or a broken log.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Stream(StreamError),
    #[error("orders of runs: {0}")]
    RunLog(RunLogError),
    #[error("{stream} frame {seq}: {error}; run `tandem ledger verify`")]
    Frame { stream: SmolStr, seq: u64, error: DecodeError },
    #[error("{stream} item {}/{}: {error}; run `tandem ledger verify`", at.seq, at.index)]
    Item { stream: SmolStr, at: Position, error: DecodeError },
    #[error("{stream} item {}/{}: {error}; run `tandem ledger verify`", at.seq, at.index)]
    Book { stream: SmolStr, at: Position, error: Box<BookError> },
    #[error("{stream} frame {seq} is not in the log any more; restore the log from a backup")]
    Missing { stream: SmolStr, seq: u64 },
    #[error(
        "{stream} frame {seq} is of fold version {found}, this program folds versions up to {newest}; start the program that \
         wrote it, or a newer one, on the same data"
    )]
    FoldVersion { stream: SmolStr, seq: u64, found: u32, newest: u32 },
    #[error("{stream} frame {seq}: {error}; run `tandem ledger verify`")]
    FoldFalls { stream: SmolStr, seq: u64, error: FoldVersionError },
    #[error(
        "the configuration orders fold version {version} from {from} on, this program folds versions up to {newest}; nothing \
         is written by it: start the newer program on the same data (going back ended with that order)"
    )]
    FoldOrdered { version: u32, from: BookedAt, newest: u32 },
    #[error(
        "{stream}: the fold of this program is not that of the program before it: {why}; nothing was written: start the program \
         that ran before on the same data, and report this"
    )]
    Shadow { stream: SmolStr, why: String },
    #[error("{what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("a sum in {what} is beyond the integer range")]
    Range { what: &'static str },
    #[error("the ledger has stopped: {0}")]
    Stopped(String),
}

impl From<StreamError> for LedgerError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Bus(error) => Self::Bus(error),
            other => Self::Stream(other),
        }
    }
}

impl From<FrameError> for LedgerError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Bus(error) => Self::Bus(error),
            FrameError::Missing { stream, seq } => Self::Missing { stream, seq },
            FrameError::Damaged { stream, seq, source } => Self::Frame { stream, seq, error: source },
        }
    }
}

impl From<RunLogError> for LedgerError {
    fn from(error: RunLogError) -> Self {
        match error {
            RunLogError::Bus(error) => Self::Bus(error),
            other => Self::RunLog(other),
        }
    }
}

impl LedgerError {
    pub(crate) fn book(stream: &SmolStr, at: Position, error: BookError) -> Self {
        Self::Book { stream: stream.clone(), at, error: Box::new(error) }
    }

    /// True where going on later from the log may help (broker or space back).
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Bus(error) if error.is_retriable())
    }

    /// True when the bus was told to stop.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Bus(BusError::Stopped))
    }
}
