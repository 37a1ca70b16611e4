//! A thousand callers at once on one prepaid account while the process is killed again and again: whatever is confirmed is
//! covered by money at that moment, and in the end no hold is left and every charge stands in the books.
//!
//! One in ten asks over RADIUS, the others over HTTP; in `tests/night` for as long as a hundred deaths take.
//!
//! Callers keep their own count of what has been confirmed to them, taken off before they let go of it, so that it is
//! never more than what the ledger holds; they never look into the ledger for it.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bus::failpoint::LEDGER;
use radius::{Code, Packet, packet::types, sign};
use serde_json::{Value, json};
use tests::deaths::{Dice, arm, died};
use tests::site::{self, amount, cell};
use tests::tandem::address_in;
use tests::{Tandem, eventually, http, night, ports};

const UP: [&str; 4] = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
const CALLERS: u64 = 1_000;
/// Every tenth asks over RADIUS.
const RADIUS_EVERY: u64 = 10;
const SECRET: &str = "correct horse battery";
const PATIENCE: Duration = Duration::from_secs(120);
/// Paid before they begin: about a sixth of what all callers together ask for at once.
const FUNDS: &str = "100";
/// Paid again and again, so that calls go on.
const TOP_UP: &str = "1.55";
pub(crate) const SITE: &str = r#"
[site]
base_currency = "USD"
attempt_wait_seconds = 1
[[carrier]]
id = "house"
name = "House"
[[account]]
id = "pre"
carrier = "house"
currency = "USD"
prepaid = true
[[product]]
id = "standard"
name = "Standard"
[[agreement]]
id = "pre"
account = "pre"
product = "standard"
side = "sell"
deck = "az"
[[trunk]]
id = "in"
account = "pre"
product = "standard"
side = "sell"
[[trunk.rule]]
trunk = "in"
[[switch]]
id = "edge"
format = "tandem"
[[deck]]
id = "az"
file = "az.csv"
currency = "USD"
"#;
pub(crate) const DECK: &str = "Prefix,Destination,Initial Interval,Next Interval,Initial Rate,Next Rate,Connect Fee\n49,Germany,60,60,0.1,0.1,0\n";

#[test]
fn a_thousand_callers_never_get_more_than_was_paid_whatever_dies() {
    let mut dice = Dice::new();
    let mut tandem = Tandem::new();
    let port = ports::free();
    fs::create_dir_all(tandem.data()).expect("the home can be written");
    let settings = format!(
        "[radius]\nlisten = \"127.0.0.1:{port}\"\n[[radius.client]]\nname = \"pop\"\naddress = \"127.0.0.1\"\n\
         secret = \"{SECRET}\"\nswitch = \"edge\"\nuser_name = \"trunk\"\nextend = \"asks\"\n"
    );
    fs::write(tandem.data().join("tandem.toml"), settings).expect("the home can be written");
    let address = tandem.start_listening(&UP);
    site::apply_text(&tandem, SITE, DECK);
    tandem.run(&["ledger", "caps", "pre", "--id", "c1", "--reason", "an old customer"]).ok();
    tandem.run(&["ledger", "pay", "pre", FUNDS, "--id", "p1", "--reason", "top-up"]).ok();
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token").trim().to_string();
    let world = World::new(address, token, SocketAddr::from(([127, 0, 0, 1], port)));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let world = &world;
            let thread = std::thread::Builder::new().stack_size(512 << 10);
            thread.spawn_scoped(scope, move || world.caller(caller)).expect("a thread");
        }
        scope.spawn(|| world.payer());
        for death in deaths(&mut dice) {
            let begun = Instant::now();
            die(&mut tandem, death, &world, &mut dice);
            println!("{death:?} after {:?}", begun.elapsed());
        }
        world.follow(&tandem.start_listening(&UP));
        world.enough.store(true, Ordering::SeqCst);
    });
    let counts = [&world.held, &world.extended, &world.refused, &world.given_up, &world.ended, &world.radius];
    let [held, extended, refused, given_up, ended, radius] = counts.map(|count| count.load(Ordering::SeqCst));
    println!(
        "{held} held, {extended} extended, {refused} refused, {given_up} given up, {ended} charged; {radius} of these answers over RADIUS"
    );
    assert!(
        held > 300 && extended > 10 && refused > 100 && given_up > 30 && ended > 100 && radius > 100,
        "too little happened"
    );

    let open = || tandem.run(&["ledger", "holds", "--json"]).json_lines();
    eventually("every hold has ended", PATIENCE, || open().is_empty().then_some(()));
    let balance = &tandem.run(&["ledger", "balance", "pre", "--json"]).json_lines()[0];
    let (charged, paid) = (*lock(&world.charged), *lock(&world.paid));
    assert_eq!(
        cell(balance, "owed"),
        charged - paid,
        "every call that ended is charged once, every payment booked once"
    );
    assert_eq!((cell(balance, "held"), cell(balance, "available")), (0, paid - charged));
    assert!(charged <= paid, "more was sold than was paid");
    let verified = tandem.run(&["ledger", "verify", "--json"]).json_lines();
    assert_eq!(verified[0]["ok"], true, "{verified:?}");
    tandem.stop();
}

#[derive(Clone, Copy, Debug)]
enum Death {
    At(&'static str),
    BySignal,
}

fn deaths(dice: &mut Dice) -> Vec<Death> {
    let frames = LEDGER.into_iter().filter(|name| name.contains("frame"));
    let mut all: Vec<Death> = frames.map(Death::At).chain([Death::BySignal, Death::BySignal]).collect();
    if night() {
        all = (0..20).flat_map(|_| all.clone()).collect();
    }
    dice.shuffle(&mut all);
    println!("{all:?}");
    all
}

fn die(tandem: &mut Tandem, death: Death, world: &World, dice: &mut Dice) {
    match death {
        Death::At(name) => {
            arm(tandem, &UP, name, 20 + dice.below(100));
            eventually(&format!("the process dies at {name}"), PATIENCE, || {
                if let Some(address) = address_in(&tandem.server().log()) {
                    world.follow(&address);
                }
                died(tandem, name).then_some(())
            });
        }
        Death::BySignal => {
            world.follow(&tandem.start_listening(&UP));
            std::thread::sleep(Duration::from_millis(1_000 + dice.below(2_000)));
            tandem.kill();
        }
    }
}

/// What all callers share.
struct World {
    address: Mutex<String>,
    token: String,
    enough: AtomicBool,
    /// Confirmed and not yet let go of: open holds, and what ended calls cost.
    confirmed: Mutex<i128>,
    charged: Mutex<i128>,
    /// Or about to be: never less than the ledger has.
    paid: Mutex<i128>,
    held: AtomicU64,
    extended: AtomicU64,
    refused: AtomicU64,
    given_up: AtomicU64,
    ended: AtomicU64,
    radius: AtomicU64,
    radius_at: SocketAddr,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A confirmed hold.
struct Held {
    id: String,
    seconds: u64,
    amount: i128,
    /// What a RADIUS caller gives back to ask for more.
    state: Option<Vec<u8>>,
}

impl World {
    fn new(address: String, token: String, radius_at: SocketAddr) -> World {
        let zero = || AtomicU64::new(0);
        World {
            address: Mutex::new(address),
            token,
            enough: AtomicBool::new(false),
            confirmed: Mutex::new(0),
            charged: Mutex::new(0),
            paid: Mutex::new(amount(FUNDS)),
            held: zero(),
            extended: zero(),
            refused: zero(),
            given_up: zero(),
            ended: zero(),
            radius: zero(),
            radius_at,
        }
    }

    fn follow(&self, address: &str) {
        *lock(&self.address) = address.to_string();
    }

    /// Asks until there is an answer that says something.
    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("authorization", &*format!("Bearer {}", self.token)), ("content-type", "application/json")];
        loop {
            let url = format!("{}{path}", lock(&self.address).clone());
            match http::request("POST", &url, &headers, Some(&body.to_string())) {
                Ok(answer) if [429, 500, 503].contains(&answer.status) => {}
                Ok(answer) => return (answer.status, answer.json()),
                // Away, or died over it: the same question again.
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Never more is confirmed than was paid, at any moment.
    fn confirm(&self, more: i128) {
        let mut confirmed = lock(&self.confirmed);
        *confirmed += more;
        let paid = *lock(&self.paid);
        assert!(*confirmed <= paid, "{confirmed} are confirmed, {paid} were paid");
    }

    fn payer(&self) {
        for number in 0_u64.. {
            if self.enough.load(Ordering::SeqCst) {
                return;
            }
            *lock(&self.paid) += amount(TOP_UP);
            let order = json!({"id": format!("top-up {number}"), "account": "pre", "amount": TOP_UP, "by": "till"});
            let (status, answer) = self.post("/v1/payments", &order);
            assert_eq!(status, 200, "{answer}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn caller(&self, caller: u64) {
        let mut dice = Lot(caller + 1);
        let radius = caller.is_multiple_of(RADIUS_EVERY).then(|| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        for call in 0_u64.. {
            if self.enough.load(Ordering::SeqCst) && call > 0 {
                return;
            }
            let key = format!("{caller}-{call}");
            let question =
                json!({"switch": "edge", "call_key": key, "trunk": "in", "called": "4930123456", "caller": "43152345"});
            let answer = match &radius {
                Some(socket) => self.hold_by_radius(socket, &key, None, &mut dice),
                None => self.hold("/v1/authorise", &question),
            };
            match answer {
                Some(held) => {
                    self.held.fetch_add(1, Ordering::Relaxed);
                    self.confirm(held.amount);
                    self.talk(&key, held, radius.as_ref(), &mut dice);
                }
                None => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            }
            std::thread::sleep(Duration::from_millis(200 + dice.below(2_000)));
        }
    }

    fn hold(&self, path: &str, question: &Value) -> Option<Held> {
        let (status, answer) = self.post(path, question);
        if status == 403 {
            assert_eq!(answer["code"], "credit", "{answer}");
            return None;
        }
        assert_eq!(status, 200, "{answer}");
        let line = &answer["lines"][0];
        let id = answer["hold_id"].as_str().expect("an id").to_string();
        Some(Held {
            id,
            seconds: answer["seconds_held"].as_u64().expect("seconds"),
            amount: cell(line, "amount"),
            state: None,
        })
    }

    /// The same question as an Access-Request, the same bytes again and again until there is a signed answer.
    fn hold_by_radius(&self, socket: &UdpSocket, key: &str, state: Option<&[u8]>, dice: &mut Lot) -> Option<Held> {
        let (number, random) = (dice.below(256) as u8, dice.below(u64::MAX).to_le_bytes());
        let mut builder = sign::begin(Code::AccessRequest, number);
        builder.add(types::USER_NAME, b"in").add(types::CALLED_STATION_ID, b"4930123456");
        builder.add(types::CALLING_STATION_ID, b"43152345").cisco(24, key);
        if let Some(state) = state {
            builder.add(types::STATE, state);
        }
        let authenticator = [random, random].concat().try_into().expect("sixteen octets");
        let request = sign::access_request(builder, SECRET.as_bytes(), &authenticator);
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time");
        let mut buffer = [0; 4096];
        let answer = loop {
            // Away, or died over it: the same bytes again.
            drop(socket.send_to(&request, self.radius_at));
            let Ok(length) = socket.recv(&mut buffer) else {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            let answer = Packet::read(&buffer[..length]).expect("a packet");
            // An answer to an earlier question may still be on its way.
            if sign::check_answer(&answer, SECRET.as_bytes(), &authenticator, true).is_ok() {
                break answer;
            }
        };
        self.radius.fetch_add(1, Ordering::Relaxed);
        if answer.code == Code::AccessReject {
            let why = String::from_utf8_lossy(answer.get(types::REPLY_MESSAGE).expect("a reason"));
            assert!(why.starts_with("credit: "), "{why}");
            return None;
        }
        let state = answer.get(types::STATE).expect("it may ask again").to_vec();
        let seconds = u64::from(answer.number(types::SESSION_TIMEOUT).expect("seconds"));
        let id: String = state[8..24].iter().map(|octet| format!("{octet:02x}")).collect();
        Some(Held { id, seconds, amount: i128::from(seconds.div_ceil(60)) * amount("0.1"), state: Some(state) })
    }

    /// The rest of a call: extended or not, then given up, or ended within what is held.
    fn talk(&self, key: &str, mut held: Held, radius: Option<&UdpSocket>, dice: &mut Lot) {
        std::thread::sleep(Duration::from_millis(dice.below(300)));
        let more = match radius {
            _ if dice.below(3) > 0 => None,
            Some(socket) => self.hold_by_radius(socket, key, held.state.as_deref(), dice),
            None => self.hold("/v1/extend", &json!({"hold_id": held.id, "seconds_held": held.seconds})),
        };
        if let Some(more) = more {
            assert!(more.seconds > held.seconds && more.amount > held.amount);
            self.extended.fetch_add(1, Ordering::Relaxed);
            self.confirm(more.amount - held.amount);
            held = more;
        }
        if dice.below(4) == 0 {
            *lock(&self.confirmed) -= held.amount;
            let (status, answer) = self.post("/v1/release", &json!({"hold_id": held.id}));
            // A process that died between the release and its answer may have forgotten it by now.
            assert!(status == 200 || answer["code"] == "no_hold", "{answer}");
            self.given_up.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Short calls, so that the money lasts for the whole test; one in twenty to the last second held.
        let seconds = if dice.below(20) == 0 { held.seconds } else { 1 + dice.below(50) };
        let cost = i128::from(seconds.div_ceil(60)) * amount("0.1");
        *lock(&self.confirmed) -= held.amount - cost;
        *lock(&self.charged) += cost;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() as i64;
        let time = |ago: u64| rfc3339(now - i64::try_from(ago).expect("a time"));
        let record = json!({
            "kind": "record", "record_id": key, "call_key": key, "switch": "edge", "id_domain": "edge",
            "started_at": time(seconds + 3), "answered_at": time(seconds), "ended_at": time(0),
            "duration": seconds.to_string(), "caller": "43152345", "called": "4930123456",
            "inbound": {"trunk": "in"}, "sip_code": 200, "hold_id": held.id,
        });
        let (status, answer) = self.post("/v1/call-events", &json!([record]));
        assert_eq!((status, &answer["rejected"]), (200, &json!(0)), "{answer}");
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Each caller's own dice (splitmix64).
struct Lot(u64);

impl Lot {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn rfc3339(seconds: i64) -> String {
    facts::time::rfc3339(seconds * 1_000_000)
}
