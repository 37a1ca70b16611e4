//! Sites that take no new calls: drained by order, or after a lost disk; and what the others learn of it.

use accounting::authorise::Refusal;
use bus::stream::{StreamError, StreamReader, StreamWriter, write_fence};
use facts::OccurredAt;
use facts::stream::epoch_above;
use schemas::frame::FrameBuilder;

use super::house::*;
use super::world::{ids, smuggled};
use crate::api::GiveOrder;
use crate::standing::State;
use crate::{Order, OrderError};

fn give(id: &str, to: u16, sum: &str) -> Order {
    let (account, by, reason) = ("acme".into(), "fay".into(), "test".into());
    Order::Give(GiveOrder { id: id.into(), account, to, amount: amount(sum), at: OccurredAt(0), by, reason })
}

fn state(house: &House, site: u16, state: State) {
    house.place(site).standing.order(state, "eva", "new disks", 1).unwrap();
}

#[test]
fn a_drained_site_takes_no_call_lets_open_ones_go_on_and_gives_every_right_away() {
    let mut house = House::new(2, "0", 1);
    house.until("limits are granted", |house| house.rights(1, 1) == Some(amount("100")));
    house.order(1, give("g", 2, "10")).unwrap();
    house.begin(2, "c1");
    state(&house, 2, State::Draining);
    assert_eq!(house.authorise(2, "c2"), Err(Refusal::Draining));
    assert_eq!(house.authorise(2, "c1").map(|(held, _)| held), Ok(360), "what was answered is answered again");
    house.until("its rights are at the other site", |house| {
        house.rights(1, 2) == Some(amount("0")) && house.rights(1, 1) == Some(amount("99.4"))
    });
    // Its call goes on with rights that come back for it.
    house.until("an extension", |house| house.extend(2, "c1", 360).is_ok_and(|(held, _)| held == 660));
    house.end(2, "c1", "0.7");
    house.pay(2, "p", "5").unwrap();
    house.until("what the call gave back and the payment went too", |house| {
        house.rights(1, 2) == Some(amount("0"))
            && house.rights(1, 1) == Some(amount("104.3"))
            && house.status(2).is_some_and(|status| status.to_give == Some(0))
    });
    // After a restart it still is.
    house.stop(2);
    house.start(2);
    assert_eq!(house.authorise(2, "c3"), Err(Refusal::Draining));
    state(&house, 2, State::Open);
    house.begin(2, "c3");
    house.met();
    house.proved();
}

#[test]
fn a_site_that_lost_its_disk_spends_and_gives_nothing_until_what_it_held_is_known() {
    let mut house = House::new(2, "0", 1);
    house.until("limits are granted", |house| house.rights(1, 1) == Some(amount("100")));
    house.order(1, give("g", 2, "99.9")).unwrap();
    house.until("rights at the second site", |house| house.rights(2, 2) == Some(amount("99.9")));
    house.begin(2, "c1");
    state(&house, 2, State::Recovering { until: i64::MAX });
    house.until("its ledger has seen it", |house| house.status(2).is_some_and(|status| !status.standing.is_empty()));
    assert_eq!(house.authorise(2, "c2"), Err(Refusal::Recovering));
    assert_eq!(house.extend(2, "c1", 360), Err(Refusal::Recovering));
    let refused = house.order(2, give("g2", 1, "1"));
    assert!(matches!(refused, Err(OrderError::Refused(_))), "{refused:?}");
    // The other site is short, asks, is answered and gets nothing: it sells its own 0.10 and no more.
    assert_eq!(house.authorise(1, "m1"), Ok((60, 60)));
    assert_eq!(house.authorise(1, "m2"), Err(Refusal::Credit));
    assert!(!house.silent(1, 2), "it has answered");
    house.end(2, "c1", "0.4");
    house.until("calls are booked meanwhile", |house| house.rights(1, 2) == Some(amount("99.5")));
    state(&house, 2, State::Open);
    house.begin(2, "c2");
    house.begin(1, "m2");
    house.met();
}

#[test]
fn what_a_lost_disk_had_announced_and_nobody_holds_is_said_in_money() {
    let mut house = House::new(2, "0", 1);
    house.until("limits are granted", |house| house.rights(1, 1) == Some(amount("100")));
    house.order(1, give("g", 2, "10")).unwrap();
    house.until("rights at the second site", |house| house.rights(2, 2) == Some(amount("10")));
    house.met();
    // Its frames reach nobody any more, its messages do.
    house.links.frames(2, 1, false);
    house.begin(2, "c1");
    house.begin(2, "c2");
    house.end(2, "c1", "1.2");
    house.until("its message", |house| {
        house.acme(1).is_some_and(|row| row.sites[1].lock == amount("1.8")) && house.rights(1, 2) == Some(amount("10"))
    });
    house.stop(2);
    // Its disk is lost; what the first site holds is all that there is, and it goes on from there.
    let bus = house.place(1).bus.clone();
    let mut reader = StreamReader::open(&*bus, &ids(), "ledger.east").unwrap();
    reader.catch_up::<StreamError>(&*bus, &mut |_| Ok(())).unwrap();
    let (state, held) = (reader.state().clone(), reader.state().seq());
    write_fence(&*bus, &ids(), "ledger.east", epoch_above(state.epoch()), "taken back", 1).unwrap();
    let owner = StreamWriter::claim::<StreamError>(&*bus, &ids(), "ledger.east", "east", None, 1, &mut |_| Ok(()));
    let mut owner = owner.unwrap();
    owner.append(&mut FrameBuilder::new(), smuggled()).unwrap();
    owner.settle().unwrap();
    reader.catch_up::<StreamError>(&*bus, &mut |_| Ok(())).unwrap();
    assert_eq!((reader.state().seq(), reader.voids().is_empty()), (held + 1, true), "{:?}", reader.voids());
    let alarm = |house: &House| house.status(1).unwrap().alarms.iter().find(|x| x.contains("lost its disk")).cloned();
    house.until("the alarm", |house| alarm(house).is_some());
    let said = alarm(&house).unwrap();
    assert!(said.contains("acme owed 1.2 and held 0.6 more (EUR)"), "{said}");
    assert!(said.contains(&format!("frames {} to ", held + 1)), "{said}");
    house.until("no lock is left of it", |house| house.acme(1).is_some_and(|row| row.sites[1].lock == amount("0")));
}
