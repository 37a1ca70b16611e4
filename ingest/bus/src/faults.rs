//! Disks that fill up or die, for tests of what happens then. Nothing else is simulated: the files are real.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::embedded::Disk;

/// A disk with so many bytes left to write, and syncs that can be made to fail.
#[derive(Debug)]
pub struct WornDisk {
    left: AtomicU64,
    sync_fails: AtomicBool,
}

impl WornDisk {
    /// `left`: bytes that still find room.
    pub fn new(left: u64) -> WornDisk {
        WornDisk { left: AtomicU64::new(left), sync_fails: AtomicBool::new(false) }
    }
    /// Sets the bytes that find room from now on.
    pub fn set_left(&self, left: u64) {
        self.left.store(left, Ordering::SeqCst);
    }
    /// Makes every later sync fail.
    pub fn fail_syncs(&self) {
        self.sync_fails.store(true, Ordering::SeqCst);
    }
}

impl Disk for WornDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let left = self.left.load(Ordering::SeqCst);
        let fits = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all_at(&bytes[..fits], at)?;
        self.left.store(left - fits as u64, Ordering::SeqCst);
        if fits < bytes.len() {
            // As the kernel does it: part of it was written.
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        if self.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error (made by a test)"));
        }
        file.sync_data()
    }
}
