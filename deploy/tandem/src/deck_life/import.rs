//! A carrier's file into the next version of a deck, an older version back as the newest, and the second person's word
//! on what is held. All or nothing: one configuration version holds rows, version and the record of who did it and why.

use super::args::{DecideArgs, DiffArgs, ImportArgs, RollbackArgs, absolute};
use super::floors::{self, Sold};
use super::letter::{Letter, short_notice};
use super::told::Told;
use super::traffic::{self, Traffic, instant_or};
use super::weigh::{Step, Weighed};
use super::{FileRows, read_file, root, rows_of, split_name};
use crate::apply;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use decks::life::{Kind, Merged, Missing, Moment, Plan, Rows, dispute, merge};
use facts::config::{Config, ConfigItem, DeckImport, DeckRoot, DeckRules, ImportState};
use facts::deck::DeckTerms;
use facts::{Amount, OccurredAt};
use serde_json::json;
use smol_str::SmolStr;
use std::path::Path;

const DAY: i64 = 86_400_000_000;
const WEEK: u32 = 7;
/// Longest notice, days.
const NOTICE_DAYS_MAX: u32 = 3_660;

/// Reads, merges and weighs a file; with `write` it becomes the next version, or is held.
pub fn import(node: &Node, args: &ImportArgs, write: bool, now: i64, told: &Told) -> Result<Answer, Failure> {
    let config = node.config.current();
    let last = config.decks.get(args.deck.as_str()).and_then(|versions| versions.last());
    let file = read_file(&args.file, &args.answers, last, told)?;
    let terms = terms(args, last, &file)?;
    if file.problem_rows > 0 && !args.with_problems {
        return Ok(unreadable(&file));
    }
    if file.rows.is_empty() {
        return Err(Failure::Usage(format!("{}: no row could be read; nothing was imported", args.file.display())));
    }
    let rules = config.rules_of(&args.deck);
    let plan = plan(args.kind.az, instant_or("--received", args.received.as_deref(), now)?, &rules, &terms)?;
    let previous = config.last_import(&args.deck);
    told.stage("comparing with the version in force");
    let old = last.map_or(Ok(Rows::new()), |last| rows_of(&config, &last.chunks))?;
    let known_claims = previous.map_or(Ok(Rows::new()), |import| rows_of(&config, &import.claims))?;
    let merged = merge(&old, &known_claims, &file.rows, &plan);
    told.stage("weighing by past traffic");
    let traffic = traffic::of_deck(node, &config, &args.deck, now, args.days)?;
    let (currency, rule) = (terms.currency, plan.rule);
    let at = Moment { now, received: plan.effective };
    let step = Step { old: &old, new: &merged.rows, at, rule, rules: &rules, currency, days: args.days };
    let weighed = Weighed::first(&step, &traffic, told.changes)?;
    let product = file.product.clone().unwrap_or_default();
    let causes = causes(node, &config, args, &step, &weighed, &traffic, &file)?;
    let contract = Contract::of(&known_claims, &merged, &old, &file.rows, &plan, &traffic, args.days)?;
    let record = DeckImport {
        state: if causes.is_empty() { ImportState::Applied } else { ImportState::Held },
        base: last.map_or(0, |last| last.version),
        kind: plan.kind.as_str().into(),
        file: args.file.display().to_string(),
        file_hash: file.hash,
        product,
        effective: OccurredAt(plan.effective),
        notice: plan.notice.map(OccurredAt),
        causes,
        rows: merged.rows.len() as u64,
        ..new_record(&config, &args.deck, &args.by, &args.reason, now)
    };
    let sold = match traffic.lines() {
        None => Sold::default(),
        Some(lines) => {
            let at = weighed.review.last.max(now);
            let (deck, old, new, days) = (args.deck.as_str(), &old, &merged.rows, args.days);
            floors::sold(&config, &floors::Change { deck, currency, rule, old, new, at, now, days }, lines)?
        }
    };
    let title = format!("import {} of {} into deck {}", record.id, record.file, args.deck);
    let mut answer = weighed.answer(&title, import_json(&record, &contract, &sold, weighed.review.total));
    answer.notes.extend(file.problems.iter().cloned());
    answer.notes.extend(file.assumptions.iter().cloned());
    contract.note(&mut answer, currency);
    answer.notes.extend(sold.notes(currency, super::weigh::SHOWN));
    if weighed.review.total == 0 {
        answer.notes.push("the file changes nothing; there is nothing to import".to_owned());
        return Ok(answer);
    }
    answer.differs = record.state == ImportState::Held;
    held_notes(&record, write, &mut answer);
    if !contract.new_claims.is_empty() {
        let (we, notice_days, dispute) = (config.settings.legal_entity.as_str(), rules.notice_days, contract.dispute);
        let text =
            short_notice(&Letter { import: &record, we, notice_days, currency, dispute }, &old, &contract.new_claims);
        let name = format!("short-notice-{}.txt", record.id.replace('/', "-"));
        answer.files.push((args.letter.clone().unwrap_or_else(|| name.into()), text));
    }
    if write {
        told.stage("writing");
        let seq = write_import(node, &config, record, terms, &merged)?;
        answer.notes.push(format!("written as configuration version {seq}"));
        answer.notes.extend(apply::least::of_deck(&node.config.current(), &args.deck));
    }
    Ok(answer)
}

/// The record of something taken in now, under the deck's next number.
fn new_record(config: &Config, deck: &str, by: &str, reason: &str, now: i64) -> DeckImport {
    let number = config.imports.values().filter(|import| import.deck == deck).count() + 1;
    DeckImport {
        id: format!("{deck}/{number}").into(),
        deck: deck.into(),
        state: ImportState::Held,
        base: 0,
        version: 0,
        kind: SmolStr::default(),
        file: String::new(),
        file_hash: [0; 32],
        product: SmolStr::default(),
        at: OccurredAt(now),
        by: by.to_owned(),
        reason: reason.to_owned(),
        effective: OccurredAt(now),
        notice: None,
        causes: Vec::new(),
        decided_by: String::new(),
        decided_at: None,
        decision: String::new(),
        terms: None,
        chunks: Vec::new(),
        rows: 0,
        claims: Vec::new(),
    }
}

/// The terms of the version: the deck's own, or those of a new one in the file's currency.
fn terms(args: &ImportArgs, last: Option<&DeckRoot>, file: &FileRows) -> Result<DeckTerms, Failure> {
    let mut terms = base_terms(args, last, file)?;
    // A group that the deck has already stands above the file's of that name.
    for group in &file.origin_groups {
        if terms.origin_groups.iter().all(|known| known.name != group.name) {
            terms.origin_groups.push(group.clone());
        }
    }
    Ok(terms)
}

fn base_terms(args: &ImportArgs, last: Option<&DeckRoot>, file: &FileRows) -> Result<DeckTerms, Failure> {
    match (last, file.currency) {
        (Some(last), Some(found)) if last.terms.currency != found => Err(Failure::Usage(format!(
            "deck {:?} is in {}, the file is in {found}: past calls keep their currency, so a deck never changes it; \
             import the file into a new deck and name that in the agreement",
            args.deck, last.terms.currency
        ))),
        (Some(last), _) => Ok(last.terms.clone()),
        (None, Some(found)) => Ok(DeckTerms::new(found)),
        (None, None) => Err(Failure::Usage(format!(
            "{}: the file does not say its currency; name it with --currency",
            args.file.display()
        ))),
    }
}

fn plan(az: bool, effective: i64, rules: &DeckRules, terms: &DeckTerms) -> Result<Plan, Failure> {
    if rules.notice_days > NOTICE_DAYS_MAX {
        return Err(Failure::Usage(format!("notice of {} days is above {NOTICE_DAYS_MAX}", rules.notice_days)));
    }
    let notice = effective.checked_add(i64::from(rules.notice_days) * DAY);
    Ok(Plan {
        kind: if az { Kind::Az } else { Kind::Partial },
        missing: if rules.missing_blocked { Missing::Blocked } else { Missing::Discontinued },
        effective,
        notice: notice.filter(|_| rules.notice_days > 0),
        rule: terms.interval_rule,
    })
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

/// What holds this version; the rule about minutes looks at a week, whatever was asked for.
fn causes(
    node: &Node,
    config: &Config,
    args: &ImportArgs,
    step: &Step<'_>,
    weighed: &Weighed,
    traffic: &Traffic,
    file: &FileRows,
) -> Result<Vec<String>, Failure> {
    let of_week;
    let week = if args.days == WEEK {
        traffic.lines()
    } else {
        of_week = traffic::of_deck(node, config, &args.deck, step.at.now, WEEK)?;
        of_week.lines()
    };
    let mut causes = weighed.review.causes(step.old, week, step.at.received, step.rules, file.zero);
    if file.problem_rows > 0 {
        causes.push(format!("{} rows could not be read; their codes count as not listed", file.problem_rows));
    }
    let product = file.product.clone().unwrap_or_default();
    let was = config.last_import(&args.deck).map(|import| &import.product);
    if let Some(was) = was.filter(|was| !was.is_empty() && **was != product) {
        causes.push(format!("the product is {product:?}, last time it was {was:?}"));
    }
    Ok(causes)
}

/// The contract's dates beside the carrier's.
struct Contract {
    new_claims: Rows,
    dispute: Option<Amount>,
}

impl Contract {
    #[allow(clippy::too_many_arguments, reason = "two versions, two sets of claims and the traffic that weighs them")]
    fn of(
        known: &Rows,
        merged: &Merged,
        old: &Rows,
        file: &Rows,
        plan: &Plan,
        traffic: &Traffic,
        days: u32,
    ) -> Result<Self, Failure> {
        let mut new_claims = Rows::new();
        for claim in merged.claims.iter() {
            let before = known.of_prefix(claim.prefix());
            let mut same = before
                .filter(|was| was.same(claim) && (was.row.from, was.row.until) == (claim.row.from, claim.row.until));
            if same.next().is_none() {
                new_claims.push_between(claim, claim.row.from, claim.row.until);
            }
        }
        new_claims.finish();
        let dispute = match traffic.lines() {
            Some(lines) if !new_claims.is_empty() => {
                let claimed = merge(old, known, file, &Plan { notice: None, ..*plan }).rows;
                Some(dispute(&merged.rows, &claimed, lines, plan.effective, days, plan.rule).map_err(Failure::usage)?)
            }
            _ => None,
        };
        Ok(Self { new_claims, dispute })
    }

    fn note(&self, answer: &mut Answer, currency: facts::money::Currency) {
        if self.new_claims.is_empty() {
            return;
        }
        let money = match self.dispute {
            Some(amount) => format!("expected dispute by the past days' traffic: {currency} {amount}"),
            None => "expected dispute not known without traffic".to_owned(),
        };
        answer.notes.push(format!(
            "{} increases come before the contract's notice: they count from the contract's date, his is kept; {money}",
            self.new_claims.len()
        ));
    }
}

fn import_json(record: &DeckImport, contract: &Contract, sold: &Sold, changes: u64) -> serde_json::Value {
    let state = if changes == 0 { "nothing" } else { record.state.as_str() };
    json!({
        "import": record.id.as_str(), "state": state, "causes": record.causes, "base": record.base,
        "short_notice": contract.new_claims.len(),
        "below_cost": sold.json(),
        "expected_dispute": contract.dispute.map(|amount| amount.to_string()),
    })
}

fn held_notes(record: &DeckImport, write: bool, answer: &mut Answer) {
    if record.state != ImportState::Held {
        return;
    }
    let verb = if write { "is held" } else { "will be held" };
    answer.notes.push(format!("this import {verb} for a second person, because"));
    answer.notes.extend(record.causes.iter().map(|cause| format!("  {cause}")));
    let id = &record.id;
    answer.notes.push(format!(
        "another person decides: tandem deck approve {id} --by NAME, or tandem deck reject {id} --by NAME"
    ));
}

fn write_import(
    node: &Node,
    config: &Config,
    mut record: DeckImport,
    terms: DeckTerms,
    merged: &Merged,
) -> Result<u64, Failure> {
    let rates = merged.rows.iter().map(|row| row.rate());
    let (root, mut items) = apply::version_items(&record.deck, terms, rates, &source(&record), config)?;
    let claims = schemas::deck_rows::split(&merged.claims.rates()).map_err(Failure::usage)?;
    record.claims = claims.iter().map(|(hash, _)| *hash).collect();
    items.extend(claims.into_iter().map(|(hash, rows)| ConfigItem::DeckChunk { hash, rows }));
    if record.state == ImportState::Held {
        (record.terms, record.chunks, record.rows) = (Some(root.terms), root.chunks, root.rows);
    } else {
        record.version = root.version;
        items.push(ConfigItem::Deck(root));
    }
    publish(node, config, items, record)
}

fn source(record: &DeckImport) -> String {
    format!("import {} ({}) of {}", record.id, record.kind, record.file)
}

fn publish(node: &Node, config: &Config, mut items: Vec<ConfigItem>, record: DeckImport) -> Result<u64, Failure> {
    let (by, what) = match record.decided_by.is_empty() {
        true => (record.by.clone(), record.reason.clone()),
        false => (record.decided_by.clone(), record.decision.clone()),
    };
    let comment = format!("deck {} {} {}: {what}", record.kind, record.id, record.state.as_str());
    items.push(ConfigItem::DeckImport(Box::new(record)));
    let plan = apply::plan_items(items, config, false, Vec::new())?;
    node.publish(&plan.items, &by, &comment)
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
    let plan = plan(!args.partial, received, &rules, &terms)?;
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
pub fn rollback(node: &Node, args: &RollbackArgs, write: bool, now: i64) -> Result<Answer, Failure> {
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
    let weighed = Weighed::of(&step, &traffic)?;
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
    let mut answer = weighed.answer(&title, json!({ "import": record.id.as_str() }));
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
    notes.extend(apply::least::of_deck(&node.config.current(), &held.deck));
    let json = json!({ "import": args.id, "state": if approve { "applied" } else { "rejected" }, "config_seq": seq });
    Ok(Answer { notes, json: Some(json), ..Answer::default() })
}
