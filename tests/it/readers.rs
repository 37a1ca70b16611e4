//! Every reader and decoder on broken input: no panic, no second lost, and what is read is read the same way twice.
//!
//! Seeds are real shapes; the mutations are `fuzz`'s. What a good file means is tested beside each reader.

use std::collections::BTreeMap;

use decks::{Limits, ReadOptions};
use facts::call::BusRecord;
use facts::config::{ConfigItem, SiteSettings, Switch};
use facts::deck::Rate;
use facts::entry::LedgerItem;
use facts::ids::OriginId;
use facts::stream::{Fence, Input};
use facts::xdr::{Conflict, ImportCount, Position, RaterState, Suspended, XdrItem};
use facts::{CallEvent, ObservedAt, OccurredAt};
use schemas::frame::{FORMAT, FrameHeader, encode_fence};
use schemas::{FrameBuilder, FrameView, SchemaIds, StreamRecord, bus_record, config, deck_rows, frame, ledger, xdrs};
use switch_formats::Decoded;

use crate::fuzz::{fuzz, seeds};
use crate::workbook::{SHEET, workbook};

#[test]
fn no_switch_file_breaks_its_reader() {
    let all = seeds("");
    for format in switch_formats::FORMATS {
        let switch = switch(format);
        fuzz(&format!("format-{format}"), &all, |input| {
            let whole = decode(&switch, &[input]);
            let middle = input.len() / 3;
            let pieces: Vec<&[u8]> =
                [&input[..middle], &input[middle..]].into_iter().flat_map(|part| part.chunks(7)).collect();
            assert_eq!(whole, decode(&switch, &pieces), "{format}: the same bytes in pieces read differently");
            assert!(whole.len() <= input.len() + 1, "{format}: more records than bytes");
        });
    }
    fuzz("format-detect", &all, |input| {
        let found = switch_formats::detect(input);
        assert!(found.is_none_or(|name| switch_formats::FORMATS.contains(&name)));
    });
}

#[test]
fn no_deck_file_breaks_its_reader() {
    let mut tables = seeds(".csv");
    tables
        .push(b"Destination,Prefix,Rate,Pulse,Valid From\n\"Austria, mobile\",43660,0.0123,60/1,2023-05-09\n".to_vec());
    let mut archives = seeds(".xlsx");
    archives.push(tables[0].clone());
    fuzz("deck-xlsx", &archives, |input| read_deck("deck.xlsx", input));
    fuzz("deck-csv", &tables, |input| read_deck("deck.csv", input));
}

#[test]
fn no_sheet_breaks_its_reader() {
    let sheet = SHEET.as_bytes().to_vec();
    let whole = decks::read("deck.xlsx", &workbook(&sheet), &template()).expect("the sheet to be fuzzed can be read");
    assert_eq!(whole.rates.len(), 1, "the sheet to be fuzzed has one good row: {:?}", whole.problems);
    fuzz("deck-sheet", &[sheet], |input| read_deck("deck.xlsx", &workbook(input)));
}

#[test]
fn no_record_on_the_bus_breaks_its_decoder() {
    let ids = SchemaIds::default();
    let encoded = |record: &BusRecord| {
        let mut bytes = Vec::new();
        bus_record::encode(record, &ids, &mut bytes);
        bytes
    };
    let mut seeds: Vec<Vec<u8>> =
        events().into_iter().map(|event| encoded(&BusRecord::Event(Box::new(event)))).collect();
    seeds.push(encoded(&BusRecord::Incarnation([7; 16])));
    seeds.push(encoded(&BusRecord::Tick { node: "node-1".into(), observed_at: ObservedAt(1_700_000_000_000_000) }));
    let mark = OccurredAt(1_700_000_000_000_000);
    seeds.push(encoded(&BusRecord::SourceMark { switch: "s".into(), occurred_until: mark, declared: true }));
    fuzz("bus-record", &seeds, |input| {
        let Ok(record) = bus_record::decode(input, &ids) else { return };
        let again = bus_record::decode(&encoded(&record), &ids).expect("our own record");
        assert_eq!(again, record, "a record changed on its way through the bus");
    });
}

#[test]
fn no_frame_breaks_its_decoder() {
    let ids = SchemaIds::default();
    let mut fence = Vec::new();
    encode_fence(&Fence { stream: "xdrs.main.0".into(), epoch: 3, owner: "node-1".into() }, &ids, &mut fence);
    let frames = [
        frame_of(xdrs::ITEMS, &xdr_items()),
        frame_of(ledger::ITEMS, &ledger_items()),
        frame_of(config::ITEMS, &config_items()),
    ];
    let golden = ["frame-xdrs", "frame-ledger", "frame-config"].map(golden);
    let seeds: Vec<Vec<u8>> = frames.into_iter().chain(golden).chain([fence]).collect();
    fuzz("frame", &seeds, |input| {
        let Ok(StreamRecord::Frame(view)) = frame::decode_record(input, &ids) else { return };
        for index in 0..view.len() {
            let Ok((public, private)) = view.item(index) else { continue };
            let _ = xdrs::decode_item(public, private);
            let _ = ledger::decode_item(public, private);
            let _ = config::decode_item(public, private);
        }
    });
}

#[test]
fn no_item_breaks_its_decoder() {
    // an item's seed is its public part, a separator that no part holds, and its private part
    let joined = |items: &[(Vec<u8>, Vec<u8>)]| {
        items.iter().map(|(public, private)| [public, SPLIT, private].concat()).collect()
    };
    let frames = ["frame-xdrs", "frame-ledger", "frame-config"].map(golden);
    let frozen: Vec<_> = frames.iter().flat_map(|frame| items_of(frame)).collect();
    let all: Vec<Vec<u8>> = joined(&[xdr_items(), ledger_items(), config_items(), frozen].concat());
    fuzz("item", &all, |input| {
        let at = input.windows(SPLIT.len()).position(|window| window == SPLIT);
        let (public, private) = at.map_or((input, &[][..]), |at| (&input[..at], &input[at + SPLIT.len()..]));
        if let Ok(item) = xdrs::decode_item(public, private) {
            let (public, private) = parts(|public, private| xdrs::encode_item(&item, public, private));
            assert_eq!(xdrs::decode_item(&public, &private).expect("our own item"), item);
        }
        if let Ok(item) = ledger::decode_item(public, private) {
            let (public, private) = parts(|public, private| ledger::encode_item(&item, public, private));
            assert_eq!(ledger::decode_item(&public, &private).expect("our own item"), item);
        }
        if let Ok(item) = config::decode_item(public, private) {
            let (public, private) = parts(|public, private| config::encode_item(&item, public, private));
            assert_eq!(config::decode_item(&public, &private).expect("our own item"), item);
        }
        let _ = deck_rows::decode_chunk(input);
        // A patch of unread bytes, laid onto itself.
        let _ = deck_rows::rows(&[0; 32], &|_| Some(input));
    });
}

const SPLIT: &[u8] = b"\xFE\xFDsplit\xFC";

pub(crate) fn switch(format: &str) -> Switch {
    let (id, zone) = ("switch-1".into(), "Europe/Vienna".into());
    Switch { id, format: format.into(), id_domain: "".into(), time_zone: zone, options: BTreeMap::new() }
}

fn template() -> ReadOptions {
    let limits = Limits { unpacked_bytes: 4 << 20, ..Limits::default() };
    ReadOptions { limits, ..ReadOptions::default() }
}

/// What is read must come back unchanged from the log.
fn read_deck(name: &str, input: &[u8]) {
    let Ok(file) = decks::read(name, input, &template()) else { return };
    let rows: Vec<Rate> = file.rates.into_iter().map(|(rate, _)| rate).collect();
    let chunk = deck_rows::encode_chunk(&rows);
    assert_eq!(deck_rows::decode_chunk(&chunk).expect("our own chunk"), rows, "{name}: a row changed in the log");
}

fn decode(switch: &Switch, pieces: &[&[u8]]) -> Vec<Decoded> {
    let mut reader = switch_formats::reader(&switch.format, switch).expect("a known format");
    let mut found = Vec::new();
    for piece in pieces {
        reader.feed(piece, &mut |decoded| found.push(decoded));
    }
    reader.finish(&mut |decoded| found.push(decoded));
    found
}

/// Real events: the records of the Yeti fixture.
fn events() -> Vec<CallEvent> {
    let file = seeds("yeti_cdr_events.jsonl");
    let decoded = decode(&switch("yeti"), &[&file[0]]);
    let events = decoded.into_iter().filter_map(|item| match item {
        Decoded::Record(record) => Some(record.event),
        _ => None,
    });
    let events: Vec<CallEvent> = events.take(4).collect();
    assert!(!events.is_empty(), "the Yeti fixture has no whole record within its first 16 KiB");
    events
}

/// A record whose bytes are frozen, as `schemas/golden` pins them.
fn golden(name: &str) -> Vec<u8> {
    let text = crate::tidy::read(&format!("schemas/golden/{name}.hex"));
    let (_, record) = text.split_once("record\n").expect("a golden file has its record last");
    let digits: Vec<u32> = record.chars().filter_map(|letter| letter.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn items_of(frame: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let view = FrameView::parse(frame, &SchemaIds::default()).expect("a golden frame can be read");
    let items = (0..view.len()).map(|index| view.item(index).expect("a golden item can be read"));
    items.map(|(public, private)| (public.to_vec(), private.to_vec())).collect()
}

fn xdr_items() -> Vec<(Vec<u8>, Vec<u8>)> {
    let event = events().remove(0);
    let state = RaterState { imports: vec![ImportCount::default()], ..RaterState::default() };
    let items = [
        XdrItem::Suspended(Box::new(Suspended { reason: "no_end".into(), events: events() })),
        XdrItem::Conflict(Box::new(Conflict { reason: "key_reused".into(), event })),
        XdrItem::ImportCount(Box::default()),
        XdrItem::State(Box::new(state)),
    ];
    items.iter().map(|item| parts(|public, private| xdrs::encode_item(item, public, private))).collect()
}

fn ledger_items() -> Vec<(Vec<u8>, Vec<u8>)> {
    let refused =
        LedgerItem::Refused { origin_id: OriginId([1; 16]), reason: "other_content".into(), detail: "detail".into() };
    let items = [refused, LedgerItem::Certificate { root: [9; 32], entries: 1 << 40 }];
    items.iter().map(|item| parts(|public, private| ledger::encode_item(item, public, private))).collect()
}

fn config_items() -> Vec<(Vec<u8>, Vec<u8>)> {
    let items = [
        ConfigItem::Settings(SiteSettings::default()),
        ConfigItem::Switch(switch("yeti")),
        ConfigItem::DeckChunk { hash: [3; 32], rows: vec![0; 40] },
        ConfigItem::Removed { kind: "trunk".into(), id: "t1".into() },
        ConfigItem::Applied { by: "anna".into(), comment: "first".into(), digest: [4; 32] },
    ];
    items.iter().map(|item| parts(|public, private| config::encode_item(item, public, private))).collect()
}

fn parts(encode: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    let (mut public, mut private) = (Vec::new(), Vec::new());
    encode(&mut public, &mut private);
    (public, private)
}

fn frame_of(item_schema: [u8; 8], items: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    for (public, private) in items {
        let pushed = builder.push(|out, hidden| {
            out.extend_from_slice(public);
            hidden.extend_from_slice(private);
        });
        pushed.expect("a small item fits");
    }
    let from = Position { seq: 1, index: 0 };
    let header = FrameHeader {
        format: FORMAT,
        item_schema,
        stream: "xdrs.main.0".into(),
        epoch: 3,
        seq: 17,
        prev_hash: [5; 32],
        booked_at: facts::BookedAt::default(),
        config_seq: 2,
        fold_version: 1,
        inputs: std::iter::once(Input::Stream { stream: "config".into(), from, to: from }).collect(),
        floor: Some(12),
        clock: Some(ObservedAt(1_700_000_000_000_000)),
    };
    let mut bytes = Vec::new();
    builder.finish(&header, &SchemaIds::default(), &mut bytes);
    bytes
}

#[test]
fn no_datagram_breaks_the_radius_door() {
    let secret = b"correct horse battery";
    let settings = radius::Client {
        name: "pop".to_owned(),
        network: [127, 0, 0, 1].into(),
        bits: 8,
        secret: secret.to_vec(),
        valid_from: None,
        valid_until: None,
        switch: "edge".to_owned(),
        message_authenticator: true,
        ignore_passwords: false,
        key: radius::KeyFrom::CallId,
        user: radius::UserIs::Account,
        extending: radius::Extending::Asks,
        dynamic: None,
    };
    let mut plain = radius::sign::begin(radius::Code::AccessRequest, 1);
    plain.add(1, b"acme").add(30, b"4930123456").add(33, b"proxy").add(24, &radius::voice::state(&[1; 16], 330));
    plain.cisco(24, "h323-conf-id=1").cisco(1, "call-id=1").cisco(26, "h323-call-origin=answer");
    let plain = radius::sign::access_request(plain, secret, &[7; 16]);
    fuzz("radius", &[plain.clone(), plain[..40].to_vec()], |input| {
        let Ok(packet) = radius::Packet::read(input) else { return };
        let believed = radius::sign::check_request(&packet, secret, true).is_ok();
        assert!(!believed || packet.bytes() == plain, "somebody without the secret is believed");
        // What comes from a switch that is believed is no better formed.
        let read = radius::voice::call_facts(&packet, &settings);
        let told = radius::voice::told(&packet, &settings);
        assert!(read.is_err() || !told.key.is_empty());
        for answer in [
            radius::voice::accept(&packet, secret, 330, None),
            radius::voice::reject(&packet, secret, "credit", &String::from_utf8_lossy(input)),
            radius::voice::noted(&packet, secret),
            radius::voice::disconnect_request(1, &told.session, secret, 1),
        ] {
            assert!(radius::Packet::read(&answer).is_ok(), "what we answer can be read");
        }
    });
}
