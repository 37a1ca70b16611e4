//! `tandem config rollback`: the items that bring an older version of the configuration back, as a new version. Pure.
//!
//! Carriers, accounts and decks that came later stay, because calls since then refer to them; so do void orders. A
//! deck's rows come back as a new version of it.

use super::diff::{Change, Sign};
use facts::config::{Config, ConfigItem, DeckRoot};

/// Everything that was in force in `then`, as items for [`super::plan_items`] with pruning.
pub fn items(now: &Config, then: &Config) -> Vec<ConfigItem> {
    let mut items = vec![ConfigItem::Settings(then.settings.clone())];
    items.extend(then.carriers.values().cloned().map(ConfigItem::Carrier));
    items.extend(then.accounts.values().cloned().map(ConfigItem::Account));
    items.extend(then.decks.values().filter_map(|versions| versions.last()).map(|old| deck(now, old)));
    items.extend(then.products.values().cloned().map(ConfigItem::Product));
    items.extend(then.agreements.values().cloned().map(ConfigItem::Agreement));
    items.extend(then.trunks.values().cloned().map(ConfigItem::Trunk));
    items.extend(then.switches.values().cloned().map(ConfigItem::Switch));
    items.extend(then.areas.values().cloned().map(ConfigItem::Area));
    items.extend(then.deck_rules.values().cloned().map(ConfigItem::DeckRules));
    items.extend(then.exchange_rates.iter().cloned().map(ConfigItem::ExchangeRate));
    items
}

/// Exchange rates that were not there: they would go on pricing calls otherwise.
pub fn later_exchange_rates(now: &Config, then: &Config) -> Vec<(ConfigItem, Change)> {
    let later = now.exchange_rates.iter().map(|rate| rate.id());
    later
        .filter(|id| then.exchange_rates.iter().all(|rate| rate.id() != *id))
        .map(|id| {
            let kind = "exchange_rate";
            let change = Change { sign: Sign::Removed, kind, id: id.clone(), fields: Vec::new() };
            (ConfigItem::Removed { kind: kind.into(), id: id.into() }, change)
        })
        .collect()
}

fn deck(now: &Config, old: &DeckRoot) -> ConfigItem {
    let last = now.decks.get(&old.id).and_then(|versions| versions.last()).map_or(0, |root| root.version);
    let source = format!("rollback to version {} ({})", old.version, old.source);
    ConfigItem::Deck(DeckRoot { version: last + 1, source, ..old.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{diff, plan_items};
    use facts::config::{ExchangeRate, SiteSettings};
    use facts::deck::{DeckTerms, Price, Rate};
    use facts::{Currency, OccurredAt, Prefix};

    fn config(rate: i64, dollars: i64) -> Config {
        let usd = Currency::new("USD").unwrap();
        let mut config = Config { seq: 1, ..Config::default() };
        config.apply(ConfigItem::Settings(SiteSettings::default()));
        let rows = vec![Rate::simple(Prefix::new("49").unwrap(), "Germany", 60, 1, Price(rate))];
        for item in crate::apply::deck_items("az", DeckTerms::new(usd), rows, "a.csv", &config).unwrap() {
            config.apply(item);
        }
        config.apply(ConfigItem::ExchangeRate(ExchangeRate {
            from: usd,
            to: Currency::new("EUR").unwrap(),
            rate: dollars,
            valid_from: OccurredAt(dollars),
            source: "ECB".to_owned(),
        }));
        config
    }

    #[test]
    fn a_rollback_brings_back_rows_and_exchange_rates_as_a_new_version() {
        let then = config(100, 90_000_000);
        let mut now = then.clone();
        for item in [config(200, 80_000_000).decks["az"][0].clone()].map(|root| DeckRoot { version: 2, ..root }) {
            now.apply(ConfigItem::Deck(item));
        }
        now.chunks.extend(config(200, 1).chunks);
        now.apply(ConfigItem::ExchangeRate(config(100, 80_000_000).exchange_rates[0].clone()));
        let mut plan = plan_items(items(&now, &then), &now, true, Vec::new()).unwrap();
        let (removed, changes): (Vec<_>, Vec<_>) = later_exchange_rates(&now, &then).into_iter().unzip();
        plan.items.extend(removed);
        plan.changes.extend(changes);
        let told: Vec<_> = plan.changes.iter().map(|change| (change.sign, change.kind)).collect();
        assert_eq!(told, [(diff::Sign::Changed, "deck"), (diff::Sign::Removed, "exchange_rate")]);
        let mut after = now.clone();
        plan.items.into_iter().for_each(|item| after.apply(item));
        assert_eq!(after.exchange_rates, then.exchange_rates);
        let versions: Vec<_> = after.decks["az"].iter().map(|root| (root.version, &root.chunks)).collect();
        assert_eq!(versions.len(), 3, "no version is lost");
        assert_eq!(versions[2], (3, versions[0].1));
        assert!(plan_items(items(&after, &then), &after, true, Vec::new()).unwrap().changes.is_empty());
    }
}
