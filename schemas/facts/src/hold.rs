//! Memo items of a ledger stream (design 5, 8.3): holds for calls that may begin, and what an account may do. They set
//! money aside and never move it, so they stand outside the trial balance. No number of a caller or called stands here.

use crate::ids::{CallId, OriginId, XdrId, hash};
use crate::money::{Amount, Currency};
use crate::number::Prefix;
use crate::time::OccurredAt;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// More credit for an account beside the limit of the configuration, or less.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    pub origin_id: OriginId,
    pub account: SmolStr,
    pub currency: Currency,
    /// Minus: less credit.
    pub amount: Amount,
    /// When it was ordered.
    pub at: OccurredAt,
    /// When it ends by itself.
    pub until: Option<OccurredAt>,
    pub by: SmolStr,
    pub approved_by: SmolStr,
    pub reason: SmolStr,
}

/// What an account may do beside its credit; the newest one counts, whole. What is `None` is not limited.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Caps {
    pub origin_id: OriginId,
    pub account: SmolStr,
    pub currency: Currency,
    /// When it was ordered.
    pub at: OccurredAt,
    /// Calls at once.
    pub calls: Option<u32>,
    /// New calls in one second.
    pub calls_per_second: Option<u32>,
    /// Charges of a day (UTC) and open holds.
    pub daily_spend: Option<Amount>,
    /// Dearest rate a minute.
    pub highest_rate: Option<Amount>,
    /// Dial codes that are refused.
    pub barred: Vec<Prefix>,
    /// Calls that share what is available where the switch cannot extend (design 5: N, default 1).
    pub calls_without_extend: Option<u32>,
    /// A notice when less than this is available.
    pub low_balance: Option<Amount>,
    /// A notice when the charges of a day (UTC) pass this.
    pub high_spend: Option<Amount>,
    pub by: SmolStr,
    pub reason: SmolStr,
}

/// Money set aside for a call that may begin: one line per sell level. Or, under an id of its own, what we may come to owe
/// a vendor for one attempt: one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// [`hold_id`] of the call, or [`attempt_hold_id`].
    pub hold_id: OriginId,
    pub call_id: CallId,
    pub at: OccurredAt,
    /// Longest ringing + maximum duration + delay limit after `at`: then the call cannot be going on, whatever was
    /// lost (design 8.5).
    pub until: OccurredAt,
    /// Seconds held: whoever asked cuts the call at their end unless extended.
    pub seconds: u32,
    /// False: whoever asked cannot extend.
    pub extendable: bool,
    /// By level.
    pub lines: SmallVec<[HoldLine; 1]>,
}

impl Hold {
    /// True for an attempt at a vendor.
    pub fn is_attempt(&self) -> bool {
        self.hold_id != hold_id(self.call_id)
    }
}

/// What is set aside on one account, and the rate it was counted with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldLine {
    pub account: SmolStr,
    /// 0 is our direct customer.
    pub level: u8,
    pub currency: Currency,
    pub amount: Amount,
    /// Fees and first interval.
    pub first: Amount,
    pub first_seconds: u32,
    /// One further interval.
    pub next: Amount,
    pub next_seconds: u32,
    /// Of the charge to come.
    pub decimals: u8,
    pub deck: SmolStr,
    pub deck_version: u32,
    pub prefix: Prefix,
    pub destination: SmolStr,
}

/// An open hold grows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extend {
    pub hold_id: OriginId,
    pub at: OccurredAt,
    /// Seconds held in all after it.
    pub seconds: u32,
    /// Set aside in all after it, line by line.
    pub amounts: SmallVec<[Amount; 1]>,
}

/// Why a hold ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseWhy {
    /// The call's charge stands in the same frame.
    Charged,
    /// The call ended and costs nothing.
    Ended,
    /// Whoever asked says that there is no call.
    GivenUp,
    /// `until` has passed.
    Expired,
}

impl ReleaseWhy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Ended => "ended",
            Self::GivenUp => "given_up",
            Self::Expired => "expired",
        }
    }
}

/// A hold ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    pub hold_id: OriginId,
    pub at: OccurredAt,
    pub why: ReleaseWhy,
}

/// The hold of a call: a call has one, however often it is asked for.
pub fn hold_id(call: CallId) -> OriginId {
    OriginId(hash("tandem.hold.v1", &[&call.0]))
}

/// The hold of an attempt at a vendor, by the id of the buy side that it will be priced as.
pub fn attempt_hold_id(xdr: XdrId) -> OriginId {
    OriginId(hash("tandem.attempt-hold.v1", &[&xdr.0]))
}
