//! FreeSWITCH `mod_json_cdr`: one JSON object per leg, one or many in a file, `variables` percent-encoded or plain.
//!
//! `call_key` = the A leg's uuid: `call_uuid`, or a B leg's `originating_leg_uuid`, else the leg's own `uuid`; random
//! (version 4), never repeats. A B leg's `attempt_key` is its own uuid; an A leg names the leg it was bridged to, so
//! that the A leg alone suffices where B legs are not logged (`log-b-leg`, off by default). Where they are, set option
//! `b_legs = "logged"`: then each side has its own record, and so its own seconds. Record id = `uuid`.
//! Times come from `*_uepoch` (microseconds), else `*_epoch`, else `*_stamp` in the declared zone.
//! `duration` is `billsec` (whole seconds, as FreeSWITCH bills); option `duration = "billusec"` takes microseconds.

use crate::decoded::{Fault, Flags, FormatError};
use crate::framer::Shape;
use crate::instant::{Zone, duration, epoch, epoch_micros};
use crate::reader::{Decoder, Item, Options, Origin, json, required};
use crate::text::{host_of, json_filled, percent_decoded, q850, sip_code};
use facts::call::{Endpoint, Leg};
use facts::time::OccurredAt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use smol_str::SmolStr;
use std::borrow::Cow;
use std::fmt;

type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct Leaf<'a> {
    #[serde(borrow)]
    variables: Option<Variables<'a>>,
    #[serde(borrow, default, deserialize_with = "flows")]
    callflow: Vec<Flow<'a>>,
}

/// The flow: a list, newest profile first; old releases write one object.
fn flows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Flow<'de>>, D::Error> {
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = Vec<Flow<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of flows or one")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut flows = Vec::new();
            while let Some(flow) = list.next_element()? {
                flows.push(flow);
            }
            Ok(flows)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![Flow::deserialize(MapAccessDeserializer::new(map))?])
        }
    }
    deserializer.deserialize_any(Either)
}

macro_rules! variables {
    ($($name:ident),* $(,)?) => {
        #[derive(Deserialize)]
        struct Variables<'a> {
            $(#[serde(borrow, default)] $name: Raw<'a>,)*
        }
        impl<'a> Variables<'a> {
            fn each(&self) -> impl Iterator<Item = &'a RawValue> {
                [$(self.$name),*].into_iter().flatten()
            }
        }
    };
}

variables!(
    uuid,
    call_uuid,
    direction,
    originator,
    originating_leg_uuid,
    originated_legs,
    bridge_uuid,
    last_bridge_to,
    bridge_channel,
    last_arg,
    channel_name,
    sofia_profile_name,
    sip_gateway_name,
    sip_network_ip,
    sip_network_port,
    sip_auth_username,
    accountcode,
    sip_from_user,
    sip_req_user,
    sip_to_user,
    start_uepoch,
    answer_uepoch,
    end_uepoch,
    progress_uepoch,
    progress_media_uepoch,
    start_epoch,
    answer_epoch,
    end_epoch,
    start_stamp,
    answer_stamp,
    end_stamp,
    billsec,
    billusec,
    hangup_cause_q850,
    sip_term_status,
    sip_invite_failure_status,
    sip_from_uri,
    caller_id,
);

#[derive(Deserialize)]
struct Flow<'a> {
    #[serde(borrow, default)]
    profile_index: Raw<'a>,
    #[serde(borrow, default)]
    caller_profile: Option<Profile<'a>>,
}

#[derive(Deserialize)]
struct Profile<'a> {
    #[serde(borrow, default)]
    caller_id_number: Raw<'a>,
    #[serde(borrow, default)]
    ani: Raw<'a>,
    #[serde(borrow, default)]
    destination_number: Raw<'a>,
    #[serde(borrow, default)]
    network_addr: Raw<'a>,
}

pub(crate) struct Freeswitch {
    origin: Origin,
    zone: Zone,
    microseconds: bool,
    b_legs_logged: bool,
}

impl Freeswitch {
    pub fn new(options: &Options<'_>) -> Result<Self, FormatError> {
        let microseconds = options.choice("duration", &["billsec", "billusec"])? == "billusec";
        let b_legs_logged = options.choice("b_legs", &["none", "logged"])? == "logged";
        Ok(Self { origin: options.origin(), zone: options.zone.clone(), microseconds, b_legs_logged })
    }
}

/// Variables with their encoding.
struct Vars<'a> {
    raw: Variables<'a>,
    encoded: bool,
}

impl<'a> Vars<'a> {
    /// mod_json_cdr encodes all values or none (`encode-values`). Where one of them shows a blank, a colon or an at
    /// sign, none is encoded, and a percent sign stands for itself.
    fn new(raw: Variables<'a>) -> Self {
        let plain = raw.each().any(|value| value.get().contains([' ', ':', '@', '<', ';']));
        Self { raw, encoded: !plain }
    }

    fn text(&self, value: Raw<'a>) -> Option<Cow<'a, str>> {
        let text = json_filled(value)?;
        Some(if self.encoded { percent_decoded(text) } else { text })
    }

    fn word(&self, value: Raw<'a>) -> SmolStr {
        self.text(value).map_or_else(SmolStr::default, SmolStr::from)
    }

    fn micros(&self, field: &str, value: Raw<'a>) -> Result<Option<OccurredAt>, Fault> {
        let Some(text) = self.text(value) else { return Ok(None) };
        let micros = text.parse().map_err(|_| {
            Fault::new(field, format!("{text:?} is no count of microseconds"), "microseconds since 1970 are expected")
        })?;
        epoch_micros(field, &text, micros)
    }

    /// One instant, by the most exact of the three forms in which it stands.
    fn time(
        &self,
        zone: &Zone,
        name: &'static str,
        forms: (Raw<'a>, Raw<'a>, Raw<'a>),
        flags: &mut Flags,
    ) -> Result<Option<OccurredAt>, Fault> {
        if forms.0.is_some() {
            return self.micros(name, forms.0);
        }
        if let Some(seconds) = self.text(forms.1) {
            return epoch(name, &seconds);
        }
        self.text(forms.2).map(|stamp| zone.read(name, &stamp, flags)).transpose()
    }
}

impl Decoder for Freeswitch {
    fn shape(&self) -> Shape {
        Shape::Objects
    }

    fn decode(&mut self, text: &str) -> Result<Item, Fault> {
        let leaf: Leaf<'_> = json(text, "FreeSWITCH record")?;
        let vars = Vars::new(required("variables", leaf.variables)?);
        let v = &vars.raw;
        let mut flags = Flags::default();
        let started_at =
            vars.time(&self.zone, "start_uepoch", (v.start_uepoch, v.start_epoch, v.start_stamp), &mut flags)?;
        let started_at = required("start_uepoch", started_at)?;
        let uuid = required("uuid", vars.text(v.uuid))?;
        let is_b = is_b_leg(&vars, &uuid);
        let key = vars
            .text(v.originating_leg_uuid)
            .or_else(|| vars.text(v.originator))
            .filter(|_| is_b)
            .or_else(|| vars.text(v.call_uuid))
            .unwrap_or_else(|| uuid.clone());
        let mut event = self.origin.record(&key, started_at);
        event.answered_at =
            vars.time(&self.zone, "answer_uepoch", (v.answer_uepoch, v.answer_epoch, v.answer_stamp), &mut flags)?;
        event.ended_at = vars.time(&self.zone, "end_uepoch", (v.end_uepoch, v.end_epoch, v.end_stamp), &mut flags)?;
        let length = if event.answered_at.is_some() { self.length(&vars)? } else { 0 };
        let rung = [
            vars.micros("progress_uepoch", v.progress_uepoch)?,
            vars.micros("progress_media_uepoch", v.progress_media_uepoch)?,
        ];
        event.pdd =
            rung.into_iter().flatten().chain(event.answered_at).min().map(|t| t.0 - started_at.0).filter(|d| *d >= 0);
        event.q850 = vars.text(v.hangup_cause_q850).and_then(|text| q850(&text, &mut flags));
        event.sip_code = match event.answered_at {
            Some(_) => Some(200),
            None => vars
                .text(v.sip_invite_failure_status)
                .or_else(|| vars.text(v.sip_term_status))
                .and_then(|t| sip_code(&t)),
        };
        if numbers(&mut event, &vars, &leaf.callflow) {
            flags |= Flags::REDIRECTED;
        }
        let here = peer(&vars, &leaf.callflow);
        if is_b {
            event.leg = Leg::B;
            event.attempt_key = SmolStr::from(&*uuid);
            event.vendor_duration = Some(length);
            // The account code is the customer's, inherited from the A leg.
            event.outbound = Endpoint { account: SmolStr::default(), digest_user: SmolStr::default(), ..here };
            if let Some(gateway) = vars.text(v.sip_gateway_name) {
                event.outbound.trunk = SmolStr::from(gateway);
            }
        } else {
            event.duration = Some(length);
            event.inbound = here;
            if let Some(other) = bridged_to(&vars).filter(|_| !self.b_legs_logged) {
                event.leg = Leg::Both;
                event.attempt_key = other;
                event.outbound = far_end(&vars);
            }
        }
        Ok(Item::Record { event: Box::new(event), record_id: SmolStr::from(&*uuid), flags })
    }
}

impl Freeswitch {
    fn length(&self, vars: &Vars<'_>) -> Result<i64, Fault> {
        if !self.microseconds {
            return duration("billsec", &required("billsec", vars.text(vars.raw.billsec))?);
        }
        let text = required("billusec", vars.text(vars.raw.billusec))?;
        match text.parse::<i64>() {
            Ok(micros) if micros >= 0 => Ok(micros),
            _ => Err(Fault::new("billusec", format!("{text:?} is no number of microseconds"), "check the record")),
        }
    }
}

fn is_b_leg(vars: &Vars<'_>, uuid: &str) -> bool {
    let v = &vars.raw;
    if vars.text(v.originator).is_some() || vars.text(v.originating_leg_uuid).is_some() {
        return true;
    }
    vars.text(v.direction).is_some_and(|d| d == "outbound") && vars.text(v.call_uuid).is_some_and(|call| call != uuid)
}

/// Caller and called; true when the call was sent on to another number than the one dialled.
fn numbers(event: &mut facts::CallEvent, vars: &Vars<'_>, callflow: &[Flow<'_>]) -> bool {
    // The flow's newest profile stands first, the one of the original INVITE last; profiles are never encoded.
    let first = callflow
        .iter()
        .min_by_key(|flow| json_filled(flow.profile_index).and_then(|n| n.parse::<u32>().ok()).unwrap_or(u32::MAX));
    let profile = first.and_then(|flow| flow.caller_profile.as_ref());
    let newest = callflow.first().and_then(|flow| flow.caller_profile.as_ref());
    let v = &vars.raw;
    let caller = profile.and_then(|p| json_filled(p.caller_id_number).or_else(|| json_filled(p.ani)));
    event.caller = caller.or_else(|| vars.text(v.sip_from_user)).map_or_else(SmolStr::default, SmolStr::from);
    let called = profile.and_then(|p| json_filled(p.destination_number));
    event.called = called
        .or_else(|| vars.text(v.sip_req_user))
        .or_else(|| vars.text(v.sip_to_user))
        .map_or_else(SmolStr::default, SmolStr::from);
    newest.and_then(|p| json_filled(p.destination_number)).is_some_and(|last| *last != *event.called)
}

/// The peer of this leg.
fn peer(vars: &Vars<'_>, callflow: &[Flow<'_>]) -> Endpoint {
    let v = &vars.raw;
    let address =
        callflow.last().and_then(|flow| flow.caller_profile.as_ref()).and_then(|p| json_filled(p.network_addr));
    Endpoint {
        trunk: vars.word(v.sofia_profile_name),
        ip: vars.text(v.sip_network_ip).or(address).map_or_else(SmolStr::default, SmolStr::from),
        port: vars.text(v.sip_network_port).and_then(|p| p.parse().ok()).unwrap_or(0),
        digest_user: vars.word(v.sip_auth_username),
        account: vars.word(v.accountcode),
        ..Endpoint::default()
    }
}

/// Uuid of the B leg as the A leg knows it: the one bridged, else the last one that was tried.
fn bridged_to(vars: &Vars<'_>) -> Option<SmolStr> {
    let v = &vars.raw;
    if let Some(uuid) = vars.text(v.bridge_uuid).or_else(|| vars.text(v.last_bridge_to)) {
        return Some(SmolStr::from(uuid));
    }
    let legs = vars.text(v.originated_legs)?;
    let last = legs.strip_prefix("ARRAY::").unwrap_or(&legs).rsplit("|:").next()?;
    last.split(';').next().filter(|uuid| !uuid.is_empty()).map(SmolStr::from)
}

/// What the A leg says of the vendor's side: gateway or address of the channel that it was bridged to.
fn far_end(vars: &Vars<'_>) -> Endpoint {
    let v = &vars.raw;
    let mut end = Endpoint::default();
    let channel = vars.text(v.bridge_channel).or_else(|| vars.text(v.last_arg)).unwrap_or_default();
    let dialled = vars.text(v.last_arg).unwrap_or_default();
    if let Some((_, rest)) = dialled.split_once("sofia/gateway/") {
        end.trunk = rest.split('/').next().unwrap_or_default().into();
    }
    if let Some((ip, port)) = host_of(&channel) {
        end.ip = ip.into();
        end.port = port;
    }
    end
}
