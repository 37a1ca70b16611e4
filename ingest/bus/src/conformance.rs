//! What every bus has to do, checked against a real one: the embedded log in its own tests, Kafka in the `tests`
//! package. Panics with the name of the promise that does not hold.

mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use facts::stream::Incarnation;

use crate::api::{Batch, Bus, MAX_RECORD_BYTES, Record, Retention, TopicKind, TopicSpec};
use crate::error::BusError;

/// Opens the same storage anew; what was opened before has been dropped by then.
pub type Open<'a> = &'a dyn Fn() -> Arc<dyn Bus>;
type Case = fn(&str, Open<'_>);

/// Runs all cases. `prefix` keeps the topics of one run apart from others on a shared broker.
pub fn run(prefix: &str, open: Open<'_>) {
    let cases: &[(&str, Case)] = &[
        ("records_come_back_as_written", records_come_back_as_written),
        ("everything_is_there_after_a_reopen", everything_is_there_after_a_reopen),
        ("topics_are_checked_against_their_declaration", topics_are_checked_against_their_declaration),
        ("a_replaced_topic_is_refused", a_replaced_topic_is_refused),
        ("foreign_topics_are_left_as_they_are", foreign_topics_are_left_as_they_are),
        ("positions_outside_the_log_are_errors", positions_outside_the_log_are_errors),
        ("readers_wait_and_wake", readers_wait_and_wake),
        ("writers_race_and_keep_their_order", writers_race_and_keep_their_order),
        ("tickets_pipeline_in_order", tickets_pipeline_in_order),
        ("sizes_have_limits", sizes_have_limits),
        ("small_polls_and_seeks_lose_nothing", small_polls_and_seeks_lose_nothing),
        ("trim_moves_the_begin_and_nothing_else", trim_moves_the_begin_and_nothing_else),
        ("stop_ends_waiting", stop_ends_waiting),
        ("owners_race_for_one_stream", streams::owners_race_for_one_stream),
    ];
    for (name, case) in cases {
        let began = Instant::now();
        case(&format!("{prefix}.{name}"), open);
        eprintln!("conformance: {name} holds ({} ms)", began.elapsed().as_millis());
    }
}

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

fn record<'a>(key: &'a [u8], value: &'a [u8]) -> Record<'a> {
    // Kafka refuses times far in the future; tests need none of their own.
    Record { key, value, timestamp_ms: 1_750_000_000_000 }
}

fn numbered(from: usize, to: usize) -> Vec<Vec<u8>> {
    (from..to).map(|i| format!("value {i}").into_bytes()).collect()
}

fn append(bus: &dyn Bus, topic: &str, partition: u32, values: &[Vec<u8>]) -> crate::Appended {
    let records: Vec<_> = values.iter().map(|value| record(b"key", value)).collect();
    bus.writer(topic).expect("writer").append(partition, &records).expect("append")
}

/// All values of a partition from `from` to its end, with their offsets.
fn read_all(bus: &dyn Bus, topic: &str, partition: u32, from: u64) -> Vec<(u64, Vec<u8>)> {
    let end = bus.end(topic, partition).expect("end");
    let mut reader = bus.reader(topic, partition, from).expect("reader");
    let mut batch = Batch::new();
    let mut found = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while reader.position() < end {
        assert!(Instant::now() < deadline, "the reader stands at {} of {end}", reader.position());
        reader.poll(&mut batch, 1 << 20, SECOND).expect("poll");
        found.extend(batch.iter().map(|r| (r.offset, r.value.to_vec())));
    }
    found
}

fn records_come_back_as_written(topic: &str, open: Open<'_>) {
    let bus = open();
    let info = bus.ensure(&TopicSpec::events(topic, 2)).expect("ensure");
    assert!(info.created);
    let written: Vec<(Vec<u8>, Vec<u8>, i64)> = (0..300_usize)
        .map(|i| (vec![b'k'; i % 40], vec![i as u8; i * 7 % 900], 1_700_000_000_000 + i as i64))
        .collect();
    let records: Vec<_> = written.iter().map(|(key, value, ms)| Record { key, value, timestamp_ms: *ms }).collect();
    let mut writer = bus.writer(topic).expect("writer");
    for chunk in records.chunks(37) {
        let done = writer.append(1, chunk).expect("append");
        assert_eq!(done.next - done.first, chunk.len() as u64);
        assert_eq!(bus.end(topic, 1).expect("end"), done.next, "what was answered is durable and visible");
    }
    let mut reader = bus.reader(topic, 1, 0).expect("reader");
    let mut batch = Batch::new();
    let mut found: Vec<(u64, Vec<u8>, Vec<u8>, i64)> = Vec::new();
    while found.len() < written.len() {
        assert!(reader.poll(&mut batch, 4_000, PATIENCE).expect("poll") > 0, "records are missing");
        for received in batch.iter() {
            assert!(found.last().is_none_or(|(offset, ..)| *offset < received.offset), "offsets rise");
            found.push((received.offset, received.key.to_vec(), received.value.to_vec(), received.timestamp_ms));
        }
    }
    let same = found.iter().zip(&written).all(|((_, k, v, ms), (wk, wv, wms))| (k, v, ms) == (wk, wv, wms));
    assert!(same && found.len() == written.len(), "every record once, in order, unchanged, the incarnation not shown");
    assert!(read_all(&*bus, topic, 0, 0).is_empty(), "the other partition holds nothing to show");
}

fn everything_is_there_after_a_reopen(topic: &str, open: Open<'_>) {
    let spec = TopicSpec::frames(topic, 2);
    let bus = open();
    let first = bus.ensure(&spec).expect("ensure");
    append(&*bus, topic, 0, &numbered(0, 10));
    append(&*bus, topic, 1, &numbered(10, 15));
    let before = (read_all(&*bus, topic, 0, 0), read_all(&*bus, topic, 1, 0));
    drop(bus);
    let bus = open();
    let again = bus.ensure(&spec).expect("ensure");
    assert!(!again.created);
    let ids = |info: &crate::TopicInfo| info.partitions.iter().map(|p| p.incarnation).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&again));
    assert!(ids(&first)[0].is_some() && ids(&first)[0] != ids(&first)[1]);
    assert_eq!((read_all(&*bus, topic, 0, 0), read_all(&*bus, topic, 1, 0)), before);
    let more = append(&*bus, topic, 0, &numbered(10, 11));
    assert_eq!(more.first, again.partitions[0].end, "offsets go on where they ended");
    assert!(bus.topics().expect("topics").iter().any(|t| t == topic));
    assert_eq!(bus.partitions(topic).expect("partitions"), Some(2));
}

fn topics_are_checked_against_their_declaration(topic: &str, open: Open<'_>) {
    let bus = open();
    let other = format!("{topic}.never");
    assert!(matches!(bus.writer(&other), Err(BusError::UnknownTopic { .. })));
    assert!(matches!(bus.reader(&other, 0, 0), Err(BusError::UnknownTopic { .. })));
    assert!(matches!(bus.end(&other, 0), Err(BusError::UnknownTopic { .. })));
    assert_eq!(bus.partitions(&other).expect("partitions"), None, "asking creates nothing");
    assert!(matches!(bus.ensure(&TopicSpec::events("../up", 1)), Err(BusError::BadName { .. })));
    bus.ensure(&TopicSpec::events(topic, 3)).expect("ensure");
    assert!(matches!(bus.ensure(&TopicSpec::events(topic, 4)), Err(BusError::Mismatch { .. })));
    assert!(matches!(bus.reader(topic, 3, 0), Err(BusError::UnknownPartition { .. })));
    let mut writer = bus.writer(topic).expect("writer");
    assert!(matches!(writer.submit(3, &[record(b"", b"x")]), Err(BusError::UnknownPartition { .. })));
    let days = TopicSpec { retention: Retention::Days(3), ..TopicSpec::events(format!("{topic}.days"), 1) };
    bus.ensure(&days).expect("ensure");
    bus.ensure(&days).expect("the same again");
    let forever = TopicSpec { retention: Retention::Forever, ..days };
    assert!(matches!(bus.ensure(&forever), Err(BusError::Mismatch { .. })), "a topic that keeps less is refused");
}

fn a_replaced_topic_is_refused(topic: &str, open: Open<'_>) {
    let bus = open();
    let spec = TopicSpec::events(topic, 1);
    let info = bus.ensure(&spec).expect("ensure");
    let known: Vec<Incarnation> = info.partitions.iter().filter_map(|p| p.incarnation).collect();
    bus.ensure(&TopicSpec { known: known.clone(), ..spec.clone() }).expect("the one we know");
    let other = TopicSpec { known: vec![Incarnation([9; 16])], ..spec };
    assert!(matches!(bus.ensure(&other), Err(BusError::TopicLost { .. })));
    let gone = TopicSpec { known, ..TopicSpec::events(format!("{topic}.gone"), 1) };
    assert!(matches!(bus.ensure(&gone), Err(BusError::TopicLost { .. })), "an expected topic is not begun again");
    assert_eq!(bus.partitions(&gone.name).expect("partitions"), None);
}

fn foreign_topics_are_left_as_they_are(topic: &str, open: Open<'_>) {
    let bus = open();
    let info = bus.ensure(&TopicSpec { kind: TopicKind::Foreign, ..TopicSpec::foreign(topic, 1) }).expect("ensure");
    assert_eq!((info.partitions[0].end, info.partitions[0].incarnation), (0, None));
    append(&*bus, topic, 0, &numbered(0, 2));
    let found = read_all(&*bus, topic, 0, 0);
    assert_eq!(found, vec![(0, b"value 0".to_vec()), (1, b"value 1".to_vec())]);
}

fn positions_outside_the_log_are_errors(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::events(topic, 1)).expect("ensure");
    append(&*bus, topic, 0, &numbered(0, 5));
    let end = bus.end(topic, 0).expect("end");
    match bus.reader(topic, 0, end + 1).map(|_| ()) {
        Err(BusError::OffsetOutOfRange { asked, end: told, .. }) => assert_eq!((asked, told), (end + 1, end)),
        other => panic!("a position behind the end is not reset: {other:?}"),
    }
    let mut reader = bus.reader(topic, 0, end).expect("the end itself is a position");
    assert!(matches!(reader.seek(end + 7), Err(BusError::OffsetOutOfRange { .. })));
}

fn readers_wait_and_wake(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::events(topic, 1)).expect("ensure");
    let from = bus.end(topic, 0).expect("end");
    let mut reader = bus.reader(topic, 0, from).expect("reader");
    let mut batch = Batch::new();
    let began = Instant::now();
    assert_eq!(reader.poll(&mut batch, 1_000, Duration::from_millis(150)).expect("poll"), 0);
    assert!(began.elapsed() >= Duration::from_millis(140), "poll waits for its time");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            append(&*bus, topic, 0, &numbered(0, 1));
        });
        let began = Instant::now();
        assert_eq!(reader.poll(&mut batch, 1_000, PATIENCE).expect("poll"), 1);
        assert!(began.elapsed() < PATIENCE / 2, "poll wakes when there is something");
    });
}

fn writers_race_and_keep_their_order(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::events(topic, 1)).expect("ensure");
    let (writers, rounds, per_round) = (4_usize, 25_usize, 8_usize);
    std::thread::scope(|scope| {
        for who in 0..writers {
            let bus = &bus;
            scope.spawn(move || {
                let mut writer = bus.writer(topic).expect("writer");
                for round in 0..rounds {
                    let values: Vec<_> = (0..per_round)
                        .map(|i| [who as u64, (round * per_round + i) as u64].map(u64::to_be_bytes).concat())
                        .collect();
                    let records: Vec<_> = values.iter().map(|v| record(&v[..8], v)).collect();
                    writer.append(0, &records).expect("append");
                }
            });
        }
    });
    let mut next: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for (_, value) in read_all(&*bus, topic, 0, 0) {
        let (who, number) = value.split_at(8);
        let expected = next.entry(who.to_vec()).or_default();
        assert_eq!(number, expected.to_be_bytes(), "each writer's records once and in its order");
        *expected += 1;
    }
    assert!(next.len() == writers && next.values().all(|n| *n == (rounds * per_round) as u64));
}

fn tickets_pipeline_in_order(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::frames(topic, 2)).expect("ensure");
    let mut writer = bus.writer(topic).expect("writer");
    let values = numbered(0, 400);
    let tickets: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(i, value)| writer.submit(i as u32 % 2, &[record(b"", value)]).expect("submit"))
        .collect();
    let mut last = [0, 0];
    for (ticket, value) in tickets.into_iter().zip(&values) {
        let done = writer.wait(ticket, PATIENCE).expect("wait").expect("in time");
        let last = &mut last[done.partition as usize];
        assert!(done.first >= *last && done.next == done.first + 1);
        *last = done.next;
        if done.first % 100 == 1 {
            let mut reader = bus.reader(topic, done.partition, done.first).expect("reader");
            let mut batch = Batch::new();
            reader.poll(&mut batch, 1, PATIENCE).expect("poll");
            assert_eq!(batch.get(0).map(|r| (r.offset, r.value)), Some((done.first, value.as_slice())));
        }
    }
}

fn sizes_have_limits(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::events(topic, 1)).expect("ensure");
    let mut writer = bus.writer(topic).expect("writer");
    let large: Vec<u8> = (0..3_900_000_u32).map(|i| (i % 251) as u8).collect();
    writer.append(0, &[record(b"large", &large)]).expect("a record near the limit");
    let beyond = vec![0; MAX_RECORD_BYTES + 1];
    assert!(matches!(writer.append(0, &[record(b"", &beyond)]), Err(BusError::TooLarge { .. })));
    writer.append(0, &[record(b"", b"")]).expect("an empty record, and the writer still works");
    let found = read_all(&*bus, topic, 0, 0);
    assert_eq!(found.len(), 2);
    assert!(found[0].1 == large && found[1].1.is_empty());
}

fn small_polls_and_seeks_lose_nothing(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::events(topic, 1)).expect("ensure");
    for from in (0..200).step_by(20) {
        append(&*bus, topic, 0, &numbered(from, from + 20));
    }
    let all = read_all(&*bus, topic, 0, 0);
    assert_eq!(all.len(), 200);
    let mut batch = Batch::new();
    let mut reader = bus.reader(topic, 0, 0).expect("reader");
    let mut found = Vec::new();
    while found.len() < 200 {
        assert!(reader.poll(&mut batch, 1, PATIENCE).expect("poll") > 0);
        found.extend(batch.iter().map(|r| (r.offset, r.value.to_vec())));
    }
    assert_eq!(found, all);
    for pick in [133, 7, 199, 8, 0] {
        reader.seek(all[pick].0).expect("seek");
        reader.poll(&mut batch, 1, PATIENCE).expect("poll");
        assert_eq!(batch.get(0).map(|r| (r.offset, r.value.to_vec())), Some(all[pick].clone()), "after a seek");
    }
}

fn trim_moves_the_begin_and_nothing_else(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::events(topic, 1)).expect("ensure");
    for from in (0..60).step_by(10) {
        append(&*bus, topic, 0, &vec![vec![from as u8; 20_000]; 2]);
    }
    let all = read_all(&*bus, topic, 0, 0);
    let wanted = all[8].0;
    let begin = bus.trim(topic, 0, wanted).expect("trim");
    assert!(begin <= wanted);
    assert_eq!(bus.begin(topic, 0).expect("begin"), begin);
    if begin > 0 {
        assert!(matches!(bus.reader(topic, 0, begin - 1).map(|_| ()), Err(BusError::OffsetOutOfRange { .. })));
    }
    let left: Vec<_> = all.into_iter().filter(|(offset, _)| *offset >= begin).collect();
    assert_eq!(read_all(&*bus, topic, 0, begin), left);
    drop(bus);
    let bus = open();
    let info = bus.ensure(&TopicSpec::events(topic, 1)).expect("a trimmed topic is still the same one");
    assert!(info.partitions[0].incarnation.is_some());
    assert_eq!(info.partitions[0].begin, begin);
    assert_eq!(read_all(&*bus, topic, 0, begin), left);
}

fn stop_ends_waiting(topic: &str, open: Open<'_>) {
    let bus = open();
    bus.ensure(&TopicSpec::events(topic, 1)).expect("ensure");
    let end = bus.end(topic, 0).expect("end");
    let mut reader = bus.reader(topic, 0, end).expect("reader");
    let mut writer = bus.writer(topic).expect("writer");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            bus.stop();
        });
        let began = Instant::now();
        let mut batch = Batch::new();
        assert!(matches!(reader.poll(&mut batch, 1_000, PATIENCE), Err(BusError::Stopped)));
        assert!(began.elapsed() < PATIENCE / 2);
    });
    assert!(matches!(writer.append(0, &[record(b"", b"late")]), Err(BusError::Stopped)));
}
