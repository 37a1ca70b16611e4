//! Runs and late truth in every order: at every cut of the ledger at which no run is under way, the engine sums what
//! the ledger booked, however far the loader was, whatever it was sent twice and whichever note was lost.

use super::load::expected;
use super::sample::{Dice, Memory, STREAM, call, price};
use super::{engine, run};
use facts::CallId;
use facts::stream::STREAM_START;
use facts::xdr::{Position, RatedCall, Revision};
use reporting::Engine;
use reporting::loader::{FrameCalls, Frames, Loader, PostedRun, RunStreams};
use reporting::reports::{Cut, check_rollups, totals};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A stream in memory, and how much of it the ledger has booked.
#[derive(Clone)]
struct Log {
    name: String,
    memory: Memory,
    booked: Position,
    run: Option<PostedRun>,
}

/// What raters, runs and the ledger did so far.
#[derive(Clone, Default)]
struct World {
    logs: Arc<Mutex<Vec<Log>>>,
}

impl RunStreams for World {
    fn posted(&self) -> Option<Vec<PostedRun>> {
        Some(self.logs.lock().unwrap().iter().filter_map(|log| log.run.clone()).collect())
    }

    fn frames(&self, stream: &str) -> Box<dyn Frames> {
        let logs = self.logs.lock().unwrap();
        Box::new(logs.iter().find(|log| log.name == stream).unwrap().memory.clone())
    }
}

type Place = (String, Position);

impl World {
    fn log(&self, name: String, run: Option<PostedRun>) {
        let memory = Memory::new(Vec::new());
        self.logs.lock().unwrap().push(Log { name, memory, booked: STREAM_START, run });
    }

    fn booked(&self, stream: &str) -> Option<Position> {
        self.logs.lock().unwrap().iter().find(|log| log.name == stream).map(|log| log.booked)
    }

    /// A frame is written and booked: `current` afterwards is what the ledger's rule says.
    fn book(&self, log: usize, base: &str, calls: Vec<RatedCall>, current: &mut BTreeMap<CallId, (Place, RatedCall)>) {
        let log = &mut self.logs.lock().unwrap()[log];
        let seq = log.booked.seq;
        let calls: Vec<_> = (0u32..).step_by(2).zip(calls).collect();
        for (index, rated) in &calls {
            let at = (log.name.clone(), Position { seq, index: *index });
            let holds = current.get(&rated.call.call_id).map(|(place, _)| place.clone());
            if let Revision::Run { based_on, .. } = rated.revision
                && holds != Some((base.to_owned(), based_on))
            {
                continue;
            }
            current.insert(rated.call.call_id, (at, rated.clone()));
        }
        log.memory.frames.lock().unwrap().push(Arc::new(FrameCalls {
            seq,
            base: base.to_owned(),
            calls,
            ..FrameCalls::default()
        }));
        log.booked = Position { seq: seq + 1, index: 0 };
    }

    fn loader(&self, engine: &Engine, dir: &Path) -> Loader {
        let mut loader = Loader::open(engine, "main", dir).unwrap();
        (loader.rows_max, loader.range_time) = (200, Duration::ZERO);
        loader.add(STREAM, self.frames(STREAM)).unwrap();
        loader.follow(Box::new(self.clone()));
        loader
    }

    fn cuts(&self) -> Vec<Cut> {
        let logs = self.logs.lock().unwrap();
        logs.iter().map(|log| Cut { stream: log.name.clone(), before: log.booked }).collect()
    }
}

fn load(loader: &mut Loader, world: &World, steps: u64) {
    for _ in 0..steps {
        loader.step(&|stream| world.booked(stream)).unwrap();
    }
}

fn load_all(loader: &mut Loader, world: &World) {
    while world.cuts().iter().any(|cut| {
        let status = loader.status();
        let status = status.lock().unwrap();
        !status.iter().any(|s| s.stream == cut.stream && s.loaded >= cut.before)
    }) {
        load(loader, world, 1);
    }
}

fn assert_ties(engine: &Engine, cuts: &[Cut], current: &BTreeMap<CallId, (Place, RatedCall)>) {
    let found = run(totals(&mut engine.session(), "main", cuts)).unwrap();
    let calls: Vec<RatedCall> = current.values().map(|(_, rated)| rated.clone()).collect();
    let (calls, attempts, sides) = expected(&calls);
    assert_eq!((found.calls, found.attempts), (calls, attempts));
    let mut found = found.sides;
    found.retain(|side| side.xdrs != 0 || side.net != 0);
    found.sort();
    assert_eq!(found, sides);
}

/// One rater's frame: new calls, and late truth for some old ones.
fn rated(first: u64, last: &mut BTreeMap<CallId, (Position, RatedCall)>, seq: u64, dice: &mut Dice) -> Vec<RatedCall> {
    let mut calls: Vec<RatedCall> = (first..first + 6).map(|n| call(n, dice)).collect();
    let known: Vec<CallId> = last.keys().copied().collect();
    for _ in 0..dice.roll(3).min(known.len() as u64) {
        let (based_on, old) = last[&known[dice.roll(known.len() as u64) as usize]].clone();
        if calls.iter().any(|call| call.call.call_id == old.call.call_id) {
            continue;
        }
        let mut new = price(old.call, dice);
        new.revision = Revision::Late { trigger: [dice.roll(200) as u8; 16], based_on };
        calls.push(new);
    }
    for (index, rated) in (0u32..).step_by(2).zip(&calls) {
        last.insert(rated.call.call_id, (Position { seq, index }, rated.clone()));
    }
    calls
}

#[test]
fn runs_and_late_truth_in_any_order_tie_at_every_cut() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("engine"));
    let seed = std::env::var("TANDEM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(11);
    println!("TANDEM_SEED={seed}");
    let (world, mut dice) = (World::default(), Dice(seed));
    let (mut current, mut last, mut made) = (BTreeMap::new(), BTreeMap::new(), 0);
    world.log(STREAM.to_owned(), None);
    let mut loader = world.loader(&engine, dir.path());
    let mut rater_frame = |current: &mut BTreeMap<_, _>, dice: &mut Dice| {
        let seq = world.booked(STREAM).unwrap().seq;
        world.book(0, "", rated(made, &mut last, seq, dice), current);
        made += 6;
    };
    for number in 1..=4u8 {
        for _ in 0..3 {
            rater_frame(&mut current, &mut dice);
        }
        let steps = dice.roll(4);
        load(&mut loader, &world, steps);
        // The run is previewed now: a third of all calls, in the order of their streams.
        let inputs = world.cuts().into_iter().map(|cut| (cut.stream, cut.before)).collect();
        let mut chosen: BTreeMap<String, Vec<(Position, RatedCall)>> = BTreeMap::new();
        for ((stream, at), old) in current.values().filter(|_| dice.roll(3) == 0) {
            chosen.entry(stream.clone()).or_default().push((*at, old.clone()));
        }
        let stream = format!("xdrs.main.run-{number}");
        world.log(stream.clone(), Some(PostedRun { stream, inputs, done: false }));
        for (base, mut calls) in chosen {
            calls.sort_by_key(|(at, _)| *at);
            for calls in calls.chunks(6) {
                // Late truth comes while the run is booked.
                for _ in 0..dice.roll(2) {
                    rater_frame(&mut current, &mut dice);
                }
                let new = |(based_on, old): &(Position, RatedCall)| {
                    let mut new = price(old.call.clone(), &mut dice);
                    new.revision = Revision::Run { run: [number; 16], based_on: *based_on };
                    new
                };
                let calls = calls.iter().map(new).collect();
                world.book(usize::from(number), &base, calls, &mut current);
                let steps = dice.roll(3);
                load(&mut loader, &world, steps);
            }
        }
        world.logs.lock().unwrap()[usize::from(number)].run.as_mut().unwrap().done = true;
        let (cuts, then) = (world.cuts(), current.clone());
        // The loader runs ahead of the cut that is proved.
        rater_frame(&mut current, &mut dice);
        load_all(&mut loader, &world);
        assert_ties(&engine, &cuts, &then);
        assert_ties(&engine, &world.cuts(), &current);
        // A note is lost: that stream is loaded anew, a run's or the rater's.
        if number % 2 == 0 {
            let stream = &cuts[dice.roll(cuts.len() as u64) as usize].stream;
            loader.reload(stream).unwrap();
            load(&mut loader, &world, 1);
            load_all(&mut loader, &world);
            assert_ties(&engine, &world.cuts(), &current);
        }
    }
    let runs = current.values().filter(|(_, rated)| matches!(rated.revision, Revision::Run { .. })).count();
    assert!(runs > 12 && current.len() > 70, "{runs} of {}", current.len());
    let rollups = run(async { check_rollups(&mut engine.session()).await }).unwrap();
    assert!(rollups.iter().all(|r| r.differing == 0), "{rollups:?}");
    // All of it in one go, in the order of a loader that was never there.
    let (elsewhere, before) = (tempfile::tempdir().unwrap(), world.cuts());
    let engine = super::engine(&elsewhere.path().join("engine"));
    load_all(&mut world.loader(&engine, elsewhere.path()), &world);
    assert_ties(&engine, &before, &current);
}
