//! What the reader took for granted, and what a person should confirm because money hangs on a sentence. Decides
//! nothing.

use crate::lexicon::Unit;
use crate::notice::Notice;
use crate::options::ReadOptions;
use crate::sheets::Known;
use std::collections::BTreeSet;

const ONE_SECOND: &str = "rows without an increment are billed by the second, for nothing names one: --increment 1/1";
const ALWAYS: &str = "rows without a date are valid always";

/// Assumptions, each once.
pub struct Assumed {
    assumed: BTreeSet<String>,
    to_confirm: BTreeSet<String>,
    /// Sentences about increments, unless the template or an answer stands above them.
    increments: Option<String>,
    /// The notice's date as text, unless it is confirmed.
    notice_date: Option<String>,
    date_confirmed: bool,
    currency_confirmed: bool,
    /// Rows took their increment from the notice or the template.
    pub increments_used: bool,
}

impl Assumed {
    pub fn new(known: &Known, template: &ReadOptions) -> Self {
        let said = &known.said;
        let confirmed = template.increment.is_some() && (said.except.is_empty() || !template.increments.is_empty());
        let told = (!confirmed && !said.texts.is_empty()).then(|| {
            let mut text = said.all.map_or_else(String::new, |(first, next)| format!("{first}/{next}"));
            for (name, (first, next)) in &said.except {
                let begin = if text.is_empty() { "" } else { ", " };
                text += &format!("{begin}{name} {first}/{next}");
            }
            let flag = said.all.map_or((1, 1), |all| all);
            format!("increments {text} by the words {:?}: --increment {}/{}", said.texts.join(" | "), flag.0, flag.1)
        });
        Self {
            assumed: BTreeSet::new(),
            to_confirm: BTreeSet::new(),
            increments: told,
            notice_date: None,
            date_confirmed: template.valid_from.is_some() || template.notice_date,
            currency_confirmed: template.currency.is_some(),
            increments_used: false,
        }
    }

    /// What the notice of a sheet says.
    pub fn notice(&mut self, notice: &Notice) {
        if let Some(currency) = notice.currency.filter(|_| !self.currency_confirmed) {
            self.to_confirm.insert(format!("currency {currency} by the notice: --currency {currency}"));
        }
        self.notice_date = notice.effective_from.map(|day| day.date().to_string());
    }

    pub fn unit(&mut self, column: &str, unit: Unit) {
        let what = match (unit.cents, unit.per_second) {
            (true, true) => "hundredths of the currency for a second; they were multiplied by 60 and divided by 100",
            (true, false) => "hundredths of the currency; they were divided by 100",
            _ => "for a second; they were multiplied by 60",
        };
        self.assumed.insert(format!("prices of column {column:?} are {what}"));
    }

    /// A row without a date.
    pub fn no_date(&mut self, dated: bool) {
        if !dated {
            add(&mut self.assumed, ALWAYS);
        } else if let Some(day) = self.notice_date.as_ref().filter(|_| !self.date_confirmed) {
            let text = format!("rows without a date are valid from {day} by the notice: --valid-from {day}");
            self.to_confirm.insert(text);
            self.date_confirmed = true;
        }
    }

    /// A row without an increment; `known`: something else names one for it.
    pub fn no_increment(&mut self, known: bool) {
        self.increments_used = true;
        if !known {
            add(&mut self.to_confirm, ONE_SECOND);
        }
    }

    pub fn exception_without_code(&mut self, name: &str, first: u32, next: u32) {
        self.to_confirm.insert(format!("increment {first}/{next} is for {name:?}, but no destination begins so"));
    }

    /// Assumptions and what is to be confirmed, as text.
    pub fn told(mut self) -> (Vec<String>, Vec<String>) {
        self.to_confirm.extend(self.increments.filter(|_| self.increments_used));
        (self.assumed.into_iter().collect(), self.to_confirm.into_iter().collect())
    }
}

fn add(set: &mut BTreeSet<String>, text: &str) {
    if !set.contains(text) {
        set.insert(text.to_owned());
    }
}
