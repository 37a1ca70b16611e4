//! Orders of people: payments, refunds, corrections, reversals, each answered when it is durable.

use accounting::{Applied, PayRefusal, limits, pay, rights, scopes};
use facts::entry::LedgerItem;
use facts::ids::{EntryId, OriginId};
use facts::xdr::Position;
use facts::{LedgerEntry, OccurredAt};
use smol_str::SmolStr;
use std::sync::mpsc::TryRecvError;

use super::{Answer, Core};
use crate::api::{Order, Receipt};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::frames::ledger_item;
use crate::orders::{OrderError, Reply, Waiting};

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
            match waiting {
                Waiting::Order { order, reply } => self.order(order, reply)?,
                Waiting::Credit { ask, reply } => self.credit(ask, reply)?,
                Waiting::Certify { reply } => self.certify_now(reply)?,
            }
        }
        if !self.poster.is_empty() {
            self.cut()?;
        }
        Ok(taken > 0)
    }

    pub(super) fn ordered(&mut self, order: Order, reply: Reply) -> Result<(), LedgerError> {
        let id = order.id().clone();
        let booked = match order {
            Order::Pay(payment) => {
                let config = (self.options.config)();
                self.book_entry(pay::entry_for(&payment, config.accounts.get(&payment.account)))?
            }
            Order::Reverse { origin_id, occurred_at, by, reason } => {
                let entry = self.reversal(origin_id, occurred_at, &by, &reason)?;
                self.book_entry(entry)?
            }
            Order::Grant(order) => {
                let config = (self.options.config)();
                match limits::grant(&order, config.accounts.get(&order.account)) {
                    Ok(grant) => {
                        let (origin, content) = (grant.origin_id, limits::content_of_grant(&grant));
                        self.book_terms((origin, content), "grant", &LedgerItem::Grant(Box::new(grant)))?
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Order::Give(order) => {
                let config = (self.options.config)();
                match limits::give(&order, config.accounts.get(&order.account)) {
                    Ok(give) => {
                        let (origin, content) = (give.origin_id, rights::content_of_give(&give));
                        self.book_terms((origin, content), "give", &LedgerItem::Give(Box::new(give)))?
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Order::ScopeCaps(order) => match scopes::scope_caps(&order, &(self.options.config)()) {
                Ok(caps) => {
                    let (origin, content) = (caps.origin_id, scopes::content_of_scope_caps(&caps));
                    self.book_terms((origin, content), "caps", &LedgerItem::ScopeCaps(Box::new(caps)))?
                }
                Err(refusal) => Err(refusal),
            },
            Order::Caps(order) => {
                let config = (self.options.config)();
                match limits::caps(&order, config.accounts.get(&order.account)) {
                    Ok(caps) => {
                        let (origin, content) = (caps.origin_id, limits::content_of_caps(&caps));
                        self.book_terms((origin, content), "caps", &LedgerItem::Caps(Box::new(caps)))?
                    }
                    Err(refusal) => Err(refusal),
                }
            }
        };
        match booked {
            Ok(receipt) => {
                // What another site has booked stands in its log already.
                let seq = if receipt.stream == self.stream { receipt.seq } else { 0 };
                self.replies.push_back((self.behind(seq), Answer::Receipt(reply, receipt)));
            }
            Err(refusal) => {
                let refusal = match refusal {
                    PayRefusal::IdReused { origin, .. } if !id.is_empty() => PayRefusal::IdReused { id, origin },
                    refusal => refusal,
                };
                // Whoever asked may have gone; the refusal changes nothing.
                let _ = reply.try_send(Err(OrderError::Refused(refusal)));
            }
        }
        Ok(())
    }

    /// Answers go out in the order of their frames: what stands in an earlier one waits for those before it.
    pub(super) fn behind(&self, seq: u64) -> u64 {
        self.replies.back().map_or(seq, |(last, _)| seq.max(*last))
    }

    fn book_entry(
        &mut self,
        entry: Result<LedgerEntry, PayRefusal>,
    ) -> Result<Result<Receipt, PayRefusal>, LedgerError> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut fold = self.shared().fold();
        if let Some(known) = known_elsewhere(&fold, &entry) {
            return Ok(known);
        }
        if self.poster.is_empty() {
            self.certify(&mut fold)?;
        }
        let seq = self.seq();
        let booked = self.poster.order(&mut fold, seq, &entry)?;
        self.shown();
        Ok(booked.map(|booked| self.receipt(entry.kind.as_str(), entry.origin_id, booked)))
    }

    fn book_terms(
        &mut self,
        key: (OriginId, [u8; 16]),
        kind: &str,
        item: &LedgerItem,
    ) -> Result<Result<Receipt, PayRefusal>, LedgerError> {
        let mut fold = self.shared().fold();
        if self.poster.is_empty() {
            self.certify(&mut fold)?;
        }
        let seq = self.seq();
        let booked = self.poster.terms(&mut fold, seq, key, item)?;
        self.shown();
        Ok(booked.map(|booked| self.receipt(kind, key.0, booked)))
    }

    fn receipt(&self, kind: &str, origin_id: OriginId, (at, applied): (Position, Applied)) -> Receipt {
        Receipt {
            entry_id: EntryId::new(&self.stream, kind, origin_id),
            origin_id,
            stream: self.stream.clone(),
            seq: at.seq,
            index: at.index,
            repeated: matches!(applied, Applied::Repeated(_)),
        }
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

/// Another site has booked this order, as far as its ledger is folded here: its place, or that the content differs. What
/// is not known yet is settled when the sites meet.
fn known_elsewhere(fold: &Fold, entry: &LedgerEntry) -> Option<Result<Receipt, PayRefusal>> {
    let origin = entry.origin_id;
    if fold.book.order(origin).is_some() {
        return None;
    }
    let reversed = pay::origin_of_reversal(origin);
    let other = fold
        .others
        .values()
        .find(|other| other.book.order(origin).is_some() && other.book.order(reversed).is_none())?;
    let stream = other.stream().clone();
    Some(match other.book.known_order(entry)? {
        Ok(at) => Ok(Receipt {
            entry_id: EntryId::new(&stream, entry.kind.as_str(), origin),
            origin_id: origin,
            stream,
            seq: at.seq,
            index: at.index,
            repeated: true,
        }),
        Err(_) => Err(PayRefusal::IdReused { id: SmolStr::default(), origin }),
    })
}
