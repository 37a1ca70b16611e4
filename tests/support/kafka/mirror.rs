//! A real MirrorMaker 2 between brokers, as a process of its own.
//!
//! Its settings are those that `docs/guides/two-sites.md` gives, and what one machine needs besides.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::{ADVICE, Kafka, LOGGING};
use crate::process::Server;

const START: Duration = Duration::from_secs(120); // 10 s on an idle machine

/// MirrorMaker, killed and removed on drop.
pub struct MirrorMaker {
    server: Option<Server>,
    home: TempDir,
    starts: u32,
}

impl MirrorMaker {
    /// Copies ledger and rated calls of each site into the others' brokers, under `SITE.`.
    pub fn between(sites: &[(&str, &Kafka)]) -> MirrorMaker {
        let home = TempDir::with_prefix("tandem-mirror-").expect("a temporary folder");
        let names: Vec<&str> = sites.iter().map(|(name, _)| *name).collect();
        let mut text = format!("clusters = {}\n{COMMON}", names.join(", "));
        for (name, kafka) in sites {
            let _ = writeln!(text, "{name}.bootstrap.servers = {}", kafka.bootstrap());
            let _ = writeln!(text, "{name}.producer.max.request.size = 8388608");
            for other in names.iter().filter(|other| *other != name) {
                let _ = writeln!(text, "{name}->{other}.enabled = true");
                let _ = writeln!(text, "{name}->{other}.topics = ledger\\\\.{name}, xdrs\\\\.{name}\\\\..*");
            }
        }
        fs::write(home.path().join("mirror.properties"), text)
            .and_then(|()| fs::write(home.path().join("log4j2.properties"), LOGGING))
            .expect("the folder can be written");
        let mut this = MirrorMaker { server: None, home, starts: 0 };
        this.restart(sites[0].1);
        this
    }

    /// `kill -9`: what it had copied and not yet noted, it copies again.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// Starts it on the same settings; kills it first if it runs. Returns when it copies.
    pub fn restart(&mut self, any: &Kafka) {
        self.kill();
        self.starts += 1;
        let folder = self.home.path();
        let mut java = any.java();
        java.arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()));
        java.arg("org.apache.kafka.connect.mirror.MirrorMaker").arg(folder.join("mirror.properties"));
        let log = folder.join(format!("start-{}.log", self.starts));
        let mut server = Server::spawn("MirrorMaker", &mut java, log, Some(folder), ADVICE);
        server.await_ready(START, |log| log.contains("Kafka MirrorMaker started").then_some(()));
        self.server = Some(server);
    }
}

const COMMON: &str = "\
refresh.topics.interval.seconds = 1
emit.heartbeats.enabled = false
emit.checkpoints.enabled = false
replication.factor = 1
offset-syncs.topic.replication.factor = 1
config.storage.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
";
