//! The real parts start, serve, die and come back. When these fail, look here before anywhere else.

use std::time::Duration;

use serde_json::json;
use tests::{Browser, Kafka, SchemaRegistry, SmallDisk, cache, eventually, http};

#[test]
fn a_broker_keeps_its_topics_over_a_kill() {
    let mut kafka = Kafka::start();
    kafka.tool("TopicCommand", &["--create", "--topic", "kept", "--partitions", "3"]);
    kafka.kill();
    kafka.restart();
    let listed = kafka.tool("TopicCommand", &["--list"]);
    assert!(listed.lines().any(|topic| topic == "kept"), "the topic is gone after a restart: {listed:?}");
    kafka.delete_topic("kept");
    eventually("the topic is deleted", Duration::from_secs(20), || {
        let listed = kafka.tool("TopicCommand", &["--list"]);
        (!listed.lines().any(|topic| topic == "kept")).then_some(())
    });
}

#[test]
fn a_registry_hands_out_schema_ids() {
    let registry = SchemaRegistry::start();
    let schema = json!({"schema": json!({"type": "record", "name": "Probe", "fields": []}).to_string()});
    let made = http::post_json(&format!("{}/subjects/probe-value/versions", registry.url()), &schema);
    let made = made.expect("the registry answers");
    assert_eq!(made.status, 200, "{}", made.body);
    let id = made.json()["id"].as_u64().expect("a schema id");
    let read = http::get(&format!("{}/schemas/ids/{id}", registry.url())).expect("the registry answers");
    assert!(read.body.contains("Probe"), "{}", read.body);
}

#[test]
fn the_engine_has_been_fetched() {
    let size = std::fs::metadata(cache::engine()).expect("the engine can be looked at").len();
    assert!(size > 100 << 20, "the engine's library is only {size} bytes long: fetch it again");
}

#[test]
fn a_browser_clicks_types_and_takes_pictures() {
    let browser = Browser::start(1280, 800);
    browser.goto(
        "data:text/html,<title>probe</title><input id=n><button onclick=\"o.textContent='hello '+n.value\">go</button>\
         <p id=o></p><script>console.error('seen')</script>",
    );
    assert_eq!(browser.title(), "probe");
    browser.find("#n").type_text("carrier");
    browser.find("button").click();
    browser.await_text("hello carrier");
    assert_eq!(browser.find("#o").text(), "hello carrier");
    assert!(browser.errors().iter().any(|error| error.contains("seen")), "the page's errors are lost");
    browser.resize(390, 844);
    assert_eq!(browser.script("return window.innerWidth"), 390);
    let picture = browser.screenshot();
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes([picture[16], picture[17], picture[18], picture[19]]), 390);
}

#[test]
fn a_small_disk_fills_up_and_is_freed() {
    let disk = SmallDisk::mount(1 << 20);
    disk.fill(0);
    let full = std::fs::write(disk.path().join("one"), [7; 4096]);
    assert_eq!(full.expect_err("the disk is full").kind(), std::io::ErrorKind::StorageFull);
    disk.free();
    std::fs::write(disk.path().join("one"), [7; 4096]).expect("there is space again");
}
