//! Items of the `ledger` streams. Nothing in them can name a person; they are kept for ever, and their private parts
//! stay empty.

mod memo;

use crate::FrameView;
use crate::error::{DecodeError, Problem};
use crate::wire::{self, LedgerItemItem as Item};
use facts::entry::{LedgerEntry, LedgerItem, Posting};
use facts::ids::{CallId, OriginId, XdrId};
use facts::xdr::Position;
use facts::{Amount, OccurredAt};

/// Fingerprint that stands in the header of a frame of these items.
pub const ITEMS: [u8; 8] = wire::LEDGER_ITEM_V4;
/// The same for items that were written before caps of trunks and groups.
const ITEMS_V3: [u8; 8] = wire::LEDGER_ITEM_V3;
/// The same for items that were written before holds.
const ITEMS_V1: [u8; 8] = wire::LEDGER_ITEM_V1;
/// The same for items that were written before rights between sites.
const ITEMS_V2: [u8; 8] = wire::LEDGER_ITEM_V2;

/// Appends an item; `private` is left alone.
pub fn encode_item(item: &LedgerItem, public: &mut Vec<u8>, _private: &mut Vec<u8>) {
    let item = match item {
        LedgerItem::Entry(entry) => return encode_entry(entry, public),
        LedgerItem::Refused { origin_id, reason, detail } => {
            Item::Refused(wire::Refused { origin_id: origin_id.0, reason, detail })
        }
        LedgerItem::Certificate { root, entries } => {
            Item::Certificate(wire::Certificate { root: *root, entries: *entries })
        }
        LedgerItem::Grant(x) => Item::Grant(memo::grant_to_wire(x)),
        LedgerItem::Caps(x) => Item::Caps(memo::caps_to_wire(x)),
        LedgerItem::Hold(x) => Item::Hold(memo::hold_to_wire(x)),
        LedgerItem::Extend(x) => Item::Extend(memo::extend_to_wire(x)),
        LedgerItem::Release(x) => Item::Release(memo::release_to_wire(*x)),
        LedgerItem::Elsewhere(x) => Item::Elsewhere(memo::elsewhere_to_wire(x)),
        LedgerItem::Give(x) => Item::Give(memo::give_to_wire(x)),
        LedgerItem::Limit(x) => Item::Limit(memo::limit_to_wire(x)),
        LedgerItem::Reserve(x) => Item::Reserve(memo::reserve_to_wire(x)),
        LedgerItem::ScopeCaps(x) => Item::ScopeCaps(memo::scope_caps_to_wire(x)),
        LedgerItem::Counted(x) => Item::Counted(memo::counted_to_wire(x)),
    };
    wire::LedgerItem { item }.encode(public);
}

/// Appends an entry as an item, without the box that [`LedgerItem`] puts around it.
pub fn encode_entry(entry: &LedgerEntry, public: &mut Vec<u8>) {
    public.push(Item::LEDGER_ENTRY);
    entry_to_wire(entry).encode(public);
}

/// Reads an item of today's schema; a private part that is not empty is refused.
pub fn decode_item(public: &[u8], private: &[u8]) -> Result<LedgerItem, DecodeError> {
    no_private(private)?;
    Ok(item_to_facts(wire::LedgerItem::decode(public)?.item))
}

fn decode_item_v1(public: &[u8], private: &[u8]) -> Result<LedgerItem, DecodeError> {
    no_private(private)?;
    Ok(item_to_facts(wire::old::decode_ledger_item_v1(public)?.item))
}

fn decode_item_v3(public: &[u8], private: &[u8]) -> Result<LedgerItem, DecodeError> {
    no_private(private)?;
    Ok(item_to_facts(wire::old::decode_ledger_item_v3(public)?.item))
}

fn decode_item_v2(public: &[u8], private: &[u8]) -> Result<LedgerItem, DecodeError> {
    no_private(private)?;
    Ok(item_to_facts(wire::old::decode_ledger_item_v2(public)?.item))
}

fn no_private(private: &[u8]) -> Result<(), DecodeError> {
    if private.is_empty() { Ok(()) } else { Err(DecodeError::new("LedgerItem.item", Problem::Mismatch)) }
}

/// Refuses a frame whose items are none of a ledger stream, by name.
pub fn expect_items(frame: &FrameView<'_>) -> Result<(), DecodeError> {
    if [ITEMS_V1, ITEMS_V2, ITEMS_V3].contains(&frame.header.item_schema) { Ok(()) } else { frame.expect_items(ITEMS) }
}

/// One item of a frame, by whichever schema its header names.
pub fn item(frame: &FrameView<'_>, index: usize) -> Result<LedgerItem, DecodeError> {
    let (public, private) = frame.item(index)?;
    match frame.header.item_schema {
        ITEMS_V1 => decode_item_v1(public, private),
        ITEMS_V2 => decode_item_v2(public, private),
        ITEMS_V3 => decode_item_v3(public, private),
        _ => decode_item(public, private),
    }
}

fn item_to_facts(item: Item<'_>) -> LedgerItem {
    match item {
        Item::LedgerEntry(entry) => LedgerItem::Entry(Box::new(entry_to_facts(&entry))),
        Item::Refused(x) => LedgerItem::Refused {
            origin_id: OriginId(x.origin_id),
            reason: x.reason.into(),
            detail: x.detail.to_owned(),
        },
        Item::Certificate(x) => LedgerItem::Certificate { root: x.root, entries: x.entries },
        Item::Grant(x) => LedgerItem::Grant(Box::new(memo::grant_to_facts(&x))),
        Item::Caps(x) => LedgerItem::Caps(Box::new(memo::caps_to_facts(&x))),
        Item::Hold(x) => LedgerItem::Hold(Box::new(memo::hold_to_facts(&x))),
        Item::Extend(x) => LedgerItem::Extend(Box::new(memo::extend_to_facts(&x))),
        Item::Release(x) => LedgerItem::Release(memo::release_to_facts(&x)),
        Item::Elsewhere(x) => LedgerItem::Elsewhere(Box::new(memo::elsewhere_to_facts(&x))),
        Item::Give(x) => LedgerItem::Give(Box::new(memo::give_to_facts(&x))),
        Item::Limit(x) => LedgerItem::Limit(Box::new(memo::limit_to_facts(&x))),
        Item::Reserve(x) => LedgerItem::Reserve(Box::new(memo::reserve_to_facts(&x))),
        Item::ScopeCaps(x) => LedgerItem::ScopeCaps(Box::new(memo::scope_caps_to_facts(&x))),
        Item::Counted(x) => LedgerItem::Counted(Box::new(memo::counted_to_facts(&x))),
    }
}

fn posting_to_wire(x: &Posting) -> wire::Posting<'_> {
    wire::Posting {
        gl: x.gl,
        account: &x.account,
        product: &x.product,
        destination: &x.destination,
        currency: x.currency,
        amount: x.amount.0,
    }
}

fn entry_to_wire(x: &LedgerEntry) -> wire::LedgerEntry<'_> {
    wire::LedgerEntry {
        kind: x.kind,
        origin_id: x.origin_id.0,
        account: &x.account,
        occurred_at: x.occurred_at.0,
        call_id: x.call_id.map(|id| id.0),
        xdr_id: x.xdr_id.map(|id| id.0),
        source: x.source.as_ref().map(|(stream, at)| wire::ItemPlace { stream, seq: at.seq, index: at.index }),
        by: &x.by,
        reason: &x.reason,
        adjusts: x.adjusts.map(|id| id.0),
        postings: x.postings.iter().map(posting_to_wire).collect(),
    }
}

fn entry_to_facts(x: &wire::LedgerEntry<'_>) -> LedgerEntry {
    LedgerEntry {
        kind: x.kind,
        origin_id: OriginId(x.origin_id),
        account: x.account.into(),
        occurred_at: OccurredAt(x.occurred_at),
        call_id: x.call_id.map(CallId),
        xdr_id: x.xdr_id.map(XdrId),
        source: x.source.as_ref().map(|p| (p.stream.into(), Position { seq: p.seq, index: p.index })),
        by: x.by.into(),
        reason: x.reason.into(),
        adjusts: x.adjusts.map(OriginId),
        postings: x
            .postings
            .iter()
            .map(|p| Posting {
                gl: p.gl,
                account: p.account.into(),
                product: p.product.into(),
                destination: p.destination.into(),
                currency: p.currency,
                amount: Amount(p.amount),
            })
            .collect(),
    }
}
