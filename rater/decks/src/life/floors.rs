//! What a dearer buy deck does to what is sold: per customer and sell code whether past calls would still earn their
//! cost, until when that cannot be mended by raising the price, what it costs until then, and who else is cheaper.
//! Knows nothing of routes: the calls say which vendor carried whom.

use super::charge::Sum;
use super::effect::{Line, OutOfRange};
use super::rows::{RowRef, Rows};
use facts::deck::{IntervalRule, RowStatus};
use facts::money::Rounding;
use facts::{Amount, Prefix};
use smol_str::SmolStr;
use std::collections::BTreeMap;

const DAY: i64 = 86_400_000_000;
/// Denominator of an exchange rate.
const EXCHANGE: i128 = 100_000_000;

/// A deck by which one side of calls is priced.
#[derive(Clone, Copy)]
pub struct Priced<'a> {
    pub name: &'a SmolStr,
    pub rows: &'a Rows,
    pub rule: IntervalRule,
    /// Units of the currency that all is compared in for one of the deck's, in 10^-8.
    pub exchange: i64,
    /// Sell decks: the days of notice that customers get.
    pub notice_days: u32,
}

/// Calls of one customer by one sell code that would no longer earn their cost. Amounts in the compared currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Floor {
    pub customer: SmolStr,
    pub deck: SmolStr,
    pub prefix: Prefix,
    pub destination: SmolStr,
    pub calls: u64,
    pub seconds: u64,
    pub revenue: Amount,
    pub old_cost: Amount,
    pub new_cost: Amount,
    /// From when the buy deck is dearer; microseconds since the epoch.
    pub from: i64,
    /// The earliest instant at which the customer's notice allows a raise.
    pub raise: i64,
    /// Loss from `from` until `raise`, at this traffic.
    pub loss: Amount,
    /// The cheapest other vendor's deck and what it would cost, where one prices all these calls.
    pub other: Option<(SmolStr, Amount)>,
}

/// The buy deck before and after, and what it is compared with.
pub struct Buying<'a> {
    pub old: &'a Rows,
    pub new: Priced<'a>,
    pub others: &'a [Priced<'a>],
    /// When all changes are in force.
    pub at: i64,
    pub now: i64,
    /// Days that the lines stand for.
    pub days: u32,
}

#[derive(Default)]
struct Group<'a> {
    destination: SmolStr,
    calls: u64,
    seconds: u64,
    from: i64,
    revenue: Sum,
    old: Sum,
    new: Sum,
    lines: Vec<&'a Line>,
}

/// Groups that earned their cost before, or cost more than they did, and do not earn it now.
pub fn floors<'a>(
    buying: &Buying<'_>,
    lines: &'a [Line],
    sold_by: &dyn Fn(&str) -> Option<Priced<'a>>,
) -> Result<Vec<Floor>, OutOfRange> {
    let mut groups: BTreeMap<(&SmolStr, &SmolStr, Prefix), (Priced<'a>, Group<'a>)> = BTreeMap::new();
    for line in lines {
        let Some(sold) = sold_by(&line.customer) else { continue };
        let open = |rows: &'a Rows| rows.covering(line.digits, buying.at).filter(|row| row.status() == RowStatus::Open);
        let Some(sell) = open(sold.rows) else { continue };
        let cost = |rows: &Rows| -> Option<_> {
            let row = rows.covering(line.digits, buying.at).filter(|row| row.status() == RowStatus::Open)?;
            Some((row.charge(line.seconds, buying.new.rule)?, row.row.from))
        };
        let (Some((was, _)), Some((is, from))) = (cost(buying.old), cost(buying.new.rows)) else { continue };
        let out_of_range = || OutOfRange { prefix: line.digits };
        let key = (&line.customer, sold.name, sell.prefix());
        let (_, group) = groups.entry(key).or_insert_with(|| (sold, Group { from: i64::MAX, ..Group::default() }));
        let times = i128::from(line.calls);
        let revenue = RowRef::charge(sell, line.seconds, sold.rule).ok_or_else(out_of_range)?;
        group.revenue.add(revenue, times).ok_or_else(out_of_range)?;
        group.old.add(was, times).ok_or_else(out_of_range)?;
        group.new.add(is, times).ok_or_else(out_of_range)?;
        group.destination = sell.destination().clone();
        group.calls += line.calls;
        group.seconds = group.seconds.saturating_add(u64::from(line.seconds).saturating_mul(line.calls));
        group.from = group.from.min(from.max(buying.now));
        group.lines.push(line);
    }
    let mut found = Vec::new();
    for ((customer, deck, prefix), (sold, group)) in groups {
        let out_of_range = || OutOfRange { prefix };
        let amount = |sum: &Sum, exchange: i64| sum.scaled(i128::from(exchange), EXCHANGE).ok_or_else(out_of_range);
        let revenue = amount(&group.revenue, sold.exchange)?;
        let exchange = buying.new.exchange;
        let (old_cost, new_cost) = (amount(&group.old, exchange)?, amount(&group.new, exchange)?);
        if new_cost <= revenue || new_cost <= old_cost {
            continue;
        }
        let raise = buying.now.saturating_add(i64::from(sold.notice_days) * DAY);
        let days = i128::from(buying.days.max(1)) * i128::from(DAY);
        let lost =
            (new_cost.0 - revenue.0).checked_mul(i128::from((raise - group.from).max(0))).ok_or_else(out_of_range)?;
        found.push(Floor {
            customer: customer.clone(),
            deck: deck.clone(),
            prefix,
            destination: group.destination,
            calls: group.calls,
            seconds: group.seconds,
            revenue,
            old_cost,
            new_cost,
            from: group.from,
            raise,
            loss: Rounding::HalfUp.divide(lost, days).map(Amount).ok_or_else(out_of_range)?,
            other: cheapest(buying, &group.lines).filter(|(_, cost)| *cost < new_cost),
        });
    }
    found.sort_by_key(|floor| (floor.revenue.0 - floor.new_cost.0, floor.customer.clone(), floor.prefix));
    Ok(found)
}

/// The other vendor who carries all these calls for least.
fn cheapest(buying: &Buying<'_>, lines: &[&Line]) -> Option<(SmolStr, Amount)> {
    let cost = |other: &Priced<'_>| -> Option<Amount> {
        let mut sum = Sum::default();
        for line in lines {
            let row = other.rows.covering(line.digits, buying.at).filter(|row| row.status() == RowStatus::Open)?;
            sum.add(row.charge(line.seconds, other.rule)?, i128::from(line.calls))?;
        }
        sum.scaled(i128::from(other.exchange), EXCHANGE)
    };
    let offers = buying.others.iter().filter_map(|other| Some((other.name.clone(), cost(other)?)));
    offers.min_by_key(|(_, cost)| *cost)
}
