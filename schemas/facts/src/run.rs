//! Runs over past calls (design 9.2): what is ordered, what stands on the topic `runs.SITE`, and the fold of it. Inputs
//! are fixed at the preview; an agreement has one open run at a time. Pure: it prices nothing and reads no log.

use crate::OccurredAt;
use crate::ids::RunId;
use crate::xdr::Position;
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

/// Most runs that one site keeps; previews beyond it are refused until somebody tidies up.
pub const RUNS_MAX: usize = 100_000;

/// What a run does with the calls it goes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Prices the chosen sides again.
    #[default]
    Rerate,
    /// Prices again only what has no price.
    Recycle,
    /// Puts back what another run replaced.
    Undo,
}

impl RunKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rerate => "rerate",
            Self::Recycle => "recycle",
            Self::Undo => "undo",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Rerate, Self::Recycle, Self::Undo].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Which calls and sides a run may change. Accounts, destinations and deck count before or after: a call that leaves
/// an account is chosen by the one it leaves and by the one it comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Calls that started at this instant or later.
    pub from: Option<OccurredAt>,
    /// Calls that started before.
    pub until: Option<OccurredAt>,
    /// Empty = all.
    pub accounts: Vec<SmolStr>,
    /// Empty = all.
    pub destinations: Vec<SmolStr>,
    /// Sides by this deck; empty = all.
    pub deck: SmolStr,
    /// Price by this version of `deck` instead of the configuration's newest.
    pub deck_version: Option<u32>,
    /// Recycling: sides with this reason ([`crate::Unrated::as_str`]); empty = every reason.
    pub unrated: SmolStr,
}

/// A stream of rated calls, from its start up to a place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunInput {
    pub stream: SmolStr,
    /// Exclusive.
    pub to: Position,
}

/// Everything that fixes what a run comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunPlan {
    pub kind: RunKind,
    /// The run that an undo takes back.
    pub undoes: Option<RunId>,
    pub config_seq: u64,
    /// Raters' streams first, then those of earlier runs in the order in which they were posted.
    pub inputs: Vec<RunInput>,
    pub selection: Selection,
    /// Agreements of all sides of the calls that change, before and after, rising; empty = a side without one. So no
    /// call is ever in two open runs.
    pub agreements: Vec<SmolStr>,
    /// Calls that change.
    pub calls: u64,
}

/// One record of the topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunOrder {
    pub run: RunId,
    pub at: OccurredAt,
    pub by: SmolStr,
    pub reason: SmolStr,
    pub action: RunAction,
}

/// What is ordered or reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunAction {
    Preview(Box<RunPlan>),
    /// `ledger_seq`: last frame of the ledger that was durable then; what the run was refused stands behind it.
    Post {
        ledger_seq: u64,
    },
    /// A preview that will not be posted.
    Drop,
    /// The worker's report: everything is booked; calls posted, and calls refused because they had changed.
    /// `ledger_seq`: last frame of the ledger that was durable then; all of the run stands up to there.
    Done {
        calls: u64,
        refused: u64,
        ledger_seq: u64,
    },
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    Previewed,
    /// Ordered; its entries are being written.
    Posting,
    Posted,
    Dropped,
}

impl RunPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Previewed => "previewed",
            Self::Posting => "posting",
            Self::Posted => "posted",
            Self::Dropped => "dropped",
        }
    }

    /// True while no other run may be previewed over its agreements.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Previewed | Self::Posting)
    }
}

/// A run as the topic tells it so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub phase: RunPhase,
    pub plan: RunPlan,
    pub previewed_at: OccurredAt,
    pub previewed_by: SmolStr,
    /// Of the post; empty before.
    pub by: SmolStr,
    pub reason: SmolStr,
    pub posted_at: Option<OccurredAt>,
    /// See [`RunAction::Post`].
    pub ledger_seq: u64,
    /// Calls posted and refused, once it is done.
    pub posted: u64,
    pub refused: u64,
    /// Its place among the posts of the site, from 1; 0 before. Runs are booked one after the other in this order.
    pub turn: u64,
    /// See [`RunAction::Done`]; 0 before.
    pub done_seq: u64,
}

/// Why a record changed nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunRefusal {
    #[error("run {run} of {by} is open for agreement {agreement}; post it or drop it first")]
    OpenRun { run: RunId, by: SmolStr, agreement: SmolStr },
    #[error("there is no run {0}; see `tandem rerate list`")]
    Unknown(RunId),
    #[error("run {run} is {phase}, not previewed")]
    NotOpen { run: RunId, phase: &'static str },
    #[error("there are {RUNS_MAX} runs already")]
    TooMany,
}

/// The fold of the topic: the same records in the same order, the same runs, whoever folds them.
#[derive(Clone, Default, Debug)]
pub struct Runs {
    /// In the order of their previews.
    runs: Vec<Run>,
    turns: u64,
}

impl Runs {
    /// In the order of their previews.
    pub fn all(&self) -> &[Run] {
        &self.runs
    }

    pub fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == id)
    }

    /// Those that are posted or being posted, in the order of their posts.
    pub fn posted(&self) -> Vec<&Run> {
        let mut posted: Vec<&Run> = self.runs.iter().filter(|run| run.turn > 0).collect();
        posted.sort_unstable_by_key(|run| run.turn);
        posted
    }

    /// Runs whose id begins so (hexadecimal digits).
    pub fn starting(&self, prefix: &str) -> Vec<&Run> {
        self.runs.iter().filter(|run| run.id.to_string().starts_with(prefix)).collect()
    }

    /// The open run that stands in the way of one over these agreements, and the agreement.
    pub fn in_the_way(&self, agreements: &[SmolStr]) -> Option<(&Run, &SmolStr)> {
        self.runs.iter().filter(|run| run.phase.is_open()).find_map(|run| {
            let shared = run.plan.agreements.iter().find(|agreement| agreements.contains(agreement))?;
            Some((run, shared))
        })
    }

    /// Folds one record. A refused one changes nothing; the same record again is no refusal.
    pub fn fold(&mut self, order: &RunOrder) -> Result<(), RunRefusal> {
        match &order.action {
            RunAction::Preview(plan) => self.preview(order, plan),
            RunAction::Post { ledger_seq } => {
                let turn = self.turns + 1;
                let run = self.open(order.run, &[RunPhase::Posting, RunPhase::Posted])?;
                if run.phase == RunPhase::Previewed {
                    (run.phase, run.turn) = (RunPhase::Posting, turn);
                    run.ledger_seq = *ledger_seq;
                    run.posted_at = Some(order.at);
                    (run.by, run.reason) = (order.by.clone(), order.reason.clone());
                    self.turns = turn;
                }
                Ok(())
            }
            RunAction::Drop => {
                self.open(order.run, &[RunPhase::Dropped])?.phase = RunPhase::Dropped;
                Ok(())
            }
            RunAction::Done { calls, refused, ledger_seq } => {
                let run = self.find(order.run)?;
                if run.phase == RunPhase::Posting {
                    run.phase = RunPhase::Posted;
                    (run.posted, run.refused, run.done_seq) = (*calls, *refused, *ledger_seq);
                }
                Ok(())
            }
        }
    }

    fn preview(&mut self, order: &RunOrder, plan: &RunPlan) -> Result<(), RunRefusal> {
        if self.get(order.run).is_some() {
            return Ok(());
        }
        if let Some((run, agreement)) = self.in_the_way(&plan.agreements) {
            let by = run.previewed_by.clone();
            return Err(RunRefusal::OpenRun { run: run.id, by, agreement: agreement.clone() });
        }
        if self.runs.len() >= RUNS_MAX {
            return Err(RunRefusal::TooMany);
        }
        self.runs.push(Run {
            id: order.run,
            phase: RunPhase::Previewed,
            plan: plan.clone(),
            previewed_at: order.at,
            previewed_by: order.by.clone(),
            by: SmolStr::default(),
            reason: order.reason.clone(),
            posted_at: None,
            ledger_seq: 0,
            posted: 0,
            refused: 0,
            turn: 0,
            done_seq: 0,
        });
        Ok(())
    }

    fn find(&mut self, id: RunId) -> Result<&mut Run, RunRefusal> {
        self.runs.iter_mut().find(|run| run.id == id).ok_or(RunRefusal::Unknown(id))
    }

    /// The run, where it is previewed or in a phase that the order leads to anyway.
    fn open(&mut self, id: RunId, harmless: &[RunPhase]) -> Result<&mut Run, RunRefusal> {
        let run = self.find(id)?;
        if run.phase == RunPhase::Previewed || harmless.contains(&run.phase) {
            return Ok(run);
        }
        Err(RunRefusal::NotOpen { run: id, phase: run.phase.as_str() })
    }
}

/// `xdrs.SITE.run-`: what the names of all run streams of a site begin with.
pub fn run_stream_prefix(site: &str) -> SmolStr {
    format_smolstr!("xdrs.{site}.run-")
}

/// `xdrs.SITE.run-ID`: the stream of a run.
pub fn run_stream(site: &str, run: RunId) -> SmolStr {
    format_smolstr!("xdrs.{site}.run-{run}")
}

/// `runs.SITE`: the topic of orders.
pub fn runs_topic(site: &str) -> String {
    format!("runs.{site}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(run: u8, action: RunAction) -> RunOrder {
        RunOrder { run: RunId([run; 16]), at: OccurredAt(7), by: "ann".into(), reason: "late deck".into(), action }
    }

    fn preview(run: u8, agreements: &[&str]) -> RunOrder {
        let agreements = agreements.iter().map(|a| SmolStr::from(*a)).collect();
        order(run, RunAction::Preview(Box::new(RunPlan { agreements, ..RunPlan::default() })))
    }

    #[test]
    fn two_runs_never_hold_one_agreement_at_a_time() {
        let mut runs = Runs::default();
        runs.fold(&preview(1, &["a", "b"])).unwrap();
        let refused = runs.fold(&preview(2, &["b", "c"])).unwrap_err();
        assert!(refused.to_string().ends_with("of ann is open for agreement b; post it or drop it first"), "{refused}");
        runs.fold(&preview(3, &["c"])).unwrap();
        runs.fold(&order(1, RunAction::Post { ledger_seq: 5 })).unwrap();
        assert!(runs.fold(&preview(2, &["b"])).is_err(), "what is being posted is still open");
        runs.fold(&order(1, RunAction::Done { calls: 9, refused: 1, ledger_seq: 6 })).unwrap();
        runs.fold(&preview(2, &["b"])).unwrap();
        runs.fold(&order(2, RunAction::Drop)).unwrap();
        runs.fold(&preview(4, &["b"])).unwrap();
        assert_eq!(runs.all().len(), 4);
    }

    #[test]
    fn an_order_again_changes_nothing_and_a_dropped_run_is_not_posted() {
        let mut runs = Runs::default();
        let post = order(1, RunAction::Post { ledger_seq: 5 });
        assert_eq!(runs.fold(&post), Err(RunRefusal::Unknown(RunId([1; 16]))));
        for again in [preview(1, &["a"]), preview(1, &["a"]), post.clone(), post.clone()] {
            runs.fold(&again).unwrap();
        }
        runs.fold(&order(1, RunAction::Done { calls: 2, refused: 0, ledger_seq: 6 })).unwrap();
        runs.fold(&order(1, RunAction::Done { calls: 7, refused: 7, ledger_seq: 7 })).unwrap();
        runs.fold(&order(1, RunAction::Post { ledger_seq: 99 })).unwrap();
        let run = runs.get(RunId([1; 16])).unwrap();
        assert_eq!((run.phase, run.posted, run.refused, run.ledger_seq), (RunPhase::Posted, 2, 0, 5));
        assert_eq!((run.turn, run.done_seq, runs.posted().len()), (1, 6, 1));
        assert!(runs.fold(&order(1, RunAction::Drop)).is_err());
        runs.fold(&preview(2, &["a"])).unwrap();
        runs.fold(&order(2, RunAction::Drop)).unwrap();
        let error = runs.fold(&order(2, RunAction::Post { ledger_seq: 1 })).unwrap_err().to_string();
        assert!(error.ends_with("is dropped, not previewed"), "{error}");
        assert_eq!(runs.starting("0101").len(), 1);
    }
}
