//! The ledger's thread: claims `ledger.SITE`, books what the raters write and what people order, frame by frame. All
//! its state is the fold of its own log; whatever fails, it goes on from there.

mod certify;
mod core;
mod credit;
mod doubles;
mod items;
mod net;
mod newcomers;
pub mod notices;
mod people;
mod repeats;
mod resume;
mod rights;
mod saves;
mod shares;
mod sites;
mod standing;
mod upgrade;

use accounting::authorise::Pace;
use accounting::history::HISTORY_MAX;
use accounting::net::NetPositions;
use accounting::newcomers::NewCustomers;
use accounting::vouchers::Vouchers;
use accounting::{Posted, PricedCall};
use bus::Bus;
use bus::run_log::RunLog;
use bus::stream::{StreamReader, StreamWriter};
use facts::Amount;
use facts::config::Config;
use facts::stream::Input;
use schemas::SchemaIds;
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::api::Receipt;
use crate::error::LedgerError;
use crate::frames::CallEntries;
use crate::mail::Mail;
use crate::orders::{BooksNow, CreditAnswer, CreditReply, Orders, Reply, Waiting};
use crate::poster::Poster;
use crate::shared::Shared;
use crate::snapshot::Store;
use crate::standing::Standing;
use crate::streams::ledger_source;
use crate::view::{ConfigNow, View};
use bus::stream::FrameReader;

/// What a ledger is started with.
#[derive(Clone)]
pub struct LedgerOptions {
    pub bus: Arc<dyn Bus>,
    pub ids: SchemaIds,
    pub site: SmolStr,
    /// This site's number; the lowest wins where two sites charged one call.
    pub number: u16,
    /// The other sites, by number and name; none: this ledger has all rights.
    pub peers: Vec<(u16, SmolStr)>,
    /// Number of the site that writes the configuration: it alone grants and takes limits.
    pub config_site: u16,
    /// How messages reach the other sites; none: only by their frames.
    pub mail: Option<Arc<dyn Mail>>,
    /// How long a pull of rights is waited for (design 8.3).
    pub pull_wait: Duration,
    /// Between two announcements; a site not heard of for three of them does not answer.
    pub tick: Duration,
    /// How far all sites together may go below zero while they cannot ask one another.
    pub reserves: Reserves,
    /// Parts of caps by site number, the same at all sites; one that is not named has one part.
    pub shares: BTreeMap<u16, u32>,
    /// Carriers whose accounts draw on one line (their net position), and its currency.
    pub net_positions: NetPositions,
    /// Which vouchers may be redeemed here.
    pub vouchers: Vouchers,
    /// Whether this site takes new calls.
    pub standing: Arc<Standing>,
    /// Raters' partitions: `xdrs.SITE.0` to `xdrs.SITE.P-1`.
    pub partitions: u32,
    pub config: ConfigNow,
    /// Snapshots go below it.
    pub data_dir: PathBuf,
    /// Who claims the stream: host, process, start.
    pub owner: String,
    /// Which program this is; another one than the last that wrote the stream folds its log in shadow first. Empty: it
    /// does not matter.
    pub program: String,
    /// An empty frame after so long without another.
    pub idle_frame: Duration,
    /// A certificate after so many frames, or so long.
    pub certificate_frames: u64,
    pub certificate_every: Duration,
    pub snapshot_every: Duration,
    /// Orders taken into one frame at most.
    pub orders_per_frame: usize,
    /// A notice when what we may still owe a vendor lasts for fewer days at the present rate; 0 = none.
    pub vendor_days: u32,
    /// What customers may do who were never charged nor capped; none: what everybody may.
    pub new_customers: Option<NewCustomers>,
    /// Places of entries kept in memory over all accounts, 8 bytes each; older ones are read from the log.
    pub history_max: usize,
}

/// `tolerant(O)` by account; zero is `strict` (design 8.4).
#[derive(Clone, Debug)]
pub struct Reserves {
    /// Postpaid accounts: of the configured limit.
    pub postpaid_percent: u32,
    /// Accounts that have another sum than prepaid (none) or postpaid (the share above).
    pub accounts: BTreeMap<SmolStr, Amount>,
}

impl Default for Reserves {
    fn default() -> Self {
        Self { postpaid_percent: 10, accounts: BTreeMap::new() }
    }
}

impl LedgerOptions {
    /// This site's share of an account's reserve: equal shares, what is left over kept by nobody.
    pub(crate) fn reserve_of(&self, config: &Config, account: &str) -> Amount {
        let Some(terms) = config.accounts.get(account) else { return Amount::ZERO };
        let percent = if terms.prepaid { 0 } else { self.reserves.postpaid_percent };
        let usual = i128::from(terms.credit_limit.0.max(0)) * i128::from(percent);
        let whole = self.reserves.accounts.get(account).map_or(usual, |amount| amount.0.max(0));
        Amount(whole / (self.peers.len() as i128 + 1))
    }

    /// The settings of design 6.2 and reference/ledger.md 1.3.
    pub fn new(bus: Arc<dyn Bus>, site: &str, partitions: u32, config: ConfigNow, data_dir: PathBuf) -> Self {
        Self {
            bus,
            ids: SchemaIds::default(),
            site: site.into(),
            number: 1,
            peers: Vec::new(),
            config_site: 1,
            mail: None,
            pull_wait: Duration::from_secs(2),
            tick: Duration::from_secs(2),
            reserves: Reserves::default(),
            shares: BTreeMap::new(),
            vouchers: Vouchers::default(),
            net_positions: NetPositions::new(),
            standing: Arc::default(),
            partitions,
            config,
            data_dir,
            owner: format!("pid {} at {}", std::process::id(), facts::time::rfc3339(wall_micros())),
            program: String::new(),
            idle_frame: Duration::from_secs(5),
            certificate_frames: 1_000,
            certificate_every: Duration::from_secs(60),
            snapshot_every: Duration::from_secs(300),
            orders_per_frame: 256,
            vendor_days: 0,
            new_customers: None,
            history_max: HISTORY_MAX,
        }
    }
}

/// How others reach a ledger: questions and orders.
#[derive(Clone)]
pub struct Door {
    pub view: Arc<View>,
    pub orders: Orders,
}

/// The ledger's end of the door.
pub struct Inbox {
    shared: Arc<Shared>,
    orders: Receiver<Waiting>,
}

/// Makes the door; `run` takes the inbox.
pub fn door(options: &LedgerOptions) -> (Door, Inbox) {
    let source = ledger_source(&options.site);
    let shared = Shared::new(source.stream.clone());
    let (orders, receiver) = Orders::channel();
    let (bus, ids, config) = (options.bus.clone(), options.ids.clone(), options.config.clone());
    let view = View::new(shared.clone(), bus, ids, config);
    (Door { view: Arc::new(view), orders }, Inbox { shared, orders: receiver })
}

/// Starts `run` on a thread of its own.
pub fn spawn(
    options: LedgerOptions,
    stop: Arc<AtomicBool>,
) -> std::io::Result<(Door, JoinHandle<Result<(), LedgerError>>)> {
    let (door, inbox) = door(&options);
    let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || run(&options, &inbox, &stop))?;
    Ok((door, thread))
}

/// Longest pause before the log is tried again.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long a durable frame may take to come back.
const READ_BACK: Duration = Duration::from_secs(30);
/// How long it sleeps when there is nothing to do.
const NAP: Duration = Duration::from_millis(4);

/// Books until told to stop. While the log is away or full it waits and goes on by itself; an error means that a
/// person is needed.
pub fn run(options: &LedgerOptions, inbox: &Inbox, stop: &AtomicBool) -> Result<(), LedgerError> {
    let mut pause = Duration::from_millis(200);
    loop {
        let began = Instant::now();
        let ended = may_write(options)
            .and_then(|()| Core::claim(options, inbox))
            .and_then(|(core, xdrs)| work(core, xdrs, stop));
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(error) if stop.load(Ordering::Relaxed) && error.is_stop() => return Ok(()),
            Err(error) => error,
        };
        inbox.shared.progress(|p| p.trouble = Some(error.to_string()));
        if !error.is_retriable() {
            tracing::error!(%error, "the ledger has stopped");
            return Err(error);
        }
        tracing::warn!(%error, "the ledger waits and goes on from its log");
        if began.elapsed() > RETRY_MAX {
            pause = Duration::from_millis(200);
        }
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(NAP);
        }
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Whether this program may write here, before it claims anything: it knows the fold versions that are ordered, and its
/// fold is that of the program before it.
fn may_write(options: &LedgerOptions) -> Result<(), LedgerError> {
    crate::folds::known(&(options.config)(), crate::folds::newest())?;
    crate::shadow::gate(options).map(drop)
}

/// One claim of the stream, until it is lost or the ledger is told to stop.
fn work(mut core: Core<'_>, mut xdrs: Vec<StreamReader>, stop: &AtomicBool) -> Result<(), LedgerError> {
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        core.fold_turn()?;
        let mut busy = core.sites_turn()?;
        busy |= core.orders()?;
        core.expire()?;
        core.notice()?;
        core.look_for_runs(&mut xdrs)?;
        for reader in &mut xdrs {
            busy |= reader.poll(Duration::ZERO, &mut |accepted| core.frame(&accepted))? > 0;
        }
        core.writer.collect()?;
        core.read_back()?;
        if stopping && !busy {
            core.flush()?;
            core.tell_overruns()?;
            return core.snapshot_now(&xdrs);
        }
        if !busy && core.writer.in_flight() > 0 {
            core.writer.settle()?;
            core.read_back()?;
        } else if !busy {
            core.idle()?;
            core.nap()?;
        }
        if core.snapshot_at.elapsed() >= core.options.snapshot_every {
            core.flush()?;
            // A start from the snapshot sees no frame before it again.
            core.tell_overruns()?;
            core.snapshot(&xdrs)?;
        }
    }
}

/// An answer that waits for its frame to be durable and accepted.
enum Answer {
    Receipt(Reply, Receipt),
    Credit(CreditReply, CreditAnswer),
    /// A message for another site that says what the frame holds.
    Mail(u16, Vec<u8>),
    Books(SyncSender<BooksNow>, BooksNow),
}

impl Answer {
    /// Whoever asked may have gone; what was asked is booked all the same.
    fn send(self, mail: Option<&dyn Mail>) {
        match self {
            Self::Receipt(reply, receipt) => drop(reply.try_send(Ok(receipt))),
            Self::Credit(reply, answer) => drop(reply.send(Ok(answer))),
            Self::Mail(to, message) => mail.into_iter().for_each(|mail| mail.send(to, message.clone())),
            Self::Books(reply, books) => drop(reply.try_send(books)),
        }
    }
}

/// The owner of the stream at work. Its methods stand in `run/`.
struct Core<'a> {
    options: &'a LedgerOptions,
    inbox: &'a Inbox,
    stream: SmolStr,
    writer: StreamWriter,
    /// Reads our own frames back as accepted.
    own: StreamReader,
    epoch: u64,
    /// Version that frames under construction name, and the cut from which they do.
    fold_version: u32,
    fold_from: i64,
    poster: Poster,
    /// Calls read ahead, used again and again; false where an item was none.
    rated: Vec<(PricedCall, bool)>,
    /// What the frame under construction has consumed.
    inputs: SmallVec<[Input; 1]>,
    /// Answers that wait for a frame.
    replies: VecDeque<(u64, Answer)>,
    /// New calls of accounts in this second.
    pace: Pace,
    notices: notices::Notices,
    /// When holds of calls that cannot be going on were last looked for.
    expired_at: Instant,
    /// The other sites; none: this ledger has all rights.
    sites: Option<sites::Sites>,
    /// An order taken while napping.
    early: Option<Waiting>,
    /// Single frames for late truth and reversals.
    frames: FrameReader,
    call_entries: CallEntries,
    posted: Posted,
    frame_at: Instant,
    certified: (Instant, u64, u64),
    snapshot_at: Instant,
    /// Orders of runs, and when they were last read.
    run_log: RunLog,
    /// Runs are to be looked at though no new order has come: after a start, and while a stream is not there yet.
    runs_wait: bool,
    looked_at: Option<Instant>,
    store: Store,
    writing: Option<JoinHandle<()>>,
}

/// Microseconds since 1970 by this machine's clock.
pub fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
