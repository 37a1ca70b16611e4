//! Builds the next ledger frame: calls and orders in, encoded items and a book that has them out. No I/O: what was
//! posted before for a call is given by whoever holds the log.

use accounting::post::{AMOUNT_RANGE, Outcome, refuse_elsewhere};
use accounting::{Applied, BookError, CurrentCall, PayRefusal, Posted, PricedCall, entries_for};
use facts::entry::LedgerItem;
use facts::ids::OriginId;
use facts::xdr::Position;
use facts::{CallId, LedgerEntry, OccurredAt};
use schemas::FrameBuilder;
use schemas::frame::{BYTES_MAX, ITEM_BYTES_MAX, ITEMS_MAX};
use smol_str::SmolStr;

use crate::error::LedgerError;
use crate::fold::Fold;

/// Room kept for what a refusal may need more than the entry it stands for.
const SLACK: usize = 2048;
/// The items of one call do not fit in one frame.
pub const TOO_LARGE: &str = "too_large";

/// More than the release of a hold takes in a frame.
const RELEASE_BYTES: usize = 64;

/// The frame under construction.
#[derive(Default)]
pub struct Poster {
    builder: FrameBuilder,
    outcomes: Vec<Outcome>,
    scratch: Vec<u8>,
    ends: Vec<usize>,
    /// Since the last `take_posted`.
    posted: Posted,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    Taken,
    /// Finish the frame and give it again.
    Full,
}

impl Poster {
    pub fn new() -> Self {
        Self { builder: FrameBuilder::new(), ..Self::default() }
    }

    pub fn items(&self) -> usize {
        self.builder.items()
    }

    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// Counts since the last time this was asked.
    pub fn take_posted(&mut self) -> Posted {
        std::mem::take(&mut self.posted)
    }

    /// Posts a rated call that stands at `source` into frame `seq`. `current`: what was posted for it before, if the
    /// book knows it; and the site whose charge of the call counts instead of one of this site.
    pub fn call(
        &mut self,
        fold: &mut Fold,
        seq: u64,
        rated: &PricedCall,
        source: (&SmolStr, Position),
        (current, elsewhere): (Option<&CurrentCall>, Option<u16>),
        now: OccurredAt,
    ) -> Result<Took, LedgerError> {
        self.outcomes.clear();
        let mut posted = entries_for(rated, source, current, &mut self.outcomes);
        if let Some(site) = elsewhere {
            posted.refused += posted.entries;
            posted.entries = 0;
            refuse_elsewhere(&mut self.outcomes, &format!("its charge at site {site} counts"));
        }
        // A charge and the end of its hold stand in one frame, or neither does.
        let attempts = fold.book.holds().after_attempts(rated, now);
        let memos = 1 + attempts.len();
        if !self.encode_outcomes(&mut posted, memos * RELEASE_BYTES)
            || self.builder.items() + self.outcomes.len() + memos > ITEMS_MAX
        {
            return Ok(Took::Full);
        }
        self.posted.add(posted);
        if let Some(item) = fold.book.holds().after(rated, now).filter(|_| elsewhere.is_none()) {
            self.memo(fold, seq, &item)?;
        }
        for ended in attempts {
            self.memo(fold, seq, &LedgerItem::Release(ended))?;
        }
        let mut from = 0;
        for (outcome, end) in self.outcomes.iter().zip(&self.ends) {
            let at = Position { seq, index: self.builder.items() as u32 };
            let bytes = &self.scratch[from..*end];
            from = *end;
            let refused = match outcome {
                Outcome::Entry(entry) => match fold.entry(at, entry) {
                    Ok(_) => None,
                    Err(BookError::Range { origin }) => {
                        self.posted.entries -= 1;
                        self.posted.refused += 1;
                        Some(refused_item(origin, AMOUNT_RANGE, "a balance is beyond the integer range".into()))
                    }
                    Err(error) => return Err(LedgerError::book(fold.stream(), at, error)),
                },
                Outcome::Refused { origin_id, reason, detail } => {
                    Some(refused_item(*origin_id, reason, detail.clone()))
                }
            };
            match refused {
                None => push(&mut self.builder, |public| public.extend_from_slice(bytes)),
                Some(item) => {
                    fold.item(at, &item)?;
                    push(&mut self.builder, |public| schemas::ledger::encode_item(&item, public, &mut Vec::new()));
                }
            }
        }
        Ok(Took::Taken)
    }

    /// Encodes the outcomes one behind the other; false when they do not fit beside `spare` bytes in what is left of the
    /// frame. What would
    /// fit in no frame becomes refusals.
    fn encode_outcomes(&mut self, posted: &mut Posted, spare: usize) -> bool {
        let need = self.encode_all();
        if self.fits(need + spare) {
            return true;
        }
        if !refuse_if_too_large(&mut self.outcomes, &self.ends, need, posted) {
            return false;
        }
        let need = self.encode_all();
        self.fits(need + spare)
    }

    fn encode_all(&mut self) -> usize {
        encode_all(&self.outcomes, &mut self.scratch, &mut self.ends)
    }

    fn fits(&self, need: usize) -> bool {
        self.builder.bytes() + need <= BYTES_MAX && self.builder.items() + self.outcomes.len() <= ITEMS_MAX
    }

    /// All items of the frame under construction, in order.
    pub fn items_here(&self, stream: &SmolStr, seq: u64, mut each: impl FnMut(LedgerItem)) -> Result<(), LedgerError> {
        for index in 0..self.builder.items() {
            let Some((public, private)) = self.builder.item(index) else { break };
            let at = Position { seq, index: index as u32 };
            let failed = |error| LedgerError::Item { stream: stream.clone(), at, error };
            each(schemas::ledger::decode_item(public, private).map_err(failed)?);
        }
        Ok(())
    }

    /// The entries of a call in the frame under construction.
    pub fn entries_here(
        &self,
        stream: &SmolStr,
        seq: u64,
        call: CallId,
        out: &mut Vec<LedgerEntry>,
    ) -> Result<(), LedgerError> {
        self.items_here(stream, seq, |item| {
            if let LedgerItem::Entry(entry) = item
                && entry.call_id == Some(call)
            {
                out.push(*entry);
            }
        })
    }

    /// Posts an order of a person into frame `seq`. The position is where it stands, now or from before.
    pub fn order(
        &mut self,
        fold: &mut Fold,
        seq: u64,
        entry: &LedgerEntry,
    ) -> Result<Result<(Position, Applied), PayRefusal>, LedgerError> {
        let at = Position { seq, index: self.builder.items() as u32 };
        match fold.book.known_order(entry) {
            Some(Ok(earlier)) => return Ok(Ok((earlier, Applied::Repeated(earlier)))),
            Some(Err(_)) => {
                return Ok(Err(PayRefusal::IdReused { id: SmolStr::default(), origin: entry.origin_id }));
            }
            None => {}
        }
        match fold.entry(at, entry) {
            Ok(applied) => {
                push(&mut self.builder, |public| schemas::ledger::encode_entry(entry, public));
                self.posted.entries += 1;
                Ok(Ok((at, applied)))
            }
            Err(BookError::Range { .. }) => Ok(Err(PayRefusal::Amount)),
            Err(error) => Err(LedgerError::book(fold.stream(), at, error)),
        }
    }

    /// Writes a memo item, for which there is room (see [`Self::has_room_for_order`]), and folds it.
    pub fn memo(&mut self, fold: &mut Fold, seq: u64, item: &LedgerItem) -> Result<Position, LedgerError> {
        let at = Position { seq, index: self.builder.items() as u32 };
        fold.item(at, item)?;
        push(&mut self.builder, |public| schemas::ledger::encode_item(item, public, &mut Vec::new()));
        Ok(at)
    }

    /// Writes a grant or caps, once per id.
    pub fn terms(
        &mut self,
        fold: &mut Fold,
        seq: u64,
        (origin, content): (OriginId, [u8; 16]),
        item: &LedgerItem,
    ) -> Result<Result<(Position, Applied), PayRefusal>, LedgerError> {
        match fold.book.known_terms(origin, content) {
            Some(Ok(earlier)) => Ok(Ok((earlier, Applied::Repeated(earlier)))),
            Some(Err(_)) => Ok(Err(PayRefusal::IdReused { id: SmolStr::default(), origin })),
            None => Ok(Ok((self.memo(fold, seq, item)?, Applied::Counted))),
        }
    }

    /// True when an order surely fits.
    pub fn has_room_for_order(&self) -> bool {
        // Texts of an order are bounded (`accounting::pay`), so 8 KiB is more than any needs.
        self.builder.bytes() + 8192 <= BYTES_MAX && self.builder.items() < ITEMS_MAX
    }

    /// Puts a certificate in front of an empty frame.
    pub fn certify(&mut self, fold: &mut Fold, seq: u64) -> Result<(), LedgerError> {
        let item = LedgerItem::Certificate { root: fold.book.root(), entries: fold.book.counts().all_entries() };
        let at = Position { seq, index: self.builder.items() as u32 };
        fold.item(at, &item)?;
        push(&mut self.builder, |public| schemas::ledger::encode_item(&item, public, &mut Vec::new()));
        Ok(())
    }

    /// The items, for whoever writes the frame (which empties it).
    pub fn builder(&mut self) -> &mut FrameBuilder {
        &mut self.builder
    }
}

/// Appends every outcome as an item and notes where each ends; returns the room that they need in a frame.
fn encode_all(outcomes: &[Outcome], bytes: &mut Vec<u8>, ends: &mut Vec<usize>) -> usize {
    bytes.clear();
    ends.clear();
    for outcome in outcomes {
        match outcome {
            Outcome::Entry(entry) => schemas::ledger::encode_entry(entry, bytes),
            Outcome::Refused { origin_id, reason, detail } => {
                let item = refused_item(*origin_id, reason, detail.clone());
                schemas::ledger::encode_item(&item, bytes, &mut Vec::new());
            }
        }
        ends.push(bytes.len());
    }
    bytes.len() + outcomes.len() * 16 + SLACK
}

/// Refuses outcomes that fit in no frame at all; true when it did.
fn refuse_if_too_large(outcomes: &mut [Outcome], ends: &[usize], need: usize, posted: &mut Posted) -> bool {
    let largest = ends.iter().scan(0, |from, end| Some(end - std::mem::replace(from, *end))).max();
    if need <= BYTES_MAX && outcomes.len() <= ITEMS_MAX && largest.is_none_or(|bytes| bytes <= ITEM_BYTES_MAX) {
        return false;
    }
    for outcome in outcomes.iter_mut() {
        let origin_id = match outcome {
            Outcome::Entry(entry) => entry.origin_id,
            Outcome::Refused { origin_id, .. } => *origin_id,
        };
        let detail = format!("the entries of its call take {need} bytes, more than a frame holds");
        *outcome = Outcome::Refused { origin_id, reason: SmolStr::new_static(TOO_LARGE), detail };
    }
    *posted = Posted { refused: outcomes.len() as u64, ..Posted::default() };
    true
}

/// The same rule for whoever derives outcomes without a frame under construction.
pub(crate) fn refuse_too_large(outcomes: &mut [Outcome], posted: &mut Posted) {
    // An entry takes far below 4 KiB unless its texts are extraordinary; measuring is for those.
    if outcomes.len() * 4096 <= BYTES_MAX && outcomes.iter().all(|outcome| text_bytes(outcome) <= 2048) {
        return;
    }
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let need = encode_all(outcomes, &mut bytes, &mut ends);
    refuse_if_too_large(outcomes, &ends, need, posted);
}

fn text_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Entry(entry) => {
            let lines = entry.postings.iter().map(|p| 32 + p.account.len() + p.product.len() + p.destination.len());
            entry.account.len() + lines.sum::<usize>()
        }
        Outcome::Refused { detail, .. } => detail.len(),
    }
}

fn refused_item(origin_id: OriginId, reason: &str, detail: String) -> LedgerItem {
    LedgerItem::Refused { origin_id, reason: reason.into(), detail }
}

/// Pushes an item that is known to fit: room was checked before anything counted in the book.
fn push(builder: &mut FrameBuilder, write: impl FnOnce(&mut Vec<u8>)) {
    let pushed = builder.push(|public, _private| write(public));
    assert!(pushed.is_ok(), "an item that was measured to fit does not: {pushed:?}");
}
