//! The bus as the roles of this site get it: streams of other sites can be read and never written. Only the copying
//! between sites writes them, and it has the bus itself.

use bus::{Bus, BusError, BusHealth, Reader, TopicInfo, TopicSpec, Writer};
use std::sync::Arc;

/// A bus on which other sites' streams are not to be written.
pub struct GuardedBus {
    bus: Arc<dyn Bus>,
    /// Names of the other sites.
    peers: Vec<String>,
}

impl GuardedBus {
    pub fn new(bus: Arc<dyn Bus>, peers: Vec<String>) -> Self {
        Self { bus, peers }
    }
}

impl Bus for GuardedBus {
    fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, BusError> {
        self.bus.ensure(spec)
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, BusError> {
        self.bus.partitions(topic)
    }

    fn topics(&self) -> Result<Vec<String>, BusError> {
        self.bus.topics()
    }

    fn writer(&self, topic: &str) -> Result<Box<dyn Writer>, BusError> {
        match self.peers.iter().find(|peer| sites::belongs_to(peer, topic)) {
            Some(peer) => Err(BusError::Config {
                setting: format!("writer of {topic}"),
                reason: format!("it is a copy of site {peer}'s and is written there alone"),
            }),
            None => self.bus.writer(topic),
        }
    }

    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError> {
        self.bus.reader(topic, partition, from)
    }

    fn end(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.bus.end(topic, partition)
    }

    fn begin(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.bus.begin(topic, partition)
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<u64, BusError> {
        self.bus.trim(topic, partition, before)
    }

    fn health(&self) -> BusHealth {
        self.bus.health()
    }

    fn stop(&self) {
        self.bus.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::{EmbeddedBus, EmbeddedConfig};

    #[test]
    fn no_role_of_this_site_can_write_another_sites_books() {
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap());
        let guarded = GuardedBus::new(bus.clone(), vec!["vienna".to_owned()]);
        for topic in ["ledger.vienna", "xdrs.vienna.0", "xdrs.vienna.run-1", "ledger.main", "config"] {
            guarded.ensure(&TopicSpec::frames(topic, 1)).unwrap();
        }
        for topic in ["ledger.vienna", "xdrs.vienna.0", "xdrs.vienna.run-1"] {
            let refused = guarded.writer(topic).err().unwrap().to_string();
            assert!(refused.contains("site vienna's"), "{refused}");
            assert!(bus.writer(topic).is_ok());
        }
        assert!(guarded.writer("ledger.main").is_ok() && guarded.writer("config").is_ok());
    }
}
