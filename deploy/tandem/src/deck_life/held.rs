//! What an import that waits for a second person would change: its rows beside the version that it was made for. Decides
//! nothing; the word is `import::decide`'s.

use super::rows_of;
use super::told::Told;
use super::traffic;
use super::weigh::{Step, Weighed};
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use decks::life::{Moment, Rows};
use facts::config::ImportState;
use serde_json::json;

/// Compares a held import with the version that it was made for.
pub fn compare(node: &Node, id: &str, days: u32, now: i64, told: &Told) -> Result<Answer, Failure> {
    let config = node.config.current();
    let held = config.imports.get(id).filter(|import| import.state == ImportState::Held);
    let held = held.ok_or_else(|| Failure::Usage(format!("import {id:?} is not held (any more)")))?;
    let terms = held.terms.as_ref().ok_or_else(|| Failure::Broken(format!("import {id} holds no terms")))?;
    told.stage("reading both versions");
    let base = config.decks.get(&held.deck).and_then(|versions| versions.iter().find(|root| root.version == held.base));
    let old = base.map_or(Ok(Rows::new()), |base| rows_of(&config, &base.chunks))?;
    let new = rows_of(&config, &held.chunks)?;
    told.stage("comparing, weighed by past traffic");
    let traffic = traffic::of_deck(node, &config, &held.deck, now, days)?;
    let (rules, at) = (config.rules_of(&held.deck), Moment { now, received: held.effective.0 });
    let (currency, rule) = (terms.currency, terms.interval_rule);
    let step = Step { old: &old, new: &new, at, rule, rules: &rules, currency, days };
    let weighed = Weighed::first(&step, &traffic, told.changes)?;
    let title = format!("import {id} beside version {}", held.base);
    Ok(weighed.answer(&title, json!({ "import": id, "causes": held.causes })))
}
