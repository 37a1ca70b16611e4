//! End-to-end tests, one binary: the house's own rules, real servers, and everything that crosses crates.
//!
//! Run with `tests/run`, or `cargo test -p tests MODULE` once that has fetched the servers.

mod bad_input;
mod clickhouse_tls;
mod config;
mod console;
mod console_decks;
mod console_imports;
mod console_make;
mod credit;
mod decks;
mod doors;
mod full_disk;
mod fuzz;
mod history;
mod house;
mod kafka_bus;
mod kafka_pipeline;
#[cfg(feature = "kafka-tls")]
mod kafka_tls;
mod kafka_trouble;
mod kill;
mod lost_topic;
mod net_position;
mod notices;
mod pipeline;
mod proof;
mod quote;
mod radius;
mod rate;
mod readers;
mod repeats;
mod rerate;
mod selling;
mod servers;
mod sites;
mod sites_credit;
mod sites_life;
mod sites_mirror;
mod sites_others;
mod sites_three;
mod tidy;
mod upgrade;
mod vouchers;
mod workbook;
mod xdr_out;
