//! Taxes by name (design 13.9): each component of the exact net, rounded by its own rule; gross = net + their sum.
//! The one place for the rater and `quote`. Never decides whether a call is charged gross, and knows no tax law.

use facts::config::Tax;
use facts::money::{Amount, Rounding};

use crate::exact::Exact;
use crate::explain::{Note, Trace};
use crate::price::{Priced, Terms};

/// Percents are in 10^-4, so a share of the net is a millionth of one.
const PERCENT_SCALE: u32 = 6;
/// 10^6: the net itself beside the shares.
const WHOLE: i64 = 1_000_000;

/// The price with these taxes on its exact net; `each` is told every component. No tax leaves the price as it is.
/// `None` where an amount does not fit.
pub(crate) fn add(
    priced: Priced,
    taxes: &[Tax],
    terms: &Terms,
    trace: &mut impl Trace,
    mut each: impl FnMut(&Tax, Amount),
) -> Option<Priced> {
    if taxes.is_empty() {
        return Some(priced);
    }
    let (mut gross, mut shares) = (priced.net, WHOLE);
    for tax in taxes {
        let exact = priced.exact_net.checked_mul(tax.percent, PERCENT_SCALE)?;
        let amount = exact.round(tax.rounding, terms.amount_decimals)?;
        let decimals = if tax.rounding == Rounding::None { 12 } else { terms.amount_decimals };
        trace.note(|| Note::Tax { name: tax.name.clone(), percent: tax.percent, amount, decimals });
        each(tax, amount);
        gross = gross.checked_add(amount)?;
        shares = shares.checked_add(tax.percent)?;
    }
    let exact_gross: Exact = priced.exact_net.checked_mul(shares, PERCENT_SCALE)?;
    Some(Priced { gross, exact_gross, ..priced })
}
