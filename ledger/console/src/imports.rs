//! Pages by which a carrier's file becomes a deck's next version: the upload with its questions, the word that writes
//! it, and the second person's. What the forms say is carried out by the code of `tandem deck`.

use crate::access::encode;
use crate::jobs::{Form, JobState, JobView};
use crate::layout::{Room, facts, page, table, trouble, value};
use crate::source::{Fact, SourceError, Table};
use maud::{Markup, html};

/// Most bytes of a file that a page takes.
pub const UPLOAD_BYTES_MAX: u64 = 256 << 20;

/// What the empty form needs.
#[derive(Debug, Clone, Default)]
pub struct UploadView {
    /// Decks to choose from, the first of them.
    pub decks: Vec<String>,
    /// The template remembered for the deck named.
    pub template: String,
}

/// One import as it stands in the configuration.
#[derive(Debug, Clone, Default)]
pub struct ImportView {
    pub id: String,
    pub facts: Vec<Fact>,
    /// Why it waits.
    pub causes: Vec<String>,
    /// It waits for a second person.
    pub held: bool,
    pub deck: String,
}

/// A way of asking for a field.
enum Ask {
    Text(&'static str),
    Choice(&'static [(&'static str, &'static str)]),
    Tick,
    Lines(&'static str),
}

/// What a file can leave open: field, label, flag of `tandem deck read` that a refusal names, how it is asked.
const QUESTIONS: [(&str, &str, &str, Ask); 17] = [
    ("currency", "Currency", "--currency", Ask::Text("as in the file")),
    ("date_order", "3/4/2023 is", "--date-order", Ask::Choice(&[("day-first", "3 April"), ("month-first", "4 March")])),
    ("decimal", "1,234 is", "--decimal", Ask::Choice(&[("point", "thousands"), ("comma", "decimals")])),
    ("hyphen", "94-96 is", "--hyphen", Ask::Choice(&[("range", "a range"), ("separator", "one code")])),
    ("space", "52 33 is", "--space", Ask::Choice(&[("list", "two codes"), ("separator", "one code")])),
    ("increment", "Increment where rows name none", "--increment", Ask::Text("60/1")),
    ("sheet", "Sheets, one a line", "--sheet", Ask::Lines("Rates")),
    ("all_sheets", "All sheets with rates", "--all-sheets", Ask::Tick),
    ("column", "Columns, one a line", "--column", Ask::Lines("rate=New Rate")),
    ("increment_of", "Increments of, one a line", "--increment-of", Ask::Lines("Mexico=60/60")),
    ("status", "Status words, one a line", "--status", Ask::Lines("NDA=blocked")),
    ("encoding", "Encoding of a text file", "--encoding", Ask::Text("utf-8")),
    ("valid_from", "First day of rows without a date", "--valid-from", Ask::Text("2026-01-31")),
    ("issued", "Day of issue (ASAP)", "--issued", Ask::Text("2026-01-31")),
    ("zone", "Zone of dates", "--zone", Ask::Text("the deck's")),
    ("zero_is_free", "A price of 0 is a price", "--zero-is-free", Ask::Tick),
    ("with_problems", "Take the readable rows (held for a second person)", "--with-problems", Ask::Tick),
];

/// The upload.
pub fn upload(site: &str, form: &Form, wrong: &str, answer: &Result<UploadView, SourceError>, token: &str) -> Markup {
    let none = UploadView::default();
    let view = answer.as_ref().unwrap_or(&none);
    let template = form.get("template").unwrap_or(&view.template);
    let body = html! {
        p.actions { a href="/decks" { "All decks" } a href="/jobs" { "Jobs" } }
        @if let Err(error) = answer { (trouble(error)) }
        @if !wrong.is_empty() { section.trouble role="alert" { p { (wrong) } } }
        form.upload method="post" action="/deck-import" enctype="multipart/form-data" {
            // Before the file: what comes first is looked at first.
            input type="hidden" name="form_token" value=(token);
            div.filters {
                label { "Deck" input name="deck" value=[form.get("deck")] list="decks" required placeholder="made where there is none"; }
                (kind(form))
                label { "When the file came (UTC)" input name="received" value=[form.get("received")] placeholder="now"; }
                label { "Weigh by the last days" input name="days" value=[form.get("days")] placeholder="7" inputmode="numeric"; }
            }
            details open[!template.is_empty()] { summary { "Answers and template of this carrier, if any" }
                (questions(form, ""))
                label.wide { "Template" textarea name="template" rows="6" placeholder="as the last preview showed it" { (template) } }
            }
            label.wide { "The carrier's file: CSV, XLSX, XLS or ODS, at most " (UPLOAD_BYTES_MAX >> 20) " MiB"
                input type="file" name="file" required data-most=(UPLOAD_BYTES_MAX);
                span.fault #file-fault role="alert" {}
            }
            button { "Read and preview" }
            p.small { "Nothing is written yet: first you see what was read, what it changes and what it costs." }
            datalist #decks { @for deck in &view.decks { option value=(deck) {} } }
        }
    };
    page(site, Room::Decks, "Import a carrier's file", body)
}

fn kind(form: &Form) -> Markup {
    let kind = form.get("kind").map_or("", String::as_str);
    html! {
        label { "The file is"
            select name="kind" required {
                option value="" selected[kind.is_empty()] { "choose" }
                option value="az" selected[kind == "az"] { "the whole deck (A-Z)" }
                option value="partial" selected[kind == "partial"] { "an amendment" }
            }
        }
    }
}

/// One field for each thing that a file can leave open; the one that `message` asks for is marked.
fn questions(form: &Form, message: &str) -> Markup {
    html! {
        div.filters.questions {
            @for (name, label, flag, ask) in &QUESTIONS {
                @let typed = form.get(*name).map_or("", String::as_str);
                @let asked = names(message, flag);
                label.tick[matches!(ask, Ask::Tick)] {
                    (label)
                    @match ask {
                        Ask::Text(hint) => input name=(name) value=(typed) placeholder=(hint) aria-invalid=[asked.then_some("true")];,
                        Ask::Lines(hint) => textarea name=(name) rows="2" placeholder=(hint) aria-invalid=[asked.then_some("true")] { (typed) },
                        Ask::Tick => input type="checkbox" name=(name) value="yes" checked[!typed.is_empty()];,
                        Ask::Choice(choices) => select name=(name) aria-invalid=[asked.then_some("true")] {
                            option value="" { "as found" }
                            @for (value, word) in *choices { option value=(value) selected[*value == typed] { (word) } }
                        },
                    }
                    @if asked { span.fault role="alert" { "answer this" } }
                }
            }
        }
    }
}

/// Whether a message names a flag, and not one that begins like it.
fn names(message: &str, flag: &str) -> bool {
    message.match_indices(flag).any(|(at, _)| {
        let after = message[at + flag.len()..].chars().next();
        after.is_none_or(|next| !(next.is_ascii_alphanumeric() || next == '-'))
    })
}

/// The questions of a file that was read, or could not be, with the answers so far.
pub fn answers(job: &JobView, form: &Form, token: &str) -> Markup {
    let asked = job.progress.state == JobState::Asked;
    let unreadable = !job.can_write && job.review.as_ref().is_some_and(|review| review.problem_rows > 0);
    html! {
        details open[asked || unreadable] { summary { "Answers: read the same file again with others" }
            form method="post" action={ "/jobs/" (job.id) "/read" } {
                input type="hidden" name="form_token" value=(token);
                div.filters {
                    (kind(form))
                    label { "When the file came (UTC)" input name="received" value=[form.get("received")] placeholder="now"; }
                    label { "Weigh by the last days" input name="days" value=[form.get("days")] placeholder="7" inputmode="numeric"; }
                }
                (questions(form, if asked { &job.message } else { "" }))
                label.wide { "Template" textarea name="template" rows="6" { (form.get("template").map_or("", String::as_str)) } }
                button { "Read again" }
            }
        }
    }
}

/// The word that writes a previewed import.
pub fn write(job: &JobView, token: &str) -> Markup {
    let held = job.review.as_ref().is_some_and(|review| !review.causes.is_empty());
    // A version that comes back has no form, a made one no carrier.
    let remembers = job.form.as_ref().map(|form| if form.contains_key("recipe") { "recipe" } else { "template" });
    html! {
        section.card.act {
            h2 { @if held { "Hand it to a second person" } @else { "Make it the next version" } }
            form.filters method="post" action={ "/jobs/" (job.id) "/import" } {
                input type="hidden" name="form_token" value=(token);
                label { "Your name" input name="by" required; }
                label { "Why" input name="reason" required placeholder="weekly notice"; }
                label { "Type the deck's name: " (job.deck) input name="typed" required autocomplete="off"; }
                @if let Some(what) = remembers {
                    label.tick { "Remember the " (what) " for this deck" input type="checkbox" name="remember" value="yes"; }
                }
                button { @if held { "Hold for a second person" } @else { "Import" } }
            }
            p.small { "What is written is what stands here: if the deck has a newer version meanwhile, it is refused and previewed again." }
        }
    }
}

/// All imports, newest first.
pub fn list(site: &str, answer: &Result<Table, SourceError>) -> Markup {
    let body = html! {
        p.actions { a href="/deck-import" { "Import a file" } a href="/decks" { "All decks" } }
        @match answer {
            Ok(rows) => (table(rows, &link, html! { p { "No file has been imported yet." } })),
            Err(error) => (trouble(error)),
        }
    };
    page(site, Room::Decks, "Imports of decks", body)
}

/// An import's own page.
pub fn link(rows: &Table, column: usize, row: &[String]) -> Option<String> {
    let here = rows.columns.get(column)?.key == "import";
    here.then(|| value(rows, row, "import").map(|id| format!("/deck-imports/{}", encode(id))))?
}

/// One import; where it is held, with what it would change one click away and the second person's form.
pub fn import(site: &str, import: &ImportView, wrong: &str, token: &str) -> Markup {
    let here = format!("/deck-imports/{}", encode(&import.id));
    let body = html! {
        p.actions { a href={ "/decks/" (encode(&import.deck)) } { "Deck " (import.deck) } a href="/deck-imports" { "All imports" } }
        (facts(&import.facts))
        @if !import.causes.is_empty() { h2 { "Held because" } ul { @for cause in &import.causes { li { (cause) } } } }
        @if !wrong.is_empty() { section.trouble role="alert" { p { (wrong) } } }
        @if import.held {
            p { a href={ (here) "?review=1" } { "See what it would change, in money first" } }
            section.card.act {
                h2 { "The second person's word" }
                form.filters method="post" action=(here) {
                    input type="hidden" name="form_token" value=(token);
                    label { "Your name" input name="by" required; }
                    label { "Why" input name="reason"; }
                    label { "To approve, type " (import.id) input name="typed" autocomplete="off"; }
                    button name="word" value="approve" { "Approve" }
                    button.quiet name="word" value="reject" { "Reject" }
                }
            }
        }
    };
    page(site, Room::Decks, &format!("Import {}", import.id), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_a_refusal_asks_for_is_marked_and_no_other() {
        let message = "the file names increments in a way that is not understood; name them: --increment 60/1";
        assert!(names(message, "--increment"));
        assert!(!names("say which: --increment-of Mexico=60/60", "--increment"));
        assert!(!names("name those to read, or --all-sheets", "--sheet"));
    }
}
