//! Loading from a real stream on the embedded bus: fences, void frames and restarts in the middle change nothing.

use super::engine;
use super::load::{assert_ties, load_all};
use super::sample::{Memory, STREAM, stream};
use bus::stream::{FrameParts, StreamError, StreamWriter};
use bus::{Bus, EmbeddedBus, EmbeddedConfig};
use facts::stream::{Input, STREAM_START};
use facts::xdr::{ImportCount, Position, XdrItem};
use reporting::loader::{Books, BusFrames, FrameCalls, Loader};
use schemas::{FrameBuilder, SchemaIds, xdrs};
use std::sync::Arc;
use std::time::Duration;

fn claim(bus: &dyn Bus, owner: &str) -> StreamWriter {
    StreamWriter::claim::<StreamError>(bus, &SchemaIds::default(), STREAM, owner, None, 1, &mut |_| Ok(())).unwrap()
}

fn append(writer: &mut StreamWriter, frame: &FrameCalls) -> Result<u64, StreamError> {
    let mut builder = FrameBuilder::new();
    for (_, call) in &frame.calls {
        let call = XdrItem::Call(Box::new(call.clone()));
        let count = XdrItem::ImportCount(Box::<ImportCount>::default());
        for item in [call, count] {
            builder.push(|public, private| xdrs::encode_item(&item, public, private)).unwrap();
        }
    }
    let parts = FrameParts {
        item_schema: xdrs::ITEMS,
        config_seq: 1,
        fold_version: 1,
        inputs: Default::default(),
        floor: Some(0),
        clock: None,
        wall_micros: 1_000_000,
    };
    writer.append(&mut builder, parts)
}

#[test]
fn a_stream_with_two_owners_and_void_frames_loads_as_the_log_says() {
    let dir = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(dir.path().join("log"))).unwrap());
    let engine = engine(&dir.path().join("engine"));
    let frames = stream(2_000, 60, 31);
    let ids = SchemaIds::default();
    let open = || {
        let mut loader = Loader::open(&engine, "main", dir.path()).unwrap();
        loader.range_time = Duration::ZERO;
        loader.rows_max = 300;
        loader.add(STREAM, Box::new(BusFrames::new(bus.clone(), ids.clone(), STREAM))).unwrap();
        loader
    };
    // No topic yet: nothing to load, and no error.
    let mut loader = open();
    assert_eq!(load_all(&mut loader), 0);

    let (first, second) = frames.split_at(frames.len() / 2);
    let mut old = claim(&*bus, "old");
    for frame in first {
        assert_eq!(append(&mut old, frame).unwrap(), frame.seq);
    }
    old.settle().unwrap();
    load_all(&mut loader);
    assert_ties(&engine, &Memory::new(first.to_vec()));

    // The old owner goes on writing after another has taken over: void.
    let mut new = claim(&*bus, "new");
    append(&mut old, &second[0]).unwrap();
    old.settle().unwrap();
    for frame in second {
        assert_eq!(append(&mut new, frame).unwrap(), frame.seq);
    }
    new.settle().unwrap();
    drop(loader);
    let mut loader = open();
    load_all(&mut loader);
    assert_ties(&engine, &Memory::new(frames.clone()));
    let loaded = loader.status().lock().unwrap()[0].loaded;
    assert_eq!(loaded.seq, frames.last().unwrap().seq + 1);
    assert!(loaded > STREAM_START);
}

/// A ledger's frame that has booked the rated calls up to here.
fn book(ledger: &mut StreamWriter, to: u64) {
    let (from, to) = (Position { seq: to - 1, index: 0 }, Position { seq: to, index: 0 });
    let inputs = if to.seq > 1 { vec![Input::Stream { stream: STREAM.into(), from, to }] } else { Vec::new() };
    let parts = FrameParts {
        item_schema: schemas::ledger::ITEMS,
        config_seq: 1,
        fold_version: 1,
        inputs: inputs.into(),
        floor: None,
        clock: None,
        wall_micros: 1_000_000,
    };
    ledger.append(&mut FrameBuilder::new(), parts).unwrap();
    ledger.settle().unwrap();
}

#[test]
fn a_followed_ledger_that_is_ahead_of_the_reports_is_waited_for_and_not_read_from_its_start_again() {
    let dir = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(dir.path().join("log"))).unwrap());
    let engine = engine(&dir.path().join("engine"));
    let ids = SchemaIds::default();
    let frames = stream(400, 60, 31);
    let claimed = |stream: &str| {
        let claim = StreamWriter::claim::<StreamError>(&*bus, &ids, stream, "own", None, 1, &mut |_| Ok(()));
        claim.unwrap()
    };
    let (mut rated, mut ledger) = (claim(&*bus, "own"), claimed("ledger.main"));
    let mut loader = Loader::open(&engine, "main", dir.path()).unwrap();
    // Ranges stay open for a while, so that the ledger comes first.
    loader.range_time = Duration::from_millis(50);
    loader.add(STREAM, Box::new(BusFrames::new(bus.clone(), ids.clone(), STREAM))).unwrap();
    loader.follow_books(Books::new(bus.clone(), ids.clone(), "main")).unwrap();
    book(&mut ledger, 1);
    let status = loader.status();
    let loaded = || status.lock().unwrap().iter().map(|one| one.loaded.seq).collect::<Vec<_>>();
    let mut load_until = |wanted: [u64; 2]| {
        let (began, mut least) = (std::time::Instant::now(), loaded());
        while loaded() != wanted {
            loader.step(&|_| None).unwrap();
            let now = loaded();
            assert!(now.iter().zip(&least).all(|(now, before)| now >= before), "from {least:?} back to {now:?}");
            assert!(began.elapsed() < Duration::from_secs(60), "{now:?} instead of {wanted:?}");
            least = now;
        }
    };
    load_until([1, 2]);
    for (at, frame) in (2..).zip(&frames) {
        append(&mut rated, frame).unwrap();
        rated.settle().unwrap();
        book(&mut ledger, at);
        load_until([at, at + 1]);
    }
    assert_ties(&engine, &Memory::new(frames));
}
