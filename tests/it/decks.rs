//! The life of a deck by the binary's own commands: import, notice, a second person, comparison, export, rollback.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tests::site::{self, amount};
use tests::{Ran, Tandem};

const FIRST: &str = "code;destination;rate;increment;effective\n49;Germany;0.01;60/1;2026-01-01\n\
                     4930;Germany - Berlin;0.008;60/1;2026-01-01\n4915;Germany - Mobile;0.04;60/1;2026-01-01\n\
                     33;France;0.012;60/1;2026-01-01\n";

fn file(tandem: &Tandem, name: &str, text: &str) -> String {
    let path: PathBuf = tandem.home().join(name);
    fs::write(&path, text).expect("the home can be written");
    path.display().to_string()
}

/// An import without asking, into deck `vendor`, received on a day.
fn import(tandem: &Tandem, file: &str, kind: &str, day: &str) -> Ran {
    let letter = tandem.home().join("letter.txt").display().to_string();
    let args = ["--deck", "vendor", kind, "--received", day, "--currency", "USD", "--letter", &letter, "--no-engine"];
    let who = ["--by", "anna", "--reason", "weekly notice", "--yes", "--json"];
    tandem.run(&[&["deck", "import", file][..], &args, &who].concat())
}

fn lines(ran: Ran, code: i32) -> Vec<Value> {
    let text = ran.expect_code(code);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// `class code old new from until` of each change.
fn changes(lines: &[Value]) -> Vec<String> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().chars().take(10).collect::<String>();
    let change = |line: &Value| {
        ["change", "prefix", "old_rate", "new_rate", "from", "until"].map(|key| text(line, key)).join(" ")
    };
    lines.iter().filter(|line| line["summary"].is_null()).map(change).collect()
}

fn price(tandem: &Tandem, number: &str, at: &str) -> String {
    let out = tandem.run(&["deck", "price", number, "--deck", "vendor", "--at", at, "--json", "--no-engine"]);
    let row: Value = serde_json::from_str(out.stdout.trim()).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    format!("{} {}", row["rate"]["prefix"].as_str().unwrap_or("-"), row["rate"]["next_rate"].as_str().unwrap_or("-"))
}

#[test]
fn a_deck_lives_from_notice_to_notice_and_a_price_of_then_stays_what_it_was() {
    let tandem = Tandem::new();
    let first = lines(import(&tandem, &file(&tandem, "1.csv", FIRST), "--az", "2026-01-01"), 0);
    assert_eq!(first.last().unwrap()["summary"]["counts"]["new"], 4);

    // By contract an increase counts a week after the notice; his date is kept, a decrease counts at once.
    let rules = "[[deck_rules]]\ndeck = \"vendor\"\nnotice_days = 7\nclosed_codes_percent = 40\n";
    tandem.run(&["apply", &file(&tandem, "rules.toml", rules), "--yes", "--no-engine"]).ok();
    let amendment = "code;destination;rate;increment;effective\n33;France;0.02;60/1;2026-02-03\n\
                     4915;Germany - Mobile;0.03;60/1;2026-02-03\n";
    let second = lines(import(&tandem, &file(&tandem, "2.csv", amendment), "--partial", "2026-02-01"), 0);
    assert_eq!(changes(&second), ["increase 33 0.012 0.02 2026-02-08 ", "decrease 4915 0.04 0.03 2026-02-03 "]);
    assert_eq!(second.last().unwrap()["summary"]["short_notice"], 1);
    let letter = fs::read_to_string(tandem.home().join("letter.txt")).expect("the letter was written");
    assert!(letter.contains("33;France;0.012;0.02;2026-02-03;2026-02-08;USD"), "{letter}");
    assert!(!letter.contains("4915"), "a decrease is not rejected:\n{letter}");

    // What the whole deck leaves out ends and falls to the shorter code, and that is said with its price.
    let az = "code;destination;rate;increment;effective\n49;Germany;0.01;60/1;2026-01-01\n\
              4930;Germany - Berlin;0.008;60/1;2026-01-01\n33;France;0.02;60/1;2026-02-03\n";
    let third = lines(import(&tandem, &file(&tandem, "3.csv", az), "--az", "2026-03-01"), 0);
    assert_eq!(changes(&third), ["closed 4915 0.03  2026-03-01 "]);
    assert_eq!((&third[0]["other_code"], &third[0]["other_rate"]), (&Value::from("49"), &Value::from("0.01")));
    let warnings = &third.last().unwrap()["summary"]["warnings"];
    assert!(warnings[0]["text"].as_str().unwrap().contains("fall from 0.03 to 0.01 of code 49"), "{warnings}");

    for (at, wanted) in [
        ("2025-12-31T23:59:59Z", "- -"),
        ("2026-01-01", "4915 0.04"),
        ("2026-02-02T23:59:59Z", "4915 0.04"),
        ("2026-02-03", "4915 0.03"),
        ("2026-02-28T23:59:59Z", "4915 0.03"),
        ("2026-03-01", "49 0.01"),
    ] {
        assert_eq!(price(&tandem, "491512345678", at), wanted, "at {at}");
    }
    assert_eq!(price(&tandem, "33123", "2026-02-07T23:59:59Z"), "33 0.012", "the contract's date counts, not his");

    let same = lines(import(&tandem, &file(&tandem, "3.csv", az), "--az", "2026-03-01"), 0);
    assert_eq!(same.last().unwrap()["summary"]["changes"], 0, "the same file again changes nothing");
    shown_exported_and_rolled_back(&tandem);
}

fn shown_exported_and_rolled_back(tandem: &Tandem) {
    let decks = tandem.run(&["deck", "show", "--json", "--no-engine"]).json_lines();
    let versions: Vec<&str> = decks.iter().map(|deck| deck["version"].as_str().expect("a version")).collect();
    assert_eq!(versions, ["1", "2", "3"], "{decks:?}");
    let diff = lines(tandem.run(&["deck", "diff", "vendor@1", "vendor@2", "--json", "--no-engine"]), 1);
    assert_eq!(changes(&diff), ["increase 33 0.012 0.02 2026-02-08 ", "decrease 4915 0.04 0.03 2026-02-03 "]);

    let columns = "Prefix=code,Area=destination,Price=rate,What=change";
    let flags = ["--since", "2", "--at", "2026-02-15", "--columns", columns, "--no-engine"];
    let csv = tandem.run(&[&["deck", "export", "vendor"][..], &flags].concat()).ok();
    assert_eq!(
        csv,
        "Prefix,Area,Price,What\r\n33,France,0.02,\r\n49,Germany,0.01,\r\n4915,Germany - Mobile,0.03,closed\r\n\
         4930,Germany - Berlin,0.008,\r\n"
    );
    let book = tandem.home().join("out.xlsx").display().to_string();
    tandem.run(&["deck", "export", "vendor", "--format", "xlsx", "-o", &book, "--no-engine"]).ok();
    let read = lines(tandem.run(&["deck", "read", &book, "--currency", "USD", "--json"]), 0);
    assert!(read.iter().any(|row| row["prefix"] == "4930" && row["next_rate"] == "0.008"), "{read:?}");

    let who = ["--by", "bob", "--reason", "sent by mistake", "--yes", "--json", "--no-engine"];
    lines(tandem.run(&[&["deck", "rollback", "vendor", "2"][..], &who].concat()), 0);
    assert_eq!(price(tandem, "491512345678", "2026-03-02"), "4915 0.03");
    let imports = tandem.run(&["deck", "imports", "vendor", "--json", "--no-engine"]).json_lines();
    let kinds: Vec<&str> = imports.iter().map(|import| import["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["az", "partial", "az", "rollback"]);
}

#[test]
fn what_looks_wrong_waits_for_another_person_and_prices_nothing_until_then() {
    let tandem = Tandem::new();
    lines(import(&tandem, &file(&tandem, "1.csv", FIRST), "--az", "2026-01-01"), 0);
    let half = "code;destination;rate;increment;effective\n49;Germany;0.01;60/1;2026-01-01\n\
                4930;Germany - Berlin;0.008;60/1;2026-01-01\n";
    let held = lines(import(&tandem, &file(&tandem, "2.csv", half), "--az", "2026-02-01"), 1);
    let summary = &held.last().unwrap()["summary"];
    assert_eq!((&summary["state"], &summary["import"]), (&Value::from("held"), &Value::from("vendor/2")));
    assert_eq!(summary["causes"][0], "2 of 4 codes would close, 50 %; the limit is 5 %");
    assert_eq!(price(&tandem, "33123", "2026-02-02"), "33 0.012", "nothing is priced by what is held");

    let decide = |word: &str, by: &str| tandem.run(&["deck", word, "vendor/2", "--by", by, "--json", "--no-engine"]);
    let own = decide("approve", " Anna ");
    assert!(own.stderr.contains("another person must approve it"), "{}", own.stderr);
    own.expect_code(2);
    decide("approve", "bob").ok();
    assert_eq!(price(&tandem, "33123", "2026-02-02"), "- -");
    decide("reject", "bob").expect_code(2);

    // An import that was made for another version is not laid onto the one that came meanwhile.
    let zero = "code;destination;rate;increment;effective\n49;Germany;0;60/1;2026-03-01\n";
    let zero = file(&tandem, "3.csv", zero);
    import(&tandem, &zero, "--partial", "2026-02-02").expect_code(1);
    let imports = tandem.run(&["deck", "imports", "--json", "--no-engine"]).json_lines();
    assert_eq!(imports.len(), 2, "a file whose rows cannot be read is refused as a whole: {imports:?}");
    let args = ["--deck", "vendor", "--partial", "--received", "2026-02-02", "--zero-is-free", "--no-engine"];
    let who = ["--by", "anna", "--reason", "free calls", "--yes", "--json"];
    let held = lines(tandem.run(&[&["deck", "import", &zero][..], &args, &who].concat()), 1);
    assert_eq!(held.last().unwrap()["summary"]["causes"][0], "1 rows have price 0");
    let more = "code;destination;rate;increment;effective\n44;UK;0.01;60/1;2026-02-03\n";
    lines(import(&tandem, &file(&tandem, "4.csv", more), "--partial", "2026-02-03"), 0);
    let late = tandem.run(&["deck", "approve", "vendor/3", "--by", "bob", "--no-engine"]);
    assert!(late.stderr.contains("was made for version 2"), "{}", late.stderr);
    late.expect_code(2);
    tandem.run(&["deck", "reject", "vendor/3", "--by", "bob", "--no-engine"]).ok();

    let euros = file(&tandem, "5.csv", "code;destination;rate EUR\n44;UK;0.01\n");
    let args = ["--deck", "vendor", "--partial", "--by", "anna", "--reason", "x", "--yes", "--no-engine"];
    let other = tandem.run(&[&["deck", "import", &euros][..], &args].concat());
    assert!(other.stderr.contains("a deck never changes it"), "{}", other.stderr);
    other.expect_code(2);
}

#[test]
fn the_money_of_a_change_is_that_of_the_calls_there_were() {
    let tandem = Tandem::new();
    site::apply(&tandem);
    site::import(&tandem, 1);
    let deck = tandem.run(&["deck", "show", "--json", "--no-engine"]).json_lines();
    let deck =
        deck.iter().find(|deck| deck["deck"].as_str().is_some_and(|name| name.contains("borea"))).expect("a deck");
    let name = deck["deck"].as_str().expect("a name");
    let csv = tandem.run(&["deck", "export", name, "--no-engine"]).ok();
    // Every price half as much again, over the same seconds: the cost is half as much again.
    let mut dearer = String::from("code,destination,rate,increment\r\n");
    for row in csv.lines().skip(1) {
        let mut cells: Vec<String> = row.split(',').map(str::to_owned).collect();
        let units = amount(&cells[2]) * 3 / 2;
        // Prices have ten decimals.
        cells[2] = format!("{}.{:010}", units / 1_000_000_000_000, units % 1_000_000_000_000 / 100);
        dearer.push_str(&format!("{},{},{},{}\r\n", cells[0], cells[1], cells[2], cells[3]));
    }
    let file = file(&tandem, "dearer.csv", &dearer);
    let flags = ["--partial", "--days", "3000", "--json"];
    let found = lines(tandem.run(&[&["deck", "diff", name, &file][..], &flags].concat()), 1);
    let effect = &found.last().unwrap()["summary"]["effect"];
    let money = |key: &str| amount(effect[key].as_str().unwrap_or_else(|| panic!("{key} in {found:?}")));
    assert!(money("old") > 0);
    // Each of the two sums is rounded once, to 10^-12.
    assert!((money("new") * 2 - money("old") * 3).abs() <= 3, "{effect}");
    assert_eq!(money("difference"), money("new") - money("old"));
}
