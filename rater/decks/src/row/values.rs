//! The values of a row's cells: status, prices, intervals, fees, dates, conditions. A value that cannot be read is a
//! fault with its column; none is replaced by a default without a word.

use super::{Fault, INTERVAL_MAX, PER_SECOND, Reader};
use crate::cell::Cell;
use crate::currency;
use crate::date::{self, Moment};
use crate::field::Field;
use crate::lexicon::words_of;
use crate::options::Increment;
use crate::prose::begins;
use crate::{price, status};
use facts::deck::{Price, Rate, RowStatus};
use smol_str::SmolStr;

/// Time types that mean "the whole week" (Airtel's `STD_S`, others' words).
const FLAT: [&str; 7] = ["std_s", "flat", "24h", "24x7", "all", "all day", "always"];
/// Columns in which a carrier without a status column writes the word where the price stands.
const PRICES: [Field; 5] = [Field::Rate, Field::FirstRate, Field::NextRate, Field::InterRate, Field::IntraRate];

impl Reader<'_> {
    pub(super) fn check_currency(&mut self, cells: &[Cell<'_>]) -> Result<(), Fault> {
        let cell = self.cell(cells, Field::Currency);
        if cell.is_empty() {
            return Ok(());
        }
        let text = cell.to_string();
        let named = currency::of_cell(&text);
        let fault = |reason: String, advice| Err(Fault::new(Field::Currency, reason, advice));
        match (named, self.currency) {
            (None, _) => fault(format!("{text:?} is no currency"), "write its three letters (ISO 4217)"),
            (Some(named), Some(deck)) if named != deck => {
                fault(format!("the row is in {named}, the deck in {deck}"), "split the deck by currency")
            }
            (named, _) => {
                self.currency = named;
                Ok(())
            }
        }
    }

    pub(super) fn status(&self, cells: &[Cell<'_>]) -> Result<RowStatus, Fault> {
        if self.is_yes(cells, Field::Discontinued)? {
            return Ok(RowStatus::Discontinued);
        }
        if self.is_yes(cells, Field::Forbidden)? {
            return Ok(RowStatus::Blocked);
        }
        let said = |field: Field| match self.cell(cells, field) {
            // Nearly all are prices.
            Cell::Text(text) if text.starts_with(|c: char| c.is_ascii_digit()) => None,
            Cell::Text(text) => status::said(text, self.template).filter(|status| *status != RowStatus::Open),
            _ => None,
        };
        if let Some(status) = PRICES.into_iter().find_map(said) {
            return Ok(status);
        }
        let text = self.cell(cells, Field::Status).to_string();
        match status::said(&text, self.template) {
            None if !text.is_empty() => Err(Fault::new(
                Field::Status,
                format!("{text:?} is no known status"),
                "write current, blocked or discontinued, or ask what it means",
            )),
            Some(status) if status != RowStatus::Open => Ok(status),
            // `Deleted` where the file says what has changed.
            _ => Ok(said(Field::Change).unwrap_or(RowStatus::Open)),
        }
    }

    fn is_yes(&self, cells: &[Cell<'_>], field: Field) -> Result<bool, Fault> {
        match self.cell(cells, field) {
            Cell::Empty => Ok(false),
            Cell::Bool(value) => Ok(*value),
            cell => match cell.to_string().to_lowercase().as_str() {
                "" | "0" | "n" | "no" | "false" => Ok(false),
                "1" | "y" | "yes" | "true" | "x" => Ok(true),
                other => Err(Fault::new(field, format!("{other:?} is neither yes nor no"), "write yes or no")),
            },
        }
    }

    pub(super) fn prices(&mut self, cells: &[Cell<'_>], rate: &mut Rate, status: RowStatus) -> Result<(), Fault> {
        rate.status = status;
        for (field, into) in [
            (Field::InterRate, &mut rate.inter_rate),
            (Field::IntraRate, &mut rate.intra_rate),
            (Field::IndeterminateRate, &mut rate.indeterminate_rate),
        ] {
            *into = self.price(cells, field)?;
        }
        let closed = status != RowStatus::Open;
        let base =
            if closed && self.price(cells, Field::Rate).is_err() { None } else { self.price(cells, Field::Rate)? };
        let first = self.price(cells, Field::FirstRate)?.or(base);
        let next = self.price(cells, Field::NextRate)?.or(base);
        let jurisdictional = rate.inter_rate.max(rate.intra_rate);
        let free = |price: Option<Price>| price == Some(Price(0));
        if !closed
            && !self.template.zero_is_free
            && free(first.or(next).or(jurisdictional))
            && free(next.or(first).or(jurisdictional))
        {
            let field = self.price_field();
            return Err(Fault::new(
                field,
                "the price is 0",
                "ask the carrier for the price; where it is meant to be free, say so: --zero-is-free",
            ));
        }
        match (first.or(next), next.or(first), jurisdictional) {
            (Some(first), Some(next), _) => (rate.first_rate, rate.next_rate) = (first, next),
            (_, _, Some(dearer)) => (rate.first_rate, rate.next_rate) = (dearer, dearer),
            _ if closed => {}
            _ => {
                let field = self.price_field();
                return Err(Fault::new(
                    field,
                    "the price is empty",
                    "ask the carrier for the price, or mark the row as blocked or discontinued",
                ));
            }
        }
        Ok(())
    }

    /// The column that is named where a row has no price.
    fn price_field(&self) -> Field {
        [Field::Rate, Field::NextRate, Field::FirstRate, Field::InterRate]
            .into_iter()
            .find(|field| self.columns.contains_key(field))
            .unwrap_or(Field::Rate)
    }

    fn price(&self, cells: &[Cell<'_>], field: Field) -> Result<Option<Price>, Fault> {
        let cell = self.cell(cells, field);
        let fault = |(reason, advice)| Fault::new(field, reason, advice);
        let price = price::price(cell, self.currency, self.template.decimal_mark).map_err(fault)?;
        match (price, self.units.get(&field)) {
            (Some(price), Some(unit)) => {
                let scaled = if unit.per_second { price.0.checked_mul(60) } else { Some(price.0) };
                let scaled = scaled.filter(|value| !unit.cents || value % 100 == 0);
                let scaled = scaled.map(|value| if unit.cents { value / 100 } else { value });
                let reason = || format!("the price {cell} has more than 10 decimals in the currency, or is too large");
                let exact = scaled.ok_or_else(|| Fault::new(field, reason(), "round it"))?;
                Ok(Some(Price(exact)))
            }
            (price, _) => Ok(price),
        }
    }

    pub(super) fn intervals(&mut self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        let both = match self.cell(cells, Field::Increment) {
            Cell::Empty => None,
            cell => Some(self.increment(&cell.to_string())?),
        };
        let first = self.seconds(cells, Field::FirstInterval)?;
        let next = self.seconds(cells, Field::NextInterval)?;
        let (first, next) = match (both, first, next) {
            (None, None, None) => {
                let country = self.layout.country.and_then(|at| cells.get(at)).map(ToString::to_string);
                let known = self.increment_of(&rate.destination, country.as_deref().unwrap_or_default());
                self.assumed.no_increment(known.is_some());
                known.unwrap_or(PER_SECOND)
            }
            (Some((a, b)), first, next) => (first.unwrap_or(a), next.unwrap_or(b)),
            (None, Some(first), next) => (first, next.unwrap_or(first)),
            (None, None, Some(next)) => (next, next),
        };
        if next == 0 {
            let field = if both.is_some() { Field::Increment } else { Field::NextInterval };
            return Err(Fault::new(field, "the next interval is 0 seconds", "give it at least 1 second"));
        }
        (rate.first_interval, rate.next_interval) = (first, next);
        Ok(())
    }

    /// What the notice or the template says for a destination: the exception that its name, or its country's, begins
    /// with, else the deck's.
    fn increment_of(&mut self, destination: &SmolStr, country: &str) -> Option<Increment> {
        if self.increments.is_empty() {
            return self.increment;
        }
        if let Some((name, of, increment)) = &self.increment_memo
            && name == destination
            && of == country
        {
            return *increment;
        }
        let (words, country_words) = (words_of(destination), words_of(country));
        let fits = |begin: &Vec<String>| begins(&words, begin) || begins(&country_words, begin);
        let found = self.increments.iter().position(|(begin, ..)| fits(begin));
        if let Some(at) = found {
            self.excepted[at] = true;
        }
        let increment = found.map(|at| self.increments[at].2).or(self.increment);
        self.increment_memo = Some((destination.clone(), country.into(), increment));
        increment
    }

    fn increment(&self, text: &str) -> Result<(u32, u32), Fault> {
        let read = |part: &str| part.trim().parse::<u32>().ok().filter(|seconds| *seconds <= INTERVAL_MAX);
        let bare = text.trim_matches(|c: char| c == '(' || c == ')' || c.is_whitespace());
        let bare = ["seconds", "secs", "sec", "s"].into_iter().find_map(|unit| bare.strip_suffix(unit)).unwrap_or(bare);
        let pair = match bare.split_once(['/', '+', '-', ':', '\\', '|', 'x', ',', ';']) {
            Some((first, next)) => read(first).zip(read(next)),
            None => read(bare).map(|seconds| (seconds, seconds)),
        };
        pair.ok_or_else(|| {
            Fault::new(
                Field::Increment,
                format!("{text:?} is no increment"),
                "write first and next interval in seconds, as 60/1",
            )
        })
    }

    fn seconds(&self, cells: &[Cell<'_>], field: Field) -> Result<Option<u32>, Fault> {
        let cell = self.cell(cells, field);
        if cell.is_empty() {
            return Ok(None);
        }
        let text = cell.to_string();
        text.parse().ok().filter(|seconds| *seconds <= INTERVAL_MAX).map(Some).ok_or_else(|| {
            Fault::new(field, format!("{text:?} is no number of seconds"), "write whole seconds up to 86400")
        })
    }

    pub(super) fn fees(&self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        rate.connect_fee = self.price(cells, Field::ConnectFee)?.unwrap_or_default();
        rate.settings.attempt_fee = self.price(cells, Field::AttemptFee)?;
        rate.settings.disconnect_fee = self.price(cells, Field::DisconnectFee)?;
        rate.free = self.seconds(cells, Field::FreeSeconds)?.map_or(0, |seconds| i64::from(seconds) * 1_000_000);
        rate.settings.grace = self.seconds(cells, Field::GraceSeconds)?.map(|seconds| i64::from(seconds) * 1_000_000);
        Ok(())
    }

    pub(super) fn dates(&mut self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        rate.valid_from = match self.date(cells, Field::ValidFrom)? {
            Some(from) => Some(from),
            None => {
                self.assumed.no_date(self.valid_from.is_some());
                self.valid_from
            }
        };
        rate.valid_until = self.date(cells, Field::ValidUntil)?;
        match (rate.valid_from, rate.valid_until) {
            (Some(from), Some(until)) if until <= from => {
                Err(Fault::new(Field::ValidUntil, "the row ends before it begins", "correct one of its two dates"))
            }
            _ => Ok(()),
        }
    }

    fn date(&mut self, cells: &[Cell<'_>], field: Field) -> Result<Option<i64>, Fault> {
        const ADVICE: &str = "write it as YYYY-MM-DD, or say how dates are meant: --date-order";
        let cell = self.cell(cells, field);
        let written = match cell {
            Cell::Empty => return Ok(None),
            cell => cell.to_string(),
        };
        if let Some((text, micros)) = &self.date
            && *text == written
        {
            return Ok(Some(*micros));
        }
        if matches!(written.to_lowercase().as_str(), "asap" | "immediately" | "immediate" | "now") {
            return self.issued_at.map(Some).ok_or_else(|| {
                Fault::new(
                    field,
                    format!("{written:?} needs the deck's date of issue"),
                    "say when it was issued: --issued 2023-05-09",
                )
            });
        }
        let micros = match date::moment(cell, self.order).map_err(|reason| Fault::new(field, reason, ADVICE))? {
            Moment::Instant(micros) => micros,
            Moment::Civil(read) => {
                let at = date::in_zone(read.at, &self.zone);
                at.ok_or_else(|| Fault::new(field, format!("{written:?} is beyond the calendar"), ADVICE))?
            }
        };
        self.date = Some((written, micros));
        Ok(Some(micros))
    }

    pub(super) fn conditions(&mut self, cells: &[Cell<'_>], rate: &mut Rate) -> Result<(), Fault> {
        let destination = self.cell(cells, Field::Destination);
        if let Cell::Text(text) = destination
            && *text != self.destination.as_str()
        {
            self.destination = SmolStr::new(text);
        } else if !matches!(destination, Cell::Text(_)) {
            self.destination = SmolStr::new(destination.to_string());
        }
        rate.destination = self.destination.clone();
        let origin = self.cell(cells, Field::Origin).to_string();
        rate.origin = (!origin.is_empty()).then(|| origin.into());
        let time_type = self.cell(cells, Field::TimeType).to_string();
        let is = |known: &str| known.eq_ignore_ascii_case(&time_type);
        if time_type.is_empty()
            || FLAT.iter().any(|word| is(word))
            || self.template.flat_time_types.iter().any(|w| is(w))
        {
            return Ok(());
        }
        match self.template.time_bands.iter().find(|band| is(band)) {
            Some(band) => rate.time_band = Some(band.clone()),
            None => {
                return Err(Fault::new(
                    Field::TimeType,
                    format!("time type {time_type:?} is not known"),
                    "declare it in the template as a time band or as meaning always",
                ));
            }
        }
        Ok(())
    }
}
