//! A real Schema Registry with Confluent's HTTP API (Apicurio), in memory.
//!
//! Holds nothing over a restart, as a registry that lost its store.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Server;
use crate::{cache, http, ports};

const ADVICE: &str = "needs Java 17 (`tests/run --fetch` installs it) and about 300 MB of memory";
const START: Duration = Duration::from_secs(90); // 4 s on an idle machine

/// A registry on 127.0.0.1, stopped and removed on drop.
pub struct SchemaRegistry {
    server: Server,
    port: u16,
    _home: TempDir,
}

impl SchemaRegistry {
    /// Starts one and waits until it answers.
    pub fn start() -> SchemaRegistry {
        let home = TempDir::with_prefix("tandem-registry-").expect("a temporary folder");
        let port = ports::free();
        let mut java = Command::new(cache::program("java"));
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"]);
        java.arg(format!("-Dquarkus.http.port={port}")).arg("-Dquarkus.management.enabled=false");
        java.arg(format!("-Djava.io.tmpdir={}", home.path().display()));
        java.arg("-jar").arg(cache::registry_jar()).current_dir(home.path());
        let log = home.path().join("registry.log");
        let mut server = Server::spawn("the Schema Registry", &mut java, log, Some(home.path()), ADVICE);
        let subjects = format!("http://127.0.0.1:{port}/apis/ccompat/v7/subjects");
        server.await_ready(START, |_| http::get(&subjects).is_ok_and(|answer| answer.status == 200).then_some(()));
        SchemaRegistry { server, port, _home: home }
    }

    /// Base address of Confluent's API, as `schema.registry.url` takes it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}
