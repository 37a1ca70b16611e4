//! Rule 4.6: calls that were priced by another deck version than the one in force for their instant, with the money.
//! It only lists; posting is a run like any other.

use facts::ids::RunId;
use facts::run::RunPlan;
use facts::stream::STREAM_START;
use facts::xdr::Side;
use facts::{Amount, Currency, OccurredAt};
use rating::Tariffs;
use rating::rerate::SumRange;
use smol_str::SmolStr;
use std::collections::BTreeMap;

use super::changes::{Changes, Step, same};
use super::{RunError, Scan, Worker};

/// What one proposal is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProposalKey {
    pub side: Side,
    pub account: SmolStr,
    pub currency: Currency,
    pub deck: SmolStr,
    /// Version that priced the calls, and the one that would now.
    pub priced_by: u32,
    pub in_force: u32,
}

/// The money of one proposal, gross.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proposal {
    pub calls: u64,
    pub before: Amount,
    pub after: Amount,
    /// Starts of its first and last call.
    pub first: OccurredAt,
    pub last: OccurredAt,
}

/// All proposals among the calls that `plan` chooses. Only sides of the same account and deck, priced then and now.
pub fn proposals(
    worker: &Worker<'_>,
    scan: &Scan,
    plan: &RunPlan,
    tariffs: &Tariffs,
) -> Result<BTreeMap<ProposalKey, Proposal>, RunError> {
    let mut all: BTreeMap<ProposalKey, Proposal> = BTreeMap::new();
    let changes = Changes { worker, scan, run: RunId::default(), plan, tariffs: Some(tariffs) };
    changes.each(&|_| STREAM_START, &mut |step| {
        let Step::Change { before, sides, .. } = step else { return Ok(()) };
        for new in &sides {
            let Some(old) = same(&before.xdrs, new) else { continue };
            let (Some(then), Some(now)) = (&old.rate, &new.rate) else { continue };
            let other = then.deck == now.deck && then.deck_version != now.deck_version;
            if !other || old.account != new.account || old.currency != new.currency || old.gross == new.gross {
                continue;
            }
            let (account, currency, deck) = (new.account.clone(), new.currency, now.deck.clone());
            let (priced_by, in_force) = (then.deck_version, now.deck_version);
            let key = ProposalKey { side: new.side, account, currency, deck, priced_by, in_force };
            let at = before.call.started_at;
            let start = Proposal { calls: 0, before: Amount::ZERO, after: Amount::ZERO, first: at, last: at };
            let sum = all.entry(key).or_insert(start);
            sum.calls += 1;
            sum.before = sum.before.checked_add(old.gross).ok_or(SumRange)?;
            sum.after = sum.after.checked_add(new.gross).ok_or(SumRange)?;
            (sum.first, sum.last) = (sum.first.min(at), sum.last.max(at));
        }
        Ok(())
    })?;
    Ok(all)
}
