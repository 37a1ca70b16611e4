//! The real parts that the end-to-end tests run: a Kafka broker, a Schema Registry, the ClickHouse
//! engine, a headless Chromium and our own binary, each in a folder of its own on free loopback ports.
//!
//! Never skips: a part that is missing or does not start is a panic that shows the end of its log and
//! says what to do. Nothing here outlives the test process, killed or not (see `process`).

pub mod browser;
pub mod cache;
pub mod deaths;
pub mod disk;
pub mod figures;
pub mod health;
pub mod http;
pub mod kafka;
pub mod memory;
pub mod namespaces;
pub mod pair;
pub mod ports;
pub mod process;
pub mod registry;
pub mod site;
pub mod tandem;
pub mod tls;
pub mod wires;

pub use browser::{Browser, Element};
pub use disk::SmallDisk;
pub use figures::Figures;
pub use kafka::Kafka;
pub use process::Server;
pub use registry::SchemaRegistry;
pub use tandem::{Ran, Tandem};

use std::time::{Duration, Instant};

/// Asks `done` again and again until it gives a value; panics with `what` after `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(started.elapsed() < limit, "still not after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether this is the long run of `tests/night`, not the test command.
pub fn night() -> bool {
    std::env::var_os("TANDEM_NIGHT").is_some_and(|value| value == "1")
}
