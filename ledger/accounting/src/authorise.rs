//! May this call begin, and for how long? (design 5). Looks at the book as it is, decides, and gives the memo item that
//! sets the money aside; nothing counts before that item is durable. Pure: the time is a fact of the question.

use crate::book::Book;
use crate::credit::Offer;
use crate::holds::Scope;
use crate::net;
use crate::pay::is_party;
use facts::config::Config;
use facts::entry::{Extend, Gl, Hold, HoldLine, Release, ReleaseWhy, hold_id};
use facts::ids::{CallId, OriginId};
use facts::{Amount, Currency, E164, OccurredAt, Prefix};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// A further hold is asked for when so much of the seconds held has gone by; for whoever asks.
pub const EXTEND_AT_PERCENT: u32 = 80;
/// Seconds beside connect fee and first interval.
pub const STEP_SECONDS: u32 = 300;
/// One hold for a whole call, where the switch cannot extend.
pub const SESSION_SECONDS: u32 = 3_600;
/// Longest ringing, seconds.
pub const RINGING_SECONDS: u32 = 180;
/// How late the end of a call may be told, seconds.
pub const DELAY_SECONDS: u32 = 300;
/// Advice goes no further than a day.
const ALLOWED_MAX: u32 = 86_400;

/// A call that may begin, with the terms of each level that it is sold to.
#[derive(Clone, Debug)]
pub struct Wish {
    pub call_id: CallId,
    pub at: OccurredAt,
    /// The number that is rated; never stored.
    pub called: E164,
    /// Trunk of the configuration that it comes in by; empty where none is known.
    pub trunk: SmolStr,
    /// Whoever asks comes back before the seconds held are over.
    pub extendable: bool,
    /// By level.
    pub lines: SmallVec<[Offered; 1]>,
}

/// The terms of one level.
#[derive(Clone, Debug)]
pub struct Offered {
    pub account: SmolStr,
    pub level: u8,
    pub currency: Currency,
    pub offer: Offer,
    /// A minute at the dearest rate the call can meet.
    pub minute: Amount,
    pub deck: SmolStr,
    pub deck_version: u32,
    pub prefix: Prefix,
    pub destination: SmolStr,
}

/// Why a call may not begin or go on. Closed; in the order in which they are looked for. What makes a call unpriceable
/// is looked for before all of them, in the order of `facts::Unrated`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    #[error("this call has ended: its charge or release stands in the ledger")]
    Ended,
    #[error("no hold of this id is open; authorise the call first")]
    NoHold,
    #[error("this site is being drained and takes no new calls; ask another site")]
    Draining,
    #[error(
        "this site is not open for calls: what it had set aside is not known, or it is new and not ready; ask another site"
    )]
    Recovering,
    #[error("this hold was asked for as one for the whole call; it is not extended")]
    NotExtendable,
    #[error("the call has the longest duration that the configuration allows; end it")]
    Duration,
    #[error("the account is not in the configuration any more")]
    UnknownAccount,
    #[error("the account may not call this code; raise its caps by name")]
    Barred,
    #[error("the rate is above the highest that the account may use; raise its caps by name")]
    HighestRate,
    #[error("an amount of this call is beyond the integer range")]
    AmountRange,
    #[error("the account, its trunk or the group of codes has begun as many calls in this second as it may")]
    CallsPerSecond,
    #[error("the account, its trunk or the group of codes has as many calls at once as it may")]
    Calls,
    #[error("the account, its trunk or the group of codes has spent today what it may")]
    DailySpend,
    #[error("less than connect fee and first interval (or one further interval) is available")]
    Credit,
    #[error("less than connect fee and first interval (or one further interval) may still be owed to this vendor")]
    VendorCredit,
}

impl Refusal {
    pub const ALL: [Self; 15] = [
        Self::Ended,
        Self::NoHold,
        Self::Draining,
        Self::Recovering,
        Self::NotExtendable,
        Self::Duration,
        Self::UnknownAccount,
        Self::Barred,
        Self::HighestRate,
        Self::AmountRange,
        Self::CallsPerSecond,
        Self::Calls,
        Self::DailySpend,
        Self::Credit,
        Self::VendorCredit,
    ];

    /// The refusal as one word, for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::NoHold => "no_hold",
            Self::Draining => "draining",
            Self::Recovering => "recovering",
            Self::NotExtendable => "not_extendable",
            Self::Duration => "duration",
            Self::UnknownAccount => "unknown_account",
            Self::Barred => "barred",
            Self::HighestRate => "highest_rate",
            Self::AmountRange => "amount_range",
            Self::CallsPerSecond => "calls_per_second",
            Self::Calls => "calls",
            Self::DailySpend => "daily_spend",
            Self::Credit => "credit",
            Self::VendorCredit => "vendor_credit",
        }
    }
}

/// What is held, and how long the money would last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted<T> {
    /// The item to be written; `None` = the same answer as before, nothing to write.
    pub item: Option<T>,
    pub hold: Hold,
    /// Advice: what is available at this rate, at least the seconds held.
    pub allowed: u32,
}

/// New calls of accounts in the current second: not worth a log, forgotten in a crash.
#[derive(Debug, Default)]
pub struct Pace {
    second: i64,
    calls: HashMap<SmolStr, u32>,
}

impl Pace {
    fn at(&mut self, now: i64) -> &mut HashMap<SmolStr, u32> {
        let second = now.div_euclid(1_000_000);
        if second != self.second {
            self.second = second;
            self.calls.clear();
        }
        &mut self.calls
    }
}

/// What an account has left: its limit with what is granted, less what it owes, less what is held; beside other sites,
/// what this one may spend of it ([`Book::set_means`]). `None` beyond the
/// range or where the configuration does not know it.
pub fn available(book: &Book, config: &Config, account: &str, now: i64) -> Option<Amount> {
    let terms = config.accounts.get(account)?;
    if let Some(means) = book.means(account) {
        return Some(means);
    }
    if let Some(left) = net::available(book, config, terms, now) {
        return Some(left);
    }
    let mut sum = Amount(i128::from(terms.credit_limit.0) * 100).checked_add(book.holds().granted(account, now)?)?;
    for line in book.lines().of_account(account) {
        if line.currency == terms.currency && is_party(line.gl) && line.gl != Gl::Deposits {
            sum = sum.checked_sub(line.balance())?;
        }
    }
    sum.checked_sub(book.holds().held(account).amount)
}

/// What may still be spent today, where the account has a cap on it.
fn day_left(book: &Book, account: &str, now: i64) -> Option<i128> {
    let cap = book.share_of_amount(book.holds().terms(account)?.caps.as_ref()?.daily_spend?);
    Some(cap.0.saturating_sub(book.holds().spent(account, now).0).saturating_sub(book.holds().held(account).amount.0))
}

/// Decides on a call that may begin.
pub fn authorise(book: &Book, config: &Config, pace: &mut Pace, wish: &Wish) -> Result<Granted<Hold>, Refusal> {
    let id = hold_id(wish.call_id);
    let now = wish.at.0;
    if let Some(hold) = book.holds().get(id) {
        let allowed = allowed(book, config, hold, now);
        return Ok(Granted { item: None, hold: hold.clone(), allowed });
    }
    if book.holds().ended(id) || book.knows(wish.call_id) {
        return Err(Refusal::Ended);
    }
    wish.lines.iter().try_for_each(|line| may_use(book, config, wish, line))?;
    for line in &wish.lines {
        let cap = caps(book, &line.account).and_then(|caps| caps.calls_per_second).map(|cap| book.share_of(cap));
        if cap.is_some_and(|cap| pace.at(now).get(&line.account).copied().unwrap_or(0) >= cap) {
            return Err(Refusal::CallsPerSecond);
        }
    }
    let scopes = scopes_of(book, wish);
    for scope in &scopes {
        let begun = pace.at(now).get(&scope.caps.scope).copied().unwrap_or(0);
        if scope.caps.calls_per_second.is_some_and(|cap| begun >= book.share_of(cap)) {
            return Err(Refusal::CallsPerSecond);
        }
    }
    for line in &wish.lines {
        let cap = caps(book, &line.account).and_then(|caps| caps.calls).map(|cap| book.share_of(cap));
        if cap.is_some_and(|cap| book.holds().held(&line.account).calls >= cap) {
            return Err(Refusal::Calls);
        }
    }
    if scopes.iter().any(|scope| scope.caps.calls.is_some_and(|cap| scope.held.calls >= book.share_of(cap))) {
        return Err(Refusal::Calls);
    }
    let hold = sized(book, config, wish, &scopes)?;
    for scope in &scopes {
        *pace.at(now).entry(scope.caps.scope.clone()).or_default() += 1;
    }
    for line in &wish.lines {
        *pace.at(now).entry(line.account.clone()).or_default() += 1;
    }
    let allowed = if wish.extendable { allowed_more(book, config, &hold, now) } else { hold.seconds };
    Ok(Granted { item: Some(hold.clone()), hold, allowed })
}

/// Trunk and groups that have caps, in the order in which they are looked at.
fn scopes_of<'a>(book: &'a Book, wish: &'a Wish) -> SmallVec<[&'a Scope; 2]> {
    book.holds().scopes().of(wish.lines.iter().map(|line| &line.account), &wish.trunk, &wish.called)
}

/// The least that may still be spent today by an account's trunk and groups, where any of them has a cap on it.
fn scopes_left<'a>(book: &Book, scopes: impl Iterator<Item = &'a Scope>, account: &str, now: i64) -> Option<i128> {
    let left = |scope: &Scope| scope.day_left(now, |cap| book.share_of_amount(cap));
    scopes.filter(|scope| scope.caps.account == account).filter_map(left).min()
}

fn caps<'a>(book: &'a Book, account: &str) -> Option<&'a facts::entry::Caps> {
    book.holds().terms(account)?.caps.as_ref()
}

fn may_use(book: &Book, config: &Config, wish: &Wish, line: &Offered) -> Result<(), Refusal> {
    if !config.accounts.contains_key(&line.account) {
        return Err(Refusal::UnknownAccount);
    }
    let Some(caps) = caps(book, &line.account) else { return Ok(()) };
    if caps.barred.iter().any(|code| wish.called.starts_with(*code)) {
        return Err(Refusal::Barred);
    }
    if caps.highest_rate.is_some_and(|highest| line.minute > highest) {
        return Err(Refusal::HighestRate);
    }
    Ok(())
}

/// The hold as large as it may be: every level covers the same seconds, the fewest that any of them can pay.
fn sized(book: &Book, config: &Config, wish: &Wish, scopes: &[&Scope]) -> Result<Hold, Refusal> {
    let now = wish.at.0;
    let longest = config.settings.maximum_call_seconds;
    let mut seconds = u32::MAX;
    for line in &wish.lines {
        let offer = &line.offer;
        let least = offer.cost(0).ok_or(Refusal::AmountRange)?;
        let mut money = available(book, config, &line.account, now).ok_or(Refusal::AmountRange)?.0.max(0);
        money /= net::sharers(book, config, &line.account, wish.lines.iter().map(|line| &line.account));
        let wanted = wanted(offer, wish.extendable, longest);
        if !wish.extendable {
            let sharers = caps(book, &line.account).and_then(|caps| caps.calls_without_extend).unwrap_or(1);
            money /= i128::from(sharers.max(1));
        }
        let scopes = scopes_left(book, scopes.iter().copied(), &line.account, now);
        if let Some(left) = day_left(book, &line.account, now).into_iter().chain(scopes).min() {
            if least > left.max(0) {
                return Err(Refusal::DailySpend);
            }
            money = money.min(left);
        }
        let intervals = offer.fit(None, money, wanted).ok_or(Refusal::Credit)?;
        seconds = seconds.min(offer.seconds(intervals));
    }
    let lines = wish.lines.iter().map(|line| held_line(line, seconds)).collect::<Result<_, _>>()?;
    Ok(Hold {
        hold_id: hold_id(wish.call_id),
        call_id: wish.call_id,
        at: wish.at,
        until: until_of(wish.at, seconds, longest),
        seconds,
        extendable: wish.extendable,
        lines,
    })
}

/// Whole intervals after the first that a hold asks for.
pub(crate) fn wanted(offer: &Offer, extendable: bool, longest: u32) -> u32 {
    if extendable {
        return offer.intervals_for(offer.first_seconds.saturating_add(STEP_SECONDS));
    }
    SESSION_SECONDS.min(longest).saturating_sub(offer.first_seconds) / offer.next_seconds.max(1)
}

/// When the call of a hold cannot be going on any more: it may be answered at the end of the longest ringing, last as
/// long as a call may or as long as is held, and be told late.
pub(crate) fn until_of(at: OccurredAt, seconds: u32, longest: u32) -> OccurredAt {
    let limit = i64::from(RINGING_SECONDS) + i64::from(longest.max(seconds)) + i64::from(DELAY_SECONDS);
    OccurredAt(at.0.saturating_add(limit * 1_000_000))
}

/// The longest that the call of a hold may last, so that its end is told before the hold ends by itself.
fn room(hold: &Hold) -> u32 {
    let span = hold.until.0.saturating_sub(hold.at.0) / 1_000_000;
    u32::try_from(span - i64::from(RINGING_SECONDS) - i64::from(DELAY_SECONDS)).unwrap_or(0)
}

pub(crate) fn held_line(line: &Offered, seconds: u32) -> Result<HoldLine, Refusal> {
    let offer = &line.offer;
    // A rate that pays the caller holds nothing.
    let amount = offer.cost(offer.intervals_for(seconds)).ok_or(Refusal::AmountRange)?.max(0);
    Ok(HoldLine {
        account: line.account.clone(),
        level: line.level,
        currency: line.currency,
        amount: Amount(amount),
        first: offer.first,
        first_seconds: offer.first_seconds,
        next: offer.next,
        next_seconds: offer.next_seconds,
        decimals: offer.decimals,
        deck: line.deck.clone(),
        deck_version: line.deck_version,
        prefix: line.prefix,
        destination: line.destination.clone(),
    })
}

pub(crate) fn offer_of(line: &HoldLine) -> Offer {
    Offer {
        first: line.first,
        first_seconds: line.first_seconds,
        next: line.next,
        next_seconds: line.next_seconds,
        decimals: line.decimals,
    }
}

/// What `seconds` cost at the rate of a hold's line. `None` beyond the range.
pub(crate) fn full(line: &HoldLine, seconds: u32) -> Option<i128> {
    let offer = offer_of(line);
    offer.cost(offer.intervals_for(seconds))
}

/// What is left where a hold takes from: an attempt's from what we may owe.
fn left_of(book: &Book, config: &Config, hold: &Hold, account: &str, now: i64) -> Option<Amount> {
    let left = if hold.is_attempt() { crate::attempts::owable } else { available };
    left(book, config, account, now)
}

/// Seconds that could be had beside those of an open hold.
pub(crate) fn allowed(book: &Book, config: &Config, hold: &Hold, now: i64) -> u32 {
    if !hold.extendable {
        return hold.seconds;
    }
    let left = |account: &str| left_of(book, config, hold, account, now).map_or(0, |left| left.0.max(0));
    seconds_with(hold, left)
}

/// The same for a hold that does not stand in the book yet.
pub(crate) fn allowed_more(book: &Book, config: &Config, hold: &Hold, now: i64) -> u32 {
    let left = |account: &str| {
        let own: i128 = hold.lines.iter().filter(|line| line.account == account).map(|line| line.amount.0).sum();
        left_of(book, config, hold, account, now).map_or(0, |left| (left.0 - own).max(0))
    };
    seconds_with(hold, left)
}

fn seconds_with(hold: &Hold, left: impl Fn(&str) -> i128) -> u32 {
    let seconds = hold.lines.iter().map(|line| {
        let (offer, held) = (offer_of(line), hold.seconds);
        let from = offer.intervals_for(held);
        let most = from.saturating_add(ALLOWED_MAX / offer.next_seconds.max(1));
        offer.fit(Some(from), left(&line.account), most).map_or(held, |all| offer.seconds(all).max(held))
    });
    seconds.min().unwrap_or(hold.seconds)
}

/// Decides on a further step for an open hold, of which whoever asks knows `held` seconds.
pub fn extend(
    book: &Book,
    config: &Config,
    id: OriginId,
    held: u32,
    at: OccurredAt,
) -> Result<Granted<Extend>, Refusal> {
    let now = at.0;
    let Some(hold) = book.holds().get(id) else {
        return Err(if book.holds().ended(id) { Refusal::Ended } else { Refusal::NoHold });
    };
    if hold.seconds > held {
        return Ok(Granted { item: None, hold: hold.clone(), allowed: allowed(book, config, hold, now) });
    }
    if !hold.extendable {
        return Err(Refusal::NotExtendable);
    }
    // A configuration that allows longer calls since then does not make the hold last longer.
    let longest = config.settings.maximum_call_seconds.min(room(hold));
    let short = if hold.is_attempt() { Refusal::VendorCredit } else { Refusal::Credit };
    if hold.seconds >= longest {
        return Err(Refusal::Duration);
    }
    let target = hold.seconds.saturating_add(STEP_SECONDS).min(longest);
    let mut seconds = u32::MAX;
    for line in &hold.lines {
        let offer = offer_of(line);
        let from = offer.intervals_for(hold.seconds);
        let mut money = left_of(book, config, hold, &line.account, now).ok_or(Refusal::AmountRange)?.0.max(0);
        money /= net::sharers(book, config, &line.account, hold.lines.iter().map(|line| &line.account));
        let one = step_cost(&offer, from, from.saturating_add(1)).ok_or(Refusal::AmountRange)?;
        let scopes = scopes_left(book, book.holds().scopes().of_hold(id), &line.account, now);
        let left = day_left(book, &line.account, now).into_iter().chain(scopes).min();
        if let Some(left) = left.filter(|_| !hold.is_attempt()) {
            if one > left.max(0) {
                return Err(Refusal::DailySpend);
            }
            money = money.min(left);
        }
        let all = offer.fit(Some(from), money, offer.intervals_for(target)).ok_or(short)?;
        seconds = seconds.min(offer.seconds(all));
    }
    if seconds <= hold.seconds {
        return Err(short);
    }
    let mut grown = hold.clone();
    grown.seconds = seconds;
    for line in &mut grown.lines {
        let offer = offer_of(line);
        let cost = offer.cost(offer.intervals_for(seconds)).ok_or(Refusal::AmountRange)?;
        line.amount = Amount(cost.max(line.amount.0));
    }
    let more: SmallVec<[(SmolStr, i128); 1]> = grown
        .lines
        .iter()
        .zip(&hold.lines)
        .map(|(new, old)| (new.account.clone(), new.amount.0 - old.amount.0))
        .collect();
    let left = |account: &str| {
        let own: i128 = more.iter().filter(|(of, _)| of == account).map(|(_, more)| more).sum();
        left_of(book, config, hold, account, now).map_or(0, |left| (left.0 - own).max(0))
    };
    let allowed = seconds_with(&grown, left);
    let amounts = grown.lines.iter().map(|line| line.amount).collect();
    Ok(Granted { item: Some(Extend { hold_id: id, at, seconds, amounts }), hold: grown, allowed })
}

fn step_cost(offer: &Offer, from: u32, to: u32) -> Option<i128> {
    offer.cost(to)?.checked_sub(offer.cost(from)?)
}

/// Whoever asked says that there is no call. `None`: the hold has ended already, nothing to write.
pub fn release(book: &Book, id: OriginId, at: OccurredAt) -> Result<Option<Release>, Refusal> {
    match book.holds().get(id) {
        Some(_) => Ok(Some(Release { hold_id: id, at, why: ReleaseWhy::GivenUp })),
        None if book.holds().ended(id) => Ok(None),
        None => Err(Refusal::NoHold),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::support as tests_support;
