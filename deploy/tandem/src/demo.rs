//! `tandem demo`: a generated day of wholesale traffic through the whole pipeline, proved against an answer that the
//! generator computed by other means, then live traffic in the console.

use crate::apply;
use crate::check;
use crate::cli::DemoArgs;
use crate::node::{Node, Roles, Running, owner, wall_micros};
use crate::ops;
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::settings::Settings;
use crate::{http, up};
use bus::{Bus, Record, Ticket, Writer, murmur2_partition};
use facts::call::{BusRecord, CallEvent};
use facts::{Amount, ObservedAt};
use ingest::writer::TOPIC;
use reporting::block_on;
use reporting::reports::{self, ReportName};
use schemas::{SchemaIds, bus_record};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use traffic::{Answer, Flaws, Options, Scenario, View};

/// Events handed to the bus at once, per partition.
const BATCH: usize = 2_000;
/// Batches on their way to the disk.
const IN_FLIGHT: usize = 8;
/// The generated day lies so many days back: calls without end are given up a day later, and nothing may be observed
/// in the future.
const DAYS_BACK: i64 = 4;
const DAY: i64 = 86_400_000_000;
/// Live traffic, calls a second.
const LIVE_CALLS_PER_SECOND: u32 = 20;
const DRAIN_LIMIT: Duration = Duration::from_secs(3_600);

/// Runs the demo.
pub fn run(args: &DemoArgs, settings: &Settings) -> Outcome {
    let folder = Folder::of(args)?;
    let settings = Settings { data: folder.path().to_owned(), ..settings.clone() };
    let began = Instant::now();
    let scenario = scenario(args.seed, args.calls, settings.partitions, Flaws::default())?;
    let answer = compute_answer(&scenario);
    // No ingest role yet: its ticks would tell the raters that the generated day is long over.
    let running = Running::start(&settings, &Roles { ingest: false, collect: false, ..Roles::all(&settings) })?;
    let proved = batch(args, &scenario, &running, answer);
    let failures = running.stop();
    failures.iter().for_each(|failure| note(failure));
    let agree = proved?;
    note(&format!("batch part: {} s", began.elapsed().as_secs()));
    if args.once {
        return Ok(if agree { Ending::Good } else { Ending::Differs });
    }
    live(&scenario, &settings)
}

/// A temporary folder that goes with the demo, or one to keep.
enum Folder {
    Kept(std::path::PathBuf),
    Temporary(std::path::PathBuf),
}

impl Folder {
    fn of(args: &DemoArgs) -> Result<Self, Failure> {
        let folder = match &args.keep {
            Some(path) => {
                if path.join("log").exists() {
                    return Err(Failure::Usage(format!(
                        "{} holds a log already; choose an empty folder",
                        path.display()
                    )));
                }
                Self::Kept(path.clone())
            }
            None => Self::Temporary(std::env::temp_dir().join(format!("tandem-demo-{}", std::process::id()))),
        };
        std::fs::create_dir_all(folder.path())
            .map_err(|e| Failure::Broken(format!("{}: {e}", folder.path().display())))?;
        Ok(folder)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Temporary(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self {
            // Best effort: it is the system's temporary folder.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// A generated day that lies far enough back for every call to come to its end.
pub fn scenario(seed: u64, calls: u64, partitions: u32, flaws: Flaws) -> Result<Scenario, Failure> {
    let ground = traffic::ground().map_err(Failure::broken)?;
    let day = (wall_micros().div_euclid(DAY) - DAYS_BACK) * DAY;
    let options = Options { flaws, ..Options::new(seed, calls, day, partitions, murmur2_partition) };
    Scenario::new(options, &ground).map_err(Failure::broken)
}

/// The oracle runs beside the pipeline; it shares no code with it.
fn compute_answer(scenario: &Scenario) -> std::thread::JoinHandle<Answer> {
    let scenario = scenario.clone();
    std::thread::spawn(move || scenario.answer(View::Events, None))
}

fn batch(
    args: &DemoArgs,
    scenario: &Scenario,
    running: &Running,
    answer: std::thread::JoinHandle<Answer>,
) -> Result<bool, Failure> {
    let node = &running.node;
    apply_scenario(scenario, node)?;
    let began = Instant::now();
    let sent = send_day(args.calls, scenario, node)?;
    let bar = output::progress(sent.records, "rating");
    node.drain(DRAIN_LIMIT, &mut |lag| bar.set_position(sent.records.saturating_sub(lag.events)))?;
    bar.finish_and_clear();
    let took = began.elapsed();
    let answer = answer.join().map_err(|_| Failure::Broken("the generator's oracle ended in a panic".to_owned()))?;
    let answer = Answer { sent: Some(sent.counted), ..answer };
    let file = node.settings.data.join("answer.json");
    std::fs::write(&file, answer.to_json()).map_err(|e| Failure::Broken(format!("{}: {e}", file.display())))?;
    summary(node, &answer, &sent, took)?;
    prove(node, &answer)
}

/// Writes the scenario's configuration the way `tandem apply` does.
pub fn apply_scenario(scenario: &Scenario, node: &Node) -> Result<(), Failure> {
    let now = node.config.current();
    let mut items = scenario.config_items();
    for deck in scenario.decks() {
        items.extend(apply::deck_items(&deck.id, deck.terms, deck.rates, "generated by tandem demo", &now)?);
    }
    let plan = apply::plan_items(items, &now, false, Vec::new())?;
    let seq = node.publish(&plan.items, "demo", "generated carriers, decks and trunks")?;
    note(&format!("configuration version {seq}: {} things", plan.changes.len()));
    Ok(())
}

/// What was put on the bus.
pub struct SentDay {
    pub records: u64,
    pub counted: traffic::Sent,
}

/// Sends every event of the day, then a tick that closes it.
pub fn send_day(calls: u64, scenario: &Scenario, node: &Node) -> Result<SentDay, Failure> {
    let mut sender = Sender::new(&*node.bus, &node.ids, node.settings.partitions)?;
    let bar = output::progress(calls, "generating");
    let mut events = scenario.events();
    for event in events.by_ref() {
        sender.event(event)?;
        if sender.records.is_multiple_of(4_096) {
            bar.set_position(sender.records / 4);
        }
    }
    let counted = events.sent();
    for partition in 0..node.settings.partitions {
        sender.put(partition, b"", &BusRecord::Tick { node: "demo".into(), observed_at: scenario.settled_at() })?;
    }
    let records = sender.finish()?;
    bar.finish_and_clear();
    Ok(SentDay { records, counted })
}

/// Key, value and timestamp (ms) of a record that waits for its batch.
type Waiting = (Vec<u8>, Vec<u8>, i64);

/// Puts events on `call-events` as an edge node would: with their own ids, several batches on their way at once.
pub struct Sender<'a> {
    writer: Box<dyn Writer>,
    ids: &'a SchemaIds,
    partitions: u32,
    waiting: Vec<Vec<Waiting>>,
    tickets: VecDeque<Ticket>,
    pub records: u64,
}

impl<'a> Sender<'a> {
    pub fn new(bus: &dyn Bus, ids: &'a SchemaIds, partitions: u32) -> Result<Self, Failure> {
        let writer = bus.writer(TOPIC).map_err(Failure::broken)?;
        let waiting = (0..partitions).map(|_| Vec::with_capacity(BATCH)).collect();
        Ok(Self { writer, ids, partitions, waiting, tickets: VecDeque::new(), records: 0 })
    }

    pub fn event(&mut self, event: CallEvent) -> Result<(), Failure> {
        let partition = murmur2_partition(event.call_key.as_bytes(), self.partitions);
        let key = event.call_key.clone();
        self.put(partition, key.as_bytes(), &BusRecord::Event(Box::new(event)))
    }

    fn put(&mut self, partition: u32, key: &[u8], record: &BusRecord) -> Result<(), Failure> {
        let mut value = Vec::with_capacity(512);
        bus_record::encode(record, self.ids, &mut value);
        let batch = &mut self.waiting[partition as usize];
        batch.push((key.to_vec(), value, wall_micros() / 1_000));
        self.records += 1;
        if batch.len() >= BATCH { self.submit(partition) } else { Ok(()) }
    }

    fn submit(&mut self, partition: u32) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.waiting[partition as usize]);
        if batch.is_empty() {
            return Ok(());
        }
        let records: Vec<Record<'_>> =
            batch.iter().map(|(key, value, timestamp_ms)| Record { key, value, timestamp_ms: *timestamp_ms }).collect();
        self.tickets.push_back(self.writer.submit(partition, &records).map_err(Failure::broken)?);
        while self.tickets.len() > IN_FLIGHT {
            self.wait()?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let Some(ticket) = self.tickets.pop_front() else { return Ok(()) };
        while self.writer.wait(ticket, Duration::from_secs(1)).map_err(Failure::broken)?.is_none() {}
        Ok(())
    }

    /// Sends what waits; all of it is durable on return.
    pub fn flush(&mut self) -> Result<(), Failure> {
        (0..self.partitions).try_for_each(|partition| self.submit(partition))?;
        while !self.tickets.is_empty() {
            self.wait()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, Failure> {
        self.flush()?;
        Ok(self.records)
    }
}

fn summary(node: &Node, answer: &Answer, sent: &SentDay, took: Duration) -> Result<(), Failure> {
    let mut session = ops::engine(node)?.session();
    let report = block_on(reports::report(&mut session, ReportName::Customer, &reports::Filter::default()))
        .map_err(Failure::broken)?;
    let millis = took.as_millis().max(1) as u64;
    let seen: Vec<rater::Seen> = node.raters.iter().map(|(_, rater)| rater.seen()).collect();
    let sum = |pick: fn(&rater::Seen) -> u64| seen.iter().map(pick).sum::<u64>();
    let rows = [
        ("calls generated", answer.calls.to_string()),
        (
            "events sent",
            format!(
                "{} ({} of them twice, {} late)",
                sent.records,
                sent.counted.repeated + sent.counted.resent,
                sent.counted.late
            ),
        ),
        ("calls rated", format!("{} ({} revised by late truth)", sum(|s| s.calls), sum(|s| s.revised))),
        ("in suspense", sum(|s| s.suspended).to_string()),
        (
            "through the pipeline in",
            format!("{}.{} s: {} calls/s", millis / 1000, millis % 1000 / 100, answer.calls * 1000 / millis),
        ),
    ];
    for (label, text) in rows {
        output::line(&format!("{label:>24}  {text}"))?;
    }
    for total in &report.totals {
        let f = &total.figures;
        let margin = f.margin().map(|m| m.to_string()).unwrap_or_default();
        let text = format!("revenue {}, cost {}, margin {} {}", f.revenue, f.cost, margin, total.currency);
        output::line(&format!("{:>24}  {text}", "booked"))?;
    }
    Ok(())
}

/// Generator against ledger against ClickHouse, to the last digit.
fn prove(node: &Node, answer: &Answer) -> Result<bool, Failure> {
    let checked = check::check(node)?;
    let table = checked.table.as_ref().ok_or_else(|| Failure::Broken("the check gave no figures".to_owned()))?;
    let mut found: BTreeMap<(String, String, String), Amount> = BTreeMap::new();
    for row in &table.rows {
        let amount = row[4].parse().map_err(Failure::usage)?;
        found.insert((row[0].clone(), row[1].clone(), row[2].clone()), amount);
    }
    let mut differing = 0;
    for side in &answer.sides {
        let key = (side.side.as_str().to_owned(), side.account.to_string(), side.currency.to_string());
        let booked = found.remove(&key).unwrap_or_default();
        if booked != side.charged {
            differing += 1;
            note(&format!("{} {} {}: the generator says {}, the ledger {booked}", key.0, key.1, key.2, side.charged));
        }
    }
    for ((side, account, currency), amount) in found.into_iter().filter(|(_, amount)| !amount.is_zero()) {
        differing += 1;
        note(&format!("{side} {account} {currency}: the ledger says {amount}, the generator nothing"));
    }
    let suspended: u64 = node.raters.iter().map(|(_, rater)| rater.suspended.load(Ordering::Relaxed)).sum();
    if suspended < answer.suspended {
        differing += 1;
        note(&format!("{suspended} calls in suspense, the generator says {}", answer.suspended));
    }
    if checked.differs {
        checked.notes.iter().for_each(|line| note(line));
    }
    let agree = differing == 0 && !checked.differs;
    let sums = answer.sides.len();
    output::line(&if agree {
        format!("generator, ledger and ClickHouse agree to the last digit ({sums} sums, {} calls)", answer.rated_calls)
    } else {
        format!("generator, ledger and ClickHouse DIFFER ({differing} of {sums} sums)")
    })?;
    Ok(agree)
}

/// The console with live traffic until Ctrl-C.
fn live(scenario: &Scenario, settings: &Settings) -> Outcome {
    let running = Running::start(settings, &Roles::all(settings))?;
    let node = running.node.clone();
    let traffic = generate(scenario.clone(), node.clone());
    let token = http::token(&settings.data)?;
    let served = http::serve(&node, settings.console.listen, &mut |address| up::announce(address, &token));
    node.stop.store(true, Ordering::SeqCst);
    if traffic.join().is_err() {
        note("the traffic generator ended in a panic");
    }
    running.stop().iter().for_each(|failure| note(failure));
    served.map(|()| Ending::Good)
}

/// Sends live traffic until the node stops.
fn generate(scenario: Scenario, node: Arc<Node>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut live = scenario.live(LIVE_CALLS_PER_SECOND, ObservedAt(wall_micros()));
        let mut send = || -> Result<(), Failure> {
            let mut sender = Sender::new(&*node.bus, &node.ids, node.settings.partitions)?;
            while !node.stop.load(Ordering::Relaxed) {
                let mut events = Vec::new();
                live.until(wall_micros(), BATCH, &mut |event| events.push(event));
                events.into_iter().try_for_each(|event| sender.event(event))?;
                sender.flush()?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        };
        if let Err(failure) = send()
            && !node.stop.load(Ordering::Relaxed)
        {
            note(&format!("live traffic has ended: {failure:?} ({})", owner()));
        }
    })
}
