//! Tests against the real ClickHouse engine, through the same door and client as in production. They fail, and never
//! skip, when the engine cannot be found.

mod door;

use reporting::door::EmbeddedConfig;
use reporting::{Engine, ReportingConfig, fetch};
use std::path::Path;

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
