//! Tests of `price`.

use super::*;
use expect_test::{Expect, expect};
use facts::deck::{DeckTerms, Rate, RateDeck};
use facts::money::Currency;
use facts::number::{E164, Prefix};

fn deck(change: impl FnOnce(&mut RateDeck)) -> CompiledDeck {
    let mut deck = RateDeck {
        id: "d".into(),
        version: 3,
        terms: DeckTerms::new(Currency::new("USD").unwrap()),
        rates: vec![Rate::simple(Prefix::new("49").unwrap(), "Germany", 60, 11, "0.0001".parse().unwrap())],
    };
    change(&mut deck);
    CompiledDeck::compile(&deck).unwrap()
}

fn ask(seconds: &str) -> Ask {
    Ask {
        rated_at: 0,
        duration: facts::time::parse_seconds(seconds).unwrap(),
        answered: true,
        attempted: false,
        jurisdiction: Jurisdiction::Indeterminate,
        exchange_rate: SAME_CURRENCY,
    }
}

fn check(deck: &CompiledDeck, terms: &Terms, ask: &Ask, expected: Expect) {
    let number = E164::from_digits("4930123456").unwrap();
    let mut notes = Vec::new();
    let text = match deck.find(&number, 0, ask.rated_at).and_then(|row| price(deck, row, terms, ask, &mut notes)) {
        Ok(p) => format!("net {} gross {} billed {} s", p.net, p.gross, p.billed / SECOND),
        Err(reason) => format!("unrated {}", reason.as_str()),
    };
    let lines: Vec<String> = notes.iter().map(ToString::to_string).collect();
    expected.assert_eq(&format!("{text}\n{}", lines.join("\n")));
}

#[test]
fn net_and_gross_are_each_rounded_once_from_the_exact_amount() {
    let terms = Terms { amount_rounding: Rounding::Up, amount_decimals: 4, tax_percent: 230_000, ..Terms::default() };
    check(
        &deck(|_| {}),
        &terms,
        &ask("559.3"),
        expect![[r#"
        net 0.001 gross 0.0012 billed 566 s
        559.3 s rounded up to 560 s
        60 s at 0.0001 per minute
        506 s (46 x 11 s) at 0.0001 per minute
        rounded up at 4 decimals: 0.001
        with 23 % tax: 0.0012"#]],
    );
}

#[test]
fn no_time_no_connect_fee() {
    let with_fee = deck(|deck| deck.rates[0].connect_fee = "0.5".parse().unwrap());
    check(
        &with_fee,
        &Terms::default(),
        &ask("0"),
        expect![[r#"
        net 0 gross 0 billed 0 s
        0 s
        rounded half up at 6 decimals: 0"#]],
    );
    check(
        &with_fee,
        &Terms::default(),
        &Ask { answered: false, ..ask("10") },
        expect![[r#"
        net 0 gross 0 billed 0 s
        not answered: no time is charged
        rounded half up at 6 decimals: 0"#]],
    );
    check(
        &with_fee,
        &Terms::default(),
        &ask("0.2"),
        expect![[r#"
        net 0.5001 gross 0.5001 billed 60 s
        0.2 s rounded up to 1 s
        connect fee 0.5
        60 s at 0.0001 per minute
        rounded half up at 6 decimals: 0.5001"#]],
    );
}

#[test]
fn the_whole_block_differs_from_the_anchored_one() {
    let rows = |deck: &mut RateDeck| {
        (deck.rates[0].first_interval, deck.rates[0].next_interval) = (30, 18);
        (deck.rates[0].first_rate, deck.rates[0].next_rate) = (Price(600_000_000_000), Price(600_000_000_000));
    };
    check(
        &deck(rows),
        &Terms::default(),
        &ask("31"),
        expect![[r#"
        net 48 gross 48 billed 48 s
        31 s
        30 s at 60 per minute
        18 s at 60 per minute
        rounded half up at 6 decimals: 48"#]],
    );
    let round_total = |deck: &mut RateDeck| {
        rows(deck);
        deck.terms.interval_rule = IntervalRule::RoundTotal;
    };
    check(
        &deck(round_total),
        &Terms::default(),
        &ask("31"),
        expect![[r#"
        net 36 gross 36 billed 36 s
        31 s
        30 s at 60 per minute
        6 s at 60 per minute
        rounded half up at 6 decimals: 36"#]],
    );
}

#[test]
fn settings_of_the_row_come_before_the_deck_and_that_before_the_agreement() {
    let mut terms = Terms { amount_decimals: 2, ..Terms::default() };
    terms.settings.minimum_amount = Some("9".parse().unwrap());
    terms.settings.attempt_fee = Some("2".parse().unwrap());
    let in_euro = Ask { exchange_rate: 50_000_000, attempted: true, ..ask("10") };
    check(
        &deck(|_| {}),
        &terms,
        &in_euro,
        expect![[r#"
        net 11 gross 11 billed 60 s
        10 s
        60 s at 0.0001 per minute
        times 0.5 (exchange rate)
        minimum amount 9 applies
        attempt fee of the agreement 2
        rounded half up at 2 decimals: 11"#]],
    );
    let with_minimum = deck(|deck| {
        deck.terms.settings.minimum_amount = Some("3".parse().unwrap());
        deck.rates[0].settings.attempt_fee = Some("1".parse().unwrap());
    });
    check(
        &with_minimum,
        &terms,
        &in_euro,
        expect![[r#"
        net 2 gross 2 billed 60 s
        10 s
        60 s at 0.0001 per minute
        minimum amount 3 applies
        times 0.5 (exchange rate)
        attempt fee 1
        rounded half up at 2 decimals: 2"#]],
    );
}

#[test]
fn an_amount_beyond_the_range_is_named() {
    let dear = deck(|deck| deck.rates[0].next_rate = Price(i64::MAX));
    let forever = Ask { duration: i64::MAX - 1, exchange_rate: i64::MAX, ..ask("1") };
    check(
        &dear,
        &Terms { duration_rounding: Rounding::None, ..Terms::default() },
        &forever,
        expect![[r#"
        unrated amount_range
        9223372036854.775806 s
        60 s at 0.0001 per minute
        9223372036802 s (838488366982 x 11 s) at 922337203.6854775807 per minute"#]],
    );
}

#[test]
fn a_reverse_billed_minute_is_paid_to_the_caller() {
    let terms = Terms { amount_rounding: Rounding::Up, amount_decimals: 2, ..Terms::default() };
    let reverse = deck(|deck| (deck.rates[0].first_rate, deck.rates[0].next_rate) = (Price(-101), Price(-101)));
    check(
        &reverse,
        &terms,
        &ask("60"),
        expect![[r#"
        net -0.01 gross -0.01 billed 60 s
        60 s
        60 s at -0.0000000101 per minute
        rounded up at 2 decimals: -0.01"#]],
    );
}
