//! Topics on Kafka: making them with the right settings, checking those that are there, telling a lost or replaced
//! topic from a new one, giving up old records.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use facts::stream::Incarnation;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, MAX_MESSAGE_BYTES, Watch, is_passing, is_unknown_topic, lock, trouble};
use super::{ASK, KafkaBus};
use crate::api::{PartitionInfo, Record, Retention, TopicInfo, TopicKind, TopicSpec};
use crate::error::BusError;
use crate::incarnation;

/// How long a new topic may take to be known everywhere.
const APPEARS: Duration = Duration::from_secs(30);

/// Number of partitions, `None` without the topic.
pub fn partitions(asking: &BaseConsumer<Watch>, topic: &str) -> Result<Option<u32>, BusError> {
    let what = || format!("asking for topic {topic}");
    let deadline = Instant::now() + ASK;
    loop {
        let metadata = asking.fetch_metadata(Some(topic), ASK).map_err(|e| trouble(&what(), &e))?;
        let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else { return Ok(None) };
        let passing = match found.error().map(Code::from) {
            None => {
                let leaderless = found.partitions().iter().any(|p| p.leader() < 0);
                if !found.partitions().is_empty() && !leaderless {
                    return Ok(Some(found.partitions().len() as u32));
                }
                Code::LeaderNotAvailable
            }
            Some(code) if is_unknown_topic(code) => return Ok(None),
            Some(code) if is_passing(code) => code,
            Some(code) => return Err(BusError::Kafka { what: what(), reason: code.to_string() }),
        };
        if Instant::now() > deadline {
            return Err(BusError::Away { what: what(), reason: passing.to_string() });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn ensure(bus: &KafkaBus, spec: &TopicSpec) -> Result<TopicInfo, BusError> {
    let remembered = remembered(bus, spec);
    let mut created = false;
    let mut found = partitions(&bus.asking, &spec.name)?;
    if found.is_none() {
        if !spec.known.is_empty() || remembered.iter().any(Option::is_some) {
            let reason = "the brokers do not know it any more".to_owned();
            let error = BusError::TopicLost { topic: spec.name.clone(), reason };
            bus.shared.note_lost(&error);
            return Err(error);
        }
        created = create(bus, spec)?;
        found = await_topic(bus, spec)?;
    }
    let mut differences = Vec::new();
    if found != Some(spec.partitions) {
        differences.push(format!("{} partitions, not {}", found.unwrap_or(0), spec.partitions));
    }
    if spec.kind != TopicKind::Foreign {
        differences.extend(setting_differences(bus, spec)?);
    }
    if !differences.is_empty() {
        return Err(BusError::Mismatch { topic: spec.name.clone(), differences: differences.join("; ") });
    }
    bus.shared.watch(&spec.name);
    let bounds = (0..spec.partitions).map(|p| bus.watermarks(&spec.name, p)).collect::<Result<Vec<_>, _>>()?;
    let mut info = TopicInfo { created, partitions: Vec::new() };
    if spec.kind == TopicKind::Foreign {
        info.partitions =
            bounds.iter().map(|(begin, end)| PartitionInfo { incarnation: None, begin: *begin, end: *end }).collect();
        return Ok(info);
    }
    let found = incarnations(bus, spec, &bounds, &remembered)?;
    let checked = check_identity(spec, &found, &remembered);
    checked.inspect_err(|error| bus.shared.note_lost(error))?;
    remember(bus, spec, &found)?;
    for (partition, incarnation) in found.iter().enumerate() {
        let (begin, end) = bus.watermarks(&spec.name, partition as u32)?;
        info.partitions.push(PartitionInfo { incarnation: Some(*incarnation), begin, end });
    }
    Ok(info)
}

fn check_identity(spec: &TopicSpec, found: &[Incarnation], remembered: &[Option<Incarnation>]) -> Result<(), BusError> {
    crate::api::check_known(spec, found)?;
    for (partition, (found, before)) in found.iter().zip(remembered).enumerate() {
        if let Some(before) = before
            && before != found
        {
            let reason = format!("partition {partition} is incarnation {found}, this machine knows {before}");
            return Err(BusError::TopicLost { topic: spec.name.clone(), reason });
        }
    }
    Ok(())
}

pub fn memory_name(topic: &str, partition: u32) -> String {
    format!("{topic}/{partition}")
}

fn remembered(bus: &KafkaBus, spec: &TopicSpec) -> Vec<Option<Incarnation>> {
    let known = lock(&bus.known);
    (0..spec.partitions)
        .map(|p| {
            let name = memory_name(&spec.name, p);
            known.0.iter().find(|(known, _)| *known == name).map(|(_, incarnation)| *incarnation)
        })
        .collect()
}

fn remember(bus: &KafkaBus, spec: &TopicSpec, found: &[Incarnation]) -> Result<(), BusError> {
    let mut known = lock(&bus.known);
    let before = known.0.len();
    for (partition, incarnation) in found.iter().enumerate() {
        let name = memory_name(&spec.name, partition as u32);
        if !known.0.iter().any(|(known, _)| *known == name) {
            known.0.push((name, *incarnation));
        }
    }
    let Some(folder) = bus.config.memory.as_ref().filter(|_| known.0.len() > before) else { return Ok(()) };
    let written = known.write(&folder.join("kafka-topics"));
    if written.is_err() {
        known.0.truncate(before);
    }
    written
}

/// Makes the topic; false when another was faster.
fn create(bus: &KafkaBus, spec: &TopicSpec) -> Result<bool, BusError> {
    let what = format!("creating topic {}", spec.name);
    let brokers = bus.asking.fetch_metadata(Some(&spec.name), ASK).map_err(|e| trouble(&what, &e))?.brokers().len();
    let replicas = i32::from(bus.config.replication.unwrap_or(brokers.clamp(1, 3) as u16));
    let retention = retention_ms(spec.retention);
    let topic = NewTopic::new(&spec.name, spec.partitions as i32, TopicReplication::Fixed(replicas))
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention)
        .set("retention.bytes", "-1")
        .set("max.message.bytes", MAX_MESSAGE_BYTES)
        .set("message.timestamp.type", "CreateTime")
        .set("unclean.leader.election.enable", "false")
        .set("min.insync.replicas", if replicas >= 3 { "2" } else { "1" });
    let admin = admin(bus)?;
    let results = block_on(admin.create_topics([&topic], &options())).map_err(|e| trouble(&what, &e))?;
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(true),
        Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) if is_passing(code) => Err(BusError::Away { what, reason: code.to_string() }),
        Some(Err((_, code))) => Err(BusError::Kafka { what, reason: code.to_string() }),
        None => Err(BusError::Kafka { what, reason: "the broker did not answer the request".to_owned() }),
    }
}

fn await_topic(bus: &KafkaBus, spec: &TopicSpec) -> Result<Option<u32>, BusError> {
    let deadline = Instant::now() + APPEARS;
    loop {
        bus.shared.check_stop()?;
        match partitions(&bus.asking, &spec.name)? {
            Some(found) => return Ok(Some(found)),
            None if Instant::now() > deadline => {
                let what = format!("creating topic {}", spec.name);
                return Err(BusError::Away { what, reason: "it does not appear".to_owned() });
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Settings of an existing topic that would lose or refuse records.
fn setting_differences(bus: &KafkaBus, spec: &TopicSpec) -> Result<Vec<String>, BusError> {
    let what = format!("asking for the settings of {}", spec.name);
    let admin = admin(bus)?;
    let resource = ResourceSpecifier::Topic(&spec.name);
    let answer = block_on(admin.describe_configs([&resource], &options())).map_err(|e| trouble(&what, &e))?;
    let settings = match answer.into_iter().next() {
        Some(Ok(settings)) => settings,
        Some(Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
            tracing::warn!(topic = %spec.name, "not allowed to read the topic's settings; they are not checked");
            return Ok(Vec::new());
        }
        Some(Err(code)) if is_passing(code) => return Err(BusError::Away { what, reason: code.to_string() }),
        Some(Err(code)) => return Err(BusError::Kafka { what, reason: code.to_string() }),
        None => return Err(BusError::Kafka { what, reason: "no answer".to_owned() }),
    };
    let value = |name: &str| settings.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let number = |name: &str| value(name).parse::<i64>().ok();
    let mut differences = Vec::new();
    let mut differs = |name: &str, wanted: &str| differences.push(format!("{name} is {}, not {wanted}", value(name)));
    if value("cleanup.policy") != "delete" {
        differs("cleanup.policy", "delete");
    }
    let wanted = retention_ms(spec.retention);
    let keeps = number("retention.ms").unwrap_or(-1);
    if keeps >= 0 && wanted.parse::<i64>().is_ok_and(|wanted| wanted < 0 || keeps < wanted) {
        differs("retention.ms", &wanted);
    }
    if number("retention.bytes").is_some_and(|bytes| bytes >= 0) {
        differs("retention.bytes", "-1");
    }
    if number("max.message.bytes").zip(MAX_MESSAGE_BYTES.parse().ok()).is_some_and(|(has, wanted)| has < wanted) {
        differs("max.message.bytes", MAX_MESSAGE_BYTES);
    }
    if value("unclean.leader.election.enable") == "true" {
        differs("unclean.leader.election.enable", "false");
    }
    Ok(differences)
}

fn retention_ms(retention: Retention) -> String {
    match retention {
        Retention::Forever => "-1".to_owned(),
        Retention::Days(days) => (i64::from(days) * 86_400_000).to_string(),
    }
}

/// The incarnation of every partition: from its record at offset 0, which is written where the partition is empty;
/// from memory where that record has been trimmed away.
fn incarnations(
    bus: &KafkaBus,
    spec: &TopicSpec,
    bounds: &[(u64, u64)],
    remembered: &[Option<Incarnation>],
) -> Result<Vec<Incarnation>, BusError> {
    let empty: Vec<u32> = (0..spec.partitions).filter(|p| bounds[*p as usize] == (0, 0)).collect();
    if let Some(partition) = empty.iter().find(|p| remembered[**p as usize].is_some()) {
        let reason = format!("partition {partition} is empty, but this machine has seen records in it");
        let error = BusError::TopicLost { topic: spec.name.clone(), reason };
        bus.shared.note_lost(&error);
        return Err(error);
    }
    if !empty.is_empty() && spec.known.is_empty() {
        let ends = bounds.iter().map(|(_, end)| *end).collect();
        let mut writer = super::writer::KafkaWriter::new(&bus.config, &bus.shared, &spec.name, ends)?;
        for partition in &empty {
            let value = incarnation::encode(incarnation::fresh()?, bus.config.incarnation_schema_id);
            // The time decides on retention: now.
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let timestamp_ms = now.map_or(0, |d| d.as_millis() as i64);
            let record = Record { key: incarnation::KEY, value: &value, timestamp_ms };
            crate::api::Writer::append(&mut writer, *partition, &[record])?;
        }
    }
    let whole: Vec<u32> = (0..spec.partitions).filter(|p| bounds[*p as usize].0 == 0).collect();
    let first = first_records(bus, spec, &whole)?;
    (0..spec.partitions)
        .map(|p| match whole.iter().position(|w| *w == p) {
            Some(at) => first[at].ok_or_else(|| BusError::Mismatch {
                topic: spec.name.clone(),
                differences: format!("partition {p} does not begin with an incarnation record: not a topic of ours"),
            }),
            None => remembered[p as usize].or(spec.known.get(p as usize).copied()).ok_or_else(|| BusError::TopicLost {
                topic: spec.name.clone(),
                reason: format!("the begin of partition {p} has been given up and this machine does not know it"),
            }),
        })
        .collect()
}

/// Reads the records at offset 0 and what incarnation they are.
fn first_records(bus: &KafkaBus, spec: &TopicSpec, of: &[u32]) -> Result<Vec<Option<Incarnation>>, BusError> {
    let mut found = vec![None; of.len()];
    if of.is_empty() {
        return Ok(found);
    }
    let what = format!("reading the begin of {}", spec.name);
    let consumer = client::consumer(&bus.config, &bus.shared, true)?;
    let mut seen = 0;
    for (at, partition) in of.iter().enumerate() {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&spec.name, *partition as i32, Offset::Offset(0)).map_err(|e| trouble(&what, &e))?;
        consumer.assign(&list).map_err(|e| trouble(&what, &e))?;
        let deadline = Instant::now() + APPEARS;
        while seen <= at {
            bus.shared.check_stop()?;
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.partition() == *partition as i32 && message.offset() == 0 => {
                    let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
                    found[at] = incarnation::decode(key, value);
                    seen = at + 1;
                }
                Some(Err(error)) if !error.rdkafka_error_code().is_some_and(is_passing) => {
                    return Err(trouble(&what, &error));
                }
                _ if Instant::now() > deadline => {
                    return Err(BusError::Away { what, reason: "no answer in time".to_owned() });
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

pub fn trim(bus: &KafkaBus, topic: &str, partition: u32, before: u64) -> Result<u64, BusError> {
    let (begin, end) = bus.watermarks(topic, partition)?;
    let target = before.min(end);
    if target <= begin {
        return Ok(begin);
    }
    let what = format!("giving up records of {topic}/{partition}");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition as i32, Offset::Offset(target as i64))
        .map_err(|e| trouble(&what, &e))?;
    block_on(admin(bus)?.delete_records(&list, &options())).map_err(|e| trouble(&what, &e))?;
    Ok(bus.watermarks(topic, partition)?.0)
}

fn admin(bus: &KafkaBus) -> Result<AdminClient<DefaultClientContext>, BusError> {
    client::admin_config(&bus.config)?.create().map_err(|e| trouble("client settings", &e))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(APPEARS)).operation_timeout(Some(APPEARS))
}

/// Waits for one of rdkafka's futures, which its own thread completes.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
