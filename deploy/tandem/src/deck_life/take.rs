//! Rows into the next version of a deck, wherever they come from (a carrier's file, a recipe): merged, weighed, held or
//! written. All or nothing: one configuration version holds rows, version and the record of who did it and why.

use super::floors::{self, Sold};
use super::foreign::Foreign;
use super::letter::{Letter, short_notice};
use super::notices;
use super::rows_of;
use super::told::Told;
use super::traffic::{self, Traffic};
use super::weigh::{Step, Weighed};
use crate::apply;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use decks::life::{Kind, Merged, Missing, Moment, Plan, Rows, dispute, merge};
use facts::config::{Config, ConfigItem, DeckImport, DeckRules, ImportState};
use facts::deck::DeckTerms;
use facts::{Amount, OccurredAt};
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::path::PathBuf;

const DAY: i64 = 86_400_000_000;
const WEEK: u32 = 7;
/// Longest notice, days.
const NOTICE_DAYS_MAX: u32 = 3_660;

/// What increases before the end of their notice are.
pub enum Claims {
    /// The vendor's: his dates are kept, a letter rejects them.
    Kept { letter: Option<PathBuf> },
    /// Ours: they wait, and so do codes that close where the customers have notice of that too.
    Wait { closings: bool },
}

/// Rows that are to become a version.
pub struct Incoming<'a> {
    pub deck: &'a str,
    pub terms: DeckTerms,
    pub rows: &'a Rows,
    pub kind: Kind,
    /// The word in the record: `az`, `partial`, `make`.
    pub word: SmolStr,
    /// From when rows without a date count; what is missing ends then.
    pub effective: i64,
    /// From when a notice counts.
    pub notified: i64,
    pub days: u32,
    /// Where they come from, for people.
    pub file: String,
    pub file_hash: [u8; 32],
    pub product: SmolStr,
    pub by: &'a str,
    pub reason: &'a str,
    /// Rows at price 0.
    pub zero: u64,
    /// What holds it beside the deck's rules.
    pub causes: Vec<String>,
    pub claims: Claims,
    /// Where every change is written.
    pub all_changes: Option<PathBuf>,
    pub foreign: Option<&'a Foreign>,
    /// JSON lines of the answer before its summary, and further fields of that.
    pub lines: Vec<Value>,
    pub more: Value,
}

/// Merges and weighs rows; with `write` they become the next version, or are held. `notes` stand behind the changes.
pub fn take(
    node: &Node,
    config: &Config,
    mut incoming: Incoming<'_>,
    notes: Vec<String>,
    write: bool,
    now: i64,
    told: &Told,
) -> Result<Answer, Failure> {
    person(incoming.by)?;
    let last = config.decks.get(incoming.deck).and_then(|versions| versions.last());
    let rules = config.rules_of(incoming.deck);
    let mut plan = plan(incoming.kind, incoming.effective, incoming.notified, &rules, &incoming.terms)?;
    if matches!(incoming.claims, Claims::Wait { closings: true }) {
        plan.closes = plan.notice;
    }
    let previous = config.last_import(incoming.deck);
    told.stage("comparing with the version in force");
    let old = last.map_or(Ok(Rows::new()), |last| rows_of(config, &last.chunks))?;
    let known_claims = previous.map_or(Ok(Rows::new()), |import| rows_of(config, &import.claims))?;
    let mut merged = merge(&old, &known_claims, incoming.rows, &plan);
    told.stage("weighing by past traffic");
    let traffic = traffic::of_deck(node, config, incoming.deck, now, incoming.days)?;
    let (currency, rule) = (incoming.terms.currency, plan.rule);
    let at = Moment { now, received: plan.effective };
    let step = Step { old: &old, new: &merged.rows, at, rule, rules: &rules, currency, days: incoming.days };
    let weighed = Weighed::first(&step, &traffic, told.changes)?;
    let all_changes = incoming.all_changes.take().map(|path| (path, weighed.file(&step)));
    let causes = causes(node, config, &incoming, &step, &weighed, &traffic)?;
    let contract = Contract::of(&known_claims, &merged, &old, incoming.rows, &plan, &traffic, incoming.days)?;
    let record = DeckImport {
        state: if causes.is_empty() { ImportState::Applied } else { ImportState::Held },
        base: last.map_or(0, |last| last.version),
        kind: incoming.word.clone(),
        file: incoming.file.clone(),
        file_hash: incoming.file_hash,
        product: incoming.product.clone(),
        effective: OccurredAt(plan.effective),
        notice: plan.notice.map(OccurredAt),
        causes,
        rows: merged.rows.len() as u64,
        ..new_record(config, incoming.deck, incoming.by, incoming.reason, now)
    };
    let sold = match traffic.lines() {
        None => Sold::default(),
        Some(lines) => {
            let at = weighed.review.last.max(now);
            let (deck, old, new, days) = (incoming.deck, &old, &merged.rows, incoming.days);
            floors::sold(config, &floors::Change { deck, currency, rule, old, new, at, now, days }, lines)?
        }
    };
    let more = summary(&record, &contract, &sold, &weighed, &incoming);
    let title = format!("import {} of {} into deck {}", record.id, record.file, incoming.deck);
    let mut answer = weighed.answer_with(&title, std::mem::take(&mut incoming.lines), more);
    answer.files.extend(all_changes);
    answer.notes.extend(notes);
    if let Some(foreign) = incoming.foreign {
        let (changes, effect) = (&weighed.review.changes, weighed.effect.as_ref());
        answer.notes.extend(foreign.notes(changes, effect, super::weigh::SHOWN));
    }
    contract.note(&mut answer, currency, &incoming.claims);
    answer.notes.extend(closing(&plan, &weighed));
    answer.notes.extend(sold.notes(currency, super::weigh::SHOWN));
    if weighed.review.total == 0 {
        answer.notes.push(format!("{} changes nothing; there is nothing to import", incoming.file));
        return Ok(answer);
    }
    answer.differs = record.state == ImportState::Held;
    held_notes(&record, write, &mut answer);
    let (letter, terms) = (incoming.claims, incoming.terms);
    match letter {
        Claims::Wait { .. } => merged.claims = Rows::new(),
        Claims::Kept { .. } if contract.new_claims.is_empty() => {}
        Claims::Kept { letter } => {
            let (we, dispute) = (config.settings.legal_entity.as_str(), contract.dispute);
            let text = Letter { import: &record, we, notice_days: rules.notice_days, currency, dispute };
            let name = format!("short-notice-{}.txt", record.id.replace('/', "-"));
            let text = short_notice(&text, &old, &contract.new_claims);
            answer.files.push((letter.unwrap_or_else(|| name.into()), text));
        }
    }
    if write {
        // The version in force is not needed any more; the next one is written from its own rows.
        drop(old);
        told.stage("writing");
        let seq = write_import(node, config, record, terms, merged)?;
        answer.notes.push(format!("written as configuration version {seq}"));
        let after = node.config.current();
        answer.notes.extend(apply::least::of_deck(&after, incoming.deck));
        let in_force = !answer.differs;
        answer.notes.extend(notices::untold(&after, incoming.deck, now).filter(|_| in_force));
    }
    Ok(answer)
}

/// Whoever answers for a version has a name.
pub fn person(by: &str) -> Result<(), Failure> {
    match by.trim().is_empty() {
        true => Err(Failure::Usage("--by: say who does it; another person has to approve what is held".to_owned())),
        false => Ok(()),
    }
}

/// The record of something taken in now, under the deck's next number.
pub fn new_record(config: &Config, deck: &str, by: &str, reason: &str, now: i64) -> DeckImport {
    let number = config.imports.values().filter(|import| import.deck == deck).count() + 1;
    DeckImport {
        id: format!("{deck}/{number}").into(),
        deck: deck.into(),
        state: ImportState::Held,
        base: 0,
        version: 0,
        kind: SmolStr::default(),
        file: String::new(),
        file_hash: [0; 32],
        product: SmolStr::default(),
        at: OccurredAt(now),
        by: by.to_owned(),
        reason: reason.to_owned(),
        effective: OccurredAt(now),
        notice: None,
        causes: Vec::new(),
        decided_by: String::new(),
        decided_at: None,
        decision: String::new(),
        terms: None,
        chunks: Vec::new(),
        rows: 0,
        claims: Vec::new(),
    }
}

/// How a version is merged by the deck's rules; a notice counts from `notified`.
pub fn plan(kind: Kind, effective: i64, notified: i64, rules: &DeckRules, terms: &DeckTerms) -> Result<Plan, Failure> {
    if rules.notice_days > NOTICE_DAYS_MAX {
        return Err(Failure::Usage(format!("notice of {} days is above {NOTICE_DAYS_MAX}", rules.notice_days)));
    }
    let notice = notified.checked_add(i64::from(rules.notice_days) * DAY);
    Ok(Plan {
        kind,
        missing: if rules.missing_blocked { Missing::Blocked } else { Missing::Discontinued },
        effective,
        notice: notice.filter(|_| rules.notice_days > 0),
        closes: None,
        rule: terms.interval_rule,
    })
}

/// What holds this version; the rule about minutes looks at a week, whatever was asked for.
fn causes(
    node: &Node,
    config: &Config,
    incoming: &Incoming<'_>,
    step: &Step<'_>,
    weighed: &Weighed,
    traffic: &Traffic,
) -> Result<Vec<String>, Failure> {
    let of_week;
    let week = if incoming.days == WEEK {
        traffic.lines()
    } else {
        of_week = traffic::of_deck(node, config, incoming.deck, step.at.now, WEEK)?;
        of_week.lines()
    };
    let mut causes = weighed.review.causes(step.old, week, step.at.received, step.rules, incoming.zero);
    causes.extend(incoming.causes.iter().cloned());
    Ok(causes)
}

/// The contract's dates beside the carrier's.
struct Contract {
    new_claims: Rows,
    dispute: Option<Amount>,
}

impl Contract {
    #[allow(clippy::too_many_arguments, reason = "two versions, two sets of claims and the traffic that weighs them")]
    fn of(
        known: &Rows,
        merged: &Merged,
        old: &Rows,
        file: &Rows,
        plan: &Plan,
        traffic: &Traffic,
        days: u32,
    ) -> Result<Self, Failure> {
        let mut new_claims = Rows::new();
        for claim in merged.claims.iter() {
            let before = known.of_prefix(claim.prefix());
            let mut same = before
                .filter(|was| was.same(claim) && (was.row.from, was.row.until) == (claim.row.from, claim.row.until));
            if same.next().is_none() {
                new_claims.push_between(claim, claim.row.from, claim.row.until);
            }
        }
        new_claims.finish();
        let dispute = match traffic.lines() {
            Some(lines) if !new_claims.is_empty() => {
                let claimed = merge(old, known, file, &Plan { notice: None, ..*plan }).rows;
                Some(dispute(&merged.rows, &claimed, lines, plan.effective, days, plan.rule).map_err(Failure::usage)?)
            }
            _ => None,
        };
        Ok(Self { new_claims, dispute })
    }

    fn note(&self, answer: &mut Answer, currency: facts::money::Currency, claims: &Claims) {
        if self.new_claims.is_empty() {
            return;
        }
        if matches!(claims, Claims::Wait { .. }) {
            self.waiting(answer);
            return;
        }
        let money = match self.dispute {
            Some(amount) => format!("expected dispute by the past days' traffic: {currency} {amount}"),
            None => "expected dispute not known without traffic".to_owned(),
        };
        answer.notes.push(format!(
            "{} increases come before the contract's notice: they count from the contract's date, his is kept; {money}; a letter that rejects his dates is written beside the version",
            self.new_claims.len()
        ));
    }
}

impl Contract {
    /// Increases of ours that wait for the end of the customers' notice: until then the old price counts.
    fn waiting(&self, answer: &mut Answer) {
        let shown = super::weigh::SHOWN;
        answer.notes.push(format!(
            "{} increases wait for the end of the customers' notice; until then these codes are sold at the old price:",
            self.new_claims.len()
        ));
        answer.notes.extend(self.new_claims.iter().take(shown).map(|claim| {
            let until = decks::life::diff::day(claim.row.until);
            format!("  {} {} at {} from {until}", claim.prefix(), claim.destination(), claim.row.next_rate)
        }));
        if self.new_claims.len() > shown {
            answer
                .notes
                .push(format!("  ... and {} more; all dates are in the changes", self.new_claims.len() - shown));
        }
    }
}

/// Codes that are sold on until the customers' notice of their end has run.
fn closing(plan: &Plan, weighed: &Weighed) -> Option<String> {
    let closes = plan.closes.filter(|closes| *closes > plan.effective)?;
    let count = weighed.review.ends.get(&closes).copied().unwrap_or(0);
    let day = decks::life::diff::day(closes);
    (count > 0)
        .then(|| format!("{count} codes close when the customers' notice has run, on {day}; they are sold until then"))
}

fn summary(record: &DeckImport, contract: &Contract, sold: &Sold, weighed: &Weighed, incoming: &Incoming<'_>) -> Value {
    let state = if weighed.review.total == 0 { "nothing" } else { record.state.as_str() };
    let mut all = json!({
        "import": record.id.as_str(), "state": state, "causes": record.causes, "base": record.base,
        "short_notice": contract.new_claims.len(),
        "below_cost": sold.json(),
        "expected_dispute": contract.dispute.map(|amount| amount.to_string()),
        "foreign": incoming.foreign.map(|foreign| foreign.json(weighed.effect.as_ref())),
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, &incoming.more) {
        all.extend(more.clone());
    }
    all
}

fn held_notes(record: &DeckImport, write: bool, answer: &mut Answer) {
    if record.state != ImportState::Held {
        return;
    }
    let verb = if write { "is held" } else { "will be held" };
    answer.notes.push(format!("this import {verb} for a second person, because"));
    answer.notes.extend(record.causes.iter().map(|cause| format!("  {cause}")));
    let id = &record.id;
    answer.notes.push(format!(
        "another person decides: tandem deck approve {id} --by NAME, or tandem deck reject {id} --by NAME"
    ));
}

fn write_import(
    node: &Node,
    config: &Config,
    mut record: DeckImport,
    terms: DeckTerms,
    merged: Merged,
) -> Result<u64, Failure> {
    let rates = merged.rows.into_rates();
    let (root, mut items) = apply::version_items(&record.deck, terms, rates, &source(&record), config)?;
    let claims = schemas::deck_rows::split(&merged.claims.rates()).map_err(Failure::usage)?;
    record.claims = claims.iter().map(|(hash, _)| *hash).collect();
    items.extend(claims.into_iter().map(|(hash, rows)| ConfigItem::DeckChunk { hash, rows }));
    if record.state == ImportState::Held {
        (record.terms, record.chunks, record.rows) = (Some(root.terms), root.chunks, root.rows);
    } else {
        record.version = root.version;
        items.push(ConfigItem::Deck(root));
    }
    publish(node, config, items, record)
}

/// What a version says it came from.
pub fn source(record: &DeckImport) -> String {
    format!("import {} ({}) of {}", record.id, record.kind, record.file)
}

/// Writes items with the record of their import.
pub fn publish(node: &Node, config: &Config, mut items: Vec<ConfigItem>, record: DeckImport) -> Result<u64, Failure> {
    let (by, what) = match record.decided_by.is_empty() {
        true => (record.by.clone(), record.reason.clone()),
        false => (record.decided_by.clone(), record.decision.clone()),
    };
    let comment = format!("deck {} {} {}: {what}", record.kind, record.id, record.state.as_str());
    items.push(ConfigItem::DeckImport(Box::new(record)));
    let plan = apply::plan_items(items, config, false, Vec::new())?;
    node.publish(&plan.items, &by, &comment)
}
