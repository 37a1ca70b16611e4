//! Every kind of damage that we could think of, done to a true ledger: each is found, and its place is named.

use bus::{Bus, Record, TopicSpec};
use facts::entry::LedgerItem;
use facts::stream::Fence;
use schemas::SchemaIds;
use schemas::frame::{FrameBuilder, FrameHeader, StreamRecord, decode_record, encode_fence};
use std::path::Path;
use std::sync::Arc;

use super::proof::{all_records, prove, true_ledger};
use super::world::*;
use crate::prove::Prover;
use crate::verify::Kept;
use crate::{Break, BreakKind, Follower, Report, verify_with};

/// The logs of a site as records by topic.
type Logs = Vec<(&'static str, Vec<Vec<u8>>)>;

fn logs(bus: &dyn Bus) -> Logs {
    ["ledger.main", "xdrs.main.0", "xdrs.main.1"].map(|topic| (topic, all_records(bus, topic))).into()
}

fn bus_of(folder: &Path, logs: &Logs) -> Arc<dyn Bus> {
    let bus = embedded(folder);
    for (topic, records) in logs {
        bus.ensure(&TopicSpec::frames(*topic, 1)).unwrap();
        let mut writer = bus.writer(topic).unwrap();
        for value in records {
            writer.append(0, &[Record { key: b"x", value, timestamp_ms: 1 }]).unwrap();
        }
    }
    bus
}

/// Where frame `seq` stands among the records.
fn place(records: &[Vec<u8>], seq: u64) -> usize {
    let is = |record: &Vec<u8>| match decode_record(record, &ids()) {
        Ok(StreamRecord::Frame(frame)) => frame.header.seq == seq,
        _ => false,
    };
    records.iter().position(is).unwrap()
}

/// A frame written again with another header or other items, checksums and all.
fn forged(record: &[u8], header: impl FnOnce(&mut FrameHeader), private: &[u8]) -> Vec<u8> {
    let Ok(StreamRecord::Frame(frame)) = decode_record(record, &ids()) else { panic!("no frame") };
    let mut builder = FrameBuilder::new();
    for index in 0..frame.len() {
        let public = frame.public(index).unwrap();
        let mine = if index == 0 { private } else { &[] };
        let push = |to: &mut Vec<u8>, hidden: &mut Vec<u8>| {
            to.extend_from_slice(public);
            hidden.extend_from_slice(mine);
        };
        builder.push(push).unwrap();
    }
    let mut changed = frame.header.clone();
    header(&mut changed);
    let mut out = Vec::new();
    builder.finish(&changed, &SchemaIds::default(), &mut out);
    out
}

fn named(report: &Report, kind: BreakKind, stream: &str, seqs: std::ops::RangeInclusive<u64>) -> bool {
    assert!(!report.ok);
    let is = |found: &Break| found.kind == kind && found.stream == stream && seqs.contains(&found.seq);
    report.breaks.iter().any(is)
}

/// Does damage to a copy of the true logs and wants it named.
fn finds(
    what: &str,
    from: &Logs,
    folder: &Path,
    (kind, stream, seqs): (BreakKind, &str, std::ops::RangeInclusive<u64>),
    damage: impl FnOnce(&mut Logs),
) {
    let mut logs = from.clone();
    damage(&mut logs);
    assert_ne!(&logs, from, "{what} damages nothing");
    let report = prove(&bus_of(&folder.join(what.replace(' ', "-")), &logs));
    assert!(named(&report, kind, stream, seqs.clone()), "{what}: {kind:?} at {seqs:?} in {:#?}", report.breaks);
    assert!(report.breaks.iter().all(|found| !found.detail.is_empty()));
}

#[test]
fn damage_to_frames_of_the_ledger_is_named_at_its_frame() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(&*true_ledger(folder.path()));
    let (dir, ledger) = (folder.path(), "ledger.main");
    use BreakKind::{Chain, Config, Unreadable};
    finds("two frames swapped", &logs, dir, (Chain, ledger, 4..=5), |logs| {
        let (a, b) = (place(&logs[0].1, 4), place(&logs[0].1, 5));
        logs[0].1.swap(a, b);
    });
    finds("a frame of a later place in its stead", &logs, dir, (Chain, ledger, 4..=4), |logs| {
        let (a, b) = (place(&logs[0].1, 4), place(&logs[0].1, 6));
        logs[0].1[a] = logs[0].1[b].clone();
    });
    finds("another previous hash", &logs, dir, (Chain, ledger, 3..=4), |logs| {
        let at = place(&logs[0].1, 4);
        logs[0].1[at] = forged(&logs[0].1[at], |header| header.prev_hash[7] ^= 1, &[]);
    });
    finds("an input that begins later", &logs, dir, (Chain, ledger, 2..=5), |logs| {
        let at = place(&logs[0].1, 4);
        logs[0].1[at] = forged(
            &logs[0].1[at],
            |header| {
                for input in &mut header.inputs {
                    if let facts::stream::Input::Stream { from, to, .. } = input {
                        (from.seq, to.seq) = (from.seq + 1, to.seq + 1);
                    }
                }
                header.stream = "ledger.main".into();
                header.config_seq += u64::from(header.inputs.is_empty());
            },
            &[],
        );
    });
    finds("a private part where there is none", &logs, dir, (Unreadable, ledger, 4..=4), |logs| {
        let at = place(&logs[0].1, 4);
        logs[0].1[at] = forged(&logs[0].1[at], |_| {}, b"a number of somebody");
    });
    finds("items of another schema", &logs, dir, (Unreadable, ledger, 4..=4), |logs| {
        let at = place(&logs[0].1, 4);
        logs[0].1[at] = forged(&logs[0].1[at], |header| header.item_schema[0] ^= 1, &[]);
    });
    finds("an older configuration", &logs, dir, (Config, ledger, 4..=4), |logs| {
        let at = place(&logs[0].1, 4);
        logs[0].1[at] = forged(&logs[0].1[at], |header| header.config_seq = 1, &[]);
    });
    finds("a frame of a stream of the same house", &logs, dir, (Chain, ledger, 1..=4), |logs| {
        let at = place(&logs[0].1, 4);
        logs[0].1[at] = forged(&logs[0].1[at], |header| header.stream = "ledger.other".into(), &[]);
    });
    finds("noise for a frame", &logs, dir, (Unreadable, ledger, 4..=4), |logs| {
        let at = place(&logs[0].1, 4);
        logs[0].1[at] = b"noise".to_vec();
    });
}

#[test]
fn damage_to_rated_calls_is_named_where_the_ledger_no_longer_ties_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(&*true_ledger(folder.path()));
    let (dir, xdrs) = (folder.path(), "xdrs.main.0");
    use BreakKind::{Chain, Charge, Unreadable};
    finds("a frame of calls removed", &logs, dir, (Chain, xdrs, 3..=3), |logs| {
        let at = place(&logs[1].1, 3);
        logs[1].1.remove(at);
    });
    finds("a byte of a call", &logs, dir, (Chain, xdrs, 3..=4), |logs| {
        let at = place(&logs[1].1, 3);
        let middle = logs[1].1[at].len() / 2;
        logs[1].1[at][middle] ^= 1;
    });
    finds("calls that are gone at the end", &logs, dir, (Charge, "ledger.main", 1..=u64::MAX), |logs| {
        logs[1].1.truncate(4);
    });
    finds("noise for calls", &logs, dir, (Unreadable, xdrs, 3..=3), |logs| {
        let at = place(&logs[1].1, 3);
        logs[1].1[at] = vec![7; 40];
    });
    finds("the topic of calls", &logs, dir, (Charge, "ledger.main", 1..=u64::MAX), |logs| {
        logs.remove(1);
    });
}

#[test]
fn what_take_overs_leave_behind_is_no_damage_and_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let true_logs = logs(&*true_ledger(folder.path()));
    let whole = prove(&bus_of(&folder.path().join("whole"), &true_logs));
    assert!(whole.ok, "{:#?}", whole.breaks);
    let mut logs = true_logs.clone();
    // A frame twice, and a fence with a frame of the owner before it behind it.
    let at = place(&logs[0].1, 4);
    let twice = logs[0].1[at].clone();
    logs[0].1.insert(at + 1, twice.clone());
    let (mut fence, fence_of) = (Vec::new(), |epoch| Fence { stream: "ledger.main".into(), epoch, owner: "b".into() });
    encode_fence(&fence_of(50), &ids(), &mut fence);
    logs[0].1.push(fence);
    logs[0].1.push(forged(&twice, |header| header.seq = whole.ledger.seq + 1, &[]));
    let report = prove(&bus_of(&folder.path().join("taken"), &logs));
    assert!(report.ok, "{:#?}", report.breaks);
    assert_eq!((report.root, report.ledger.hash), (whole.root, whole.ledger.hash));
    assert_eq!(report.ledger.voids.values().sum::<u64>(), 2, "{:?}", report.ledger.voids);
}

#[test]
fn signed_certificates_find_a_cut_tail_a_ledger_written_anew_and_forgeries() {
    let folder = tempfile::tempdir().unwrap();
    let bus = true_ledger(folder.path());
    let (_follower, view) = Follower::open(bus.clone(), &ids(), "main", config(), None).unwrap();
    let prover = Prover::new(bus.clone(), ids(), view, folder.path().to_path_buf());
    let certificate = prover.certify(None).unwrap();
    let check = |bus: &Arc<dyn Bus>, kept: &Kept| verify_with(bus, &ids(), "main", kept, &mut |_, _| {}).unwrap();
    let kept = || prover.kept().unwrap();
    let report = check(&bus, &kept());
    assert!(report.ok && kept().certificates.len() == 1, "{:#?}", report.breaks);
    let signed = |report: &Report| -> Break {
        let of = report.breaks.iter().find(|found| found.kind == BreakKind::Signed);
        of.unwrap_or_else(|| panic!("{:#?}", report.breaks)).clone()
    };
    // Cut at the end: nothing else shows that.
    let mut cut = logs(&*bus);
    cut[0].1.pop();
    let report = check(&bus_of(&folder.path().join("cut"), &cut), &kept());
    let found = signed(&report);
    assert!(found.seq == certificate.seq && found.detail.contains("the log ends with frame"), "{found:?}");
    assert!(found.file.unwrap().ends_with(".json"));
    // Written anew with one reason changed: whole in itself, but not what was signed.
    let mut changed = false;
    let anew = super::proof::rewritten(&*bus, &folder.path().join("anew"), |_, _, item| match item {
        LedgerItem::Refused { origin_id, reason, .. } if !changed => {
            changed = true;
            vec![LedgerItem::Refused { origin_id, reason, detail: "as somebody wants it".into() }]
        }
        item => vec![item],
    });
    assert!(prove(&anew).ok && changed, "without certificates it looks whole");
    let found = signed(&check(&anew, &kept()));
    assert!(found.detail.contains("the frame's hash, the root over the frames"), "{found:?}");
    // Forged, unreadable, of a lost key.
    let mut forgery = kept();
    forgery.certificates[0].1.as_mut().unwrap().state_root.0[0] ^= 1;
    assert!(signed(&check(&bus, &forgery)).detail.contains("changed or forged"));
    let mut broken = kept();
    broken.certificates[0].1 = Err("no JSON".into());
    assert!(signed(&check(&bus, &broken)).detail.contains("no JSON"));
    assert!(signed(&check(&bus, &Kept { key: None, ..kept() })).detail.contains("key"));
}
