//! Frozen bytes. A test that fails here says that logs written until now are no longer what we write: add a new
//! schema version instead (README.md), and never update a golden of bytes that exist anywhere.

use super::samples;
use crate::frame::{self, FrameBuilder, FrameHeader, StreamRecord, decode_record, encode_fence};
use crate::ids::{Schema, SchemaIds};
use crate::{bus_record, config, deck_rows, ledger, xdr_out, xdrs};
use expect_test::{ExpectFile, expect, expect_file};
use facts::call::BusRecord;
use facts::deck::{Price, Rate};
use facts::stream::{Fence, Incarnation, Input};
use facts::xdr::Position;
use facts::{BookedAt, ObservedAt, Prefix};
use smallvec::smallvec;
use std::fmt::Write;

/// 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(out, "{byte:02x}").unwrap());
        out.push('\n');
    }
    out
}

fn header(stream: &str, item_schema: [u8; 8], input: Input) -> FrameHeader {
    FrameHeader {
        format: frame::FORMAT,
        item_schema,
        stream: stream.into(),
        epoch: 2,
        seq: 42,
        prev_hash: [0x11; 32],
        booked_at: BookedAt(samples::NOON + 600_000_000),
        config_seq: 3,
        fold_version: 1,
        inputs: smallvec![input],
        floor: None,
        clock: None,
    }
}

fn events_input() -> Input {
    Input::Events {
        topic: "call-events".into(),
        partition: 3,
        incarnation: Incarnation([0x22; 16]),
        from: 1,
        to: 901,
        crc32c: 0xdead_beef,
    }
}

fn stream_input(stream: &str) -> Input {
    Input::Stream { stream: stream.into(), from: Position { seq: 41, index: 7 }, to: Position { seq: 42, index: 1 } }
}

/// Writes, pins bytes and hash, reads back.
fn pinned<T: PartialEq + std::fmt::Debug>(
    file: ExpectFile,
    header: &FrameHeader,
    items: &[T],
    encode: fn(&T, &mut Vec<u8>, &mut Vec<u8>),
    decode: fn(&[u8], &[u8]) -> Result<T, crate::DecodeError>,
) {
    let ids = SchemaIds::default();
    let mut builder = FrameBuilder::new();
    for item in items {
        builder.push(|public, private| encode(item, public, private)).unwrap();
    }
    let mut record = Vec::new();
    let hash = builder.finish(header, &ids, &mut record);
    file.assert_eq(&format!("hash\n{}record\n{}", hex(&hash), hex(&record)));

    let StreamRecord::Frame(view) = decode_record(&record, &ids).unwrap() else { panic!("a frame") };
    assert_eq!((&view.header, view.hash()), (header, hash));
    view.expect_items(header.item_schema).unwrap();
    let read: Vec<T> = (0..view.len())
        .map(|index| {
            let (public, private) = view.item(index).unwrap();
            decode(public, private).unwrap()
        })
        .collect();
    assert_eq!(read, items);
}

#[test]
fn a_frame_of_xdrs_is_pinned() {
    let mut header = header("xdrs.main.3", xdrs::ITEMS, events_input());
    header.floor = Some(880);
    header.clock = Some(ObservedAt(samples::NOON + 590_000_000));
    let file = expect_file!["../../golden/frame-xdrs.hex"];
    pinned(file, &header, &samples::xdr_items(), xdrs::encode_item, xdrs::decode_item);
}

#[test]
fn a_frame_of_entries_is_pinned() {
    let header = header("ledger.main", ledger::ITEMS, stream_input("xdrs.main.3"));
    let file = expect_file!["../../golden/frame-ledger.v4.hex"];
    pinned(file, &header, &samples::ledger_items(), ledger::encode_item, ledger::decode_item);
}

/// Written before holds: it stands in ledgers for ever.
#[test]
fn a_frame_of_the_first_ledger_schema_is_still_read() {
    let text = include_str!("../../golden/frame-ledger.hex");
    let record = super::older::hex(text.split_once("record\n").unwrap().1);
    let StreamRecord::Frame(view) = decode_record(&record, &SchemaIds::default()).unwrap() else { panic!("a frame") };
    ledger::expect_items(&view).unwrap();
    let read: Vec<_> = (0..view.len()).map(|index| ledger::item(&view, index).unwrap()).collect();
    assert_eq!(read, samples::ledger_items_v1());
}

/// Written before caps of trunks and groups: it stands in ledgers for ever.
#[test]
fn a_frame_of_the_third_ledger_schema_is_still_read() {
    let text = include_str!("../../golden/frame-ledger.v3.hex");
    let record = super::older::hex(text.split_once("record\n").unwrap().1);
    let StreamRecord::Frame(view) = decode_record(&record, &SchemaIds::default()).unwrap() else { panic!("a frame") };
    ledger::expect_items(&view).unwrap();
    let read: Vec<_> = (0..view.len()).map(|index| ledger::item(&view, index).unwrap()).collect();
    assert_eq!(read, samples::ledger_items_v3());
}

/// Written before rights between sites: it stands in ledgers for ever.
#[test]
fn a_frame_of_the_second_ledger_schema_is_still_read() {
    let text = include_str!("../../golden/frame-ledger.v2.hex");
    let record = super::older::hex(text.split_once("record\n").unwrap().1);
    let StreamRecord::Frame(view) = decode_record(&record, &SchemaIds::default()).unwrap() else { panic!("a frame") };
    ledger::expect_items(&view).unwrap();
    let read: Vec<_> = (0..view.len()).map(|index| ledger::item(&view, index).unwrap()).collect();
    assert_eq!(read, samples::ledger_items_v2());
}

#[test]
fn a_frame_of_configuration_is_pinned() {
    let mut header = header("config", config::ITEMS, stream_input("none"));
    header.inputs.clear();
    assert_eq!(config::items_of(samples::config_items().iter()), config::ITEMS);
    let file = expect_file!["../../golden/frame-config.v5.hex"];
    pinned(file, &header, &samples::config_items(), config::encode_item, config::decode_item);
}

/// Written before fold versions, and still where there is none of them: the release before reads it.
#[test]
fn a_frame_of_the_fourth_configuration_schema_is_read_and_written() {
    let items = samples::config_items_v4();
    let mut header = header("config", config::items_of(items.iter()), stream_input("none"));
    header.inputs.clear();
    let file = expect_file!["../../golden/frame-config.v4.hex"];
    pinned(file, &header, &items, config::encode_item, config::decode_item);
    let text = include_str!("../../golden/frame-config.v4.hex");
    let record = super::older::hex(text.split_once("record\n").unwrap().1);
    let StreamRecord::Frame(view) = decode_record(&record, &SchemaIds::default()).unwrap() else { panic!("a frame") };
    let read: Vec<_> = config::items(&view).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, items);
}

/// Written before areas of numbers.
#[test]
fn a_frame_of_the_third_configuration_schema_is_still_read() {
    let text = include_str!("../../golden/frame-config.v3.hex");
    let record = super::older::hex(text.split_once("record\n").unwrap().1);
    let StreamRecord::Frame(view) = decode_record(&record, &SchemaIds::default()).unwrap() else { panic!("a frame") };
    let read: Vec<_> = config::items(&view).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, samples::config_items_v3());
}

/// Written before rules and imports of decks.
#[test]
fn a_frame_of_the_second_configuration_schema_is_still_read() {
    let text = include_str!("../../golden/frame-config.v2.hex");
    let record = super::older::hex(text.split_once("record\n").unwrap().1);
    let StreamRecord::Frame(view) = decode_record(&record, &SchemaIds::default()).unwrap() else { panic!("a frame") };
    let read: Vec<_> = config::items(&view).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, samples::config_items_v2());
}

/// Written before taxes by name and void orders: it stands in config logs for ever.
#[test]
fn a_frame_of_the_first_configuration_schema_is_still_read() {
    let text = include_str!("../../golden/frame-config.hex");
    let record = super::older::hex(text.split_once("record\n").unwrap().1);
    let StreamRecord::Frame(view) = decode_record(&record, &SchemaIds::default()).unwrap() else { panic!("a frame") };
    let read: Vec<_> = config::items(&view).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, samples::config_items_v1());
}

#[test]
fn a_call_event_is_pinned() {
    let ids = SchemaIds::default();
    let mut record = Vec::new();
    bus_record::encode(&BusRecord::Event(Box::new(samples::event())), &ids, &mut record);
    expect_file!["../../golden/call-event.v1.hex"].assert_eq(&hex(&record));
    assert_eq!(bus_record::decode(&record, &ids).unwrap(), BusRecord::Event(Box::new(samples::event())));
}

#[test]
fn a_fence_is_pinned() {
    let ids = SchemaIds::default();
    let fence = Fence { stream: "xdrs.main.3".into(), epoch: 2, owner: "host-7/412".into() };
    let mut record = Vec::new();
    encode_fence(&fence, &ids, &mut record);
    expect![[r#"
        005444000816786472732e6d61696e2e330414686f73742d372f343132
    "#]]
    .assert_eq(&hex(&record));
    let StreamRecord::Fence(read) = decode_record(&record, &ids).unwrap() else { panic!("a fence") };
    assert_eq!(read, fence);
}

#[test]
fn a_chunk_of_rows_and_its_address_are_pinned() {
    let mut rate = Rate::simple(Prefix::new("4930").unwrap(), "Germany - Berlin", 60, 1, Price(125_000_000));
    rate.valid_from = Some(samples::NOON);
    let rows = [rate.clone(), Rate { prefix: Prefix::new("4940").unwrap(), ..rate }];
    let chunks = deck_rows::split(&rows).unwrap();
    let text: Vec<String> = chunks.iter().map(|(hash, bytes)| hex(hash) + &hex(bytes)).collect();
    expect![[r#"
        18c60ffb0bf631e747be6ea1f5296b4c1c2476c758aa827ba7d5b33ad77e9a99
        02204765726d616e79202d204265726c696e0004083439333000007880e59a77
        0280e59a770000000280a08d98facffd05000000000000000008343934300000
        7880e59a770280e59a770000000280a08d98facffd05000000000000000000
    "#]]
    .assert_eq(&text.concat());
}

/// Where chunks are cut, and how a changed row is written: sharing between versions hangs on both.
#[test]
fn the_cuts_of_a_deck_and_a_patch_of_a_chunk_are_pinned() {
    let row = |at: i64| {
        let prefix = Prefix::new(&format!("{}", 1_000_000 + at * 7)).unwrap();
        Rate::simple(prefix, "Somewhere", 60, 1, Price(100_000_000 + at % 977))
    };
    let mut rows: Vec<Rate> = (0..20_000).map(row).collect();
    let chunks = deck_rows::split(&rows).unwrap();
    let all: Vec<u8> = chunks.iter().flat_map(|(hash, _)| *hash).collect();
    let text = format!("{} chunks {}", chunks.len(), blake3::hash(&all).to_hex());
    expect!["8 chunks 601fbc8f060b13ac266fad35292127d92d807ba919b9147af862f192a6e6c7c9"].assert_eq(&text);
    let store: std::collections::BTreeMap<_, _> = chunks.iter().cloned().collect();
    rows[5].next_rate = Price(1);
    let root: Vec<_> = chunks.iter().map(|(hash, _)| *hash).collect();
    let split = deck_rows::split_onto(rows.iter().cloned(), &root, &|hash| store.get(hash).map(Vec::as_slice)).unwrap();
    assert_eq!(split.new.len(), 1);
    expect![[r#"
        c3017dca0d5eb720d0e3724c33300049370a7a1bcbcc83f9b15923d0cd1f24b3
        49cc212a1786deb2cefa00020a02020e313030303033350000788a84af5f0202
        0000000000000000000000000000
    "#]]
    .assert_eq(&hex(&split.new[0].1));
}

/// What is kept when a key is destroyed (design 6.5) holds no number, no key of a call or leg, no place of raw bytes.
#[test]
fn the_public_part_of_a_call_names_nobody() {
    let (mut public, mut private) = (Vec::new(), Vec::new());
    xdrs::encode_call(&samples::rated_call(), &mut public, &mut private);
    let holds = |part: &[u8], bytes: &[u8]| part.windows(bytes.len()).any(|window| window == bytes);
    let raw = samples::raw().hash;
    for secret in [&b"152345"[..], b"30123456", b"b1f7-0001", b"legb-7", b"edge-1", &raw] {
        assert!(holds(&private, secret) && !holds(&public, secret), "{}", String::from_utf8_lossy(secret));
    }
}

/// What an outsider reads says the same as the call: the vendor's side carries the vendor's trunk and times.
#[test]
fn an_outsider_reads_both_sides() {
    let (ids, rated) = (SchemaIds::default(), samples::rated_call());
    let mut lines = String::new();
    for xdr in &rated.xdrs {
        let mut record = Vec::new();
        xdr_out::encode(&rated, xdr, "xdrs.main.3", Position { seq: 42, index: 0 }, &ids, &mut record);
        let (schema, body) = ids.split(&record).unwrap();
        assert_eq!(schema, Schema::XdrOut);
        let out = crate::wire::XdrOut::decode(body).unwrap();
        writeln!(
            lines,
            "{:?} {} trunk {} {} amount {} {} {:?} started {} sip {:?} {:?}",
            out.side,
            out.account,
            out.trunk,
            out.revision,
            out.amount,
            out.currency,
            out.prefix,
            out.started_at,
            out.sip_code,
            out.unrated
        )
        .unwrap();
    }
    expect![[r#"
        Sell acme-usd trunk acme-in late amount 943000000 USD Some(4930*) started 1683626400000000 sip Some(200) None
        Buy vendor-1-usd trunk vendor-1 late amount 943000000 USD None started 1683626400100000 sip Some(200) Some(NoRate)
    "#]].assert_eq(&lines);
}

#[test]
fn a_notice_is_pinned() {
    let ids = SchemaIds::default();
    let notice = facts::notice::Notice {
        site: "main".into(),
        account: "acme-usd".into(),
        currency: facts::Currency::new("USD").unwrap(),
        kind: facts::notice::NoticeKind::LowBalance,
        at: facts::OccurredAt(samples::NOON),
        threshold: "10".parse().unwrap(),
        value: "9.95".parse().unwrap(),
        days: None,
        call_id: None,
        id: Some(facts::ids::OriginId([7; 16])),
        frame: Some(300),
    };
    let mut record = Vec::new();
    crate::notice::encode(&notice, &ids, &mut record);
    expect![[r#"
        0054440020086d61696e1061636d652d757364065553440080a08d98facffd05
        0c09184e72a0000c090caa372c00000002070707070707070707070707070707
        0702d804
    "#]]
    .assert_eq(&hex(&record));
    assert_eq!(crate::notice::decode(&record, &ids).unwrap(), notice);
    assert!(crate::notice::decode(&record[..20], &ids).is_err());
    // As the first two schemas wrote it, and as it may stand on the topic.
    let notice = facts::notice::Notice { id: None, frame: None, ..notice };
    let second = super::older::hex(
        "0054440018086d61696e1061636d652d757364065553440080a08d98facffd050c09184e72a0000c090caa372c000000",
    );
    assert_eq!(crate::notice::decode(&second, &ids).unwrap(), notice);
    let first = super::older::hex(
        "0054440015086d61696e1061636d652d757364065553440080a08d98facffd050c09184e72a0000c090caa372c00",
    );
    assert_eq!(crate::notice::decode(&first, &ids).unwrap(), notice);
}

/// Every schema's fingerprint: it stands in frames, so a change here is a new version.
#[test]
fn schemas_are_pinned() {
    let lines: Vec<String> = Schema::ALL
        .iter()
        .map(|s| format!("{} {:#x} {}", s.name(), s.compiled_id(), hex(&s.fingerprint()).trim()))
        .collect();
    expect![[r#"
        call-event.v1 0x54440001 f2dcae5c06834c3d
        reject.v1 0x54440002 a77591421024791a
        import-end.v1 0x54440003 fb1547894003248b
        tick.v1 0x54440004 99ea58fd1d22ec6b
        source-mark.v1 0x54440005 6553b53b093ee1cf
        incarnation.v1 0x54440006 92115c5d40ae95ee
        frame.v1 0x54440007 ad896592c0b5a103
        fence.v1 0x54440008 a0e1d0f289b24f0e
        xdrs-item.v1 0x54440009 b81083210dacb641
        xdrs-private.v1 0x5444000a aa005bcfeab86ea0
        ledger-item.v1 0x5444000b 46c86609e837bcad
        config-item.v1 0x5444000c acf7d51a25bf9c87
        deck-rows.v1 0x5444000d c5f496ec960a4362
        xdr-out.v1 0x5444000e 08392d73dfdd4ae2
        call-event.v0 0x5444000f f726f49202797565
        config-item.v2 0x54440010 12661f80f0d87a07
        run-order.v1 0x54440011 8bc8fb016ea2f741
        ledger-item.v2 0x54440012 3bbfbf714bcffcb0
        config-item.v3 0x54440013 784be2e19009edad
        deck-patch.v1 0x54440014 7dca0d5eb720d0e3
        notice.v1 0x54440015 f17793d0f87b5328
        ledger-item.v3 0x54440016 88193fce017ea4a1
        config-item.v4 0x54440017 1c454aa533107ddc
        notice.v2 0x54440018 794c4508654eedf8
        ledger-item.v4 0x54440019 9de63ac6f8cbe4c7
        config-item.v5 0x5444001c de70d4ef5cebc9c2
        notice.v3 0x54440020 462028f8f6c96d78"#]]
    .assert_eq(&lines.join("\n"));
}
