//! What one version of a deck changes of another: per code new, closed, blocked, dearer, cheaper, other increments,
//! other destination; and per destination which codes came and went. Never says what it costs; see `effect`.

use super::charge::{Compared, compare};
use super::rows::{ALWAYS, OPEN, RowRef, Rows, pair_up};
use facts::Prefix;
use facts::deck::{IntervalRule, Price, Rate, RowStatus};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// What happens to a code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    New,
    /// Discontinued: the shorter prefix takes over, or nothing.
    Closed,
    Blocked,
    Increase,
    Decrease,
    /// The price per minute is dearer for some durations and cheaper for others, by its increments.
    Increments,
    /// Another destination or name at the same terms.
    CodeChange,
    /// Fees, limits or jurisdiction rates that cost the same over the compared durations.
    Terms,
}

impl Class {
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Closed,
        Self::Blocked,
        Self::Increase,
        Self::Decrease,
        Self::Increments,
        Self::CodeChange,
        Self::Terms,
    ];

    /// The word on screens and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Closed => "closed",
            Self::Blocked => "blocked",
            Self::Increase => "increase",
            Self::Decrease => "decrease",
            Self::Increments => "increments changed",
            Self::CodeChange => "code change",
            Self::Terms => "terms changed",
        }
    }
}

/// The code that prices numbers where the code itself does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Covered {
    pub prefix: Prefix,
    pub destination: SmolStr,
    pub rate: Price,
    /// Whether the change costs more there or less.
    pub compared: Option<Direction>,
    /// The price per minute differs by more than 20 %.
    pub far: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Same,
    Dearer,
    Cheaper,
    Both,
}

impl From<Compared> for Direction {
    fn from(compared: Compared) -> Self {
        match compared {
            Compared::Same => Self::Same,
            Compared::Dearer => Self::Dearer,
            Compared::Cheaper => Self::Cheaper,
            Compared::Both => Self::Both,
        }
    }
}

/// One code that differs for some time.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    pub prefix: Prefix,
    pub origin: Option<SmolStr>,
    pub time_band: Option<SmolStr>,
    /// By the newer version, else by the older.
    pub destination: SmolStr,
    pub class: Class,
    /// Inclusive; [`ALWAYS`] = from the beginning. Microseconds since the epoch.
    pub from: i64,
    /// Exclusive; [`OPEN`] = for good.
    pub until: i64,
    pub old: Option<Rate>,
    pub new: Option<Rate>,
    /// New codes: what priced these numbers before. Closed ones: what prices them now.
    pub covered: Option<Covered>,
    /// The destination's name changes, whatever else does.
    pub renamed: bool,
    /// The increments change, whatever else does.
    pub increments: bool,
}

/// A destination whose set of codes differs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodeSet {
    pub added: BTreeSet<Prefix>,
    pub removed: BTreeSet<Prefix>,
}

/// Everything that differs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Diff {
    /// By code, then date.
    pub changes: Vec<Change>,
    pub counts: BTreeMap<Class, u64>,
    /// Keys (code, callers, hours) without any difference.
    pub unchanged: u64,
    /// Destinations that both versions know and whose codes differ.
    pub destinations: BTreeMap<SmolStr, CodeSet>,
}

/// Compares two versions from `since` on ([`ALWAYS`] = over all time).
pub fn diff(old: &Rows, new: &Rows, since: i64, rule: IntervalRule) -> Diff {
    let mut diff = Diff::default();
    each(old, new, since, rule, &mut |changes| {
        diff.unchanged += u64::from(changes.is_empty());
        for change in changes.drain(..) {
            *diff.counts.entry(change.class).or_default() += 1;
            diff.changes.push(change);
        }
    });
    diff.destinations = destinations(&diff.changes);
    diff
}

/// Calls `sink` once per key (code, callers, hours) with what differs, empty where nothing does: what [`diff`] does,
/// without keeping a million changes in memory.
pub fn each(old: &Rows, new: &Rows, since: i64, rule: IntervalRule, sink: &mut dyn FnMut(&mut Vec<Change>)) {
    let mut changes = Vec::new();
    pair_up(old, new, &mut |was, is| {
        changes.clear();
        key(&mut changes, (old, new), (was, is), since, rule);
        if !changes.is_empty() || live_after(was, since) || live_after(is, since) {
            sink(&mut changes);
        }
    });
}

fn live_after(rows: &[RowRef<'_>], since: i64) -> bool {
    rows.iter().any(|row| row.row.until > since && row.status() != RowStatus::Discontinued)
}

/// The row of one key in force, discontinued ones counting as none.
fn in_force<'a>(rows: &[RowRef<'a>], at: i64) -> Option<RowRef<'a>> {
    rows.iter().rev().find(|row| row.live(at)).copied()
}

/// Differences of one key, one per stretch of time with the same pair of rows.
fn key(
    changes: &mut Vec<Change>,
    decks: (&Rows, &Rows),
    (was, is): (&[RowRef<'_>], &[RowRef<'_>]),
    since: i64,
    rule: IntervalRule,
) {
    if let ([old], [new]) = (was, is)
        && old.same(*new)
        && (old.row.from, old.row.until) == (new.row.from, new.row.until)
    {
        return;
    }
    let mut instants: Vec<i64> = was
        .iter()
        .chain(is)
        .flat_map(|row| [row.row.from, row.row.until])
        .filter(|at| *at > since && *at != OPEN)
        .collect();
    instants.push(since);
    instants.sort_unstable();
    instants.dedup();
    let mut last: Option<(usize, Option<usize>, Option<usize>)> = None;
    for (at, from) in instants.iter().enumerate() {
        let until = instants.get(at + 1).copied().unwrap_or(OPEN);
        let (old, new) = (in_force(was, *from), in_force(is, *from));
        let differs = match (old, new) {
            (None, None) => false,
            (Some(old), Some(new)) => !old.same(new),
            _ => true,
        };
        if !differs {
            last = None;
            continue;
        }
        let pair = (old.map(RowRef::place), new.map(RowRef::place));
        if let Some((place, a, b)) = last
            && (a, b) == pair
        {
            changes[place].until = until;
            continue;
        }
        last = Some((changes.len(), pair.0, pair.1));
        changes.push(change(decks, (old, new), *from, until, rule));
    }
}

fn change(
    decks: (&Rows, &Rows),
    (old, new): (Option<RowRef<'_>>, Option<RowRef<'_>>),
    from: i64,
    until: i64,
    rule: IntervalRule,
) -> Change {
    let shown = new.or(old);
    let prefix = shown.map(RowRef::prefix).unwrap_or_default();
    let body = shown.map(|row| row.body);
    let covered = match (old, new) {
        (None, Some(new)) => decks.0.below(prefix, from).map(|below| covered(below, new, below, rule)),
        (Some(old), None) => decks.1.below(prefix, from).map(|below| covered(old, below, below, rule)),
        _ => None,
    };
    let both = old.zip(new);
    Change {
        prefix,
        origin: body.and_then(|body| body.origin.clone()),
        time_band: body.and_then(|body| body.time_band.clone()),
        destination: shown.map(|row| row.destination().clone()).unwrap_or_default(),
        class: class(old, new, rule),
        from,
        until,
        old: old.map(RowRef::rate),
        new: new.map(RowRef::rate),
        covered,
        renamed: both.is_some_and(|(old, new)| old.destination() != new.destination()),
        increments: both.is_some_and(|(old, new)| increments(old) != increments(new)),
    }
}

fn increments(row: RowRef<'_>) -> (u32, u32) {
    (row.body.first_interval, row.body.next_interval)
}

fn covered(paid: RowRef<'_>, pays: RowRef<'_>, by: RowRef<'_>, rule: IntervalRule) -> Covered {
    Covered {
        prefix: by.prefix(),
        destination: by.destination().clone(),
        rate: by.row.next_rate,
        compared: Some(compare(paid, pays, rule).into()),
        far: far(paid.row.next_rate, pays.row.next_rate, 20),
    }
}

/// Whether two prices differ by more than so many percent of the first.
pub fn far(old: Price, new: Price, percent: i128) -> bool {
    let (old, new) = (i128::from(old.0), i128::from(new.0));
    (new - old).abs() * 100 > old.abs() * percent
}

fn class(old: Option<RowRef<'_>>, new: Option<RowRef<'_>>, rule: IntervalRule) -> Class {
    let (old, new) = match (old, new) {
        (_, Some(new)) if new.status() == RowStatus::Blocked => return Class::Blocked,
        (Some(old), Some(new)) if old.status() == RowStatus::Open => (old, new),
        // What was blocked and is open again is offered anew.
        (_, Some(_)) => return Class::New,
        (_, None) => return Class::Closed,
    };
    match compare(old, new, rule) {
        Compared::Dearer if increments(old) != increments(new) && old.row.next_rate >= new.row.next_rate => {
            Class::Increments
        }
        Compared::Cheaper if increments(old) != increments(new) && old.row.next_rate <= new.row.next_rate => {
            Class::Increments
        }
        Compared::Dearer => Class::Increase,
        Compared::Cheaper => Class::Decrease,
        Compared::Both if increments(old) != increments(new) => Class::Increments,
        Compared::Both => Class::Increase,
        Compared::Same if increments(old) != increments(new) => Class::Increments,
        Compared::Same if old.destination() != new.destination() => Class::CodeChange,
        Compared::Same => Class::Terms,
    }
}

/// Codes that came and went, of destinations that keep some; a destination that is wholly new or gone is no code change.
fn destinations(changes: &[Change]) -> BTreeMap<SmolStr, CodeSet> {
    let mut sets: BTreeMap<SmolStr, CodeSet> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.until == OPEN) {
        let (old, new) = (&change.old, &change.new);
        let left = old.as_ref().filter(|_| new.is_none() || change.renamed);
        let joined = new.as_ref().filter(|_| old.is_none() || change.renamed);
        if let Some(left) = left {
            sets.entry(left.destination.clone()).or_default().removed.insert(change.prefix);
        }
        if let Some(joined) = joined {
            sets.entry(joined.destination.clone()).or_default().added.insert(change.prefix);
        }
    }
    sets
}

/// An instant for people: the beginning of time is `always`.
pub fn day(at: i64) -> String {
    match at {
        ALWAYS => "always".to_owned(),
        OPEN => String::new(),
        at => facts::time::rfc3339(at),
    }
}
