//! Tests of `rate`.

use super::*;
use expect_test::{Expect, expect};
use facts::call::Endpoint;
use facts::config::{
    Account, Agreement, Area, Config, ConfigItem, ExchangeRate, IdentificationRule, Product, SiteSettings, Tax, Trunk,
};
use facts::deck::{DeckTerms, Rate, RateDeck, RowStatus};
use facts::ids::CallId;
use facts::money::{Currency, Rounding};
use facts::number::Prefix;

fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

fn account(id: &str, code: &str, reseller: &str) -> Account {
    Account {
        id: id.into(),
        carrier: "c".into(),
        currency: currency(code),
        prepaid: false,
        credit_limit: facts::deck::Price(0),
        reseller: reseller.into(),
        unidentified: id == "lost",
    }
}

fn agreement(account: &str, side: Side, deck: &str) -> Agreement {
    Agreement { amount_decimals: 4, ..Agreement::new(format!("{account}-{deck}"), account, side, deck) }
}

fn trunk(id: &str, account: &str, side: Side) -> Trunk {
    let rule = IdentificationRule { trunk: id.into(), ..Default::default() };
    let product = "premium".into();
    Trunk { id: id.into(), account: account.into(), product, side, rules: vec![rule], strip: vec![] }
}

fn deck(id: &str, code: &str, rates: Vec<Rate>) -> RateDeck {
    RateDeck { id: id.into(), version: 1, terms: DeckTerms::new(currency(code)), rates }
}

fn rate(prefix: &str, price: &str) -> Rate {
    Rate::simple(Prefix::new(prefix).unwrap(), &format!("to {prefix}"), 60, 1, price.parse().unwrap())
}

/// acme buys from us; shop buys from acme; vend sells to us in EUR; nodeck has an agreement with a deck that is none.
fn tariffs() -> Tariffs {
    let mut config = Config::default();
    config.apply(ConfigItem::Settings(SiteSettings { base_currency: currency("USD"), ..Default::default() }));
    for (id, code, reseller) in [("acme", "USD", ""), ("shop", "USD", "acme"), ("vend", "EUR", ""), ("lost", "USD", "")]
    {
        config.apply(ConfigItem::Account(account(id, code, reseller)));
    }
    config.apply(ConfigItem::Account(account("bare", "USD", "")));
    config.apply(ConfigItem::Account(account("nodeck", "GBP", "")));
    config.apply(ConfigItem::Product(Product { id: "premium".into(), name: "Premium".into(), deck: "sell".into() }));
    config.apply(ConfigItem::Agreement(agreement("acme", Side::Sell, "sell")));
    config.apply(ConfigItem::Agreement(agreement("shop", Side::Sell, "retail")));
    config.apply(ConfigItem::Agreement(agreement("nodeck", Side::Sell, "gone")));
    config.apply(ConfigItem::Agreement(agreement("vend", Side::Buy, "buy")));
    for (id, account, side) in [
        ("t-acme", "acme", Side::Sell),
        ("t-shop", "shop", Side::Sell),
        ("t-bare", "bare", Side::Sell),
        ("t-nodeck", "nodeck", Side::Sell),
        ("t-vend", "vend", Side::Buy),
    ] {
        config.apply(ConfigItem::Trunk(trunk(id, account, side)));
    }
    config.apply(ConfigItem::ExchangeRate(ExchangeRate {
        from: currency("USD"),
        to: currency("EUR"),
        rate: 90_000_000,
        valid_from: OccurredAt(0),
        source: "ECB".into(),
    }));
    let expired = Rate { valid_until: Some(500), ..rate("4470", "0.5") };
    let blocked = Rate { status: RowStatus::Blocked, ..rate("88", "9") };
    let sell = deck("sell", "USD", vec![rate("49", "0.1"), rate("491", "0.2"), rate("1", "0.01"), blocked]);
    let buy = deck("buy", "USD", vec![rate("49", "0.05"), rate("491", "0.1"), expired, rate("1", "0.005")]);
    let retail = deck("retail", "USD", vec![rate("4", "0.9"), rate("8", "0.3")]);
    let tariffs = Tariffs::with_decks(&config, &[&sell, &buy, &retail]);
    assert_eq!(tariffs.problems(), [] as [String; 0]);
    tariffs
}

fn call(trunk: &str, called: &str, answered: bool) -> Call {
    let second = 1_000_000;
    let at = |s: i64| OccurredAt(s * second);
    let duration = if answered { 61 * second } else { 0 };
    let attempt = |key: &str, answered: bool| Attempt {
        key: key.into(),
        number: 1,
        outbound: Endpoint { trunk: "t-vend".into(), ..Endpoint::default() },
        started_at: Some(at(1)),
        answered_at: answered.then(|| at(9)),
        ended_at: Some(at(70)),
        duration: if answered { 61 * second } else { 0 },
        ..Attempt::default()
    };
    Call {
        call_id: CallId::new("d", "sw", "k"),
        id_domain: "d".into(),
        switch: "sw".into(),
        call_key: "k".into(),
        caller: "".into(),
        called: called.into(),
        caller_number: None,
        called_number: E164::normalise(called).ok(),
        rn: None,
        inbound: Endpoint { trunk: trunk.into(), ..Endpoint::default() },
        started_at: at(0),
        answered_at: answered.then(|| at(9)),
        ended_at: at(70),
        duration,
        pdd: None,
        sip_code: None,
        q850: None,
        attempts: [attempt("b1", false), attempt("b2", answered)].into_iter().collect(),
        estimated: false,
        hold_id: None,
        held: None,
        dedupe: SmallVec::new(),
        events: SmallVec::new(),
        import: None,
        raw: SmallVec::new(),
    }
}

fn check(call: &Call, expected: Expect) {
    let lines: Vec<String> = tariffs()
        .rate(call)
        .iter()
        .map(|x| {
            let rate = x.rate.as_ref().map_or("-".into(), |rate| format!("{}:{}", rate.deck, rate.prefix));
            let why = match (x.unrated, x.provisional) {
                (Some(reason), source) => format!(" {} {source:?}", reason.as_str()),
                _ => String::new(),
            };
            let (side, level, account) = (x.side.as_str(), x.level, &x.account);
            format!("{side} {level} {account} {} {} {rate} x{}{why}", x.amount, x.currency, x.exchange_rate)
        })
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn both_sides_are_priced_by_their_own_deck_and_every_attempt_has_its_line() {
    check(
        &call("t-acme", "+4915123456", true),
        expect![[r#"
        sell 0 acme 0.2033 USD sell:491 x100000000
        buy 0 vend 0 EUR buy:491 x90000000
        buy 0 vend 0.0915 EUR buy:491 x90000000"#]],
    );
    check(
        &call("t-acme", "+4915123456", false),
        expect![[r#"
        sell 0 acme 0 USD sell:491 x100000000
        buy 0 vend 0 EUR buy:491 x90000000
        buy 0 vend 0 EUR buy:491 x90000000"#]],
    );
}

#[test]
fn a_reseller_and_its_customer_are_both_charged() {
    check(
        &call("t-shop", "4930123456", true),
        expect![[r#"
        sell 0 acme 0.1017 USD sell:49 x100000000
        sell 1 shop 0.915 USD retail:4 x100000000
        buy 0 vend 0 EUR buy:49 x90000000
        buy 0 vend 0.0458 EUR buy:49 x90000000"#]],
    );
}

#[test]
fn what_cannot_be_priced_keeps_a_provisional_amount_and_says_why() {
    for (trunk, called, expected) in [
        (
            "t-unknown",
            "4930123456",
            expect![[r#"
            sell 0 lost 0.203333 USD sell:491 x100000000 unknown_account Some(DearestOfAll)
            buy 0 vend 0 EUR buy:49 x90000000
            buy 0 vend 0.0458 EUR buy:49 x90000000"#]],
        ),
        (
            "t-bare",
            "4930123456",
            expect![[r#"
            sell 0 bare 0.203333 USD sell:491 x100000000 no_agreement Some(DearestOfCountry)
            buy 0 vend 0 EUR buy:49 x90000000
            buy 0 vend 0.0458 EUR buy:49 x90000000"#]],
        ),
        (
            "t-acme",
            "anonymous",
            expect![[r#"
            sell 0 acme 0.2033 USD sell:491 x100000000 bad_number Some(DearestOfDeck)
            buy 0 vend 0 EUR - x100000000 bad_number None
            buy 0 vend 0.0915 EUR buy:491 x90000000 bad_number Some(DearestOfDeck)"#]],
        ),
        (
            "t-acme",
            "999",
            expect![[r#"
            sell 0 acme 0.2033 USD sell:491 x100000000 no_rate Some(DearestOfDeck)
            buy 0 vend 0 EUR - x100000000 no_rate None
            buy 0 vend 0.0915 EUR buy:491 x90000000 no_rate Some(DearestOfDeck)"#]],
        ),
        (
            "t-acme",
            "447012345678",
            expect![[r#"
            sell 0 acme 0.2033 USD sell:491 x100000000 no_rate Some(DearestOfDeck)
            buy 0 vend 0 EUR - x100000000 no_rate None
            buy 0 vend 0.4575 EUR buy:4470 x90000000 no_rate Some(LastKnown)"#]],
        ),
        (
            "t-acme",
            "881234567",
            expect![[r#"
            sell 0 acme 0.2033 USD sell:491 x100000000 blocked Some(DearestOfDeck)
            buy 0 vend 0 EUR - x100000000 no_rate None
            buy 0 vend 0.0915 EUR buy:491 x90000000 no_rate Some(DearestOfDeck)"#]],
        ),
        (
            "t-nodeck",
            "4930123456",
            expect![[r#"
            sell 0 nodeck 0 GBP - x100000000 no_deck Some(NoDeck)
            buy 0 vend 0 EUR buy:49 x90000000
            buy 0 vend 0.0458 EUR buy:49 x90000000"#]],
        ),
    ] {
        check(&call(trunk, called, true), expected);
    }
    check(
        &call("t-unknown", "999", false),
        expect![[r#"
        sell 0 lost 0 USD - x100000000 unknown_account None
        buy 0 vend 0 EUR - x100000000 no_rate None
        buy 0 vend 0 EUR - x100000000 no_rate None"#]],
    );
}

#[test]
fn the_amount_held_comes_before_every_guess() {
    let mut held = call("t-acme", "999", true);
    (held.hold_id, held.held) = (Some([1; 16]), Some("0.75".parse().unwrap()));
    check(
        &held,
        expect![[r#"
        sell 0 acme 0.75 USD - x100000000 no_rate Some(Held)
        buy 0 vend 0 EUR - x100000000 no_rate None
        buy 0 vend 0.0915 EUR buy:491 x90000000 no_rate Some(DearestOfDeck)"#]],
    );
}

#[test]
fn times_that_contradict_each_other_are_not_priced() {
    let mut backwards = call("t-acme", "4930123456", true);
    backwards.ended_at = OccurredAt(-5);
    check(
        &backwards,
        expect![[r#"
        sell 0 acme 0.2033 USD sell:491 x100000000 bad_time Some(DearestOfCountry)
        buy 0 vend 0 EUR buy:49 x90000000
        buy 0 vend 0.0458 EUR buy:49 x90000000"#]],
    );
    let mut unanswered = call("t-acme", "4930123456", false);
    unanswered.duration = 5;
    check(
        &unanswered,
        expect![[r#"
        sell 0 acme 0 USD - x100000000 bad_time None
        buy 0 vend 0 EUR buy:49 x90000000
        buy 0 vend 0 EUR buy:49 x90000000"#]],
    );
}

#[test]
fn the_explanation_of_a_stored_price_can_be_followed_by_hand() {
    let call = call("t-acme", "+4915123456", true);
    let xdrs = tariffs().rate(&call);
    let text: Vec<String> = xdrs.iter().flat_map(|xdr| crate::explain(xdr, &call)).collect();
    expect![[r#"
        sold to acme (level 0) at 1970-01-01T00:00:09Z
        number rated: 4915123456
        deck sell version 1, code 491, to 491, 60/1
        61 s
        61 s billed
        60 s at 0.2 per minute
        1 s at 0.2 per minute
        rounded half up at 4 decimals: 0.2033 USD
        bought from vend at 1970-01-01T00:00:01Z
        number rated: 4915123456
        deck buy version 1, code 491, to 491, 60/1
        not answered: no time is charged
        times 0.9 (exchange rate) (1970-01-01T00:00:00Z ECB)
        rounded half up at 4 decimals: 0 EUR
        bought from vend at 1970-01-01T00:00:09Z
        number rated: 4915123456
        deck buy version 1, code 491, to 491, 60/1
        61 s
        61 s billed
        60 s at 0.1 per minute
        1 s at 0.1 per minute
        times 0.9 (exchange rate) (1970-01-01T00:00:00Z ECB)
        rounded half up at 4 decimals: 0.0915 EUR"#]]
    .assert_eq(&text.join("\n"));
}

#[test]
fn a_later_revision_has_another_id_and_the_same_digits() {
    let call = call("t-acme", "+4915123456", true);
    let (first, late) = (tariffs().rate(&call), tariffs().rate_as(&call, &Cause::Late([7; 16])));
    for (a, b) in first.iter().zip(&late) {
        assert_eq!((a.xdr_id, a.amount, &a.rate), (b.xdr_id, b.amount, &b.rate));
        assert_ne!(a.rev_id, b.rev_id);
    }
}

#[test]
fn a_prepaid_call_is_charged_with_each_tax_rounded_by_itself_as_quote_says() {
    let tax = |name: &str, percent, rounding| Tax { name: name.into(), percent, rounding };
    let agreed = Agreement {
        charge_gross: true,
        taxes: vec![tax("state", 61_250, Rounding::Up), tax("city", 9_000, Rounding::HalfUp)],
        ..agreement("cash", Side::Sell, "sell")
    };
    let mut config = Config::default();
    config.apply(ConfigItem::Account(Account { prepaid: true, ..account("cash", "USD", "") }));
    config.apply(ConfigItem::Product(Product { id: "premium".into(), name: "Premium".into(), deck: "sell".into() }));
    config.apply(ConfigItem::Agreement(agreed));
    config.apply(ConfigItem::Trunk(trunk("t-cash", "cash", Side::Sell)));
    let deck = deck("sell", "USD", vec![rate("49", "0.1")]);
    let mut call = call("t-cash", "4930123456", true);
    call.attempts.truncate(1);
    let tariffs = Tariffs::with_decks(&config, &[&deck]);
    let (xdr, steps) = tariffs.explained(&call).swap_remove(0);
    let line = serde_json::json!({"id": "x",
        "call": {"called": "4930123456", "started_at": "1970-01-01T00:00:00Z",
            "answered_at": "1970-01-01T00:00:09Z", "duration": "61"},
        "agreement": {"amount_decimals": 4, "taxes": [{"name": "state", "percent": "6.125", "rounding": "up"},
            {"name": "city", "percent": "0.9"}]},
        "deck": {"rates": [{"prefix": "49", "first_rate": "0.1", "first_interval": 60, "next_interval": 1}]}});
    let answer = crate::quote::Quoter::new().answer(1, &line.to_string()).line;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    // 0.10166... net: 6.125 % is 0.00622..., up; 0.9 % is 0.000915, half up.
    assert_eq!((xdr.amount.to_string(), xdr.gross.to_string()), ("0.1017".to_owned(), "0.1089".to_owned()));
    assert_eq!((answer["net"].as_str(), answer["gross"].as_str()), (Some("0.1017"), Some("0.1089")));
    expect!["state 6.125 % of the exact net: 0.0063; city 0.9 % of the exact net: 0.0009"]
        .assert_eq(&steps[steps.len() - 2..].join("; "));
    let said: Vec<&str> = answer["explanation"].as_array().unwrap().iter().filter_map(|step| step.as_str()).collect();
    assert!(said.ends_with(&[steps[steps.len() - 2].as_str(), steps[steps.len() - 1].as_str()]), "{said:?}");
    assert_eq!(crate::explain(&xdr, &call).last().unwrap(), "charged with tax: 0.1089 USD");
    // On account the tax is the invoice's.
    config.apply(ConfigItem::Account(account("cash", "USD", "")));
    let xdr = Tariffs::with_decks(&config, &[&deck]).rate(&call).swap_remove(0);
    assert_eq!(xdr.gross, xdr.amount);
}

#[test]
fn a_call_within_a_state_pays_the_intrastate_rate_and_the_xdr_shows_it() {
    let mut config = Config::default();
    config.apply(ConfigItem::Account(account("acme", "USD", "")));
    config.apply(ConfigItem::Agreement(agreement("acme", Side::Sell, "us")));
    config.apply(ConfigItem::Trunk(trunk("t-acme", "acme", Side::Sell)));
    for (name, digits) in [("US-NJ", ["1201", "1551"]), ("US-NY", ["1212", "1646"])] {
        let prefixes = digits.map(|digits| Prefix::new(digits).unwrap()).to_vec();
        config.apply(ConfigItem::Area(Area { name: name.into(), prefixes }));
    }
    let mut row = rate("1", "0");
    (row.inter_rate, row.intra_rate) = (Some("0.006".parse().unwrap()), Some("0.03".parse().unwrap()));
    row.indeterminate_rate = Some("0.01".parse().unwrap());
    let tariffs = Tariffs::with_decks(&config, &[&deck("us", "USD", vec![row])]);
    let rates = |caller: &str, rn: &str| {
        let mut call = call("t-acme", "15515550100", true);
        (call.caller_number, call.rn) = (E164::from_digits(caller).ok(), E164::from_digits(rn).ok());
        let (xdr, notes) = tariffs.explained(&call).swap_remove(0);
        format!("{} at {}, {}", xdr.amount, xdr.rate.unwrap().next_rate, notes[0])
    };
    expect!["0.0305 at 0.03, intrastate: from US-NJ to US-NJ"].assert_eq(&rates("12015550100", ""));
    expect!["0.0061 at 0.006, interstate: from US-NJ to US-NY"].assert_eq(&rates("12015550100", "16465550199"));
    expect!["0.0102 at 0.01, indeterminate: from no known area to US-NJ"].assert_eq(&rates("", ""));
}
