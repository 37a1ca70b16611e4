//! Three sites as real processes, one of them cut off by wires that a test can cut: whatever each sells, the customer
//! never owes more than its limit, and after it all three hold the same books.

use std::fs;
use std::time::Duration;

use tests::pair::{self, Address};
use tests::site::{self, amount};
use tests::wires::Link;
use tests::{Tandem, eventually, ports};

use crate::credit::DECK;
use crate::sites_credit::{Edge, SITE};

const PATIENCE: Duration = Duration::from_secs(120);
const UP: [&str; 4] = ["up", "--no-engine", "--listen", "127.0.0.1:0"];

/// acme may owe 3.00; a minute costs 0.10.
fn apply(site: &Tandem) {
    let text = SITE.replace("credit_limit = \"100\"", "credit_limit = \"3\"");
    site::apply_text(site, &text, DECK);
}

/// Begins and extends calls of this prefix until nothing more is granted; the holds with their seconds. Rights may be on
/// their way from another site, so a refusal counts when it comes again.
fn sell_out(edge: &Edge<'_>, prefix: &str) -> Vec<(String, String, u64)> {
    let mut calls: Vec<(String, String, u64)> = Vec::new();
    let mut refused = 0;
    while refused < 3 {
        let key = format!("{prefix}{}", calls.len());
        match edge.authorise(&key) {
            Ok((held, _, hold)) => calls.push((key, hold, held)),
            Err(code) => {
                assert_eq!(code, "credit");
                refused += 1;
            }
        }
    }
    for (_, hold, held) in &mut calls {
        while let Ok((more, ..)) = edge.extend(hold, *held) {
            *held = more;
        }
    }
    calls
}

fn minutes(calls: &[(String, String, u64)]) -> u64 {
    calls.iter().map(|(_, _, held)| held / 60).sum()
}

#[test]
fn a_third_site_cut_off_and_two_together_never_sell_beyond_the_limit_and_meet_with_equal_books() {
    let ports: Vec<u16> = (0..3).map(|_| ports::free()).collect();
    let (in_graz, to_main, to_vienna) = (Link::to(ports[2]), Link::to(ports[0]), Link::to(ports[1]));
    let url = |port: u16| format!("https://127.0.0.1:{port}");
    let address = |at: usize| Address { listen: format!("127.0.0.1:{}", ports[at]), url: url(ports[at]) };
    let graz = Address { url: url(in_graz.port()), ..address(2) };
    let more = "partitions = 1\n[credit.new_customers]\nrestricted = false\n[sites.reserves]\nacme = \"0\"\n";
    let mut sites = pair::folders(&["main", "vienna", "graz"], &[address(0), address(1), graz], more);
    let settings = sites[2].data().join("tandem.toml");
    let text = fs::read_to_string(&settings).expect("settings");
    let text = text.replace(&url(ports[0]), &url(to_main.port())).replace(&url(ports[1]), &url(to_vienna.port()));
    fs::write(&settings, text).expect("settings can be written");
    let addresses: Vec<String> = sites.iter_mut().map(|site| site.start_listening(&UP)).collect();
    apply(&sites[0]);
    let give = ["site", "give", "acme", "1.00", "--to", "graz", "--id", "g", "--reason", "it sells too"];
    eventually("main has rights to give", PATIENCE, || (sites[0].run(&give).code == Some(0)).then_some(()));
    let edges: Vec<Edge<'_>> = sites.iter().zip(&addresses).map(|(site, address)| Edge::new(site, address)).collect();
    eventually("2.00 at main and 1.00 at graz, known to all", PATIENCE, || {
        let rights: Vec<Vec<i128>> =
            edges.iter().map(|edge| edge.rights().iter().map(|row| row[0]).collect()).collect();
        let wanted = vec![amount("2"), 0, amount("1")];
        rights.iter().all(|row| *row == wanted).then_some(())
    });
    let links = [&in_graz, &to_main, &to_vienna];
    links.iter().for_each(|link| link.cut());
    let mode = |at: usize| pair::status(&sites[at])["exchange"]["mode"].as_str().map(str::to_owned);
    eventually("graz is alone, the others are together but for it", PATIENCE, || {
        (mode(2).as_deref() == Some("alone") && [0, 1].iter().all(|at| mode(*at).as_deref() == Some("partly")))
            .then_some(())
    });
    // A site that is cut off changes no configuration and names who may.
    let refused = sites[2].run(&["apply", &sites[0].home().join("site").display().to_string(), "--yes"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("written at site main"), "{refused:?}");

    let sold: Vec<_> = edges.iter().zip(["m", "v", "g"]).rev().map(|(edge, prefix)| sell_out(edge, prefix)).collect();
    let [by_graz, by_vienna, by_main] = &sold[..] else { panic!("three sites") };
    assert_eq!(minutes(by_graz), 10, "graz sells its own 1.00 and no more: {by_graz:?}");
    assert_eq!(minutes(by_vienna) + minutes(by_main), 20, "the two sell their 2.00: {by_vienna:?} {by_main:?}");
    assert!(minutes(by_vienna) > 0, "vienna began with nothing and pulled");
    for (edge, calls) in edges.iter().rev().zip(&sold) {
        calls.iter().for_each(|(key, hold, held)| edge.end(key, hold, *held));
    }
    links.iter().for_each(|link| link.mend());
    eventually("3.00 owed at all three, no right and no debt left", PATIENCE, || {
        let quiet = |edge: &Edge<'_>| edge.owed() == amount("3") && edge.rights() == [[0, 0, 0, 0]; 3];
        edges.iter().all(quiet).then_some(())
    });
    pair::equal_roots(&[&sites[0], &sites[1], &sites[2]]);
    for edge in &edges {
        assert_eq!(edge.authorise("one-more").map(|_| ()), Err("credit".to_owned()));
    }
    sites.iter_mut().for_each(Tandem::stop);
}
