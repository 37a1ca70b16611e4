//! The topic `runs.SITE`: following the orders of runs (the ledger, the loader and the console do) and writing one.
//! Its fold decides what an order comes to; this file only reads and writes, and prices nothing.

use crate::{Batch, Bus, BusError, Reader, Record, TopicSpec};
use facts::run::{RunOrder, RunRefusal, Runs, runs_topic};
use schemas::{DecodeError, SchemaIds};
use smol_str::SmolStr;
use std::time::Duration;

/// Bytes asked of the log at once.
const POLL_BYTES: usize = 1 << 20;
/// One wait for a record of our own to come back.
const STEP: Duration = Duration::from_millis(200);
/// So often, then the bus counts as away.
const STEPS: u32 = 150;

#[derive(Debug, thiserror::Error)]
pub enum RunLogError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("{topic} record {offset}: {source}; it is damaged or was written by a newer Tandem")]
    Decode { topic: String, offset: u64, source: DecodeError },
    #[error(transparent)]
    Refused(#[from] RunRefusal),
}

/// Follows the orders of one site.
pub struct RunLog {
    topic: String,
    reader: Box<dyn Reader>,
    batch: Batch,
    ids: SchemaIds,
    runs: Runs,
    /// What the last orders were refused for, by offset; only those of the last poll.
    refused: Vec<(u64, RunRefusal)>,
}

impl RunLog {
    /// Opens the topic (making it where there is none) and folds all of it.
    pub fn open(bus: &dyn Bus, ids: &SchemaIds, site: &str) -> Result<Self, RunLogError> {
        let topic = runs_topic(site);
        bus.ensure(&TopicSpec::events(topic.as_str(), 1))?;
        let reader = bus.reader(&topic, 0, bus.begin(&topic, 0)?)?;
        let (batch, runs, refused) = Default::default();
        let mut this = Self { topic, reader, batch, ids: ids.clone(), runs, refused };
        let end = bus.end(&this.topic, 0)?;
        this.read_to(end)?;
        Ok(this)
    }

    /// All runs as the orders read so far tell them.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Folds what is new; true when there was anything.
    pub fn poll(&mut self, timeout: Duration) -> Result<bool, RunLogError> {
        self.refused.clear();
        let read = self.reader.poll(&mut self.batch, POLL_BYTES, timeout)?;
        for record in self.batch.iter() {
            let decoded = schemas::run_order::decode(record.value, &self.ids);
            let (topic, offset) = (&self.topic, record.offset);
            let order = decoded.map_err(|source| RunLogError::Decode { topic: topic.clone(), offset, source })?;
            if let Err(refusal) = self.runs.fold(&order) {
                self.refused.push((offset, refusal));
            }
        }
        Ok(read > 0)
    }

    fn read_to(&mut self, end: u64) -> Result<(), RunLogError> {
        let mut steps = 0;
        while self.reader.position() < end {
            steps = if self.poll(STEP)? { 0 } else { steps + 1 };
            if steps > STEPS {
                let reason = "what stands there does not come".to_owned();
                return Err(BusError::Away { what: self.topic.clone(), reason }.into());
            }
        }
        Ok(())
    }

    /// Writes one order and says what it came to. The fold decides, not this writer: of two orders that exclude each
    /// other the earlier one in the log counts, whoever wrote them.
    pub fn write(&mut self, bus: &dyn Bus, order: &RunOrder) -> Result<(), RunLogError> {
        let mut value = Vec::with_capacity(512);
        schemas::run_order::encode(order, &self.ids, &mut value);
        let key: SmolStr = order.run.to_string().into();
        let record = Record { key: key.as_bytes(), value: &value, timestamp_ms: order.at.0 / 1_000 };
        let written = bus.writer(&self.topic)?.append(0, &[record])?;
        let own = written.next.saturating_sub(1);
        let mut steps = 0;
        while self.reader.position() < written.next {
            steps = if self.poll(STEP)? { 0 } else { steps + 1 };
            if let Some((_, refusal)) = self.refused.iter().find(|(offset, _)| *offset == own) {
                return Err(refusal.clone().into());
            }
            if steps > STEPS {
                let reason = "what was written does not come back".to_owned();
                return Err(BusError::Away { what: self.topic.clone(), reason }.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmbeddedBus, EmbeddedConfig};
    use facts::OccurredAt;
    use facts::ids::RunId;
    use facts::run::{RunAction, RunPhase, RunPlan};

    #[test]
    fn of_two_people_who_preview_the_same_agreement_the_second_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap();
        let ids = SchemaIds::default();
        let (mut ann, mut bob) = (RunLog::open(&bus, &ids, "main").unwrap(), RunLog::open(&bus, &ids, "main").unwrap());
        let order = |run: u8, by: &str, action| RunOrder {
            run: RunId([run; 16]),
            at: OccurredAt(5),
            by: by.into(),
            reason: "".into(),
            action,
        };
        let plan = || RunAction::Preview(Box::new(RunPlan { agreements: vec!["a".into()], ..RunPlan::default() }));
        ann.write(&bus, &order(1, "ann", plan())).unwrap();
        // Bob has not read Ann's order when he writes his.
        let refused = bob.write(&bus, &order(2, "bob", plan())).unwrap_err().to_string();
        assert!(refused.contains("of ann is open for agreement a"), "{refused}");
        bob.write(&bus, &order(1, "bob", RunAction::Post { ledger_seq: 3 })).unwrap();
        assert!(ann.poll(Duration::from_secs(5)).unwrap());
        for log in [ann, bob, RunLog::open(&bus, &ids, "main").unwrap()] {
            let run = log.runs().get(RunId([1; 16])).unwrap();
            assert_eq!((log.runs().all().len(), run.phase, run.by.as_str()), (1, RunPhase::Posting, "bob"));
        }
    }
}
