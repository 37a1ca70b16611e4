//! Files and bodies that nobody should send, through the binary's own doors: drop folder, `calls import`,
//! `POST /v1/call-events`, `deck read`. Memory stays bounded, the error says where and what to do, and what comes next
//! is taken as if nothing had been.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tests::site::{self, SELL, SWITCH, cell, row_of};
use tests::{Tandem, eventually, http, memory};

use crate::workbook::{Part, SHEET, archive, workbook};

const GIGABYTE: u64 = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(240);
/// What the process may take on top of what it took before: a few records of 1 MiB, pieces of files, raw frames.
const MORE: u64 = 96 << 20;
/// Of one `deck read` of a small file, whatever it unpacks to or declares.
const DECK: u64 = 64 << 20;

#[test]
fn no_file_and_no_body_takes_the_process_down_or_much_memory() {
    let mut tandem = Tandem::new();
    let drop = tandem.home().join("drop");
    let wide = tandem.home().join("drop-csv");
    settings(&tandem, &[(&drop, SWITCH), (&wide, "pbx-1")]);
    let address = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let more = tandem.home().join("pbx.toml");
    let text = "[[switch]]\nid = \"pbx-1\"\nformat = \"asterisk\"\ntime_zone = \"UTC\"\n";
    fs::write(&more, text).expect("the home can be written");
    tandem.run(&["apply", &more.display().to_string(), "--yes"]).ok();
    let first = tandem.home().join("first.jsonl");
    fs::write(&first, site::copy(0).join("\n") + "\n").expect("the home can be written");
    tandem.run(&["calls", "import", &first.display().to_string(), "--switch", SWITCH, "--wait"]).ok();
    let before = memory::peak(tandem.server().id()).expect("the process runs");

    // A gigabyte takes its time to be read: one through each door.
    let huge = |case: &&Case, name| case.length.is_none() || case.name == name;
    let cases = bad_files();
    for case in cases.iter().filter(|case| huge(case, "zeros.jsonl")) {
        let folder = if case.csv { &wide } else { &drop };
        case.write(&folder.join(case.name));
    }
    for case in cases.iter().filter(|case| huge(case, "zeros.jsonl")) {
        let folder = if case.csv { &wide } else { &drop };
        let why = eventually(&format!("{} is dealt with", case.name), PATIENCE, || {
            fs::read_to_string(folder.join("failed").join(format!("{}.why", case.name))).ok()
        });
        println!("{}: {}", case.name, why.trim());
        for words in case.why {
            assert!(why.contains(words), "{}: {words:?} is not said: {why}", case.name);
        }
    }
    for case in cases.iter().filter(|case| huge(case, "one-line.jsonl")) {
        let path = tandem.home().join(case.name);
        case.write(&path);
        let switch = if case.csv { "pbx-1" } else { SWITCH };
        let refused = tandem.run(&["calls", "import", &path.display().to_string(), "--switch", switch]);
        assert_eq!(refused.code, Some(1), "{}: {refused:?}", case.name);
        for words in case.why {
            assert!(refused.stderr.contains(words), "{}: {words:?} is not said: {refused:?}", case.name);
        }
        fs::remove_file(path).expect("it can be removed");
    }
    bodies(&tandem, &address);
    let after = memory::peak(tandem.server().id()).expect("the process still runs");
    println!("VmHWM {} MiB before, {} MiB after", before >> 20, after >> 20);
    assert!(after - before < MORE, "bad input took {} MiB", (after - before) >> 20);

    // The next good file goes on, and figures are those of the good ones.
    let next = drop.join("next.jsonl");
    fs::write(&next, site::copy(1).join("\n") + "\n").expect("the folder can be written");
    File::create(drop.join("next.jsonl.done")).expect("the folder can be written");
    eventually("the good file is done", PATIENCE, || drop.join("done/next.jsonl").exists().then_some(()));
    eventually("both good files are booked, and nothing else", PATIENCE, || {
        let balances = tandem.run(&["ledger", "balance", "--json"]).json_lines();
        let owed = cell(row_of(&balances, "account", SELL), "owed");
        assert!(owed <= site::sums().0 * 2, "bad input was booked: {balances:?}");
        (owed == site::sums().0 * 2).then_some(())
    });
    let proof = tandem.run(&["ledger", "verify", "--json"]).json_lines().remove(0);
    assert_eq!((&proof["ok"], &proof["calls"]), (&Value::from(true), &Value::from(500)), "{proof}");
    tandem.stop();
}

/// A file of calls that is none.
struct Case {
    name: &'static str,
    csv: bool,
    bytes: Vec<u8>,
    /// Longer than its bytes by zeros that take no place on the disk.
    length: Option<u64>,
    /// Words of place, reason and advice that have to be said.
    why: &'static [&'static str],
}

impl Case {
    fn write(&self, path: &Path) {
        // Beside the folder first: a file that is being written is none of theirs.
        let unfinished = PathBuf::from(format!("{}.part", path.display()));
        let mut file = File::create(&unfinished).expect("the folder can be written");
        file.write_all(&self.bytes).expect("the file can be written");
        if let Some(length) = self.length {
            file.set_len(length).expect("the disk knows sparse files");
        }
        fs::rename(&unfinished, path).expect("the file can be named");
        if path.parent().is_some_and(|folder| folder.join("failed").exists()) {
            File::create(format!("{}.done", path.display())).expect("the folder can be written");
        }
    }
}

fn bad_files() -> Vec<Case> {
    let line = site::lines().remove(0);
    let plain = |name, bytes: &[u8], why| Case { name, csv: false, bytes: bytes.to_vec(), length: None, why };
    let table = |name, bytes: Vec<u8>, why| Case { name, csv: true, bytes, length: None, why };
    vec![
        plain("cut.jsonl", &line.as_bytes()[..line.len() / 2], &["byte 0", "cut off"]),
        plain("empty.jsonl", b"", &["the file is empty", "check that the switch finished writing it"]),
        plain("binary.jsonl", &noise(1 << 20), &["byte 0"]),
        plain("utf-32.jsonl", &utf_32(&line), &["byte 0"]),
        Case { length: Some(GIGABYTE), ..plain("zeros.jsonl", b"", &["byte 0", "1073741824 bytes", "check the file"]) },
        Case {
            length: Some(GIGABYTE),
            ..plain("one-line.jsonl", &vec![b'{'; 3 << 20], &["byte 0", "limit of 1048576", "check the file"])
        },
        table(
            "million-columns.csv",
            [b"1,".repeat(1_000_000), b"\n".to_vec()].concat(),
            &["byte 0", "limit of 1048576"],
        ),
        table("commas.csv", [b",".repeat(1_000_000), b"\n".to_vec()].concat(), &["byte 0", "more than 1024 columns"]),
    ]
}

/// The same noise at every run (xorshift).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..bytes / 8).flat_map(|_| next().to_le_bytes()).collect()
}

fn utf_32(text: &str) -> Vec<u8> {
    text.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect()
}

fn settings(tandem: &Tandem, drops: &[(&Path, &str)]) {
    fs::create_dir_all(tandem.data()).expect("a data folder");
    let one = |(folder, switch): &(&Path, &str)| {
        format!("[[ingest.drop]]\nswitch = {switch:?}\nfolder = {:?}\n", folder.display().to_string())
    };
    let text: String = drops.iter().map(one).collect();
    fs::write(tandem.data().join("tandem.toml"), text).expect("the data folder can be written");
    for (folder, _) in drops {
        fs::create_dir_all(folder.join("failed")).expect("a drop folder");
    }
}

/// Name, path and content type, body, the answer's status and words that it has to say.
type Body<'a> = (&'a str, (&'a str, &'a str), Vec<u8>, u16, &'a [&'a str]);

/// Bodies of `POST /v1/call-events`: each is refused by name.
fn bodies(tandem: &Tandem, address: &str) {
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let line = site::lines().remove(0);
    let nested = "[".repeat(4 << 20);
    let wide = [b"1,".repeat(1_000_000), b"\n".to_vec()].concat();
    let own = ("/v1/call-events", "application/json");
    let yeti = ("/v1/call-events?switch=yeti-1", "application/json");
    let pbx = ("/v1/call-events?switch=pbx-1", "application/json");
    let avro = ("/v1/call-events", "avro/binary");
    let cases: [Body<'_>; 11] = [
        ("empty", own, Vec::new(), 400, &["the body is empty"]),
        ("binary", own, noise(1 << 16), 400, &["not UTF-8"]),
        ("utf-32", own, utf_32(&line), 400, &["send one event"]),
        ("cut", own, line.as_bytes()[..line.len() / 2].to_vec(), 400, &["line 1 column"]),
        ("nested", own, nested.into_bytes(), 400, &["EOF while parsing a list"]),
        ("cut of a switch", yeti, line.as_bytes()[..line.len() / 2].to_vec(), 422, &["cut off"]),
        ("binary of a switch", yeti, noise(1 << 16), 422, &["rejected"]),
        ("million columns", pbx, wide, 422, &["limit of 1048576"]),
        ("binary avro", avro, noise(1 << 16), 422, &["a call-event record in Confluent wire format is expected"]),
        (
            "avro lengths",
            ("/v1/call-events", "avro/binary; framing=length"),
            vec![0xff; 64],
            400,
            &["goes beyond the body"],
        ),
        ("too large", own, vec![b' '; (8 << 20) + 1], 413, &["send smaller batches"]),
    ];
    for (name, (path, kind), body, status, words) in cases {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = http::request_bytes("POST", &format!("{address}{path}"), &headers, &body);
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        let said = words.iter().all(|words| answer.body.contains(words));
        assert!(answer.status == status && said, "{name}: {} {}", answer.status, answer.body);
    }
    gigabyte_body(address, &bearer);
    assert_eq!(http::get(&format!("{address}/healthz")).expect("the process answers").status, 200);
}

/// A body of 1 GiB in pieces, without saying how long it is: answered or cut off long before its end.
fn gigabyte_body(address: &str, bearer: &str) {
    let place = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(place).expect("the process listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    let head = format!(
        "POST /v1/call-events HTTP/1.1\r\nhost: {place}\r\nauthorization: {bearer}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the head is taken");
    let piece = [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    let taken = (0..1024).take_while(|_| stream.write_all(&piece).is_ok()).count();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    println!("of 1 GiB {taken} MiB were taken before: {:?} {read:?}", answer.lines().next());
    assert!(taken < 64, "the process read {taken} MiB of a body of at most 8");
}

#[test]
fn no_deck_file_takes_much_memory_and_each_is_refused_by_name() {
    let tandem = Tandem::new();
    let strings = |count: &str| {
        let ns = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        format!("<sst xmlns=\"{ns}\" count=\"1\" uniqueCount=\"{count}\"><si><t>a</t></si></sst>").into_bytes()
    };
    let sheet = || Part::stored("xl/worksheets/sheet1.xml", SHEET.as_bytes());
    let with = |part: Part| archive(&[sheet(), part]);
    let whole = workbook(SHEET.as_bytes());
    let declared = "xl/sharedStrings.xml";
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("empty.csv", Vec::new(), &["is empty", "ask for it again"]),
        ("binary.xlsx", [b"PK\x03\x04".to_vec(), noise(1 << 16)].concat(), &["binary.xlsx"]),
        ("cut.xlsx", whole[..whole.len() / 2].to_vec(), &["zip directory"]),
        ("utf-32.csv", utf_32("Prefix,Rate\n4312,0.1\n"), &["control byte 0x00 at byte", "send a CSV"]),
        ("million-columns.csv", [b"1,".repeat(1_000_000), b"\n".to_vec()].concat(), &["line 1", "too many columns"]),
        ("declared-bomb.xlsx", with(Part::bomb("xl/media/a", 4_000, 4_000_000_000)), &["declares 4000000000 bytes"]),
        ("lying-bomb.xlsx", with(Part::bomb("xl/media/a", 700 << 20, 1_000)), &["xl/media/a"]),
        ("strings.xlsx", with(Part::stored(declared, &strings("4000000000"))), &["declares 4000000000 strings"]),
        ("more-strings.xlsx", with(Part::stored(declared, &strings("18446744073709551615"))), &["strings"]),
    ];
    for (name, bytes, words) in cases {
        let path = tandem.home().join(name);
        fs::write(&path, &bytes).expect("the home can be written");
        refused(&tandem, &path, words, DECK);
    }
    let one_line = tandem.home().join("one-line.csv");
    File::create(&one_line).and_then(|file| file.set_len(GIGABYTE)).expect("the disk knows sparse files");
    refused(&tandem, &one_line, &["1073741824 bytes", "above the limit", "split the file"], DECK);
    let (ran, most) = memory::run(&mut tandem.command(&["deck", "read", "/dev/zero"]));
    assert!(ran.code == Some(2) && ran.stderr.contains("above the limit"), "{ran:?}");
    assert!(most < 700 << 20, "an endless file took {} MiB", most >> 20);
    // The same reader goes on with the next file.
    let good = tandem.home().join("good.xlsx");
    fs::write(&good, &whole).expect("the home can be written");
    let read = tandem.run(&["deck", "read", &good.display().to_string(), "--json"]);
    assert!(read.stdout.contains("\"prefix\":\"43660\""), "{read:?}");
}

fn refused(tandem: &Tandem, path: &Path, words: &[&str], limit: u64) {
    let (ran, most) = memory::run(&mut tandem.command(&["deck", "read", &path.display().to_string()]));
    let name = path.display();
    println!("{} MiB: {}", most >> 20, ran.stderr.trim());
    assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
    for words in words {
        assert!(ran.stderr.contains(words), "{name}: {words:?} is not said: {ran:?}");
    }
    assert!(most < limit, "{name} took {} MiB", most >> 20);
}
