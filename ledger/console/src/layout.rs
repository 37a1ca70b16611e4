//! The frame of every page: navigation, search, site and zone, and the parts that pages are made of.

use crate::access::encode;
use crate::format::show;
use crate::source::{Fact, Kind, SourceError, Table};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Where a page belongs in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Live,
    Reports,
    Calls,
    Decks,
    Price,
    Ledger,
    Suspense,
    Runs,
    Imports,
    Sites,
}

const ROOMS: [(Room, &str, &str); 10] = [
    (Room::Live, "Live", "/"),
    (Room::Reports, "Reports", "/reports/customer"),
    (Room::Calls, "Calls", "/calls"),
    (Room::Decks, "Decks", "/decks"),
    (Room::Price, "Price a call", "/price"),
    (Room::Ledger, "Ledger", "/ledger"),
    (Room::Suspense, "Suspense", "/suspense"),
    (Room::Runs, "Runs", "/runs"),
    (Room::Imports, "Imports", "/imports"),
    (Room::Sites, "Sites", "/sites"),
];

/// A whole page.
pub fn page(site: &str, room: Room, title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                header {
                    a.brand href="/" { "Tandem" }
                    nav aria-label="Main" {
                        @for (this, name, link) in ROOMS {
                            a href=(link) aria-current=[(this == room).then_some("page")] { (name) }
                        }
                    }
                    form.search action="/search" method="get" role="search" {
                        input type="search" name="q" placeholder="number, call id, account" aria-label="Search";
                    }
                    a #trouble-badge.badge href="/" hidden {}
                    span.where { "site " b { (site) } " · UTC" }
                    form action="/logout" method="post" { button.plain { "Log out" } }
                }
                main {
                    h1 { (title) }
                    (body)
                }
                script src="/assets/console.js" {}
            }
        }
    }
}

/// A page outside the house: login.
pub fn bare(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.bare { main { (body) } }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) " · Tandem" }
            link rel="stylesheet" href="/assets/uPlot.css";
            link rel="stylesheet" href="/assets/console.css";
            link rel="icon" href="data:,";
        }
    }
}

/// What went wrong, what was kept, what to do.
pub fn trouble(error: &SourceError) -> Markup {
    match error {
        SourceError::Unavailable { what, advice } => html! {
            section.trouble role="alert" {
                h2 { "No figures right now" }
                p { (what) }
                p { (advice) }
                p.small { "Calls are rated and booked all the same; nothing is lost." }
            }
        },
        SourceError::Wrong(what) => html! { section.trouble role="alert" { h2 { "Not understood" } p { (what) } } },
        SourceError::Broken(what) => html! {
            section.trouble role="alert" {
                h2 { "Something is broken" }
                p { (what) }
                p.small { "Try again; if it stays, see the process's log." }
            }
        },
    }
}

/// Address behind a cell: table, column, row.
pub type Link<'a> = &'a dyn Fn(&Table, usize, &[String]) -> Option<String>;

/// A table; `link` gives the address behind a cell, `empty` says what to do when there is no row.
pub fn table(table: &Table, link: Link<'_>, empty: Markup) -> Markup {
    if table.rows.is_empty() {
        return html! { section.empty { (empty) } };
    }
    html! {
        div.scroll {
            table {
                thead {
                    tr { @for column in &table.columns { th.number[column.kind.is_number()] scope="col" { (column.title) } } }
                }
                tbody {
                    @for row in &table.rows {
                        tr { @for (i, value) in row.iter().enumerate() { (cell(table, i, value, link(table, i, row))) } }
                    }
                }
                @if !table.totals.is_empty() {
                    tfoot {
                        @for row in &table.totals {
                            tr { @for (i, value) in row.iter().enumerate() { (cell(table, i, value, None)) } }
                        }
                    }
                }
            }
        }
        @if !table.covers.is_empty() { p.small { (table.covers) } }
    }
}

/// No cell leads anywhere.
pub fn no_link(_: &Table, _: usize, _: &[String]) -> Option<String> {
    None
}

/// Digits of an id in a table; the whole of it is the cell's title.
const ID_SHOWN: usize = 10;

/// 32 hexadecimal digits, as calls, entries and imports have them.
fn is_id(value: &str) -> bool {
    value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn cell(table: &Table, column: usize, value: &str, link: Option<String>) -> Markup {
    let Some(column) = table.columns.get(column) else { return html! {} };
    let negative = column.kind == Kind::Money && value.starts_with('-');
    let text = if is_id(value) { format!("{}…", &value[..ID_SHOWN]) } else { show(column.kind, value) };
    html! {
        td.number[column.kind.is_number()].negative[negative] data-label=(column.title) title=(value) data-value=(value) {
            @match link {
                Some(link) => a href=(link) { (text) },
                None => (text),
            }
        }
    }
}

/// A list of labels and values.
pub fn facts(facts: &[Fact]) -> Markup {
    html! {
        dl {
            @for fact in facts {
                dt { (fact.label) }
                dd { @if fact.link.is_empty() { (fact.value) } @else { a href=(fact.link) { (fact.value) } } }
            }
        }
    }
}

/// The value of a column by its key.
pub fn value<'a>(table: &Table, row: &'a [String], key: &str) -> Option<&'a str> {
    let at = table.columns.iter().position(|column| column.key == key)?;
    row.get(at).map(String::as_str)
}

/// A query string from names and values; empty values are left out.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let parts: Vec<String> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// Data for a script, safe inside HTML.
pub fn data(id: &str, json: &str) -> Markup {
    html! { script type="application/json" id=(id) { (PreEscaped(json.replace('<', "\\u003c"))) } }
}
