//! The same site over a real Kafka broker and a real Schema Registry, each role a process of its own with a data
//! folder of its own, each dying at each of its failpoints and the engine five times, while records come: the same
//! figures and the same state root as in one process on the embedded log. And a stranger with a plain consumer and a
//! plain Avro library reads the topics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use bus::failpoint::{INGEST, LEDGER, LOADER, RATER};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;
use tests::deaths::{Dice, arm, by_signal, died, kill_engine, rounds};
use tests::site::{self, BUY, SELL, SWITCH, amount};
use tests::{Figures, Kafka, SchemaRegistry, Tandem, eventually, http};

const PATIENCE: Duration = Duration::from_secs(120);
/// From the failpoint's abort to the end of the process, on a busy machine.
const DYING: Duration = Duration::from_secs(20);

#[test]
fn roles_on_kafka_dying_at_every_failpoint_come_to_the_embedded_figures() {
    let mut dice = Dice::new();
    let (kafka, registry) = (Kafka::start(), SchemaRegistry::start());
    let mut roles = Roles::start(&kafka, &registry);
    site::apply(&roles.ingest.tandem);
    for role in roles.all() {
        role.await_configuration();
    }
    let mut copies = 0;
    let mut engines = by_signal();
    for role in roles.all_mut() {
        role.die_next(&mut dice);
    }
    let begun = Instant::now();
    while roles.all().iter().any(|role| !role.deaths.is_empty()) || engines > 0 {
        roles.hand_in(copies, &mut dice);
        copies += 1;
        roles.revive(&mut dice);
        if engines > 0 && roles.loader.is_listening() {
            kill_engine(roles.loader.tandem.server().id());
            engines -= 1;
        }
        assert!(
            begun.elapsed() < PATIENCE * (5 * rounds() as u32),
            "after {copies} copies alive: {:?}",
            roles.all().map(Role::next)
        );
    }
    println!("{copies} copies, {:?}", begun.elapsed());
    let figures = Figures::of(&roles.ledger.tandem, &roles.loader.tandem);
    assert_eq!(figures, site::quiet_run(copies), "the killed roles on Kafka came to other figures");
    let (sell, buy) = site::sums();
    let (sell, buy) = (sell * i128::from(copies), buy * i128::from(copies));
    a_stranger_reads_the_topics(&kafka, &registry, copies, sell, buy);
}

/// One role in one process.
struct Role {
    name: &'static str,
    tandem: Tandem,
    /// Failpoints at which it has still to die, the next one last.
    deaths: Vec<&'static str>,
}

impl Role {
    fn start(name: &'static str, points: &[&'static str], kafka: &Kafka, registry: &SchemaRegistry) -> Role {
        let tandem = Tandem::new().env("TANDEM_KAFKA", &kafka.bootstrap());
        let deaths = (0..rounds()).flat_map(|_| points.iter().rev().copied()).collect();
        let mut role = Role { name, tandem: tandem.env("TANDEM_SCHEMA_REGISTRY", &registry.url()), deaths };
        role.restart();
        role
    }

    fn restart(&mut self) {
        self.tandem.start_listening(&[self.name, "--listen", "127.0.0.1:0"]);
    }

    fn next(&self) -> Option<&&'static str> {
        self.deaths.last()
    }

    /// Starts it anew, so that it dies at the next of its failpoints; with none left it lives on.
    fn die_next(&mut self, dice: &mut Dice) {
        match self.deaths.last() {
            Some(point) => {
                arm(&mut self.tandem, &[self.name, "--listen", "127.0.0.1:0"], point, 1 + dice.below(2));
            }
            None => self.restart(),
        }
    }

    fn revive(&mut self, dice: &mut Dice) {
        match self.deaths.last() {
            Some(point) if died(&mut self.tandem, point) => {
                self.deaths.pop();
                self.die_next(dice);
            }
            Some(_) => {}
            None => {
                assert!(self.tandem.server().try_wait().is_none(), "{} has ended by itself", self.name);
            }
        }
    }

    fn is_listening(&mut self) -> bool {
        let server = self.tandem.server();
        server.try_wait().is_none() && server.log().contains("http://")
    }

    /// Records that come before the rules are judged without them; so wait until each role has them.
    fn await_configuration(&self) {
        eventually(&format!("{} has the configuration", self.name), PATIENCE, || {
            let versions = self.tandem.run(&["config", "history", "--json"]).json_lines();
            (versions.len() == 1).then_some(())
        });
    }
}

struct Roles {
    ingest: Role,
    rater: Role,
    ledger: Role,
    loader: Role,
}

impl Roles {
    fn start(kafka: &Kafka, registry: &SchemaRegistry) -> Roles {
        let role = |name, points: &[&'static str; 5]| Role::start(name, points, kafka, registry);
        Roles {
            ingest: role("ingest", &INGEST),
            rater: role("rater", &RATER),
            ledger: role("ledger", &LEDGER),
            loader: role("loader", &LOADER),
        }
    }

    fn all(&self) -> [&Role; 4] {
        [&self.ingest, &self.rater, &self.ledger, &self.loader]
    }

    fn all_mut(&mut self) -> [&mut Role; 4] {
        [&mut self.ingest, &mut self.rater, &mut self.ledger, &mut self.loader]
    }

    /// Whoever has died comes back, to die at its next failpoint.
    fn revive(&mut self, dice: &mut Dice) {
        for role in self.all_mut() {
            role.revive(dice);
        }
    }

    /// Hands a copy in. A file that ingest dies over is handed in again, until a command says that all is well; the
    /// other roles die and come back meanwhile.
    fn hand_in(&mut self, copy: u64, dice: &mut Dice) {
        let file = self.ingest.tandem.home().join(format!("{copy}.jsonl"));
        fs::write(&file, site::copy(copy).join("\n") + "\n").expect("the home can be written");
        let file = file.display().to_string();
        eventually("the copy is taken", PATIENCE, || {
            self.revive(dice);
            if !self.ingest.is_listening() {
                return None;
            }
            let ran = self.ingest.tandem.run(&["calls", "import", &file, "--switch", SWITCH]);
            if ran.code == Some(0) {
                return Some(());
            }
            // Ingest that died, before the command or under it, is the only reason why it may fail. Its sockets close
            // a moment before it is gone.
            println!("the import failed: {ran:?}");
            eventually("ingest, under which the import failed, has died", DYING, || {
                self.ingest.tandem.server().try_wait().map(drop)
            });
            None
        });
    }
}

/// Only librdkafka, the registry's HTTP API and apache-avro: nothing of Tandem's.
fn a_stranger_reads_the_topics(kafka: &Kafka, registry: &SchemaRegistry, copies: u64, sell: i128, buy: i128) {
    let stranger = Stranger::new(kafka, registry);
    let (mut kinds, mut keys) = (BTreeMap::new(), BTreeSet::new());
    for (key, name, value) in stranger.read("call-events") {
        *kinds.entry(name.clone()).or_insert(0) += 1;
        if name == "tandem.CallEvent" {
            assert_eq!(text(field(&value, "switch")), SWITCH);
            assert_eq!(text(field(&value, "call_key")).as_bytes(), key, "the record's key is the call's");
            keys.insert(key);
        }
    }
    assert_eq!(keys.len() as u64, copies * site::lines().len() as u64, "calls on call-events: {kinds:?}");
    assert_eq!(kinds["tandem.Incarnation"], 2, "one in each partition: {kinds:?}");
    rated_calls(&stranger, copies, sell, buy);

    let item = stranger.latest("ledger-item.v4");
    let (mut epoch, mut seq, mut entries) = (0, 0, 0);
    let mut accounts: BTreeMap<(String, String), i128> = BTreeMap::new();
    for (_, name, value) in stranger.read("ledger.main") {
        match name.as_str() {
            "tandem.Fence" => epoch = epoch.max(long(field(&value, "epoch"))),
            "tandem.Frame" if long(field(&value, "epoch")) == epoch && long(field(&value, "seq")) == seq + 1 => {
                seq += 1;
                assert_eq!(bytes(field(&value, "item_schema")), schemas::ledger::ITEMS);
                entries += add_postings(&value, &item, &mut accounts);
            }
            // a frame of an owner that has been replaced, or one written twice: void by the stream's rule
            "tandem.Frame" | "tandem.Incarnation" => {}
            other => panic!("{other} on the ledger's topic"),
        }
    }
    assert!(epoch >= 2, "the ledger was killed, but owns its stream since epoch {epoch}");
    assert_eq!(accounts[&("receivable_unbilled".to_string(), SELL.to_string())], sell);
    assert_eq!(accounts[&("payable_unbilled".to_string(), BUY.to_string())], -buy);
    assert_eq!(accounts.values().sum::<i128>(), 0, "{accounts:?}");
    let charges = site::records().iter().map(|r| u64::from(r.sell != 0) + u64::from(r.buy != 0)).sum::<u64>();
    assert_eq!(entries, charges * copies);
}

/// The raters' streams, frame by frame by the stream's rule: every call once, and the sums of its sides.
fn rated_calls(stranger: &Stranger, copies: u64, sell: i128, buy: i128) {
    let item = stranger.latest("xdrs-item.v1");
    let reader = GenericDatumReader::builder(&item).build().expect("the schema is complete");
    let (mut calls, mut sums) = (BTreeSet::new(), BTreeMap::new());
    for stream in ["xdrs.main.0", "xdrs.main.1"] {
        let (mut epoch, mut seq) = (0, 0);
        for (_, name, value) in stranger.read(stream) {
            match name.as_str() {
                "tandem.Fence" => epoch = epoch.max(long(field(&value, "epoch"))),
                "tandem.Frame" if long(field(&value, "epoch")) == epoch && long(field(&value, "seq")) == seq + 1 => {
                    seq += 1;
                    assert_eq!(bytes(field(&value, "item_schema")), schemas::xdrs::ITEMS);
                    let mut rest = bytes(field(&value, "items"));
                    while !rest.is_empty() {
                        let value = reader.read_value(&mut rest).expect("an item");
                        let Avro::Record(fields) = field(&value, "item") else { panic!("no record: {value:?}") };
                        let Some((_, Avro::Array(xdrs))) = fields.iter().find(|(name, _)| name == "xdrs") else {
                            continue;
                        };
                        assert!(calls.insert(bytes(field(field(&value, "item"), "call_id")).to_vec()), "a call twice");
                        for xdr in xdrs {
                            assert_eq!(text(field(xdr, "currency")), "USD");
                            let side = text(field(xdr, "side")).to_owned();
                            *sums.entry(side).or_insert(0) += decimal(field(xdr, "amount"));
                        }
                    }
                }
                "tandem.Frame" | "tandem.Incarnation" => {}
                other => panic!("{other} on {stream}"),
            }
        }
    }
    assert_eq!(calls.len() as u64, copies * site::lines().len() as u64, "rated calls");
    assert_eq!(sums, BTreeMap::from([("sell".to_owned(), sell), ("buy".to_owned(), buy)]));
}

/// Adds the postings of a frame's entries; gives the number of entries.
fn add_postings(frame: &Avro, item: &Schema, sums: &mut BTreeMap<(String, String), i128>) -> u64 {
    let reader = GenericDatumReader::builder(item).build().expect("the schema is complete");
    let mut rest = bytes(field(frame, "items"));
    let mut entries = 0;
    while !rest.is_empty() {
        let value = reader.read_value(&mut rest).expect("an item");
        let Avro::Record(fields) = field(&value, "item") else { panic!("an item is a record: {value:?}") };
        let Some((_, Avro::Array(postings))) = fields.iter().find(|(name, _)| name == "postings") else { continue };
        entries += 1;
        for posting in postings {
            assert_eq!(text(field(posting, "currency")), "USD");
            let place = (text(field(posting, "gl")).to_string(), text(field(posting, "account")).to_string());
            *sums.entry(place).or_default() += decimal(field(posting, "amount"));
        }
    }
    entries
}

/// A consumer that knows nothing but Confluent's wire format.
struct Stranger {
    consumer: BaseConsumer,
    registry: String,
}

impl Stranger {
    fn new(kafka: &Kafka, registry: &SchemaRegistry) -> Stranger {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", "stranger");
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "error").set("check.crcs", "true");
        Stranger { consumer: config.create().expect("the settings fit"), registry: registry.url() }
    }

    /// All records of a topic: key, name of the schema, value.
    fn read(&self, topic: &str) -> Vec<(Vec<u8>, String, Avro)> {
        let limit = Duration::from_secs(10);
        let metadata = self.consumer.fetch_metadata(Some(topic), limit).expect("the broker answers");
        let mut partitions = TopicPartitionList::new();
        let mut left = 0;
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = self.consumer.fetch_watermarks(topic, partition.id(), limit).expect("the broker answers");
            assert!(high > low, "{topic}/{} is empty", partition.id());
            left += usize::try_from(high - low).expect("an end behind the begin");
            partitions.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("an offset");
        }
        self.consumer.assign(&partitions).expect("the partitions are there");
        let mut schemas: BTreeMap<u32, Schema> = BTreeMap::new();
        let mut found = Vec::with_capacity(left);
        while found.len() < left {
            let message = self.consumer.poll(limit).expect("a record within ten seconds").expect("a good record");
            let value = message.payload().expect("no record is empty");
            let (id, mut body) = split(value);
            let schema = schemas.entry(id).or_insert_with(|| self.schema(&format!("schemas/ids/{id}")));
            let reader = GenericDatumReader::builder(schema).build().expect("the schema is complete");
            let decoded = reader.read_value(&mut body).expect("the record fits its schema");
            assert!(body.is_empty(), "{} bytes behind the record", body.len());
            let name = schema.name().expect("records have names").fullname(None);
            found.push((message.key().unwrap_or_default().to_vec(), name, decoded));
        }
        found
    }

    fn latest(&self, subject: &str) -> Schema {
        self.schema(&format!("subjects/{subject}/versions/latest"))
    }

    fn schema(&self, path: &str) -> Schema {
        let answer = http::get(&format!("{}/{path}", self.registry)).expect("the registry answers");
        let json: Value = answer.json();
        let text = json["schema"].as_str().unwrap_or_else(|| panic!("no schema at {path}: {json}"));
        Schema::parse_str(text).expect("the registered schema is complete")
    }
}

/// Confluent's wire format: 0, the schema's id (u32, big endian), Avro.
fn split(record: &[u8]) -> (u32, &[u8]) {
    assert_eq!(record[0], 0, "the magic byte");
    (u32::from_be_bytes([record[1], record[2], record[3], record[4]]), &record[5..])
}

fn field<'a>(record: &'a Avro, name: &str) -> &'a Avro {
    let Avro::Record(fields) = record else { panic!("no record: {record:?}") };
    let found = fields.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name} in {record:?}"));
    match &found.1 {
        Avro::Union(_, inner) => inner,
        plain => plain,
    }
}

fn text(value: &Avro) -> &str {
    match value {
        Avro::String(text) | Avro::Enum(_, text) => text,
        other => panic!("no text: {other:?}"),
    }
}

fn long(value: &Avro) -> u64 {
    match value {
        Avro::Long(number) => u64::try_from(*number).expect("not negative"),
        other => panic!("no number: {other:?}"),
    }
}

fn bytes(value: &Avro) -> &[u8] {
    match value {
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => bytes,
        other => panic!("no bytes: {other:?}"),
    }
}

/// Two's complement, big endian, scale 12 as everywhere.
fn decimal(value: &Avro) -> i128 {
    let Avro::Decimal(decimal) = value else { panic!("no decimal: {value:?}") };
    let bytes = <Vec<u8>>::try_from(decimal).expect("a decimal has bytes");
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |sum: i128, byte| sum << 8 | i128::from(*byte))
}

#[test]
fn a_decimal_of_avro_is_an_amount() {
    let read = |bytes: &[u8]| decimal(&Avro::Decimal(apache_avro::Decimal::from(bytes)));
    assert_eq!([read(&[0xff]), read(&[0x01, 0x00]), read(&[0])], [-1, 256, 0]);
    assert_eq!(amount("-0.000000000001"), read(&[0xff, 0xff]));
}
