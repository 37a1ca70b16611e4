//! Runs over past calls in this process: the orders as they stand on `runs.SITE`, shared by the roles and whoever asks.
//! What a run comes to is `rating`'s, what of it is booked the ledger's.

mod far;
mod orders;
mod shown;
mod worker;

pub use far::{execute, serve, view};
pub use orders::{Choice, RunOp, inputs, list};
pub use worker::RunsWorker;

use crate::node::Lag;
use crate::output::Failure;
use bus::Bus;
use bus::run_log::{RunLog, RunLogError};
use bus::stream::{Places, StreamError, StreamReader};
use facts::run::{Run, RunOrder, RunPhase, Runs, run_stream, run_stream_prefix};
use facts::stream::Consumed;
use ledger::View;
use reporting::loader::{BusFrames, Frames, LoadStatus, PostedRun, RunStreams};
use reporting::reports::Cut;
use schemas::SchemaIds;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at the orders while somebody waits for a run.
const LOOK: Duration = Duration::from_millis(50);

/// The orders of the site's runs.
pub struct RunsHub {
    bus: Arc<dyn Bus>,
    site: String,
    log: Mutex<RunLog>,
    /// Why posting stands still, if so.
    trouble: Mutex<Option<String>>,
    /// Calls that the run being posted has gone over.
    done: AtomicU64,
    ids: SchemaIds,
    /// Where the frames of runs stand, of those that somebody asked for.
    places: Mutex<BTreeMap<String, (StreamReader, Places)>>,
}

impl RunsHub {
    pub fn open(bus: Arc<dyn Bus>, ids: &SchemaIds, site: &str) -> Result<Self, Failure> {
        let log = Mutex::new(RunLog::open(&*bus, ids, site).map_err(Failure::broken)?);
        let (trouble, done, places) = Default::default();
        Ok(Self { bus, site: site.to_owned(), log, trouble, done, ids: ids.clone(), places })
    }

    /// Why posting stands still in this process, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn log(&self) -> MutexGuard<'_, RunLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs as of now.
    pub fn now(&self) -> Result<Runs, RunLogError> {
        let mut log = self.log();
        while log.poll(Duration::ZERO)? {}
        Ok(log.runs().clone())
    }

    /// Offset of a frame of a run; `None`: it is no run's stream, or has no such frame (yet).
    pub fn place(&self, stream: &str, seq: u64) -> Result<Option<u64>, String> {
        match stream.starts_with(run_stream_prefix(&self.site).as_str()) {
            true => self.offset_in(stream, seq),
            false => Ok(None),
        }
    }

    /// Offset of a frame of any stream of rated calls; the first question reads the stream once. `None`: it is not there
    /// (yet).
    pub fn offset_in(&self, stream: &str, seq: u64) -> Result<Option<u64>, String> {
        if self.bus.partitions(stream).map_err(|error| error.to_string())?.is_none() {
            return Ok(None);
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (reader, places) = match places.entry(stream.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let reader = StreamReader::open(&*self.bus, &self.ids, stream).map_err(|error| error.to_string())?;
                new.insert((reader, Places::default()))
            }
        };
        if places.offset(seq).is_none() {
            let read = reader.catch_up::<StreamError>(&*self.bus, &mut |accepted| {
                places.note(accepted.frame.header.seq, accepted.offset);
                Ok(())
            });
            read.map_err(|error| error.to_string())?;
        }
        Ok(places.offset(seq))
    }

    /// Writes an order; what stands against it is said as a refusal.
    pub fn write(&self, order: &RunOrder) -> Result<(), RunLogError> {
        self.log().write(&*self.bus, order)
    }

    /// No run is being posted.
    pub fn is_settled(&self) -> Result<bool, Failure> {
        let runs = self.now().map_err(Failure::broken)?;
        Ok(runs.all().iter().all(|run| run.phase != RunPhase::Posting))
    }

    /// Waits until no run is being posted.
    pub fn settle(&self, limit: Duration) -> Result<(), Failure> {
        let until = Instant::now() + limit;
        while !self.is_settled()? {
            if Instant::now() > until {
                let wait = limit.as_secs();
                let why = format!("a run is still being posted after {wait} s; see `tandem rerate list`");
                return Err(Failure::Broken(why));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Adds what of the runs is not yet booked and loaded.
    pub fn lag(&self, view: &View, loaded: Option<&[LoadStatus]>, lag: &mut Lag) {
        // Orders that cannot be read are said by whoever writes or follows them.
        let Ok(runs) = self.now() else { return };
        let progress = view.progress();
        for run in runs.posted() {
            let booked = run.phase == RunPhase::Posted && progress.state.seq() >= run.done_seq;
            lag.frames += u64::from(!booked);
            if let Some(loaded) = loaded {
                let stream = run_stream(&self.site, run.id);
                let at = loaded.iter().find(|s| s.stream == stream.as_str()).map_or(1, |s| s.loaded.seq.max(1));
                lag.ranges += progress.state.next_position(&stream).seq.saturating_sub(at);
            }
        }
    }
}

/// Up to where the ledger has booked each run.
pub fn consumed_runs<'a>(site: &str, all: &'a [Consumed]) -> impl Iterator<Item = Cut> + use<'a> {
    let prefix = run_stream_prefix(site);
    all.iter().filter_map(move |one| match one {
        Consumed::Stream { stream, next } if stream.starts_with(prefix.as_str()) => {
            Some(Cut { stream: stream.to_string(), before: *next })
        }
        _ => None,
    })
}

/// What a loader asks about runs.
pub struct LoaderRuns {
    pub hub: Arc<RunsHub>,
    pub view: Arc<View>,
    pub ids: SchemaIds,
}

impl RunStreams for LoaderRuns {
    fn posted(&self) -> Option<Vec<PostedRun>> {
        let progress = self.view.progress();
        let runs = self.hub.now().map_err(|error| tracing::warn!(%error, "orders of runs cannot be read")).ok()?;
        let posted = |run: &&Run| {
            let input = |input: &facts::run::RunInput| (input.stream.to_string(), input.to);
            PostedRun {
                stream: run_stream(&self.hub.site, run.id).to_string(),
                inputs: run.plan.inputs.iter().map(input).collect(),
                done: run.phase == RunPhase::Posted && progress.state.seq() >= run.done_seq,
            }
        };
        let posted: Vec<PostedRun> = runs.posted().iter().map(posted).collect();
        let known = |cut: Cut| posted.iter().any(|run| run.stream == cut.stream);
        consumed_runs(&self.hub.site, progress.state.consumed()).all(known).then_some(posted)
    }

    fn frames(&self, stream: &str) -> Box<dyn Frames> {
        Box::new(BusFrames::new(self.hub.bus.clone(), self.ids.clone(), stream))
    }
}
