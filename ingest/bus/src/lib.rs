//! The bus: Kafka and the embedded frame log behind one interface, and the stream layer (fences and
//! frames) that makes consume, transform, produce exactly once on either. The only crate that may
//! name rdkafka. It knows no calls and no money.

pub mod api;
pub mod bench;
pub mod config_log;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
pub mod error;
pub mod failpoint;
#[cfg(any(test, feature = "conformance"))]
pub mod faults;
pub mod incarnation;
pub mod kafka;
mod layer;
pub mod partition;
pub mod run_log;
pub mod stream;

pub use api::{
    Appended, Batch, Bus, BusHealth, MAX_OPEN_TICKETS, MAX_RECORD_BYTES, MAX_SUBMIT_BYTES, PartitionInfo, Reader,
    Received, Record, Retention, Ticket, TopicInfo, TopicKind, TopicSpec, Writer,
};
pub use embedded::{EmbeddedBus, EmbeddedConfig, replace_file};
pub use error::BusError;
pub use kafka::{KafkaBus, KafkaConfig};
pub use layer::Layer;
pub use partition::{murmur2, murmur2_partition};
