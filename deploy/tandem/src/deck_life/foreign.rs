//! A file in another currency than its deck: its prices by the dated exchange rate, and money shown in both. A deck never
//! changes its currency, because past calls keep theirs; a second person decides whether the file was meant.

use crate::output::Failure;
use decks::life::diff::Change;
use decks::life::{Effect, Rows, exchanged};
use facts::Amount;
use facts::config::{Config, ExchangeRate};
use facts::deck::{Price, Rate};
use facts::money::{Currency, Rounding, format_scaled};
use serde_json::{Value, json};

/// Denominator of an exchange rate, and its decimals.
const EXCHANGE: i128 = 100_000_000;
const EXCHANGE_SCALE: u32 = 8;

/// The rate by which a file's prices become the deck's.
pub struct Foreign {
    rate: ExchangeRate,
    /// The file's rows as it has them.
    file: Rows,
}

/// The rate in force at an instant.
pub fn exchange_at(config: &Config, from: Currency, to: Currency, at: i64) -> Option<&ExchangeRate> {
    let rates = config.exchange_rates.iter().filter(|x| (x.from, x.to) == (from, to) && x.valid_from.0 <= at);
    rates.max_by_key(|x| x.valid_from)
}

impl Foreign {
    /// `None` where the file is in the deck's currency or names none.
    pub fn of(
        config: &Config,
        deck: &str,
        file: Option<Currency>,
        ours: Currency,
        at: i64,
    ) -> Result<Option<Self>, Failure> {
        let Some(file) = file.filter(|file| *file != ours) else { return Ok(None) };
        let found = exchange_at(config, file, ours, at).filter(|rate| rate.rate > 0);
        found.map(|rate| Some(Self { rate: rate.clone(), file: Rows::new() })).ok_or_else(|| {
            Failure::Usage(format!(
                "deck {deck:?} is in {ours}, the file is in {file}: past calls keep their currency, so a deck never changes \
                 it, and there is no exchange rate from {file} to {ours} at {} to count the file's prices by; apply one, or \
                 import the file into a new deck and name that in the agreement",
                facts::time::rfc3339(at)
            ))
        })
    }

    /// Why a second person has to look at it.
    pub fn cause(&self, deck: &str) -> String {
        let ExchangeRate { from, to, valid_from, source, .. } = &self.rate;
        format!(
            "the file is in {from}, deck {deck} is in {to}: its prices count at {} {to} for one {from} ({source}, from \
             {valid_from})",
            self.rate_text()
        )
    }

    fn rate_text(&self) -> String {
        format_scaled(i128::from(self.rate.rate), EXCHANGE_SCALE, 0)
    }

    /// The file's rows in the deck's currency.
    pub fn converted(&mut self, rows: Rows) -> Result<Rows, Failure> {
        self.file = rows;
        exchanged(&self.file, self.rate.rate).map_err(Failure::usage)
    }

    /// Units of the file's currency for so many of the deck's, by the same rate; for show.
    fn back(&self, units: i128) -> Option<i128> {
        Rounding::HalfUp.divide(units.checked_mul(EXCHANGE)?, i128::from(self.rate.rate))
    }

    fn amount(&self, amount: Amount) -> String {
        self.back(amount.0).map_or_else(|| "beyond range".to_owned(), |units| Amount(units).to_string())
    }

    /// The price that the file has for this row.
    fn price(&self, rate: &Rate) -> String {
        let ours = |price: Price| {
            let units = i128::from(price.0).checked_mul(i128::from(self.rate.rate))?;
            Rounding::HalfUp.divide(units, EXCHANGE)
        };
        let mut rows = self.file.of_prefix(rate.prefix);
        let found = rows.find(|row| ours(row.row.next_rate) == Some(i128::from(rate.next_rate.0)));
        found.map(|row| row.row.next_rate.to_string()).unwrap_or_default()
    }

    /// What changes, in both currencies.
    pub fn notes(&self, changes: &[Change], effect: Option<&Effect>, shown: usize) -> Vec<String> {
        let ExchangeRate { from, to, .. } = &self.rate;
        let mut notes = Vec::new();
        if let Some(effect) = effect {
            let (old, new) = (self.amount(effect.old), self.amount(effect.new));
            notes.push(format!(
                "in the file's currency these calls cost {from} {new} instead of {old} ({to} {} instead of {})",
                effect.new, effect.old
            ));
        }
        let priced: Vec<(&Change, &Rate)> = changes.iter().filter_map(|c| Some((c, c.new.as_ref()?))).collect();
        notes.extend(priced.iter().take(shown).map(|(change, rate)| {
            let price = self.price(rate);
            format!("  {} {}: {from} {price} is {to} {}", change.prefix, change.destination, rate.next_rate)
        }));
        if priced.len() > shown {
            notes.push(format!("  ... and {} more", priced.len() - shown));
        }
        notes
    }

    pub fn json(&self, effect: Option<&Effect>) -> Value {
        let ExchangeRate { from, to, valid_from, source, .. } = &self.rate;
        json!({
            "currency": from.to_string(), "into": to.to_string(), "rate": self.rate_text(),
            "valid_from": valid_from.to_string(), "source": source,
            "old": effect.map(|effect| self.amount(effect.old)), "new": effect.map(|effect| self.amount(effect.new)),
        })
    }
}
