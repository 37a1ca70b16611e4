//! Memo items of a ledger stream about parts of an account (design 5): its trunks, and groups of dial codes. They move no
//! money. No number of a caller or called stands here.

use crate::ids::OriginId;
use crate::money::{Amount, Currency};
use crate::number::Prefix;
use crate::time::OccurredAt;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

/// What calls of one trunk of an account, or to one group of codes, may do beside the account's own caps; the newest one
/// counts, whole. What is `None` is not limited.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScopeCaps {
    pub origin_id: OriginId,
    pub account: SmolStr,
    pub currency: Currency,
    /// When it was ordered.
    pub at: OccurredAt,
    /// [`trunk_scope`] or [`group_scope`].
    pub scope: SmolStr,
    /// Groups: their dial codes.
    pub codes: Vec<Prefix>,
    /// Calls at once.
    pub calls: Option<u32>,
    /// New calls in one second.
    pub calls_per_second: Option<u32>,
    /// Charges of a day (UTC) and open holds.
    pub daily_spend: Option<Amount>,
    pub by: SmolStr,
    pub reason: SmolStr,
}

/// What an open hold counts for beside its accounts; stands behind the hold in the same frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    pub hold_id: OriginId,
    /// Those that had caps at that time.
    pub scopes: SmallVec<[SmolStr; 2]>,
}

/// How a trunk is named as a scope.
pub fn trunk_scope(trunk: &str) -> SmolStr {
    format_smolstr!("trunk:{trunk}")
}

/// How an account's group of codes is named as a scope.
pub fn group_scope(account: &str, group: &str) -> SmolStr {
    format_smolstr!("group:{account}/{group}")
}
