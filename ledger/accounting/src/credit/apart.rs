//! The rules over a fold that somebody else keeps: the ledger's process, whose books hold more than rights. It hands in
//! rows before each question and takes the entries out after it; everything between is what the simulator runs.

use super::messages::Announcement;
use super::row::Row;
use super::site::{Action, Site};
use super::{LineId, Memo, PullId, SiteNo};

impl Site {
    /// The totals of a site on a line, as its stream is folded now.
    pub fn set_row(&mut self, line: &LineId, site: SiteNo, row: Row) {
        self.credit.set_row(line, site, row);
    }

    /// This pull stands answered in the own stream.
    pub fn set_answered(&mut self, pull: PullId) {
        self.credit.set_answered(pull);
    }

    /// How far a stream is folded; of the own one, how far its frames are written.
    pub fn set_folded(&mut self, site: SiteNo, seq: u64) {
        self.folded.insert(site, seq);
    }

    /// A frame of another site has been folded and its lines have been handed in: what follows from it.
    pub fn folded_apart(&mut self, now: i64, from: SiteNo, seq: u64, lines: impl IntoIterator<Item = LineId>) {
        self.heard(now, from);
        self.folded.insert(from, seq);
        self.watch.extend(lines);
        self.compare(from);
        self.adjust_limits(now);
        self.finish_waiting(now);
    }

    /// Something moved on a line here.
    pub fn touch(&mut self, line: &LineId) {
        self.watch.insert(line.clone());
    }

    /// Lines that the next tick looks at: their rows are to be handed in before it.
    pub fn watched(&self) -> impl Iterator<Item = &LineId> {
        self.watch.iter()
    }

    /// Heard of a site by other means than a message.
    pub fn heard_at(&mut self, site: SiteNo, at: i64) {
        if let Some(peer) = self.peers.get_mut(&site)
            && at > peer.heard_at
        {
            peer.silent = false;
            peer.heard_at = at;
        }
    }

    /// What a site said last of its own totals.
    pub fn announced(&self, site: SiteNo) -> Option<&Announcement> {
        self.peers.get(&site)?.announced.as_ref()
    }

    /// What a site said last counts no more: the frames that it spoke of are lost with its disk. Returns it.
    pub fn forget_announced(&mut self, site: SiteNo) -> Option<Announcement> {
        self.peers.get_mut(&site)?.announced.take()
    }

    /// True: what was set aside here is not known (its disk was lost), so that no rights leave for a pull or a debt. Pulls
    /// are answered all the same: nothing is given, and nobody has to wait.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// When a site was last heard of, microseconds.
    pub fn last_heard(&self, site: SiteNo) -> Option<i64> {
        self.peers.get(&site).map(|peer| peer.heard_at)
    }

    /// Decides what has waited for long enough.
    pub fn wait_over(&mut self, now: i64) {
        if !self.waiting.is_empty() {
            self.finish_waiting(now);
        }
    }

    /// Debts of all other sites on a line, as far as they are heard of.
    pub fn debts_of_others(&self, line: &str) -> i128 {
        self.debts(line, None)
    }

    /// The entries to be written, in order, and what to do once they are durable.
    pub fn drain(&mut self) -> (Vec<Memo>, Vec<Action>) {
        // Which pulls are answered stands in the books.
        self.credit.forget_pulls();
        (std::mem::take(&mut self.open_frame), std::mem::take(&mut self.out))
    }
}
