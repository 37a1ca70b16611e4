//! Operators' orders: a record of the future is passed over where one says so.

use super::house::*;
use bus::murmur2_partition;
use facts::call::{BusRecord, CallEvent, EventKind, Leg};
use facts::config::ConfigItem;
use facts::ids::{EventId, ImportId};
use facts::time::{ObservedAt, OccurredAt};
use rater::{ConfigNow, RaterOptions, RaterStats, run_partition};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn an_order_passes_over_a_record_of_the_future_and_nothing_else() {
    let house = House::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    let key = (0..).map(|n| format!("k{n}")).find(|key| murmur2_partition(key.as_bytes(), PARTITIONS) == 0).unwrap();
    let mut sequence = 0;
    let mut event = |kind, ahead: i64| {
        let mut event = CallEvent::new(kind, "d", "sw", &key, OccurredAt(now));
        event.id = EventId { node: "n".into(), boot_epoch: 1, partition: 0, sequence };
        sequence += 1;
        if kind != EventKind::Started {
            (event.leg, event.attempt_key) = (Leg::Both, "b".into());
        }
        event.observed_at = ObservedAt(now + ahead);
        event.import = Some(ImportId([4; 16]));
        (0, BusRecord::Event(Box::new(event)))
    };
    // A call that stays open, so that its events and the one passed over are read again by the next owner.
    let year = 365 * 86_400_000_000;
    house
        .send([event(EventKind::Started, 0), event(EventKind::Answered, 0), event(EventKind::Ended, year)].into_iter());
    let orders = Arc::new(std::sync::RwLock::new(scenario().1.clone()));
    let config: ConfigNow = {
        let orders = orders.clone();
        Arc::new(move || orders.read().unwrap().clone())
    };
    let give = |offset| {
        let mut next = (**orders.read().unwrap()).clone();
        next.seq += 1;
        let reason = "the clock of n ran a year ahead".to_owned();
        next.apply(ConfigItem::VoidOrder(facts::config::VoidOrder { partition: 0, offset, reason }));
        *orders.write().unwrap() = Arc::new(next);
    };
    // An order for a record whose time has come says nothing.
    give(2);
    let options = || RaterOptions { config: config.clone(), ..house.options(0) };
    let (stop, stats) = (AtomicBool::new(false), RaterStats::default());
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let running = scope.spawn(|| run_partition(options(), &stop, &stats));
        let until = Instant::now() + Duration::from_secs(20);
        while stats.trouble().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(stats.trouble().unwrap().contains("offset 3"), "{:?}", stats.trouble());
        give(3);
        while stats.progress().0 < 4 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((stats.progress().0, stats.trouble()), (4, None));
        assert_eq!(stats.open_calls.load(Ordering::Relaxed), 1, "the start was folded, the end was not");
        stop.store(true, Ordering::SeqCst);
        running.join().unwrap().unwrap();
    });
    // The next owner reads the open call's events again, and leaves out the same one.
    house.send([event(EventKind::Interim, 1)].into_iter());
    let stats = house.settle(options());
    house.settle(house.options(1));
    assert_eq!(stats.open_calls.load(Ordering::Relaxed), 1, "an end that was passed over has ended the call");
    let books = house.books();
    assert_eq!(books.other, ["reject void_order: the clock of n ran a year ahead"]);
    let counts: Vec<_> =
        books.imports.values().map(|it| (it.read, it.accepted, it.repeated, it.rejected, it.complete)).collect();
    assert_eq!(counts, [(4, 3, 0, 1, false)]);
}
