//! Priced sides.

use crate::wire;
use facts::deck::Price;
use facts::ids::{RevId, XdrId};
use facts::xdr::{RateUsed, Xdr};
use facts::{Amount, OccurredAt};

pub(super) fn xdr_to_wire(x: &Xdr) -> wire::Xdr<'_> {
    wire::Xdr {
        xdr_id: x.xdr_id.0,
        rev_id: x.rev_id.0,
        side: x.side,
        level: x.level,
        attempt: x.attempt,
        account: &x.account,
        product: &x.product,
        agreement: &x.agreement,
        rated_at: x.rated_at.0,
        duration: x.duration,
        billed: x.billed,
        amount: x.amount.0,
        gross: (x.gross != x.amount).then_some(x.gross.0),
        currency: x.currency,
        rounding: x.rounding,
        decimals: x.decimals,
        duration_rounding: x.duration_rounding,
        rate: x.rate.as_ref().map(rate_to_wire),
        exchange_rate: x.exchange_rate,
        exchange_source: &x.exchange_source,
        unrated: x.unrated,
        provisional: x.provisional,
    }
}

/// One priced side as a fact; the ledger needs no more of a rated call than these and its ids.
pub fn xdr_to_facts(x: &wire::Xdr<'_>) -> Xdr {
    Xdr {
        xdr_id: XdrId(x.xdr_id),
        rev_id: RevId(x.rev_id),
        side: x.side,
        level: x.level,
        attempt: x.attempt,
        account: x.account.into(),
        product: x.product.into(),
        agreement: x.agreement.into(),
        rated_at: OccurredAt(x.rated_at),
        duration: x.duration,
        billed: x.billed,
        amount: Amount(x.amount),
        gross: Amount(x.gross.unwrap_or(x.amount)),
        currency: x.currency,
        rounding: x.rounding,
        decimals: x.decimals,
        duration_rounding: x.duration_rounding,
        rate: x.rate.as_ref().map(rate_to_facts),
        exchange_rate: x.exchange_rate,
        exchange_source: x.exchange_source.into(),
        unrated: x.unrated,
        provisional: x.provisional,
    }
}

fn rate_to_wire(x: &RateUsed) -> wire::RateUsed<'_> {
    wire::RateUsed {
        deck: &x.deck,
        deck_version: x.deck_version,
        prefix: x.prefix,
        destination: &x.destination,
        connect_fee: x.connect_fee.0,
        first_interval: x.first_interval,
        first_rate: x.first_rate.0,
        next_interval: x.next_interval,
        next_rate: x.next_rate.0,
        valid_from: x.valid_from,
        time_band: &x.time_band,
        origin: &x.origin,
        currency: x.currency,
    }
}

fn rate_to_facts(x: &wire::RateUsed<'_>) -> RateUsed {
    RateUsed {
        deck: x.deck.into(),
        deck_version: x.deck_version,
        prefix: x.prefix,
        destination: x.destination.into(),
        connect_fee: Price(x.connect_fee),
        first_interval: x.first_interval,
        first_rate: Price(x.first_rate),
        next_interval: x.next_interval,
        next_rate: Price(x.next_rate),
        valid_from: x.valid_from,
        time_band: x.time_band.into(),
        origin: x.origin.into(),
        currency: x.currency,
    }
}
