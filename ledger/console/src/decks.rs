//! Pages about decks to look at: all of them, one with its versions, the rows of a version, and how the price of one code
//! moves over time. Their content comes as values; writing is `imports`' part.

use crate::access::encode;
use crate::layout::{Room, facts, no_link, page, query, table, trouble, value};
use crate::source::{Fact, SourceError, Table};
use crate::timeline;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

/// One deck.
#[derive(Debug, Clone, Default)]
pub struct DeckView {
    pub deck: String,
    pub facts: Vec<Fact>,
    /// Newest first; `version` leads to its rows, `changes` to what it changed.
    pub versions: Table,
    /// Newest first; `import` leads to its page.
    pub imports: Table,
    /// Number of its newest version.
    pub newest: u32,
    /// Each customer with what he was told last.
    pub told: Table,
}

/// Which rows of a version are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowsAsk {
    /// Digits: codes that begin so. Other text: destinations whose name contains it.
    pub q: String,
    /// Only rows in force then: a day or an instant; empty = all.
    pub at: String,
    /// Where the page begins, as the page before named it.
    pub after: String,
}

/// Rows of a version, a page of them.
#[derive(Debug, Clone, Default)]
pub struct RowsView {
    pub facts: Vec<Fact>,
    pub rows: Table,
    /// Where the next page begins; empty = these were the last.
    pub next: String,
    /// What was searched, where that is not all.
    pub note: String,
}

/// A stretch of time with one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Microseconds since the epoch; `None` = always.
    pub from: Option<i64>,
    /// Exclusive; `None` = open.
    pub until: Option<i64>,
    /// A minute of the next interval, in 10^-10 of the currency; `None` = no price.
    pub rate: Option<i64>,
}

/// How a code's price moves.
#[derive(Debug, Clone, Default)]
pub struct TimelineView {
    pub code: String,
    pub currency: String,
    /// The instant asked for, RFC 3339.
    pub at: String,
    /// Microseconds since the epoch.
    pub at_micros: i64,
    /// What the price is then.
    pub then: Vec<Fact>,
    pub stretches: Vec<Stretch>,
    /// The same as rows; `prefix` leads to the row.
    pub rows: Table,
}

/// Of one deck: its pages.
pub fn version_tabs(deck: &str, newest: u32, current: &str) -> Markup {
    let base = format!("/decks/{}", encode(deck));
    let import = format!("/deck-import{}", query(&[("deck", deck)]));
    let make = format!("/deck-make{}", query(&[("deck", deck)]));
    let pages = [
        ("Versions", base.clone()),
        ("Rows", format!("{base}/{newest}")),
        ("Price over time", format!("{base}/timeline")),
        ("Compare", format!("{base}/diff")),
        ("Import a file", import),
        ("Make", make),
    ];
    html! {
        nav.tabs aria-label="Deck" {
            @for (name, link) in &pages { a href=(link) aria-current=[(*name == current).then_some("page")] { (name) } }
        }
    }
}

/// All decks.
pub fn list(site: &str, answer: &Result<Table, SourceError>) -> Markup {
    let link = |rows: &Table, column: usize, row: &[String]| {
        let deck = encode(value(rows, row, "deck")?);
        match rows.columns.get(column)?.key.as_ref() {
            "deck" => Some(format!("/decks/{deck}")),
            "version" => Some(format!("/decks/{deck}/{}", value(rows, row, "version")?)),
            "held" if value(rows, row, "held")? != "0" => Some(format!("/decks/{deck}#imports")),
            _ => None,
        }
    };
    let body = html! {
        p.actions { a href="/deck-import" { "Import a file" } a href="/deck-make" { "Make a sell deck" } a href="/deck-names" { "Destinations' names" } a href="/deck-imports" { "Imports" } a href="/jobs" { "Jobs" } a href="/price" { "Price a call" } }
        @match answer {
            Ok(rows) => (table(rows, &link, html! {
                p { "No deck yet." }
                p { a href="/deck-import" { "Import a carrier's file" } ", or name one in a [[deck]] table and run " code { "tandem apply FOLDER" } "." }
            })),
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Decks, "Decks", body)
}

/// One deck with its versions and imports.
pub fn deck(site: &str, deck: &DeckView) -> Markup {
    let base = format!("/decks/{}", encode(&deck.deck));
    let version = |rows: &Table, column: usize, row: &[String]| {
        let number: u32 = value(rows, row, "version")?.parse().ok()?;
        match rows.columns.get(column)?.key.as_ref() {
            "version" => Some(format!("{base}/{number}")),
            "back" if number < deck.newest => Some(format!("{base}/rollback?to={number}")),
            "changes" if number > 1 => Some(format!("{base}/diff?from={}&to={number}", number - 1)),
            _ => None,
        }
    };
    let body = html! {
        (version_tabs(&deck.deck, deck.newest, "Versions"))
        (facts(&deck.facts))
        (search_box(&deck.deck, deck.newest, &RowsAsk::default()))
        h2 { "Versions" }
        (table(&deck.versions, &version, html! { p { "No rows yet: import a file." } }))
        @if !deck.told.rows.is_empty() {
            h2 #told { "What customers were told" }
            (table(&deck.told, &no_link, html! {}))
            p.small { "Recorded by " code { "tandem deck told " (deck.deck) "@" (deck.newest) " --to ACCOUNT --by NAME --reason TEXT" } "." }
        }
        h2 #imports { "Imports" }
        (table(&deck.imports, &crate::imports::link, html! { p { "Its rows came by " code { "tandem apply" } "." } }))
    };
    page(site, Room::Decks, &format!("Deck {}", deck.deck), body)
}

fn search_box(deck: &str, version: u32, ask: &RowsAsk) -> Markup {
    html! {
        form.filters method="get" action={ "/decks/" (encode(deck)) "/" (version) } {
            label { "Code or destination" input name="q" value=(ask.q) placeholder="4930 or Germany"; }
            label { "In force at (UTC)" input name="at" value=(ask.at) placeholder="any time"; }
            button { "Search" }
            a.plain href={ "/decks/" (encode(deck)) "/" (version) } { "Reset" }
        }
    }
}

/// Rows of one version.
pub fn rows(site: &str, deck: &str, version: u32, ask: &RowsAsk, answer: &Result<RowsView, SourceError>) -> Markup {
    let base = format!("/decks/{}/{version}", encode(deck));
    let link = |rows: &Table, column: usize, row: &[String]| {
        let code = value(rows, row, "prefix")?;
        let here = rows.columns.get(column)?.key == "prefix" && !code.is_empty();
        here.then(|| format!("{base}/{code}"))
    };
    let more = |after: &str| format!("{base}{}", query(&[("q", &ask.q), ("at", &ask.at), ("after", after)]));
    let body = html! {
        (version_tabs(deck, version, "Rows"))
        @match answer {
            Ok(view) => {
                (facts(&view.facts))
                (search_box(deck, version, ask))
                @if !view.note.is_empty() { p.small { (view.note) } }
                (table(&view.rows, &link, html! { p { "No row here." } }))
                p.pager {
                    @if !ask.after.is_empty() { a href=(more("")) { "First" } " " }
                    @if !view.next.is_empty() { a rel="next" href=(more(&view.next)) { "Next" } }
                }
            }
            Err(error) => { (search_box(deck, version, ask)) (trouble(error)) }
        }
    };
    page(site, Room::Decks, &format!("Deck {deck} version {version}"), body)
}

/// How the price of a code or number moves.
pub fn timeline(site: &str, deck: &str, ask: &TimelineAsk, answer: &Result<TimelineView, SourceError>) -> Markup {
    let base = format!("/decks/{}", encode(deck));
    let link = |rows: &Table, column: usize, row: &[String]| {
        let (code, version) = (value(rows, row, "prefix")?, value(rows, row, "version")?);
        let here = rows.columns.get(column)?.key == "prefix" && !code.is_empty();
        here.then(|| format!("{base}/{version}/{code}"))
    };
    let body = html! {
        (version_tabs(deck, ask.newest, "Price over time"))
        form.filters method="get" action={ (base) "/timeline" } {
            label { "Code or number" input name="code" value=(ask.code) placeholder="4930"; }
            label { "Price at (UTC)" input name="at" value=(ask.at) placeholder="now"; }
            button { "Show" }
        }
        @match answer {
            Ok(view) if view.code.is_empty() => section.empty {
                p { "Type a code, or a whole number: what it cost, costs and will cost, at any second." }
            },
            Ok(view) => {
                (facts(&view.then))
                (timeline::drawn(view))
                (table(&view.rows, &link, html! { p { "No row of this deck has ever priced it." } }))
            }
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Decks, &format!("Deck {deck}: price over time"), body)
}

/// Which code, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimelineAsk {
    pub code: String,
    pub at: String,
    /// Filled in by the route: the deck's newest version.
    #[serde(skip)]
    pub newest: u32,
}

/// The page of one row's history is one click away from the row.
pub fn rate_links(deck: &str, code: &str) -> Markup {
    html! { p.actions { a href={ "/decks/" (encode(deck)) "/timeline" (query(&[("code", code)])) } { "Its price over time" } a href={ "/decks/" (encode(deck)) } { "Deck " (deck) } } }
}

/// Nothing of that name.
pub fn missing(site: &str, what: &str) -> Markup {
    page(site, Room::Decks, "Not found", html! { section.empty { p { (what) } p { a href="/decks" { "All decks" } } } })
}

/// Which two versions are compared.
pub fn compare(site: &str, deck: &DeckView) -> Markup {
    let before = deck.newest.saturating_sub(1).max(1);
    let body = html! {
        (version_tabs(&deck.deck, deck.newest, "Compare"))
        form.filters method="get" action={ "/decks/" (encode(&deck.deck)) "/diff" } {
            label { "Older version" input name="from" value=(before) inputmode="numeric" required; }
            label { "Newer version" input name="to" value=(deck.newest) inputmode="numeric" required; }
            button { "Compare" }
        }
        p.small { "By class, with the money that the calls of the last seven days would have cost by either." }
        (table(&deck.versions, &no_link, html! { p { "No version yet." } }))
    };
    page(site, Room::Decks, &format!("Deck {}: compare", deck.deck), body)
}
