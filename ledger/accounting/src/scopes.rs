//! Orders of people about one trunk of an account, or one group of dial codes: calls at once, calls a second, spend of a
//! day, beside what the account itself may do. And which of them a call counts for.

use crate::authorise::Wish;
use crate::book::Book;
use crate::limits::{BARRED_MAX, text};
use crate::pay::{ID_MAX, PayRefusal, REASON_MAX, origin_of};
use facts::config::Config;
use facts::entry::{Counted, Hold, ScopeCaps, group_scope, trunk_scope};
use facts::ids::hash;
use facts::{Amount, OccurredAt, Prefix, Side};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Caps of a trunk or a group, whole: what is not named is not limited any more.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeCapsOrder {
    pub id: SmolStr,
    pub account: SmolStr,
    pub at: OccurredAt,
    /// Id of the trunk in the configuration; or else `group`.
    pub trunk: SmolStr,
    /// Name that somebody gives to these codes.
    pub group: SmolStr,
    pub codes: Vec<Prefix>,
    pub calls: Option<u32>,
    pub calls_per_second: Option<u32>,
    pub daily_spend: Option<Amount>,
    pub by: SmolStr,
    pub reason: SmolStr,
}

/// The memo item of such an order, or why there is none.
pub fn scope_caps(order: &ScopeCapsOrder, config: &Config) -> Result<ScopeCaps, PayRefusal> {
    text("id", &order.id, ID_MAX, true)?;
    text("account", &order.account, ID_MAX, true)?;
    text("trunk", &order.trunk, ID_MAX, order.group.is_empty())?;
    text("group", &order.group, ID_MAX, order.trunk.is_empty())?;
    text("by", &order.by, REASON_MAX, true)?;
    text("reason", &order.reason, REASON_MAX, true)?;
    let account = config.accounts.get(&order.account);
    let account = account.ok_or_else(|| PayRefusal::UnknownAccount(order.account.clone()))?;
    let scope = if order.trunk.is_empty() {
        if order.codes.is_empty() {
            return Err(PayRefusal::Missing { field: "codes" });
        }
        group_scope(&order.account, &order.group)
    } else {
        let trunk = config.trunks.get(&order.trunk);
        let ours = trunk.is_some_and(|trunk| trunk.side == Side::Sell && trunk.account == order.account);
        if !ours {
            return Err(PayRefusal::UnknownTrunk { trunk: order.trunk.clone(), account: order.account.clone() });
        }
        trunk_scope(&order.trunk)
    };
    if !order.trunk.is_empty() && (!order.group.is_empty() || !order.codes.is_empty()) {
        return Err(PayRefusal::TrunkOrGroup);
    }
    if order.codes.len() > BARRED_MAX {
        return Err(PayRefusal::TooLong { field: "codes", bytes: order.codes.len(), limit: BARRED_MAX });
    }
    if order.daily_spend.is_some_and(|sum| sum.0.unsigned_abs() > crate::lines::SUM_MAX.unsigned_abs() >> 20) {
        return Err(PayRefusal::Amount);
    }
    Ok(ScopeCaps {
        origin_id: origin_of(&order.id),
        account: order.account.clone(),
        currency: account.currency,
        at: order.at,
        scope,
        codes: order.codes.clone(),
        calls: order.calls,
        calls_per_second: order.calls_per_second,
        daily_spend: order.daily_spend,
        by: order.by.clone(),
        reason: order.reason.clone(),
    })
}

/// What makes two of them the same: everything but when and who said it.
pub fn content_of_scope_caps(caps: &ScopeCaps) -> [u8; 16] {
    let number = |number: Option<u32>| number.map_or([0xff; 8], |n| u64::from(n).to_le_bytes());
    let codes: Vec<String> = caps.codes.iter().map(Prefix::to_string).collect();
    let (calls, pace) = (number(caps.calls), number(caps.calls_per_second));
    let spend = caps.daily_spend.map_or([0xff; 16], |amount| amount.0.to_le_bytes());
    let parts = [caps.account.as_bytes(), caps.scope.as_bytes(), &calls, &pace, &spend];
    let codes = codes.join(",");
    hash("tandem.scope-caps.v1", &[&parts[..], &[codes.as_bytes()]].concat())
}

/// What a hold that is written now counts for; `None`: for its accounts alone.
pub fn counted(book: &Book, wish: &Wish, hold: &Hold) -> Option<Counted> {
    let accounts = wish.lines.iter().map(|line| &line.account);
    let scopes = book.holds().scopes().of(accounts, &wish.trunk, &wish.called);
    let scopes = scopes.iter().map(|scope| scope.caps.scope.clone()).collect::<smallvec::SmallVec<_>>();
    (!scopes.is_empty()).then_some(Counted { hold_id: hold.hold_id, scopes })
}

#[cfg(test)]
mod tests;
