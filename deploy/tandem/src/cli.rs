//! The command line: clap definitions only; what a command does stands in the file of its name.

use crate::cli_ledger::LedgerArgs;
use crate::cli_site::SiteCommand;
use crate::deck_life::args::{
    DecideArgs, DiffArgs, ExportArgs, ImportArgs, MakeArgs, NamesArgs, PriceArgs, RollbackArgs, ShowArgs, ToldArgs,
};
use crate::settings::SettingsFlags;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// CDRs in, proved balances and reports out: billing for wholesale voice carriers
#[derive(Debug, Parser)]
#[command(name = "tandem", version, about, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub settings: SettingsFlags,
    /// JSON on stdout (JSON Lines for lists)
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// A day of generated wholesale traffic through the whole pipeline, then live traffic in the console
    Demo(DemoArgs),
    /// All roles in one process
    Up,
    /// One role: ingest (files, HTTP, switch-events to call-events)
    Ingest,
    /// One role: rater (call-events to rated calls)
    Rater(RaterArgs),
    /// One role: ledger (rated calls and payments to entries)
    Ledger(LedgerArgs),
    /// One role: loader (rated calls to ClickHouse)
    Loader,
    /// One role: rated calls to the plain topic of the setting xdr_out
    XdrOut,
    /// One role: console and HTTP API
    Console,
    /// Write a configuration: shows the difference, asks, writes a new version
    Apply(ApplyArgs),
    /// The configuration log
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Read rate decks
    #[command(subcommand)]
    Deck(DeckCommand),
    /// Read and import CDR files
    #[command(subcommand)]
    Calls(CallsCommand),
    /// Price past calls again: what it comes to, posted under one id, taken back by another (docs/guides/rerating.md)
    #[command(subcommand)]
    Rerate(RerateCommand),
    /// Price a switch's file against a configuration, without any server; books nothing
    Rate(RateArgs),
    /// Price calls with their terms: JSON Lines in, one answer a line with every step out (docs/reference/quote.md)
    Quote {
        /// A file of JSON Lines (default: stdin)
        file: Option<PathBuf>,
        /// A TOML file or a folder of them: lines may name one of its accounts instead of their terms
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
    },
    /// Reports from ClickHouse
    Report(ReportArgs),
    /// SQL on the reporting engine, read only
    Sql {
        /// A SELECT statement
        query: String,
    },
    /// Calls of switches that ask over RADIUS (docs/guides/radius.md)
    #[command(subcommand)]
    Radius(crate::radius::orders::RadiusOp),
    /// This site among others (docs/guides/two-sites.md)
    #[command(subcommand)]
    Site(SiteCommand),
    /// The reporting engine
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Measure, each figure beside its baseline from the same run
    Bench(BenchArgs),
    /// Print the settings in force, as TOML
    Settings,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Calls of the generated day
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub calls: u64,
    /// Same seed, same day
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Stop after the proof that generator, ledger and ClickHouse agree
    #[arg(long)]
    pub once: bool,
    /// Keep the demo's data here instead of a temporary folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RaterArgs {
    /// Only these partitions of call-events (default: all)
    #[arg(long = "partition", value_name = "P")]
    pub partitions: Vec<u32>,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A TOML file or a folder of them
    pub path: PathBuf,
    /// Write without asking
    #[arg(long)]
    pub yes: bool,
    /// Also remove trunks, agreements, products and switches that the files do not name
    #[arg(long)]
    pub prune: bool,
    /// Why, for the history
    #[arg(long, default_value = "")]
    pub comment: String,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Versions: when, who, why, how many changes
    History,
    /// One version as the TOML that apply reads; its decks by version, without their rows
    Show {
        /// Version as in the history (default: the one in force)
        seq: Option<u64>,
    },
    /// Bring an older version back as a new one: shows the difference, asks, writes
    Rollback {
        /// Version to return to, as in the history
        seq: u64,
        /// Write without asking
        #[arg(long)]
        yes: bool,
        /// Why, for the history
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Pass over a record of call-events at which a rater stands still, because its time lies in the future
    Void {
        /// Partition of call-events, as the rater names it
        partition: u32,
        /// Offset of the record
        offset: u64,
        /// Why, for the history
        #[arg(long)]
        reason: String,
        /// Who orders it (default: the user of this machine)
        #[arg(long)]
        by: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum DeckCommand {
    /// Read a carrier's file: rows, problems with place and reason, totals; stores nothing
    Read {
        file: PathBuf,
        #[command(flatten)]
        answers: crate::deck::Answers,
        /// Only problems and totals, no rows
        #[arg(long)]
        summary: bool,
    },
    /// Take a carrier's file into a deck: shows what changes and what it costs, asks, writes a new version
    Import(Box<ImportArgs>),
    /// Make a sell deck from buy decks by a recipe (LCR position, margins, floors by charge): shows, asks, writes a version
    Make(Box<MakeArgs>),
    /// What one version or file changes of another, by class, with its money on past traffic; stores nothing
    Diff(Box<DiffArgs>),
    /// All decks with their versions, or the rows of one version
    Show(ShowArgs),
    /// A version as a file for somebody else: CSV or XLSX, his columns, changes marked
    Export(ExportArgs),
    /// Record that a customer was told of a version: when, by whom, with which file; sends nothing
    Told(ToldArgs),
    /// What every customer was told last of the decks he buys by, and what he was not told yet
    Notices {
        /// Only this deck
        deck: Option<String>,
    },
    /// What a carrier's names of destinations mean among ours, by their codes; writes a mapping for deck read and import
    Names(Box<NamesArgs>),
    /// The row that prices a number at a time, and how its price moves
    Price(PriceArgs),
    /// Bring an older version back as a new one: shows what changes, asks, writes
    Rollback(RollbackArgs),
    /// Imports: what was taken in, what is held for a second person and why
    Imports {
        /// Only this deck
        deck: Option<String>,
    },
    /// Let a held import count; not by the person who imported it
    Approve(DecideArgs),
    /// Drop a held import
    Reject(DecideArgs),
}

#[derive(Debug, Subcommand)]
pub enum CallsCommand {
    /// Decode a switch's file: records, rejects with place and reason, counts; stores nothing
    Read {
        file: PathBuf,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Feed a switch's file into the pipeline; the same file again counts as repeats
    Import {
        file: PathBuf,
        /// Switch of the configuration that wrote the file
        #[arg(long)]
        switch: String,
        /// Wait until every record is rated and booked
        #[arg(long)]
        wait: bool,
    },
    /// One call of any site held here: facts, attempts, prices with every step, ledger entries, revisions
    Show {
        /// Its id, 32 hexadecimal digits
        call: String,
    },
    /// What could not be priced, by cause
    Suspense {
        /// Records that no rule could decide instead, newest first, with what to do
        #[arg(long)]
        records: bool,
    },
    /// Price what has no price again with the present configuration: shows what it comes to, asks, posts
    Recycle(RecycleArgs),
}

#[derive(Debug, Args)]
pub struct RecycleArgs {
    /// Only what is unrated for this reason, as `calls suspense` names it
    #[arg(long, default_value = "", value_name = "REASON")]
    pub reason: String,
    /// Only this account, before or after (repeat for more)
    #[arg(long = "account", value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// First day or instant (default: everything)
    #[arg(long, default_value = "", value_name = "TIME")]
    pub from: String,
    /// Exclusive end
    #[arg(long, default_value = "", value_name = "TIME")]
    pub until: String,
    /// Post without asking
    #[arg(long)]
    pub yes: bool,
    /// Why, for the ledger's history
    #[arg(long, default_value = "recycling", value_name = "TEXT")]
    pub comment: String,
    /// Calls that this site booked, or `all` (default: those of the site that is asked)
    #[arg(long = "of-site", default_value = "", value_name = "NAME|all")]
    pub of_site: String,
}

#[derive(Debug, Subcommand)]
pub enum RerateCommand {
    /// What pricing again would come to, by account and destination; posts nothing. Fixes inputs and configuration
    /// under a run id
    Preview(PreviewArgs),
    /// Post a previewed run as compensating entries; the same run again has no effect
    Post {
        /// As the preview said; its first digits are enough
        id: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who (default: the user of this machine)
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Take a posted run back by another one
    Undo {
        id: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who (default: the user of this machine)
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Give a preview up, so that another may be made over its agreements
    Drop { id: String },
    /// All runs, newest first
    List,
    /// One run: its money, what of it was refused, what has been replaced since
    Show { id: String },
    /// Calls priced by another deck version than the one in force for their instant, with the money
    Proposals {
        /// First day or instant (default: everything)
        #[arg(long, default_value = "", value_name = "TIME")]
        from: String,
        /// Exclusive end
        #[arg(long, default_value = "", value_name = "TIME")]
        until: String,
        /// Calls that this site booked, or `all` (default: those of the site that is asked)
        #[arg(long = "of-site", default_value = "", value_name = "NAME|all")]
        of_site: String,
    },
}

#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// Calls that started on this day or at this instant, or later (default: everything)
    #[arg(long, default_value = "", value_name = "TIME")]
    pub from: String,
    /// Exclusive end
    #[arg(long, default_value = "", value_name = "TIME")]
    pub until: String,
    /// Only this account's sides, before or after (repeat for more)
    #[arg(long = "account", value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Only sides to this destination, before or after (repeat for more)
    #[arg(long = "destination", value_name = "NAME")]
    pub destinations: Vec<String>,
    /// Only sides by this deck; with @VERSION priced by that version instead of the newest
    #[arg(long, default_value = "", value_name = "NAME[@VERSION]")]
    pub deck: String,
    /// Price by this configuration version (default: the one in force)
    #[arg(long, value_name = "SEQ")]
    pub config: Option<u64>,
    /// Who (default: the user of this machine)
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Calls that this site booked, or `all` (default: those of the site that is asked)
    #[arg(long = "of-site", default_value = "", value_name = "NAME|all")]
    pub of_site: String,
}

#[derive(Debug, Args)]
pub struct RateArgs {
    pub file: PathBuf,
    /// A TOML file or a folder of them, as for apply
    #[arg(long, value_name = "PATH")]
    pub config: PathBuf,
    /// Switch of the configuration that wrote the file (default: the only one)
    #[arg(long, value_name = "ID")]
    pub switch: Option<String>,
}

#[derive(Debug, Args)]
pub struct SourceArgs {
    /// yeti, asterisk, freeswitch, cucm, tandem; default: recognised from the content
    #[arg(long)]
    pub format: Option<String>,
    /// IANA zone of times that carry none
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Name of the switch
    #[arg(long, default_value = "switch")]
    pub switch: String,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Which report; check proves that reports and ledger tie
    pub name: ReportName,
    /// First day or instant (default: everything)
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Exclusive end
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// table, csv, json, parquet
    #[arg(long, default_value = "table")]
    pub format: ReportFormat,
    /// Only this customer account
    #[arg(long)]
    pub customer: Option<String>,
    /// Only this vendor account
    #[arg(long)]
    pub vendor: Option<String>,
    /// Only this destination
    #[arg(long)]
    pub destination: Option<String>,
    /// Write here instead of to stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportName {
    Customer,
    Destination,
    Vendor,
    Hour,
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Table,
    Csv,
    Json,
    Parquet,
}

#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Fetch the embedded ClickHouse engine once (178 MB), checked by its SHA-256
    Fetch,
    /// Where it was found, or why not
    Status,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    pub what: BenchName,
    /// Calls to push through, to price or to hold for
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub calls: u64,
    /// history: keep the logs and indexes here, and take what is there already
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchName {
    /// Calls of three events each on the bus to rated, booked and durable, by two decks of 1,000,000 codes; measured
    /// from the first record taken to the last ledger frame durable, start and deck compilation left out. With
    /// --kafka on a broker of its own
    Pipeline,
    /// The embedded log; with --kafka copying records from topic to topic
    Bus,
    /// Pricing both sides of a call in memory, two decks of 1,000,000 codes
    Rate,
    /// Holds for calls, 5,000 a second offered, each durable before it is answered; at most 100,000 of them
    Hold,
    /// A carrier's next file read, compared and in force: a workbook of 18,254 rows, a CSV of 1,000,000; and a
    /// thousand versions of a deck beside ten decks
    Deck,
    /// Balances of any time and statements from the index over the past, for a ledger of so many entries and a tenth of
    /// them, beside reading the log; some 110 bytes of disk an entry
    History,
    /// Preview of stored calls priced again by a dearer deck of 1,000,000 codes, beside reading the log
    Rerate,
}
