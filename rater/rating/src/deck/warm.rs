//! Reading ahead: what look-ups of several calls will need is asked of the memory at once, so that one waits for all of
//! it together and not one after the other. Never decides anything: left out, every price is the same.

use facts::call::Call;

use super::{CompiledDeck, NONE};
use crate::tariffs::Tariffs;

/// Look-ups under way at once.
const TOGETHER: usize = 64;

impl Tariffs {
    /// Reads ahead what [`Self::rate_as`] of these calls will look up. What it returns means nothing.
    pub fn warm<'c>(&self, calls: impl Iterator<Item = &'c Call>) -> u64 {
        let mut asked: Vec<(&CompiledDeck, u64)> = Vec::with_capacity(TOGETHER);
        for call in calls {
            self.for_each_side(call, &mut |side, party| {
                let deck = party.and_then(|party| self.agreement(party.level, side)).and_then(|it| it.deck.as_deref());
                if let Some(deck) = deck
                    && let Some(number) = side.number_for(deck)
                {
                    asked.push((deck, number.key()));
                }
            });
        }
        asked.chunks(TOGETHER).fold(0, |all, chunk| all ^ warm(chunk))
    }
}

/// Each step for all of them before the next one: the steps of one depend on each other, those of several do not.
fn warm(asked: &[(&CompiledDeck, u64)]) -> u64 {
    let mut firsts = [NONE; TOGETHER];
    let mut seen = asked.iter().fold(0, |all, (deck, key)| all ^ deck.intervals.touch(*key));
    for (first, (deck, key)) in firsts.iter_mut().zip(asked) {
        *first = deck.intervals.find(*key);
    }
    let mut destinations = [NONE; TOGETHER];
    for ((destination, first), (deck, _)) in destinations.iter_mut().zip(&firsts).zip(asked) {
        *destination = deck.rows.get(*first as usize).map_or(NONE, |row| row.destination);
    }
    for (destination, (deck, _)) in destinations.iter().zip(asked) {
        seen ^= deck.destinations.get(*destination as usize).map_or(0, |name| name.len() as u64);
    }
    seen
}
