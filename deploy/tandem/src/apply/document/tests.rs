//! What a document may say besides decks, and that a configuration is shown as it would be written.

use super::*;

const TAXED: &str = r#"
[[agreement]]
id = "a"
account = "acme"
side = "sell"
charge_gross = true
amount_rounding = "half_even"
tax = [{ name = "state", percent = "6.125", rounding = "up" }, { name = "city", percent = "0.9" }]
"#;

fn read(text: &str) -> Result<Desired, String> {
    let document: Document = toml::from_str(text).map_err(|e| e.to_string())?;
    document.into_desired().map_err(|faults| faults[0].to_string())
}

#[test]
fn taxes_by_name_stand_on_the_agreement_as_written() {
    let desired = read(TAXED).unwrap();
    let ConfigItem::Agreement(agreement) = &desired.items[0] else { panic!("{:?}", desired.items) };
    let told: Vec<_> = agreement.taxes.iter().map(|t| (t.name.as_str(), t.percent, t.rounding)).collect();
    assert_eq!(told, [("state", 61_250, Rounding::Up), ("city", 9_000, Rounding::HalfEven)]);
    for (from, to, words) in [
        ("charge_gross = true", "tax_percent = \"1\"", "agreement \"a\": tax: tax_percent is given too"),
        ("\"city\"", "\"state\"", "tax.name: the name \"state\" is empty or used twice"),
        ("\"0.9\"", "\"-0.9\"", "tax.percent: -0.9 is below zero"),
        ("\"0.9\"", "\"0.90001\"", "tax.percent"),
        ("percent = \"0.9\"", "per_cent = \"0.9\"", "per_cent"),
    ] {
        assert!(TAXED.contains(from));
        let fault = read(&TAXED.replace(from, to)).unwrap_err();
        assert!(fault.contains(words), "{fault}");
    }
}

/// Every table and field that is no deck, each with a value other than its default.
const WHOLE: &str = r#"
[site]
legal_entity = "Example Ltd"
base_currency = "EUR"
late_call_limit_days = 90
ner_codes = [486]

[[carrier]]
id = "alba"
name = "Alba \"Telecom\""
contacts = ["noc@alba.example"]
tax_id = "AT1"

[[account]]
id = "alba-eur"
carrier = "alba"
currency = "EUR"
prepaid = true
credit_limit = "500.5"

[[account]]
id = "shop"
carrier = "alba"
currency = "EUR"
reseller = "alba-eur"
unidentified = true

[[product]]
id = "standard"
name = "Standard"

[[agreement]]
id = "a"
account = "alba-eur"
product = "standard"
side = "buy"
rated_at = "setup"
duration_rounding = "half_even"
amount_rounding = "down"
amount_decimals = 0
charge_gross = true
tax = [{ name = "state", percent = "6.125", rounding = "up" }, { name = "city", percent = "0.9" }]
valid_from = "2026-01-01T00:00:00Z"
valid_until = "2026-12-31T23:59:59.5+01:00"
grace_seconds = "2.5"
minimum_seconds = "6"
maximum_seconds = "7200"
minimum_amount = "0.001"
maximum_amount = "10"
attempt_fee = "0.0005"
disconnect_fee = "-0.1"

[[agreement]]
id = "b"
account = "shop"
side = "sell"
tax_percent = "23.25"

[[trunk]]
id = "in"
account = "alba-eur"
product = "standard"
side = "sell"
strip = ["00", "011"]
rule = [{ switch = "s", ip = "192.0.2.1", port = 5062, valid_from = "2026-01-01T00:00:00Z" },
        { trunk = "gw", tech_prefix = "99#", digest_user = "u", account = "11" }]

[[switch]]
id = "s"
format = "asterisk"
id_domain = "d"
time_zone = "Europe/Vienna"
options = { tail = "uniqueid" }

[[exchange_rate]]
from = "USD"
to = "EUR"
rate = "0.91234567"
valid_from = "2026-01-01T00:00:00Z"
source = "ECB"
"#;

fn folded(desired: Desired) -> facts::config::Config {
    let mut config = facts::config::Config::default();
    desired.items.into_iter().for_each(|item| config.apply(item));
    config
}

#[test]
fn what_is_shown_can_be_applied_again_and_says_the_same() {
    let config = folded(read(WHOLE).unwrap());
    let shown = Shown::new(&config, None).toml().unwrap();
    assert_eq!(folded(read(&shown).unwrap()), config, "{shown}");
    expect_test::expect_file!["shown.toml"].assert_eq(&shown);
}
