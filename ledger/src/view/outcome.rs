//! What became of a run in the ledger: calls posted, calls refused because something had changed since the preview, and
//! calls that something has replaced since (design 6.1: late truth that replaces a run's revision is listed for it).

use bus::Bus;
use bus::stream::StreamReader;
use facts::entry::LedgerItem;
use facts::ids::OriginId;
use facts::run::{Run, run_stream};
use facts::xdr::Position;
use facts::{CallId, LedgerEntry};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::View;
use crate::error::LedgerError;
use crate::frames::ledger_item;
use crate::rated;
use accounting::PricedCall;
use schemas::SchemaIds;

/// Calls listed of each kind; the others are counted.
pub const LISTED_MAX: usize = 1_000;
/// How long a durable record may take to arrive.
const WAIT: Duration = Duration::from_secs(10);

/// A call of a run that was not posted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallRefused {
    pub call_id: CallId,
    /// One of `accounting::post::REFUSALS`.
    pub reason: SmolStr,
    pub detail: String,
}

/// A call of a run that was posted and has another revision now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallReplaced {
    pub call_id: CallId,
    /// Stream of the revision that replaced it.
    pub by: SmolStr,
}

/// What became of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunOutcome {
    /// Calls of the run that are booked.
    pub posted: u64,
    pub refused: u64,
    pub replaced: u64,
    /// At most [`LISTED_MAX`] of each.
    pub refused_calls: Vec<CallRefused>,
    pub replaced_calls: Vec<CallReplaced>,
}

/// What the ledger says of revisions, by their origin.
#[derive(Default)]
struct Said {
    refused: HashMap<OriginId, (SmolStr, String)>,
    /// Revisions that an entry of another stream adjusts, and that stream.
    adjusted: HashMap<OriginId, SmolStr>,
}

impl View {
    /// Reads the ledger from the order to post on, then the run's stream. Nothing is kept of a run in memory.
    pub fn run_outcome(
        &self,
        bus: &dyn Bus,
        ids: &SchemaIds,
        site: &str,
        run: &Run,
    ) -> Result<RunOutcome, LedgerError> {
        let stream = run_stream(site, run.id);
        let mut outcome = RunOutcome::default();
        if bus.partitions(&stream)?.is_none() {
            return Ok(outcome);
        }
        let said = self.said(&stream, run.ledger_seq)?;
        let mut reader = StreamReader::open(bus, ids, &stream)?;
        let (end, mut call) = (bus.end(&stream, 0)?, PricedCall::default());
        while reader.offset() < end {
            reader.poll(WAIT, &mut |accepted| {
                let seq = accepted.frame.header.seq;
                for index in 0..accepted.frame.len() {
                    let read = accepted.frame.public(index).and_then(|public| rated::read(public, &mut call));
                    let at = Position { seq, index: index as u32 };
                    if read.map_err(|error| LedgerError::Item { stream: stream.clone(), at, error })? {
                        outcome.count(&call, &said);
                    }
                }
                Ok::<(), LedgerError>(())
            })?;
        }
        Ok(outcome)
    }

    fn said(&self, stream: &SmolStr, from: u64) -> Result<Said, LedgerError> {
        let (mut said, last) = (Said::default(), self.progress().state.seq());
        for seq in from.max(1)..=last {
            self.read(seq, |frame| {
                for index in 0..frame.len() {
                    match ledger_item(&self.stream, frame, index)? {
                        LedgerItem::Refused { origin_id, reason, detail } => {
                            said.refused.insert(origin_id, (reason, detail));
                        }
                        LedgerItem::Entry(entry) => said.entry(stream, &entry),
                        _ => {}
                    }
                }
                Ok(())
            })?;
        }
        Ok(said)
    }
}

impl Said {
    fn entry(&mut self, stream: &SmolStr, entry: &LedgerEntry) {
        if let (Some(adjusts), Some((by, _))) = (entry.adjusts, &entry.source)
            && by != stream
        {
            self.adjusted.insert(adjusts, by.clone());
        }
    }
}

impl RunOutcome {
    /// A call is one revision: what is said of one of its sides is said of the call.
    fn count(&mut self, call: &PricedCall, said: &Said) {
        let origins: HashSet<OriginId> = call.sides.iter().map(|side| OriginId(side.rev_id.0)).collect();
        let call_id = call.call_id;
        if let Some((reason, detail)) = origins.iter().find_map(|origin| said.refused.get(origin)) {
            self.refused += 1;
            if self.refused_calls.len() < LISTED_MAX {
                let (reason, detail) = (reason.clone(), detail.clone());
                self.refused_calls.push(CallRefused { call_id, reason, detail });
            }
            return;
        }
        self.posted += 1;
        if let Some(by) = origins.iter().find_map(|origin| said.adjusted.get(origin)) {
            self.replaced += 1;
            if self.replaced_calls.len() < LISTED_MAX {
                self.replaced_calls.push(CallReplaced { call_id, by: by.clone() });
            }
        }
    }
}
