//! Reads a ledger that somebody else writes: the same view, no orders. For the command line, the console and other
//! roles where the ledger runs in another process.

use bus::Bus;
use bus::stream::StreamReader;
use schemas::SchemaIds;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::LedgerError;
use crate::fold::Fold;
use crate::shared::Shared;
use crate::snapshot::{Store, fits};
use crate::streams::ledger_source;
use crate::view::{ConfigNow, View};

/// A read-only fold of `ledger.SITE`.
pub struct Follower {
    reader: StreamReader,
    shared: Arc<Shared>,
    bus: Arc<dyn Bus>,
}

impl Follower {
    /// Opens the stream, from a snapshot below `data_dir` where there is one, and reads all that is durable now. The
    /// topic has to exist.
    pub fn open(
        bus: Arc<dyn Bus>,
        ids: &SchemaIds,
        site: &str,
        config: ConfigNow,
        data_dir: Option<&Path>,
    ) -> Result<(Self, Arc<View>), LedgerError> {
        let source = ledger_source(site);
        let newest = data_dir.and_then(|dir| Store::new(dir, &source.stream).newest());
        let (fold, reader) = match newest.filter(|snapshot| fits(snapshot, &bus, ids, &source)) {
            Some(x) => (x.fold, StreamReader::resume(&*bus, ids, x.state, x.next_offset)?),
            None => (Fold::new(source.stream.clone()), StreamReader::open(&*bus, ids, &source.topic)?),
        };
        let shared = Shared::new(source.stream.clone());
        *shared.fold() = fold;
        let mut this = Self { reader, shared: shared.clone(), bus: bus.clone() };
        this.catch_up()?;
        let state = this.reader.state().clone();
        shared.progress(|p| {
            p.built = state.seq();
            p.state = state;
            p.ready = true;
        });
        let view = View::new(shared, bus, ids.clone(), config);
        Ok((this, Arc::new(view)))
    }

    /// Folds what is durable now.
    pub fn catch_up(&mut self) -> Result<(), LedgerError> {
        let end = self.bus.end(self.reader.state().stream(), 0)?;
        while self.reader.offset() < end {
            self.poll(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Folds what is new, waiting up to `timeout` for it.
    pub fn poll(&mut self, timeout: Duration) -> Result<(), LedgerError> {
        let shared = &self.shared;
        self.reader.poll(timeout, &mut |accepted| {
            let mut fold = shared.fold();
            fold.frame(accepted.frame, accepted.offset)?;
            shared.progress(|p| {
                p.built = accepted.state.seq();
                p.note(accepted.frame);
                p.state.clone_from(accepted.state);
            });
            Ok::<(), LedgerError>(())
        })?;
        Ok(())
    }

    /// Follows until told to stop. What is broken stays on show as `trouble`; a log that is away is waited for.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), LedgerError> {
        while !stop.load(Ordering::Relaxed) {
            match self.poll(Duration::from_millis(200)) {
                Ok(()) => self.shared.progress(|p| p.trouble = None),
                Err(error) if error.is_stop() => return Ok(()),
                Err(error) => {
                    self.shared.progress(|p| p.trouble = Some(error.to_string()));
                    if !error.is_retriable() {
                        return Err(error);
                    }
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
        }
        Ok(())
    }
}
