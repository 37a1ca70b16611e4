//! What numbers cost by the LCR position asked for, and the price that covers it with its margin: for each deciding
//! duration, or for the profile as a whole. All in exact fractions; the one rounding is up.

use super::cells::{Cell, Frame};
use super::durations::{Deciding, Steps};
use super::offer::{Asked, Choice, Term, added};
use super::ratio::Ratio;
use super::recipe::{
    AttemptFee, ConnectFee, FewerVendors, FloorBy, Increments, Margin, Position, WHOLE, WithoutVendor,
};
use super::rounds::{Rounds, more_seconds};
use super::{Buy, Code, Decider, Made, MakeError, Recipe, Rule, Selling, Why};
use crate::life::RowRef;
use crate::life::charge::{charge_with, counted};
use crate::life::rows::OPEN;
use facts::Prefix;
use facts::deck::{Price, RATE_SCALE, Rate, RowStatus, Settings};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// Denominator of an exchange rate.
const EXCHANGE: i128 = 100_000_000;

/// What a price must be.
pub(super) struct Need<'c> {
    /// A minute, before any rounding.
    pub rate: Ratio,
    rule: Rule,
    seconds: u32,
    cost: Ratio,
    pub choice: &'c Choice,
    cell: Prefix,
}

/// What a sell row has beside its rate.
pub(super) struct Deal {
    pub sell: Steps,
    connect: Price,
    attempt: Price,
    pub margin: Margin,
}

impl Deal {
    /// What an answered call pays beside its time.
    pub fn fees(&self) -> Ratio {
        Ratio::whole(i128::from(self.connect.0) + i128::from(self.attempt.0))
    }

    /// What calls of so many billed seconds that cost so much must bring.
    pub fn wanted(&self, cost: Ratio, billed: i128) -> Option<Ratio> {
        let ((num, den), margin) = (self.margin.factor(), self.margin);
        let minutes = |price: Price| Ratio::whole(i128::from(price.0)).times(billed, 60);
        let wanted = cost.times(num, den)?.plus(minutes(margin.amount)?)?;
        Some(wanted.max(cost.plus(minutes(margin.minimum)?)?))
    }

    /// The rate a minute by which so many calls bring so much money.
    pub fn exact_rate(&self, money: Ratio, calls: i128, billed: i128) -> Option<Ratio> {
        money.minus(self.fees().times(calls, 1)?)?.times(60, billed)
    }

    /// The rate a minute that these calls need, by which rule, and the one that covers their cost alone.
    fn rate(&self, cost: Ratio, calls: i128, billed: i128) -> Option<(Ratio, Rule, Ratio)> {
        let (num, den) = self.margin.factor();
        let over = |money: Ratio| self.exact_rate(money, calls, billed);
        let covers = over(cost)?.max(Ratio::ZERO);
        let amount = Ratio::whole(i128::from(self.margin.amount.0));
        let wanted = over(cost.times(num, den)?)?.max(Ratio::ZERO).plus(amount)?;
        let least = covers.plus(Ratio::whole(i128::from(self.margin.minimum.0)))?;
        Some(if least > wanted { (least, Rule::Minimum, covers) } else { (wanted, Rule::Margin, covers) })
    }
}

/// What a vendor's price depends on: vendor, both rates, seconds beyond the end, the place of the rest in memory, that of
/// the added row.
type TermKey = (usize, Price, Price, u32, usize, Option<usize>);

pub(super) struct Pricer<'a> {
    pub recipe: &'a Recipe,
    pub buys: &'a [Buy<'a>],
    pub selling: &'a Selling<'a>,
    /// Seconds by which a vendor may count a call longer than we do.
    pub more: u32,
    deciding: Deciding,
    /// What terms cost over the profile.
    profiled: HashMap<TermKey, Ratio>,
}

impl<'a> Pricer<'a> {
    pub fn new(recipe: &'a Recipe, buys: &'a [Buy<'a>], selling: &'a Selling<'a>) -> Self {
        let bought: Vec<Rounds> = buys.iter().flat_map(|buy| buy.rounds.iter().copied()).collect();
        let more = more_seconds(selling.rounds, &bought);
        Self { recipe, buys, selling, more, deciding: Deciding::default(), profiled: HashMap::new() }
    }

    /// The vendors in order of what they cost over the profile, cut by no position yet: codes may have their own.
    pub fn choose(&mut self, stack: &[Frame], at: i64) -> Result<Choice, MakeError> {
        let mut offers: Vec<(Ratio, Vec<Term>)> = Vec::new();
        for vendor in 0..self.buys.len() {
            let asked = Asked { stack, buys: self.buys, vendor, at };
            let Some(terms) = asked.terms(self.recipe.conditions) else { continue };
            let mut dearest = Ratio::ZERO;
            for term in &terms {
                dearest = dearest.max(self.over_profile(*term)?);
            }
            offers.push((dearest, terms));
        }
        // Stable: of equal vendors the one named first.
        offers.sort_by_key(|(cost, _)| *cost);
        Ok(offers.into_iter().map(|(_, terms)| terms).collect())
    }

    fn row(&self, term: Term) -> Option<RowRef<'a>> {
        self.buys.get(term.buy)?.rows.get(term.row)
    }

    fn range(&self, term: Term) -> MakeError {
        MakeError::Range { prefix: self.row(term).map(RowRef::prefix).unwrap_or_default() }
    }

    fn added_row(&self, term: Term) -> Option<RowRef<'a>> {
        self.buys.get(term.buy)?.rows.get(term.add?)
    }

    /// An amount of a buy deck in the sell deck's currency.
    pub(super) fn in_sold(&self, amount: Ratio, buy: &Buy<'_>) -> Option<Ratio> {
        amount.times(i128::from(buy.exchange), EXCHANGE)
    }

    /// Fee of each attempt, the origin's among them, in 10^-10 of the vendor's currency.
    fn attempt_fee(&self, term: Term) -> i128 {
        let fee = |row: Option<RowRef<'_>>| row.and_then(|row| row.body.settings.attempt_fee).map_or(0, |fee| fee.0);
        i128::from(fee(self.row(term))) + i128::from(fee(self.added_row(term)))
    }

    /// What is paid for an amount by the agreements of a buy deck, the most of them.
    fn paid(buy: &Buy<'_>, exact: Ratio, rounded: bool) -> Option<Ratio> {
        let by = buy.rounds.iter().filter(|_| rounded).map(|rounds| rounds.rounded(exact));
        by.reduce(|most, next| Some(most?.max(next?))).unwrap_or(Some(exact))
    }

    /// What an answered call costs, in the sell deck's currency: its attempt fee too, and where the rate has to bring
    /// them, those of the calls without an answer that come with it.
    fn cost(&self, term: Term, seconds: u32, rounded: bool) -> Result<Ratio, MakeError> {
        let of = || {
            let (row, buy) = (self.row(term)?, self.buys.get(term.buy)?);
            let of_origin = added(self.added_row(term));
            let charged = |body: &Rate| {
                let charge = charge_with(term.first, term.next, body, of_origin, seconds, buy.rule)?;
                Ratio::new(charge.numerator, charge.over)
            };
            let charge = match term.over {
                0 => charged(row.body)?,
                over => charged(&by_the_second(row.body))?.plus(beyond(term, row.body, seconds, over)?)?,
            };
            let fee = Ratio::whole(self.attempt_fee(term));
            let mut cost = Self::paid(buy, charge.plus(fee)?, rounded)?;
            if self.recipe.attempt_fee == AttemptFee::InRate && fee != Ratio::ZERO {
                let (all, answered) = (i128::from(WHOLE), i128::from(self.recipe.answer_ratio));
                cost = cost.plus(Self::paid(buy, fee, rounded)?.times(all - answered, answered)?)?;
            }
            self.in_sold(cost, buy)
        };
        of().ok_or_else(|| self.range(term))
    }

    fn over_profile(&mut self, term: Term) -> Result<Ratio, MakeError> {
        let body = self.row(term).map_or(0, |row| std::ptr::from_ref(row.body).addr());
        let key = (term.buy, term.first, term.next, term.over, body, term.add);
        if let Some(known) = self.profiled.get(&key) {
            return Ok(*known);
        }
        let mut sum = Ratio::ZERO;
        for (seconds, weight) in &self.recipe.profile {
            let part = self.cost(term, *seconds, false)?.times(i128::from(*weight), 1);
            sum = part.and_then(|part| sum.plus(part)).ok_or_else(|| self.range(term))?;
        }
        self.profiled.insert(key, sum);
        Ok(sum)
    }

    /// What a call costs by a choice: the mean of its vendors, each by the dearest that the call may pay.
    pub(super) fn choice_cost(&self, choice: &Choice, seconds: u32, rounded: bool) -> Result<Ratio, MakeError> {
        let mut sum = Ratio::ZERO;
        for terms in choice {
            let mut dearest = Ratio::ZERO;
            for term in terms {
                dearest = dearest.max(self.cost(*term, seconds, rounded)?);
            }
            sum = sum.plus(dearest).ok_or_else(|| self.range_of(choice))?;
        }
        sum.times(1, i128::try_from(choice.len().max(1)).unwrap_or(1)).ok_or_else(|| self.range_of(choice))
    }

    pub(super) fn range_of(&self, choice: &Choice) -> MakeError {
        choice.iter().flatten().next().map_or(MakeError::Range { prefix: Prefix::default() }, |term| self.range(*term))
    }

    /// The rows of one sell code.
    pub fn price(&mut self, code: &Code, cells: &[Cell], effective: i64, made: &mut Made) -> Result<(), MakeError> {
        let exception = self.recipe.exception(code.prefix, &code.destination);
        let listed = |blocked: &Prefix| code.prefix.truncate(blocked.len()) == *blocked;
        let blocked = exception.is_some_and(|exception| exception.blocked) || self.recipe.blocked.iter().any(listed);
        let margin = exception.map_or(self.recipe.margin, |exception| exception.margin);
        let position = exception.map_or(self.recipe.position, |exception| exception.position);
        let mut instants: Vec<i64> = cells.iter().flat_map(|cell| cell.pieces.iter().map(|piece| piece.from)).collect();
        instants.push(effective);
        instants.sort_unstable();
        instants.dedup();
        let mut rows: Vec<(Rate, Why)> = Vec::new();
        for from in instants {
            let (rate, why) = if blocked {
                blocked_row(code, from, Rule::Blocked, (0, 0))
            } else {
                self.at(code, cells, from, margin, position)?
            };
            match rows.last_mut() {
                Some((last, reason)) if same(last, &rate) && reason.rule == why.rule => {}
                _ => rows.push((rate, why)),
            }
        }
        self.emit(rows, made);
        Ok(())
    }

    fn emit(&self, rows: Vec<(Rate, Why)>, made: &mut Made) {
        let begins: Vec<i64> = rows.iter().map(|(_, why)| why.from).collect();
        for (at, (mut rate, mut why)) in rows.into_iter().enumerate() {
            why.until = begins.get(at + 1).copied().unwrap_or(OPEN);
            rate.valid_until = (why.until != OPEN).then_some(why.until);
            if why.rule == Rule::NoVendor && self.recipe.without_vendor == WithoutVendor::LeftOut {
                made.left_out += 1;
                continue;
            }
            made.rates.push(rate);
            made.whys.push(why);
        }
    }

    /// The row of a code from an instant on.
    fn at(
        &mut self,
        code: &Code,
        cells: &[Cell],
        from: i64,
        margin: Margin,
        position: Position,
    ) -> Result<(Rate, Why), MakeError> {
        let mut without = 0;
        // Cells are many, what they cost is not.
        let mut choices: BTreeMap<Choice, (Prefix, u64)> = BTreeMap::new();
        for cell in cells {
            let piece = cell.pieces.iter().rev().find(|piece| piece.from <= from);
            match piece.map(|piece| self.cut(&piece.choice, position)).filter(|choice| !choice.is_empty()) {
                None => without += 1,
                Some(choice) => choices.entry(choice).or_insert((cell.prefix, 0)).1 += 1,
            }
        }
        let taken: u64 = choices.values().map(|(_, count)| count).sum();
        if choices.is_empty() {
            return Ok(blocked_row(code, from, Rule::NoVendor, (0, without)));
        }
        let choices: Vec<(Choice, Prefix)> = choices.into_iter().map(|(choice, (cell, _))| (choice, cell)).collect();
        let (first, next) = self.increments(&choices)?;
        let (connect, attempt) = (self.fee(&choices, margin, code)?, self.passed_attempt(&choices, margin, code)?);
        let deal = Deal { sell: Steps::new(first, next, self.selling.rule), connect, attempt, margin };
        let mut need: Option<Need<'_>> = None;
        let mut needs = Vec::with_capacity(choices.len());
        for (choice, cell) in &choices {
            let found = self.need(choice, *cell, &deal)?;
            needs.push(Need { choice, ..found });
            if need.as_ref().is_none_or(|need| found.rate > need.rate) {
                need = Some(found);
            }
        }
        let range = || MakeError::Range { prefix: code.prefix };
        let mut need = need.ok_or_else(range)?;
        let mut price = self.rounded(need.rate).ok_or_else(range)?;
        for each in needs {
            if let Some(seconds) = self.behind_roundings(&each, &deal, &mut price)? {
                need = Need { seconds, rule: Rule::Rounding, ..each };
            }
        }
        let decider = self.decider(&need);
        let attempt_fee = (attempt.0 != 0).then_some(attempt);
        let rate = Rate {
            connect_fee: connect,
            valid_from: Some(from),
            settings: Settings { attempt_fee, ..Settings::default() },
            ..Rate::simple(code.prefix, &code.destination, first, next, price)
        };
        let (prefix, destination, rule) = (code.prefix, code.destination.clone(), need.rule);
        let why =
            Why { prefix, destination, from, until: OPEN, rule, decider, cells: taken, without_vendor: without, price };
        Ok((rate, why))
    }

    /// The vendors of a position.
    fn cut(&self, choice: &Choice, position: Position) -> Choice {
        let wanted = position.vendors();
        if choice.len() < wanted && self.recipe.fewer_vendors == FewerVendors::LeaveOut {
            return Choice::new();
        }
        match position {
            Position::Nth(_) => choice.get(wanted.min(choice.len()).saturating_sub(1)).cloned().into_iter().collect(),
            Position::AverageOf(_) => choice.iter().take(wanted).cloned().collect(),
        }
    }

    fn increments(&mut self, choices: &[(Choice, Prefix)]) -> Result<(u32, u32), MakeError> {
        if let Increments::Fixed(first, next) = self.recipe.increments {
            return Ok((first, next));
        }
        let mut dearest: Option<(Ratio, (u32, u32))> = None;
        for term in choices.iter().flat_map(|(choice, _)| choice.iter().flatten()) {
            let cost = self.over_profile(*term)?;
            let Some(row) = self.row(*term) else { continue };
            if dearest.is_none_or(|(most, _)| cost > most) {
                dearest = Some((cost, (row.body.first_interval, row.body.next_interval.max(1))));
            }
        }
        Ok(dearest.map_or((1, 1), |(_, increments)| increments))
    }

    /// The connect fee: the greatest of those that count, with the percentage.
    fn fee(&self, choices: &[(Choice, Prefix)], margin: Margin, code: &Code) -> Result<Price, MakeError> {
        let mut most = Ratio::ZERO;
        if self.recipe.connect_fee == ConnectFee::InRate {
            return Ok(Price(0));
        }
        let range = || MakeError::Range { prefix: code.prefix };
        for term in choices.iter().flat_map(|(choice, _)| choice.iter().flatten()) {
            let Some((row, buy)) = self.row(*term).zip(self.buys.get(term.buy)) else { continue };
            let own = added(Some(row)).fees + added(self.added_row(*term)).fees;
            most = most.max(self.in_sold(Ratio::whole(own), buy).ok_or_else(range)?);
        }
        let (num, den) = margin.factor();
        most.times(num, den).and_then(|fee| units_up(fee, self.recipe.decimals, &[])).ok_or_else(range)
    }

    /// The attempt fee that is passed on: what each call without an answer costs, with the percentage, behind both
    /// roundings.
    fn passed_attempt(&self, choices: &[(Choice, Prefix)], margin: Margin, code: &Code) -> Result<Price, MakeError> {
        if self.recipe.attempt_fee == AttemptFee::InRate {
            return Ok(Price(0));
        }
        let (num, den) = margin.factor();
        let mut most = Price(0);
        for term in choices.iter().flat_map(|(choice, _)| choice.iter().flatten()) {
            let (fee, buy) = (self.attempt_fee(*term), self.buys.get(term.buy));
            let Some(buy) = buy.filter(|_| fee != 0) else { continue };
            let sold = || {
                let paid = self.in_sold(Self::paid(buy, Ratio::whole(fee), true)?, buy)?;
                units_up(self.charged_for(paid.times(num, den)?)?, self.recipe.decimals, &[])
            };
            most = most.max(sold().ok_or(MakeError::Range { prefix: code.prefix })?);
        }
        Ok(most)
    }

    /// How a vendor's row counts seconds.
    pub(super) fn steps(&self, term: Term) -> Option<Steps> {
        let (row, buy) = self.row(term).zip(self.buys.get(term.buy))?;
        match term.over {
            0 => Steps::of(row.body, buy.rule),
            _ => Steps::of(&by_the_second(row.body), buy.rule),
        }
    }

    /// The least rate a minute that a choice allows, exactly.
    fn need<'c>(&mut self, choice: &'c Choice, cell: Prefix, deal: &Deal) -> Result<Need<'c>, MakeError> {
        let durations: Vec<(u32, u32)> = match self.recipe.floor {
            FloorBy::Profile => self.recipe.profile.clone(),
            FloorBy::EveryCall => {
                let buys = choice.iter().flatten().map(|term| self.steps(*term)).collect();
                let between = (self.recipe.shortest, self.recipe.longest);
                let deciding = self.deciding.of(deal.sell, buys, between, self.more);
                deciding.iter().map(|seconds| (*seconds, 1)).collect()
            }
        };
        let mut best: Option<Need<'c>> = None;
        let (mut all_cost, mut all_calls, mut all_billed) = (Ratio::ZERO, 0i128, 0i128);
        for (seconds, weight) in durations {
            let cost = self.choice_cost(choice, seconds.saturating_add(self.more), false)?;
            let billed = i128::from(deal.sell.billed(seconds));
            let found = if self.recipe.floor == FloorBy::Profile {
                let weight = i128::from(weight);
                let part = cost.times(weight, 1).and_then(|part| all_cost.plus(part));
                all_cost = part.ok_or_else(|| self.range_of(choice))?;
                (all_calls, all_billed) = (all_calls + weight, all_billed + weight * billed);
                (deal.rate(all_cost, all_calls, all_billed), 0)
            } else {
                (deal.rate(cost, 1, billed), seconds)
            };
            let ((needed, rule, covers), seconds) = (found.0.ok_or_else(|| self.range_of(choice))?, found.1);
            // Of the profile the last sum counts, of single calls the greatest.
            if seconds == 0 || best.as_ref().is_none_or(|best| needed > best.rate) {
                best = Some(Need { rate: needed, rule, seconds, cost: covers, choice, cell });
            }
        }
        best.ok_or_else(|| self.range_of(choice))
    }

    fn decider(&self, need: &Need<'_>) -> Option<Decider> {
        let terms = need.choice.iter().flatten();
        let costs = terms.filter_map(|term| Some((self.cost(*term, need.seconds.max(60), false).ok()?, *term)));
        let (_, term) = costs.max_by_key(|(cost, _)| *cost)?;
        let (row, buy, add) = (self.row(term)?, self.buys.get(term.buy)?, self.added_row(term));
        let fee = |fee: i128| i64::try_from(fee).ok().map(Price);
        Some(Decider {
            vendor: buy.name.clone(),
            cell: need.cell,
            code: row.prefix(),
            first_rate: term.first,
            next_rate: term.next,
            first_interval: row.body.first_interval,
            next_interval: row.body.next_interval,
            connect_fee: fee(
                i128::from(row.body.connect_fee.0) + add.map_or(0, |add| i128::from(add.body.connect_fee.0))
            )?,
            attempt_fee: fee(self.attempt_fee(term))?,
            origin: add.or(Some(row)).and_then(|row| row.body.origin.clone()),
            surcharge: add.map_or(Price(0), |add| add.row.next_rate),
            seconds: need.seconds,
            cost: units_up(need.cost, RATE_SCALE, &[])?,
        })
    }

    pub(super) fn rounded(&self, rate: Ratio) -> Option<Price> {
        units_up(rate, self.recipe.decimals, &self.recipe.endings)
    }
}

/// A row with increments of a second behind its first interval.
fn by_the_second(body: &Rate) -> Rate {
    Rate { next_interval: 1, ..body.clone() }
}

/// What increments of other hours may bill beyond the end of a call that has left its first interval.
fn beyond(term: Term, body: &Rate, seconds: u32, over: u32) -> Option<Ratio> {
    match counted(body, seconds) > i64::from(body.first_interval) * 1_000_000 {
        true => Ratio::whole(i128::from(term.next.0)).times(i128::from(over), 60),
        false => Some(Ratio::ZERO),
    }
}

/// Up to so many decimals and, where endings are named, to the next price whose last digit is one of them.
fn units_up(price: Ratio, decimals: u32, endings: &[u8]) -> Option<Price> {
    let unit = 10i128.checked_pow(RATE_SCALE.checked_sub(decimals)?)?;
    let mut count = price.times(1, unit)?.ceil();
    while !endings.is_empty() && !endings.iter().any(|digit| count.rem_euclid(10) == i128::from(*digit)) {
        count += 1;
    }
    i64::try_from(count.checked_mul(unit)?).ok().map(Price)
}

fn same(a: &Rate, b: &Rate) -> bool {
    let flat = |rate: &Rate| (rate.next_rate, rate.connect_fee, rate.first_interval, rate.next_interval, rate.status);
    flat(a) == flat(b) && a.settings == b.settings
}

fn blocked_row(code: &Code, from: i64, rule: Rule, (cells, without_vendor): (u64, u64)) -> (Rate, Why) {
    let rate = Rate {
        status: RowStatus::Blocked,
        valid_from: Some(from),
        ..Rate::simple(code.prefix, &code.destination, 1, 1, Price(0))
    };
    let (prefix, destination) = (code.prefix, code.destination.clone());
    let price = Price(0);
    (rate, Why { prefix, destination, from, until: OPEN, rule, decider: None, cells, without_vendor, price })
}
