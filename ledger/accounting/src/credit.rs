//! Credit between sites (design 5 and 8.3-8.8, `reference/rights.md`): each site owns *rights*, one signed number per
//! credit line, and decides on its own from its own full stream and what it has folded of the others. Pure: facts and
//! messages in, memo entries and messages out. Durability, transport and clocks belong to the process; it makes a
//! frame durable before it sends what came out with it.

pub mod fold;
pub mod messages;
pub mod offer;
pub mod row;
pub mod site;

mod apart;
mod lines;
mod pull;
mod settle;

pub use fold::{Claim, Credit, FoldRefusal, Owed, cover, owed, winner};
pub use messages::{Announcement, Message, PullId};
pub use offer::Offer;
pub use row::Row;
pub use site::{Action, Answer, Ask, Asked, FrameOut, Refusal, Settings, Site};

use facts::{Amount, CallId};
use smol_str::SmolStr;

/// The number of a site; the lowest wins a tie (design 8.8).
pub type SiteNo = u16;
/// A credit line: an account, or a carrier in one currency. Every account draws on exactly one.
pub type LineId = SmolStr;

/// Where room on a line comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pot {
    /// The credit limit; granted and taken by the configuration's site alone.
    Limit,
    /// Payments and vouchers, at any site.
    Funds,
}

/// Why a hold was let go without a charge of this site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Let {
    /// The call ended and costs nothing.
    Ended,
    /// `until` has passed: the call cannot have been going on.
    Expired,
    /// Another site charged the call; `to` received cover for what it booked over its own hold.
    ChargedElsewhere { to: SiteNo, passed: Amount },
}

/// Why rights were given to another site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GiveWhy {
    /// It asked; the same pull is answered once.
    Pull(PullId),
    /// It stands below zero.
    Debt,
    /// Cover for a call goes with the charge that won.
    Cover(CallId),
    /// A person's order.
    Order,
}

/// A memo entry of a site's ledger stream: outside the trial balance, it moves rights and never money. Amounts are
/// zero or above.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Memo {
    Grant {
        line: LineId,
        pot: Pot,
        amount: Amount,
    },
    Take {
        line: LineId,
        pot: Pot,
        amount: Amount,
    },
    /// The floor under this site's rights from now on (`tolerant`); none or zero is `strict`.
    Reserve {
        line: LineId,
        amount: Amount,
    },
    /// Seconds held bind: whoever asked cuts the call at their end unless extended.
    Hold {
        call: CallId,
        line: LineId,
        amount: Amount,
        /// Seconds held.
        seconds: u32,
        /// Microseconds; then the call cannot be going on, whatever was lost (8.5).
        until: i64,
    },
    Extend {
        call: CallId,
        line: LineId,
        amount: Amount,
        /// Seconds held in all after it.
        seconds: u32,
    },
    /// What a call costs: `held` at most its hold here, the rest is `over`. Closes the hold.
    Charge {
        call: CallId,
        line: LineId,
        held: Amount,
        over: Amount,
    },
    Release {
        call: CallId,
        line: LineId,
        why: Let,
    },
    /// This site's charge of a call lost against the one of site `to`; cover received for it goes there.
    Reverse {
        call: CallId,
        line: LineId,
        to: SiteNo,
        passed: Amount,
    },
    Give {
        line: LineId,
        to: SiteNo,
        amount: Amount,
        why: GiveWhy,
    },
}

impl Memo {
    pub fn line(&self) -> &LineId {
        match self {
            Self::Grant { line, .. }
            | Self::Take { line, .. }
            | Self::Reserve { line, .. }
            | Self::Hold { line, .. }
            | Self::Extend { line, .. }
            | Self::Charge { line, .. }
            | Self::Release { line, .. }
            | Self::Reverse { line, .. }
            | Self::Give { line, .. } => line,
        }
    }

    /// The call it is about, cover that follows a call included.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Hold { call, .. }
            | Self::Extend { call, .. }
            | Self::Charge { call, .. }
            | Self::Release { call, .. }
            | Self::Reverse { call, .. }
            | Self::Give { why: GiveWhy::Cover(call), .. } => Some(*call),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
