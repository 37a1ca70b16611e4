//! The `config` log: following it (every role does) and writing a version to it (`tandem apply` does). A version is
//! the items up to an `Applied`; readers see whole versions only, each under the sequence of the frame that ended it.

use crate::{Batch, Bus, BusError, Reader, Record, TopicSpec};
use facts::config::{Config, ConfigItem, DeckRoot};
use facts::deck::RateDeck;
use facts::stream::{Fence, StreamState, Verdict};
use facts::time::BookedAt;
use schemas::frame::{FORMAT, FrameBuilder, FrameFull, FrameHeader, StreamRecord, decode_record, encode_fence};
use schemas::{DecodeError, SchemaIds};
use std::sync::Arc;
use std::time::Duration;

/// Name of the topic and of the stream in it.
pub const CONFIG: &str = "config";
/// Bytes asked of the log at once.
const POLL_BYTES: usize = 4 << 20;
/// Longest wait for our own fence or frame to come back.
const READ_BACK: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("config frame {seq}: {source}; the log is damaged or was written by a newer Tandem")]
    Decode { seq: u64, source: DecodeError },
    #[error("deck {id} version {version}: chunk {chunk} is not in the config log; apply the deck again")]
    MissingChunk { id: String, version: u32, chunk: String },
    #[error("deck {id} version {version}: {source}")]
    Deck { id: String, version: u32, source: DecodeError },
    #[error("another process took over the config log while this version was being written; apply again")]
    Fenced,
    #[error("config item: {0}")]
    Item(#[from] FrameFull),
}

/// One version of the configuration, for its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub seq: u64,
    pub booked_at: BookedAt,
    pub by: String,
    pub comment: String,
    /// Items written, without deck chunks.
    pub items: usize,
}

/// Follows the log; `current` is the last whole version.
pub struct ConfigFollower {
    reader: Box<dyn Reader>,
    batch: Batch,
    ids: SchemaIds,
    state: StreamState,
    /// Items of a version that has not ended yet are in here already.
    next: Config,
    current: Arc<Config>,
    history: Vec<Version>,
    items: usize,
    booked_at: BookedAt,
    /// Versions above this are not folded (a look back).
    until: u64,
}

impl ConfigFollower {
    /// Opens the log (making it where there is none) and reads all of it.
    pub fn open(bus: &dyn Bus, ids: &SchemaIds) -> Result<Self, ConfigError> {
        Self::open_until(bus, ids, u64::MAX)
    }

    /// The configuration as of version `seq`.
    pub fn open_until(bus: &dyn Bus, ids: &SchemaIds, seq: u64) -> Result<Self, ConfigError> {
        bus.ensure(&TopicSpec::frames(CONFIG, 1))?;
        let from = bus.begin(CONFIG, 0)?;
        let mut this = Self {
            reader: bus.reader(CONFIG, 0, from)?,
            batch: Batch::new(),
            ids: ids.clone(),
            state: StreamState::new(CONFIG),
            next: Config::default(),
            current: Arc::new(Config::default()),
            history: Vec::new(),
            items: 0,
            booked_at: BookedAt::default(),
            until: seq,
        };
        let end = bus.end(CONFIG, 0)?;
        while this.reader.position() < end {
            this.poll(Duration::from_secs(1))?;
        }
        Ok(this)
    }

    /// The last whole version; `seq` 0 = nothing has been applied yet.
    pub fn current(&self) -> Arc<Config> {
        self.current.clone()
    }

    /// All versions, oldest first.
    pub fn history(&self) -> &[Version] {
        &self.history
    }

    /// Folds what is new; true when there is a newer version.
    pub fn poll(&mut self, timeout: Duration) -> Result<bool, ConfigError> {
        let before = self.current.seq;
        let mut batch = std::mem::take(&mut self.batch);
        let polled = self.reader.poll(&mut batch, POLL_BYTES, timeout);
        let folded =
            polled.map_err(ConfigError::from).and_then(|_| batch.iter().try_for_each(|record| self.fold(record.value)));
        self.batch = batch;
        folded?;
        Ok(self.current.seq > before)
    }

    fn fold(&mut self, value: &[u8]) -> Result<(), ConfigError> {
        let ids = self.ids.clone();
        match decode_record(value, &ids) {
            Ok(StreamRecord::Fence(fence)) => {
                // A void fence changes nothing; the rule has counted it.
                let _ = self.state.fold_fence(&fence);
                Ok(())
            }
            Ok(StreamRecord::Frame(frame)) => {
                if self.state.fold_frame(&frame.meta()) != Verdict::Accepted || frame.header.seq > self.until {
                    return Ok(());
                }
                let seq = frame.header.seq;
                self.booked_at = frame.header.booked_at;
                let decode = |source| ConfigError::Decode { seq, source };
                frame.expect_items(schemas::config::ITEMS).map_err(decode)?;
                for index in 0..frame.len() {
                    let (public, private) = frame.item(index).map_err(decode)?;
                    self.apply(seq, schemas::config::decode_item(public, private).map_err(decode)?);
                }
                Ok(())
            }
            // Not a record of ours: void by the stream's rule.
            Err(_) => Ok(()),
        }
    }

    fn apply(&mut self, seq: u64, item: ConfigItem) {
        if let ConfigItem::Applied { by, comment, .. } = &item {
            self.next.seq = seq;
            self.current = Arc::new(self.next.clone());
            self.history.push(Version {
                seq,
                booked_at: self.booked_at,
                by: by.clone(),
                comment: comment.clone(),
                items: std::mem::take(&mut self.items),
            });
            return;
        }
        if !matches!(item, ConfigItem::DeckChunk { .. }) {
            self.items += 1;
        }
        self.next.apply(item);
    }

    /// Head of the stream as folded so far.
    pub fn stream(&self) -> &StreamState {
        &self.state
    }
}

/// Rows of a deck version, put together from its chunks.
pub fn deck(config: &Config, root: &DeckRoot) -> Result<RateDeck, ConfigError> {
    let mut rates = Vec::with_capacity(usize::try_from(root.rows).unwrap_or(0).min(8 << 20));
    for hash in &root.chunks {
        let bytes = config.chunks.get(hash).ok_or_else(|| ConfigError::MissingChunk {
            id: root.id.to_string(),
            version: root.version,
            chunk: hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
        })?;
        let rows = schemas::deck_rows::decode_chunk(bytes).map_err(|source| ConfigError::Deck {
            id: root.id.to_string(),
            version: root.version,
            source,
        })?;
        rates.extend(rows);
    }
    Ok(RateDeck { id: root.id.clone(), version: root.version, terms: root.terms.clone(), rates })
}

/// Writes one version: fences the stream, then frames with the items and a closing `Applied`. Returns its sequence
/// once it has been read back as accepted. `follower` is at the log's end afterwards.
pub fn publish(
    bus: &dyn Bus,
    follower: &mut ConfigFollower,
    items: &[ConfigItem],
    applied: ConfigItem,
    owner: &str,
    wall_micros: i64,
) -> Result<u64, ConfigError> {
    let mut writer = bus.writer(CONFIG)?;
    let ids = follower.ids.clone();
    let timestamp_ms = wall_micros / 1_000;
    let mut append =
        |value: &[u8]| writer.append(0, &[Record { key: CONFIG.as_bytes(), value, timestamp_ms }]).map(|_| ());

    let fence = Fence { stream: CONFIG.into(), epoch: follower.state.epoch() + 1, owner: owner.into() };
    let mut bytes = Vec::new();
    encode_fence(&fence, &ids, &mut bytes);
    append(&bytes)?;
    follow_until(follower, |f| f.state.epoch() >= fence.epoch)?;
    if follower.state.epoch() != fence.epoch || follower.state.owner() != &fence.owner {
        return Err(ConfigError::Fenced);
    }

    let (mut seq, mut prev_hash) = (follower.state.seq(), *follower.state.hash());
    let mut booked_at = follower.booked_at;
    let mut builder = FrameBuilder::new();
    let mut frame = |builder: &mut FrameBuilder| -> Result<(), ConfigError> {
        seq += 1;
        booked_at = booked_at.next(wall_micros);
        let header = FrameHeader {
            format: FORMAT,
            item_schema: schemas::config::ITEMS,
            stream: CONFIG.into(),
            epoch: fence.epoch,
            seq,
            prev_hash,
            booked_at,
            config_seq: seq,
            fold_version: 1,
            inputs: Default::default(),
            floor: None,
            clock: None,
        };
        bytes.clear();
        prev_hash = builder.finish(&header, &ids, &mut bytes);
        Ok(append(&bytes)?)
    };
    for item in items.iter().chain([&applied]) {
        match builder.push(|public, private| schemas::config::encode_item(item, public, private)) {
            Ok(()) => {}
            Err(FrameFull::FrameFull) => {
                frame(&mut builder)?;
                builder.push(|public, private| schemas::config::encode_item(item, public, private))?;
            }
            Err(too_large) => return Err(too_large.into()),
        }
    }
    frame(&mut builder)?;
    let _ = frame;
    let written = seq;
    follow_until(follower, |f| f.state.seq() >= written || f.state.epoch() > fence.epoch)?;
    if follower.current.seq != written || follower.state.epoch() != fence.epoch {
        return Err(ConfigError::Fenced);
    }
    Ok(written)
}

fn follow_until(follower: &mut ConfigFollower, done: impl Fn(&ConfigFollower) -> bool) -> Result<(), ConfigError> {
    const STEP: Duration = Duration::from_millis(200);
    let mut waited = Duration::ZERO;
    while !done(follower) {
        follower.poll(STEP)?;
        waited += STEP;
        if waited > READ_BACK {
            return Err(BusError::Away {
                what: CONFIG.to_owned(),
                reason: "what was written does not come back".to_owned(),
            }
            .into());
        }
    }
    Ok(())
}
