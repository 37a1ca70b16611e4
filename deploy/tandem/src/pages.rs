//! What the console shows, answered from this process: reports from ClickHouse, balances from the ledger's fold, calls
//! from the raters' streams, raw records from the raw store.

use crate::call_view;
use crate::deck_life::args::{DecideArgs, DeckOp};
use crate::deck_pages;
use crate::health;
use crate::history;
use crate::jobs::{Arriving, Jobs};
use crate::node::{Node, wall_micros};
use crate::ops;
use crate::output::Failure;
use crate::past::Part;
use crate::peers::sums;
use crate::price_page;
use crate::runs;
use crate::tables::{self, table_of};
use console::decks::{DeckView, RowsAsk, RowsView, TimelineView};
use console::imports::{ImportView, UploadView};
use console::jobs::{Form, JobAsk, JobProgress, JobView};
use console::make::MakeView;
use console::price::{PriceAsk, PriceView};
use console::source::{
    Answer, CallView, Entries, Filter, HealthLine, Kind, Live, LivePoint, RateView, ReportName, RunView, SitesView,
    Source, SourceError, Table, Upload,
};
use facts::CallId;
use ledger::LedgerView;
use reporting::block_on;
use reporting::reports::{self, Search};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Minutes that the live page shows.
const LIVE_MINUTES: i64 = 120;
/// Decks offered by the form for a file.
const DECKS_OFFERED: usize = 500;
/// Rows of one page.
const PAGE: usize = 100;

/// The console's source over a node.
pub struct Pages(pub Arc<Node>, pub Arc<Jobs>);

impl Pages {
    /// The same of the jobs.
    fn ask_jobs<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Jobs) -> Result<T, SourceError> + Send + 'static,
    ) -> Answer<'_, T> {
        let jobs = self.1.clone();
        self.ask(move |_| ask(&jobs))
    }

    /// Runs a blocking question beside the reactor.
    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Node) -> Result<T, SourceError> + Send + 'static,
    ) -> Answer<'_, T> {
        let node = self.0.clone();
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || ask(&node)).await;
            asked.map_err(|error| SourceError::Broken(error.to_string()))?
        })
    }
}

/// A failure in the console's words.
pub fn shown(failure: Failure) -> SourceError {
    match failure {
        Failure::Usage(what) => SourceError::Wrong(what),
        Failure::Broken(what) if what.contains("engine") => SourceError::Unavailable {
            what,
            advice: "Balances, entries and calls by id still work; `tandem engine status` says where the engine is."
                .to_owned(),
        },
        Failure::Broken(what) => SourceError::Broken(what),
    }
}

fn broken(error: impl std::error::Error) -> SourceError {
    shown(Failure::broken(error))
}

impl Source for Pages {
    fn site(&self) -> String {
        self.0.settings.site.clone()
    }

    fn live(&self) -> Answer<'_, Live> {
        self.ask(live)
    }

    fn health(&self) -> Answer<'_, Vec<HealthLine>> {
        self.ask(|node| Ok(health::lines(node)))
    }

    fn report(&self, name: ReportName, filter: Filter) -> Answer<'_, Table> {
        self.ask(move |node| ops::report_table(node, name, &filter).map_err(shown))
    }

    fn export(&self, name: ReportName, filter: Filter, format: String) -> Answer<'_, Vec<u8>> {
        self.ask(move |node| ops::export_bytes(node, name, &filter, &format).map_err(shown))
    }

    fn calls(&self, filter: Filter) -> Answer<'_, Table> {
        self.ask(move |node| calls(node, &filter))
    }

    fn call(&self, call_id: CallId) -> Answer<'_, Option<CallView>> {
        self.ask(move |node| call_view::call(node, call_id))
    }

    fn rate(&self, deck: String, version: u32, prefix: String) -> Answer<'_, Option<RateView>> {
        self.ask(move |node| call_view::rate(node, &deck, version, &prefix))
    }

    fn decks(&self) -> Answer<'_, Table> {
        self.ask(|node| Ok(deck_pages::list(node)))
    }

    fn deck(&self, deck: String) -> Answer<'_, Option<DeckView>> {
        self.ask(move |node| Ok(deck_pages::deck(node, &deck)))
    }

    fn deck_rows(&self, deck: String, version: u32, ask: RowsAsk) -> Answer<'_, Option<RowsView>> {
        self.ask(move |node| deck_pages::rows(node, &deck, version, &ask))
    }

    fn deck_timeline(&self, deck: String, code: String, at: String) -> Answer<'_, Option<(u32, TimelineView)>> {
        self.ask(move |node| deck_pages::timeline(node, &deck, &code, &at, wall_micros()))
    }

    fn deck_imports(&self) -> Answer<'_, Table> {
        self.ask(|node| Ok(deck_pages::imports(node)))
    }

    fn deck_import(&self, id: String) -> Answer<'_, Option<ImportView>> {
        self.ask(move |node| Ok(deck_pages::import(node, &id)))
    }

    fn review_held(&self, id: String) -> Answer<'_, String> {
        self.ask_jobs(move |jobs| jobs.review_held(&id))
    }

    fn decide_import(&self, id: String, by: String, reason: String, approve: bool) -> Answer<'_, ()> {
        let op = DeckOp::Decide { args: DecideArgs { id, by, reason }, approve };
        self.ask(move |node| crate::deck_life::execute(node, &op).map(drop).map_err(shown))
    }

    fn upload_form(&self, deck: String) -> Answer<'_, UploadView> {
        let jobs = self.1.clone();
        self.ask(move |node| {
            let decks = node.config.current().decks.keys().take(DECKS_OFFERED).map(ToString::to_string).collect();
            Ok(UploadView { decks, template: jobs.template_of(&deck) })
        })
    }

    fn upload(&self, file_name: String) -> Answer<'_, Box<dyn Upload>> {
        let jobs = self.1.clone();
        Box::pin(async move { Ok(Box::new(Arriving::open(jobs, &file_name).await?) as Box<dyn Upload>) })
    }

    fn make_form(&self, deck: String) -> Answer<'_, MakeView> {
        let jobs = self.1.clone();
        self.ask(move |node| {
            let config = node.config.current();
            let decks = config.decks.keys().take(DECKS_OFFERED).map(ToString::to_string).collect();
            let newest =
                config.decks.get(deck.as_str()).and_then(|versions| versions.last()).map_or(0, |root| root.version);
            Ok(MakeView { decks, recipe: jobs.recipe_of(&deck), newest })
        })
    }

    fn make_deck(&self, form: Form) -> Answer<'_, String> {
        self.ask_jobs(move |jobs| jobs.make(form))
    }

    fn rollback(&self, deck: String, to: u32) -> Answer<'_, String> {
        self.ask_jobs(move |jobs| jobs.rollback(&deck, to))
    }

    fn job_reasons(&self, id: String) -> Answer<'_, Option<Vec<u8>>> {
        self.ask_jobs(move |jobs| Ok(jobs.reasons(&id)))
    }

    fn compare(&self, deck: String, from: u32, to: u32, again: bool) -> Answer<'_, String> {
        self.ask_jobs(move |jobs| jobs.compare(&deck, from, to, again))
    }

    fn jobs(&self) -> Answer<'_, Table> {
        self.ask_jobs(|jobs| Ok(jobs.list()))
    }

    fn job(&self, id: String, ask: JobAsk) -> Answer<'_, Option<JobView>> {
        self.ask_jobs(move |jobs| Ok(jobs.view(&id, &ask)))
    }

    fn job_progress(&self, id: String) -> Answer<'_, Option<JobProgress>> {
        self.ask_jobs(move |jobs| Ok(jobs.progress(&id)))
    }

    fn job_act(&self, id: String, form: Form, write: bool) -> Answer<'_, bool> {
        self.ask_jobs(move |jobs| jobs.act(&id, form, write))
    }

    fn price_call(&self, ask: PriceAsk) -> Answer<'_, PriceView> {
        self.ask(move |node| price_page::view(node, &ask, wall_micros()))
    }

    fn balances(&self) -> Answer<'_, Table> {
        self.ask(|node| Ok(tables::balances(&sums::balances(node, None, None).map_err(shown)?)))
    }

    fn entries(&self, account: String, older: String, newer: String) -> Answer<'_, Option<Entries>> {
        self.ask(move |node| entries(node, &account, &older, &newer))
    }

    fn trial_balance(&self) -> Answer<'_, Table> {
        self.ask(|node| Ok(tables::trial_balance(&sums::trial_balance(node, None).map_err(shown)?)))
    }

    fn suspense(&self) -> Answer<'_, Table> {
        self.ask(|node| ops::suspense(node).map_err(shown))
    }

    fn runs(&self) -> Answer<'_, Table> {
        self.ask(|node| runs::list(node).map_err(shown))
    }

    fn run(&self, id: String) -> Answer<'_, Option<RunView>> {
        self.ask(move |node| runs::view(node, &id).map_err(shown))
    }

    fn sites(&self) -> Answer<'_, Option<SitesView>> {
        self.ask(|node| Ok(crate::peers::orders::page(node)))
    }

    fn imports(&self) -> Answer<'_, Table> {
        self.ask(|node| Ok(imports(node)))
    }

    fn rejects(&self, offset: u64) -> Answer<'_, Table> {
        self.ask(move |node| Ok(rejects(node, usize::try_from(offset).unwrap_or(0))))
    }
}

fn live(node: &Node) -> Result<Live, SourceError> {
    let currency = node.config.current().settings.base_currency;
    let now = wall_micros();
    let from = (now / 60_000_000 - LIVE_MINUTES) * 60_000_000;
    let mut session = ops::engine(node).map_err(shown)?.session();
    let minutes = block_on(reports::live(&mut session, from, now, currency)).map_err(broken)?;
    let mut by_minute: std::collections::BTreeMap<i64, LivePoint> = (0..=LIVE_MINUTES)
        .map(|minute| from / 1_000_000 + minute * 60)
        .map(|at| (at, LivePoint { at, attempts: 0, answered: 0, margin: "0".to_owned() }))
        .collect();
    for minute in minutes {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let at = i64::from(minute.minute);
        let margin = minute.margin().to_string();
        by_minute.insert(
            at,
            LivePoint { at, attempts: count(minute.calls), answered: count(minute.answered_calls), margin },
        );
    }
    Ok(Live {
        points: by_minute.into_values().collect(),
        currency: currency.to_string(),
        calls_per_second_tenths: calls_per_second(node),
    })
}

/// Calls rated since the page asked last, per second, in tenths.
fn calls_per_second(node: &Node) -> u64 {
    let total: u64 = node.raters.iter().map(|(_, rater)| rater.calls.load(Ordering::Relaxed)).sum();
    let now = Instant::now();
    let mut sampled = node.sampled.lock().unwrap_or_else(PoisonError::into_inner);
    let rate = match *sampled {
        Some((then, before)) => {
            let millis = u64::try_from(now.duration_since(then).as_millis()).unwrap_or(u64::MAX).max(1);
            total.saturating_sub(before).saturating_mul(10_000) / millis
        }
        None => 0,
    };
    *sampled = Some((now, total));
    rate
}

fn calls(node: &Node, filter: &Filter) -> Result<Table, SourceError> {
    let instant = |field, text| ops::instant(field, text).map_err(shown);
    let call_id = match filter.call_id.trim() {
        "" => None,
        text => Some(
            CallId::parse(text).ok_or_else(|| SourceError::Wrong("a call id is 32 hexadecimal digits".to_owned()))?,
        ),
    };
    let search = Search {
        from: instant("from", &filter.from)?,
        until: instant("until", &filter.until)?,
        call_id,
        number: filter.number.trim().trim_start_matches('+').to_owned(),
        customer: filter.customer.clone(),
        vendor: filter.vendor.clone(),
        destination: filter.destination.clone(),
        unrated: filter.unrated.clone(),
        offset: u32::try_from(filter.offset).unwrap_or(u32::MAX),
        limit: PAGE as u32,
    };
    let mut session = ops::engine(node).map_err(shown)?.session();
    let found = block_on(reports::search(&mut session, &search)).map_err(broken)?;
    let mut table = tables::from_reporting(reports::calls_table(&found));
    table.covers = tables::covers(node);
    Ok(table)
}

/// What the page shows of an account, of all sites held here; a place comes from the page's own links.
fn entries(node: &Node, account: &str, older: &str, newer: &str) -> Result<Option<Entries>, SourceError> {
    let balances = sums::balances(node, Some(account), None).map_err(shown)?;
    if balances.is_empty() {
        return Ok(None);
    }
    let carrier = node.config.current().accounts.get(account).map(|terms| terms.carrier.to_string());
    let parts = match carrier {
        Some(carrier) => crate::money::exposure(node, Some(&carrier)).map_err(shown)?,
        None => Table::default(),
    };
    let limits = tables::limits(&node.view.limits(Some(account)).map_err(broken)?);
    let mut holds = node.view.holds(Some(account)).map_err(broken)?;
    holds.truncate(PAGE);
    let (exposure, holds) = (tables::balances(&balances), tables::holds(&holds));
    let part = history::part(older, newer).map_err(shown)?;
    // One more than is shown: whether there is any.
    let mut found = history::history(node, account, part, PAGE + 1, None).map_err(shown)?.lines;
    let more = found.len() > PAGE;
    let forward = matches!(part, Part::After(_));
    if more {
        // The one that is furthest from where the page began.
        drop(if forward { found.pop() } else { Some(found.remove(0)) });
    }
    let place = |line: Option<&history::Line>, there: bool| match line {
        Some(line) if there => line.at.to_string(),
        _ => String::new(),
    };
    let older = place(found.first(), if forward { true } else { more });
    let newer = place(found.last(), if forward { more } else { part != Part::Newest });
    let rows: Vec<_> = found.into_iter().rev().map(|line| line.row).collect();
    Ok(Some(Entries { exposure, parts, limits, holds, rows: tables::entries(&rows, account), older, newer }))
}

fn imports(node: &Node) -> Table {
    let columns = [
        ("file", "File", Kind::Text),
        ("source", "Switch", Kind::Text),
        ("read", "Read", Kind::Count),
        ("accepted", "Accepted", Kind::Count),
        ("repeated", "Repeated", Kind::Count),
        ("rejected", "Rejected", Kind::Count),
        ("state", "State", Kind::Text),
        ("import", "Import", Kind::Text),
    ];
    let rows = node
        .records
        .imports()
        .into_iter()
        .map(|count| {
            let state = if count.complete { "complete" } else { "incomplete" };
            let mut cells = vec![count.file.to_string(), count.source.to_string()];
            cells.extend([count.read, count.accepted, count.repeated, count.rejected].map(|n| n.to_string()));
            cells.extend([state.to_owned(), count.import.to_string()]);
            cells
        })
        .collect();
    table_of(&columns, rows)
}

fn rejects(node: &Node, offset: usize) -> Table {
    let columns = [
        ("source", "Source", Kind::Text),
        ("line", "Line", Kind::Count),
        ("byte", "Byte", Kind::Count),
        ("field", "Field", Kind::Text),
        ("reason", "Reason", Kind::Text),
        ("advice", "What to do", Kind::Text),
    ];
    let mut rows: Vec<Vec<String>> = node
        .records
        .rejects(offset, PAGE)
        .into_iter()
        .map(|r| {
            vec![r.source.to_string(), r.line.to_string(), r.byte.to_string(), r.field.to_string(), r.reason, r.advice]
        })
        .collect();
    let conflict = |conflict: facts::xdr::Conflict| {
        let event = &conflict.event;
        vec![
            "conflict".to_owned(),
            if event.line == 0 { String::new() } else { event.line.to_string() },
            String::new(),
            conflict.reason.to_string(),
            format!("{} {} at {}", event.switch, event.call_key, event.occurred_at),
            crate::conflicts::advice(&conflict.reason).to_owned(),
        ]
    };
    if offset == 0 {
        rows.extend(node.records.conflicts().into_iter().take(PAGE).map(conflict));
    }
    table_of(&columns, rows)
}
