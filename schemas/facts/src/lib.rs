//! The vocabulary of Tandem: the nouns that cross a log, one meaning each (design section 3).
//!
//! Pure: no clock, no file, no socket, no dice. Nothing here knows Avro or HTTP; `schemas` turns these
//! facts into bytes and back.

pub mod call;
pub mod config;
pub mod deck;
pub mod entry;
pub mod hold;
pub mod ids;
pub mod money;
pub mod notice;
pub mod number;
pub mod rights;
pub mod run;
pub mod scope;
pub mod stream;
pub mod time;
pub mod xdr;

pub use call::{Attempt, Call, CallEvent, EventKind, Reject};
pub use entry::{LedgerEntry, Posting};
pub use ids::{CallId, EntryId, EventId, RevId, XdrId};
pub use money::{Amount, Currency, Money, Rounding};
pub use number::{E164, Prefix};
pub use time::{BookedAt, ObservedAt, OccurredAt};
pub use xdr::{RatedCall, Side, Unrated, Xdr};
