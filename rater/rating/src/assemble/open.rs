//! One open call: what the assembler looks at for every event, and the events themselves at rest.

use facts::call::{CallEvent, EventKind, EventRef};
use facts::ids::CallId;
use facts::time::OccurredAt;
use smallvec::SmallVec;

use super::fold::{self, Standing};
use super::packed::{Bytes, Packed, pack};

/// Events of a call as they are read again.
pub(super) type Events<'a> = SmallVec<[EventRef<'a>; 4]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Complete,
    /// Ended at the last proof of life.
    Estimate,
    Suspend(&'static str),
}

/// A place for one open call; used again and again.
#[derive(Debug)]
pub(super) struct OpenCall {
    /// Counts up whenever the place is used again, so that stale entries of the queues are told apart.
    pub generation: u32,
    /// A call stands here.
    pub live: bool,
    /// In the list of those that have outlived the maximum call.
    pub old: bool,
    pub ready: Option<Why>,
    pub hash: u64,
    pub call_id: CallId,
    pub first_offset: u64,
    pub first_observed: i64,
    last_observed: i64,
    newest_observed: i64,
    /// When missing attempts are given up; `i64::MAX` while there is no end.
    pub due: i64,
    /// The first start or record to come.
    start: Option<OccurredAt>,
    count: u32,
    /// An end or a record is among the events.
    ends: bool,
    interim: bool,
    /// Where the events begin: before them stand domain, switch and key.
    events_at: usize,
    bytes: Bytes,
}

impl OpenCall {
    pub fn empty() -> Self {
        Self {
            generation: 0,
            live: false,
            old: false,
            ready: None,
            hash: 0,
            call_id: CallId::default(),
            first_offset: 0,
            first_observed: 0,
            last_observed: 0,
            newest_observed: 0,
            due: i64::MAX,
            start: None,
            count: 0,
            ends: false,
            interim: false,
            events_at: 0,
            bytes: Bytes::new(),
        }
    }

    /// Begins a call that the event names; the event itself is added apart.
    pub fn begin(&mut self, event: &EventRef<'_>, call_id: CallId, hash: u64, offset: u64) {
        // Field by field: the bytes stay where they are.
        (self.live, self.old, self.ready) = (true, false, None);
        (self.hash, self.call_id, self.first_offset) = (hash, call_id, offset);
        (self.due, self.start, self.count) = (i64::MAX, None, 0);
        (self.ends, self.interim) = (false, false);
        self.bytes.clear();
        for text in names(event) {
            self.bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        for text in names(event) {
            self.bytes.extend_from_slice(text.as_bytes());
        }
        self.events_at = self.bytes.len();
    }

    /// The place is free; what a large call took is given back.
    pub fn clear(&mut self) {
        self.live = false;
        self.ready = None;
        self.generation = self.generation.wrapping_add(1);
        if self.bytes.capacity() > 4_096 {
            self.bytes = Bytes::new();
        }
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    pub fn start(&self) -> Option<OccurredAt> {
        self.start
    }

    pub fn last_observed(&self) -> i64 {
        self.last_observed
    }

    /// ObservedAt of the event that was added last.
    pub fn newest_observed(&self) -> i64 {
        self.newest_observed
    }

    /// Something of each line that an event of this call will want to see.
    pub fn touch(&self) -> u64 {
        let lines = self.bytes.iter().step_by(64);
        lines.fold(self.hash, |all, byte| all.rotate_left(1) ^ u64::from(*byte))
    }

    pub fn add(&mut self, event: &EventRef<'_>) {
        let observed = event.observed_at.micros();
        self.last_observed = if self.count == 0 { observed } else { self.last_observed.max(observed) };
        self.newest_observed = observed;
        if self.start.is_none() && matches!(event.kind, EventKind::Started | EventKind::Record) {
            self.start = Some(event.started_at.unwrap_or(event.occurred_at));
        }
        self.ends |= matches!(event.kind, EventKind::Ended | EventKind::Record);
        self.interim |= event.kind == EventKind::Interim;
        self.count += 1;
        pack(event, &mut self.bytes);
    }

    fn lengths(&self) -> [usize; 3] {
        let at = |from: usize| self.bytes.get(from..).and_then(|rest| rest.first_chunk::<4>());
        [0, 4, 8].map(|from| at(from).map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize))
    }

    /// Domain, switch and key.
    pub fn names(&self) -> [&str; 3] {
        let mut from = 12;
        self.lengths().map(|length| {
            let text = self.bytes.get(from..from + length).unwrap_or_default();
            from += length;
            std::str::from_utf8(text).unwrap_or_default()
        })
    }

    /// Whether the event is of this call.
    pub fn is_of(&self, event: &EventRef<'_>) -> bool {
        let names = names(event);
        let mut from = 12;
        self.lengths() == names.map(str::len)
            && names.iter().all(|text| {
                let own = self.bytes.get(from..from + text.len());
                from += text.len();
                own == Some(text.as_bytes())
            })
    }

    fn packed(&self) -> Packed<'_> {
        Packed(self.bytes.get(self.events_at..).unwrap_or_default())
    }

    /// Whether this very event is among those known.
    pub fn holds(&self, event: &EventRef<'_>) -> bool {
        self.packed().any(|one| one.glance().is(event))
    }

    pub fn events(&self) -> Events<'_> {
        let names = self.names();
        self.packed().map(|one| one.unpack(names)).collect()
    }

    /// Of several proofs of life of one leg only the last says something: true where one was known and the later of
    /// both stands now.
    pub fn replace_interim(&mut self, event: &EventRef<'_>) -> bool {
        if event.kind != EventKind::Interim || !self.interim {
            return false;
        }
        let events = self.events();
        let leg = |event: &EventRef<'_>| (event.kind, event.leg);
        let same = |known: &EventRef<'_>| leg(known) == leg(event) && known.attempt_key == event.attempt_key;
        let Some(at) = events.iter().position(same) else { return false };
        if (events[at].occurred_at, &events[at].id) < (event.occurred_at, &event.id) {
            let mut bytes = Bytes::from_slice(self.bytes.get(..self.events_at).unwrap_or_default());
            events.iter().enumerate().for_each(|(n, known)| pack(if n == at { event } else { known }, &mut bytes));
            let observed = events.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, known)| known.observed_at.0);
            let last = observed.chain([event.observed_at.0]).max();
            drop(events);
            self.last_observed = last.unwrap_or(self.last_observed);
            self.bytes = bytes;
        }
        true
    }

    /// How far it has come. Cheap as long as nothing has ended.
    pub fn standing(&self) -> Standing {
        if !self.ends && !self.old { Standing::default() } else { fold::standing(&self.events()) }
    }
}

pub(super) fn names<'a>(event: &EventRef<'a>) -> [&'a str; 3] {
    [event.id_domain, event.switch, event.call_key]
}

/// The events as a suspended call keeps them.
pub(super) fn owned(events: &Events<'_>) -> Vec<CallEvent> {
    events.iter().map(CallEvent::owned).collect()
}
