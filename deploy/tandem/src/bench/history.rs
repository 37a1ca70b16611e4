//! `tandem bench history`: balances of any time and statements from the ledger's index, beside reading the log for them,
//! for a ledger and one ten times its size: what they cost must not grow with the log.

use super::{millis, row};
use crate::cli::BenchArgs;
use crate::output::{Failure, note};
use bus::stream::{FrameParts, StreamError, StreamWriter};
use bus::{Bus, EmbeddedBus, EmbeddedConfig, TopicSpec};
use facts::config::Config;
use facts::entry::{EntryKind, Gl, Posting};
use facts::ids::OriginId;
use facts::{Amount, BookedAt, CallId, Currency, LedgerEntry, OccurredAt};
use ledger::{Follower, LedgerView, Past, UpTo, View};
use schemas::{FrameBuilder, SchemaIds};
use smallvec::smallvec;
use smol_str::{SmolStr, format_smolstr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const STREAM: &str = "ledger.bench";
const ACCOUNTS: u64 = 1_000;
const PER_FRAME: u64 = 2_000;
/// Each kind of question is asked so often, at times all over the past.
const QUESTIONS: u64 = 200;
const STATEMENT: usize = 100;
/// A year in microseconds.
const YEAR: u64 = 31_536_000_000_000;

fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
}

/// Half of all entries are of one account.
fn account(n: u64) -> SmolStr {
    let mixed = mixed(n);
    if mixed.is_multiple_of(2) { "big".into() } else { format_smolstr!("a{}", mixed / 2 % ACCOUNTS) }
}

fn entry(n: u64, eur: Currency) -> LedgerEntry {
    let (of, amount) = (account(n), Amount(i128::from(mixed(n) % 1_000_000) * 1_000_000 + 1_000_000));
    let line = |gl, account: SmolStr, amount| {
        let (product, destination) = (SmolStr::default(), SmolStr::default());
        Posting { gl, account, product, destination, currency: eur, amount }
    };
    let id = |of: u64| (u128::from(mixed(of)) << 64 | u128::from(of)).to_le_bytes();
    LedgerEntry {
        kind: EntryKind::Charge,
        origin_id: OriginId(id(n)),
        occurred_at: OccurredAt((mixed(n ^ 0x5555) % YEAR) as i64),
        call_id: Some(CallId(id(n))),
        xdr_id: None,
        source: None,
        by: SmolStr::default(),
        reason: SmolStr::default(),
        adjusts: None,
        postings: smallvec![
            line(Gl::ReceivableUnbilled, of.clone(), amount),
            line(Gl::Revenue, SmolStr::default(), Amount(-amount.0))
        ],
        account: of,
    }
}

/// Writes a ledger of so many entries.
fn write(bus: &dyn Bus, ids: &SchemaIds, entries: u64, eur: Currency) -> Result<(), StreamError> {
    bus.ensure(&TopicSpec::frames(STREAM, 1))?;
    let mut writer = StreamWriter::claim::<StreamError>(bus, ids, STREAM, "bench", None, 1, &mut |_| Ok(()))?;
    let mut builder = FrameBuilder::new();
    for n in 0..entries {
        let pushed = builder.push(|public, _| schemas::ledger::encode_entry(&entry(n, eur), public));
        debug_assert!(pushed.is_ok(), "2,000 entries fit a frame");
        if (n + 1).is_multiple_of(PER_FRAME) || n + 1 == entries {
            let parts = FrameParts {
                item_schema: schemas::ledger::ITEMS,
                config_seq: 0,
                fold_version: accounting::FOLD_VERSION,
                inputs: Default::default(),
                floor: None,
                clock: None,
                // A frame a second.
                wall_micros: (n / PER_FRAME) as i64 * 1_000_000 + 1_000_000,
            };
            writer.append(&mut builder, parts)?;
        }
    }
    writer.settle().map(drop)
}

/// The slowest of a hundred of a kind of question, microseconds.
fn p99(ask: &mut dyn FnMut(u64) -> Result<(), Failure>) -> Result<u64, Failure> {
    let mut taken = Vec::new();
    for n in 0..QUESTIONS {
        let began = Instant::now();
        ask(n)?;
        taken.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    taken.sort_unstable();
    Ok(taken[taken.len() * 99 / 100].max(1))
}

/// Reads all entries of the big account and adds up those that had occurred by `until`: what there is without an index.
fn scan(view: &View, eur: Currency, until: i64) -> Result<Amount, Failure> {
    let mut sum = 0i128;
    for seq in 1..=view.progress().state.seq() {
        let of_frame = view.entries_of_frame(seq).map_err(Failure::broken)?;
        let own = of_frame.iter().filter(|entry| entry.occurred_at.0 <= until).flat_map(|entry| &entry.postings);
        sum += own.filter(|line| line.account == "big" && line.currency == eur).map(|line| line.amount.0).sum::<i128>();
    }
    Ok(Amount(sum))
}

struct Figures {
    questions: [u64; 4],
    scan: u64,
    build: u64,
}

fn measure(folder: &Path, entries: u64) -> Result<Figures, Failure> {
    let eur = Currency::new("EUR").map_err(Failure::broken)?;
    let ids = SchemaIds::default();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.join(format!("log-{entries}")))).map_err(Failure::broken)?;
    let bus: Arc<dyn Bus> = Arc::new(bus);
    write(&*bus, &ids, entries, eur).map_err(Failure::broken)?;
    note(&format!("{entries} entries are written"));
    let config = Arc::new(Config::default());
    let config = Arc::new(move || config.clone());
    let (_follower, view) = Follower::open(bus.clone(), &ids, "bench", config, None).map_err(Failure::broken)?;
    let data = folder.join(format!("data-{entries}"));
    let began = Instant::now();
    let past = Past::open(bus.clone(), ids, view.clone(), &data).map_err(Failure::broken)?;
    past.catch_up(false).map_err(Failure::broken)?;
    let build = millis(began);
    let (files, records) = past.size();
    note(&format!("the index has {files} files and {records} records"));
    let frames = entries.div_ceil(PER_FRAME);
    let time = |n: u64| (mixed(n) % YEAR) as i64;
    let occurred =
        p99(&mut |n| past.owed("big", eur, UpTo::Occurred(OccurredAt(time(n)))).map(drop).map_err(Failure::broken))?;
    let booked = p99(&mut |n| {
        let at = BookedAt((mixed(n) % (frames * 1_000_000)) as i64);
        past.owed("big", eur, UpTo::Booked(at)).map(drop).map_err(Failure::broken)
    })?;
    let statement = p99(&mut |n| {
        let before = facts::xdr::Position { seq: mixed(n) % frames + 1, index: 0 };
        let places = past.places("big", Some(before), STATEMENT).map_err(Failure::broken)?;
        if let Some(last) = places.first() {
            past.owed("big", eur, UpTo::Place(*last)).map_err(Failure::broken)?;
        }
        for place in places {
            view.entry_at(place).map_err(Failure::broken)?;
        }
        Ok(())
    })?;
    let forward = p99(&mut |n| {
        let after = facts::xdr::Position { seq: mixed(n) % frames + 1, index: 0 };
        for place in past.places_after("big", Some(after), STATEMENT).map_err(Failure::broken)? {
            view.entry_at(place).map_err(Failure::broken)?;
        }
        Ok(())
    })?;
    let began = Instant::now();
    let by_scan = scan(&view, eur, time(7))?;
    let scan = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    let by_index = past.owed("big", eur, UpTo::Occurred(OccurredAt(time(7)))).map_err(Failure::broken)?;
    if by_scan != by_index {
        return Err(Failure::Broken(format!("the index says {by_index}, the log comes to {by_scan}")));
    }
    bus.stop();
    Ok(Figures { questions: [occurred, booked, statement, forward], scan, build })
}

pub fn history(args: &BenchArgs, folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let large = args.calls.max(10 * PER_FRAME);
    let (small, whole) = (measure(folder, large / 10)?, measure(folder, large)?);
    let names = [
        "balance at an occurred time",
        "balance at a booked time",
        "statement of 100 entries anywhere",
        "the 100 entries behind a place",
    ];
    let mut rows = Vec::new();
    for (place, name) in names.iter().enumerate() {
        for (entries, figures) in [(large / 10, &small), (large, &whole)] {
            let ours = figures.questions[place];
            let what = format!("{name}, {entries} entries, p99");
            let mut cells = row(&what, format!("{ours} µs"), format!("{} µs", figures.scan), 0, "reading the log");
            let hundredths = ours * 10_000 / figures.scan;
            cells[3] = format!("{}.{:02} %", hundredths / 100, hundredths % 100);
            rows.push(cells);
        }
    }
    let rate = |millis: u64| large * 1_000 / millis;
    let scan = (whole.scan / 1_000).max(1);
    let what = format!("making the index of {large} entries");
    let share = rate(whole.build) * 100 / rate(scan).max(1);
    rows.push(row(&what, format!("{}/s", rate(whole.build)), format!("{}/s", rate(scan)), share, "reading the log"));
    Ok(rows)
}
