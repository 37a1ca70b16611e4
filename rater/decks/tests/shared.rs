//! Real carriers' decks from outside the repository (TANDEM_SHARED or ../shared beside it). What is absent is named.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a test may open files and say what it left out

use decks::{ReadOptions, read};
use std::path::PathBuf;

fn shared(name: &str) -> Option<Vec<u8>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let folder = std::env::var_os("TANDEM_SHARED").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = folder.join("data/rates").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("left out: {} is absent", path.display());
    }
    bytes
}

#[test]
fn the_airtel_notification_has_18_254_codes() {
    let Some(bytes) = shared("airtel_wholesale_2023.xlsx") else { return };
    let file = read("airtel.xlsx", &bytes, &ReadOptions::default()).unwrap();
    let (found, totals) = (&file.found, &file.totals);
    assert_eq!(file.problems, []);
    assert_eq!((totals.rows, totals.rates, found.header_row, found.sheet.as_str()), (18_254, 18_254, 15, "Pricing"));
    assert_eq!(found.currency, facts::Currency::new("USD").ok());
    let counts = |map: &std::collections::BTreeMap<_, u64>| format!("{map:?}");
    assert_eq!(counts(&totals.increments), r#"{"1/1": 17267, "30/6": 342, "60/1": 45, "60/60": 600}"#);
    assert_eq!(counts(&totals.changes), r#"{"Increase": 265, "No Change": 17988, "No Change on Pending Increase": 1}"#);
    let dates = [found.notice.increase_from, found.notice.decrease_from, found.notice.issued];
    let dates = dates.map(|date| date.unwrap().to_string());
    assert_eq!(dates, ["2023-05-16T00:00:00", "2023-05-10T00:00:00", "2023-05-09T11:33:01"]);
    let by = |code: &str| {
        let (rate, source) = file.rates.iter().find(|(rate, _)| rate.prefix.to_string() == code).unwrap();
        let from = facts::time::rfc3339(rate.valid_from.unwrap());
        let increment = (rate.first_interval, rate.next_interval);
        (source.row, rate.destination.to_string(), rate.next_rate.to_string(), from, increment)
    };
    let row =
        |row, name: &str, rate: &str, from: &str| (row, name.to_owned(), rate.to_owned(), from.to_owned(), (1, 1));
    assert_eq!(by("79407"), row(16, "Abkhazia-A Mobile-Mobile", "0.3", "2023-06-20T00:00:00Z"));
    assert_eq!(by("79409"), row(17, "Abkhazia-Aquafon-Mobile", "0.285", "2021-12-30T00:00:00Z"));
    assert_eq!(by("237681"), row(1793, "Cameroon-MTN-Mobile", "0.231", "2023-05-16T00:00:00Z"));
    assert_eq!(by("26373"), row(18_269, "Zimbabwe-Telecel-Mobile", "0.385", "2021-12-24T00:00:00Z"));
}

#[test]
fn patterns_and_plus_signs_of_two_open_source_platforms_are_codes() {
    if let Some(bytes) = shared("astpp_outbound_routes_2015.csv") {
        let file = read("astpp.csv", &bytes, &ReadOptions::default()).unwrap();
        assert_eq!((file.totals.rows, file.totals.rates), (36_206, 36_204));
        let reasons: Vec<_> = file.problems.iter().map(|problem| problem.reason.as_str()).collect();
        assert!(reasons.len() == 2 && reasons.contains(&"the price is 0"), "{reasons:?}");
        assert!(reasons.iter().any(|reason| reason.contains("1808")), "{reasons:?}");
    }
    if let Some(bytes) = shared("ivozprovider_prices_sample.csv") {
        let file = read("ivoz.csv", &bytes, &ReadOptions::default()).unwrap();
        assert_eq!((file.totals.rows, file.totals.rates, file.totals.problems), (4_743, 4_743, 0));
    }
}
