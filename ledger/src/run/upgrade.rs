//! From one fold version to the next, between two frames, where the configuration says so. One state, two roots: the last
//! frame of the old version certifies it by the old rules, the first of the new one by the new.

use super::{Core, wall_micros};
use crate::error::LedgerError;
use crate::folds;

impl Core<'_> {
    /// Goes on by the version that is ordered for now; an error where a version is ordered that this program does not
    /// know.
    pub(super) fn fold_turn(&mut self) -> Result<(), LedgerError> {
        let config = (self.options.config)();
        let ordered = folds::ordered(&config, wall_micros())?;
        let before = self.fold_version;
        if ordered <= before {
            return Ok(());
        }
        if !self.poster.is_empty() {
            self.cut()?;
        }
        self.certificate()?;
        let seq = self.seq();
        self.shared().fold().begin(seq, ordered)?;
        self.fold_version = ordered;
        self.fold_from = config.fold_versions.get(&ordered).map_or(0, |from| from.0);
        self.certificate()?;
        tracing::info!(stream = %self.stream, seq, before, version = ordered, "the ledger is folded by another version");
        Ok(())
    }

    /// A frame with nothing but the state root.
    fn certificate(&mut self) -> Result<(), LedgerError> {
        let seq = self.seq();
        let mut fold = self.shared().fold();
        self.poster.certify(&mut fold, seq)?;
        self.shown();
        drop(fold);
        self.cut()
    }
}
