//! The letterhead above a deck's header: product, currency, dates of validity. Never decides a price.

use crate::cell::Cell;
use crate::lexicon::currency_in;
use crate::options::ReadOptions;
use crate::{DateOrder, date};
use facts::Currency;
use jiff::civil::DateTime;
use smol_str::SmolStr;

/// Lines kept for people.
const LINES_MAX: usize = 100;

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
}

/// Takes one row above the header: label and value side by side, or `label: value` in one cell.
pub fn row(notice: &mut Notice, cells: &[Cell<'_>], template: &ReadOptions) {
    let mut filled = cells.iter().filter(|cell| !cell.is_empty());
    let Some(Cell::Text(first)) = filled.next() else { return };
    let split;
    let (label, value): (&str, &Cell<'_>) = match filled.next() {
        Some(value) => (first, value),
        None => {
            let (label, rest) = first.split_once(':').unwrap_or((first, ""));
            split = Cell::text(rest);
            (label, &split)
        }
    };
    let label = label.trim().trim_end_matches(':').trim_end();
    if notice.lines.len() < LINES_MAX {
        notice.lines.push((label.to_owned(), value.to_string()));
    }
    take(notice, &label.to_lowercase(), value, template);
}

fn take(notice: &mut Notice, label: &str, value: &Cell<'_>, template: &ReadOptions) {
    let says = |word: &str| label.contains(word);
    if label.len() > 60 {
        return; // A sentence, not a label.
    }
    if says("currency") {
        notice.currency = notice.currency.or_else(|| currency_in(&value.to_string()));
    } else if says("product") && !value.is_empty() {
        notice.product = notice.product.take().or_else(|| Some(value.to_string().into()));
    }
    let order = template.date_order.unwrap_or(DateOrder::DayFirst);
    let day = || date::civil(value, order).ok().map(|read| read.at);
    if says("increase") && (says("valid") || says("effective") || says("date")) {
        notice.increase_from = notice.increase_from.or_else(day);
    } else if says("decrease") && (says("valid") || says("effective") || says("date")) {
        notice.decrease_from = notice.decrease_from.or_else(day);
    } else if says("issue") {
        notice.issued = notice.issued.or_else(day);
    } else if says("effective") || says("valid from") {
        notice.effective_from = notice.effective_from.or_else(day);
    }
}
