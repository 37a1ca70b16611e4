//! One cell of a sheet or line, in a form that knows no floating point. Never interprets what it means.

use jiff::civil::DateTime;
use std::borrow::Cow;
use std::fmt;

/// A cell's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell<'a> {
    Empty,
    /// Trimmed, never empty.
    Text(Cow<'a, str>),
    /// A number cell as a plain decimal of at most 15 significant digits, as spreadsheets show it.
    Number(String),
    Date(DateTime),
    Bool(bool),
    /// `#REF!` and its like, or a number out of range.
    Error(String),
}

impl<'a> Cell<'a> {
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        match text.into() {
            Cow::Borrowed(text) => match trim(text) {
                "" => Self::Empty,
                text => Self::Text(Cow::Borrowed(text)),
            },
            Cow::Owned(text) => match trim(&text) {
                "" => Self::Empty,
                trimmed if trimmed.len() == text.len() => Self::Text(Cow::Owned(text)),
                trimmed => Self::Text(Cow::Owned(trimmed.to_owned())),
            },
        }
    }

    /// From a number's `{:.14e}` form: 15 significant digits, so that 0.28499999999999998 is the 0.285 that was
    /// typed.
    pub fn number(scientific: &str) -> Self {
        plain(scientific).map_or_else(|| Self::Error(format!("number {scientific}")), Self::Number)
    }

    /// From a decimal or scientific text of any length: rounded half up to the 15 significant digits that count.
    pub fn number_text(text: &str) -> Self {
        let error = || Self::Error(format!("number {text}"));
        let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let Ok(exponent) = exponent.parse::<i32>() else { return error() };
        let all = format!("{whole}{fraction}");
        if all.is_empty() || all.len() > 400 || !all.bytes().all(|b| b.is_ascii_digit()) {
            return error();
        }
        let digits = all.trim_start_matches('0');
        if digits.is_empty() {
            return Self::Number("0".to_owned());
        }
        let point = whole.len() as i32 - (all.len() - digits.len()) as i32;
        let mut exponent = exponent.saturating_add(point - 1);
        let kept = digits.get(..15).unwrap_or(digits);
        let up = digits.as_bytes().get(15).is_some_and(|next| *next >= b'5');
        let Ok(mut value) = kept.parse::<u64>() else { return error() };
        value += u64::from(up);
        let mut text = value.to_string();
        if text.len() > kept.len() {
            exponent = exponent.saturating_add(1); // 999... became 1000...
        }
        text.insert(1, '.');
        Self::number(&format!("{sign}{text}e{exponent}"))
    }

    /// The same value, free of the file's text.
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Empty => Cell::Empty,
            Self::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Self::Number(text) => Cell::Number(text),
            Self::Date(date) => Cell::Date(date),
            Self::Bool(value) => Cell::Bool(value),
            Self::Error(text) => Cell::Error(text),
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// Also the no-break space, which spreadsheets are full of.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{a0}' || c == '\u{feff}' || c == '\u{200b}')
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Number(text) | Self::Error(text) => f.write_str(text),
            Self::Date(date) => fmt::Display::fmt(date, f),
            Self::Bool(value) => fmt::Display::fmt(value, f),
        }
    }
}

/// `-2.85000000000000e-1` as `-0.285`; `None` beyond 10^±40 and for what is no number.
fn plain(scientific: &str) -> Option<String> {
    let (sign, rest) = scientific.strip_prefix('-').map_or(("", scientific), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let digits = mantissa.replace('.', "");
    if exponent.abs() > 40 || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let point = exponent + 1;
    Some(if point <= 0 {
        format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if digits.len() <= point as usize {
        format!("{sign}{digits}{}", "0".repeat(point as usize - digits.len()))
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        format!("{sign}{whole}.{fraction}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_float_is_the_number_that_was_typed() {
        for (stored, typed) in [
            (format!("{:.14e}", 0.57 / 2.0), "0.285"),
            (format!("{:.14e}", 0.1 + 0.2), "0.3"),
            (format!("{:.14e}", 79407), "79407"),
            (format!("{:.14e}", -1_234_567.5), "-1234567.5"),
            (format!("{:.14e}", 0.000_000_1), "0.0000001"),
            (format!("{:.14e}", 0), "0"),
            (format!("{:.14e}", 447_911_123_456_789_i64), "447911123456789"),
        ] {
            assert_eq!(Cell::number(&stored), Cell::Number(typed.to_owned()));
        }
        assert!(matches!(Cell::number("NaN"), Cell::Error(_)));
        assert!(matches!(Cell::number("1.00000000000000e99"), Cell::Error(_)));
    }

    #[test]
    fn a_long_number_in_text_is_rounded_as_a_stored_one_is() {
        for (text, typed) in [
            ("0.28499999999999998", "0.285"),
            ("9.99999999999999999", "10"),
            ("1.5E-005", "0.000015"),
            ("44791112", "44791112"),
            ("-0.1", "-0.1"),
            ("0", "0"),
            ("00.50", "0.5"),
            ("447911123456789", "447911123456789"),
        ] {
            assert_eq!(Cell::number_text(text), Cell::Number(typed.to_owned()), "{text}");
        }
        for text in ["", "1e99", "NaN", "1.2.3", "0x1"] {
            assert!(matches!(Cell::number_text(text), Cell::Error(_)), "{text}");
        }
    }

    #[test]
    fn blanks_of_every_kind_are_empty() {
        assert_eq!(Cell::text("\u{a0} \t"), Cell::Empty);
        assert_eq!(Cell::text(" a ".to_owned()).to_string(), "a");
    }
}
