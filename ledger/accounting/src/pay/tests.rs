//! Orders of people: what is booked, what is refused.

use super::*;
use crate::invariants::check_entry;
use expect_test::{Expect, expect};
use facts::deck::Price;

fn account(prepaid: bool) -> Account {
    Account {
        id: "acme".into(),
        carrier: "acme".into(),
        currency: Currency::new("EUR").unwrap(),
        prepaid,
        credit_limit: Price(0),
        reseller: "".into(),
        unidentified: false,
    }
}

fn order(kind: EntryKind, side: Side, amount: &str) -> Payment {
    Payment {
        id: "bank-1".into(),
        kind,
        account: "acme".into(),
        side,
        amount: amount.parse().unwrap(),
        currency: Currency::new("EUR").unwrap(),
        occurred_at: OccurredAt(0),
        by: "fay".into(),
        reason: "because".into(),
        adjusts: None,
        product: "premium".into(),
        destination: "Germany".into(),
    }
}

fn check(orders: &[(Payment, bool)], expected: Expect) {
    let mut text = String::new();
    for (order, prepaid) in orders {
        text += &format!("{} {} {}: ", order.kind.as_str(), order.side.as_str(), order.amount);
        match entry_for(order, Some(&account(*prepaid))) {
            Err(refusal) => text += &format!("{} ({refusal})\n", refusal.code()),
            Ok(entry) => {
                check_entry(&entry).unwrap();
                let lines = entry.postings.iter().map(|p| {
                    let names = [p.account.as_str(), &p.product, &p.destination].join(" ");
                    let line = format!("{} {names} {}", p.gl.as_str(), p.amount);
                    line.split_whitespace().collect::<Vec<_>>().join(" ")
                });
                text += &format!("{}\n", lines.collect::<Vec<_>>().join("; "));
            }
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn money_in_and_out_stands_on_the_right_lines() {
    use EntryKind::{Correction, Payment, Refund};
    let mut orders = Vec::new();
    for kind in [Payment, Refund, Correction] {
        for (side, prepaid) in [(Side::Sell, false), (Side::Sell, true), (Side::Buy, false)] {
            orders.push((order(kind, side, "100"), prepaid));
        }
    }
    orders.push((order(Correction, Side::Sell, "-2.5"), false));
    check(
        &orders,
        expect![[r#"
        payment sell 100: bank_clearing 100; unallocated_receipts acme -100
        payment sell 100: bank_clearing 100; prepayments acme -100
        payment buy 100: prepayments_made acme 100; bank_clearing -100
        refund sell 100: unallocated_receipts acme 100; bank_clearing -100
        refund sell 100: prepayments acme 100; bank_clearing -100
        refund buy 100: bank_clearing 100; prepayments_made acme -100
        correction sell 100: receivable_unbilled acme 100; revenue premium Germany -100
        correction sell 100: receivable_unbilled acme 100; revenue premium Germany -100
        correction buy 100: cost premium Germany 100; payable_unbilled acme -100
        correction sell -2.5: receivable_unbilled acme -2.5; revenue premium Germany 2.5
    "#]],
    );
}

#[test]
fn an_order_that_cannot_be_right_is_refused_by_name() {
    let good = || order(EntryKind::Payment, Side::Sell, "1");
    let bad = [
        Payment { amount: Amount(-1), ..good() },
        Payment { amount: Amount(0), kind: EntryKind::Correction, ..good() },
        Payment { amount: Amount(i128::MIN), kind: EntryKind::Correction, ..good() },
        Payment { currency: Currency::new("USD").unwrap(), ..good() },
        Payment { by: " ".into(), ..good() },
        Payment { id: "".into(), ..good() },
        Payment { id: "x".repeat(201).into(), ..good() },
        Payment { kind: EntryKind::Refund, reason: "".into(), ..good() },
        Payment { kind: EntryKind::Charge, ..good() },
    ];
    check(
        &bad.map(|order| (order, false)),
        expect![[r#"
        payment sell -0.000000000001: not_positive (amount -0.000000000001 of a payment must be above zero; a refund or correction goes the other way)
        correction sell 0: amount (amount is zero or beyond the range; give one below 10^26)
        correction sell -170141183460469231731687303.715884105728: amount (amount is zero or beyond the range; give one below 10^26)
        payment sell 1: other_currency (account acme is kept in EUR, the order says USD; exchange it first)
        payment sell 1: missing (by is missing; say it)
        payment sell 1: missing (id is missing; say it)
        payment sell 1: too_long (id has 201 bytes, more than 200; shorten it)
        refund sell 1: missing (reason is missing; say it)
        charge sell 1: kind (a charge cannot be ordered; use payment, refund or correction)
    "#]],
    );
    assert_eq!(entry_for(&good(), None).unwrap_err().code(), "unknown_account");
}

#[test]
fn a_reversal_undoes_an_order_to_the_last_digit_and_only_once() {
    let entry = entry_for(&order(EntryKind::Payment, Side::Sell, "100.01"), Some(&account(true))).unwrap();
    let undone = reversal_of(&entry, OccurredAt(5), "fay".into(), "wrong account".into()).unwrap();
    check_entry(&undone).unwrap();
    let mut book = crate::Book::new();
    let at = |seq| facts::xdr::Position { seq, index: 0 };
    book.apply_entry(at(1), &entry).unwrap();
    book.apply_entry(at(2), &undone).unwrap();
    assert!(book.lines().iter().all(|line| line.balance().is_zero()));
    assert_eq!(book.apply_entry(at(3), &undone), Ok(crate::Applied::Repeated(at(2))));
    let twice = reversal_of(&undone, OccurredAt(5), "fay".into(), "again".into());
    assert_eq!(twice.unwrap_err().code(), "not_reversible");
}
