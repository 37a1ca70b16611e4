//! Items of the `config` stream. Nothing in them can name a caller; they are kept for ever, and their private parts
//! stay empty.

mod to_facts;
mod to_wire;

use crate::error::{DecodeError, Problem};
use crate::wire;
use facts::config::ConfigItem;

/// Fingerprint that stands in the header of a frame of these items.
pub const ITEMS: [u8; 8] = wire::CONFIG_ITEM_V1;

/// Appends an item; `private` is left alone.
pub fn encode_item(item: &ConfigItem, public: &mut Vec<u8>, _private: &mut Vec<u8>) {
    wire::ConfigItem { item: to_wire::item(item) }.encode(public);
}

/// Reads an item; a private part that is not empty is refused.
pub fn decode_item(public: &[u8], private: &[u8]) -> Result<ConfigItem, DecodeError> {
    if !private.is_empty() {
        return Err(DecodeError::new("ConfigItem.item", Problem::Mismatch));
    }
    Ok(to_facts::item(wire::ConfigItem::decode(public)?.item))
}
