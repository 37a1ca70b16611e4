//! Calls that cost more than was held for them: a fold of the ledger's frames, so that whoever tells of them can begin
//! again where it had come and tells of each at least once. A hold that ends with its charge stands in one frame with it,
//! and before it.

use crate::holds::Holds;
use facts::entry::{EntryKind, Gl, Hold, Release, ReleaseWhy};
use facts::notice::{Notice, NoticeKind};
use facts::{Amount, CallId, LedgerEntry};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::VecDeque;

/// Kept until they are told; the oldest are given up beyond it, and counted.
pub const FOUND_MAX: usize = 1_000_000;

/// A hold whose charge is being read.
#[derive(Clone, Debug)]
struct Closing {
    seq: u64,
    hold: Hold,
    end: Release,
    /// The call that is charged: the hold's, or one whose events name the hold.
    call: Option<CallId>,
    /// Line by line of the hold.
    charged: SmallVec<[i128; 1]>,
}

/// Overruns of the frames from one on.
#[derive(Clone, Debug)]
pub struct Overruns {
    site: SmolStr,
    from: u64,
    closing: Option<Closing>,
    found: VecDeque<Notice>,
    lost: u64,
}

impl Overruns {
    /// Frames before `from` have been told of.
    pub fn new(site: SmolStr, from: u64) -> Self {
        Self { site, from, closing: None, found: VecDeque::new(), lost: 0 }
    }

    /// A release of frame `seq`, before it is folded.
    pub fn release(&mut self, holds: &Holds, seq: u64, release: &Release) {
        self.finish();
        if seq < self.from || release.why != ReleaseWhy::Charged {
            return;
        }
        if let Some(hold) = holds.get(release.hold_id).filter(|hold| !hold.is_attempt()) {
            let charged = hold.lines.iter().map(|_| 0).collect();
            self.closing = Some(Closing { seq, hold: hold.clone(), end: *release, call: None, charged });
        }
    }

    /// An entry of frame `seq` that counts.
    pub fn entry(&mut self, seq: u64, entry: &LedgerEntry) {
        let Some(closing) = &mut self.closing else { return };
        let same = entry.call_id.is_some() && closing.call.is_none_or(|call| entry.call_id == Some(call));
        if entry.kind != EntryKind::Charge || closing.seq != seq || !same {
            return self.finish();
        }
        closing.call = entry.call_id;
        for (line, sum) in closing.hold.lines.iter().zip(&mut closing.charged) {
            let sells = |gl| matches!(gl, Gl::ReceivableUnbilled | Gl::ReceivableProvisional);
            let own = entry.postings.iter().filter(|p| p.account == line.account && sells(p.gl));
            *sum = own.fold(*sum, |sum, posting| sum.saturating_add(posting.amount.0));
        }
    }

    fn finish(&mut self) {
        let Some(Closing { seq, hold, end, charged, .. }) = self.closing.take() else { return };
        for (line, charged) in hold.lines.iter().zip(charged).filter(|(line, charged)| *charged > line.amount.0) {
            if self.found.len() >= FOUND_MAX {
                self.found.pop_front();
                self.lost += 1;
            }
            let notice = Notice {
                site: self.site.clone(),
                account: line.account.clone(),
                currency: line.currency,
                kind: NoticeKind::Overrun,
                at: end.at,
                threshold: line.amount,
                value: Amount(charged),
                days: None,
                call_id: Some(hold.call_id),
                id: None,
                frame: Some(seq),
            };
            self.found.push_back(notice.named());
        }
    }

    /// The next overrun of frames up to `durable`.
    pub fn next(&mut self, durable: u64) -> Option<Notice> {
        if self.closing.as_ref().is_some_and(|closing| closing.seq <= durable) {
            self.finish();
        }
        let first = self.found.front()?.frame?;
        if first <= durable { self.found.pop_front() } else { None }
    }

    /// How many were given up since the last question.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorise::tests_support::{config, wish};
    use crate::book::Book;
    use crate::post::{Outcome, PricedCall, entries_for};
    use facts::OccurredAt;
    use facts::entry::LedgerItem;
    use facts::xdr::Position;

    const NOW: OccurredAt = OccurredAt(1_700_000_000_000_000);

    /// The frames of calls that were held 0.60 each: a hold, then its end with its charge.
    fn told(costs: &[&str], from: u64, durable: u64) -> Vec<(u64, String, String)> {
        let (mut book, mut overruns) = (Book::new(), Overruns::new("main".into(), from));
        for (number, cost) in (1..).zip(costs) {
            let key = format!("c{number}");
            let mut rated = PricedCall::from(&crate::sample::rated(&key, ("acme", cost), &[("borea", "9")]));
            let wish = wish(number, "acme");
            rated.call_id = wish.call_id;
            let granted = crate::authorise::authorise(&book, &config(), &mut Default::default(), &wish).unwrap();
            book.apply(Position::default(), &LedgerItem::Hold(Box::new(granted.hold))).unwrap();
            let at = |index| Position { seq: u64::from(number), index };
            let Some(LedgerItem::Release(end)) = book.holds().after(&rated, NOW) else { panic!("it ends") };
            overruns.release(book.holds(), at(0).seq, &end);
            book.apply(at(0), &LedgerItem::Release(end)).unwrap();
            let mut entries = Vec::new();
            entries_for(&rated, (&"xdrs.main.0".into(), at(0)), None, &mut entries);
            for (index, entry) in (1..).zip(&entries) {
                let Outcome::Entry(entry) = entry else { panic!("it is booked") };
                book.apply_entry(at(index), entry).unwrap();
                overruns.entry(at(index).seq, entry);
            }
        }
        let next = || overruns.next(durable);
        let all: Vec<Notice> = std::iter::from_fn(next).collect();
        let ids: std::collections::BTreeSet<_> = all.iter().map(|one| one.id).collect();
        assert!(ids.len() == all.len() && !ids.contains(&None), "each has an id of its own");
        all.into_iter().map(|one| (one.frame.unwrap(), one.threshold.to_string(), one.value.to_string())).collect()
    }

    #[test]
    fn each_call_beyond_its_hold_is_told_with_both_sums_once_its_frame_is_durable_and_none_before_the_start() {
        let costs = ["0.6", "0.7", "0.1", "0.600001", "9"];
        let all = [(2, "0.6", "0.7"), (4, "0.6", "0.600001"), (5, "0.6", "9")]
            .map(|(seq, held, cost)| (seq, held.to_owned(), cost.to_owned()));
        assert_eq!(told(&costs, 0, 9), all);
        assert_eq!(told(&costs, 4, 9), all[1..], "the frame itself is told again");
        assert_eq!(told(&costs, 0, 4), all[..2], "what may yet be lost is not told");
    }
}
