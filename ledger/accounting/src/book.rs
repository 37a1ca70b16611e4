//! The book: the fold of a ledger stream's items. Same items, same book, same state root. It decides nothing about
//! money (that is `post` and `pay`) and trusts nothing: every entry is checked before it counts.

use crate::call_table::CallTable;
use crate::fold_version::FoldedBy;
use crate::holds::{HoldError, Holds};
use crate::invariants::{Imbalance, check_entry};
use crate::limits::{content_of_caps, content_of_grant};
use crate::lines::Lines;
use crate::net::NetPositions;
use crate::post::{PricedCall, PricedSide};
use crate::rights::{Rights, RightsError, content_of_give};
use crate::scopes::content_of_scope_caps;
use facts::entry::{EntryKind, GiveWhy, LedgerItem};
use facts::ids::OriginId;
use facts::xdr::Position;
use facts::{Amount, CallId, Currency, LedgerEntry};
use hashbrown::HashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;

/// What became of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    Counted,
    /// The same origin with the same content stands at this earlier place: nothing changed.
    Repeated(Position),
}

/// An item that cannot belong to this book.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BookError {
    #[error("entry {origin} is not balanced: {imbalance}")]
    Unbalanced { origin: OriginId, imbalance: Imbalance },
    #[error("entry {origin} takes a balance beyond the integer range")]
    Range { origin: OriginId },
    #[error("origin {origin} was posted at {}/{} with other content", earlier.seq, earlier.index)]
    OriginReused { origin: OriginId, earlier: Position },
    #[error(transparent)]
    Hold(#[from] HoldError),
    #[error(transparent)]
    Rights(#[from] RightsError),
    #[error("frame {seq} is beyond the 32 bits that positions of calls have; close the stream and begin another")]
    TooManyFrames { seq: u64 },
    #[error(
        "the certificate says state root {} after {said_entries} entries, the fold comes to {} after {entries}",
        hex(said),
        hex(root)
    )]
    Certificate { said: [u8; 32], said_entries: u64, root: [u8; 32], entries: u64 },
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where an order of a person stands, and what it came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    pub at: Position,
    pub(crate) content: [u8; 16],
}

/// Items counted by kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// By [`EntryKind`] in the order of its variants.
    pub entries: [u64; 5],
    pub refused: u64,
    pub certificates: u64,
}

impl Counts {
    pub fn all_entries(&self) -> u64 {
        self.entries.iter().sum()
    }

    pub fn of(&self, kind: EntryKind) -> u64 {
        self.entries[kind as usize]
    }
}

/// A site's share of what is divided among all (design 8.3): `own` of `all` parts, behind the `before` parts of the
/// sites with lower numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Among {
    pub before: u32,
    pub own: u32,
    pub all: u32,
}

impl Among {
    /// The share of a number. The shares of all sites come to the number; what does not divide goes to lower numbers.
    fn of(self, cap: u32) -> u32 {
        let all = u64::from(self.all.max(1));
        let up_to = |parts: u32| (u64::from(cap) * u64::from(parts)).div_ceil(all);
        u32::try_from(up_to(self.before.saturating_add(self.own)) - up_to(self.before)).unwrap_or(cap)
    }
}

/// Balances and what is needed to go on posting.
#[derive(Clone, Default, Debug)]
pub struct Book {
    pub(crate) lines: Lines,
    pub(crate) calls: CallTable,
    pub(crate) origins: HashMap<OriginId, Origin>,
    pub(crate) counts: Counts,
    pub(crate) folded_by: FoldedBy,
    pub(crate) holds: Holds,
    pub(crate) rights: Rights,
    pub(crate) means: Option<Vec<(SmolStr, Amount)>>,
    /// How caps are divided among sites; `None`: there is one.
    pub(crate) among: Option<Among>,
    /// Carriers whose accounts draw on one line.
    pub(crate) net: NetPositions,
}

impl Book {
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds one item of an accepted frame. After an error nothing of it counts.
    pub fn apply(&mut self, at: Position, item: &LedgerItem) -> Result<Applied, BookError> {
        match item {
            LedgerItem::Entry(entry) => self.apply_entry(at, entry),
            LedgerItem::Refused { .. } => {
                self.counts.refused += 1;
                Ok(Applied::Counted)
            }
            LedgerItem::Certificate { root: said, entries: said_entries } => {
                let (root, entries) = (self.root(), self.counts.all_entries());
                if (root, entries) != (*said, *said_entries) {
                    return Err(BookError::Certificate { said: *said, said_entries: *said_entries, root, entries });
                }
                self.counts.certificates += 1;
                Ok(Applied::Counted)
            }
            LedgerItem::Grant(grant) => self.apply_terms(at, grant.origin_id, content_of_grant(grant), item),
            LedgerItem::Caps(caps) => self.apply_terms(at, caps.origin_id, content_of_caps(caps), item),
            LedgerItem::ScopeCaps(caps) => self.apply_terms(at, caps.origin_id, content_of_scope_caps(caps), item),
            LedgerItem::Hold(_) | LedgerItem::Extend(_) | LedgerItem::Release(_) | LedgerItem::Counted(_) => {
                self.holds.apply(item)?;
                Ok(Applied::Counted)
            }
            LedgerItem::Elsewhere(end) => {
                let hold = self.holds.get(end.hold_id).ok_or(HoldError::NotOpen(end.hold_id))?;
                self.rights.elsewhere(end, hold)?;
                self.holds.apply(item)?;
                Ok(Applied::Counted)
            }
            LedgerItem::Give(give) if give.why == GiveWhy::Order => {
                self.apply_terms(at, give.origin_id, content_of_give(give), item)
            }
            LedgerItem::Give(_) | LedgerItem::Limit(_) | LedgerItem::Reserve(_) => {
                self.rights.apply(item)?;
                Ok(Applied::Counted)
            }
        }
    }

    /// Folds a grant or caps: once per id, as any order of a person.
    fn apply_terms(
        &mut self,
        at: Position,
        origin: OriginId,
        content: [u8; 16],
        item: &LedgerItem,
    ) -> Result<Applied, BookError> {
        match self.origins.get(&origin) {
            Some(old) if old.content == content => return Ok(Applied::Repeated(old.at)),
            Some(old) => return Err(BookError::OriginReused { origin, earlier: old.at }),
            None => {}
        }
        self.rights.apply(item)?;
        self.holds.apply(item)?;
        self.origins.insert(origin, Origin { at, content });
        Ok(Applied::Counted)
    }

    /// Says what `apply` would say of a grant or caps, without applying it: `Ok` the same stands there, `Err` another.
    pub fn known_terms(&self, origin: OriginId, content: [u8; 16]) -> Option<Result<Position, Position>> {
        let old = self.origins.get(&origin)?;
        Some(if old.content == content { Ok(old.at) } else { Err(old.at) })
    }

    /// Folds one entry. Charges are idempotent by the call (see `post`), everything else by its origin here.
    pub fn apply_entry(&mut self, at: Position, entry: &LedgerEntry) -> Result<Applied, BookError> {
        let origin = entry.origin_id;
        check_entry(entry).map_err(|imbalance| BookError::Unbalanced { origin, imbalance })?;
        let order = (entry.kind != EntryKind::Charge).then(|| Origin { at, content: content_of(entry) });
        if let (Some(new), Some(old)) = (&order, self.origins.get(&origin)) {
            return if new.content == old.content {
                Ok(Applied::Repeated(old.at))
            } else {
                Err(BookError::OriginReused { origin, earlier: old.at })
            };
        }
        if u32::try_from(at.seq).is_err() {
            return Err(BookError::TooManyFrames { seq: at.seq });
        }
        self.lines.post(&entry.postings).map_err(|_| BookError::Range { origin })?;
        if entry.kind == EntryKind::Charge {
            self.holds.spend(entry, |posting| crate::views::owed(posting.gl));
        }
        if let Some(call) = entry.call_id {
            self.calls.insert(call, at.seq);
        }
        if let Some(order) = order {
            self.origins.insert(origin, order);
        }
        self.counts.entries[entry.kind as usize] += 1;
        Ok(Applied::Counted)
    }

    /// Reads ahead what posting these calls will look up, so that it waits for the memory of several at a time. Changes
    /// nothing; what it returns means nothing.
    pub fn warm<'a>(&self, calls: impl Iterator<Item = &'a PricedCall>) -> u64 {
        let mut hashes: SmallVec<[u64; 256]> = SmallVec::new();
        let mut side = |side: &PricedSide| {
            let (party, result) = side.lines();
            hashes.push(self.lines.hash(party, &side.account, "", "", side.currency));
            hashes.push(self.lines.hash(result, "", &side.product, &side.destination, side.currency));
        };
        let mut known = 0;
        for call in calls {
            known ^= u64::from(self.calls.contains(call.call_id));
            call.sides.iter().for_each(&mut side);
        }
        known ^ self.lines.touch(&hashes)
    }

    /// True when the entry would keep every balance in the range.
    pub fn fits(&self, entry: &LedgerEntry) -> bool {
        self.lines.fit(&entry.postings)
    }

    /// Says what `apply_entry` would say of an order of a person, without applying it.
    pub fn known_order(&self, entry: &LedgerEntry) -> Option<Result<Position, Position>> {
        let old = self.origins.get(&entry.origin_id)?;
        Some(if old.content == content_of(entry) { Ok(old.at) } else { Err(old.at) })
    }

    /// Where the order with this origin stands.
    pub fn order(&self, origin: OriginId) -> Option<Position> {
        self.origins.get(&origin).map(|order| order.at)
    }

    /// Where all orders stand (everything that is no charge), rising.
    pub fn orders(&self) -> Vec<Position> {
        let mut places: Vec<Position> = self.origins.values().map(|order| order.at).collect();
        places.sort_unstable();
        places
    }

    /// True when something was posted for this call.
    pub fn knows(&self, call: CallId) -> bool {
        self.calls.contains(call)
    }

    /// Frames of the ledger that may hold entries of this call, rising.
    pub fn frames_of(&self, call: CallId) -> Vec<u64> {
        self.calls.frames_of(call)
    }

    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Open holds, grants and caps.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// What this site may spend of some accounts, for the decision that comes: rights of a site among others. `None`: the
    /// ledger has no other site beside it, and all that is left may be spent. Stands in no root and no snapshot.
    pub fn set_means(&mut self, means: Option<Vec<(SmolStr, Amount)>>) {
        self.means = means;
    }

    /// This site's share: channels, calls a second and daily spend are divided by it. Stands in no root and no snapshot.
    pub fn set_among(&mut self, among: Option<Among>) {
        self.among = among.filter(|among| among.all > 0);
    }

    /// Carriers whose accounts draw on one line, by setting. Stands in no root and no snapshot.
    pub fn set_net_positions(&mut self, net: NetPositions) {
        self.net = net;
    }

    /// The currency of a carrier's line; `None`: its accounts stand for themselves.
    pub fn net_position(&self, carrier: &str) -> Option<Currency> {
        self.net.get(carrier).copied()
    }

    /// This site's share of a number of calls.
    pub(crate) fn share_of(&self, cap: u32) -> u32 {
        self.among.map_or(cap, |among| among.of(cap))
    }

    /// This site's share of an amount; the rest of the division is nobody's.
    pub(crate) fn share_of_amount(&self, cap: Amount) -> Amount {
        self.among.map_or(cap, |among| {
            let (own, all) = (i128::from(among.own), i128::from(among.all));
            // Parts first where the sum is too large to be multiplied.
            Amount(cap.0.checked_mul(own).map_or_else(|| cap.0 / all * own, |product| product / all))
        })
    }

    /// What may be spent of an account, where that was handed in; an account that was not has nothing.
    pub(crate) fn means(&self, account: &str) -> Option<Amount> {
        let means = self.means.as_ref()?;
        Some(means.iter().find(|(of, _)| of == account).map_or(Amount::ZERO, |(_, amount)| *amount))
    }

    /// Limits, reserves and gifts of this stream between sites.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// State root over all balances and, where there are any, over holds, grants and caps, and over rights between
    /// sites.
    pub fn root(&mut self) -> [u8; 32] {
        let lines = self.lines.root();
        let rights = self.rights.root();
        let holds = self.holds.root();
        if holds.is_none() && rights.is_none() {
            return self.versioned(lines);
        }
        let mut all = blake3::Hasher::new();
        all.update(if rights.is_some() { b"tandem.state.v3" } else { b"tandem.state.v2" }).update(&lines);
        all.update(&holds.unwrap_or_default());
        if let Some(rights) = rights {
            all.update(&rights);
        }
        self.versioned(*all.finalize().as_bytes())
    }
}

/// What makes two orders the same: kind, account, what it adjusts, and every line. Times and who said it may differ
/// when a request is sent again.
fn content_of(entry: &LedgerEntry) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(256);
    let mut part = |text: &[u8]| {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
    };
    part(entry.kind.as_str().as_bytes());
    part(entry.account.as_bytes());
    part(&entry.adjusts.map(|id| id.0).unwrap_or_default());
    for posting in &entry.postings {
        for text in [posting.gl.as_str(), &posting.account, &posting.product, &posting.destination] {
            part(text.as_bytes());
        }
        part(posting.currency.as_str().as_bytes());
        part(&posting.amount.0.to_le_bytes());
    }
    let mut content = [0; 16];
    content.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    content
}

#[cfg(test)]
mod tests;
