//! The fold of all sites' memo entries: rows by line and site, and what is known of each call on each line. Each
//! entry touches its own site's row only, so streams fold in any order to the same state.

use super::row::Row;
use super::{GiveWhy, Let, LineId, Memo, Pot, PullId, SiteNo};
use facts::{Amount, CallId};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

/// Why an entry of a stream cannot be folded. The frame is kept for inspection, alarmed, and the others go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FoldRefusal {
    #[error("site {site} has an entry with a negative amount on line {line}")]
    Negative { site: SiteNo, line: LineId },
    #[error("site {site}'s totals on line {line} leave the integer range")]
    Range { site: SiteNo, line: LineId },
    #[error("site {site} closes or extends a hold of call {call} on line {line} that is not open")]
    NoHold { site: SiteNo, line: LineId, call: CallId },
    #[error("site {site} opens a hold of call {call} on line {line} twice")]
    HoldTwice { site: SiteNo, line: LineId, call: CallId },
    #[error("site {site} charges call {call} on line {line} with {held} held, its hold is {hold}")]
    BeyondHold { site: SiteNo, line: LineId, call: CallId, held: Amount, hold: Amount },
    #[error("site {site} charges or reverses call {call} on line {line} twice")]
    Twice { site: SiteNo, line: LineId, call: CallId },
}

/// A hold that is open at a site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenHold {
    pub amount: i128,
    pub seconds: u32,
    pub until: i64,
}

/// A charge at a site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charged {
    pub held: i128,
    pub over: i128,
    /// It closed a hold of its site: wins against one that did not.
    pub closed_hold: bool,
    pub reversed: bool,
}

/// What one site did for one call on one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AtSite {
    pub hold: Option<OpenHold>,
    pub charge: Option<Charged>,
    /// The hold was let go because another site charged; a later end is a no-op.
    pub elsewhere: bool,
    /// Cover that other sites passed to this one for the call, and what it passed on.
    pub cover_in: i128,
    pub cover_out: i128,
}

/// A call on a line, site by site, rising.
pub type AtSites = SmallVec<[(SiteNo, AtSite); 2]>;

/// What speaks for a charge where another site has charged the same call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claim {
    /// The end is an estimate. Once it is not, it stays so.
    pub estimated: bool,
    /// It closed a hold of its site.
    pub closed_hold: bool,
}

/// The charge that counts: a real end before an estimate, then one that closed a hold, then the lowest site (8.8). A
/// claim only ever grows stronger, and a reversed one is out of it, so of two sites at most one gives way.
pub fn winner<T>(charges: impl Iterator<Item = (SiteNo, T)>, claim: impl Fn(&T) -> Claim) -> Option<(SiteNo, T)> {
    charges.min_by_key(|(site, charge)| {
        let Claim { estimated, closed_hold } = claim(charge);
        (estimated, !closed_hold, *site)
    })
}

/// What a site owes the winner of a call on one line, where it is not the winner itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owed {
    /// Its open hold ends and passes so much.
    Release {
        passed: i128,
    },
    /// Its own charge is reversed; cover received for it goes along.
    Reverse {
        passed: i128,
    },
    /// Cover that came here after that goes on.
    Cover {
        amount: i128,
    },
    Nothing,
}

/// Of cover that came here for a call, what still goes on to the winner. Several sites that each let a hold go may pass
/// more than this site's charge came to (`own`, reversed or not), and what is more may have been spent before anybody
/// knew of the winner. Only what the reversal brings back is sure to be there, and it covers the winner's charge whole.
pub fn cover(came: i128, own: i128, gone: i128) -> i128 {
    came.min(own).saturating_sub(gone).max(0)
}

/// Its hold, its charge, cover that has come to the wrong place (8.5, 8.8). `hold`: open here; `charged`: a charge of
/// its own is in effect; `over`: of the winner's charge, what its own hold did not cover; `cover`: what of it goes on
/// ([`cover`]).
pub fn owed(hold: Option<i128>, charged: bool, over: i128, cover: i128) -> Owed {
    match hold {
        Some(held) => Owed::Release { passed: held.min(over).max(0) },
        None if charged => Owed::Reverse { passed: cover },
        None if cover > 0 => Owed::Cover { amount: cover },
        None => Owed::Nothing,
    }
}

/// Rows, calls and answered pulls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Credit {
    lines: HashMap<LineId, SmallVec<[(SiteNo, Row); 3]>>,
    calls: HashMap<(CallId, LineId), AtSites>,
    pulls: HashSet<PullId>,
}

impl Credit {
    /// Folds all entries of one frame of `site`'s stream, or none of them.
    pub fn apply_frame(&mut self, site: SiteNo, memos: &[Memo]) -> Result<(), FoldRefusal> {
        let mut before = Vec::with_capacity(memos.len());
        for memo in memos {
            let key = memo.call().map(|call| (call, memo.line().clone()));
            let sites = key.map(|key| (self.calls.get(&key).cloned(), key));
            before.push((memo, self.lines.get(memo.line()).cloned(), sites));
            if let Err(refusal) = self.apply(site, memo) {
                for (memo, rows, sites) in before.into_iter().rev() {
                    put_back(&mut self.lines, memo.line().clone(), rows);
                    if let Some((sites, key)) = sites {
                        put_back(&mut self.calls, key, sites);
                    }
                    if let Memo::Give { why: GiveWhy::Pull(id), .. } = memo {
                        self.pulls.remove(id);
                    }
                }
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Folds one entry of `site`'s stream; after a refusal nothing of it counts.
    pub fn apply(&mut self, site: SiteNo, memo: &Memo) -> Result<(), FoldRefusal> {
        let line = memo.line();
        let range = || FoldRefusal::Range { site, line: line.clone() };
        if negative(memo) {
            return Err(FoldRefusal::Negative { site, line: line.clone() });
        }
        let mut row = self.row(line, site).cloned().unwrap_or_default();
        let key = memo.call().map(|call| (call, line.clone()));
        let mut at = key.as_ref().map(|(call, line)| self.at(*call, line, site)).unwrap_or_default();
        move_row(&mut row, &mut at, memo, site)?.ok_or_else(range)?;
        if !row.in_range() {
            return Err(range());
        }
        if let Some(key) = key {
            let sites = self.calls.entry(key).or_default();
            *slot(sites, site) = at;
            if let Some((to, passed)) = passed(memo) {
                slot(sites, to).cover_in += passed;
            }
        }
        if let Memo::Give { why: GiveWhy::Pull(id), .. } = memo {
            self.pulls.insert(*id);
        }
        *slot(self.lines.entry(line.clone()).or_default(), site) = row;
        Ok(())
    }

    /// The totals of `site` on `line`; `None` when it never had an entry there.
    pub fn row(&self, line: &str, site: SiteNo) -> Option<&Row> {
        self.lines.get(line)?.iter().find(|(of, _)| *of == site).map(|(_, row)| row)
    }

    /// All rows of a line, rising by site.
    pub fn rows(&self, line: &str) -> &[(SiteNo, Row)] {
        self.lines.get(line).map_or(&[], |rows| rows)
    }

    /// Rights of `site` as far as these streams are folded: too small while a Give to it is missing, never too large.
    pub fn rights(&self, line: &str, site: SiteNo) -> i128 {
        let rows = self.rows(line);
        let given: i128 = rows.iter().map(|(_, row)| row.given_to(site)).sum();
        rows.iter().find(|(of, _)| *of == site).map_or(0, |(_, row)| row.own()) + given
    }

    /// What `site` did for a call.
    pub fn at(&self, call: CallId, line: &LineId, site: SiteNo) -> AtSite {
        self.sites(call, line).iter().find(|(of, _)| *of == site).map(|(_, at)| *at).unwrap_or_default()
    }

    /// What all sites did for a call.
    pub fn sites(&self, call: CallId, line: &LineId) -> &[(SiteNo, AtSite)] {
        self.calls.get(&(call, line.clone())).map_or(&[], |sites| sites)
    }

    /// The charge in effect that counts: one that closed a hold before one that did not, then the lowest site (8.8).
    pub fn winner(&self, call: CallId, line: &LineId) -> Option<(SiteNo, Charged)> {
        let charges = self.sites(call, line).iter().filter_map(|(site, at)| Some((*site, at.charge?)));
        winner(charges.filter(|(_, charge)| !charge.reversed), |charge| Claim {
            estimated: false,
            closed_hold: charge.closed_hold,
        })
    }

    /// Takes over the totals of a site on a line as the fold of its stream has them. For whoever keeps that fold: the
    /// ledger's process, whose books hold more than rights.
    pub fn set_row(&mut self, line: &LineId, site: SiteNo, row: Row) {
        *slot(self.lines.entry(line.clone()).or_default(), site) = row;
    }

    pub(super) fn forget_pulls(&mut self) {
        self.pulls.clear();
    }

    /// Notes that this pull was answered with a Give, where the fold is kept by somebody else.
    pub fn set_answered(&mut self, pull: PullId) {
        self.pulls.insert(pull);
    }

    /// True when this pull was answered with a Give.
    pub fn answered(&self, pull: PullId) -> bool {
        self.pulls.contains(&pull)
    }

    /// All calls on lines, in no order.
    pub fn calls(&self) -> impl Iterator<Item = (&(CallId, LineId), &AtSites)> {
        self.calls.iter()
    }

    /// All lines, in no order.
    pub fn lines(&self) -> impl Iterator<Item = &LineId> {
        self.lines.keys()
    }
}

fn put_back<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// The entry of `site` in a short list kept rising by site.
fn slot<T: Default, A: smallvec::Array<Item = (SiteNo, T)>>(list: &mut SmallVec<A>, site: SiteNo) -> &mut T {
    let at = match list.binary_search_by_key(&site, |(of, _)| *of) {
        Ok(at) => at,
        Err(at) => {
            list.insert(at, (site, T::default()));
            at
        }
    };
    &mut list[at].1
}

fn negative(memo: &Memo) -> bool {
    let amounts: [Amount; 2] = match memo {
        Memo::Grant { amount, .. }
        | Memo::Take { amount, .. }
        | Memo::Reserve { amount, .. }
        | Memo::Hold { amount, .. }
        | Memo::Extend { amount, .. }
        | Memo::Give { amount, .. } => [*amount, Amount::ZERO],
        Memo::Charge { held, over, .. } => [*held, *over],
        Memo::Release { why: Let::ChargedElsewhere { passed, .. }, .. } | Memo::Reverse { passed, .. } => {
            [*passed, Amount::ZERO]
        }
        Memo::Release { .. } => [Amount::ZERO; 2],
    };
    amounts.iter().any(|amount| amount.0 < 0)
}

/// Cover that the entry passes for its call, and to whom.
fn passed(memo: &Memo) -> Option<(SiteNo, i128)> {
    match memo {
        Memo::Release { why: Let::ChargedElsewhere { to, passed }, .. } | Memo::Reverse { to, passed, .. } => {
            Some((*to, passed.0))
        }
        Memo::Give { to, amount, why: GiveWhy::Cover(_), .. } => Some((*to, amount.0)),
        _ => None,
    }
}

/// Applies the entry to copies; the inner `None` is an overflow.
fn move_row(row: &mut Row, at: &mut AtSite, memo: &Memo, site: SiteNo) -> Result<Option<()>, FoldRefusal> {
    let add = |to: &mut i128, amount: i128| -> Option<()> {
        *to = to.checked_add(amount)?;
        Some(())
    };
    Ok(match memo {
        Memo::Grant { pot, amount, .. } => add(pot_of(row, *pot), amount.0),
        Memo::Take { pot, amount, .. } => add(pot_of(row, *pot), -amount.0),
        Memo::Reserve { amount, .. } => {
            row.reserve = amount.0;
            Some(())
        }
        Memo::Hold { call, line, amount, seconds, until } => {
            if at.hold.is_some() {
                return Err(FoldRefusal::HoldTwice { site, line: line.clone(), call: *call });
            }
            at.hold = Some(OpenHold { amount: amount.0, seconds: *seconds, until: *until });
            add(&mut row.open_holds, amount.0)
        }
        Memo::Extend { call, line, amount, seconds } => {
            let no_hold = || FoldRefusal::NoHold { site, line: line.clone(), call: *call };
            let hold = at.hold.as_mut().ok_or_else(no_hold)?;
            hold.seconds = *seconds;
            add(&mut hold.amount, amount.0).and_then(|()| add(&mut row.open_holds, amount.0))
        }
        Memo::Charge { call, line, held, over } => {
            if at.charge.is_some() {
                return Err(FoldRefusal::Twice { site, line: line.clone(), call: *call });
            }
            let hold = at.hold.take();
            let size = hold.map_or(0, |hold| hold.amount);
            if held.0 > size {
                let (line, hold) = (line.clone(), Amount(size));
                return Err(FoldRefusal::BeyondHold { site, line, call: *call, held: *held, hold });
            }
            at.charge = Some(Charged { held: held.0, over: over.0, closed_hold: hold.is_some(), reversed: false });
            row.open_holds -= size;
            add(&mut row.held, held.0).and_then(|()| add(&mut row.over, over.0))
        }
        Memo::Release { call, line, why } => {
            let no_hold = || FoldRefusal::NoHold { site, line: line.clone(), call: *call };
            let hold = at.hold.take().ok_or_else(no_hold)?;
            row.open_holds -= hold.amount;
            match why {
                Let::ChargedElsewhere { to, passed } => {
                    at.elsewhere = true;
                    row.give(*to, passed.0)
                }
                Let::Ended | Let::Expired => Some(()),
            }
        }
        Memo::Reverse { call, line, to, passed } => {
            let twice = || FoldRefusal::Twice { site, line: line.clone(), call: *call };
            let charge = at.charge.as_mut().filter(|charge| !charge.reversed).ok_or_else(twice)?;
            charge.reversed = true;
            row.held -= charge.held;
            row.over -= charge.over;
            at.cover_out += passed.0;
            row.give(*to, passed.0)
        }
        Memo::Give { to, amount, why, .. } => {
            if let GiveWhy::Cover(_) = why {
                at.cover_out += amount.0;
            }
            row.give(*to, amount.0)
        }
    })
}

fn pot_of(row: &mut Row, pot: Pot) -> &mut i128 {
    match pot {
        Pot::Limit => &mut row.limit,
        Pot::Funds => &mut row.funds,
    }
}
