//! Pulls: asking the other sites for rights before anybody is refused, and answering them; what is heard and announced.

use super::messages::{Announced, Announcement, Message, PullId};
use super::site::{Action, Ask, Site};
use super::{GiveWhy, LineId, Memo, SiteNo};
use facts::Amount;
use smallvec::SmallVec;

/// What waits for the answers to a pull.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    what: What,
    deadline: i64,
    /// Sites that have not answered.
    open: SmallVec<[SiteNo; 4]>,
    /// Frames that the answers named.
    need: SmallVec<[(SiteNo, u64); 4]>,
    failed: bool,
}

#[derive(Clone, Debug)]
enum What {
    Ask(Ask),
    /// Whoever asked with this number decides.
    Question(u64),
    Lower(LineId),
}

impl Site {
    /// Pulls what is short for a question; decides at once where nobody can be asked.
    pub(super) fn pull_for(&mut self, now: i64, ask: Ask, full: i128) {
        let line = ask.line.clone();
        let want = full - self.spendable(&line) + self.own_debt(&line) + self.settings.surplus.0;
        self.pull(now, &line, want, What::Ask(ask));
    }

    /// Pulls what is short of `full` on a line for a question that somebody else decides; [`Action::Ready`] says when.
    pub fn pull_for_question(&mut self, now: i64, line: &LineId, full: i128, question: u64) {
        let want = full.saturating_sub(self.spendable(line)) + self.own_debt(line) + self.settings.surplus.0;
        self.pull(now, line, want, What::Question(question));
    }

    pub(super) fn pull_to_lower(&mut self, now: i64, line: &LineId, missing: i128) {
        let under_way = self.waiting.values().any(|w| matches!(&w.what, What::Lower(of) if of == line));
        if !under_way {
            let want = missing + self.own_debt(line);
            self.pull(now, line, want, What::Lower(line.clone()));
        }
    }

    fn own_debt(&self, line: &str) -> i128 {
        (-self.rights(line)).max(0)
    }

    fn pull(&mut self, now: i64, line: &LineId, want: i128, what: What) {
        self.pulls_sent += 1;
        let id = PullId::new(self.settings.me, self.boot, self.pulls_sent);
        let mut open = SmallVec::new();
        let mut failed = false;
        for site in self.peers.keys().copied().collect::<SmallVec<[SiteNo; 4]>>() {
            if self.is_silent(now, site) {
                failed = true;
                continue;
            }
            open.push(site);
            let message = Message::Pull { id, line: line.clone(), want: Amount(want) };
            self.out.push(Action::Send { to: site, message });
        }
        let deadline = now.saturating_add(self.settings.pull_wait);
        self.waiting.insert(id, Waiting { what, deadline, open, need: SmallVec::new(), failed });
        self.finish_waiting(now);
    }

    /// A pull to this site has failed at once.
    pub fn is_silent(&self, now: i64, site: SiteNo) -> bool {
        self.peers.get(&site).is_none_or(|peer| peer.silent || now - peer.heard_at > self.settings.silent_after)
    }

    pub(super) fn heard(&mut self, now: i64, from: SiteNo) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.silent = false;
            peer.heard_at = now;
        }
    }

    /// A message of another site.
    pub fn receive(&mut self, now: i64, from: SiteNo, message: Message) {
        self.heard(now, from);
        match message {
            Message::Announce(announcement) => self.hear(from, announcement),
            Message::Pull { id, line, want } => self.answer_pull(from, id, line, want),
            Message::Answer { id, seq } => {
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.open.retain(|site| *site != from);
                    waiting.need.push((from, seq));
                }
            }
        }
        self.finish_waiting(now);
    }

    fn answer_pull(&mut self, from: SiteNo, id: PullId, line: LineId, want: Amount) {
        if !self.credit.answered(id) && want.0 > 0 && !self.frozen {
            let free = self.rights(&line) - self.debts(&line, Some(from));
            let amount = want.0.min(free);
            if amount > 0 {
                // Refused only beyond the integer range: then nothing is given, and the answer says so by its frames.
                let _ = self.append(Memo::Give { line, to: from, amount: Amount(amount), why: GiveWhy::Pull(id) });
            }
        }
        let message = Message::Answer { id, seq: self.seq() };
        self.out.push(Action::Send { to: from, message });
    }

    fn hear(&mut self, from: SiteNo, mut announcement: Announcement) {
        announcement.lines.sort_unstable_by(|a, b| a.line.cmp(&b.line));
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let newer = |old: &Announcement| (old.orders, old.seq) > (announcement.orders, announcement.seq);
        if announcement.site != from || peer.announced.as_ref().is_some_and(newer) {
            return;
        }
        let lines: Vec<LineId> = announcement.lines.iter().map(|announced| announced.line.clone()).collect();
        peer.announced = Some(announcement);
        self.compare(from);
        if self.settings.repay_at_once {
            for line in &lines {
                self.repay(line);
            }
        }
        self.watch.extend(lines);
    }

    /// Where frames and announcement of a site have reached the same sequence, both must say the same.
    pub(super) fn compare(&mut self, from: SiteNo) {
        let folded = self.folded(from);
        let Some(said) = self.peers.get(&from).and_then(|peer| peer.announced.as_ref()) else { return };
        if said.seq != folded {
            return;
        }
        let empty = super::Row::default();
        let differs = |it: &&Announced| self.credit.row(&it.line, from).unwrap_or(&empty) != &it.row;
        if let Some(wrong) = said.lines.iter().find(differs) {
            let line = wrong.line.clone();
            self.out.push(Action::Mismatch { site: from, seq: folded, line });
        }
    }

    /// Totals of the own frames so far, for all others. `None` while a frame is being written: only what is durable is
    /// announced.
    pub fn announcement(&self) -> Option<Announcement> {
        if !self.open_frame.is_empty() {
            return None;
        }
        let me = self.settings.me;
        let mut lines: Vec<&LineId> = self.credit.lines().collect();
        lines.sort_unstable();
        let lines = lines.into_iter().map(|line| {
            let row = self.credit.row(line, me).cloned().unwrap_or_default();
            let givers = self.credit.rows(line).iter().filter(|(site, _)| *site != me);
            let seen = givers.map(|(site, row)| (*site, row.given_to(me))).filter(|(_, sum)| *sum > 0).collect();
            Announced { line: line.clone(), row, seen }
        });
        Some(Announcement { site: me, orders: 0, seq: self.folded(me), lines: lines.collect() })
    }

    /// Decides what has waited long enough, or for long enough frames.
    pub(super) fn finish_waiting(&mut self, now: i64) {
        let ready = |site: &Self, w: &Waiting| {
            let all = w.open.is_empty() && w.need.iter().all(|(from, seq)| site.folded(*from) >= *seq);
            all || now >= w.deadline
        };
        let done: Vec<PullId> = self.waiting.iter().filter(|(_, w)| ready(self, w)).map(|(id, _)| *id).collect();
        for id in done {
            let Some(waiting) = self.waiting.remove(&id) else { continue };
            for site in &waiting.open {
                if let Some(peer) = self.peers.get_mut(site) {
                    peer.silent = true;
                }
            }
            let failed = waiting.failed || !waiting.open.is_empty();
            match waiting.what {
                What::Ask(ask) => self.decide(now, &ask, failed),
                What::Question(question) => self.out.push(Action::Ready { question, failed }),
                // The tick asks again; until then what has come is taken.
                What::Lower(line) => {
                    self.take_pending(&line);
                }
            }
        }
    }
}
