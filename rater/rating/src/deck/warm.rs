//! Reading ahead: the steps of a look-up one by one, so that whoever has several asks the memory for all of them at
//! once. Never decides anything: left out, every price is the same.

use smol_str::SmolStr;

use super::{Chosen, CompiledDeck};
use crate::rerate::Place;

impl CompiledDeck {
    /// Where [`Self::first_of`] of this number will look.
    pub(crate) fn begins(&self, key: u64) -> (u32, u32) {
        self.intervals.begins(key)
    }

    /// Reads what it will look at first. What it returns means nothing.
    pub(crate) fn touch(&self, place: (u32, u32)) -> u64 {
        self.intervals.touch(place)
    }

    /// The destination of a chosen row, in the deck of this number.
    pub(crate) fn place_of(&self, deck: u32, chosen: Chosen) -> Place {
        Place { deck, destination: self.row(chosen.row).destination }
    }

    /// The first row of the longest prefix that this number begins with; `u32::MAX`: none.
    pub(crate) fn first_of(&self, key: u64) -> u32 {
        self.intervals.find(key)
    }

    /// Name of the breakout of a prefix, given by its first row.
    pub(crate) fn destination_of(&self, first: u32) -> Option<&SmolStr> {
        self.rows.get(first as usize).and_then(|row| self.destinations.get(row.destination as usize))
    }
}
