//! The country code of a number (ITU-T E.164 assigned codes): one digit for zones 1 and 7, two for the codes listed,
//! three for all others. Good enough to bound a provisional price; never used for a final one.

use facts::number::{E164, Prefix};

/// An E.164 country code as a prefix of one to three digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Country(Prefix);

/// Two-digit country codes (ITU-T E.164, list of 2016-11-15).
const TWO_DIGITS: [u8; 44] = [
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62,
    63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

impl Country {
    /// Of a dial code; one shorter than its country code is its own country.
    pub fn of_prefix(prefix: Prefix) -> Self {
        let nibble = |at: u32| ((prefix.key() >> (56 - 4 * at)) & 15) as u8;
        let digit = |at: u32| nibble(at).saturating_sub(1);
        let len = match digit(0) {
            1 | 7 => 1,
            first if nibble(1) != 0 && TWO_DIGITS.contains(&(first * 10 + digit(1))) => 2,
            _ => 3,
        };
        Self(prefix.truncate(len))
    }

    pub fn of_number(number: &E164) -> Option<Self> {
        Prefix::from_key(number.key()).filter(|prefix| !prefix.is_empty()).map(Self::of_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_codes_have_one_two_or_three_digits() {
        for (number, code) in [
            ("12015550100", "1"),
            ("74951234567", "7"),
            ("4930123456", "49"),
            ("380662296132", "380"),
            ("2919", "291"),
            ("44", "44"),
            ("4", "4"),
        ] {
            let country = Country::of_number(&E164::from_digits(number).unwrap()).unwrap();
            assert_eq!(country, Country(Prefix::new(code).unwrap()), "{number}");
        }
        assert_eq!(Country::of_number(&E164::default()), None);
    }
}
