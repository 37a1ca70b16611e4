//! Tables of what calls come to.

use super::*;
use crate::book::Book;
use crate::invariants::{check_entry, check_trial_balance};
use crate::sample::{late, priced, provisional, rated, run};
use expect_test::{Expect, expect};
use facts::Currency;
use facts::entry::LedgerItem;

/// Posts calls one after another as the ledger does, and prints what each came to and the balances at the end.
fn check(calls: &[RatedCall], expected: Expect) {
    let stream = SmolStr::new_static("xdrs.main.0");
    let (mut book, mut log) = (Book::new(), Vec::<LedgerEntry>::new());
    let mut text = String::new();
    for (n, call) in calls.iter().enumerate() {
        let source = Position { seq: n as u64 + 1, index: 0 };
        let current =
            book.knows(call.call.call_id).then(|| CurrentCall::fold(call.call.call_id, &log).expect("sums in range"));
        let mut out = Vec::new();
        let posted = entries_for(&call.into(), (&stream, source), current.as_ref(), &mut out);
        text += &format!("{}: {posted:?}\n", n + 1);
        for outcome in out {
            match outcome {
                Outcome::Entry(entry) => {
                    check_entry(&entry).unwrap();
                    text += &format!("  {}{}\n", entry.account, if entry.adjusts.is_some() { " adjusts" } else { "" });
                    for p in &entry.postings {
                        let names = [p.account.as_str(), &p.product, &p.destination].join(" ");
                        text += &format!("    {} {} {}\n", line(p.gl, &names), p.amount, p.currency);
                    }
                    book.apply_entry(source, &entry).unwrap();
                    log.push(entry);
                }
                Outcome::Refused { origin_id, reason, detail } => {
                    assert!(REFUSALS.contains(&reason.as_str()));
                    text += &format!("  refused {reason}: {detail}\n");
                    book.apply(source, &LedgerItem::Refused { origin_id, reason, detail }).unwrap();
                }
            }
        }
    }
    check_trial_balance(&book).unwrap();
    text += "balances\n";
    for total in crate::views::totals(&book).iter().filter(|total| !total.balance.is_zero()) {
        let names = [total.account.as_str(), &total.product, &total.destination].join(" ");
        text += &format!("  {} {}\n", line(total.gl, &names), total.balance);
    }
    expected.assert_eq(&text);
}

fn line(gl: Gl, names: &str) -> String {
    format!("{} {names}", gl.as_str()).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn call() -> RatedCall {
    rated("c1", ("acme", "0.10"), &[("carrier-x", "0.07")])
}

fn at(seq: u64) -> Position {
    Position { seq, index: 0 }
}

#[test]
fn each_side_is_one_balanced_entry() {
    check(
        &[call()],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.07
          receivable_unbilled acme 0.1
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn a_prepaid_price_with_tax_keeps_the_tax_apart() {
    let mut gross = call();
    gross.xdrs[0].gross = "0.123".parse().unwrap();
    check(
        &[gross],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.123 EUR
            revenue premium Germany -0.1 EUR
            tax -0.023 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.07
          tax -0.023
          receivable_unbilled acme 0.123
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn free_calls_are_counted_and_make_no_entry() {
    check(
        &[priced(priced(call(), 0, "0"), 1, "0")],
        expect![[r#"
        1: Posted { entries: 0, zero: 2, repeated: 0, refused: 0 }
        balances
    "#]],
    );
}

#[test]
fn the_same_call_delivered_twice_is_charged_once() {
    check(
        &[call(), call()],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 0, zero: 0, repeated: 2, refused: 0 }
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.07
          receivable_unbilled acme 0.1
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn the_same_revision_with_another_amount_is_refused() {
    check(
        &[call(), priced(call(), 0, "0.11")],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 0, zero: 0, repeated: 1, refused: 1 }
          refused origin_reused: revision 1fbbb8c99f23ce7c88eba23725739579 of xdr 1c822a8041c661c089d743bde78c6ef0 was posted before with other content
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.07
          receivable_unbilled acme 0.1
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn late_truth_replaces_provisional_money() {
    let unpriced = provisional(call(), 0, "0.5");
    check(
        &[unpriced, late(call(), 1, at(1))],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_provisional acme 0.5 EUR
            revenue_provisional premium -0.5 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
            receivable_provisional acme -0.5 EUR
            revenue_provisional premium 0.5 EUR
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.07
          receivable_unbilled acme 0.1
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn a_late_attempt_that_was_another_is_taken_back() {
    let mut other = late(rated("c1", ("acme", "0.10"), &[]), 2, at(1));
    let moved = rated("c1", ("acme", "0.10"), &[("carrier-y", "0"), ("carrier-y", "0.05")]);
    other.xdrs.extend(late(moved, 2, at(1)).xdrs.into_iter().skip(2));
    check(
        &[call(), other],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          carrier-y
            payable_unbilled carrier-y -0.05 EUR
            cost premium Germany 0.05 EUR
          carrier-x adjusts
            payable_unbilled carrier-x 0.07 EUR
            cost premium Germany -0.07 EUR
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.05
          receivable_unbilled acme 0.1
          payable_unbilled carrier-y -0.05
    "#]],
    );
}

#[test]
fn a_call_that_moves_to_its_true_account_leaves_nothing_behind() {
    let unknown = provisional(rated("c1", ("unidentified", "0.9"), &[]), 0, "0.9");
    check(
        &[unknown, late(rated("c1", ("acme", "0.10"), &[]), 3, at(1))],
        expect![[r#"
        1: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          unidentified
            receivable_provisional unidentified 0.9 EUR
            revenue_provisional premium -0.9 EUR
        2: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
            receivable_provisional unidentified -0.9 EUR
            revenue_provisional premium 0.9 EUR
        balances
          revenue premium Germany -0.1
          receivable_unbilled acme 0.1
    "#]],
    );
}

#[test]
fn late_truth_that_comes_twice_or_out_of_date_counts_once() {
    let first_late = late(priced(call(), 0, "0.20"), 1, at(1));
    let second_late = late(priced(call(), 0, "0.30"), 2, at(2));
    check(
        &[call(), first_late.clone(), second_late, first_late, call()],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
        3: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
        4: Posted { entries: 0, zero: 0, repeated: 1, refused: 0 }
        5: Posted { entries: 0, zero: 0, repeated: 2, refused: 0 }
        balances
          revenue premium Germany -0.3
          cost premium Germany 0.07
          receivable_unbilled acme 0.3
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn truth_told_again_after_it_was_taken_back_is_named_and_not_passed_over() {
    let part = late(priced(call(), 0, "0.05"), 2, at(2));
    let again = late(priced(call(), 0, "0.20"), 1, at(3));
    check(
        &[call(), late(priced(call(), 0, "0.20"), 1, at(1)), part, again],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
        3: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
            receivable_unbilled acme -0.15 EUR
            revenue premium Germany 0.15 EUR
        4: Posted { entries: 0, zero: 0, repeated: 0, refused: 1 }
          refused origin_reused: revision 45792743eaa00ed631eb10c92640610c of xdr 1c822a8041c661c089d743bde78c6ef0 was posted before, and what it was made from now has taken it back since: the call is not booked at this price
        balances
          revenue premium Germany -0.05
          cost premium Germany 0.07
          receivable_unbilled acme 0.05
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn a_run_is_posted_only_where_its_base_is_current() {
    let rerated = run(priced(call(), 0, "0.08"), 9, at(1));
    let quiet_late = late(call(), 1, at(1));
    check(
        &[call(), rerated.clone()],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
            receivable_unbilled acme -0.02 EUR
            revenue premium Germany 0.02 EUR
        balances
          revenue premium Germany -0.08
          cost premium Germany 0.07
          receivable_unbilled acme 0.08
          payable_unbilled carrier-x -0.07
    "#]],
    );
    check(
        &[call(), quiet_late, rerated],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        2: Posted { entries: 1, zero: 0, repeated: 0, refused: 0 }
          acme adjusts
        3: Posted { entries: 0, zero: 0, repeated: 0, refused: 2 }
          refused not_current: made from 1/0 of its stream, but xdrs.main.0 2/0 is current
          refused not_current: made from 1/0 of its stream, but xdrs.main.0 2/0 is current
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.07
          receivable_unbilled acme 0.1
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn a_first_revision_after_a_late_one_is_refused() {
    let free = priced(priced(call(), 0, "0"), 1, "0");
    check(
        &[free, late(call(), 1, at(1)), call()],
        expect![[r#"
        1: Posted { entries: 0, zero: 2, repeated: 0, refused: 0 }
        2: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme 0.1 EUR
            revenue premium Germany -0.1 EUR
          carrier-x
            payable_unbilled carrier-x -0.07 EUR
            cost premium Germany 0.07 EUR
        3: Posted { entries: 0, zero: 0, repeated: 0, refused: 2 }
          refused out_of_order: first revision of xdr 1c822a8041c661c089d743bde78c6ef0 after another revision of its call
          refused out_of_order: first revision of xdr 2dd80db41822fd24bfb761666908550e after another revision of its call
        balances
          revenue premium Germany -0.1
          cost premium Germany 0.07
          receivable_unbilled acme 0.1
          payable_unbilled carrier-x -0.07
    "#]],
    );
}

#[test]
fn reverse_billing_turns_the_signs() {
    check(
        &[rated("c1", ("acme", "-0.02"), &[("carrier-x", "-0.03")])],
        expect![[r#"
        1: Posted { entries: 2, zero: 0, repeated: 0, refused: 0 }
          acme
            receivable_unbilled acme -0.02 EUR
            revenue premium Germany 0.02 EUR
          carrier-x
            payable_unbilled carrier-x 0.03 EUR
            cost premium Germany -0.03 EUR
        balances
          revenue premium Germany 0.02
          cost premium Germany -0.03
          receivable_unbilled acme -0.02
          payable_unbilled carrier-x 0.03
    "#]],
    );
}

#[test]
fn an_amount_beyond_the_range_is_refused_and_not_cut() {
    let mut huge = call();
    huge.xdrs[0].amount = Amount(i128::MIN);
    huge.xdrs[0].gross = Amount(i128::MAX);
    huge.xdrs[1].currency = Currency::new("USD").unwrap();
    check(
        &[huge],
        expect![[r#"
        1: Posted { entries: 1, zero: 0, repeated: 0, refused: 1 }
          refused amount_range: amount 170141183460469231731687303.715884105727 EUR of xdr 1c822a8041c661c089d743bde78c6ef0
          carrier-x
            payable_unbilled carrier-x -0.07 USD
            cost premium Germany 0.07 USD
        balances
          cost premium Germany 0.07
          payable_unbilled carrier-x -0.07
    "#]],
    );
}
