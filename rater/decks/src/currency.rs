//! Currencies in carriers' words: ISO 4217 codes, names, signs. Converts nothing.

use facts::Currency;

/// ISO 4217 codes that stand in headers and notices of decks and are no words of another kind; `ALL`, `TOP` and
/// their like count only where a column or label asks for a currency.
const CODES: [&str; 72] = [
    "USD", "EUR", "GBP", "CHF", "INR", "AED", "AUD", "CAD", "CNY", "CZK", "DKK", "HKD", "HUF", "JPY", "KRW", "MXN",
    "NOK", "PLN", "RUB", "SEK", "SGD", "TRY", "UAH", "ZAR", "ARS", "BDT", "BGN", "BHD", "BRL", "BYN", "CLP", "COP",
    "EGP", "GEL", "GHS", "IDR", "ILS", "IQD", "IRR", "ISK", "JOD", "KES", "KGS", "KWD", "KZT", "LBP", "LKR", "LYD",
    "MAD", "MDL", "MYR", "NGN", "NPR", "NZD", "OMR", "PEN", "PHP", "PKR", "QAR", "RON", "RSD", "SAR", "THB", "TND",
    "TWD", "TZS", "UGX", "UYU", "UZS", "VND", "XAF", "XOF",
];

/// The code of a word such as `usd`.
pub fn code(word: &str) -> Option<&'static str> {
    if word.len() != 3 {
        return None;
    }
    // These are English words too and count only in capitals.
    let capitals = ["TRY", "PEN", "MAD", "COP", "RON", "GEL"];
    CODES.into_iter().find(|code| if capitals.contains(code) { *code == word } else { code.eq_ignore_ascii_case(word) })
}

/// The one currency that a text names as a word, by name or by a sign that only one currency has.
pub fn named(text: &str) -> Option<Currency> {
    let mut found: Option<&'static str> = None;
    let mut clash = false;
    let mut see = |code: &'static str| match found {
        Some(known) if known != code => clash = true,
        _ => found = Some(code),
    };
    for word in text.split(|c: char| !c.is_alphabetic()) {
        if let Some(code) = code(word) {
            see(code);
        } else if word.eq_ignore_ascii_case("euro") || word.eq_ignore_ascii_case("euros") {
            see("EUR");
        } else if word.eq_ignore_ascii_case("sterling") {
            see("GBP");
        }
    }
    let lower = text.to_ascii_lowercase();
    if ["us dollar", "u.s. dollar", "us$", "usd$", "united states dollar"].iter().any(|name| lower.contains(name)) {
        see("USD");
    }
    if text.contains('€') {
        see("EUR");
    }
    if clash { None } else { found.and_then(|code| Currency::new(code).ok()) }
}

/// The currency that a cell of a currency column names.
pub fn of_cell(text: &str) -> Option<Currency> {
    named(text).or_else(|| Currency::new(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_named_once_or_not_at_all() {
        let said = |text: &str| named(text).map(|currency| currency.to_string());
        for (text, code) in [
            ("Rate (USD/min)", Some("USD")),
            ("all prices in usd, net", Some("USD")),
            ("US Dollars", Some("USD")),
            ("Preis in €", Some("EUR")),
            ("Euro", Some("EUR")),
            ("USD or EUR", None),
            ("Price ($)", None),
            ("try again", None),
        ] {
            assert_eq!(said(text).as_deref(), code, "{text}");
        }
    }
}
