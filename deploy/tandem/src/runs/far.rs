//! Runs over calls of several sites. A run is worked at the site whose ledger booked the calls, for that ledger alone knows
//! what is current of them (decision 0026); it may be ordered at any. Sites that share a run share its id, each with its
//! own stream and orders. An order goes to a peer over the pinned exchange; what is known of a peer's runs comes with
//! the copies. It prices nothing.

use super::orders::{self, Choice, RunOp};
use super::shown;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use crate::peers::Other;
use crate::peers::sums;
use console::source::{Column, Kind, RunView, Table};
use facts::ids::RunId;
use facts::run::{Run, RunPhase};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Version of this exchange; another one is refused by name.
const VERSION: u32 = 1;
/// How long a peer may take: posting a large run takes minutes.
const LIMIT: Duration = Duration::from_secs(3_700);
/// How long the copies of what a peer did may take to come.
const COPIED: Duration = Duration::from_secs(15);
/// How long a peer waits for the configuration that it is asked to price by.
const CONFIG: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);
/// The word for every site.
const ALL: &str = "all";

/// What one site asks of another.
#[derive(Serialize, Deserialize)]
struct Ask {
    version: u32,
    /// The configuration in force where it was ordered.
    config_seq: u64,
    run: RunOp,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Done(Box<Answer>),
    Usage(String),
    Broken(String),
}

/// Carries out a request, at every site whose calls it is about.
pub fn execute(node: &Node, op: &RunOp) -> Result<Answer, Failure> {
    if node.others.is_empty() {
        return orders::execute_here(node, &without_site(node, op)?);
    }
    let own = node.settings.site.clone();
    let (sites, op) = match op {
        RunOp::List => return orders::execute_here(node, op),
        RunOp::Preview { choice, by, run_id } => {
            let sites = asked(node, &choice.site)?;
            let config = choice.config.or(Some(node.config.current().seq));
            let choice = Choice { site: String::new(), config, ..choice.clone() };
            let run_id = if run_id.is_empty() { orders::new_id()?.to_string() } else { run_id.clone() };
            (sites, RunOp::Preview { choice, by: by.clone(), run_id })
        }
        RunOp::Proposals { from, until, site } => {
            (asked(node, site)?, RunOp::Proposals { from: from.clone(), until: until.clone(), site: String::new() })
        }
        RunOp::Post { id, .. } | RunOp::Drop { id, .. } | RunOp::Show { id } => (having(node, id)?, op.clone()),
        RunOp::Undo { id, reason, by, run_id } => {
            let run_id = if run_id.is_empty() { orders::new_id()?.to_string() } else { run_id.clone() };
            (having(node, id)?, RunOp::Undo { id: id.clone(), reason: reason.clone(), by: by.clone(), run_id })
        }
    };
    if sites.is_empty() || sites == [own.as_str()] {
        return orders::execute_here(node, &op);
    }
    let mut parts = Vec::new();
    for site in sites {
        let done = if site == own { orders::execute_here(node, &op) } else { elsewhere(node, &site, &op) };
        parts.push((site, done));
    }
    joined(parts)
}

/// Without peers there is no other site to name.
fn without_site(node: &Node, op: &RunOp) -> Result<RunOp, Failure> {
    if let RunOp::Preview { choice: Choice { site, .. }, .. } | RunOp::Proposals { site, .. } = op {
        asked(node, site)?;
    }
    Ok(op.clone())
}

/// Names of the sites that a person asked for.
fn asked(node: &Node, site: &str) -> Result<Vec<String>, Failure> {
    let of = match site {
        "" => Some(node.settings.site.as_str()),
        ALL => None,
        one => Some(one),
    };
    Ok(sums::sites(node, of)?.into_iter().map(str::to_owned).collect())
}

/// The sites that have a run whose id begins so; none: nobody has.
fn having(node: &Node, id: &str) -> Result<Vec<String>, Failure> {
    let id = id.trim();
    let mut found: Vec<(String, RunId)> = Vec::new();
    let own = node.runs.now().map_err(orders::refused)?;
    found.extend(own.starting(id).iter().map(|run| (node.settings.site.clone(), run.id)));
    for other in &node.others {
        let runs = other.runs.now().map_err(orders::refused)?;
        found.extend(runs.starting(id).iter().map(|run| (other.name.clone(), run.id)));
    }
    if id.is_empty() || found.iter().any(|(_, run)| *run != found[0].1) {
        // The site itself says what is wrong with it.
        found.retain(|(site, _)| *site == node.settings.site);
        if found.len() < 2 && !id.is_empty() {
            return Err(Failure::Usage(format!("several runs begin with {id}; give more of its digits")));
        }
    }
    found.dedup_by(|a, b| a.0 == b.0);
    Ok(found.into_iter().map(|(site, _)| site).collect())
}

/// Has a peer carry it out, and waits until what it did has been copied here.
fn elsewhere(node: &Node, site: &str, op: &RunOp) -> Result<Answer, Failure> {
    let Some(sites) = &node.sites else {
        let why = format!(
            "runs over calls of site {site} are ordered where the exchange with it runs: start `tandem up`, or ask there"
        );
        return Err(Failure::Usage(why));
    };
    let ask = Ask { version: VERSION, config_seq: node.config.current().seq, run: op.clone() };
    let bytes = serde_json::to_vec(&ask).map_err(Failure::broken)?;
    let answer = sites.order(site, bytes, LIMIT).map_err(|error| {
        Failure::Broken(format!(
            "{error}; a run over its calls is worked there, so it waits until the sites meet again"
        ))
    })?;
    let mut answer = match serde_json::from_slice(&answer).map_err(Failure::broken)? {
        Told::Done(answer) => *answer,
        Told::Usage(why) => return Err(Failure::Usage(why)),
        Told::Broken(why) => return Err(Failure::Broken(why)),
    };
    if let Some(other) = node.others.iter().find(|other| other.name == site)
        && !copied(other, op, &answer)
    {
        answer.notes.push("what it did there has not been copied here yet".to_owned());
    }
    Ok(answer)
}

/// Waits until the copies here show what a peer has done; false: not in time.
fn copied(other: &Other, op: &RunOp, answer: &Answer) -> bool {
    let named = answer.json.as_ref().and_then(|json| json["run"].as_str()).and_then(RunId::parse);
    let (Some(run), false) = (named, matches!(op, RunOp::Show { .. } | RunOp::Proposals { .. })) else { return true };
    let there = |run: &Run| match op {
        RunOp::Drop { .. } => run.phase == RunPhase::Dropped,
        RunOp::Post { .. } | RunOp::Undo { .. } => {
            run.phase == RunPhase::Posted && other.view.progress().state.seq() >= run.done_seq
        }
        _ => true,
    };
    let until = Instant::now() + COPIED;
    while Instant::now() < until {
        if other.runs.now().is_ok_and(|runs| runs.get(run).is_some_and(there)) {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    false
}

/// The answers of several sites as one.
fn joined(parts: Vec<(String, Result<Answer, Failure>)>) -> Result<Answer, Failure> {
    let mut whole = Answer::default();
    let (mut run, mut sums, mut sites) = (serde_json::Value::Null, [0u64; 3], Vec::new());
    let (mut failed, mut done) = (None, false);
    for (site, part) in parts {
        let answer = match part {
            Ok(answer) => answer,
            Err(failure) => {
                let (Failure::Usage(why) | Failure::Broken(why)) = &failure;
                whole.notes.push(format!("site {site}: NOT done: {why}"));
                whole.differs = true;
                failed.get_or_insert(failure);
                continue;
            }
        };
        done = true;
        whole.differs |= answer.differs;
        whole.notes.extend(answer.notes.iter().map(|note| format!("site {site}: {note}")));
        if let Some(table) = answer.table {
            add_table(&mut whole.table, &site, table);
        }
        if let Some(mut json) = answer.json {
            if run.is_null() {
                run = json["run"].clone();
            }
            for (sum, key) in sums.iter_mut().zip(["calls", "posted", "refused"]) {
                *sum += json[key].as_u64().unwrap_or(0);
            }
            json["site"] = site.into();
            sites.push(json);
        }
    }
    match failed {
        Some(failure) if !done => Err(failure),
        _ => {
            let [calls, posted, refused] = sums;
            whole.json = Some(serde_json::json!({
                "run": run, "calls": calls, "posted": posted, "refused": refused, "sites": sites
            }));
            Ok(whole)
        }
    }
}

/// Adds a site's rows behind those of others, with its name before each.
fn add_table(whole: &mut Option<Table>, site: &str, mut table: Table) {
    for row in table.rows.iter_mut().chain(&mut table.totals) {
        row.insert(0, site.to_owned());
    }
    match whole {
        Some(whole) => {
            whole.rows.extend(table.rows);
            whole.totals.extend(table.totals);
        }
        None => {
            table.columns.insert(0, Column { key: "site".into(), title: "Site".into(), kind: Kind::Text });
            *whole = Some(table);
        }
    }
}

/// A run of any site for the console; `None`: there is none whose id begins so.
pub fn view(node: &Node, id: &str) -> Result<Option<RunView>, Failure> {
    if let Some(view) = orders::view_here(node, id)? {
        return Ok(Some(view));
    }
    for other in &node.others {
        let runs = other.runs.now().map_err(orders::refused)?;
        let [run] = runs.starting(id)[..] else { continue };
        let title = format!("Run {}, {}, at site {}", run.id, run.phase.as_str(), other.name);
        let facts = shown::facts(run);
        let asked = elsewhere(node, &other.name, &RunOp::Show { id: run.id.to_string() });
        let (money, said) = match asked {
            Ok(answer) => (answer.table.unwrap_or_default(), Vec::new()),
            Err(Failure::Usage(why) | Failure::Broken(why)) => {
                (Table::default(), vec![format!("Its money is known at site {} only: {why}", other.name)])
            }
        };
        return Ok(Some(RunView { title, facts, money, said }));
    }
    Ok(None)
}

/// Takes orders of peers from now on.
pub fn serve(node: &Arc<Node>) {
    let Some(sites) = &node.sites else { return };
    let node = Arc::downgrade(node);
    sites.take_orders(Box::new(move |peer, order| {
        let told = told(&node, peer, order);
        // A table of strings can always be written.
        serde_json::to_vec(&told).unwrap_or_default()
    }));
}

fn told(node: &Weak<Node>, peer: &str, order: &[u8]) -> Told {
    let Some(node) = node.upgrade() else { return Told::Broken("this site is stopping".to_owned()) };
    let site = &node.settings.site;
    let ask: Ask = match serde_json::from_slice(order) {
        Ok(ask) => ask,
        Err(error) => {
            return Told::Usage(format!("site {site} cannot read the order: {error}; bring both to the same release"));
        }
    };
    if ask.version != VERSION {
        let why = format!(
            "site {site} takes orders of version {VERSION}, not {}; bring both to the same release",
            ask.version
        );
        return Told::Usage(why);
    }
    if !node.settings.sites.take_runs {
        return Told::Usage(format!("site {site} takes no runs of other sites (its setting sites.take_runs)"));
    }
    let until = Instant::now() + CONFIG;
    while node.config.current().seq < ask.config_seq {
        if Instant::now() > until {
            let (here, there) = (node.config.current().seq, ask.config_seq);
            return Told::Broken(format!(
                "site {site} has configuration version {here}, the order is of {there}; try again"
            ));
        }
        std::thread::sleep(LOOK);
    }
    let mut run = ask.run;
    if let RunOp::Preview { by, .. } | RunOp::Post { by, .. } | RunOp::Undo { by, .. } | RunOp::Drop { by, .. } =
        &mut run
    {
        *by = format!("{by} at site {peer}");
    }
    match orders::execute_here(&node, &run) {
        Ok(answer) => Told::Done(Box::new(answer)),
        Err(Failure::Usage(why)) => Told::Usage(why),
        Err(Failure::Broken(why)) => Told::Broken(why),
    }
}
