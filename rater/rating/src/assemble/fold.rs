//! The events of one call to a [`Call`]: a function of the set of events, whatever their order and repetition.

use facts::call::{ATTEMPTS_MAX, Attempt, Call, EventKind, EventRef, Leg};
use facts::ids::{CallId, EventId};
use facts::time::OccurredAt;
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

/// Why events make no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    #[error("the call has more than 256 attempts")]
    TooManyAttempts,
    #[error("there is no event")]
    NoEvents,
}

impl FoldError {
    /// The word that stands in a `Suspended` item.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooManyAttempts => "too_many_attempts",
            Self::NoEvents => "no_events",
        }
    }
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// The customer's leg is over.
    pub ended: bool,
    /// Nothing more is expected.
    pub complete: bool,
    /// Answered, with a proof of life after it: an end can be estimated.
    pub alive: bool,
}

/// Looks at the events without building the call.
pub(super) fn standing(events: &[EventRef<'_>]) -> Standing {
    let on_a = |event: &EventRef<'_>| event.leg != Leg::B;
    let mut standing = Standing::default();
    let (mut started, mut refused, mut last) = (false, false, false);
    let (mut answered_at, mut alive_at): (Option<OccurredAt>, Option<OccurredAt>) = (None, None);
    let mut numbers = [0u64; 4];
    let mut highest = 0u16;
    let mut records = false;
    for event in events {
        match event.kind {
            EventKind::Started => started = true,
            EventKind::Answered if on_a(event) => answered_at = first(answered_at, answer(event)),
            EventKind::Ended if on_a(event) => {
                standing.ended = true;
                refused |= event.sip_code.is_some_and(|code| code >= 300) || event.duration == Some(0);
            }
            EventKind::Ended | EventKind::Interim => alive_at = alive_at.max(Some(event.occurred_at)),
            EventKind::Record => {
                records = true;
                standing.ended |= on_a(event);
                if on_a(event) {
                    answered_at = first(answered_at, event.answered_at);
                }
            }
            _ => {}
        }
        last |= event.last_attempt;
        if let Some(word) = numbers.get_mut(usize::from(event.attempt_number / 64)) {
            *word |= 1 << (event.attempt_number % 64);
        }
        highest = highest.max(event.attempt_number);
    }
    // What happened before the answer (the end of a failed attempt) proves nothing about the call.
    standing.alive = answered_at.is_some() && alive_at > answered_at;
    let answered = answered_at.is_some();
    let seen = numbers.iter().map(|word| word.count_ones()).sum::<u32>() - (numbers[0] & 1) as u32;
    let all_numbers = seen == u32::from(highest);
    standing.complete = if records {
        standing.ended && last && all_numbers
    } else {
        let settled = if answered { has_attempt(events) } else { refused && last };
        started && standing.ended && settled && all_numbers && attempts_ended(events)
    };
    standing
}

fn first(a: Option<OccurredAt>, b: Option<OccurredAt>) -> Option<OccurredAt> {
    a.into_iter().chain(b).min()
}

fn has_attempt(events: &[EventRef<'_>]) -> bool {
    events.iter().any(|event| event.leg != Leg::A && attempt_key(event).is_some())
}

/// Whether each attempt that was seen has its end.
fn attempts_ended(events: &[EventRef<'_>]) -> bool {
    let of_attempts = || events.iter().filter(|event| event.leg != Leg::A);
    of_attempts().all(|event| {
        of_attempts().any(|other| other.kind == EventKind::Ended && attempt_key(other) == attempt_key(event))
    })
}

/// The switch's own id of the B leg; where it has none, the attempt's number is all there is.
fn attempt_key<'a>(event: &EventRef<'a>) -> Option<Key<'a>> {
    if !event.attempt_key.is_empty() {
        return Some(Key::Told(event.attempt_key));
    }
    if event.attempt_number > 0 {
        return Some(Key::Number(format_smolstr!("{}", event.attempt_number)));
    }
    (event.kind == EventKind::Record || !event.outbound.is_empty()).then_some(Key::Told(""))
}

/// Equal texts are one attempt, whether told or made of its number.
#[derive(Clone, Debug)]
enum Key<'a> {
    Told(&'a str),
    Number(SmolStr),
}

impl Key<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Told(text) => text,
            Self::Number(text) => text,
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

fn rank(kind: EventKind) -> u8 {
    match kind {
        EventKind::Started => 0,
        EventKind::Record => 1,
        EventKind::Routed => 2,
        EventKind::Progress => 3,
        EventKind::Answered => 4,
        EventKind::Interim => 5,
        EventKind::Ended => 6,
    }
}

type Sorted<'a, 'e> = SmallVec<[&'a EventRef<'e>; 4]>;

/// Builds the call. With `estimate`, a missing end is the last proof of life.
pub fn fold(events: &[EventRef<'_>], estimate: bool) -> Result<Call, FoldError> {
    let first = events.first().ok_or(FoldError::NoEvents)?;
    fold_as(first.call_id(), events, estimate)
}

/// The same where the call's id is known.
pub(super) fn fold_as(call_id: CallId, events: &[EventRef<'_>], estimate: bool) -> Result<Call, FoldError> {
    let mut sorted: Sorted<'_, '_> = events.iter().collect();
    if sorted.len() > 1 {
        sorted.sort_by(|a, b| {
            let key = |e: &EventRef<'_>| (e.leg == Leg::B, rank(e.kind), e.occurred_at, e.attempt_number);
            key(a).cmp(&key(b)).then_with(|| (&a.attempt_key, a.dedupe, &a.id).cmp(&(&b.attempt_key, b.dedupe, &b.id)))
        });
        sorted.dedup_by(|a, b| a == b);
    }
    let first = *sorted.first().ok_or(FoldError::NoEvents)?;
    let mut call = blank(call_id, first, &sorted);
    customer_side(&mut call, &sorted, estimate);
    call.attempts = attempts(&call, &sorted)?;
    Ok(call)
}

/// Facts that the first event to have them gives.
fn blank(call_id: CallId, first: &EventRef<'_>, sorted: &[&EventRef<'_>]) -> Call {
    // The number goes with the text it was read from.
    let called = sorted.iter().find(|event| !event.called.is_empty() || event.called_number.is_some());
    let caller = sorted.iter().find(|event| !event.caller.is_empty() || event.caller_number.is_some());
    let inbound = sorted.iter().find(|event| !event.inbound.is_empty());
    let held = sorted.iter().filter(|event| event.held.is_some()).max_by_key(|event| (event.occurred_at, event.held));
    let starts = |event: &&EventRef<'_>| event.started_at.unwrap_or(event.occurred_at);
    let start = |kinds: &[EventKind]| {
        sorted.iter().copied().filter(|event| kinds.contains(&event.kind)).map(|event| starts(&event)).min()
    };
    let started_at = start(&[EventKind::Started, EventKind::Record])
        .or_else(|| sorted.iter().map(starts).min())
        .unwrap_or(first.occurred_at);
    let ids = sorted.iter().map(|event| &event.id).filter(|id| !id.node.is_empty());
    Call {
        call_id,
        id_domain: first.id_domain.into(),
        switch: first.switch.into(),
        call_key: first.call_key.into(),
        caller: caller.map(|event| event.caller.into()).unwrap_or_default(),
        called: called.map(|event| event.called.into()).unwrap_or_default(),
        caller_number: caller.and_then(|event| event.caller_number),
        called_number: called.and_then(|event| event.called_number),
        rn: sorted.iter().find_map(|event| event.rn),
        inbound: inbound.map(|event| event.inbound.with()).unwrap_or_default(),
        started_at,
        answered_at: None,
        ended_at: started_at,
        duration: 0,
        pdd: None,
        sip_code: None,
        q850: None,
        attempts: SmallVec::new(),
        estimated: false,
        hold_id: sorted.iter().find_map(|event| event.hold_id),
        held: held.and_then(|event| event.held),
        dedupe: sorted.iter().filter_map(|event| event.dedupe).collect(),
        events: ids.map(owned_id).collect(),
        import: sorted.iter().find_map(|event| event.import),
        raw: sorted.iter().filter_map(|event| event.raw).collect(),
    }
}

fn owned_id(id: &EventId<&str>) -> EventId<SmolStr> {
    EventId { node: id.node.into(), boot_epoch: id.boot_epoch, partition: id.partition, sequence: id.sequence }
}

/// The end of one leg, from its events.
#[derive(Default)]
struct End<'a, 'e> {
    at: Option<OccurredAt>,
    /// Microseconds that the source itself asks to be billed for.
    duration: Option<i64>,
    estimated: bool,
    /// The event whose result counts: the answered record, else that of the highest attempt number.
    result: Option<&'a EventRef<'e>>,
}

fn end_of<'a, 'e: 'a>(
    events: impl Iterator<Item = &'a EventRef<'e>>,
    duration: impl Fn(&EventRef<'e>) -> Option<i64>,
) -> End<'a, 'e> {
    let mut end = End::default();
    let mut records = false;
    for event in events {
        let at = match event.kind {
            EventKind::Ended => event.ended_at.unwrap_or(event.occurred_at),
            EventKind::Record => event.ended_at.unwrap_or(event.occurred_at),
            _ => continue,
        };
        let record = event.kind == EventKind::Record;
        records |= record;
        // A call of several records ends with the last of them; of several ends that were seen the first is the end.
        end.at = Some(end.at.map_or(at, |known| if records { known.max(at) } else { known.min(at) }));
        end.duration = end.duration.max(duration(event));
        end.estimated |= event.estimated;
        let weight =
            |event: &EventRef<'_>| (event.answered_at.is_some(), event.attempt_number, event.sip_code.is_some());
        if end.result.is_none_or(|known| weight(event) > weight(known)) {
            end.result = Some(event);
        }
    }
    end
}

fn customer_side(call: &mut Call, sorted: &[&EventRef<'_>], estimate: bool) {
    let on_a = || sorted.iter().copied().filter(|event| event.leg != Leg::B);
    call.answered_at = on_a().filter_map(answer).min();
    let end = end_of(on_a(), |event| event.duration);
    let proof = || {
        let alive = |event: &&&EventRef<'_>| matches!(event.kind, EventKind::Interim | EventKind::Ended);
        let proofs = sorted.iter().filter(alive).map(|event| event.occurred_at);
        proofs.filter(|at| Some(*at) > call.answered_at).max()
    };
    let proof = proof().filter(|_| estimate && call.answered_at.is_some());
    let last = || sorted.iter().map(|event| event.occurred_at).max();
    call.estimated = end.estimated || (end.at.is_none() && estimate);
    call.ended_at = end.at.or(proof).or_else(last).unwrap_or(call.started_at);
    call.duration = end.duration.unwrap_or_else(|| span(call.answered_at, Some(call.ended_at)));
    let progress = || on_b_or_a(sorted, EventKind::Progress).min();
    call.pdd = on_a().find_map(|event| event.pdd).or_else(|| {
        let heard = progress().or(call.answered_at)?;
        sorted.iter().any(|event| event.kind == EventKind::Started).then(|| heard.0 - call.started_at.0)
    });
    let said = on_a().find(|event| event.kind == EventKind::Answered).and_then(|event| event.sip_code);
    call.sip_code = said.or_else(|| end.result.and_then(|event| event.sip_code));
    call.q850 = end.result.and_then(|event| event.q850);
}

fn on_b_or_a<'a>(sorted: &'a [&EventRef<'_>], kind: EventKind) -> impl Iterator<Item = OccurredAt> + 'a {
    sorted.iter().filter(move |event| event.kind == kind).map(|event| event.occurred_at)
}

/// The instant of answer that an event tells of.
fn answer(event: &EventRef<'_>) -> Option<OccurredAt> {
    match event.kind {
        EventKind::Answered => Some(event.answered_at.unwrap_or(event.occurred_at)),
        EventKind::Record => event.answered_at,
        _ => None,
    }
}

fn span(from: Option<OccurredAt>, to: Option<OccurredAt>) -> i64 {
    match (from, to) {
        (Some(from), Some(to)) => to.micros().saturating_sub(from.micros()),
        _ => 0,
    }
}

fn attempts(call: &Call, sorted: &[&EventRef<'_>]) -> Result<SmallVec<[Attempt; 1]>, FoldError> {
    let mut keys: SmallVec<[Key<'_>; 2]> = SmallVec::new();
    // The attempt that each event speaks of, by its place among the keys.
    let mut of: SmallVec<[usize; 4]> = SmallVec::new();
    for event in sorted {
        let key = if event.leg == Leg::A || event.kind == EventKind::Started { None } else { attempt_key(event) };
        of.push(match key {
            None => usize::MAX,
            Some(key) => keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            }),
        });
    }
    if keys.len() > ATTEMPTS_MAX {
        return Err(FoldError::TooManyAttempts);
    }
    let one = |(at, key): (usize, Key<'_>)| {
        let own: Sorted<'_, '_> =
            sorted.iter().zip(&of).filter(|(_, place)| **place == at).map(|(event, _)| *event).collect();
        attempt(call, &own, key.text())
    };
    let mut attempts: SmallVec<[Attempt; 1]> = keys.into_iter().enumerate().map(one).collect();
    if attempts.len() > 1 {
        attempts.sort_by(|a, b| (a.number, a.started_at, &a.key).cmp(&(b.number, b.started_at, &b.key)));
    }
    Ok(attempts)
}

/// One attempt from its own events.
fn attempt(call: &Call, own: &[&EventRef<'_>], key: &str) -> Attempt {
    let own = || own.iter().copied();
    let at = |kind: EventKind| own().filter(move |event| event.kind == kind).map(|event| event.occurred_at).min();
    let recorded = own().filter(|event| event.kind == EventKind::Record).filter_map(|event| event.started_at).min();
    let started_at = at(EventKind::Routed).into_iter().chain(recorded).min();
    let answered_at = own().filter_map(answer).min();
    let end = end_of(own(), |event| match event.leg {
        // An end of both legs states the vendor's duration apart, where it states one.
        Leg::Both if event.kind == EventKind::Ended => event.vendor_duration,
        _ => event.vendor_duration.or(event.duration),
    });
    // A leg whose own end was lost ended with the call at the latest.
    let ended_at = end.at.or_else(|| answered_at.map(|_| call.ended_at));
    let said = own().find(|event| event.kind == EventKind::Answered).and_then(|event| event.sip_code);
    Attempt {
        key: key.into(),
        number: own().map(|event| event.attempt_number).max().unwrap_or(0),
        outbound: own().find(|event| !event.outbound.is_empty()).map(|event| event.outbound.with()).unwrap_or_default(),
        started_at,
        answered_at,
        ended_at,
        duration: end.duration.unwrap_or_else(|| span(answered_at, ended_at)),
        pdd: own().find_map(|event| event.pdd).or_else(|| {
            let heard = at(EventKind::Progress).or(answered_at)?;
            at(EventKind::Routed).map(|routed| heard.0 - routed.0)
        }),
        sip_code: said.or_else(|| end.result.and_then(|event| event.sip_code)),
        q850: end.result.and_then(|event| event.q850),
        last: own().any(|event| event.last_attempt),
    }
}
