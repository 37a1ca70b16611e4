//! Streams on a bus: a topic of one partition that bears the stream's name and holds fences and frames. The reader
//! hands out accepted frames only; the writer is an owner that has fenced the stream and appends frames to its chain.
//! What is accepted is `facts::stream`'s rule and nobody else's.

mod frames;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use frames::{FrameError, FrameReader, Places};
pub use reader::{Accepted, StreamReader, Voids};
pub use writer::{FrameParts, StreamWriter, write_fence};

use crate::BusError;
use smol_str::SmolStr;

/// Why a stream cannot be read or written on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Another owner has claimed the stream with a higher epoch: this one has to stop at once.
    #[error("stream {stream}: {owner} has taken over with epoch {epoch}; this owner stops")]
    Fenced { stream: SmolStr, owner: SmolStr, epoch: u64 },
    /// A frame of ours did not come back as accepted.
    #[error("stream {stream}: our frame {seq} did not come back as accepted; this owner stops")]
    NotAccepted { stream: SmolStr, seq: u64 },
}
