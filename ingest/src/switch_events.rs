//! The topic `switch-events`: other switches' records, any key, one JSON object a record, read in the format of the
//! switch that the settings name. Position and effect: a batch is durable on `call-events` before the position is
//! noted, and its records carry their own ids, so reading it again after a crash changes nothing.

use crate::Shared;
use crate::error::IngestError;
use crate::files;
use crate::http::feed_object;
use bus::{Batch, Bus, BusError};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Formats whose records are JSON objects with an id of their own.
const FORMATS: [&str; 3] = ["yeti", "freeswitch", "tandem"];
/// Bytes of one poll.
const POLL_BYTES: usize = 1 << 20;
const AWAY: Duration = Duration::from_secs(1);

/// One topic and the switch whose records stand in it.
#[derive(Clone, Debug)]
pub struct SwitchTopic {
    pub topic: String,
    pub switch: SmolStr,
}

/// Reads every partition of one topic.
pub struct SwitchEvents {
    settings: SwitchTopic,
    bus: Arc<dyn Bus>,
    /// Offsets of the next records by partition.
    positions: BTreeMap<u32, u64>,
    file: PathBuf,
    /// Memory of one object, used again.
    object: Vec<u8>,
    batch: Batch,
}

impl SwitchEvents {
    /// `folder` keeps the positions. A topic that was never read begins at its oldest record.
    pub fn new(bus: Arc<dyn Bus>, settings: SwitchTopic, folder: &Path) -> Result<Self, IngestError> {
        let folder = folder.join("positions");
        files::make_folder(&folder)?;
        let file = folder.join(format!("{}.json", settings.topic));
        let positions = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| IngestError::Setting {
                setting: "positions",
                reason: format!("{} is damaged: {e}; remove it to read the topic from its beginning", file.display()),
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(IngestError::io("cannot read", &file, e)),
        };
        Ok(Self { settings, bus, positions, file, object: Vec::new(), batch: Batch::new() })
    }

    /// Reads until told to stop. The topic may be made later: it is waited for.
    pub fn run(&mut self, shared: &Shared, stop: &AtomicBool) -> Result<(), IngestError> {
        while !stop.load(Ordering::Relaxed) {
            match self.round(shared, stop) {
                Ok(0) => sleep(Duration::from_millis(200), stop),
                Ok(_) => {}
                Err(IngestError::Stopped | IngestError::Bus(BusError::Stopped)) => return Ok(()),
                Err(error) if error.is_retriable() => {
                    tracing::warn!(target: "ingest", topic = %self.settings.topic, "{error}");
                    sleep(AWAY, stop);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One poll of each partition; how many records were read.
    pub fn round(&mut self, shared: &Shared, stop: &AtomicBool) -> Result<usize, IngestError> {
        let Some(partitions) = self.bus.partitions(&self.settings.topic)? else { return Ok(0) };
        let mut count = 0;
        for partition in 0..partitions {
            count += self.partition(partition, shared, stop)?;
        }
        Ok(count)
    }

    fn partition(&mut self, partition: u32, shared: &Shared, stop: &AtomicBool) -> Result<usize, IngestError> {
        let topic = &self.settings.topic;
        let from = match self.positions.get(&partition) {
            Some(position) => *position,
            None => self.bus.begin(topic, partition)?,
        };
        if from >= self.bus.end(topic, partition)? {
            return Ok(0);
        }
        let switch = (shared.switches)(&self.settings.switch)
            .ok_or_else(|| IngestError::UnknownSwitch(self.settings.switch.to_string()))?;
        if !FORMATS.contains(&switch.format.as_str()) {
            let reason = format!(
                "switch {} has format {}, a topic takes one of {}",
                switch.id,
                switch.format,
                FORMATS.join(", ")
            );
            return Err(IngestError::Setting { setting: "switch_events", reason });
        }
        let mut reader = self.bus.reader(topic, partition, from)?;
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let n = reader.poll(&mut self.batch, POLL_BYTES, Duration::from_millis(100))?;
            if n == 0 {
                break;
            }
            self.object.clear();
            for record in self.batch.iter() {
                // One record a line, whatever blanks its writer put between the JSON's words.
                self.object.extend(record.value.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }));
                self.object.push(b'\n');
            }
            feed_object(shared, stop, &switch, &shared.raw, &self.object)?;
            self.positions.insert(partition, reader.position());
            let text = serde_json::to_vec(&self.positions).unwrap_or_default();
            files::replace(&self.file, &text)?;
            count += n;
        }
        Ok(count)
    }
}

fn sleep(time: Duration, stop: &AtomicBool) {
    let mut left = time;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        let step = left.min(Duration::from_millis(50));
        std::thread::sleep(step);
        left -= step;
    }
}
