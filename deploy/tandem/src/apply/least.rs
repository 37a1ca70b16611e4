//! Which agreements round the cheapest calls of their deck coarsely (design 4.1): said when deck or agreement is applied.

use crate::deck_life::foreign::exchange_at;
use crate::node::wall_micros;
use facts::config::{Agreement, Config, ConfigItem};
use facts::money::{Amount, Currency, Rounding};
use facts::number::Prefix;
use rating::least::{is_coarse, least_charge};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Warnings for the decks and agreements that these items bring, with them applied.
pub fn warnings(after: &Config, items: &[ConfigItem]) -> Vec<String> {
    let brought = |agreement: &&Agreement| {
        items.iter().any(|item| match item {
            ConfigItem::Deck(deck) => after.deck_of(agreement) == Some(&deck.id),
            ConfigItem::Agreement(new) => new.id == agreement.id,
            _ => false,
        })
    };
    let mut least = BTreeMap::new();
    after.agreements.values().filter(brought).filter_map(|agreement| warning(after, agreement, &mut least)).collect()
}

/// The same for the deck of this name as it is in force.
pub fn of_deck(config: &Config, deck: &str) -> Vec<String> {
    let root = config.decks.get(deck).and_then(|versions| versions.last());
    root.map_or_else(Vec::new, |root| warnings(config, &[ConfigItem::Deck(root.clone())]))
}

type Least = Option<(Amount, Prefix)>;

fn warning(config: &Config, agreement: &Agreement, known: &mut BTreeMap<SmolStr, Least>) -> Option<String> {
    if agreement.amount_rounding == Rounding::None {
        return None;
    }
    let id = config.deck_of(agreement)?;
    let deck_currency = config.decks.get(id)?.last()?.terms.currency;
    let currency = config.accounts.get(&agreement.account)?.currency;
    let (charge, prefix) = (*known.entry(id.clone()).or_insert_with(|| least(config, id)))?;
    let charge = exchanged(config, charge, deck_currency, currency)?;
    is_coarse(charge, agreement.amount_decimals).then(|| {
        format!(
            "warning: agreement {}: the cheapest call by deck {id}, to {prefix}, costs {charge} {currency}, less than ten \
             units of the {} decimals it is rounded to; raise amount_decimals",
            agreement.id, agreement.amount_decimals
        )
    })
}

/// The least charge of the deck's newest version.
fn least(config: &Config, id: &str) -> Least {
    let root = config.decks.get(id)?.last()?;
    let chunk = |hash: &[u8; 32]| config.chunks.get(hash).map(|bytes| &**bytes);
    let rows = root.chunks.iter().filter_map(|hash| schemas::deck_rows::rows(hash, &chunk).ok()).flatten();
    rows.filter_map(|row| Some((least_charge(&row, &root.terms.settings)?, row.prefix))).min()
}

fn exchanged(config: &Config, charge: Amount, from: Currency, to: Currency) -> Option<Amount> {
    if from == to {
        return Some(charge);
    }
    // The rate that counts today: what comes later changes the money by little, a warning by nothing.
    let rate = exchange_at(config, from, to, wall_micros())?;
    charge.0.checked_mul(i128::from(rate.rate)).map(|units| Amount(units / 100_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{deck_items, plan_items};
    use facts::Side;
    use facts::config::{Account, Carrier};
    use facts::deck::{DeckTerms, Price, Rate};

    #[test]
    fn an_agreement_that_rounds_the_cheapest_calls_away_is_warned_of() {
        let usd = Currency::new("USD").unwrap();
        let rows = ["0.0012", "0.3"].map(|price| {
            let prefix = Prefix::new(if price == "0.3" { "88" } else { "49" }).unwrap();
            Rate::simple(prefix, "Somewhere", 1, 1, price.parse::<Price>().unwrap())
        });
        let mut items = deck_items("az", DeckTerms::new(usd), rows.to_vec(), "a.csv", &Config::default()).unwrap();
        let carrier = Carrier { id: "acme".into(), name: "Acme".into(), contacts: vec![], tax_id: None };
        items.push(ConfigItem::Carrier(carrier));
        items.push(ConfigItem::Account(Account {
            id: "acme-usd".into(),
            carrier: "acme".into(),
            currency: usd,
            prepaid: false,
            credit_limit: Price(0),
            reseller: "".into(),
            unidentified: false,
        }));
        for (id, side, decimals) in [("coarse", Side::Sell, 5), ("fine", Side::Buy, 6)] {
            let agreement = Agreement::new(id, "acme-usd", side, "az");
            items.push(ConfigItem::Agreement(Agreement { amount_decimals: decimals, ..agreement }));
        }
        let plan = plan_items(items, &Config::default(), false, Vec::new()).unwrap();
        expect_test::expect![[r#"
            [
                "warning: agreement coarse: the cheapest call by deck az, to 49, costs 0.00002 USD, less than ten units of the 5 decimals it is rounded to; raise amount_decimals",
            ]
        "#]]
        .assert_debug_eq(&plan.warnings);
    }
}
