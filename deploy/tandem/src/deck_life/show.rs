//! Decks to look at: versions, imports, rows, and the price of a number at any second. Changes nothing.

use super::args::{PriceArgs, ShowArgs};
use super::traffic::instant_or;
use super::{root, rows_of};
use crate::node::Node;
use crate::ops::{self, Answer};
use crate::output::Failure;
use crate::tables::{self, table_of};
use console::source::Kind;
use decks::life::diff::day;
use decks::life::rows::{ALWAYS, OPEN};
use decks::life::{RowRef, Rows};
use facts::Prefix;
use facts::deck::RowStatus;
use serde_json::json;

/// Rows of a deck as an answer lists them.
pub const ROWS: [(&str, &str, Kind); 10] = [
    ("prefix", "Code", Kind::Text),
    ("destination", "Destination", Kind::Text),
    ("first_rate", "First rate", Kind::Money),
    ("next_rate", "Rate", Kind::Money),
    ("increment", "Increment", Kind::Text),
    ("connect_fee", "Connect fee", Kind::Money),
    ("valid_from", "From", Kind::Text),
    ("valid_until", "Until", Kind::Text),
    ("conditions", "Only", Kind::Text),
    ("status", "Status", Kind::Text),
];

pub fn status(row: RowRef<'_>) -> &'static str {
    match row.status() {
        RowStatus::Open => "open",
        RowStatus::Discontinued => "discontinued",
        RowStatus::Blocked => "blocked",
    }
}

/// One row as [`ROWS`] has it.
pub fn cells(row: RowRef<'_>) -> Vec<String> {
    let conditions = [&row.body.origin, &row.body.time_band];
    let conditions: Vec<&str> = conditions.into_iter().flatten().map(|name| name.as_str()).collect();
    vec![
        row.prefix().to_string(),
        row.destination().to_string(),
        row.row.first_rate.to_string(),
        row.row.next_rate.to_string(),
        format!("{}/{}", row.body.first_interval, row.body.next_interval),
        row.body.connect_fee.to_string(),
        day(row.row.from),
        day(row.row.until),
        conditions.join(" "),
        status(row).to_owned(),
    ]
}

/// All decks, or the rows of one version.
pub fn show(node: &Node, args: &ShowArgs, now: i64) -> Result<Answer, Failure> {
    let config = node.config.current();
    let Some(deck) = &args.deck else { return Ok(list(node)) };
    let root = root(&config, deck)?;
    let rows = rows_of(&config, &root.chunks)?;
    let at = ops::instant("--at", args.at.as_deref().unwrap_or_default())?;
    let kept = rows.iter().filter(|row| at.is_none_or(|at| row.row.from <= at && at < row.row.until));
    let lines: Vec<Vec<String>> = kept.map(cells).collect();
    let notes = vec![
        format!("deck {} version {}, {} rows, {}", root.id, root.version, root.rows, root.terms.currency),
        format!("from {}", root.source),
        format!("read {}", facts::time::rfc3339(at.unwrap_or(now))),
    ];
    Ok(Answer { notes, ..Answer::of(table_of(&ROWS, lines)) })
}

fn list(node: &Node) -> Answer {
    Answer::of(tables::decks(node.config.current().decks.values().flatten()))
}

/// Imports of a deck or of all, oldest first; held ones say why.
pub fn imports(node: &Node, deck: Option<&str>) -> Result<Answer, Failure> {
    let config = node.config.current();
    if let Some(deck) = deck {
        root(&config, deck).map(drop).or_else(|failure| {
            let held = config.imports.values().any(|import| import.deck == deck);
            if held { Ok(()) } else { Err(failure) }
        })?;
    }
    let columns = [
        ("import", "Import", Kind::Text),
        ("state", "State", Kind::Text),
        ("kind", "Kind", Kind::Text),
        ("base", "Onto", Kind::Count),
        ("version", "Version", Kind::Count),
        ("at", "When", Kind::Instant),
        ("by", "By", Kind::Text),
        ("reason", "Reason", Kind::Text),
        ("file", "File", Kind::Text),
        ("decided_by", "Decided by", Kind::Text),
        ("causes", "Held because", Kind::Text),
    ];
    let mut found: Vec<_> =
        config.imports.values().filter(|x| !x.is_told() && deck.is_none_or(|deck| x.deck == deck)).collect();
    found.sort_by_key(|import| (import.at, import.id.clone()));
    let row = |import: &facts::config::DeckImport| {
        let version = if import.version == 0 { String::new() } else { import.version.to_string() };
        vec![
            import.id.to_string(),
            import.state.as_str().to_owned(),
            import.kind.to_string(),
            import.base.to_string(),
            version,
            facts::time::rfc3339(import.at.0),
            import.by.clone(),
            import.reason.clone(),
            import.file.clone(),
            import.decided_by.clone(),
            import.causes.join("; "),
        ]
    };
    Ok(Answer::of(table_of(&columns, found.into_iter().map(row).collect())))
}

/// The row that prices a number then, and how its price moves over all time.
pub fn price(node: &Node, args: &PriceArgs, now: i64) -> Result<Answer, Failure> {
    let config = node.config.current();
    let root = root(&config, &args.deck)?;
    let digits = args.number.trim().trim_start_matches('+');
    let number = digits.get(..digits.len().min(facts::number::PREFIX_DIGITS_MAX)).unwrap_or(digits);
    let number = Prefix::new(number).map_err(Failure::usage)?;
    let at = instant_or("--at", args.at.as_deref(), now)?;
    let rows = rows_of(&config, &root.chunks)?;
    let found = rows.covering(number, at);
    let timeline = timeline(&rows, number);
    let row_json = |row: RowRef<'_>| -> serde_json::Map<String, serde_json::Value> {
        ROWS.iter().zip(cells(row)).map(|((key, ..), cell)| ((*key).to_owned(), json!(cell))).collect()
    };
    let lines: Vec<Vec<String>> = timeline
        .iter()
        .map(|(from, until, row)| {
            let mut cells = row.map_or_else(|| vec![String::new(); ROWS.len()], cells);
            (cells[6], cells[7]) = (day(*from), day(*until));
            if row.is_none() {
                "no rate".clone_into(&mut cells[9]);
            }
            cells
        })
        .collect();
    let json = json!({
        "number": digits, "at": facts::time::rfc3339(at), "deck": root.id.as_str(), "version": root.version,
        "currency": root.terms.currency.to_string(), "rate": found.map(row_json),
        "timeline": lines.iter().map(|cells| ROWS.iter().zip(cells).map(|((key, ..), cell)| ((*key).to_owned(), json!(cell))).collect::<serde_json::Map<_, _>>()).collect::<Vec<_>>(),
    });
    let when = facts::time::rfc3339(at);
    let note = match found {
        Some(row) => format!(
            "{digits} at {when}: code {} {}, {} {} a minute, {}/{}, {} (deck {} version {})",
            row.prefix(),
            row.destination(),
            root.terms.currency,
            row.row.next_rate,
            row.body.first_interval,
            row.body.next_interval,
            status(row),
            root.id,
            root.version
        ),
        None => format!("{digits} at {when}: no rate in deck {} version {}", root.id, root.version),
    };
    let notes = vec![note];
    Ok(Answer { notes, json: Some(json), differs: found.is_none(), ..Answer::of(table_of(&ROWS, lines)) })
}

/// Stretches of time with the row that prices the number in each.
pub fn timeline(rows: &Rows, number: Prefix) -> Vec<(i64, i64, Option<RowRef<'_>>)> {
    let mut instants = vec![ALWAYS];
    for len in 0..=number.len() {
        instants.extend(rows.of_prefix(number.truncate(len)).flat_map(|row| [row.row.from, row.row.until]));
    }
    instants.retain(|at| *at != OPEN);
    instants.sort_unstable();
    instants.dedup();
    let mut stretches: Vec<(i64, i64, Option<RowRef<'_>>)> = Vec::new();
    for (at, from) in instants.iter().enumerate() {
        let until = instants.get(at + 1).copied().unwrap_or(OPEN);
        let row = rows.covering(number, *from);
        match stretches.last_mut() {
            Some((_, end, last)) if last.map(RowRef::place) == row.map(RowRef::place) => {
                *end = until;
            }
            _ => stretches.push((*from, until, row)),
        }
    }
    stretches
}
