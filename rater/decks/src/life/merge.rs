//! A carrier's file into the next version of a deck: what it lists replaces what was there from its date on, what it
//! does not list stays (partial) or ends (A-Z). Past rows are kept, so that a call of then still has its price.
//!
//! A vendor's increase before the contract's date stands twice: by the contract in the deck, by his date in the claims.

use super::charge::{Compared, compare};
use super::rows::{ALWAYS, OPEN, RowRef, Rows, pair_up};
use facts::deck::{IntervalRule, Rate, RowStatus};

/// What a file leaves unsaid by leaving a code out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The whole deck: what is missing is no longer offered.
    Az,
    /// An amendment: what is missing stays.
    Partial,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Az => "az",
            Self::Partial => "partial",
        }
    }
}

/// What becomes of a code that an A-Z file does not list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Missing {
    /// Its row ends, the shorter prefix takes over (design 4.5).
    #[default]
    Discontinued,
    /// Calls to it are refused.
    Blocked,
}

/// How a file is merged. Instants are microseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub missing: Missing,
    /// From when rows without a date of their own count, and when what is missing ends.
    pub effective: i64,
    /// The earliest instant of an increase by the contract; `None` = the carrier's own date counts.
    pub notice: Option<i64>,
    /// The earliest instant at which a code closes, by being left out, blocked or discontinued, where its row is in force
    /// until then; `None` = the dates above count.
    pub closes: Option<i64>,
    pub rule: IntervalRule,
}

/// The next version.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// What counts: the contract's dates.
    pub rows: Rows,
    /// The carrier's increases by his own dates, each until the contract's date.
    pub claims: Rows,
}

/// Merges a file's rows into the deck in force. A first version takes the file as it is: there is nothing that it
/// could be an increase of.
pub fn merge(old: &Rows, claims: &Rows, file: &Rows, plan: &Plan) -> Merged {
    let mut merged = Merged::default();
    for claim in claims.iter() {
        merged.claims.push_between(claim, claim.row.from, claim.row.until);
    }
    let first = old.is_empty();
    pair_up(old, file, &mut |was, listed| {
        if listed.is_empty() {
            missing(&mut merged.rows, was, plan);
            return;
        }
        let mut timeline: Vec<Piece<'_>> =
            was.iter().map(|row| Piece { row: *row, from: row.row.from, until: row.row.until }).collect();
        for row in listed {
            let from = if row.row.from == ALWAYS && !first { plan.effective } else { row.row.from };
            let begins = Begin { from, until: row.row.until, first };
            place(&mut timeline, &mut merged.claims, old, *row, begins, plan);
        }
        timeline.iter().for_each(|piece| merged.rows.push_between(piece.row, piece.from, piece.until));
    });
    merged.rows.finish();
    merged.claims.finish();
    merged
}

/// A row for some time.
#[derive(Clone, Copy)]
struct Piece<'a> {
    row: RowRef<'a>,
    from: i64,
    until: i64,
}

#[derive(Clone, Copy)]
struct Begin {
    from: i64,
    until: i64,
    /// Nothing was there before.
    first: bool,
}

/// A key that the file does not list.
fn missing(rows: &mut Rows, was: &[RowRef<'_>], plan: &Plan) {
    let mut ended = None;
    // A code that is not sold yet need not wait.
    let sold = was.iter().any(|row| row.live(plan.effective));
    let end = plan.closes.filter(|_| sold).map_or(plan.effective, |closes| closes.max(plan.effective));
    for row in was {
        let ends = plan.kind == Kind::Az && row.row.until > end;
        match ends {
            false => rows.push_between(*row, row.row.from, row.row.until),
            true => {
                if row.row.from < end {
                    rows.push_between(*row, row.row.from, end);
                }
                ended = Some(*row);
            }
        }
    }
    let Some(row) = ended.filter(|row| plan.missing == Missing::Blocked && row.status() != RowStatus::Discontinued)
    else {
        return;
    };
    rows.push(Rate { status: RowStatus::Blocked, valid_from: Some(end), valid_until: None, ..row.rate() });
}

/// Puts one listed row on its code's timeline.
fn place<'a>(
    timeline: &mut Vec<Piece<'a>>,
    claims: &mut Rows,
    old: &'a Rows,
    row: RowRef<'a>,
    begin: Begin,
    plan: &Plan,
) {
    let before = timeline.iter().rev().find(|piece| piece.from <= begin.from && begin.from < piece.until).copied();
    // Listed again as it stands: the older date stays, and so does its end unless the file names another.
    if let Some(same) = before.filter(|piece| piece.row.same(row)) {
        cut(timeline, same.until.min(begin.until), begin.until);
        if let Some(piece) = timeline.iter_mut().find(|piece| piece.from == same.from) {
            piece.until = begin.until;
        }
        return;
    }
    let contract = contract_date(timeline, old, row, begin, plan);
    if contract > begin.from && row.status() == RowStatus::Open {
        claims.push_between(row, begin.from, contract.min(begin.until));
    }
    if contract >= begin.until {
        return;
    }
    cut(timeline, contract, OPEN);
    if row.status() != RowStatus::Discontinued || begin.first {
        timeline.push(Piece { row, from: contract, until: begin.until });
    }
}

/// Ends what is in force at `from` there, and takes out what begins between `from` and `until`.
fn cut(timeline: &mut Vec<Piece<'_>>, from: i64, until: i64) {
    timeline.retain(|piece| piece.from < from || piece.from >= until);
    timeline.iter_mut().filter(|piece| piece.until > from && piece.from < from).for_each(|piece| piece.until = from);
}

/// From when a listed row counts by the contract.
fn contract_date(timeline: &[Piece<'_>], old: &Rows, row: RowRef<'_>, begin: Begin, plan: &Plan) -> i64 {
    let in_force = timeline.iter().rev().find(|piece| piece.from <= begin.from && begin.from < piece.until);
    if row.status() != RowStatus::Open {
        let open = in_force.is_some_and(|piece| piece.row.status() == RowStatus::Open);
        // What is closed already stays so; numbers that a shorter code sells close with their own row.
        let sold = open
            || (in_force.is_none()
                && old.below(row.prefix(), begin.from).is_some_and(|below| below.status() == RowStatus::Open));
        return plan.closes.filter(|_| !begin.first && sold).map_or(begin.from, |closes| closes.max(begin.from));
    }
    let Some(notice) = plan.notice.filter(|notice| !begin.first && *notice > begin.from) else { return begin.from };
    // Announced before: the date of then stands, it is not put off by being said again.
    if let Some(pending) = timeline.iter().find(|piece| piece.from > begin.from && piece.row.same_terms(row)) {
        return pending.from;
    }
    let paid = match in_force.map(|piece| piece.row).filter(|row| row.status() != RowStatus::Discontinued) {
        Some(row) => Some(row),
        None => old.below(row.prefix(), begin.from),
    };
    match paid.filter(|paid| paid.status() == RowStatus::Open).map(|paid| compare(paid, row, plan.rule)) {
        Some(Compared::Dearer | Compared::Both) => notice,
        _ => begin.from,
    }
}

/// Times at which the next version prices past numbers otherwise than the last one did: calls of then are re-rated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backdated {
    pub prefix: facts::Prefix,
    pub destination: smol_str::SmolStr,
    /// Inclusive; [`ALWAYS`] = from the beginning.
    pub from: i64,
    /// Exclusive, at most the instant of the import.
    pub until: i64,
}

/// Lists what changes before `now`.
pub fn backdated(changes: &[super::Change], now: i64) -> Vec<Backdated> {
    let past = changes.iter().filter(|change| change.from < now);
    past.map(|change| Backdated {
        prefix: change.prefix,
        destination: change.destination.clone(),
        from: change.from,
        until: change.until.min(now),
    })
    .collect()
}
