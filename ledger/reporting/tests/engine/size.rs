//! Bytes per attempt (design 14: at most 95, base table with its skip indexes, merged).

use super::sample::{Memory, STREAM, all, stream};
use super::{engine, run};
use reporting::loader::Loader;
use std::time::Duration;

const BYTES_MAX: u64 = 95;

#[test]
fn an_attempt_takes_no_more_bytes_than_promised() {
    let calls: u64 = std::env::var("TANDEM_SIZE_CALLS").ok().and_then(|n| n.parse().ok()).unwrap_or(30_000);
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("engine"));
    let mut loader = Loader::open(&engine, "main", dir.path()).unwrap();
    loader.range_time = Duration::ZERO;
    loader.add(STREAM, Box::new(Memory::new(stream(calls, 1_000, 21)))).unwrap();
    let since = std::time::Instant::now();
    while loader.step(&all).unwrap().frames > 0 {}
    println!("loaded {calls} calls in {:?}", since.elapsed());
    let mut session = engine.session();
    run(async {
        for table in [
            "attempts",
            "calls_hourly",
            "by_customer_hourly",
            "by_destination_hourly",
            "vendors_hourly",
            "by_vendor_hourly",
        ] {
            session.execute("merging", &format!("OPTIMIZE TABLE {table} FINAL")).await.unwrap();
        }
        let sizes = session
            .db()
            .query(
                "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts \
                 WHERE active AND database = 'tandem' GROUP BY table ORDER BY table",
            )
            .fetch_all::<(String, u64, u64)>()
            .await
            .unwrap();
        for (table, rows, bytes) in &sizes {
            println!("{table}: {rows} rows, {bytes} bytes, {} per row", bytes / (*rows).max(1));
        }
        let (_, rows, bytes) = sizes.iter().find(|(table, ..)| table == "attempts").unwrap();
        assert!(bytes / rows <= BYTES_MAX, "{} bytes per attempt", bytes / rows);
    });
}
