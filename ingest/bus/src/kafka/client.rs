//! What all Kafka clients of ours have in common: their settings, the record of whether the brokers answer, the names
//! we give to librdkafka's errors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::KafkaConfig;
use crate::api::BusHealth;
use crate::error::BusError;

/// Properties that exactly-once rests on, and their values here.
const OURS: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("request.required.acks", "all"),
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("allow.auto.create.topics", "false"),
    ("message.timeout.ms", "0"),
    ("delivery.timeout.ms", "0"),
    ("transactional.id", ""),
    ("group.protocol", "classic"),
];
/// Largest message batch: the largest record and its header.
pub const MAX_MESSAGE_BYTES: &str = "4194304";
/// Log lines and errors taken in at once.
const EVENTS: usize = 64;
/// How often the brokers are asked whether they are there.
const PROBE: Duration = Duration::from_secs(2);
/// Topics that are asked for at one probe.
const PROBED: usize = 8;

/// State shared by all clients of one bus.
#[derive(Debug, Default)]
pub struct Shared {
    stopped: AtomicBool,
    away: Mutex<Option<(SystemTime, String)>>,
    /// Why a connection failed last: refused, not let in, not trusted.
    failing: Mutex<Option<String>>,
    /// Topics that are lost, with when that was noticed and why; in the order in which it was.
    lost: Mutex<Vec<(String, SystemTime, String)>>,
    stop_signal: Condvar,
    /// Whether there is one in `lost`: looked at on the hot path.
    any_lost: AtomicBool,
    /// Topics in use: asked for when probing, so that the question is small and a lost one is noticed soon.
    watched: Mutex<Vec<String>>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn check_stop(&self) -> Result<(), BusError> {
        if self.stopped.load(Ordering::Acquire) { Err(BusError::Stopped) } else { Ok(()) }
    }
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.stop_signal.notify_all();
    }
    /// A connection has failed, for this reason: the best there is to say while no broker answers.
    fn note_failing(&self, why: &str) {
        *lock(&self.failing) = Some(why.to_owned());
        if let Some((_, said)) = lock(&self.away).as_mut() {
            why.clone_into(said);
        }
    }
    /// The brokers do not answer.
    pub fn note_away(&self, why: &str) {
        let failing = lock(&self.failing).clone();
        let why = failing.as_deref().unwrap_or(why);
        let mut away = lock(&self.away);
        if away.is_none() {
            tracing::warn!(why, "kafka is away");
            *away = Some((SystemTime::now(), why.to_owned()));
        }
    }
    /// They do.
    pub fn note_back(&self) {
        *lock(&self.failing) = None;
        if let Some((since, _)) = lock(&self.away).take() {
            let seconds = since.elapsed().map_or(0, |d| d.as_secs());
            tracing::info!(seconds, "kafka is back");
        }
    }
    /// A topic is lost: that needs a person.
    pub fn note_lost(&self, error: &BusError) {
        let BusError::TopicLost { topic, reason } = error else { return };
        let mut lost = lock(&self.lost);
        if lost.iter().all(|(known, ..)| known != topic) {
            tracing::error!(topic, reason, "a topic is lost");
            lost.push((topic.clone(), SystemTime::now(), reason.clone()));
            self.any_lost.store(true, Ordering::Release);
        }
    }
    /// Refuses a topic that is known to be lost: librdkafka itself waits half a minute before it says so.
    pub fn check_lost(&self, topic: &str) -> Result<(), BusError> {
        if !self.any_lost.load(Ordering::Acquire) {
            return Ok(());
        }
        match lock(&self.lost).iter().find(|(name, ..)| name == topic) {
            Some((_, _, reason)) => Err(BusError::TopicLost { topic: topic.to_owned(), reason: reason.clone() }),
            None => Ok(()),
        }
    }
    /// From now on the probe looks after this topic.
    pub fn watch(&self, topic: &str) {
        let mut watched = lock(&self.watched);
        if watched.iter().all(|known| known != topic) {
            watched.push(topic.to_owned());
        }
    }
    pub fn health(&self) -> BusHealth {
        let lost = lock(&self.lost);
        if let Some((_, since, _)) = lost.first() {
            let all: Vec<_> = lost.iter().map(|(topic, _, why)| format!("topic {topic} is lost ({why})")).collect();
            let why = format!(
                "{}; nothing is begun again by itself: stop, restore what is lost from a copy with its first record, \
                 start again",
                all.join(", ")
            );
            return BusHealth::Failed { since: *since, why };
        }
        drop(lost);
        match lock(&self.away).clone() {
            Some((since, why)) => BusHealth::Away { since, why },
            None => BusHealth::Up,
        }
    }
}

/// Hears what librdkafka has to say.
#[derive(Debug, Clone)]
pub struct Watch(pub Arc<Shared>);

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            // "[thrd:localhost:9092/bootstrap]: localhost:9092/bootstrap: ...": who said it is of no use to people.
            self.0.note_failing(message.split_once("]: ").map_or(message, |(_, rest)| rest));
        }
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                // A broker that is away is told once, by `note_away`, not by every client again and again.
                tracing::warn!(facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            self.0.note_away(reason);
        } else {
            tracing::debug!(%error, reason, "librdkafka");
        }
    }
}

impl ConsumerContext for Watch {}

/// Settings of every client: theirs, ours over them.
fn base(config: &KafkaConfig) -> Result<ClientConfig, BusError> {
    let mut client = ClientConfig::new();
    client.set("client.id", "tandem").set("socket.keepalive.enable", "true");
    client
        .set("log.connection.close", "false")
        .set("reconnect.backoff.max.ms", "1000")
        .set("topic.metadata.refresh.interval.ms", "10000");
    for (name, value) in &config.properties {
        if let Some((_, ours)) = OURS.iter().find(|(reserved, ours)| name == reserved && value != ours) {
            return Err(BusError::Config {
                setting: format!("kafka property {name}"),
                reason: format!("it is always {ours:?} here: exactly-once rests on it; remove it"),
            });
        }
        let tls = name.starts_with("ssl.") || (name == "security.protocol" && value.to_lowercase().contains("ssl"));
        if tls && !cfg!(feature = "kafka-tls") {
            return Err(BusError::Config {
                setting: format!("kafka property {name}"),
                reason: "this build has no TLS to Kafka; build with the feature `kafka-tls`".to_owned(),
            });
        }
        client.set(name, value);
    }
    client.set("bootstrap.servers", &config.bootstrap).set("allow.auto.create.topics", "false");
    Ok(client)
}

/// A consumer; `fetching`: able to be assigned partitions.
pub fn consumer(config: &KafkaConfig, shared: &Arc<Shared>, fetching: bool) -> Result<BaseConsumer<Watch>, BusError> {
    let mut client = base(config)?;
    for (name, value) in [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("check.crcs", "true"),
        ("fetch.message.max.bytes", MAX_MESSAGE_BYTES),
        ("receive.message.max.bytes", "100000000"),
    ] {
        client.set(name, value);
    }
    if fetching {
        // librdkafka wants a group even for a plain assignment; nothing is ever committed to it.
        if !config.properties.contains_key("group.id") {
            client.set("group.id", "tandem");
        }
        for (name, value) in [
            ("fetch.min.bytes", "1"),
            ("fetch.wait.max.ms", "50"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.error.backoff.ms", "100"),
            ("queued.max.messages.kbytes", "32768"),
        ] {
            if !config.properties.contains_key(name) {
                client.set(name, value);
            }
        }
    }
    client.create_with_context(Watch(Arc::clone(shared))).map_err(|e| trouble("client settings", &e))
}

/// Settings of a producer whose acknowledgement means: all in-sync replicas have it, once.
pub fn producer_config(config: &KafkaConfig) -> Result<ClientConfig, BusError> {
    let mut client = base(config)?;
    for (name, value) in [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        // A record waits for its broker as long as it takes; the bounded queue is what stops the writer.
        ("message.timeout.ms", "0"),
        ("message.max.bytes", MAX_MESSAGE_BYTES),
    ] {
        client.set(name, value);
    }
    for (name, value) in [
        ("linger.ms", "0"),
        ("batch.size", "1000000"),
        ("queue.buffering.max.messages", "100000"),
        ("queue.buffering.max.kbytes", "65536"),
        ("compression.type", "none"),
    ] {
        if !config.properties.contains_key(name) {
            client.set(name, value);
        }
    }
    Ok(client)
}

/// Settings of the administrating client.
pub fn admin_config(config: &KafkaConfig) -> Result<ClientConfig, BusError> {
    base(config)
}

/// What librdkafka has to say (why a connection failed) comes only to who polls. Nothing is assigned to this consumer,
/// so no record is taken.
fn listen(asking: &BaseConsumer<Watch>) {
    for _ in 0..EVENTS {
        drop(asking.poll(Duration::ZERO));
    }
}

/// Asks the brokers now and then whether they are there and still have our topics, until the bus stops.
pub fn probe(asking: &BaseConsumer<Watch>, shared: &Shared) {
    let nothing = Mutex::new(());
    // Topics that the last look did not find; one look alone may have asked a broker that has just begun to serve.
    let mut missing: Vec<String> = Vec::new();
    let mut next = 0;
    while !shared.is_stopped() {
        let watched = lock(&shared.watched).clone();
        let turn = watched.iter().cycle().skip(next).take(watched.len().min(PROBED)).cloned();
        let mut asked: Vec<String> = turn.collect();
        next = (next + asked.len()) % watched.len().max(1);
        if asked.is_empty() {
            asked.push("tandem-probe".to_owned());
        }
        for topic in asked.iter().chain(&missing.clone()) {
            match asking.fetch_metadata(Some(topic), Duration::from_secs(3)) {
                Ok(metadata) => {
                    shared.note_back();
                    let found = metadata.topics().iter().find(|found| found.name() == topic);
                    let unknown = found.is_none_or(|f| f.error().is_some_and(|code| is_unknown_topic(code.into())));
                    let seen = missing.iter().position(|name| name == topic);
                    match (unknown && watched.contains(topic), seen) {
                        (false, None) => {}
                        (false, Some(at)) => drop(missing.remove(at)),
                        (true, None) => missing.push(topic.clone()),
                        (true, Some(_)) => shared.note_lost(&BusError::TopicLost {
                            topic: topic.clone(),
                            reason: "the brokers do not know it any more".to_owned(),
                        }),
                    }
                }
                Err(error) => {
                    listen(asking);
                    shared.note_away(&error.to_string());
                    break;
                }
            }
        }
        listen(asking);
        if !shared.is_stopped() {
            drop(shared.stop_signal.wait_timeout(lock(&nothing), PROBE));
        }
    }
}

/// True for what passes by itself.
pub fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::KafkaStorageError
            | Code::NotController
            | Code::PreferredLeaderNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
    )
}

/// True where the brokers say that there is no such topic (any more).
pub fn is_unknown_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// A library error in our words.
pub fn trouble(what: &str, error: &KafkaError) -> BusError {
    let (what, reason) = (what.to_owned(), error.to_string());
    match error.rdkafka_error_code() {
        Some(code) if is_passing(code) => BusError::Away { what, reason },
        _ => BusError::Kafka { what, reason },
    }
}
