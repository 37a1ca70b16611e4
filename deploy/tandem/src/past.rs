//! Questions about the past of accounts over the sites held here, answered by an index a ledger, and the threads that keep
//! them up to date. What all sites booked is one past in merged order: booked time, site, frame, item (design 6.7). Where
//! an index cannot be used (another process has the folder, its disk is full) whoever asks reads the entries themselves:
//! the same answer, slower.

use crate::node::Node;
use crate::output::Failure;
use crate::peers::sums;
use bus::Bus;
use facts::xdr::Position;
use facts::{Amount, BookedAt, Currency};
use ledger::{EntryRow, Past, PastError, UpTo, View};
use schemas::SchemaIds;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The index over one ledger in this process, opened when it is first needed.
pub struct Slot {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    view: Arc<View>,
    data: PathBuf,
    open: Mutex<Option<Arc<Past>>>,
}

impl Slot {
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, view: Arc<View>, data: PathBuf) -> Arc<Self> {
        Arc::new(Self { bus, ids, view, data, open: Mutex::new(None) })
    }

    /// The index, if it can be used.
    pub fn get(&self) -> Option<Arc<Past>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            match Past::open(self.bus.clone(), self.ids.clone(), self.view.clone(), &self.data) {
                Ok(past) => {
                    let past = Arc::new(past);
                    self.view.use_past(&past);
                    *open = Some(past);
                }
                Err(error) => tracing::warn!(%error, "no index over the past; entries are read instead"),
            }
        }
        open.clone()
    }

    /// Keeps it up to date until told to stop.
    pub fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            // The ledger may still be reading its log.
            if self.view.progress().ready
                && let Some(past) = self.get()
            {
                return past.run(stop);
            }
            for _ in 0..20 {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// One site's ledger with its index.
struct Site<'a> {
    number: u16,
    view: &'a View,
    past: Arc<Past>,
}

/// The sites asked for; `None`: an index of one of them cannot be used.
fn sites<'a>(node: &'a Node, site: Option<&str>) -> Result<Option<Vec<Site<'a>>>, Failure> {
    let names = sums::sites(node, site)?;
    let one = |name: &&str| match node.others.iter().find(|other| other.name == **name) {
        Some(other) => Some(Site { number: other.number, view: &other.view, past: other.past.get()? }),
        None => Some(Site { number: node.settings.sites.number, view: &node.view, past: node.past.get()? }),
    };
    Ok(names.iter().map(one).collect())
}

/// A place in the merged order of all sites' entries, or between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub booked: i64,
    pub site: u16,
    pub seq: u64,
    pub index: u32,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.booked, self.site, self.seq, self.index)
    }
}

impl Cursor {
    /// As [`Self::fmt`] wrote it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let cursor = Self {
            booked: parts.next()?.parse().ok()?,
            site: parts.next()?.parse().ok()?,
            seq: parts.next()?.parse().ok()?,
            index: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(cursor)
    }

    /// Before everything that was booked then or later.
    pub fn from_instant(booked: i64) -> Self {
        Self { booked, site: 0, seq: 0, index: 0 }
    }

    /// Where an entry of a site stands.
    pub fn of(site: u16, row: &EntryRow) -> Result<Self, Failure> {
        let booked = facts::time::parse_rfc3339(&row.booked_at);
        let booked = booked.ok_or_else(|| Failure::Broken(format!("{:?} is no booked time", row.booked_at)))?;
        Ok(Self { booked, site, seq: row.seq, index: row.index })
    }
}

/// Which entries of the merged past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Newest,
    /// The newest before it.
    Before(Cursor),
    /// The oldest behind it, itself left out.
    After(Cursor),
}

/// What an account owed by the books of these sites; `None`: the index cannot say.
pub fn owed(
    node: &Node,
    (account, currency): (&str, Currency),
    up_to: UpTo,
    site: Option<&str>,
) -> Result<Option<Amount>, Failure> {
    let Some(sites) = sites(node, site)? else { return Ok(None) };
    let mut sum = Amount::ZERO;
    for site in sites {
        match site.past.owed(account, currency, up_to) {
            Ok(owed) => sum = sum.checked_add(owed).ok_or_else(beyond)?,
            Err(error) => return Ok(unusable(&error)),
        }
    }
    Ok(Some(sum))
}

pub fn beyond() -> Failure {
    Failure::Broken("a sum of this account is beyond the integer range".to_owned())
}

fn unusable<T>(error: &PastError) -> Option<T> {
    tracing::warn!(%error, "entries are read instead");
    None
}

/// Entries of the merged past, oldest first, and what was owed before the first of them.
pub struct Found {
    pub rows: Vec<(Cursor, EntryRow)>,
    pub opening: Amount,
}

/// Entries of an account as asked, at most `limit`; `None`: the index cannot say.
pub fn entries(
    node: &Node,
    (account, currency): (&str, Currency),
    part: Part,
    limit: usize,
    site: Option<&str>,
) -> Result<Option<Found>, Failure> {
    let Some(sites) = sites(node, site)? else { return Ok(None) };
    let rows = match merged(&sites, account, part, limit) {
        Ok(rows) => rows,
        Err(Trouble::Index(error)) => return Ok(unusable(&error)),
        Err(Trouble::Failed(failure)) => return Err(failure),
    };
    let cut = match (rows.first(), part) {
        (Some((first, _)), _) => *first,
        (None, Part::Newest) => return Ok(Some(Found { rows, opening: Amount::ZERO })),
        (None, Part::Before(cursor) | Part::After(cursor)) => cursor,
    };
    let mut opening = Amount::ZERO;
    for site in &sites {
        let owed = bound(site, cut).and_then(|place| match below(place) {
            Some(place) => site.past.owed(account, currency, UpTo::Place(place)),
            None => Ok(Amount::ZERO),
        });
        match owed {
            Ok(owed) => opening = opening.checked_add(owed).ok_or_else(beyond)?,
            Err(error) => return Ok(unusable(&error)),
        }
    }
    Ok(Some(Found { rows, opening }))
}

enum Trouble {
    Index(PastError),
    Failed(Failure),
}

/// The first place of a site that does not stand before the cursor.
fn bound(site: &Site<'_>, cursor: Cursor) -> Result<Position, PastError> {
    if site.number == cursor.site {
        return Ok(Position { seq: cursor.seq, index: cursor.index });
    }
    // Of frames booked at the same instant those of lower sites stand first.
    let until = if site.number < cursor.site { cursor.booked } else { cursor.booked.saturating_sub(1) };
    let frames = site.past.frames_by(BookedAt(until))?;
    Ok(Position { seq: frames + 1, index: 0 })
}

/// The last place before this one.
fn below(place: Position) -> Option<Position> {
    match (place.seq, place.index) {
        (seq, index) if index > 0 => Some(Position { seq, index: index - 1 }),
        (seq, _) => seq.checked_sub(1).map(|seq| Position { seq, index: u32::MAX }),
    }
}

/// Places of one site that are still to be given, and the entry at the next of them.
struct Head<'a> {
    site: &'a Site<'a>,
    places: VecDeque<Position>,
    /// Rows of the frame that was read last.
    read: VecDeque<EntryRow>,
    next: Option<(Cursor, EntryRow)>,
}

impl Head<'_> {
    fn advance(&mut self) -> Result<(), Trouble> {
        if self.read.is_empty()
            && let Some(first) = self.places.front().copied()
        {
            let here = self.places.iter().take_while(|at| at.seq == first.seq).count();
            let of_frame: Vec<Position> = self.places.drain(..here).collect();
            let rows = self.site.view.entries_at(&of_frame).map_err(|error| Trouble::Failed(Failure::broken(error)))?;
            if rows.len() != of_frame.len() {
                let gone = format!("an entry of frame {} is gone", first.seq);
                return Err(Trouble::Failed(Failure::Broken(gone)));
            }
            self.read = rows.into();
        }
        self.next = match self.read.pop_front() {
            None => None,
            Some(row) => Some((Cursor::of(self.site.number, &row).map_err(Trouble::Failed)?, row)),
        };
        Ok(())
    }
}

/// The rows of a part, oldest first. Reads only the frames of what it gives, and one frame more a site.
fn merged(sites: &[Site<'_>], account: &str, part: Part, limit: usize) -> Result<Vec<(Cursor, EntryRow)>, Trouble> {
    let mut heads = Vec::with_capacity(sites.len());
    for site in sites {
        let places = match part {
            Part::Newest => site.past.places(account, None, limit),
            Part::Before(cursor) => bound(site, cursor).and_then(|place| site.past.places(account, Some(place), limit)),
            Part::After(cursor) => bound(site, cursor).and_then(|place| {
                // At its own site the cursor is an entry that was seen; elsewhere the bound is what comes next.
                let after = if site.number == cursor.site { Some(place) } else { below(place) };
                site.past.places_after(account, after, limit)
            }),
        };
        let places = places.map_err(Trouble::Index)?.into();
        let mut head = Head { site, places, read: VecDeque::new(), next: None };
        head.advance()?;
        heads.push(head);
    }
    let mut rows = Vec::with_capacity(limit.min(1_024));
    while rows.len() < limit {
        let cursor_of = |head: &Head<'_>| head.next.as_ref().map(|(cursor, _)| *cursor);
        let open = heads.iter_mut().filter(|head| head.next.is_some());
        let next = match part {
            Part::After(_) => open.min_by_key(|head| cursor_of(head)),
            _ => open.max_by_key(|head| cursor_of(head)),
        };
        let Some(head) = next else { break };
        rows.extend(head.next.take());
        head.advance()?;
    }
    if !matches!(part, Part::After(_)) {
        rows.reverse();
    }
    Ok(rows)
}
