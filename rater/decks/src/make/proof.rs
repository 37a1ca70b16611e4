//! A price behind the roundings of the agreements around it: each call length at which they could take the margin away is
//! counted through, and the price raised where they do. Both errors are below two units of money a call, so a price that
//! is a little above what is needed is proved by the shortest calls alone.

use super::durations::{Steps, period};
use super::offer::Choice;
use super::price::{Deal, Need, Pricer};
use super::ratio::Ratio;
use super::recipe::FloorBy;
use super::{MakeError, Rounds};
use facts::deck::Price;

impl Pricer<'_> {
    /// Raises `price` until what is charged covers what is paid with its margin; the duration that decided, if one did.
    pub(super) fn behind_roundings(
        &self,
        need: &Need<'_>,
        deal: &Deal,
        price: &mut Price,
    ) -> Result<Option<u32>, MakeError> {
        if self.selling.rounds.is_empty() && self.buys.iter().all(|buy| buy.rounds.is_empty()) {
            return Ok(None);
        }
        let raised = match self.recipe.floor {
            FloorBy::EveryCall => self.each_call(need, deal, price),
            FloorBy::Profile => self.whole_profile(need, deal, price),
        };
        raised.ok_or_else(|| self.range_of(need.choice))?
    }

    /// Calls one sell step after the other, until the price stands further above its need than any rounding can take.
    fn each_call(&self, need: &Need<'_>, deal: &Deal, price: &mut Price) -> Option<Result<Option<u32>, MakeError>> {
        let sell = deal.sell;
        let (start, end) = (sell.billed(self.recipe.shortest), sell.billed(self.recipe.longest));
        let most = self.most_rounded(need.choice, deal)?;
        let until = self.repeats(need.choice, deal, *price, end);
        let (mut at, mut decided) = (start, None);
        loop {
            let above = Ratio::whole(i128::from(price.0)).minus(need.rate)?;
            if above.times(i128::from(at), 60)? >= most || (above <= Ratio::ZERO && at > until) {
                return Some(Ok(decided));
            }
            let paid = match self.choice_cost(need.choice, at.saturating_add(self.more), true) {
                Ok(paid) => paid,
                Err(error) => return Some(Err(error)),
            };
            let needed = deal.exact_rate(self.charged_for(deal.wanted(paid, i128::from(at))?)?, 1, i128::from(at))?;
            if needed > Ratio::whole(i128::from(price.0)) {
                *price = self.rounded(needed)?;
                decided = Some(at);
            }
            let next = sell.billed(at.saturating_add(1));
            if next <= at || next > end {
                return Some(Ok(decided));
            }
            at = next;
        }
    }

    /// Most that roundings can take of one call.
    fn most_rounded(&self, choice: &Choice, deal: &Deal) -> Option<Ratio> {
        let units = |rounds: &[Rounds]| {
            rounds.iter().try_fold(Ratio::ZERO, |most, rounds| rounds.unit().map(|unit| most.max(unit)))
        };
        let (num, den) = deal.margin.factor();
        let mut bought = Ratio::ZERO;
        for term in choice.iter().flatten() {
            let buy = self.buys.get(term.buy)?;
            bought = bought.max(self.in_sold(units(buy.rounds)?, buy)?);
        }
        units(self.selling.rounds)?.plus(bought.times(num, den)?)
    }

    /// After this duration a price that is exactly what is needed is rounded as before: both sides' amounts of a period
    /// are whole units of money. The longest call where they are not.
    fn repeats(&self, choice: &Choice, deal: &Deal, price: Price, longest: u32) -> u32 {
        let terms: Vec<_> = choice.iter().flatten().copied().collect();
        let even = |rounds: &[Rounds], rates: &[Price]| {
            rounds.iter().all(|rounds| {
                let on = |unit| rates.iter().all(|rate| Ratio::whole(i128::from(rate.0)).on(unit));
                rounds.exchange == Rounds::default().exchange && rounds.unit().is_some_and(on)
            })
        };
        let whole = terms.iter().all(|term| {
            let buy = self.buys.get(term.buy);
            buy.is_some_and(|buy| {
                buy.exchange == Rounds::default().exchange && even(buy.rounds, &[term.first, term.next])
            })
        });
        let steps: Option<Vec<Steps>> = terms.iter().map(|term| self.steps(*term)).collect();
        let Some(steps) = steps.filter(|_| whole && even(self.selling.rounds, &[price])) else { return longest };
        let minutes = period(deal.sell, &steps).saturating_mul(60);
        let marks = steps.iter().flat_map(|steps| steps.marks()).filter(|mark| *mark < u32::MAX).max().unwrap_or(0);
        marks.saturating_add(minutes.saturating_mul(2)).min(longest)
    }

    /// The least exact amount for which every agreement charges so much.
    pub(super) fn charged_for(&self, wanted: Ratio) -> Option<Ratio> {
        let mut least = self.selling.rounds.iter().map(|rounds| rounds.least(wanted));
        let Some(first) = least.next() else { return Some(wanted) };
        least.try_fold(first?, |most, least| Some(most.max(least?)))
    }

    /// All calls of the profile together, each rounded for itself.
    fn whole_profile(&self, need: &Need<'_>, deal: &Deal, price: &mut Price) -> Option<Result<Option<u32>, MakeError>> {
        let (mut paid, mut calls, mut billed) = (Ratio::ZERO, 0i128, 0i128);
        for (seconds, weight) in &self.recipe.profile {
            let weight = i128::from(*weight);
            let cost = match self.choice_cost(need.choice, seconds.saturating_add(self.more), true) {
                Ok(cost) => cost,
                Err(error) => return Some(Err(error)),
            };
            paid = paid.plus(cost.times(weight, 1)?)?;
            (calls, billed) = (calls + weight, billed + weight * i128::from(deal.sell.billed(*seconds)));
        }
        let wanted = deal.wanted(paid, billed)?;
        let needed = self.rounded(deal.exact_rate(wanted, calls, billed)?)?;
        *price = (*price).max(needed);
        let unit = self.selling.rounds.iter().filter_map(|rounds| rounds.unit()).max().unwrap_or(Ratio::ZERO);
        let falls_short = |price: Price, rounds: &Rounds| {
            let mut charged = Ratio::ZERO;
            for (seconds, weight) in &self.recipe.profile {
                let seconds = i128::from(deal.sell.billed(*seconds));
                let exact = Ratio::whole(i128::from(price.0)).times(seconds, 60)?.plus(deal.fees())?;
                charged = charged.plus(rounds.rounded(exact)?.times(i128::from(*weight), 1)?)?;
            }
            Some(charged < wanted)
        };
        for rounds in self.selling.rounds {
            if falls_short(*price, rounds)? {
                // A unit more for each call is more than any rounding takes.
                let more = unit.times(calls, 1)?.times(60, billed)?;
                *price = self.rounded(Ratio::whole(i128::from(price.0)).plus(more)?)?;
            }
        }
        Some(Ok(None))
    }
}
