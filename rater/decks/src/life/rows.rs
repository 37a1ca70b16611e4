//! A deck's rows in little memory: 24 bytes a row; rates, dates and all else that rows share stand once.
//! Rows are sorted by prefix, origin, time band and date. Never prices a call; see `charge`.

use super::charge::{Charge, charge};
use facts::Prefix;
use facts::deck::{IntervalRule, OriginMode, Price, Rate, RowStatus};
use hashbrown::{DefaultHashBuilder, HashTable};
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::hash::{BuildHasher, Hash};

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
    /// Place among the rows of its deck.
    place: u32,
    /// Index of the rest, which many rows share.
    body: u32,
}

/// A row as it is kept: what it shares with others is named by number.
#[derive(Clone, Copy, Debug)]
struct Packed {
    prefix: Prefix,
    rates: u32,
    dates: u32,
    body: u32,
}

/// Values that come again and again, each once, by number.
#[derive(Clone, Debug)]
struct Shared<T> {
    all: Vec<T>,
    /// Places in `all`, found by what stands there: nothing is held twice.
    known: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Rows as a rule follow one another in these.
    last: Option<u32>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { all: Vec::new(), known: HashTable::new(), hasher: DefaultHashBuilder::default(), last: None }
    }
}

impl<T: Clone + Eq + Hash> Shared<T> {
    /// The number of a value.
    fn number(&mut self, value: &T) -> u32 {
        let (all, hasher) = (&self.all, &self.hasher);
        let is = |at: &u32| all.get(*at as usize) == Some(value);
        if let Some(last) = self.last.filter(is) {
            return last;
        }
        let hash = hasher.hash_one(value);
        let number = match self.known.find(hash, is) {
            Some(known) => *known,
            None => {
                let next = all.len() as u32;
                let hash_of = |at: &u32| all.get(*at as usize).map_or(0, |value| hasher.hash_one(value));
                self.known.insert_unique(hash, next, hash_of);
                self.all.push(value.clone());
                next
            }
        };
        self.last = Some(number);
        number
    }

    fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<T>() + self.known.capacity() * (size_of::<u32>() + 1)
    }
}

/// A row with its shared part.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    pub row: Row,
    /// Everything but prefix, rates and dates, which are empty here.
    pub body: &'a Rate,
}

/// A deck's rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    rows: Vec<Packed>,
    /// First and next rate.
    rates: Shared<(Price, Price)>,
    /// First instant and end.
    dates: Shared<(i64, i64)>,
    bodies: Shared<Rate>,
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

    /// Its place among the rows of its deck, which tells it from every other one there.
    pub fn place(self) -> usize {
        self.row.place as usize
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
        let prefix = std::mem::take(&mut rate.prefix);
        let rates = (std::mem::take(&mut rate.first_rate), std::mem::take(&mut rate.next_rate));
        let dates = (rate.valid_from.take().unwrap_or(ALWAYS), rate.valid_until.take().unwrap_or(OPEN));
        self.pack(prefix, rates, dates, &rate);
    }

    /// Takes a row of another deck with other dates.
    pub fn push_between(&mut self, row: RowRef<'_>, from: i64, until: i64) {
        self.pack(row.row.prefix, (row.row.first_rate, row.row.next_rate), (from, until), row.body);
    }

    fn pack(&mut self, prefix: Prefix, rates: (Price, Price), dates: (i64, i64), body: &Rate) {
        let (rates, dates) = (self.rates.number(&rates), self.dates.number(&dates));
        self.rows.push(Packed { prefix, rates, dates, body: self.bodies.number(body) });
    }

    /// The row at a place in full; `None` = there is none.
    fn unpacked(&self, place: usize) -> Option<RowRef<'_>> {
        let Packed { prefix, rates, dates, body } = *self.rows.get(place)?;
        let (first_rate, next_rate) = *self.rates.all.get(rates as usize)?;
        let (from, until) = *self.dates.all.get(dates as usize)?;
        let row = Row { prefix, first_rate, next_rate, from, until, place: place as u32, body };
        Some(RowRef { row, body: self.bodies.all.get(body as usize)? })
    }

    /// Sorts; an earlier row of the same code, callers and hours ends where a later one begins.
    pub fn finish(&mut self) {
        // Grown by doubling: of a million rows the spare room is as much as half of what is used.
        self.rows.shrink_to_fit();
        self.bodies.all.shrink_to_fit();
        let (bodies, dates) = (&self.bodies.all, &self.dates.all);
        let from = |row: &Packed| dates[row.dates as usize].0;
        self.rows.sort_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| {
                if a.body == b.body {
                    return from(a).cmp(&from(b));
                }
                let (x, y) = (&bodies[a.body as usize], &bodies[b.body as usize]);
                (&x.origin, &x.time_band, add(x), from(a)).cmp(&(&y.origin, &y.time_band, add(y), from(b)))
            })
        });
        for at in 1..self.rows.len() {
            let (before, next) = (self.rows[at - 1], self.rows[at]);
            if before.prefix != next.prefix {
                continue;
            }
            let ((began, until), (begins, _)) =
                (self.dates.all[before.dates as usize], self.dates.all[next.dates as usize]);
            let (x, y) = (&self.bodies.all[before.body as usize], &self.bodies.all[next.body as usize]);
            let same = (&x.origin, &x.time_band, add(x)) == (&y.origin, &y.time_band, add(y));
            if until > begins && begins > began && same {
                self.rows[at - 1].dates = self.dates.number(&(began, begins));
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
        self.rows.capacity() * size_of::<Packed>() + self.rates.bytes() + self.dates.bytes() + self.bodies.bytes()
    }

    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        self.unpacked(index)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RowRef<'_>> + ExactSizeIterator {
        Iter { rows: self, places: 0..self.rows.len() }
    }

    /// All rows in full, one after another; what they stood in is free again behind the last.
    pub fn into_rates(self) -> impl Iterator<Item = Rate> {
        (0..self.rows.len()).filter_map(move |place| self.unpacked(place).map(RowRef::rate))
    }

    /// All rows in full.
    pub fn rates(&self) -> Vec<Rate> {
        self.iter().map(RowRef::rate).collect()
    }

    /// The range of a code's rows.
    pub fn of_prefix(&self, prefix: Prefix) -> impl DoubleEndedIterator<Item = RowRef<'_>> {
        let from = self.rows.partition_point(|row| row.prefix < prefix);
        let len = self.rows[from..].iter().take_while(|row| row.prefix == prefix).count();
        Iter { rows: self, places: from..from + len }
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

/// Rows by their places.
struct Iter<'a> {
    rows: &'a Rows,
    places: std::ops::Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = RowRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.places.next().and_then(|place| self.rows.unpacked(place))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.places.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.places.next_back().and_then(|place| self.rows.unpacked(place))
    }
}

impl ExactSizeIterator for Iter<'_> {}

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
