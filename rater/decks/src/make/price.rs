//! What numbers cost by the LCR position asked for, and the price that covers it with its margin: for each deciding
//! duration, or for the profile as a whole. All in exact fractions; the one rounding is up.

use super::cells::{Cell, Frame};
use super::durations::{Deciding, Steps};
use super::ratio::Ratio;
use super::recipe::{Conditions, ConnectFee, FewerVendors, FloorBy, Increments, Margin, Position, WithoutVendor};
use super::{Buy, Code, Decider, Made, MakeError, Recipe, Rule, Why};
use crate::life::RowRef;
use crate::life::charge::charge;
use crate::life::rows::OPEN;
use facts::Prefix;
use facts::deck::{IntervalRule, OriginMode, Price, RATE_SCALE, Rate, RowStatus};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// Denominator of an exchange rate.
const EXCHANGE: i128 = 100_000_000;

/// One price of a vendor that a call may pay: a row, with one of its jurisdictions' rates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Term {
    buy: usize,
    row: usize,
    first: Price,
    next: Price,
}

/// The vendors whose cost counts for a cell; each with all that a call may pay. Empty = nobody takes it.
pub(super) type Choice = Vec<Vec<Term>>;

/// What a price must be.
struct Need<'c> {
    rate: Ratio,
    rule: Rule,
    seconds: u32,
    cost: Ratio,
    choice: &'c Choice,
    cell: Prefix,
}

pub(super) struct Pricer<'a> {
    recipe: &'a Recipe,
    buys: &'a [Buy<'a>],
    rule: IntervalRule,
    deciding: Deciding,
    /// What terms cost over the profile.
    profiled: HashMap<(usize, Price, Price, usize), Ratio>,
}

impl<'a> Pricer<'a> {
    pub fn new(recipe: &'a Recipe, buys: &'a [Buy<'a>], rule: IntervalRule) -> Self {
        Self { recipe, buys, rule, deciding: Deciding::default(), profiled: HashMap::new() }
    }

    /// The vendors in order of what they cost over the profile, cut by no position yet: codes may have their own.
    pub fn choose(&mut self, stack: &[Frame], at: i64) -> Result<Choice, MakeError> {
        let mut offers: Vec<(Ratio, Vec<Term>)> = Vec::new();
        for vendor in 0..self.buys.len() {
            let Some(terms) = self.offer(stack, vendor, at) else { continue };
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

    /// What a vendor asks for numbers of the innermost code then; `None` where he does not take them.
    fn offer(&self, stack: &[Frame], vendor: usize, at: i64) -> Option<Vec<Term>> {
        let (mut terms, mut for_all) = (Vec::new(), false);
        for frame in stack.iter().rev() {
            let range = frame.ranges.get(vendor)?.clone();
            let rows = range.filter_map(|index| Some((index, self.buys.get(vendor)?.rows.get(index)?)));
            let live: Vec<_> =
                rows.filter(|(_, row)| row.live(at) && row.body.origin_mode != OriginMode::Add).collect();
            let plain = live.iter().find(|(_, row)| row.plain());
            if plain.is_some_and(|(_, row)| row.status() == RowStatus::Blocked) {
                return None;
            }
            let only_plain = self.recipe.conditions == Conditions::Plain && plain.is_some();
            for (index, row) in &live {
                if row.status() == RowStatus::Blocked || (only_plain && !row.plain()) {
                    continue;
                }
                if reverse(row.body, row.row.first_rate, row.row.next_rate) {
                    return None;
                }
                for_all |= row.body.origin.is_none();
                push_terms(&mut terms, vendor, *index, *row);
            }
            if plain.is_some() {
                break;
            }
        }
        for_all.then_some(terms)
    }

    fn row(&self, term: Term) -> Option<RowRef<'a>> {
        self.buys.get(term.buy)?.rows.get(term.row)
    }

    fn range(&self, term: Term) -> MakeError {
        MakeError::Range { prefix: self.row(term).map(RowRef::prefix).unwrap_or_default() }
    }

    /// What a call costs, in the sell deck's currency.
    fn cost(&self, term: Term, seconds: u32) -> Result<Ratio, MakeError> {
        let of = || {
            let (row, buy) = (self.row(term)?, self.buys.get(term.buy)?);
            let charge = charge(term.first, term.next, row.body, seconds, buy.rule)?;
            Ratio::new(charge.numerator, charge.over)?.times(i128::from(buy.exchange), EXCHANGE)
        };
        of().ok_or_else(|| self.range(term))
    }

    fn over_profile(&mut self, term: Term) -> Result<Ratio, MakeError> {
        let body = self.row(term).map_or(0, |row| std::ptr::from_ref(row.body).addr());
        let key = (term.buy, term.first, term.next, body);
        if let Some(known) = self.profiled.get(&key) {
            return Ok(*known);
        }
        let mut sum = Ratio::ZERO;
        for (seconds, weight) in &self.recipe.profile {
            let part = self.cost(term, *seconds)?.times(i128::from(*weight), 1);
            sum = part.and_then(|part| sum.plus(part)).ok_or_else(|| self.range(term))?;
        }
        self.profiled.insert(key, sum);
        Ok(sum)
    }

    /// What a call costs by a choice: the mean of its vendors, each by the dearest that the call may pay.
    fn choice_cost(&self, choice: &Choice, seconds: u32) -> Result<Ratio, MakeError> {
        let mut sum = Ratio::ZERO;
        for terms in choice {
            let mut dearest = Ratio::ZERO;
            for term in terms {
                dearest = dearest.max(self.cost(*term, seconds)?);
            }
            sum = sum.plus(dearest).ok_or_else(|| self.range_of(choice))?;
        }
        sum.times(1, i128::try_from(choice.len().max(1)).unwrap_or(1)).ok_or_else(|| self.range_of(choice))
    }

    fn range_of(&self, choice: &Choice) -> MakeError {
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
        let fee = self.fee(&choices, margin, code)?;
        let sell = Steps::new(first, next, self.rule);
        let mut need: Option<Need<'_>> = None;
        for (choice, cell) in &choices {
            let found = self.need(choice, *cell, sell, fee, margin)?;
            if need.as_ref().is_none_or(|need| found.rate > need.rate) {
                need = Some(found);
            }
        }
        let range = || MakeError::Range { prefix: code.prefix };
        let need = need.ok_or_else(range)?;
        let price = self.rounded(need.rate).ok_or_else(range)?;
        let decider = self.decider(&need);
        let rate = Rate {
            connect_fee: fee,
            valid_from: Some(from),
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
            let all =
                i128::from(row.body.connect_fee.0) + i128::from(row.body.settings.disconnect_fee.unwrap_or_default().0);
            most = most.max(Ratio::whole(all).times(i128::from(buy.exchange), EXCHANGE).ok_or_else(range)?);
        }
        let (num, den) = margin.factor();
        most.times(num, den).and_then(|fee| units_up(fee, self.recipe.decimals, &[])).ok_or_else(range)
    }

    /// The least rate a minute that a choice allows, exactly.
    fn need<'c>(
        &mut self,
        choice: &'c Choice,
        cell: Prefix,
        sell: Steps,
        fee: Price,
        margin: Margin,
    ) -> Result<Need<'c>, MakeError> {
        let durations: Vec<(u32, u32)> = match self.recipe.floor {
            FloorBy::Profile => self.recipe.profile.clone(),
            FloorBy::EveryCall => {
                let steps = |term: &Term| {
                    let (row, buy) = self.row(*term).zip(self.buys.get(term.buy))?;
                    Steps::of(row.body, buy.rule)
                };
                let buys = choice.iter().flatten().map(steps).collect();
                let (shortest, longest) = (self.recipe.shortest, self.recipe.longest);
                self.deciding.of(sell, buys, shortest, longest).iter().map(|seconds| (*seconds, 1)).collect()
            }
        };
        let mut best: Option<Need<'c>> = None;
        let (mut all_cost, mut all_calls, mut all_billed) = (Ratio::ZERO, 0i128, 0i128);
        for (seconds, weight) in durations {
            let (cost, billed) = (self.choice_cost(choice, seconds)?, i128::from(sell.billed(seconds)));
            let found = if self.recipe.floor == FloorBy::Profile {
                let weight = i128::from(weight);
                let part = cost.times(weight, 1).and_then(|part| all_cost.plus(part));
                all_cost = part.ok_or_else(|| self.range_of(choice))?;
                (all_calls, all_billed) = (all_calls + weight, all_billed + weight * billed);
                (rate(all_cost, all_calls, all_billed, fee, margin), 0)
            } else {
                (rate(cost, 1, billed, fee, margin), seconds)
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
        let costs = terms.filter_map(|term| Some((self.cost(*term, need.seconds.max(60)).ok()?, *term)));
        let (_, term) = costs.max_by_key(|(cost, _)| *cost)?;
        let (row, buy) = (self.row(term)?, self.buys.get(term.buy)?);
        Some(Decider {
            vendor: buy.name.clone(),
            cell: need.cell,
            code: row.prefix(),
            first_rate: term.first,
            next_rate: term.next,
            first_interval: row.body.first_interval,
            next_interval: row.body.next_interval,
            connect_fee: row.body.connect_fee,
            seconds: need.seconds,
            cost: units_up(need.cost, RATE_SCALE, &[])?,
        })
    }

    fn rounded(&self, rate: Ratio) -> Option<Price> {
        units_up(rate, self.recipe.decimals, &self.recipe.endings)
    }
}

/// The rate a minute that these calls need, by which rule, and the one that covers their cost alone.
fn rate(cost: Ratio, calls: i128, billed: i128, fee: Price, margin: Margin) -> Option<(Ratio, Rule, Ratio)> {
    let fees = Ratio::whole(i128::from(fee.0).checked_mul(calls)?);
    let over = |money: Ratio| money.minus(fees)?.times(60, billed);
    let (num, den) = margin.factor();
    let covers = over(cost)?.max(Ratio::ZERO);
    let wanted = over(cost.times(num, den)?)?.max(Ratio::ZERO).plus(Ratio::whole(i128::from(margin.amount.0)))?;
    let least = covers.plus(Ratio::whole(i128::from(margin.minimum.0)))?;
    Some(if least > wanted { (least, Rule::Minimum, covers) } else { (wanted, Rule::Margin, covers) })
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
    flat(a) == flat(b)
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

/// A price that a vendor pays us: nothing is sold on it.
fn reverse(body: &Rate, first: Price, next: Price) -> bool {
    let settings = &body.settings;
    let set = [body.inter_rate, body.intra_rate, body.indeterminate_rate, settings.minimum_amount];
    let more = [settings.maximum_amount, settings.disconnect_fee, settings.attempt_fee];
    let prices = [first, next, body.connect_fee].into_iter().chain(set.into_iter().chain(more).flatten());
    prices.chain(body.steps.iter().map(|step| step.rate)).any(|price| price.0 < 0)
}

/// All that a call may pay by a row: with rates by jurisdiction each of them.
fn push_terms(terms: &mut Vec<Term>, buy: usize, index: usize, row: RowRef<'_>) {
    let by_state = [row.body.inter_rate, row.body.intra_rate, row.body.indeterminate_rate];
    let mut push = |first, next| terms.push(Term { buy, row: index, first, next });
    let missing = row.body.inter_rate.is_none() || row.body.intra_rate.is_none();
    if by_state.iter().all(Option::is_none) || missing {
        push(row.row.first_rate, row.row.next_rate);
    }
    by_state.into_iter().flatten().for_each(|price| push(price, price));
}

/// Counts what is in no cost.
pub(super) fn count_left_out(buys: &[Buy<'_>], effective: i64, made: &mut Made) {
    for row in buys.iter().flat_map(|buy| buy.rows.iter()).filter(|row| row.row.until > effective) {
        made.surcharges += u64::from(row.body.origin_mode == OriginMode::Add);
        made.reverse += u64::from(reverse(row.body, row.row.first_rate, row.row.next_rate));
        made.attempt_fees += u64::from(row.body.settings.attempt_fee.is_some_and(|fee| fee.0 != 0));
    }
}
