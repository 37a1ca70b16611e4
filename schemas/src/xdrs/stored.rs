//! A stored call as a run over past calls needs it: what it is priced by, and of its sides what is compared and summed.
//! Read without what a run leaves as it is (ids, events, raw references), into places that are used again. Never a
//! whole call: whoever writes one decodes it whole.

use crate::codec::{Reader, Stop};
use crate::error::{DecodeError, Problem};
use crate::wire;
use facts::call::{Attempt, Call, Endpoint};
use facts::ids::CallId;
use facts::xdr::{ProvisionalSource, Side, Unrated};
use facts::{Amount, Currency, E164, OccurredAt};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// One stored side, borrowing its names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredSide<'a> {
    pub side: Side,
    pub level: u8,
    pub attempt: Option<u16>,
    pub account: &'a str,
    pub product: &'a str,
    pub agreement: &'a str,
    pub amount: Amount,
    pub gross: Amount,
    pub currency: Currency,
    /// Deck and destination of its rate.
    pub rate: Option<(&'a str, &'a str)>,
    pub unrated: Option<Unrated>,
    pub provisional: Option<ProvisionalSource>,
}

/// The sides of a stored call.
pub type StoredCall<'a> = SmallVec<[StoredSide<'a>; 2]>;

/// Reads both parts of a rated call: what it is priced by into `call` (its id domain and key, the caller as received,
/// events, dedupe keys, import and raw references are left as they are there), its sides as the result. The item has to
/// be a rated call.
pub fn stored_call<'a>(public: &'a [u8], private: &'a [u8], call: &mut Call) -> Result<StoredCall<'a>, DecodeError> {
    let body = strip(public, wire::XdrsItemItem::RATED_CALL)?;
    let hidden = strip(private, wire::XdrsPrivateItem::RATED_CALL_PRIVATE)?;
    let mut reader = Reader::new(body);
    let sides = open_part(&mut reader, call).map_err(|Stop| reader.failure())?;
    let mut reader = Reader::new(hidden);
    private_part(&mut reader, call).map_err(|Stop| reader.failure())?;
    Ok(sides)
}

fn strip(part: &[u8], branch: u8) -> Result<&[u8], DecodeError> {
    match part.split_first() {
        Some((first, body)) if *first == branch => Ok(body),
        _ => Err(DecodeError::new("XdrsItem.item", Problem::Mismatch)),
    }
}

/// Field by field in the order of the schema; what is not taken over is read past.
fn open_part<'a>(r: &mut Reader<'a>, call: &mut Call) -> Result<StoredCall<'a>, Stop> {
    // Which revision it is the head of the call says.
    match r.branch(3, "RatedCall.revision")? {
        0 => {}
        1 => _ = wire::LateRevision::read(r)?,
        _ => _ = wire::RunRevision::read(r)?,
    }
    call.call_id = CallId(r.fixed::<16>("RatedCall.call_id")?);
    r.bytes("RatedCall.id_domain")?;
    put(&mut call.switch, r.text("RatedCall.switch")?);
    endpoint(&wire::Endpoint::read(r)?, &mut call.inbound);
    call.started_at = OccurredAt(r.long("RatedCall.started_at")?);
    call.answered_at = instant(r, "RatedCall.answered_at")?;
    call.ended_at = OccurredAt(r.long("RatedCall.ended_at")?);
    call.duration = r.long("RatedCall.duration")?;
    call.pdd = instant(r, "RatedCall.pdd")?.map(OccurredAt::micros);
    call.sip_code = code(r, "RatedCall.sip_code")?;
    call.q850 = code(r, "RatedCall.q850")?;
    attempts(r, call)?;
    call.estimated = r.boolean("RatedCall.estimated")?;
    call.hold_id = id(r, "RatedCall.hold_id")?;
    call.held = match r.branch(2, "RatedCall.held")? {
        0 => None,
        _ => Some(Amount(r.decimal("RatedCall.held")?)),
    };
    each(r, 16, "RatedCall.dedupe", |r| r.fixed::<16>("RatedCall.dedupe").map(drop))?;
    id(r, "RatedCall.import")?;
    let mut sides = StoredCall::new();
    each(r, 52, "RatedCall.xdrs", |r| {
        let xdr = wire::Xdr::read(r)?;
        sides.push(StoredSide {
            side: xdr.side,
            level: xdr.level,
            attempt: xdr.attempt,
            account: xdr.account,
            product: xdr.product,
            agreement: xdr.agreement,
            amount: Amount(xdr.amount),
            gross: Amount(xdr.gross.unwrap_or(xdr.amount)),
            currency: xdr.currency,
            rate: xdr.rate.as_ref().map(|rate| (rate.deck, rate.destination)),
            unrated: xdr.unrated,
            provisional: xdr.provisional,
        });
        Ok(())
    })?;
    Ok(sides)
}

fn attempts(r: &mut Reader<'_>, call: &mut Call) -> Result<(), Stop> {
    let mut count = 0;
    each(r, 15, "RatedCall.attempts", |r| {
        let read = wire::Attempt::read(r)?;
        if call.attempts.len() == count {
            call.attempts.push(Attempt::default());
        }
        if let Some(attempt) = call.attempts.get_mut(count) {
            attempt.number = read.number;
            endpoint(&read.outbound, &mut attempt.outbound);
            attempt.started_at = read.started_at.map(OccurredAt);
            attempt.answered_at = read.answered_at.map(OccurredAt);
            attempt.ended_at = read.ended_at.map(OccurredAt);
            attempt.duration = read.duration;
            (attempt.pdd, attempt.sip_code, attempt.q850) = (read.pdd, read.sip_code, read.q850);
            attempt.last = read.last;
        }
        count += 1;
        Ok(())
    })?;
    call.attempts.truncate(count);
    Ok(())
}

fn private_part(r: &mut Reader<'_>, call: &mut Call) -> Result<(), Stop> {
    r.bytes("RatedCallPrivate.call_key")?;
    r.bytes("RatedCallPrivate.caller")?;
    put(&mut call.called, r.text("RatedCallPrivate.called")?);
    call.caller_number = number(r, "RatedCallPrivate.caller_number")?;
    call.called_number = number(r, "RatedCallPrivate.called_number")?;
    call.rn = number(r, "RatedCallPrivate.rn")?;
    let (mut count, field) = (0, "RatedCallPrivate.attempt_keys");
    each(r, 1, field, |r| {
        let key = r.text(field)?;
        match call.attempts.get_mut(count) {
            Some(attempt) => put(&mut attempt.key, key),
            None => return Err(r.error(field, Problem::Mismatch)),
        }
        count += 1;
        Ok(())
    })?;
    if count == call.attempts.len() { Ok(()) } else { Err(r.error(field, Problem::Mismatch)) }
}

/// Reads the items of an array one by one.
fn each<'a>(
    r: &mut Reader<'a>,
    least: usize,
    field: &'static str,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    loop {
        let items = r.block(least, field)?;
        if items == 0 {
            return Ok(());
        }
        for _ in 0..items {
            item(r)?;
        }
    }
}

fn instant(r: &mut Reader<'_>, field: &'static str) -> Result<Option<OccurredAt>, Stop> {
    Ok(if r.branch(2, field)? == 0 { None } else { Some(OccurredAt(r.long(field)?)) })
}

fn code(r: &mut Reader<'_>, field: &'static str) -> Result<Option<u16>, Stop> {
    if r.branch(2, field)? == 0 { Ok(None) } else { r.integer::<u16>(field).map(Some) }
}

fn id(r: &mut Reader<'_>, field: &'static str) -> Result<Option<[u8; 16]>, Stop> {
    if r.branch(2, field)? == 0 { Ok(None) } else { r.fixed::<16>(field).map(Some) }
}

fn number(r: &mut Reader<'_>, field: &'static str) -> Result<Option<E164>, Stop> {
    if r.branch(2, field)? == 0 { Ok(None) } else { r.number(field).map(Some) }
}

/// Calls one behind the other often say the same. The texts are of few bytes: compared here, for calling a library's
/// comparison on each took a fifth of a preview's time.
fn put(place: &mut SmolStr, text: &str) {
    let (old, new) = (place.as_bytes(), text.as_bytes());
    if old.len() != new.len() || old.iter().zip(new).any(|(old, new)| old != new) {
        *place = text.into();
    }
}

fn endpoint(read: &wire::Endpoint<'_>, place: &mut Endpoint) {
    put(&mut place.trunk, read.trunk);
    put(&mut place.ip, read.ip);
    place.port = read.port;
    put(&mut place.digest_user, read.digest_user);
    put(&mut place.tech_prefix, read.tech_prefix);
    put(&mut place.account, read.account);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::samples;
    use facts::xdr::{Position, Revision};

    fn side(xdr: &facts::xdr::Xdr) -> StoredSide<'_> {
        StoredSide {
            side: xdr.side,
            level: xdr.level,
            attempt: xdr.attempt,
            account: &xdr.account,
            product: &xdr.product,
            agreement: &xdr.agreement,
            amount: xdr.amount,
            gross: xdr.gross,
            currency: xdr.currency,
            rate: xdr.rate.as_ref().map(|rate| (rate.deck.as_str(), rate.destination.as_str())),
            unrated: xdr.unrated,
            provisional: xdr.provisional,
        }
    }

    /// Two readers of one item: a run must price what the rater stored, whatever call was read into the place before.
    #[test]
    fn what_a_run_prices_is_the_call_as_it_was_stored() {
        let whole = samples::rated_call();
        assert!(whole.call.attempts.len() == 1 && whole.xdrs.len() > 1, "a call with sides of both kinds");
        let mut twice = whole.clone();
        twice.call.attempts.push(Attempt { key: "another".into(), number: 2, ..Attempt::default() });
        let mut bare = whole.clone();
        bare.call = Call { call_id: whole.call.call_id, call_key: "bare".into(), ..Call::default() };
        bare.revision = Revision::Run { run: [3; 16], based_on: Position { seq: 9, index: 1 } };
        bare.xdrs.clear();
        let calls = [&whole, &twice, &bare];
        let mut place = Call::default();
        for rated in calls.into_iter().chain(calls.into_iter().rev()) {
            let (mut public, mut private) = (Vec::new(), Vec::new());
            super::super::encode_call(rated, &mut public, &mut private);
            let sides = stored_call(&public, &private, &mut place).unwrap();
            assert!(sides.iter().eq(rated.xdrs.iter().map(side).collect::<Vec<_>>().iter()));
            let Call { id_domain, call_key, caller, dedupe, events, import, raw, .. } = place.clone();
            let left = Call { id_domain, call_key, caller, dedupe, events, import, raw, ..rated.call.clone() };
            assert_eq!(place, left);
            for cut in 0..public.len() {
                assert!(stored_call(&public[..cut], &private, &mut place).is_err(), "cut at {cut}");
            }
            assert!(stored_call(&public, &private[..9], &mut place).is_err());
            assert!(stored_call(&private, &public, &mut place).is_err());
        }
    }
}
