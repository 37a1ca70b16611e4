//! What can go wrong on a bus, by name. Never a bare string from a library: every variant says the
//! thing, the place, the reason and what to do.

use std::path::{Path, PathBuf};

/// An error of the bus. [`BusError::is_retriable`] tells a passing trouble from a final one.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("topic name {name:?} is not usable: {reason}; use 1 to 249 of a-z A-Z 0-9 . _ -")]
    BadName { name: String, reason: &'static str },
    #[error("topic {topic} does not exist; create it with `ensure` first")]
    UnknownTopic { topic: String },
    #[error("topic {topic} has {partitions} partitions, there is no partition {partition}")]
    UnknownPartition { topic: String, partition: u32, partitions: u32 },
    #[error(
        "offset {asked} of {topic}/{partition} is outside the log, which holds {begin} to {end}; \
         nothing was skipped: restore the log or let a person set the position"
    )]
    OffsetOutOfRange { topic: String, partition: u32, asked: u64, begin: u64, end: u64 },
    #[error("{bytes} bytes for {topic} are more than the limit of {limit}; send less at once")]
    TooLarge { topic: String, bytes: usize, limit: usize },
    #[error("{path} is in use by {owner}; stop it or talk to it instead of opening its folder")]
    Locked { path: PathBuf, owner: String },
    #[error("{file} is damaged at byte {byte}: {reason}; {advice}", file = file.display())]
    Damaged { file: PathBuf, byte: u64, reason: String, advice: &'static str },
    /// The topic was there and is gone, or another one stands in its place. Never begun again.
    #[error(
        "topic {topic} is lost: {reason}; it is not begun again by itself: stop, restore it from a copy with its first \
         record, start again"
    )]
    TopicLost { topic: String, reason: String },
    #[error("topic {topic} is not as declared: {differences}; mend the topic or the configuration")]
    Mismatch { topic: String, differences: String },
    #[error("no space left for {path}: {reason}; nothing half-written is visible, writing goes on once there is space", path = path.display())]
    NoSpace { path: PathBuf, reason: String },
    /// A sync failed once: what the disk holds is unknown, so the log takes nothing more.
    #[error(
        "the log of {topic}/{partition} has stopped after a failed write: {reason}; stop the \
         process, check the disk, start again (the log is then checked)"
    )]
    Poisoned { topic: String, partition: u32, reason: String },
    #[error("{what} {path}: {source}", path = path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    /// The broker is away or refuses for now. The client goes on trying by itself.
    #[error("kafka {what}: {reason}")]
    Away { what: String, reason: String },
    #[error("kafka {what}: {reason}")]
    Kafka { what: String, reason: String },
    #[error("bus setting {setting}: {reason}")]
    Config { setting: String, reason: String },
    #[error("{open} tickets are open on this writer, the limit is {limit}; wait for some first")]
    TicketsOpen { open: usize, limit: usize },
    #[error("ticket {number} is not open on this writer; a ticket is waited for once")]
    UnknownTicket { number: u64 },
    #[error("the bus is stopping")]
    Stopped,
}

impl BusError {
    /// True where the same call may succeed later without anybody's help but the operator's
    /// (space, broker back).
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, BusError::NoSpace { .. } | BusError::Away { .. })
    }

    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> BusError {
        // Disk full and quota exceeded mean the same to whoever runs the machine.
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                BusError::NoSpace { path: path.to_path_buf(), reason: source.to_string() }
            }
            _ => BusError::Io { what, path: path.to_path_buf(), source },
        }
    }
}
