//! Numbers as people read them: thin spaces between thousands, h:mm:ss, one decimal for shares. Works on exact text,
//! never on floats.

use crate::source::Kind;

const THIN_SPACE: char = '\u{2009}';

/// The printed form of an exact value.
pub fn show(kind: Kind, value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    match kind {
        Kind::Text => value.to_owned(),
        Kind::Instant if value.as_bytes().get(10) == Some(&b'T') => {
            value.replacen('T', " ", 1).trim_end_matches('Z').to_owned()
        }
        Kind::Instant => value.to_owned(),
        Kind::Count => thousands(value, 0, 0),
        Kind::Share => percent(value),
        Kind::Duration => clock(value),
        Kind::Seconds => format!("{} s", thousands(value, 1, 1)),
        Kind::Minutes => thousands(value, 1, 1),
        Kind::Money => thousands(value, 2, 12),
    }
}

/// The same for a terminal: no thin spaces, a plain minus, every decimal of money.
pub fn plain(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Money | Kind::Count => value.to_owned(),
        _ => show(kind, value).replace(THIN_SPACE, "").replace('\u{2212}', "-"),
    }
}

/// Groups the whole part by threes; keeps at least `least` and at most `most` decimals (cut, the exact value is in
/// the title).
fn thousands(value: &str, least: usize, most: usize) -> String {
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |rest| ("\u{2212}", rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let mut text = String::from(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            text.push(THIN_SPACE);
        }
        text.push(digit);
    }
    let mut decimals: String = decimals.chars().take(most).collect();
    while decimals.len() > least && decimals.ends_with('0') {
        decimals.pop();
    }
    while decimals.len() < least {
        decimals.push('0');
    }
    if !decimals.is_empty() {
        text.push('.');
        text.push_str(&decimals);
    }
    text
}

/// `0.4567` as `45.7 %`.
fn percent(value: &str) -> String {
    match facts::money::parse_scaled(value, 18).or_else(|| facts::money::parse_scaled(&cut(value, 18), 18)) {
        Some(scaled) => {
            let tenths = facts::Rounding::HalfUp.divide(scaled, 1_000_000_000_000_000).unwrap_or(0);
            format!("{}\u{2009}%", facts::money::format_scaled(tenths, 1, 1))
        }
        None => value.to_owned(),
    }
}

fn cut(value: &str, decimals: usize) -> String {
    match value.split_once('.') {
        Some((whole, rest)) => format!("{whole}.{}", rest.chars().take(decimals).collect::<String>()),
        None => value.to_owned(),
    }
}

/// Seconds as `h:mm:ss`, rounded to the second.
fn clock(value: &str) -> String {
    match facts::money::parse_scaled(&cut(value, 6), 6).and_then(|v| facts::Rounding::HalfUp.divide(v, 1_000_000)) {
        Some(seconds) => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_finance_writes_them() {
        assert_eq!(show(Kind::Money, "-1234567.5"), "\u{2212}1\u{2009}234\u{2009}567.50");
        assert_eq!(show(Kind::Money, "0.000943"), "0.000943");
        assert_eq!(show(Kind::Count, "1000"), "1\u{2009}000");
        assert_eq!(show(Kind::Share, "0.4567"), "45.7\u{2009}%");
        assert_eq!(show(Kind::Share, "1"), "100.0\u{2009}%");
        assert_eq!(show(Kind::Duration, "3725.6"), "1:02:06");
        assert_eq!(show(Kind::Minutes, "12345.678"), "12\u{2009}345.6");
        assert_eq!(show(Kind::Instant, "2026-01-31T10:00:00Z"), "2026-01-31 10:00:00");
        assert_eq!(show(Kind::Money, ""), "");
    }
}
