//! Several sites in one process: each with its own bus and ledger, a copier that carries the ledgers' records between
//! the buses, and a post that loses, repeats and delays messages. The transport of the product is another; what is
//! tested here is what the ledgers do with it.

use accounting::authorise::{Offered, Refusal, Wish};
use accounting::credit::Offer;
use accounting::sample::rated;
use bus::stream::{FrameParts, StreamError, StreamWriter};
use bus::{Batch, Bus, Reader, Record, TopicSpec, Writer};
use facts::entry::hold_id;
use facts::ids::{CallId, OriginId};
use facts::xdr::{Position, RatedCall};
use facts::{Amount, Currency, E164, OccurredAt, Prefix};
use schemas::frame::FrameBuilder;
use smallvec::smallvec;
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::orders::payment;
use super::world::*;
use crate::run::{Reserves, wall_micros};
use crate::sites::{AccountRights, SitesStatus};
use crate::{CreditAnswer, CreditAsk, CreditError, LedgerView, Mail, Order, OrderError, Receipt, Standing, verify};

pub const TICK: Duration = Duration::from_millis(100);
/// Short, so that a refusal does not take long.
const PULL_WAIT: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(60);

pub fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// A small generator, so that a seed gives the same world again as far as threads allow.
pub struct Dice(pub u64);

impl Dice {
    pub fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// What lies between the sites.
#[derive(Default)]
pub struct Links {
    /// Bit `to` of `[from]`: nothing passes. Index 0 is unused.
    no_mail: [AtomicU32; 4],
    no_frames: [AtomicU32; 4],
    /// Of a thousand messages.
    lost: AtomicU32,
    repeated: AtomicU32,
    dice: AtomicU64,
    stop: AtomicBool,
}

impl Links {
    fn chance(&self, of: &AtomicU32) -> bool {
        let mut dice = Dice(self.dice.fetch_add(1, Ordering::Relaxed));
        dice.draw(1_000) < u64::from(of.load(Ordering::Relaxed))
    }

    pub fn mail(&self, from: u16, to: u16, open: bool) {
        set(&self.no_mail[usize::from(from)], to, open);
    }

    pub fn frames(&self, from: u16, to: u16, open: bool) {
        set(&self.no_frames[usize::from(from)], to, open);
    }

    pub fn both(&self, a: u16, b: u16, open: bool) {
        for (from, to) in [(a, b), (b, a)] {
            self.mail(from, to, open);
            self.frames(from, to, open);
        }
    }

    pub fn faults(&self, lost: u32, repeated: u32) {
        self.lost.store(lost, Ordering::Relaxed);
        self.repeated.store(repeated, Ordering::Relaxed);
    }
}

fn set(bits: &AtomicU32, to: u16, open: bool) {
    let bit = 1 << to;
    if open {
        bits.fetch_and(!bit, Ordering::Relaxed)
    } else {
        bits.fetch_or(bit, Ordering::Relaxed)
    };
}

fn open(bits: &AtomicU32, to: u16) -> bool {
    bits.load(Ordering::Relaxed) & (1 << to) == 0
}

/// What has come for a site, and when each other was last heard of.
#[derive(Default)]
struct Box_ {
    letters: Mutex<VecDeque<(u16, Vec<u8>)>>,
    heard: [AtomicU64; 4],
}

pub struct Post {
    me: u16,
    links: Arc<Links>,
    boxes: Arc<Vec<Box_>>,
}

impl Mail for Post {
    fn send(&self, to: u16, message: Vec<u8>) {
        if !open(&self.links.no_mail[usize::from(self.me)], to) || self.links.chance(&self.links.lost) {
            return;
        }
        let to = &self.boxes[usize::from(to)];
        to.heard[usize::from(self.me)].store(wall_micros() as u64, Ordering::Relaxed);
        let mut letters = to.letters.lock().unwrap();
        if self.links.chance(&self.links.repeated) {
            // Behind what has come already, so also in another order.
            letters.push_back((self.me, message.clone()));
            let back = letters.pop_front();
            letters.extend(back);
        }
        letters.push_back((self.me, message));
    }

    fn take(&self) -> Option<(u16, Vec<u8>)> {
        self.boxes[usize::from(self.me)].letters.lock().unwrap().pop_front()
    }

    fn heard(&self, site: u16) -> Option<i64> {
        let at = self.boxes[usize::from(self.me)].heard[usize::from(site)].load(Ordering::Relaxed);
        (at > 0).then_some(at as i64)
    }
}

/// One site.
pub struct Place {
    pub number: u16,
    pub name: SmolStr,
    pub bus: Arc<dyn Bus>,
    pub folder: PathBuf,
    pub standing: Arc<Standing>,
    pub ledger: Option<Running>,
    rater: StreamWriter,
    fault: Arc<Fault>,
}

/// All sites, and the copier.
pub struct House {
    pub places: Vec<Place>,
    pub links: Arc<Links>,
    boxes: Arc<Vec<Box_>>,
    reserve: Amount,
    pub config_site: u16,
    copier: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

pub const NAMES: [&str; 4] = ["", "main", "east", "west"];

impl House {
    /// Sites 1 to `sites`; `reserve` for all of them together on acme (none = strict).
    pub fn new(sites: u16, reserve: &str, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let links = Arc::new(Links::default());
        links.dice.store(seed, Ordering::Relaxed);
        let boxes: Arc<Vec<Box_>> = Arc::new((0..4).map(|_| Box_::default()).collect());
        let places: Vec<Place> = (1..=sites)
            .map(|number| {
                let name = SmolStr::new_static(NAMES[usize::from(number)]);
                let folder = folder.path().join(name.as_str());
                let bus = embedded(&folder.join("bus"));
                let stream = format!("xdrs.{name}.0");
                let rater =
                    StreamWriter::claim::<StreamError>(&*bus, &ids(), &stream, "rater", None, 1, &mut |_| Ok(()));
                let fault = Fault { left: AtomicI64::new(i64::MAX), lands: false, passing: false };
                let (rater, fault) = (rater.unwrap(), Arc::new(fault));
                let standing = Arc::default();
                Place { number, name, bus, folder, standing, ledger: None, rater, fault }
            })
            .collect();
        let buses: Vec<(u16, SmolStr, Arc<dyn Bus>)> =
            places.iter().map(|place| (place.number, place.name.clone(), place.bus.clone())).collect();
        let copier = {
            let links = links.clone();
            std::thread::spawn(move || copy(&buses, &links))
        };
        let mut house = Self {
            places,
            links,
            boxes,
            reserve: amount(reserve),
            config_site: 1,
            copier: Some(copier),
            _folder: folder,
        };
        (1..=sites).for_each(|site| house.start(site));
        house
    }

    pub fn place(&self, site: u16) -> &Place {
        &self.places[usize::from(site) - 1]
    }

    pub fn start(&mut self, site: u16) {
        let fault = Arc::new(Fault { left: AtomicI64::new(i64::MAX), lands: site.is_multiple_of(2), passing: false });
        self.places[usize::from(site) - 1].fault = fault.clone();
        let failing = Arc::new(Failing { inner: self.place(site).bus.clone(), fault });
        self.start_on(site, failing);
    }

    /// On another bus than its own: one that counts, for example.
    pub fn start_on(&mut self, site: u16, bus: Arc<dyn Bus>) {
        let peers = self.places.iter().filter(|place| place.number != site);
        let peers = peers.map(|place| (place.number, place.name.clone())).collect();
        let post = self.post(site);
        let place = &mut self.places[usize::from(site) - 1];
        let mut options = options(bus, &place.folder);
        options.site = place.name.clone();
        options.partitions = 1;
        (options.number, options.peers) = (site, peers);
        options.mail = Some(Arc::new(post));
        options.config_site = self.config_site;
        options.standing = place.standing.clone();
        options.tick = TICK;
        options.pull_wait = PULL_WAIT;
        options.reserves = Reserves { postpaid_percent: 0, accounts: [("acme".into(), self.reserve)].into() };
        place.ledger = Some(Running::start(options));
    }

    /// Sends in the name of a site.
    pub fn post(&self, site: u16) -> Post {
        Post { me: site, links: self.links.clone(), boxes: self.boxes.clone() }
    }

    /// The ledger's thread ends as it stands; messages on their way are lost.
    pub fn stop(&mut self, site: u16) {
        self.places[usize::from(site) - 1].ledger = None;
        self.boxes[usize::from(site)].letters.lock().unwrap().clear();
    }

    /// The ledger dies at its next frame: at even sites the frame is in the log all the same, at odd ones it is lost.
    pub fn kill(&mut self, site: u16, id: &str) {
        self.place(site).fault.left.store(0, Ordering::Relaxed);
        let died = self.pay(site, id, "1");
        assert!(matches!(died, Err(OrderError::Unknown(_))), "{died:?}");
        let ledger = self.places[usize::from(site) - 1].ledger.take();
        assert!(ledger.unwrap().end().is_err());
        self.boxes[usize::from(site)].letters.lock().unwrap().clear();
    }

    fn door(&self, site: u16) -> &crate::Door {
        &self.place(site).ledger.as_ref().unwrap().door
    }

    pub fn ask(&self, site: u16, ask: CreditAsk) -> Result<CreditAnswer, CreditError> {
        let answer = self.door(site).orders.ask(ask)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(CreditError::Unknown("it has gone".into())))
    }

    /// Seconds held and allowed.
    pub fn authorise(&self, site: u16, key: &str) -> Result<(u32, u32), Refusal> {
        seconds(self.ask(site, CreditAsk::Authorise(Box::new(wish(key)))))
    }

    /// A full first hold, whose rights come from another site: a pull that took too long is asked again.
    pub fn begin(&self, site: u16, key: &str) {
        self.until("a call begins", |house| house.authorise(site, key).is_ok_and(|(held, _)| held == 360));
    }

    pub fn extend(&self, site: u16, key: &str, held: u32) -> Result<(u32, u32), Refusal> {
        seconds(self.ask(site, CreditAsk::Extend { hold_id: hold_of(key), held }))
    }

    /// The call ends and its rated form reaches the ledger of a site.
    pub fn end(&mut self, site: u16, key: &str, cost: &str) {
        let end = self.rate(site, &rated(key, ("acme", cost), &[]));
        self.booked(site, end);
    }

    /// Writes as the site's rater would. Returns where the stream goes on.
    pub fn rate(&mut self, site: u16, call: &RatedCall) -> Position {
        let rater = &mut self.places[usize::from(site) - 1].rater;
        let mut builder = FrameBuilder::new();
        builder.push(|public, private| schemas::xdrs::encode_call(call, public, private)).unwrap();
        let parts = FrameParts {
            item_schema: schemas::xdrs::ITEMS,
            config_seq: 1,
            fold_version: 1,
            inputs: Default::default(),
            floor: None,
            clock: None,
            wall_micros: 1_000_000,
        };
        rater.append(&mut builder, parts).unwrap();
        at(rater.settle().unwrap() + 1, 0)
    }

    pub fn booked(&self, site: u16, end: Position) {
        let stream = format!("xdrs.{}.0", self.place(site).name);
        assert!(self.door(site).view.wait_booked(&stream, end, PATIENCE), "{:?}", self.door(site).view.status());
    }

    pub fn order(&self, site: u16, order: Order) -> Result<Receipt, OrderError> {
        self.door(site).orders.place(order)
    }

    pub fn pay(&self, site: u16, id: &str, sum: &str) -> Result<Receipt, OrderError> {
        self.order(site, Order::Pay(payment(id, "acme", sum)))
    }

    pub fn status(&self, site: u16) -> Option<Arc<SitesStatus>> {
        self.door(site).view.sites()
    }

    /// The account as a site sees it.
    pub fn acme(&self, site: u16) -> Option<AccountRights> {
        self.status(site)?.accounts.iter().find(|row| row.account == "acme").cloned()
    }

    /// Rights of one site as another sees them.
    pub fn rights(&self, seen_at: u16, of: u16) -> Option<Amount> {
        Some(self.acme(seen_at)?.sites.iter().find(|row| row.site == of)?.rights)
    }

    /// Waits for a fact, never for time.
    pub fn until(&self, what: &str, fact: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !fact(self) {
            if Instant::now() > until {
                let running = self.places.iter().filter(|place| place.ledger.is_some());
                let seen: Vec<_> = running.map(|place| self.status(place.number)).collect();
                panic!("never came: {what}\n{seen:#?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until every site has all frames of all others, hears them, and comes to the same roots.
    pub fn met(&self) {
        self.until("all have all of each other and are heard", |house| {
            let seen: Option<Vec<_>> = house.places.iter().map(|place| house.status(place.number)).collect();
            let Some(seen) = seen else { return false };
            let equal = |of: &SitesStatus, at: &SitesStatus| {
                let peer = at.peers.iter().find(|peer| peer.number == of.number).cloned().unwrap_or_default();
                peer.folded == of.seq && peer.root == of.root && !peer.silent
            };
            seen.iter().all(|of| seen.iter().all(|at| of.number == at.number || equal(of, at)))
        });
    }

    /// Every site's ledger proves itself.
    #[track_caller]
    pub fn proved(&self) {
        for place in &self.places {
            let report = verify(&place.bus, &ids(), &place.name, &mut |_, _| {}).unwrap();
            assert!(report.ok, "{:#?}", report.breaks);
        }
    }

    /// What acme owes by the entries of all sites.
    pub fn owed(&self) -> Amount {
        let owed = |place: &Place| self.door(place.number).view.balances(Some("acme")).unwrap()[0].owed.0;
        Amount(self.places.iter().map(owed).sum())
    }

    /// A site that has heard nothing of another for three ticks.
    pub fn silent(&self, site: u16, of: u16) -> bool {
        let status = self.status(site);
        status.is_some_and(|status| status.peers.iter().any(|peer| peer.number == of && peer.silent))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.places.iter_mut().for_each(|place| place.ledger = None);
        self.links.stop.store(true, Ordering::Relaxed);
        if let Some(copier) = self.copier.take() {
            let _ = copier.join();
        }
    }
}

fn seconds(answer: Result<CreditAnswer, CreditError>) -> Result<(u32, u32), Refusal> {
    match answer {
        Ok(CreditAnswer::Held { hold, allowed, .. }) => Ok((hold.seconds, allowed)),
        Err(CreditError::Refused(refusal)) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

pub fn call_of(key: &str) -> CallId {
    CallId::new("test", "sw1", key)
}

pub fn hold_of(key: &str) -> OriginId {
    hold_id(call_of(key))
}

/// 0.10 a minute, 60/60.
pub fn wish(key: &str) -> Wish {
    let tenth = amount("0.1");
    let offer = Offer { first: tenth, first_seconds: 60, next: tenth, next_seconds: 60, decimals: 6 };
    let line = Offered {
        account: "acme".into(),
        level: 0,
        currency: Currency::new("EUR").unwrap(),
        offer,
        minute: tenth,
        deck: "az".into(),
        deck_version: 1,
        prefix: Prefix::new("49").unwrap(),
        destination: "Germany".into(),
    };
    let called = E164::from_digits("4930123").unwrap();
    Wish {
        trunk: Default::default(),
        call_id: call_of(key),
        at: OccurredAt(0),
        called,
        extendable: true,
        lines: smallvec![line],
    }
}

struct Way {
    from: u16,
    to: u16,
    topic: String,
    source: Arc<dyn Bus>,
    target: Arc<dyn Bus>,
    ends: Option<(Box<dyn Reader>, Box<dyn Writer>)>,
}

/// Carries each site's ledger to all others, record for record at the same offsets.
fn copy(buses: &[(u16, SmolStr, Arc<dyn Bus>)], links: &Links) {
    let mut ways = Vec::new();
    for (from, name, source) in buses {
        for (to, _, target) in buses.iter().filter(|(to, ..)| to != from) {
            let (source, target, topic) = (source.clone(), target.clone(), format!("ledger.{name}"));
            ways.push(Way { from: *from, to: *to, topic, source, target, ends: None });
        }
    }
    let mut batch = Batch::new();
    while !links.stop.load(Ordering::Relaxed) {
        let mut busy = false;
        for way in &mut ways {
            let Way { from, to, topic, source, target, ends } = way;
            // A log begins with a record of its own, which comes a moment after the topic.
            let begun = source.partitions(topic).unwrap().is_some() && source.end(topic, 0).unwrap() > 0;
            if !begun || !open(&links.no_frames[usize::from(*from)], *to) {
                continue;
            }
            let (reader, writer) = ends.get_or_insert_with(|| {
                target.ensure(&TopicSpec::frames(topic.as_str(), 1)).unwrap();
                let next = target.end(topic, 0).unwrap();
                (source.reader(topic, 0, next).unwrap(), target.writer(topic).unwrap())
            });
            // A few records at a time, so that a copy is often in the middle.
            if reader.poll(&mut batch, 4_096, Duration::ZERO).unwrap() == 0 {
                continue;
            }
            busy = true;
            let records: Vec<Record<'_>> = (0..batch.len())
                .filter_map(|at| batch.get(at))
                .map(|record| Record { key: record.key, value: record.value, timestamp_ms: record.timestamp_ms })
                .collect();
            writer.append(0, &records).unwrap();
        }
        if !busy {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
