//! The answer file: what a right pipeline must book for a scenario. Amounts are decimal strings, durations seconds.

use crate::events::Sent;
use facts::{Amount, Currency, Side, Unrated};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// What one account is owed or owes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SideTotal {
    pub account: SmolStr,
    pub side: Side,
    pub currency: Currency,
    /// Sides of calls, unanswered ones too.
    pub xdrs: u64,
    pub answered: u64,
    /// Of the answered ones those without a price.
    pub provisional: u64,
    /// Billed microseconds of the priced sides.
    pub billed: i64,
    pub provisional_billed: i64,
    /// Net, priced sides only.
    pub amount: Amount,
    /// Net, sides without a price.
    pub provisional_amount: Amount,
    /// Gross where the account is charged gross, else net; priced and provisional.
    pub charged: Amount,
}

/// Sides without a price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnratedTotal {
    pub side: Side,
    pub reason: Unrated,
    pub answered: u64,
    pub unanswered: u64,
}

/// Attempts and answers of one hour of the day, calls counted once with their final result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HourTotal {
    pub calls: u64,
    pub answered: u64,
    /// Talk time on the customers' side, microseconds.
    pub talked: i64,
}

/// One side of one call, to find a difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    pub call: u64,
    pub call_key: SmolStr,
    pub attempt_key: SmolStr,
    pub side: Side,
    pub account: SmolStr,
    pub currency: Currency,
    pub answered: bool,
    pub duration: i64,
    pub billed: i64,
    pub amount: Amount,
    pub charged: Amount,
    pub unrated: Option<Unrated>,
}

/// The whole answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    pub seed: u64,
    /// Midnight (UTC) of the day.
    pub day: String,
    pub calls: u64,
    /// Calls with all their sides on the books.
    pub rated_calls: u64,
    pub answered_calls: u64,
    pub attempts: u64,
    /// Calls that end in suspense.
    pub suspended: u64,
    /// Calls with an estimated end.
    pub estimated: u64,
    pub sent: Option<Sent>,
    /// By account, then side.
    pub sides: Vec<SideTotal>,
    /// By side, then reason.
    pub unrated: Vec<UnratedTotal>,
    /// 24 of them, by the call's start (UTC).
    pub hours: Vec<HourTotal>,
}

impl Answer {
    /// As JSON, one fact a line.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }

    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
