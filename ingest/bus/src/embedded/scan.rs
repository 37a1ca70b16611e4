//! Scanning a segment file: opens it and hands its bytes to `segments::scan`. Reads only.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use segments::{HEADER, Scan, SegmentHeader};

use crate::error::BusError;

/// What to do about damage that is no torn tail.
pub const ADVICE: &str = "acknowledged records may stand behind it, so nothing was cut: take this file from a backup \
     (a copy of another site's stream: `tandem site refetch SITE`; this site's own, where others hold it: `tandem site \
     join --lost-disk` in an empty folder), and look at the rest with `tandem ledger verify`";

/// Opens a segment and reads its header.
pub fn open_segment(path: &Path) -> Result<(File, SegmentHeader), BusError> {
    let file = File::open(path).map_err(|e| BusError::io("cannot open", path, e))?;
    let mut bytes = [0u8; HEADER];
    let refuse = |reason: &str| BusError::Damaged {
        file: path.to_path_buf(),
        byte: 0,
        reason: reason.to_owned(),
        advice: ADVICE,
    };
    match file.read_exact_at(&mut bytes, 0) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(refuse("the segment header is cut off")),
        Err(e) => return Err(BusError::io("cannot read", path, e)),
        Ok(()) => {}
    }
    let header = SegmentHeader::decode(&bytes).map_err(refuse)?;
    Ok((file, header))
}

/// Scans a whole segment, checking every checksum and the chain.
pub fn scan(path: &Path) -> Result<Scan, BusError> {
    let (file, header) = open_segment(path)?;
    let io = |e| BusError::io("cannot read", path, e);
    let file_len = file.metadata().map_err(io)?.len();
    segments::scan::scan(header, file_len, |out, at| file.read_exact_at(out, at)).map_err(io)
}
