//! The folder of one partition's index: files, and a manifest that names them with the frame after which they were
//! made and everything else that a new owner needs to go on from there. A manifest is replaced in one step, after the
//! files it names are written; a thread of its own writes, so that rating never waits for a merge. Nothing is synced:
//! every byte has a checksum, so a power cut costs reading the stream, never a wrong answer.

use super::bucket_file::{BucketFile, IndexError};
use super::buckets::{Buckets, Files, InMemory, write_all};
use super::{CallPlaces, Keys, started};
use crate::FOLD_VERSION;
use bus::stream::Places;
use facts::stream::StreamState;
use facts::time::BookedAt;
use facts::xdr::{ImportCount, RaterState, XdrItem};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Entries of one kind in memory before they are written; twice as many while they are.
pub(crate) const UNWRITTEN_MAX: usize = 1 << 18;
/// Frames after which a checkpoint is made although there are few entries: idle frames would have to be read otherwise.
const FRAMES_MAX: u64 = 20_000;
const MAGIC: &[u8; 8] = b"TDINDX01";
const MANIFEST: &str = "manifest";
/// Before a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// A rater's state after one accepted frame, beside the two indexes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkpoint {
    /// The stream after that frame; `None` = nothing was read yet.
    pub state: Option<StreamState>,
    /// A place in the stream that is no further than the record behind it.
    pub offset: u64,
    /// Where the frames up to it stand, and when it was booked.
    pub places: Places,
    pub booked_at: BookedAt,
    pub floor: Option<u64>,
    pub clock: Option<i64>,
    /// Offsets from `floor` on whose records were passed over.
    pub passed: Vec<u64>,
    /// Node marks, and the offset up to which events are in them.
    pub marks: Option<(RaterState, u64)>,
    pub counts: Vec<ImportCount>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    fold_version: u32,
    state: StreamState,
    offset: u64,
    places: (Vec<(u64, u64)>, u64),
    booked_at: BookedAt,
    floor: Option<u64>,
    clock: Option<i64>,
    passed: Vec<u64>,
    marks_to: Option<u64>,
    /// Calls that began before it are forgotten.
    oldest: i64,
    calls: Vec<Named>,
    keys: Vec<Named>,
}

/// One file: name, bucket, entries.
type Named = (String, i64, u64);

/// What is handed to the thread.
struct Job {
    calls: (Arc<InMemory>, Files),
    keys: (Arc<InMemory>, Files),
    oldest: i64,
    checkpoint: Checkpoint,
}

/// Files of both indexes.
struct Written {
    calls: Files,
    keys: Files,
}

/// The folder of a partition, and the thread that writes to it.
pub(crate) struct Store {
    jobs: Option<Sender<Job>>,
    results: Receiver<Result<Written, IndexError>>,
    thread: Option<JoinHandle<()>>,
    /// Frozen after this frame, and not handed over before it is confirmed.
    waiting: Option<(u64, Job)>,
    running: bool,
    /// Frame of the last checkpoint.
    last: u64,
    unwritten_max: usize,
}

impl Store {
    /// Opens a folder, or makes it. What stands in it is used where it is whole; else it is removed, with a line in the
    /// log that says why, and everything is to be read from the stream.
    pub fn open(
        folder: &Path,
        stream: &str,
        unwritten_max: usize,
    ) -> Result<(Self, CallPlaces, Keys, Checkpoint), IndexError> {
        fs::create_dir_all(folder).map_err(IndexError::io("cannot make", folder))?;
        let found = match load(folder, stream) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(stream, "{error}");
                None
            }
        };
        let (places, keys, checkpoint) = found.unwrap_or_default();
        let names: Vec<String> = [&places.all, &keys.0].iter().flat_map(|all| all.names()).collect();
        sweep(folder, &names, checkpoint.state.is_some())?;
        let next = names.iter().filter_map(|name| name.get(1..)?.parse().ok()).max().unwrap_or(0u64) + 1;
        let (jobs, inbox) = channel();
        let (outbox, results) = channel();
        let own = folder.to_path_buf();
        let thread = std::thread::Builder::new().name("rater-index".into()).spawn(move || {
            work(&own, next, &inbox, &outbox);
        });
        let thread = Some(thread.map_err(IndexError::io("cannot start the writer of", folder))?);
        let last = checkpoint.state.as_ref().map_or(0, StreamState::seq);
        let store = Self { jobs: Some(jobs), results, thread, waiting: None, running: false, last, unwritten_max };
        Ok((store, places, keys, checkpoint))
    }

    /// Removes the manifest, so that the next owner reads everything from the stream.
    pub fn discard(folder: &Path) {
        if let Err(error) = fs::remove_file(folder.join(MANIFEST))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(folder = %folder.display(), "the index cannot be removed: {error}");
        }
    }

    /// True where it is time for a checkpoint after frame `seq` and nothing is being written.
    pub fn is_due(&self, places: &CallPlaces, keys: &Keys, seq: u64) -> bool {
        let most = places.all.unwritten().max(keys.0.unwritten());
        let many = most >= self.unwritten_max || seq >= self.last + FRAMES_MAX;
        many && !self.is_busy()
    }

    /// True while something is frozen and not yet in files.
    pub fn is_busy(&self) -> bool {
        self.running || self.waiting.is_some()
    }

    /// True where memory has reached its bound, so that nothing more may be taken before the files are written.
    pub fn is_full(&self, places: &CallPlaces, keys: &Keys) -> bool {
        self.is_busy() && places.all.unwritten().max(keys.0.unwritten()) >= 4 * self.unwritten_max
    }

    /// Freezes both indexes as of the checkpoint's frame. They are written once that frame is confirmed.
    pub fn freeze(&mut self, places: &mut CallPlaces, keys: &mut Keys, checkpoint: Checkpoint) {
        let seq = checkpoint.state.as_ref().map_or(0, StreamState::seq);
        self.last = seq;
        let job = Job { calls: places.all.freeze(), keys: keys.0.freeze(), oldest: places.oldest, checkpoint };
        self.waiting = Some((seq, job));
    }

    /// Hands over what waits for a frame up to `confirmed`, and takes in what was written. The error is what keeps the
    /// thread from writing; it tries again by itself unless a file is damaged.
    pub fn turn(&mut self, confirmed: u64, places: &mut CallPlaces, keys: &mut Keys) -> Result<(), IndexError> {
        if let Some((_, job)) = self.waiting.take_if(|(seq, _)| *seq <= confirmed) {
            self.running = true;
            if let Some(jobs) = &self.jobs {
                // A thread that has ended answers below.
                let _ = jobs.send(job);
            }
        }
        match self.results.try_recv() {
            Ok(result) => self.take(result, places, keys),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => {
                self.running = false;
                Ok(())
            }
        }
    }

    /// Waits until what was handed over is written: for a start, which has nothing else to do.
    pub fn wait(&mut self, places: &mut CallPlaces, keys: &mut Keys) -> Result<(), IndexError> {
        self.turn(u64::MAX, places, keys)?;
        while self.running {
            match self.results.recv() {
                Ok(result) => self.take(result, places, keys)?,
                Err(_) => self.running = false,
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        result: Result<Written, IndexError>,
        places: &mut CallPlaces,
        keys: &mut Keys,
    ) -> Result<(), IndexError> {
        let written = result?;
        places.all.written(written.calls);
        keys.0.written(written.keys);
        self.running = false;
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the index ended in a panic; its files are checked when they are opened");
        }
    }
}

impl Buckets {
    fn names(&self) -> Vec<String> {
        named(self.files()).into_iter().map(|(name, ..)| name).collect()
    }
}

fn named(files: &Files) -> Vec<Named> {
    let name = |file: &BucketFile| file.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let of = |(bucket, files): (&i64, &Vec<Arc<BucketFile>>)| {
        files.iter().filter_map(|file| Some((name(file)?, *bucket, file.count))).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

/// The thread: one job after the other until the store is dropped.
fn work(folder: &Path, mut next: u64, jobs: &Receiver<Job>, results: &Sender<Result<Written, IndexError>>) {
    while let Ok(job) = jobs.recv() {
        loop {
            let written = write_job(folder, &mut next, &job);
            let again = matches!(written, Err(IndexError::Io { .. }));
            if results.send(written).is_err() {
                return;
            }
            if !again {
                break;
            }
            match jobs.recv_timeout(AGAIN) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
        }
    }
}

fn write_job(folder: &Path, next: &mut u64, job: &Job) -> Result<Written, IndexError> {
    let mut written = Written { calls: job.calls.1.clone(), keys: job.keys.1.clone() };
    let mut name = |kind: char| {
        *next += 1;
        folder.join(format!("{kind}{next:010}"))
    };
    let remembered = |value: &super::Value| started(value) >= job.oldest;
    write_all(&job.calls.0, &mut written.calls, &remembered, &mut || name('c'))?;
    write_all(&job.keys.0, &mut written.keys, &|_| true, &mut || name('k'))?;
    let (calls, keys) = (named(&written.calls), named(&written.keys));
    let names: Vec<String> = calls.iter().chain(&keys).map(|(name, ..)| name.clone()).collect();
    save(folder, &job.checkpoint, job.oldest, calls, keys)?;
    sweep(folder, &names, true)?;
    Ok(written)
}

/// Removes what the manifest does not name; the manifest too, where it is of no use.
fn sweep(folder: &Path, names: &[String], manifest: bool) -> Result<(), IndexError> {
    let failed = || IndexError::io("cannot clear", folder);
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !(names.contains(&name) || manifest && name == MANIFEST) {
            fs::remove_file(entry.path()).map_err(failed())?;
        }
    }
    Ok(())
}

fn save(
    folder: &Path,
    checkpoint: &Checkpoint,
    oldest: i64,
    calls: Vec<Named>,
    keys: Vec<Named>,
) -> Result<(), IndexError> {
    let path = folder.join(MANIFEST);
    let Some(state) = checkpoint.state.clone() else { return Ok(()) };
    let head = Head {
        fold_version: FOLD_VERSION,
        state,
        offset: checkpoint.offset,
        places: (checkpoint.places.parts().0.to_vec(), checkpoint.places.parts().1),
        booked_at: checkpoint.booked_at,
        floor: checkpoint.floor,
        clock: checkpoint.clock,
        passed: checkpoint.passed.clone(),
        marks_to: checkpoint.marks.as_ref().map(|(_, to)| *to),
        oldest,
        calls,
        keys,
    };
    let head = serde_json::to_vec(&head).map_err(|e| IndexError::damaged(&path, e.to_string()))?;
    let mut out = MAGIC.to_vec();
    let mut part = |bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    part(&head);
    let state = checkpoint.marks.iter().map(|(state, _)| XdrItem::State(Box::new(state.clone())));
    let counts = checkpoint.counts.iter().map(|count| XdrItem::ImportCount(Box::new(count.clone())));
    let (mut public, mut private) = (Vec::new(), Vec::new());
    for item in state.chain(counts) {
        public.clear();
        private.clear();
        schemas::xdrs::encode_item(&item, &mut public, &mut private);
        part(&public);
        part(&private);
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    let fresh = folder.join("manifest.new");
    let failed = || IndexError::io("cannot write", &fresh);
    fs::write(&fresh, &out).and_then(|()| fs::rename(&fresh, &path)).map_err(failed())
}

/// What a folder holds; `None` where there is no manifest.
fn load(folder: &Path, stream: &str) -> Result<Option<(CallPlaces, Keys, Checkpoint)>, IndexError> {
    let path = folder.join(MANIFEST);
    let damaged = |reason: String| IndexError::damaged(&path, reason);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(format!("cannot be read: {error}"))),
    };
    let content =
        bytes.split_last_chunk::<4>().filter(|(content, crc)| crc32c::crc32c(content) == u32::from_le_bytes(**crc));
    let mut rest = content
        .and_then(|(content, _)| content.strip_prefix(MAGIC))
        .ok_or_else(|| damaged("it does not have the checksum that was written".into()))?;
    let mut part = || {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        rest = after;
        Some(part)
    };
    let head = part().unwrap_or_default();
    let head: Head = serde_json::from_slice(head).map_err(|e| damaged(e.to_string()))?;
    if head.fold_version != FOLD_VERSION || head.state.stream() != stream {
        return Err(damaged(format!("it is of {} and fold version {}", head.state.stream(), head.fold_version)));
    }
    let (mut marks, mut counts) = (None, Vec::new());
    while let (Some(public), Some(private)) = (part(), part()) {
        match schemas::xdrs::decode_item(public, private).map_err(|e| damaged(e.to_string()))? {
            XdrItem::State(state) => marks = head.marks_to.map(|to| (*state, to)),
            XdrItem::ImportCount(count) => counts.push(*count),
            _ => return Err(damaged("it holds what does not belong there".into())),
        }
    }
    let open = |all: &[Named]| -> Result<Files, IndexError> {
        let mut files = Files::new();
        for (name, bucket, count) in all {
            let file = BucketFile::open(&folder.join(name), *bucket, *count)?;
            files.entry(*bucket).or_default().push(Arc::new(file));
        }
        Ok(files)
    };
    let places = CallPlaces { all: Buckets::with_files(open(&head.calls)?), oldest: head.oldest };
    let keys = Keys(Buckets::with_files(open(&head.keys)?));
    let checkpoint = Checkpoint {
        state: Some(head.state),
        offset: head.offset,
        places: Places::from_parts(head.places.0, head.places.1),
        booked_at: head.booked_at,
        floor: head.floor,
        clock: head.clock,
        passed: head.passed,
        marks,
        counts,
    };
    Ok(Some((places, keys, checkpoint)))
}
