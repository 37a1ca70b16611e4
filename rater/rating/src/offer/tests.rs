//! Tests of `offer`: a hold never counts with less than the call comes to.

use super::*;
use facts::call::Call;
use facts::config::{Account, Agreement, Config, ConfigItem, IdentificationRule, Tax, Trunk};
use facts::deck::{DeckTerms, Price, Rate, RateDeck, Settings, Step};
use facts::ids::CallId;
use facts::number::Prefix;
use facts::xdr::Side;
use smallvec::SmallVec;

/// Saturday 2023-05-06 19:30 in Vienna.
const EVENING: i64 = 1_683_394_200_000_000;
const SECOND: i64 = 1_000_000;

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

fn account(id: &str, reseller: &str) -> Account {
    Account {
        id: id.into(),
        carrier: "c".into(),
        currency: usd(),
        prepaid: true,
        credit_limit: Price(0),
        reseller: reseller.into(),
        unidentified: false,
    }
}

fn tariffs(deck: RateDeck, change: impl Fn(&mut Agreement)) -> Tariffs {
    let mut config = Config::default();
    config.apply(ConfigItem::Account(account("acme", "")));
    config.apply(ConfigItem::Account(account("shop", "acme")));
    for id in ["acme", "shop"] {
        let mut agreement = Agreement::new(id, id, Side::Sell, deck.id.as_str());
        change(&mut agreement);
        config.apply(ConfigItem::Agreement(agreement));
        let rule = IdentificationRule { trunk: id.into(), ..Default::default() };
        let (id, account, product) = (id.into(), id.into(), "".into());
        config.apply(ConfigItem::Trunk(Trunk {
            id,
            account,
            product,
            side: Side::Sell,
            rules: vec![rule],
            strip: vec![],
        }));
    }
    Tariffs::with_decks(&config, &[&deck])
}

fn deck(rates: Vec<Rate>) -> RateDeck {
    let mut terms = DeckTerms::new(usd());
    terms.time_zone = "Europe/Vienna".into();
    let all = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(Into::into).to_vec();
    let band = |name: &str, from: u16, until: u16| facts::deck::TimeBand {
        name: name.into(),
        days: all.clone(),
        from: from * 60,
        until: until * 60,
    };
    terms.time_bands = vec![band("day", 8, 20), band("night", 20, 8)];
    RateDeck { id: "az".into(), version: 4, terms, rates }
}

fn rate(prefix: &str, first: u32, next: u32, price: &str) -> Rate {
    Rate::simple(Prefix::new(prefix).unwrap(), &format!("to {prefix}"), first, next, price.parse().unwrap())
}

fn wish(trunk: &str, called: &str) -> Wish {
    Wish {
        switch: "sw".into(),
        inbound: Endpoint { trunk: trunk.into(), ..Default::default() },
        called: called.into(),
        called_number: E164::from_digits(called).ok(),
        caller_number: None,
        rn: None,
        at: OccurredAt(EVENING),
    }
}

/// A call as the rater sees it at its end.
fn call(wish: &Wish, seconds: i64) -> Call {
    Call {
        call_id: CallId([1; 16]),
        id_domain: "sw".into(),
        switch: wish.switch.clone(),
        call_key: "k".into(),
        caller: "".into(),
        called: wish.called.clone(),
        caller_number: None,
        called_number: wish.called_number,
        rn: None,
        inbound: wish.inbound.clone(),
        started_at: wish.at,
        answered_at: Some(wish.at),
        ended_at: OccurredAt(EVENING + seconds * SECOND),
        duration: seconds * SECOND,
        pdd: None,
        sip_code: Some(200),
        q850: None,
        attempts: SmallVec::new(),
        estimated: false,
        hold_id: None,
        held: None,
        dedupe: SmallVec::new(),
        events: SmallVec::new(),
        import: None,
        raw: SmallVec::new(),
    }
}

/// For every length up to an hour: cost of the intervals that cover it, rounded up, is at least what is charged.
fn covers(tariffs: &Tariffs, called: &str) {
    for trunk in ["acme", "shop"] {
        let wish = wish(trunk, called);
        let offers = tariffs.offers(&wish).unwrap();
        assert_eq!(offers.levels.len(), if trunk == "shop" { 2 } else { 1 });
        for seconds in (1..3_700).step_by(7) {
            let xdrs = tariffs.rate(&call(&wish, seconds));
            assert_eq!(xdrs.len(), offers.levels.len());
            for (xdr, offer) in xdrs.iter().zip(&offers.levels) {
                assert_eq!((&xdr.account, xdr.unrated), (&offer.account, None));
                let rest = (seconds - i64::from(offer.first_seconds)).max(0);
                let intervals = (rest + i64::from(offer.next_seconds) - 1) / i64::from(offer.next_seconds);
                let unit = 10i128.pow(SCALE - u32::from(offer.decimals));
                let cost = offer.first.0 + offer.next.0 * i128::from(intervals);
                let cost = (cost + unit - 1).div_euclid(unit) * unit;
                assert!(cost >= xdr.gross.0, "{called} {seconds} s: holds {cost}, is charged {}", xdr.gross);
            }
        }
    }
}

#[test]
fn a_hold_covers_the_call_whatever_its_row_has() {
    let fee = |text: &str| -> Price { text.parse().unwrap() };
    let plain = rate("43", 60, 1, "0.1234567");
    let fees = Rate { connect_fee: fee("0.05"), ..rate("44", 30, 6, "0.017") };
    let settings = Settings {
        grace: Some(90 * SECOND),
        minimum_duration: Some(200 * SECOND),
        minimum_amount: Some(fee("0.3")),
        attempt_fee: Some(fee("0.02")),
        disconnect_fee: Some(fee("0.01")),
        ..Settings::default()
    };
    let settled = Rate { settings, free: 30 * SECOND, ..rate("45", 60, 60, "0.09") };
    let step = |from: i64, price: &str, per, increment| Step { from: from * SECOND, rate: fee(price), per, increment };
    let steps = Rate {
        steps: vec![step(0, "0.5", 60, 60), step(300, "3", 3600, 45), step(900, "0.2", 60, 7)],
        ..rate("46", 60, 60, "0")
    };
    // Half past seven in the evening; the night is dearer, with another increment.
    let day = Rate { time_band: Some("day".into()), ..rate("47", 60, 60, "0.02") };
    let night = Rate { time_band: Some("night".into()), ..rate("47", 60, 37, "0.9") };
    // By the second by day, by the minute at night: the last minute is billed whole.
    let fine = Rate { time_band: Some("day".into()), ..rate("48", 1, 1, "0.9") };
    let coarse = Rate { time_band: Some("night".into()), ..rate("48", 60, 60, "0.9") };
    let deck = deck(vec![plain, fees, settled, steps, day, night, fine, coarse]);
    let tax = |name: &str, percent, rounding| Tax { name: name.into(), percent, rounding };
    let changes: [&dyn Fn(&mut Agreement); 4] = [
        &|_| (),
        &|a| (a.charge_gross, a.tax_percent) = (true, 230_000),
        &|a| {
            a.charge_gross = true;
            a.taxes = vec![tax("vat", 190_000, Rounding::Up), tax("usf", 12_345, Rounding::HalfUp)];
        },
        &|a| (a.amount_decimals, a.amount_rounding) = (2, Rounding::Up),
    ];
    for change in changes {
        let tariffs = tariffs(deck.clone(), change);
        for called in ["4315", "4415", "4515", "4615", "4715", "4815"] {
            covers(&tariffs, called);
        }
    }
}

#[test]
fn a_plain_row_holds_exactly_what_it_charges() {
    let tariffs = tariffs(deck(vec![rate("43", 60, 60, "0.1")]), |_| ());
    let offers = tariffs.offers(&wish("acme", "4315")).unwrap();
    let offer = &offers.levels[0];
    let per_second = offer.next.0 * 60 / i128::from(offer.next_seconds);
    assert_eq!(per_second, 100_000_000_000, "a minute of further intervals is a minute of the rate");
    let tenth: Amount = "0.1".parse().unwrap();
    assert_eq!((offer.first, offer.first_seconds, offer.next, offer.next_seconds), (tenth, 60, tenth, 60));
    assert_eq!((offer.minute, offer.decimals), (tenth, 6));
    assert_eq!((offer.rate.prefix.to_string(), offer.rate.deck_version), ("43".to_string(), 4));
}

#[test]
fn a_call_that_nobody_could_price_gets_no_offer_and_a_reason() {
    let blocked = Rate { status: facts::deck::RowStatus::Blocked, ..rate("88", 60, 60, "9") };
    let tariffs = tariffs(deck(vec![rate("43", 60, 60, "0.1"), blocked]), |_| ());
    let reason = |trunk: &str, called: &str| tariffs.offers(&wish(trunk, called)).unwrap_err();
    assert_eq!(reason("nobody", "4315"), Unrated::UnknownAccount);
    assert_eq!(reason("acme", "anonymous"), Unrated::BadNumber);
    assert_eq!(reason("acme", "9915"), Unrated::NoRate);
    assert_eq!(reason("acme", "8815"), Unrated::Blocked);
}
