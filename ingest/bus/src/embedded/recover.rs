//! Opening a partition folder strictly (design 7.3): a torn tail is cut off and reported; damage in the middle, a
//! missing segment, or a head that claims more than there is, is refused with file, byte, reason and advice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use facts::stream::Incarnation;

use super::block::{self, Chain, HEADER, Head};
use super::files::{self, HeadRead};
use super::scan::{self, ADVICE, Scan, open_segment};
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
        if !segments.iter().any(|(base, _)| *base == head.active) {
            return Err(missing(dir, head.active));
        }
    }
    let begin = match (read.head, segments.first()) {
        (Some(head), Some((base, _))) if *base > head.begin => return Err(missing(dir, head.begin)),
        (Some(head), _) => head.begin,
        (None, first) => first.map_or(0, |(base, _)| *base),
    };
    check_order(&segments, partition, incarnation)?;

    let last = scan::scan(&last_path)?;
    let torn = judge_tail(&last, &last_path, &read)?;
    if segments.len() == 1 && last.header.prev_base == u64::MAX && last.header.chain != block::chain_start(incarnation)
    {
        return Err(damaged(&last_path, 24, "the chain does not begin with this log's incarnation".to_owned()));
    }
    check_sealed(&segments, &last, check_bytes)?;
    if let Some(torn) = &torn {
        set_len(&last_path, torn.byte)?;
    } else if last.end_pos > last.file_len {
        // All but padding of the last block was written: it is whole.
        set_len(&last_path, last.end_pos)?;
    }
    let head = Head { serial: read.head.map_or(1, |h| h.serial + 2), begin, end: last.end, active: last_base };
    if read.spoiled {
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

/// Headers agree with names, with the topic, and with one another; no segment is missing in between.
fn check_order(segments: &[(u64, PathBuf)], partition: u32, incarnation: Incarnation) -> Result<(), BusError> {
    let mut before: Option<u64> = None;
    for (base, path) in segments {
        let (_, header) = open_segment(path)?;
        if header.incarnation != incarnation || header.partition != partition {
            return Err(damaged(path, 40, "the segment belongs to another log".to_owned()));
        }
        if header.base != *base {
            return Err(damaged(
                path,
                8,
                format!("the segment begins with offset {}, not as its name says", header.base),
            ));
        }
        if let Some(before) = before
            && header.prev_base != before
        {
            let dir = path.parent().unwrap_or(path);
            return Err(missing(dir, header.prev_base));
        }
        before = Some(*base);
    }
    Ok(())
}

/// Torn tail, clean end, or damage.
fn judge_tail(last: &Scan, path: &Path, read: &HeadRead) -> Result<Option<TornTail>, BusError> {
    let claimed = read.head.filter(|head| head.active == last.header.base && head.end > last.end);
    let Some(finding) = &last.finding else {
        return match claimed {
            Some(head) => Err(damaged(
                path,
                last.end_pos,
                format!("the log ends with offset {}, but {} were acknowledged", last.end, head.end),
            )),
            None => Ok(None),
        };
    };
    let refuse = |why: String| Err(damaged(path, finding.byte, format!("{}; {why}", finding.reason)));
    if let Some((offset, at)) = last.block_behind {
        return refuse(format!("a block with offset {offset} follows at byte {at}"));
    }
    if let Some(head) = claimed {
        return refuse(format!("offsets up to {} were acknowledged, the good part ends at {}", head.end, last.end));
    }
    if read.head.is_none() {
        return refuse("the head file, which could tell a torn tail from damage, cannot be read".to_owned());
    }
    Ok(Some(TornTail {
        file: path.to_path_buf(),
        byte: last.end_pos,
        bytes: last.dirty_tail,
        reason: finding.reason.clone(),
    }))
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

/// What is wrong with a sealed segment that must end where the next one begins.
pub fn whole(scan: &Scan, next_base: u64, next_chain: Chain) -> Option<scan::Finding> {
    if let Some(finding) = &scan.finding {
        return Some(finding.clone());
    }
    let wrong = |reason: String| Some(scan::Finding { byte: scan.end_pos, reason });
    if scan.end != next_base {
        return wrong(format!("the segment ends with offset {}, but the next begins with {next_base}", scan.end));
    }
    if scan.end_pos != scan.file_len {
        return wrong(format!("the segment is {} bytes long where its blocks end at {}", scan.file_len, scan.end_pos));
    }
    if scan.chain != next_chain {
        return wrong("the next segment does not continue the chain".to_owned());
    }
    None
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

fn damaged(file: &Path, byte: u64, reason: String) -> BusError {
    BusError::Damaged { file: file.to_path_buf(), byte, reason, advice: ADVICE }
}
