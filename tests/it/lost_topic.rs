//! A broker that loses a topic under the whole pipeline, while it runs and while it is down: refused by name, never
//! begun again, said on the console and on stderr; and restored from a copy, work goes on to the undisturbed figures.

use std::fs;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tests::site::{self, SWITCH};
use tests::{Figures, Kafka, Tandem, eventually, health};

const PATIENCE: Duration = Duration::from_secs(90);
const ASK: Duration = Duration::from_secs(10);

#[test]
fn a_lost_topic_is_named_refused_and_goes_on_from_its_copy() {
    let kafka = Kafka::start();
    let mut up = Tandem::new().env("TANDEM_KAFKA", &kafka.bootstrap());
    let mut address = up.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    site::apply(&up);
    let mut copies = 0;
    for topic in ["call-events", "xdrs.main.0", "ledger.main"] {
        hand_in(&up, &mut copies);
        // Frozen, so that the copy is whole: what a mirror of the topic has.
        up.server().pause();
        let copy = TopicCopy::of(&kafka, topic);
        lose(&kafka, topic);
        up.server().resume();
        told(&mut up, &address, topic);
        let status = up.server().terminate(Duration::from_secs(30));
        assert_eq!(status.code(), Some(3), "the end of a process whose topic {topic} is lost");

        refused(&up, topic, "the brokers do not know it any more");
        assert!(!topics(&kafka).contains(&topic.to_owned()), "{topic} was begun again");
        copy.create(&kafka);
        refused(&up, topic, "is empty, but this machine has seen records in it");
        copy.write(&kafka);
        address = up.start_listening(&["up", "--listen", "127.0.0.1:0"]);
        eventually(&format!("all is well after {topic} has been restored"), PATIENCE, || {
            health::all_good(&up, &address).then_some(())
        });
    }
    hand_in(&up, &mut copies);
    let figures = Figures::of(&up, &up);
    up.stop();
    assert_eq!(figures, site::quiet_run(copies), "topics lost and restored came to other figures");
}

/// Console and stderr name the topic, since when, and what to do; nothing is taken, nothing begun again.
fn told(up: &mut Tandem, address: &str, topic: &str) {
    let words = format!("topic {topic} is lost");
    let line = eventually(&format!("the console says: {words}"), PATIENCE, || {
        let line = health::part(up, address, "Bus");
        line["detail"].to_string().contains(&words).then_some(line)
    });
    assert_eq!(line["state"], "bad", "{line}");
    assert!(line["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{line}");
    assert!(line["advice"].to_string().contains("restore what is lost from a copy"), "{line}");
    let told = eventually("stderr says so too", PATIENCE, || {
        let log = up.server().log();
        let told = log.lines().find(|line| line.starts_with("Bus since ") && line.contains(&words));
        told.map(str::to_owned)
    });
    println!("{told}");
    let ended = eventually("a role that needs the topic has ended", PATIENCE, || {
        let ended = |line: &serde_json::Value| line["part"] != "Bus" && line["detail"].to_string().contains(&words);
        health::lines(up, address).into_iter().find(ended)
    });
    println!("{ended}");
    if topic == "call-events" {
        let refused = up.run(&["calls", "import", &site::file().display().to_string(), "--switch", SWITCH]);
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(refused.stderr.contains(&words), "{refused:?}");
    }
}

fn refused(up: &Tandem, topic: &str, why: &str) {
    let refused = up.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let words = format!("topic {topic} is lost: ");
    assert!(refused.stderr.contains(&words) && refused.stderr.contains(why), "{refused:?}");
    assert!(refused.stderr.contains("restore it from a copy"), "{refused:?}");
}

fn hand_in(tandem: &Tandem, copies: &mut u64) {
    let file = tandem.home().join(format!("{copies}.jsonl"));
    fs::write(&file, site::copy(*copies).join("\n") + "\n").expect("the home can be written");
    tandem.run(&["calls", "import", &file.display().to_string(), "--switch", SWITCH, "--wait"]).ok();
    *copies += 1;
}

fn topics(kafka: &Kafka) -> Vec<String> {
    kafka.tool("TopicCommand", &["--list"]).lines().map(str::to_owned).collect()
}

fn lose(kafka: &Kafka, topic: &str) {
    kafka.delete_topic(topic);
    eventually(&format!("{topic} is gone"), PATIENCE, || (!topics(kafka).contains(&topic.to_owned())).then_some(()));
}

/// Key, value and time of a record.
type Copied = (Vec<u8>, Vec<u8>, i64);

/// What stood in a topic, partition by partition.
struct TopicCopy {
    topic: String,
    partitions: Vec<Vec<Copied>>,
}

impl TopicCopy {
    fn of(kafka: &Kafka, topic: &str) -> TopicCopy {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", "copy").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().expect("the settings fit");
        let metadata = consumer.fetch_metadata(Some(topic), ASK).expect("the broker answers");
        let mut partitions = Vec::new();
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ASK).expect("the broker answers");
            assert_eq!(low, 0, "{topic} has been trimmed");
            let mut from = TopicPartitionList::new();
            from.add_partition_offset(topic, partition.id(), Offset::Offset(0)).expect("an offset");
            consumer.assign(&from).expect("the partition is there");
            let mut records = Vec::new();
            while (records.len() as i64) < high {
                let message = consumer.poll(ASK).expect("a record in time").expect("a good record");
                let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
                assert_eq!(message.offset(), records.len() as i64, "offsets of {topic} have a gap");
                let time = message.timestamp().to_millis().expect("every record has a time");
                records.push((bytes(message.key()), bytes(message.payload()), time));
            }
            partitions.push(records);
        }
        TopicCopy { topic: topic.to_owned(), partitions }
    }

    /// An empty topic with the settings that Tandem gives its own.
    fn create(&self, kafka: &Kafka) {
        let partitions = self.partitions.len().to_string();
        let mut create = vec!["--create", "--topic", &self.topic, "--partitions", &partitions];
        for setting in ["retention.ms=-1", "retention.bytes=-1", "max.message.bytes=4194304"] {
            create.extend(["--config", setting]);
        }
        kafka.tool("TopicCommand", &create);
    }

    fn write(&self, kafka: &Kafka) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap()).set("enable.idempotence", "true");
        let producer: BaseProducer = config.create().expect("the settings fit");
        for (partition, records) in self.partitions.iter().enumerate() {
            for (key, value, time) in records {
                let record = BaseRecord::to(&self.topic).partition(partition as i32).timestamp(*time);
                producer.send(record.key(key).payload(value)).expect("the queue has room");
            }
        }
        producer.flush(ASK).expect("the broker takes the copy");
    }
}
