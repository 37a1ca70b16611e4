//! Money by traffic: what the calls of some past days would have cost by one version and by another. Calls come as
//! counts per number's beginning and duration, so increments and fees are exact.

use super::charge::{Charge, Sum};
use super::rows::{RowRef, Rows};
use facts::deck::{IntervalRule, RowStatus};
use facts::{Amount, Prefix};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Answered calls that are alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The called number's first digits, as many as any deck's codes have.
    pub digits: Prefix,
    /// Whole seconds, begun ones counted.
    pub seconds: u32,
    pub calls: u64,
    /// Account that bought the calls from us.
    pub customer: SmolStr,
    /// Account that we bought the calls from.
    pub vendor: SmolStr,
}

/// Cost of the same calls by two versions, and where the difference comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    pub old: Amount,
    pub new: Amount,
    /// By the code that prices these numbers in the newer version (in the older, where none does).
    pub codes: BTreeMap<Prefix, CodeEffect>,
    pub calls: u64,
    pub seconds: u64,
    /// Calls that one version prices and the other does not (closed or blocked), with their seconds.
    pub lost: (u64, u64),
    /// Calls that only the newer version prices.
    pub gained: (u64, u64),
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodeEffect {
    pub calls: u64,
    pub seconds: u64,
    /// Newer cost less older.
    pub money: Amount,
}

/// The amounts leave 128 bits.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the money effect exceeds the range of amounts at code {prefix}; look at its price and at the traffic")]
pub struct OutOfRange {
    pub prefix: Prefix,
}

/// Prices the lines by both versions as they stand at `at`.
pub fn effect(old: &Rows, new: &Rows, lines: &[Line], at: i64, rule: IntervalRule) -> Result<Effect, OutOfRange> {
    let mut effect = Effect::default();
    let (mut old_sum, mut new_sum) = (Sum::default(), Sum::default());
    let mut codes: BTreeMap<Prefix, (Sum, CodeEffect)> = BTreeMap::new();
    let mut cache = Lookups::default();
    for line in lines {
        let (was, is) = (cache.find(0, old, line.digits, at), cache.find(1, new, line.digits, at));
        let out_of_range = || OutOfRange { prefix: line.digits };
        let seconds = u64::from(line.seconds).saturating_mul(line.calls);
        effect.calls = effect.calls.saturating_add(line.calls);
        effect.seconds = effect.seconds.saturating_add(seconds);
        let Some(by) = is.or(was).map(RowRef::prefix) else { continue };
        match (was, is) {
            (Some(_), None) => effect.lost = (effect.lost.0 + line.calls, effect.lost.1 + seconds),
            (None, Some(_)) => effect.gained = (effect.gained.0 + line.calls, effect.gained.1 + seconds),
            _ => {}
        }
        let (sum, code) = codes.entry(by).or_default();
        code.calls += line.calls;
        code.seconds += seconds;
        let times = i128::from(line.calls);
        for (row, sign, all) in [(was, -1, &mut old_sum), (is, 1, &mut new_sum)] {
            let Some(row) = row else { continue };
            let charge: Charge = row.charge(line.seconds, rule).ok_or_else(out_of_range)?;
            all.add(charge, times).ok_or_else(out_of_range)?;
            sum.add(charge, sign * times).ok_or_else(out_of_range)?;
        }
    }
    let whole = || OutOfRange { prefix: Prefix::default() };
    (effect.old, effect.new) = (old_sum.amount().ok_or_else(whole)?, new_sum.amount().ok_or_else(whole)?);
    for (prefix, (sum, code)) in codes {
        let money = sum.amount().ok_or(OutOfRange { prefix })?;
        effect.codes.insert(prefix, CodeEffect { money, ..code });
    }
    Ok(effect)
}

/// Minutes are many, numbers' beginnings few: each is looked up once per deck.
#[derive(Default)]
struct Lookups<'a> {
    last: [Option<(Prefix, Option<RowRef<'a>>)>; 2],
}

impl<'a> Lookups<'a> {
    /// The open row for these digits; lines come grouped by digits as a rule.
    fn find(&mut self, side: usize, rows: &'a Rows, digits: Prefix, at: i64) -> Option<RowRef<'a>> {
        if let Some((known, row)) = self.last[side]
            && known == digits
        {
            return row;
        }
        let row = rows.covering(digits, at).filter(|row| row.status() == RowStatus::Open);
        self.last[side] = Some((digits, row));
        row
    }
}
