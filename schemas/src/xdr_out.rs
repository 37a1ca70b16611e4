//! One priced side as outsiders read it from the topic `xdr-out`: flat, each record complete, at least once.

use crate::ids::{Schema, SchemaIds};
use crate::wire;
use facts::RatedCall;
use facts::xdr::{Position, Revision, Side, Xdr};

/// Appends a record in Confluent wire format. Key of the record on the topic: `xdr.xdr_id`. `stream` and `place` say
/// where the call was booked.
pub fn encode(rated: &RatedCall, xdr: &Xdr, stream: &str, place: Position, ids: &SchemaIds, out: &mut Vec<u8>) {
    let call = &rated.call;
    let attempt = xdr.attempt.and_then(|at| call.attempts.get(usize::from(at)));
    let (started_at, answered_at, ended_at) = match (xdr.side, attempt) {
        (Side::Buy, Some(a)) => {
            (a.started_at.unwrap_or(call.started_at), a.answered_at, a.ended_at.unwrap_or(call.ended_at))
        }
        _ => (call.started_at, call.answered_at, call.ended_at),
    };
    let peer = attempt.filter(|_| xdr.side == Side::Buy).map_or(&call.inbound, |a| &a.outbound);
    let rate = xdr.rate.as_ref();
    ids.put_prefix(Schema::XdrOut, out);
    let record = wire::XdrOut {
        xdr_id: xdr.xdr_id.0,
        rev_id: xdr.rev_id.0,
        call_id: call.call_id.0,
        revision: match rated.revision {
            Revision::First => "first",
            Revision::Late { .. } => "late",
            Revision::Run { .. } => "run",
        },
        stream,
        seq: place.seq,
        index: place.index,
        side: xdr.side,
        level: xdr.level,
        account: &xdr.account,
        product: &xdr.product,
        agreement: &xdr.agreement,
        switch: &call.switch,
        call_key: &call.call_key,
        attempt_key: attempt.map_or("", |a| &a.key),
        trunk: &peer.trunk,
        ip: &peer.ip,
        caller: &call.caller,
        called: &call.called,
        called_number: call.called_number,
        caller_number: call.caller_number,
        started_at: started_at.0,
        answered_at: answered_at.map(|t| t.0),
        ended_at: ended_at.0,
        rated_at: xdr.rated_at.0,
        sip_code: attempt.map_or(call.sip_code, |a| a.sip_code),
        q850: attempt.map_or(call.q850, |a| a.q850),
        duration: xdr.duration,
        billed: xdr.billed,
        amount: xdr.amount.0,
        gross: xdr.gross.0,
        currency: xdr.currency,
        deck: rate.map_or("", |r| &r.deck),
        deck_version: rate.map_or(0, |r| r.deck_version),
        prefix: rate.map(|r| r.prefix),
        destination: rate.map_or("", |r| &r.destination),
        unrated: xdr.unrated,
        provisional: xdr.provisional,
        estimated: call.estimated,
    };
    record.encode(out);
}
