//! Rated calls for outsiders: every priced side of every accepted frame as one plain record on the topic that the
//! setting `xdr_out` names, keyed by xdr_id (design 6.2). At least once: what was written is noted after it is durable,
//! so a crash repeats records, never loses one. Never decides a price and never touches the streams it reads.

use crate::output::Failure;
use crate::records::Records;
use crate::settings::XdrOutSettings;
use bus::stream::{Accepted, FrameError, FrameReader, StreamError, StreamReader};
use bus::{Bus, BusError, Record, Retention, TopicSpec, Writer};
use facts::Amount;
use facts::ids::{Cause, RevId};
use facts::stream::StreamState;
use facts::xdr::{Position, RatedCall, Revision, Xdr, XdrItem};
use schemas::{DecodeError, SchemaIds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Bytes of one submit, well below what the bus takes.
const SUBMIT_BYTES: usize = 8 << 20;
/// Longest time between a durable batch and its note: what a crash repeats.
const NOTE_EVERY: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_millis(500);

/// How far it is, for the console.
#[derive(Default)]
pub struct Status {
    /// Records written since the start.
    pub records: AtomicU64,
    /// By stream: since when, and why.
    trouble: Mutex<BTreeMap<String, (SystemTime, String)>>,
}

impl Status {
    /// Since when it does not get on, and why: the first stream's.
    pub fn trouble(&self) -> Option<(SystemTime, String)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).values().next().cloned()
    }

    fn set(&self, stream: &str, trouble: Option<String>) {
        let mut all = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            None => drop(all.remove(stream)),
            Some(why) => all.entry(stream.to_owned()).or_insert_with(|| (SystemTime::now(), String::new())).1 = why,
        }
    }
}

/// What every stream's publisher needs.
#[derive(Clone)]
pub struct XdrOut {
    pub bus: Arc<dyn Bus>,
    pub ids: SchemaIds,
    /// Where frames stand that lie before what this process has read.
    pub records: Arc<Records>,
    pub status: Arc<Status>,
    topic: String,
    partitions: u32,
    /// Keeps the notes.
    folder: PathBuf,
}

/// Behind the last frame whose records are durable.
#[derive(Clone, Serialize, Deserialize)]
struct Note {
    /// The topic it speaks of: another one gets everything from the beginning.
    topic: String,
    offset: u64,
    state: StreamState,
}

#[derive(Debug, thiserror::Error)]
enum OutError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{stream} frame {seq}: {source}; run `tandem ledger verify`")]
    Item { stream: String, seq: u64, source: DecodeError },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} is no note of what was written ({reason}); remove it and all records of the stream are written again", path.display())]
    Note { path: PathBuf, reason: String },
}

impl OutError {
    fn bus(&self) -> Option<&BusError> {
        match self {
            Self::Bus(error) | Self::Stream(StreamError::Bus(error)) | Self::Frame(FrameError::Bus(error)) => {
                Some(error)
            }
            _ => None,
        }
    }
}

impl XdrOut {
    /// Makes the topic where there is none; one that is there keeps the partitions it has.
    pub fn open(
        settings: &XdrOutSettings,
        data: &Path,
        bus: Arc<dyn Bus>,
        ids: SchemaIds,
        records: Arc<Records>,
    ) -> Result<Self, Failure> {
        let there = bus.partitions(&settings.topic).map_err(Failure::broken)?;
        let partitions = there.unwrap_or(settings.partitions);
        if there.is_none() {
            let retention = settings.days.map_or(Retention::Forever, Retention::Days);
            let spec = TopicSpec { retention, ..TopicSpec::foreign(settings.topic.as_str(), partitions) };
            bus.ensure(&spec).map_err(Failure::broken)?;
        }
        let folder = data.join("xdr-out");
        fs::create_dir_all(&folder).map_err(|e| Failure::Broken(format!("{}: {e}", folder.display())))?;
        let (topic, status) = (settings.topic.clone(), Arc::default());
        Ok(Self { bus, ids, records, status, topic, partitions, folder })
    }

    /// Publishes one stream until told to stop; what is away is waited for.
    pub fn run(&self, stream: &str, stop: &AtomicBool) -> Result<(), String> {
        while !stop.load(Ordering::Relaxed) {
            match self.follow(stream, stop) {
                Ok(()) => return Ok(()),
                Err(error) => match error.bus() {
                    Some(BusError::Stopped) => return Ok(()),
                    Some(away) if away.is_retriable() => {
                        tracing::warn!(stream, %error, "records for outsiders wait");
                        self.status.set(stream, Some(error.to_string()));
                        std::thread::sleep(AGAIN);
                    }
                    _ => return Err(error.to_string()),
                },
            }
        }
        Ok(())
    }

    fn follow(&self, stream: &str, stop: &AtomicBool) -> Result<(), OutError> {
        let path = self.folder.join(format!("{stream}.json"));
        let mut reader = match self.read_note(&path, stream)? {
            Some(note) => StreamReader::resume(&*self.bus, &self.ids, note.state, note.offset)?,
            None => StreamReader::open(&*self.bus, &self.ids, stream)?,
        };
        let mut writer = self.bus.writer(&self.topic)?;
        let mut frames = FrameReader::new(self.bus.clone(), self.ids.clone(), stream);
        let mut out = Outgoing::default();
        let (mut noted, mut saved) = (reader.offset(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            reader.poll::<OutError>(POLL, &mut |accepted| self.frame(stream, &accepted, &mut frames, &mut out))?;
            self.write(&mut *writer, &mut out)?;
            self.status.set(stream, None);
            bus::failpoint::pass("xdr-out.durable");
            if reader.offset() > noted && saved.elapsed() >= NOTE_EVERY {
                self.save(&path, &reader)?;
                (noted, saved) = (reader.offset(), Instant::now());
            }
        }
        self.save(&path, &reader)
    }

    fn frame(
        &self,
        stream: &str,
        accepted: &Accepted<'_>,
        frames: &mut FrameReader,
        out: &mut Outgoing,
    ) -> Result<(), OutError> {
        let seq = accepted.frame.header.seq;
        let item = |source| OutError::Item { stream: stream.to_owned(), seq, source };
        accepted.frame.expect_items(schemas::xdrs::ITEMS).map_err(item)?;
        for index in 0..accepted.frame.len() {
            let (public, private) = accepted.frame.item(index).map_err(item)?;
            if !schemas::xdrs::is_rated_call(public) {
                continue;
            }
            let XdrItem::Call(rated) = schemas::xdrs::decode_item(public, private).map_err(item)? else { continue };
            let at = Position { seq, index: index as u32 };
            rated.xdrs.iter().for_each(|xdr| self.push(&rated, xdr, stream, at, out));
            if let Revision::Late { trigger, based_on } = rated.revision {
                for gone in self.withdrawn(stream, frames, &rated, based_on, &Cause::Late(trigger))? {
                    self.push(&rated, &gone, stream, at, out);
                }
            }
        }
        Ok(())
    }

    /// Sides that the revision before had and this one has not: nothing is owed for them any more.
    fn withdrawn(
        &self,
        stream: &str,
        frames: &mut FrameReader,
        rated: &RatedCall,
        based_on: Position,
        cause: &Cause,
    ) -> Result<Vec<Xdr>, OutError> {
        let missing = || FrameError::Missing { stream: stream.into(), seq: based_on.seq };
        let offset = self.records.place(stream, based_on.seq).ok_or_else(missing)?;
        let before = match frames.item(based_on, offset, schemas::xdrs::decode_item)? {
            XdrItem::Call(before) => before.xdrs,
            _ => return Ok(Vec::new()),
        };
        let gone = before.into_iter().filter(|old| rated.xdrs.iter().all(|new| new.xdr_id != old.xdr_id));
        Ok(gone.map(|old| nothing_owed(old, cause)).collect())
    }

    fn push(&self, rated: &RatedCall, xdr: &Xdr, stream: &str, at: Position, out: &mut Outgoing) {
        let from = out.bytes.len();
        schemas::xdr_out::encode(rated, xdr, stream, at, &self.ids, &mut out.bytes);
        let partition = bus::murmur2_partition(&xdr.xdr_id.0, self.partitions);
        out.records.push((partition, xdr.xdr_id.0, from..out.bytes.len()));
    }

    /// Hands everything over and waits until it is durable.
    fn write(&self, writer: &mut dyn Writer, out: &mut Outgoing) -> Result<(), BusError> {
        out.records.sort_by_key(|(partition, _, range)| (*partition, range.start));
        let wall = crate::node::wall_micros() / 1_000;
        let mut at = 0;
        while let Some((partition, _, first)) = out.records.get(at) {
            let mut batch = Vec::new();
            let mut bytes = 0;
            for (other, key, range) in &out.records[at..] {
                if other != partition || (bytes + range.len() > SUBMIT_BYTES && range != first) {
                    break;
                }
                bytes += range.len() + key.len();
                batch.push(Record { key, value: &out.bytes[range.clone()], timestamp_ms: wall });
            }
            writer.append(*partition, &batch)?;
            at += batch.len();
        }
        self.status.records.fetch_add(out.records.len() as u64, Ordering::Relaxed);
        out.records.clear();
        out.bytes.clear();
        Ok(())
    }

    fn read_note(&self, path: &Path, stream: &str) -> Result<Option<Note>, OutError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OutError::File { path: path.to_owned(), source }),
        };
        let wrong = |reason: String| OutError::Note { path: path.to_owned(), reason };
        let note: Note = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if note.state.stream() != stream {
            return Err(wrong(format!("it speaks of {}", note.state.stream())));
        }
        Ok(Some(note).filter(|note| note.topic == self.topic))
    }

    /// Whole or not at all, also after a power cut.
    fn save(&self, path: &Path, reader: &StreamReader) -> Result<(), OutError> {
        let note = Note { topic: self.topic.clone(), offset: reader.offset(), state: reader.state().clone() };
        let written = serde_json::to_vec(&note).map_err(Into::into).and_then(|text| bus::replace_file(path, &text));
        written.map_err(|source| OutError::File { path: path.to_owned(), source })
    }
}

/// Records on their way: partition, key, and where the value stands.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    records: Vec<(u32, [u8; 16], Range<usize>)>,
}

/// A side as a revision leaves it that takes it away.
fn nothing_owed(old: Xdr, cause: &Cause) -> Xdr {
    Xdr {
        rev_id: RevId::new(old.xdr_id, cause),
        billed: 0,
        amount: Amount::ZERO,
        gross: Amount::ZERO,
        rate: None,
        unrated: None,
        provisional: None,
        // The attempts of the new revision are numbered anew.
        attempt: None,
        ..old
    }
}

#[cfg(test)]
mod tests;
