//! Which configuration a record is judged by: the one in force when it was written, also where the rater was already
//! waiting for records when that came into force.

use bus::embedded::{EmbeddedBus, EmbeddedConfig};
use bus::stream::{StreamError, StreamReader};
use bus::{Bus, Record, TopicSpec};
use facts::call::BusRecord;
use facts::config::Config;
use facts::time::OccurredAt;
use rater::{RaterOptions, RaterStats, run_partition};
use schemas::SchemaIds;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TOPIC: &str = "call-events";
/// Long beside everything else here: the rater lies in wait while the configuration changes.
const WAIT: Duration = Duration::from_secs(4);

#[test]
fn a_call_after_an_apply_is_never_priced_by_the_version_before() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(folder.path())).unwrap());
    bus.ensure(&TopicSpec::events(TOPIC, 1)).unwrap();
    let version = |seq| Arc::new(Config { seq, ..Config::default() });
    let in_force = Arc::new(Mutex::new(version(1)));
    let asked = in_force.clone();
    let config: rater::ConfigNow = Arc::new(move || asked.lock().unwrap().clone());
    let dyn_bus: Arc<dyn Bus> = bus.clone();
    let mut options = RaterOptions::new(dyn_bus, SchemaIds::default(), "main", 0, config, "test".into());
    options.poll_wait = WAIT;
    let (stop, stats) = (AtomicBool::new(false), RaterStats::default());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run_partition(options, &stop, &stats));
        let until = Instant::now() + Duration::from_secs(60);
        while !stats.working.load(Ordering::Relaxed) && Instant::now() < until && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(2));
        }
        // It waits for records now, for WAIT.
        std::thread::sleep(WAIT / 8);
        *in_force.lock().unwrap() = version(2);
        let mark = BusRecord::SourceMark { switch: "s".into(), occurred_until: OccurredAt(1), declared: true };
        let mut value = Vec::new();
        schemas::bus_record::encode(&mark, &SchemaIds::default(), &mut value);
        bus.writer(TOPIC).unwrap().append(0, &[Record { key: b"", value: &value, timestamp_ms: 0 }]).unwrap();
        let end = bus.end(TOPIC, 0).unwrap();
        while stats.progress().0 < end && Instant::now() < until && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::SeqCst);
        running.join().unwrap().unwrap();
    });
    let mut reader = StreamReader::open(bus.as_ref(), &SchemaIds::default(), "xdrs.main.0").unwrap();
    let mut named = Vec::new();
    let folded = reader.catch_up::<StreamError>(bus.as_ref(), &mut |accepted| {
        if !accepted.frame.is_empty() {
            named.push(accepted.frame.header.config_seq);
        }
        Ok(())
    });
    folded.unwrap();
    assert_eq!(named, [2], "the versions that frames with items name");
}
