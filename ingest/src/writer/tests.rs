//! The writer: ids without gaps, a bus that goes away, a disk that fills, a process that is killed meanwhile.

use super::*;
use crate::tests::{Moody, OnBus, on_bus, options, until};
use facts::call::EventKind;
use std::collections::BTreeMap;

fn event(n: u64) -> Outgoing {
    let key = format!("call-{n}");
    Outgoing::Event(CallEvent::new(EventKind::Started, "sw", "sw", &key, OccurredAt(1_700_000_000_000_000 + n as i64)))
}

fn batch(range: std::ops::Range<u64>) -> Vec<Outgoing> {
    range.map(event).collect()
}

const LONG: Duration = Duration::from_secs(20);

/// Each id once or more, sequences per boot and partition without a gap, every event in its partition; the call keys.
fn checked(all: &OnBus) -> Vec<String> {
    let mut sequences: BTreeMap<(i64, u32), Vec<u64>> = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (partition, event) in &all.events {
        assert_eq!(event.id.partition, *partition);
        assert_eq!(murmur2_partition(event.call_key.as_bytes(), 3), *partition);
        assert!(event.observed_at.0 > 0);
        let id = (event.id.boot_epoch, *partition, event.id.sequence);
        assert_eq!(*keys.entry(id).or_insert_with(|| event.call_key.clone()), event.call_key, "one id, two events");
        sequences.entry((event.id.boot_epoch, *partition)).or_default().push(event.id.sequence);
    }
    for (boot, mut list) in sequences {
        list.sort_unstable();
        list.dedup();
        assert!(list.iter().enumerate().all(|(i, s)| i as u64 == *s), "gap in {boot:?}: {list:?}");
    }
    let mut calls: Vec<String> = keys.into_values().map(|key| key.to_string()).collect();
    calls.sort_unstable();
    calls
}

fn expected(range: std::ops::Range<u64>) -> Vec<String> {
    let mut all: Vec<String> = range.map(|n| format!("call-{n}")).collect();
    all.sort_unstable();
    all
}

#[test]
fn every_event_has_its_place_and_every_partition_its_ticks() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Moody::open(folder.path());
    let mut options = options(folder.path()).writer;
    options.tick = Duration::from_millis(50);
    let writer = CallEventWriter::start(bus.clone(), options.clone()).unwrap();
    let first_boot = writer.boot_epoch();
    for n in 0..20 {
        writer.write(batch(n * 50..n * 50 + 50), LONG).unwrap();
    }
    let mark = Outgoing::SourceMark { switch: "sw".into(), occurred_until: OccurredAt(5), declared: true };
    writer.write(vec![mark], LONG).unwrap();
    until("three ticks", || writer.stats().ticks.load(Ordering::Relaxed) >= 3);
    writer.stop();
    assert!(matches!(writer.send(batch(0..1)), Err(IngestError::WriterStopped(_))));
    let writer = CallEventWriter::start(bus.clone(), options).unwrap();
    assert!(writer.boot_epoch() > first_boot);
    writer.write(batch(1000..1010), LONG).unwrap();
    drop(writer);
    let all = on_bus(&*bus);
    assert_eq!(checked(&all), expected(0..1010));
    assert_eq!(all.events.len(), 1010);
    assert_eq!(all.marks, [0, 1, 2]);
    for partition in 0..3 {
        assert!(all.ticks.iter().filter(|p| **p == partition).count() >= 3);
    }
}

#[test]
fn while_the_bus_is_away_events_wait_on_disk_and_keep_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Moody::open(folder.path());
    let writer = CallEventWriter::start(bus.clone(), options(folder.path()).writer).unwrap();
    writer.write(batch(0..100), LONG).unwrap();
    bus.set_away(true);
    for n in 1..10 {
        writer.write(batch(n * 100..n * 100 + 100), LONG).unwrap();
    }
    assert!(writer.stats().away_since.load(Ordering::Relaxed) > 0);
    assert!(writer.stats().spool_bytes.load(Ordering::Relaxed) > 0);
    assert!(writer.stats().last_trouble().contains("all brokers are down"), "{}", writer.stats().last_trouble());
    assert_eq!(on_bus(&*bus).events.len(), 100);
    bus.set_away(false);
    // A stream that never pauses has to get out of the spool as well.
    let mut sent = 1000;
    until("the bus is used again", || {
        writer.write(batch(sent..sent + 10), LONG).unwrap();
        sent += 10;
        writer.stats().away_since.load(Ordering::Relaxed) == 0
    });
    assert_eq!(writer.stats().spool_bytes.load(Ordering::Relaxed), 0);
    let spooled = writer.stats().spooled.load(Ordering::Relaxed);
    writer.write(batch(sent..sent + 10), LONG).unwrap();
    assert_eq!(writer.stats().spooled.load(Ordering::Relaxed), spooled);
    drop(writer);
    assert_eq!(checked(&on_bus(&*bus)), expected(0..sent + 10));
}

#[test]
fn a_process_that_ends_while_the_bus_is_away_loses_nothing_it_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Moody::open(folder.path());
    let options = options(folder.path()).writer;
    for run in 0..3u64 {
        // The topic is known, so that a start succeeds while nothing can be written.
        bus.set_away(true);
        let writer = CallEventWriter::start(bus.clone(), options.clone()).unwrap();
        writer.write(batch(run * 10..run * 10 + 10), LONG).unwrap();
        // As after kill -9: nothing of what a stop does, the thread just never gets further.
        std::mem::forget(writer);
    }
    assert_eq!(on_bus(&*bus).events.len(), 0);
    // The forgotten threads would replay too, as zombies do; the ids make that harmless.
    bus.set_away(false);
    let writer = CallEventWriter::start(bus.clone(), options).unwrap();
    until("all runs are replayed", || checked(&on_bus(&*bus)).len() == 30);
    drop(writer);
    assert_eq!(checked(&on_bus(&*bus)), expected(0..30));
}

#[test]
fn where_neither_bus_nor_disk_takes_them_senders_wait_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Moody::open(folder.path());
    let mut options = options(folder.path()).writer;
    options.spool_limit_bytes = 20_000;
    options.spool_file_bytes = 5_000;
    let writer = CallEventWriter::start(bus.clone(), options).unwrap();
    bus.set_away(true);
    let mut sent = 0;
    let mut pending = Vec::new();
    // The queue fills: back-pressure, not loss.
    for _ in 0..200 {
        match writer.try_send(batch(sent..sent + 20)).unwrap() {
            Some(answer) => {
                pending.push(answer);
                sent += 20;
            }
            None if pending.len() > 8 => break,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    assert!(sent < 4_000, "the queue never filled");
    assert!(pending.last().unwrap().wait(Duration::from_millis(200)).is_none());
    assert!(writer.stats().last_trouble().contains("no space left"), "{}", writer.stats().last_trouble());
    bus.set_away(false);
    for answer in &pending {
        answer.wait(LONG).expect("within 20 s").unwrap();
    }
    drop(writer);
    assert_eq!(checked(&on_bus(&*bus)), expected(0..sent));
}

#[test]
fn boot_epochs_rise_whatever_the_clock_does() {
    let folder = tempfile::tempdir().unwrap();
    let first = next_boot_epoch(folder.path()).unwrap();
    std::fs::write(folder.path().join("boot-epoch"), (first + 3_600_000_000).to_string()).unwrap();
    assert_eq!(
        next_boot_epoch(folder.path()).unwrap(),
        first + 3_600_000_001,
        "a clock set back never repeats an epoch"
    );
    std::fs::write(folder.path().join("boot-epoch"), "x").unwrap();
    assert!(next_boot_epoch(folder.path()).unwrap_err().to_string().contains("remove the file"));
}
