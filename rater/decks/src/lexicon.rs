//! What header words mean: English, German, French, Spanish, Italian, Portuguese, Russian. Looks at one header at a
//! time and never at the values below it.

#[rustfmt::skip]
mod words;

use crate::field::Field;
use facts::Currency;
use words::*;

/// Words that say "each minute" or stand for nothing, which every price here is anyway.
const PER_MINUTE: [&str; 14] =
    ["per", "min", "mins", "minute", "minutes", "s", "pro", "par", "por", "al", "за", "мин", "минуту", "minuto"];
/// A header of more words is a sentence.
const WORDS_MAX: usize = 9;

/// Headers after `words`, and what they mean. Sources: domain.md 4.5 (Airtel, Tata, TelecomsXChange, PortaOne,
/// JeraSoft, Yeti, ASTPP, Kazoo, 46labs) and the sample decks.
#[rustfmt::skip]
const NAMES: &[(&str, Field)] = &[
    ("complete code", Field::Code), ("pattern", Field::Code), ("e164", Field::Code), ("lrn prefix", Field::Code),
    ("npanxx", Field::Code), ("npa nxx", Field::Code), ("e 164", Field::Code), ("digits", Field::Code),
    ("cc", Field::CountryCode), ("iac", Field::CountryCode), ("ac", Field::AreaCode), ("ndc", Field::AreaCode),
    ("dialcode", Field::Code), ("dialcodes", Field::Code), ("dialprefix", Field::Code), ("breakout code", Field::Code),
    ("code name", Field::Destination), ("target pattern name", Field::Destination), ("comment", Field::Destination),
    ("breakout", Field::Destination), ("zone", Field::Destination), ("zone name", Field::Destination),
    ("rate name", Field::Destination), ("location", Field::Destination), ("location name", Field::Destination),
    ("charge", Field::Rate), ("rate cost", Field::Rate), ("cost", Field::Rate),
    ("price 1", Field::FirstRate), ("price n", Field::NextRate),
    ("interrate", Field::InterRate), ("interstate", Field::InterRate), ("inter", Field::InterRate),
    ("intrarate", Field::IntraRate), ("intrastate", Field::IntraRate), ("intra", Field::IntraRate),
    ("ijrate", Field::IndeterminateRate), ("ij", Field::IndeterminateRate),
    ("charge period", Field::Increment), ("billing", Field::Increment), ("inc", Field::Increment),
    ("rate increment", Field::Increment), ("interval", Field::Increment), ("rounding", Field::Increment),
    ("interval 1", Field::FirstInterval), ("minimum", Field::FirstInterval), ("inc minimum", Field::FirstInterval),
    ("inc first", Field::FirstInterval), ("rate minimum", Field::FirstInterval),
    ("minimum duration", Field::FirstInterval), ("minimum time", Field::FirstInterval),
    ("sub interval", Field::NextInterval), ("interval n", Field::NextInterval), ("add inc", Field::NextInterval),
    ("int", Field::NextInterval),
    ("connectcost", Field::ConnectFee), ("rate surcharge", Field::ConnectFee), ("flagfall", Field::ConnectFee),
    ("includedseconds", Field::FreeSeconds), ("included seconds", Field::FreeSeconds),
    ("free seconds", Field::FreeSeconds),
    ("grace volume", Field::GraceSeconds), ("grace time", Field::GraceSeconds),
    ("grace period", Field::GraceSeconds), ("rate nocharge time", Field::GraceSeconds),
    ("status", Field::Status), ("state", Field::Status), ("forbidden", Field::Forbidden),
    ("reject calls", Field::Forbidden), ("blocked", Field::Forbidden), ("discontinued", Field::Discontinued),
    ("time type", Field::TimeType), ("time profile", Field::TimeType), ("time band", Field::TimeType),
    ("tariff time", Field::TimeType), ("time period", Field::TimeType),
    ("src code", Field::Origin), ("origin", Field::Origin), ("origin group", Field::Origin),
    ("origin name", Field::Origin), ("origination", Field::Origin), ("origin zone", Field::Origin),
    ("origin country", Field::Origin), ("a number group", Field::Origin), ("origin based", Field::Origin),
    ("ursprung", Field::Origin), ("herkunft", Field::Origin), ("origine", Field::Origin), ("origen", Field::Origin),
    ("currency", Field::Currency), ("wahrung", Field::Currency), ("devise", Field::Currency),
    ("moneda", Field::Currency), ("valuta", Field::Currency), ("валюта", Field::Currency),
    ("статус", Field::Status), ("statut", Field::Status), ("estado", Field::Status), ("stato", Field::Status),
];

/// Letters without their marks, so that `Gültig` and `gueltig` and `gultig` are near one another.
fn fold(letter: char) -> char {
    match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        'ё' => 'е',
        other => other,
    }
}

/// A header's words in small letters: split at signs and where `aB` changes case.
pub fn words_of(header: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut small = false;
    for letter in header.chars() {
        let starts = small && letter.is_uppercase();
        if (!letter.is_alphanumeric() || starts) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase().map(fold));
        }
        small = letter.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The field that a header names, if it is a known one.
pub fn field(header: &str) -> Option<Field> {
    if header.len() > 120 {
        return None;
    }
    let all = words_of(header);
    if all.is_empty() || all.len() > WORDS_MAX {
        return None;
    }
    let joined = all.join(" ");
    match joined.as_str() {
        // JeraSoft's `Min`, `Min Inc`; elsewhere the word belongs to a price.
        "min" | "min inc" | "min increment" | "min interval" => return Some(Field::FirstInterval),
        "peak" | "off peak" | "offpeak" | "weekend" => return Some(Field::Rate),
        _ => {}
    }
    let kept: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|word| !PER_MINUTE.contains(word) && crate::currency::code(word).is_none() && !is_unit(word))
        .collect();
    let words = if kept.is_empty() { joined } else { kept.join(" ") };
    if let Some((_, field)) = NAMES.iter().find(|(name, _)| *name == words) {
        return Some(*field);
    }
    by_words(&Words { kept, all: &all })
}

fn is_unit(word: &str) -> bool {
    matches!(word, "cent" | "cents" | "ct" | "cts" | "centimes" | "центов" | "dollar" | "dollars" | "us" | "sec")
        || matches!(word, "euro" | "euros" | "net" | "excl" | "vat" | "in")
}

struct Words<'w> {
    kept: Vec<&'w str>,
    all: &'w [String],
}

impl Words<'_> {
    fn any(&self, known: &[&str]) -> bool {
        self.kept.iter().any(|word| known.contains(word))
    }

    fn any_of_all(&self, known: &[&str]) -> bool {
        self.all.iter().any(|word| known.contains(&word.as_str()))
    }

    /// Nothing but words of these lists.
    fn only(&self, lists: &[&[&str]]) -> bool {
        self.kept.iter().all(|word| lists.iter().any(|list| list.contains(word)))
    }
}

fn by_words(words: &Words<'_>) -> Option<Field> {
    if words.any(OLD) {
        return None;
    }
    if words.any(CHANGE) {
        return Some(Field::Change);
    }
    dates(words)
        .or_else(|| intervals(words))
        .or_else(|| codes(words))
        .or_else(|| prices(words))
        .or_else(|| names(words))
}

fn dates(words: &Words<'_>) -> Option<Field> {
    let dated = words.any_of_all(DATE) || words.any_of_all(&["valid", "gultig", "effective", "valido", "valable"]);
    let lists = [FROM, UNTIL, DATE, RATE, &["new", "of", "d", "entree", "en", "de", "entrada", "utc", "gmt"][..]];
    if !dated || !words.only(&lists) {
        return None;
    }
    let until = words.any(UNTIL);
    let from = words.any(FROM);
    match (from, until) {
        (_, true) => Some(Field::ValidUntil),
        (true, false) => Some(Field::ValidFrom),
        (false, false) if words.any_of_all(&["date", "datum", "fecha", "data", "дата"]) && !words.any(RATE) => {
            Some(Field::ValidFrom)
        }
        _ => None,
    }
}

fn intervals(words: &Words<'_>) -> Option<Field> {
    let fill = ["billing", "rate", "charging", "charge", "call", "seconds", "sec", "de", "di", "period", "duration"];
    let inc = ["inc", "incr"];
    if !(words.any(INCREMENT) || words.any(&inc)) || !words.only(&[INCREMENT, FIRST, NEXT, &fill, &inc]) {
        return None;
    }
    if words.any_of_all(FIRST) {
        return Some(Field::FirstInterval);
    }
    if words.any_of_all(NEXT) {
        return Some(Field::NextInterval);
    }
    Some(Field::Increment)
}

fn codes(words: &Words<'_>) -> Option<Field> {
    if !words.any(CODE) {
        return None;
    }
    if words.any(ORIGIN) {
        return None;
    }
    if words.any(COUNTRY) {
        return words.only(&[CODE, COUNTRY, CODE_FILL]).then_some(Field::CountryCode);
    }
    if words.any(AREA) {
        return words.only(&[CODE, AREA, CODE_FILL]).then_some(Field::AreaCode);
    }
    if words.any(&["name"]) {
        return words.only(&[CODE, CODE_FILL, &["name"]]).then_some(Field::Destination);
    }
    words.only(&[CODE, CODE_FILL]).then_some(Field::Code)
}

fn prices(words: &Words<'_>) -> Option<Field> {
    let fee = words.any(FEE) || words.any(RATE);
    if fee && words.any(&["attempt"]) {
        return Some(Field::AttemptFee);
    }
    if fee && words.any(&["disconnect", "disconnection"]) {
        return Some(Field::DisconnectFee);
    }
    let set_up = words.any(&["set"]) && words.any(&["up"]);
    let fills: [&[&str]; 4] = [CONNECT, FEE, RATE, &["set", "up", "per", "de", "di", "new"]];
    if (words.any(CONNECT) || set_up) && fee && words.only(&fills) {
        return Some(Field::ConnectFee);
    }
    if words.any(&["verbindungsaufbau", "verbindungsentgelt"]) {
        return Some(Field::ConnectFee);
    }
    if words.any(&["surcharge", "zuschlag", "recargo"]) {
        return None;
    }
    if words.any(&["indeterminate"]) {
        return Some(Field::IndeterminateRate);
    }
    if !words.any(RATE) || words.any(NO_PRICE) || words.any(CODE) {
        return None;
    }
    if words.any(&["inter", "interstate"]) {
        return Some(Field::InterRate);
    }
    if words.any(&["intra", "intrastate"]) {
        return Some(Field::IntraRate);
    }
    if words.any(&["first", "initial"]) {
        return Some(Field::FirstRate);
    }
    if words.any(&["next", "subsequent", "recurring", "additional"]) {
        return Some(Field::NextRate);
    }
    Some(Field::Rate)
}

fn names(words: &Words<'_>) -> Option<Field> {
    let fill = ["name", "full", "of", "and", "network", "the", "long", "nombre", "nom"];
    (words.any(DESTINATION) && words.only(&[DESTINATION, COUNTRY, NETWORK, &fill])).then_some(Field::Destination)
}

/// What a price column's header says about the unit of its figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unit {
    /// Hundredths of the currency.
    pub cents: bool,
    /// A second, not a minute.
    pub per_second: bool,
    /// Neither a minute nor a second: `per 100 minutes`, `per hour`, `per 1000`.
    pub unknown: bool,
}

pub fn unit(header: &str) -> Unit {
    let words = words_of(header);
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let per = |unit: &[&str]| {
        words.windows(2).any(|pair| matches!(&*pair[0], "per" | "pro" | "par" | "por") && unit.contains(&&*pair[1]))
            || header
                .split('/')
                .skip(1)
                .any(|rest| words_of(rest).first().is_some_and(|word| unit.contains(&word.as_str())))
    };
    let number = |text: &str| {
        let first = words_of(text).into_iter().next().unwrap_or_default();
        !first.is_empty() && first != "1" && first.bytes().all(|b| b.is_ascii_digit())
    };
    let count = header.split('/').skip(1).any(number)
        || words
            .windows(2)
            .any(|pair| pair[0] == "per" && pair[1] != "1" && pair[1].bytes().all(|b| b.is_ascii_digit()));
    Unit {
        cents: has(&["cent", "cents", "ct", "cts", "centimes", "cts", "paise", "pence"]) || header.contains('¢'),
        per_second: per(&["sec", "second", "seconds", "sekunde", "seconde", "segundo", "secondo", "s"]),
        unknown: count || per(&["hour", "hr", "stunde", "heure", "hora", "call"]),
    }
}

/// `Country`, `Land`, `Country name`: where the destination lies.
pub fn is_country(header: &str) -> bool {
    let words = words_of(header);
    let country = |word: &String| COUNTRY.contains(&word.as_str()) && word != "countrycode";
    words.iter().any(country)
        && words.iter().all(|word| country(word) || matches!(word.as_str(), "name" | "nombre" | "nom"))
}

/// `Origin codes`: codes of callers, which are no codes of destinations.
pub fn is_origin_code(words: &[String]) -> bool {
    let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    any(ORIGIN) && any(CODE)
}

/// Whether words of a sentence speak of prices.
pub fn says_price(words: &[String]) -> bool {
    words.iter().any(|word| RATE.contains(&word.as_str()) || matches!(word.as_str(), "amounts" | "charges" | "ценах"))
}

/// The currency that a header or text names as a word of its own.
pub fn currency_in(text: &str) -> Option<Currency> {
    crate::currency::named(text)
}

#[cfg(test)]
mod tests;
