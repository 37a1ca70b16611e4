//! The ingest process: bytes of switches become call events on the bus. Collectors (drop folders, HTTP, other switches'
//! topics, `calls import`) share one raw store and one writer. It never prices, never decides what is a repeat, and
//! never answers before what it answers for is durable.

pub mod drop_folder;
pub mod error;
mod files;
pub mod http;
pub mod import;
pub mod raw_store;
mod spool;
pub mod switch_events;
pub mod writer;

#[cfg(test)]
mod tests;

pub use drop_folder::{DropFolder, Outcome, Watcher};
pub use error::IngestError;
pub use import::{ImportSummary, Progress, Sink, import_file, import_id};
pub use raw_store::RawStore;
pub use switch_events::{SwitchEvents, SwitchTopic};
pub use writer::{CallEventWriter, Outgoing, Pending, WriterOptions, WriterStats};

use bus::Bus;
use facts::config::Switch;
use schemas::SchemaIds;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A switch of the configuration in force, by its id.
pub type SwitchLookup = Arc<dyn Fn(&str) -> Option<Switch> + Send + Sync>;

/// Settings of the ingest process.
#[derive(Clone)]
pub struct IngestOptions {
    pub writer: WriterOptions,
    /// Folder of the raw store.
    pub raw: PathBuf,
    pub drop: Vec<DropFolder>,
    pub switch_events: Vec<SwitchTopic>,
    pub switches: SwitchLookup,
}

/// What all collectors share.
#[derive(Clone)]
pub struct Shared {
    pub raw: RawStore,
    pub writer: Arc<CallEventWriter>,
    pub switches: SwitchLookup,
    pub ids: SchemaIds,
}

/// The process: started, it collects until stopped.
pub struct Ingest {
    shared: Shared,
    bus: Arc<dyn Bus>,
    options: IngestOptions,
    /// Drop folders that cannot be worked on now: since when, and why.
    stuck: Mutex<BTreeMap<PathBuf, (SystemTime, String)>>,
}

impl Ingest {
    /// Opens the raw store and starts the writer; collectors run with [`Ingest::run`].
    pub fn start(bus: Arc<dyn Bus>, options: IngestOptions) -> Result<Self, IngestError> {
        let raw = RawStore::open(&options.raw)?;
        let ids = options.writer.ids.clone();
        let writer = Arc::new(CallEventWriter::start(Arc::clone(&bus), options.writer.clone())?);
        let shared = Shared { raw, writer, switches: Arc::clone(&options.switches), ids };
        Ok(Self { shared, bus, options, stuck: Mutex::default() })
    }

    /// Raw store and writer, for other collectors (`calls import`, the demo's generator).
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The HTTP routes; the caller mounts and serves them.
    pub fn router(&self, allowed: http::TokenCheck) -> axum::Router {
        http::router(http::HttpState { shared: self.shared.clone(), allowed })
    }

    /// Drop folders that cannot be worked on now: folder, since when, why. They are tried again and again.
    pub fn stuck(&self) -> Vec<(PathBuf, SystemTime, String)> {
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.iter().map(|(folder, (since, why))| (folder.clone(), *since, why.clone())).collect()
    }

    /// Runs drop folders and topics until `stop` is set; then everything handed over is made durable. The first error
    /// that needs a person ends it, and the writer's end is one; the process around it goes on.
    pub fn run(&self, stop: &AtomicBool) -> Result<(), IngestError> {
        // Of the collectors only: `stop` is the whole process's.
        let halt = &AtomicBool::new(false);
        let stats = self.shared.writer.stats();
        let result = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for folder in &self.options.drop {
                threads.push(scope.spawn(move || ended(self.drop_folder(folder, halt), halt)));
            }
            for topic in &self.options.switch_events {
                threads.push(scope.spawn(move || ended(self.topic(topic, halt), halt)));
            }
            let mut first = Ok(());
            while !stop.load(Ordering::Relaxed) && !halt.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                if stats.ended.load(Ordering::SeqCst) {
                    first = Err(IngestError::WriterStopped(stats.last_trouble()));
                    break;
                }
            }
            halt.store(true, Ordering::SeqCst);
            for thread in threads {
                first = first.and(join(thread));
            }
            first
        });
        if stop.load(Ordering::Relaxed) || stats.ended.load(Ordering::SeqCst) {
            self.shared.writer.stop();
        }
        result
    }

    fn drop_folder(&self, folder: &DropFolder, stop: &AtomicBool) -> Result<(), IngestError> {
        let mut watcher = Watcher::new(folder.clone())?;
        let sink = Sink { raw: &self.shared.raw, writer: &self.shared.writer, stop };
        let mut round = |error: Option<&IngestError>| {
            let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
            match error {
                None => drop(stuck.remove(&folder.folder)),
                Some(error) => {
                    let known =
                        stuck.entry(folder.folder.clone()).or_insert_with(|| (SystemTime::now(), String::new()));
                    let why = error.to_string();
                    if known.1 != why {
                        // Once, not at every look.
                        tracing::warn!(target: "ingest", folder = %folder.folder.display(), "{why}");
                        known.1 = why;
                    }
                }
            }
        };
        watcher.run(sink, &*self.shared.switches, &mut round, &mut |path, outcome| match outcome {
            Outcome::Done { summary, .. } => tracing::info!(
                target: "ingest", file = %path.display(), sent = summary.sent, rejected = summary.rejected, "imported"
            ),
            Outcome::Failed { to, why } => {
                tracing::warn!(target: "ingest", file = %path.display(), to = %to.display(), "not imported: {why}");
            }
            Outcome::Changed => tracing::info!(target: "ingest", file = %path.display(), "still being written"),
        })
    }

    fn topic(&self, topic: &SwitchTopic, stop: &AtomicBool) -> Result<(), IngestError> {
        let folder = &self.options.writer.folder;
        SwitchEvents::new(Arc::clone(&self.bus), topic.clone(), folder)?.run(&self.shared, stop)
    }
}

/// A collector that cannot go on ends the others too: a process that half works is not noticed.
fn ended(result: Result<(), IngestError>, stop: &AtomicBool) -> Result<(), IngestError> {
    if result.is_err() {
        stop.store(true, Ordering::SeqCst);
    }
    result
}

fn join(thread: std::thread::ScopedJoinHandle<'_, Result<(), IngestError>>) -> Result<(), IngestError> {
    thread.join().unwrap_or_else(|_| Err(IngestError::WriterStopped("a collector ended in a panic".into())))
}

/// Starts and runs the process until `stop` is set.
pub fn run(bus: Arc<dyn Bus>, options: IngestOptions, stop: &AtomicBool) -> Result<(), IngestError> {
    Ingest::start(bus, options)?.run(stop)
}
