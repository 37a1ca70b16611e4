//! The embedded log against crashes, damage, full disks and second processes, on real files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::api::Batch;
use crate::conformance;
use crate::faults::WornDisk;

const PATIENCE: Duration = Duration::from_secs(20);

fn small(root: &Path) -> EmbeddedConfig {
    EmbeddedConfig { segment_bytes: 16 << 10, write_ahead_bytes: 8 << 10, ..EmbeddedConfig::new(root) }
}

fn open(root: &Path) -> Result<EmbeddedBus, BusError> {
    EmbeddedBus::open(small(root))
}

/// One block a call, values that name their number.
fn append(bus: &EmbeddedBus, from: u64, to: u64, size: usize) -> Result<(), BusError> {
    let mut writer = bus.writer("calls")?;
    for i in from..to {
        let mut value = i.to_le_bytes().to_vec();
        value.resize(8 + size, i as u8);
        writer.append(0, &[Record { key: b"k", value: &value, timestamp_ms: i as i64 }])?;
    }
    Ok(())
}

/// The numbers of all readable records, or the error met on the way.
fn read(bus: &EmbeddedBus) -> Result<Vec<u64>, BusError> {
    let end = bus.end("calls", 0)?;
    let mut reader = bus.reader("calls", 0, bus.begin("calls", 0)?)?;
    let mut batch = Batch::new();
    let mut found = Vec::new();
    while reader.position() < end {
        reader.poll(&mut batch, 4096, PATIENCE)?;
        for record in batch.iter() {
            let (number, rest) = record.value.split_at(8);
            let number = u64::from_le_bytes(number.try_into().unwrap());
            assert!(rest.iter().all(|b| *b == number as u8), "record {number} is not as it was written");
            found.push(number);
        }
    }
    Ok(found)
}

fn spec() -> TopicSpec {
    TopicSpec::events("calls", 1)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn last_segment(root: &Path) -> PathBuf {
    files::segment_files(&root.join("calls/0")).unwrap().pop().unwrap().1
}

/// A folder with `count` records, closed in order.
fn written(count: u64, size: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).unwrap();
    bus.ensure(&spec()).unwrap();
    append(&bus, 0, count, size).unwrap();
    dir
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % n
    }
}

#[test]
fn the_embedded_bus_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { segment_bytes: 64 << 10, ..EmbeddedConfig::new(dir.path()) };
    conformance::run("emb", &|| Arc::new(EmbeddedBus::open(config.clone()).unwrap()));
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_all_before_it_stays() {
    let dir = written(20, 50);
    let head_before = fs::read(dir.path().join("calls/0/head")).unwrap();
    let before = scan::scan(&last_segment(dir.path())).unwrap();
    let bus = open(dir.path()).unwrap();
    append(&bus, 20, 21, 50).unwrap();
    drop(bus);
    let segment = last_segment(dir.path());
    let whole = fs::read(&segment).unwrap();
    let after = scan::scan(&segment).unwrap();
    assert_eq!(before.header, after.header, "the last block stands in the same segment");
    let (start, end) = (before.end_pos as usize, after.end_pos as usize);

    // The machine lost power during the last write: the claim had not been written yet.
    for cut in start..end {
        for zeros in [false, true] {
            let mut torn = whole[..cut].to_vec();
            if zeros {
                torn.resize(whole.len(), 0);
            }
            fs::write(&segment, &torn).unwrap();
            fs::write(dir.path().join("calls/0/head"), &head_before).unwrap();
            let bus = open(dir.path()).unwrap_or_else(|e| panic!("cut at {cut}, zeros {zeros}: {e}"));
            // Where only zeros of the block are missing it is whole.
            let numbers = read(&bus).unwrap();
            let kept = numbers.len() as u64;
            assert!(kept == 20 || (kept == 21 && torn[start..].iter().zip(&whole[start..]).all(|(a, b)| a == b)));
            assert!(numbers.iter().copied().eq(0..kept), "cut at {cut}");
            let nothing_left = torn[start..].iter().all(|b| *b == 0);
            assert_eq!(bus.torn_tails().is_empty(), nothing_left || kept == 21, "cut at {cut}, zeros {zeros}");
            if cut % 16 == 3 {
                append(&bus, kept, kept + 2, 50).unwrap();
                assert_eq!(read(&bus).unwrap().len() as u64, kept + 2, "the log goes on after the cut");
            }
        }
    }

    // The same tail, but it had been acknowledged: never cut.
    let last_data = whole.iter().rposition(|b| *b != 0).unwrap();
    fs::write(&segment, &whole).unwrap();
    fs::write(dir.path().join("calls/0/head"), &head_before).unwrap();
    drop(open(dir.path()).unwrap());
    let bus = open(dir.path()).unwrap();
    append(&bus, 21, 22, 50).unwrap();
    drop(bus);
    for cut in [start, start + 40, last_data] {
        fs::write(&segment, &whole[..cut]).unwrap();
        let refused = open(dir.path()).map(|_| ()).unwrap_err();
        assert!(matches!(refused, BusError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("acknowledged"), "{refused}");
    }
}

#[test]
fn a_start_claims_what_it_found_so_that_damage_after_it_is_no_torn_tail() {
    let dir = written(20, 50);
    let head = dir.path().join("calls/0/head");
    let before = fs::read(&head).unwrap();
    append(&open(dir.path()).unwrap(), 20, 21, 50).unwrap();
    // A power cut took the claim back; the block had been synced.
    fs::write(&head, &before).unwrap();
    assert_eq!(read(&open(dir.path()).unwrap()).unwrap().len(), 21);
    let segment = last_segment(dir.path());
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[last] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let refused = open(dir.path()).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("acknowledged"), "{refused}");
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_never_changes_or_drops_a_record() {
    let dir = written(120, 300);
    let root = dir.path().join("calls/0");
    let files: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() >= 4, "several segments: {files:?}");
    let everything: Vec<u64> = (0..120).collect();
    let spare = tempfile::tempdir().unwrap();
    let mut dice = Dice(77);
    let (mut refused, mut reported, mut mended) = (0, 0, 0);
    for round in 0..150 {
        let file = &files[dice.below(files.len() as u64) as usize];
        let mut bytes = fs::read(file).unwrap();
        let byte = dice.below(bytes.len() as u64) as usize;
        bytes[byte] ^= 1 << dice.below(8);
        let at = format!("round {round}: {} byte {byte}", file.display());
        let case = spare.path().join(round.to_string());
        copy(dir.path(), &case);
        let changed = case.join("calls/0").join(file.file_name().unwrap());
        fs::write(&changed, &bytes).unwrap();
        let is_head = file.file_name().unwrap() == "head";

        let found: Vec<Damage> = inspect(&case).unwrap().into_iter().flat_map(|r| r.damage).collect();
        let named = found.iter().any(|d| d.file == changed && d.byte <= byte as u64);
        assert!(named || is_head, "{at}: inspect says {found:?}");

        // With the sealed segments left unchecked at start, reading meets the damage.
        let lazy = EmbeddedBus::open(EmbeddedConfig { check_bytes: 0, ..small(&case) });
        if let Ok(lazy) = lazy {
            match read(&lazy) {
                Ok(numbers) => assert_eq!(numbers, everything, "{at}"),
                Err(BusError::Damaged { file, .. }) => assert_eq!(file, changed, "{at}"),
                Err(other) => panic!("{at}: {other}"),
            }
        }
        fs::write(&changed, &bytes).unwrap();
        match open(&case) {
            Err(BusError::Damaged { file, byte: told, .. }) => {
                assert!(file == changed && told <= byte as u64, "{at}: told {} {told}", file.display());
                refused += 1;
            }
            Err(other) => panic!("{at}: {other}"),
            Ok(bus) => {
                assert_eq!(read(&bus).unwrap(), everything, "{at}");
                let tail_told = bus.torn_tails().iter().any(|t| t.file == changed);
                assert!(tail_told || is_head, "{at}: opened without a word");
                reported += usize::from(tail_told);
                mended += usize::from(is_head);
            }
        }
        fs::remove_dir_all(&case).unwrap();
    }
    assert!(refused > 60 && reported > 2 && mended > 10, "refused {refused}, reported {reported}, mended {mended}");
}

#[test]
fn mutilated_segments_never_lie() {
    let dir = written(120, 300);
    let segments = files::segment_files(&dir.path().join("calls/0")).unwrap();
    let everything: Vec<u64> = (0..120).collect();
    let spare = tempfile::tempdir().unwrap();
    let mut dice = Dice(4711);
    let mut refused = 0;
    for round in 0..120 {
        let (_, segment) = &segments[dice.below(segments.len() as u64) as usize];
        let whole = fs::read(segment).unwrap();
        let used = whole.iter().rposition(|b| *b != 0).unwrap() as u64 + 1;
        let mut bytes = whole.clone();
        let (at, other) = (dice.below(used) as usize & !63, dice.below(used) as usize & !63);
        match dice.below(5) {
            // A block over another, a stretch of zeros, noise, a lost end, something behind the end.
            0 => bytes.copy_within(other..(other + 512).min(whole.len()), at.min(whole.len().saturating_sub(512))),
            1 => bytes[at..(at + 64 * (1 + other % 40)).min(whole.len())].fill(0),
            2 => bytes[at..].iter_mut().take(200).for_each(|b| *b = dice.below(256) as u8),
            3 => bytes.truncate(at),
            _ => bytes.extend_from_slice(&whole[at..(at + 1000).min(whole.len())]),
        }
        let case = spare.path().join(round.to_string());
        copy(dir.path(), &case);
        fs::write(case.join("calls/0").join(segment.file_name().unwrap()), &bytes).unwrap();
        let damage: usize = inspect(&case).unwrap().iter().map(|r| r.damage.len()).sum();
        match open(&case) {
            Err(BusError::Damaged { .. }) => {
                assert!(damage > 0, "round {round}: inspect has nothing to say");
                refused += 1;
            }
            Err(other) => panic!("round {round}: {other}"),
            Ok(bus) => assert_eq!(read(&bus).unwrap(), everything, "round {round}"),
        }
        fs::remove_dir_all(&case).unwrap();
    }
    assert!(refused > 60, "{refused}");
}

#[test]
fn names_the_folder_uses_for_itself_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).unwrap();
    for name in ["LOCK", "topics", "calls.unfinished", "calls.new"] {
        assert!(matches!(bus.ensure(&TopicSpec::events(name, 1)), Err(BusError::BadName { .. })), "{name}");
    }
}

#[test]
fn a_missing_segment_is_named() {
    let dir = written(120, 300);
    let segments = files::segment_files(&dir.path().join("calls/0")).unwrap();
    assert!(segments.len() >= 3);
    for (_, path) in &segments {
        let hidden = path.with_extension("hidden");
        fs::rename(path, &hidden).unwrap();
        let refused = open(dir.path()).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("missing") && refused.contains(path.to_str().unwrap()), "{refused}");
        let found: Vec<Damage> = inspect(dir.path()).unwrap().into_iter().flat_map(|r| r.damage).collect();
        assert!(found.iter().any(|d| d.file == *path && d.reason.contains("missing")), "{found:?}");
        fs::rename(&hidden, path).unwrap();
    }
    assert_eq!(read(&open(dir.path()).unwrap()).unwrap().len(), 120);
}

#[test]
fn a_vanished_topic_is_refused_and_not_begun_again() {
    let dir = written(5, 10);
    fs::rename(dir.path().join("calls"), dir.path().join("elsewhere")).unwrap();
    fs::remove_file(dir.path().join("elsewhere/topic")).unwrap();
    let bus = open(dir.path()).unwrap();
    for refused in [bus.ensure(&spec()).map(|_| ()), bus.writer("calls").map(|_| ())] {
        assert!(matches!(refused, Err(BusError::TopicLost { .. })), "{refused:?}");
    }
    drop(bus);
    // Another log of the same name, from another folder.
    let other = written(3, 10);
    copy(&other.path().join("calls"), &dir.path().join("calls"));
    let refused = open(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, BusError::TopicLost { .. }), "{refused}");
}

#[test]
fn a_full_disk_fails_cleanly_and_work_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(WornDisk::new(u64::MAX));
    let bus = EmbeddedBus::open(EmbeddedConfig { disk: disk.clone(), ..small(dir.path()) }).unwrap();
    bus.ensure(&spec()).unwrap();
    append(&bus, 0, 5, 100).unwrap();
    disk.set_left(500);
    let mut done = 5;
    let full = loop {
        match append(&bus, done, done + 1, 100) {
            Ok(()) => done += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&full, BusError::NoSpace { .. }) && full.is_retriable(), "{full}");
    assert!(matches!(bus.health(), BusHealth::Away { .. }));
    assert_eq!(read(&bus).unwrap(), (0..done).collect::<Vec<_>>(), "nothing half-written is visible");
    assert!(append(&bus, done, done + 1, 100).is_err(), "still full");
    std::thread::sleep(Duration::from_millis(700));
    assert!(matches!(bus.health(), BusHealth::Away { .. }), "there is no space yet");
    disk.set_left(u64::MAX);
    let begun = std::time::Instant::now();
    while bus.health() != BusHealth::Up {
        assert!(begun.elapsed() < PATIENCE, "space is not noticed unless somebody writes");
        std::thread::sleep(Duration::from_millis(10));
    }
    append(&bus, done, done + 40, 100).unwrap();
    assert_eq!(bus.health(), BusHealth::Up);
    assert_eq!(read(&bus).unwrap(), (0..done + 40).collect::<Vec<_>>());
    drop(bus);
    let bus = open(dir.path()).unwrap();
    assert!(bus.torn_tails().is_empty());
    assert_eq!(read(&bus).unwrap(), (0..done + 40).collect::<Vec<_>>());
}

#[test]
fn tickets_of_a_block_that_found_no_room_all_fail() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(WornDisk::new(u64::MAX));
    let bus = EmbeddedBus::open(EmbeddedConfig { disk: disk.clone(), ..small(dir.path()) }).unwrap();
    bus.ensure(&spec()).unwrap();
    disk.set_left(0);
    let mut writer = bus.writer("calls").unwrap();
    let value = [7u8; 64];
    let one = |writer: &mut Box<dyn Writer>| writer.submit(0, &[Record { key: b"", value: &value, timestamp_ms: 0 }]);
    let tickets: Vec<_> = (0..20).map(|_| one(&mut writer).unwrap()).collect();
    for ticket in tickets {
        assert!(matches!(writer.wait(ticket, PATIENCE), Err(BusError::NoSpace { .. })));
    }
    disk.set_left(u64::MAX);
    let ticket = one(&mut writer).unwrap();
    let done = writer.wait(ticket, PATIENCE).unwrap().unwrap();
    assert_eq!((done.first, done.next), (1, 2), "offsets of failed records are given again");
}

#[test]
fn after_a_failed_sync_the_log_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(WornDisk::new(u64::MAX));
    let bus = EmbeddedBus::open(EmbeddedConfig { disk: disk.clone(), ..small(dir.path()) }).unwrap();
    bus.ensure(&spec()).unwrap();
    append(&bus, 0, 3, 10).unwrap();
    disk.fail_syncs();
    assert!(matches!(append(&bus, 3, 4, 10), Err(BusError::Poisoned { .. })));
    assert!(matches!(append(&bus, 3, 4, 10), Err(BusError::Poisoned { .. })), "and for good");
    assert_eq!(read(&bus).unwrap(), vec![0, 1, 2]);
    assert!(matches!(bus.health(), BusHealth::Failed { .. }));
    let mut reader = bus.reader("calls", 0, 4).unwrap();
    assert!(matches!(reader.poll(&mut Batch::new(), 1, PATIENCE), Err(BusError::Poisoned { .. })));
}

const CHILD: &str = "TANDEM_BUS_TEST_CHILD";

/// Runs this test binary again as another process that executes only `child`.
fn other_process(mode: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "embedded::tests::child", "--nocapture"]).env(CHILD, mode).env("TANDEM_BUS_ROOT", root);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Body of the second process; as a test of its own it has nothing to do.
#[test]
fn child() {
    let Ok(mode) = std::env::var(CHILD) else { return };
    let root = PathBuf::from(std::env::var("TANDEM_BUS_ROOT").unwrap());
    match (mode.as_str(), open(&root)) {
        ("lock", Err(BusError::Locked { owner, .. })) => println!("\nrefused: {owner}"),
        ("lock", other) => println!("\nopened: {}", other.is_ok()),
        (_, opened) => {
            let bus = opened.unwrap();
            bus.ensure(&spec()).unwrap();
            let mut next = read(&bus).unwrap().len() as u64;
            loop {
                append(&bus, next, next + 1, 100 + (next % 700) as usize).unwrap();
                next += 1;
                println!("\nacked {next}");
            }
        }
    }
}

#[test]
fn a_second_process_is_refused_and_told_who_has_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).unwrap();
    let output = other_process("lock", dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("refused: process {}", std::process::id())), "{text}");
    assert!(matches!(open(dir.path()), Err(BusError::Locked { .. })), "nor twice in one process");
    drop(bus);
    let output = other_process("lock", dir.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("opened: true"));
}

#[test]
fn what_a_killed_process_had_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(2026);
    let mut least = 0;
    for round in 0..8 {
        let mut process = other_process("write", dir.path()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let stop_after = 3 + dice.below(60);
        let mut acked = 0;
        for line in lines {
            let Some(number) = line.unwrap().strip_prefix("acked ").and_then(|n| n.parse::<u64>().ok()) else {
                continue;
            };
            assert!(number > least, "round {round}: the process goes on from what there is");
            acked = number;
            if number >= least + stop_after {
                process.kill().unwrap();
            }
        }
        process.wait().unwrap();
        let bus = open(dir.path()).unwrap();
        let numbers = read(&bus).unwrap();
        assert!(numbers.len() as u64 >= acked, "round {round}: {} of {acked} acknowledged", numbers.len());
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
        least = numbers.len() as u64;
    }
}

#[test]
fn a_topic_that_many_make_at_once_has_one_first_record() {
    let dir = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(EmbeddedConfig::new(dir.path())).unwrap();
    for round in 0..20 {
        let spec = TopicSpec::frames(format!("runs.{round}"), 1);
        let together = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    bus.ensure(&spec).unwrap();
                });
            }
        });
        assert_eq!(bus.end(&spec.name, 0).unwrap(), 1, "the incarnation, once");
    }
}

#[test]
fn events_go_on_where_a_lost_log_ended_and_no_offset_is_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let lost = Incarnation([7; 16]);
    {
        let bus = open(folder.path()).unwrap();
        bus.restore_events("calls", &[Some((lost, 41)), None]).unwrap();
        let info = bus.ensure(&TopicSpec::events("calls", 2)).unwrap();
        assert_eq!(info.partitions[0], PartitionInfo { incarnation: Some(lost), begin: 41, end: 41 });
        assert_eq!((info.partitions[1].begin, info.partitions[1].end), (0, 1), "one that nobody knows begins anew");
        append(&bus, 0, 3, 10).unwrap();
        assert_eq!((bus.end("calls", 0).unwrap(), read(&bus).unwrap()), (44, vec![0, 1, 2]));
        assert!(bus.reader("calls", 0, 40).is_err(), "what was lost is refused by name");
        let again = bus.restore_events("calls", &[Some((lost, 41)), None]).unwrap_err().to_string();
        assert!(again.contains("nothing is restored over it"), "{again}");
    }
    let bus = open(folder.path()).unwrap();
    assert_eq!((bus.begin("calls", 0).unwrap(), read(&bus).unwrap()), (41, vec![0, 1, 2]));
    append(&bus, 3, 200, 500).unwrap();
    assert_eq!(read(&bus).unwrap().len(), 200, "over several segments");
}

#[test]
fn a_topic_set_aside_is_whole_elsewhere_and_may_be_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (root, aside) = (folder.path().join("log"), folder.path().join("aside/calls"));
    {
        let bus = open(&root).unwrap();
        bus.ensure(&spec()).unwrap();
        append(&bus, 0, 3, 10).unwrap();
        assert!(EmbeddedBus::set_aside(&root, "calls", &aside).is_err(), "somebody has the folder");
    }
    EmbeddedBus::set_aside(&root, "calls", &aside).unwrap();
    let bus = open(&root).unwrap();
    bus.ensure(&spec()).unwrap();
    assert!(read(&bus).unwrap().is_empty());
    drop(bus);
    assert!(EmbeddedBus::set_aside(&root, "calls", &aside).is_err(), "what lies there is not written over");
    let kept = open(&folder.path().join("aside")).unwrap();
    assert_eq!(read(&kept).unwrap(), [0, 1, 2]);
}
