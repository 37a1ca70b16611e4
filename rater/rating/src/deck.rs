//! A rate deck compiled for look-up (design 4.5): disjoint intervals of number space over prefixes, each prefix with
//! its rows and the next shorter prefix. Millions of prefixes, shared by `Arc`, never changed after it is built.
//!
//! Never prices anything and never decides what a blocked code costs; see `price` and `tariffs`.

mod dearest;
mod ties;
mod warm;

use facts::config::DeckRoot;
use facts::deck::{
    BandCrossing, DeckTerms, Indeterminate, IntervalRule, JurisdictionFrom, OriginMode, Price, Rate, RateDeck,
    RatedNumber, RowStatus, Settings, Step,
};
use facts::money::Currency;
use facts::number::{E164, Prefix};
use facts::xdr::{RateUsed, Unrated};
use hashbrown::HashMap;
use smol_str::SmolStr;

use crate::bands::Bands;
use crate::country::Country;
use crate::intervals::{Intervals, PREFIXES_MAX};
use crate::origin::{Origins, UNKNOWN_ORIGIN};

pub use ties::Tie;

const NONE: u32 = u32::MAX;
/// Look-ups under way at once in [`CompiledDeck::find_many`].
const MANY: usize = 32;

/// Why a deck cannot be compiled. `tandem apply` refuses such decks, so a rater meets none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("time zone {zone:?} is not in the IANA data of this build; check its spelling")]
    Zone { zone: String },
    #[error("the deck names {bands} time bands, the limit is 64")]
    TooManyBands { bands: usize },
    #[error("time band {band:?} lists the day {day:?}; use mon to sun or holiday")]
    Day { band: String, day: String },
    #[error("time band {band:?} begins or ends beyond 24:00")]
    BandTime { band: String },
    #[error("holiday {date:?} is not a date of the form YYYY-MM-DD")]
    Holiday { date: String },
    #[error("row {prefix} names the time band {band:?}, which the deck does not define")]
    UnknownBand { prefix: Prefix, band: String },
    #[error("row {prefix} names the origin group {origin:?}, which the deck does not define")]
    UnknownOrigin { prefix: Prefix, origin: String },
    #[error("the deck has more than 15,000,000 rows")]
    TooManyRows,
    #[error("{0}; end one before the other begins, or give them bands or origins that do not overlap")]
    Tie(Tie),
}

/// One row in 64 bytes, which is one line of the cache; whatever few rows have stands in [`Extra`].
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Row {
    prefix: Prefix,
    pub first_rate: Price,
    pub next_rate: Price,
    /// `i64::MIN` = always.
    pub valid_from: i64,
    /// `i64::MAX` = open.
    pub valid_until: i64,
    pub first_interval: u32,
    pub next_interval: u32,
    destination: u32,
    extra: u32,
    group: u32,
    status: RowStatus,
    /// The only row of its prefix.
    alone: bool,
}

const _: () = assert!(size_of::<Row>() == 64);

impl Row {
    fn live(&self, at: i64) -> bool {
        self.valid_from <= at && at < self.valid_until && self.status != RowStatus::Discontinued
    }
}

/// What most rows do not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Extra {
    pub connect_fee: Price,
    pub inter_rate: Option<Price>,
    pub intra_rate: Option<Price>,
    pub indeterminate_rate: Option<Price>,
    /// 1 + index of the band; 0 = none.
    pub band: u8,
    /// Index of the origin group + 1; 0 = none.
    pub origin: u16,
    pub add: bool,
    pub free: i64,
    pub steps: Box<[Step]>,
    pub settings: Settings,
}

/// A prefix: its rows are `first..` up to the next group's `first`. Elsewhere a prefix is named by its first row.
#[derive(Debug, Clone, Copy)]
struct Group {
    first: u32,
    /// First row of the next shorter prefix of the deck that this one begins with; `NONE` at the top.
    parent: u32,
}

/// The row that prices a number at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    pub(crate) row: u32,
    /// A row of an origin group that adds its fees and rates; `u32::MAX` = none.
    pub(crate) add: u32,
}

impl Chosen {
    pub(crate) fn added(self) -> Option<u32> {
        (self.add != NONE).then_some(self.add)
    }
}

/// One version of a deck, ready for look-up.
#[derive(Debug)]
pub struct CompiledDeck {
    pub id: SmolStr,
    pub version: u32,
    pub currency: Currency,
    pub(crate) band_crossing: BandCrossing,
    pub(crate) interval_rule: IntervalRule,
    pub rated_number: RatedNumber,
    pub(crate) indeterminate: Indeterminate,
    /// Which number tells a call's jurisdiction; `None`: no row asks for it.
    pub(crate) jurisdiction_from: Option<JurisdictionFrom>,
    pub(crate) settings: Settings,
    pub(crate) bands: Bands,
    band_names: Vec<SmolStr>,
    origins: Origins,
    rows: Box<[Row]>,
    extras: Vec<Extra>,
    destinations: Vec<SmolStr>,
    groups: Box<[Group]>,
    intervals: Intervals,
    any_bands: bool,
    any_adds: bool,
    /// Rows of each country, dearest first.
    dearest: ByCountry,
    dearest_of_all: Box<[u32]>,
}

/// Places of rows, dearest first, by country.
type ByCountry = HashMap<Country, Box<[u32]>>;

/// Collects the rows of a deck chunk by chunk, so that a million of them never stand in memory twice.
pub struct DeckBuilder {
    id: SmolStr,
    version: u32,
    terms: DeckTerms,
    bands: Bands,
    origins: Origins,
    rows: Vec<Row>,
    extras: Vec<Extra>,
    extra_of: HashMap<Extra, u32>,
    destinations: Vec<SmolStr>,
    destination_of: HashMap<SmolStr, u32>,
    /// Rows that [`Self::push_for_ties`] has let go.
    let_go: usize,
}

impl DeckBuilder {
    pub fn new(id: &str, version: u32, terms: &DeckTerms) -> Result<Self, CompileError> {
        Ok(Self {
            id: id.into(),
            version,
            bands: Bands::compile(terms)?,
            origins: Origins::compile(&terms.origin_groups),
            terms: terms.clone(),
            rows: Vec::new(),
            extras: Vec::new(),
            extra_of: HashMap::new(),
            destinations: Vec::new(),
            destination_of: HashMap::new(),
            let_go: 0,
        })
    }

    /// The deck that a root names, before its rows.
    pub fn of_root(root: &DeckRoot) -> Result<Self, CompileError> {
        let mut builder = Self::new(&root.id, root.version, &root.terms)?;
        builder.rows.reserve(usize::try_from(root.rows).unwrap_or(0).min(10_000_000));
        Ok(builder)
    }

    /// Adds the next row of a deck in the order of its prefixes, and lets the one before go where it is the only one of
    /// its prefix. What is left is enough for [`CompiledDeck::first_tie`] and for nothing else: a deck of a million
    /// codes is looked through in the room of those that have several rows.
    pub fn push_for_ties(&mut self, rate: &Rate) -> Result<(), CompileError> {
        let alone = match &self.rows[..] {
            [.., before, last] => before.prefix != last.prefix && last.prefix != rate.prefix,
            [last] => last.prefix != rate.prefix,
            [] => false,
        };
        if alone {
            self.rows.pop();
            self.let_go += 1;
        }
        self.push(rate)
    }

    /// Adds one row, in any order.
    pub fn push(&mut self, rate: &Rate) -> Result<(), CompileError> {
        if self.rows.len() + self.let_go >= PREFIXES_MAX {
            return Err(CompileError::TooManyRows);
        }
        let extra = self.extra(rate)?;
        let destination = match self.destinations.last() {
            Some(last) if *last == rate.destination => self.destinations.len() as u32 - 1,
            _ => self.destination(&rate.destination),
        };
        let row = Row {
            prefix: rate.prefix,
            first_rate: rate.first_rate,
            next_rate: rate.next_rate,
            valid_from: rate.valid_from.unwrap_or(i64::MIN),
            valid_until: rate.valid_until.unwrap_or(i64::MAX),
            first_interval: rate.first_interval,
            next_interval: rate.next_interval.max(1),
            destination,
            extra,
            group: 0,
            status: rate.status,
            alone: false,
        };
        self.rows.push(row);
        Ok(())
    }

    fn destination(&mut self, name: &SmolStr) -> u32 {
        if let Some(known) = self.destination_of.get(name) {
            return *known;
        }
        let index = self.destinations.len() as u32;
        self.destinations.push(name.clone());
        self.destination_of.insert(name.clone(), index);
        index
    }

    fn extra(&mut self, rate: &Rate) -> Result<u32, CompileError> {
        let band = match &rate.time_band {
            None => 0,
            Some(name) => match self.terms.time_bands.iter().position(|band| band.name == *name) {
                Some(index) => index as u8 + 1,
                None => return Err(CompileError::UnknownBand { prefix: rate.prefix, band: name.to_string() }),
            },
        };
        let origin = match &rate.origin {
            None => UNKNOWN_ORIGIN,
            Some(name) => match self.origins.index_of(name) {
                Some(index) => index,
                None => return Err(CompileError::UnknownOrigin { prefix: rate.prefix, origin: name.to_string() }),
            },
        };
        let extra = Extra {
            connect_fee: rate.connect_fee,
            inter_rate: rate.inter_rate,
            intra_rate: rate.intra_rate,
            indeterminate_rate: rate.indeterminate_rate,
            band,
            origin,
            add: rate.origin_mode == OriginMode::Add,
            free: rate.free,
            steps: rate.steps.clone().into_boxed_slice(),
            settings: rate.settings,
        };
        if extra == Extra::default() {
            return Ok(NONE);
        }
        if let Some(known) = self.extra_of.get(&extra) {
            return Ok(*known);
        }
        let index = self.extras.len() as u32;
        self.extras.push(extra.clone());
        self.extra_of.insert(extra, index);
        Ok(index)
    }

    pub fn finish(mut self) -> CompiledDeck {
        // Stable: rows of one prefix stay in the deck's own order, the later one wins a tie.
        if !self.rows.is_sorted_by_key(|row| row.prefix) {
            self.rows.sort_by_key(|row| row.prefix);
        }
        let mut rows = self.rows;
        let mut groups: Vec<Group> = Vec::new();
        let mut stack: Vec<u32> = Vec::new();
        for index in 0..rows.len() {
            let prefix = rows[index].prefix;
            let begins = index == 0 || rows[index - 1].prefix != prefix;
            if begins {
                while stack.last().is_some_and(|top| !covers(rows[groups[*top as usize].first as usize].prefix, prefix))
                {
                    stack.pop();
                }
                let parent = stack.last().map_or(NONE, |top| groups[*top as usize].first);
                stack.push(groups.len() as u32);
                groups.push(Group { first: index as u32, parent });
            }
            rows[index].group = groups.len() as u32 - 1;
            rows[index].alone = begins && rows.get(index + 1).is_none_or(|next| next.prefix != prefix);
        }
        let intervals = Intervals::new(groups.iter().map(|group| (rows[group.first as usize].prefix, group.first)));
        let (dearest, dearest_of_all) = dearest::dearest(&rows, &self.extras);
        CompiledDeck {
            id: self.id,
            version: self.version,
            currency: self.terms.currency,
            band_crossing: self.terms.band_crossing,
            interval_rule: self.terms.interval_rule,
            rated_number: self.terms.rated_number,
            indeterminate: self.terms.indeterminate,
            jurisdiction_from: self.extras.iter().any(Extra::is_jurisdictional).then_some(self.terms.jurisdiction_from),
            settings: self.terms.settings,
            bands: self.bands,
            band_names: self.terms.time_bands.iter().map(|band| band.name.clone()).collect(),
            origins: self.origins,
            any_bands: self.extras.iter().any(|extra| extra.band != 0),
            any_adds: self.extras.iter().any(|extra| extra.add),
            extras: self.extras,
            destinations: self.destinations,
            rows: rows.into_boxed_slice(),
            groups: groups.into_boxed_slice(),
            intervals,
            dearest,
            dearest_of_all,
        }
    }
}

fn covers(shorter: Prefix, longer: Prefix) -> bool {
    longer.key() & shorter.mask() == shorter.key()
}

impl CompiledDeck {
    /// Compiles a deck whose rows are all in memory; one in which two rows tie is refused.
    pub fn compile(deck: &RateDeck) -> Result<Self, CompileError> {
        let compiled = Self::compile_with_ties(deck)?;
        compiled.first_tie().map_or(Ok(compiled), |tie| Err(CompileError::Tie(tie)))
    }

    /// The same, where whoever asks looks for ties at the instants that matter: [`Self::tie_at`].
    pub fn compile_with_ties(deck: &RateDeck) -> Result<Self, CompileError> {
        let mut builder = DeckBuilder::new(&deck.id, deck.version, &deck.terms)?;
        builder.rows.reserve(deck.rates.len());
        for rate in &deck.rates {
            builder.push(rate)?;
        }
        Ok(builder.finish())
    }

    /// The deck among versions of one id: the newest version's rows decide, by their own dates; older ones are kept
    /// for re-rating.
    pub fn newest(versions: &[&RateDeck]) -> Option<Result<Self, CompileError>> {
        versions.iter().max_by_key(|deck| deck.version).map(|deck| Self::compile(deck))
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn prefixes(&self) -> usize {
        self.groups.len()
    }

    /// The caller's origin group in this deck, for [`Self::find`].
    pub fn origin_of(&self, caller: Option<&E164>) -> u16 {
        self.origins.of(caller)
    }

    /// The row for a number at an instant (design 4.5): rows that take part, then the longest prefix, then the
    /// caller's origin before none, then a band before none. `Blocked` where the chosen row says so.
    pub fn find(&self, number: &E164, origin: u16, at: i64) -> Result<Chosen, Unrated> {
        self.find_from(self.intervals.find(number.key()), number, origin, at)
    }

    /// [`Self::find`] for many numbers: first all places, then all rows, so that one waits for the memory of several at
    /// a time. `each` gets the results in order.
    pub fn find_many(&self, asked: &[(E164, u16, i64)], each: &mut impl FnMut(usize, Result<Chosen, Unrated>)) {
        let mut firsts = [NONE; MANY];
        for (run, chunk) in asked.chunks(MANY).enumerate() {
            for (first, (number, ..)) in firsts.iter_mut().zip(chunk) {
                *first = self.intervals.find(number.key());
            }
            for (at, (first, (number, origin, instant))) in firsts.iter().zip(chunk).enumerate() {
                each(run * MANY + at, self.find_from(*first, number, *origin, *instant));
            }
        }
    }

    pub(crate) fn find_from(&self, mut first: u32, number: &E164, origin: u16, at: i64) -> Result<Chosen, Unrated> {
        let owned = if self.any_bands { self.bands.owning(at) } else { 0 };
        while first != NONE {
            if let Some(row) = self.best(first, origin, at, owned, false) {
                if self.rows[row as usize].status == RowStatus::Blocked {
                    return Err(Unrated::Blocked);
                }
                let add = if self.any_adds { self.find_add(number, origin, at, owned) } else { NONE };
                return Ok(Chosen { row, add });
            }
            first = self.parent(first);
        }
        Err(Unrated::NoRate)
    }

    /// First row of the next shorter prefix.
    fn parent(&self, row: u32) -> u32 {
        self.groups[self.rows[row as usize].group as usize].parent
    }

    /// The row with the longest prefix among those that add a surcharge for the caller's origin.
    fn find_add(&self, number: &E164, origin: u16, at: i64, owned: u64) -> u32 {
        let mut first = self.intervals.find(number.key());
        while first != NONE {
            if let Some(row) = self.best(first, origin, at, owned, true) {
                return row;
            }
            first = self.parent(first);
        }
        NONE
    }

    /// The best row of one prefix, named by its first, if any takes part.
    fn best(&self, first: u32, origin: u16, at: i64, owned: u64, add: bool) -> Option<u32> {
        let only = &self.rows[first as usize];
        if only.alone && only.extra == NONE {
            return (!add && only.live(at)).then_some(first);
        }
        let mut best: Option<(u8, u32)> = None;
        for index in self.group_rows(only.group) {
            let Some(rank) = self.rank(index, origin, at, owned, add) else { continue };
            if best.is_none_or(|(known, _)| rank >= known) {
                best = Some((rank, index));
            }
        }
        best.map(|(_, index)| index)
    }

    /// Where a row stands among those of its prefix, if it takes part: the caller's origin before a band before none.
    fn rank(&self, index: u32, origin: u16, at: i64, owned: u64, add: bool) -> Option<u8> {
        let row = &self.rows[index as usize];
        if !row.live(at) {
            return None;
        }
        let extra = self.extra_of(row);
        let (row_origin, band, adds) = extra.map_or((0, 0, false), |extra| (extra.origin, extra.band, extra.add));
        let takes_part = adds == add
            && (row_origin == UNKNOWN_ORIGIN || row_origin == origin)
            && (band == 0 || owned >> (band - 1) & 1 == 1);
        takes_part.then(|| u8::from(row_origin != UNKNOWN_ORIGIN) * 2 + u8::from(band != 0))
    }

    /// For a call that crosses into another band: the row of the same prefix and origin, valid at the first instant,
    /// whose band owns the later one.
    pub(crate) fn rebanded(&self, row: u32, rated_at: i64, now: i64) -> Result<u32, Unrated> {
        let start = &self.rows[row as usize];
        let origin = self.extra_of(start).map_or(UNKNOWN_ORIGIN, |extra| extra.origin);
        let owned = self.bands.owning(now);
        let mut best: Option<(bool, u32)> = None;
        for index in self.group_rows(start.group) {
            let row = &self.rows[index as usize];
            let (row_origin, band, adds) =
                self.extra_of(row).map_or((0, 0, false), |extra| (extra.origin, extra.band, extra.add));
            let owns = band == 0 || owned >> (band - 1) & 1 == 1;
            if adds || row_origin != origin || !owns || !row.live(rated_at) {
                continue;
            }
            if best.is_none_or(|(banded, _)| (band != 0) >= banded) {
                best = Some((band != 0, index));
            }
        }
        let (_, found) = best.ok_or(Unrated::NoRate)?;
        match self.rows[found as usize].status {
            RowStatus::Blocked => Err(Unrated::Blocked),
            _ => Ok(found),
        }
    }

    /// Whether rows of this row's prefix differ by time band, so that a call may cross from one into another.
    pub(crate) fn crosses_bands(&self, row: u32) -> bool {
        self.any_bands
            && self.band_crossing == BandCrossing::Split
            && self
                .group_rows(self.rows[row as usize].group)
                .any(|index| self.row_extra(index).is_some_and(|e| e.band != 0))
    }

    /// The rows that a call by this row may be billed by: itself, and where it may cross bands, those of its prefix and
    /// origin that are valid at its instant, whatever their band.
    pub(crate) fn sisters(&self, row: u32, crosses: bool, rated_at: i64) -> impl Iterator<Item = u32> + '_ {
        let start = &self.rows[row as usize];
        let origin_of = |row: &Row| self.extra_of(row).map_or(UNKNOWN_ORIGIN, |extra| extra.origin);
        let origin = origin_of(start);
        let others = if crosses { self.group_rows(start.group) } else { row..row + 1 };
        others.filter(move |index| {
            let other = &self.rows[*index as usize];
            let adds = self.extra_of(other).is_some_and(|extra| extra.add);
            *index == row || (!adds && origin_of(other) == origin && other.live(rated_at))
        })
    }

    /// The code's last known rate: the row that was in force last before the instant, longest prefix first.
    pub fn last_known(&self, number: &E164, at: i64) -> Option<Chosen> {
        let mut first = self.intervals.find(number.key());
        while first != NONE {
            let last = self
                .group_rows(self.rows[first as usize].group)
                .filter(|index| {
                    let row = &self.rows[*index as usize];
                    let adds = self.row_extra(*index).is_some_and(|extra| extra.add);
                    row.valid_from <= at && row.status == RowStatus::Open && !adds
                })
                .max_by_key(|index| (self.rows[*index as usize].valid_until.min(at), *index));
            if let Some(row) = last {
                return Some(Chosen { row, add: NONE });
            }
            first = self.parent(first);
        }
        None
    }

    /// The dearest rate of a country that is valid at the instant; `None` for the country = of the whole deck.
    pub fn dearest(&self, country: Option<Country>, at: i64) -> Option<Chosen> {
        let list = match country {
            Some(country) => self.dearest.get(&country)?,
            None => &self.dearest_of_all,
        };
        let row = list.iter().copied().find(|index| self.rows[*index as usize].live(at))?;
        Some(Chosen { row, add: NONE })
    }

    pub(crate) fn row(&self, index: u32) -> &Row {
        &self.rows[index as usize]
    }

    pub(crate) fn row_extra(&self, index: u32) -> Option<&Extra> {
        self.extra_of(&self.rows[index as usize])
    }

    fn extra_of(&self, row: &Row) -> Option<&Extra> {
        if row.extra == NONE { None } else { self.extras.get(row.extra as usize) }
    }

    fn group_rows(&self, group: u32) -> std::ops::Range<u32> {
        let first = self.groups[group as usize].first;
        let end = self.groups.get(group as usize + 1).map_or(self.rows.len() as u32, |next| next.first);
        first..end
    }

    /// The rate in full, as it stands on the xDR.
    pub fn rate_used(&self, chosen: Chosen) -> RateUsed {
        let row = self.row(chosen.row);
        let extra = self.extra_of(row);
        RateUsed {
            deck: self.id.clone(),
            deck_version: self.version,
            prefix: row.prefix,
            destination: self.destinations[row.destination as usize].clone(),
            connect_fee: extra.map_or(Price(0), |extra| extra.connect_fee),
            first_interval: row.first_interval,
            first_rate: row.first_rate,
            next_interval: row.next_interval,
            next_rate: row.next_rate,
            valid_from: (row.valid_from != i64::MIN).then_some(row.valid_from),
            time_band: extra.map(|extra| self.band_name(extra.band)).unwrap_or_default(),
            origin: extra.map(|extra| self.origins.name(extra.origin)).unwrap_or_default(),
            currency: self.currency,
        }
    }

    /// Name of the breakout of a chosen row.
    pub fn destination(&self, chosen: Chosen) -> &SmolStr {
        &self.destinations[self.row(chosen.row).destination as usize]
    }
}
