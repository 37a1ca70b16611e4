//! Dates as carriers write them: date cells, ISO, `21-Sep-18`, `16.05.2023`, `16/05/2023`. Never guesses silently:
//! what could be read two ways is told to the caller.

use crate::cell::Cell;
use crate::options::DateOrder;
use facts::time::parse_rfc3339;
use jiff::civil::{Date, DateTime, Time};

/// How months begin in seven languages; the longer ones first where one begins another.
#[rustfmt::skip]
const MONTHS: [(&str, i32); 56] = [
    ("juin", 6), ("juil", 7), ("jan", 1), ("feb", 2), ("mar", 3), ("apr", 4), ("may", 5), ("jun", 6), ("jul", 7), ("aug", 8),
    ("sep", 9), ("oct", 10), ("nov", 11), ("dec", 12), ("mai", 5), ("maer", 3), ("okt", 10), ("dez", 12), ("fev", 2),
    ("avr", 4), ("aou", 8), ("ene", 1), ("abr", 4), ("ago", 8), ("set", 9), ("dic", 12), ("gen", 1), ("mag", 5), ("giu", 6),
    ("lug", 7), ("ott", 10), ("out", 10), ("янв", 1), ("фев", 2), ("мар", 3), ("апр", 4), ("мая", 5), ("май", 5),
    ("июн", 6), ("июл", 7), ("авг", 8), ("сен", 9), ("окт", 10), ("ноя", 11), ("дек", 12), ("jän", 1), ("mär", 3),
    ("fév", 2), ("aoû", 8), ("déc", 12), ("mrt", 3), ("mei", 5), ("maj", 5), ("kwi", 4), ("cze", 6), ("lip", 7),
];

/// A date without zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    pub at: DateTime,
}

/// Which orders of day and month a written date allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    DayFirst,
    MonthFirst,
    /// `3/4/2023`.
    Either,
}

/// The orders that a date allows; `None` where it reads the same in both.
pub fn order_of(text: &str) -> Option<Order> {
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    if day.contains('.') {
        return None;
    }
    let mut parts = day.split(['-', '/']);
    let mut next = || {
        parts.next().filter(|part| part.len() <= 4).and_then(|part| part.parse::<u16>().ok().map(|n| (n, part.len())))
    };
    let ((a, long), (b, _), (_, year)) = (next()?, next()?, next()?);
    match () {
        () if long > 2 || !matches!(year, 2 | 4) || a == b => None,
        () if a > 12 => (b <= 12).then_some(Order::DayFirst),
        () if b > 12 => Some(Order::MonthFirst),
        () => Some(Order::Either),
    }
}

/// An instant in microseconds, or a date that still needs a zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    Instant(i64),
    Civil(Read),
}

/// Any cell that holds a date, with or without offset.
pub fn moment(cell: &Cell<'_>, order: DateOrder) -> Result<Moment, String> {
    if let Cell::Text(text) = cell
        && text.len() >= 20
        && let Some(micros) = parse_rfc3339(text)
    {
        return Ok(Moment::Instant(micros));
    }
    civil(cell, order).map(Moment::Civil)
}

/// A date without offset.
pub fn civil(cell: &Cell<'_>, order: DateOrder) -> Result<Read, String> {
    let sure = |at| Ok(Read { at });
    match cell {
        Cell::Date(at) => sure(*at),
        Cell::Number(number) => match number.len() {
            8 if number.bytes().all(|b| b.is_ascii_digit()) => text(number, order),
            _ => serial(number).map_or_else(|| Err(format!("{number} is no date")), sure),
        },
        Cell::Text(value) => text(value, order),
        other => Err(format!("{other:?} is no date")),
    }
}

/// A spreadsheet's day number without a date format; whole days between 1970 and 2100 only.
fn serial(number: &str) -> Option<DateTime> {
    let days: i32 = number.parse().ok().filter(|days| (25_569..73_051).contains(days))?;
    let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days - 25_569)).ok()?;
    Some(date.to_datetime(Time::midnight()))
}

fn text(text: &str, order: DateOrder) -> Result<Read, String> {
    let no = || format!("{text:?} is no date that is known here");
    // The clock, where there is one, stands behind the last blank or `T` before its first colon.
    let clock_at = text.find(':').and_then(|colon| text[..colon].rfind([' ', 'T']));
    let (day, time) = clock_at.map_or((text, ""), |at| (&text[..at], text[at + 1..].trim()));
    let time = if time.is_empty() { Time::midnight() } else { clock(time).ok_or_else(no)? };
    let parts: Vec<&str> = day.split(['-', '/', '.', ' ', ',']).filter(|part| !part.is_empty()).collect();
    let numbers: Vec<Option<i32>> = parts.iter().map(|part| ordinal(part).parse().ok()).collect();
    let digits = |at: usize| parts.get(at).map_or(0, |part| part.len());
    let (year, month, dom) = match numbers[..] {
        [Some(_)] if digits(0) == 8 && day.is_ascii() => {
            let number = |from: usize, to: usize| day[from..to].parse::<i32>().map_err(|_| no());
            (number(0, 4)?, number(4, 6)?, number(6, 8)?)
        }
        [Some(y), Some(m), Some(d)] if digits(0) == 4 => (y, m, d),
        [Some(d), None, Some(y)] => (y, month_named(parts[1]).ok_or_else(no)?, d),
        [None, Some(d), Some(y)] => (y, month_named(parts[0]).ok_or_else(no)?, d),
        [Some(a), Some(b), Some(y)] if digits(2) == 4 || digits(2) == 2 => {
            // Dots are day first wherever they are used.
            let day_first = day.contains('.') || order == DateOrder::DayFirst;
            if day_first { (y, b, a) } else { (y, a, b) }
        }
        _ => return Err(no()),
    };
    let year = if (0..100).contains(&year) { 2000 + year } else { year };
    let small = |number: i32| i8::try_from(number).map_err(|_| no());
    let date = Date::new(i16::try_from(year).map_err(|_| no())?, small(month)?, small(dom)?);
    let date = date.map_err(|_| match order {
        DateOrder::DayFirst if month > 12 => format!("{text:?} has no month {month} when read day first"),
        DateOrder::MonthFirst if month > 12 => format!("{text:?} has no month {month} when read month first"),
        _ => no(),
    })?;
    Ok(Read { at: date.to_datetime(time) })
}

/// `1st` as `1`.
fn ordinal(part: &str) -> &str {
    let bare = ["st", "nd", "rd", "th"].into_iter().find_map(|end| part.strip_suffix(end)).unwrap_or(part);
    if bare.bytes().all(|b| b.is_ascii_digit()) { bare } else { part }
}

fn month_named(name: &str) -> Option<i32> {
    let lower = name.to_lowercase();
    let month = MONTHS.iter().find(|(begin, _)| lower.starts_with(begin)).map(|(_, month)| *month)?;
    lower.chars().all(char::is_alphabetic).then_some(month)
}

/// `06:55`, `06:55:00`, `11:06:58.484053`; a trailing `Z` or `UTC` is refused here, it makes an instant.
fn clock(text: &str) -> Option<Time> {
    let full = if text.len() == 5 || text.len() == 4 { format!("{text}:00") } else { text.to_owned() };
    let full = if full.find(':') == Some(1) { format!("0{full}") } else { full };
    full.parse().ok()
}

/// Midnight or the given time in a zone, in microseconds.
pub fn in_zone(at: DateTime, zone: &jiff::tz::TimeZone) -> Option<i64> {
    let ambiguous = zone.to_ambiguous_timestamp(at);
    ambiguous.compatible().ok().map(|instant| instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, order: DateOrder) -> String {
        match moment(&Cell::text(text), order) {
            Ok(Moment::Civil(read)) => read.at.to_string(),
            Ok(Moment::Instant(micros)) => facts::time::rfc3339(micros),
            Err(reason) => reason,
        }
    }

    #[test]
    fn a_date_means_the_day_its_sender_meant() {
        let day_first = |text| read(text, DateOrder::DayFirst);
        for (text, date) in [
            ("2010-06-26 06:55:00", "2010-06-26T06:55:00"),
            ("2010-07-02 11:06:58.484053", "2010-07-02T11:06:58.484053"),
            ("2023-05-16", "2023-05-16T00:00:00"),
            ("2023/05/16", "2023-05-16T00:00:00"),
            ("20230516", "2023-05-16T00:00:00"),
            ("16.05.2023", "2023-05-16T00:00:00"),
            ("03/04/2023", "2023-04-03T00:00:00"),
            ("1st June 2023", "2023-06-01T00:00:00"),
            ("1. März 2023", "2023-03-01T00:00:00"),
            ("1 juillet 2023", "2023-07-01T00:00:00"),
            ("1 июня 2023", "2023-06-01T00:00:00"),
            ("21-Sep-18", "2018-09-21T00:00:00"),
            ("16 May 2023", "2023-05-16T00:00:00"),
            ("May 16, 2023", "2023-05-16T00:00:00"),
            ("16/05/2023 6:55", "2023-05-16T06:55:00"),
            ("2023-05-16T00:00:00+02:00", "2023-05-15T22:00:00Z"),
        ] {
            assert_eq!(day_first(text), date, "{text}");
        }
        assert_eq!(read("03/04/2023", DateOrder::MonthFirst), "2023-03-04T00:00:00");
        assert_eq!(day_first("04/16/2023"), "\"04/16/2023\" has no month 16 when read day first");
        for text in ["soon", "2023", "31.02.2023", "1/2", "16-Foo-2023", "2023-05-16 25:00"] {
            assert!(day_first(text).contains("is no date"), "{text}");
        }
    }

    #[test]
    fn a_date_says_which_orders_it_allows() {
        for (text, order) in [
            ("13/04/2023", Some(Order::DayFirst)),
            ("04/13/23", Some(Order::MonthFirst)),
            ("3/4/2023 10:00", Some(Order::Either)),
            ("04/04/2023", None),
            ("2023/04/03", None),
            ("03.04.2023", None),
            ("3-Apr-23", None),
            ("soon", None),
        ] {
            assert_eq!(order_of(text), order, "{text}");
        }
    }

    #[test]
    fn a_day_number_without_a_date_format_is_a_day() {
        let read = civil(&Cell::Number("45062".into()), DateOrder::DayFirst).map(|read| read.at.to_string());
        assert_eq!(read.as_deref(), Ok("2023-05-16T00:00:00"));
        assert!(civil(&Cell::Number("0.285".into()), DateOrder::DayFirst).is_err());
    }
}
