//! A carrier that is our customer in dollars and our vendor in euros has one line: what we owe it is credit, at the
//! configuration's rate, at one site and at two that cannot sell more together than the line has.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::pair::{self, Address};
use tests::site::{self, amount, cell};
use tests::{Tandem, eventually};

use crate::credit::DECK;
use crate::sites_credit::{Edge, SITE};

const PATIENCE: Duration = Duration::from_secs(120);
const UP: [&str; 4] = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
const CREDIT: &str =
    "partitions = 1\n[credit.new_customers]\nrestricted = false\n[credit.net_positions]\nhouse = \"USD\"\n";

/// acme may owe 1 dollar, and nothing in euros; a euro is 1.25 dollars.
fn apply(site: &Tandem) {
    let more = "\n[[account]]\nid = \"acme-eur\"\ncarrier = \"house\"\ncurrency = \"EUR\"\n\n[[exchange_rate]]\n\
                from = \"EUR\"\nto = \"USD\"\nrate = \"1.25\"\nvalid_from = \"2020-01-01T00:00:00Z\"\nsource = \"bank\"\n";
    let text = SITE.replace("credit_limit = \"100\"", "credit_limit = \"1\"") + more;
    site::apply_text(site, &text, DECK);
}

/// We owe so many euros more.
fn we_owe(site: &Tandem, id: &str, euros: &str) {
    let order = ["ledger", "correct", "acme-eur", euros, "--vendor", "--id", id, "--reason", "bought elsewhere"];
    site.run(&order).ok();
}

/// The carrier's row of `ledger exposure`: exposure, limit, what is left.
fn line(site: &Tandem) -> [i128; 3] {
    let rows = site.run(&["ledger", "exposure", "house", "--json"]).json_lines();
    let net = rows.iter().find(|row| row["account"] == "all, net").unwrap_or_else(|| panic!("{rows:?}"));
    ["exposure", "limit", "left"].map(|name| cell(net, name))
}

#[test]
fn what_we_owe_a_carrier_in_euros_lets_it_call_in_dollars() {
    let mut tandem = Tandem::new();
    fs::create_dir_all(tandem.data()).expect("the data folder can be made");
    fs::write(tandem.data().join("tandem.toml"), CREDIT).expect("the settings can be written");
    let address = tandem.start_listening(&UP);
    apply(&tandem);
    let edge = Edge::new(&tandem, &address);
    // 1 dollar: ten minutes, six of them held.
    assert_eq!(edge.authorise("c1").map(|(held, allowed, _)| (held, allowed)), Ok((360, 600)));
    assert_eq!(edge.authorise("c2").map(|(held, ..)| held), Ok(240), "the last hold shrinks to what is left");
    assert_eq!(edge.authorise("c3").map(drop), Err("credit".to_owned()));
    // 4 euros that we owe are 5 dollars.
    we_owe(&tandem, "d", "4");
    assert_eq!(line(&tandem), ["-4", "1", "5"].map(amount));
    assert_eq!(edge.authorise("c3").map(|(held, allowed, _)| (held, allowed)), Ok((360, 3_000)));
    let rows = tandem.run(&["ledger", "exposure", "--json"]).json_lines();
    let part = |account: &str, name: &str| {
        let row: &Value = rows.iter().find(|row| row["account"] == account).expect("the account is shown");
        cell(row, name)
    };
    assert_eq!([part("acme", "held"), part("acme-eur", "we_owe")], [amount("1.6"), amount("-4")]);
    let balance = &tandem.run(&["ledger", "balance", "acme", "--json"]).json_lines()[0];
    assert_eq!(cell(balance, "available"), amount("4.4"));
    tandem.run(&["ledger", "exposure", "nobody"]).expect_code(2);
    tandem.stop();
}

#[test]
fn two_sites_sell_no_more_on_one_line_than_it_has_and_move_what_is_needed() {
    let mut sites = pair::folders(
        &["main", "vienna"],
        &[Address::loopback(), Address::loopback()],
        &format!("{CREDIT}[sites.reserves]\nacme = \"0\"\n"),
    );
    let addresses: Vec<String> = sites.iter_mut().map(|site| site.start_listening(&UP)).collect();
    apply(&sites[0]);
    we_owe(&sites[0], "d", "4");
    let edges: Vec<Edge<'_>> = sites.iter().zip(&addresses).map(|(site, address)| Edge::new(site, address)).collect();
    // 1 dollar and the 5 that we owe; half of it was the euro account's until dollars were short.
    let mut sold = 0;
    let mut refused = 0;
    for call in 0..20 {
        let key = format!("n-{call}");
        // The configuration and rights take a moment to come to vienna.
        let held = eventually("an answer about credit", PATIENCE, || match edges[call % 2].authorise(&key) {
            Ok((held, ..)) => Some(Some(held)),
            Err(word) if word == "credit" && call > 1 => Some(None),
            Err(_) => None,
        });
        match held {
            Some(held) => sold += i128::from(held.div_ceil(60)) * amount("0.1"),
            None => refused += 1,
        }
        assert!(sold <= amount("6"), "{sold} of 6 dollars");
    }
    assert!(refused > 0, "20 times 0.60 are more than 6");
    eventually("the last cent is sold, at either site", PATIENCE, || {
        for (at, edge) in edges.iter().enumerate() {
            if let Ok((held, ..)) = edge.authorise(&format!("last-{at}-{sold}")) {
                sold += i128::from(held.div_ceil(60)) * amount("0.1");
            }
        }
        assert!(sold <= amount("6"), "{sold} of 6 dollars");
        (sold == amount("6")).then_some(())
    });
    for site in &sites {
        eventually("both show the same line", PATIENCE, || {
            let [exposure, limit, left] = line(site);
            (exposure == limit && left == 0 && limit == amount("1")).then_some(())
        });
    }
    pair::equal_roots(&[&sites[0], &sites[1]]);
    for site in &mut sites {
        let verified = site.run(&["ledger", "verify", "--json"]).json_lines();
        assert_eq!(verified[0]["ok"], true, "{verified:?}");
        site.stop();
    }
}
