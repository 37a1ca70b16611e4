//! Kafka as the bus (rdkafka): idempotent producers that wait for all replicas, consumers that are assigned and never
//! reset, topics made with the settings they need. No groups, no transactions (design 7.1), no `flush`. It never lets
//! a broker make a topic by itself and never begins a lost topic again.

mod admin;
mod client;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use schemas::{Schema, SchemaIds};

use crate::api::{Bus, BusHealth, Reader, TopicInfo, TopicSpec, Writer};
use crate::embedded::KnownTopics;
use crate::error::BusError;
use client::{Shared, Watch, trouble};

/// How long one question to the brokers may take.
const ASK: Duration = Duration::from_secs(10);

/// Settings of the Kafka bus.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port,...`
    pub bootstrap: String,
    /// Any librdkafka property (TLS, SASL, timeouts), handed through to every client. Those that correctness rests on
    /// are refused.
    pub properties: BTreeMap<String, String>,
    /// Replicas of topics we make; `None`: three, or as many as there are brokers.
    pub replication: Option<u16>,
    /// Folder in which the incarnations of topics are remembered, so that a lost topic is noticed. Without it only
    /// `TopicSpec::known` guards.
    pub memory: Option<PathBuf>,
    /// Schema id in front of incarnation records.
    pub incarnation_schema_id: u32,
}

impl KafkaConfig {
    pub fn new(bootstrap: impl Into<String>) -> KafkaConfig {
        KafkaConfig {
            bootstrap: bootstrap.into(),
            properties: BTreeMap::new(),
            replication: None,
            memory: None,
            incarnation_schema_id: SchemaIds::default().id(Schema::Incarnation),
        }
    }
}

/// The bus on a Kafka cluster.
pub struct KafkaBus {
    config: KafkaConfig,
    /// For questions (metadata, offsets); consumes nothing.
    asking: Arc<BaseConsumer<Watch>>,
    shared: Arc<Shared>,
    known: Mutex<KnownTopics>,
    probe: Option<std::thread::JoinHandle<()>>,
}

impl KafkaBus {
    /// Connects. Fails where the settings do not fit; a broker that is away is no failure here (see [`Bus::health`]).
    pub fn connect(config: KafkaConfig) -> Result<KafkaBus, BusError> {
        let known = match &config.memory {
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|e| BusError::io("cannot create folder", folder, e))?;
                KnownTopics::read(&folder.join("kafka-topics"))?
            }
            None => KnownTopics::default(),
        };
        let shared = Arc::new(Shared::default());
        let asking = client::consumer(&config, &shared, false)?;
        let asking = Arc::new(asking);
        let probe = std::thread::Builder::new()
            .name("kafka probe".to_owned())
            .spawn({
                let (asking, shared) = (Arc::clone(&asking), Arc::clone(&shared));
                move || client::probe(&asking, &shared)
            })
            .map_err(|e| BusError::Kafka { what: "probe thread".to_owned(), reason: e.to_string() })?;
        Ok(KafkaBus { config, asking, shared, known: Mutex::new(known), probe: Some(probe) })
    }

    /// The brokers do not know a topic: was it never there, or is it lost?
    fn gone(&self, topic: &str) -> BusError {
        let topic = topic.to_owned();
        if !client::lock(&self.known).0.iter().any(|(name, _)| *name == admin::memory_name(&topic, 0)) {
            return BusError::UnknownTopic { topic };
        }
        let error = BusError::TopicLost { topic, reason: "the brokers do not know it any more".to_owned() };
        self.shared.note_lost(&error);
        error
    }

    fn watermarks(&self, topic: &str, partition: u32) -> Result<(u64, u64), BusError> {
        let found = self.partitions(topic)?.ok_or_else(|| self.gone(topic))?;
        if partition >= found {
            return Err(BusError::UnknownPartition { topic: topic.to_owned(), partition, partitions: found });
        }
        let (low, high) = self
            .asking
            .fetch_watermarks(topic, partition as i32, ASK)
            .map_err(|e| trouble(&format!("asking for the offsets of {topic}/{partition}"), &e))?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }
}

impl Bus for KafkaBus {
    fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, BusError> {
        spec.check()?;
        self.shared.check_stop()?;
        admin::ensure(self, spec)
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, BusError> {
        admin::partitions(&self.asking, topic)
    }

    fn topics(&self) -> Result<Vec<String>, BusError> {
        let metadata = self.asking.fetch_metadata(None, ASK).map_err(|e| trouble("asking for the topics", &e))?;
        let mut names: Vec<_> =
            metadata.topics().iter().map(|t| t.name().to_owned()).filter(|n| !n.starts_with("__")).collect();
        names.sort();
        Ok(names)
    }

    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError> {
        self.shared.check_stop()?;
        let partitions = self.partitions(topic)?.ok_or_else(|| self.gone(topic))?;
        let mut ends = Vec::new();
        for partition in 0..partitions {
            ends.push(self.watermarks(topic, partition)?.1);
        }
        Ok(Box::new(writer::KafkaWriter::new(&self.config, &self.shared, topic, ends)?))
    }

    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError> {
        self.shared.check_stop()?;
        let (begin, end) = self.watermarks(topic, partition)?;
        if from < begin || from > end {
            return Err(BusError::OffsetOutOfRange { topic: topic.to_owned(), partition, asked: from, begin, end });
        }
        Ok(Box::new(reader::KafkaReader::new(&self.config, &self.shared, &self.asking, (topic, partition), from)?))
    }

    fn end(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        Ok(self.watermarks(topic, partition)?.1)
    }

    fn begin(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        Ok(self.watermarks(topic, partition)?.0)
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<u64, BusError> {
        admin::trim(self, topic, partition, before)
    }

    fn health(&self) -> BusHealth {
        self.shared.health()
    }

    fn stop(&self) {
        self.shared.stop();
    }
}

impl Drop for KafkaBus {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(probe) = self.probe.take() {
            // It holds nothing that its panic could have spoilt.
            let _ = probe.join();
        }
    }
}
