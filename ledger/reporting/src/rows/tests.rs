//! Which row carries what: a call counts once, every attempt once, no amount twice.

use super::*;
use facts::call::Call;
use facts::xdr::Revision;
use facts::{Amount, CallId, Currency, OccurredAt, RevId, Rounding, XdrId};

fn attempt(n: u16, answered: bool, code: u16) -> Attempt {
    Attempt {
        key: format!("b{n}").into(),
        number: n,
        answered_at: answered.then_some(OccurredAt(5)),
        duration: if answered { 60_000_000 } else { 0 },
        sip_code: Some(code),
        ..Attempt::default()
    }
}

fn xdr(side: Side, level: u8, attempt: Option<u16>, amount: i128) -> Xdr {
    let call = CallId::new("d", "s", "k");
    let xdr_id = XdrId::new(call, "", side, level);
    Xdr {
        xdr_id,
        rev_id: RevId::new(xdr_id, &facts::ids::Cause::First),
        side,
        level,
        attempt,
        account: format!("{}{level}{}", side.as_str(), attempt.map_or(String::new(), |a| format!("-{a}"))).into(),
        product: "p".into(),
        agreement: "a".into(),
        rated_at: OccurredAt(0),
        duration: 0,
        billed: 60_000_000,
        amount: Amount(amount),
        gross: Amount(amount + 7),
        currency: Currency::new("EUR").unwrap(),
        rounding: Rounding::HalfUp,
        decimals: 6,
        duration_rounding: Rounding::Up,
        rate: None,
        exchange_rate: 100_000_000,
        exchange_source: "".into(),
        unrated: None,
        provisional: None,
    }
}

fn rated(attempts: Vec<Attempt>, answered: bool, xdrs: Vec<Xdr>) -> RatedCall {
    let call = Call {
        call_id: CallId::new("d", "s", "k"),
        id_domain: "d".into(),
        switch: "s".into(),
        call_key: "k".into(),
        caller: "anonymous".into(),
        called: "+49".into(),
        caller_number: None,
        called_number: facts::E164::normalise("+49").ok(),
        rn: None,
        inbound: Endpoint::default(),
        started_at: OccurredAt(-5),
        answered_at: answered.then_some(OccurredAt(5)),
        ended_at: OccurredAt(5),
        duration: 61_000_000,
        pdd: None,
        sip_code: None,
        q850: Some(17),
        attempts: attempts.into_iter().collect(),
        estimated: false,
        hold_id: None,
        held: None,
        dedupe: Default::default(),
        events: Default::default(),
        import: None,
        raw: Default::default(),
    };
    RatedCall { revision: Revision::First, call, xdrs: xdrs.into_iter().collect() }
}

fn rows(rated: &RatedCall) -> (Vec<AttemptRow<'_>>, Vec<LevelRow<'_>>) {
    let (mut attempts, mut levels) = (Vec::new(), Vec::new());
    let from = Origin { site: "main", stream: "xdrs.main.0", at: Position { seq: 3, index: 4 } };
    append(from, rated, &mut attempts, &mut levels);
    (attempts, levels)
}

#[test]
fn the_sell_side_stands_once_on_the_answered_attempt() {
    // A fork: the second of three was answered.
    let xdrs = vec![
        xdr(Side::Sell, 0, None, 100),
        xdr(Side::Sell, 1, None, 130),
        xdr(Side::Buy, 0, Some(0), 0),
        xdr(Side::Buy, 0, Some(1), 80),
        xdr(Side::Buy, 0, Some(2), 0),
    ];
    let rated = rated(vec![attempt(1, false, 486), attempt(2, true, 200), attempt(3, false, 487)], true, xdrs);
    let (attempts, levels) = rows(&rated);
    let seen: Vec<_> = attempts
        .iter()
        .map(|r| {
            (r.attempt, r.is_final, r.answered, r.sell_amount, r.sell_tax, r.leg_answered, r.leg_code, r.buy_amount)
        })
        .collect();
    assert_eq!(seen, [(1, 0, 0, 0, 0, 0, 486, 0), (2, 1, 1, 100, 7, 1, 200, 80), (3, 0, 0, 0, 0, 0, 487, 0)]);
    assert!(attempts.iter().all(|r| r.customer == "sell0" && r.sell_currency == "EUR" && r.tried == 1));
    assert_eq!(attempts[2].vendor, "buy0-2");
    assert_eq!((levels.len(), levels[0].level, levels[0].amount), (1, 1, 130));
    assert_eq!((attempts[0].caller.as_ref(), attempts[0].called.as_ref(), attempts[0].started), ("anonymous", "49", 0));
    let back = attempts[1].reversed("xdrs.main.run-1", Position { seq: 9, index: 1 });
    assert_eq!((&*back.stream, &*back.of_stream, back.of_seq, back.of_idx), ("xdrs.main.run-1", "xdrs.main.0", 3, 4));
    assert_eq!((back.seq, back.idx, back.sign, back.sell_amount), (9, 1, -1, 100));
    let again = back.reversed("xdrs.main.0", Position { seq: 3, index: 4 });
    assert_eq!(AttemptRow { of_stream: "".into(), of_seq: 0, of_idx: 0, ..again }, attempts[1]);
}

#[test]
fn a_call_that_reached_no_vendor_still_counts_once() {
    let rated = rated(Vec::new(), false, vec![xdr(Side::Sell, 0, None, 0)]);
    let (attempts, levels) = rows(&rated);
    assert_eq!((attempts.len(), levels.len()), (1, 0));
    let row = &attempts[0];
    assert_eq!((row.tried, row.is_final, row.attempt, row.code, row.talk_us, row.pdd_us), (0, 1, 0, 486, 0, -1));
}

#[test]
fn every_q850_cause_has_a_code_and_an_answer_is_an_answer() {
    assert!((1..=127).all(|cause| result_code(false, None, Some(cause)) >= 400));
    assert_eq!(result_code(true, Some(487), Some(16)), 200);
    assert_eq!(result_code(false, Some(0), Some(19)), 480);
    assert_eq!(result_code(false, None, None), 0);
}
