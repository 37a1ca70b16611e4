//! What the benchmarks rate (design 14): calls of exactly three events (started, answered, ended) with one sell and one
//! buy side, two decks of many codes, and a configuration of some customers and vendors. The events of many open calls
//! stand among one another, as they do on a bus.
//!
//! Not a generator of real traffic with its flaws; that is `traffic`.

use facts::call::{CallEvent, EventKind, Leg};
use facts::config::{Account, Agreement, Config, ConfigItem, IdentificationRule, Trunk};
use facts::deck::{DeckTerms, Price, Rate, RateDeck};
use facts::ids::EventId;
use facts::money::Currency;
use facts::number::{E164, Prefix};
use facts::time::{ObservedAt, OccurredAt};
use facts::xdr::Side;
use smol_str::{SmolStr, format_smolstr};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Customers, each known by its address; they buy by one deck.
const CUSTOMERS: usize = 20;
/// Vendors, each known by its trunk; they sell by the other deck.
const VENDORS: usize = 8;
const SECOND: i64 = 1_000_000;

pub(super) struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Two decks and the numbers that are called.
pub struct Load {
    /// By which customers buy, and by which vendors sell.
    pub decks: [RateDeck; 2],
    pub numbers: Vec<E164>,
}

impl Load {
    /// Calls begin so many microseconds after one another: with calls of half a minute some 35,000 are open at any time.
    pub const BETWEEN_CALLS: i64 = 1_000;

    /// Two decks of `prefixes` codes each and `calls` numbers.
    pub fn new(prefixes: usize, calls: usize) -> Self {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        let decks = [deck("sell", prefixes, &mut dice), deck("buy", prefixes, &mut dice)];
        let numbers = numbers(&decks[0], calls, &mut dice);
        Self { decks, numbers }
    }

    /// Accounts, agreements and trunks; the decks come beside them.
    pub fn items() -> Vec<ConfigItem> {
        let customers = (0..CUSTOMERS).map(|n| {
            let rule = IdentificationRule { ip: address(n), ..IdentificationRule::default() };
            (format_smolstr!("customer-{n}"), Side::Sell, rule)
        });
        let vendors = (0..VENDORS).map(|n| {
            let rule = IdentificationRule { trunk: trunk(n), ..IdentificationRule::default() };
            (format_smolstr!("vendor-{n}"), Side::Buy, rule)
        });
        customers.chain(vendors).flat_map(|(id, side, rule)| party(id, side, rule)).collect()
    }

    /// The same as one configuration, without any log.
    pub fn config() -> Config {
        let mut config = Config { seq: 1, ..Config::default() };
        Self::items().into_iter().for_each(|item| config.apply(item));
        config
    }

    /// Events of all calls in the order of their times; the first call begins at `begin`. `partition_of` says where
    /// the events of a call key go, for their numbers count by partition.
    pub fn events(&self, begin: i64, partitions: u32, partition_of: fn(&[u8], u32) -> u32) -> Events<'_> {
        let next = vec![0; partitions.max(1) as usize];
        Events { numbers: &self.numbers, begin, partition_of, next, begun: 0, ahead: BinaryHeap::new() }
    }
}

/// See [`Load::events`].
pub struct Events<'a> {
    numbers: &'a [E164],
    begin: i64,
    partition_of: fn(&[u8], u32) -> u32,
    /// Next sequence by partition.
    next: Vec<u64>,
    /// Calls that have begun.
    begun: usize,
    /// Answers (0) and ends (1) to come, by time.
    ahead: BinaryHeap<Reverse<(i64, usize, u8)>>,
}

impl Iterator for Events<'_> {
    type Item = CallEvent;

    fn next(&mut self) -> Option<CallEvent> {
        let starts = self.begin + self.begun as i64 * Load::BETWEEN_CALLS;
        let due = self.ahead.peek().is_some_and(|Reverse((at, ..))| self.begun >= self.numbers.len() || *at <= starts);
        let (at, call, kind) = match due.then(|| self.ahead.pop()).flatten() {
            Some(Reverse((at, call, 0))) => (at, call, EventKind::Answered),
            Some(Reverse((at, call, _))) => (at, call, EventKind::Ended),
            None => (starts, self.begun, EventKind::Started),
        };
        let number = *self.numbers.get(call)?;
        let (ringing, talk) = (3 + call as i64 * 7 % 10, 1 + call as i64 * 31 % 60);
        match kind {
            EventKind::Started => {
                self.begun += 1;
                self.ahead.push(Reverse((at + ringing * SECOND, call, 0)));
            }
            EventKind::Answered => self.ahead.push(Reverse((at + talk * SECOND, call, 1))),
            _ => {}
        }
        let mut event = event(call, kind, at, number);
        let partition = (self.partition_of)(event.call_key.as_bytes(), self.next.len() as u32);
        let next = &mut self.next[partition as usize];
        event.id = EventId { node: "edge-1".into(), boot_epoch: 1, partition, sequence: *next };
        *next += 1;
        Some(event)
    }
}

fn event(call: usize, kind: EventKind, at: i64, number: E164) -> CallEvent {
    let key = format_smolstr!("{call:08x}-call@edge-1");
    let mut event = CallEvent::new(kind, "edge", "edge-1", &key, OccurredAt(at));
    event.observed_at = ObservedAt(at);
    if kind == EventKind::Started {
        event.caller = "43152345678".into();
        event.caller_number = E164::normalise("43152345678").ok();
        event.called = number.as_str().into();
        event.called_number = Some(number);
        event.inbound.ip = address(call % CUSTOMERS);
        event.inbound.port = 5060;
    } else {
        event.leg = Leg::Both;
        event.attempt_key = "b".into();
        event.attempt_number = 1;
        event.last_attempt = true;
        event.sip_code = Some(200);
        event.outbound.trunk = trunk(call % VENDORS);
    }
    event
}

fn address(customer: usize) -> SmolStr {
    format_smolstr!("10.0.0.{}", customer + 1)
}

fn trunk(vendor: usize) -> SmolStr {
    format_smolstr!("vendor-{vendor}")
}

pub(super) fn usd() -> Currency {
    facts::config::SiteSettings::default().base_currency
}

/// A deck with `prefixes` different codes of three to ten digits, increments mixed as in real decks, a destination for
/// every four digits.
fn deck(id: &str, prefixes: usize, dice: &mut Dice) -> RateDeck {
    let mut codes = Vec::with_capacity(prefixes + prefixes / 8);
    while codes.len() < prefixes {
        for _ in codes.len()..prefixes + prefixes / 64 + 1 {
            let len = 3 + dice.below(8).max(dice.below(6));
            let text: String =
                (0..len).map(|at| char::from(b'0' + (dice.below(9) + usize::from(at == 0)) as u8)).collect();
            if let Ok(code) = Prefix::new(&text) {
                codes.push(code);
            }
        }
        codes.sort_unstable();
        codes.dedup();
    }
    codes.truncate(prefixes);
    let rates = codes
        .into_iter()
        .map(|code| {
            let (first, next) = [(1, 1), (1, 1), (1, 1), (60, 60), (30, 6), (60, 1)][dice.below(6)];
            let destination = format_smolstr!("Destination {}", code.truncate(4));
            Rate::simple(code, &destination, first, next, Price(1_000_000 + dice.below(9_000_000_000) as i64))
        })
        .collect();
    RateDeck { id: id.into(), version: 1, terms: DeckTerms::new(usd()), rates }
}

/// Numbers of which 80 % begin with 2 % of the deck's codes.
fn numbers(deck: &RateDeck, count: usize, dice: &mut Dice) -> Vec<E164> {
    (0..count)
        .filter_map(|_| {
            let all = deck.rates.len();
            let at = if dice.below(5) < 4 { dice.below(all.div_ceil(50)) * 49 % all } else { dice.below(all) };
            let mut text = deck.rates.get(at)?.prefix.to_string();
            while text.len() < 12 {
                text.push(char::from(b'0' + dice.below(10) as u8));
            }
            E164::from_digits(&text).ok()
        })
        .collect()
}

/// Account, agreement and trunk of one party.
fn party(id: SmolStr, side: Side, rule: IdentificationRule) -> [ConfigItem; 3] {
    let account = Account {
        id: id.clone(),
        carrier: id.clone(),
        currency: usd(),
        prepaid: false,
        credit_limit: Price(0),
        reseller: SmolStr::default(),
        unidentified: false,
    };
    let agreement = Agreement::new(id.clone(), id.clone(), side, if side == Side::Sell { "sell" } else { "buy" });
    let trunk =
        Trunk { id: id.clone(), account: id, product: "standard".into(), side, rules: vec![rule], strip: Vec::new() };
    [ConfigItem::Account(account), ConfigItem::Agreement(agreement), ConfigItem::Trunk(trunk)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_three_events_in_the_order_of_time_and_numbers_without_gaps() {
        let load = Load::new(500, 3_000);
        let events: Vec<CallEvent> = load.events(0, 2, |key, all| u32::from(key[7]) % all).collect();
        assert_eq!(events.len(), 9_000);
        assert!(events.is_sorted_by_key(|event| event.occurred_at));
        let keys: std::collections::HashSet<_> = events.iter().map(|event| &event.call_key).collect();
        assert_eq!(keys.len(), 3_000);
        for partition in 0..2 {
            let numbers = events.iter().filter(|e| e.id.partition == partition).map(|e| e.id.sequence);
            assert!(numbers.enumerate().all(|(at, sequence)| at as u64 == sequence));
        }
        // Many calls are open at once: the first end comes only after some thousand starts.
        let first_end = events.iter().position(|event| event.kind == EventKind::Ended);
        assert!(first_end.is_some_and(|at| at > 3_000), "{first_end:?}");
    }
}
