//! Each format's records, field by field.

use super::{ASTERISK, CUCM, FREESWITCH, TANDEM, YETI, printed, read, read_in, switch};
use crate::{Decoded, FORMATS, Flags, Record, Tally, detect, reader};
use expect_test::expect;
use facts::call::Leg;

fn records(decoded: Vec<Decoded>) -> Vec<Record> {
    decoded
        .into_iter()
        .filter_map(|d| match d {
            Decoded::Record(record) | Decoded::Event(record) => Some(record),
            _ => None,
        })
        .collect()
}

#[test]
fn every_yeti_record_is_read_with_its_seconds_parties_and_times() {
    let all = records(read(&switch("yeti", "", &[]), YETI));
    assert_eq!(all.len(), 250);
    assert_eq!(all.iter().filter(|r| r.event.answered_at.is_some()).count(), 132);
    let seconds: i64 = all.iter().map(|r| r.event.duration.unwrap()).sum::<i64>() / 1_000_000;
    let theirs: i64 = YETI
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["duration"].as_i64().unwrap())
        .sum();
    assert_eq!(seconds, theirs);
    assert!(all.iter().all(|r| r.flags.is_empty()), "{:?}", all.iter().find(|r| !r.flags.is_empty()));
    let mut tally = Tally::default();
    read(&switch("yeti", "", &[]), YETI).iter().for_each(|d| tally.add(d));
    assert_eq!((tally.read, tally.accepted, tally.repeated, tally.rejected), (250, 250, 0, 0));
    let answered = all.iter().find(|r| r.event.answered_at.is_some()).unwrap();
    let e = &answered.event;
    expect![[r#"
        (
            "100053",
            Place {
                line: 3,
                byte: 8253,
                length: 4145,
            },
            CallEvent {
                id: EventId {
                    node: "",
                    boot_epoch: 0,
                    partition: 0,
                    sequence: 0,
                },
                kind: Record,
                leg: Both,
                id_domain: "sw-1",
                switch: "sw-1",
                call_key: "yeti-0054",
                attempt_key: "byeti-0054",
                occurred_at: 2023-07-01T00:16:59Z,
                observed_at: 1970-01-01T00:00:00Z,
                caller: "6281355500",
                called: "182982877120",
                caller_number: Some(
                    6281355500,
                ),
                called_number: Some(
                    182982877120,
                ),
                rn: None,
                inbound: Endpoint {
                    trunk: "17",
                    ip: "127.0.0.5",
                    port: 9090,
                    digest_user: "",
                    tech_prefix: "",
                    account: "11",
                },
                outbound: Endpoint {
                    trunk: "39",
                    ip: "127.0.0.99",
                    port: 8888,
                    digest_user: "",
                    tech_prefix: "",
                    account: "22",
                },
                started_at: Some(
                    2023-07-01T00:16:59Z,
                ),
                answered_at: Some(
                    2023-07-01T00:16:59.500Z,
                ),
                ended_at: Some(
                    2023-07-01T00:17:49.695Z,
                ),
                duration: Some(
                    51000000,
                ),
                vendor_duration: Some(
                    51000000,
                ),
                pdd: None,
                sip_code: Some(
                    200,
                ),
                q850: None,
                attempt_number: 1,
                last_attempt: true,
                estimated: false,
                hold_id: None,
                held: None,
                dedupe: Some(
                    66c326e71bee6cad7f4a6cfed1d31caf,
                ),
                import: None,
                raw: None,
                line: 3,
            },
        )"#]]
    .assert_eq(&format!("{:#?}", (&answered.record_id, answered.place, e)));
}

#[test]
fn the_attempts_of_one_yeti_call_share_its_key_and_keep_their_own() {
    let line = |attempt: u32, leg: &str, extra: &str| {
        format!(
            "{{\"id\":{attempt},\"local_tag\":\"10-A1\",\"legb_local_tag\":{leg},\"vendor_acc_id\":{},\"customer_acc_id\":5,\"duration\":7,\"time_start\":\"2023-07-01 00:00:00.000001+02\",{extra}\"routing_attempt\":{attempt},\"dst_prefix_in\":\"49301\",\"lega_disconnect_code\":503,\"legb_disconnect_code\":480}}\n",
            if leg == "null" { "null" } else { "9" },
        )
    };
    let connect = "\"time_connect\":\"2023-06-30T22:00:01Z\",\"time_end\":\"2023-06-30T22:00:07.5Z\",\"success\":true,\"cdo\":3,\"is_last_cdr\":true,";
    let text = line(1, "null", "") + &line(2, "\"B-2\"", "") + &line(3, "\"B-3\"", connect);
    let all = records(read(&switch("yeti", "", &[]), text.as_bytes()));
    let short: Vec<_> = all
        .iter()
        .map(|r| {
            let e = &r.event;
            (
                e.call_key.as_str(),
                e.leg,
                e.attempt_key.as_str(),
                e.duration,
                e.vendor_duration,
                e.sip_code,
                e.last_attempt,
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            ("10-A1", Leg::A, "", Some(0), None, Some(503), false),
            ("10-A1", Leg::Both, "B-2", Some(0), Some(0), Some(480), false),
            ("10-A1", Leg::Both, "B-3", Some(10_000_000), Some(7_000_000), Some(200), true),
        ]
    );
    assert_eq!(all[2].flags, Flags::DURATION_OFFSET);
    assert_eq!(all[1].flags, Flags::TIMES_CONTRADICT, "seconds without an answer");
    assert_eq!(all[0].event.started_at.unwrap().to_string(), "2023-06-30T22:00:00.000001Z");
}

#[test]
fn asterisk_is_read_with_every_tail() {
    expect![[r#"
        {"record":{"record_id":null,"call_key":"2ddc4285d7a3469253ccdea9a07bc35a","leg":"both","caller":"+4930555000","called":"0043152345","started_at":"2023-07-01T08:00:00Z","answered_at":"2023-07-01T08:00:03Z","ended_at":"2023-07-01T08:01:03Z","duration":"60","answered":true,"sip_code":null,"q850":16,"account":"acme","vendor":null,"flags":["cause_derived","no_record_id"],"source":{"file":"f","line":1,"byte":0}}}
        {"record":{"record_id":null,"call_key":"pbx1-1688198400.17","leg":"both","caller":"4930555000","called":"43152346","started_at":"2023-07-01T08:00:00Z","answered_at":null,"ended_at":"2023-07-01T08:00:20Z","duration":"0","answered":false,"sip_code":null,"q850":19,"account":"acme","vendor":null,"flags":["cause_derived","no_record_id"],"source":{"file":"f","line":2,"byte":254}}}
        {"record":{"record_id":null,"call_key":"c681ed612c409b086053e53a162df9e6","leg":"a","caller":"4930555000","called":"43152347","started_at":"2023-07-01T08:00:00Z","answered_at":null,"ended_at":"2023-07-01T08:00:01Z","duration":"0","answered":false,"sip_code":null,"q850":17,"account":"acme","vendor":null,"flags":["cause_derived","no_record_id"],"source":{"file":"f","line":3,"byte":490}}}
        {"record":{"record_id":null,"call_key":"1688198400.18","leg":"both","caller":"4930555000","called":"43152348","started_at":"2023-07-01T08:00:00Z","answered_at":"2023-07-01T08:00:02Z","ended_at":"2023-07-01T08:00:12Z","duration":"10","answered":true,"sip_code":null,"q850":16,"account":"acme","vendor":null,"flags":["cause_derived","no_record_id"],"source":{"file":"f","line":4,"byte":665}}}
        {"record":{"record_id":"1688198400.19/41","call_key":"1688198400.19","leg":"both","caller":"4930555000","called":"43152349","started_at":"2023-07-01T08:00:00.250Z","answered_at":null,"ended_at":"2023-07-01T08:00:05Z","duration":"0","answered":false,"sip_code":null,"q850":34,"account":"acme","vendor":null,"flags":["cause_derived"],"source":{"file":"f","line":5,"byte":922}}}
        {"record":{"record_id":"1688198400.19/42","call_key":"1688198400.19","leg":"both","caller":"4930555000","called":"43152349","started_at":"2023-07-01T08:00:05Z","answered_at":"2023-07-01T08:00:09.500Z","ended_at":"2023-07-01T08:00:19.500Z","duration":"10","answered":true,"sip_code":null,"q850":16,"account":"acme","vendor":null,"flags":["cause_derived"],"source":{"file":"f","line":6,"byte":1187}}}
        {"summary":{"read":6,"accepted":6,"repeated":0,"rejected":0,"seconds":"80"}}
    "#]].assert_eq(&printed(&switch("asterisk", "Europe/Vienna", &[]), ASTERISK));
}

#[test]
fn an_export_of_asterisks_table_is_read_by_its_names() {
    let table = "calldate;clid;src;dst;channel;dstchannel;duration;billsec;disposition;accountcode;uniqueid;linkedid;sequence\n\
        2023-07-01 10:00:00;x;4930555000;43152345;SIP/a-1;SIP/v-2;65;60;ANSWERED;acme;1688198400.1;1688198400.1;7\n\
        2023-07-01 10:00:01;x;4930555000;43152346;SIP/a-1;;9;0;BUSY;acme;1688198401.2;1688198401.2;8\n\
        2023-07-01 10:00:01;x;4930555000;43152346\n";
    expect![[r#"
        {"record":{"record_id":"1688198400.1/7","call_key":"1688198400.1","leg":"both","caller":"4930555000","called":"43152345","started_at":"2023-07-01T08:00:00Z","answered_at":"2023-07-01T08:00:05Z","ended_at":"2023-07-01T08:01:05Z","duration":"60","answered":true,"sip_code":null,"q850":16,"account":"acme","vendor":null,"flags":["cause_derived","times_derived"],"source":{"file":"f","line":2,"byte":109}}}
        {"record":{"record_id":"1688198401.2/8","call_key":"1688198401.2","leg":"a","caller":"4930555000","called":"43152346","started_at":"2023-07-01T08:00:01Z","answered_at":null,"ended_at":"2023-07-01T08:00:10Z","duration":"0","answered":false,"sip_code":null,"q850":17,"account":"acme","vendor":null,"flags":["cause_derived","times_derived"],"source":{"file":"f","line":3,"byte":215}}}
        {"reject":{"line":4,"byte":308,"field":"","reason":"the record has 4 columns, the line of names 13","advice":"the record is cut off or damaged: get the file again"}}
        {"summary":{"read":3,"accepted":2,"repeated":0,"rejected":1,"seconds":"60"}}
    "#]].assert_eq(&printed(&switch("asterisk", "Europe/Vienna", &[("delimiter", "semicolon")]), table.as_bytes()));
    let names = "src,dst,calldate,disposition,duration\n";
    expect![[r#"
        {"reject":{"line":1,"byte":0,"field":"billsec","reason":"the line of names has no column billsec","advice":"export the table with this column"}}
        {"summary":{"read":1,"accepted":0,"repeated":0,"rejected":1,"seconds":"0"}}
    "#]].assert_eq(&printed(&switch("asterisk", "UTC", &[]), names.as_bytes()));
    assert_eq!(crate::detect(names.as_bytes()), Some("asterisk"));
}

#[test]
fn asterisk_without_a_declared_zone_is_refused_with_advice() {
    let text = printed(&switch("asterisk", "", &[]), ASTERISK);
    assert_eq!(text.matches("names no time zone and none is declared").count(), 6, "{text}");
    assert!(text.contains("time_zone = \\\"Europe/Vienna\\\""), "{text}");
}

#[test]
fn freeswitch_legs_meet_in_one_call_encoded_or_not() {
    expect![[r#"
        {"record":{"record_id":"bbbb0000-0000-4000-8000-000000000002","call_key":"aaaa0000-0000-4000-8000-000000000001","leg":"b","caller":"+4930555000","called":"43152345","started_at":"2023-07-01T10:00:00.300Z","answered_at":null,"ended_at":"2023-07-01T10:00:00.900Z","duration":"0","answered":false,"sip_code":503,"q850":34,"account":null,"vendor":null,"flags":[],"source":{"file":"f","line":1,"byte":0}}}
        {"record":{"record_id":"bbbb0000-0000-4000-8000-000000000003","call_key":"aaaa0000-0000-4000-8000-000000000001","leg":"b","caller":"+4930555000","called":"43152345","started_at":"2023-07-01T10:00:00.950Z","answered_at":"2023-07-01T10:00:04.480Z","ended_at":"2023-07-01T10:01:04.880Z","duration":"60","answered":true,"sip_code":200,"q850":16,"account":null,"vendor":null,"flags":[],"source":{"file":"f","line":2,"byte":934}}}
        {"record":{"record_id":"aaaa0000-0000-4000-8000-000000000001","call_key":"aaaa0000-0000-4000-8000-000000000001","leg":"both","caller":"+4930555000","called":"43152345","started_at":"2023-07-01T10:00:00.250001Z","answered_at":"2023-07-01T10:00:04.500Z","ended_at":"2023-07-01T10:01:04.900Z","duration":"60","answered":true,"sip_code":200,"q850":16,"account":"acme","vendor":null,"flags":[],"source":{"file":"f","line":3,"byte":1855}}}
        {"summary":{"read":3,"accepted":3,"repeated":0,"rejected":0,"seconds":"120"}}
    "#]].assert_eq(&printed(&switch("freeswitch", "", &[]), FREESWITCH));
    let all = records(read(&switch("freeswitch", "", &[("duration", "billusec")]), FREESWITCH));
    let a = &all[2].event;
    assert_eq!((a.leg, a.attempt_key.as_str()), (Leg::Both, "bbbb0000-0000-4000-8000-000000000003"));
    assert_eq!((a.duration, a.pdd), (Some(60_400_000), Some(1_000_000)));
    assert_eq!(
        (a.outbound.trunk.as_str(), a.outbound.ip.as_str(), a.outbound.port),
        ("vendor-b", "198.51.100.7", 5080)
    );
    let both = records(read(&switch("freeswitch", "", &[("b_legs", "logged")]), FREESWITCH));
    assert_eq!((both[2].event.leg, both[2].event.attempt_key.as_str()), (Leg::A, ""));
    let b = &all[1].event;
    assert_eq!((b.leg, b.duration, b.vendor_duration), (Leg::B, None, Some(60_400_000)));
    assert_eq!((b.outbound.trunk.as_str(), b.outbound.account.as_str()), ("vendor-b", ""));
    assert_eq!(b.call_key, a.call_key);
}

#[test]
fn freeswitch_of_old_with_one_flow_is_read_as_the_new_one() {
    let text = std::str::from_utf8(FREESWITCH).unwrap();
    let start = text.find("\"callflow\": [").unwrap() + "\"callflow\": ".len();
    let end = start + text[start..].find("]").unwrap();
    let old = format!("{}{}{}", &text[..start], &text[start + 1..end], &text[end + 1..]);
    let calls = |text: &str| records(read(&switch("freeswitch", "", &[]), text.as_bytes()));
    let (old, new) = (calls(&old), calls(text));
    assert_eq!(old.len(), new.len());
    assert_eq!((&old[0].event.caller, &old[0].event.called), (&new[0].event.caller, &new[0].event.called));
}

#[test]
fn cucm_recording_legs_and_strange_causes_are_flagged() {
    expect![[r#"
        {"record":{"record_id":"11111111-0000-4000-8000-000000000001","call_key":"cluster-t-1-700-900-1688205600","leg":"both","caller":"4930555000","called":"43152345","started_at":"2023-07-01T10:00:00Z","answered_at":"2023-07-01T10:00:04Z","ended_at":"2023-07-01T10:01:04Z","duration":"60","answered":true,"sip_code":null,"q850":16,"account":null,"vendor":null,"flags":[],"source":{"file":"f","line":3,"byte":679}}}
        {"record":{"record_id":"11111111-0000-4000-8000-000000000002","call_key":"cluster-t-1-701-910-1688205700","leg":"both","caller":"4930555001","called":"43152399","started_at":"2023-07-01T10:01:40Z","answered_at":null,"ended_at":"2023-07-01T10:01:50Z","duration":"0","answered":false,"sip_code":null,"q850":17,"account":null,"vendor":null,"flags":["redirected"],"source":{"file":"f","line":4,"byte":875}}}
        {"record":{"record_id":"11111111-0000-4000-8000-000000000003","call_key":"cluster-t-1-702-920-1688205604","leg":"both","caller":"b001","called":"5030","started_at":"2023-07-01T10:00:04Z","answered_at":null,"ended_at":"2023-07-01T10:00:04Z","duration":"0","answered":false,"sip_code":null,"q850":null,"account":null,"vendor":null,"flags":["cause_not_q850","recording_leg"],"source":{"file":"f","line":5,"byte":1057}}}
        {"summary":{"read":3,"accepted":3,"repeated":0,"rejected":0,"seconds":"60"}}
    "#]].assert_eq(&printed(&switch("cucm", "", &[]), CUCM));
    let left_out = printed(&switch("cucm", "", &[("recording_legs", "skip")]), CUCM);
    assert!(left_out.contains("{\"skip\":{\"line\":5,"), "{left_out}");
    let all = records(read(&switch("cucm", "", &[]), CUCM));
    assert_eq!(all[0].event.inbound.ip, "192.0.2.10");
    assert_eq!(all[1].event.outbound.ip, "198.51.100.7");
}

#[test]
fn a_cucm_quality_file_is_known_and_passed_over() {
    let cmr = "\"cdrRecordType\",\"globalCallID_callId\",\"numberPacketsSent\"\nINTEGER,INTEGER,INTEGER\n2,25447,559\n2,25448,1\n";
    let text = printed(&switch("cucm", "", &[]), cmr.as_bytes());
    assert!(
        text.ends_with(
            "{\"summary\":{\"read\":0,\"accepted\":0,\"repeated\":0,\"rejected\":0,\"seconds\":\"0\",\"skipped\":2}}\n"
        ),
        "{text}"
    );
}

#[test]
fn our_own_events_come_back_as_they_were_printed() {
    let switch = switch("tandem", "", &[]);
    let text = printed(&switch, TANDEM);
    expect![[r#"
        {"event":{"record_id":"e-1","kind":"started","leg":"a","id_domain":"sw-1","switch":"sw-1","call_key":"c-1","occurred_at":"2023-07-01T10:00:00.250Z","caller":"+4930555000","called":"43152345","inbound":{"trunk":"","ip":"192.0.2.10","port":5060,"digest_user":"","tech_prefix":"","account":""},"outbound":{"trunk":"","ip":"","port":0,"digest_user":"","tech_prefix":"","account":""},"attempt_number":0,"last_attempt":false,"estimated":false}}
        {"event":{"record_id":"e-2","kind":"answered","leg":"both","id_domain":"sw-1","switch":"sw-1","call_key":"c-1","attempt_key":"b-1","occurred_at":"2023-07-01T10:00:03Z","caller":"","called":"","inbound":{"trunk":"","ip":"","port":0,"digest_user":"","tech_prefix":"","account":""},"outbound":{"trunk":"","ip":"","port":0,"digest_user":"","tech_prefix":"","account":""},"attempt_number":0,"last_attempt":false,"estimated":false}}
        {"event":{"record_id":"e-3","kind":"ended","leg":"both","id_domain":"sw-1","switch":"sw-1","call_key":"c-1","attempt_key":"b-1","occurred_at":"2023-07-01T10:01:03Z","caller":"","called":"","inbound":{"trunk":"","ip":"","port":0,"digest_user":"","tech_prefix":"","account":""},"outbound":{"trunk":"","ip":"","port":0,"digest_user":"","tech_prefix":"","account":""},"sip_code":200,"q850":16,"attempt_number":0,"last_attempt":false,"estimated":false}}
        {"summary":{"read":3,"accepted":3,"repeated":0,"rejected":0,"seconds":"0"}}
    "#]].assert_eq(&text);
    let events: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("{\"event\":"))
        .map(|l| format!("{}\n", &l[..l.len() - 1]))
        .collect();
    let key = |d: Vec<Decoded>| -> Vec<_> {
        records(d)
            .into_iter()
            .map(|r| (r.event.call_id(), r.event.dedupe, r.event.occurred_at, r.event.called_number))
            .collect()
    };
    assert_eq!(key(read(&switch, events.as_bytes())), key(read(&switch, TANDEM)));
}

#[test]
fn pieces_of_any_size_give_the_same_records() {
    for (format, bytes) in [
        ("yeti", &YETI[..20_000]),
        ("asterisk", ASTERISK),
        ("freeswitch", FREESWITCH),
        ("cucm", CUCM),
        ("tandem", TANDEM),
    ] {
        let switch = switch(format, "UTC", &[]);
        let whole = read(&switch, bytes);
        for chunk in [1, 2, 7, 511, 513] {
            assert_eq!(read_in(&switch, bytes, chunk), whole, "{format} in pieces of {chunk}");
        }
        // Every record's place names its very bytes.
        for record in records(whole) {
            let place = record.place;
            let raw = &bytes[place.byte as usize..(place.byte + place.length) as usize];
            let again = records(read(&switch, raw));
            assert!(
                format == "cucm"
                    || again
                        .first()
                        .is_some_and(|r| r.event.call_key == record.event.call_key || record.record_id.is_empty()),
                "{format} {place:?}"
            );
            assert_eq!(bytes[..place.byte as usize].iter().filter(|b| **b == b'\n').count() as u64 + 1, place.line);
        }
    }
}

#[test]
fn equal_rows_are_separate_calls_and_the_same_ones_when_read_again() {
    let row = ASTERISK.split(|b| *b == b'\n').next().unwrap();
    let file = [row, row, row].join(&b'\n');
    let keys = || {
        records(read(&switch("asterisk", "UTC", &[]), &file))
            .into_iter()
            .map(|r| (r.event.dedupe, r.event.call_key))
            .collect::<Vec<_>>()
    };
    let first = keys();
    assert_eq!(first, keys());
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
}

#[test]
fn files_are_recognised_by_their_first_bytes() {
    for (want, bytes) in
        [("yeti", YETI), ("asterisk", ASTERISK), ("freeswitch", FREESWITCH), ("cucm", CUCM), ("tandem", TANDEM)]
    {
        assert_eq!(detect(bytes), Some(want));
    }
    for nothing in [&b""[..], b"{}", b"a,b,c\n1,2,3\n", b"\x1f\x8b\x08\0\0", b"%PDF-1.7", &[0u8; 100]] {
        assert_eq!(detect(nothing), None, "{nothing:?}");
    }
}

#[test]
fn a_wrong_setting_is_named_before_anything_is_read() {
    let text = |format: &str, zone, options: &[(&str, &str)]| {
        reader(format, &switch(format, zone, options)).err().unwrap().to_string()
    };
    expect![[r#"
        switch sw-1: format "cobol" is unknown; use one of yeti, asterisk, freeswitch, cucm, tandem
        switch sw-1: time zone "Mars/Phobos" is unknown; use an IANA name such as Europe/Vienna or UTC
        switch sw-1: option "tail" is unknown for format yeti; it knows empty_files
        switch sw-1: option tail = "x" is not possible; use auto, uniqueid, userfield"#]]
    .assert_eq(
        &[
            text("cobol", "", &[]),
            text("yeti", "Mars/Phobos", &[]),
            text("yeti", "", &[("tail", "x")]),
            text("asterisk", "", &[("tail", "x")]),
        ]
        .join("\n"),
    );
    assert!(FORMATS.iter().all(|format| reader(format, &switch(format, "", &[])).is_ok()));
}
