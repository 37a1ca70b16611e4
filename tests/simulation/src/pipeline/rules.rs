//! What must hold, counted apart from the product: which frames of a log count, by a rule written down again here, and at
//! the end that each call is booked once at what it truly cost, everywhere.

use super::copy::{Reader, frame};
use super::disk::Unread;
use super::{LEDGER, Pipeline, STREAMS, Work, XDRS};
use crate::Violation;
use accounting::TRIAL_FOLD;
use accounting::pay::origin_of;
use facts::CallId;
use facts::entry::{EntryKind, LedgerItem};
use facts::ids::OriginId;
use facts::stream::{Input, StreamState, Verdict};
use facts::xdr::{Position, XdrItem};
use schemas::frame::{StreamRecord, decode_record};
use std::collections::{BTreeMap, BTreeSet};

/// The rule of acceptance, once more.
pub(super) struct Oracle {
    stream: usize,
    pub epoch: u64,
    pub seq: u64,
    pub hash: [u8; 32],
    /// Where events, or positions of the other stream, go on.
    pub events: u64,
    pub position: Position,
    booked: i64,
    version: u32,
    /// Hashes of the frames that count.
    pub chain: Vec<[u8; 32]>,
    /// The product's rule beside it.
    theirs: StreamState,
}

impl Oracle {
    pub fn new(stream: usize) -> Self {
        Self {
            stream,
            epoch: 0,
            seq: 0,
            hash: [0; 32],
            events: 0,
            position: Position { seq: 1, index: 0 },
            booked: i64::MIN,
            version: 1,
            chain: Vec::new(),
            theirs: StreamState::new(STREAMS[stream]),
        }
    }

    /// Looks at one record; true when it is a frame that counts.
    pub fn see(&mut self, record: &[u8], pipeline: &Pipeline) -> Result<bool, Violation> {
        let broken = |rule, what: String| Err(Violation::new(rule, None, what));
        let Ok(read) = decode_record(record, &pipeline.ids) else { return Ok(false) };
        let frame = match read {
            StreamRecord::Fence(fence) => {
                let counts = fence.epoch > self.epoch;
                if counts != (self.theirs.fold_fence(&fence) == Verdict::Accepted) {
                    return broken("the product's rule is the written one", format!("{fence:?}"));
                }
                self.epoch = self.epoch.max(fence.epoch);
                return Ok(false);
            }
            StreamRecord::Frame(frame) => frame,
        };
        let header = &frame.header;
        let follows = header.inputs.iter().all(|input| match input {
            Input::Events { from, .. } => *from == self.events,
            Input::Stream { from, .. } => *from == self.position,
        });
        let counts =
            header.epoch == self.epoch && header.seq == self.seq + 1 && header.prev_hash == self.hash && follows;
        if counts != (self.theirs.fold_frame(&frame.meta()) == Verdict::Accepted) {
            return broken("the product's rule is the written one", format!("{header:?}"));
        }
        if !counts {
            return Ok(false);
        }
        if header.booked_at.0 <= self.booked {
            return broken(
                "BookedAt rises from frame to frame",
                format!("{} frame {}", STREAMS[self.stream], header.seq),
            );
        }
        let ordered =
            pipeline.order.is_some_and(|(version, from)| header.fold_version <= version && header.booked_at.0 >= from);
        if header.fold_version < self.version || (header.fold_version > 1 && !ordered) {
            let what = format!("frame {} is of fold version {}", header.seq, header.fold_version);
            return broken("a fold version is ordered, and only rises", what);
        }
        (self.seq, self.hash, self.booked) = (header.seq, frame.hash(), header.booked_at.0);
        self.version = header.fold_version;
        for input in &header.inputs {
            match input {
                Input::Events { to, .. } => self.events = *to,
                Input::Stream { to, .. } => self.position = *to,
            }
        }
        self.chain.push(self.hash);
        Ok(true)
    }
}

impl Pipeline {
    /// Whoever has acted on a frame, it counts.
    pub(super) fn confirmed_count(&self) -> Result<(), Violation> {
        for (stream, seq, hash) in &self.confirmed {
            let counts = self.oracles[*stream].chain.get(*seq as usize - 1) == Some(hash);
            // A frame on its way may still come to count.
            if !counts && self.oracles[*stream].seq >= *seq {
                let what = format!("{} frame {seq} was acted on, and another one counts", STREAMS[*stream]);
                return Err(Violation::new("what was acted on counts", None, what));
            }
        }
        Ok(())
    }

    /// When all has healed.
    pub(super) fn at_rest(&mut self) -> Result<(), Violation> {
        self.confirmed_count()?;
        let broken = |rule, what: String| Err(Violation::new(rule, None, what));
        for stream in [XDRS, LEDGER] {
            if *self.copy.states[stream].hash() != self.oracles[stream].hash {
                return broken("the copy ends where the stream does", STREAMS[stream].to_owned());
            }
        }
        let Some(Work::Books(books)) =
            self.owners.iter_mut().map(|owner| &mut owner.work).find(|work| matches!(work, Work::Books(_)))
        else {
            return broken("every stream has an owner", STREAMS[LEDGER].to_owned());
        };
        let mut reader = Reader::new(LEDGER);
        let unread = |why: Unread| Violation::new("a log that is whole can be read", None, format!("{why:?}"));
        reader.catch_up(&self.logs[LEDGER], &self.ids, None).map_err(unread)?;
        let mut cold = super::books::Books::new();
        let mut refused = BTreeSet::new();
        let mut paid = BTreeMap::<OriginId, Vec<i128>>::new();
        for frame in reader.frames_from(&self.logs[LEDGER], &self.ids, 1, usize::MAX).map_err(unread)? {
            cold.fold(&frame, TRIAL_FOLD).map_err(|why| Violation::new("the log folds again", None, why))?;
            let items = (0..frame.len()).filter_map(|index| schemas::ledger::item(&frame, index).ok());
            for item in items {
                match item {
                    LedgerItem::Refused { origin_id, .. } => drop(refused.insert(origin_id)),
                    LedgerItem::Entry(entry) if entry.kind == EntryKind::Payment => {
                        let of_customer = entry.postings.iter().filter(|posting| posting.account == "acme");
                        let sum = of_customer.map(|posting| posting.amount.0).sum();
                        paid.entry(entry.origin_id).or_default().push(sum);
                    }
                    _ => {}
                }
            }
        }
        for order in &self.orders {
            let booked = paid.get(&origin_of(&order.id)).map_or(&[][..], Vec::as_slice);
            if booked != [-order.amount.0] {
                let what = format!("{} of {}, booked {booked:?}", order.id, order.amount);
                return broken("each payment is booked once, as it was ordered", what);
            }
        }
        let roots = [books.book.root(), cold.book.root(), self.copy.books.book.root()];
        if roots[0] != roots[1] || roots[0] != roots[2] {
            return broken("equal streams, equal roots", format!("owner, log, copy: {roots:?}"));
        }
        for (number, cents) in self.truth.iter().enumerate() {
            let owed = cold.owed(CallId::new("test", "sw1", &format!("c{number}")));
            let cost = i128::from(*cents) * facts::money::ONE / 100;
            // Of a call that was booked before its rated calls were lost, the ledger may know a part; the whole, told
            // again, is then refused by name.
            let key = format!("c{number}");
            if owed != cost && self.done.filled > 0 && self.revisions(&key).iter().any(|id| refused.contains(id)) {
                self.done.named += 1;
            } else if owed != cost {
                return broken(
                    "each call is booked once, at what it cost",
                    format!("call {number} cost {cost}, booked {owed}{}", self.life_of(&key)),
                );
            }
        }
        Ok(())
    }

    /// What the ledger knows the prices of a call by.
    fn revisions(&self, key: &str) -> Vec<OriginId> {
        let frames = self.logs[XDRS].truth.iter().filter_map(|record| frame(record, &self.ids));
        let mut revisions = Vec::new();
        for frame in frames {
            for index in 0..frame.len() {
                let item = frame.item(index).and_then(|(public, private)| schemas::xdrs::decode_item(public, private));
                if let Ok(XdrItem::Call(rated)) = item
                    && rated.call.call_key == key
                {
                    revisions.extend(rated.xdrs.iter().map(|xdr| OriginId(xdr.rev_id.0)));
                }
            }
        }
        revisions
    }

    /// What the rated calls' stream says of a call, for the story.
    fn life_of(&self, key: &str) -> String {
        let mut life = String::new();
        for frame in self.logs[XDRS].truth.iter().filter_map(|record| frame(record, &self.ids)) {
            let counts = self.oracles[XDRS].chain.contains(&frame.hash());
            for index in 0..frame.len() {
                let item = frame.item(index).and_then(|(public, private)| schemas::xdrs::decode_item(public, private));
                let told = match item {
                    Ok(XdrItem::Call(rated)) if rated.call.call_key == key => {
                        format!("{:?} of {} s", rated.revision, rated.call.duration / super::SECOND)
                    }
                    Ok(XdrItem::Suspended(item)) if item.events.iter().any(|event| event.call_key == key) => {
                        format!("suspended with {} events", item.events.len())
                    }
                    _ => continue,
                };
                let void = if counts { "" } else { " (void)" };
                life.push_str(&format!("\n  frame {} item {index}{void}: {told}", frame.header.seq));
            }
        }
        let call_id = CallId::new("test", "sw1", key);
        for frame in self.logs[LEDGER].truth.iter().filter_map(|record| frame(record, &self.ids)) {
            for index in 0..frame.len() {
                let told = match schemas::ledger::item(&frame, index) {
                    Ok(LedgerItem::Entry(entry)) if entry.call_id == Some(call_id) => {
                        format!("entry of {:?}: {:?}", entry.source, entry.postings)
                    }
                    Ok(LedgerItem::Refused { reason, detail, .. }) => format!("refused {reason}: {detail}"),
                    _ => continue,
                };
                life.push_str(&format!("\n  ledger frame {} item {index}: {told}", frame.header.seq));
            }
        }
        life
    }
}
