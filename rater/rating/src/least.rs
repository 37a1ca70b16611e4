//! The least that an answered call by a row can cost: where that falls below ten units of the last decimal an agreement
//! rounds to, rounding is more than a twentieth of the charge (design 4.1).

use facts::deck::{OriginMode, Price, Rate, RowStatus, Settings};
use facts::money::Amount;

/// Fees and first interval of the shortest call by this row, in the deck's currency, rounded down at 12 decimals. `None`
/// where the row charges nothing, pays the caller, or prices no call by itself.
pub fn least_charge(rate: &Rate, deck: &Settings) -> Option<Amount> {
    if rate.status != RowStatus::Open || rate.origin_mode == OriginMode::Add {
        return None;
    }
    let (seconds, price, per) = match rate.steps.first() {
        Some(step) => (step.increment, step.rate, step.per),
        None if rate.first_interval > 0 => (rate.first_interval, rate.first_rate, 60),
        None => (rate.next_interval.max(1), rate.next_rate, 60),
    };
    let by_jurisdiction = [rate.inter_rate, rate.intra_rate, rate.indeterminate_rate];
    let price = match rate.inter_rate.or(rate.intra_rate) {
        Some(_) => by_jurisdiction.into_iter().flatten().min().unwrap_or(price),
        None => price,
    };
    // Prices have 10 decimals, amounts 12.
    let units = |price: Price| i128::from(price.0) * 100;
    let charge = units(rate.connect_fee) + units(price) * i128::from(seconds) / i128::from(per.max(1));
    let least = rate.settings.minimum_amount.or(deck.minimum_amount).map_or(charge, |least| units(least).max(charge));
    (charge > 0).then_some(Amount(least))
}

/// True where a charge, rounded to so many decimals, has fewer than two digits left.
pub fn is_coarse(charge: Amount, decimals: u8) -> bool {
    charge.0 < 10 * 10i128.pow(12u32.saturating_sub(u32::from(decimals)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::number::Prefix;

    #[test]
    fn the_shortest_call_by_a_cheap_row_is_coarse_where_its_agreement_keeps_few_decimals() {
        let rate = |first, next, price: &str| {
            Rate::simple(Prefix::new("49").unwrap(), "Germany", first, next, price.parse().unwrap())
        };
        let least = |rate: &Rate| least_charge(rate, &Settings::default()).map(|amount| amount.to_string());
        assert_eq!(least(&rate(1, 1, "0.0001")).as_deref(), Some("0.000001666666"));
        assert_eq!(least(&rate(60, 1, "0.0001")).as_deref(), Some("0.0001"));
        assert_eq!(least(&rate(0, 6, "0.0001")).as_deref(), Some("0.00001"));
        assert_eq!(least(&rate(1, 1, "0")), None, "free is not coarse");
        assert_eq!(least(&rate(1, 1, "-0.01")), None, "nor is reverse billing");
        let mut row = rate(1, 1, "0.0001");
        row.settings.minimum_amount = Some("0.01".parse().unwrap());
        assert_eq!(least(&row).as_deref(), Some("0.01"));
        let mut row = rate(6, 6, "0.5");
        (row.inter_rate, row.intra_rate) = (Some("0.001".parse().unwrap()), Some("0.03".parse().unwrap()));
        assert_eq!(least(&row).as_deref(), Some("0.0001"), "the cheapest jurisdiction");
        let coarse = |text: &str, decimals| is_coarse(text.parse().unwrap(), decimals);
        assert!(coarse("0.000009", 6) && !coarse("0.00001", 6) && coarse("0.05", 2) && !coarse("0.000001", 12));
    }
}
