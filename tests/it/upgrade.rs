//! Two sites go from one release to the next, one after the other and under load, and one of them back in the middle. The
//! "next release" is the same binary with `TANDEM_TRIAL_FOLD` in its environment (debug builds only): it knows a fold
//! version more, whose state root is another one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tests::pair::{self, Address};
use tests::site::{self, BUY, SELL, SWITCH};
use tests::{Tandem, eventually};

const PATIENCE: Duration = Duration::from_secs(180);
const UP: [&str; 4] = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
const NEXT: &str = "TANDEM_TRIAL_FOLD";

/// Copies of the example's calls, each imported once at some site.
#[derive(Default)]
struct Load(AtomicU64);

impl Load {
    fn import(&self, site: &Tandem, wait: bool) {
        let copy = self.0.fetch_add(1, Ordering::Relaxed);
        let file = site.home().join(format!("copy-{copy}.jsonl"));
        std::fs::write(&file, site::copy(copy).join("\n") + "\n").expect("the home can be written");
        let file = file.display().to_string();
        let mut words = vec!["calls", "import", &file, "--switch", SWITCH];
        words.extend(wait.then_some("--wait"));
        site.run(&words).ok();
    }

    /// Sells at one site as long as something is done to the other, and once there right before it.
    fn during(&self, busy: &Tandem, changed: &mut Tandem, change: impl FnOnce(&mut Tandem)) {
        self.import(changed, false);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    self.import(busy, true);
                }
            });
            change(changed);
            stop.store(true, Ordering::Relaxed);
        });
    }
}

fn next_release(site: &mut Tandem) {
    site.stop();
    site.set_env(NEXT, "1");
    site.start_listening(&UP);
}

/// `kill -9` of the new release, and the one before it on the same log.
fn back(site: &mut Tandem) {
    site.kill();
    site.unset_env(NEXT);
    site.start_listening(&UP);
}

/// Fold versions of all ledgers held at a site.
fn folds(site: &Tandem) -> Vec<u64> {
    let status = pair::status(site);
    let streams = status["streams"].as_array().expect("streams");
    streams.iter().map(|stream| stream["fold"].as_u64().expect("a number")).collect()
}

fn newest(site: &Tandem) -> Vec<Value> {
    site.run(&["site", "fold", "--json"]).json_lines().into_iter().map(|row| row["newest"].clone()).collect()
}

/// The order for version 2 once the sites know each other; what it said.
fn order(site: &Tandem) -> (Option<i32>, String) {
    let ran = site.run(&["site", "fold", "2", "--in", "2", "--by", "anna"]);
    (ran.code, ran.stderr)
}

/// All calls of all copies are booked, at both sites the same.
fn whole(sites: &[&Tandem], load: &Load) {
    let copies = i128::from(load.0.load(Ordering::Relaxed));
    let (sell, buy) = site::sums();
    for site in sites {
        eventually("all calls booked", PATIENCE, || {
            let rows = site.run(&["ledger", "balance", "--json"]).json_lines();
            let owed = |account| site::cell(site::row_of(&rows, "account", account), "owed");
            ((owed(SELL), owed(BUY)) == (sell * copies, -buy * copies)).then_some(())
        });
    }
    pair::equal_roots(sites);
    for site in sites {
        let report = site.run(&["ledger", "verify"]);
        assert_eq!(report.code, Some(0), "{report:?}");
    }
}

#[test]
fn sites_go_to_the_next_release_one_by_one_and_back_in_the_middle_and_lose_no_call() {
    let addresses = [Address::loopback(), Address::loopback()];
    let mut sites = pair::folders(&["main", "vienna"], &addresses, "partitions = 1");
    sites.iter_mut().for_each(|site| drop(site.start_listening(&UP)));
    site::apply(&sites[0]);
    eventually("the configuration at vienna", PATIENCE, || {
        sites[1].run(&["config", "history", "--json"]).json_lines().first().map(drop)
    });
    let load = Load::default();
    let [main, vienna] = &mut sites[..] else { panic!("two sites") };

    // The configuration's site goes first; the order is refused as long as the other runs the release before.
    load.during(vienna, main, next_release);
    let said = eventually("vienna is known", PATIENCE, || (newest(main) == ["2", "1"]).then(|| order(main)));
    assert_eq!(said.0, Some(2), "{said:?}");
    assert!(said.1.contains("site vienna runs a program that folds up to version 1"), "{said:?}");

    load.during(main, vienna, next_release);
    // Back, by `kill -9`: nothing of the new release stands in the log.
    load.during(vienna, main, back);
    whole(&[main, vienna], &load);
    let said = order(main);
    assert_eq!(said.0, Some(2), "{said:?}");
    assert!(said.1.contains("site main runs a program that folds up to version 1"), "{said:?}");
    assert_eq!((folds(main), folds(vienna)), (vec![1, 1], vec![1, 1]));

    // Forward again, and now all of them switch at one cut, while both sell.
    load.during(vienna, main, next_release);
    eventually("both run it", PATIENCE, || (newest(main) == ["2", "2"]).then_some(()));
    load.during(main, vienna, |vienna| {
        eventually("the switch is ordered", PATIENCE, || (order(main).0 == Some(0)).then_some(()));
        eventually("all ledgers are folded by it", PATIENCE, || {
            (folds(main) == [2, 2] && folds(vienna) == [2, 2]).then_some(())
        });
    });
    whole(&[main, vienna], &load);

    // Now there is no way back: the release before stops, says why, and has done no harm.
    vienna.stop();
    vienna.unset_env(NEXT);
    let refused = vienna.run(&UP);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("fold version 2, this program folds versions up to 1; start the"), "{refused:?}");
    vienna.set_env(NEXT, "1");
    vienna.start_listening(&UP);
    load.import(vienna, true);
    whole(&[main, vienna], &load);
    sites.iter_mut().for_each(Tandem::stop);
}
