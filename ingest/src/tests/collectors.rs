//! Files, drop folders, topics.

use super::*;
use bus::TopicSpec;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn sink<'a>(ingest: &'a Ingest, stop: &'a AtomicBool) -> Sink<'a> {
    Sink { raw: &ingest.shared().raw, writer: &ingest.shared().writer, stop }
}

#[test]
fn a_file_is_on_the_bus_with_its_bytes_and_the_same_file_again_has_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let stop = AtomicBool::new(false);
    let path = folder.path().join("cdr.jsonl");
    let file = [YETI, b"{\"id\":1,\"time_start\":\"soon\"}\n"].concat();
    fs::write(&path, &file).unwrap();
    let mut steps = Vec::new();
    let yeti = switch("yeti-1", "yeti", "");
    let summary = import_file(&path, &yeti, sink(&ingest, &stop), &mut |p| steps.push(p)).unwrap();
    assert_eq!((summary.sent, summary.rejected, summary.bytes), (251, 1, file.len() as u64));
    assert_eq!(summary.import, import_id("yeti-1", blake3::hash(&file).as_bytes()));
    let last = steps.last().unwrap();
    assert_eq!((last.read, last.stored, last.records, last.rejects), (last.total, last.total, 251, 1));
    let again = import_file(&path, &yeti, sink(&ingest, &stop), &mut |_| {}).unwrap();
    assert_eq!(again.import, summary.import);

    let all = on_bus(&*bus);
    assert_eq!((all.events.len(), all.rejects.len(), all.ends.len()), (500, 2, 6));
    let keys: BTreeSet<_> = all.events.iter().map(|(_, e)| e.dedupe.unwrap()).collect();
    let calls: BTreeSet<_> = all.events.iter().map(|(_, e)| e.call_id()).collect();
    assert_eq!((keys.len(), calls.len()), (250, 250));
    for (_, end) in &all.ends {
        assert_eq!((end.sent, end.file.as_str(), end.import), (251, "cdr.jsonl", summary.import));
    }
    for partition in 0..3 {
        let here = all.events.iter().filter(|(p, _)| *p == partition).count()
            + all.rejects.iter().filter(|(p, _)| *p == partition).count();
        let said: u64 = all.ends.iter().filter(|(p, _)| *p == partition).map(|(_, end)| end.sent_here).sum();
        assert_eq!(said, here as u64, "partition {partition}");
    }
    for (_, event) in &all.events {
        let raw = event.raw.unwrap();
        let record = ingest.shared().raw.record(&raw).unwrap();
        assert_eq!(record, file[raw.offset as usize..][..raw.length as usize]);
        let text = String::from_utf8(record).unwrap();
        assert!(text.contains(&format!("\"local_tag\": \"{}\"", event.call_key)), "{text}");
        assert_eq!(event.import, Some(summary.import));
    }
    let reject = &all.rejects[0].1;
    assert_eq!((reject.line, reject.field.as_str(), reject.source.as_str()), (251, "time_start", "yeti-1"));
    assert_eq!(ingest.shared().raw.record(&reject.raw.unwrap()).unwrap(), b"{\"id\":1,\"time_start\":\"soon\"}");
}

#[test]
fn an_import_that_is_stopped_leaves_no_end_mark_and_goes_through_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let path = folder.path().join("cdr.jsonl");
    fs::write(&path, YETI).unwrap();
    let stop = AtomicBool::new(false);
    let yeti = switch("yeti-1", "yeti", "");
    let result = import_file(&path, &yeti, sink(&ingest, &stop), &mut |p| {
        if p.read > 300_000 {
            stop.store(true, Ordering::SeqCst);
        }
    });
    assert!(matches!(result, Err(IngestError::Stopped)), "{result:?}");
    assert!(on_bus(&*bus).ends.is_empty());
    stop.store(false, Ordering::SeqCst);
    import_file(&path, &yeti, sink(&ingest, &stop), &mut |_| {}).unwrap();
    let all = on_bus(&*bus);
    assert_eq!(all.ends.len(), 3);
    assert_eq!(all.events.iter().map(|(_, e)| e.dedupe).collect::<BTreeSet<_>>().len(), 250);
}

struct Dropped {
    folder: PathBuf,
    told: Vec<String>,
}

impl Dropped {
    fn round(&mut self, watcher: &mut Watcher, ingest: &Ingest) -> usize {
        let stop = AtomicBool::new(false);
        let told = &mut self.told;
        watcher
            .round(sink(ingest, &stop), &*switches(), &mut |path, outcome| {
                let word = match outcome {
                    Outcome::Done { .. } => "done",
                    Outcome::Failed { .. } => "failed",
                    Outcome::Changed => "changed",
                };
                told.push(format!("{} {word}", path.file_name().unwrap().to_string_lossy()));
            })
            .unwrap()
    }

    fn list(&self, sub: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.join(sub))
            .unwrap()
            .flatten()
            .filter(|e| e.path().is_file())
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_drop_folder_takes_complete_files_only_and_one_bad_file_never_stops_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let mut drop = Dropped { folder: folder.path().join("in"), told: vec![] };
    let mut settings = DropFolder::new("yeti-1", &drop.folder);
    settings.quiet = Duration::from_millis(300);
    let mut watcher = Watcher::new(settings).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join("in").join(name), bytes).unwrap();
    put("a.jsonl", b"");
    put("b.jsonl", &[0x7f, b'E', b'L', b'F', 0, 1, 2, 3]);
    put("c.jsonl", YETI);
    put("d.jsonl.part", YETI);
    put(".hidden", YETI);
    put("e.jsonl", &YETI[..10_000]);
    put("f.jsonl.gz", &[0x1f, 0x8b, 8, 0]);
    assert_eq!(drop.round(&mut watcher, &ingest), 0, "nothing is known to be complete yet");
    std::thread::sleep(Duration::from_millis(350));
    // Somebody still writes e.
    put("e.jsonl", &YETI[..20_000]);
    assert_eq!(drop.round(&mut watcher, &ingest), 4);
    assert_eq!(drop.told, ["a.jsonl failed", "b.jsonl failed", "c.jsonl done", "f.jsonl.gz failed"]);
    assert_eq!(drop.list("done"), ["c.jsonl"]);
    assert_eq!(drop.list("."), [".hidden", "d.jsonl.part", "e.jsonl"]);
    let why = fs::read_to_string(drop.folder.join("failed/f.jsonl.gz.why")).unwrap();
    assert!(why.contains("gzip archive") && why.contains("unpack"), "{why}");
    assert!(fs::read_to_string(drop.folder.join("failed/a.jsonl.why")).unwrap().contains("empty"));
    // The transfer ends with a rename, and another one announces itself; a name that was there before is kept.
    fs::rename(drop.folder.join("d.jsonl.part"), drop.folder.join("c.jsonl")).unwrap();
    put("c.jsonl.done", b"");
    assert_eq!(drop.round(&mut watcher, &ingest), 1);
    assert_eq!(drop.list("done"), ["c.jsonl", "c.jsonl.2"]);
    assert!(!drop.folder.join("c.jsonl.done").exists());
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(drop.round(&mut watcher, &ingest), 1);
    assert_eq!(drop.told.last().unwrap(), "e.jsonl done");
    let all = on_bus(&*bus);
    let keys: BTreeSet<_> = all.events.iter().map(|(_, e)| e.dedupe).collect();
    assert_eq!(keys.len(), 250, "the cut file and the second copy hold repeats only");
}

#[test]
fn a_drop_folder_works_through_a_night_in_which_the_bus_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let mut drop = Dropped { folder: folder.path().join("in"), told: vec![] };
    let mut settings = DropFolder::new("yeti-1", &drop.folder);
    settings.quiet = Duration::ZERO;
    let mut watcher = Watcher::new(settings).unwrap();
    bus.set_away(true);
    fs::write(drop.folder.join("1.jsonl"), YETI).unwrap();
    assert_eq!(drop.round(&mut watcher, &ingest), 1);
    assert_eq!((drop.list("done"), on_bus(&*bus).events.len()), (vec!["1.jsonl".to_owned()], 0));
    bus.set_away(false);
    until("the spool is replayed", || on_bus(&*bus).ends.len() == 3);
    assert_eq!(on_bus(&*bus).events.iter().map(|(_, e)| e.dedupe).collect::<BTreeSet<_>>().len(), 250);
}

#[test]
fn yeti_records_of_a_topic_have_the_keys_they_have_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let stop = AtomicBool::new(false);
    let topic = SwitchTopic { topic: "switch-events".into(), switch: "yeti-1".into() };
    let state = folder.path().join("ingest");
    let mut events = SwitchEvents::new(bus.clone(), topic.clone(), &state).unwrap();
    assert_eq!(events.round(ingest.shared(), &stop).unwrap(), 0, "a topic that is not there yet is waited for");
    bus.inner.ensure(&TopicSpec::foreign("switch-events", 2)).unwrap();
    let mut writer = bus.inner.writer("switch-events").unwrap();
    for (n, line) in YETI.split(|b| *b == b'\n').filter(|l| !l.is_empty()).enumerate() {
        // A third of them as somebody prints JSON for people.
        let pretty = String::from_utf8(line.to_vec()).unwrap().replace(", \"", ",\n  \"");
        let value = if n % 3 == 0 { pretty.as_bytes() } else { line };
        writer.append(n as u32 % 2, &[Record { key: b"any", value, timestamp_ms: 1 }]).unwrap();
    }
    writer.append(0, &[Record { key: b"", value: b"{\"half\":", timestamp_ms: 1 }]).unwrap();
    assert_eq!(events.round(ingest.shared(), &stop).unwrap(), 251);
    assert_eq!(events.round(ingest.shared(), &stop).unwrap(), 0);
    let mut restarted = SwitchEvents::new(bus.clone(), topic.clone(), &state).unwrap();
    assert_eq!(restarted.round(ingest.shared(), &stop).unwrap(), 0, "positions are kept");
    // A crash before the position was noted: read again, the same keys.
    fs::remove_file(state.join("positions/switch-events.json")).unwrap();
    let mut crashed = SwitchEvents::new(bus.clone(), topic, &state).unwrap();
    assert_eq!(crashed.round(ingest.shared(), &stop).unwrap(), 251);
    let path = folder.path().join("cdr.jsonl");
    fs::write(&path, YETI).unwrap();
    import_file(&path, &switch("yeti-1", "yeti", ""), sink(&ingest, &stop), &mut |_| {}).unwrap();
    let all = on_bus(&*bus);
    assert_eq!((all.events.len(), all.rejects.len()), (750, 2));
    assert_eq!(all.events.iter().map(|(_, e)| e.dedupe).collect::<BTreeSet<_>>().len(), 250);
    for (_, event) in all.events.iter().take(20) {
        let record = ingest.shared().raw.record(&event.raw.unwrap()).unwrap();
        assert!(String::from_utf8(record).unwrap().contains(event.call_key.as_str()));
    }
}

#[test]
fn the_process_collects_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Moody::open(folder.path());
    let mut options = options(folder.path());
    let mut watched = DropFolder::new("yeti-1", &folder.path().join("in"));
    (watched.quiet, watched.every) = (Duration::ZERO, Duration::from_millis(20));
    options.drop = vec![watched];
    let stop = AtomicBool::new(false);
    let as_bus: Arc<dyn Bus> = bus.clone();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(as_bus, options, &stop));
        until("the folder is there", || folder.path().join("in/done").exists());
        fs::write(folder.path().join("in/x.tmp"), YETI).unwrap();
        fs::rename(folder.path().join("in/x.tmp"), folder.path().join("in/x.jsonl")).unwrap();
        until("the file is imported", || folder.path().join("in/done/x.jsonl").exists());
        stop.store(true, Ordering::SeqCst);
        running.join().unwrap().unwrap();
    });
    assert_eq!(on_bus(&*bus).events.len(), 250);
}
