//! Net positions: what is left over several currencies, never rounded towards the customer; shares within the limit.

use super::*;
use crate::authorise::{self, Refusal, tests_support::wish};
use crate::pay::{Payment, entry_for};
use facts::OccurredAt;
use facts::config::ExchangeRate;
use facts::deck::Price;
use facts::entry::{EntryKind, LedgerItem};
use facts::xdr::{Position, Side};
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000_000_000;

fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

/// A carrier that is our customer in dollars and our vendor in euros; a euro is 1.25 dollars.
fn world() -> (Book, Config) {
    let mut config = Config::default();
    for (id, code, limit) in [("acme", "USD", 100_0000000000_i64), ("acme-eur", "EUR", 0), ("other", "USD", 5)] {
        let carrier = if id == "other" { "other" } else { "house" };
        let account = Account {
            id: id.into(),
            carrier: carrier.into(),
            currency: currency(code),
            prepaid: false,
            credit_limit: Price(limit),
            reseller: SmolStr::default(),
            unidentified: false,
        };
        config.accounts.insert(id.into(), account);
    }
    let (from, to, source) = (currency("EUR"), currency("USD"), "bank".to_owned());
    config.exchange_rates.push(ExchangeRate { from, to, rate: 125_000_000, valid_from: OccurredAt(NOW - 1), source });
    config.settings.maximum_call_seconds = 14_400;
    let mut book = Book::new();
    book.set_net_positions([("house".into(), currency("USD"))].into());
    (book, config)
}

fn book(book: &mut Book, config: &Config, account: &str, side: Side, kind: EntryKind, amount: &str) {
    let seq = book.counts().all_entries() + 1;
    let order = Payment {
        id: format!("p{seq}").into(),
        kind,
        account: account.into(),
        side,
        amount: amount.parse().unwrap(),
        currency: config.accounts[account].currency,
        occurred_at: OccurredAt(NOW),
        by: "fay".into(),
        reason: "test".into(),
        adjusts: None,
        product: "".into(),
        destination: "".into(),
    };
    let entry = entry_for(&order, config.accounts.get(account)).unwrap();
    book.apply(Position { seq, index: 0 }, &LedgerItem::Entry(Box::new(entry))).unwrap();
}

fn left_of(ledger: &Book, config: &Config, account: &str) -> String {
    authorise::available(ledger, config, account, NOW).unwrap().to_string()
}

#[test]
fn what_we_owe_a_carrier_in_one_currency_is_credit_in_the_other_at_the_days_rate() {
    let (mut ledger, mut config) = world();
    assert_eq!((left_of(&ledger, &config, "acme"), left_of(&ledger, &config, "acme-eur")), ("100".into(), "80".into()));
    // It owes 30 dollars and 8 euros; we owe it 40 euros.
    book(&mut ledger, &config, "acme", Side::Sell, EntryKind::Correction, "30");
    book(&mut ledger, &config, "acme-eur", Side::Sell, EntryKind::Correction, "8");
    book(&mut ledger, &config, "acme-eur", Side::Buy, EntryKind::Correction, "40");
    assert_eq!(left_of(&ledger, &config, "acme"), "110", "100 - 30 - (8 - 40) times 1.25");
    assert_eq!(left_of(&ledger, &config, "acme-eur"), "88");
    assert_eq!(left_of(&ledger, &config, "other"), "0.0000000005", "another carrier stands for itself");
    let part = exposure(&ledger, &config.accounts["acme-eur"], NOW).unwrap();
    assert_eq!(
        (part.unbilled.to_string(), part.we_owe.to_string(), part.exposure.to_string()),
        ("8".into(), "-40".into(), "-32".into())
    );
    // A hold on one account lowers both.
    let granted = authorise::authorise(&ledger, &config, &mut Default::default(), &wish(1, "acme")).unwrap();
    ledger.apply(Position::default(), &LedgerItem::Hold(Box::new(granted.hold))).unwrap();
    assert_eq!(left_of(&ledger, &config, "acme-eur"), "87.52", "0.60 dollars less");
    // A new rate counts from its instant; without any nothing is sold on credit that nobody can count.
    config.exchange_rates[0].rate = 100_000_000;
    assert_eq!(left_of(&ledger, &config, "acme"), "101.4");
    config.exchange_rates.clear();
    assert_eq!(left_of(&ledger, &config, "acme"), "0");
    let refused = authorise::authorise(&ledger, &config, &mut Default::default(), &wish(2, "acme"));
    assert_eq!(refused.err(), Some(Refusal::Credit));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is owed where: shares stay within the limit, no account is given less than it owes, and who is short is
    /// given what there is.
    #[test]
    fn a_line_is_never_divided_into_more_than_it_has(
        limit in 0_i128..1_000_000_000_000_000_000,
        rows in proptest::collection::vec((1_i64..500_000_000, -1_000_000_000_000_000_i128..1_000_000_000_000_000, 0_i128..1_000_000_000_000_000), 1..6),
        want in 0_i128..2_000_000_000_000_000_000,
        at in 0_usize..6,
    ) {
        let all: Vec<Drawn> = rows.iter()
            .map(|(rate, exposure, more)| Drawn { rate: *rate, granted: exposure + more, exposure: *exposure }).collect();
        let sum = |of: &[i128]| all.iter().zip(of).map(|(one, amount)| up(*amount, one.rate).unwrap()).sum::<i128>();
        let exposed = sum(&all.iter().map(|one| one.exposure).collect::<Vec<_>>());
        let at = at % all.len();
        for wants in [None, Some((at, want))] {
            let Some(targets) = divide(limit, &all, wants) else { prop_assert!(wants.is_none()); continue };
            prop_assert!(sum(&targets) <= limit.max(exposed), "{} of {limit}", sum(&targets));
            prop_assert!(all.iter().zip(&targets).all(|(one, target)| *target >= one.exposure));
            if wants.is_some() && limit > exposed {
                let got = targets[at] - all[at].exposure;
                let most = back(limit - exposed, all[at].rate).unwrap();
                prop_assert!(got >= want.min(most) - 1, "{got} of {want}, {most}");
            }
        }
    }
}
