//! A headless Chromium driven through ChromeDriver's WebDriver protocol: what a person does with a page.
//!
//! Never retries an action in silence: an element that is not there is a panic with the page's text.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Server;
use crate::{cache, eventually, http, ports};

const ADVICE: &str = "`tests/run --fetch` installs Debian's chromium and chromium-driver";
const START: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);

/// The key under which WebDriver hands out an element's id (fixed by the W3C).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser with one window and an empty profile.
pub struct Browser {
    session: String,
    _driver: Server,
    _home: TempDir,
}

/// An element of the page now shown.
pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Browser {
    /// Starts ChromeDriver and Chromium with a window of that many CSS pixels.
    pub fn start(width: u32, height: u32) -> Browser {
        let home = TempDir::with_prefix("tandem-browser-").expect("a temporary folder");
        let port = ports::free();
        let chromium = cache::program("chromium");
        let mut command = Command::new(cache::program("chromedriver"));
        command.arg(format!("--port={port}")).current_dir(home.path());
        let log = home.path().join("chromedriver.log");
        let mut driver = Server::spawn("ChromeDriver", &mut command, log, Some(home.path()), ADVICE);
        let base = format!("http://127.0.0.1:{port}");
        driver.await_ready(START, |_| {
            let status = http::get(&format!("{base}/status")).ok()?;
            (status.json()["value"]["ready"] == true).then_some(())
        });
        let wanted = capabilities(&chromium, home.path());
        let made = http::post_json(&format!("{base}/session"), &wanted)
            .unwrap_or_else(|error| panic!("ChromeDriver: {error}\n{}", driver.log_tail()))
            .json();
        let id = made["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("Chromium does not start; {ADVICE}: {made}\n{}", driver.log_tail()));
        let browser = Browser { session: format!("{base}/session/{id}"), _driver: driver, _home: home };
        browser.resize(width, height);
        browser
    }

    /// Makes the page area that many CSS pixels (a phone: 390 by 844).
    pub fn resize(&self, width: u32, height: u32) {
        // by the device metrics: a window cannot be narrower than 500 pixels
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.send("POST", "/goog/cdp/execute", json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}));
    }

    /// Opens an address and waits until it has loaded.
    pub fn goto(&self, url: &str) {
        self.send("POST", "/url", json!({ "url": url }));
    }

    /// The address now shown.
    pub fn url(&self) -> String {
        text_of(self.send("GET", "/url", Value::Null))
    }

    /// The page's title.
    pub fn title(&self) -> String {
        text_of(self.send("GET", "/title", Value::Null))
    }

    /// The first element that matches a CSS selector; waits up to 10 s for it.
    pub fn find(&self, css: &str) -> Element<'_> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(first) = self.find_all(css).into_iter().next() {
                return first;
            }
            if std::time::Instant::now() > deadline {
                panic!("no element {css:?} on {}:\n{}", self.url(), self.page_text());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All elements that match a CSS selector now.
    pub fn find_all(&self, css: &str) -> Vec<Element<'_>> {
        let found = self.send("POST", "/elements", json!({"using": "css selector", "value": css}));
        let ids = found.as_array().into_iter().flatten().filter_map(|item| item[ELEMENT].as_str());
        ids.map(|id| Element { browser: self, id: id.to_string() }).collect()
    }

    /// Waits until the page shows `text` somewhere.
    pub fn await_text(&self, text: &str) {
        eventually(&format!("the page shows {text:?}"), PATIENCE, || self.page_text().contains(text).then_some(()));
    }

    /// What a reader sees of the whole page.
    pub fn page_text(&self) -> String {
        text_of(self.script("return document.body ? document.body.innerText : ''"))
    }

    /// Runs JavaScript in the page and gives what it returns.
    pub fn script(&self, body: &str) -> Value {
        self.send("POST", "/execute/sync", json!({"script": body, "args": []}))
    }

    /// What went wrong in the page: JavaScript errors and failed loads since the last call.
    pub fn errors(&self) -> Vec<String> {
        let entries = self.send("POST", "/se/log", json!({"type": "browser"}));
        let severe = entries.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }

    /// A picture (PNG) of what the window shows.
    pub fn screenshot(&self) -> Vec<u8> {
        let base64 = text_of(self.send("GET", "/screenshot", Value::Null));
        decode_base64(&base64).expect("ChromeDriver answers base64")
    }

    /// Saves a picture (PNG) of what the window shows.
    pub fn screenshot_to(&self, path: &Path) {
        std::fs::write(path, self.screenshot()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let body = (method != "GET").then(|| body.to_string());
        let headers = [("content-type", "application/json")];
        let answer = http::request(method, &url, &headers, body.as_deref())
            .unwrap_or_else(|error| panic!("ChromeDriver is gone: {error}\n{}", self._driver.log_tail()));
        let mut json = answer.json();
        let advice = if path.ends_with("/click") { " (covered or not in view?)" } else { "" };
        assert!(answer.status == 200, "{method} {path}{advice}: {}", json["value"]["message"]);
        json["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = http::request("DELETE", &self.session, &[], None); // the driver's group is killed anyway
    }
}

impl Element<'_> {
    /// Clicks it as a mouse does: fails when something covers it.
    pub fn click(&self) {
        self.act("/click", json!({}));
    }

    /// Types into it.
    pub fn type_text(&self, text: &str) {
        self.act("/value", json!({ "text": text }));
    }

    /// Empties a field.
    pub fn clear(&self) {
        self.act("/clear", json!({}));
    }

    /// What a reader sees of it.
    pub fn text(&self) -> String {
        text_of(self.browser.send("GET", &format!("/element/{}/text", self.id), Value::Null))
    }

    /// An attribute, if it has it.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let value = self.browser.send("GET", &format!("/element/{}/attribute/{name}", self.id), Value::Null);
        value.as_str().map(str::to_string)
    }

    fn act(&self, what: &str, body: Value) {
        self.browser.send("POST", &format!("/element/{}{what}", self.id), body);
    }
}

fn capabilities(chromium: &PathBuf, home: &Path) -> Value {
    let profile = format!("--user-data-dir={}", home.join("profile").display());
    let arguments = [
        "--headless",
        "--no-sandbox", // the tests run as root in CI, where Chromium's own sandbox refuses to start
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        &profile,
    ];
    let options = json!({"binary": chromium, "args": arguments});
    let logging = json!({"browser": "ALL"});
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logging}}})
}

fn text_of(value: Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// Standard base64 with padding (RFC 4648 section 4).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}
