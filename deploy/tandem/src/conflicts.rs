//! Records that no rule could decide, with what to do about each: `tandem calls suspense --records` and the console.

use crate::node::Node;
use crate::output::Failure;
use crate::tables::table_of;
use console::source::{Kind, Table};
use facts::xdr::Conflict;
use std::time::Duration;

/// Longest wait until the streams have been followed to their ends.
const LIMIT: Duration = Duration::from_secs(600);

/// What a person can do, by the word of the conflict.
pub fn advice(reason: &str) -> &'static str {
    match reason {
        "lone_repeat" => {
            "an equal row stands in a file imported before. Nothing to do where it is that call once more; where it is a \
             call of its own, post it to /v1/call-events with a record_id"
        }
        "key_reused" => {
            "both calls are rated, this one as \"KEY (again START)\". Nothing to do here; the switch repeats its call \
             keys, let it add a boot epoch or a start time"
        }
        "too_old" => "raise late_call_limit_days and import it again, or settle it by hand; it is not rated",
        _ => "look at the call's events; nothing was booked for this one",
    }
}

/// The newest conflicts, once every record on the bus has been taken in.
pub fn table(node: &Node) -> Result<Table, Failure> {
    node.follow_records(LIMIT)?;
    let columns = [
        ("reason", "Reason", Kind::Text),
        ("switch", "Switch", Kind::Text),
        ("call_key", "Call key", Kind::Text),
        ("occurred_at", "Occurred", Kind::Text),
        ("line", "Line", Kind::Count),
        ("raw", "Raw file", Kind::Text),
        ("advice", "What to do", Kind::Text),
    ];
    Ok(table_of(&columns, node.records.conflicts().iter().map(row).collect()))
}

fn row(conflict: &Conflict) -> Vec<String> {
    let event = &conflict.event;
    let raw = event.raw.as_ref().map_or_else(String::new, |raw| {
        let hash: String = raw.hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{hash} byte {}", raw.offset)
    });
    vec![
        conflict.reason.to_string(),
        event.switch.to_string(),
        event.call_key.to_string(),
        event.occurred_at.to_string(),
        event.line.to_string(),
        raw,
        advice(&conflict.reason).to_owned(),
    ]
}
