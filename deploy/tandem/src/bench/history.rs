//! `tandem bench history`: balances of any time and statements from the ledger's index, beside reading the log for them,
//! for a ledger and one ten times its size: what they cost must not grow with the log.

use super::deck::peak_megabytes;
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
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const STREAM: &str = "ledger.bench";
const ACCOUNTS: u64 = 1_000;
const PER_FRAME: u64 = 2_000;
/// Each kind of question is asked so often, at times all over the past.
const QUESTIONS: u64 = 200;
/// So many more with the page cache emptied of log and index before each.
const COLD: u64 = 10;
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

/// What a kind of question took, microseconds.
#[derive(Clone, Copy)]
struct Taken {
    p50: u64,
    p99: u64,
    /// The slowest with nothing of log and index in the system's page cache.
    cold: u64,
}

/// Asks a kind of question many times, then a few times with the files out of the page cache.
fn timed(cold: &dyn Fn(), ask: &mut dyn FnMut(u64) -> Result<(), Failure>) -> Result<Taken, Failure> {
    let mut one = |n: u64| {
        let began = Instant::now();
        ask(n)?;
        Ok::<_, Failure>(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1))
    };
    let mut taken = (0..QUESTIONS).map(&mut one).collect::<Result<Vec<u64>, _>>()?;
    taken.sort_unstable();
    let mut slowest = 0;
    for n in QUESTIONS..QUESTIONS + COLD {
        cold();
        slowest = slowest.max(one(n)?);
    }
    Ok(Taken { p50: taken[taken.len() / 2], p99: taken[taken.len() * 99 / 100], cold: slowest })
}

/// Asks the system to forget what it has of the files below a folder in memory; it keeps what is not on disk yet.
fn forget_cached(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            forget_cached(&path);
        } else if let Ok(file) = fs::File::open(&path) {
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { bytes_below(&entry.path()) } else { size(&entry.path()) }).sum()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
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
    questions: Vec<(&'static str, Taken)>,
    scan: u64,
    build: u64,
}

/// The ledger of so many entries in this folder, written where it is not there.
fn ledger_of(folder: &Path, entries: u64, eur: Currency) -> Result<(Arc<dyn Bus>, Arc<View>), Failure> {
    let ids = SchemaIds::default();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder)).map_err(Failure::broken)?;
    let bus: Arc<dyn Bus> = Arc::new(bus);
    if !bus.topics().map_err(Failure::broken)?.iter().any(|topic| topic == STREAM) {
        write(&*bus, &ids, entries, eur).map_err(Failure::broken)?;
    }
    let bytes = bytes_below(folder);
    note(&format!("{entries} entries are written: {} MB, {} bytes an entry", bytes >> 20, bytes / entries));
    let config = Arc::new(Config::default());
    let config = Arc::new(move || config.clone());
    let (_follower, view) = Follower::open(bus.clone(), &ids, "bench", config, None).map_err(Failure::broken)?;
    let there: u64 = view.status().map_err(Failure::broken)?.entries.iter().sum();
    if there != entries {
        let folder = folder.display();
        return Err(Failure::Broken(format!("{folder} has {there} entries, not {entries}; remove it")));
    }
    Ok((bus, view))
}

/// Asks all kinds of questions, at times and places all over the past.
fn questions(
    past: &Past,
    view: &View,
    (entries, eur): (u64, Currency),
    cold: &dyn Fn(),
) -> Result<Vec<(&'static str, Taken)>, Failure> {
    let frames = entries.div_ceil(PER_FRAME);
    let anywhere = |n: u64| facts::xdr::Position { seq: mixed(n) % frames + 1, index: 0 };
    let occurred = |n: u64| UpTo::Occurred(OccurredAt(time(n)));
    let booked = |n: u64| UpTo::Booked(BookedAt((mixed(n) % (frames * 1_000_000)) as i64));
    let owed = |account: &str, up_to| past.owed(account, eur, up_to).map(drop).map_err(Failure::broken);
    let before = |account: &str, n: u64| {
        let places = past.places(account, Some(anywhere(n)), STATEMENT).map_err(Failure::broken)?;
        if let Some(last) = places.first() {
            past.owed(account, eur, UpTo::Place(*last)).map_err(Failure::broken)?;
        }
        view.entries_at(&places).map(drop).map_err(Failure::broken)
    };
    let behind = |n: u64| {
        let places = past.places_after("big", Some(anywhere(n)), STATEMENT).map_err(Failure::broken)?;
        view.entries_at(&places).map(drop).map_err(Failure::broken)
    };
    // Each of the small accounts has one entry in two thousand, so a hundred of one stand in a hundred frames.
    let small = |n: u64| format!("a{}", mixed(n ^ 0x77) % ACCOUNTS);
    Ok(vec![
        ("balance at an occurred time", timed(cold, &mut |n| owed("big", occurred(n)))?),
        ("balance at a booked time", timed(cold, &mut |n| owed("big", booked(n)))?),
        ("balance of a small account at an occurred time", timed(cold, &mut |n| owed(&small(n), occurred(n)))?),
        ("statement of 100 entries anywhere", timed(cold, &mut |n| before("big", n))?),
        ("the 100 entries behind a place", timed(cold, &mut |n| behind(n))?),
        ("100 entries of a small account, each in its own frame", timed(cold, &mut |n| before(&small(n), n))?),
    ])
}

fn time(n: u64) -> i64 {
    (mixed(n) % YEAR) as i64
}

fn measure(folder: &Path, entries: u64) -> Result<Figures, Failure> {
    let eur = Currency::new("EUR").map_err(Failure::broken)?;
    let log = folder.join(format!("log-{entries}"));
    let (bus, view) = ledger_of(&log, entries, eur)?;
    note(&format!("the books are folded; {} MB of memory at most", peak_megabytes()));
    let data = folder.join(format!("data-{entries}"));
    // Made from nothing, also where one was kept.
    let _ = fs::remove_dir_all(&data);
    let began = Instant::now();
    let past = Past::open(bus.clone(), SchemaIds::default(), view.clone(), &data).map_err(Failure::broken)?;
    past.catch_up().map_err(Failure::broken)?;
    let build = millis(began);
    let ((files, records), bytes) = (past.size(), bytes_below(&data));
    let per_entry = bytes * 10 / entries;
    note(&format!(
        "the index was made in {} s: {files} files, {records} records, {} MB, {}.{} bytes an entry; {} MB of memory at most",
        build / 1_000,
        bytes >> 20,
        per_entry / 10,
        per_entry % 10,
        peak_megabytes()
    ));
    let cold = || {
        forget_cached(&log);
        forget_cached(&data);
    };
    let questions = questions(&past, &view, (entries, eur), &cold)?;
    let began = Instant::now();
    let by_scan = scan(&view, eur, time(7))?;
    let scan = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    let by_index = past.owed("big", eur, UpTo::Occurred(OccurredAt(time(7)))).map_err(Failure::broken)?;
    if by_scan != by_index {
        return Err(Failure::Broken(format!("the index says {by_index}, the log comes to {by_scan}")));
    }
    bus.stop();
    Ok(Figures { questions, scan, build })
}

pub fn history(args: &BenchArgs, temporary: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let large = args.calls.max(10 * PER_FRAME);
    let folder = args.keep.as_deref().unwrap_or(temporary);
    let small = measure(folder, large / 10)?;
    if args.keep.is_none() {
        // Room for the larger one.
        let _ = fs::remove_dir_all(folder);
    }
    let whole = measure(folder, large)?;
    let mut rows = Vec::new();
    for (of_small, of_whole) in small.questions.iter().zip(&whole.questions) {
        for (entries, (name, taken), scan) in [(large / 10, of_small, small.scan), (large, of_whole, whole.scan)] {
            let what = format!("{name}, {entries} entries, p99");
            let ours = format!("{} µs (p50 {}, cold at most {})", taken.p99, taken.p50, taken.cold);
            let mut cells = row(&what, ours, format!("{scan} µs"), 0, "reading the log");
            let hundredths = taken.p99 * 10_000 / scan;
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
