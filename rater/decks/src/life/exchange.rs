//! Rows of one currency in another, by one dated rate: each price and fee rounded half up to 10^-10. Looks nothing up.

use super::rows::Rows;
use facts::Prefix;
use facts::deck::{Price, Rate};
use facts::money::Rounding;

/// Denominator of an exchange rate.
const EXCHANGE: i128 = 100_000_000;

/// A price leaves its range in the other currency.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("code {prefix} has a price beyond the range of prices in the other currency; look at the exchange rate")]
pub struct OutOfPrices {
    pub prefix: Prefix,
}

/// The same rows in another currency; `exchange` = its units for one of theirs, in 10^-8.
pub fn exchanged(rows: &Rows, exchange: i64) -> Result<Rows, OutOfPrices> {
    let mut other = Rows::new();
    for row in rows.iter() {
        other.push(rate(row.rate(), exchange).ok_or(OutOfPrices { prefix: row.prefix() })?);
    }
    other.finish();
    Ok(other)
}

fn rate(mut rate: Rate, exchange: i64) -> Option<Rate> {
    let settings = &mut rate.settings;
    let certain = [&mut rate.first_rate, &mut rate.next_rate, &mut rate.connect_fee];
    let maybe = [&mut rate.inter_rate, &mut rate.intra_rate, &mut rate.indeterminate_rate];
    let set = [
        &mut settings.minimum_amount,
        &mut settings.maximum_amount,
        &mut settings.attempt_fee,
        &mut settings.disconnect_fee,
    ];
    let all = certain.into_iter().chain(maybe.into_iter().chain(set).flatten());
    for price in all.chain(rate.steps.iter_mut().map(|step| &mut step.rate)) {
        let exact = i128::from(price.0).checked_mul(i128::from(exchange))?;
        *price = Price(i64::try_from(Rounding::HalfUp.divide(exact, EXCHANGE)?).ok()?);
    }
    Some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::deck::{Settings, Step};

    #[test]
    fn every_price_of_a_row_changes_currency_and_nothing_else_does() {
        let price = |text: &str| text.parse::<Price>().unwrap();
        let step = Step { from: 0, rate: price("0.6"), per: 60, increment: 1 };
        let settings = Settings { minimum_amount: Some(price("0.05")), grace: Some(7), ..Settings::default() };
        let simple = Rate::simple(Prefix::new("49").unwrap(), "Germany", 60, 6, price("0.0123456789"));
        let row =
            Rate { connect_fee: price("0.3"), intra_rate: Some(price("0.1")), steps: vec![step], settings, ..simple };
        let found = exchanged(&Rows::of([row.clone()]), 150_000_000).unwrap().rates();
        let wanted = Rate {
            first_rate: price("0.0185185184"),
            next_rate: price("0.0185185184"),
            connect_fee: price("0.45"),
            intra_rate: Some(price("0.15")),
            steps: vec![Step { rate: price("0.9"), ..step }],
            settings: Settings { minimum_amount: Some(price("0.075")), ..settings },
            ..row
        };
        assert_eq!(found, [wanted]);
        let dear = Rate::simple(Prefix::new("49").unwrap(), "Germany", 1, 1, Price(i64::MAX));
        assert!(exchanged(&Rows::of([dear]), 150_000_000).is_err());
    }
}
