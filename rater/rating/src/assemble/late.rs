//! Late truth: an event of a call that has left the assembler, applied to the call as it was written (design 6.1).

use facts::call::{Call, CallEvent, EventKind, Leg};
use facts::time::OccurredAt;

use super::fold::{FoldError, fold};

/// The call with one more event; `None` where the event changes nothing that a figure depends on.
pub fn apply_late(earlier: &Call, event: &CallEvent) -> Result<Option<Call>, FoldError> {
    if earlier.events.contains(&event.id) && !event.id.node.is_empty() {
        return Ok(None);
    }
    let mut events = unfold(earlier);
    let has_end = !earlier.estimated;
    let ends = event.leg != Leg::B && matches!(event.kind, EventKind::Ended | EventKind::Record);
    events.push(event.clone());
    let views: Vec<_> = events.iter().map(CallEvent::view).collect();
    let mut later = fold(&views, !has_end && !ends)?;
    later.dedupe = earlier.dedupe.clone();
    later.dedupe.extend(event.dedupe);
    later.events = earlier.events.clone();
    later.raw = earlier.raw.clone();
    later.raw.extend(event.raw);
    later.import = earlier.import.or(event.import);
    let same =
        Call { dedupe: earlier.dedupe.clone(), raw: earlier.raw.clone(), import: earlier.import, ..later.clone() }
            == *earlier;
    if same {
        return Ok(None);
    }
    if !event.id.node.is_empty() {
        later.events.push(event.id.clone());
    }
    Ok(Some(later))
}

/// Events that fold to this call.
fn unfold(call: &Call) -> Vec<CallEvent> {
    let make = |kind: EventKind, leg: Leg, at: OccurredAt| {
        let mut event = CallEvent::new(kind, &call.id_domain, &call.switch, &call.call_key, at);
        event.leg = leg;
        event
    };
    let mut start = make(EventKind::Started, Leg::A, call.started_at);
    start.caller = call.caller.clone();
    start.called = call.called.clone();
    start.caller_number = call.caller_number;
    start.called_number = call.called_number;
    start.rn = call.rn;
    start.inbound = call.inbound.clone();
    start.hold_id = call.hold_id;
    start.held = call.held;
    start.import = call.import;
    let mut events = vec![start];
    // A delay up to the answer is what was known without any ringing; ringing that is heard of later replaces it.
    if let Some(pdd) = call.pdd.filter(|pdd| call.answered_at.is_none_or(|at| at.0 - call.started_at.0 != *pdd)) {
        events.push(make(EventKind::Progress, Leg::A, OccurredAt(call.started_at.0.saturating_add(pdd))));
    }
    if let Some(at) = call.answered_at {
        let mut answer = make(EventKind::Answered, Leg::A, at);
        answer.sip_code = call.sip_code;
        events.push(answer);
    }
    let kind = if call.estimated { EventKind::Interim } else { EventKind::Ended };
    let mut end = make(kind, Leg::A, call.ended_at);
    (end.sip_code, end.q850) = (call.sip_code, call.q850);
    let measured = call.answered_at.map_or(0, |answered| call.ended_at.0.saturating_sub(answered.0));
    end.duration = (!call.estimated && call.duration != measured).then_some(call.duration);
    events.push(end);
    for attempt in &call.attempts {
        let of = |kind: EventKind, at: OccurredAt| {
            let mut event = make(kind, Leg::B, at);
            event.attempt_key = attempt.key.clone();
            event.attempt_number = attempt.number;
            event.outbound = attempt.outbound.clone();
            event.last_attempt = attempt.last;
            event
        };
        // An attempt always has something that names it, even where no instant is known.
        let routed = match attempt.started_at {
            Some(at) => of(EventKind::Routed, at),
            None => of(EventKind::Interim, attempt.answered_at.or(attempt.ended_at).unwrap_or(call.started_at)),
        };
        let (began, answered) = (attempt.started_at, attempt.answered_at);
        if let (Some(began), Some(pdd)) = (began, attempt.pdd)
            && answered.is_none_or(|at| at.0 - began.0 != pdd)
        {
            events.push(of(EventKind::Progress, OccurredAt(began.0.saturating_add(pdd))));
        }
        events.push(routed);
        if let Some(at) = attempt.answered_at {
            let mut answer = of(EventKind::Answered, at);
            answer.sip_code = attempt.sip_code;
            events.push(answer);
        }
        // Where the leg's own end was lost it follows the call's, also the corrected one. A leg that ended by itself
        // says why it did, or how long it was.
        let own_length = answered.is_some_and(|at| call.ended_at.0.saturating_sub(at.0) != attempt.duration);
        let told = attempt.q850.is_some() || own_length;
        let lost = answered.is_some() && attempt.ended_at == Some(call.ended_at) && !told;
        if let Some(at) = attempt.ended_at.filter(|_| !lost) {
            let mut end = of(EventKind::Ended, at);
            (end.sip_code, end.q850) = (attempt.sip_code, attempt.q850);
            let measured = attempt.answered_at.map_or(0, |answered| at.0.saturating_sub(answered.0));
            end.duration = (attempt.duration != measured).then_some(attempt.duration);
            events.push(end);
        }
    }
    events
}
