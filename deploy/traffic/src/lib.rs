//! A day of wholesale traffic from a seed: customers, vendors and their decks, calls as three edge nodes report them
//! (or as a Yeti file), and the answer: what a right pipeline must book, computed by separate plain code. Never opens
//! a file, never asks the clock.

pub mod answer;
mod base;
mod calls;
mod dice;
mod events;
mod live;
mod oracle;
mod oracle_deck;
mod shape;
mod sheets;
#[cfg(test)]
mod tests;
mod world;
mod yeti;

pub use answer::Answer;
pub use calls::{Attempt, Fate, Flaws, TrueCall};
pub use events::{PartitionOf, Sent};
pub use live::Live;
pub use oracle::{Oracle, View};
pub use world::{CUSTOMERS, SWITCH, UNIDENTIFIED, VENDORS, World, YETI};

use base::Base;
use calls::Maker;
use events::Wire;
use facts::CallEvent;
use facts::config::ConfigItem;
use facts::deck::{Rate, RateDeck};
use facts::time::ObservedAt;
use shape::Day;
use std::sync::Arc;

/// The ground deck of the demo: an A-Z deck of 2010, 27,523 codes (Apache-2.0, see data/README.md).
const GROUND_DECK: &[u8] = include_bytes!("../data/sdf_outbound_2010.csv");

/// Rows of the ground deck, its free ones too, for [`Scenario::new`]. They are what a world is derived from; no price
/// of the oracle is computed by the reader.
pub fn ground() -> Result<Vec<Rate>, decks::DeckError> {
    let options = decks::ReadOptions { zero_is_free: true, ..decks::ReadOptions::default() };
    let read = decks::read("sdf_outbound_2010.csv", GROUND_DECK, &options)?;
    Ok(read.rates.into_iter().map(|(rate, _)| rate).collect())
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What a scenario is made from.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub calls: u64,
    /// Any instant of the day (UTC), microseconds. All of it must be past, and two days more: see
    /// [`Scenario::settled_at`].
    pub day: i64,
    pub flaws: Flaws,
    /// Partitions of call-events, and which of them a call key has.
    pub partitions: u32,
    pub partition_of: PartitionOf,
}

impl Options {
    pub fn new(seed: u64, calls: u64, day: i64, partitions: u32, partition_of: PartitionOf) -> Self {
        Self { seed, calls, day, flaws: Flaws::default(), partitions, partition_of }
    }
}

/// Why there is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    #[error("the ground deck has {0} rows, a world needs at least {1}; hand in an A-Z deck")]
    TooFewRows(usize, usize),
}

/// A day of traffic. Cheap to clone.
#[derive(Clone)]
pub struct Scenario {
    options: Options,
    maker: Arc<Maker>,
    day: Arc<Day>,
}

impl Scenario {
    /// `ground` are the rows of an A-Z deck, from which all others are derived.
    pub fn new(options: Options, ground: &[Rate]) -> Result<Self, ScenarioError> {
        let base = Base::new(ground);
        if base.rows.len() < base::ROWS_MIN {
            return Err(ScenarioError::TooFewRows(base.rows.len(), base::ROWS_MIN));
        }
        let world = World::new(options.day.div_euclid(DAY) * DAY);
        let day = Arc::new(Day::new(options.seed, world.day, options.calls, &world.customers));
        let maker = Arc::new(Maker::new(options.seed, world, base, options.flaws.clone()));
        Ok(Self { options, maker, day })
    }

    pub fn world(&self) -> &World {
        &self.maker.world
    }

    /// Carriers, accounts, agreements, products, trunks, switches, exchange rates: everything but the decks.
    pub fn config_items(&self) -> Vec<ConfigItem> {
        self.maker.world.items()
    }

    /// All decks, made one by one.
    pub fn decks(&self) -> impl Iterator<Item = RateDeck> + use<> {
        let maker = Arc::clone(&self.maker);
        let customers = maker.world.customers.iter().enumerate();
        let products = customers.flat_map(|(at, customer)| (0..customer.products()).map(move |p| (at, Some(p == 1))));
        let vendors = (0..maker.world.vendors.len()).map(|at| (at, None));
        let all: Vec<(usize, Option<bool>)> = products.chain(vendors).collect();
        all.into_iter().map(move |(at, product)| {
            let Maker { seed, base, world, targets, .. } = &*maker;
            match product {
                Some(premium) => sheets::customer_deck(*seed, base, world, at, premium, &targets[at].countries),
                None => sheets::vendor_deck(*seed, base, world, at),
            }
        })
    }

    /// The true calls in the order of their start.
    pub fn calls(&self) -> impl Iterator<Item = TrueCall> + use<> {
        let (maker, day) = (Arc::clone(&self.maker), Arc::clone(&self.day));
        (0..day.minutes()).flat_map(move |minute| minute_of_calls(&maker, &day, minute))
    }

    /// One call by its index, e.g. to explain a difference; `None` beyond the last.
    pub fn call(&self, index: u64) -> Option<TrueCall> {
        let minute = (0..self.day.minutes()).find(|minute| self.day.calls_in(*minute).contains(&index))?;
        minute_of_calls(&self.maker, &self.day, minute).into_iter().find(|call| call.index == index)
    }

    /// What the edge nodes send, in the order of arrival (`observed_at`).
    pub fn events(&self) -> Events {
        let options = &self.options;
        let boot = self.maker.world.day - 3_600 * SECOND;
        Events {
            wire: Wire::new(Arc::clone(&self.maker), options.partitions, options.partition_of, boot),
            calls: Box::new(self.calls()),
            next: None,
            ended: false,
        }
    }

    /// When everything has been seen and every call without end has been given up: a tick of this instant, sent last
    /// to every partition, closes the books of the day.
    pub fn settled_at(&self) -> ObservedAt {
        ObservedAt(self.maker.world.day + 2 * DAY + 2 * 3_600 * SECOND)
    }

    /// A fresh oracle for this scenario's calls.
    pub fn oracle(&self, view: View) -> Oracle {
        let items = self.config_items().into_iter();
        let exchange =
            items.filter_map(|item| if let ConfigItem::ExchangeRate(rate) = item { Some(rate) } else { None });
        Oracle::new(self.maker.world.clone(), self.decks(), exchange.collect(), view)
    }

    /// What must be on the books in the end. `sent` is what the events' iterator counted, for the record.
    pub fn answer(&self, view: View, sent: Option<Sent>) -> Answer {
        let mut oracle = self.oracle(view);
        for call in self.calls() {
            oracle.add(&call);
        }
        Answer { sent, ..oracle.finish(self.options.seed) }
    }

    /// Appends a call's records in Yeti's format, one JSON object a line.
    pub fn write_yeti(&self, call: &TrueCall, out: &mut Vec<u8>) {
        yeti::write(&self.maker, call, out);
    }

    /// Endless traffic from an instant on.
    pub fn live(&self, calls_per_second: u32, from: ObservedAt) -> Live {
        let Options { partitions, partition_of, .. } = self.options;
        Live::new(&self.maker, Arc::clone(&self.day), calls_per_second, from.micros(), partitions, partition_of)
    }
}

fn minute_of_calls(maker: &Maker, day: &Day, minute: usize) -> Vec<TrueCall> {
    let indices = day.calls_in(minute);
    let mut dice = dice::Dice::new(maker.seed, 0x3177, minute as u64);
    let begin = maker.world.day + minute as i64 * 60 * SECOND;
    let mut starts: Vec<i64> = indices.clone().map(|_| begin + dice.below(60 * SECOND as u64) as i64).collect();
    starts.sort_unstable();
    let calls = indices.zip(starts);
    calls.map(|(index, start)| maker.call(index, start, day.customer(minute, &mut dice))).collect()
}

/// Events in the order of their arrival.
pub struct Events {
    wire: Wire,
    calls: Box<dyn Iterator<Item = TrueCall> + Send>,
    next: Option<TrueCall>,
    ended: bool,
}

impl Events {
    /// Counts so far.
    pub fn sent(&self) -> Sent {
        self.wire.sent
    }
}

impl Iterator for Events {
    type Item = CallEvent;

    fn next(&mut self) -> Option<CallEvent> {
        loop {
            if self.next.is_none() && !self.ended {
                self.next = self.calls.next();
                self.ended = self.next.is_none();
            }
            let until = self.next.as_ref().map_or(i64::MAX, |call| call.started_at);
            if let Some(event) = self.wire.next(until) {
                return Some(event);
            }
            match self.next.take() {
                Some(call) => self.wire.call(&call),
                None => return None,
            }
        }
    }
}
