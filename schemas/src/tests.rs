//! The bytes against apache-avro, against damage, and against time.

mod arbitrary;
mod damage;
mod goldens;
mod older;
mod oracle;
mod samples;

use crate::error::DecodeError;
use crate::ids::Schema;
use crate::wire;

/// Reads and writes a body with the generated code.
fn recode(schema: Schema, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    macro_rules! one {
        ($type:ident) => {
            wire::$type::decode(bytes)?.encode(&mut out)
        };
    }
    match schema {
        Schema::CallEvent => one!(CallEvent),
        Schema::Reject => one!(Reject),
        Schema::ImportEnd => one!(ImportEnd),
        Schema::Tick => one!(Tick),
        Schema::SourceMark => one!(SourceMark),
        Schema::Incarnation => one!(Incarnation),
        Schema::Frame => one!(Frame),
        Schema::Fence => one!(Fence),
        Schema::XdrsItem => one!(XdrsItem),
        Schema::XdrsPrivate => one!(XdrsPrivate),
        Schema::LedgerItem => one!(LedgerItem),
        Schema::ConfigItem => one!(ConfigItem),
        Schema::DeckRows => one!(DeckRows),
        Schema::XdrOut => one!(XdrOut),
        Schema::CallEventV0 => wire::old::decode_call_event_v0(bytes)?.encode(&mut out),
    }
    Ok(out)
}

/// Schemas that are written today.
fn current() -> impl Iterator<Item = Schema> {
    Schema::ALL.into_iter().filter(|s| *s != Schema::CallEventV0)
}
