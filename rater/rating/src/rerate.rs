//! What a run makes of a stored call (design 9.2): which sides are priced again, what changes, and the sums of it by
//! account and destination. Never reads a log, never posts; what is current is the ledger's to say.

use facts::ids::{Cause, RevId, RunId};
use facts::run::{RunKind, Selection};
use facts::xdr::{RatedCall, Side, Xdr};
use facts::{Amount, Currency};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::BTreeMap;

use crate::tariffs::Tariffs;

/// The sides of a call as a run leaves them.
pub type Sides = SmallVec<[Xdr; 2]>;

/// What a run makes of `rated`, priced by `tariffs`: every side of the call under the run's revision, chosen ones at
/// the new price, the others as they were. `None`: the run does not choose the call, or nothing that is booked would
/// change. The caller is identified again on the way.
pub fn reprice(tariffs: &Tariffs, kind: RunKind, chosen: &Selection, run: RunId, rated: &RatedCall) -> Option<Sides> {
    let started_at = rated.call.started_at;
    if chosen.from.is_some_and(|from| started_at < from) || chosen.until.is_some_and(|until| started_at >= until) {
        return None;
    }
    let cause = Cause::Run(run.0);
    let mut changed = false;
    let mut sides = Sides::new();
    // Pricing takes the number apart by itself; whoever stores the call again normalises it first.
    for new in tariffs.rate_as(&rated.call, &cause) {
        let old = rated.xdrs.iter().find(|old| old.xdr_id == new.xdr_id);
        if takes(kind, chosen, old, Some(&new)) {
            changed |= old.is_none_or(|old| books_otherwise(old, &new));
            sides.push(new);
        } else if let Some(old) = old {
            sides.push(Xdr { rev_id: RevId::new(old.xdr_id, &cause), ..old.clone() });
        }
    }
    for old in &rated.xdrs {
        // A reseller level that is no more: gone where it is chosen, else as it was.
        if sides.iter().all(|side| side.xdr_id != old.xdr_id) {
            if takes(kind, chosen, Some(old), None) {
                changed = true;
            } else {
                sides.push(Xdr { rev_id: RevId::new(old.xdr_id, &cause), ..old.clone() });
            }
        }
    }
    changed.then_some(sides)
}

/// What an undo makes of a call: every side as `before` had it, under the undo's revision.
pub fn undone(run: RunId, before: &RatedCall) -> Sides {
    let cause = Cause::Run(run.0);
    before.xdrs.iter().map(|xdr| Xdr { rev_id: RevId::new(xdr.xdr_id, &cause), ..xdr.clone() }).collect()
}

/// True where the run may change this side.
fn takes(kind: RunKind, chosen: &Selection, old: Option<&Xdr>, new: Option<&Xdr>) -> bool {
    let either = |fits: &dyn Fn(&Xdr) -> bool| old.is_some_and(fits) || new.is_some_and(fits);
    let account = chosen.accounts.is_empty() || either(&|xdr| chosen.accounts.contains(&xdr.account));
    let to = |xdr: &Xdr| xdr.rate.as_ref().is_some_and(|rate| chosen.destinations.contains(&rate.destination));
    let destination = chosen.destinations.is_empty() || either(&to);
    let by = |xdr: &Xdr| xdr.rate.as_ref().is_some_and(|rate| rate.deck == chosen.deck);
    let deck = chosen.deck.is_empty() || either(&by);
    let reason = |old: &Xdr| old.unrated.is_some_and(|why| chosen.unrated.is_empty() || chosen.unrated == why.as_str());
    account && destination && deck && (kind != RunKind::Recycle || old.is_none_or(reason))
}

/// True where the two come to other postings or another reason. Another deck version with the same money is no change.
fn books_otherwise(old: &Xdr, new: &Xdr) -> bool {
    let booked = |xdr: &Xdr| (xdr.amount, xdr.gross, xdr.currency, xdr.unrated, xdr.provisional);
    booked(old) != booked(new)
        || old.account != new.account
        || old.product != new.product
        || destination(old) != destination(new)
}

fn destination(xdr: &Xdr) -> &str {
    xdr.rate.as_ref().map_or("", |rate| rate.destination.as_str())
}

/// What one row of a preview is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    pub side: Side,
    pub account: SmolStr,
    /// Empty: without a rate.
    pub destination: SmolStr,
    pub currency: Currency,
}

/// Exact sums of one row, gross: what the account pays or is paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Sides counted in `before` or `after`.
    pub sides: u64,
    pub before: Amount,
    pub after: Amount,
    /// Sides that rise, fall, lose their price, and get one.
    pub rises: u64,
    pub falls: u64,
    pub becomes_unrated: u64,
    pub becomes_rated: u64,
}

/// A run in money, before anything is posted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preview {
    /// Calls that change.
    pub calls: u64,
    pub rows: BTreeMap<Key, Sums>,
}

/// A sum is beyond the integer range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sums of the run are beyond the integer range; choose a shorter period or fewer accounts")]
pub struct SumRange;

impl Preview {
    /// Counts one call whose sides change from `old` to `new`. Sides that stay as they are count nowhere.
    pub fn add(&mut self, old: &[Xdr], new: &[Xdr]) -> Result<(), SumRange> {
        self.calls += 1;
        for after in new {
            let before = old.iter().find(|before| before.xdr_id == after.xdr_id);
            if before.is_none_or(|before| books_otherwise(before, after)) {
                self.side(before, Some(after))?;
            }
        }
        for before in old.iter().filter(|before| new.iter().all(|after| after.xdr_id != before.xdr_id)) {
            self.side(Some(before), None)?;
        }
        Ok(())
    }

    fn side(&mut self, before: Option<&Xdr>, after: Option<&Xdr>) -> Result<(), SumRange> {
        let place = |xdr: &Xdr| Key {
            side: xdr.side,
            account: xdr.account.clone(),
            destination: destination(xdr).into(),
            currency: xdr.currency,
        };
        let (from, to) = (before.map(place), after.map(place));
        let moved = from != to;
        if let (Some(before), Some(key)) = (before, from) {
            let sums = self.rows.entry(key).or_default();
            sums.before = sums.before.checked_add(before.gross).ok_or(SumRange)?;
            sums.sides += u64::from(moved);
        }
        let (Some(after), Some(key)) = (after, to) else { return Ok(()) };
        let sums = self.rows.entry(key).or_default();
        sums.after = sums.after.checked_add(after.gross).ok_or(SumRange)?;
        sums.sides += 1;
        let Some(before) = before else { return Ok(()) };
        // A price in another currency neither rises nor falls.
        if before.currency == after.currency {
            sums.rises += u64::from(after.gross > before.gross);
            sums.falls += u64::from(after.gross < before.gross);
        }
        sums.becomes_unrated += u64::from(before.unrated.is_none() && after.unrated.is_some());
        sums.becomes_rated += u64::from(before.unrated.is_some() && after.unrated.is_none());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
