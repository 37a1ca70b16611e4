//! Tests against the real ClickHouse engine, through the same door and client as in production. They fail, and never
//! skip, when the engine cannot be found.

mod door;
mod from_bus;
mod full_disk;
mod load;
mod report;
mod runs;
mod sample;
mod size;

use reporting::door::EmbeddedConfig;
use reporting::{Engine, ReportingConfig, fetch};
use std::path::Path;
use std::time::{Duration, Instant};

/// How to start the engine on a folder; fails with advice when there is none.
pub fn config(data: &Path) -> EmbeddedConfig {
    let lib = fetch::find().unwrap_or_else(|e| panic!("{e}"));
    let mut config = EmbeddedConfig::new(lib, data.to_owned());
    config.program = Some((env!("CARGO_BIN_EXE_engine-door").into(), Vec::new()));
    config
}

pub fn engine(data: &Path) -> Engine {
    Engine::embedded(&ReportingConfig::default(), config(data)).unwrap_or_else(|e| panic!("{e}"))
}

pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Our own child, whose pid the engine handle gave this very moment.
pub fn kill(pid: u32) {
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
}

pub fn wait_until_back(session: &mut reporting::Session) {
    run(come_back(session));
}

pub async fn come_back(session: &mut reporting::Session) {
    let since = Instant::now();
    while let Err(error) = session.execute("asking", "SELECT 1").await {
        assert!(since.elapsed() < Duration::from_secs(60), "{error}");
        assert!(error.passes_by_itself(), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
