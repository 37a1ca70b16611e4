//! Rows of a deck in chunks that are addressed by the BLAKE3 of their bytes. Where one chunk ends and the next begins
//! follows the dial codes, not the count of rows: two decks that differ in a few rows share all other chunks, and a
//! chunk that differs in a few rows is written as a patch of the one before ([`split_onto`]).

mod patch;

pub use patch::{ChunkError, Split, rows, split_onto};

use crate::error::{DecodeError, Problem};
use crate::frame::ITEM_BYTES_MAX;
use crate::wire;
use facts::deck::{Price, Rate, Settings, Step};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Most bytes of a chunk; it has to fit an item of the config stream with its hash and lengths.
pub const CHUNK_BYTES_MAX: usize = ITEM_BYTES_MAX - 64;
/// One dial code in so many begins a chunk (a power of two).
const CODES_PER_CHUNK: u64 = 2_048;

/// A chunk's content address (BLAKE3) and bytes.
pub type Chunk = ([u8; 32], Vec<u8>);

/// A row that no chunk can hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("row {row} of the deck takes {bytes} bytes, a chunk holds 393152; give it fewer steps or a shorter name")]
pub struct RowTooLarge {
    /// Index of the row.
    pub row: usize,
    pub bytes: usize,
}

/// The rows as one chunk, whatever its size; [`split`] is what keeps chunks small.
pub fn encode_chunk(rates: &[Rate]) -> Vec<u8> {
    let mut names = Names::default();
    let rates = rates.iter().map(|rate| rate_to_wire(rate, names.index(rate))).collect();
    let mut out = Vec::new();
    wire::DeckRows { destinations: names.list, rates }.encode(&mut out);
    out
}

/// Names in order of first use.
#[derive(Default)]
struct Names<'a> {
    known: BTreeMap<&'a str, u32>,
    list: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn index(&mut self, rate: &'a Rate) -> u32 {
        let next = self.list.len() as u32;
        let index = *self.known.entry(&rate.destination).or_insert(next);
        if index == next {
            self.list.push(rate.destination.as_str());
        }
        index
    }
}

/// Reads a chunk of whole rows; [`rows`] reads patches too.
pub fn decode_chunk(bytes: &[u8]) -> Result<Vec<Rate>, DecodeError> {
    let chunk = wire::DeckRows::decode(bytes)?;
    // Long names are shared by all rows that bear them.
    let names: Vec<SmolStr> = chunk.destinations.iter().map(SmolStr::new).collect();
    chunk
        .rates
        .iter()
        .map(|rate| match names.get(rate.destination as usize) {
            Some(name) => Ok(rate_to_facts(rate, name.clone())),
            None => Err(DecodeError::new("Rate.destination", Problem::OutOfRange)),
        })
        .collect()
}

/// Cuts a deck's rows into chunks of at most 384 KiB: content address and bytes, in the rows' order.
pub fn split(rates: &[Rate]) -> Result<Vec<Chunk>, RowTooLarge> {
    let mut chunks = Vec::new();
    cut(rates.iter().cloned(), &mut |rates| chunks.push(addressed(rates)))?;
    Ok(chunks)
}

/// Calls `emit` with the rows of one chunk after another.
fn cut(rates: impl Iterator<Item = Rate>, emit: &mut dyn FnMut(&[Rate])) -> Result<(), RowTooLarge> {
    let mut held: Vec<Rate> = Vec::new();
    let mut scratch = Vec::new();
    let mut bytes = 0;
    for (at, rate) in rates.enumerate() {
        // The name counts with every row here, though it stands in the chunk once: an upper bound is enough.
        scratch.clear();
        rate_to_wire(&rate, u32::MAX).encode(&mut scratch);
        let row = scratch.len() + rate.destination.len() + 10;
        if row + 20 > CHUNK_BYTES_MAX {
            return Err(RowTooLarge { row: at, bytes: row });
        }
        let new_code = held.last().is_some_and(|last| last.prefix != rate.prefix);
        if !held.is_empty() && (bytes + row + 20 > CHUNK_BYTES_MAX || (new_code && begins_chunk(&rate))) {
            emit(&held);
            held.clear();
            bytes = 0;
        }
        held.push(rate);
        bytes += row;
    }
    if !held.is_empty() {
        emit(&held);
    }
    Ok(())
}

fn addressed(rates: &[Rate]) -> Chunk {
    let bytes = encode_chunk(rates);
    (*blake3::hash(&bytes).as_bytes(), bytes)
}

/// A fixed function of the dial code alone, so that a changed price moves no cut. Changing it only costs sharing.
fn begins_chunk(rate: &Rate) -> bool {
    let mixed = (rate.prefix.key() >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32 & (CODES_PER_CHUNK - 1) == 0
}

fn rate_to_wire(x: &Rate, destination: u32) -> wire::Rate<'_> {
    let price = |p: Option<Price>| p.map(|p| p.0);
    wire::Rate {
        prefix: x.prefix,
        destination,
        connect_fee: x.connect_fee.0,
        first_interval: x.first_interval,
        first_rate: x.first_rate.0,
        next_interval: x.next_interval,
        next_rate: x.next_rate.0,
        inter_rate: price(x.inter_rate),
        intra_rate: price(x.intra_rate),
        indeterminate_rate: price(x.indeterminate_rate),
        valid_from: x.valid_from,
        valid_until: x.valid_until,
        time_band: x.time_band.as_deref(),
        origin: x.origin.as_deref(),
        origin_mode: x.origin_mode,
        status: x.status,
        free: x.free,
        steps: x
            .steps
            .iter()
            .map(|s| wire::Step { from: s.from, rate: s.rate.0, per: s.per, increment: s.increment })
            .collect(),
        settings: (x.settings != Settings::default()).then(|| settings_to_wire(&x.settings)),
    }
}

fn rate_to_facts(x: &wire::Rate<'_>, destination: SmolStr) -> Rate {
    Rate {
        prefix: x.prefix,
        destination,
        connect_fee: Price(x.connect_fee),
        first_interval: x.first_interval,
        first_rate: Price(x.first_rate),
        next_interval: x.next_interval,
        next_rate: Price(x.next_rate),
        inter_rate: x.inter_rate.map(Price),
        intra_rate: x.intra_rate.map(Price),
        indeterminate_rate: x.indeterminate_rate.map(Price),
        valid_from: x.valid_from,
        valid_until: x.valid_until,
        time_band: x.time_band.map(SmolStr::new),
        origin: x.origin.map(SmolStr::new),
        origin_mode: x.origin_mode,
        status: x.status,
        free: x.free,
        steps: x
            .steps
            .iter()
            .map(|s| Step { from: s.from, rate: Price(s.rate), per: s.per, increment: s.increment })
            .collect(),
        settings: x.settings.as_ref().map(settings_to_facts).unwrap_or_default(),
    }
}

pub(crate) fn settings_to_wire(x: &Settings) -> wire::Settings {
    wire::Settings {
        grace: x.grace,
        minimum_duration: x.minimum_duration,
        maximum_duration: x.maximum_duration,
        minimum_amount: x.minimum_amount.map(|p| p.0),
        maximum_amount: x.maximum_amount.map(|p| p.0),
        attempt_fee: x.attempt_fee.map(|p| p.0),
        disconnect_fee: x.disconnect_fee.map(|p| p.0),
    }
}

pub(crate) fn settings_to_facts(x: &wire::Settings) -> Settings {
    Settings {
        grace: x.grace,
        minimum_duration: x.minimum_duration,
        maximum_duration: x.maximum_duration,
        minimum_amount: x.minimum_amount.map(Price),
        maximum_amount: x.maximum_amount.map(Price),
        attempt_fee: x.attempt_fee.map(Price),
        disconnect_fee: x.disconnect_fee.map(Price),
    }
}

#[cfg(test)]
mod tests;
