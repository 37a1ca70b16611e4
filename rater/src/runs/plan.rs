//! What a plan fixes: the inputs, and the tariffs that it prices by.

use bus::config_log::ConfigFollower;
use facts::config::Config;
use facts::run::{RunInput, RunPhase, RunPlan, Runs, run_stream};
use facts::stream::Consumed;
use facts::xdr::Position;
use rating::Tariffs;
use std::sync::Arc;

use super::{RunError, Worker};
use crate::tariffs::{DeckCache, tariffs_of};

/// Everything that is booked now, in whole frames: the raters' streams in the order of their partitions, then the runs
/// that are done, in the order of their posts.
pub fn inputs(site: &str, partitions: u32, runs: &Runs, consumed: &[Consumed]) -> Vec<RunInput> {
    let booked = |wanted: &str| {
        consumed.iter().find_map(|one| match one {
            // A frame of which only a part is booked counts as not there.
            Consumed::Stream { stream, next } if stream == wanted => Some(Position { seq: next.seq, index: 0 }),
            _ => None,
        })
    };
    let raters = (0..partitions).map(|partition| format!("xdrs.{site}.{partition}").into());
    let done = runs.posted().into_iter().filter(|run| run.phase == RunPhase::Posted);
    let streams = raters.chain(done.map(|run| run_stream(site, run.id)));
    streams.filter_map(|stream| booked(&stream).map(|to| RunInput { stream, to })).collect()
}

/// The tariffs of a plan: those of its configuration, with the deck version that it asks for as the newest. `current`
/// is the configuration in force, which need not be read again.
pub fn tariffs_for(worker: &Worker<'_>, current: &Arc<Config>, plan: &RunPlan) -> Result<Arc<Tariffs>, RunError> {
    let chosen = &plan.selection;
    if plan.config_seq == current.seq && chosen.deck_version.is_none() {
        return whole(tariffs_of(current));
    }
    let mut config = if plan.config_seq == current.seq {
        Config::clone(current)
    } else {
        Config::clone(&ConfigFollower::open_until(&**worker.bus, worker.ids, plan.config_seq)?.current())
    };
    if config.seq != plan.config_seq {
        return Err(RunError::NoConfig(plan.config_seq));
    }
    if let Some(version) = chosen.deck_version {
        let versions = config.decks.entry(chosen.deck.clone()).or_default();
        versions.retain(|root| root.version == version);
        if versions.is_empty() {
            return Err(RunError::NoDeckVersion { deck: chosen.deck.clone(), version, seq: plan.config_seq });
        }
    }
    whole(DeckCache::default().tariffs(&Arc::new(config)))
}

/// A deck that cannot be read must not take the price of every call that it priced.
fn whole(tariffs: Arc<Tariffs>) -> Result<Arc<Tariffs>, RunError> {
    match tariffs.problems().first() {
        Some(problem) => Err(RunError::Tariffs { seq: tariffs.seq, problem: problem.clone() }),
        None => Ok(tariffs),
    }
}
