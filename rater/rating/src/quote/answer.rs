//! Answers of `quote` as JSON: a price with every step, a reason of the closed set, or the field that is wrong. Never
//! decides any of them.

use facts::config::Tax;
use facts::money::{Amount, Rounding};
use facts::time::rfc3339;
use facts::xdr::Unrated;
use serde::Serialize;

use super::call::AgreementPart;
use super::node::Fault;
use super::{Found, Request, SAME_CURRENCY};
use crate::explain::{Note, row};
use crate::price::Terms;
use crate::tax;

const SECOND: i64 = 1_000_000;
const SHOWN_DECIMALS: u32 = 12;

#[derive(Serialize)]
struct PricedLine<'a> {
    id: &'a str,
    billed_seconds: String,
    net: String,
    gross: String,
    tax: String,
    exact_net: String,
    exact_gross: String,
    currency: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taxes: Vec<TaxLine>,
    rate: RateLine,
    explanation: Vec<String>,
}

#[derive(Serialize)]
struct TaxLine {
    name: String,
    amount: String,
}

#[derive(Serialize)]
struct RateLine {
    prefix: String,
    destination: String,
}

#[derive(Serialize)]
struct UnratedLine<'a> {
    id: &'a str,
    unrated: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct RefusedLine<'a> {
    id: Option<&'a str>,
    error: FaultLine<'a>,
}

#[derive(Serialize)]
struct FaultLine<'a> {
    line: u64,
    field: &'a str,
    reason: &'a str,
    advice: &'a str,
}

/// A line that was not understood.
pub(super) fn refused(id: Option<&str>, line: u64, fault: &Fault) -> String {
    let error = FaultLine { line, field: &fault.field, reason: &fault.reason, advice: &fault.advice };
    written(&RefusedLine { id, error })
}

/// A call without a price.
pub(super) fn unrated(id: Option<&str>, reason: Unrated, message: &str) -> String {
    written(&UnratedLine { id: id.unwrap_or_default(), unrated: reason.as_str(), message })
}

/// A call with its price; `None` where an amount does not fit.
pub(super) fn priced(id: Option<&str>, request: &Request, found: &Found) -> Option<String> {
    let agreement = &request.agreement;
    let decimals = decimals(agreement.terms.amount_rounding, &agreement.terms);
    let used = request.deck.compiled.rate_used(found.chosen);
    let mut explanation: Vec<String> = request.from.iter().cloned().collect();
    explanation.extend([
        format!("number {} rated at {}", found.number, rfc3339(found.rated_at)),
        format!("row: {}", row(&used)),
    ]);
    explanation.extend(found.notes.iter().map(ToString::to_string));
    let (mut taxes, mut notes) = (Vec::with_capacity(agreement.taxes.len()), Vec::<Note>::new());
    let told = |tax: &Tax, amount| taxes.push(TaxLine { name: tax.name.to_string(), amount: shown(amount, decimals) });
    let priced = tax::add(found.priced, &agreement.taxes, &agreement.terms, &mut notes, told)?;
    let ((exact_net, exact_gross), net, gross) = (priced.shown()?, priced.net, priced.gross);
    explanation.extend(notes.iter().map(ToString::to_string));
    let currency = currency(agreement, request);
    if agreement.exchange_rate == Some(SAME_CURRENCY) && currency != request.deck.compiled.currency {
        explanation.push(format!("one {} counts as one {currency}", request.deck.compiled.currency));
    }
    Some(written(&PricedLine {
        id: id.unwrap_or_default(),
        billed_seconds: (priced.billed / SECOND).to_string(),
        net: shown(net, decimals),
        gross: shown(gross, decimals),
        tax: shown(gross.checked_sub(net)?, decimals),
        exact_net: shown(exact_net, SHOWN_DECIMALS),
        exact_gross: shown(exact_gross, SHOWN_DECIMALS),
        currency: currency.as_str(),
        taxes,
        rate: RateLine { prefix: used.prefix.to_string(), destination: used.destination.to_string() },
        explanation,
    }))
}

/// The agreement's currency, else the deck's.
fn currency(agreement: &AgreementPart, request: &Request) -> facts::money::Currency {
    agreement.currency.or(request.deck.currency).unwrap_or(request.deck.compiled.currency)
}

fn decimals(rule: Rounding, terms: &Terms) -> u32 {
    if rule == Rounding::None { SHOWN_DECIMALS } else { u32::from(terms.amount_decimals) }
}

fn shown(amount: Amount, decimals: u32) -> String {
    amount.display(decimals)
}

fn written(line: &impl Serialize) -> String {
    // Strings, integers and options only: nothing that could fail to be written.
    serde_json::to_string(line).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}
