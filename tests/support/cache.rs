//! Where `tests/run` puts what it fetches once: the folders and what to say when one is empty.
//!
//! Never fetches anything itself.

use std::path::{Path, PathBuf};

const ADVICE: &str = "run `tests/run --fetch` once: it brings Kafka, the registry, the engine, Chromium and radclient";

/// `$XDG_CACHE_HOME/tandem`, else `~/.cache/tandem`.
pub fn folder() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    base.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")).join("tandem")
}

/// Java class path of the Kafka broker and its tools (versions of `support/kafka/pom.xml`).
pub fn kafka_class_path() -> String {
    let jars = existing(&folder().join("kafka-4.1.1"), "the Kafka jars");
    format!("{}/*", jars.display())
}

/// Runner jar of the Apicurio registry.
pub fn registry_jar() -> PathBuf {
    existing(&folder().join("apicurio-3.0.9/apicurio-registry-app-3.0.9-runner.jar"), "the Schema Registry")
}

/// The ClickHouse engine's library: `TANDEM_CHDB`, else the one that `tandem engine fetch` brought.
pub fn engine() -> PathBuf {
    let named = std::env::var_os("TANDEM_CHDB").map(PathBuf::from);
    existing(&named.unwrap_or_else(|| folder().join("chdb-26.7.3/libchdb.so")), "the ClickHouse engine")
}

/// The installed program `name`, found in `PATH`.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: {ADVICE}"))
}

fn existing(path: &Path, what: &str) -> PathBuf {
    assert!(path.exists(), "{what} is not at {}: {ADVICE}", path.display());
    path.to_path_buf()
}
