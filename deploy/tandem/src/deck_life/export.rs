//! A deck as a file for somebody else: CSV or XLSX, in his columns, with what changed marked, and the notice that tells him
//! of it. A name that a spreadsheet would take for a formula is made text; prices are text too, for a spreadsheet's
//! numbers are no decimals.

use super::args::{ExportArgs, ExportFormat};
use super::layout::Layout;
use super::notices::{self, changes_since};
use super::show::status;
use super::traffic::instant_or;
use super::{root, rows_of};
use crate::node::Node;
use crate::ops::{self, Answer};
use crate::output::Failure;
use decks::life::announce::{Announcement, Told, announce, day as day_of};
use decks::life::diff::{Change, day};
use decks::life::rows::{ALWAYS, OPEN};
use decks::life::{Class, RowRef};
use facts::Prefix;
use facts::config::{Config, DeckRoot};
use rust_xlsxwriter::{Color, Format, Workbook};
use std::collections::HashMap;

/// Most rows of one sheet, its header not counted.
const SHEET_ROWS_MAX: usize = 1_048_575;

/// What a column can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
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
    OldRate,
    OldIncrement,
}

const FIELDS: [(&str, Field); 15] = [
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
    ("old_rate", Field::OldRate),
    ("old_increment", Field::OldIncrement),
];

impl Field {
    pub fn named(word: &str) -> Option<Self> {
        FIELDS.iter().find(|(name, _)| *name == word).map(|(_, field)| *field)
    }

    /// All of them, for messages.
    pub fn words() -> String {
        FIELDS.map(|(name, _)| name).join(", ")
    }
}

/// What changed at a row.
struct Mark {
    class: Class,
    old_rate: String,
    old_increment: String,
}

/// Rows of a version against an older one.
type Marks = HashMap<(Prefix, i64), Mark>;

/// A line of the file.
struct Line {
    cells: Vec<String>,
    marked: bool,
}

/// Writes the rows of a version, and the notice where one is asked for.
pub fn export(node: &Node, args: &ExportArgs, now: i64) -> Result<Answer, Failure> {
    let config = node.config.current();
    let root = root(&config, &args.deck)?;
    let rows = rows_of(&config, &root.chunks)?;
    let at = ops::instant("--at", args.at.as_deref().unwrap_or_default())?;
    let told = instant_or("--announced", args.announced.as_deref(), now)?;
    let layout = Layout::of(args)?;
    let since = since(&config, args, root)?;
    let changes = since.map_or(Ok(Vec::new()), |since| changes_since(&config, root, since))?;
    let marks = marks(&changes);
    let kept = rows.iter().filter(|row| at.is_none_or(|at| at < row.row.until));
    let wanted = kept.filter(|row| !layout.changes_only || marks.contains_key(&key(*row)));
    let lines = wanted.map(|row| line(row, root, &layout, marks.get(&key(row))));
    let mut lines: Vec<Line> = lines.collect();
    let count = lines.len();
    if let Some(between) = &layout.join_codes {
        lines = joined(lines, &layout.columns, between);
    }
    let above: Vec<String> = layout.above.iter().map(|text| filled(text, root, told)).collect();
    let bytes = match args.format {
        ExportFormat::Csv => csv(&layout, &above, &lines).into_bytes(),
        ExportFormat::Xlsx => xlsx(&layout, &above, &lines)?,
    };
    let notes = vec![format!("{count} rows of deck {} version {}", root.id, root.version)];
    let mut answer = Answer { bytes: Some(bytes), notes, ..Answer::default() };
    if args.notice.is_some() {
        notice(&config, args, root, &changes, (since.unwrap_or_default(), told), &mut answer)?;
    }
    Ok(answer)
}

/// The version that the customer has, where changes are wanted.
fn since(config: &Config, args: &ExportArgs, root: &DeckRoot) -> Result<Option<u32>, Failure> {
    let since = notices::since(config, &root.id, args.to.as_deref(), args.since)?;
    match since.is_none() && (args.notice.is_some() || args.changes) {
        true => Err(Failure::Usage("--since: name the version that the customer has, or him with --to".to_owned())),
        false => Ok(since),
    }
}

fn key(row: RowRef<'_>) -> (Prefix, i64) {
    (row.prefix(), row.row.from)
}

/// The text of a mail, written beside the file; increases that come too early are told and not sent.
fn notice(
    config: &Config,
    args: &ExportArgs,
    root: &DeckRoot,
    changes: &[Change],
    (since, told): (u32, i64),
    answer: &mut Answer,
) -> Result<(), Failure> {
    let file = args.output.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let announcement = Announcement {
        deck: &root.id,
        version: root.version,
        since,
        currency: root.terms.currency,
        rule: root.terms.interval_rule,
        told,
        notice_days: args.notice_days.unwrap_or(config.rules_of(&root.id).notice_days),
        we: &config.settings.legal_entity,
        file: file.as_deref().unwrap_or_default(),
    };
    let Told { text, early, changes } = announce(&announcement, changes);
    answer.notes.push(format!("{changes} changes since version {}", announcement.since));
    answer.differs = !early.is_empty();
    if !early.is_empty() {
        let days = announcement.notice_days;
        answer.notes.push(format!("{} codes become dearer before {days} days of notice have run:", early.len()));
        let shown = early.iter().take(super::weigh::SHOWN);
        answer.notes.extend(shown.map(|(code, name, at)| format!("  {code} {name} from {}", day_of(*at))));
        answer.notes.push(
            "make or import the deck again with the day that the customer is told; no notice is written".to_owned(),
        );
        return Ok(());
    }
    if let Some(path) = &args.notice {
        answer.files.push((path.clone(), text));
    }
    Ok(())
}

fn filled(text: &str, root: &DeckRoot, told: i64) -> String {
    let (version, currency) = (root.version.to_string(), root.terms.currency.to_string());
    let text = text.replace("{deck}", &root.id).replace("{version}", &version).replace("{currency}", &currency);
    text.replace("{date}", &day_of(told))
}

/// What changed at the row that begins then.
fn marks(changes: &[Change]) -> Marks {
    let mut found = HashMap::new();
    for change in changes {
        let old = change.old.as_ref();
        let mark = || Mark {
            class: change.class,
            old_rate: old.map(|rate| rate.next_rate.to_string()).unwrap_or_default(),
            old_increment: old
                .map(|rate| format!("{}/{}", rate.first_interval, rate.next_interval))
                .unwrap_or_default(),
        };
        let from = change.new.as_ref().map_or(change.from, |rate| rate.valid_from.unwrap_or(ALWAYS));
        found.insert((change.prefix, from), mark());
        // A row that only ends has no new one: its end is what changed.
        if let (Some(old), None) = (&change.old, &change.new) {
            found.insert((change.prefix, old.valid_from.unwrap_or(ALWAYS)), mark());
        }
    }
    found
}

fn line(row: RowRef<'_>, root: &DeckRoot, layout: &Layout, mark: Option<&Mark>) -> Line {
    let cells = layout.columns.iter().map(|(_, field)| cell(*field, row, root, layout, mark)).collect();
    Line { cells, marked: mark.is_some() }
}

fn cell(field: Field, row: RowRef<'_>, root: &DeckRoot, layout: &Layout, mark: Option<&Mark>) -> String {
    let instant = |at: i64| if at == ALWAYS || at == OPEN { String::new() } else { layout.date(day(at)) };
    match field {
        Field::Code => row.prefix().to_string(),
        Field::Destination => harmless(row.destination()),
        Field::Rate => layout.decimal(row.row.next_rate.to_string()),
        Field::FirstRate => layout.decimal(row.row.first_rate.to_string()),
        Field::ConnectFee => layout.decimal(row.body.connect_fee.to_string()),
        Field::Increment => format!("{}/{}", row.body.first_interval, row.body.next_interval),
        Field::FirstInterval => row.body.first_interval.to_string(),
        Field::NextInterval => row.body.next_interval.to_string(),
        Field::From => instant(row.row.from),
        Field::Until => instant(row.row.until),
        Field::Status => status(row).to_owned(),
        Field::Currency => root.terms.currency.to_string(),
        Field::Change => mark.map(|mark| layout.word(mark.class.as_str())).unwrap_or_default(),
        Field::OldRate => mark.map(|mark| layout.decimal(mark.old_rate.clone())).unwrap_or_default(),
        Field::OldIncrement => mark.map(|mark| mark.old_increment.clone()).unwrap_or_default(),
    }
}

/// Lines that differ in nothing but the code become one.
fn joined(lines: Vec<Line>, columns: &[(String, Field)], between: &str) -> Vec<Line> {
    let Some(code) = columns.iter().position(|(_, field)| *field == Field::Code) else { return lines };
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    let mut all: Vec<Line> = Vec::new();
    for line in lines {
        let mut rest = line.cells.clone();
        let own = std::mem::take(&mut rest[code]);
        if let Some(known) = places.get(&rest).and_then(|at| all.get_mut(*at)) {
            known.cells[code].push_str(between);
            known.cells[code].push_str(&own);
        } else {
            places.insert(rest, all.len());
            all.push(line);
        }
    }
    all
}

/// A line of CSV, its cells quoted where they need it and none of them a formula.
pub(super) fn csv_line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.map(|cell| quoted(harmless(&cell))).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

fn quoted(text: String) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => quoted_always(&text),
        false => text,
    }
}

fn quoted_always(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Text that no spreadsheet takes for a formula. Ours alone: codes, prices and dates are never changed.
pub(super) fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn csv(layout: &Layout, above: &[String], lines: &[Line]) -> String {
    let separator = layout.separator;
    let text = |cell: &str| match cell.contains([separator, '"', '\n', '\r']) {
        true => quoted_always(cell),
        false => cell.to_owned(),
    };
    let mut out = String::new();
    let mut put = |cells: &[String]| {
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                out.push(separator);
            }
            out.push_str(&text(cell));
        }
        out.push_str("\r\n");
    };
    above.iter().for_each(|line| put(&[harmless(line)]));
    put(&layout.columns.iter().map(|(header, _)| harmless(header)).collect::<Vec<_>>());
    lines.iter().for_each(|line| put(&line.cells));
    out
}

fn xlsx(layout: &Layout, above: &[String], lines: &[Line]) -> Result<Vec<u8>, Failure> {
    if lines.len() + above.len() > SHEET_ROWS_MAX {
        let rows = lines.len();
        return Err(Failure::Usage(format!("{rows} rows are above the {SHEET_ROWS_MAX} of a sheet; export csv")));
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
    for (at, text) in above.iter().enumerate() {
        write(sheet, at, 0, &harmless(text), None)?;
    }
    for (at, (header, _)) in layout.columns.iter().enumerate() {
        write(sheet, above.len(), at, &harmless(header), Some(&bold))?;
    }
    for (at, line) in lines.iter().enumerate() {
        let format = line.marked.then_some(&marked);
        for (column, text) in line.cells.iter().enumerate() {
            write(sheet, above.len() + at + 1, column, text, format)?;
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
