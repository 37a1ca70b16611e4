//! What the console shows, as plain values, and the one trait by which it asks for them. The process behind it
//! (`ledger`) answers from ClickHouse, the ledger's fold, the logs and the raw store; the console itself opens nothing.

use crate::decks::{DeckView, RowsAsk, RowsView, TimelineView};
use crate::imports::{ImportView, UploadView};
use crate::jobs::{Form, JobAsk, JobProgress, JobView};
use crate::make::MakeView;
use crate::price::{PriceAsk, PriceView};
use axum::body::Bytes;
use facts::CallId;
pub use reporting::reports::{Column, Kind, Table};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;

/// An answer on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Why a page has nothing to show.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// The reporting engine is away or was never there; everything else goes on.
    #[error("{what}")]
    Unavailable { what: String, advice: String },
    /// What was asked makes no sense: the place and what to do.
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Broken(String),
}

/// Which rows a report or search is about. Times are RFC 3339 or days, exclusive end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    pub from: String,
    pub until: String,
    pub customer: String,
    pub vendor: String,
    pub destination: String,
    /// A called or calling number, whole.
    pub number: String,
    pub call_id: String,
    /// Reason of an unrated side.
    pub unrated: String,
    /// Rows to pass over, for the next page.
    pub offset: u64,
}

/// The four reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportName {
    Customer,
    Destination,
    Vendor,
    Hour,
}

impl ReportName {
    pub const ALL: [Self; 4] = [Self::Customer, Self::Destination, Self::Vendor, Self::Hour];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Destination => "destination",
            Self::Vendor => "vendor",
            Self::Hour => "hour",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Customer => "By customer",
            Self::Destination => "By destination",
            Self::Vendor => "By vendor",
            Self::Hour => "By hour",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

/// One point of the live plots: a minute.
#[derive(Debug, Clone, Serialize)]
pub struct LivePoint {
    /// Unix seconds of the minute's start.
    pub at: i64,
    pub attempts: u64,
    pub answered: u64,
    /// In the site's base currency, exact decimal.
    pub margin: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Live {
    pub points: Vec<LivePoint>,
    pub currency: String,
    /// Calls rated in the last ten seconds, per second, in tenths.
    pub calls_per_second_tenths: u64,
}

/// One line of the state of the house.
#[derive(Debug, Clone, Serialize)]
pub struct HealthLine {
    pub part: String,
    pub state: HealthState,
    /// What it does, or what is wrong.
    pub detail: String,
    /// Since when something is wrong, RFC 3339; empty while all is well.
    pub since: String,
    /// What to do about it; empty while all is well.
    pub advice: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    Good,
    /// Heals by itself, or is only late.
    Warned,
    /// Somebody has to act.
    Bad,
}

/// A line of explained text: a label and its value, optionally a link.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    pub label: String,
    pub value: String,
    pub link: String,
}

impl Fact {
    pub fn new(label: &str, value: impl Into<String>) -> Self {
        Self { label: label.to_owned(), value: value.into(), link: String::new() }
    }

    pub fn linked(label: &str, value: impl Into<String>, link: impl Into<String>) -> Self {
        Self { label: label.to_owned(), value: value.into(), link: link.into() }
    }
}

/// One priced side on a call's page.
#[derive(Debug, Clone, Serialize)]
pub struct XdrView {
    pub title: String,
    pub amount: String,
    pub currency: String,
    pub provisional: bool,
    pub facts: Vec<Fact>,
    /// How the price came about, step by step.
    pub explanation: Vec<String>,
}

/// Everything known about one call.
#[derive(Debug, Clone, Serialize)]
pub struct CallView {
    pub call_id: String,
    pub title: String,
    pub estimated: bool,
    pub facts: Vec<Fact>,
    pub events: Table,
    pub attempts: Table,
    pub xdrs: Vec<XdrView>,
    pub entries: Table,
    /// Original bytes as text, one per raw reference.
    pub raw: Vec<RawView>,
    /// Earlier and later revisions of this call, newest first.
    pub revisions: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RawView {
    pub place: String,
    pub text: String,
}

/// A rate as it stands in its deck version.
#[derive(Debug, Clone, Serialize)]
pub struct RateView {
    pub title: String,
    pub facts: Vec<Fact>,
    /// Rows of the same prefix and its shorter ones.
    pub rows: Table,
}

/// A page of an account's entries.
#[derive(Debug, Clone, Serialize)]
pub struct Entries {
    /// Balance, limit, what is held and what is available, by currency.
    pub exposure: Table,
    /// What the exposure of the carrier's accounts consists of.
    pub parts: Table,
    /// Grants and caps.
    pub limits: Table,
    /// The first open holds.
    pub holds: Table,
    pub rows: Table,
    /// Where older ones go on; empty: these are the oldest.
    pub older: String,
    /// Where newer ones go on; empty: these are the newest.
    pub newer: String,
}

/// One run over past calls.
#[derive(Debug, Clone, Serialize)]
pub struct RunView {
    pub title: String,
    pub facts: Vec<Fact>,
    /// What it comes to, by side, account and destination.
    pub money: Table,
    /// Calls refused, and calls replaced since.
    pub said: Vec<String>,
}

/// A file on its way; dropped before [`Upload::begin`], nothing of it stays.
pub trait Upload: Send {
    fn write(&mut self, chunk: Bytes) -> Answer<'_, ()>;
    /// The file is whole: begins the job that reads it, and gives its id.
    fn begin(self: Box<Self>, form: Form) -> Answer<'static, String>;
}

/// The sites of a house, as this one sees them.
#[derive(Debug, Clone, Serialize)]
pub struct SitesView {
    /// One row a site, this one first.
    pub sites: Table,
    /// Rights by account and site.
    pub rights: Table,
    /// What is wrong or waits, in words.
    pub said: Vec<String>,
}

/// What the console asks of the process behind it.
pub trait Source: Send + Sync + 'static {
    /// Name of the site, for the page's head.
    fn site(&self) -> String;
    fn live(&self) -> Answer<'_, Live>;
    fn health(&self) -> Answer<'_, Vec<HealthLine>>;
    fn report(&self, name: ReportName, filter: Filter) -> Answer<'_, Table>;
    /// The report as a file of the engine's own making: `csv`, `json`, `parquet`.
    fn export(&self, name: ReportName, filter: Filter, format: String) -> Answer<'_, Vec<u8>>;
    /// Calls, newest first; the column `call_id` links to the page.
    fn calls(&self, filter: Filter) -> Answer<'_, Table>;
    fn call(&self, call_id: CallId) -> Answer<'_, Option<CallView>>;
    fn rate(&self, deck: String, version: u32, prefix: String) -> Answer<'_, Option<RateView>>;
    fn decks(&self) -> Answer<'_, Table>;
    fn deck(&self, deck: String) -> Answer<'_, Option<DeckView>>;
    /// A page of a version's rows; `None` = no such deck or version.
    fn deck_rows(&self, deck: String, version: u32, ask: RowsAsk) -> Answer<'_, Option<RowsView>>;
    /// The deck's newest version, and how the price of a code or number moves in it.
    fn deck_timeline(&self, deck: String, code: String, at: String) -> Answer<'_, Option<(u32, TimelineView)>>;
    /// Imports of all decks, newest first.
    fn deck_imports(&self) -> Answer<'_, Table>;
    fn deck_import(&self, id: String) -> Answer<'_, Option<ImportView>>;
    /// A job that compares a held import with the version that it was made for: its id.
    fn review_held(&self, id: String) -> Answer<'_, String>;
    /// The second person's word.
    fn decide_import(&self, id: String, by: String, reason: String, approve: bool) -> Answer<'_, ()>;
    /// What the form for a file needs.
    fn upload_form(&self, deck: String) -> Answer<'_, UploadView>;
    /// A place for a file that is on its way.
    fn upload(&self, file_name: String) -> Answer<'_, Box<dyn Upload>>;
    /// What the form for a recipe needs.
    fn make_form(&self, deck: String) -> Answer<'_, MakeView>;
    /// A job that makes a sell deck by the recipe of a form, as a preview. Its id.
    fn make_deck(&self, form: Form) -> Answer<'_, String>;
    /// A job that previews an older version back as the newest. Its id.
    fn rollback(&self, deck: String, to: u32) -> Answer<'_, String>;
    /// Why each price of a made deck is as it is, as CSV; `None` = no such job, or it made none.
    fn job_reasons(&self, id: String) -> Answer<'_, Option<Vec<u8>>>;
    /// A job that compares two versions; `again` makes it anew. Its id.
    fn compare(&self, deck: String, from: u32, to: u32, again: bool) -> Answer<'_, String>;
    /// Jobs, newest first; the column `job` leads to the page.
    fn jobs(&self) -> Answer<'_, Table>;
    fn job(&self, id: String, ask: JobAsk) -> Answer<'_, Option<JobView>>;
    fn job_progress(&self, id: String) -> Answer<'_, Option<JobProgress>>;
    /// Reads the job's file again with other answers, or writes what it previewed; `false` = there is no such job.
    fn job_act(&self, id: String, form: Form, write: bool) -> Answer<'_, bool>;
    /// What a call would cost, every side of it; what is wrong with the question stands in the answer.
    fn price_call(&self, ask: PriceAsk) -> Answer<'_, PriceView>;
    fn balances(&self) -> Answer<'_, Table>;
    /// Entries of an account of all sites, newest first: those older than a place, those newer than one, or the newest.
    fn entries(&self, account: String, older: String, newer: String) -> Answer<'_, Option<Entries>>;
    fn trial_balance(&self) -> Answer<'_, Table>;
    /// Unrated sides by reason, with minutes and provisional money.
    fn suspense(&self) -> Answer<'_, Table>;
    /// Runs over past calls, newest first; the column `run` links to the page.
    fn runs(&self) -> Answer<'_, Table>;
    fn run(&self, id: String) -> Answer<'_, Option<RunView>>;
    /// The other sites and how this one stands with them; `None` where it has no peers.
    fn sites(&self) -> Answer<'_, Option<SitesView>>;
    /// Imports with their counts; rejects of one import where `import` is given.
    fn imports(&self) -> Answer<'_, Table>;
    fn rejects(&self, offset: u64) -> Answer<'_, Table>;
}
