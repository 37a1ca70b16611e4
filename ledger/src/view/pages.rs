//! Pages of entries: by the history of an account where that reaches, else frame by frame from the log.

use facts::LedgerEntry;
use facts::entry::{EntryKind, LedgerItem};
use facts::xdr::Position;
use schemas::FrameView;
use smol_str::SmolStr;
use std::sync::Weak;

use super::View;
use crate::api::{EntryFilter, EntryPage, EntryRow, PAGE_MAX, Page};
use crate::error::LedgerError;
use crate::frames::ledger_item;

/// Frames that one page looks through at most; the page then ends early and says where to go on.
const FRAMES_PER_PAGE: usize = 2_000;

enum Candidates {
    /// These items, from the history; `more`: others follow.
    Exact { places: Vec<Position>, more: bool },
    /// Every item of every frame up to `last`.
    Frames { last: u64 },
}

impl View {
    pub(super) fn page(&self, filter: &EntryFilter, page: &Page) -> Result<EntryPage, LedgerError> {
        let limit = page.limit.clamp(1, PAGE_MAX);
        let walk = Walk { filter, page, limit, stream: &self.stream, rows: Vec::new(), at: None, full: false };
        let mut candidates = self.candidates(filter, page)?;
        if let (Candidates::Frames { .. }, Some(account)) = (&candidates, &filter.account)
            && let Some(past) = self.past.get().and_then(Weak::upgrade)
        {
            let most = FRAMES_PER_PAGE + limit;
            let places = match page.newest_first {
                true => past.places(account, page.after, most),
                false => past.places_after(account, page.after, most),
            };
            match places {
                Ok(places) => candidates = Candidates::Exact { more: places.len() == most, places },
                Err(error) => tracing::warn!(%error, "entries are looked for in the log itself"),
            }
        }
        match candidates {
            Candidates::Exact { places, more } => self.exact(walk, &places, more),
            Candidates::Frames { last } => self.scan(walk, last),
        }
    }

    /// Where to look for what a filter asks.
    fn candidates(&self, filter: &EntryFilter, page: &Page) -> Result<Candidates, LedgerError> {
        self.settled(|fold| {
            let frames = Candidates::Frames { last: fold.offsets.len() as u64 };
            let most = FRAMES_PER_PAGE + page.limit.min(PAGE_MAX);
            let Some(account) = &filter.account else {
                // Orders of people are few, and the book knows where they stand.
                if filter.kind.is_none_or(|kind| kind == EntryKind::Charge) {
                    return frames;
                }
                let places = part(fold.book.orders().into_iter(), page, most);
                let more = places.len() == most;
                return Candidates::Exact { places, more };
            };
            let complete = fold.history.complete_from();
            let places = part(fold.history.of(account), page, most);
            let forgotten = complete.seq > 1;
            let needs_older =
                if page.newest_first { places.is_empty() } else { page.after.is_none_or(|after| after < complete) };
            if forgotten && needs_older {
                return frames;
            }
            let more = places.len() == most || (forgotten && page.newest_first);
            Candidates::Exact { places, more }
        })
    }

    fn exact(&self, mut walk: Walk<'_>, places: &[Position], more: bool) -> Result<EntryPage, LedgerError> {
        let mut rest = places;
        let mut frames = 0;
        while let Some(first) = rest.first() {
            let here = rest.iter().take_while(|at| at.seq == first.seq).count();
            let (now, later) = rest.split_at(here);
            if self.offset(first.seq).is_none() {
                // Still on its way to the log: not to be shown yet.
                return Ok(walk.page(false));
            }
            self.read(first.seq, |frame| walk.places(frame, now.iter().map(|at| at.index as usize)))?;
            rest = later;
            frames += 1;
            if walk.full || (frames >= FRAMES_PER_PAGE && !rest.is_empty()) {
                return Ok(walk.page(true));
            }
        }
        Ok(walk.page(more))
    }

    fn scan(&self, mut walk: Walk<'_>, last: u64) -> Result<EntryPage, LedgerError> {
        let (newest_first, after) = (walk.page.newest_first, walk.page.after.map(|after| after.seq));
        let mut seq = if newest_first { after.unwrap_or(last).min(last) } else { after.unwrap_or(1).max(1) };
        for _ in 0..FRAMES_PER_PAGE {
            if !(1..=last).contains(&seq) {
                return Ok(walk.page(false));
            }
            self.read(seq, |frame| {
                if newest_first {
                    walk.places(frame, (0..frame.len()).rev())
                } else {
                    walk.places(frame, 0..frame.len())
                }
            })?;
            if walk.full {
                break;
            }
            // A frame may be empty; the next page must begin behind it all the same.
            walk.at = Some(Position { seq, index: if newest_first { 0 } else { u32::MAX } });
            seq = if newest_first { seq - 1 } else { seq + 1 };
        }
        Ok(walk.page(true))
    }
}

/// The first `most` of rising places that belong to a page, in its order.
fn part(all: impl DoubleEndedIterator<Item = Position>, page: &Page, most: usize) -> Vec<Position> {
    match (page.newest_first, page.after) {
        (true, Some(after)) => all.rev().skip_while(|at| *at >= after).take(most).collect(),
        (true, None) => all.rev().take(most).collect(),
        (false, Some(after)) => all.skip_while(|at| *at <= after).take(most).collect(),
        (false, None) => all.take(most).collect(),
    }
}

/// Gathers the rows of a page.
struct Walk<'a> {
    filter: &'a EntryFilter,
    page: &'a Page,
    limit: usize,
    stream: &'a SmolStr,
    rows: Vec<EntryRow>,
    /// Last place looked at.
    at: Option<Position>,
    full: bool,
}

impl Walk<'_> {
    fn places(&mut self, frame: &FrameView<'_>, indexes: impl Iterator<Item = usize>) -> Result<(), LedgerError> {
        for index in indexes {
            let at = Position { seq: frame.header.seq, index: index as u32 };
            let seen = match self.page.after {
                None => false,
                Some(after) if self.page.newest_first => at >= after,
                Some(after) => at <= after,
            };
            if seen {
                continue;
            }
            if self.rows.len() == self.limit {
                self.full = true;
                return Ok(());
            }
            self.at = Some(at);
            if let LedgerItem::Entry(entry) = ledger_item(self.stream, frame, index)?
                && wanted(self.filter, &entry)
            {
                self.rows.push(EntryRow::new(self.stream, at, frame.header.booked_at, &entry));
            }
        }
        Ok(())
    }

    fn page(self, more: bool) -> EntryPage {
        let next = if more { self.at.or(self.page.after) } else { None };
        EntryPage { entries: self.rows, next }
    }
}

fn wanted(filter: &EntryFilter, entry: &LedgerEntry) -> bool {
    let account = filter.account.as_ref();
    account.is_none_or(|a| entry.account == *a || entry.postings.iter().any(|p| p.account == *a))
        && filter.kind.is_none_or(|kind| entry.kind == kind)
        && filter.occurred_from.is_none_or(|from| entry.occurred_at >= from)
        && filter.occurred_until.is_none_or(|until| entry.occurred_at < until)
}
