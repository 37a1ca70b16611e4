//! The index in files: restarts go on from it, and nothing that happens to it changes a figure.

use super::house::*;
use super::{die_often, send_imports};
use bus::{Bus, BusError, Layer, Reader};
use rater::{RaterOptions, RaterStats, run_partition};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Deletes, truncates or flips a file of the index, or does nothing, by turns.
fn damage(folder: &Path, round: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    if files.is_empty() || round.is_multiple_of(3) {
        return;
    }
    let file = &files[round * 7 % files.len()];
    let mut bytes = std::fs::read(file).unwrap();
    match round % 4 {
        0 => std::fs::remove_file(file).unwrap(),
        1 => std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
        _ => {
            let place = round * 131 % bytes.len();
            bytes[place] ^= 0x40;
            std::fs::write(file, bytes).unwrap();
        }
    }
}

#[test]
fn dying_with_lost_and_damaged_index_files_changes_no_figure() {
    let still = House::new();
    still.send_day();
    send_imports(&still, 5);
    (0..PARTITIONS).for_each(|partition| drop(still.settle(still.options(partition))));

    let house = House::new();
    house.send_day();
    send_imports(&house, 5);
    let index = tempfile::tempdir().unwrap();
    let small = |options: RaterOptions| RaterOptions {
        index: Some(index.path().to_path_buf()),
        index_unwritten: 60,
        ..options
    };
    for partition in 0..PARTITIONS {
        let folder = index.path().join(format!("xdrs.main.{partition}"));
        die_often(&house, partition, &small, &mut |round| damage(&folder, round));
        house.settle(small(house.options(partition)));
        assert!(folder.join("manifest").exists(), "no index was written");
    }
    let first = house.books();
    compare(&first, &still.books());
    // The same file once more, by another start of the collector: every row is known. Read from the frames, for a rater
    // that finds its index damaged reads again what no frame had consumed yet.
    send_imports(&house, 6);
    (0..PARTITIONS).for_each(|partition| drop(house.settle(small(house.options(partition)))));
    assert_eq!(house.books().repeated() - first.repeated(), 900);
}

/// A bus that notes from where the rater's own streams are read.
struct Noting {
    bus: Arc<dyn Bus>,
    from: Arc<Mutex<Vec<u64>>>,
}

impl Layer for Noting {
    fn inner(&self) -> &dyn Bus {
        &*self.bus
    }

    fn reader(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn Reader>, BusError> {
        if topic.starts_with("xdrs.") {
            self.from.lock().unwrap().push(from);
        }
        self.bus.reader(topic, partition, from)
    }

    fn stop(&self) {}
}

#[test]
fn a_restart_reads_the_files_and_only_what_came_after_them() {
    let house = House::new();
    house.send_day();
    let index = tempfile::tempdir().unwrap();
    let manifest = index.path().join("xdrs.main.0").join("manifest");
    let options = || RaterOptions {
        index: Some(index.path().to_path_buf()),
        index_unwritten: 200,
        poll_bytes: 3_000,
        ..house.options(0)
    };
    // Written while it works, once a frame is confirmed: until everything is rated and the manifest is another one.
    let work = || {
        let (stop, stats) = (AtomicBool::new(false), RaterStats::default());
        let (end, before) = (house.bus.end(TOPIC, 0).unwrap(), std::fs::read(&manifest).ok());
        std::thread::scope(|scope| {
            let _stop = Stop(&stop);
            let running = scope.spawn(|| run_partition(options(), &stop, &stats));
            let until = Instant::now() + Duration::from_secs(60);
            while stats.progress().0 < end || std::fs::read(&manifest).ok() == before {
                assert!(Instant::now() < until && !running.is_finished(), "{:?}", stats.trouble());
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::SeqCst);
            running.join().unwrap().unwrap();
        });
        house.bus.end("xdrs.main.0", 0).unwrap()
    };
    let frames = work();
    send_imports(&house, 5);
    assert!(work() > frames);
    let restart = || {
        let from = Arc::new(Mutex::new(Vec::new()));
        let bus: Arc<dyn Bus> = Arc::new(Noting { bus: house.bus.clone(), from: from.clone() });
        house.settle(RaterOptions { bus, ..options() });
        let all = from.lock().unwrap().clone();
        all.into_iter().min().unwrap()
    };
    let first = restart();
    assert!(first > frames / 2, "read from {first}, where {frames} frames stood");
    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(restart(), 0, "without the files, the stream");
    // A restored copy of another log must not be read with this index.
    assert!(restart() > 0, "the restart before has made the index anew");
    let other = House::new();
    other.send_day();
    send_imports(&other, 5);
    let stats = other.settle(RaterOptions { index: Some(index.path().to_path_buf()), ..other.options(0) });
    assert!(stats.seen().calls > 0 && stats.trouble().is_none(), "{:?}", stats.trouble());
    house.settle(house.options(1));
    other.settle(other.options(1));
    assert_eq!(other.books().calls.len(), house.books().calls.len());
}
