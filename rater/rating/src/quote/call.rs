//! The objects `call` and `agreement` of a quote line into facts. Every field, its default and its limits as
//! docs/reference/quote.md lists them.

use facts::config::{RatedAt, Tax};
use facts::deck::{Price, RATE_SCALE, Settings};
use facts::money::{Currency, Rounding};
use facts::xdr::Side;
use smol_str::SmolStr;

use super::node::{Fault, Node, Place, optional};
use crate::price::{Jurisdiction, SAME_CURRENCY, Terms};

/// Decimals of a duration in seconds.
pub(super) const SECONDS_DECIMALS: u32 = 6;
const EXCHANGE_DECIMALS: u32 = 8;
const PERCENT_DECIMALS: u32 = 4;

/// Fields of a call in which null is the same as leaving them out. In `answered_at` it says that nobody answered.
const CALL_FIELDS: [&str; 5] = ["caller", "rn", "attempted", "last_attempt", "jurisdiction"];
/// Fields of an agreement in which null is the same as leaving them out. `exchange_rate` null: there is none.
const AGREEMENT_FIELDS: [&str; 6] =
    ["side", "currency", "rated_at", "duration_rounding", "amount_rounding", "amount_decimals"];

/// The call of a quote line.
#[derive(Debug, Clone)]
pub(super) struct CallPart {
    pub called: SmolStr,
    pub caller: Option<SmolStr>,
    /// Microseconds.
    pub started_at: i64,
    /// `None` = not answered.
    pub answered_at: Option<i64>,
    /// Microseconds; below zero is for whoever prices to refuse.
    pub duration: i64,
    pub rn: Option<SmolStr>,
    pub attempted: bool,
    pub last_attempt: bool,
    /// `None`: follows from the areas of the configuration, where there is one.
    pub jurisdiction: Option<Jurisdiction>,
}

impl CallPart {
    pub fn read(place: &Place<'_>, node: &Node<'_>) -> Result<Self, Fault> {
        let (mut called, mut started_at, mut duration, mut answered_at) = (None, None, None, None);
        let mut call = Self {
            called: SmolStr::default(),
            caller: None,
            started_at: 0,
            answered_at: None,
            duration: 0,
            rn: None,
            attempted: true,
            last_attempt: true,
            jurisdiction: None,
        };
        for (key, node) in place.object(node)? {
            if *node == Node::Null && CALL_FIELDS.contains(&&**key) {
                continue;
            }
            let at = place.key(key);
            let text = |node| at.text(node).map(SmolStr::new);
            match &**key {
                "called" => called = Some(text(node)?),
                "caller" => call.caller = optional(node, text)?,
                "started_at" => started_at = Some(at.instant(node)?),
                "answered_at" => answered_at = Some(optional(node, |node| at.instant(node))?),
                "duration" => duration = Some(at.decimal(node, SECONDS_DECIMALS)?),
                "rn" => call.rn = optional(node, text)?,
                "attempted" => call.attempted = at.boolean(node)?,
                "last_attempt" => call.last_attempt = at.boolean(node)?,
                "jurisdiction" => call.jurisdiction = optional(node, |node| at.word(node))?,
                other => place.unknown(other)?,
            }
        }
        call.called = called.ok_or_else(|| place.missing("called"))?;
        call.started_at = started_at.ok_or_else(|| place.missing("started_at"))?;
        call.duration = duration.ok_or_else(|| place.missing("duration"))?;
        // Whoever leaves the answer out means a call that lasted; null says that there was none.
        call.answered_at = answered_at.unwrap_or((call.duration > 0).then_some(call.started_at));
        Ok(call)
    }
}

/// The agreement of a quote line.
#[derive(Debug, Clone)]
pub(super) struct AgreementPart {
    pub side: Side,
    pub currency: Option<Currency>,
    /// In 10^-8; `None` = null was given: there is no rate.
    pub exchange_rate: Option<i64>,
    pub rated_at: RatedAt,
    pub terms: Terms,
    pub taxes: Vec<Tax>,
}

impl Default for AgreementPart {
    fn default() -> Self {
        Self {
            side: Side::Sell,
            currency: None,
            exchange_rate: Some(SAME_CURRENCY),
            rated_at: RatedAt::Answer,
            terms: Terms::default(),
            taxes: Vec::new(),
        }
    }
}

impl AgreementPart {
    pub fn read(place: &Place<'_>, node: &Node<'_>) -> Result<Self, Fault> {
        let mut agreement = Self::default();
        let (mut percent, mut taxes) = (None, None);
        for (key, node) in place.object(node)? {
            if *node == Node::Null && AGREEMENT_FIELDS.contains(&&**key) {
                continue;
            }
            let at = place.key(key);
            let terms = &mut agreement.terms;
            match &**key {
                "side" => agreement.side = side(&at, node)?,
                "currency" => agreement.currency = optional(node, |node| currency(&at, node))?,
                "exchange_rate" => agreement.exchange_rate = optional(node, |node| exchange_rate(&at, node))?,
                "rated_at" => agreement.rated_at = at.word(node)?,
                "duration_rounding" => terms.duration_rounding = at.word(node)?,
                "amount_rounding" => terms.amount_rounding = at.word(node)?,
                "amount_decimals" => {
                    terms.amount_decimals = u8::try_from(at.integer(node, 0, 12)?).unwrap_or(12);
                }
                "tax_percent" => percent = optional(node, |node| at.positive(node, PERCENT_DECIMALS))?,
                "taxes" => taxes = optional(node, |node| at.list(node))?,
                other if setting(&mut terms.settings, &at, other, node)? => {}
                other => place.unknown(other)?,
            }
        }
        if let Some(list) = taxes {
            let at = place.key("taxes");
            if percent.is_some_and(|percent| percent != 0) && !list.is_empty() {
                return Err(at.fault("tax_percent is given too", "give one of them"));
            }
            for (index, node) in list.iter().enumerate() {
                agreement.taxes.push(tax(&at.index(index), node, agreement.terms.amount_rounding)?);
            }
        }
        agreement.terms.tax_percent = percent.unwrap_or(0);
        Ok(agreement)
    }
}

pub(super) fn side(at: &Place<'_>, node: &Node<'_>) -> Result<Side, Fault> {
    at.word(node)
}

pub(super) fn currency(at: &Place<'_>, node: &Node<'_>) -> Result<Currency, Fault> {
    Currency::new(at.text(node)?).map_err(|error| at.fault(error.to_string(), "write it as \"EUR\""))
}

fn exchange_rate(at: &Place<'_>, node: &Node<'_>) -> Result<i64, Fault> {
    match at.decimal(node, EXCHANGE_DECIMALS)? {
        rate if rate > 0 => Ok(rate),
        _ => Err(at.fault("an exchange rate is above zero", "it is agreement units for one deck unit")),
    }
}

fn tax(place: &Place<'_>, node: &Node<'_>, usual: Rounding) -> Result<Tax, Fault> {
    let (mut name, mut percent, mut rounding) = (None, None, usual);
    for (key, node) in place.object(node)? {
        let at = place.key(key);
        match &**key {
            "name" => name = Some(SmolStr::new(at.text(node)?)),
            "percent" => percent = Some(at.positive(node, PERCENT_DECIMALS)?),
            "rounding" => rounding = optional(node, |node| at.word(node))?.unwrap_or(usual),
            other => place.unknown(other)?,
        }
    }
    let name = name.ok_or_else(|| place.missing("name"))?;
    let percent = percent.ok_or_else(|| place.missing("percent"))?;
    Ok(Tax { name, percent, rounding })
}

/// Reads one of the settings that may stand on rate, deck or agreement (rule 4.8); false where `name` is none of them.
pub(super) fn setting(settings: &mut Settings, at: &Place<'_>, name: &str, node: &Node<'_>) -> Result<bool, Fault> {
    let seconds = || optional(node, |node| at.positive(node, SECONDS_DECIMALS));
    let bound = || optional(node, |node| at.positive(node, RATE_SCALE).map(Price));
    let fee = || optional(node, |node| at.decimal(node, RATE_SCALE).map(Price));
    match name {
        "grace_seconds" => settings.grace = seconds()?,
        "minimum_seconds" => settings.minimum_duration = seconds()?,
        "maximum_seconds" => settings.maximum_duration = seconds()?,
        "minimum_amount" => settings.minimum_amount = bound()?,
        "maximum_amount" => settings.maximum_amount = bound()?,
        "attempt_fee" => settings.attempt_fee = fee()?,
        "disconnect_fee" => settings.disconnect_fee = fee()?,
        _ => return Ok(false),
    }
    Ok(true)
}
