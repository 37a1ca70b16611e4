//! Runs as tables and facts, and the tables of previews kept in the data folder: a cache, worked out anew where it is
//! missing.

use crate::output::Failure;
use crate::tables::table_of;
use console::source::{Fact, Kind, Table};
use facts::Amount;
use facts::ids::RunId;
use facts::run::{Run, RunPhase, Runs};
use rating::rerate::{Preview, Sums};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn beyond() -> Failure {
    Failure::Broken("the sums leave the range of 26 digits before the point".to_owned())
}

/// A preview in money: a row per side, account, destination and currency, totals per side and currency.
pub fn money(preview: &Preview) -> Table {
    let columns = [
        ("side", "Side", Kind::Text),
        ("account", "Account", Kind::Text),
        ("destination", "Destination", Kind::Text),
        ("sides", "Priced sides", Kind::Count),
        ("before", "Before", Kind::Money),
        ("after", "After", Kind::Money),
        ("difference", "Difference", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("rises", "Rise", Kind::Count),
        ("falls", "Fall", Kind::Count),
        ("becomes_unrated", "Lose price", Kind::Count),
        ("becomes_rated", "Get price", Kind::Count),
    ];
    let mut totals: BTreeMap<(String, String), Sums> = BTreeMap::new();
    let mut rows = Vec::new();
    for (key, sums) in &preview.rows {
        let (side, currency) = (key.side.as_str().to_owned(), key.currency.to_string());
        rows.push(line(side.clone(), key.account.to_string(), key.destination.to_string(), &currency, sums));
        let total = totals.entry((side, currency)).or_default();
        // The sums of the whole run have been checked to be in range as they were made; a total beyond it shows none.
        total.before = total.before.checked_add(sums.before).unwrap_or_default();
        total.after = total.after.checked_add(sums.after).unwrap_or_default();
        total.sides += sums.sides;
        total.rises += sums.rises;
        total.falls += sums.falls;
        total.becomes_unrated += sums.becomes_unrated;
        total.becomes_rated += sums.becomes_rated;
    }
    let mut table = table_of(&columns, rows);
    let total = |((side, currency), sums): ((String, String), Sums)| {
        line(side, "Total".to_owned(), String::new(), &currency, &sums)
    };
    table.totals = totals.into_iter().map(total).collect();
    table
}

fn line(side: String, account: String, destination: String, currency: &str, sums: &Sums) -> Vec<String> {
    let difference = sums.after.checked_sub(sums.before).map_or_else(String::new, |amount: Amount| amount.to_string());
    let mut cells = vec![side, account, destination, sums.sides.to_string()];
    cells.extend([sums.before.to_string(), sums.after.to_string(), difference, currency.to_owned()]);
    cells.extend([sums.rises, sums.falls, sums.becomes_unrated, sums.becomes_rated].map(|n| n.to_string()));
    cells
}

/// A preview for programs.
pub fn json(run: RunId, calls: u64, table: &Table) -> serde_json::Value {
    let objects = |rows: &[Vec<String>]| -> Vec<serde_json::Value> {
        let object = |row: &Vec<String>| {
            let cells =
                table.columns.iter().zip(row).map(|(column, cell)| (column.key.to_string(), cell.clone().into()));
            serde_json::Value::Object(cells.collect())
        };
        rows.iter().map(object).collect()
    };
    serde_json::json!({ "run": run, "calls": calls, "rows": objects(&table.rows), "totals": objects(&table.totals) })
}

/// All runs of a site, newest first.
pub fn runs(runs: &Runs, site: &str) -> Table {
    let columns = [
        ("run", "Run", Kind::Text),
        ("kind", "Kind", Kind::Text),
        ("phase", "Phase", Kind::Text),
        ("previewed_at", "Previewed", Kind::Instant),
        ("previewed_by", "By", Kind::Text),
        ("calls", "Calls", Kind::Count),
        ("posted", "Posted", Kind::Count),
        ("refused", "Refused", Kind::Count),
        ("posted_at", "Ordered", Kind::Instant),
        ("by", "By", Kind::Text),
        ("reason", "Reason", Kind::Text),
        ("site", "Site", Kind::Text),
    ];
    let row = |run: &Run| {
        let count = |n: u64| if run.phase == RunPhase::Posted { n.to_string() } else { String::new() };
        vec![
            run.id.to_string(),
            run.plan.kind.as_str().to_owned(),
            run.phase.as_str().to_owned(),
            run.previewed_at.to_string(),
            run.previewed_by.to_string(),
            run.plan.calls.to_string(),
            count(run.posted),
            count(run.refused),
            run.posted_at.map(|at| at.to_string()).unwrap_or_default(),
            run.by.to_string(),
            run.reason.to_string(),
            site.to_owned(),
        ]
    };
    table_of(&columns, runs.all().iter().rev().map(row).collect())
}

/// What a run was asked to do.
pub fn facts(run: &Run) -> Vec<Fact> {
    let (plan, chosen) = (&run.plan, &run.plan.selection);
    let all = |list: &[smol_str::SmolStr]| match list.is_empty() {
        true => "all".to_owned(),
        false => list.iter().map(smol_str::SmolStr::as_str).collect::<Vec<_>>().join(", "),
    };
    let mut facts = vec![
        Fact::new("Run", run.id.to_string()),
        Fact::new("Kind", plan.kind.as_str()),
        Fact::new("Phase", run.phase.as_str()),
        Fact::new("Previewed", format!("{} by {}", run.previewed_at, run.previewed_by)),
        Fact::new("Calls that change", plan.calls.to_string()),
        Fact::new("Configuration", format!("version {}", plan.config_seq)),
        Fact::new("Agreements", all(&plan.agreements)),
    ];
    if let Some(undone) = plan.undoes {
        facts.push(Fact::linked("Takes back", undone.to_string(), format!("/runs/{undone}")));
    } else {
        let time = |at: Option<facts::OccurredAt>, open: &str| at.map_or_else(|| open.to_owned(), |at| at.to_string());
        let period = format!("{} until {}", time(chosen.from, "the beginning"), time(chosen.until, "now"));
        facts.push(Fact::new("Calls that started", period));
        facts.push(Fact::new("Accounts", all(&chosen.accounts)));
        facts.push(Fact::new("Destinations", all(&chosen.destinations)));
    }
    if !chosen.deck.is_empty() {
        let version = chosen.deck_version.map_or_else(String::new, |version| format!(", priced by version {version}"));
        facts.push(Fact::new("Deck", format!("{}{version}", chosen.deck)));
    }
    if !chosen.unrated.is_empty() {
        facts.push(Fact::new("Unrated by", chosen.unrated.as_str()));
    }
    if let Some(at) = run.posted_at {
        facts.push(Fact::new("Ordered", format!("{at} by {}: {}", run.by, run.reason)));
    }
    if run.phase == RunPhase::Posted {
        facts.push(Fact::new("Posted", format!("{} calls; {} refused", run.posted, run.refused)));
    }
    facts
}

fn file(data: &Path, run: RunId) -> PathBuf {
    data.join("runs").join(format!("{run}.json"))
}

/// Keeps a preview's table. It is a cache: what cannot be kept is worked out again.
pub fn keep(data: &Path, run: RunId, table: &Table) {
    let path = file(data, run);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    let kept = made.and_then(|()| fs::write(&path, serde_json::to_vec(table)?));
    if let Err(error) = kept {
        tracing::warn!(%error, file = %path.display(), "the table of a preview is not kept");
    }
}

/// The table of a preview, where it was kept whole.
pub fn kept(data: &Path, run: RunId) -> Option<Table> {
    serde_json::from_slice(&fs::read(file(data, run)).ok()?).ok()
}
