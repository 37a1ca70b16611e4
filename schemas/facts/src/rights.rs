//! Memo items by which rights to spend move between the sites of a house (design 8.3 to 8.8): what one site grants, gives
//! and keeps in reserve. They stand outside the trial balance, and no money moves by them.

use crate::ids::{CallId, OriginId};
use crate::money::{Amount, Currency};
use crate::time::OccurredAt;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Why rights were given to another site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GiveWhy {
    /// It asked; a pull is answered once.
    Pull,
    /// It stands below zero.
    Debt,
    /// Cover for a call goes with the charge that won.
    Cover,
    /// A person's order.
    Order,
}

impl GiveWhy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Debt => "debt",
            Self::Cover => "cover",
            Self::Order => "order",
        }
    }
}

/// Rights on one credit line go to another site.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Give {
    /// Of the pull that it answers, of the order, or of what else it is for.
    pub origin_id: OriginId,
    pub account: SmolStr,
    pub currency: Currency,
    pub at: OccurredAt,
    /// Number of the site.
    pub to: u16,
    /// Zero or above.
    pub amount: Amount,
    pub why: GiveWhy,
    /// Cover: the call that it goes with.
    pub call_id: Option<CallId>,
    /// Orders: who, and why.
    pub by: SmolStr,
    pub reason: SmolStr,
}

/// A hold ends because another site charged the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elsewhere {
    pub hold_id: OriginId,
    pub at: OccurredAt,
    /// Number of the site that charged.
    pub to: u16,
    /// Rights that go there with it, line by line of the hold: at most what the line held.
    pub passed: SmallVec<[Amount; 1]>,
}

/// What the configuration's site has granted of an account's limit, in all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limit {
    pub account: SmolStr,
    pub currency: Currency,
    pub at: OccurredAt,
    pub amount: Amount,
}

/// The floor under a site's rights from now on is minus this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reserve {
    pub account: SmolStr,
    pub currency: Currency,
    pub at: OccurredAt,
    /// Zero is strict.
    pub amount: Amount,
}
