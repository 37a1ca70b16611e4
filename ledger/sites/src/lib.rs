//! What sites do for each other over HTTPS with both sides pinned: each fetches the others' streams into its own bus
//! under the same names, checked frame by frame, and carries the messages of the ledgers. It knows frames and their
//! chain, not money; it never writes a stream of its own site (but for getting it back after a lost disk) and never
//! decides who may spend what.

mod client;
mod copy;
mod fill;
pub mod identity;
mod mailbox;
mod mirror;
mod pull;
mod quarantine;
mod server;
mod status;
mod take_back;
mod tls;
mod wire;

pub use client::{LinkError, address};
pub use identity::IdentityError;
pub use status::{GONE_MICROS, Mode, PeerStatus, Status, TopicStatus, Trouble};
pub use take_back::{TakeBackError, Taken, TakenStream, fetch_config, take_back};
pub use wire::Said;

use bus::Bus;
use client::Client;
use copy::{Copy, CopyError, Cursor};
use facts::run::runs_topic;
use identity::Identity;
use mailbox::{Inbox, Outbox};
use quarantine::Quarantine;
use rustls::pki_types::CertificateDer;
use schemas::SchemaIds;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A site that this one talks to.
#[derive(Debug, Clone)]
pub struct Peer {
    pub name: String,
    /// Its number, the same at all sites; it decides ties.
    pub number: u16,
    /// `https://HOST:PORT`.
    pub url: String,
    /// PEM file of the one certificate that it shows.
    pub certificate: PathBuf,
    /// What stands before the names of its topics where MirrorMaker brings them into our own Kafka; `None`: its frames
    /// are fetched from it like the rest.
    pub mirror: Option<String>,
}

/// What the sites are started with.
#[derive(Debug, Clone)]
pub struct Options {
    pub site: String,
    pub number: u16,
    /// Partitions of our `call-events`.
    pub partitions: u32,
    pub listen: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Notes and quarantine go below it.
    pub folder: PathBuf,
    pub peers: Vec<Peer>,
    /// Bytes a second from each peer; 0 = no limit.
    pub bandwidth: u64,
    /// How far ahead of our clock a frame may be booked.
    pub future_micros: i64,
    /// Newest fold version of ledgers that this program folds, for the peers to know.
    pub fold: u32,
}

/// Why the sites cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SitesError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A peer's certificate, which that site has made and somebody carried here.
    #[error("peer {peer}: {error}; `tandem site certificate --output FILE` at that site writes it")]
    Pinned { peer: String, error: IdentityError },
    #[error("peer {peer}: address {url}: {reason}")]
    Address { peer: String, url: String, reason: String },
    #[error("peers {one} and {other} have the same certificate; each site has one of its own")]
    SameCertificate { one: String, other: String },
    #[error("cannot listen for peers on {listen}: {reason}; choose another sites.listen")]
    Listen { listen: SocketAddr, reason: String },
    #[error("{what}: {reason}")]
    Surroundings { what: String, reason: String },
}

/// A peer as this process sees it.
struct Link {
    certificate: CertificateDer<'static>,
    /// Microseconds; 0 = not yet.
    heard: AtomicI64,
    partitions: AtomicU32,
    /// Newest fold version, as it has said; 0 = not yet.
    fold: AtomicU32,
    /// Our own stream of which the peer holds more than we do, and both ends.
    ahead: Mutex<Option<Ahead>>,
    shown: Mutex<(Vec<TopicStatus>, Option<Trouble>)>,
    /// What it said of itself last.
    said: Mutex<wire::Said>,
    /// By topic of ours: the offset that it asked for last. What lies before is durable there.
    asked: Mutex<HashMap<String, u64>>,
    outbox: Outbox,
    /// Where and how it is asked to carry out an order.
    door: (String, u16, Arc<rustls::ClientConfig>),
}

/// Carries out an order of the site named: its bytes in, the answer's out. What they say is not this crate's matter.
pub type Orders = Box<dyn Fn(&str, &[u8]) -> Vec<u8> + Send + Sync>;

/// How far a peer holds a topic of this site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    pub peer: String,
    /// Heard of within the last seconds.
    pub here: bool,
    /// What lies before this offset is durable there; `None`: it has not asked yet since this process was started.
    pub next: Option<u64>,
}

/// Gives what this site says of itself.
type Telling = Box<dyn Fn() -> Said + Send + Sync>;

/// A stream of this site of which a peer holds more than the site itself: its disk was lost, or put back from an old
/// copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    pub peer: String,
    pub topic: String,
    /// Offset after the last record there, and here.
    pub there: u64,
    pub here: u64,
}

impl std::fmt::Display for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { peer, topic, there, here } = self;
        write!(
            f,
            "site {peer} holds {there} records of {topic}, this site itself {here}: its disk was lost, or put back from an \
             old copy. What is written here now is another history, which the others refuse; move this data folder aside, \
             then take the streams back into an empty one: `tandem site join INVITATION --lost-disk`"
        )
    }
}

pub(crate) struct Shared {
    options: Options,
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    links: Vec<Link>,
    copies: Mutex<BTreeMap<String, Arc<Mutex<Copy>>>>,
    quarantine: Quarantine,
    inbox: Inbox,
    strangers: AtomicU64,
    stranger: Mutex<Option<Trouble>>,
    orders: OnceLock<Orders>,
    telling: OnceLock<Telling>,
    stop: AtomicBool,
}

/// The running exchange with all peers.
pub struct Sites {
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
    threads: Vec<JoinHandle<()>>,
    address: SocketAddr,
}

impl Sites {
    /// Listens for the peers and begins to fetch from them.
    pub fn start(bus: Arc<dyn Bus>, ids: &SchemaIds, options: Options) -> Result<Self, SitesError> {
        let surroundings = |what: &str, reason: String| SitesError::Surroundings { what: what.to_owned(), reason };
        let identity = Identity::load(&options.certificate, &options.key)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|e| surroundings("threads", e.to_string()))?;
        let (mut links, mut clients): (Vec<Link>, Vec<Client>) = Default::default();
        for peer in &options.peers {
            let certificate = identity::pinned(&peer.certificate)
                .map_err(|error| SitesError::Pinned { peer: peer.name.clone(), error })?;
            if let Some(at) = links.iter().position(|link| link.certificate == certificate) {
                let (one, other) = (options.peers[at].name.clone(), peer.name.clone());
                return Err(SitesError::SameCertificate { one, other });
            }
            let (host, port) = client::address(&peer.url).map_err(|reason| {
                let (peer, url) = (peer.name.clone(), peer.url.clone());
                SitesError::Address { peer, url, reason }
            })?;
            let tls = tls::client(&identity, certificate.clone())?;
            let (outbox, letters) = Outbox::new();
            runtime.spawn(mailbox::carry(letters, Client::new(host.clone(), port, tls.clone())));
            let door = (host.clone(), port, tls.clone());
            clients.push(Client::new(host, port, tls));
            let (heard, partitions, fold, ahead, shown, said, asked) = Default::default();
            links.push(Link { certificate, heard, partitions, fold, ahead, shown, said, asked, outbox, door });
        }
        let tls = tls::server(&identity, links.iter().map(|link| link.certificate.clone()).collect())?;
        let listen = options.listen;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(listen));
        let listener = listener.map_err(|e| SitesError::Listen { listen, reason: e.to_string() })?;
        let address = listener.local_addr().map_err(|e| surroundings("address", e.to_string()))?;
        let quarantine = Quarantine::new(&options.folder);
        let (copies, inbox, strangers, stranger, orders, telling, stop) = Default::default();
        let shared = Arc::new(Shared {
            options,
            bus,
            ids: ids.clone(),
            links,
            copies,
            quarantine,
            inbox,
            strangers,
            stranger,
            orders,
            telling,
            stop,
        });
        runtime.spawn(server::Desk::new(shared.clone()).listen(listener, tls));
        let mut threads = Vec::new();
        for (peer, client) in clients.into_iter().enumerate() {
            let puller = pull::Puller::new(shared.clone(), peer, client);
            let handle = runtime.handle().clone();
            let name = format!("site {}", shared.options.peers[peer].name);
            let thread = std::thread::Builder::new().name(name.clone()).spawn(move || puller.run(&handle));
            threads.push(thread.map_err(|e| surroundings(&name, e.to_string()))?);
        }
        Ok(Self { shared, runtime: Some(runtime), threads, address })
    }

    /// Where peers reach us: as bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How we stand with everybody.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let now = wall_micros();
        let peers: Vec<PeerStatus> = shared
            .options
            .peers
            .iter()
            .zip(&shared.links)
            .map(|(peer, link)| {
                let heard = Some(link.heard.load(Ordering::Relaxed)).filter(|at| *at != 0);
                let (topics, trouble) = link.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let here = heard.is_some_and(|at| now.saturating_sub(at) < GONE_MICROS);
                let standing = link.said.lock().unwrap_or_else(PoisonError::into_inner).standing.clone();
                PeerStatus {
                    name: peer.name.clone(),
                    number: peer.number,
                    url: peer.url.clone(),
                    heard,
                    here,
                    standing,
                    fold: Some(link.fold.load(Ordering::Relaxed)).filter(|fold| *fold != 0),
                    trouble,
                    topics,
                }
            })
            .collect();
        let heard = peers.iter().filter(|peer| peer.here).count();
        let mode = match heard {
            all if all == peers.len() => Mode::Together,
            0 => Mode::Alone,
            _ => Mode::Partly,
        };
        Status {
            site: shared.options.site.clone(),
            number: shared.options.number,
            mode,
            peers,
            strangers: shared.strangers.load(Ordering::Relaxed),
            stranger: shared.stranger.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            quarantined: shared.quarantine.count(),
            quarantine: shared.quarantine.folder().display().to_string(),
        }
    }

    /// Sends a message to the ledger of a site: at most once, now or never.
    pub fn send(&self, to: u16, message: Vec<u8>) {
        let place = self.shared.options.peers.iter().position(|peer| peer.number == to);
        if let Some(place) = place
            && !self.shared.links[place].outbox.send(message)
        {
            tracing::debug!(to, "a message was not sent: too many wait");
        }
    }

    /// The next message that has come, and from which site.
    pub fn take(&self) -> Option<(u16, Vec<u8>)> {
        self.shared.inbox.take()
    }

    /// From now on orders of the peers are carried out; before that they are told to come later.
    pub fn take_orders(&self, orders: Orders) {
        // The first one stays: a process has one node.
        let _ = self.shared.orders.set(orders);
    }

    /// Has a peer carry out an order and waits for its answer. Blocks: never called where waiting is not allowed. It is
    /// sent once; where no answer comes nobody knows whether it was carried out.
    pub fn order(&self, peer: &str, order: Vec<u8>, limit: Duration) -> Result<Vec<u8>, LinkError> {
        let unknown = || LinkError::Away { address: peer.to_owned(), reason: "it is no peer of this site".to_owned() };
        let place = self.shared.options.peers.iter().position(|known| known.name == peer).ok_or_else(unknown)?;
        let (host, port, tls) = self.shared.links[place].door.clone();
        let runtime = self.runtime.as_ref().ok_or_else(unknown)?;
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let mut client = Client::new(host, port, tls);
            // Whoever waits may have gone.
            let _ = send.send(client.post("/v1/order", order, wire::ORDER_ANSWER_MAX, limit).await);
        });
        let answer = receive.recv().map_err(|_| unknown())?;
        answer.map(|bytes| bytes.to_vec())
    }

    /// When a site was last heard of, microseconds.
    pub fn heard(&self, site: u16) -> Option<i64> {
        let place = self.shared.options.peers.iter().position(|peer| peer.number == site)?;
        Some(self.shared.links[place].heard.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// Partitions of a peer's `call-events`, as it has said; `None`: not heard yet.
    pub fn partitions(&self, name: &str) -> Option<u32> {
        let place = self.shared.options.peers.iter().position(|peer| peer.name == name)?;
        Some(self.shared.links[place].partitions.load(Ordering::Relaxed)).filter(|count| *count != 0)
    }

    /// What this site says of itself from now on, asked with every answer to a peer. The first call counts.
    pub fn tell(&self, telling: impl Fn() -> Said + Send + Sync + 'static) {
        let _ = self.shared.telling.set(Box::new(telling));
    }

    /// How far each peer holds a topic of this site.
    pub fn acknowledged(&self, topic: &str) -> Vec<Acknowledged> {
        let now = wall_micros();
        let peers = self.shared.options.peers.iter().zip(&self.shared.links);
        let one = |(peer, link): (&Peer, &Link)| Acknowledged {
            peer: peer.name.clone(),
            here: now.saturating_sub(link.heard.load(Ordering::Relaxed)) < GONE_MICROS,
            next: link.asked.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied(),
        };
        peers.map(one).collect()
    }

    /// Whether a site has said that it takes no new calls.
    pub fn closed(&self, site: u16) -> bool {
        let place = self.shared.options.peers.iter().position(|peer| peer.number == site);
        let said = |place: usize| self.shared.links[place].said.lock().unwrap_or_else(PoisonError::into_inner);
        place.is_some_and(|place| !said(place).standing.is_empty())
    }

    /// A stream of ours of which a peer holds more than we do, if any.
    pub fn ahead(&self) -> Option<Ahead> {
        let ahead = |link: &Link| link.ahead.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.shared.links.iter().find_map(ahead)
    }

    /// Waits until every peer has answered, at most so long; false: some have not.
    pub fn all_heard(&self, limit: Duration) -> bool {
        let until = std::time::Instant::now() + limit;
        loop {
            if self.shared.links.iter().all(|link| link.partitions.load(Ordering::Relaxed) != 0) {
                return true;
            }
            if std::time::Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells everything to stop; `drop` waits for it.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

impl Shared {
    fn heard(&self, peer: usize) {
        self.links[peer].heard.store(wall_micros(), Ordering::Relaxed);
    }

    fn partitions(&self, peer: usize, count: u32) {
        self.links[peer].partitions.store(count, Ordering::Relaxed);
    }

    /// What its program folds; 0 = not known any more, for it did not answer.
    fn folds(&self, peer: usize, version: u32) {
        self.links[peer].fold.store(version, Ordering::Relaxed);
    }

    /// Compares what a peer holds of our own streams with what we hold ourselves: a copy is never longer.
    fn compare(&self, peer: usize, topics: &[wire::TopicEnd]) {
        let own = topics.iter().filter(|topic| topic.name.starts_with("ledger.") || topic.name.starts_with("xdrs."));
        let ahead = own.filter(|topic| belongs_to(&self.options.site, &topic.name)).find_map(|topic| {
            // A topic that is not there (yet) holds nothing.
            let here = self.bus.end(&topic.name, 0).unwrap_or(0);
            let name = self.options.peers[peer].name.clone();
            (topic.end > here).then(|| Ahead { peer: name, topic: topic.name.clone(), there: topic.end, here })
        });
        let mut known = self.links[peer].ahead.lock().unwrap_or_else(PoisonError::into_inner);
        // Once found it stays: what is written here meanwhile makes nothing whole.
        if known.is_none() && ahead.is_some() {
            *known = ahead;
        }
    }

    fn said(&self) -> Said {
        self.telling.get().map_or_else(Said::default, |telling| telling())
    }

    /// A peer asks for what comes at these offsets: it holds what lies before.
    fn asked(&self, peer: usize, want: &[(String, u64)]) {
        let mut asked = self.links[peer].asked.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, from) in want.iter().filter(|(topic, _)| belongs_to(&self.options.site, topic)) {
            asked.insert(topic.clone(), *from);
        }
    }

    fn peer_of(&self, shown: &CertificateDer<'_>) -> Option<usize> {
        self.links.iter().position(|link| link.certificate.as_ref() == shown.as_ref())
    }

    fn received(&self, peer: usize, message: Vec<u8>) {
        self.inbox.put(self.options.peers[peer].number, message);
    }

    fn stranger(&self, from: &str, why: &str) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
        let why = format!("a connection from {from} was refused: {why}");
        tracing::warn!("{why}");
        *self.stranger.lock().unwrap_or_else(PoisonError::into_inner) = Some(Trouble { since: wall_micros(), why });
    }

    fn show(&self, peer: usize, topics: Vec<TopicStatus>, trouble: Option<Trouble>) {
        *self.links[peer].shown.lock().unwrap_or_else(PoisonError::into_inner) = (topics, trouble);
    }

    /// Whether a topic is one that this peer may give us: its own, and the configuration.
    fn copies_from(&self, peer: &str, topic: &str) -> bool {
        topic == bus::config_log::CONFIG || belongs_to(peer, topic)
    }

    /// The local end of a topic, opened once, and how far this peer was read for it.
    fn copy(&self, peer: usize, topic: &str) -> Result<(Arc<Mutex<Copy>>, Cursor, PathBuf), CopyError> {
        let mirrored = self.options.peers[peer].mirror.is_some() && mirror::carries(topic);
        let folder = self.options.folder.join(&self.options.peers[peer].name);
        if let Err(error) = std::fs::create_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "notes about the peer cannot be kept");
        }
        // A mirror's offsets are its own.
        let note = folder.join(if mirrored { format!("{topic}.mirror.json") } else { format!("{topic}.json") });
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let (copy, cursor) = Copy::open(&*self.bus, &self.ids, topic, Some(&note))?;
        let copy = copies.entry(topic.to_owned()).or_insert_with(|| Arc::new(Mutex::new(copy))).clone();
        Ok((copy, cursor, note))
    }

    /// Ids of our registry, where they are others than those compiled in.
    fn given_ids(&self) -> BTreeMap<String, u32> {
        let given = schemas::Schema::ALL.into_iter().filter(|schema| self.ids.id(*schema) != schema.compiled_id());
        given.map(|schema| (schema.name().to_owned(), self.ids.id(schema))).collect()
    }

    fn forget(&self, topic: &str) {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }
}

/// Whether a topic is one of those that sites copy.
pub fn is_ours(topic: &str) -> bool {
    topic == bus::config_log::CONFIG || ["ledger.", "xdrs.", "runs."].iter().any(|begin| topic.starts_with(begin))
}

/// Whether a topic belongs to this site: it alone writes it.
pub fn belongs_to(site: &str, topic: &str) -> bool {
    let stream = |rest: &str| {
        rest.strip_prefix(site).is_some_and(|rest| rest.strip_prefix('.').is_some_and(|part| !part.is_empty()))
    };
    topic == format!("ledger.{site}") || topic == runs_topic(site) || topic.strip_prefix("xdrs.").is_some_and(stream)
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
