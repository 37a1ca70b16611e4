//! Names and small files of the data folder: topic descriptions, the list of known topics, the head file, and the
//! atomic way to write them (new file, fsync, rename, fsync of the folder).

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use facts::stream::Incarnation;

use segments::head::{Head, HeadRead, file_of, slot_of};

use crate::api::{Retention, TopicKind};
use crate::error::BusError;

/// `00000000000000000042.seg`: the base offset in 20 digits, so that names sort like offsets.
pub fn segment_name(base: u64) -> String {
    format!("{base:020}.seg")
}

/// The segment files of a partition with the base of their names, in order.
pub fn segment_files(dir: &Path) -> Result<Vec<(u64, PathBuf)>, BusError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| BusError::io("cannot list", dir, e))? {
        let path = entry.map_err(|e| BusError::io("cannot list", dir, e))?.path();
        let base = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".seg"))
            .filter(|digits| digits.len() == 20)
            .and_then(|digits| digits.parse().ok());
        if let Some(base) = base {
            found.push((base, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Makes names in a folder durable.
pub fn sync_dir(dir: &Path) -> Result<(), BusError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| BusError::io("cannot sync folder", dir, e))
}

/// Replaces a small file in one step: after a crash or a power cut it is the old one or the new one, whole. For every
/// process that keeps notes beside its logs.
pub fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        // A half-written new file must not hold the space that is missing.
        let _ = fs::remove_file(&new);
    })?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// The same with the bus's own error.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BusError> {
    replace_file(path, bytes).map_err(|e| BusError::io("cannot write", path, e))
}

/// What stands in a topic's `topic` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFile {
    pub kind: TopicKind,
    pub retention: Retention,
    /// One per partition (foreign topics too: it marks the blocks).
    pub incarnations: Vec<Incarnation>,
}

impl TopicFile {
    pub fn write(&self, path: &Path) -> Result<(), BusError> {
        let kind = match self.kind {
            TopicKind::Events => "events",
            TopicKind::Frames => "frames",
            TopicKind::Foreign => "foreign",
        };
        let days = match self.retention {
            Retention::Forever => "forever".to_owned(),
            Retention::Days(days) => format!("{days} days"),
        };
        let mut text = format!("tandem topic 1\nkind {kind}\nretention {days}\n");
        for incarnation in &self.incarnations {
            text.push_str(&format!("partition {incarnation}\n"));
        }
        write_atomically(path, sealed(text).as_bytes())
    }

    pub fn read(path: &Path) -> Result<TopicFile, BusError> {
        let text = read_sealed(path)?;
        let refuse = |line: &str| damaged(path, format!("line {line:?} is not understood"));
        let mut lines = text.lines();
        if lines.next() != Some("tandem topic 1") {
            return Err(damaged(path, "it is no topic description of this version".to_owned()));
        }
        let mut topic = TopicFile { kind: TopicKind::Foreign, retention: Retention::Forever, incarnations: Vec::new() };
        for line in lines {
            match line.split_once(' ') {
                Some(("kind", "events")) => topic.kind = TopicKind::Events,
                Some(("kind", "frames")) => topic.kind = TopicKind::Frames,
                Some(("kind", "foreign")) => topic.kind = TopicKind::Foreign,
                Some(("retention", "forever")) => topic.retention = Retention::Forever,
                Some(("retention", days)) => {
                    let days = days.strip_suffix(" days").and_then(|d| d.parse().ok()).ok_or_else(|| refuse(line))?;
                    topic.retention = Retention::Days(days);
                }
                Some(("partition", id)) => {
                    topic.incarnations.push(parse_incarnation(id).ok_or_else(|| refuse(line))?);
                }
                _ => return Err(refuse(line)),
            }
        }
        Ok(topic)
    }
}

/// The list of topics this folder has held, each with the incarnation of its partition 0: how a topic folder that
/// vanished or was exchanged is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownTopics(pub Vec<(String, Incarnation)>);

impl KnownTopics {
    pub fn write(&self, path: &Path) -> Result<(), BusError> {
        let mut text = String::from("tandem topics 1\n");
        for (name, incarnation) in &self.0 {
            text.push_str(&format!("{name} {incarnation}\n"));
        }
        write_atomically(path, sealed(text).as_bytes())
    }

    /// Empty when there is no such file yet.
    pub fn read(path: &Path) -> Result<KnownTopics, BusError> {
        if !path.exists() {
            return Ok(KnownTopics::default());
        }
        let text = read_sealed(path)?;
        let mut lines = text.lines();
        if lines.next() != Some("tandem topics 1") {
            return Err(damaged(path, "it is no list of topics of this version".to_owned()));
        }
        let topics = lines
            .map(|line| {
                line.split_once(' ')
                    .and_then(|(name, id)| Some((name.to_owned(), parse_incarnation(id)?)))
                    .ok_or_else(|| damaged(path, format!("line {line:?} is not understood")))
            })
            .collect::<Result<_, _>>()?;
        Ok(KnownTopics(topics))
    }
}

/// Reads what `Incarnation` prints.
pub fn parse_incarnation(text: &str) -> Option<Incarnation> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    if digits.len() != 32 {
        return None;
    }
    let mut bytes = [0u8; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(Incarnation(bytes))
}

fn sealed(text: String) -> String {
    let crc = crc32c::crc32c(text.as_bytes());
    format!("{text}crc32c {crc:08x}\n")
}

fn read_sealed(path: &Path) -> Result<String, BusError> {
    let bytes = fs::read(path).map_err(|e| BusError::io("cannot read", path, e))?;
    let text = String::from_utf8(bytes).map_err(|_| damaged(path, "it is not text".to_owned()))?;
    let body = text
        .rfind("crc32c ")
        .filter(|at| sealed(text[..*at].to_owned()) == text)
        .ok_or_else(|| damaged(path, "its checksum differs".to_owned()))?;
    Ok(text[..body].to_owned())
}

fn damaged(path: &Path, reason: String) -> BusError {
    BusError::Damaged { file: path.to_path_buf(), byte: 0, reason, advice: "take this small file from a backup" }
}

pub fn read_head(path: &Path, log_id: u64) -> Result<HeadRead, BusError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(HeadRead::MISSING),
        Err(e) => return Err(BusError::io("cannot read", path, e)),
    };
    Ok(HeadRead::of(&bytes, log_id))
}

/// Writes a head file whose both slots say the same, durably.
pub fn create_head(path: &Path, head: Head, log_id: u64) -> Result<(), BusError> {
    write_atomically(path, &file_of(head, log_id))
}

/// The open head file of a log that is being written.
#[derive(Debug)]
pub struct HeadFile {
    file: File,
    pub head: Head,
    log_id: u64,
}

impl HeadFile {
    pub fn open(path: &Path, head: Head, log_id: u64) -> Result<HeadFile, BusError> {
        let file = File::options().write(true).open(path).map_err(|e| BusError::io("cannot open", path, e))?;
        Ok(HeadFile { file, head, log_id })
    }

    /// Overwrites the older slot; not synced. Both slots were allocated at creation, so a full disk does not matter.
    pub fn note(&mut self, begin: u64, end: u64, active: u64) -> std::io::Result<()> {
        let head = Head { serial: self.head.serial + 1, begin, end, active };
        self.file.write_all_at(&head.encode(self.log_id), slot_of(head.serial) as u64)?;
        self.head = head;
        Ok(())
    }

    pub fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}
