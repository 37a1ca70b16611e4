//! `verify`: a true ledger passes; whatever is changed, removed or added is found, at its place.

use bus::stream::{FrameParts, StreamError, StreamReader, StreamWriter};
use bus::{Batch, Bus, Record, TopicSpec};
use facts::entry::LedgerItem;
use schemas::frame::{FrameBuilder, StreamRecord, decode_record};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::world::*;
use crate::{BreakKind, Report, inspect_folder, verify};

/// A ledger that has booked the busy site.
pub(super) fn true_ledger(folder: &Path) -> Arc<dyn Bus> {
    let bus = embedded(&folder.join("bus"));
    let ends = rate(&*bus, &busy_site());
    let ledger = Running::start(options(bus.clone(), folder));
    ledger.booked(&ends);
    ledger.stop().unwrap();
    bus
}

pub(super) fn prove(bus: &Arc<dyn Bus>) -> Report {
    verify(bus, &ids(), "main", &mut |_, _| {}).unwrap()
}

pub(super) fn all_records(bus: &dyn Bus, topic: &str) -> Vec<Vec<u8>> {
    let (begin, end) = (bus.begin(topic, 0).unwrap(), bus.end(topic, 0).unwrap());
    let mut reader = bus.reader(topic, 0, begin).unwrap();
    let (mut batch, mut records) = (Batch::new(), Vec::new());
    while reader.position() < end {
        reader.poll(&mut batch, 1 << 20, Duration::from_secs(5)).unwrap();
        records.extend(batch.iter().map(|record| record.value.to_vec()));
    }
    records
}

/// Another bus with the same xdrs and these ledger records.
fn with_ledger(from: &dyn Bus, folder: &Path, ledger: &[Vec<u8>]) -> Arc<dyn Bus> {
    let bus = embedded(folder);
    let mut topics = vec![("ledger.main".to_owned(), ledger.to_vec())];
    topics.extend(["xdrs.main.0", "xdrs.main.1"].map(|topic| (topic.to_owned(), all_records(from, topic))));
    for (topic, records) in topics {
        bus.ensure(&TopicSpec::frames(topic.as_str(), 1)).unwrap();
        let mut writer = bus.writer(&topic).unwrap();
        for value in &records {
            writer.append(0, &[Record { key: b"x", value, timestamp_ms: 1 }]).unwrap();
        }
    }
    bus
}

/// Writes the ledger anew, whole and rightly chained, with items changed on the way. `change` gets place and item and
/// says what stands there instead.
pub(super) fn rewritten(
    from: &dyn Bus,
    folder: &Path,
    mut change: impl FnMut(u64, u32, LedgerItem) -> Vec<LedgerItem>,
) -> Arc<dyn Bus> {
    let bus = with_ledger(from, folder, &[]);
    let mut writer =
        StreamWriter::claim::<StreamError>(&*bus, &ids(), "ledger.main", "forger", None, 1, &mut |_| Ok(())).unwrap();
    let mut reader = StreamReader::open(from, &ids(), "ledger.main").unwrap();
    reader
        .catch_up::<StreamError>(from, &mut |accepted| {
            let frame = accepted.frame;
            let mut builder = FrameBuilder::new();
            for index in 0..frame.len() {
                let (public, private) = frame.item(index).unwrap();
                let item = schemas::ledger::decode_item(public, private).unwrap();
                for item in change(frame.header.seq, index as u32, item) {
                    builder.push(|public, private| schemas::ledger::encode_item(&item, public, private)).unwrap();
                }
            }
            let parts = FrameParts {
                item_schema: schemas::ledger::ITEMS,
                config_seq: frame.header.config_seq,
                fold_version: frame.header.fold_version,
                inputs: frame.header.inputs.clone(),
                floor: None,
                clock: None,
                wall_micros: 1,
            };
            writer.append(&mut builder, parts)?;
            Ok(())
        })
        .unwrap();
    writer.settle().unwrap();
    bus
}

fn first(report: &Report) -> (BreakKind, u64, Option<u32>) {
    assert!(!report.ok);
    let first = &report.breaks[0];
    (first.kind, first.seq, first.index)
}

#[test]
fn a_true_ledger_is_proved_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    let report = prove(&bus);
    assert!(report.ok, "{:#?}", report.breaks);
    assert!(report.certificates > 0 && report.calls > 30 && report.zero > 0 && report.refused > 0);
    assert_eq!(report.xdrs.len(), 2);
    rate(&*bus, &vec![(1, vec![accounting::sample::rated("new", ("acme", "1"), &[])])]);
    let report = prove(&bus);
    assert!(report.ok && report.not_booked_yet == 1);
}

#[test]
fn a_changed_amount_in_a_rightly_chained_ledger_is_found_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    let mut place = None;
    let forged = rewritten(&*bus, &folder.path().join("forged"), |seq, index, mut item| {
        if seq == 4
            && place.is_none()
            && let LedgerItem::Entry(entry) = &mut item
        {
            entry.postings[0].amount.0 += 1;
            entry.postings[1].amount.0 -= 1;
            place = Some(index);
        }
        vec![item]
    });
    let report = prove(&forged);
    assert_eq!(first(&report), (BreakKind::Charge, 4, place));
    assert!(report.breaks.iter().any(|found| found.kind == BreakKind::Certificate), "{:#?}", report.breaks);
}

#[test]
fn a_left_out_an_added_and_an_unbalanced_entry_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    let left_out = rewritten(&*bus, &folder.path().join("a"), |seq, index, item| match item {
        LedgerItem::Entry(_) if (seq, index) == (2, 0) => vec![],
        item => vec![item],
    });
    let report = prove(&left_out);
    assert_eq!((report.breaks[0].kind, report.breaks[0].seq), (BreakKind::Charge, 2));
    assert!(report.breaks[0].detail.contains("is missing"), "{}", report.breaks[0].detail);

    let added = rewritten(&*bus, &folder.path().join("b"), |seq, index, item| match &item {
        LedgerItem::Entry(entry) if (seq, index) == (2, 0) => {
            let mut again = entry.clone();
            again.origin_id.0[0] ^= 1;
            vec![item, LedgerItem::Entry(again)]
        }
        _ => vec![item],
    });
    assert_eq!(first(&prove(&added)), (BreakKind::Charge, 2, Some(1)));

    let unbalanced = rewritten(&*bus, &folder.path().join("c"), |seq, index, mut item| {
        if let LedgerItem::Entry(entry) = &mut item
            && (seq, index) == (2, 0)
        {
            entry.postings[0].amount.0 += 1;
        }
        vec![item]
    });
    let report = prove(&unbalanced);
    assert!(report.breaks.iter().any(|b| (b.kind, b.seq, b.index) == (BreakKind::Entry, 2, Some(0))), "{report:#?}");

    let hidden = rewritten(&*bus, &folder.path().join("d"), |_, _, item| match item {
        LedgerItem::Refused { .. } => vec![],
        item => vec![item],
    });
    assert_eq!(first(&prove(&hidden)).0, BreakKind::Charge);
}

#[test]
fn a_removed_frame_and_a_flipped_byte_are_found_at_their_frames() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    let records = all_records(&*bus, "ledger.main");
    let frames: Vec<(usize, u64)> = records
        .iter()
        .enumerate()
        .filter_map(|(n, record)| match decode_record(record, &ids()) {
            Ok(StreamRecord::Frame(frame)) => Some((n, frame.header.seq)),
            _ => None,
        })
        .collect();
    for (n, seq) in &frames[..frames.len() - 1] {
        let mut removed = records.clone();
        removed.remove(*n);
        let report = prove(&with_ledger(&*bus, &folder.path().join(format!("r{n}")), &removed));
        assert_eq!(first(&report), (BreakKind::Chain, *seq, None), "{:#?}", report.breaks);
    }
    let (n, seq) = frames[frames.len() / 2];
    let mut found = 0;
    for byte in (0..records[n].len()).step_by(records[n].len() / 12) {
        let mut flipped = records.clone();
        flipped[n][byte] ^= 0x10;
        let report = prove(&with_ledger(&*bus, &folder.path().join(format!("f{byte}")), &flipped));
        assert!(!report.ok, "byte {byte} of frame {seq}");
        assert!((seq - 1..=seq + 1).contains(&report.breaks[0].seq), "byte {byte}: {:#?}", report.breaks[0]);
        found += 1;
    }
    assert!(found >= 12);
}

#[test]
fn a_removed_fence_does_not_make_a_shorter_ledger_that_looks_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    let mut records = all_records(&*bus, "ledger.main");
    let fence = records.iter().position(|r| matches!(decode_record(r, &ids()), Ok(StreamRecord::Fence(_)))).unwrap();
    records.remove(fence);
    let report = prove(&with_ledger(&*bus, &folder.path().join("fence"), &records));
    assert_eq!(first(&report).0, BreakKind::Chain);
    assert!(report.breaks[0].detail.contains("unopened_epoch"), "{}", report.breaks[0].detail);
}

#[test]
fn two_damages_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    let mut records = all_records(&*bus, "ledger.main");
    assert!(records.len() > 10);
    records.remove(9);
    records.remove(4);
    let report = prove(&with_ledger(&*bus, &folder.path().join("two"), &records));
    let chains = report.breaks.iter().filter(|b| b.kind == BreakKind::Chain).count();
    assert_eq!(chains, 2, "{:#?}", report.breaks);
}

#[test]
fn a_byte_flipped_on_the_disk_is_found_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    // Large enough that the place is in the middle of the log.
    let dir = folder.path().join("bus/ledger.main");
    let mut files = Vec::new();
    let mut folders = vec![dir];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let segment = files.into_iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let report = prove(&bus);
    assert_eq!(report.breaks[0].kind, BreakKind::Log, "{:#?}", report.breaks);
    let file = report.breaks[0].file.clone().unwrap();
    assert!(file.starts_with(segment.to_str().unwrap()), "{file}");
    drop(bus);
    let found = inspect_folder(&folder.path().join("bus"), "main").unwrap();
    assert!(found[0].file.clone().unwrap().starts_with(segment.to_str().unwrap()), "{found:#?}");
    assert_eq!(found[0].stream, "ledger.main");
}
