//! `tandem calls read FILE --json`: one object a line, the contract of design section 13. Durations are decimal
//! strings, times RFC 3339 in UTC; what a record does not say is null.

use crate::decoded::{Decoded, Record, Rejected};
use crate::keys::Tally;
use facts::call::{CallEvent, Leg};
use facts::time::{OccurredAt, seconds};
use serde::Serialize;

#[derive(Serialize)]
struct Source<'a> {
    file: &'a str,
    line: u64,
    byte: u64,
}

#[derive(Serialize)]
struct RecordLine<'a> {
    record_id: Option<&'a str>,
    call_key: &'a str,
    leg: Leg,
    caller: &'a str,
    called: &'a str,
    started_at: Option<String>,
    answered_at: Option<String>,
    ended_at: Option<String>,
    duration: String,
    answered: bool,
    sip_code: Option<u16>,
    q850: Option<u16>,
    account: Option<&'a str>,
    vendor: Option<&'a str>,
    flags: Vec<&'static str>,
    source: Source<'a>,
}

#[derive(Serialize)]
struct RejectLine<'a> {
    line: u64,
    byte: u64,
    field: &'a str,
    reason: &'a str,
    advice: &'a str,
}

#[derive(Serialize)]
struct SkipLine {
    line: u64,
    byte: u64,
    why: &'static str,
}

#[derive(Serialize)]
struct SummaryLine {
    read: u64,
    accepted: u64,
    repeated: u64,
    rejected: u64,
    /// Sum of the accepted records' durations.
    seconds: String,
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out references")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Microseconds that the record asks to be billed for: the customer's side, a B leg's record the vendor's.
pub fn duration_of(event: &CallEvent) -> Option<i64> {
    match event.leg {
        Leg::B => event.vendor_duration.or(event.duration),
        Leg::A | Leg::Both => event.duration.or(event.vendor_duration),
    }
}

/// One line (without its line end) for what was read.
pub fn line(decoded: &Decoded, file: &str) -> String {
    match decoded {
        Decoded::Record(record) => wrap("record", &record_line(record, file)),
        Decoded::Event(record) => {
            format!("{{\"event\":{}}}", crate::tandem::event_to_json(&record.event, &record.record_id))
        }
        Decoded::Reject(reject) => wrap("reject", &reject_line(reject)),
        Decoded::Skip { place, why } => wrap("skip", &SkipLine { line: place.line, byte: place.byte, why }),
    }
}

/// The last line: what was read in all.
pub fn summary(tally: &Tally) -> String {
    let line = SummaryLine {
        read: tally.read,
        accepted: tally.accepted,
        repeated: tally.repeated,
        rejected: tally.rejected,
        seconds: facts::money::format_scaled(tally.duration, 6, 0),
        skipped: tally.skipped,
    };
    wrap("summary", &line)
}

fn record_line<'a>(record: &'a Record, file: &'a str) -> RecordLine<'a> {
    let event = &record.event;
    let time = |t: Option<OccurredAt>| t.map(|t| t.to_string());
    let filled = |text: &'a str| (!text.is_empty()).then_some(text);
    RecordLine {
        record_id: filled(&record.record_id),
        call_key: &event.call_key,
        leg: event.leg,
        caller: &event.caller,
        called: &event.called,
        started_at: time(event.started_at),
        answered_at: time(event.answered_at),
        ended_at: time(event.ended_at),
        duration: seconds(duration_of(event).unwrap_or(0)),
        answered: event.answered_at.is_some(),
        sip_code: event.sip_code,
        q850: event.q850,
        account: filled(&event.inbound.account),
        vendor: filled(&event.outbound.account),
        flags: record.flags.names().collect(),
        source: Source { file, line: record.place.line, byte: record.place.byte },
    }
}

fn reject_line(reject: &Rejected) -> RejectLine<'_> {
    RejectLine {
        line: reject.place.line,
        byte: reject.place.byte,
        field: &reject.field,
        reason: &reject.reason,
        advice: &reject.advice,
    }
}

fn wrap(kind: &str, value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => format!("{{\"{kind}\":{text}}}"),
        // Strings and numbers always serialise; should that ever change, it is said in the line itself.
        Err(error) => format!("{{\"{kind}\":{{\"error\":{:?}}}}}", error.to_string()),
    }
}
