//! Rows of one dial code out of a deck version, without putting the deck together: a chunk's rows rise by code, and so
//! do the chunks, so a few of them are read instead of hundreds.

use super::{ConfigError, chunk};
use facts::config::{Config, DeckRoot};
use facts::deck::Rate;
use facts::number::Prefix;

/// Rows of `code` and of the shorter codes that begin it, longest code first, each code's rows in the deck's order.
pub fn rates_covering(config: &Config, root: &DeckRoot, code: Prefix) -> Result<Vec<Rate>, ConfigError> {
    let mut chunks = Chunks { config, root, first: vec![None; root.chunks.len()] };
    let mut found = Vec::new();
    for length in (0..=code.len()).rev() {
        chunks.rows_of(code.truncate(length), &mut found)?;
    }
    Ok(found)
}

/// Calls `each` with the rows of `from` and the codes after it, in the deck's order, until it answers `false`. Reads the
/// chunks that hold them and a few to find the first, whatever the deck's size.
pub fn rates_from(
    config: &Config,
    root: &DeckRoot,
    from: Prefix,
    each: &mut dyn FnMut(Rate) -> bool,
) -> Result<(), ConfigError> {
    let mut chunks = Chunks { config, root, first: vec![None; root.chunks.len()] };
    for place in chunks.place_of(from)?..root.chunks.len() {
        for rate in chunk(config, root, place)?.into_iter().filter(|rate| rate.prefix >= from) {
            if !each(rate) {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Chunks<'a> {
    config: &'a Config,
    root: &'a DeckRoot,
    /// Code that a chunk begins with, once it was looked at.
    first: Vec<Option<Prefix>>,
}

impl Chunks<'_> {
    /// The first chunk that can hold rows of this code.
    fn place_of(&mut self, code: Prefix) -> Result<usize, ConfigError> {
        // A code's rows may begin at the end of the last chunk that begins before it, and run on into the next ones.
        let (mut low, mut high) = (0, self.root.chunks.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first(middle)? < code {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    fn rows_of(&mut self, code: Prefix, found: &mut Vec<Rate>) -> Result<(), ConfigError> {
        for place in self.place_of(code)?..self.root.chunks.len() {
            if self.first(place)? > code {
                break;
            }
            found.extend(chunk(self.config, self.root, place)?.into_iter().filter(|rate| rate.prefix == code));
        }
        Ok(())
    }

    fn first(&mut self, place: usize) -> Result<Prefix, ConfigError> {
        if let Some(first) = self.first[place] {
            return Ok(first);
        }
        // No chunk is empty: `split` begins one with the row that needs it.
        let first = chunk(self.config, self.root, place)?.first().map(|rate| rate.prefix).unwrap_or_default();
        self.first[place] = Some(first);
        Ok(first)
    }
}
