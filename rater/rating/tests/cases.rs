//! Worked prices of other systems through the contract of `tandem quote`: `tests/fixtures/rating_cases.jsonl`, each line
//! with where the figures come from, the quote and what it must come to, exactly.

use facts::Amount;
use rating::quote::Quoter;
use serde_json::Value;

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
