//! A rated call as balanced entries, by the chart of accounts (design 8.1): one entry per priced side, late truth as
//! new - current, a run's price only where it was made from what is still current (design 6.1).

use crate::current::{CurrentCall, CurrentSide, Postings, difference, same};
use facts::entry::{ESTIMATED, EntryKind, Gl};
use facts::ids::{Cause, OriginId, RevId};
use facts::xdr::{Position, RatedCall, Revision, Side, Xdr};
use facts::{Amount, CallId, Currency, LedgerEntry, OccurredAt, XdrId};
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

pub use facts::entry::Posting;

/// What posting needs of a rated call: nothing that names a person, so it works on items whose private part is sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PricedCall {
    pub call_id: CallId,
    pub started_at: OccurredAt,
    pub revision: Revision,
    /// A run's: the stream in which its `based_on` stands; empty for others.
    pub base: SmolStr,
    /// As the switch named it on its events.
    pub hold_id: Option<OriginId>,
    /// The end is an estimate.
    pub estimated: bool,
    pub sides: SmallVec<[PricedSide; 2]>,
}

/// What posting needs of an xDR.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PricedSide {
    pub xdr_id: XdrId,
    pub rev_id: RevId,
    pub side: Side,
    /// The amounts are a stand-in until the side can be priced.
    pub provisional: bool,
    pub account: SmolStr,
    pub product: SmolStr,
    /// Of the rate; empty where there is none.
    pub destination: SmolStr,
    pub rated_at: OccurredAt,
    pub amount: Amount,
    pub gross: Amount,
    pub currency: Currency,
}

impl Default for PricedCall {
    fn default() -> Self {
        let (call_id, started_at) = Default::default();
        let base = SmolStr::default();
        let (hold_id, estimated) = (None, false);
        Self { call_id, started_at, revision: Revision::First, base, hold_id, estimated, sides: SmallVec::new() }
    }
}

impl From<&RatedCall> for PricedCall {
    fn from(rated: &RatedCall) -> Self {
        Self {
            call_id: rated.call.call_id,
            started_at: rated.call.started_at,
            revision: rated.revision,
            base: SmolStr::default(),
            hold_id: rated.call.hold_id.map(OriginId),
            estimated: rated.call.estimated,
            sides: rated.xdrs.iter().map(PricedSide::from).collect(),
        }
    }
}

impl PricedSide {
    /// The party's account of the chart, and the one of what it is for.
    pub(crate) fn lines(&self) -> (Gl, Gl) {
        match (self.side, self.provisional) {
            (Side::Sell, false) => (Gl::ReceivableUnbilled, Gl::Revenue),
            (Side::Sell, true) => (Gl::ReceivableProvisional, Gl::RevenueProvisional),
            (Side::Buy, false) => (Gl::PayableUnbilled, Gl::Cost),
            (Side::Buy, true) => (Gl::PayableProvisional, Gl::CostProvisional),
        }
    }
}

impl From<&Xdr> for PricedSide {
    fn from(xdr: &Xdr) -> Self {
        Self {
            xdr_id: xdr.xdr_id,
            rev_id: xdr.rev_id,
            side: xdr.side,
            provisional: xdr.unrated.is_some() || xdr.provisional.is_some(),
            account: xdr.account.clone(),
            product: xdr.product.clone(),
            destination: xdr.rate.as_ref().map(|rate| rate.destination.clone()).unwrap_or_default(),
            rated_at: xdr.rated_at,
            amount: xdr.amount,
            gross: xdr.gross,
            currency: xdr.currency,
        }
    }
}

/// What is to be written for one side.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "the hot variant is the large one; it is never stored")]
pub enum Outcome {
    Entry(LedgerEntry),
    /// Not posted; becomes `LedgerItem::Refused`. `reason` is one of [`REFUSALS`].
    Refused {
        origin_id: OriginId,
        reason: SmolStr,
        detail: String,
    },
}

/// Every reason for which a charge may be refused.
pub const REFUSALS: [&str; 5] = [ORIGIN_REUSED, NOT_CURRENT, OUT_OF_ORDER, AMOUNT_RANGE, CHARGED_ELSEWHERE];
/// The revision was posted before with other content.
pub const ORIGIN_REUSED: &str = "origin_reused";
/// A run priced a revision that is no longer the current one.
pub const NOT_CURRENT: &str = "not_current";
/// A first revision after a later one.
pub const OUT_OF_ORDER: &str = "out_of_order";
/// An amount or a difference is beyond the integer range.
pub const AMOUNT_RANGE: &str = "amount_range";

/// Another site's charge of the call counts.
pub const CHARGED_ELSEWHERE: &str = "charged_elsewhere";

/// What became of the sides of one or many calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Posted {
    pub entries: u64,
    /// First revisions of amount zero: nothing to post.
    pub zero: u64,
    /// Revisions that were posted before, with the same content: nothing to post.
    pub repeated: u64,
    pub refused: u64,
}

impl Posted {
    pub fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.zero += other.zero;
        self.repeated += other.repeated;
        self.refused += other.refused;
    }
}

/// What `rated`, which stands at `source`, comes to, given what was posted for the call before (`None`: nothing).
/// Outcomes are appended to `out` in the order of the sides.
pub fn entries_for(
    rated: &PricedCall,
    source: (&SmolStr, Position),
    current: Option<&CurrentCall>,
    out: &mut Vec<Outcome>,
) -> Posted {
    let before = out.len();
    let mut posted = match (current, rated.revision) {
        (None, Revision::First) => first(rated, source, out),
        (None, revision) => revise(rated, source, &CurrentCall::default(), revision, out),
        (Some(current), revision) => {
            repeat(rated, source.0, current, out).unwrap_or_else(|| revise(rated, source, current, revision, out))
        }
    };
    if current.is_some_and(|current| current.lost) {
        refuse_elsewhere(&mut out[before..], "its charges here were reversed");
    }
    for outcome in &out[before..] {
        match outcome {
            Outcome::Entry(_) => posted.entries += 1,
            Outcome::Refused { .. } => posted.refused += 1,
        }
    }
    posted
}

/// Another site's charge of the call counts: nothing is posted, every entry becomes a refusal with its reason.
pub fn refuse_elsewhere(outcomes: &mut [Outcome], why: &str) {
    for outcome in outcomes {
        if let Outcome::Entry(entry) = outcome {
            let detail = format!("{} is charged for this call at another site: {why}", entry.account);
            let (origin_id, reason) = (entry.origin_id, SmolStr::new_static(CHARGED_ELSEWHERE));
            *outcome = Outcome::Refused { origin_id, reason, detail };
        }
    }
}

fn first(rated: &PricedCall, source: (&SmolStr, Position), out: &mut Vec<Outcome>) -> Posted {
    let mut posted = Posted::default();
    for xdr in &rated.sides {
        match postings(xdr) {
            None => out.push(range(xdr)),
            Some(new) if new.is_empty() => posted.zero += 1,
            Some(new) => out.push(Outcome::Entry(charge(rated, source, xdr, new, None))),
        }
    }
    posted
}

/// The same revision again: the whole call is one revision, so one side that was seen answers for all.
fn repeat(rated: &PricedCall, stream: &SmolStr, current: &CurrentCall, out: &mut Vec<Outcome>) -> Option<Posted> {
    let mut posted = Posted::default();
    let mut any = false;
    for xdr in &rated.sides {
        let Some(then) = current.seen(OriginId(xdr.rev_id.0)) else { continue };
        any = true;
        match postings(xdr) {
            Some(new) if same(&new, then) => {
                if !undone(rated, stream, current, xdr.xdr_id, &new) {
                    posted.repeated += 1;
                    continue;
                }
                out.push(refused(
                    xdr.rev_id,
                    ORIGIN_REUSED,
                    format!(
                        "revision {} of xdr {} was posted before, and what it was made from now has taken it back since: \
                         the call is not booked at this price",
                        xdr.rev_id, xdr.xdr_id
                    ),
                ));
            }
            _ => out.push(refused(
                xdr.rev_id,
                ORIGIN_REUSED,
                format!("revision {} of xdr {} was posted before with other content", xdr.rev_id, xdr.xdr_id),
            )),
        }
    }
    any.then_some(posted)
}

/// A revision that comes again, made from what is current, while that is another amount: rated calls were lost with a
/// disk after they were booked, and their truth was told again in another order. One id is posted once, so it is named.
fn undone(rated: &PricedCall, stream: &SmolStr, current: &CurrentCall, xdr: XdrId, new: &Postings) -> bool {
    let Revision::Late { based_on, .. } = rated.revision else { return false };
    let newest = current.source.as_ref().is_some_and(|(of, at)| of == stream && *at == based_on);
    let now = current.side(xdr).map(|side| &side.postings);
    newest && !now.is_some_and(|now| same(new, now))
}

fn revise(
    rated: &PricedCall,
    source: (&SmolStr, Position),
    current: &CurrentCall,
    revision: Revision,
    out: &mut Vec<Outcome>,
) -> Posted {
    let cause = match revision {
        Revision::First => return first_after_others(rated, source, current, out),
        Revision::Late { trigger, .. } => Cause::Late(trigger),
        Revision::Run { run, based_on } => {
            // Positions of two streams may be equal: what a run was made from is a place in one of them.
            let other = |stream: &SmolStr| !rated.base.is_empty() && *stream != rated.base;
            let newer = current.source.as_ref().filter(|(stream, at)| *at != based_on || other(stream));
            if let Some((stream, at)) = newer {
                for xdr in &rated.sides {
                    let detail =
                        format!("made from {} of its stream, but {stream} {} is current", place(based_on), place(*at));
                    out.push(refused(xdr.rev_id, NOT_CURRENT, detail));
                }
                return Posted::default();
            }
            Cause::Run(run)
        }
    };
    let began = out.len();
    let mut trace = None;
    for xdr in &rated.sides {
        let side = current.side(xdr.xdr_id);
        let adjusts = side.map(|side| side.origin);
        let empty = Postings::new();
        let now = side.map_or(&empty, |side| &side.postings);
        match postings(xdr).and_then(|new| difference(&new, now)) {
            None => out.push(range(xdr)),
            Some(rest) if rest.is_empty() => {
                trace.get_or_insert_with(|| charge(rated, source, xdr, rest, adjusts));
            }
            Some(rest) => out.push(Outcome::Entry(charge(rated, source, xdr, rest, adjusts))),
        }
    }
    for side in &current.sides {
        let gone = !side.postings.is_empty() && rated.sides.iter().all(|xdr| xdr.xdr_id != side.xdr_id);
        if gone {
            out.push(withdraw(rated, source, side, &cause));
        }
    }
    // A revision that moves no money still moves what is current: one entry without postings says so.
    if out.len() == began {
        out.extend(trace.map(Outcome::Entry));
    }
    Posted::default()
}

fn first_after_others(
    rated: &PricedCall,
    source: (&SmolStr, Position),
    current: &CurrentCall,
    out: &mut Vec<Outcome>,
) -> Posted {
    // A table of fingerprints may say that a call is known when it is not; then nothing was found.
    if current.sides.is_empty() {
        return first(rated, source, out);
    }
    let mut posted = Posted::default();
    for xdr in &rated.sides {
        match postings(xdr) {
            Some(new) if new.is_empty() => posted.zero += 1,
            _ => out.push(refused(
                xdr.rev_id,
                OUT_OF_ORDER,
                format!("first revision of xdr {} after another revision of its call", xdr.xdr_id),
            )),
        }
    }
    posted
}

/// A side that the new revision no longer has (an attempt that turned out to be another): taken back in full.
fn withdraw(rated: &PricedCall, source: (&SmolStr, Position), side: &CurrentSide, cause: &Cause) -> Outcome {
    let rev = RevId::new(side.xdr_id, cause);
    match difference(&Postings::new(), &side.postings) {
        None => refused(rev, AMOUNT_RANGE, format!("xdr {} cannot be taken back", side.xdr_id)),
        Some(postings) => Outcome::Entry(LedgerEntry {
            kind: EntryKind::Charge,
            origin_id: OriginId(rev.0),
            account: side.account.clone(),
            occurred_at: rated.sides.first().map_or(rated.started_at, |xdr| xdr.rated_at),
            call_id: Some(rated.call_id),
            xdr_id: Some(side.xdr_id),
            source: Some((source.0.clone(), source.1)),
            by: SmolStr::default(),
            reason: SmolStr::default(),
            adjusts: Some(side.origin),
            postings,
        }),
    }
}

fn charge(
    rated: &PricedCall,
    source: (&SmolStr, Position),
    xdr: &PricedSide,
    postings: Postings,
    adjusts: Option<OriginId>,
) -> LedgerEntry {
    LedgerEntry {
        kind: EntryKind::Charge,
        origin_id: OriginId(xdr.rev_id.0),
        account: xdr.account.clone(),
        occurred_at: xdr.rated_at,
        call_id: Some(rated.call_id),
        xdr_id: Some(xdr.xdr_id),
        source: Some((source.0.clone(), source.1)),
        by: SmolStr::default(),
        reason: if rated.estimated { SmolStr::new_static(ESTIMATED) } else { SmolStr::default() },
        adjusts,
        postings,
    }
}

/// The lines of one priced side. Sell: receivable against revenue; buy: cost against payable; the tax of a gross
/// price on its own line. Provisional money stands on provisional lines. Zero amounts make no line. `None`: beyond
/// the range.
pub fn postings(xdr: &PricedSide) -> Option<Postings> {
    let (party, result) = xdr.lines();
    let tax = xdr.gross.checked_sub(xdr.amount)?;
    let signed = |amount: Amount, debit: bool| if debit { Some(amount) } else { amount.checked_neg() };
    let sells = xdr.side == Side::Sell;
    let mut out = SmallVec::new();
    let mut push = |gl, account: &SmolStr, product: SmolStr, destination: SmolStr, amount: Amount| {
        if !amount.is_zero() {
            let account = account.clone();
            out.push(Posting { gl, account, product, destination, currency: xdr.currency, amount });
        }
    };
    let none = SmolStr::default();
    push(party, &xdr.account, none.clone(), none.clone(), signed(xdr.gross, sells)?);
    push(result, &none, xdr.product.clone(), xdr.destination.clone(), signed(xdr.amount, !sells)?);
    push(Gl::Tax, &none, none.clone(), none.clone(), signed(tax, !sells)?);
    Some(out)
}

fn range(xdr: &PricedSide) -> Outcome {
    refused(xdr.rev_id, AMOUNT_RANGE, format!("amount {} {} of xdr {}", xdr.gross, xdr.currency, xdr.xdr_id))
}

fn refused(rev: RevId, reason: &'static str, detail: String) -> Outcome {
    Outcome::Refused { origin_id: OriginId(rev.0), reason: SmolStr::new_static(reason), detail }
}

fn place(at: Position) -> SmolStr {
    format_smolstr!("{}/{}", at.seq, at.index)
}

#[cfg(test)]
mod tests;
