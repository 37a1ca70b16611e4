//! What people and switches do: calls from question to end, payments, limits, cuts.

use super::{Event, World};
use crate::calls::{Call, line};
use crate::mistakes::Mistake;
use crate::plan::{CENT, Fault, SECOND};
use accounting::credit::{Answer, Memo, SiteNo};
use facts::Amount;

impl World {
    pub(super) fn operation(&mut self, left: u32) {
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
            18 if self.plan.has(Fault::Mode) => {
                let permille = self.dice.one_of(&[0, 0, 50, 100, 400, 1_000]);
                self.story.tell(self.now, || format!("the reserve of {line} is now {permille} permille of its limit"));
                self.modes.insert(line, permille);
                for me in 1..=self.plan.sites {
                    self.configure(me);
                }
            }
            _ => {
                let call = self.calls.draw(&self.plan, &mut self.dice, at);
                self.tally.calls += 1;
                self.ask(call);
            }
        }
    }

    /// One link, one way or both, or a whole site, for a while.
    pub(super) fn cut(&mut self) {
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

    pub(super) fn ask(&mut self, call: usize) {
        let ask = self.calls.question(call, &self.plan);
        let (home, asked) = (self.calls.all[call].home, self.calls.all[call].asked);
        self.later(3 * SECOND, Event::NoAnswer { call, asked });
        if self.somebody_fails(home) {
            self.calls.excused.insert(ask.id);
        }
        self.with(home, |site, now| site.ask(now, ask));
    }

    /// The switch has waited long enough for the question with this number.
    pub(super) fn no_answer(&mut self, call: usize, asked: u32) {
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

    pub(super) fn answered(&mut self, me: SiteNo, answer: Answer) {
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
    pub(super) fn next_turn(&mut self, index: usize) {
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

    pub(super) fn hang_up(&mut self, call: usize) {
        let cost = self.calls.cost(call, self.now);
        self.calls.all[call].cost = Some(cost);
        for (site, after) in self.calls.ends(call, &self.plan, &mut self.dice) {
            self.later(after, Event::End { call, site });
        }
    }

    pub(super) fn end(&mut self, call: usize, at: SiteNo) {
        let node = usize::from(at) - 1;
        let it = &self.calls.all[call];
        let Some(cost) = it.cost else { return };
        let (id, line) = (it.id, it.line.clone());
        let starts = self.nodes[node].starts;
        let forgotten =
            self.plan.mistake == Some(Mistake::EndForgotten) && it.told.get(&at).is_some_and(|s| *s < starts);
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
    pub(super) fn unguarded(&mut self, at: SiteNo) {
        let call = self.calls.draw(&self.plan, &mut self.dice, at);
        let it = &mut self.calls.all[call];
        let cost = Amount(it.offer.cost(1).unwrap_or(0));
        it.cost = Some(cost);
        self.later(0, Event::End { call, site: at });
    }
}
