//! What customers were told of a deck: which version, against which one, when, by whom, with which file. A record of the
//! deck's life in the configuration log, like its imports; the next notice begins where the last one ended. Sends nothing.

use super::args::ToldArgs;
use super::take::{new_record, person, publish};
use super::traffic::instant_or;
use super::{root, rows_of};
use crate::apply::read_bounded;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use crate::tables::table_of;
use console::source::{Kind, Table};
use decks::life::announce::{Announcement, announce, day};
use decks::life::diff::{Change, diff};
use decks::life::rows::ALWAYS;
use facts::config::{Config, DeckImport, DeckRoot, ImportState};
use facts::time::rfc3339;
use facts::{OccurredAt, Side};
use serde_json::json;
use smol_str::SmolStr;
use std::collections::BTreeSet;

const DAY: i64 = 86_400_000_000;
/// Codes that a record names as told too late.
const LATE_KEPT: usize = 100;

/// Accounts that buy by a deck of ours, by an agreement that has not ended.
pub fn customers(config: &Config, deck: &str, now: i64) -> BTreeSet<SmolStr> {
    let sold = config.agreements.values().filter(|agreement| {
        agreement.side == Side::Sell
            && agreement.valid_until.is_none_or(|until| until.0 > now)
            && config.deck_of(agreement).is_some_and(|by| by == deck)
    });
    sold.map(|agreement| agreement.account.clone()).collect()
}

/// What changed between two versions.
pub fn changes_since(config: &Config, root: &DeckRoot, since: u32) -> Result<Vec<Change>, Failure> {
    let then = super::root(config, &format!("{}@{since}", root.id))?;
    let (old, new) = (rows_of(config, &then.chunks)?, rows_of(config, &root.chunks)?);
    Ok(diff(&old, &new, ALWAYS, root.terms.interval_rule).changes)
}

/// The version that a customer was told last; asked for where none was named.
pub fn since(config: &Config, deck: &str, to: Option<&str>, named: Option<u32>) -> Result<Option<u32>, Failure> {
    match (named, to) {
        (Some(version), _) => Ok(Some(version)),
        (None, None) => Ok(None),
        (None, Some(account)) => match config.last_told(deck, account) {
            Some(told) => Ok(Some(told.version)),
            None => Err(Failure::Usage(format!(
                "it is not recorded what {account} was told of deck {deck}: name the version that he has with --since, or \
                 record it: tandem deck told {deck}@VERSION --to {account} --by NAME --reason TEXT"
            ))),
        },
    }
}

/// Whether this version can be news to him then.
fn may_be_told(config: &Config, root: &DeckRoot, to: &str, told: i64, now: i64) -> Result<(), Failure> {
    let known = customers(config, &root.id, now);
    let deck = &root.id;
    if !known.contains(to) {
        let known: Vec<&str> = known.iter().map(SmolStr::as_str).collect();
        let known = if known.is_empty() { "nobody does".to_owned() } else { known.join(", ") };
        return Err(Failure::Usage(format!("account {to:?} buys nothing by deck {deck}; who does: {known}")));
    }
    if told > now {
        return Err(Failure::Usage(format!("--at: {} is in the future; record it when it is done", rfc3339(told))));
    }
    match config.last_told(deck, to).filter(|last| last.version >= root.version) {
        None => Ok(()),
        Some(last) => Err(Failure::Usage(format!(
            "{to} was told version {} of deck {deck} on {} already ({}); nothing was recorded",
            last.version,
            day(last.effective.0),
            last.id
        ))),
    }
}

/// Records that a customer was told. Exit 1 where something becomes dearer before the notice has run: it is recorded as
/// it was, and listed.
pub fn tell(node: &Node, args: &ToldArgs, now: i64) -> Result<Answer, Failure> {
    person(&args.by)?;
    let config = node.config.current();
    let root = root(&config, &args.deck)?;
    let told = instant_or("--at", args.at.as_deref(), now)?;
    may_be_told(&config, root, &args.to, told, now)?;
    let since = since(&config, &root.id, Some(&args.to), args.since).or_else(|none| match root.version {
        // The first version is all that there is to tell.
        1 => Ok(None),
        _ => Err(none),
    })?;
    let changes = since.map_or(Ok(Vec::new()), |since| changes_since(&config, root, since))?;
    let notice_days = args.notice_days.unwrap_or(config.rules_of(&root.id).notice_days);
    let notice = told.checked_add(i64::from(notice_days) * DAY);
    let announcement = Announcement {
        deck: &root.id,
        version: root.version,
        since: since.unwrap_or_default(),
        currency: root.terms.currency,
        rule: root.terms.interval_rule,
        told,
        notice_days,
        we: &config.settings.legal_entity,
        file: "",
    };
    let said = announce(&announcement, &changes);
    let file_hash = match &args.file {
        None => [0; 32],
        Some(path) => *blake3::hash(&read_bounded(path)?).as_bytes(),
    };
    let late = said.early.iter().map(|(code, name, from)| format!("{code} {name} dearer from {}", day(*from)));
    let record = DeckImport {
        state: ImportState::Applied,
        base: since.unwrap_or_default(),
        version: root.version,
        kind: SmolStr::new_static(DeckImport::TOLD),
        file: args.file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        file_hash,
        product: args.to.as_str().into(),
        effective: OccurredAt(told),
        notice: notice.filter(|_| notice_days > 0).map(OccurredAt),
        causes: late.take(LATE_KEPT).collect(),
        rows: said.changes,
        ..new_record(&config, &root.id, &args.by, &args.reason, now)
    };
    let (id, rows) = (record.id.clone(), record.rows);
    let mut notes = vec![format!(
        "{} was told version {} of deck {} on {}, {rows} changes",
        args.to,
        root.version,
        root.id,
        day(told)
    )];
    if !said.early.is_empty() {
        notes.push(format!(
            "{} codes become dearer before {notice_days} days of notice have run; by the contract they may not:",
            said.early.len()
        ));
        let shown = record.causes.iter().take(super::weigh::SHOWN);
        notes.extend(shown.map(|line| format!("  {line}")));
    }
    let seq = publish(node, &config, Vec::new(), record)?;
    notes.push(format!("recorded as {id}, configuration version {seq}"));
    let json = json!({
        "told": id, "account": args.to, "deck": root.id.as_str(), "version": root.version, "since": since, "changes": rows,
        "at": rfc3339(told), "late": said.early.len(), "config_seq": seq,
    });
    Ok(Answer { notes, json: Some(json), differs: !said.early.is_empty(), ..Answer::default() })
}

/// Every customer of a deck (or of all) with what he was told last and what he was not.
pub fn list(config: &Config, deck: Option<&str>, now: i64) -> Result<Table, Failure> {
    let columns = [
        ("deck", "Deck", Kind::Text),
        ("account", "Customer", Kind::Text),
        ("told", "Told", Kind::Text),
        ("version", "Version", Kind::Count),
        ("newest", "Newest", Kind::Count),
        ("untold", "Changes untold", Kind::Count),
        ("at", "When", Kind::Instant),
        ("by", "By", Kind::Text),
        ("reason", "How", Kind::Text),
        ("file", "File", Kind::Text),
        ("late", "Told too late", Kind::Count),
    ];
    if let Some(deck) = deck {
        root(config, deck)?;
    }
    let mut rows = Vec::new();
    for (id, versions) in config.decks.iter().filter(|(id, _)| deck.is_none_or(|deck| *id == deck)) {
        let Some(newest) = versions.last() else { continue };
        for account in customers(config, id, now) {
            let mut cells = vec![id.to_string(), account.to_string()];
            let Some(told) = config.last_told(id, &account) else {
                cells.extend(["", "", &newest.version.to_string(), "", "", "", "", "", ""].map(str::to_owned));
                rows.push(cells);
                continue;
            };
            let untold = match told.version == newest.version {
                true => 0,
                false => changes_since(config, newest, told.version)?.len(),
            };
            cells.extend([
                told.id.to_string(),
                told.version.to_string(),
                newest.version.to_string(),
                untold.to_string(),
            ]);
            cells.extend([rfc3339(told.effective.0), told.by.clone(), told.reason.clone(), told.file.clone()]);
            cells.push(told.causes.len().to_string());
            rows.push(cells);
        }
    }
    Ok(table_of(&columns, rows))
}

/// Who still has to be told of a deck's newest version.
pub fn untold(config: &Config, deck: &str, now: i64) -> Option<String> {
    let newest = config.decks.get(deck)?.last()?;
    let waits = |account: &SmolStr| config.last_told(deck, account).is_none_or(|told| told.version < newest.version);
    let waiting: Vec<SmolStr> = customers(config, deck, now).into_iter().filter(waits).collect();
    let names: Vec<&str> = waiting.iter().take(super::weigh::SHOWN).map(SmolStr::as_str).collect();
    let more = waiting.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!waiting.is_empty())
        .then(|| format!("not told of version {} yet: {}{more} (tandem deck told)", newest.version, names.join(", ")))
}
