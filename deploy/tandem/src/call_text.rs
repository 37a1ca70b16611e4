//! `tandem calls show`: the console's page of a call as lines of text, and whole as JSON. It finds nothing out itself.

use crate::call_view;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use console::source::{CallView, Fact, SourceError, Table};
use facts::CallId;
use std::fmt::Write as _;

/// Everything known about a call.
pub fn show(node: &Node, id: &str) -> Result<Answer, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "{id:?} is no call id: 32 hexadecimal digits, as `tandem ledger entries --json` shows them"
        ))
    };
    let call_id = CallId::parse(id.trim()).ok_or_else(wrong)?;
    let found = call_view::call(node, call_id).map_err(|error| match error {
        SourceError::Wrong(why) => Failure::Usage(why),
        other => Failure::Broken(other.to_string()),
    })?;
    let Some(view) = found else {
        return Err(Failure::Usage(format!(
            "call {call_id} is not known here; the ledgers of the sites held here have no entry of it"
        )));
    };
    let json = serde_json::to_value(&view).map_err(Failure::broken)?;
    Ok(Answer { json: Some(json), bytes: Some(text(&view).into_bytes()), ..Answer::default() })
}

fn text(view: &CallView) -> String {
    let mut out = format!("{}\n", view.title);
    if view.estimated {
        out.push_str("  its end is estimated\n");
    }
    facts(&mut out, &view.facts);
    for xdr in &view.xdrs {
        let provisional = if xdr.provisional { ", provisional" } else { "" };
        let _ = writeln!(out, "\n{}: {} {}{provisional}", xdr.title, xdr.amount, xdr.currency);
        facts(&mut out, &xdr.facts);
        lines(&mut out, &xdr.explanation);
    }
    rows(&mut out, "Attempts", &view.attempts);
    rows(&mut out, "Ledger entries", &view.entries);
    if view.revisions.len() > 1 {
        out.push_str("\nRevisions, newest first\n");
        lines(&mut out, &view.revisions);
    }
    for raw in &view.raw {
        let _ = writeln!(out, "\nRaw record: {}\n{}", raw.place, raw.text.trim_end());
    }
    out
}

fn facts(out: &mut String, facts: &[Fact]) {
    for fact in facts {
        let _ = writeln!(out, "  {}: {}", fact.label, fact.value);
    }
}

fn lines(out: &mut String, lines: &[String]) {
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

fn rows(out: &mut String, title: &str, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for row in &table.rows {
        let cells = table.columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<String> = cells.map(|(column, cell)| format!("{} {cell}", column.title)).collect();
        let _ = writeln!(out, "  {}", cells.join(", "));
    }
}
