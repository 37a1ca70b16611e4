//! Pages about long work: what waits, what is under way, what came of it. The work goes on when the page is closed; the
//! page asks how far it is and shows the result when it is there. Works on nothing itself.

use crate::access::encode;
use crate::decks::version_tabs;
use crate::imports;
use crate::layout::{Room, facts, no_link, page, query, table, trouble, value};
use crate::make;
use crate::source::{Fact, SourceError, Table};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fields of a form as typed, by name.
pub type Form = BTreeMap<String, String>;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Waiting,
    Working,
    /// Something must be answered before it goes on.
    Asked,
    /// The preview is there; nothing was written.
    Previewed,
    Done,
    Failed,
}

impl JobState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waits",
            Self::Working => "works",
            Self::Asked => "asks",
            Self::Previewed => "previewed",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Nobody needs to do anything for it to go on.
    pub fn moves(self) -> bool {
        matches!(self, Self::Waiting | Self::Working)
    }
}

/// How far a job is; what the page asks for while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobProgress {
    pub state: JobState,
    /// What it does now, or whom it waits for.
    pub stage: String,
    /// Rows read so far.
    pub rows: u64,
}

/// Which part of the result is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobAsk {
    /// Only changes of this class.
    pub class: String,
    /// Changes to pass over.
    pub offset: usize,
}

/// What a version would change, or changes.
#[derive(Debug, Clone, Default)]
pub struct Review {
    /// Class and how many.
    pub counts: Vec<(String, u64)>,
    pub unchanged: u64,
    pub total: u64,
    /// A page of the changes asked for.
    pub changes: Table,
    /// Changes of that class which are kept here.
    pub listed: usize,
    /// What the file says; empty where no file was read.
    pub read: Vec<Fact>,
    pub problems: Vec<String>,
    pub problem_rows: u64,
    /// What was found in sentences and decides money.
    pub to_confirm: Vec<String>,
    /// Money on past traffic, or why it is not known.
    pub money: Vec<Fact>,
    /// Why a second person decides.
    pub causes: Vec<String>,
    pub warnings: Table,
    pub backdated: Table,
    pub below_cost: Table,
    /// The letter that rejects a short notice.
    pub letter: String,
    /// Reads the carrier's next notice without questions.
    pub template: String,
    /// What was said beside, line by line.
    pub said: Vec<String>,
    /// Why prices of a made deck are as they are, the first of them.
    pub reasons: Table,
    /// A carrier's names beside ours.
    pub names: Table,
    /// The mapping of them, as a template takes it.
    pub mapping: String,
}

/// One job.
#[derive(Debug, Clone)]
pub struct JobView {
    pub id: String,
    pub title: String,
    pub deck: String,
    /// The deck's newest version.
    pub newest: u32,
    pub progress: JobProgress,
    /// The question, the failure, or what came of it.
    pub message: String,
    pub facts: Vec<Fact>,
    /// Answers so far, of an import.
    pub form: Option<Form>,
    pub review: Option<Review>,
    /// The preview can be written.
    pub can_write: bool,
    /// Of a comparison: how to make it again.
    pub again: String,
    /// Import that came of it.
    pub import: String,
}

/// All jobs, newest first.
pub fn list(site: &str, answer: &Result<Table, SourceError>) -> Markup {
    let link = |rows: &Table, column: usize, row: &[String]| {
        (rows.columns.get(column)?.key == "job").then(|| value(rows, row, "job").map(|id| format!("/jobs/{id}")))?
    };
    let body = html! {
        p { "Work that takes its time. It goes on when its page is closed, and is taken up again when Tandem starts anew." }
        @match answer {
            Ok(rows) => (table(rows, &link, html! { p { "No job yet. " a href="/deck-import" { "Import a file" } " begins one." } })),
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Decks, "Jobs", body)
}

/// One job.
pub fn job(site: &str, job: &JobView, ask: &JobAsk, token: &str) -> Markup {
    let moves = job.progress.state.moves();
    let body = html! {
        @if job.newest > 0 { (version_tabs(&job.deck, job.newest, "")) }
        (facts(&job.facts))
        section #job.panel data-state=(job.progress.state.word()) data-job=[moves.then_some(&job.id)] role="status" {
            p { b { (job.progress.state.word()) } @if moves { ": " span #stage { (stage(&job.progress)) } } }
            @if moves {
                progress {}
                p.small { "This page looks by itself; close it if you like: the job goes on. " a href={ "/jobs/" (job.id) } { "Look now" } }
            }
            @if !job.message.is_empty() { p.message { (job.message) } }
            @if !job.import.is_empty() { p { a href={ "/deck-imports/" (encode(&job.import)) } { "Import " (job.import) } } }
            @if !job.again.is_empty() && !moves { p { a href=(job.again) { "Compare again" } } }
        }
        @if let Some(review) = &job.review { (reviewed(job, review, ask, token)) }
        @if let Some(form) = job.form.as_ref().filter(|_| !moves && job.progress.state != JobState::Done) {
            @if form.contains_key("recipe") { (make::again(job, form, token)) } @else { (imports::answers(job, form, token)) }
        }
    };
    page(site, Room::Decks, &job.title, body)
}

/// What it does now, in words.
pub fn stage(progress: &JobProgress) -> String {
    match progress.rows {
        0 => progress.stage.clone(),
        rows => format!("{}, {rows} rows", progress.stage),
    }
}

fn reviewed(job: &JobView, review: &Review, ask: &JobAsk, token: &str) -> Markup {
    html! {
        @if !review.causes.is_empty() {
            section.trouble.warned {
                h2 { "A second person decides" }
                ul { @for cause in &review.causes { li { (cause) } } }
            }
        }
        @if !review.to_confirm.is_empty() {
            section.trouble.warned {
                h2 { "Is this what the carrier means?" }
                ul { @for text in &review.to_confirm { li { (text) } } }
            }
        }
        @if review.problem_rows > 0 {
            section.trouble {
                h2 { "Rows that cannot be read: " (review.problem_rows) }
                ul { @for problem in &review.problems { li { (problem) } } }
                @if review.problem_rows > review.problems.len() as u64 {
                    p.small { "... and " (review.problem_rows - review.problems.len() as u64) " more; " code { "tandem deck read FILE" } " lists them all." }
                }
            }
        }
        @if !review.money.is_empty() { h2 { "Money" } (facts(&review.money)) }
        @if job.can_write { (imports::write(job, token)) }
        @if !review.names.rows.is_empty() {
            h2 { "Their names and ours" }
            (table(&review.names, &no_link, html! {}))
            h2 { "Mapping" }
            p { "Fill in what is open and put it into the carrier's template when his file is imported." }
            pre #mapping { (review.mapping) }
        }
        @if !review.reasons.rows.is_empty() {
            h2 { "Why each price is as it is" }
            div #reasons { (table(&review.reasons, &no_link, html! {})) }
            p { a href={ "/jobs/" (job.id) "/why.csv" } { "All of them as CSV" } }
        }
        @if review.total > 0 || review.unchanged > 0 { (changes(&format!("/jobs/{}", job.id), review, ask)) }
        @for (title, rows) in [
            ("Sold below cost", &review.below_cost), ("Warnings", &review.warnings),
            ("Past calls with another price", &review.backdated),
        ] {
            @if !rows.rows.is_empty() { h2 { (title) } (table(rows, &no_link, html! {})) }
        }
        @if !review.letter.is_empty() {
            h2 { "Letter that rejects the short notice" }
            pre { (review.letter) }
        }
        @if !review.read.is_empty() { h2 { "What was read" } (facts(&review.read)) }
        @if !review.said.is_empty() {
            details { summary { "All that was said" } ul #said { @for line in &review.said { li { (line) } } } }
        }
        @if !review.template.is_empty() {
            details { summary { "Template for this carrier's next notice" } pre #template { (review.template) } }
        }
    }
}

/// The changes by class, a page of them.
fn changes(base: &str, review: &Review, ask: &JobAsk) -> Markup {
    let here = |class: &str, offset: usize| {
        let offset = if offset == 0 { String::new() } else { offset.to_string() };
        format!("{base}{}", query(&[("class", class), ("offset", &offset)]))
    };
    let shown = ask.offset + review.changes.rows.len();
    html! {
        h2 { "What changes" }
        nav.tabs aria-label="Classes" {
            a href=(here("", 0)) aria-current=[ask.class.is_empty().then_some("page")] { "all " (review.total) }
            @for (class, count) in &review.counts {
                a href=(here(class, 0)) aria-current=[(*class == ask.class).then_some("page")] { (class) " " (count) }
            }
            span.small { "unchanged " (review.unchanged) }
        }
        div #changes { (table(&review.changes, &no_link, html! { p { "Nothing changes." } })) }
        p.pager {
            @if ask.offset > 0 { a href=(here(&ask.class, 0)) { "First" } " " }
            @if shown < review.listed { a rel="next" href=(here(&ask.class, shown)) { "Next" } }
        }
        @if (review.listed as u64) < wanted(review, ask) {
            p.small { "The first " (review.listed) " of " (wanted(review, ask)) " are kept here; " code { "tandem deck diff" } " lists them all." }
        }
    }
}

/// How many changes the class asked for has in all.
fn wanted(review: &Review, ask: &JobAsk) -> u64 {
    match ask.class.as_str() {
        "" => review.total,
        class => review.counts.iter().find(|(name, _)| name == class).map_or(0, |(_, count)| *count),
    }
}
