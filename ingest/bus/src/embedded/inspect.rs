//! Offline check of a folder: reads every byte of every log, changes nothing, lists what is wrong and what can still
//! be read around it. For `tandem ledger verify` and for people; a folder in use shows its unfinished end as a tail.

use std::fs;
use std::path::{Path, PathBuf};

use segments::recover::whole;
use segments::{Finding, Head, Scan, block};

use super::files::{self, KnownTopics, TopicFile};
use super::scan;
use crate::error::BusError;

/// One partition as it stands on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    pub topic: String,
    pub partition: u32,
    pub begin: u64,
    /// Offset after the last good record before the first damage.
    pub end: u64,
    pub segments: usize,
    pub records: u64,
    pub bytes: u64,
    pub damage: Vec<Damage>,
}

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub byte: u64,
    pub reason: String,
    /// Only an unfinished last write: the next start cuts it off.
    pub torn_tail: bool,
    /// First offset known to be readable behind it, if any.
    pub readable_again: Option<u64>,
}

/// Checks all topics of a folder, in name order. Errors only where the folder itself cannot be read.
pub fn inspect(root: &Path) -> Result<Vec<PartitionReport>, BusError> {
    let mut reports = Vec::new();
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(|e| BusError::io("cannot list", root, e))? {
        let path = entry.map_err(|e| BusError::io("cannot list", root, e))?.path();
        if path.is_dir()
            && path.extension().is_none_or(|ext| ext != "unfinished")
            && let Some(name) = path.file_name().and_then(|n| n.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    match KnownTopics::read(&root.join("topics")) {
        Ok(known) => {
            for (name, _) in known.0.iter().filter(|(name, _)| !names.contains(name)) {
                let gone = "the topic was in this folder before and is gone".to_owned();
                reports.push(broken(name, 0, &root.join(name), 0, gone));
            }
        }
        Err(error) => reports.push(broken("", 0, &root.join("topics"), 0, error.to_string())),
    }
    for name in names {
        let dir = root.join(&name);
        match TopicFile::read(&dir.join("topic")) {
            Ok(file) => {
                for (partition, incarnation) in file.incarnations.iter().enumerate() {
                    reports.push(inspect_partition(&name, partition as u32, &dir, *incarnation)?);
                }
            }
            Err(error) => reports.push(broken(&name, 0, &dir.join("topic"), 0, error.to_string())),
        }
    }
    Ok(reports)
}

fn broken(topic: &str, partition: u32, file: &Path, byte: u64, reason: String) -> PartitionReport {
    let damage = Damage { file: file.to_path_buf(), byte, reason, torn_tail: false, readable_again: None };
    PartitionReport {
        topic: topic.to_owned(),
        partition,
        begin: 0,
        end: 0,
        segments: 0,
        records: 0,
        bytes: 0,
        damage: vec![damage],
    }
}

fn inspect_partition(
    topic: &str,
    partition: u32,
    dir: &Path,
    incarnation: facts::stream::Incarnation,
) -> Result<PartitionReport, BusError> {
    let dir = dir.join(partition.to_string());
    let segments = match files::segment_files(&dir) {
        Ok(segments) => segments,
        Err(error) => return Ok(broken(topic, partition, &dir, 0, error.to_string())),
    };
    let head = files::read_head(&dir.join("head"), block::log_id(incarnation))?;
    let mut report = PartitionReport {
        topic: topic.to_owned(),
        partition,
        begin: head.head.map_or_else(|| segments.first().map_or(0, |s| s.0), |head| head.begin),
        end: 0,
        segments: segments.len(),
        records: 0,
        bytes: 0,
        damage: Vec::new(),
    };
    let note = |file: &Path, byte: u64, reason: String| Damage {
        file: file.to_path_buf(),
        byte,
        reason,
        torn_tail: false,
        readable_again: None,
    };
    if head.head.is_none() {
        report.damage.push(note(&dir.join("head"), 0, "the head file cannot be read".to_owned()));
    }
    if let Some(active) = head.head.map(|head| head.active)
        && !segments.iter().any(|(base, _)| *base == active)
    {
        let file = dir.join(files::segment_name(active));
        report.damage.push(note(&file, 0, "the segment is missing".to_owned()));
    }
    let mut before: Option<u64> = None;
    for (at, (base, path)) in segments.iter().enumerate() {
        let scan = match scan::scan(path) {
            Ok(scan) => scan,
            Err(BusError::Damaged { byte, reason, .. }) => {
                report.damage.push(note(path, byte, reason));
                before = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        if scan.header.incarnation != incarnation || scan.header.base != *base || scan.header.partition != partition {
            report.damage.push(note(path, 0, "the segment belongs to another place".to_owned()));
        }
        match before {
            Some(base_before) if base_before != scan.header.prev_base => {
                let file = dir.join(files::segment_name(scan.header.prev_base));
                report.damage.push(note(&file, 0, "the segment is missing".to_owned()));
            }
            None if at == 0 && scan.header.prev_base != u64::MAX && *base > report.begin => {
                let file = dir.join(files::segment_name(scan.header.prev_base));
                report.damage.push(note(&file, 0, "the segment is missing".to_owned()));
            }
            _ => {}
        }
        report.records += scan.records;
        report.bytes += scan.end_pos;
        if report.damage.is_empty() {
            report.end = scan.end;
        }
        let next = segments.get(at + 1).and_then(|(_, next)| scan::open_segment(next).ok());
        let finding = match (&next, at + 1 == segments.len()) {
            (Some((_, next)), _) if next.prev_base == *base => whole(&scan, next.base, next.chain),
            (_, true) => last_finding(&scan, head.head),
            _ => scan.finding.clone(),
        };
        if let Some(Finding { byte, reason }) = finding {
            let torn_tail = at + 1 == segments.len()
                && scan.block_behind.is_none()
                && head.head.is_some_and(|head| head.active != *base || head.end <= scan.end);
            let readable_again = scan.block_behind.map(|(offset, _)| offset);
            report.damage.push(Damage { file: path.clone(), byte, reason, torn_tail, readable_again });
        }
        before = Some(*base);
    }
    Ok(report)
}

/// The last segment may end anywhere, but not before what was acknowledged.
fn last_finding(scan: &Scan, head: Option<Head>) -> Option<Finding> {
    scan.finding.clone().or_else(|| {
        let head = head.filter(|head| head.active == scan.header.base && head.end > scan.end)?;
        let reason = format!("the log ends with offset {}, but {} were acknowledged", scan.end, head.end);
        Some(Finding { byte: scan.end_pos, reason })
    })
}
