//! A deck as a file for somebody else: CSV or XLSX, in his columns, with what changed marked. A name that a spreadsheet
//! would take for a formula is made text; prices are text too, for a spreadsheet's numbers are not decimals.

use super::args::{ExportArgs, ExportFormat};
use super::show::status;
use super::{root, rows_of};
use crate::node::Node;
use crate::ops::{self, Answer};
use crate::output::Failure;
use decks::life::diff::{day, each};
use decks::life::rows::{ALWAYS, OPEN};
use decks::life::{Class, RowRef, Rows};
use facts::Prefix;
use facts::config::DeckRoot;
use rust_xlsxwriter::{Color, Format, Workbook};
use std::collections::HashMap;

/// Most rows of one sheet, its header not counted.
const SHEET_ROWS_MAX: usize = 1_048_575;

/// What a column can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Code,
    Destination,
    Rate,
    FirstRate,
    ConnectFee,
    Increment,
    FirstInterval,
    NextInterval,
    From,
    Until,
    Status,
    Currency,
    Change,
}

const FIELDS: [(&str, Field); 13] = [
    ("code", Field::Code),
    ("destination", Field::Destination),
    ("rate", Field::Rate),
    ("first_rate", Field::FirstRate),
    ("connect_fee", Field::ConnectFee),
    ("increment", Field::Increment),
    ("first_interval", Field::FirstInterval),
    ("next_interval", Field::NextInterval),
    ("from", Field::From),
    ("until", Field::Until),
    ("status", Field::Status),
    ("currency", Field::Currency),
    ("change", Field::Change),
];

/// Writes the rows of a version.
pub fn export(node: &Node, args: &ExportArgs) -> Result<Answer, Failure> {
    let config = node.config.current();
    let root = root(&config, &args.deck)?;
    let rows = rows_of(&config, &root.chunks)?;
    let at = ops::instant("--at", args.at.as_deref().unwrap_or_default())?;
    let changes = match args.since {
        None => HashMap::new(),
        Some(version) => {
            let then = super::root(&config, &format!("{}@{version}", root.id))?;
            changes(&rows_of(&config, &then.chunks)?, &rows, root)
        }
    };
    let columns = columns(args)?;
    let kept: Vec<RowRef<'_>> = rows.iter().filter(|row| at.is_none_or(|at| at < row.row.until)).collect();
    let change = |row: RowRef<'_>| changes.get(&(row.prefix(), row.row.from)).map_or("", |class| class.as_str());
    let bytes = match args.format {
        ExportFormat::Csv => csv(&columns, &kept, root, &change).into_bytes(),
        ExportFormat::Xlsx => xlsx(&columns, &kept, root, &change)?,
    };
    let notes = vec![format!("{} rows of deck {} version {}", kept.len(), root.id, root.version)];
    Ok(Answer { bytes: Some(bytes), notes, ..Answer::default() })
}

/// Columns as asked for: `HEADER=FIELD`, or a field that is its own header.
fn columns(args: &ExportArgs) -> Result<Vec<(String, Field)>, Failure> {
    let named = |word: &str| FIELDS.iter().find(|(name, _)| *name == word).map(|(_, field)| *field);
    if args.columns.is_empty() {
        // Headers that `tandem deck read` knows.
        let dates = |word: &str| matches!(word, "from" | "until");
        let header = |word: &str| if dates(word) { format!("valid_{word}") } else { word.to_owned() };
        let words = ["code", "destination", "rate", "increment", "from", "until", "status"];
        let all = words.into_iter().chain(args.since.map(|_| "change"));
        return Ok(all.filter_map(|word| Some((header(word), named(word)?))).collect());
    }
    let parse = |text: &String| {
        let (header, word) = text.split_once('=').unwrap_or((text, text));
        let field = named(word.trim()).ok_or_else(|| {
            let words: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
            Failure::Usage(format!("--columns {text}: {word:?} is no field; the fields are {}", words.join(", ")))
        })?;
        Ok((header.trim().to_owned(), field))
    };
    args.columns.iter().map(parse).collect()
}

/// What changed at the row that begins then.
fn changes(old: &Rows, new: &Rows, root: &DeckRoot) -> HashMap<(Prefix, i64), Class> {
    let mut found = HashMap::new();
    each(old, new, ALWAYS, root.terms.interval_rule, &mut |changes| {
        for change in changes.iter() {
            let from = change.new.as_ref().map_or(change.from, |rate| rate.valid_from.unwrap_or(ALWAYS));
            found.insert((change.prefix, from), change.class);
            // A row that only ends has no new one: its end is what changed.
            if let (Some(old), None) = (&change.old, &change.new) {
                found.insert((change.prefix, old.valid_from.unwrap_or(ALWAYS)), change.class);
            }
        }
    });
    found
}

fn cell(field: Field, row: RowRef<'_>, root: &DeckRoot, change: &str) -> String {
    let instant = |at: i64| if at == ALWAYS || at == OPEN { String::new() } else { day(at) };
    match field {
        Field::Code => row.prefix().to_string(),
        Field::Destination => row.destination().to_string(),
        Field::Rate => row.row.next_rate.to_string(),
        Field::FirstRate => row.row.first_rate.to_string(),
        Field::ConnectFee => row.body.connect_fee.to_string(),
        Field::Increment => format!("{}/{}", row.body.first_interval, row.body.next_interval),
        Field::FirstInterval => row.body.first_interval.to_string(),
        Field::NextInterval => row.body.next_interval.to_string(),
        Field::From => instant(row.row.from),
        Field::Until => instant(row.row.until),
        Field::Status => status(row).to_owned(),
        Field::Currency => root.terms.currency.to_string(),
        Field::Change => change.to_owned(),
    }
}

/// Text that no spreadsheet takes for a formula. Ours alone: codes, prices and dates are never changed.
pub(super) fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn csv(
    columns: &[(String, Field)],
    rows: &[RowRef<'_>],
    root: &DeckRoot,
    change: &dyn Fn(RowRef<'_>) -> &'static str,
) -> String {
    let quoted = |text: String| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    };
    let mut out = String::new();
    let mut line = |cells: Vec<String>| {
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    };
    line(columns.iter().map(|(header, _)| quoted(harmless(header))).collect());
    for row in rows {
        let text = |(_, field): &(String, Field)| {
            let text = cell(*field, *row, root, change(*row));
            quoted(if *field == Field::Destination { harmless(&text) } else { text })
        };
        line(columns.iter().map(text).collect());
    }
    out
}

fn xlsx(
    columns: &[(String, Field)],
    rows: &[RowRef<'_>],
    root: &DeckRoot,
    change: &dyn Fn(RowRef<'_>) -> &'static str,
) -> Result<Vec<u8>, Failure> {
    if rows.len() > SHEET_ROWS_MAX {
        return Err(Failure::Usage(format!(
            "{} rows are above the {SHEET_ROWS_MAX} of a sheet; export csv",
            rows.len()
        )));
    }
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let (bold, marked) = (Format::new().set_bold(), Format::new().set_background_color(Color::Yellow));
    let write =
        |sheet: &mut rust_xlsxwriter::Worksheet, row: usize, column: usize, text: &str, format: Option<&Format>| {
            let (row, column) = (u32::try_from(row).unwrap_or(u32::MAX), u16::try_from(column).unwrap_or(u16::MAX));
            let written = match format {
                Some(format) => sheet.write_string_with_format(row, column, text, format),
                None => sheet.write_string(row, column, text),
            };
            written.map(drop).map_err(Failure::usage)
        };
    for (at, (header, _)) in columns.iter().enumerate() {
        write(sheet, 0, at, header, Some(&bold))?;
    }
    for (at, row) in rows.iter().enumerate() {
        let change = change(*row);
        let format = (!change.is_empty()).then_some(&marked);
        for (column, (_, field)) in columns.iter().enumerate() {
            let text = cell(*field, *row, root, change);
            let text = if *field == Field::Destination { harmless(&text) } else { text };
            write(sheet, at + 1, column, &text, format)?;
        }
    }
    workbook.save_to_buffer().map_err(|e| Failure::Broken(format!("workbook: {e}")))
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_name_that_would_run_in_the_customer_s_spreadsheet_is_text() {
        for name in ["=HYPERLINK(\"http://x\")", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(harmless(name), format!("'{name}"));
        }
        assert_eq!(harmless("Germany - Mobile"), "Germany - Mobile");
    }
}
