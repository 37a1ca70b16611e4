//! What happens, turn by turn: switches, owners, the copy, and harm.

use super::copy::{Copy, frame};
use super::disk::Disk;
use super::rules::Oracle;
use super::{Course, Done, Events, Harm, LEDGER, OWNERS, OnBus, Pipeline, SECOND, STREAMS, Slip, Work, XDRS};
use crate::Violation;
use crate::dice::Dice;
use accounting::TRIAL_FOLD;
use accounting::pay::Payment;
use facts::call::{CallEvent, EventKind, Leg};
use facts::entry::EntryKind;
use facts::ids::EventId;
use facts::{Amount, Currency, ObservedAt, OccurredAt};
use schemas::SchemaIds;
use schemas::frame::FrameBuilder;
use smol_str::{SmolStr, format_smolstr};
use std::collections::BTreeSet;

/// 2026-11-21, microseconds.
const BEGIN: i64 = 1_795_219_200 * SECOND;
/// Turns until all must be booked once all has healed.
const PATIENCE: u32 = 5_000;

impl Pipeline {
    pub(super) fn new(course: Course) -> Self {
        Self {
            dice: Dice::new(course.seed.wrapping_mul(5).wrapping_add(2)),
            ids: SchemaIds::default(),
            turn: 0,
            names: 0,
            bus: Events::default(),
            told_once: Vec::new(),
            boots: 1,
            coming: Vec::new(),
            sequence: 0,
            started: 0,
            logs: [Disk::new(1), Disk::new(2)],
            disks: 4,
            flipped: None,
            refused: [false; 2],
            person: None,
            flying: Vec::new(),
            owners: Vec::new(),
            copy: Copy::new([Disk::new(3), Disk::new(4)]),
            oracles: [Oracle::new(XDRS), Oracle::new(LEDGER)],
            order: None,
            program: 1,
            skew: 0,
            truth: Vec::new(),
            confirmed: Vec::new(),
            orders: Vec::new(),
            told_booked: BTreeSet::new(),
            healing: false,
            broken: None,
            told: None,
            done: Done::default(),
            builder: FrameBuilder::new(),
            course,
        }
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let turn = self.turn;
        if let Some(told) = &mut self.told {
            told.push(format!("turn {turn:>5}: {}", what()));
        }
    }

    pub(super) fn harm(&mut self, harm: Harm) -> bool {
        !self.healing && !self.course.without.contains(&harm) && self.dice.chance(self.course.harm)
    }

    pub(super) fn wall(&self) -> i64 {
        BEGIN + i64::from(self.turn) * SECOND + self.skew
    }

    pub(super) fn set_broken(&mut self, broken: Result<(), Violation>) {
        if let Err(broken) = broken {
            self.broken.get_or_insert(broken);
        }
    }

    pub(super) fn run(&mut self) -> Result<Done, Violation> {
        while self.turn < self.course.turns {
            self.one_turn();
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        self.heal()?;
        self.done.calls = self.truth.len() as u64;
        self.done.orders = self.orders.len() as u64;
        Ok(self.done)
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.tell(|| "all heals".to_owned());
        self.healing = true;
        self.owners.clear();
        self.flying.clear();
        self.program = TRIAL_FOLD;
        self.start_all();
        let mut coming = std::mem::take(&mut self.coming);
        coming.drain(..).for_each(|(_, record)| self.bus.push(record));
        let clock = self.bus.held.iter().map(|record| match record {
            OnBus::Event(event) => event.observed_at,
            OnBus::Tick(clock) => *clock,
        });
        let last = clock.max().unwrap_or(ObservedAt(BEGIN));
        self.bus.push(OnBus::Tick(ObservedAt(last.0 + 1_000 * SECOND)));
        for _ in 0..PATIENCE {
            self.one_turn();
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
            let whole = |stream: usize| self.copy.states[stream].hash() == &self.oracles[stream].hash;
            if self.all_booked() && self.told_booked.len() == self.orders.len() && whole(XDRS) && whole(LEDGER) {
                return self.at_rest();
            }
        }
        let what = format!("{} events, {} and {} frames", self.bus.end(), self.oracles[0].seq, self.oracles[1].seq);
        Err(Violation::new("all is booked when all has healed", None, what))
    }

    /// Every event is in an accepted frame, every frame of rated calls in an accepted frame of the ledger.
    fn all_booked(&self) -> bool {
        let rated = self.owners.iter().any(|owner| match &owner.work {
            Work::Rater(rater) => rater.next == self.bus.end() && owner.state.seq() == owner.ahead.seq(),
            Work::Books(_) => false,
        });
        rated
            && self.owners.iter().any(|owner| match &owner.work {
                Work::Books(books) => {
                    books.next == self.oracles[XDRS].seq + 1 && owner.state.seq() == owner.ahead.seq()
                }
                Work::Rater(_) => false,
            })
    }

    fn one_turn(&mut self) {
        self.turn += 1;
        self.land();
        self.switches();
        self.people();
        self.surroundings();
        for stream in [XDRS, LEDGER] {
            if self.closed() {
                break;
            }
            let alive = self.owners.iter().filter(|owner| owner.of == stream).count();
            if (alive == 0 && (self.healing || self.dice.chance(300)))
                || (alive < OWNERS && self.harm(Harm::SecondOwner))
            {
                self.claim(stream);
            }
        }
        for _ in 0..2 {
            if !self.owners.is_empty() {
                let at = self.dice.within(0, self.owners.len() as i64 - 1) as usize;
                self.step(at);
            }
        }
        let (stream, count) = (self.dice.within(0, 1) as usize, self.dice.within(1, 6) as usize);
        self.fetch(stream, count);
    }

    /// What switches tell ingest.
    fn switches(&mut self) {
        if !self.healing && self.started < self.course.calls && self.dice.chance(150) {
            self.call();
        }
        let due: Vec<OnBus> = {
            let (now, later) = std::mem::take(&mut self.coming).into_iter().partition(|(turn, _)| *turn <= self.turn);
            self.coming = later;
            let now: Vec<(u32, OnBus)> = now;
            now.into_iter().map(|(_, record)| record).collect()
        };
        let observed = ObservedAt(self.wall());
        for mut record in due {
            if let OnBus::Event(event) = &mut record {
                event.observed_at = observed;
                if self.told_once.iter().all(|told| (&told.call_key, told.kind) != (&event.call_key, event.kind)) {
                    self.told_once.push((**event).clone());
                }
                if self.harm(Harm::Repeat) {
                    self.coming.push((self.turn + 1 + self.dice.within(0, 200) as u32, OnBus::Event(event.clone())));
                }
            }
            self.bus.push(record);
        }
        if self.turn.is_multiple_of(8) {
            self.bus.push(OnBus::Tick(observed));
        }
    }

    /// A payment is ordered, or one is ordered again though it is booked.
    fn people(&mut self) {
        if self.healing || !self.dice.chance(30) {
            return;
        }
        if !self.told_booked.is_empty() && self.harm(Harm::Repeat) {
            self.told_booked.pop_first();
            return;
        }
        let cents = i128::from(self.dice.within(1, 50_000));
        let Ok(currency) = Currency::new("EUR") else { return };
        let (account, product, destination) = ("acme".into(), SmolStr::default(), SmolStr::default());
        self.orders.push(Payment {
            id: format_smolstr!("bank-{}", self.orders.len()),
            kind: EntryKind::Payment,
            account,
            side: facts::xdr::Side::Sell,
            amount: Amount(cents * facts::money::ONE / 100),
            currency,
            occurred_at: OccurredAt(self.wall()),
            by: "anna".into(),
            reason: SmolStr::default(),
            adjusts: None,
            product,
            destination,
        });
    }

    fn call(&mut self) {
        let key = format!("c{}", self.started);
        self.started += 1;
        let begin = BEGIN + i64::from(self.turn) * SECOND;
        let talk = if self.dice.chance(800) { self.dice.within(1, 90) } else { 0 };
        self.truth.push(talk);
        let event = |world: &mut Self, kind, leg, after: i64| {
            let mut event = CallEvent::new(kind, "test", "sw1", &key, OccurredAt(begin + after * SECOND));
            event.id = world.next_id();
            event.leg = leg;
            if leg != Leg::A {
                event.attempt_key = "b".into();
            }
            let late = match world.dice.within(0, 9) {
                0 => world.dice.within(0, 300),
                1 => world.dice.within(0, 20),
                _ => 0,
            };
            world.coming.push((world.turn + (after + late) as u32, OnBus::Event(Box::new(event))));
        };
        event(self, EventKind::Started, Leg::A, 0);
        if talk > 0 {
            event(self, EventKind::Answered, Leg::Both, 5);
        }
        event(self, EventKind::Ended, Leg::Both, 5 + talk);
    }

    /// What the node at the edge numbers an event with.
    pub(super) fn next_id(&mut self) -> EventId<SmolStr> {
        let (node, sequence) = ("edge-1".into(), self.sequence);
        self.sequence += 1;
        EventId { node, boot_epoch: self.boots, partition: 0, sequence }
    }

    /// Frames of sleepers land; disks, clocks and programs.
    fn land(&mut self) {
        let (due, later) = std::mem::take(&mut self.flying).into_iter().partition(|(_, turn, _)| *turn <= self.turn);
        self.flying = later;
        let due: Vec<(usize, u32, Vec<u8>)> = due;
        for (stream, _, bytes) in due {
            if self.closed() {
                continue;
            }
            self.tell(|| format!("a frame of a sleeper lands in {}", STREAMS[stream]));
            self.append(stream, bytes);
        }
    }

    fn surroundings(&mut self) {
        if self.harm(Harm::ClockStep) {
            let step = self.dice.one_of(&[-7_200, -60, 5, 3_600, 20_000, 90_000]);
            self.skew += step * SECOND;
            self.tell(|| format!("the clock steps by {step} s"));
        }
        self.disks_happen();
        if !self.healing && self.course.without.contains(&Harm::Upgrade) {
            return;
        }
        if !self.healing && self.dice.chance(20) {
            // Forward, or back: the programs that are started from now on.
            self.program = if self.dice.chance(700) { TRIAL_FOLD } else { 1 };
            let program = self.program;
            self.tell(|| format!("programs that fold up to version {program} are started from now on"));
        }
        let all_know = self.owners.iter().all(|owner| owner.knows >= TRIAL_FOLD);
        if self.order.is_none() && self.program == TRIAL_FOLD && all_know && self.dice.chance(20) {
            let from = self.wall() + self.dice.within(0, 30) * SECOND;
            self.order = Some((TRIAL_FOLD, from));
            self.done.switched += 1;
            self.tell(|| "the next fold version is ordered".to_owned());
        }
    }

    /// Writes a record, durably.
    pub(super) fn append(&mut self, stream: usize, bytes: Vec<u8>) {
        self.counts(stream, &bytes);
        self.logs[stream].append(vec![bytes]);
    }

    /// A record has become durable.
    pub(super) fn counts(&mut self, stream: usize, bytes: &[u8]) {
        let mut oracle = std::mem::replace(&mut self.oracles[stream], Oracle::new(stream));
        let seen = oracle.see(bytes, self);
        self.oracles[stream] = oracle;
        match seen {
            Ok(true) => self.done.frames += 1,
            Ok(false) => self.done.void += 1,
            Err(broken) => self.set_broken(Err(broken)),
        }
        if self.course.slip == Some(Slip::ConfirmedUnread)
            && let Some(frame) = frame(bytes, &self.ids)
        {
            self.confirmed.push((stream, frame.header.seq, frame.hash()));
        }
        let counted = self.confirmed_count();
        self.set_broken(counted);
    }
}
