//! Loading rated calls into the engine exactly once (design 7.4): a range of whole frames is noted durably before it
//! is sent, names the deduplication token, and is sent again under it after any doubt; where the engine may have
//! forgotten the token, the range is deleted, loaded anew and its rollups built again. Never loads beyond what the
//! ledger has booked. It reads frames through [`Frames`] and changes no log.

mod books;
mod bus;
mod note;
mod revisions;
mod runs;
mod send;

pub use self::books::{Books, CHARGED_ELSEWHERE};
pub use self::bus::BusFrames;
pub use self::runs::{PostedRun, RunStreams};

use crate::engine::{Engine, Session};
use crate::error::EngineError;
use crate::schema;
use facts::CallId;
use facts::stream::STREAM_START;
use facts::xdr::{Position, RatedCall};
use note::{NoteFile, Pending};
use revisions::Here;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A range closes with the frame that fills it. Together with that frame's own rows (512 KiB of them) it stays far
/// below the 100,000 rows of design 7.4, and its calls below 100 MB of memory.
pub const ROWS: usize = 30_000;
/// Longest that booked calls wait for more to come.
pub const RANGE_TIME: Duration = Duration::from_secs(1);
/// How long the engine's memory of a token is trusted where others write to it too.
const TOKEN_TRUSTED: Duration = Duration::from_secs(600);

/// The rated calls of one accepted frame, with their places.
#[derive(Debug, Default)]
pub struct FrameCalls {
    pub seq: u64,
    /// A run's: the stream in which the revisions that it replaces stand; empty for others.
    pub base: String,
    pub calls: Vec<(u32, RatedCall)>,
    /// The ledger's: calls whose charge was taken back since another site's counts, with the place of that.
    pub gone: Vec<(u32, CallId)>,
}

/// Why frames cannot be read. What it says is shown as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FramesError(pub String);

/// The accepted frames of one `xdrs` stream, in order.
pub trait Frames: Send {
    /// The next accepted frame into `into` (its memory is reused); false when none came within `timeout`.
    fn next(&mut self, into: &mut FrameCalls, timeout: Duration) -> Result<bool, FramesError>;
    /// The same for a range that was noted: its frames are given again whatever they need; it was there before the range
    /// was noted.
    fn next_noted(&mut self, into: &mut FrameCalls, timeout: Duration) -> Result<bool, FramesError> {
        self.next(into, timeout)
    }
    /// Goes to where `mark` said, or to the stream's start; frames up to `seq` may be passed over undecoded, the next
    /// one given is `seq`.
    fn seek(&mut self, mark: Option<&str>, seq: u64) -> Result<(), FramesError>;
    /// Words by which `seek` finds the place behind the last frame given faster than from the start.
    fn mark(&self) -> Option<String> {
        None
    }
}

/// Why a range could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("stream {stream}: {source}")]
    Frames { stream: String, source: FramesError },
    /// The log no longer gives what the note says was there.
    #[error(
        "stream {stream}: the noted range ends before {wanted:?}, but the log gave frame {found}; run `tandem ledger verify`"
    )]
    RangeChanged { stream: String, wanted: Position, found: u64 },
    /// A correction names a call whose rows are not in the engine.
    #[error(
        "stream {stream}: the call at {at:?} corrects the one at {based_on:?} of {base_stream}, of which the engine has no rows; stop the loader, delete its note loader/{base_stream}.json in the data folder and start it: the stream is loaded anew"
    )]
    BaseMissing { stream: String, at: Position, base_stream: String, based_on: Position },
}

/// How a stream stands, for the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadStatus {
    pub stream: String,
    /// Everything before this is in the engine.
    pub loaded: Position,
    /// Rows sent since the start, sent-again ones counted once.
    pub rows: u64,
    /// Since when loading fails, and why.
    pub failing: Option<(SystemTime, String)>,
}

/// Shared view of a loader's streams.
pub type Status = Arc<Mutex<Vec<LoadStatus>>>;

struct Stream {
    name: String,
    frames: Box<dyn Frames>,
    file: NoteFile,
    /// A frame that was read but is not booked yet.
    ahead: Option<FrameCalls>,
    /// Booked frames that wait for their range to fill.
    held: Vec<FrameCalls>,
    held_rows: usize,
    held_since: Option<Instant>,
    spare: Vec<FrameCalls>,
    positioned: bool,
    /// A run's stream.
    run: bool,
}

/// Loads the streams of one site, one range at a time. Belongs to one thread.
pub struct Loader {
    session: Session,
    runtime: tokio::runtime::Runtime,
    site: String,
    dir: PathBuf,
    incarnation: String,
    streams: Vec<Stream>,
    runs: Option<Box<dyn RunStreams>>,
    books: Option<Books>,
    status: Status,
    /// Ranges close after so many rows; tests make it small.
    pub rows_max: usize,
    /// See [`RANGE_TIME`].
    pub range_time: Duration,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    pub frames: u64,
    pub rows: u64,
}

impl Loader {
    /// `dir` keeps the notes, one file per stream.
    pub fn open(engine: &Engine, site: &str, dir: &Path) -> Result<Self, LoadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| EngineError::File { path: "threads".to_owned(), reason: e.to_string() })?;
        let mut session = engine.session();
        let incarnation = runtime.block_on(schema::incarnation(&mut session))?;
        Ok(Self {
            session,
            runtime,
            site: site.to_owned(),
            dir: dir.to_owned(),
            incarnation,
            streams: Vec::new(),
            runs: None,
            books: None,
            status: Status::default(),
            rows_max: ROWS,
            range_time: RANGE_TIME,
        })
    }

    /// Adds a stream. Rows of it that no note speaks of (a lost folder) are removed; they are loaded again.
    pub fn add(&mut self, name: &str, frames: Box<dyn Frames>) -> Result<(), LoadError> {
        self.add_stream(name, frames, false)
    }

    fn add_stream(&mut self, name: &str, frames: Box<dyn Frames>, run: bool) -> Result<(), LoadError> {
        let file = self.note(name)?;
        let loaded = file.note.loaded;
        self.streams.push(Stream {
            name: name.to_owned(),
            frames,
            file,
            ahead: None,
            held: Vec::new(),
            held_rows: 0,
            held_since: None,
            spare: Vec::new(),
            positioned: false,
            run,
        });
        lock(&self.status).push(LoadStatus { stream: name.to_owned(), loaded, rows: 0, failing: None });
        Ok(())
    }

    /// The note of a stream; where there is none of this database, rows that may be there are removed first.
    fn note(&mut self, name: &str) -> Result<NoteFile, LoadError> {
        let file = NoteFile::open(&self.dir, name, &self.incarnation, now_ms())?;
        if !file.known {
            self.runtime.block_on(send::forget(&mut self.session, &self.site, name))?;
            file.save()?;
        }
        Ok(file)
    }

    /// How the streams stand; stays current while the loader runs elsewhere.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Runs until told to stop. `booked` says up to where the ledger has booked a stream; `None` = nothing yet.
    /// Errors are shown in the status and tried again with a growing pause.
    pub fn run(&mut self, booked: &dyn Fn(&str) -> Option<Position>, stop: &AtomicBool) {
        let mut pause = Duration::from_millis(200);
        while !stop.load(Ordering::Acquire) {
            match self.step(booked) {
                Ok(step) => {
                    pause = Duration::from_millis(200);
                    if step.frames == 0 {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "loading into the reporting engine failed, trying again");
                    let until = Instant::now() + pause;
                    while Instant::now() < until && !stop.load(Ordering::Acquire) {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    /// Loads at most one range of every stream. A stream that fails does not keep the others from their turn; the
    /// first error is returned.
    pub fn step(&mut self, booked: &dyn Fn(&str) -> Option<Position>) -> Result<Step, LoadError> {
        let mut all = Step::default();
        let mut failed = None;
        let limits = self.limits(booked)?;
        for (at, limit) in limits.into_iter().enumerate() {
            let done = self.step_stream(at, limit);
            let mut status = lock(&self.status);
            let shown = &mut status[at];
            shown.loaded = self.streams[at].file.note.loaded;
            match done {
                Ok(step) => {
                    shown.failing = None;
                    shown.rows += step.rows;
                    all.frames += step.frames;
                    all.rows += step.rows;
                }
                Err(error) => {
                    // After any failure the frames are read anew from the note.
                    self.streams[at].positioned = false;
                    let since = shown.failing.as_ref().map_or_else(SystemTime::now, |(since, _)| *since);
                    shown.failing = Some((since, error.to_string()));
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(all), Err)
    }

    fn step_stream(&mut self, at: usize, limit: Option<Position>) -> Result<Step, LoadError> {
        self.check_incarnation(at)?;
        let stream = &mut self.streams[at];
        if !stream.positioned {
            stream.ahead = None;
            stream.held.clear();
            (stream.held_rows, stream.held_since) = (0, None);
            let note = &stream.file.note;
            stream.frames.seek(note.mark.as_deref(), note.loaded.seq).map_err(|e| named(&stream.name, e))?;
            stream.positioned = true;
        }
        let fresh = stream.file.note.pending.is_none();
        if let (Some(pending), Some(books)) = (&stream.file.note.pending, &self.books)
            && stream.name != books.stream()
            && books.booked(&stream.name).is_none_or(|booked| booked < pending.to)
        {
            // What the ledger refused of it is not known yet.
            return Ok(Step::default());
        }
        let frames = match &stream.file.note.pending {
            Some(pending) => {
                let to = pending.to;
                stream.gather_exactly(to)?
            }
            None => match limit {
                Some(limit) => stream.gather(limit, self.rows_max, self.range_time)?,
                None => Vec::new(),
            },
        };
        let Some(last) = frames.last() else { return Ok(Step::default()) };
        let to = Position { seq: last.seq + 1, index: 0 };
        let step = Step { frames: frames.len() as u64, rows: self.load(at, &frames, to, fresh)? };
        let stream = &mut self.streams[at];
        stream.keep(frames);
        stream.file.note.loaded = to;
        stream.file.note.pending = None;
        // The frame in `ahead`, if any, lies behind the mark and would be passed over.
        stream.file.note.mark =
            if stream.ahead.is_none() { stream.frames.mark() } else { stream.file.note.mark.take() };
        stream.file.save()?;
        ::bus::failpoint::pass("loader.loaded");
        Ok(step)
    }

    /// Notes the range, then sends it, in the way the note asks for. Returns the rows.
    fn load(&mut self, at: usize, frames: &[FrameCalls], to: Position, fresh: bool) -> Result<u64, LoadError> {
        let (site, stream) = (&self.site, &mut self.streams[at]);
        let name = stream.name.clone();
        let from = stream.file.note.loaded;
        let session = &mut self.session;
        let here = Here { site, stream: &name, from };
        let refused = self.books.as_ref().map(|books| books.refused(frames)).unwrap_or_default();
        let (attempts, levels) = self.runtime.block_on(revisions::rows_of(session, here, frames, &refused))?;
        if attempts.is_empty() && levels.is_empty() {
            return Ok(0);
        }
        if fresh {
            ::bus::failpoint::pass("loader.before-note");
            stream.file.note.pending = Some(Pending { to, noted_ms: now_ms(), repair: 0 });
            if let Err(error) = stream.file.save() {
                // Nothing may be sent that is not noted durably.
                stream.file.note.pending = None;
                return Err(error.into());
            }
        }
        let trusted = session.engine().is_embedded();
        let mut repair = false;
        if let Some(pending) = stream.file.note.pending.as_mut().filter(|_| !fresh) {
            let age = Duration::from_millis(now_ms().saturating_sub(pending.noted_ms));
            repair = pending.repair > 0 || (!trusted && age > TOKEN_TRUSTED);
            if repair {
                pending.repair += 1;
                stream.file.save()?;
            }
        }
        ::bus::failpoint::pass("loader.noted");
        let again = stream.file.note.pending.as_ref().map_or(0, |p| p.repair);
        let range = send::Range { site, stream: &name, load: stream.file.note.load, from, to, again };
        self.runtime.block_on(async {
            if repair {
                send::repair(session, &range, &attempts, &levels).await
            } else {
                send::insert(session, &range, &attempts, &levels).await
            }
        })?;
        ::bus::failpoint::pass("loader.sent");
        Ok((attempts.len() + levels.len()) as u64)
    }

    /// A database made anew under our feet (an engine folder deleted, another server) is loaded from the start.
    fn check_incarnation(&mut self, at: usize) -> Result<(), LoadError> {
        if self.streams[at].positioned {
            return Ok(());
        }
        let now = match self.runtime.block_on(schema::incarnation(&mut self.session)) {
            Ok(now) => now,
            Err(EngineError::Refused { code: Some(60 | 81), .. }) => {
                self.runtime.block_on(schema::apply(&mut self.session))?;
                self.runtime.block_on(schema::incarnation(&mut self.session))?
            }
            Err(error) => return Err(error.into()),
        };
        self.incarnation = now;
        if self.streams[at].file.note.incarnation != self.incarnation || !self.streams[at].file.known {
            let name = self.streams[at].name.clone();
            self.streams[at].file = self.note(&name)?;
            self.streams[at].file.known = true;
        }
        Ok(())
    }

    /// Removes a stream's rows and loads it again from its start, at the next steps.
    pub fn reload(&mut self, name: &str) -> Result<(), LoadError> {
        for (stream, shown) in
            self.streams.iter_mut().zip(lock(&self.status).iter_mut()).filter(|(s, _)| s.name == name)
        {
            // From this moment on nothing of it counts as loaded: whoever compares reports with the ledger waits.
            shown.loaded = STREAM_START;
            // Without a note the next step removes the rows before it loads; a crash at any point leads there too.
            stream.file.remove()?;
            stream.positioned = false;
        }
        Ok(())
    }
}

impl Stream {
    /// Booked frames up to the limit: none until they fill a range or have waited long enough.
    fn gather(&mut self, limit: Position, rows_max: usize, wait: Duration) -> Result<Vec<FrameCalls>, LoadError> {
        while self.held_rows < rows_max {
            let frame = match self.ahead.take() {
                Some(frame) => frame,
                None => {
                    let mut frame = self.spare.pop().unwrap_or_default();
                    frame.calls.clear();
                    frame.gone.clear();
                    if !self.frames.next(&mut frame, Duration::ZERO).map_err(|e| named(&self.name, e))? {
                        self.spare.push(frame);
                        break;
                    }
                    frame
                }
            };
            // Whole frames only; the ledger books whole frames soon enough.
            if (Position { seq: frame.seq + 1, index: 0 }) > limit {
                self.ahead = Some(frame);
                break;
            }
            self.held_since.get_or_insert_with(Instant::now);
            self.held_rows += frame.calls.iter().map(|(_, c)| c.call.attempts.len().max(1)).sum::<usize>();
            self.held_rows += frame.gone.len() * 2;
            self.held.push(frame);
        }
        if self.held_rows >= rows_max || self.held_since.is_some_and(|since| since.elapsed() >= wait) {
            (self.held_rows, self.held_since) = (0, None);
            return Ok(std::mem::take(&mut self.held));
        }
        Ok(Vec::new())
    }

    /// Keeps the memory of a few frames for the next ones.
    fn keep(&mut self, mut frames: Vec<FrameCalls>) {
        frames.truncate(8);
        for frame in &mut frames {
            frame.calls.clear();
        }
        self.spare = frames;
    }

    /// The frames of a noted range.
    fn gather_exactly(&mut self, to: Position) -> Result<Vec<FrameCalls>, LoadError> {
        let mut frames: Vec<FrameCalls> = Vec::new();
        while frames.last().is_none_or(|f| f.seq + 1 < to.seq) {
            let mut frame = FrameCalls::default();
            let came = self.frames.next_noted(&mut frame, Duration::from_secs(5)).map_err(|e| named(&self.name, e))?;
            let found = if came { frame.seq } else { frames.last().map_or(0, |f| f.seq) };
            if !came || frame.seq >= to.seq {
                return Err(LoadError::RangeChanged { stream: self.name.clone(), wanted: to, found });
            }
            frames.push(frame);
        }
        Ok(frames)
    }
}

fn named(stream: &str, source: FramesError) -> LoadError {
    LoadError::Frames { stream: stream.to_owned(), source }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn lock(status: &Status) -> std::sync::MutexGuard<'_, Vec<LoadStatus>> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}
