//! Sites that know each other: data folders with settings, keys and certificates, made by the commands that a person
//! would use.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::{Tandem, eventually, ports};

/// Catching up at a machine under load.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a site reaches another: address to listen on, address to be called by.
#[derive(Clone, Debug)]
pub struct Address {
    pub listen: String,
    pub url: String,
}

impl Address {
    /// On loopback, at a port of its own.
    pub fn loopback() -> Address {
        let port = ports::free();
        Address { listen: format!("127.0.0.1:{port}"), url: format!("https://127.0.0.1:{port}") }
    }
}

/// Folders for sites of these names, numbered from 1, that name each other as peers. Nothing runs yet.
pub fn folders(names: &[&str], addresses: &[Address], more: &str) -> Vec<Tandem> {
    let sites: Vec<Tandem> = names.iter().map(|_| Tandem::new()).collect();
    for (at, site) in sites.iter().enumerate() {
        std::fs::create_dir_all(site.data()).expect("the data folder can be made");
        let mut text = format!("site = {:?}\n{more}\n[sites]\nnumber = {}\n", names[at], at + 1);
        let _ = writeln!(text, "listen = {:?}", addresses[at].listen);
        for (other, name) in names.iter().enumerate().filter(|(other, _)| *other != at) {
            let url = &addresses[other].url;
            let _ = write!(
                text,
                "\n[[peers]]\nname = {name:?}\nnumber = {}\nurl = {url:?}\ncertificate = \"{name}.pem\"\n",
                other + 1
            );
        }
        std::fs::write(site.data().join("tandem.toml"), text).expect("the settings can be written");
    }
    for (at, site) in sites.iter().enumerate() {
        site.run(&["site", "certificate"]).ok();
        let made = site.data().join("site/certificate.pem");
        for other in sites.iter().filter(|other| other.data() != site.data()) {
            std::fs::copy(&made, other.data().join(format!("{}.pem", names[at]))).expect("a certificate is copied");
        }
    }
    sites
}

/// `site status --json`, whatever it says of troubles.
pub fn status(site: &Tandem) -> Value {
    let ran = site.run(&["site", "status", "--json"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
    serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Heads of the ledgers held at a site, by site: sequence, hash, root.
pub fn heads(status: &Value) -> Vec<(String, u64, String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_string();
    let rows = status["streams"].as_array().expect("streams");
    let head = |row: &Value| {
        (text(&row["site"]), row["seq"].as_u64().expect("a number"), text(&row["hash"]), text(&row["root"]))
    };
    let mut heads: Vec<_> = rows.iter().map(head).collect();
    heads.sort();
    heads
}

/// Whether a site hears all its peers, holds all that they have named and has no trouble with any.
pub fn caught_up(status: &Value) -> bool {
    let peers = status["exchange"]["peers"].as_array();
    let good = |peer: &Value| {
        let topics = peer["topics"].as_array().expect("topics");
        let quiet = |topic: &Value| topic["behind"] == 0 && topic["trouble"].is_null();
        peer["here"] == true && peer["trouble"].is_null() && !topics.is_empty() && topics.iter().all(quiet)
    };
    peers.is_some_and(|peers| peers.iter().all(good))
}

/// Waits until all hold the same of all, and gives it: an idle stream goes on by an empty frame, so heads are compared
/// where the roots are, at the frames that changed something.
pub fn equal_roots(sites: &[&Tandem]) -> Vec<(String, String)> {
    eventually("equal roots at all sites", PATIENCE, || {
        let all: Vec<Value> = sites.iter().map(|site| status(site)).collect();
        let roots =
            |status: &Value| heads(status).into_iter().map(|(site, _, _, root)| (site, root)).collect::<Vec<_>>();
        let first = roots(&all[0]);
        (all.iter().all(caught_up) && all.iter().all(|one| roots(one) == first)).then_some(first)
    })
}
