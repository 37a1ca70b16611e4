//! Rated calls of our own making, deterministic, with what a carrier's traffic has: several attempts, unanswered
//! calls, calls that reached no vendor, unrated sides, two currencies, a reseller level, late corrections.

use facts::call::{Attempt, Call, Endpoint};
use facts::deck::Price;
use facts::xdr::{Position, ProvisionalSource, RateUsed, RatedCall, Revision, Side, Unrated, Xdr};
use facts::{Amount, CallId, Currency, E164, OccurredAt, Prefix, RevId, Rounding, XdrId};
use reporting::loader::{FrameCalls, Frames, FramesError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const STREAM: &str = "xdrs.main.0";
/// 2026-11-20T00:00:00Z.
pub const DAY: i64 = 1_795_132_800_000_000;
const SECOND: i64 = 1_000_000;

/// A small generator (xorshift64*), so that tests need no crate for it.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}

pub fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

/// Call `n`: everything about it follows from `n` and `dice`.
pub fn call(n: u64, dice: &mut Dice) -> RatedCall {
    let key = format!("call-{n}");
    let call_id = CallId::new("test", "sw1", &key);
    let started = DAY + (dice.roll(86_400) as i64) * SECOND + dice.roll(1_000_000) as i64;
    let tries = match dice.roll(20) {
        0 => 0,
        1..=15 => 1,
        16..=18 => 2,
        _ => 4,
    };
    let answered = tries > 0 && dice.roll(100) < 55;
    let talk = if answered { 1 + dice.roll(900_000_000) as i64 } else { 0 };
    let code = [404u16, 486, 480, 487, 503][dice.roll(5) as usize];
    let attempts = (0..tries)
        .map(|i| {
            let last = i + 1 == tries;
            let up = answered && last;
            Attempt {
                key: format!("{key}-b{i}").into(),
                number: i as u16 + 1,
                outbound: Endpoint { trunk: format!("out{}", dice.roll(3)).into(), ..Endpoint::default() },
                started_at: Some(OccurredAt(started)),
                answered_at: up.then_some(OccurredAt(started + 5 * SECOND)),
                ended_at: Some(OccurredAt(started + 5 * SECOND + talk)),
                duration: if up { talk } else { 0 },
                pdd: (dice.roll(4) > 0).then(|| 500_000 + dice.roll(3_000_000) as i64),
                sip_code: Some(if up { 200 } else { [503, 486, 404][dice.roll(3) as usize] }),
                q850: None,
                last,
            }
        })
        .collect::<Vec<_>>();
    let caller = format!("4930{:07}", dice.roll(50_000));
    let called = format!("44{:09}", dice.roll(1_000_000));
    let call = Call {
        call_id,
        id_domain: "test".into(),
        switch: "sw1".into(),
        call_key: key.into(),
        caller_number: E164::normalise(&caller).ok(),
        called_number: E164::normalise(&called).ok(),
        caller: caller.into(),
        called: called.into(),
        rn: None,
        inbound: Endpoint { ip: "10.0.0.1".into(), ..Endpoint::default() },
        started_at: OccurredAt(started),
        answered_at: answered.then_some(OccurredAt(started + 5 * SECOND)),
        ended_at: OccurredAt(started + 5 * SECOND + talk),
        duration: talk,
        pdd: (dice.roll(5) > 0).then(|| 600_000 + dice.roll(2_000_000) as i64),
        sip_code: Some(if answered { 200 } else { code }),
        q850: None,
        attempts: attempts.into_iter().collect(),
        estimated: dice.roll(50) == 0,
        hold_id: None,
        held: None,
        dedupe: Default::default(),
        events: Default::default(),
        import: None,
        raw: Default::default(),
    };
    price(call, dice)
}

/// Prices a call: one sell side, a reseller level for some, a buy side per attempt.
pub fn price(call: Call, dice: &mut Dice) -> RatedCall {
    let customer = dice.roll(20);
    let destination = format!("Country {} Mobile", dice.roll(60));
    let sell_currency = if customer.is_multiple_of(5) { "EUR" } else { "USD" };
    let unrated = (dice.roll(40) == 0).then_some(Unrated::NoRate);
    let mut xdrs = vec![xdr(
        &call,
        Side::Sell,
        0,
        None,
        &format!("customer{customer}"),
        sell_currency,
        &destination,
        unrated,
        dice,
    )];
    if customer == 3 {
        xdrs.push(xdr(&call, Side::Sell, 1, None, "reseller3-end", "USD", &destination, None, dice));
    }
    for i in 0..call.attempts.len() {
        let vendor = dice.roll(8);
        let currency = if vendor == 7 { "EUR" } else { "USD" };
        let account = format!("vendor{vendor}");
        xdrs.push(xdr(&call, Side::Buy, 0, Some(i as u16), &account, currency, &destination, None, dice));
    }
    RatedCall { revision: Revision::First, call, xdrs: xdrs.into_iter().collect() }
}

fn xdr(
    call: &Call,
    side: Side,
    level: u8,
    attempt: Option<u16>,
    account: &str,
    code: &str,
    destination: &str,
    unrated: Option<Unrated>,
    dice: &mut Dice,
) -> Xdr {
    let key = attempt.map_or("", |i| call.attempts[i as usize].key.as_str());
    let xdr_id = XdrId::new(call.call_id, key, side, level);
    let duration = attempt.map_or(call.duration, |i| call.attempts[i as usize].duration);
    let amount = if duration > 0 { Amount(1 + dice.roll(9_000_000) as i128 * 1_000_001) } else { Amount::ZERO };
    let rate = RateUsed {
        deck: "deck".into(),
        deck_version: 1,
        prefix: Prefix::new("44").unwrap(),
        destination: destination.into(),
        connect_fee: Price(0),
        first_interval: 60,
        first_rate: Price(100_000_000 + (dice.roll(50) as i64) * 1_000_000),
        next_interval: 1,
        next_rate: Price(100_000_000 + (dice.roll(50) as i64) * 1_000_000),
        valid_from: None,
        time_band: "".into(),
        origin: "".into(),
        currency: currency(code),
    };
    Xdr {
        xdr_id,
        rev_id: RevId::new(xdr_id, &facts::ids::Cause::First),
        side,
        level,
        attempt,
        account: account.into(),
        product: "premium".into(),
        agreement: "a1".into(),
        rated_at: call.started_at,
        duration,
        billed: (duration + SECOND - 1) / SECOND * SECOND,
        amount,
        gross: amount,
        currency: currency(code),
        rounding: Rounding::HalfUp,
        decimals: 12,
        duration_rounding: Rounding::Up,
        rate: unrated.is_none().then_some(rate),
        exchange_rate: 100_000_000,
        exchange_source: "".into(),
        unrated,
        provisional: unrated.map(|_| ProvisionalSource::DearestOfDeck),
    }
}

/// A stream in memory: frames of rated calls from 1, some of them empty; every 50th call is corrected later.
pub fn stream(calls: u64, per_frame: u64, seed: u64) -> Vec<Arc<FrameCalls>> {
    let mut dice = Dice(seed);
    let mut frames: Vec<Arc<FrameCalls>> = Vec::new();
    let mut frame = FrameCalls { seq: 1, ..FrameCalls::default() };
    let mut to_correct: Vec<(Position, RatedCall)> = Vec::new();
    for n in 0..calls {
        let item = call(n, &mut dice);
        if n % 50 == 7 {
            to_correct.push((Position { seq: frame.seq, index: frame.calls.len() as u32 * 2 }, item.clone()));
        }
        // Other items (counts, marks) stand between the calls.
        frame.calls.push((frame.calls.len() as u32 * 2, item));
        if n % 90 == 60
            && let Some((based_on, old)) = to_correct.pop()
        {
            let mut new = price(old.call, &mut dice);
            new.revision = Revision::Late { trigger: [1; 16], based_on };
            let at = Position { seq: frame.seq, index: frame.calls.len() as u32 * 2 };
            if n % 180 == 60 {
                to_correct.insert(0, (at, new.clone()));
            }
            frame.calls.push((at.index, new));
        }
        if frame.calls.len() as u64 >= per_frame || n + 1 == calls {
            let seq = frame.seq + 1;
            frames.push(Arc::new(std::mem::replace(&mut frame, FrameCalls { seq, ..FrameCalls::default() })));
            if dice.roll(10) == 0 {
                frames.push(Arc::new(std::mem::replace(
                    &mut frame,
                    FrameCalls { seq: seq + 1, ..FrameCalls::default() },
                )));
            }
        }
    }
    frames
}

/// The calls that hold at the end: last revision of each, by call.
pub fn current(frames: &[Arc<FrameCalls>]) -> Vec<RatedCall> {
    let mut by_id = std::collections::BTreeMap::new();
    for frame in frames {
        for (_, rated) in &frame.calls {
            by_id.insert(rated.call.call_id, rated.clone());
        }
    }
    by_id.into_values().collect()
}

/// Frames in memory behind the loader's trait; more may be appended while it reads.
#[derive(Clone)]
pub struct Memory {
    pub frames: Arc<Mutex<Vec<Arc<FrameCalls>>>>,
    next: usize,
}

impl Memory {
    pub fn new(frames: Vec<Arc<FrameCalls>>) -> Self {
        Self { frames: Arc::new(Mutex::new(frames)), next: 0 }
    }
}

impl Frames for Memory {
    fn next(&mut self, into: &mut FrameCalls, _timeout: Duration) -> Result<bool, FramesError> {
        let frames = self.frames.lock().unwrap();
        let Some(frame) = frames.get(self.next) else { return Ok(false) };
        self.next += 1;
        into.seq = frame.seq;
        into.base.clone_from(&frame.base);
        into.calls.clone_from(&frame.calls);
        Ok(true)
    }

    fn seek(&mut self, _mark: Option<&str>, seq: u64) -> Result<(), FramesError> {
        let frames = self.frames.lock().unwrap();
        self.next = frames.iter().position(|f| f.seq >= seq).unwrap_or(frames.len());
        Ok(())
    }
}

/// Everything in it is booked.
pub fn all(_: &str) -> Option<Position> {
    Some(Position { seq: u64::MAX, index: 0 })
}
