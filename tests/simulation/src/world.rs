//! The world: sites, what they wrote, what is on its way between them, and time. One event after another, drawn from
//! the seed.

mod rest;
mod traffic;
mod transport;

use crate::calls::{Calls, RINGING, line};
use crate::check::{Union, Violation};
use crate::dice::Dice;
use crate::mistakes::{Mistake, Mouth};
use crate::plan::{CENT, Fault, Plan, SECOND};
use crate::story::Story;
use accounting::credit::{Let, LineId, Memo, Message, PullId, Settings, Site, SiteNo};
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
    /// The reserve of all sites, in permille of the limit, where it is another one than at the beginning.
    modes: BTreeMap<LineId, i64>,
    healing: bool,
    /// When the run is over, once all has healed.
    end: i64,
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
            modes: BTreeMap::new(),
            healing: false,
            end: i64::MAX,
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
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > self.end {
                break;
            }
            self.now = at;
            self.tally.events += 1;
            self.happen(event);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
            if self.tally.events.is_multiple_of(64) {
                self.equal_prefixes()?;
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
        for (line, limit) in self.limits.clone() {
            let reserve = Amount(self.reserve_of(&line));
            self.with(me, |site, now| {
                if me == 1 {
                    site.set_limit(now, &line, Amount(limit));
                }
                site.set_reserve(&line, reserve);
            });
        }
    }

    /// A site's reserve as the configuration has it.
    fn reserve_of(&self, line: &LineId) -> i128 {
        let permille = i128::from(self.modes.get(line).copied().unwrap_or(self.plan.reserve));
        self.limits[line] * permille / 1_000 / i128::from(self.plan.sites)
    }

    fn heal(&mut self) {
        self.story.tell(self.now, || "all heals".to_owned());
        self.healing = true;
        // Longer than any hold lives, any end is late, and any debt needs to be repaid.
        let limit = RINGING + self.plan.longest_call + self.plan.delay_limit;
        self.end = self.now + 2 * limit + 1_800 * SECOND + 3_000 * SECOND;
        self.links.iter_mut().flatten().for_each(|link| *link = true);
    }
}
