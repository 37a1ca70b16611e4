//! What a plan comes to in money, before anything is posted.

use facts::ids::RunId;
use facts::run::{RunKind, RunPlan};
use facts::stream::STREAM_START;
use rating::Tariffs;
use rating::rerate::{Preview, Sheet, lines};

use super::changes::{Changes, Step};
use super::scan::each_of;
use super::{RunError, Scan, Worker, lean};

/// Goes over a plan's inputs (`scan`) and sums what would change; several inputs at a time where the machine has cores
/// for it.
pub fn preview(
    worker: &Worker<'_>,
    scan: &Scan,
    run: RunId,
    plan: &RunPlan,
    tariffs: Option<&Tariffs>,
) -> Result<Preview, RunError> {
    let changes = Changes { worker, scan, run, plan, tariffs };
    if let (RunKind::Rerate | RunKind::Recycle, Some(tariffs)) = (plan.kind, tariffs) {
        let sources: Vec<u32> = (0..scan.sources.len() as u32).collect();
        let mut whole = Preview::default();
        for part in each_of(&sources, |source| lean::sums(&changes, tariffs, *source).map(Sheet::finish)) {
            whole.merge(part?)?;
        }
        return Ok(whole);
    }
    let mut sheet = Sheet::default();
    changes.each(&|_| STREAM_START, &mut |step| {
        let Step::Change { before, sides, .. } = step else { return Ok(()) };
        Ok(sheet.add(&lines(&before.xdrs), &lines(&sides))?)
    })?;
    Ok(sheet.finish())
}
