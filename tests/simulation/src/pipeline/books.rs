//! The ledger as far as it is pure: rated calls into entries, the book, certificates, and the fold version.

use super::Slip;
use super::copy::Reader;
use accounting::pay::{Payment, entry_for};
use accounting::{Book, CurrentCall, Outcome, PricedCall, entries_for};
use facts::config::Account;
use facts::deck::Price;
use facts::entry::{EntryKind, LedgerItem};
use facts::ids::{CallId, OriginId};
use facts::xdr::{Position, XdrItem};
use facts::{Currency, LedgerEntry};
use schemas::FrameView;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// One owner's or reader's book, and what was posted for each call.
pub(super) struct Books {
    pub book: Book,
    entries: BTreeMap<CallId, Vec<LedgerEntry>>,
    /// Orders of people that are booked.
    pub orders: BTreeSet<OriginId>,
    /// Reads the rated calls.
    pub calls: Reader,
    /// Frames of rated calls up to here are booked.
    pub next: u64,
    /// Version that its frames name.
    pub says: u32,
    frames: u64,
}

impl Books {
    pub fn new() -> Self {
        let (book, entries, orders) = Default::default();
        Self { book, entries, orders, calls: Reader::new(super::XDRS), next: 1, says: 1, frames: 0 }
    }

    /// Folds one accepted frame; an error is what cannot belong to this book.
    pub fn fold(&mut self, frame: &FrameView<'_>, newest: u32) -> Result<(), String> {
        let version = frame.header.fold_version;
        if version > newest {
            return Err(format!(
                "frame {} is of fold version {version}, this program folds {newest}",
                frame.header.seq
            ));
        }
        self.book.begin(version).map_err(|error| error.to_string())?;
        self.says = version;
        for index in 0..frame.len() {
            let item = schemas::ledger::item(frame, index).map_err(|error| error.to_string())?;
            let at = Position { seq: frame.header.seq, index: index as u32 };
            self.apply(at, &item)?;
        }
        Ok(())
    }

    fn apply(&mut self, at: Position, item: &LedgerItem) -> Result<(), String> {
        self.book.apply(at, item).map_err(|error| format!("item {}/{}: {error}", at.seq, at.index))?;
        let LedgerItem::Entry(entry) = item else { return Ok(()) };
        if let Some(call) = entry.call_id {
            self.entries.entry(call).or_default().push((**entry).clone());
        }
        if entry.kind == EntryKind::Payment {
            self.orders.insert(entry.origin_id);
        }
        Ok(())
    }

    /// Goes through the bytes of a snapshot, as a restart does.
    pub fn reload(&mut self) -> Result<(), String> {
        let mut bytes = Vec::new();
        self.book.dump(&mut bytes);
        let root = self.book.root();
        self.book = Book::load(&bytes).map_err(|error| error.to_string())?;
        if self.book.root() == root { Ok(()) } else { Err("a snapshot comes to another root".to_owned()) }
    }

    /// The items of a frame that books these orders and rated calls, and the version that it names.
    pub fn frame(
        &mut self,
        seq: u64,
        (from, orders): (&[FrameView<'_>], &[Payment]),
        ordered: u32,
        slip: Option<Slip>,
    ) -> Result<(Vec<LedgerItem>, u32), String> {
        let mut items = Vec::new();
        self.frames += 1;
        if ordered > self.book.fold_version() {
            self.book.begin(ordered).map_err(|error| error.to_string())?;
            if slip != Some(Slip::SwitchUnsaid) {
                self.says = ordered;
            }
            self.certify(seq, &mut items)?;
        } else if self.frames.is_multiple_of(3) {
            self.certify(seq, &mut items)?;
        }
        for order in orders {
            let entry = entry_for(order, Some(&customer(order.currency))).map_err(|refusal| refusal.to_string())?;
            if !self.orders.contains(&entry.origin_id) {
                let item = LedgerItem::Entry(Box::new(entry));
                self.apply(Position { seq, index: items.len() as u32 }, &item)?;
                items.push(item);
            }
        }
        let stream = SmolStr::new_static(super::STREAMS[super::XDRS]);
        for frame in from {
            for index in 0..frame.len() {
                let (public, private) = frame.item(index).map_err(|error| error.to_string())?;
                let item = schemas::xdrs::decode_item(public, private).map_err(|error| error.to_string())?;
                let XdrItem::Call(rated) = item else { continue };
                let source = Position { seq: frame.header.seq, index: index as u32 };
                self.call(seq, &(&*rated).into(), (&stream, source), &mut items)?;
            }
            self.next = frame.header.seq + 1;
        }
        Ok((items, self.says))
    }

    fn certify(&mut self, seq: u64, items: &mut Vec<LedgerItem>) -> Result<(), String> {
        let item = LedgerItem::Certificate { root: self.book.root(), entries: self.book.counts().all_entries() };
        self.apply(Position { seq, index: items.len() as u32 }, &item)?;
        items.push(item);
        Ok(())
    }

    fn call(
        &mut self,
        seq: u64,
        call: &PricedCall,
        source: (&SmolStr, Position),
        items: &mut Vec<LedgerItem>,
    ) -> Result<(), String> {
        let known = self.entries.get(&call.call_id);
        let current = match known {
            Some(entries) => Some(CurrentCall::fold(call.call_id, entries).ok_or("a sum is beyond the range")?),
            None => None,
        };
        let mut outcomes = Vec::new();
        entries_for(call, source, current.as_ref(), &mut outcomes);
        for outcome in outcomes {
            let item = match outcome {
                Outcome::Entry(entry) => LedgerItem::Entry(Box::new(entry)),
                Outcome::Refused { origin_id, reason, detail } => LedgerItem::Refused { origin_id, reason, detail },
            };
            self.apply(Position { seq, index: items.len() as u32 }, &item)?;
            items.push(item);
        }
        Ok(())
    }

    /// What a call comes to for the customer, 10^-12.
    pub fn owed(&self, call: CallId) -> i128 {
        let entries = self.entries.get(&call).into_iter().flatten();
        let postings = entries.flat_map(|entry| &entry.postings);
        postings.filter(|posting| posting.account == "acme").map(|posting| posting.amount.0).sum()
    }
}

/// The one customer of this world.
fn customer(currency: Currency) -> Account {
    let (id, carrier, reseller) = ("acme".into(), "acme".into(), SmolStr::default());
    Account { id, carrier, currency, prepaid: false, credit_limit: Price(0), reseller, unidentified: false }
}
