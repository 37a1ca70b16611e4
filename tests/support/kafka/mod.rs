//! A real Kafka 4 broker: KRaft, one node, from the jars that Maven brought.
//!
//! Keeps ports and data over `kill` and `restart`, so that a test can take it away and bring it back.

mod mirror;

pub use mirror::MirrorMaker;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Server;
use crate::tls::{Authority, Certificate};
use crate::{cache, ports};

const ADVICE: &str = "needs Java 17 (`tests/run --fetch` installs it) and about 500 MB of memory";
const START: Duration = Duration::from_secs(60); // 2.5 s on an idle machine

const LOGGING: &str = "\
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss,SSS} %p %c{1} %m%n
";

/// Who may come in by password.
pub const USER: &str = "tandem";
pub const PASSWORD: &str = "a-secret-of-the-test";

/// Ports with TLS, on localhost.
#[derive(Debug, Clone, Copy)]
pub struct Doors {
    pub by_password: u16,
    pub by_certificate: u16,
}

/// A broker on 127.0.0.1, stopped and removed on drop.
pub struct Kafka {
    server: Option<Server>,
    home: TempDir,
    port: u16,
    starts: u32,
    /// What runs it somewhere else: in a network namespace.
    within: Vec<String>,
}

impl Kafka {
    /// A broker of one's own: for tests that kill it or lose topics.
    pub fn start() -> Kafka {
        Kafka::with(&[], &[], |_| {})
    }

    /// One in a network namespace, for who is there too.
    pub fn start_within(within: &[&str]) -> Kafka {
        Kafka::with(&[], within, |_| {})
    }

    /// A broker that listens with TLS too: by password (SASL/PLAIN and SCRAM-SHA-512) and by client certificate.
    pub fn secured(authority: &Authority) -> (Kafka, Doors) {
        let doors = Doors { by_password: ports::free(), by_certificate: ports::free() };
        let server = authority.sign("broker", "DNS:localhost");
        let user = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        let kafka = Kafka::with(&["--add-scram", &user], &[], |properties| {
            let more = format!("SASL_SSL://localhost:{},SSL://localhost:{}", doors.by_password, doors.by_certificate);
            // Both lines, what is listened on and what is advertised, end in the word that begins the first listener.
            *properties = properties.replace("listeners=PLAINTEXT:", &format!("listeners={more},PLAINTEXT:"));
            properties.push_str(&secure(&server, &authority.file()));
        });
        (kafka, doors)
    }

    fn with(format: &[&str], within: &[&str], change: impl FnOnce(&mut String)) -> Kafka {
        let home = TempDir::with_prefix("tandem-kafka-").expect("a temporary folder");
        let port = ports::free();
        let mut properties = properties(port, ports::free(), home.path());
        change(&mut properties);
        fs::write(home.path().join("server.properties"), properties)
            .and_then(|()| fs::write(home.path().join("log4j2.properties"), LOGGING))
            .expect("the broker's folder can be written");
        format_storage(home.path(), format);
        let mut kafka = Kafka {
            server: None,
            home,
            port,
            starts: 0,
            within: within.iter().map(|word| (*word).to_string()).collect(),
        };
        kafka.restart();
        kafka
    }

    /// The one broker that tests which only add topics share; it ends with the test process.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Kafka::start)
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `kill -9`: no goodbye to clients, nothing flushed.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// Orderly shutdown.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.terminate(START);
        }
    }

    /// Starts it on the same ports and data; kills it first if it runs. Returns when it serves.
    pub fn restart(&mut self) {
        self.kill();
        self.starts += 1;
        let log = self.home.path().join(format!("start-{}.log", self.starts));
        let mut java = self.java();
        java.arg(format!("-Dlog4j2.configurationFile={}", self.path("log4j2.properties").display()));
        java.arg("kafka.Kafka").arg(self.path("server.properties"));
        let mut server = Server::spawn("Kafka", &mut java, log, Some(self.home.path()), ADVICE);
        let (address, away) = (self.bootstrap(), !self.within.is_empty());
        server.await_ready(START, |log| {
            // From here a port in a namespace cannot be tried.
            let reached = || away || TcpStream::connect(&address).is_ok();
            (log.contains("Kafka Server started") && reached()).then_some(())
        });
        self.server = Some(server);
    }

    /// Freezes the broker: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.server.as_ref().expect("the broker runs").pause();
    }

    /// Lets a frozen broker go on.
    pub fn resume(&self) {
        self.server.as_ref().expect("the broker runs").resume();
    }

    /// Loses a topic with all its records, as a careless operator does.
    pub fn delete_topic(&self, topic: &str) {
        self.tool("TopicCommand", &["--delete", "--topic", topic]);
    }

    /// Runs `org.apache.kafka.tools.NAME` against this broker and gives its standard output.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let mut java = self.java();
        java.arg(format!("org.apache.kafka.tools.{name}")).args(["--bootstrap-server", &self.bootstrap()]);
        let output = java.args(arguments).output().expect("java starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name} {arguments:?} failed ({}):\n{out}\n{err}", output.status);
        out.into_owned()
    }

    fn java(&self) -> Command {
        let java = cache::program("java");
        let mut words = self.within.iter().map(AsRef::as_ref).chain([java.as_os_str()]);
        let mut java = Command::new(words.next().unwrap_or_default());
        java.args(words);
        java.args(["-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &cache::kafka_class_path()]);
        java.current_dir(self.home.path());
        java
    }

    fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }
}

fn format_storage(home: &Path, more: &[&str]) {
    let mut java = Command::new(cache::program("java"));
    java.args(["-XX:TieredStopAtLevel=1", "-cp", &cache::kafka_class_path(), "kafka.tools.StorageTool"]);
    java.args(["format", "--standalone", "-t", "dGFuZGVtLXRlc3QtYnJva2Vy", "-c"]).arg(home.join("server.properties"));
    let output = java.args(more).current_dir(home).output().expect("java starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cannot format the broker's storage ({}); {ADVICE}\n{text}", output.status);
}

fn properties(port: u16, controller: u16, home: &Path) -> String {
    let data = home.join("data");
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
num.partitions=6
message.max.bytes=4000000
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.delete.delay.ms=1000
",
        data = data.display()
    )
}

/// What a broker needs for its TLS listeners. Java reads PEM as it is.
fn secure(server: &Certificate, authority: &Path) -> String {
    let module = |name: &str| format!("org.apache.kafka.common.security.{name}LoginModule required");
    let (plain, scram) = (module("plain.Plain"), module("scram.Scram"));
    let (keys, authority) = (server.both.display(), authority.display());
    format!(
        "\
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={plain} user_{USER}=\"{PASSWORD}\";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram};
"
    )
}
