//! What a carrier would fear of a file reader: lost records, shifted times, wrong seconds, one bad byte that costs a
//! day. Files are our own fixtures; the real ones are read in the `ingest` crate's tests.

mod bad_input;
mod formats;

use crate::{Decoded, Tally, json, reader};
use facts::config::Switch;
use std::collections::BTreeMap;

pub const YETI: &[u8] = include_bytes!("../../../../tests/fixtures/yeti_cdr_events.jsonl");
pub const ASTERISK: &[u8] = include_bytes!("../../../../tests/fixtures/cdrs/asterisk_tails.csv");
pub const FREESWITCH: &[u8] = include_bytes!("../../../../tests/fixtures/cdrs/freeswitch_legs.json");
pub const CUCM: &[u8] = include_bytes!("../../../../tests/fixtures/cdrs/cucm_small.txt");
pub const TANDEM: &[u8] = include_bytes!("../../../../tests/fixtures/cdrs/tandem_events.json");

pub fn switch(format: &str, zone: &str, options: &[(&str, &str)]) -> Switch {
    Switch {
        id: "sw-1".into(),
        format: format.into(),
        id_domain: Default::default(),
        time_zone: zone.into(),
        options: options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<BTreeMap<_, _>>(),
    }
}

/// Reads everything, fed in pieces of `chunk` bytes.
pub fn read_in(switch: &Switch, bytes: &[u8], chunk: usize) -> Vec<Decoded> {
    let mut all = Vec::new();
    let mut reader = reader(&switch.format, switch).unwrap();
    for piece in bytes.chunks(chunk) {
        reader.feed(piece, &mut |decoded| all.push(decoded));
    }
    reader.finish(&mut |decoded| all.push(decoded));
    all
}

pub fn read(switch: &Switch, bytes: &[u8]) -> Vec<Decoded> {
    read_in(switch, bytes, 64 << 10)
}

/// What `tandem calls read --json` prints.
pub fn printed(switch: &Switch, bytes: &[u8]) -> String {
    let mut tally = Tally::default();
    let mut text = String::new();
    for decoded in read(switch, bytes) {
        tally.add(&decoded);
        text.push_str(&json::line(&decoded, "f"));
        text.push('\n');
    }
    text + &json::summary(&tally) + "\n"
}
