//! After a lost disk: empty frames in the places of lost rated calls that the ledger has booked. Ledgers reach the peers
//! before rated calls do, so a ledger that came back may name frames that did not. Without something in their places the
//! next calls would stand there, and the ledger, which has consumed these places, would book none of them.

use bus::stream::{Accepted, StreamError, StreamWriter};
use bus::{Bus, TopicSpec};
use facts::stream::{Consumed, StreamState};
use schemas::{FrameBuilder, SchemaIds};
use smol_str::SmolStr;

use crate::{belongs_to, wall_micros};

/// The last frame of each of the site's streams of rated calls that its ledger has consumed from, if only in part.
pub(crate) fn booked(site: &str, ledger: &StreamState) -> Vec<(SmolStr, u64)> {
    let frame = |one: &Consumed| match one {
        Consumed::Stream { stream, next } if belongs_to(site, stream) => {
            Some((stream.clone(), if next.index == 0 { next.seq.saturating_sub(1) } else { next.seq }))
        }
        _ => None,
    };
    ledger.consumed().iter().filter_map(frame).collect()
}

/// Claims the stream and appends empty frames up to frame `to`. Returns how many there were to write.
pub(crate) fn fill(bus: &dyn Bus, ids: &SchemaIds, stream: &str, owner: &str, to: u64) -> Result<u64, StreamError> {
    let mut last = (0, 1, None, None);
    let mut each = |accepted: Accepted<'_>| {
        let header = &accepted.frame.header;
        last = (header.config_seq, header.fold_version, header.floor, header.clock);
        Ok::<(), StreamError>(())
    };
    bus.ensure(&TopicSpec::frames(stream, 1))?;
    let mut writer = StreamWriter::claim(bus, ids, stream, owner, None, wall_micros(), &mut each)?;
    let lost = to.saturating_sub(writer.state().seq());
    let (config_seq, fold_version, floor, clock) = last;
    for _ in 0..lost {
        let parts = bus::stream::FrameParts {
            item_schema: schemas::xdrs::ITEMS,
            config_seq,
            fold_version,
            inputs: Default::default(),
            floor,
            clock,
            wall_micros: wall_micros(),
        };
        writer.append(&mut FrameBuilder::new(), parts)?;
    }
    writer.settle()?;
    Ok(lost)
}
