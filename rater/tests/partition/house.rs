//! A house for raters: an embedded bus in a temporary folder, a generated day with flaws, what was written in the end,
//! and a bus whose writers die.

use bus::embedded::{EmbeddedBus, EmbeddedConfig};
use bus::stream::StreamReader;
use bus::{Appended, Bus, BusError, Layer, Record, Ticket, TopicSpec, Writer, murmur2_partition};
use facts::call::{BusRecord, CallEvent};
use facts::config::{Config, ConfigItem, DeckRoot};
use facts::ids::{CallId, ImportId};
use facts::time::parse_rfc3339;
use facts::xdr::{ImportCount, RatedCall, Revision, Side, XdrItem};
use facts::{Amount, Unrated};
use rater::{ConfigNow, RaterOptions, RaterStats, run_partition};
use schemas::SchemaIds;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use traffic::{Flaws, Options, Scenario};

pub const TOPIC: &str = "call-events";
pub const PARTITIONS: u32 = 2;

pub fn scenario() -> &'static (Scenario, Arc<Config>) {
    static ONCE: OnceLock<(Scenario, Arc<Config>)> = OnceLock::new();
    ONCE.get_or_init(|| {
        let ground: Vec<_> = traffic::ground().unwrap().into_iter().step_by(12).collect();
        let day = parse_rfc3339("2025-11-18T15:00:00Z").unwrap();
        let options = Options { flaws: Flaws::many(), ..Options::new(11, 3_000, day, PARTITIONS, murmur2_partition) };
        let scenario = Scenario::new(options, &ground).unwrap();
        let mut config = Config { seq: 1, ..Config::default() };
        scenario.config_items().into_iter().for_each(|item| config.apply(item));
        for deck in scenario.decks() {
            let chunks = schemas::deck_rows::split(&deck.rates).unwrap();
            config.apply(ConfigItem::Deck(DeckRoot {
                id: deck.id.clone(),
                version: deck.version,
                terms: deck.terms.clone(),
                chunks: chunks.iter().map(|(hash, _)| *hash).collect(),
                rows: deck.rates.len() as u64,
                source: String::new(),
            }));
            chunks.into_iter().for_each(|(hash, rows)| config.apply(ConfigItem::DeckChunk { hash, rows }));
        }
        (scenario, Arc::new(config))
    })
}

pub fn config_now() -> ConfigNow {
    let config = scenario().1.clone();
    Arc::new(move || config.clone())
}

/// Raters end with the test, also where it fails.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub struct House {
    pub bus: Arc<EmbeddedBus>,
    _folder: tempfile::TempDir,
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap());
        bus.ensure(&TopicSpec::events(TOPIC, PARTITIONS)).unwrap();
        Self { bus, _folder: folder }
    }

    pub fn send(&self, records: impl Iterator<Item = (u32, BusRecord)>) {
        let ids = SchemaIds::default();
        let mut writer = self.bus.writer(TOPIC).unwrap();
        let mut waiting: Vec<Vec<Vec<u8>>> = vec![Vec::new(); PARTITIONS as usize];
        let mut flush = |partition: usize, values: &mut Vec<Vec<u8>>| {
            let records: Vec<_> = values.iter().map(|value| Record { key: b"", value, timestamp_ms: 0 }).collect();
            writer.append(partition as u32, &records).unwrap();
            values.clear();
        };
        for (partition, record) in records {
            let mut value = Vec::new();
            schemas::bus_record::encode(&record, &ids, &mut value);
            let values = &mut waiting[partition as usize];
            values.push(value);
            if values.len() == 50 {
                flush(partition as usize, values);
            }
        }
        for (partition, values) in waiting.iter_mut().enumerate().filter(|(_, values)| !values.is_empty()) {
            flush(partition, values);
        }
    }

    pub fn send_day(&self) {
        let scenario = &scenario().0;
        let of = |event: &CallEvent| murmur2_partition(event.call_key.as_bytes(), PARTITIONS);
        self.send(scenario.events().map(|event| (of(&event), BusRecord::Event(Box::new(event)))));
        let observed_at = scenario.settled_at();
        let tick = |partition| (partition, BusRecord::Tick { node: "n".into(), observed_at });
        self.send((0..PARTITIONS).map(tick));
    }

    pub fn options(&self, partition: u32) -> RaterOptions {
        let bus: Arc<dyn Bus> = self.bus.clone();
        RaterOptions::new(bus, SchemaIds::default(), "main", partition, config_now(), "test".into())
    }

    /// Runs a partition until everything that is there has been rated.
    pub fn settle(&self, options: RaterOptions) -> Arc<RaterStats> {
        let (stop, stats) = (AtomicBool::new(false), Arc::new(RaterStats::default()));
        let end = self.bus.end(TOPIC, options.partition).unwrap();
        std::thread::scope(|scope| {
            let _stop = Stop(&stop);
            let running = scope.spawn(|| run_partition(options, &stop, &stats));
            let until = Instant::now() + Duration::from_secs(120);
            while !(stats.working.load(Ordering::Relaxed) && stats.progress().0 >= end) {
                assert!(!running.is_finished(), "the rater ended, trouble {:?}", stats.trouble());
                assert!(Instant::now() < until, "{:?} of {end}, {:?}", stats.progress(), stats.trouble());
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::SeqCst);
            running.join().unwrap().unwrap();
        });
        stats
    }

    pub fn items(&self, partition: u32) -> Vec<XdrItem> {
        let stream = format!("xdrs.main.{partition}");
        let mut reader = StreamReader::open(self.bus.as_ref(), &SchemaIds::default(), &stream).unwrap();
        let mut items = Vec::new();
        let folded = reader.catch_up::<bus::stream::StreamError>(self.bus.as_ref(), &mut |accepted| {
            for index in 0..accepted.frame.len() {
                let (public, private) = accepted.frame.item(index).unwrap();
                items.push(schemas::xdrs::decode_item(public, private).unwrap());
            }
            Ok(())
        });
        folded.unwrap();
        items
    }

    /// The stream's calls with their last revision, and how many there are of each kind of item.
    pub fn books(&self) -> Books {
        let mut books = Books::default();
        for partition in 0..PARTITIONS {
            for item in self.items(partition) {
                match item {
                    XdrItem::Call(rated) => {
                        let id = rated.call.call_id;
                        let first = rated.revision == Revision::First;
                        let earlier = books.calls.insert(id, *rated);
                        assert_eq!(first, earlier.is_none(), "call {id}: revision without a first, or two firsts");
                        books.revised += u64::from(!first);
                    }
                    XdrItem::Suspended(item) => {
                        books.suspended.insert(item.events[0].call_id(), item.events.len());
                    }
                    XdrItem::Conflict(item) => books.other.push(format!("conflict {}", item.reason)),
                    XdrItem::Reject(item) => books.other.push(format!("reject {}", item.reason)),
                    XdrItem::ImportCount(count) => {
                        books.imports.insert((partition, count.import), *count);
                    }
                    XdrItem::SourceMark { switch, .. } => books.other.push(format!("mark {switch}")),
                    XdrItem::State(_) => {}
                }
            }
        }
        let calls = &books.calls;
        books.suspended.retain(|id, _| !calls.contains_key(id));
        books
    }
}

#[derive(Default)]
pub struct Books {
    pub calls: BTreeMap<CallId, RatedCall>,
    pub suspended: BTreeMap<CallId, usize>,
    pub imports: BTreeMap<(u32, ImportId), ImportCount>,
    pub other: Vec<String>,
    pub revised: u64,
}

pub type Totals = BTreeMap<(String, Side), (u64, u64, Amount, Amount, Amount, i64)>;

impl Books {
    /// Records of all imports that were known already, by the counts in the frames.
    pub fn repeated(&self) -> u64 {
        self.imports.values().map(|count| count.repeated).sum()
    }

    pub fn totals(&self) -> (Totals, BTreeMap<(Side, Unrated, bool), u64>) {
        let (mut totals, mut unrated) = (Totals::new(), BTreeMap::new());
        for rated in self.calls.values() {
            for xdr in &rated.xdrs {
                let answered = match xdr.attempt {
                    Some(at) => rated.call.attempts[usize::from(at)].answered_at.is_some(),
                    None => rated.call.answered(),
                };
                let total = totals.entry((xdr.account.to_string(), xdr.side)).or_default();
                total.0 += 1;
                total.1 += u64::from(answered);
                let to = if xdr.unrated.is_none() { &mut total.2 } else { &mut total.3 };
                to.0 += xdr.amount.0;
                total.4.0 += xdr.gross.0;
                total.5 += xdr.billed;
                if let Some(reason) = xdr.unrated {
                    *unrated.entry((xdr.side, reason, answered)).or_default() += 1;
                }
            }
        }
        (totals, unrated)
    }
}

/// A bus whose writers die after so many frames: what was handed over may land, nothing more is taken.
pub struct Mortal {
    pub bus: Arc<EmbeddedBus>,
    pub lives: Arc<AtomicI64>,
}

pub struct MortalWriter {
    writer: Box<dyn Writer>,
    lives: Arc<AtomicI64>,
}

impl Writer for MortalWriter {
    fn submit(&mut self, partition: u32, records: &[Record<'_>]) -> Result<Ticket, BusError> {
        let left = self.lives.fetch_sub(1, Ordering::SeqCst);
        // The last one lands although its writer never learns of it.
        let ticket = if left >= 0 { self.writer.submit(partition, records) } else { Err(BusError::Stopped) }?;
        if left == 0 { Err(BusError::Stopped) } else { Ok(ticket) }
    }
    fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<Option<Appended>, BusError> {
        self.writer.wait(ticket, timeout)
    }
}

impl Layer for Mortal {
    fn inner(&self) -> &dyn Bus {
        &*self.bus
    }

    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError> {
        Ok(Box::new(MortalWriter { writer: self.bus.writer(topic)?, lives: self.lives.clone() }))
    }

    fn stop(&self) {}
}

pub fn compare(left: &Books, right: &Books) {
    assert_eq!(left.calls.len(), right.calls.len());
    for (id, a) in &left.calls {
        let b = &right.calls[id];
        assert_eq!((&a.call, &a.xdrs), (&b.call, &b.xdrs), "call {id}");
    }
    assert_eq!(left.suspended, right.suspended);
    assert_eq!(left.imports, right.imports);
    assert_eq!(left.revised, right.revised);
}
