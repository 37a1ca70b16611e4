//! The life of a deck by the binary's own commands: import, notice, a second person, comparison, export, rollback.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

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

/// A notice of a product with forty codes, of which `change` changes some.
fn forty(product: &str, change: impl Fn(u32, String) -> Option<String>) -> String {
    let row = |at: u32| change(at, format!("{};Zone {at};0.0{};1/1;2026-01-01", 300 + at, 10 + at % 7));
    let rows: Vec<String> = (0..40).filter_map(row).collect();
    format!("Product;{product}\nCode;Destination;Rate;Increment;Effective\n{}\n", rows.join("\n"))
}

#[test]
fn each_limit_alone_holds_a_notice_and_a_vendor_may_have_wider_ones() {
    let tandem = Tandem::new();
    let take = |name: &str, text: &str, more: &[&str]| {
        let path = file(&tandem, name, text);
        let args = ["deck", "import", &path, "--deck", "vendor", "--received", "2026-02-01", "--currency", "USD"];
        let who = ["--by", "anna", "--reason", "notice", "--yes", "--json", "--no-engine"];
        tandem.run(&[&args[..], &who, more].concat())
    };
    let first = forty("Gold", |_, row| Some(row));
    take("first.csv", &first, &["--az"]).ok();
    let same = |_: u32, row: String| Some(row);
    let dear = |_: u32, row: String| Some(row.replace(";0.0", ";0.3"));
    let only = |line: &'static str| move |at: u32, row: String| Some(if at == 7 { line.to_owned() } else { row });
    let cases: [(&str, String, &[&str], &str); 8] = [
        ("closed", forty("Gold", |at, row| (at > 2).then_some(row)), &["--az"], "3 of 40 codes would close, 7.5 %"),
        ("median", forty("Gold", dear), &["--az"], "the median of new to old price is"),
        ("date", forty("Gold", only("307;Zone 7;0.011;1/1;2028-01-01")), &["--partial"], "more than 365 days off"),
        (
            "product",
            forty("Silver", same),
            &["--partial", "--zero-is-free"],
            "the product is \"Silver\", last time it was \"Gold\"",
        ),
        (
            "zero",
            forty("Gold", only("307;Zone 7;0;1/1;2026-02-02")),
            &["--partial", "--zero-is-free"],
            "1 rows have price 0",
        ),
        (
            "long",
            forty("Gold", only("3071234567890123;Zone 7;0.01;1/1;2026-02-02")),
            &["--partial", "--with-problems"],
            "1 rows could not be read",
        ),
        (
            "short",
            forty("Gold", only("3.07E+11;Zone 7;0.01;1/1;2026-02-02")),
            &["--partial", "--with-problems"],
            "1 rows could not be read",
        ),
        (
            "empty",
            forty("Gold", only("307;Zone 7;;1/1;2026-02-02")),
            &["--partial", "--with-problems"],
            "1 rows could not be read",
        ),
    ];
    for (name, text, flags, cause) in &cases {
        // Another product changes nothing by itself: with it comes one price.
        let text =
            if *name == "product" { text.replace("307;Zone 7;0.010;", "307;Zone 7;0.011;") } else { text.clone() };
        let text = if ["long", "short", "empty"].contains(name) {
            text.replace("308;Zone 8;0.011;", "308;Zone 8;0.012;")
        } else {
            text
        };
        let ran = take(&format!("{name}.csv"), &text, flags);
        let shown = format!("{name}: {ran:?}");
        let all = lines(ran, 1);
        let summary = &all.last().unwrap()["summary"];
        assert_eq!(summary["state"], "held", "{shown}");
        let causes = summary["causes"].as_array().expect("causes");
        assert!(causes.len() == 1 && causes[0].as_str().unwrap().contains(cause), "{causes:?}");
    }
    let wide =
        "[[deck_rules]]\ndeck = \"vendor\"\nclosed_codes_percent = 8\nratio_high_percent = 4000\ndate_days = 900\n";
    tandem.run(&["apply", &file(&tandem, "rules.toml", wide), "--yes", "--no-engine"]).ok();
    for (name, text, flags, _) in &cases[..3] {
        take(&format!("{name}.csv"), text, flags).ok();
        let again = ["deck", "rollback", "vendor", "1", "--by", "bob", "--reason", "again", "--yes", "--no-engine"];
        tandem.run(&again).ok();
    }
}

/// The records of a data folder's logs, by segment.
fn written(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the log").map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true => found.extend(written(&entry)),
            false if entry.extension().is_some_and(|of| of == "seg") => {
                let mut bytes = fs::read(&entry).expect("a file of the log");
                // Room that was taken ahead.
                bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
                found.insert(entry, bytes);
            }
            false => {}
        }
    }
    found
}

#[test]
fn of_a_deck_that_changes_everywhere_the_first_changes_are_listed_and_a_file_has_them_all() {
    let tandem = Tandem::new();
    let deck = |dearer: u32| {
        let row = |at: u32| format!("{};Zone {};0.{:04};1/1\n", 200_000 + at, at / 50, 100 + at % 700 + dearer);
        "code;destination;rate;increment\n".to_owned() + &(0..10_050).map(row).collect::<String>()
    };
    lines(import(&tandem, &file(&tandem, "1.csv", &deck(0)), "--az", "2026-01-01"), 0);
    let all = tandem.home().join("all.csv").display().to_string();
    let second = file(&tandem, "2.csv", &deck(1));
    let flags = ["--deck", "vendor", "--az", "--received", "2026-02-01", "--currency", "USD", "--no-engine", "--json"];
    let more = ["--by", "anna", "--reason", "weekly notice", "--all-changes", &all];
    let ran = tandem.run(&[&["deck", "import", &second][..], &flags, &more].concat());
    assert!(ran.stderr.contains("the first 10000 of 10050 changes are listed"), "{}", ran.stderr);
    // Nobody said yes: the file is there to decide by, the version is not.
    let shown = lines(ran, 1);
    let summary = &shown.last().unwrap()["summary"];
    let count = |key: &str| summary[key].as_array().map_or(0, Vec::len);
    assert_eq!((shown.len(), count("backdated")), (10_001, 10_000));
    assert_eq!((&summary["changes"], &summary["backdated_in_all"]), (&Value::from(10_050), &Value::from(10_050)));
    let text = fs::read_to_string(&all).expect("the file of all changes");
    let file: Vec<&str> = text.lines().collect();
    assert_eq!(file.len(), 10_051);
    assert!(file[0].starts_with("prefix,destination,change,old_rate,new_rate,"), "{}", file[0]);
    let last = file.last().expect("a change");
    assert!(last.starts_with("210049,Zone 200,increase,0.0349,0.035,1/1,1/1,2026-02-01T00:00:00Z,,"), "{last}");
    assert!(last.ends_with('Z'), "until when past calls have another price: {last}");
    assert_eq!(tandem.run(&["deck", "show", "--json", "--no-engine"]).json_lines().len(), 1);
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
    let before = written(&tandem.data().join("log"));
    let ran = tandem.run(&[&["deck", "diff", name, &file][..], &flags].concat());
    assert!(ran.stderr.contains("past calls count as far as one has rated and loaded them"), "{}", ran.stderr);
    let found = lines(ran, 1);
    // Nobody has asked for calls to be rated or booked: no role has claimed its stream.
    let after = written(&tandem.data().join("log"));
    let differs: Vec<&PathBuf> =
        after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).map(|x| x.0).collect();
    assert!(differs.is_empty() && after.len() == before.len(), "{differs:?} were written to");
    let effect = &found.last().unwrap()["summary"]["effect"];
    let money = |key: &str| amount(effect[key].as_str().unwrap_or_else(|| panic!("{key} in {found:?}")));
    assert!(money("old") > 0);
    // Each of the two sums is rounded once, to 10^-12.
    assert!((money("new") * 2 - money("old") * 3).abs() <= 3, "{effect}");
    assert_eq!(money("difference"), money("new") - money("old"));
}
