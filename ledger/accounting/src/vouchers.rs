//! Where a voucher may be redeemed (design 8.7): sites that cannot see each other could both take one code, so only
//! small ones are taken anywhere, by setting, and all others at one site. What was taken twice all the same is reversed
//! when the sites meet. Issues no codes and knows of none.

use crate::pay::{PayRefusal, Payment};
use facts::{Amount, Currency};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Ids of vouchers begin so, then comes the code: a code is no payment's id.
pub const VOUCHER: &str = "voucher ";

/// The settings, the same at all sites.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Vouchers {
    /// What a voucher may be worth at most to be redeemed at any site; a currency that is not named has none.
    pub anywhere_up_to: BTreeMap<Currency, Amount>,
    /// Number of the site that owns codes with this beginning; the longest counts. Others: the configuration's site.
    pub owners: BTreeMap<SmolStr, u16>,
}

/// The code of a voucher's order; `None`: it is no voucher.
pub fn code_of(order: &Payment) -> Option<&str> {
    order.id.strip_prefix(VOUCHER)
}

impl Vouchers {
    /// The site that may redeem a code whatever it is worth.
    pub fn owner(&self, code: &str, config_site: u16) -> u16 {
        let fits = self.owners.iter().filter(|(begin, _)| code.starts_with(begin.as_str()));
        fits.max_by_key(|(begin, _)| begin.len()).map_or(config_site, |(_, site)| *site)
    }

    /// Whether an order may be booked at site `here`; `name` names sites for people.
    pub fn may_redeem(
        &self,
        order: &Payment,
        (here, config_site): (u16, u16),
        name: impl Fn(u16) -> SmolStr,
    ) -> Result<(), PayRefusal> {
        let Some(code) = code_of(order) else { return Ok(()) };
        let owner = self.owner(code, config_site);
        let most = self.anywhere_up_to.get(&order.currency).copied().unwrap_or(Amount::ZERO);
        if owner == here || order.amount <= most {
            return Ok(());
        }
        Err(PayRefusal::VoucherElsewhere { owner: name(owner), most, currency: order.currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::OccurredAt;
    use facts::entry::EntryKind;
    use facts::xdr::Side;

    fn voucher(id: &str, amount: &str) -> Payment {
        let (reason, product, destination, account) = Default::default();
        Payment {
            id: id.into(),
            kind: EntryKind::Payment,
            account,
            side: Side::Sell,
            amount: amount.parse().unwrap(),
            currency: Currency::new("EUR").unwrap(),
            occurred_at: OccurredAt(0),
            by: "till".into(),
            reason,
            adjusts: None,
            product,
            destination,
        }
    }

    #[test]
    fn a_large_voucher_is_redeemed_at_its_owner_only_and_a_small_one_anywhere() {
        let vouchers = Vouchers {
            anywhere_up_to: [(Currency::new("EUR").unwrap(), "20".parse().unwrap())].into(),
            owners: [("VIE-".into(), 2), ("VIE-X-".into(), 3)].into(),
        };
        let may = |id: &str, amount: &str, here: u16| {
            let refused = vouchers.may_redeem(&voucher(id, amount), (here, 1), |site| format!("s{site}").into());
            refused.map_err(|refusal| (refusal.code(), refusal.to_string()))
        };
        assert_eq!(may("voucher A", "20", 2), Ok(()));
        let (code, why) = may("voucher A", "20.01", 2).unwrap_err();
        assert!(code == "voucher_elsewhere" && why.contains("site s1") && why.contains("20 EUR"), "{why}");
        assert_eq!(may("voucher A", "20.01", 1), Ok(()), "codes nobody else owns are the configuration's site's");
        assert_eq!((may("voucher VIE-1", "99", 2), may("voucher VIE-X-1", "99", 3)), (Ok(()), Ok(())));
        assert!(may("voucher VIE-X-1", "99", 2).is_err() && may("voucher VIE-1", "99", 1).is_err());
        assert_eq!(may("bank 1", "99", 2), Ok(()), "a payment is no voucher");
        let dollars = Payment { currency: Currency::new("USD").unwrap(), ..voucher("voucher A", "1") };
        assert!(vouchers.may_redeem(&dollars, (2, 1), |_| "main".into()).is_err(), "of dollars nothing is said");
    }
}
