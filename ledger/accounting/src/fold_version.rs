//! Versions of the fold: by which rules frames become a state root. Frames name theirs, and a book goes from one version
//! to a later one between two frames, never back (design 8.10).
//!
//! Releases run [`FOLD_VERSION`]. [`TRIAL_FOLD`] is the one after it, by which the switch from version to version is
//! tried: the books are the same, the state root is another one, and it depends on where the switch was made.

use crate::book::Book;
use crate::{FOLD_VERSION, TRIAL_FOLD};

/// What a book that was switched keeps of the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    /// State root by the version before.
    pub root: [u8; 32],
    pub entries: u64,
}

/// By which version a book is folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FoldedBy {
    pub version: u32,
    pub cut: Option<Cut>,
}

impl Default for FoldedBy {
    fn default() -> Self {
        Self { version: FOLD_VERSION, cut: None }
    }
}

/// A frame that this book cannot go on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FoldVersionError {
    #[error("fold version {found}; the rules here are those of 1 to {TRIAL_FOLD}")]
    Unknown { found: u32 },
    #[error("fold version {found} behind frames of version {before}, which only rises")]
    Falls { found: u32, before: u32 },
}

impl Book {
    /// The version that the next frame is folded by.
    pub fn fold_version(&self) -> u32 {
        self.folded_by.version
    }

    /// Goes on by this version, which the next frame names. The same again changes nothing.
    pub fn begin(&mut self, version: u32) -> Result<(), FoldVersionError> {
        let before = self.folded_by.version;
        if version < before {
            return Err(FoldVersionError::Falls { found: version, before });
        }
        if version > TRIAL_FOLD {
            return Err(FoldVersionError::Unknown { found: version });
        }
        if version > before {
            let cut = Cut { root: self.root(), entries: self.counts.all_entries() };
            self.folded_by = FoldedBy { version, cut: Some(cut) };
        }
        Ok(())
    }

    /// The root by this book's version, from the one over balances, holds and rights.
    pub(crate) fn versioned(&self, root: [u8; 32]) -> [u8; 32] {
        let Some(cut) = self.folded_by.cut else { return root };
        let mut all = blake3::Hasher::new();
        all.update(b"tandem.state.trial").update(&cut.root).update(&cut.entries.to_le_bytes());
        all.update(&self.counts.all_entries().to_le_bytes()).update(&root);
        *all.finalize().as_bytes()
    }
}
