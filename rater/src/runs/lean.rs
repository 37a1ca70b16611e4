//! A preview of calls priced anew, without making whole calls of them: what is stored is read where it stands, many
//! calls are priced together, and only money is kept. What a run would change is decided by the same rule as when it is
//! posted (`rating::rerate::picked`).

use facts::call::Call;
use facts::run::RunKind;
use facts::xdr::Position;
use rating::rerate::{Line, Pick, Sheet, in_period, picked};
use rating::{SidePrice, Tariffs};
use schemas::FrameView;
use schemas::xdrs::{StoredCall, StoredSide, call_head, is_rated_call, stored_call};
use smallvec::SmallVec;
use std::sync::atomic::Ordering;

use super::RunError;
use super::changes::Changes;

/// Calls priced together.
const TOGETHER: usize = 32;

/// Sums what the plan would change in one source.
pub(super) fn sums(changes: &Changes<'_>, tariffs: &Tariffs, source: u32) -> Result<Sheet, RunError> {
    let mut sheet = Sheet::default();
    let mut calls: Vec<Call> = vec![Call::default(); TOGETHER];
    let scan = changes.scan;
    scan.frames(changes.worker, source, 1, &changes.plan.selection, &mut |frame| {
        self::frame(changes, tariffs, (source, frame), &mut calls, &mut sheet)
    })?;
    Ok(sheet)
}

fn frame(
    changes: &Changes<'_>,
    tariffs: &Tariffs,
    (source, frame): (u32, &FrameView<'_>),
    calls: &mut [Call],
    sheet: &mut Sheet,
) -> Result<(), RunError> {
    let seq = frame.header.seq;
    let decode = |error| RunError::Frame { stream: frame.header.stream.clone(), seq, source: error };
    let chosen = &changes.plan.selection;
    let all = chosen.from.is_none() && chosen.until.is_none();
    let mut stored: Vec<StoredCall<'_>> = Vec::with_capacity(TOGETHER);
    let mut seen = 0;
    for index in 0..frame.len() {
        let at = Position { seq, index: index as u32 };
        let public = frame.public(index).map_err(decode)?;
        if !is_rated_call(public) {
            continue;
        }
        seen += 1;
        if !changes.scan.holds(source, at) {
            continue;
        }
        if !all {
            let head = call_head(public).map_err(decode)?;
            if head.is_none_or(|head| !in_period(chosen, head.started_at)) {
                continue;
            }
        }
        let (public, private) = frame.item(index).map_err(decode)?;
        let sides = stored_call(public, private, &mut calls[stored.len()]).map_err(decode)?;
        if changes.plan.kind == RunKind::Recycle && sides.iter().all(|side| side.unrated.is_none()) {
            continue;
        }
        stored.push(sides);
        if stored.len() == TOGETHER {
            group(changes, tariffs, calls, &stored, sheet)?;
            stored.clear();
        }
    }
    group(changes, tariffs, calls, &stored, sheet)?;
    changes.worker.done.fetch_add(seen, Ordering::Relaxed);
    Ok(())
}

/// Prices some calls and counts those that change.
fn group(
    changes: &Changes<'_>,
    tariffs: &Tariffs,
    calls: &[Call],
    stored: &[StoredCall<'_>],
    sheet: &mut Sheet,
) -> Result<(), RunError> {
    let mut prices: Vec<(usize, SidePrice<'_>)> = Vec::with_capacity(TOGETHER * 2);
    tariffs.rate_many(calls.iter().take(stored.len()), &mut |at, price| prices.push((at, price)));
    let mut prices = &prices[..];
    for (at, stored) in stored.iter().enumerate() {
        let (own, rest) = prices.split_at(prices.partition_point(|(of, _)| *of <= at));
        prices = rest;
        let old: SmallVec<[Line<'_>; 2]> = stored.iter().map(line).collect();
        let new: SmallVec<[Line<'_>; 2]> = own.iter().map(|(_, price)| price.line()).collect();
        let Some(picks) = picked(changes.plan.kind, &changes.plan.selection, &old, &new) else { continue };
        let sides: SmallVec<[Line<'_>; 2]> = picks
            .into_iter()
            .map(|pick| match pick {
                Pick::New(at) => new[at],
                Pick::Old(at) => old[at],
            })
            .collect();
        sheet.add(&old, &sides)?;
    }
    Ok(())
}

fn line<'a>(side: &StoredSide<'a>) -> Line<'a> {
    Line {
        side: side.side,
        level: side.level,
        attempt: side.attempt,
        account: side.account,
        product: side.product,
        agreement: side.agreement,
        rate: side.rate,
        place: None,
        amount: side.amount,
        gross: side.gross,
        currency: side.currency,
        unrated: side.unrated,
        provisional: side.provisional,
    }
}
