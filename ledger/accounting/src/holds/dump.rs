//! Holds and terms as bytes: for the state root and for snapshots, which are caches of this version's fold only.

use super::scopes::{Scope, Scopes};
use super::{Held, Holds, Terms};
use crate::snapshot::{Bytes, LoadError};
use facts::entry::{Caps, Counted, Grant, Hold, HoldLine, LedgerItem, ScopeCaps};
use facts::ids::{CallId, OriginId};
use facts::{Amount, Currency, OccurredAt, Prefix};
use smallvec::SmallVec;
use smol_str::SmolStr;

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn maybe<const N: usize>(value: Option<[u8; N]>, out: &mut Vec<u8>) {
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(&value.unwrap_or([0; N]));
}

/// An open hold with all its terms.
pub(super) fn hold(hold: &Hold, out: &mut Vec<u8>) {
    out.extend_from_slice(&hold.hold_id.0);
    out.extend_from_slice(&hold.call_id.0);
    out.extend_from_slice(&hold.at.0.to_le_bytes());
    out.extend_from_slice(&hold.until.0.to_le_bytes());
    out.extend_from_slice(&hold.seconds.to_le_bytes());
    out.push(u8::from(hold.extendable));
    out.extend_from_slice(&(hold.lines.len() as u32).to_le_bytes());
    for line in &hold.lines {
        text(&line.account, out);
        out.push(line.level);
        text(line.currency.as_str(), out);
        for amount in [line.amount, line.first, line.next] {
            out.extend_from_slice(&amount.0.to_le_bytes());
        }
        for number in [line.first_seconds, line.next_seconds, line.deck_version] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(line.decimals);
        text(&line.deck, out);
        text(&line.prefix.to_string(), out);
        text(&line.destination, out);
    }
}

/// Grants and caps of an account. What it spent is derived from entries and stands in no root: see [`dump`].
pub(super) fn terms(account: &str, terms: &Terms, out: &mut Vec<u8>) {
    text(account, out);
    out.extend_from_slice(&(terms.grants.len() as u32).to_le_bytes());
    for grant in &terms.grants {
        out.extend_from_slice(&grant.origin_id.0);
        text(grant.currency.as_str(), out);
        out.extend_from_slice(&grant.amount.0.to_le_bytes());
        out.extend_from_slice(&grant.at.0.to_le_bytes());
        maybe(grant.until.map(|until| until.0.to_le_bytes()), out);
        [&grant.by, &grant.approved_by, &grant.reason].into_iter().for_each(|part| text(part, out));
    }
    out.push(u8::from(terms.caps.is_some()));
    let Some(caps) = &terms.caps else { return };
    out.extend_from_slice(&caps.origin_id.0);
    text(caps.currency.as_str(), out);
    out.extend_from_slice(&caps.at.0.to_le_bytes());
    for number in [caps.calls, caps.calls_per_second, caps.calls_without_extend] {
        maybe(number.map(u32::to_le_bytes), out);
    }
    for amount in [caps.daily_spend, caps.highest_rate, caps.low_balance, caps.high_spend] {
        maybe(amount.map(|amount| amount.0.to_le_bytes()), out);
    }
    out.extend_from_slice(&(caps.barred.len() as u32).to_le_bytes());
    caps.barred.iter().for_each(|prefix| text(&prefix.to_string(), out));
    text(&caps.by, out);
    text(&caps.reason, out);
}

/// Caps of trunks and groups, and what open holds count for. What was spent stands in no root.
pub(super) fn scopes(scopes: &Scopes, out: &mut Vec<u8>) {
    let (all, counted, _) = scopes.parts();
    out.extend_from_slice(&(all.len() as u64).to_le_bytes());
    all.values().for_each(|scope| scope_caps(&scope.caps, out));
    out.extend_from_slice(&(counted.len() as u64).to_le_bytes());
    for (id, names) in counted {
        out.extend_from_slice(&id.0);
        texts(names, out);
    }
}

fn texts(all: &[SmolStr], out: &mut Vec<u8>) {
    out.extend_from_slice(&(all.len() as u32).to_le_bytes());
    all.iter().for_each(|name| text(name, out));
}

fn scope_caps(caps: &ScopeCaps, out: &mut Vec<u8>) {
    out.extend_from_slice(&caps.origin_id.0);
    [&caps.account, &caps.scope, &caps.by, &caps.reason].into_iter().for_each(|part| text(part, out));
    text(caps.currency.as_str(), out);
    out.extend_from_slice(&caps.at.0.to_le_bytes());
    out.extend_from_slice(&(caps.codes.len() as u32).to_le_bytes());
    caps.codes.iter().for_each(|code| text(&code.to_string(), out));
    maybe(caps.calls.map(u32::to_le_bytes), out);
    maybe(caps.calls_per_second.map(u32::to_le_bytes), out);
    maybe(caps.daily_spend.map(|amount| amount.0.to_le_bytes()), out);
}

fn read_scope_caps(bytes: &mut Bytes<'_>) -> Result<ScopeCaps, LoadError> {
    let origin_id = OriginId(bytes.array()?);
    let [account, scope, by, reason] = [bytes.text()?, bytes.text()?, bytes.text()?, bytes.text()?];
    let (currency, at) = (currency(bytes)?, instant(bytes)?);
    let codes = (0..bytes.u32()?).map(|_| prefix(bytes)).collect::<Result<_, _>>()?;
    let (calls, calls_per_second) =
        (read_maybe(bytes)?.map(u32::from_le_bytes), read_maybe(bytes)?.map(u32::from_le_bytes));
    let daily_spend = read_maybe(bytes)?.map(|sum| Amount(i128::from_le_bytes(sum)));
    Ok(ScopeCaps { origin_id, account, currency, at, scope, codes, calls, calls_per_second, daily_spend, by, reason })
}

fn read_texts(bytes: &mut Bytes<'_>) -> Result<SmallVec<[SmolStr; 2]>, LoadError> {
    (0..bytes.u32()?).map(|_| bytes.text()).collect()
}

fn dump_scopes(all: &Scopes, out: &mut Vec<u8>) {
    scopes(all, out);
    let (all, _, last) = all.parts();
    for scope in all.values() {
        out.extend_from_slice(&scope.spent.0.to_le_bytes());
        out.extend_from_slice(&scope.spent.1.to_le_bytes());
    }
    out.push(u8::from(last.is_some()));
    if let Some((call, names)) = last {
        out.extend_from_slice(&call.0);
        texts(names, out);
    }
}

fn load_scopes(holds: &Holds, bytes: &mut Bytes<'_>) -> Result<Scopes, LoadError> {
    let begin = bytes.at();
    let damaged = || LoadError::Damaged(begin);
    let mut all = std::collections::BTreeMap::new();
    for _ in 0..bytes.count(16)? {
        let caps = read_scope_caps(bytes)?;
        all.insert(caps.scope.clone(), Scope { caps, spent: (0, 0), held: Held::default() });
    }
    let mut counted = Vec::new();
    for _ in 0..bytes.count(16)? {
        let (hold_id, scopes) = (OriginId(bytes.array()?), read_texts(bytes)?);
        let hold = holds.get(hold_id).cloned().ok_or_else(damaged)?;
        counted.push((Counted { hold_id, scopes }, hold));
    }
    for scope in all.values_mut() {
        scope.spent = (i64::from_le_bytes(bytes.array()?), i128::from_le_bytes(bytes.array()?));
    }
    let last = if flag(bytes)? { Some((CallId(bytes.array()?), read_texts(bytes)?)) } else { None };
    Scopes::load(all, counted, last).map_err(|_| damaged())
}

impl Holds {
    /// Appends the whole state.
    pub(crate) fn dump(&self, out: &mut Vec<u8>) {
        // The root of a ledger in which all holds have ended is another one than where there never was any.
        out.push(u8::from(!self.pages.is_empty()));
        out.extend_from_slice(&(self.open as u64).to_le_bytes());
        self.iter().for_each(|open| hold(open, out));
        out.extend_from_slice(&(self.ended.len() as u64).to_le_bytes());
        for (at, id) in &self.ended {
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&id.0);
        }
        out.extend_from_slice(&(self.terms.len() as u64).to_le_bytes());
        for (account, of) in &self.terms {
            terms(account, of, out);
            out.extend_from_slice(&of.spent.0.to_le_bytes());
            out.extend_from_slice(&of.spent.1.to_le_bytes());
        }
        dump_scopes(&self.scopes, out);
    }

    /// Reads what `dump` wrote.
    pub(crate) fn load(bytes: &mut Bytes<'_>) -> Result<Self, LoadError> {
        let mut holds = Self::default();
        if flag(bytes)? {
            holds.make_pages();
        }
        for _ in 0..bytes.count(16)? {
            let at = bytes.at();
            let hold = LedgerItem::Hold(Box::new(read_hold(bytes)?));
            holds.apply(&hold).map_err(|_| LoadError::Damaged(at))?;
        }
        for _ in 0..bytes.count(24)? {
            let at = i64::from_le_bytes(bytes.array()?);
            let id = OriginId(bytes.array()?);
            holds.ended.push_back((at, id));
            holds.ended_at.insert(id, at);
        }
        for _ in 0..bytes.count(20)? {
            let (account, mut of) = read_terms(bytes)?;
            of.spent = (i64::from_le_bytes(bytes.array()?), i128::from_le_bytes(bytes.array()?));
            holds.terms.insert(account, of);
        }
        holds.scopes = load_scopes(&holds, bytes)?;
        Ok(holds)
    }
}

fn amount(bytes: &mut Bytes<'_>) -> Result<Amount, LoadError> {
    Ok(Amount(i128::from_le_bytes(bytes.array()?)))
}

fn instant(bytes: &mut Bytes<'_>) -> Result<OccurredAt, LoadError> {
    Ok(OccurredAt(i64::from_le_bytes(bytes.array()?)))
}

fn currency(bytes: &mut Bytes<'_>) -> Result<Currency, LoadError> {
    let at = bytes.at();
    Currency::new(&bytes.text()?).map_err(|_| LoadError::Damaged(at))
}

fn prefix(bytes: &mut Bytes<'_>) -> Result<Prefix, LoadError> {
    let at = bytes.at();
    Prefix::new(&bytes.text()?).map_err(|_| LoadError::Damaged(at))
}

fn flag(bytes: &mut Bytes<'_>) -> Result<bool, LoadError> {
    let at = bytes.at();
    match bytes.array()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(LoadError::Damaged(at)),
    }
}

fn read_maybe<const N: usize>(bytes: &mut Bytes<'_>) -> Result<Option<[u8; N]>, LoadError> {
    let some = flag(bytes)?;
    let value = bytes.array()?;
    Ok(some.then_some(value))
}

fn read_hold(bytes: &mut Bytes<'_>) -> Result<Hold, LoadError> {
    let mut hold = Hold {
        hold_id: OriginId(bytes.array()?),
        call_id: CallId(bytes.array()?),
        at: instant(bytes)?,
        until: instant(bytes)?,
        seconds: bytes.u32()?,
        extendable: flag(bytes)?,
        lines: Default::default(),
    };
    for _ in 0..bytes.u32()? {
        let (account, [level]) = (bytes.text()?, bytes.array()?);
        let currency = currency(bytes)?;
        let (held, first, next) = (amount(bytes)?, amount(bytes)?, amount(bytes)?);
        let (first_seconds, next_seconds, deck_version) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
        let [decimals] = bytes.array()?;
        let (deck, prefix, destination) = (bytes.text()?, prefix(bytes)?, bytes.text()?);
        hold.lines.push(HoldLine {
            account,
            level,
            currency,
            amount: held,
            first,
            first_seconds,
            next,
            next_seconds,
            decimals,
            deck,
            deck_version,
            prefix,
            destination,
        });
    }
    Ok(hold)
}

fn read_terms(bytes: &mut Bytes<'_>) -> Result<(SmolStr, Terms), LoadError> {
    let account = bytes.text()?;
    let mut terms = Terms::default();
    for _ in 0..bytes.u32()? {
        terms.grants.push(Grant {
            origin_id: OriginId(bytes.array()?),
            account: account.clone(),
            currency: currency(bytes)?,
            amount: amount(bytes)?,
            at: instant(bytes)?,
            until: read_maybe(bytes)?.map(|until| OccurredAt(i64::from_le_bytes(until))),
            by: bytes.text()?,
            approved_by: bytes.text()?,
            reason: bytes.text()?,
        });
    }
    if flag(bytes)? {
        terms.caps = Some(read_caps(&account, bytes)?);
    }
    Ok((account, terms))
}

fn read_caps(account: &SmolStr, bytes: &mut Bytes<'_>) -> Result<Caps, LoadError> {
    let number = |bytes: &mut Bytes<'_>| Ok::<_, LoadError>(read_maybe(bytes)?.map(u32::from_le_bytes));
    let money =
        |bytes: &mut Bytes<'_>| Ok::<_, LoadError>(read_maybe(bytes)?.map(|sum| Amount(i128::from_le_bytes(sum))));
    let (origin_id, currency, at) = (OriginId(bytes.array()?), currency(bytes)?, instant(bytes)?);
    let (calls, calls_per_second, calls_without_extend) = (number(bytes)?, number(bytes)?, number(bytes)?);
    let (daily_spend, highest_rate) = (money(bytes)?, money(bytes)?);
    let (low_balance, high_spend) = (money(bytes)?, money(bytes)?);
    let mut barred = Vec::new();
    for _ in 0..bytes.u32()? {
        barred.push(prefix(bytes)?);
    }
    Ok(Caps {
        origin_id,
        account: account.clone(),
        currency,
        at,
        calls,
        calls_per_second,
        daily_spend,
        highest_rate,
        barred,
        calls_without_extend,
        low_balance,
        high_spend,
        by: bytes.text()?,
        reason: bytes.text()?,
    })
}
