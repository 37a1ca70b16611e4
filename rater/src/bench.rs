//! Figures for `tandem bench rate` (design 14): price one call on both sides in memory, against a HashMap per prefix
//! length; and the rater's own steps without any bus, so that one sees where its time goes. Measured on the thread's
//! own CPU time where the kernel tells it, so that neighbours on the machine count for nothing.

mod load;

pub use load::{Events, Load};

use facts::call::CallEvent;
use facts::deck::{Rate, RateDeck};
use facts::ids::Cause;
use facts::money::Rounding;
use facts::number::{E164, PREFIX_DIGITS_MAX, Prefix};
use facts::xdr::{Position, RatedCall, Revision, XdrItem};
use rating::assemble::{Assembler, Known, Limits, NoKeys, Outcome, Pushed};
use rating::price::{Ask, Jurisdiction, SAME_CURRENCY};
use rating::{CompiledDeck, Tariffs, Terms, price};
use schemas::SchemaIds;
use schemas::bus_record::RecordRef;
use schemas::frame::FrameBuilder;
use std::collections::HashMap;
use std::time::Instant;

use crate::index::CallPlaces;
use load::Dice;

/// One figure beside its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Calls measured.
    pub calls: u64,
    pub nanos: u64,
    pub baseline_nanos: u64,
}

impl Figure {
    /// Calls per CPU second.
    pub fn per_second(&self) -> u64 {
        rate(self.calls, self.nanos)
    }

    pub fn baseline_per_second(&self) -> u64 {
        rate(self.calls, self.baseline_nanos)
    }
}

fn rate(calls: u64, nanos: u64) -> u64 {
    u64::try_from(u128::from(calls) * 1_000_000_000 / u128::from(nanos.max(1))).unwrap_or(u64::MAX)
}

/// CPU time of this thread in nanoseconds, from the kernel; else the wall clock since `start`.
fn cpu(start: Instant) -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// Prices `calls` calls on both sides by two decks of `prefixes` codes each; the baseline does the same with one
/// SipHash map per prefix length and the plain formula in 128 bits. Both must come to the same sum: `None` if not.
pub fn price_both_sides(prefixes: usize, calls: usize) -> Option<Figure> {
    let Load { decks: [sell, buy], numbers } = Load::new(prefixes, calls);
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let asks: Vec<i64> = numbers.iter().map(|_| 1 + dice.below(3_600) as i64).collect();
    let (ours_sell, ours_buy) = (CompiledDeck::compile(&sell).ok()?, CompiledDeck::compile(&buy).ok()?);
    let (plain_sell, plain_buy) = (Plain::new(&sell), Plain::new(&buy));
    let terms = Terms::default();
    let start = Instant::now();

    let before = cpu(start);
    let mut sum = 0i128;
    const INSTANT: i64 = 1_700_000_000_000_000;
    let mut asked = Vec::with_capacity(32);
    for (numbers, seconds) in numbers.chunks(32).zip(asks.chunks(32)) {
        asked.clear();
        asked.extend(numbers.iter().map(|number| (*number, 0, INSTANT)));
        for deck in [&ours_sell, &ours_buy] {
            deck.find_many(&asked, &mut |at, chosen| {
                let ask = Ask {
                    rated_at: INSTANT,
                    duration: seconds.get(at).copied().unwrap_or(0) * 1_000_000,
                    answered: true,
                    attempted: true,
                    jurisdiction: Jurisdiction::Indeterminate,
                    exchange_rate: SAME_CURRENCY,
                };
                if let Ok(priced) = chosen.and_then(|chosen| price(deck, chosen, &terms, &ask, &mut ())) {
                    sum += priced.net.0;
                }
            });
        }
    }
    let nanos = cpu(start) - before;
    let before = cpu(start);
    let mut plain_sum = 0i128;
    for (number, seconds) in numbers.iter().zip(&asks) {
        for deck in [&plain_sell, &plain_buy] {
            plain_sum += deck.price(number, *seconds).unwrap_or(0);
        }
    }
    let baseline_nanos = cpu(start) - before;
    (sum == plain_sum).then_some(Figure { calls: numbers.len() as u64, nanos, baseline_nanos })
}

/// The baseline: one map per prefix length, longest first.
struct Plain {
    lengths: Vec<(usize, HashMap<u64, Rate>)>,
}

impl Plain {
    fn new(deck: &RateDeck) -> Self {
        let mut lengths: Vec<(usize, HashMap<u64, Rate>)> =
            (0..=PREFIX_DIGITS_MAX).rev().map(|len| (len, HashMap::new())).collect();
        for rate in &deck.rates {
            if let Some((_, map)) = lengths.iter_mut().find(|(len, _)| *len == rate.prefix.len()) {
                map.insert(rate.prefix.key(), rate.clone());
            }
        }
        lengths.retain(|(_, map)| !map.is_empty());
        Self { lengths }
    }

    fn price(&self, number: &E164, seconds: i64) -> Option<i128> {
        let whole = Prefix::from_key(number.key())?;
        let rate = self.lengths.iter().find_map(|(len, map)| map.get(&whole.truncate(*len).key()))?;
        let (first, next) = (i64::from(rate.first_interval), i64::from(rate.next_interval));
        let rest = if seconds > first { (seconds - first + next - 1) / next * next } else { 0 };
        let exact = i128::from(rate.first_rate.0) * i128::from(first) + i128::from(rate.next_rate.0) * i128::from(rest);
        Some(Rounding::HalfUp.divide(exact, 60 * 10_000)? * 1_000_000)
    }
}

/// CPU of the rater's steps, without any bus or disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    pub calls: u64,
    pub decode_nanos: u64,
    pub assemble_nanos: u64,
    pub rate_nanos: u64,
    pub encode_nanos: u64,
}

/// Three events a call (started, answered, ended), one sell and one buy side, two decks of `prefixes` codes.
pub fn steps(prefixes: usize, calls: usize) -> Steps {
    let load = Load::new(prefixes, calls);
    let config = Load::config();
    let tariffs = Tariffs::with_decks(&config, &[&load.decks[0], &load.decks[1]]);
    let ids = SchemaIds::default();
    let records = event_records(&load, &ids);
    let mut assembler = Assembler::new(Limits::from(&config.settings), 0);
    let mut places = CallPlaces::default();
    let mut builder = FrameBuilder::new();
    let mut out = Steps { calls: 0, decode_nanos: 0, assemble_nanos: 0, rate_nanos: 0, encode_nanos: 0 };
    let start = Instant::now();
    // In runs of some thousand, so that reading the clock costs nothing.
    for (run, chunk) in records.chunks(3_000).enumerate() {
        let begun = cpu(start);
        let events: Vec<_> = chunk.iter().filter_map(|record| schemas::bus_record::read(record, &ids).ok()).collect();
        let decoded = cpu(start);
        let mut ready = Vec::with_capacity(events.len() / 3 + 1);
        for (at, event) in events.into_iter().enumerate() {
            let RecordRef::Event(event) = event else { continue };
            let pushed = assembler.push(&event, (run * 3_000 + at) as u64, &places, &mut NoKeys);
            debug_assert!(matches!(pushed, Pushed::Kept));
            while let Some(outcome) = assembler.next_ready() {
                assembler.written();
                if let Outcome::Call(call) = outcome {
                    let known = Known { at: Position::default(), suspended: false, started_at: call.started_at };
                    places.insert(call.call_id, known);
                    ready.push(*call);
                }
            }
        }
        let assembled = cpu(start);
        let count = ready.len() as u64;
        let (mut rating, mut encoding) = (0, 0);
        for calls in ready.chunks_mut(50) {
            let begun = cpu(start);
            let rated: Vec<RatedCall> = calls
                .iter_mut()
                .map(|call| {
                    tariffs.normalise(call);
                    let xdrs = tariffs.rate_as(call, &Cause::First);
                    RatedCall { revision: Revision::First, call: call.clone(), xdrs }
                })
                .collect();
            let priced = cpu(start);
            for item in rated {
                let item = XdrItem::Call(Box::new(item));
                if builder.push(|public, private| schemas::xdrs::encode_item(&item, public, private)).is_err() {
                    builder.clear();
                }
            }
            (rating, encoding) = (rating + (priced - begun), encoding + (cpu(start) - priced));
        }
        out.calls += count;
        out.decode_nanos += decoded - begun;
        out.assemble_nanos += assembled - decoded;
        out.rate_nanos += rating;
        out.encode_nanos += encoding;
    }
    out
}

/// The events' records of one partition.
fn event_records(load: &Load, ids: &SchemaIds) -> Vec<Vec<u8>> {
    let encoded = |event: CallEvent| {
        let mut bytes = Vec::with_capacity(256);
        schemas::bus_record::encode_event(&event, ids, &mut bytes);
        bytes
    };
    load.events(1_700_000_000_000_000, 1, |_, _| 0).map(encoded).collect()
}
