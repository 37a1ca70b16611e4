//! One topic of a peer, copied into the local bus under the same name: what the rule of streams accepts, in its order,
//! and nothing else. Frames are checked before they are written; a history other than the one copied so far is a fork
//! and is never mixed into it. It decides nothing about what the frames say.

use crate::wire::Sent;
use bus::run_log::RunLogError;
use bus::stream::{StreamError, StreamReader};
use bus::{Bus, BusError, Record, TopicSpec, Writer};
use facts::stream::{Incarnation, StreamState, Verdict, VoidReason};
use schemas::frame::{StreamRecord, decode_record};
use schemas::{Schema, SchemaIds};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;

/// Frames of which the hash is remembered, to tell a repeat from another history.
const RECENT_MAX: usize = 4_096;
/// Bytes handed to the log at once.
const SUBMIT_BYTES: usize = 4 << 20;

/// Why a copy does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Runs(#[from] RunLogError),
}

/// What a peer's record was refused for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub offset: u64,
    pub why: String,
    pub value: Vec<u8>,
    /// True: nothing behind it is taken until it is another record there.
    pub stops: bool,
}

/// How far a peer has been read for one topic: kept beside the copy as a cache, made anew from the peer's first record
/// when it is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Offset at the peer that comes next.
    pub next: u64,
    /// The fold of what the peer gave: what its own readers see.
    pub theirs: StreamState,
}

/// What is remembered of a copy between starts.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    incarnation: Option<Incarnation>,
    offset: u64,
    ours: StreamState,
    cursor: Cursor,
}

/// The local end of a copied topic.
pub(crate) struct Copy {
    topic: String,
    ids: SchemaIds,
    writer: Box<dyn Writer>,
    incarnation: Option<Incarnation>,
    /// The fold of what stands in the local topic.
    ours: StreamState,
    /// Offset after the last local record.
    end: u64,
    recent: VecDeque<(u64, [u8; 32])>,
    /// Where somebody else in this process may write the topic too (`config`): it is read before anything is added.
    echo: Option<StreamReader>,
    /// Orders of runs: plain records, copied at the same offsets.
    plain: bool,
}

/// How a peer's records are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Frames booked later than this are not taken yet.
    pub latest: i64,
    /// Whether they came by way of a mirror: frames that are missing then are missing there and not at the peer, and
    /// are waited for.
    pub mirrored: bool,
}

/// What came of one handful of records.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub written: u64,
    pub refused: Vec<Refused>,
    /// A frame did not follow the peer's own ones before it, though no take-over or retry explains it.
    pub gap: bool,
}

impl Copy {
    /// Opens the local topic, making it where there is none, and reads where it stands. Returns also how far the peer
    /// was read, where `note` still fits.
    pub(crate) fn open(
        bus: &dyn Bus,
        ids: &SchemaIds,
        topic: &str,
        note: Option<&Path>,
    ) -> Result<(Self, Cursor), CopyError> {
        let plain = topic.starts_with("runs.");
        let spec = if plain { TopicSpec::events(topic, 1) } else { TopicSpec::frames(topic, 1) };
        let info = bus.ensure(&spec)?;
        let incarnation = info.partitions.first().and_then(|partition| partition.incarnation);
        let writer = bus.writer(topic)?;
        let mut cursor = Cursor { next: 0, theirs: StreamState::new(topic) };
        let (mut ours, mut recent) = (StreamState::new(topic), VecDeque::new());
        let (mut echo, mut end) = (None, bus.end(topic, 0)?);
        if plain {
            cursor.next = end;
        } else {
            let note = note.and_then(read_note).filter(|note| note.incarnation == incarnation && note.offset <= end);
            let mut reader = match note {
                Some(note) => {
                    cursor = note.cursor;
                    StreamReader::resume(bus, ids, note.ours, note.offset)?
                }
                None => StreamReader::open(bus, ids, topic)?,
            };
            reader.catch_up::<StreamError>(bus, &mut |accepted| {
                remember(&mut recent, accepted.frame.header.seq, accepted.hash);
                Ok(())
            })?;
            ours = reader.state().clone();
            end = reader.offset();
            echo = (topic == bus::config_log::CONFIG).then_some(reader);
        }
        let this =
            Self { topic: topic.to_owned(), ids: ids.clone(), writer, incarnation, ours, end, recent, echo, plain };
        Ok((this, cursor))
    }

    /// The fold of the local topic.
    pub(crate) fn state(&self) -> &StreamState {
        &self.ours
    }

    pub(crate) fn save(&self, cursor: &Cursor, path: &Path) -> std::io::Result<()> {
        let Self { incarnation, end, ours, .. } = self;
        let note = Note { incarnation: *incarnation, offset: *end, ours: ours.clone(), cursor: cursor.clone() };
        let text = serde_json::to_vec(&note)?;
        bus::replace_file(path, &text).map_err(std::io::Error::other)
    }

    /// Takes in what a peer gave, from `cursor.next` on.
    pub(crate) fn take(&mut self, cursor: &mut Cursor, records: &[Sent<'_>], how: How) -> Result<Taken, CopyError> {
        if self.plain {
            return self.take_plain(cursor, records);
        }
        self.follow()?;
        let mut taken = Taken::default();
        let mut out: Vec<(Vec<u8>, i64)> = Vec::new();
        let (mut ours, mut theirs, mut bytes) = (self.ours.clone(), cursor.theirs.clone(), 0);
        let mut next = cursor.next;
        for record in records {
            match self.judge(record, &mut theirs, &mut ours, how) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    bytes += value.len();
                    out.push((value, record.timestamp_ms));
                }
                Err((why, stops, reason)) => {
                    taken.gap |= reason.is_some();
                    let (offset, value) = (record.offset, record.value.to_vec());
                    taken.refused.push(Refused { offset, why, value, stops });
                    if stops {
                        break;
                    }
                }
            }
            next = record.offset + 1;
            if bytes >= SUBMIT_BYTES {
                taken.written += self.write(&mut out)?;
                bytes = 0;
            }
        }
        taken.written += self.write(&mut out)?;
        self.ours = ours;
        *cursor = Cursor { next, theirs };
        Ok(taken)
    }

    /// What of one record is to be written: itself with our registry's id, nothing, or why it is refused (and whether
    /// what follows is, too). Where it stops, both folds are as before it.
    fn judge(
        &mut self,
        record: &Sent<'_>,
        theirs: &mut StreamState,
        ours: &mut StreamState,
        how: How,
    ) -> Result<Option<Vec<u8>>, (String, bool, Option<VoidReason>)> {
        let decoded = decode_record(record.value, &self.ids);
        let decoded = decoded.map_err(|error| (format!("it is no frame and no fence: {error}"), false, None))?;
        match decoded {
            StreamRecord::Fence(fence) => {
                let Verdict::Accepted = theirs.fold_fence(&fence) else { return Ok(None) };
                let Verdict::Accepted = ours.fold_fence(&fence) else { return Ok(None) };
            }
            StreamRecord::Frame(frame) => {
                let (meta, at) = (frame.meta(), frame.header.booked_at.0);
                if let Some(reason) = theirs.objection(&meta) {
                    if reason == VoidReason::StaleEpoch {
                        let (seq, stream) = (meta.seq, &meta.stream);
                        let (epoch, now, owner) = (meta.epoch, theirs.epoch(), theirs.owner());
                        let why = format!(
                            "frame {seq} of {stream} is of the old epoch {epoch}: {owner} has claimed epoch {now} before it"
                        );
                        // Nothing is missing: an owner that had been fenced off has written it.
                        return Err((why, false, None));
                    }
                    if reason.is_ordinary() && reason != VoidReason::SequenceGap {
                        return Ok(None);
                    }
                    if how.mirrored && reason == VoidReason::SequenceGap {
                        let next = theirs.seq() + 1;
                        let why = format!("the mirror lacks frames {next} to {} of {}", meta.seq - 1, meta.stream);
                        return Err((why, true, None));
                    }
                    return Err((
                        format!("frame {} of {} is void: {reason}", meta.seq, meta.stream),
                        false,
                        Some(reason),
                    ));
                }
                if at > how.latest {
                    let why = format!("frame {} is booked in the future, at {}", meta.seq, facts::time::rfc3339(at));
                    return Err((why, true, None));
                }
                match ours.objection(&meta) {
                    None => {
                        remember(&mut self.recent, meta.seq, meta.hash);
                        let _ = ours.fold_frame(&meta);
                        let _ = theirs.fold_frame(&meta);
                    }
                    Some(reason) => {
                        self.known(&meta, ours, reason).map_err(|why| (why, true, None))?;
                        let _ = theirs.fold_frame(&meta);
                        return Ok(None);
                    }
                }
            }
        }
        let value = self.ids.translate(record.value, &self.ids);
        let value = value.map_err(|error| (error.to_string(), false, None))?;
        Ok(Some(value))
    }

    /// A frame that counts at the peer and adds nothing here: fine where it is one of ours, else a fork.
    fn known(&self, meta: &facts::stream::FrameMeta, ours: &StreamState, reason: VoidReason) -> Result<(), String> {
        if meta.seq > ours.seq() {
            return Err(format!(
                "fork: frame {} of {} does not continue what was copied up to frame {} ({reason})",
                meta.seq,
                meta.stream,
                ours.seq()
            ));
        }
        let ours = self.recent.iter().find(|(seq, _)| *seq == meta.seq);
        match ours {
            Some((_, hash)) if *hash != meta.hash => {
                Err(format!("fork: frame {} of {} is another one than the frame held here", meta.seq, meta.stream))
            }
            _ => Ok(()),
        }
    }

    /// Reads what others in this process have written.
    fn follow(&mut self) -> Result<(), CopyError> {
        let Some(echo) = &mut self.echo else { return Ok(()) };
        let recent = &mut self.recent;
        let mut note = |accepted: bus::stream::Accepted<'_>| {
            remember(recent, accepted.frame.header.seq, accepted.hash);
            Ok::<(), StreamError>(())
        };
        while echo.poll(std::time::Duration::ZERO, &mut note)? > 0 {}
        self.ours = echo.state().clone();
        self.end = echo.offset();
        Ok(())
    }

    fn write(&mut self, out: &mut Vec<(Vec<u8>, i64)>) -> Result<u64, CopyError> {
        if out.is_empty() {
            return Ok(0);
        }
        let key = self.topic.as_bytes();
        let records: Vec<Record<'_>> = out.iter().map(|(value, at)| Record { key, value, timestamp_ms: *at }).collect();
        let appended = self.writer.append(0, &records)?;
        self.end = appended.next;
        let written = records.len() as u64;
        out.clear();
        Ok(written)
    }

    fn take_plain(&mut self, cursor: &mut Cursor, records: &[Sent<'_>]) -> Result<Taken, CopyError> {
        let mut taken = Taken::default();
        for record in records {
            let refuse =
                |why: String| Refused { offset: record.offset, why, value: record.value.to_vec(), stops: true };
            if record.offset != self.end {
                let why =
                    format!("order at {} does not follow the copied ones, which end at {}", record.offset, self.end);
                taken.refused.push(refuse(why));
                break;
            }
            if let Err(error) = schemas::run_order::decode(record.value, &self.ids) {
                taken.refused.push(refuse(format!("it is no order of a run: {error}")));
                break;
            }
            let mut value = Vec::with_capacity(record.value.len());
            self.ids.put_prefix(Schema::RunOrder, &mut value);
            value.extend_from_slice(&record.value[5..]);
            let copy = Record { key: record.key, value: &value, timestamp_ms: record.timestamp_ms };
            self.end = self.writer.append(0, &[copy])?.next;
            cursor.next = record.offset + 1;
            taken.written += 1;
        }
        Ok(taken)
    }
}

fn remember(recent: &mut VecDeque<(u64, [u8; 32])>, seq: u64, hash: [u8; 32]) {
    if recent.len() == RECENT_MAX {
        recent.pop_front();
    }
    recent.push_back((seq, hash));
}

/// A note that cannot be read is one that is not there: it is a cache.
fn read_note(path: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
