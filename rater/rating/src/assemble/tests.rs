//! Tests of `assemble`.

mod repeats;
mod reuse;

use super::*;
use expect_test::{Expect, expect};
use facts::call::{Call, EventKind, ImportEnd, Leg};
use facts::config::SiteSettings;
use facts::ids::{DedupeKey, EventId};
use facts::number::E164;
use facts::xdr::Position;
use std::collections::{BTreeMap, BTreeSet};

/// The process around an assembler, as small as it can be: an index and a dedupe set in memory.
struct House {
    assembler: Assembler,
    index: Index,
    keys: Keys,
    offset: u64,
    log: Vec<String>,
}

#[derive(Default)]
struct Index {
    calls: BTreeMap<CallId, (Known, Option<Call>, Option<Suspended>)>,
}

impl CallIndex for Index {
    fn find(&self, call: CallId) -> Option<Known> {
        self.calls.get(&call).map(|(known, ..)| *known)
    }
}

#[derive(Default)]
struct Keys(BTreeMap<DedupeKey, Origin>);

impl DedupeIndex for Keys {
    fn see(&mut self, key: DedupeKey, _: OccurredAt, origin: Origin) -> Option<Origin> {
        let known = self.0.get(&key).copied();
        self.0.entry(key).or_insert(origin);
        known
    }

    fn knows(&self, key: DedupeKey, _: OccurredAt) -> bool {
        self.0.contains_key(&key)
    }
}

impl House {
    fn new() -> Self {
        let limits = Limits::from(&SiteSettings::default());
        let (index, keys) = (Index::default(), Keys::default());
        Self { assembler: Assembler::new(limits, 0), index, keys, offset: 0, log: Vec::new() }
    }

    fn push(&mut self, event: &CallEvent) {
        let offset = self.offset;
        self.offset += 1;
        match self.assembler.push(&event.view(), offset, &self.index, &mut self.keys) {
            Pushed::Kept => {}
            Pushed::Waits => self.log.push("waits".into()),
            Pushed::Redelivered => self.log.push("redelivered".into()),
            Pushed::Repeated => self.log.push("repeated".into()),
            Pushed::Conflict(conflict) => self.log.push(format!("conflict {}", conflict.reason)),
            Pushed::Late { event, known } => self.late(event, known, offset),
            Pushed::Leaving => panic!("everything was put into a frame"),
        }
        self.drain();
    }

    /// What stands in the index of a call, by its names as well.
    fn note(&mut self, named: (&str, &str, &str), id: CallId, entry: (Known, Option<Call>, Option<Suspended>)) {
        if let Some((alias, started_at)) = alias_of(named.0, named.1, named.2) {
            self.index.calls.insert(alias, (Known { started_at, ..entry.0 }, None, None));
        }
        self.index.calls.insert(id, entry);
    }

    fn late(&mut self, event: Box<CallEvent>, known: Known, offset: u64) {
        let id = event.call_id();
        if known.suspended {
            let item = self.index.calls.remove(&id).unwrap().2.unwrap();
            self.assembler.reopen(&item, &event.view(), offset);
            self.log.push("reopened".into());
            return;
        }
        let entry = self.index.calls.get_mut(&id).unwrap();
        match apply_late(entry.1.as_ref().unwrap(), &event).unwrap() {
            Some(call) => {
                self.log.push(format!("revised {}", line(&call)));
                entry.1 = Some(call);
            }
            None => self.log.push("late, nothing new".into()),
        }
    }

    fn drain(&mut self) {
        while let Some(told) = self.assembler.next_told() {
            if told.reason == "lone_repeat" {
                self.keys.see(lone_key(&told.event).unwrap(), told.event.occurred_at, Origin::of(&told.event));
            }
            self.log.push(format!("told {} of {}", told.reason, told.event.line));
        }
        while let Some(outcome) = self.assembler.next_ready() {
            self.assembler.written();
            let at = Position { seq: self.offset, index: 0 };
            match outcome {
                Outcome::Call(call) => {
                    self.log.push(line(&call));
                    let known = Known { at, suspended: false, started_at: call.started_at };
                    let named = (&*call.id_domain, &*call.switch, &*call.call_key);
                    self.note(named, call.call_id, (known, Some((*call).clone()), None));
                }
                Outcome::Suspended { call_id, started_at, item } => {
                    self.log.push(format!("suspended {} with {} events", item.reason, item.events.len()));
                    let known = Known { at, suspended: true, started_at };
                    let first = item.events[0].clone();
                    let named = (&*first.id_domain, &*first.switch, &*first.call_key);
                    self.note(named, call_id, (known, None, Some(*item)));
                }
            }
        }
    }

    fn tick(&mut self, seconds: i64) {
        self.assembler.tick(ObservedAt(seconds * SECOND));
        self.drain();
    }

    fn calls(&self) -> BTreeMap<CallId, Option<Call>> {
        self.index.calls.iter().map(|(id, (_, call, _))| (*id, call.clone())).collect()
    }
}

fn line(call: &Call) -> String {
    let attempts: Vec<String> = call
        .attempts
        .iter()
        .map(|a| {
            format!("{}#{} {}s {:?}{}", a.key, a.number, a.duration / SECOND, a.sip_code, if a.last { "!" } else { "" })
        })
        .collect();
    let estimated = if call.estimated { " estimated" } else { "" };
    let (key, end, talked) = (&call.call_key, call.ended_at.0 / SECOND, call.duration / SECOND);
    format!("{key} ends {end} talks {talked}s{estimated} {:?} [{}]", call.sip_code, attempts.join(", "))
}

struct Maker {
    sequence: u64,
}

impl Maker {
    fn event(&mut self, key: &str, kind: EventKind, leg: Leg, at: i64) -> CallEvent {
        let mut event = CallEvent::new(kind, "dom", "sw", key, OccurredAt(at * SECOND));
        let (node, sequence) = ("edge-1".into(), self.sequence);
        event.id = EventId { node, boot_epoch: 1, partition: 0, sequence };
        self.sequence += 1;
        event.leg = leg;
        event.observed_at = ObservedAt(at * SECOND);
        if leg != Leg::A {
            event.attempt_key = format!("{key}-b").into();
        }
        event
    }

    fn start(&mut self, key: &str, at: i64) -> CallEvent {
        let mut event = self.event(key, EventKind::Started, Leg::A, at);
        event.called = "4930123456".into();
        event.called_number = E164::normalise("4930123456").ok();
        event.inbound.trunk = "t1".into();
        event
    }

    fn simple(&mut self, key: &str, at: i64) -> Vec<CallEvent> {
        let start = self.start(key, at);
        let answer = self.event(key, EventKind::Answered, Leg::Both, at + 9);
        let end = self.event(key, EventKind::Ended, Leg::Both, at + 69);
        vec![start, answer, end]
    }
}

fn check(house: &House, expected: Expect) {
    expected.assert_eq(&house.log.join("\n"));
}

#[test]
fn what_comes_for_a_call_that_was_taken_and_stands_in_no_frame_yet_is_late_truth_and_not_lost() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    let call = maker.simple("a", 100);
    let more = maker.event("a", EventKind::Interim, Leg::B, 120);
    for (offset, event) in call.iter().enumerate() {
        let pushed = house.assembler.push(&event.view(), offset as u64, &house.index, &mut house.keys);
        assert!(matches!(pushed, Pushed::Kept));
    }
    let Some(Outcome::Call(taken)) = house.assembler.next_ready() else { panic!("it has its end") };
    assert_eq!((house.assembler.open_calls(), house.assembler.floor(3)), (0, 0), "its events are still needed");
    let pushed = house.assembler.push(&more.view(), 3, &house.index, &mut house.keys);
    assert!(matches!(pushed, Pushed::Leaving));
    let known = Known { at: Position { seq: 1, index: 0 }, suspended: false, started_at: taken.started_at };
    house.index.calls.insert(taken.call_id, (known, Some(*taken), None));
    house.assembler.written();
    assert_eq!(house.assembler.floor(3), 3);
    let pushed = house.assembler.push_left(&more.view(), 3, &house.index);
    assert!(matches!(pushed, Pushed::Late { known: late, .. } if late == known));
    assert!(matches!(house.assembler.push(&more.view(), 3, &house.index, &mut house.keys), Pushed::Redelivered));
}

#[test]
fn a_call_of_three_events_leaves_at_its_end_and_the_floor_follows() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    let call = maker.simple("a", 100);
    let other = maker.simple("b", 130);
    house.push(&call[0]);
    house.push(&other[0]);
    house.push(&call[1]);
    assert_eq!(house.assembler.floor(house.offset), 0);
    house.push(&call[2]);
    assert_eq!(house.assembler.floor(house.offset), 1);
    house.push(&call[2]);
    house.push(&other[2]);
    house.push(&other[1]);
    assert_eq!(house.assembler.floor(house.offset), house.offset);
    check(
        &house,
        expect![[r#"
        a ends 169 talks 60s None [a-b#0 60s None]
        redelivered
        b ends 199 talks 60s None [b-b#0 60s None]"#]],
    );
}

#[test]
fn a_lost_end_is_estimated_and_corrected_when_the_truth_comes() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    let call = maker.simple("a", 100);
    house.push(&call[0]);
    house.push(&call[1]);
    house.push(&maker.event("a", EventKind::Interim, Leg::A, 1_000));
    house.push(&maker.event("a", EventKind::Interim, Leg::A, 1_900));
    house.tick(100 + 14_400 + 60);
    house.push(&maker.event("a", EventKind::Interim, Leg::A, 1_500));
    house.push(&maker.event("a", EventKind::Ended, Leg::A, 2_009));
    house.push(&maker.event("a", EventKind::Interim, Leg::A, 2_000));
    check(
        &house,
        expect![[r#"
        a ends 1900 talks 1791s estimated None [a-b#0 1791s None]
        late, nothing new
        revised a ends 2009 talks 1900s None [a-b#0 1900s None]
        late, nothing new"#]],
    );
}

#[test]
fn a_call_without_any_proof_of_life_goes_to_suspense_and_comes_back() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    let call = maker.simple("a", 100);
    house.push(&call[0]);
    house.push(&call[1]);
    house.tick(100 + 86_399);
    assert_eq!((house.assembler.open_calls(), house.assembler.floor(9)), (1, 0));
    house.tick(100 + 86_400);
    assert_eq!((house.assembler.open_calls(), house.assembler.floor(9)), (0, 9));
    house.push(&call[2]);
    check(
        &house,
        expect![[r#"
        suspended no_end with 2 events
        reopened
        a ends 169 talks 60s None [a-b#0 60s None]"#]],
    );
}

#[test]
fn records_of_one_call_wait_for_the_missing_attempts() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    let mut record = |key: &str, number: u16, last: bool, answered: bool| {
        let mut event = maker.event(key, EventKind::Record, Leg::Both, 100);
        event.attempt_key = format!("leg{number}").into();
        (event.attempt_number, event.last_attempt) = (number, last);
        event.started_at = Some(OccurredAt(100 * SECOND));
        event.answered_at = answered.then_some(OccurredAt(110 * SECOND));
        event.ended_at = Some(OccurredAt((100 + i64::from(number) * 30) * SECOND));
        event.duration = Some(if answered { 77 * SECOND } else { 0 });
        event.sip_code = Some(if answered { 200 } else { 503 });
        event.dedupe = Some(DedupeKey([number as u8 * 16 + (key.as_bytes()[0] - b'a'); 16]));
        event.import = Some(ImportId([1; 16]));
        event
    };
    let (a2, a1, b2, c1) = (
        record("a", 2, true, true),
        record("a", 1, false, false),
        record("b", 2, true, true),
        record("c", 1, false, false),
    );
    house.push(&a2);
    house.push(&b2);
    house.push(&a1);
    house.push(&c1);
    let mut again = c1.clone();
    again.id.sequence = 99;
    house.push(&again);
    house.tick(159);
    house.log.push("attempt wait is over".into());
    house.tick(160);
    let mut late = record("b", 1, false, false);
    late.observed_at = ObservedAt(400 * SECOND);
    house.push(&late);
    let mut waiting = record("d", 2, true, true);
    waiting.observed_at = ObservedAt(400 * SECOND);
    house.push(&waiting);
    let (import, source, file) = (ImportId([1; 16]), "drop".into(), "f".into());
    let end = ImportEnd { import, source, file, sent_here: 7, sent: 7, observed_at: ObservedAt(401 * SECOND) };
    house.log.push("end of import".into());
    house.assembler.import_end(&end);
    house.drain();
    let count = house.assembler.imports.get(import).unwrap();
    let (read, accepted, repeated) = (count.read, count.accepted, count.repeated);
    house.log.push(format!("read {read} accepted {accepted} repeated {repeated} complete {}", count.complete));
    check(
        &house,
        expect![[r#"
            a ends 160 talks 77s Some(200) [leg1#1 0s Some(503), leg2#2 77s Some(200)!]
            repeated
            attempt wait is over
            b ends 160 talks 77s Some(200) [leg2#2 77s Some(200)!]
            c ends 130 talks 0s Some(503) [leg1#1 0s Some(503)]
            revised b ends 160 talks 77s Some(200) [leg1#1 0s Some(503), leg2#2 77s Some(200)!]
            end of import
            d ends 160 talks 77s Some(200) [leg2#2 77s Some(200)!]
            read 7 accepted 6 repeated 1 complete true"#]],
    );
}

#[test]
fn what_is_older_than_the_late_call_limit_is_for_a_person() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    let mut old = maker.start("c", 0);
    old.observed_at = ObservedAt(61 * DAY);
    house.push(&old);
    check(&house, expect!["conflict too_old"]);
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// Events of one random call: failed attempts, an answered one or none, proofs of life, an end or none.
fn random_call(dice: &mut Dice, maker: &mut Maker, key: &str, at: i64) -> Vec<CallEvent> {
    let mut events = vec![maker.start(key, at)];
    let mut now = at + 1;
    let tries = dice.below(3);
    for number in 1..=tries {
        let attempt = |maker: &mut Maker, kind, leg, at| {
            let mut event = maker.event(key, kind, leg, at);
            event.attempt_key = format!("{key}-b{number}").into();
            event.attempt_number = number as u16;
            event.outbound.trunk = format!("v{number}").into();
            event
        };
        events.push(attempt(maker, EventKind::Routed, Leg::B, now));
        let answered = number == tries && dice.below(3) > 0;
        let mut code = 503;
        if answered {
            events.push(attempt(maker, EventKind::Progress, Leg::B, now + 1));
            events.push(attempt(maker, EventKind::Answered, Leg::Both, now + 3));
            for _ in 0..dice.below(3) {
                now += 20 + dice.below(40) as i64;
                events.push(maker.event(key, EventKind::Interim, Leg::A, now));
            }
            code = 200;
        }
        now += 4;
        let mut end = attempt(maker, EventKind::Ended, if number == tries { Leg::Both } else { Leg::B }, now);
        (end.sip_code, end.last_attempt) = (Some(code), number == tries);
        if number < tries || dice.below(8) > 0 {
            events.push(end);
        }
    }
    if tries == 0 {
        let mut end = maker.event(key, EventKind::Ended, Leg::A, now);
        end.sip_code = Some(404);
        events.push(end);
    }
    events
}

fn shuffled(dice: &mut Dice, events: &[CallEvent], reach: u64) -> Vec<CallEvent> {
    let mut order: Vec<(u64, usize)> = (0..events.len()).map(|at| (at as u64 + dice.below(reach), at)).collect();
    for _ in 0..events.len() / 3 {
        let at = dice.below(events.len() as u64);
        order.push((at + dice.below(reach), at as usize));
    }
    order.sort_unstable();
    order.into_iter().map(|(_, at)| events[at].clone()).collect()
}

fn run(events: &[CallEvent]) -> House {
    let mut house = House::new();
    for event in events {
        house.push(event);
        house.push(event);
    }
    house.tick(40 * 86_400);
    house
}

#[test]
fn any_order_and_any_repetition_give_the_same_calls() {
    for seed in 1..200u64 {
        let (mut dice, mut maker) = (Dice(seed * 0x9e37_79b9), Maker { sequence: 0 });
        let mut events = Vec::new();
        for call in 0..12 {
            events.extend(random_call(&mut dice, &mut maker, &format!("call-{call}"), 1_000 + call * 2));
        }
        // All within the wait for attempts: nobody gives up before the last event is there.
        events.iter_mut().for_each(|event| event.observed_at = ObservedAt(2_000 * SECOND));
        let expected = run(&events).calls();
        assert_eq!(expected.len(), 12, "seed {seed}");
        let order = shuffled(&mut dice, &events, 1_000);
        let mut got = run(&order).calls();
        for (id, call) in &expected {
            let Some((expected, got)) = call.as_ref().zip(got.get_mut(id).and_then(Option::as_mut)) else {
                assert_eq!(call.is_some(), got[id].is_some(), "seed {seed}");
                continue;
            };
            // Which call leaves before its last, unneeded event is there depends on the order; its figures do not.
            // Ringing that is told of late, before the try it belongs to, is the one thing a written call cannot keep.
            let mut expected = expected.clone();
            for call in [&mut *got, &mut expected] {
                call.events.sort();
                call.attempts.iter_mut().for_each(|attempt| attempt.pdd = None);
            }
            got.events = expected.events.clone();
            assert_eq!(*got, expected, "seed {seed}");
        }
    }
}

#[test]
fn late_truth_ends_in_the_same_figures() {
    let (mut revised, mut reopened) = (0, 0);
    for seed in 1..200u64 {
        let (mut dice, mut maker) = (Dice(seed * 0x85eb_ca6b), Maker { sequence: 0 });
        let mut events = Vec::new();
        for call in 0..12 {
            events.extend(random_call(&mut dice, &mut maker, &format!("call-{call}"), 1_000 + call * 9_000));
        }
        let expected = run(&events).calls();
        let house = run(&shuffled(&mut dice, &events, if seed % 2 == 0 { 30 } else { 200 }));
        revised += house.log.iter().filter(|line| line.starts_with("revised")).count();
        reopened += house.log.iter().filter(|line| line.starts_with("reopened")).count();
        let got = house.calls();
        for (id, call) in &expected {
            let figures = |call: &Option<Call>| {
                call.as_ref().map(|call| {
                    let attempts: Vec<_> = call
                        .attempts
                        .iter()
                        .map(|a| (a.key.clone(), a.number, a.answered_at, a.ended_at, a.duration, a.outbound.clone()))
                        .collect();
                    let times = (call.started_at, call.answered_at, call.ended_at, call.duration, call.estimated);
                    (times, call.called_number, call.inbound.clone(), attempts)
                })
            };
            assert_eq!(figures(&got[id]), figures(call), "seed {seed}\n{}", house.log.join("\n"));
        }
    }
    assert!(revised > 50 && reopened > 5, "the dice made too few late events: {revised} {reopened}");
}

#[test]
fn a_new_owner_finds_the_same_open_calls() {
    for seed in 1..60u64 {
        let (mut dice, mut maker) = (Dice(seed * 0xc2b2_ae35), Maker { sequence: 0 });
        let mut events = Vec::new();
        for call in 0..20 {
            events.extend(random_call(&mut dice, &mut maker, &format!("call-{call}"), 1_000 + call * 5));
        }
        let order = shuffled(&mut dice, &events, 40);
        let cut = dice.below(order.len() as u64) as usize;
        let mut house = House::new();
        order[..cut].iter().for_each(|event| house.push(event));
        let floor = house.assembler.floor(house.offset);
        let mut heir = House::new();
        heir.assembler.nodes = Nodes::from_state(&house.assembler.nodes.to_state());
        heir.index.calls = house.index.calls.clone();
        for (offset, event) in order[..cut].iter().enumerate().skip(floor as usize) {
            let event = Box::new(event.clone());
            let _ = heir.assembler.recover(&event.view(), offset as u64, &heir.index, &mut heir.keys);
        }
        if let Some(clock) = house.assembler.clock() {
            heir.assembler.recover_clock(clock);
        }
        heir.offset = house.offset;
        heir.drain();
        assert_eq!(heir.assembler.open_calls(), house.assembler.open_calls(), "seed {seed}");
        assert_eq!(heir.assembler.floor(heir.offset), floor, "seed {seed}");
        for both in [&mut house, &mut heir] {
            both.log.clear();
            order[cut..].iter().for_each(|event| both.push(event));
            both.tick(40 * 86_400);
        }
        assert_eq!(heir.log, house.log, "seed {seed}");
    }
}
