//! Long work that the console asks for: a carrier's file read and previewed, then written; two versions compared. One
//! worker does one job after another, so that memory stays that of one. Every job stands in the data folder: the page
//! may be closed, the process may die, and a job is taken up again or says what became of it.
//!
//! What a job does is the code of `tandem deck`; nothing is decided here.

mod form;
mod outcome;
mod store;
mod upload;
mod work;

use crate::deck_life::told::Told;
use crate::node::{Node, wall_micros};
use crate::output::Failure;
use crate::tables::table_of;
use console::jobs::{Form, JobAsk, JobProgress, JobState, JobView};
use console::source::{Fact, Kind, SourceError, Table};
use facts::time::rfc3339;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use store::{Job, Task};
pub use upload::Arriving;

/// Jobs that may wait; the next one is refused.
const WAITING_MAX: usize = 16;
/// Jobs that are listed.
const LISTED: usize = 200;
/// Changes kept of one comparison for its page.
const CHANGES_KEPT: usize = 5_000;
/// Problems of a file kept for its page.
const PROBLEMS_KEPT: usize = 500;

/// The jobs of one process.
pub struct Jobs {
    node: Arc<Node>,
    folder: PathBuf,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, Job>,
    queue: VecDeque<String>,
    /// The job under way, and how far it is.
    now: Option<(String, Arc<Told>)>,
}

impl Jobs {
    /// Takes up what the folder holds, and begins to work.
    pub fn open(node: &Arc<Node>) -> Result<Arc<Self>, Failure> {
        let folder = node.settings.data.join("jobs");
        let broken = |e: std::io::Error| Failure::Broken(format!("{}: {e}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(broken)?;
        let mut jobs = store::load(&folder).map_err(broken)?;
        let config = node.config.current();
        let mut queue = VecDeque::new();
        for (id, job) in &mut jobs {
            if job.state.moves() {
                store::resume(job, &config);
                if job.state == JobState::Waiting {
                    queue.push_back(id.clone());
                }
                store::save(&folder, job).map_err(broken)?;
            }
        }
        let state = Mutex::new(State { jobs, queue, now: None });
        let all = Arc::new(Self { node: node.clone(), folder, state, wake: Condvar::new() });
        let worker = all.clone();
        let thread = std::thread::Builder::new().name("jobs".to_owned()).spawn(move || work::run(&worker));
        thread.map_err(|e| Failure::Broken(format!("thread jobs: {e}")))?;
        Ok(all)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Folder of one job.
    fn folder_of(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// A new job, waiting for its turn.
    fn begin(&self, job: Job) -> Result<String, SourceError> {
        let mut state = self.lock();
        if state.queue.len() >= WAITING_MAX {
            let what = format!("{WAITING_MAX} jobs wait already; see them under Jobs and come back when one is done");
            return Err(SourceError::Wrong(what));
        }
        self.kept(&job)?;
        let id = job.id.clone();
        state.queue.push_back(id.clone());
        state.jobs.insert(id.clone(), job);
        store::prune(&self.folder, &mut state.jobs);
        self.wake.notify_all();
        Ok(id)
    }

    fn kept(&self, job: &Job) -> Result<(), SourceError> {
        let folder = self.folder_of(&job.id);
        let saved = std::fs::create_dir_all(&folder).and_then(|()| store::save(&self.folder, job));
        saved.map_err(|e| SourceError::Broken(format!("{}: {e}; the job was not begun", folder.display())))
    }

    /// Compares two versions; the last comparison of these two where there is one, unless `again`.
    pub fn compare(&self, deck: &str, from: u32, to: u32, again: bool) -> Result<String, SourceError> {
        let config = self.node.config.current();
        for number in [from, to] {
            if crate::deck_pages::version(&config, deck, number).is_none() {
                return Err(SourceError::Wrong(format!("deck {deck:?} has no version {number}")));
            }
        }
        self.once(deck, Task::Compare { from, to }, again)
    }

    /// Compares a held import with the version that it was made for.
    pub fn review_held(&self, id: &str) -> Result<String, SourceError> {
        let config = self.node.config.current();
        let Some(import) = config.imports.get(id) else {
            return Err(SourceError::Wrong(format!("there is no import {id:?}")));
        };
        self.once(&import.deck, Task::Held { import: id.to_owned() }, false)
    }

    fn once(&self, deck: &str, task: Task, again: bool) -> Result<String, SourceError> {
        let known = |job: &&Job| job.deck == deck && job.task == task;
        let last = self.lock().jobs.values().rev().find(known).map(|job| (job.id.clone(), job.state));
        match last {
            Some((id, state)) if state.moves() || (!again && state == JobState::Done) => Ok(id),
            _ => self.begin(Job::new(deck, task, wall_micros()).map_err(crate::pages::shown)?),
        }
    }

    /// Reads a job's file again with other answers, or writes what it previewed; `false` = there is no such job.
    pub fn act(&self, id: &str, form: Form, write: bool) -> Result<bool, SourceError> {
        let mut state = self.lock();
        if state.queue.len() >= WAITING_MAX {
            return Err(SourceError::Wrong(format!("{WAITING_MAX} jobs wait already; try again when one is done")));
        }
        let Some(job) = state.jobs.get_mut(id) else { return Ok(false) };
        let mut next = job.clone();
        if job.state.moves() || job.state == JobState::Done || !job.task.writes() {
            return Err(SourceError::Wrong(format!("job {id} is {}; there is nothing to say to it", job.state.word())));
        }
        match write {
            false => {
                if matches!(next.task, Task::Make { .. }) {
                    let (wanted, was, id) = (deck_of(&form)?, &next.deck, &next.id);
                    if wanted != *was {
                        let why = format!("job {id} makes deck {was}, the recipe is for {wanted}; begin another one");
                        return Err(SourceError::Wrong(why));
                    }
                }
                next.read_again(form);
            }
            true => {
                next.write(&form, job.state == JobState::Previewed).map_err(SourceError::Wrong)?;
                if form.contains_key("remember") {
                    let template =
                        || outcome::load(&self.folder_of(id)).map(|found| found.template).unwrap_or_default();
                    let (what, text) = match &job.task {
                        Task::Make { form, .. } => (store::RECIPES, store::recipe_of(form)),
                        _ => (store::TEMPLATES, template()),
                    };
                    store::remember(&self.folder, what, &job.deck, &text)
                        .map_err(|e| SourceError::Broken(format!("{what} were not kept, nothing was written: {e}")))?;
                }
            }
        }
        self.kept(&next)?;
        *job = next;
        state.queue.push_back(id.to_owned());
        self.wake.notify_all();
        Ok(true)
    }

    /// The template remembered for a deck.
    pub fn template_of(&self, deck: &str) -> String {
        store::remembered(&self.folder, store::TEMPLATES, deck)
    }

    /// The recipe remembered for a deck.
    pub fn recipe_of(&self, deck: &str) -> String {
        store::remembered(&self.folder, store::RECIPES, deck)
    }

    /// Makes a deck by the recipe of a form; its hours are those of now where it names none.
    pub fn make(&self, mut form: Form) -> Result<String, SourceError> {
        let (deck, now) = (deck_of(&form)?, wall_micros());
        for name in ["effective", "announced"] {
            let hour = form.entry(name.to_owned()).or_default();
            if hour.trim().is_empty() {
                *hour = rfc3339(now / 1_000_000 * 1_000_000);
            }
        }
        self.begin(Job::new(&deck, Task::Make { form, confirmed: None }, now).map_err(crate::pages::shown)?)
    }

    /// Previews an older version back as the newest.
    pub fn rollback(&self, deck: &str, to: u32) -> Result<String, SourceError> {
        if crate::deck_pages::version(&self.node.config.current(), deck, to).is_none() {
            return Err(SourceError::Wrong(format!("deck {deck:?} has no version {to}")));
        }
        self.begin(Job::new(deck, Task::Rollback { to, confirmed: None }, wall_micros()).map_err(crate::pages::shown)?)
    }

    /// Why the prices of a made deck are as they are.
    pub fn reasons(&self, id: &str) -> Option<Vec<u8>> {
        self.lock().jobs.contains_key(id).then(|| std::fs::read(self.folder_of(id).join(work::REASONS)).ok())?
    }

    /// Jobs, newest first.
    pub fn list(&self) -> Table {
        let columns = [
            ("job", "Job", Kind::Text),
            ("what", "What", Kind::Text),
            ("state", "State", Kind::Text),
            ("at", "Since", Kind::Instant),
            ("stage", "Where it is", Kind::Text),
        ];
        let state = self.lock();
        let row = |job: &Job| {
            let progress = self.progress_of(&state, job);
            let what = if job.state.moves() { console::jobs::stage(&progress) } else { job.message.clone() };
            vec![
                job.id.clone(),
                job.title(),
                job.state.word().to_owned(),
                rfc3339(job.at / 1_000_000 * 1_000_000),
                what,
            ]
        };
        table_of(&columns, state.jobs.values().rev().take(LISTED).map(row).collect())
    }

    fn progress_of(&self, state: &State, job: &Job) -> JobProgress {
        let at = |stage: &str, rows| JobProgress { state: job.state, stage: stage.to_owned(), rows };
        match &state.now {
            Some((id, told)) if *id == job.id => {
                let (stage, rows) = told.now();
                at(stage, rows)
            }
            _ => match state.queue.iter().position(|id| *id == job.id) {
                Some(0) | None => at("for its turn", 0),
                Some(before) => at(&format!("for {before} jobs before it"), 0),
            },
        }
    }

    pub fn progress(&self, id: &str) -> Option<JobProgress> {
        let state = self.lock();
        state.jobs.get(id).map(|job| self.progress_of(&state, job))
    }

    /// One job with what came of it so far.
    pub fn view(&self, id: &str, ask: &JobAsk) -> Option<JobView> {
        let (job, progress) = {
            let state = self.lock();
            let job = state.jobs.get(id)?;
            (job.clone(), self.progress_of(&state, job))
        };
        let config = self.node.config.current();
        let newest = config.decks.get(job.deck.as_str()).and_then(|versions| versions.last()).map_or(0, |r| r.version);
        let review = if job.state.moves() { None } else { outcome::load(&self.folder_of(id)) };
        let mut facts = vec![Fact::new("Job", id), Fact::new("Since", rfc3339(job.at / 1_000_000 * 1_000_000))];
        if let Task::Import { file, form, .. } = &job.task {
            let kind = if form.get("kind").is_some_and(|kind| kind == "az") { "whole deck" } else { "amendment" };
            facts.push(Fact::new("File", format!("{file}, {} bytes, {kind}", job.bytes)));
            facts.push(Fact::new("Received", form.get("received").cloned().unwrap_or_default()));
        }
        if let Task::Make { form, .. } = &job.task {
            let hour = |name: &str| form.get(name).cloned().unwrap_or_default();
            facts.push(Fact::new("Prices count from", hour("effective")));
            facts.push(Fact::new("Customers are told on", hour("announced")));
        }
        let form = match &job.task {
            Task::Import { form, .. } | Task::Make { form, .. } => Some(form.clone()),
            _ => None,
        };
        let again = match &job.task {
            Task::Compare { from, to } => {
                let deck = console::access::encode(&job.deck);
                format!("/decks/{deck}/diff?from={from}&to={to}&again=yes")
            }
            _ => String::new(),
        };
        let can_write = job.state == JobState::Previewed && review.as_ref().is_some_and(|review| review.writable());
        Some(JobView {
            id: job.id.clone(),
            title: job.title(),
            deck: job.deck.clone(),
            newest,
            progress,
            message: job.message.clone(),
            facts,
            form,
            review: review.map(|review| review.page(ask)),
            can_write,
            again,
            import: job.import.clone(),
        })
    }
}

/// A name that is safe as a file's name: its last part, letters, digits and a few signs.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' })
        .take(100)
        .collect();
    let kept = kept.trim_matches(['.', ' ']).to_owned();
    if kept.is_empty() { "deck".to_owned() } else { kept }
}

/// The deck that a form's recipe makes.
fn deck_of(form: &Form) -> Result<String, SourceError> {
    let recipe = decks::make::Recipe::parse(&store::recipe_of(form)).map_err(|e| SourceError::Wrong(e.to_string()))?;
    Ok(recipe.deck.to_string())
}

/// The file that a job reads.
fn file_of(folder: &Path, job: &Job) -> PathBuf {
    let name = match &job.task {
        Task::Import { file, .. } | Task::Names { file, .. } => file.as_str(),
        _ => "",
    };
    folder.join(&job.id).join("file").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_never_leaves_its_folder() {
        assert_eq!(safe_name("../../etc/passwd"), "passwd");
        assert_eq!(safe_name("C:\\decks\\may 2026.xlsx"), "may 2026.xlsx");
        assert_eq!(safe_name(".."), "deck");
        assert_eq!(safe_name("a\u{0}b\"c.csv"), "a_b_c.csv");
    }
}
