//! The letterhead above a deck's header: product, currency, dates of validity. Shown as found and to be confirmed;
//! never decides a price.

use crate::cell::Cell;
use crate::lexicon::{currency_in, says_price, words_of};
use crate::{DateOrder, date};
use facts::Currency;
use jiff::civil::DateTime;
use smol_str::SmolStr;

/// Lines kept for people.
const LINES_MAX: usize = 200;
/// A longer text is a sentence, not a label.
const LABEL_MAX: usize = 60;

/// What stands above the header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notice {
    /// Label and value, as written.
    pub lines: Vec<(String, String)>,
    pub currency: Option<Currency>,
    pub product: Option<SmolStr>,
    /// Day from which increases count.
    pub increase_from: Option<DateTime>,
    pub decrease_from: Option<DateTime>,
    /// Day from which everything counts that has no date of its own.
    pub effective_from: Option<DateTime>,
    pub issued: Option<DateTime>,
    /// Dates that wait for the order of day and month.
    dated: Vec<(Kind, Cell<'static>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Increase,
    Decrease,
    Effective,
    Issued,
}

impl Notice {
    /// The lines as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |(label, value): &(String, String)| match value.as_str() {
            "" => label.clone(),
            value => format!("{label}: {value}"),
        };
        self.lines.iter().map(text).collect()
    }

    /// Takes over what a sheet without rates says, a cover, where this one says nothing.
    pub(crate) fn adopt(&mut self, cover: &Self, currency: Option<Currency>) {
        self.currency = self.currency.or(currency);
        self.product = self.product.take().or_else(|| cover.product.clone());
        let own: Vec<Kind> = self.dated.iter().map(|(kind, _)| *kind).collect();
        self.dated.extend(cover.dated.iter().filter(|(kind, _)| !own.contains(kind)).cloned());
    }

    /// The texts of its dates.
    pub(crate) fn dates(&self) -> impl Iterator<Item = String> {
        self.dated.iter().filter(|(_, cell)| matches!(cell, Cell::Text(_))).map(|(_, cell)| cell.to_string())
    }
}

/// Takes one row above the header: label and value side by side, `label: value` in one cell, or a sentence.
pub fn row(notice: &mut Notice, cells: &[Cell<'_>]) {
    let mut filled = cells.iter().filter(|cell| !cell.is_empty());
    let Some(Cell::Text(first)) = filled.next() else { return };
    let (label, value) = match filled.next() {
        Some(value) => (&**first, value.clone()),
        None => match first.split_once(':').filter(|(label, _)| label.len() <= LABEL_MAX) {
            Some((label, rest)) => (label, Cell::text(rest.to_owned())),
            None => (&**first, Cell::Empty),
        },
    };
    let label = label.trim().trim_end_matches(':').trim_end();
    if notice.lines.len() < LINES_MAX {
        let rest: Vec<String> = std::iter::once(value.to_string()).chain(filled.map(ToString::to_string)).collect();
        notice.lines.push((label.to_owned(), rest.join("; ")));
    }
    take(notice, label, &value);
}

fn take(notice: &mut Notice, label: &str, value: &Cell<'_>) {
    let words = words_of(label);
    let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let named = any(&["currency", "wahrung", "devise", "moneda", "valuta", "moeda", "валюта"]);
    let text = format!("{label} {value}");
    if named || says_price(&words_of(&text)) {
        notice.currency = notice.currency.or_else(|| currency_in(&text));
    }
    if any(&["product", "produkt", "produit", "producto", "prodotto", "продукт"]) && !value.is_empty() {
        notice.product = notice.product.take().or_else(|| Some(value.to_string().into()));
    }
    let from = any(&[
        "effective",
        "valid",
        "validity",
        "gultig",
        "valable",
        "vigencia",
        "vigente",
        "valido",
        "decorrenza",
        "действует",
        "действительны",
        "applicable",
        "wirkung",
    ]);
    let until = any(&["until", "till", "expiry", "expires", "expiration", "bis", "hasta", "fino", "до"]);
    let date = any(&["date", "datum", "fecha", "data", "дата", "from"]) || from;
    let kind = if any(&["increase", "increases", "erhohung", "erhohungen", "hausse", "aumento", "повышения"]) && date
    {
        Kind::Increase
    } else if any(&["decrease", "decreases", "senkung", "senkungen", "baisse", "reduccion", "снижения"]) && date
    {
        Kind::Decrease
    } else if any(&["issue", "issued", "sent", "ausgestellt", "emision", "emission"]) {
        Kind::Issued
    } else if from && !until {
        Kind::Effective
    } else if words.len() == 1 && date {
        Kind::Issued
    } else {
        return;
    };
    let found = match value {
        Cell::Date(_) | Cell::Number(_) => Some(value.clone().into_owned()),
        _ => date_in(&text).map(Cell::text),
    };
    notice.dated.extend(found.map(|cell| (kind, cell)));
}

/// The first date inside a text.
fn date_in(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().take(60).collect();
    for at in 0..words.len() {
        for many in (1..=4usize).rev().filter(|many| at + many <= words.len()) {
            let joined = words[at..at + many].join(" ");
            let bare = joined.trim_matches(|c: char| ",.;()[]:".contains(c));
            let cell = Cell::text(bare);
            let digits = bare.bytes().filter(u8::is_ascii_digit).count() >= 3;
            let reads = |order| date::civil(&cell, order).is_ok();
            if digits && (reads(DateOrder::DayFirst) || reads(DateOrder::MonthFirst)) {
                return Some(bare.to_owned());
            }
        }
    }
    None
}

/// Reads the dates once the order of day and month is known; the first of each kind counts.
pub fn resolve(notice: &mut Notice, order: Option<DateOrder>) {
    for (kind, cell) in std::mem::take(&mut notice.dated) {
        let day = date::civil(&cell, order.unwrap_or(DateOrder::DayFirst)).ok().map(|read| read.at);
        let slot = match kind {
            Kind::Increase => &mut notice.increase_from,
            Kind::Decrease => &mut notice.decrease_from,
            Kind::Effective => &mut notice.effective_from,
            Kind::Issued => &mut notice.issued,
        };
        *slot = slot.or(day);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> String {
        let mut notice = Notice::default();
        for line in lines {
            let cells: Vec<Cell<'_>> = line.split('|').map(Cell::text).collect();
            row(&mut notice, &cells);
        }
        resolve(&mut notice, None);
        let day = |day: Option<DateTime>| day.map(|day| day.date().to_string()).unwrap_or_default();
        let currency = notice.currency.map(|c| c.to_string()).unwrap_or_default();
        let dates = [notice.effective_from, notice.increase_from, notice.decrease_from, notice.issued].map(day);
        format!("{currency} {}", dates.join(" "))
    }

    #[test]
    fn a_notice_says_its_currency_and_its_dates_in_labels_and_in_sentences() {
        for (lines, found) in [
            (&["Currency: USD", "Effective Date|2023-06-01"][..], "USD 2023-06-01   "),
            (&["All rates are in EUR per minute and effective from 1st June 2023, 00:00 UTC."], "EUR 2023-06-01   "),
            (&["Währung|Euro", "Gültig ab: 1. Juni 2023", "Datum|15.05.2023"], "EUR 2023-06-01   2023-05-15"),
            (&["Increase effective date|16-May-23", "Decrease effective date|10-May-23"], "  2023-05-16 2023-05-10 "),
            (&["Цены действительны с 1 июня 2023 в USD"], "USD 2023-06-01   "),
            (&["Valid until 2023-06-01", "Payment terms: 30 days", "Bank account in EUR"], "    "),
        ] {
            assert_eq!(read(lines), found, "{lines:?}");
        }
    }
}
