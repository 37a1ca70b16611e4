//! From a rated call to rows: one per attempt with both sides, one per further reseller level. Pure; the same call at
//! the same place always gives the same rows, so that a range sent twice is the same range.

use clickhouse::Row;
use facts::call::{Attempt, Endpoint};
use facts::xdr::{Position, RatedCall, Side, Xdr};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

type Text<'a> = Cow<'a, str>;

/// One row of `attempts`; see `sql/0001_base.sql` for the meaning of each column.
#[derive(Row, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct AttemptRow<'a> {
    pub site: Text<'a>,
    pub stream: Text<'a>,
    pub seq: u64,
    pub idx: u32,
    pub sign: i8,
    pub call_id: [u8; 16],
    pub attempt: u16,
    pub is_final: u8,
    pub tried: u8,
    pub estimated: u8,
    pub started: i64,
    pub switch: Text<'a>,
    pub caller: Text<'a>,
    pub called: Text<'a>,
    pub customer: Text<'a>,
    pub sell_product: Text<'a>,
    pub destination: Text<'a>,
    pub in_trunk: Text<'a>,
    pub answered: u8,
    pub code: u16,
    pub talk_us: i64,
    pub pdd_us: i64,
    pub billed_sell_us: i64,
    pub sell_amount: i128,
    pub sell_tax: i128,
    pub sell_currency: Text<'a>,
    pub sell_rate: i64,
    pub sell_unrated: Text<'a>,
    pub vendor: Text<'a>,
    pub buy_product: Text<'a>,
    pub buy_destination: Text<'a>,
    pub out_trunk: Text<'a>,
    pub leg_answered: u8,
    pub leg_code: u16,
    pub leg_talk_us: i64,
    pub leg_pdd_us: i64,
    pub billed_buy_us: i64,
    pub buy_amount: i128,
    pub buy_currency: Text<'a>,
    pub buy_rate: i64,
    pub buy_unrated: Text<'a>,
    /// Of a row that takes another back: where that one stands.
    pub of_stream: Text<'a>,
    pub of_seq: u64,
    pub of_idx: u32,
}

/// One row of `levels`.
#[derive(Row, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct LevelRow<'a> {
    pub site: Text<'a>,
    pub stream: Text<'a>,
    pub seq: u64,
    pub idx: u32,
    pub sign: i8,
    pub call_id: [u8; 16],
    pub side: Text<'a>,
    pub level: u8,
    pub started: i64,
    pub account: Text<'a>,
    pub product: Text<'a>,
    pub destination: Text<'a>,
    pub billed_us: i64,
    pub amount: i128,
    pub tax: i128,
    pub currency: Text<'a>,
    pub rate: i64,
    pub unrated: Text<'a>,
}

/// Where rows come from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub site: &'a str,
    pub stream: &'a str,
    pub at: Position,
}

/// Latest instant stored (2100-01-01): what a broken switch clock says beyond it, or before 1970, is held to the edge.
const LATEST: i64 = 4_102_444_800_000_000;

/// The instant as stored.
#[must_use]
pub fn stored_instant(micros: i64) -> i64 {
    micros.clamp(0, LATEST)
}

/// The bound of a question as the engine can compare it: what is stored lies within.
pub(crate) fn stored_bound(micros: i64) -> i64 {
    micros.clamp(0, LATEST + 3_600_000_000)
}

/// Appends the rows of one rated call.
pub fn append<'a>(
    from: Origin<'a>,
    rated: &'a RatedCall,
    attempts: &mut Vec<AttemptRow<'a>>,
    levels: &mut Vec<LevelRow<'a>>,
) {
    let call = &rated.call;
    let direct = rated.xdrs.iter().find(|x| x.side == Side::Sell && x.level == 0);
    let template = call_columns(from, rated, direct);
    let last = final_attempt(&call.attempts);
    if call.attempts.is_empty() {
        let mut row = template.clone();
        with_result(&mut row, rated, direct);
        attempts.push(row);
    }
    for (index, attempt) in call.attempts.iter().enumerate() {
        let mut row = template.clone();
        let buy = rated.xdrs.iter().find(|x| is_buy_of(x, index));
        with_attempt(&mut row, index, attempt, buy);
        if Some(index) == last {
            with_result(&mut row, rated, direct);
        }
        attempts.push(row);
    }
    let started = stored_instant(call.started_at.micros());
    levels.extend(rated.xdrs.iter().filter(|x| x.level > 0).map(|x| level_row(from, started, rated, x)));
}

fn is_buy_of(xdr: &Xdr, index: usize) -> bool {
    xdr.side == Side::Buy && xdr.level == 0 && xdr.attempt.map(usize::from) == Some(index)
}

/// The attempt that carries the call's result: the one that was answered, else the last.
fn final_attempt(attempts: &[Attempt]) -> Option<usize> {
    attempts.iter().rposition(|a| a.answered_at.is_some()).or_else(|| attempts.len().checked_sub(1))
}

/// What stands on every row of the call.
fn call_columns<'a>(from: Origin<'a>, rated: &'a RatedCall, direct: Option<&'a Xdr>) -> AttemptRow<'a> {
    let call = &rated.call;
    let number = |parsed: &'a Option<facts::E164>, raw: &'a str| match parsed {
        Some(number) => Cow::Borrowed(number.as_str()),
        None => Cow::Borrowed(raw),
    };
    AttemptRow {
        site: from.site.into(),
        stream: from.stream.into(),
        seq: from.at.seq,
        idx: from.at.index,
        sign: 1,
        call_id: call.call_id.0,
        attempt: 0,
        is_final: 0,
        tried: 0,
        estimated: u8::from(call.estimated),
        started: stored_instant(call.started_at.micros()),
        switch: call.switch.as_str().into(),
        caller: number(&call.caller_number, &call.caller),
        called: number(&call.called_number, &call.called),
        customer: direct.map_or("", |x| x.account.as_str()).into(),
        sell_product: direct.map_or("", |x| x.product.as_str()).into(),
        destination: direct.map_or("", destination).into(),
        in_trunk: trunk(&call.inbound).into(),
        answered: 0,
        code: 0,
        talk_us: 0,
        pdd_us: -1,
        billed_sell_us: 0,
        sell_amount: 0,
        sell_tax: 0,
        sell_currency: direct.map_or("", |x| x.currency.as_str()).into(),
        sell_rate: 0,
        sell_unrated: "".into(),
        vendor: "".into(),
        buy_product: "".into(),
        buy_destination: "".into(),
        out_trunk: "".into(),
        leg_answered: 0,
        leg_code: 0,
        leg_talk_us: 0,
        leg_pdd_us: -1,
        billed_buy_us: 0,
        buy_amount: 0,
        buy_currency: "".into(),
        buy_rate: 0,
        buy_unrated: "".into(),
        of_stream: "".into(),
        of_seq: 0,
        of_idx: 0,
    }
}

/// The call's result and its sell side, on its final row.
fn with_result<'a>(row: &mut AttemptRow<'a>, rated: &'a RatedCall, direct: Option<&'a Xdr>) {
    let call = &rated.call;
    row.is_final = 1;
    row.answered = u8::from(call.answered());
    row.code = result_code(call.answered(), call.sip_code, call.q850);
    row.talk_us = if call.answered() { call.duration } else { 0 };
    row.pdd_us = call.pdd.unwrap_or(-1);
    if let Some(xdr) = direct {
        row.billed_sell_us = xdr.billed;
        row.sell_amount = xdr.amount.0;
        row.sell_tax = tax(xdr);
        row.sell_rate = rate(xdr);
        row.sell_unrated = unrated(xdr).into();
    }
}

fn with_attempt<'a>(row: &mut AttemptRow<'a>, index: usize, attempt: &'a Attempt, buy: Option<&'a Xdr>) {
    let answered = attempt.answered_at.is_some();
    // At most 256 attempts a call (design 6.2).
    row.attempt = u16::try_from(index + 1).unwrap_or(u16::MAX);
    row.tried = 1;
    row.out_trunk = trunk(&attempt.outbound).into();
    row.leg_answered = u8::from(answered);
    row.leg_code = result_code(answered, attempt.sip_code, attempt.q850);
    row.leg_talk_us = if answered { attempt.duration } else { 0 };
    row.leg_pdd_us = attempt.pdd.unwrap_or(-1);
    if let Some(xdr) = buy {
        row.vendor = xdr.account.as_str().into();
        row.buy_product = xdr.product.as_str().into();
        row.buy_destination = destination(xdr).into();
        row.billed_buy_us = xdr.billed;
        row.buy_amount = xdr.amount.0;
        row.buy_currency = xdr.currency.as_str().into();
        row.buy_rate = rate(xdr);
        row.buy_unrated = unrated(xdr).into();
    }
}

fn level_row<'a>(from: Origin<'a>, started: i64, rated: &'a RatedCall, xdr: &'a Xdr) -> LevelRow<'a> {
    LevelRow {
        site: from.site.into(),
        stream: from.stream.into(),
        seq: from.at.seq,
        idx: from.at.index,
        sign: 1,
        call_id: rated.call.call_id.0,
        side: xdr.side.as_str().into(),
        level: xdr.level,
        started,
        account: xdr.account.as_str().into(),
        product: xdr.product.as_str().into(),
        destination: destination(xdr).into(),
        billed_us: xdr.billed,
        amount: xdr.amount.0,
        tax: tax(xdr),
        currency: xdr.currency.as_str().into(),
        rate: rate(xdr),
        unrated: unrated(xdr).into(),
    }
}

fn destination(xdr: &Xdr) -> &str {
    xdr.rate.as_ref().map_or("", |r| r.destination.as_str())
}

fn rate(xdr: &Xdr) -> i64 {
    xdr.rate.as_ref().map_or(0, |r| r.next_rate.0)
}

fn unrated(xdr: &Xdr) -> &'static str {
    xdr.unrated.map_or("", |reason| reason.as_str())
}

/// Amounts are below 10^38 in size (an i128 has 39 digits, the rater refuses earlier), so the difference fits.
fn tax(xdr: &Xdr) -> i128 {
    xdr.gross.0.saturating_sub(xdr.amount.0)
}

fn trunk(end: &Endpoint) -> &str {
    if end.trunk.is_empty() { &end.ip } else { &end.trunk }
}

/// The SIP code by which a result is counted. Switches that speak Q.850 only are mapped as RFC 3398 section 8.2.6.1
/// does, but for cause 21 (call rejected), which is the callee's refusal here (603), not the network's.
#[must_use]
pub fn result_code(answered: bool, sip: Option<u16>, q850: Option<u16>) -> u16 {
    if answered {
        return 200;
    }
    if let Some(code) = sip.filter(|code| *code != 0) {
        return code;
    }
    match q850 {
        None | Some(0) => 0,
        // Normal clearing without an answer: the caller gave up.
        Some(16) => 487,
        Some(17) => 486,
        Some(18) => 408,
        Some(19 | 20 | 31) => 480,
        Some(21) => 603,
        Some(22) => 410,
        Some(1..=3 | 26) => 404,
        Some(27) => 502,
        Some(28) => 484,
        Some(29 | 79) => 501,
        Some(55 | 57 | 87) => 403,
        Some(65 | 70) => 488,
        Some(102) => 504,
        Some(34 | 38 | 41 | 42 | 47 | 58 | 88) => 503,
        Some(_) => 500,
    }
}

impl AttemptRow<'_> {
    /// The row that takes this one back, standing at the place (stream and position) of what replaces it.
    #[must_use]
    pub fn reversed(&self, stream: &str, at: Position) -> AttemptRow<'static> {
        let (of_stream, of_seq, of_idx) = (Cow::Owned(self.stream.to_string()), self.seq, self.idx);
        let (stream, seq, idx, sign) = (Cow::Owned(stream.to_owned()), at.seq, at.index, -self.sign);
        AttemptRow { stream, seq, idx, sign, of_stream, of_seq, of_idx, ..self.owned() }
    }

    /// The same row, borrowing nothing.
    #[must_use]
    pub fn owned(&self) -> AttemptRow<'static> {
        let own = |text: &Text<'_>| Cow::Owned(text.clone().into_owned());
        AttemptRow {
            site: own(&self.site),
            stream: own(&self.stream),
            seq: self.seq,
            idx: self.idx,
            sign: self.sign,
            of_stream: own(&self.of_stream),
            of_seq: self.of_seq,
            of_idx: self.of_idx,
            switch: own(&self.switch),
            caller: own(&self.caller),
            called: own(&self.called),
            customer: own(&self.customer),
            sell_product: own(&self.sell_product),
            destination: own(&self.destination),
            in_trunk: own(&self.in_trunk),
            sell_currency: own(&self.sell_currency),
            sell_unrated: own(&self.sell_unrated),
            vendor: own(&self.vendor),
            buy_product: own(&self.buy_product),
            buy_destination: own(&self.buy_destination),
            out_trunk: own(&self.out_trunk),
            buy_currency: own(&self.buy_currency),
            buy_unrated: own(&self.buy_unrated),
            call_id: self.call_id,
            attempt: self.attempt,
            is_final: self.is_final,
            tried: self.tried,
            estimated: self.estimated,
            started: self.started,
            answered: self.answered,
            code: self.code,
            talk_us: self.talk_us,
            pdd_us: self.pdd_us,
            billed_sell_us: self.billed_sell_us,
            sell_amount: self.sell_amount,
            sell_tax: self.sell_tax,
            sell_rate: self.sell_rate,
            leg_answered: self.leg_answered,
            leg_code: self.leg_code,
            leg_talk_us: self.leg_talk_us,
            leg_pdd_us: self.leg_pdd_us,
            billed_buy_us: self.billed_buy_us,
            buy_amount: self.buy_amount,
            buy_rate: self.buy_rate,
        }
    }
}

impl LevelRow<'_> {
    /// The row that takes this one back.
    #[must_use]
    pub fn reversed(&self, stream: &str, at: Position) -> LevelRow<'static> {
        let (stream, seq, idx, sign) = (Cow::Owned(stream.to_owned()), at.seq, at.index, -self.sign);
        LevelRow { stream, seq, idx, sign, ..self.owned() }
    }

    /// The same row, borrowing nothing.
    #[must_use]
    pub fn owned(&self) -> LevelRow<'static> {
        let own = |text: &Text<'_>| Cow::Owned(text.clone().into_owned());
        LevelRow {
            site: own(&self.site),
            stream: own(&self.stream),
            seq: self.seq,
            idx: self.idx,
            sign: self.sign,
            side: own(&self.side),
            account: own(&self.account),
            product: own(&self.product),
            destination: own(&self.destination),
            currency: own(&self.currency),
            unrated: own(&self.unrated),
            call_id: self.call_id,
            level: self.level,
            started: self.started,
            billed_us: self.billed_us,
            amount: self.amount,
            tax: self.tax,
            rate: self.rate,
        }
    }
}

#[cfg(test)]
mod tests;
