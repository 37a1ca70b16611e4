//! Small file work that has to survive a crash: whole or not at all.

use crate::error::IngestError;
use std::fs::{self, File};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 by the machine's clock.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn make_folder(path: &Path) -> Result<(), IngestError> {
    fs::create_dir_all(path).map_err(|e| IngestError::io("cannot create folder", path, e))
}

/// Makes renames and new names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), IngestError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| IngestError::io("cannot sync folder", path, e))
}

/// Replaces a small file: after a crash it is the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), IngestError> {
    bus::replace_file(path, bytes).map_err(|e| IngestError::io("cannot write", path, e))
}
