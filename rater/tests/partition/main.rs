//! Raters on the embedded bus, fed with a generated day full of flaws: what they write must be what the generator's own
//! answer says, also when they die at any frame, fight for a partition, or are fed what is no event.

use bus::{Bus, BusError, Layer, PartitionInfo, Record, TopicInfo, TopicSpec, murmur2_partition};
use facts::call::{BusRecord, CallEvent, EventKind, ImportEnd, Leg, Reject};
use facts::ids::{EventId, ImportId};
use facts::time::{ObservedAt, OccurredAt};
use rater::{RaterOptions, RaterStats, run_partition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use traffic::View;

mod house;
mod memory;
mod orders;

use house::*;

#[test]
fn a_day_full_of_flaws_is_rated_to_the_last_digit_of_the_answer() {
    let house = House::new();
    house.send_day();
    for partition in 0..PARTITIONS {
        let stats = house.settle(house.options(partition));
        assert_eq!((stats.open_calls.load(Ordering::Relaxed), stats.trouble()), (0, None));
    }
    let answer = scenario().0.answer(View::Events, None);
    let books = house.books();
    let (totals, unrated) = books.totals();
    let mut expected_unrated = BTreeMap::new();
    for x in &answer.unrated {
        for (answered, count) in [(true, x.answered), (false, x.unanswered)] {
            if count > 0 {
                expected_unrated.insert((x.side, x.reason, answered), count);
            }
        }
    }
    let mut expected = Totals::new();
    for x in &answer.sides {
        let billed = x.billed + x.provisional_billed;
        let line = (x.xdrs, x.answered, x.amount, x.provisional_amount, x.charged, billed);
        expected.insert((x.account.to_string(), x.side), line);
    }
    assert_eq!(books.calls.len() as u64, answer.rated_calls);
    assert_eq!(books.suspended.len() as u64, answer.suspended);
    let estimated = books.calls.values().filter(|rated| rated.call.estimated).count() as u64;
    assert_eq!(estimated, answer.estimated);
    assert_eq!(unrated, expected_unrated);
    assert_eq!(totals, expected);
    // The flaws must be there, else this proves little.
    assert!(books.revised > 0 && answer.suspended > 0 && answer.estimated > 0 && unrated.len() > 4, "{unrated:?}");
}

/// Ends of two imports and rejects among the events, so that counts are at stake as well.
fn send_imports(house: &House, boot_epoch: i64) {
    let import = |n: u8| ImportId([n; 16]);
    let at = scenario().0.settled_at();
    let mut records = Vec::new();
    for line in 1..=900u64 {
        let key = format!("file-{}", line % 700);
        let mut event = CallEvent::new(EventKind::Record, "file", "sw", &key, OccurredAt(at.0 - 60_000_000));
        event.id = EventId { node: "ingest".into(), boot_epoch, partition: 0, sequence: line };
        (event.leg, event.attempt_key, event.last_attempt) = (Leg::Both, "b".into(), true);
        event.observed_at = ObservedAt(at.0 + line as i64);
        event.ended_at = Some(OccurredAt(at.0));
        (event.import, event.line) = (Some(import(1)), line);
        event.dedupe = Some(facts::ids::DedupeKey::of_record_id("file", "sw", &key));
        let partition = murmur2_partition(key.as_bytes(), PARTITIONS);
        event.id.partition = partition;
        records.push((partition, BusRecord::Event(Box::new(event))));
        if line % 100 == 0 {
            let reject = Reject {
                source: "drop".into(),
                import: Some(import(1)),
                line,
                byte: 0,
                field: "duration".into(),
                reason: "no number".into(),
                advice: "mend it".into(),
                raw: None,
                observed_at: at,
            };
            records.push(((line / 100 % 2) as u32, BusRecord::Reject(Box::new(reject))));
        }
    }
    for partition in 0..PARTITIONS {
        let sent_here = records.iter().filter(|(p, _)| *p == partition).count() as u64;
        let end = ImportEnd {
            import: import(1),
            source: "drop".into(),
            file: "f.csv".into(),
            sent_here,
            sent: 909,
            observed_at: ObservedAt(at.0 + 901),
        };
        records.push((partition, BusRecord::ImportEnd(end)));
    }
    house.send(records.into_iter());
}

/// Forty owners of a partition one after the other, most of which die soon; returns how many did. `between` comes after
/// each.
fn die_often(
    house: &House,
    partition: u32,
    with: &dyn Fn(RaterOptions) -> RaterOptions,
    between: &mut dyn FnMut(usize),
) -> usize {
    let mut deaths = 0;
    for round in 0..40usize {
        let lives = Arc::new(AtomicI64::new(1 + round as i64 % 3));
        let bus: Arc<dyn Bus> = Arc::new(Mortal { bus: house.bus.clone(), lives: lives.clone() });
        // Small bites make many frames; some owners never get as far as their first state.
        let options = with(RaterOptions {
            bus,
            poll_bytes: 1_500 + 300 * round,
            state_frames: 1 + round as u64 % 4,
            ..house.options(partition)
        });
        let stop = AtomicBool::new(false);
        let stats = RaterStats::default();
        let end = house.bus.end(TOPIC, partition).unwrap();
        std::thread::scope(|scope| {
            let _stop = Stop(&stop);
            let running = scope.spawn(|| run_partition(options, &stop, &stats));
            while !running.is_finished() && stats.progress().0 < end {
                std::thread::sleep(Duration::from_millis(2));
            }
            stop.store(true, Ordering::SeqCst);
            running.join().unwrap().unwrap();
        });
        deaths += usize::from(lives.load(Ordering::SeqCst) < 0);
        between(round);
    }
    deaths
}

#[test]
fn dying_after_any_frame_changes_no_figure() {
    let still = House::new();
    still.send_day();
    send_imports(&still, 5);
    (0..PARTITIONS).for_each(|partition| drop(still.settle(still.options(partition))));
    let expected = still.books();
    assert_eq!(expected.imports.len(), 2);
    assert!(expected.imports.values().all(|count| count.complete), "{:?}", expected.imports);
    assert_eq!(expected.repeated(), 200, "{:?}", expected.imports);

    let house = House::new();
    house.send_day();
    send_imports(&house, 5);
    let mut deaths = 0;
    for partition in 0..PARTITIONS {
        deaths += die_often(&house, partition, &|options| options, &mut |_| ());
        house.settle(house.options(partition));
    }
    assert!(deaths > 15, "only {deaths} owners died");
    compare(&house.books(), &expected);
}

#[test]
fn two_raters_of_one_partition_write_every_call_once() {
    let house = House::new();
    house.send_day();
    let stop = AtomicBool::new(false);
    let (one, two) = (RaterStats::default(), RaterStats::default());
    let end = house.bus.end(TOPIC, 0).unwrap();
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let small = |owner: &str| RaterOptions { poll_bytes: 9_000, owner: owner.into(), ..house.options(0) };
        let (a, b) = (small("one"), small("two"));
        scope.spawn(|| run_partition(a, &stop, &one));
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            run_partition(b, &stop, &two)
        });
        let until = Instant::now() + Duration::from_secs(100);
        while one.progress().0.max(two.progress().0) < end || (one.trouble().is_none() && two.trouble().is_none()) {
            assert!(Instant::now() < until, "{:?} {:?} of {end}", one.progress(), two.progress());
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let trouble = one.trouble().or(two.trouble()).unwrap();
    assert!(trouble.contains("has taken over") || trouble.contains("did not come back"), "{trouble}");
    (0..PARTITIONS).for_each(|partition| drop(house.settle(house.options(partition))));
    // `books` itself refuses a call that was written first twice.
    assert_eq!(house.books().calls.len() as u64, scenario().0.answer(View::Events, None).rated_calls);
}

#[test]
fn what_is_no_event_is_refused_by_name_and_the_rest_goes_on() {
    let house = House::new();
    let mut event = CallEvent::new(EventKind::Started, "d", "sw", "key", OccurredAt(0));
    event.id.node = "n".into();
    let wrong = 1 - murmur2_partition(b"key", PARTITIONS);
    house.send([(wrong, BusRecord::Event(Box::new(event)))].into_iter());
    let mut writer = house.bus.writer(TOPIC).unwrap();
    writer.append(wrong, &[Record { key: b"", value: b"no avro at all", timestamp_ms: 0 }]).unwrap();
    house.settle(house.options(wrong));
    let books = {
        house.settle(house.options(1 - wrong));
        house.books()
    };
    assert_eq!(books.other.len(), 2, "{:?}", books.other);
    assert!(books.other[0].starts_with("reject misplaced: call key \"key\""), "{:?}", books.other);
    assert!(books.other[1].starts_with("reject unreadable: "), "{:?}", books.other);
}

#[test]
fn a_record_of_the_future_waits_for_its_time() {
    let house = House::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    let tick = |observed_at| BusRecord::Tick { node: "n".into(), observed_at: ObservedAt(observed_at) };
    house.send([(0, tick(now + 1_500_000))].into_iter());
    let began = Instant::now();
    house.settle(house.options(0));
    assert!(began.elapsed() > Duration::from_millis(1_000));
    house.send([(0, tick(now + 3_600_000_000))].into_iter());
    let (stop, stats) = (AtomicBool::new(false), RaterStats::default());
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let running = scope.spawn(|| run_partition(house.options(0), &stop, &stats));
        let until = Instant::now() + Duration::from_secs(20);
        while stats.trouble().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::SeqCst);
        running.join().unwrap().unwrap();
    });
    let trouble = stats.trouble().unwrap();
    assert!(trouble.contains("stands still at offset 2") && trouble.contains("set the clocks right"), "{trouble}");
    assert!(trouble.contains("tandem config void 0 2 --reason"), "{trouble}");
}

#[test]
fn another_log_under_the_same_name_is_refused() {
    let house = House::new();
    house.send_day();
    house.settle(house.options(0));
    /// The same bus, with call-events begun anew.
    struct Anew(Mortal);
    impl Layer for Anew {
        fn inner(&self) -> &dyn Bus {
            &self.0
        }

        fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, BusError> {
            let mut info = self.inner().ensure(spec)?;
            if spec.name == TOPIC {
                let other =
                    |p: &PartitionInfo| PartitionInfo { incarnation: Some(facts::stream::Incarnation([7; 16])), ..*p };
                info.partitions = info.partitions.iter().map(other).collect();
            }
            Ok(info)
        }

        fn stop(&self) {}
    }
    let lives = Arc::new(AtomicI64::new(1_000));
    let bus: Arc<dyn Bus> = Arc::new(Anew(Mortal { bus: house.bus.clone(), lives }));
    let options = RaterOptions { bus, ..house.options(0) };
    let refused = run_partition(options, &AtomicBool::new(false), &RaterStats::default());
    let text = refused.unwrap_err().to_string();
    assert!(text.starts_with("call-events/0 is not the log that xdrs.main.0 was made from"), "{text}");
}

#[test]
fn both_ways_of_pricing_in_the_bench_come_to_the_same_sum() {
    let figure = rater::bench::price_both_sides(20_000, 3_000).expect("the sums differ");
    assert_eq!(figure.calls, 3_000);
    assert_eq!(rater::bench::steps(2_000, 500).calls, 500);
}
