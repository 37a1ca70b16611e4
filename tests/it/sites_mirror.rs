//! Two sites on a Kafka each, whose frames are brought by MirrorMaker: the same books as by the sites' own exchange, also
//! when MirrorMaker is killed, and a person is told what is wrong where it brings nothing.

use std::time::Duration;

use tests::kafka::MirrorMaker;
use tests::pair::{self, Address};
use tests::{Kafka, Tandem, eventually, site};

use crate::sites::{equal_books, import, up};

const PATIENCE: Duration = Duration::from_secs(180);

/// Says to a site that its peer's frames come through MirrorMaker.
fn mirrored(site: &Tandem, peer: &str) {
    let path = site.data().join("tandem.toml");
    let text = std::fs::read_to_string(&path).expect("the settings can be read");
    let text = text.replace(
        &format!("certificate = \"{peer}.pem\"\n"),
        &format!("certificate = \"{peer}.pem\"\nmirror = \"{peer}.\"\n"),
    );
    assert!(text.contains("mirror = "), "{text}");
    std::fs::write(path, text).expect("the settings can be written");
}

fn topic_trouble(site: &Tandem, topic: &str) -> Option<String> {
    let status = pair::status(site);
    let topics = status["exchange"]["peers"][0]["topics"].as_array()?.clone();
    let found = topics.into_iter().find(|row| row["topic"] == topic)?;
    found["trouble"]["why"].as_str().map(str::to_owned)
}

#[test]
fn frames_that_mirror_maker_brought_come_to_the_same_books() {
    let brokers = [Kafka::start(), Kafka::start()];
    let sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], "partitions = 2");
    let mut sites: Vec<Tandem> =
        sites.into_iter().zip(&brokers).map(|(site, broker)| site.env("TANDEM_KAFKA", &broker.bootstrap())).collect();
    mirrored(&sites[0], "vienna");
    mirrored(&sites[1], "main");
    up(&mut sites);
    site::apply(&sites[0]);
    eventually("the configuration at vienna, which no mirror brings", PATIENCE, || {
        sites[1].run(&["config", "history", "--json"]).json_lines().first().map(drop)
    });
    import(&sites[0], 0);
    let why = eventually("vienna says what it waits for", PATIENCE, || topic_trouble(&sites[1], "ledger.main"));
    assert!(why.contains("no topic main.ledger.main") && why.contains("does MirrorMaker run"), "{why}");

    let mut maker = MirrorMaker::between(&[("main", &brokers[0]), ("vienna", &brokers[1])]);
    import(&sites[1], 1);
    equal_books(&[&sites[0], &sites[1]], 2);
    assert_eq!(topic_trouble(&sites[1], "ledger.main"), None);

    // Killed, it copies again what it had not noted; a site that is killed reads the mirror from where it was.
    import(&sites[0], 2);
    maker.kill();
    sites[1].kill();
    import(&sites[0], 3);
    sites[1].start_listening(&["up", "--listen", "127.0.0.1:0"]);
    maker.restart(&brokers[0]);
    equal_books(&[&sites[0], &sites[1]], 4);
    sites.iter_mut().for_each(Tandem::stop);
}

#[test]
fn a_mirror_is_refused_where_there_is_no_kafka() {
    let sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], "");
    mirrored(&sites[0], "vienna");
    let refused = sites[0].run(&["site", "status"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("peers.mirror") && refused.stderr.contains("embedded"), "{}", refused.stderr);
}
