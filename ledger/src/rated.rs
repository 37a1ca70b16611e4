//! Rated calls as posting needs them, straight from an item's public part: private parts may be sealed or destroyed
//! and the ledger still books and proves.

use accounting::Priced;
use facts::xdr::{Position, Revision, Xdr};
use facts::{CallId, OccurredAt};
use schemas::DecodeError;
use schemas::wire::{RatedCallRevision, XdrsItem, XdrsItemItem};
use smallvec::SmallVec;

/// A rated call without what can name a person. Reused from item to item.
#[derive(Clone, PartialEq, Debug)]
pub struct RatedItem {
    pub call_id: CallId,
    pub started_at: OccurredAt,
    pub revision: Revision,
    pub xdrs: SmallVec<[Xdr; 2]>,
}

impl Default for RatedItem {
    fn default() -> Self {
        Self {
            call_id: CallId::default(),
            started_at: OccurredAt::default(),
            revision: Revision::First,
            xdrs: SmallVec::new(),
        }
    }
}

impl RatedItem {
    /// Reads the public part of an item of an xdrs frame; false when it is no rated call.
    pub fn read(&mut self, public: &[u8]) -> Result<bool, DecodeError> {
        let XdrsItemItem::RatedCall(call) = XdrsItem::decode(public)?.item else { return Ok(false) };
        self.call_id = CallId(call.call_id);
        self.started_at = OccurredAt(call.started_at);
        self.revision = match &call.revision {
            RatedCallRevision::Null => Revision::First,
            RatedCallRevision::LateRevision(x) => Revision::Late {
                trigger: x.trigger,
                based_on: Position { seq: x.based_on_seq, index: x.based_on_index },
            },
            RatedCallRevision::RunRevision(x) => {
                Revision::Run { run: x.run, based_on: Position { seq: x.based_on_seq, index: x.based_on_index } }
            }
        };
        self.xdrs.clear();
        self.xdrs.extend(call.xdrs.iter().map(schemas::xdrs::xdr_to_facts));
        Ok(true)
    }

    pub fn priced(&self) -> Priced<'_> {
        Priced { call_id: self.call_id, started_at: self.started_at, revision: self.revision, xdrs: &self.xdrs }
    }
}
