//! Our own call events as JSON: the body of `POST /v1/call-events`, and files of such objects (one a line, or in an
//! array). The same shape is printed by `tandem calls read` as `{"event":...}`.
//!
//! Times are RFC 3339 with offset, durations decimal seconds as strings. An unknown field is refused by name unless it
//! begins with `x_`. Repeats are told by `id` (an event that already has one), else by `record_id`, else by the bytes.

use crate::decoded::{Fault, Flags};
use crate::framer::Shape;
use crate::instant::{Zone, decimal_micros};
use crate::reader::{Decoder, Item, Options, Origin, json, normalise_numbers};
use facts::call::{CallEvent, Endpoint, EventKind, Leg};
use facts::config::Switch;
use facts::ids::EventId;
use facts::money::{Amount, format_scaled, parse_scaled};
use facts::number::E164;
use facts::time::{OccurredAt, rfc3339, seconds};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What to do about an event that is not in the right shape.
pub const EVENT_ADVICE: &str =
    "required are kind, call_key and occurred_at (a record: started_at); docs name all fields of a call event";

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<WireId>,
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    record_id: SmolStr,
    kind: EventKind,
    #[serde(default)]
    leg: Leg,
    #[serde(default)]
    id_domain: SmolStr,
    #[serde(default)]
    switch: SmolStr,
    #[serde(default)]
    call_key: SmolStr,
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    attempt_key: SmolStr,
    #[serde(default)]
    occurred_at: Option<String>,
    #[serde(default)]
    caller: SmolStr,
    #[serde(default)]
    called: SmolStr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rn: Option<E164>,
    #[serde(default)]
    inbound: Endpoint,
    #[serde(default)]
    outbound: Endpoint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor_duration: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pdd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sip_code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    q850: Option<u16>,
    #[serde(default)]
    attempt_number: u16,
    #[serde(default)]
    last_attempt: bool,
    #[serde(default)]
    estimated: bool,
    /// 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_id: Option<facts::ids::OriginId>,
    /// Decimal, at most 12 places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<String>,
}

/// Names of the fields above: an unknown one is refused, and serde's own refusal would refuse `x_` names too.
const FIELDS: [&str; 27] = [
    "id",
    "record_id",
    "kind",
    "leg",
    "id_domain",
    "switch",
    "call_key",
    "attempt_key",
    "occurred_at",
    "caller",
    "called",
    "rn",
    "inbound",
    "outbound",
    "started_at",
    "answered_at",
    "ended_at",
    "duration",
    "vendor_duration",
    "pdd",
    "sip_code",
    "q850",
    "attempt_number",
    "last_attempt",
    "estimated",
    "hold_id",
    "held",
];

/// The id of an event that already has one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireId {
    node: SmolStr,
    boot_epoch: i64,
    partition: u32,
    sequence: u64,
}

impl From<WireId> for EventId<SmolStr> {
    fn from(id: WireId) -> Self {
        Self { node: id.node, boot_epoch: id.boot_epoch, partition: id.partition, sequence: id.sequence }
    }
}

impl From<EventId<SmolStr>> for WireId {
    fn from(id: EventId<SmolStr>) -> Self {
        Self { node: id.node, boot_epoch: id.boot_epoch, partition: id.partition, sequence: id.sequence }
    }
}

pub(crate) struct Tandem {
    origin: Origin,
    zone: Zone,
}

impl Tandem {
    pub fn new(options: &Options<'_>) -> Self {
        Self { origin: options.origin(), zone: options.zone.clone() }
    }
}

impl Decoder for Tandem {
    fn shape(&self) -> Shape {
        Shape::Objects
    }

    fn decode(&mut self, text: &str) -> Result<Item, Fault> {
        let (event, record_id) = event_of(text, &self.origin, &self.zone)?;
        if event.kind == EventKind::Record {
            return Ok(Item::Record { event: Box::new(event), record_id, flags: Flags::default() });
        }
        Ok(Item::Event { event: Box::new(event), record_id })
    }
}

/// One event from its JSON, and its record id (empty where it has none). `switch` gives what the text leaves out. The
/// error is field, reason and advice.
pub fn event_from_json(text: &str, switch: &Switch) -> Result<(CallEvent, SmolStr), (SmolStr, String, String)> {
    let named = |fault: Fault| (fault.field, fault.reason, fault.advice);
    let options = Options::new("tandem", switch, &[])
        .map_err(|error| (SmolStr::default(), error.to_string(), "mend the switch's configuration".to_owned()))?;
    let (mut event, record_id) = event_of(text, &options.origin(), &options.zone).map_err(named)?;
    normalise_numbers(&mut event);
    Ok((event, record_id))
}

fn event_of(text: &str, origin: &Origin, zone: &Zone) -> Result<(CallEvent, SmolStr), Fault> {
    let wire: Wire = json(text, "call event").map_err(|fault| Fault { advice: EVENT_ADVICE.into(), ..fault })?;
    let names: BTreeMap<Cow<'_, str>, IgnoredAny> = json(text, "call event")?;
    if let Some(name) = names.keys().find(|name| !name.starts_with("x_") && !FIELDS.contains(&&***name)) {
        return Err(Fault::new(name, format!("{name} is no field of a call event"), "names of your own begin with x_"));
    }
    let mut flags = Flags::default();
    let mut time = |field, text: Option<String>| match text {
        Some(text) => zone.read(field, &text, &mut flags).map(Some),
        None => Ok(None),
    };
    let started_at = time("started_at", wire.started_at)?;
    let answered_at = time("answered_at", wire.answered_at)?;
    let ended_at = time("ended_at", wire.ended_at)?;
    let occurred_at = time("occurred_at", wire.occurred_at)?;
    let occurred_at = if wire.kind == EventKind::Record { occurred_at.or(started_at) } else { occurred_at };
    let missing = |field: &str| Fault::new(field, format!("{field} is missing"), EVENT_ADVICE);
    let occurred_at: OccurredAt = occurred_at.ok_or_else(|| missing("occurred_at"))?;
    if wire.call_key.is_empty() && wire.kind != EventKind::Record {
        return Err(missing("call_key"));
    }
    if wire.kind == EventKind::Record && started_at.is_none() {
        return Err(missing("started_at"));
    }
    if wire.leg != Leg::A && wire.attempt_key.is_empty() {
        return Err(Fault::new("attempt_key", "an event of the B leg has no attempt_key", EVENT_ADVICE));
    }
    let or = |given: SmolStr, ours: &SmolStr| if given.is_empty() { ours.clone() } else { given };
    let mut event = CallEvent::new(wire.kind, "", "", &wire.call_key, occurred_at);
    event.id = wire.id.map(EventId::from).unwrap_or_default();
    event.leg = wire.leg;
    event.id_domain = or(wire.id_domain, &origin.id_domain);
    event.switch = or(wire.switch, &origin.switch);
    event.attempt_key = wire.attempt_key;
    event.caller = wire.caller;
    event.called = wire.called;
    event.rn = wire.rn;
    event.inbound = wire.inbound;
    event.outbound = wire.outbound;
    (event.started_at, event.answered_at, event.ended_at) = (started_at, answered_at, ended_at);
    event.duration = length("duration", wire.duration)?;
    event.vendor_duration = length("vendor_duration", wire.vendor_duration)?;
    event.pdd = length("pdd", wire.pdd)?;
    event.sip_code = wire.sip_code;
    event.q850 = wire.q850;
    event.attempt_number = wire.attempt_number;
    event.last_attempt = wire.last_attempt;
    event.estimated = wire.estimated;
    event.hold_id = wire.hold_id.map(|id| id.0);
    event.held = wire.held.map(|text| amount(&text)).transpose()?;
    Ok((event, wire.record_id))
}

fn length(field: &str, text: Option<String>) -> Result<Option<i64>, Fault> {
    let Some(text) = text else { return Ok(None) };
    decimal_micros(&text).filter(|micros| *micros >= 0).map(Some).ok_or_else(|| {
        Fault::new(field, format!("{text:?} is no duration"), "decimal seconds as a string are expected")
    })
}

fn amount(text: &str) -> Result<Amount, Fault> {
    parse_scaled(text, 12).map(Amount).ok_or_else(|| {
        Fault::new("held", format!("{text:?} is no amount"), "a decimal with at most 12 places is expected")
    })
}

/// The JSON of one event, as [`event_from_json`] reads it.
pub(crate) fn event_to_json(event: &CallEvent, record_id: &str) -> String {
    let time = |t: Option<OccurredAt>| t.map(|t| rfc3339(t.0));
    let wire = Wire {
        id: (!event.id.node.is_empty()).then(|| event.id.clone().into()),
        record_id: record_id.into(),
        kind: event.kind,
        leg: event.leg,
        id_domain: event.id_domain.clone(),
        switch: event.switch.clone(),
        call_key: event.call_key.clone(),
        attempt_key: event.attempt_key.clone(),
        occurred_at: Some(rfc3339(event.occurred_at.0)),
        caller: event.caller.clone(),
        called: event.called.clone(),
        rn: event.rn,
        inbound: event.inbound.clone(),
        outbound: event.outbound.clone(),
        started_at: time(event.started_at),
        answered_at: time(event.answered_at),
        ended_at: time(event.ended_at),
        duration: event.duration.map(seconds),
        vendor_duration: event.vendor_duration.map(seconds),
        pdd: event.pdd.map(seconds),
        sip_code: event.sip_code,
        q850: event.q850,
        attempt_number: event.attempt_number,
        last_attempt: event.last_attempt,
        estimated: event.estimated,
        hold_id: event.hold_id.map(facts::ids::OriginId),
        held: event.held.map(|amount| format_scaled(amount.0, 12, 0)),
    };
    serde_json::to_string(&wire).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
}
