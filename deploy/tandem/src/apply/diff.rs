//! What `tandem apply` would change: desired items against the configuration in force. Pure.

use facts::config::{Config, ConfigItem};
use std::collections::BTreeSet;
use std::fmt::Debug;

/// One change for people to look at before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub sign: Sign,
    pub kind: &'static str,
    pub id: String,
    /// Fields that differ, old and new; empty for new and removed things.
    pub fields: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    New,
    Changed,
    Removed,
}

impl Sign {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "+",
            Self::Changed => "~",
            Self::Removed => "-",
        }
    }
}

/// Name of an item's table.
pub fn kind(item: &ConfigItem) -> &'static str {
    match item {
        ConfigItem::Settings(_) => "site",
        ConfigItem::Carrier(_) => "carrier",
        ConfigItem::Account(_) => "account",
        ConfigItem::Product(_) => "product",
        ConfigItem::Agreement(_) => "agreement",
        ConfigItem::Trunk(_) => "trunk",
        ConfigItem::Switch(_) => "switch",
        ConfigItem::ExchangeRate(_) => "exchange_rate",
        ConfigItem::Deck(_) => "deck",
        ConfigItem::DeckChunk { .. } => "deck_chunk",
        ConfigItem::Removed { .. } => "removed",
        ConfigItem::Applied { .. } => "applied",
        ConfigItem::VoidOrder(_) => "void_order",
        ConfigItem::DeckRules(_) => "deck_rules",
        ConfigItem::DeckImport(_) => "deck_import",
        ConfigItem::Area(_) => "area",
        ConfigItem::FoldVersion(_) => "fold_version",
    }
}

/// The items that have to be written to get from `now` to `desired`, and the changes they mean. With `prune`, what
/// `desired` does not name is removed.
pub fn diff(now: &Config, desired: Vec<ConfigItem>, prune: bool) -> (Vec<ConfigItem>, Vec<Change>) {
    let mut write = Vec::new();
    let mut changes = Vec::new();
    let mut named = BTreeSet::new();
    for item in desired {
        let (kind, id) = (kind(&item), id(&item));
        let fields = match compare(now, &item) {
            Compared::New => Vec::new(),
            Compared::Same => {
                named.insert((kind, id));
                continue;
            }
            Compared::Changed(fields) => fields,
        };
        let sign = if fields.is_empty() { Sign::New } else { Sign::Changed };
        changes.push(Change { sign, kind, id: id.clone(), fields });
        named.insert((kind, id));
        write.push(item);
    }
    if prune {
        for (kind, id) in removable(now) {
            if !named.contains(&(kind, id.clone())) {
                changes.push(Change { sign: Sign::Removed, kind, id: id.clone(), fields: Vec::new() });
                write.push(ConfigItem::Removed { kind: kind.into(), id: id.into() });
            }
        }
    }
    (write, changes)
}

enum Compared {
    New,
    Same,
    Changed(Vec<String>),
}

fn compare(now: &Config, item: &ConfigItem) -> Compared {
    match item {
        ConfigItem::Settings(new) if now.seq == 0 => {
            let _ = new;
            Compared::New
        }
        ConfigItem::Settings(new) => pair(Some(&now.settings), new),
        ConfigItem::Carrier(new) => pair(now.carriers.get(&new.id), new),
        ConfigItem::Account(new) => pair(now.accounts.get(&new.id), new),
        ConfigItem::Product(new) => pair(now.products.get(&new.id), new),
        ConfigItem::Agreement(new) => pair(now.agreements.get(&new.id), new),
        ConfigItem::Trunk(new) => pair(now.trunks.get(&new.id), new),
        ConfigItem::Switch(new) => pair(now.switches.get(&new.id), new),
        ConfigItem::ExchangeRate(new) => {
            let same = |old: &&facts::config::ExchangeRate| {
                (old.from, old.to, old.valid_from) == (new.from, new.to, new.valid_from)
            };
            pair(now.exchange_rates.iter().find(same), new)
        }
        ConfigItem::Deck(new) => {
            let last = now.decks.get(&new.id).and_then(|versions| versions.last());
            match last {
                None => Compared::New,
                Some(old) if old.chunks == new.chunks && old.terms == new.terms => Compared::Same,
                Some(old) => Compared::Changed(vec![
                    format!("version {} -> {}", old.version, new.version),
                    format!("rows {} -> {}", old.rows, new.rows),
                ]),
            }
        }
        ConfigItem::DeckRules(new) => pair(now.deck_rules.get(&new.deck), new),
        ConfigItem::DeckImport(new) => pair(now.imports.get(&new.id), new),
        ConfigItem::FoldVersion(new) => pair(now.fold_versions.get(&new.version), &new.from),
        ConfigItem::Area(new) => pair(now.areas.get(&new.name), new),
        ConfigItem::VoidOrder(new) => match now.voids.get(&(new.partition, new.offset)) {
            None => Compared::New,
            Some(old) if *old == new.reason => Compared::Same,
            Some(old) => Compared::Changed(vec![format!("was {old:?}"), format!("now {:?}", new.reason)]),
        },
        ConfigItem::DeckChunk { .. } | ConfigItem::Removed { .. } | ConfigItem::Applied { .. } => Compared::New,
    }
}

fn pair<T: PartialEq + Debug>(old: Option<&T>, new: &T) -> Compared {
    match old {
        None => Compared::New,
        Some(old) if old == new => Compared::Same,
        Some(old) => Compared::Changed(changed_fields(&format!("{old:#?}"), &format!("{new:#?}"))),
    }
}

/// Lines of the pretty form that differ, `old -> new`.
fn changed_fields(old: &str, new: &str) -> Vec<String> {
    let before: BTreeSet<&str> = old.lines().map(str::trim).collect();
    let after: BTreeSet<&str> = new.lines().map(str::trim).collect();
    let mut fields: Vec<String> =
        before.difference(&after).map(|line| format!("was {}", line.trim_end_matches(','))).collect();
    fields.extend(after.difference(&before).map(|line| format!("now {}", line.trim_end_matches(','))));
    fields
}

fn id(item: &ConfigItem) -> String {
    match item {
        ConfigItem::Settings(x) => x.site.to_string(),
        ConfigItem::Carrier(x) => x.id.to_string(),
        ConfigItem::Account(x) => x.id.to_string(),
        ConfigItem::Product(x) => x.id.to_string(),
        ConfigItem::Agreement(x) => x.id.to_string(),
        ConfigItem::Trunk(x) => x.id.to_string(),
        ConfigItem::Switch(x) => x.id.to_string(),
        ConfigItem::ExchangeRate(x) => x.id(),
        ConfigItem::Deck(x) => x.id.to_string(),
        ConfigItem::DeckChunk { hash, .. } => hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
        ConfigItem::Removed { id, .. } => id.to_string(),
        ConfigItem::Applied { by, .. } => by.clone(),
        ConfigItem::DeckRules(x) => x.deck.to_string(),
        ConfigItem::DeckImport(x) => x.id.to_string(),
        ConfigItem::Area(x) => x.name.to_string(),
        ConfigItem::FoldVersion(x) => x.version.to_string(),
        ConfigItem::VoidOrder(x) => format!("call-events/{} offset {}", x.partition, x.offset),
    }
}

/// Everything that `prune` may remove: decks and exchange rates stay, past calls refer to them.
fn removable(now: &Config) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    all.extend(now.trunks.keys().map(|id| ("trunk", id.to_string())));
    all.extend(now.agreements.keys().map(|id| ("agreement", id.to_string())));
    all.extend(now.products.keys().map(|id| ("product", id.to_string())));
    all.extend(now.switches.keys().map(|id| ("switch", id.to_string())));
    all.extend(now.areas.keys().map(|name| ("area", name.to_string())));
    all.extend(now.deck_rules.keys().map(|id| ("deck_rules", id.to_string())));
    all
}

/// References that lead nowhere, in words; an empty list lets the configuration be written.
pub fn broken_references(config: &Config) -> Vec<String> {
    let mut broken = Vec::new();
    let mut missing = |kind: &str, id: &str, field: &str, target: &str, there: bool| {
        if !there {
            broken.push(format!("{kind} {id:?}: {field} {target:?} does not exist; add it or correct the name"));
        }
    };
    for account in config.accounts.values() {
        missing("account", &account.id, "carrier", &account.carrier, config.carriers.contains_key(&account.carrier));
        let reseller = &account.reseller;
        missing(
            "account",
            &account.id,
            "reseller",
            reseller,
            reseller.is_empty() || config.accounts.contains_key(reseller),
        );
    }
    for deck in config.deck_rules.keys() {
        missing("deck_rules", deck, "deck", deck, deck.is_empty() || config.decks.contains_key(deck));
    }
    for product in config.products.values() {
        let deck = &product.deck;
        missing("product", &product.id, "deck", deck, deck.is_empty() || config.decks.contains_key(deck));
    }
    for agreement in config.agreements.values() {
        let (id, product, deck) = (&agreement.id, &agreement.product, &agreement.deck);
        missing("agreement", id, "account", &agreement.account, config.accounts.contains_key(&agreement.account));
        missing("agreement", id, "product", product, product.is_empty() || config.products.contains_key(product));
        missing("agreement", id, "deck", deck, deck.is_empty() || config.decks.contains_key(deck));
    }
    for trunk in config.trunks.values() {
        let product = &trunk.product;
        missing("trunk", &trunk.id, "account", &trunk.account, config.accounts.contains_key(&trunk.account));
        missing("trunk", &trunk.id, "product", product, product.is_empty() || config.products.contains_key(product));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::config::Carrier;

    fn carrier(id: &str, name: &str) -> ConfigItem {
        ConfigItem::Carrier(Carrier { id: id.into(), name: name.into(), contacts: vec![], tax_id: None })
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let mut now = Config { seq: 1, ..Config::default() };
        let (write, changes) = diff(&now, vec![carrier("acme", "Acme"), carrier("bell", "Bell")], false);
        assert_eq!((write.len(), changes.len()), (2, 2));
        write.into_iter().for_each(|item| now.apply(item));
        let (write, changes) = diff(&now, vec![carrier("acme", "Acme Ltd"), carrier("bell", "Bell")], false);
        assert_eq!(write, [carrier("acme", "Acme Ltd")]);
        assert_eq!(changes[0].fields, ["was name: \"Acme\"", "now name: \"Acme Ltd\""]);
    }

    #[test]
    fn a_name_that_leads_nowhere_is_refused() {
        let mut now = Config::default();
        now.apply(ConfigItem::Product(facts::config::Product {
            id: "p".into(),
            name: "P".into(),
            deck: "nope".into(),
        }));
        assert_eq!(
            broken_references(&now),
            ["product \"p\": deck \"nope\" does not exist; add it or correct the name"]
        );
    }
}
