//! Rated calls, the item that there are millions of.

use super::xdr::{xdr_to_facts, xdr_to_wire};
use crate::bus_record::{
    endpoint_to_facts, endpoint_to_wire, event_id_to_facts, event_id_to_wire, raw_to_facts, raw_to_wire,
};
use crate::error::{DecodeError, Problem};
use crate::wire;
use facts::call::{Attempt, Call};
use facts::ids::{CallId, DedupeKey, ImportId};
use facts::xdr::{Position, RatedCall, Revision, Xdr};
use facts::{Amount, OccurredAt};

/// Appends both parts of a rated call, without the box that an item puts around it.
pub fn encode_call(x: &RatedCall, public: &mut Vec<u8>, private: &mut Vec<u8>) {
    encode_call_parts(x.revision, &x.call, &x.xdrs, public, private);
}

/// The same of a call and its sides that do not stand together.
pub fn encode_call_parts(revision: Revision, call: &Call, xdrs: &[Xdr], public: &mut Vec<u8>, private: &mut Vec<u8>) {
    // Each item is a record of one union: its bytes are the branch and the branch's. Written so, the call is not moved
    // through both of them, which costs as much as writing it.
    public.push(wire::XdrsItemItem::RATED_CALL);
    public_part(revision, call, xdrs).encode(public);
    private.push(wire::XdrsPrivateItem::RATED_CALL_PRIVATE);
    private_part(call).encode(private);
}

fn public_part<'a>(revision: Revision, call: &'a Call, xdrs: &'a [Xdr]) -> wire::RatedCall<'a> {
    wire::RatedCall {
        revision: revision_to_wire(revision),
        call_id: call.call_id.0,
        id_domain: &call.id_domain,
        switch: &call.switch,
        inbound: endpoint_to_wire(&call.inbound),
        started_at: call.started_at.0,
        answered_at: call.answered_at.map(|t| t.0),
        ended_at: call.ended_at.0,
        duration: call.duration,
        pdd: call.pdd,
        sip_code: call.sip_code,
        q850: call.q850,
        attempts: call.attempts.iter().map(attempt_to_wire).collect(),
        estimated: call.estimated,
        hold_id: call.hold_id,
        held: call.held.map(|a| a.0),
        dedupe: call.dedupe.iter().map(|key| key.0).collect(),
        import: call.import.map(|id| id.0),
        xdrs: xdrs.iter().map(xdr_to_wire).collect(),
    }
}

fn private_part(call: &Call) -> wire::RatedCallPrivate<'_> {
    wire::RatedCallPrivate {
        call_key: &call.call_key,
        caller: &call.caller,
        called: &call.called,
        caller_number: call.caller_number,
        called_number: call.called_number,
        rn: call.rn,
        attempt_keys: call.attempts.iter().map(|a| a.key.as_str()).collect(),
        events: call.events.iter().map(event_id_to_wire).collect(),
        raw: call.raw.iter().map(raw_to_wire).collect(),
    }
}

/// Puts both parts of a call together again.
pub fn call_to_facts(x: &wire::RatedCall<'_>, p: &wire::RatedCallPrivate<'_>) -> Result<RatedCall, DecodeError> {
    if x.attempts.len() != p.attempt_keys.len() {
        return Err(DecodeError::new("RatedCallPrivate.attempt_keys", Problem::Mismatch));
    }
    let call = Call {
        call_id: CallId(x.call_id),
        id_domain: x.id_domain.into(),
        switch: x.switch.into(),
        call_key: p.call_key.into(),
        caller: p.caller.into(),
        called: p.called.into(),
        caller_number: p.caller_number,
        called_number: p.called_number,
        rn: p.rn,
        inbound: endpoint_to_facts(&x.inbound),
        started_at: OccurredAt(x.started_at),
        answered_at: x.answered_at.map(OccurredAt),
        ended_at: OccurredAt(x.ended_at),
        duration: x.duration,
        pdd: x.pdd,
        sip_code: x.sip_code,
        q850: x.q850,
        attempts: x.attempts.iter().zip(&p.attempt_keys).map(|(a, key)| attempt_to_facts(a, key)).collect(),
        estimated: x.estimated,
        hold_id: x.hold_id,
        held: x.held.map(Amount),
        dedupe: x.dedupe.iter().map(|key| DedupeKey(*key)).collect(),
        events: p.events.iter().map(event_id_to_facts).collect(),
        import: x.import.map(ImportId),
        raw: p.raw.iter().map(raw_to_facts).collect(),
    };
    Ok(RatedCall { revision: revision_to_facts(&x.revision), call, xdrs: x.xdrs.iter().map(xdr_to_facts).collect() })
}

fn attempt_to_wire(x: &Attempt) -> wire::Attempt<'_> {
    wire::Attempt {
        number: x.number,
        outbound: endpoint_to_wire(&x.outbound),
        started_at: x.started_at.map(|t| t.0),
        answered_at: x.answered_at.map(|t| t.0),
        ended_at: x.ended_at.map(|t| t.0),
        duration: x.duration,
        pdd: x.pdd,
        sip_code: x.sip_code,
        q850: x.q850,
        last: x.last,
    }
}

fn attempt_to_facts(x: &wire::Attempt<'_>, key: &str) -> Attempt {
    Attempt {
        key: key.into(),
        number: x.number,
        outbound: endpoint_to_facts(&x.outbound),
        started_at: x.started_at.map(OccurredAt),
        answered_at: x.answered_at.map(OccurredAt),
        ended_at: x.ended_at.map(OccurredAt),
        duration: x.duration,
        pdd: x.pdd,
        sip_code: x.sip_code,
        q850: x.q850,
        last: x.last,
    }
}

fn revision_to_wire(x: Revision) -> wire::RatedCallRevision {
    match x {
        Revision::First => wire::RatedCallRevision::Null,
        Revision::Late { trigger, based_on } => wire::RatedCallRevision::LateRevision(wire::LateRevision {
            trigger,
            based_on_seq: based_on.seq,
            based_on_index: based_on.index,
        }),
        Revision::Run { run, based_on } => wire::RatedCallRevision::RunRevision(wire::RunRevision {
            run,
            based_on_seq: based_on.seq,
            based_on_index: based_on.index,
        }),
    }
}

pub(super) fn revision_to_facts(x: &wire::RatedCallRevision) -> Revision {
    match x {
        wire::RatedCallRevision::Null => Revision::First,
        wire::RatedCallRevision::LateRevision(r) => {
            Revision::Late { trigger: r.trigger, based_on: Position { seq: r.based_on_seq, index: r.based_on_index } }
        }
        wire::RatedCallRevision::RunRevision(r) => {
            Revision::Run { run: r.run, based_on: Position { seq: r.based_on_seq, index: r.based_on_index } }
        }
    }
}
