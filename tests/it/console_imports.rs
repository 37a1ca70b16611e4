//! Carriers' files through the console's own form, in a real browser: read, asked about, previewed, written, held for a
//! second person; and a job that a kill interrupts.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tests::{Browser, Tandem, eventually, http};

use crate::console::{enter, fits};

const FIRST: &str = "code;destination;rate;increment;effective\n49;Germany;0.01;60/1;2026-01-01\n\
                     4930;Germany - Berlin;0.008;60/1;2026-01-01\n4915;Germany - Mobile;0.04;60/1;2026-01-01\n\
                     33;France;0.012;60/1;2026-01-01\n";

pub(crate) fn file(tandem: &Tandem, name: &str, text: &str) -> PathBuf {
    let path = tandem.home().join(name);
    fs::write(&path, text).expect("the home can be written");
    path
}

pub(crate) fn set(browser: &Browser, name: &str, value: &str) {
    browser.script(&format!("document.querySelector('main form [name={name}]').value = {value:?}"));
}

/// Sends a file by the form, to the end of its first turn; the job's address.
fn send(browser: &Browser, base: &str, deck: &str, kind: &str, file: &Path, more: &[(&str, &str)]) -> String {
    browser.goto(&format!("{base}/deck-import"));
    for (name, value) in [("deck", deck), ("kind", kind)].iter().chain(more) {
        set(browser, name, value);
    }
    browser.find("input[type=file]").type_text(&file.display().to_string());
    leave(browser, "form.upload > button");
    come(browser);
    browser.url()
}

/// Waits until the job on the page has come to something; the page loads itself anew.
pub(crate) fn come(browser: &Browser) {
    eventually("the job comes to something", Duration::from_secs(120), || {
        let state = browser.script(
            "const j = document.getElementById('job'); return j && !document.body.dataset.left ? j.dataset.state : null",
        );
        state.as_str().filter(|state| !["waits", "works"].contains(state)).map(drop)
    });
}

/// Clicks what leads to another page, and waits until this one is gone.
pub(crate) fn leave(browser: &Browser, css: &str) {
    browser.find(css);
    browser.script("document.body.dataset.left = 'yes'");
    browser.find(css).click();
    eventually("the next page", Duration::from_secs(60), || {
        let left = browser.script(
            "return document.body && document.readyState === 'complete' ? document.body.dataset.left || '' : 'yes'",
        );
        (left == "").then_some(())
    });
}

pub(crate) fn state(browser: &Browser) -> String {
    browser.find("#job").attribute("data-state").unwrap_or_default()
}

fn confirm(browser: &Browser, deck: &str, by: &str) {
    for (name, value) in [("by", by), ("reason", "weekly notice"), ("typed", deck)] {
        browser.script(&format!("document.querySelector('.act [name={name}]').value = {value:?}"));
    }
    leave(browser, ".act button");
}

pub(crate) fn write(browser: &Browser, deck: &str, by: &str) {
    confirm(browser, deck, by);
    come(browser);
}

pub(crate) fn versions(tandem: &Tandem, deck: &str) -> Vec<(String, String)> {
    let all = tandem.run(&["deck", "show", "--json"]).json_lines();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    all.iter().filter(|line| line["deck"] == deck).map(|line| (text(line, "version"), text(line, "rows"))).collect()
}

#[test]
fn a_carriers_file_is_previewed_written_and_held_as_by_the_command() {
    let mut tandem = Tandem::new();
    let base = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    let browser = Browser::start(1280, 1200);
    enter(&browser, &base, &tandem);
    browser.goto(&format!("{base}/deck-import?deck=vendor"));
    fits(&browser, "import-1280", 1280);

    // The file does not say its currency: asked at the field, and read again with the answer.
    let first = file(&tandem, "first notice.csv", FIRST);
    let job = send(&browser, &base, "vendor", "az", &first, &[("received", "2026-01-01")]);
    assert_eq!(state(&browser), "asks", "{}", browser.page_text());
    let asked = browser.find("label:has([name=currency]) .fault").text();
    assert_eq!(asked, "answer this");
    fits(&browser, "import-asks-1280", 1280);
    assert!(versions(&tandem, "vendor").is_empty(), "nothing is written by a question");
    set(&browser, "currency", "USD");
    leave(&browser, "form[action$='/read'] button");
    come(&browser);
    assert_eq!(state(&browser), "previewed", "{}", browser.page_text());
    assert_eq!(browser.url(), job, "the same job");
    assert_eq!(browser.find_all("td[data-label='Change'][data-value='new']").len(), 4);
    assert!(versions(&tandem, "vendor").is_empty(), "nothing is written by a preview");
    fits(&browser, "import-preview-1280", 1280);

    // The deck's name must be typed; then it is in force, by the command's own record.
    confirm(&browser, "vender", "anna");
    browser.await_text("type the deck's name");
    browser.goto(&job);
    write(&browser, "vendor", "anna");
    browser.await_text("in force as version 1 of deck vendor");
    assert_eq!(versions(&tandem, "vendor"), [("1".to_owned(), "4".to_owned())]);
    let imports = tandem.run(&["deck", "imports", "vendor", "--json"]).json_lines();
    assert_eq!((&imports[0]["by"], &imports[0]["state"]), (&Value::from("anna"), &Value::from("applied")));

    // An amendment: the page shows what `deck diff` shows.
    let text = "code;destination;rate;increment;effective\n33;France;0.02;60/1;2026-02-03\n4915;Germany - Mobile;0.03;60/1;2026-02-03\n";
    let second = file(&tandem, "second.csv", text);
    let flags = [("received", "2026-02-01"), ("currency", "USD")];
    send(&browser, &base, "vendor", "partial", &second, &flags);
    let path = second.display().to_string();
    let said = tandem.run(&[
        "deck",
        "diff",
        "vendor",
        &path,
        "--partial",
        "--received",
        "2026-02-01",
        "--currency",
        "USD",
        "--json",
    ]);
    let said: Vec<Value> = said.expect_code(1).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let shown = |label: &str| -> Vec<String> {
        let cells = browser.find_all(&format!("#changes td[data-label='{label}']"));
        cells.iter().map(|cell| cell.attribute("data-value").unwrap_or_default()).collect()
    };
    for (label, key) in
        [("Code", "prefix"), ("Change", "change"), ("Old rate", "old_rate"), ("New rate", "new_rate"), ("From", "from")]
    {
        let wanted: Vec<&str> = said.iter().filter_map(|line| line[key].as_str()).collect();
        assert_eq!(shown(label), wanted, "{label}");
    }
    browser.resize(390, 844);
    fits(&browser, "import-preview-390", 390);
    browser.resize(1280, 1200);
    write(&browser, "vendor", "anna");
    browser.await_text("in force as version 2");
    fits(&browser, "import-done-1280", 1280);

    // Two versions compared, by class.
    browser.goto(&format!("{base}/decks/vendor/diff?from=1&to=2"));
    come(&browser);
    leave(&browser, "nav[aria-label=Classes] a[href*='class=increase']");
    assert_eq!(shown("Code"), ["33"]);
    fits(&browser, "diff-1280", 1280);

    // What looks wrong is held, and prices nothing until another person approves it.
    let wild = file(&tandem, "wild.csv", "code;destination;rate;increment;effective\n33;France;0.2;60/1;2026-03-01\n");
    send(&browser, &base, "vendor", "az", &wild, &[("received", "2026-03-01"), ("currency", "USD")]);
    browser.await_text("A second person decides");
    fits(&browser, "import-held-1280", 1280);
    write(&browser, "vendor", "anna");
    browser.await_text("until a second person approves it");
    assert_eq!(versions(&tandem, "vendor").len(), 2);
    decide(&browser, &base, "anna", "vendor/3");
    browser.await_text("another person must approve it");
    decide(&browser, &base, "bob", "vendor/2");
    browser.await_text("to approve it, type its name");
    fits(&browser, "import-decide-1280", 1280);
    browser.goto(&format!("{base}/deck-imports/vendor/3?review=1"));
    come(&browser);
    assert!(shown("Change").contains(&"closed".to_owned()), "what it would change: {:?}", shown("Change"));
    decide(&browser, &base, "bob", "vendor/3");
    browser.await_text("by bob");
    assert_eq!(versions(&tandem, "vendor").len(), 3);
    tandem.stop();
}

fn decide(browser: &Browser, base: &str, by: &str, typed: &str) {
    browser.goto(&format!("{base}/deck-imports/vendor/3"));
    for (name, value) in [("by", by), ("typed", typed)] {
        browser.script(&format!("document.querySelector('.act [name={name}]').value = {value:?}"));
    }
    leave(browser, ".act button[value=approve]");
}

/// Sends a form as a program that holds a session's cookie would.
fn post(base: &str, path: &str, cookie: &str, kind: &str, body: &str) -> http::Answer {
    let origin = base.to_owned();
    let headers = [("cookie", cookie), ("origin", origin.as_str()), ("content-type", kind)];
    http::request("POST", &format!("{base}{path}"), &headers, Some(body)).expect("the console answers")
}

/// Sends a form whose file has that many bytes in place of its `%`; the whole answer.
fn send_bytes(base: &str, cookie: &str, form: &str, bytes: usize) -> String {
    let host = base.trim_start_matches("http://");
    let (before, after) = form.split_once('%').expect("a place for the file");
    let length = before.len() + bytes + after.len();
    let head = format!(
        "POST /deck-import HTTP/1.1\r\nHost: {host}\r\nOrigin: {base}\r\nCookie: {cookie}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n{before}"
    );
    let mut stream = TcpStream::connect(host).expect("the console listens");
    stream.write_all(head.as_bytes()).expect("the console reads");
    let (block, mut left) = (vec![b'x'; 1 << 20], bytes);
    while left > 0 {
        let now = left.min(block.len());
        stream.write_all(&block[..now]).expect("the console reads to the end");
        left -= now;
    }
    stream.write_all(after.as_bytes()).expect("the console reads to the end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_form_without_its_token_writes_nothing_and_a_file_that_is_no_deck_says_so() {
    let mut tandem = Tandem::new();
    let base = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    let browser = Browser::start(1280, 900);
    enter(&browser, &base, &tandem);
    let form = |token: &str, text: &str| {
        let field = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../x.csv\"\r\n\r\n";
        [field("form_token", token), field("deck", "vendor"), field("kind", "az"), format!("{file}{text}\r\n--b--\r\n")]
            .concat()
    };
    let token = std::fs::read_to_string(tandem.data().join("run/token")).expect("the first run made a token");
    let login = format!("token={}", token.trim());
    let entered = post(&base, "/login", "", "application/x-www-form-urlencoded", &login);
    let cookie = entered.cookie.expect("a session");
    let multipart = "multipart/form-data; boundary=b";
    let refused = post(&base, "/deck-import", &cookie, multipart, &form("guessed", FIRST));
    assert_eq!(refused.status, 403, "{}", refused.body);
    let jobs = |what: &str| {
        let left = fs::read_dir(tandem.data().join("jobs")).expect("the folder of jobs").count();
        assert_eq!(left, 0, "{what} leaves nothing behind");
    };
    jobs("a refused form");
    let page = http::request("GET", &format!("{base}/deck-import"), &[("cookie", &cookie)], None).expect("the form");
    let own = page.body.split("name=\"form_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let own = own.expect("the form's token").to_owned();
    let empty = post(&base, "/deck-import", &cookie, multipart, &form(&own, ""));
    assert!(empty.status == 400 && empty.body.contains("the file is empty"), "{}", empty.body);
    jobs("an empty file");

    let over = send_bytes(&base, &cookie, &form(&own, "%"), 257 << 20);
    assert!(over.starts_with("HTTP/1.1 413") && over.contains("the file is larger than 256 MiB"), "{over}");
    jobs("a file above the limit");

    let pdf = file(&tandem, "deck.pdf", "%PDF-1.7 no deck");
    send(&browser, &base, "vendor", "az", &pdf, &[]);
    assert_eq!(state(&browser), "asks");
    browser.await_text("a PDF document; ask for the deck as XLSX or CSV");
    let bad = file(&tandem, "bad.csv", "code;destination;rate USD\n49;Germany;0.01\n44;UK;cheap\n");
    send(&browser, &base, "vendor", "az", &bad, &[]);
    browser.await_text("Rows that cannot be read: 1");
    assert!(browser.find_all(".act").is_empty(), "nothing to write");
    fits(&browser, "import-problems-1280", 1280);
    browser.goto(&format!("{base}/jobs"));
    assert_eq!(browser.find_all("tbody tr").len(), 2);
    fits(&browser, "jobs-1280", 1280);
    tandem.stop();
}

#[test]
fn a_job_goes_on_after_the_process_was_killed() {
    let mut tandem = Tandem::new();
    let base = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    let browser = Browser::start(1280, 900);
    enter(&browser, &base, &tandem);
    let mut text = String::from("code;destination;rate;increment;effective\n");
    for row in 0..60_000 {
        text.push_str(&format!("{};Country {};0.0{};60/1;2026-01-01\n", 1_000_000 + row, row / 500, 100 + row % 899));
    }
    let large = file(&tandem, "large.csv", &text);
    browser.goto(&format!("{base}/deck-import"));
    for (name, value) in [("deck", "vendor"), ("kind", "az"), ("currency", "USD")] {
        set(&browser, name, value);
    }
    browser.find("input[type=file]").type_text(&large.display().to_string());
    leave(&browser, "form.upload > button");
    browser.find("#job");
    let path = browser.url().strip_prefix(&base).expect("an address of this site").to_owned();
    tandem.kill();

    let base = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    enter(&browser, &base, &tandem);
    browser.goto(&format!("{base}{path}"));
    come(&browser);
    assert_eq!(state(&browser), "previewed", "{}", browser.page_text());
    browser.await_text("60000 changes; nothing is written yet");
    write(&browser, "vendor", "anna");
    browser.await_text("in force as version 1");
    assert_eq!(versions(&tandem, "vendor"), [("1".to_owned(), "60000".to_owned())]);
    tandem.stop();
}
