//! The ledger's state in memory: book, history of accounts, where its frames stand. The same for whoever writes the
//! stream and whoever only reads it.

use accounting::overruns::Overruns;
use accounting::{Applied, Book, BookError, FoldVersionError, History};
use facts::LedgerEntry;
use facts::entry::LedgerItem;
use facts::xdr::Position;
use schemas::FrameView;
use smol_str::SmolStr;
use std::collections::BTreeMap;

use crate::error::LedgerError;

/// Book, history and frame offsets of one ledger stream.
#[derive(Clone, Debug)]
pub struct Fold {
    stream: SmolStr,
    pub book: Book,
    pub history: History,
    /// Offset in the topic of frame n+1.
    pub offsets: Vec<u64>,
    /// The ledgers of other sites as far as they are folded here, by their numbers. Theirs have no others.
    pub others: BTreeMap<u16, Fold>,
    /// Calls that cost more than was held for them, where somebody tells of them.
    pub overruns: Option<Box<Overruns>>,
}

impl Fold {
    pub fn new(stream: SmolStr) -> Self {
        let (book, history, offsets, others) = Default::default();
        Self { stream, book, history, offsets, others, overruns: None }
    }

    pub fn stream(&self) -> &SmolStr {
        &self.stream
    }

    /// Folds an accepted frame that stands at `offset`.
    pub fn frame(&mut self, frame: &FrameView<'_>, offset: u64) -> Result<(), LedgerError> {
        self.frame_with(frame, offset, |_, _| {})
    }

    /// The same, and shows each item before it is folded.
    pub fn frame_with(
        &mut self,
        frame: &FrameView<'_>,
        offset: u64,
        mut each: impl FnMut(&Self, &LedgerItem),
    ) -> Result<(), LedgerError> {
        let seq = frame.header.seq;
        let failed = |error| LedgerError::Frame { stream: self.stream.clone(), seq, error };
        schemas::ledger::expect_items(frame).map_err(failed)?;
        self.begin(seq, frame.header.fold_version)?;
        for index in 0..frame.len() {
            let at = Position { seq, index: index as u32 };
            let item = schemas::ledger::item(frame, index).map_err(|error| LedgerError::Item {
                stream: self.stream.clone(),
                at,
                error,
            })?;
            each(self, &item);
            self.item(at, &item)?;
        }
        self.durable(seq, offset);
        Ok(())
    }

    /// Goes on by the version that frame `seq` names.
    pub fn begin(&mut self, seq: u64, found: u32) -> Result<(), LedgerError> {
        let (stream, newest) = (self.stream.clone(), crate::folds::newest());
        if found > newest {
            return Err(LedgerError::FoldVersion { stream, seq, found, newest });
        }
        self.book.begin(found).map_err(|error| match error {
            FoldVersionError::Unknown { found } => LedgerError::FoldVersion { stream, seq, found, newest },
            error => LedgerError::FoldFalls { stream, seq, error },
        })
    }

    /// Notes where a frame stands.
    pub fn durable(&mut self, seq: u64, offset: u64) {
        let place = usize::try_from(seq).unwrap_or(usize::MAX);
        if place == self.offsets.len() + 1 {
            self.offsets.push(offset);
        }
    }

    /// Folds one item.
    pub fn item(&mut self, at: Position, item: &LedgerItem) -> Result<(), LedgerError> {
        let failed = |stream: &SmolStr, error| LedgerError::book(stream, at, error);
        if let (Some(overruns), LedgerItem::Release(release)) = (&mut self.overruns, item) {
            overruns.release(self.book.holds(), at.seq, release);
        }
        match item {
            LedgerItem::Entry(entry) => drop(self.entry(at, entry).map_err(|e| failed(&self.stream, e))?),
            other => drop(self.book.apply(at, other).map_err(|e| failed(&self.stream, e))?),
        }
        Ok(())
    }

    /// Folds one entry.
    pub fn entry(&mut self, at: Position, entry: &LedgerEntry) -> Result<Applied, BookError> {
        let applied = self.book.apply_entry(at, entry)?;
        if applied == Applied::Counted {
            self.history.note(at, entry);
            if let Some(overruns) = &mut self.overruns {
                overruns.entry(at.seq, entry);
            }
        }
        Ok(applied)
    }

    /// Offset of a durable frame.
    pub fn offset_of(&self, seq: u64) -> Option<u64> {
        let place = usize::try_from(seq).ok()?.checked_sub(1)?;
        self.offsets.get(place).copied()
    }
}
