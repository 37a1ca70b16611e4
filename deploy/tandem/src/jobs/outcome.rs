//! What came of a job, kept beside it: the answer of `tandem deck` cut to what a page shows. Counts are always whole;
//! lists are cut and say so.

use super::store::write_whole;
use crate::deck_life::told::{FileTold, Told};
use crate::ops::Answer;
use crate::tables::table_of;
use console::jobs::{JobAsk, Review};
use console::source::{Fact, Kind, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::Path;

/// Changes on one page.
const PAGE: usize = 200;
/// Lines of a list beside the changes.
const BESIDE_MAX: usize = 500;
const FILE: &str = "outcome.json";

/// As it stands on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    summary: Value,
    changes: Option<Table>,
    file: FileTold,
    letter: String,
    pub template: String,
    #[serde(default)]
    said: Vec<String>,
    /// The first reasons of a made deck.
    #[serde(default)]
    reasons: Vec<Value>,
    #[serde(default)]
    names: Table,
    #[serde(default)]
    mapping: String,
}

/// A message about the file by its own name: where it lies in the data folder says nothing to who sent it.
pub fn by_name(message: &str, folder: &Path) -> String {
    message.replace(&format!("{}/", folder.join("file").display()), "")
}

/// Keeps an answer.
pub fn save(folder: &Path, answer: &Answer, told: &Told) -> io::Result<()> {
    let mut file = told.found().unwrap_or_default();
    file.problems.iter_mut().for_each(|problem| *problem = by_name(problem, folder));
    let file_named = |wanted: &dyn Fn(&str) -> bool| {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        answer.files.iter().find(|(path, _)| wanted(&name(path))).map(|(_, text)| text.clone()).unwrap_or_default()
    };
    let made = |line: &Value| line.get("made").filter(|made| made.is_object()).cloned();
    let lines = answer.json.as_ref().and_then(Value::as_array).into_iter().flatten();
    let mapping = file_named(&|name| name == "names.toml");
    let (changes, names) = match mapping.is_empty() {
        true => (answer.table.clone(), Table::default()),
        false => (None, answer.table.clone().unwrap_or_default()),
    };
    let outcome = Outcome {
        summary: summary(answer),
        changes,
        names,
        mapping,
        reasons: lines.filter_map(made).take(BESIDE_MAX + 1).collect(),
        said: answer.notes.iter().take(BESIDE_MAX).map(|line| line.trim_end().to_owned()).collect(),
        template: file.template.clone(),
        file: FileTold { template: String::new(), ..file },
        letter: file_named(&|name| name.starts_with("short-notice-")),
    };
    write_whole(&folder.join(FILE), &serde_json::to_vec(&outcome).map_err(io::Error::other)?)
}

/// What was kept; `None` = nothing yet, or it cannot be read.
pub fn load(folder: &Path) -> Option<Outcome> {
    let bytes = std::fs::read(folder.join(FILE)).ok()?;
    serde_json::from_slice(&bytes).inspect_err(|error| tracing::warn!(%error, "a job's result cannot be read")).ok()
}

/// The last line of the command's JSON.
fn summary(answer: &Answer) -> Value {
    let last = answer.json.as_ref().and_then(|json| json.as_array()?.last()?.get("summary").cloned());
    last.unwrap_or_default()
}

/// What a preview comes to, in a sentence.
pub fn words(answer: &Answer) -> String {
    let summary = summary(answer);
    if summary["refused"] == true {
        return "nothing can be imported as it is: mend the rows below in the file, or take the readable ones"
            .to_owned();
    }
    match summary["changes"].as_u64() {
        None | Some(0) => "the file changes nothing; there is nothing to import".to_owned(),
        Some(changes) => format!("{changes} changes; nothing is written yet"),
    }
}

/// Import and message of what was written.
pub fn written(answer: &Answer, deck: &str, base: u32) -> (String, String) {
    let summary = summary(answer);
    let id = summary["import"].as_str().unwrap_or_default().to_owned();
    match summary["state"].as_str() {
        Some("applied") if base == 0 => (id, format!("in force as version 1 of deck {deck}")),
        Some("applied") => {
            let undo = format!("tandem deck rollback {deck} {base} --by NAME --reason TEXT");
            (id, format!("in force as version {} of deck {deck}; the way back: {undo}", base + 1))
        }
        Some("held") => (id, "held: it prices nothing until a second person approves it".to_owned()),
        _ => (String::new(), words(answer)),
    }
}

impl Outcome {
    /// There is something to write, and it was not refused.
    pub fn writable(&self) -> bool {
        self.summary["refused"] != true && self.summary["changes"].as_u64().is_some_and(|changes| changes > 0)
    }

    /// The part that a page asks for.
    pub fn page(&self, ask: &JobAsk) -> Review {
        let count = |key: &str| self.summary[key].as_u64().unwrap_or_default();
        let counts = self.summary["counts"].as_object().into_iter().flatten();
        let (changes, listed) = self.changes(ask);
        Review {
            counts: counts.map(|(class, n)| (class.replace('_', " "), n.as_u64().unwrap_or_default())).collect(),
            unchanged: count("unchanged"),
            total: count("changes"),
            changes,
            listed,
            read: self.read(),
            problems: self.file.problems.clone(),
            problem_rows: self.file.problem_rows,
            to_confirm: self.told("to confirm"),
            money: self.money(),
            causes: texts(&self.summary["causes"]),
            warnings: self.list("warnings", &[("prefix", "Code"), ("destination", "Destination"), ("text", "Warning")]),
            backdated: self.list(
                "backdated",
                &[("prefix", "Code"), ("destination", "Destination"), ("from", "From"), ("until", "Until")],
            ),
            below_cost: self.below_cost(),
            letter: self.letter.clone(),
            template: self.template.clone(),
            said: self.said.clone(),
            reasons: self.reasons(),
            names: self.names.clone(),
            mapping: self.mapping.clone(),
        }
    }

    fn changes(&self, ask: &JobAsk) -> (Table, usize) {
        let Some(all) = &self.changes else { return (Table::default(), 0) };
        let class = all.columns.iter().position(|column| column.key == "change").unwrap_or(usize::MAX);
        let of_class = |row: &&Vec<String>| ask.class.is_empty() || row.get(class).is_some_and(|is| *is == ask.class);
        let listed = all.rows.iter().filter(of_class).count();
        let rows = all.rows.iter().filter(of_class).skip(ask.offset).take(PAGE).cloned().collect();
        (Table { rows, columns: all.columns.clone(), totals: Vec::new(), covers: String::new() }, listed)
    }

    fn told(&self, label: &str) -> Vec<String> {
        self.file.read.iter().filter(|(known, _)| known == label).map(|(_, text)| text.clone()).collect()
    }

    fn read(&self) -> Vec<Fact> {
        let facts = self.file.read.iter().filter(|(label, _)| label != "to confirm");
        facts.map(|(label, text)| Fact::new(label, text.as_str())).collect()
    }

    fn money(&self) -> Vec<Fact> {
        let (effect, mut money) = (&self.summary["effect"], Vec::new());
        let text = |key: &str| effect[key].as_str().unwrap_or_default().to_owned();
        let count = |key: &str| effect[key].as_u64().unwrap_or_default();
        if effect.is_object() {
            let (days, currency) = (count("days"), text("currency"));
            money.push(Fact::new("Calls weighed", format!("{} of the last {days} days", count("calls"))));
            money.push(Fact::new("They cost", format!("{currency} {} instead of {}", text("new"), text("old"))));
            money.push(Fact::new("Difference", format!("{currency} {}", text("difference"))));
            let (lost, gained) = (count("calls_lost"), count("calls_gained"));
            money.push(Fact::new("Calls without a price", format!("{lost} more, {gained} fewer")));
        } else if let Some(why) = self.summary["no_effect"].as_str().filter(|why| !why.is_empty()) {
            money.push(Fact::new("Not known", why));
        }
        if let Some(short) = self.summary["short_notice"].as_u64().filter(|short| *short > 0) {
            let dispute = self.summary["expected_dispute"].as_str().unwrap_or("not known without traffic");
            money.push(Fact::new("On short notice", format!("{short} increases; expected dispute {dispute}")));
        }
        money
    }

    fn below_cost(&self) -> Table {
        let columns = [
            ("customer", "Customer"),
            ("prefix", "Code"),
            ("destination", "Destination"),
            ("calls", "Calls"),
            ("revenue", "Sold for"),
            ("new_cost", "Costs"),
            ("from", "From"),
            ("raise", "Can be raised on"),
            ("loss_until_raise", "Lost until then"),
        ];
        self.list("below_cost", &columns)
    }

    fn reasons(&self) -> Table {
        let columns = [
            ("code", "Code"),
            ("destination", "Destination"),
            ("from", "From"),
            ("price", "Price"),
            ("increment", "Increment"),
            ("rule", "Rule"),
            ("vendor", "Vendor"),
            ("vendor_code", "His code"),
            ("vendor_rate", "His rate"),
            ("seconds", "Decided at s"),
            ("cost", "Covers cost"),
        ];
        let mut table = listed(&self.reasons, &columns);
        if self.reasons.len() > BESIDE_MAX {
            table.covers = format!("The first {BESIDE_MAX}; the file has them all");
        }
        table
    }

    /// A list of objects as a table, the first lines of it.
    fn list(&self, key: &str, columns: &[(&str, &str)]) -> Table {
        let mut table = self.summary[key].as_array().map_or_else(Table::default, |all| listed(all, columns));
        if let Some(all) = self.summary[format!("{key}_in_all")].as_u64().filter(|all| *all > BESIDE_MAX as u64) {
            table.covers = format!("The first {BESIDE_MAX} of {all}; the command lists more with --json");
        }
        table
    }
}

/// Objects as a table, the first lines of it.
fn listed(all: &[Value], columns: &[(&str, &str)]) -> Table {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |line: &Value| columns.iter().map(|(key, _)| text(&line[*key])).collect();
    let typed: Vec<_> = columns.iter().map(|(key, title)| (*key, *title, Kind::Text)).collect();
    let mut table = table_of(&typed, all.iter().take(BESIDE_MAX).map(row).collect());
    if all.len() > BESIDE_MAX {
        table.covers = format!("The first {BESIDE_MAX} of {}; the command lists more with --json", all.len());
    }
    table
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
