//! A stream with a late revision that takes a side away: published, stopped, gone on with, and sent to another topic.

use super::*;
use bus::stream::{FrameParts, StreamWriter};
use bus::{Batch, EmbeddedBus, EmbeddedConfig};
use facts::OccurredAt;
use facts::call::{Attempt, Call, Endpoint};
use facts::config::Config;
use facts::ids::CallId;
use rating::Tariffs;
use schemas::frame::FrameBuilder;

const STREAM: &str = "xdrs.main.0";

fn call(key: &str, attempts: &[&str]) -> Call {
    let attempt = |key: &&str| Attempt { key: (*key).into(), ..Attempt::default() };
    Call {
        call_id: CallId::new("d", "s", key),
        id_domain: "d".into(),
        switch: "s".into(),
        call_key: key.into(),
        caller: "".into(),
        called: "4930123456".into(),
        caller_number: None,
        called_number: None,
        rn: None,
        inbound: Endpoint::default(),
        started_at: OccurredAt(0),
        answered_at: Some(OccurredAt(1)),
        ended_at: OccurredAt(9_000_000),
        duration: 8_000_000,
        pdd: None,
        sip_code: None,
        q850: None,
        attempts: attempts.iter().map(attempt).collect(),
        estimated: false,
        hold_id: None,
        held: None,
        dedupe: Default::default(),
        events: Default::default(),
        import: None,
        raw: Default::default(),
    }
}

/// The call with every side at `amount`.
fn rated(revision: Revision, call: Call, amount: i128) -> XdrItem {
    let cause = match revision {
        Revision::Late { trigger, .. } => Cause::Late(trigger),
        _ => Cause::First,
    };
    let mut xdrs = Tariffs::with_decks(&Config::default(), &[]).rate_as(&call, &cause);
    xdrs.iter_mut().for_each(|xdr| xdr.amount = Amount(amount));
    XdrItem::Call(Box::new(RatedCall { revision, call, xdrs }))
}

fn append(writer: &mut StreamWriter, item: &XdrItem) -> u64 {
    let mut builder = FrameBuilder::new();
    builder.push(|public, private| schemas::xdrs::encode_item(item, public, private)).unwrap();
    let parts = FrameParts {
        item_schema: schemas::xdrs::ITEMS,
        config_seq: 1,
        fold_version: 1,
        inputs: Default::default(),
        floor: None,
        clock: None,
        wall_micros: 1_000_000,
    };
    let seq = writer.append(&mut builder, parts).unwrap();
    writer.settle().unwrap();
    seq
}

/// Publishes until `records` more are written, then stops in order.
fn publish(settings: &XdrOutSettings, data: &Path, bus: &Arc<dyn Bus>, records: u64) {
    let seen = Arc::new(Records::default());
    let out = XdrOut::open(settings, data, bus.clone(), SchemaIds::default(), seen.clone()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let following = scope.spawn(|| seen.follow(&**bus, &SchemaIds::default(), STREAM, &stop));
        let publishing = scope.spawn(|| out.run(STREAM, &stop));
        let until = Instant::now() + Duration::from_secs(20);
        while out.status.records.load(Ordering::Relaxed) < records && Instant::now() < until {
            assert!(!publishing.is_finished(), "{:?}", out.status.trouble());
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        publishing.join().unwrap().unwrap();
        following.join().unwrap().unwrap();
    });
    assert_eq!(out.status.records.load(Ordering::Relaxed), records, "no more and no less");
}

/// Revision, side, attempt key and amount of every record, in order.
fn read(bus: &dyn Bus, topic: &str) -> Vec<String> {
    let mut reader = bus.reader(topic, 0, 0).unwrap();
    let (mut batch, mut found) = (Batch::new(), Vec::new());
    let end = bus.end(topic, 0).unwrap();
    while reader.position() < end {
        reader.poll(&mut batch, 1 << 20, Duration::from_secs(5)).unwrap();
        for record in batch.iter() {
            let (schema, body) = SchemaIds::default().split(record.value).unwrap();
            assert_eq!(schema.name(), "xdr-out.v1");
            let xdr = schemas::wire::XdrOut::decode(body).unwrap();
            assert_eq!(record.key, xdr.xdr_id);
            found.push(format!(
                "{} {} {} {:?} {}",
                xdr.revision,
                xdr.call_key,
                xdr.side.as_str(),
                xdr.attempt_key,
                xdr.amount
            ));
        }
    }
    found
}

#[test]
fn a_side_that_late_truth_takes_away_is_told_as_nothing_and_a_restart_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path().join("log"))).unwrap());
    let nobody = &mut |_: Accepted<'_>| Ok::<(), StreamError>(());
    let mut writer = StreamWriter::claim(&*bus, &SchemaIds::default(), STREAM, "o", None, 1, nobody).unwrap();
    let first = append(&mut writer, &rated(Revision::First, call("k", &["b1", "b2"]), 5));
    let based_on = Position { seq: first, index: 0 };
    let late = |trigger| Revision::Late { trigger: [trigger; 16], based_on };
    let mut settings = XdrOutSettings { topic: "out".to_owned(), partitions: 1, days: None };
    publish(&settings, folder.path(), &bus, 3);
    append(&mut writer, &rated(late(7), call("k", &["b2"]), 6));
    publish(&settings, folder.path(), &bus, 3);
    append(&mut writer, &rated(Revision::First, call("other", &[]), 1));
    publish(&settings, folder.path(), &bus, 1);
    let found = read(&*bus, "out");
    let wanted = [
        "first k sell \"\" 5",
        "first k buy \"b1\" 5",
        "first k buy \"b2\" 5",
        "late k sell \"\" 6",
        "late k buy \"b2\" 6",
        "late k buy \"\" 0",
        "first other sell \"\" 1",
    ];
    assert_eq!(found, wanted);
    // Another topic has nothing of it yet.
    settings.topic = "elsewhere".to_owned();
    publish(&settings, folder.path(), &bus, 7);
    assert_eq!(read(&*bus, "elsewhere"), wanted);
}
