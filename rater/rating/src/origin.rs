//! Where a call comes from: the caller's group among the origin groups of a deck (design 4.10, 13.3).

use facts::deck::OriginGroup;
use facts::number::{E164, PREFIX_DIGITS_MAX, Prefix};
use smol_str::SmolStr;

/// No group: rows with an origin do not match.
pub const UNKNOWN_ORIGIN: u16 = 0;

/// The origin groups of one deck. Group numbers are 1 + their place in the deck.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    names: Vec<SmolStr>,
    /// Sorted; the first group that names a prefix keeps it.
    prefixes: Vec<(Prefix, u16)>,
    malformed: u16,
}

impl Origins {
    pub fn compile(groups: &[OriginGroup]) -> Self {
        let mut this = Self::default();
        for (at, group) in groups.iter().enumerate() {
            let number = at as u16 + 1;
            this.names.push(group.name.clone());
            this.prefixes.extend(group.prefixes.iter().map(|prefix| (*prefix, number)));
            if group.malformed && this.malformed == UNKNOWN_ORIGIN {
                this.malformed = number;
            }
        }
        this.prefixes.sort_unstable();
        this.prefixes.dedup_by_key(|(prefix, _)| *prefix);
        this
    }

    pub fn index_of(&self, name: &str) -> Option<u16> {
        self.names.iter().position(|known| known == name).map(|at| at as u16 + 1)
    }

    pub fn name(&self, number: u16) -> SmolStr {
        usize::from(number).checked_sub(1).and_then(|at| self.names.get(at)).cloned().unwrap_or_default()
    }

    /// The group with the longest matching prefix; callers that are absent, no digits, shorter than 7 or longer than
    /// 15 are in the malformed group.
    pub fn of(&self, caller: Option<&E164>) -> u16 {
        if self.names.is_empty() {
            return UNKNOWN_ORIGIN;
        }
        let Some(caller) = caller.filter(|caller| (7..=PREFIX_DIGITS_MAX).contains(&caller.len())) else {
            return self.malformed;
        };
        let Some(whole) = Prefix::from_key(caller.key()) else {
            return self.malformed;
        };
        (0..=PREFIX_DIGITS_MAX)
            .rev()
            .find_map(|len| {
                let short = whole.truncate(len);
                self.prefixes.binary_search_by_key(&short, |(prefix, _)| *prefix).ok().map(|at| self.prefixes[at].1)
            })
            .unwrap_or(UNKNOWN_ORIGIN)
    }
}
