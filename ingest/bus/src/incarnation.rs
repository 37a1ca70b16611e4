//! The record at offset 0 of each partition of ours: a UUID that says which log this is (design 6.3). A plain Avro
//! record `Incarnation {uuid: fixed(16)}` in Confluent wire format, under a key of its own. Never shown to readers.

use facts::stream::Incarnation;

use crate::error::BusError;

/// Key of incarnation records; no event or frame has it.
pub const KEY: &[u8] = b"tandem.incarnation";
const PREFIX: usize = 5;

/// A new one, from the system's random source (UUID version 4).
pub(crate) fn fresh() -> Result<Incarnation, BusError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|source| BusError::Config {
        setting: "incarnation".to_owned(),
        reason: format!("the system's random source failed: {source}"),
    })?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Ok(Incarnation(bytes))
}

/// The record's value.
pub(crate) fn encode(incarnation: Incarnation, schema_id: u32) -> [u8; PREFIX + 16] {
    let mut value = [0u8; PREFIX + 16];
    value[1..PREFIX].copy_from_slice(&schema_id.to_be_bytes());
    value[PREFIX..].copy_from_slice(&incarnation.0);
    value
}

/// The incarnation, if that is what the record is.
pub fn decode(key: &[u8], value: &[u8]) -> Option<Incarnation> {
    if key != KEY || value.len() != PREFIX + 16 || value[0] != 0 {
        return None;
    }
    value[PREFIX..].try_into().ok().map(Incarnation)
}
