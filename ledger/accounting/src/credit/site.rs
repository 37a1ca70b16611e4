//! One site's decisions: authorise, extend, end. What is appended is folded at once; the process takes the frame,
//! makes it durable, and only then sends the answers and messages that came out with it.

use super::fold::{AtSite, Credit, FoldRefusal};
use super::messages::{Announcement, Message, PullId};
use super::pull::Waiting;
use super::{Let, LineId, Memo, Offer, Pot, SiteNo};
use facts::{Amount, CallId};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// What a site is told about itself and the others.
#[derive(Clone, Debug)]
pub struct Settings {
    pub me: SiteNo,
    /// All sites, this one too, rising.
    pub sites: Vec<SiteNo>,
    /// The one that writes the configuration: it alone grants and takes limits.
    pub config_site: SiteNo,
    /// How long a pull is waited for, microseconds (design: 2 s).
    pub pull_wait: i64,
    /// A site not heard of for so long is silent: a pull to it has failed at once (design: three announcements).
    pub silent_after: i64,
    /// Longest ringing + maximum duration + delay limit: what stands in a Hold as its end.
    pub call_limit: i64,
    /// Asked for beside what is short, so that not every call pulls.
    pub surplus: Amount,
    /// Debts of others are repaid when they are heard of, not only with the tick.
    pub repay_at_once: bool,
}

/// A switch's question; `id` comes back with the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    pub id: u64,
    pub call: CallId,
    pub line: LineId,
    pub offer: Offer,
    pub what: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Connect fee, first interval and a step.
    Authorise { step_seconds: u32 },
    /// One hold for the whole call: the lesser of `session_seconds` and what is available / `share` (at least 1).
    AuthoriseOnce { session_seconds: u32, share: u32 },
    /// A step more, when `held_seconds` are held.
    Extend { held_seconds: u32, step_seconds: u32 },
}

/// Why nothing was held. Closed; in the order in which they are looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refusal {
    /// The call has been charged or released already.
    Ended,
    /// An extension of a call that has no hold here.
    NoHold,
    /// The offer's amounts leave the integer range.
    Range,
    /// Less than connect fee and first interval (or one next interval) is left.
    Credit,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Bind: cut the call at their end unless extended.
    pub held_seconds: u32,
    /// Advice: what is available at this rate.
    pub allowed_seconds: u32,
    pub held: Amount,
    /// Of this answer's hold, what came out of the reserve.
    pub from_reserve: Amount,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub ask: u64,
    pub outcome: Result<Granted, Refusal>,
    /// A pull for it failed: the only case in which the reserve may be used.
    pub pull_failed: bool,
}

/// What a site wants done once its frame is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Answer(Answer),
    Send {
        to: SiteNo,
        message: Message,
    },
    /// The pull for a question is over: decide. `failed`: a site did not answer, so the reserve may be used.
    Ready {
        question: u64,
        failed: bool,
    },
    /// A site announced other totals than its frames up to there come to.
    Mismatch {
        site: SiteNo,
        seq: u64,
        line: LineId,
    },
}

/// The memo entries of the next frame of the own stream, and how far the others' streams are folded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameOut {
    pub seq: u64,
    pub inputs: Vec<(SiteNo, u64)>,
    pub memos: Vec<Memo>,
}

/// What is known of another site beside its frames; lost in a crash without harm.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub announced: Option<Announcement>,
    pub silent: bool,
    pub heard_at: i64,
}

/// A site's credit.
#[derive(Clone, Debug)]
pub struct Site {
    pub(super) settings: Settings,
    pub(super) credit: Credit,
    /// Per site, this one too: the last frame folded.
    pub(super) folded: BTreeMap<SiteNo, u64>,
    pub(super) open_frame: Vec<Memo>,
    pub(super) out: Vec<Action>,
    pub(super) peers: BTreeMap<SiteNo, Peer>,
    pub(super) waiting: BTreeMap<PullId, Waiting>,
    /// Own open holds by their end.
    pub(super) due: BTreeSet<(i64, CallId, LineId)>,
    /// Lines that the next tick looks at.
    pub(super) watch: BTreeSet<LineId>,
    pub(super) limits: BTreeMap<LineId, Amount>,
    /// Lines whose lowered limit waits for rights.
    pub(super) lowering: BTreeSet<LineId>,
    pub(super) reserves: BTreeMap<LineId, Amount>,
    pub(super) boot: u64,
    pub(super) pulls_sent: u64,
    /// What was set aside here is not known: no rights leave.
    pub(super) frozen: bool,
}

impl Site {
    /// A site that has folded nothing. `boot` differs from start to start.
    pub fn new(settings: Settings, boot: u64, now: i64) -> Self {
        let others = settings.sites.iter().filter(|site| **site != settings.me);
        let peers = others.map(|site| (*site, Peer { heard_at: now, ..Peer::default() })).collect();
        Self {
            settings,
            credit: Credit::default(),
            folded: BTreeMap::new(),
            open_frame: Vec::new(),
            out: Vec::new(),
            peers,
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            watch: BTreeSet::new(),
            limits: BTreeMap::new(),
            lowering: BTreeSet::new(),
            reserves: BTreeMap::new(),
            boot,
            pulls_sent: 0,
            frozen: false,
        }
    }

    pub fn me(&self) -> SiteNo {
        self.settings.me
    }

    pub fn credit(&self) -> &Credit {
        &self.credit
    }

    /// Last frame of a site folded here; of the own stream the last one taken.
    pub fn folded(&self, site: SiteNo) -> u64 {
        self.folded.get(&site).copied().unwrap_or(0)
    }

    /// The next frame, if anything was appended, and what to do once it is durable.
    pub fn take(&mut self) -> (Option<FrameOut>, Vec<Action>) {
        let actions = std::mem::take(&mut self.out);
        if self.open_frame.is_empty() {
            return (None, actions);
        }
        let seq = self.folded(self.settings.me) + 1;
        let me = self.settings.me;
        let inputs = self.folded.iter().filter(|(site, _)| **site != me).map(|(site, seq)| (*site, *seq)).collect();
        self.folded.insert(me, seq);
        (Some(FrameOut { seq, inputs, memos: std::mem::take(&mut self.open_frame) }), actions)
    }

    /// Frame in which the entries appended so far will stand.
    pub(super) fn seq(&self) -> u64 {
        self.folded(self.settings.me) + u64::from(!self.open_frame.is_empty())
    }

    /// Appends to the own stream and folds. What was checked before cannot be refused; a refusal is kept out.
    pub(super) fn append(&mut self, memo: Memo) -> Result<(), FoldRefusal> {
        self.credit.apply(self.settings.me, &memo)?;
        if let Memo::Hold { call, line, until, .. } = &memo {
            self.due.insert((*until, *call, line.clone()));
        }
        self.watch.insert(memo.line().clone());
        self.open_frame.push(memo);
        Ok(())
    }

    /// A switch asks. The answer comes as an [`Action`], at once or after a pull.
    pub fn ask(&mut self, now: i64, ask: Ask) {
        if let Some(answer) = self.known(now, &ask) {
            return self.out.push(Action::Answer(answer));
        }
        match self.wanted(now, &ask) {
            None => self.refuse(&ask, Refusal::Range, false),
            Some(full) if self.spendable(&ask.line) >= full => self.decide(now, &ask, false),
            Some(full) => self.pull_for(now, ask, full),
        }
    }

    /// The answer that does not depend on what is left: the same as before, or that there is nothing to hold.
    fn known(&self, now: i64, ask: &Ask) -> Option<Answer> {
        let at = self.credit.at(ask.call, &ask.line, self.settings.me);
        let answer = |outcome| Some(Answer { ask: ask.id, outcome, pull_failed: false });
        if self.is_settled(ask.call, &ask.line) {
            return answer(Err(Refusal::Ended));
        }
        let same = |held: &super::fold::OpenHold| {
            let allowed_seconds = self.allowed(now, ask, held.seconds);
            let (held_seconds, held) = (held.seconds, Amount(held.amount));
            Granted { held_seconds, allowed_seconds, held, from_reserve: Amount::ZERO }
        };
        match (ask.what, &at.hold) {
            (Asked::Extend { .. }, None) => answer(Err(Refusal::NoHold)),
            (Asked::Extend { held_seconds, .. }, Some(hold)) if hold.seconds > held_seconds => answer(Ok(same(hold))),
            (Asked::Extend { .. }, Some(_)) | (_, None) => None,
            (_, Some(hold)) => answer(Ok(same(hold))),
        }
    }

    /// This site charged the call, reversed its charge or released it as charged elsewhere, or a charge is in effect.
    fn is_settled(&self, call: CallId, line: &LineId) -> bool {
        let at = self.credit.at(call, line, self.settings.me);
        at.charge.is_some() || at.elsewhere || self.credit.winner(call, line).is_some()
    }

    /// What the full step costs; `None` beyond the range.
    fn wanted(&self, now: i64, ask: &Ask) -> Option<i128> {
        let (from, most) = self.steps(now, ask);
        let paid = from.map_or(Some(0), |from| ask.offer.cost(from))?;
        Some(ask.offer.cost(most)? - paid)
    }

    /// Intervals held already (none before the first hold), and in all after a full step.
    fn steps(&self, now: i64, ask: &Ask) -> (Option<u32>, u32) {
        let offer = &ask.offer;
        match ask.what {
            Asked::Authorise { step_seconds } => {
                (None, offer.intervals_for(offer.first_seconds.saturating_add(step_seconds)))
            }
            Asked::AuthoriseOnce { session_seconds, share } => {
                let most = session_seconds.saturating_sub(offer.first_seconds) / offer.next_seconds.max(1);
                let money = self.available(now, &ask.line) / i128::from(share.max(1));
                (None, offer.fit(None, money, most).unwrap_or(0))
            }
            Asked::Extend { held_seconds, step_seconds } => {
                let held = offer.intervals_for(held_seconds);
                (Some(held), held.saturating_add(step_seconds.div_ceil(offer.next_seconds.max(1))))
            }
        }
    }

    /// Holds what fits, or refuses. `failed`: a pull for it failed, so the reserve may be used.
    pub(super) fn decide(&mut self, now: i64, ask: &Ask, failed: bool) {
        if let Some(mut answer) = self.known(now, ask) {
            answer.pull_failed = failed;
            return self.out.push(Action::Answer(answer));
        }
        let spendable = self.spendable(&ask.line);
        let money = spendable + if failed { self.reserve_left(&ask.line) } else { 0 };
        let (from, most) = self.steps(now, ask);
        let Some(intervals) = ask.offer.fit(from, money, most) else {
            return self.refuse(ask, Refusal::Credit, failed);
        };
        if from == Some(intervals) {
            return self.refuse(ask, Refusal::Credit, failed);
        }
        let paid = from.map_or(Some(0), |from| ask.offer.cost(from));
        let Some(amount) = ask.offer.cost(intervals).zip(paid).map(|(cost, paid)| cost - paid) else {
            return self.refuse(ask, Refusal::Range, failed);
        };
        let (call, line, seconds) = (ask.call, ask.line.clone(), ask.offer.seconds(intervals));
        let until = now.saturating_add(self.settings.call_limit);
        let memo = match from {
            None => Memo::Hold { call, line, amount: Amount(amount), seconds, until },
            Some(_) => Memo::Extend { call, line, amount: Amount(amount), seconds },
        };
        if self.append(memo).is_err() {
            return self.refuse(ask, Refusal::Range, failed);
        }
        let from_reserve = Amount((amount - spendable).max(0));
        let held = Amount(self.at(ask).hold.map_or(0, |hold| hold.amount));
        let allowed_seconds = self.allowed(now, ask, seconds);
        let granted = Granted { held_seconds: seconds, allowed_seconds, held, from_reserve };
        self.out.push(Action::Answer(Answer { ask: ask.id, outcome: Ok(granted), pull_failed: failed }));
    }

    fn at(&self, ask: &Ask) -> AtSite {
        self.credit.at(ask.call, &ask.line, self.settings.me)
    }

    fn refuse(&mut self, ask: &Ask, refusal: Refusal, pull_failed: bool) {
        self.out.push(Action::Answer(Answer { ask: ask.id, outcome: Err(refusal), pull_failed }));
    }

    /// Seconds that could be had at this rate when `held` are held; equal to them where nothing can be extended.
    fn allowed(&self, now: i64, ask: &Ask, held: u32) -> u32 {
        if let Asked::AuthoriseOnce { .. } = ask.what {
            return held;
        }
        let held_intervals = ask.offer.intervals_for(held);
        let money = self.available(now, &ask.line);
        ask.offer.fit(Some(held_intervals), money, held_intervals.saturating_add(86_400)).map_or(held, |intervals| {
            if ask.offer.next.0 == 0 { held.saturating_add(86_400) } else { ask.offer.seconds(intervals).max(held) }
        })
    }

    /// The true end of a call. Its own charge, reversal or release elsewhere, or any charge in effect, makes it a no-op.
    pub fn end(&mut self, call: CallId, line: &LineId, cost: Amount) {
        let me = self.settings.me;
        let at = self.credit.at(call, line, me);
        if self.is_settled(call, line) {
            return;
        }
        let line = line.clone();
        let memo = match at.hold {
            Some(_) if cost.is_zero() => Memo::Release { call, line, why: Let::Ended },
            None if cost.is_zero() => return,
            hold => {
                let held = hold.map_or(0, |hold| hold.amount).min(cost.0);
                Memo::Charge { call, line, held: Amount(held), over: Amount(cost.0 - held) }
            }
        };
        // Refused only beyond the integer range; the process lists it by the charge's own posting rules.
        let _ = self.append(memo);
    }

    /// Money came in at this site.
    pub fn pay(&mut self, line: &LineId, amount: Amount) -> Result<(), FoldRefusal> {
        self.append(Memo::Grant { line: line.clone(), pot: Pot::Funds, amount })
    }

    /// Folds the next frame of another site. Calls that it names are settled before anything is authorised.
    pub fn fold(&mut self, now: i64, from: SiteNo, seq: u64, memos: &[Memo]) -> Result<bool, FoldRefusal> {
        self.heard(now, from);
        if seq != self.folded(from) + 1 {
            return Ok(false);
        }
        self.credit.apply_frame(from, memos)?;
        self.folded.insert(from, seq);
        let calls: SmallVec<[(CallId, LineId); 8]> =
            memos.iter().filter_map(|memo| Some((memo.call()?, memo.line().clone()))).collect();
        for (call, line) in calls {
            self.settle(call, &line);
        }
        for memo in memos {
            self.watch.insert(memo.line().clone());
        }
        self.compare(from);
        self.adjust_limits(now);
        self.finish_waiting(now);
        Ok(true)
    }
}
