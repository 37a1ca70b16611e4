//! One process of Tandem: the bus it owns or talks to, the configuration it follows, and the roles it runs, each on
//! threads of its own. `up`, the single roles, the demo and the one-shot commands all start a node.

use crate::authorise::Gate;
use crate::engine;
use crate::health::{Noticed, RoleEnded};
use crate::output::{Failure, note};
use crate::past;
use crate::radius::{self, settings::RadiusSettings};
use crate::records::Records;
use crate::registry;
use crate::runs::{LoaderRuns, RunsHub, RunsWorker};
use crate::settings::{EngineKind, Settings, XdrOutSettings};
use crate::xdr_out::{self, XdrOut};
use bus::Bus;
use bus::config_log::{self, ConfigFollower};
use facts::config::{Config, ConfigItem};
use ingest::{DropFolder, Ingest, IngestOptions, SwitchTopic, WriterOptions};
use ledger::{ConfigNow, Follower, LedgerOptions, Orders, View};
use rater::{RaterOptions, RaterStats};
use reporting::Engine;
use reporting::loader::{BusFrames, Loader};
use schemas::SchemaIds;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

mod open;

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
    /// Speak RADIUS where the settings say so; beside the ledger.
    pub radius: bool,
}

impl Roles {
    /// Everything in one process.
    pub fn all(settings: &Settings) -> Self {
        let xdr_out = settings.xdr_out.is_some();
        Self { collect: true, records: true, past: true, xdr_out, radius: true, ..Self::pipeline(settings) }
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
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = follower.current();
        }
        Ok(())
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
        let bus = open_bus(settings, &ids)?;
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
            threads: Vec::new(),
        };
        starter.follow_config();
        let ingest = if roles.ingest { Some(starter.ingest(roles.collect)?) } else { None };
        let raters = match &roles.rater {
            Some(partitions) => starter.raters(partitions)?,
            None => Vec::new(),
        };
        let (view, orders) = if roles.ledger { starter.ledger()? } else { (starter.follower()?, None) };
        if roles.ledger {
            starter.runs(&runs, &view)?;
        }
        let engine = if roles.engine {
            engine::open(settings, true).map_err(|error| error.to_string())
        } else {
            Err("the reporting engine is turned off in this process".to_owned())
        };
        let loading = match &engine {
            Ok(engine) if roles.loader => Some(starter.loader(engine, &view, &runs)?),
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
            (Some(radius), Some(orders)) if roles.radius => Some(starter.radius(radius, orders)?),
            _ => None,
        };
        let past = past::Slot::new(bus.clone(), ids.clone(), view.clone(), settings.data.clone());
        if roles.past {
            let past = past.clone();
            starter.spawn("past", move |stop| {
                past.run(stop);
                Ok(())
            })?;
        }
        let threads = starter.threads;
        let sampled = Mutex::new(None);
        let settings = settings.clone();
        let node = Node {
            settings,
            bus,
            ids,
            config,
            ingest,
            view,
            past,
            orders,
            raters,
            engine,
            wants_engine: roles.engine,
            loading,
            records,
            xdr_out,
            runs,
            radius,
            stop,
            failures,
            noticed: Noticed::default(),
            sampled,
        };
        Ok(Self { node: Arc::new(node), threads })
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
        self.node.bus.stop();
        failures
    }
}

impl Node {
    /// Writes a configuration version; `items` come from a plan.
    pub fn publish(&self, items: &[ConfigItem], by: &str, comment: &str) -> Result<u64, Failure> {
        let mut follower = self.config.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = owner();
        let author = config_log::Author { by, comment, owner: &owner, wall_micros: wall_micros() };
        let seq = config_log::publish(&*self.bus, &mut follower, items, author).map_err(Failure::broken)?;
        *self.config.current.write().unwrap_or_else(PoisonError::into_inner) = follower.current();
        Ok(seq)
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

/// Starts roles and keeps their threads.
struct Starter<'a> {
    settings: &'a Settings,
    bus: &'a Arc<dyn Bus>,
    ids: &'a SchemaIds,
    config: &'a Arc<ConfigHub>,
    stop: &'a Arc<AtomicBool>,
    failures: &'a Arc<Mutex<Vec<RoleEnded>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Starter<'_> {
    /// Runs `work` on a thread; its error is kept for the console and ends nothing else.
    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce(&AtomicBool) -> Result<(), String> + Send + 'static,
    ) -> Result<(), Failure> {
        let (stop, failures, role) = (self.stop.clone(), self.failures.clone(), name.to_owned());
        let body = move || {
            if let Err(why) = work(&stop) {
                tracing::error!(role, "{why}");
                let since = std::time::SystemTime::now();
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(RoleEnded { role, since, why });
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        self.threads.push(thread.map_err(|e| Failure::Broken(format!("thread {name}: {e}")))?);
        Ok(())
    }

    fn follow_config(&mut self) {
        let config = self.config.clone();
        let follow = move |stop: &AtomicBool| {
            while !stop.load(Ordering::Relaxed) {
                match config.poll() {
                    Ok(()) => {}
                    Err(error) if error.is_retriable() => {
                        tracing::warn!(%error, "the config log cannot be followed, trying again");
                        thread::sleep(Duration::from_millis(500));
                    }
                    Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
                    Err(error) => return Err(error.to_string()),
                }
                thread::sleep(Duration::from_millis(80));
            }
            Ok(())
        };
        // A thread that cannot be made is reported by the next role's start.
        let _ = self.spawn("config", follow);
    }

    fn config_now(&self) -> ConfigNow {
        let config = self.config.clone();
        Arc::new(move || config.current())
    }

    fn ingest(&mut self, collect: bool) -> Result<Arc<Ingest>, Failure> {
        let mut writer = WriterOptions::new(
            &format!("ingest-{}", self.settings.site),
            self.settings.partitions,
            &self.settings.data.join("ingest"),
        );
        writer.ids = self.ids.clone();
        let config = self.config.clone();
        let drop = self.settings.ingest.drop.iter().map(|d| DropFolder::new(&d.switch, &d.folder)).collect();
        let topics = &self.settings.ingest.switch_events;
        let options = IngestOptions {
            writer,
            raw: self.settings.data.join("raw"),
            drop: if collect { drop } else { Vec::new() },
            switch_events: if collect {
                topics
                    .iter()
                    .map(|t| SwitchTopic { topic: t.topic.clone(), switch: t.switch.as_str().into() })
                    .collect()
            } else {
                Vec::new()
            },
            switches: Arc::new(move |id| config.current().switches.get(id).cloned()),
        };
        let ingest = Arc::new(Ingest::start(self.bus.clone(), options).map_err(Failure::broken)?);
        let running = ingest.clone();
        self.spawn("ingest", move |stop| running.run(stop).map_err(|e| e.to_string()))?;
        Ok(ingest)
    }

    fn raters(&mut self, partitions: &[u32]) -> Result<Vec<(u32, Arc<RaterStats>)>, Failure> {
        let mut all = Vec::new();
        for partition in partitions {
            let stats = Arc::new(RaterStats::default());
            let mut options = RaterOptions::new(
                self.bus.clone(),
                self.ids.clone(),
                &self.settings.site,
                *partition,
                self.config_now(),
                owner(),
            );
            options.index = Some(self.settings.data.join("rater"));
            let shown = stats.clone();
            self.spawn(&format!("rater-{partition}"), move |stop| {
                rater::run_partition(options, stop, &shown).map_err(|e| e.to_string())
            })?;
            all.push((*partition, stats));
        }
        Ok(all)
    }

    fn ledger(&mut self) -> Result<(Arc<View>, Option<Orders>), Failure> {
        let mut options = LedgerOptions::new(
            self.bus.clone(),
            &self.settings.site,
            self.settings.partitions,
            self.config_now(),
            self.settings.data.join("ledger"),
        );
        options.ids = self.ids.clone();
        options.owner = owner();
        options.vendor_days = self.settings.credit.vendor_days;
        options.new_customers = Some(self.settings.credit.new_customers.clone());
        let (door, inbox) = ledger::door(&options);
        self.spawn("ledger", move |stop| ledger::run(&options, &inbox, stop).map_err(|e| e.to_string()))?;
        Ok((door.view, Some(door.orders)))
    }

    fn radius(&mut self, settings: &RadiusSettings, orders: &Orders) -> Result<Arc<radius::Door>, Failure> {
        let gate = Gate::new(self.config.clone(), orders.clone());
        let (door, sockets) = radius::Door::open(settings, gate).map_err(Failure::Broken)?;
        let served = door.clone();
        self.spawn("radius", move |stop| served.run(sockets, stop))?;
        Ok(door)
    }

    fn runs(&mut self, hub: &Arc<RunsHub>, view: &Arc<View>) -> Result<(), Failure> {
        let (hub, view, config) = (hub.clone(), view.clone(), self.config.clone());
        let worker = RunsWorker { hub, view, bus: self.bus.clone(), ids: self.ids.clone(), config };
        self.spawn("runs", move |stop| {
            worker.work(stop);
            Ok(())
        })
    }

    fn follower(&mut self) -> Result<Arc<View>, Failure> {
        let opened = Follower::open(self.bus.clone(), self.ids, &self.settings.site, self.config_now(), None);
        let (mut follower, view) = opened.map_err(Failure::broken)?;
        self.spawn("ledger-follower", move |stop| follower.run(stop).map_err(|e| e.to_string()))?;
        Ok(view)
    }

    fn records(&mut self, records: &Arc<Records>) -> Result<(), Failure> {
        for partition in 0..self.settings.partitions as usize {
            let stream = xdrs_stream(&self.settings.site, partition);
            let (bus, ids, records) = (self.bus.clone(), self.ids.clone(), records.clone());
            self.spawn(&format!("records-{partition}"), move |stop| records.follow(&*bus, &ids, &stream, stop))?;
        }
        Ok(())
    }

    fn xdr_out(&mut self, topic: &XdrOutSettings, records: &Arc<Records>) -> Result<Arc<xdr_out::Status>, Failure> {
        let (bus, ids) = (self.bus.clone(), self.ids.clone());
        let out = XdrOut::open(topic, &self.settings.data, bus, ids, records.clone())?;
        for partition in 0..self.settings.partitions as usize {
            let (out, stream) = (out.clone(), xdrs_stream(&self.settings.site, partition));
            self.spawn(&format!("xdr-out-{partition}"), move |stop| out.run(&stream, stop))?;
        }
        Ok(out.status)
    }

    fn loader(
        &mut self,
        engine: &Engine,
        view: &Arc<View>,
        runs: &Arc<RunsHub>,
    ) -> Result<reporting::loader::Status, Failure> {
        let site = self.settings.site.clone();
        let mut loader = Loader::open(engine, &site, &self.settings.data.join("loader")).map_err(Failure::broken)?;
        for partition in 0..self.settings.partitions as usize {
            let stream = xdrs_stream(&site, partition);
            let frames = BusFrames::new(self.bus.clone(), self.ids.clone(), &stream);
            loader.add(&stream, Box::new(frames)).map_err(Failure::broken)?;
        }
        let (hub, ids) = (runs.clone(), self.ids.clone());
        loader.follow(Box::new(LoaderRuns { hub, view: view.clone(), ids }));
        let status = loader.status();
        let view = view.clone();
        self.spawn("loader", move |stop| {
            let booked = |stream: &str| Some(view.progress().state.next_position(stream));
            loader.run(&booked, stop);
            Ok(())
        })?;
        Ok(status)
    }
}
