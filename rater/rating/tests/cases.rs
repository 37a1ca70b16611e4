//! Worked prices of other systems through the contract of `tandem quote`: `tests/fixtures/rating_cases.jsonl`, each line
//! with where the figures come from, the quote and what it must come to, exactly.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a test may open a file and say what it left out

use facts::Amount;
use rating::quote::Quoter;
use serde_json::Value;
use std::path::PathBuf;

const CASES: &str = include_str!("../../../tests/fixtures/rating_cases.jsonl");

fn amount(value: &Value) -> Amount {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn other_systems_worked_prices_come_out_exactly() {
    let mut quoter = Quoter::new();
    let mut wrong = Vec::new();
    for (at, line) in CASES.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let quoted = quoter.answer(at as u64 + 1, &case["quote"].to_string());
        let answer: Value = serde_json::from_str(&quoted.line).unwrap();
        for (field, expected) in case["expected"].as_object().unwrap() {
            let same = match field.as_str() {
                "net" | "gross" => answer[field].is_string() && amount(&answer[field]) == amount(expected),
                _ => answer[field] == *expected,
            };
            if !same {
                wrong.push(format!("{}: {field} is to be {expected}: {}", case["id"], quoted.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CASES.lines().count() > 90, "cases are missing from the fixture");
}

/// Cases of `rating_cases.csv` that are not priced here, by their group or their id, and why. Whatever is of neither
/// kind must stand in the fixture.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "free_minutes",
        "packages and included minutes over several calls are settlement (rule 4.15): the rater keeps no counters",
    ),
    ("tiers", "volume tiers are settlement (rule 4.15)"),
    ("true_up", "commitments and true-up are settlement (rule 4.15)"),
    ("credit_limit", "seconds allowed are the credit side's answer, not a price"),
    ("balance", "what a charge does to a balance is booked by the ledger"),
    ("dedup", "a second delivery is the assembler's; its tests repeat every record"),
    ("statistics", "counts are reporting's"),
    ("profit", "margin is net of tax by rule 4.11; the source's gross margin is not copied"),
    ("rerate", "the order of re-rated calls matters only to counters, which are settlement; a changed rate is a run's"),
    ("lcr", "the order of vendors is routing's"),
    ("deck_transform", "a sell deck made from buy decks is the deck commands'"),
    ("rounding_amount", "Malaysian rounding belongs to the invoice's total"),
    ("netting", "offset of two balances is settlement"),
    ("standalone_merge", "two sites that sell apart are the ledger's"),
    ("reconciliation", "thresholds and classes of disputes are reconciliation's"),
    ("yeti-015", "a call that a package covers: packages are settlement"),
    ("sip-009", "a fee from a second on is none of the rules of section 4"),
    ("sip-011", "a fee from a second on is none of the rules of section 4"),
    ("sip-014", "its off-peak price has a fee from a second on; the split itself stands in sip-015 and in the oracle"),
    ("cnx-061", "gives no figures; `a_surcharge_is_for_the_callers_of_its_group` prices such a call"),
    ("cnx-063", "gives no figures; `a_surcharge_is_for_the_callers_of_its_group` prices such a call"),
    ("jur-005", "needs a directory of exchanges, which is not loaded: such a call is indeterminate"),
];

#[test]
fn every_worked_case_is_priced_or_left_out_for_a_reason() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let folder = std::env::var_os("TANDEM_SHARED").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = folder.join("reference/rating_cases.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("left out: {} is absent", path.display());
        return;
    };
    let priced: Vec<Value> =
        CASES.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    let mut used = std::collections::BTreeSet::new();
    let mut forgotten = Vec::new();
    let (mut rows, mut left_out) = (0, 0);
    // The first three columns hold neither commas nor quotes; `source_inconsistent` cases are for nobody.
    for line in text.lines().skip(1) {
        let mut columns = line.split(',');
        let mut next = || columns.next().unwrap_or_default();
        let (id, group, status) = (next(), next(), next());
        rows += 1;
        if status == "source_inconsistent" || priced.iter().any(|known| *known == *id) {
            continue;
        }
        match LEFT_OUT.iter().find(|(kind, _)| *kind == id || *kind == group) {
            Some((kind, _)) => {
                left_out += 1;
                used.insert(*kind);
            }
            None => forgotten.push(format!("{id} ({group}, {status})")),
        }
    }
    assert!(forgotten.is_empty(), "neither priced nor left out for a reason: {forgotten:?}");
    let idle: Vec<_> = LEFT_OUT.iter().filter(|(kind, _)| !used.contains(kind)).collect();
    assert!(idle.is_empty(), "no case is left out for these: {idle:?}");
    assert!(rows > 150 && left_out < rows / 2, "{left_out} of {rows} cases are left out");
}

#[test]
fn a_surcharge_is_for_the_callers_of_its_group() {
    let mut quoter = Quoter::new();
    // ConnexCS cnx-061 and cnx-063: a group's rate for calls from the United Kingdom, India and the United States.
    let mut net = |caller: &str| {
        let line = format!(
            r#"{{"id":"x","call":{{"called":"9122123456","caller":"{caller}","started_at":"2023-05-09T10:00:00Z","duration":"60"}},
            "deck":{{"rates":[{{"prefix":"91","first_rate":"0.02"}},{{"prefix":"91","origin":"near","first_rate":"0.01"}}],
            "origin_groups":[{{"name":"near","prefixes":["44","91","1"]}}]}}}}"#
        );
        let answer: Value = serde_json::from_str(&quoter.answer(1, &line).line).unwrap();
        answer["net"].as_str().map(str::to_owned)
    };
    assert_eq!(net("442071234567").as_deref(), Some("0.010000"));
    assert_eq!(net("93201234567").as_deref(), Some("0.020000"));
}
