//! Opening a partition folder strictly (design 7.3): a torn tail is cut off and reported; damage in the middle, a
//! missing segment, or a head that claims more than there is, is refused with file, byte, reason and advice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use facts::stream::Incarnation;

use segments::recover::{self, Order, Tail, Wrong, whole};
use segments::{Chain, HEADER, Head, Scan, block};

use super::files;
use super::scan::{self, ADVICE, open_segment};
use crate::error::BusError;

/// A tail that was cut off because its write never finished (nobody was told that it had).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub file: PathBuf,
    pub byte: u64,
    pub bytes: u64,
    pub reason: String,
}

/// A partition folder in order.
#[derive(Debug)]
pub struct Recovered {
    /// Base offsets with their paths, the last one being written to.
    pub segments: Vec<(u64, PathBuf)>,
    pub begin: u64,
    pub end: u64,
    /// Where in the last segment the next block goes.
    pub end_pos: u64,
    pub chain: Chain,
    pub head: Head,
    pub torn: Option<TornTail>,
    /// The head file was unreadable in part or missing, and has been written anew.
    pub head_mended: bool,
}

/// Checks the folder of one partition and makes it ready to be written to. `check_bytes`: how much of the sealed
/// segments, newest first, is read and checked as well; the last segment always is.
pub fn recover(dir: &Path, partition: u32, incarnation: Incarnation, check_bytes: u64) -> Result<Recovered, BusError> {
    let log_id = block::log_id(incarnation);
    remove_unfinished(dir)?;
    let read = files::read_head(&dir.join("head"), log_id)?;
    let mut segments = files::segment_files(dir)?;
    let Some((last_base, last_path)) = segments.last().cloned() else {
        return Err(missing(dir, read.head.map_or(0, |h| h.active)));
    };
    if let Some(head) = read.head {
        finish_trim(&mut segments, head.begin)?;
    }
    let bases: Vec<u64> = segments.iter().map(|(base, _)| *base).collect();
    let begin = recover::begin(&bases, &read).map_err(|wrong| refused(dir, &segments, wrong))?;
    let mut order = Order::new(partition, incarnation);
    for (base, path) in &segments {
        let (_, header) = open_segment(path)?;
        order.next(*base, &header).map_err(|wrong| refused(dir, &segments, wrong))?;
    }

    let last = scan::scan(&last_path)?;
    let tail = recover::judge(&last, segments.len() - 1, &read).map_err(|wrong| refused(dir, &segments, wrong))?;
    let torn = match tail {
        Tail::Whole => None,
        Tail::Torn { byte, bytes, reason } => Some(TornTail { file: last_path.clone(), byte, bytes, reason }),
    };
    check_sealed(&segments, &last, check_bytes)?;
    if let Some(torn) = &torn {
        set_len(&last_path, torn.byte)?;
    } else if last.end_pos > last.file_len {
        // All but padding of the last block was written: it is whole.
        set_len(&last_path, last.end_pos)?;
    } else {
        // A killed process may have written its last block and never synced it; from here on it counts.
        sync(&last_path)?;
    }
    let head = Head { serial: read.head.map_or(1, |h| h.serial + 2), begin, end: last.end, active: last_base };
    let lags = read.head.is_none_or(|head| (head.end, head.active) != (last.end, last_base));
    if read.spoiled || lags {
        // Until the next block the old claim would stand, and damage of the last block pass for a torn tail.
        files::create_head(&dir.join("head"), head, log_id)?;
    }
    Ok(Recovered {
        segments,
        begin,
        end: last.end,
        end_pos: last.end_pos,
        chain: last.chain,
        head,
        torn,
        head_mended: read.spoiled,
    })
}

/// A segment or head whose creation never finished has a name of its own and was never part of the log.
fn remove_unfinished(dir: &Path) -> Result<(), BusError> {
    for entry in fs::read_dir(dir).map_err(|e| BusError::io("cannot list", dir, e))? {
        let path = entry.map_err(|e| BusError::io("cannot list", dir, e))?.path();
        if path.extension().is_some_and(|ext| ext == "new") {
            fs::remove_file(&path).map_err(|e| BusError::io("cannot remove", &path, e))?;
        }
    }
    Ok(())
}

/// Removes segments that a trim had given up before the process ended.
fn finish_trim(segments: &mut Vec<(u64, PathBuf)>, begin: u64) -> Result<(), BusError> {
    while segments.len() > 1 && segments[1].0 <= begin {
        let (_, path) = segments.remove(0);
        fs::remove_file(&path).map_err(|e| BusError::io("cannot remove", &path, e))?;
    }
    Ok(())
}

/// Reads sealed segments, newest first, within the budget. They must be whole and meet their successor.
fn check_sealed(segments: &[(u64, PathBuf)], last: &Scan, budget: u64) -> Result<(), BusError> {
    let mut left = budget;
    let (mut next_base, mut next_chain) = (last.header.base, last.header.chain);
    for (_, path) in segments.iter().rev().skip(1) {
        let len = fs::metadata(path).map_err(|e| BusError::io("cannot read", path, e))?.len();
        if len > left {
            return Ok(());
        }
        left -= len;
        let scan = scan::scan(path)?;
        if let Some(finding) = whole(&scan, next_base, next_chain) {
            return Err(damaged(path, finding.byte, finding.reason));
        }
        (next_base, next_chain) = (scan.header.base, scan.header.chain);
    }
    Ok(())
}

fn sync(path: &Path) -> Result<(), BusError> {
    File::open(path).and_then(|file| file.sync_data()).map_err(|e| BusError::io("cannot sync", path, e))
}

fn set_len(path: &Path, len: u64) -> Result<(), BusError> {
    let file = File::options().write(true).open(path).map_err(|e| BusError::io("cannot open", path, e))?;
    file.set_len(len.max(HEADER as u64))
        .and_then(|()| file.sync_all())
        .map_err(|e| BusError::io("cannot set the length of", path, e))
}

fn missing(dir: &Path, base: u64) -> BusError {
    damaged(&dir.join(files::segment_name(base)), 0, "the segment is missing".to_owned())
}

/// What is wrong, with the name of its file.
fn refused(dir: &Path, segments: &[(u64, PathBuf)], wrong: Wrong) -> BusError {
    match wrong {
        Wrong::Missing { base } => missing(dir, base),
        Wrong::Damaged { segment, byte, reason } => {
            damaged(segments.get(segment).map_or(dir, |(_, path)| path), byte, reason)
        }
    }
}

fn damaged(file: &Path, byte: u64, reason: String) -> BusError {
    BusError::Damaged { file: file.to_path_buf(), byte, reason, advice: ADVICE }
}
