//! Decks of the world's parties, derived from the ground deck: other prices for each, other increments, gaps, price
//! changes at noon, blocked and closed codes. Integer arithmetic only.

use crate::base::{Base, Country, Row};
use crate::dice::{mix, mix_text};
use crate::world::{Customer, Vendor, World};
use facts::deck::{DeckTerms, IntervalRule, Price, Rate, RateDeck, RowStatus};
use smol_str::SmolStr;

const SECOND: i64 = 1_000_000;
/// 10^-4 in units of a `Price`: what decks are usually quoted to.
const QUOTED: i64 = 1_000_000;
/// Vendor who closes some countries at noon.
const CLOSER: usize = 4;

/// `round_total` instead of anchored intervals.
pub const ROUND_TOTAL: usize = 6;

/// Whether a vendor sells this country at all. The first one always does.
pub fn covers(seed: u64, vendor: usize, country: Country) -> bool {
    vendor == 0 || mix(mix(seed, 0xc0), u64::from(country) << 8 | vendor as u64) % 100 >= 15
}

/// Whether a vendor stops selling this country at noon.
pub fn closes(seed: u64, vendor: usize, country: Country) -> bool {
    vendor == CLOSER && mix(mix(seed, 0xc1), u64::from(country)) % 100 < 4
}

/// First and next interval by destination: 1/1 85 %, 60/60 10 %, 30/6 3 %, 60/1 2 %.
fn increment(seed: u64, party: &str, row: &Row) -> (u32, u32) {
    match mix(mix_text(seed, party), u64::from(row.destination)) % 100 {
        0..=84 => (1, 1),
        85..=94 => (60, 60),
        95..=97 => (30, 6),
        _ => (60, 1),
    }
}

/// The ground price times a level, moved by up to `spread` thousandths for each destination, in whole `quantum`s.
fn priced(row: &Row, level: i64, spread: i64, key: u64, quantum: i64) -> i64 {
    let moved = (mix(key, u64::from(row.destination)) % (2 * spread as u64 + 1)) as i64 - spread;
    let exact = i128::from(row.rate) * i128::from(level) * i128::from(1_000 + moved);
    let unit = 1_000_000 * i128::from(quantum);
    ((exact + unit / 2) / unit) as i64 * quantum
}

fn simple(base: &Base, row: &Row, increment: (u32, u32), rate: i64) -> Rate {
    let name = &base.destinations[row.destination as usize].name;
    let mut simple = Rate::simple(row.prefix, "", increment.0, increment.1, Price(rate));
    simple.destination = name.clone();
    simple
}

/// A vendor's A-Z deck.
pub fn vendor_deck(seed: u64, base: &Base, world: &World, place: usize) -> RateDeck {
    let vendor: &Vendor = &world.vendors[place];
    let key = mix_text(seed, &vendor.id);
    let noon = world.noon();
    let mut terms = DeckTerms::new(vendor.deck_currency);
    terms.settings = vendor.terms.deck;
    if place == ROUND_TOTAL {
        terms.interval_rule = IntervalRule::RoundTotal;
    }
    let mut rates = Vec::with_capacity(base.rows.len());
    for row in base.rows.iter().filter(|row| covers(seed, place, row.country)) {
        let mut rate = simple(base, row, increment(seed, &vendor.id, row), priced(row, vendor.level, 60, key, QUOTED));
        if row.rate == 0 {
            // Toll-free: the vendor pays us for the call.
            rate.first_rate = Price(-40_000_000);
            rate.next_rate = rate.first_rate;
        }
        if place == 7 {
            // The first interval at half as much again.
            rate.first_rate = Price(rate.next_rate.0 / 2 * 3);
        }
        if place == 5 && row.rate > 0 && mix(key, row.prefix.key()).is_multiple_of(10) {
            rate.connect_fee = Price(20_000_000);
        }
        if closes(seed, place, row.country) {
            rate.valid_until = Some(noon);
        } else if place == 1 && mix(key, row.prefix.key()).is_multiple_of(50) {
            let mut later = rate.clone();
            rate.valid_until = Some(noon);
            later.valid_from = Some(noon);
            for price in [&mut later.first_rate, &mut later.next_rate] {
                *price = Price(price.0 + QUOTED * 25);
            }
            rates.push(rate);
            rates.push(later);
            continue;
        }
        rates.push(rate);
    }
    RateDeck { id: vendor.id.clone(), version: 1, terms, rates }
}

/// A customer's deck: the countries it buys.
pub fn customer_deck(
    seed: u64,
    base: &Base,
    world: &World,
    place: usize,
    premium: bool,
    bought: &[Country],
) -> RateDeck {
    let customer: &Customer = &world.customers[place];
    let id: SmolStr = customer.product(premium);
    let key = mix_text(seed, &id);
    let mut terms = DeckTerms::new(customer.deck_currency);
    terms.settings = customer.terms.deck;
    // Some are quoted to seven decimals, so that amounts need their rounding.
    let quantum = if place % 4 == 3 { 1_000 } else { QUOTED };
    let level = customer.markup + if premium { 70 } else { 0 };
    let mut rates = Vec::new();
    for row in base.rows.iter().filter(|row| bought.binary_search(&row.country).is_ok()) {
        let mut rate = simple(base, row, increment(seed, &customer.id, row), priced(row, level, 25, key, quantum));
        match place {
            1 => rate.free = if row.destination.is_multiple_of(5) { 5 * SECOND } else { 0 },
            2 => rate.connect_fee = Price(50_000_000),
            6 if row.digits.len() > 5 && mix(key, row.prefix.key()).is_multiple_of(40) => {
                rate.status = RowStatus::Discontinued
            }
            5 if rate.destination.contains("PREMIUM") => rate.status = RowStatus::Blocked,
            0 if mix(key, row.prefix.key()).is_multiple_of(20) => {
                let mut later = rate.clone();
                rate.valid_until = Some(world.noon());
                later.valid_from = Some(world.noon());
                later.next_rate = Price(later.next_rate.0 / 10 * 9);
                later.first_rate = later.next_rate;
                rates.push(rate);
                rates.push(later);
                continue;
            }
            _ => {}
        }
        rates.push(rate);
    }
    RateDeck { id, version: 1, terms, rates }
}
