//! Prices as carriers write them: point or comma, grouped or not, with a currency beside. A comma that could mean
//! thousands is refused, never guessed; so is what a spreadsheet has shortened to `1.5E-3`.

use crate::cell::Cell;
use crate::code::Fault;
use crate::options::DecimalMark;
use facts::Currency;
use facts::deck::Price;

/// The price of a cell; `None` where it is empty.
pub fn price(cell: &Cell<'_>, currency: Option<Currency>, mark: Option<DecimalMark>) -> Result<Option<Price>, Fault> {
    let text = match cell {
        Cell::Empty => return Ok(None),
        Cell::Number(number) => return decimal(number, number).map(Some),
        Cell::Text(text) => text,
        other => return Err((format!("{:?} is no price", other.to_string()), "write a decimal number")),
    };
    let bare = text.trim_matches(|c: char| "$€£ ".contains(c));
    let bare = match currency {
        Some(currency) => {
            let code = currency.as_str();
            bare.strip_prefix(code).or_else(|| bare.strip_suffix(code)).unwrap_or(bare).trim()
        }
        None => bare,
    };
    decimal(&with_point(bare, mark)?, text).map(Some)
}

/// The number with a decimal point, whatever the carrier's habit; `1,234` alone is not guessed.
fn with_point(text: &str, mark: Option<DecimalMark>) -> Result<String, Fault> {
    let Some(comma) = text.rfind(',') else {
        return match mark {
            Some(DecimalMark::Comma) => grouped(text, '.', ',').ok_or_else(|| unclear(text)),
            _ => Ok(text.to_owned()),
        };
    };
    let read = match (mark, text.rfind('.')) {
        (Some(DecimalMark::Comma), _) => grouped(text, '.', ','),
        (Some(DecimalMark::Point), _) => grouped(text, ',', '.'),
        (None, Some(point)) if point > comma => grouped(text, ',', '.'),
        (None, Some(_)) => grouped(text, '.', ','),
        (None, None) => {
            let (whole, fraction) = (&text[..comma], &text[comma + 1..]);
            let could_group = fraction.len() == 3 && whole.trim_start_matches('-') != "0";
            (!could_group).then(|| format!("{whole}.{fraction}"))
        }
    };
    read.ok_or_else(|| unclear(text))
}

fn unclear(text: &str) -> Fault {
    (
        format!("the marks in {text:?} can mean thousands or decimals"),
        "declare the decimal mark in the template, or write the price without grouping",
    )
}

/// `1.234,5` with its groups joined and a decimal point; `None` where the groups are not of three digits.
fn grouped(text: &str, group: char, point: char) -> Option<String> {
    let (whole, fraction) = text.rsplit_once(point).unwrap_or((text, ""));
    let groups: Vec<&str> = whole.split(group).collect();
    let fits = groups[1..].iter().all(|digits| digits.len() == 3) && !groups[0].is_empty();
    let joined = groups.concat();
    (fits && !fraction.contains([group, point]))
        .then(|| if fraction.is_empty() { joined.clone() } else { format!("{joined}.{fraction}") })
}

fn decimal(plain: &str, written: &str) -> Result<Price, Fault> {
    plain.parse::<Price>().map_err(|_| {
        let digits = plain.strip_prefix(['-', '+']).unwrap_or(plain);
        let is_number = digits.bytes().any(|b| b.is_ascii_digit())
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && digits.matches('.').count() <= 1;
        let scientific = digits.contains(['E', 'e']) && digits.starts_with(|c: char| c.is_ascii_digit());
        if is_number {
            (
                format!("the price {written:?} has more than 10 decimals or is too large"),
                "round it to 10 decimals at most",
            )
        } else if scientific {
            (
                format!("a spreadsheet has shortened the price to {written:?}"),
                "format the column as text or number and export it again",
            )
        } else {
            (format!("{written:?} is no price"), "write a decimal number, or blocked or discontinued")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_the_one_that_was_written_or_none() {
        let read = |text: &str, mark| {
            price(&Cell::text(text), Currency::new("EUR").ok(), mark)
                .map(|price| price.map_or_else(String::new, |price| price.to_string()))
                .unwrap_or_else(|(reason, _)| reason)
        };
        for (text, value) in [
            ("0,2875", "0.2875"),
            ("0,125", "0.125"),
            ("€ 0.10", "0.1"),
            ("0.10 EUR", "0.1"),
            ("1,234.50", "1234.5"),
            ("1.234,50", "1234.5"),
            ("-0.01", "-0.01"),
            ("", ""),
            ("1,234", "the marks in \"1,234\" can mean thousands or decimals"),
            ("1,2,3", "\"1,2,3\" is no price"),
            ("0.1.2", "\"0.1.2\" is no price"),
            ("99999999999", "the price \"99999999999\" has more than 10 decimals or is too large"),
        ] {
            assert_eq!(read(text, None), value, "{text}");
        }
        assert_eq!(read("1,234", Some(DecimalMark::Comma)), "1.234");
        assert_eq!(read("1,234", Some(DecimalMark::Point)), "1234");
        assert_eq!(read("1.234", Some(DecimalMark::Comma)), "1234");
    }
}
