//! What a version changes, for people and programs: the difference by class with dates and prices, its money on past
//! traffic, what holds it, what looks wrong, which past calls it concerns. Writes nothing.

use super::traffic::Traffic;
use crate::ops::Answer;
use crate::output::Failure;
use crate::tables::{csv_line, table_of};
use console::source::Kind;
use decks::life::diff::{Change, day, each};
use decks::life::rows::ALWAYS;
use decks::life::{Class, Effect, Moment, Review, Rows, Warned, effect, review, warnings};
use facts::Amount;
use facts::config::DeckRules;
use facts::deck::{IntervalRule, Rate};
use facts::money::Currency;
use serde_json::{Value, json};

/// Changes, codes with other prices for past calls, and warnings that an answer lists one by one; a file has all.
pub const CHANGES_MAX: usize = 10_000;
/// Lines of one kind that people are shown.
pub const SHOWN: usize = 20;

/// A version beside the one before, with everything that is known about the step.
pub struct Weighed {
    pub review: Review,
    pub warnings: Warned,
    pub effect: Option<Effect>,
    pub currency: Currency,
    /// Why there is no effect.
    pub no_effect: String,
    pub days: u32,
}

/// Between which versions, and how.
pub struct Step<'a> {
    pub old: &'a Rows,
    pub new: &'a Rows,
    pub at: Moment,
    pub rule: IntervalRule,
    pub rules: &'a DeckRules,
    pub currency: Currency,
    pub days: u32,
}

impl Weighed {
    /// With the first `keep` changes.
    pub fn first(step: &Step<'_>, traffic: &Traffic, keep: usize) -> Result<Self, Failure> {
        let Step { old, new, at: moment, rule, rules, .. } = *step;
        let review = review(old, new, moment, rule, rules, keep);
        let warnings = warnings(old, new, moment.received, rule, rules, CHANGES_MAX);
        let (effect, no_effect) = match traffic {
            Traffic::None(why) => (None, why.clone()),
            Traffic::Lines(lines) => {
                let at = if review.last == ALWAYS { moment.now } else { review.last.max(moment.now) };
                (Some(effect(old, new, lines, at, rule).map_err(Failure::usage)?), String::new())
            }
        };
        Ok(Self { review, warnings, effect, currency: step.currency, no_effect, days: step.days })
    }

    /// The difference as a table and as JSON Lines: one object a change, the summary last.
    pub fn answer(&self, title: &str, more: Value) -> Answer {
        self.answer_with(title, Vec::new(), more)
    }

    /// The same with `others` before the summary.
    pub fn answer_with(&self, title: &str, others: Vec<Value>, more: Value) -> Answer {
        let rows: Vec<Vec<String>> = self.review.changes.iter().map(|change| self.cells(change)).collect();
        let mut notes = vec![title.to_owned()];
        notes.extend(self.notes());
        let mut behind = others;
        behind.push(self.summary(more));
        let json = Some(Value::Array(behind));
        Answer { json, rows_first: true, notes, ..Answer::of(table_of(&COLUMNS, rows)) }
    }

    fn summary(&self, more: Value) -> Value {
        let counts: serde_json::Map<String, Value> =
            self.review.counts.iter().map(|(class, count)| (class.as_str().replace(' ', "_"), json!(count))).collect();
        let warnings: Vec<Value> = self
            .warnings
            .first
            .iter()
            .map(|w| json!({ "prefix": w.prefix.to_string(), "destination": w.destination.as_str(), "text": w.text }))
            .collect();
        let backdated: Vec<Value> = self
            .review
            .backdated
            .iter()
            .take(CHANGES_MAX)
            .map(|b| json!({ "prefix": b.prefix.to_string(), "destination": b.destination.as_str(), "from": day(b.from), "until": day(b.until) }))
            .collect();
        let effect = self.effect.as_ref().map(|effect| {
            json!({
                "days": self.days, "calls": effect.calls, "seconds": effect.seconds, "currency": self.currency.to_string(),
                "old": effect.old.to_string(), "new": effect.new.to_string(), "difference": difference(effect),
                "calls_lost": effect.lost.0, "calls_gained": effect.gained.0,
            })
        });
        let mut summary = json!({
            "changes": self.review.total, "unchanged": self.review.unchanged, "counts": counts, "effect": effect,
            "no_effect": self.no_effect, "warnings": warnings, "warnings_in_all": self.warnings.total,
            "backdated": backdated, "backdated_in_all": self.review.backdated.len(),
        });
        if let (Value::Object(summary), Value::Object(more)) = (&mut summary, more) {
            summary.extend(more);
        }
        json!({ "summary": summary })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for class in Class::ALL {
            if let Some(count) = self.review.counts.get(&class) {
                notes.push(format!("{:>18}: {count}", class.as_str()));
            }
        }
        notes.push(format!("{:>18}: {}", "unchanged", self.review.unchanged));
        if self.review.total > self.review.changes.len() as u64 {
            notes.push(format!(
                "the first {} of {} changes are listed; all of them: --all-changes FILE",
                self.review.changes.len(),
                self.review.total
            ));
        }
        match &self.effect {
            None => notes.push(format!("money effect not known: {}", self.no_effect)),
            Some(effect) => notes.push(format!(
                "money effect on the last {} days' {} calls, all changes in force: {} {} instead of {}, {} more; {} calls \
                 would have no price, {} would have one again",
                self.days, effect.calls, self.currency, effect.new, effect.old, difference(effect), effect.lost.0, effect.gained.0
            )),
        }
        let shown = self
            .warnings
            .first
            .iter()
            .take(SHOWN)
            .map(|w| format!("warning: {} {} {}", w.prefix, w.destination, w.text));
        notes.extend(shown);
        let shown = self.warnings.first.len().min(SHOWN) as u64;
        if self.warnings.total > shown {
            notes.push(format!("... and {} more warnings; see them with --json", self.warnings.total - shown));
        }
        notes.extend(self.backdated_notes());
        notes
    }

    /// Past calls whose price is another now, and how they are chosen for re-rating.
    fn backdated_notes(&self) -> Vec<String> {
        let list = &self.review.backdated;
        let Some(from) = list.iter().map(|b| b.from).min() else { return Vec::new() };
        let until = list.iter().map(|b| b.until).max().unwrap_or(from);
        let mut notes = vec![format!(
            "{} codes have another price for past calls, from {} until {}; re-rate these calls:",
            list.len(),
            day(from),
            day(until)
        )];
        notes.extend(
            list.iter()
                .take(SHOWN)
                .map(|b| format!("  {} {} from {} until {}", b.prefix, b.destination, day(b.from), day(b.until))),
        );
        if list.len() > SHOWN {
            notes.push(format!(
                "  ... and {} more; see them with --json, all of them with --all-changes FILE",
                list.len() - SHOWN
            ));
        }
        notes
    }

    /// Every change as CSV, however many: the columns of the answer, and until when past calls have another price. The
    /// versions are compared once more instead of keeping a million changes.
    pub fn file(&self, step: &Step<'_>) -> String {
        let mut text = String::new();
        let keys = COLUMNS.iter().map(|(key, ..)| *key);
        csv_line(&mut text, &mut keys.chain(["past_until"]));
        each(step.old, step.new, ALWAYS, step.rule, &mut |changes| {
            for change in changes.drain(..) {
                let mut cells = self.cells(&change);
                let past = !step.old.is_empty() && change.from < step.at.now;
                cells.push(if past { day(change.until.min(step.at.now)) } else { String::new() });
                csv_line(&mut text, &mut cells.iter().map(String::as_str));
            }
        });
        text
    }

    fn cells(&self, change: &Change) -> Vec<String> {
        let price = |rate: &Option<Rate>| rate.as_ref().map(price_text).unwrap_or_default();
        let step = |rate: &Option<Rate>| {
            rate.as_ref().map(|rate| format!("{}/{}", rate.first_interval, rate.next_interval)).unwrap_or_default()
        };
        let covered = change.covered.as_ref();
        let money = self.effect.as_ref().and_then(|effect| effect.codes.get(&change.prefix));
        vec![
            change.prefix.to_string(),
            change.destination.to_string(),
            change.class.as_str().to_owned(),
            price(&change.old),
            price(&change.new),
            step(&change.old),
            step(&change.new),
            day(change.from),
            day(change.until),
            covered.map(|covered| covered.prefix.to_string()).unwrap_or_default(),
            covered.map(|covered| covered.rate.to_string()).unwrap_or_default(),
            money.map(|code| code.money.to_string()).unwrap_or_default(),
        ]
    }
}

/// The rate a minute; `first/next` where the first interval has another, `+ fee` where there is a connect fee.
pub(super) fn price_text(rate: &Rate) -> String {
    let mut text = rate.next_rate.to_string();
    if rate.first_rate != rate.next_rate {
        text = format!("{}/{text}", rate.first_rate);
    }
    if rate.connect_fee != Default::default() {
        text.push_str(&format!(" + {}", rate.connect_fee));
    }
    text
}

fn difference(effect: &Effect) -> String {
    Amount(effect.new.0.saturating_sub(effect.old.0)).to_string()
}

const COLUMNS: [(&str, &str, Kind); 12] = [
    ("prefix", "Code", Kind::Text),
    ("destination", "Destination", Kind::Text),
    ("change", "Change", Kind::Text),
    ("old_rate", "Old rate", Kind::Text),
    ("new_rate", "New rate", Kind::Text),
    ("old_increment", "Old incr.", Kind::Text),
    ("new_increment", "New incr.", Kind::Text),
    ("from", "From", Kind::Text),
    ("until", "Until", Kind::Text),
    ("other_code", "Other code", Kind::Text),
    ("other_rate", "Other rate", Kind::Money),
    ("money", "Money", Kind::Money),
];
