//! Tests of `quote`: the contract's own examples, its refusals, its defaults.

use super::*;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn check(lines: &[&str], expected: Expect) {
    let mut quoter = Quoter::new();
    let mut texts = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        texts.push(quoter.answer(at as u64 + 1, line).line);
    }
    expected.assert_eq(&texts.join("\n"));
}

/// The example of the contract.
fn example() -> Value {
    serde_json::from_str(include_str!("example.json")).unwrap()
}

fn answer(line: &Value) -> Value {
    serde_json::from_str(&Quoter::new().answer(1, &line.to_string()).line).unwrap()
}

#[test]
fn the_contracts_examples_come_out_to_the_byte() {
    let mut unknown = example();
    (unknown["id"], unknown["call"]["called"]) = (json!("x2"), json!("88213"));
    check(
        &[&example().to_string(), &unknown.to_string()],
        expect![[r#"
            {"id":"x1","billed_seconds":"566","net":"0.000943","gross":"0.001160","tax":"0.000217","exact_net":"0.000943333333","exact_gross":"0.001160300000","currency":"EUR","rate":{"prefix":"49","destination":"Germany"},"explanation":["number 4930123456 rated at 2023-05-09T10:00:03Z","row: code 49, Germany, 60/11, valid from 2023-01-01T00:00:00Z","560.3 s rounded up to 561 s","60 s at 0.0001 per minute","506 s (46 x 11 s) at 0.0001 per minute","rounded half up at 6 decimals: 0.000943","with 23 % tax: 0.00116","one USD counts as one EUR"]}
            {"id":"x2","unrated":"no_rate","message":"no rate for 88213 valid at 2023-05-09T10:00:03Z"}"#]],
    );
}

#[test]
fn what_is_not_understood_is_refused_by_name_and_the_rest_goes_on() {
    let deck = r#""deck":{"rates":[{"prefix":"49","first_rate":"0.6"}]}"#;
    let call = r#""call":{"called":"4930","started_at":"2023-05-09T10:00:00Z","duration":"60"}"#;
    let line = |id: &str, rest: &str| format!(r#"{{"id":"{id}",{rest}}}"#);
    let lines = [
        line("good", &format!("{call},{deck}")),
        line("unknown", &format!(r#"{call},{deck},"speed":1"#)),
        line("passed over", &format!(r#"{call},{deck},"x_speed":1.5"#)),
        line("no deck", call),
        line("decimals", &format!(r#"{call},"deck":{{"rates":[{{"prefix":"49","first_rate":"0.00000000001"}}]}}"#)),
        line("number", &format!(r#"{call},"deck":{{"rates":[{{"prefix":"49","first_rate":1}}]}}"#)),
        line("float", &format!(r#"{call},"deck":{{"rates":[{{"prefix":"49","first_rate":0.5}}]}}"#)),
        line("nested", &format!(r#"{call},"deck":{{"rates":[{{"prefix":"49","first_rate":"1","wrong":null}}]}}"#)),
        line("twice", &format!(r#"{call},{call},{deck}"#)),
        "{".to_owned(),
        line("not a number", &format!(r#"{},{deck}"#, call.replace("4930", "anonymous"))),
    ];
    check(
        &lines.iter().map(String::as_str).collect::<Vec<_>>(),
        expect![[r#"
            {"id":"good","billed_seconds":"60","net":"0.600000","gross":"0.600000","tax":"0.000000","exact_net":"0.600000000000","exact_gross":"0.600000000000","currency":"USD","rate":{"prefix":"49","destination":""},"explanation":["number 4930 rated at 2023-05-09T10:00:00Z","row: code 49, 1/1","60 s","1 s at 0.6 per minute","59 s (59 x 1 s) at 0.6 per minute","rounded half up at 6 decimals: 0.6"]}
            {"id":"unknown","error":{"line":2,"field":"speed","reason":"unknown field \"speed\"","advice":"correct its name, or begin it with x_ to have it passed over"}}
            {"id":"passed over","billed_seconds":"60","net":"0.600000","gross":"0.600000","tax":"0.000000","exact_net":"0.600000000000","exact_gross":"0.600000000000","currency":"USD","rate":{"prefix":"49","destination":""},"explanation":["number 4930 rated at 2023-05-09T10:00:00Z","row: code 49, 1/1","60 s","1 s at 0.6 per minute","59 s (59 x 1 s) at 0.6 per minute","rounded half up at 6 decimals: 0.6"]}
            {"id":"no deck","error":{"line":4,"field":"deck","reason":"the field \"deck\" is missing","advice":"add it: it has no default"}}
            {"id":"decimals","error":{"line":5,"field":"deck.rates[0].first_rate","reason":"\"0.00000000001\" has more than 10 decimals","advice":"round it where it comes from: nothing is rounded here unasked"}}
            {"id":"number","error":{"line":6,"field":"deck.rates[0].first_rate","reason":"the number 1 is not in quotes","advice":"write texts and decimals as strings"}}
            {"id":"float","error":{"line":7,"field":"deck","reason":"rates: first_rate: invalid type: floating point `0.5`, expected a text, a whole number, true, false, null, a list or an object; decimals are strings at line 1 column 41","advice":"write one JSON object a line; decimals are strings"}}
            {"id":"nested","error":{"line":8,"field":"deck.rates[0].wrong","reason":"unknown field \"wrong\"","advice":"correct its name, or begin it with x_ to have it passed over"}}
            {"id":null,"error":{"line":9,"field":"","reason":"the field \"call\" is given twice at line 1 column 167","advice":"write one JSON object a line"}}
            {"id":null,"error":{"line":10,"field":"","reason":"EOF while parsing an object at line 1 column 1","advice":"write one JSON object a line"}}
            {"id":"not a number","unrated":"bad_number","message":"number \"anonymous\" holds something other than digits"}"#]],
    );
}

#[test]
fn taxes_are_each_rounded_and_then_added() {
    let mut line = example();
    line["agreement"]["tax_percent"] = Value::Null;
    line["agreement"]["taxes"] = json!([
        {"name": "state", "percent": "6.5", "rounding": "up"},
        {"name": "city", "percent": "1.25", "rounding": "down"},
    ]);
    let answer = answer(&line);
    // 0.00094333.. x 6.5 % = 0.0000613166.. up, x 1.25 % = 0.0000117916.. down.
    assert_eq!(answer["taxes"], json!([{"name":"state","amount":"0.000062"},{"name":"city","amount":"0.000011"}]));
    assert_eq!([&answer["net"], &answer["tax"], &answer["gross"]], ["0.000943", "0.000073", "0.001016"]);
}

#[test]
fn every_optional_field_may_be_left_out_or_null() {
    let mut bare = example();
    bare["agreement"] = json!({"currency":"EUR","tax_percent":"23"});
    bare["deck"] = json!({"currency":"USD","rates":[
        {"prefix":"49","destination":"Germany","first_rate":"0.0001","first_interval":60,"next_interval":11}]});
    assert_eq!(answer(&bare)["net"], "0.000943");
    assert_eq!(answer(&bare)["gross"], answer(&example())["gross"]);
    bare["call"]["answered_at"] = Value::Null;
    assert_eq!(answer(&bare)["net"], "0.000000", "null says that nobody answered");
    bare["call"].as_object_mut().unwrap().remove("answered_at");
    assert_eq!(answer(&bare)["net"], "0.000943", "left out: a call that lasted was answered when it began");
    bare["agreement"]["exchange_rate"] = Value::Null;
    assert_eq!(answer(&bare)["unrated"], "no_exchange_rate");
}

#[test]
fn two_rows_that_are_left_are_refused_in_either_order() {
    let row = |rate: &str, from: &str, until: Value| json!({"prefix":"49","first_rate":rate,"valid_from":from,"valid_until":until});
    let old = row("0.1", "2023-01-01", Value::Null);
    let new = row("0.2", "2023-05-09T10:00:03Z", Value::Null);
    for rows in [[&old, &new], [&new, &old]] {
        let mut line = example();
        line["deck"]["rates"] = json!(rows);
        let text = answer(&line)["error"]["reason"].clone();
        assert_eq!(text, "two rows of prefix 49 are left at 2023-05-09T10:00:03Z");
        line["call"]["answered_at"] = json!("2023-05-09T10:00:02.999999Z");
        assert_eq!(answer(&line)["exact_net"], "0.935000000000", "only one is valid then");
        line["deck"]["rates"][1]["status"] = json!("discontinued");
        line["deck"]["rates"][0]["status"] = json!("open");
        line["call"]["answered_at"] = json!("2023-05-10T00:00:00Z");
        assert!(answer(&line)["error"].is_null(), "a discontinued row takes no part");
    }
}

#[test]
fn a_word_that_is_none_is_answered_with_those_that_are() {
    for (part, field, advice) in [
        ("agreement", "amount_rounding", "write one of up, down, half_up, half_even, none"),
        ("agreement", "side", "write one of sell, buy"),
        ("call", "jurisdiction", "write one of inter, intra, indeterminate"),
        ("deck", "jurisdiction_indeterminate", "write one of inter, intra, dearer"),
    ] {
        let mut line = example();
        line[part][field] = json!("bankers");
        let error = &answer(&line)["error"];
        assert_eq!(error["field"], format!("{part}.{field}"));
        assert_eq!((&error["reason"], &error["advice"]), (&json!("\"bankers\" is none of its words"), &json!(advice)));
    }
}
