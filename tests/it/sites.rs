//! Two and three sites as real processes: each sells its own calls, all hold everybody's books, whoever is killed
//! comes back, and what one says of another is equal to the last digit.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::deaths::Dice;
use tests::namespaces::Wire;
use tests::pair::{self, Address};
use tests::site::{self, BUY, SELL, SWITCH};
use tests::{Figures, Kafka, Tandem, eventually, night};

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn up(sites: &mut [Tandem]) {
    for site in sites {
        site.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    }
}

/// Imports one copy of the example's calls.
pub(crate) fn import(site: &Tandem, copy: u64) {
    let file = site.home().join(format!("copy-{copy}.jsonl"));
    std::fs::write(&file, site::copy(copy).join("\n") + "\n").expect("the home can be written");
    site.run(&["calls", "import", &file.display().to_string(), "--switch", SWITCH, "--wait"]).ok();
}

fn balances(site: &Tandem) -> Vec<Value> {
    site.run(&["ledger", "balance", "--json"]).json_lines()
}

/// Both sites' books, reports and proofs, once they are equal and come to `copies` times the example.
pub(crate) fn equal_books(sites: &[&Tandem], copies: i128) {
    pair::equal_roots(sites);
    let (sell, buy) = site::sums();
    let figures: Vec<Figures> = sites.iter().map(|site| Figures::of(site, site)).collect();
    for one in &figures {
        assert_eq!(site::cell(site::row_of(&one.balances, "account", SELL), "owed"), sell * copies);
        assert_eq!(site::cell(site::row_of(&one.balances, "account", BUY), "owed"), -buy * copies);
        assert_eq!((&one.balances, &one.trial_balance), (&figures[0].balances, &figures[0].trial_balance));
        assert_eq!(one.reports, figures[0].reports, "reports differ between sites");
    }
}

#[test]
fn two_sites_hold_each_others_books_to_the_last_digit_also_after_kill_9_of_either() {
    let mut sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], "partitions = 2");
    up(&mut sites);
    site::apply(&sites[0]);
    eventually("the configuration at vienna", PATIENCE, || {
        sites[1].run(&["config", "history", "--json"]).json_lines().first().map(drop)
    });
    let fixture = site::fixture("site").display().to_string();
    let refused = sites[1].run(&["apply", &fixture, "--yes"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("written at site main (https://"), "{}", refused.stderr);
    import(&sites[0], 0);
    import(&sites[1], 1);
    equal_books(&[&sites[0], &sites[1]], 2);
    let own = sites[1].run(&["ledger", "balance", SELL, "--of-site", "vienna", "--json"]).json_lines();
    assert_eq!(site::cell(&own[0], "owed"), site::sums().0);
    let unknown = sites[1].run(&["ledger", "balance", "--of-site", "graz"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("there are: vienna, main"), "{unknown:?}");

    sites[1].kill();
    import(&sites[0], 2);
    eventually("main notices", Duration::from_secs(30), || {
        let status = pair::status(&sites[0]);
        (status["exchange"]["mode"] == "alone").then_some(())
    });
    sites[1].start_listening(&["up", "--listen", "127.0.0.1:0"]);
    // While vienna fetches what it missed, main dies.
    sites[0].kill();
    import(&sites[1], 3);
    sites[0].start_listening(&["up", "--listen", "127.0.0.1:0"]);
    equal_books(&[&sites[0], &sites[1]], 4);
    let log = sites[0].server().log();
    assert!(!log.contains("panicked"), "{log}");
    for site in &mut sites {
        site.stop();
    }
    // Without any process a command still knows both sites' books.
    let rows = balances(&sites[1]);
    assert_eq!(site::cell(site::row_of(&rows, "account", SELL), "owed"), site::sums().0 * 4);
}

/// Runs of fifteen seconds with partitions; `tests/night` asks for forty.
const PARTITIONS: u64 = 4;

#[test]
fn real_partitions_leave_both_sites_with_the_same_books_and_no_call_lost() {
    let Some(wire) = Wire::required() else { return };
    let sites = pair::folders(&["main", "vienna"], &[end(0), end(1)], "partitions = 2");
    partitions(&wire, sites, if night() { PARTITIONS * 10 } else { PARTITIONS });
}

/// A broker at each site, as its log; between the sites goes the same pull. The forty runs are for the night.
#[test]
fn two_sites_with_a_kafka_each_part_and_meet_with_the_same_books() {
    let Some(wire) = Wire::required() else { return };
    let brokers = [0, 1].map(|at| Kafka::start_within(&wire.within(at)));
    let sites = pair::folders(&["main", "vienna"], &[end(0), end(1)], "partitions = 2");
    let on_kafka = |(site, broker): (Tandem, &Kafka)| site.env("TANDEM_KAFKA", &broker.bootstrap());
    let sites = sites.into_iter().zip(&brokers).map(on_kafka).collect();
    partitions(&wire, sites, if night() { PARTITIONS * 10 } else { 1 });
}

fn end(at: usize) -> Address {
    let listen = format!("{}:8443", Wire::address(at));
    Address { url: format!("https://{listen}"), listen }
}

/// Runs of fifteen seconds: the wire is cut and joined, processes die, each site sells; then the books are compared.
fn partitions(wire: &Wire, mut sites: Vec<Tandem>, runs: u64) {
    for (at, site) in sites.iter_mut().enumerate() {
        site.set_within(&wire.within(at));
    }
    up(&mut sites);
    site::apply(&sites[0]);
    eventually("the configuration at vienna", PATIENCE, || {
        sites[1].run(&["config", "history", "--json"]).json_lines().first().map(drop)
    });
    let (mut dice, mut copies) = (Dice::new(), 0);
    for run in 0..runs {
        println!("partitions: run {run}");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            let at = usize::from(dice.below(2) == 1);
            match dice.below(5) {
                0 | 1 => wire.set(at, false),
                2 => (0..2).for_each(|end| wire.set(end, true)),
                3 => {
                    sites[at].kill();
                    sites[at].start_listening(&["up", "--listen", "127.0.0.1:0"]);
                }
                _ => {
                    import(&sites[at], copies);
                    copies += 1;
                }
            }
        }
        if copies == 0 {
            import(&sites[0], copies);
            copies += 1;
        }
        (0..2).for_each(|end| wire.set(end, true));
        equal_books(&[&sites[0], &sites[1]], i128::from(copies));
    }
}

/// The example's configuration with another name for its first carrier, as a folder at a site.
fn renamed(site: &Tandem, name: &str) -> String {
    let folder = site.home().join(name);
    std::fs::create_dir_all(folder.join("decks")).expect("the home can be written");
    for file in std::fs::read_dir(site::fixture("site/decks")).expect("the fixture is there").flatten() {
        std::fs::copy(file.path(), folder.join("decks").join(file.file_name())).expect("a deck is copied");
    }
    let text = std::fs::read_to_string(site::fixture("site/site.toml")).expect("the fixture is there");
    let text = text.replacen("name = \"", &format!("name = \"{name} "), 1);
    std::fs::write(folder.join("site.toml"), text).expect("the home can be written");
    folder.display().to_string()
}

#[test]
fn the_configuration_moves_by_order_and_what_the_old_site_wrote_alone_is_a_fork() {
    let up = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
    let mut sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], "partitions = 1");
    sites.iter_mut().for_each(|site| drop(site.start_listening(&up)));
    let versions = |site: &Tandem| site.run(&["config", "history", "--json"]).json_lines().len();
    site::apply(&sites[0]);
    eventually("the configuration at vienna", PATIENCE, || (versions(&sites[1]) == 1).then_some(()));
    sites[1].kill();
    let alone = renamed(&sites[0], "Alone");
    sites[0].run(&["apply", &alone, "--yes"]).ok();
    // Calls that were rated by what the others never got.
    import(&sites[0], 0);
    sites[0].kill();
    sites[1].start_listening(&up);
    let wrong = sites[1].run(&["site", "config-site", "main"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("given at the site that takes it over"), "{wrong:?}");
    let moved = sites[1].run(&["site", "config-site", "vienna", "--json"]).json_lines();
    assert_eq!((&moved[0]["before"], &moved[0]["config_site"]), (&"main".into(), &"vienna".into()));
    let taken = renamed(&sites[1], "Taken");
    sites[1].run(&["apply", &taken, "--yes"]).ok();
    assert_eq!(versions(&sites[1]), 2);
    sites[0].start_listening(&up);
    let trouble = eventually("main sees the fork", PATIENCE, || {
        let status = pair::status(&sites[0]);
        let topics = status["exchange"]["peers"][0]["topics"].as_array().expect("topics").clone();
        let config = topics.into_iter().find(|topic| topic["topic"] == "config" && !topic["trouble"].is_null())?;
        Some(config["trouble"]["why"].as_str().expect("a reason").to_owned())
    });
    assert!(trouble.contains("fork: frame") && trouble.contains("quarantine"), "{trouble}");
    let again = renamed(&sites[0], "Again");
    let refused = sites[0].run(&["apply", &again, "--yes"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("written at site vienna"), "{refused:?}");
    assert_eq!((versions(&sites[0]), versions(&sites[1])), (2, 2), "neither takes the other's");
    let owed = |site: &Tandem| site::cell(site::row_of(&balances(site), "account", SELL), "owed");
    let before = (owed(&sites[0]), sites[0].run(&["ledger", "trial-balance", "--json"]).json_lines());

    let running = sites[0].run(&["site", "rejoin-config", "vienna", "--yes"]);
    assert!(running.code == Some(3), "somebody has the folder: {running:?}");
    sites[0].stop();
    let shown = sites[0].run(&["site", "rejoin-config", "vienna"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    for words in [
        "up to frame 1 of config both have the same",
        "version 2 of ",
        "Alone",
        "frames of ledger.main (",
        "nothing was dropped",
    ] {
        assert!(shown.stderr.contains(words), "{words}: {}", shown.stderr);
    }
    let ran = sites[0].run(&["site", "rejoin-config", "vienna", "--yes", "--json"]).json_lines();
    assert_eq!((&ran[0]["common"], ran[0]["dropped"].as_array().map(Vec::len)), (&1.into(), Some(1)), "{ran:?}");
    let kept = ran[0]["kept"].as_str().expect("a place").to_owned();
    assert!(std::path::Path::new(&kept).join("topic").exists(), "{kept}");
    let again = sites[0].run(&["site", "rejoin-config", "vienna", "--yes"]);
    assert!(again.code == Some(0) && again.stderr.contains("nothing to drop"), "{again:?}");
    sites[0].start_listening(&up);
    eventually("no trouble is left", PATIENCE, || pair::caught_up(&pair::status(&sites[0])).then_some(()));
    let names = |site: &Tandem| site.run(&["config", "show", "--json"]).stdout;
    assert_eq!(names(&sites[0]), names(&sites[1]));
    assert!(names(&sites[0]).contains("Taken ") && !names(&sites[0]).contains("Alone "), "{}", names(&sites[0]));
    // What was booked stays booked, at both, and calls go on.
    assert_eq!((owed(&sites[0]), sites[0].run(&["ledger", "trial-balance", "--json"]).json_lines()), before);
    import(&sites[0], 1);
    eventually("vienna has main's books", PATIENCE, || (owed(&sites[1]) == site::sums().0 * 2).then_some(()));
    let verified = sites[0].run(&["ledger", "verify", "--json"]).json_lines();
    assert_eq!(verified[0]["ok"], true, "{verified:?}");
    sites.iter_mut().for_each(Tandem::stop);
}

#[test]
fn a_damaged_and_a_lost_copy_of_the_others_books_are_fetched_again_and_come_to_the_same_figures() {
    let mut sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], "partitions = 1");
    up(&mut sites);
    site::apply(&sites[0]);
    import(&sites[0], 0);
    equal_books(&[&sites[0], &sites[1]], 1);
    sites[1].stop();
    let log = sites[1].data().join("log");
    let segment = std::fs::read_dir(log.join("ledger.main/0")).expect("the copy is there").flatten();
    let segment = segment.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "seg"));
    let segment = segment.expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("it can be read");
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("frames");
    bytes[written / 2] ^= 0x40;
    std::fs::write(&segment, bytes).expect("it can be written");
    std::fs::remove_dir_all(log.join("xdrs.main.0")).expect("the other copy");
    let refused = sites[1].run(&["ledger", "balance"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("ledger.main/0") && refused.stderr.contains("tandem site refetch"), "{refused:?}");
    // Its own books are nothing that could be fetched so.
    assert_eq!(sites[1].run(&["site", "refetch", "vienna"]).code, Some(2));
    let aside = sites[1].run(&["site", "refetch", "main", "--json"]).json_lines().remove(0);
    assert_eq!(aside["set_aside"].as_array().map(Vec::len), Some(3), "{aside}");
    up(&mut sites[1..]);
    import(&sites[1], 1);
    equal_books(&[&sites[0], &sites[1]], 2);
    for site in &mut sites {
        site.stop();
    }
}
