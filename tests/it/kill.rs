//! Sudden death of the one process at every failpoint of every role and at any moment, and of its reporting engine,
//! while 100,000 records flow in, most of them again and again: afterwards every figure is that of a quiet run.
//!
//! Records come by HTTP and by a drop folder. Order and counts of the deaths are random (`tests::deaths::Dice`).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::failpoint::{INGEST, LEDGER, LOADER, RATER};
use serde_json::Value;
use tests::deaths::{Dice, arm, by_signal, died, kill_engine, rounds};
use tests::site::{self, SWITCH};
use tests::tandem::address_in;
use tests::{Figures, Tandem, eventually, http};

const UP: [&str; 3] = ["up", "--listen", "127.0.0.1:0"];
/// Records handed in at least, repeats and all.
const RECORDS: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn figures_after_kills_are_those_of_a_quiet_run() {
    let mut dice = Dice::new();
    let begun = Instant::now();
    let (copies, killed) = killed_run(&mut dice);
    println!("killed run: {copies} copies, {:?}", begun.elapsed());
    assert_eq!(killed, site::quiet_run(copies), "the killed run came to other figures");
}

/// How the process, or its engine, dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    At(&'static str),
    BySignal,
    Engine,
}

fn deaths(dice: &mut Dice) -> Vec<Death> {
    let points = [INGEST, RATER, LEDGER, LOADER].into_iter().flatten().map(Death::At);
    let mut all: Vec<Death> = (0..rounds()).flat_map(|_| points.clone()).collect();
    all.extend((0..by_signal()).flat_map(|_| [Death::BySignal, Death::Engine]));
    dice.shuffle(&mut all);
    all
}

/// Copies handed in, and what they came to.
fn killed_run(dice: &mut Dice) -> (u64, Figures) {
    let mut tandem = Tandem::new();
    let drop = tandem.home().join("drop");
    fs::create_dir_all(&drop).expect("a drop folder");
    fs::create_dir_all(tandem.data()).expect("a data folder");
    let settings = format!("[[ingest.drop]]\nswitch = \"{SWITCH}\"\nfolder = \"{}\"\n", drop.display());
    fs::write(tandem.data().join("tandem.toml"), settings).expect("the settings can be written");
    let address = tandem.start_listening(&UP);
    site::apply(&tandem);
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token").trim().to_string();
    let feeder = Feeder::new(address, token);
    let deaths = deaths(dice);
    println!("{} deaths: {deaths:?}", deaths.len());
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feeder.run(&drop));
        for (number, death) in deaths.iter().enumerate() {
            feeder.grant(RECORDS * (number as u64 + 1) / deaths.len() as u64);
            let begun = Instant::now();
            die(&mut tandem, *death, &feeder, dice);
            println!("{death:?} after {:?}", begun.elapsed());
        }
        feeder.follow(&tandem.start_listening(&UP));
        feeder.enough.store(true, Ordering::SeqCst);
        feeding.join().expect("the feeder does not fail");
    });
    let (copies, handed_in) = (feeder.allowed.load(Ordering::SeqCst), feeder.handed_in.load(Ordering::SeqCst));
    println!("{handed_in} records handed in, {copies} copies of {} of them new", feeder.size);
    assert!(handed_in >= RECORDS, "only {handed_in} records were handed in");
    eventually("the drop folder is empty", PATIENCE, || left_in(&drop).is_empty().then_some(()));
    assert!(left_in(&drop.join("failed")).is_empty(), "good files were put aside as bad");
    let records = copies * feeder.size;
    assert_eq!(site::import(&tandem, copies), [records, 0, records, 0], "read, accepted, repeated, rejected");
    kill_engine(tandem.server().id());
    let figures = Figures::of(&tandem, &tandem);
    tandem.stop();
    (copies, figures)
}

/// One death, with the process running before it and dead (or its engine dead) after it.
fn die(tandem: &mut Tandem, death: Death, feeder: &Feeder, dice: &mut Dice) {
    match death {
        Death::At(name) => {
            arm(tandem, &UP, name, 1 + dice.below(2));
            eventually(&format!("the process dies at {name}"), PATIENCE, || {
                if let Some(address) = address_in(&tandem.server().log()) {
                    feeder.follow(&address);
                }
                let dead = died(tandem, name);
                std::thread::sleep(Duration::from_millis(200));
                if !dead {
                    // Whoever has booked and loaded everything comes by no failpoint any more.
                    feeder.allow_one_more();
                }
                dead.then_some(())
            });
        }
        Death::BySignal => {
            feeder.follow(&tandem.start_listening(&UP));
            std::thread::sleep(Duration::from_millis(dice.below(900)));
            tandem.kill();
        }
        Death::Engine => {
            feeder.follow(&tandem.start_listening(&UP));
            std::thread::sleep(Duration::from_millis(dice.below(600)));
            kill_engine(tandem.server().id());
            std::thread::sleep(Duration::from_millis(dice.below(600)));
        }
    }
}

/// Hands records in without a pause: new copies as far as they are allowed, else old ones again.
struct Feeder {
    size: u64,
    token: String,
    address: Mutex<String>,
    /// Copies that may be handed in, and those that were.
    allowed: AtomicU64,
    fresh: AtomicU64,
    /// Records that are to be handed in by now, and those that were.
    wanted: AtomicU64,
    handed_in: AtomicU64,
    enough: AtomicBool,
}

impl Feeder {
    fn new(address: String, token: String) -> Feeder {
        let zero = || AtomicU64::new(0);
        let (allowed, fresh, wanted, handed_in) = (zero(), zero(), zero(), zero());
        let (address, enough) = (Mutex::new(address), AtomicBool::new(false));
        let size = site::lines().len() as u64;
        Feeder { size, token, address, allowed, fresh, wanted, handed_in, enough }
    }

    fn follow(&self, address: &str) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address.to_string();
    }

    /// One more new copy, and so many records in all.
    fn grant(&self, records: u64) {
        self.allowed.fetch_add(1, Ordering::SeqCst);
        self.wanted.fetch_max(records, Ordering::SeqCst);
    }

    /// One more new copy if all others have been handed in.
    fn allow_one_more(&self) {
        let fresh = self.fresh.load(Ordering::SeqCst);
        let _ = self.allowed.compare_exchange(fresh, fresh + 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn run(&self, drop: &Path) {
        for number in 0_u64.. {
            let (fresh, allowed) = (self.fresh.load(Ordering::SeqCst), self.allowed.load(Ordering::SeqCst));
            let behind = self.handed_in.load(Ordering::SeqCst) < self.wanted.load(Ordering::SeqCst);
            let copy = if fresh < allowed {
                fresh
            } else if self.enough.load(Ordering::SeqCst) && !behind {
                return;
            } else if behind && fresh > 0 {
                number % fresh
            } else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            let piece = site::copy(copy).join("\n") + "\n";
            if number % 3 == 2 {
                hand_over(drop, number, &piece);
            } else {
                // One death follows another, and on a busy machine each start takes its time: none may take it.
                eventually("a piece is taken", 5 * PATIENCE, || self.post(&piece));
            }
            self.handed_in.fetch_add(self.size, Ordering::SeqCst);
            self.fresh.fetch_max(copy + 1, Ordering::SeqCst);
        }
    }

    /// `None`: the process is away or has died over it; the whole piece is sent again.
    fn post(&self, piece: &str) -> Option<()> {
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let headers = [("authorization", &*format!("Bearer {}", self.token)), ("content-type", "application/x-ndjson")];
        let url = format!("{address}/v1/call-events?switch={SWITCH}");
        let answer = http::request("POST", &url, &headers, Some(piece)).ok()?;
        if answer.status == 503 {
            return None;
        }
        let json = answer.json();
        assert_eq!((answer.status, &json["rejected"]), (200, &Value::from(0)), "{}", answer.body);
        assert_eq!(json["accepted"], piece.lines().count());
        Some(())
    }
}

/// As a switch's file transfer does it: written aside, renamed, marked as complete.
fn hand_over(drop: &Path, number: u64, piece: &str) {
    let (hidden, file) = (drop.join(format!("{number}.jsonl.part")), drop.join(format!("{number}.jsonl")));
    let written = fs::write(&hidden, piece).and_then(|()| fs::rename(&hidden, &file));
    written
        .and_then(|()| fs::write(drop.join(format!("{number}.jsonl.done")), ""))
        .expect("the drop folder takes files");
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let files = entries.filter(|entry| entry.path().is_file());
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".jsonl")).collect()
}
