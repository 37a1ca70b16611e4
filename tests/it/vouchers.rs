//! Two sites that cannot see each other take the same voucher and the same payment: what counts twice is taken back at
//! one of them when they meet, and both say so in money. A large voucher is redeemed at its owner only. Caps are divided
//! as the settings say.

use std::time::Duration;

use serde_json::Value;
use tests::pair::{self, Address};
use tests::site::{self, amount, cell};
use tests::{Tandem, eventually};

use crate::credit::DECK;
use crate::sites_credit::{Edge, SITE};

const PATIENCE: Duration = Duration::from_secs(120);
const UP: [&str; 4] = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
const SETTINGS: &str = "partitions = 1\n[credit.new_customers]\nrestricted = false\n[sites.shares]\nmain = 3\nvienna = 1\n\
                        [sites.vouchers.anywhere_up_to]\nUSD = \"20\"\n[sites.vouchers.owners]\n\"VIE-\" = \"vienna\"\n";

fn voucher(site: &Tandem, code: &str, worth: &str) -> (Option<i32>, String) {
    let ran = site.run(&["ledger", "voucher", "acme", worth, "--code", code]);
    (ran.code, ran.stdout + &ran.stderr)
}

fn pay(site: &Tandem, id: &str, worth: &str) -> (Option<i32>, String) {
    let ran = site.run(&["ledger", "pay", "acme", worth, "--id", id, "--reason", "invoice"]);
    (ran.code, ran.stdout + &ran.stderr)
}

fn owed(site: &Tandem) -> i128 {
    cell(&site.run(&["ledger", "balance", "acme", "--json"]).json_lines()[0], "owed")
}

fn ledger(site: &Tandem) -> Value {
    pair::status(site)["ledger"].clone()
}

fn says(site: &Tandem, list: &str, what: &str) -> bool {
    ledger(site)[list].as_array().is_some_and(|all| all.iter().any(|one| one.to_string().contains(what)))
}

#[test]
fn a_voucher_and_a_payment_taken_at_two_sites_count_once_and_both_sites_say_so() {
    let mut sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], SETTINGS);
    let addresses: Vec<String> = sites.iter_mut().map(|site| site.start_listening(&UP)).collect();
    site::apply_text(&sites[0], SITE, DECK);
    sites[0].run(&["ledger", "caps", "acme", "--id", "c", "--calls", "4", "--reason", "four calls at once"]).ok();
    eventually("the account at vienna", PATIENCE, || {
        (sites[1].run(&["ledger", "balance", "acme"]).code == Some(0)).then_some(())
    });
    // Dear ones at their owner's only, small ones anywhere, each once.
    let (code, said) = voucher(&sites[1], "A-1", "20.01");
    assert!(code == Some(2) && said.contains("redeemed at site main only") && said.contains("20 USD"), "{said}");
    let (code, said) = voucher(&sites[0], "VIE-1", "50");
    assert!(code == Some(2) && said.contains("redeemed at site vienna only"), "{said}");
    assert_eq!(voucher(&sites[1], "VIE-1", "50").0, Some(0));
    eventually("main knows of it", PATIENCE, || (owed(&sites[0]) == amount("-50")).then_some(()));
    let (code, said) = voucher(&sites[0], "VIE-1", "50");
    assert!(code == Some(0) && said.contains("booked before"), "a code serves once: {said}");
    let (code, said) = voucher(&sites[0], "VIE-1", "49");
    assert!(code == Some(2) && said.contains("used before for other content"), "{said}");
    caps_are_divided(&sites, &addresses);

    // Vienna sells while main is down, main while vienna is; then both are there again.
    sites[0].kill();
    assert_eq!(voucher(&sites[1], "S-1", "10").0, Some(0));
    assert_eq!(pay(&sites[1], "bank-1", "7").0, Some(0));
    assert_eq!(pay(&sites[1], "bank-2", "3").0, Some(0));
    sites[1].kill();
    sites[0].start_listening(&UP);
    assert_eq!(voucher(&sites[0], "S-1", "10").0, Some(0));
    assert_eq!(pay(&sites[0], "bank-1", "5").0, Some(0), "the same id with another amount");
    sites[1].start_listening(&UP);
    // 50 and the voucher of 10 once; 5 of main's, whose number is lower, instead of vienna's 7; 3 of vienna's.
    for site in &sites {
        eventually("each counts once", PATIENCE, || (owed(site) == amount("-68")).then_some(()));
        eventually("it is listed in money", PATIENCE, || {
            let voucher = says(site, "settled", "\"what\":\"voucher\"") && says(site, "settled", "-10");
            let payment = says(site, "settled", "\"same\":false") && says(site, "settled", "-7");
            (voucher && payment && says(site, "alarms", "another content")).then_some(())
        });
        assert!(says(site, "alarms", "voucher") && !says(site, "alarms", "bank-2"), "{}", ledger(site));
    }
    pair::equal_roots(&[&sites[0], &sites[1]]);
    let reversals: Vec<Value> = sites[0]
        .run(&["ledger", "entries", "acme", "--json", "--of-site", "vienna"])
        .json_lines()
        .into_iter()
        .filter(|row| row["kind"] == "reversal")
        .collect();
    assert_eq!(reversals.len(), 2, "{reversals:?}");
    assert!(reversals.iter().all(|row| row["reason"] == "booked_elsewhere" && row["by"] == "site main"));
    // A new start knows the list from the logs, and takes nothing back again.
    sites[0].kill();
    sites[0].start_listening(&UP);
    eventually("the list after a new start", PATIENCE, || says(&sites[0], "settled", "voucher").then_some(()));
    assert_eq!(owed(&sites[0]), amount("-68"));
    for site in &mut sites {
        let verified = site.run(&["ledger", "verify", "--json"]).json_lines();
        assert_eq!(verified[0]["ok"], true, "{verified:?}");
        site.stop();
    }
}

/// Four calls at once for the house: three at main, one at vienna.
fn caps_are_divided(sites: &[Tandem], addresses: &[String]) {
    let edges: Vec<Edge<'_>> = sites.iter().zip(addresses).map(|(site, address)| Edge::new(site, address)).collect();
    eventually("the caps at vienna", PATIENCE, || {
        (!sites[1].run(&["ledger", "limits", "acme", "--json"]).json_lines().is_empty()).then_some(())
    });
    for (edge, share) in edges.iter().zip([3, 1]) {
        for call in 0..share {
            let key = format!("cap-{share}-{call}");
            assert!(edge.authorise(&key).is_ok(), "{key}");
        }
        assert_eq!(edge.authorise("one more"), Err("calls".to_owned()));
    }
}
