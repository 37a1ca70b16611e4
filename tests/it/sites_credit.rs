//! The worked example of credit between sites (design 8.9) with two real processes: acme owes 98.00 of 100.00, 1.00 of
//! the 2.00 left is at each site, a minute costs 0.10, and one site does not answer any more.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::pair::{self, Address};
use tests::site::{self, amount, cell};
use tests::{Tandem, eventually, http};

const PATIENCE: Duration = Duration::from_secs(120);
/// The site that the guide has people type the example in with.
pub(crate) const SITE: &str = include_str!("../fixtures/worked-example/site.toml");
const DECK: &str = include_str!("../fixtures/worked-example/az.csv");

/// A site's process with its door for switches.
pub(crate) struct Edge<'a> {
    pub site: &'a Tandem,
    pub address: String,
    token: String,
}

impl<'a> Edge<'a> {
    pub fn new(site: &'a Tandem, address: &str) -> Self {
        let token = fs::read_to_string(site.data().join("run/token")).expect("a token").trim().to_string();
        Self { site, address: address.to_owned(), token }
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("authorization", &*format!("Bearer {}", self.token)), ("content-type", "application/json")];
        let answer = http::request("POST", &format!("{}{path}", self.address), &headers, Some(&body.to_string()));
        let answer = answer.expect("the site answers");
        (answer.status, answer.json())
    }

    /// Seconds held and allowed, and the hold; else the code of the refusal.
    fn asked(&self, path: &str, question: &Value) -> Result<(u64, u64, String), String> {
        let (status, answer) = self.post(path, question);
        let number = |name: &str| answer[name].as_u64().unwrap_or_else(|| panic!("{name} in {answer}"));
        match status {
            200 => {
                Ok((number("seconds_held"), number("seconds_allowed"), answer["hold_id"].as_str().expect("id").into()))
            }
            _ => Err(answer["code"].as_str().unwrap_or_else(|| panic!("{status}: {answer}")).to_owned()),
        }
    }

    pub(crate) fn authorise(&self, key: &str) -> Result<(u64, u64, String), String> {
        let question =
            json!({"switch": "edge", "call_key": key, "trunk": "in", "called": "4930123456", "caller": "43152345"});
        self.asked("/v1/authorise", &question)
    }

    pub fn extend(&self, hold: &str, held: u64) -> Result<(u64, u64, String), String> {
        self.asked("/v1/extend", &json!({"hold_id": hold, "seconds_held": held}))
    }

    pub fn end(&self, key: &str, hold: &str, seconds: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let time = |ago: u64| facts::time::rfc3339(i64::try_from((now - ago) * 1_000_000).expect("a time"));
        let record = json!({
            "kind": "record", "record_id": key, "call_key": key, "switch": "edge", "id_domain": "edge",
            "started_at": time(seconds + 3), "answered_at": time(seconds), "ended_at": time(0),
            "duration": seconds.to_string(), "caller": "43152345", "called": "4930123456",
            "inbound": {"trunk": "in"}, "sip_code": 200, "hold_id": hold,
        });
        let (status, answer) = self.post("/v1/call-events", &json!([record]));
        assert_eq!((status, &answer["rejected"]), (200, &json!(0)), "{answer}");
    }

    /// What a site knows of acme's rights, by site: rights, reserve, debt, lock.
    pub fn rights(&self) -> Vec<[i128; 4]> {
        let ran = self.site.run(&["site", "rights", "acme", "--json"]);
        // Before the ledger's first tick there is nothing to show.
        let rows = if ran.code == Some(2) { Vec::new() } else { ran.json_lines() };
        rows.iter().map(|row| ["rights", "reserve", "debt", "lock"].map(|name| cell(row, name))).collect()
    }

    pub fn owed(&self) -> i128 {
        cell(&self.site.run(&["ledger", "balance", "acme", "--json"]).json_lines()[0], "owed")
    }
}

fn silent(site: &Tandem) -> bool {
    pair::status(site)["ledger"]["peers"][0]["silent"] == true
}

/// The example up to the moment at which vienna hears nothing of main any more, which hangs; then `sell` at vienna, then
/// main goes on. Gives what acme owes in the end and the rights left over both sites.
fn example(reserve: &str, sell: impl FnOnce(&Edge<'_>)) -> (i128, i128) {
    let more =
        format!("partitions = 1\n[credit.new_customers]\nrestricted = false\n[sites.reserves]\nacme = \"{reserve}\"\n");
    let mut sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], &more);
    let up = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
    let addresses: Vec<String> = sites.iter_mut().map(|site| site.start_listening(&up)).collect();
    site::apply_text(&sites[0], SITE, DECK);
    sites[0].run(&["ledger", "correct", "acme", "98", "--id", "d", "--reason", "old debt"]).ok();
    let give = ["site", "give", "acme", "1.00", "--to", "vienna", "--id", "g", "--reason", "example"];
    eventually("main has rights to give", PATIENCE, || (sites[0].run(&give).code == Some(0)).then_some(()));
    let edges: Vec<Edge<'_>> = sites.iter().zip(addresses).map(|(site, address)| Edge::new(site, &address)).collect();
    let share = amount(reserve) / 2;
    eventually("1.00 at each site, known at both", PATIENCE, || {
        let one = [amount("1"), share, 0, 0];
        edges.iter().all(|edge| edge.rights() == [one, one]).then_some(())
    });
    let main = sites[0].server_id();
    signal(main, "STOP");
    eventually("vienna knows that main is silent", PATIENCE, || silent(&sites[1]).then_some(()));
    sell(&edges[1]);
    signal(main, "CONT");
    eventually("no lock, no debt, the same at both", PATIENCE, || {
        let (here, there) = (edges[0].rights(), edges[1].rights());
        let quiet = here.iter().all(|[_, _, debt, lock]| *debt == 0 && *lock == 0);
        (quiet && here == there && !silent(&sites[1])).then_some(())
    });
    pair::equal_roots(&[&sites[0], &sites[1]]);
    assert_eq!(edges[0].owed(), edges[1].owed());
    let left = edges[0].rights().iter().map(|[rights, ..]| rights).sum();
    let owed = edges[0].owed();
    for site in &mut sites {
        let verified = site.run(&["ledger", "verify", "--json"]).json_lines();
        assert_eq!(verified[0]["ok"], true, "{verified:?}");
        site.stop();
    }
    (owed, left)
}

fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -s {name} {process}")]).status();
    assert!(sent.expect("sh starts").success(), "kill -s {name} {process}");
}

#[test]
fn an_isolated_site_of_a_tolerant_customer_sells_20_minutes_and_then_8() {
    let sum = example("2.00", |vienna| {
        let (held, allowed, hold) = vienna.authorise("c1").expect("20 minutes are left");
        assert_eq!((held, allowed), (360, 1_200));
        assert_eq!(vienna.extend(&hold, 360).map(|answer| answer.0), Ok(660));
        assert_eq!(vienna.extend(&hold, 660).map(|answer| answer.0), Ok(960));
        vienna.end("c1", &hold, 720);
        eventually("the charge of 1.20", PATIENCE, || (vienna.owed() == amount("99.2")).then_some(()));
        let (held, allowed, hold) = vienna.authorise("c2").expect("8 minutes are left");
        assert_eq!((held, allowed), (360, 480));
        vienna.end("c2", &hold, 300);
        eventually("the charge of 0.50", PATIENCE, || (vienna.owed() == amount("99.7")).then_some(()));
        // Rights are shown anew with each tick of the ledger, a balance with each frame.
        let below = [amount("-0.7"), amount("1"), amount("0.7"), 0];
        eventually("rights of -0.70", PATIENCE, || (vienna.rights().get(1) == Some(&below)).then_some(()));
    });
    assert_eq!(sum, (amount("99.7"), amount("0.3")));
}

#[test]
fn an_isolated_site_of_a_strict_customer_sells_10_minutes_and_no_more() {
    let sum = example("0", |vienna| {
        let (held, allowed, hold) = vienna.authorise("c1").expect("10 minutes are left");
        assert_eq!((held, allowed), (360, 600));
        assert_eq!(vienna.extend(&hold, 360).map(|answer| answer.0), Ok(600));
        assert_eq!(vienna.extend(&hold, 600), Err("credit".to_owned()));
        assert_eq!(vienna.authorise("c2"), Err("credit".to_owned()));
        vienna.end("c1", &hold, 600);
        eventually("the charge of 1.00", PATIENCE, || (vienna.owed() == amount("99")).then_some(()));
    });
    assert_eq!(sum, (amount("99"), amount("1")));
}
