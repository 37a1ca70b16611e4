//! Rows that stood in another file before.

use super::*;

/// A file: rows by what stands in them, none with an id of its own.
struct File {
    hash: [u8; 32],
    import: ImportId,
}

impl File {
    fn new(n: u8) -> Self {
        Self { hash: [n; 32], import: ImportId([n; 16]) }
    }

    fn row(&self, line: u64, text: &str) -> CallEvent {
        let key = DedupeKey::of_raw("sw", text.as_bytes(), 0);
        let mut event = CallEvent::new(EventKind::Record, "sw", "sw", &key.to_string(), OccurredAt(100 * SECOND));
        (event.leg, event.attempt_key, event.last_attempt) = (Leg::Both, "b".into(), true);
        (event.started_at, event.ended_at) = (Some(OccurredAt(90 * SECOND)), Some(OccurredAt(100 * SECOND)));
        event.observed_at = ObservedAt(200 * SECOND);
        (event.dedupe, event.import, event.line) = (Some(key), Some(self.import), line);
        event.raw = Some(facts::call::RawRef { hash: self.hash, offset: line * 100, length: 99 });
        event
    }

    /// Feeds the rows of a text, one word a row, and the end; returns the counts since the last time.
    fn import(&self, house: &mut House, words: &str) -> String {
        let before = house.assembler.imports.get(self.import).cloned().unwrap_or_default();
        for (line, word) in words.split(' ').enumerate() {
            house.push(&self.row(line as u64 + 1, word));
        }
        self.end(house, words.split(' ').count() as u64);
        let now = house.assembler.imports.get(self.import).cloned().unwrap();
        assert_eq!(now.read, now.accepted + now.repeated + now.rejected);
        assert!(now.complete, "{now:?}");
        let (read, accepted) = (now.read - before.read, now.accepted - before.accepted);
        let (repeated, rejected) = (now.repeated - before.repeated, now.rejected - before.rejected);
        format!("{read} = {accepted} + {repeated} + {rejected}")
    }

    fn end(&self, house: &mut House, sent: u64) {
        let end = ImportEnd {
            import: self.import,
            source: "sw".into(),
            file: "f".into(),
            sent_here: sent,
            sent,
            observed_at: ObservedAt(201 * SECOND),
        };
        house.assembler.import_end(&end);
        house.drain();
    }
}

fn told(house: &House) -> Vec<&str> {
    house.log.iter().filter(|line| line.starts_with("told")).map(String::as_str).collect()
}

#[test]
fn a_run_of_rows_is_a_repeat_and_a_lone_row_is_for_a_person() {
    let mut house = House::new();
    assert_eq!(File::new(1).import(&mut house, "a b c d e f"), "6 = 6 + 0 + 0");
    assert_eq!(File::new(1).import(&mut house, "a b c d e f"), "6 = 0 + 6 + 0", "the same file again");
    assert_eq!(File::new(2).import(&mut house, "d e f g h"), "5 = 2 + 3 + 0", "an overlap");
    assert_eq!(File::new(3).import(&mut house, "e f"), "2 = 0 + 2 + 0", "a run up to the file's end");
    assert_eq!(told(&house), [""; 0]);
    assert_eq!(File::new(4).import(&mut house, "x b y"), "3 = 2 + 0 + 1", "an equal row alone");
    assert_eq!(File::new(5).import(&mut house, "x d b f"), "4 = 0 + 2 + 2", "of another file, and out of order");
    assert_eq!(told(&house).len(), 3);
    assert_eq!(File::new(5).import(&mut house, "x d b f"), "4 = 0 + 4 + 0", "a person has them already");
    assert_eq!(told(&house).len(), 3);
    assert_eq!(File::new(6).import(&mut house, "f"), "1 = 0 + 0 + 1", "a file of one row");
    assert_eq!(house.calls().len(), 10, "no equal row became a call");
}

#[test]
fn a_row_with_an_id_or_a_call_key_of_its_own_is_a_repeat_also_alone() {
    let mut house = House::new();
    File::new(1).import(&mut house, "a b c");
    let known = |file: u8, call_key: &str| {
        let mut event = File::new(file).row(2, "q");
        event.call_key = call_key.into();
        event
    };
    house.push(&known(1, "1700000000.17"));
    house.push(&known(2, "1700000000.17"));
    assert_eq!(house.log.last().map(String::as_str), Some("repeated"));
}

#[test]
fn a_row_whose_import_was_killed_is_decided_after_an_hour() {
    let mut house = House::new();
    File::new(1).import(&mut house, "a b c");
    house.push(&File::new(2).row(1, "b"));
    assert_eq!(house.assembler.floor(house.offset), house.offset - 1, "it is read again by a new owner");
    house.tick(200 + 3_599);
    assert_eq!(told(&house), [""; 0]);
    house.tick(200 + 3_600);
    assert_eq!(told(&house), ["told lone_repeat of 1"]);
    assert_eq!(house.assembler.floor(house.offset), house.offset);
    // Fed again from its beginning: the row is a person's, the rest is new.
    assert_eq!(File::new(2).import(&mut house, "b x y"), "3 = 2 + 1 + 0");
}

#[test]
fn a_new_owner_at_any_place_decides_as_an_undisturbed_one_does() {
    let files =
        [(1, "a b c d e f g h"), (2, "x a b c y d e z"), (3, "c d q f r g h"), (4, "h g f"), (2, "x a b c y d e z")];
    let mut records: Vec<Option<CallEvent>> = Vec::new();
    let mut ends = BTreeMap::new();
    for (n, words) in files {
        let file = File::new(n);
        records.extend(words.split(' ').enumerate().map(|(line, word)| Some(file.row(line as u64 + 1, word))));
        ends.insert(records.len(), (n, words.split(' ').count() as u64));
        records.push(None);
    }
    let run = |dies: Option<usize>| {
        let mut house = House::new();
        for (at, record) in records.iter().enumerate() {
            if dies == Some(at) {
                restart(&mut house, &records, &ends);
            }
            match record {
                Some(event) => house.push(event),
                None => {
                    house.offset += 1;
                    let (n, sent) = ends[&at];
                    File::new(n).end(&mut house, sent);
                }
            }
        }
        let told = told(&house).join(",");
        let counts: Vec<String> = house.assembler.imports.all().iter().map(|count| format!("{count:?}")).collect();
        (told, counts, house.calls())
    };
    let still = run(None);
    assert_eq!(still.0.split(',').count(), 4, "{}", still.0);
    for at in 0..records.len() {
        assert_eq!(run(Some(at)), still, "a new owner before record {at}");
    }
}

/// A new owner: counts, index and keys are known, the events from the floor on are read again.
fn restart(house: &mut House, records: &[Option<CallEvent>], ends: &BTreeMap<usize, (u8, u64)>) {
    let (floor, to) = (house.assembler.floor(house.offset) as usize, house.offset as usize);
    let mut fresh = House::new();
    std::mem::swap(&mut fresh.index, &mut house.index);
    std::mem::swap(&mut fresh.keys, &mut house.keys);
    std::mem::swap(&mut fresh.log, &mut house.log);
    fresh.offset = house.offset;
    house.assembler.imports.all().into_iter().for_each(|count| fresh.assembler.imports.recover(count));
    fresh.assembler.replay(true);
    for (at, record) in records.iter().enumerate().take(to).skip(floor) {
        match record {
            Some(event) => {
                fresh.assembler.recover(&event.view(), at as u64, &fresh.index, &mut fresh.keys);
            }
            None => {
                let (n, sent) = ends[&at];
                File::new(n).end(&mut fresh, sent);
            }
        }
    }
    fresh.assembler.replay(false);
    *house = fresh;
}
