//! Fuzzing of what stands behind a door of its own: quotes, events as JSON, orders of runs, the embedded log's files,
//! and the running process's HTTP doors with the bodies and configuration files that come through them.
//!
//! The pure readers are fuzzed in `readers`. A door may refuse; it may not panic, answer 500, or give back from a
//! damaged log anything but what was written to it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bus::{Batch, Bus, BusError, EmbeddedBus, EmbeddedConfig, Record, TopicSpec};
use facts::OccurredAt;
use facts::ids::RunId;
use facts::run::{RunAction, RunInput, RunKind, RunOrder, RunPlan, Selection};
use facts::xdr::Position;
use rating::quote::{Came, Quoter};
use schemas::{SchemaIds, run_order};
use serde_json::{Value, json};
use tests::{Tandem, http, site};

use crate::fuzz::{fuzz, fuzz_within, seeds};
use crate::readers::switch;

/// An answer of the process waits for its disk, and here for other tests' too.
const SLOW: Duration = Duration::from_secs(30);

#[test]
fn no_quote_breaks_the_quoter() {
    let seeds: Vec<Vec<u8>> = quotes().into_iter().take(60).collect();
    fuzz("quote", &seeds, |input| {
        let line = String::from_utf8_lossy(input).replace(['\n', '\r'], " ");
        let quoted = Quoter::new().answer(1, &line);
        let answer: Value = serde_json::from_str(&quoted.line).expect("an answer is one JSON object");
        let key = match quoted.came {
            Came::Priced => "net",
            Came::Unrated => "unrated",
            Came::Refused => "error",
        };
        assert!(answer.get(key).is_some(), "{:?} without {key}: {answer}", quoted.came);
        assert_eq!(Quoter::new().answer(1, &line), quoted, "the same line, another price");
    });
}

#[test]
fn no_event_as_json_breaks_its_reader() {
    let event = json!({"switch": "switch-1", "kind": "ended", "call_key": "k1", "occurred_at": "2023-07-01T10:00:00Z",
        "caller": "43152345", "called": "4930123456", "duration": "60.5", "q850": 16, "sip_code": 200});
    let mut all = seeds("tandem_events.json");
    all.push(event.to_string().into_bytes());
    let switch = switch("tandem");
    fuzz("event-json", &all, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Err((_, reason, advice)) = switch_formats::event_from_json(text, &switch) {
            assert!(!reason.is_empty() && !advice.is_empty(), "a refusal without reason or advice: {text}");
        }
    });
}

#[test]
fn no_order_of_a_run_breaks_its_decoder() {
    let ids = SchemaIds::default();
    let bytes = |action| {
        let by = RunOrder { run: RunId([7; 16]), at: OccurredAt(9), by: "anna".into(), reason: "late".into(), action };
        let mut bytes = Vec::new();
        run_order::encode(&by, &ids, &mut bytes);
        bytes
    };
    let plan = RunPlan {
        kind: RunKind::Undo,
        undoes: Some(RunId([9; 16])),
        config_seq: 41,
        inputs: vec![RunInput { stream: "xdrs.main.0".into(), to: Position { seq: 7, index: 3 } }],
        selection: Selection { accounts: vec!["acme".into()], deck_version: Some(3), ..Selection::default() },
        agreements: vec!["acme-standard".into()],
        calls: 5,
    };
    let seeds = [RunAction::Preview(Box::new(plan)), RunAction::Post { ledger_seq: 3 }, RunAction::Drop].map(bytes);
    fuzz("run-order", &seeds, |input| {
        let Ok(order) = run_order::decode(input, &ids) else { return };
        let mut again = Vec::new();
        run_order::encode(&order, &ids, &mut again);
        assert_eq!(run_order::decode(&again, &ids).expect("our own order"), order);
    });
}

const RECORDS: u64 = 40;

#[test]
fn no_damage_to_the_log_is_read_as_truth() {
    // In memory where the machine has such a place: every opening syncs.
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let home = home.expect("a temporary folder");
    let config =
        |root: &Path| EmbeddedConfig { segment_bytes: 4 << 10, write_ahead_bytes: 512, ..EmbeddedConfig::new(root) };
    let root = home.path().join("log");
    {
        let bus = EmbeddedBus::open(config(&root)).expect("a new log");
        bus.ensure(&TopicSpec::frames("calls", 1)).expect("a topic");
        let mut writer = bus.writer("calls").expect("a writer");
        for number in 0..RECORDS {
            writer.append(0, &[Record { key: b"k", value: &value(number), timestamp_ms: 0 }]).expect("a record");
        }
    }
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.retain(|path| !path.ends_with("LOCK"));
    let seeds: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).expect("a file of the log")).collect();
    assert!(seeds.len() > 3 && seeds.iter().all(|seed| seed.len() <= 16 << 10), "{files:?}");
    let files_of_log: Vec<_> = files.iter().cloned().zip(seeds.iter().cloned()).collect();
    let turn = std::cell::Cell::new(0);
    fuzz_within("log-files", &seeds, SLOW, |input| {
        // The fuzzer's bytes stand in one file of the log after the other; the others are whole.
        let at = turn.replace((turn.get() + 1) % files_of_log.len());
        for (path, whole) in &files_of_log {
            fs::write(path, whole).expect("the log can be written");
        }
        fs::write(&files_of_log[at].0, input).expect("the log can be written");
        let read = EmbeddedBus::open(config(&root)).and_then(|bus| read_all(&bus));
        let found = match read {
            Ok(found) => found,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        assert!(found.len() as u64 <= RECORDS, "more records than were written");
        for (number, found) in (0..).zip(found) {
            assert_eq!(found, value(number), "record {number} is another one after damage to {:?}", files_of_log[at].0);
        }
    });
}

fn value(number: u64) -> Vec<u8> {
    (0..24).flat_map(|step: u64| (number * 31 + step).to_le_bytes()).collect()
}

fn read_all(bus: &EmbeddedBus) -> Result<Vec<Vec<u8>>, BusError> {
    let end = match bus.end("calls", 0) {
        Err(BusError::UnknownTopic { .. }) => return Ok(Vec::new()),
        end => end?,
    };
    let mut reader = bus.reader("calls", 0, bus.begin("calls", 0)?)?;
    let (mut batch, mut found) = (Batch::new(), Vec::new());
    while reader.position() < end {
        reader.poll(&mut batch, 1 << 20, Duration::from_secs(5))?;
        found.extend(batch.iter().map(|record| record.value.to_vec()));
    }
    Ok(found)
}

fn walk(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the log").flatten() {
        if entry.path().is_dir() { walk(&entry.path(), files) } else { files.push(entry.path()) }
    }
}

#[test]
fn no_body_breaks_an_http_door_of_the_running_process() {
    let mut tandem = Tandem::new();
    let address = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let post = |path: &str, kind: &str, body: &[u8]| {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = http::request_bytes("POST", &format!("{address}{path}"), &headers, body);
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(matches!(answer.status, 200..=299 | 400..=499), "{path}: {} {}", answer.status, answer.body);
        answer
    };
    let json = "application/json";
    let events: Vec<Vec<u8>> = seeds("tandem_events.json").into_iter().chain(seeds("freeswitch_legs.json")).collect();
    let door = |name: &str, path: &str, kind: &str, seeds: &[Vec<u8>]| {
        fuzz_within(name, seeds, SLOW, |input| drop(post(path, kind, input)));
    };
    door("http-events", "/v1/call-events", json, &events);
    let lines: Vec<Vec<u8>> = site::lines().into_iter().take(5).map(String::into_bytes).collect();
    door("http-events-of-a-switch", "/v1/call-events?switch=yeti-1", json, &lines);
    door("http-events-avro", "/v1/call-events", "avro/binary; framing=length", &lines);
    door("http-quote", "/v1/quote", json, &quotes()[..20]);
    door("http-order", "/v1/op", json, &[br#"{"balances":{"account":"alba-usd"}}"#.to_vec()]);
    // A configuration as a file; nothing is written.
    let file = tandem.home().join("site/site.toml");
    let decks = file.with_file_name("decks");
    fs::create_dir_all(&decks).expect("the home can be written");
    for deck in ["alba-sell.csv", "borea-buy.csv"] {
        fs::copy(site::fixture("site/decks").join(deck), decks.join(deck)).expect("a deck");
    }
    let op = json!({"apply": {"path": file, "prune": false, "write": false, "by": "fuzz", "comment": ""}}).to_string();
    fuzz_within("apply-document", &seeds("site.toml"), SLOW, |input| {
        fs::write(&file, input).expect("the home can be written");
        drop(post("/v1/op", json, op.as_bytes()));
    });
    let log = tandem.server().log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(http::get(&format!("{address}/healthz")).expect("the process answers").status, 200);
    tandem.stop();
}

/// The worked prices, as lines that ask for them.
fn quotes() -> Vec<Vec<u8>> {
    let cases = fs::read_to_string(site::fixture("rating_cases.jsonl")).expect("the worked prices");
    let quote = |line: &str| serde_json::from_str::<Value>(line).expect("a case")["quote"].to_string().into_bytes();
    cases.lines().map(quote).collect()
}
