//! What a running process can be asked to do. A command builds an [`Op`]; it is carried out here, either in the
//! command's own process or, over loopback, in the one that owns the data folder. So both give the same answer.

use crate::apply;
use crate::apply::document::Shown;
use crate::check;
use crate::history;
use crate::money::{self, MoneyOp};
use crate::node::Node;
use crate::output::Failure;
use crate::past::Part;
use crate::peers::sums;
use crate::prove::ProofOp;
use crate::runs::{self, RunOp};
use crate::tables::{self, table_of};
use bus::config_log::{ConfigFollower, Version};
use console::source::{Filter, Kind, ReportName, Table};
use facts::config::Config;
use facts::xdr::ImportCount;

use reporting::block_on;
use reporting::reports;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for an import to be rated and booked.
const IMPORT_LIMIT: Duration = Duration::from_secs(3_600);

/// One request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    Balances {
        account: Option<String>,
        /// Only what this site booked; none: the sum over all sites held here.
        #[serde(default)]
        site: Option<String>,
    },
    Entries {
        account: String,
        limit: usize,
        #[serde(default)]
        site: Option<String>,
    },
    TrialBalance {
        #[serde(default)]
        site: Option<String>,
    },
    Money(MoneyOp),
    Proof(ProofOp),
    /// Proves the books of one site, or of all that are held here.
    Verify {
        #[serde(default)]
        site: Option<String>,
    },
    Report {
        name: String,
        filter: Filter,
    },
    Export {
        name: String,
        filter: Filter,
        format: String,
    },
    Check,
    Sql {
        query: String,
        format: String,
    },
    /// `path` is read by the process that carries this out; both are on the same machine.
    Apply {
        path: PathBuf,
        prune: bool,
        write: bool,
        by: String,
        comment: String,
    },
    History,
    /// The configuration as of version `seq`; none: the one in force.
    ShowConfig {
        seq: Option<u64>,
    },
    /// Brings version `seq` of the configuration back as a new version.
    Rollback {
        seq: u64,
        write: bool,
        by: String,
        comment: String,
    },
    /// Raters are to pass over this record of call-events.
    Void {
        partition: u32,
        offset: u64,
        reason: String,
        by: String,
    },
    Import {
        file: PathBuf,
        switch: String,
        wait: bool,
    },
    Suspense,
    /// One call, by its id.
    Call {
        id: String,
    },
    /// Records that no rule could decide.
    Conflicts,
    /// Runs over past calls.
    Run {
        what: RunOp,
    },
    /// Switches that ask over RADIUS.
    Radius(crate::radius::orders::RadiusOp),
    /// This site among others.
    Site(crate::peers::orders::SiteOp),
    /// Decks after their file has been read.
    Deck(crate::deck_life::args::DeckOp),
}

impl Op {
    /// True where the reporting engine is needed.
    pub fn needs_engine(&self) -> bool {
        matches!(self, Self::Report { .. } | Self::Export { .. } | Self::Check | Self::Sql { .. } | Self::Suspense)
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answer {
    pub table: Option<Table>,
    /// For `--json` where the table does not say all.
    pub json: Option<serde_json::Value>,
    /// For `--json` the table's rows come first, an object each: a hundred thousand of them are not held twice.
    #[serde(default)]
    pub rows_first: bool,
    /// Lines for people.
    pub notes: Vec<String>,
    /// A file of the engine's making, as text (CSV, JSON) or bytes.
    pub bytes: Option<Vec<u8>>,
    /// Files that whoever asked writes where he stands.
    #[serde(default)]
    pub files: Vec<(PathBuf, String)>,
    /// Something was refused, rejected or differs.
    pub differs: bool,
}

impl Answer {
    pub fn of(table: Table) -> Self {
        Self { table: Some(table), ..Self::default() }
    }
}

/// Carries out a request. Blocks; call it from a thread that may.
pub fn execute(node: &Node, op: &Op) -> Result<Answer, Failure> {
    match op {
        Op::Balances { account, site } => balances(node, account.as_deref(), site.as_deref()),
        Op::Entries { account, limit, site } => entries(node, account, *limit, site.as_deref()),
        Op::TrialBalance { site } => {
            Ok(Answer::of(tables::trial_balance(&sums::trial_balance(node, site.as_deref())?)))
        }
        Op::Money(op) => money::execute(node, op),
        Op::Proof(op) => crate::prove::execute(node, op),
        Op::Verify { site } => crate::verify::verify(node, site.as_deref()),
        Op::Report { name, filter } => report(node, name, filter),
        Op::Export { name, filter, format } => export(node, name, filter, format),
        Op::Check => check::check(node),
        Op::Sql { query, format } => sql(node, query, format),
        Op::Apply { path, prune, write, by, comment } => apply_path(node, path, *prune, *write, by, comment),
        Op::History => Ok(Answer::of(tables::history(&node.config.history()))),
        Op::ShowConfig { seq } => show_config(node, *seq),
        Op::Rollback { seq, write, by, comment } => rollback(node, *seq, *write, by, comment),
        Op::Void { partition, offset, reason, by } => crate::void_order::give(node, *partition, *offset, by, reason),
        Op::Import { file, switch, wait } => import(node, file, switch, *wait, &mut |_| ()),
        Op::Deck(op) => crate::deck_life::execute(node, op),
        Op::Suspense => {
            let notes = match node.records.conflicts_seen() {
                0 => Vec::new(),
                n => vec![format!("{n} records wait for a person: tandem calls suspense --records")],
            };
            Ok(Answer { notes, ..Answer::of(suspense(node)?) })
        }
        Op::Call { id } => crate::call_text::show(node, id),
        Op::Conflicts => crate::conflicts::table(node).map(Answer::of),
        Op::Run { what } => runs::execute(node, what),
        Op::Site(op) => crate::peers::orders::execute(node, op),
        Op::Radius(op) => crate::radius::orders::execute(node, op),
    }
}

fn balances(node: &Node, account: Option<&str>, site: Option<&str>) -> Result<Answer, Failure> {
    let rows = sums::balances(node, account, site)?;
    match account {
        Some(account) if rows.is_empty() => {
            Err(Failure::Usage(format!("account {account:?} is not known to this ledger")))
        }
        _ => Ok(Answer::of(tables::balances(&rows))),
    }
}

fn entries(node: &Node, account: &str, limit: usize, site: Option<&str>) -> Result<Answer, Failure> {
    let found = history::history(node, account, Part::Newest, limit, site)?;
    let found: Vec<_> = found.lines.into_iter().map(|line| line.row).collect();
    Ok(Answer { json: serde_json::to_value(&found).ok(), ..Answer::of(tables::entries(&found, account)) })
}

/// The engine, or why there is none.
pub fn engine(node: &Node) -> Result<&reporting::Engine, Failure> {
    node.engine.as_ref().map_err(|why| Failure::Broken(why.clone()))
}

fn report_name(name: &str) -> Result<reports::ReportName, Failure> {
    reports::ReportName::parse(name).ok_or_else(|| Failure::Usage(format!("there is no report {name:?}")))
}

/// Text of a filter into the engine's terms.
pub fn engine_filter(node: &Node, filter: &Filter) -> Result<reports::Filter, Failure> {
    Ok(reports::Filter {
        from: instant("from", &filter.from)?,
        until: instant("until", &filter.until)?,
        customer: filter.customer.clone(),
        vendor: filter.vendor.clone(),
        destination: filter.destination.clone(),
        ner_codes: node.config.current().settings.ner_codes.clone(),
    })
}

/// A day or an RFC 3339 instant; empty = none.
pub fn instant(field: &str, text: &str) -> Result<Option<i64>, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.replace(' ', "T") };
    let zoned = if whole.ends_with('Z') || whole.get(19..).is_some_and(|rest| rest.contains(['+', '-'])) {
        whole
    } else {
        format!("{whole}Z")
    };
    facts::time::parse_rfc3339(&zoned).map(Some).ok_or_else(|| {
        Failure::Usage(format!("{field} {text:?} is no day (2026-01-31) and no instant (2026-01-31T10:00:00Z)"))
    })
}

pub fn report_table(node: &Node, name: ReportName, filter: &Filter) -> Result<Table, Failure> {
    let (name, filter) = (report_name(name.as_str())?, engine_filter(node, filter)?);
    let mut session = engine(node)?.session();
    let report = block_on(reports::report(&mut session, name, &filter)).map_err(Failure::broken)?;
    let mut table = tables::from_reporting(report.table());
    table.covers = tables::covers(node);
    Ok(table)
}

fn report(node: &Node, name: &str, filter: &Filter) -> Result<Answer, Failure> {
    let name = ReportName::parse(name).ok_or_else(|| Failure::Usage(format!("there is no report {name:?}")))?;
    report_table(node, name, filter).map(Answer::of)
}

/// A report as a file: CSV and JSON from the same table as everywhere, Parquet from the engine.
pub fn export_bytes(node: &Node, name: ReportName, filter: &Filter, format: &str) -> Result<Vec<u8>, Failure> {
    match format {
        "csv" => Ok(tables::csv(&report_table(node, name, filter)?).into_bytes()),
        "json" => Ok(tables::json_lines(&report_table(node, name, filter)?).into_bytes()),
        "parquet" => {
            let (name, filter) = (report_name(name.as_str())?, engine_filter(node, filter)?);
            let mut session = engine(node)?.session();
            block_on(reports::export(&mut session, name, &filter, "Parquet")).map_err(Failure::broken)
        }
        other => Err(Failure::Usage(format!("there is no format {other:?}; use csv, json or parquet"))),
    }
}

fn export(node: &Node, name: &str, filter: &Filter, format: &str) -> Result<Answer, Failure> {
    let name = ReportName::parse(name).ok_or_else(|| Failure::Usage(format!("there is no report {name:?}")))?;
    let bytes = export_bytes(node, name, filter, format)?;
    Ok(Answer { bytes: Some(bytes), ..Answer::default() })
}

fn sql(node: &Node, query: &str, format: &str) -> Result<Answer, Failure> {
    let mut session = engine(node)?.session();
    let bytes = block_on(reports::sql(&mut session, query, format)).map_err(|error| match error {
        reporting::EngineError::Refused { message, .. } => Failure::Usage(message),
        other => Failure::broken(other),
    })?;
    Ok(Answer { bytes: Some(bytes), ..Answer::default() })
}

fn apply_path(node: &Node, path: &Path, prune: bool, write: bool, by: &str, comment: &str) -> Result<Answer, Failure> {
    crate::peers::may_configure(node)?;
    let plan = apply::plan(path, &node.config.current(), prune)?;
    carry_out(node, &plan, write, by, comment)
}

/// A version of the configuration, and who wrote it.
fn config_as_of(node: &Node, seq: u64) -> Result<(Arc<Config>, Version), Failure> {
    let version = node.config.history().into_iter().find(|version| version.seq == seq).ok_or_else(|| {
        Failure::Usage(format!("there is no configuration version {seq}; see `tandem config history`"))
    })?;
    let then = ConfigFollower::open_until(&*node.bus, &node.ids, seq).map_err(Failure::broken)?.current();
    Ok((then, version))
}

fn show_config(node: &Node, seq: Option<u64>) -> Result<Answer, Failure> {
    let now = node.config.current().seq;
    let shown = match seq.or((now > 0).then_some(now)) {
        Some(seq) => {
            let (config, version) = config_as_of(node, seq)?;
            Shown::new(&config, Some(&version))
        }
        None => Shown::new(&node.config.current(), None),
    };
    let text = shown.toml().map_err(Failure::broken)?;
    Ok(Answer { json: Some(shown.json()), bytes: Some(text.into_bytes()), ..Answer::default() })
}

fn rollback(node: &Node, seq: u64, write: bool, by: &str, comment: &str) -> Result<Answer, Failure> {
    crate::peers::may_configure(node)?;
    let (then, _) = config_as_of(node, seq)?;
    let now = node.config.current();
    let mut plan = apply::plan_items(apply::rollback::items(&now, &then), &now, true, Vec::new())?;
    for (item, change) in apply::rollback::later_exchange_rates(&now, &then) {
        plan.items.push(item);
        plan.changes.push(change);
    }
    let why = if comment.is_empty() { String::new() } else { format!(": {comment}") };
    carry_out(node, &plan, write, by, &format!("rollback to version {seq}{why}"))
}

/// Shows a plan and, where `write`, makes it the next version.
fn carry_out(node: &Node, plan: &apply::Plan, write: bool, by: &str, comment: &str) -> Result<Answer, Failure> {
    let mut notes = apply::lines(plan);
    if plan.changes.is_empty() {
        notes.push("nothing to change".to_owned());
    } else if write {
        let seq = node.publish(&plan.items, by, comment)?;
        notes.push(format!("configuration version {seq} is in force"));
    }
    let differs = !plan.problems.is_empty();
    let json = serde_json::json!({ "changes": plan.changes.len(), "problems": plan.problems.len() });
    Ok(Answer { notes, json: Some(json), differs, ..Answer::default() })
}

/// Imports a file; `progress` gets bytes read of bytes in all.
pub fn import(
    node: &Node,
    file: &Path,
    switch: &str,
    wait: bool,
    progress: &mut dyn FnMut((u64, u64)),
) -> Result<Answer, Failure> {
    let Some(ingest) = &node.ingest else {
        return Err(Failure::Usage("this process does not run ingest; send the file to the one that does".to_owned()));
    };
    let config = node.config.current();
    let switch = config.switches.get(switch).ok_or_else(|| {
        let known: Vec<&str> = config.switches.keys().map(smol_str::SmolStr::as_str).collect();
        Failure::Usage(format!("switch {switch:?} is not in the configuration; it has: {}", known.join(", ")))
    })?;
    // Counts are told by the raters' folds; a process without raters can only say what it sent.
    let wait = wait && !node.raters.is_empty();
    if wait {
        settle(node)?;
    }
    let before = node.records.imports();
    let shared = ingest.shared();
    let sink = ingest::Sink { raw: &shared.raw, writer: &shared.writer, stop: &node.stop };
    let summary =
        ingest::import_file(file, switch, sink, &mut |p| progress((p.read, p.total))).map_err(|e| match e {
            ingest::IngestError::NotAFile { .. } => Failure::usage(e),
            other if !file.exists() => Failure::usage(other),
            other => Failure::broken(other),
        })?;
    let mut notes: Vec<String> = summary
        .rejects
        .iter()
        .map(|r| {
            let what = with_field(&r.field, &r.reason);
            format!("{}:{}: {what} (byte {}); {}", summary.file, r.place.line, r.place.byte, r.advice)
        })
        .collect();
    if summary.rejected > summary.rejects.len() as u64 {
        notes.push(format!(
            "... and {} more rejects; see them in the console under Imports",
            summary.rejected - summary.rejects.len() as u64
        ));
    }
    if !wait {
        notes.push(format!(
            "{} records sent; they are counted by the rater (see the console under Imports)",
            summary.sent
        ));
        return Ok(Answer { notes, differs: summary.rejected > 0, ..Answer::default() });
    }
    settle(node)?;
    let count = since(&before, node.records.import(summary.import));
    let line = format!(
        "read {}, accepted {}, repeated {}, rejected {}",
        count.read, count.accepted, count.repeated, count.rejected
    );
    notes.push(line);
    let waiting = count.rejected.saturating_sub(summary.rejected);
    if waiting > 0 {
        notes.push(format!("{waiting} of the rejected wait for a person: tandem calls suspense --records"));
    }
    let json = serde_json::json!({ "summary": {
        "import": summary.import, "file": summary.file, "read": count.read, "accepted": count.accepted,
        "repeated": count.repeated, "rejected": count.rejected,
    }});
    Ok(Answer { notes, json: Some(json), differs: count.rejected > 0, ..Answer::default() })
}

/// The reason of a reject with its field in front, where the reason does not name it already.
pub fn with_field(field: &str, reason: &str) -> String {
    if field.is_empty() || reason.starts_with(field) { reason.to_owned() } else { format!("{field} {reason}") }
}

/// Waits until everything on the bus is rated, booked and loaded, and its counts have been seen here.
fn settle(node: &Node) -> Result<(), Failure> {
    node.drain(IMPORT_LIMIT, &mut |_| ())?;
    node.follow_records(IMPORT_LIMIT)
}

/// What an import added: the streams count every time the same file came.
fn since(before: &[ImportCount], now: Option<ImportCount>) -> ImportCount {
    let now = now.unwrap_or_default();
    let then = before.iter().find(|count| count.import == now.import).cloned().unwrap_or_default();
    ImportCount {
        read: now.read.saturating_sub(then.read),
        accepted: now.accepted.saturating_sub(then.accepted),
        repeated: now.repeated.saturating_sub(then.repeated),
        rejected: now.rejected.saturating_sub(then.rejected),
        ..now
    }
}

/// Unrated sides by reason.
pub fn suspense(node: &Node) -> Result<Table, Failure> {
    let mut session = engine(node)?.session();
    let rows = block_on(reports::suspense(&mut session, 0, i64::MAX / 4)).map_err(Failure::broken)?;
    let columns = [
        ("reason", "Reason", Kind::Text),
        ("side", "Side", Kind::Text),
        ("account", "Account", Kind::Text),
        ("sides", "Sides", Kind::Count),
        ("talk", "Talked", Kind::Duration),
        ("provisional", "Provisional", Kind::Money),
        ("currency", "Currency", Kind::Text),
    ];
    let cells = rows
        .into_iter()
        .map(|row| {
            let talk = facts::time::seconds(row.talk);
            let provisional = facts::Amount(row.provisional).to_string();
            vec![row.reason, row.side, row.account, row.sides.to_string(), talk, provisional, row.currency]
        })
        .collect();
    Ok(table_of(&columns, cells))
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn a_day_or_an_instant_is_understood_and_nothing_else() {
        let day = instant("from", "2026-01-31").unwrap();
        assert_eq!(day, instant("from", "2026-01-31T01:00:00+01:00").unwrap());
        assert_eq!(day, instant("from", "2026-01-31 00:00:00").unwrap());
        assert_eq!(instant("from", " ").unwrap(), None);
        assert!(instant("from", "yesterday").is_err());
    }
}
