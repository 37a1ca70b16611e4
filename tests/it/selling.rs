//! Selling by the binary's own commands: a sell deck from buy decks, what the customer is told, files in another currency.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tests::{Ran, Tandem};

const ALBA: &str = "code;destination;rate;increment;effective\n49;Germany;0.01;60/60;2026-01-01\n\
                    4915;Germany - Mobile;0.04;1/1;2026-01-01\n4915;Germany - Mobile;0.06;1/1;2026-03-01\n\
                    33;France;0.02;1/1;2026-01-01\n";
const BOREA: &str = "code;destination;rate;increment;effective\n49;DE proper;0.012;1/1;2026-01-01\n\
                     491;DE other;0.05;1/1;2026-01-01\n33;FR;0.018;60/1;2026-01-01\n881;Satellite;4;60/60;2026-01-01\n";
const RECIPE: &str = "deck = \"sell\"\nbuy = [\"alba\", \"borea\"]\nincrement = \"60/60\"\ndecimals = 4\nendings = [0, 5]\n\
                      blocked = [\"881\"]\n[margin]\npercent = \"10\"\nminimum = \"0.002\"\n";

fn file(tandem: &Tandem, name: &str, text: &str) -> String {
    let path: PathBuf = tandem.home().join(name);
    fs::write(&path, text).expect("the home can be written");
    path.display().to_string()
}

fn lines(ran: Ran, code: i32) -> Vec<Value> {
    let text = ran.expect_code(code);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn import(tandem: &Tandem, deck: &str, text: &str, more: &[&str]) -> Ran {
    let path = file(tandem, &format!("{deck}.csv"), text);
    let args = ["deck", "import", &path, "--deck", deck, "--received", "2026-01-10", "--no-engine"];
    let who = ["--by", "anna", "--reason", "notice", "--yes", "--json"];
    tandem.run(&[&args[..], &who, more].concat())
}

fn make(tandem: &Tandem, recipe: &str, day: &str, more: &[&str]) -> Ran {
    let args = ["deck", "make", recipe, "--effective", day, "--announced", day, "--no-engine"];
    let who = ["--by", "anna", "--reason", "weekly prices", "--yes", "--json"];
    tandem.run(&[&args[..], &who, more].concat())
}

fn price(tandem: &Tandem, deck: &str, number: &str, at: &str) -> String {
    let out = tandem.run(&["deck", "price", number, "--deck", deck, "--at", at, "--json", "--no-engine"]);
    let row: Value = serde_json::from_str(out.stdout.trim()).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    format!("{} {}", row["rate"]["prefix"].as_str().unwrap_or("-"), row["rate"]["next_rate"].as_str().unwrap_or("-"))
}

fn two_vendors(tandem: &Tandem) {
    for (deck, text) in [("alba", ALBA), ("borea", BOREA)] {
        lines(import(tandem, deck, text, &["--az", "--currency", "USD"]), 0);
    }
}

#[test]
fn a_sell_deck_is_made_with_its_reasons_its_steps_and_the_customers_notice() {
    let tandem = Tandem::new();
    two_vendors(&tandem);
    let recipe = file(&tandem, "sell.toml", RECIPE);
    let explain = tandem.home().join("why.csv").display().to_string();
    let made = lines(make(&tandem, &recipe, "2026-02-01", &["--explain", &explain]), 0);
    let summary = &made.last().unwrap()["summary"];
    assert_eq!((&summary["state"], &summary["import"]), (&"applied".into(), &"sell/1".into()), "{summary}");
    for (number, at, wanted) in [
        ("4930", "2026-02-01", "49 0.012"),
        // 10 % of 0.018 is less than the least margin of 0.002; 60/60 covers every call of 60/1.
        ("331", "2026-02-01", "33 0.02"),
        // Numbers of 4915 cost 0.04 by alba and 0.05 by borea's shorter code, from March on 0.06 and 0.05.
        ("49151", "2026-02-28T23:59:59Z", "4915 0.044"),
        ("49151", "2026-03-01", "4915 0.055"),
        // Numbers of 491 other than 4915.
        ("49171", "2026-02-01", "491 0.012"),
    ] {
        assert_eq!(price(&tandem, "sell", number, at), wanted, "{number} at {at}");
    }
    let reasons = fs::read_to_string(&explain).expect("the reasons were written");
    assert!(
        reasons.contains(
            "4915,Germany - Mobile,2026-03-01T00:00:00Z,,0.055,0,0,60/60,margin,borea,491,4915*,0.05,0.05,1/1,0,0,,0,60,0.05,1,0"
        ),
        "{reasons}"
    );
    assert!(reasons.contains("881,Satellite,2026-02-01T00:00:00Z,,0,0,0,1/1,blocked by the recipe"), "{reasons}");
    let told = made.iter().filter(|line| !line["made"].is_null()).count();
    assert_eq!(told, reasons.lines().count() - 1, "a reason for each row");

    // A vendor's price goes up: the sell price follows, but not before the customers' notice of a week.
    let rules = "[[deck_rules]]\ndeck = \"sell\"\nnotice_days = 7\n";
    tandem.run(&["apply", &file(&tandem, "rules.toml", rules), "--yes", "--no-engine"]).ok();
    let dearer = "code;destination;rate;increment;effective\n33;FR;0.03;60/1;2026-02-10\n";
    lines(import(&tandem, "borea", dearer, &["--partial"]), 0);
    let dearer =
        "code;destination;rate;increment;effective\n33;France;0.03;1/1;2026-02-10\n49;Germany;0.009;60/60;2026-02-10\n";
    lines(import(&tandem, "alba", dearer, &["--partial"]), 0);
    let ran = make(&tandem, &recipe, "2026-02-10", &[]);
    assert!(ran.stderr.contains("1 increases wait for the end of the customers' notice"), "{}", ran.stderr);
    lines(ran, 0);
    assert_eq!(price(&tandem, "sell", "331", "2026-02-16T23:59:59Z"), "33 0.02");
    assert_eq!(price(&tandem, "sell", "331", "2026-02-17"), "33 0.033");
    assert_eq!(price(&tandem, "sell", "4930", "2026-02-10"), "49 0.011", "a decrease counts at once");
    let same = lines(make(&tandem, &recipe, "2026-02-10", &[]), 0);
    assert_eq!(same.last().unwrap()["summary"]["changes"], 0, "made again nothing changes");

    // Nobody sells us France any more: our customer keeps it for the week that he was promised.
    let rules = "[[deck_rules]]\nclosed_codes_percent = 100\n[[deck_rules]]\ndeck = \"sell\"\nnotice_days = 7\nclosed_codes_percent = 100\n";
    tandem.run(&["apply", &file(&tandem, "rules.toml", rules), "--yes", "--no-engine"]).ok();
    for (deck, text) in [("alba", ALBA), ("borea", BOREA)] {
        let without: String = text.split_inclusive('\n').filter(|line| !line.starts_with("33;")).collect();
        lines(import(&tandem, deck, &without, &["--az"]), 0);
    }
    let ran = make(&tandem, &recipe, "2026-03-05", &[]);
    assert!(ran.stderr.contains("1 codes close when the customers' notice has run, on 2026-03-12"), "{}", ran.stderr);
    lines(ran, 0);
    assert_eq!(price(&tandem, "sell", "331", "2026-03-11T23:59:59Z"), "33 0.033");
    assert_eq!(price(&tandem, "sell", "331", "2026-03-12"), "- -");
}

#[test]
fn what_attempts_surcharges_and_the_agreements_rounding_cost_is_in_a_made_price() {
    let tandem = Tandem::new();
    let text = "code;destination;rate;increment;attempt fee\n49;Germany;0.04;1/1;0.002\n33;France;0.02;1/1;\n";
    lines(import(&tandem, "vendor", text, &["--az", "--currency", "USD"]), 0);
    let make_by = |more: &str| {
        let text =
            format!("deck = \"sell\"\nbuy = [\"vendor\"]\nincrement = \"1/1\"\n{more}[margin]\npercent = \"10\"\n");
        let explain = tandem.home().join("why.csv").display().to_string();
        let made = make(&tandem, &file(&tandem, "sell.toml", &text), "2026-02-01", &["--explain", &explain]);
        lines(made, 0);
        fs::read_to_string(&explain).expect("the reasons were written")
    };
    // At 0.022 some calls' rounded charges would be less than 10 % above their rounded costs.
    let passed = make_by("");
    assert!(passed.contains("33,France,2026-02-01T00:00:00Z,,0.0221,0,0,1/1,margin behind rounding"), "{passed}");
    assert!(passed.contains("49,Germany,2026-02-01T00:00:00Z,,0.0441,0,0.0022,1/1,margin"), "{passed}");
    let in_rate = make_by("attempt_fee = \"in-rate\"\nanswer_ratio = \"40\"\nshortest_seconds = 30\n");
    // 0.002 for each of two and a half attempts, over half a minute, with 10 %.
    assert!(in_rate.contains("49,Germany,2026-02-01T00:00:00Z,,0.055,0,0,1/1,margin,vendor,49"), "{in_rate}");
}

#[test]
fn a_recipe_that_cannot_be_followed_is_refused_by_name_and_makes_nothing() {
    let tandem = Tandem::new();
    two_vendors(&tandem);
    for (text, wanted) in [
        (RECIPE.replace("\"borea\"", "\"cetus\""), "deck \"cetus\" is not in the configuration"),
        (RECIPE.replace("percent = \"10\"", "percent = \"10\"\nmarkup = 3"), "unknown field `markup`"),
        (RECIPE.replace("percent = \"10\"", "percent = \"100\"\nof = \"price\""), "below 100"),
        (RECIPE.replace("deck = \"sell\"", "deck = \"sell\"\ncurrency = \"EUR\""), "no exchange rate from USD to EUR"),
        (RECIPE.replace("\"60/60\"", "\"60\""), "two numbers of seconds"),
    ] {
        let recipe = file(&tandem, "bad.toml", &text);
        let ran = make(&tandem, &recipe, "2026-02-01", &[]);
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
        ran.expect_code(2);
    }
    let decks = tandem.run(&["deck", "show", "--json", "--no-engine"]).json_lines();
    assert_eq!(decks.len(), 2, "{decks:?}");
}

#[test]
fn a_file_in_another_currency_waits_for_a_second_person_and_shows_its_money_in_both() {
    let tandem = Tandem::new();
    lines(import(&tandem, "vendor", ALBA, &["--az", "--currency", "USD"]), 0);
    let euros = "code;destination;rate EUR;increment;effective\n33;France;0.01;1/1;2026-02-01\n";
    let refused = import(&tandem, "vendor", euros, &["--partial"]);
    assert!(refused.stderr.contains("there is no exchange rate from EUR to USD at 2026-01-10"), "{}", refused.stderr);
    refused.expect_code(2);

    // The rate of the day that the file came counts, not a later one.
    let rate = |day: &str, rate: &str| {
        format!(
            "[[exchange_rate]]\nfrom = \"EUR\"\nto = \"USD\"\nrate = \"{rate}\"\nvalid_from = \"{day}T00:00:00Z\"\nsource = \"ECB\"\n"
        )
    };
    let rates = rate("2026-01-05", "1.0832") + &rate("2026-01-12", "1.2");
    tandem.run(&["apply", &file(&tandem, "rates.toml", &rates), "--yes", "--no-engine"]).ok();
    let ran = import(&tandem, "vendor", euros, &["--partial"]);
    assert!(ran.stderr.contains("33 France: EUR 0.01 is USD 0.010832"), "{}", ran.stderr);
    let held = lines(ran, 1);
    let summary = &held.last().unwrap()["summary"];
    assert_eq!(
        summary["causes"][0],
        "the file is in EUR, deck vendor is in USD: its prices count at 1.0832 USD for one EUR (ECB, from 2026-01-05T00:00:00Z)"
    );
    assert_eq!((&summary["foreign"]["currency"], &summary["foreign"]["rate"]), (&"EUR".into(), &"1.0832".into()));
    assert_eq!(price(&tandem, "vendor", "331", "2026-02-01"), "33 0.02", "nothing is priced by what is held");

    let approve = |by: &str| tandem.run(&["deck", "approve", "vendor/2", "--by", by, "--no-engine"]);
    let own = approve("ANNA ");
    assert!(own.stderr.contains("another person must approve it"), "{}", own.stderr);
    own.expect_code(2);
    approve("bob").ok();
    assert_eq!(price(&tandem, "vendor", "331", "2026-02-01"), "33 0.010832");
    assert_eq!(price(&tandem, "vendor", "331", "2026-01-31T23:59:59Z"), "33 0.02");

    let nobody = ["deck", "rollback", "vendor", "1", "--by", " ", "--reason", "x", "--yes", "--no-engine"];
    let nobody = tandem.run(&nobody);
    assert!(nobody.stderr.contains("say who does it"), "{}", nobody.stderr);
    nobody.expect_code(2);
}

const LAYOUT: &str = "columns = [\"Area=destination\", \"Codes=code\", \"Price=rate\", \"Was=old_rate\", \"From=from\", \
                      \"Until=until\", \"What=change\"]\nabove = [\"Rates of {deck}, version {version}, {currency}\", \"{date}\"]\n\
                      separator = \";\"\ndecimal = \"comma\"\ndates = \"DD.MM.YYYY\"\nchanges_only = true\njoin_codes = \", \"\n\
                      [words]\nincrease = \"Increase\"\nclosed = \"Discontinued\"\n";

#[test]
fn a_customer_is_told_in_his_own_layout_what_changes_and_never_too_late() {
    let tandem = Tandem::new();
    let first = "code;destination;rate;effective\n49;Germany;0.01;2026-01-01\n4915;Germany - Mobile;0.04;2026-01-01\n\
                 4916;Germany - Mobile;0.04;2026-01-01\n33;France;0.02;2026-01-01\n88;Satellite;1;2026-01-01\n";
    lines(import(&tandem, "sell", first, &["--az", "--currency", "USD"]), 0);
    let rules = "[[deck_rules]]\ndeck = \"sell\"\nclosed_codes_percent = 40\n";
    tandem.run(&["apply", &file(&tandem, "rules.toml", rules), "--yes", "--no-engine"]).ok();
    let second = "code;destination;rate;effective\n49;Germany;0.01;2026-01-01\n49;Germany;0.012;2026-02-10\n\
                  4915;Germany - Mobile;0.03;2026-02-03\n4916;Germany - Mobile;0.03;2026-02-03\n33;France;0.02;2026-01-01\n\
                  34;\"=HYPERLINK(\"\"x\"\")\";0.05;2026-02-03\n";
    lines(import(&tandem, "sell", second, &["--az"]), 0);

    let (out, notice) = (tandem.home().join("out.csv"), tandem.home().join("notice.txt"));
    let (out_path, notice_path) = (out.display().to_string(), notice.display().to_string());
    let layout = file(&tandem, "layout.toml", LAYOUT);
    let export = |day: &str| {
        let args = ["deck", "export", "sell", "--since", "1", "--template", &layout, "-o", &out_path, "--no-engine"];
        let told = ["--notice", &notice_path, "--announced", day, "--notice-days", "7"];
        tandem.run(&[&args[..], &told].concat())
    };
    export("2026-02-03").ok();
    assert_eq!(
        fs::read_to_string(&out).expect("the file was written"),
        "Rates of sell, version 2, USD\r\n2026-02-03\r\nArea;Codes;Price;Was;From;Until;What\r\n\
         \"'=HYPERLINK(\"\"x\"\")\";34;0,05;;03.02.2026;;new\r\nGermany;49;0,012;0,01;10.02.2026;;Increase\r\n\
         Germany - Mobile;4915, 4916;0,03;0,04;03.02.2026;;decrease\r\n\
         Satellite;88;1;1;01.01.2026;10.01.2026;Discontinued\r\n"
    );
    let text = fs::read_to_string(&notice).expect("the notice was written");
    for wanted in [
        "rate notice sell, version 2, of 2026-02-03",
        "increase: 1, the earliest from 2026-02-10",
        "decrease: 2, the earliest from 2026-02-03",
        "closed: 1, the earliest from 2026-01-10",
        "Nothing becomes dearer before 2026-02-10: the 7 days of notice of our agreement are kept.",
        "49 Germany: 0.01 to 0.012 (+20.0 %) from 2026-02-10",
        "4915 Germany - Mobile: 0.04 to 0.03 (-25.0 %) from 2026-02-03",
        "All changes stand in out.csv",
    ] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    fs::remove_file(&notice).expect("the notice can be removed");
    let late = export("2026-02-04");
    assert!(late.stderr.contains("1 codes become dearer before 7 days of notice have run"), "{}", late.stderr);
    assert!(late.stderr.contains("49 Germany from 2026-02-10"), "{}", late.stderr);
    late.expect_code(1);
    assert!(!notice.exists(), "no text promises a notice that is not kept");

    let book = tandem.home().join("out.xlsx").display().to_string();
    let args = ["deck", "export", "sell", "--since", "1", "--template", &layout, "--format", "xlsx", "-o", &book];
    tandem.run(&[&args[..], &["--announced", "2026-02-03", "--no-engine"]].concat()).ok();
    let read = tandem.run(&["deck", "read", &book, "--currency", "USD", "--column", "code=Codes", "--json"]);
    assert!(read.stdout.contains("\"prefix\":\"4916\""), "{} {}", read.stdout, read.stderr);
}

#[test]
fn what_a_customer_was_told_is_recorded_and_the_next_notice_begins_there() {
    let tandem = Tandem::new();
    let rows = |rate: &str, day: &str| {
        format!("code;destination;rate;effective\n49;Germany;{rate};{day}\n33;France;0.02;2026-01-01\n")
    };
    let take =
        |rate: &str, day: &str| lines(import(&tandem, "sell", &rows(rate, day), &["--az", "--currency", "USD"]), 0);
    take("0.01", "2026-01-01");
    let config = "[[carrier]]\nid = \"alba\"\nname = \"Alba\"\n[[account]]\nid = \"alba-usd\"\ncarrier = \"alba\"\ncurrency = \"USD\"\n\
                  [[agreement]]\nid = \"alba-sell\"\naccount = \"alba-usd\"\nside = \"sell\"\ndeck = \"sell\"\n\
                  [[deck_rules]]\ndeck = \"sell\"\nnotice_days = 7\n";
    tandem.run(&["apply", &file(&tandem, "alba.toml", config), "--yes", "--no-engine"]).ok();
    let told = |version: &str, to: &str, day: &str, more: &[&str]| {
        let args = [
            "deck",
            "told",
            version,
            "--to",
            to,
            "--at",
            day,
            "--by",
            "anna",
            "--reason",
            "mail",
            "--json",
            "--no-engine",
        ];
        tandem.run(&[&args[..], more].concat())
    };
    let export = |more: &[&str]| {
        tandem.run(&[&["deck", "export", "sell", "--to", "alba-usd", "--no-engine"][..], more].concat())
    };
    let unknown = export(&["--changes"]);
    assert!(unknown.stderr.contains("it is not recorded what alba-usd was told of deck sell"), "{}", unknown.stderr);
    unknown.expect_code(2);
    let stranger = told("sell", "borea-usd", "2026-01-15", &[]);
    assert!(stranger.stderr.contains("buys nothing by deck sell; who does: alba-usd"), "{}", stranger.stderr);
    stranger.expect_code(2);
    lines(told("sell", "alba-usd", "2026-01-15", &[]), 0);

    take("0.012", "2026-02-10");
    let waiting = tandem.run(&["deck", "notices", "sell", "--json", "--no-engine"]).json_lines();
    let state =
        |line: &Value| ["version", "newest", "untold", "late"].map(|key| line[key].to_string().replace('"', ""));
    assert_eq!(state(&waiting[0]), ["1", "2", "1", "0"], "{waiting:?}");
    let changes = export(&["--changes"]).ok();
    assert!(changes.contains("49,Germany,0.012") && !changes.contains("France"), "{changes}");

    // Told five days before, where seven were promised: kept as it was, and said.
    let sent = file(&tandem, "rates.csv", &changes);
    let late = told("sell@2", "alba-usd", "2026-02-05", &["--file", &sent]);
    assert!(late.stderr.contains("1 codes become dearer before 7 days of notice have run"), "{}", late.stderr);
    assert!(late.stderr.contains("49 Germany dearer from 2026-02-10"), "{}", late.stderr);
    assert_eq!(lines(late, 1)[0]["since"], 1);
    let again = told("sell@2", "alba-usd", "2026-02-06", &[]);
    assert!(
        again.stderr.contains("alba-usd was told version 2 of deck sell on 2026-02-05 already"),
        "{}",
        again.stderr
    );
    again.expect_code(2);
    let kept = tandem.run(&["deck", "notices", "--json", "--no-engine"]).json_lines();
    assert_eq!(state(&kept[0]), ["2", "2", "0", "1"], "{kept:?}");
    assert!(kept[0]["file"].as_str().is_some_and(|file| file.ends_with("rates.csv")), "{kept:?}");
    assert!(!export(&["--changes"]).ok().contains("49,"), "nothing is news any more");

    // The deck's own records are as they were.
    let imports = tandem.run(&["deck", "imports", "sell", "--json", "--no-engine"]).json_lines();
    assert_eq!(imports.len(), 2, "{imports:?}");
    let same = take("0.012", "2026-02-10");
    assert_eq!(same.last().unwrap()["summary"]["changes"], 0, "{same:?}");
}

#[test]
fn a_carrier_s_names_become_ours_by_their_codes_and_what_is_open_is_said() {
    let tandem = Tandem::new();
    let ours = "code;destination;rate\n49;Germany;0.01\n4915;Germany - Mobile;0.04\n4916;Germany - Mobile;0.04\n";
    lines(import(&tandem, "ours", ours, &["--az", "--currency", "USD"]), 0);
    let theirs = "code;destination;rate USD\n49;DEU;0.01\n49151;DEU GSM;0.04\n49152;DEU GSM;0.04\n999;Luna;1\n";
    let theirs = file(&tandem, "theirs.csv", theirs);
    let map = tandem.home().join("map.toml").display().to_string();
    let ask = |more: &[&str]| {
        let args = ["deck", "names", &theirs, "--json", "--no-engine"];
        tandem.run(&[&args[..], more].concat())
    };
    let found = lines(ask(&["--like", "ours", "--save", &map]), 1);
    let said = |found: &[Value]| {
        let pair = |line: &Value| format!("{} = {}", line["theirs"].as_str().unwrap(), line["ours"].as_str().unwrap());
        found.iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(said(&found), ["DEU = Germany", "DEU GSM = Germany - Mobile", "Luna = "]);
    assert_eq!(found[1]["reason"], "2 of 2 codes: Germany - Mobile");

    let text = fs::read_to_string(&map).expect("the mapping was written");
    fs::write(&map, text.replace("# \"Luna\" = \"\"", "\"Luna\" = \"Moon\"")).expect("the mapping can be written");
    let read = tandem.run(&["deck", "read", &theirs, "--names", &map, "--json"]).ok();
    for name in ["Germany", "Germany - Mobile", "Moon"] {
        assert!(read.contains(&format!("\"destination\":\"{name}\"")), "{name} in {read}");
    }
    // What was said stays said, whatever else is asked.
    assert_eq!(
        said(&lines(ask(&["--names", &map]), 0)),
        ["DEU = Germany", "DEU GSM = Germany - Mobile", "Luna = Moon"]
    );
    // A template carries it to the next notice.
    let template = tandem.home().join("carrier.toml").display().to_string();
    tandem.run(&["deck", "read", &theirs, "--names", &map, "--save-template", &template]).ok();
    let read = tandem.run(&["deck", "read", &theirs, "--template", &template, "--json"]).ok();
    assert!(read.contains("\"destination\":\"Moon\""), "{read}");
    // Without a deck of ours, countries.
    let countries = lines(ask(&[]), 1);
    assert_eq!(said(&countries), ["DEU = Germany", "DEU GSM = Germany", "Luna = "]);
}
