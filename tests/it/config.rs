//! The configuration as a log: every call keeps the version that it was rated under, whatever is applied later and
//! whatever is thrown away, and each version can be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::site::{self, SELL, SWITCH, amount, cell, row_of};
use tests::{Figures, Tandem, http};

/// Calls of the file before the new rates are applied.
const YESTERDAY: usize = 120;

#[test]
fn yesterdays_calls_keep_yesterdays_rates_after_everything_derived_is_thrown_away() {
    let mut tandem = Tandem::new();
    let lines = site::lines();
    tandem.run(&["apply", &site::fixture("site").display().to_string(), "--yes", "--comment", "first"]).ok();
    import(&tandem, "yesterday.jsonl", &lines[..YESTERDAY]);
    let dearer = dearer_site(&tandem);
    tandem.run(&["apply", &dearer.display().to_string(), "--yes", "--comment", "dearer"]).ok();
    import(&tandem, "today.jsonl", &lines[YESTERDAY..]);

    tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    let before = Figures::of(&tandem, &tandem);
    let (calls, owed) = prices_are_of_their_day(&tandem);
    assert_eq!(cell(row_of(&before.balances, "account", SELL), "owed"), owed);
    tandem.stop();

    // All that is left are the logs and the raw records.
    forget(&tandem.data(), &["log", "raw"]);
    let address = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(Figures::of(&tandem, &tandem), before, "built again from the logs");
    assert_eq!(prices_are_of_their_day(&tandem).1, owed);
    pages_explain(&tandem, &address, &calls);
    tandem.stop();
    versions_are_shown(&tandem, &dearer);
}

/// Removes everything in the data folder but these.
fn forget(data: &Path, kept: &[&str]) {
    let mut removed = 0;
    for entry in fs::read_dir(data).expect("the data folder is there") {
        let path = entry.expect("an entry").path();
        if kept.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        removed += 1;
    }
    assert!(removed > 2, "snapshots, engine and loader notes lie in {}", data.display());
}

fn import(tandem: &Tandem, name: &str, lines: &[String]) {
    let file = tandem.home().join(name);
    fs::write(&file, lines.join("\n") + "\n").expect("the home can be written");
    let file = file.display().to_string();
    let rows = tandem.run(&["calls", "import", &file, "--switch", SWITCH, "--wait", "--json"]).json_lines();
    assert_eq!(rows[0]["summary"]["accepted"], lines.len(), "{rows:?}");
}

/// The example site with twice the rates of its sell deck.
fn dearer_site(tandem: &Tandem) -> PathBuf {
    let folder = tandem.home().join("dearer");
    fs::create_dir_all(folder.join("decks")).expect("the home can be written");
    fs::copy(site::fixture("site/site.toml"), folder.join("site.toml")).expect("the site can be copied");
    fs::copy(site::fixture("site/decks/borea-buy.csv"), folder.join("decks/borea-buy.csv")).expect("a copy");
    let mut rows = deck_rows(&site::fixture("site"));
    for row in rows.iter_mut().skip(1) {
        for place in [4, 5] {
            row[place] = decimal(amount(&row[place]) * 2);
        }
    }
    let text: Vec<String> = rows.iter().map(|row| row.join(",")).collect();
    fs::write(folder.join("decks/alba-sell.csv"), text.join("\n") + "\n").expect("the home can be written");
    folder
}

fn deck_rows(site: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(site.join("decks/alba-sell.csv")).expect("the deck is there");
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn decimal(scaled: i128) -> String {
    format!("{}.{:012}", scaled / amount("1"), scaled % amount("1"))
}

/// A call with its number, what was charged, and its day.
struct Priced {
    call_id: String,
    called: String,
    sell: i128,
    today: bool,
}

/// Every answered call costs what its record says, or twice that since the new version; all calls, and their sum.
fn prices_are_of_their_day(tandem: &Tandem) -> (Vec<Priced>, i128) {
    let query = "SELECT lower(hex(call_id)) AS id, called, formatDateTime(started, '%Y-%m-%dT%H:%i:%S') AS at, \
                 toString(sum(sign * sell_amount)) AS sell, toString(max(sell_rate)) AS rate \
                 FROM attempts GROUP BY id, called, at";
    let rows = tandem.run(&["sql", query, "--json"]).json_lines();
    let mut calls = Vec::new();
    for (place, record) in site::records().into_iter().enumerate() {
        let row =
            rows.iter().find(|row| row["called"] == record.called.as_str() && row["at"] == record.started.as_str());
        let row = row.unwrap_or_else(|| panic!("record {} did not arrive", record.id));
        let today = place >= YESTERDAY;
        let sell = cell(row, "sell");
        // Twice the rate is twice the exact amount; a half of the last digit may round up.
        let fits = if today { (sell - record.sell * 2).abs() <= amount("0.00001") } else { sell == record.sell };
        assert!(fits, "record {}: {} of {} (today: {today})", record.id, decimal(sell), decimal(record.sell));
        let call_id = row["id"].as_str().expect("text").to_owned();
        calls.push(Priced { call_id, called: record.called, sell, today });
    }
    let sum = calls.iter().map(|call| call.sell).sum();
    (calls, sum)
}

/// A call of either day: its page names the version and the rate, the rate's page shows it, and `quote` at that rate
/// says what was booked.
fn pages_explain(tandem: &Tandem, address: &str, calls: &[Priced]) {
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("the token is there");
    let bearer = format!("Bearer {}", token.trim());
    let page = |path: &str| {
        let answer = http::request("GET", &format!("{address}{path}"), &[("authorization", &bearer)], None);
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    };
    for (today, folder, version) in [(false, site::fixture("site"), 1), (true, tandem.home().join("dearer"), 2)] {
        let call = calls.iter().find(|call| call.today == today && call.sell > 0).expect("an answered call");
        let rows = deck_rows(&folder);
        let fitting = rows.iter().skip(1).filter(|row| call.called.starts_with(&row[0]));
        let row = fitting.max_by_key(|row| row[0].len()).expect("a code of the deck");
        let text = page(&format!("/calls/{}", call.call_id));
        let rate = decimal_short(&row[4]);
        let steps = format!("deck alba-sell version {version}, code {}", row[0]);
        for words in [steps.as_str(), &format!("at {rate} per minute")] {
            assert!(text.contains(words), "{words:?} is not on the page of {}:\n{text}", call.call_id);
        }
        let shown = page(&format!("/decks/alba-sell/{version}/{}", row[0]));
        assert!(shown.contains(&rate), "{rate} is not the rate of version {version}:\n{shown}");

        let record = site::records().into_iter().find(|record| record.called == call.called).expect("its record");
        let line = json!({"id": "q", "call": {"called": call.called, "started_at": format!("{}Z", record.started),
                "duration": record.seconds.to_string()},
            "agreement": {"amount_decimals": 5},
            "deck": {"rates": [{"prefix": row[0], "first_rate": row[4], "next_rate": row[5],
                "first_interval": row[2].parse::<u32>().unwrap(), "next_interval": row[3].parse::<u32>().unwrap()}]}});
        let file = tandem.home().join("quote.jsonl");
        fs::write(&file, line.to_string()).expect("the home can be written");
        let quoted = tandem.run(&["quote", &file.display().to_string()]).json_lines();
        assert_eq!(cell(&quoted[0], "net"), call.sell, "{quoted:?}");
    }
}

/// `0.281000000000` as pages print it.
fn decimal_short(text: &str) -> String {
    let text = decimal(amount(text));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// History and both versions, as tables and as TOML that can be applied again.
fn versions_are_shown(tandem: &Tandem, dearer: &Path) {
    let history = tandem.run(&["config", "history", "--json"]).json_lines();
    let comments: Vec<&Value> = history.iter().map(|row| &row["comment"]).collect();
    assert_eq!(comments, ["first", "dearer"]);
    let seq = |place: usize| history[place]["version"].as_str().expect("text").to_owned();
    let show = |arguments: &[&str]| tandem.run(&[&["config", "show"], arguments].concat());
    let versions_of = |shown: &Value| -> Vec<(String, u64)> {
        let decks = shown["deck"].as_array().expect("decks").iter();
        decks.map(|deck| (deck["id"].as_str().unwrap().to_owned(), deck["version"].as_u64().unwrap())).collect()
    };
    let deck = |id: &str, version| (id.to_owned(), version);
    let then = show(&[&seq(0), "--json"]).json_lines().remove(0);
    assert_eq!((&then["applied"]["comment"], &then["applied"]["version"].to_string()), (&json!("first"), &seq(0)));
    assert_eq!(versions_of(&then), [deck("alba-sell", 1), deck("borea-buy", 1)]);
    let now = show(&["--json"]).json_lines().remove(0);
    assert_eq!(now["applied"]["comment"], "dearer");
    assert_eq!(versions_of(&now), [deck("alba-sell", 1), deck("alba-sell", 2), deck("borea-buy", 1)]);
    assert_eq!(then["agreement"], now["agreement"]);
    assert_eq!(now["trunk"][0]["rule"][0], json!({"switch": SWITCH, "account": "11"}));

    let text = show(&[]).ok();
    assert!(text.starts_with(&format!("# version {}, applied ", seq(1))), "{text}");
    let (tables, decks) = text.split_once("[[deck]]").expect("decks stand last");
    assert!(decks.contains(&dearer.display().to_string()), "where the rows came from: {decks}");
    let again = tandem.home().join("shown.toml");
    fs::write(&again, tables).expect("the home can be written");
    let applied = tandem.run(&["apply", &again.display().to_string(), "--yes"]);
    assert!(applied.stderr.contains("nothing to change"), "{applied:?}");
    let unknown = show(&["999"]);
    assert!(unknown.stderr.contains("there is no configuration version 999"), "{unknown:?}");
    unknown.expect_code(2);
}
