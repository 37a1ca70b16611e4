//! Tests of runs over streams: what a run finds where it knows the times of a stream is what it finds by going over
//! all of it.

use super::*;
use crate::FOLD_VERSION;
use crate::bench::Load;
use bus::stream::{FrameParts, StreamWriter};
use bus::{EmbeddedBus, EmbeddedConfig};
use facts::OccurredAt;
use facts::call::Call;
use facts::ids::{Cause, RunId};
use facts::run::{RunInput, RunKind, RunPlan, Selection, run_stream};
use facts::stream::Input;
use facts::xdr::{Position, RatedCall, Revision};
use rating::Tariffs;
use rating::rerate::{Preview, Sheet, lines, reprice};
use schemas::frame::FrameBuilder;
use smallvec::smallvec;
use std::collections::BTreeMap;
use std::path::PathBuf;

const HOUR: i64 = 3_600_000_000;
const RUN: RunId = RunId([9; 16]);

struct World {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    folder: tempfile::TempDir,
    old: Tariffs,
    new: Tariffs,
    numbers: Vec<facts::E164>,
    /// Every revision that was written: source, place, call.
    written: Vec<(usize, Position, RatedCall)>,
    read: AtomicU64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path().join("log"))).unwrap());
        let load = Load::new(300, 50);
        let mut dearer = load.decks.clone();
        dearer[0].rates.iter_mut().for_each(|rate| rate.next_rate.0 += 70_000_000);
        let config = Load::config();
        let [old, new] = [&load.decks, &dearer].map(|decks| Tariffs::with_decks(&config, &[&decks[0], &decks[1]]));
        let (ids, read, written) = Default::default();
        Self { bus, ids, folder, old, new, numbers: load.numbers.clone(), written, read }
    }

    fn stream(source: usize) -> smol_str::SmolStr {
        match source {
            2 => run_stream("main", RunId([5; 16])),
            partition => format!("xdrs.main.{partition}").into(),
        }
    }

    /// A call as the rater would store it.
    fn rated(&self, number: usize, hour: i64, revision: Revision) -> RatedCall {
        let at = OccurredAt(hour * HOUR + number as i64);
        let called = self.numbers[number % self.numbers.len()];
        let mut call = Call {
            call_id: facts::CallId::new("d", "edge-1", &format!("call {number}")),
            switch: "edge-1".into(),
            call_key: format!("call {number}").into(),
            called: called.as_str().into(),
            called_number: Some(called),
            started_at: at,
            answered_at: Some(at),
            ended_at: OccurredAt(at.0 + 90_000_000),
            duration: 90_000_000 + (number as i64 % 7) * 10_000_000,
            ..Call::default()
        };
        call.inbound.ip = format!("10.0.0.{}", number % 20 + 1).into();
        let mut attempt = facts::call::Attempt { key: "b".into(), duration: call.duration, ..Default::default() };
        attempt.outbound.trunk = format!("vendor-{}", number % 8).into();
        attempt.answered_at = Some(at);
        call.attempts.push(attempt);
        let xdrs = self.old.rate_as(&call, &Cause::First);
        RatedCall { revision, call, xdrs }
    }

    /// Writes the calls to a source, `each` to a frame.
    fn write(&mut self, source: usize, calls: Vec<RatedCall>, each: usize) {
        let stream = Self::stream(source);
        let base = Self::stream(0);
        let mut writer =
            StreamWriter::claim::<RunError>(&*self.bus, &self.ids, &stream, "test", None, 1, &mut |_| Ok(())).unwrap();
        let mut builder = FrameBuilder::new();
        for some in calls.chunks(each) {
            let seq = writer.state().seq() + 1;
            for (index, call) in some.iter().enumerate() {
                builder.push(|public, private| schemas::xdrs::encode_call(call, public, private)).unwrap();
                self.written.push((source, Position { seq, index: index as u32 }, call.clone()));
            }
            // A run says which stream it was made from.
            let from = writer.state().next_position(&base);
            let to = Position { seq: from.seq + 1, index: 0 };
            let of_run = Input::Stream { stream: base.clone(), from, to };
            let parts = FrameParts {
                item_schema: schemas::xdrs::ITEMS,
                config_seq: 1,
                fold_version: FOLD_VERSION,
                inputs: if source == 2 { smallvec![of_run] } else { smallvec![] },
                floor: None,
                clock: None,
                wall_micros: 1,
            };
            writer.append(&mut builder, parts).unwrap();
        }
        writer.settle().unwrap();
        writer.confirm().unwrap();
    }

    fn plan(&self, selection: Selection) -> RunPlan {
        let ends: BTreeMap<usize, u64> = self.written.iter().map(|(source, at, _)| (*source, at.seq)).collect();
        let input = |(source, last): (&usize, &u64)| RunInput {
            stream: Self::stream(*source),
            to: Position { seq: last + 1, index: 0 },
        };
        RunPlan { inputs: ends.iter().map(input).collect(), selection, ..RunPlan::default() }
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("times")
    }

    fn preview(&self, plan: &RunPlan, kept: Option<&Path>) -> Preview {
        let (stop, done) = Default::default();
        let (bus, ids, read) = (&self.bus, &self.ids, &self.read);
        let worker = Worker { bus, ids, site: "main", stop: &stop, done: &done, read, kept };
        let scan = Scan::new(&worker, &plan.inputs).unwrap();
        preview(&worker, &scan, RUN, plan, Some(&self.new)).unwrap()
    }

    /// The same from what was written, whole calls one by one: the last revision of each holds.
    fn expected(&self, selection: &Selection) -> Preview {
        let mut sheet = Sheet::default();
        let current: BTreeMap<_, &RatedCall> =
            self.written.iter().map(|(_, _, call)| (call.call.call_id, call)).collect();
        for call in current.values() {
            if let Some(sides) = reprice(&self.new, RunKind::Rerate, selection, RUN, call) {
                sheet.add(&lines(&call.xdrs), &lines(&sides)).unwrap();
            }
        }
        sheet.finish()
    }
}

fn hours(from: i64, until: i64) -> Selection {
    let at = |hour: i64| Some(OccurredAt(hour * HOUR));
    Selection { from: at(from), until: at(until), ..Selection::default() }
}

/// Two days in order, one call to a frame so that there are many; then calls of the first day that a switch delivered a
/// day late, late truth that moves a call out of its hour and one into it, and a run.
fn two_days() -> World {
    let mut world = World::new();
    for source in 0..2 {
        let calls = (0..192).map(|n| world.rated(n * 2 + source, n as i64 / 4, Revision::First)).collect();
        world.write(source, calls, 2);
    }
    let late = (400..403).map(|n| world.rated(n, 5, Revision::First)).collect();
    world.write(0, late, 1);
    let of = |world: &World, source: usize, number: usize| {
        let id = world.rated(number, 0, Revision::First).call.call_id;
        let found = world.written.iter().rev().find(|(at, _, call)| *at == source && call.call.call_id == id);
        found.map(|(_, at, _)| *at).unwrap()
    };
    let moved = [(41, 40), (301, 5)].map(|(number, hour)| {
        let based_on = of(&world, 1, number);
        world.rated(number, hour, Revision::Late { trigger: [1; 16], based_on })
    });
    world.write(1, moved.into(), 1);
    let rerun = [44, 46].map(|number| {
        let based_on = of(&world, 0, number);
        let mut call = world.rated(number, number as i64 / 8, Revision::Run { run: [5; 16], based_on });
        call.call.duration += 60_000_000;
        call.xdrs = world.old.rate_as(&call.call, &Cause::First);
        call
    });
    world.write(2, rerun.into(), 1);
    world
}

#[test]
fn a_run_of_one_hour_misses_no_call_of_it_however_late_it_was_written() {
    let world = two_days();
    let all = world.preview(&world.plan(Selection::default()), None);
    assert_eq!(all, world.expected(&Selection::default()));
    assert_eq!(all.calls, 2 * 192 + 3);
    let frames =
        world.written.iter().map(|(source, at, _)| (*source, at.seq)).collect::<std::collections::BTreeSet<_>>();
    world.preview(&world.plan(Selection::default()), Some(&world.kept()));
    for hour in 0..48 {
        let chosen = hours(hour, hour + 1);
        let plan = world.plan(chosen.clone());
        let expected = world.expected(&chosen);
        assert_eq!(world.preview(&plan, None), expected, "hour {hour}, nothing kept");
        world.read.store(0, Ordering::Relaxed);
        assert_eq!(world.preview(&plan, Some(&world.kept())), expected, "hour {hour}, times kept");
        let read = world.read.load(Ordering::Relaxed);
        assert!(read < frames.len() as u64 / 2, "hour {hour}: {read} of {} frames were read", frames.len());
    }
    // Two of the hour's eight moved away or in, three came late.
    assert_eq!(world.expected(&hours(5, 6)).calls, 8 - 1 + 1 + 3);
    assert_eq!(world.expected(&hours(40, 41)).calls, 8 + 1);
}

#[test]
fn what_came_since_is_read_on_and_a_run_goes_no_further_than_its_plan() {
    let mut world = two_days();
    let earlier = world.plan(hours(5, 6));
    let before = world.preview(&earlier, Some(&world.kept()));
    let based_on = world.written.iter().find(|(source, _, call)| *source == 0 && call.call.started_at.0 / HOUR == 5);
    let (based_on, mut call) = based_on.map(|(_, at, call)| (*at, call.clone())).unwrap();
    call.revision = Revision::Late { trigger: [2; 16], based_on };
    call.call.duration += 600_000_000;
    call.xdrs = world.old.rate_as(&call.call, &Cause::First);
    world.write(0, vec![call], 1);
    let now = world.plan(hours(5, 6));
    world.read.store(0, Ordering::Relaxed);
    let after = world.preview(&now, Some(&world.kept()));
    assert_eq!(after, world.expected(&hours(5, 6)));
    assert_ne!(after, before);
    assert!(world.read.load(Ordering::Relaxed) < 100, "only what came since, and the frames of the hour");
    assert_eq!(world.preview(&earlier, Some(&world.kept())), before, "what the earlier plan fixed stays");
}

#[test]
fn kept_times_that_are_damaged_or_of_another_log_count_for_nothing() {
    let world = two_days();
    let plan = world.plan(hours(5, 6));
    let expected = world.preview(&plan, Some(&world.kept()));
    let file = world.kept().join("xdrs.main.0.times");
    let whole = std::fs::read(&file).unwrap();
    for at in [0, 9, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        assert_eq!(world.preview(&plan, Some(&world.kept())), expected, "byte {at}");
        assert_eq!(std::fs::read(&file).unwrap(), whole, "made anew");
    }
    let mut other = two_days();
    let call = other.rated(1, 5, Revision::First);
    other.write(0, vec![call], 1);
    let plan = other.plan(hours(5, 6));
    let expected = other.preview(&plan, None);
    assert_eq!(other.preview(&plan, Some(&world.kept())), expected);
}
