//! Items of the ledger's own frames. Frames are read by `bus::stream::FrameReader`.

use facts::entry::LedgerItem;
use facts::xdr::Position;
use facts::{CallId, LedgerEntry};
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::error::LedgerError;
use crate::view::View;
use bus::stream::FrameReader;
use bus::{Batch, Bus};

/// Bytes asked of the log at once.
const POLL_BYTES: usize = 4 << 20;
/// How long a durable record may take to arrive.
const WAIT: Duration = Duration::from_secs(10);

/// An item of a ledger frame.
pub fn ledger_item(stream: &SmolStr, frame: &FrameView<'_>, index: usize) -> Result<LedgerItem, LedgerError> {
    let at = Position { seq: frame.header.seq, index: index as u32 };
    schemas::ledger::item(frame, index).map_err(|error| LedgerError::Item { stream: stream.clone(), at, error })
}

/// The entries of one call in a ledger frame, in order, each with its place.
pub fn entries_of_call(
    stream: &SmolStr,
    frame: &FrameView<'_>,
    call: CallId,
    mut each: impl FnMut(Position, LedgerEntry),
) -> Result<(), LedgerError> {
    for index in 0..frame.len() {
        // The id stands in the bytes as it is, so most items need no decoding.
        let bytes = frame.public(index).unwrap_or_default();
        if !bytes.windows(16).any(|window| window == call.0) {
            continue;
        }
        if let LedgerItem::Entry(entry) = ledger_item(stream, frame, index)?
            && entry.call_id == Some(call)
        {
            each(Position { seq: frame.header.seq, index: index as u32 }, *entry);
        }
    }
    Ok(())
}

/// Frames kept by [`CallEntries`]. A run goes over calls in the order of their streams, whose entries stand in few
/// frames at a time: the first revision's, and one per run before.
const KEPT: usize = 8;

/// Entries by call of whole frames, for whoever asks for many calls of the same frame: a run, and the proof of one.
/// Scanning the frame for each of them would take time with the square of the calls.
#[derive(Default)]
pub struct CallEntries {
    /// Newest first.
    kept: VecDeque<(u64, HashMap<CallId, Vec<LedgerEntry>>)>,
}

impl CallEntries {
    /// Appends the entries of a call in frame `seq`, which stands at `offset`, to `out`.
    pub fn of_call(
        &mut self,
        (stream, reader): (&SmolStr, &mut FrameReader),
        (seq, offset): (u64, u64),
        call: CallId,
        out: &mut Vec<LedgerEntry>,
    ) -> Result<(), LedgerError> {
        match self.kept.iter().position(|(kept, _)| *kept == seq) {
            Some(0) => {}
            Some(at) => self.kept.swap(0, at),
            None => {
                let frame = reader.frame(seq, offset)?;
                let mut entries: HashMap<CallId, Vec<LedgerEntry>> = HashMap::with_capacity(frame.len());
                for index in 0..frame.len() {
                    if let LedgerItem::Entry(entry) = ledger_item(stream, &frame, index)?
                        && let Some(call) = entry.call_id
                    {
                        entries.entry(call).or_default().push(*entry);
                    }
                }
                self.kept.truncate(KEPT - 1);
                self.kept.push_front((seq, entries));
            }
        }
        let found = self.kept.front().and_then(|(_, entries)| entries.get(&call));
        out.extend(found.into_iter().flatten().cloned());
        Ok(())
    }
}

/// Reads accepted frames `first` to `last` in their order, by the places that the view knows.
pub fn walk(
    (bus, ids, view): (&dyn Bus, &SchemaIds, &View),
    first: u64,
    last: u64,
    each: &mut dyn FnMut(&FrameView<'_>) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let stream = view.stream();
    let missing = |seq| LedgerError::Missing { stream: stream.clone(), seq };
    let place = |seq| view.offset(seq).ok_or_else(|| missing(seq));
    if first > last {
        return Ok(());
    }
    let (mut seq, mut offset) = (first, place(first)?);
    let mut reader = bus.reader(stream, 0, offset)?;
    let mut batch = Batch::new();
    loop {
        if reader.poll(&mut batch, POLL_BYTES, WAIT)? == 0 {
            return Err(missing(seq));
        }
        for record in (0..batch.len()).filter_map(|at| batch.get(at)) {
            // Fences and void records lie between.
            if record.offset < offset {
                continue;
            }
            let damaged = |error| LedgerError::Frame { stream: stream.clone(), seq, error };
            let frame = FrameView::parse(record.value, ids).map_err(damaged)?;
            if record.offset > offset || frame.header.seq != seq {
                return Err(missing(seq));
            }
            each(&frame)?;
            if seq == last {
                return Ok(());
            }
            seq += 1;
            offset = place(seq)?;
        }
    }
}
