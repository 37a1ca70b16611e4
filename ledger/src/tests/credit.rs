//! Holds: durable before the answer, ended by their charge in the same frame, the same after a death at any frame.

use accounting::attempts::AttemptWish;
use accounting::authorise::{Offered, Refusal, Wish};
use accounting::credit::Offer;
use accounting::newcomers::NewCustomers;
use accounting::sample::rated;
use facts::entry::{EntryKind, hold_id};
use facts::ids::CallId;
use facts::{Amount, Currency, E164, OccurredAt, Prefix};
use smallvec::smallvec;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use super::orders::payment;
use super::world::*;
use crate::{CreditAnswer, CreditAsk, CreditError, Follower, LedgerOptions, LedgerView, Order, Orders, verify};

/// 0.10 a minute, 60/60; the call is that of `sample::rated(key, ..)`.
fn wish(key: &str, account: &str) -> Wish {
    let tenth: Amount = "0.1".parse().unwrap();
    let offer = Offer { first: tenth, first_seconds: 60, next: tenth, next_seconds: 60, decimals: 6 };
    let line = Offered {
        account: account.into(),
        level: 0,
        currency: Currency::new("EUR").unwrap(),
        offer,
        minute: tenth,
        deck: "az".into(),
        deck_version: 1,
        prefix: Prefix::new("49").unwrap(),
        destination: "Germany".into(),
    };
    let (call_id, called) = (CallId::new("test", "sw1", key), E164::from_digits("4930123").unwrap());
    Wish { trunk: Default::default(), call_id, at: OccurredAt(0), called, extendable: true, lines: smallvec![line] }
}

fn ask(orders: &Orders, ask: CreditAsk) -> Result<CreditAnswer, CreditError> {
    orders.ask(ask)?.blocking_recv().unwrap_or_else(|_| Err(CreditError::Unknown("it has gone".into())))
}

fn authorise(orders: &Orders, key: &str, account: &str) -> Result<CreditAnswer, CreditError> {
    ask(orders, CreditAsk::Authorise(Box::new(wish(key, account))))
}

#[test]
fn a_hold_ends_with_its_charge_and_a_follower_and_a_snapshot_see_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let orders = ledger.door.orders.clone();
    orders.place(Order::Pay(payment("p1", "pre", "1"))).unwrap();
    for key in ["c1", "free", "open"] {
        let answer = authorise(&orders, key, "pre").unwrap();
        let CreditAnswer::Held { hold, allowed, repeated: false } = answer else { panic!("{answer:?}") };
        assert_eq!((hold.seconds, allowed > 59_000), (360, true));
        assert!(ledger.door.view.status().unwrap().in_flight == 0, "answered before it was durable");
    }
    let balance = || ledger.door.view.balances(Some("pre")).unwrap().remove(0);
    assert_eq!((balance().held.to_string(), balance().calls), ("1.8".to_string(), 3));
    // c1 costs 0.25, `free` nothing; both end, and a second hold of theirs is refused.
    let ends = rate(&*bus, &vec![(0, vec![rated("c1", ("pre", "0.25"), &[]), rated("free", ("pre", "0"), &[])])]);
    ledger.booked(&ends);
    assert_eq!((balance().held.to_string(), balance().available.to_string()), ("0.6".into(), "100.15".into()));
    for key in ["c1", "free"] {
        assert_eq!(authorise(&orders, key, "pre"), Err(CreditError::Refused(Refusal::Ended)));
    }
    let open = hold_id(CallId::new("test", "sw1", "open"));
    let more = ask(&orders, CreditAsk::Extend { hold_id: open, held: 360 }).unwrap();
    let CreditAnswer::Held { hold, .. } = more else { panic!("{more:?}") };
    assert_eq!((hold.seconds, balance().held.to_string()), (660, "1.1".into()));

    let (follower, view) = Follower::open(bus.clone(), &ids(), "main", config(), None).unwrap();
    assert_eq!(view.balances(Some("pre")).unwrap(), vec![balance()]);
    let root = ledger.door.view.status().unwrap().root;
    assert_eq!(view.status().unwrap().root, root);
    drop(follower);
    ledger.stop().unwrap();
    // From the snapshot of its end: the same root, and the hold is still known.
    let ledger = Running::start(options(bus.clone(), folder.path()));
    assert_eq!(ledger.door.view.status().unwrap().root, root);
    let orders = ledger.door.orders.clone();
    let again = authorise(&orders, "open", "pre").unwrap();
    assert!(matches!(again, CreditAnswer::Held { repeated: true, ref hold, .. } if hold.seconds == 660), "{again:?}");
    for repeated in [false, true] {
        let released = ask(&orders, CreditAsk::Release { hold_id: open });
        assert_eq!(released, Ok(CreditAnswer::Released { repeated }));
    }
    drop(ledger);
    let report = verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap();
    assert!(report.ok, "{:#?}", report.breaks);
}

/// Each vendor that is tried holds what we may come to owe it; the rated call ends those that it prices.
#[test]
fn attempts_hold_what_we_may_owe_and_end_with_their_price() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let orders = ledger.door.orders.clone();
    let call = rated("c1", ("pre", "0.25"), &[("carrier-x", "0.1")]);
    let Wish { call_id, at, extendable, lines, .. } = wish("c1", "carrier-x");
    assert_eq!(call_id, call.call.call_id);
    let line = lines.into_iter().next().unwrap();
    let tried = call.call.attempts[0].key.clone();
    for attempt_key in [tried, "other".into()] {
        let wish = AttemptWish { call_id, attempt_key, at, extendable, line: line.clone() };
        let answer = ask(&orders, CreditAsk::Attempt(Box::new(wish))).unwrap();
        assert!(matches!(answer, CreditAnswer::Held { repeated: false, .. }), "{answer:?}");
    }
    authorise(&orders, "c1", "pre").unwrap();
    let held = || {
        let open = ledger.door.view.holds(None).unwrap();
        open.iter().map(|hold| hold.account.to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ledger.door.view.holds(Some("carrier-x")).unwrap().len(), 2);
    let ends = rate(&*bus, &vec![(0, vec![call])]);
    ledger.booked(&ends);
    assert_eq!(
        (held(), ledger.door.view.holds(None).unwrap().len()),
        (["carrier-x".to_string()].into(), 1),
        "one was never tried"
    );
    drop(ledger);
    let report = verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap();
    assert!(report.ok, "{:#?}", report.breaks);
}

/// Who asks for a call for the first time is restricted in the same frame, and after a death still.
#[test]
fn a_new_customer_is_restricted_before_its_first_call() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let restricted = || {
        let terms = NewCustomers { calls: 1, ..NewCustomers::default() };
        LedgerOptions { new_customers: Some(terms), ..options(bus.clone(), folder.path()) }
    };
    let ledger = Running::start(restricted());
    let orders = ledger.door.orders.clone();
    authorise(&orders, "k1", "pre").unwrap();
    assert_eq!(authorise(&orders, "k2", "pre"), Err(CreditError::Refused(Refusal::Calls)));
    drop(ledger);
    let ledger = Running::start(restricted());
    let orders = ledger.door.orders.clone();
    assert_eq!(authorise(&orders, "k2", "pre"), Err(CreditError::Refused(Refusal::Calls)));
    let caps = crate::api::CapsOrder {
        id: "anna 1".into(),
        account: "pre".into(),
        by: "anna".into(),
        reason: "known well".into(),
        ..Default::default()
    };
    orders.place(Order::Caps(caps)).unwrap();
    authorise(&orders, "k2", "pre").unwrap();
}

/// The ledger dies at its n-th record, for every n, with the record lost or landed: what was confirmed is held.
#[test]
fn a_confirmed_hold_outlives_a_death_at_any_frame() {
    for lands in [false, true] {
        for left in 1..14 {
            let folder = tempfile::tempdir().unwrap();
            let bus = embedded(&folder.path().join("bus"));
            let fault = Arc::new(crate::tests::world::Fault { left: AtomicI64::new(left), lands, passing: false });
            let failing = Arc::new(Failing { inner: bus.clone(), fault });
            let ledger = Running::start(options(failing, folder.path()));
            let orders = ledger.door.orders.clone();
            let mut confirmed = Vec::new();
            for n in 0..20 {
                let key = format!("k{n}");
                match authorise(&orders, &key, "pre") {
                    Ok(_) => confirmed.push(key),
                    Err(CreditError::Unknown(_)) => break,
                    other => panic!("{other:?}"),
                }
            }
            assert!(ledger.end().is_err());
            let ledger = Running::start(options(bus.clone(), folder.path()));
            let status = ledger.door.view.status().unwrap();
            let calls = ledger.door.view.balances(Some("pre")).unwrap()[0].calls as usize;
            assert!(calls == confirmed.len() || calls == confirmed.len() + 1, "{calls} of {confirmed:?}, {status:?}");
            for key in &confirmed {
                let again = authorise(&ledger.door.orders, key, "pre").unwrap();
                assert!(matches!(again, CreditAnswer::Held { repeated: true, .. }), "{key} was confirmed and is lost");
            }
            drop(ledger);
            assert!(verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap().ok);
        }
    }
}

/// A thousand callers at once on one account: as many are held as the money pays for, and not one more.
#[test]
fn a_thousand_callers_at_once_get_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let orders = ledger.door.orders.clone();
    let debt =
        crate::Payment { kind: EntryKind::Correction, reason: "old debt".into(), ..payment("d", "pre", "70.05") };
    orders.place(Order::Pay(debt)).unwrap();
    let answers: Vec<_> = (0..1_000)
        .map(|n| orders.ask(CreditAsk::Authorise(Box::new(wish(&format!("k{n}"), "pre")))).unwrap())
        .collect();
    let answers = answers.into_iter().map(|answer| answer.blocking_recv().unwrap());
    let held: Vec<u32> = answers
        .filter_map(|answer| match answer {
            Ok(CreditAnswer::Held { hold, .. }) => Some(hold.seconds),
            Err(CreditError::Refused(Refusal::Credit)) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    // 29.95 = 49 times 0.60 and once the 0.50 that are left.
    assert_eq!((held.len(), held.iter().sum::<u32>()), (50, 49 * 360 + 300));
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(ledger.door.view.balances(Some("pre")).unwrap()[0].available.to_string(), "0.05");
}

/// Whoever reads `notices.SITE` hears of an account that runs low, and once.
#[test]
fn an_account_that_runs_low_is_told_of_on_a_topic() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let orders = ledger.door.orders.clone();
    let caps = crate::api::CapsOrder {
        id: "c".into(),
        account: "pre".into(),
        low_balance: Some("99.5".parse().unwrap()),
        by: "fay".into(),
        reason: "watch".into(),
        ..Default::default()
    };
    orders.place(Order::Caps(caps.clone())).unwrap();
    let again = orders.place(Order::Caps(caps)).unwrap();
    assert!(again.repeated);
    authorise(&orders, "k1", "pre").unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while bus.end("notices.main", 0).is_ok_and(|end| end < 2) || bus.partitions("notices.main").unwrap().is_none() {
        assert!(std::time::Instant::now() < until, "no notice within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(bus.end("notices.main", 0).unwrap(), 2, "the incarnation and one notice");
    let (mut reader, mut batch) = (bus.reader("notices.main", 0, 1).unwrap(), bus::Batch::new());
    reader.poll(&mut batch, 1 << 20, Duration::from_secs(5)).unwrap();
    let notice = schemas::notice::decode(batch.get(0).unwrap().value, &ids()).unwrap();
    assert_eq!((notice.account.as_str(), notice.value.to_string().as_str()), ("pre", "99.4"));
}
