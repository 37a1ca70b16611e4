//! The TOML that people write for `tandem apply`, turned into facts. One document or a folder of them; names of
//! tables are singular (`[[account]]`), decimals are strings, times RFC 3339, unknown names are refused.

mod shown;

use super::deck_text::{DeckText, Declared};
use facts::Side;
use facts::config::{
    Account, Agreement, Area, Carrier, ConfigItem, DeckRules, ExchangeRate, IdentificationRule, Product, RatedAt,
    SiteSettings, Switch, Tax, Trunk,
};
use facts::deck::{Price, Settings};
use facts::money::{Currency, Rounding, parse_scaled};
use facts::time::{OccurredAt, parse_rfc3339, parse_seconds};
use serde::{Deserialize, Serialize};
pub use shown::Shown;
use std::path::PathBuf;

/// Tables of one file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Document {
    site: Option<SiteSettings>,
    carrier: Vec<Carrier>,
    account: Vec<Account>,
    product: Vec<Product>,
    agreement: Vec<AgreementText>,
    trunk: Vec<TrunkText>,
    switch: Vec<Switch>,
    exchange_rate: Vec<ExchangeRateText>,
    deck: Vec<DeckText>,
    deck_rules: Vec<DeckRules>,
    area: Vec<Area>,
    /// CSV of `prefix` and `area`, beside this file.
    area_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AgreementText {
    id: String,
    account: String,
    #[serde(default)]
    product: String,
    side: Side,
    #[serde(default)]
    deck: String,
    #[serde(default)]
    rated_at: RatedAt,
    duration_rounding: Option<Rounding>,
    #[serde(default)]
    amount_rounding: Rounding,
    amount_decimals: Option<u8>,
    tax_percent: Option<String>,
    #[serde(default)]
    charge_gross: bool,
    #[serde(default)]
    tax: Vec<TaxText>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    #[serde(flatten)]
    settings: SettingsText,
}

/// `[[agreement.tax]]`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TaxText {
    name: String,
    percent: String,
    /// Left out: the agreement's.
    rounding: Option<Rounding>,
}

/// The settings of rule 4.8, which may stand on a deck or an agreement.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SettingsText {
    grace_seconds: Option<String>,
    minimum_seconds: Option<String>,
    maximum_seconds: Option<String>,
    minimum_amount: Option<Price>,
    maximum_amount: Option<Price>,
    attempt_fee: Option<Price>,
    disconnect_fee: Option<Price>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TrunkText {
    id: String,
    account: String,
    #[serde(default)]
    product: String,
    side: Side,
    #[serde(default)]
    rule: Vec<RuleText>,
    #[serde(default)]
    strip: Vec<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RuleText {
    switch: String,
    trunk: String,
    ip: String,
    port: u16,
    tech_prefix: String,
    digest_user: String,
    account: String,
    valid_from: Option<String>,
    valid_until: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ExchangeRateText {
    from: Currency,
    to: Currency,
    rate: String,
    valid_from: String,
    source: String,
}

/// A value that a table does not allow: which table, which entry, which field, why.
#[derive(Debug, thiserror::Error)]
#[error("{table} {id:?}: {field}: {reason}")]
pub struct FieldError {
    table: &'static str,
    id: String,
    field: &'static str,
    reason: String,
}

/// What a document says: items without decks, and the decks whose files are still to be read.
#[derive(Debug, Default)]
pub struct Desired {
    pub items: Vec<ConfigItem>,
    pub decks: Vec<Declared>,
    pub areas: Vec<Area>,
    pub area_file: Option<PathBuf>,
}

impl Document {
    /// All faults at once, not the first only.
    pub fn into_desired(self) -> Result<Desired, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut items: Vec<ConfigItem> = self.site.into_iter().map(ConfigItem::Settings).collect();
        items.extend(self.carrier.into_iter().map(ConfigItem::Carrier));
        items.extend(self.account.into_iter().map(ConfigItem::Account));
        items.extend(self.product.into_iter().map(ConfigItem::Product));
        items.extend(self.switch.into_iter().map(ConfigItem::Switch));
        items.extend(self.deck_rules.into_iter().map(ConfigItem::DeckRules));
        let mut keep = |result: Result<ConfigItem, FieldError>| match result {
            Ok(item) => items.push(item),
            Err(fault) => faults.push(fault),
        };
        self.agreement.into_iter().for_each(|a| keep(a.into_fact().map(ConfigItem::Agreement)));
        self.trunk.into_iter().for_each(|t| keep(t.into_fact().map(ConfigItem::Trunk)));
        self.exchange_rate.into_iter().for_each(|x| keep(x.into_fact().map(ConfigItem::ExchangeRate)));
        let mut decks = Vec::new();
        for deck in self.deck {
            match deck.into_declared() {
                Ok(deck) => decks.push(deck),
                Err(fault) => faults.push(fault),
            }
        }
        let (areas, area_file) = (self.area, self.area_file);
        if faults.is_empty() { Ok(Desired { items, decks, areas, area_file }) } else { Err(faults) }
    }
}

/// Names the place of a fault while its fields are read.
pub struct Place<'a> {
    pub table: &'static str,
    pub id: &'a str,
}

impl Place<'_> {
    pub fn fault(&self, field: &'static str, reason: String) -> FieldError {
        FieldError { table: self.table, id: self.id.to_owned(), field, reason }
    }

    fn instant(&self, field: &'static str, text: Option<&String>) -> Result<Option<OccurredAt>, FieldError> {
        let read = |text: &String| {
            parse_rfc3339(text)
                .map(OccurredAt)
                .ok_or_else(|| self.fault(field, format!("{text:?} is no time with offset, as 2026-01-31T00:00:00Z")))
        };
        text.map(read).transpose()
    }

    fn seconds(&self, field: &'static str, text: Option<&String>) -> Result<Option<i64>, FieldError> {
        let read = |text: &String| {
            parse_seconds(text)
                .filter(|micros| *micros >= 0)
                .ok_or_else(|| self.fault(field, format!("{text:?} is no number of seconds with at most 6 decimals")))
        };
        text.map(read).transpose()
    }

    fn scaled(&self, field: &'static str, text: &str, decimals: u32) -> Result<i64, FieldError> {
        parse_scaled(text, decimals)
            .and_then(|value| i64::try_from(value).ok())
            .ok_or_else(|| self.fault(field, format!("{text:?} is no decimal number with at most {decimals} decimals")))
    }
}

impl AgreementText {
    fn into_fact(self) -> Result<Agreement, FieldError> {
        let place = Place { table: "agreement", id: &self.id };
        let decimals = self.amount_decimals.unwrap_or(6);
        if decimals > 12 {
            return Err(place.fault("amount_decimals", format!("{decimals} is more than 12")));
        }
        let percent = |field, text: &str| match place.scaled(field, text, 4)? {
            value if value < 0 => Err(place.fault(field, format!("{text} is below zero"))),
            value => Ok(value),
        };
        let tax_percent = self.tax_percent.as_deref().map_or(Ok(0), |text| percent("tax_percent", text))?;
        if tax_percent != 0 && !self.tax.is_empty() {
            return Err(place.fault("tax", "tax_percent is given too; give one of them".to_owned()));
        }
        let mut taxes: Vec<Tax> = Vec::with_capacity(self.tax.len());
        for TaxText { name, percent: share, rounding } in &self.tax {
            if name.is_empty() || taxes.iter().any(|known| known.name == name) {
                let reason = format!("the name {name:?} is empty or used twice; name each differently");
                return Err(place.fault("tax.name", reason));
            }
            let rounding = rounding.unwrap_or(self.amount_rounding);
            taxes.push(Tax { name: name.into(), percent: percent("tax.percent", share)?, rounding });
        }
        Ok(Agreement {
            account: self.account.into(),
            product: self.product.into(),
            side: self.side,
            deck: self.deck.into(),
            rated_at: self.rated_at,
            duration_rounding: self.duration_rounding.unwrap_or(Rounding::Up),
            amount_rounding: self.amount_rounding,
            amount_decimals: decimals,
            tax_percent,
            charge_gross: self.charge_gross,
            settings: self.settings.read(&place)?,
            valid_from: place.instant("valid_from", self.valid_from.as_ref())?,
            valid_until: place.instant("valid_until", self.valid_until.as_ref())?,
            taxes,
            id: self.id.into(),
        })
    }
}

impl SettingsText {
    /// As facts; a duration that is none is refused with its place.
    pub fn read(&self, place: &Place<'_>) -> Result<Settings, FieldError> {
        Ok(Settings {
            grace: place.seconds("grace_seconds", self.grace_seconds.as_ref())?,
            minimum_duration: place.seconds("minimum_seconds", self.minimum_seconds.as_ref())?,
            maximum_duration: place.seconds("maximum_seconds", self.maximum_seconds.as_ref())?,
            minimum_amount: self.minimum_amount,
            maximum_amount: self.maximum_amount,
            attempt_fee: self.attempt_fee,
            disconnect_fee: self.disconnect_fee,
        })
    }
}

impl TrunkText {
    fn into_fact(self) -> Result<Trunk, FieldError> {
        let place = Place { table: "trunk", id: &self.id };
        let rules = self.rule.into_iter().map(|rule| rule.into_fact(&place)).collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() {
            return Err(
                place.fault("rule", "a trunk needs at least one [[trunk.rule]], else no call is ever its".to_owned())
            );
        }
        Ok(Trunk {
            account: self.account.into(),
            product: self.product.into(),
            side: self.side,
            rules,
            strip: self.strip.into_iter().map(Into::into).collect(),
            id: self.id.into(),
        })
    }
}

impl RuleText {
    fn into_fact(self, place: &Place<'_>) -> Result<IdentificationRule, FieldError> {
        let rule = IdentificationRule {
            valid_from: place.instant("rule.valid_from", self.valid_from.as_ref())?,
            valid_until: place.instant("rule.valid_until", self.valid_until.as_ref())?,
            switch: self.switch.into(),
            trunk: self.trunk.into(),
            ip: self.ip.into(),
            port: self.port,
            tech_prefix: self.tech_prefix.into(),
            digest_user: self.digest_user.into(),
            account: self.account.into(),
        };
        let facts = [&rule.trunk, &rule.ip, &rule.tech_prefix, &rule.digest_user, &rule.account];
        if facts.iter().all(|fact| fact.is_empty()) {
            let reason = "a rule needs a trunk, ip, tech_prefix, digest_user or account, else it is every call's";
            return Err(place.fault("rule", reason.to_owned()));
        }
        Ok(rule)
    }
}

impl ExchangeRateText {
    fn into_fact(self) -> Result<ExchangeRate, FieldError> {
        let id = format!("{} to {}", self.from, self.to);
        let place = Place { table: "exchange_rate", id: &id };
        let rate = place.scaled("rate", &self.rate, 8)?;
        if rate <= 0 {
            return Err(place.fault("rate", format!("{} is not above zero", self.rate)));
        }
        let valid_from = place.instant("valid_from", Some(&self.valid_from))?.unwrap_or_default();
        Ok(ExchangeRate { from: self.from, to: self.to, rate, valid_from, source: self.source })
    }
}

#[cfg(test)]
mod tests;
