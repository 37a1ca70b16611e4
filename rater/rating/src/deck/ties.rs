//! Ties (design 4.5): two rows of one prefix and origin that are left for the same instant, so that nobody can say
//! which of them counts. A blocked row takes part like any other; bands that overlap tie as one band does.
//!
//! Finds and names them; never chooses between them.

use std::fmt;

use facts::deck::RowStatus;
use facts::number::{E164, Prefix};
use facts::time::rfc3339;
use smol_str::SmolStr;

use super::{CompiledDeck, NONE};

/// Two rows of which nobody can say which counts, and the first instant at which both are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tie {
    pub prefix: Prefix,
    /// Names of the rows' time bands, empty where a row has none.
    pub bands: [String; 2],
    pub origin: String,
    /// Microseconds; `None`: since ever.
    pub at: Option<i64>,
}

impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two rows of prefix {}", self.prefix)?;
        if !self.origin.is_empty() {
            write!(f, " for callers of {:?}", self.origin)?;
        }
        match (&*self.bands[0], &*self.bands[1]) {
            ("", "") => {}
            (a, b) if a == b => write!(f, " in the band {a:?}")?,
            (a, b) => write!(f, " in the bands {a:?} and {b:?}, which overlap,")?,
        }
        match self.at {
            Some(at) => write!(f, " are left at {}", rfc3339(at)),
            None => f.write_str(" are both valid always"),
        }
    }
}

/// What decides between two rows of one prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    origin: u16,
    adds: bool,
    band: u8,
}

impl CompiledDeck {
    /// The first tie of the deck, in the order of its prefixes. Rows of different validity never tie.
    pub fn first_tie(&self) -> Option<Tie> {
        let mut first = 0;
        while let Some(rows) = self.rows_of(first) {
            let rows = rows.filter(|row| self.row(*row).status != RowStatus::Discontinued);
            let rows: Vec<u32> = rows.collect();
            for (at, row) in rows.iter().enumerate() {
                if let Some(tie) = rows[at + 1..].iter().find_map(|other| self.tie(*row, *other)) {
                    return Some(tie);
                }
            }
            first = self.rows_of(first).map_or(u32::MAX, |rows| rows.end);
        }
        None
    }

    /// The tie that a look-up of a number meets at an instant.
    pub fn tie_at(&self, number: &E164, origin: u16, at: i64) -> Option<Tie> {
        [false, true].into_iter().find_map(|adds| {
            let tied = self.best_rows(number, origin, at, adds);
            tied.get(1).map(|second| self.named(tied[0], *second, Some(at)))
        })
    }

    /// The tie that a call meets while it crosses bands: by a row of the same prefix and origin, until an instant.
    pub fn tie_until(&self, number: &E164, origin: u16, rated_at: i64, until: i64) -> Option<Tie> {
        let row = *self.best_rows(number, origin, rated_at, false).first()?;
        if !self.crosses_bands(row) {
            return None;
        }
        let sisters: Vec<u32> = self.sisters(row, true, rated_at).collect();
        let mut now = rated_at;
        while now < until {
            let owned = self.bands.owning(now);
            let band = |row: u32| self.key(row).band;
            let left = |banded: bool| {
                let fits = move |row: &u32| match band(*row) {
                    0 => !banded,
                    band => banded && owned >> (band - 1) & 1 == 1,
                };
                sisters.iter().copied().filter(fits).take(2).collect::<Vec<_>>()
            };
            let banded = left(true);
            let tied = if banded.is_empty() { left(false) } else { banded };
            if let [first, second] = tied[..] {
                return Some(self.named(first, second, Some(now)));
            }
            now = self.bands.next_change(now).max(now + 1);
        }
        None
    }

    /// Free time at the start of a call by this row, microseconds.
    pub(crate) fn free(&self, chosen: super::Chosen) -> i64 {
        self.row_extra(chosen.row).map_or(0, |extra| extra.free)
    }

    /// All rows that are left for a number at an instant; more than one is a tie.
    fn best_rows(&self, number: &E164, origin: u16, at: i64, add: bool) -> Vec<u32> {
        let owned = if self.any_bands { self.bands.owning(at) } else { 0 };
        let mut first = self.intervals.find(number.key());
        while first != NONE {
            let rows = self.group_rows(self.rows[first as usize].group);
            let ranked: Vec<(u8, u32)> =
                rows.filter_map(|row| self.rank(row, origin, at, owned, add).map(|rank| (rank, row))).collect();
            if let Some(best) = ranked.iter().map(|(rank, _)| *rank).max() {
                return ranked.into_iter().filter(|(rank, _)| *rank == best).map(|(_, row)| row).collect();
            }
            first = self.parent(first);
        }
        Vec::new()
    }

    /// The rows of the prefix to which a row belongs; `None` behind the last row.
    fn rows_of(&self, row: u32) -> Option<std::ops::Range<u32>> {
        self.rows.get(row as usize).map(|row| self.group_rows(row.group))
    }

    /// Name of a band by 1 + its place; empty for 0.
    pub(super) fn band_name(&self, band: u8) -> SmolStr {
        usize::from(band).checked_sub(1).and_then(|at| self.band_names.get(at)).cloned().unwrap_or_default()
    }

    fn key(&self, row: u32) -> Key {
        self.row_extra(row).map_or(Key { origin: 0, adds: false, band: 0 }, |extra| Key {
            origin: extra.origin,
            adds: extra.add,
            band: extra.band,
        })
    }

    /// Whether two rows of one prefix are ever left together.
    fn tie(&self, one: u32, other: u32) -> Option<Tie> {
        let (a, b) = (self.key(one), self.key(other));
        let from = self.row(one).valid_from.max(self.row(other).valid_from);
        let until = self.row(one).valid_until.min(self.row(other).valid_until);
        if a.origin != b.origin || a.adds != b.adds || (a.band == 0) != (b.band == 0) || from >= until {
            return None;
        }
        if a.band == 0 {
            return Some(self.named(one, other, (from != i64::MIN).then_some(from)));
        }
        let at = self.bands.first_shared(a.band - 1, b.band - 1, from, until)?;
        Some(self.named(one, other, Some(at)))
    }

    fn named(&self, one: u32, other: u32, at: Option<i64>) -> Tie {
        let band = |row: u32| self.band_name(self.key(row).band).to_string();
        Tie {
            prefix: self.row(one).prefix,
            bands: [band(one), band(other)],
            origin: self.origins.name(self.key(one).origin).to_string(),
            at,
        }
    }
}

#[cfg(test)]
mod tests {
    use facts::deck::{DeckTerms, OriginGroup, Price, Rate, RateDeck, RowStatus, TimeBand};
    use facts::money::Currency;
    use facts::number::{E164, Prefix};
    use facts::time::parse_rfc3339;

    use crate::{CompiledDeck, DeckBuilder};

    fn deck(rows: &[(&str, &str, &str, &str, RowStatus)]) -> RateDeck {
        let mut terms = DeckTerms::new(Currency::new("EUR").unwrap());
        let band = |name: &str, days: &[&str], from, until| TimeBand {
            name: name.into(),
            days: days.iter().map(|day| (*day).into()).collect(),
            from,
            until,
        };
        let week = ["mon", "tue", "wed", "thu", "fri"];
        terms.time_bands = vec![
            band("day", &week, 480, 1200),
            band("evening", &week, 1080, 1320),
            band("night", &week, 1320, 480),
            band("feast", &["holiday"], 0, 1440),
            band("noon feast", &["holiday"], 720, 780),
        ];
        terms.holidays = vec!["2023-12-25".into()];
        terms.origin_groups =
            vec![OriginGroup { name: "EEA".into(), prefixes: vec![Prefix::new("43").unwrap()], malformed: false }];
        let rates = rows.iter().map(|(prefix, band, origin, from, status)| {
            let mut rate = Rate::simple(Prefix::new(prefix).unwrap(), "", 1, 1, Price(1));
            let named = |name: &str| (!name.is_empty()).then(|| name.into());
            (rate.time_band, rate.origin, rate.status) = (named(band), named(origin), *status);
            if let Some((from, until)) = from.split_once("..") {
                let day = |day: &str| parse_rfc3339(&format!("{day}T00:00:00Z"));
                (rate.valid_from, rate.valid_until) = (day(from), day(until));
            }
            rate
        });
        RateDeck { id: "d".into(), version: 1, terms, rates: rates.collect() }
    }

    #[test]
    fn two_rows_that_are_left_for_one_instant_are_refused_by_name() {
        use RowStatus::{Blocked, Discontinued, Open};
        let refused = |rows: &[_]| CompiledDeck::compile(&deck(rows)).err().map_or_else(String::new, |e| e.to_string());
        for (rows, reason) in [
            (&[("49", "", "", "", Open), ("49", "", "", "", Open)][..], "two rows of prefix 49 are both valid always"),
            (&[("49", "", "", "", Open), ("49", "", "", "", Blocked)], "two rows of prefix 49 are both valid always"),
            (&[("49", "", "", "", Open), ("49", "", "", "", Discontinued)], ""),
            (&[("49", "", "", "2023-01-01..2023-02-01", Open), ("49", "", "", "2023-02-01..", Open)], ""),
            (
                &[("49", "", "", "2023-01-01..2023-02-01", Open), ("49", "", "", "2023-01-31..", Open)],
                "two rows of prefix 49 are left at 2023-01-31T00:00:00Z",
            ),
            (&[("49", "day", "", "", Open), ("49", "", "", "", Open), ("49", "night", "", "", Open)], ""),
            (
                &[("49", "evening", "", "2023-01-02..", Open), ("49", "day", "", "", Open)],
                "two rows of prefix 49 in the bands \"evening\" and \"day\", which overlap, are left at \
                 2023-01-02T18:00:00Z",
            ),
            (&[("49", "day", "EEA", "", Open), ("49", "day", "", "", Open)], ""),
            (
                &[("49", "", "EEA", "2023-01-02..", Open), ("49", "", "EEA", "", Open)],
                "two rows of prefix 49 for callers of \"EEA\" are left at 2023-01-02T00:00:00Z",
            ),
            // Only a holiday brings the two together, and only where there is one in their time.
            (
                &[("49", "feast", "", "", Open), ("49", "noon feast", "", "2023-01-02..", Open)],
                "two rows of prefix 49 in the bands \"feast\" and \"noon feast\", which overlap, are left at \
                 2023-12-25T12:00:00Z",
            ),
            (&[("49", "feast", "", "", Open), ("49", "noon feast", "", "2023-12-26..2024-12-01", Open)], ""),
            (&[("49", "day", "", "", Open), ("4", "day", "", "", Open)], ""),
        ] {
            let said = refused(rows);
            let expected = if reason.is_empty() {
                String::new()
            } else {
                format!("{reason}; end one before the other begins, or give them bands or origins that do not overlap")
            };
            assert_eq!(said, expected, "{rows:?}");
        }
    }

    #[test]
    fn a_tie_is_found_too_where_rows_that_stand_alone_are_let_go() {
        use RowStatus::Open;
        for tied in 0..4 {
            let prefixes = ["41", "43", "44", "49"];
            let mut rows: Vec<_> = prefixes.iter().map(|prefix| (*prefix, "", "", "", Open)).collect();
            assert!(CompiledDeck::compile(&deck(&rows)).is_ok());
            rows.insert(tied, rows[tied]);
            let deck = deck(&rows);
            let mut builder = DeckBuilder::new("d", 1, &deck.terms).unwrap();
            deck.rates.iter().for_each(|rate| builder.push_for_ties(rate).unwrap());
            let kept = builder.finish();
            assert_eq!(kept.first_tie(), CompiledDeck::compile_with_ties(&deck).unwrap().first_tie(), "{tied}");
            assert!(kept.first_tie().is_some() && kept.len() <= 3, "{} rows kept", kept.len());
        }
    }

    #[test]
    fn a_tie_is_met_where_the_call_is_and_not_before() {
        use RowStatus::Open;
        let deck = CompiledDeck::compile_with_ties(&deck(&[
            ("49", "day", "", "", Open),
            ("49", "evening", "", "", Open),
            ("4", "", "", "", Open),
        ]))
        .unwrap();
        let number = E164::from_digits("4930").unwrap();
        let at = |text: &str| parse_rfc3339(text).unwrap();
        assert_eq!(deck.tie_at(&number, 0, at("2023-05-09T17:59:59Z")), None);
        assert!(deck.tie_at(&number, 0, at("2023-05-09T18:00:00Z")).is_some());
        assert_eq!(deck.tie_at(&E164::from_digits("44").unwrap(), 0, at("2023-05-09T18:00:00Z")), None);
        let from = at("2023-05-09T17:50:00Z");
        assert_eq!(deck.tie_until(&number, 0, from, at("2023-05-09T18:00:00Z")), None);
        assert!(deck.tie_until(&number, 0, from, at("2023-05-09T18:00:01Z")).is_some());
    }
}
