//! The Kafka bus against a real broker: the suite that every bus passes, and what only a broker can do to it:
//! die, hang, lose a topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Batch, Bus, BusError, BusHealth, KafkaBus, KafkaConfig, Record, TopicSpec};
use tempfile::TempDir;
use tests::{Kafka, eventually, night};

const RECORDS: u32 = 400;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn kafka_keeps_every_promise_of_the_bus() {
    let memory = TempDir::with_prefix("tandem-bus-").expect("a temporary folder");
    let open = || -> Arc<dyn Bus> { Arc::new(connect(Kafka::shared(), &memory)) };
    bus::conformance::run("conformance", &open);
}

#[test]
fn a_killed_broker_costs_time_and_no_record() {
    let mut kafka = Kafka::start();
    let away = Duration::from_secs(if night() { 30 } else { 8 });
    write_through(&mut kafka, |kafka, bus| {
        kafka.kill();
        let down = Instant::now();
        eventually("the bus says that the broker is away", PATIENCE, || match bus.health() {
            BusHealth::Away { .. } => Some(()),
            _ => None,
        });
        std::thread::sleep(away.saturating_sub(down.elapsed()));
        kafka.restart();
    });
}

#[test]
fn a_hanging_broker_costs_time_and_no_record() {
    let mut kafka = Kafka::start();
    write_through(&mut kafka, |kafka, _| {
        kafka.pause();
        std::thread::sleep(Duration::from_secs(5));
        kafka.resume();
    });
}

#[test]
fn a_lost_topic_is_refused_and_not_begun_again() {
    let kafka = Kafka::shared();
    let memory = TempDir::with_prefix("tandem-bus-").expect("a temporary folder");
    let spec = TopicSpec::events("lost", 1);
    let bus = connect(kafka, &memory);
    bus.ensure(&spec).expect("a new topic");
    bus.writer("lost").and_then(|mut writer| writer.append(0, &[record(b"1")])).expect("a record");
    kafka.delete_topic("lost");
    eventually("the topic is gone", PATIENCE, || {
        bus.partitions("lost").expect("the broker answers").is_none().then_some(())
    });

    let again = connect(kafka, &memory);
    refused(&again, &spec, "while it is gone");
    assert_eq!(again.partitions("lost").expect("the broker answers"), None, "the lost topic was begun again");
    let settings = ["retention.ms=-1", "max.message.bytes=4194304"].map(|setting| ["--config", setting]).concat();
    let create = [["--create", "--topic", "lost", "--partitions", "1"].to_vec(), settings].concat();
    kafka.tool("TopicCommand", &create);
    refused(&again, &spec, "when somebody made an empty one in its place");
}

fn refused(bus: &KafkaBus, spec: &TopicSpec, when: &str) {
    match bus.ensure(spec) {
        Err(BusError::TopicLost { topic, .. }) => assert_eq!(topic, spec.name),
        other => panic!("a lost topic is not refused {when}: {other:?}"),
    }
}

/// Writes numbered records while `trouble` happens; all must stand there once and in order.
fn write_through(kafka: &mut Kafka, trouble: impl FnOnce(&mut Kafka, &KafkaBus)) {
    let memory = TempDir::with_prefix("tandem-bus-").expect("a temporary folder");
    let bus = connect(kafka, &memory);
    bus.ensure(&TopicSpec::events("numbers", 1)).expect("a new topic");
    let mut writer = bus.writer("numbers").expect("a writer");
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            for number in 0..RECORDS {
                writer.append(0, &[record(&number.to_be_bytes())]).expect("the writer waits for the broker");
                std::thread::sleep(Duration::from_millis(5)); // two seconds without trouble: it falls into the middle
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        assert!(!writing.is_finished(), "all was written before the trouble began");
        trouble(kafka, &bus);
        writing.join().expect("the writer does not fail");
    });
    let found = numbers(&bus);
    assert_eq!(found, (0..RECORDS).collect::<Vec<_>>(), "records are lost, doubled or out of order");
    eventually("the bus is up again", PATIENCE, || (bus.health() == BusHealth::Up).then_some(()));
}

fn numbers(bus: &KafkaBus) -> Vec<u32> {
    let end = bus.end("numbers", 0).expect("the end");
    let mut reader = bus.reader("numbers", 0, 0).expect("a reader");
    let (mut batch, mut found) = (Batch::new(), Vec::new());
    eventually("everything is read", PATIENCE, || {
        reader.poll(&mut batch, 1 << 20, Duration::from_secs(1)).expect("a batch");
        found.extend(batch.iter().map(|record| u32::from_be_bytes(record.value.try_into().expect("four bytes"))));
        (reader.position() >= end).then_some(())
    });
    found
}

fn connect(kafka: &Kafka, memory: &TempDir) -> KafkaBus {
    let config = KafkaConfig { memory: Some(memory.path().to_path_buf()), ..KafkaConfig::new(kafka.bootstrap()) };
    KafkaBus::connect(config).expect("the settings fit")
}

fn record(value: &[u8]) -> Record<'_> {
    Record { key: b"key", value, timestamp_ms: 1_750_000_000_000 }
}
