//! What can be checked without a broker: settings. All else runs against a real one in the `tests` package.

use super::*;

#[test]
fn settings_that_exactly_once_rests_on_cannot_be_undone() {
    for (name, value) in
        [("acks", "1"), ("auto.offset.reset", "latest"), ("transactional.id", "x"), ("check.crcs", "false")]
    {
        let mut config = KafkaConfig::new("127.0.0.1:1");
        config.properties.insert(name.to_owned(), value.to_owned());
        match KafkaBus::connect(config).map(|_| ()) {
            Err(BusError::Config { setting, .. }) => assert!(setting.contains(name)),
            other => panic!("{name}={value}: {other:?}"),
        }
    }
}

#[cfg(not(feature = "kafka-tls"))]
#[test]
fn a_build_without_tls_says_so() {
    let mut config = KafkaConfig::new("127.0.0.1:1");
    config.properties.insert("security.protocol".to_owned(), "SASL_SSL".to_owned());
    let refused = KafkaBus::connect(config).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("kafka-tls"), "{refused}");
}

#[test]
fn a_broker_that_is_away_is_told_with_its_time() {
    let bus = KafkaBus::connect(KafkaConfig::new("127.0.0.1:1")).unwrap();
    let refused = bus.partitions("calls").unwrap_err();
    assert!(refused.is_retriable(), "{refused}");
    assert!(matches!(bus.health(), BusHealth::Away { .. }));
}
