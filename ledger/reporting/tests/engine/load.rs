//! The loader against the real engine: whatever is killed, lost or sent twice, the sums are those of the log.

use super::sample::{Dice, Memory, STREAM, all, current, stream};
use super::{config, engine, run};
use facts::xdr::{Position, RatedCall, Side};
use reporting::door::Embedded;
use reporting::loader::{LoadError, Loader};
use reporting::reports::{Cut, SideTotal, Totals, check_rollups, totals};
use reporting::{Engine, ReportingConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub fn loader(engine: &Engine, dir: &Path, memory: &Memory, rows: usize) -> Loader {
    let mut loader = Loader::open(engine, "main", dir).unwrap();
    loader.rows_max = rows;
    loader.range_time = Duration::ZERO;
    loader.add(STREAM, Box::new(memory.clone())).unwrap();
    loader
}

pub fn load_all(loader: &mut Loader) -> u64 {
    let mut rows = 0;
    loop {
        let step = loader.step(&all).unwrap();
        if step.frames == 0 {
            return rows;
        }
        rows += step.rows;
    }
}

/// Side, level, account, currency.
type Key = (String, u8, String, String);

/// By plain loops over the log, what the engine must say.
pub fn expected(calls: &[RatedCall]) -> (i64, i64, Vec<SideTotal>) {
    let mut sums: BTreeMap<Key, (i64, i64, i128, i128)> = BTreeMap::new();
    let mut attempts = 0;
    for rated in calls {
        attempts += rated.call.attempts.len() as i64;
        for x in &rated.xdrs {
            let side = if x.side == Side::Sell { "sell" } else { "buy" };
            let key = (side.to_owned(), x.level, x.account.to_string(), x.currency.to_string());
            let sum = sums.entry(key).or_default();
            sum.0 += 1;
            sum.1 += x.billed;
            sum.2 += x.amount.0;
            sum.3 += if x.unrated.is_some() { x.amount.0 } else { 0 };
        }
    }
    let mut sides: Vec<SideTotal> = sums
        .into_iter()
        .map(|((side, level, account, currency), (xdrs, billed_us, net, provisional_net))| SideTotal {
            side,
            level,
            account,
            currency,
            xdrs,
            billed_us,
            net,
            provisional_net,
            tax_total: 0,
        })
        .collect();
    sides.sort();
    (calls.len() as i64, attempts, sides)
}

pub fn found(engine: &Engine) -> Totals {
    let mut session = engine.session();
    let cut = Cut { stream: STREAM.to_owned(), before: Position { seq: u64::MAX, index: 0 } };
    run(totals(&mut session, "main", &[cut])).unwrap()
}

pub fn assert_ties(engine: &Engine, memory: &Memory) {
    let found = found(engine);
    let (calls, attempts, sides) = expected(&current(&memory.frames.lock().unwrap()));
    assert_eq!((found.calls, found.attempts), (calls, attempts));
    let mut found_sides = found.sides;
    found_sides.retain(|s| s.xdrs != 0 || s.net != 0);
    found_sides.sort();
    assert_eq!(found_sides, sides);
    let rollups = run(async { check_rollups(&mut engine.session()).await }).unwrap();
    assert!(rollups.iter().all(|r| r.differing == 0), "{rollups:?}");
}

#[test]
fn corrections_levels_and_both_currencies_tie_to_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("engine"));
    let memory = Memory::new(stream(5_000, 200, 1));
    let mut loader = loader(&engine, dir.path(), &memory, 700);
    load_all(&mut loader);
    assert_ties(&engine, &memory);
    let rows = found(&engine).rows;
    assert_eq!(load_all(&mut loader), 0, "nothing is left to load");
    assert_eq!(found(&engine).rows, rows);
}

#[test]
fn nothing_is_loaded_beyond_what_the_ledger_has_booked() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("engine"));
    let memory = Memory::new(stream(1_000, 100, 2));
    let mut loader = loader(&engine, dir.path(), &memory, 1_000_000);
    assert_eq!(loader.step(&|_| None).unwrap().rows, 0);
    // Half of frame 4 is booked: only 1 to 3 are loaded.
    loader.step(&|_| Some(Position { seq: 4, index: 50 })).unwrap();
    assert_eq!(loader.status().lock().unwrap()[0].loaded, Position { seq: 4, index: 0 });
    let mut session = engine.session();
    let highest = run(async { session.db().query("SELECT max(seq) FROM attempts").fetch_one::<u64>().await.unwrap() });
    let frames = memory.frames.lock().unwrap().clone();
    let booked = frames.iter().filter(|f| f.seq < 4 && !f.calls.is_empty()).map(|f| f.seq).max();
    assert_eq!(Some(highest), booked);
    load_all(&mut loader);
    assert_ties(&engine, &memory);
}

#[test]
fn killing_engine_and_loader_at_random_moments_changes_no_sum() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("engine"));
    // A hundred in `tests/night`, another course each time with TANDEM_SEED.
    let wanted = if std::env::var_os("TANDEM_NIGHT").is_some() { 100 } else { 5 };
    let seed = std::env::var("TANDEM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(4);
    println!("TANDEM_SEED={seed}");
    let memory = Memory::new(stream(2_400 * wanted, 100, 3));
    let mut dice = Dice(seed);
    let mut kills = 0;
    let mut killers = Vec::new();
    let mut loader = loader(&engine, dir.path(), &memory, 1_500);
    loop {
        if kills < wanted && dice.roll(2) == 0 {
            kills += 1;
            let after = Duration::from_millis(dice.roll(120));
            let engine = engine.clone();
            killers.push(std::thread::spawn(move || {
                std::thread::sleep(after);
                super::kill(engine.child_pid().unwrap());
            }));
        }
        match loader.step(&all) {
            Ok(step) if step.frames == 0 => break,
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(&error, LoadError::Engine(e) if e.passes_by_itself()), "{error}");
                if dice.roll(2) == 0 {
                    // The loader's process dies as well and starts with nothing but its notes.
                    loader = reopen(&engine, dir.path(), &memory);
                } else {
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
    }
    assert_eq!(kills, wanted);
    for killer in killers {
        killer.join().unwrap();
    }
    super::wait_until_back(&mut engine.session());
    assert_ties(&engine, &memory);
}

fn reopen(engine: &Engine, dir: &Path, memory: &Memory) -> Loader {
    for _ in 0..300 {
        if let Ok(mut loader) = Loader::open(engine, "main", dir) {
            loader.rows_max = 1_500;
            loader.range_time = Duration::ZERO;
            if loader.add(STREAM, Box::new(memory.clone())).is_ok() {
                return loader;
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the engine did not come back within 30 s");
}

#[test]
fn a_range_sent_but_not_ticked_off_is_sent_again_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("engine"));
    let memory = Memory::new(stream(2_000, 100, 5));
    load_all(&mut loader(&engine, dir.path(), &memory, 100_000));
    let rows = found(&engine).rows;
    let note = dir.path().join(format!("{STREAM}.json"));
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    // As after a crash between the engine's answer and the tick; all was one range.
    json["pending"] = serde_json::json!({ "to": json["loaded"], "noted_ms": 1_000 });
    json["loaded"] = serde_json::json!({ "seq": 1, "index": 0 });
    std::fs::write(&note, json.to_string()).unwrap();
    load_all(&mut loader(&engine, dir.path(), &memory, 100_000));
    assert_eq!(found(&engine).rows, rows);
    assert_ties(&engine, &memory);
}

#[test]
fn a_server_that_may_have_forgotten_the_token_gets_the_range_deleted_and_loaded_anew() {
    let dir = tempfile::tempdir().unwrap();
    let child = Embedded::start(config(&dir.path().join("engine"))).unwrap_or_else(|e| panic!("{e}"));
    let door = child.endpoint();
    // The same engine as a server by configuration: others may write to it, so an old token is not trusted.
    let server = ReportingConfig { url: door.url, user: door.user, password: door.password, ..Default::default() };
    let engine = Engine::open(&server, Path::new("/nonexistent")).unwrap_or_else(|e| panic!("{e}"));
    let memory = Memory::new(stream(2_000, 100, 6));
    load_all(&mut loader(&engine, dir.path(), &memory, 100_000));
    assert_ties(&engine, &memory);
    let rows = found(&engine).rows;
    let note = dir.path().join(format!("{STREAM}.json"));
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    // All was sent as one range; it is an hour later, and the tick is missing. Half of it is gone from the engine.
    json["pending"] = serde_json::json!({ "to": json["loaded"], "noted_ms": 1_000 });
    json["loaded"] = serde_json::json!({ "seq": 1, "index": 0 });
    std::fs::write(&note, json.to_string()).unwrap();
    run(async {
        let mut session = engine.session();
        session
            .execute("damage", "ALTER TABLE attempts DELETE WHERE seq % 2 = 0 SETTINGS mutations_sync = 2")
            .await
            .unwrap();
    });
    load_all(&mut loader(&engine, dir.path(), &memory, 100_000));
    assert_eq!(found(&engine).rows, rows);
    assert_ties(&engine, &memory);
}

#[test]
fn lost_notes_or_a_lost_database_mean_loading_again_and_not_twice() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::new(stream(1_500, 100, 7));
    let engine = engine(&dir.path().join("engine"));
    load_all(&mut loader(&engine, dir.path(), &memory, 400));
    let rows = found(&engine).rows;
    // The folder with the notes is lost; the engine still remembers every token.
    std::fs::remove_file(dir.path().join(format!("{STREAM}.json"))).unwrap();
    let mut again = loader(&engine, dir.path(), &memory, 400);
    load_all(&mut again);
    assert_eq!(found(&engine).rows, rows);
    assert_ties(&engine, &memory);
    // Asked for by a person.
    again.reload(STREAM).unwrap();
    load_all(&mut again);
    assert_eq!(found(&engine).rows, rows);
    assert_ties(&engine, &memory);
    drop(again);
    // The engine's folder is lost; the notes are not.
    drop(engine);
    std::fs::remove_dir_all(dir.path().join("engine")).unwrap();
    let engine = super::engine(&dir.path().join("engine"));
    load_all(&mut loader(&engine, dir.path(), &memory, 400));
    assert_ties(&engine, &memory);
}
