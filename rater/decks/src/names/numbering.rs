//! Number ranges of a file in the columns of libphonenumber's `ranges.csv` (joined with calling code and operator) as a
//! book of names: country, kind, operator. The file stays outside: it has a licence of its own.

use super::{Book, countries};
use crate::DeckError;
use facts::Prefix;
use smol_str::{SmolStr, format_smolstr};
use std::collections::BTreeMap;

/// Codes that one pattern may stand for.
const PATTERN_MAX: usize = 10_000;
const COLUMNS: [&str; 5] = ["calling_code", "national_prefix_pattern", "type", "tariff", "operator_name"];

/// Reads ranges; with `operators` mobile ones are named by their operator too.
pub fn ranges(text: &str, operators: bool) -> Result<Book, DeckError> {
    let fault = |line: usize, reason: String| DeckError::Template(format!("number ranges, line {line}: {reason}"));
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, cells(line)));
    let header = lines.next().map(|(_, header)| header).unwrap_or_default();
    let mut places = [0; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|cell| cell == name);
        *place = found.ok_or_else(|| fault(1, format!("no column {name}; needed are {}", COLUMNS.join(", "))))?;
    }
    let mut codes: BTreeMap<Prefix, SmolStr> = BTreeMap::new();
    let countries = Book::countries();
    for (at, line) in lines.filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty())) {
        let [calling, pattern, kind, tariff, operator] = places.map(|place| line.get(place).map_or("", String::as_str));
        let expanded = expand(&format!("{calling}{pattern}")).ok_or_else(|| {
            fault(at, format!("{calling:?} and {pattern:?} are no code and pattern of digits, [classes] and x"))
        })?;
        for code in expanded {
            let country = countries.votes(code).first().map(|(name, _)| (*name).clone());
            let Some(country) = country.or_else(|| countries::of_calling_code(calling)) else { continue };
            let name = name(&country, kind, tariff, operator, operators);
            codes.insert(code, name);
        }
    }
    // The rest of a country is the country's.
    let mut book = countries;
    book.codes.extend(codes);
    Ok(book)
}

fn name(country: &SmolStr, kind: &str, tariff: &str, operator: &str, operators: bool) -> SmolStr {
    let kind = match (tariff, kind) {
        ("PREMIUM_RATE", _) => "Premium rate",
        ("TOLL_FREE", _) => "Toll free",
        ("SHARED_COST", _) => "Shared cost",
        (_, "MOBILE") if operators && !operator.is_empty() => return format_smolstr!("{country} - Mobile {operator}"),
        (_, "MOBILE") => "Mobile",
        (_, "VOIP") => "VoIP",
        (_, "PAGER") => "Pager",
        (_, "PERSONAL_NUMBER") => "Personal",
        (_, "UAN") => "UAN",
        (_, "VOICEMAIL") => "Voicemail",
        (_, "ISP") => "ISP",
        _ => return country.clone(),
    };
    format_smolstr!("{country} - {kind}")
}

/// Cells of a CSV line, quoted ones unquoted.
fn cells(line: &str) -> Vec<String> {
    let (mut all, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.trim_end_matches('\r').chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    all.push(cell);
    all
}

/// The codes of a pattern: digits, classes as `[0-58]`, and `x` for any digit.
fn expand(pattern: &str) -> Option<Vec<Prefix>> {
    let mut codes = vec![String::new()];
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let digits = match c {
            '0'..='9' => c.to_string(),
            'x' | 'X' => "0123456789".to_owned(),
            '[' => class(rest.get(1..rest.find(']')?)?)?,
            _ => return None,
        };
        rest = if c == '[' { &rest[rest.find(']')? + 1..] } else { &rest[1..] };
        codes = codes.iter().flat_map(|code| digits.chars().map(move |digit| format!("{code}{digit}"))).collect();
        if codes.len() > PATTERN_MAX {
            return None;
        }
    }
    codes.iter().map(|code| Prefix::new(code).ok()).collect()
}

/// The digits of a class.
fn class(text: &str) -> Option<String> {
    let mut digits = String::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        if !first.is_ascii_digit() {
            return None;
        }
        let mut last = first;
        if chars.next_if_eq(&'-').is_some() {
            last = chars.next().filter(char::is_ascii_digit)?;
        }
        digits.extend(first..=last);
    }
    (!digits.is_empty()).then_some(digits)
}
