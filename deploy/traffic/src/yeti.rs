//! The same calls as a Yeti switch would write them: one `cdr_full` JSON line an attempt. For files of any size to
//! import; prices are left out, they are what we are to find.

use crate::calls::{Attempt, Maker, TrueCall};
use facts::time::rfc3339;
use serde::Serialize;
use smol_str::{SmolStr, format_smolstr};

#[derive(Serialize)]
struct Line<'a> {
    id: u64,
    customer_acc_id: Option<&'a str>,
    vendor_acc_id: Option<&'a str>,
    orig_gw_id: u32,
    term_gw_id: Option<u32>,
    duration: i64,
    success: bool,
    dst_prefix_in: &'a str,
    dst_prefix_out: &'a str,
    src_prefix_in: &'a str,
    src_prefix_out: &'a str,
    time_start: String,
    time_connect: Option<String>,
    time_end: String,
    sign_orig_ip: &'a str,
    sign_orig_port: u16,
    sign_term_ip: Option<&'a str>,
    sign_term_port: Option<u16>,
    orig_call_id: &'a str,
    local_tag: &'a str,
    global_tag: &'a str,
    legb_local_tag: Option<&'a str>,
    uuid: SmolStr,
    routing_attempt: usize,
    is_last_cdr: bool,
    lega_disconnect_code: u16,
    legb_disconnect_code: Option<u16>,
    lega_q850_cause: u16,
    legb_q850_cause: Option<u16>,
    pdd: Option<String>,
    lrn: Option<&'a str>,
}

/// Appends the records of a call, one a line, attempts in their order.
pub fn write(maker: &Maker, call: &TrueCall, out: &mut Vec<u8>) {
    if call.attempts.is_empty() {
        record(maker, call, None, out);
    }
    for place in 0..call.attempts.len() {
        record(maker, call, Some(place), out);
    }
}

fn record(maker: &Maker, call: &TrueCall, place: Option<usize>, out: &mut Vec<u8>) {
    let attempt: Option<&Attempt> = place.and_then(|place| call.attempts.get(place));
    let last = place.is_none_or(|place| place + 1 == call.attempts.len());
    let turn = place.unwrap_or(0);
    let key = call.key();
    let number = match call.number {
        Some(number) => SmolStr::new(number.as_str()),
        None => call.called.clone(),
    };
    // Ids that no account has stand for trunks that nobody knows.
    let customer = call
        .customer
        .map_or(SmolStr::new_static("999"), |place| maker.world.customers[place].yeti_account(call.premium));
    let vendor = attempt.map(|attempt| {
        attempt.vendor.map_or(SmolStr::new_static("998"), |place| maker.world.vendors[place].yeti_account(place))
    });
    let attempt_key = place.map(|place| call.attempt_key(place));
    let answered = attempt.is_some_and(|attempt| attempt.answered_at.is_some());
    let connected = if answered { call.answered_at } else { None };
    let started =
        if turn == 0 { call.started_at } else { attempt.map_or(call.started_at, |attempt| attempt.started_at) };
    let ended = if last { call.ended_at } else { attempt.map_or(call.ended_at, |attempt| attempt.ended_at) };
    let line = Line {
        id: call.index * 4 + turn as u64 + 1,
        customer_acc_id: Some(&customer),
        vendor_acc_id: vendor.as_deref(),
        orig_gw_id: 1,
        term_gw_id: vendor.as_ref().map(|_| 2),
        // Yeti rounds up to whole seconds.
        duration: connected.map_or(0, |connected| (ended - connected + 999_999) / 1_000_000),
        success: answered,
        dst_prefix_in: &number,
        dst_prefix_out: &number,
        src_prefix_in: &call.caller,
        src_prefix_out: &call.caller,
        time_start: rfc3339(started),
        time_connect: connected.map(rfc3339),
        time_end: rfc3339(ended),
        sign_orig_ip: "192.0.2.10",
        sign_orig_port: 5060,
        sign_term_ip: vendor.as_ref().map(|_| "192.0.2.20"),
        sign_term_port: vendor.as_ref().map(|_| 5060),
        orig_call_id: &key,
        local_tag: &key,
        global_tag: &key,
        legb_local_tag: attempt_key.as_deref(),
        uuid: format_smolstr!("00000000-0000-4000-8000-{:012x}", call.index * 4 + turn as u64 + 1),
        routing_attempt: turn + 1,
        is_last_cdr: last,
        lega_disconnect_code: call.sip_code,
        legb_disconnect_code: attempt.map(|attempt| attempt.sip_code),
        lega_q850_cause: call.q850,
        legb_q850_cause: attempt.map(|attempt| attempt.q850),
        pdd: attempt.and_then(|attempt| attempt.pdd).map(facts::time::seconds),
        lrn: None,
    };
    // Strings and integers only: nothing that could fail to be written.
    if let Ok(text) = serde_json::to_string(&line) {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}
