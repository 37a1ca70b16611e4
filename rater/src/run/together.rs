//! Several at a time: records are read and calls priced in groups, so that the memory of many is waited for at once.
//! What is consumed, put into frames and counted is the same as one by one, in the same order.

use bus::Batch;
use facts::call::{Call, EventRef};
use facts::ids::{CallId, Cause};
use facts::xdr::{Position, Revision, Xdr, XdrItem};
use rating::assemble::{Known, Outcome, Pushed};
use rating::rerate::Sides;
use schemas::bus_record::{self, RecordRef};
use schemas::frame::{BYTES_MAX, FrameFull};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Rater, Write, names_of};
use crate::options::{RaterError, add};

/// Records read ahead of the one that is consumed.
const RECORDS: usize = 24;
/// Calls priced together.
pub(super) const CALLS: usize = 32;

impl Rater<'_> {
    /// Consumes the records of a batch, and puts every call that they made ready into frames.
    pub(super) fn records(&mut self, batch: &Batch, stop: &AtomicBool) -> Result<(), RaterError> {
        let mut group = Vec::with_capacity(RECORDS);
        let mut records = batch.iter();
        loop {
            for record in records.by_ref().take(RECORDS) {
                group.push((record.offset, record.value, bus_record::read(record.value, &self.options.ids)));
            }
            if group.is_empty() {
                return self.write_calls(false);
            }
            let events = group.iter().filter_map(|(.., read)| match read {
                Ok(RecordRef::Event(event)) => Some(event),
                _ => None,
            });
            black_box(self.it.assembler.warm(events));
            for (offset, value, read) in group.drain(..) {
                self.record(offset, value, read, stop)?;
                if stop.load(Ordering::Relaxed) && self.it.to <= offset {
                    return self.write_calls(false); // Waiting for a record of the future was cut short.
                }
            }
        }
    }

    /// What became of an event; one whose call waits to be put into a frame waits until it stands there.
    pub(super) fn pushed(&mut self, event: &EventRef<'_>, offset: u64) -> Result<Pushed, RaterError> {
        match self.it.assembler.push(event, offset, &self.it.places, &mut self.it.keys) {
            Pushed::Leaving => {
                self.write_calls(true)?;
                Ok(self.it.assembler.push_left(event, offset, &self.it.places))
            }
            pushed => Ok(pushed),
        }
    }

    /// Takes every call that is ready; they are priced and put into the frame in groups.
    pub(super) fn take_ready(&mut self) -> Result<(), RaterError> {
        while let Some(outcome) = self.it.assembler.next_ready() {
            match outcome {
                Outcome::Call(call) => {
                    self.calls.push(call);
                    if self.calls.len() >= CALLS {
                        self.write_calls(false)?;
                    }
                }
                Outcome::Suspended { call_id, started_at, item } => {
                    self.write_calls(false)?;
                    add(&self.stats.suspended, 1);
                    let names = item
                        .events
                        .first()
                        .map(|first| (first.id_domain.clone(), first.switch.clone(), first.call_key.clone()));
                    let item = XdrItem::Suspended(item);
                    let write: Write<'_> = &|public, private| schemas::xdrs::encode_item(&item, public, private);
                    let at = self.put_ready(call_id, write, false)?;
                    self.it.assembler.written();
                    if let Some((id_domain, switch, call_key)) = names {
                        let known = Known { at, suspended: true, started_at };
                        self.it.places.note(call_id, (&id_domain, &switch, &call_key), known);
                    }
                }
            }
        }
        Ok(())
    }

    /// Prices the calls that were taken and puts them into the frame. A frame that is full in between is closed with all
    /// records consumed so far: what is taken and not yet written is still open in the next owner's eyes, too. `within`
    /// a record, of which the counts and marks know already, a full frame goes without them.
    pub(super) fn write_calls(&mut self, within: bool) -> Result<(), RaterError> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let (mut calls, mut priced) = (std::mem::take(&mut self.calls), std::mem::take(&mut self.priced));
        calls.iter_mut().for_each(|call| self.tariffs.normalise(call));
        priced.resize_with(calls.len().max(priced.len()), Sides::new);
        self.tariffs.rate_many(calls.iter().map(|call| &**call), &mut |at, price| {
            priced[at].push(price.xdr(&calls[at], &Cause::First));
        });
        for (call, xdrs) in calls.drain(..).zip(&mut priced) {
            self.write_call(&call, xdrs, within)?;
            xdrs.clear();
        }
        (self.calls, self.priced) = (calls, priced);
        Ok(())
    }

    fn write_call(&mut self, call: &Call, xdrs: &[Xdr], within: bool) -> Result<(), RaterError> {
        add(&self.stats.calls, 1);
        add(&self.stats.answered, u64::from(call.answered()));
        self.count_sides(xdrs);
        let write: Write<'_> =
            &|public, private| schemas::xdrs::encode_call_parts(Revision::First, call, xdrs, public, private);
        let at = self.put_ready(call.call_id, write, within)?;
        self.it.assembler.written();
        let known = Known { at, suspended: false, started_at: call.started_at };
        self.it.places.note(call.call_id, names_of(call), known);
        Ok(())
    }

    /// Puts the item of a call that has been taken into the frame, or into the next one where this one is full.
    fn put_ready(&mut self, call: CallId, write: Write<'_>, within: bool) -> Result<Position, RaterError> {
        if self.full() {
            self.end_frame(within)?;
        }
        for again in [false, true] {
            match self.push_with(write) {
                Ok(at) => return Ok(at),
                Err(FrameFull::TooLarge { bytes }) => return self.put_too_large(call, bytes),
                Err(FrameFull::FrameFull) if again => self.write_frame()?,
                Err(FrameFull::FrameFull) => self.end_frame(within)?,
            }
        }
        match self.push_with(write) {
            Ok(at) => Ok(at),
            Err(_) => self.put_too_large(call, BYTES_MAX),
        }
    }

    fn end_frame(&mut self, within: bool) -> Result<(), RaterError> {
        if within { self.write_frame() } else { self.close_frame() }
    }
}
