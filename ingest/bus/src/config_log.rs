//! The `config` log: following it (every role does) and writing a version to it (`tandem apply` does). A version is
//! the items up to an `Applied`; readers see whole versions only, each under the sequence of the frame that ended it.

mod lookup;

pub use lookup::{rates_covering, rates_from};

use crate::stream::{Accepted, FrameParts, StreamError, StreamReader, StreamWriter, write_fence};
use crate::{Bus, BusError, TopicSpec};
use facts::config::{Config, ConfigItem, DeckRoot};
use facts::deck::{Rate, RateDeck};
use facts::stream::{StreamState, epoch_above};
use facts::time::BookedAt;
use schemas::frame::{FrameBuilder, FrameFull};
use schemas::{DecodeError, SchemaIds};
use std::sync::Arc;
use std::time::Duration;

/// Name of the topic and of the stream in it.
pub const CONFIG: &str = "config";
/// Longest wait for our own frames to come back, and one step of it.
const READ_BACK: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("config frame {seq}: {source}; the log is damaged or was written by a newer Tandem")]
    Decode { seq: u64, source: DecodeError },
    #[error("deck {id} version {version}: {source}; apply or import the deck again")]
    Deck { id: String, version: u32, source: schemas::deck_rows::ChunkError },
    #[error("another process took over the config log while this version was being written; apply again")]
    Fenced,
    #[error(
        "another version was written meanwhile, so this one would be built on what is no longer in force; apply again"
    )]
    Meanwhile,
    #[error("config item: {0}")]
    Item(#[from] FrameFull),
}

impl ConfigError {
    /// True where the same may succeed later by itself: the broker is away, the disk is full.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Bus(error) | Self::Stream(StreamError::Bus(error)) => error.is_retriable(),
            _ => false,
        }
    }
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
    reader: StreamReader,
    ids: SchemaIds,
    fold: Fold,
}

/// What has been read so far.
struct Fold {
    /// Items of a version that has not ended yet are in here already.
    next: Config,
    current: Arc<Config>,
    history: Vec<Version>,
    items: usize,
    booked_at: BookedAt,
    /// Owner whose items `next` holds.
    epoch: u64,
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
        let fold = Fold {
            next: Config::default(),
            current: Arc::new(Config::default()),
            history: Vec::new(),
            items: 0,
            booked_at: BookedAt::default(),
            epoch: 0,
            until: seq,
        };
        let mut this = Self { reader: StreamReader::open(bus, ids, CONFIG)?, ids: ids.clone(), fold };
        let Self { reader, fold, .. } = &mut this;
        reader.catch_up(bus, &mut |accepted| fold.frame(&accepted))?;
        Ok(this)
    }

    /// The last whole version; `seq` 0 = nothing has been applied yet.
    pub fn current(&self) -> Arc<Config> {
        self.fold.current.clone()
    }

    /// All versions, oldest first.
    pub fn history(&self) -> &[Version] {
        &self.fold.history
    }

    /// Folds what is new; true when there is a newer version.
    pub fn poll(&mut self, timeout: Duration) -> Result<bool, ConfigError> {
        let Self { reader, fold, .. } = self;
        let before = fold.current.seq;
        reader.poll(timeout, &mut |accepted| fold.frame(&accepted))?;
        Ok(fold.current.seq > before)
    }

    /// Folds all that the log holds now; true when there is a newer version.
    pub fn catch_up(&mut self, bus: &dyn Bus) -> Result<bool, ConfigError> {
        let Self { reader, fold, .. } = self;
        let before = fold.current.seq;
        reader.catch_up(bus, &mut |accepted| fold.frame(&accepted))?;
        Ok(fold.current.seq > before)
    }

    /// Head of the stream as folded so far.
    pub fn stream(&self) -> &StreamState {
        self.reader.state()
    }
}

impl Fold {
    fn frame(&mut self, accepted: &Accepted<'_>) -> Result<(), ConfigError> {
        let header = &accepted.frame.header;
        if header.seq > self.until {
            return Ok(());
        }
        let seq = header.seq;
        self.booked_at = header.booked_at;
        if header.epoch != self.epoch {
            // What an owner began and did not end is no version and must not join the next one.
            self.epoch = header.epoch;
            self.next = (*self.current).clone();
            self.items = 0;
        }
        let decode = |source| ConfigError::Decode { seq, source };
        for item in schemas::config::items(accepted.frame).map_err(decode)? {
            self.apply(seq, item.map_err(decode)?);
        }
        Ok(())
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
}

/// Rows of a deck version, put together from its chunks.
pub fn deck(config: &Config, root: &DeckRoot) -> Result<RateDeck, ConfigError> {
    let mut rates = Vec::with_capacity(usize::try_from(root.rows).unwrap_or(0).min(8 << 20));
    for place in 0..root.chunks.len() {
        rates.extend(chunk(config, root, place)?);
    }
    Ok(RateDeck { id: root.id.clone(), version: root.version, terms: root.terms.clone(), rates })
}

/// Rows of one chunk of a deck version; `place` is below the number of its chunks.
fn chunk(config: &Config, root: &DeckRoot, place: usize) -> Result<Vec<Rate>, ConfigError> {
    rows_of_chunk(config, &root.chunks[place]).map_err(|source| ConfigError::Deck {
        id: root.id.to_string(),
        version: root.version,
        source,
    })
}

fn rows_of_chunk(config: &Config, hash: &[u8; 32]) -> Result<Vec<Rate>, schemas::deck_rows::ChunkError> {
    schemas::deck_rows::rows(hash, &|hash| config.chunks.get(hash).map(|bytes| &**bytes))
}

/// Calls `each` with the rows of one chunk after another, so that a large deck need not stand in memory twice.
pub fn each_chunk(
    config: &Config,
    chunks: &[[u8; 32]],
    each: &mut dyn FnMut(Vec<Rate>),
) -> Result<(), schemas::deck_rows::ChunkError> {
    chunks.iter().try_for_each(|hash| rows_of_chunk(config, hash).map(&mut *each))
}

/// Who writes a version, and why; both stand in it for ever.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    pub by: &'a str,
    pub comment: &'a str,
    /// The process that claims the stream.
    pub owner: &'a str,
    /// Its wall clock, microseconds.
    pub wall_micros: i64,
}

/// Writes one version: claims the stream, then frames with the items and a closing `Applied`. Returns its sequence
/// once it has been read back as accepted. `follower` is at the log's end afterwards. Refused as `Meanwhile` where a
/// version was written that `follower` has not seen: what these items were made from is no longer what is in force.
pub fn publish(
    bus: &dyn Bus,
    follower: &mut ConfigFollower,
    items: &[ConfigItem],
    author: Author<'_>,
) -> Result<u64, ConfigError> {
    let ids = follower.ids.clone();
    // Strictly rising, also where the machine's clock was set back since the last version.
    let wall_micros = author.wall_micros.max(follower.fold.booked_at.0.saturating_add(1));
    let resume = Some((follower.stream().clone(), follower.reader.offset()));
    let mut newer = false;
    let claimed = StreamWriter::claim::<ConfigError>(bus, &ids, CONFIG, author.owner, resume, wall_micros, &mut |_| {
        newer = true;
        Ok(())
    });
    let mut writer = claimed?;
    if newer {
        while follower.poll(Duration::from_millis(200))? {}
        return Err(ConfigError::Meanwhile);
    }
    let applied =
        ConfigItem::Applied { by: author.by.to_owned(), comment: author.comment.to_owned(), digest: digest(items) };
    let item_schema = schemas::config::items_of(items.iter());
    let mut builder = FrameBuilder::new();
    for item in items.iter().chain([&applied]) {
        match builder.push(|public, private| schemas::config::encode_item(item, public, private)) {
            Ok(()) => {}
            Err(FrameFull::FrameFull) => {
                append(&mut writer, &mut builder, item_schema, wall_micros)?;
                builder.push(|public, private| schemas::config::encode_item(item, public, private))?;
            }
            Err(too_large) => return Err(too_large.into()),
        }
    }
    let written = append(&mut writer, &mut builder, item_schema, wall_micros)?;
    writer.settle()?;
    let mut waited = Duration::ZERO;
    while follower.stream().seq() < written && follower.stream().epoch() <= writer.state().epoch() {
        follower.poll(STEP)?;
        waited += STEP;
        if waited > READ_BACK {
            let reason = "what was written does not come back".to_owned();
            return Err(BusError::Away { what: CONFIG.to_owned(), reason }.into());
        }
    }
    if follower.fold.current.seq != written {
        return Err(ConfigError::Fenced);
    }
    Ok(written)
}

/// Claims the log for another site than the one that wrote it so far, by a person's order (design 8.7), and waits until
/// that counts. Returns the epoch.
pub fn take_over(
    bus: &dyn Bus,
    follower: &mut ConfigFollower,
    owner: &str,
    wall_micros: i64,
) -> Result<u64, ConfigError> {
    while follower.poll(Duration::ZERO)? {}
    // Above whatever the site before may have claimed meanwhile.
    let epoch = epoch_above(follower.stream().epoch());
    let end = write_fence(bus, &follower.ids, CONFIG, epoch, owner, wall_micros)?;
    let mut waited = Duration::ZERO;
    while follower.reader.offset() < end {
        follower.poll(STEP)?;
        waited += STEP;
        if waited > READ_BACK {
            let reason = "what was written does not come back".to_owned();
            return Err(BusError::Away { what: CONFIG.to_owned(), reason }.into());
        }
    }
    if follower.stream().epoch() == epoch && follower.stream().owner() == owner {
        Ok(epoch)
    } else {
        Err(ConfigError::Fenced)
    }
}

fn append(
    writer: &mut StreamWriter,
    builder: &mut FrameBuilder,
    item_schema: [u8; 8],
    wall_micros: i64,
) -> Result<u64, ConfigError> {
    let parts = FrameParts {
        item_schema,
        config_seq: writer.state().seq() + 1,
        fold_version: 1,
        inputs: Default::default(),
        floor: None,
        clock: None,
        wall_micros,
    };
    Ok(writer.append(builder, parts)?)
}

/// BLAKE3 over the items in their Avro form: equal for equal changes, whoever applied them.
fn digest(items: &[ConfigItem]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let (mut public, mut private) = (Vec::new(), Vec::new());
    for item in items {
        public.clear();
        schemas::config::encode_item(item, &mut public, &mut private);
        hasher.update(&(public.len() as u64).to_le_bytes());
        hasher.update(&public);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
