//! Avro records as configuration facts.

use crate::deck_rows::settings_to_facts;
use crate::wire::{self, ConfigItemItem as Item};
use facts::config::{
    Account, Agreement, Area, Carrier, ConfigItem, DeckImport, DeckRoot, DeckRules, ExchangeRate, FoldVersion,
    IdentificationRule, Product, SiteSettings, Switch, Tax, Trunk, VoidOrder,
};
use facts::deck::{DeckTerms, OriginGroup, Price, TimeBand};
use facts::{BookedAt, OccurredAt};
use smol_str::SmolStr;

fn words(list: &[&str]) -> Vec<SmolStr> {
    list.iter().map(SmolStr::new).collect()
}

pub(super) fn item(item: Item<'_>) -> ConfigItem {
    match item {
        Item::SiteSettings(x) => ConfigItem::Settings(site(x)),
        Item::Carrier(x) => ConfigItem::Carrier(Carrier {
            id: x.id.into(),
            name: x.name.to_owned(),
            contacts: x.contacts.iter().map(|&c| c.to_owned()).collect(),
            tax_id: x.tax_id.map(str::to_owned),
        }),
        Item::Account(x) => ConfigItem::Account(Account {
            id: x.id.into(),
            carrier: x.carrier.into(),
            currency: x.currency,
            prepaid: x.prepaid,
            credit_limit: Price(x.credit_limit),
            reseller: x.reseller.into(),
            unidentified: x.unidentified,
        }),
        Item::Product(x) => {
            ConfigItem::Product(Product { id: x.id.into(), name: x.name.to_owned(), deck: x.deck.into() })
        }
        Item::Agreement(x) => ConfigItem::Agreement(agreement(&x)),
        Item::Trunk(x) => ConfigItem::Trunk(trunk(&x)),
        Item::Switch(x) => ConfigItem::Switch(switch(&x)),
        Item::ExchangeRate(x) => ConfigItem::ExchangeRate(ExchangeRate {
            from: x.from,
            to: x.to,
            rate: x.rate,
            valid_from: OccurredAt(x.valid_from),
            source: x.source.to_owned(),
        }),
        Item::DeckRoot(x) => ConfigItem::Deck(root(x)),
        Item::DeckChunk(x) => ConfigItem::DeckChunk { hash: x.hash, rows: x.rows.to_vec() },
        Item::Removed(x) => ConfigItem::Removed { kind: x.kind.into(), id: x.id.into() },
        Item::Applied(x) => {
            ConfigItem::Applied { by: x.by.to_owned(), comment: x.comment.to_owned(), digest: x.digest }
        }
        Item::VoidOrder(x) => {
            ConfigItem::VoidOrder(VoidOrder { partition: x.partition, offset: x.offset, reason: x.reason.to_owned() })
        }
        Item::DeckRules(x) => ConfigItem::DeckRules(DeckRules {
            deck: x.deck.into(),
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
        Item::DeckImport(x) => ConfigItem::DeckImport(Box::new(import(x))),
        Item::FoldVersion(x) => ConfigItem::FoldVersion(FoldVersion { version: x.version, from: BookedAt(x.from) }),
        Item::Area(x) => ConfigItem::Area(Area { name: x.name.into(), prefixes: x.prefixes }),
    }
}

fn site(x: wire::SiteSettings<'_>) -> SiteSettings {
    SiteSettings {
        site: x.site.into(),
        legal_entity: x.legal_entity.into(),
        base_currency: x.base_currency,
        maximum_call_seconds: x.maximum_call_seconds,
        late_call_limit_days: x.late_call_limit_days,
        attempt_wait_seconds: x.attempt_wait_seconds,
        ner_codes: x.ner_codes,
    }
}

fn agreement(x: &wire::Agreement<'_>) -> Agreement {
    Agreement {
        id: x.id.into(),
        account: x.account.into(),
        product: x.product.into(),
        side: x.side,
        deck: x.deck.into(),
        rated_at: x.rated_at,
        duration_rounding: x.duration_rounding,
        amount_rounding: x.amount_rounding,
        amount_decimals: x.amount_decimals,
        tax_percent: x.tax_percent,
        charge_gross: x.charge_gross,
        settings: settings_to_facts(&x.settings),
        valid_from: x.valid_from.map(OccurredAt),
        valid_until: x.valid_until.map(OccurredAt),
        taxes: x.taxes.iter().map(|t| Tax { name: t.name.into(), percent: t.percent, rounding: t.rounding }).collect(),
    }
}

fn trunk(x: &wire::Trunk<'_>) -> Trunk {
    let rule = |r: &wire::IdentificationRule<'_>| IdentificationRule {
        switch: r.switch.into(),
        trunk: r.trunk.into(),
        ip: r.ip.into(),
        port: r.port,
        tech_prefix: r.tech_prefix.into(),
        digest_user: r.digest_user.into(),
        account: r.account.into(),
        valid_from: r.valid_from.map(OccurredAt),
        valid_until: r.valid_until.map(OccurredAt),
    };
    Trunk {
        id: x.id.into(),
        account: x.account.into(),
        product: x.product.into(),
        side: x.side,
        rules: x.rules.iter().map(rule).collect(),
        strip: words(&x.strip),
    }
}

fn switch(x: &wire::Switch<'_>) -> Switch {
    Switch {
        id: x.id.into(),
        format: x.format.into(),
        id_domain: x.id_domain.into(),
        time_zone: x.time_zone.into(),
        options: x.options.iter().map(|o| (o.name.to_owned(), o.value.to_owned())).collect(),
    }
}

fn root(x: wire::DeckRoot<'_>) -> DeckRoot {
    DeckRoot {
        id: x.id.into(),
        version: x.version,
        terms: terms(x.terms),
        chunks: x.chunks,
        rows: x.rows,
        source: x.source.to_owned(),
    }
}

fn import(x: wire::DeckImport<'_>) -> DeckImport {
    DeckImport {
        id: x.id.into(),
        deck: x.deck.into(),
        state: x.state,
        base: x.base,
        version: x.version,
        kind: x.kind.into(),
        file: x.file.to_owned(),
        file_hash: x.file_hash,
        product: x.product.into(),
        at: OccurredAt(x.at),
        by: x.by.to_owned(),
        reason: x.reason.to_owned(),
        effective: OccurredAt(x.effective),
        notice: x.notice.map(OccurredAt),
        causes: x.causes.iter().map(|&cause| cause.to_owned()).collect(),
        decided_by: x.decided_by.to_owned(),
        decided_at: x.decided_at.map(OccurredAt),
        decision: x.decision.to_owned(),
        terms: x.terms.map(terms),
        chunks: x.chunks,
        rows: x.rows,
        claims: x.claims,
    }
}

fn terms(x: wire::DeckTerms<'_>) -> DeckTerms {
    let band =
        |b: &wire::TimeBand<'_>| TimeBand { name: b.name.into(), days: words(&b.days), from: b.from, until: b.until };
    let group = |g: &wire::OriginGroup<'_>| OriginGroup {
        name: g.name.into(),
        prefixes: g.prefixes.clone(),
        malformed: g.malformed,
    };
    DeckTerms {
        currency: x.currency,
        time_zone: x.time_zone.into(),
        effective_zone: x.effective_zone.into(),
        holidays: words(&x.holidays),
        band_crossing: x.band_crossing,
        interval_rule: x.interval_rule,
        rated_number: x.rated_number,
        indeterminate: x.indeterminate,
        time_bands: x.time_bands.iter().map(band).collect(),
        origin_groups: x.origin_groups.iter().map(group).collect(),
        settings: settings_to_facts(&x.settings),
        jurisdiction_from: x.jurisdiction_from,
    }
}
