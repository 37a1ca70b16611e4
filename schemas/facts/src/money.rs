//! Money: a currency and an exact amount of 10^-12 units. Never a float, never a silent overflow.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Decimal places of every stored amount. ClickHouse stores the same as `Decimal(38, 12)`.
pub const SCALE: u32 = 12;
/// One whole unit of a currency, in 10^-12.
pub const ONE: i128 = 1_000_000_000_000;

/// ISO 4217 alphabetic code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Why a text is no currency or amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("currency {0:?} is not three capital letters (ISO 4217)")]
    Currency(String),
    #[error("amount {0:?} is not a decimal number with at most 12 decimals")]
    Amount(String),
    #[error("amounts in {0} and {1} cannot be added; convert one of them first")]
    Mixed(Currency, Currency),
    #[error("amount beyond the range of 26 digits before the point")]
    Range,
}

impl Currency {
    /// Parses a code of three ASCII letters; small letters are accepted and made capital.
    pub fn new(code: &str) -> Result<Self, MoneyError> {
        match code.as_bytes() {
            [a, b, c] if code.bytes().all(|x| x.is_ascii_alphabetic()) => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase(), c.to_ascii_uppercase()]))
            }
            _ => Err(MoneyError::Currency(code.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// Decimals of the currency's smallest coin (ISO 4217), for invoices.
    pub fn decimals(&self) -> u32 {
        match self.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
            | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// An exact amount without its currency, in 10^-12 units. Signed: owed to us is plus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub i128);

impl Amount {
    pub const ZERO: Self = Self(0);

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Prints with exactly `decimals` places (0 to 12) if the value has no digit beyond, else with all it has.
    pub fn display(self, decimals: u32) -> String {
        format_scaled(self.0, SCALE, decimals.min(SCALE))
    }
}

/// Prints an integer of 10^-scale: at least `min` decimals, more only where digits other than zero follow.
pub fn format_scaled(value: i128, scale: u32, min: u32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs();
    let unit = 10u128.pow(scale);
    let (whole, fraction) = (digits / unit, digits % unit);
    let mut decimals = format!("{fraction:0width$}", width = scale as usize);
    while decimals.len() > min as usize && decimals.ends_with('0') {
        decimals.pop();
    }
    if scale == 0 || decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") }
}

/// Reads a plain decimal (`-1.25`, `.5`; no exponent, no grouping) into an integer of 10^-scale.
pub fn parse_scaled(text: &str, scale: u32) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = if fraction.len() > scale as usize { fraction.trim_end_matches('0') } else { fraction };
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > scale as usize {
        return None;
    }
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    value = value.checked_mul(10i128.checked_pow(scale - fraction.len() as u32)?)?;
    Some(if negative { -value } else { value })
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_scaled(self.0, SCALE, 0))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Amount {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse_scaled(text, SCALE).map(Self).ok_or_else(|| MoneyError::Amount(text.to_owned()))
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount in its currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Money {
    pub amount: Amount,
    pub currency: Currency,
}

impl Money {
    pub fn new(amount: Amount, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Adds; another currency or an overflow is refused, never converted.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed(self.currency, other.currency));
        }
        let amount = self.amount.checked_add(other.amount).ok_or(MoneyError::Range)?;
        Ok(Self { amount, currency: self.currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// How an exact value becomes a printable one; a named rule of the agreement (design 13.10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Away from zero.
    Up,
    /// Towards zero.
    Down,
    /// Half away from zero.
    #[default]
    HalfUp,
    HalfEven,
    /// The exact value to the stored precision, half up.
    None,
}

impl Rounding {
    /// `numerator / denominator` as an integer, by this rule. `denominator` > 0, else `None`.
    pub fn divide(self, numerator: i128, denominator: i128) -> Option<i128> {
        if denominator <= 0 {
            return None;
        }
        let (quotient, rest) = (numerator / denominator, numerator % denominator);
        if rest == 0 {
            return Some(quotient);
        }
        let away = if numerator < 0 { -1 } else { 1 };
        let twice = rest.unsigned_abs().checked_mul(2)?;
        let half = twice.cmp(&denominator.unsigned_abs());
        let step = match self {
            Self::Up => away,
            Self::Down => 0,
            Self::HalfUp | Self::None if half.is_ge() => away,
            Self::HalfEven if half.is_gt() || (half.is_eq() && quotient % 2 != 0) => away,
            Self::HalfUp | Self::None | Self::HalfEven => 0,
        };
        quotient.checked_add(step)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::HalfUp => "half_up",
            Self::HalfEven => "half_even",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_currencies_are_never_added() {
        let eur = Money::new(Amount(ONE), Currency::new("EUR").unwrap());
        let usd = Money::new(Amount(ONE), Currency::new("usd").unwrap());
        assert_eq!(eur.checked_add(usd), Err(MoneyError::Mixed(eur.currency, usd.currency)));
        assert_eq!(eur.checked_add(eur).unwrap().to_string(), "2 EUR");
    }

    #[test]
    fn decimals_survive_text_both_ways() {
        for text in ["0", "-0.000001", "1.065355", "98", "0.123456789012", "-12345678901234567890.5"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
        for text in ["", ".", "1e3", "1,5", "0.1234567890123", "--1", "٣"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
        assert_eq!(Amount(1_500_000_000_000).display(2), "1.50");
        assert_eq!(Amount(1_500_001_000_000).display(2), "1.500001");
    }

    #[test]
    fn halves_go_where_the_rule_says() {
        let at = |rule: Rounding| [5, -5, 15, 25, 14].map(|n| rule.divide(n, 10).unwrap());
        assert_eq!(at(Rounding::HalfUp), [1, -1, 2, 3, 1]);
        assert_eq!(at(Rounding::HalfEven), [0, 0, 2, 2, 1]);
        assert_eq!(at(Rounding::Up), [1, -1, 2, 3, 2]);
        assert_eq!(at(Rounding::Down), [0, 0, 1, 2, 1]);
        assert_eq!(Rounding::Up.divide(1, 0), None);
    }
}
