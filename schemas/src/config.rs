//! Items of the `config` stream. Nothing in them can name a caller; they are kept for ever, and their private parts
//! stay empty.

mod to_facts;
mod to_wire;

use crate::FrameView;
use crate::error::{DecodeError, Problem};
use crate::wire;
use facts::config::ConfigItem;

/// Fingerprint that stands in the header of a frame of these items.
pub const ITEMS: [u8; 8] = wire::CONFIG_ITEM_V5;
/// The same for items that were written before fold versions, and for those that need nothing newer ([`items_of`]).
const ITEMS_V4: [u8; 8] = wire::CONFIG_ITEM_V4;
/// The same for items that were written before areas of numbers.
const ITEMS_V3: [u8; 8] = wire::CONFIG_ITEM_V3;
/// The same for items that were written before rules and imports of decks.
const ITEMS_V2: [u8; 8] = wire::CONFIG_ITEM_V2;
/// The same for items that were written before taxes by name, `jurisdiction_from` and void orders.
const ITEMS_V1: [u8; 8] = wire::CONFIG_ITEM_V1;

/// Appends an item; `private` is left alone.
pub fn encode_item(item: &ConfigItem, public: &mut Vec<u8>, _private: &mut Vec<u8>) {
    wire::ConfigItem { item: to_wire::item(item) }.encode(public);
}

/// Fingerprint of the oldest schema that has all of these items and gives them the same bytes, so that the release
/// before this one reads what says nothing new (design 8.10: going back is the old binary on the same log).
pub fn items_of<'a>(mut items: impl Iterator<Item = &'a ConfigItem>) -> [u8; 8] {
    if items.any(|item| matches!(item, ConfigItem::FoldVersion(_))) { ITEMS } else { ITEMS_V4 }
}

/// Reads an item; a private part that is not empty is refused.
pub fn decode_item(public: &[u8], private: &[u8]) -> Result<ConfigItem, DecodeError> {
    decode_by(decode_current, public, private)
}

/// The items of a frame, oldest first, by whichever schema its header names; another schema is refused by name.
pub fn items<'a>(
    frame: &'a FrameView<'a>,
) -> Result<impl Iterator<Item = Result<ConfigItem, DecodeError>> + 'a, DecodeError> {
    let decode = match frame.header.item_schema {
        ITEMS_V1 => wire::old::decode_config_item_v1,
        ITEMS_V2 => wire::old::decode_config_item_v2,
        ITEMS_V3 => wire::old::decode_config_item_v3,
        ITEMS_V4 => wire::old::decode_config_item_v4,
        _ => {
            frame.expect_items(ITEMS)?;
            decode_current
        }
    };
    Ok((0..frame.len()).map(move |index| {
        let (public, private) = frame.item(index)?;
        decode_by(decode, public, private)
    }))
}

fn decode_current(public: &[u8]) -> Result<wire::ConfigItem<'_>, DecodeError> {
    wire::ConfigItem::decode(public)
}

fn decode_by<'a>(
    decode: fn(&'a [u8]) -> Result<wire::ConfigItem<'a>, DecodeError>,
    public: &'a [u8],
    private: &[u8],
) -> Result<ConfigItem, DecodeError> {
    if !private.is_empty() {
        return Err(DecodeError::new("ConfigItem.item", Problem::Mismatch));
    }
    Ok(to_facts::item(decode(public)?.item))
}
