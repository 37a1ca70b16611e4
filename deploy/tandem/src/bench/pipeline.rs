//! `tandem bench pipeline` (design 14, rows 1 and 2): calls of exactly three events each, already on the bus, to rated,
//! booked and durable. What is measured begins when the first rater takes its first record and ends when the last
//! ledger frame is durable and read back as accepted: claiming streams, reading the configuration and compiling decks
//! come before it. Beside it stands what the same bytes cost without any of it.

use super::{millis, row};
use crate::apply;
use crate::cli::BenchArgs;
use crate::demo::Sender;
use crate::node::{self, Roles, Running};
use crate::output::{self, Failure, note};
use crate::settings::{BusKind, EngineKind, Settings};
use ::bus::{KafkaConfig, murmur2_partition};
use rater::bench::Load;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Codes of each of the two decks.
pub(super) const PREFIXES: usize = 1_000_000;
/// Bytes of one write of the baseline: a full frame.
const WRITE_BYTES: usize = 512 * 1024;
const DRAIN_LIMIT: Duration = Duration::from_secs(3_600);
const START_LIMIT: Duration = Duration::from_secs(300);
/// The first call began so long ago, so that none is in the future.
const HOURS_BACK: i64 = 24;

/// Runs it on the bus of the settings.
pub(super) fn pipeline(args: &BenchArgs, settings: &Settings, folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let mut settings = Settings { data: folder.join("data"), ..settings.clone() };
    settings.engine.kind = EngineKind::None;
    settings.schema_registry = None;
    let (records, _) = preload(args, &settings)?;
    note(&format!("{} calls with {records} events are on the bus; two decks of {PREFIXES} codes", args.calls));
    let spent = measure(&settings)?;
    let baseline = match settings.bus.kind {
        BusKind::Embedded => {
            let bytes = frame_bytes(&settings.data.join("log"))?;
            let is = format!("write + fdatasync of the same {} MB in 512 KiB pieces", bytes >> 20);
            raw_append(&folder.join("raw"), bytes)?.named(is)
        }
        BusKind::Kafka => {
            let config = node::kafka_config(&settings, &schemas::SchemaIds::default());
            copied(&config, settings.partitions)?.named("rdkafka copying call-events topic to topic".to_owned())
        }
    };
    Ok(rows(args.calls, &spent, &baseline))
}

/// Configuration and events onto the bus: how many, and when the first call began.
pub(super) fn preload(args: &BenchArgs, settings: &Settings) -> Result<(u64, i64), Failure> {
    let running = Running::start(settings, &Roles::default())?;
    let node = &running.node;
    // Offset 0 is the incarnation. A bus that others use is none to measure on, and nothing of theirs may be rated.
    if node.call_event_ends()?.iter().any(|end| *end > 1) || node.config.current().seq > 0 {
        running.stop();
        let text = "this bus holds events or a configuration already; the benchmark wants a broker of its own";
        return Err(Failure::Usage(text.to_owned()));
    }
    let load = Load::new(PREFIXES, usize::try_from(args.calls).unwrap_or(usize::MAX));
    let mut items = Load::items();
    for deck in &load.decks {
        let now = node.config.current();
        items.extend(apply::deck_items(&deck.id, deck.terms.clone(), deck.rates.clone(), "tandem bench", &now)?);
    }
    node.publish(&items, "bench", "two decks, customers and vendors")?;
    drop(items);
    let mut sender = Sender::new(&*node.bus, &node.ids, settings.partitions)?;
    let bar = output::progress(args.calls * 3, "preloading");
    let begin = node::wall_micros() - HOURS_BACK * 3_600_000_000;
    for event in load.events(begin, settings.partitions, murmur2_partition) {
        sender.event(event)?;
        if sender.records.is_multiple_of(4_096) {
            bar.set_position(sender.records);
        }
    }
    sender.flush()?;
    bar.finish_and_clear();
    let records = sender.records;
    drop(sender);
    running.stop();
    Ok((records, begin))
}

/// Time by the clock and of the processor, milliseconds.
struct Spent {
    wall: u64,
    cpu: u64,
    /// By kind of thread, microseconds of processor.
    threads: BTreeMap<&'static str, u64>,
    is: String,
}

impl Spent {
    fn named(self, is: String) -> Self {
        Self { is, ..self }
    }
}

fn measure(settings: &Settings) -> Result<Spent, Failure> {
    let roles = Roles { ingest: false, engine: false, loader: false, records: false, ..Roles::pipeline(settings) };
    let running = Running::start(settings, &roles)?;
    let until = Instant::now() + START_LIMIT;
    while !running.node.raters.iter().any(|(_, rater)| rater.working.load(Ordering::Relaxed)) {
        if Instant::now() > until || !running.node.failures().is_empty() {
            return Err(Failure::Broken(format!("no rater began to work: {:?}", running.node.failures())));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let (began, cpu, threads) = (Instant::now(), cpu_millis()?, thread_micros());
    running.node.drain(DRAIN_LIMIT, &mut |_| ())?;
    let (wall, cpu) = (millis(began), cpu_millis()?.saturating_sub(cpu).max(1));
    let mut after = thread_micros();
    for (kind, micros) in &mut after {
        *micros = micros.saturating_sub(threads.get(kind).copied().unwrap_or(0));
    }
    let failures = running.stop();
    failures.iter().for_each(|failure| note(failure));
    Ok(Spent { wall, cpu, threads: after, is: String::new() })
}

fn rows(calls: u64, ours: &Spent, baseline: &Spent) -> Vec<Vec<String>> {
    let per = |millis: u64| calls * 1_000 / millis.max(1);
    let figure = |what: &str, ours: u64, baseline: u64, is: &str| {
        let share = baseline * 100 / ours.max(1);
        row(what, format!("{}/s", per(ours)), format!("{}/s", per(baseline)), share, is)
    };
    let mut rows = vec![
        figure("events to rated, booked and durable: calls per CPU second", ours.cpu, baseline.cpu, &baseline.is),
        figure("the same by the clock", ours.wall, baseline.wall, &baseline.is),
    ];
    for (kind, micros) in &ours.threads {
        let nanos = micros * 1_000 / calls.max(1);
        rows.push(vec![
            format!("CPU of {kind}"),
            format!("{nanos} ns a call"),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    rows
}

/// User and system time of this process (proc(5): fields 14 and 15 of stat, in hundredths of a second).
pub(super) fn cpu_millis() -> Result<u64, Failure> {
    let wrong = || Failure::Broken("/proc/self/stat cannot be read".to_owned());
    let stat = fs::read_to_string("/proc/self/stat").map_err(|_| wrong())?;
    let fields: Vec<&str> = stat.rsplit(") ").next().ok_or_else(wrong)?.split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).ok_or_else(wrong);
    Ok((ticks(11)? + ticks(12)?) * 10)
}

/// CPU time of this process's threads by what they do; empty where the kernel does not tell.
fn thread_micros() -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for task in tasks {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let kind = match read("comm").trim() {
            name if name.starts_with("rater-") => "raters",
            name if name.starts_with("ledger") => "the ledger",
            name if name.starts_with("log ") => "the log's threads (checksum, write, sync)",
            name if name.starts_with("rdk") => "librdkafka's threads",
            _ => "all other threads",
        };
        let nanos = read("schedstat").split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        *all.entry(kind).or_default() += nanos / 1_000;
    }
    all
}

/// Bytes of the raters' and the ledger's streams.
fn frame_bytes(log: &Path) -> Result<u64, Failure> {
    fn sum(path: &Path) -> std::io::Result<u64> {
        let meta = fs::metadata(path)?;
        if !meta.is_dir() {
            return Ok(meta.len());
        }
        fs::read_dir(path)?.map(|entry| sum(&entry?.path())).sum()
    }
    let wrong = |e: std::io::Error| Failure::Broken(format!("{}: {e}", log.display()));
    let mut total = 0;
    for entry in fs::read_dir(log).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("xdrs.") || name.starts_with("ledger.") {
            total += sum(&path).map_err(wrong)?;
        }
    }
    Ok(total)
}

/// Writes so many bytes with a sync after each piece.
fn raw_append(path: &Path, bytes: u64) -> Result<Spent, Failure> {
    let wrong = |e: std::io::Error| Failure::Broken(format!("{}: {e}", path.display()));
    let piece: Vec<u8> = (0..WRITE_BYTES).map(|at| (at * 31 % 251) as u8).collect();
    let mut file = File::create(path).map_err(wrong)?;
    let (began, cpu) = (Instant::now(), cpu_millis()?);
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(WRITE_BYTES);
        file.write_all(&piece[..now]).and_then(|()| file.sync_data()).map_err(wrong)?;
        left -= now as u64;
    }
    spent_since(began, cpu)
}

/// Copies the events by plain rdkafka.
fn copied(config: &KafkaConfig, partitions: u32) -> Result<Spent, Failure> {
    let to = format!("bench.copy.{}", std::process::id());
    let (began, cpu) = (Instant::now(), cpu_millis()?);
    let took = ::bus::bench::copy(config, ingest::writer::TOPIC, &to, partitions).map_err(Failure::broken)?;
    let spent = spent_since(began, cpu)?;
    Ok(Spent { wall: u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1), ..spent })
}

fn spent_since(began: Instant, cpu: u64) -> Result<Spent, Failure> {
    let cpu = cpu_millis()?.saturating_sub(cpu).max(1);
    Ok(Spent { wall: millis(began), cpu, threads: BTreeMap::new(), is: String::new() })
}
