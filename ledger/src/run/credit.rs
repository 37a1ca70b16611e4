//! Questions about calls: each decided against the fold as it is, set aside in the frame under construction, and answered
//! when that frame has been read back as accepted (design 7.2). Holds of calls that cannot be going on any more end here.

use accounting::authorise::{self, Granted, Refusal};
use accounting::{attempts, scopes};
use facts::OccurredAt;
use facts::entry::{Hold, LedgerItem, Release, ReleaseWhy};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

use super::{Answer, Core, wall_micros};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::orders::{CreditAnswer, CreditAsk, CreditError, CreditReply};

/// Between two looks for holds whose end has come.
const EXPIRE_EVERY: Duration = Duration::from_millis(200);
/// Holds that end in one look; the rest in the next.
const EXPIRE_MAX: usize = 1_000;

/// What was decided: an item to write, if any, and the answer.
type Decided = Result<(SmallVec<[LedgerItem; 2]>, CreditAnswer), Refusal>;

impl Core<'_> {
    pub(super) fn decided(&mut self, ask: CreditAsk, reply: CreditReply) -> Result<(), LedgerError> {
        let now = OccurredAt(wall_micros());
        if let Some(refusal) = self.closed(&ask) {
            // Whoever asked may have gone; a refusal changes nothing.
            drop(reply.send(Err(CreditError::Refused(refusal))));
            return Ok(());
        }
        self.welcome(&ask)?;
        let mut fold = self.shared().fold();
        match self.decide(&fold, ask, now) {
            Ok((items, answer)) => {
                for item in items {
                    if self.poster.is_empty() {
                        self.certify(&mut fold)?;
                    }
                    let seq = self.seq();
                    self.poster.memo(&mut fold, seq, &item)?;
                    self.shown();
                }
                // What was decided before may still be on its way to the log: nothing is confirmed before it is there.
                let seq = if self.poster.is_empty() { self.seq() - 1 } else { self.seq() };
                self.replies.push_back((self.behind(seq), Answer::Credit(reply, answer)));
            }
            // Whoever asked may have gone; a refusal changes nothing.
            Err(refusal) => drop(reply.send(Err(CreditError::Refused(refusal)))),
        }
        Ok(())
    }

    fn decide(&mut self, fold: &Fold, ask: CreditAsk, now: OccurredAt) -> Decided {
        let config = (self.options.config)();
        let book = &fold.book;
        match ask {
            CreditAsk::Authorise(mut wish) => {
                wish.at = now;
                // Charged at another site, as far as that is folded here: over.
                if fold.others.values().any(|other| other.book.knows(wish.call_id)) {
                    return Err(Refusal::Ended);
                }
                let granted = authorise::authorise(book, &config, &mut self.pace, &wish)?;
                let counted = granted.item.as_ref().and_then(|hold| scopes::counted(book, &wish, hold));
                let (mut items, answer) = held(granted, |hold| LedgerItem::Hold(Box::new(hold)));
                items.extend(counted.map(|counted| LedgerItem::Counted(Box::new(counted))));
                Ok((items, answer))
            }
            CreditAsk::Attempt(mut wish) => {
                wish.at = now;
                Ok(held(attempts::attempt(book, &config, &wish)?, |hold| LedgerItem::Hold(Box::new(hold))))
            }
            CreditAsk::Extend { hold_id, held: seconds } => {
                let granted = authorise::extend(book, &config, hold_id, seconds, now)?;
                Ok(held(granted, |extend| LedgerItem::Extend(Box::new(extend))))
            }
            CreditAsk::Release { hold_id } => {
                let item = authorise::release(book, hold_id, now)?.map(LedgerItem::Release);
                let repeated = item.is_none();
                Ok((item.into_iter().collect(), CreditAnswer::Released { repeated }))
            }
        }
    }

    /// Ends holds whose calls cannot be going on, whatever was lost.
    pub(super) fn expire(&mut self) -> Result<(), LedgerError> {
        if self.expired_at.elapsed() < EXPIRE_EVERY {
            return Ok(());
        }
        self.expired_at = Instant::now();
        let now = OccurredAt(wall_micros());
        for _ in 0..EXPIRE_MAX {
            if !self.poster.has_room_for_order() {
                self.cut()?;
            }
            let mut fold = self.shared().fold();
            let Some(hold_id) = fold.book.holds().due(now.0) else { break };
            tracing::warn!(%hold_id, "a hold has expired: the end of its call was never told");
            let seq = self.seq();
            self.poster.memo(
                &mut fold,
                seq,
                &LedgerItem::Release(Release { hold_id, at: now, why: ReleaseWhy::Expired }),
            )?;
            self.shown();
        }
        if self.poster.is_empty() { Ok(()) } else { self.cut() }
    }
}

fn held<T>(granted: Granted<T>, item: impl FnOnce(T) -> LedgerItem) -> (SmallVec<[LedgerItem; 2]>, CreditAnswer) {
    let Granted { item: new, hold, allowed } = granted;
    let hold: Box<Hold> = Box::new(hold);
    let answer = CreditAnswer::Held { hold, allowed, repeated: new.is_none() };
    (new.map(item).into_iter().collect(), answer)
}
