//! The bytes against apache-avro, against damage, and against time.

mod arbitrary;
mod damage;
mod goldens;
mod older;
mod oracle;
pub(crate) mod samples;

use crate::error::DecodeError;
use crate::ids::Schema;
use crate::wire;

/// Every current schema resolved by build.rs as an old one is, against itself.
mod same {
    #![allow(clippy::all, unused_parens, reason = "generated")]
    use crate::codec::{Reader, Stop};
    use crate::error::{DecodeError, Problem};
    use crate::wire::*;
    use smallvec::SmallVec;
    include!(concat!(env!("OUT_DIR"), "/same.rs"));
}

/// Reads with the decoder that resolution made and writes.
fn recode_resolved(schema: Schema, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    match schema {
        Schema::CallEvent => same::decode_call_event_v1(bytes)?.encode(&mut out),
        Schema::Reject => same::decode_reject_v1(bytes)?.encode(&mut out),
        Schema::ImportEnd => same::decode_import_end_v1(bytes)?.encode(&mut out),
        Schema::Tick => same::decode_tick_v1(bytes)?.encode(&mut out),
        Schema::SourceMark => same::decode_source_mark_v1(bytes)?.encode(&mut out),
        Schema::Incarnation => same::decode_incarnation_v1(bytes)?.encode(&mut out),
        Schema::Frame => same::decode_frame_v1(bytes)?.encode(&mut out),
        Schema::Fence => same::decode_fence_v1(bytes)?.encode(&mut out),
        Schema::XdrsItem => same::decode_xdrs_item_v1(bytes)?.encode(&mut out),
        Schema::XdrsPrivate => same::decode_xdrs_private_v1(bytes)?.encode(&mut out),
        Schema::Notice => same::decode_notice_v3(bytes)?.encode(&mut out),
        Schema::NoticeV1 => wire::old::decode_notice_v1(bytes)?.encode(&mut out),
        Schema::NoticeV2 => wire::old::decode_notice_v2(bytes)?.encode(&mut out),
        Schema::LedgerItem => same::decode_ledger_item_v4(bytes)?.encode(&mut out),
        Schema::LedgerItemV3 => wire::old::decode_ledger_item_v3(bytes)?.encode(&mut out),
        Schema::LedgerItemV1 => wire::old::decode_ledger_item_v1(bytes)?.encode(&mut out),
        Schema::LedgerItemV2 => wire::old::decode_ledger_item_v2(bytes)?.encode(&mut out),
        Schema::ConfigItem => same::decode_config_item_v5(bytes)?.encode(&mut out),
        Schema::ConfigItemV1 => wire::old::decode_config_item_v1(bytes)?.encode(&mut out),
        Schema::ConfigItemV2 => wire::old::decode_config_item_v2(bytes)?.encode(&mut out),
        Schema::ConfigItemV3 => wire::old::decode_config_item_v3(bytes)?.encode(&mut out),
        Schema::ConfigItemV4 => wire::old::decode_config_item_v4(bytes)?.encode(&mut out),
        Schema::DeckRows => same::decode_deck_rows_v1(bytes)?.encode(&mut out),
        Schema::DeckPatch => same::decode_deck_patch_v1(bytes)?.encode(&mut out),
        Schema::XdrOut => same::decode_xdr_out_v1(bytes)?.encode(&mut out),
        Schema::CallEventV0 => wire::old::decode_call_event_v0(bytes)?.encode(&mut out),
        Schema::RunOrder => same::decode_run_order_v1(bytes)?.encode(&mut out),
    }
    Ok(out)
}

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
        Schema::Notice => one!(Notice),
        Schema::NoticeV1 => wire::old::decode_notice_v1(bytes)?.encode(&mut out),
        Schema::NoticeV2 => wire::old::decode_notice_v2(bytes)?.encode(&mut out),
        Schema::LedgerItem => one!(LedgerItem),
        Schema::LedgerItemV3 => wire::old::decode_ledger_item_v3(bytes)?.encode(&mut out),
        Schema::LedgerItemV1 => wire::old::decode_ledger_item_v1(bytes)?.encode(&mut out),
        Schema::LedgerItemV2 => wire::old::decode_ledger_item_v2(bytes)?.encode(&mut out),
        Schema::ConfigItem => one!(ConfigItem),
        Schema::ConfigItemV1 => wire::old::decode_config_item_v1(bytes)?.encode(&mut out),
        Schema::ConfigItemV2 => wire::old::decode_config_item_v2(bytes)?.encode(&mut out),
        Schema::ConfigItemV3 => wire::old::decode_config_item_v3(bytes)?.encode(&mut out),
        Schema::ConfigItemV4 => wire::old::decode_config_item_v4(bytes)?.encode(&mut out),
        Schema::DeckRows => one!(DeckRows),
        Schema::DeckPatch => one!(DeckPatch),
        Schema::XdrOut => one!(XdrOut),
        Schema::CallEventV0 => wire::old::decode_call_event_v0(bytes)?.encode(&mut out),
        Schema::RunOrder => one!(RunOrder),
    }
    Ok(out)
}

/// Schemas that are only read.
const OLD: [Schema; 10] = [
    Schema::CallEventV0,
    Schema::ConfigItemV1,
    Schema::LedgerItemV1,
    Schema::ConfigItemV2,
    Schema::ConfigItemV3,
    Schema::ConfigItemV4,
    Schema::LedgerItemV2,
    Schema::LedgerItemV3,
    Schema::NoticeV1,
    Schema::NoticeV2,
];

/// Schemas that are written today.
fn current() -> impl Iterator<Item = Schema> {
    Schema::ALL.into_iter().filter(|s| !OLD.contains(s))
}
