//! What the agreements around a deck do to a price: seconds are rounded, and so is the amount of each call. A margin that
//! holds before both can be gone behind them, so a made price is proved behind them.

use super::ratio::Ratio;
use facts::deck::RATE_SCALE;
use facts::money::Rounding;

/// Denominator of an exchange rate.
const EXCHANGE: i128 = 100_000_000;

/// How one agreement rounds; the default is that of an agreement which says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rounds {
    pub duration: Rounding,
    pub amount: Rounding,
    /// Decimals of an amount in the account's currency.
    pub decimals: u8,
    /// Units of the account's currency for one of the deck's, in 10^-8.
    pub exchange: i64,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { duration: Rounding::Up, amount: Rounding::HalfUp, decimals: 6, exchange: 100_000_000 }
    }
}

impl Rounds {
    /// One unit of the last decimal, in 10^-10 of the account's currency.
    fn unit_of_account(self) -> Option<Ratio> {
        let decimals = if self.amount == Rounding::None { 12 } else { u32::from(self.decimals) };
        match RATE_SCALE.checked_sub(decimals) {
            Some(left) => Some(Ratio::whole(10i128.checked_pow(left)?)),
            None => Ratio::new(1, 10i128.checked_pow(decimals - RATE_SCALE)?),
        }
    }

    fn in_account(self, amount: Ratio) -> Option<Ratio> {
        amount.times(i128::from(self.exchange), EXCHANGE)
    }

    fn in_deck(self, amount: Ratio) -> Option<Ratio> {
        amount.times(EXCHANGE, i128::from(self.exchange))
    }

    /// One unit of the last decimal, in 10^-10 of the deck's currency.
    pub fn unit(self) -> Option<Ratio> {
        self.in_deck(self.unit_of_account()?)
    }

    /// What is charged for an exact amount; both in 10^-10 of the deck's currency.
    pub fn rounded(self, exact: Ratio) -> Option<Ratio> {
        let unit = self.unit_of_account()?;
        let count = self.in_account(exact)?.over(unit)?.whole_by(self.amount)?;
        self.in_deck(unit.times(count, 1)?)
    }

    /// The least exact amount (or hardly more) for which at least `wanted` is charged.
    pub fn least(self, wanted: Ratio) -> Option<Ratio> {
        let (unit, wanted) = (self.unit_of_account()?, self.in_account(wanted)?);
        let count = wanted.over(unit)?.ceil();
        let half = || unit.times(count.checked_mul(2)?.checked_sub(1)?, 2);
        let least = match self.amount {
            // Whatever lies above is rounded up to it.
            Rounding::Up => wanted,
            Rounding::HalfUp | Rounding::None => half()?.max(Ratio::ZERO),
            Rounding::HalfEven if count % 2 == 0 => half()?.max(Ratio::ZERO),
            Rounding::HalfEven | Rounding::Down => unit.times(count, 1)?,
        };
        self.in_deck(least)
    }

    /// How far up a part of a second is counted: down, to the nearest, up.
    fn reach(self) -> u8 {
        match self.duration {
            Rounding::Down => 0,
            Rounding::HalfEven => 1,
            Rounding::HalfUp => 2,
            // Intervals count whole seconds, begun ones too.
            Rounding::Up | Rounding::None => 3,
        }
    }
}

/// Seconds by which a buy side may count the same call longer than a sell side.
pub fn more_seconds(sell: &[Rounds], buys: &[Rounds]) -> u32 {
    let least = sell.iter().map(|rounds| rounds.reach()).min();
    let most = buys.iter().map(|rounds| rounds.reach()).max();
    u32::from(least.zip(most).is_some_and(|(least, most)| most > least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The least amount is charged as wanted, and hardly less is not.
        #[test]
        fn the_least_amount_that_rounds_to_what_is_wanted_does(
            wanted in 0i64..90_000_000, over in 1i64..999, rule in 0usize..5, decimals in 0u8..13, exchange in 1i64..300_000_000,
        ) {
            let amount = [Rounding::Up, Rounding::Down, Rounding::HalfUp, Rounding::HalfEven, Rounding::None][rule];
            let rounds = Rounds { amount, decimals, exchange, ..Rounds::default() };
            let wanted = Ratio::new(wanted.into(), over.into()).unwrap();
            let least = rounds.least(wanted).unwrap();
            prop_assert!(rounds.rounded(least).unwrap() >= wanted);
            let unit = rounds.unit().unwrap();
            let below = least.minus(unit).unwrap();
            prop_assert!(below < Ratio::ZERO || rounds.rounded(below).unwrap() < wanted, "a whole unit less would do");
        }
    }

    #[test]
    fn a_call_that_the_customer_pays_to_the_nearest_second_may_be_bought_a_second_longer() {
        let by = |duration| [Rounds { duration, ..Rounds::default() }];
        assert_eq!(more_seconds(&by(Rounding::HalfUp), &by(Rounding::Up)), 1);
        assert_eq!(more_seconds(&by(Rounding::Up), &by(Rounding::HalfUp)), 0);
        assert_eq!(more_seconds(&by(Rounding::HalfEven), &by(Rounding::HalfUp)), 1, "half a second is none and one");
        assert_eq!(more_seconds(&by(Rounding::None), &by(Rounding::Up)), 0);
    }
}
