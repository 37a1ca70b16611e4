//! The index says what all entries come to, whatever of it was flushed, merged, left by a death or damaged.

use super::*;
use crate::tests::orders::payment;
use crate::tests::world::*;
use crate::{EntryFilter, EntryRow, Follower, LedgerView, Order, Page, Payment};
use accounting::views;
use facts::entry::EntryKind;

struct World {
    folder: tempfile::TempDir,
    bus: Arc<dyn Bus>,
}

/// Calls of several accounts, then payments that occurred in any order, each a frame of its own.
fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let ledger = Running::start(options(bus.clone(), folder.path()));
    ledger.booked(&ends);
    more(&ledger, 0..150);
    ledger.stop().unwrap();
    World { folder, bus }
}

fn more(ledger: &Running, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let account = if n % 4 == 0 { "pre" } else { "acme" };
        let occurred_at = OccurredAt(accounting::sample::NOON + (n * 7_919 % 101) * 1_000_000);
        let kind = if n % 5 == 0 { EntryKind::Correction } else { EntryKind::Payment };
        let amount = format!("{}.{n}", n + 1);
        let order = Payment { occurred_at, kind, reason: "t".into(), ..payment(&format!("m{n}"), account, &amount) };
        ledger.door.orders.place(Order::Pay(order)).unwrap();
    }
}

impl World {
    fn view(&self) -> (Follower, Arc<View>) {
        Follower::open(self.bus.clone(), &ids(), "main", config(), None).unwrap()
    }

    fn past(&self, view: &Arc<View>, flush: usize) -> Past {
        Past::open_with(self.bus.clone(), ids(), view.clone(), self.folder.path(), flush).unwrap()
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("past/ledger.main")
    }
}

fn all_rows(view: &View) -> Vec<EntryRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = view.entries(&EntryFilter::default(), &Page { after, limit: 1000, newest_first: false }).unwrap();
        rows.extend(page.entries);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

fn micros(text: &str) -> i64 {
    facts::time::parse_rfc3339(text).unwrap()
}

/// What entries add to what an account owes.
fn by_hand(rows: &[EntryRow], account: &str, counts: impl Fn(&EntryRow) -> bool) -> Amount {
    let own = rows.iter().filter(|row| counts(row)).flat_map(|row| &row.postings);
    let own = own.filter(|posting| posting.account == account && views::owed(posting.gl));
    own.fold(Amount::ZERO, |sum, posting| sum.checked_add(posting.amount).unwrap())
}

/// Compares all that the index can say with plain sums over all entries.
fn agrees(past: &Past, view: &View) {
    let rows = all_rows(view);
    let eur = Currency::new("EUR").unwrap();
    for account in ["acme", "pre", "carrier-x", "carrier-y", "unidentified", "nobody"] {
        let own: Vec<&EntryRow> = rows
            .iter()
            .filter(|row| row.account == account || row.postings.iter().any(|posting| posting.account == account))
            .collect();
        let places: Vec<Position> = own.iter().rev().map(|row| Position { seq: row.seq, index: row.index }).collect();
        assert_eq!(past.places(account, None, usize::MAX).unwrap(), places, "{account}");
        for n in (0..places.len()).step_by(5) {
            let most = past.places(account, Some(places[n]), 3).unwrap();
            assert_eq!(most, places[n + 1..(n + 4).min(places.len())], "{account}");
            // The same way back: from the place that was asked for towards the newest.
            let mut newer = past.places_after(account, Some(places[n]), 3).unwrap();
            newer.reverse();
            assert_eq!(newer, places[n.saturating_sub(3)..n], "{account}");
        }
        let mut oldest = past.places_after(account, None, usize::MAX).unwrap();
        oldest.reverse();
        assert_eq!(oldest, places, "{account}");
        for row in own.iter().step_by(3) {
            let at = Position { seq: row.seq, index: row.index };
            let (booked, occurred) = (micros(&row.booked_at), micros(&row.occurred_at));
            let upto = |row: &EntryRow| Position { seq: row.seq, index: row.index } <= at;
            assert_eq!(past.owed(account, eur, UpTo::Place(at)).unwrap(), by_hand(&rows, account, upto));
            for shift in [-1, 0, 1] {
                let by_then = |row: &EntryRow| micros(&row.booked_at) <= booked + shift;
                let said = past.owed(account, eur, UpTo::Booked(BookedAt(booked + shift))).unwrap();
                assert_eq!(said, by_hand(&rows, account, by_then), "{account} booked {}", row.booked_at);
                let by_then = |row: &EntryRow| micros(&row.occurred_at) <= occurred + shift;
                let said = past.owed(account, eur, UpTo::Occurred(OccurredAt(occurred + shift))).unwrap();
                assert_eq!(said, by_hand(&rows, account, by_then), "{account} occurred {}", row.occurred_at);
            }
        }
        let all = past.owed(account, eur, UpTo::Occurred(OccurredAt(i64::MAX))).unwrap();
        assert_eq!(all, by_hand(&rows, account, |_| true));
        assert_eq!(past.owed(account, eur, UpTo::Booked(BookedAt(0))).unwrap(), Amount::ZERO);
        assert_eq!(past.owed(account, Currency::new("USD").unwrap(), UpTo::Booked(BookedAt(i64::MAX))).unwrap().0, 0);
    }
}

#[test]
fn balances_of_any_time_are_the_sums_of_all_entries_through_flushes_merges_and_restarts() {
    let world = world();
    let (_follower, view) = world.view();
    for flush in [1_000_000, 5, 64] {
        let _ = std::fs::remove_dir_all(world.index());
        let past = world.past(&view, flush);
        agrees(&past, &view);
        let (files, records) = past.size();
        if flush == 5 {
            assert!(files > 0 && files < 12, "{files} files");
        }
        assert!(matches!(
            Past::open(world.bus.clone(), ids(), view.clone(), world.folder.path()),
            Err(PastError::Taken { .. })
        ));
        drop(past);
        let past = world.past(&view, flush);
        let kept = lock(&past.state).frames;
        assert_eq!(kept > 0, flush < 1_000_000, "what was flushed is not read again");
        agrees(&past, &view);
        assert_eq!(past.size().1, records);
    }
    // The log goes on.
    let (bus, folder) = (world.bus.clone(), world.folder.path());
    let ledger = Running::start(options(bus.clone(), folder));
    ledger.door.view.status().unwrap();
    let past = Past::open_with(bus, ids(), ledger.door.view.clone(), folder, 5).unwrap();
    for n in 0..4 {
        more(&ledger, 1000 + n * 10..1010 + n * 10);
        agrees(&past, &ledger.door.view);
    }
}

#[test]
fn questions_are_right_while_files_are_written_and_merged_and_after_a_death_in_the_middle() {
    let world = world();
    let (_follower, view) = world.view();
    let begun = || {
        let mut past = world.past(&view, 5);
        past.turn_frames = 4;
        while past.turn(5).unwrap() {}
        past
    };
    let past = begun();
    let (files, records) = past.size();
    assert!(files > 20, "{files} files");
    agrees(&past, &view);
    // A death in the middle of merges: what was begun is removed, the list has the old files.
    (0..6).for_each(|_| assert!(past.merge(50).unwrap(), "there is more to merge"));
    assert!(!lock(&past.merging).is_empty() && past.size().0 < files);
    drop(past);
    let past = begun();
    agrees(&past, &view);
    let mut steps = 0;
    while past.merge(29).unwrap() {
        steps += 1;
        if steps % 4 == 0 {
            agrees(&past, &view);
        }
    }
    assert!(steps > 8 && past.size().0 < 12, "{steps} steps, {:?}", past.size());
    // Amounts of one time in two files become one.
    assert!((records - 20..=records).contains(&past.size().1), "{:?} of {records}", past.size());
    // A file that is being written of what was fresh.
    let ledger = Running::start(options(world.bus.clone(), world.folder.path()));
    more(&ledger, 3000..3003);
    ledger.stop().unwrap();
    let (_follower, view) = world.view();
    drop(past);
    let past = world.past(&view, 1_000_000);
    past.catch_up().unwrap();
    {
        let mut state = lock(&past.state);
        assert!(!state.fresh.is_empty());
        state.writing = Arc::new(std::mem::take(&mut state.fresh));
    }
    agrees(&past, &view);
}

#[test]
fn an_index_that_is_damaged_cut_older_or_of_another_log_is_made_anew_and_never_believed() {
    let world = world();
    let (_follower, view) = world.view();
    let past = world.past(&view, 40);
    past.catch_up().unwrap();
    drop(past);
    let files = || {
        let all = std::fs::read_dir(world.index()).unwrap().map(|one| one.unwrap().path());
        let mut all: Vec<PathBuf> = all.filter(|path| !path.ends_with("lock")).collect();
        all.sort();
        all
    };
    let whole: Vec<(PathBuf, Vec<u8>)> = files().into_iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect();
    assert!(whole.len() > 3);
    let restore = || {
        files().iter().for_each(|path| std::fs::remove_file(path).unwrap());
        whole.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    };
    // Asked until it answers: a question that meets damage has no answer, the next one finds the index made anew.
    let answers = || {
        let past = world.past(&view, 40);
        let eur = Currency::new("EUR").unwrap();
        for _ in 0..2 {
            for account in ["acme", "pre", "carrier-x", "unidentified"] {
                let _ = past.places(account, None, usize::MAX);
                let _ = past.owed(account, eur, UpTo::Occurred(OccurredAt(i64::MAX)));
            }
        }
        agrees(&past, &view);
    };
    for (path, bytes) in &whole {
        for byte in (0..bytes.len()).step_by(bytes.len() / 3 + 1) {
            restore();
            let mut flipped = bytes.clone();
            flipped[byte] ^= 0x08;
            std::fs::write(path, &flipped).unwrap();
            answers();
        }
        restore();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        answers();
        restore();
        std::fs::remove_file(path).unwrap();
        answers();
    }
    // A list that a death kept from being replaced: its files are gone or there, both are right.
    restore();
    let ledger = Running::start(options(world.bus.clone(), world.folder.path()));
    more(&ledger, 2000..2040);
    ledger.stop().unwrap();
    let (_follower, view) = world.view();
    let past = world.past(&view, 40);
    past.catch_up().unwrap();
    drop(past);
    let list = world.index().join("list.json");
    let old = &whole.iter().find(|(path, _)| *path == list).unwrap().1;
    assert_ne!(&std::fs::read(&list).unwrap(), old);
    std::fs::write(&list, old).unwrap();
    agrees(&world.past(&view, 40), &view);
    // Another log with the same names.
    let other = self::world();
    let (_follower, other_view) = other.view();
    let past = Past::open_with(other.bus.clone(), ids(), other_view.clone(), world.folder.path(), 40).unwrap();
    agrees(&past, &other_view);
}
