//! What a switch saw (`CallEvent`), what could not be read (`Reject`), and the call put together from events.

use crate::ids::{CallId, DedupeKey, EventId, ImportId};
use crate::money::Amount;
use crate::number::E164;
use crate::time::{ObservedAt, OccurredAt};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Most attempts one call may have (design 6.2).
pub const ATTEMPTS_MAX: usize = 256;

/// What happened. Events of one call may arrive in any order and any number of times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The call arrived from the customer (INVITE).
    Started,
    /// An attempt at a vendor began (B leg INVITE).
    Routed,
    /// First ringing or early media (18x).
    Progress,
    /// 200 OK to the INVITE.
    Answered,
    /// Proof of life: RTP seen, session refresh, interim record.
    Interim,
    /// The leg is over.
    Ended,
    /// A whole CDR of one attempt in one record, as files bring it: all facts stand in the event itself.
    Record,
}

/// Which leg an event speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// The customer's leg.
    #[default]
    A,
    /// The vendor's leg named by `attempt_key`.
    B,
    /// Both at once: the customer's leg and the attempt named by `attempt_key`.
    Both,
}

/// Facts by which one side of a call is identified; whatever the switch did not say is empty.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint<S = SmolStr> {
    /// The switch's own name or number of the trunk or gateway.
    pub trunk: S,
    /// The peer's signalling address, without port.
    pub ip: S,
    pub port: u16,
    /// User of a SIP digest or of a RADIUS request.
    pub digest_user: S,
    /// Digits that the peer put before the number to choose a product.
    pub tech_prefix: S,
    /// Account as the record itself names it.
    pub account: S,
}

impl<S: AsRef<str>> Endpoint<S> {
    /// Nothing is known of it.
    pub fn is_empty(&self) -> bool {
        let texts = [&self.trunk, &self.ip, &self.digest_user, &self.tech_prefix, &self.account];
        self.port == 0 && texts.iter().all(|text| text.as_ref().is_empty())
    }

    /// The same with texts of another kind.
    pub fn with<'a, T: From<&'a str>>(&'a self) -> Endpoint<T> {
        Endpoint {
            trunk: self.trunk.as_ref().into(),
            ip: self.ip.as_ref().into(),
            port: self.port,
            digest_user: self.digest_user.as_ref().into(),
            tech_prefix: self.tech_prefix.as_ref().into(),
            account: self.account.as_ref().into(),
        }
    }
}

/// Where the original bytes stand in the raw store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RawRef {
    /// BLAKE3 of the whole original object.
    pub hash: [u8; 32],
    /// First byte of the record in it.
    pub offset: u64,
    pub length: u32,
}

/// One thing a switch saw (design sections 1, 6.4, 6.6).
#[derive(Clone, PartialEq, Debug)]
pub struct CallEvent<S = SmolStr> {
    pub id: EventId<S>,
    pub kind: EventKind,
    pub leg: Leg,
    /// Numbering space of `call_key`; two sites that read the same switch use the same one.
    pub id_domain: S,
    pub switch: S,
    /// Never repeats within its id domain.
    pub call_key: S,
    /// The switch's own id of the B leg; empty on the A leg.
    pub attempt_key: S,
    pub occurred_at: OccurredAt,
    pub observed_at: ObservedAt,
    /// As received.
    pub caller: S,
    /// As received.
    pub called: S,
    /// After normalisation; `None` where the text is no number.
    pub caller_number: Option<E164>,
    pub called_number: Option<E164>,
    /// Location routing number used at call time.
    pub rn: Option<E164>,
    pub inbound: Endpoint<S>,
    pub outbound: Endpoint<S>,
    /// Records only: the three instants of the call (or attempt).
    pub started_at: Option<OccurredAt>,
    pub answered_at: Option<OccurredAt>,
    pub ended_at: Option<OccurredAt>,
    /// Microseconds the record asks to be billed for on the customer's side, exactly as its source means them.
    pub duration: Option<i64>,
    /// The same on the vendor's side, where the source tells them apart.
    pub vendor_duration: Option<i64>,
    /// Post-dial delay: INVITE to the first 18x or 200, microseconds.
    pub pdd: Option<i64>,
    pub sip_code: Option<u16>,
    pub q850: Option<u16>,
    /// 1 for the first attempt of a call; 0 unknown.
    pub attempt_number: u16,
    /// No further attempt follows this one.
    pub last_attempt: bool,
    /// The end is an estimate (last proof of life).
    pub estimated: bool,
    pub hold_id: Option<[u8; 16]>,
    /// Money held so far under `hold_id`.
    pub held: Option<Amount>,
    /// Foreign records only (design 6.6); our own events are told apart by `id`.
    pub dedupe: Option<DedupeKey>,
    pub import: Option<ImportId>,
    pub raw: Option<RawRef>,
    /// 1-based line or record number in its file; 0 when there is none.
    pub line: u64,
}

impl CallEvent {
    /// An event with its required facts; everything else is empty.
    pub fn new(kind: EventKind, id_domain: &str, switch: &str, call_key: &str, occurred_at: OccurredAt) -> Self {
        Self {
            id: EventId::default(),
            kind,
            leg: Leg::A,
            id_domain: id_domain.into(),
            switch: switch.into(),
            call_key: call_key.into(),
            attempt_key: SmolStr::default(),
            occurred_at,
            observed_at: ObservedAt(0),
            caller: SmolStr::default(),
            called: SmolStr::default(),
            caller_number: None,
            called_number: None,
            rn: None,
            inbound: Endpoint::default(),
            outbound: Endpoint::default(),
            started_at: None,
            answered_at: None,
            ended_at: None,
            duration: None,
            vendor_duration: None,
            pdd: None,
            sip_code: None,
            q850: None,
            attempt_number: 0,
            last_attempt: false,
            estimated: false,
            hold_id: None,
            held: None,
            dedupe: None,
            import: None,
            raw: None,
            line: 0,
        }
    }
}

/// An event that borrows its texts: what hot paths read.
pub type EventRef<'a> = CallEvent<&'a str>;

impl<S: AsRef<str>> CallEvent<S> {
    pub fn call_id(&self) -> CallId {
        CallId::new(self.id_domain.as_ref(), self.switch.as_ref(), self.call_key.as_ref())
    }

    /// The same, borrowing the texts.
    pub fn view(&self) -> EventRef<'_> {
        self.with()
    }

    /// The same, owning the texts (short ones stay off the heap).
    pub fn owned(&self) -> CallEvent {
        self.with()
    }

    /// The same with texts of another kind.
    pub fn with<'a, T: From<&'a str>>(&'a self) -> CallEvent<T> {
        CallEvent {
            id: EventId {
                node: self.id.node.as_ref().into(),
                boot_epoch: self.id.boot_epoch,
                partition: self.id.partition,
                sequence: self.id.sequence,
            },
            kind: self.kind,
            leg: self.leg,
            id_domain: self.id_domain.as_ref().into(),
            switch: self.switch.as_ref().into(),
            call_key: self.call_key.as_ref().into(),
            attempt_key: self.attempt_key.as_ref().into(),
            occurred_at: self.occurred_at,
            observed_at: self.observed_at,
            caller: self.caller.as_ref().into(),
            called: self.called.as_ref().into(),
            caller_number: self.caller_number,
            called_number: self.called_number,
            rn: self.rn,
            inbound: self.inbound.with(),
            outbound: self.outbound.with(),
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            duration: self.duration,
            vendor_duration: self.vendor_duration,
            pdd: self.pdd,
            sip_code: self.sip_code,
            q850: self.q850,
            attempt_number: self.attempt_number,
            last_attempt: self.last_attempt,
            estimated: self.estimated,
            hold_id: self.hold_id,
            held: self.held,
            dedupe: self.dedupe,
            import: self.import,
            raw: self.raw,
            line: self.line,
        }
    }
}

/// A record that could not be read: place, reason, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reject {
    /// Source as configured (drop folder, switch, topic).
    pub source: SmolStr,
    pub import: Option<ImportId>,
    /// 1-based; 0 when the source has no lines.
    pub line: u64,
    pub byte: u64,
    /// Column or key at fault; empty when the whole record is.
    pub field: SmolStr,
    pub reason: String,
    pub advice: String,
    pub raw: Option<RawRef>,
    pub observed_at: ObservedAt,
}

/// Everything that stands on the `call-events` topic.
#[derive(Clone, PartialEq, Debug)]
pub enum BusRecord {
    /// First record of every partition: a UUID that changes when the topic is made anew.
    Incarnation([u8; 16]),
    Event(Box<CallEvent>),
    Reject(Box<Reject>),
    /// One to every partition: all records of this import are on the bus.
    ImportEnd(ImportEnd),
    /// Every second to every partition: the assembler's clock.
    Tick {
        node: SmolStr,
        observed_at: ObservedAt,
    },
    /// The source has delivered everything that occurred before this instant.
    SourceMark {
        switch: SmolStr,
        occurred_until: OccurredAt,
        declared: bool,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportEnd {
    pub import: ImportId,
    pub source: SmolStr,
    /// File name for people.
    pub file: SmolStr,
    /// Records (events and rejects) sent to this partition.
    pub sent_here: u64,
    /// Records sent to all partitions.
    pub sent: u64,
    pub observed_at: ObservedAt,
}

/// One try at one vendor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// The switch's own id of the B leg.
    pub key: SmolStr,
    pub number: u16,
    pub outbound: Endpoint,
    pub started_at: Option<OccurredAt>,
    pub answered_at: Option<OccurredAt>,
    pub ended_at: Option<OccurredAt>,
    /// Microseconds to bill on the vendor's side.
    pub duration: i64,
    pub pdd: Option<i64>,
    pub sip_code: Option<u16>,
    pub q850: Option<u16>,
    pub last: bool,
}

/// A call put together from its events: the same whatever their order and repetition.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Call {
    pub call_id: CallId,
    pub id_domain: SmolStr,
    pub switch: SmolStr,
    pub call_key: SmolStr,
    pub caller: SmolStr,
    pub called: SmolStr,
    pub caller_number: Option<E164>,
    pub called_number: Option<E164>,
    pub rn: Option<E164>,
    pub inbound: Endpoint,
    pub started_at: OccurredAt,
    pub answered_at: Option<OccurredAt>,
    pub ended_at: OccurredAt,
    /// Microseconds to bill on the customer's side; 0 when unanswered.
    pub duration: i64,
    pub pdd: Option<i64>,
    pub sip_code: Option<u16>,
    pub q850: Option<u16>,
    /// In order of `number`, then of `started_at`, then of `key`.
    pub attempts: SmallVec<[Attempt; 1]>,
    /// The end is an estimate; off invoices until the truth comes.
    pub estimated: bool,
    pub hold_id: Option<[u8; 16]>,
    pub held: Option<Amount>,
    pub dedupe: SmallVec<[DedupeKey; 1]>,
    pub events: SmallVec<[EventId<SmolStr>; 3]>,
    pub import: Option<ImportId>,
    pub raw: SmallVec<[RawRef; 1]>,
}

impl Call {
    pub fn answered(&self) -> bool {
        self.answered_at.is_some()
    }
}
