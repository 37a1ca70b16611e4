//! The door to the disk for everything the log writes, so that tests can put a full or a dying disk in its place.
//! Knows nothing of what is written.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Positioned writes and syncs.
pub trait Disk: Send + Sync + Debug {
    /// Writes all of `bytes` at `at`.
    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }
    /// fdatasync.
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The disk as it is.
#[derive(Debug)]
pub struct RealDisk;

impl Disk for RealDisk {}
