//! When the index is written: after a frame that closes with everything consumed, once that frame is confirmed. Rating
//! waits for it only where memory has reached its bound.

use super::{Rater, RaterError};
use crate::index::{Checkpoint, IndexError};
use facts::time::ObservedAt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

impl Rater<'_> {
    /// Moves the index on: `confirmed` is the last frame that was read back as accepted.
    pub(super) fn write_index(&mut self, confirmed: u64) -> Result<(), RaterError> {
        let Some(store) = &mut self.it.store else { return Ok(()) };
        match store.turn(confirmed, &mut self.it.places, &mut self.it.keys) {
            Ok(()) if self.unwritten && !store.is_busy() => {
                self.unwritten = false;
                self.stats.set_trouble(None);
            }
            Ok(()) => {}
            Err(error @ IndexError::Io { .. }) => {
                // Rating goes on as long as memory has room; the writer tries again by itself.
                tracing::error!(partition = self.options.partition, "rater: {error}");
                self.stats.set_trouble(Some(error.to_string()));
                self.unwritten = true;
            }
            Err(error) => return Err(error.into()),
        }
        if store.is_due(&self.it.places, &self.it.keys, self.it.writer.state().seq()) {
            self.freeze_index()?;
        }
        Ok(())
    }

    fn freeze_index(&mut self) -> Result<(), RaterError> {
        if !self.builder.is_empty() || self.it.to != self.from || self.it.assembler.imports.changed() > 0 {
            self.close_frame()?;
        }
        // Where the checkpoint's frame stands must be known: a restart looks there to see that the log is the same.
        self.it.writer.settle()?;
        let state = self.it.writer.state().clone();
        if self.it.assembler.imports.changed() > 0 || state.seq() == 0 {
            return Ok(()); // Counts that found no room are in the next frame.
        }
        self.it.assembler.retire_nodes();
        let floor = self.it.assembler.floor(self.it.to);
        self.it.passed = self.it.passed.split_off(&floor);
        let checkpoint = Checkpoint {
            offset: self.it.writer.read_back_to(),
            state: Some(state),
            places: self.it.writer.places().clone(),
            booked_at: self.it.writer.booked_at(),
            floor: Some(floor),
            clock: self.it.assembler.clock().map(ObservedAt::micros),
            passed: self.it.passed.iter().copied().collect(),
            marks: Some((self.state(), self.it.to)),
            counts: self.it.assembler.imports.all(),
        };
        if let Some(store) = &mut self.it.store {
            store.freeze(&mut self.it.places, &mut self.it.keys, checkpoint);
        }
        Ok(())
    }

    /// Takes nothing more while memory is at its bound and the files are not written.
    pub(super) fn await_index(&mut self, stop: &AtomicBool) -> Result<(), RaterError> {
        let full = |this: &Self| {
            let store = this.it.store.as_ref();
            store.is_some_and(|store| store.is_full(&this.it.places, &this.it.keys))
        };
        while full(self) && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            self.it.writer.collect()?;
            let confirmed = self.it.writer.confirm()?;
            self.write_index(confirmed)?;
        }
        Ok(())
    }
}
