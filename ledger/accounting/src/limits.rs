//! Orders of people about what an account may do: more or less credit, for a time or for good, and caps on calls. Each
//! carries an id of its own (the same id again is the same order), who ordered it and why. They move no money.

use crate::pay::{ID_MAX, PayRefusal, REASON_MAX, origin_of};
use facts::config::Account;
use facts::entry::{Caps, Give, GiveWhy, Grant};
use facts::ids::hash;
use facts::{Amount, Currency, OccurredAt, Prefix};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// More credit beside the configured limit, or less.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantOrder {
    /// Chosen by whoever asks; the same id again grants nothing again.
    pub id: SmolStr,
    pub account: SmolStr,
    /// Minus: less credit.
    pub amount: Amount,
    pub currency: Currency,
    pub at: OccurredAt,
    /// When it ends by itself; none = it stays.
    #[serde(default)]
    pub until: Option<OccurredAt>,
    pub by: SmolStr,
    /// Whoever approved it; needed where there is more credit than before.
    #[serde(default)]
    pub approved_by: SmolStr,
    pub reason: SmolStr,
}

/// What an account may do beside its credit, whole: what is not named is not limited any more.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapsOrder {
    pub id: SmolStr,
    pub account: SmolStr,
    pub at: OccurredAt,
    pub calls: Option<u32>,
    pub calls_per_second: Option<u32>,
    pub daily_spend: Option<Amount>,
    pub highest_rate: Option<Amount>,
    pub barred: Vec<Prefix>,
    pub calls_without_extend: Option<u32>,
    pub low_balance: Option<Amount>,
    pub high_spend: Option<Amount>,
    pub by: SmolStr,
    pub reason: SmolStr,
}

/// Rights of an account go from this site to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveOrder {
    /// Chosen by whoever asks; the same id again gives nothing again.
    pub id: SmolStr,
    pub account: SmolStr,
    /// Number of the site.
    pub to: u16,
    /// Above zero.
    pub amount: Amount,
    pub at: OccurredAt,
    pub by: SmolStr,
    pub reason: SmolStr,
}

/// Most codes that one order bars.
pub const BARRED_MAX: usize = 200;

pub(crate) fn text(field: &'static str, text: &str, limit: usize, needed: bool) -> Result<(), PayRefusal> {
    if needed && text.trim().is_empty() {
        return Err(PayRefusal::Missing { field });
    }
    if text.len() > limit { Err(PayRefusal::TooLong { field, bytes: text.len(), limit }) } else { Ok(()) }
}

/// The memo item of a grant, or why there is none. `account`: its configuration.
pub fn grant(order: &GrantOrder, account: Option<&Account>) -> Result<Grant, PayRefusal> {
    text("id", &order.id, ID_MAX, true)?;
    text("account", &order.account, ID_MAX, true)?;
    text("by", &order.by, REASON_MAX, true)?;
    text("reason", &order.reason, REASON_MAX, true)?;
    text("approved_by", &order.approved_by, REASON_MAX, order.amount.0 > 0)?;
    let account = account.ok_or_else(|| PayRefusal::UnknownAccount(order.account.clone()))?;
    if account.currency != order.currency {
        let (kept, given) = (account.currency, order.currency);
        return Err(PayRefusal::OtherCurrency { account: account.id.clone(), kept, given });
    }
    if order.amount.is_zero() || order.amount.0.unsigned_abs() > crate::lines::SUM_MAX.unsigned_abs() >> 20 {
        return Err(PayRefusal::Amount);
    }
    if order.until.is_some_and(|until| until <= order.at) {
        return Err(PayRefusal::Past);
    }
    Ok(Grant {
        origin_id: origin_of(&order.id),
        account: order.account.clone(),
        currency: order.currency,
        amount: order.amount,
        at: order.at,
        until: order.until,
        by: order.by.clone(),
        approved_by: order.approved_by.clone(),
        reason: order.reason.clone(),
    })
}

/// The memo item of an order to give, or why there is none. Whether the rights are there is asked elsewhere.
pub fn give(order: &GiveOrder, account: Option<&Account>) -> Result<Give, PayRefusal> {
    text("id", &order.id, ID_MAX, true)?;
    text("account", &order.account, ID_MAX, true)?;
    text("by", &order.by, REASON_MAX, true)?;
    text("reason", &order.reason, REASON_MAX, true)?;
    let account = account.ok_or_else(|| PayRefusal::UnknownAccount(order.account.clone()))?;
    if !(1..=crate::lines::SUM_MAX >> 20).contains(&order.amount.0) {
        return Err(PayRefusal::Amount);
    }
    Ok(Give {
        origin_id: origin_of(&order.id),
        account: order.account.clone(),
        currency: account.currency,
        at: order.at,
        to: order.to,
        amount: order.amount,
        why: GiveWhy::Order,
        call_id: None,
        by: order.by.clone(),
        reason: order.reason.clone(),
    })
}

/// The memo item of caps, or why there is none.
pub fn caps(order: &CapsOrder, account: Option<&Account>) -> Result<Caps, PayRefusal> {
    text("id", &order.id, ID_MAX, true)?;
    text("account", &order.account, ID_MAX, true)?;
    text("by", &order.by, REASON_MAX, true)?;
    text("reason", &order.reason, REASON_MAX, true)?;
    let account = account.ok_or_else(|| PayRefusal::UnknownAccount(order.account.clone()))?;
    let amounts = [order.daily_spend, order.highest_rate, order.low_balance, order.high_spend];
    if amounts.into_iter().flatten().any(|amount| amount.0.unsigned_abs() > crate::lines::SUM_MAX.unsigned_abs() >> 20)
    {
        return Err(PayRefusal::Amount);
    }
    if order.barred.len() > BARRED_MAX {
        let bytes = order.barred.len();
        return Err(PayRefusal::TooLong { field: "barred", bytes, limit: BARRED_MAX });
    }
    if order.calls_without_extend == Some(0) {
        return Err(PayRefusal::Missing { field: "calls_without_extend" });
    }
    Ok(Caps {
        origin_id: origin_of(&order.id),
        account: order.account.clone(),
        currency: account.currency,
        at: order.at,
        calls: order.calls,
        calls_per_second: order.calls_per_second,
        daily_spend: order.daily_spend,
        highest_rate: order.highest_rate,
        barred: order.barred.clone(),
        calls_without_extend: order.calls_without_extend,
        low_balance: order.low_balance,
        high_spend: order.high_spend,
        by: order.by.clone(),
        reason: order.reason.clone(),
    })
}

/// What makes two grants the same: everything but when and who said it, which may differ when it is sent again.
pub fn content_of_grant(grant: &Grant) -> [u8; 16] {
    let until = grant.until.map_or([0; 8], |until| until.0.to_le_bytes());
    hash("tandem.grant.v1", &[grant.account.as_bytes(), &grant.amount.0.to_le_bytes(), &until])
}

/// The same of caps.
pub fn content_of_caps(caps: &Caps) -> [u8; 16] {
    let number = |number: Option<u32>| number.map_or([0xff; 8], |n| u64::from(n).to_le_bytes());
    let money = |amount: Option<Amount>| amount.map_or([0xff; 16], |amount| amount.0.to_le_bytes());
    let barred: Vec<String> = caps.barred.iter().map(Prefix::to_string).collect();
    hash(
        "tandem.caps.v1",
        &[
            caps.account.as_bytes(),
            &number(caps.calls),
            &number(caps.calls_per_second),
            &number(caps.calls_without_extend),
            &money(caps.daily_spend),
            &money(caps.highest_rate),
            &money(caps.low_balance),
            &money(caps.high_spend),
            barred.join(",").as_bytes(),
        ],
    )
}
