//! Copies of other sites' ledgers: proved as far as they have come, and not read again from their start after a restart.

use bus::{Batch, Bus, BusError, Layer, Reader, Record, TopicSpec};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::house::*;
use super::world::*;
use crate::verify::BreakKind;
use crate::{verify, verify_copy};

/// Counts the records of one topic that anybody is given.
struct Counting {
    inner: Arc<dyn Bus>,
    topic: &'static str,
    given: Arc<AtomicU64>,
}

struct CountingReader(Box<dyn Reader>, Arc<AtomicU64>);

impl Reader for CountingReader {
    fn poll(&mut self, into: &mut Batch, max_bytes: usize, timeout: Duration) -> Result<usize, BusError> {
        let given = self.0.poll(into, max_bytes, timeout)?;
        self.1.fetch_add(given as u64, Ordering::Relaxed);
        Ok(given)
    }
    fn position(&self) -> u64 {
        self.0.position()
    }
    fn seek(&mut self, offset: u64) -> Result<(), BusError> {
        self.0.seek(offset)
    }
}

impl Layer for Counting {
    fn inner(&self) -> &dyn Bus {
        &*self.inner
    }

    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError> {
        let inner = self.inner.reader(topic, partition, from)?;
        if topic == self.topic { Ok(Box::new(CountingReader(inner, self.given.clone()))) } else { Ok(inner) }
    }
}

/// Starts a site again and gives how many records of main's ledger its ledger was given until all have met.
fn records_read_again(house: &mut House, site: u16) -> u64 {
    let given = Arc::new(AtomicU64::new(0));
    let inner = house.place(site).bus.clone();
    house.start_on(site, Arc::new(Counting { inner, topic: "ledger.main", given: given.clone() }));
    house.met();
    given.load(Ordering::Relaxed)
}

#[test]
fn a_restart_reads_of_other_sites_what_came_since_and_not_their_whole_history() {
    let mut house = House::new(2, "0", 31);
    house.until("the limit is granted", |house| house.rights(2, 1) == Some(amount("100")));
    (0..120).for_each(|n| drop(house.pay(1, &format!("m{n}"), "0.01").unwrap()));
    house.begin(2, "c1");
    // Both sites charge the call and main cannot hear of it: what counts twice is listed, and is not forgotten.
    house.links.both(1, 2, false);
    house.end(1, "c1", "0.5");
    house.end(2, "c1", "0.5");
    house.links.frames(1, 2, true);
    house.until("east has all of main, and lists the call", |house| {
        let (main, east) = (house.status(1), house.status(2));
        let folded = main.zip(east).is_some_and(|(main, east)| {
            east.peers[0].folded >= main.seq && east.peers[0].root == main.root && east.doubles.len() == 1
        });
        folded && house.place(1).bus.end("ledger.main", 0).unwrap() > 120
    });
    let before = house.status(2).unwrap();
    house.stop(2);
    let whole = house.place(2).bus.end("ledger.main", 0).unwrap();
    house.pay(1, "later", "1").unwrap();
    let given = Arc::new(AtomicU64::new(0));
    let inner = house.place(2).bus.clone();
    house.start_on(2, Arc::new(Counting { inner, topic: "ledger.main", given: given.clone() }));
    house.until("east goes on with its list", |house| house.status(2).is_some_and(|now| now.doubles == before.doubles));
    house.links.both(1, 2, true);
    house.met();
    house.until("it is charged once", |house| house.status(2).is_some_and(|now| now.doubles.is_empty()));
    // The frame that the snapshot ends with is looked at, and what main has written since is read.
    let since = house.place(2).bus.end("ledger.main", 0).unwrap() - whole;
    let read = given.load(Ordering::Relaxed);
    assert!(read < since + 40 && whole > 120, "{read} records read of {whole}, {since} of them new");
    // What the books come to is the same as without any snapshot.
    house.stop(2);
    std::fs::remove_dir_all(house.place(2).folder.join("snapshots")).unwrap();
    let read = records_read_again(&mut house, 2);
    assert!(read > 120, "{read} records of main were read without a snapshot");
    // A snapshot of a copy counts only with the one of this ledger that names it, and only where it fits the copy.
    house.stop(2);
    let kept = house.place(2).folder.join("snapshots/ledger.main");
    for file in std::fs::read_dir(&kept).unwrap().flatten() {
        let mut bytes = std::fs::read(file.path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file.path(), bytes).unwrap();
    }
    let read = records_read_again(&mut house, 2);
    assert!(read > 120, "{read} records of main were read beside a damaged snapshot");
    house.proved();
}

/// Carries a topic to another bus record by record, as the copying between sites does.
fn carry(from: &dyn Bus, to: &dyn Bus, topic: &str, change: impl Fn(u64, &[u8]) -> Vec<u8>) {
    to.ensure(&TopicSpec::frames(topic, 1)).unwrap();
    let mut reader = from.reader(topic, 0, to.end(topic, 0).unwrap()).unwrap();
    let (mut writer, mut batch, end) = (to.writer(topic).unwrap(), Batch::new(), from.end(topic, 0).unwrap());
    while reader.position() < end {
        reader.poll(&mut batch, 1 << 20, Duration::from_secs(5)).unwrap();
        for record in batch.iter() {
            let value = change(record.offset, record.value);
            let record = Record { key: record.key, value: &value, timestamp_ms: record.timestamp_ms };
            writer.append(0, &[record]).unwrap();
        }
    }
}

#[test]
fn another_sites_books_are_proved_as_far_as_they_have_come_and_a_changed_copy_is_named() {
    let mut house = House::new(2, "0", 32);
    (0..4).for_each(|n| house.end(1, &format!("c{n}"), "0.5"));
    house.pay(1, "bank", "1").unwrap();
    house.met();
    let (main, east) = (house.place(1).bus.clone(), house.place(2).bus.clone());
    let whole = verify(&main, &ids(), "main", &mut |_, _| {}).unwrap();
    assert!(whole.ok && whole.calls == 4, "{:#?}", whole.breaks);
    // The ledger is here, the rated calls are not.
    let short = verify_copy(&east, &ids(), "main", &mut |_, _| {}).unwrap();
    let behind = short.behind.clone().expect("rated calls are missing");
    assert!(short.ok && short.calls == 0 && short.ledger.seq < whole.ledger.seq, "{short:#?}");
    assert!(behind.contains("calls of xdrs.main.0 that have not been copied here yet"), "{behind}");
    carry(&*main, &*east, "xdrs.main.0", |_, value| value.to_vec());
    let proved = verify_copy(&east, &ids(), "main", &mut |_, _| {}).unwrap();
    assert!(proved.ok && proved.behind.is_none(), "{proved:#?}");
    assert_eq!((&proved.root, proved.calls, proved.entries), (&whole.root, whole.calls, whole.entries));
    // A copy in which one byte of a rated call is another.
    let folder = tempfile::tempdir().unwrap();
    let other = embedded(folder.path());
    let one = main.end("xdrs.main.0", 0).unwrap() - 2;
    carry(&*main, &*other, "ledger.main", |_, value| value.to_vec());
    carry(&*main, &*other, "xdrs.main.0", |offset, value| {
        let mut value = value.to_vec();
        if offset == one {
            let middle = value.len() - 20;
            value[middle] ^= 1;
        }
        value
    });
    let changed = verify_copy(&other, &ids(), "main", &mut |_, _| {}).unwrap();
    let named = |kind| changed.breaks.iter().any(|found| found.kind == kind && found.stream == "xdrs.main.0");
    assert!(!changed.ok && (named(BreakKind::Chain) || named(BreakKind::Unreadable)), "{changed:#?}");
}
