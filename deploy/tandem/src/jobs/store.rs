//! Jobs in the data folder: one folder a job with its record, its file and what came of it. A record is written whole
//! under another name and then renamed, so that a death leaves the old or the new one.

use crate::output::Failure;
use console::jobs::{Form, JobState};
use facts::config::{Config, DeckImport};
use facts::time::rfc3339;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Jobs kept; the oldest that wrote nothing go first.
const KEPT_MAX: usize = 200;
/// Bytes of files kept for jobs that have written nothing.
const FILE_BYTES_MAX: u64 = 2 << 30;
const RECORD: &str = "job.json";

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Reads a file and previews it; then, by a person's word, writes it.
    Import {
        file: String,
        /// BLAKE3 of the file, hexadecimal.
        hash: String,
        form: Form,
        /// The preview was confirmed by this person for this reason.
        confirmed: Option<Confirmed>,
    },
    Compare {
        from: u32,
        to: u32,
    },
    Held {
        import: String,
    },
    /// Makes a sell deck by a form's recipe and previews it; then, by a person's word, writes it.
    Make {
        form: Form,
        confirmed: Option<Confirmed>,
    },
    /// Previews an older version back as the newest; then, by a person's word, writes it.
    Rollback {
        to: u32,
        confirmed: Option<Confirmed>,
    },
    /// Reads a file for its names of destinations.
    Names {
        file: String,
        form: Form,
    },
}

impl Task {
    /// A task that may write: whose word it has, if it has one.
    pub fn confirmed(&self) -> Option<&Confirmed> {
        match self {
            Self::Import { confirmed, .. } | Self::Make { confirmed, .. } | Self::Rollback { confirmed, .. } => {
                confirmed.as_ref()
            }
            Self::Compare { .. } | Self::Held { .. } | Self::Names { .. } => None,
        }
    }

    /// Where that word is kept; `None` = it writes nothing.
    fn word(&mut self) -> Option<&mut Option<Confirmed>> {
        match self {
            Self::Import { confirmed, .. } | Self::Make { confirmed, .. } | Self::Rollback { confirmed, .. } => {
                Some(confirmed)
            }
            Self::Compare { .. } | Self::Held { .. } | Self::Names { .. } => None,
        }
    }

    /// It can become a version.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Import { .. } | Self::Make { .. } | Self::Rollback { .. })
    }

    /// Whether an import's record is what this task has written.
    fn wrote(&self, import: &DeckImport) -> bool {
        match self {
            Self::Import { hash, .. } => hex(&import.file_hash) == *hash,
            Self::Make { form, .. } => import.file_hash == *blake3::hash(recipe_of(form).as_bytes()).as_bytes(),
            Self::Rollback { to, .. } => import.kind == "rollback" && import.file == format!("version {to}"),
            Self::Compare { .. } | Self::Held { .. } | Self::Names { .. } => false,
        }
    }
}

/// The recipe of a form, with the line ends that a browser does not send.
pub fn recipe_of(form: &Form) -> String {
    form.get("recipe").map(|text| text.replace("\r\n", "\n")).unwrap_or_default()
}

/// Who writes a previewed import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    pub by: String,
    pub reason: String,
}

/// One job as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: String,
    pub deck: String,
    pub task: Task,
    pub state: JobState,
    /// Microseconds since the epoch.
    pub at: i64,
    /// The question, the failure, or what came of it.
    pub message: String,
    /// Import record that a writing job made.
    #[serde(default)]
    pub import: String,
    /// Of the file.
    #[serde(default)]
    pub bytes: u64,
    /// Version of the deck that was previewed against.
    #[serde(default)]
    pub base: u32,
}

impl Job {
    /// A job that waits. Ids rise with time, so that they are in order.
    pub fn new(deck: &str, task: Task, now: i64) -> Result<Self, Failure> {
        let random = console::random_hex().map_err(|e| Failure::Broken(format!("random source: {e}")))?;
        let second: String = rfc3339(now).chars().filter(char::is_ascii_digit).take(17).collect();
        let id = format!("{second:0<17}-{}", &random[..6]);
        let (deck, state) = (deck.to_owned(), JobState::Waiting);
        Ok(Self { id, deck, task, state, at: now, message: String::new(), import: String::new(), bytes: 0, base: 0 })
    }

    pub fn title(&self) -> String {
        match &self.task {
            Task::Import { file, .. } => format!("Import {file} into {}", self.deck),
            Task::Compare { from, to } => format!("{} version {to} beside {from}", self.deck),
            Task::Held { import } => format!("What import {import} would change"),
            Task::Make { .. } => format!("Make {} by its recipe", self.deck),
            Task::Rollback { to, .. } => format!("Version {to} of {} back", self.deck),
            Task::Names { file, .. } => format!("Names of destinations in {file}"),
        }
    }

    /// Begins anew with other answers.
    pub fn read_again(&mut self, answers: Form) {
        if let Task::Import { form, confirmed, .. } = &mut self.task {
            let received = form.get("received").cloned();
            *form = answers;
            if form.get("received").is_none_or(String::is_empty)
                && let Some(received) = received
            {
                form.insert("received".to_owned(), received);
            }
            *confirmed = None;
        } else if let Task::Make { form, confirmed } = &mut self.task {
            // The hours of the first preview stay where no others are named.
            for (name, then) in std::mem::replace(form, answers) {
                let now = form.entry(name).or_default();
                if now.trim().is_empty() {
                    *now = then;
                }
            }
            *confirmed = None;
        }
        (self.state, self.message) = (JobState::Waiting, String::new());
    }

    /// Waits to be written; what is missing or wrong is said.
    pub fn write(&mut self, word: &Form, previewed: bool) -> Result<(), String> {
        let text = |name: &str| word.get(name).map_or("", |text| text.trim()).to_owned();
        if !previewed {
            return Err("there is no preview to write; read the file again first".to_owned());
        }
        if text("typed") != self.deck {
            return Err(format!("to import it, type the deck's name as it stands there: {}", self.deck));
        }
        let (by, reason) = (text("by"), text("reason"));
        if by.is_empty() || reason.is_empty() {
            return Err("say who imports it and why".to_owned());
        }
        if let Some(confirmed) = self.task.word() {
            *confirmed = Some(Confirmed { by, reason });
        }
        (self.state, self.message) = (JobState::Waiting, String::new());
        Ok(())
    }
}

fn record(folder: &Path, id: &str) -> PathBuf {
    folder.join(id).join(RECORD)
}

/// Writes a file whole: under another name, flushed, renamed.
pub fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let mut out = fs::File::create(&fresh)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&fresh, file)?;
    if let Some(folder) = file.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

pub fn save(folder: &Path, job: &Job) -> io::Result<()> {
    write_whole(&record(folder, &job.id), &serde_json::to_vec(job).map_err(io::Error::other)?)
}

/// All jobs of the folder. Files that never came to their end are cleared away; a record that cannot be read is kept on
/// disk and told as a failed job.
pub fn load(folder: &Path) -> io::Result<BTreeMap<String, Job>> {
    let mut jobs = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let id = entry.file_name().to_string_lossy().into_owned();
        if id == TEMPLATES || id == RECIPES || !entry.file_type()?.is_dir() {
            continue;
        }
        match fs::read(record(folder, &id)) {
            Ok(bytes) => {
                let job = serde_json::from_slice(&bytes).unwrap_or_else(|error| unreadable(&id, &error.to_string()));
                jobs.insert(id, job);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_dir_all(entry.path())?,
            Err(error) => drop(jobs.insert(id.clone(), unreadable(&id, &error.to_string()))),
        }
    }
    Ok(jobs)
}

fn unreadable(id: &str, why: &str) -> Job {
    let message =
        format!("the record of this job cannot be read: {why}; its files are in jobs/{id} of the data folder");
    let task = Task::Held { import: String::new() };
    let (id, state) = (id.to_owned(), JobState::Failed);
    Job { id, deck: String::new(), task, state, at: 0, message, import: String::new(), bytes: 0, base: 0 }
}

/// What becomes of a job that was under way when the process ended: reading and comparing begin anew; of a write the
/// configuration tells whether it happened.
pub fn resume(job: &mut Job, config: &Config) {
    job.state = JobState::Waiting;
    let Some(confirmed) = job.task.confirmed() else { return };
    let made = config.imports.values().find(|import| {
        import.deck == job.deck
            && import.base == job.base
            && import.by == confirmed.by
            && import.reason == confirmed.reason
            && !import.is_told()
            && job.task.wrote(import)
    });
    // Without such a record nothing was written: a version is there as a whole or not at all.
    if let Some(import) = made {
        job.state = JobState::Done;
        job.import = import.id.to_string();
        job.message = format!("written before the process ended: import {} is {}", import.id, import.state.as_str());
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the oldest jobs away that have written nothing: beyond a number, and beyond the room for their files.
pub fn prune(folder: &Path, jobs: &mut BTreeMap<String, Job>) {
    let idle = |job: &Job| !job.state.moves() && job.import.is_empty();
    loop {
        let bytes: u64 = jobs.values().filter(|job| job.import.is_empty()).map(|job| job.bytes).sum();
        if jobs.len() <= KEPT_MAX && bytes <= FILE_BYTES_MAX {
            return;
        }
        let Some(id) = jobs.values().find(|job| idle(job)).map(|job| job.id.clone()) else { return };
        if let Err(error) = fs::remove_dir_all(folder.join(&id)) {
            tracing::warn!(job = id, %error, "an old job's folder cannot be removed");
        }
        jobs.remove(&id);
    }
}

/// Templates by deck, beside the jobs.
pub const TEMPLATES: &str = "templates";
/// Recipes by deck, beside the jobs.
pub const RECIPES: &str = "recipes";

fn kept_file(folder: &Path, what: &str, deck: &str) -> PathBuf {
    // Any deck's name is a file's name so.
    folder.join(what).join(format!("{}.toml", hex(deck.as_bytes())))
}

/// Keeps a template for the next notice of this deck's carrier, or its recipe.
pub fn remember(folder: &Path, what: &str, deck: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder.join(what))?;
    write_whole(&kept_file(folder, what, deck), text.as_bytes())
}

pub fn remembered(folder: &Path, what: &str, deck: &str) -> String {
    fs::read_to_string(kept_file(folder, what, deck)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(id: &str, state: JobState, bytes: u64) -> Job {
        let task = Task::Import { file: "a.csv".into(), hash: String::new(), form: Form::new(), confirmed: None };
        Job { id: id.into(), state, bytes, ..Job { ..Job::new("d", task, 0).unwrap() } }
    }

    #[test]
    fn a_job_that_works_or_has_written_is_never_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut jobs = BTreeMap::new();
        for (id, state, written) in [
            ("1", JobState::Working, ""),
            ("2", JobState::Done, "d/1"),
            ("3", JobState::Previewed, ""),
            ("4", JobState::Asked, ""),
        ] {
            let job = Job { import: written.into(), ..import(id, state, FILE_BYTES_MAX / 2) };
            fs::create_dir_all(folder.path().join(id)).unwrap();
            save(folder.path(), &job).unwrap();
            jobs.insert(id.to_owned(), job);
        }
        prune(folder.path(), &mut jobs);
        assert_eq!(jobs.keys().collect::<Vec<_>>(), ["1", "2", "4"]);
        assert_eq!(load(folder.path()).unwrap(), jobs, "the folder holds the same");
        fs::write(folder.path().join("4").join(RECORD), "{").unwrap();
        let broken = load(folder.path()).unwrap();
        assert_eq!(broken["4"].state, JobState::Failed, "a record that cannot be read is told, not lost");
    }
}
