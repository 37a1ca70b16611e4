//! Flags of the commands about a deck's life, and the requests that they become. What they do stands beside.

use crate::deck::Answers;
use crate::output::Failure;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Whether a file is the whole deck or an amendment of it.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[group(required = true, multiple = false)]
pub struct KindFlags {
    /// The file is the whole deck: codes that it does not list end
    #[arg(long)]
    pub az: bool,
    /// The file is an amendment: codes that it does not list stay
    #[arg(long)]
    pub partial: bool,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct ImportArgs {
    /// The carrier's file
    pub file: PathBuf,
    /// Deck that takes it; made where there is none of this name
    #[arg(long, value_name = "NAME")]
    pub deck: String,
    #[command(flatten)]
    pub kind: KindFlags,
    /// When the file came (default: now): notice counts from here, missing codes end, rows without a date begin
    #[arg(long, value_name = "TIME")]
    pub received: Option<String>,
    /// Days of past traffic that the money effect is told for
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub days: u32,
    /// Take the readable rows where others cannot be read; the version is held for a second person
    #[arg(long)]
    pub with_problems: bool,
    /// Where the letter that rejects a short notice is written (default: short-notice-DECK-N.txt)
    #[arg(long, value_name = "FILE")]
    pub letter: Option<PathBuf>,
    /// Write every change here, as CSV; the answer lists the first 10,000
    #[arg(long, value_name = "FILE")]
    pub all_changes: Option<PathBuf>,
    /// Write without asking
    #[arg(long)]
    #[serde(skip)]
    pub yes: bool,
    /// Who imports it
    #[arg(long)]
    pub by: String,
    /// Why
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct MakeArgs {
    /// The recipe, TOML: buy decks, LCR position, margins, increments, floor, rounding (docs/guides/selling.md)
    pub recipe: PathBuf,
    /// From when the prices count (default: now)
    #[arg(long, value_name = "TIME")]
    pub effective: Option<String>,
    /// When the customers are told (default: now): the notice of the deck's rules counts from here, increases wait for it
    #[arg(long, value_name = "TIME")]
    pub announced: Option<String>,
    /// Days of past traffic that the money effect is told for
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub days: u32,
    /// Write why each price is as it is: which vendor, which cost, which rule decided; CSV
    #[arg(long, value_name = "FILE")]
    pub explain: Option<PathBuf>,
    /// Write every change here, as CSV; the answer lists the first 10,000
    #[arg(long, value_name = "FILE")]
    pub all_changes: Option<PathBuf>,
    /// Write without asking
    #[arg(long)]
    #[serde(skip)]
    pub yes: bool,
    /// Who makes it
    #[arg(long)]
    pub by: String,
    /// Why
    #[arg(long)]
    pub reason: String,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct DiffArgs {
    /// The older one: DECK, DECK@VERSION or a file
    pub old: String,
    /// The newer one: DECK, DECK@VERSION or a file
    pub new: String,
    /// The newer file is an amendment: codes that it does not list stay
    #[arg(long)]
    pub partial: bool,
    /// When the newer file came (default: now)
    #[arg(long, value_name = "TIME")]
    pub received: Option<String>,
    /// Days of notice of an increase by the contract (default: the deck's rules)
    #[arg(long, value_name = "N")]
    pub notice_days: Option<u32>,
    /// Days of past traffic that the money effect is told for
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub days: u32,
    /// Write every change here, as CSV; the answer lists the first 10,000
    #[arg(long, value_name = "FILE")]
    pub all_changes: Option<PathBuf>,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct ShowArgs {
    /// DECK or DECK@VERSION; without it all decks with their versions
    pub deck: Option<String>,
    /// Only rows in force at this time
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct ExportArgs {
    /// DECK or DECK@VERSION
    pub deck: String,
    /// csv, xlsx
    #[arg(long, default_value = "csv")]
    pub format: ExportFormat,
    /// Only rows in force at this time or later
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The customer's layout, TOML: columns, lines above, dates, decimal mark, his words (docs/guides/selling.md)
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// Columns as the customer wants them, as "Prefix=code,Price=rate"; see the guide for the fields
    #[arg(long, value_name = "HEADER=FIELD,..", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Mark what changed since this version
    #[arg(long, value_name = "VERSION")]
    pub since: Option<u32>,
    /// Mark what changed since the version that this account was told last, as tandem deck told has recorded it
    #[arg(long, value_name = "ACCOUNT")]
    pub to: Option<String>,
    /// Only rows that changed; needs --since or --to
    #[arg(long)]
    pub changes: bool,
    /// Write the text of the mail that tells of the changes; refused where an increase is earlier than the notice allows.
    /// Needs --since or --to
    #[arg(long, value_name = "FILE")]
    pub notice: Option<PathBuf>,
    /// When the customer is told (default: now)
    #[arg(long, value_name = "TIME")]
    pub announced: Option<String>,
    /// Days of notice that he has for increases (default: the deck's rules)
    #[arg(long, value_name = "N")]
    pub notice_days: Option<u32>,
    /// Write here instead of to stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct ToldArgs {
    /// DECK or DECK@VERSION: what he was told
    pub deck: String,
    /// The customer's account
    #[arg(long, value_name = "ACCOUNT")]
    pub to: String,
    /// The version that he had (default: the one that he was told last)
    #[arg(long, value_name = "VERSION")]
    pub since: Option<u32>,
    /// When he was told (default: now)
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The file that was sent; its name and hash are kept
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Days of notice that he has for increases (default: the deck's rules)
    #[arg(long, value_name = "N")]
    pub notice_days: Option<u32>,
    /// Who told him
    #[arg(long)]
    pub by: String,
    /// How, as "mail to rates@alba.example"
    #[arg(long)]
    pub reason: String,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct NamesArgs {
    /// The carrier's file
    pub file: PathBuf,
    /// Deck whose names are ours
    #[arg(long, value_name = "DECK", conflicts_with = "numbering")]
    pub like: Option<String>,
    /// Number ranges whose countries and kinds are our names: CSV as of libphonenumber (docs/guides/selling.md)
    #[arg(long, value_name = "FILE")]
    pub numbering: Option<PathBuf>,
    /// Mobile ranges by operator too
    #[arg(long, requires = "numbering")]
    pub operators: bool,
    /// Write the mapping here; what is open stands in it as comments
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum ExportFormat {
    Csv,
    Xlsx,
}

#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct PriceArgs {
    /// The called number, digits
    pub number: String,
    /// DECK or DECK@VERSION
    #[arg(long)]
    pub deck: String,
    /// When (default: now)
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct RollbackArgs {
    pub deck: String,
    /// The version that comes back, as a new one
    #[arg(value_name = "VERSION")]
    pub to: u32,
    /// Write every change here, as CSV; the answer lists the first 10,000
    #[arg(long, value_name = "FILE")]
    pub all_changes: Option<PathBuf>,
    /// Write without asking
    #[arg(long)]
    #[serde(skip)]
    pub yes: bool,
    /// Who
    #[arg(long)]
    pub by: String,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// Days of past traffic that the money effect is told for
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub days: u32,
}

#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct DecideArgs {
    /// The import, as DECK/NUMBER
    pub id: String,
    /// Who decides: another person than who imported it
    #[arg(long)]
    pub by: String,
    /// Why
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// A request about decks, as it crosses to the process that owns the data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "deck_op", content = "args", rename_all = "snake_case")]
pub enum DeckOp {
    Import { args: Box<ImportArgs>, write: bool },
    Make { args: Box<MakeArgs>, write: bool },
    Diff(Box<DiffArgs>),
    Show(ShowArgs),
    Export(ExportArgs),
    Names(Box<NamesArgs>),
    Price(PriceArgs),
    Rollback { args: RollbackArgs, write: bool },
    Decide { args: DecideArgs, approve: bool },
    Imports { deck: Option<String> },
    Told(ToldArgs),
    Notices { deck: Option<String> },
}

impl DeckOp {
    /// Weighs its changes by past traffic.
    pub fn weighs(&self) -> bool {
        matches!(self, Self::Import { .. } | Self::Make { .. } | Self::Diff(_) | Self::Rollback { .. })
    }
}

/// The same place, whichever folder the other process stands in.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(Failure::usage)
}
