//! May a vendor be tried for a call? (design 5, 8.5) One hold an attempt, against what we may still come to owe that vendor:
//! a vendor with too little left leaves routing before it refuses. Pure; the same sizes and steps as a customer's hold.

use crate::authorise::{Granted, Offered, Refusal, allowed, allowed_more, until_of, wanted};
use crate::book::Book;
use crate::pay::is_party;
use facts::Amount;
use facts::config::Config;
use facts::entry::{Gl, Hold, attempt_hold_id};
use facts::ids::{CallId, XdrId};
use facts::{OccurredAt, Side};
use smallvec::smallvec;
use smol_str::SmolStr;

/// A vendor that may be tried.
#[derive(Clone, Debug)]
pub struct AttemptWish {
    pub call_id: CallId,
    /// The switch's own id of the B leg; the same on its records.
    pub attempt_key: SmolStr,
    pub at: OccurredAt,
    /// Whoever asks comes back before the seconds held are over.
    pub extendable: bool,
    /// The vendor's terms.
    pub line: Offered,
}

/// What we may still come to owe a vendor: its limit with what is granted, what we paid ahead or it owes us, less what we
/// owe it, less what is held for open attempts. `None` beyond the range or where the configuration does not know it.
pub fn owable(book: &Book, config: &Config, account: &str, now: i64) -> Option<Amount> {
    let terms = config.accounts.get(account)?;
    let mut sum = Amount(i128::from(terms.credit_limit.0) * 100).checked_add(book.holds().granted(account, now)?)?;
    for line in book.lines().of_account(account) {
        if line.currency == terms.currency && is_party(line.gl) && line.gl != Gl::Deposits {
            sum = sum.checked_add(line.balance())?;
        }
    }
    sum.checked_sub(book.holds().held_for_attempts(account).amount)
}

/// Decides on an attempt.
pub fn attempt(book: &Book, config: &Config, wish: &AttemptWish) -> Result<Granted<Hold>, Refusal> {
    let now = wish.at.0;
    let id = attempt_hold_id(XdrId::new(wish.call_id, &wish.attempt_key, Side::Buy, 0));
    if let Some(hold) = book.holds().get(id) {
        return Ok(Granted { item: None, hold: hold.clone(), allowed: allowed(book, config, hold, now) });
    }
    if book.holds().ended(id) || book.knows(wish.call_id) {
        return Err(Refusal::Ended);
    }
    let line = &wish.line;
    if !config.accounts.contains_key(&line.account) {
        return Err(Refusal::UnknownAccount);
    }
    let offer = &line.offer;
    offer.cost(0).ok_or(Refusal::AmountRange)?;
    let money = owable(book, config, &line.account, now).ok_or(Refusal::AmountRange)?.0.max(0);
    let longest = config.settings.maximum_call_seconds;
    let intervals = offer.fit(None, money, wanted(offer, wish.extendable, longest)).ok_or(Refusal::VendorCredit)?;
    let seconds = offer.seconds(intervals);
    let hold = Hold {
        hold_id: id,
        call_id: wish.call_id,
        at: wish.at,
        until: until_of(wish.at, seconds, longest),
        seconds,
        extendable: wish.extendable,
        lines: smallvec![crate::authorise::held_line(line, seconds)?],
    };
    let allowed = if wish.extendable { allowed_more(book, config, &hold, now) } else { seconds };
    Ok(Granted { item: Some(hold.clone()), hold, allowed })
}

#[cfg(test)]
mod tests;
