//! The rows of a real A-Z deck as ground for a world: destinations with their codes, countries, numbers inside them.
//! Knows nothing of who buys what.

use crate::dice::Dice;
use facts::Prefix;
use facts::deck::Rate;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Least rows that make a world.
pub const ROWS_MIN: usize = 100;

/// One row of the ground deck.
#[derive(Clone, Debug)]
pub struct Row {
    pub prefix: Prefix,
    /// The same as digits.
    pub digits: SmolStr,
    /// Place in [`Base::destinations`].
    pub destination: u32,
    pub country: Country,
    /// 10^-10 a minute.
    pub rate: i64,
}

/// E.164 country code as a number: 1, 44, 380.
pub type Country = u16;

#[derive(Clone, Debug)]
pub struct Destination {
    pub name: SmolStr,
    pub country: Country,
    /// Places in [`Base::rows`].
    pub rows: Vec<u32>,
}

/// The ground deck, sorted by code.
#[derive(Clone, Debug, Default)]
pub struct Base {
    pub rows: Vec<Row>,
    pub destinations: Vec<Destination>,
    /// Rising.
    countries: Vec<Country>,
}

/// Two-digit codes of the E.164 list; 1 and 7 have one digit, all others three.
const TWO_DIGITS: [u16; 44] = [
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62,
    63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

/// The country code that a number or dial code begins with; a shorter text is its own country.
pub fn country(digits: &str) -> Country {
    let number = |len: usize| digits.get(..len.min(digits.len())).and_then(|text| text.parse().ok()).unwrap_or(0);
    match number(1) {
        1 | 7 => number(1),
        _ if TWO_DIGITS.contains(&number(2)) => number(2),
        _ => number(3),
    }
}

impl Base {
    pub fn new(rates: &[Rate]) -> Self {
        let mut sorted: Vec<&Rate> = rates.iter().filter(|rate| !rate.prefix.is_empty()).collect();
        sorted.sort_by_key(|rate| rate.prefix);
        sorted.dedup_by_key(|rate| rate.prefix);
        let mut base = Self::default();
        // A name that two countries share is two destinations.
        let mut known: BTreeMap<(Country, SmolStr), u32> = BTreeMap::new();
        for rate in sorted {
            let digits = SmolStr::new(rate.prefix.to_string());
            let country = country(&digits);
            let destinations = &mut base.destinations;
            let destination = *known.entry((country, rate.destination.clone())).or_insert_with(|| {
                destinations.push(Destination { name: rate.destination.clone(), country, rows: Vec::new() });
                destinations.len() as u32 - 1
            });
            base.destinations[destination as usize].rows.push(base.rows.len() as u32);
            base.rows.push(Row { prefix: rate.prefix, digits, destination, country, rate: rate.next_rate.0.max(0) });
        }
        base.countries = base.destinations.iter().map(|destination| destination.country).collect();
        base.countries.sort_unstable();
        base.countries.dedup();
        base
    }

    /// Whether the deck knows the country at all.
    pub fn lives(&self, country: Country) -> bool {
        self.countries.binary_search(&country).is_ok()
    }

    /// A number of that destination, in E.164 digits. Its longest code may well be another one.
    pub fn number(&self, destination: u32, dice: &mut Dice) -> String {
        let rows = &self.destinations[destination as usize].rows;
        let row = &self.rows[*dice.pick(rows) as usize];
        let length = match row.country {
            1 | 7 => 11,
            0..=99 => dice.between(11, 12) as usize,
            _ => dice.between(11, 13) as usize,
        };
        let mut number = String::with_capacity(15);
        number.push_str(&row.digits);
        let length = length.max(row.digits.len() + 3).min(15);
        while number.len() < length {
            number.push(char::from(b'0' + dice.below(10) as u8));
        }
        // One in a hundred is too short or too long for its country.
        match dice.below(200) {
            0 => number.truncate(row.digits.len() + 2),
            1 => number.push_str(&"0123456789"[..16usize.saturating_sub(number.len()).min(10)]),
            _ => {}
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_knows_its_country() {
        for (number, code) in
            [("12015550100", 1), ("7840", 7), ("4930", 49), ("380662296132", 380), ("29", 29), ("", 0)]
        {
            assert_eq!(country(number), code, "{number}");
        }
    }
}
