//! Posts runs, one after the other in the order of their orders: writes a run's stream, waits until the ledger has
//! booked it, reports. Runs beside the ledger; killed at any moment, the next one goes on.

use super::RunsHub;
use super::orders::kept;
use crate::node::{ConfigHub, owner, wall_micros};
use bus::Bus;
use facts::OccurredAt;
use facts::run::{Run, RunAction, RunKind, RunOrder, RunPhase};
use ledger::{LedgerView, View};
use rater::runs::{RunError, Worker, post, tariffs_for};
use schemas::SchemaIds;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Between two looks for something to do, and before a run that failed is tried again.
const LOOK: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_secs(5);

/// What the worker needs of its process.
pub struct RunsWorker {
    pub hub: Arc<RunsHub>,
    pub view: Arc<View>,
    pub bus: Arc<dyn Bus>,
    pub ids: SchemaIds,
    pub config: Arc<ConfigHub>,
    /// The data folder: the times of streams are kept in it.
    pub data: PathBuf,
}

impl RunsWorker {
    /// Works until told to stop. A run that cannot be posted is tried again; why stands in the hub.
    pub fn work(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let done = match self.next() {
                Ok(Some(run)) => self.carry_out(&run, stop).map(|()| true),
                Ok(None) => Ok(false),
                Err(why) => Err(why),
            };
            self.hub.set_trouble(done.as_ref().err().cloned());
            match done {
                Ok(true) => {}
                Ok(false) => sleep(LOOK),
                Err(_) if stop.load(Ordering::Relaxed) => {}
                Err(why) => {
                    tracing::error!("{why}");
                    for _ in 0..AGAIN.as_millis() / LOOK.as_millis() {
                        if !stop.load(Ordering::Relaxed) {
                            sleep(LOOK);
                        }
                    }
                }
            }
        }
    }

    fn next(&self) -> Result<Option<Run>, String> {
        let runs = self.hub.now().map_err(|error| format!("orders of runs: {error}"))?;
        Ok(runs.posted().into_iter().find(|run| run.phase == RunPhase::Posting).cloned())
    }

    fn carry_out(&self, run: &Run, stop: &AtomicBool) -> Result<(), String> {
        let named = |error: &dyn std::fmt::Display| format!("run {}: {error}", run.id);
        let site = &self.hub.site;
        self.hub.done.store(0, Ordering::Relaxed);
        let (read, kept) = (AtomicU64::new(0), kept(&self.data));
        let done = &self.hub.done;
        let worker = Worker { bus: &self.bus, ids: &self.ids, site, stop, done, read: &read, kept: Some(&kept) };
        let posted = || {
            let priced = run.plan.kind != RunKind::Undo;
            let tariffs = priced.then(|| tariffs_for(&worker, &self.config.current(), &run.plan)).transpose()?;
            post(&worker, run, tariffs.as_deref(), &owner())
        };
        let (stream, end) = posted().map_err(|error: RunError| named(&error))?;
        while !self.view.wait_booked(&stream, end, Duration::from_secs(1)) {
            if stop.load(Ordering::Relaxed) {
                return Err(named(&"stopped"));
            }
        }
        bus::failpoint::pass("run.before-done");
        let outcome = self.view.run_outcome(&*self.bus, &self.ids, site, run).map_err(|error| named(&error))?;
        let ledger_seq = self.view.progress().state.seq();
        let action = RunAction::Done { calls: outcome.posted, refused: outcome.refused, ledger_seq };
        let at = OccurredAt(wall_micros());
        let order = RunOrder { run: run.id, at, by: owner().into(), reason: Default::default(), action };
        self.hub.write(&order).map_err(|error| named(&error))
    }
}
