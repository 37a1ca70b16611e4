//! Loading from a real stream on the embedded bus: fences, void frames and restarts in the middle change nothing.

use super::engine;
use super::load::{assert_ties, load_all};
use super::sample::{Memory, STREAM, stream};
use bus::stream::{FrameParts, StreamError, StreamWriter};
use bus::{Bus, EmbeddedBus, EmbeddedConfig};
use facts::stream::STREAM_START;
use facts::xdr::{ImportCount, XdrItem};
use reporting::loader::{BusFrames, FrameCalls, Loader};
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
