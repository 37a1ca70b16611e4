//! Entries that people make: payments, refunds, corrections, reversals. Each carries an id of its own (the same id
//! again is the same entry), who did it and why.

use crate::current::Postings;
use facts::config::Account;
use facts::entry::{EntryKind, Gl, Posting};
use facts::ids::{OriginId, hash};
use facts::xdr::Side;
use facts::{Amount, Currency, LedgerEntry, OccurredAt};
use serde::{Deserialize, Serialize};
use smallvec::smallvec;
use smol_str::SmolStr;

/// A person's order to book money.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// Chosen by whoever asks (bank reference, request key); the same id again books nothing again.
    pub id: SmolStr,
    /// `payment`, `refund` or `correction`.
    pub kind: EntryKind,
    pub account: SmolStr,
    /// `sell` (default): the account as our customer; `buy`: as our vendor.
    #[serde(default)]
    pub side: Side,
    /// Payments and refunds: above zero. Corrections: what is owed more (sell: to us, buy: by us), or less if negative.
    pub amount: Amount,
    pub currency: Currency,
    /// When the money moved.
    pub occurred_at: OccurredAt,
    /// Who.
    pub by: SmolStr,
    /// Why; payments may leave it empty.
    #[serde(default)]
    pub reason: SmolStr,
    /// Corrections: the entry that is adjusted, if it is one.
    #[serde(default)]
    pub adjusts: Option<OriginId>,
    /// Corrections: revenue or cost by product and destination.
    #[serde(default)]
    pub product: SmolStr,
    #[serde(default)]
    pub destination: SmolStr,
}

/// Why an order may not be booked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PayRefusal {
    #[error("account {0:?} is not configured; apply it first")]
    UnknownAccount(SmolStr),
    #[error("account {account} is kept in {kept}, the order says {given}; exchange it first")]
    OtherCurrency { account: SmolStr, kept: Currency, given: Currency },
    #[error("amount {amount} of a {kind} must be above zero; a refund or correction goes the other way", kind = kind.as_str())]
    NotPositive { kind: EntryKind, amount: Amount },
    #[error("amount is zero or beyond the range; give one below 10^26")]
    Amount,
    #[error("{field} is missing; say it")]
    Missing { field: &'static str },
    #[error("{field} has {bytes} bytes, more than {limit}; shorten it")]
    TooLong { field: &'static str, bytes: usize, limit: usize },
    #[error("a {} cannot be ordered; use payment, refund or correction", .0.as_str())]
    Kind(EntryKind),
    #[error("id {id:?} was used before for other content (entry {origin}); use a new id")]
    IdReused { id: SmolStr, origin: OriginId },
    #[error(
        "this site may spend {rights} of account {account}; order less, or have another site give it rights first (tandem site give)"
    )]
    BeyondRights { account: SmolStr, rights: Amount },
    #[error("limits and caps are ordered at the configuration's site, number {config_site}; order it there")]
    OtherSite { config_site: u16 },
    #[error(
        "a voucher worth more than {most} {currency} is redeemed at site {owner} only, which owns its code; redeem it there"
    )]
    VoucherElsewhere { owner: SmolStr, most: Amount, currency: Currency },
    #[error("site {0} is not among this site's peers")]
    UnknownSite(u16),
    #[error("account {account} has no trunk {trunk:?} for calls that come in; apply it first")]
    UnknownTrunk { trunk: SmolStr, account: SmolStr },
    #[error("an order is about one trunk, or about one group with its codes; say one of them")]
    TrunkOrGroup,
    #[error("it would have ended before it began; give an instant in the future")]
    Past,
    #[error("no entry {0} stands in this ledger")]
    UnknownEntry(OriginId),
    #[error("entry {origin} is a {kind}; only payments, refunds and corrections are reversed, calls are priced again", kind = kind.as_str())]
    NotReversible { origin: OriginId, kind: EntryKind },
}

impl PayRefusal {
    /// The refusal as one word, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownAccount(_) => "unknown_account",
            Self::OtherCurrency { .. } => "other_currency",
            Self::NotPositive { .. } => "not_positive",
            Self::Amount => "amount",
            Self::Missing { .. } => "missing",
            Self::TooLong { .. } => "too_long",
            Self::Kind(_) => "kind",
            Self::IdReused { .. } => "id_reused",
            Self::BeyondRights { .. } => "beyond_rights",
            Self::OtherSite { .. } => "other_site",
            Self::VoucherElsewhere { .. } => "voucher_elsewhere",
            Self::UnknownSite(_) => "unknown_site",
            Self::UnknownTrunk { .. } => "unknown_trunk",
            Self::TrunkOrGroup => "trunk_or_group",
            Self::Past => "past",
            Self::UnknownEntry(_) => "unknown_entry",
            Self::NotReversible { .. } => "not_reversible",
        }
    }
}

/// Longest id, account, product or destination of an order.
pub const ID_MAX: usize = 200;
/// Longest name and reason.
pub const REASON_MAX: usize = 1000;

/// Origin of what is booked under this id; the kind is no part of it, so an id serves once.
pub fn origin_of(id: &str) -> OriginId {
    OriginId(hash("tandem.payment.v1", &[id.as_bytes()]))
}

/// Origin of the reversal of an entry: an entry is reversed once.
pub fn origin_of_reversal(of: OriginId) -> OriginId {
    OriginId(hash("tandem.reversal.v1", &[&of.0]))
}

/// The entry of an order, or why there is none. `account`: its configuration.
pub fn entry_for(order: &Payment, account: Option<&Account>) -> Result<LedgerEntry, PayRefusal> {
    check_texts(order)?;
    let account = account.ok_or_else(|| PayRefusal::UnknownAccount(order.account.clone()))?;
    if account.currency != order.currency {
        let (kept, given) = (account.currency, order.currency);
        return Err(PayRefusal::OtherCurrency { account: account.id.clone(), kept, given });
    }
    let sells = order.side == Side::Sell;
    let ahead = match (order.side, account.prepaid) {
        (Side::Sell, true) => Gl::Prepayments,
        (Side::Sell, false) => Gl::UnallocatedReceipts,
        (Side::Buy, _) => Gl::PrepaymentsMade,
    };
    let positive = order.amount.0 > 0;
    let (debit, credit) = match order.kind {
        EntryKind::Payment | EntryKind::Refund if !positive => {
            return Err(PayRefusal::NotPositive { kind: order.kind, amount: order.amount });
        }
        // Money comes in: a customer pays, a vendor pays back.
        EntryKind::Payment if sells => (Gl::BankClearing, ahead),
        EntryKind::Refund if !sells => (Gl::BankClearing, ahead),
        EntryKind::Payment | EntryKind::Refund => (ahead, Gl::BankClearing),
        EntryKind::Correction if sells => (Gl::ReceivableUnbilled, Gl::Revenue),
        EntryKind::Correction => (Gl::Cost, Gl::PayableUnbilled),
        kind @ (EntryKind::Charge | EntryKind::Reversal) => return Err(PayRefusal::Kind(kind)),
    };
    let negative = order.amount.checked_neg().filter(|_| !order.amount.is_zero()).ok_or(PayRefusal::Amount)?;
    if order.amount.0.abs() > crate::lines::SUM_MAX {
        return Err(PayRefusal::Amount);
    }
    let line = |gl: Gl, amount: Amount| Posting {
        gl,
        account: if is_party(gl) { order.account.clone() } else { SmolStr::default() },
        product: if is_result(gl) { order.product.clone() } else { SmolStr::default() },
        destination: if is_result(gl) { order.destination.clone() } else { SmolStr::default() },
        currency: order.currency,
        amount,
    };
    Ok(LedgerEntry {
        kind: order.kind,
        origin_id: origin_of(&order.id),
        account: order.account.clone(),
        occurred_at: order.occurred_at,
        call_id: None,
        xdr_id: None,
        source: None,
        by: order.by.clone(),
        reason: order.reason.clone(),
        adjusts: order.adjusts,
        postings: smallvec![line(debit, order.amount), line(credit, negative)],
    })
}

fn check_texts(order: &Payment) -> Result<(), PayRefusal> {
    for (field, text, limit) in [
        ("id", &order.id, ID_MAX),
        ("account", &order.account, ID_MAX),
        ("product", &order.product, ID_MAX),
        ("destination", &order.destination, ID_MAX),
        ("by", &order.by, REASON_MAX),
        ("reason", &order.reason, REASON_MAX),
    ] {
        if text.len() > limit {
            return Err(PayRefusal::TooLong { field, bytes: text.len(), limit });
        }
        let required = match field {
            "id" | "account" | "by" => true,
            "reason" => order.kind != EntryKind::Payment,
            _ => false,
        };
        if required && text.trim().is_empty() {
            return Err(PayRefusal::Missing { field });
        }
    }
    Ok(())
}

/// The entry that undoes `original`, line by line.
pub fn reversal_of(
    original: &LedgerEntry,
    occurred_at: OccurredAt,
    by: SmolStr,
    reason: SmolStr,
) -> Result<LedgerEntry, PayRefusal> {
    if matches!(original.kind, EntryKind::Charge | EntryKind::Reversal) {
        return Err(PayRefusal::NotReversible { origin: original.origin_id, kind: original.kind });
    }
    for (field, text) in [("by", &by), ("reason", &reason)] {
        if text.trim().is_empty() {
            return Err(PayRefusal::Missing { field });
        }
        if text.len() > REASON_MAX {
            return Err(PayRefusal::TooLong { field, bytes: text.len(), limit: REASON_MAX });
        }
    }
    let mut postings = Postings::new();
    for posting in &original.postings {
        let amount = posting.amount.checked_neg().ok_or(PayRefusal::Amount)?;
        postings.push(Posting { amount, ..posting.clone() });
    }
    Ok(LedgerEntry {
        kind: EntryKind::Reversal,
        origin_id: origin_of_reversal(original.origin_id),
        account: original.account.clone(),
        occurred_at,
        call_id: None,
        xdr_id: None,
        source: None,
        by,
        reason,
        adjusts: Some(original.origin_id),
        postings,
    })
}

/// Lines that belong to a carrier's account.
pub fn is_party(gl: Gl) -> bool {
    matches!(
        gl,
        Gl::ReceivableUnbilled
            | Gl::ReceivableProvisional
            | Gl::ReceivableInvoiced
            | Gl::ReceivableDisputed
            | Gl::Prepayments
            | Gl::PayableUnbilled
            | Gl::PayableProvisional
            | Gl::PayableInvoiced
            | Gl::PayableDisputed
            | Gl::PrepaymentsMade
            | Gl::UnallocatedReceipts
            | Gl::Deposits
    )
}

/// Lines kept by product and destination.
pub fn is_result(gl: Gl) -> bool {
    matches!(gl, Gl::Revenue | Gl::RevenueProvisional | Gl::Cost | Gl::CostProvisional)
}

#[cfg(test)]
mod tests;
