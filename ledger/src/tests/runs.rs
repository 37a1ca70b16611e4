//! Streams of runs (design 9.2): booked like the raters', refused where what they were made from has been replaced.

use accounting::sample::{late, priced, rated, run as rerated};
use bus::Bus;
use bus::run_log::RunLog;
use bus::stream::{FrameParts, StreamError, StreamWriter};
use facts::OccurredAt;
use facts::ids::RunId;
use facts::run::{RunAction, RunOrder, RunPlan, run_stream};
use facts::stream::{Input, STREAM_START};
use facts::xdr::{Position, RatedCall};
use schemas::frame::FrameBuilder;
use smallvec::smallvec;

use super::world::*;
use crate::{LedgerView, verify};

/// One frame of run `run` over `base`, as whoever posts a run writes it.
fn post(bus: &dyn Bus, run: u8, base: &str, calls: &[RatedCall]) -> (String, Position) {
    let stream = run_stream("main", RunId([run; 16]));
    let mut orders = RunLog::open(bus, &ids(), "main").unwrap();
    let plan = Box::new(RunPlan { agreements: vec![format!("a{run}").into()], ..RunPlan::default() });
    for action in [RunAction::Preview(plan), RunAction::Post { ledger_seq: 1 }] {
        let (at, by, reason) = (OccurredAt(1), "test".into(), "".into());
        orders.write(bus, &RunOrder { run: RunId([run; 16]), at, by, reason, action }).unwrap();
    }
    let mut writer = StreamWriter::claim::<StreamError>(bus, &ids(), &stream, "run", None, 1, &mut |_| Ok(())).unwrap();
    let mut builder = FrameBuilder::new();
    for call in calls {
        builder.push(|public, private| schemas::xdrs::encode_call(call, public, private)).unwrap();
    }
    let parts = FrameParts {
        item_schema: schemas::xdrs::ITEMS,
        config_seq: 1,
        fold_version: 1,
        inputs: smallvec![Input::Stream { stream: base.into(), from: STREAM_START, to: at(2, 0) }],
        floor: None,
        clock: None,
        wall_micros: 2_000_000,
    };
    writer.append(&mut builder, parts).unwrap();
    (stream.to_string(), at(writer.settle().unwrap() + 1, 0))
}

fn owed(ledger: &Running) -> String {
    ledger.door.view.balances(Some("acme")).unwrap()[0].owed.to_string()
}

#[test]
fn a_run_moves_money_once_and_only_from_the_very_revision_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    // Both calls stand at the same position, in two streams.
    let call = |price: &str| rated("c0", ("acme", price), &[]);
    let ends = rate(&*bus, &vec![(0, vec![call("1")]), (1, vec![rated("p0", ("acme", "2"), &[])])]);
    let ledger = Running::start(options(bus.clone(), folder.path()));
    ledger.booked(&ends);
    assert_eq!(owed(&ledger), "3");

    ledger.booked(&[post(&*bus, 1, "xdrs.main.0", &[rerated(priced(call("1"), 0, "3"), 1, at(1, 0))])]);
    assert_eq!(owed(&ledger), "5");
    // Made from the rater's revision, but now the first run's is current: it stands at an equal position elsewhere.
    let status = ledger.booked(&[post(&*bus, 2, "xdrs.main.0", &[rerated(priced(call("1"), 0, "70"), 2, at(1, 0))])]);
    assert_eq!((owed(&ledger), status.refused), ("5".to_owned(), 1));
    // Undone by a run made from the run.
    let first_run = run_stream("main", RunId([1; 16]));
    let status = ledger.booked(&[post(&*bus, 3, &first_run, &[rerated(call("1"), 3, at(1, 0))])]);
    assert_eq!((owed(&ledger), status.refused), ("3".to_owned(), 1));
    drop(ledger);

    // The first is done: its stream is read no more. The others are found again after a restart.
    let mut orders = RunLog::open(&*bus, &ids(), "main").unwrap();
    let done = RunAction::Done { calls: 1, refused: 0, ledger_seq: 3 };
    let (at_once, by, reason) = (OccurredAt(1), "test".into(), "".into());
    orders.write(&*bus, &RunOrder { run: RunId([1; 16]), at: at_once, by, reason, action: done }).unwrap();
    // Started again, with what was booked and one more run; late truth is posted whatever a run did before it.
    let end = post(&*bus, 4, "xdrs.main.1", &[rerated(rated("p0", ("acme", "8"), &[]), 4, at(1, 0))]);
    let ledger = Running::start(options(bus.clone(), folder.path()));
    let status = ledger.booked(&[end]);
    assert_eq!((owed(&ledger), status.refused), ("9".to_owned(), 1));
    let ends = rate(&*bus, &vec![(1, vec![late(rated("p0", ("acme", "4"), &[]), 7, at(1, 0))])]);
    ledger.booked(&ends[1..]);
    assert_eq!(owed(&ledger), "5");
    drop(ledger);
    let report = verify(&bus, &ids(), "main", &mut |_, _| {}).unwrap();
    assert!(report.ok, "{:#?}", report.breaks);
    assert_eq!((report.refused, report.not_booked_yet, report.xdrs.len()), (1, 0, 6));
}
