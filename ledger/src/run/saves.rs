//! Snapshots: taken between two frames, written beside the ledger's thread.

use bus::stream::StreamReader;
use facts::stream::StreamState;
use std::time::Instant;

use super::Core;
use crate::error::LedgerError;
use crate::snapshot;

impl Core<'_> {
    /// Snapshot at a quiet moment; another thread writes it.
    pub(super) fn snapshot(&mut self, xdrs: &[StreamReader]) -> Result<(), LedgerError> {
        let busy = self.writing.as_ref().is_some_and(|thread| !thread.is_finished());
        if busy || self.own.state().seq() < self.writer.state().seq() {
            return Ok(());
        }
        self.snapshot_at = Instant::now();
        let (bytes, seq, store) = (self.snapshot_bytes(xdrs)?, self.own.state().seq(), self.store.clone());
        let thread = std::thread::Builder::new().name("ledger-snapshot".into()).spawn(move || {
            // A snapshot is a cache: without it the next start reads more of the log.
            if let Err(error) = store.write(seq, &bytes) {
                tracing::warn!(%error, "snapshot was not written");
            }
        });
        match thread {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread for the snapshot"),
        }
        Ok(())
    }

    pub(super) fn snapshot_now(&mut self, xdrs: &[StreamReader]) -> Result<(), LedgerError> {
        if let Some(thread) = self.writing.take() {
            // Its own error is logged by itself.
            let _ = thread.join();
        }
        if self.own.state().seq() < self.writer.state().seq() {
            return Ok(());
        }
        let bytes = self.snapshot_bytes(xdrs)?;
        if let Err(error) = self.store.write(self.own.state().seq(), &bytes) {
            tracing::warn!(%error, "snapshot was not written");
        }
        Ok(())
    }

    pub(super) fn snapshot_bytes(&self, xdrs: &[StreamReader]) -> Result<Vec<u8>, LedgerError> {
        let inputs: Vec<(StreamState, u64)> =
            xdrs.iter().map(|reader| (reader.state().clone(), reader.offset())).collect();
        snapshot::encode(&mut self.shared().fold(), self.own.state(), self.own.offset(), &inputs)
    }
}
