//! What a plan comes to in money, before anything is posted.

use facts::ids::RunId;
use facts::run::RunPlan;
use rating::Tariffs;
use rating::rerate::Preview;
use smol_str::SmolStr;
use std::collections::BTreeSet;

use super::changes::{Changes, Step};
use super::{RunError, Scan, Worker};
use facts::stream::STREAM_START;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The money.
    pub preview: Preview,
    /// Agreements of all sides of the calls that change, before and after.
    pub agreements: BTreeSet<SmolStr>,
}

/// Goes over a plan's inputs (`scan`) and sums what would change.
pub fn preview(
    worker: &Worker<'_>,
    scan: &Scan,
    run: RunId,
    plan: &RunPlan,
    tariffs: Option<&Tariffs>,
) -> Result<Found, RunError> {
    let mut found = Found::default();
    let changes = Changes { worker, scan, run, plan, tariffs };
    changes.each(&|_| STREAM_START, &mut |step| {
        let Step::Change { before, sides, .. } = step else { return Ok(()) };
        for xdr in before.xdrs.iter().chain(&sides) {
            if !found.agreements.contains(&xdr.agreement) {
                found.agreements.insert(xdr.agreement.clone());
            }
        }
        Ok(found.preview.add(&before.xdrs, &sides)?)
    })?;
    Ok(found)
}
