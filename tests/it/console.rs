//! The console in a real browser: what a person reads there is what the command line says, and a figure leads to the
//! calls, one call, its price's explanation, its rate and its raw record.
//!
//! Pictures of what it saw stay in the temporary folder, named in the output.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tests::site::{self, SELL, SWITCH, cell, row_of};
use tests::{Browser, Tandem, eventually, http};

/// Talked 51 s; sold for 0.10863, bought for 0.06545.
const CALL: u64 = 100_053;

#[test]
fn a_figure_on_the_console_leads_to_the_rate_behind_it() {
    let mut tandem = Tandem::new();
    let base = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let file = site::file().display().to_string();
    tandem.run(&["calls", "import", &file, "--switch", SWITCH, "--wait"]).ok();
    let token = std::fs::read_to_string(tandem.data().join("run/token")).expect("the first run made a token");
    let browser = Browser::start(1280, 900);

    log_in(&browser, &base, token.trim());
    let rows = tandem.run(&["report", "customer", "--format", "json"]).json_lines();
    same_figures(&browser, &rows);
    let (sell, buy) = site::sums();
    assert_eq!([cell(&rows[0], "revenue"), cell(&rows[0], "cost")], [sell, buy]);
    fits(&browser, "report-1280", 1280);

    browser.find(&format!("td[data-value='{SELL}'] a")).click();
    browser.find("td[data-label='Called']");
    let calls = browser.find_all("tbody tr").len();
    assert_eq!(calls, 100, "a page of the calls behind the figure");
    to_one_call(&browser);
    browser.resize(390, 844);
    fits(&browser, "call-390", 390);
    browser.goto(&format!("{base}/reports/customer"));
    same_figures(&browser, &rows);
    fits(&browser, "report-390", 390);
    browser.goto(&base);
    browser.await_text("State of the house");
    fits(&browser, "live-390", 390);
    browser.resize(1280, 900);
    browser.goto(&base);
    let health = browser.find("#health").text();
    assert!(!health.contains("needs a person") && health.contains("Ledger"), "{health}");
    fits(&browser, "live-1280", 1280);
    assert_eq!(browser.errors(), Vec::<String>::new(), "the pages' own errors");
    tandem.stop();
}

#[test]
fn troubles_stand_on_every_page_until_they_are_over() {
    let mut tandem = Tandem::new().env("TANDEM_CHDB", "/nonexistent/libchdb.so");
    let folder = tandem.home().join("drop");
    std::fs::create_dir_all(tandem.data()).expect("a data folder");
    let settings = format!("[[ingest.drop]]\nswitch = {SWITCH:?}\nfolder = {:?}\n", folder.display().to_string());
    std::fs::write(tandem.data().join("tandem.toml"), settings).expect("the data folder can be written");
    std::fs::create_dir_all(&folder).expect("a drop folder");
    std::fs::copy(site::file(), folder.join("calls.jsonl")).expect("the folder can be written");
    std::fs::write(folder.join("calls.jsonl.done"), "").expect("the folder can be written");
    let base = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    let browser = Browser::start(1280, 900);
    enter(&browser, &base, &tandem);
    browser.await_text("Drop folder: needs a person");
    told(&browser, "switch yeti-1 is not configured", "tandem apply");
    told(&browser, "no reports: the reporting engine is not available", "tandem engine fetch");
    fits(&browser, "trouble-1280", 1280);
    browser.resize(390, 844);
    fits(&browser, "trouble-390", 390);
    browser.goto(&format!("{base}/ledger"));
    browser.await_text("2 parts are in trouble");
    browser.goto(&base);
    site::apply(&tandem);
    eventually("the drop folder's trouble goes away, without a click", Duration::from_secs(60), || {
        let left = browser.find_all("#troubles section").len();
        (left == 1 && !browser.page_text().contains("is not configured")).then_some(())
    });
    told(&browser, "no reports: the reporting engine is not available", "tandem engine fetch");
    tandem.stop();
}

/// Logs in, to the first page.
pub(crate) fn enter(browser: &Browser, base: &str, tandem: &Tandem) {
    let token = std::fs::read_to_string(tandem.data().join("run/token")).expect("the first run made a token");
    browser.goto(base);
    browser.find("#token").type_text(token.trim());
    browser.find("button").click();
    browser.await_text("State of the house");
}

/// One of the troubles on the page says this, what to do, and since when.
pub(crate) fn told(browser: &Browser, what: &str, advice: &str) {
    let words = eventually(&format!("the page says {what:?}"), Duration::from_secs(30), || {
        // By one script: a page that draws itself anew every two seconds takes its elements away.
        let texts = browser.script("return [...document.querySelectorAll('#troubles section')].map(s => s.innerText)");
        let texts = texts.as_array().expect("a list of texts").clone();
        texts.iter().filter_map(Value::as_str).find(|text| text.contains(what)).map(str::to_owned)
    });
    let (_, told) = words.split_once("What to do: ").unwrap_or_else(|| panic!("no advice: {words}"));
    assert!(told.contains(advice) && told.contains("since 20"), "{words}");
}

/// A wrong token is refused, the right one leads to the page that was asked for.
fn log_in(browser: &Browser, base: &str, token: &str) {
    browser.goto(&format!("{base}/reports/customer"));
    assert!(browser.url().contains("/login?next="), "{} without a token", browser.url());
    browser.find("#token").type_text("not-the-token");
    browser.find("button").click();
    browser.await_text("That is not this site's token.");
    let refused = browser.errors();
    assert!(refused.iter().all(|error| error.contains("401")), "{refused:?}");
    browser.find("#token").type_text(token);
    browser.find("button").click();
    browser.await_text("Traffic by customer");
    assert!(browser.url().ends_with("/reports/customer"), "{} after the login", browser.url());
}

/// Every cell of the page's table has the value that the command line gave.
fn same_figures(browser: &Browser, rows: &[Value]) {
    for (title, key) in
        [("Revenue", "revenue"), ("Cost", "cost"), ("Margin", "margin"), ("Attempts", "attempts"), ("ASR", "asr")]
    {
        for part in ["tbody", "tfoot"] {
            let cells = browser.find_all(&format!("{part} td[data-label='{title}'][data-value]"));
            let shown: Vec<_> = cells.iter().map(|cell| cell.attribute("data-value").unwrap_or_default()).collect();
            let said: Vec<_> = rows.iter().map(|row| row[key].as_str().unwrap_or_default().to_string()).collect();
            assert_eq!(shown, said, "{title} in the {part}: console and command line");
        }
    }
    let text = browser.find("tbody td[data-label='Revenue']").text();
    assert_eq!(text, "92.62542", "what a person reads");
    assert_eq!(row_of(rows, "customer", SELL)["currency"], "USD");
}

/// By the search field to one call; from there to its rate.
fn to_one_call(browser: &Browser) {
    let record = site::records().into_iter().find(|record| record.id == CALL).expect("the record is in the file");
    browser.find("input[name=q]").type_text(&record.called);
    browser.script("document.querySelector('form.search').requestSubmit()");
    browser.find(&format!("td[data-label='Called'][data-value='{}']", record.called));
    browser.find("tbody td a").click();
    browser.await_text("How this price came about");
    let amounts: Vec<_> =
        browser.find_all(".amount").iter().map(|amount| amount.attribute("data-value").unwrap_or_default()).collect();
    assert_eq!(amounts.iter().map(|text| site::amount(text)).collect::<Vec<_>>(), [record.sell, record.buy]);
    let page = browser.page_text();
    for word in ["half_up", "alba-sell version 1", "51 s", "receivable_unbilled", "payable_unbilled"] {
        assert!(page.contains(word), "{word:?} is not on the call's page:\n{page}");
    }
    let steps = browser.find_all("details ol li").len();
    assert!(steps >= 4, "{steps} steps explain two prices");
    let raw = browser.find("pre").text();
    let line = site::lines().into_iter().find(|line| line.starts_with(&format!("{{\"id\": {CALL},")));
    assert_eq!(Some(raw), line, "the raw record is not the switch's own line");
    fits(browser, "call-1280", 1280);
    let call = browser.url();
    browser.find("a[href^='/decks/alba-sell/1/']").click();
    browser.await_text("This code and the shorter ones it overrides");
    assert!(browser.page_text().contains("alba-sell version 1"), "{}", browser.page_text());
    assert!(!browser.find_all("tbody tr").is_empty(), "the rate's row");
    browser.goto(&call);
}

/// Nothing sticks out to the right; leaves a picture.
pub(crate) fn fits(browser: &Browser, name: &str, width: i64) {
    let wide = browser.script("return document.documentElement.scrollWidth");
    assert!(wide.as_i64().is_some_and(|wide| wide <= width), "{name}: {wide} pixels wide");
    let path = std::env::temp_dir().join(format!("tandem-console-{name}.png"));
    browser.screenshot_to(&path);
    println!("picture: {}", path.display());
}

#[test]
fn an_accounts_entries_can_be_paged_down_to_the_first() {
    const COPIES: u64 = 9;
    let mut tandem = Tandem::new();
    let base = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    site::import(&tandem, COPIES);
    let token = std::fs::read_to_string(tandem.data().join("run/token")).expect("the first run made a token");
    let bearer = format!("Bearer {}", token.trim());
    let mut path = format!("/ledger/accounts/{SELL}");
    let (mut entries, mut pages) = (BTreeSet::new(), 0);
    loop {
        let page = http::request("GET", &format!("{base}{path}"), &[("authorization", &bearer)], None);
        let page = page.expect("the console answers");
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        pages += 1;
        let cells = page.body.split("data-label=\"Entry\"").skip(1);
        for cell in cells {
            let value = cell.split("data-value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a value");
            assert!(entries.insert(value.to_owned()), "{value} stands on two pages");
        }
        let Some(link) = page.body.split("rel=\"next\" href=\"").nth(1) else { break };
        path = link.split('"').next().expect("an address").to_owned();
    }
    let charged = site::records().iter().filter(|record| record.sell != 0).count();
    assert_eq!(entries.len(), charged * COPIES as usize, "on {pages} pages");
    assert!(entries.len() > 1_000 && pages > 10, "{} entries on {pages} pages", entries.len());
    let wrong =
        http::request("GET", &format!("{base}/ledger/accounts/{SELL}?older=x"), &[("authorization", &bearer)], None);
    assert_eq!(wrong.expect("an answer").status, 400);
    tandem.stop();
}
