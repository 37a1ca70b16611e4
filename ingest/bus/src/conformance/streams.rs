//! Streams on a real bus: owners that race, stall, come back as zombies and write twice. Every input must be consumed
//! exactly once by the accepted frames, and no frame that was confirmed may be void.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use facts::stream::{Input, STREAM_START, VoidReason};
use facts::xdr::Position;
use schemas::SchemaIds;
use schemas::frame::FrameBuilder;

use super::{Open, PATIENCE, read_all};
use crate::api::{Bus, Record};
use crate::stream::{FrameParts, StreamError, StreamReader, StreamWriter};

const SOURCE: &str = "xdrs.elsewhere.0";
const OWNERS: u64 = 3;
const FRAMES: u64 = 60;

fn claim(bus: &dyn Bus, stream: &str, owner: &str) -> Result<StreamWriter, StreamError> {
    StreamWriter::claim(bus, &SchemaIds::default(), stream, owner, None, 1_750_000_000_000_000, &mut |_| Ok(()))
}

/// Appends a frame that consumes `seqs` frames of the source from where the stream stands.
fn append(writer: &mut StreamWriter, seqs: u64) -> Result<u64, StreamError> {
    let from = writer.state().next_position(SOURCE);
    let to = Position { seq: from.seq + seqs, index: 0 };
    let mut builder = FrameBuilder::new();
    let item = builder.push(|public, _| public.extend_from_slice(&from.seq.to_le_bytes()));
    item.expect("a small item fits");
    let parts = FrameParts {
        item_schema: schemas::ledger::ITEMS,
        config_seq: 1,
        fold_version: 1,
        inputs: [Input::Stream { stream: SOURCE.into(), from, to }].into_iter().collect(),
        floor: None,
        clock: None,
        wall_micros: 1_750_000_000_000_000,
    };
    writer.append(&mut builder, parts)
}

/// One owner: claims, writes for a while, confirms, stalls, and claims again when it has been fenced off. Returns the
/// sequence numbers and hashes it was told are accepted.
fn own(bus: &dyn Bus, stream: &str, name: u64, enough: &AtomicBool) -> Vec<(u64, [u8; 32])> {
    let mut confirmed = Vec::new();
    let mut dice = name.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = move |n: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) % n
    };
    while !enough.load(Ordering::Relaxed) {
        let owner = format!("owner {name} {}", below(1 << 30));
        let mut writer = match claim(bus, stream, &owner) {
            Ok(writer) => writer,
            Err(error) => panic!("{owner} cannot claim: {error}"),
        };
        let mut sent = Vec::new();
        for _ in 0..1 + below(12) {
            match append(&mut writer, below(4)) {
                Ok(seq) => sent.push((seq, *writer.state().hash())),
                Err(StreamError::Fenced { .. } | StreamError::NotAccepted { .. }) => break,
                Err(error) => panic!("{owner} cannot append: {error}"),
            }
            // A stall, in which another may take over; then it writes on as a zombie.
            std::thread::sleep(Duration::from_millis(below(15)));
            match writer.confirm() {
                Ok(upto) => {
                    confirmed.extend(sent.iter().filter(|(seq, _)| *seq <= upto).copied());
                    sent.retain(|(seq, _)| *seq > upto);
                    if upto >= FRAMES {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
                // A careless zombie does not stop at once.
                Err(StreamError::Fenced { .. } | StreamError::NotAccepted { .. }) if below(3) > 0 => break,
                Err(StreamError::Fenced { .. } | StreamError::NotAccepted { .. }) => {}
                Err(error) => panic!("{owner} cannot confirm: {error}"),
            }
        }
    }
    confirmed
}

/// Three owners that each believe the stream to be theirs.
pub fn owners_race_for_one_stream(stream: &str, open: Open<'_>) {
    let bus = open();
    let enough = AtomicBool::new(false);
    let began = Instant::now();
    drop(claim(&*bus, stream, "maker").expect("the stream is made"));
    let confirmed: Vec<(u64, [u8; 32])> = std::thread::scope(|scope| {
        let owners: Vec<_> = (1..=OWNERS)
            .map(|name| {
                let (bus, enough) = (Arc::clone(&bus), &enough);
                scope.spawn(move || own(&*bus, stream, name, enough))
            })
            .collect();
        owners.into_iter().flat_map(|owner| owner.join().expect("an owner")).collect()
    });
    assert!(began.elapsed() < PATIENCE * 4, "the owners hinder each other for ever");

    // Somebody's bytes that are no frame, and a frame once more, as a retry of a broken client leaves it.
    let (last, last_bytes) = read_all(&*bus, stream, 0, 0).pop().expect("a last record");
    let mut writer = bus.writer(stream).expect("writer");
    for value in [b"no frame".as_slice(), &last_bytes] {
        writer.append(0, &[Record { key: b"", value, timestamp_ms: 1_750_000_000_000 }]).expect("append");
    }
    let mut reader = StreamReader::open(&*bus, &SchemaIds::default(), stream).expect("reader");
    let (mut accepted, mut next) = (Vec::new(), STREAM_START);
    reader
        .catch_up::<StreamError>(&*bus, &mut |frame| {
            let Some(Input::Stream { from, to, .. }) = frame.frame.header.inputs.first().cloned() else {
                panic!("a frame without its input");
            };
            assert_eq!(from, next, "every input once: frame {}", frame.frame.header.seq);
            next = to;
            accepted.push((frame.frame.header.seq, frame.hash));
            Ok(())
        })
        .expect("the stream is read to its end");
    assert!(accepted.iter().map(|(seq, _)| *seq).eq(1..=accepted.len() as u64), "no gap, no repetition");
    let void = confirmed.iter().find(|frame| !accepted.contains(frame));
    assert_eq!(void, None, "a confirmed frame is void");
    let (frames, told) = (accepted.len() as u64, confirmed.len() as u64);
    assert!(frames >= FRAMES && told >= FRAMES / 6, "too little happened: {frames} accepted, {told} confirmed");
    assert_eq!(reader.voids().get(&VoidReason::Unreadable), Some(&1));
    assert!(reader.voids().values().sum::<u64>() >= 2, "offset {last} was written twice: {:?}", reader.voids());
}
