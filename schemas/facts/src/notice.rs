//! What an account's owner wants to hear of while there is still time: thresholds passed. Never decides anything.

use crate::ids::CallId;
use crate::money::{Amount, Currency};
use crate::time::OccurredAt;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Which threshold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Less is available than the account's caps name.
    LowBalance,
    /// The charges of the day (UTC) are above what they name.
    HighSpend,
    /// A call cost more than was held for it.
    Overrun,
    /// What we may still come to owe a vendor lasts for fewer days than the settings name.
    VendorRunsDry,
}

/// A threshold passed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    pub site: SmolStr,
    pub account: SmolStr,
    pub currency: Currency,
    pub kind: NoticeKind,
    /// When it was seen.
    pub at: OccurredAt,
    /// `Overrun`: held for the call; `VendorRunsDry`: what so many days cost at the present rate.
    pub threshold: Amount,
    /// `LowBalance`: available; `HighSpend`: the charges of the day; `Overrun`: charged for the call;
    /// `VendorRunsDry`: what we may still come to owe.
    pub value: Amount,
    /// `VendorRunsDry`: whole days left at the present rate.
    pub days: Option<u32>,
    /// `Overrun`: the call.
    pub call_id: Option<CallId>,
}
