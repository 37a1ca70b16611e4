//! Calls that stand in two streams (design 8.5, 8.8): whose entries stay, what the other site takes back, and
//! what counts twice until it has.

use accounting::credit::{Claim, Owed, cover, owed, winner};
use accounting::post::CHARGED_ELSEWHERE;
use accounting::{CurrentCall, PricedCall};
use facts::entry::{ESTIMATED, Elsewhere, EntryKind, Give, GiveWhy, Hold, LedgerItem, ReleaseWhy, hold_id};
use facts::ids::OriginId;
use facts::{Amount, CallId, LedgerEntry, OccurredAt};
use schemas::FrameView;
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};
use std::collections::{HashMap, VecDeque};

use super::sites::Sites;
use super::{Core, wall_micros};
use crate::error::LedgerError;
use crate::frames::ledger_item;
use crate::sites::Double;

/// Holds of other sites remembered after their charge.
pub(super) const ENDED_MAX: usize = 100_000;

/// What was set aside by accounts when a hold of another site ended with its charge, lately: its charge is `over` only
/// beyond that. One that is not remembered counts as covering nothing, and then more cover goes along than is needed:
/// rights that move, and none that are made.
#[derive(Default)]
pub(super) struct Ended {
    by_call: HashMap<(u16, CallId), Vec<(SmolStr, i128)>>,
    order: VecDeque<(u16, CallId)>,
}

/// Site, call, and what was set aside by accounts.
pub(super) type EndedRow = (u16, CallId, Vec<(SmolStr, i128)>);

impl Ended {
    pub fn note(&mut self, site: u16, hold: &Hold, most: usize) {
        let lines = hold.lines.iter().map(|line| (line.account.clone(), line.amount.0)).collect();
        if self.by_call.insert((site, hold.call_id), lines).is_none() {
            self.order.push_back((site, hold.call_id));
        }
        if self.order.len() > most
            && let Some(old) = self.order.pop_front()
        {
            self.by_call.remove(&old);
        }
    }

    /// All that is remembered, oldest first, for a snapshot.
    pub fn rows(&self) -> Vec<EndedRow> {
        let row = |key: &(u16, CallId)| Some((key.0, key.1, self.by_call.get(key)?.clone()));
        self.order.iter().filter_map(row).collect()
    }

    /// From what a snapshot kept.
    pub fn from_rows(rows: Vec<EndedRow>) -> Self {
        let mut this = Self::default();
        for (site, call, lines) in rows {
            this.order.push_back((site, call));
            this.by_call.insert((site, call), lines);
        }
        this
    }

    fn held(&self, site: u16, call: CallId, account: &str) -> i128 {
        let lines = self.by_call.get(&(site, call));
        lines.into_iter().flatten().filter(|(of, _)| of == account).map(|(_, amount)| amount).sum()
    }
}

/// What one site's stream says of a call.
#[derive(Default)]
struct AtSite {
    entries: Vec<LedgerEntry>,
    closed_hold: bool,
}

impl AtSite {
    fn item(&mut self, call: CallId, item: LedgerItem) {
        match item {
            LedgerItem::Entry(entry) if entry.call_id == Some(call) => self.entries.push(*entry),
            LedgerItem::Release(release) if release.hold_id == hold_id(call) => {
                self.closed_hold |= release.why == ReleaseWhy::Charged;
            }
            _ => {}
        }
    }

    fn frame(&mut self, stream: &SmolStr, frame: &FrameView<'_>, call: CallId) -> Result<(), LedgerError> {
        let hold = hold_id(call);
        for index in 0..frame.len() {
            // Ids stand in the bytes as they are, so most items need no decoding.
            let bytes = frame.public(index).unwrap_or_default();
            if bytes.windows(16).any(|window| window == call.0 || window == hold.0) {
                self.item(call, ledger_item(stream, frame, index)?);
            }
        }
        Ok(())
    }

    /// A charge is in effect.
    fn charges(&self) -> bool {
        let reversed = self.entries.iter().any(|entry| entry.kind == EntryKind::Reversal);
        !reversed && self.entries.iter().any(|entry| entry.kind == EntryKind::Charge)
    }

    fn claim(&self) -> Claim {
        let mut charges = self.entries.iter().filter(|entry| entry.kind == EntryKind::Charge);
        Claim { estimated: charges.all(|entry| entry.reason == ESTIMATED), closed_hold: self.closed_hold }
    }

    /// What the call costs accounts that owe for it; where it was reversed, what it came to before.
    fn charged(&self) -> Vec<(SmolStr, i128)> {
        let mut sums: Vec<(SmolStr, i128)> = Vec::new();
        let entries = self.entries.iter().filter(|entry| entry.kind != EntryKind::Reversal);
        let postings = entries.flat_map(|entry| &entry.postings);
        for posting in postings.filter(|posting| !posting.account.is_empty() && accounting::views::owed(posting.gl)) {
            match sums.iter_mut().find(|(of, _)| *of == posting.account) {
                Some((_, sum)) => *sum = sum.saturating_add(posting.amount.0),
                None => sums.push((posting.account.clone(), posting.amount.0)),
            }
        }
        sums
    }
}

impl Core<'_> {
    /// True when the ledger of another site may have entries of this call.
    fn known_elsewhere(&self, call: CallId) -> bool {
        self.shared().fold().others.values().any(|other| other.book.knows(call))
    }

    /// What a site's stream says of a call, this site's with the frame under construction.
    fn at_site(&mut self, sites: &mut Sites, site: u16, call: CallId) -> Result<AtSite, LedgerError> {
        let mut at = AtSite::default();
        if site == self.options.number {
            let (frames, building) = (self.shared().fold().book.frames_of(call), self.seq());
            for seq in frames {
                if seq == building {
                    self.poster.items_here(&self.stream, seq, |item| at.item(call, item))?;
                } else {
                    let offset = self.offset_of(seq)?;
                    let frame = self.frames.frame(seq, offset)?;
                    at.frame(&self.stream, &frame, call)?;
                }
            }
            return Ok(at);
        }
        let Some(peer) = sites.peers.iter_mut().find(|peer| peer.number == site) else { return Ok(at) };
        let places: Vec<(u64, Option<u64>)> = {
            let fold = self.inbox.shared.fold();
            let Some(other) = fold.others.get(&site) else { return Ok(at) };
            other.book.frames_of(call).into_iter().map(|seq| (seq, other.offset_of(seq))).collect()
        };
        for (seq, offset) in places {
            let missing = || LedgerError::Missing { stream: peer.stream.clone(), seq };
            let frame = peer.frames.frame(seq, offset.ok_or_else(missing)?)?;
            at.frame(&peer.stream, &frame, call)?;
        }
        Ok(at)
    }

    /// All sites that charged the call, rising.
    fn all_sites(&mut self, sites: &mut Sites, call: CallId) -> Result<Vec<(u16, AtSite)>, LedgerError> {
        let mut numbers: Vec<u16> = {
            let fold = self.shared().fold();
            let own = fold.book.knows(call).then_some(self.options.number);
            let others = fold.others.iter().filter(|(_, other)| other.book.knows(call));
            own.into_iter().chain(others.map(|(number, _)| *number)).collect()
        };
        numbers.sort_unstable();
        numbers.into_iter().map(|site| Ok((site, self.at_site(sites, site, call)?))).collect()
    }

    /// What this site owes a call that another site's frame names: its hold, its charges, cover that came to the wrong
    /// place. Before anything is authorised from that frame.
    pub(super) fn settle(&mut self, sites: &mut Sites, call: CallId) -> Result<(), LedgerError> {
        let me = self.options.number;
        let held = self.shared().fold().book.holds().get(hold_id(call)).cloned();
        let all = self.all_sites(sites, call)?;
        let charging = || all.iter().filter(|(_, at)| at.charges());
        let Some((to, won)) = winner(charging().map(|(site, at)| (*site, at)), |at| at.claim()) else {
            return Ok(());
        };
        self.list_double(sites, call, to, &all);
        if to == me {
            return Ok(());
        }
        if !self.poster.has_room_for_order() {
            self.cut()?;
        }
        let now = OccurredAt(wall_micros());
        let charged = won.charged();
        let over = |sites: &Sites, account: &str| -> i128 {
            let cost: i128 = charged.iter().filter(|(of, _)| of == account).map(|(_, sum)| *sum).sum();
            (cost - sites.ended.held(to, call, account)).max(0)
        };
        if let Some(hold) = held {
            let passed =
                |line: &facts::entry::HoldLine| match owed(Some(line.amount.0), false, over(sites, &line.account), 0) {
                    Owed::Release { passed } => Amount(passed),
                    _ => Amount::ZERO,
                };
            let passed: SmallVec<[Amount; 1]> = hold.lines.iter().map(passed).collect();
            self.write(&LedgerItem::Elsewhere(Box::new(Elsewhere { hold_id: hold.hold_id, at: now, to, passed })))?;
        }
        if let Some((_, own)) = all.iter().find(|(site, _)| *site == me) {
            if own.charges() {
                self.reverse_call(sites, call, to, &own.entries)?;
            }
            self.pass_cover(call, to, now, &own.charged())?;
        }
        self.list_double(sites, call, to, &[]);
        Ok(())
    }

    fn reverse_call(&mut self, sites: &Sites, call: CallId, to: u16, own: &[LedgerEntry]) -> Result<(), LedgerError> {
        let current = CurrentCall::fold(call, own).ok_or(LedgerError::Range { what: "the entries of a call" })?;
        let (by, reason) = (format_smolstr!("site {}", sites.name(to)), SmolStr::new_static(CHARGED_ELSEWHERE));
        let at = own.first().map_or(OccurredAt(0), |entry| entry.occurred_at);
        let reversals = current.reversals(call, at, &by, &reason).ok_or(LedgerError::Range { what: "a reversal" })?;
        for entry in reversals {
            self.write(&LedgerItem::Entry(Box::new(entry)))?;
        }
        Ok(())
    }

    /// Cover that other sites passed here for a call goes on to the site whose charge counts, as far as this site's own
    /// charge of it came to.
    fn pass_cover(
        &mut self,
        call: CallId,
        to: u16,
        at: OccurredAt,
        own: &[(SmolStr, i128)],
    ) -> Result<(), LedgerError> {
        let me = self.options.number;
        let config = (self.options.config)();
        // Account, what came, what went on.
        let mut sums: Vec<(SmolStr, i128, i128)> = Vec::new();
        {
            let fold = self.shared().fold();
            let came = fold.others.values().flat_map(|other| other.book.rights().passed(call));
            let came = came.filter(|(_, passed)| passed.to == me).map(|(account, passed)| (account, passed.amount, 0));
            // What left with an own hold was this site's own, not cover that came.
            let went = fold.book.rights().passed_on(call).map(|(account, amount)| (account, 0, amount));
            for (account, in_, out) in came.chain(went) {
                match sums.iter_mut().find(|(of, ..)| of == account) {
                    Some((_, came, gone)) => (*came, *gone) = (*came + in_, *gone + out),
                    None => sums.push((account.clone(), in_, out)),
                }
            }
        }
        for (account, came, gone) in sums {
            let own = own.iter().find(|(of, _)| *of == account).map_or(0, |(_, sum)| *sum);
            let Owed::Cover { amount } = owed(None, false, 0, cover(came, own, gone)) else { continue };
            let Some(currency) = config.accounts.get(&account).map(|terms| terms.currency) else { continue };
            let (why, by, reason) = (GiveWhy::Cover, SmolStr::default(), SmolStr::default());
            let (origin_id, call_id, amount) = (OriginId(call.0), Some(call), Amount(amount));
            let give = Give { origin_id, account, currency, at, to, amount, why, call_id, by, reason };
            self.write(&LedgerItem::Give(Box::new(give)))?;
        }
        Ok(())
    }

    /// Lists, or takes off the list, what two sites have booked.
    fn list_double(&self, sites: &mut Sites, call: CallId, won: u16, all: &[(u16, AtSite)]) {
        let key = (0, call.0);
        let lost = all.iter().find(|(site, at)| *site != won && at.charges());
        let Some((loser, at)) = lost else {
            sites.doubles.remove(&key);
            return;
        };
        let amounts = at.charged().into_iter().map(|(account, sum)| (account, Amount(sum))).collect();
        let (what, id) = (SmolStr::new_static("call"), call.to_string());
        sites.doubles.insert(key, Double { what, id, winner: won, loser: *loser, amounts, same: true });
    }

    /// Writes an item of this site into the frame under construction.
    pub(super) fn write(&mut self, item: &LedgerItem) -> Result<(), LedgerError> {
        if !self.poster.has_room_for_order() {
            self.cut()?;
        }
        let mut fold = self.shared().fold();
        if self.poster.is_empty() {
            self.certify(&mut fold)?;
        }
        let seq = self.seq();
        self.poster.memo(&mut fold, seq, item)?;
        self.shown();
        Ok(())
    }

    /// Another site has charged this call of ours, with a charge that counts before one of this site would: the site.
    pub(super) fn elsewhere(&mut self, rated: &PricedCall) -> Result<Option<u16>, LedgerError> {
        if self.sites.is_none() || !self.known_elsewhere(rated.call_id) {
            return Ok(None);
        }
        let Some(mut sites) = self.sites.take() else { return Ok(None) };
        let all = self.all_sites(&mut sites, rated.call_id);
        self.sites = Some(sites);
        let (all, me) = (all?, self.options.number);
        if all.iter().any(|(site, at)| *site == me && at.charges()) {
            return Ok(None);
        }
        let counts = |at: &AtSite| at.charges() && (!at.claim().estimated || rated.estimated);
        Ok(all.iter().find(|(_, at)| counts(at)).map(|(site, _)| *site))
    }
}
