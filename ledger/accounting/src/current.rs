//! What has been posted for a call so far: the fold of its own entries, in log order. Only needed when something
//! about the call is said again (a late revision, a run, a repeat), so it is read from the log and not kept.

use crate::pay::origin_of_reversal;
use facts::entry::{EntryKind, Posting};
use facts::ids::OriginId;
use facts::xdr::Position;
use facts::{Amount, CallId, LedgerEntry, OccurredAt, XdrId};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Few postings, inline.
pub type Postings = SmallVec<[Posting; 2]>;

/// All sides of a call for which something was posted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CurrentCall {
    pub sides: Vec<CurrentSide>,
    /// Where the RatedCall stands that the newest entry came from.
    pub source: Option<(SmolStr, Position)>,
    /// Its charges were reversed since another site's charge of the call counts: nothing of it is posted here any more.
    pub lost: bool,
}

/// One xDR as the book has it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CurrentSide {
    pub xdr_id: XdrId,
    /// Account of the newest entry.
    pub account: SmolStr,
    /// Origin (rev id) of the newest entry.
    pub origin: OriginId,
    /// Sum of all its entries, zeros left out.
    pub postings: Postings,
    /// Every origin posted so far and what the side came to with it.
    pub seen: Vec<(OriginId, Postings)>,
}

impl CurrentCall {
    /// Folds the charges of `call`, given in log order; other entries are passed over. `None`: a sum is beyond the
    /// range, which no accepted log holds.
    pub fn fold<'a>(call: CallId, entries: impl IntoIterator<Item = &'a LedgerEntry>) -> Option<Self> {
        let mut this = Self::default();
        for entry in entries {
            match entry.kind {
                _ if entry.call_id != Some(call) => {}
                EntryKind::Charge => this.add(entry)?,
                EntryKind::Reversal => this.lost = true,
                _ => {}
            }
        }
        Some(this)
    }

    fn add(&mut self, entry: &LedgerEntry) -> Option<()> {
        let xdr_id = entry.xdr_id?;
        if entry.source.is_some() {
            self.source.clone_from(&entry.source);
        }
        let side = match self.sides.iter().position(|side| side.xdr_id == xdr_id) {
            Some(at) => &mut self.sides[at],
            None => {
                self.sides.push(CurrentSide {
                    xdr_id,
                    account: entry.account.clone(),
                    origin: entry.origin_id,
                    postings: Postings::new(),
                    seen: Vec::new(),
                });
                self.sides.last_mut()?
            }
        };
        side.account.clone_from(&entry.account);
        side.origin = entry.origin_id;
        for posting in &entry.postings {
            add(&mut side.postings, posting, posting.amount)?;
        }
        side.postings.retain(|posting| !posting.amount.is_zero());
        side.seen.push((entry.origin_id, side.postings.clone()));
        Some(())
    }

    /// The entries that take back all charges of this call, for another site's charge counts. `None`: beyond the range.
    pub fn reversals(&self, call: CallId, at: OccurredAt, by: &SmolStr, reason: &SmolStr) -> Option<Vec<LedgerEntry>> {
        let charged = self.sides.iter().filter(|side| !side.postings.is_empty());
        let reverse = |side: &CurrentSide| {
            Some(LedgerEntry {
                kind: EntryKind::Reversal,
                origin_id: origin_of_reversal(side.origin),
                account: side.account.clone(),
                occurred_at: at,
                call_id: Some(call),
                xdr_id: Some(side.xdr_id),
                source: None,
                by: by.clone(),
                reason: reason.clone(),
                adjusts: Some(side.origin),
                postings: difference(&Postings::new(), &side.postings)?,
            })
        };
        charged.map(reverse).collect()
    }

    pub fn side(&self, xdr: XdrId) -> Option<&CurrentSide> {
        self.sides.iter().find(|side| side.xdr_id == xdr)
    }

    /// What the call came to with this origin, where it was posted.
    pub fn seen(&self, origin: OriginId) -> Option<&Postings> {
        self.sides.iter().flat_map(|side| &side.seen).find_map(|(id, then)| (*id == origin).then_some(then))
    }
}

fn same_line(a: &Posting, b: &Posting) -> bool {
    a.gl == b.gl
        && a.currency == b.currency
        && a.account == b.account
        && a.product == b.product
        && a.destination == b.destination
}

/// Adds `amount` on the line of `posting`.
fn add(sums: &mut Postings, posting: &Posting, amount: Amount) -> Option<()> {
    match sums.iter_mut().find(|sum| same_line(sum, posting)) {
        Some(sum) => sum.amount = sum.amount.checked_add(amount)?,
        None => sums.push(Posting { amount, ..posting.clone() }),
    }
    Some(())
}

/// `new - current`, line by line, zeros left out. `None`: beyond the range.
pub fn difference(new: &Postings, current: &Postings) -> Option<Postings> {
    let mut sums = new.clone();
    for posting in current {
        add(&mut sums, posting, posting.amount.checked_neg()?)?;
    }
    sums.retain(|posting| !posting.amount.is_zero());
    Some(sums)
}

/// True when both come to the same on every line.
pub fn same(a: &Postings, b: &Postings) -> bool {
    difference(a, b).is_some_and(|rest| rest.is_empty())
}
