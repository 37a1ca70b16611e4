//! Exact amounts (design 4.1): one integer numerator over one common denominator, in checked i128. There is exactly
//! one division, in [`Exact::round`]. Never a float, never a silent overflow: what does not fit is `None`.

use facts::deck::{Price, RATE_SCALE};
use facts::money::{Amount, Rounding, SCALE};

/// `num / (per x 10^pow)` units of a currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exact {
    num: i128,
    /// Least common multiple of the tariff's `per`, in seconds.
    per: i128,
    pow: u32,
}

impl Default for Exact {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Exact {
    pub const ZERO: Self = Self { num: 0, per: 60, pow: RATE_SCALE };

    /// A stored amount, to join what is exact.
    pub fn of(amount: Amount) -> Self {
        Self { num: amount.0, per: 1, pow: SCALE }
    }

    /// A fee, as it stands.
    pub fn fee(price: Price) -> Self {
        Self { num: i128::from(price.0) * 60, ..Self::ZERO }
    }

    pub fn is_zero(self) -> bool {
        self.num == 0
    }

    pub fn is_negative(self) -> bool {
        self.num < 0
    }

    /// Adds `seconds` at `rate` for each `per` seconds.
    pub fn add_time(&mut self, rate: Price, seconds: i64, per: u32) -> Option<()> {
        let time = i128::from(rate.0).checked_mul(i128::from(seconds))?;
        if i128::from(per) == self.per && self.pow == RATE_SCALE {
            self.num = self.num.checked_add(time)?;
            return Some(());
        }
        *self = self.checked_add(Self { num: time, per: i128::from(per.max(1)), pow: RATE_SCALE })?;
        Some(())
    }

    /// The sum over the least common denominator.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if (self.per, self.pow) == (other.per, other.pow) {
            return Some(Self { num: self.num.checked_add(other.num)?, ..self });
        }
        let per = lcm(self.per, other.per)?;
        let pow = self.pow.max(other.pow);
        let num = self.scaled_to(per, pow)?.checked_add(other.scaled_to(per, pow)?)?;
        Some(Self { num, per, pow })
    }

    /// The numerator over another denominator, of which ours is a divisor.
    fn scaled_to(self, per: i128, pow: u32) -> Option<i128> {
        let up = (per / self.per).checked_mul(10i128.checked_pow(pow - self.pow)?)?;
        self.num.checked_mul(up)
    }

    /// Times `factor x 10^-pow`.
    pub fn checked_mul(self, factor: i64, pow: u32) -> Option<Self> {
        Some(Self { num: self.num.checked_mul(i128::from(factor))?, per: self.per, pow: self.pow + pow })
    }

    pub fn checked_neg(self) -> Option<Self> {
        Some(Self { num: self.num.checked_neg()?, ..self })
    }

    /// Which of two is greater.
    pub fn checked_cmp(self, other: Self) -> Option<std::cmp::Ordering> {
        let per = lcm(self.per, other.per)?;
        let pow = self.pow.max(other.pow);
        Some(self.scaled_to(per, pow)?.cmp(&other.scaled_to(per, pow)?))
    }

    /// The one rounding of a level: to `decimals` (0 to 12) by the rule; `Rounding::None` is 12 decimals, half up.
    pub fn round(self, rule: Rounding, decimals: u8) -> Option<Amount> {
        let decimals = if rule == Rounding::None { SCALE } else { u32::from(decimals).min(SCALE) };
        let (num, den) = if decimals <= self.pow {
            (self.num, self.per.checked_mul(10i128.checked_pow(self.pow - decimals)?)?)
        } else {
            (self.num.checked_mul(10i128.checked_pow(decimals - self.pow)?)?, self.per)
        };
        let rounded = divide(rule, num, den)?;
        rounded.checked_mul(10i128.checked_pow(SCALE - decimals)?).map(Amount)
    }
}

/// [`Rounding::divide`], in 64 bits where both fit: the usual case, and several times as fast.
fn divide(rule: Rounding, num: i128, den: i128) -> Option<i128> {
    let (Ok(small), Ok(by)) = (i64::try_from(num), i64::try_from(den)) else {
        return rule.divide(num, den);
    };
    if by <= 0 || by == i64::MAX {
        return rule.divide(num, den);
    }
    let (quotient, rest) = (small / by, small % by);
    if rest == 0 {
        return Some(i128::from(quotient));
    }
    let twice = rest.unsigned_abs() * 2;
    let half = twice.cmp(&by.unsigned_abs());
    let away = match rule {
        Rounding::Up => true,
        Rounding::Down => false,
        Rounding::HalfUp | Rounding::None => half.is_ge(),
        Rounding::HalfEven => half.is_gt() || (half.is_eq() && quotient % 2 != 0),
    };
    Some(i128::from(quotient) + if away { i128::from(small.signum()) } else { 0 })
}

fn lcm(a: i128, b: i128) -> Option<i128> {
    if a == b {
        return Some(a);
    }
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).checked_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn thirds_of_a_unit_are_exact_until_the_one_rounding() {
        let mut sum = Exact::ZERO;
        for _ in 0..3 {
            sum.add_time("0.1".parse().unwrap(), 1, 3).unwrap();
        }
        assert_eq!(sum.round(Rounding::Up, 12), Some(amount("0.1")));
        sum.add_time("0.1".parse().unwrap(), 1, 7).unwrap();
        assert_eq!(sum.round(Rounding::HalfUp, 6), Some(amount("0.114286")));
    }

    #[test]
    fn the_short_division_and_the_long_one_agree() {
        let rules = [Rounding::Up, Rounding::Down, Rounding::HalfUp, Rounding::HalfEven, Rounding::None];
        for rule in rules {
            for num in (-70..70i128).chain([i128::from(i64::MAX), i128::from(i64::MIN), i128::from(i64::MAX) - 1]) {
                for den in [1, 2, 3, 10, 20, 60, i128::from(i64::MAX), i128::from(i64::MAX) - 1] {
                    assert_eq!(divide(rule, num, den), rule.divide(num, den), "{rule:?} {num}/{den}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named_never_wrapped() {
        let mut sum = Exact::ZERO;
        sum.add_time(Price(i64::MAX), i64::MAX, 60).unwrap();
        assert_eq!(sum.checked_mul(i64::MAX, 8), None);
        assert_eq!(sum.add_time(Price(i64::MAX), i64::MAX, 86_399), None);
    }
}
