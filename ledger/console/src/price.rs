//! The page "price a call": a number, a time and an account in, every side's price with every step out. The address says
//! all of it, so that it can be passed on. Prices nothing itself.

use crate::layout::{Room, facts, page, query, table, trouble, value};
use crate::source::{Fact, SourceError, Table};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

/// What a person asks, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriceAsk {
    pub account: String,
    /// Of several products of the account this one; empty = each.
    pub product: String,
    /// Called number.
    pub number: String,
    /// Calling number; empty = none came with the call.
    pub caller: String,
    /// A day or an instant; empty = now.
    pub at: String,
    /// Seconds, decimals allowed; empty = one minute.
    pub duration: String,
}

impl PriceAsk {
    /// Nothing was asked yet.
    pub fn is_empty(&self) -> bool {
        self.account.is_empty() && self.number.is_empty()
    }

    /// The address that asks this.
    pub fn address(&self) -> String {
        let pairs = [
            ("account", self.account.as_str()),
            ("product", &self.product),
            ("number", &self.number),
            ("caller", &self.caller),
            ("at", &self.at),
            ("duration", &self.duration),
        ];
        format!("/price{}", query(&pairs))
    }
}

/// A field of the form and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Name of the field; empty = the whole.
    pub field: String,
    /// What, why, what to do.
    pub what: String,
}

/// One side of the call.
#[derive(Debug, Clone)]
pub struct SideView {
    /// `Sell to alba-usd, standard`.
    pub title: String,
    /// Net amount and currency; `None` = it has no price.
    pub net: Option<(String, String)>,
    /// Why there is none.
    pub unrated: String,
    pub facts: Vec<Fact>,
    pub explanation: Vec<String>,
}

/// The page's content.
#[derive(Debug, Clone, Default)]
pub struct PriceView {
    /// Accounts and products to choose from, the first of them.
    pub accounts: Vec<(String, String)>,
    pub products: Vec<String>,
    /// What was asked, with what was left empty filled in.
    pub asked: PriceAsk,
    pub faults: Vec<FieldFault>,
    pub sides: Vec<SideView>,
    /// What the vendors ask for the same call; the columns `code`, `deck` and `version` lead to the row.
    pub vendors: Table,
    /// The same by command line: a line for `tandem quote`.
    pub line: String,
}

/// The page.
pub fn price(site: &str, ask: &PriceAsk, answer: &Result<PriceView, SourceError>) -> Markup {
    let body = match answer {
        Ok(view) => html! {
            (form(ask, view))
            @if ask.is_empty() {
                section.empty {
                    p { "What does a call cost, and why? Name an account and a number." }
                    p.small { "The configuration in force prices it, as " code { "tandem quote" } " does and as the rater would. Nothing is booked." }
                }
            }
            @if !view.sides.is_empty() { (priced(view)) }
        },
        Err(error) => html! { (form(ask, &PriceView::default())) (trouble(error)) },
    };
    page(site, Room::Price, "Price a call", body)
}

fn form(ask: &PriceAsk, view: &PriceView) -> Markup {
    let field =
        |name: &'static str, label: &'static str, value: &str, hint: &'static str, list: Option<&'static str>| {
            let wrong = fault(view, name);
            html! {
                label {
                    (label)
                    input name=(name) value=(value) placeholder=(hint) list=[list] aria-invalid=[wrong.map(|_| "true")];
                    @if let Some(wrong) = wrong { span.fault role="alert" { (wrong) } }
                }
            }
        };
    html! {
        form.filters method="get" action="/price" {
            (field("account", "Account", &ask.account, "who is charged", Some("accounts")))
            (field("number", "Called number", &ask.number, "4930123456", None))
            (field("at", "Time (UTC)", &ask.at, "now", None))
            (field("duration", "Seconds", &ask.duration, "60", None))
            (field("caller", "Calling number", &ask.caller, "none", None))
            (field("product", "Product", &ask.product, "each", Some("products")))
            button { "Price" }
            a.plain href="/price" { "Reset" }
            datalist #accounts { @for (id, name) in &view.accounts { option value=(id) { (name) } } }
            datalist #products { @for id in &view.products { option value=(id) {} } }
        }
        @if let Some(what) = fault(view, "") { section.trouble role="alert" { p { (what) } } }
    }
}

fn fault<'v>(view: &'v PriceView, field: &str) -> Option<&'v str> {
    view.faults.iter().find(|fault| fault.field == field).map(|fault| fault.what.as_str())
}

fn priced(view: &PriceView) -> Markup {
    let asked = &view.asked;
    html! {
        p.small {
            "Call to " b { (asked.number) } " at " b { (asked.at) } " for " b { (asked.duration) " s" }
            ". " a href=(asked.address()) { "Address of this answer" }
        }
        div.cards { @for side in &view.sides { (card(side)) } }
        @if !view.vendors.rows.is_empty() {
            h2 { "What vendors ask for the same call" }
            (table(&view.vendors, &vendor_link, html! {}))
        }
        details { summary { "The same by command line" }
            p.small { "Save this line as " code { "call.jsonl" } "; " code { "tandem quote call.jsonl --config FOLDER" } " and " code { "POST /v1/quote" } " answer it alike." }
            pre #quote-line { (view.line) }
        }
    }
}

fn card(side: &SideView) -> Markup {
    html! {
        section.card {
            h3 { (side.title) }
            @match &side.net {
                Some((net, currency)) => p.amount data-value=(net) { (net) " " (currency) },
                None => p.amount.warned { "no price" },
            }
            @if !side.unrated.is_empty() { p.warned { (side.unrated) } }
            (facts(&side.facts))
            @if !side.explanation.is_empty() {
                details open { summary { "How this price comes about" } ol { @for step in &side.explanation { li { (step) } } } }
            }
        }
    }
}

/// A code leads to its row in the deck version.
fn vendor_link(rows: &Table, column: usize, row: &[String]) -> Option<String> {
    if rows.columns.get(column)?.key != "code" {
        return None;
    }
    let (deck, version, code) = (value(rows, row, "deck")?, value(rows, row, "version")?, value(rows, row, "code")?);
    (!code.is_empty()).then(|| format!("/decks/{}/{version}/{code}", crate::access::encode(deck)))
}
