//! What a run makes of a stored call (design 9.2): which sides are priced again, what changes, and the sums of it by
//! account and destination. Never reads a log, never posts; what is current is the ledger's to say.

use facts::ids::{Cause, RevId, RunId};
use facts::run::{RunKind, Selection};
use facts::xdr::{ProvisionalSource, RatedCall, Side, Unrated, Xdr};
use facts::{Amount, Currency, OccurredAt};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

use crate::sides::SidePrice;
use crate::tariffs::Tariffs;

/// The sides of a call as a run leaves them.
pub type Sides = SmallVec<[Xdr; 2]>;

/// A destination of a deck, by their numbers in one [`Tariffs`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub deck: u32,
    pub destination: u32,
}

/// What of one side is compared, chosen and summed by runs; it borrows its names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    pub side: Side,
    pub level: u8,
    /// Place among the call's attempts; with side and level it names the side within its call, as its id does.
    pub attempt: Option<u16>,
    pub account: &'a str,
    pub product: &'a str,
    pub agreement: &'a str,
    /// Deck and destination of the rate; `None`: without a rate.
    pub rate: Option<(&'a str, &'a str)>,
    /// Where the destination stands in the tariffs that priced it: the same place, the same name.
    pub place: Option<Place>,
    pub amount: Amount,
    pub gross: Amount,
    pub currency: Currency,
    pub unrated: Option<Unrated>,
    pub provisional: Option<ProvisionalSource>,
}

impl<'a> From<&'a Xdr> for Line<'a> {
    fn from(xdr: &'a Xdr) -> Self {
        Self {
            side: xdr.side,
            level: xdr.level,
            attempt: xdr.attempt,
            account: &xdr.account,
            product: &xdr.product,
            agreement: &xdr.agreement,
            rate: xdr.rate.as_ref().map(|rate| (rate.deck.as_str(), rate.destination.as_str())),
            place: None,
            amount: xdr.amount,
            gross: xdr.gross,
            currency: xdr.currency,
            unrated: xdr.unrated,
            provisional: xdr.provisional,
        }
    }
}

impl Line<'_> {
    /// The same side of the same call.
    fn is(&self, other: &Line<'_>) -> bool {
        (self.side, self.level, self.attempt) == (other.side, other.level, other.attempt)
    }

    fn destination(&self) -> &str {
        self.rate.map_or("", |(_, destination)| destination)
    }
}

/// The lines of stored sides.
pub fn lines(xdrs: &[Xdr]) -> SmallVec<[Line<'_>; 2]> {
    xdrs.iter().map(Line::from).collect()
}

/// One side of a call as a run leaves it: by its place among the new ones or the old ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    New(usize),
    Old(usize),
}

/// What a run makes of a call whose stored sides are `old` and whose sides cost `new` now: every side of the call, chosen
/// ones at the new price, the others as they were. `None`: nothing that is booked would change.
pub fn picked(kind: RunKind, chosen: &Selection, old: &[Line<'_>], new: &[Line<'_>]) -> Option<SmallVec<[Pick; 4]>> {
    let mut changed = false;
    let mut picks = SmallVec::new();
    for (at, side) in new.iter().enumerate() {
        let before = old.iter().position(|before| before.is(side));
        let stored = before.map(|before| &old[before]);
        if takes(kind, chosen, stored, Some(side)) {
            changed |= stored.is_none_or(|stored| books_otherwise(stored, side));
            picks.push(Pick::New(at));
        } else if let Some(before) = before {
            picks.push(Pick::Old(before));
        }
    }
    for (at, side) in old.iter().enumerate() {
        // A reseller level that is no more: gone where it is chosen, else as it was.
        if new.iter().all(|after| !after.is(side)) {
            if takes(kind, chosen, Some(side), None) {
                changed = true;
            } else {
                picks.push(Pick::Old(at));
            }
        }
    }
    changed.then_some(picks)
}

/// True where the run goes over a call that started then.
pub fn in_period(chosen: &Selection, started_at: OccurredAt) -> bool {
    chosen.from.is_none_or(|from| started_at >= from) && chosen.until.is_none_or(|until| started_at < until)
}

/// What a run makes of `rated`, priced by `tariffs`: every side of the call under the run's revision, as [`picked`]
/// says. `None`: the run does not choose the call, or nothing that is booked would change. The caller is identified
/// again on the way.
pub fn reprice(tariffs: &Tariffs, kind: RunKind, chosen: &Selection, run: RunId, rated: &RatedCall) -> Option<Sides> {
    if !in_period(chosen, rated.call.started_at) {
        return None;
    }
    let cause = Cause::Run(run.0);
    let mut prices: SmallVec<[SidePrice<'_>; 2]> = SmallVec::new();
    // Pricing takes the number apart by itself; whoever stores the call again normalises it first.
    tariffs.rate_many(std::iter::once(&rated.call), &mut |_, price| prices.push(price));
    let new: SmallVec<[Line<'_>; 2]> = prices.iter().map(SidePrice::line).collect();
    let picks = picked(kind, chosen, &lines(&rated.xdrs), &new)?;
    let side = |pick: Pick| match pick {
        Pick::New(at) => prices[at].xdr(&rated.call, &cause),
        Pick::Old(at) => under(&rated.xdrs[at], &cause),
    };
    Some(picks.into_iter().map(side).collect())
}

/// What an undo makes of a call: every side as `before` had it, under the undo's revision.
pub fn undone(run: RunId, before: &RatedCall) -> Sides {
    let cause = Cause::Run(run.0);
    before.xdrs.iter().map(|xdr| under(xdr, &cause)).collect()
}

/// A side as it was, as a revision of its own.
fn under(xdr: &Xdr, cause: &Cause) -> Xdr {
    Xdr { rev_id: RevId::new(xdr.xdr_id, cause), ..xdr.clone() }
}

/// True where the run may change this side.
fn takes(kind: RunKind, chosen: &Selection, old: Option<&Line<'_>>, new: Option<&Line<'_>>) -> bool {
    let either = |fits: &dyn Fn(&Line<'_>) -> bool| old.is_some_and(fits) || new.is_some_and(fits);
    let names = |list: &[SmolStr], name: &str| list.iter().any(|listed| listed == name);
    let account = chosen.accounts.is_empty() || either(&|line| names(&chosen.accounts, line.account));
    let to = |line: &Line<'_>| line.rate.is_some_and(|(_, destination)| names(&chosen.destinations, destination));
    let destination = chosen.destinations.is_empty() || either(&to);
    let by = |line: &Line<'_>| line.rate.is_some_and(|(deck, _)| chosen.deck == deck);
    let deck = chosen.deck.is_empty() || either(&by);
    let reason =
        |old: &Line<'_>| old.unrated.is_some_and(|why| chosen.unrated.is_empty() || chosen.unrated == why.as_str());
    account && destination && deck && (kind != RunKind::Recycle || old.is_none_or(reason))
}

/// True where the two come to other postings or another reason. Another deck version with the same money is no change.
fn books_otherwise(old: &Line<'_>, new: &Line<'_>) -> bool {
    let booked = |line: &Line<'_>| (line.amount, line.gross, line.currency, line.unrated, line.provisional);
    booked(old) != booked(new)
        || old.account != new.account
        || old.product != new.product
        || old.destination() != new.destination()
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
    /// Agreements of all sides of the calls that change, before and after.
    pub agreements: BTreeSet<SmolStr>,
}

/// A sum is beyond the integer range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sums of the run are beyond the integer range; choose a shorter period or fewer accounts")]
pub struct SumRange;

impl Preview {
    /// Adds what another part of the run came to. Both are in order: no row is searched for.
    pub fn merge(&mut self, other: Self) -> Result<(), SumRange> {
        self.calls += other.calls;
        self.agreements.extend(other.agreements);
        let mut others = other.rows.into_iter().peekable();
        let mut rows = Vec::with_capacity(self.rows.len() + others.len());
        for (key, mut sums) in std::mem::take(&mut self.rows) {
            while let Some(before) = others.next_if(|(other, _)| *other < key) {
                rows.push(before);
            }
            if let Some((_, same)) = others.next_if(|(other, _)| *other == key) {
                sums.add(&same)?;
            }
            rows.push((key, sums));
        }
        rows.extend(others);
        self.rows = rows.into_iter().collect();
        Ok(())
    }
}

impl Sums {
    fn add(&mut self, other: &Self) -> Result<(), SumRange> {
        self.before = self.before.checked_add(other.before).ok_or(SumRange)?;
        self.after = self.after.checked_add(other.after).ok_or(SumRange)?;
        self.sides += other.sides;
        self.rises += other.rises;
        self.falls += other.falls;
        self.becomes_unrated += other.becomes_unrated;
        self.becomes_rated += other.becomes_rated;
        Ok(())
    }
}

/// A preview while it is summed: names as numbers, so that a call costs no text and no place on the heap. Lines that
/// name a [`Place`] come from one and the same tariffs.
#[derive(Debug, Default)]
pub struct Sheet {
    calls: u64,
    names: Names,
    /// Numbers of the names of destinations, by deck and destination; 0 = not asked yet, else one above the number.
    placed: Vec<Vec<u32>>,
    rows: HashMap<(Side, u32, u32, Currency), Sums>,
    agreements: HashSet<SmolStr>,
}

#[derive(Debug, Default)]
struct Names {
    known: HashMap<SmolStr, u32>,
    all: Vec<SmolStr>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.known.get(name) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(name.into());
        self.known.insert(name.into(), number);
        number
    }
}

impl Sheet {
    /// Counts one call whose sides change from `old` to `new`. Sides that stay as they are count nowhere.
    pub fn add(&mut self, old: &[Line<'_>], new: &[Line<'_>]) -> Result<(), SumRange> {
        self.calls += 1;
        for line in old {
            self.agreement(line.agreement);
        }
        for after in new {
            let before = old.iter().find(|before| before.is(after));
            if before.is_none_or(|before| before.agreement != after.agreement) {
                self.agreement(after.agreement);
            }
            if before.is_none_or(|before| books_otherwise(before, after)) {
                self.side(before, Some(after))?;
            }
        }
        for before in old.iter().filter(|before| new.iter().all(|after| !after.is(before))) {
            self.side(Some(before), None)?;
        }
        Ok(())
    }

    fn agreement(&mut self, name: &str) {
        if !self.agreements.contains(name) {
            self.agreements.insert(name.into());
        }
    }

    /// The row that a side is counted in.
    fn row(&mut self, line: &Line<'_>) -> &mut Sums {
        let destination = match line.place {
            None => self.names.number(line.destination()),
            Some(place) => self.placed(place, line.destination()),
        };
        self.rows.entry((line.side, self.names.number(line.account), destination, line.currency)).or_default()
    }

    fn placed(&mut self, place: Place, name: &str) -> u32 {
        let (deck, destination) = (place.deck as usize, place.destination as usize);
        if self.placed.len() <= deck {
            self.placed.resize(deck + 1, Vec::new());
        }
        let known = &mut self.placed[deck];
        if known.len() <= destination {
            known.resize(destination + 1, 0);
        }
        if known[destination] == 0 {
            known[destination] = self.names.number(name) + 1;
        }
        known[destination] - 1
    }

    fn side(&mut self, before: Option<&Line<'_>>, after: Option<&Line<'_>>) -> Result<(), SumRange> {
        let stays = before.zip(after).is_some_and(|(before, after)| {
            (before.side, before.currency) == (after.side, after.currency)
                && before.account == after.account
                && before.destination() == after.destination()
        });
        if let Some(before) = before.filter(|_| !stays) {
            let sums = self.row(before);
            sums.before = sums.before.checked_add(before.gross).ok_or(SumRange)?;
            sums.sides += 1;
        }
        let Some(after) = after else { return Ok(()) };
        let sums = self.row(after);
        sums.after = sums.after.checked_add(after.gross).ok_or(SumRange)?;
        sums.sides += 1;
        let Some(before) = before else { return Ok(()) };
        if stays {
            sums.before = sums.before.checked_add(before.gross).ok_or(SumRange)?;
        }
        // A price in another currency neither rises nor falls.
        if before.currency == after.currency {
            sums.rises += u64::from(after.gross > before.gross);
            sums.falls += u64::from(after.gross < before.gross);
        }
        sums.becomes_unrated += u64::from(before.unrated.is_none() && after.unrated.is_some());
        sums.becomes_rated += u64::from(before.unrated.is_some() && after.unrated.is_none());
        Ok(())
    }

    /// The sums by name.
    pub fn finish(self) -> Preview {
        let mut order: Vec<u32> = (0..self.names.all.len() as u32).collect();
        order.sort_unstable_by_key(|number| &self.names.all[*number as usize]);
        let mut ranks = vec![0u32; order.len()];
        for (rank, number) in (0u32..).zip(&order) {
            ranks[*number as usize] = rank;
        }
        let mut rows: Vec<_> = self.rows.into_iter().collect();
        let rank = |number: u32| ranks[number as usize];
        rows.sort_unstable_by_key(|((side, account, to, currency), _)| (*side, rank(*account), rank(*to), *currency));
        let name = |number: u32| self.names.all[number as usize].clone();
        let row = |((side, account, destination, currency), sums)| {
            (Key { side, account: name(account), destination: name(destination), currency }, sums)
        };
        let agreements = self.agreements.into_iter().collect();
        Preview { calls: self.calls, rows: rows.into_iter().map(row).collect(), agreements }
    }
}

#[cfg(test)]
mod tests;
