//! Sides of calls from who pays to what it comes to, many at a time: first who is behind each side, then everything that
//! their prices are looked up by (so that the memory of many is waited for at once), then the prices. Names are
//! borrowed from the tariffs; whoever stores a side makes an [`Xdr`] of it.
//!
//! Never decides what a side costs (`price`, `provisional`); in groups or one by one, every digit is the same.

use facts::call::Call;
use facts::ids::{Cause, RevId, XdrId};
use facts::money::{Amount, Currency, Rounding};
use facts::time::OccurredAt;
use facts::xdr::{ProvisionalSource, Side, Unrated, Xdr};
use smol_str::SmolStr;

use crate::deck::{Chosen, CompiledDeck};
use crate::explain::Trace;
use crate::price::{Jurisdiction, SAME_CURRENCY};
use crate::rate::{Party, SideOf};
use crate::rerate::Line;
use crate::tariffs::{AgreementTerms, NO_NAME, Tariffs};

/// Sides looked up together.
const TOGETHER: usize = 64;

/// A side with everything that its price is looked up by.
pub(crate) struct Planned<'t, 'c> {
    pub side: SideOf<'c>,
    pub party: Option<Party<'t>>,
    pub agreement: Option<&'t AgreementTerms>,
    pub rated_at: OccurredAt,
    /// The first row of the number's prefix in the agreement's deck, where it was looked up ahead.
    pub first: Option<u32>,
}

/// One side of a call with its price, or the reason why it has none and what it counts for meanwhile.
#[derive(Debug, Clone)]
pub struct SidePrice<'t> {
    pub side: Side,
    pub level: u8,
    /// Place among the call's attempts; `None` on a sell side.
    pub attempt: Option<u16>,
    pub account: &'t SmolStr,
    pub product: &'t SmolStr,
    pub agreement: &'t SmolStr,
    pub rated_at: OccurredAt,
    pub duration: i64,
    pub billed: i64,
    pub amount: Amount,
    pub gross: Amount,
    pub currency: Currency,
    pub rounding: Rounding,
    pub decimals: u8,
    pub duration_rounding: Rounding,
    /// The row that priced it, and which of its rates.
    pub rate: Option<(&'t CompiledDeck, Chosen, Jurisdiction)>,
    /// Number of the agreement's deck in the tariffs, where it is the one that priced it.
    pub deck: Option<u32>,
    pub exchange_rate: i64,
    pub exchange_source: &'t SmolStr,
    pub unrated: Option<Unrated>,
    pub provisional: Option<ProvisionalSource>,
}

impl<'t> SidePrice<'t> {
    /// As it is stored, under the ids that the call and the cause give it.
    pub fn xdr(&self, call: &Call, cause: &Cause) -> Xdr {
        let attempt = self.attempt.and_then(|at| call.attempts.get(usize::from(at)));
        let xdr_id = XdrId::new(call.call_id, attempt.map_or("", |attempt| &attempt.key), self.side, self.level);
        Xdr {
            xdr_id,
            rev_id: RevId::new(xdr_id, cause),
            side: self.side,
            level: self.level,
            attempt: self.attempt,
            account: self.account.clone(),
            product: self.product.clone(),
            agreement: self.agreement.clone(),
            rated_at: self.rated_at,
            duration: self.duration,
            billed: self.billed,
            amount: self.amount,
            gross: self.gross,
            currency: self.currency,
            rounding: self.rounding,
            decimals: self.decimals,
            duration_rounding: self.duration_rounding,
            rate: self.rate.map(|(deck, chosen, which)| deck.rate_paid(chosen, which)),
            exchange_rate: self.exchange_rate,
            exchange_source: self.exchange_source.clone(),
            unrated: self.unrated,
            provisional: self.provisional,
        }
    }

    /// What of it is compared and summed by runs.
    pub fn line(&self) -> Line<'t> {
        Line {
            side: self.side,
            level: self.level,
            attempt: self.attempt,
            account: self.account,
            product: self.product,
            agreement: self.agreement,
            rate: self.rate.map(|(deck, chosen, _)| (deck.id.as_str(), deck.destination(chosen).as_str())),
            place: self.deck.zip(self.rate).map(|(number, (deck, chosen, _))| deck.place_of(number, chosen)),
            amount: self.amount,
            gross: self.gross,
            currency: self.currency,
            unrated: self.unrated,
            provisional: self.provisional,
        }
    }
}

impl Tariffs {
    /// Prices every side of several calls, in the order of the calls and of their sides (sell sides by level, then buy
    /// sides in the order of the attempts). `each` gets the place of the call among them.
    pub fn rate_many<'t, 'c>(
        &'t self,
        calls: impl Iterator<Item = &'c Call>,
        each: &mut impl FnMut(usize, SidePrice<'t>),
    ) {
        let mut planned: Vec<(usize, Planned<'t, 'c>)> = Vec::with_capacity(TOGETHER);
        for (at, call) in calls.enumerate() {
            self.for_each_side(call, &mut |side, party| planned.push((at, self.planned(side, party))));
        }
        for sides in planned.chunks_mut(TOGETHER) {
            look_ahead(sides);
        }
        for (at, side) in &planned {
            each(*at, self.side_price(side, &mut ()));
        }
    }

    /// The terms that one side is priced by.
    pub(crate) fn planned<'t, 'c>(&'t self, side: &SideOf<'c>, party: Option<Party<'t>>) -> Planned<'t, 'c> {
        let agreement = party.and_then(|party| self.agreement(party.level, side));
        let rated_at = side.rated_at(agreement.map_or(facts::config::RatedAt::Answer, |agreement| agreement.rated_at));
        Planned { side: *side, party, agreement, rated_at, first: None }
    }

    /// What one side comes to.
    pub(crate) fn side_price<'t>(&'t self, planned: &Planned<'t, '_>, trace: &mut impl Trace) -> SidePrice<'t> {
        let Planned { side, party, agreement, rated_at, .. } = planned;
        let (account, currency) = match party {
            Some(party) => (&party.level.account, party.level.currency),
            None => (&self.unidentified.0, self.unidentified.1),
        };
        let terms = agreement.map(|agreement| agreement.terms).unwrap_or_default();
        let mut price = SidePrice {
            side: side.side,
            level: side.level,
            attempt: side.attempt,
            account,
            product: party.map_or(&NO_NAME, |party| &party.trunk.product),
            agreement: agreement.map_or(&NO_NAME, |agreement| &agreement.id),
            rated_at: *rated_at,
            duration: side.duration,
            billed: 0,
            amount: Amount::ZERO,
            gross: Amount::ZERO,
            currency,
            rounding: terms.amount_rounding,
            decimals: if terms.amount_rounding == Rounding::None { 12 } else { terms.amount_decimals.min(12) },
            duration_rounding: terms.duration_rounding,
            rate: None,
            deck: None,
            exchange_rate: SAME_CURRENCY,
            exchange_source: &NO_NAME,
            unrated: None,
            provisional: None,
        };
        match self.priced(planned, trace) {
            Ok(rated) => {
                price.amount = rated.priced.net;
                price.gross = rated.priced.gross;
                price.billed = rated.priced.billed;
                price.rate = Some((rated.deck, rated.chosen, rated.jurisdiction));
                price.deck = agreement.map(|agreement| agreement.deck_number);
                (price.exchange_rate, price.exchange_source) = rated.exchange;
            }
            Err(reason) => {
                price.unrated = Some(reason);
                if side.answered_at.is_some() {
                    self.provisional(side, *party, *agreement, &mut price);
                }
            }
        }
        price
    }
}

/// Each step for all of them before the next one: the steps of one depend on each other, those of several do not.
fn look_ahead(sides: &mut [(usize, Planned<'_, '_>)]) {
    let mut asked: [Option<(&CompiledDeck, u64)>; TOGETHER] = [None; TOGETHER];
    for (asked, (_, planned)) in asked.iter_mut().zip(sides.iter()) {
        let Some(deck) = planned.agreement.and_then(|agreement| agreement.deck.as_deref()) else { continue };
        *asked = planned.side.number_for(deck).map(|number| (deck, number.key()));
    }
    // Little else in these loops, so that many wait at once.
    let mut places = [(0, 0); TOGETHER];
    for (place, asked) in places.iter_mut().zip(&asked) {
        if let Some((deck, key)) = asked {
            *place = deck.begins(*key);
        }
    }
    let mut seen = 0;
    for (place, asked) in places.iter().zip(&asked) {
        if let Some((deck, _)) = asked {
            seen ^= deck.touch(*place);
        }
    }
    for (asked, (_, planned)) in asked.iter().zip(sides.iter_mut()) {
        planned.first = asked.map(|(deck, key)| deck.first_of(key));
    }
    let mut destinations = [None; TOGETHER];
    for ((destination, asked), (_, planned)) in destinations.iter_mut().zip(&asked).zip(sides.iter()) {
        *destination = asked.zip(planned.first).and_then(|((deck, _), first)| deck.destination_of(first));
    }
    seen = destinations.iter().flatten().fold(seen, |all, name: &&SmolStr| all ^ name.len() as u64);
    std::hint::black_box(seen);
}
