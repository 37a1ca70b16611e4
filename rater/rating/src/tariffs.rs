//! A configuration compiled for rating: trunks with their accounts, levels and agreements, decks, exchange rates.
//! Built once per configuration version, shared by `Arc`, never changed.
//!
//! Never prices; see `rate`.

use std::sync::Arc;

use facts::config::{Agreement, Config, DeckRoot, ExchangeRate, RatedAt, Tax};
use facts::deck::RateDeck;
use facts::money::Currency;
use facts::time::rfc3339;
use facts::xdr::Side;
use hashbrown::HashMap;
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use crate::areas::Areas;
use crate::deck::CompiledDeck;
use crate::explain::Trace;
use crate::identify::Identifier;
use crate::price::{Priced, SAME_CURRENCY, Terms};
use crate::tax;

/// Most reseller levels above one account.
pub const LEVELS_MAX: usize = 16;

/// Where there is no name to borrow.
pub(crate) static NO_NAME: SmolStr = SmolStr::new_static("");

/// An agreement, ready for rating.
#[derive(Debug, Clone)]
pub(crate) struct AgreementTerms {
    pub id: SmolStr,
    pub deck: Option<Arc<CompiledDeck>>,
    /// Its place in [`Tariffs::decks`]; without a deck it means nothing.
    pub deck_number: u32,
    pub terms: Terms,
    pub rated_at: RatedAt,
    pub charge_gross: bool,
    /// Instead of the terms' percentage, where the account is charged gross.
    pub taxes: Vec<Tax>,
    pub valid_from: i64,
    pub valid_until: i64,
    pub exchange: Exchange,
}

/// From deck to account currency.
#[derive(Debug, Clone)]
pub(crate) enum Exchange {
    Same,
    /// By rising instant.
    Rates(Vec<DatedRate>),
}

#[derive(Debug, Clone)]
pub(crate) struct DatedRate {
    pub from: i64,
    pub rate: i64,
    /// Date and source, as they stand on the xDR.
    pub source: SmolStr,
}

impl AgreementTerms {
    /// The price with what the account is charged per call: gross where that is agreed, else net (rule 4.14).
    /// `None` where an amount does not fit.
    pub fn charged(&self, priced: Priced, trace: &mut impl Trace) -> Option<Priced> {
        if !self.charge_gross {
            return Some(Priced { gross: priced.net, ..priced });
        }
        tax::add(priced, &self.taxes, &self.terms, trace, |_, _| ())
    }
}

impl Exchange {
    /// The rate in force at an instant, with its date and source.
    pub fn at(&self, at: i64) -> Option<(i64, &SmolStr)> {
        match self {
            Self::Same => Some((SAME_CURRENCY, &NO_NAME)),
            Self::Rates(rates) => {
                let upto = rates.partition_point(|rate| rate.from <= at);
                rates[..upto].last().map(|rate| (rate.rate, &rate.source))
            }
        }
    }
}

/// One account that a call is sold to or bought from.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    pub account: SmolStr,
    pub currency: Currency,
    /// Agreements of the product first, then those for every product; later ones first among equals.
    pub agreements: SmallVec<[u32; 1]>,
    /// The product's own deck, for provisional prices where no agreement is in force.
    pub fallback: Option<Arc<CompiledDeck>>,
}

/// A trunk with everything that follows from it.
#[derive(Debug, Clone)]
pub(crate) struct TrunkTerms {
    pub product: SmolStr,
    pub strip: Vec<SmolStr>,
    /// Level 0 is our direct customer or vendor; the last is the trunk's own account. Empty: the account is unknown.
    pub levels: SmallVec<[Level; 1]>,
}

/// A configuration compiled for rating.
#[derive(Debug)]
pub struct Tariffs {
    /// `config_seq` of the configuration.
    pub seq: u64,
    pub(crate) sell: Identifier,
    pub(crate) buy: Identifier,
    pub(crate) sell_trunks: Vec<TrunkTerms>,
    pub(crate) buy_trunks: Vec<TrunkTerms>,
    pub(crate) agreements: Vec<AgreementTerms>,
    /// Currency of each account, and its agreements by side: product and place in `agreements`.
    pub(crate) accounts: HashMap<SmolStr, Currency>,
    pub(crate) by_account: HashMap<(SmolStr, Side), Vec<(SmolStr, u32)>>,
    /// Account and currency of what nobody could be found for.
    pub(crate) unidentified: (SmolStr, Currency),
    pub(crate) decks: Vec<Arc<CompiledDeck>>,
    pub(crate) areas: Areas,
    problems: Vec<String>,
}

struct Builder<'a> {
    config: &'a Config,
    decks: HashMap<SmolStr, Arc<CompiledDeck>>,
    agreements: Vec<AgreementTerms>,
    /// (account, side) to places in `agreements`, with the product each is for.
    by_account: HashMap<(SmolStr, Side), Vec<(SmolStr, u32)>>,
    problems: Vec<String>,
}

impl Tariffs {
    /// Compiles a configuration. `deck` hands over the compiled deck of a root, from a cache as a rule; a root it has
    /// none for counts as a deck without version and is listed in [`Self::problems`].
    pub fn compile(config: &Config, deck: &mut dyn FnMut(&DeckRoot) -> Option<Arc<CompiledDeck>>) -> Self {
        let mut builder = Builder {
            config,
            decks: HashMap::new(),
            agreements: Vec::new(),
            by_account: HashMap::new(),
            problems: Vec::new(),
        };
        for (id, versions) in &config.decks {
            // The newest version's rows decide, by their own dates; older versions serve re-rating.
            let Some(root) = versions.last() else { continue };
            match deck(root) {
                Some(compiled) => drop(builder.decks.insert(id.clone(), compiled)),
                None => builder.problems.push(format!("deck {id} version {} could not be read", root.version)),
            }
        }
        for agreement in config.agreements.values() {
            builder.agreement(agreement);
        }
        let (sell, buy) = (Identifier::compile(config, Side::Sell), Identifier::compile(config, Side::Buy));
        let sell_trunks = sell.trunks().iter().map(|id| builder.trunk(id, Side::Sell)).collect();
        let buy_trunks = buy.trunks().iter().map(|id| builder.trunk(id, Side::Buy)).collect();
        let base = config.settings.base_currency;
        let unidentified = config
            .accounts
            .values()
            .filter(|account| account.unidentified)
            .max_by_key(|account| account.currency == base)
            .map_or((SmolStr::new_static("unidentified"), base), |account| (account.id.clone(), account.currency));
        let mut decks: Vec<_> = builder.decks.into_values().collect();
        decks.sort_by(|a, b| a.id.cmp(&b.id));
        for agreement in &mut builder.agreements {
            let place = agreement.deck.as_ref().and_then(|deck| decks.binary_search_by(|x| x.id.cmp(&deck.id)).ok());
            agreement.deck_number = place.map_or(0, |place| place as u32);
        }
        Self {
            seq: config.seq,
            sell,
            buy,
            sell_trunks,
            buy_trunks,
            agreements: builder.agreements,
            accounts: config.accounts.values().map(|account| (account.id.clone(), account.currency)).collect(),
            by_account: builder.by_account,
            unidentified,
            decks,
            areas: Areas::compile(&config.areas),
            problems: builder.problems,
        }
    }

    /// Compiles a configuration with decks that are all in memory; the newest version of each id is taken.
    pub fn with_decks(config: &Config, decks: &[&RateDeck]) -> Self {
        let mut config = config.clone();
        for deck in decks {
            let root = DeckRoot {
                id: deck.id.clone(),
                version: deck.version,
                terms: deck.terms.clone(),
                chunks: Vec::new(),
                rows: deck.rates.len() as u64,
                source: String::new(),
            };
            config.apply(facts::config::ConfigItem::Deck(root));
        }
        Self::compile(&config, &mut |root| {
            let found = decks.iter().find(|deck| deck.id == root.id && deck.version == root.version)?;
            CompiledDeck::compile(found).ok().map(Arc::new)
        })
    }

    /// What `apply` should have refused and did not: decks that cannot be read, accounts that do not exist.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// A compiled deck by its id.
    pub fn deck(&self, id: &str) -> Option<&Arc<CompiledDeck>> {
        self.decks.binary_search_by(|deck| deck.id.as_str().cmp(id)).ok().map(|at| &self.decks[at])
    }
}

impl Builder<'_> {
    fn agreement(&mut self, agreement: &Agreement) {
        let Some(account) = self.config.accounts.get(&agreement.account) else {
            self.problems.push(format!("agreement {} names the unknown account {}", agreement.id, agreement.account));
            return;
        };
        let deck = self.config.deck_of(agreement).and_then(|id| self.decks.get(id)).cloned();
        let exchange = match &deck {
            Some(deck) => exchange(&self.config.exchange_rates, deck.currency, account.currency),
            None => Exchange::Same,
        };
        let place = self.agreements.len() as u32;
        self.agreements.push(AgreementTerms {
            id: agreement.id.clone(),
            deck,
            deck_number: 0,
            terms: Terms::from(agreement),
            rated_at: agreement.rated_at,
            charge_gross: agreement.charge_gross && account.prepaid,
            taxes: agreement.taxes.clone(),
            valid_from: agreement.valid_from.map_or(i64::MIN, |at| at.micros()),
            valid_until: agreement.valid_until.map_or(i64::MAX, |at| at.micros()),
            exchange,
        });
        let key = (agreement.account.clone(), agreement.side);
        self.by_account.entry(key).or_default().push((agreement.product.clone(), place));
    }

    fn trunk(&mut self, id: &SmolStr, side: Side) -> TrunkTerms {
        let Some(trunk) = self.config.trunks.get(id) else {
            return TrunkTerms { product: SmolStr::default(), strip: Vec::new(), levels: SmallVec::new() };
        };
        let mut levels = SmallVec::new();
        let mut account = trunk.account.clone();
        while let Some(known) = self.config.accounts.get(&account) {
            levels.push(self.level(&account, known.currency, &trunk.product, side));
            if side == Side::Buy || known.reseller.is_empty() || levels.len() == LEVELS_MAX {
                break;
            }
            account = known.reseller.clone();
        }
        if levels.is_empty() {
            self.problems.push(format!("trunk {id} names the unknown account {}", trunk.account));
        }
        levels.reverse();
        TrunkTerms { product: trunk.product.clone(), strip: trunk.strip.clone(), levels }
    }

    fn level(&self, account: &SmolStr, currency: Currency, product: &SmolStr, side: Side) -> Level {
        let mut agreements: SmallVec<[u32; 1]> = SmallVec::new();
        if let Some(all) = self.by_account.get(&(account.clone(), side)) {
            let mut fitting: Vec<_> = all.iter().filter(|(p, _)| p.is_empty() || p == product).collect();
            fitting.sort_by_key(|(p, place)| {
                (p.is_empty(), std::cmp::Reverse(self.agreements[*place as usize].valid_from), *place)
            });
            agreements.extend(fitting.iter().map(|(_, place)| *place));
        }
        let deck = self.config.products.get(product).map(|product| &product.deck);
        Level {
            account: account.clone(),
            currency,
            agreements,
            fallback: deck.and_then(|deck| self.decks.get(deck).cloned()),
        }
    }
}

/// The rates from one currency to another, by rising instant. Multiplied, never inverted: only this direction counts.
fn exchange(rates: &[ExchangeRate], from: Currency, to: Currency) -> Exchange {
    if from == to {
        return Exchange::Same;
    }
    let mut fitting: Vec<DatedRate> = rates
        .iter()
        .filter(|rate| rate.from == from && rate.to == to)
        .map(|rate| DatedRate {
            from: rate.valid_from.micros(),
            rate: rate.rate,
            source: format_smolstr!("{} {}", rfc3339(rate.valid_from.micros()), rate.source),
        })
        .collect();
    fitting.sort_by_key(|rate| rate.from);
    Exchange::Rates(fitting)
}
