//! Records of the topic `call-events`: one Avro record each, told apart by schema id.
//!
//! Whoever reads events by the million takes them from [`read`] and allocates nothing.

use crate::error::{DecodeError, Problem};
use crate::ids::{Schema, SchemaIds};
use crate::wire;
use facts::call::{BusRecord, CallEvent, Endpoint, EventRef, ImportEnd, RawRef, Reject};
use facts::ids::{DedupeKey, EventId, ImportId};
use facts::{Amount, ObservedAt, OccurredAt};
use smol_str::SmolStr;

/// Appends a record in Confluent wire format.
pub fn encode(record: &BusRecord, ids: &SchemaIds, out: &mut Vec<u8>) {
    match record {
        BusRecord::Event(event) => encode_event(event, ids, out),
        BusRecord::Reject(reject) => {
            ids.put_prefix(Schema::Reject, out);
            reject_to_wire(reject).encode(out);
        }
        BusRecord::Incarnation(id) => {
            ids.put_prefix(Schema::Incarnation, out);
            wire::Incarnation { id: *id }.encode(out);
        }
        BusRecord::ImportEnd(end) => {
            ids.put_prefix(Schema::ImportEnd, out);
            import_end_to_wire(end).encode(out);
        }
        BusRecord::Tick { node, observed_at } => {
            ids.put_prefix(Schema::Tick, out);
            wire::Tick { node, observed_at: observed_at.0 }.encode(out);
        }
        BusRecord::SourceMark { switch, occurred_until, declared } => {
            ids.put_prefix(Schema::SourceMark, out);
            wire::SourceMark { switch, occurred_until: occurred_until.0, declared: *declared }.encode(out);
        }
    }
}

/// Appends an event's record, without the box that [`BusRecord`] puts around it.
pub fn encode_event(event: &CallEvent, ids: &SchemaIds, out: &mut Vec<u8>) {
    ids.put_prefix(Schema::CallEvent, out);
    event_to_wire(event).encode(out);
}

/// A record that borrows from its bytes where there are millions of its kind.
#[derive(Debug)]
pub enum RecordRef<'a> {
    Event(EventRef<'a>),
    /// Any other kind.
    Other(BusRecord),
}

/// Reads a record of the topic.
pub fn decode(record: &[u8], ids: &SchemaIds) -> Result<BusRecord, DecodeError> {
    let (schema, body) = ids.split(record)?;
    match event_body(schema, body)? {
        Some(event) => Ok(BusRecord::Event(Box::new(event_to_facts(&event)))),
        None => other(schema, body),
    }
}

/// Reads a record of the topic without owning the texts of an event.
pub fn read<'a>(record: &'a [u8], ids: &SchemaIds) -> Result<RecordRef<'a>, DecodeError> {
    let (schema, body) = ids.split(record)?;
    Ok(match event_body(schema, body)? {
        Some(event) => RecordRef::Event(event_to_facts(&event)),
        None => RecordRef::Other(other(schema, body)?),
    })
}

/// A record that is no event.
fn other(schema: Schema, body: &[u8]) -> Result<BusRecord, DecodeError> {
    Ok(match schema {
        Schema::Reject => BusRecord::Reject(Box::new(reject_to_facts(&wire::Reject::decode(body)?))),
        Schema::Incarnation => BusRecord::Incarnation(wire::Incarnation::decode(body)?.id),
        Schema::ImportEnd => BusRecord::ImportEnd(import_end_to_facts(&wire::ImportEnd::decode(body)?)),
        Schema::Tick => {
            let tick = wire::Tick::decode(body)?;
            BusRecord::Tick { node: tick.node.into(), observed_at: ObservedAt(tick.observed_at) }
        }
        Schema::SourceMark => {
            let mark = wire::SourceMark::decode(body)?;
            BusRecord::SourceMark {
                switch: mark.switch.into(),
                occurred_until: OccurredAt(mark.occurred_until),
                declared: mark.declared,
            }
        }
        _ => return Err(DecodeError::new("record", Problem::WrongSchema(schema.name()))),
    })
}

/// Reads an event without owning anything; `None` for another kind of record (take [`decode`] for those).
pub fn decode_event<'a>(record: &'a [u8], ids: &SchemaIds) -> Result<Option<wire::CallEvent<'a>>, DecodeError> {
    let (schema, body) = ids.split(record)?;
    event_body(schema, body)
}

/// Each version of the event that was ever written has its decoder; the id says which.
fn event_body(schema: Schema, body: &[u8]) -> Result<Option<wire::CallEvent<'_>>, DecodeError> {
    match schema {
        Schema::CallEvent => wire::CallEvent::decode(body).map(Some),
        Schema::CallEventV0 => wire::old::decode_call_event_v0(body).map(Some),
        _ => Ok(None),
    }
}

pub(crate) fn endpoint_to_wire(x: &Endpoint) -> wire::Endpoint<'_> {
    wire::Endpoint {
        trunk: &x.trunk,
        ip: &x.ip,
        port: x.port,
        digest_user: &x.digest_user,
        tech_prefix: &x.tech_prefix,
        account: &x.account,
    }
}

pub(crate) fn endpoint_to_facts<'a, S: From<&'a str>>(x: &wire::Endpoint<'a>) -> Endpoint<S> {
    Endpoint {
        trunk: x.trunk.into(),
        ip: x.ip.into(),
        port: x.port,
        digest_user: x.digest_user.into(),
        tech_prefix: x.tech_prefix.into(),
        account: x.account.into(),
    }
}

pub(crate) fn raw_to_wire(x: &RawRef) -> wire::RawRef {
    wire::RawRef { hash: x.hash, offset: x.offset, length: x.length }
}

pub(crate) fn raw_to_facts(x: &wire::RawRef) -> RawRef {
    RawRef { hash: x.hash, offset: x.offset, length: x.length }
}

pub(crate) fn event_id_to_wire(x: &EventId<SmolStr>) -> wire::EventId<'_> {
    wire::EventId { node: &x.node, boot_epoch: x.boot_epoch, partition: x.partition, sequence: x.sequence }
}

pub(crate) fn event_id_to_facts<'a, S: From<&'a str>>(x: &wire::EventId<'a>) -> EventId<S> {
    EventId { node: x.node.into(), boot_epoch: x.boot_epoch, partition: x.partition, sequence: x.sequence }
}

/// The event as it stands in the bytes, borrowing from the fact.
pub fn event_to_wire(x: &CallEvent) -> wire::CallEvent<'_> {
    wire::CallEvent {
        id: event_id_to_wire(&x.id),
        kind: x.kind,
        leg: x.leg,
        id_domain: &x.id_domain,
        switch: &x.switch,
        call_key: &x.call_key,
        attempt_key: &x.attempt_key,
        occurred_at: x.occurred_at.0,
        observed_at: x.observed_at.0,
        caller: &x.caller,
        called: &x.called,
        caller_number: x.caller_number,
        called_number: x.called_number,
        rn: x.rn,
        inbound: endpoint_to_wire(&x.inbound),
        outbound: endpoint_to_wire(&x.outbound),
        started_at: x.started_at.map(|t| t.0),
        answered_at: x.answered_at.map(|t| t.0),
        ended_at: x.ended_at.map(|t| t.0),
        duration: x.duration,
        vendor_duration: x.vendor_duration,
        pdd: x.pdd,
        sip_code: x.sip_code,
        q850: x.q850,
        attempt_number: x.attempt_number,
        last_attempt: x.last_attempt,
        estimated: x.estimated,
        hold_id: x.hold_id,
        held: x.held.map(|a| a.0),
        dedupe: x.dedupe.map(|id| id.0),
        import: x.import.map(|id| id.0),
        raw: x.raw.as_ref().map(raw_to_wire),
        line: x.line,
    }
}

/// The event as a fact, which owns its texts (short ones stay off the heap) or borrows them from the record.
pub fn event_to_facts<'a, S: From<&'a str>>(x: &wire::CallEvent<'a>) -> CallEvent<S> {
    CallEvent {
        id: event_id_to_facts(&x.id),
        kind: x.kind,
        leg: x.leg,
        id_domain: x.id_domain.into(),
        switch: x.switch.into(),
        call_key: x.call_key.into(),
        attempt_key: x.attempt_key.into(),
        occurred_at: OccurredAt(x.occurred_at),
        observed_at: ObservedAt(x.observed_at),
        caller: x.caller.into(),
        called: x.called.into(),
        caller_number: x.caller_number,
        called_number: x.called_number,
        rn: x.rn,
        inbound: endpoint_to_facts(&x.inbound),
        outbound: endpoint_to_facts(&x.outbound),
        started_at: x.started_at.map(OccurredAt),
        answered_at: x.answered_at.map(OccurredAt),
        ended_at: x.ended_at.map(OccurredAt),
        duration: x.duration,
        vendor_duration: x.vendor_duration,
        pdd: x.pdd,
        sip_code: x.sip_code,
        q850: x.q850,
        attempt_number: x.attempt_number,
        last_attempt: x.last_attempt,
        estimated: x.estimated,
        hold_id: x.hold_id,
        held: x.held.map(Amount),
        dedupe: x.dedupe.map(DedupeKey),
        import: x.import.map(ImportId),
        raw: x.raw.as_ref().map(raw_to_facts),
        line: x.line,
    }
}

fn reject_to_wire(x: &Reject) -> wire::Reject<'_> {
    wire::Reject {
        source: &x.source,
        import: x.import.map(|id| id.0),
        line: x.line,
        byte: x.byte,
        field: &x.field,
        reason: &x.reason,
        raw: x.raw.as_ref().map(raw_to_wire),
        advice: &x.advice,
        observed_at: x.observed_at.0,
    }
}

fn reject_to_facts(x: &wire::Reject<'_>) -> Reject {
    Reject {
        source: x.source.into(),
        import: x.import.map(ImportId),
        line: x.line,
        byte: x.byte,
        field: x.field.into(),
        reason: x.reason.to_owned(),
        advice: x.advice.to_owned(),
        raw: x.raw.as_ref().map(raw_to_facts),
        observed_at: ObservedAt(x.observed_at),
    }
}

pub(crate) fn import_end_to_wire(x: &ImportEnd) -> wire::ImportEnd<'_> {
    wire::ImportEnd {
        import: x.import.0,
        source: &x.source,
        file: &x.file,
        sent_here: x.sent_here,
        sent: x.sent,
        observed_at: x.observed_at.0,
    }
}

pub(crate) fn import_end_to_facts(x: &wire::ImportEnd<'_>) -> ImportEnd {
    ImportEnd {
        import: ImportId(x.import),
        source: x.source.into(),
        file: x.file.into(),
        sent_here: x.sent_here,
        sent: x.sent,
        observed_at: ObservedAt(x.observed_at),
    }
}
