//! Fetches what a peer has written, for as long as the process runs: asks for all its topics at once, checks and
//! writes what comes, says what is wrong and goes on with the rest. One thread a peer.

use crate::client::{Client, LinkError};
use crate::copy::{Copy, Cursor, How};
use crate::mirror::{self, Mirror, Mirrored};
use crate::status::{TopicStatus, Trouble};
use crate::wire::{ANSWER_BYTES_MAX, Head, Request, Sent, VERSION, WANT_MAX, WireError, unpack};
use crate::{Shared, wall_micros};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a peer may wait for something new before it answers: also the heartbeat.
const WAIT: Duration = Duration::from_secs(1);
/// Beyond the wait, for the answer itself.
const ANSWER: Duration = Duration::from_secs(5);
/// After a failed request.
const PAUSE: Duration = Duration::from_millis(300);
/// A topic that was refused is asked for again after this.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the places in the peer's topics are noted.
const NOTE: Duration = Duration::from_secs(5);
/// The same beside a mirror, which is read in between.
const WAIT_BESIDE: Duration = Duration::from_millis(100);
/// Records of one topic taken out of a mirror at once.
const MIRROR_BYTES: usize = 4 << 20;
/// Longest that a mirror is read before the peer is heard again.
const MIRROR_TURN: Duration = Duration::from_secs(1);
/// Largest compressed answer.
const PACKED_MAX: usize = ANSWER_BYTES_MAX * 2;

/// Why a round brought nothing.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("it says that it is site {site} (number {number}); by the settings it is {name} (number {wanted})")]
    Another { site: String, number: u16, name: String, wanted: u16 },
}

/// One topic as this thread follows it.
struct Followed {
    copy: Arc<Mutex<Copy>>,
    cursor: Cursor,
    end: u64,
    trouble: Option<Trouble>,
    /// Not asked for before this.
    pause: Option<Instant>,
    note: PathBuf,
    changed: bool,
    /// Read again from its first record, because what it gave did not continue.
    again: bool,
    /// The trouble is over with the next request that brings none.
    passing: bool,
}

/// Fetches from one peer.
pub(crate) struct Puller {
    shared: Arc<Shared>,
    peer: usize,
    client: Client,
    mirror: Option<Mirror>,
    topics: BTreeMap<String, Followed>,
    noted: Instant,
    trouble: Option<Trouble>,
}

impl Puller {
    pub(crate) fn new(shared: Arc<Shared>, peer: usize, client: Client) -> Self {
        let mirror = shared.options.peers[peer].mirror.as_deref().map(Mirror::new);
        Self { shared, peer, client, mirror, topics: BTreeMap::new(), noted: Instant::now(), trouble: None }
    }

    /// Works until the sites are told to stop.
    pub(crate) fn run(mut self, runtime: &tokio::runtime::Handle) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            match self.round(runtime) {
                Ok(bytes) => {
                    self.trouble = None;
                    self.rest(bytes, began);
                }
                Err(error) => {
                    self.shared.folds(self.peer, 0);
                    self.failed(&error.to_string());
                    std::thread::sleep(PAUSE);
                }
            }
            self.read_mirror();
            self.show();
            if self.noted.elapsed() >= NOTE {
                self.note();
            }
        }
        self.note();
    }

    /// Keeps below the bandwidth of the settings.
    fn rest(&self, bytes: usize, began: Instant) {
        let limit = self.shared.options.bandwidth;
        if limit == 0 {
            return;
        }
        let micros = (bytes as u64).saturating_mul(1_000_000) / limit;
        let due = Duration::from_micros(micros).saturating_sub(began.elapsed());
        std::thread::sleep(due.min(Duration::from_secs(5)));
    }

    fn failed(&mut self, why: &str) {
        let since = self.trouble.as_ref().map_or_else(wall_micros, |trouble| trouble.since);
        if self.trouble.as_ref().is_none_or(|trouble| trouble.why != why) {
            tracing::warn!(peer = self.shared.options.peers[self.peer].name, "{why}");
        }
        self.trouble = Some(Trouble { since, why: why.to_owned() });
    }

    /// One request and what comes of it; returns the bytes that came over the wire.
    fn round(&mut self, runtime: &tokio::runtime::Handle) -> Result<usize, RoundError> {
        let options = &self.shared.options;
        let peer = &options.peers[self.peer];
        let mut want: Vec<(String, u64)> = Vec::new();
        let now = Instant::now();
        for (topic, followed) in &self.topics {
            let asked = self.mirror.is_none() || !mirror::carries(topic);
            if asked && followed.pause.is_none_or(|until| now >= until) && want.len() < WANT_MAX {
                want.push((topic.clone(), followed.cursor.next));
            }
        }
        want.sort_by_key(|(topic, _)| urgency(topic));
        let max_bytes = match options.bandwidth {
            0 => ANSWER_BYTES_MAX / 2,
            limit => usize::try_from(limit / 4).unwrap_or(usize::MAX).clamp(1, ANSWER_BYTES_MAX / 2),
        };
        let request = Request {
            version: VERSION,
            site: options.site.clone(),
            number: options.number,
            want,
            // Whoever waits to ask again for what was refused must not sleep through it.
            wait_ms: if self.mirror.is_some() { WAIT_BESIDE } else { WAIT }.as_millis() as u32,
            max_bytes,
        };
        let body = serde_json::to_vec(&request).map_err(|_| WireError::Damaged("our own request cannot be written"))?;
        let packed = runtime.block_on(self.client.post("/v1/pull", body, PACKED_MAX, WAIT + ANSWER))?;
        let answer = unpack(&packed)?;
        if answer.head.site != peer.name || answer.head.number != peer.number {
            let Head { site, number, .. } = answer.head;
            return Err(RoundError::Another { site, number, name: peer.name.clone(), wanted: peer.number });
        }
        self.shared.heard(self.peer);
        self.shared.compare(self.peer, &answer.head.topics);
        self.shared.partitions(self.peer, answer.head.partitions);
        self.shared.links[self.peer].said.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&answer.head.said);
        self.shared.folds(self.peer, answer.head.fold);
        if let Some(mirror) = &mut self.mirror {
            mirror.learn(answer.head.ids.clone());
            // A question for nothing is answered at once.
            std::thread::sleep(if request.want.is_empty() { WAIT_BESIDE } else { Duration::ZERO });
        }
        let mut by_topic: BTreeMap<u16, Vec<Sent<'_>>> = BTreeMap::new();
        for record in answer.records()? {
            by_topic.entry(record.topic).or_default().push(record);
        }
        for (place, records) in &by_topic {
            let Some((topic, _)) = request.want.get(usize::from(*place)) else {
                return Err(WireError::Damaged("it gives a topic that was not asked for").into());
            };
            self.take(topic, records, false);
        }
        for (topic, _) in &request.want {
            if let Some(followed) = self.topics.get_mut(topic).filter(|followed| followed.passing) {
                (followed.trouble, followed.passing) = (None, false);
            }
        }
        for (topic, why) in &answer.head.problems {
            self.problem(topic, why);
        }
        self.ends(&answer.head);
        Ok(packed.len())
    }

    /// Takes what has come through the mirror, where there is one.
    fn read_mirror(&mut self) {
        let Some(mut mirror) = self.mirror.take() else { return };
        let began = Instant::now();
        let mut topics: Vec<String> = self.topics.keys().filter(|topic| mirror::carries(topic)).cloned().collect();
        topics.sort_by_key(|topic| urgency(topic));
        for topic in topics {
            while began.elapsed() < MIRROR_TURN && !self.shared.stop.load(Ordering::Relaxed) {
                let Some(followed) = self.topics.get_mut(&topic) else { break };
                if followed.pause.is_some_and(|until| Instant::now() < until) {
                    break;
                }
                match mirror.poll(&*self.shared.bus, &topic, &mut followed.cursor.next, MIRROR_BYTES) {
                    Ok(records) => {
                        if followed.passing {
                            (followed.trouble, followed.passing) = (None, false);
                        }
                        if records.is_empty() {
                            break;
                        }
                        let records: Vec<Sent<'_>> = records.iter().map(Mirrored::sent).collect();
                        self.take(&topic, &records, true);
                    }
                    Err(why) => {
                        let name = &self.shared.options.peers[self.peer].name;
                        trouble(followed, name, &topic, &why);
                        (followed.passing, followed.pause) = (true, Some(Instant::now() + AGAIN));
                        break;
                    }
                }
            }
        }
        self.mirror = Some(mirror);
    }

    fn take(&mut self, topic: &str, records: &[Sent<'_>], mirrored: bool) {
        let latest = wall_micros().saturating_add(self.shared.options.future_micros);
        let how = How { latest, mirrored };
        let name = &self.shared.options.peers[self.peer].name;
        let Some(followed) = self.topics.get_mut(topic) else { return };
        let mut copy = followed.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match copy.take(&mut followed.cursor, records, how) {
            Ok(taken) => taken,
            Err(error) => {
                drop(copy);
                // What has been written is read again from the log.
                self.reopen(topic, &error.to_string());
                return;
            }
        };
        drop(copy);
        followed.changed = true;
        if taken.written > 0 {
            followed.trouble = None;
            followed.again = false;
        }
        if taken.gap && !followed.again {
            // Its log is another one than before (its disk was lost, and it took its streams back): read from the start,
            // what is held here is passed over.
            followed.again = true;
            followed.cursor = Cursor { next: 0, theirs: facts::stream::StreamState::new(topic) };
            return;
        }
        for refused in taken.refused {
            let kept = self.shared.quarantine.keep(name, topic, refused.offset, &refused.value, &refused.why);
            let place = match kept {
                Ok(path) => format!("kept as {}", path.display()),
                Err(error) => format!("it could not be kept: {error}"),
            };
            let why = format!("record {} is refused: {}; {place}", refused.offset, refused.why);
            followed.passing = false;
            trouble(followed, name, topic, &why);
            if refused.stops {
                followed.pause = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// A topic that the peer could not give.
    fn problem(&mut self, topic: &str, why: &str) {
        let name = self.shared.options.peers[self.peer].name.clone();
        let Some(followed) = self.topics.get_mut(topic) else { return };
        followed.pause = Some(Instant::now() + AGAIN);
        trouble(followed, &name, topic, &format!("the peer cannot give it: {why}"));
        followed.passing = true;
        if followed.cursor.next > followed.end && !followed.again && !topic.starts_with("runs.") {
            // Its log is another one than before: read from the start, what is held here is passed over.
            followed.again = true;
            followed.cursor = Cursor { next: 0, theirs: facts::stream::StreamState::new(topic) };
        }
    }

    fn reopen(&mut self, topic: &str, why: &str) {
        let name = self.shared.options.peers[self.peer].name.clone();
        if let Some(followed) = self.topics.get_mut(topic) {
            trouble(followed, &name, topic, &format!("it cannot be written here: {why}"));
            followed.passing = true;
            followed.pause = Some(Instant::now() + AGAIN);
        }
        self.shared.forget(topic);
        match self.shared.copy(self.peer, topic) {
            Ok((copy, cursor, _)) => {
                if let Some(followed) = self.topics.get_mut(topic) {
                    followed.copy = copy;
                    followed.cursor = cursor;
                }
            }
            Err(error) => tracing::warn!(topic, "{error}"),
        }
    }

    /// Notes the ends that the peer named, and follows topics that are new.
    fn ends(&mut self, head: &Head) {
        let shared = self.shared.clone();
        let name = shared.options.peers[self.peer].name.clone();
        for topic in head.topics.iter().rev() {
            if let Some(followed) = self.topics.get_mut(&topic.name) {
                followed.end = topic.end;
                let own = self.mirror.is_none() || !mirror::carries(&topic.name);
                if own && followed.cursor.next < topic.begin {
                    followed.cursor.next = topic.begin;
                }
                continue;
            }
            if !shared.copies_from(&name, &topic.name) || self.topics.len() >= WANT_MAX {
                continue;
            }
            match shared.copy(self.peer, &topic.name) {
                Ok((copy, cursor, note)) => {
                    let (trouble, pause, changed, again, passing) = Default::default();
                    let end = topic.end;
                    let followed = Followed { copy, cursor, end, trouble, pause, note, changed, again, passing };
                    self.topics.insert(topic.name.clone(), followed);
                }
                Err(error) => self.failed(&format!("{} cannot be opened here: {error}", topic.name)),
            }
        }
    }

    fn show(&self) {
        let topics = self.topics.iter().map(|(topic, followed)| {
            let copy = followed.copy.lock().unwrap_or_else(PoisonError::into_inner);
            TopicStatus {
                topic: topic.clone(),
                seq: copy.state().seq(),
                epoch: copy.state().epoch(),
                behind: followed.end.saturating_sub(followed.cursor.next),
                trouble: followed.trouble.clone(),
            }
        });
        self.shared.show(self.peer, topics.collect(), self.trouble.clone());
    }

    fn note(&mut self) {
        self.noted = Instant::now();
        for (topic, followed) in self.topics.iter_mut().filter(|(_, followed)| followed.changed) {
            let copy = followed.copy.lock().unwrap_or_else(PoisonError::into_inner);
            match copy.save(&followed.cursor, &followed.note) {
                Ok(()) => followed.changed = false,
                Err(error) => tracing::warn!(topic, %error, "how far the peer was read cannot be noted"),
            }
        }
    }
}

fn trouble(followed: &mut Followed, peer: &str, topic: &str, why: &str) {
    let since = followed.trouble.as_ref().map_or_else(wall_micros, |trouble| trouble.since);
    if followed.trouble.as_ref().is_none_or(|trouble| trouble.why != why) {
        tracing::error!(peer, topic, "{why}");
    }
    followed.trouble = Some(Trouble { since, why: why.to_owned() });
}

/// What calls wait for comes first.
fn urgency(topic: &str) -> (u8, String) {
    let rank = match topic.split('.').next() {
        Some("ledger") => 0,
        Some("config") => 1,
        Some("runs") => 2,
        _ => 3,
    };
    (rank, topic.to_owned())
}
