//! What goes from site to site: frames by sequence, messages, announcements; lost, repeated, late.

use super::{Event, Parcel, World};
use crate::check::Violation;
use crate::mistakes::Mistake;
use crate::plan::{Fault, SECOND};
use accounting::credit::{Action, Message, Site, SiteNo};

/// Between two ticks while all that is to be done is to wait.
const SLOW_TICK: i64 = 60 * SECOND;
/// Ticks at the plan's pace before the run is over.
const LAST_TICKS: i64 = 20;

impl World {
    pub(super) fn act(&mut self, me: SiteNo, action: Action) {
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
            Action::Ready { question, .. } => {
                let what = format!("site {me} is told of question {question}, which nobody put");
                self.broken.get_or_insert(Violation::new("answers belong to questions", None, what));
            }
        }
    }

    pub(super) fn send(&mut self, from: SiteNo, to: SiteNo, parcel: Parcel) {
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

    pub(super) fn arrive(&mut self, from: SiteNo, to: SiteNo, parcel: Parcel) {
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
    pub(super) fn hand_over(&mut self, me: SiteNo, to: SiteNo, have: &[u64]) {
        for of in (1..=self.plan.sites).filter(|of| *of != to) {
            let (mine, theirs) =
                (self.nodes[usize::from(me) - 1].copies[usize::from(of) - 1], have[usize::from(of) - 1]);
            if mine > theirs {
                let batch = if self.healing { u64::MAX } else { self.plan.batch };
                let count = (mine - theirs).min(batch);
                self.send(me, to, Parcel::Frames { of, first: theirs + 1, count });
            }
        }
    }

    pub(super) fn fold(&mut self, me: SiteNo, of: SiteNo, first: u64, count: u64) {
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

    pub(super) fn tick(&mut self, me: SiteNo) {
        // What is left to do when all has healed takes hours, and no haste; but sites that tick once a minute take each
        // other for silent, and ask nobody. So at the end they tick as they do.
        let slow = self.healing && self.now < self.end - LAST_TICKS * self.plan.tick - SLOW_TICK;
        self.later(if slow { SLOW_TICK } else { self.plan.tick }, Event::Tick(me));
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
}
