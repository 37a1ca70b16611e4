//! Tests of `rerate`.

use super::*;
use facts::OccurredAt;
use facts::XdrId;
use facts::call::{Attempt, Call, Endpoint};
use facts::config::{Account, Agreement, Config, ConfigItem, IdentificationRule, Product, Trunk};
use facts::deck::{DeckTerms, Price, Rate, RateDeck};
use facts::ids::CallId;
use facts::number::{E164, Prefix};
use facts::xdr::{Revision, Unrated};
use smallvec::smallvec;

fn summed(old: &[Xdr], new: &[Xdr]) -> Preview {
    let mut sheet = Sheet::default();
    sheet.add(&lines(old), &lines(new)).unwrap();
    sheet.finish()
}

const RUN: RunId = RunId([7; 16]);

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

/// `owner` sells under the address 192.0.2.1; vend is the vendor. Prices of a minute to 49.
fn tariffs(owner: &str, sell: Option<&str>, buy: &str) -> Tariffs {
    let mut config = Config::default();
    for id in ["acme", "beta", "vend"] {
        config.apply(ConfigItem::Account(Account {
            id: id.into(),
            carrier: "c".into(),
            currency: usd(),
            prepaid: false,
            credit_limit: Price(0),
            reseller: "".into(),
            unidentified: false,
        }));
        let side = if id == "vend" { Side::Buy } else { Side::Sell };
        config.apply(ConfigItem::Agreement(Agreement {
            amount_decimals: 4,
            ..Agreement::new(id, id, side, side.as_str())
        }));
    }
    config.apply(ConfigItem::Product(Product { id: "premium".into(), name: "Premium".into(), deck: "".into() }));
    let mut trunk = |id: &str, account: &str, side, rule| {
        let (product, rules) = ("premium".into(), vec![rule]);
        let trunk = Trunk { id: id.into(), account: account.into(), product, side, rules, strip: Vec::new() };
        config.apply(ConfigItem::Trunk(trunk));
    };
    trunk("in", owner, Side::Sell, IdentificationRule { ip: "192.0.2.1".into(), ..Default::default() });
    trunk("out", "vend", Side::Buy, IdentificationRule { trunk: "out".into(), ..Default::default() });
    let deck = |id: &str, prefix: &str, price: &str| {
        let prefix = Prefix::new(prefix).unwrap();
        let rates = vec![Rate::simple(prefix, "Germany", 1, 1, price.parse().unwrap())];
        RateDeck { id: id.into(), version: 1, terms: DeckTerms::new(usd()), rates }
    };
    // Without a price the deck knows another country only.
    let sell = deck("sell", if sell.is_some() { "49" } else { "1" }, sell.unwrap_or("9"));
    Tariffs::with_decks(&config, &[&sell, &deck("buy", "49", buy)])
}

/// One answered minute, as the rater wrote it under `tariffs`.
fn stored(tariffs: &Tariffs) -> RatedCall {
    let at = |second: i64| OccurredAt(second * 1_000_000);
    let call = Call {
        call_id: CallId::new("d", "sw", "k"),
        id_domain: "d".into(),
        switch: "sw".into(),
        call_key: "k".into(),
        caller: "43152345".into(),
        called: "4930123456".into(),
        caller_number: None,
        called_number: Some(E164::from_digits("4930123456").unwrap()),
        rn: None,
        inbound: Endpoint { ip: "192.0.2.1".into(), ..Endpoint::default() },
        started_at: at(100),
        answered_at: Some(at(110)),
        ended_at: at(170),
        duration: 60_000_000,
        pdd: None,
        sip_code: Some(200),
        q850: None,
        attempts: smallvec![Attempt {
            key: "b1".into(),
            number: 1,
            outbound: Endpoint { trunk: "out".into(), ..Endpoint::default() },
            started_at: Some(at(101)),
            answered_at: Some(at(110)),
            ended_at: Some(at(170)),
            duration: 60_000_000,
            ..Attempt::default()
        }],
        estimated: false,
        hold_id: None,
        held: None,
        dedupe: smallvec![],
        events: smallvec![],
        import: None,
        raw: smallvec![],
    };
    let xdrs = tariffs.rate(&call);
    RatedCall { revision: Revision::First, call, xdrs }
}

fn amounts(sides: &[Xdr]) -> Vec<String> {
    sides.iter().map(|side| format!("{} {} {}", side.side.as_str(), side.account, side.amount)).collect()
}

fn only(accounts: &[&str]) -> Selection {
    Selection { accounts: accounts.iter().map(|a| SmolStr::from(*a)).collect(), ..Selection::default() }
}

#[test]
fn correcting_a_customer_never_moves_what_a_vendor_is_owed() {
    let old = stored(&tariffs("acme", Some("0.1"), "0.05"));
    let now = tariffs("acme", Some("0.3"), "0.07");
    let sides = reprice(&now, RunKind::Rerate, &only(&["acme"]), RUN, &old).unwrap();
    assert_eq!(amounts(&sides), ["sell acme 0.3", "buy vend 0.05"]);
    for side in &sides {
        assert_eq!(side.rev_id, RevId::new(side.xdr_id, &Cause::Run(RUN.0)), "the call is one revision");
    }
    let preview = summed(&old.xdrs, &sides);
    let rows: Vec<_> = preview.rows.into_iter().collect();
    assert_eq!(rows.len(), 1, "the vendor's side stays and counts nowhere");
    let (key, sums) = &rows[0];
    assert_eq!((key.account.as_str(), key.destination.as_str()), ("acme", "Germany"));
    assert_eq!((sums.before.to_string(), sums.after.to_string()), ("0.1".to_owned(), "0.3".to_owned()));
    assert_eq!((sums.sides, sums.rises, sums.falls), (1, 1, 0));
}

#[test]
fn what_books_the_same_or_was_not_chosen_is_no_change() {
    let before = tariffs("acme", Some("0.1"), "0.05");
    let old = stored(&before);
    let all = Selection::default();
    assert!(reprice(&before, RunKind::Rerate, &all, RUN, &old).is_none());
    let now = tariffs("acme", Some("0.3"), "0.05");
    let from = |micros| Selection { from: Some(OccurredAt(micros)), ..Selection::default() };
    let until = |micros| Selection { until: Some(OccurredAt(micros)), ..Selection::default() };
    let start = old.call.started_at.micros();
    assert!(reprice(&now, RunKind::Rerate, &from(start), RUN, &old).is_some());
    assert!(reprice(&now, RunKind::Rerate, &from(start + 1), RUN, &old).is_none());
    assert!(reprice(&now, RunKind::Rerate, &until(start), RUN, &old).is_none());
    assert!(reprice(&now, RunKind::Rerate, &only(&["beta"]), RUN, &old).is_none());
    let deck = Selection { deck: "buy".into(), ..Selection::default() };
    assert!(reprice(&now, RunKind::Rerate, &deck, RUN, &old).is_none());
    assert!(reprice(&now, RunKind::Recycle, &all, RUN, &old).is_none(), "both sides have a price");
}

#[test]
fn an_address_that_moved_takes_its_calls_to_the_other_customer() {
    let old = stored(&tariffs("acme", Some("0.1"), "0.05"));
    let now = tariffs("beta", Some("0.1"), "0.05");
    let sides = reprice(&now, RunKind::Rerate, &Selection::default(), RUN, &old).unwrap();
    assert_eq!(amounts(&sides), ["sell beta 0.1", "buy vend 0.05"]);
    assert_eq!(sides[0].xdr_id, XdrId::new(old.call.call_id, "", Side::Sell, 0), "the same side of the same call");
    let preview = summed(&old.xdrs, &sides);
    let sums: Vec<_> = preview.rows.values().map(|s| (s.before.to_string(), s.after.to_string(), s.sides)).collect();
    assert_eq!(sums, [("0.1".into(), "0".into(), 1), ("0".into(), "0.1".into(), 1)]);
}

#[test]
fn recycling_prices_what_had_no_price_and_leaves_the_rest() {
    let old = stored(&tariffs("acme", None, "0.05"));
    assert_eq!(old.xdrs[0].unrated, Some(Unrated::NoRate));
    let now = tariffs("acme", Some("0.1"), "0.07");
    let sides = reprice(&now, RunKind::Recycle, &Selection::default(), RUN, &old).unwrap();
    assert_eq!(amounts(&sides), ["sell acme 0.1", "buy vend 0.05"]);
    assert_eq!((sides[0].unrated, sides[0].provisional), (None, None));
    let preview = summed(&old.xdrs, &sides);
    assert_eq!(preview.rows.values().map(|sums| sums.becomes_rated).sum::<u64>(), 1);
    let other = Selection { unrated: "blocked".into(), ..Selection::default() };
    assert!(reprice(&now, RunKind::Recycle, &other, RUN, &old).is_none());
}

#[test]
fn a_preview_in_parts_is_the_preview_of_the_whole() {
    let old = stored(&tariffs("acme", Some("0.1"), "0.05"));
    let of = |owner: &str, sell: &str| {
        let now = tariffs(owner, Some(sell), "0.07");
        reprice(&now, RunKind::Rerate, &Selection::default(), RUN, &old).unwrap()
    };
    // Rows of the second part before, between, on and behind those of the first.
    let changes = [of("beta", "0.1"), of("acme", "0.3"), of("beta", "0.4"), of("beta", "0.1")];
    for parts in 0..1u32 << changes.len() {
        let mut sheets = [Sheet::default(), Sheet::default(), Sheet::default()];
        for (at, change) in changes.iter().enumerate() {
            for sheet in [(parts >> at & 1) as usize, 2] {
                sheets[sheet].add(&lines(&old.xdrs), &lines(change)).unwrap();
            }
        }
        let [mut first, second, whole] = sheets.map(Sheet::finish);
        first.merge(second).unwrap();
        assert_eq!(first, whole, "parts {parts:04b}");
    }
}
