//! The bus as the roles of this site get it: streams of other sites can be read and never written. Only the copying
//! between sites writes them, and it has the bus itself.

use bus::{Bus, BusError, Layer, Writer};
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

impl Layer for GuardedBus {
    fn inner(&self) -> &dyn Bus {
        &*self.bus
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::{EmbeddedBus, EmbeddedConfig, TopicSpec};

    #[test]
    fn no_role_of_this_site_can_write_another_sites_books() {
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap());
        let guarded: &dyn Bus = &GuardedBus::new(bus.clone(), vec!["vienna".to_owned()]);
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
