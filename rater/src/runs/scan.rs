//! The inputs of a run, read once by the acceptance rule: where each accepted frame stands, and which revisions no
//! longer hold. After that frames are read by their place, in order or singly.

use bus::stream::StreamReader;
use bus::{Batch, Bus, Reader};
use facts::run::RunInput;
use facts::stream::Input;
use facts::xdr::{Position, RatedCall, Revision, XdrItem};
use hashbrown::HashSet;
use schemas::frame::{StreamRecord, decode_record};
use schemas::xdrs::{self, call_head};
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::time::Duration;

use super::{RunError, Worker};

/// How long a durable record may take to arrive.
const WAIT: Duration = Duration::from_secs(10);
/// Bytes asked of the log at once: a few full frames.
const POLL_BYTES: usize = 4 << 20;

/// One input.
pub struct Source {
    pub stream: SmolStr,
    /// Exclusive; whole frames.
    pub to: Position,
    /// Offsets of the accepted frames, from sequence 1.
    offsets: Vec<u64>,
}

/// All inputs of a run.
pub struct Scan {
    pub sources: Vec<Source>,
    /// Revisions that do not hold, by source and place.
    dead: HashSet<(u32, Position)>,
}

impl Scan {
    /// Reads the inputs: raters' streams first, then runs in the order of their posts. Late truth replaces what stands
    /// in its own stream. A run's revision holds where nothing has replaced what it was made from: so the ledger booked
    /// it, for late truth is always posted and of two runs the one that was posted first.
    pub fn new(worker: &Worker<'_>, inputs: &[RunInput]) -> Result<Self, RunError> {
        let mut this = Self { sources: Vec::with_capacity(inputs.len()), dead: HashSet::new() };
        for input in inputs {
            this.read(worker, input)?;
        }
        Ok(this)
    }

    fn read(&mut self, worker: &Worker<'_>, input: &RunInput) -> Result<(), RunError> {
        let own = self.sources.len() as u32;
        let (stream, last) = (&input.stream, input.to.seq.saturating_sub(1));
        let mut offsets = Vec::new();
        let mut reader = StreamReader::open(worker.bus, worker.ids, stream)?;
        while reader.state().seq() < last {
            worker.go_on()?;
            let folded = reader.poll(WAIT, &mut |accepted| {
                if accepted.frame.header.seq <= last {
                    offsets.push(accepted.offset);
                    self.frame(own, accepted.frame)?;
                }
                Ok::<(), RunError>(())
            })?;
            if folded == 0 {
                return Err(RunError::Short { stream: stream.clone(), seq: last });
            }
        }
        self.sources.push(Source { stream: stream.clone(), to: Position { seq: last + 1, index: 0 }, offsets });
        Ok(())
    }

    fn frame(&mut self, own: u32, frame: &FrameView<'_>) -> Result<(), RunError> {
        let header = &frame.header;
        let decode = |source| RunError::Frame { stream: header.stream.clone(), seq: header.seq, source };
        frame.expect_items(xdrs::ITEMS).map_err(decode)?;
        for index in 0..frame.len() {
            let public = frame.public(index).map_err(decode)?;
            // Most calls are said once: two bytes tell.
            if xdrs::is_first_revision(public) {
                continue;
            }
            let Some(head) = call_head(public).map_err(decode)? else { continue };
            match head.revision {
                Revision::First => {}
                Revision::Late { based_on, .. } => drop(self.dead.insert((own, based_on))),
                Revision::Run { based_on, .. } => {
                    let base = self.source_of(base_of(frame)?)?;
                    if !self.dead.insert((base, based_on)) {
                        self.dead.insert((own, Position { seq: header.seq, index: index as u32 }));
                    }
                }
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

    /// Hands out the frames of a source from `from` on.
    pub(super) fn frames(
        &self,
        worker: &Worker<'_>,
        source: u32,
        from: u64,
        each: &mut dyn FnMut(&FrameView<'_>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let source = &self.sources[source as usize];
        let mut seq = from.max(1);
        let offset = |seq: u64| source.offsets.get((seq - 1) as usize).copied();
        let Some(first) = offset(seq) else { return Ok(()) };
        let mut reader = worker.bus.reader(&source.stream, 0, first)?;
        let mut batch = Batch::new();
        while let Some(wanted) = offset(seq) {
            worker.go_on()?;
            if reader.poll(&mut batch, POLL_BYTES, WAIT)? == 0 {
                return Err(RunError::Short { stream: source.stream.clone(), seq });
            }
            for record in batch.iter().filter(|record| record.offset >= wanted) {
                if offset(seq) == Some(record.offset) {
                    each(&parse(&source.stream, seq, record.value, worker.ids)?)?;
                    seq += 1;
                }
            }
        }
        Ok(())
    }
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
    bus: &'a dyn Bus,
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
        let offset = at.seq.checked_sub(1).and_then(|place| from.offsets.get(place as usize)).copied();
        let offset = offset.ok_or_else(missing)?;
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
