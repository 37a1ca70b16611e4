//! Tests of `holds`: what may stand in a stream, and that the state root sees all of it.

use super::*;
use crate::book::Book;
use facts::ids::CallId;
use facts::xdr::Position;
use facts::{Currency, Prefix};
use smallvec::smallvec;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn hold(call: u8, held: &str) -> Hold {
    let line = HoldLine {
        account: "pre".into(),
        level: 0,
        currency: Currency::new("USD").unwrap(),
        amount: amount(held),
        first: amount("0.1"),
        first_seconds: 60,
        next: amount("0.1"),
        next_seconds: 60,
        decimals: 6,
        deck: "az".into(),
        deck_version: 1,
        prefix: Prefix::new("49").unwrap(),
        destination: "Germany".into(),
    };
    let call_id = CallId([call; 16]);
    let (at, until) = (OccurredAt(0), OccurredAt(1_000_000_000));
    Hold { hold_id: hold_id(call_id), call_id, at, until, seconds: 60, extendable: true, lines: smallvec![line] }
}

fn item(call: u8, held: &str) -> LedgerItem {
    LedgerItem::Hold(Box::new(hold(call, held)))
}

fn release(call: u8, at: i64) -> LedgerItem {
    let (hold_id, at) = (hold_id(CallId([call; 16])), OccurredAt(at));
    LedgerItem::Release(Release { hold_id, at, why: ReleaseWhy::Ended })
}

fn book(items: &[LedgerItem]) -> Book {
    let mut book = Book::new();
    for (index, item) in items.iter().enumerate() {
        book.apply(Position { seq: 1, index: index as u32 }, item).unwrap();
    }
    book
}

#[test]
fn a_hold_opens_once_and_ends_once() {
    let mut book = book(&[item(1, "0.5")]);
    let at = Position { seq: 2, index: 0 };
    let id = hold_id(CallId([1; 16]));
    let error = |result: Result<_, crate::BookError>| result.unwrap_err().to_string();
    assert_eq!(error(book.apply(at, &item(1, "0.5"))), format!("hold {id} is open already"));
    let negative = item(2, "-0.5");
    assert!(error(book.apply(at, &negative)).contains("below zero"));
    let longer = Extend { hold_id: id, at: OccurredAt(1), seconds: 120, amounts: smallvec![amount("1"), amount("1")] };
    assert!(error(book.apply(at, &LedgerItem::Extend(Box::new(longer)))).contains("other lines"));
    assert_eq!(book.holds().held("pre"), Held { amount: amount("0.5"), calls: 1 });
    book.apply(at, &release(1, 5)).unwrap();
    assert_eq!(error(book.apply(at, &release(1, 6))), format!("hold {id} is not open"));
    assert_eq!((book.holds().held("pre"), book.holds().is_empty()), (Held::default(), true));
    assert!(book.holds().ended(id));
    // Ten minutes later another item makes it forgotten.
    book.apply(at, &item(3, "1")).unwrap();
    book.apply(at, &release(3, REMEMBERED + 6)).unwrap();
    assert!(!book.holds().ended(id));
}

#[test]
fn the_root_sees_every_hold_and_a_ledger_without_any_keeps_the_root_it_always_had() {
    let empty = book(&[]).root();
    let (mut one, mut two) = (book(&[item(1, "0.5"), item(2, "1")]), book(&[item(2, "1"), item(1, "0.5")]));
    assert_ne!(one.root(), empty);
    assert_eq!(one.root(), two.root(), "the order of holds does not matter");
    assert_ne!(book(&[item(1, "0.5"), item(2, "1.000001")]).root(), one.root());
    let before = one.root();
    let id = hold_id(CallId([1; 16]));
    let more = Extend { hold_id: id, at: OccurredAt(1), seconds: 120, amounts: smallvec![amount("0.5")] };
    one.apply(Position { seq: 3, index: 0 }, &LedgerItem::Extend(Box::new(more))).unwrap();
    assert_ne!(one.root(), before, "seconds bind, so they count");
    for call in [1, 2] {
        two.apply(Position { seq: 3, index: call.into() }, &release(call, 9)).unwrap();
    }
    assert_eq!(two.root(), empty);
}

#[test]
fn a_damaged_snapshot_of_holds_is_no_state() {
    let mut book = book(&[item(1, "0.5"), item(2, "1"), release(2, 9)]);
    let mut bytes = Vec::new();
    book.dump(&mut bytes);
    let again = Book::load(&bytes).unwrap();
    assert!(again.holds().iter().eq(book.holds().iter()) && again.holds().ended(hold_id(CallId([2; 16]))));
    assert!((0..bytes.len()).all(|cut| Book::load(&bytes[..cut]).is_err()));
    // The root covers what money depends on; a length that lies may neither panic nor ask for all memory.
    for (at, flip) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0x80), (at, 0xff)]) {
        bytes[at] ^= flip;
        if let Ok(mut other) = Book::load(&bytes) {
            assert_eq!(other.root(), book.root(), "byte {at} with {flip:#x}");
        }
        bytes[at] ^= flip;
    }
}

#[test]
fn a_snapshot_between_calls_comes_to_the_roots_of_a_fold_from_the_first_frame() {
    let grant = |id: u8| {
        LedgerItem::Grant(Box::new(facts::entry::Grant {
            origin_id: OriginId([id; 16]),
            account: "pre".into(),
            currency: Currency::new("USD").unwrap(),
            amount: amount("1"),
            at: OccurredAt(0),
            until: None,
            by: "fay".into(),
            approved_by: "otto".into(),
            reason: "holiday".into(),
        }))
    };
    // All holds have ended when it is taken; with other terms in the root, and with none.
    for before in [vec![item(1, "0.5"), release(1, 5), grant(1)], vec![item(1, "0.5"), release(1, 5)], vec![grant(1)]] {
        let (mut whole, mut bytes) = (book(&before), Vec::new());
        whole.dump(&mut bytes);
        let mut restarted = Book::load(&bytes).unwrap();
        for (seq, next) in [grant(2), item(2, "0.25"), release(2, 9)].iter().enumerate() {
            for book in [&mut whole, &mut restarted] {
                book.apply(Position { seq: 2 + seq as u64, index: 0 }, next).unwrap();
            }
            assert_eq!(whole.root(), restarted.root(), "{before:?} and then {next:?}");
        }
    }
}
