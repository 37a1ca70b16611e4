//! Many small worlds of real ledgers: two or three sites, calls that end here, there or at both, payments, cuts, lost and
//! repeated messages, deaths. After all has healed every frame of every site is folded again, in an order that its
//! inputs allow, and the bounds of design 8.3 are counted after each item, apart from the product's own rules.

use bus::stream::StreamReader;
use facts::entry::{EntryKind, GiveWhy, LedgerItem, ReleaseWhy, hold_id};
use facts::ids::CallId;
use facts::stream::Input;
use facts::{Amount, Currency, LedgerEntry};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::house::*;
use super::orders::payment;
use super::world::{at, ids};
use crate::{CreditAsk, CreditError, LedgerError, LedgerView, Order, OrderError, Payment, verify};
use accounting::Book;

/// One call as the world knows it.
struct Call {
    key: String,
    home: u16,
    held: u32,
    cost: Option<Amount>,
}

struct World {
    seed: u64,
    house: House,
    dice: Dice,
    sites: u16,
    calls: Vec<Call>,
    paid: i128,
    reserve: i128,
    numbers: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let sites = 2 + dice.draw(2) as u16;
        let reserve = ["0", "0", "3", "30"][dice.draw(4) as usize];
        let house = House::new(sites, reserve, seed);
        house.links.faults([0, 50, 300][dice.draw(3) as usize], [0, 100, 300][dice.draw(3) as usize]);
        // Little is left, so that sites run short: 100.00 less 60 to 98.
        let debt = 60 + dice.draw(39);
        let order = Payment {
            kind: EntryKind::Correction,
            reason: "old debt".into(),
            ..payment("old", "acme", &debt.to_string())
        };
        house.order(1, Order::Pay(order)).unwrap();
        let paid = -i128::from(debt) * facts::money::ONE;
        let reserve = amount(reserve).0;
        Self { seed, house, dice, sites, calls: Vec::new(), paid, reserve, numbers: 0 }
    }

    fn site(&mut self) -> u16 {
        1 + self.dice.draw(u64::from(self.sites)) as u16
    }

    fn step(&mut self) {
        let site = self.site();
        match self.dice.draw(100) {
            0..30 => self.begin(site),
            30..50 => self.extend(),
            50..75 => self.end(),
            75..83 => self.money(site),
            83..92 => {
                let (other, open) = (self.site(), self.dice.draw(3) == 0);
                if other != site {
                    match self.dice.draw(3) {
                        0 => self.house.links.mail(site, other, open),
                        1 => self.house.links.frames(site, other, open),
                        _ => self.house.links.both(site, other, open),
                    }
                }
            }
            92..96 => {
                self.house.stop(site);
                self.house.start(site);
            }
            _ => {
                self.numbers += 1;
                let id = format!("at-death-{}", self.numbers);
                self.house.kill(site, &id);
                self.house.start(site);
                // Whoever paid does not know, and sends it again.
                self.house.pay(site, &id, "1").unwrap();
                self.paid += facts::money::ONE;
            }
        }
    }

    fn begin(&mut self, site: u16) {
        let key = format!("w{}-{}", self.seed, self.calls.len());
        if let Ok((held, _)) = self.house.authorise(site, &key) {
            self.calls.push(Call { key, home: site, held, cost: None });
        } else if self.dice.draw(4) == 0 {
            // A switch that does not ask: no hold covers it.
            self.calls.push(Call { key, home: site, held: 0, cost: None });
        }
    }

    fn open(&mut self) -> Option<usize> {
        let open: Vec<usize> = (0..self.calls.len()).filter(|at| self.calls[*at].cost.is_none()).collect();
        if open.is_empty() { None } else { Some(open[self.dice.draw(open.len() as u64) as usize]) }
    }

    fn extend(&mut self) {
        let Some(at) = self.open().filter(|at| self.calls[*at].held > 0) else { return };
        let call = &mut self.calls[at];
        if let Ok((held, _)) = self.house.extend(call.home, &call.key, call.held) {
            call.held = held;
        }
    }

    fn end(&mut self) {
        let Some(at) = self.open() else { return };
        let minutes = 1 + self.dice.draw(u64::from(self.calls[at].held / 60).max(2) + 1);
        let cost = Amount(i128::from(minutes) * facts::money::ONE / 10);
        let (home, other) = (self.calls[at].home, self.site());
        self.calls[at].cost = Some(cost);
        let told = match self.dice.draw(4) {
            0 => vec![other],
            1 => vec![home, other],
            _ => vec![home],
        };
        for site in told {
            self.house.end(site, &self.calls[at].key.clone(), &cost.to_string());
        }
    }

    fn money(&mut self, site: u16) {
        self.numbers += 1;
        let id = format!("p{}", self.numbers);
        if self.dice.draw(2) == 0 {
            self.house.pay(site, &id, "2").unwrap();
            self.paid += 2 * facts::money::ONE;
            return;
        }
        let refund = Payment { kind: EntryKind::Refund, reason: "back".into(), ..payment(&id, "acme", "1") };
        match self.house.order(site, Order::Pay(refund)) {
            Ok(_) => self.paid -= facts::money::ONE,
            Err(OrderError::Refused(refusal)) => assert_eq!(refusal.code(), "beyond_rights"),
            other => panic!("{other:?}"),
        }
    }

    fn heal(&mut self) {
        self.house.links.faults(0, 0);
        for a in 1..=self.sites {
            for b in (1..=self.sites).filter(|b| *b != a) {
                self.house.links.both(a, b, true);
            }
        }
        self.house.met();
        // Calls that nobody ended: their switches say that there is none.
        for call in &self.calls {
            if call.cost.is_none() {
                match self.house.ask(call.home, CreditAsk::Release { hold_id: hold_of(&call.key) }) {
                    Ok(_) | Err(CreditError::Refused(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        self.house.until("no debt is left where rights are, nothing counts twice, no lock", |house| {
            house.places.iter().all(|place| {
                let Some(status) = house.status(place.number) else { return false };
                status.doubles.is_empty()
                    && status.accounts.iter().all(|row| {
                        let debts = row.sites.iter().any(|one| one.rights.0 < 0);
                        let rights = row.sites.iter().any(|one| one.rights.0 > 0);
                        row.sites.iter().all(|one| one.lock.is_zero() && one.held.is_zero()) && !(debts && rights)
                    })
            })
        });
        self.house.met();
    }

    /// What is owed in the end, every call once, passes limit, funds and reserve by no more than what no hold covered.
    fn money_bound(&self, costs: i128, held: &HashMap<CallId, i128>) {
        let uncovered = |call: &Call| {
            let cost = call.cost.map_or(0, |cost| cost.0);
            (cost - held.get(&call_of(&call.key)).copied().unwrap_or(0)).max(0)
        };
        let uncovered: i128 = self.calls.iter().map(uncovered).sum();
        let room = 100 * facts::money::ONE + self.paid + self.reserve;
        assert!(
            costs <= room + uncovered,
            "seed {}: calls cost {costs}, room {room}, uncovered {uncovered}",
            self.seed
        );
    }

    fn check(&self) {
        let costs: i128 = self.calls.iter().filter_map(|call| call.cost).map(|cost| cost.0).sum();
        assert_eq!(self.house.owed().0, costs - self.paid, "seed {}", self.seed);
        for call in &self.calls {
            let charged: i128 = self.house.places.iter().map(|place| charged(place, &call.key)).sum();
            assert_eq!(charged, call.cost.map_or(0, |cost| cost.0), "seed {}, call {}", self.seed, call.key);
        }
        for place in &self.house.places {
            let status = self.house.status(place.number).unwrap();
            assert!(status.alarms.is_empty(), "seed {}: {:?}", self.seed, status.alarms);
            let report = verify(&place.bus, &ids(), &place.name, &mut |_, _| {}).unwrap();
            assert!(report.ok, "seed {}: {:#?}", self.seed, report.breaks);
        }
        let held = bounds(&self.house).unwrap_or_else(|what| panic!("seed {}: {what}", self.seed));
        self.money_bound(costs, &held);
    }
}

fn charged(place: &Place, key: &str) -> i128 {
    let view = &place.ledger.as_ref().unwrap().door.view;
    let entries = view.entries_for_call(call_of(key)).unwrap();
    let postings = entries.iter().flat_map(|entry| &entry.postings);
    postings.filter(|posting| posting.account == "acme").map(|posting| posting.amount.0).sum()
}

/// A frame as it stands in a log: how far it names the other ledgers, and its items.
struct Frame {
    inputs: Vec<(String, u64)>,
    items: Vec<LedgerItem>,
}

fn frames(place: &Place) -> Vec<Frame> {
    let mut all = Vec::new();
    let mut reader = StreamReader::open(&*place.bus, &ids(), &format!("ledger.{}", place.name)).unwrap();
    let read = &mut |accepted: bus::stream::Accepted<'_>| {
        let inputs = accepted.frame.header.inputs.iter().filter_map(|input| match input {
            Input::Stream { stream, to, .. } if stream.starts_with("ledger.") => Some((stream.to_string(), to.seq - 1)),
            _ => None,
        });
        let items = (0..accepted.frame.len()).map(|index| schemas::ledger::item(accepted.frame, index).unwrap());
        all.push(Frame { inputs: inputs.collect(), items: items.collect() });
        Ok::<(), LedgerError>(())
    };
    reader.catch_up(&*place.bus, read).unwrap();
    all
}

/// What one site charged beyond its holds, counted from its items.
#[derive(Default)]
struct Over {
    sum: i128,
    by_call: HashMap<CallId, i128>,
    /// Of holds that ended in this frame with their charge.
    covered: HashMap<CallId, i128>,
}

impl Over {
    fn entry(&mut self, entry: &LedgerEntry) {
        let owed: i128 = entry.postings.iter().filter(|p| p.account == "acme").map(|p| p.amount.0).sum();
        let over = match (entry.kind, entry.call_id) {
            (EntryKind::Charge, Some(call)) => {
                let over = (owed - self.covered.remove(&call).unwrap_or(0)).max(0);
                *self.by_call.entry(call).or_default() += over;
                over
            }
            (EntryKind::Reversal, Some(call)) => -self.by_call.remove(&call).unwrap_or(0),
            // The truth about money is booked whatever rights there are.
            (EntryKind::Correction | EntryKind::Reversal, None) => owed.max(0),
            _ => 0,
        };
        self.sum += over;
    }
}

/// Folds all streams in an order that their inputs allow and checks the bounds after each item.
/// Returns what was held for each call, at all sites together.
fn bounds(house: &House) -> Result<HashMap<CallId, i128>, String> {
    let mut held: HashMap<CallId, i128> = HashMap::new();
    let euro = Currency::new("EUR").unwrap();
    let mut streams: BTreeMap<u16, (String, Vec<Frame>, usize)> = BTreeMap::new();
    for place in &house.places {
        streams.insert(place.number, (format!("ledger.{}", place.name), frames(place), 0));
    }
    let mut books: BTreeMap<u16, (Book, Over)> = streams.keys().map(|site| (*site, Default::default())).collect();
    let mut done: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let ready = streams.iter().find(|(_, (_, frames, next))| {
            frames.get(*next).is_some_and(|frame| {
                frame.inputs.iter().all(|(stream, to)| done.get(stream).copied().unwrap_or(0) >= *to)
            })
        });
        let Some(site) = ready.map(|(site, _)| *site) else { break };
        let Some((stream, frames, next)) = streams.get_mut(&site) else { break };
        let seq = *next as u64 + 1;
        for (index, item) in frames[*next].items.iter().enumerate() {
            let Some((book, over)) = books.get_mut(&site) else { break };
            let ended = match item {
                LedgerItem::Release(release) => Some(release.hold_id),
                LedgerItem::Elsewhere(end) => Some(end.hold_id),
                _ => None,
            };
            if let Some(hold) = ended.and_then(|id| book.holds().get(id)) {
                *held.entry(hold.call_id).or_default() += hold.lines.iter().map(|line| line.amount.0).sum::<i128>();
            }
            if let LedgerItem::Release(release) = item
                && release.why == ReleaseWhy::Charged
                && let Some(hold) = book.holds().get(release.hold_id)
            {
                over.covered.insert(hold.call_id, hold.lines.iter().map(|line| line.amount.0).sum());
            }
            if let LedgerItem::Entry(entry) = item {
                over.entry(entry);
            }
            book.apply(at(seq, index as u32), item).map_err(|error| format!("{stream} {seq}/{index}: {error}"))?;
            if matches!(item, LedgerItem::Release(_)) {
                continue;
            }
            holds_everywhere(&books, euro, site, item).map_err(|what| format!("{stream} {seq}/{index}: {what}"))?;
        }
        done.insert(stream.clone(), seq);
        *next += 1;
    }
    match streams.values().find(|(_, frames, next)| *next < frames.len()) {
        Some((stream, ..)) => Err(format!("{stream} names frames that no log has")),
        None => Ok(held),
    }
}

fn holds_everywhere(
    books: &BTreeMap<u16, (Book, Over)>,
    euro: Currency,
    site: u16,
    item: &LedgerItem,
) -> Result<(), String> {
    let mut room = 0;
    for (of, (book, over)) in books {
        let row = book.row("acme", euro);
        let given: i128 = books.values().map(|(other, _)| other.row("acme", euro).given_to(*of)).sum();
        let rights = row.own() + given;
        // A charge is booked in the frame in which its hold ended: what was held is free for a moment.
        if rights < -row.reserve - over.sum {
            return Err(format!("site {of} has rights {rights}, reserve {}, over {}", row.reserve, over.sum));
        }
        room += row.own() + given + row.reserve + over.sum;
        if *of != site {
            continue;
        }
        let floor = match item {
            LedgerItem::Hold(hold) if hold.hold_id == hold_id(hold.call_id) => -row.reserve,
            LedgerItem::Extend(_) => -row.reserve,
            LedgerItem::Give(give) if give.why != GiveWhy::Cover => 0,
            _ => continue,
        };
        if rights < floor {
            return Err(format!("site {of} has rights {rights} after {item:?}"));
        }
    }
    if room < 0 {
        Err(format!("holds and what they covered pass limit, funds and reserve by {}", -room))
    } else {
        Ok(())
    }
}

/// How many worlds fit: a quarter of a minute in the test command, as many as asked for at night.
#[test]
fn no_world_of_real_ledgers_overdraws_or_leaves_books_that_differ() {
    let wanted = std::env::var("TANDEM_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0u64);
    let first = std::env::var("TANDEM_WORLD").ok().and_then(|text| text.parse().ok()).unwrap_or(1u64);
    let (began, next) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let enough = if wanted > 0 { number >= wanted } else { number >= 8 };
                    if enough && (wanted > 0 || began.elapsed() > Duration::from_secs(15)) {
                        break;
                    }
                    let mut world = World::new(first + number);
                    (0..40).for_each(|_| world.step());
                    world.heal();
                    world.check();
                }
            });
        }
    });
    println!("{} worlds in {:?}", next.load(Ordering::Relaxed) - 4, began.elapsed());
}
