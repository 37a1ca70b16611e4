//! The plain topic of priced sides, as somebody reads it who has a consumer and an Avro library and nothing of ours:
//! every side is there, at least once, also after the process that writes it died between writing and noting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use bus::{Batch, Bus, EmbeddedBus, EmbeddedConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tests::deaths::{arm, died};
use tests::site::{self, BUY, SELL};
use tests::{Kafka, Tandem, eventually, http};

const TOPIC: &str = "priced-sides";
const DURABLE: &str = "xdr-out.durable";
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn outsiders_get_every_priced_side_at_least_once_from_the_embedded_log() {
    let mut tandem = Tandem::new();
    let up = ["up", "--no-engine", "--listen", "127.0.0.1:0", "--xdr-out", TOPIC];
    let expected = publish(&mut tandem, &up);
    tandem.stop();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(tandem.data().join("log"))).expect("the log is free again");
    let end = bus.end(TOPIC, 0).expect("the topic is there");
    let mut reader = bus.reader(TOPIC, 0, 0).expect("from its beginning");
    let (mut batch, mut records) = (Batch::new(), Vec::new());
    while reader.position() < end {
        reader.poll(&mut batch, 1 << 20, Duration::from_secs(5)).expect("records");
        records.extend(batch.iter().map(|record| (record.key.to_vec(), record.value.to_vec())));
    }
    complete(&records, expected);
}

#[test]
fn outsiders_get_every_priced_side_at_least_once_from_kafka() {
    let kafka = Kafka::start();
    let mut tandem = Tandem::new().env("TANDEM_KAFKA", &kafka.bootstrap()).env("TANDEM_XDR_OUT", TOPIC);
    let expected = publish(&mut tandem, &["xdr-out", "--listen", "127.0.0.1:0"]);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", "outsider").set("check.crcs", "true");
    let consumer: BaseConsumer = config.create().expect("the settings fit");
    let (_, high) = consumer.fetch_watermarks(TOPIC, 0, PATIENCE).expect("the broker answers");
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&place).expect("the partition is there");
    let records = (0..high).map(|_| {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("a good record");
        (message.key().unwrap_or_default().to_vec(), message.payload().unwrap_or_default().to_vec())
    });
    complete(&records.collect::<Vec<_>>(), expected);
    tandem.stop();
}

/// Imports the records, lets the writer die behind its first batch, starts it again and waits until it has written
/// everything: how many sides there are.
fn publish(tandem: &mut Tandem, writer: &[&str]) -> usize {
    site::apply(tandem);
    let file = site::file().display().to_string();
    tandem.run(&["calls", "import", &file, "--switch", site::SWITCH, "--wait", "--no-engine"]).ok();
    arm(tandem, writer, DURABLE, 1);
    eventually("it dies behind its first batch", PATIENCE, || died(tandem, DURABLE).then_some(()));

    let address = tandem.start_listening(writer);
    let token = std::fs::read_to_string(tandem.data().join("run/token")).expect("the token is there");
    // One sell side and one attempt each.
    let sides = site::records().len() * 2;
    let done = format!("{sides} records written since the start");
    eventually("everything is written", PATIENCE, || {
        let bearer = format!("Bearer {}", token.trim());
        let health = http::request("GET", &format!("{address}/health.json"), &[("authorization", &bearer)], None);
        health.expect("the process answers").body.contains(&done).then_some(())
    });
    sides
}

/// What a reader makes of it who keeps the last record of each key.
fn complete(records: &[(Vec<u8>, Vec<u8>)], expected: usize) {
    let text = schemas::ids::Schema::named("xdr-out.v1").expect("the schema has this name").text();
    let schema = Schema::parse_str(text).expect("the schema is complete");
    let reader = GenericDatumReader::builder(&schema).build().expect("the schema is complete");
    let mut last: BTreeMap<Vec<u8>, BTreeMap<String, Avro>> = BTreeMap::new();
    let mut revisions = BTreeSet::new();
    for (key, value) in records {
        assert_eq!(value[..5], [0, 0x54, 0x44, 0, 0x0e], "Confluent's prefix with the compiled-in id");
        let mut body = &value[5..];
        let Avro::Record(fields) = reader.read_value(&mut body).expect("the record fits its schema") else {
            panic!("no record")
        };
        assert!(body.is_empty(), "{} bytes behind the record", body.len());
        let fields: BTreeMap<String, Avro> = fields.into_iter().collect();
        assert_eq!(fields["xdr_id"], Avro::Fixed(16, key.clone()), "the key is the side's id");
        revisions.insert(format!("{:?}", fields["rev_id"]));
        last.insert(key.clone(), fields);
    }
    assert_eq!((last.len(), revisions.len()), (expected, expected), "sides, revisions");
    assert!(records.len() > expected, "what was written before the death was written again: at least once, not once");
    let sum = |account: &str| {
        let of = last.values().filter(|fields| fields["account"] == Avro::String(account.to_owned()));
        of.map(|fields| decimal(&fields["amount"])).sum::<i128>()
    };
    let (sell, buy) = site::sums();
    assert_eq!((sum(SELL), sum(BUY)), (sell, buy), "what was sold and bought");
}

/// Two's complement, big endian, scale 12.
fn decimal(value: &Avro) -> i128 {
    let Avro::Decimal(decimal) = value else { panic!("no decimal: {value:?}") };
    let bytes = <Vec<u8>>::try_from(decimal).expect("a decimal has bytes");
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |sum: i128, byte| sum << 8 | i128::from(*byte))
}
