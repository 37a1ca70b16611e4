//! Items of the `xdrs` streams: a public part, and a private one with all that can name a person (numbers, call
//! keys, raw references, event ids), so that the chain stays whole when a key is destroyed.

mod call;
mod head;
mod stored;
mod xdr;

pub use call::{call_to_facts, encode_call, encode_call_parts};
pub use head::{CallHead, call_head};
pub use stored::{StoredCall, StoredSide, stored_call};
pub use xdr::xdr_to_facts;

use crate::bus_record::{
    event_to_facts, event_to_wire, import_end_to_facts, import_end_to_wire, raw_to_facts, raw_to_wire,
};
use crate::error::{DecodeError, Problem};
use crate::wire::{self, XdrsItemItem as Public, XdrsPrivateItem as Private};
use facts::call::Reject;
use facts::ids::ImportId;
use facts::xdr::{Conflict, ImportCount, NodeMark, RaterState, Suspended, XdrItem};
use facts::{ObservedAt, OccurredAt};

/// Fingerprint that stands in the header of a frame of these items.
pub const ITEMS: [u8; 8] = wire::XDRS_ITEM_V1;

/// Appends both parts of an item; the private one stays empty where nothing is private.
pub fn encode_item(item: &XdrItem, public: &mut Vec<u8>, private: &mut Vec<u8>) {
    let (open, hidden) = match item {
        XdrItem::Call(call) => return encode_call(call, public, private),
        XdrItem::Suspended(x) => (
            Public::Suspended(wire::Suspended { reason: &x.reason }),
            Some(Private::SuspendedPrivate(wire::SuspendedPrivate {
                events: x.events.iter().map(event_to_wire).collect(),
            })),
        ),
        XdrItem::Conflict(x) => (
            Public::Conflict(wire::Conflict { reason: &x.reason }),
            Some(Private::ConflictPrivate(wire::ConflictPrivate { event: event_to_wire(&x.event) })),
        ),
        XdrItem::Reject(x) => (
            Public::Rejected(wire::Rejected {
                source: &x.source,
                import: x.import.map(|id| id.0),
                line: x.line,
                byte: x.byte,
                field: &x.field,
                advice: &x.advice,
                observed_at: x.observed_at.0,
            }),
            Some(Private::RejectedPrivate(wire::RejectedPrivate {
                reason: &x.reason,
                raw: x.raw.as_ref().map(raw_to_wire),
            })),
        ),
        XdrItem::ImportCount(x) => (Public::ImportCount(count_to_wire(x)), None),
        XdrItem::SourceMark { switch, occurred_until, declared } => (
            Public::SourceMark(wire::SourceMark { switch, occurred_until: occurred_until.0, declared: *declared }),
            None,
        ),
        XdrItem::State(x) => (Public::RaterState(state_to_wire(x)), None),
    };
    wire::XdrsItem { item: open }.encode(public);
    if let Some(item) = hidden {
        wire::XdrsPrivate { item }.encode(private);
    }
}

/// True for a rated call, from the first byte of the public part (its place in the union): for readers that want
/// everything but calls, or calls only, without decoding the rest.
pub fn is_rated_call(public: &[u8]) -> bool {
    public.first() == Some(&0)
}

/// True for the first revision of a rated call, from the first two bytes (the places in two unions).
pub fn is_first_revision(public: &[u8]) -> bool {
    public.first_chunk::<2>() == Some(&[0, 0])
}

/// Reads an item of both parts.
pub fn decode_item(public: &[u8], private: &[u8]) -> Result<XdrItem, DecodeError> {
    let open = wire::XdrsItem::decode(public)?.item;
    let hidden = if private.is_empty() { None } else { Some(wire::XdrsPrivate::decode(private)?.item) };
    Ok(match (open, hidden) {
        (Public::RatedCall(x), Some(Private::RatedCallPrivate(p))) => XdrItem::Call(Box::new(call_to_facts(&x, &p)?)),
        (Public::Suspended(x), Some(Private::SuspendedPrivate(p))) => XdrItem::Suspended(Box::new(Suspended {
            reason: x.reason.into(),
            events: p.events.iter().map(event_to_facts).collect(),
        })),
        (Public::Conflict(x), Some(Private::ConflictPrivate(p))) => {
            XdrItem::Conflict(Box::new(Conflict { reason: x.reason.into(), event: event_to_facts(&p.event) }))
        }
        (Public::Rejected(x), Some(Private::RejectedPrivate(p))) => XdrItem::Reject(Box::new(Reject {
            source: x.source.into(),
            import: x.import.map(ImportId),
            line: x.line,
            byte: x.byte,
            field: x.field.into(),
            reason: p.reason.to_owned(),
            advice: x.advice.to_owned(),
            raw: p.raw.as_ref().map(raw_to_facts),
            observed_at: ObservedAt(x.observed_at),
        })),
        (Public::ImportCount(x), None) => XdrItem::ImportCount(Box::new(count_to_facts(&x))),
        (Public::SourceMark(x), None) => XdrItem::SourceMark {
            switch: x.switch.into(),
            occurred_until: OccurredAt(x.occurred_until),
            declared: x.declared,
        },
        (Public::RaterState(x), None) => XdrItem::State(Box::new(state_to_facts(&x))),
        _ => return Err(DecodeError::new("XdrsPrivate.item", Problem::Mismatch)),
    })
}

fn count_to_wire(x: &ImportCount) -> wire::ImportCount<'_> {
    wire::ImportCount {
        import: x.import.0,
        source: &x.source,
        file: &x.file,
        partition: x.partition,
        sent_here: x.sent_here,
        read: x.read,
        accepted: x.accepted,
        repeated: x.repeated,
        rejected: x.rejected,
        complete: x.complete,
    }
}

fn count_to_facts(x: &wire::ImportCount<'_>) -> ImportCount {
    ImportCount {
        import: ImportId(x.import),
        source: x.source.into(),
        file: x.file.into(),
        partition: x.partition,
        sent_here: x.sent_here,
        read: x.read,
        accepted: x.accepted,
        repeated: x.repeated,
        rejected: x.rejected,
        complete: x.complete,
    }
}

fn node_to_wire(x: &NodeMark) -> wire::NodeMark<'_> {
    wire::NodeMark { node: &x.node, boot_epoch: x.boot_epoch, next: x.next, sparse: x.sparse.clone() }
}

fn state_to_wire(x: &RaterState) -> wire::RaterState<'_> {
    wire::RaterState {
        clock: x.clock.0,
        nodes: x.nodes.iter().map(node_to_wire).collect(),
        imports: x.imports.iter().map(count_to_wire).collect(),
        ends: x.ends.iter().map(import_end_to_wire).collect(),
    }
}

fn state_to_facts(x: &wire::RaterState<'_>) -> RaterState {
    RaterState {
        clock: ObservedAt(x.clock),
        nodes: x
            .nodes
            .iter()
            .map(|n| NodeMark { node: n.node.into(), boot_epoch: n.boot_epoch, next: n.next, sparse: n.sparse.clone() })
            .collect(),
        imports: x.imports.iter().map(count_to_facts).collect(),
        ends: x.ends.iter().map(import_end_to_facts).collect(),
    }
}
