//! How a customer wants his file: columns and their headers, lines above the table, dates, decimal mark, his words for
//! changes, one line a destination. A template (TOML), or flags. Formats cells; writes no file.

use super::args::ExportArgs;
use super::export::Field;
use crate::apply::read_bounded;
use crate::output::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The template's text; docs/guides/selling.md describes each field.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Text {
    columns: Vec<String>,
    above: Vec<String>,
    separator: Option<char>,
    decimal: Option<String>,
    dates: Option<String>,
    changes_only: bool,
    join_codes: Option<String>,
    words: BTreeMap<String, String>,
}

/// How the file looks.
#[derive(Debug)]
pub struct Layout {
    /// Header and field.
    pub columns: Vec<(String, Field)>,
    /// Lines above the header, `{deck}`, `{version}`, `{currency}` and `{date}` filled in.
    pub above: Vec<String>,
    pub separator: char,
    pub comma: bool,
    /// As `DD.MM.YYYY`; none: RFC 3339.
    pub dates: Option<String>,
    pub changes_only: bool,
    /// Codes of lines that are otherwise alike, in one cell with this between them.
    pub join_codes: Option<String>,
    /// The customer's words for changes.
    words: BTreeMap<String, String>,
}

impl Layout {
    /// Flags stand above the template.
    pub fn of(args: &ExportArgs) -> Result<Self, Failure> {
        let mut text = Text::default();
        if let Some(path) = &args.template {
            let wrong = |reason: &dyn std::fmt::Display| Failure::Usage(format!("{}: {reason}", path.display()));
            let bytes = read_bounded(path)?;
            let read = std::str::from_utf8(&bytes).map_err(|e| wrong(&e))?;
            text = toml::from_str(read).map_err(|e| wrong(&e.to_string().trim()))?;
            check(&text).map_err(|reason| wrong(&reason))?;
        }
        let columns = if args.columns.is_empty() { &text.columns } else { &args.columns };
        Ok(Self {
            columns: columns_of(columns, args.since.is_some())?,
            above: text.above,
            separator: text.separator.unwrap_or(','),
            comma: text.decimal.as_deref() == Some("comma"),
            dates: text.dates,
            changes_only: text.changes_only || args.changes,
            join_codes: text.join_codes,
            words: text.words,
        })
    }

    /// A price with the customer's decimal mark.
    pub fn decimal(&self, text: String) -> String {
        if self.comma { text.replace('.', ",") } else { text }
    }

    /// An instant as the customer writes days; one that is no midnight UTC keeps its time.
    pub fn date(&self, rfc3339: String) -> String {
        let Some((format, day)) = self.dates.as_ref().zip(rfc3339.strip_suffix("T00:00:00Z")) else { return rfc3339 };
        let mut parts = day.splitn(3, '-');
        let mut next = || parts.next().unwrap_or_default();
        let (year, month, day) = (next(), next(), next());
        format.replace("YYYY", year).replace("MM", month).replace("DD", day)
    }

    /// The customer's word for a change.
    pub fn word(&self, change: &str) -> String {
        self.words.get(change).cloned().unwrap_or_else(|| change.to_owned())
    }
}

fn check(text: &Text) -> Result<(), String> {
    if let Some(word) = text.decimal.as_deref().filter(|word| !matches!(*word, "point" | "comma")) {
        return Err(format!("decimal = {word:?}: write point or comma"));
    }
    if text.separator == Some('"') || text.separator.is_some_and(|c| !c.is_ascii()) {
        return Err("separator: one ASCII character, not a quotation mark".to_owned());
    }
    if let Some(dates) = &text.dates
        && !["YYYY", "MM", "DD"].iter().all(|part| dates.matches(part).count() == 1)
    {
        return Err(format!("dates = {dates:?}: name YYYY, MM and DD once each, as DD.MM.YYYY"));
    }
    let known = decks::life::Class::ALL.map(decks::life::Class::as_str);
    if let Some(word) = text.words.keys().find(|word| !known.contains(&word.as_str())) {
        return Err(format!("words: {word:?} is no change; they are {}", known.join(", ")));
    }
    Ok(())
}

/// Columns as asked for: `HEADER=FIELD`, or a field that is its own header.
fn columns_of(asked: &[String], marked: bool) -> Result<Vec<(String, Field)>, Failure> {
    if asked.is_empty() {
        // Headers that `tandem deck read` knows.
        let dates = |word: &str| matches!(word, "from" | "until");
        let header = |word: &str| if dates(word) { format!("valid_{word}") } else { word.to_owned() };
        let words = ["code", "destination", "rate", "increment", "from", "until", "status"];
        let all = words.into_iter().chain(marked.then_some("change"));
        return Ok(all.filter_map(|word| Some((header(word), Field::named(word)?))).collect());
    }
    let parse = |text: &String| {
        let (header, word) = text.split_once('=').unwrap_or((text, text));
        let field = Field::named(word.trim()).ok_or_else(|| {
            Failure::Usage(format!("columns {text}: {word:?} is no field; the fields are {}", Field::words()))
        })?;
        Ok((header.trim().to_owned(), field))
    };
    asked.iter().map(parse).collect()
}
