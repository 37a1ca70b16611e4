//! The one writer of `call-events` of this process: gives every event its id, encodes, sends to its partition, says
//! when it is durable. While the bus is away it keeps records in the spool and replays them with the same ids. A tick
//! goes to every partition each second. It never drops a record: where neither bus nor disk takes it, callers wait.

use crate::error::IngestError;
use crate::files;
use crate::spool::{Spool, Waiting};
use bus::{Bus, BusError, TopicSpec, murmur2_partition};
use facts::call::{BusRecord, CallEvent, ImportEnd, Reject};
use facts::ids::EventId;
use facts::time::{ObservedAt, OccurredAt};
use schemas::{SchemaIds, bus_record};
use smol_str::SmolStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

mod run;
#[cfg(test)]
mod tests;

use run::Loop;

/// Name of the topic.
pub const TOPIC: &str = "call-events";
/// Most records of one batch.
pub const BATCH_MAX: usize = 4_000;
/// Batches that may wait in front of the writer; past it senders wait.
const QUEUE: usize = 8;
/// Between two looks for room in it.
const ROOM: Duration = Duration::from_millis(2);

/// Settings of the writer.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Name of this node in event ids; one process at a time.
    pub node: SmolStr,
    pub topic: TopicSpec,
    /// Folder of the spool and of the boot epoch.
    pub folder: PathBuf,
    pub ids: SchemaIds,
    /// Between two ticks.
    pub tick: Duration,
    /// How long the bus may be away before records go to the spool.
    pub patience: Duration,
    /// Size at which a new spool file begins, and the most the spool may hold.
    pub spool_file_bytes: u64,
    pub spool_limit_bytes: u64,
}

impl WriterOptions {
    pub fn new(node: &str, partitions: u32, folder: &Path) -> Self {
        Self {
            node: node.into(),
            topic: TopicSpec::events(TOPIC, partitions),
            folder: folder.to_path_buf(),
            ids: SchemaIds::default(),
            tick: Duration::from_secs(1),
            patience: Duration::from_secs(3),
            spool_file_bytes: 16 << 20,
            spool_limit_bytes: 4 << 30,
        }
    }
}

/// What is written to the topic.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Goes to the partition of its call key. An empty id is filled in; `observed_at` 0 becomes now.
    Event(CallEvent),
    /// Goes to the partition of its import and line.
    Reject(Reject),
    /// Goes to this partition.
    ImportEnd { partition: u32, end: ImportEnd },
    /// Goes to every partition.
    SourceMark { switch: SmolStr, occurred_until: OccurredAt, declared: bool },
}

impl Outgoing {
    /// The partition it belongs to (design 6.4); `None` for every one of them.
    pub fn partition(&self, partitions: u32) -> Option<u32> {
        match self {
            Self::Event(event) => Some(murmur2_partition(event.call_key.as_bytes(), partitions)),
            Self::Reject(reject) => Some(murmur2_partition(&reject_key(reject), partitions)),
            Self::ImportEnd { partition, .. } => Some(*partition),
            Self::SourceMark { .. } => None,
        }
    }
}

/// Import id, then the line (its byte where there are no lines) as u64 LE.
pub(crate) fn reject_key(reject: &Reject) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&reject.import.map(|id| id.0).unwrap_or_default());
    let place = if reject.line == 0 { reject.byte } else { reject.line };
    key[16..].copy_from_slice(&place.to_le_bytes());
    key
}

/// Counters for people and metrics.
#[derive(Debug, Default)]
pub struct WriterStats {
    pub events: AtomicU64,
    pub rejects: AtomicU64,
    pub ticks: AtomicU64,
    /// Records that went through the spool.
    pub spooled: AtomicU64,
    /// Bytes in the spool now.
    pub spool_bytes: AtomicU64,
    /// Since when the bus has been away, microseconds; 0 = it is there.
    pub away_since: AtomicI64,
    /// Neither the bus nor the spool takes anything: callers wait.
    pub waiting: AtomicBool,
    /// The thread has ended with an error: nothing is taken any more until the process is started again.
    pub ended: AtomicBool,
    last_trouble: Mutex<String>,
}

impl WriterStats {
    /// What is wrong now, in words; empty when nothing is.
    pub fn last_trouble(&self) -> String {
        self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn calm(&self) {
        self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn trouble(&self, text: String) {
        tracing::warn!(target: "ingest", "{text}");
        *self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

enum Command {
    Batch(Vec<Outgoing>, SyncSender<Result<(), IngestError>>),
    Stop,
}

/// Promise that a batch becomes durable.
#[derive(Debug)]
pub struct Pending(Receiver<Result<(), IngestError>>);

impl Pending {
    /// Waits until the batch is durable, on the bus or in the spool. `None`: not yet.
    pub fn wait(&self, timeout: Duration) -> Option<Result<(), IngestError>> {
        match self.0.recv_timeout(timeout) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(IngestError::WriterStopped("its thread has ended".into()))),
        }
    }
}

/// Handle to the writer; shared by all collectors of the process.
pub struct CallEventWriter {
    commands: SyncSender<Command>,
    partitions: u32,
    boot_epoch: i64,
    node: SmolStr,
    stats: Arc<WriterStats>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl CallEventWriter {
    /// Makes sure of the topic and starts the writer's thread. A bus that is away now is an error: the topic's number
    /// of partitions has to be known first.
    pub fn start(bus: Arc<dyn Bus>, options: WriterOptions) -> Result<Self, IngestError> {
        let info = bus.ensure(&options.topic)?;
        let partitions = info.partitions.len() as u32;
        files::make_folder(&options.folder)?;
        let boot_epoch = next_boot_epoch(&options.folder)?;
        let spool = Spool::open(&options.folder.join("spool"), options.spool_file_bytes, options.spool_limit_bytes)?;
        let (commands, queue) = sync_channel(QUEUE);
        let stats = Arc::new(WriterStats::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let node = options.node.clone();
        let state = Loop::new(bus, options, partitions, boot_epoch, spool, Arc::clone(&stats), Arc::clone(&stopping))?;
        let thread = std::thread::Builder::new()
            .name("call-events".into())
            .spawn(move || state.run(&queue))
            .map_err(|e| IngestError::io("cannot start a thread for", Path::new(TOPIC), e))?;
        Ok(Self { commands, partitions, boot_epoch, node, stats, stopping, thread: Mutex::new(Some(thread)) })
    }

    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    pub fn boot_epoch(&self) -> i64 {
        self.boot_epoch
    }

    pub fn stats(&self) -> &Arc<WriterStats> {
        &self.stats
    }

    /// Hands over records in order. Waits while the queue is full: that is the back-pressure.
    pub fn send(&self, batch: Vec<Outgoing>) -> Result<Pending, IngestError> {
        let (reply, answer) = sync_channel(1);
        self.commands.send(Command::Batch(batch, reply)).map_err(|_| self.stopped())?;
        Ok(Pending(answer))
    }

    /// The same without waiting: `None` when the queue is full.
    pub fn try_send(&self, batch: Vec<Outgoing>) -> Result<Option<Pending>, IngestError> {
        let (reply, answer) = sync_channel(1);
        match self.commands.try_send(Command::Batch(batch, reply)) {
            Ok(()) => Ok(Some(Pending(answer))),
            Err(TrySendError::Full(_)) => Ok(None),
            Err(TrySendError::Disconnected(_)) => Err(self.stopped()),
        }
    }

    /// Sends and waits until it is durable; also for room in the queue, which there is none of while neither the bus nor
    /// the spool takes anything.
    pub fn write(&self, batch: Vec<Outgoing>, timeout: Duration) -> Result<(), IngestError> {
        let until = Instant::now() + timeout;
        let late = || IngestError::NotInTime(timeout.as_secs());
        let (reply, answer) = sync_channel(1);
        let mut command = Command::Batch(batch, reply);
        loop {
            command = match self.commands.try_send(command) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(self.stopped()),
                Err(TrySendError::Full(_)) if Instant::now() >= until => return Err(late()),
                Err(TrySendError::Full(back)) => back,
            };
            std::thread::sleep(ROOM);
        }
        Pending(answer).wait(until.saturating_duration_since(Instant::now())).unwrap_or_else(|| Err(late()))
    }

    fn stopped(&self) -> IngestError {
        IngestError::WriterStopped(self.stats.last_trouble())
    }

    /// Ends the thread once everything handed over is durable, on the bus or in the spool.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // A full or closed queue is fine: the thread looks at `stopping` too.
        let _ = self.commands.try_send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            self.stats.trouble("the writer of call events ended in a panic; start the process again".into());
        }
    }
}

impl Drop for CallEventWriter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Microseconds since 1970 at this start, always above the last start's, also when the clock was set back.
fn next_boot_epoch(folder: &Path) -> Result<i64, IngestError> {
    let path = folder.join("boot-epoch");
    let last = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<i64>().map_err(|_| IngestError::Setting {
            setting: "boot-epoch",
            reason: format!("{} holds {text:?}, no number; remove the file", path.display()),
        })?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(e) => return Err(IngestError::io("cannot read", &path, e)),
    };
    let epoch = files::now_micros().max(last + 1);
    files::replace(&path, epoch.to_string().as_bytes())?;
    Ok(epoch)
}

/// Encoded records of one batch: one memory for all of them.
#[derive(Default)]
struct Encoded {
    bytes: Vec<u8>,
    records: Vec<Span>,
}

#[derive(Clone, Copy)]
struct Span {
    partition: u32,
    timestamp_ms: i64,
    key: (u32, u32),
    value: (u32, u32),
}

impl Encoded {
    fn push(&mut self, partition: u32, observed_at: i64, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len() as u32;
        encode(&mut self.bytes);
        let end = self.bytes.len() as u32;
        let span = Span { partition, timestamp_ms: observed_at / 1_000, key: (start, middle), value: (middle, end) };
        self.records.push(span);
    }

    fn get(&self, span: &Span) -> Waiting<'_> {
        let slice = |(from, to): (u32, u32)| &self.bytes[from as usize..to as usize];
        Waiting {
            partition: span.partition,
            timestamp_ms: span.timestamp_ms,
            key: slice(span.key),
            value: slice(span.value),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Waiting<'_>> {
        self.records.iter().map(|span| self.get(span))
    }
}
