//! Kafka over TLS: the suite that every bus passes, against a broker that lets nobody in without a password (SASL/PLAIN,
//! SCRAM) or a client certificate, and clients that are refused. Needs the feature `kafka-tls`, which builds librdkafka
//! with OpenSSL: `cargo test -p tests --features kafka-tls kafka_tls`; `tests/night` does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusHealth, KafkaBus, KafkaConfig};
use tempfile::TempDir;
use tests::kafka::{PASSWORD, USER};
use tests::tls::Authority;
use tests::{Kafka, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

type Properties<'a> = Vec<(&'a str, String)>;

#[test]
fn the_bus_keeps_its_promises_over_tls_by_password_and_by_certificate() {
    let authority = Authority::new();
    let (_kafka, doors) = Kafka::secured(&authority);
    let client = authority.sign("tandem", "DNS:tandem");
    let mut certificate = by_certificate(&authority);
    certificate.push(("ssl.certificate.location", client.chain.display().to_string()));
    certificate.push(("ssl.key.location", client.key.display().to_string()));
    let memory = TempDir::with_prefix("tandem-bus-").expect("a temporary folder");
    for (topic, port, properties) in [
        ("plain", doors.by_password, by_password(&authority, "PLAIN", PASSWORD)),
        ("scram", doors.by_password, by_password(&authority, "SCRAM-SHA-512", PASSWORD)),
        ("certificate", doors.by_certificate, certificate),
    ] {
        let open = || -> Arc<dyn Bus> { Arc::new(connect(port, &properties, &memory).expect("let in")) };
        bus::conformance::run(topic, &open);
    }
}

#[test]
fn a_broker_that_does_not_let_us_in_or_is_not_ours_is_away_and_says_why() {
    let authority = Authority::new();
    let (_kafka, doors) = Kafka::secured(&authority);
    let memory = TempDir::with_prefix("tandem-bus-").expect("a temporary folder");
    for (why, port, properties) in [
        ("Authentication failed", doors.by_password, by_password(&authority, "SCRAM-SHA-512", "guessed")),
        ("Authentication failed", doors.by_password, by_password(&authority, "PLAIN", "guessed")),
        ("certificate", doors.by_certificate, by_certificate(&authority)),
        ("certificate verify failed", doors.by_password, by_password(&Authority::new(), "PLAIN", PASSWORD)),
    ] {
        let bus = connect(port, &properties, &memory).expect("a broker that does not let us in may do so later");
        let refused = bus.topics().expect_err(why).to_string();
        let said = eventually("the bus says why it is not let in", PATIENCE, || match bus.health() {
            BusHealth::Away { why: said, .. } if said.contains(why) => Some(said),
            other => {
                println!("{other:?}");
                None
            }
        });
        println!("{refused}\n{said}");
        assert!(!format!("{refused}{said}").contains(PASSWORD), "the password is said: {said}");
    }
}

fn by_password(authority: &Authority, mechanism: &str, password: &str) -> Properties<'static> {
    let mut properties = trusting(authority, "sasl_ssl");
    properties.push(("sasl.mechanism", mechanism.to_owned()));
    properties.push(("sasl.username", USER.to_owned()));
    properties.push(("sasl.password", password.to_owned()));
    properties
}

fn by_certificate(authority: &Authority) -> Properties<'static> {
    trusting(authority, "ssl")
}

fn trusting(authority: &Authority, protocol: &str) -> Properties<'static> {
    let file = authority.file().display().to_string();
    vec![("security.protocol", protocol.to_owned()), ("ssl.ca.location", file)]
}

fn connect(port: u16, properties: &[(&str, String)], memory: &TempDir) -> Result<KafkaBus, bus::BusError> {
    let mut config = KafkaConfig::new(format!("localhost:{port}"));
    let all = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    config.properties = all.collect::<BTreeMap<_, _>>();
    config.memory = Some(memory.path().to_path_buf());
    KafkaBus::connect(config)
}
