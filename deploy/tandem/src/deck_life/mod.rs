//! The life of a deck after its file has been read: import, comparison, rollback, look-up, export, and the second
//! person's word. Works on the configuration of the process that owns the data; what a version means is `decks::life`.

pub mod args;
mod export;
mod floors;
pub mod foreign;
pub mod held;
mod import;
mod layout;
mod letter;
mod make;
pub mod names;
pub mod notices;
pub mod show;
mod take;
pub mod told;
pub mod traffic;
mod weigh;

use crate::apply::{problem_line, read_bounded};
use crate::cli::DeckCommand;
use crate::deck::Answers;
use crate::node::{Node, wall_micros};
use crate::ops::{Answer, Op};
use crate::output::{self, Ending, Failure, Outcome};
use crate::reach;
use crate::settings::Settings;
use args::DeckOp;
use decks::life::Rows;
use facts::config::{Config, DeckRoot};
use facts::deck::OriginGroup;
use facts::money::Currency;
use smol_str::SmolStr;
use std::path::{Path, PathBuf};
use told::{FileTold, Told};

/// Carries out a request.
pub fn execute(node: &Node, op: &DeckOp) -> Result<Answer, Failure> {
    execute_told(node, op, &Told::default())
}

/// The same, telling how far it is.
pub fn execute_told(node: &Node, op: &DeckOp, told: &Told) -> Result<Answer, Failure> {
    let now = wall_micros();
    match op {
        DeckOp::Import { args, write } => import::import(node, args, *write, now, told),
        DeckOp::Make { args, write } => make::make(node, args, *write, now, told),
        DeckOp::Diff(args) => import::compare(Some(node), &node.config.current(), args, now, told),
        DeckOp::Rollback { args, write } => import::rollback(node, args, *write, now, told),
        DeckOp::Decide { args, approve } => import::decide(node, args, *approve, now),
        DeckOp::Show(args) => show::show(node, args, now),
        DeckOp::Price(args) => show::price(node, args, now),
        DeckOp::Imports { deck } => show::imports(node, deck.as_deref()),
        DeckOp::Export(args) => export::export(node, args, now),
        DeckOp::Names(args) => names::names(node, args, now),
        DeckOp::Told(args) => notices::tell(node, args, now),
        DeckOp::Notices { deck } => notices::list(&node.config.current(), deck.as_deref(), now).map(Answer::of),
    }
}

/// Runs a command: asks wherever the data is, shows, asks the person, writes.
pub fn run(settings: &Settings, command: &DeckCommand, json: bool) -> Outcome {
    match command {
        DeckCommand::Read { file, answers, summary } => crate::deck::read(file, answers, *summary, json),
        DeckCommand::Import(args) => {
            let mut args = args.clone();
            args.file = args::absolute(&args.file)?;
            settle(&mut args.answers)?;
            let (yes, first, args) = (args.yes, to_decide_by([&args.all_changes]), args);
            asked(settings, yes, json, &first, &|write| DeckOp::Import { args: args.clone(), write })
        }
        DeckCommand::Make(args) => {
            let mut args = args.clone();
            args.recipe = args::absolute(&args.recipe)?;
            let (yes, first) = (args.yes, to_decide_by([&args.explain, &args.all_changes]));
            asked(settings, yes, json, &first, &|write| DeckOp::Make { args: args.clone(), write })
        }
        DeckCommand::Rollback(args) => {
            let first = to_decide_by([&args.all_changes]);
            asked(settings, args.yes, json, &first, &|write| DeckOp::Rollback { args: args.clone(), write })
        }
        DeckCommand::Diff(args) => {
            let mut args = args.clone();
            args.absolute()?;
            settle(&mut args.answers)?;
            if [&args.old, &args.new].into_iter().all(|side| Path::new(side).is_file()) {
                // Two files need no data folder.
                let answer = import::compare(None, &Config::default(), &args, wall_micros(), &Told::default())?;
                write_files(&answer, &|_| true)?;
                return reach::print(&answer, json);
            }
            let answer = reach::ask(settings, &Op::Deck(DeckOp::Diff(args)))?;
            write_files(&answer, &|_| true)?;
            reach::print(&answer, json)
        }
        DeckCommand::Show(args) => ask(settings, DeckOp::Show(args.clone()), json),
        DeckCommand::Price(args) => ask(settings, DeckOp::Price(args.clone()), json),
        DeckCommand::Imports { deck } => ask(settings, DeckOp::Imports { deck: deck.clone() }, json),
        DeckCommand::Told(args) => {
            let mut args = args.clone();
            args.file = args.file.as_deref().map(args::absolute).transpose()?;
            ask(settings, DeckOp::Told(args), json)
        }
        DeckCommand::Notices { deck } => ask(settings, DeckOp::Notices { deck: deck.clone() }, json),
        DeckCommand::Approve(args) => ask(settings, DeckOp::Decide { args: args.clone(), approve: true }, json),
        DeckCommand::Reject(args) => ask(settings, DeckOp::Decide { args: args.clone(), approve: false }, json),
        DeckCommand::Export(args) => {
            let mut args = args.clone();
            args.template = args.template.as_deref().map(args::absolute).transpose()?;
            let mut answer = reach::ask(settings, &Op::Deck(DeckOp::Export(args.clone())))?;
            write_files(&answer, &|_| true)?;
            if let (Some(path), Some(bytes)) = (&args.output, &answer.bytes) {
                std::fs::write(path, bytes).map_err(|e| Failure::Broken(format!("{}: {e}", path.display())))?;
                answer.bytes = None;
            }
            reach::print(&answer, false)
        }
        DeckCommand::Names(args) => {
            let mut args = args.clone();
            args.file = args::absolute(&args.file)?;
            args.numbering = args.numbering.as_deref().map(args::absolute).transpose()?;
            settle(&mut args.answers)?;
            let answer = reach::ask(settings, &Op::Deck(DeckOp::Names(args)))?;
            let ending = reach::print(&answer, json)?;
            write_files(&answer, &|_| true)?;
            Ok(ending)
        }
    }
}

/// Answers for a process that stands in another folder.
fn settle(answers: &mut Answers) -> Result<(), Failure> {
    if answers.save_template.is_some() {
        return Err(Failure::Usage(
            "save the template with tandem deck read FILE --save-template, then name it here".to_owned(),
        ));
    }
    answers.template = answers.template.as_deref().map(args::absolute).transpose()?;
    answers.names = answers.names.as_deref().map(args::absolute).transpose()?;
    Ok(())
}

fn ask(settings: &Settings, op: DeckOp, json: bool) -> Outcome {
    reach::print(&reach::ask(settings, &Op::Deck(op))?, json)
}

/// Files that are written before anything else is.
fn to_decide_by<const N: usize>(files: [&Option<PathBuf>; N]) -> Vec<PathBuf> {
    files.into_iter().flatten().cloned().collect()
}

/// Shows what would be written, asks, writes; with `yes` at once. `first` are files to decide by.
fn asked(settings: &Settings, yes: bool, json: bool, first: &[PathBuf], op: &dyn Fn(bool) -> DeckOp) -> Outcome {
    let shown = reach::ask(settings, &Op::Deck(op(yes)))?;
    let ending = reach::print(&shown, json)?;
    let is_first = |path: &Path| first.iter().any(|file| file == path);
    write_files(&shown, &is_first)?;
    let summary =
        shown.json.as_ref().and_then(|json| json.as_array()?.last()?.get("summary").cloned()).unwrap_or_default();
    if summary.get("changes").is_none_or(|changes| changes == 0) {
        return Ok(ending);
    }
    if yes {
        write_files(&shown, &|path| !is_first(path))?;
        return Ok(ending);
    }
    if !output::confirm("Write this?") {
        output::note("nothing was written");
        return Ok(Ending::Differs);
    }
    let written = reach::ask(settings, &Op::Deck(op(true)))?;
    write_files(&written, &|path| !is_first(path))?;
    // The difference has been shown; the last word is where it was written.
    if let Some(last) = written.notes.last() {
        output::note(last);
    }
    Ok(if written.differs { Ending::Differs } else { Ending::Good })
}

fn write_files(answer: &Answer, wanted: &dyn Fn(&Path) -> bool) -> Result<(), Failure> {
    for (path, text) in answer.files.iter().filter(|(path, _)| wanted(path)) {
        std::fs::write(path, text).map_err(|e| Failure::Broken(format!("{}: {e}", path.display())))?;
        output::note(&format!("written: {}", path.display()));
    }
    Ok(())
}

/// `DECK` or `DECK@VERSION`.
fn split_name(text: &str) -> Result<(&str, Option<u32>), Failure> {
    match text.rsplit_once('@') {
        None => Ok((text, None)),
        Some((deck, version)) => {
            let wrong = |_| Failure::Usage(format!("{text}: write a version as {deck}@3"));
            version.parse().map(|version| (deck, Some(version))).map_err(wrong)
        }
    }
}

/// A version of a deck by its name; the newest where none is named.
fn root<'a>(config: &'a Config, text: &str) -> Result<&'a DeckRoot, Failure> {
    let (deck, version) = split_name(text)?;
    let versions = config.decks.get(deck).ok_or_else(|| {
        let known: Vec<&str> = config.decks.keys().map(SmolStr::as_str).collect();
        Failure::Usage(format!("deck {deck:?} is not in the configuration; it has: {}", known.join(", ")))
    })?;
    let found = match version {
        None => versions.last(),
        Some(version) => versions.iter().find(|root| root.version == version),
    };
    found.ok_or_else(|| {
        let known: Vec<String> = versions.iter().map(|root| root.version.to_string()).collect();
        Failure::Usage(format!("deck {deck:?} has no such version; it has: {}", known.join(", ")))
    })
}

/// The rows behind some chunks.
pub fn rows_of(config: &Config, chunks: &[[u8; 32]]) -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    let read =
        bus::config_log::each_chunk(config, chunks, &mut |rates| rates.into_iter().for_each(|rate| rows.push(rate)));
    read.map_err(Failure::broken)?;
    rows.finish();
    Ok(rows)
}

/// A carrier's file in little memory.
pub struct FileRows {
    pub rows: Rows,
    problems: Vec<String>,
    /// Rows that could not be read, all of them.
    problem_rows: u64,
    currency: Option<Currency>,
    product: Option<SmolStr>,
    /// Rows at price 0 that were taken for free ones.
    zero: u64,
    hash: [u8; 32],
    assumptions: Vec<String>,
    origin_groups: Vec<OriginGroup>,
}

/// Reads a carrier's file; dates and bands are those of the deck that takes it.
pub fn read_file(file: &Path, answers: &Answers, deck: Option<&DeckRoot>, told: &Told) -> Result<FileRows, Failure> {
    told.stage("reading the file");
    let bytes = read_bounded(file)?;
    let mut options = answers.options()?;
    if let Some(deck) = deck {
        options.time_bands = deck.terms.time_bands.iter().map(|band| band.name.clone()).collect();
        if answers.zone.is_none() {
            options.effective_zone = deck.terms.effective_zone.clone();
        }
    }
    let hash = *blake3::hash(&bytes).as_bytes();
    let (mut rows, mut problems, mut problem_rows, mut zero) = (Rows::new(), Vec::new(), 0, 0);
    let read = decks::read_rows(&file.display().to_string(), &bytes, &options, &mut |item| match item {
        decks::Item::Rate(rate, _) => {
            let priced = rate.status == facts::deck::RowStatus::Open && rate.steps.is_empty();
            zero += u64::from(priced && rate.next_rate.0 == 0);
            rows.push(rate);
            told.row();
        }
        decks::Item::Problem(problem) => {
            problem_rows += 1;
            if problems.len() < told.problems {
                problems.push(problem_line(file, &problem));
            }
        }
    });
    let (found, totals) = read.map_err(Failure::usage)?;
    rows.finish();
    told.file(FileTold {
        read: decks::json::summary(&found, &totals).into_iter().map(|(label, text)| (label.to_owned(), text)).collect(),
        problems: problems.clone(),
        problem_rows,
        template: decks::template::save(&options, &found).unwrap_or_default(),
    });
    let mut assumptions: Vec<String> = found.to_confirm.iter().map(|text| format!("to confirm: {text}")).collect();
    assumptions.extend(found.assumptions.iter().map(|text| format!("taken for granted: {text}")));
    let (currency, product, origin_groups) = (found.currency, found.notice.product, found.origin_groups);
    Ok(FileRows { rows, problems, problem_rows, currency, product, zero, hash, assumptions, origin_groups })
}
