//! Dial codes as carriers write them: one, a list, a range, a pattern. What a spreadsheet has shortened to
//! `4.47E+11` is refused, never expanded; what could be two things is asked.

use crate::cell::Cell;
use crate::options::{Hyphen, Space};
use crate::pattern;
use facts::Prefix;
use std::borrow::Cow;

/// Why a cell is no code, and what to do.
pub type Fault = (String, &'static str);

/// How signs inside a code cell are meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs {
    pub hyphen: Option<Hyphen>,
    pub space: Option<Space>,
    /// Codes that one row may stand for.
    pub most: u32,
}

const LIST: [char; 6] = [',', ';', '\n', '/', '&', '|'];

/// The codes of one row into `codes`; `country` is the cell of the country's column where the file splits them.
pub fn codes(cell: &Cell<'_>, country: Option<&Cell<'_>>, signs: Signs, codes: &mut Vec<Prefix>) -> Result<(), Fault> {
    codes.clear();
    let country = match country {
        Some(country) => Cow::Owned(whole(&written(country)?)?.to_owned()),
        None => Cow::Borrowed(""),
    };
    if cell.is_empty() && !country.is_empty() {
        codes.push(prefix(&country)?);
        return Ok(());
    }
    let text = written(cell)?;
    // Nearly all cells are plain digits.
    if text.bytes().all(|b| b.is_ascii_digit()) && country.is_empty() {
        codes.push(prefix(whole(&text)?)?);
        return Ok(());
    }
    let text = excel_text(&text);
    if pattern::looks_like(text) {
        return pattern::expand(text, &country, signs.most, codes);
    }
    let mut head = String::new();
    for item in text.split(LIST).map(str::trim).filter(|item| !item.is_empty()) {
        item_codes(item, &mut head, &country, signs, codes)?;
        if codes.len() > signs.most as usize {
            return Err((format!("it stands for more than {} codes", signs.most), "split the row, or raise the limit"));
        }
    }
    if codes.is_empty() { Err(("it holds no code".into(), "give the row a code")) } else { Ok(()) }
}

/// One piece of a list. With [`Space::Separator`] the number before the first blank stands before each later piece.
fn item_codes(
    item: &str,
    head: &mut String,
    country: &str,
    signs: Signs,
    codes: &mut Vec<Prefix>,
) -> Result<(), Fault> {
    let plain = trim_hyphens(item);
    let mut parts = plain.split_whitespace();
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let Some(second) = second else {
        let front = format!("{country}{head}");
        return one(&plain, &front, signs.hyphen, codes);
    };
    match signs.space {
        None => Err((
            format!("the blank in {item:?} can stand between two codes or inside one"),
            "say which of them this carrier means: --space list or --space separator",
        )),
        Some(Space::List) => {
            one(first, country, signs.hyphen, codes)?;
            one(second, country, signs.hyphen, codes)?;
            parts.try_for_each(|part| one(part, country, signs.hyphen, codes))
        }
        Some(Space::Separator) => {
            let rest: Vec<&str> = std::iter::once(second).chain(parts).collect();
            *head = whole(first)?.to_owned();
            let front = format!("{country}{head}");
            one(&rest.concat(), &front, signs.hyphen, codes)
        }
    }
}

/// `44 - 20` as `44-20`.
fn trim_hyphens(item: &str) -> Cow<'_, str> {
    if item.contains(['-', '–', '—']) {
        Cow::Owned(item.replace(['–', '—'], "-").split('-').map(str::trim).collect::<Vec<_>>().join("-"))
    } else {
        Cow::Borrowed(item)
    }
}

/// What a spreadsheet keeps from being a number: `="0044"`, `'0044`.
fn excel_text(text: &str) -> &str {
    let inner = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    inner.strip_prefix('\'').unwrap_or(inner)
}

/// The text of a cell that should hold digits.
fn written<'c>(cell: &'c Cell<'_>) -> Result<Cow<'c, str>, Fault> {
    match cell {
        Cell::Text(text) => Ok(Cow::Borrowed(text)),
        Cell::Number(number) if !number.contains('.') => Ok(Cow::Borrowed(number)),
        Cell::Empty => Err(("the code is empty".into(), "give the row a code")),
        other => Err((format!("{:?} is no code", other.to_string()), "format the column as text and export it again")),
    }
}

fn one(item: &str, country: &str, hyphen: Option<Hyphen>, codes: &mut Vec<Prefix>) -> Result<(), Fault> {
    if pattern::looks_like(item) {
        return pattern::expand(item, country, u32::MAX, codes);
    }
    let Some((low, high)) = item.split_once('-') else {
        codes.push(joined(country, item)?);
        return Ok(());
    };
    match hyphen {
        None => Err((
            format!("the hyphen in {item:?} can mean a range or a separator"),
            "say which of them this carrier means: --hyphen range or --hyphen separator",
        )),
        Some(Hyphen::Separator) => {
            let rest: Result<Vec<&str>, Fault> = high.split('-').map(digits).collect();
            codes.push(prefix(&format!("{}{}", joined_text(country, low)?, rest?.concat()))?);
            Ok(())
        }
        Some(Hyphen::Range) => {
            let front = if country.is_empty() { whole(low)? } else { digits(low)? };
            let back = if country.is_empty() { whole(high)? } else { digits(high)? };
            range(front, back, country, codes)
        }
    }
}

/// Codes in a range beyond what one row may span are refused by [`codes`]; this bounds what is made at all.
const RANGE_MAX: u64 = 100_000;

fn range(low: &str, high: &str, country: &str, codes: &mut Vec<Prefix>) -> Result<(), Fault> {
    let bad = || (format!("{low}-{high} is no range of codes"), "ask for the codes one by one");
    if low.is_empty() || low.len() > 15 || high.len() > 15 {
        return Err(bad());
    }
    // `3370-9` is `3370-3379`.
    let short = low.len().checked_sub(high.len()).map(|kept| format!("{}{high}", &low[..kept]));
    let short = short.filter(|last| last.as_str() >= low);
    let across = if low.len() == high.len() { None } else { across(low, high) };
    let last = match (short, across) {
        (Some(last), Some(_)) => {
            let advice = "write both ends with the same number of digits";
            return Err((format!("{low}-{high} can end with {last} or with all of {high}"), advice));
        }
        (None, Some(all)) => {
            return all.iter().try_for_each(|code| {
                codes.push(prefix(&format!("{country}{code}"))?);
                Ok(())
            });
        }
        (last, None) => last.ok_or_else(bad)?,
    };
    let first: u64 = low.parse().map_err(|_| bad())?;
    let last: u64 = last.parse().map_err(|_| bad())?;
    if last < first || last - first >= RANGE_MAX {
        return Err(bad());
    }
    for code in first..=last {
        codes.push(prefix(&format!("{country}{code:0width$}", width = low.len()))?);
    }
    Ok(())
}

/// A range whose ends are of different lengths, `44780-4479`: from the first number that begins with the one to the last
/// that begins with the other, in as few codes as hold just those. `None` where they do not begin alike.
fn across(low: &str, high: &str) -> Option<Vec<String>> {
    let width = low.len().max(high.len());
    let mut from: u64 = format!("{low:0<width$}").parse().ok()?;
    let until: u64 = format!("{high:9<width$}").parse().ok()?;
    // One digit behind the hyphen is the last digit.
    if high.len() < 2 || low.as_bytes().first() != high.as_bytes().first() || from > until {
        return None;
    }
    let mut codes = Vec::new();
    while from <= until {
        let mut dropped = 0;
        let mut size = 1u64;
        while dropped + 1 < width && from.is_multiple_of(size * 10) && from + (size * 10 - 1) <= until {
            size *= 10;
            dropped += 1;
        }
        let digits = format!("{from:0width$}");
        codes.push(digits[..width - dropped].to_owned());
        from += size;
    }
    Some(codes)
}

fn joined_text(country: &str, item: &str) -> Result<String, Fault> {
    let digits = if country.is_empty() { whole(item)? } else { digits(item)? };
    Ok(format!("{country}{digits}"))
}

fn joined(country: &str, item: &str) -> Result<Prefix, Fault> {
    if country.is_empty() { prefix(whole(item)?) } else { prefix(&joined_text(country, item)?) }
}

/// A code from its beginning: a plus or the international `00` is taken off.
fn whole(text: &str) -> Result<&str, Fault> {
    let digits = digits(text)?;
    let bare = digits.strip_prefix("00").filter(|rest| rest.starts_with(|c: char| c != '0'));
    Ok(bare.unwrap_or(digits))
}

/// The digits of one written number.
fn digits(text: &str) -> Result<&str, Fault> {
    let text = text.trim();
    let inner = text.strip_prefix('+').unwrap_or(text);
    let inner = inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
    if !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(inner);
    }
    let shortened = inner.split_once(['E', 'e']).is_some_and(|(a, b)| {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b".,+".contains(&b));
        number(a) && number(b)
    });
    Err(if shortened {
        (
            format!("a spreadsheet has shortened the code to {text:?}"),
            "format the column as text, type the code again and export it again",
        )
    } else {
        (format!("{text:?} is no code of digits"), "write the code in digits only")
    })
}

pub fn prefix(digits: &str) -> Result<Prefix, Fault> {
    Prefix::new(digits).map_err(|error| (error.to_string(), "a dial code has at most 15 digits; correct it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, country: Option<&str>, hyphen: Option<Hyphen>, space: Option<Space>) -> String {
        let country = country.map(Cell::text);
        let mut found = Vec::new();
        match codes(&Cell::text(text), country.as_ref(), Signs { hyphen, space, most: 1000 }, &mut found) {
            Ok(()) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err((reason, _)) => reason,
        }
    }

    #[test]
    fn every_written_form_is_the_code_it_means() {
        let plain = |text| read(text, None, None, None);
        assert_eq!(plain("+9377"), "9377");
        assert_eq!(plain("0093"), "93");
        assert_eq!(plain("=\"0044\""), "44");
        assert_eq!(plain("'44"), "44");
        assert_eq!(plain("^9375.*"), "9375");
        assert_eq!(plain("^937[0-2]"), "9370 9371 9372");
        assert_eq!(plain("4470; 4471,4472/4473"), "4470 4471 4472 4473");
        let range = |text, country| read(text, country, Some(Hyphen::Range), None);
        assert_eq!(read("33,39", Some("52"), None, None), "5233 5239");
        assert_eq!(read("", Some("52"), None, None), "52");
        assert_eq!(read("93-76", None, Some(Hyphen::Separator), None), "9376");
        assert_eq!(read("1-264-773", None, Some(Hyphen::Separator), None), "1264773");
        assert_eq!(range("93, 94 - 96; 97", None), "93 94 95 96 97");
        assert_eq!(range("3370-3", None), "3370 3371 3372 3373");
        assert_eq!(range("44780-4479", None), "4478 4479", "from 44780... to 4479...");
        assert_eq!(range("447-44712", None), "4470 44710 44711 44712");
        assert_eq!(range("447-44799", None), "447");
        assert_eq!(range("4412-44", None), "4412-44 can end with 4444 or with all of 44");
        assert_eq!(range("008-011", Some("52")), "52008 52009 52010 52011");
        assert_eq!(read("52 33,39", None, None, Some(Space::Separator)), "5233 5239");
        assert_eq!(read("4470 4471  4472", None, None, Some(Space::List)), "4470 4471 4472");
        assert_eq!(read("+44 7911 12", None, None, Some(Space::Separator)), "44791112");
    }

    #[test]
    fn a_code_that_could_be_another_is_not_guessed() {
        let plain = |text| read(text, None, None, None);
        assert_eq!(plain("4.47E+11"), "a spreadsheet has shortened the code to \"4.47E+11\"");
        assert_eq!(plain("93-76"), "the hyphen in \"93-76\" can mean a range or a separator");
        assert_eq!(plain("52 33"), "the blank in \"52 33\" can stand between two codes or inside one");
        assert_eq!(read("1-99", None, Some(Hyphen::Range), None), "1-99 is no range of codes");
        assert_eq!(read("10-99999999", None, Some(Hyphen::Range), None), "10-99999999 is no range of codes");
        assert!(plain("1234567890123456").contains("more than 15 digits"));
        let number = Cell::Number("93.5".into());
        assert!(codes(&number, None, Signs::default(), &mut Vec::new()).is_err());
    }
}
