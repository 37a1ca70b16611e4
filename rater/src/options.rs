//! What a rater is started with, what it shows while it runs, and what can stop it.

use crate::index::{IndexError, UNWRITTEN_MAX};
use bus::stream::{FrameError, StreamError};
use bus::{Bus, BusError};
use facts::config::Config;
use facts::xdr::Unrated;
use schemas::{DecodeError, SchemaIds};
use smol_str::SmolStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The configuration in force now, as the process follows it.
pub type ConfigNow = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Name of the topic that raters read.
pub const TOPIC: &str = "call-events";

/// What a partition's rater is started with.
#[derive(Clone)]
pub struct RaterOptions {
    pub bus: Arc<dyn Bus>,
    pub ids: SchemaIds,
    pub site: SmolStr,
    pub partition: u32,
    pub config: ConfigNow,
    /// Who claims the stream: host, process, start.
    pub owner: String,
    pub topic: SmolStr,
    /// An empty frame after so long without another.
    pub idle_frame: Duration,
    /// A `RaterState` item after so many frames, or so long.
    pub state_frames: u64,
    pub state_every: Duration,
    /// Bytes asked of the log at once.
    pub poll_bytes: usize,
    /// How long to wait for new records before looking around.
    pub poll_wait: Duration,
    /// Folder for the partitions' indexes of calls and keys, one folder each; `None` = all in memory, made anew at each
    /// start.
    pub index: Option<PathBuf>,
    /// Entries of one kind that stay in memory before they are written to files.
    pub index_unwritten: usize,
    /// Records below this offset were lost with a disk: events of calls that were open then are not there to be read
    /// again. 0 = none.
    pub lost_before: u64,
}

impl RaterOptions {
    /// The settings of design 6.2 and 7.1.
    pub fn new(
        bus: Arc<dyn Bus>,
        ids: SchemaIds,
        site: &str,
        partition: u32,
        config: ConfigNow,
        owner: String,
    ) -> Self {
        Self {
            bus,
            ids,
            site: site.into(),
            partition,
            config,
            owner,
            topic: TOPIC.into(),
            idle_frame: Duration::from_secs(5),
            state_frames: 1_000,
            state_every: Duration::from_secs(60),
            poll_bytes: 1 << 20,
            poll_wait: Duration::from_millis(50),
            index: None,
            index_unwritten: UNWRITTEN_MAX,
            lost_before: 0,
        }
    }

    /// `xdrs.SITE.P`.
    pub fn stream(&self) -> String {
        format!("xdrs.{}.{}", self.site, self.partition)
    }

    /// Folder of this partition's index.
    pub(crate) fn index_folder(&self) -> Option<PathBuf> {
        self.index.as_ref().map(|folder| folder.join(self.stream()))
    }

    /// What a reject names as its source where a record of the log itself was passed over.
    pub(crate) fn source(&self) -> SmolStr {
        format!("{}/{}", self.topic, self.partition).into()
    }
}

/// Why a rater stopped.
#[derive(Debug, thiserror::Error)]
pub enum RaterError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Read(FrameError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("{stream} frame {seq}: {source}; the log is damaged or was written by a newer Tandem")]
    Frame { stream: SmolStr, seq: u64, source: DecodeError },
    #[error("{stream} frame {seq} item {index} is not there; the log is damaged, run `tandem ledger verify`")]
    Missing { stream: SmolStr, seq: u64, index: u32 },
    #[error(
        "{topic}/{partition} is not the log that {stream} was made from (its incarnation differs); stop, restore \
         the topic from a copy with its first record, start again"
    )]
    WrongLog { topic: SmolStr, partition: u32, stream: SmolStr },
}

impl From<FrameError> for RaterError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Bus(error) => Self::Bus(error),
            other => Self::Read(other),
        }
    }
}

impl RaterError {
    /// True where the same may succeed later without anybody's help but the operator's.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Bus(error) | Self::Stream(StreamError::Bus(error)) => error.is_retriable(),
            Self::Index(_) => true,
            _ => false,
        }
    }

    /// True where the bus is being stopped: an ordinary end.
    pub(crate) fn is_stop(&self) -> bool {
        matches!(self, Self::Bus(BusError::Stopped) | Self::Stream(StreamError::Bus(BusError::Stopped)))
    }
}

/// Counters of one partition since its rater started, for people: what is done again after a trouble counts again here.
/// Figures of record stand in frames.
#[derive(Debug, Default)]
pub struct RaterStats {
    rated_to: AtomicU64,
    seq: AtomicU64,
    pub calls: AtomicU64,
    pub answered: AtomicU64,
    pub xdrs: AtomicU64,
    /// xDRs without a price, by the order of [`Unrated::ALL`].
    pub unrated: [AtomicU64; 9],
    pub provisional: AtomicU64,
    pub redelivered: AtomicU64,
    pub repeated: AtomicU64,
    pub conflicts: AtomicU64,
    /// Late events, and those that made a revision.
    pub late: AtomicU64,
    pub revised: AtomicU64,
    pub suspended: AtomicU64,
    pub rejects: AtomicU64,
    /// Records that are no Avro of ours, or that stand in the wrong partition.
    pub unreadable: AtomicU64,
    pub misplaced: AtomicU64,
    /// Sequences of our own nodes that never came.
    pub gaps: AtomicU64,
    pub open_calls: AtomicU64,
    /// Running maximum of ObservedAt, microseconds; 0 before the first record.
    pub clock: AtomicI64,
    /// Recovered, claimed and working.
    pub working: AtomicBool,
    trouble: Mutex<Option<(SystemTime, String)>>,
    rival: Mutex<Option<Rival>>,
}

/// Another rater of the same partition, which claimed the stream while this one worked.
#[derive(Debug, Clone)]
struct Rival {
    owner: SmolStr,
    since: SystemTime,
    last: Instant,
}

/// Two that take turns meet every 12 s; after so long without the other there is one again.
const RIVAL_GONE: Duration = Duration::from_secs(30);

/// A copy of the counters that matter most, for pages and commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub calls: u64,
    pub answered: u64,
    pub xdrs: u64,
    pub unrated: Vec<(Unrated, u64)>,
    pub repeated: u64,
    pub conflicts: u64,
    pub revised: u64,
    pub suspended: u64,
    pub open_calls: u64,
    pub trouble: Option<String>,
}

impl RaterStats {
    /// Offset up to which everything that events gave is durable, and the sequence of the last durable frame.
    pub fn progress(&self) -> (u64, u64) {
        (self.rated_to.load(Ordering::Acquire), self.seq.load(Ordering::Acquire))
    }

    /// What is wrong now, in words; `None` while all is well.
    pub fn trouble(&self) -> Option<String> {
        self.trouble_since().map(|(_, what)| what)
    }

    /// The same with its beginning.
    pub fn trouble_since(&self) -> Option<(SystemTime, String)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who else owns this partition now, and since when that has been seen. They take turns: every claim ends the
    /// other's, no figure changes, and both do little else than read their log again.
    pub fn rival(&self) -> Option<(SystemTime, SmolStr)> {
        let rival = self.rival.lock().unwrap_or_else(PoisonError::into_inner).clone();
        rival.filter(|rival| rival.last.elapsed() < RIVAL_GONE).map(|rival| (rival.since, rival.owner))
    }

    pub(crate) fn met_rival(&self, owner: &SmolStr) {
        let mut rival = self.rival.lock().unwrap_or_else(PoisonError::into_inner);
        let still = rival.as_ref().filter(|rival| rival.last.elapsed() < RIVAL_GONE).map(|rival| rival.since);
        let since = still.unwrap_or_else(SystemTime::now);
        *rival = Some(Rival { owner: owner.clone(), since, last: Instant::now() });
    }

    pub fn seen(&self) -> Seen {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen {
            calls: get(&self.calls),
            answered: get(&self.answered),
            xdrs: get(&self.xdrs),
            unrated: Unrated::ALL.into_iter().zip(self.unrated.iter().map(get)).filter(|(_, n)| *n > 0).collect(),
            repeated: get(&self.repeated),
            conflicts: get(&self.conflicts),
            revised: get(&self.revised),
            suspended: get(&self.suspended),
            open_calls: get(&self.open_calls),
            trouble: self.trouble(),
        }
    }

    pub(crate) fn set_progress(&self, rated_to: u64, seq: u64) {
        // The sequence first: who sees the offset must see the frames that belong to it.
        self.seq.store(seq, Ordering::Release);
        self.rated_to.store(rated_to, Ordering::Release);
    }

    pub(crate) fn set_trouble(&self, what: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let since = trouble.as_ref().map_or_else(SystemTime::now, |(since, _)| *since);
        *trouble = what.map(|what| (since, what));
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
