//! Calls as three edge nodes report them: events in the order of their arrival, with repeats, late ones, swapped ones
//! and lost ends. Streams: only what is under way is in memory.

use crate::calls::{Fate, Maker, TrueCall};
use crate::dice::Dice;
use crate::world::{Recognised, SWITCH};
use facts::E164;
use facts::call::{CallEvent, Endpoint, EventKind, Leg};
use facts::ids::EventId;
use facts::time::{ObservedAt, OccurredAt};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

const MILLI: i64 = 1_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Longer delays are the node's, shorter ones the network's.
const HELD: i64 = 30 * SECOND;
const NODES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];

/// Partition of a call key among so many, as the bus has it (`bus::murmur2_partition`).
pub type PartitionOf = fn(&[u8], u32) -> u32;

/// What was sent, and how much of it twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sent {
    /// All events, repeats included.
    pub events: u64,
    /// With an id that was sent before.
    pub repeated: u64,
    /// Under a new id, but seen before.
    pub resent: u64,
    /// More than a minute after they occurred.
    pub late: u64,
}

struct Planned {
    /// When the node sends it, then when it arrives.
    at: i64,
    /// Tie break: the order in which plans were made.
    order: u64,
    /// What the way adds.
    delay: i64,
    again: Again,
    event: CallEvent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Repeat,
    Resend,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    /// The earliest is the greatest: a heap hands that out first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Events on their way from the nodes.
pub(crate) struct Wire {
    maker: Arc<Maker>,
    partitions: u32,
    partition_of: PartitionOf,
    boot_epoch: i64,
    sending: BinaryHeap<Planned>,
    arriving: BinaryHeap<Planned>,
    sequences: HashMap<(u8, u32), u64>,
    order: u64,
    pub sent: Sent,
}

impl Wire {
    pub fn new(maker: Arc<Maker>, partitions: u32, partition_of: PartitionOf, boot_epoch: i64) -> Self {
        Self {
            maker,
            partitions: partitions.max(1),
            partition_of,
            boot_epoch,
            sending: BinaryHeap::new(),
            arriving: BinaryHeap::new(),
            sequences: HashMap::new(),
            order: 0,
            sent: Sent::default(),
        }
    }

    /// Plans all events of a call.
    pub fn call(&mut self, call: &TrueCall) {
        let mut dice = Dice::new(self.maker.seed, 0xe7e7, call.index);
        let mut plans = report(&self.maker, call, &mut dice);
        disturb(&self.maker, call, &mut plans, &mut dice);
        for (event, delay) in plans {
            // What is long on its way lay in the node's spool and is numbered when it leaves; only what the network
            // itself delays arrives out of its number's order.
            let held = if delay > HELD { delay } else { 0 };
            let at = event.occurred_at.micros() + held + dice.between(100, 2 * MILLI);
            let delay = delay - held + dice.between(200, 30 * MILLI);
            self.plan(at, delay, Again::No, event);
        }
    }

    fn plan(&mut self, at: i64, delay: i64, again: Again, event: CallEvent) {
        self.order += 1;
        self.sending.push(Planned { at, order: self.order, delay, again, event });
    }

    /// The next event that arrives before `until`, given that no call will be planned that starts before `until`.
    pub fn next(&mut self, until: i64) -> Option<CallEvent> {
        while self.sending.peek().is_some_and(|planned| planned.at < until) {
            let Some(mut planned) = self.sending.pop() else { break };
            self.number(&mut planned.event);
            planned.at += planned.delay;
            self.arriving.push(planned);
        }
        if self.arriving.peek().is_none_or(|planned| planned.at >= until) {
            return None;
        }
        let Planned { at, again, mut event, .. } = self.arriving.pop()?;
        event.observed_at = ObservedAt(at);
        self.count(&event, again);
        if again == Again::No {
            self.repeat(at, &event);
        }
        Some(event)
    }

    fn count(&mut self, event: &CallEvent, again: Again) {
        self.sent.events += 1;
        self.sent.repeated += u64::from(again == Again::Repeat);
        self.sent.resent += u64::from(again == Again::Resend);
        self.sent.late += u64::from(event.observed_at.micros() - event.occurred_at.micros() > 60 * SECOND);
    }

    /// Decides whether an event will come again: now and then, and a whole minute of them at 15:00, when a node plays
    /// its spool once more.
    fn repeat(&mut self, at: i64, event: &CallEvent) {
        let flaws = &self.maker.flaws;
        let replayed = flaws.repeated > 0 && (at - self.maker.world.day).div_euclid(60 * SECOND) == 15 * 60;
        let mut dice = Dice::new(self.maker.seed, 0x4e4e, self.sent.events);
        if dice.chance(flaws.repeated) || replayed {
            let at = at + dice.between(MILLI, 600 * SECOND);
            self.order += 1;
            let order = self.order;
            self.arriving.push(Planned { at, order, delay: 0, again: Again::Repeat, event: event.clone() });
        } else if dice.chance(flaws.resent) {
            self.plan(at + dice.between(SECOND, 60 * SECOND), MILLI, Again::Resend, event.clone());
        }
    }

    /// Gives the event its id: counted without gaps per node and partition, in the order of sending.
    fn number(&mut self, event: &mut CallEvent) {
        let node = event.id.node.as_bytes().last().map_or(0, |digit| digit - b'1');
        let partition = (self.partition_of)(event.call_key.as_bytes(), self.partitions);
        let sequence = self.sequences.entry((node, partition)).or_default();
        event.id = EventId {
            node: SmolStr::new_static(NODES[usize::from(node) % NODES.len()]),
            boot_epoch: self.boot_epoch,
            partition,
            sequence: *sequence,
        };
        *sequence += 1;
    }
}

/// Everything the node saw, in order, each with the delay it will suffer.
fn report(maker: &Maker, call: &TrueCall, dice: &mut Dice) -> Vec<(CallEvent, i64)> {
    let mut events = Vec::with_capacity(2 + 2 * call.attempts.len());
    let key = call.key();
    let node = SmolStr::new_static(NODES[usize::from(call.node) % NODES.len()]);
    let event = |kind, leg, at: i64| {
        let mut event = CallEvent::new(kind, SWITCH, SWITCH, &key, OccurredAt(at));
        event.id.node = node.clone();
        event.leg = leg;
        event
    };
    let mut started = event(EventKind::Started, Leg::A, call.started_at);
    started.caller = call.caller.clone();
    started.called = call.called.clone();
    started.caller_number = E164::normalise(&call.caller).ok().filter(|number| !number.is_empty());
    started.called_number = E164::normalise(&call.called).ok().filter(|number| !number.is_empty());
    started.inbound = inbound(maker, call);
    events.push((started, 0));
    let (a_answered, a_ended) = (call.answered_at, call.ended_at);
    for (place, attempt) in call.attempts.iter().enumerate() {
        let last = place + 1 == call.attempts.len();
        let of_attempt = |kind, leg, at| {
            let mut event = event(kind, leg, at);
            event.attempt_key = call.attempt_key(place);
            event.attempt_number = place as u16 + 1;
            event
        };
        let mut routed = of_attempt(EventKind::Routed, Leg::B, attempt.started_at);
        routed.outbound = outbound(maker, attempt.vendor);
        events.push((routed, 0));
        let apart = last && a_answered.is_some() && (a_answered != attempt.answered_at || a_ended != attempt.ended_at);
        if let Some(pdd) = attempt.pdd.filter(|_| dice.chance(300_000)) {
            let mut progress = of_attempt(EventKind::Progress, Leg::B, attempt.started_at + pdd);
            progress.pdd = Some(pdd);
            events.push((progress, 0));
        }
        if let Some(answered) = attempt.answered_at {
            let mut answer = of_attempt(EventKind::Answered, if apart { Leg::B } else { Leg::Both }, answered);
            answer.outbound = outbound(maker, attempt.vendor);
            answer.pdd = attempt.pdd;
            answer.sip_code = Some(200);
            events.push((answer, 0));
            if let (true, Some(at)) = (apart, a_answered) {
                let mut answer = event(EventKind::Answered, Leg::A, at);
                answer.sip_code = Some(200);
                answer.pdd = attempt.pdd.map(|pdd| pdd + attempt.started_at - call.started_at);
                events.push((answer, 0));
            }
        }
        if last {
            lives(call, &mut events, &mut |at| of_attempt(EventKind::Interim, Leg::Both, at));
        }
        if last && matches!(call.fate, Fate::Estimated { .. } | Fate::Suspended) {
            return events;
        }
        // The customer's leg of an answered call that is seen whole ends with the vendor's.
        let whole = last && attempt.answered_at.is_some() && !apart;
        let leg = if whole { Leg::Both } else { Leg::B };
        let mut ended = event(EventKind::Ended, leg, attempt.ended_at);
        ended.attempt_key = call.attempt_key(place);
        ended.attempt_number = place as u16 + 1;
        ended.last_attempt = last;
        (ended.sip_code, ended.q850) = (Some(attempt.sip_code), Some(attempt.q850));
        let wait = if matches!(call.fate, Fate::LateTruth { .. }) && last { 25 * HOUR } else { 0 };
        events.push((ended, wait));
        if whole {
            return events;
        }
    }
    let mut ended = event(EventKind::Ended, Leg::A, call.ended_at);
    (ended.sip_code, ended.q850) = (Some(call.sip_code), Some(call.q850));
    ended.last_attempt = true;
    let wait = if matches!(call.fate, Fate::LateTruth { .. }) { 25 * HOUR } else { 0 };
    events.push((ended, wait));
    events
}

/// Proofs of life: of calls whose end gets lost, and of long ones every quarter of an hour.
fn lives(call: &TrueCall, events: &mut Vec<(CallEvent, i64)>, interim: &mut dyn FnMut(i64) -> CallEvent) {
    let Some(answered) = call.attempts.last().and_then(|attempt| attempt.answered_at) else { return };
    let (step, until) = match call.fate {
        Fate::Estimated { last_life } | Fate::LateTruth { last_life } => {
            // From the customer's answer on, the last exactly where the call will be cut.
            let from = call.answered_at.unwrap_or(answered);
            (((last_life - from) / 3).max(1), last_life)
        }
        Fate::Suspended => return,
        Fate::Known => {
            (900 * SECOND, call.ended_at.min(call.attempts.last().map_or(i64::MAX, |a| a.ended_at)) - SECOND)
        }
    };
    let mut at = until;
    let first = events.len();
    while at > call.answered_at.unwrap_or(answered) && at > answered && events.len() < first + 20 {
        events.push((interim(at), 0));
        at -= step;
    }
    events[first..].reverse();
    if call.fate == Fate::Known && until - answered < step {
        events.truncate(first);
    }
}

/// Where the call came from, as the edge saw it.
fn inbound(maker: &Maker, call: &TrueCall) -> Endpoint {
    let mut seen = Endpoint { port: 5060, ..Endpoint::default() };
    let Some(customer) = call.customer.and_then(|place| maker.world.customers.get(place)) else {
        seen.ip = SmolStr::new_static("198.51.100.66");
        return seen;
    };
    seen.ip = customer.ip();
    match customer.recognised {
        Recognised::TechPrefix { told: true } => seen.tech_prefix = customer.tech_prefix(call.premium).into(),
        Recognised::TrunkName => seen.trunk = customer.trunk_name(),
        Recognised::DigestUser => seen.digest_user = customer.digest_user(),
        Recognised::Ip | Recognised::TechPrefix { told: false } => {}
    }
    seen
}

fn outbound(maker: &Maker, vendor: Option<usize>) -> Endpoint {
    let mut seen = Endpoint { port: 5060, ..Endpoint::default() };
    match vendor.and_then(|place| maker.world.vendors.get(place).map(|vendor| (place, vendor))) {
        None => seen.ip = SmolStr::new_static("198.51.100.99"),
        Some((place, vendor)) => {
            seen.ip = vendor.ip(place);
            if vendor.by_name {
                seen.trunk = vendor.trunk_name();
            }
        }
    }
    seen
}

/// Delays: whole calls that come late, single events that come very late, neighbours that change places.
fn disturb(maker: &Maker, call: &TrueCall, plans: &mut [(CallEvent, i64)], dice: &mut Dice) {
    let flaws = &maker.flaws;
    if dice.chance(flaws.late) {
        let late = dice.between(SECOND, HOUR);
        plans.iter_mut().for_each(|(_, delay)| *delay += late);
    }
    if call.fate != Fate::Known {
        return;
    }
    if dice.chance(flaws.very_late) {
        let which = dice.below(plans.len() as u64) as usize;
        plans[which].1 += dice.between(60 * SECOND, 20 * HOUR);
    } else if dice.chance(flaws.swapped) && plans.len() > 1 {
        // One arrives just after the one that follows it.
        let which = dice.below(plans.len() as u64 - 1) as usize;
        let behind = plans[which + 1].0.occurred_at.micros() - plans[which].0.occurred_at.micros();
        plans[which].1 = plans[which + 1].1 + behind + dice.between(50 * MILLI, 500 * MILLI);
    }
}
