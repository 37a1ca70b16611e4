//! One file of a switch onto the bus: into the raw store first, then read from there, so that what was counted is what
//! is kept. Repeats are decided by the rater; here they only get the keys by which it knows them (design 6.6).

use crate::error::IngestError;
use crate::raw_store::{Hash, RawObject, RawStore, hex};
use crate::writer::{CallEventWriter, Outgoing, Pending};
use facts::call::{ImportEnd, RawRef, Reject};
use facts::config::Switch;
use facts::ids::{self, ImportId};
use facts::time::ObservedAt;
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use switch_formats::{Decoded, Flags, FormatReader, Rejected};

/// Largest file; a day of a large switch has about a tenth of it.
pub const FILE_BYTES_MAX: u64 = 64 << 30;
/// A batch is sent at so many records or bytes of the file.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: u64 = 1 << 20;
/// Batches on their way at once.
const PENDING: usize = 8;
/// Rejects kept in the summary; all of them are on the bus.
const SHOWN: usize = 20;

/// What collectors need to bring a record onto the bus.
#[derive(Clone, Copy)]
pub struct Sink<'a> {
    pub raw: &'a RawStore,
    pub writer: &'a CallEventWriter,
    /// Set from outside to stop early.
    pub stop: &'a AtomicBool,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file: stored first, then read.
    pub total: u64,
    pub stored: u64,
    pub read: u64,
    pub records: u64,
    pub rejects: u64,
}

/// What was sent. What was accepted, repeated or rejected in the end is counted by the rater's fold.
#[derive(Clone, Debug)]
pub struct ImportSummary {
    pub import: ImportId,
    pub source: SmolStr,
    pub file: String,
    /// BLAKE3 of the file: its address in the raw store.
    pub hash: Hash,
    pub bytes: u64,
    /// Records sent (events and rejects).
    pub sent: u64,
    pub rejected: u64,
    /// Rightly left out, e.g. quality records.
    pub skipped: u64,
    /// Records that were no UTF-8 and were read as Windows-1252.
    pub latin1: u64,
    /// The first rejects.
    pub rejects: Vec<Rejected>,
}

/// The same file of the same source is the same import, however often it comes.
pub fn import_id(source: &str, hash: &Hash) -> ImportId {
    ImportId(ids::hash("tandem.import.v1", &[source.as_bytes(), hash]))
}

/// Reads `path` as a file of `switch` and sends everything in it; returns when all of it is durable.
pub fn import_file(
    path: &Path,
    switch: &Switch,
    sink: Sink<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImportSummary, IngestError> {
    let mut state = Progress::default();
    // A wrong setting is found before a byte is stored.
    let reader = switch_formats::reader(&switch.format, switch)?;
    let hash = store_file(path, sink, &mut state, progress)?;
    bus::failpoint::pass("ingest.raw-stored");
    let object = sink.raw.object(&hash)?;
    let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut feed = Feed::new(sink, switch.id.clone(), Some(import_id(&switch.id, &hash)), hash);
    feed.read_object(&object, reader, &mut state, progress)?;
    feed.end(&file)?;
    bus::failpoint::pass("ingest.imported");
    Ok(ImportSummary {
        import: import_id(&switch.id, &hash),
        source: switch.id.clone(),
        file,
        hash,
        bytes: object.size(),
        sent: feed.sent.iter().sum(),
        rejected: state.rejects,
        skipped: feed.skipped,
        latin1: feed.latin1,
        rejects: feed.shown,
    })
}

fn store_file(
    path: &Path,
    sink: Sink<'_>,
    state: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> Result<Hash, IngestError> {
    let mut file = File::open(path).map_err(|e| IngestError::io("cannot open", path, e))?;
    let meta = file.metadata().map_err(|e| IngestError::io("cannot read", path, e))?;
    if !meta.is_file() {
        return Err(IngestError::NotAFile { path: path.to_path_buf() });
    }
    state.total = meta.len();
    let mut writer = sink.raw.begin()?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = file.read(&mut buffer).map_err(|e| IngestError::io("cannot read", path, e))?;
        if n == 0 {
            break;
        }
        writer.write(&buffer[..n])?;
        state.stored += n as u64;
        if state.stored > FILE_BYTES_MAX {
            let (path, limit) = (path.to_path_buf(), FILE_BYTES_MAX);
            return Err(IngestError::FileTooLarge { path, bytes: state.total.max(state.stored), limit });
        }
        stop_check(sink)?;
        progress(*state);
    }
    state.total = state.stored;
    writer.finish().map(|(hash, _)| hash)
}

fn stop_check(sink: Sink<'_>) -> Result<(), IngestError> {
    if sink.stop.load(Ordering::Relaxed) { Err(IngestError::Stopped) } else { Ok(()) }
}

/// Records of one raw object on their way to the bus, in batches, with the counts per partition.
pub(crate) struct Feed<'a> {
    sink: Sink<'a>,
    source: SmolStr,
    import: Option<ImportId>,
    hash: Hash,
    batch: Vec<Outgoing>,
    batch_bytes: u64,
    pending: VecDeque<Pending>,
    /// Records sent per partition.
    pub sent: Vec<u64>,
    pub rejected: u64,
    pub skipped: u64,
    pub latin1: u64,
    pub shown: Vec<Rejected>,
}

impl<'a> Feed<'a> {
    pub fn new(sink: Sink<'a>, source: SmolStr, import: Option<ImportId>, hash: Hash) -> Self {
        Self {
            source,
            import,
            hash,
            batch: Vec::new(),
            batch_bytes: 0,
            pending: VecDeque::new(),
            sent: vec![0; sink.writer.partitions() as usize],
            rejected: 0,
            skipped: 0,
            latin1: 0,
            shown: Vec::new(),
            sink,
        }
    }

    fn read_object(
        &mut self,
        object: &RawObject,
        mut reader: Box<dyn FormatReader>,
        state: &mut Progress,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), IngestError> {
        for index in 0..object.frames() {
            let piece = object.frame(index)?;
            reader.feed(&piece, &mut |decoded| self.take(decoded));
            state.read += piece.len() as u64;
            self.flush_full()?;
            stop_check(self.sink)?;
            (state.records, state.rejects) = (self.sent.iter().sum(), self.rejected);
            progress(*state);
        }
        reader.finish(&mut |decoded| self.take(decoded));
        self.flush()?;
        (state.records, state.rejects) = (self.sent.iter().sum(), self.rejected);
        progress(*state);
        Ok(())
    }

    /// Puts what was read into the batch, with its provenance.
    pub fn take(&mut self, decoded: Decoded) {
        let raw = |offset, length: u64| {
            // A stretch of more than 4 GiB (a reject) is named by its first bytes.
            Some(RawRef { hash: self.hash, offset, length: u32::try_from(length).unwrap_or(u32::MAX) })
        };
        let outgoing = match decoded {
            Decoded::Record(record) | Decoded::Event(record) => {
                self.latin1 += u64::from(record.flags.contains(Flags::LATIN1));
                let mut event = record.event;
                event.import = self.import;
                event.raw = raw(record.place.byte, record.place.length);
                self.batch_bytes += record.place.length;
                Outgoing::Event(event)
            }
            Decoded::Reject(rejected) => {
                self.rejected += 1;
                let reject =
                    reject_of(&self.source, self.import, &rejected, raw(rejected.place.byte, rejected.place.length));
                if self.shown.len() < SHOWN {
                    self.shown.push(rejected);
                }
                Outgoing::Reject(reject)
            }
            Decoded::Skip { .. } => {
                self.skipped += 1;
                return;
            }
        };
        if let Some(partition) = outgoing.partition(self.sink.writer.partitions()) {
            self.sent[partition as usize] += 1;
        }
        self.batch.push(outgoing);
    }

    fn flush_full(&mut self) -> Result<(), IngestError> {
        while self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
            let rest = self.batch.split_off(self.batch.len().min(BATCH_RECORDS));
            let batch = std::mem::replace(&mut self.batch, rest);
            if self.batch.len() < BATCH_RECORDS {
                self.batch_bytes = 0;
            }
            self.send(batch)?;
        }
        Ok(())
    }

    fn send(&mut self, batch: Vec<Outgoing>) -> Result<(), IngestError> {
        if batch.is_empty() {
            return Ok(());
        }
        let pending = self.sink.writer.send(batch)?;
        self.pending.push_back(pending);
        while self.pending.len() >= PENDING {
            self.wait_oldest()?;
        }
        Ok(())
    }

    fn wait_oldest(&mut self) -> Result<(), IngestError> {
        while let Some(oldest) = self.pending.front() {
            match oldest.wait(Duration::from_millis(200)) {
                Some(result) => {
                    self.pending.pop_front();
                    return result;
                }
                None => stop_check(self.sink)?,
            }
        }
        Ok(())
    }

    /// Sends what is left and waits until everything is durable.
    pub fn flush(&mut self) -> Result<(), IngestError> {
        self.flush_full()?;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.send(batch)?;
        while !self.pending.is_empty() {
            self.wait_oldest()?;
        }
        Ok(())
    }

    /// One end mark to every partition, behind all records of the import.
    fn end(&mut self, file: &str) -> Result<(), IngestError> {
        let Some(import) = self.import else { return Ok(()) };
        let sent = self.sent.iter().sum();
        let ends = self.sent.iter().enumerate().map(|(partition, here)| Outgoing::ImportEnd {
            partition: partition as u32,
            end: ImportEnd {
                import,
                source: self.source.clone(),
                file: file.into(),
                sent_here: *here,
                sent,
                observed_at: ObservedAt(0),
            },
        });
        let batch = ends.collect();
        self.send(batch)?;
        self.flush()
    }
}

/// A reject as it stands on the bus.
pub(crate) fn reject_of(source: &str, import: Option<ImportId>, rejected: &Rejected, raw: Option<RawRef>) -> Reject {
    Reject {
        source: source.into(),
        import,
        line: rejected.place.line,
        byte: rejected.place.byte,
        field: rejected.field.clone(),
        reason: rejected.reason.clone(),
        advice: rejected.advice.clone(),
        raw,
        observed_at: ObservedAt(0),
    }
}

impl ImportSummary {
    /// Address in the raw store as text.
    pub fn hash_text(&self) -> String {
        hex(&self.hash)
    }
}
