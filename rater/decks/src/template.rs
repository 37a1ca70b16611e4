//! A template: what was found in one carrier's file, as TOML, so that the next notice of that carrier is read without
//! questions. Reads and writes text; opens no file. Every field is described in docs/guides/decks.md.

use crate::options::{DateOrder, DecimalMark, Hyphen, Increment, ReadOptions, Space};
use crate::{DeckError, Field, Found};
use facts::Currency;
use facts::deck::RowStatus;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// The document. Whatever is absent is found out from the file, or asked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Text {
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<SmolStr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    separator: Option<char>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sheets: Vec<SmolStr>,
    #[serde(skip_serializing_if = "is_false")]
    all_sheets: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_order: Option<DateOrder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimal: Option<DecimalMark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hyphen: Option<Hyphen>,
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<Space>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<SmolStr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    increment: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    notice_date: bool,
    #[serde(skip_serializing_if = "is_false")]
    zero_is_free: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flat_time_types: Vec<SmolStr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    time_bands: Vec<SmolStr>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<String, SmolStr>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    increments: BTreeMap<SmolStr, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<SmolStr, RowStatus>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    names: crate::names::Names,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Reads a template; the message names the field at fault.
pub fn parse(text: &str) -> Result<ReadOptions, DeckError> {
    let fault = |reason: String| DeckError::Template(reason);
    let text: Text = toml::from_str(text).map_err(|error| fault(error.to_string().trim().to_owned()))?;
    let mut columns = BTreeMap::new();
    for (word, header) in text.columns {
        let unknown = || fault(format!("columns.{word}: no such field; the fields are {}", Field::words()));
        columns.insert(Field::named(&word).ok_or_else(unknown)?, header);
    }
    let increment = |name: &str, text: &str| {
        parse_increment(text).ok_or_else(|| fault(format!("{name} = {text:?}: write two numbers of seconds, as 60/1")))
    };
    let increments = text
        .increments
        .iter()
        .map(|(name, text)| Ok((name.clone(), increment(&format!("increments.{name}"), text)?)))
        .collect::<Result<Vec<_>, DeckError>>()?;
    Ok(ReadOptions {
        encoding: text.encoding,
        separator: text.separator,
        sheets: text.sheets,
        all_sheets: text.all_sheets,
        currency: text.currency,
        date_order: text.date_order,
        decimal_mark: text.decimal,
        hyphen: text.hyphen,
        space: text.space,
        effective_zone: text.zone.unwrap_or_else(|| ReadOptions::default().effective_zone),
        increment: text.increment.map(|text| increment("increment", &text)).transpose()?,
        increments,
        status_words: text.status.into_iter().map(|(word, status)| (word.to_lowercase().into(), status)).collect(),
        notice_date: text.notice_date,
        notice_must_agree: true,
        zero_is_free: text.zero_is_free,
        flat_time_types: text.flat_time_types,
        time_bands: text.time_bands,
        columns,
        names: text.names,
        ..ReadOptions::default()
    })
}

/// `60/1` as first and next interval.
pub fn parse_increment(text: &str) -> Option<Increment> {
    let (first, next) = text.split_once('/')?;
    first.trim().parse().ok().zip(next.trim().parse().ok()).filter(|(_, next)| *next > 0)
}

/// The template of a file that was read with these options.
pub fn save(options: &ReadOptions, found: &Found) -> Result<String, DeckError> {
    let pair = |(first, next): Increment| format!("{first}/{next}");
    let csv = found.format == "csv";
    let no_increments = !found
        .columns
        .iter()
        .any(|(field, _)| matches!(field, Field::Increment | Field::FirstInterval | Field::NextInterval));
    let increments = if no_increments { &found.increments } else { &options.increments };
    let text = Text {
        // Every file with a mark or in UTF-8 tells it by itself.
        encoding: (csv && !found.encoding.starts_with("utf")).then(|| found.encoding.clone()),
        separator: found.separator,
        sheets: options.sheets.clone(),
        all_sheets: options.all_sheets,
        currency: found.currency,
        date_order: found.date_order,
        decimal: options.decimal_mark,
        hyphen: options.hyphen,
        space: options.space,
        zone: Some(options.effective_zone.clone()),
        increment: if no_increments { found.increment.map(pair) } else { options.increment.map(pair) },
        notice_date: options.notice_date || (found.notice.effective_from.is_some() && options.valid_from.is_none()),
        zero_is_free: options.zero_is_free,
        flat_time_types: options.flat_time_types.clone(),
        time_bands: options.time_bands.clone(),
        columns: found.columns.iter().map(|(field, name)| (field.to_string(), name.clone())).collect(),
        increments: increments.iter().map(|(name, increment)| (name.clone(), pair(*increment))).collect(),
        status: options.status_words.clone(),
        names: options.names.clone(),
    };
    toml::to_string(&text).map_err(|error| DeckError::Template(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const FIRST: &str = "Carrier;Example Telecom\nBilling increment: 60/60 except Mexico 60/60, US 6/6;\n\
        Effective date;13/05/2023\nCurrency;EUR\n\nBreakout;Dial Code;Tariff per min\n\
        Germany;49;0,0123\nUSA - Alaska;1907;0,05\nMexico City;5255;0,02\n";

    #[test]
    fn a_saved_template_reads_the_next_notice_without_questions() {
        let file = crate::read("first.csv", FIRST.as_bytes(), &ReadOptions::default()).unwrap();
        let increments: Vec<_> = file.rates.iter().map(|(rate, _)| (rate.first_interval, rate.next_interval)).collect();
        assert_eq!(increments, [(60, 60), (6, 6), (60, 60)]);
        expect![[r#"
            currency EUR by the notice: --currency EUR
            increments 60/60, Mexico 60/60, US 6/6 by the words "Billing increment: 60/60 except Mexico 60/60, US 6/6": --increment 60/60
            rows without a date are valid from 2023-05-13 by the notice: --valid-from 2023-05-13"#]]
        .assert_eq(&file.found.to_confirm.join("\n"));
        let text = save(&ReadOptions::default(), &file.found).unwrap();
        expect![[r#"
            separator = ";"
            currency = "EUR"
            date_order = "day-first"
            zone = "UTC"
            increment = "60/60"
            notice_date = true

            [columns]
            code = "Dial Code"
            destination = "Breakout"
            rate = "Tariff per min"

            [increments]
            Mexico = "60/60"
            US = "6/6"
        "#]]
        .assert_eq(&text);
        let options = parse(&text).unwrap();
        // The next notice: another date that could be read both ways, and the increments are not repeated.
        let next = "Effective date;06/07/2023\nBreakout;Dial Code;Tariff per min;New price\nUSA;1;0,04;9\n";
        let file = crate::read("next.csv", next.as_bytes(), &options).unwrap();
        let (rate, _) = &file.rates[0];
        assert_eq!((rate.first_interval, rate.next_rate.to_string().as_str()), (6, "0.04"));
        assert_eq!(rate.valid_from.map(facts::time::rfc3339).as_deref(), Some("2023-07-06T00:00:00Z"));
        assert_eq!(file.found.to_confirm, [] as [&str; 0]);
        assert_eq!(save(&options, &file.found).unwrap(), text, "a template stays what it is");
    }

    #[test]
    fn a_notice_that_contradicts_the_template_is_asked() {
        let options = parse("currency = \"EUR\"\nincrement = \"60/60\"").unwrap();
        let asked = |text: &str| crate::read("n.csv", text.as_bytes(), &options).unwrap_err().to_string();
        expect![
            "n.csv: the currency is EUR by the template and USD by the notice above the header; ask which is meant"
        ]
        .assert_eq(&asked("Currency,USD\nCode,Rate\n44,0.1\n"));
        expect!["n.csv: the increment is 60/60 by the template and 1/1 by the notice; ask which is meant, then name it: --increment 1/1"]
            .assert_eq(&asked("Billing increment: 1/1\nCode,Rate\n44,0.1\n"));
        for (text, field) in [
            ("colums = 1", "colums"),
            ("increment = \"1\"", "increment"),
            ("[columns]\nprice = \"x\"", "columns.price"),
            ("date_order = \"year-first\"", "year-first"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
