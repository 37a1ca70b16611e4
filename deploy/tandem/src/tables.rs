//! Answers as tables: the same for terminal, JSON, CSV and console.

use crate::node::Node;
use bus::config_log::Version;
use console::source::{Column, Kind, Table};
use facts::entry::Gl;
use facts::{Amount, OccurredAt};
use ledger::{Balance, EntryRow, TrialRow};
use std::sync::PoisonError;

/// A table from columns (key, title, kind) and rows.
pub fn table_of(columns: &[(&str, &str, Kind)], rows: Vec<Vec<String>>) -> Table {
    let columns = columns
        .iter()
        .map(|(key, title, kind)| Column {
            key: (*key).to_owned().into(),
            title: (*title).to_owned().into(),
            kind: *kind,
        })
        .collect();
    Table { columns, rows, totals: Vec::new(), covers: String::new() }
}

/// The engine's table with a word for its rows of totals.
pub fn from_reporting(mut table: Table) -> Table {
    for key in table.totals.iter_mut().filter_map(|row| row.first_mut()).filter(|key| key.is_empty()) {
        "Total".clone_into(key);
    }
    table
}

/// What figures from the engine cover: up to where each stream is loaded, or that loading fails.
pub fn covers(node: &Node) -> String {
    let Some(loading) = &node.loading else { return String::new() };
    let streams = loading.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let loaded: Vec<String> =
        streams.iter().map(|s| format!("{} up to frame {}", s.stream, s.loaded.seq.saturating_sub(1))).collect();
    match streams.iter().find_map(|s| s.failing.as_ref()) {
        Some((_, why)) => format!("Incomplete, loading fails: {why}. Loaded: {}", loaded.join(", ")),
        None => format!("Loaded: {}", loaded.join(", ")),
    }
}

pub fn balances(rows: &[Balance]) -> Table {
    let columns = [
        ("account", "Account", Kind::Text),
        ("currency", "Currency", Kind::Text),
        ("owed", "Balance (owed +)", Kind::Money),
        ("provisional", "Provisional", Kind::Money),
        ("prepaid", "Paid ahead", Kind::Money),
        ("limit", "Credit limit", Kind::Money),
        ("available", "Available", Kind::Money),
    ];
    let cells = rows
        .iter()
        .map(|row| {
            let money = [row.owed, row.provisional, row.prepaid, row.limit, row.available].map(|a| a.to_string());
            let mut cells = vec![row.account.to_string(), row.currency.to_string()];
            cells.extend(money);
            cells
        })
        .collect();
    table_of(&columns, cells)
}

pub fn trial_balance(rows: &[TrialRow]) -> Table {
    let columns = [
        ("gl", "Account of the chart", Kind::Text),
        ("currency", "Currency", Kind::Text),
        ("debit", "Debit", Kind::Money),
        ("credit", "Credit", Kind::Money),
        ("balance", "Balance", Kind::Money),
    ];
    let line = |gl: String, currency: String, debit: Amount, credit: Amount, balance: Amount| {
        vec![gl, currency, debit.to_string(), credit.to_string(), balance.to_string()]
    };
    let cells = rows
        .iter()
        .map(|r| line(r.gl.as_str().to_owned(), r.currency.to_string(), r.debit, r.credit, r.balance))
        .collect();
    let mut table = table_of(&columns, cells);
    let mut totals: std::collections::BTreeMap<String, [Amount; 3]> = Default::default();
    for row in rows {
        let total = totals.entry(row.currency.to_string()).or_default();
        for (sum, part) in total.iter_mut().zip([row.debit, row.credit, row.balance]) {
            // The view has already refused sums beyond the range.
            *sum = sum.checked_add(part).unwrap_or(*sum);
        }
    }
    table.totals =
        totals.into_iter().map(|(currency, [d, c, b])| line("Total".to_owned(), currency, d, c, b)).collect();
    table
}

/// What an entry adds to what the account owes.
fn effect(entry: &EntryRow, account: &str) -> (Amount, String) {
    let own = entry.postings.iter().filter(|p| p.account == account && !matches!(p.gl, Gl::Deposits));
    let mut sum = Amount::ZERO;
    let mut currency = String::new();
    for posting in own {
        sum = sum.checked_add(posting.amount).unwrap_or(sum);
        currency = posting.currency.to_string();
    }
    (sum, currency)
}

pub fn entries(rows: &[EntryRow], account: &str) -> Table {
    let columns = [
        ("booked_at", "Booked", Kind::Instant),
        ("occurred_at", "Occurred", Kind::Instant),
        ("kind", "Kind", Kind::Text),
        ("amount", "Amount", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("call_id", "Call", Kind::Text),
        ("by", "By", Kind::Text),
        ("reason", "Reason", Kind::Text),
        ("entry_id", "Entry", Kind::Text),
    ];
    let cells = rows
        .iter()
        .map(|row| {
            let (amount, currency) = effect(row, account);
            vec![
                row.booked_at.clone(),
                row.occurred_at.clone(),
                row.kind.as_str().to_owned(),
                amount.to_string(),
                currency,
                row.call_id.map(|id| id.to_string()).unwrap_or_default(),
                row.by.to_string(),
                row.reason.to_string(),
                row.entry_id.to_string(),
            ]
        })
        .collect();
    table_of(&columns, cells)
}

pub fn history(versions: &[Version]) -> Table {
    let columns = [
        ("version", "Version", Kind::Count),
        ("booked_at", "When", Kind::Instant),
        ("by", "By", Kind::Text),
        ("items", "Items", Kind::Count),
        ("comment", "Comment", Kind::Text),
    ];
    let cells = versions
        .iter()
        .map(|v| {
            vec![
                v.seq.to_string(),
                OccurredAt(v.booked_at.0).to_string(),
                v.by.clone(),
                v.items.to_string(),
                v.comment.clone(),
            ]
        })
        .collect();
    table_of(&columns, cells)
}

/// RFC 4180 with a header; totals are left out, a spreadsheet makes its own. A cell that a spreadsheet would take for a
/// formula gets an apostrophe in front, numbers excepted.
pub fn csv(table: &Table) -> String {
    let cell = |text: &str| {
        let formula =
            text.starts_with(['=', '+', '@', '\t', '\r']) || (text.starts_with('-') && text.parse::<Amount>().is_err());
        let text = if formula { format!("'{text}") } else { text.to_owned() };
        if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| cells.map(cell).collect::<Vec<_>>().join(",") + "\r\n";
    let mut out = line(&mut table.columns.iter().map(|c| &*c.key));
    for row in &table.rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// One object a row, keys as in the CSV; every value is a string, so that no decimal is lost.
pub fn json_lines(table: &Table) -> String {
    let mut out = String::new();
    for row in &table.rows {
        let object: serde_json::Map<String, serde_json::Value> = table
            .columns
            .iter()
            .zip(row)
            .map(|(c, v)| (c.key.to_string(), serde_json::Value::String(v.clone())))
            .collect();
        out.push_str(&serde_json::Value::Object(object).to_string());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_like_a_formula_stays_text_in_a_spreadsheet() {
        let rows = vec![
            vec!["=HYPERLINK(1)".to_owned(), "-0.5".to_owned()],
            vec!["Korea, Rep. \"S\"".to_owned(), "1".to_owned()],
        ];
        let table = table_of(&[("destination", "", Kind::Text), ("amount", "", Kind::Money)], rows);
        assert_eq!(csv(&table), "destination,amount\r\n'=HYPERLINK(1),-0.5\r\n\"Korea, Rep. \"\"S\"\"\",1\r\n");
        assert_eq!(json_lines(&table).lines().next().unwrap(), r#"{"amount":"-0.5","destination":"=HYPERLINK(1)"}"#);
    }
}
