//! Telephone numbers as digits after normalisation, and the dial codes that match their beginning.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest number kept; ITU-T E.164 allows 15 digits, real traffic sends more.
pub const NUMBER_DIGITS_MAX: usize = 31;
/// Longest dial code of a deck (E.164).
pub const PREFIX_DIGITS_MAX: usize = 15;

/// A called or calling number: digits only, leading zeros allowed, no plus. Not proved to be a valid E.164 number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct E164 {
    digits: [u8; NUMBER_DIGITS_MAX],
    len: u8,
}

/// Why a text is no number or dial code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("number {0:?} holds something other than digits")]
    NotDigits(String),
    #[error("number {0:?} has more than 31 digits")]
    TooLong(String),
    #[error("dial code {0:?} has more than 15 digits")]
    PrefixTooLong(String),
}

impl E164 {
    /// Digits as they stand, without any normalisation.
    pub fn from_digits(text: &str) -> Result<Self, NumberError> {
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::NotDigits(text.to_owned()));
        }
        if text.len() > NUMBER_DIGITS_MAX {
            return Err(NumberError::TooLong(text.to_owned()));
        }
        let mut digits = [0; NUMBER_DIGITS_MAX];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { digits, len: text.len() as u8 })
    }

    /// Normalises the usual written forms: visual separators, `+`, `tel:` and `sip:` URIs, parameters after `;`.
    /// `00`/`011` are left alone: whether they are international prefixes is a rule of the trunk.
    pub fn normalise(text: &str) -> Result<Self, NumberError> {
        let mut rest = text.trim();
        for scheme in ["sip:", "sips:", "tel:"] {
            rest = rest.strip_prefix(scheme).unwrap_or(rest);
        }
        rest = rest.split(['@', ';', '>']).next().unwrap_or(rest);
        rest = rest.strip_prefix('+').unwrap_or(rest);
        if rest.bytes().all(|b| b.is_ascii_digit()) {
            return Self::from_digits(rest);
        }
        let mut digits = [0; NUMBER_DIGITS_MAX];
        let mut len = 0;
        for byte in rest.bytes() {
            match byte {
                b'0'..=b'9' if len == NUMBER_DIGITS_MAX => return Err(NumberError::TooLong(text.to_owned())),
                b'0'..=b'9' => {
                    digits[len] = byte;
                    len += 1;
                }
                b' ' | b'-' | b'.' | b'(' | b')' | b'/' => {}
                _ => return Err(NumberError::NotDigits(text.to_owned())),
            }
        }
        Ok(Self { digits, len: len as u8 })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.len as usize]).unwrap_or("")
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn starts_with(&self, prefix: Prefix) -> bool {
        self.key() & prefix.mask() == prefix.0
    }

    /// The first 15 digits as nibbles of digit + 1, left aligned in 60 bits: sorts as text does, and the end of a
    /// number sorts before any digit, so `49` and `490` differ.
    pub fn key(&self) -> u64 {
        pack(&self.digits[..(self.len as usize).min(PREFIX_DIGITS_MAX)])
    }
}

fn pack(digits: &[u8]) -> u64 {
    let mut key = 0;
    for (i, digit) in digits.iter().enumerate() {
        key |= u64::from(digit - b'0' + 1) << (56 - 4 * i);
    }
    key
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A dial code: 0 to 15 digits, packed like [`E164::key`]. The empty one matches every number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Prefix(u64);

impl Prefix {
    pub fn new(digits: &str) -> Result<Self, NumberError> {
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::NotDigits(digits.to_owned()));
        }
        if digits.len() > PREFIX_DIGITS_MAX {
            return Err(NumberError::PrefixTooLong(digits.to_owned()));
        }
        Ok(Self(pack(digits.as_bytes())))
    }

    /// From the packed form; a value that is not one (a zero nibble before a digit, a nibble above 10) is refused.
    pub fn from_key(key: u64) -> Option<Self> {
        let mut ended = false;
        for i in 0..15 {
            let nibble = (key >> (56 - 4 * i)) & 15;
            if nibble > 10 || (ended && nibble != 0) {
                return None;
            }
            ended |= nibble == 0;
        }
        (key >> 60 == 0).then_some(Self(key))
    }

    pub fn key(self) -> u64 {
        self.0
    }

    /// Number of digits.
    pub fn len(self) -> usize {
        15 - (self.0.trailing_zeros().min(60) / 4) as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Ones over the digits of this code; `number.key() & mask == key` is the match.
    pub fn mask(self) -> u64 {
        match self.len() {
            0 => 0,
            n => (u64::MAX >> 4) & !((1u64 << (60 - 4 * n)) - 1),
        }
    }

    /// The first `len` digits of this code.
    pub fn truncate(self, len: usize) -> Self {
        if len >= self.len() {
            return self;
        }
        Self(if len == 0 { 0 } else { self.0 & !((1u64 << (60 - 4 * len)) - 1) })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in 0..self.len() {
            write!(f, "{}", ((self.0 >> (56 - 4 * i)) & 15).saturating_sub(1))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}*")
    }
}

impl FromStr for Prefix {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Self, NumberError> {
        Self::new(text)
    }
}

macro_rules! serde_as_text {
    ($type:ty, $parse:path) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                $parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(E164, E164::from_digits);
serde_as_text!(Prefix, Prefix::new);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_number_never_matches_a_longer_code_that_ends_in_zeros() {
        let number = E164::from_digits("49").unwrap();
        assert!(number.starts_with(Prefix::new("4").unwrap()));
        assert!(number.starts_with(Prefix::new("").unwrap()));
        assert!(!number.starts_with(Prefix::new("490").unwrap()));
        assert!(!number.starts_with(Prefix::new("4900000").unwrap()));
        let full = E164::from_digits("4930123456789012345").unwrap();
        assert!(full.starts_with(Prefix::new("493012345678901").unwrap()));
    }

    #[test]
    fn written_forms_of_one_number_are_one_number() {
        for text in ["+49 (30) 123-456", "tel:+4930123456", "sip:4930123456@10.0.0.1:5060;user=phone", "4930123456"] {
            assert_eq!(E164::normalise(text).unwrap().as_str(), "4930123456", "{text}");
        }
        assert!(E164::normalise("Restricted").is_err());
        assert_eq!(E164::normalise("").unwrap().as_str(), "");
    }

    #[test]
    fn a_code_prints_as_it_was_read() {
        for text in ["", "0", "1", "0049", "999999999999999"] {
            let code = Prefix::new(text).unwrap();
            assert_eq!(code.to_string(), text);
            assert_eq!(code.len(), text.len());
            assert_eq!(Prefix::from_key(code.key()), Some(code));
        }
        assert!(Prefix::new("1234567890123456").is_err());
        assert_eq!(Prefix::from_key(0x0010_1000_0000_0000), None);
        assert_eq!(Prefix::new("4930").unwrap().truncate(2).to_string(), "49");
    }
}
