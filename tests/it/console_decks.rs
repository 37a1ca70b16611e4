//! Prices and decks on the console, in a real browser: what a page says is what the command line says, and what a page
//! writes went the command line's own way.

use std::fs;

use serde_json::{Value, json};
use tests::site::{self, BUY, SELL};
use tests::{Browser, Tandem};

use crate::console::{enter, fits};

/// A site with a process, and a browser that is logged in.
fn open(tandem: &mut Tandem) -> (String, Browser) {
    let base = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    site::apply(tandem);
    let browser = Browser::start(1280, 900);
    enter(&browser, &base, tandem);
    (base, browser)
}

/// What `tandem quote` answers for an account.
fn quote(tandem: &Tandem, account: &str, side: &str, call: &Value) -> Value {
    let line = json!({"id": "q", "account": account, "side": side, "product": "standard", "call": call});
    let file = tandem.home().join("quote.jsonl");
    fs::write(&file, line.to_string()).expect("the home can be written");
    let config = site::fixture("site").display().to_string();
    let said = tandem.run(&["quote", &file.display().to_string(), "--config", &config]);
    said.json_lines().remove(0)
}

#[test]
fn the_page_prices_a_call_as_the_command_line_does_and_says_which_field_is_wrong() {
    let mut tandem = Tandem::new();
    let (base, browser) = open(&mut tandem);
    let record = site::records().into_iter().find(|record| record.sell != 0).expect("a call that was charged");
    browser.goto(&format!("{base}/price"));
    for (name, text) in [("account", SELL), ("number", &record.called), ("at", &record.started), ("duration", "61.5")] {
        browser.find(&format!("input[name={name}]")).type_text(text);
    }
    browser.find("form.filters button").click();
    browser.await_text("How this price comes about");
    let call = json!({"called": record.called, "started_at": format!("{}Z", record.started), "duration": "61.5"});
    let (sell, buy) = (quote(&tandem, SELL, "sell", &call), quote(&tandem, BUY, "buy", &call));
    let net = browser.find(".amount").attribute("data-value");
    assert_eq!(net.as_deref(), sell["net"].as_str(), "{sell}");
    let steps: Vec<String> = browser.find_all(".card ol li").iter().map(|step| step.text()).collect();
    let said: Vec<&str> = sell["explanation"].as_array().expect("steps").iter().filter_map(Value::as_str).collect();
    assert_eq!(steps, said, "every step");
    let cost = browser.find("td[data-label='Cost']").attribute("data-value");
    assert_eq!(cost.as_deref(), buy["net"].as_str(), "what the vendor asks: {buy}");
    let margin = browser.find("td[data-label='Margin']").attribute("data-value").expect("a margin");
    let amount = |answer: &Value| site::amount(answer["net"].as_str().expect("a net"));
    assert_eq!(site::amount(&margin), amount(&sell) - amount(&buy));
    fits(&browser, "price-1280", 1280);
    browser.resize(390, 844);
    fits(&browser, "price-390", 390);
    browser.resize(1280, 900);
    // The address says it all: opened anew it gives the same answer.
    let address = browser.find("p.small a[href^='/price?']").attribute("href").expect("an address");
    browser.goto(&format!("{base}{address}"));
    assert_eq!(browser.find(".amount").attribute("data-value"), net);
    browser.find("a[href^='/decks/alba-sell/1/']").click();
    browser.await_text("This code and the shorter ones it overrides");

    // What is wrong stands at its field; nothing is priced then.
    for (query, field, says) in [
        ("account=nobody&number=49", "account", "no account"),
        (&format!("account={SELL}&number="), "number", "called number"),
        (&format!("account={SELL}&number=49&at=noon"), "at", "no day"),
        (&format!("account={SELL}&number=49&duration=1,5"), "duration", "seconds"),
        (&format!("account={SELL}&number=49&product=gold"), "product", "no agreement"),
    ] {
        browser.goto(&format!("{base}/price?{query}"));
        let told = browser.find(&format!("label:has(input[name={field}]) .fault")).text();
        assert!(told.contains(says), "{query}: {told}");
        assert!(browser.find_all(".amount").is_empty(), "{query} is priced");
    }
    fits(&browser, "price-wrong-1280", 1280);
    tandem.stop();
}

/// The Mondays of 2026.
fn mondays() -> Vec<String> {
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days = lengths.iter().enumerate().flat_map(|(month, days)| (1..=*days).map(move |day| (month + 1, day)));
    days.skip(4).step_by(7).map(|(month, day)| format!("2026-{month:02}-{day:02}")).collect()
}

/// A file with a row more each week for Germany, 0.0001 dearer each time, above 3,000 codes that stay.
fn a_year() -> String {
    let mut text = String::from("code;destination;rate;increment;effective\n");
    for (week, day) in mondays().iter().enumerate() {
        text.push_str(&format!("49;Germany;0.0{};60/1;{day}\n", 100 + week));
    }
    for row in 0..3_000 {
        let (code, country, rate) = (20_000 + row, row / 100, 100 + row % 899);
        text.push_str(&format!("{code};Country {country} - Mobile;0.0{rate};30/6;2026-01-01\n"));
    }
    text
}

fn import(tandem: &Tandem, deck: &str, kind: &str, text: &str) {
    let file = tandem.home().join("notice.csv");
    fs::write(&file, text).expect("the home can be written");
    let file = file.display().to_string();
    let who = ["--deck", deck, kind, "--received", "2026-01-01", "--currency", "USD"];
    let why = ["--by", "anna", "--reason", "weekly notice", "--yes"];
    tandem.run(&[&["deck", "import", &file][..], &who, &why].concat()).ok();
}

#[test]
fn a_price_can_be_looked_up_at_any_second_of_a_year_of_weekly_decks() {
    let mut tandem = Tandem::new();
    let (base, browser) = open(&mut tandem);
    import(&tandem, "vendor", "--partial", &a_year());
    browser.goto(&format!("{base}/decks"));
    browser.find("td[data-label='Deck'][data-value='vendor'] a");
    fits(&browser, "decks-1280", 1280);
    browser.goto(&format!("{base}/decks/vendor"));
    browser.await_text("weekly notice");
    fits(&browser, "deck-1280", 1280);

    // Rows: every one once, page by page; by code and by name.
    browser.find("td[data-label='Version'] a").click();
    let mut codes = Vec::new();
    loop {
        let page = browser
            .script("return [...document.querySelectorAll(\"td[data-label='Code']\")].map(c => c.dataset.value)");
        codes.extend(page.as_array().expect("codes").iter().map(|code| code.as_str().unwrap_or_default().to_owned()));
        let Some(next) = browser.find_all("a[rel=next]").into_iter().next() else { break };
        next.click();
    }
    assert_eq!(codes.len(), 3_052, "every row stands on one page");
    assert!(codes.is_sorted() && codes[..3_000].windows(2).all(|two| two[0] < two[1]), "in the order of codes");
    fits(&browser, "rows-1280", 1280);
    browser.goto(&format!("{base}/decks/vendor/1?q=2299"));
    assert_eq!(browser.find_all("tbody tr").len(), 10, "22990 to 22999");
    browser.goto(&format!("{base}/decks/vendor/1?q=country+29"));
    assert_eq!(browser.find_all("tbody tr").len(), 100);
    browser.goto(&format!("{base}/decks/vendor/1?q=2299912345"));
    browser.await_text("No code begins with 2299912345");
    assert_eq!(browser.find("td[data-label='Code']").text(), "22999");

    // The price at a second is the command's, at both sides of a change.
    for (at, code) in [
        ("2026-05-31T23:59:59Z", "49301234567"),
        ("2026-06-01T00:00:00Z", "49301234567"),
        ("2025-12-31T00:00:00Z", "49"),
    ] {
        let said = tandem.run(&["deck", "price", code, "--deck", "vendor", "--at", at, "--json"]);
        let said: Value = serde_json::from_str(&said.stdout).expect("an object");
        browser.goto(&format!("{base}/decks/vendor/timeline?code={code}&at={at}"));
        let facts = browser.find("dl").text();
        match said["rate"]["next_rate"].as_str() {
            Some(rate) => assert!(facts.contains(&format!("{rate} USD a minute")), "{at}: {facts} {said}"),
            None => assert!(facts.contains("none"), "{at}: {facts}"),
        }
        let stretches = said["timeline"].as_array().expect("stretches").len();
        assert_eq!(browser.find_all("tbody tr").len(), stretches, "the same stretches of time");
    }
    browser.goto(&format!("{base}/decks/vendor/timeline?code=49&at=2026-06-15"));
    assert_eq!(browser.find_all("svg rect").len(), 52, "a step a week");
    fits(&browser, "timeline-1280", 1280);
    browser.resize(390, 844);
    fits(&browser, "timeline-390", 390);
    assert_eq!(browser.errors(), Vec::<String>::new(), "the pages' own errors");
    tandem.stop();
}
