//! RADIUS in front of the gate of `authorise`: switches that ask with Access-Requests get the same decisions as those that
//! ask over HTTP. Who may ask stands in the settings; sockets and clocks are here, bytes and meanings in the crate
//! `radius`. Books nothing: accounting is answered and tells when calls begin and end; their money comes with their records.

pub mod dynamic;
mod kept;
pub mod orders;
pub mod rule;
mod serve;
pub mod sessions;
pub mod settings;

use crate::authorise::Gate;
use crate::node::wall_micros;
use kept::Keeper;
use radius::{Clients, Packet, Repeats, voice};
use rule::Watch;
use sessions::{Due, Live, Sessions};
use settings::RadiusSettings;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Requests that may be under way; what is beyond is dropped and comes again.
const UNDER_WAY_MAX: usize = 900;

/// Between two looks at which calls must end.
const RULE_EVERY: Duration = Duration::from_secs(1);

/// What the sockets, the clockwork and the command line share.
pub struct Door {
    clients: Clients,
    gate: Gate,
    repeats: Mutex<Repeats>,
    sessions: Mutex<Sessions>,
    counts: Mutex<BTreeMap<String, u64>>,
    identifier: AtomicU8,
    keeper: OnceLock<Keeper>,
    watch: Arc<Watch>,
    ruled_at: Mutex<Instant>,
    /// The rule is being looked after.
    ruling: AtomicBool,
    /// As bound: for Access-Requests, for accounting.
    pub listens: (SocketAddr, Option<SocketAddr>),
}

/// Sockets that are bound but not yet served.
pub struct Sockets {
    access: UdpSocket,
    accounting: Option<UdpSocket>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    /// Binds the sockets and checks the clients.
    pub fn open(settings: &RadiusSettings, gate: Gate, watch: Watch) -> Result<(Arc<Self>, Sockets), String> {
        let clients = settings.clients()?;
        let bind = |address: SocketAddr| {
            let socket = UdpSocket::bind(address).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok((socket.local_addr()?, socket))
            });
            socket.map_err(|error| format!("cannot listen on {address} for RADIUS: {error}; change the setting radius"))
        };
        let (listen, access) = bind(settings.listen)?;
        let accounting = settings.accounting.map(bind).transpose()?;
        let (accounting_at, accounting) = accounting.unzip();
        let door = Self {
            clients,
            gate,
            repeats: Mutex::default(),
            sessions: Mutex::default(),
            counts: Mutex::default(),
            identifier: AtomicU8::new(0),
            keeper: OnceLock::new(),
            watch: Arc::new(watch),
            ruled_at: Mutex::new(Instant::now()),
            ruling: AtomicBool::new(false),
            listens: (listen, accounting_at),
        };
        Ok((Arc::new(door), Sockets { access, accounting }))
    }

    fn count(&self, what: &str) {
        *lock(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    /// Everything counted since the start, by name.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }

    /// Calls that go on, as far as is known here.
    pub fn live(&self) -> Vec<Live> {
        let mut all: Vec<Live> = lock(&self.sessions).iter().cloned().collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }

    /// Name of a client, for people.
    pub fn client(&self, live: &Live) -> &str {
        self.clients.get(live.client).map_or("", |client| &client.name)
    }

    /// Tells a call's switch to end it. Blocks for up to seven seconds.
    pub fn disconnect(&self, live: &Live) -> dynamic::Told {
        let request = |identifier, secret: &[u8], at| voice::disconnect_request(identifier, &live.session, secret, at);
        self.told("disconnect", live, request)
    }

    /// Tells a call's switch how long it may last in all. Blocks for up to seven seconds.
    fn change(&self, live: &Live, seconds: u32) -> dynamic::Told {
        self.told("coa", live, |identifier, secret, at| {
            voice::coa_request(identifier, &live.session, secret, at, seconds)
        })
    }

    fn told(&self, what: &str, live: &Live, request: impl Fn(u8, &[u8], u32) -> Vec<u8>) -> dynamic::Told {
        let Some(client) = self.clients.get(live.client) else {
            return dynamic::Told::Failed("its client is gone from the settings".to_owned());
        };
        let at = u32::try_from(wall_micros() / 1_000_000).unwrap_or(u32::MAX);
        let identifier = self.identifier.fetch_add(1, Ordering::Relaxed);
        let told = dynamic::tell(live.target, &client.secret, &request(identifier, &client.secret, at));
        self.count(&format!("{what}_{}", told.word()));
        if told != dynamic::Told::Done {
            let (client, detail) = (&client.name, told.detail());
            tracing::warn!(client, key = live.key, "{what} request: {} {detail}", told.word());
        }
        told
    }

    /// What has come due: calls that are extended by us, and calls that their switch should have ended.
    fn look(self: &Arc<Self>) {
        for due in lock(&self.sessions).due(Instant::now(), wall_micros()) {
            let door = self.clone();
            match due {
                Due::Extend(live) => drop(tokio::spawn(async move { door.extend(live).await })),
                Due::Disconnect(live) => {
                    self.count("overdue");
                    drop(tokio::task::spawn_blocking(move || door.end_now(&live)));
                }
            }
        }
        self.look_at_rule();
    }

    fn look_at_rule(self: &Arc<Self>) {
        let mut at = lock(&self.ruled_at);
        if self.watch.ends == rule::EndCalls::No || at.elapsed() < RULE_EVERY {
            return;
        }
        *at = Instant::now();
        // One that takes long because switches are silent is not begun twice.
        if !self.ruling.swap(true, Ordering::SeqCst) {
            let door = self.clone();
            drop(tokio::task::spawn_blocking(move || {
                door.rule(&door.watch.clone());
                door.ruling.store(false, Ordering::SeqCst);
            }));
        }
    }

    /// Notes a call for the next start.
    fn keep(&self, live: &Live) {
        self.keeper.get().into_iter().for_each(|keeper| keeper.call(live, &self.clients, wall_micros()));
    }

    /// Notes that a call is over.
    fn forget(&self, hold: facts::ids::OriginId) {
        self.keeper.get().into_iter().for_each(|keeper| keeper.end(hold));
    }

    async fn extend(self: Arc<Self>, live: Live) {
        match self.gate.extend(live.hold, live.seconds).await {
            Ok(held) => {
                if let Some(known) = lock(&self.sessions).get_mut(live.hold) {
                    known.seconds = held.seconds_held;
                    known.extends = true;
                    self.keep(known);
                }
                self.count("extended");
                let door = self.clone();
                drop(tokio::task::spawn_blocking(move || door.change(&live, held.seconds_held)));
            }
            // The switch cuts it at the second that it knows; if it does not, it is told to.
            Err(denied) => {
                self.count("not_extended");
                tracing::info!(key = live.key, ?denied, "a call cannot be extended");
            }
        }
    }

    /// Serves until told to stop; its own threads. Calls that went on before the start are known from `folder`.
    pub fn run(self: &Arc<Self>, sockets: Sockets, folder: &Path, stop: &AtomicBool) -> Result<(), String> {
        let (door, folder) = (self.clone(), folder.to_owned());
        let restore = move || {
            if let Err(error) = door.restore(&folder, &door.watch.clone()) {
                tracing::warn!(error, "calls that went on before the start are not known");
            }
        };
        // Beside the sockets: what is asked meanwhile is decided by the ledger alone.
        let restored = std::thread::Builder::new().name("radius-restore".into()).spawn(restore);
        restored.map_err(|error| format!("threads: {error}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(64).build();
        let runtime = runtime.map_err(|error| format!("threads: {error}"))?;
        let served = runtime.block_on(serve::serve(self.clone(), sockets, stop));
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        served.map_err(|error| format!("RADIUS: {error}"))
    }
}

/// What a packet is read as, again: it was read before it was queued.
fn again(bytes: &[u8]) -> Option<Packet<'_>> {
    Packet::read(bytes).ok()
}
