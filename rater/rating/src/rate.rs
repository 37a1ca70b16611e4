//! Rating: every side of a call to an xDR, priced or with a named reason and a provisional amount (design 4.11-4.16).
//! Pure: the same call under the same tariffs gives the same digits, today and in ten years.

use facts::call::{Attempt, Call};
use facts::config::RatedAt;
use facts::deck::RatedNumber;
use facts::ids::Cause;
use facts::number::E164;
use facts::time::OccurredAt;
use facts::xdr::{Side, Unrated, Xdr};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::areas::Numbers;
use crate::deck::{Chosen, CompiledDeck};
use crate::explain::{Note, Trace};
use crate::identify::number_of;
use crate::price::{Ask, Jurisdiction, Priced, price};
use crate::sides::Planned;
use crate::tariffs::{AgreementTerms, Level, Tariffs, TrunkTerms};

/// One side of a call, before anybody knows who pays.
#[derive(Clone, Copy)]
pub(crate) struct SideOf<'a> {
    pub call: &'a Call,
    pub side: Side,
    pub level: u8,
    pub attempt: Option<u16>,
    pub number: Option<E164>,
    pub started_at: OccurredAt,
    pub answered_at: Option<OccurredAt>,
    pub duration: i64,
    pub bad_time: bool,
    /// Pays an attempt fee where there is one.
    pub attempted: bool,
}

/// Who pays or is paid, under which terms.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub trunk: &'a TrunkTerms,
    pub level: &'a Level,
}

/// A successful price with what it came from.
pub(crate) struct Rated<'a> {
    pub deck: &'a CompiledDeck,
    pub chosen: Chosen,
    pub jurisdiction: Jurisdiction,
    pub priced: Priced,
    pub exchange: (i64, &'a SmolStr),
}

impl SideOf<'_> {
    pub fn rated_at(&self, rule: RatedAt) -> OccurredAt {
        match rule {
            RatedAt::Answer => self.answered_at.unwrap_or(self.started_at),
            RatedAt::Setup => self.started_at,
        }
    }

    pub fn ask(&self, rated_at: OccurredAt, exchange_rate: i64, jurisdiction: Jurisdiction) -> Ask {
        Ask {
            rated_at: rated_at.micros(),
            duration: self.duration,
            answered: self.answered_at.is_some(),
            attempted: self.attempted,
            jurisdiction,
            exchange_rate,
        }
    }

    /// The number a deck rates: as dialled, or the routing number where the deck wants it and the call has one.
    pub fn number_for(&self, deck: &CompiledDeck) -> Option<E164> {
        match deck.rated_number {
            RatedNumber::Lrn => self.call.rn.filter(|rn| !rn.is_empty()).or(self.number),
            RatedNumber::Dialled => self.number,
        }
    }
}

impl Tariffs {
    /// Prices every side of a call: sell sides by level, then buy sides in the order of the attempts.
    pub fn rate(&self, call: &Call) -> SmallVec<[Xdr; 2]> {
        self.rate_as(call, &Cause::First)
    }

    /// The same for a later revision.
    pub fn rate_as(&self, call: &Call, cause: &Cause) -> SmallVec<[Xdr; 2]> {
        let mut xdrs = SmallVec::new();
        self.for_each_side(call, &mut |side, party| {
            xdrs.push(self.side_price(&self.planned(side, party), &mut ()).xdr(call, cause));
        });
        xdrs
    }

    /// Every side's xDR with the steps of its price.
    pub fn explained(&self, call: &Call) -> Vec<(Xdr, Vec<String>)> {
        let mut xdrs = Vec::new();
        self.for_each_side(call, &mut |side, party| {
            let mut notes: Vec<Note> = Vec::new();
            let xdr = self.side_price(&self.planned(side, party), &mut notes).xdr(call, &Cause::First);
            xdrs.push((xdr, notes.iter().map(ToString::to_string).collect()));
        });
        xdrs
    }

    /// Writes the number that is rated, without tech prefix and trunk prefixes, into the call, and the tech prefix into
    /// its endpoint: what stands on the xDR is what was priced. Doing it twice changes nothing.
    pub fn normalise(&self, call: &mut Call) {
        let found = self.sell.find(&call.switch, &call.inbound, &call.called, call.started_at.micros());
        let Some(found) = found else { return };
        let trunk = &self.sell_trunks[found.trunk as usize];
        let tech_prefix = if found.tech_prefix.is_empty() { &call.inbound.tech_prefix } else { found.tech_prefix };
        let number = number_of(&call.called, call.called_number, tech_prefix, &trunk.strip);
        if number.is_some() {
            call.called_number = number;
        }
        if call.inbound.tech_prefix.is_empty() && !found.tech_prefix.is_empty() {
            call.inbound.tech_prefix = found.tech_prefix.into();
        }
    }

    pub(crate) fn for_each_side<'t, 'c>(
        &'t self,
        call: &'c Call,
        each: &mut impl FnMut(&SideOf<'c>, Option<Party<'t>>),
    ) {
        let at = call.started_at.micros();
        let found = self.sell.find(&call.switch, &call.inbound, &call.called, at);
        let trunk = found.and_then(|found| self.sell_trunks.get(found.trunk as usize));
        let number = match (found, trunk) {
            (Some(found), Some(trunk)) => {
                let told = &call.inbound.tech_prefix;
                let tech_prefix = if found.tech_prefix.is_empty() { told } else { found.tech_prefix };
                number_of(&call.called, call.called_number, tech_prefix, &trunk.strip)
            }
            _ => call.called_number.filter(|number| !number.is_empty()),
        };
        let mut side = sell_side(call, number);
        match trunk.filter(|trunk| !trunk.levels.is_empty()) {
            Some(trunk) => {
                for (level, party) in trunk.levels.iter().enumerate() {
                    side.level = level as u8;
                    each(&side, Some(Party { trunk, level: party }));
                }
            }
            None => each(&side, None),
        }
        for (index, attempt) in call.attempts.iter().enumerate() {
            let side = buy_side(call, attempt, index as u16, number);
            let found = self.buy.find(&call.switch, &attempt.outbound, "", side.started_at.micros());
            let party = found
                .and_then(|found| self.buy_trunks.get(found.trunk as usize))
                .and_then(|trunk| trunk.levels.first().map(|level| Party { trunk, level }));
            each(&side, party);
        }
    }

    /// The agreement in force at its own instant.
    pub(crate) fn agreement(&self, level: &Level, side: &SideOf<'_>) -> Option<&AgreementTerms> {
        level.agreements.iter().filter_map(|place| self.agreements.get(*place as usize)).find(|agreement| {
            let at = side.rated_at(agreement.rated_at).micros();
            agreement.valid_from <= at && at < agreement.valid_until
        })
    }

    /// The price, or the first reason against it in the order of [`Unrated`].
    pub(crate) fn priced<'t>(
        &'t self,
        planned: &Planned<'t, '_>,
        trace: &mut impl Trace,
    ) -> Result<Rated<'t>, Unrated> {
        let Planned { side, party, agreement, rated_at, first } = planned;
        if party.is_none() {
            return Err(Unrated::UnknownAccount);
        }
        let agreement = agreement.ok_or(Unrated::NoAgreement)?;
        let dialled = side.number.or_else(|| agreement.deck.as_ref().and_then(|deck| side.number_for(deck)));
        if dialled.is_none() {
            return Err(Unrated::BadNumber);
        }
        if side.bad_time {
            return Err(Unrated::BadTime);
        }
        let deck = agreement.deck.as_deref().ok_or(Unrated::NoDeck)?;
        let number = side.number_for(deck).ok_or(Unrated::BadNumber)?;
        let origin = deck.origin_of(side.call.caller_number.as_ref());
        let first = first.unwrap_or_else(|| deck.first_of(number.key()));
        let chosen = deck.find_from(first, &number, origin, rated_at.micros())?;
        let exchange = agreement.exchange.at(rated_at.micros()).ok_or(Unrated::NoExchangeRate)?;
        let numbers = Numbers {
            caller: side.call.caller_number.as_ref(),
            dialled: side.number.as_ref(),
            rn: side.call.rn.as_ref(),
        };
        let jurisdiction = self.areas.jurisdiction(deck, chosen, &numbers, trace);
        let ask = side.ask(*rated_at, exchange.0, jurisdiction);
        let priced = price(deck, chosen, &agreement.terms, &ask, trace)?;
        let priced = agreement.charged(priced, trace).ok_or(Unrated::AmountRange)?;
        Ok(Rated { deck, chosen, jurisdiction, priced, exchange })
    }
}

fn sell_side(call: &Call, number: Option<E164>) -> SideOf<'_> {
    let ended = call.ended_at;
    let contradicts = ended < call.started_at
        || call.answered_at.is_some_and(|answered| answered > ended)
        || call.duration < 0
        || (call.duration > 0 && call.answered_at.is_none());
    SideOf {
        call,
        side: Side::Sell,
        level: 0,
        attempt: None,
        number,
        started_at: call.started_at,
        answered_at: call.answered_at,
        duration: call.duration,
        bad_time: contradicts,
        attempted: !call.attempts.is_empty(),
    }
}

fn buy_side<'a>(call: &'a Call, attempt: &Attempt, index: u16, number: Option<E164>) -> SideOf<'a> {
    let contradicts = attempt.duration < 0
        || (attempt.duration > 0 && attempt.answered_at.is_none())
        || matches!((attempt.answered_at, attempt.ended_at), (Some(answered), Some(ended)) if answered > ended)
        || matches!((attempt.started_at, attempt.ended_at), (Some(started), Some(ended)) if started > ended);
    SideOf {
        call,
        side: Side::Buy,
        level: 0,
        attempt: Some(index),
        number,
        started_at: attempt.started_at.unwrap_or(call.started_at),
        answered_at: attempt.answered_at,
        duration: attempt.duration,
        bad_time: contradicts,
        attempted: true,
    }
}

#[cfg(test)]
mod tests;
