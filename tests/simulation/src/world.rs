//! The world: sites, what they wrote, what is on its way between them, and time. One event after another, drawn from
//! the seed.

use crate::calls::{Call, Calls, RINGING, line};
use crate::check::{Union, Violation};
use crate::dice::Dice;
use crate::mistakes::{Mistake, Mouth};
use crate::plan::{CENT, Fault, Plan, SECOND};
use crate::story::Story;
use accounting::credit::{Action, Answer, Let, LineId, Memo, Message, PullId, Settings, Site, SiteNo};
use facts::Amount;
use std::collections::BTreeMap;

const PULL_WAIT: i64 = 2 * SECOND;

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    pub operations: u64,
    pub events: u64,
    pub entries: u64,
    pub crashes: u64,
    pub calls: u64,
    pub refused: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.events += other.events;
        self.entries += other.entries;
        self.crashes += other.crashes;
        self.calls += other.calls;
        self.refused += other.refused;
    }
}

/// What goes from site to site.
#[derive(Clone, Debug)]
enum Parcel {
    Message(Message),
    /// How many frames of each stream the sender holds.
    Have(Vec<u64>),
    /// Frames `first` and on of a stream, `count` of them.
    Frames {
        of: SiteNo,
        first: u64,
        count: u64,
    },
}

#[derive(Clone, Debug)]
enum Event {
    Arrive { from: SiteNo, to: SiteNo, parcel: Parcel },
    Tick(SiteNo),
    Start(SiteNo),
    Mend(SiteNo, SiteNo),
    Operation(u32),
    NoAnswer { call: usize, asked: u32 },
    Extend { call: usize, turn: u32 },
    HangUp { call: usize, turn: u32 },
    End { call: usize, site: SiteNo },
}

struct Node {
    /// Nothing while it is down.
    site: Option<Site>,
    /// Frames of each stream that it holds durably, its own included.
    copies: Vec<u64>,
    starts: u64,
    /// When something of each other site arrived last.
    heard: Vec<i64>,
    /// Pulls sent to a site and not answered by it.
    pulls: BTreeMap<(PullId, SiteNo), i64>,
    /// The pull that it is being asked, for a mistake to be made with.
    pull: Option<(PullId, LineId, Amount)>,
}

pub struct World {
    plan: Plan,
    dice: Dice,
    now: i64,
    events: BTreeMap<(i64, u64), Event>,
    number: u64,
    nodes: Vec<Node>,
    streams: Vec<Vec<Vec<Memo>>>,
    union: Union,
    /// From, to.
    links: Vec<Vec<bool>>,
    calls: Calls,
    limits: BTreeMap<LineId, i128>,
    healing: bool,
    broken: Option<Violation>,
    tally: Tally,
    pub story: Story,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let sites = usize::from(plan.sites);
        let mut world = Self {
            dice: Dice::new(plan.seed.wrapping_mul(3).wrapping_add(1)),
            now: 0,
            events: BTreeMap::new(),
            number: 0,
            nodes: Vec::new(),
            streams: vec![Vec::new(); sites],
            union: Union::new((1..=plan.sites).collect()),
            links: vec![vec![true; sites]; sites],
            calls: Calls::default(),
            limits: (1..=i64::from(plan.lines)).map(|n| (line(n), 50 * CENT * i128::from(plan.depth))).collect(),
            healing: false,
            broken: None,
            tally: Tally::default(),
            story: Story::default(),
            plan,
        };
        for me in 1..=world.plan.sites {
            let site = Some(Site::new(world.settings(me), 1, 0));
            let (copies, heard) = (vec![0; sites], vec![0; sites]);
            let (pulls, pull) = (BTreeMap::new(), None);
            world.nodes.push(Node { site, copies, starts: 1, heard, pulls, pull });
            let at = world.dice.within(0, world.plan.tick);
            world.at(at, Event::Tick(me));
        }
        world
    }

    fn settings(&self, me: SiteNo) -> Settings {
        let mut settings = Settings {
            me,
            sites: (1..=self.plan.sites).collect(),
            config_site: 1,
            pull_wait: PULL_WAIT,
            silent_after: self.silent_after(),
            call_limit: RINGING + self.plan.longest_call + self.plan.delay_limit,
            surplus: Amount(self.plan.surplus),
            repay_at_once: self.plan.repay_at_once,
        };
        if let Some(mistake) = self.plan.mistake {
            mistake.set(&mut settings);
        }
        settings
    }

    /// A site that nothing was heard of for so long counts as silent: three announcements.
    fn silent_after(&self) -> i64 {
        3 * self.plan.tick
    }

    fn at(&mut self, at: i64, event: Event) {
        self.number += 1;
        self.events.insert((at.max(self.now), self.number), event);
    }

    fn later(&mut self, after: i64, event: Event) {
        self.at(self.now + after, event);
    }

    fn any_site(&mut self) -> SiteNo {
        self.dice.within(1, i64::from(self.plan.sites)) as SiteNo
    }

    fn fault(&self, fault: Fault) -> bool {
        !self.healing && self.plan.has(fault)
    }

    /// The run: operations under faults, then all heals, then everything must be equal.
    pub fn run(&mut self) -> Result<Tally, Violation> {
        self.configure(1);
        let lines: Vec<LineId> = self.limits.keys().cloned().collect();
        for line in &lines {
            for to in 2..=self.plan.sites {
                let share = Amount(self.limits[line] / i128::from(self.plan.sites));
                self.with(1, |site, _| {
                    site.give(line, to, share);
                });
            }
        }
        for me in 2..=self.plan.sites {
            self.configure(me);
        }
        self.at(1, Event::Operation(self.plan.operations));
        let mut end = i64::MAX;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            self.tally.events += 1;
            self.happen(event);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
            if self.tally.events % 64 == 0 {
                self.equal_prefixes()?;
            }
            if self.healing && end == i64::MAX {
                // Longer than any hold lives, any end is late, and any debt needs to be repaid.
                let limit = RINGING + self.plan.longest_call + self.plan.delay_limit;
                end = self.now + 2 * limit + 1_800 * SECOND + 3_000 * SECOND;
            }
        }
        self.at_rest()?;
        self.tally.entries = self.union.entries;
        Ok(self.tally)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { from, to, parcel } => self.arrive(from, to, parcel),
            Event::Tick(me) => self.tick(me),
            Event::Start(me) => self.start(me),
            Event::Mend(from, to) => self.links[usize::from(from) - 1][usize::from(to) - 1] = true,
            Event::Operation(left) => self.operation(left),
            Event::NoAnswer { call, asked } => self.no_answer(call, asked),
            Event::Extend { call, turn } => {
                let it = &self.calls.all[call];
                if it.turn == turn && it.cost.is_none() {
                    self.ask(call);
                }
            }
            Event::HangUp { call, turn } => {
                let it = &self.calls.all[call];
                if it.turn == turn && it.cost.is_none() {
                    self.hang_up(call);
                }
            }
            Event::End { call, site } => self.end(call, site),
        }
    }

    /// Lets a site do something, and then writes and sends what came of it. False when it is down.
    fn with(&mut self, me: SiteNo, act: impl FnOnce(&mut Site, i64)) -> bool {
        let now = self.now;
        match self.nodes[usize::from(me) - 1].site.as_mut() {
            Some(site) => act(site, now),
            None => return false,
        }
        self.flush(me);
        true
    }

    fn flush(&mut self, me: SiteNo) {
        let node = usize::from(me) - 1;
        let Some(site) = self.nodes[node].site.as_mut() else { return };
        let (mut frame, mut actions) = site.take();
        let mut altered = false;
        if let (Some(mistake), Some(site)) = (self.plan.mistake, &self.nodes[node].site) {
            let asked = |ask: u64| self.calls.asks.get(&ask).map(|(_, ask)| ask.clone());
            let pull = self.nodes[node].pull.as_ref();
            let mut mouth = Mouth { site, frame: &mut frame, actions: &mut actions, pull, asked: &asked };
            altered = mouth.alter(mistake);
        }
        if let Some(frame) = frame {
            if self.fault(Fault::Crash) && self.dice.chance(self.plan.crashes) {
                return self.crash(me, "before a frame was written");
            }
            self.write(me, frame.memos);
            if self.broken.is_some() {
                return;
            }
            if self.fault(Fault::Crash) && self.dice.chance(self.plan.crashes) {
                return self.crash(me, "after a frame was written");
            }
            let seq = self.streams[node].len() as u64;
            for to in self.others(me) {
                self.send(me, to, Parcel::Frames { of: me, first: seq, count: 1 });
            }
        }
        if altered {
            self.restore(me);
        }
        for action in actions {
            self.act(me, action);
        }
    }

    fn others(&self, me: SiteNo) -> impl Iterator<Item = SiteNo> + use<> {
        (1..=self.plan.sites).filter(move |to| *to != me)
    }

    /// A frame becomes durable: from here on it counts.
    fn write(&mut self, me: SiteNo, memos: Vec<Memo>) {
        let node = usize::from(me) - 1;
        for memo in &memos {
            self.story.entry(self.now, me, memo);
            let mut result = self.union.append(me, memo);
            if let (Ok(()), Memo::Release { call, why: Let::Expired, .. }) = (&result, memo) {
                result = self.calls.may_expire(*call, me);
            }
            if let Err(broken) = result {
                self.broken.get_or_insert(broken);
            }
        }
        self.streams[node].push(memos);
        self.nodes[node].copies[node] = self.streams[node].len() as u64;
    }

    fn act(&mut self, me: SiteNo, action: Action) {
        match action {
            Action::Answer(answer) => self.answered(me, answer),
            Action::Send { to, message } => {
                if let Message::Pull { id, .. } = &message {
                    self.nodes[usize::from(me) - 1].pulls.insert((*id, to), self.now);
                }
                self.send(me, to, Parcel::Message(message));
            }
            Action::Mismatch { site, seq, line } => {
                let what = format!("site {me} folded frame {seq} of site {site} to other totals than were announced");
                self.broken.get_or_insert(Violation::new("announced = folded", Some(&line), what));
            }
        }
    }

    fn send(&mut self, from: SiteNo, to: SiteNo, parcel: Parcel) {
        if self.fault(Fault::Drop) && self.dice.chance(self.plan.drops) {
            return;
        }
        let longest = if self.healing { SECOND / 10 } else { self.plan.delay };
        if self.fault(Fault::Repeat) && self.dice.chance(self.plan.repeats) {
            let delay = self.dice.within(SECOND / 1_000, longest);
            self.later(delay, Event::Arrive { from, to, parcel: parcel.clone() });
        }
        let delay = self.dice.within(SECOND / 1_000, longest);
        self.later(delay, Event::Arrive { from, to, parcel });
    }

    fn arrive(&mut self, from: SiteNo, to: SiteNo, parcel: Parcel) {
        let node = usize::from(to) - 1;
        if !self.links[usize::from(from) - 1][node] || self.nodes[node].site.is_none() {
            return;
        }
        match parcel {
            Parcel::Have(have) => self.hand_over(to, from, &have),
            Parcel::Frames { of, first, count } => self.fold(to, of, first, count),
            Parcel::Message(message) => {
                self.nodes[node].heard[usize::from(from) - 1] = self.now;
                match &message {
                    Message::Pull { id, line, want } => self.nodes[node].pull = Some((*id, line.clone(), *want)),
                    Message::Answer { id, .. } => {
                        self.nodes[node].pulls.remove(&(*id, from));
                    }
                    Message::Announce(_) => {}
                }
                self.with(to, |site, now| site.receive(now, from, message));
                self.nodes[node].pull = None;
            }
        }
    }

    /// Frames that `to` has not, of every stream that `me` holds.
    fn hand_over(&mut self, me: SiteNo, to: SiteNo, have: &[u64]) {
        for of in (1..=self.plan.sites).filter(|of| *of != to) {
            let (mine, theirs) = (self.nodes[usize::from(me) - 1].copies[usize::from(of) - 1], have[usize::from(of) - 1]);
            if mine > theirs {
                let batch = if self.healing { u64::MAX } else { self.plan.batch };
                let count = (mine - theirs).min(batch);
                self.send(me, to, Parcel::Frames { of, first: theirs + 1, count });
            }
        }
    }

    fn fold(&mut self, me: SiteNo, of: SiteNo, first: u64, count: u64) {
        let (node, stream) = (usize::from(me) - 1, usize::from(of) - 1);
        self.nodes[node].heard[stream] = self.now;
        for seq in first..(first + count).min(self.streams[stream].len() as u64 + 1) {
            let held = self.nodes[node].copies[stream];
            let number = match self.plan.mistake {
                Some(Mistake::FoldOverGap) if seq > held => held + 1,
                Some(Mistake::FrameTwice) if seq == held => held + 1,
                _ => seq,
            };
            let memos = std::mem::take(&mut self.streams[stream][seq as usize - 1]);
            let mut outcome = Ok(false);
            if let Some(site) = self.nodes[node].site.as_mut() {
                outcome = site.fold(self.now, of, number, &memos);
            }
            self.streams[stream][seq as usize - 1] = memos;
            match outcome {
                Ok(true) => self.nodes[node].copies[stream] = number,
                Ok(false) => {}
                Err(refusal) => {
                    let what = format!("site {me} refuses frame {seq} of site {of}: {refusal}");
                    self.broken.get_or_insert(Violation::new("every frame can be folded", None, what));
                }
            }
            self.flush(me);
            if self.nodes[node].site.is_none() || self.broken.is_some() {
                return;
            }
        }
    }

    fn tick(&mut self, me: SiteNo) {
        // What is left to do when all has healed takes hours, and no haste.
        let tick = if self.healing { 60 * SECOND } else { self.plan.tick };
        self.later(tick, Event::Tick(me));
        if !self.with(me, |site, now| site.tick(now)) {
            return;
        }
        let node = &self.nodes[usize::from(me) - 1];
        let Some(mut announcement) = node.site.as_ref().and_then(Site::announcement) else { return };
        let have = node.copies.clone();
        if self.plan.mistake == Some(Mistake::WrongSequence) {
            announcement.seq += 1;
        }
        for to in self.others(me) {
            self.send(me, to, Parcel::Message(Message::Announce(announcement.clone())));
            self.send(me, to, Parcel::Have(have.clone()));
        }
    }

    fn crash(&mut self, me: SiteNo, when: &str) {
        self.tally.crashes += 1;
        self.story.tell(self.now, || format!("site {me} dies {when}"));
        let node = usize::from(me) - 1;
        self.nodes[node].site = None;
        if self.fault(Fault::FallBack) && self.dice.chance(500) {
            for stream in (0..usize::from(self.plan.sites)).filter(|stream| *stream != node) {
                let lost = self.dice.within(0, 8) as u64;
                let copies = &mut self.nodes[node].copies[stream];
                *copies = copies.saturating_sub(lost);
            }
        }
        let away = self.dice.within(SECOND / 10, 120 * SECOND);
        self.later(away, Event::Start(me));
    }

    fn start(&mut self, me: SiteNo) {
        let node = usize::from(me) - 1;
        self.nodes[node].starts += 1;
        self.story.tell(self.now, || format!("site {me} starts again"));
        self.restore(me);
        self.configure(me);
    }

    /// Puts a site together from what it holds durably.
    fn restore(&mut self, me: SiteNo) {
        let node = usize::from(me) - 1;
        let mut order: Vec<usize> = (0..self.streams.len()).collect();
        let turn = self.dice.within(0, order.len() as i64 - 1) as usize;
        order.rotate_left(turn);
        let unread = if self.plan.mistake == Some(Mistake::ResumeEarly) { 5 } else { 0 };
        let frames = order.into_iter().flat_map(|stream| {
            let held = (self.nodes[node].copies[stream] as usize).min(self.streams[stream].len());
            let held = if stream == node { held.saturating_sub(unread) } else { held };
            let frames = self.streams[stream][..held].iter().enumerate();
            frames.map(move |(at, memos)| (stream as SiteNo + 1, at as u64 + 1, memos.as_slice()))
        });
        let starts = self.nodes[node].starts;
        match Site::restore(self.settings(me), starts, self.now, frames) {
            Ok(site) => self.nodes[node].site = Some(site),
            Err(refusal) => {
                let what = format!("site {me} cannot start: {refusal}");
                self.broken.get_or_insert(Violation::new("every stream can be folded again", None, what));
            }
        }
        self.nodes[node].heard.fill(self.now);
        self.nodes[node].pulls.clear();
    }

    /// What the configuration says of limits and reserves.
    fn configure(&mut self, me: SiteNo) {
        let reserve = |limit: i128, plan: &Plan| limit * i128::from(plan.reserve) / 1_000 / i128::from(plan.sites);
        for (line, limit) in self.limits.clone() {
            let reserve = Amount(reserve(limit, &self.plan));
            self.with(me, |site, now| {
                if me == 1 {
                    site.set_limit(now, &line, Amount(limit));
                }
                site.set_reserve(&line, reserve);
            });
        }
    }

    fn operation(&mut self, left: u32) {
        if left == 0 {
            self.heal();
            return;
        }
        self.tally.operations += 1;
        let pause = self.dice.within(SECOND / 20, 6 * SECOND);
        self.later(pause, Event::Operation(left - 1));
        if self.fault(Fault::Cut) && self.dice.chance(self.plan.cuts) {
            self.cut();
        }
        let at = self.any_site();
        let number = self.dice.within(1, i64::from(self.plan.lines));
        let line = line(number);
        match self.dice.within(0, 99) {
            0..=9 if self.plan.has(Fault::Money) => {
                let amount = Amount(CENT * i128::from(self.dice.within(10, 400)));
                self.with(at, |site, _| {
                    // Beyond the integer range only.
                    let _ = site.pay(&line, amount);
                });
            }
            10 | 11 if self.plan.has(Fault::Money) => {
                let amount = Amount(CENT * i128::from(self.dice.within(1, 200)));
                self.with(at, |site, _| {
                    site.refund(&line, amount);
                });
            }
            12 | 13 if self.plan.has(Fault::Limits) => {
                let limit = 50 * CENT * i128::from(self.dice.within(0, 2 * self.plan.depth));
                self.limits.insert(line.clone(), limit);
                self.story.tell(self.now, || format!("the limit of {line} is now {}", Amount(limit)));
                for me in 1..=self.plan.sites {
                    self.configure(me);
                }
            }
            14 | 15 => {
                let to = self.any_site();
                let amount = Amount(CENT * i128::from(self.dice.within(1, 200)));
                if to != at {
                    self.with(at, |site, _| {
                        site.give(&line, to, amount);
                    });
                }
            }
            16 | 17 if self.plan.has(Fault::Unguarded) => self.unguarded(at),
            _ => {
                let call = self.calls.draw(&self.plan, &mut self.dice, at);
                self.tally.calls += 1;
                self.ask(call);
            }
        }
    }

    /// One link, one way or both, or a whole site, for a while.
    fn cut(&mut self) {
        let (a, b) = (self.any_site(), self.any_site());
        let mut cuts = vec![(a, b)];
        match self.dice.within(0, 2) {
            0 => {}
            1 => cuts.push((b, a)),
            _ => cuts = self.others(a).flat_map(|other| [(a, other), (other, a)]).collect(),
        }
        let length = self.dice.within(SECOND, 900 * SECOND);
        self.story.tell(self.now, || format!("cut for {} s: {cuts:?}", length / SECOND));
        for (from, to) in cuts {
            self.links[usize::from(from) - 1][usize::from(to) - 1] = false;
            self.later(length, Event::Mend(from, to));
        }
    }

    fn heal(&mut self) {
        self.story.tell(self.now, || "all heals".to_owned());
        self.healing = true;
        self.links.iter_mut().flatten().for_each(|link| *link = true);
    }

    fn ask(&mut self, call: usize) {
        let ask = self.calls.question(call, &self.plan);
        let (home, asked) = (self.calls.all[call].home, self.calls.all[call].asked);
        self.later(3 * SECOND, Event::NoAnswer { call, asked });
        if self.somebody_fails(home) {
            self.calls.excused.insert(ask.id);
        }
        self.with(home, |site, now| site.ask(now, ask));
    }

    /// The switch has waited long enough for the question with this number.
    fn no_answer(&mut self, call: usize, asked: u32) {
        let it = &self.calls.all[call];
        if it.asked != asked || it.cost.is_some() || it.up {
            return;
        }
        if self.fault(Fault::AskAgain) && asked < 3 {
            self.calls.all[call].home = self.any_site();
            return self.ask(call);
        }
        self.calls.all[call].cost = Some(Amount::ZERO);
        let site = self.calls.all[call].home;
        self.later(0, Event::End { call, site });
    }

    fn answered(&mut self, me: SiteNo, answer: Answer) {
        let Some((index, ask)) = self.calls.asks.remove(&answer.ask) else { return };
        self.proof_of_failure(me, &answer, &ask.line);
        let now = self.now;
        let call = &mut self.calls.all[index];
        if call.home != me || call.cost.is_some() {
            return;
        }
        match answer.outcome {
            Ok(granted) => {
                call.asked += 1;
                call.held_seconds = granted.held_seconds;
                if !call.up {
                    call.up = true;
                    call.answered_at = Some(now + call.ring);
                }
                self.next_turn(index);
            }
            Err(_) if call.up => {}
            Err(_) => {
                call.asked += 1;
                call.cost = Some(Amount::ZERO);
                self.tally.refused += 1;
            }
        }
    }

    /// When a call that is up is extended next, and when it ends.
    fn next_turn(&mut self, index: usize) {
        let late_cut = if self.dice.chance(50) { self.dice.within(0, 10 * SECOND) } else { 0 };
        let Call { turn, answered_at, held_seconds, talk, once, .. } = &mut self.calls.all[index];
        *turn += 1;
        let (turn, answered_at) = (*turn, answered_at.unwrap_or(self.now));
        let held = i64::from(*held_seconds) * SECOND;
        let (extends, end) = match *talk {
            None => (false, answered_at),
            Some(talk) if talk <= held => (false, answered_at + talk),
            Some(_) => (once.is_none(), answered_at + held + late_cut),
        };
        if extends {
            self.at(answered_at + held / 5 * 4, Event::Extend { call: index, turn });
        }
        self.at(end, Event::HangUp { call: index, turn });
    }

    fn hang_up(&mut self, call: usize) {
        let cost = self.calls.cost(call, self.now);
        self.calls.all[call].cost = Some(cost);
        for (site, after) in self.calls.ends(call, &self.plan, &mut self.dice) {
            self.later(after, Event::End { call, site });
        }
    }

    fn end(&mut self, call: usize, at: SiteNo) {
        let node = usize::from(at) - 1;
        let it = &self.calls.all[call];
        let Some(cost) = it.cost else { return };
        let (id, line) = (it.id, it.line.clone());
        let starts = self.nodes[node].starts;
        let forgotten = self.plan.mistake == Some(Mistake::EndForgotten) && it.told.get(&at).is_some_and(|s| *s < starts);
        if forgotten && self.nodes[node].site.is_some() {
            let memo = Memo::Charge { call: id, line, held: Amount::ZERO, over: cost };
            return self.write(at, vec![memo]);
        }
        if self.with(at, |site, _| site.end(id, &line, cost)) && self.nodes[node].site.is_some() {
            self.calls.all[call].told.insert(at, starts);
        } else {
            // The switch keeps what it could not tell.
            self.later(5 * SECOND, Event::End { call, site: at });
        }
    }

    /// A call that nobody asked for.
    fn unguarded(&mut self, at: SiteNo) {
        let call = self.calls.draw(&self.plan, &mut self.dice, at);
        let it = &mut self.calls.all[call];
        let cost = Amount(it.offer.cost(1).unwrap_or(0));
        it.cost = Some(cost);
        self.later(0, Event::End { call, site: at });
    }

    /// The reserve is touched only when somebody was asked in vain, or has been silent.
    fn proof_of_failure(&mut self, me: SiteNo, answer: &Answer, line: &LineId) {
        let from_reserve = answer.outcome.as_ref().is_ok_and(|granted| !granted.from_reserve.is_zero());
        if !from_reserve {
            return;
        }
        let excused = self.calls.excused.contains(&answer.ask) || self.somebody_fails(me);
        if !answer.pull_failed || !excused {
            let what = format!("site {me} held from its reserve, and nobody was asked in vain");
            self.broken.get_or_insert(Violation::new("the reserve needs a failed pull", Some(line), what));
        }
    }

    /// Some other site has been silent, or was asked in vain.
    fn somebody_fails(&self, me: SiteNo) -> bool {
        let node = &self.nodes[usize::from(me) - 1];
        let silent = |other: SiteNo| self.now - node.heard[usize::from(other) - 1] > self.silent_after();
        self.others(me).any(silent) || node.pulls.values().any(|at| self.now - at >= PULL_WAIT)
    }

    /// Sites that folded the same frames have the same state.
    fn equal_prefixes(&self) -> Result<(), Violation> {
        let up: Vec<&Site> = self.nodes.iter().filter_map(|node| node.site.as_ref()).collect();
        let folded = |site: &Site| (1..=self.plan.sites).map(|of| site.folded(of)).collect::<Vec<_>>();
        for pair in up.windows(2) {
            if folded(pair[0]) == folded(pair[1]) && pair[0].credit() != pair[1].credit() {
                let what = format!("sites {} and {} differ at {:?}", pair[0].me(), pair[1].me(), folded(pair[0]));
                return Err(Violation::new("equal streams, equal state", None, what));
            }
        }
        Ok(())
    }

    fn at_rest(&self) -> Result<(), Violation> {
        for node in &self.nodes {
            let Some(site) = &node.site else {
                return Err(Violation::new("every site comes back", None, String::new()));
            };
            let lacks = (1..=self.plan.sites).find(|of| site.folded(*of) as usize != self.streams[usize::from(*of) - 1].len());
            if let Some(of) = lacks {
                let what = format!("site {} has not all of stream {of}", site.me());
                return Err(Violation::new("all frames arrive", None, what));
            }
            if *site.credit() != self.union.credit {
                let what = format!("site {} differs from the union", site.me());
                return Err(Violation::new("equal streams, equal state", None, what));
            }
            for line in self.limits.keys() {
                let pending = site.pending_lower(line);
                let left: i128 = (1..=self.plan.sites).map(|of| self.union.credit.rights(line, of).max(0)).sum();
                if pending > 0 && left > 0 {
                    let what = format!("{pending} of the limit still to be taken, {left} left");
                    return Err(Violation::new("a lowered limit is taken where rights are left", Some(line), what));
                }
                for of in self.others(site.me()) {
                    let debt = (-self.union.credit.rights(line, of)).max(0);
                    if site.debt(line, of) != debt {
                        let what = format!("site {} counts {} against site {of}, it is {debt}", site.me(), site.debt(line, of));
                        return Err(Violation::new("the debt that is deducted is the real one", Some(line), what));
                    }
                }
            }
        }
        self.union.at_rest()?;
        self.calls.charged_once(&self.union)
    }
}
