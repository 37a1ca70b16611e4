//! The worker: one job after another, each to an end that is written down, also when it panics.

use super::store::{Confirmed, Job, Task};
use super::{CHANGES_KEPT, Jobs, PROBLEMS_KEPT, file_of, form, outcome, store};
use crate::deck_life::args::{DeckOp, DiffArgs, MakeArgs, NamesArgs, RollbackArgs};
use crate::deck_life::told::Told;
use crate::deck_life::{execute_told, held};
use crate::node::wall_micros;
use crate::ops::Answer;
use crate::output::Failure;
use console::jobs::{Form, JobState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How soon a stop is seen.
const LOOK: Duration = Duration::from_millis(200);
/// Days of past traffic by which a comparison is weighed.
const DAYS: u32 = 7;

/// What came of one turn.
struct Turn {
    state: JobState,
    message: String,
    answer: Option<Answer>,
    import: String,
    base: u32,
}

/// Works until the node stops.
pub fn run(jobs: &Jobs) {
    while let Some((mut job, told)) = next(jobs) {
        let work = catch_unwind(AssertUnwindSafe(|| turn(jobs, &job, &told)));
        let turn = work.unwrap_or_else(|_| {
            let message = "this is a fault of Tandem's: the work panicked; the process's log says where. Nothing was \
                           written unless the deck's page shows it";
            Turn::ended(JobState::Failed, message.to_owned())
        });
        // A process that is going down fails what it does; the job begins anew at the next start.
        if jobs.node.stop.load(Ordering::Relaxed) && turn.state == JobState::Failed {
            return;
        }
        (job.state, job.message) = (turn.state, turn.message);
        job.import = turn.import;
        job.base = turn.base;
        if let Some(answer) = &turn.answer
            && let Err(error) = outcome::save(&jobs.folder_of(&job.id), answer, &told)
        {
            job.state = if job.state == JobState::Previewed { JobState::Failed } else { job.state };
            job.message.push_str(&format!("; the result cannot be kept: {error}"));
        }
        finish(jobs, job);
    }
}

/// The next job that waits; `None` = the node stops.
fn next(jobs: &Jobs) -> Option<(Job, Arc<Told>)> {
    let mut state = jobs.lock();
    loop {
        if jobs.node.stop.load(Ordering::Relaxed) {
            return None;
        }
        let Some(id) = state.queue.pop_front() else {
            state = jobs.wake.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        };
        let told = Arc::new(Told::listing(CHANGES_KEPT, PROBLEMS_KEPT));
        let Some(job) = state.jobs.get_mut(&id) else { continue };
        job.state = JobState::Working;
        let job = job.clone();
        state.now = Some((id, told.clone()));
        drop(state);
        if let Err(error) = store::save(&jobs.folder, &job) {
            tracing::warn!(job = job.id, %error, "the job's record cannot be written");
        }
        return Some((job, told));
    }
}

fn finish(jobs: &Jobs, mut job: Job) {
    if let Err(error) = store::save(&jobs.folder, &job) {
        job.message.push_str(&format!("; this cannot be written down: {error}"));
    }
    let mut state = jobs.lock();
    state.now = None;
    state.jobs.insert(job.id.clone(), job);
}

impl Turn {
    fn ended(state: JobState, message: String) -> Self {
        Self { state, message, answer: None, import: String::new(), base: 0 }
    }

    /// A question is the asker's to answer, a failure of the surroundings is not.
    fn failed(failure: Failure) -> Self {
        match failure {
            Failure::Usage(why) => Self::ended(JobState::Asked, why),
            Failure::Broken(why) => Self::ended(JobState::Failed, why),
        }
    }

    fn compared(answer: Result<Answer, Failure>) -> Self {
        match answer {
            Ok(answer) => Self { answer: Some(answer), ..Self::ended(JobState::Done, String::new()) },
            Err(Failure::Usage(why) | Failure::Broken(why)) => Self::ended(JobState::Failed, why),
        }
    }
}

fn turn(jobs: &Jobs, job: &Job, told: &Told) -> Turn {
    match &job.task {
        Task::Compare { from, to } => {
            let (old, new) = (format!("{}@{from}", job.deck), format!("{}@{to}", job.deck));
            let args = Box::new(DiffArgs { old, new, days: DAYS, ..DiffArgs::default() });
            Turn::compared(execute_told(&jobs.node, &DeckOp::Diff(args), told))
        }
        Task::Held { import } => Turn::compared(held::compare(&jobs.node, import, DAYS, wall_micros(), told)),
        Task::Names { form, .. } => {
            let mut turn = Turn::compared(names(jobs, job, form, told));
            turn.message = outcome::by_name(&turn.message, &jobs.folder_of(&job.id));
            turn
        }
        Task::Make { form, confirmed } => {
            let made = previewed(jobs, job, confirmed.as_ref(), told, &|who| make_op(jobs, job, form, who));
            let mut turn = made.unwrap_or_else(Turn::failed);
            turn.message = turn.message.replace(&format!("{}: ", jobs.folder_of(&job.id).join(RECIPE).display()), "");
            turn
        }
        Task::Rollback { to, confirmed } => {
            previewed(jobs, job, confirmed.as_ref(), told, &|who| Ok(rollback_op(job, *to, who)))
                .unwrap_or_else(Turn::failed)
        }
        Task::Import { form, confirmed, .. } => {
            let mut turn = import(jobs, job, form, confirmed.as_ref(), told).unwrap_or_else(Turn::failed);
            turn.message = outcome::by_name(&turn.message, &jobs.folder_of(&job.id));
            turn
        }
    }
}

/// The recipe of a job, and what came of it.
const RECIPE: &str = "recipe.toml";
pub const REASONS: &str = "why.csv";

/// By whom and why, as the commands take it; nobody's word is a preview.
fn words(who: Option<&Confirmed>) -> (String, String) {
    who.map_or_else(|| ("preview".to_owned(), "preview".to_owned()), |who| (who.by.clone(), who.reason.clone()))
}

fn kept(file: &Path, text: &str) -> Result<(), Failure> {
    store::write_whole(file, text.as_bytes()).map_err(|e| Failure::Broken(format!("{}: {e}", file.display())))
}

fn make_op(jobs: &Jobs, job: &Job, form: &Form, who: Option<&Confirmed>) -> Result<DeckOp, Failure> {
    let folder = jobs.folder_of(&job.id);
    let recipe = folder.join(RECIPE);
    kept(&recipe, &store::recipe_of(form))?;
    let text = |name: &str| form.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let days = match text("days") {
        None => DAYS,
        Some(days) => days.parse().map_err(|_| Failure::Usage(format!("{days:?} is no number of days")))?,
    };
    let ((by, reason), explain) = (words(who), Some(folder.join(REASONS)));
    let (effective, announced) = (text("effective"), text("announced"));
    let args = MakeArgs { recipe, effective, announced, days, explain, yes: true, by, reason, all_changes: None };
    Ok(DeckOp::Make { args: Box::new(args), write: who.is_some() })
}

fn rollback_op(job: &Job, to: u32, who: Option<&Confirmed>) -> DeckOp {
    let (by, reason) = words(who);
    let args = RollbackArgs { deck: job.deck.clone(), to, yes: true, by, reason, days: DAYS, all_changes: None };
    DeckOp::Rollback { args, write: who.is_some() }
}

/// Previews what would become a version; by a person's word writes it, if the deck is still as it was previewed.
fn previewed(
    jobs: &Jobs,
    job: &Job,
    confirmed: Option<&Confirmed>,
    told: &Told,
    op: &dyn Fn(Option<&Confirmed>) -> Result<DeckOp, Failure>,
) -> Result<Turn, Failure> {
    let base = newest(jobs, &job.deck);
    if confirmed.is_some() && base != job.base {
        let (deck, was) = (&job.deck, job.base);
        let why = format!(
            "deck {deck} is at version {base}, this was previewed against {was}: nothing was written; preview it again"
        );
        return Err(Failure::Usage(why));
    }
    let answer = execute_told(&jobs.node, &op(confirmed)?, told)?;
    let reasons = jobs.folder_of(&job.id).join(REASONS);
    if let Some((_, text)) = answer.files.iter().find(|(path, _)| *path == reasons) {
        kept(&reasons, text)?;
    }
    if confirmed.is_none() {
        let message = outcome::words(&answer);
        return Ok(Turn { answer: Some(answer), base, ..Turn::ended(JobState::Previewed, message) });
    }
    let (import, message) = outcome::written(&answer, &job.deck, base);
    Ok(Turn { import, base, answer: Some(answer), ..Turn::ended(JobState::Done, message) })
}

fn newest(jobs: &Jobs, deck: &str) -> u32 {
    jobs.node.config.current().decks.get(deck).and_then(|versions| versions.last()).map_or(0, |root| root.version)
}

/// A carrier's names beside ours, with the mapping.
fn names(jobs: &Jobs, job: &Job, form: &Form, told: &Told) -> Result<Answer, Failure> {
    let folder = jobs.folder_of(&job.id);
    let mut args =
        NamesArgs { file: file_of(&jobs.folder, job), save: Some(folder.join("names.toml")), ..NamesArgs::default() };
    args.like = form.get("like").filter(|deck| !deck.is_empty()).cloned();
    for (name, place) in [("template", &mut args.answers.template), ("names", &mut args.answers.names)] {
        if let Some(text) = form.get(name).filter(|text| !text.trim().is_empty()) {
            let file = folder.join(format!("said-{name}.toml"));
            kept(&file, text)?;
            *place = Some(file);
        }
    }
    execute_told(&jobs.node, &DeckOp::Names(Box::new(args)), told)
}

fn import(jobs: &Jobs, job: &Job, form: &Form, confirmed: Option<&Confirmed>, told: &Told) -> Result<Turn, Failure> {
    let folder = jobs.folder_of(&job.id);
    let template = match form.get("template").filter(|text| !text.trim().is_empty()) {
        None => None,
        Some(text) => {
            let file = folder.join("template.toml");
            store::write_whole(&file, text.as_bytes())
                .map_err(|e| Failure::Broken(format!("{}: {e}", file.display())))?;
            Some(file)
        }
    };
    let mut args = form::request(&job.deck, form, file_of(&jobs.folder, job), template).map_err(Failure::Usage)?;
    let base = || newest(jobs, &job.deck);
    let Some(confirmed) = confirmed else {
        (args.by, args.reason) = ("preview".to_owned(), "preview".to_owned());
        let before = base();
        let answer = execute_told(&jobs.node, &DeckOp::Import { args: Box::new(args), write: false }, told)?;
        let message = outcome::words(&answer);
        return Ok(Turn { answer: Some(answer), base: before, ..Turn::ended(JobState::Previewed, message) });
    };
    let now = base();
    if now != job.base {
        let why = format!(
            "deck {} is at version {now}, this was previewed against {}: nothing was written; read the file again",
            job.deck, job.base
        );
        return Err(Failure::Usage(why));
    }
    (args.by, args.reason) = (confirmed.by.clone(), confirmed.reason.clone());
    let answer = execute_told(&jobs.node, &DeckOp::Import { args: Box::new(args), write: true }, told)?;
    let (import, message) = outcome::written(&answer, &job.deck, job.base);
    Ok(Turn { import, base: job.base, answer: Some(answer), ..Turn::ended(JobState::Done, message) })
}
