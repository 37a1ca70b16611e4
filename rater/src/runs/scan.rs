//! The inputs of a run: where each accepted frame stands, in which of them calls of the period can be, and which
//! revisions no longer hold. Frames are read by their place, in order or singly.

use bus::{Batch, Bus, Reader};
use facts::run::{RunInput, Selection};
use facts::stream::Input;
use facts::xdr::{Position, RatedCall, XdrItem};
use hashbrown::HashSet;
use schemas::frame::{StreamRecord, decode_record};
use schemas::xdrs;
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::times::Times;
use super::{RunError, Worker};

/// How long a durable record may take to arrive.
pub(super) const WAIT: Duration = Duration::from_secs(10);
/// Bytes asked of the log at once: a few full frames.
const POLL_BYTES: usize = 4 << 20;

/// One input.
pub struct Source {
    pub stream: SmolStr,
    /// Exclusive; whole frames.
    pub to: Position,
    times: Times,
}

/// All inputs of a run.
pub struct Scan {
    pub sources: Vec<Source>,
    /// Revisions that do not hold, by source and place.
    dead: HashSet<(u32, Position)>,
}

impl Scan {
    /// Reads what is not known yet of the inputs: raters' streams first, then runs in the order of their posts. Late
    /// truth replaces what stands in its own stream. A run's revision holds where nothing has replaced what it was made
    /// from: so the ledger booked it, for late truth is always posted and of two runs the one that was posted first.
    pub fn new(worker: &Worker<'_>, inputs: &[RunInput]) -> Result<Self, RunError> {
        let mut this = Self { sources: Vec::with_capacity(inputs.len()), dead: HashSet::new() };
        let known = each_of(inputs, |input| Times::of(worker, input));
        for (input, times) in inputs.iter().zip(known) {
            let last = input.to.seq.saturating_sub(1);
            let to = Position { seq: last + 1, index: 0 };
            this.sources.push(Source { stream: input.stream.clone(), to, times: times? });
            this.bury(this.sources.len() as u32 - 1)?;
        }
        Ok(this)
    }

    /// Notes what the revisions of one source replaced.
    fn bury(&mut self, own: u32) -> Result<(), RunError> {
        let source = &self.sources[own as usize];
        let of = |stream: &SmolStr| self.sources.iter().position(|source| source.stream == *stream);
        let bases: Vec<Option<usize>> = source.times.bases.iter().map(of).collect();
        for said in source.times.said.iter().filter(|said| said.at < source.to) {
            let Some(base) = said.base.checked_sub(1).map(usize::from) else {
                self.dead.insert((own, said.based_on));
                continue;
            };
            let known = bases.get(base).copied().flatten();
            let unknown =
                || RunError::UnknownInput { stream: source.times.bases.get(base).cloned().unwrap_or_default() };
            if !self.dead.insert((known.ok_or_else(unknown)? as u32, said.based_on)) {
                self.dead.insert((own, said.at));
            }
        }
        Ok(())
    }

    pub(super) fn source_of(&self, stream: &SmolStr) -> Result<u32, RunError> {
        let found = self.sources.iter().position(|source| source.stream == *stream);
        found.map(|at| at as u32).ok_or_else(|| RunError::UnknownInput { stream: stream.clone() })
    }

    /// True where the revision at this place holds.
    pub(super) fn holds(&self, source: u32, at: Position) -> bool {
        self.dead.is_empty() || !self.dead.contains(&(source, at))
    }

    /// Hands out the frames of a source from `from` on that may hold calls of the period.
    pub(super) fn frames(
        &self,
        worker: &Worker<'_>,
        source: u32,
        from: u64,
        chosen: &Selection,
        each: &mut dyn FnMut(&FrameView<'_>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let source = &self.sources[source as usize];
        let (mut seq, mut batch) = (from.max(1), Batch::new());
        let mut reader: Option<Box<dyn Reader>> = None;
        while let Some((first, until)) = source.times.next_in(chosen, seq, source.to.seq) {
            seq = first;
            let offset = |seq: u64| source.times.offset(seq).filter(|_| seq < until);
            let Some(begin) = offset(seq) else { break };
            match &mut reader {
                Some(reader) => reader.seek(begin)?,
                none => drop(none.insert(worker.bus.reader(&source.stream, 0, begin)?)),
            }
            while let (Some(wanted), Some(reader)) = (offset(seq), &mut reader) {
                worker.go_on()?;
                if reader.poll(&mut batch, POLL_BYTES, WAIT)? == 0 {
                    return Err(RunError::Short { stream: source.stream.clone(), seq });
                }
                for record in batch.iter().filter(|record| record.offset >= wanted) {
                    if offset(seq) == Some(record.offset) {
                        each(&parse(&source.stream, seq, record.value, worker.ids)?)?;
                        worker.read.fetch_add(1, Ordering::Relaxed);
                        seq += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Does the same for each of several, on as many threads as the machine has cores; the results in the order of what was
/// given.
pub(super) fn each_of<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(all.len());
    if threads <= 1 {
        return all.iter().map(work).collect();
    }
    let (next, work) = (AtomicUsize::new(0), &work);
    let one = || {
        let mut done = Vec::new();
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            all.get(at).map(|item| (at, item))
        } {
            done.push((at, work(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut results = one();
        for other in others {
            match other.join() {
                Ok(done) => results.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn parse<'a>(stream: &SmolStr, seq: u64, value: &'a [u8], ids: &SchemaIds) -> Result<FrameView<'a>, RunError> {
    match decode_record(value, ids) {
        Ok(StreamRecord::Frame(frame)) if frame.header.seq == seq => Ok(frame),
        Ok(_) => Err(RunError::Short { stream: stream.clone(), seq }),
        Err(source) => Err(RunError::Frame { stream: stream.clone(), seq, source }),
    }
}

/// The stream that a run's frame was made from.
pub(super) fn base_of<'a>(frame: &'a FrameView<'_>) -> Result<&'a SmolStr, RunError> {
    match &frame.header.inputs[..] {
        [Input::Stream { stream, .. }] => Ok(stream),
        _ => Err(RunError::UnknownInput { stream: frame.header.stream.clone() }),
    }
}

/// Single rated calls by their place; those asked for one behind the other stand in the same frame as a rule.
pub(super) struct Lookup<'a> {
    scan: &'a Scan,
    bus: &'a Arc<dyn Bus>,
    ids: &'a SchemaIds,
    open: Vec<Option<Open>>,
}

/// A reader, and the record that it holds by its offset.
type Open = (Box<dyn Reader>, Batch, u64);

impl<'a> Lookup<'a> {
    pub fn new(worker: &Worker<'a>, scan: &'a Scan) -> Self {
        let open = scan.sources.iter().map(|_| None).collect();
        Self { scan, bus: worker.bus, ids: worker.ids, open }
    }

    pub fn call(&mut self, source: u32, at: Position) -> Result<RatedCall, RunError> {
        let from = &self.scan.sources[source as usize];
        let stream = &from.stream;
        let missing = || RunError::NoCall { stream: stream.clone(), seq: at.seq, index: at.index };
        let offset = from.times.offset(at.seq).ok_or_else(missing)?;
        let slot = &mut self.open[source as usize];
        let (reader, batch, held) = match slot {
            Some(open) => open,
            None => slot.insert((self.bus.reader(stream, 0, offset)?, Batch::new(), u64::MAX)),
        };
        if *held != offset {
            reader.seek(offset)?;
            reader.poll(batch, 1, WAIT)?;
            *held = offset;
        }
        let record = batch.get(0).filter(|record| record.offset == offset).ok_or_else(missing)?;
        let frame = parse(stream, at.seq, record.value, self.ids)?;
        let decode = |source| RunError::Frame { stream: stream.clone(), seq: at.seq, source };
        let (public, private) = frame.item(at.index as usize).map_err(decode)?;
        match xdrs::decode_item(public, private).map_err(decode)? {
            XdrItem::Call(call) => Ok(*call),
            _ => Err(missing()),
        }
    }
}
