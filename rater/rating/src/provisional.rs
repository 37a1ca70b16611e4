//! Provisional amounts (design 4.16): what an answered call that cannot be priced yet counts for in exposure, accrual
//! and margin, from the rater's own inputs. Where it came from stands on the xDR; recycling replaces it.

use facts::config::RatedAt;
use facts::money::{Amount, Currency};
use facts::xdr::{ProvisionalSource, Side, Unrated};
use smol_str::SmolStr;

use crate::country::Country;
use crate::deck::{Chosen, CompiledDeck};
use crate::price::{Jurisdiction, Priced, SAME_CURRENCY, Terms, price};
use crate::rate::{Party, SideOf};
use crate::sides::SidePrice;
use crate::tariffs::{AgreementTerms, NO_NAME, Tariffs};

/// What one deck is asked for: the terms and the exchange into the account's currency.
struct Basis<'a> {
    deck: &'a CompiledDeck,
    terms: Terms,
    exchange: (i64, &'a SmolStr),
}

impl Tariffs {
    /// Fills in the provisional amount of an unrated answered side.
    pub(crate) fn provisional<'t>(
        &'t self,
        side: &SideOf<'_>,
        party: Option<Party<'t>>,
        agreement: Option<&'t AgreementTerms>,
        xdr: &mut SidePrice<'t>,
    ) {
        // The money held is the direct customer's; further levels hold their own in their own books.
        let held = side.call.held.filter(|_| side.call.hold_id.is_some());
        if let (Side::Sell, 0, Some(_), Some(held)) = (side.side, side.level, party, held) {
            (xdr.amount, xdr.gross) = (held, held);
            xdr.provisional = Some(ProvisionalSource::Held);
            return;
        }
        let (found, source) = match party {
            Some(party) => match self.basis(party, agreement, xdr) {
                Some(basis) => self.by_deck(side, &basis, xdr),
                None => self.by_all_decks(side, party.level.currency, xdr),
            },
            None => self.by_all_decks(side, xdr.currency, xdr),
        };
        match found {
            Some(priced) => {
                xdr.amount = priced.net;
                // A tax that does not fit leaves the net: an estimate is better than none.
                xdr.gross = agreement.and_then(|terms| terms.charged(priced, &mut ())).map_or(priced.net, |p| p.gross);
                xdr.billed = priced.billed;
                xdr.provisional = Some(source);
            }
            None => xdr.provisional = Some(ProvisionalSource::NoDeck),
        }
    }

    /// The deck of the agreement, or of the product where no agreement is in force and no exchange is needed.
    fn basis<'a>(
        &self,
        party: Party<'a>,
        agreement: Option<&'a AgreementTerms>,
        xdr: &SidePrice<'_>,
    ) -> Option<Basis<'a>> {
        if let Some(agreement) = agreement {
            let exchange = agreement.exchange.at(xdr.rated_at.micros())?;
            return Some(Basis { deck: agreement.deck.as_deref()?, terms: agreement.terms, exchange });
        }
        let deck = party.level.fallback.as_deref().filter(|deck| deck.currency == party.level.currency)?;
        Some(Basis { deck, terms: Terms::default(), exchange: (SAME_CURRENCY, &NO_NAME) })
    }

    /// The ladder within one deck: (buy: last known rate,) dearest of the country, dearest of the deck.
    fn by_deck<'t>(
        &self,
        side: &SideOf<'_>,
        basis: &Basis<'t>,
        xdr: &mut SidePrice<'t>,
    ) -> (Option<Priced>, ProvisionalSource) {
        let at = xdr.rated_at.micros();
        let number = side.number_for(basis.deck);
        let mut rungs: [(Option<Chosen>, ProvisionalSource); 3] = [
            (None, ProvisionalSource::LastKnown),
            (None, ProvisionalSource::DearestOfCountry),
            (basis.deck.dearest(None, at), ProvisionalSource::DearestOfDeck),
        ];
        if let Some(number) = &number {
            if side.side == Side::Buy && xdr.unrated != Some(Unrated::Blocked) {
                rungs[0].0 = basis.deck.last_known(number, at);
            }
            rungs[1].0 = Country::of_number(number).and_then(|country| basis.deck.dearest(Some(country), at));
        }
        for (chosen, source) in rungs {
            let Some(chosen) = chosen else { continue };
            let Some(priced) = provisional_price(side, basis, chosen, at) else { continue };
            xdr.rate = Some((basis.deck, chosen, Jurisdiction::Indeterminate));
            (xdr.exchange_rate, xdr.exchange_source) = basis.exchange;
            return (Some(priced), source);
        }
        (None, ProvisionalSource::NoDeck)
    }

    /// The ladder over all decks in one currency: the dearest price any of them gives.
    fn by_all_decks<'t>(
        &'t self,
        side: &SideOf<'_>,
        currency: Currency,
        xdr: &mut SidePrice<'t>,
    ) -> (Option<Priced>, ProvisionalSource) {
        xdr.rated_at = side.rated_at(RatedAt::Answer);
        let at = xdr.rated_at.micros();
        let mut best: Option<(Priced, Basis<'_>, Chosen)> = None;
        for whole in [false, true] {
            for deck in self.decks.iter().filter(|deck| deck.currency == currency) {
                let country = side.number_for(deck).as_ref().and_then(Country::of_number);
                let chosen = match (whole, country) {
                    (true, _) => deck.dearest(None, at),
                    (false, Some(country)) => deck.dearest(Some(country), at),
                    (false, None) => None,
                };
                let Some(chosen) = chosen else { continue };
                let exchange = (SAME_CURRENCY, &NO_NAME);
                let basis = Basis { deck, terms: Terms::default(), exchange };
                let Some(priced) = provisional_price(side, &basis, chosen, at) else { continue };
                if best.as_ref().is_none_or(|(known, ..)| priced.net > known.net) {
                    best = Some((priced, basis, chosen));
                }
            }
            if best.is_some() {
                break;
            }
        }
        match best {
            Some((priced, basis, chosen)) => {
                xdr.rate = Some((basis.deck, chosen, Jurisdiction::Indeterminate));
                (Some(priced), ProvisionalSource::DearestOfAll)
            }
            None => (None, ProvisionalSource::NoDeck),
        }
    }
}

/// A price by one row, for the side's own duration (none where the times contradict each other).
fn provisional_price(side: &SideOf<'_>, basis: &Basis<'_>, chosen: Chosen, at: i64) -> Option<Priced> {
    let mut ask = side.ask(facts::OccurredAt(at), basis.exchange.0, Jurisdiction::Indeterminate);
    ask.duration = ask.duration.max(0);
    let priced = price(basis.deck, chosen, &basis.terms, &ask, &mut ()).ok()?;
    (priced.net >= Amount::ZERO).then_some(priced)
}
