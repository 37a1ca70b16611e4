//! From one fold version to the next, and from one program to the next: the same books, whoever dies on the way; a program
//! whose fold differs or that is too old writes nothing.

use accounting::{FOLD_VERSION, TRIAL_FOLD};
use bus::Bus;
use bus::config_log::{Author, ConfigFollower, publish};
use bus::stream::StreamReader;
use facts::BookedAt;
use facts::config::{Config, ConfigItem, FoldVersion};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use super::orders::payment;
use super::world::*;
use crate::run::wall_micros;
use crate::snapshot::Store;
use crate::streams::ledger_source;
use crate::{BreakKind, ConfigNow, Follower, LedgerError, LedgerOptions, LedgerView, Order, verify};

/// The configuration of the tests with an order for a version.
fn ordering(version: u32, from: i64) -> ConfigNow {
    let mut config: Config = (*config()()).clone();
    config.apply(ConfigItem::FoldVersion(FoldVersion { version, from: BookedAt(from) }));
    let config = Arc::new(config);
    Arc::new(move || config.clone())
}

fn versions(bus: &dyn Bus) -> Vec<u32> {
    let mut all = Vec::new();
    let mut reader = StreamReader::open(bus, &ids(), "ledger.main").unwrap();
    let note = &mut |accepted: bus::stream::Accepted<'_>| {
        all.push(accepted.frame.header.fold_version);
        Ok::<(), LedgerError>(())
    };
    reader.catch_up(bus, note).unwrap();
    all
}

/// Booked by the first version and stopped; then goes on under the order, dying at its `left`th record, and again.
fn switched(left: i64, lands: bool) -> (String, Vec<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let (before, after): (Frames, Frames) = busy_site().into_iter().enumerate().fold(
        (Frames::new(), Frames::new()),
        |(mut before, mut after), (n, frame)| {
            if n < 6 {
                before.push(frame)
            } else {
                after.push(frame)
            }
            (before, after)
        },
    );
    let ends = rate(&*bus, &before);
    let ledger = Running::start(options(bus.clone(), folder.path()));
    ledger.booked(&ends);
    ledger.stop().unwrap();
    let ends = rate(&*bus, &after);
    let config = ordering(TRIAL_FOLD, 0);
    let fault = Arc::new(Fault { left: AtomicI64::new(left), lands, passing: false });
    let failing = Arc::new(Failing { inner: bus.clone(), fault });
    let ledger = Running::start(LedgerOptions { config: config.clone(), ..options(failing, folder.path()) });
    if left < 5 {
        assert!(matches!(ledger.end(), Err(LedgerError::Bus(_))), "after {left}");
    } else {
        drop(ledger);
    }
    let ledger = Running::start(LedgerOptions { config: config.clone(), ..options(bus.clone(), folder.path()) });
    let status = ledger.booked(&ends);
    // Orders go on, and whoever only reads comes to the same root.
    ledger.door.orders.place(Order::Pay(payment("p", "acme", "5"))).unwrap();
    let root = ledger.door.view.status().unwrap().root;
    assert_ne!(root, status.root);
    ledger.stop().unwrap();
    let (_, view) = Follower::open(bus.clone(), &ids(), "main", config, None).unwrap();
    assert_eq!(view.status().unwrap().root, root, "{left} {lands}");
    let report = verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap();
    assert!(report.ok && report.not_booked_yet == 0, "{:#?}", report.breaks);
    (root, versions(&*bus))
}

#[test]
fn killed_at_every_frame_of_the_switch_the_books_and_the_cut_are_the_same() {
    let (root, _) = switched(100, false);
    for (left, lands) in (0..5).flat_map(|left| [(left, false), (left, true)]) {
        let (one, versions) = switched(left, lands);
        assert_eq!(one, root, "{left} {lands}");
        assert!(versions.is_sorted() && versions.contains(&FOLD_VERSION) && versions.contains(&TRIAL_FOLD));
    }
}

fn run_to_end(options: LedgerOptions) -> LedgerError {
    Running::start(options).end().unwrap_err()
}

#[test]
fn a_program_that_is_too_old_for_what_is_ordered_writes_nothing_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let ledger = Running::start(options(bus.clone(), folder.path()));
    ledger.booked(&ends);
    ledger.stop().unwrap();
    let end = bus.end("ledger.main", 0).unwrap();
    // Ordered for tomorrow: it must not even begin.
    let config = ordering(TRIAL_FOLD + 1, wall_micros() + 86_400_000_000);
    let error = run_to_end(LedgerOptions { config, ..options(bus.clone(), folder.path()) });
    assert!(matches!(error, LedgerError::FoldOrdered { version: 3, newest: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("start the newer program on the same data"), "{error}");
    assert_eq!(bus.end("ledger.main", 0).unwrap(), end);
}

/// Puts a newest snapshot in place that says something else than the log: what a program with another fold would say.
fn spoil(data: &Path) {
    let store = Store::new(data, &ledger_source("main").stream);
    let mut newest = store.newest().unwrap();
    let terms = config()();
    let strange = accounting::pay::entry_for(&payment("strange", "acme", "1"), terms.accounts.get("acme")).unwrap();
    newest.fold.book.apply_entry(at(1, 0), &strange).unwrap();
    let bytes =
        crate::snapshot::encode(&mut newest.fold, &newest.state, newest.next_offset, &newest.inputs, &newest.notes)
            .unwrap();
    store.write(newest.state.seq(), &bytes).unwrap();
}

#[test]
fn another_program_takes_over_only_after_its_fold_came_to_the_same_roots() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let by = |program: &str| LedgerOptions { program: program.into(), ..options(bus.clone(), folder.path()) };
    let ledger = Running::start(by("one"));
    ledger.booked(&ends);
    ledger.stop().unwrap();
    let shadowed = crate::shadow::gate(&by("two")).unwrap().expect("another program folds in shadow");
    assert!(shadowed.from == 1 && shadowed.to > 10 && shadowed.roots > 3, "{shadowed:?}");
    assert_eq!(crate::shadow::gate(&by("two")).unwrap(), None, "once");
    let ledger = Running::start(by("two"));
    ledger.booked(&ends);
    ledger.stop().unwrap();

    spoil(folder.path());
    let end = bus.end("ledger.main", 0).unwrap();
    let error = run_to_end(by("three"));
    assert!(matches!(error, LedgerError::Shadow { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("of acme") && said.contains("nothing was written"), "{said}");
    assert_eq!(bus.end("ledger.main", 0).unwrap(), end, "it claimed nothing");
}

#[test]
fn frames_of_a_version_that_nobody_ordered_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let author = Author { by: "anna", comment: "", owner: "test", wall_micros: wall_micros() };
    let mut follower = ConfigFollower::open(&*bus, &ids()).unwrap();
    for _ in 0..4 {
        publish(&*bus, &mut follower, &[], author).unwrap();
    }
    let ledger =
        Running::start(LedgerOptions { config: ordering(TRIAL_FOLD, 0), ..options(bus.clone(), folder.path()) });
    ledger.booked(&ends);
    ledger.stop().unwrap();
    let report = verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap();
    let first = report.breaks.first().expect("it is found");
    assert_eq!(first.kind, BreakKind::Config);
    assert!(first.detail.contains("fold version 2"), "{}", first.detail);
}
