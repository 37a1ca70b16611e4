//! A certificate in the stream because somebody asks for it: the root, and what the books come to, at one frame.

use accounting::views;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use super::{Answer, Core};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::orders::BooksNow;

impl BooksNow {
    /// What the fold has after frame `seq`.
    pub(crate) fn of(fold: &mut Fold, seq: u64) -> Result<Self, LedgerError> {
        let totals = views::trial_balance(&fold.book).ok_or(LedgerError::Range { what: "the trial balance" })?;
        Ok(Self { seq, root: fold.book.root(), entries: fold.book.counts().all_entries(), totals })
    }
}

impl Core<'_> {
    /// Puts a certificate in front of the next frame; the answer goes out when it is durable.
    pub(super) fn certify_now(&mut self, reply: SyncSender<BooksNow>) -> Result<(), LedgerError> {
        if !self.poster.is_empty() {
            self.cut()?;
        }
        let seq = self.seq();
        let mut fold = self.shared().fold();
        let books = BooksNow::of(&mut fold, seq - 1)?;
        self.poster.certify(&mut fold, seq)?;
        self.shown();
        drop(fold);
        self.certified = (Instant::now(), seq, books.entries);
        self.replies.push_back((self.behind(seq), Answer::Books(reply, books)));
        Ok(())
    }
}
