//! Ledger entries: balanced, immutable groups of postings over the chart of accounts (design 8.1).

use crate::ids::{CallId, OriginId, XdrId};
use crate::money::{Amount, Currency};
use crate::time::OccurredAt;
use crate::xdr::Position;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

pub use crate::hold::{Caps, Extend, Grant, Hold, HoldLine, Release, ReleaseWhy, attempt_hold_id, hold_id};
pub use crate::rights::{Elsewhere, Give, GiveWhy, Limit, Reserve};
pub use crate::scope::{Counted, ScopeCaps, group_scope, trunk_scope};

/// Reason of a charge whose end is an estimate: at another site, the true end of the call wins against it.
pub const ESTIMATED: &str = "estimated";

/// What an entry does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A priced side of a call, or new - current of a later revision.
    Charge,
    Payment,
    Refund,
    /// A person's correction, with its reason.
    Correction,
    /// Undoes an entry by name.
    Reversal,
}

impl EntryKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Correction => "correction",
            Self::Reversal => "reversal",
        }
    }
}

/// Accounts of the chart. Debit is plus, credit is minus; every entry sums to zero per currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gl {
    ReceivableUnbilled,
    /// Unbilled, provisional: the call has no final price yet.
    ReceivableProvisional,
    ReceivableInvoiced,
    ReceivableDisputed,
    /// What a customer paid ahead: a liability.
    Prepayments,
    PayableUnbilled,
    PayableProvisional,
    PayableInvoiced,
    PayableDisputed,
    /// What we paid a vendor ahead: an asset.
    PrepaymentsMade,
    /// By product and destination.
    Revenue,
    RevenueProvisional,
    /// By product and destination.
    Cost,
    CostProvisional,
    Tax,
    BankClearing,
    UnallocatedReceipts,
    Deposits,
    BadDebt,
    ExchangeDifference,
    BankCharges,
    WithholdingTax,
    Transit,
    Rounding,
}

impl Gl {
    pub const ALL: [Self; 24] = [
        Self::ReceivableUnbilled,
        Self::ReceivableProvisional,
        Self::ReceivableInvoiced,
        Self::ReceivableDisputed,
        Self::Prepayments,
        Self::PayableUnbilled,
        Self::PayableProvisional,
        Self::PayableInvoiced,
        Self::PayableDisputed,
        Self::PrepaymentsMade,
        Self::Revenue,
        Self::RevenueProvisional,
        Self::Cost,
        Self::CostProvisional,
        Self::Tax,
        Self::BankClearing,
        Self::UnallocatedReceipts,
        Self::Deposits,
        Self::BadDebt,
        Self::ExchangeDifference,
        Self::BankCharges,
        Self::WithholdingTax,
        Self::Transit,
        Self::Rounding,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReceivableUnbilled => "receivable_unbilled",
            Self::ReceivableProvisional => "receivable_provisional",
            Self::ReceivableInvoiced => "receivable_invoiced",
            Self::ReceivableDisputed => "receivable_disputed",
            Self::Prepayments => "prepayments",
            Self::PayableUnbilled => "payable_unbilled",
            Self::PayableProvisional => "payable_provisional",
            Self::PayableInvoiced => "payable_invoiced",
            Self::PayableDisputed => "payable_disputed",
            Self::PrepaymentsMade => "prepayments_made",
            Self::Revenue => "revenue",
            Self::RevenueProvisional => "revenue_provisional",
            Self::Cost => "cost",
            Self::CostProvisional => "cost_provisional",
            Self::Tax => "tax",
            Self::BankClearing => "bank_clearing",
            Self::UnallocatedReceipts => "unallocated_receipts",
            Self::Deposits => "deposits",
            Self::BadDebt => "bad_debt",
            Self::ExchangeDifference => "exchange_difference",
            Self::BankCharges => "bank_charges",
            Self::WithholdingTax => "withholding_tax",
            Self::Transit => "transit",
            Self::Rounding => "rounding",
        }
    }
}

/// One signed line. `account` is empty on the house's own accounts; revenue and cost carry product and destination.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Posting {
    pub gl: Gl,
    pub account: SmolStr,
    pub product: SmolStr,
    pub destination: SmolStr,
    pub currency: Currency,
    /// Debit plus, credit minus.
    pub amount: Amount,
}

/// A balanced, immutable group of postings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerEntry {
    pub kind: EntryKind,
    /// `entry_id = H(stream, kind, origin_id)`; the same id again is a no-op, with other content a named refusal.
    pub origin_id: OriginId,
    /// The account this entry is about (the customer's or vendor's).
    pub account: SmolStr,
    pub occurred_at: OccurredAt,
    /// Charges: the call and side, and where its RatedCall stands.
    pub call_id: Option<CallId>,
    pub xdr_id: Option<XdrId>,
    pub source: Option<(SmolStr, Position)>,
    /// Who did it and why; empty on charges, but for [`ESTIMATED`].
    pub by: SmolStr,
    pub reason: SmolStr,
    /// Entry that this one adjusts or reverses (its origin id).
    pub adjusts: Option<OriginId>,
    pub postings: SmallVec<[Posting; 2]>,
}

/// Everything that stands in a `ledger` frame.
#[derive(Clone, PartialEq, Debug)]
pub enum LedgerItem {
    Entry(Box<LedgerEntry>),
    /// Something that may not be posted: kept, counted, shown.
    Refused {
        origin_id: OriginId,
        reason: SmolStr,
        detail: String,
    },
    /// State root over all balances after the frame before this item.
    Certificate {
        root: [u8; 32],
        entries: u64,
    },
    Grant(Box<Grant>),
    Caps(Box<Caps>),
    Hold(Box<Hold>),
    Extend(Box<Extend>),
    Release(Release),
    Elsewhere(Box<Elsewhere>),
    Give(Box<Give>),
    Limit(Box<Limit>),
    Reserve(Box<Reserve>),
    ScopeCaps(Box<ScopeCaps>),
    Counted(Box<Counted>),
}
