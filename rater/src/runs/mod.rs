//! Runs over past calls: what a plan comes to (preview), and its stream `xdrs.SITE.run-ID` (post). Which revision of a
//! call holds follows from the inputs that the plan fixes, what a side costs is `rating`'s, and what of it is booked is
//! the ledger's to decide.

mod changes;
mod lean;
mod plan;
mod post;
mod preview;
mod proposals;
mod scan;
#[cfg(test)]
mod tests;
mod times;

pub use plan::{inputs, tariffs_for};
pub use post::post;
pub use preview::preview;
pub use proposals::{Proposal, ProposalKey, proposals};
pub use scan::{Scan, Source};

use bus::config_log::ConfigError;
use bus::stream::StreamError;
use bus::{Bus, BusError};
use schemas::{DecodeError, SchemaIds};
use smol_str::SmolStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What stops a run; it goes on from its own stream.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Stream(StreamError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{stream} frame {seq}: {source}; run `tandem ledger verify`")]
    Frame { stream: SmolStr, seq: u64, source: DecodeError },
    #[error("{stream} ends before frame {seq}, which the run goes over; restore the log from a backup")]
    Short { stream: SmolStr, seq: u64 },
    #[error("{stream} frame {seq} item {index} is to be taken back to, but no rated call stands there")]
    NoCall { stream: SmolStr, seq: u64, index: u32 },
    #[error("the run names {stream}, which is not among its inputs")]
    UnknownInput { stream: SmolStr },
    #[error("deck {deck:?} has no version {version} in configuration {seq}")]
    NoDeckVersion { deck: SmolStr, version: u32, seq: u64 },
    #[error("configuration version {seq} cannot be priced by: {problem}; apply what is missing, then preview again")]
    Tariffs { seq: u64, problem: String },
    #[error("there is no configuration version {0}; see `tandem config history`")]
    NoConfig(u64),
    #[error(transparent)]
    Sum(#[from] rating::rerate::SumRange),
    #[error("stopped")]
    Stopped,
}

impl From<StreamError> for RunError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Bus(error) => Self::Bus(error),
            other => Self::Stream(other),
        }
    }
}

impl RunError {
    /// True where going on later may help by itself.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Bus(error) if error.is_retriable())
    }
}

/// Where a run is worked on.
pub struct Worker<'a> {
    pub bus: &'a Arc<dyn Bus>,
    pub ids: &'a SchemaIds,
    pub site: &'a str,
    /// Set when it is to stop.
    pub stop: &'a AtomicBool,
    /// Calls gone over so far, for whoever watches.
    pub done: &'a AtomicU64,
    /// Frames read so far.
    pub read: &'a AtomicU64,
    /// Folder where the times of streams are kept for the next run; `None`: they are read anew.
    pub kept: Option<&'a Path>,
}

impl Worker<'_> {
    fn go_on(&self) -> Result<(), RunError> {
        if self.stop.load(Ordering::Relaxed) { Err(RunError::Stopped) } else { Ok(()) }
    }
}
