//! From a switch's file to a proved balance and a report, by the binary's own commands, without a server running.
//!
//! Figures are compared with sums over the prices in Yeti's records, in whole units of 10^-12; never within a tolerance.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::site::{self, BUY, SELL, SWITCH, TIE, amount, cell, row_of};
use tests::{Ran, Tandem};

#[test]
fn the_demo_agrees_with_its_generator_to_the_last_digit() {
    let tandem = Tandem::new();
    let out = tandem.run(&["demo", "--once", "--calls", "5000", "--seed", "7"]).ok();
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with("generator, ledger and ClickHouse agree to the last digit ("), "{out}");
    let sums: u64 = last.split(['(', ' ']).filter_map(|word| word.parse().ok()).next().expect("how many sums");
    assert!(sums >= 20, "20 customers and 8 vendors are not {sums} sums:\n{out}");
    assert!(out.lines().any(|line| line.trim() == "calls generated  5000"), "{out}");
}

#[test]
fn a_file_becomes_balances_and_reports_to_the_last_digit_and_only_once() {
    let tandem = Tandem::new();
    site::apply(&tandem);
    counted(&import(&tandem, &site::file()), [250, 250, 0, 0]);
    let balances = tandem.run(&["ledger", "balance", "--json"]).json_lines();
    let (sell, buy) = site::sums();
    assert_eq!((sell, buy), (amount("92.62542"), amount("113.29335")));
    assert_eq!(cell(row_of(&balances, "account", SELL), "owed"), sell);
    assert_eq!(cell(row_of(&balances, "account", BUY), "owed"), -buy, "what we owe a vendor is a credit");
    prices_are_the_records_own(&tandem);
    reports_say(&tandem, sell, buy);
    balanced(&tandem);

    counted(&import(&tandem, &site::file()), [250, 0, 250, 0]);
    let again = tandem.run(&["ledger", "balance", "--json"]).json_lines();
    assert_eq!(again, balances, "the same file again moved money");
    let checked = tandem.run(&["report", "check"]);
    assert!(checked.stderr.contains("reports and ledger agree to the last digit"), "{}", checked.stderr);
    checked.ok();
    let verified = tandem.run(&["ledger", "verify", "--json"]).json_lines();
    let charges = site::records().iter().map(|r| i32::from(r.sell != 0) + i32::from(r.buy != 0)).sum::<i32>();
    assert_eq!(verified[0]["ok"], true);
    assert_eq!((&verified[0]["calls"], &verified[0]["entries"]), (&Value::from(250), &Value::from(charges)));

    damage_is_found_and_named(&tandem);
}

/// Every price of every record, by the reporting engine: the same as the switch's own but for the one tie.
fn prices_are_the_records_own(tandem: &Tandem) {
    let query = "SELECT called, formatDateTime(started, '%Y-%m-%dT%H:%i:%S') AS at, \
                 toString(sum(sign * sell_amount)) AS sell, toString(sum(sign * buy_amount)) AS buy \
                 FROM attempts GROUP BY called, at";
    let rows = tandem.run(&["sql", query, "--json"]).json_lines();
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_string();
    let found: BTreeMap<_, _> = rows.iter().map(|row| ((text(row, "called"), text(row, "at")), row)).collect();
    let records = site::records();
    assert_eq!((rows.len(), found.len()), (records.len(), records.len()));
    let (mut same, mut other) = (0, Vec::new());
    for record in &records {
        let row = found.get(&(record.called.clone(), record.started.clone()));
        let row = row.unwrap_or_else(|| panic!("record {} did not arrive", record.id));
        for (key, wanted) in [("sell", record.sell), ("buy", record.buy)] {
            if cell(row, key) != wanted {
                other.push((record.id, key, wanted, cell(row, key)));
            } else if wanted != 0 {
                same += 1;
            }
        }
    }
    assert_eq!(other, [(TIE.0, "buy", amount(TIE.1), amount(TIE.2))], "prices that are not the records' own");
    assert_eq!(same, 263, "prices equal the records'");
}

fn reports_say(tandem: &Tandem, sell: i128, buy: i128) {
    let seconds: i128 = site::records().iter().map(|record| record.seconds).sum();
    for (name, key, account) in [("customer", "customer", SELL), ("vendor", "vendor", BUY)] {
        let rows = tandem.run(&["report", name, "--format", "json"]).json_lines();
        assert_eq!(rows.len(), 1, "{rows:?}");
        let row = row_of(&rows, key, account);
        assert_eq!(
            (&row["attempts"], &row["answered"], &row["currency"]),
            (&"250".into(), &"132".into(), &"USD".into())
        );
        assert_eq!([cell(row, "revenue"), cell(row, "cost"), cell(row, "margin")], [sell, buy, sell - buy], "{name}");
        assert_eq!(cell(row, "minutes") * 60, seconds * amount("1"), "{name}: talked");
        assert_eq!(row["asr"], "0.528", "{name}: 132 of 250 were answered");
    }
    for name in ["destination", "hour"] {
        let rows = tandem.run(&["report", name, "--format", "json"]).json_lines();
        let sums = ["revenue", "cost"].map(|key| rows.iter().map(|row| cell(row, key)).sum::<i128>());
        assert_eq!(sums, [sell, buy], "{name}");
        let attempts = rows.iter().map(|row| row["attempts"].as_str().and_then(|n| n.parse::<u32>().ok()));
        assert_eq!(attempts.sum::<Option<u32>>(), Some(250), "{name}");
    }
}

/// The books balance: debits are credits, per currency.
fn balanced(tandem: &Tandem) {
    let rows = tandem.run(&["ledger", "trial-balance", "--json"]).json_lines();
    let mut sums: BTreeMap<String, i128> = BTreeMap::new();
    for row in &rows {
        *sums.entry(row["currency"].to_string()).or_default() += cell(row, "balance");
        assert_eq!(cell(row, "debit") - cell(row, "credit"), cell(row, "balance"), "{row}");
    }
    assert_eq!(sums.into_iter().collect::<Vec<_>>(), [("\"USD\"".to_string(), 0)]);
    let (sell, buy) = site::sums();
    assert_eq!(cell(row_of(&rows, "gl", "revenue"), "balance"), -sell);
    assert_eq!(cell(row_of(&rows, "gl", "cost"), "balance"), buy);
}

/// One flipped bit in a stopped process's log: named, refused, and gone when the bit is put back.
fn damage_is_found_and_named(tandem: &Tandem) {
    for stream in ["ledger.main", "xdrs.main.0"] {
        let file = segment(&tandem.data().join("log").join(stream));
        let sound = fs::read(&file).expect("the segment can be read");
        let written = sound.iter().rposition(|byte| *byte != 0).expect("something is written");
        let mut broken = sound.clone();
        broken[written / 2] ^= 0x10;
        fs::write(&file, &broken).expect("the segment can be written");
        let found = tandem.run(&["ledger", "verify"]);
        assert!(matches!(found.code, Some(1 | 3)), "{stream}: a flipped bit passes: {found:?}");
        assert!(found.stderr.contains(stream), "{stream} is not named: {}", found.stderr);
        fs::write(&file, &sound).expect("the segment can be written");
        let healed = tandem.run(&["ledger", "verify"]);
        assert!(healed.stderr.contains("verified: nothing is broken"), "{stream}: {healed:?}");
    }
}

#[test]
fn what_is_wrong_has_a_place_a_reason_and_an_exit_code() {
    let tandem = Tandem::new();
    for command in [["ledger", "balance"], ["ledger", "entries"]] {
        says(tandem.run(&[command[0], command[1], "nobody"]), 2, &["account \"nobody\" is not known"]);
    }
    let deck = site::fixture("decks/carrier_notification.xlsx").display().to_string();
    let read = tandem.run(&["deck", "read", &deck, "--currency", "USD"]);
    let problems = read.stderr.lines().filter(|line| line.starts_with(&deck)).count();
    assert_eq!(problems, 3, "rows with problems: {}", read.stderr);
    assert!(read.stderr.lines().filter(|line| line.starts_with(&deck)).all(|line| line.contains("; ")), "no advice");
    says(read, 1, &[]);

    let whole = fs::read(site::file()).expect("the fixture can be read");
    let cut = tandem.home().join("cut.jsonl");
    fs::write(&cut, &whole[..whole.len() - 700]).expect("the home can be written");
    let read = tandem.run(&[Path::new("calls"), Path::new("read"), &cut]);
    assert_eq!(read.stdout.lines().count(), 249, "whole records before the cut");
    says(read, 1, &["cut.jsonl:250:", "read 250, accepted 249, repeated 0, rejected 1"]);
    says(tandem.run(&["calls", "import", "/nowhere.jsonl", "--switch", "yeti-9"]), 2, &["yeti-9"]);
}

fn says(ran: Ran, code: i32, words: &[&str]) {
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.stderr);
    }
    ran.expect_code(code);
}

fn import(tandem: &Tandem, file: &Path) -> Value {
    let file = file.display().to_string();
    let rows = tandem.run(&["calls", "import", &file, "--switch", SWITCH, "--wait", "--json"]).json_lines();
    rows[0]["summary"].clone()
}

fn counted(summary: &Value, wanted: [u64; 4]) {
    let found = ["read", "accepted", "repeated", "rejected"].map(|key| summary[key].as_u64().unwrap_or(u64::MAX));
    assert_eq!(found, wanted, "read, accepted, repeated, rejected");
}

/// The only segment of a stream's partition.
fn segment(topic: &Path) -> PathBuf {
    let partition = topic.join("0");
    let files = fs::read_dir(&partition).unwrap_or_else(|error| panic!("{}: {error}", partition.display()));
    let paths = files.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}
