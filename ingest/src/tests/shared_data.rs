//! The real files beside the repository (`../shared/data/cdrs`, or TANDEM_SHARED): every one of the kinds we read.

use super::*;
use std::path::PathBuf;
use switch_formats::{Decoded, Flags, Record, Tally, detect, json, reader};

fn shared(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("TANDEM_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = folder.join("data/cdrs").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(_) => {
            println!("left out: {} is not there (set TANDEM_SHARED)", path.display());
            None
        }
    }
}

fn read(format: &str, zone: &str, bytes: &[u8]) -> (Vec<Record>, Tally) {
    let mut records = Vec::new();
    let mut tally = Tally::default();
    let mut take = |decoded: Decoded| {
        tally.add(&decoded);
        match decoded {
            Decoded::Record(record) => records.push(record),
            Decoded::Reject(reject) => panic!("{reject:?}"),
            _ => {}
        }
    };
    let mut reader = reader(format, &switch("sw", format, zone)).unwrap();
    bytes.chunks(4096).for_each(|piece| reader.feed(piece, &mut take));
    reader.finish(&mut take);
    (records, tally)
}

fn line(record: &Record) -> String {
    json::line(&Decoded::Record(record.clone()), "f")
}

#[test]
fn the_asterisk_batch_keeps_its_seconds_and_its_contradicting_times() {
    let Some(bytes) = shared("asterisk_jbilling_batch.csv") else { return };
    assert_eq!(detect(&bytes), Some("asterisk"));
    let (records, tally) = read("asterisk", "America/New_York", &bytes);
    // README speaks of 10,270 rows; the last one has no line end, so line counting tools miss it.
    assert_eq!((tally.read, tally.accepted, tally.repeated, tally.rejected), (10_271, 10_271, 0, 0));
    let billsec: i128 = String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(|l| l.split(',').rev().nth(3).unwrap().parse::<i128>().unwrap())
        .sum();
    assert_eq!(tally.duration, billsec * 1_000_000);
    let first = &records[0];
    assert_eq!(first.event.duration, Some(60_000_000));
    assert_eq!(first.event.answered_at.unwrap().to_string(), "2007-11-01T15:03:55Z");
    assert!(first.flags.contains(Flags::TIMES_CONTRADICT));
    assert_eq!((first.event.inbound.account.as_str(), first.event.called.as_str()), ("10000", "4501231235"));
    let keys: std::collections::BTreeSet<_> = records.iter().map(|r| r.event.call_id()).collect();
    assert_eq!(keys.len(), 10_271);
}

#[test]
fn the_cisco_files_are_one_call_two_recording_legs_and_quality_records() {
    let (Some(cdr), Some(cmr)) = (shared("cucm_cdr.txt"), shared("cucm_cmr.txt")) else { return };
    assert_eq!((detect(&cdr), detect(&cmr)), (Some("cucm"), Some("cucm")));
    let (records, tally) = read("cucm", "", &cdr);
    assert_eq!((tally.read, tally.accepted, tally.duration), (3, 3, 11_000_000));
    for record in &records[..2] {
        assert!(record.flags.contains(Flags::RECORDING_LEG) && record.flags.contains(Flags::CAUSE_NOT_Q850));
        assert_eq!((record.event.answered_at, record.event.q850, record.event.duration), (None, None, Some(0)));
    }
    let call = &records[2];
    assert!(call.flags.is_empty(), "{}", call.flags);
    assert_eq!(call.record_id, "ed56fecd-bd2d-48d4-ae03-7ee3766d6048");
    assert_eq!((call.event.q850, call.event.duration), (Some(16), Some(11_000_000)));
    assert_eq!((call.event.inbound.ip.as_str(), call.event.outbound.ip.as_str()), ("10.248.64.14", "10.248.64.17"));
    assert_eq!(call.event.answered_at.unwrap().to_string(), "2025-04-18T16:32:10Z");
    let (none, tally) = read("cucm", "", &cmr);
    assert_eq!((none.len(), tally.read, tally.skipped), (0, 0, 2));
}

#[test]
fn the_freeswitch_files_are_read_to_the_microsecond() {
    let mut lines = Vec::new();
    for name in ["freeswitch_somleng.json", "freeswitch_twilreapi.json", "freeswitch_cgrates_full.json"] {
        let Some(bytes) = shared(name) else { return };
        assert_eq!(detect(&bytes), Some("freeswitch"), "{name}");
        let (records, tally) = read("freeswitch", "", &bytes);
        assert_eq!((tally.read, tally.accepted), (1, 1), "{name}");
        let e = &records[0].event;
        lines.push(format!(
            "{}\n  pdd {:?} in {:?} out {:?} {:?}",
            line(&records[0]),
            e.pdd,
            e.inbound,
            e.outbound,
            e.attempt_key
        ));
    }
    expect_test::expect![[r#"
        {"record":{"record_id":"77e3b4f2-cac1-4724-81f6-f1cd5e01770c","call_key":"77e3b4f2-cac1-4724-81f6-f1cd5e01770c","leg":"a","caller":"+85516234567","called":"1294","started_at":"2022-07-06T08:50:03.370590Z","answered_at":"2022-07-06T08:50:04.230498Z","ended_at":"2022-07-06T08:50:07.610447Z","duration":"3","answered":true,"sip_code":200,"q850":31,"account":null,"vendor":null,"flags":[],"source":{"file":"f","line":1,"byte":0}}}
          pdd Some(42991) in Endpoint { trunk: "external", ip: "27.109.112.140", port: 5060, digest_user: "", tech_prefix: "", account: "" } out Endpoint { trunk: "", ip: "", port: 0, digest_user: "", tech_prefix: "", account: "" } ""
        {"record":{"record_id":"1b17f1e5-becb-4daa-8cb8-1ec822dd4297","call_key":"1b17f1e5-becb-4daa-8cb8-1ec822dd4297","leg":"both","caller":"1234","called":"85595975802","started_at":"2016-09-20T09:15:23.276838Z","answered_at":null,"ended_at":"2016-09-20T09:15:24.396835Z","duration":"0","answered":false,"sip_code":487,"q850":16,"account":null,"vendor":null,"flags":[],"source":{"file":"f","line":1,"byte":0}}}
          pdd None in Endpoint { trunk: "external", ip: "192.168.0.104", port: 47694, digest_user: "", tech_prefix: "", account: "" } out Endpoint { trunk: "", ip: "52.76.201.180", port: 0, digest_user: "", tech_prefix: "", account: "" } "8dc1af54-7316-40b4-a40c-a553d32821e6"
        {"record":{"record_id":"3da8bf84-c133-4959-9e24-e72875cb33a1","call_key":"3da8bf84-c133-4959-9e24-e72875cb33a1","leg":"both","caller":"1001","called":"1002","started_at":"2018-01-11T10:25:44.534355Z","answered_at":"2018-01-11T10:25:47.954373Z","ended_at":"2018-01-11T10:26:55.494269Z","duration":"68","answered":true,"sip_code":200,"q850":16,"account":null,"vendor":null,"flags":[],"source":{"file":"f","line":1,"byte":0}}}
          pdd Some(59912) in Endpoint { trunk: "internal", ip: "10.10.10.100", port: 5060, digest_user: "", tech_prefix: "", account: "" } out Endpoint { trunk: "", ip: "10.10.10.100", port: 5060, digest_user: "", tech_prefix: "", account: "" } "f52c26f1-b018-4963-bf6d-a3111d1a0320""#]].assert_eq(&lines.join("\n"));
}

#[test]
fn the_yeti_records_are_those_of_the_fixture() {
    let Some(bytes) = shared("yeti_cdr_events.jsonl") else { return };
    assert_eq!(bytes, YETI, "the fixture in tests/fixtures is a copy");
    assert_eq!(detect(&bytes), Some("yeti"));
}
