//! What an account's owner wants to hear of while there is still time: thresholds passed. Never decides anything.

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
    pub threshold: Amount,
    /// `LowBalance`: available; `HighSpend`: the charges of the day.
    pub value: Amount,
}
