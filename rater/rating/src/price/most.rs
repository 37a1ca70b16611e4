//! What a call by a row can cost at most, before it begins: fees and first interval, and one further interval at the
//! dearest rate that it can meet (steps, bands, the caller's origin). A hold counts with it (design 5); the call is
//! charged by `price` as ever.

use facts::deck::{Price, Step};
use facts::xdr::Unrated;

use super::{Ask, Jurisdiction, Pricing, SECOND, Terms, exchange, price};
use crate::deck::{Chosen, CompiledDeck};
use crate::exact::Exact;

/// Exact net amounts in the account's currency.
pub(crate) struct Most {
    pub first: Exact,
    pub first_seconds: u32,
    /// Never below zero.
    pub next: Exact,
    pub next_seconds: u32,
    /// One minute at the dearest rate, fees left out.
    pub minute: Exact,
}

/// Seconds of a further interval where steps have increments of their own.
const STEP_INTERVAL: u32 = 60;

pub(crate) fn most(
    deck: &CompiledDeck,
    chosen: Chosen,
    terms: &Terms,
    rated_at: i64,
    exchange_rate: i64,
    jurisdiction: Jurisdiction,
) -> Result<Most, Unrated> {
    let row = deck.row(chosen.row);
    let extra = deck.row_extra(chosen.row);
    let steps: &[Step] = extra.map_or(&[], |extra| &extra.steps);
    let next_seconds = if steps.is_empty() { row.next_interval } else { STEP_INTERVAL };
    let first_seconds = if row.first_interval > 0 && steps.is_empty() { row.first_interval } else { next_seconds };
    let grace = [extra.and_then(|extra| extra.settings.grace), deck.settings.grace, terms.settings.grace];
    // A call as long as the grace time is no longer free.
    let grace = grace.into_iter().flatten().max().unwrap_or(0);
    let ask = Ask {
        rated_at,
        duration: (i64::from(first_seconds) * SECOND).max(grace),
        answered: true,
        attempted: true,
        jurisdiction,
        exchange_rate,
    };
    let first = price(deck, chosen, terms, &ask, &mut ())?.exact_net;
    let pricing = Pricing { deck, chosen, row, extra, ask: &ask, start: rated_at };
    let dearest = pricing.dearest(steps, next_seconds)?;
    let beyond = exchange(dearest.beyond, &ask, &mut ())?;
    Ok(Most {
        first: first.checked_add(beyond).ok_or(Unrated::AmountRange)?,
        first_seconds,
        next: exchange(dearest.next, &ask, &mut ())?,
        next_seconds,
        minute: exchange(dearest.minute, &ask, &mut ())?,
    })
}

struct Dearest {
    next: Exact,
    minute: Exact,
    beyond: Exact,
}

impl Pricing<'_> {
    /// The dearest way that `seconds` can be billed after the first interval, never below zero.
    fn dearest(&self, steps: &[Step], seconds: u32) -> Result<Dearest, Unrated> {
        let mut all = Dearest { next: Exact::ZERO, minute: Exact::ZERO, beyond: Exact::ZERO };
        let surcharge = self.chosen.added().map_or(Price(0), |add| self.deck.row(add).next_rate);
        let crosses = self.deck.crosses_bands(self.chosen.row);
        for step in steps {
            all.meet(step.rate, step.per, step.increment, surcharge, seconds)?;
        }
        if steps.is_empty() {
            for index in self.deck.sisters(self.chosen.row, crosses, self.ask.rated_at) {
                let row = self.deck.row(index);
                let rates = self.rates(row, self.deck.row_extra(index))?;
                let rate = if crosses { rates.next.max(rates.first) } else { rates.next };
                all.meet(rate, 60, row.next_interval, Price(0), seconds)?;
                all.minute = dearer(all.minute, minute(rates.first)?)?;
            }
            if !crosses {
                // Intervals of one row fit: nothing is billed beyond them.
                all.beyond = Exact::ZERO;
            }
        }
        Ok(all)
    }
}

impl Dearest {
    fn meet(&mut self, rate: Price, per: u32, increment: u32, surcharge: Price, seconds: u32) -> Result<(), Unrated> {
        let cost = |time: u32| -> Option<Exact> {
            let mut exact = Exact::ZERO;
            exact.add_time(rate, i64::from(time), per)?;
            exact.add_time(surcharge, i64::from(time), 60)?;
            Some(exact)
        };
        self.next = dearer(self.next, cost(seconds).ok_or(Unrated::AmountRange)?)?;
        self.minute = dearer(self.minute, cost(60).ok_or(Unrated::AmountRange)?)?;
        let once = dearer(Exact::ZERO, cost(increment.max(1)).ok_or(Unrated::AmountRange)?)?;
        self.beyond = self.beyond.checked_add(once).ok_or(Unrated::AmountRange)?;
        Ok(())
    }
}

fn minute(rate: Price) -> Result<Exact, Unrated> {
    let mut exact = Exact::ZERO;
    exact.add_time(rate, 60, 60).ok_or(Unrated::AmountRange)?;
    Ok(exact)
}

fn dearer(a: Exact, b: Exact) -> Result<Exact, Unrated> {
    Ok(if a.checked_cmp(b).ok_or(Unrated::AmountRange)?.is_lt() { b } else { a })
}
