//! What must hold, counted apart from the product: which frames of a log count, by a rule written down again here, and at
//! the end that each call is booked once at what it truly cost, everywhere.

use super::copy::{Reader, frame};
use super::{LEDGER, Pipeline, STREAMS, Work, XDRS};
use crate::Violation;
use accounting::TRIAL_FOLD;
use facts::CallId;
use facts::stream::{Input, StreamState, Verdict};
use facts::xdr::Position;
use schemas::frame::{StreamRecord, decode_record};

/// The rule of acceptance, once more.
pub(super) struct Oracle {
    stream: usize,
    epoch: u64,
    pub seq: u64,
    pub hash: [u8; 32],
    /// Where events, or positions of the other stream, go on.
    events: u64,
    position: Position,
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
        reader.catch_up(&self.logs[LEDGER], &self.ids, None);
        let mut cold = super::books::Books::new();
        for place in &reader.frames {
            let Some(frame) = frame(&self.logs[LEDGER][*place], &self.ids) else { continue };
            cold.fold(&frame, TRIAL_FOLD).map_err(|why| Violation::new("the log folds again", None, why))?;
        }
        let roots = [books.book.root(), cold.book.root(), self.copy.books.book.root()];
        if roots[0] != roots[1] || roots[0] != roots[2] {
            return broken("equal streams, equal roots", format!("owner, log, copy: {roots:?}"));
        }
        for (number, cents) in self.truth.iter().enumerate() {
            let owed = cold.owed(CallId::new("test", "sw1", &format!("c{number}")));
            let cost = i128::from(*cents) * facts::money::ONE / 100;
            if owed != cost {
                return broken(
                    "each call is booked once, at what it cost",
                    format!("call {number} cost {cost}, booked {owed}"),
                );
            }
        }
        Ok(())
    }
}
