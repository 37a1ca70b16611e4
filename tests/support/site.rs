//! The example site (`fixtures/site`) with the records it prices, and what must come of them by plain sums over the
//! prices that stand in the records.
//!
//! Never uses Tandem's crates for a figure: money is digits of the file in whole units of 10^-12.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Figures, Tandem};

/// Customer and vendor of the site.
pub const SELL: &str = "alba-usd";
pub const BUY: &str = "borea-usd";
/// The switch whose records these are.
pub const SWITCH: &str = "yeti-1";
/// The one price that Yeti rounds another way: 213 s at 0.3001 are exactly 1.065355.
pub const TIE: (u64, &str, &str) = (100_168, "1.06535", "1.06536");

/// Decimals of an amount.
const SCALE: usize = 12;

/// What the tests need of one of Yeti's records.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: u64,
    pub called: String,
    /// UTC, to the second: `2023-07-01T00:03:04`.
    pub started: String,
    pub seconds: i128,
    pub sell: i128,
    pub buy: i128,
}

/// A file of the fixtures.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// Yeti's records, as a file.
pub fn file() -> PathBuf {
    fixture("yeti_cdr_events.jsonl")
}

/// Its lines.
pub fn lines() -> Vec<String> {
    let text = std::fs::read_to_string(file()).expect("the fixture is there");
    text.lines().map(str::to_string).collect()
}

/// Its records.
pub fn records() -> Vec<Record> {
    lines().iter().map(|line| record(line)).collect()
}

/// The same calls `copies` times over, each with an id and tags of its own.
pub fn many(copies: u64) -> Vec<String> {
    (0..copies).flat_map(copy).collect()
}

/// The calls of one such copy.
pub fn copy(number: u64) -> Vec<String> {
    let copy = |line: &String| {
        let (id, tag) = (field(line, "id"), field(line, "local_tag").trim_matches('"'));
        let other: u64 = id.parse::<u64>().expect("an id is a number") + number * 1_000_000;
        line.replacen(&format!("\"id\": {id},"), &format!("\"id\": {other},"), 1)
            .replace(&format!("{tag}\""), &format!("{tag}-{number}\""))
    };
    lines().iter().map(copy).collect()
}

/// Imports the first `copies` copies as one file and waits until they are booked; the summary's read, accepted,
/// repeated, rejected.
pub fn import(tandem: &Tandem, copies: u64) -> [u64; 4] {
    let file = tandem.home().join("all.jsonl");
    std::fs::write(&file, many(copies).join("\n") + "\n").expect("the home can be written");
    let file = file.display().to_string();
    let rows = tandem.run(&["calls", "import", &file, "--switch", SWITCH, "--wait", "--json"]).json_lines();
    let summary = &rows[0]["summary"];
    ["read", "accepted", "repeated", "rejected"].map(|key| summary[key].as_u64().expect("a count"))
}

/// What so many copies come to where nothing dies and nothing is repeated, by one process on the embedded log.
pub fn quiet_run(copies: u64) -> Figures {
    let mut tandem = Tandem::new();
    tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    apply(&tandem);
    let records = copies * lines().len() as u64;
    assert_eq!(import(&tandem, copies), [records, records, 0, 0], "read, accepted, repeated, rejected");
    let figures = Figures::of(&tandem, &tandem);
    let (sell, buy) = sums();
    let copies = i128::from(copies);
    assert_eq!(cell(row_of(&figures.balances, "account", SELL), "owed"), sell * copies);
    assert_eq!(cell(row_of(&figures.balances, "account", BUY), "owed"), -buy * copies);
    tandem.stop();
    figures
}

/// Sums of what all records must come to: sell, buy, with the tie as the exact price rounds.
pub fn sums() -> (i128, i128) {
    let records = records();
    let difference = amount(TIE.2) - amount(TIE.1);
    (records.iter().map(|r| r.sell).sum(), records.iter().map(|r| r.buy).sum::<i128>() + difference)
}

/// Writes the site's configuration.
pub fn apply(tandem: &Tandem) {
    tandem.run(&["apply", &fixture("site").display().to_string(), "--yes"]).ok();
}

/// Applies a configuration in one file, `site.toml`, and the rates it names, `az.csv`.
pub fn apply_text(tandem: &Tandem, text: &str, rates: &str) {
    let folder = tandem.home().join("site");
    std::fs::create_dir_all(&folder).expect("the home can be written");
    for (name, content) in [("site.toml", text), ("az.csv", rates)] {
        std::fs::write(folder.join(name), content).expect("the home can be written");
    }
    tandem.run(&["apply", &folder.display().to_string(), "--yes"]).ok();
}

/// A decimal in units of 10^-12.
pub fn amount(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(decimals.len() <= SCALE, "{text} has more than {SCALE} decimals");
    let scaled = format!("{whole}{decimals:0<SCALE$}");
    sign * scaled.parse::<i128>().unwrap_or_else(|error| panic!("{text:?} is no amount: {error}"))
}

/// The amount in a row of JSON, which must be a string so that no digit is lost.
pub fn cell(row: &Value, key: &str) -> i128 {
    amount(row[key].as_str().unwrap_or_else(|| panic!("{key} is no string in {row}")))
}

/// The row of an account.
pub fn row_of<'a>(rows: &'a [Value], key: &str, wanted: &str) -> &'a Value {
    rows.iter().find(|row| row[key] == wanted).unwrap_or_else(|| panic!("no {key} {wanted} in {rows:?}"))
}

fn record(line: &str) -> Record {
    let text = |name| field(line, name).trim_matches('"').to_string();
    let number = |name| field(line, name);
    Record {
        id: number("id").parse().expect("an id is a number"),
        called: text("dst_prefix_in"),
        started: text("time_start")[..19].to_string(),
        seconds: number("duration").parse().expect("whole seconds"),
        sell: amount(number("customer_price")),
        buy: amount(number("vendor_price")),
    }
}

/// The digits of a field as they stand in the file: a JSON reader would make floats of them.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let key = format!("\"{name}\": ");
    let start = line.find(&key).unwrap_or_else(|| panic!("no {name} in {line}")) + key.len();
    let rest = &line[start..];
    &rest[..rest.find([',', '}']).expect("a field ends")]
}
