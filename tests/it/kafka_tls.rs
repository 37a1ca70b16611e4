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
    let trusted = ("ssl.ca.location", authority.file().display().to_string());
    let by_password = |mechanism: &str, password: &str| -> Properties<'static> {
        vec![
            ("security.protocol", "sasl_ssl".to_owned()),
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.username", USER.to_owned()),
            ("sasl.password", password.to_owned()),
            trusted.clone(),
        ]
    };
    let mut by_certificate = vec![("security.protocol", "ssl".to_owned()), trusted.clone()];
    let without_certificate = by_certificate.clone();
    by_certificate.push(("ssl.certificate.location", client.chain.display().to_string()));
    by_certificate.push(("ssl.key.location", client.key.display().to_string()));

    let memory = TempDir::with_prefix("tandem-bus-").expect("a temporary folder");
    for (topic, port, properties) in [
        ("plain", doors.by_password, by_password("PLAIN", PASSWORD)),
        ("scram", doors.by_password, by_password("SCRAM-SHA-512", PASSWORD)),
        ("certificate", doors.by_certificate, by_certificate),
    ] {
        let open = || -> Arc<dyn Bus> { Arc::new(connect(port, &properties, &memory).expect("let in")) };
        bus::conformance::run(topic, &open);
    }

    let stranger = ("ssl.ca.location", Authority::new().file().display().to_string());
    let untrusted = [&by_password("PLAIN", PASSWORD)[..4], &[stranger]].concat();
    for (why, port, properties) in [
        ("Authentication failed", doors.by_password, by_password("SCRAM-SHA-512", "guessed")),
        ("Authentication failed", doors.by_password, by_password("PLAIN", "guessed")),
        ("certificate", doors.by_certificate, without_certificate),
        ("certificate verify failed", doors.by_password, untrusted),
    ] {
        let bus = connect(port, &properties, &memory).expect("a broker that does not let us in may do so later");
        let refused = bus.topics().expect_err(why).to_string();
        let said = eventually("the bus says why it is not let in", PATIENCE, || match bus.health() {
            BusHealth::Away { why: said, .. } => Some(said),
            _ => None,
        });
        println!("{refused}\n{said}");
        assert!(said.contains(why), "{why:?} is not said: {said}");
        assert!(!format!("{refused}{said}").contains(PASSWORD), "the password is said: {said}");
    }
}

fn connect(port: u16, properties: &[(&str, String)], memory: &TempDir) -> Result<KafkaBus, bus::BusError> {
    let mut config = KafkaConfig::new(format!("localhost:{port}"));
    let all = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    config.properties = all.collect::<BTreeMap<_, _>>();
    config.memory = Some(memory.path().to_path_buf());
    KafkaBus::connect(config)
}
