//! Disks that fill up under the running process, through the binary: the log's, the reporting engine's, the spool's, and
//! the ledger's stream alone. The console says what is wrong, nothing is lost or damaged, and work goes on by itself once there is space.
//!
//! Needs root or sudo for the small disks (`tests::SmallDisk` says so where neither is there).

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::site::{self, SWITCH};
use tests::{Figures, SmallDisk, Tandem, eventually, health, http};

const PATIENCE: Duration = Duration::from_secs(90);
/// Copies that fit into what the log has written ahead, and many more.
const COPIES_MAX: u64 = 60;

#[test]
fn a_full_disk_of_the_log_and_then_of_the_engine_costs_time_and_no_figure() {
    let (log, engine) = (SmallDisk::mount(96 << 20), SmallDisk::mount(512 << 20));
    let mut tandem = Tandem::new();
    fs::create_dir_all(tandem.data()).expect("a data folder");
    symlink(log.path(), tandem.data().join("log")).expect("a link");
    symlink(engine.path(), tandem.data().join("engine")).expect("a link");
    let address = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let mut copies = 0;
    hand_in(&tandem, &mut copies);
    booked(&tandem, &address, "before any disk is full");

    log.fill(0);
    while health::part(&tandem, &address, "Bus")["state"] == "good" {
        assert!(copies < COPIES_MAX, "a full disk is not noticed after {copies} copies");
        hand_in(&tandem, &mut copies);
    }
    let told = health::part(&tandem, &address, "Bus")["detail"].to_string();
    assert!(told.contains("no space"), "what is wrong is not said: {told}");
    // What comes now is kept in the spool, which lies on another disk, and answered as kept.
    hand_in(&tandem, &mut copies);
    log.free();
    booked(&tandem, &address, "after the log has space again");

    engine.fill(0);
    let failing = || health::part(&tandem, &address, "Reports")["detail"].to_string();
    eventually("the console says that loading fails", PATIENCE, || {
        if copies < COPIES_MAX {
            hand_in(&tandem, &mut copies);
        }
        failing().contains("loading fails").then_some(())
    });
    println!("the engine on a full disk: {}", failing());
    engine.free();
    booked(&tandem, &address, "after the engine has space again");
    let figures = Figures::of(&tandem, &tandem);
    tandem.stop();
    assert_eq!(figures, site::quiet_run(copies), "full disks came to other figures");
}

#[test]
fn a_disk_that_fills_while_the_ledger_books_stops_the_books_and_nothing_else() {
    let disk = SmallDisk::mount(24 << 20);
    let mut tandem = Tandem::new();
    tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    tandem.stop();
    // Only the ledger's stream lies on the small disk.
    let stream = tandem.data().join("log/ledger.main");
    let copied = Command::new("cp").arg("-r").arg(&stream).arg(disk.path()).status().expect("cp runs");
    assert!(copied.success(), "the stream cannot be moved");
    fs::remove_dir_all(&stream).expect("the stream has been copied");
    symlink(disk.path().join("ledger.main"), &stream).expect("a link");
    let address = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    let mut copies = 0;
    hand_in(&tandem, &mut copies);
    booked(&tandem, &address, "before the disk is full");

    disk.fill(0);
    let line = eventually("the console says that the ledger has no space", PATIENCE, || {
        assert!(copies < COPIES_MAX, "a full disk is not noticed after {copies} copies");
        hand_in(&tandem, &mut copies);
        Some(health::part(&tandem, &address, "Ledger")).filter(|line| line["state"] != "good")
    });
    println!("the ledger on a full disk: {line}");
    assert!(line["detail"].to_string().contains("no space left"), "{line}");
    assert!(line["advice"].to_string().contains("by itself"), "{line}");
    let bus = eventually("the bus names the stream", PATIENCE, || {
        Some(health::part(&tandem, &address, "Bus")).filter(|line| line["state"] == "bad")
    });
    assert!(
        bus["detail"].to_string().contains("ledger.main") && bus["advice"].to_string().contains("make space"),
        "{bus}"
    );
    let before = rated(&tandem, &address);
    hand_in(&tandem, &mut copies);
    eventually("calls are rated while nothing can be booked", PATIENCE, || {
        (rated(&tandem, &address) > before).then_some(())
    });
    eventually("stderr says so too", PATIENCE, || {
        let log = tandem.server().log();
        (log.contains("Ledger since ") && log.contains("Bus since ")).then_some(())
    });

    disk.free();
    booked(&tandem, &address, "after the ledger has space again");
    let figures = Figures::of(&tandem, &tandem);
    tandem.stop();
    assert_eq!(figures, site::quiet_run(copies), "a full disk under the ledger came to other figures");
}

#[test]
fn a_full_spool_makes_senders_wait_and_loses_nothing() {
    let (log, spool) = (SmallDisk::mount(96 << 20), SmallDisk::mount(4 << 20));
    let mut tandem = Tandem::new();
    fs::create_dir_all(tandem.data().join("ingest")).expect("a data folder");
    symlink(log.path(), tandem.data().join("log")).expect("a link");
    symlink(spool.path(), tandem.data().join("ingest/spool")).expect("a link");
    let address = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let mut copies = 0;
    log.fill(0);
    while health::part(&tandem, &address, "Ingest")["state"] == "good" {
        assert!(copies < COPIES_MAX, "a full disk is not noticed after {copies} copies");
        hand_in(&tandem, &mut copies);
    }
    spool.fill(0);
    // The first that finds no room waits, and so does whoever comes behind it.
    let file = tandem.home().join("waits.jsonl");
    let lines = site::copy(copies);
    fs::write(&file, lines.join("\n") + "\n").expect("the home can be written");
    copies += 1;
    let import = tandem.command(&["calls", "import", &file.display().to_string(), "--switch", SWITCH]).spawn();
    let mut import = import.expect("the import starts");
    let line = eventually("the console says that nothing more is taken", PATIENCE, || {
        Some(health::part(&tandem, &address, "Ingest")).filter(|line| line["state"] == "bad")
    });
    println!("ingest with a full spool: {line}");
    assert!(
        line["detail"].to_string().contains("no space left for") && line["advice"].to_string().contains("make space")
    );
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let posted = || {
        let url = format!("{address}/v1/call-events?switch={SWITCH}");
        http::request("POST", &url, &headers, Some(&lines[0])).expect("the process answers")
    };
    let refused = posted();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("send them again, nothing is counted twice"), "{refused:?}");
    assert!(import.try_wait().expect("a child").is_none(), "the import was answered although nothing was kept");

    spool.free();
    assert!(import.wait().expect("a child").success(), "the import goes on when there is space for the spool");
    assert_eq!(posted().status, 200, "sent again as told");
    log.free();
    booked(&tandem, &address, "after spool and log have space again");
    let figures = figures_without_reports(&tandem);
    tandem.stop();
    let quiet = site::quiet_run(copies);
    assert_eq!(figures, (quiet.balances, quiet.trial_balance, quiet.proof), "a full spool came to other figures");
}

/// Balances, trial balance and proof, once everything is booked.
fn figures_without_reports(tandem: &Tandem) -> (Vec<Value>, Vec<Value>, [Value; 3]) {
    let proof = eventually("everything is booked", PATIENCE, || {
        let proof = tandem.run(&["ledger", "verify", "--json"]).json_lines().remove(0);
        assert_eq!(proof["ok"], true, "{proof}");
        (proof["not_booked_yet"] == 0).then_some(proof)
    });
    let balances = tandem.run(&["ledger", "balance", "--json"]).json_lines();
    let trial_balance = tandem.run(&["ledger", "trial-balance", "--json"]).json_lines();
    (balances, trial_balance, ["entries", "calls", "root"].map(|key| proof[key].clone()))
}

/// Calls that the raters say they have rated.
fn rated(tandem: &Tandem, address: &str) -> u64 {
    let lines = health::lines(tandem, address);
    let raters = lines.iter().filter(|line| line["part"].as_str().is_some_and(|part| part.starts_with("Rater")));
    let count = |line: &Value| {
        let detail = line["detail"].as_str().expect("text");
        let (number, _) = detail.split_once(" calls rated").unwrap_or_else(|| panic!("{line}"));
        number.parse::<u64>().expect("a count")
    };
    raters.map(count).sum()
}

fn hand_in(tandem: &Tandem, copies: &mut u64) {
    let file = tandem.home().join(format!("{copies}.jsonl"));
    fs::write(&file, site::copy(*copies).join("\n") + "\n").expect("the home can be written");
    tandem.run(&["calls", "import", &file.display().to_string(), "--switch", SWITCH]).ok();
    *copies += 1;
}

/// No part of the process is in trouble any more, by itself.
fn booked(tandem: &Tandem, address: &str, when: &str) {
    eventually(when, PATIENCE, || health::all_good(tandem, address).then_some(()));
}
