//! Damage costs the record it is in and says so; memory stays bounded; the next record is read.

use super::{ASTERISK, FREESWITCH, TANDEM, YETI, printed, read, read_in, switch};
use crate::{Decoded, RECORD_BYTES_MAX, reader};
use expect_test::expect;

fn kinds(decoded: &[Decoded]) -> String {
    decoded
        .iter()
        .map(|d| match d {
            Decoded::Record(r) => format!("record line {}\n", r.place.line),
            Decoded::Event(r) => format!("event line {}\n", r.place.line),
            Decoded::Reject(r) => format!(
                "reject line {} byte {} length {} {:?}: {}; {}\n",
                r.place.line, r.place.byte, r.place.length, r.field, r.reason, r.advice
            ),
            Decoded::Skip { place, why } => format!("skip line {} {why}\n", place.line),
        })
        .collect()
}

fn lines(bytes: &[u8], count: usize) -> Vec<u8> {
    let end = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(count - 1).unwrap().0;
    bytes[..=end].to_vec()
}

#[test]
fn a_file_cut_anywhere_gives_all_whole_records_and_one_reject() {
    let file = lines(YETI, 3);
    let two = lines(YETI, 2).len();
    for cut in (two + 1..file.len() - 1).step_by(97) {
        let got = read(&switch("yeti", "", &[]), &file[..cut]);
        assert_eq!(got.len(), 3, "cut at {cut}");
        let Decoded::Reject(reject) = &got[2] else { panic!("cut at {cut}: {:?}", got[2]) };
        assert_eq!((reject.place.line, reject.place.byte), (3, two as u64));
        assert!(reject.advice.contains("cut off"), "{reject:?}");
    }
    for cut in (1..FREESWITCH.len() - 1).step_by(53) {
        let got = read(&switch("freeswitch", "", &[]), &FREESWITCH[..cut]);
        let whole = got.iter().filter(|d| matches!(d, Decoded::Record(_))).count();
        assert!(got.len() - whole <= 1, "cut at {cut}: {}", kinds(&got));
    }
}

#[test]
fn a_damaged_record_costs_only_itself() {
    let good = lines(YETI, 1);
    let file = [
        &good[..],
        b"{\"id\": 1, \"time_start\": \"yesterday\"}\n\xff\xfe\x00\x01junk\nmore\x00\x02\n",
        &good,
        b"no json\n",
        &good,
        b"{\"a\":\n",
    ]
    .concat();
    expect![[r#"
        record line 1
        reject line 2 byte 4125 length 36 "time_start": "yesterday" is no time; a time such as 2023-07-01T00:16:59.5+02:00 is expected
        reject line 3 byte 4162 length 15 "": 15 bytes of binary data where a text record was expected; check the file and the format that is set for this switch
        record line 5
        reject line 6 byte 8303 length 7 "": this is no Yeti record: expected ident at line 1 column 2; one JSON object is expected: check the file and the format that is set for this switch
        record line 7
        reject line 8 byte 12436 length 5 "": this is no Yeti record: EOF while parsing a value at line 1 column 5; the record is cut off: get the file again
    "#]].assert_eq(&kinds(&read(&switch("yeti", "", &[]), &file)));
    let row = lines(ASTERISK, 1);
    let file = [
        b"a,b\n",
        &row[..],
        b"\"acme\",\"never closed,1,2\n",
        &row,
        b"1,2,3,4,5,6,7,8,9,20231301-000000,,,1,1,ANSWERED,3\n",
        &row,
    ]
    .concat();
    expect![[r#"
        reject line 1 byte 0 length 3 "": the record has 2 columns; Asterisk writes 16 to 21; check the delimiter (option delimiter) and that no line is broken
        record line 2
        reject line 3 byte 258 length 24 "start": "PJSIP/43152345@vendor-a" is no time; a time such as 2023-07-01T00:16:59.5+02:00 is expected; a quote in this line is not closed in it
        record line 4
        reject line 5 byte 537 length 50 "start": "20231301-000000" is no instant of the calendar; a time such as 2023-07-01T00:16:59.5+02:00 is expected
        record line 6
    "#]].assert_eq(&kinds(&read(&switch("asterisk", "UTC", &[]), &file)));
    let text = std::str::from_utf8(TANDEM).unwrap();
    let file = format!(
        "{text}\n{{\"kind\":\"started\",\"call_key\":\"c\n{{\"kind\":\"ended\",\"call_key\":\"c-2\",\"occurred_at\":\"2023-07-01T10:00:00Z\"}}\ngarbage\n{{\"kind\":\"ended\",\"call_key\":\"c-3\",\"occurred_at\":\"2023-07-01T10:00:00Z\",\"colour\":1}}\n{{\"kind\":\"ended\","
    );
    expect![[r#"
        event line 2
        event line 3
        event line 4
        reject line 7 byte 483 length 32 "": a line ends inside a JSON string; the record is cut off or damaged: get the file again
        event line 8
        reject line 9 byte 586 length 8 "": expected a JSON object; check the format that is set for this switch
        reject line 10 byte 594 length 81 "colour": colour is no field of a call event; names of your own begin with x_
        reject line 11 byte 676 length 16 "": the JSON object is not complete; the file is cut off: get it again
    "#]].assert_eq(&kinds(&read(&switch("tandem", "", &[]), file.as_bytes())));
}

#[test]
fn a_gigabyte_in_one_line_is_one_reject_and_the_next_record_is_read() {
    let good = lines(YETI, 1);
    let block = vec![b'x'; 1 << 20];
    for format in ["yeti", "tandem", "asterisk"] {
        let zoned = switch(format, "UTC", &[]);
        let good = match format {
            "asterisk" => lines(ASTERISK, 1),
            "tandem" => {
                b"{\"kind\":\"ended\",\"call_key\":\"c-2\",\"occurred_at\":\"2023-07-01T10:00:00Z\"}\n".to_vec()
            }
            _ => good.clone(),
        };
        let mut got = Vec::new();
        let mut reader = reader(format, &zoned).unwrap();
        reader.feed(&good, &mut |d| got.push(d));
        // The day test streams 64 MiB; a file of 1 GB is fed in tests/night the same way.
        let blocks = if option_env!("TANDEM_NIGHT").is_some() { 1024 } else { 64 };
        for _ in 0..blocks {
            reader.feed(&block, &mut |d| got.push(d));
        }
        reader.feed(b"\n", &mut |d| got.push(d));
        reader.feed(&good, &mut |d| got.push(d));
        reader.finish(&mut |d| got.push(d));
        assert_eq!(got.len(), 3, "{format}: {}", kinds(&got));
        let Decoded::Reject(reject) = &got[1] else { panic!("{format}: {}", kinds(&got)) };
        assert_eq!(reject.place.byte, good.len() as u64);
        assert!(reject.place.length >= (blocks as u64) << 20, "{reject:?}");
        assert!(!matches!(got[2], Decoded::Reject(_)), "{format}");
    }
}

#[test]
fn an_unclosed_quote_costs_one_line_not_the_rest_of_the_file() {
    let row = lines(ASTERISK, 1);
    let unquoted = String::from_utf8(row).unwrap().replace('"', "");
    let unquoted = unquoted.replace("Anna, Wien", "Anna");
    let mut file = b"acme,\"open\n".to_vec();
    while file.len() < 3 * RECORD_BYTES_MAX {
        file.extend_from_slice(unquoted.as_bytes());
    }
    let rows = (file.len() - 11) / unquoted.len();
    let got = read(&switch("asterisk", "UTC", &[]), &file);
    assert_eq!(got.len(), rows + 1);
    assert!(matches!(&got[0], Decoded::Reject(r) if r.place.length == 11), "{:?}", got[0]);
    assert!(got[1..].iter().all(|d| matches!(d, Decoded::Record(_))), "{:?}", got[1]);
}

#[test]
fn other_encodings_are_read_or_refused_by_name() {
    let row = lines(ASTERISK, 1);
    let text = String::from_utf8(row).unwrap().replace("Anna", "J\u{f6}rg");
    let asterisk = switch("asterisk", "UTC", &[]);
    let latin1: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let bom = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let wide = |swap: bool, mark: bool| -> Vec<u8> {
        let marked = if mark { format!("\u{feff}{text}{text}") } else { format!("{text}{text}") };
        marked.encode_utf16().flat_map(|u| if swap { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
    };
    let summary =
        |bytes: &[u8]| kinds(&read_in(&asterisk, bytes, 3)) + printed(&asterisk, bytes).lines().last().unwrap();
    assert!(printed(&asterisk, &latin1).contains("\"latin1\""));
    assert_eq!(kinds(&read(&asterisk, &bom)), "record line 1\n");
    for bytes in [wide(false, true), wide(true, true), wide(false, false), wide(true, false)] {
        let got = read_in(&asterisk, &bytes, 3);
        assert_eq!(kinds(&got), "record line 1\nrecord line 2\n");
        let Decoded::Record(second) = &got[1] else { unreachable!() };
        let mark = bytes.len() as u64 % 4 / 2 + if bytes[0] == b'"' || bytes[1] == b'"' { 0 } else { 2 };
        assert_eq!(second.place.byte, (bytes.len() as u64 - mark) / 2 + mark, "{:?}", second.place);
    }
    expect![[r#"
        reject line 0 byte 0 length 0 "": the file is empty; check that the switch finished writing it; option empty_files = "accept" if it writes such files when there were no calls
        {"summary":{"read":1,"accepted":0,"repeated":0,"rejected":1,"seconds":"0"}}
        reject line 0 byte 0 length 8 "": this is a gzip archive, not a file of records; unpack or convert it first
        {"summary":{"read":1,"accepted":0,"repeated":0,"rejected":1,"seconds":"0"}}
        reject line 1 byte 0 length 5000 "": 5000 bytes of binary data where a text record was expected; check the file and the format that is set for this switch
        {"summary":{"read":1,"accepted":0,"repeated":0,"rejected":1,"seconds":"0"}}"#]].assert_eq(&[summary(b""), summary(b"\x1f\x8b\x08\x00rest"), summary(&[7u8; 5000])].join("\n"));
    let accepts = switch("asterisk", "UTC", &[("empty_files", "accept")]);
    assert!(read(&accepts, b"").is_empty());
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for (format, bytes) in [
        ("yeti", &YETI[..9000]),
        ("asterisk", ASTERISK),
        ("freeswitch", FREESWITCH),
        ("cucm", super::CUCM),
        ("tandem", TANDEM),
    ] {
        for _ in 0..150 {
            let mut mutant = bytes.to_vec();
            for _ in 0..1 + next() % 8 {
                if mutant.is_empty() {
                    break;
                }
                let at = next() as usize % mutant.len();
                match next() % 4 {
                    0 => mutant[at] = next() as u8,
                    1 => drop(mutant.drain(at..mutant.len().min(at + next() as usize % 40))),
                    2 => mutant.insert(at, b"{}[]\"\\\n,\0%"[next() as usize % 10]),
                    _ => mutant.truncate(at.max(1)),
                }
            }
            let chunk = 1 + next() as usize % 300;
            let switch = switch(format, "Europe/Vienna", &[]);
            assert_eq!(read_in(&switch, &mutant, chunk), read(&switch, &mutant), "{format}");
        }
    }
}
