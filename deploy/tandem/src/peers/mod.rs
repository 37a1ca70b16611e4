//! The other sites as this process sees them: the exchange with them, and for each a follower of its books and a hub of
//! its runs, read from the copies on the local bus. Decides nothing about money.

pub mod back;
pub mod drain;
pub mod folds;
pub mod guard;
pub mod health;
pub mod invite;
pub mod orders;
pub mod refetch;
pub mod rejoin;
mod roles;
pub mod sums;

use crate::node::{Lag, Node, Roles, xdrs_stream};
use crate::output::Failure;
use crate::past::Slot;
use crate::runs::RunsHub;
use crate::settings::Settings;
use bus::config_log::CONFIG;
use bus::{Bus, EmbeddedBus, TopicSpec};
use facts::time::rfc3339;
use ledger::{LedgerOptions, Mail, Standing, View};
use schemas::SchemaIds;
use sites::{Options, Peer, Said, Sites, Status};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a site that has written nothing yet waits for its peers to answer.
const ASKED: Duration = Duration::from_secs(3);
/// What stands before an owner of the configuration log, so that everybody knows at which site it is written.
const OWNER: &str = "site ";

/// Another site.
pub struct Other {
    pub name: String,
    pub number: u16,
    /// Its books, from the copy of its stream.
    pub view: Arc<View>,
    /// The index over the past of its accounts.
    pub past: Arc<Slot>,
    pub runs: Arc<RunsHub>,
    /// Its rated calls on their way into the reports; `None` before they are known or where this process loads none.
    pub loading: Mutex<Option<reporting::loader::Status>>,
}

impl Other {
    /// Adds what of its booked calls is not in the reports yet.
    pub fn lag(&self, lag: &mut Lag) {
        let Some(loaded) = self.loaded() else { return };
        let progress = self.view.progress();
        for stream in loaded {
            let booked = progress.state.next_position(&stream.stream).seq;
            lag.ranges += booked.saturating_sub(stream.loaded.seq.max(1));
        }
        self.runs.lag(&self.view, self.loaded().as_deref(), lag);
    }

    /// How its streams are loaded, where they are.
    pub fn loaded(&self) -> Option<Vec<reporting::loader::LoadStatus>> {
        let loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(loading.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The bus for this site's roles: other sites' streams cannot be written through it.
pub fn guarded(settings: &Settings, bus: &Arc<dyn Bus>) -> Arc<dyn Bus> {
    if settings.peers.is_empty() {
        return bus.clone();
    }
    let peers = settings.peers.iter().map(|peer| peer.name.clone()).collect();
    Arc::new(guard::GuardedBus::new(bus.clone(), peers))
}

/// What the ledger has to know about the other sites.
pub fn ledger_options(
    settings: &Settings,
    sites: Option<&Arc<Sites>>,
    standing: &Arc<Standing>,
    options: &mut LedgerOptions,
) {
    options.standing = standing.clone();
    options.number = settings.sites.number;
    options.peers = settings.peers.iter().map(|peer| (peer.number, peer.name.as_str().into())).collect();
    // Not where the configuration is written now: what a site has granted of a limit stands in its own stream, and
    // another one would grant it again.
    options.config_site = settings.site_number(settings.first_config_site()).unwrap_or(settings.sites.number);
    // Checked when the settings were read.
    options.reserves = settings.reserves().unwrap_or_default();
    options.shares = settings.shares().unwrap_or_default();
    options.vouchers = settings.vouchers().unwrap_or_default();
    options.mail = sites.map(|sites| Arc::new(SitesMail(sites.clone())) as Arc<dyn Mail>);
}

/// Opens the topics of another site that are read here; records come by the copying.
pub fn ensure_topics(bus: &dyn Bus, name: &str) -> Result<(), Failure> {
    bus.ensure(&TopicSpec::frames(format!("ledger.{name}"), 1)).map(drop).map_err(Failure::broken)
}

/// Partitions of another site's `call-events`, by its streams held here; 0 = none has come yet.
pub fn partitions(bus: &dyn Bus, name: &str) -> Result<u32, Failure> {
    let topics = bus.topics().map_err(Failure::broken)?;
    let first = xdrs_stream(name, 0);
    // The copying makes the first one last.
    if !topics.contains(&first) {
        return Ok(0);
    }
    let numbers = topics.iter().filter_map(|topic| topic.strip_prefix("xdrs.")?.strip_prefix(name)?.strip_prefix('.'));
    Ok(u32::try_from(numbers.filter(|rest| rest.bytes().all(|b| b.is_ascii_digit())).count()).unwrap_or(u32::MAX))
}

/// Moves a topic of the embedded log, whole, to where it is kept for a person; gives the place.
fn set_aside(settings: &Settings, topic: &str) -> Result<PathBuf, Failure> {
    let now = rfc3339(crate::node::wall_micros() / 1_000_000 * 1_000_000).replace(':', "");
    let into = settings.data.join("sites").join("quarantine").join(format!("{topic}-{now}"));
    EmbeddedBus::set_aside(&settings.data.join("log"), topic, &into).map_err(Failure::broken)?;
    Ok(into)
}

/// The exchange as the settings have it.
pub fn options(settings: &Settings) -> Options {
    let own = &settings.sites;
    let peer = |peer: &crate::site_settings::PeerSettings| Peer {
        name: peer.name.clone(),
        number: peer.number,
        url: peer.url.clone(),
        certificate: settings.site_path(&peer.certificate),
        mirror: Some(peer.mirror.clone()).filter(|prefix| !prefix.is_empty()),
    };
    Options {
        site: settings.site.clone(),
        number: own.number,
        partitions: settings.partitions,
        listen: own.listen,
        certificate: settings.site_path(&own.certificate),
        key: settings.site_path(&own.key),
        folder: settings.data.join("sites"),
        peers: settings.peers.iter().map(peer).collect(),
        bandwidth: own.bandwidth,
        future_micros: i64::from(own.future_seconds) * 1_000_000,
        fold: ledger::folds::newest(),
    }
}

/// The exchange with the peers, where this process has one; a new site fetches what they hold before anything goes on.
pub fn exchange(
    settings: &Settings,
    roles: &Roles,
    bus: Arc<dyn Bus>,
    ids: &SchemaIds,
    standing: &Standing,
) -> Result<Option<Arc<Sites>>, Failure> {
    if !roles.sites || settings.peers.is_empty() {
        return Ok(None);
    }
    let sites = Arc::new(start(settings, bus, ids)?);
    back::fetch_first(settings, &sites, standing)?;
    Ok(Some(sites))
}

/// Begins the exchange with all peers.
fn start(settings: &Settings, bus: Arc<dyn Bus>, ids: &SchemaIds) -> Result<Sites, Failure> {
    let options = options(settings);
    let own = format!("ledger.{}", settings.site);
    // A claim and a frame at least stand behind the log's first record where anything was ever written.
    let fresh = bus.end(&own, 0).map_err(Failure::broken)? <= 1;
    let sites = Sites::start(bus, ids, options).map_err(started)?;
    // An empty folder may be a new site's or one whose disk was lost: whoever can be asked is asked before anything is
    // written.
    if fresh {
        sites.all_heard(ASKED);
        if let Some(ahead) = sites.ahead() {
            return Err(Failure::Broken(ahead.to_string()));
        }
    }
    Ok(sites)
}

/// What this site tells the others of itself: how it stands, and the last frame of each ledger that it has heard of.
pub fn tell(sites: Option<&Sites>, standing: &Arc<Standing>, view: &Arc<View>) {
    let Some(sites) = sites else { return };
    let (standing, view) = (standing.clone(), view.clone());
    sites.tell(move || {
        let heard_of = view.sites().map_or_else(Vec::new, |shown| {
            let last = |peer: &ledger::sites::PeerStatus| peer.announced.unwrap_or(0).max(peer.folded);
            shown.peers.iter().map(|peer| (format!("ledger.{}", peer.name), last(peer))).collect()
        });
        Said { standing: standing.words(crate::node::wall_micros()), heard_of }
    });
}

fn started(error: sites::SitesError) -> Failure {
    match error {
        sites::SitesError::Identity(error) => {
            Failure::Usage(format!("{error}; `tandem site certificate` makes a key and a certificate"))
        }
        sites::SitesError::Address { .. }
        | sites::SitesError::Pinned { .. }
        | sites::SitesError::SameCertificate { .. } => Failure::usage(error),
        error => Failure::broken(error),
    }
}

/// The ledger's messages over the exchange.
pub struct SitesMail(pub Arc<Sites>);

impl Mail for SitesMail {
    fn send(&self, to: u16, message: Vec<u8>) {
        self.0.send(to, message);
    }

    fn take(&self) -> Option<(u16, Vec<u8>)> {
        self.0.take()
    }

    fn heard(&self, site: u16) -> Option<i64> {
        self.0.heard(site)
    }

    fn closed(&self, site: u16) -> bool {
        self.0.closed(site)
    }
}

/// Who claims the configuration log, in words that name the site.
pub fn config_owner(settings: &Settings) -> String {
    let owner = crate::node::owner();
    if settings.peers.is_empty() { owner } else { format!("{OWNER}{}, {owner}", settings.site) }
}

/// The site at which configuration is written: whoever claimed its log last, else as the settings say.
pub fn config_site<'a>(settings: &'a Settings, owner: &'a str) -> &'a str {
    let named = owner.strip_prefix(OWNER).and_then(|rest| rest.split_once(',')).map(|(name, _)| name);
    named.filter(|name| settings.site_number(name).is_some()).unwrap_or_else(|| settings.first_config_site())
}

/// Whether this site may write the configuration, by all that its log holds now; if not, why and where to go.
pub fn may_configure(node: &Node) -> Result<(), Failure> {
    if node.settings.peers.is_empty() {
        return Ok(());
    }
    may_follow(&node.settings, &node.config.owner_now(&*node.bus).map_err(Failure::broken)?)
}

/// Whether this site may write the configuration behind this owner of its log.
pub fn may_follow(settings: &Settings, owner: &str) -> Result<(), Failure> {
    let (own, site) = (&settings.site, config_site(settings, owner));
    if settings.peers.is_empty() || site == own {
        return Ok(());
    }
    let url = settings.peers.iter().find(|peer| peer.name == site).map_or("", |peer| peer.url.as_str());
    Err(Failure::Usage(format!(
        "{CONFIG} is written at site {site} ({url}), not at {own}; run this there, or move it here: tandem site config-site {own}"
    )))
}

/// How the exchange stands; `None`: this process has none.
pub fn status(node: &Node) -> Option<Status> {
    node.sites.as_ref().map(|sites| sites.status())
}
