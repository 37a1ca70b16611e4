//! Snapshots: taken between two frames, written beside the ledger's thread. With peers, also of what their copies come to:
//! each belongs to the snapshot of this ledger that names it, and counts only together with it.

use bus::stream::StreamReader;
use facts::stream::StreamState;
use std::time::Instant;

use super::Core;
use crate::error::LedgerError;
use crate::snapshot::{self, Store};

impl Core<'_> {
    /// Snapshot at a quiet moment; another thread writes it.
    pub(super) fn snapshot(&mut self, xdrs: &[StreamReader]) -> Result<(), LedgerError> {
        let busy = self.writing.as_ref().is_some_and(|thread| !thread.is_finished());
        if busy || self.own.state().seq() < self.writer.state().seq() {
            return Ok(());
        }
        self.snapshot_at = Instant::now();
        let files = self.snapshot_files(xdrs)?;
        let thread = std::thread::Builder::new().name("ledger-snapshot".into()).spawn(move || {
            write(files);
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
        write(self.snapshot_files(xdrs)?);
        Ok(())
    }

    /// What is to be written: the copies of other sites first, this ledger last, for it names them.
    pub(super) fn snapshot_files(&self, xdrs: &[StreamReader]) -> Result<Vec<SnapshotFile>, LedgerError> {
        let mut inputs: Vec<(StreamState, u64)> =
            xdrs.iter().map(|reader| (reader.state().clone(), reader.offset())).collect();
        let (mut files, mut notes) = (Vec::new(), Vec::new());
        let mut fold = self.shared().fold();
        if let Some(sites) = &self.sites {
            for (number, state, offset) in sites.folded_peers() {
                let store = Store::new(&self.options.data_dir, state.stream());
                let Some(other) = fold.others.get_mut(&number) else { continue };
                if !store.has(state.seq()) {
                    let bytes = snapshot::encode(other, state, offset, &[], &[])?;
                    files.push((store, state.seq(), bytes));
                }
                inputs.push((state.clone(), offset));
            }
            notes = sites.notes();
        }
        let bytes = snapshot::encode(&mut fold, self.own.state(), self.own.offset(), &inputs, &notes)?;
        files.push((self.store.clone(), self.own.state().seq(), bytes));
        Ok(files)
    }
}

/// Where a snapshot goes, the last frame that it has, and its bytes.
pub(super) type SnapshotFile = (Store, u64, Vec<u8>);

/// A snapshot is a cache: without it the next start reads more of the log.
fn write(files: Vec<SnapshotFile>) {
    for (store, seq, bytes) in files {
        if let Err(error) = store.write(seq, &bytes) {
            tracing::warn!(%error, "snapshot was not written");
            // One that names what is not there would be of no use either.
            return;
        }
    }
}
