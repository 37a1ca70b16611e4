//! A call that cost more than was held for it is told of, also when the process dies between its charge and the telling;
//! what is told again has the same id.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::deaths::{arm, died};
use tests::{Tandem, eventually, http, site};

use crate::credit::{DECK, SITE};

const UP: [&str; 4] = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
const PATIENCE: Duration = Duration::from_secs(120);

fn told(tandem: &Tandem) -> Vec<Value> {
    let all = tandem.run(&["ledger", "notices", "pre", "--json"]).json_lines();
    all.into_iter().filter(|row| row["kind"] == "overrun").collect()
}

fn post(address: &str, tandem: &Tandem, path: &str, body: &Value) -> Result<Value, String> {
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token");
    let headers = [("authorization", &*format!("Bearer {}", token.trim())), ("content-type", "application/json")];
    let answer = http::request("POST", &format!("{address}{path}"), &headers, Some(&body.to_string()));
    answer.map(|answer| answer.json()).map_err(|error| error.to_string())
}

#[test]
fn an_overrun_is_told_of_though_the_process_dies_before_it_could_and_again_only_under_the_same_id() {
    let mut tandem = Tandem::new();
    let address = tandem.start_listening(&UP);
    site::apply_text(&tandem, SITE, DECK);
    tandem.run(&["ledger", "pay", "pre", "100", "--id", "p1", "--reason", "top-up"]).ok();
    let question = |key: &str| json!({"switch": "edge", "call_key": key, "trunk": "in", "called": "4930123456"});
    let held = post(&address, &tandem, "/v1/authorise", &question("k1")).expect("the site answers");
    assert_eq!(held["seconds_held"], 360, "{held}");
    tandem.stop();

    // Seven minutes of a call for which six are held: its charge is durable, and the process dies before it tells.
    arm(&mut tandem, &UP, "ledger.notice", 1);
    let address = eventually("the process listens", PATIENCE, || tests::tandem::address_in(&tandem.server().log()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let time = |ago: u64| facts::time::rfc3339(i64::try_from((now - ago) * 1_000_000).expect("a time"));
    let record = json!({
        "kind": "record", "record_id": "k1", "call_key": "k1", "switch": "edge", "id_domain": "edge",
        "started_at": time(423), "answered_at": time(420), "ended_at": time(0),
        "duration": "420", "caller": "43152345", "called": "4930123456", "inbound": {"trunk": "in"}, "sip_code": 200,
        "hold_id": held["hold_id"],
    });
    post(&address, &tandem, "/v1/call-events", &json!([record])).expect("the record is taken");
    eventually("it dies before it tells", PATIENCE, || died(&mut tandem, "ledger.notice").then_some(()));

    // Not asked before the start: a command in a folder that nobody works in works there itself, and tells.
    tandem.start_listening(&UP);
    let first = eventually("it is told of", PATIENCE, || told(&tandem).pop());
    assert_eq!((&first["threshold"], &first["value"]), (&json!("0.6"), &json!("0.7")), "held and charged");
    assert_eq!(first["call_id"], held["call_id"]);
    // Killed, so without a snapshot: the frame may be told again, the call has one id.
    tandem.kill();
    fs::remove_dir_all(tandem.data().join("ledger")).expect("the snapshots are a cache");
    tandem.start_listening(&UP);
    eventually("the process is ready", PATIENCE, || {
        (tandem.run(&["ledger", "balance", "pre"]).code == Some(0)).then_some(())
    });
    // A low balance is looked for once a second, behind all overruns that are to be told again.
    let caps = ["ledger", "caps", "pre", "--id", "c1", "--low-balance", "1000", "--reason", "watch"];
    tandem.run(&caps).ok();
    eventually("a later notice", PATIENCE, || {
        let all = tandem.run(&["ledger", "notices", "pre", "--json"]).json_lines();
        all.iter().any(|row| row["kind"] == "low_balance").then_some(())
    });
    let all = told(&tandem);
    let ids: BTreeSet<&str> = all.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!((ids.len(), all.iter().all(|row| row["call_id"] == held["call_id"])), (1, true), "{all:?}");
    tandem.stop();
}
