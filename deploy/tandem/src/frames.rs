//! One frame of a stream by its sequence: a binary search over the topic's offsets, because fences and void records
//! stand between frames.

use bus::{Batch, Bus, Reader};
use facts::xdr::{Position, RatedCall, XdrItem};
use schemas::frame::{StreamRecord, decode_record};
use schemas::{SchemaIds, xdrs};
use std::time::Duration;

/// How long a durable record may take to arrive.
const WAIT: Duration = Duration::from_secs(5);

/// The rated call at a place; `None` where there is something else or nothing.
pub fn rated_call(bus: &dyn Bus, ids: &SchemaIds, stream: &str, at: Position) -> Result<Option<RatedCall>, String> {
    let mut found = None;
    with_frame(bus, ids, stream, at.seq, &mut |frame| {
        if let Ok((public, private)) = frame.item(at.index as usize)
            && let Ok(XdrItem::Call(call)) = xdrs::decode_item(public, private)
        {
            found = Some(*call);
        }
    })?;
    Ok(found)
}

/// Calls `each` with the frame of that sequence, where it is there.
fn with_frame(
    bus: &dyn Bus,
    ids: &SchemaIds,
    stream: &str,
    seq: u64,
    each: &mut dyn FnMut(&schemas::FrameView<'_>),
) -> Result<(), String> {
    let text = |e: bus::BusError| e.to_string();
    let (mut low, mut high) = (bus.begin(stream, 0).map_err(text)?, bus.end(stream, 0).map_err(text)?);
    let mut reader = bus.reader(stream, 0, low).map_err(text)?;
    let mut batch = Batch::new();
    while low < high {
        let middle = low + (high - low) / 2;
        match next_frame(&mut *reader, &mut batch, ids, middle, high, seq, each)? {
            // No frame between the middle and the end of the search.
            None => high = middle,
            Some((found, _)) if found == seq => return Ok(()),
            Some((found, offset)) if found < seq => low = offset + 1,
            Some(_) => high = middle,
        }
    }
    Ok(())
}

/// Sequence and offset of the first frame at or after `from`, before `until`; the wanted one is handed to `each`.
fn next_frame(
    reader: &mut dyn Reader,
    batch: &mut Batch,
    ids: &SchemaIds,
    from: u64,
    until: u64,
    wanted: u64,
    each: &mut dyn FnMut(&schemas::FrameView<'_>),
) -> Result<Option<(u64, u64)>, String> {
    reader.seek(from).map_err(|e| e.to_string())?;
    while reader.position() < until {
        if reader.poll(batch, 1, WAIT).map_err(|e| e.to_string())? == 0 {
            return Ok(None);
        }
        for record in batch.iter().take_while(|record| record.offset < until) {
            if let Ok(StreamRecord::Frame(frame)) = decode_record(record.value, ids) {
                if frame.header.seq == wanted {
                    each(&frame);
                }
                return Ok(Some((frame.header.seq, record.offset)));
            }
        }
    }
    Ok(None)
}
