//! New customers begin restricted until a person raises them by name (design 5): the first time that one asks for a call,
//! caps are written as if somebody had ordered them. Pure: what they are is a setting.

use crate::book::Book;
use crate::limits::{self, CapsOrder};
use facts::config::Config;
use facts::entry::{Caps, Gl};
use facts::money::ONE;
use facts::{Amount, OccurredAt, Prefix};
use serde::{Deserialize, Serialize};
use smol_str::format_smolstr;

/// What a new customer may do. Amounts are in the account's own currency, whichever that is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewCustomers {
    /// False: new customers may do what everybody may.
    pub restricted: bool,
    /// Calls at once.
    pub calls: u32,
    /// New calls in one second.
    pub calls_per_second: u32,
    /// Charges of a day (UTC) and open holds.
    pub daily_spend: Amount,
    /// Dearest rate a minute.
    pub highest_rate: Amount,
    /// Premium, satellite and hot-list codes.
    pub barred: Vec<Prefix>,
}

impl Default for NewCustomers {
    fn default() -> Self {
        // Satellite and international networks and shared-cost and premium services of ITU-T E.164, and premium in North
        // America; hot lists are the operator's own.
        let codes = ["870", "878", "881", "882", "883", "888", "979", "1900", "1976"];
        Self {
            restricted: true,
            calls: 10,
            calls_per_second: 2,
            daily_spend: Amount(100 * ONE),
            highest_rate: Amount(ONE),
            barred: codes.iter().filter_map(|code| code.parse().ok()).collect(),
        }
    }
}

/// Name of who writes them, for the history.
const BY: &str = "tandem";

/// The caps of an account that is new: never capped by anybody and never charged for a call. `None` for all others.
pub fn caps_of_new(terms: &NewCustomers, book: &Book, config: &Config, account: &str, now: OccurredAt) -> Option<Caps> {
    let known = config.accounts.get(account).filter(|account| terms.restricted && !account.unidentified)?;
    if book.holds().terms(account).is_some_and(|terms| terms.caps.is_some()) {
        return None;
    }
    let charged = |gl: Gl| matches!(gl, Gl::ReceivableUnbilled | Gl::ReceivableProvisional | Gl::ReceivableInvoiced);
    if book.lines().of_account(account).any(|line| charged(line.gl)) {
        return None;
    }
    let order = CapsOrder {
        id: format_smolstr!("new customer {account}"),
        account: account.into(),
        at: now,
        calls: Some(terms.calls),
        calls_per_second: Some(terms.calls_per_second),
        daily_spend: Some(terms.daily_spend),
        highest_rate: Some(terms.highest_rate),
        barred: terms.barred.clone(),
        by: BY.into(),
        reason: "new customer".into(),
        ..CapsOrder::default()
    };
    // What a setting asks for beyond the bounds of an order is refused when the setting is read.
    limits::caps(&order, Some(known)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorise::{Pace, Refusal, authorise};
    use crate::sample;
    use facts::entry::LedgerItem;
    use facts::xdr::Position;

    #[test]
    fn a_new_customer_begins_restricted_and_stays_as_somebody_raised_it() {
        let (mut book, config) = (Book::new(), crate::authorise::tests_support::config());
        let terms = NewCustomers::default();
        let now = OccurredAt(1_700_000_000_000_000);
        let caps = caps_of_new(&terms, &book, &config, "acme", now).unwrap();
        assert_eq!((caps.calls, caps.barred.len()), (Some(10), 9));
        book.apply(Position { seq: 1, index: 0 }, &LedgerItem::Caps(Box::new(caps.clone()))).unwrap();
        assert_eq!(caps_of_new(&terms, &book, &config, "acme", now), None, "once");
        let mut wish = crate::authorise::tests_support::wish(1, "acme");
        wish.called = facts::E164::normalise("8821234567").unwrap();
        let refused = authorise(&book, &config, &mut Pace::default(), &wish);
        assert_eq!(refused.unwrap_err(), Refusal::Barred);
        let raised = Caps { origin_id: crate::pay::origin_of("anna 1"), calls: None, barred: Vec::new(), ..caps };
        book.apply(Position { seq: 2, index: 0 }, &LedgerItem::Caps(Box::new(raised))).unwrap();
        assert!(authorise(&book, &config, &mut Pace::default(), &wish).is_ok());
        assert_eq!(caps_of_new(&terms, &book, &config, "acme", now), None, "raised by name");
    }

    #[test]
    fn whoever_was_charged_before_is_not_new_whoever_only_paid_is() {
        let mut book = Book::new();
        let config = crate::authorise::tests_support::config();
        let terms = NewCustomers::default();
        let now = OccurredAt(1);
        let mut out = Vec::new();
        let rated = crate::PricedCall::from(&sample::rated("call-1", ("acme", "0.5"), &[]));
        crate::entries_for(&rated, (&"xdrs.main.0".into(), Position::default()), None, &mut out);
        for outcome in out {
            let crate::Outcome::Entry(entry) = outcome else { panic!("{outcome:?}") };
            book.apply(Position { seq: 1, index: 0 }, &LedgerItem::Entry(Box::new(entry))).unwrap();
        }
        assert_eq!(caps_of_new(&terms, &book, &config, "acme", now), None);
        assert!(caps_of_new(&terms, &book, &config, "pre", now).is_some());
        assert_eq!(caps_of_new(&terms, &book, &config, "nobody", now), None);
        let off = NewCustomers { restricted: false, ..terms };
        assert_eq!(caps_of_new(&off, &book, &config, "pre", now), None);
    }
}
