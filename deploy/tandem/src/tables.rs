//! Answers as tables: the same for terminal, JSON, CSV and console.

use crate::history::Line;
use crate::node::Node;
use accounting::net::NetPositions;
use bus::config_log::Version;
use console::source::{Column, Kind, Table};
use facts::config::DeckRoot;
use facts::entry::Gl;
use facts::run::run_stream_prefix;
use facts::{Amount, Currency, OccurredAt};
use ledger::api::{HoldRow, LimitRow};
use ledger::{Balance, EntryRow, TrialRow};
use std::sync::PoisonError;

/// Versions of decks, in the order given.
pub fn decks<'a>(versions: impl Iterator<Item = &'a DeckRoot>) -> Table {
    let columns = [
        ("deck", "Deck", Kind::Text),
        ("version", "Version", Kind::Count),
        ("rows", "Rows", Kind::Count),
        ("currency", "Currency", Kind::Text),
        ("source", "From", Kind::Text),
    ];
    let row = |root: &DeckRoot| {
        let (version, rows) = (root.version.to_string(), root.rows.to_string());
        vec![root.id.to_string(), version, rows, root.terms.currency.to_string(), root.source.clone()]
    };
    table_of(&columns, versions.map(row).collect())
}

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
    let mut streams = loading.lock().unwrap_or_else(PoisonError::into_inner).clone();
    streams.extend(node.others.iter().filter_map(|other| other.loaded()).flatten());
    let sites = node.others.iter().map(|other| other.name.as_str()).chain([node.settings.site.as_str()]);
    let runs: Vec<_> = sites.map(run_stream_prefix).collect();
    let of_run = |stream: &str| runs.iter().any(|begin| stream.starts_with(begin.as_str()));
    let (runs, raters): (Vec<_>, Vec<_>) = streams.iter().partition(|s| of_run(&s.stream));
    let mut loaded: Vec<String> =
        raters.iter().map(|s| format!("{} up to frame {}", s.stream, s.loaded.seq.saturating_sub(1))).collect();
    loaded.extend((!runs.is_empty()).then(|| format!("and {} runs", runs.len())));
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
        ("granted", "of it granted", Kind::Money),
        ("held", "Held for calls", Kind::Money),
        ("calls", "Calls", Kind::Count),
        ("available", "Available", Kind::Money),
    ];
    let cells = rows
        .iter()
        .map(|row| {
            let money = [row.owed, row.provisional, row.prepaid, row.limit, row.granted, row.held];
            let mut cells = vec![row.account.to_string(), row.currency.to_string()];
            cells.extend(money.map(|amount| amount.to_string()));
            cells.extend([row.calls.to_string(), row.available.to_string()]);
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
        ("site", "Site", Kind::Text),
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
                row.stream.strip_prefix("ledger.").unwrap_or(&row.stream).to_owned(),
                row.entry_id.to_string(),
            ]
        })
        .collect();
    table_of(&columns, cells)
}

/// Entries with what each adds to what the account owes, and what it owed after it.
pub fn statement(lines: &[Line], currency: Currency, site: &dyn Fn(u16) -> String) -> Table {
    let columns = [
        ("booked_at", "Booked", Kind::Instant),
        ("occurred_at", "Occurred", Kind::Instant),
        ("kind", "Kind", Kind::Text),
        ("amount", "Amount", Kind::Money),
        ("owed_after", "Balance (owed +)", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("call_id", "Call", Kind::Text),
        ("by", "By", Kind::Text),
        ("reason", "Reason", Kind::Text),
        ("origin_id", "Origin", Kind::Text),
        ("site", "Site", Kind::Text),
        ("at", "Place", Kind::Text),
    ];
    let cells = lines.iter().map(|Line { at, row, amount, owed_after }| {
        let mut cells = vec![row.booked_at.clone(), row.occurred_at.clone(), row.kind.as_str().to_owned()];
        cells.extend([amount.to_string(), owed_after.to_string(), currency.to_string()]);
        cells.push(row.call_id.map(|id| id.to_string()).unwrap_or_default());
        cells.extend([row.by.to_string(), row.reason.to_string(), row.origin_id.to_string()]);
        cells.extend([site(at.site), at.to_string()]);
        cells
    });
    table_of(&columns, cells.collect())
}

/// A balance at another time, by booked or by occurred time.
pub fn as_of(account: &str, currency: Currency, owed: Amount, by: &str, at: i64) -> Table {
    let columns = [
        ("account", "Account", Kind::Text),
        ("currency", "Currency", Kind::Text),
        ("owed", "Balance (owed +)", Kind::Money),
        ("by", "By time", Kind::Text),
        ("at", "At", Kind::Instant),
    ];
    let cells =
        vec![account.to_owned(), currency.to_string(), owed.to_string(), by.to_owned(), facts::time::rfc3339(at)];
    table_of(&columns, vec![cells])
}

/// Open holds, a row for each level.
pub fn holds(rows: &[HoldRow]) -> Table {
    let columns = [
        ("account", "Account", Kind::Text),
        ("amount", "Held", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("seconds", "Seconds", Kind::Count),
        ("destination", "Destination", Kind::Text),
        ("at", "Since", Kind::Instant),
        ("until", "Ends by itself", Kind::Instant),
        ("call_id", "Call", Kind::Text),
        ("hold_id", "Hold", Kind::Text),
    ];
    let cells = rows.iter().map(|row| {
        let mut cells = vec![row.account.to_string(), row.amount.to_string(), row.currency.to_string()];
        cells.extend([row.seconds.to_string(), row.destination.to_string(), row.at.clone(), row.until.clone()]);
        cells.extend([row.call_id.to_string(), row.hold_id.to_string()]);
        cells
    });
    table_of(&columns, cells.collect())
}

/// Parts of exposure by account, and of each carrier with one line its sum in the line's currency.
pub fn exposure(
    parts: &[accounting::net::Exposure],
    config: &facts::config::Config,
    lines: &NetPositions,
    now: i64,
) -> Table {
    use accounting::net;
    let columns = [
        ("carrier", "Carrier", Kind::Text),
        ("account", "Account", Kind::Text),
        ("invoiced", "Invoiced", Kind::Money),
        ("unbilled", "Unbilled", Kind::Money),
        ("provisional", "Provisional", Kind::Money),
        ("held", "Held for calls", Kind::Money),
        ("payments", "Payments", Kind::Money),
        ("we_owe", "We owe", Kind::Money),
        ("exposure", "Exposure", Kind::Money),
        ("limit", "Credit limit", Kind::Money),
        ("left", "Left", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("rate", "Rate", Kind::Text),
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut all: Vec<_> = parts.to_vec();
    all.sort_by(|one, other| (&one.carrier, &one.account).cmp(&(&other.carrier, &other.account)));
    for group in all.chunk_by(|one, other| one.carrier == other.carrier) {
        let line = lines.get(&group[0].carrier);
        for one in group {
            let sums = [one.invoiced, one.unbilled, one.provisional, one.held, one.payments, one.we_owe, one.exposure];
            let mut cells = vec![one.carrier.to_string(), one.account.to_string()];
            cells.extend(sums.map(|sum| sum.to_string()));
            // With one line for all its accounts none has something left for itself.
            let left = one.limit.checked_sub(one.exposure).filter(|_| line.is_none());
            cells.extend([one.limit.to_string(), left.map_or_else(String::new, |left| left.to_string())]);
            let rate = line.map(|currency| match net::rate(config, one.currency, *currency, now) {
                Some(rate) => facts::money::format_scaled(i128::from(rate), 8, 0),
                None => "missing".to_owned(),
            });
            cells.extend([one.currency.to_string(), rate.unwrap_or_default()]);
            rows.push(cells);
        }
        let Some(currency) = line else { continue };
        let sum = |of: fn(&net::Exposure) -> Amount, round: fn(i128, i64) -> Option<i128>| {
            let part = |one: &net::Exposure| round(of(one).0, net::rate(config, one.currency, *currency, now)?);
            let sum = group.iter().try_fold(0_i128, |sum, one| sum.checked_add(part(one)?));
            sum.map_or_else(|| "unknown".to_owned(), |sum| Amount(sum).to_string())
        };
        let mut cells = vec![group[0].carrier.to_string(), "all, net".to_owned()];
        cells.extend([
            sum(|one| one.invoiced, net::up),
            sum(|one| one.unbilled, net::up),
            sum(|one| one.provisional, net::up),
            sum(|one| one.held, net::up),
            sum(|one| one.payments, net::up),
            sum(|one| one.we_owe, net::up),
            sum(|one| one.exposure, net::up),
            sum(|one| one.limit, net::down),
        ]);
        let left = net::left(group, config, *currency, now);
        cells.push(left.map_or_else(|| "unknown".to_owned(), |left| Amount(left).to_string()));
        cells.extend([currency.to_string(), String::new()]);
        rows.push(cells);
    }
    table_of(&columns, rows)
}

/// What was told on the topic of notices.
pub fn notices(told: &[facts::notice::Notice]) -> Table {
    let columns = [
        ("at", "At", Kind::Instant),
        ("kind", "Kind", Kind::Text),
        ("account", "Account", Kind::Text),
        ("value", "Value", Kind::Money),
        ("threshold", "Threshold", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("days", "Days left", Kind::Count),
        ("call_id", "Call", Kind::Text),
        ("frame", "Ledger frame", Kind::Count),
        ("id", "Id", Kind::Text),
    ];
    let text = |value: Option<String>| value.unwrap_or_default();
    let row = |notice: &facts::notice::Notice| {
        vec![
            notice.at.to_string(),
            notice.kind.as_str().to_owned(),
            notice.account.to_string(),
            notice.value.to_string(),
            notice.threshold.to_string(),
            notice.currency.to_string(),
            text(notice.days.map(|days| days.to_string())),
            text(notice.call_id.map(|call| call.to_string())),
            text(notice.frame.map(|frame| frame.to_string())),
            text(notice.id.map(|id| id.to_string())),
        ]
    };
    table_of(&columns, told.iter().map(row).collect())
}

/// Grants and caps, one a row, in words.
pub fn limits(rows: &[LimitRow]) -> Table {
    let columns = [
        ("account", "Account", Kind::Text),
        ("what", "What", Kind::Text),
        ("value", "Value", Kind::Text),
        ("until", "Until", Kind::Text),
        ("by", "By", Kind::Text),
        ("approved_by", "Approved by", Kind::Text),
        ("reason", "Reason", Kind::Text),
    ];
    let mut cells = Vec::new();
    for row in rows {
        let mut line = |what: &str, value: String, until: String, names: [&str; 3]| {
            let names = names.map(str::to_owned);
            cells.push([vec![row.account.to_string(), what.to_owned(), value, until], names.to_vec()].concat());
        };
        for grant in &row.grants {
            let until = grant.until.map(|until| until.to_string()).unwrap_or_default();
            line("granted", grant.amount.to_string(), until, [&grant.by, &grant.approved_by, &grant.reason]);
        }
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let money = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
        for scope in &row.scopes {
            let (caps, name) = (&scope.caps, &scope.caps.scope);
            let codes: Vec<String> = caps.codes.iter().map(ToString::to_string).collect();
            for (what, value) in [
                ("codes", (!codes.is_empty()).then(|| codes.join(" "))),
                ("calls at once", number(caps.calls)),
                ("calls a second", number(caps.calls_per_second)),
                ("daily spend", money(caps.daily_spend)),
            ] {
                if let Some(value) = value {
                    line(&format!("{name}: {what}"), value, String::new(), [&caps.by, "", &caps.reason]);
                }
            }
            line(&format!("{name}: calls now"), scope.calls_now.to_string(), String::new(), ["", "", ""]);
            line(&format!("{name}: spent today"), scope.spent_today.to_string(), String::new(), ["", "", ""]);
        }
        let Some(caps) = &row.caps else { continue };
        let barred: Vec<String> = caps.barred.iter().map(ToString::to_string).collect();
        for (what, value) in [
            ("calls at once", number(caps.calls)),
            ("calls a second", number(caps.calls_per_second)),
            ("daily spend", money(caps.daily_spend)),
            ("highest rate", money(caps.highest_rate)),
            ("barred codes", (!barred.is_empty()).then(|| barred.join(" "))),
            ("calls without extend", number(caps.calls_without_extend)),
            ("notice below available", money(caps.low_balance)),
            ("notice above daily spend", money(caps.high_spend)),
        ] {
            if let Some(value) = value {
                line(what, value, String::new(), [&caps.by, "", &caps.reason]);
            }
        }
        line("spent today", row.spent_today.to_string(), String::new(), ["", "", ""]);
    }
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
    let mut out = String::new();
    csv_line(&mut out, &mut table.columns.iter().map(|c| &*c.key));
    table.rows.iter().for_each(|row| csv_line(&mut out, &mut row.iter().map(String::as_str)));
    out
}

/// One line of [`csv`].
pub fn csv_line(out: &mut String, cells: &mut dyn Iterator<Item = &str>) {
    let cell = |text: &str| {
        let formula =
            text.starts_with(['=', '+', '@', '\t', '\r']) || (text.starts_with('-') && text.parse::<Amount>().is_err());
        let text = if formula { format!("'{text}") } else { text.to_owned() };
        if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    for (at, text) in cells.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&cell(text));
    }
    out.push_str("\r\n");
}

/// One object a row, keys as in the CSV; every value is a string, so that no decimal is lost.
pub fn json_lines(table: &Table) -> String {
    let mut out = String::new();
    let mut line = |line: &str| {
        out.push_str(line);
        out.push('\n');
        Ok::<(), std::convert::Infallible>(())
    };
    let _ = json_each(table, &mut line);
    out
}

/// The same, line by line.
pub fn json_each<E>(table: &Table, each: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    for row in &table.rows {
        let object: serde_json::Map<String, serde_json::Value> = table
            .columns
            .iter()
            .zip(row)
            .map(|(c, v)| (c.key.to_string(), serde_json::Value::String(v.clone())))
            .collect();
        each(&serde_json::Value::Object(object).to_string())?;
    }
    Ok(())
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
