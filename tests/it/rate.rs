//! `tandem rate` and `tandem quote --config`: a file and a call priced by a configuration without any server, to the
//! same digits as the pipeline and as each other.

use serde_json::{Value, json};
use std::fs;
use tests::{Tandem, site};

#[test]
fn a_file_is_priced_without_a_server_as_the_pipeline_prices_it() {
    let tandem = Tandem::new();
    let file = site::fixture("yeti_cdr_events.jsonl").display().to_string();
    let config = site::fixture("site").display().to_string();
    let said = tandem.run(&["rate", &file, "--config", &config, "--json"]).expect_code(0);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = &lines.last().expect("a summary")["summary"];
    // The figures of docs/guides/first-import.md, which reports and ledger prove.
    let total = |side: &str| {
        let totals = summary["totals"].as_array().expect("totals");
        totals.iter().find(|total| total["side"] == side).expect("the side").clone()
    };
    assert_eq!((&total("sell")["charge"], &total("buy")["charge"]), (&json!("92.62542"), &json!("113.29335")));
    assert_eq!((&summary["read"], &summary["rejected"], &summary["unpriced"]), (&json!(250), &json!(0), &json!(0)));
    assert_eq!(
        lines.len() as u64 - 1,
        total("sell")["sides"].as_u64().unwrap() + total("buy")["sides"].as_u64().unwrap()
    );

    // The same calls by the account's name: every sell side comes out as quoted.
    let sold: Vec<&Value> = lines.iter().map(|line| &line["xdr"]).filter(|xdr| xdr["side"] == "sell").collect();
    let quotes = sold.iter().map(|xdr| {
        let call = json!({"called": xdr["called"], "caller": xdr["caller"], "started_at": xdr["started_at"],
            "answered_at": xdr["answered_at"], "duration": xdr["duration"]});
        json!({"id": xdr["call_key"], "account": "alba-usd", "call": call}).to_string() + "\n"
    });
    let path = tandem.home().join("quotes.jsonl");
    fs::write(&path, quotes.collect::<String>()).expect("the quotes");
    let path = path.display().to_string();
    let said = tandem.run(&["quote", &path, "--config", &config]).expect_code(0);
    for (line, xdr) in said.lines().zip(&sold) {
        let quoted: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!((&quoted["id"], &quoted["net"]), (&xdr["call_key"], &xdr["net"]), "{line}\n{xdr}");
    }
    assert_eq!(said.lines().count(), sold.len());
    let said = tandem.run(&["quote", &path]).expect_code(1);
    assert!(said.contains("tandem quote --config DIR"), "{}", said.lines().next().unwrap_or_default());
    let said = tandem.run(&["rate", &file, "--config", &config, "--switch", "nobody"]).expect_code(2);
    assert_eq!(said, "");
}
