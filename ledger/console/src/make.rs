//! Pages that make a deck instead of reading one: a sell deck by a recipe, a carrier's names beside ours, an older version
//! back. Previews are jobs; what the forms say is carried out by the code of `tandem deck`.

use crate::decks::version_tabs;
use crate::jobs::{Form, JobView};
use crate::layout::{Room, page, trouble};
use crate::source::SourceError;
use maud::{Markup, html};

/// What the form for a recipe needs.
#[derive(Debug, Clone, Default)]
pub struct MakeView {
    /// Decks there are, the first of them.
    pub decks: Vec<String>,
    /// The recipe remembered for the deck named.
    pub recipe: String,
    /// Newest version of the deck named; 0 = there is none.
    pub newest: u32,
}

/// A recipe to begin with.
const EXAMPLE: &str = "deck = \"alba-sell\"\nbuy = [\"borea-buy\", \"cetus-buy\"]\nincrement = \"60/60\"\ndecimals = 4\n\n\
                       [margin]\npercent = \"12\"\nminimum = \"0.0005\"\n";

/// A sell deck by a recipe.
pub fn recipe(site: &str, form: &Form, wrong: &str, answer: &Result<MakeView, SourceError>, token: &str) -> Markup {
    let none = MakeView::default();
    let view = answer.as_ref().unwrap_or(&none);
    let deck = form.get("deck").map_or("", String::as_str);
    let kept = if view.recipe.is_empty() { EXAMPLE } else { &view.recipe };
    let body = html! {
        @if view.newest > 0 { (version_tabs(deck, view.newest, "Make")) }
        p.actions { a href="/decks" { "All decks" } a href="/jobs" { "Jobs" } }
        @if let Err(error) = answer { (trouble(error)) }
        @if !wrong.is_empty() { section.trouble role="alert" { p { (wrong) } } }
        form.upload method="post" action="/deck-make" {
            input type="hidden" name="form_token" value=(token);
            (fields(form, kept))
            button { "Make and preview" }
            p.small { "Nothing is written yet: first you see every price with its reason, what it changes and what it costs. Decks: "
                @for (at, name) in view.decks.iter().enumerate() { @if at > 0 { ", " } (name) } "." }
        }
    };
    page(site, Room::Decks, "Make a sell deck", body)
}

fn fields(form: &Form, recipe: &str) -> Markup {
    let typed = form.get("recipe").map_or(recipe, String::as_str);
    html! {
        label.wide { "Recipe: the sell deck, the buy decks, margins, increments (docs/guides/selling.md)"
            textarea name="recipe" rows="16" required spellcheck="false" { (typed) } }
        div.filters {
            label { "Prices count from (UTC)" input name="effective" value=[form.get("effective")] placeholder="now"; }
            label { "Customers are told on (UTC)" input name="announced" value=[form.get("announced")] placeholder="now"; }
            label { "Weigh by the last days" input name="days" value=[form.get("days")] placeholder="7" inputmode="numeric"; }
        }
    }
}

/// The recipe of a job, to be made again with changes.
pub fn again(job: &JobView, form: &Form, token: &str) -> Markup {
    html! {
        details open[!job.can_write] { summary { "Recipe: make it again with changes" }
            form.upload method="post" action={ "/jobs/" (job.id) "/read" } {
                input type="hidden" name="form_token" value=(token);
                (fields(form, ""))
                button { "Make and preview again" }
            }
        }
    }
}

/// A carrier's names of destinations beside ours.
pub fn names(site: &str, form: &Form, wrong: &str, answer: &Result<MakeView, SourceError>, token: &str) -> Markup {
    let none = MakeView::default();
    let view = answer.as_ref().unwrap_or(&none);
    let body = html! {
        p.actions { a href="/decks" { "All decks" } a href="/jobs" { "Jobs" } }
        @if let Err(error) = answer { (trouble(error)) }
        @if !wrong.is_empty() { section.trouble role="alert" { p { (wrong) } } }
        form.upload method="post" action="/deck-import" enctype="multipart/form-data" {
            input type="hidden" name="form_token" value=(token);
            input type="hidden" name="what" value="names";
            div.filters {
                label { "Our names are those of deck" input name="deck" value=[form.get("deck")] list="decks" placeholder="countries only"; }
            }
            label.wide { "Mapping so far, if any" textarea name="names" rows="4" placeholder="[names]" { (form.get("names").map_or("", String::as_str)) } }
            label.wide { "Template of this carrier, if any" textarea name="template" rows="4" { (form.get("template").map_or("", String::as_str)) } }
            label.wide { "The carrier's file: CSV, XLSX, XLS or ODS" input type="file" name="file" required data-most=(crate::imports::UPLOAD_BYTES_MAX); span.fault #file-fault role="alert" {} }
            button { "Compare names" }
            p.small { "Each of the carrier's names with ours, by their codes, and a mapping to be put into his template. Nothing is written." }
            datalist #decks { @for deck in &view.decks { option value=(deck) {} } }
        }
    };
    page(site, Room::Decks, "Destinations' names", body)
}
