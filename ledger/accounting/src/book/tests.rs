//! The fold: refusals, roots, snapshots, views.

use super::*;
use crate::current::CurrentCall;
use crate::invariants::{RefoldError, check_refold, check_trial_balance};
use crate::pay::{Payment, entry_for};
use crate::post::{Outcome, entries_for};
use crate::sample::{late, priced, rated};
use crate::views;
use expect_test::expect;
use facts::config::{Account, Config};
use facts::deck::Price;
use facts::xdr::{RatedCall, Side};
use facts::{Amount, Currency, OccurredAt};
use proptest::prelude::*;
use smol_str::SmolStr;

fn at(seq: u64, index: u32) -> Position {
    Position { seq, index }
}

fn account(id: &str, prepaid: bool, limit: &str) -> Account {
    let currency = Currency::new("EUR").unwrap();
    let credit_limit: Price = limit.parse().unwrap();
    let reseller = SmolStr::default();
    Account { id: id.into(), carrier: id.into(), currency, prepaid, credit_limit, reseller, unidentified: false }
}

fn payment(id: &str, account: &Account, amount: &str) -> LedgerEntry {
    let order = Payment {
        id: id.into(),
        kind: EntryKind::Payment,
        account: account.id.clone(),
        side: Side::Sell,
        amount: amount.parse().unwrap(),
        currency: account.currency,
        occurred_at: OccurredAt(0),
        by: "fay".into(),
        reason: SmolStr::default(),
        adjusts: None,
        product: SmolStr::default(),
        destination: SmolStr::default(),
    };
    entry_for(&order, Some(account)).unwrap()
}

/// Posts calls into a book, a frame for each, and returns the items.
fn post(book: &mut Book, calls: &[RatedCall]) -> Vec<(Position, LedgerItem)> {
    let stream = SmolStr::new_static("xdrs.main.0");
    let mut items: Vec<(Position, LedgerItem)> = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        let seq = n as u64 + 1;
        let id = call.call.call_id;
        let current = book.knows(id).then(|| {
            let entries = items.iter().filter_map(|(_, item)| match item {
                LedgerItem::Entry(entry) => Some(&**entry),
                _ => None,
            });
            CurrentCall::fold(id, entries).unwrap()
        });
        let mut out = Vec::new();
        entries_for(&call.into(), (&stream, at(seq, 0)), current.as_ref(), &mut out);
        for (index, outcome) in out.into_iter().enumerate() {
            let item = match outcome {
                Outcome::Entry(entry) => LedgerItem::Entry(Box::new(entry)),
                Outcome::Refused { origin_id, reason, detail } => LedgerItem::Refused { origin_id, reason, detail },
            };
            let place = at(seq, index as u32);
            book.apply(place, &item).unwrap();
            items.push((place, item));
        }
    }
    items
}

#[test]
fn a_payment_sent_twice_is_booked_once_and_another_amount_is_refused() {
    let acme = account("acme", false, "100");
    let mut book = Book::new();
    let paid = payment("bank-1", &acme, "50");
    assert_eq!(book.apply_entry(at(1, 0), &paid), Ok(Applied::Counted));
    let root = book.root();
    let again = LedgerEntry { occurred_at: OccurredAt(99), by: "eve".into(), ..paid.clone() };
    assert_eq!(book.known_order(&again), Some(Ok(at(1, 0))));
    assert_eq!(book.apply_entry(at(2, 0), &again), Ok(Applied::Repeated(at(1, 0))));
    let other = payment("bank-1", &acme, "51");
    let refused = book.apply_entry(at(3, 0), &other);
    assert_eq!(refused, Err(BookError::OriginReused { origin: other.origin_id, earlier: at(1, 0) }));
    assert_eq!(book.root(), root);
    assert_eq!(book.counts().of(EntryKind::Payment), 1);
}

#[test]
fn an_unbalanced_entry_never_counts() {
    let mut book = Book::new();
    let root = book.root();
    let mut bad = payment("p", &account("acme", false, "0"), "5");
    bad.postings[0].amount = Amount(1);
    assert!(matches!(book.apply_entry(at(1, 0), &bad), Err(BookError::Unbalanced { .. })));
    assert_eq!(book.root(), root);
    assert_eq!(book.counts(), Counts::default());
}

#[test]
fn a_certificate_of_another_state_is_noticed() {
    let mut book = Book::new();
    post(&mut book, &[rated("c1", ("acme", "0.1"), &[])]);
    let right = LedgerItem::Certificate { root: book.root(), entries: 1 };
    assert_eq!(book.apply(at(9, 0), &right), Ok(Applied::Counted));
    for wrong in [
        LedgerItem::Certificate { root: book.root(), entries: 2 },
        LedgerItem::Certificate { root: [1; 32], entries: 1 },
    ] {
        assert!(matches!(book.apply(at(9, 1), &wrong), Err(BookError::Certificate { .. })));
    }
}

#[test]
fn balances_read_as_the_trade_reads_them() {
    let mut config = Config::default();
    for account in [account("acme", false, "100"), account("pre", true, "0"), account("carrier-x", false, "0")] {
        config.accounts.insert(account.id.clone(), account);
    }
    let mut book = Book::new();
    let unpriced = crate::sample::provisional(rated("c3", ("acme", "1"), &[]), 0, "4");
    let calls = [
        rated("c1", ("acme", "30"), &[("carrier-x", "20")]),
        rated("c2", ("pre", "7.5"), &[("carrier-x", "5")]),
        unpriced,
    ];
    post(&mut book, &calls);
    book.apply_entry(at(8, 0), &payment("1", &config.accounts["acme"], "10")).unwrap();
    book.apply_entry(at(8, 1), &payment("2", &config.accounts["pre"], "50")).unwrap();
    let mut text = String::new();
    for b in views::balances(&book, &config, 0).unwrap() {
        text += &format!(
            "{} owed {} provisional {} prepaid {} limit {} available {} {}\n",
            b.account, b.owed, b.provisional, b.prepaid, b.limit, b.available, b.currency
        );
    }
    for row in views::trial_balance(&book).unwrap() {
        text += &format!("{} {} {} {}\n", row.gl.as_str(), row.debit, row.credit, row.balance);
    }
    expect![[r#"
        acme owed 20 provisional 4 prepaid 10 limit 100 available 76 EUR
        carrier-x owed -25 provisional 0 prepaid 0 limit 0 available 25 EUR
        pre owed -42.5 provisional 0 prepaid 50 limit 0 available 42.5 EUR
        receivable_unbilled 37.5 0 37.5
        receivable_provisional 4 0 4
        prepayments 0 50 -50
        payable_unbilled 0 25 -25
        revenue 0 37.5 -37.5
        revenue_provisional 0 4 -4
        cost 25 0 25
        bank_clearing 60 0 60
        unallocated_receipts 0 10 -10
    "#]]
    .assert_eq(&text);
    assert_eq!(views::balances_of(&book, &config, "nobody", 0), Some(vec![]));
    let entries = [payment("1", &config.accounts["acme"], "10")];
    let rows = entries.iter().map(|entry| (at(8, 0), facts::BookedAt(1), entry));
    let statement = views::statement("acme", Currency::new("EUR").unwrap(), "34".parse().unwrap(), rows).unwrap();
    assert_eq!(statement[0].owed_after.to_string(), "24");
}

#[test]
fn a_damaged_or_foreign_snapshot_is_never_taken() {
    let mut book = Book::new();
    post(&mut book, &[rated("c1", ("acme", "0.1"), &[("x", "0.07")]), rated("c2", ("beta", "3"), &[("x", "2")])]);
    book.apply_entry(at(8, 0), &payment("1", &account("acme", false, "0"), "10")).unwrap();
    let mut bytes = Vec::new();
    book.dump(&mut bytes);
    let mut again = Book::load(&bytes).unwrap();
    assert_eq!(again.root(), book.root());
    assert_eq!(again.frames_of(facts::CallId::new("test", "sw1", "c2")), [2]);
    for cut in 0..bytes.len() {
        assert!(Book::load(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut other = bytes.clone();
    other[0] += 1;
    // Under the number of a version that has more in it, it ends early.
    assert_eq!(Book::load(&other).unwrap_err(), crate::LoadError::Damaged(bytes.len()));
    other[0] = 3;
    assert_eq!(Book::load(&other).unwrap_err(), crate::LoadError::Version(crate::TRIAL_FOLD + 1));
    let mut money = bytes.clone();
    let place = money.windows(4).position(|w| w == b"acme").unwrap() + 4 + 4 + 4 + 4 + 3;
    money[place] ^= 1;
    assert_eq!(Book::load(&money).unwrap_err(), crate::LoadError::Root);
}

#[test]
fn a_later_fold_version_has_another_root_that_says_where_the_switch_was() {
    use crate::fold_version::FoldVersionError;
    use crate::{FOLD_VERSION, TRIAL_FOLD};
    let calls = [rated("c1", ("acme", "0.1"), &[("x", "0.07")]), rated("c2", ("beta", "3"), &[("x", "2")])];
    let (mut old, mut early, mut late) = (Book::new(), Book::new(), Book::new());
    early.begin(TRIAL_FOLD).unwrap();
    for book in [&mut old, &mut early, &mut late] {
        post(book, &calls);
    }
    assert_ne!(early.root(), old.root(), "another version, another root");
    late.begin(TRIAL_FOLD).unwrap();
    assert_ne!(late.root(), early.root(), "switched elsewhere, another root");
    assert_eq!(old.begin(FOLD_VERSION), Ok(()));
    assert_eq!(late.begin(FOLD_VERSION), Err(FoldVersionError::Falls { found: 1, before: 2 }), "never back");
    assert_eq!(old.begin(TRIAL_FOLD + 1), Err(FoldVersionError::Unknown { found: 3 }));
    // A snapshot keeps the version and the cut.
    let mut bytes = Vec::new();
    late.dump(&mut bytes);
    let mut again = Book::load(&bytes).unwrap();
    assert_eq!((again.fold_version(), again.root()), (TRIAL_FOLD, late.root()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever order independent calls are posted in, and however often late truth replaces them, the balances are
    /// those of the last truth alone, the trial balance is zero, and the book is the fold of its items.
    #[test]
    fn the_last_truth_alone_decides_the_balances(
        calls in prop::collection::vec((0u8..12, 0u8..3, 0i64..500, -200i64..500, any::<bool>()), 1..60)
    ) {
        let mut log = Vec::new();
        let mut last = std::collections::BTreeMap::new();
        for (n, (key, who, sell, buy, unpriced)) in calls.into_iter().enumerate() {
            let (sell, buy) = (format!("{sell}"), format!("{buy}"));
            let account = ["acme", "beta", "gamma"][usize::from(who)];
            let mut call = rated(&key.to_string(), (account, &sell), &[("carrier-x", &buy)]);
            if unpriced {
                call = crate::sample::provisional(call, 0, &sell);
            }
            last.insert(key, call.clone());
            let seen = log.iter().any(|c: &RatedCall| c.call.call_id == call.call.call_id);
            log.push(if seen { late(call, n as u8, at(1, 0)) } else { call });
        }
        let mut book = Book::new();
        let items = post(&mut book, &log);
        check_trial_balance(&book).unwrap();
        let refs = || items.iter().map(|(at, item)| (*at, item));
        prop_assert_eq!(check_refold(&mut book, refs()), Ok(()));
        let mut straight = Book::new();
        post(&mut straight, &last.into_values().rev().collect::<Vec<_>>());
        let nets = |book: &Book| -> Vec<_> {
            let open = views::totals(book).into_iter().filter(|t| !t.balance.is_zero());
            open.map(|t| (t.gl, t.account, t.product, t.destination, t.balance)).collect()
        };
        prop_assert_eq!(nets(&book), nets(&straight));
        let one = priced(rated("extra", ("acme", "0"), &[]), 0, "1");
        let mut more = book.clone();
        let mut out = Vec::new();
        entries_for(&(&one).into(), (&SmolStr::new_static("xdrs.main.0"), at(99, 0)), None, &mut out);
        for outcome in out {
            if let Outcome::Entry(entry) = outcome {
                more.apply_entry(at(99, 0), &entry).unwrap();
            }
        }
        prop_assert_eq!(check_refold(&mut more, refs()), Err(RefoldError::Differs));
    }
}

#[test]
fn caps_are_divided_by_parts_and_all_sites_together_have_the_cap() {
    for parts in [vec![1, 1], vec![1, 1, 1], vec![3, 1], vec![0, 1, 7], vec![1_000_000, 1, 999_999]] {
        let all: u32 = parts.iter().sum();
        let share = |at: usize| {
            let mut book = Book::new();
            book.set_among(Some(Among { before: parts[..at].iter().sum(), own: parts[at], all }));
            book
        };
        let books: Vec<Book> = (0..parts.len()).map(share).collect();
        for cap in [0, 1, 2, 7, 10, 1_000, u32::MAX] {
            let shares: Vec<u32> = books.iter().map(|book| book.share_of(cap)).collect();
            assert_eq!(shares.iter().map(|share| u64::from(*share)).sum::<u64>(), u64::from(cap), "{parts:?} {cap}");
            let fair = |(share, part): (&u32, &u32)| {
                let exact = u64::from(cap) * u64::from(*part) / u64::from(all);
                u64::from(*share).abs_diff(exact) <= 1
            };
            assert!(shares.iter().zip(&parts).all(fair), "{parts:?} {cap}: {shares:?}");
        }
        let money: i128 = books.iter().map(|book| book.share_of_amount(Amount(1_000)).0).sum();
        assert!((1_000 - parts.len() as i128..=1_000).contains(&money), "{parts:?} {money}");
        let huge = books.iter().map(|book| book.share_of_amount(Amount(i128::MAX)).0).fold(0, i128::saturating_add);
        assert!(huge > i128::MAX / 2 || parts.len() > 2, "{parts:?}");
    }
}
