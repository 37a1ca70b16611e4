//! Versions on the embedded log: who wrote them and why, how it was yesterday, and two who apply at once.

use super::*;
use crate::{EmbeddedBus, EmbeddedConfig};
use facts::config::Carrier;
use facts::deck::{DeckTerms, Price};
use facts::{Currency, Prefix};

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

#[test]
fn one_code_is_found_without_the_whole_deck_and_nothing_of_it_is_missed() {
    // Codes of one to nine digits, some with many rows: a code's rows then run over the cut between two chunks.
    let mut rows = Vec::new();
    for n in 0..9_000u64 {
        let digits = (n * 7_919 % 4_000_037).to_string();
        let prefix = Prefix::new(&digits[..digits.len().min(1 + n as usize % 9)]).unwrap();
        rows.push(Rate { valid_from: Some(n as i64), ..Rate::simple(prefix, "somewhere", 60, 1, Price(n as i64)) });
    }
    rows.sort_by_key(|rate| (rate.prefix, rate.valid_from));
    let chunks: Vec<_> = rows.chunks(500).map(|rows| ([0; 32], schemas::deck_rows::encode_chunk(rows))).collect();
    let address = |place: usize| [place as u8; 32];
    let root = DeckRoot {
        id: "az".into(),
        version: 1,
        terms: DeckTerms::new(Currency::new("USD").unwrap()),
        chunks: (0..chunks.len()).map(address).collect(),
        rows: rows.len() as u64,
        source: String::new(),
    };
    let mut config = Config::default();
    for (place, (_, rows)) in chunks.into_iter().enumerate() {
        config.apply(ConfigItem::DeckChunk { hash: address(place), rows });
    }
    assert_eq!(deck(&config, &root).unwrap().rates, rows);
    let split = rows.chunks(500).zip(rows.chunks(500).skip(1)).filter(|(a, b)| a[499].prefix == b[0].prefix).count();
    assert!(split > 1, "codes whose rows stand in two chunks: {split}");
    for code in rows
        .iter()
        .step_by(23)
        .map(|rate| rate.prefix)
        .chain(["", "99999", "40000000"].map(|p| Prefix::new(p).unwrap()))
    {
        let mut wanted: Vec<&Rate> =
            rows.iter().filter(|rate| rate.prefix == code.truncate(rate.prefix.len())).collect();
        wanted.sort_by_key(|rate| std::cmp::Reverse(rate.prefix.len()));
        let found = rates_covering(&config, &root, code).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{code}");
        let mut page = Vec::new();
        rates_from(&config, &root, code, &mut |rate| {
            page.push(rate);
            page.len() < 700
        })
        .unwrap();
        let wanted: Vec<&Rate> = rows.iter().filter(|rate| rate.prefix >= code).take(700).collect();
        assert_eq!(page.iter().collect::<Vec<_>>(), wanted, "from {code} on");
    }
}

#[test]
fn a_site_that_takes_the_configuration_over_is_above_all_that_the_other_claimed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap();
    let ids = SchemaIds::default();
    let mut follower = ConfigFollower::open(&bus, &ids).unwrap();
    let author = |owner| Author { by: "ann", comment: "", owner, wall_micros: 5 };
    for _ in 0..3 {
        publish(&bus, &mut follower, &[], author("site main, pid 1")).unwrap();
    }
    let epoch = take_over(&bus, &mut follower, "site vienna, pid 2", 6).unwrap();
    assert_eq!((epoch, follower.stream().owner().as_str()), (1 << 20, "site vienna, pid 2"));
    publish(&bus, &mut follower, &[], author("site vienna, pid 2")).unwrap();
    assert_eq!(follower.stream().epoch(), (1 << 20) + 1);
    assert_eq!(take_over(&bus, &mut follower, "site main, pid 3", 7).unwrap(), 2 << 20);
}
