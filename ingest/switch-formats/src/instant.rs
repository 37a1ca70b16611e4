//! Instants as switches write them, to the microsecond. The zone stands in the text or was declared for the switch;
//! it is never guessed. Decimal numbers are read digit by digit: no float touches a time or a duration.

use crate::decoded::{Fault, Flags};
use facts::config::Switch;
use facts::time::OccurredAt;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

const SECOND: i64 = 1_000_000;
/// 2100-01-01T00:00:00Z in seconds; later instants are damage, not time.
const LAST_SECOND: i64 = 4_102_444_800;
/// 1971-01-01T00:00:00Z in seconds.
const FIRST_SECOND: i64 = 31_536_000;
/// No call is longer than this many seconds (366 days).
const LONGEST: i64 = 366 * 86_400;

/// Zone of times that carry none.
#[derive(Clone, Debug)]
pub(crate) struct Zone(Option<TimeZone>);

impl Zone {
    /// The zone declared for the switch; an error when its name is unknown.
    pub fn of(switch: &Switch) -> Result<Self, crate::FormatError> {
        if switch.time_zone.is_empty() {
            return Ok(Self(None));
        }
        TimeZone::get(&switch.time_zone)
            .map(|zone| Self(Some(zone)))
            .map_err(|_| crate::FormatError::UnknownZone { switch: switch.id.clone(), zone: switch.time_zone.clone() })
    }

    /// Reads `2023-07-01T00:16:59.5+00:00`, `2023-07-01 00:16:59`, `20071101-110325`, with or without an offset.
    /// Digits behind the microsecond are cut off.
    pub fn read(&self, field: &str, text: &str, flags: &mut Flags) -> Result<OccurredAt, Fault> {
        let bad = |reason: String| Fault::new(field, reason, "a time such as 2023-07-01T00:16:59.5+02:00 is expected");
        let parts = split(text.trim()).ok_or_else(|| bad(format!("{text:?} is no time")))?;
        let civil = DateTime::new(parts.year, parts.month, parts.day, parts.hour, parts.minute, parts.second, 0)
            .map_err(|_| bad(format!("{text:?} is no instant of the calendar")))?;
        let seconds = match parts.offset {
            Some(offset) => utc_seconds(civil) - i64::from(offset),
            None => self.local(field, text, civil, flags)?,
        };
        let extra = i64::from(parts.leap);
        believable(field, text, seconds + extra)?;
        Ok(OccurredAt((seconds + extra) * SECOND + parts.micros))
    }

    fn local(&self, field: &str, text: &str, civil: DateTime, flags: &mut Flags) -> Result<i64, Fault> {
        let Some(zone) = &self.0 else {
            return Err(Fault::new(
                field,
                format!("{text:?} names no time zone and none is declared"),
                "declare the switch's zone: time_zone = \"Europe/Vienna\" (an IANA name, or UTC)",
            ));
        };
        let ambiguous = zone.to_ambiguous_timestamp(civil);
        if !matches!(ambiguous.offset(), AmbiguousOffset::Unambiguous { .. }) {
            *flags |= Flags::AMBIGUOUS_TIME;
        }
        ambiguous
            .compatible()
            .map(jiff::Timestamp::as_second)
            .map_err(|_| Fault::new(field, format!("{text:?} is outside the calendar"), "check the record"))
    }
}

/// Seconds since the epoch with up to 6 decimals that count; `None` for zero and nothing (not happened).
pub(crate) fn epoch(field: &str, text: &str) -> Result<Option<OccurredAt>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let micros = decimal_micros(text).ok_or_else(|| {
        Fault::new(field, format!("{text:?} is no count of seconds"), "seconds since 1970 are expected")
    })?;
    epoch_micros(field, text, micros)
}

/// The same from microseconds since the epoch.
pub(crate) fn epoch_micros(field: &str, text: &str, micros: i64) -> Result<Option<OccurredAt>, Fault> {
    if micros == 0 {
        return Ok(None);
    }
    believable(field, text, micros.div_euclid(SECOND))?;
    Ok(Some(OccurredAt(micros)))
}

fn believable(field: &str, text: &str, seconds: i64) -> Result<(), Fault> {
    if (FIRST_SECOND..LAST_SECOND).contains(&seconds) {
        return Ok(());
    }
    Err(Fault::new(
        field,
        format!("{text:?} is not between 1971 and 2100"),
        "check the switch's clock and the unit of its times",
    ))
}

/// A duration in decimal seconds, at least 0 and at most 366 days.
pub(crate) fn duration(field: &str, text: &str) -> Result<i64, Fault> {
    match decimal_micros(text) {
        Some(micros) if (0..=LONGEST * SECOND).contains(&micros) => Ok(micros),
        Some(_) => Err(Fault::new(
            field,
            format!("{text} s is no duration of a call"),
            "a duration of 0 to 366 days is expected: check the unit",
        )),
        None => Err(Fault::new(field, format!("{text:?} is no number of seconds"), "a decimal number is expected")),
    }
}

/// Decimal seconds (also `1e-05`, as databases print small ones) in microseconds, cut off behind the sixth decimal.
pub(crate) fn decimal_micros(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i32>().ok().filter(|e| (-40..=18).contains(e))?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let fraction = digits.get(point + 1..).unwrap_or_default();
    if point + fraction.len() == 0 {
        return None;
    }
    // Place of a digit: 10^(scale) microseconds; digits below 10^0 are dropped.
    let mut value = 0i64;
    let mut scale = i32::try_from(point).ok()? + 6 + exponent;
    for digit in digits[..point].iter().chain(fraction) {
        if !digit.is_ascii_digit() {
            return None;
        }
        scale -= 1;
        if scale >= 0 {
            value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        }
    }
    for _ in 0..scale.max(0) {
        value = value.checked_mul(10)?;
    }
    Some(if negative { -value } else { value })
}

fn utc_seconds(civil: DateTime) -> i64 {
    // Days from the civil date, proleptic Gregorian, as in Howard Hinnant's `days_from_civil`.
    let (year, month, day) = (i64::from(civil.year()), i64::from(civil.month()), i64::from(civil.day()));
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    days * 86_400 + i64::from(civil.hour()) * 3_600 + i64::from(civil.minute()) * 60 + i64::from(civil.second())
}

struct Parts {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    /// A leap second is the first of the next minute.
    leap: bool,
    micros: i64,
    /// Seconds east of UTC.
    offset: Option<i32>,
}

/// `YYYY-MM-DD[T ]HH:MM:SS`, `YYYY/MM/DD ...`, `YYYYMMDD-HHMMSS`, then `.ffffff`, then `Z`, `UTC`, `+HH[[:]MM[:SS]]`.
fn split(text: &str) -> Option<Parts> {
    let bytes = text.as_bytes();
    let number = |at: usize, len: usize| -> Option<i16> {
        let digits = bytes.get(at..at + len)?;
        digits.iter().try_fold(0i16, |n, b| b.is_ascii_digit().then(|| n * 10 + i16::from(b - b'0')))
    };
    let small = |at: usize| number(at, 2).map(|n| n as i8);
    let is = |at: usize, set: &[u8]| bytes.get(at).is_some_and(|b| set.contains(b));
    let (date, time, rest) = if is(4, b"-/") && is(7, b"-/") && is(10, b"T t") && is(13, b":") && is(16, b":") {
        ((0, 5, 8), (11, 14, 17), 19)
    } else if is(8, b"-T ") && bytes.len() >= 15 {
        ((0, 4, 6), (9, 11, 13), 15)
    } else {
        return None;
    };
    let second = small(time.2)?;
    let (micros, offset) = tail(text.get(rest..)?)?;
    Some(Parts {
        year: number(date.0, 4)?,
        month: small(date.1)?,
        day: small(date.2)?,
        hour: small(time.0)?,
        minute: small(time.1)?,
        second: second.min(59),
        leap: second == 60,
        micros,
        offset,
    })
    .filter(|_| second <= 60)
}

/// Fraction and offset behind the seconds.
fn tail(text: &str) -> Option<(i64, Option<i32>)> {
    let mut rest = text;
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return None;
        }
        for i in 0..6 {
            micros = micros * 10 + fraction.as_bytes()[..len].get(i).map_or(0, |b| i64::from(b - b'0'));
        }
        rest = &fraction[len..];
    }
    rest = rest.trim_start();
    if rest.is_empty() {
        return Some((micros, None));
    }
    if matches!(rest, "Z" | "z" | "UTC" | "GMT") {
        return Some((micros, Some(0)));
    }
    let sign = match rest.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: Vec<u8> = rest[1..].bytes().filter(|b| *b != b':').collect();
    if !matches!(digits.len(), 2 | 4 | 6) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pair = |at: usize| digits.get(at..at + 2).map_or(0, |d| i32::from(d[0] - b'0') * 10 + i32::from(d[1] - b'0'));
    let seconds = pair(0) * 3_600 + pair(2) * 60 + pair(4);
    (pair(0) <= 18 && pair(2) < 60).then_some((micros, Some(sign * seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn zone(name: &str) -> Zone {
        Zone((!name.is_empty()).then(|| TimeZone::get(name).unwrap()))
    }

    #[test]
    fn a_time_is_read_to_the_microsecond_or_refused() {
        let mut lines = String::new();
        for (declared, text) in [
            ("", "2023-07-01T00:16:59.5+00:00"),
            ("", "2023-07-01 00:16:59.123456789+05:30"),
            ("", "2023-07-01 00:16:59-03"),
            ("", "2023-07-01T00:16:59Z"),
            ("Europe/Vienna", "20071101-110325"),
            ("Europe/Vienna", "2023-03-26 02:30:00"),
            ("Europe/Vienna", "2023-10-29 02:30:00"),
            ("UTC", "2016-12-31 23:59:60"),
            ("", "20071101-110325"),
            ("UTC", "2023-02-30 00:00:00"),
            ("UTC", "2023-02-03 24:00:00"),
            ("UTC", "1900-01-01 00:00:00"),
            ("UTC", "2023-07-01T00:16"),
            ("UTC", ""),
        ] {
            let mut flags = Flags::default();
            let got = match zone(declared).read("start", text, &mut flags) {
                Ok(time) => format!("{time} {flags}"),
                Err(fault) => format!("{}; {}", fault.reason, fault.advice),
            };
            lines.push_str(&format!("{text} {declared} -> {}\n", got.trim_end()));
        }
        expect![[r#"
            2023-07-01T00:16:59.5+00:00  -> 2023-07-01T00:16:59.500Z
            2023-07-01 00:16:59.123456789+05:30  -> 2023-06-30T18:46:59.123456Z
            2023-07-01 00:16:59-03  -> 2023-07-01T03:16:59Z
            2023-07-01T00:16:59Z  -> 2023-07-01T00:16:59Z
            20071101-110325 Europe/Vienna -> 2007-11-01T10:03:25Z
            2023-03-26 02:30:00 Europe/Vienna -> 2023-03-26T01:30:00Z ambiguous_time
            2023-10-29 02:30:00 Europe/Vienna -> 2023-10-29T00:30:00Z ambiguous_time
            2016-12-31 23:59:60 UTC -> 2017-01-01T00:00:00Z
            20071101-110325  -> "20071101-110325" names no time zone and none is declared; declare the switch's zone: time_zone = "Europe/Vienna" (an IANA name, or UTC)
            2023-02-30 00:00:00 UTC -> "2023-02-30 00:00:00" is no instant of the calendar; a time such as 2023-07-01T00:16:59.5+02:00 is expected
            2023-02-03 24:00:00 UTC -> "2023-02-03 24:00:00" is no instant of the calendar; a time such as 2023-07-01T00:16:59.5+02:00 is expected
            1900-01-01 00:00:00 UTC -> "1900-01-01 00:00:00" is not between 1971 and 2100; check the switch's clock and the unit of its times
            2023-07-01T00:16 UTC -> "2023-07-01T00:16" is no time; a time such as 2023-07-01T00:16:59.5+02:00 is expected
             UTC -> "" is no time; a time such as 2023-07-01T00:16:59.5+02:00 is expected
        "#]].assert_eq(&lines);
    }

    #[test]
    fn decimals_are_cut_never_rounded() {
        for (text, micros) in [
            ("51", Some(51_000_000)),
            ("0.0000019", Some(1)),
            ("1e-05", Some(10)),
            ("1.5E3", Some(1_500_000_000)),
            ("-2.5", Some(-2_500_000)),
            (".5", Some(500_000)),
            ("5.", Some(5_000_000)),
            ("12345678901234567890", None),
            ("", None),
            (".", None),
            ("1,5", None),
            ("1e99", None),
            ("0x10", None),
        ] {
            assert_eq!(decimal_micros(text), micros, "{text}");
        }
    }

    #[test]
    fn utc_arithmetic_agrees_with_the_calendar() {
        for year in [1971, 1999, 2000, 2001, 2024, 2096, 2099] {
            for (month, day) in [(1, 1), (2, 28), (3, 1), (12, 31)] {
                let civil = DateTime::new(year, month, day, 23, 59, 58, 0).unwrap();
                let want = civil.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second();
                assert_eq!(utc_seconds(civil), want, "{civil}");
            }
        }
    }
}
