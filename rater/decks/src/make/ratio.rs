//! Exact fractions in 128 bits, reduced, never negative below the line. What does not fit is `None`, never a rounded
//! figure: a floor that was rounded down would be no floor.

use facts::money::Rounding;
use std::cmp::Ordering;

/// `num / den`, reduced; `den` above zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ratio {
    num: i128,
    den: i128,
}

impl Ratio {
    pub const ZERO: Self = Self { num: 0, den: 1 };

    /// `None` where `den` is not above zero.
    pub fn new(num: i128, den: i128) -> Option<Self> {
        if den <= 0 {
            return None;
        }
        let common = gcd(num.unsigned_abs(), den.unsigned_abs());
        let common = i128::try_from(common).ok()?;
        Some(Self { num: num / common, den: den / common })
    }

    pub fn whole(num: i128) -> Self {
        Self { num, den: 1 }
    }

    /// Times `num / den`.
    pub fn times(self, num: i128, den: i128) -> Option<Self> {
        let (a, b) = (Self::new(self.num, den)?, Self::new(num, self.den)?);
        Some(Self { num: a.num.checked_mul(b.num)?, den: a.den.checked_mul(b.den)? })
    }

    /// Divided by another one above zero.
    pub fn over(self, other: Self) -> Option<Self> {
        (other.num > 0).then(|| self.times(other.den, other.num))?
    }

    pub fn plus(self, other: Self) -> Option<Self> {
        let common = i128::try_from(gcd(self.den.unsigned_abs(), other.den.unsigned_abs())).ok()?;
        let (left, right) = (other.den / common, self.den / common);
        let num = self.num.checked_mul(left)?.checked_add(other.num.checked_mul(right)?)?;
        Self::new(num, self.den.checked_mul(left)?)
    }

    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { num: other.num.checked_neg()?, den: other.den })
    }

    /// As a whole number by a rule.
    pub fn whole_by(self, rule: Rounding) -> Option<i128> {
        rule.divide(self.num, self.den)
    }

    /// A whole number of `unit`s.
    pub fn on(self, unit: Self) -> bool {
        self.over(unit).is_some_and(|count| count.den == 1)
    }

    /// The least whole number that is not below it.
    pub fn ceil(self) -> i128 {
        self.num.div_euclid(self.den) + i128::from(self.num.rem_euclid(self.den) != 0)
    }
}

impl Ord for Ratio {
    /// By the continued fraction: no product leaves 128 bits.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (*self, *other);
        let mut swapped = false;
        loop {
            let order = a.num.div_euclid(a.den).cmp(&b.num.div_euclid(b.den));
            let (left, right) = (a.num.rem_euclid(a.den), b.num.rem_euclid(b.den));
            let order = match (order, left, right) {
                (Ordering::Equal, 0, 0) => Ordering::Equal,
                (Ordering::Equal, 0, _) => Ordering::Less,
                (Ordering::Equal, _, 0) => Ordering::Greater,
                (Ordering::Equal, ..) => {
                    // Of two parts below one the greater has the lesser inverse.
                    (a, b) = (Self { num: a.den, den: left }, Self { num: b.den, den: right });
                    swapped = !swapped;
                    continue;
                }
                (order, ..) => order,
            };
            return if swapped { order.reverse() } else { order };
        }
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::Ratio;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fractions_order_and_add_as_their_cross_products_do(a in -9_999i64..9_999, b in 1i64..999, c in -9_999i64..9_999, d in 1i64..999) {
            let [a, b, c, d] = [a, b, c, d].map(i128::from);
            let (x, y) = (Ratio::new(a, b).unwrap(), Ratio::new(c, d).unwrap());
            prop_assert_eq!(x.cmp(&y), (a * d).cmp(&(c * b)));
            prop_assert_eq!(x.plus(y).unwrap(), Ratio::new(a * d + c * b, b * d).unwrap());
            prop_assert_eq!(x.minus(y).unwrap().plus(y).unwrap(), x);
            let up = x.ceil();
            prop_assert!(up * b >= a && (up - 1) * b < a);
        }
    }

    #[test]
    fn fractions_whose_products_leave_128_bits_still_compare() {
        let big = i128::MAX / 3;
        let (x, y) = (Ratio::new(big, big - 1).unwrap(), Ratio::new(big - 1, big - 2).unwrap());
        assert!(x < y && x.times(big, 1).is_none());
    }
}
