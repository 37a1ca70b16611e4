//! Which engine: a ClickHouse server, or the embedded one. Two lines of configuration.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The `[reporting]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportingConfig {
    /// `https://clickhouse.example:8443`; `https` checks the certificate against the system's authorities
    /// (`SSL_CERT_FILE` names others). Empty = the embedded engine.
    pub url: String,
    pub user: String,
    pub password: String,
    /// Takes the place of `password`: a file that holds it, so that it stands in no configuration.
    pub password_file: Option<PathBuf>,
    /// `tandem` when empty. Made when absent.
    pub database: String,
    /// Further settings of every statement on a server.
    pub settings: BTreeMap<String, String>,
    /// Embedded: most memory of the engine in MiB; 0 = its own limit.
    pub memory_mib: u64,
    /// Turns reporting off.
    pub off: bool,
}

impl ReportingConfig {
    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        if self.database.is_empty() { "tandem" } else { &self.database }
    }
}
