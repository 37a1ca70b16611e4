//! Orders of people: payments, refunds, corrections, reversals, each answered when it is durable.

use accounting::{Applied, PayRefusal, pay};
use facts::entry::LedgerItem;
use facts::ids::{EntryId, OriginId};
use facts::{LedgerEntry, OccurredAt};
use smol_str::SmolStr;
use std::sync::mpsc::TryRecvError;

use super::Core;
use crate::api::{Order, Receipt};
use crate::error::LedgerError;
use crate::frames::ledger_item;
use crate::orders::{OrderError, Waiting};

impl Core<'_> {
    /// Takes the orders that wait; true when there were any.
    pub(super) fn orders(&mut self) -> Result<bool, LedgerError> {
        let mut taken = 0;
        while taken < self.options.orders_per_frame {
            let waiting = match self.early.take() {
                Some(waiting) => waiting,
                None => match self.inbox.orders.try_recv() {
                    Ok(waiting) => waiting,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                },
            };
            taken += 1;
            if !self.poster.has_room_for_order() {
                self.cut()?;
            }
            self.order(waiting)?;
        }
        if !self.poster.is_empty() {
            self.cut()?;
        }
        Ok(taken > 0)
    }

    pub(super) fn order(&mut self, waiting: Waiting) -> Result<(), LedgerError> {
        let Waiting { order, reply } = waiting;
        let entry = match &order {
            Order::Pay(payment) => {
                let config = (self.options.config)();
                pay::entry_for(payment, config.accounts.get(&payment.account))
            }
            Order::Reverse { origin_id, occurred_at, by, reason } => {
                self.reversal(*origin_id, *occurred_at, by, reason)?
            }
        };
        let booked = match entry {
            Err(refusal) => Err(refusal),
            Ok(entry) => {
                let mut fold = self.shared().fold();
                if self.poster.is_empty() {
                    self.certify(&mut fold)?;
                }
                let seq = self.seq();
                let booked = self.poster.order(&mut fold, seq, &entry)?;
                self.shown();
                booked.map(|(at, applied)| (entry, at, applied))
            }
        };
        match booked {
            Ok((entry, at, applied)) => {
                let receipt = Receipt {
                    entry_id: EntryId::new(&self.stream, entry.kind.as_str(), entry.origin_id),
                    origin_id: entry.origin_id,
                    stream: self.stream.clone(),
                    seq: at.seq,
                    index: at.index,
                    repeated: matches!(applied, Applied::Repeated(_)),
                };
                self.replies.push_back((at.seq, reply, receipt));
            }
            Err(refusal) => {
                let refusal = match (refusal, order) {
                    (PayRefusal::IdReused { origin, .. }, Order::Pay(payment)) => {
                        PayRefusal::IdReused { id: payment.id, origin }
                    }
                    (refusal, _) => refusal,
                };
                // Whoever asked may have gone; the refusal changes nothing.
                let _ = reply.try_send(Err(OrderError::Refused(refusal)));
            }
        }
        Ok(())
    }

    pub(super) fn reversal(
        &mut self,
        origin: OriginId,
        occurred_at: OccurredAt,
        by: &SmolStr,
        reason: &SmolStr,
    ) -> Result<Result<LedgerEntry, PayRefusal>, LedgerError> {
        let at = self.shared().fold().book.order(origin);
        let Some(at) = at else { return Ok(Err(PayRefusal::UnknownEntry(origin))) };
        if at.seq == self.seq() {
            self.cut()?;
        }
        let offset = self.offset_of(at.seq)?;
        let frame = self.frames.frame(at.seq, offset)?;
        match ledger_item(&self.stream, &frame, at.index as usize)? {
            LedgerItem::Entry(entry) => Ok(pay::reversal_of(&entry, occurred_at, by.clone(), reason.clone())),
            _ => Ok(Err(PayRefusal::UnknownEntry(origin))),
        }
    }
}
