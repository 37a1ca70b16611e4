//! The door: what a client of a server expects holds for the embedded engine, and killing it loses nothing.

use super::{config, engine, run};
use clickhouse::Row;
use reporting::door::Embedded;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Row, Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Sample {
    id: u64,
    #[serde(with = "serde_bytes_16")]
    call_id: [u8; 16],
    at: i64,
    amount: i128,
    name: String,
}

mod serde_bytes_16 {
    pub fn serialize<S: serde::Serializer>(v: &[u8; 16], s: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(v, s)
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<[u8; 16], D::Error> {
        serde::Deserialize::deserialize(d)
    }
}

fn samples(count: u64) -> Vec<Sample> {
    (0..count)
        .map(|id| Sample {
            id,
            call_id: [id as u8; 16],
            at: 1_700_000_000_000_000 + id as i64,
            amount: -i128::from(id) * 1_000_000_000_001,
            name: format!("a\0b\n'{id}"),
        })
        .collect()
}

const TABLE: &str = "CREATE TABLE t (id UInt64, call_id FixedString(16), at DateTime64(6, 'UTC'), \
    amount Decimal(38, 12), name LowCardinality(String)) ENGINE = MergeTree ORDER BY id \
    SETTINGS non_replicated_deduplication_window = 100";

#[test]
fn the_embedded_engine_answers_the_client_crate_like_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut session = engine.session();
    run(async {
        let db = session.db();
        db.query(TABLE).execute().await.unwrap();
        let rows = samples(5_000);
        for compression in [clickhouse::Compression::None, clickhouse::Compression::Lz4] {
            let db = db.clone().with_compression(compression);
            let mut insert = db.insert::<Sample>("t").await.unwrap();
            for row in &rows {
                insert.write(row).await.unwrap();
            }
            insert.end().await.unwrap();
            let mut back = db.query("SELECT ?fields FROM t ORDER BY id").fetch_all::<Sample>().await.unwrap();
            back.dedup();
            assert_eq!(back, rows);
        }
        // Parameters travel as a form; whatever stands in them is a value.
        let found = db
            .query("SELECT ?fields FROM t WHERE name = {name:String} AND id IN {ids:Array(UInt64)} LIMIT 1")
            .param("name", "a\0b\n'7")
            .param("ids", vec![7u64, 8])
            .fetch_all::<Sample>()
            .await
            .unwrap();
        assert_eq!(found, [rows[7].clone()]);
        let nothing = db.query("SELECT ?fields FROM t WHERE id = 999999").fetch_optional::<Sample>().await.unwrap();
        assert_eq!(nothing, None);
        let error = db.query("SELECT nonsense FROM t").execute().await.unwrap_err();
        let error = session.error("asking", &error).to_string();
        assert!(error.contains("Code: 47"), "{error}");
        let read_only = session.db().with_setting("readonly", "1");
        let error = read_only.query("INSERT INTO t (id) VALUES (1)").execute().await.unwrap_err().to_string();
        assert!(error.contains("readonly"), "{error}");
    });
}

#[test]
fn nobody_without_the_key_gets_in() {
    let dir = tempfile::tempdir().unwrap();
    let child = Embedded::start(config(dir.path())).unwrap_or_else(|e| panic!("{e}"));
    let now = child.endpoint();
    assert!(now.url.starts_with("http://127.0.0.1:"));
    run(async {
        let client = clickhouse::Client::default().with_url(&now.url).with_user(&now.user);
        for key in ["", "wrong", &now.password[1..], &format!("{}0", &now.password[1..])] {
            let error = client.clone().with_password(key).query("SELECT 1").execute().await.unwrap_err().to_string();
            assert!(error.contains("Code: 516"), "{error}");
        }
        client.with_password(&now.password).query("SELECT 1").execute().await.unwrap();
    });
    let pid = child.pid();
    child.stop();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the child outlived its stop");
}

#[test]
fn a_second_engine_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(dir.path());
    let mut second = config(dir.path());
    second.lock_wait = Duration::from_millis(500);
    let error = reporting::Engine::embedded(&Default::default(), second).unwrap_err().to_string();
    assert!(error.contains("Cannot lock file"), "{error}");
    run(async { first.session().execute("asking", "SELECT 1").await.unwrap() });
}

#[test]
fn a_killed_engine_comes_back_with_all_that_was_acknowledged_and_the_same_token_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut session = engine.session();
    run(async {
        session.db().query(TABLE).execute().await.unwrap();
        for round in 0..3u32 {
            let rows = samples(1_000);
            for send in 0..2 {
                let db = session
                    .db()
                    .with_setting("async_insert", "0")
                    .with_setting("insert_deduplicate", "1")
                    .with_setting("insert_deduplication_token", format!("round-{round}"));
                let mut insert = db.insert::<Sample>("t").await.unwrap();
                for row in &rows {
                    insert.write(row).await.unwrap();
                }
                insert.end().await.unwrap();
                if send == 0 {
                    super::kill(engine.child_pid().unwrap());
                    super::come_back(&mut session).await;
                }
            }
            let count = session.db().query("SELECT count() FROM t").fetch_one::<u64>().await.unwrap();
            assert_eq!(count, u64::from(round + 1) * 1_000);
        }
    });
}
