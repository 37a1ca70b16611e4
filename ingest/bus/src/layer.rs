//! A bus in front of another one: it does some things in a way of its own and leaves the rest to the other.

use crate::api::{Bus, BusHealth, Reader, TopicInfo, TopicSpec, Writer};
use crate::error::BusError;

/// What a bus in front of another has to say: which one that is, and whatever it does not leave to it. Each method is
/// that of [`Bus`].
pub trait Layer: Send + Sync {
    /// The bus behind it.
    fn inner(&self) -> &dyn Bus;
    fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, BusError> {
        self.inner().ensure(spec)
    }
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BusError> {
        self.inner().partitions(topic)
    }
    fn topics(&self) -> Result<Vec<String>, BusError> {
        self.inner().topics()
    }
    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError> {
        self.inner().writer(topic)
    }
    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError> {
        self.inner().reader(topic, partition, from)
    }
    fn end(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.inner().end(topic, partition)
    }
    fn begin(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.inner().begin(topic, partition)
    }
    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<u64, BusError> {
        self.inner().trim(topic, partition, before)
    }
    fn health(&self) -> BusHealth {
        self.inner().health()
    }
    fn stop(&self) {
        self.inner().stop();
    }
}

impl<T: Layer> Bus for T {
    fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, BusError> {
        Layer::ensure(self, spec)
    }
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BusError> {
        Layer::partitions(self, topic)
    }
    fn topics(&self) -> Result<Vec<String>, BusError> {
        Layer::topics(self)
    }
    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError> {
        Layer::writer(self, topic)
    }
    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError> {
        Layer::reader(self, topic, partition, from)
    }
    fn end(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        Layer::end(self, topic, partition)
    }
    fn begin(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        Layer::begin(self, topic, partition)
    }
    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<u64, BusError> {
        Layer::trim(self, topic, partition, before)
    }
    fn health(&self) -> BusHealth {
        Layer::health(self)
    }
    fn stop(&self) {
        Layer::stop(self);
    }
}
