//! Tests of `identify`.

use super::*;
use facts::OccurredAt;
use facts::config::ConfigItem;

fn trunk(id: &str, rules: Vec<IdentificationRule>) -> Trunk {
    let strip = vec!["011".into(), "00".into()];
    Trunk { id: id.into(), account: id.into(), product: "p".into(), side: Side::Sell, rules, strip }
}

fn config(trunks: Vec<Trunk>) -> Config {
    let mut config = Config::default();
    trunks.into_iter().for_each(|trunk| config.apply(ConfigItem::Trunk(trunk)));
    config
}

fn ip(ip: &str) -> IdentificationRule {
    IdentificationRule { ip: ip.into(), ..IdentificationRule::default() }
}

fn found(config: &Config, endpoint: &Endpoint, called: &str, at: i64) -> String {
    let rules = Identifier::compile(config, Side::Sell);
    match rules.find("sw1", endpoint, called, at) {
        Some(found) => format!("{}{}", rules.trunks()[found.trunk as usize], found.tech_prefix),
        None => "nobody".to_owned(),
    }
}

#[test]
fn the_rule_that_names_more_facts_wins() {
    let config = config(vec![
        trunk("a", vec![ip("10.0.0.1")]),
        trunk("b", vec![IdentificationRule { tech_prefix: "77#".into(), ..ip("10.0.0.1") }]),
        trunk("c", vec![IdentificationRule { port: 5070, tech_prefix: "77#".into(), ..ip("10.0.0.1") }]),
        trunk("d", vec![IdentificationRule { switch: "sw1".into(), trunk: "9".into(), ..Default::default() }]),
    ]);
    let from = |ip: &str, port| Endpoint { ip: ip.into(), port, ..Endpoint::default() };
    assert_eq!(found(&config, &from("10.0.0.1", 5060), "4930", 0), "a");
    assert_eq!(found(&config, &from("10.0.0.1", 5060), "sip:77#4930@x", 0), "b77#");
    assert_eq!(found(&config, &from("10.0.0.1", 5070), "77#4930", 0), "c77#");
    assert_eq!(found(&config, &from("10.0.0.2", 5060), "77#4930", 0), "nobody");
    assert_eq!(found(&config, &Endpoint { trunk: "9".into(), ..Endpoint::default() }, "4930", 0), "d");
    let told = Endpoint { tech_prefix: "77#".into(), ..from("10.0.0.1", 0) };
    assert_eq!(found(&config, &told, "4930", 0), "b77#");
    assert_eq!(check_overlaps(&config), vec![]);
}

#[test]
fn an_address_that_changes_hands_belongs_to_one_customer_at_a_time() {
    let until = |at| IdentificationRule { valid_until: Some(OccurredAt(at)), ..ip("10.0.0.1") };
    let from = |at| IdentificationRule { valid_from: Some(OccurredAt(at)), ..ip("10.0.0.1") };
    let good = config(vec![trunk("old", vec![until(100)]), trunk("new", vec![from(100)])]);
    let endpoint = Endpoint { ip: "10.0.0.1".into(), ..Endpoint::default() };
    assert_eq!(found(&good, &endpoint, "", 99), "old");
    assert_eq!(found(&good, &endpoint, "", 100), "new");
    assert_eq!(check_overlaps(&good), vec![]);
    let bad = config(vec![trunk("new", vec![from(99)]), trunk("old", vec![until(100), IdentificationRule::default()])]);
    let texts: Vec<String> = check_overlaps(&bad).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "rule 2 of trunk old names no fact and would match every call; name at least one",
            "rule 1 of trunk new and rule 1 of trunk old name the same facts at the same time; \
             end one before the other begins"
        ]
    );
}

#[test]
fn what_stands_before_the_number_is_not_rated() {
    let strip: Vec<SmolStr> = vec!["011".into(), "00".into()];
    let number = |called: &str, tech: &str, strip: &[SmolStr]| {
        number_of(called, E164::normalise(called).ok(), tech, strip).map(|n| n.to_string())
    };
    assert_eq!(number("+4930123", "", &[]).as_deref(), Some("4930123"));
    assert_eq!(number("1234#004930123", "1234#", &strip).as_deref(), Some("4930123"));
    assert_eq!(number("sip:1234#4930123@10.1.1.1", "1234#", &[]).as_deref(), Some("4930123"));
    assert_eq!(number("0114930123", "", &strip).as_deref(), Some("4930123"));
    assert_eq!(number("4930123", "1234#", &strip).as_deref(), Some("4930123"), "the switch took it off already");
    assert_eq!(number("anonymous", "", &[]), None);
    assert_eq!(number("00", "", &strip), None);
}
