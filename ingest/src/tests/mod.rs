//! What a carrier would fear of ingest: a call counted twice or not at all, a file read while it is written, an answer
//! for something that a crash then loses. All on the real embedded bus; only its absence is simulated.

mod collectors;
mod http;
mod shared_data;

use crate::*;
use bus::{Batch, BusError, BusHealth, EmbeddedBus, EmbeddedConfig, Layer, Record, Ticket};
use facts::call::{BusRecord, CallEvent, ImportEnd, Reject};
use std::path::Path;
use std::time::SystemTime;

pub const YETI: &[u8] = include_bytes!("../../../tests/fixtures/yeti_cdr_events.jsonl");

/// A real embedded bus that can be out of reach.
pub struct Moody {
    inner: EmbeddedBus,
    away: Arc<AtomicBool>,
}

impl Moody {
    pub fn open(folder: &Path) -> Arc<Self> {
        let config =
            EmbeddedConfig { segment_bytes: 8 << 20, write_ahead_bytes: 0, ..EmbeddedConfig::new(folder.join("bus")) };
        let inner = EmbeddedBus::open(config).unwrap();
        Arc::new(Self { inner, away: Arc::new(AtomicBool::new(false)) })
    }

    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}

fn gone<T>() -> Result<T, BusError> {
    Err(BusError::Away { what: "produce".into(), reason: "all brokers are down".into() })
}

struct MoodyWriter(Box<dyn bus::Writer>, Arc<AtomicBool>);

impl bus::Writer for MoodyWriter {
    fn submit(&mut self, partition: u32, records: &[Record<'_>]) -> Result<Ticket, BusError> {
        if self.1.load(Ordering::SeqCst) { gone() } else { self.0.submit(partition, records) }
    }
    fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<Option<bus::Appended>, BusError> {
        self.0.wait(ticket, timeout)
    }
}

impl Layer for Moody {
    fn inner(&self) -> &dyn Bus {
        &self.inner
    }

    fn writer(&self, topic: &str) -> Result<Box<dyn bus::Writer>, BusError> {
        Ok(Box::new(MoodyWriter(self.inner.writer(topic)?, Arc::clone(&self.away))))
    }

    fn health(&self) -> BusHealth {
        if self.away.load(Ordering::SeqCst) {
            return BusHealth::Away { since: SystemTime::now(), why: "all brokers are down".into() };
        }
        self.inner.health()
    }
}

/// Everything that stands on `call-events`, partition by partition.
#[derive(Default)]
pub struct OnBus {
    pub events: Vec<(u32, CallEvent)>,
    pub rejects: Vec<(u32, Reject)>,
    pub ends: Vec<(u32, ImportEnd)>,
    pub ticks: Vec<u32>,
    pub marks: Vec<u32>,
}

pub fn on_bus(bus: &dyn Bus) -> OnBus {
    let mut all = OnBus::default();
    let mut batch = Batch::new();
    for partition in 0..bus.partitions(writer::TOPIC).unwrap().unwrap() {
        let (from, to) = (bus.begin(writer::TOPIC, partition).unwrap(), bus.end(writer::TOPIC, partition).unwrap());
        let mut reader = bus.reader(writer::TOPIC, partition, from).unwrap();
        while reader.position() < to {
            reader.poll(&mut batch, 1 << 20, Duration::from_secs(1)).unwrap();
            for record in batch.iter() {
                match schemas::bus_record::decode(record.value, &SchemaIds::default()).unwrap() {
                    BusRecord::Event(event) => all.events.push((partition, *event)),
                    BusRecord::Reject(reject) => all.rejects.push((partition, *reject)),
                    BusRecord::ImportEnd(end) => all.ends.push((partition, end)),
                    BusRecord::Tick { .. } => all.ticks.push(partition),
                    BusRecord::SourceMark { .. } => all.marks.push(partition),
                    BusRecord::Incarnation(_) => {}
                }
            }
        }
    }
    all
}

pub fn switch(id: &str, format: &str, zone: &str) -> Switch {
    Switch {
        id: id.into(),
        format: format.into(),
        id_domain: Default::default(),
        time_zone: zone.into(),
        options: Default::default(),
    }
}

pub fn switches() -> SwitchLookup {
    Arc::new(|id| match id {
        "yeti-1" => Some(switch("yeti-1", "yeti", "")),
        "pbx-1" => Some(switch("pbx-1", "asterisk", "Europe/Vienna")),
        "fs-1" => Some(switch("fs-1", "freeswitch", "")),
        "edge-1" => Some(switch("edge-1", "tandem", "")),
        _ => None,
    })
}

pub fn options(folder: &Path) -> IngestOptions {
    let mut writer = WriterOptions::new("node-1", 3, &folder.join("ingest"));
    writer.patience = Duration::from_millis(300);
    IngestOptions { writer, raw: folder.join("raw"), drop: vec![], switch_events: vec![], switches: switches() }
}

pub fn start(folder: &Path) -> (Arc<Moody>, Ingest) {
    let bus = Moody::open(folder);
    let ingest = Ingest::start(bus.clone(), options(folder)).unwrap();
    (bus, ingest)
}

/// Waits for something that other threads do, at most so long that a loaded machine manages.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("not within 15 s: {what}");
}
