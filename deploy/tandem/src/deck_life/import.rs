//! A carrier's file into the next version of a deck, an older version back as the newest, and the second person's word
//! on what is held. What a version is made of, weighed and written by stands in `take`.

use super::args::{DecideArgs, DiffArgs, ImportArgs, RollbackArgs, absolute};
use super::foreign::Foreign;
use super::take::{Claims, Incoming, new_record, person, plan, publish, source, take};
use super::told::Told;
use super::traffic::{self, Traffic, instant_or};
use super::weigh::{Step, Weighed};
use super::{FileRows, read_file, root, rows_of, split_name};
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use decks::life::{Kind, Moment, Rows, merge};
use facts::OccurredAt;
use facts::config::{Config, ConfigItem, DeckImport, DeckRoot, ImportState};
use facts::deck::DeckTerms;
use serde_json::json;
use smol_str::SmolStr;
use std::path::Path;

/// Reads, merges and weighs a file; with `write` it becomes the next version, or is held.
pub fn import(node: &Node, args: &ImportArgs, write: bool, now: i64, told: &Told) -> Result<Answer, Failure> {
    let config = node.config.current();
    let last = config.decks.get(args.deck.as_str()).and_then(|versions| versions.last());
    let mut file = read_file(&args.file, &args.answers, last, told)?;
    let terms = terms(args, last, &file)?;
    if file.problem_rows > 0 && !args.with_problems {
        return Ok(unreadable(&file));
    }
    if file.rows.is_empty() {
        return Err(Failure::Usage(format!("{}: no row could be read; nothing was imported", args.file.display())));
    }
    let received = instant_or("--received", args.received.as_deref(), now)?;
    let mut foreign = Foreign::of(&config, &args.deck, file.currency, terms.currency, received)?;
    let mut causes = Vec::new();
    if let Some(foreign) = &mut foreign {
        causes.push(foreign.cause(&args.deck));
        file.rows = foreign.converted(std::mem::take(&mut file.rows))?;
    }
    if file.problem_rows > 0 {
        causes.push(format!("{} rows could not be read; their codes count as not listed", file.problem_rows));
    }
    let product = file.product.clone().unwrap_or_default();
    let was = config.last_import(&args.deck).map(|import| &import.product);
    if let Some(was) = was.filter(|was| !was.is_empty() && **was != product) {
        causes.push(format!("the product is {product:?}, last time it was {was:?}"));
    }
    let kind = if args.kind.az { Kind::Az } else { Kind::Partial };
    let incoming = Incoming {
        deck: &args.deck,
        terms,
        rows: &file.rows,
        kind,
        word: SmolStr::new_static(kind.as_str()),
        effective: received,
        notified: received,
        days: args.days,
        file: args.file.display().to_string(),
        file_hash: file.hash,
        product,
        by: &args.by,
        reason: &args.reason,
        zero: file.zero,
        causes,
        claims: Claims::Kept { letter: args.letter.clone() },
        all_changes: args.all_changes.clone(),
        foreign: foreign.as_ref(),
        lines: Vec::new(),
        more: json!({}),
    };
    let mut notes = file.problems.clone();
    notes.extend(file.assumptions.iter().cloned());
    take(node, &config, incoming, notes, write, now, told)
}

/// The terms of the version: the deck's own, or those of a new one in the file's currency.
fn terms(args: &ImportArgs, last: Option<&DeckRoot>, file: &FileRows) -> Result<DeckTerms, Failure> {
    let mut terms = match (last, file.currency) {
        (Some(last), _) => last.terms.clone(),
        (None, Some(found)) => DeckTerms::new(found),
        (None, None) => {
            let file = args.file.display();
            return Err(Failure::Usage(format!("{file}: the file does not say its currency; name it with --currency")));
        }
    };
    // A group that the deck has already stands above the file's of that name.
    for group in &file.origin_groups {
        if terms.origin_groups.iter().all(|known| known.name != group.name) {
            terms.origin_groups.push(group.clone());
        }
    }
    Ok(terms)
}

fn unreadable(file: &FileRows) -> Answer {
    let mut notes = file.problems.clone();
    if file.problem_rows > file.problems.len() as u64 {
        notes.push(format!(
            "... and {} more; see them all with tandem deck read",
            file.problem_rows - file.problems.len() as u64
        ));
    }
    notes.push(format!(
        "nothing was imported: {} rows cannot be read; mend the file, or take the rest with --with-problems",
        file.problem_rows
    ));
    let json = json!([{ "summary": { "changes": 0, "refused": true, "problems": file.problem_rows } }]);
    Answer { notes, json: Some(json), differs: true, ..Answer::default() }
}

/// What one version changes of another, or what a file would change of a version. Writes nothing.
pub fn compare(
    node: Option<&Node>,
    config: &Config,
    args: &DiffArgs,
    now: i64,
    told: &Told,
) -> Result<Answer, Failure> {
    let received = instant_or("--received", args.received.as_deref(), now)?;
    told.stage("reading both versions");
    let old = Side::of(config, &args.old, args, None, told)?;
    let new = Side::of(config, &args.new, args, old.root.as_ref(), told)?;
    if let (Some(a), Some(b)) = (old.currency(), new.currency())
        && a != b
    {
        let why = format!("{} is in {a}, {} in {b}; prices of two currencies are not compared", args.old, args.new);
        return Err(Failure::Usage(why));
    }
    let currency = new.currency().or(old.currency()).unwrap_or(config.settings.base_currency);
    let deck = new.root.as_ref().or(old.root.as_ref()).map(|root| root.id.clone()).unwrap_or_default();
    let mut rules = config.rules_of(&deck);
    rules.notice_days = args.notice_days.unwrap_or(rules.notice_days);
    let terms = old.root.as_ref().map_or_else(|| DeckTerms::new(currency), |root| root.terms.clone());
    let kind = if args.partial { Kind::Partial } else { Kind::Az };
    let plan = plan(kind, received, received, &rules, &terms)?;
    let (rows, claims) = if new.root.is_some() {
        (new.rows, Rows::new())
    } else {
        let merged = merge(&old.rows, &Rows::new(), &new.rows, &plan);
        (merged.rows, merged.claims)
    };
    told.stage("comparing, weighed by past traffic");
    let traffic = match node.filter(|_| !deck.is_empty()) {
        None => Traffic::None("no deck is named".to_owned()),
        Some(node) => traffic::of_deck(node, config, &deck, now, args.days)?,
    };
    let rule = plan.rule;
    let at = Moment { now, received };
    let step = Step { old: &old.rows, new: &rows, at, rule, rules: &rules, currency, days: args.days };
    let weighed = Weighed::first(&step, &traffic, told.changes)?;
    let title = format!("{} beside {}", args.new, args.old);
    let mut answer = weighed.answer(&title, json!({ "short_notice": claims.len() }));
    answer.files.extend(args.all_changes.clone().map(|path| (path, weighed.file(&step))));
    answer.notes.extend(old.problems.into_iter().chain(new.problems));
    for claim in claims.iter().take(super::weigh::SHOWN) {
        let (from, until) = (facts::time::rfc3339(claim.row.from), facts::time::rfc3339(claim.row.until));
        let (code, rate) = (claim.prefix(), claim.row.next_rate);
        answer.notes.push(format!("short notice: {code} {rate} from {from}, by contract from {until}"));
    }
    answer.differs = weighed.review.total > 0 || old.unreadable > 0 || new.unreadable > 0;
    Ok(answer)
}

/// One side of a comparison.
struct Side {
    rows: Rows,
    root: Option<DeckRoot>,
    file_currency: Option<facts::money::Currency>,
    problems: Vec<String>,
    unreadable: u64,
}

impl Side {
    fn of(config: &Config, text: &str, args: &DiffArgs, deck: Option<&DeckRoot>, told: &Told) -> Result<Self, Failure> {
        let (name, _) = split_name(text).unwrap_or((text, None));
        if config.decks.contains_key(name) || !Path::new(text).is_file() {
            let root = root(config, text)?.clone();
            let rows = rows_of(config, &root.chunks)?;
            return Ok(Self { rows, root: Some(root), file_currency: None, problems: Vec::new(), unreadable: 0 });
        }
        let file = read_file(Path::new(text), &args.answers, deck, told)?;
        let (problems, unreadable) = (file.problems, file.problem_rows);
        Ok(Self { rows: file.rows, root: None, file_currency: file.currency, problems, unreadable })
    }

    fn currency(&self) -> Option<facts::money::Currency> {
        self.root.as_ref().map(|root| root.terms.currency).or(self.file_currency)
    }
}

impl DiffArgs {
    /// Files by their whole path, for a process that stands in another folder.
    pub fn absolute(&mut self) -> Result<(), Failure> {
        for side in [&mut self.old, &mut self.new] {
            let path = Path::new(side.as_str());
            if path.is_file() {
                *side = absolute(path)?.display().to_string();
            }
        }
        Ok(())
    }
}

/// An older version back, as a new one.
pub fn rollback(node: &Node, args: &RollbackArgs, write: bool, now: i64, told: &Told) -> Result<Answer, Failure> {
    person(&args.by)?;
    let config = node.config.current();
    let last = root(&config, &args.deck)?;
    let then = root(&config, &format!("{}@{}", args.deck, args.to))?;
    if last.terms.currency != then.terms.currency {
        return Err(Failure::Usage(format!(
            "version {} is in {}, not in {}",
            then.version, then.terms.currency, last.terms.currency
        )));
    }
    let (old, new) = (rows_of(&config, &last.chunks)?, rows_of(&config, &then.chunks)?);
    let traffic = traffic::of_deck(node, &config, &last.id, now, args.days)?;
    let (rules, currency, rule) = (config.rules_of(&last.id), then.terms.currency, then.terms.interval_rule);
    let at = Moment { now, received: now };
    let step = Step { old: &old, new: &new, at, rule, rules: &rules, currency, days: args.days };
    let weighed = Weighed::first(&step, &traffic, told.changes)?;
    let record = DeckImport {
        state: ImportState::Applied,
        base: last.version,
        version: last.version + 1,
        kind: SmolStr::new_static("rollback"),
        file: format!("version {}", then.version),
        product: config.last_import(&last.id).map(|import| import.product.clone()).unwrap_or_default(),
        rows: then.rows,
        claims: config.last_import(&last.id).map(|import| import.claims.clone()).unwrap_or_default(),
        ..new_record(&config, &last.id, &args.by, &args.reason, now)
    };
    let title = format!("version {} of deck {} back as version {}", then.version, last.id, record.version);
    let mut answer = weighed.answer(&title, json!({ "import": record.id.as_str(), "state": "applied" }));
    answer.files.extend(args.all_changes.clone().map(|path| (path, weighed.file(&step))));
    if last.chunks == then.chunks && last.terms == then.terms {
        answer.notes.push("that version is in force already; there is nothing to roll back".to_owned());
        return Ok(answer);
    }
    if write {
        let root = DeckRoot { version: record.version, source: source(&record), ..then.clone() };
        let seq = publish(node, &config, vec![ConfigItem::Deck(root)], record)?;
        answer.notes.push(format!("written as configuration version {seq}"));
    }
    Ok(answer)
}

/// The second person's word.
pub fn decide(node: &Node, args: &DecideArgs, approve: bool, now: i64) -> Result<Answer, Failure> {
    let config = node.config.current();
    let held = config.imports.get(args.id.as_str()).ok_or_else(|| {
        Failure::Usage(format!("there is no import {:?}; see them with tandem deck imports", args.id))
    })?;
    if held.state != ImportState::Held {
        return Err(Failure::Usage(format!(
            "import {} is {} already; it waits for nobody",
            held.id,
            held.state.as_str()
        )));
    }
    let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
    if args.by.trim().is_empty() || (approve && same(&args.by, &held.by)) {
        return Err(Failure::Usage(format!(
            "import {} was made by {}; another person must approve it",
            held.id, held.by
        )));
    }
    let mut record = held.clone();
    (record.decided_by, record.decided_at) = (args.by.clone(), Some(OccurredAt(now)));
    record.decision.clone_from(&args.reason);
    let (terms, chunks) = (record.terms.take(), std::mem::take(&mut record.chunks));
    let mut items = Vec::new();
    if approve {
        let last = config.decks.get(&held.deck).and_then(|versions| versions.last()).map_or(0, |last| last.version);
        if last != held.base {
            return Err(Failure::Usage(format!(
                "import {} was made for version {}, deck {} is at version {last} now; reject it and import the file again",
                held.id, held.base, held.deck
            )));
        }
        let terms = terms.ok_or_else(|| Failure::Broken(format!("import {} holds no terms", held.id)))?;
        (record.state, record.version) = (ImportState::Applied, last + 1);
        let (id, version, rows, source) = (held.deck.clone(), record.version, held.rows, source(held));
        items.push(ConfigItem::Deck(DeckRoot { id, version, terms, chunks, rows, source }));
    } else {
        record.state = ImportState::Rejected;
    }
    let word = if approve { format!("approved as version {}", record.version) } else { "rejected".to_owned() };
    let seq = publish(node, &config, items, record)?;
    let mut notes = vec![format!("import {} is {word}, configuration version {seq}", args.id)];
    notes.extend(crate::apply::least::of_deck(&node.config.current(), &held.deck));
    let json = json!({ "import": args.id, "state": if approve { "applied" } else { "rejected" }, "config_seq": seq });
    Ok(Answer { notes, json: Some(json), ..Answer::default() })
}
