//! Records that are not folded: those whose time has not come, those that an operator's order passes over (design
//! 6.7), and what is no record of this partition. Each stands in the stream as a reject that names its offset.

use super::{Rater, wall_micros};
use crate::options::{RaterError, add};
use facts::call::{BusRecord, Reject};
use facts::time::ObservedAt;
use facts::xdr::XdrItem;
use schemas::bus_record::RecordRef;
use smol_str::SmolStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A record may be so far ahead of our clock before the partition calls for help.
const AHEAD_MAX: i64 = 5_000_000;

/// What became of the wait for a record of the future.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// Its time has come.
    Due,
    /// An operator's order passes it over.
    Voided,
    /// Told to stop meanwhile.
    Stopped,
}

/// How the reason of a record begins that an order passed over.
const VOID_ORDER: &str = "void_order: ";

/// Whether a reject of the log's own tells of an operator's order.
pub(crate) fn is_void_order(reject: &Reject) -> bool {
    reject.reason.starts_with(VOID_ORDER)
}

impl Rater<'_> {
    /// A record of the future is not folded before its time has come; far ahead, the partition calls for help, and an
    /// operator's order passes it over.
    pub(super) fn await_time(&mut self, ahead: i64, offset: u64, stop: &AtomicBool) -> Result<Arrived, RaterError> {
        self.wall = wall_micros();
        let partition = self.options.partition;
        let mut alarmed = false;
        while ahead > self.wall {
            if stop.load(Ordering::Relaxed) {
                return Ok(Arrived::Stopped);
            }
            if !self.builder.is_empty() || !self.calls.is_empty() {
                self.close_frame()?;
            }
            if ahead - self.wall > AHEAD_MAX {
                // The frame that passes over the record names the version that holds the order.
                self.follow_config()?;
                if self.config.voids.contains_key(&(partition, offset)) {
                    self.stats.set_trouble(None);
                    return Ok(Arrived::Voided);
                }
            }
            if ahead - self.wall > AHEAD_MAX && !alarmed {
                let text = format!(
                    "call-events/{partition} stands still at offset {offset}: its record was observed at {}, which is \
                     in the future; set the clocks right, or pass over the record: tandem config void {partition} \
                     {offset} --reason TEXT",
                    ObservedAt(ahead)
                );
                tracing::error!("{text}");
                self.stats.set_trouble(Some(text));
                alarmed = true;
            }
            self.it.writer.collect()?;
            self.look_around()?;
            std::thread::sleep(Duration::from_micros((ahead - self.wall).clamp(100, 50_000) as u64));
            self.wall = wall_micros();
        }
        if alarmed {
            self.stats.set_trouble(None);
        }
        Ok(Arrived::Due)
    }

    /// What stands in the stream for a record that an operator's order passes over. It is counted where it belongs to
    /// an import; its time, which is wrong, is not looked at.
    pub(super) fn voided(&mut self, record: &RecordRef<'_>, offset: u64) -> XdrItem {
        let import = match record {
            RecordRef::Event(event) => {
                let id = &event.id;
                if !id.node.is_empty() {
                    // It has come: its node's sequence has no gap there.
                    self.it.assembler.nodes.first_time(id.node, id.boot_epoch, id.sequence);
                }
                event.import
            }
            RecordRef::Other(BusRecord::Reject(reject)) => reject.import,
            _ => None,
        };
        if let Some(import) = import {
            self.it.assembler.imports.rejected(import);
        }
        add(&self.stats.rejects, 1);
        self.it.passed.insert(offset);
        let why = self.config.voids.get(&(self.options.partition, offset)).map_or("", String::as_str);
        let advice = "nothing of it was folded; send what it said again with the right time where it matters";
        self.void(offset, format!("{VOID_ORDER}{why}"), advice)
    }

    pub(super) fn void(&self, offset: u64, reason: String, advice: &str) -> XdrItem {
        XdrItem::Reject(Box::new(Reject {
            source: self.options.source(),
            import: None,
            line: offset,
            byte: 0,
            field: SmolStr::default(),
            reason,
            advice: advice.to_owned(),
            raw: None,
            observed_at: self.it.assembler.clock().unwrap_or_default(),
        }))
    }
}
