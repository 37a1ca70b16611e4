//! A configuration back into the tables that people write, for `tandem config show`: what is printed for accounts,
//! agreements, trunks and the rest can be applied as it stands. Decks are shown by version, without their rows.

use super::{AgreementText, ExchangeRateText, RuleText, SettingsText, TaxText, TrunkText};
use bus::config_log::Version;
use facts::config::{Agreement, Config, DeckRoot, ExchangeRate, IdentificationRule, Tax, Trunk};
use facts::deck::{DeckTerms, Settings, TimeBand};
use facts::money::format_scaled;
use facts::time::{OccurredAt, seconds};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value, json};

/// Keys that come first in a table, in this order; the others follow by name.
const FIRST: [&str; 16] = [
    "id",
    "name",
    "version",
    "site",
    "carrier",
    "account",
    "product",
    "side",
    "agreement",
    "trunk",
    "switch",
    "exchange_rate",
    "deck",
    "currency",
    "from",
    "to",
];

/// One version of the configuration as tables.
pub struct Shown(Value);

impl Shown {
    /// `version` says who wrote it; `None` where nothing has been applied yet.
    pub fn new(config: &Config, version: Option<&Version>) -> Self {
        let tables = [
            ("site", value(&config.settings)),
            ("carrier", list(config.carriers.values().map(value))),
            ("account", list(config.accounts.values().map(value))),
            ("product", list(config.products.values().map(value))),
            ("agreement", list(config.agreements.values().map(|x| value(&AgreementText::from(x))))),
            ("trunk", list(config.trunks.values().map(|x| value(&TrunkText::from(x))))),
            ("switch", list(config.switches.values().map(value))),
            ("exchange_rate", list(config.exchange_rates.iter().map(|x| value(&ExchangeRateText::from(x))))),
            ("deck", list(config.decks.values().flatten().map(deck))),
            ("area", list(config.areas.values().map(value))),
            ("void_order", list(config.voids.iter().map(void_order))),
        ];
        let applied = version.map(|version| {
            json!({"version": version.seq, "applied_at": OccurredAt(version.booked_at.0).to_string(),
                "by": version.by, "comment": version.comment})
        });
        let mut all = Map::new();
        all.insert("applied".to_owned(), applied.unwrap_or_default());
        all.extend(tables.map(|(name, table)| (name.to_owned(), table)));
        let mut all = Value::Object(all);
        strip(&mut all);
        Self(all)
    }

    /// For `--json`: one object.
    pub fn json(&self) -> Value {
        self.0.clone()
    }

    /// As TOML, who applied it as a comment above.
    pub fn toml(&self) -> Result<String, toml::ser::Error> {
        let mut text = String::new();
        let mut tables = self.0.clone();
        if let Some(applied) = tables.as_object_mut().and_then(|all| all.remove("applied")) {
            let word = |key: &str| applied.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
            let version = applied.get("version").and_then(Value::as_u64).unwrap_or_default();
            text = format!(
                "# version {version}, applied {} by {}: {}\n\n",
                word("applied_at"),
                word("by"),
                word("comment")
            );
        }
        Ok(text + &toml_text(&tables)?)
    }
}

/// Any tables as TOML, what names a thing first.
fn toml_text(tables: &Value) -> Result<String, toml::ser::Error> {
    toml::to_string(&Ordered(tables))
}

fn value(of: &impl Serialize) -> Value {
    // Texts, numbers and lists only: nothing that could fail to be written.
    serde_json::to_value(of).unwrap_or_default()
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    Value::Array(values.collect())
}

/// Takes out what says nothing: null, empty, false, port 0.
fn strip(value: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => {
            fields.values_mut().for_each(strip);
            fields.retain(|name, value| !(empty(value) || name == "port" && *value == 0));
        }
        _ => {}
    }
}

impl From<&Agreement> for AgreementText {
    fn from(x: &Agreement) -> Self {
        let percent = |value: i64| format_scaled(i128::from(value), 4, 0);
        let tax = |tax: &Tax| TaxText {
            name: tax.name.to_string(),
            percent: percent(tax.percent),
            rounding: Some(tax.rounding),
        };
        Self {
            id: x.id.to_string(),
            account: x.account.to_string(),
            product: x.product.to_string(),
            side: x.side,
            deck: x.deck.to_string(),
            rated_at: x.rated_at,
            duration_rounding: Some(x.duration_rounding),
            amount_rounding: x.amount_rounding,
            amount_decimals: Some(x.amount_decimals),
            tax_percent: (x.tax_percent != 0).then(|| percent(x.tax_percent)),
            charge_gross: x.charge_gross,
            tax: x.taxes.iter().map(tax).collect(),
            valid_from: instant(x.valid_from),
            valid_until: instant(x.valid_until),
            settings: SettingsText::from(&x.settings),
        }
    }
}

impl From<&Settings> for SettingsText {
    fn from(x: &Settings) -> Self {
        Self {
            grace_seconds: x.grace.map(seconds),
            minimum_seconds: x.minimum_duration.map(seconds),
            maximum_seconds: x.maximum_duration.map(seconds),
            minimum_amount: x.minimum_amount,
            maximum_amount: x.maximum_amount,
            attempt_fee: x.attempt_fee,
            disconnect_fee: x.disconnect_fee,
        }
    }
}

impl From<&Trunk> for TrunkText {
    fn from(x: &Trunk) -> Self {
        Self {
            id: x.id.to_string(),
            account: x.account.to_string(),
            product: x.product.to_string(),
            side: x.side,
            rule: x.rules.iter().map(RuleText::from).collect(),
            strip: x.strip.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&IdentificationRule> for RuleText {
    fn from(x: &IdentificationRule) -> Self {
        Self {
            switch: x.switch.to_string(),
            trunk: x.trunk.to_string(),
            ip: x.ip.to_string(),
            port: x.port,
            tech_prefix: x.tech_prefix.to_string(),
            digest_user: x.digest_user.to_string(),
            account: x.account.to_string(),
            valid_from: instant(x.valid_from),
            valid_until: instant(x.valid_until),
        }
    }
}

impl From<&ExchangeRate> for ExchangeRateText {
    fn from(x: &ExchangeRate) -> Self {
        Self {
            from: x.from,
            to: x.to,
            rate: format_scaled(i128::from(x.rate), 8, 0),
            valid_from: x.valid_from.to_string(),
            source: x.source.clone(),
        }
    }
}

fn instant(at: Option<OccurredAt>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// A deck version: its terms by the names of `[[deck]]`, how many rows, and where they came from.
fn deck(root: &DeckRoot) -> Value {
    let DeckTerms {
        currency,
        time_zone,
        effective_zone,
        holidays,
        band_crossing,
        interval_rule,
        rated_number,
        indeterminate,
        time_bands,
        origin_groups,
        settings,
        jurisdiction_from,
    } = &root.terms;
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let band = |band: &TimeBand| json!({"name": band.name, "days": band.days, "from": clock(band.from), "until": clock(band.until)});
    let mut shown = json!({
        "id": root.id, "version": root.version, "rows": root.rows, "source": root.source,
        "currency": currency, "time_zone": time_zone, "effective_zone": effective_zone, "holidays": holidays,
        "band_crossing": band_crossing, "interval_rule": interval_rule, "rated_number": rated_number,
        "jurisdiction_from": jurisdiction_from, "jurisdiction_indeterminate": indeterminate,
        "time_band": time_bands.iter().map(band).collect::<Vec<_>>(), "origin_group": origin_groups,
    });
    if let (Some(fields), Value::Object(more)) = (shown.as_object_mut(), value(&SettingsText::from(settings))) {
        fields.extend(more);
    }
    shown
}

fn void_order(((partition, offset), reason): (&(u32, u64), &String)) -> Value {
    json!({"partition": partition, "offset": offset, "reason": reason})
}

/// A value whose tables begin with what names them.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
                sorted.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                sorted.into_iter().try_for_each(|(name, value)| map.serialize_entry(name, &Ordered(value)))?;
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&Ordered(item)))?;
                list.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}
