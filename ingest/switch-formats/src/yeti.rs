//! Yeti class 4 switch: `cdr_full` records as JSON Lines, from files and from the `switch-events` topic.
//!
//! One record is one attempt. `call_key` = `local_tag`, the A leg's SIP tag: random and made by the node for each
//! incoming INVITE, shared by all attempts of the call (`routing_attempt`, `is_last_cdr`). `attempt_key` =
//! `legb_local_tag`, the B leg's own tag. Record id = `id`, the row's key in Yeti's database.
//! `duration` is Yeti's own (already rounded as Yeti is set); `cdo` seconds are added on the customer's side.

use crate::decoded::{Fault, Flags};
use crate::framer::Shape;
use crate::instant::{Zone, decimal_micros, duration};
use crate::reader::{Decoder, Item, Options, Origin, json, required};
use crate::text::{json_filled, json_text, q850, sip_code};
use facts::call::{Endpoint, Leg};
use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    uuid: Raw<'a>,
    #[serde(borrow, default)]
    local_tag: Raw<'a>,
    #[serde(borrow, default)]
    global_tag: Raw<'a>,
    #[serde(borrow, default)]
    legb_local_tag: Raw<'a>,
    #[serde(borrow, default)]
    customer_acc_id: Raw<'a>,
    #[serde(borrow, default)]
    vendor_acc_id: Raw<'a>,
    #[serde(borrow, default)]
    orig_gw_id: Raw<'a>,
    #[serde(borrow, default)]
    term_gw_id: Raw<'a>,
    #[serde(borrow, default)]
    sign_orig_ip: Raw<'a>,
    #[serde(borrow, default)]
    sign_orig_port: Raw<'a>,
    #[serde(borrow, default)]
    auth_orig_ip: Raw<'a>,
    #[serde(borrow, default)]
    auth_orig_port: Raw<'a>,
    #[serde(borrow, default)]
    sign_term_ip: Raw<'a>,
    #[serde(borrow, default)]
    sign_term_port: Raw<'a>,
    #[serde(borrow, default)]
    src_prefix_in: Raw<'a>,
    #[serde(borrow, default)]
    dst_prefix_in: Raw<'a>,
    #[serde(borrow, default)]
    lrn: Raw<'a>,
    #[serde(borrow, default)]
    time_start: Raw<'a>,
    #[serde(borrow, default)]
    time_connect: Raw<'a>,
    #[serde(borrow, default)]
    time_end: Raw<'a>,
    #[serde(borrow, default)]
    duration: Raw<'a>,
    #[serde(borrow, default)]
    cdo: Raw<'a>,
    #[serde(borrow, default)]
    pdd: Raw<'a>,
    #[serde(borrow, default)]
    success: Raw<'a>,
    #[serde(borrow, default)]
    routing_attempt: Raw<'a>,
    #[serde(borrow, default)]
    is_last_cdr: Raw<'a>,
    #[serde(borrow, default)]
    internal_disconnect_code: Raw<'a>,
    #[serde(borrow, default)]
    lega_disconnect_code: Raw<'a>,
    #[serde(borrow, default)]
    legb_disconnect_code: Raw<'a>,
    #[serde(borrow, default)]
    lega_q850_cause: Raw<'a>,
    #[serde(borrow, default)]
    legb_q850_cause: Raw<'a>,
}

pub(crate) struct Yeti {
    origin: Origin,
    zone: Zone,
}

impl Yeti {
    pub fn new(options: &Options<'_>) -> Self {
        Self { origin: options.origin(), zone: options.zone.clone() }
    }
}

impl Decoder for Yeti {
    fn shape(&self) -> Shape {
        Shape::Lines
    }

    fn decode(&mut self, text: &str) -> Result<Item, Fault> {
        let row: Row<'_> = json(text, "Yeti record")?;
        let mut flags = Flags::default();
        let mut time = |field, value: Raw<'_>| match json_filled(value) {
            Some(text) => self.zone.read(field, &text, &mut flags).map(Some),
            None => Ok(None),
        };
        let started_at = required("time_start", time("time_start", row.time_start)?)?;
        let answered_at = time("time_connect", row.time_connect)?;
        let ended_at = time("time_end", row.time_end)?;
        let key = json_filled(row.local_tag).or_else(|| json_filled(row.global_tag)).or_else(|| json_filled(row.uuid));
        let key = required("local_tag", key)?;
        let mut event = self.origin.record(&key, started_at);
        event.answered_at = answered_at;
        event.ended_at = ended_at;
        event.caller = word(row.src_prefix_in);
        event.called = word(row.dst_prefix_in);
        event.rn = json_filled(row.lrn).and_then(|text| facts::number::E164::normalise(&text).ok());
        event.inbound = Endpoint {
            trunk: word(row.orig_gw_id),
            // Behind a load balancer the customer's own address stands in auth_orig_*.
            ip: json_filled(row.auth_orig_ip).map_or_else(|| word(row.sign_orig_ip), SmolStr::from),
            port: port(if json_filled(row.auth_orig_ip).is_some() { row.auth_orig_port } else { row.sign_orig_port }),
            account: word(row.customer_acc_id),
            ..Endpoint::default()
        };
        let routed = json_filled(row.legb_local_tag).is_some() || json_filled(row.vendor_acc_id).is_some();
        if routed {
            event.leg = Leg::Both;
            event.attempt_key = json_filled(row.legb_local_tag)
                .or_else(|| json_filled(row.uuid))
                .or_else(|| json_filled(row.id))
                .map_or_else(SmolStr::default, SmolStr::from);
            event.outbound = Endpoint {
                trunk: word(row.term_gw_id),
                ip: word(row.sign_term_ip),
                port: port(row.sign_term_port),
                account: word(row.vendor_acc_id),
                ..Endpoint::default()
            };
        }
        let length = match json_filled(row.duration) {
            Some(text) => duration("duration", &text)?,
            None if answered_at.is_some() => return Err(missing_duration()),
            None => 0,
        };
        // Attempts share a call: seconds of one that was not answered must never stand for the call's.
        if answered_at.is_none() && length > 0 {
            flags |= Flags::TIMES_CONTRADICT;
        }
        let length = if answered_at.is_some() { length } else { 0 };
        let offset = match json_filled(row.cdo) {
            Some(text) if answered_at.is_some() => decimal_micros(&text)
                .ok_or_else(|| Fault::new("cdo", format!("{text:?} is no number of seconds"), "check the record"))?,
            _ => 0,
        };
        if offset != 0 {
            flags |= Flags::DURATION_OFFSET;
        }
        event.duration = Some((length + offset).max(0));
        event.vendor_duration = routed.then_some(length);
        // 0 stands for "no 18x and no 200 was seen".
        event.pdd = json_filled(row.pdd).and_then(|text| decimal_micros(&text)).filter(|pdd| *pdd > 0);
        let code = |value: Raw<'_>| json_filled(value).and_then(|text| sip_code(&text));
        event.sip_code = match (answered_at, routed) {
            (Some(_), _) => Some(200),
            (None, true) => code(row.legb_disconnect_code),
            (None, false) => None,
        }
        .or_else(|| code(row.lega_disconnect_code))
        .or_else(|| code(row.internal_disconnect_code));
        let cause = json_filled(row.lega_q850_cause).or_else(|| json_filled(row.legb_q850_cause));
        event.q850 = cause.and_then(|text| q850(&text, &mut flags));
        event.attempt_number = json_filled(row.routing_attempt).and_then(|text| text.parse().ok()).unwrap_or(0);
        event.last_attempt = truth(row.is_last_cdr);
        if truth(row.success) != answered_at.is_some() {
            flags |= Flags::TIMES_CONTRADICT;
        }
        let record_id =
            json_filled(row.id).or_else(|| json_filled(row.uuid)).map_or_else(SmolStr::default, SmolStr::from);
        Ok(Item::Record { event: Box::new(event), record_id, flags })
    }
}

fn missing_duration() -> Fault {
    Fault::new("duration", "the call was answered but has no duration", "the record cannot be used without it")
}

fn word(value: Raw<'_>) -> SmolStr {
    json_text(value).map_or_else(SmolStr::default, SmolStr::from)
}

fn port(value: Raw<'_>) -> u16 {
    json_text(value).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn truth(value: Raw<'_>) -> bool {
    json_text(value).is_some_and(|text| matches!(&*text, "true" | "t" | "1"))
}
