//! Credit between sites as the processes run it: the worked example of design 8.9 to the cent, calls and payments known
//! twice, sites cut off, stopped and started.

use accounting::authorise::Refusal;
use facts::OccurredAt;
use facts::entry::EntryKind;

use super::house::*;
use super::orders::payment;
use crate::api::GiveOrder;
use crate::{CreditAsk, LedgerView, Order, OrderError, Payment};

/// acme owes 98.00 of 100.00; one of the 2.00 left is at each of two sites.
fn example(reserve: &str) -> House {
    let house = House::new(2, reserve, 1);
    let debt = Payment { kind: EntryKind::Correction, reason: "old debt".into(), ..payment("d", "acme", "98") };
    house.order(1, Order::Pay(debt)).unwrap();
    let give = GiveOrder {
        id: "g".into(),
        account: "acme".into(),
        to: 2,
        amount: amount("1"),
        at: OccurredAt(0),
        by: "fay".into(),
        reason: "example".into(),
    };
    house.order(1, Order::Give(give)).unwrap();
    house.until("rights 1.00 and 1.00 at both sites, reserves stated", |house| {
        [1, 2].iter().all(|site| {
            let whole = amount(reserve).0 / 2;
            house.rights(*site, 1) == Some(amount("1"))
                && house.rights(*site, 2) == Some(amount("1"))
                && house.acme(*site).is_some_and(|row| row.sites.iter().all(|one| one.reserve.0 == whole))
        })
    });
    house
}

fn cut(house: &House) {
    house.links.both(1, 2, false);
    house.until("each notices that the other is gone", |house| house.silent(1, 2) && house.silent(2, 1));
}

fn healed(house: &House) {
    house.links.both(1, 2, true);
    house.met();
}

#[test]
fn the_worked_example_tolerant_to_the_cent() {
    let mut house = example("2");
    cut(&house);
    // 12 minutes of the 20 that are allowed.
    assert_eq!(house.authorise(2, "c1"), Ok((360, 1_200)));
    assert_eq!(house.extend(2, "c1", 360), Ok((660, 1_200)));
    assert_eq!(house.extend(2, "c1", 660), Ok((960, 1_200)));
    house.end(2, "c1", "1.2");
    // 5 minutes of the 8 that are.
    assert_eq!(house.authorise(2, "c2"), Ok((360, 480)));
    house.end(2, "c2", "0.5");
    house.until("0.30 left at the isolated site", |house| {
        house.acme(2).is_some_and(|row| row.available == amount("0.3")) && house.rights(2, 2) == Some(amount("-0.7"))
    });
    // The message alone, without a frame: the debt is deducted at once.
    house.links.mail(2, 1, true);
    house.until("the main site has 0.30 to spend", |house| {
        house.acme(1).is_some_and(|row| row.spendable == amount("0.3") && row.sites[1].lock == amount("1.7"))
    });
    healed(&house);
    house.until("no lock, no debt", |house| {
        [1, 2].iter().all(|site| {
            let row = house.acme(*site).unwrap();
            row.sites.iter().all(|one| one.lock.is_zero() && one.debt.is_zero())
                && row.sites[0].rights == amount("0.3")
                && row.sites[1].rights.is_zero()
        })
    });
    assert_eq!(house.owed(), amount("99.7"));
    house.proved();
}

#[test]
fn the_worked_example_when_both_sites_sell_all_they_can() {
    let mut house = example("2");
    cut(&house);
    house.authorise(2, "c1").unwrap();
    house.extend(2, "c1", 360).unwrap();
    house.extend(2, "c1", 660).unwrap();
    house.end(2, "c1", "1.2");
    house.authorise(2, "c2").unwrap();
    house.end(2, "c2", "0.5");
    assert_eq!(house.authorise(1, "m1"), Ok((360, 1_200)));
    for held in [360, 660, 960] {
        house.extend(1, "m1", held).unwrap();
    }
    assert_eq!(house.extend(1, "m1", 1_200), Err(Refusal::Credit));
    assert_eq!(house.authorise(1, "m2"), Err(Refusal::Credit));
    house.end(1, "m1", "2");
    healed(&house);
    house.until("both debts are shown, and nobody has rights left", |house| {
        [1, 2].iter().all(|site| {
            let row = house.acme(*site).unwrap();
            let debts: Vec<_> = row.sites.iter().map(|one| one.debt).collect();
            debts == [amount("1"), amount("0.7")] && row.spendable.is_zero()
        })
    });
    assert_eq!(house.owed(), amount("101.7"));
    house.pay(2, "bank", "5").unwrap();
    house.until("a payment at one site pays the debts of both", |house| {
        [1, 2].iter().all(|site| house.acme(*site).unwrap().sites.iter().all(|one| one.debt.is_zero()))
    });
}

#[test]
fn the_worked_example_strict_never_passes_the_limit() {
    let mut house = example("0");
    cut(&house);
    assert_eq!(house.authorise(2, "c1"), Ok((360, 600)));
    assert_eq!(house.extend(2, "c1", 360), Ok((600, 600)));
    assert_eq!(house.extend(2, "c1", 600), Err(Refusal::Credit));
    house.end(2, "c1", "1");
    assert_eq!(house.authorise(2, "c2"), Err(Refusal::Credit));
    assert_eq!(house.authorise(1, "m1"), Ok((360, 600)));
    assert_eq!(house.extend(1, "m1", 360), Ok((600, 600)));
    house.end(1, "m1", "1");
    healed(&house);
    assert_eq!(house.owed(), amount("100"));
    for site in [1, 2] {
        assert_eq!(house.authorise(site, "more"), Err(Refusal::Credit));
    }
}

#[test]
fn rights_come_from_the_other_site_before_anybody_is_refused() {
    let house = House::new(2, "0", 2);
    house.until("the whole limit is at the configuration's site", |house| {
        house.rights(2, 1) == Some(amount("100")) && house.rights(2, 2) == Some(amount("0"))
    });
    // Nothing is here; all of it is pulled.
    house.begin(2, "c1");
    house.until("what was held was given", |house| house.rights(2, 1) == Some(amount("99.4")));
    // A refund of what only another site has is pulled too; more than there is anywhere is refused with the figure.
    house.pay(1, "bank", "50").unwrap();
    let refund = |id: &str, sum: &str| {
        Order::Pay(Payment { kind: EntryKind::Refund, reason: "back".into(), ..payment(id, "acme", sum) })
    };
    house.until("the refund is pulled for", |house| house.order(2, refund("r1", "40")).is_ok());
    let Err(OrderError::Refused(refusal)) = house.order(2, refund("r2", "400")) else { panic!("refunded") };
    assert_eq!(refusal.code(), "beyond_rights");
    // Limits are ordered where the configuration is written.
    let caps = crate::api::CapsOrder {
        id: "c".into(),
        account: "acme".into(),
        by: "fay".into(),
        reason: "x".into(),
        ..Default::default()
    };
    let Err(OrderError::Refused(refusal)) = house.order(2, Order::Caps(caps)) else { panic!("taken") };
    assert_eq!(refusal.code(), "other_site");
}

/// The switch's records reach both sites: one charge stays, the other is taken back, and cover goes with the call.
#[test]
fn a_call_charged_at_two_sites_is_charged_once_after_they_meet() {
    let mut house = House::new(2, "0", 3);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    house.begin(2, "c1");
    cut(&house);
    house.links.faults(200, 300);
    // The hold is at 2, and both see the end; nobody holds `c2`.
    for (site, key) in [(1, "c1"), (2, "c1"), (1, "c2"), (2, "c2")] {
        house.end(site, key, "0.5");
    }
    assert_eq!(house.owed(), amount("2"));
    healed(&house);
    house.until("each is charged once", |house| house.owed() == amount("1"));
    house.until("nothing counts twice", |house| {
        [1, 2].iter().all(|site| house.status(*site).is_some_and(|status| status.doubles.is_empty()))
    });
    // The charge that closed a hold stays; else the lowest site's.
    let entries = |site: u16, key: &str| {
        let view = &house.place(site).ledger.as_ref().unwrap().door.view;
        let entries = view.entries_for_call(call_of(key)).unwrap();
        entries.iter().map(|entry| entry.kind).collect::<Vec<_>>()
    };
    let (once, taken) = (vec![EntryKind::Charge], vec![EntryKind::Charge, EntryKind::Reversal]);
    assert_eq!((entries(1, "c1"), entries(2, "c1")), (taken.clone(), once.clone()));
    assert_eq!((entries(1, "c2"), entries(2, "c2")), (once, taken));
    // The end again, also after a restart: nothing more.
    house.stop(1);
    house.start(1);
    healed(&house);
    house.end(1, "c1", "0.5");
    house.end(2, "c2", "0.5");
    assert_eq!(house.owed(), amount("1"));
    house.proved();
}

/// One site lost sight of the call and estimates its end, the other has seen it: the truth stays, whoever is lower.
#[test]
fn a_real_end_wins_against_an_estimate_of_a_lower_site() {
    let mut house = House::new(2, "0", 7);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    cut(&house);
    let mut estimate = accounting::sample::rated("c1", ("acme", "0.3"), &[("carrier-x", "0.2")]);
    estimate.call.estimated = true;
    let end = house.rate(1, &estimate);
    house.booked(1, end);
    house.end(2, "c1", "0.5");
    healed(&house);
    house.until("the truth is charged, and it alone", |house| house.owed() == amount("0.5"));
    let vendor = |site: u16| {
        let view = &house.place(site).ledger.as_ref().unwrap().door.view;
        view.balances(Some("carrier-x")).unwrap()[0].owed
    };
    assert_eq!((vendor(1), vendor(2)), (amount("0"), amount("0")), "both sides of the call are taken back");
    // What the losing site hears later of the call changes nothing there.
    let late =
        accounting::sample::late(accounting::sample::rated("c1", ("acme", "0.4"), &[]), 1, super::world::at(1, 0));
    let end = house.rate(1, &late);
    house.booked(1, end);
    assert_eq!(house.owed(), amount("0.5"));
    assert_eq!(house.authorise(1, "c1"), Err(Refusal::Ended));
    house.proved();
}

/// A call held at one site and ended only at the other: the hold goes, and its money is where the charge is.
#[test]
fn a_call_that_ends_at_another_site_takes_its_cover_along() {
    let mut house = House::new(2, "0", 4);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    house.begin(2, "c1");
    house.end(1, "c1", "0.5");
    house.until("the hold is gone", |house| {
        let row = house.acme(1).unwrap();
        let given = row.sites.iter().any(|one| one.site == 2 && one.given == amount("0.5"));
        row.sites.iter().all(|one| one.held.is_zero()) && given
    });
    healed(&house);
    // 100 less 0.60 pulled, less 0.50 charged, and the 0.50 that came with it.
    assert_eq!((house.rights(1, 1), house.rights(1, 2)), (Some(amount("99.4")), Some(amount("0.1"))));
    assert_eq!(house.extend(2, "c1", 360), Err(Refusal::Ended));
    // The end at the hold's site, late: charged already.
    house.end(2, "c1", "0.5");
    assert_eq!(house.owed(), amount("0.5"));
}

/// A call charged at 0.50 got 0.50 of cover, and is 0.10 after a late record; then a lower site's charge counts. What the
/// cover was more than the charge may be spent by then: only 0.10 goes on.
#[test]
fn a_charge_that_loses_passes_no_more_cover_than_it_came_to() {
    let mut house = House::new(3, "0", 8);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    house.begin(3, "c1");
    for other in [2, 3] {
        house.links.both(1, other, false);
    }
    let first = accounting::sample::rated("c1", ("acme", "0.5"), &[]);
    let end = house.rate(2, &first);
    house.booked(2, end);
    let given = |house: &House, by: u16| {
        house.acme(2).and_then(|row| row.sites.iter().find(|one| one.site == by).map(|one| one.given))
    };
    house.until("the hold's site has passed its cover", |house| given(house, 3) == Some(amount("0.5")));
    let less = accounting::sample::priced(first, 0, "0.1");
    let end = house.rate(2, &accounting::sample::late(less, 1, super::world::at(1, 0)));
    house.booked(2, end);
    house.until("0.40 come back", |house| house.rights(2, 2) == Some(amount("0.4")));
    house.end(1, "c1", "0.1");
    for other in [2, 3] {
        house.links.both(1, other, true);
    }
    house.met();
    house.until("it is charged once", |house| house.owed() == amount("0.1"));
    house.until("the cover of the charge that was reversed goes on, and no more", |house| {
        given(house, 2) == Some(amount("0.1")) && house.rights(2, 2) == Some(amount("0.4"))
    });
    house.proved();
}

#[test]
fn one_payment_at_two_sites_counts_once_after_they_meet() {
    let house = House::new(2, "0", 5);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    cut(&house);
    for site in [1, 2] {
        house.pay(site, "bank-1", "10").unwrap();
        house.pay(site, &format!("bank-at-{site}"), "1").unwrap();
    }
    house.pay(1, "bank-2", "10").unwrap();
    house.pay(2, "bank-2", "20").unwrap();
    assert_eq!(house.owed(), amount("-52"));
    healed(&house);
    house.until("each id counts once, the lowest site's", |house| house.owed() == amount("-22"));
    house.until("the other content is alarmed", |house| {
        house.status(2).is_some_and(|status| status.alarms.iter().any(|alarm| alarm.contains("another content")))
    });
    house.until("nothing counts twice", |house| {
        [1, 2].iter().all(|site| house.status(*site).is_some_and(|status| status.doubles.is_empty()))
    });
}

/// A lowered limit is taken from the config site's own rights, and the rest pulled; what cannot be had is shown.
#[test]
fn a_lowered_limit_waits_for_rights_that_another_site_has() {
    let house = House::new(2, "0", 6);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    let give = |id: &str, sum: &str| {
        let (account, by, reason) = ("acme".into(), "fay".into(), "move".into());
        Order::Give(GiveOrder { id: id.into(), account, to: 2, amount: amount(sum), at: OccurredAt(0), by, reason })
    };
    house.order(1, give("g1", "90")).unwrap();
    assert!(house.order(1, give("g1", "90")).unwrap().repeated);
    let Err(OrderError::Refused(refusal)) = house.order(1, give("g2", "11")) else { panic!("given") };
    assert_eq!(refusal.code(), "beyond_rights");
    cut(&house);
    let less = crate::api::GrantOrder {
        id: "less".into(),
        account: "acme".into(),
        amount: amount("-40"),
        currency: facts::Currency::new("EUR").unwrap(),
        at: OccurredAt(0),
        until: None,
        by: "fay".into(),
        approved_by: "".into(),
        reason: "risk".into(),
    };
    house.order(1, Order::Grant(less)).unwrap();
    house.until("ten are taken, thirty wait", |house| {
        house.acme(1).is_some_and(|row| row.pending_lower == amount("30") && row.sites[0].limit == amount("90"))
    });
    healed(&house);
    house.until("all of it is taken", |house| {
        house.acme(1).is_some_and(|row| row.pending_lower.is_zero() && row.sites[0].limit == amount("60"))
    });
    assert!(house.ask(2, CreditAsk::Release { hold_id: hold_of("none") }).is_err());
}

/// The configuration moves to another site: what the old one granted stays, and nothing is granted twice.
#[test]
fn a_limit_is_not_granted_again_where_the_configuration_has_moved_to() {
    let mut house = House::new(2, "0", 8);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    house.met();
    house.config_site = 2;
    for site in [1, 2] {
        house.stop(site);
        house.start(site);
    }
    let less = crate::api::GrantOrder {
        id: "less".into(),
        account: "acme".into(),
        amount: amount("-40"),
        currency: facts::Currency::new("EUR").unwrap(),
        at: OccurredAt(0),
        until: None,
        by: "fay".into(),
        approved_by: "".into(),
        reason: "risk".into(),
    };
    house.until("both show themselves", |house| house.acme(1).is_some() && house.acme(2).is_some());
    house.met();
    let Err(OrderError::Refused(refusal)) = house.order(1, Order::Grant(less.clone())) else { panic!("granted") };
    assert_eq!(refusal.code(), "other_site");
    let all = |house: &House| -> i128 { house.acme(2).unwrap().sites.iter().map(|one| one.rights.0).sum() };
    assert_eq!(all(&house), amount("100").0);
    house.order(2, Order::Grant(less)).unwrap();
    house.until("forty are pulled and taken", |house| {
        house.acme(2).is_some_and(|row| row.pending_lower.is_zero() && row.sites[1].limit == amount("-40"))
    });
    house.met();
    assert_eq!(all(&house), amount("60").0);
}
