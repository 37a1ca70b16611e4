//! `tandem deck names`: a carrier's names of destinations beside ours, with suggestions by codes, as a mapping file that
//! `deck read` and `deck import` take. Loads decks and files; what is suggested is `decks::names`.

use super::args::NamesArgs;
use super::told::Told;
use super::{read_file, root, rows_of};
use crate::apply::read_bounded;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use crate::tables::table_of;
use console::source::Kind;
use decks::life::Rows;
use decks::names::{self, Book, Names, Suggestion};
use facts::Prefix;
use facts::config::Config;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A mapping file; also behind `--names` of `deck read` and `deck import`.
pub fn mapping(path: &Path) -> Result<Names, Failure> {
    names::parse(&text_of(path)?).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let bytes = read_bounded(path)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(Failure::Usage(format!("{}: is compressed; unpack it first (gunzip)", path.display())));
    }
    String::from_utf8(bytes).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))
}

/// Our naming: that of a deck, of number ranges, or of countries alone.
fn book(config: &Config, args: &NamesArgs, now: i64) -> Result<Book, Failure> {
    if let Some(deck) = &args.like {
        let rows = rows_of(config, &root(config, deck)?.chunks)?;
        let live = rows.iter().filter(|row| row.row.until > now);
        return Ok(Book::of(live.map(|row| (row.prefix(), row.destination().clone()))));
    }
    match &args.numbering {
        None => Ok(Book::countries()),
        Some(path) => names::ranges(&text_of(path)?, args.operators)
            .map_err(|e| Failure::Usage(format!("{}: {e}", path.display()))),
    }
}

/// What a carrier's names mean. Writes nothing here; the mapping is for whoever asked.
pub fn suggestions(config: &Config, args: &NamesArgs, now: i64) -> Result<Vec<Suggestion>, Failure> {
    let said = args.answers.names.as_deref().map(mapping).transpose()?.unwrap_or_default();
    let mut answers = args.answers.clone();
    // The carrier's own names are asked about.
    answers.names = None;
    let rows: Rows = read_file(&args.file, &answers, None, &Told::default())?.rows;
    let mut theirs: BTreeMap<SmolStr, BTreeSet<Prefix>> = BTreeMap::new();
    for row in rows.iter() {
        theirs.entry(row.destination().clone()).or_default().insert(row.prefix());
    }
    Ok(names::suggest(&theirs, &book(config, args, now)?, &said))
}

/// Lists the suggestions; the mapping file stands among the answer's files.
pub fn names(node: &Node, args: &NamesArgs, now: i64) -> Result<Answer, Failure> {
    let found = suggestions(&node.config.current(), args, now)?;
    let columns = [
        ("theirs", "Their name", Kind::Text),
        ("ours", "Our name", Kind::Text),
        ("codes", "Codes", Kind::Count),
        ("reason", "Because", Kind::Text),
    ];
    let open = found.iter().filter(|suggestion| suggestion.ours.is_none()).count();
    let row = |suggestion: &Suggestion| {
        let ours = suggestion.ours.as_ref().map(SmolStr::to_string).unwrap_or_default();
        vec![suggestion.theirs.to_string(), ours, suggestion.codes.to_string(), suggestion.reason()]
    };
    let mut answer = Answer::of(table_of(&columns, found.iter().map(row).collect()));
    answer.notes.push(format!("{} names, {open} of them open", found.len()));
    answer.differs = open > 0;
    if let Some(path) = &args.save {
        answer.files.push((path.clone(), names::save(&found).map_err(Failure::usage)?));
    }
    Ok(answer)
}
