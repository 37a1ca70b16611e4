//! A call with all its sides priced (`RatedCall`), one atomic item of the `xdrs` streams, and what else stands there.

use crate::call::{Call, ImportEnd, Reject};
use crate::deck::Price;
use crate::ids::{ImportId, RevId, XdrId};
use crate::money::{Amount, Currency, Rounding};
use crate::number::Prefix;
use crate::time::{ObservedAt, OccurredAt};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Which side of a call is priced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The customer pays us (per reseller level).
    #[default]
    Sell,
    /// We pay a vendor (per attempt).
    Buy,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sell => "sell",
            Self::Buy => "buy",
        }
    }
}

/// Why a side has no price (yet). A closed set, in order of precedence: the first that applies is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unrated {
    /// No identification rule matched: which account is it?
    UnknownAccount,
    /// The account has no agreement for this side and product at that instant.
    NoAgreement,
    /// The called number is empty or no number.
    BadNumber,
    /// The times contradict each other (ends before it begins, answered without an instant).
    BadTime,
    /// The agreement names a deck that has no version.
    NoDeck,
    /// No row of the deck is valid for the number at that instant.
    NoRate,
    /// The row says blocked, and the call happened all the same.
    Blocked,
    /// No exchange rate between deck and account currency at that instant.
    NoExchangeRate,
    /// The exact amount is beyond the integer range.
    AmountRange,
}

impl Unrated {
    pub const ALL: [Self; 9] = [
        Self::UnknownAccount,
        Self::NoAgreement,
        Self::BadNumber,
        Self::BadTime,
        Self::NoDeck,
        Self::NoRate,
        Self::Blocked,
        Self::NoExchangeRate,
        Self::AmountRange,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::NoAgreement => "no_agreement",
            Self::BadNumber => "bad_number",
            Self::BadTime => "bad_time",
            Self::NoDeck => "no_deck",
            Self::NoRate => "no_rate",
            Self::Blocked => "blocked",
            Self::NoExchangeRate => "no_exchange_rate",
            Self::AmountRange => "amount_range",
        }
    }
}

/// Where a provisional amount comes from (design 4.16).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvisionalSource {
    /// The amount held for the call.
    Held,
    /// Buy: the code's last known rate.
    LastKnown,
    /// The dearest valid rate of that country in the deck.
    DearestOfCountry,
    DearestOfDeck,
    /// Account unknown: the dearest over all decks in the site's base currency.
    DearestOfAll,
    /// No deck at all: zero, flagged.
    NoDeck,
}

/// The rate that priced a side, in full, so that the amount can be explained and computed again.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RateUsed {
    pub deck: SmolStr,
    pub deck_version: u32,
    pub prefix: Prefix,
    pub destination: SmolStr,
    pub connect_fee: Price,
    /// Seconds.
    pub first_interval: u32,
    /// Per minute.
    pub first_rate: Price,
    /// Seconds.
    pub next_interval: u32,
    /// Per minute.
    pub next_rate: Price,
    pub valid_from: Option<i64>,
    pub time_band: SmolStr,
    pub origin: SmolStr,
    pub currency: Currency,
}

/// One priced side of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Xdr {
    pub xdr_id: XdrId,
    pub rev_id: RevId,
    pub side: Side,
    /// 0 = our direct customer or vendor.
    pub level: u8,
    /// Index into the call's attempts; `None` on a sell side.
    pub attempt: Option<u16>,
    /// Account that is charged or credited; the site's unidentified one where none was found.
    pub account: SmolStr,
    pub product: SmolStr,
    pub agreement: SmolStr,
    /// The instant validity, time band and period follow.
    pub rated_at: OccurredAt,
    /// The side's own duration before rounding, microseconds.
    pub duration: i64,
    /// What the intervals billed, microseconds.
    pub billed: i64,
    /// Net amount in the account's currency, rounded by `rounding` to `decimals`. Provisional where `unrated` is set.
    pub amount: Amount,
    /// Gross per call, prepaid with tax only; else equal to `amount`.
    pub gross: Amount,
    pub currency: Currency,
    pub rounding: Rounding,
    pub decimals: u8,
    pub duration_rounding: Rounding,
    pub rate: Option<RateUsed>,
    /// Account units per deck unit in 10^-8; 100,000,000 where the currencies are the same.
    pub exchange_rate: i64,
    /// Date and source of the exchange rate; empty where there was none to take.
    pub exchange_source: SmolStr,
    pub unrated: Option<Unrated>,
    pub provisional: Option<ProvisionalSource>,
}

/// Place of an item in a frame stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    pub seq: u64,
    pub index: u32,
}

/// What made this revision (design 6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revision {
    First,
    /// Late truth: posted as new - current, always.
    Late {
        trigger: [u8; 16],
        based_on: Position,
    },
    /// A run: posted only where `based_on` is still current.
    Run {
        run: [u8; 16],
        based_on: Position,
    },
}

/// A call with every side priced.
#[derive(Clone, PartialEq, Debug)]
pub struct RatedCall {
    pub revision: Revision,
    pub call: Call,
    /// Sell sides by level, then buy sides in the order of the attempts.
    pub xdrs: SmallVec<[Xdr; 2]>,
}

/// Events of a call that never ended within a day: written out so that they leave the floor (design 7.1).
#[derive(Clone, PartialEq, Debug)]
pub struct Suspended {
    pub reason: SmolStr,
    pub events: Vec<crate::CallEvent>,
}

/// A record that cannot be decided by rule: kept for a person.
#[derive(Clone, PartialEq, Debug)]
pub struct Conflict {
    /// `key_reused`, `lone_repeat`, `too_old`.
    pub reason: SmolStr,
    pub event: crate::CallEvent,
}

/// Counted by the rater's fold, so that a killed import cannot lie: read = accepted + repeated + rejected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImportCount {
    pub import: ImportId,
    pub source: SmolStr,
    pub file: SmolStr,
    pub partition: u32,
    /// Records sent to this partition, by the end mark; 0 while it has not come.
    pub sent_here: u64,
    pub read: u64,
    pub accepted: u64,
    pub repeated: u64,
    pub rejected: u64,
    /// The end mark has been seen and `read == sent_here`.
    pub complete: bool,
}

/// Everything that stands in an `xdrs` frame.
#[derive(Clone, PartialEq, Debug)]
pub enum XdrItem {
    Call(Box<RatedCall>),
    Suspended(Box<Suspended>),
    Conflict(Box<Conflict>),
    Reject(Box<Reject>),
    ImportCount(Box<ImportCount>),
    SourceMark { switch: SmolStr, occurred_until: OccurredAt, declared: bool },
    State(Box<RaterState>),
}

/// What a new owner needs beside the open calls (design 7.1): node marks and source counters as of the frame's `to`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RaterState {
    /// Running maximum of `ObservedAt`.
    pub clock: ObservedAt,
    /// Per node, boot epoch: events below `next` were seen, and those in `sparse`.
    pub nodes: Vec<NodeMark>,
    pub imports: Vec<ImportCount>,
    pub ends: Vec<ImportEnd>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeMark {
    pub node: SmolStr,
    pub boot_epoch: i64,
    pub next: u64,
    /// Sequences at or above `next` that were seen out of order, rising; a number followed by a smaller one is the last
    /// of a run that begins with the smaller one.
    pub sparse: Vec<u64>,
}
