//! What people ask of runs: preview, post, undo, drop, list, show, proposals. The same answers for the command line, in
//! this process or over loopback, and for the console.

use super::shown;
use crate::node::{Node, wall_micros};
use crate::ops::{Answer, instant};
use crate::output::Failure;
use crate::tables::table_of;
use bus::run_log::RunLogError;
use console::source::{Kind, RunView, Table};
use facts::OccurredAt;
use facts::config::Config;
use facts::ids::RunId;
use facts::run::{Run, RunAction, RunKind, RunOrder, RunPhase, RunPlan, Selection};
use facts::xdr::Unrated;
use ledger::RunOutcome;
use rater::runs::{RunError, Scan, Worker};
use rating::rerate::Preview;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long somebody waits for a run to be posted.
const POST_LIMIT: Duration = Duration::from_secs(3_600);
const LOOK: Duration = Duration::from_millis(20);
/// Calls listed by name in an answer.
const LISTED: usize = 20;

/// Which calls, and how they are priced, in a person's words.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    pub kind: RunKind,
    pub from: String,
    pub until: String,
    pub accounts: Vec<String>,
    pub destinations: Vec<String>,
    /// `NAME` or `NAME@VERSION`; empty = all.
    pub deck: String,
    /// Configuration version; `None` = the one in force.
    pub config: Option<u64>,
    pub unrated: String,
    /// Calls of this site, `all` = of every site; empty = of the site that is asked.
    pub site: String,
}

/// One request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "run", rename_all = "snake_case")]
pub enum RunOp {
    Preview {
        choice: Choice,
        by: String,
        /// The run's id; empty = a new one. Sites that share a run share its id.
        #[serde(default)]
        run_id: String,
    },
    Post {
        id: String,
        reason: String,
        by: String,
    },
    Undo {
        id: String,
        reason: String,
        by: String,
        /// Id of the run that takes it back; empty = a new one.
        #[serde(default)]
        run_id: String,
    },
    Drop {
        id: String,
        by: String,
    },
    List,
    Show {
        id: String,
    },
    Proposals {
        from: String,
        until: String,
        #[serde(default)]
        site: String,
    },
}

/// Carries out a request over the calls that this site booked.
pub fn execute_here(node: &Node, op: &RunOp) -> Result<Answer, Failure> {
    match op {
        RunOp::Preview { choice, by, run_id } => preview(node, choice, by, run_id),
        RunOp::Post { id, reason, by } => post(node, &find(node, id)?, reason, by),
        RunOp::Undo { id, reason, by, run_id } => undo(node, id, reason, by, run_id),
        RunOp::Drop { id, by } => drop_run(node, &find(node, id)?, by),
        RunOp::List => Ok(Answer::of(list(node)?)),
        RunOp::Show { id } => show(node, &find(node, id)?),
        RunOp::Proposals { from, until, .. } => proposals(node, from, until),
    }
}

fn failed(error: RunError) -> Failure {
    match error {
        RunError::NoConfig(_) | RunError::NoDeckVersion { .. } | RunError::Tariffs { .. } | RunError::Sum(_) => {
            Failure::usage(error)
        }
        other => Failure::broken(other),
    }
}

pub(super) fn refused(error: RunLogError) -> Failure {
    match error {
        RunLogError::Refused(why) => Failure::usage(why),
        other => Failure::broken(other),
    }
}

/// The run whose id begins so.
fn find(node: &Node, id: &str) -> Result<Run, Failure> {
    let runs = node.runs.now().map_err(refused)?;
    match runs.starting(id.trim())[..] {
        _ if id.trim().is_empty() => Err(Failure::Usage("the id of a run is missing; see `tandem rerate list`".into())),
        [run] => Ok(run.clone()),
        [] => Err(Failure::Usage(format!("there is no run {id}; see `tandem rerate list`"))),
        _ => Err(Failure::Usage(format!("several runs begin with {id}; give more of its digits"))),
    }
}

fn order(node: &Node, run: RunId, by: &str, reason: &str, action: RunAction) -> Result<(), Failure> {
    let at = OccurredAt(wall_micros());
    node.runs.write(&RunOrder { run, at, by: by.into(), reason: reason.into(), action }).map_err(refused)
}

/// What a plan comes to, without registering it.
fn look(node: &Node, run: RunId, plan: &RunPlan) -> Result<Preview, Failure> {
    let (done, kept) = (Default::default(), kept(&node.settings.data));
    let worker = worker(node, &done, &kept);
    let scan = Scan::new(&worker, &plan.inputs).map_err(failed)?;
    let priced = plan.kind != RunKind::Undo;
    let tariffs = priced.then(|| rater::runs::tariffs_for(&worker, &node.config.current(), plan));
    let tariffs = tariffs.transpose().map_err(failed)?;
    rater::runs::preview(&worker, &scan, run, plan, tariffs.as_deref()).map_err(failed)
}

/// Where the times of streams are kept.
pub(super) fn kept(data: &Path) -> PathBuf {
    data.join("runs").join("times")
}

/// What was gone over and read meanwhile.
type Counts = (AtomicU64, AtomicU64);

fn worker<'a>(node: &'a Node, (done, read): &'a Counts, kept: &'a Path) -> Worker<'a> {
    let site = &node.settings.site;
    Worker { bus: &node.bus, ids: &node.ids, site, stop: &node.stop, done, read, kept: Some(kept) }
}

fn plan(node: &Node, choice: &Choice) -> Result<RunPlan, Failure> {
    let config = node.config.current();
    let config_seq = choice.config.unwrap_or(config.seq);
    if config_seq == 0 || node.config.history().iter().all(|version| version.seq != config_seq) {
        return Err(failed(RunError::NoConfig(config_seq)));
    }
    Ok(RunPlan { kind: choice.kind, config_seq, selection: selection(&config, choice)?, ..inputs(node)? })
}

/// A plan over everything that is booked now.
pub fn inputs(node: &Node) -> Result<RunPlan, Failure> {
    let runs = node.runs.now().map_err(refused)?;
    let progress = node.view.progress();
    let (site, partitions) = (&node.settings.site, node.settings.partitions);
    let inputs = rater::runs::inputs(site, partitions, &runs, progress.state.consumed());
    Ok(RunPlan { inputs, config_seq: node.config.current().seq, ..RunPlan::default() })
}

fn selection(config: &Config, choice: &Choice) -> Result<Selection, Failure> {
    let from = instant("from", &choice.from)?.map(OccurredAt);
    let until = instant("until", &choice.until)?.map(OccurredAt);
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return Err(Failure::Usage(format!("from {} is not before until {}", choice.from, choice.until)));
    }
    let (deck, version) = match choice.deck.rsplit_once('@') {
        Some((deck, version)) => {
            let wrong =
                |_| Failure::Usage(format!("deck {:?} is no NAME@VERSION: {version:?} is no number", choice.deck));
            (deck, Some(version.parse::<u32>().map_err(wrong)?))
        }
        None => (choice.deck.as_str(), None),
    };
    if !deck.is_empty() && !config.decks.contains_key(deck) {
        return Err(Failure::Usage(format!("deck {deck:?} is not in the configuration")));
    }
    for account in &choice.accounts {
        if !config.accounts.contains_key(account.as_str()) {
            return Err(Failure::Usage(format!("account {account:?} is not in the configuration")));
        }
    }
    let unrated = choice.unrated.as_str();
    if !unrated.is_empty() && Unrated::ALL.iter().all(|reason| reason.as_str() != unrated) {
        let known: Vec<&str> = Unrated::ALL.iter().map(|reason| reason.as_str()).collect();
        return Err(Failure::Usage(format!("there is no reason {unrated:?}; there are: {}", known.join(", "))));
    }
    let texts = |list: &[String]| list.iter().map(SmolStr::from).collect();
    Ok(Selection {
        from,
        until,
        accounts: texts(&choice.accounts),
        destinations: texts(&choice.destinations),
        deck: deck.into(),
        deck_version: version,
        unrated: unrated.into(),
    })
}

/// The id that was asked for, else a new one.
fn id_or_new(text: &str) -> Result<RunId, Failure> {
    match text.is_empty() {
        true => new_id(),
        false => RunId::parse(text).ok_or_else(|| Failure::Usage(format!("{text:?} is no id of a run"))),
    }
}

pub(super) fn new_id() -> Result<RunId, Failure> {
    let digits = console::random_hex().map_err(|error| Failure::Broken(format!("random source: {error}")))?;
    RunId::parse(&digits).ok_or_else(|| Failure::Broken("random source: no id".to_owned()))
}

fn preview(node: &Node, choice: &Choice, by: &str, run_id: &str) -> Result<Answer, Failure> {
    let plan = plan(node, choice)?;
    let run = id_or_new(run_id)?;
    let found = look(node, run, &plan)?;
    if found.calls == 0 {
        let note = "nothing that is booked would change; no run was made".to_owned();
        let json = serde_json::json!({ "run": null, "calls": 0, "rows": [] });
        return Ok(Answer { notes: vec![note], json: Some(json), ..Answer::default() });
    }
    let table = register(node, run, plan, &found, by)?;
    let notes = vec![
        format!("run {run}: {} calls would change; nothing is posted", found.calls),
        format!("post it: tandem rerate post {run} --reason TEXT; or give it up: tandem rerate drop {run}"),
    ];
    Ok(Answer { notes, json: Some(shown::json(run, found.calls, &table)), ..Answer::of(table) })
}

/// Fixes a plan under its id.
fn register(node: &Node, run: RunId, mut plan: RunPlan, found: &Preview, by: &str) -> Result<Table, Failure> {
    plan.calls = found.calls;
    plan.agreements = found.agreements.iter().cloned().collect();
    let table = shown::money(found);
    order(node, run, by, "", RunAction::Preview(Box::new(plan)))?;
    shown::keep(&node.settings.data, run, &table);
    Ok(table)
}

fn post(node: &Node, run: &Run, reason: &str, by: &str) -> Result<Answer, Failure> {
    let again = matches!(run.phase, RunPhase::Posting | RunPhase::Posted);
    if reason.trim().is_empty() && !again {
        return Err(Failure::Usage("a run is posted for a reason; say it with --reason".to_owned()));
    }
    let ledger_seq = node.view.progress().state.seq();
    order(node, run.id, by, reason, RunAction::Post { ledger_seq })?;
    bus::failpoint::pass("run.ordered");
    let done = await_posted(node, run.id)?;
    let outcome = outcome(node, &done)?;
    let mut notes = Vec::new();
    if run.phase == RunPhase::Posted {
        notes.push(format!("run {} was posted before; nothing was posted again", run.id));
    }
    notes.push(format!("run {}: {} calls posted by {}: {}", done.id, done.posted, done.by, done.reason));
    notes.extend(said(&outcome));
    let json =
        serde_json::json!({ "run": done.id, "posted": done.posted, "refused": done.refused, "outcome": outcome });
    Ok(Answer { notes, json: Some(json), differs: outcome.refused > 0, ..Answer::default() })
}

fn await_posted(node: &Node, run: RunId) -> Result<Run, Failure> {
    let until = Instant::now() + POST_LIMIT;
    loop {
        let runs = node.runs.now().map_err(refused)?;
        if let Some(run) = runs.get(run).filter(|run| run.phase == RunPhase::Posted) {
            return Ok(run.clone());
        }
        if let Some(why) = node.runs.trouble().or_else(|| node.failures().first().cloned()) {
            return Err(Failure::Broken(format!("{why}; the order stands, it goes on by itself when that is mended")));
        }
        if Instant::now() > until || node.stop.load(Ordering::Relaxed) {
            return Err(Failure::Broken(format!("run {run} is still being posted; see `tandem rerate list`")));
        }
        std::thread::sleep(LOOK);
    }
}

fn outcome(node: &Node, run: &Run) -> Result<RunOutcome, Failure> {
    let asked = node.view.run_outcome(&*node.bus, &node.ids, &node.settings.site, run);
    asked.map_err(Failure::broken)
}

/// What of a run was refused or has been replaced, in words.
fn said(outcome: &RunOutcome) -> Vec<String> {
    let mut notes = Vec::new();
    if outcome.refused > 0 {
        notes.push(format!("{} calls had changed since the preview and were refused:", outcome.refused));
        let refused = outcome.refused_calls.iter().take(LISTED);
        notes.extend(refused.map(|call| format!("  call {}: {}, {}", call.call_id, call.reason, call.detail)));
    }
    if outcome.replaced > 0 {
        notes.push(format!("{} of its calls have another revision since:", outcome.replaced));
        let replaced = outcome.replaced_calls.iter().take(LISTED);
        notes.extend(replaced.map(|call| format!("  call {}: by {}", call.call_id, call.by)));
    }
    notes
}

fn undo(node: &Node, id: &str, reason: &str, by: &str, run_id: &str) -> Result<Answer, Failure> {
    let undone = find(node, id)?;
    if undone.phase != RunPhase::Posted {
        let phase = undone.phase.as_str();
        return Err(Failure::Usage(format!("run {} is {phase}; only a posted one can be taken back", undone.id)));
    }
    if reason.trim().is_empty() {
        return Err(Failure::Usage("a run is undone for a reason; say it with --reason".to_owned()));
    }
    let plan = RunPlan { kind: RunKind::Undo, undoes: Some(undone.id), ..inputs(node)? };
    let run = id_or_new(run_id)?;
    let found = look(node, run, &plan)?;
    if found.calls == 0 {
        let note = format!("nothing of run {} is current any more; nothing was undone", undone.id);
        let json = serde_json::json!({ "run": null, "undoes": undone.id, "posted": 0, "refused": 0 });
        return Ok(Answer { notes: vec![note], json: Some(json), ..Answer::default() });
    }
    let table = register(node, run, plan, &found, by)?;
    let answer = post(node, &find(node, &run.to_string())?, reason, by)?;
    Ok(Answer { table: Some(table), ..answer })
}

fn drop_run(node: &Node, run: &Run, by: &str) -> Result<Answer, Failure> {
    order(node, run.id, by, "", RunAction::Drop)?;
    let json = serde_json::json!({ "run": run.id, "phase": "dropped" });
    Ok(Answer { notes: vec![format!("run {} is dropped", run.id)], json: Some(json), ..Answer::default() })
}

/// All runs of all sites held here, each site's newest first.
pub fn list(node: &Node) -> Result<Table, Failure> {
    let runs = node.runs.now().map_err(refused)?;
    let mut table = shown::runs(&runs, &node.settings.site);
    for other in &node.others {
        table.rows.extend(shown::runs(&other.runs.now().map_err(refused)?, &other.name).rows);
    }
    if let Some(why) = node.runs.trouble() {
        table.covers = format!("Posting stands still: {why}");
    }
    Ok(table)
}

/// The money of a run's preview, kept from when it was made or worked out anew from what it fixed.
fn money(node: &Node, run: &Run) -> Result<Table, Failure> {
    match shown::kept(&node.settings.data, run.id) {
        Some(table) => Ok(table),
        None => {
            let table = shown::money(&look(node, run.id, &run.plan)?);
            shown::keep(&node.settings.data, run.id, &table);
            Ok(table)
        }
    }
}

fn show(node: &Node, run: &Run) -> Result<Answer, Failure> {
    let table = money(node, run)?;
    let mut notes: Vec<String> =
        shown::facts(run).into_iter().map(|fact| format!("{}: {}", fact.label, fact.value)).collect();
    let outcome = if run.phase == RunPhase::Posted { Some(outcome(node, run)?) } else { None };
    notes.extend(outcome.iter().flat_map(said));
    let mut json = shown::json(run.id, run.plan.calls, &table);
    json["about"] = serde_json::to_value(run).unwrap_or_default();
    json["outcome"] = serde_json::to_value(&outcome).unwrap_or_default();
    Ok(Answer { notes, json: Some(json), ..Answer::of(table) })
}

/// A run of this site for the console; `None`: there is none whose id begins so.
pub(super) fn view_here(node: &Node, id: &str) -> Result<Option<RunView>, Failure> {
    let run = match node.runs.now().map_err(refused)?.starting(id)[..] {
        [run] => run.clone(),
        _ => return Ok(None),
    };
    let said = if run.phase == RunPhase::Posted { said(&outcome(node, &run)?) } else { Vec::new() };
    let title = format!("Run {}, {}", run.id, run.phase.as_str());
    Ok(Some(RunView { title, facts: shown::facts(&run), money: money(node, &run)?, said }))
}

fn proposals(node: &Node, from: &str, until: &str) -> Result<Answer, Failure> {
    let choice = Choice { from: from.to_owned(), until: until.to_owned(), ..Choice::default() };
    let plan = plan(node, &choice)?;
    let (done, kept) = (Default::default(), kept(&node.settings.data));
    let worker = worker(node, &done, &kept);
    let scan = Scan::new(&worker, &plan.inputs).map_err(failed)?;
    let tariffs = rater::runs::tariffs_for(&worker, &node.config.current(), &plan).map_err(failed)?;
    let found = rater::runs::proposals(&worker, &scan, &plan, &tariffs).map_err(failed)?;
    let columns = [
        ("side", "Side", Kind::Text),
        ("account", "Account", Kind::Text),
        ("deck", "Deck", Kind::Text),
        ("priced_by", "Priced by", Kind::Count),
        ("in_force", "In force", Kind::Count),
        ("calls", "Calls", Kind::Count),
        ("before", "Now", Kind::Money),
        ("after", "By the version in force", Kind::Money),
        ("difference", "Difference", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("first", "First call", Kind::Instant),
        ("last", "Last call", Kind::Instant),
    ];
    let mut rows = Vec::new();
    for (key, sum) in &found {
        let difference = sum.after.checked_sub(sum.before).ok_or_else(shown::beyond)?;
        let mut row = vec![key.side.as_str().to_owned(), key.account.to_string(), key.deck.to_string()];
        row.extend([u64::from(key.priced_by), u64::from(key.in_force), sum.calls].map(|n| n.to_string()));
        row.extend([sum.before, sum.after, difference].map(|amount| amount.to_string()));
        row.extend([key.currency.to_string(), sum.first.to_string(), sum.last.to_string()]);
        rows.push(row);
    }
    let note = match rows.is_empty() {
        true => "every call is priced by the deck version in force for its instant".to_owned(),
        false => "preview one: tandem rerate preview --account ACCOUNT --deck DECK [--from ..] [--until ..]".to_owned(),
    };
    Ok(Answer { notes: vec![note], ..Answer::of(table_of(&columns, rows)) })
}
