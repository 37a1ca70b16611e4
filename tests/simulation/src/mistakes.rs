//! Mistakes on purpose (`docs/concepts/credit.md`, "What the simulator finds"). Each is made at a site's mouth, in its settings or in its
//! transport: what the site writes, sends or is fed is altered, and the site is put together anew from the altered
//! stream. So the product carries no switch for them.

use crate::plan::SECOND;
use accounting::credit::site::Granted;
use accounting::credit::{Action, Answer, FrameOut, GiveWhy, Let, LineId, Memo, Message, PullId, Settings, Site};
use accounting::credit::{Ask, Asked, Refusal};
use facts::Amount;

/// One mistake each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mistake {
    /// A pull is answered with what was asked for, whatever is there.
    GiveUnchecked,
    /// A first hold is granted without looking at what is left.
    HoldUnchecked,
    /// An extension is granted without looking at what is left.
    ExtendUnchecked,
    /// A lowered limit is taken whole, whatever is there.
    TakeUnchecked,
    /// What goes beyond the hold is booked as held.
    OverAsHeld,
    /// A hold expires after a minute.
    EarlyExpiry,
    /// The reserve is used though nobody was asked for rights.
    ReserveUnasked,
    /// After a crash, an end that comes again is charged again.
    EndForgotten,
    /// After a crash, the site goes on before its own stream is read to the end.
    ResumeEarly,
    /// A missing frame of another site is passed over.
    FoldOverGap,
    /// A frame that came twice is folded twice.
    FrameTwice,
    /// An announcement names a wrong sequence.
    WrongSequence,
    /// A hold of a call that was charged elsewhere is let go, and its cover stays.
    CoverKept,
    /// A charge that lost against another site's is never reversed.
    NeverReversed,
    /// A line that goes to a lower reserve gives it up whole, whatever it owes.
    ReserveUnderDebt,
}

impl Mistake {
    pub const ALL: [Self; 15] = [
        Self::GiveUnchecked,
        Self::HoldUnchecked,
        Self::ExtendUnchecked,
        Self::TakeUnchecked,
        Self::OverAsHeld,
        Self::EarlyExpiry,
        Self::ReserveUnasked,
        Self::EndForgotten,
        Self::ResumeEarly,
        Self::FoldOverGap,
        Self::FrameTwice,
        Self::WrongSequence,
        Self::CoverKept,
        Self::NeverReversed,
        Self::ReserveUnderDebt,
    ];

    pub(crate) fn set(self, settings: &mut Settings) {
        match self {
            Self::EarlyExpiry => settings.call_limit = 60 * SECOND,
            Self::ReserveUnasked => settings.silent_after = -1,
            _ => {}
        }
    }
}

/// What is about to be written and sent.
pub(crate) struct Mouth<'a> {
    pub site: &'a Site,
    pub frame: &'a mut Option<FrameOut>,
    pub actions: &'a mut [Action],
    /// The pull that the site has just been asked, with its line and amount.
    pub pull: Option<&'a (PullId, LineId, Amount)>,
    /// The question with this number.
    pub asked: &'a dyn Fn(u64) -> Option<Ask>,
}

impl Mouth<'_> {
    /// Makes the mistake where it can be made; true when the site's stream is now another one.
    pub fn alter(&mut self, mistake: Mistake) -> bool {
        match mistake {
            Mistake::GiveUnchecked => self.give(),
            Mistake::HoldUnchecked => self.hold(false),
            Mistake::ExtendUnchecked => self.hold(true),
            Mistake::TakeUnchecked => self.each(|site, memo| {
                let Memo::Take { line, amount, .. } = memo else { return false };
                let pending = site.pending_lower(line);
                amount.0 += pending;
                pending > 0
            }),
            Mistake::OverAsHeld => self.each(|_, memo| {
                let Memo::Charge { held, over, .. } = memo else { return false };
                let wrong = !over.is_zero();
                held.0 += over.0;
                *over = Amount::ZERO;
                wrong
            }),
            Mistake::CoverKept => self.each(|_, memo| {
                let Memo::Release { why: Let::ChargedElsewhere { passed, .. }, .. } = memo else { return false };
                let wrong = !passed.is_zero();
                *passed = Amount::ZERO;
                wrong
            }),
            Mistake::ReserveUnderDebt => self.each(|site, memo| {
                let Memo::Reserve { line, amount } = memo else { return false };
                // Lowered as far as the debt: no further is right.
                let wrong = amount.0 > 0 && amount.0 == -site.credit().rights(line, site.me());
                if wrong {
                    *amount = Amount::ZERO;
                }
                wrong
            }),
            Mistake::NeverReversed => {
                let Some(frame) = self.frame.as_mut() else { return false };
                let before = frame.memos.len();
                frame.memos.retain(|memo| !matches!(memo, Memo::Reverse { .. }));
                let wrong = frame.memos.len() < before;
                if frame.memos.is_empty() {
                    *self.frame = None;
                }
                wrong
            }
            // Made where frames, ends and announcements pass, or in the settings.
            Mistake::EarlyExpiry
            | Mistake::ReserveUnasked
            | Mistake::EndForgotten
            | Mistake::ResumeEarly
            | Mistake::FoldOverGap
            | Mistake::FrameTwice
            | Mistake::WrongSequence => false,
        }
    }

    fn each(&mut self, mut alter: impl FnMut(&Site, &mut Memo) -> bool) -> bool {
        let site = self.site;
        let memos = self.frame.iter_mut().flat_map(|frame| &mut frame.memos);
        memos.map(|memo| alter(site, memo)).filter(|altered| *altered).count() > 0
    }

    fn add(&mut self, memo: Memo) {
        // `take` has counted the frame if there was one.
        let seq = self.site.folded(self.site.me()) + 1;
        self.frame.get_or_insert_with(|| FrameOut { seq, inputs: Vec::new(), memos: Vec::new() }).memos.push(memo);
    }

    fn give(&mut self) -> bool {
        let Some((pull, line, want)) = self.pull else { return false };
        let answers = self.actions.iter().find_map(|action| match action {
            Action::Send { to, message: Message::Answer { id, .. } } if id == pull => Some(*to),
            _ => None,
        });
        let Some(to) = answers else { return false };
        let memos = self.frame.iter_mut().flat_map(|frame| &mut frame.memos);
        for memo in memos {
            if let Memo::Give { amount, why: GiveWhy::Pull(id), .. } = memo
                && id == pull
            {
                *amount = *want;
                return true;
            }
        }
        if self.site.credit().answered(*pull) {
            return false;
        }
        self.add(Memo::Give { line: line.clone(), to, amount: *want, why: GiveWhy::Pull(*pull) });
        true
    }

    fn hold(&mut self, extends: bool) -> bool {
        let mut added = Vec::new();
        for action in self.actions.iter_mut() {
            let Action::Answer(Answer { ask, outcome: outcome @ Err(Refusal::Credit), .. }) = action else { continue };
            let Some(ask) = (self.asked)(*ask) else { continue };
            let (from, seconds) = match ask.what {
                Asked::Extend { held_seconds, step_seconds } if extends => {
                    (ask.offer.intervals_for(held_seconds), held_seconds + step_seconds)
                }
                Asked::Authorise { step_seconds } if !extends => (0, step_seconds),
                _ => continue,
            };
            let intervals = ask.offer.intervals_for(seconds).max(from + 1);
            let cost = |intervals| ask.offer.cost(intervals).unwrap_or(0);
            let (call, line, seconds) = (ask.call, ask.line.clone(), ask.offer.seconds(intervals));
            let memo = if extends {
                Memo::Extend { call, line, amount: Amount(cost(intervals) - cost(from)), seconds }
            } else {
                Memo::Hold { call, line, amount: Amount(cost(intervals)), seconds, until: i64::MAX / 2 }
            };
            let held = Amount(cost(intervals));
            let (held_seconds, allowed_seconds) = (seconds, seconds);
            *outcome = Ok(Granted { held_seconds, allowed_seconds, held, from_reserve: Amount::ZERO });
            added.push(memo);
        }
        let altered = !added.is_empty();
        for memo in added {
            self.add(memo);
        }
        altered
    }
}
