//! Items of the ledger's own frames. Frames are read by `bus::stream::FrameReader`.

use facts::entry::LedgerItem;
use facts::xdr::Position;
use facts::{CallId, LedgerEntry};
use schemas::FrameView;
use smol_str::SmolStr;

use crate::error::LedgerError;

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
