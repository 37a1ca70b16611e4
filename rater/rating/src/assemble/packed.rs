//! Events of open calls at rest: a few lines of the cache each instead of the dozen that [`CallEvent`] takes, one behind
//! the other in the call they belong to. Never leaves the memory of one assembler, so nothing of it is frozen.
//!
//! A text or option that is absent takes one bit. What is looked at for every event that joins a call stands in front
//! at fixed places.

use facts::call::{CallEvent, Endpoint, EventKind, EventRef, Leg, RawRef};
use facts::ids::{DedupeKey, EventId, ImportId};
use facts::money::Amount;
use facts::number::E164;
use facts::time::{ObservedAt, OccurredAt};
use smallvec::SmallVec;

/// Bytes of a call's events that need no memory of their own: a usual call of three events, or one of a file's record.
pub(super) const INLINE: usize = 384;
/// Events of one call.
pub(super) type Bytes = SmallVec<[u8; INLINE]>;

/// Length, flags, sequence, boot epoch, partition, kind, leg, attempt number, OccurredAt, ObservedAt.
const HEAD: usize = 52;

const LAST: u64 = 1;
const ESTIMATED: u64 = 1 << 1;
/// The first bit of the optional parts, in the order in which they stand.
const PARTS: u32 = 2;

const KINDS: [EventKind; 7] = [
    EventKind::Started,
    EventKind::Routed,
    EventKind::Progress,
    EventKind::Answered,
    EventKind::Interim,
    EventKind::Ended,
    EventKind::Record,
];
const LEGS: [Leg; 3] = [Leg::A, Leg::B, Leg::Both];

/// Writes parts behind a head and notes in its flags which are there.
struct Packer<'b> {
    out: &'b mut Bytes,
    flags: u64,
    part: u32,
}

impl Packer<'_> {
    fn some(&mut self, bytes: Option<&[u8]>) {
        if let Some(bytes) = bytes {
            self.flags |= 1 << self.part;
            self.out.extend_from_slice(bytes);
        }
        self.part += 1;
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.flags |= 1 << self.part;
            // One byte says the length of what is usual; what is longer says it in four more.
            match u8::try_from(text.len()).ok().filter(|length| *length != u8::MAX) {
                Some(length) => self.out.push(length),
                None => {
                    self.out.push(u8::MAX);
                    self.out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                }
            }
            self.out.extend_from_slice(text.as_bytes());
        }
        self.part += 1;
    }

    fn number(&mut self, number: Option<E164>) {
        // A number of no digits is not the same as none.
        self.some(number.map(|_| &[][..]));
        self.text(number.as_ref().map_or("", E164::as_str));
    }

    fn long(&mut self, value: Option<i64>) {
        self.some(value.map(i64::to_le_bytes).as_ref().map(|bytes| &bytes[..]));
    }

    fn short(&mut self, value: Option<u16>) {
        self.some(value.map(u16::to_le_bytes).as_ref().map(|bytes| &bytes[..]));
    }

    fn endpoint(&mut self, endpoint: &Endpoint<&str>) {
        let Endpoint { trunk, ip, port, digest_user, tech_prefix, account } = endpoint;
        [trunk, ip, digest_user, tech_prefix, account].into_iter().for_each(|text| self.text(text));
        self.short((*port != 0).then_some(*port));
    }
}

/// Appends an event; what names its call stands apart.
pub(super) fn pack(event: &EventRef<'_>, out: &mut Bytes) {
    let begin = out.len();
    let mut head = [0u8; HEAD];
    head[12..20].copy_from_slice(&event.id.sequence.to_le_bytes());
    head[20..28].copy_from_slice(&event.id.boot_epoch.to_le_bytes());
    head[28..32].copy_from_slice(&event.id.partition.to_le_bytes());
    head[32] = event.kind as u8;
    head[33] = event.leg as u8;
    head[34..36].copy_from_slice(&event.attempt_number.to_le_bytes());
    head[36..44].copy_from_slice(&event.occurred_at.0.to_le_bytes());
    head[44..52].copy_from_slice(&event.observed_at.0.to_le_bytes());
    out.extend_from_slice(&head);
    let flags = if event.last_attempt { LAST } else { 0 } | if event.estimated { ESTIMATED } else { 0 };
    let mut to = Packer { out, flags, part: PARTS };
    to.some(event.dedupe.as_ref().map(|key| &key.0[..]));
    to.text(event.id.node);
    to.text(event.attempt_key);
    to.text(event.caller);
    to.text(event.called);
    to.number(event.caller_number);
    to.number(event.called_number);
    to.number(event.rn);
    to.endpoint(&event.inbound);
    to.endpoint(&event.outbound);
    let instants = [event.started_at, event.answered_at, event.ended_at].map(|at| at.map(|at| at.0));
    let lengths = [event.duration, event.vendor_duration, event.pdd];
    instants.into_iter().chain(lengths).for_each(|value| to.long(value));
    to.short(event.sip_code);
    to.short(event.q850);
    to.some(event.hold_id.as_ref().map(|id| &id[..]));
    to.some(event.held.map(|amount| amount.0.to_le_bytes()).as_ref().map(|bytes| &bytes[..]));
    to.some(event.import.as_ref().map(|import| &import.0[..]));
    let raw = event.raw.map(|raw| {
        let mut bytes = [0; 44];
        bytes[..32].copy_from_slice(&raw.hash);
        bytes[32..40].copy_from_slice(&raw.offset.to_le_bytes());
        bytes[40..].copy_from_slice(&raw.length.to_le_bytes());
        bytes
    });
    to.some(raw.as_ref().map(|bytes| &bytes[..]));
    to.some((event.line != 0).then_some(event.line.to_le_bytes()).as_ref().map(|bytes| &bytes[..]));
    let Packer { out, flags, .. } = to;
    let length = u32::try_from(out.len() - begin).unwrap_or(u32::MAX);
    if let Some(head) = out.get_mut(begin..begin + 12) {
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&flags.to_le_bytes());
    }
}

/// What tells whether two events are one.
#[derive(Clone, Copy)]
pub(super) struct Glance<'a> {
    sequence: u64,
    boot_epoch: i64,
    partition: u32,
    dedupe: Option<[u8; 16]>,
    node: &'a str,
}

impl Glance<'_> {
    /// The same record, or the same event of one of our nodes.
    pub fn is(&self, event: &EventRef<'_>) -> bool {
        match (self.dedupe, event.dedupe) {
            (Some(a), Some(b)) => a == b.0,
            _ => {
                let id = &event.id;
                (self.sequence, self.boot_epoch, self.partition) == (id.sequence, id.boot_epoch, id.partition)
                    && !self.node.is_empty()
                    && self.node == id.node
            }
        }
    }
}

/// Packed events, one behind the other. They are our own bytes: where they were short, what is missing reads as absent.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a>(pub &'a [u8]);

impl<'a> Iterator for Packed<'a> {
    type Item = One<'a>;

    fn next(&mut self) -> Option<One<'a>> {
        let length = u32::from_le_bytes(*self.0.first_chunk::<4>()?) as usize;
        let (one, rest) = self.0.split_at_checked(length.max(HEAD))?;
        self.0 = rest;
        Some(One(one))
    }
}

/// One packed event.
#[derive(Clone, Copy)]
pub(super) struct One<'a>(pub &'a [u8]);

impl<'a> One<'a> {
    fn at<const N: usize>(&self, from: usize) -> [u8; N] {
        self.0.get(from..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
    }

    fn kind(&self) -> EventKind {
        KINDS.get(usize::from(self.at::<1>(32)[0])).copied().unwrap_or(EventKind::Started)
    }

    fn parts(&self) -> Parts<'a> {
        let flags = u64::from_le_bytes(self.at(4));
        Parts { rest: self.0.get(HEAD..).unwrap_or_default(), flags: flags >> PARTS }
    }

    pub fn glance(&self) -> Glance<'a> {
        let mut from = self.parts();
        Glance {
            sequence: u64::from_le_bytes(self.at(12)),
            boot_epoch: i64::from_le_bytes(self.at(20)),
            partition: u32::from_le_bytes(self.at(28)),
            dedupe: from.some(),
            node: from.text(),
        }
    }

    /// The whole event of the call that is named by domain, switch and key.
    pub fn unpack(&self, [id_domain, switch, call_key]: [&'a str; 3]) -> EventRef<'a> {
        let mut from = self.parts();
        let flags = u64::from_le_bytes(self.at(4));
        let dedupe = from.some().map(DedupeKey);
        let node = from.text();
        CallEvent {
            id: EventId {
                node,
                boot_epoch: i64::from_le_bytes(self.at(20)),
                partition: u32::from_le_bytes(self.at(28)),
                sequence: u64::from_le_bytes(self.at(12)),
            },
            kind: self.kind(),
            leg: LEGS.get(usize::from(self.at::<1>(33)[0])).copied().unwrap_or_default(),
            id_domain,
            switch,
            call_key,
            attempt_key: from.text(),
            occurred_at: OccurredAt(i64::from_le_bytes(self.at(36))),
            observed_at: ObservedAt(i64::from_le_bytes(self.at(44))),
            caller: from.text(),
            called: from.text(),
            caller_number: from.number(),
            called_number: from.number(),
            rn: from.number(),
            inbound: from.endpoint(),
            outbound: from.endpoint(),
            started_at: from.long().map(OccurredAt),
            answered_at: from.long().map(OccurredAt),
            ended_at: from.long().map(OccurredAt),
            duration: from.long(),
            vendor_duration: from.long(),
            pdd: from.long(),
            sip_code: from.some().map(u16::from_le_bytes),
            q850: from.some().map(u16::from_le_bytes),
            attempt_number: u16::from_le_bytes(self.at(34)),
            last_attempt: flags & LAST != 0,
            estimated: flags & ESTIMATED != 0,
            hold_id: from.some(),
            held: from.some().map(|bytes| Amount(i128::from_le_bytes(bytes))),
            dedupe,
            import: from.some().map(ImportId),
            raw: from.some().map(|bytes: [u8; 44]| raw_of(&bytes)),
            line: from.some().map_or(0, u64::from_le_bytes),
        }
    }
}

fn raw_of(bytes: &[u8; 44]) -> RawRef {
    let (mut hash, mut offset, mut length) = ([0; 32], [0; 8], [0; 4]);
    hash.copy_from_slice(&bytes[..32]);
    offset.copy_from_slice(&bytes[32..40]);
    length.copy_from_slice(&bytes[40..]);
    RawRef { hash, offset: u64::from_le_bytes(offset), length: u32::from_le_bytes(length) }
}

/// The optional parts in their order.
struct Parts<'a> {
    rest: &'a [u8],
    flags: u64,
}

impl<'a> Parts<'a> {
    fn is_there(&mut self) -> bool {
        let there = self.flags & 1 != 0;
        self.flags >>= 1;
        there
    }

    fn some<const N: usize>(&mut self) -> Option<[u8; N]> {
        if !self.is_there() {
            return None;
        }
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn text(&mut self) -> &'a str {
        if !self.is_there() {
            return "";
        }
        let length = match self.rest {
            [u8::MAX, rest @ ..] => {
                let Some((length, rest)) = rest.split_first_chunk::<4>() else { return "" };
                self.rest = rest;
                u32::from_le_bytes(*length) as usize
            }
            [length, rest @ ..] => {
                self.rest = rest;
                usize::from(*length)
            }
            [] => return "",
        };
        let (text, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        std::str::from_utf8(text).unwrap_or_default()
    }

    fn number(&mut self) -> Option<E164> {
        let there = self.some::<0>().is_some();
        let digits = self.text();
        if there { E164::from_digits(digits).ok() } else { None }
    }

    fn long(&mut self) -> Option<i64> {
        self.some().map(i64::from_le_bytes)
    }

    fn endpoint(&mut self) -> Endpoint<&'a str> {
        let [trunk, ip, digest_user, tech_prefix, account] = std::array::from_fn(|_| self.text());
        let port = self.some().map_or(0, u16::from_le_bytes);
        Endpoint { trunk, ip, port, digest_user, tech_prefix, account }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> CallEvent {
        let mut event = CallEvent::new(EventKind::Record, "dom", "sw", "key", OccurredAt(-7));
        let number = |text| Some(E164::from_digits(text).unwrap());
        let endpoint = |n: u8| Endpoint {
            trunk: format!("trunk {n}").into(),
            ip: "2001:db8::1".into(),
            port: 5060 + u16::from(n),
            digest_user: "ü".repeat(300).into(),
            tech_prefix: "#1".into(),
            account: "a".repeat(255).into(),
        };
        event.id = EventId { node: "n1".into(), boot_epoch: i64::MIN, partition: u32::MAX, sequence: u64::MAX };
        event.leg = Leg::Both;
        event.attempt_key = "leg".into();
        event.observed_at = ObservedAt(i64::MAX);
        (event.caller, event.called) = ("+43 1".into(), "sip:49@x".into());
        (event.caller_number, event.called_number, event.rn) = (number("431"), number("49"), number(""));
        (event.inbound, event.outbound) = (endpoint(1), endpoint(2));
        event.started_at = Some(OccurredAt(1));
        event.answered_at = Some(OccurredAt(2));
        event.ended_at = Some(OccurredAt(3));
        (event.duration, event.vendor_duration, event.pdd) = (Some(0), Some(-1), Some(i64::MAX));
        (event.sip_code, event.q850, event.attempt_number) = (Some(200), Some(16), 7);
        (event.last_attempt, event.estimated) = (true, true);
        (event.hold_id, event.held) = (Some([9; 16]), Some(Amount(i128::MIN)));
        (event.dedupe, event.import) = (Some(DedupeKey([1; 16])), Some(ImportId([2; 16])));
        event.raw = Some(RawRef { hash: [3; 32], offset: 1 << 40, length: 77 });
        event.line = 12;
        event
    }

    #[test]
    fn nothing_of_an_event_is_lost_at_rest() {
        let full = full();
        let bare = CallEvent::new(EventKind::Started, "dom", "sw", "key", OccurredAt(5));
        let mut some = vec![full.clone(), bare.clone(), full.clone()];
        // Every field alone, in an event that has nothing else.
        let set: [fn(&mut CallEvent, &CallEvent); 22] = [
            |a, b| a.id = b.id.clone(),
            |a, b| a.attempt_key = b.attempt_key.clone(),
            |a, b| a.caller = b.caller.clone(),
            |a, b| a.called = b.called.clone(),
            |a, b| a.caller_number = b.caller_number,
            |a, b| a.called_number = b.called_number,
            |a, b| a.rn = b.rn,
            |a, b| a.inbound = b.inbound.clone(),
            |a, b| a.outbound = b.outbound.clone(),
            |a, b| a.started_at = b.started_at,
            |a, b| a.answered_at = b.answered_at,
            |a, b| a.ended_at = b.ended_at,
            |a, b| a.duration = b.duration,
            |a, b| a.vendor_duration = b.vendor_duration,
            |a, b| a.pdd = b.pdd,
            |a, b| a.sip_code = b.sip_code,
            |a, b| a.q850 = b.q850,
            |a, b| a.hold_id = b.hold_id,
            |a, b| a.held = b.held,
            |a, b| a.dedupe = b.dedupe,
            |a, b| (a.import, a.raw) = (b.import, b.raw),
            |a, b| (a.line, a.last_attempt) = (b.line, b.last_attempt),
        ];
        for one in set {
            let mut event = bare.clone();
            one(&mut event, &full);
            assert_ne!(event, bare);
            some.push(event);
        }
        let mut bytes = Bytes::new();
        some.iter().for_each(|event| pack(&event.view(), &mut bytes));
        let back: Vec<CallEvent> = Packed(&bytes).map(|one| one.unpack(["dom", "sw", "key"]).owned()).collect();
        assert_eq!(back, some);
        for (one, event) in Packed(&bytes).zip(&some) {
            let known = event.dedupe.is_some() || !event.id.node.is_empty();
            assert_eq!(one.glance().is(&event.view()), known);
        }
    }

    #[test]
    fn a_usual_call_of_three_events_needs_no_memory_of_its_own() {
        let mut bytes = Bytes::new();
        for kind in [EventKind::Started, EventKind::Answered, EventKind::Ended] {
            let mut event = CallEvent::new(kind, "edge", "edge-1", "0000002a-call@edge-1", OccurredAt(5));
            event.id = EventId { node: "edge-1".into(), boot_epoch: 1, partition: 1, sequence: 1 };
            if kind == EventKind::Started {
                (event.caller, event.called) = ("43152345678".into(), "493012345678".into());
                event.caller_number = E164::from_digits("43152345678").ok();
                event.called_number = E164::from_digits("493012345678").ok();
                event.inbound = Endpoint { ip: "10.0.0.17".into(), port: 5060, ..Endpoint::default() };
            } else {
                event.attempt_key = "b".into();
                event.sip_code = Some(200);
                event.outbound.trunk = "vendor-7".into();
            }
            pack(&event.view(), &mut bytes);
        }
        assert!(bytes.len() < 300 && !bytes.spilled(), "{} bytes", bytes.len());
    }
}
