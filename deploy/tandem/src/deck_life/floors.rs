//! After a buy deck changes: which customers' codes would be sold below cost, by the calls there were. Finds the decks
//! behind the accounts; what is below cost is `decks::life::floors`.

use super::foreign::exchange_at;
use super::rows_of;
use crate::output::Failure;
use decks::life::diff::day;
use decks::life::{Buying, Floor, Line, Priced, Rows, floors};
use facts::Side;
use facts::config::{Agreement, Config, DeckRoot};
use facts::deck::IntervalRule;
use facts::money::Currency;
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// What a change of a buy deck does to what is sold.
#[derive(Default)]
pub struct Sold {
    pub floors: Vec<Floor>,
    /// Decks in a currency without an exchange rate to the buy deck's.
    pub skipped: BTreeSet<SmolStr>,
}

/// The version in question.
pub struct Change<'a> {
    pub deck: &'a str,
    pub currency: Currency,
    pub rule: IntervalRule,
    pub old: &'a Rows,
    pub new: &'a Rows,
    /// When all of it is in force.
    pub at: i64,
    pub now: i64,
    pub days: u32,
}

/// A deck with its rows, as others are priced by it.
struct Loaded {
    id: SmolStr,
    rows: Rows,
    rule: IntervalRule,
    exchange: i64,
    notice_days: u32,
}

impl Loaded {
    fn of(config: &Config, root: &DeckRoot, into: Currency, now: i64) -> Result<Option<Self>, Failure> {
        let Some(exchange) = exchange(config, root.terms.currency, into, now) else { return Ok(None) };
        let rows = rows_of(config, &root.chunks)?;
        let notice_days = config.rules_of(&root.id).notice_days;
        Ok(Some(Self { id: root.id.clone(), rows, rule: root.terms.interval_rule, exchange, notice_days }))
    }

    fn priced(&self) -> Priced<'_> {
        let Self { id, rows, rule, exchange, notice_days } = self;
        Priced { name: id, rows, rule: *rule, exchange: *exchange, notice_days: *notice_days }
    }
}

/// Units of `to` for one of `from`, in 10^-8, as they stand at an instant.
pub fn exchange(config: &Config, from: Currency, to: Currency, at: i64) -> Option<i64> {
    if from == to {
        return Some(100_000_000);
    }
    exchange_at(config, from, to, at).map(|x| x.rate)
}

fn root_of<'a>(config: &'a Config, agreement: &'a Agreement) -> Option<&'a DeckRoot> {
    config.decks.get(config.deck_of(agreement)?)?.last()
}

/// Looks at the customers of these calls; nothing where nobody buys by this deck.
pub fn sold(config: &Config, change: &Change<'_>, lines: &[Line]) -> Result<Sold, Failure> {
    let mut sold = Sold::default();
    let buys = |agreement: &&Agreement| agreement.side == Side::Buy;
    let mut others = BTreeMap::new();
    let mut ours = false;
    for root in config.agreements.values().filter(buys).filter_map(|agreement| root_of(config, agreement)) {
        ours |= root.id == change.deck;
        if root.id != change.deck && !others.contains_key(&root.id) {
            match Loaded::of(config, root, change.currency, change.now)? {
                Some(loaded) => drop(others.insert(root.id.clone(), loaded)),
                None => drop(sold.skipped.insert(root.id.clone())),
            }
        }
    }
    if !ours {
        return Ok(Sold::default());
    }
    let customers: BTreeSet<&SmolStr> = lines.iter().map(|line| &line.customer).collect();
    let (mut decks, mut deck_by_customer) = (BTreeMap::new(), BTreeMap::new());
    for agreement in config.agreements.values().filter(|a| a.side == Side::Sell && customers.contains(&a.account)) {
        let Some(root) = root_of(config, agreement) else { continue };
        if !decks.contains_key(&root.id) {
            match Loaded::of(config, root, change.currency, change.now)? {
                Some(loaded) => drop(decks.insert(root.id.clone(), loaded)),
                None => drop(sold.skipped.insert(root.id.clone())),
            }
        }
        deck_by_customer.insert(agreement.account.as_str(), &root.id);
    }
    let name = SmolStr::from(change.deck);
    let new = Priced { name: &name, rows: change.new, rule: change.rule, exchange: 100_000_000, notice_days: 0 };
    let others: Vec<Priced<'_>> = others.values().map(Loaded::priced).collect();
    let (at, now, days) = (change.at, change.now, change.days);
    let buying = Buying { old: change.old, new, others: &others, at, now, days };
    let by = |customer: &str| deck_by_customer.get(customer).and_then(|deck| decks.get(*deck)).map(Loaded::priced);
    sold.floors = floors(&buying, lines, &by).map_err(Failure::usage)?;
    Ok(sold)
}

impl Sold {
    pub fn json(&self) -> Value {
        let floor = |f: &Floor| {
            json!({
                "customer": f.customer.as_str(), "deck": f.deck.as_str(), "prefix": f.prefix.to_string(),
                "destination": f.destination.as_str(), "calls": f.calls, "seconds": f.seconds,
                "revenue": f.revenue.to_string(), "old_cost": f.old_cost.to_string(), "new_cost": f.new_cost.to_string(),
                "from": day(f.from), "raise": day(f.raise), "loss_until_raise": f.loss.to_string(),
                "other": f.other.as_ref().map(|(deck, cost)| json!({ "deck": deck.as_str(), "cost": cost.to_string() })),
            })
        };
        self.floors.iter().map(floor).collect()
    }

    pub fn notes(&self, currency: Currency, shown: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.floors.is_empty() {
            notes.push(format!(
                "{} customers' codes would be sold below cost, amounts in {currency}:",
                self.floors.len()
            ));
        }
        for f in self.floors.iter().take(shown) {
            let way = match &f.other {
                Some((deck, cost)) => format!("reroute ({deck} costs {cost}) or block"),
                None => "block".to_owned(),
            };
            notes.push(format!(
                "  {} {} {}: sold for {}, costs {} from {}; the price can be raised on {}, until then {} are lost, or {way}",
                f.customer, f.prefix, f.destination, f.revenue, f.new_cost, day(f.from), day(f.raise), f.loss
            ));
        }
        if self.floors.len() > shown {
            notes.push(format!("  ... and {} more; see them all with --json", self.floors.len() - shown));
        }
        for deck in &self.skipped {
            notes.push(format!("deck {deck} is not compared: there is no exchange rate into {currency}"));
        }
        notes
    }
}
