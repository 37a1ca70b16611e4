//! Every call that a plan changes, in the order of its inputs: the same calls in the same order, whoever goes over them
//! and however often.

use facts::call::Call;
use facts::ids::RunId;
use facts::run::{RunKind, RunPlan, run_stream};
use facts::xdr::{Position, RatedCall, Xdr, XdrItem};
use rating::Tariffs;
use rating::rerate::{Sides, in_period, reprice, undone};
use schemas::FrameView;
use schemas::xdrs::{self, call_head};
use std::sync::atomic::Ordering;

use super::scan::{Lookup, base_of};
use super::{RunError, Scan, Source, Worker};

/// What comes next.
pub enum Step<'a> {
    /// The call at this place of the source would get these sides. `call`: its facts as the sides belong to them, not
    /// yet normalised.
    Change { source: &'a Source, at: Position, before: &'a RatedCall, call: &'a Call, sides: Sides },
    /// The source has been gone over.
    End { source: &'a Source },
}

/// A plan at work.
pub(super) struct Changes<'a> {
    pub worker: &'a Worker<'a>,
    pub scan: &'a Scan,
    pub run: RunId,
    pub plan: &'a RunPlan,
    /// Not needed by an undo.
    pub tariffs: Option<&'a Tariffs>,
}

impl Changes<'_> {
    /// Goes over the sources, each from the place that `from` gives.
    pub fn each(
        &self,
        from: &dyn Fn(&Source) -> Position,
        each: &mut dyn FnMut(Step<'_>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let only = self.plan.undoes.map(|run| run_stream(self.worker.site, run));
        let mut lookup = Lookup::new(self.worker, self.scan);
        for (number, source) in (0u32..).zip(&self.scan.sources) {
            if only.as_ref().is_some_and(|only| source.stream != *only) {
                continue;
            }
            let first = from(source);
            self.scan.frames(self.worker, number, first.seq, &self.plan.selection, &mut |frame| {
                let begin = if frame.header.seq == first.seq { first.index } else { 0 };
                self.frame(number, frame, begin, &mut lookup, each)
            })?;
            each(Step::End { source })?;
        }
        Ok(())
    }

    fn frame(
        &self,
        number: u32,
        frame: &FrameView<'_>,
        first: u32,
        lookup: &mut Lookup<'_>,
        each: &mut dyn FnMut(Step<'_>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let source = &self.scan.sources[number as usize];
        let decode = |error| RunError::Frame { stream: source.stream.clone(), seq: frame.header.seq, source: error };
        let chosen = &self.plan.selection;
        let mut calls = 0;
        for index in first..frame.len() as u32 {
            let at = Position { seq: frame.header.seq, index };
            let (public, private) = frame.item(index as usize).map_err(decode)?;
            let Some(head) = call_head(public).map_err(decode)? else { continue };
            calls += 1;
            if !in_period(chosen, head.started_at) || !self.scan.holds(number, at) {
                continue;
            }
            let XdrItem::Call(before) = xdrs::decode_item(public, private).map_err(decode)? else { continue };
            match (self.plan.kind, self.tariffs) {
                (RunKind::Undo, _) => {
                    let facts::xdr::Revision::Run { based_on, .. } = before.revision else { continue };
                    let base = lookup.call(self.scan.source_of(base_of(frame)?)?, based_on)?;
                    let sides = undone(self.run, &base);
                    each(Step::Change { source, at, before: &before, call: &base.call, sides })?;
                }
                (kind, Some(tariffs)) => {
                    if kind == RunKind::Recycle && before.xdrs.iter().all(|xdr| xdr.unrated.is_none()) {
                        continue;
                    }
                    if let Some(sides) = reprice(tariffs, kind, chosen, self.run, &before) {
                        each(Step::Change { source, at, before: &before, call: &before.call, sides })?;
                    }
                }
                (_, None) => {}
            }
        }
        self.worker.done.fetch_add(calls, Ordering::Relaxed);
        Ok(())
    }
}

/// The same xDR among others.
pub(super) fn same<'x>(xdrs: &'x [Xdr], wanted: &Xdr) -> Option<&'x Xdr> {
    xdrs.iter().find(|xdr| xdr.xdr_id == wanted.xdr_id)
}
