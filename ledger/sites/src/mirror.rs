//! A peer's frames out of topics that MirrorMaker has brought into this site's own Kafka, under a prefix. They are read
//! as an answer of the peer would be and judged by the same rule; what MirrorMaker is, and what it left out, is never
//! trusted.

use crate::wire::Sent;
use bus::{Batch, Bus, BusError, Reader};
use schemas::SchemaIds;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Whether frames of a topic come through a mirror where there is one. Orders of runs and the configuration never do:
/// they are few, and must stand at the peer's offsets, or are written at more than one site.
pub(crate) fn carries(topic: &str) -> bool {
    topic.starts_with("ledger.") || topic.starts_with("xdrs.")
}

/// The mirrored topics of one peer.
pub(crate) struct Mirror {
    prefix: String,
    /// As the peer's registry has them: records come as they were written there.
    pub(crate) ids: SchemaIds,
    readers: HashMap<String, Box<dyn Reader>>,
    batch: Batch,
}

/// A record, as owned bytes.
pub(crate) struct Mirrored {
    offset: u64,
    timestamp_ms: i64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Mirrored {
    pub(crate) fn sent(&self) -> Sent<'_> {
        let Self { offset, timestamp_ms, key, value } = self;
        Sent { topic: 0, offset: *offset, timestamp_ms: *timestamp_ms, key, value }
    }
}

impl Mirror {
    pub(crate) fn new(prefix: &str) -> Self {
        let (ids, readers, batch) = Default::default();
        Self { prefix: prefix.to_owned(), ids, readers, batch }
    }

    /// Takes over the peer's schema ids; names of a newer release mean nothing here yet.
    pub(crate) fn learn(&mut self, given: BTreeMap<String, u32>) {
        let known = given.into_iter().filter(|(name, _)| schemas::Schema::named(name).is_some()).collect();
        match SchemaIds::from_registry(&known) {
            Ok(ids) => self.ids = ids,
            Err(error) => tracing::warn!(%error, "a peer's schema ids cannot be used"),
        }
    }

    /// What the mirror has of a topic from its offset `from` on; `from` rises to where its log begins.
    pub(crate) fn poll(
        &mut self,
        bus: &dyn Bus,
        topic: &str,
        from: &mut u64,
        max_bytes: usize,
    ) -> Result<Vec<Mirrored>, String> {
        let mirrored = format!("{}{topic}", self.prefix);
        let said = |error: BusError| match error {
            BusError::UnknownTopic { .. } => {
                format!(
                    "there is no topic {mirrored} on this site's Kafka yet; does MirrorMaker run, and copy {topic}?"
                )
            }
            other => other.to_string(),
        };
        if !self.readers.contains_key(topic) {
            if bus.partitions(&mirrored).map_err(said)?.is_none() {
                return Err(said(BusError::UnknownTopic { topic: mirrored.clone() }));
            }
            *from = (*from).max(bus.begin(&mirrored, 0).map_err(said)?);
            self.readers.insert(topic.to_owned(), bus.reader(&mirrored, 0, *from).map_err(said)?);
        }
        let Some(reader) = self.readers.get_mut(topic) else { return Ok(Vec::new()) };
        let read = if reader.position() == *from { Ok(()) } else { reader.seek(*from) };
        match read.and_then(|()| reader.poll(&mut self.batch, max_bytes, Duration::ZERO)) {
            // The record that begins a log of ours is passed over by the reader.
            Ok(0) => *from = reader.position(),
            Ok(_) => {}
            Err(error) => {
                self.readers.remove(topic);
                return Err(said(error));
            }
        }
        let compiled = SchemaIds::default();
        let record = |record: bus::Received<'_>| Mirrored {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.to_vec(),
            // One whose schema is not known is judged as it is.
            value: self.ids.translate(record.value, &compiled).unwrap_or_else(|_| record.value.to_vec()),
        };
        Ok(self.batch.iter().map(record).collect())
    }
}
