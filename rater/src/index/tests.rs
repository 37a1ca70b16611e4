//! Tests of the index: against plain maps, over restarts, losses and damage.

use super::store::UNWRITTEN_MAX;
use super::*;
use facts::stream::{Fence, FrameMeta, StreamState, Verdict};
use std::collections::BTreeMap;
use std::path::Path;

fn id(n: u64) -> [u8; 16] {
    facts::ids::hash("tandem.test.v1", &[&n.to_le_bytes()])
}

fn at(seq: u64, index: u32, started_at: i64) -> Known {
    Known { at: Position { seq, index }, suspended: seq.is_multiple_of(3), started_at: OccurredAt(started_at) }
}

/// The stream after so many frames.
fn state(seq: u64) -> StreamState {
    let mut state = StreamState::new("xdrs.main.0");
    assert_eq!(
        state.fold_fence(&Fence { stream: "xdrs.main.0".into(), epoch: 1, owner: "o".into() }),
        Verdict::Accepted
    );
    for seq in 1..=seq {
        let (prev_hash, hash) = (*state.hash(), [seq as u8; 32]);
        let inputs = Default::default();
        let meta = FrameMeta { stream: "xdrs.main.0".into(), epoch: 1, seq, prev_hash, hash, inputs };
        assert_eq!(state.fold_frame(&meta), Verdict::Accepted);
    }
    state
}

fn checkpoint(seq: u64) -> Checkpoint {
    Checkpoint { state: Some(state(seq)), offset: seq, ..Checkpoint::default() }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// One frame of a made-up stream: calls with their places, keys with their days and rows.
#[derive(Clone, Default)]
struct Frame {
    calls: Vec<(CallId, Known)>,
    keys: Vec<(DedupeKey, OccurredAt, Origin)>,
}

struct House {
    folder: tempfile::TempDir,
    store: Store,
    places: CallPlaces,
    keys: Keys,
    frames: Vec<Frame>,
    /// Not yet written; its records are taken again after a restart.
    open: Frame,
    /// Restarts that could go on from files, and those that read everything.
    resumed: usize,
    anew: usize,
}

const SMALL: usize = 64;

impl House {
    fn new() -> Self {
        // In memory where there is such a folder: some thousand small files are made and removed.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (store, places, keys, _) = Store::open(folder.path(), "xdrs.main.0", SMALL).unwrap();
        Self { folder, store, places, keys, frames: Vec::new(), open: Frame::default(), resumed: 0, anew: 0 }
    }

    /// What a new owner does: the files, then the frames behind them; everything where the files are of no use.
    fn restart(&mut self) {
        let path = self.folder.path().to_path_buf();
        loop {
            // The writer of the last owner ends first.
            let (idle, ..) = Store::open(&path.join("idle"), "s", SMALL).unwrap();
            drop(std::mem::replace(&mut self.store, idle));
            std::fs::remove_dir_all(path.join("idle")).unwrap();
            let (store, places, keys, from) = Store::open(&path, "xdrs.main.0", SMALL).unwrap();
            (self.store, self.places, self.keys) = (store, places, keys);
            let from = from.state.map_or(0, |state| state.seq()) as usize;
            let fresh = from == 0;
            let all: Vec<Frame> = self.frames[from..].to_vec();
            let told = all.iter().enumerate().try_for_each(|(n, frame)| self.tell(frame, (from + n + 1) as u64));
            match told {
                Ok(()) if fresh => break self.anew += 1,
                Ok(()) => break self.resumed += 1,
                Err(_) => Store::discard(&path),
            }
        }
        self.put(&self.open.clone());
    }

    fn put(&mut self, frame: &Frame) {
        frame.calls.iter().for_each(|(call, known)| self.places.insert(*call, *known));
        frame.keys.iter().for_each(|(key, occurred_at, origin)| self.keys.recover(*key, *occurred_at, *origin));
    }

    fn tell(&mut self, frame: &Frame, seq: u64) -> Result<(), IndexError> {
        self.put(frame);
        trouble(&self.places, &self.keys)?;
        if self.store.is_due(&self.places, &self.keys, seq) {
            self.store.freeze(&mut self.places, &mut self.keys, checkpoint(seq));
            self.store.wait(&mut self.places, &mut self.keys)?;
        }
        Ok(())
    }

    /// Looks up until no answer comes from a damaged file.
    fn ask<T>(&mut self, ask: impl Fn(&mut Self) -> T) -> T {
        loop {
            let answer = ask(self);
            match trouble(&self.places, &self.keys) {
                Ok(()) => return answer,
                Err(_) => {
                    Store::discard(self.folder.path());
                    self.restart();
                }
            }
        }
    }

    fn damage(&self, dice: &mut Dice) {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        if files.is_empty() {
            return;
        }
        let file = &files[dice.below(files.len() as u64) as usize];
        damage(file, dice.below(3), dice);
    }
}

fn damage(file: &Path, how: u64, dice: &mut Dice) {
    let mut bytes = match std::fs::read(file) {
        // The writer's thread has merged it into another one since it was listed: nothing is left to damage.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        read => read.unwrap(),
    };
    match how {
        0 => match std::fs::remove_file(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.unwrap(),
        },
        1 => {
            bytes.truncate(dice.below(bytes.len().max(1) as u64) as usize);
            std::fs::write(file, bytes).unwrap();
        }
        _ => {
            let place = dice.below(bytes.len().max(1) as u64) as usize;
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << dice.below(8);
            }
            std::fs::write(file, bytes).unwrap();
        }
    }
}

#[test]
fn repeats_late_records_restarts_and_lost_files_answer_as_plain_maps_do() {
    let (mut resumed, mut anew) = (0, 0);
    for seed in 1..=5u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut house = House::new();
        let (mut calls, mut keys) = (BTreeMap::new(), BTreeMap::new());
        let reach = 200 + dice.below(1_500);
        for seq in 1..=80u64 {
            for index in 0..dice.below(40) as u32 {
                let n = dice.below(reach);
                // A record of call n comes on the day of the call or the next one, however late.
                let day = (n % 5) as i64;
                let call = CallId(id(n));
                assert_eq!(house.ask(|house| house.places.find(call)), calls.get(&n).copied(), "call {n}, seed {seed}");
                let known = at(seq, index, day * DAY + n as i64);
                house.places.insert(call, known);
                calls.insert(n, known);
                house.open.calls.push((call, known));
                let n = dice.below(reach);
                let near = OccurredAt((n % 5) as i64 * DAY + dice.below(2 * DAY as u64) as i64);
                let (key, origin) = (DedupeKey(id(n + 1_000_000)), Origin { file: seq, offset: n });
                let known = keys.get(&n).copied();
                assert_eq!(house.ask(|house| house.keys.see(key, near, origin)), known, "key {n}, seed {seed}");
                if known.is_none() {
                    keys.insert(n, origin);
                    // Found in the stream, it is known by the day on which its call began.
                    house.open.keys.push((key, OccurredAt((n % 5) as i64 * DAY), origin));
                }
            }
            let written = std::mem::take(&mut house.open);
            house.frames.push(written);
            if house.store.is_due(&house.places, &house.keys, seq) {
                house.store.freeze(&mut house.places, &mut house.keys, checkpoint(seq));
            }
            // Confirmed some frames later, or never.
            let confirmed = seq.saturating_sub(dice.below(4));
            if house.store.turn(confirmed, &mut house.places, &mut house.keys).is_err() {
                Store::discard(house.folder.path());
                house.restart();
            }
            match dice.below(12) {
                0 => house.restart(),
                1 => {
                    house.damage(&mut dice);
                    house.restart();
                }
                2 => house.damage(&mut dice),
                _ => {}
            }
        }
        (resumed, anew) = (resumed + house.resumed, anew + house.anew);
    }
    assert!(resumed > 10 && anew > 10, "{resumed} restarts from files, {anew} from the stream");
}

#[test]
fn an_entry_is_in_no_file_before_its_frame_is_confirmed() {
    let mut house = House::new();
    house.places.insert(CallId(id(1)), at(9, 0, 0));
    house.store.freeze(&mut house.places, &mut house.keys, checkpoint(9));
    house.store.turn(8, &mut house.places, &mut house.keys).unwrap();
    assert!(house.store.is_busy());
    assert_eq!(house.places.find(CallId(id(1))), Some(at(9, 0, 0)), "found while it waits");
    house.restart();
    assert!(house.places.is_empty(), "the frame was lost, so must be what followed from it");
}

#[test]
fn what_is_older_than_the_retention_is_forgotten_in_memory_and_in_files() {
    let mut house = House::new();
    for n in 0..500u64 {
        house.places.insert(CallId(id(n)), at(n + 1, 0, (n % 10) as i64 * DAY));
        assert!(house.keys.see(DedupeKey(id(n)), OccurredAt((n % 10) as i64 * DAY), Origin::default()).is_none());
        if n % 100 == 99 {
            house.places.forget_before((n / 100) as i64 * DAY);
            house.keys.forget_before((n / 100) as i64 * DAY);
            house.store.freeze(&mut house.places, &mut house.keys, checkpoint(n));
            house.store.wait(&mut house.places, &mut house.keys).unwrap();
        }
    }
    let known = |house: &House, n: u64| house.places.find(CallId(id(n))).is_some();
    assert!((0..500).all(|n| known(&house, n) == (n % 10 >= 4)));
    assert!((0..500).filter(|n| n % 10 >= 4).all(|n| {
        let day = OccurredAt((n % 10) as i64 * DAY);
        house.keys.see(DedupeKey(id(n)), day, Origin::default()).is_some()
    }));
    assert_eq!(house.keys.len(), 300, "keys of forgotten days stand in no file");
    house.places.forget_before(100 * DAY);
    house.places.insert(CallId(id(1_000)), at(600, 0, 100 * DAY));
    (1_001..1_400).for_each(|n| house.places.insert(CallId(id(n)), at(600, 0, 100 * DAY)));
    house.store.freeze(&mut house.places, &mut house.keys, checkpoint(600));
    house.store.wait(&mut house.places, &mut house.keys).unwrap();
    assert_eq!(house.places.len(), 400, "the merge leaves out what is forgotten");
}

#[test]
fn a_folder_of_another_stream_or_another_fold_is_not_used() {
    let mut house = House::new();
    house.places.insert(CallId(id(1)), at(1, 0, 0));
    house.store.freeze(&mut house.places, &mut house.keys, checkpoint(1));
    house.store.wait(&mut house.places, &mut house.keys).unwrap();
    let (_store, places, _, checkpoint) = Store::open(house.folder.path(), "xdrs.main.1", SMALL).unwrap();
    assert!(places.is_empty() && checkpoint.state.is_none());
    let left = std::fs::read_dir(house.folder.path()).unwrap().count();
    assert_eq!(left, 0, "what is of no use is removed");
}

#[test]
fn a_place_survives_packing() {
    let mut places = CallPlaces::default();
    let call = |last: u8| CallId([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, last]);
    let known =
        Known { at: Position { seq: 1 << 40, index: 3_999 }, suspended: true, started_at: OccurredAt(5 * DAY + 7) };
    places.insert(call(1), known);
    assert_eq!(places.find(call(1)), Some(known));
    assert_eq!(places.find(call(2)), None, "its records would be taken for late truth about another call");
    places.insert(call(1), Known { suspended: false, ..known });
    assert_eq!(places.find(call(1)).map(|known| known.suspended), Some(false));
}

#[test]
fn a_record_counts_once_also_across_midnight() {
    let mut keys = Keys::default();
    let (first, second) = (Origin { file: 1, offset: 5 }, Origin { file: 2, offset: 9 });
    keys.recover(DedupeKey([1; 16]), OccurredAt(DAY - 1), first);
    assert_eq!(keys.see(DedupeKey([1; 16]), OccurredAt(DAY + 1), second), Some(first));
    assert_eq!(keys.see(DedupeKey([2; 16]), OccurredAt(DAY + 1), second), None);
    keys.forget_before(DAY);
    assert_eq!(keys.see(DedupeKey([1; 16]), OccurredAt(DAY + 1), second), None);
}

#[test]
fn a_million_calls_take_the_memory_that_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, mut places, mut keys, _) = Store::open(folder.path(), "s", UNWRITTEN_MAX).unwrap();
    let mut checkpoints = 0;
    for n in 1..=1_000_000u64 {
        let started_at = OccurredAt((n as i64 % 3) * DAY);
        places.insert(CallId(id(n)), Known { at: Position { seq: n, index: 0 }, suspended: false, started_at });
        assert!(keys.see(DedupeKey(id(n)), started_at, Origin::default()).is_none());
        // A table doubles when it is seven eighths full: the documented bounds hold at every size above some.
        if n < UNWRITTEN_MAX as u64 && n >= 10_000 && n.is_power_of_two() {
            let (call, key) = (places.memory().0 as u64 / n, keys.memory().0 as u64 / n);
            assert!((38..=75).contains(&call), "{call} bytes a call at {n}");
            assert!((38..=75).contains(&key), "{key} bytes a key at {n}");
        }
        if store.is_due(&places, &keys, 1) {
            store.freeze(&mut places, &mut keys, checkpoint(n / 100_000));
            store.wait(&mut places, &mut keys).unwrap();
            checkpoints += 1;
            let files = (places.memory().1 as u64 * 10 / places.len(), keys.memory().1 as u64 * 10 / keys.len());
            assert!((15..=32).contains(&files.0) && (15..=32).contains(&files.1), "{files:?} tenths of a byte");
        }
    }
    assert_eq!(checkpoints, 3);
    assert!(places.memory().0 < 75 * UNWRITTEN_MAX && keys.memory().0 < 75 * UNWRITTEN_MAX);
}
