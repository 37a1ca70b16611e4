//! Payments and reversals: durable before the answer, once, also after a restart.

use facts::OccurredAt;
use facts::entry::EntryKind;
use facts::xdr::Side;

use super::world::*;
use crate::{LedgerView, Order, OrderError, Payment};

pub fn payment(id: &str, account: &str, amount: &str) -> Payment {
    Payment {
        id: id.into(),
        kind: EntryKind::Payment,
        account: account.into(),
        side: Side::Sell,
        amount: amount.parse().unwrap(),
        currency: facts::Currency::new("EUR").unwrap(),
        occurred_at: OccurredAt(accounting::sample::NOON),
        by: "fay".into(),
        reason: "".into(),
        adjusts: None,
        product: "".into(),
        destination: "".into(),
    }
}

#[test]
fn a_payment_is_booked_once_whatever_is_sent_again_and_when() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let orders = ledger.door.orders.clone();
    let first = orders.place(Order::Pay(payment("bank-1", "pre", "50"))).unwrap();
    assert!(!first.repeated);
    assert!(ledger.door.view.status().unwrap().seq >= first.seq, "the answer came before the frame was durable");
    let again = orders.place(Order::Pay(payment("bank-1", "pre", "50"))).unwrap();
    assert_eq!((again.repeated, again.seq, again.index), (true, first.seq, first.index));
    let balance = &ledger.door.view.balances(Some("pre")).unwrap()[0];
    assert_eq!((balance.available.to_string(), balance.prepaid.to_string()), ("150".into(), "50".into()));

    for (order, code) in [
        (payment("bank-1", "pre", "51"), "id_reused"),
        (payment("bank-2", "nobody", "51"), "unknown_account"),
        (payment("bank-3", "pre", "-1"), "not_positive"),
    ] {
        match orders.place(Order::Pay(order)) {
            Err(OrderError::Refused(refusal)) => assert_eq!(refusal.code(), code),
            other => panic!("{other:?}"),
        }
    }

    ledger.stop().unwrap();
    let refused = orders.place(Order::Pay(payment("bank-9", "pre", "1")));
    assert!(matches!(refused, Err(OrderError::Unknown(_))), "{refused:?}");

    let ledger = Running::start(options(bus.clone(), folder.path()));
    let orders = ledger.door.orders.clone();
    let again = orders.place(Order::Pay(payment("bank-1", "pre", "50"))).unwrap();
    assert_eq!((again.repeated, again.seq), (true, first.seq));
    let reverse = |reason: &str| Order::Reverse {
        origin_id: first.origin_id,
        occurred_at: OccurredAt(accounting::sample::NOON),
        by: "fay".into(),
        reason: reason.into(),
    };
    assert!(!orders.place(reverse("wrong account")).unwrap().repeated);
    assert!(orders.place(reverse("wrong account")).unwrap().repeated);
    assert!(matches!(orders.place(reverse("")), Err(OrderError::Refused(_))));
    assert_eq!(ledger.door.view.balances(Some("pre")).unwrap()[0].available.to_string(), "100");
    let row = ledger.door.view.entry_at(at(first.seq, first.index)).unwrap().unwrap();
    assert_eq!((row.entry_id, row.by.as_str(), row.kind), (first.entry_id, "fay", EntryKind::Payment));
}

#[test]
fn orders_from_many_sides_and_calls_at_once_all_count() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let orders = ledger.door.orders.clone();
            std::thread::spawn(move || {
                for n in 0..10 {
                    orders.place(Order::Pay(payment(&format!("{thread}-{n}"), "acme", "0.5"))).unwrap();
                }
            })
        })
        .collect();
    let ends = rate(&*bus, &busy_site());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let status = ledger.booked(&ends);
    assert_eq!(status.entries[EntryKind::Payment as usize], 80);
    let trial = ledger.door.view.trial_balance().unwrap();
    assert_eq!(trial.iter().map(|row| row.balance.0).sum::<i128>(), 0);
    let bank = trial.iter().find(|row| row.gl == facts::entry::Gl::BankClearing).unwrap();
    assert_eq!(bank.balance.to_string(), "40");
}
