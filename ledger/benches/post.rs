//! CPU time that a rated call costs the ledger, stage by stage, all threads together: `cargo bench -p ledger`. Two priced sides a call,
//! 50 customers, 10 vendors, 400 destinations. The whole thread is measured with the embedded log in a temporary
//! folder, its frames durable.

use accounting::sample::rated;
use accounting::{Book, History, Outcome, PricedCall, entries_for};
use bus::stream::{FrameParts, StreamError, StreamWriter};
use bus::{Bus, EmbeddedBus, EmbeddedConfig};
use facts::config::Config;
use facts::entry::LedgerItem;
use facts::xdr::{Position, RatedCall};
use ledger::{LedgerOptions, LedgerView, spawn};
use schemas::{FrameBuilder, FrameFull, SchemaIds};
use smol_str::SmolStr;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

fn report(what: &str, nanos: u64) {
    println!("{what:<52} {:>6} ns a call", nanos / CALLS as u64);
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

    let began = cpu_nanos();
    let (mut book, mut history, mut out) = (Book::new(), History::default(), Vec::new());
    for (n, call) in calls.iter().enumerate() {
        out.clear();
        assert!(!book.knows(call.call.call_id));
        black_box(entries_for(&call.into(), (&stream, at(n)), None, &mut out));
        for outcome in &out {
            if let Outcome::Entry(entry) = outcome {
                book.apply_entry(at(n), entry).expect("balanced");
                history.note(at(n), entry);
            }
        }
    }
    report("post and fold (pure)", cpu_nanos() - began);
    let began = cpu_nanos();
    black_box(book.root());
    println!("state root over {} lines: {} us", book.lines().len(), (cpu_nanos() - began) / 1000);

    let began = cpu_nanos();
    let mut call = PricedCall::default();
    for (public, _) in &items {
        black_box(ledger::rated::read(public, &mut call).expect("a rated call"));
    }
    report("read the rated call", cpu_nanos() - began);

    let began = cpu_nanos();
    let (mut bytes, mut folded) = (Vec::new(), Book::new());
    for (n, call) in calls.iter().enumerate() {
        out.clear();
        entries_for(&call.into(), (&stream, at(n)), None, &mut out);
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
    report("post, encode, decode, fold (what a follower pays)", cpu_nanos() - began);

    whole_thread(&items);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let currency = facts::Currency::new("EUR").expect("a currency");
    println!("{:?}", ledger::bench::restart(1_000_000, currency, folder.path()).expect("a restart"));
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
    let began = cpu_nanos();
    let (door, thread) = spawn(options, stop.clone()).expect("a thread");
    let next = Position { seq: last + 1, index: 0 };
    assert!(door.view.wait_booked("xdrs.main.0", next, Duration::from_secs(600)));
    report("the whole thread, frames durable and read back", cpu_nanos() - began);
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("no panic").expect("a clean end");
}

/// Nanoseconds that the living threads of this process have run (Linux), so that neighbours on the machine do not
/// count.
fn cpu_nanos() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let run = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.map(run).sum()
}
