//! What an account's owner wants to hear of while there is still time: thresholds passed. Never decides anything.

use crate::ids::{CallId, OriginId, hash};
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
    /// The same thing told again has the same id; `None`: it was told before there were ids.
    pub id: Option<OriginId>,
    /// `Overrun`: frame of the ledger that charged the call; others: the last one there was, and every overrun of the
    /// frames before it has been told.
    pub frame: Option<u64>,
}

impl NoticeKind {
    /// The word of files and screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LowBalance => "low_balance",
            Self::HighSpend => "high_spend",
            Self::Overrun => "overrun",
            Self::VendorRunsDry => "vendor_runs_dry",
        }
    }
}

impl Notice {
    /// Gives it the id that follows from what it tells: of a call once; of a day's spend once a day and threshold; of
    /// what is left each time that it begins to be so.
    pub fn named(mut self) -> Self {
        let when = match self.kind {
            NoticeKind::Overrun => 0,
            NoticeKind::HighSpend => self.at.0.div_euclid(86_400_000_000),
            NoticeKind::LowBalance | NoticeKind::VendorRunsDry => self.at.0,
        };
        let parts: [&[u8]; 6] = [
            self.kind.as_str().as_bytes(),
            self.site.as_bytes(),
            self.account.as_bytes(),
            &self.call_id.map_or([0; 16], |call| call.0),
            &self.threshold.0.to_le_bytes(),
            &when.to_le_bytes(),
        ];
        self.id = Some(OriginId(hash("tandem.notice.v1", &parts)));
        self
    }
}
