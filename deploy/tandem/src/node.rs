//! One process of Tandem: the bus it owns or talks to, the configuration it follows, and the roles it runs, each on
//! threads of its own. `up`, the single roles, the demo and the one-shot commands all start a node.

mod starter;

pub(crate) use starter::Starter;

use crate::engine;
use crate::health::{Noticed, RoleEnded};
use crate::output::{Failure, note};
use crate::past;
use crate::peers::{self, Other};
use crate::radius;
use crate::records::Records;
use crate::registry;
use crate::runs::{self as run_orders, RunsHub};
use crate::settings::{EngineKind, Settings};
use crate::xdr_out;
use bus::Bus;
use bus::config_log::{self, ConfigFollower};
use facts::config::{Config, ConfigItem};
use ingest::Ingest;
use ledger::{Orders, Refold, Standing, View};
use rater::RaterStats;
use reporting::Engine;
use schemas::SchemaIds;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub mod open;

pub use open::{kafka_config, open_bus};

/// Which roles a node runs.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    pub ingest: bool,
    /// Collectors (drop folders, topics) too, not only the writer.
    pub collect: bool,
    /// Partitions to rate; `None` = no rater.
    pub rater: Option<Vec<u32>>,
    pub ledger: bool,
    pub loader: bool,
    /// Open the reporting engine, with or without a loader.
    pub engine: bool,
    /// Follow the xdrs streams for imports and rejects.
    pub records: bool,
    /// Keep the index over the past of accounts up to date; where not, the first question does.
    pub past: bool,
    /// Publish priced sides on the topic of the settings.
    pub xdr_out: bool,
    /// Exchange with the other sites, where the settings name any.
    pub sites: bool,
    /// Speak RADIUS where the settings say so; beside the ledger.
    pub radius: bool,
}

impl Roles {
    /// Everything in one process.
    pub fn all(settings: &Settings) -> Self {
        let xdr_out = settings.xdr_out.is_some();
        Self {
            collect: true,
            records: true,
            sites: true,
            past: true,
            xdr_out,
            radius: true,
            ..Self::pipeline(settings)
        }
    }

    /// All that brings an imported file to balances and reports.
    pub fn pipeline(settings: &Settings) -> Self {
        Self {
            ingest: true,
            collect: false,
            rater: Some((0..settings.partitions).collect()),
            ledger: true,
            loader: settings.engine.kind != EngineKind::None,
            engine: settings.engine.kind != EngineKind::None,
            records: true,
            past: false,
            xdr_out: false,
            sites: false,
            radius: false,
        }
    }
}

/// The configuration in force, followed by a thread.
pub struct ConfigHub {
    follower: Mutex<ConfigFollower>,
    current: RwLock<Arc<Config>>,
}

impl ConfigHub {
    pub fn current(&self) -> Arc<Config> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn poll(&self) -> Result<(), config_log::ConfigError> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        if follower.poll(Duration::from_millis(20))? {
            self.show(&follower);
        }
        Ok(())
    }

    /// What has been read is in force here from now on.
    fn show(&self, follower: &ConfigFollower) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = follower.current();
    }

    /// Who claimed the log last.
    pub fn owner(&self) -> smol_str::SmolStr {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner).stream().owner().clone()
    }

    /// The same, once all that the log holds now is read.
    pub fn owner_now(&self, bus: &dyn Bus) -> Result<smol_str::SmolStr, config_log::ConfigError> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        if follower.catch_up(bus)? {
            self.show(&follower);
        }
        Ok(follower.stream().owner().clone())
    }

    pub fn history(&self) -> Vec<config_log::Version> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner).history().to_vec()
    }
}

/// A running process: what its roles share, and their threads.
pub struct Running {
    pub node: Arc<Node>,
    threads: Vec<JoinHandle<()>>,
}

/// What the roles of a process share, and whoever asks it.
pub struct Node {
    pub settings: Settings,
    pub bus: Arc<dyn Bus>,
    pub ids: SchemaIds,
    pub config: Arc<ConfigHub>,
    pub ingest: Option<Arc<Ingest>>,
    pub view: Arc<View>,
    /// Balances and entries of any time.
    pub past: Arc<past::Slot>,
    /// The second fold of the ledger, where this process writes it and goes on.
    pub refold: Option<Arc<Refold>>,
    pub orders: Option<Orders>,
    /// Partition and counters of each rater of this process.
    pub raters: Vec<(u32, Arc<RaterStats>)>,
    pub engine: Result<Engine, String>,
    /// Whether this process was to have an engine.
    pub wants_engine: bool,
    pub loading: Option<reporting::loader::Status>,
    pub records: Arc<Records>,
    pub xdr_out: Option<Arc<xdr_out::Status>>,
    pub runs: Arc<RunsHub>,
    /// The exchange with other sites, in the process that has it.
    pub sites: Option<Arc<sites::Sites>>,
    /// Other sites, as their streams held here tell them.
    pub others: Vec<Arc<Other>>,
    /// Whether this site takes new calls.
    pub standing: Arc<Standing>,
    pub radius: Option<Arc<radius::Door>>,
    /// Set when the process is to stop.
    pub stop: Arc<AtomicBool>,
    /// Roles that have ended with an error.
    failures: Arc<Mutex<Vec<RoleEnded>>>,
    /// Since when parts are in trouble that keep no time themselves.
    pub noticed: Noticed,
    /// Calls rated when the rate was last asked for.
    pub sampled: Mutex<Option<(Instant, u64)>>,
}

/// Who this process is, in words for people; also who claims streams.
pub fn owner() -> String {
    static OWNER: OnceLock<String> = OnceLock::new();
    let make = || {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let began = facts::time::rfc3339(wall_micros() / 1_000_000 * 1_000_000);
        format!("pid {} on {} since {began}", std::process::id(), host.trim())
    };
    OWNER.get_or_init(make).clone()
}

/// The wall clock, microseconds.
pub fn wall_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Running {
    /// Opens folder, bus, configuration and engine, and starts the roles.
    pub fn start(settings: &Settings, roles: &Roles) -> Result<Self, Failure> {
        std::fs::create_dir_all(&settings.data)
            .map_err(|e| Failure::Broken(format!("data folder {}: {e}", settings.data.display())))?;
        let ids = registry::schema_ids(settings.schema_registry.as_ref()).map_err(Failure::Broken)?;
        let standing = peers::back::prepare(settings, roles, &ids)?;
        let raw = open_bus(settings, &ids)?;
        let bus = peers::guarded(settings, &raw);
        open::ensure_topics(&*bus, settings)?;
        let follower = ConfigFollower::open(&*bus, &ids).map_err(Failure::broken)?;
        let current = RwLock::new(follower.current());
        let config = Arc::new(ConfigHub { follower: Mutex::new(follower), current });
        let runs = Arc::new(RunsHub::open(bus.clone(), &ids, &settings.site)?);
        let stop = Arc::new(AtomicBool::new(false));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let mut starter = Starter {
            settings,
            bus: &bus,
            ids: &ids,
            config: &config,
            stop: &stop,
            failures: &failures,
            standing: &standing,
            threads: Vec::new(),
        };
        starter.follow_config();
        let sites = peers::exchange(settings, roles, raw, &ids, &standing)?;
        let looks = roles.ledger || roles.engine || roles.records;
        let others = if looks { starter.others()? } else { Vec::new() };
        let ingest = if roles.ingest { Some(starter.ingest(roles.collect)?) } else { None };
        let raters = match &roles.rater {
            Some(partitions) => starter.raters(partitions)?,
            None => Vec::new(),
        };
        let (view, orders) = if roles.ledger { starter.ledger(sites.as_ref())? } else { (starter.follower()?, None) };
        if roles.ledger {
            starter.runs(&runs, &view)?;
        }
        peers::tell(sites.as_deref(), &standing, &view);
        let engine = if roles.engine {
            engine::open(settings, true).map_err(|error| error.to_string())
        } else {
            Err("the reporting engine is turned off in this process".to_owned())
        };
        let loading = match &engine {
            Ok(engine) if roles.loader => {
                others.iter().try_for_each(|other| starter.other_loader(engine, other))?;
                Some(starter.loader(engine, &view, &runs)?)
            }
            _ => None,
        };
        let records = Arc::new(Records::default());
        if roles.records {
            starter.records(&records)?;
        }
        let xdr_out = match &settings.xdr_out {
            Some(topic) if roles.xdr_out => Some(starter.xdr_out(topic, &records)?),
            _ => None,
        };
        let radius = match (&settings.radius, &orders) {
            (Some(radius), Some(orders)) if roles.radius => Some(starter.radius(radius, orders, &view)?),
            _ => None,
        };
        let past = past::Slot::new(bus.clone(), ids.clone(), view.clone(), settings.data.clone());
        let slots: Vec<_> =
            std::iter::once(past.clone()).chain(others.iter().map(|other| other.past.clone())).collect();
        let refold = if roles.past { starter.past(&slots, orders.is_some())? } else { None };
        let threads = starter.threads;
        let node = Node {
            settings: settings.clone(),
            bus,
            ids,
            config,
            ingest,
            view,
            past,
            refold,
            orders,
            raters,
            engine,
            wants_engine: roles.engine,
            loading,
            records,
            xdr_out,
            runs,
            sites,
            others,
            standing,
            radius,
            stop,
            failures,
            noticed: Noticed::default(),
            sampled: Mutex::new(None),
        };
        let node = Arc::new(node);
        if roles.ledger {
            run_orders::serve(&node);
        }
        Ok(Self { node, threads })
    }

    /// Stops all roles, in the data's order, and waits for them. Returns what failed meanwhile, in words.
    pub fn stop(self) -> Vec<String> {
        if let Some(ingest) = &self.node.ingest {
            ingest.shared().writer.stop();
        }
        self.node.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            if thread.join().is_err() {
                note("a role ended in a panic; see above");
            }
        }
        let failures = self.node.failures();
        if let Some(sites) = &self.node.sites {
            sites.stop();
        }
        // Nothing of this process writes below the data folder once it has ended.
        if let Ok(engine) = &self.node.engine {
            engine.stop();
        }
        self.node.bus.stop();
        failures
    }
}

impl Node {
    /// Writes a configuration version; `items` come from a plan.
    pub fn publish(&self, items: &[ConfigItem], by: &str, comment: &str) -> Result<u64, Failure> {
        let mut follower = self.config.follower.lock().unwrap_or_else(PoisonError::into_inner);
        // Another site's claim may have come a moment ago, or another version than the one these items were made from.
        if follower.catch_up(&*self.bus).map_err(Failure::broken)? {
            self.config.show(&follower);
            return Err(Failure::broken(config_log::ConfigError::Meanwhile));
        }
        peers::may_follow(&self.settings, follower.stream().owner())?;
        let owner = peers::config_owner(&self.settings);
        let author = config_log::Author { by, comment, owner: &owner, wall_micros: wall_micros() };
        let seq = config_log::publish(&*self.bus, &mut follower, items, author).map_err(Failure::broken)?;
        self.config.show(&follower);
        Ok(seq)
    }

    /// Takes the writing of the configuration over from another site; returns the epoch of the claim.
    pub fn take_config(&self, by: &str) -> Result<u64, Failure> {
        let mut follower = self.config.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = format!("{}, by order of {by}", peers::config_owner(&self.settings));
        config_log::take_over(&*self.bus, &mut follower, &owner, wall_micros()).map_err(Failure::broken)
    }

    /// The site at which configuration is written.
    pub fn config_site(&self) -> String {
        peers::config_site(&self.settings, &self.config.owner()).to_owned()
    }

    /// Roles that have ended with an error.
    pub fn ended(&self) -> Vec<RoleEnded> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, in words.
    pub fn failures(&self) -> Vec<String> {
        self.ended().iter().map(RoleEnded::to_string).collect()
    }

    /// Every record now on `call-events` is rated, booked and (where there is an engine) loaded. The target stands
    /// still: a rater's frame counts from the moment its partition's end was reached, idle frames after it do not.
    pub fn drain(&self, limit: Duration, seen: &mut dyn FnMut(&Lag)) -> Result<(), Failure> {
        let until = Instant::now() + limit;
        let ends = self.call_event_ends()?;
        let mut frames = vec![None; ends.len()];
        loop {
            if let Some(failure) = self.failures().first() {
                return Err(Failure::Broken(failure.clone()));
            }
            let lag = self.lag(&ends, &mut frames);
            seen(&lag);
            if lag.is_zero() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Failure::Broken(format!("still behind after {} s: {lag:?}", limit.as_secs())));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the records of the raters' streams, as they stand now, have been seen here.
    pub fn follow_records(&self, limit: Duration) -> Result<(), Failure> {
        let until = Instant::now() + limit;
        for partition in 0..self.settings.partitions as usize {
            let stream = xdrs_stream(&self.settings.site, partition);
            let end = self.bus.end(&stream, 0).map_err(Failure::broken)?;
            while self.records.reached(&stream) < end {
                if Instant::now() > until {
                    return Err(Failure::Broken(format!("{stream} cannot be followed to its end")));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Ends of the partitions of call-events.
    pub fn call_event_ends(&self) -> Result<Vec<u64>, Failure> {
        (0..self.settings.partitions)
            .map(|partition| self.bus.end(ingest::writer::TOPIC, partition).map_err(Failure::broken))
            .collect()
    }

    /// Records on `call-events` that are not rated, and frames of rated calls that are not booked, now.
    pub fn booking(&self) -> Result<u64, Failure> {
        let ends = self.call_event_ends()?;
        let lag = self.lag(&ends, &mut vec![None; ends.len()]);
        Ok(lag.events + lag.frames)
    }

    /// How far each stage is behind `ends`. `frames` keeps, per partition, the frame at which its end was reached.
    fn lag(&self, ends: &[u64], frames: &mut [Option<u64>]) -> Lag {
        let mut lag = Lag::default();
        let progress = self.view.progress();
        let loaded = self.loading.as_ref().map(|status| status.lock().unwrap_or_else(PoisonError::into_inner).clone());
        for (partition, (end, (_, rater))) in ends.iter().zip(&self.raters).enumerate() {
            let (rated_to, seq) = rater.progress();
            lag.events += end.saturating_sub(rated_to);
            if rated_to >= *end && frames[partition].is_none() {
                frames[partition] = Some(seq);
            }
            let target = frames[partition].unwrap_or(seq) + 1;
            let stream = xdrs_stream(&self.settings.site, partition);
            lag.frames += target.saturating_sub(progress.state.next_position(&stream).seq);
            if let Some(loaded) = &loaded {
                let at = loaded.iter().find(|s| s.stream == stream).map_or(0, |s| s.loaded.seq.max(1));
                lag.ranges += target.saturating_sub(at);
            }
        }
        self.runs.lag(&self.view, loaded.as_deref(), &mut lag);
        self.others.iter().for_each(|other| other.lag(&mut lag));
        lag
    }
}

/// What is not yet through each stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records not yet rated.
    pub events: u64,
    /// Frames of rated calls not yet booked.
    pub frames: u64,
    /// Booked frames not yet loaded.
    pub ranges: u64,
}

impl Lag {
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Name of a rater's stream.
pub fn xdrs_stream(site: &str, partition: usize) -> String {
    format!("xdrs.{site}.{partition}")
}
