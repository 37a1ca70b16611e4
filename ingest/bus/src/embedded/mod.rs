//! The embedded log: topics as folders, partitions as chains of segment files, one process as the owner of it all
//! (design 7.3, reference/ledger.md 3.4). Nothing to install. It never answers before fdatasync has, and never opens a
//! folder whose middle is damaged.

mod commit;
mod disk;
mod files;
mod inspect;
mod log;
mod reader;
mod recover;
mod restore;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use facts::stream::Incarnation;
use schemas::{Schema, SchemaIds};
use segments::{Head, SegmentHeader, block};

pub use disk::{Disk, RealDisk};
pub use inspect::{Damage, PartitionReport, inspect};
pub use recover::TornTail;

use crate::api::{Bus, BusHealth, PartitionInfo, Reader, Record, Retention, TopicInfo, TopicKind, TopicSpec, Writer};
use crate::error::BusError;
use crate::incarnation;
use commit::Committer;
pub(crate) use files::KnownTopics;
pub use files::replace_file;
use files::{HeadFile, TopicFile};
use log::{Log, Segment, lock};

/// Settings of the embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The folder; made where there is none.
    pub root: PathBuf,
    /// A segment is sealed where the next block would make it larger.
    pub segment_bytes: u64,
    /// Room for records that wait for the sync under way; past it submitters block.
    pub max_pending_bytes: usize,
    /// Zeros written ahead of the log at most; 0 = none.
    pub write_ahead_bytes: u64,
    /// How much of the sealed segments, newest first, is read and checked at start (per partition). The last segment
    /// always is, and every block again when it is read.
    pub check_bytes: u64,
    /// Schema id in front of incarnation records (Confluent wire format).
    pub incarnation_schema_id: u32,
    /// Where writes go; tests put a worse disk here.
    pub disk: Arc<dyn Disk>,
}

impl EmbeddedConfig {
    /// The defaults, in this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        EmbeddedConfig {
            root: root.into(),
            segment_bytes: 128 << 20,
            max_pending_bytes: 4 << 20,
            write_ahead_bytes: 4 << 20,
            check_bytes: 256 << 20,
            incarnation_schema_id: SchemaIds::default().id(Schema::Incarnation),
            disk: Arc::new(RealDisk),
        }
    }
}

/// The bus in a data folder.
#[derive(Debug)]
pub struct EmbeddedBus {
    root: PathBuf,
    config: Arc<EmbeddedConfig>,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    known: Mutex<KnownTopics>,
    torn: Vec<TornTail>,
    /// Every log that was opened, with its thread; also those of a topic that was refused afterwards.
    committers: Mutex<Vec<(Arc<Log>, JoinHandle<()>)>>,
    stopped: std::sync::atomic::AtomicBool,
    /// Held until the last thread has ended.
    lock: File,
}

#[derive(Debug)]
struct Topic {
    file: TopicFile,
    /// Held while first records are written.
    ensuring: Mutex<()>,
    logs: Vec<Arc<Log>>,
}

impl EmbeddedBus {
    /// Opens (or begins) the folder, takes its lock, and checks every log in it: torn tails are cut and reported by
    /// [`EmbeddedBus::torn_tails`], damage is refused.
    pub fn open(config: EmbeddedConfig) -> Result<EmbeddedBus, BusError> {
        let root = config.root.clone();
        let root = root.as_path();
        fs::create_dir_all(root).map_err(|e| BusError::io("cannot create folder", root, e))?;
        let lock = take_lock(&root.join("LOCK"))?;
        let mut bus = EmbeddedBus {
            root: root.to_path_buf(),
            config: Arc::new(config),
            topics: RwLock::default(),
            known: Mutex::new(KnownTopics::read(&root.join("topics"))?),
            torn: Vec::new(),
            committers: Mutex::default(),
            stopped: false.into(),
            lock,
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(root).map_err(|e| BusError::io("cannot list", root, e))? {
            let path = entry.map_err(|e| BusError::io("cannot list", root, e))?.path();
            if !path.is_dir() {
                continue;
            }
            if path.extension().is_some_and(|ext| ext == "unfinished") {
                // A topic whose creation never ended; nobody has written to it.
                fs::remove_dir_all(&path).map_err(|e| BusError::io("cannot remove", &path, e))?;
            } else if path.join("topic").exists()
                && let Some(name) = path.file_name().and_then(|n| n.to_str())
            {
                found.push((name.to_owned(), path.clone()));
            }
        }
        for (name, path) in found {
            let topic = bus.open_topic(&name, &path)?;
            bus.remember(&name, &topic)?;
            bus.topics_mut().insert(name, topic);
        }
        Ok(bus)
    }

    /// Tails that were cut off when the folder was opened: writes nobody was told of as done.
    pub fn torn_tails(&self) -> &[TornTail] {
        &self.torn
    }

    fn topics_mut(&mut self) -> &mut BTreeMap<String, Arc<Topic>> {
        self.topics.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn open_topic(&mut self, name: &str, path: &Path) -> Result<Arc<Topic>, BusError> {
        let file = TopicFile::read(&path.join("topic"))?;
        let mut logs = Vec::new();
        for (partition, incarnation) in file.incarnations.iter().enumerate() {
            let (log, torn) = self.open_partition((name, partition as u32), &file, path, *incarnation)?;
            self.torn.extend(torn);
            logs.push(log);
        }
        Ok(Arc::new(Topic { file, ensuring: Mutex::default(), logs }))
    }

    fn open_partition(
        &self,
        (topic, partition): (&str, u32),
        file: &TopicFile,
        path: &Path,
        incarnation: Incarnation,
    ) -> Result<(Arc<Log>, Option<TornTail>), BusError> {
        let dir = path.join(partition.to_string());
        let found = recover::recover(&dir, partition, incarnation, self.config.check_bytes)?;
        if let Some(torn) = &found.torn {
            tracing::warn!(
                file = %torn.file.display(), byte = torn.byte, bytes = torn.bytes, reason = %torn.reason,
                "a torn tail was cut off; its write had not been acknowledged"
            );
        }
        if found.head_mended {
            tracing::warn!(folder = %dir.display(), "the head file was unreadable in part and has been written anew");
        }
        let mut segments = Vec::new();
        for (at, (base, path)) in found.segments.iter().enumerate() {
            let next = found.segments.get(at + 1).map(|(base, _)| *base);
            let end_pos = match next {
                None => found.end_pos,
                Some(_) => fs::metadata(path).map_err(|e| BusError::io("cannot read", path, e))?.len(),
            };
            segments.push(Arc::new(Segment::new(path.clone(), *base, end_pos, next.unwrap_or(u64::MAX))));
        }
        let Some(active) = segments.last().cloned() else {
            return Err(BusError::TopicLost { topic: topic.to_owned(), reason: "it holds no segment".to_owned() });
        };
        let head = HeadFile::open(&dir.join("head"), found.head, block::log_id(incarnation))?;
        let bounds = (found.begin, found.end);
        let log = Arc::new(Log::new(
            (topic, partition),
            dir,
            (file.kind, file.retention),
            incarnation,
            Arc::clone(&self.config),
            segments,
            bounds,
        ));
        let committer = Committer::new(Arc::clone(&log), active, found.chain, bounds, head)?;
        let thread = std::thread::Builder::new()
            .name(format!("log {topic}/{partition}"))
            .spawn(move || committer.run())
            .map_err(|e| BusError::io("cannot start the log's thread for", &self.root, e))?;
        lock(&self.committers).push((Arc::clone(&log), thread));
        Ok((log, found.torn))
    }

    /// Makes the folder of a new topic; it gets its name only when it is whole.
    fn create_topic(&self, spec: &TopicSpec) -> Result<Arc<Topic>, BusError> {
        let fresh: Result<Vec<_>, BusError> = (0..spec.partitions).map(|_| Ok((incarnation::fresh()?, 0))).collect();
        self.create_topic_from(spec, &fresh?)
    }

    /// The same, with the incarnation and first offset of each partition.
    fn create_topic_from(&self, spec: &TopicSpec, from: &[(Incarnation, u64)]) -> Result<Arc<Topic>, BusError> {
        let path = self.root.join(&spec.name);
        let new = self.root.join(format!("{}.unfinished", spec.name));
        let file = TopicFile {
            kind: spec.kind,
            retention: spec.retention,
            incarnations: from.iter().map(|(incarnation, _)| *incarnation).collect(),
        };
        let make = || -> Result<(), BusError> {
            for (partition, (incarnation, base)) in from.iter().enumerate() {
                let base = *base;
                let dir = new.join(partition.to_string());
                fs::create_dir_all(&dir).map_err(|e| BusError::io("cannot create folder", &dir, e))?;
                let header = SegmentHeader {
                    base,
                    prev_base: u64::MAX,
                    chain: block::chain_start(*incarnation),
                    incarnation: *incarnation,
                    partition: partition as u32,
                };
                commit::create_segment(&dir.join(files::segment_name(base)), header)?;
                let head = Head { serial: 1, begin: base, end: base, active: base };
                files::create_head(&dir.join("head"), head, block::log_id(*incarnation))?;
            }
            file.write(&new.join("topic"))?;
            fs::rename(&new, &path).map_err(|e| BusError::io("cannot create topic folder", &path, e))?;
            files::sync_dir(&self.root)
        };
        if let Err(error) = make() {
            let _ = fs::remove_dir_all(&new);
            return Err(error);
        }
        let mut logs = Vec::new();
        for (partition, incarnation) in file.incarnations.iter().enumerate() {
            logs.push(self.open_partition((&spec.name, partition as u32), &file, &path, *incarnation)?.0);
        }
        Ok(Arc::new(Topic { file, ensuring: Mutex::default(), logs }))
    }

    /// The incarnation record at offset 0, where it is not there yet (also after a crash right after creation).
    fn write_incarnations(&self, topic: &Topic) -> Result<(), BusError> {
        if topic.file.kind == TopicKind::Foreign {
            return Ok(());
        }
        // One after the other: of two that find a new log empty only one may write its first record.
        let _alone = lock(&topic.ensuring);
        for log in topic.logs.iter().filter(|log| log.bounds() == (0, 0)) {
            let value = incarnation::encode(log.incarnation, self.config.incarnation_schema_id);
            let ticket = log.submit(&[Record { key: incarnation::KEY, value: &value, timestamp_ms: 0 }])?;
            while log.wait(ticket, std::time::Duration::from_secs(1))?.is_none() {}
        }
        Ok(())
    }

    /// Notes that this topic exists, or refuses one that is not the noted one.
    fn remember(&self, name: &str, topic: &Topic) -> Result<(), BusError> {
        let Some(incarnation) = topic.file.incarnations.first().copied() else { return Ok(()) };
        let mut known = lock(&self.known);
        match known.0.iter().find(|(known, _)| known == name) {
            Some((_, before)) if *before == incarnation => Ok(()),
            Some((_, before)) => Err(BusError::TopicLost {
                topic: name.to_owned(),
                reason: format!("incarnation {incarnation} stands in the place of {before}"),
            }),
            None => {
                known.0.push((name.to_owned(), incarnation));
                known.write(&self.root.join("topics")).inspect_err(|_| {
                    known.0.pop();
                })
            }
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned()
    }

    /// An existing topic; says whether it was never there or has vanished.
    fn topic(&self, name: &str) -> Result<Arc<Topic>, BusError> {
        match self.find(name) {
            Some(topic) => Ok(topic),
            None if lock(&self.known).0.iter().any(|(known, _)| known == name) => Err(vanished(name)),
            None => Err(BusError::UnknownTopic { topic: name.to_owned() }),
        }
    }

    fn log(&self, topic: &str, partition: u32) -> Result<Arc<Log>, BusError> {
        let found = self.topic(topic)?;
        found.logs.get(partition as usize).cloned().ok_or_else(|| BusError::UnknownPartition {
            topic: topic.to_owned(),
            partition,
            partitions: found.logs.len() as u32,
        })
    }
}

/// Names that mean something else in the data folder.
fn check_folder_name(name: &str) -> Result<(), BusError> {
    let taken = matches!(name, "LOCK" | "topics") || [".unfinished", ".new"].iter().any(|end| name.ends_with(end));
    if taken {
        return Err(BusError::BadName { name: name.to_owned(), reason: "the data folder uses it for itself" });
    }
    Ok(())
}

fn vanished(name: &str) -> BusError {
    BusError::TopicLost { topic: name.to_owned(), reason: "it was in this folder before and is gone".to_owned() }
}

impl Bus for EmbeddedBus {
    fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, BusError> {
        spec.check()?;
        check_folder_name(&spec.name)?;
        if self.stopped.load(std::sync::atomic::Ordering::Acquire) {
            return Err(BusError::Stopped);
        }
        let (topic, created) = match self.topic(&spec.name) {
            Ok(topic) => (topic, false),
            Err(BusError::UnknownTopic { .. }) if spec.known.is_empty() => {
                // Held while the topic is made: two callers must not make it twice. Topics are made once in a life.
                let mut topics = self.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner);
                match topics.get(&spec.name) {
                    Some(topic) => (Arc::clone(topic), false),
                    None => {
                        let topic = self.create_topic(spec)?;
                        self.remember(&spec.name, &topic)?;
                        topics.insert(spec.name.clone(), Arc::clone(&topic));
                        (topic, true)
                    }
                }
            }
            Err(BusError::UnknownTopic { .. }) => return Err(vanished(&spec.name)),
            Err(error) => return Err(error),
        };
        let mut differences = Vec::new();
        if topic.logs.len() != spec.partitions as usize {
            differences.push(format!("{} partitions, not {}", topic.logs.len(), spec.partitions));
        }
        if topic.file.kind != spec.kind {
            differences.push(format!("kind {:?}, not {:?}", topic.file.kind, spec.kind));
        }
        if keeps_less(topic.file.retention, spec.retention) {
            differences.push(format!("retention {:?}, not {:?}", topic.file.retention, spec.retention));
        }
        if !differences.is_empty() {
            return Err(BusError::Mismatch { topic: spec.name.clone(), differences: differences.join("; ") });
        }
        crate::api::check_known(spec, &topic.file.incarnations)?;
        self.write_incarnations(&topic)?;
        let partitions = topic.logs.iter().map(|log| {
            let (begin, end) = log.bounds();
            let incarnation = (topic.file.kind != TopicKind::Foreign).then_some(log.incarnation);
            PartitionInfo { incarnation, begin, end }
        });
        Ok(TopicInfo { created, partitions: partitions.collect() })
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, BusError> {
        Ok(self.find(topic).map(|topic| topic.logs.len() as u32))
    }

    fn topics(&self) -> Result<Vec<String>, BusError> {
        Ok(self.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner).keys().cloned().collect())
    }

    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError> {
        let found = self.topic(topic)?;
        Ok(Box::new(writer::EmbeddedWriter::new(topic, found.logs.clone())))
    }

    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(reader::EmbeddedReader::new(self.log(topic, partition)?, from)?))
    }

    fn end(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        Ok(self.log(topic, partition)?.bounds().1)
    }

    fn begin(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        Ok(self.log(topic, partition)?.bounds().0)
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<u64, BusError> {
        self.log(topic, partition)?.trim(before)
    }

    fn health(&self) -> BusHealth {
        let topics = self.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut troubles: Vec<_> = topics.values().flat_map(|t| &t.logs).filter_map(|log| log.trouble()).collect();
        troubles.sort_by_key(|(since, _, for_good)| (!for_good, *since));
        match troubles.into_iter().next() {
            None => BusHealth::Up,
            Some((since, why, true)) => BusHealth::Failed { since, why },
            Some((since, why, false)) => BusHealth::Away { since, why: format!("no space for {why}") },
        }
    }

    fn stop(&self) {
        self.stopped.store(true, std::sync::atomic::Ordering::Release);
        lock(&self.committers).iter().for_each(|(log, _)| log.stop());
    }
}

impl Drop for EmbeddedBus {
    /// What was submitted is still made durable; then the folder is free for another process.
    fn drop(&mut self) {
        self.stop();
        for (_, thread) in lock(&self.committers).drain(..) {
            // A committer that panicked has left its log without an answer, which is what its waiters were told.
            let _ = thread.join();
        }
        let _ = self.lock.unlock();
    }
}

fn keeps_less(has: Retention, wanted: Retention) -> bool {
    match (has, wanted) {
        (Retention::Forever, _) => false,
        (Retention::Days(_), Retention::Forever) => true,
        (Retention::Days(has), Retention::Days(wanted)) => has < wanted,
    }
}

/// The folder's exclusive lock, with the owner's process id in it for whoever is refused.
fn take_lock(path: &Path) -> Result<File, BusError> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|e| BusError::io("cannot open", path, e))?;
    match file.try_lock() {
        Ok(()) => {
            let note = format!("process {}\n", std::process::id());
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(note.as_bytes()))
                .map_err(|e| BusError::io("cannot write", path, e))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let named = file.take(200).read_to_string(&mut owner).is_ok() && !owner.trim().is_empty();
            let owner = if named { owner.trim().to_owned() } else { "another process".to_owned() };
            Err(BusError::Locked { path: path.to_path_buf(), owner })
        }
        Err(TryLockError::Error(e)) => Err(BusError::io("cannot lock", path, e)),
    }
}
