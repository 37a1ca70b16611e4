//! Dial codes as carriers write them: one, a list, a range, a pattern. What a spreadsheet has shortened to
//! `4.47E+11` is refused, never expanded.

use crate::cell::Cell;
use crate::options::{Hyphen, ReadOptions};
use facts::Prefix;

/// Why a cell is no code, and what to do.
pub type Fault = (String, &'static str);

/// The codes of one row; `country` and `area` where the file splits them.
pub fn codes(cell: &Cell<'_>, country: Option<&Cell<'_>>, options: &ReadOptions) -> Result<Vec<Prefix>, Fault> {
    let mut codes = Vec::with_capacity(1);
    let country = match country {
        Some(country) => digits(&written(country)?)?.to_owned(),
        None => String::new(),
    };
    if cell.is_empty() && !country.is_empty() {
        codes.push(prefix(&country)?);
        return Ok(codes);
    }
    let text = written(cell)?;
    for item in text.split([',', ';', '\n']).map(str::trim).filter(|item| !item.is_empty()) {
        one(item, &country, options, &mut codes)?;
        if codes.len() > options.limits.codes_a_row as usize {
            return Err((
                format!("it stands for more than {} codes", options.limits.codes_a_row),
                "split the row, or raise the limit",
            ));
        }
    }
    if codes.is_empty() { Err(("it holds no code".into(), "give the row a code")) } else { Ok(codes) }
}

fn written<'c>(cell: &'c Cell<'_>) -> Result<std::borrow::Cow<'c, str>, Fault> {
    match cell {
        Cell::Text(text) => Ok(std::borrow::Cow::Borrowed(text)),
        Cell::Number(number) if !number.contains('.') => Ok(std::borrow::Cow::Borrowed(number)),
        Cell::Empty => Err(("the code is empty".into(), "give the row a code")),
        other => Err((format!("{:?} is no code", other.to_string()), "format the column as text and export it again")),
    }
}

fn one(item: &str, country: &str, options: &ReadOptions, codes: &mut Vec<Prefix>) -> Result<(), Fault> {
    if let Some((low, high)) = item.split_once('-') {
        match options.hyphen {
            None => {
                return Err((
                    format!("the hyphen in {item:?} can mean a range or a separator"),
                    "declare in the template which of them this carrier means",
                ));
            }
            Some(Hyphen::Separator) => codes.push(prefix(&format!("{country}{}{}", digits(low)?, digits(high)?))?),
            Some(Hyphen::Range) => range(digits(low)?, digits(high)?, country, options, codes)?,
        }
        return Ok(());
    }
    codes.push(prefix(&format!("{country}{}", digits(item)?))?);
    Ok(())
}

fn range(low: &str, high: &str, country: &str, options: &ReadOptions, codes: &mut Vec<Prefix>) -> Result<(), Fault> {
    let bad = || (format!("{low}-{high} is no range of codes"), "ask for the codes one by one");
    if low.len() != high.len() || low.len() > 15 {
        return Err(bad());
    }
    let first: u64 = low.parse().map_err(|_| bad())?;
    let last: u64 = high.parse().map_err(|_| bad())?;
    if last < first || last - first >= u64::from(options.limits.codes_a_row) {
        return Err(bad());
    }
    for code in first..=last {
        codes.push(prefix(&format!("{country}{code:0width$}", width = low.len()))?);
    }
    Ok(())
}

/// The digits of one written code: a leading plus and the frame of an ASTPP pattern (`^9375.*`) are taken off.
fn digits(text: &str) -> Result<&str, Fault> {
    let text = text.trim();
    let inner = text.strip_prefix('^').unwrap_or(text);
    let inner = inner.strip_suffix(".*").or_else(|| inner.strip_suffix('$')).unwrap_or(inner);
    let inner = inner.strip_prefix('+').unwrap_or(inner);
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

fn prefix(digits: &str) -> Result<Prefix, Fault> {
    Prefix::new(digits).map_err(|error| (error.to_string(), "a dial code has at most 15 digits; correct it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, country: Option<&str>, hyphen: Option<Hyphen>) -> String {
        let options = ReadOptions { hyphen, ..ReadOptions::default() };
        let country = country.map(Cell::text);
        match codes(&Cell::text(text), country.as_ref(), &options) {
            Ok(codes) => codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err((reason, _)) => reason,
        }
    }

    #[test]
    fn every_written_form_is_the_code_it_means() {
        assert_eq!(read("+9377", None, None), "9377");
        assert_eq!(read("^9375.*", None, None), "9375");
        assert_eq!(read("4470; 4471,4472", None, None), "4470 4471 4472");
        assert_eq!(read("33,39", Some("52"), None), "5233 5239");
        assert_eq!(read("", Some("52"), None), "52");
        assert_eq!(read("93-76", None, Some(Hyphen::Separator)), "9376");
        assert_eq!(read("3398-3401", None, Some(Hyphen::Range)), "3398 3399 3400 3401");
        assert_eq!(read("008-011", Some("52"), Some(Hyphen::Range)), "52008 52009 52010 52011");
    }

    #[test]
    fn a_code_that_could_be_another_is_not_guessed() {
        assert_eq!(read("4.47E+11", None, None), "a spreadsheet has shortened the code to \"4.47E+11\"");
        assert_eq!(read("93-76", None, None), "the hyphen in \"93-76\" can mean a range or a separator");
        assert_eq!(read("52 33", None, None), "\"52 33\" is no code of digits");
        assert_eq!(read("4[3-7]", None, Some(Hyphen::Range)), "\"4[3\" is no code of digits");
        assert_eq!(read("1-99999", None, Some(Hyphen::Range)), "1-99999 is no range of codes");
        assert!(read("1234567890123456", None, None).contains("more than 15 digits"));
        assert!(codes(&Cell::Number("93.5".into()), None, &ReadOptions::default()).is_err());
    }
}
