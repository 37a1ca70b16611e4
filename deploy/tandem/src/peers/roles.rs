//! Roles that follow other sites' streams, from the copies on the local bus.

use super::{Other, ensure_topics, partitions};
use crate::node::{Starter, xdrs_stream};
use crate::output::Failure;
use crate::past::Slot;
use crate::runs::{LoaderRuns, RunsHub};
use ledger::Follower;
use reporting::Engine;
use reporting::loader::{Books, BusFrames, Loader};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks for streams that have not come yet.
const LOOK: Duration = Duration::from_millis(200);

impl Starter<'_> {
    /// Follows the books of every peer.
    pub(crate) fn others(&mut self) -> Result<Vec<Arc<Other>>, Failure> {
        let mut all = Vec::new();
        for peer in &self.settings.peers {
            let name = peer.name.clone();
            ensure_topics(&**self.bus, &name)?;
            // Where this process writes a ledger, its snapshots hold the copies too.
            let kept = self.settings.data.join("ledger");
            let opened = Follower::open(self.bus.clone(), self.ids, &name, self.config_now(), Some(&kept));
            let (mut follower, view) = opened.map_err(Failure::broken)?;
            self.spawn(&format!("ledger-follower {name}"), move |stop| follower.run(stop).map_err(|e| e.to_string()))?;
            let runs = Arc::new(RunsHub::open(self.bus.clone(), self.ids, &name)?);
            let loading = Mutex::new(None);
            let past = Slot::new(self.bus.clone(), self.ids.clone(), view.clone(), self.settings.data.clone());
            all.push(Arc::new(Other { name, number: peer.number, view, past, runs, loading }));
        }
        Ok(all)
    }

    /// Loads the rated calls of a peer into this site's reports, as soon as its streams have come.
    pub(crate) fn other_loader(&mut self, engine: &Engine, other: &Arc<Other>) -> Result<(), Failure> {
        let folder = self.settings.data.join("loader");
        let mut loader = Loader::open(engine, &other.name, &folder).map_err(Failure::broken)?;
        let (bus, ids, other) = (self.bus.clone(), self.ids.clone(), other.clone());
        self.spawn(&format!("loader {}", other.name.clone()), move |stop| {
            let count = loop {
                match partitions(&*bus, &other.name) {
                    Ok(0) | Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
                    Ok(0) => std::thread::sleep(LOOK),
                    Ok(count) => break count,
                    Err(Failure::Broken(why) | Failure::Usage(why)) => return Err(why),
                }
            };
            for partition in 0..count as usize {
                let stream = xdrs_stream(&other.name, partition);
                let frames = BusFrames::new(bus.clone(), ids.clone(), &stream);
                loader.add(&stream, Box::new(frames)).map_err(|error| error.to_string())?;
            }
            let books = Books::new(bus.clone(), ids.clone(), &other.name);
            loader.follow_books(books).map_err(|error| error.to_string())?;
            loader.follow(Box::new(LoaderRuns { hub: other.runs.clone(), view: other.view.clone(), ids }));
            *other.loading.lock().unwrap_or_else(PoisonError::into_inner) = Some(loader.status());
            let booked = |stream: &str| Some(other.view.progress().state.next_position(stream));
            loader.run(&booked, stop);
            Ok(())
        })
    }
}
