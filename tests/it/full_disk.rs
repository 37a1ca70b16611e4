//! Disks that fill up under the running process, through the binary: the log's own and the reporting engine's. The
//! console says what is wrong, nothing is lost or damaged, and work goes on by itself once there is space.
//!
//! Needs root or sudo for the small disks (`tests::SmallDisk` says so where neither is there).

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tests::site::{self, SWITCH};
use tests::{Figures, SmallDisk, Tandem, eventually, health};

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
