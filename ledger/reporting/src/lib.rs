//! Reporting: the ClickHouse engine (a server, or embedded in a child process of ours), our tables in it, loading
//! them exactly once from the xdrs streams, and the reports. The only crate that may name clickhouse. It prices
//! nothing and books nothing: every figure comes from rated calls as they stand in the log.

pub mod config;
pub mod door;
pub mod engine;
pub mod error;
pub mod fetch;
pub mod loader;
pub mod reports;
pub mod rows;
pub mod schema;

pub use config::ReportingConfig;
pub use engine::{Engine, Session, block_on};
pub use error::EngineError;
