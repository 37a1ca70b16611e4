//! What a site does with the other's calls: proves their books, finds a call of either, shows one past of an account,
//! prices them again, counts a call that reached both sites once, in the books and in the reports.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tests::pair::{self, Address};
use tests::site::{self, SELL, cell};
use tests::{Figures, Tandem, eventually};

use crate::rerate::{doubled, site_with};
use crate::sites::{equal_books, import, up};

const PATIENCE: Duration = Duration::from_secs(120);

fn pair_of_sites() -> Vec<Tandem> {
    let mut sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], "partitions = 1");
    up(&mut sites);
    site::apply(&sites[0]);
    eventually("the configuration at vienna", PATIENCE, || {
        sites[1].run(&["config", "history", "--json"]).json_lines().first().map(drop)
    });
    sites
}

fn lines(site: &Tandem, arguments: &[&str]) -> Vec<Value> {
    site.run(&[arguments, &["--json"]].concat()).json_lines()
}

fn owed(site: &Tandem, of: &[&str]) -> i128 {
    cell(&lines(site, &[&["ledger", "balance", SELL], of].concat())[0], "owed")
}

/// Every site's proof of every site's books: the same roots, nothing broken, nothing left out.
fn proved_everywhere(sites: &[Tandem]) {
    let roots = |site: &Tandem| {
        let proofs = lines(site, &["ledger", "verify"]);
        let mut roots: Vec<(Value, Value)> = proofs
            .iter()
            .map(|proof| {
                assert!(proof["ok"] == true && proof["behind"].is_null(), "{proof}");
                (proof["site"].clone(), proof["root"].clone())
            })
            .collect();
        roots.sort_by_key(|(site, _)| site.to_string());
        roots
    };
    let first = roots(&sites[0]);
    assert_eq!(first.len(), sites.len());
    sites[1..].iter().for_each(|site| assert_eq!(roots(site), first));
}

/// All of an account's past, paged from the newest back, and from the oldest on.
fn paged(site: &Tandem) -> Vec<Value> {
    let page = |more: &[&str]| lines(site, &[&["ledger", "statement", SELL, "--limit", "70"], more].concat());
    let place = |row: &Value| row["at"].as_str().expect("a place").to_owned();
    let mut back = page(&[]);
    loop {
        let older = page(&["--before", &place(&back[0])]);
        if older.is_empty() {
            break;
        }
        back.splice(0..0, older);
    }
    let mut forth = page(&["--after", "2001-01-01"]);
    assert_eq!(forth.len(), 70);
    loop {
        let newer = page(&["--after", &place(&forth[forth.len() - 1])]);
        if newer.is_empty() {
            break;
        }
        forth.extend(newer);
    }
    assert_eq!(back, forth, "the past from its end and from its beginning");
    let (mut balance, places) = (0, back.iter().map(place).collect::<BTreeSet<_>>());
    assert_eq!(places.len(), back.len(), "no entry stands on two pages");
    for row in &back {
        balance += cell(row, "amount");
        assert_eq!(cell(row, "owed_after"), balance, "{row}");
    }
    assert_eq!(balance, owed(site, &[]));
    back
}

#[test]
fn each_site_proves_finds_shows_and_prices_again_the_calls_of_the_other() {
    let mut sites = pair_of_sites();
    import(&sites[0], 0);
    import(&sites[1], 1);
    equal_books(&[&sites[0], &sites[1]], 2);
    proved_everywhere(&sites);

    // A call that vienna booked, looked up at main.
    let entry = lines(&sites[0], &["ledger", "entries", SELL, "--limit", "1", "--of-site", "vienna"]).remove(0);
    let call = entry["call_id"].as_str().expect("a call").to_owned();
    let (here, there) =
        (lines(&sites[0], &["calls", "show", &call]).remove(0), lines(&sites[1], &["calls", "show", &call]).remove(0));
    for key in ["facts", "xdrs", "entries", "attempts", "revisions"] {
        assert_eq!(here[key], there[key], "{key}");
    }
    assert!(there["raw"][0]["text"].as_str().is_some_and(|raw| raw.contains("local_tag")), "{}", there["raw"]);
    assert!(here["raw"][0]["text"].as_str().is_some_and(|raw| raw.contains("kept at site vienna")), "{}", here["raw"]);
    let shown = sites[0].run(&["calls", "show", &call]).ok();
    assert!(shown.contains("Site vienna") && shown.contains("Stands in: xdrs.vienna.0"), "{shown}");
    let unknown = sites[0].run(&["calls", "show", &"0".repeat(32)]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("is not known here"), "{unknown:?}");

    // One past of the account, the same at both sites.
    let past = paged(&sites[0]);
    assert_eq!(past, paged(&sites[1]));
    let of = |name: &str| past.iter().filter(|row| row["site"] == name).count();
    assert!(of("main") > 70 && of("main") == of("vienna"), "{} and {}", of("main"), of("vienna"));
    let middle = past[past.len() / 2]["booked_at"].as_str().expect("a time").to_owned();
    let by_then = cell(&lines(&sites[0], &["ledger", "balance", SELL, "--booked", &middle])[0], "owed");
    let last = past.iter().rev().find(|row| row["booked_at"] == middle.as_str()).expect("the row itself");
    assert_eq!(by_then, cell(last, "owed_after"));

    // Dearer by a new deck: previewed, posted and taken back at both sites from one.
    let before = (owed(&sites[0], &[]), Figures::of(&sites[0], &sites[0]));
    let folder = site_with(&sites[0], "dearer", doubled);
    sites[0].run(&["apply", &folder.display().to_string(), "--yes"]).ok();
    let preview = lines(&sites[0], &["rerate", "preview", "--account", SELL, "--of-site", "all"]).remove(0);
    let run = preview["run"].as_str().expect("a run").to_owned();
    let parts = preview["sites"].as_array().expect("sites");
    assert!(parts.len() == 2 && parts[0]["calls"] == parts[1]["calls"] && parts[0]["run"] == parts[1]["run"]);
    let posted = lines(&sites[0], &["rerate", "post", &run, "--reason", "new deck"]).remove(0);
    assert_eq!((&posted["posted"], &posted["refused"]), (&preview["calls"], &0.into()), "{posted}");
    pair::equal_roots(&[&sites[0], &sites[1]]);
    let total: i128 = parts.iter().map(|part| cell(&part["totals"][0], "difference")).sum();
    assert!(total > 0 && owed(&sites[0], &[]) == before.0 + total, "{total}");
    assert_eq!(owed(&sites[1], &["--of-site", "main"]), owed(&sites[1], &["--of-site", "vienna"]));
    let (main, vienna) = (Figures::of(&sites[0], &sites[0]), Figures::of(&sites[1], &sites[1]));
    assert_eq!((&main.balances, &main.reports), (&vienna.balances, &vienna.reports));
    proved_everywhere(&sites);
    let again = sites[0].run(&["rerate", "post", &run[..8], "--reason", "again"]);
    assert!(
        again.stderr.contains("site vienna: run") && again.stderr.contains("nothing was posted again"),
        "{again:?}"
    );
    let runs = lines(&sites[1], &["rerate", "list"]);
    assert_eq!(runs.iter().filter(|row| row["run"] == run.as_str()).count(), 2, "{runs:?}");
    assert!(runs.iter().any(|row| row["site"] == "vienna" && row["by"].as_str().unwrap().ends_with(" at site main")));
    lines(&sites[1], &["rerate", "undo", &run, "--reason", "wrong deck"]);
    pair::equal_roots(&[&sites[0], &sites[1]]);
    let (main, vienna) = (Figures::of(&sites[0], &sites[0]), Figures::of(&sites[1], &sites[1]));
    assert_eq!((&main.balances, &main.reports), (&before.1.balances, &before.1.reports));
    assert_eq!((&vienna.balances, &vienna.reports), (&before.1.balances, &before.1.reports));

    // Cut off, a run over its calls waits; nothing is posted in its place.
    sites[1].kill();
    let alone = sites[0].run(&["rerate", "preview", "--account", SELL, "--of-site", "vienna"]);
    assert!(alone.code == Some(3) && alone.stderr.contains("is worked there"), "{alone:?}");
    sites.iter_mut().for_each(Tandem::stop);
}

#[test]
fn a_call_that_reached_both_sites_counts_once_in_books_and_reports() {
    let mut sites = pair_of_sites();
    import(&sites[0], 0);
    equal_books(&[&sites[0], &sites[1]], 1);
    // The second site hears of the first one's charge before it books its own: refused, and not reported.
    import(&sites[1], 0);
    equal_books(&[&sites[0], &sites[1]], 1);
    // Both charge while neither hears the other; when they meet, one takes its own back.
    sites[1].kill();
    import(&sites[0], 1);
    sites[0].kill();
    let up = ["up", "--listen", "127.0.0.1:0"];
    sites[1].start_listening(&up);
    import(&sites[1], 1);
    let (sell, _) = site::sums();
    assert_eq!(owed(&sites[1], &[]), sell * 2, "vienna charged what it saw");
    let checked = sites[1].run(&["report", "check"]);
    assert!(checked.stderr.contains("agree to the last digit"), "{checked:?}");
    sites[0].start_listening(&up);
    // What stands before they meet looks the same as after it: only the reversals say that they have met.
    let charged = entries_of_vienna(&sites[1], "charge").len();
    assert!(charged > 0);
    for site in &sites {
        eventually("vienna's own reversals are known", PATIENCE, || {
            (entries_of_vienna(site, "reversal").len() == charged).then_some(())
        });
        assert_eq!((owed(site, &[]), owed(site, &["--of-site", "vienna"])), (sell * 2, 0), "each is charged once");
    }
    equal_books(&[&sites[0], &sites[1]], 2);
    proved_everywhere(&sites);
    // The page says so.
    let entry = lines(&sites[0], &["ledger", "entries", SELL, "--limit", "1", "--of-site", "vienna"]).remove(0);
    let call = entry["call_id"].as_str().expect("a call");
    let shown = sites[0].run(&["calls", "show", call]).ok();
    assert!(shown.contains("Charged at: site main; site vienna took its charge back"), "{shown}");
    assert!(shown.contains("Stands in: xdrs.main.0"), "{shown}");
    // A loader that dies and forgets its notes comes to the same.
    sites[0].kill();
    let notes = sites[0].data().join("loader");
    for name in ["xdrs.vienna.0.json", "ledger.main.json"] {
        std::fs::remove_file(notes.join(name)).expect("the loader kept notes");
    }
    sites[0].start_listening(&up);
    equal_books(&[&sites[0], &sites[1]], 2);
    sites.iter_mut().for_each(Tandem::stop);
}

/// Entries of one kind that vienna booked for the customer, as a site knows them.
fn entries_of_vienna(site: &Tandem, kind: &str) -> Vec<Value> {
    let mut entries = lines(site, &["ledger", "entries", SELL, "--limit", "10000", "--of-site", "vienna"]);
    entries.retain(|entry| entry["kind"] == kind);
    entries
}
