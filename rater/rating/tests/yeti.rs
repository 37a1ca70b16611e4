//! The 264 prices that a Yeti switch wrote into the 132 answered records of `yeti_cdr_events.jsonl`, computed again from
//! the rates in the same records. 263 are the same; the one that differs is the source's known divergence.

use facts::deck::{DeckTerms, Rate, RateDeck};
use facts::money::{Amount, Currency, Rounding};
use facts::number::{E164, Prefix};
use rating::CompiledDeck;
use rating::price::{Ask, Jurisdiction, SAME_CURRENCY, Terms, price};
use serde_json::Value;

const RECORDS: &str = include_str!("../../../tests/fixtures/yeti_cdr_events.jsonl");

fn text(record: &Value, name: &str) -> String {
    match &record[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Prices one side by the rates that stand in the record itself.
fn priced(record: &Value, side: &str) -> (Amount, i64) {
    let field = |name: &str| text(record, &format!("{side}_{name}"));
    let seconds = |name: &str| field(name).parse().unwrap();
    let mut rate = Rate::simple(
        Prefix::new(&field("prefix")).unwrap(),
        "",
        seconds("initial_interval"),
        seconds("next_interval"),
        field("next_rate").parse().unwrap(),
    );
    rate.first_rate = field("initial_rate").parse().unwrap();
    rate.connect_fee = field("fee").parse().unwrap();
    let terms = DeckTerms::new(Currency::new("USD").unwrap());
    let deck = CompiledDeck::compile(&RateDeck { id: "yeti".into(), version: 1, terms, rates: vec![rate] }).unwrap();
    let terms = Terms { amount_rounding: Rounding::HalfUp, amount_decimals: 5, ..Terms::default() };
    let ask = Ask {
        rated_at: facts::time::parse_rfc3339(&text(record, "time_connect")).unwrap(),
        duration: facts::time::parse_seconds(&text(record, "duration")).unwrap(),
        answered: true,
        attempted: true,
        jurisdiction: Jurisdiction::Indeterminate,
        exchange_rate: SAME_CURRENCY,
    };
    let number = E164::from_digits(&text(record, "dst_prefix_routing")).unwrap();
    let chosen = deck.find(&number, 0, ask.rated_at).unwrap();
    let priced = price(&deck, chosen, &terms, &ask, &mut ()).unwrap();
    (priced.net, priced.billed / 1_000_000)
}

#[test]
fn of_264_prices_263_are_yetis_own_and_the_tie_is_rounded_from_the_exact_amount() {
    let (mut same, mut different) = (0, Vec::new());
    for line in RECORDS.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if record["success"] != Value::Bool(true) {
            continue;
        }
        for (side, price, billed) in [
            ("destination", "customer_price_no_vat", "customer_duration"),
            ("dialpeer", "vendor_price", "vendor_duration"),
        ] {
            let (ours, seconds) = priced(&record, side);
            assert_eq!(seconds.to_string(), text(&record, billed), "billed seconds of record {}", record["id"]);
            let theirs: Amount = text(&record, price).parse().unwrap();
            if ours == theirs {
                same += 1;
            } else {
                let (duration, rate) = (text(&record, "duration"), text(&record, &format!("{side}_next_rate")));
                different.push(format!("{duration} s at {rate}: exactly {ours}, the source says {theirs}"));
            }
        }
    }
    // The source divides by 60 before it multiplies; 213 x 0.3001 / 60 is 1.065355 exactly.
    assert_eq!(different, ["213 s at 0.3001: exactly 1.06536, the source says 1.06535"]);
    assert_eq!(same, 263);
}
