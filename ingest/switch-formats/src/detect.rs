//! Which format a file has, by its first bytes, for `tandem calls read FILE` without a configuration. Where it is not
//! plain, it says nothing rather than something wrong.

use crate::framer::{Framed, Framer, Shape};
use crate::text::Fields;

/// Bytes that are looked at; give at least so many where the file has them.
const LOOK: usize = 64 << 10;

/// Name of the format, one of [`crate::FORMATS`].
pub fn detect(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(LOOK)];
    let first = first_line(head)?;
    let start = first.trim_start();
    if start.starts_with(['{', '[']) {
        return json_format(&decoded(head));
    }
    let mut fields = Fields::new(b',');
    fields.read(start).ok()?;
    if fields.get(0).trim() == "cdrRecordType" {
        return Some("cucm");
    }
    if crate::asterisk::line_of_names(&fields).is_some() {
        return Some("asterisk");
    }
    let word = fields.get(14);
    let asterisk = (16..=21).contains(&fields.len())
        && matches!(word, "ANSWERED" | "NO ANSWER" | "BUSY" | "FAILED" | "CONGESTION")
        && fields.get(13).bytes().all(|b| b.is_ascii_digit());
    asterisk.then_some("asterisk")
}

fn json_format(text: &str) -> Option<&'static str> {
    let has = |key: &str| text.contains(&format!("\"{key}\""));
    if has("variables") && (has("callflow") || has("core-uuid") || has("channel_data")) {
        return Some("freeswitch");
    }
    if has("time_start") && (has("customer_acc_id") || has("dst_prefix_in") || has("local_tag")) {
        return Some("yeti");
    }
    let event = has("kind") && has("call_key") && (has("occurred_at") || has("started_at"));
    event.then_some("tandem")
}

/// The first line in UTF-8, whatever the file's encoding.
fn first_line(head: &[u8]) -> Option<String> {
    let mut line = None;
    let mut framer = Framer::new(Shape::Lines);
    let mut keep = |framed: Framed<'_>| {
        if let (Framed::Record(raw, _), true) = (framed, line.is_none()) {
            line = Some(String::from_utf8_lossy(raw).into_owned());
        }
        true
    };
    framer.feed(head, &mut keep);
    framer.finish(&mut keep);
    line
}

fn decoded(head: &[u8]) -> String {
    let mut text = String::new();
    let mut framer = Framer::new(Shape::Lines);
    let mut keep = |framed: Framed<'_>| {
        if let Framed::Record(raw, _) = framed {
            text.push_str(&String::from_utf8_lossy(raw));
        }
        true
    };
    framer.feed(head, &mut keep);
    framer.finish(&mut keep);
    text
}
