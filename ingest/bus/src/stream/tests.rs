//! Two owners on the embedded bus: the later one wins, the earlier one learns of it, nothing is consumed twice.

use super::{Accepted, FrameError, FrameParts, FrameReader, Places, StreamError, StreamReader, StreamWriter};
use crate::{Bus, EmbeddedBus, EmbeddedConfig};
use facts::stream::{Input, STREAM_START};
use facts::xdr::Position;
use schemas::SchemaIds;
use schemas::frame::FrameBuilder;
use std::sync::Arc;

const STREAM: &str = "ledger.test";

fn parts(from: Position, to: Position) -> FrameParts {
    FrameParts {
        item_schema: schemas::ledger::ITEMS,
        config_seq: 1,
        fold_version: 1,
        inputs: [Input::Stream { stream: "xdrs.test.0".into(), from, to }].into_iter().collect(),
        floor: None,
        clock: None,
        wall_micros: 1_000_000,
    }
}

fn at(seq: u64) -> Position {
    Position { seq, index: 0 }
}

fn claim(bus: &dyn Bus, owner: &str) -> StreamWriter {
    StreamWriter::claim::<StreamError>(bus, &SchemaIds::default(), STREAM, owner, None, 1, &mut |_| Ok(())).unwrap()
}

fn append(writer: &mut StreamWriter, from: Position, to: Position) -> Result<u64, StreamError> {
    let mut builder = FrameBuilder::new();
    builder.push(|public, _| public.extend_from_slice(b"item")).unwrap();
    writer.append(&mut builder, parts(from, to))
}

#[test]
fn a_new_owner_goes_on_where_the_old_one_was_and_the_old_one_stops() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap();
    let mut old = claim(&bus, "old");
    append(&mut old, STREAM_START, at(5)).unwrap();
    append(&mut old, at(5), at(9)).unwrap();
    assert_eq!(old.settle().unwrap(), 2);
    assert_eq!(old.confirm().unwrap(), 2);

    let mut new = claim(&bus, "new");
    assert_eq!(new.state().seq(), 2);
    assert_eq!(new.state().next_position("xdrs.test.0"), at(9));
    append(&mut old, at(9), at(11)).unwrap();
    old.settle().unwrap();
    assert!(matches!(old.confirm(), Err(StreamError::Fenced { .. })));
    append(&mut new, at(9), at(12)).unwrap();
    new.settle().unwrap();
    assert_eq!(new.confirm().unwrap(), 3);

    let mut reader = StreamReader::open(&bus, &SchemaIds::default(), STREAM).unwrap();
    let mut seen = Vec::new();
    reader
        .catch_up::<StreamError>(&bus, &mut |accepted| {
            seen.push(accepted.frame.header.seq);
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!(reader.state().next_position("xdrs.test.0"), at(12));
    assert_eq!(reader.voids().values().sum::<u64>(), 1);
}

#[test]
fn an_owner_that_skips_or_repeats_input_is_stopped_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap();
    let mut owner = claim(&bus, "owner");
    append(&mut owner, STREAM_START, at(5)).unwrap();
    for from in [STREAM_START, at(4), at(6)] {
        assert!(matches!(append(&mut owner, from, at(7)), Err(StreamError::NotAccepted { seq: 2, .. })));
    }
    append(&mut owner, at(5), at(7)).unwrap();
    assert_eq!(owner.settle().unwrap(), 2);
}

#[test]
fn a_frame_that_its_reader_could_not_take_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap();
    let mut owner = claim(&bus, "owner");
    append(&mut owner, STREAM_START, at(5)).unwrap();
    owner.settle().unwrap();
    let mut reader = StreamReader::open(&bus, &SchemaIds::default(), STREAM).unwrap();
    let away = || StreamError::NotAccepted { stream: STREAM.into(), seq: 0 };
    assert!(reader.catch_up::<StreamError>(&bus, &mut |_| Err(away())).is_err());
    let mut seen = 0;
    reader
        .catch_up::<StreamError>(&bus, &mut |_| {
            seen += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn a_frame_read_back_is_the_accepted_one_and_not_the_void_one_of_the_same_number() {
    let folder = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap());
    let mut old = claim(&*bus, "old");
    append(&mut old, STREAM_START, at(5)).unwrap();
    old.settle().unwrap();
    let mut new = claim(&*bus, "new");
    append(&mut old, at(5), at(7)).unwrap();
    old.settle().unwrap();
    append(&mut new, at(5), at(8)).unwrap();
    append(&mut new, at(8), at(9)).unwrap();
    new.settle().unwrap();

    let mut followed = Places::default();
    let mut reader = StreamReader::open(&*bus, &SchemaIds::default(), STREAM).unwrap();
    let note = &mut |accepted: Accepted<'_>| {
        followed.note(accepted.frame.header.seq, accepted.offset);
        Ok::<(), StreamError>(())
    };
    reader.catch_up(&*bus, note).unwrap();
    assert_eq!(new.places(), &followed, "the owner knows what a reader finds");
    assert_eq!(followed.offset(4), None);
    let mut frames = FrameReader::new(bus.clone(), SchemaIds::default(), STREAM);
    for (seq, owners_epoch, to) in [(3, 2, at(9)), (1, 1, at(5)), (2, 2, at(8))] {
        let frame = frames.frame(seq, followed.offset(seq).unwrap()).unwrap();
        let Some(Input::Stream { to: found, .. }) = frame.header.inputs.first() else { panic!("no input") };
        assert_eq!((frame.header.epoch, *found), (owners_epoch, to), "frame {seq}");
    }
    let offset = followed.offset(2).unwrap();
    assert!(matches!(frames.frame(3, offset), Err(FrameError::Missing { seq: 3, .. })), "another frame stands there");
}
