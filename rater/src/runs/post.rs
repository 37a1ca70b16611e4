//! The stream of a run: every call that its plan changes, as a revision of its own. Killed at any moment it goes on
//! where the last accepted frame's inputs ended; what it writes depends on the plan alone.

use bus::stream::{FrameParts, StreamWriter};
use facts::ids::RunId;
use facts::run::{Run, run_stream};
use facts::stream::{Input, StreamState};
use facts::xdr::{Position, RatedCall, Revision};
use rating::Tariffs;
use schemas::frame::{FrameBuilder, FrameFull};
use smallvec::smallvec;
use smol_str::SmolStr;

use super::changes::{Changes, Step};
use super::{RunError, Scan, Source, Worker};
use crate::FOLD_VERSION;
use crate::run::wall_micros;

/// The stream and where it ends when all of the run stands there.
pub type Posted = (SmolStr, Position);

/// Writes what is missing of a run's stream. `tariffs` are those of its plan; an undo needs none.
pub fn post(worker: &Worker<'_>, run: &Run, tariffs: Option<&Tariffs>, owner: &str) -> Result<Posted, RunError> {
    let stream = run_stream(worker.site, run.id);
    let writer =
        StreamWriter::claim::<RunError>(&**worker.bus, worker.ids, &stream, owner, None, wall_micros(), &mut |_| {
            Ok(())
        })?;
    bus::failpoint::pass("run.claimed");
    let mut out = Out { writer, builder: FrameBuilder::new(), run: run.id, config_seq: run.plan.config_seq };
    let undone = run.plan.undoes.map(|run| run_stream(worker.site, run));
    let mine = run.plan.inputs.iter().filter(|input| undone.as_ref().is_none_or(|only| input.stream == *only));
    if !mine.clone().all(|input| out.next(&input.stream) == input.to) {
        let scan = Scan::new(worker, &run.plan.inputs)?;
        let begun = out.writer.state().clone();
        let changes = Changes { worker, scan: &scan, run: run.id, plan: &run.plan, tariffs };
        changes.each(&|source: &Source| next_of(&begun, source), &mut |step| match step {
            Step::Change { source, at, call, sides, .. } => {
                let revision = Revision::Run { run: run.id.0, based_on: at };
                let mut call = call.clone();
                if let Some(tariffs) = tariffs {
                    tariffs.normalise(&mut call);
                }
                out.call(source, at, &RatedCall { revision, call, xdrs: sides })
            }
            Step::End { source } => out.end(source),
        })?;
    }
    out.writer.settle()?;
    let last = out.writer.confirm()?;
    Ok((stream, Position { seq: last + 1, index: 0 }))
}

fn next_of(state: &StreamState, source: &Source) -> Position {
    state.next_position(&source.stream).min(source.to)
}

/// The stream's writer with the frame under construction.
struct Out {
    writer: StreamWriter,
    builder: FrameBuilder,
    run: RunId,
    config_seq: u64,
}

impl Out {
    fn next(&self, stream: &str) -> Position {
        self.writer.state().next_position(stream)
    }

    fn call(&mut self, source: &Source, at: Position, rated: &RatedCall) -> Result<(), RunError> {
        for _ in 0..2 {
            match self.builder.push(|public, private| schemas::xdrs::encode_call(rated, public, private)) {
                Ok(()) => return Ok(()),
                Err(FrameFull::FrameFull) => self.append(source, at)?,
                Err(FrameFull::TooLarge { bytes }) => {
                    // It stays as it is, and the run's report counts it as not posted.
                    tracing::error!(run = %self.run, call = %rated.call.call_id, bytes, "left out of the run: too large");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, source: &Source) -> Result<(), RunError> {
        if self.next(&source.stream) < source.to { self.append(source, source.to) } else { Ok(()) }
    }

    /// Closes the frame: it has gone over the source up to `to`.
    fn append(&mut self, source: &Source, to: Position) -> Result<(), RunError> {
        let parts = FrameParts {
            item_schema: schemas::xdrs::ITEMS,
            config_seq: self.config_seq,
            fold_version: FOLD_VERSION,
            inputs: smallvec![Input::Stream { stream: source.stream.clone(), from: self.next(&source.stream), to }],
            floor: None,
            clock: None,
            wall_micros: wall_micros(),
        };
        bus::failpoint::pass("run.before-frame");
        self.writer.append(&mut self.builder, parts)?;
        bus::failpoint::pass("run.frame-sent");
        Ok(())
    }
}
