//! A site for tests: an embedded bus in a temporary folder, raters that write what they are given, a configuration,
//! and a bus that fails when told to.

use accounting::sample::{late, priced, provisional, rated, run as rerated};
use bus::stream::{FrameParts, StreamError, StreamWriter};
use bus::{Appended, Bus, BusError, EmbeddedBus, EmbeddedConfig, Layer, Record, Ticket, Writer};
use facts::config::{Account, Config};
use facts::xdr::{Position, RatedCall};
use facts::{Currency, xdr::XdrItem};
use schemas::SchemaIds;
use schemas::frame::FrameBuilder;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{ConfigNow, Door, LedgerError, LedgerOptions, LedgerView, Status, spawn};

pub fn ids() -> SchemaIds {
    SchemaIds::default()
}

/// Of a frame that a ledger's own process did not write.
pub fn smuggled() -> FrameParts {
    FrameParts {
        item_schema: schemas::ledger::ITEMS,
        config_seq: 3,
        fold_version: accounting::FOLD_VERSION,
        inputs: Default::default(),
        floor: None,
        clock: None,
        wall_micros: 1,
    }
}

pub fn at(seq: u64, index: u32) -> Position {
    Position { seq, index }
}

pub fn embedded(folder: &Path) -> Arc<dyn Bus> {
    let config = EmbeddedConfig { segment_bytes: 4 << 20, write_ahead_bytes: 0, ..EmbeddedConfig::new(folder) };
    Arc::new(EmbeddedBus::open(config).unwrap())
}

/// acme is postpaid, pre is prepaid, carrier-x and carrier-y are vendors.
pub fn config() -> ConfigNow {
    let mut config = Config { seq: 3, ..Config::default() };
    for (id, prepaid) in [("acme", false), ("pre", true), ("carrier-x", false), ("carrier-y", false)] {
        let account = Account {
            id: id.into(),
            carrier: id.into(),
            currency: Currency::new("EUR").unwrap(),
            prepaid,
            credit_limit: "100".parse().unwrap(),
            reseller: "".into(),
            unidentified: false,
        };
        config.accounts.insert(id.into(), account);
    }
    let config = Arc::new(config);
    Arc::new(move || config.clone())
}

pub fn options(bus: Arc<dyn Bus>, data_dir: &Path) -> LedgerOptions {
    let mut options = LedgerOptions::new(bus, "main", 2, config(), data_dir.to_path_buf());
    options.certificate_frames = 3;
    options.idle_frame = Duration::from_secs(3600);
    options.owner = format!("test {:?} {}", std::thread::current().id(), crate::run::wall_micros());
    options
}

/// What raters write: frames of calls, by partition.
pub type Frames = Vec<(u32, Vec<RatedCall>)>;

/// Two partitions, late truth, a run, a refused run, repeats, free and provisional calls, calls that span frames.
pub fn busy_site() -> Frames {
    let call = |n: u32| {
        let account = if n.is_multiple_of(3) { "pre" } else { "acme" };
        rated(&format!("c{n}"), (account, "0.125"), &[("carrier-x", "0.07"), ("carrier-y", "0")])
    };
    let mut frames: Frames = Vec::new();
    for frame in 0..4u32 {
        let calls = (0..5).map(|n| call(frame * 10 + n)).collect();
        frames.push((0, calls));
        let other = (0..3).map(|n| rated(&format!("p{frame}-{n}"), ("acme", "1.5"), &[])).collect();
        frames.push((1, other));
    }
    frames.push((0, vec![provisional(rated("u1", ("unidentified", "9"), &[]), 0, "9"), priced(call(70), 0, "0")]));
    // Frame 6 of partition 0: late truth for a call of frame 1, and the run that comes too late for it.
    let truth = late(priced(call(1), 0, "0.25"), 1, at(1, 1));
    let run_of_old = rerated(priced(call(1), 0, "0.5"), 9, at(1, 1));
    let run_of_current = rerated(priced(call(2), 0, "0.5"), 9, at(1, 2));
    frames.push((0, vec![truth.clone(), run_of_old, run_of_current]));
    // A repeat of late truth, a first revision again, its true account for the unidentified call, a quiet revision.
    frames.push((
        0,
        vec![truth, call(3), late(rated("u1", ("acme", "0.4"), &[]), 2, at(5, 0)), late(call(4), 3, at(1, 4))],
    ));
    // The same call twice in one frame.
    frames.push((1, vec![rated("twice", ("acme", "2"), &[]), late(rated("twice", ("acme", "3"), &[]), 4, at(5, 0))]));
    frames
}

/// Writes frames as the raters of the site would. Returns how far each partition is.
pub fn rate(bus: &dyn Bus, frames: &Frames) -> Vec<(String, Position)> {
    let mut ends = Vec::new();
    for partition in 0..2u32 {
        let stream = format!("xdrs.main.{partition}");
        let mut writer =
            StreamWriter::claim::<StreamError>(bus, &ids(), &stream, "rater", None, 1, &mut |_| Ok(())).unwrap();
        for (_, calls) in frames.iter().filter(|(p, _)| *p == partition) {
            let mut builder = FrameBuilder::new();
            for call in calls {
                builder.push(|public, private| schemas::xdrs::encode_call(call, public, private)).unwrap();
            }
            // Items that are no calls stand in between.
            let mark = XdrItem::SourceMark { switch: "sw1".into(), occurred_until: Default::default(), declared: true };
            builder.push(|public, private| schemas::xdrs::encode_item(&mark, public, private)).unwrap();
            let parts = FrameParts {
                item_schema: schemas::xdrs::ITEMS,
                config_seq: 1,
                fold_version: 1,
                inputs: Default::default(),
                floor: None,
                clock: None,
                wall_micros: 1_000_000,
            };
            writer.append(&mut builder, parts).unwrap();
        }
        let last = writer.settle().unwrap();
        ends.push((stream, at(last + 1, 0)));
    }
    ends
}

/// A running ledger.
pub struct Running {
    pub door: Door,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), LedgerError>>>,
}

impl Running {
    pub fn start(options: LedgerOptions) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (door, thread) = spawn(options, stop.clone()).unwrap();
        Self { door, stop, thread: Some(thread) }
    }

    /// Waits until all of `ends` is booked and gives the status then.
    pub fn booked(&self, ends: &[(String, Position)]) -> Status {
        for (stream, next) in ends {
            let booked = self.door.view.wait_booked(stream, *next, Duration::from_secs(20));
            assert!(booked, "{stream} is booked up to {:?}", self.door.view.status());
        }
        self.door.view.status().unwrap()
    }

    pub fn stop(mut self) -> Result<(), LedgerError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits for the thread to end by itself.
    pub fn end(mut self) -> Result<(), LedgerError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// When and how writing to the ledger's topic fails.
pub struct Fault {
    /// Submits that still succeed.
    pub left: AtomicI64,
    /// The failing record is in the log all the same (killed before the answer).
    pub lands: bool,
    /// The error is one that passes (disk full); it fails once.
    pub passing: bool,
}

/// A bus whose ledger topic fails.
pub struct Failing {
    pub inner: Arc<dyn Bus>,
    pub fault: Arc<Fault>,
}

struct FailingWriter {
    inner: Box<dyn Writer>,
    fault: Arc<Fault>,
}

impl Writer for FailingWriter {
    fn submit(&mut self, partition: u32, records: &[Record<'_>]) -> Result<Ticket, BusError> {
        let left = self.fault.left.fetch_sub(1, Ordering::Relaxed);
        if left > 0 || (self.fault.passing && left < 0) {
            return self.inner.submit(partition, records);
        }
        if self.fault.lands {
            let ticket = self.inner.submit(partition, records)?;
            while self.inner.wait(ticket, Duration::from_secs(1))?.is_none() {}
        }
        if self.fault.passing {
            return Err(BusError::NoSpace { path: "ledger".into(), reason: "test".into() });
        }
        Err(BusError::Stopped)
    }

    fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<Option<Appended>, BusError> {
        self.inner.wait(ticket, timeout)
    }
}

impl Layer for Failing {
    fn inner(&self) -> &dyn Bus {
        &*self.inner
    }

    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError> {
        let inner = self.inner.writer(topic)?;
        if !topic.starts_with("ledger.") {
            return Ok(inner);
        }
        Ok(Box::new(FailingWriter { inner, fault: self.fault.clone() }))
    }
}
