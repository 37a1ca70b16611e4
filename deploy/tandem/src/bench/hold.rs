//! `tandem bench hold` (design 14): 5,000 holds a second offered to a ledger on the embedded log, whether it keeps up or
//! not, each timed from the instant it was due to its answer, durable and read back as accepted. Beside it: write +
//! fdatasync of one page in the same folder, before and after. HTTP and the look-up of the rate are left out.

use super::row;
use crate::cli::BenchArgs;
use crate::node::{self, Roles, Running};
use crate::output::{Failure, note};
use crate::settings::{BusKind, EngineKind, Settings};
use accounting::authorise::{Offered, Wish};
use accounting::credit::Offer;
use facts::config::{Account, ConfigItem};
use facts::deck::Price;
use facts::ids::CallId;
use facts::{Amount, Currency, E164, OccurredAt, Prefix};
use ledger::{CreditAnswer, CreditAsk, CreditError, LedgerView, Orders};
use smol_str::{SmolStr, format_smolstr};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const PER_SECOND: u64 = 5_000;
/// More than twenty seconds say nothing new.
const HOLDS_MAX: u64 = 100_000;
const ACCOUNTS: u64 = 1_000;
const PAGES: usize = 1_000;
/// Asked before the clock runs: topics, caches and the first frames.
const WARM_UP: u64 = 500;

/// Runs it on an embedded log of its own.
pub(super) fn hold(args: &BenchArgs, settings: &Settings, folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    if settings.bus.kind != BusKind::Embedded {
        return Err(Failure::Usage("bench hold runs on the embedded log; leave --kafka out".to_owned()));
    }
    let holds = args.calls.min(HOLDS_MAX);
    let mut settings = Settings { data: folder.join("data"), ..settings.clone() };
    settings.engine.kind = EngineKind::None;
    settings.credit.new_customers.restricted = false;
    settings.schema_registry = None;
    let mut pages = pages(folder)?;
    let running = Running::start(&settings, &Roles { ledger: true, ..Roles::default() })?;
    let measured = measure(&running, holds);
    let open = running.node.view.holds(None).map_err(Failure::broken)?.len() as u64;
    let failures = running.stop();
    let mut times = measured?;
    if open != holds + WARM_UP || !failures.is_empty() {
        return Err(Failure::Broken(format!("{open} holds are open of {holds}; {failures:?}")));
    }
    pages.extend(self::pages(folder)?);
    let (ours, base) = (quantiles(&mut times), quantiles(&mut pages));
    note(&format!("{holds} holds on {ACCOUNTS} accounts, open to the end"));
    let is = format!("write + fdatasync of one page, {} times", pages.len());
    let what = format!("hold, durable, embedded, {PER_SECOND}/s offered");
    let rows = [("p50", 0), ("p99", 1), ("slowest", 2)].map(|(name, at)| {
        let percent = ours[at].as_micros() * 100 / base[at].as_micros().max(1);
        let percent = u64::try_from(percent).unwrap_or(u64::MAX);
        row(&format!("{what}, {name}"), millis(ours[at]), millis(base[at]), percent, &is)
    });
    Ok(rows.to_vec())
}

fn millis(time: Duration) -> String {
    format!("{}.{:02} ms", time.as_millis(), time.as_micros() % 1_000 / 10)
}

/// Middle, 99th percentile and slowest.
fn quantiles(times: &mut [Duration]) -> [Duration; 3] {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    [at(50), at(99), at(100)].map(|time| time.copied().unwrap_or_default())
}

/// Times of writing and syncing a page, in place, as often as the log grows by one.
fn pages(folder: &Path) -> Result<Vec<Duration>, Failure> {
    let path = folder.join("page");
    let wrong = |e: std::io::Error| Failure::Broken(format!("{}: {e}", path.display()));
    let mut file = File::create(&path).map_err(wrong)?;
    let page = [0x5a; 4096];
    let mut times = Vec::with_capacity(PAGES);
    for number in 0..PAGES as u64 {
        let begun = Instant::now();
        file.seek(SeekFrom::Start(number * 4096)).map_err(wrong)?;
        file.write_all(&page).and_then(|()| file.sync_data()).map_err(wrong)?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn measure(running: &Running, holds: u64) -> Result<Vec<Duration>, Failure> {
    let node = &running.node;
    let currency = Currency::new("USD").map_err(Failure::broken)?;
    let items = (0..ACCOUNTS).map(|number| {
        ConfigItem::Account(Account {
            id: account(number),
            carrier: account(number),
            currency,
            prepaid: false,
            credit_limit: Price(i64::MAX / 4),
            reseller: SmolStr::default(),
            unidentified: false,
        })
    });
    node.publish(&items.collect::<Vec<_>>(), "bench", "accounts to hold on")?;
    let orders = node.orders.clone().ok_or_else(|| Failure::Broken("the ledger does not run".to_owned()))?;
    for number in 0..WARM_UP {
        let answer = orders.ask(ask(u64::MAX - number, currency)?).map_err(Failure::broken)?;
        held(answer.blocking_recv())?;
    }
    let (send, receive) = std::sync::mpsc::channel();
    let clerk = std::thread::spawn(move || -> Result<Vec<Duration>, Failure> {
        let mut times = Vec::new();
        for (due, answer) in receive {
            let answer: tokio::sync::oneshot::Receiver<_> = answer;
            held(answer.blocking_recv())?;
            times.push(Instant::elapsed(&due));
        }
        Ok(times)
    });
    let begun = Instant::now();
    for number in 0..holds {
        let due = begun + Duration::from_nanos(1_000_000_000 / PER_SECOND) * u32::try_from(number).unwrap_or(u32::MAX);
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(left);
        }
        let answer = offered(&orders, number, currency)?;
        if send.send((due, answer)).is_err() {
            break;
        }
    }
    drop(send);
    clerk.join().map_err(|_| Failure::Broken("the thread that takes the answers ended in a panic".to_owned()))?
}

type Answer = tokio::sync::oneshot::Receiver<Result<CreditAnswer, CreditError>>;

/// Offers one; while the queue is full the offer waits, and its clock runs.
fn offered(orders: &Orders, number: u64, currency: Currency) -> Result<Answer, Failure> {
    loop {
        match orders.ask(ask(number, currency)?) {
            Err(CreditError::Busy) => std::thread::sleep(Duration::from_micros(100)),
            other => return other.map_err(Failure::broken),
        }
    }
}

fn held<E>(answer: Result<Result<CreditAnswer, CreditError>, E>) -> Result<(), Failure> {
    match answer {
        Ok(Ok(CreditAnswer::Held { repeated: false, .. })) => Ok(()),
        Ok(other) => Err(Failure::Broken(format!("not held: {other:?}"))),
        Err(_) => Err(Failure::Broken("the ledger has gone".to_owned())),
    }
}

fn account(number: u64) -> SmolStr {
    format_smolstr!("account-{number:04}")
}

/// 0.10 a minute, 60/60.
fn ask(number: u64, currency: Currency) -> Result<CreditAsk, Failure> {
    let tenth = Amount(100_000_000_000);
    let line = Offered {
        account: account(number % ACCOUNTS),
        level: 0,
        currency,
        offer: Offer { first: tenth, first_seconds: 60, next: tenth, next_seconds: 60, decimals: 6 },
        minute: tenth,
        deck: SmolStr::new_static("az"),
        deck_version: 1,
        prefix: Prefix::new("4930").map_err(Failure::broken)?,
        destination: SmolStr::new_static("Germany - Berlin"),
    };
    Ok(CreditAsk::Authorise(Box::new(Wish {
        trunk: SmolStr::default(),
        call_id: CallId::new("bench", "bench", &format!("call-{number}")),
        at: OccurredAt(node::wall_micros()),
        called: E164::from_digits("4930123456").map_err(Failure::broken)?,
        extendable: true,
        lines: std::iter::once(line).collect(),
    })))
}
