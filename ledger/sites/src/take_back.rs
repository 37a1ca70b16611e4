//! Takes this site's own streams back from its peers after its disk was lost: the longest history that any of them
//! accepted, checked frame by frame, then a fence that no claim of the lost disk can reach. What never reached a peer is
//! lost, and named as far as somebody heard of it. Runs before anything else of the site does; decides nothing about
//! what may be sold meanwhile.

use crate::client::{Client, LinkError, address};
use crate::copy::{Copy, CopyError, Cursor, How, Refused};
use crate::identity::{self, Identity};
use crate::quarantine::Quarantine;
use crate::wire::{ANSWER_BYTES_MAX, Head, Request, VERSION, WireError, unpack};
use crate::{IdentityError, Options, Peer, belongs_to, fill, is_ours, tls, wall_micros};
use bus::config_log::CONFIG;
use bus::stream::{StreamReader, write_fence};
use bus::{Bus, BusError, TopicSpec};
use facts::run::runs_topic;
use facts::stream::{StreamState, epoch_above};
use schemas::SchemaIds;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a peer may take for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Largest compressed answer.
const PACKED_MAX: usize = ANSWER_BYTES_MAX * 2;

/// Why the streams cannot be taken back. Nothing of the site may start before they are.
#[derive(Debug, thiserror::Error)]
pub enum TakeBackError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("{what}: {reason}")]
    Surroundings { what: String, reason: String },
    #[error(
        "site {peer} does not answer ({reason}); it may hold more of this site's streams than the others, so it is \
         waited for. It must have admitted this site's certificate (`tandem site admit`). If it is lost for good: \
         --without {peer}"
    )]
    Silent { peer: String, reason: String },
    #[error("site {0} is no peer of this one")]
    Unknown(String),
    #[error("no peer is left to take the streams back from")]
    Nobody,
    #[error("no peer holds any stream of site {0}: this is a new site, join without --lost-disk")]
    New(String),
    #[error(
        "site {peer} holds another history of {topic} than the peers before it: record {offset}: {why}; one of them has to \
         be left out by a person: --without SITE"
    )]
    Fork { peer: String, topic: String, offset: u64, why: String },
    #[error("{topic} ends at frame {seq} here, at site {peer} at record {end}, of which {next} were taken; try again")]
    Short { peer: String, topic: String, seq: u64, end: u64, next: u64 },
}

/// One stream as it was taken back.
#[derive(Debug, Clone)]
pub struct TakenStream {
    pub stream: String,
    /// Where it goes on; of orders of runs nothing but the name.
    pub state: StreamState,
    /// Records held here now.
    pub records: u64,
    /// The peers that had it.
    pub from: Vec<String>,
    /// The last frame that any peer has heard of; more than is held: the difference is lost.
    pub heard_of: u64,
    /// Lost frames whose calls are booked in the ledger that came back; empty frames stand in their places.
    pub booked: u64,
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub streams: Vec<TakenStream>,
    /// Peers that were left out by a person's order.
    pub without: Vec<String>,
}

/// A peer that has answered.
struct Holder<'a> {
    peer: &'a Peer,
    client: Client,
    head: Head,
}

/// Takes all streams of this site back, and the configuration. May be begun again whatever it was stopped by. `each`
/// is told of each stream when it is whole.
pub fn take_back(
    bus: &dyn Bus,
    ids: &SchemaIds,
    options: &Options,
    without: &[String],
    owner: &str,
    each: &mut dyn FnMut(&TakenStream),
) -> Result<Taken, TakeBackError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| TakeBackError::Surroundings { what: "threads".into(), reason: e.to_string() })?;
    let handle = runtime.handle();
    let mut holders = holders(handle, options, without)?;
    let mut topics: BTreeSet<String> = BTreeSet::new();
    for holder in &holders {
        let own = |topic: &&crate::wire::TopicEnd| belongs_to(&options.site, &topic.name) || topic.name == CONFIG;
        topics.extend(holder.head.topics.iter().filter(own).map(|topic| topic.name.clone()));
    }
    if topics.iter().all(|topic| topic == CONFIG) {
        return Err(TakeBackError::New(options.site.clone()));
    }
    let quarantine = Quarantine::new(&options.folder);
    let mut taken = Taken { streams: Vec::new(), without: without.to_vec() };
    for topic in topics.iter().filter(|topic| is_ours(topic)) {
        let state = take(bus, ids, (handle, options, &quarantine), &mut holders, topic)?;
        let heard = |holder: &Holder<'_>| {
            let said = holder.head.said.heard_of.iter().filter(|(stream, _)| stream == topic);
            said.map(|(_, seq)| *seq).max().unwrap_or(0)
        };
        let has = |holder: &&Holder<'_>| holder.head.topics.iter().any(|known| known.name == *topic);
        let stream = TakenStream {
            stream: topic.clone(),
            records: bus.end(topic, 0)?.saturating_sub(1),
            from: holders.iter().filter(has).map(|holder| holder.peer.name.clone()).collect(),
            heard_of: holders.iter().map(heard).max().unwrap_or(0).max(state.seq()),
            booked: 0,
            state,
        };
        taken.streams.push(stream);
    }
    let ledger = taken.streams.iter().find(|one| one.stream.starts_with("ledger."));
    for (stream, frame) in ledger.map(|one| fill::booked(&options.site, &one.state)).unwrap_or_default() {
        let known = taken.streams.iter().position(|one| one.stream == stream);
        let at = match known {
            Some(at) => at,
            None => {
                // No peer has any of it; a try before this one may.
                let state = held(bus, ids, &stream)?;
                let (records, heard_of, from) = Default::default();
                taken.streams.push(TakenStream { stream: stream.into(), state, records, from, heard_of, booked: 0 });
                taken.streams.len() - 1
            }
        };
        let one = &mut taken.streams[at];
        one.booked = frame.saturating_sub(one.state.seq());
        one.heard_of = one.heard_of.max(frame);
    }
    taken.streams.iter().for_each(&mut *each);
    // All are whole: only now is any of them claimed.
    for stream in taken.streams.iter().filter(|one| one.stream != CONFIG && one.stream != runs_topic(&options.site)) {
        write_fence(bus, ids, &stream.stream, epoch_above(stream.state.epoch()), owner, wall_micros())?;
        if stream.booked > 0 {
            let to = stream.state.seq() + stream.booked;
            fill::fill(bus, ids, &stream.stream, owner, to).map_err(|error| TakeBackError::Surroundings {
                what: stream.stream.clone(),
                reason: error.to_string(),
            })?;
        }
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(taken)
}

/// Fetches the configuration as one peer has it into a log that has none, for whoever compares the two. Returns where it
/// stands.
pub fn fetch_config(
    bus: &dyn Bus,
    ids: &SchemaIds,
    options: &Options,
    peer: &str,
) -> Result<StreamState, TakeBackError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| TakeBackError::Surroundings { what: "threads".into(), reason: e.to_string() })?;
    let others: Vec<String> = options.peers.iter().map(|peer| peer.name.clone()).filter(|name| name != peer).collect();
    if others.len() == options.peers.len() {
        return Err(TakeBackError::Unknown(peer.to_owned()));
    }
    let mut holders = holders(runtime.handle(), options, &others)?;
    let quarantine = Quarantine::new(&options.folder);
    let state = take(bus, ids, (runtime.handle(), options, &quarantine), &mut holders, CONFIG)?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(state)
}

/// Asks every peer that is not left out what it holds.
fn holders<'a>(
    handle: &tokio::runtime::Handle,
    options: &'a Options,
    without: &[String],
) -> Result<Vec<Holder<'a>>, TakeBackError> {
    if let Some(unknown) = without.iter().find(|name| !options.peers.iter().any(|peer| peer.name == **name)) {
        return Err(TakeBackError::Unknown(unknown.clone()));
    }
    let identity = Identity::load(&options.certificate, &options.key)?;
    let mut holders = Vec::new();
    for peer in options.peers.iter().filter(|peer| !without.contains(&peer.name)) {
        let silent = |reason: String| TakeBackError::Silent { peer: peer.name.clone(), reason };
        let (host, port) = address(&peer.url).map_err(silent)?;
        let tls = tls::client(&identity, identity::pinned(&peer.certificate)?)?;
        let mut client = Client::new(host, port, tls);
        let (head, _) =
            ask(handle, &mut client, options, Vec::new(), |_, _| Ok(())).map_err(|e| silent(e.to_string()))?;
        if head.site != peer.name || head.number != peer.number {
            return Err(silent(format!("it says that it is site {} (number {})", head.site, head.number)));
        }
        holders.push(Holder { peer, client, head });
    }
    if holders.is_empty() { Err(TakeBackError::Nobody) } else { Ok(holders) }
}

/// Why one request brought nothing.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("{}", .0.why)]
    Refused(Refused),
}

/// One request; `take` gets the records that came. Returns what the peer said and how many there were.
fn ask(
    handle: &tokio::runtime::Handle,
    client: &mut Client,
    options: &Options,
    want: Vec<(String, u64)>,
    mut take: impl FnMut(&Head, &[crate::wire::Sent<'_>]) -> Result<(), AskError>,
) -> Result<(Head, usize), AskError> {
    let (site, number) = (options.site.clone(), options.number);
    let request = Request { version: VERSION, site, number, want, wait_ms: 0, max_bytes: ANSWER_BYTES_MAX / 2 };
    let body = serde_json::to_vec(&request).map_err(|_| WireError::Damaged("our own request cannot be written"))?;
    let packed = handle.block_on(client.post("/v1/pull", body, PACKED_MAX, ANSWER))?;
    let answer = unpack(&packed)?;
    let records = answer.records()?;
    take(&answer.head, &records)?;
    let count = records.len();
    Ok((answer.head.clone(), count))
}

/// One topic from every peer that has it, the shortest first: each continues what came before, or it is a fork.
fn take(
    bus: &dyn Bus,
    ids: &SchemaIds,
    (handle, options, quarantine): (&tokio::runtime::Handle, &Options, &Quarantine),
    holders: &mut [Holder<'_>],
    topic: &str,
) -> Result<StreamState, TakeBackError> {
    let mut ends: BTreeMap<(u64, usize), ()> = BTreeMap::new();
    for (at, holder) in holders.iter().enumerate() {
        let end = holder.head.topics.iter().find(|known| known.name == *topic).map(|known| known.end);
        ends.extend(end.map(|end| ((end, at), ())));
    }
    let failed = |error: CopyError| TakeBackError::Surroundings { what: topic.to_owned(), reason: error.to_string() };
    let (mut copy, start) = Copy::open(bus, ids, topic, None).map_err(failed)?;
    let plain = topic.starts_with("runs.");
    for (end, at) in ends.into_keys() {
        let holder = &mut holders[at];
        let name = holder.peer.name.clone();
        // Orders of runs go on where the copy ends; frames are read from the first, to be compared.
        let next = if plain { bus.end(topic, 0)? } else { start.next };
        let mut cursor = Cursor { next, theirs: StreamState::new(topic) };
        while cursor.next < end {
            let want = vec![(topic.to_owned(), cursor.next)];
            let mut into = |_: &Head, records: &[crate::wire::Sent<'_>]| {
                let taken = copy.take(&mut cursor, records, How { latest: i64::MAX, mirrored: false })?;
                for refused in taken.refused {
                    // Kept for a person where it can be; what counts is that it is refused.
                    let _ = quarantine.keep(&name, topic, refused.offset, &refused.value, &refused.why);
                    if refused.stops {
                        return Err(AskError::Refused(refused));
                    }
                }
                Ok(())
            };
            let (_, came) = match ask(handle, &mut holder.client, options, want, &mut into) {
                Ok(came) => came,
                Err(AskError::Refused(Refused { offset, why, .. })) => {
                    return Err(TakeBackError::Fork { peer: name, topic: topic.to_owned(), offset, why });
                }
                Err(error) => return Err(TakeBackError::Silent { peer: name, reason: error.to_string() }),
            };
            if came == 0 && cursor.next < end {
                // Its first record is the log's own incarnation, which is not shown.
                if cursor.next == 0 && end == 1 {
                    break;
                }
                let (seq, next) = (copy.state().seq(), cursor.next);
                return Err(TakeBackError::Short { peer: name, topic: topic.to_owned(), seq, end, next });
            }
        }
    }
    if plain {
        return Ok(StreamState::new(topic));
    }
    held(bus, ids, topic)
}

/// A stream of frames as it stands here.
fn held(bus: &dyn Bus, ids: &SchemaIds, stream: &str) -> Result<StreamState, TakeBackError> {
    bus.ensure(&TopicSpec::frames(stream, 1))?;
    let mut reader = StreamReader::open(bus, ids, stream)?;
    let read = reader.catch_up::<bus::stream::StreamError>(bus, &mut |_| Ok(()));
    read.map_err(|e| TakeBackError::Surroundings { what: stream.to_owned(), reason: e.to_string() })?;
    Ok(reader.state().clone())
}
