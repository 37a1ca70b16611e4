//! Killed, fenced, restarted: the books come out the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::world::*;
use crate::snapshot::Store;
use crate::streams::ledger_source;
use crate::{Follower, LedgerError, LedgerView, verify};

fn undisturbed() -> (String, [u64; 5], u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let status = ledger.booked(&ends);
    assert_eq!(status.in_flight, 0);
    (status.root, status.entries, status.refused, status.seq)
}

#[test]
fn killed_at_every_frame_it_comes_to_the_same_books() {
    let (root, entries, refused, frames) = undisturbed();
    assert!(frames > 10 && entries[0] > 40 && refused == 3, "{frames} frames, {entries:?}, {refused}");
    for lands in [false, true] {
        for left in 0..=frames as i64 + 1 {
            let folder = tempfile::tempdir().unwrap();
            let bus = embedded(&folder.path().join("bus"));
            let ends = rate(&*bus, &busy_site());
            let fault = Arc::new(Fault { left: AtomicI64::new(left), lands, passing: false });
            let failing = Arc::new(Failing { inner: bus.clone(), fault: fault.clone() });
            let mut dying = options(failing, folder.path());
            dying.snapshot_every = Duration::from_millis(1);
            let ledger = Running::start(dying);
            // The fence is the first record, so `left` counts it too.
            if left <= frames as i64 {
                assert!(matches!(ledger.end(), Err(LedgerError::Bus(_))), "after {left}");
            } else {
                ledger.booked(&ends);
                drop(ledger);
            }
            let ledger = Running::start(options(bus.clone(), folder.path()));
            let status = ledger.booked(&ends);
            assert_eq!((&status.root, status.entries, status.refused), (&root, entries, refused), "{left} {lands}");
            drop(ledger);
            let report = verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap();
            assert!(report.ok, "after {left}: {:#?}", report.breaks);
            assert_eq!((report.root, report.not_booked_yet), (root.clone(), 0));
        }
    }
}

#[test]
fn a_full_disk_passes_and_nothing_is_booked_twice() {
    let (root, entries, ..) = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let fault = Arc::new(Fault { left: AtomicI64::new(5), lands: false, passing: true });
    let ledger = Running::start(options(Arc::new(Failing { inner: bus, fault: fault.clone() }), folder.path()));
    let status = ledger.booked(&ends);
    assert!(fault.left.load(Ordering::Relaxed) < 0);
    assert_eq!((status.root, status.entries), (root, entries));
    ledger.stop().unwrap();
}

#[test]
fn a_second_ledger_takes_over_and_the_first_one_stops() {
    let (root, entries, ..) = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let all = busy_site();
    let (now, later) = all.split_at(5);
    let ends = rate(&*bus, &now.to_vec());
    let first = Running::start(options(bus.clone(), &folder.path().join("a")));
    first.booked(&ends);
    let second = Running::start(options(bus.clone(), &folder.path().join("b")));
    second.booked(&ends);
    let ends = rate(&*bus, &later.to_vec());
    let status = second.booked(&ends);
    assert_eq!((&status.root, status.entries), (&root, entries));
    assert!(matches!(first.end(), Err(LedgerError::Stream(_))));
    second.stop().unwrap();
    let report = verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap();
    assert!(report.ok, "{:#?}", report.breaks);
    assert_eq!(report.root, root);
}

#[test]
fn a_restart_reads_only_the_rest_and_a_wrong_snapshot_is_not_believed() {
    let (root, entries, ..) = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let all = busy_site();
    let (now, later) = all.split_at(6);
    let ends = rate(&*bus, &now.to_vec());
    let ledger = Running::start(options(bus.clone(), folder.path()));
    ledger.booked(&ends);
    ledger.stop().unwrap();
    let store = Store::new(folder.path(), &ledger_source("main").stream);
    let snapshot = store.newest().unwrap();
    assert!(snapshot.state.seq() > 3 && snapshot.inputs.len() == 2);

    // A snapshot of another ledger, as long as this one, does not fit this log.
    let other = tempfile::tempdir().unwrap();
    let foreign = embedded(&other.path().join("bus"));
    let mut changed = now.to_vec();
    changed[0].1[0] = accounting::sample::priced(changed[0].1[0].clone(), 0, "77");
    let foreign_ends = rate(&*foreign, &changed);
    let ledger = Running::start(options(foreign, other.path()));
    ledger.booked(&foreign_ends);
    ledger.stop().unwrap();
    let foreign_store = Store::new(other.path(), &ledger_source("main").stream);
    assert!(!crate::snapshot::fits(&foreign_store.newest().unwrap(), &bus, &ids(), &ledger_source("main")));

    let ends = rate(&*bus, &later.to_vec());
    for data in [folder.path(), other.path()] {
        let ledger = Running::start(options(bus.clone(), data));
        let status = ledger.booked(&ends);
        assert_eq!((&status.root, status.entries), (&root, entries));
        ledger.stop().unwrap();
    }
    for data in [None, Some(folder.path())] {
        let (mut follower, view) = Follower::open(bus.clone(), &ids(), "main", config(), data).unwrap();
        follower.catch_up().unwrap();
        assert_eq!(view.status().unwrap().root, root);
    }
}
