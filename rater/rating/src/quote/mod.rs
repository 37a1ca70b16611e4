//! `tandem quote` (design 13): one JSON object with a call, an agreement and a deck in, its price with every step out.
//! The same look-up and the same price as the rater's; text in, text out, so that whoever reads lines may ask.
//!
//! Never reads a file, never keeps more than the last few decks, never gives a price where a field is not understood.

mod account;
mod answer;
mod call;
mod deck;
mod node;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use facts::config::RatedAt;
use facts::deck::RatedNumber;
use facts::number::E164;
use facts::time::rfc3339;
use facts::xdr::{Side, Unrated};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use self::call::{AgreementPart, CallPart};
use self::deck::DeckPart;
pub use self::node::Fault;
use self::node::{Key, Node, Place};
use crate::areas::{Areas, Numbers};
use crate::deck::{Chosen, Tie};
use crate::explain::Note;
use crate::price::{Ask, Priced, SAME_CURRENCY, price};
use crate::tariffs::Tariffs;

/// Decks kept compiled: lines of both sides of a call may alternate.
const DECKS_KEPT: usize = 4;

/// What a line came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    Priced,
    /// The call has no price, for a reason of the closed set.
    Unrated,
    /// The line was not understood.
    Refused,
}

/// The answer to one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    pub came: Came,
    /// One JSON object, without the line's end.
    pub line: String,
    /// Of a price by the name of an account: where its terms stand.
    pub named: Option<Named>,
}

/// The agreement and the deck version that priced a call of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub agreement: SmolStr,
    pub deck: SmolStr,
    pub version: u32,
}

impl Quoted {
    fn without_price(came: Came, line: String) -> Self {
        Self { came, line, named: None }
    }
}

/// Answers line after line; a deck that comes again within a few lines is compiled once.
#[derive(Default)]
pub struct Quoter {
    /// Text of a deck, and what it is; the last used first.
    decks: VecDeque<(Box<str>, Arc<DeckPart>)>,
    /// The accounts that lines may name.
    tariffs: Option<Arc<Tariffs>>,
}

/// Parts of a line, each still text.
#[derive(Default)]
struct Line<'a> {
    id: Option<Cow<'a, str>>,
    call: Option<&'a RawValue>,
    agreement: Option<&'a RawValue>,
    deck: Option<&'a RawValue>,
    /// Instead of agreement and deck.
    account: Option<Cow<'a, str>>,
    side: Option<Cow<'a, str>>,
    product: Option<Cow<'a, str>>,
    /// The first field that the contract does not know.
    unknown: Option<Cow<'a, str>>,
}

/// A line understood.
struct Request {
    call: CallPart,
    agreement: AgreementPart,
    deck: Arc<DeckPart>,
    /// Where the terms come from, where an account was named.
    from: Option<String>,
    named: Option<Named>,
}

/// A priced call with what it came from.
struct Found {
    number: E164,
    rated_at: i64,
    chosen: Chosen,
    priced: Priced,
    notes: Vec<Note>,
}

impl Quoter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lines may name an account of this configuration instead of an agreement and a deck.
    pub fn with(tariffs: Arc<Tariffs>) -> Self {
        Self { tariffs: Some(tariffs), ..Self::default() }
    }

    /// Answers one line; `number` counts from 1 and stands in the answer where the line is refused.
    pub fn answer(&mut self, number: u64, line: &str) -> Quoted {
        let parsed: Result<Line<'_>, _> = serde_json::from_str(line);
        let (id, request) = match parsed {
            Ok(mut parsed) => (parsed.id.take(), self.request(&parsed)),
            Err(error) => {
                let reason = error.to_string();
                let advice = "write one JSON object a line".to_owned();
                (None, Err(Fault { field: String::new(), reason, advice }))
            }
        };
        let request = match (&id, request) {
            (None, Ok(_)) => Err(Place::root("id").fault("the field \"id\" is missing", "name each line")),
            (_, request) => request,
        };
        let id = id.as_deref();
        match request {
            Err(fault) => Quoted::without_price(Came::Refused, answer::refused(id, number, &fault)),
            Ok(request) => {
                match request.and_then(|request| quote(&request, self.areas()).map(|found| (request, found))) {
                    Ok((request, found)) => match answer::priced(id, &request, &found) {
                        Some(line) => Quoted { came: Came::Priced, line, named: request.named },
                        None => {
                            let message = "the exact amount is beyond the range of 128 bits";
                            Quoted::without_price(Came::Unrated, answer::unrated(id, Unrated::AmountRange, message))
                        }
                    },
                    Err(NoPrice::Unrated(reason, message)) => {
                        Quoted::without_price(Came::Unrated, answer::unrated(id, reason, &message))
                    }
                    Err(NoPrice::Tied(tie)) => {
                        let advice =
                            "end one before the other begins, or give them bands or origins that do not overlap";
                        let fault = Place::root("deck").key("rates").fault(tie.to_string(), advice);
                        Quoted::without_price(Came::Refused, answer::refused(id, number, &fault))
                    }
                    Err(NoPrice::WhichProduct(reason)) => {
                        let fault = Place::root("product").fault(reason, "name the product of the call");
                        Quoted::without_price(Came::Refused, answer::refused(id, number, &fault))
                    }
                }
            }
        }
    }

    /// The line understood; the inner result is the account's, which may have no terms.
    fn request(&mut self, line: &Line<'_>) -> Result<Result<Request, NoPrice>, Fault> {
        let root = |name| Place::root(name);
        if let Some(name) = &line.unknown {
            let advice = "correct its name, or begin it with x_ to have it passed over";
            return Err(root(name).fault(format!("unknown field {name:?}"), advice));
        }
        let missing = |name| root(name).fault(format!("the field {name:?} is missing"), "add it: it has no default");
        let at = root("call");
        let call = CallPart::read(&at, &node::parse(&at, line.call.ok_or_else(|| missing("call"))?.get())?)?;
        if let Some(account) = &line.account {
            return self.of_account(line, account, call);
        }
        let needs_account = [("side", &line.side), ("product", &line.product)].into_iter().find(|(_, it)| it.is_some());
        if let Some((name, _)) = needs_account {
            return Err(root(name).fault("it goes with an account", "name the account, or leave it out"));
        }
        let at = root("agreement");
        let agreement = match line.agreement.map(|raw| node::parse(&at, raw.get())).transpose()? {
            None | Some(Node::Null) => AgreementPart::default(),
            Some(node) => AgreementPart::read(&at, &node)?,
        };
        let deck = self.deck(line.deck.ok_or_else(|| missing("deck"))?.get())?;
        Ok(Ok(Request { call, agreement, deck, from: None, named: None }))
    }

    fn of_account(&self, line: &Line<'_>, account: &str, call: CallPart) -> Result<Result<Request, NoPrice>, Fault> {
        let at = Place::root("account");
        let given = [("agreement", line.agreement), ("deck", line.deck)].into_iter().find(|(_, raw)| raw.is_some());
        if let Some((name, _)) = given {
            return Err(at.fault(format!("{name:?} is given too"), "give the account or the terms"));
        }
        let Some(tariffs) = &self.tariffs else {
            let advice = "give the configuration that has it: tandem quote --config DIR";
            return Err(at.fault("there is no configuration to find the account in", advice));
        };
        let side = match line.side.as_deref() {
            None => None,
            Some("sell") => Some(Side::Sell),
            Some("buy") => Some(Side::Buy),
            Some(other) => return Err(Place::root("side").fault(format!("{other:?} is no side"), "write sell or buy")),
        };
        let wanted = account::Wanted { account, side, product: line.product.as_deref() };
        Ok(tariffs.terms_of(&wanted, &call).map(|terms| {
            let account::Terms { agreement, deck, from, named } = terms;
            Request { call, agreement, deck, from: Some(from), named: Some(named) }
        }))
    }

    /// Areas of numbers for calls whose jurisdiction no line gives.
    fn areas(&self) -> Option<&Areas> {
        self.tariffs.as_ref().map(|tariffs| &tariffs.areas)
    }

    fn deck(&mut self, text: &str) -> Result<Arc<DeckPart>, Fault> {
        if let Some(place) = self.decks.iter().position(|(known, _)| **known == *text)
            && let Some(found) = self.decks.remove(place)
        {
            let deck = found.1.clone();
            self.decks.push_front(found);
            return Ok(deck);
        }
        let at = Place::root("deck");
        let deck = Arc::new(DeckPart::read(&at, &node::parse(&at, text)?)?);
        self.decks.truncate(DECKS_KEPT - 1);
        self.decks.push_front((text.into(), deck.clone()));
        Ok(deck)
    }
}

/// Why a call has no price.
enum NoPrice {
    Unrated(Unrated, String),
    /// Two rows of the deck are left (rule 4.5).
    Tied(Tie),
    /// The account buys or sells several products, and the line names none.
    WhichProduct(String),
}

/// Prices the call of a line, or says why not.
fn quote(request: &Request, areas: Option<&Areas>) -> Result<Found, NoPrice> {
    let unrated = |reason, message| Err(NoPrice::Unrated(reason, message));
    let Request { call, agreement, deck, .. } = request;
    let deck = &*deck.compiled;
    let asked = match (deck.rated_number, call.rn.as_deref()) {
        (RatedNumber::Lrn, Some(rn)) if !rn.is_empty() => rn,
        _ => &call.called,
    };
    let number = match E164::normalise(asked) {
        Ok(number) if !number.is_empty() => number,
        Ok(_) => return unrated(Unrated::BadNumber, "the called number is empty".to_owned()),
        Err(error) => return unrated(Unrated::BadNumber, error.to_string()),
    };
    if call.duration < 0 {
        return unrated(Unrated::BadTime, "the duration is below zero".to_owned());
    }
    let rated_at = match agreement.rated_at {
        RatedAt::Answer => call.answered_at.unwrap_or(call.started_at),
        RatedAt::Setup => call.started_at,
    };
    let caller = call.caller.as_deref().and_then(|caller| E164::normalise(caller).ok());
    let origin = deck.origin_of(caller.as_ref());
    if let Some(tie) = deck.tie_at(&number, origin, rated_at) {
        return Err(NoPrice::Tied(tie));
    }
    let chosen = deck.find(&number, origin, rated_at).map_err(|reason| {
        let message = match reason {
            Unrated::Blocked => format!("{number} is blocked at {}", rfc3339(rated_at)),
            _ => format!("no rate for {number} valid at {}", rfc3339(rated_at)),
        };
        NoPrice::Unrated(reason, message)
    })?;
    let Some(exchange_rate) = agreement.exchange_rate else {
        return unrated(Unrated::NoExchangeRate, "the agreement has no exchange rate".to_owned());
    };
    let mut notes = Vec::new();
    let derived = |areas: &Areas| {
        let read = |text: &str| E164::normalise(text).ok();
        let (dialled, rn) = (read(&call.called), call.rn.as_deref().and_then(read));
        let numbers = Numbers { caller: caller.as_ref(), dialled: dialled.as_ref(), rn: rn.as_ref() };
        areas.jurisdiction(deck, chosen, &numbers, &mut notes)
    };
    let jurisdiction = call.jurisdiction.or_else(|| areas.map(derived)).unwrap_or_default();
    let ask = Ask {
        rated_at,
        duration: call.duration,
        answered: call.answered_at.is_some(),
        attempted: call.attempted && (agreement.side == Side::Buy || call.last_attempt),
        jurisdiction,
        exchange_rate,
    };
    let priced = price(deck, chosen, &agreement.terms, &ask, &mut notes);
    // A call without a price may have met the tie on its way: as far as its duration reaches.
    let seconds = priced.as_ref().map_or(call.duration, |priced| priced.billed);
    let until = rated_at.saturating_add(deck.free(chosen)).saturating_add(seconds);
    if let Some(tie) = deck.tie_until(&number, origin, rated_at, until) {
        return Err(NoPrice::Tied(tie));
    }
    match priced {
        Ok(priced) => Ok(Found { number, rated_at, chosen, priced, notes }),
        Err(reason) => unrated(reason, refusal(reason, &number, deck, chosen)),
    }
}

/// Why a call whose first second has a row has no price all the same.
fn refusal(reason: Unrated, number: &E164, deck: &crate::CompiledDeck, chosen: Chosen) -> String {
    let prefix = deck.rate_used(chosen).prefix;
    match reason {
        Unrated::NoRate => format!("the call to {number} runs into a time band for which {prefix} has no rate"),
        Unrated::Blocked => format!("the call to {number} runs into a time band in which {prefix} is blocked"),
        _ => "the exact amount is beyond the range of 128 bits".to_owned(),
    }
}

impl<'de> Deserialize<'de> for Line<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with id, call, agreement and deck")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
        let mut line = Line::default();
        while let Some(Key(key)) = map.next_key()? {
            let raw: &'de RawValue;
            let again = match &*key {
                "id" => {
                    let Key(id) = map.next_value().map_err(|error| A::Error::custom(format!("id: {error}")))?;
                    line.id.replace(id).is_some()
                }
                "account" | "side" | "product" => {
                    let Key(text) = map.next_value().map_err(|error| A::Error::custom(format!("{key}: {error}")))?;
                    let slot = match &*key {
                        "account" => &mut line.account,
                        "side" => &mut line.side,
                        _ => &mut line.product,
                    };
                    slot.replace(text).is_some()
                }
                "call" => {
                    raw = map.next_value()?;
                    line.call.replace(raw).is_some()
                }
                "agreement" => {
                    raw = map.next_value()?;
                    line.agreement.replace(raw).is_some()
                }
                "deck" => {
                    raw = map.next_value()?;
                    line.deck.replace(raw).is_some()
                }
                _ => {
                    raw = map.next_value()?;
                    let _ = raw;
                    if !key.starts_with("x_") {
                        line.unknown.get_or_insert_with(|| key.clone());
                    }
                    false
                }
            };
            if again {
                return Err(A::Error::custom(format!("the field {key:?} is given twice")));
            }
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests;
