//! What a rated call costs the ledger, stage by stage, on one core: `cargo bench -p ledger`. Two priced sides a call,
//! 50 customers, 10 vendors, 400 destinations. The whole thread is measured with the embedded log in a temporary
//! folder, its frames durable.

use accounting::sample::rated;
use accounting::{Book, History, Outcome, entries_for};
use bus::stream::{FrameParts, StreamError, StreamWriter};
use bus::{Bus, EmbeddedBus, EmbeddedConfig};
use facts::config::Config;
use facts::entry::LedgerItem;
use facts::xdr::{Position, RatedCall};
use ledger::rated::RatedItem;
use ledger::{LedgerOptions, LedgerView, spawn};
use schemas::{FrameBuilder, FrameFull, SchemaIds};
use smol_str::SmolStr;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CALLS: usize = 300_000;

fn calls() -> Vec<RatedCall> {
    let one = |n: usize| {
        let (customer, vendor) = (format!("customer-{}", n % 50), format!("carrier-{}", n % 10));
        let mut call = rated(&format!("call-{n}"), (&customer, "0.012345"), &[(&vendor, "0.01")]);
        for xdr in &mut call.xdrs {
            if let Some(rate) = &mut xdr.rate {
                rate.destination = SmolStr::from(format!("Country-Mobile-{}", n * 7 % 400));
            }
        }
        call
    };
    (0..CALLS).map(one).collect()
}

fn report(what: &str, took: Duration) {
    println!("{what:<48} {:>6} ns a call", took.as_nanos() / CALLS as u128);
}

fn main() {
    let calls = calls();
    let stream = SmolStr::new_static("xdrs.main.0");
    let at = |n: usize| Position { seq: n as u64 / 1000 + 1, index: n as u32 % 1000 };

    let mut items = Vec::new();
    for call in &calls {
        let (mut public, mut private) = (Vec::new(), Vec::new());
        schemas::xdrs::encode_call(call, &mut public, &mut private);
        items.push((public, private));
    }

    let began = Instant::now();
    let (mut book, mut history, mut out) = (Book::new(), History::default(), Vec::new());
    for (n, call) in calls.iter().enumerate() {
        out.clear();
        assert!(!book.knows(call.call.call_id));
        black_box(entries_for(call.into(), (&stream, at(n)), None, &mut out));
        for outcome in &out {
            if let Outcome::Entry(entry) = outcome {
                book.apply_entry(at(n), entry).expect("balanced");
                history.note(at(n), entry);
            }
        }
    }
    report("post and fold (pure)", began.elapsed());
    let began = Instant::now();
    black_box(book.root());
    println!("state root over {} lines: {:?}", book.lines().len(), began.elapsed());

    let began = Instant::now();
    let mut item = RatedItem::default();
    for (public, _) in &items {
        black_box(item.read(public).expect("a rated call"));
    }
    report("read the rated call", began.elapsed());

    let began = Instant::now();
    let (mut bytes, mut folded) = (Vec::new(), Book::new());
    for (n, call) in calls.iter().enumerate() {
        out.clear();
        entries_for(call.into(), (&stream, at(n)), None, &mut out);
        for outcome in &out {
            if let Outcome::Entry(entry) = outcome {
                bytes.clear();
                schemas::ledger::encode_entry(entry, &mut bytes);
                let item = schemas::ledger::decode_item(&bytes, &[]).expect("an entry");
                if let LedgerItem::Entry(entry) = item {
                    folded.apply_entry(at(n), &entry).expect("balanced");
                }
            }
        }
    }
    report("post, encode, decode, fold (what a follower pays)", began.elapsed());

    whole_thread(&items);
}

fn whole_thread(items: &[(Vec<u8>, Vec<u8>)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path().join("bus"))).expect("a bus"));
    let ids = SchemaIds::default();
    let mut writer = StreamWriter::claim::<StreamError>(&*bus, &ids, "xdrs.main.0", "bench", None, 1, &mut |_| Ok(()))
        .expect("ours");
    let mut builder = FrameBuilder::new();
    let parts = || FrameParts {
        item_schema: schemas::xdrs::ITEMS,
        config_seq: 1,
        fold_version: 1,
        inputs: Default::default(),
        floor: None,
        clock: None,
        wall_micros: 1,
    };
    let push = |builder: &mut FrameBuilder, (public, private): &(Vec<u8>, Vec<u8>)| {
        builder.push(|a, b| {
            a.extend_from_slice(public);
            b.extend_from_slice(private);
        })
    };
    for item in items {
        if push(&mut builder, item) == Err(FrameFull::FrameFull) {
            writer.append(&mut builder, parts()).expect("appended");
            push(&mut builder, item).expect("room");
        }
    }
    writer.append(&mut builder, parts()).expect("appended");
    let last = writer.settle().expect("durable");

    let config = Arc::new(Config::default());
    let options = LedgerOptions::new(bus, "main", 1, Arc::new(move || config.clone()), folder.path().to_path_buf());
    let stop = Arc::new(AtomicBool::new(false));
    let (cpu, began) = (cpu_micros(), Instant::now());
    let (door, thread) = spawn(options, stop.clone()).expect("a thread");
    let next = Position { seq: last + 1, index: 0 };
    assert!(door.view.wait_booked("xdrs.main.0", next, Duration::from_secs(600)));
    report("the whole thread, frames durable and read back", began.elapsed());
    println!("{:<48} {:>6} ns a call (CPU of all threads)", "", (cpu_micros() - cpu) * 1000 / CALLS as u64);
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("no panic").expect("a clean end");
}

/// User and system time of this process (Linux: 100 ticks a second).
fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|x| x.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10_000
}
