//! Configuration facts as Avro records.

use crate::deck_rows::settings_to_wire;
use crate::wire::{self, ConfigItemItem as Item};
use facts::config::{Agreement, ConfigItem, DeckImport, DeckRoot, IdentificationRule, SiteSettings, Switch, Trunk};
use facts::deck::{DeckTerms, OriginGroup, TimeBand};
use smol_str::SmolStr;

fn texts(list: &[SmolStr]) -> Vec<&str> {
    list.iter().map(SmolStr::as_str).collect()
}

pub(super) fn item(item: &ConfigItem) -> Item<'_> {
    match item {
        ConfigItem::Settings(x) => Item::SiteSettings(site(x)),
        ConfigItem::Carrier(x) => Item::Carrier(wire::Carrier {
            id: &x.id,
            name: &x.name,
            contacts: x.contacts.iter().map(String::as_str).collect(),
            tax_id: x.tax_id.as_deref(),
        }),
        ConfigItem::Account(x) => Item::Account(wire::Account {
            id: &x.id,
            carrier: &x.carrier,
            currency: x.currency,
            prepaid: x.prepaid,
            credit_limit: x.credit_limit.0,
            reseller: &x.reseller,
            unidentified: x.unidentified,
        }),
        ConfigItem::Product(x) => Item::Product(wire::Product { id: &x.id, name: &x.name, deck: &x.deck }),
        ConfigItem::Agreement(x) => Item::Agreement(agreement(x)),
        ConfigItem::Trunk(x) => Item::Trunk(trunk(x)),
        ConfigItem::Switch(x) => Item::Switch(switch(x)),
        ConfigItem::ExchangeRate(x) => Item::ExchangeRate(wire::ExchangeRate {
            from: x.from,
            to: x.to,
            rate: x.rate,
            valid_from: x.valid_from.0,
            source: &x.source,
        }),
        ConfigItem::Deck(x) => Item::DeckRoot(root(x)),
        ConfigItem::DeckChunk { hash, rows } => Item::DeckChunk(wire::DeckChunk { hash: *hash, rows }),
        ConfigItem::Removed { kind, id } => Item::Removed(wire::Removed { kind, id }),
        ConfigItem::Applied { by, comment, digest } => Item::Applied(wire::Applied { by, comment, digest: *digest }),
        ConfigItem::VoidOrder(x) => {
            Item::VoidOrder(wire::VoidOrder { partition: x.partition, offset: x.offset, reason: &x.reason })
        }
        ConfigItem::DeckRules(x) => Item::DeckRules(wire::DeckRules {
            deck: &x.deck,
            notice_days: x.notice_days,
            missing_blocked: x.missing_blocked,
            closed_codes_percent: x.closed_codes_percent,
            closed_minutes_percent: x.closed_minutes_percent,
            ratio_low_percent: x.ratio_low_percent,
            ratio_high_percent: x.ratio_high_percent,
            date_days: x.date_days,
            neighbour_percent: x.neighbour_percent,
            fall_percent: x.fall_percent,
        }),
        ConfigItem::DeckImport(x) => Item::DeckImport(import(x)),
        ConfigItem::FoldVersion(x) => Item::FoldVersion(wire::FoldVersion { version: x.version, from: x.from.0 }),
        ConfigItem::Area(x) => Item::Area(wire::Area { name: &x.name, prefixes: x.prefixes.clone() }),
    }
}

fn site(x: &SiteSettings) -> wire::SiteSettings<'_> {
    wire::SiteSettings {
        site: &x.site,
        legal_entity: &x.legal_entity,
        base_currency: x.base_currency,
        maximum_call_seconds: x.maximum_call_seconds,
        late_call_limit_days: x.late_call_limit_days,
        attempt_wait_seconds: x.attempt_wait_seconds,
        ner_codes: x.ner_codes.clone(),
    }
}

fn agreement(x: &Agreement) -> wire::Agreement<'_> {
    wire::Agreement {
        id: &x.id,
        account: &x.account,
        product: &x.product,
        side: x.side,
        deck: &x.deck,
        rated_at: x.rated_at,
        duration_rounding: x.duration_rounding,
        amount_rounding: x.amount_rounding,
        amount_decimals: x.amount_decimals,
        tax_percent: x.tax_percent,
        charge_gross: x.charge_gross,
        settings: settings_to_wire(&x.settings),
        valid_from: x.valid_from.map(|t| t.0),
        valid_until: x.valid_until.map(|t| t.0),
        taxes: x.taxes.iter().map(|t| wire::Tax { name: &t.name, percent: t.percent, rounding: t.rounding }).collect(),
    }
}

fn import(x: &DeckImport) -> wire::DeckImport<'_> {
    wire::DeckImport {
        id: &x.id,
        deck: &x.deck,
        state: x.state,
        base: x.base,
        version: x.version,
        kind: &x.kind,
        file: &x.file,
        file_hash: x.file_hash,
        product: &x.product,
        at: x.at.0,
        by: &x.by,
        reason: &x.reason,
        effective: x.effective.0,
        notice: x.notice.map(|at| at.0),
        causes: x.causes.iter().map(String::as_str).collect(),
        decided_by: &x.decided_by,
        decided_at: x.decided_at.map(|at| at.0),
        decision: &x.decision,
        terms: x.terms.as_ref().map(terms),
        chunks: x.chunks.clone(),
        rows: x.rows,
        claims: x.claims.clone(),
    }
}

fn rule(x: &IdentificationRule) -> wire::IdentificationRule<'_> {
    wire::IdentificationRule {
        switch: &x.switch,
        trunk: &x.trunk,
        ip: &x.ip,
        port: x.port,
        tech_prefix: &x.tech_prefix,
        digest_user: &x.digest_user,
        account: &x.account,
        valid_from: x.valid_from.map(|t| t.0),
        valid_until: x.valid_until.map(|t| t.0),
    }
}

fn trunk(x: &Trunk) -> wire::Trunk<'_> {
    wire::Trunk {
        id: &x.id,
        account: &x.account,
        product: &x.product,
        side: x.side,
        rules: x.rules.iter().map(rule).collect(),
        strip: texts(&x.strip),
    }
}

fn switch(x: &Switch) -> wire::Switch<'_> {
    wire::Switch {
        id: &x.id,
        format: &x.format,
        id_domain: &x.id_domain,
        time_zone: &x.time_zone,
        options: x.options.iter().map(|(name, value)| wire::SwitchOption { name, value }).collect(),
    }
}

fn root(x: &DeckRoot) -> wire::DeckRoot<'_> {
    wire::DeckRoot {
        id: &x.id,
        version: x.version,
        terms: terms(&x.terms),
        chunks: x.chunks.clone(),
        rows: x.rows,
        source: &x.source,
    }
}

fn band(x: &TimeBand) -> wire::TimeBand<'_> {
    wire::TimeBand { name: &x.name, days: texts(&x.days), from: x.from, until: x.until }
}

fn group(x: &OriginGroup) -> wire::OriginGroup<'_> {
    wire::OriginGroup { name: &x.name, prefixes: x.prefixes.clone(), malformed: x.malformed }
}

fn terms(x: &DeckTerms) -> wire::DeckTerms<'_> {
    wire::DeckTerms {
        currency: x.currency,
        time_zone: &x.time_zone,
        effective_zone: &x.effective_zone,
        holidays: texts(&x.holidays),
        band_crossing: x.band_crossing,
        interval_rule: x.interval_rule,
        rated_number: x.rated_number,
        indeterminate: x.indeterminate,
        time_bands: x.time_bands.iter().map(band).collect(),
        origin_groups: x.origin_groups.iter().map(group).collect(),
        settings: settings_to_wire(&x.settings),
        jurisdiction_from: x.jurisdiction_from,
    }
}
