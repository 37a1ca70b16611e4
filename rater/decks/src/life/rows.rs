//! A deck's rows in little memory: what differs from row to row stands in 48 bytes, what many rows share stands once.
//! Rows are sorted by prefix, origin, time band and date. Never prices a call; see `charge`.

use super::charge::{Charge, charge};
use facts::Prefix;
use facts::deck::{IntervalRule, OriginMode, Price, Rate, RowStatus};
use hashbrown::{DefaultHashBuilder, HashTable};
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::hash::BuildHasher;

/// Before every instant: a row without a first day.
pub const ALWAYS: i64 = i64::MIN;
/// After every instant: a row without an end.
pub const OPEN: i64 = i64::MAX;

/// What few rows have in common. Prices are per minute, dates microseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    pub prefix: Prefix,
    pub first_rate: Price,
    pub next_rate: Price,
    /// Inclusive; [`ALWAYS`] = no first day.
    pub from: i64,
    /// Exclusive; [`OPEN`] = no end.
    pub until: i64,
    /// Index of the rest, which many rows share.
    body: u32,
}

/// A row with its shared part.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    pub row: &'a Row,
    /// Everything but prefix, rates and dates, which are empty here.
    pub body: &'a Rate,
}

/// A deck's rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    rows: Vec<Row>,
    bodies: Vec<Rate>,
    /// Places in `bodies`, found by what stands there: no body is held twice.
    known: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<'a> RowRef<'a> {
    pub fn prefix(self) -> Prefix {
        self.row.prefix
    }

    pub fn destination(self) -> &'a SmolStr {
        &self.body.destination
    }

    pub fn status(self) -> RowStatus {
        self.body.status
    }

    /// In force at an instant and taking part in look-up (design 4.5).
    pub fn live(self, at: i64) -> bool {
        self.row.from <= at && at < self.row.until && self.body.status != RowStatus::Discontinued
    }

    /// The same terms, whatever the dates and the destination's name.
    pub fn same_terms(self, other: RowRef<'_>) -> bool {
        self.row.first_rate == other.row.first_rate
            && self.row.next_rate == other.row.next_rate
            && (std::ptr::eq(self.body, other.body) || self.body == other.body || {
                let (mut a, mut b) = (self.body.clone(), other.body.clone());
                (a.destination, b.destination) = (SmolStr::default(), SmolStr::default());
                a == b
            })
    }

    /// The same terms and the same name.
    pub fn same(self, other: RowRef<'_>) -> bool {
        self.row.first_rate == other.row.first_rate
            && self.row.next_rate == other.row.next_rate
            && (std::ptr::eq(self.body, other.body) || self.body == other.body)
    }

    /// Charge of one call of whole seconds.
    pub fn charge(self, seconds: u32, rule: IntervalRule) -> Option<Charge> {
        charge(self.row.first_rate, self.row.next_rate, self.body, seconds, rule)
    }

    /// The row in full.
    pub fn rate(self) -> Rate {
        Rate {
            prefix: self.row.prefix,
            first_rate: self.row.first_rate,
            next_rate: self.row.next_rate,
            valid_from: (self.row.from != ALWAYS).then_some(self.row.from),
            valid_until: (self.row.until != OPEN).then_some(self.row.until),
            ..self.body.clone()
        }
    }

    /// Which rows stand for one another: same numbers, same callers, same hours.
    pub fn key_order(self, other: RowRef<'_>) -> Ordering {
        let part = |row: RowRef<'a>| (row.row.prefix, &row.body.origin, &row.body.time_band, add(row.body));
        let (a, b) = (part(self), (other.row.prefix, &other.body.origin, &other.body.time_band, add(other.body)));
        a.cmp(&b)
    }

    /// For every caller at every hour; the others are surcharges and bands.
    pub fn plain(self) -> bool {
        self.body.origin.is_none() && self.body.time_band.is_none()
    }
}

fn add(body: &Rate) -> bool {
    body.origin_mode == OriginMode::Add
}

impl Rows {
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows of a whole deck, in any order.
    pub fn of(rates: impl IntoIterator<Item = Rate>) -> Self {
        let mut rows = Self::new();
        rates.into_iter().for_each(|rate| rows.push(rate));
        rows.finish();
        rows
    }

    /// Takes a row; call [`Self::finish`] after the last.
    pub fn push(&mut self, mut rate: Rate) {
        let row = Row {
            prefix: std::mem::take(&mut rate.prefix),
            first_rate: std::mem::take(&mut rate.first_rate),
            next_rate: std::mem::take(&mut rate.next_rate),
            from: rate.valid_from.take().unwrap_or(ALWAYS),
            until: rate.valid_until.take().unwrap_or(OPEN),
            body: 0,
        };
        let body = self.intern(&rate);
        self.rows.push(Row { body, ..row });
    }

    /// Takes a row of another deck with other dates.
    pub fn push_between(&mut self, row: RowRef<'_>, from: i64, until: i64) {
        let body = self.intern(row.body);
        self.rows.push(Row { from, until, body, ..*row.row });
    }

    fn intern(&mut self, body: &Rate) -> u32 {
        if let Some(last) = self.rows.last()
            && self.bodies.get(last.body as usize) == Some(body)
        {
            return last.body;
        }
        let (bodies, hasher) = (&self.bodies, &self.hasher);
        let hash = hasher.hash_one(body);
        let same = |at: &u32| bodies.get(*at as usize) == Some(body);
        if let Some(known) = self.known.find(hash, same) {
            return *known;
        }
        let next = bodies.len() as u32;
        self.known.insert_unique(hash, next, |at| bodies.get(*at as usize).map_or(0, |body| hasher.hash_one(body)));
        self.bodies.push(body.clone());
        next
    }

    /// Sorts; an earlier row of the same code, callers and hours ends where a later one begins.
    pub fn finish(&mut self) {
        let bodies = &self.bodies;
        let view = |row: &Row| -> (Prefix, i64) { (row.prefix, row.from) };
        self.rows.sort_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| {
                if a.body == b.body {
                    return view(a).cmp(&view(b));
                }
                let (x, y) = (&bodies[a.body as usize], &bodies[b.body as usize]);
                (&x.origin, &x.time_band, add(x), a.from).cmp(&(&y.origin, &y.time_band, add(y), b.from))
            })
        });
        for at in 1..self.rows.len() {
            let (before, next) = self.rows.split_at_mut(at);
            let (Some(before), Some(next)) = (before.last_mut(), next.first()) else { continue };
            if before.prefix != next.prefix || before.until <= next.from {
                continue;
            }
            let (x, y) = (&self.bodies[before.body as usize], &self.bodies[next.body as usize]);
            if (&x.origin, &x.time_band, add(x)) == (&y.origin, &y.time_band, add(y)) && next.from > before.from {
                before.until = next.from;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes that these rows take in memory, shared parts counted once (names that do not fit in place apart).
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.bodies.capacity() * size_of::<Rate>()
            + self.known.capacity() * (size_of::<u32>() + 1)
    }

    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        let row = self.rows.get(index)?;
        Some(RowRef { row, body: self.bodies.get(row.body as usize)? })
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RowRef<'_>> {
        self.rows.iter().filter_map(|row| Some(RowRef { row, body: self.bodies.get(row.body as usize)? }))
    }

    /// All rows in full.
    pub fn rates(&self) -> Vec<Rate> {
        self.iter().map(RowRef::rate).collect()
    }

    /// The range of a code's rows.
    pub fn of_prefix(&self, prefix: Prefix) -> impl DoubleEndedIterator<Item = RowRef<'_>> {
        let from = self.rows.partition_point(|row| row.prefix < prefix);
        let len = self.rows[from..].iter().take_while(|row| row.prefix == prefix).count();
        self.rows[from..from + len]
            .iter()
            .filter_map(|row| Some(RowRef { row, body: self.bodies.get(row.body as usize)? }))
    }

    /// The row of exactly this code in force then; without a row for all callers and hours the dearest of the others.
    pub fn at(&self, prefix: Prefix, at: i64) -> Option<RowRef<'_>> {
        let mut best: Option<RowRef<'_>> = None;
        for row in self.of_prefix(prefix).filter(|row| row.live(at) && !add(row.body)) {
            let better = best.is_none_or(|best| (row.plain(), row.row.next_rate) > (best.plain(), best.row.next_rate));
            if better {
                best = Some(row);
            }
        }
        best
    }

    /// The row that prices numbers beginning with these digits then: the longest live code (design 4.5).
    pub fn covering(&self, digits: Prefix, at: i64) -> Option<RowRef<'_>> {
        (0..=digits.len()).rev().find_map(|len| self.at(digits.truncate(len), at))
    }

    /// What numbers of this code pay when the code itself is not there.
    pub fn below(&self, prefix: Prefix, at: i64) -> Option<RowRef<'_>> {
        (0..prefix.len()).rev().find_map(|len| self.at(prefix.truncate(len), at))
    }

    /// Slices of rows with one key (code, callers, hours), in order, as index ranges.
    pub fn groups(&self) -> Groups<'_> {
        Groups { rows: self, next: 0 }
    }
}

/// Iterator over index ranges of one key each.
pub struct Groups<'a> {
    rows: &'a Rows,
    next: usize,
}

impl Iterator for Groups<'_> {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next;
        let first = self.rows.get(start)?;
        let mut end = start + 1;
        while self.rows.get(end).is_some_and(|row| row.key_order(first).is_eq()) {
            end += 1;
        }
        self.next = end;
        Some(start..end)
    }
}

/// Walks two decks side by side by key: rows of the left, rows of the right; either may be empty.
pub fn pair_up<'a>(left: &'a Rows, right: &'a Rows, each: &mut dyn FnMut(&[RowRef<'a>], &[RowRef<'a>])) {
    let (mut lefts, mut rights) = (left.groups().peekable(), right.groups().peekable());
    let (mut a, mut b) = (Vec::new(), Vec::new());
    loop {
        let order = match (lefts.peek(), rights.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(l), Some(r)) => match (left.get(l.start), right.get(r.start)) {
                (Some(l), Some(r)) => l.key_order(r),
                _ => return,
            },
        };
        a.clear();
        b.clear();
        if order.is_le()
            && let Some(range) = lefts.next()
        {
            a.extend(range.filter_map(|at| left.get(at)));
        }
        if order.is_ge()
            && let Some(range) = rights.next()
        {
            b.extend(range.filter_map(|at| right.get(at)));
        }
        each(&a, &b);
    }
}
