//! Tests of caps of trunks and groups: the order of refusals, what counts where, and that a snapshot knows it all.

use super::*;
use crate::authorise::tests_support::{config, wish};
use crate::authorise::{Pace, Refusal, authorise, extend};
use crate::{Outcome, PricedCall};
use facts::config::{Config, Trunk};
use facts::entry::{LedgerItem, Release, ReleaseWhy, hold_id};
use facts::ids::CallId;
use facts::xdr::Position;
use facts::{Currency, E164};

const DAY: i64 = 86_400_000_000;

struct World {
    book: Book,
    config: Config,
    pace: Pace,
    seq: u64,
}

impl World {
    fn new() -> Self {
        let mut config = config();
        for (id, account) in [("in", "acme"), ("other", "shop")] {
            let (id, account): (SmolStr, SmolStr) = (id.into(), account.into());
            let trunk =
                Trunk { id: id.clone(), account, product: "".into(), side: Side::Sell, rules: vec![], strip: vec![] };
            config.trunks.insert(id, trunk);
        }
        Self { book: Book::new(), config, pace: Pace::default(), seq: 0 }
    }

    fn fold(&mut self, item: &LedgerItem) {
        self.seq += 1;
        self.book.apply(Position { seq: self.seq, index: 0 }, item).unwrap();
    }

    fn order(&mut self, change: impl FnOnce(&mut ScopeCapsOrder)) {
        let mut order = ScopeCapsOrder {
            id: format!("o{}", self.seq).into(),
            account: "acme".into(),
            by: "anna".into(),
            reason: "careful".into(),
            ..ScopeCapsOrder::default()
        };
        change(&mut order);
        let caps = scope_caps(&order, &self.config).unwrap();
        self.fold(&LedgerItem::ScopeCaps(Box::new(caps)));
    }

    fn ask(&mut self, call: u8, trunk: &str, called: &str) -> Result<u32, Refusal> {
        let mut wish = wish(call, "acme");
        (wish.trunk, wish.called) = (trunk.into(), E164::normalise(called).unwrap());
        wish.at.0 += i64::from(call) * 1_000_000;
        let granted = authorise(&self.book, &self.config, &mut self.pace, &wish)?;
        let hold = granted.item.unwrap();
        let counted = counted(&self.book, &wish, &hold);
        let seconds = hold.seconds;
        self.fold(&LedgerItem::Hold(Box::new(hold)));
        counted.into_iter().for_each(|counted| self.fold(&LedgerItem::Counted(Box::new(counted))));
        Ok(seconds)
    }

    /// The call is charged in the frame of its release, in the order of the poster.
    fn charge(&mut self, call: u8, price: &str) {
        let mut rated = PricedCall::from(&crate::sample::rated("c", ("acme", price), &[]));
        let call_id = CallId([call; 16]);
        rated.call_id = call_id;
        rated.sides[0].xdr_id = facts::ids::XdrId::new(call_id, "", Side::Sell, 0);
        rated.sides[0].rev_id = facts::ids::RevId([call; 16]);
        rated.sides[0].currency = Currency::new("USD").unwrap();
        rated.sides[0].rated_at = wish(1, "acme").at;
        let mut out = Vec::new();
        crate::entries_for(&rated, (&"xdrs.main.0".into(), Position::default()), None, &mut out);
        let at = wish(1, "acme").at;
        self.fold(&LedgerItem::Release(Release { hold_id: hold_id(call_id), at, why: ReleaseWhy::Charged }));
        for outcome in out {
            let Outcome::Entry(entry) = outcome else { panic!("{outcome:?}") };
            self.fold(&LedgerItem::Entry(Box::new(entry)));
        }
    }

    fn spent(&self, scope: &str) -> (String, u32) {
        let found = self.book.holds().scopes().iter().find(|known| known.caps.scope == scope).unwrap();
        (found.spent_at(wish(1, "acme").at.0).to_string(), found.held.calls)
    }
}

#[test]
fn trunk_and_group_refuse_beside_the_account_and_only_their_own_calls() {
    let mut world = World::new();
    world.order(|order| (order.trunk, order.calls) = ("in".into(), Some(2)));
    world.order(|order| {
        (order.group, order.codes, order.calls) = ("dear".into(), vec!["4990".parse().unwrap()], Some(1));
    });
    world.ask(1, "in", "4990123456").unwrap();
    assert_eq!(world.ask(2, "elsewhere", "4990123456"), Err(Refusal::Calls), "the group is full, by any trunk");
    world.ask(3, "in", "4930123456").unwrap();
    assert_eq!(world.ask(4, "in", "4930123456"), Err(Refusal::Calls), "the trunk is full");
    world.ask(5, "elsewhere", "4930123456").unwrap();
    assert_eq!(world.ask(6, "other", "4930123456").map(|_| ()), Ok(()), "another account's trunk has no say");
    world.order(|order| (order.trunk, order.calls_per_second) = ("in".into(), Some(0)));
    assert_eq!(
        world.ask(7, "in", "4990123456"),
        Err(Refusal::CallsPerSecond),
        "pace is looked at before calls at once"
    );
    world.order(|order| order.trunk = "in".into());
    world.ask(8, "in", "4930123456").unwrap();
}

#[test]
fn a_group_spends_no_more_than_its_day_and_knows_what_was_charged() {
    let mut world = World::new();
    // A tenth a minute: a hold of six minutes is 0.6, of the 0.75 that the group may spend.
    world.order(|order| {
        (order.group, order.codes) = ("dear".into(), vec!["49".parse().unwrap()]);
        order.daily_spend = Some("0.75".parse().unwrap());
    });
    assert_eq!(world.ask(1, "in", "4990123456"), Ok(360));
    assert_eq!(world.ask(2, "in", "4990123456"), Ok(60), "one minute is left");
    assert_eq!(world.ask(3, "in", "4990123456"), Err(Refusal::DailySpend));
    let at = OccurredAt(wish(1, "acme").at.0);
    let more = extend(&world.book, &world.config, hold_id(CallId([1; 16])), 360, at);
    assert_eq!(more.unwrap_err(), Refusal::DailySpend, "an extension counts too");
    world.charge(1, "0.25");
    assert_eq!(world.spent("group:acme/dear"), ("0.25".into(), 1));
    world.ask(4, "in", "4990123456").unwrap();
    // A snapshot goes on where the book is, to the charge of a call that it has open.
    let root = world.book.root();
    let mut bytes = Vec::new();
    world.book.dump(&mut bytes);
    world.book = Book::load(&bytes).unwrap();
    assert_eq!(world.book.root(), root);
    world.charge(4, "0.2");
    assert_eq!(world.spent("group:acme/dear"), ("0.45".into(), 1));
    let tomorrow = OccurredAt(at.0 + DAY);
    assert!(extend(&world.book, &world.config, hold_id(CallId([2; 16])), 60, tomorrow).is_ok());
}

#[test]
fn an_order_about_no_trunk_of_the_account_is_refused_by_name() {
    let world = World::new();
    let order = |trunk: &str, group: &str, codes: &[&str]| {
        let order = ScopeCapsOrder {
            id: "o".into(),
            account: "acme".into(),
            trunk: trunk.into(),
            group: group.into(),
            codes: codes.iter().map(|code| code.parse().unwrap()).collect(),
            by: "anna".into(),
            reason: "careful".into(),
            ..ScopeCapsOrder::default()
        };
        scope_caps(&order, &world.config).map(|caps| caps.scope.to_string()).map_err(|refusal| refusal.code())
    };
    assert_eq!(order("in", "", &[]), Ok("trunk:in".into()));
    assert_eq!(order("other", "", &[]), Err("unknown_trunk"));
    assert_eq!(order("in", "dear", &["49"]), Err("trunk_or_group"));
    assert_eq!((order("", "", &["49"]), order("", "dear", &[])), (Err("missing"), Err("missing")));
    assert_eq!(order("", "dear", &["49"]), Ok("group:acme/dear".into()));
}
