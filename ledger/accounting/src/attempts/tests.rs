//! Tests of `attempts`: what we may owe a vendor is held once an attempt, never twice, and never mixed with what it may owe us.

use super::*;
use crate::authorise::{self, Pace, Wish, available};
use crate::book::Book;
use crate::credit::Offer;
use crate::{Outcome, PricedCall};
use facts::config::Account;
use facts::entry::{LedgerItem, ReleaseWhy, hold_id};
use facts::xdr::Position;
use facts::{Currency, E164};

const NOW: i64 = 1_700_000_000_000_000;

fn config() -> Config {
    let mut config = Config::default();
    for (id, limit) in [("borea", "1"), ("acme", "100")] {
        let account = Account {
            id: id.into(),
            carrier: id.into(),
            currency: Currency::new("USD").unwrap(),
            prepaid: false,
            credit_limit: limit.parse().unwrap(),
            reseller: "".into(),
            unidentified: false,
        };
        config.accounts.insert(id.into(), account);
    }
    config
}

fn offered(account: &str) -> Offered {
    let offer = Offer {
        first: "0.1".parse().unwrap(),
        first_seconds: 60,
        next: "0.1".parse().unwrap(),
        next_seconds: 60,
        decimals: 6,
    };
    Offered {
        account: account.into(),
        level: 0,
        currency: Currency::new("USD").unwrap(),
        offer,
        minute: "0.1".parse().unwrap(),
        deck: "borea-buy".into(),
        deck_version: 1,
        prefix: "49".parse().unwrap(),
        destination: "Germany".into(),
    }
}

fn wish(call: CallId, key: &str) -> AttemptWish {
    AttemptWish {
        call_id: call,
        attempt_key: key.into(),
        at: OccurredAt(NOW),
        extendable: true,
        line: offered("borea"),
    }
}

struct World {
    book: Book,
    seq: u64,
}

impl World {
    fn fold(&mut self, item: &LedgerItem) {
        self.seq += 1;
        self.book.apply(Position { seq: self.seq, index: 0 }, item).unwrap();
    }

    fn ask(&mut self, wish: &AttemptWish) -> Result<Hold, Refusal> {
        let granted = attempt(&self.book, &config(), wish)?;
        if let Some(hold) = &granted.item {
            self.fold(&LedgerItem::Hold(Box::new(hold.clone())));
        }
        Ok(granted.hold)
    }

    fn left(&self) -> String {
        owable(&self.book, &config(), "borea", NOW).unwrap().to_string()
    }
}

#[test]
fn a_vendor_gets_no_more_attempts_than_we_may_owe_it_for() {
    let mut world = World { book: Book::new(), seq: 0 };
    let rated = crate::sample::rated("call-1", ("acme", "0.5"), &[("borea", "0.25")]);
    let mut rated = PricedCall::from(&rated);
    let call = rated.call_id;
    // A limit of 1: six minutes, the four that are left, and no third.
    assert_eq!(world.ask(&wish(call, "b1")).unwrap().seconds, 360);
    assert_eq!(world.ask(&wish(call, "b1")).unwrap().seconds, 360, "the same attempt is held once");
    assert_eq!(world.ask(&wish(call, "b2")).unwrap().seconds, 240);
    assert_eq!(world.ask(&wish(call, "b3")), Err(Refusal::VendorCredit));
    assert_eq!(world.left(), "0");
    let second = attempt_hold_id(XdrId::new(call, "b2", Side::Buy, 0));
    let more = authorise::extend(&world.book, &config(), second, 240, OccurredAt(NOW));
    assert_eq!(more.unwrap_err(), Refusal::VendorCredit);
    // What it may owe us is another matter, and its hold another hold.
    assert_eq!(available(&world.book, &config(), "borea", NOW).unwrap().to_string(), "1");
    let question = Wish {
        trunk: SmolStr::default(),
        call_id: call,
        at: OccurredAt(NOW),
        called: E164::normalise("4930123456").unwrap(),
        extendable: true,
        lines: smallvec![offered("acme")],
    };
    let sold = authorise::authorise(&world.book, &config(), &mut Pace::default(), &question).unwrap();
    world.fold(&LedgerItem::Hold(Box::new(sold.hold)));
    assert_eq!(world.book.holds().held("borea").calls, 0);
    // The call is charged: the attempt that was priced holds nothing any more, the other waits for its own price.
    let buy = rated.sides.iter_mut().find(|side| side.side == Side::Buy).unwrap();
    buy.xdr_id = XdrId::new(call, "b1", Side::Buy, 0);
    rated.sides.iter_mut().for_each(|side| side.currency = Currency::new("USD").unwrap());
    rated.estimated = true;
    assert!(world.book.holds().after_attempts(&rated, OccurredAt(NOW)).is_empty(), "it may be going on");
    rated.estimated = false;
    let ended = world.book.holds().after_attempts(&rated, OccurredAt(NOW));
    assert_eq!(ended.iter().map(|end| end.why).collect::<Vec<_>>(), [ReleaseWhy::Charged]);
    let mut out = Vec::new();
    crate::entries_for(&rated, (&"xdrs.main.0".into(), Position::default()), None, &mut out);
    ended.iter().for_each(|end| world.fold(&LedgerItem::Release(*end)));
    for outcome in out {
        let Outcome::Entry(entry) = outcome else { panic!("{outcome:?}") };
        world.fold(&LedgerItem::Entry(Box::new(entry)));
    }
    assert_eq!(world.left(), "0.35", "1 less 0.25 owed less 0.4 held");
    assert!(world.book.holds().get(hold_id(call)).is_some(), "attempts end no customer's hold");
    assert_eq!(world.ask(&wish(call, "b1")), Err(Refusal::Ended));
}

#[test]
fn attempts_stand_in_snapshots_and_roots() {
    let mut world = World { book: Book::new(), seq: 0 };
    let before = world.book.root();
    world.ask(&wish(CallId([7; 16]), "b1")).unwrap();
    let root = world.book.root();
    assert_ne!(before, root);
    let mut bytes = Vec::new();
    world.book.dump(&mut bytes);
    let mut loaded = Book::load(&bytes).unwrap();
    assert_eq!(loaded.root(), root);
    assert_eq!(owable(&loaded, &config(), "borea", NOW).unwrap().to_string(), "0.4");
}
