//! `tandem apply`: files into a plan of configuration items. Reads files; writing the plan to the `config` log is
//! `node`'s part, so that the demo and the tests apply the same way.

mod areas;
mod deck_text;
pub mod diff;
pub mod document;
pub mod least;
pub mod rollback;

use crate::output::Failure;
use deck_text::Declared;
use diff::{Change, broken_references};
use document::{Desired, Document};
use facts::config::{Config, ConfigItem, DeckRoot};
use facts::deck::OriginGroup;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes of a deck file that `apply` reads into memory; `decks` has its own, finer limits.
const DECK_FILE_BYTES_MAX: u64 = 256 << 20;

/// What would be written, and what it means.
pub struct Plan {
    pub items: Vec<ConfigItem>,
    pub changes: Vec<Change>,
    /// Rows of deck files that could not be read: file, place, reason, advice.
    pub problems: Vec<String>,
    /// What may not be meant, and is written all the same.
    pub warnings: Vec<String>,
}

/// Reads `path` (a TOML file or a folder of them) and plans the way from `now` to it.
pub fn plan(path: &Path, now: &Config, prune: bool) -> Result<Plan, Failure> {
    let mut items = Vec::new();
    let mut problems = Vec::new();
    let (mut area_files, mut written) = (Vec::new(), Vec::new());
    for file in documents(path)? {
        let Desired { items: read, decks, areas, area_file } = read_document(&file)?;
        items.extend(read);
        let folder = file.parent().unwrap_or(Path::new("."));
        area_files.extend(area_file.map(|name| folder.join(name)));
        written.extend(areas);
        for deck in decks {
            items.extend(read_deck(&deck, folder, now, &mut problems)?);
        }
    }
    items.extend(areas::items(&area_files, written)?);
    plan_items(items, now, prune, problems)
}

/// Plans the way from `now` to the items, refusing what would break references or identification.
pub fn plan_items(items: Vec<ConfigItem>, now: &Config, prune: bool, problems: Vec<String>) -> Result<Plan, Failure> {
    let (items, changes) = diff::diff(now, items, prune);
    let items = without_known_chunks(items, now);
    let mut after = now.clone();
    items.iter().cloned().for_each(|item| after.apply(item));
    let mut faults = broken_references(&after);
    faults.extend(areas::faults(&after));
    faults.extend(rating::check_overlaps(&after).iter().map(ToString::to_string));
    if !faults.is_empty() {
        return Err(Failure::Usage(format!("nothing was applied:\n  {}", faults.join("\n  "))));
    }
    let changes = changes.into_iter().filter(|change| change.kind != "deck_chunk").collect();
    let warnings = least::warnings(&after, &items);
    Ok(Plan { items, changes, problems, warnings })
}

/// Chunks that an earlier deck already brought are not written again.
fn without_known_chunks(items: Vec<ConfigItem>, now: &Config) -> Vec<ConfigItem> {
    let mut seen = std::collections::HashSet::new();
    let new = |item: &ConfigItem| match item {
        ConfigItem::DeckChunk { hash, .. } => !now.chunks.contains_key(hash) && seen.insert(*hash),
        _ => true,
    };
    let mut new = new;
    items.into_iter().filter(|item| new(item)).collect()
}

fn documents(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let broken = |e: std::io::Error| Failure::Usage(format!("{}: {e}", path.display()));
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(broken)? {
        let file = entry.map_err(broken)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::Usage(format!("{}: no .toml file in this folder", path.display())));
    }
    Ok(files)
}

fn read_document(file: &Path) -> Result<Desired, Failure> {
    let text = fs::read_to_string(file).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
    let document: Document =
        toml::from_str(&text).map_err(|e| Failure::Usage(format!("{}: {}", file.display(), e.to_string().trim())))?;
    document.into_desired().map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {fault}", file.display())).collect();
        Failure::Usage(lines.join("\n"))
    })
}

/// Reads a deck's file into its root and chunks; the version counts up only when rows or terms differ.
fn read_deck(
    deck: &Declared,
    folder: &Path,
    now: &Config,
    problems: &mut Vec<String>,
) -> Result<Vec<ConfigItem>, Failure> {
    let Some(file) = &deck.file else { return terms_only(deck, now).map(|item| vec![item]) };
    let file = folder.join(file);
    let bytes = read_bounded(&file)?;
    let template = match &deck.template {
        Some(path) => crate::deck::read_template(&folder.join(path))?,
        None => decks::ReadOptions::default(),
    };
    let options = decks::ReadOptions {
        currency: deck.currency.or(template.currency),
        effective_zone: deck.effective_zone(),
        time_bands: deck.time_bands(),
        ..template
    };
    let read = decks::read(&file.display().to_string(), &bytes, &options).map_err(Failure::usage)?;
    problems.extend(read.problems.iter().map(|problem| problem_line(&file, problem)));
    let currency = deck.currency.or(read.found.currency).ok_or_else(|| {
        Failure::Usage(format!(
            "{}: the file does not say its currency; add currency = \"USD\" to deck {:?}",
            file.display(),
            deck.id
        ))
    })?;
    let rates: Vec<facts::deck::Rate> = read.rates.into_iter().map(|(rate, _)| rate).collect();
    let mut terms = deck.terms(currency);
    // A group that the document declares stands above the file's of that name.
    let new = |group: &OriginGroup| !terms.origin_groups.iter().any(|known| known.name == group.name);
    let groups: Vec<OriginGroup> = read.found.origin_groups.into_iter().filter(new).collect();
    terms.origin_groups.extend(groups);
    deck_items(&deck.id, terms, rates, &file.display().to_string(), now)
}

/// A deck whose rows come by `tandem deck import`: other terms over the rows that are there, or none yet.
fn terms_only(deck: &Declared, now: &Config) -> Result<ConfigItem, Failure> {
    let last = now.decks.get(deck.id.as_str()).and_then(|versions| versions.last());
    let currency = deck.currency.or(last.map(|last| last.terms.currency)).ok_or_else(|| {
        Failure::Usage(format!("deck {:?} has no file yet; add currency = \"USD\", then import one", deck.id))
    })?;
    let terms = deck.terms(currency);
    let root = match last {
        Some(last) if last.terms == terms => last.clone(),
        Some(last) => DeckRoot { version: last.version + 1, terms, source: "terms".to_owned(), ..last.clone() },
        None => DeckRoot {
            id: deck.id.as_str().into(),
            version: 1,
            terms,
            chunks: Vec::new(),
            rows: 0,
            source: "terms".to_owned(),
        },
    };
    rating::DeckBuilder::of_root(&root).map_err(|error| Failure::Usage(format!("deck {:?}: {error}", deck.id)))?;
    Ok(ConfigItem::Deck(root))
}

/// Root and chunks of a deck version from its rows, in any order.
pub fn deck_items(
    id: &str,
    terms: facts::deck::DeckTerms,
    mut rates: Vec<facts::deck::Rate>,
    source: &str,
    now: &Config,
) -> Result<Vec<ConfigItem>, Failure> {
    decks::sort_and_close(&mut rates);
    let (root, mut items) = version_items(id, terms, rates.into_iter(), source, now)?;
    items.push(ConfigItem::Deck(root));
    Ok(items)
}

/// The next version of a deck from its rows in order, and the chunks that the log does not have yet. What rating could
/// not use is refused here, before it is in force.
pub fn version_items(
    id: &str,
    terms: facts::deck::DeckTerms,
    rates: impl Iterator<Item = facts::deck::Rate>,
    source: &str,
    now: &Config,
) -> Result<(DeckRoot, Vec<ConfigItem>), Failure> {
    let last = now.decks.get(id).and_then(|versions| versions.last());
    let version = last.map_or(1, |last| last.version + 1);
    let refused = |error: &dyn std::fmt::Display| Failure::Usage(format!("{source}: deck {id:?}: {error}"));
    let mut root = DeckRoot { id: id.into(), version, terms, chunks: Vec::new(), rows: 0, source: source.to_owned() };
    let mut compiled = rating::DeckBuilder::of_root(&root).map_err(|error| refused(&error))?;
    let mut wrong = None;
    let rates = rates.inspect(|rate| {
        root.rows += 1;
        if wrong.is_none() {
            wrong = compiled.push_for_ties(rate).err();
        }
    });
    let base = last.map_or(&[][..], |last| &last.chunks);
    let split = schemas::deck_rows::split_onto(rates, base, &|hash| now.chunks.get(hash).map(|bytes| &**bytes));
    let split = split.map_err(|error| refused(&error))?;
    if let Some(error) = wrong {
        return Err(refused(&error));
    }
    if let Some(tie) = compiled.finish().first_tie() {
        return Err(refused(&rating::CompileError::Tie(tie)));
    }
    root.chunks = split.root;
    Ok((root, split.new.into_iter().map(|(hash, rows)| ConfigItem::DeckChunk { hash, rows }).collect()))
}

/// One line for people about a row that is no rate.
pub fn problem_line(file: &Path, problem: &decks::Problem) -> String {
    let sheet = if problem.source.sheet.is_empty() { String::new() } else { format!("{}!", problem.source.sheet) };
    let column = if problem.column.is_empty() { String::new() } else { format!(" {}", problem.column) };
    format!("{}:{sheet}{}{column}: {}; {}", file.display(), problem.source.row, problem.reason, problem.advice)
}

/// A whole file, refused by size before it is read.
pub fn read_bounded(file: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |e: std::io::Error| Failure::Usage(format!("{}: {e}", file.display()));
    let mut input = fs::File::open(file).map_err(wrong)?;
    let size = input.metadata().map_err(wrong)?.len();
    let mut bytes = Vec::new();
    if size <= DECK_FILE_BYTES_MAX {
        // A pipe or a device does not say how long it is.
        input.by_ref().take(DECK_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    }
    let size = size.max(bytes.len() as u64);
    if size > DECK_FILE_BYTES_MAX {
        return Err(Failure::Usage(format!(
            "{}: {size} bytes or more are above the limit of {DECK_FILE_BYTES_MAX}; split the file",
            file.display()
        )));
    }
    Ok(bytes)
}

/// A plan as people read it.
pub fn lines(plan: &Plan) -> Vec<String> {
    const SHOWN: usize = 20;
    let mut lines = Vec::new();
    for change in &plan.changes {
        lines.push(format!("{} {} {}", change.sign.as_str(), change.kind, change.id));
        lines.extend(change.fields.iter().map(|field| format!("      {field}")));
    }
    lines.extend(plan.problems.iter().take(SHOWN).cloned());
    if plan.problems.len() > SHOWN {
        let more = plan.problems.len() - SHOWN;
        lines.push(format!("... and {more} more rows with problems; see them all with tandem deck read FILE"));
    }
    lines.extend(plan.warnings.iter().cloned());
    lines
}
