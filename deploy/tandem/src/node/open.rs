//! Opens the bus that the settings name and makes sure of its topics. It starts no role.

use super::xdrs_stream;
use crate::output::{Failure, note};
use crate::settings::{BusKind, Settings};
use bus::{Bus, EmbeddedBus, EmbeddedConfig, KafkaBus, KafkaConfig};
use schemas::SchemaIds;
use std::path::Path;
use std::sync::Arc;

/// Opens the bus of the settings.
pub fn open_bus(settings: &Settings, ids: &SchemaIds) -> Result<Arc<dyn Bus>, Failure> {
    match settings.bus.kind {
        BusKind::Embedded => {
            let bus = embedded(&settings.data.join("log"), ids)?;
            for torn in bus.torn_tails() {
                note(&format!("a torn tail was cut off: {torn:?}"));
            }
            Ok(Arc::new(bus))
        }
        BusKind::Kafka => Ok(Arc::new(KafkaBus::connect(kafka_config(settings, ids)).map_err(Failure::broken)?)),
    }
}

/// Opens an embedded log.
pub fn embedded(folder: &Path, ids: &SchemaIds) -> Result<EmbeddedBus, Failure> {
    let mut config = EmbeddedConfig::new(folder);
    config.incarnation_schema_id = ids.id(schemas::Schema::Incarnation);
    EmbeddedBus::open(config).map_err(Failure::broken)
}

/// How the broker of the settings is reached.
pub fn kafka_config(settings: &Settings, ids: &SchemaIds) -> KafkaConfig {
    let bootstrap = settings.bus.kafka.get("bootstrap.servers").cloned().unwrap_or_default();
    let mut config = KafkaConfig::new(bootstrap);
    config.properties = settings.bus.kafka.clone();
    config.properties.remove("bootstrap.servers");
    config.replication = u16::try_from(settings.bus.replication).ok();
    config.memory = Some(settings.data.join("kafka-topics.json"));
    config.incarnation_schema_id = ids.id(schemas::Schema::Incarnation);
    config
}

/// Makes the topics that every process of the site expects.
pub(super) fn ensure_topics(bus: &dyn Bus, settings: &Settings) -> Result<(), Failure> {
    let ensure = |spec: bus::TopicSpec| bus.ensure(&spec).map(drop).map_err(Failure::broken);
    ensure(bus::TopicSpec::events(ingest::writer::TOPIC, settings.partitions))?;
    for partition in 0..settings.partitions as usize {
        ensure(bus::TopicSpec::frames(xdrs_stream(&settings.site, partition), 1))?;
    }
    ensure(bus::TopicSpec::frames(format!("ledger.{}", settings.site), 1))
}
