//! Sudden death of the one process, and of its reporting engine, while records flow in: afterwards every figure is
//! that of an undisturbed run.
//!
//! Moments are random; the seed is printed and `TANDEM_KILL_SEED` takes it back. Records come by HTTP and by a drop
//! folder, many of them again and again.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tests::site::{self, BUY, SELL, SWITCH, cell, row_of};
use tests::{Tandem, eventually, http, night};

/// Copies of the 250 records.
const COPIES: u64 = 12;
/// Records handed in at once.
const PIECE: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn figures_after_kills_are_those_of_a_quiet_run() {
    let lines = site::many(COPIES);
    let quiet = quiet_run(&lines);
    let seed = std::env::var("TANDEM_KILL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()))
    });
    let kills = if night() { 100 } else { 5 };
    println!("TANDEM_KILL_SEED={seed}, {kills} kills");
    let killed = killed_run(&lines, kills, seed);
    assert_eq!(killed, quiet, "TANDEM_KILL_SEED={seed}");
}

/// All that must not depend on how often the process died.
#[derive(Debug, PartialEq)]
struct Figures {
    balances: Vec<Value>,
    trial_balance: Vec<Value>,
    reports: Vec<Vec<Value>>,
    /// Entries, calls, merkle root over all balances.
    proof: [Value; 3],
}

impl Figures {
    fn of(tandem: &Tandem) -> Figures {
        // An engine that was killed is started again by itself; until then the check says so and exits with 3.
        let checked = eventually("reports are there again", PATIENCE, || {
            Some(tandem.run(&["report", "check"])).filter(|checked| checked.code != Some(3))
        });
        assert!(checked.stderr.contains("reports and ledger agree to the last digit"), "{checked:?}");
        let proof = tandem.run(&["ledger", "verify", "--json"]).json_lines().remove(0);
        assert_eq!((&proof["ok"], &proof["not_booked_yet"]), (&Value::from(true), &Value::from(0)), "{proof}");
        let report = |name| tandem.run(&["report", name, "--format", "json"]).json_lines();
        Figures {
            balances: tandem.run(&["ledger", "balance", "--json"]).json_lines(),
            trial_balance: tandem.run(&["ledger", "trial-balance", "--json"]).json_lines(),
            reports: ["customer", "vendor", "destination", "hour"].map(report).to_vec(),
            proof: ["entries", "calls", "root"].map(|key| proof[key].clone()),
        }
    }
}

fn quiet_run(lines: &[String]) -> Figures {
    let mut tandem = Tandem::new();
    tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let summary = import_all(&tandem, lines);
    assert_eq!((&summary["accepted"], &summary["repeated"]), (&Value::from(lines.len()), &Value::from(0)));
    let figures = Figures::of(&tandem);
    let (sell, buy) = site::sums();
    let copies = i128::from(COPIES);
    assert_eq!(cell(row_of(&figures.balances, "account", SELL), "owed"), sell * copies);
    assert_eq!(cell(row_of(&figures.balances, "account", BUY), "owed"), -buy * copies);
    tandem.stop();
    figures
}

fn killed_run(lines: &[String], kills: u32, seed: u64) -> Figures {
    let mut tandem = Tandem::new();
    let drop = tandem.home().join("drop");
    fs::create_dir_all(&drop).expect("a drop folder");
    fs::create_dir_all(tandem.data()).expect("a data folder");
    let settings = format!("[[ingest.drop]]\nswitch = \"{SWITCH}\"\nfolder = \"{}\"\n", drop.display());
    fs::write(tandem.data().join("tandem.toml"), settings).expect("the settings can be written");
    let address = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token").trim().to_string();
    let feeder = Feeder {
        pieces: lines.chunks(PIECE).map(|piece| piece.join("\n") + "\n").collect(),
        address: Mutex::new(address),
        token,
        next: AtomicUsize::new(0),
        enough: AtomicBool::new(false),
    };
    let mut dice = seed;
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feeder.run(&drop));
        for kill in 0..kills {
            std::thread::sleep(Duration::from_millis(below(&mut dice, 900)));
            if kill % 5 == 4 {
                kill_engine(tandem.server().id());
                std::thread::sleep(Duration::from_millis(below(&mut dice, 300)));
            }
            tandem.kill();
            let address = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
            *feeder.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
        }
        feeder.enough.store(true, Ordering::SeqCst);
        feeding.join().expect("the feeder does not fail");
    });
    let handed_in = feeder.next.load(Ordering::SeqCst);
    println!("{handed_in} pieces of {PIECE} handed in, {} of them new", feeder.pieces.len());
    eventually("the drop folder is empty", PATIENCE, || left_in(&drop).is_empty().then_some(()));
    assert!(left_in(&drop.join("failed")).is_empty(), "good files were put aside as bad");
    let summary = import_all(&tandem, lines);
    assert_eq!((&summary["accepted"], &summary["repeated"]), (&Value::from(0), &Value::from(lines.len())));
    kill_engine(tandem.server().id());
    let figures = Figures::of(&tandem);
    tandem.stop();
    figures
}

/// Hands pieces in, over and over, until there were kills enough and every piece was taken at least once.
struct Feeder {
    pieces: Vec<String>,
    address: Mutex<String>,
    token: String,
    next: AtomicUsize,
    enough: AtomicBool,
}

impl Feeder {
    fn run(&self, drop: &Path) {
        loop {
            let number = self.next.load(Ordering::SeqCst);
            if number >= self.pieces.len() && self.enough.load(Ordering::SeqCst) {
                return;
            }
            let piece = &self.pieces[number % self.pieces.len()];
            if number % 3 == 2 {
                hand_over(drop, number, piece);
            } else {
                eventually("a piece is taken", PATIENCE, || self.post(piece));
            }
            self.next.store(number + 1, Ordering::SeqCst);
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
fn hand_over(drop: &Path, number: usize, piece: &str) {
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

/// `kill -9` of the embedded engine only: a child of the process.
fn kill_engine(parent: u32) {
    let children = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok).filter_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent_id: u32 = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let door = String::from_utf8_lossy(&command).contains("engine-door");
        (parent_id == parent && door).then_some(id)
    });
    let engines: Vec<u32> = children.collect();
    assert_eq!(engines.len(), 1, "the engine is one child of {parent}");
    let script = format!("kill -s KILL {}", engines[0]);
    let status = std::process::Command::new("sh").args(["-c", &script]).status().expect("sh runs");
    assert!(status.success(), "the engine cannot be killed");
}

/// The summary of an import of everything.
fn import_all(tandem: &Tandem, lines: &[String]) -> Value {
    let file = tandem.home().join("all.jsonl");
    fs::write(&file, lines.join("\n") + "\n").expect("the home can be written");
    let file = file.display().to_string();
    tandem.run(&["calls", "import", &file, "--switch", SWITCH, "--wait", "--json"]).json_lines()[0]["summary"].clone()
}

/// A number below `limit` (splitmix64).
fn below(state: &mut u64, limit: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % limit
}
