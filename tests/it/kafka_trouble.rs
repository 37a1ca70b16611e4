//! Trouble on a real broker under the whole pipeline: two processes told that they own the same partitions, and a
//! broker that is away for 30 seconds. Figures are those of a quiet run, the console says what is wrong, and work goes
//! on by itself.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::site::{self, SWITCH};
use tests::{Browser, Figures, Kafka, Tandem, eventually, health};

use crate::console;

const PATIENCE: Duration = Duration::from_secs(90);
const AWAY: Duration = Duration::from_secs(30);

#[test]
fn rival_raters_and_a_broker_away_for_30_seconds_change_no_figure() {
    let mut kafka = Kafka::start();
    let start = |role: &str| {
        let mut tandem = Tandem::new().env("TANDEM_KAFKA", &kafka.bootstrap());
        let address = tandem.start_listening(&[role, "--listen", "127.0.0.1:0"]);
        (tandem, address)
    };
    let (mut up, address) = start("up");
    site::apply(&up);
    let (mut rival, rival_address) = start("rater");
    let mut copies = 0;
    let both = eventually("both raters say that they are two", PATIENCE, || {
        hand_in(&up, &mut copies);
        std::thread::sleep(Duration::from_secs(1));
        let both = [health::lines(&up, &address), health::lines(&rival, &rival_address)];
        let words = "two raters own partition 0";
        let told = |lines: &Vec<Value>| lines.iter().any(|line| line["detail"].to_string().contains(words));
        if both.iter().all(told) { Some(both) } else { None }
    });
    for lines in both {
        let line = lines.iter().find(|line| line["part"] == "Rater 0").expect("a line for the rater");
        assert!(line["state"] == "bad" && line["advice"].to_string().contains("stop one of them"), "{line}");
        println!("{line}");
    }
    let browser = Browser::start(1280, 900);
    console::enter(&browser, &address, &up);
    console::told(&browser, "two raters own partition 0", "stop one of them");
    console::fits(&browser, "two-raters-1280", 1280);
    for _ in 0..4 {
        hand_in(&up, &mut copies);
        std::thread::sleep(Duration::from_secs(2));
    }
    rival.kill();

    kafka.kill();
    hand_in(&up, &mut copies);
    eventually("the console says that the broker is away", PATIENCE, || {
        let bus = health::part(&up, &address, "Bus");
        bus["detail"].to_string().contains("the broker is away").then_some(())
    });
    console::told(&browser, "the broker is away", "bring the broker back");
    browser.resize(390, 844);
    console::fits(&browser, "broker-away-390", 390);
    std::thread::sleep(AWAY);
    hand_in(&up, &mut copies);
    kafka.restart();
    hand_in(&up, &mut copies);
    eventually("all is well again", PATIENCE, || health::all_good(&up, &address).then_some(()));
    eventually("the page is calm again, without a click", PATIENCE, || {
        browser.find_all("#troubles section").is_empty().then_some(())
    });
    let records = copies * site::lines().len() as u64;
    assert_eq!(site::import(&up, copies), [records, 0, records, 0], "read, accepted, repeated, rejected");
    let figures = Figures::of(&up, &up);
    up.stop();
    assert_eq!(figures, site::quiet_run(copies), "the trouble came to other figures");
}

fn hand_in(tandem: &Tandem, copies: &mut u64) {
    let file = tandem.home().join(format!("{copies}.jsonl"));
    fs::write(&file, site::copy(*copies).join("\n") + "\n").expect("the home can be written");
    tandem.run(&["calls", "import", &file.display().to_string(), "--switch", SWITCH]).ok();
    *copies += 1;
}
