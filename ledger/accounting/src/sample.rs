//! Rated calls for tests: one customer, any number of vendors, amounts given as text. Never part of a product build.

use facts::call::{Attempt, Call, Endpoint};
use facts::deck::Price;
use facts::ids::{Cause, RevId};
use facts::xdr::{Position, ProvisionalSource, RateUsed, RatedCall, Revision, Side, Unrated, Xdr};
use facts::{Amount, CallId, Currency, OccurredAt, Prefix, Rounding, XdrId};
use smallvec::{SmallVec, smallvec};
use smol_str::SmolStr;

/// Noon of 2026-11-21 in microseconds.
pub const NOON: i64 = 1_795_262_400_000_000;

fn amount(text: &str) -> Amount {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no amount"))
}

/// A call of `customer` through `vendors` (account and cost), first revision.
pub fn rated(key: &str, customer: (&str, &str), vendors: &[(&str, &str)]) -> RatedCall {
    let call_id = CallId::new("test", "sw1", key);
    let mut rated = RatedCall { revision: Revision::First, call: call(key, call_id, vendors), xdrs: SmallVec::new() };
    rated.xdrs.push(xdr(call_id, None, customer));
    for (n, vendor) in vendors.iter().enumerate() {
        rated.xdrs.push(xdr(call_id, Some(n as u16), *vendor));
    }
    rated
}

fn call(key: &str, call_id: CallId, vendors: &[(&str, &str)]) -> Call {
    let at = OccurredAt(NOON);
    let attempts = vendors.iter().enumerate().map(|(n, (vendor, _))| Attempt {
        key: SmolStr::from(format!("b{n}")),
        number: n as u16 + 1,
        outbound: Endpoint { trunk: SmolStr::from(*vendor), ..Endpoint::default() },
        started_at: Some(at),
        answered_at: Some(at),
        ended_at: Some(OccurredAt(NOON + 60_000_000)),
        duration: 60_000_000,
        sip_code: Some(200),
        last: n + 1 == vendors.len(),
        ..Attempt::default()
    });
    Call {
        call_id,
        id_domain: "test".into(),
        switch: "sw1".into(),
        call_key: key.into(),
        caller: "43152345".into(),
        called: "4930123456".into(),
        caller_number: None,
        called_number: None,
        rn: None,
        inbound: Endpoint::default(),
        started_at: at,
        answered_at: Some(at),
        ended_at: OccurredAt(NOON + 60_000_000),
        duration: 60_000_000,
        pdd: None,
        sip_code: Some(200),
        q850: None,
        attempts: attempts.collect(),
        estimated: false,
        hold_id: None,
        held: None,
        dedupe: smallvec![],
        events: smallvec![],
        import: None,
        raw: smallvec![],
    }
}

fn xdr(call: CallId, attempt: Option<u16>, (account, price): (&str, &str)) -> Xdr {
    let side = if attempt.is_some() { Side::Buy } else { Side::Sell };
    let key = attempt.map(|n| format!("b{n}")).unwrap_or_default();
    let xdr_id = XdrId::new(call, &key, side, 0);
    Xdr {
        xdr_id,
        rev_id: RevId::new(xdr_id, &Cause::First),
        side,
        level: 0,
        attempt,
        account: account.into(),
        product: "premium".into(),
        agreement: "a1".into(),
        rated_at: OccurredAt(NOON),
        duration: 60_000_000,
        billed: 60_000_000,
        amount: amount(price),
        gross: amount(price),
        currency: Currency::new("EUR").unwrap_or_else(|_| unreachable!("EUR is three letters")),
        rounding: Rounding::HalfUp,
        decimals: 6,
        duration_rounding: Rounding::Up,
        rate: Some(RateUsed {
            deck: "deck".into(),
            deck_version: 1,
            prefix: Prefix::new("49").unwrap_or_else(|_| unreachable!("49 is a prefix")),
            destination: "Germany".into(),
            connect_fee: Price(0),
            first_interval: 60,
            first_rate: Price(0),
            next_interval: 1,
            next_rate: Price(0),
            valid_from: None,
            time_band: "".into(),
            origin: "".into(),
            currency: Currency::new("EUR").unwrap_or_else(|_| unreachable!("EUR is three letters")),
        }),
        exchange_rate: 100_000_000,
        exchange_source: "".into(),
        unrated: None,
        provisional: None,
    }
}

/// The same call revised by what came late.
pub fn late(mut rated: RatedCall, trigger: u8, based_on: Position) -> RatedCall {
    let trigger = [trigger; 16];
    rated.revision = Revision::Late { trigger, based_on };
    revise(rated, &Cause::Late(trigger))
}

/// The same call priced again by a run.
pub fn run(mut rated: RatedCall, run: u8, based_on: Position) -> RatedCall {
    let run = [run; 16];
    rated.revision = Revision::Run { run, based_on };
    revise(rated, &Cause::Run(run))
}

fn revise(mut rated: RatedCall, cause: &Cause) -> RatedCall {
    for xdr in &mut rated.xdrs {
        xdr.rev_id = RevId::new(xdr.xdr_id, cause);
    }
    rated
}

/// Another price on one side.
pub fn priced(mut rated: RatedCall, side: usize, price: &str) -> RatedCall {
    rated.xdrs[side].amount = amount(price);
    rated.xdrs[side].gross = amount(price);
    rated
}

/// No price: a provisional amount on one side.
pub fn provisional(mut rated: RatedCall, side: usize, price: &str) -> RatedCall {
    rated = priced(rated, side, price);
    rated.xdrs[side].unrated = Some(Unrated::NoRate);
    rated.xdrs[side].provisional = Some(ProvisionalSource::DearestOfDeck);
    rated.xdrs[side].rate = None;
    rated
}
