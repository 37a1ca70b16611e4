//! Every page of the console: asks the source, prints what it says.

use crate::access::encode;
use crate::layout::{Link, Room, bare, data, facts, no_link, page, query, table, trouble, value};
use crate::source::{
    CallView, Entries, Filter, HealthLine, HealthState, Live, RateView, ReportName, RunView, SitesView, SourceError,
    Table, XdrView,
};
use maud::{Markup, html};

/// The login page; `wrong` after a token that was not the right one.
pub fn login(next: &str, wrong: bool) -> Markup {
    bare(
        "Log in",
        html! {
            h1 { "Tandem" }
            form.login method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label for="token" { "Access token" }
                input id="token" name="token" type="password" autocomplete="current-password" autofocus required;
                button { "Log in" }
                @if wrong { p.trouble role="alert" { "That is not this site's token." } }
                p.small { "The token is printed when Tandem starts, and stands in the file " code { "run/token" } " of its data folder." }
            }
        },
    )
}

pub fn live(site: &str, live: &Result<Live, SourceError>, health: &Result<Vec<HealthLine>, SourceError>) -> Markup {
    let body = html! {
        div #troubles {
            @for line in health.iter().flatten().filter(|line| line.state != HealthState::Good) { (trouble_of(line)) }
        }
        @match live {
            Ok(live) => {
                section.tiles {
                    div { span.label { "Calls a second" } b #tile-cps { (tenths(live.calls_per_second_tenths)) } }
                    div { span.label { "ASR, last 15 min" } b #tile-asr { "–" } }
                    div { span.label { "Attempts, last 60 min" } b #tile-attempts { "–" } }
                    div { span.label { "Margin, last 60 min, " (live.currency) } b #tile-margin { "–" } }
                }
                section.plots {
                    figure { figcaption { "Attempts and answered calls a minute" } div #plot-calls .plot {} }
                    figure { figcaption { "ASR" } div #plot-asr .plot {} }
                    figure { figcaption { "Margin a minute, " (live.currency) } div #plot-margin .plot {} }
                }
                (data("live", &serde_json::to_string(live).unwrap_or_default()))
            }
            Err(error) => (trouble(error)),
        }
        h2 { "State of the house" }
        @match health {
            Ok(lines) => (health_list(lines)),
            Err(error) => (trouble(error)),
        }
        script src="/assets/uPlot.js" {}
        script src="/assets/live.js" {}
    };
    page(site, Room::Live, "Live", body)
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

/// What is wrong, since when, what to do. `live.js` makes the same of `/health.json`.
fn trouble_of(line: &HealthLine) -> Markup {
    html! {
        section.trouble.(state_class(line.state)) role="alert" {
            h2 { (line.part) ": " (state_word(line.state)) }
            p { (line.detail) }
            p { b { "What to do: " } (line.advice) }
            p.small { "since " time datetime=(line.since) { (line.since) } }
        }
    }
}

fn health_list(lines: &[HealthLine]) -> Markup {
    html! {
        div.scroll {
            table.health #health {
                thead { tr { th scope="col" { "Part" } th scope="col" { "State" } th scope="col" { "Detail" } } }
                tbody {
                    @for line in lines {
                        tr {
                            td data-label="Part" { (line.part) }
                            td data-label="State" class=(state_class(line.state)) { (state_word(line.state)) }
                            td data-label="Detail" { (line.detail) }
                        }
                    }
                }
            }
        }
    }
}

fn state_class(state: HealthState) -> &'static str {
    match state {
        HealthState::Good => "good",
        HealthState::Warned => "warned",
        HealthState::Bad => "bad",
    }
}

fn state_word(state: HealthState) -> &'static str {
    match state {
        HealthState::Good => "good",
        HealthState::Warned => "waits",
        HealthState::Bad => "needs a person",
    }
}

pub fn report(site: &str, name: ReportName, filter: &Filter, answer: &Result<Table, SourceError>) -> Markup {
    let body = html! {
        nav.tabs aria-label="Reports" {
            @for other in ReportName::ALL {
                a href={ "/reports/" (other.as_str()) (range(filter)) } aria-current=[(other == name).then_some("page")] { (other.title()) }
            }
        }
        (filters(&format!("/reports/{}", name.as_str()), filter, false))
        @match answer {
            Ok(figures) => {
                p.actions {
                    "Download "
                    @for (format, word) in [("csv", "CSV"), ("json", "JSON"), ("parquet", "Parquet")] {
                        a href={ "/reports/" (name.as_str()) "." (format) (all(filter)) } download { (word) }
                        " "
                    }
                }
                (table(figures, &|figures, column, row| report_link(name, filter, figures, column, row), html! {
                    p { "No calls in this range." }
                    p { "Feed some: " code { "tandem calls import FILE --switch SWITCH" } ", or widen the range above." }
                }))
            }
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Reports, &format!("Traffic {}", name.title().to_lowercase()), body)
}

/// The first column leads to the calls behind the row.
fn report_link(name: ReportName, filter: &Filter, figures: &Table, column: usize, row: &[String]) -> Option<String> {
    let key = row.first()?;
    if column > 0 {
        return None;
    }
    let mut wanted = filter.clone();
    match name {
        ReportName::Customer => wanted.customer.clone_from(key),
        ReportName::Destination => wanted.destination.clone_from(key),
        ReportName::Vendor => wanted.vendor.clone_from(key),
        ReportName::Hour => {
            wanted.from = value(figures, row, "hour")?.to_owned();
            wanted.until = next_hour(&wanted.from)?;
        }
    }
    Some(format!("/calls{}", all(&wanted)))
}

fn next_hour(from: &str) -> Option<String> {
    facts::time::parse_rfc3339(from).map(|micros| facts::time::rfc3339(micros + 3_600_000_000))
}

fn range(filter: &Filter) -> String {
    query(&[("from", &filter.from), ("until", &filter.until)])
}

fn all(filter: &Filter) -> String {
    query(&[
        ("from", &filter.from),
        ("until", &filter.until),
        ("customer", &filter.customer),
        ("vendor", &filter.vendor),
        ("destination", &filter.destination),
        ("number", &filter.number),
        ("call_id", &filter.call_id),
        ("unrated", &filter.unrated),
    ])
}

fn filters(action: &str, filter: &Filter, search: bool) -> Markup {
    let field = |name: &'static str, label: &'static str, value: &str, hint: &'static str| {
        html! { label { (label) input name=(name) value=(value) placeholder=(hint); } }
    };
    html! {
        form.filters method="get" action=(action) {
            (field("from", "From", &filter.from, "2026-01-31"))
            (field("until", "Until (exclusive)", &filter.until, "2026-02-01"))
            (field("customer", "Customer", &filter.customer, "any"))
            (field("vendor", "Vendor", &filter.vendor, "any"))
            (field("destination", "Destination", &filter.destination, "any"))
            @if search {
                (field("number", "Number", &filter.number, "called or calling"))
                (field("call_id", "Call id", &filter.call_id, "32 digits"))
            }
            button { "Show" }
            a.plain href=(action) { "Reset" }
        }
    }
}

pub fn calls(site: &str, filter: &Filter, answer: &Result<Table, SourceError>) -> Markup {
    let body = html! {
        (filters("/calls", filter, true))
        @match answer {
            Ok(found) => {
                (table(found, &call_link, html! { p { "No call matches. Numbers are matched whole, as digits without +." } }))
                @if found.rows.len() >= 100 {
                    p { a href={ "/calls" (all(filter)) "&offset=" (filter.offset + found.rows.len() as u64) } { "Next 100" } }
                }
            }
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Calls, "Calls", body)
}

fn call_link(found: &Table, column: usize, row: &[String]) -> Option<String> {
    let call_id = value(found, row, "call_id")?;
    (column == 0).then(|| format!("/calls/{call_id}"))
}

/// One run: what it was asked, what it comes to, what became of it.
pub fn run(site: &str, run: &RunView) -> Markup {
    let link = |rows: &Table, column: usize, row: &[String]| {
        let account = value(rows, row, "account")?;
        (rows.columns.get(column)?.key == "account").then(|| format!("/ledger/accounts/{}", encode(account)))
    };
    let body = html! {
        (facts(&run.facts))
        h2 { "What changes" }
        (table(&run.money, &link, html! { p { "No amount changes." } }))
        @if !run.said.is_empty() {
            h2 { "Calls that have changed" }
            ul { @for line in &run.said { li { (line) } } }
        }
    };
    page(site, Room::Runs, &run.title, body)
}

pub fn call(site: &str, call: &CallView) -> Markup {
    let body = html! {
        @if call.estimated { p.estimated { "The end of this call is estimated: off invoices until the true end arrives." } }
        (facts(&call.facts))
        h2 { "Prices" }
        div.cards { @for xdr in &call.xdrs { (xdr_card(xdr)) } }
        h2 { "Attempts" }
        (table(&call.attempts, &no_link, html! { p { "No vendor was tried." } }))
        h2 { "Ledger entries" }
        (table(&call.entries, &no_link, html! { p { "No entry: no money moved, or the ledger has not come to this call yet." } }))
        h2 { "Events" }
        (table(&call.events, &no_link, html! { p { "None." } }))
        @if call.revisions.len() > 1 {
            h2 { "Revisions" }
            ol { @for revision in &call.revisions { li { (revision) } } }
        }
        h2 { "Raw record" }
        @if call.raw.is_empty() { p { "This call came as events over the bus; there is no file behind it." } }
        @for raw in &call.raw {
            p.small { (raw.place) }
            pre { (raw.text) }
        }
    };
    page(site, Room::Calls, &call.title, body)
}

fn xdr_card(xdr: &XdrView) -> Markup {
    html! {
        section.card {
            h3 { (xdr.title) }
            p.amount.provisional[xdr.provisional] data-value=(xdr.amount) { (xdr.amount) " " (xdr.currency) }
            (facts(&xdr.facts))
            details open { summary { "How this price came about" } ol { @for step in &xdr.explanation { li { (step) } } } }
        }
    }
}

pub fn rate(site: &str, rate: &RateView, doors: Markup) -> Markup {
    let body = html! {
        (doors)
        (facts(&rate.facts))
        h2 { "This code and the shorter ones it overrides" }
        (table(&rate.rows, &no_link, html! { p { "No row." } }))
    };
    page(site, Room::Decks, &rate.title, body)
}

/// A page that is one table.
pub fn plain(
    site: &str,
    room: Room,
    title: &str,
    before: Markup,
    answer: &Result<Table, SourceError>,
    link: Link<'_>,
    empty: Markup,
) -> Markup {
    let body = html! {
        (before)
        @match answer {
            Ok(rows) => (table(rows, link, empty)),
            Err(error) => (trouble(error)),
        }
    };
    page(site, room, title, body)
}

/// How this site stands with the others.
pub fn sites(site: &str, answer: &Result<Option<SitesView>, SourceError>) -> Markup {
    let link = |rows: &Table, column: usize, row: &[String]| {
        let account = value(rows, row, "account")?;
        (rows.columns.get(column)?.key == "account").then(|| format!("/ledger/accounts/{}", encode(account)))
    };
    let body = html! {
        @match answer {
            Ok(None) => { p { "This site has no peers: add them to its settings, as docs/guides/two-sites.md shows." } }
            Ok(Some(view)) => {
                (table(&view.sites, &no_link, html! {}))
                @if !view.said.is_empty() {
                    ul { @for line in &view.said { li { (line) } } }
                }
                h2 { "Rights" }
                (table(&view.rights, &link, html! { p { "No account has rights at several sites yet." } }))
            }
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Sites, "Sites", body)
}

/// An account's entries, a hundred a page, down to the first and back.
pub fn entries(
    site: &str,
    account: &str,
    newest: bool,
    answer: &Result<Entries, SourceError>,
    link: Link<'_>,
) -> Markup {
    let here = format!("/ledger/accounts/{}", crate::access::encode(account));
    let body = html! {
        @match answer {
            Ok(entries) => {
                @if newest {
                    (table(&entries.exposure, &no_link, html! {}))
                    @if !entries.parts.rows.is_empty() {
                        h2 { "Exposure of its carrier" }
                        (table(&entries.parts, &no_link, html! {}))
                    }
                    @if !entries.limits.rows.is_empty() {
                        h2 { "Granted and capped" }
                        (table(&entries.limits, &no_link, html! {}))
                    }
                    @if !entries.holds.rows.is_empty() {
                        h2 { "Held for calls" }
                        (table(&entries.holds, &no_link, html! {}))
                    }
                    h2 { "Entries" }
                }
                (table(&entries.rows, link, html! { p { "No entry here." } }))
                p.pager {
                    @if !newest { a href=(here) { "Newest" } " " }
                    @if !entries.newer.is_empty() {
                        a rel="prev" href={ (here) (query(&[("newer", &entries.newer)])) } { "Newer entries" } " "
                    }
                    @if !entries.older.is_empty() {
                        a rel="next" href={ (here) (query(&[("older", &entries.older)])) } { "Older entries" }
                    }
                }
            }
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Ledger, account, body)
}

/// Tabs of the ledger room.
pub fn ledger_tabs(current: &str) -> Markup {
    html! {
        nav.tabs aria-label="Ledger" {
            @for (name, link) in [("Balances", "/ledger"), ("Trial balance", "/ledger/trial-balance")] {
                a href=(link) aria-current=[(name == current).then_some("page")] { (name) }
            }
        }
    }
}

pub fn not_found(site: &str, what: &str) -> Markup {
    page(
        site,
        Room::Calls,
        "Not found",
        html! { section.empty { p { (what) } p { a href="/calls" { "Search calls" } } } },
    )
}
