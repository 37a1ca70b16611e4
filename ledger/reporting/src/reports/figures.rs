//! The figures of one line of a report, exact: integers and amounts of 10^-12, divided only when shown.

use facts::money::{Amount, format_scaled};

/// Sums of one key and currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls; in the vendor report attempts.
    pub attempts: i64,
    pub answered: i64,
    /// Answered, and unanswered with a code of the NER list.
    pub effective: i64,
    /// Microseconds, as all durations here.
    pub talk: i64,
    pub billed_sell: i64,
    pub billed_buy: i64,
    pub pdd_sum: i64,
    pub pdd_count: i64,
    /// In the line's currency; provisional amounts included.
    pub revenue: Amount,
    pub cost: Amount,
    pub revenue_provisional: Amount,
    pub cost_provisional: Amount,
}

/// One line: a key, a currency, its figures. The hour report's key is RFC 3339 in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    pub key: String,
    /// Empty where nothing was sold or bought in any.
    pub currency: String,
    pub figures: Figures,
}

impl Figures {
    /// Adds another line's sums. `None` when an amount leaves the range of 128 bits.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            attempts: self.attempts.checked_add(other.attempts)?,
            answered: self.answered.checked_add(other.answered)?,
            effective: self.effective.checked_add(other.effective)?,
            talk: self.talk.checked_add(other.talk)?,
            billed_sell: self.billed_sell.checked_add(other.billed_sell)?,
            billed_buy: self.billed_buy.checked_add(other.billed_buy)?,
            pdd_sum: self.pdd_sum.checked_add(other.pdd_sum)?,
            pdd_count: self.pdd_count.checked_add(other.pdd_count)?,
            revenue: self.revenue.checked_add(other.revenue)?,
            cost: self.cost.checked_add(other.cost)?,
            revenue_provisional: self.revenue_provisional.checked_add(other.revenue_provisional)?,
            cost_provisional: self.cost_provisional.checked_add(other.cost_provisional)?,
        })
    }

    /// Revenue less cost, in the line's currency.
    #[must_use]
    pub fn margin(&self) -> Option<Amount> {
        self.revenue.checked_sub(self.cost)
    }

    /// Answer-seizure ratio as a share of one, 4 decimals. Empty without attempts, as all ratios here.
    #[must_use]
    pub fn asr(&self) -> String {
        ratio(self.answered.into(), self.attempts.into(), 4)
    }

    /// Network effectiveness ratio as a share of one, 4 decimals.
    #[must_use]
    pub fn ner(&self) -> String {
        ratio(self.effective.into(), self.attempts.into(), 4)
    }

    /// Average call duration in seconds, 3 decimals.
    #[must_use]
    pub fn acd(&self) -> String {
        ratio(self.talk.into(), i128::from(self.answered) * 1_000_000, 3)
    }

    /// Mean post-dial delay in seconds, 3 decimals.
    #[must_use]
    pub fn pdd(&self) -> String {
        ratio(self.pdd_sum.into(), i128::from(self.pdd_count) * 1_000_000, 3)
    }
}

/// Minutes with 6 decimals, half up; exact for whole microseconds of 60.
#[must_use]
pub fn minutes(micros: i64) -> String {
    ratio(micros.into(), 60_000_000, 6)
}

/// A quotient with up to so many decimals, half away from zero; empty when there is nothing to divide by.
fn ratio(numerator: i128, denominator: i128, decimals: u32) -> String {
    if denominator <= 0 {
        return String::new();
    }
    // Sums of microseconds and counts are far below 10^30.
    let scaled = numerator.saturating_mul(10i128.pow(decimals));
    let rounded = facts::Rounding::HalfUp.divide(scaled, denominator);
    rounded.map(|value| format_scaled(value, decimals, 0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_exact_and_empty_without_calls() {
        let mut f = Figures { attempts: 3, answered: 2, effective: 3, talk: 500_000_001, ..Figures::default() };
        assert_eq!((f.asr(), f.ner(), f.acd(), f.pdd()), ("0.6667".into(), "1".into(), "250".into(), String::new()));
        f.attempts = 0;
        assert_eq!(f.asr(), "");
        assert_eq!(minutes(90_000_000), "1.5");
        assert_eq!(minutes(1), "0");
        assert_eq!(minutes(-30_000_000), "-0.5");
    }
}
