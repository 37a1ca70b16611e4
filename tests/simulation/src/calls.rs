//! Calls as switches have them: asked for, extended, cut, ended late, twice, elsewhere. What they cost is counted here,
//! apart from the sites.

use crate::check::{Union, Violation};
use crate::dice::Dice;
use crate::plan::{CENT, Fault, Plan, SECOND};
use accounting::credit::{Ask, Asked, LineId, Offer, SiteNo};
use facts::{Amount, CallId};
use std::collections::{BTreeMap, BTreeSet};

/// Longest ringing.
pub const RINGING: i64 = 60 * SECOND;

#[derive(Clone, Debug)]
pub struct Call {
    pub id: CallId,
    pub line: LineId,
    pub offer: Offer,
    /// Where it was last asked for.
    pub home: SiteNo,
    /// The switch cannot extend: one hold, of this share of what is there.
    pub once: Option<u32>,
    pub ring: i64,
    /// How long they would talk; nothing for a call that nobody answers.
    pub talk: Option<i64>,
    /// When the held seconds count from.
    pub answered_at: Option<i64>,
    pub held_seconds: u32,
    /// Rises with each change of plan, so that older events of the call are passed over.
    pub turn: u32,
    pub asked: u32,
    /// The switch has heard "yes".
    pub up: bool,
    /// Ended, at this cost.
    pub cost: Option<Amount>,
    /// Sites that have been told the end, with their starts counted then.
    pub told: BTreeMap<SiteNo, u64>,
}

#[derive(Default)]
pub struct Calls {
    pub all: Vec<Call>,
    pub asks: BTreeMap<u64, (usize, Ask)>,
    /// Questions that were put while some other site did not answer.
    pub excused: BTreeSet<u64>,
    asked: u64,
}

pub fn line(number: i64) -> LineId {
    LineId::new(format!("line-{number}"))
}

pub fn call_id(number: u64) -> CallId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    CallId(id)
}

impl Calls {
    /// A new call at a site; its index.
    pub fn draw(&mut self, plan: &Plan, dice: &mut Dice, home: SiteNo) -> usize {
        let number = self.all.len();
        let (first, next) = dice.one_of(&[(60, 60), (30, 6), (1, 1), (60, 1)]);
        let per_minute = i128::from(dice.within(1, 30)) * CENT;
        let share = |seconds: u32| Amount(per_minute * i128::from(seconds) / 60);
        let fee = if dice.chance(200) { 2 * CENT } else { 0 };
        let offer = Offer {
            first: Amount(share(first).0 + fee),
            first_seconds: first,
            next: share(next),
            next_seconds: next,
            decimals: dice.one_of(&[4, 6]),
        };
        let talk = dice.chance(750).then(|| {
            let mean = dice.one_of(&[20, 180, 180, 900]);
            (dice.within(1, 2 * mean) * SECOND + dice.within(0, SECOND)).min(plan.longest_call)
        });
        self.all.push(Call {
            id: call_id(number as u64 + 1),
            line: line(dice.within(1, i64::from(plan.lines))),
            offer,
            home,
            once: dice.chance(150).then(|| dice.one_of(&[1, 2, 4])),
            ring: dice.within(0, RINGING / 2),
            talk,
            answered_at: None,
            held_seconds: 0,
            turn: 0,
            asked: 0,
            up: false,
            cost: None,
            told: BTreeMap::new(),
        });
        number
    }

    /// The switch's question: the first hold, or one more step.
    pub fn question(&mut self, index: usize, plan: &Plan) -> Ask {
        let call = &mut self.all[index];
        call.asked += 1;
        self.asked += 1;
        let what = match (call.up, call.once) {
            (true, _) => Asked::Extend { held_seconds: call.held_seconds, step_seconds: plan.step_seconds },
            (false, Some(share)) => {
                Asked::AuthoriseOnce { session_seconds: (plan.longest_call / SECOND) as u32, share }
            }
            (false, None) => Asked::Authorise { step_seconds: plan.step_seconds },
        };
        let ask = Ask { id: self.asked, call: call.id, line: call.line.clone(), offer: call.offer, what };
        self.asks.insert(ask.id, (index, ask.clone()));
        ask
    }

    /// Where and when the end of a call is told, after the hang-up.
    pub fn ends(&self, index: usize, plan: &Plan, dice: &mut Dice) -> Vec<(SiteNo, i64)> {
        let call = &self.all[index];
        let other = |dice: &mut Dice| dice.within(1, i64::from(plan.sites)) as SiteNo;
        let delay = dice.within(0, plan.delay_limit);
        let mut ends = vec![(call.home, delay)];
        if plan.has(Fault::Elsewhere) && dice.chance(plan.elsewhere) {
            let to = other(dice);
            match dice.within(0, 2) {
                0 => ends = vec![(to, delay)],
                1 => ends.push((to, dice.within(0, plan.delay_limit))),
                _ => {
                    let third = other(dice);
                    ends.extend([(to, delay / 2), (third, dice.within(0, 2 * plan.delay_limit))]);
                }
            }
        }
        if plan.has(Fault::LateEnd) && dice.chance(30) {
            let (site, _) = ends[0];
            ends = vec![(site, RINGING + plan.longest_call + plan.delay_limit + dice.within(0, 600 * SECOND))];
        }
        if dice.chance(50) {
            let (site, delay) = ends[0];
            ends.push((site, delay + dice.within(0, 900 * SECOND)));
        }
        ends
    }

    /// What the hang-up at `now` costs, first interval and connect fee included.
    pub fn cost(&self, index: usize, now: i64) -> Amount {
        let call = &self.all[index];
        let Some(answered_at) = call.answered_at.filter(|at| call.talk.is_some() && *at < now) else {
            return Amount::ZERO;
        };
        let seconds = ((now - answered_at) + SECOND - 1) / SECOND;
        let intervals = call.offer.intervals_for(seconds as u32);
        Amount(call.offer.cost(intervals).unwrap_or(0))
    }

    /// A hold may expire only when the call cannot be going on.
    pub fn may_expire(&self, id: CallId, site: SiteNo) -> Result<(), Violation> {
        let number = u64::from_le_bytes(std::array::from_fn(|at| id.0[at]));
        let Some(call) = self.all.get(number.wrapping_sub(1) as usize) else { return Ok(()) };
        if call.up && call.cost.is_none() && call.home == site {
            let what = format!("call {number} goes on at site {site}");
            return Err(Violation::new("a hold expires only when the call cannot be going on", Some(&call.line), what));
        }
        Ok(())
    }

    /// At the end, each answered call whose end was told is charged once, at its true cost; no other is.
    pub fn charged_once(&self, union: &Union) -> Result<(), Violation> {
        for (index, call) in self.all.iter().enumerate() {
            let sites = union.credit.sites(call.id, &call.line);
            let charges: Vec<(SiteNo, i128)> = sites
                .iter()
                .filter_map(|(site, at)| Some((*site, at.charge.filter(|charge| !charge.reversed)?)))
                .map(|(site, charge)| (site, charge.held + charge.over))
                .collect();
            let cost = call.cost.filter(|_| !call.told.is_empty()).map_or(0, |cost| cost.0);
            let right = match charges[..] {
                [] => cost == 0,
                [(_, charged)] => charged == cost && cost > 0,
                _ => false,
            };
            if !right {
                let what = format!("call {} cost {cost}, charged (site, amount): {charges:?}", index + 1);
                return Err(Violation::new("each answered call is charged once, at its cost", Some(&call.line), what));
            }
        }
        Ok(())
    }
}
