//! Bad input from other sites: refused by name, kept, alarmed, and this site goes on.

use accounting::authorise::Refusal;
use accounting::credit::messages::Announced;
use accounting::credit::{Announcement, Message, PullId, Row};
use bus::stream::{StreamError, StreamWriter};
use facts::entry::{EntryKind, Gl, LedgerEntry, LedgerItem, Posting};
use facts::ids::OriginId;
use facts::{Amount, Currency, OccurredAt};
use schemas::frame::FrameBuilder;
use smallvec::smallvec;

use super::house::*;
use super::orders::payment;
use super::world::{ids, smuggled};
use crate::{LedgerView, Mail, Order, OrderError, mail};

fn alarmed(house: &House, site: u16, what: &str) {
    house.until(what, |house| {
        house.status(site).is_some_and(|status| status.alarms.iter().any(|alarm| alarm.contains(what)))
    });
}

/// A frame of the ledger of east that its process never wrote: rightly chained and claimed, its item changed at will.
fn smuggle(house: &mut House, item: &LedgerItem, change: impl Fn(&mut Vec<u8>)) {
    house.stop(2);
    let bus = house.place(2).bus.clone();
    let mut writer =
        StreamWriter::claim::<StreamError>(&*bus, &ids(), "ledger.east", "thief", None, 1, &mut |_| Ok(())).unwrap();
    let mut builder = FrameBuilder::new();
    let push = |public: &mut Vec<u8>, private: &mut Vec<u8>| {
        schemas::ledger::encode_item(item, public, private);
        change(public);
    };
    builder.push(push).unwrap();
    writer.append(&mut builder, smuggled()).unwrap();
    writer.settle().unwrap();
}

/// acme owes more, in a currency; balanced.
fn correction(raw: i128, currency: &str) -> LedgerItem {
    let currency = Currency::new(currency).unwrap();
    let posting = |gl: Gl, account: &str, amount: i128| Posting {
        gl,
        account: account.into(),
        product: "".into(),
        destination: "".into(),
        currency,
        amount: Amount(amount),
    };
    LedgerItem::Entry(Box::new(LedgerEntry {
        kind: EntryKind::Correction,
        origin_id: OriginId([9; 16]),
        account: "acme".into(),
        occurred_at: OccurredAt(0),
        call_id: None,
        xdr_id: None,
        source: None,
        by: "thief".into(),
        reason: "none".into(),
        adjusts: None,
        postings: smallvec![posting(Gl::ReceivableUnbilled, "acme", raw), posting(Gl::Revenue, "", -raw)],
    }))
}

/// The others go on: money of one site reaches the other one's books.
fn others_go_on(house: &House) {
    house.pay(3, "bank", "5").unwrap();
    house.until("the others go on", |house| {
        house.acme(1).is_some_and(|row| row.sites.iter().any(|one| one.site == 3 && one.owed == amount("-5")))
    });
}

fn trouble_with_east(house: &House) -> String {
    house.until("east is in trouble", |house| house.status(1).unwrap().peers[0].trouble.is_some());
    house.status(1).unwrap().peers[0].trouble.clone().unwrap()
}

#[test]
fn amounts_beyond_the_integer_range_stop_the_copy_that_has_them_and_nobody_elses_books() {
    for (far, words) in [
        // Each balance by itself is in the range; sums over sites would not be.
        (1 << 125, "it takes acme beyond the integer range"),
        (i128::MAX, "takes a balance beyond the integer range"),
    ] {
        let mut house = House::new(3, "0", 6);
        house.until("the limit is granted", |house| house.rights(3, 1) == Some(amount("100")));
        house.met();
        smuggle(&mut house, &correction(far, "EUR"), |_| {});
        alarmed(&house, 3, words);
        let trouble = trouble_with_east(&house);
        assert!(trouble.contains("site east cannot be folded") && trouble.contains(words), "{trouble}");
        others_go_on(&house);
        house.authorise(1, "c1").unwrap();
    }
}

#[test]
fn announced_amounts_beyond_the_integer_range_count_for_nothing_and_calls_go_on() {
    let house = House::new(2, "0", 7);
    house.until("the limit is granted", |house| house.rights(1, 1) == Some(amount("100")));
    let post = house.post(2);
    let far = |row: Row, seen: Vec<(u16, i128)>| {
        let lines = vec![Announced { line: "acme".into(), row, seen }];
        mail::encode(&Message::Announce(Announcement { site: 2, orders: 0, seq: 9_000, lines }))
    };
    let most = i128::MAX;
    let many = (0..5_000).map(|site| (site, 1 << 110)).collect();
    for (row, seen) in [
        (Row { limit: most, funds: most, ..Row::default() }, Vec::new()),
        (Row { over: i128::MIN, ..Row::default() }, Vec::new()),
        (Row { given: many, ..Row::default() }, Vec::new()),
        (Row::default(), vec![(1, most), (3, most)]),
    ] {
        post.send(1, far(row, seen));
        alarmed(&house, 1, "site east announces amounts of acme beyond the integer range: it counts for nothing");
        // Each is looked at by itself: the alarm makes room for the next.
        post.send(1, b"no message".to_vec());
        house.until("what came behind", |house| {
            let alarms = house.status(1).unwrap().alarms.clone();
            alarms.last().is_some_and(|alarm| alarm.contains("cannot be read"))
        });
    }
    house.authorise(1, "c1").unwrap();
    assert_eq!(house.status(1).unwrap().peers[0].announced.filter(|seq| *seq >= 9_000), None);
}

#[test]
fn money_in_an_unknown_currency_from_another_site_moves_no_rights_and_is_alarmed() {
    let mut house = House::new(3, "0", 8);
    house.met();
    let before = house.rights(1, 2);
    smuggle(&mut house, &correction(amount("7").0, "XYZ"), |_| {});
    for site in [1, 3] {
        alarmed(&house, site, "site east books 7 XYZ on acme, which is kept in EUR, in frame");
    }
    others_go_on(&house);
    assert_eq!(house.rights(1, 2), before);
    assert_eq!(house.status(1).unwrap().peers[0].trouble, None, "a balance of its own is no damage");
}

#[test]
fn a_frame_whose_currency_is_none_is_left_where_it_is_and_the_others_go_on() {
    let mut house = House::new(3, "0", 9);
    house.met();
    smuggle(&mut house, &correction(1, "XYZ"), |bytes| {
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(3).position(|three| three == b"XYZ") {
            bytes[at + found + 1] = b'1';
            at += found + 1;
        }
    });
    let trouble = trouble_with_east(&house);
    assert!(trouble.contains("ledger.east item 1/0") && trouble.contains("no ISO 4217 code"), "{trouble}");
    alarmed(&house, 3, "no ISO 4217 code");
    others_go_on(&house);
}

#[test]
fn messages_of_strangers_liars_and_other_versions_are_alarmed_and_count_for_nothing() {
    let house = House::new(2, "0", 1);
    house.until("the limit is granted", |house| house.rights(1, 1) == Some(amount("100")));
    let post = house.post(2);
    post.send(1, b"{\"version\":1,\"message\":{\"pull\":".to_vec());
    alarmed(&house, 1, "cannot be read");
    post.send(1, b"{\"version\":7,\"message\":\"hello\"}".to_vec());
    alarmed(&house, 1, "of version 7");
    let line = |line: &str, row: Row| Announced { line: line.into(), row, seen: vec![(1, 1 << 100)] };
    let lie = |site: u16, seq: u64| {
        let lines = vec![line("acme", Row { over: 5, ..Row::default() }), line("nobody", Row::default())];
        mail::encode(&Message::Announce(Announcement { site, orders: 0, seq, lines }))
    };
    post.send(1, lie(1, 3));
    alarmed(&house, 1, "announces totals of site 1");
    house.post(3).send(1, lie(3, 3));
    alarmed(&house, 1, "no peer of this one");
    // It says that it is far ahead: shown as what it is, and nobody can spend what is not there.
    post.send(1, lie(2, u64::MAX));
    house.until("the watermark is shown beside what is folded", |house| {
        let peer = house.status(1).unwrap().peers[0].clone();
        peer.announced == Some(u64::MAX) && peer.folded < 100
    });
    // Its own frames show in time that it was none; then what it says counts again.
    let beat = std::cell::Cell::new(0);
    house.until("the lie is found out", |house| {
        // A site at work writes frames; each of these is one.
        beat.set(beat.get() + 1);
        house.pay(2, &format!("beat {}", beat.get()), "0.01").unwrap();
        let alarms = house.status(1).map(|status| status.alarms.clone()).unwrap_or_default();
        alarms.iter().any(|alarm| alarm.contains("what it announced counts for nothing"))
    });
    house.until("an honest announcement is heard", |house| {
        house.status(1).unwrap().peers[0].announced.is_some_and(|seq| seq < 10_000)
    });
    // A pull of all there is, of more than there is, of an account that nobody knows: what is there, once, or nothing.
    let pull = |number: u64, line: &str, want: i128| {
        let id = PullId::new(2, 9, number);
        mail::encode(&Message::Pull { id, line: line.into(), want: Amount(want) })
    };
    for message in [pull(1, "nobody", 5), pull(2, "acme", i128::MAX), pull(2, "acme", i128::MAX), pull(3, "acme", -5)] {
        post.send(1, message);
    }
    house.until("what was there is given, once", |house| {
        let row = house.acme(1).unwrap();
        row.sites[0].given == amount("100") && row.sites[0].rights.is_zero()
    });
    house.links.both(1, 2, false);
    assert_eq!(house.authorise(1, "c1"), Err(Refusal::Credit));
}

#[test]
fn a_ledger_that_does_not_balance_is_left_where_it_is_and_the_others_go_on() {
    let mut house = House::new(3, "0", 2);
    house.until("all hear each other", |house| (1..=3).all(|site| house.status(site).is_some()));
    house.met();
    smuggle(&mut house, &LedgerItem::Certificate { root: [7; 32], entries: 1 }, |_| {});
    for site in [1, 3] {
        alarmed(&house, site, "the ledger of site east cannot be folded");
    }
    others_go_on(&house);
    let trouble = house.status(1).unwrap().peers.iter().find(|peer| peer.number == 2).cloned().unwrap().trouble;
    assert!(trouble.unwrap().contains("certificate"));
}

#[test]
fn an_order_that_another_site_has_booked_is_known_here() {
    let house = House::new(2, "0", 3);
    let first = house.pay(1, "bank-1", "10").unwrap();
    house.until("it is folded", |house| {
        house.acme(2).is_some_and(|row| row.sites.iter().any(|one| one.site == 1 && one.owed == amount("-10")))
    });
    let again = house.pay(2, "bank-1", "10").unwrap();
    assert!(again.repeated);
    assert_eq!((again.stream, again.seq, again.index), (first.stream, first.seq, first.index));
    let Err(OrderError::Refused(refusal)) = house.pay(2, "bank-1", "11") else { panic!("booked") };
    assert_eq!(refusal.code(), "id_reused");
    for (order, code) in [
        (payment("x1", "acme", "99999999999999999999999999"), "amount"),
        (crate::Payment { currency: Currency::new("USD").unwrap(), ..payment("x2", "acme", "1") }, "other_currency"),
        (payment("x3", "nobody", "1"), "unknown_account"),
    ] {
        let Err(OrderError::Refused(refusal)) = house.order(2, Order::Pay(order)) else { panic!("booked") };
        assert_eq!(refusal.code(), code);
    }
    assert_eq!(house.owed(), amount("-10"));
}

/// Three calls at once, two sites: two at the first and one at the second, whoever is asked how often.
#[test]
fn caps_are_divided_among_the_sites() {
    let house = House::new(2, "100", 4);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    let caps = crate::api::CapsOrder {
        id: "c".into(),
        account: "acme".into(),
        at: OccurredAt(0),
        calls: Some(3),
        daily_spend: Some(amount("2.4")),
        by: "fay".into(),
        reason: "new".into(),
        ..Default::default()
    };
    house.order(1, Order::Caps(caps)).unwrap();
    let limits = |site: u16| house.place(site).ledger.as_ref().unwrap().door.view.limits(Some("acme")).unwrap();
    house.until("the caps are at both sites", |_| [1, 2].iter().all(|site| !limits(*site).is_empty()));
    assert_eq!(limits(1)[0].caps, limits(2)[0].caps);
    house.authorise(1, "a").unwrap();
    // 1.20 a day here, of which 0.60 are held: one more full hold, and then the third call is one too many.
    house.authorise(1, "b").unwrap();
    assert_eq!(house.authorise(1, "c"), Err(Refusal::Calls));
    house.authorise(2, "d").unwrap();
    assert_eq!(house.authorise(2, "e"), Err(Refusal::Calls));
    house.extend(2, "d", 360).unwrap();
    assert_eq!(house.extend(2, "d", 660).unwrap().0, 720);
    assert_eq!(house.extend(2, "d", 720), Err(Refusal::DailySpend));
}

/// The same of a group of codes.
#[test]
fn caps_of_a_group_are_divided_too() {
    let house = House::new(2, "0", 5);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    let caps = crate::api::ScopeCapsOrder {
        id: "g".into(),
        account: "acme".into(),
        group: "germany".into(),
        codes: vec![facts::Prefix::new("49").unwrap()],
        calls: Some(1),
        by: "fay".into(),
        reason: "risk".into(),
        ..Default::default()
    };
    let Err(OrderError::Refused(refusal)) = house.order(2, Order::ScopeCaps(caps.clone())) else { panic!("taken") };
    assert_eq!(refusal.code(), "other_site");
    house.order(1, Order::ScopeCaps(caps)).unwrap();
    // One call does not divide: the first site has it.
    house.until("the second site knows", |house| {
        let view = &house.place(2).ledger.as_ref().unwrap().door.view;
        let status = house.status(2).unwrap();
        status.peers[0].folded == house.status(1).unwrap().seq && view.status().unwrap().seq >= status.seq
    });
    house.authorise(1, "a").unwrap();
    assert_eq!(house.authorise(1, "b"), Err(Refusal::Calls));
    assert_eq!(house.authorise(2, "c"), Err(Refusal::Calls));
}
