//! The console's pages about decks, answered from the configuration in force: a page of rows, or a code's price over time,
//! reads the few chunks that hold it and never the whole deck. Writes nothing; see `jobs`.

use crate::deck_life::notices;
use crate::deck_life::show::{self, ROWS, cells};
use crate::node::{Node, wall_micros};
use crate::ops;
use crate::output::Failure;
use crate::pages::shown;
use crate::tables::table_of;
use bus::config_log::{rates_covering, rates_from};
use console::decks::{DeckView, RowsAsk, RowsView, Stretch, TimelineView};
use console::imports::ImportView;
use console::source::{Fact, Kind, SourceError, Table};
use decks::life::Rows;
use decks::life::diff::day;
use decks::life::rows::{ALWAYS, OPEN};
use facts::Prefix;
use facts::config::{Config, DeckImport, DeckRoot, ImportState};
use facts::deck::{Rate, RowStatus};
use facts::time::rfc3339;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of one page.
const PAGE: usize = 100;
/// Rows that one page looks through for a name; the next page goes on from there.
const LOOKED_MAX: usize = 250_000;
/// Imports on the page of all of them.
const LISTED: usize = 500;
/// Accounts named in one cell.
const NAMED: usize = 3;

/// Who uses a deck.
#[derive(Default)]
struct Users {
    accounts: BTreeSet<String>,
    products: BTreeSet<String>,
    carriers: BTreeSet<String>,
}

fn users(config: &Config) -> BTreeMap<String, Users> {
    let mut found: BTreeMap<String, Users> = BTreeMap::new();
    for agreement in config.agreements.values() {
        let product = config.products.get(&agreement.product);
        let Some(deck) = config.deck_of(agreement) else { continue };
        let users = found.entry(deck.to_string()).or_default();
        users.accounts.insert(format!("{} {}", agreement.side.as_str(), agreement.account));
        users.products.extend(product.map(|product| product.name.clone()));
        let carrier = config.accounts.get(&agreement.account).and_then(|account| config.carriers.get(&account.carrier));
        users.carriers.extend(carrier.map(|carrier| carrier.name.clone()));
    }
    found
}

/// The first names, and how many more there are.
fn few(names: &BTreeSet<String>) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn import_of<'c>(config: &'c Config, root: &DeckRoot) -> Option<&'c DeckImport> {
    let of_version =
        |import: &&DeckImport| import.deck == root.id && import.version == root.version && !import.is_told();
    config.imports.values().find(of_version)
}

fn held(config: &Config, deck: &str) -> usize {
    config.imports.values().filter(|import| import.deck == deck && import.state == ImportState::Held).count()
}

/// All decks, each with its newest version.
pub fn list(node: &Node) -> Table {
    let config = node.config.current();
    let users = users(&config);
    let columns = [
        ("deck", "Deck", Kind::Text),
        ("carrier", "Carrier", Kind::Text),
        ("used", "Prices", Kind::Text),
        ("product", "Product", Kind::Text),
        ("currency", "Currency", Kind::Text),
        ("versions", "Versions", Kind::Count),
        ("version", "Newest", Kind::Count),
        ("rows", "Rows", Kind::Count),
        ("effective", "Effective", Kind::Instant),
        ("held", "Held imports", Kind::Count),
    ];
    let none = Users::default();
    let newest = config.decks.iter().filter_map(|(deck, versions)| Some((deck, versions.len(), versions.last()?)));
    let mut rows: Vec<Vec<String>> = newest
        .map(|(deck, count, root)| {
            let users = users.get(deck.as_str()).unwrap_or(&none);
            let effective = import_of(&config, root).map(|import| rfc3339(import.effective.0)).unwrap_or_default();
            let mut cells = vec![deck.to_string(), few(&users.carriers), few(&users.accounts), few(&users.products)];
            cells.extend([root.terms.currency.to_string(), count.to_string(), root.version.to_string()]);
            cells.extend([root.rows.to_string(), effective, held(&config, deck).to_string()]);
            cells
        })
        .collect();
    // A deck whose first import waits has no version yet, and must not be forgotten.
    let waiting: BTreeSet<&str> = config
        .imports
        .values()
        .filter(|import| import.state == ImportState::Held && !config.decks.contains_key(&import.deck))
        .map(|import| import.deck.as_str())
        .collect();
    for deck in waiting {
        let mut cells = vec![String::new(); columns.len()];
        (cells[0], cells[5], cells[9]) = (deck.to_owned(), "0".to_owned(), held(&config, deck).to_string());
        rows.push(cells);
    }
    table_of(&columns, rows)
}

/// One deck; `None` = neither a version nor an import has this name.
pub fn deck(node: &Node, deck: &str) -> Option<DeckView> {
    let config = node.config.current();
    let versions = config.decks.get(deck).map(Vec::as_slice).unwrap_or_default();
    let mut imports: Vec<&DeckImport> =
        config.imports.values().filter(|import| import.deck == deck && !import.is_told()).collect();
    if versions.is_empty() && imports.is_empty() {
        return None;
    }
    imports.sort_by_key(|import| std::cmp::Reverse((import.at, import.id.clone())));
    let none = Users::default();
    let users = users(&config);
    let users = users.get(deck).unwrap_or(&none);
    let rules = config.rules_of(deck);
    let mut facts = Vec::new();
    if let Some(root) = versions.last() {
        let terms = &root.terms;
        facts.push(Fact::new("Currency", terms.currency.to_string()));
        facts.push(Fact::new("Newest version", format!("{} with {} rows", root.version, root.rows)));
        facts.push(Fact::new("Zones", format!("time bands {}, dates {}", terms.time_zone, terms.effective_zone)));
    }
    let said = |names: &BTreeSet<String>| if names.is_empty() { "nobody".to_owned() } else { few(names) };
    facts.push(Fact::new("Carrier", said(&users.carriers)));
    facts.push(Fact::new("Prices", said(&users.accounts)));
    facts.push(Fact::new("Notice of an increase", format!("{} days", rules.notice_days)));
    Some(DeckView {
        deck: deck.to_owned(),
        facts,
        versions: versions_table(&config, versions),
        imports: imports_table(&imports),
        newest: versions.last().map_or(0, |root| root.version),
        told: notices::list(&config, Some(deck), wall_micros()).unwrap_or_default(),
    })
}

fn versions_table(config: &Config, versions: &[DeckRoot]) -> Table {
    let columns = [
        ("version", "Version", Kind::Count),
        ("rows", "Rows", Kind::Count),
        ("changes", "Changes", Kind::Text),
        ("back", "Back to it", Kind::Text),
        ("effective", "Effective", Kind::Instant),
        ("at", "Imported", Kind::Instant),
        ("by", "By", Kind::Text),
        ("reason", "Reason", Kind::Text),
        ("source", "From", Kind::Text),
    ];
    let row = |root: &DeckRoot| {
        let import = import_of(config, root);
        let changes = if root.version > 1 { format!("beside {}", root.version - 1) } else { String::new() };
        let newest = versions.last().is_some_and(|last| last.version == root.version);
        let back = if newest { "in force" } else { "bring back" };
        let mut cells = vec![root.version.to_string(), root.rows.to_string(), changes, back.to_owned()];
        cells.push(import.map(|x| rfc3339(x.effective.0)).unwrap_or_default());
        cells.push(import.map(|x| rfc3339(x.at.0)).unwrap_or_default());
        cells.push(import.map(|x| x.by.clone()).unwrap_or_default());
        cells.push(import.map(|x| x.reason.clone()).unwrap_or_default());
        cells.push(root.source.clone());
        cells
    };
    table_of(&columns, versions.iter().rev().map(row).collect())
}

fn imports_table(imports: &[&DeckImport]) -> Table {
    let columns = [
        ("import", "Import", Kind::Text),
        ("state", "State", Kind::Text),
        ("kind", "Kind", Kind::Text),
        ("base", "Onto", Kind::Count),
        ("version", "Version", Kind::Count),
        ("at", "When", Kind::Instant),
        ("by", "By", Kind::Text),
        ("decided_by", "Decided by", Kind::Text),
        ("causes", "Held because", Kind::Text),
    ];
    let row = |import: &&DeckImport| {
        let version = if import.version == 0 { String::new() } else { import.version.to_string() };
        let mut cells = vec![import.id.to_string(), import.state.as_str().to_owned(), import.kind.to_string()];
        cells.extend([import.base.to_string(), version, rfc3339(import.at.0), import.by.clone()]);
        cells.extend([import.decided_by.clone(), import.causes.join("; ")]);
        cells
    };
    table_of(&columns, imports.iter().map(row).collect())
}

/// Imports of all decks, newest first.
pub fn imports(node: &Node) -> Table {
    let config = node.config.current();
    let mut imports: Vec<&DeckImport> = config.imports.values().filter(|import| !import.is_told()).collect();
    imports.sort_by_key(|import| std::cmp::Reverse((import.at, import.id.clone())));
    let shown = &imports[..imports.len().min(LISTED)];
    let mut table = imports_table(shown);
    if shown.len() < imports.len() {
        table.covers = format!("The newest {LISTED} of {}; each deck's page has its own", imports.len());
    }
    table
}

/// One import; `None` = there is none of this id.
pub fn import(node: &Node, id: &str) -> Option<ImportView> {
    let config = node.config.current();
    let import = config.imports.get(id)?;
    let deck = console::access::encode(&import.deck);
    let mut facts = vec![
        Fact::new("State", import.state.as_str()),
        Fact::new("Kind", import.kind.as_str()),
        Fact::new("File", import.file.clone()),
        Fact::new("Imported", format!("{} by {}: {}", rfc3339(import.at.0), import.by, import.reason)),
        Fact::new("Effective", rfc3339(import.effective.0)),
    ];
    if let Some(notice) = import.notice {
        facts.push(Fact::new("Increases by contract from", rfc3339(notice.0)));
    }
    if !import.product.is_empty() {
        facts.push(Fact::new("Product", import.product.as_str()));
    }
    if import.version > 0 {
        facts.push(Fact::linked("Version", import.version.to_string(), format!("/decks/{deck}/{}", import.version)));
        if import.base > 0 {
            let link = format!("/decks/{deck}/diff?from={}&to={}", import.base, import.version);
            facts.push(Fact::linked("Changes", format!("beside version {}", import.base), link));
        }
    }
    if !import.decided_by.is_empty() {
        let at = import.decided_at.map(|at| rfc3339(at.0)).unwrap_or_default();
        facts.push(Fact::new("Decided", format!("{at} by {}: {}", import.decided_by, import.decision)));
    }
    Some(ImportView {
        id: id.to_owned(),
        facts,
        causes: import.causes.clone(),
        held: import.state == ImportState::Held,
        deck: import.deck.to_string(),
    })
}

/// A version by its number.
pub fn version<'c>(config: &'c Config, deck: &str, version: u32) -> Option<&'c DeckRoot> {
    config.decks.get(deck)?.iter().find(|root| root.version == version)
}

/// Where a page of rows begins: a code, and how many of its rows were shown.
fn place(text: &str) -> Result<(Prefix, usize), SourceError> {
    if text.is_empty() {
        return Ok((Prefix::default(), 0));
    }
    let read = || {
        let (code, shown) = text.split_once('.')?;
        Some((Prefix::new(code).ok()?, shown.parse().ok()?))
    };
    read().ok_or_else(|| SourceError::Wrong(format!("after {text:?} is no place of a row, as 4930.1")))
}

/// Which rows a search is for.
enum Search {
    All,
    Code(Prefix),
    Name(String),
}

impl Search {
    fn of(text: &str) -> Self {
        let digits = text.trim().trim_start_matches('+');
        match text.trim() {
            "" => Self::All,
            _ if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let most = digits.len().min(facts::number::PREFIX_DIGITS_MAX);
                Prefix::new(&digits[..most]).map_or(Self::Name(digits.to_owned()), Self::Code)
            }
            name => Self::Name(name.to_lowercase()),
        }
    }

    /// Whether a row belongs; `None` = no later one can.
    fn takes(&self, rate: &Rate) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Code(code) => (rate.prefix.truncate(code.len()) == *code).then_some(true),
            Self::Name(name) => Some(rate.destination.to_lowercase().contains(name.as_str())),
        }
    }
}

/// A page of a version's rows.
pub fn rows(node: &Node, deck: &str, number: u32, ask: &RowsAsk) -> Result<Option<RowsView>, SourceError> {
    let config = node.config.current();
    let Some(root) = version(&config, deck, number) else { return Ok(None) };
    let at = ops::instant("at", &ask.at).map_err(shown)?;
    let (search, (mut from, mut skip)) = (Search::of(&ask.q), place(&ask.after)?);
    if let Search::Code(code) = search
        && from < code
    {
        (from, skip) = (code, 0);
    }
    let mut view = RowsView { facts: row_facts(&config, root), ..RowsView::default() };
    let (mut kept, mut looked, mut last, mut of_last) = (Vec::new(), 0usize, from, 0usize);
    rates_from(&config, root, from, &mut |rate| {
        if rate.prefix != last {
            (last, of_last) = (rate.prefix, 0);
        }
        if kept.len() == PAGE || looked == LOOKED_MAX {
            view.next = format!("{last}.{of_last}");
            return false;
        }
        of_last += 1;
        looked += 1;
        if rate.prefix == from && of_last <= skip {
            return true;
        }
        let Some(takes) = search.takes(&rate) else { return false };
        let in_force = |at: i64| rate.valid_from.is_none_or(|t| t <= at) && rate.valid_until.is_none_or(|t| at < t);
        if takes && at.is_none_or(in_force) {
            kept.push(rate);
        }
        true
    })
    .map_err(|error| shown(Failure::broken(error)))?;
    if looked >= LOOKED_MAX && kept.len() < PAGE {
        view.note =
            format!("{LOOKED_MAX} rows were looked through, up to code {last}; the next page goes on from there.");
    }
    if let (Search::Code(code), true, true) = (&search, kept.is_empty(), ask.after.is_empty()) {
        kept = rates_covering(&config, root, *code).map_err(|error| shown(Failure::broken(error)))?;
        if !kept.is_empty() {
            view.note = format!("No code begins with {code}; these price it, the longest first.");
        }
    }
    view.rows = table_of(&ROWS, kept.into_iter().map(row_cells).collect());
    Ok(Some(view))
}

fn row_cells(rate: Rate) -> Vec<String> {
    let rows = Rows::of([rate]);
    rows.get(0).map(cells).unwrap_or_default()
}

fn row_facts(config: &Config, root: &DeckRoot) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("Currency", format!("{} a minute", root.terms.currency)),
        Fact::new("Rows", root.rows.to_string()),
        Fact::new("From", root.source.clone()),
    ];
    if let Some(import) = import_of(config, root) {
        let link = format!("/deck-imports/{}", console::access::encode(&import.id));
        facts.push(Fact::linked("Import", format!("{} by {}", import.id, import.by), link));
    }
    facts
}

/// How a code's price moves in the newest version, which keeps past rows too.
pub fn timeline(
    node: &Node,
    deck: &str,
    code: &str,
    at: &str,
    now: i64,
) -> Result<Option<(u32, TimelineView)>, SourceError> {
    let config = node.config.current();
    let Some(root) = config.decks.get(deck).and_then(|versions| versions.last()) else { return Ok(None) };
    let digits = code.trim().trim_start_matches('+');
    if digits.is_empty() {
        return Ok(Some((root.version, TimelineView::default())));
    }
    let most = digits.len().min(facts::number::PREFIX_DIGITS_MAX);
    let number = Prefix::new(digits.get(..most).unwrap_or(digits)).map_err(|e| SourceError::Wrong(e.to_string()))?;
    let at = ops::instant("at", at).map_err(shown)?.unwrap_or(now / 1_000_000 * 1_000_000);
    let found = rates_covering(&config, root, number).map_err(|error| shown(Failure::broken(error)))?;
    let rows = Rows::of(found);
    let mut view = TimelineView {
        code: digits.to_owned(),
        currency: root.terms.currency.to_string(),
        at: rfc3339(at),
        at_micros: at,
        ..TimelineView::default()
    };
    let mut table = Vec::new();
    for (from, until, row) in show::timeline(&rows, number) {
        let mut cells = row.map_or_else(|| vec![String::new(); ROWS.len()], cells);
        (cells[6], cells[7]) = (day(from), day(until));
        if row.is_none() {
            "no rate".clone_into(&mut cells[9]);
        }
        cells.push(root.version.to_string());
        table.push(cells);
        let priced = row.filter(|row| row.status() == RowStatus::Open);
        view.stretches.push(Stretch {
            from: (from != ALWAYS).then_some(from),
            until: (until != OPEN).then_some(until),
            rate: priced.map(|row| row.row.next_rate.0),
        });
    }
    let columns: Vec<(&str, &str, Kind)> = ROWS.into_iter().chain([("version", "Version", Kind::Count)]).collect();
    view.rows = table_of(&columns, table);
    view.then = then(&rows, number, at, root);
    Ok(Some((root.version, view)))
}

/// The row that prices a number at an instant.
fn then(rows: &Rows, number: Prefix, at: i64, root: &DeckRoot) -> Vec<Fact> {
    let when = Fact::new("At", rfc3339(at));
    let Some(row) = rows.covering(number, at) else { return vec![when, Fact::new("Price", "none")] };
    let (code, deck) = (row.prefix(), console::access::encode(&root.id));
    let row_text = format!("{code} {}, deck {} version {}", row.destination(), root.id, root.version);
    let price = match row.status() {
        RowStatus::Open => format!("{} {} a minute", row.row.next_rate, root.terms.currency),
        _ => show::status(row).to_owned(),
    };
    let billed = format!("{}/{}", row.body.first_interval, row.body.next_interval);
    let row_link = format!("/decks/{deck}/{}/{code}", root.version);
    vec![when, Fact::new("Price", price), Fact::new("Increment", billed), Fact::linked("Row", row_text, row_link)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_rows_is_named_by_code_and_count_and_nothing_else() {
        assert_eq!(place("4930.2").unwrap(), (Prefix::new("4930").unwrap(), 2));
        assert_eq!(place("").unwrap(), (Prefix::default(), 0));
        for wrong in ["4930", "x.1", "4930.x", "1234567890123456.0"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
