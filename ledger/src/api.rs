//! What the ledger shows and takes over HTTP and on the command line: plain structs with serde, decimals as strings,
//! times in microseconds as the facts have them plus RFC 3339 where a person reads them.

use accounting::Payment;
pub use accounting::limits::{CapsOrder, GiveOrder, GrantOrder};
pub use accounting::scopes::ScopeCapsOrder;
use facts::entry::{Caps, EntryKind, Grant, Hold, HoldLine, Posting, ScopeCaps};
use facts::ids::{CallId, EntryId, OriginId, XdrId};
use facts::stream::Consumed;
use facts::xdr::Position;
use facts::{Amount, BookedAt, Currency, LedgerEntry, OccurredAt, Prefix};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Most rows of one page.
pub const PAGE_MAX: usize = 1000;

/// One entry with its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EntryRow {
    pub stream: SmolStr,
    pub seq: u64,
    pub index: u32,
    /// RFC 3339.
    pub booked_at: String,
    pub entry_id: EntryId,
    pub kind: EntryKind,
    pub origin_id: OriginId,
    pub account: SmolStr,
    /// RFC 3339.
    pub occurred_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call_id: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub xdr_id: Option<XdrId>,
    /// Where its RatedCall stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Place>,
    #[serde(skip_serializing_if = "SmolStr::is_empty", default)]
    pub by: SmolStr,
    #[serde(skip_serializing_if = "SmolStr::is_empty", default)]
    pub reason: SmolStr,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub adjusts: Option<OriginId>,
    pub postings: Vec<Posting>,
}

/// An item of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    pub stream: SmolStr,
    pub seq: u64,
    pub index: u32,
}

impl EntryRow {
    pub fn new(stream: &SmolStr, at: Position, booked_at: BookedAt, entry: &LedgerEntry) -> Self {
        Self {
            stream: stream.clone(),
            seq: at.seq,
            index: at.index,
            booked_at: booked_at.to_string(),
            entry_id: EntryId::new(stream, entry.kind.as_str(), entry.origin_id),
            kind: entry.kind,
            origin_id: entry.origin_id,
            account: entry.account.clone(),
            occurred_at: entry.occurred_at.to_string(),
            call_id: entry.call_id,
            xdr_id: entry.xdr_id,
            source: entry.source.as_ref().map(|(stream, at)| Place {
                stream: stream.clone(),
                seq: at.seq,
                index: at.index,
            }),
            by: entry.by.clone(),
            reason: entry.reason.clone(),
            adjusts: entry.adjusts,
            postings: entry.postings.to_vec(),
        }
    }
}

/// Which entries.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntryFilter {
    /// Entries that touch this account; none = all.
    pub account: Option<SmolStr>,
    pub kind: Option<EntryKind>,
    /// Microseconds, inclusive.
    pub occurred_from: Option<OccurredAt>,
    /// Microseconds, exclusive.
    pub occurred_until: Option<OccurredAt>,
}

/// Which part of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// Continue behind this place (in the order asked for).
    pub after: Option<Position>,
    /// At most [`PAGE_MAX`].
    pub limit: usize,
    pub newest_first: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: None, limit: 100, newest_first: false }
    }
}

/// A page of entries.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EntryPage {
    pub entries: Vec<EntryRow>,
    /// Give it as `after` for what follows; none = that was all.
    pub next: Option<Position>,
}

/// How far the ledger is, and what its balances hash to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    pub stream: SmolStr,
    /// Last durable frame that counts; 0 = none.
    pub seq: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
    pub epoch: u64,
    pub owner: SmolStr,
    /// State root after that frame, hexadecimal.
    pub root: String,
    /// Fold version by which it is the root.
    pub fold_version: u32,
    /// Entries by kind, in the order of `EntryKind`.
    pub entries: [u64; 5],
    pub refused: u64,
    /// How far each input has been booked.
    pub consumed: Vec<Consumed>,
    /// Frames written but not yet known to be durable. 0 at rest.
    pub in_flight: u64,
    /// Why nothing is being posted, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
}

/// One line of an open hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldRow {
    pub hold_id: OriginId,
    pub call_id: CallId,
    pub account: SmolStr,
    pub level: u8,
    pub amount: Amount,
    pub currency: Currency,
    /// Seconds held.
    pub seconds: u32,
    pub extendable: bool,
    /// RFC 3339.
    pub at: String,
    /// When it ends by itself; RFC 3339.
    pub until: String,
    pub prefix: Prefix,
    pub destination: SmolStr,
    pub deck: SmolStr,
    pub deck_version: u32,
}

impl HoldRow {
    pub fn new(hold: &Hold, line: &HoldLine) -> Self {
        Self {
            hold_id: hold.hold_id,
            call_id: hold.call_id,
            account: line.account.clone(),
            level: line.level,
            amount: line.amount,
            currency: line.currency,
            seconds: hold.seconds,
            extendable: hold.extendable,
            at: hold.at.to_string(),
            until: hold.until.to_string(),
            prefix: line.prefix,
            destination: line.destination.clone(),
            deck: line.deck.clone(),
            deck_version: line.deck_version,
        }
    }
}

/// What an account has been granted beside its configured limit, and what it may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitRow {
    pub account: SmolStr,
    pub grants: Vec<Grant>,
    pub caps: Option<Caps>,
    /// Charged today (UTC) since the caps were set.
    pub spent_today: Amount,
    /// Its trunks and groups with caps.
    pub scopes: Vec<ScopeRow>,
}

/// A trunk or a group of codes with caps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScopeRow {
    pub caps: ScopeCaps,
    pub calls_now: u32,
    pub spent_today: Amount,
}

/// A person's order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Pay(Payment),
    Reverse { origin_id: OriginId, occurred_at: OccurredAt, by: SmolStr, reason: SmolStr },
    Grant(GrantOrder),
    Caps(CapsOrder),
    ScopeCaps(ScopeCapsOrder),
    Give(GiveOrder),
}

impl Order {
    /// The id that whoever asks has chosen; empty where an entry is named instead.
    pub fn id(&self) -> &SmolStr {
        static NONE: SmolStr = SmolStr::new_static("");
        match self {
            Self::Pay(payment) => &payment.id,
            Self::Grant(order) => &order.id,
            Self::Caps(order) => &order.id,
            Self::ScopeCaps(order) => &order.id,
            Self::Give(order) => &order.id,
            Self::Reverse { .. } => &NONE,
        }
    }
}

/// Answer to an order, given when it is durable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    pub entry_id: EntryId,
    pub origin_id: OriginId,
    pub stream: SmolStr,
    pub seq: u64,
    pub index: u32,
    /// True: the same order was booked before, and that is its place.
    pub repeated: bool,
}
