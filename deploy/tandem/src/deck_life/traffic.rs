//! Past calls as the weights of a change: which numbers, how long, how often, by account. Reads the reporting engine;
//! without one the change has no weight, and that is said.

use crate::node::Node;
use crate::ops;
use crate::output::Failure;
use decks::life::Line;
use facts::config::Config;
use facts::{Prefix, Side};
use reporting::block_on;
use reporting::reports;
use std::collections::BTreeSet;

const DAY: i64 = 86_400_000_000;
/// Most different calls (number, whole seconds, accounts) that are weighed.
const LINES_MAX: usize = 3_000_000;

/// The engine was asked and has none.
pub const NO_CALLS: &str = "no answered calls by this deck";

/// Calls of some past days, or why there are none.
pub enum Traffic {
    Lines(Vec<Line>),
    None(String),
}

impl Traffic {
    pub fn lines(&self) -> Option<&[Line]> {
        match self {
            Self::Lines(lines) => Some(lines),
            Self::None(_) => None,
        }
    }
}

/// Accounts that this deck prices, by side: their agreement names it, or names none and the product does.
pub fn accounts(config: &Config, deck: &str) -> BTreeSet<(Side, String)> {
    let mut found = BTreeSet::new();
    for agreement in config.agreements.values() {
        if config.deck_of(agreement).is_some_and(|named| named == deck) {
            found.insert((agreement.side, agreement.account.to_string()));
        }
    }
    found
}

/// The answered calls of the last `days` days before `now` that this deck prices.
pub fn of_deck(node: &Node, config: &Config, deck: &str, now: i64, days: u32) -> Result<Traffic, Failure> {
    let accounts = accounts(config, deck);
    if accounts.is_empty() {
        return Ok(Traffic::None(format!("no agreement names deck {deck:?}")));
    }
    let Ok(engine) = &node.engine else { return Ok(Traffic::None("there is no reporting engine".to_owned())) };
    let from = now.saturating_sub(i64::from(days).saturating_mul(DAY));
    let mut lines = Vec::new();
    for side in [Side::Sell, Side::Buy] {
        let names: Vec<String> = accounts.iter().filter(|(s, _)| *s == side).map(|(_, name)| quoted(name)).collect();
        if names.is_empty() {
            continue;
        }
        let mut session = engine.session();
        let bytes = block_on(reports::sql(&mut session, &query(side, &names, from, now), "TSV"));
        read(&bytes.map_err(Failure::broken)?, &mut lines)?;
        if lines.len() > LINES_MAX {
            let why = format!("more than {LINES_MAX} different calls; ask for fewer --days");
            return Ok(Traffic::None(why));
        }
    }
    if lines.is_empty() {
        return Ok(Traffic::None(format!("{NO_CALLS} in the last {days} days")));
    }
    Ok(Traffic::Lines(lines))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn query(side: Side, accounts: &[String], from: i64, until: i64) -> String {
    let (account, talk, answered) = match side {
        Side::Sell => ("customer", "talk_us", "is_final = 1 AND answered = 1"),
        Side::Buy => ("vendor", "leg_talk_us", "leg_answered = 1"),
    };
    format!(
        "SELECT substring(called, 1, 15) AS digits, intDiv({talk} + 999999, 1000000) AS seconds, customer, vendor, \
         sum(sign) AS calls FROM attempts WHERE {account} IN ({}) AND {answered} AND {talk} > 0 \
         AND started >= fromUnixTimestamp64Micro({from}) AND started < fromUnixTimestamp64Micro({until}) \
         GROUP BY digits, seconds, customer, vendor HAVING calls > 0 ORDER BY digits, seconds, customer, vendor LIMIT {}",
        accounts.join(", "),
        LINES_MAX + 1
    )
}

fn read(bytes: &[u8], lines: &mut Vec<Line>) -> Result<(), Failure> {
    let text = std::str::from_utf8(bytes).map_err(|e| Failure::Broken(format!("the engine's answer: {e}")))?;
    for line in text.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        let (digits, seconds, customer, vendor, calls) = (next(), next(), next(), next(), next());
        // A called number that is no number is priced by no code.
        let Ok(digits) = Prefix::new(digits) else { continue };
        let number =
            |text: &str| text.parse().map_err(|e| Failure::Broken(format!("the engine's answer: {line:?}: {e}")));
        let seconds = u32::try_from(number(seconds)?).unwrap_or(u32::MAX);
        lines.push(Line { digits, seconds, calls: number(calls)?, customer: customer.into(), vendor: vendor.into() });
    }
    Ok(())
}

/// An instant given by a flag, else `now`.
pub fn instant_or(field: &str, text: Option<&str>, now: i64) -> Result<i64, Failure> {
    Ok(ops::instant(field, text.unwrap_or_default())?.unwrap_or(now))
}
