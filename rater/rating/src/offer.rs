//! What a call that may begin can cost each level that it is sold to: the rates that a hold counts with (design 5).
//! The same identification, agreement, deck and row as `rate` takes for the call itself.
//!
//! Never knows what an account has left; see `accounting::authorise`.

use facts::call::Endpoint;
use facts::deck::RatedNumber;
use facts::money::{Amount, Currency, Rounding, SCALE};
use facts::number::E164;
use facts::time::OccurredAt;
use facts::xdr::{RateUsed, Unrated};
use smol_str::SmolStr;

use crate::areas::Numbers;
use crate::exact::Exact;
use crate::identify::number_of;
use crate::price::most;
use crate::tariffs::{AgreementTerms, Level, Tariffs};

/// The facts of a call that may begin.
#[derive(Debug, Clone)]
pub struct Wish {
    pub switch: SmolStr,
    /// Where it comes in; for [`Tariffs::vendor_offer`] where it would go out.
    pub inbound: Endpoint,
    /// As received.
    pub called: SmolStr,
    pub called_number: Option<E164>,
    pub caller_number: Option<E164>,
    /// Routing number, where the switch has looked it up.
    pub rn: Option<E164>,
    pub at: OccurredAt,
}

/// One level's terms for it. Amounts are upper bounds in the account's currency, exact to 12 decimals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelOffer {
    pub account: SmolStr,
    pub level: u8,
    pub currency: Currency,
    /// Fees and first interval.
    pub first: Amount,
    pub first_seconds: u32,
    /// One further interval; never below zero.
    pub next: Amount,
    pub next_seconds: u32,
    /// Decimals the charge will be rounded to.
    pub decimals: u8,
    /// A minute at the dearest rate the call can meet.
    pub minute: Amount,
    pub rate: RateUsed,
}

/// Who pays, in the order of levels, and the number that is rated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers {
    /// Trunk of the configuration.
    pub trunk: SmolStr,
    pub number: E164,
    pub levels: Vec<LevelOffer>,
}

impl Tariffs {
    /// The offers of every level, or the first reason against the call in the order of [`Unrated`].
    pub fn offers(&self, wish: &Wish) -> Result<Offers, Unrated> {
        let at = wish.at.micros();
        let found = self.sell.find(&wish.switch, &wish.inbound, &wish.called, at).ok_or(Unrated::UnknownAccount)?;
        let trunk = self.sell_trunks.get(found.trunk as usize).ok_or(Unrated::UnknownAccount)?;
        if trunk.levels.is_empty() {
            return Err(Unrated::UnknownAccount);
        }
        let told = &wish.inbound.tech_prefix;
        let tech_prefix = if found.tech_prefix.is_empty() { told } else { found.tech_prefix };
        let number = number_of(&wish.called, wish.called_number, tech_prefix, &trunk.strip);
        let mut levels = Vec::with_capacity(trunk.levels.len());
        for (level, party) in trunk.levels.iter().enumerate() {
            levels.push(self.level_offer(level as u8, party, number, wish)?);
        }
        let trunk = self.sell.trunks().get(found.trunk as usize).cloned().unwrap_or_default();
        Ok(Offers { trunk, number: number.ok_or(Unrated::BadNumber)?, levels })
    }

    /// What an attempt at a vendor can cost us, by the same identification as prices it. `wish.inbound` is where it would
    /// go out; also the number that is rated.
    pub fn vendor_offer(&self, wish: &Wish) -> Result<Offers, Unrated> {
        let at = wish.at.micros();
        let found = self.buy.find(&wish.switch, &wish.inbound, &wish.called, at).ok_or(Unrated::UnknownAccount)?;
        let trunk = self.buy_trunks.get(found.trunk as usize).ok_or(Unrated::UnknownAccount)?;
        let party = trunk.levels.first().ok_or(Unrated::UnknownAccount)?;
        let told = &wish.inbound.tech_prefix;
        let tech_prefix = if found.tech_prefix.is_empty() { told } else { found.tech_prefix };
        let number = number_of(&wish.called, wish.called_number, tech_prefix, &trunk.strip);
        let offer = self.level_offer(0, party, number, wish)?;
        let trunk = self.buy.trunks().get(found.trunk as usize).cloned().unwrap_or_default();
        Ok(Offers { trunk, number: number.ok_or(Unrated::BadNumber)?, levels: vec![offer] })
    }

    fn level_offer(&self, no: u8, level: &Level, number: Option<E164>, wish: &Wish) -> Result<LevelOffer, Unrated> {
        let at = wish.at.micros();
        let agreement = self.agreement_at(level, at).ok_or(Unrated::NoAgreement)?;
        let number = number.ok_or(Unrated::BadNumber)?;
        let deck = agreement.deck.as_deref().ok_or(Unrated::NoDeck)?;
        let rated = match deck.rated_number {
            RatedNumber::Lrn => wish.rn.filter(|rn| !rn.is_empty()).unwrap_or(number),
            RatedNumber::Dialled => number,
        };
        let chosen = deck.find(&rated, deck.origin_of(wish.caller_number.as_ref()), at)?;
        let (exchange_rate, _) = agreement.exchange.at(at).ok_or(Unrated::NoExchangeRate)?;
        let numbers = Numbers { caller: wish.caller_number.as_ref(), dialled: Some(&number), rn: wish.rn.as_ref() };
        let jurisdiction = self.areas.jurisdiction(deck, chosen, &numbers, &mut ());
        let most = most(deck, chosen, &agreement.terms, at, exchange_rate, jurisdiction)?;
        let charged = |net: Exact| agreement.charged_at_most(net).ok_or(Unrated::AmountRange);
        let decimals = match agreement.terms.amount_rounding {
            Rounding::None => SCALE as u8,
            _ => agreement.terms.amount_decimals.min(SCALE as u8),
        };
        // Every tax is rounded by itself: at most one unit of the last decimal each.
        let unit = 10i128.pow(SCALE - u32::from(decimals));
        let taxes = if agreement.charge_gross { agreement.taxes.len() as i128 } else { 0 };
        let first = charged(most.first)?.checked_add(Amount(unit * taxes)).ok_or(Unrated::AmountRange)?;
        Ok(LevelOffer {
            account: level.account.clone(),
            level: no,
            currency: level.currency,
            first,
            first_seconds: most.first_seconds,
            next: Amount(charged(most.next)?.0.max(0)),
            next_seconds: most.next_seconds.max(1),
            decimals,
            minute: charged(most.minute)?,
            rate: deck.rate_paid(chosen, jurisdiction),
        })
    }

    /// The agreement in force; a call that is not answered yet is rated at this instant by either rule.
    fn agreement_at(&self, level: &Level, at: i64) -> Option<&AgreementTerms> {
        let mut all = level.agreements.iter().filter_map(|place| self.agreements.get(*place as usize));
        all.find(|agreement| agreement.valid_from <= at && at < agreement.valid_until)
    }
}

impl AgreementTerms {
    /// What a net amount is charged as, to 12 decimals, rounded up: with its taxes where the account is charged gross.
    fn charged_at_most(&self, net: Exact) -> Option<Amount> {
        let percent = match (self.charge_gross, self.taxes.is_empty()) {
            (false, _) => 0,
            (true, true) => self.terms.tax_percent,
            (true, false) => self.taxes.iter().try_fold(0i64, |sum, tax| sum.checked_add(tax.percent))?,
        };
        net.checked_mul(1_000_000i64.checked_add(percent)?, 6)?.round(Rounding::Up, SCALE as u8)
    }
}

#[cfg(test)]
mod tests;
