//! A quote line that names an account of a configuration instead of its terms: the agreement in force at the call's own
//! instant, its deck and its exchange rate, as the rater finds them. Never identifies a call by its trunk.

use std::sync::Arc;

use facts::config::RatedAt;
use facts::time::rfc3339;
use facts::xdr::{Side, Unrated};

use super::call::{AgreementPart, CallPart};
use super::deck::DeckPart;
use super::{Named, NoPrice};
use crate::tariffs::Tariffs;

/// Which terms a line asks for.
pub(super) struct Wanted<'l> {
    pub account: &'l str,
    /// `None`: sell where the account has such an agreement, else buy.
    pub side: Option<Side>,
    /// Of several agreements in force the one for this product.
    pub product: Option<&'l str>,
}

/// Terms of an account, with the words that tell where they come from.
pub(super) struct Terms {
    pub agreement: AgreementPart,
    pub deck: Arc<DeckPart>,
    pub from: String,
    pub named: Named,
}

impl Tariffs {
    /// The terms of an account for a call, or why there are none.
    pub(super) fn terms_of(&self, wanted: &Wanted<'_>, call: &CallPart) -> Result<Terms, NoPrice> {
        let account = wanted.account;
        let none = |reason, message| Err(NoPrice::Unrated(reason, message));
        let Some(currency) = self.accounts.get(account).copied() else {
            return none(Unrated::UnknownAccount, format!("the configuration has no account {account:?}"));
        };
        let all = |side| self.by_account.get(&(account.into(), side)).map(Vec::as_slice).unwrap_or_default();
        let side = wanted.side.unwrap_or(if all(Side::Sell).is_empty() { Side::Buy } else { Side::Sell });
        let instant = |rule| match rule {
            RatedAt::Answer => call.answered_at.unwrap_or(call.started_at),
            RatedAt::Setup => call.started_at,
        };
        let product = wanted.product;
        let in_force = all(side).iter().filter(|(of, _)| product.is_none_or(|product| of.is_empty() || of == product));
        let in_force = in_force.filter_map(|(of, place)| Some((of, self.agreements.get(*place as usize)?)));
        let mut in_force: Vec<_> = in_force
            .filter(|(_, terms)| (terms.valid_from..terms.valid_until).contains(&instant(terms.rated_at)))
            .collect();
        // As the rater chooses: an agreement for the product before one for every product, the later one first.
        in_force.sort_by_key(|(of, terms)| (of.is_empty(), std::cmp::Reverse(terms.valid_from)));
        let Some((of, terms)) = in_force.first().copied() else {
            let at = rfc3339(call.answered_at.unwrap_or(call.started_at));
            let message = format!("account {account:?} has no {} agreement in force at {at}", side.as_str());
            return none(Unrated::NoAgreement, message);
        };
        if let Some((other, _)) = in_force.iter().find(|(other, _)| product.is_none() && *other != of) {
            return Err(NoPrice::WhichProduct(format!(
                "account {account:?} has agreements for the products {of:?} and {other:?}"
            )));
        }
        let Some(deck) = terms.deck.clone() else {
            return none(Unrated::NoDeck, format!("agreement {:?} has no deck", terms.id));
        };
        let rated_at = instant(terms.rated_at);
        let exchange = terms.exchange.at(rated_at);
        let mut from = format!("agreement {}, deck {} version {}", terms.id, deck.id, deck.version);
        if let Some((_, source)) = exchange.as_ref().filter(|(_, source)| !source.is_empty()) {
            from.push_str(&format!(", exchange rate of {source}"));
        }
        let agreement = AgreementPart {
            side,
            currency: Some(currency),
            exchange_rate: exchange.map(|(rate, _)| rate),
            rated_at: terms.rated_at,
            terms: terms.terms,
            taxes: terms.taxes.clone(),
        };
        let named = Named { agreement: terms.id.clone(), deck: deck.id.clone(), version: deck.version };
        Ok(Terms { named, agreement, deck: Arc::new(DeckPart { currency: Some(deck.currency), compiled: deck }), from })
    }
}
