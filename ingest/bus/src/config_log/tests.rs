//! Versions on the embedded log: who wrote them and why, how it was yesterday, and two who apply at once.

use super::*;
use crate::{EmbeddedBus, EmbeddedConfig};
use facts::config::Carrier;

fn carrier(id: &str, name: &str) -> ConfigItem {
    ConfigItem::Carrier(Carrier { id: id.into(), name: name.into(), contacts: Vec::new(), tax_id: None })
}

fn author<'a>(by: &'a str, comment: &'a str, wall_micros: i64) -> Author<'a> {
    Author { by, comment, owner: "test", wall_micros }
}

#[test]
fn every_version_says_who_and_why_and_yesterdays_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap();
    let ids = SchemaIds::default();
    let mut follower = ConfigFollower::open(&bus, &ids).unwrap();
    let first = publish(&bus, &mut follower, &[carrier("acme", "Acme")], author("anna", "start", 1_000)).unwrap();
    // The machine's clock was set back: booking times rise all the same.
    let second = publish(&bus, &mut follower, &[carrier("acme", "Acme Ltd")], author("ben", "renamed", 500)).unwrap();

    let again = ConfigFollower::open(&bus, &ids).unwrap();
    assert_eq!(again.current(), follower.current());
    assert_eq!(again.current().carriers["acme"].name, "Acme Ltd");
    let told: Vec<_> = again.history().iter().map(|v| (v.seq, v.by.as_str(), v.comment.as_str(), v.items)).collect();
    assert_eq!(told, [(first, "anna", "start", 1), (second, "ben", "renamed", 1)]);
    assert!(again.history()[0].booked_at < again.history()[1].booked_at);
    let yesterday = ConfigFollower::open_until(&bus, &ids, first).unwrap().current();
    assert_eq!((yesterday.seq, yesterday.carriers["acme"].name.as_str()), (first, "Acme"));
}

#[test]
fn who_applies_on_top_of_what_is_no_longer_in_force_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap();
    let ids = SchemaIds::default();
    let (mut anna, mut ben) = (ConfigFollower::open(&bus, &ids).unwrap(), ConfigFollower::open(&bus, &ids).unwrap());
    publish(&bus, &mut anna, &[carrier("acme", "Anna's")], author("anna", "", 1)).unwrap();
    let lost = publish(&bus, &mut ben, &[carrier("acme", "Ben's")], author("ben", "", 2));
    assert!(matches!(lost, Err(ConfigError::Meanwhile)), "{lost:?}");
    assert_eq!(ben.current().carriers["acme"].name, "Anna's", "he sees now what he did not know");
    publish(&bus, &mut ben, &[carrier("acme", "Ben's")], author("ben", "", 3)).unwrap();
    assert!(anna.poll(Duration::from_secs(5)).unwrap());
    assert_eq!(anna.current().carriers["acme"].name, "Ben's");
}
