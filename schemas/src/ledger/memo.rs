//! Holds, limits and rights of accounts between facts and Avro.

use crate::wire;
use facts::entry::{Caps, Counted, Elsewhere, Extend, Give, Grant, Hold, HoldLine, Limit, Release, Reserve, ScopeCaps};
use facts::ids::{CallId, OriginId};
use facts::{Amount, OccurredAt};

pub fn grant_to_wire(x: &Grant) -> wire::Grant<'_> {
    wire::Grant {
        origin_id: x.origin_id.0,
        account: &x.account,
        currency: x.currency,
        amount: x.amount.0,
        at: x.at.0,
        until: x.until.map(|until| until.0),
        by: &x.by,
        approved_by: &x.approved_by,
        reason: &x.reason,
    }
}

pub fn grant_to_facts(x: &wire::Grant<'_>) -> Grant {
    Grant {
        origin_id: OriginId(x.origin_id),
        account: x.account.into(),
        currency: x.currency,
        amount: Amount(x.amount),
        at: OccurredAt(x.at),
        until: x.until.map(OccurredAt),
        by: x.by.into(),
        approved_by: x.approved_by.into(),
        reason: x.reason.into(),
    }
}

pub fn caps_to_wire(x: &Caps) -> wire::Caps<'_> {
    let money = |amount: Option<Amount>| amount.map(|amount| amount.0);
    wire::Caps {
        origin_id: x.origin_id.0,
        account: &x.account,
        currency: x.currency,
        at: x.at.0,
        calls: x.calls,
        calls_per_second: x.calls_per_second,
        daily_spend: money(x.daily_spend),
        highest_rate: money(x.highest_rate),
        barred: x.barred.clone(),
        calls_without_extend: x.calls_without_extend,
        low_balance: money(x.low_balance),
        high_spend: money(x.high_spend),
        by: &x.by,
        reason: &x.reason,
    }
}

pub fn caps_to_facts(x: &wire::Caps<'_>) -> Caps {
    Caps {
        origin_id: OriginId(x.origin_id),
        account: x.account.into(),
        currency: x.currency,
        at: OccurredAt(x.at),
        calls: x.calls,
        calls_per_second: x.calls_per_second,
        daily_spend: x.daily_spend.map(Amount),
        highest_rate: x.highest_rate.map(Amount),
        barred: x.barred.clone(),
        calls_without_extend: x.calls_without_extend,
        low_balance: x.low_balance.map(Amount),
        high_spend: x.high_spend.map(Amount),
        by: x.by.into(),
        reason: x.reason.into(),
    }
}

pub fn hold_to_wire(x: &Hold) -> wire::Hold<'_> {
    wire::Hold {
        hold_id: x.hold_id.0,
        call_id: x.call_id.0,
        at: x.at.0,
        until: x.until.0,
        seconds: x.seconds,
        extendable: x.extendable,
        lines: x.lines.iter().map(line_to_wire).collect(),
    }
}

pub fn hold_to_facts(x: &wire::Hold<'_>) -> Hold {
    Hold {
        hold_id: OriginId(x.hold_id),
        call_id: CallId(x.call_id),
        at: OccurredAt(x.at),
        until: OccurredAt(x.until),
        seconds: x.seconds,
        extendable: x.extendable,
        lines: x.lines.iter().map(line_to_facts).collect(),
    }
}

fn line_to_wire(x: &HoldLine) -> wire::HoldLine<'_> {
    wire::HoldLine {
        account: &x.account,
        level: x.level,
        currency: x.currency,
        amount: x.amount.0,
        first: x.first.0,
        first_seconds: x.first_seconds,
        next: x.next.0,
        next_seconds: x.next_seconds,
        decimals: x.decimals,
        deck: &x.deck,
        deck_version: x.deck_version,
        prefix: x.prefix,
        destination: &x.destination,
    }
}

fn line_to_facts(x: &wire::HoldLine<'_>) -> HoldLine {
    HoldLine {
        account: x.account.into(),
        level: x.level,
        currency: x.currency,
        amount: Amount(x.amount),
        first: Amount(x.first),
        first_seconds: x.first_seconds,
        next: Amount(x.next),
        next_seconds: x.next_seconds,
        decimals: x.decimals,
        deck: x.deck.into(),
        deck_version: x.deck_version,
        prefix: x.prefix,
        destination: x.destination.into(),
    }
}

pub fn extend_to_wire(x: &Extend) -> wire::Extend {
    let amounts = x.amounts.iter().map(|amount| amount.0).collect();
    wire::Extend { hold_id: x.hold_id.0, at: x.at.0, seconds: x.seconds, amounts }
}

pub fn extend_to_facts(x: &wire::Extend) -> Extend {
    let amounts = x.amounts.iter().map(|amount| Amount(*amount)).collect();
    Extend { hold_id: OriginId(x.hold_id), at: OccurredAt(x.at), seconds: x.seconds, amounts }
}

pub fn release_to_wire(x: Release) -> wire::Release {
    wire::Release { hold_id: x.hold_id.0, at: x.at.0, why: x.why }
}

pub fn release_to_facts(x: &wire::Release) -> Release {
    Release { hold_id: OriginId(x.hold_id), at: OccurredAt(x.at), why: x.why }
}

pub fn elsewhere_to_wire(x: &Elsewhere) -> wire::Elsewhere {
    let passed = x.passed.iter().map(|amount| amount.0).collect();
    wire::Elsewhere { hold_id: x.hold_id.0, at: x.at.0, to: x.to, passed }
}

pub fn elsewhere_to_facts(x: &wire::Elsewhere) -> Elsewhere {
    let passed = x.passed.iter().map(|amount| Amount(*amount)).collect();
    Elsewhere { hold_id: OriginId(x.hold_id), at: OccurredAt(x.at), to: x.to, passed }
}

pub fn give_to_wire(x: &Give) -> wire::Give<'_> {
    wire::Give {
        origin_id: x.origin_id.0,
        account: &x.account,
        currency: x.currency,
        at: x.at.0,
        to: x.to,
        amount: x.amount.0,
        why: x.why,
        call_id: x.call_id.map(|id| id.0),
        by: &x.by,
        reason: &x.reason,
    }
}

pub fn give_to_facts(x: &wire::Give<'_>) -> Give {
    Give {
        origin_id: OriginId(x.origin_id),
        account: x.account.into(),
        currency: x.currency,
        at: OccurredAt(x.at),
        to: x.to,
        amount: Amount(x.amount),
        why: x.why,
        call_id: x.call_id.map(CallId),
        by: x.by.into(),
        reason: x.reason.into(),
    }
}

pub fn limit_to_wire(x: &Limit) -> wire::Limit<'_> {
    wire::Limit { account: &x.account, currency: x.currency, at: x.at.0, amount: x.amount.0 }
}

pub fn limit_to_facts(x: &wire::Limit<'_>) -> Limit {
    let (currency, at, amount) = (x.currency, OccurredAt(x.at), Amount(x.amount));
    Limit { account: x.account.into(), currency, at, amount }
}

pub fn reserve_to_wire(x: &Reserve) -> wire::Reserve<'_> {
    wire::Reserve { account: &x.account, currency: x.currency, at: x.at.0, amount: x.amount.0 }
}

pub fn reserve_to_facts(x: &wire::Reserve<'_>) -> Reserve {
    let (currency, at, amount) = (x.currency, OccurredAt(x.at), Amount(x.amount));
    Reserve { account: x.account.into(), currency, at, amount }
}

pub fn scope_caps_to_wire(x: &ScopeCaps) -> wire::ScopeCaps<'_> {
    wire::ScopeCaps {
        origin_id: x.origin_id.0,
        account: &x.account,
        currency: x.currency,
        at: x.at.0,
        scope: &x.scope,
        codes: x.codes.clone(),
        calls: x.calls,
        calls_per_second: x.calls_per_second,
        daily_spend: x.daily_spend.map(|amount| amount.0),
        by: &x.by,
        reason: &x.reason,
    }
}

pub fn scope_caps_to_facts(x: &wire::ScopeCaps<'_>) -> ScopeCaps {
    ScopeCaps {
        origin_id: OriginId(x.origin_id),
        account: x.account.into(),
        currency: x.currency,
        at: OccurredAt(x.at),
        scope: x.scope.into(),
        codes: x.codes.clone(),
        calls: x.calls,
        calls_per_second: x.calls_per_second,
        daily_spend: x.daily_spend.map(Amount),
        by: x.by.into(),
        reason: x.reason.into(),
    }
}

pub fn counted_to_wire(x: &Counted) -> wire::Counted<'_> {
    wire::Counted { hold_id: x.hold_id.0, scopes: x.scopes.iter().map(|scope| scope.as_str()).collect() }
}

pub fn counted_to_facts(x: &wire::Counted<'_>) -> Counted {
    Counted { hold_id: OriginId(x.hold_id), scopes: x.scopes.iter().map(|scope| (*scope).into()).collect() }
}
