//! Tests of `authorise`: the sizes of design 5, the order of refusals, and that nothing is ever sold twice.

use super::*;
use crate::holds::DAY;
use crate::limits;
use crate::pay::{self, Payment};
use facts::config::Account;
use facts::entry::{Caps, EntryKind, Grant, LedgerItem};
use facts::xdr::{Position, Side};
use proptest::prelude::*;
use smallvec::smallvec;

/// What tests of neighbours share.
pub(crate) mod support {
    pub(crate) use super::{config, wish};
}

const NOON: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;

fn money(text: &str) -> Amount {
    text.parse().unwrap()
}

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

/// `pre` is prepaid, `shop` buys from `acme`, who has a limit of 100.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    for (id, limit) in [("pre", "0"), ("acme", "100"), ("shop", "10")] {
        let account = Account {
            id: id.into(),
            carrier: id.into(),
            currency: usd(),
            prepaid: id == "pre",
            credit_limit: limit.parse().unwrap(),
            reseller: "".into(),
            unidentified: false,
        };
        config.accounts.insert(id.into(), account);
    }
    config
}

/// A book that grows item by item, as a stream would have it.
struct Site {
    book: Book,
    config: Config,
    pace: Pace,
    seq: u64,
    now: i64,
}

impl Site {
    fn new() -> Self {
        Self { book: Book::new(), config: config(), pace: Pace::default(), seq: 0, now: NOON }
    }

    fn fold(&mut self, item: &LedgerItem) {
        self.seq += 1;
        self.book.apply(Position { seq: self.seq, index: 0 }, item).unwrap();
    }

    fn pay(&mut self, account: &str, amount: &str) {
        let order = Payment {
            id: format!("p{}", self.seq).into(),
            kind: EntryKind::Payment,
            account: account.into(),
            side: Side::Sell,
            amount: money(amount),
            currency: usd(),
            occurred_at: OccurredAt(self.now),
            by: "test".into(),
            reason: "".into(),
            adjusts: None,
            product: "".into(),
            destination: "".into(),
        };
        let entry = pay::entry_for(&order, self.config.accounts.get(account)).unwrap();
        self.fold(&LedgerItem::Entry(Box::new(entry)));
    }

    fn ask(&mut self, wish: &Wish) -> Result<Granted<Hold>, Refusal> {
        let granted = authorise(&self.book, &self.config, &mut self.pace, wish)?;
        if let Some(hold) = &granted.item {
            self.fold(&LedgerItem::Hold(Box::new(hold.clone())));
        }
        Ok(granted)
    }

    fn extend(&mut self, call: u8, held: u32) -> Result<Granted<Extend>, Refusal> {
        let granted = extend(&self.book, &self.config, hold_id(CallId([call; 16])), held, OccurredAt(self.now))?;
        if let Some(item) = &granted.item {
            self.fold(&LedgerItem::Extend(Box::new(item.clone())));
        }
        Ok(granted)
    }

    fn end(&mut self, call: u8, charges: &[(&str, &str)]) {
        let rated = crate::sample::rated(&format!("call-{call}"), charges[0], &[]);
        let mut rated = crate::PricedCall::from(&rated);
        rated.call_id = CallId([call; 16]);
        rated.sides[0].rated_at = OccurredAt(self.now);
        rated.sides[0].currency = usd();
        let mut out = Vec::new();
        crate::entries_for(&rated, (&"xdrs.main.0".into(), Position::default()), None, &mut out);
        let release = self.book.holds().after(&rated, OccurredAt(self.now)).unwrap();
        self.fold(&release);
        for outcome in out {
            let crate::Outcome::Entry(entry) = outcome else { panic!("{outcome:?}") };
            self.fold(&LedgerItem::Entry(Box::new(entry)));
        }
    }

    fn caps(&mut self, change: impl FnOnce(&mut Caps)) {
        let order = limits::CapsOrder {
            id: format!("caps {}", self.seq).into(),
            account: "pre".into(),
            by: "anna".into(),
            reason: "new customer".into(),
            ..Default::default()
        };
        let mut caps = limits::caps(&order, self.config.accounts.get("pre")).unwrap();
        change(&mut caps);
        self.fold(&LedgerItem::Caps(Box::new(caps)));
    }

    fn left(&self, account: &str) -> String {
        available(&self.book, &self.config, account, self.now).unwrap().to_string()
    }
}

fn offered(account: &str, level: u8, first: &str, first_seconds: u32, next: &str, next_seconds: u32) -> Offered {
    let offer = Offer { first: money(first), first_seconds, next: money(next), next_seconds, decimals: 6 };
    Offered {
        account: account.into(),
        level,
        currency: usd(),
        offer,
        minute: money("0.1"),
        deck: "az".into(),
        deck_version: 1,
        prefix: Prefix::new("4930").unwrap(),
        destination: "Berlin".into(),
    }
}

/// 0.10 a minute, 60/60.
pub(crate) fn wish(call: u8, account: &str) -> Wish {
    Wish {
        trunk: SmolStr::default(),
        call_id: CallId([call; 16]),
        at: OccurredAt(NOON),
        called: E164::from_digits("4930123").unwrap(),
        extendable: true,
        lines: smallvec![offered(account, 0, "0.1", 60, "0.1", 60)],
    }
}

fn held(granted: &Granted<Hold>) -> (u32, u32, String) {
    (granted.hold.seconds, granted.allowed, granted.hold.lines[0].amount.to_string())
}

/// Design 5 and the strict half of 8.9: first interval and one step, then steps, the last as short as the money.
#[test]
fn a_prepaid_call_goes_on_in_steps_to_the_last_whole_minute() {
    let mut site = Site::new();
    assert_eq!(site.ask(&wish(1, "pre")), Err(Refusal::Credit));
    site.pay("pre", "1.05");
    let first = site.ask(&wish(1, "pre")).unwrap();
    assert_eq!(held(&first), (360, 600, "0.6".to_string()));
    assert_eq!(site.left("pre"), "0.45");
    // Asked again: the same, and nothing more is held.
    let again = site.ask(&wish(1, "pre")).unwrap();
    assert_eq!((again.item.is_none(), held(&again)), (true, (360, 600, "0.6".to_string())));
    let step = site.extend(1, 360).unwrap();
    assert_eq!((step.hold.seconds, step.allowed, site.left("pre").as_str()), (600, 600, "0.05"));
    assert_eq!(site.extend(1, 360).unwrap().item, None, "a lost answer is not held twice");
    assert_eq!(site.extend(1, 600), Err(Refusal::Credit));
    assert_eq!(site.ask(&wish(2, "pre")), Err(Refusal::Credit));
    site.end(1, &[("pre", "0.95")]);
    assert_eq!((site.left("pre").as_str(), site.book.holds().len()), ("0.1", 0));
    assert_eq!(site.ask(&wish(1, "pre")), Err(Refusal::Ended));
    assert_eq!(site.extend(1, 600), Err(Refusal::Ended));
    assert_eq!(site.ask(&wish(2, "pre")).unwrap().hold.seconds, 60);
}

#[test]
fn a_hold_never_ends_by_itself_before_its_call_can_have_ended() {
    let ends = |hold: &Hold| {
        let ringing_and_telling = i64::from(RINGING_SECONDS + DELAY_SECONDS);
        let longest = (hold.until.0 - hold.at.0) / SECOND - ringing_and_telling;
        assert!(longest >= i64::from(hold.seconds), "{hold:?}");
        longest
    };
    let mut site = Site::new();
    site.pay("pre", "1000");
    // Calls of ten seconds, though the first hold is sold in minutes and asks for six.
    site.config.settings.maximum_call_seconds = 10;
    let hold = site.ask(&wish(1, "pre")).unwrap().hold;
    assert!(hold.seconds > 10 && ends(&hold) >= i64::from(hold.seconds));
    // Calls of ten minutes when it was held, of a day when it is extended: it stays with the ten minutes.
    site.config.settings.maximum_call_seconds = 600;
    assert_eq!(ends(&site.ask(&wish(2, "pre")).unwrap().hold), 600);
    site.config.settings.maximum_call_seconds = 86_400;
    let mut held = site.book.holds().get(hold_id(CallId([2; 16]))).unwrap().seconds;
    let last = loop {
        match site.extend(2, held) {
            Ok(granted) => held = granted.hold.seconds,
            Err(refusal) => break refusal,
        }
        ends(site.book.holds().get(hold_id(CallId([2; 16]))).unwrap());
    };
    assert_eq!((last, held), (Refusal::Duration, 600));
}

#[test]
fn a_switch_that_cannot_extend_gets_one_hold_and_both_figures_are_equal() {
    let mut site = Site::new();
    site.pay("pre", "10");
    site.caps(|caps| caps.calls_without_extend = Some(4));
    let wish = Wish { extendable: false, ..wish(1, "pre") };
    assert_eq!(held(&site.ask(&wish).unwrap()), (1500, 1500, "2.5".to_string()));
    assert_eq!(site.extend(1, 1500), Err(Refusal::NotExtendable));
    site.pay("pre", "1000");
    let rich = Wish { call_id: CallId([2; 16]), ..wish };
    assert_eq!(held(&site.ask(&rich).unwrap()), (3600, 3600, "6".to_string()));
}

#[test]
fn every_level_of_a_reseller_holds_the_same_seconds_or_none_does() {
    let mut site = Site::new();
    let mut wish = wish(1, "acme");
    // The shop's own customer pays more, in other intervals: 10 are left, 0.30 a minute, 30/6.
    wish.lines.push(offered("shop", 1, "0.15", 30, "0.03", 6));
    let granted = site.ask(&wish).unwrap();
    assert_eq!((granted.hold.seconds, granted.hold.lines[1].amount), (330, money("1.65")));
    assert_eq!(granted.hold.lines[0].amount, money("0.6"), "330 s are six whole minutes");
    assert_eq!(granted.allowed, 1998, "the shop's 10 at 0.03 for 6 s");
    let order = limits::GrantOrder {
        id: "g".into(),
        account: "shop".into(),
        amount: money("-9"),
        currency: usd(),
        at: OccurredAt(NOON),
        until: None,
        by: "a".into(),
        approved_by: "".into(),
        reason: "late payer".into(),
    };
    let less: Grant = limits::grant(&order, site.config.accounts.get("shop")).unwrap();
    site.fold(&LedgerItem::Grant(Box::new(less)));
    wish.call_id = CallId([2; 16]);
    assert_eq!(site.ask(&wish), Err(Refusal::Credit));
    assert_eq!(site.left("acme"), "99.4", "nothing is held where one level refuses");
}

#[test]
fn caps_refuse_by_name_in_the_stated_order() {
    let mut site = Site::new();
    site.pay("pre", "0.15");
    let all = |caps: &mut Caps| {
        caps.barred = vec![Prefix::new("4930").unwrap()];
        caps.highest_rate = Some(money("0.09"));
        caps.calls_per_second = Some(0);
        caps.calls = Some(0);
        caps.daily_spend = Some(money("0.09"));
    };
    let lifts: [&dyn Fn(&mut Caps); 6] = [
        &|_| (),
        &|caps| caps.barred.clear(),
        &|caps| caps.highest_rate = Some(money("0.1")),
        &|caps| caps.calls_per_second = Some(1),
        &|caps| caps.calls = Some(1),
        &|caps| caps.daily_spend = None,
    ];
    let mut seen = Vec::new();
    for count in 1..=lifts.len() {
        site.caps(|caps| {
            all(caps);
            lifts[..count].iter().for_each(|lift| lift(caps));
        });
        seen.push(site.ask(&wish(1, "pre")).map(|granted| granted.hold.seconds));
    }
    use Refusal::{Barred, Calls, CallsPerSecond, DailySpend, HighestRate};
    let refused = [Barred, HighestRate, CallsPerSecond, Calls, DailySpend].map(Err);
    assert_eq!((&seen[..5], &seen[5]), (&refused[..], &Ok(60)));
    // One has begun in this second; in the next second another one is at once too many.
    assert_eq!(site.ask(&wish(2, "pre")), Err(CallsPerSecond));
    let later = Wish { at: OccurredAt(NOON + SECOND), ..wish(2, "pre") };
    assert_eq!(site.ask(&later), Err(Calls));
}

#[test]
fn a_day_spends_no_more_than_its_cap_and_the_next_day_begins_anew() {
    let mut site = Site::new();
    site.pay("pre", "100");
    site.caps(|caps| caps.daily_spend = Some(money("1")));
    assert_eq!(site.ask(&wish(1, "pre")).unwrap().hold.seconds, 360);
    assert_eq!(site.ask(&wish(2, "pre")).unwrap().hold.seconds, 240, "holds count as spent");
    assert_eq!(site.ask(&wish(3, "pre")), Err(Refusal::DailySpend));
    assert_eq!(site.extend(2, 240), Err(Refusal::DailySpend));
    site.end(1, &[("pre", "0.3")]);
    assert_eq!(site.ask(&wish(3, "pre")).unwrap().hold.seconds, 180);
    site.end(2, &[("pre", "0.4")]);
    site.end(3, &[("pre", "0.3")]);
    assert_eq!(site.ask(&wish(4, "pre")), Err(Refusal::DailySpend));
    let tomorrow = Wish { at: OccurredAt(NOON + DAY), ..wish(4, "pre") };
    assert_eq!(site.ask(&tomorrow).unwrap().hold.seconds, 360);
}

#[test]
fn credit_for_a_day_is_gone_when_the_day_is_over() {
    let mut site = Site::new();
    let order = limits::GrantOrder {
        id: "g1".into(),
        account: "pre".into(),
        amount: money("5"),
        currency: usd(),
        at: OccurredAt(NOON),
        until: Some(OccurredAt(NOON + DAY)),
        by: "anna".into(),
        approved_by: "".into(),
        reason: "bank holiday".into(),
    };
    let of = site.config.accounts.get("pre").cloned();
    assert_eq!(limits::grant(&order, of.as_ref()), Err(crate::PayRefusal::Missing { field: "approved_by" }));
    let order = limits::GrantOrder { approved_by: "otto".into(), ..order };
    let grant = limits::grant(&order, of.as_ref()).unwrap();
    site.fold(&LedgerItem::Grant(Box::new(grant.clone())));
    site.fold(&LedgerItem::Grant(Box::new(grant.clone())));
    assert_eq!(site.left("pre"), "5", "the same order twice grants once");
    let other = LedgerItem::Grant(Box::new(Grant { amount: money("6"), ..grant }));
    assert!(site.book.apply(Position { seq: 99, index: 0 }, &other).is_err());
    site.now += DAY;
    assert_eq!(site.left("pre"), "0");
    let past = limits::GrantOrder { until: Some(OccurredAt(NOON)), ..order };
    assert_eq!(limits::grant(&past, of.as_ref()), Err(crate::PayRefusal::Past));
}

#[test]
fn a_threshold_is_told_once_until_it_is_no_longer_passed() {
    use facts::notice::NoticeKind::{HighSpend, LowBalance};
    let mut site = Site::new();
    let mut watch = crate::notices::Watch::default();
    let mut told = |site: &Site| -> Vec<_> {
        let notices = watch.look(&site.book, &site.config, OccurredAt(site.now));
        notices.into_iter().map(|notice| (notice.kind, notice.value.to_string())).collect()
    };
    site.pay("pre", "1");
    site.caps(|caps| (caps.low_balance, caps.high_spend) = (Some(money("0.5")), Some(money("0.2"))));
    assert_eq!(told(&site), []);
    site.ask(&wish(1, "pre")).unwrap();
    assert_eq!(told(&site), [(LowBalance, "0.4".to_string())]);
    assert_eq!(told(&site), []);
    site.end(1, &[("pre", "0.3")]);
    assert_eq!(told(&site), [(HighSpend, "0.3".to_string())], "0.70 are left again");
    site.ask(&wish(2, "pre")).unwrap();
    assert_eq!(told(&site), [(LowBalance, "0.1".to_string())]);
    site.now += DAY;
    site.pay("pre", "5");
    assert_eq!(told(&site), []);
}

/// An estimated end lowers the hold by what is charged; the true end releases it.
#[test]
fn an_estimated_charge_takes_its_amount_from_the_hold_and_leaves_the_rest() {
    let mut site = Site::new();
    site.pay("pre", "1");
    site.ask(&wish(1, "pre")).unwrap();
    let rated = crate::sample::rated("x", ("pre", "0.2"), &[]);
    let mut rated = crate::PricedCall { call_id: CallId([9; 16]), estimated: true, ..(&rated).into() };
    assert_eq!(site.book.holds().after(&rated, OccurredAt(NOON)), None, "another call");
    rated.hold_id = Some(hold_id(CallId([1; 16])));
    let other =
        crate::PricedCall { hold_id: rated.hold_id, ..(&crate::sample::rated("y", ("shop", "0.2"), &[])).into() };
    assert_eq!(site.book.holds().after(&other, OccurredAt(NOON)), None, "another account's call");
    for _ in 0..2 {
        let item = site.book.holds().after(&rated, OccurredAt(NOON)).unwrap();
        site.fold(&item);
        assert_eq!(site.book.holds().held("pre").amount, money("0.4"));
    }
    rated.estimated = false;
    let item = site.book.holds().after(&rated, OccurredAt(NOON)).unwrap();
    assert!(matches!(item, LedgerItem::Release(Release { why: ReleaseWhy::Charged, .. })), "{item:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, bool),
    Extend(u8),
    /// Ends at this share of what is held, in percent; never above it.
    End(u8, u8),
    GiveUp(u8),
    Pay(u16),
    Expire(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40u8, any::<bool>()).prop_map(|(call, once)| Step::Ask(call, once)),
        4 => (0..40u8).prop_map(Step::Extend),
        4 => (0..40u8, 0..=100u8).prop_map(|(call, share)| Step::End(call, share)),
        1 => (0..40u8).prop_map(Step::GiveUp),
        1 => (0..200u16).prop_map(Step::Pay),
        1 => (0..20_000u32).prop_map(Step::Expire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is asked in whatever order: limit and payments always cover what is owed and held, and a book read
    /// back from a snapshot or folded again has the same root and the same holds.
    #[test]
    fn never_a_unit_is_authorised_over_the_limit(steps in proptest::collection::vec(step(), 1..120)) {
        let mut site = Site::new();
        site.config.accounts.get_mut("pre").unwrap().credit_limit = "0.75".parse().unwrap();
        let mut ended = std::collections::BTreeSet::new();
        for step in steps {
            match step {
                Step::Ask(call, once) => {
                    let asked = site.ask(&Wish { extendable: !once, at: OccurredAt(site.now), ..wish(call, "pre") });
                    prop_assert!(!ended.contains(&call) || asked == Err(Refusal::Ended));
                }
                Step::Extend(call) => {
                    let held = site.book.holds().get(hold_id(CallId([call; 16]))).map_or(0, |hold| hold.seconds);
                    drop(site.extend(call, held));
                }
                Step::End(call, share) => {
                    let hold = site.book.holds().get(hold_id(CallId([call; 16]))).cloned();
                    if let Some(hold) = hold {
                        let cost = Amount(hold.lines[0].amount.0 * i128::from(share) / 100).to_string();
                        site.end(call, &[("pre", &cost)]);
                        if share > 0 {
                            ended.insert(call);
                        }
                    }
                }
                Step::GiveUp(call) => {
                    let released = release(&site.book, hold_id(CallId([call; 16])), OccurredAt(site.now));
                    if let Ok(Some(item)) = released {
                        site.fold(&LedgerItem::Release(item));
                    }
                }
                Step::Pay(cents) => site.pay("pre", &format!("0.{cents:03}1")),
                Step::Expire(seconds) => {
                    site.now += i64::from(seconds) * SECOND;
                    while let Some(hold_id) = site.book.holds().due(site.now) {
                        let hold = site.book.holds().get(hold_id).unwrap();
                        prop_assert!(site.now - hold.at.0 >= i64::from(14_400 + RINGING_SECONDS + DELAY_SECONDS) * SECOND);
                        let (at, why) = (OccurredAt(site.now), ReleaseWhy::Expired);
                        site.fold(&LedgerItem::Release(Release { hold_id, at, why }));
                    }
                }
            }
            prop_assert!(available(&site.book, &site.config, "pre", site.now).unwrap().0 >= 0);
            let held: i128 = site.book.holds().iter().map(|hold| hold.lines[0].amount.0).sum();
            prop_assert_eq!(held, site.book.holds().held("pre").amount.0);
        }
        let mut bytes = Vec::new();
        site.book.dump(&mut bytes);
        let mut again = Book::load(&bytes).unwrap();
        prop_assert_eq!(again.root(), site.book.root());
        prop_assert!(again.holds().iter().eq(site.book.holds().iter()));
        prop_assert_eq!(again.holds().held("pre"), site.book.holds().held("pre"));
    }
}
