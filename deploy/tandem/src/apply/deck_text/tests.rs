//! What a deck's table may say, as people write it.

use super::*;
use facts::deck::Price;

const WHOLE: &str = r#"
id = "sell"
file = "sell.csv"
currency = "EUR"
time_zone = "Europe/Vienna"
holidays = ["2026-12-25"]
band_crossing = "start"
interval_rule = "round_total"
rated_number = "lrn"
jurisdiction_from = "dialled"
jurisdiction_indeterminate = "inter"
grace_seconds = "2.5"
minimum_amount = "0.001"
attempt_fee = "0.0005"

[[time_band]]
name = "night"
days = ["mon", "holiday"]
from = "22:00"
until = "06:00"

[[origin_group]]
name = "EEA"
prefixes = ["43", "49"]

[[origin_group]]
name = "unknown"
malformed = true
"#;

fn read(text: &str) -> Result<Declared, String> {
    let deck: DeckText = toml::from_str(text).map_err(|e| e.to_string())?;
    deck.into_declared().map_err(|e| e.to_string())
}

#[test]
fn everything_that_pricing_knows_of_a_deck_can_be_declared() {
    let deck = read(WHOLE).unwrap();
    let terms = deck.terms(Currency::new("EUR").unwrap());
    assert_eq!(terms.currency.to_string(), "EUR");
    assert_eq!((terms.band_crossing, terms.interval_rule), (BandCrossing::Start, IntervalRule::RoundTotal));
    assert_eq!((terms.rated_number, terms.indeterminate), (RatedNumber::Lrn, Indeterminate::Inter));
    assert_eq!(terms.jurisdiction_from, JurisdictionFrom::Dialled);
    assert_eq!((terms.settings.grace, terms.settings.minimum_amount), (Some(2_500_000), Some(Price(10_000_000))));
    assert_eq!(terms.settings.attempt_fee, Some(Price(5_000_000)));
    assert_eq!((terms.time_bands[0].from, terms.time_bands[0].until), (1_320, 360));
    assert_eq!(terms.origin_groups[0].prefixes.len(), 2);
    assert!(terms.origin_groups[1].malformed);
    assert_eq!(deck.time_bands(), ["night"]);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let says = |from: &str, to: &str, words: &str| {
        assert!(WHOLE.contains(from));
        let fault = read(&WHOLE.replace(from, to)).unwrap_err();
        assert!(fault.contains(words), "{fault}");
    };
    says("22:00", "25:00", "deck \"sell\": time_band: \"night\": \"25:00\" is no time of the day");
    says("06:00", "22:00", "owns no time");
    says("malformed = true", "prefixes = [\"49\"]", "EEA and unknown both hold prefix 49");
    says("malformed = true", "malformed = false", "holds nobody");
    says("name = \"unknown\"", "name = \"EEA\"", "used twice");
    says("grace_seconds", "grace_minutes", "grace_minutes");
    says("\"2.5\"", "\"-1\"", "grace_seconds");
}
