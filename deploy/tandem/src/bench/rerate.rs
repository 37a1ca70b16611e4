//! `tandem bench rerate` (design 14, row 3): stored calls priced again without posting, as `rerate preview` does it,
//! beside reading the same log with its checksums. The calls come through the pipeline first; then the customers' deck
//! gets dearer, so that every call changes. Compiling the decks is left out, as in the other benchmarks.

use super::{pipeline, row};
use crate::apply;
use crate::cli::BenchArgs;
use crate::node::{Node, Roles, Running};
use crate::output::{Failure, note};
use crate::runs;
use crate::settings::{BusKind, EngineKind, Settings};
use bus::Batch;
use facts::OccurredAt;
use facts::deck::Price;
use facts::ids::RunId;
use facts::run::{RunPlan, Selection};
use rater::bench::Load;
use rater::runs::{Scan, Worker, preview, tariffs_for};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const DRAIN_LIMIT: Duration = Duration::from_secs(3_600);
const POLL_BYTES: usize = 4 << 20;
const WAIT: Duration = Duration::from_secs(10);

/// Runs it on an embedded log in `folder`.
pub(super) fn rerate(args: &BenchArgs, settings: &Settings, folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    if settings.bus.kind != BusKind::Embedded {
        return Err(Failure::Usage("bench rerate runs on an embedded log of its own; leave --kafka out".to_owned()));
    }
    let mut settings = Settings { data: folder.join("data"), ..settings.clone() };
    settings.engine.kind = EngineKind::None;
    settings.schema_registry = None;
    let (_, begin) = pipeline::preload(args, &settings)?;
    let roles = Roles { ingest: false, engine: false, loader: false, records: false, ..Roles::pipeline(&settings) };
    let running = Running::start(&settings, &roles)?;
    let measured = running.node.drain(DRAIN_LIMIT, &mut |_| ()).and_then(|()| measure(&running.node, folder, begin));
    running.stop();
    measured
}

fn measure(node: &Node, folder: &Path, begin: i64) -> Result<Vec<Vec<String>>, Failure> {
    let [mut deck, _] = Load::new(pipeline::PREFIXES, 0).decks;
    for rate in &mut deck.rates {
        (rate.first_rate, rate.next_rate) =
            (Price(rate.first_rate.0 + 10_000_000), Price(rate.next_rate.0 + 10_000_000));
    }
    let config = node.config.current();
    let items = apply::deck_items(&deck.id, deck.terms.clone(), deck.rates, "tandem bench", &config)?;
    node.publish(&items, "bench", "a dearer deck")?;
    let plan: RunPlan = runs::inputs(node)?;
    let (done, frames, kept) = (AtomicU64::new(0), AtomicU64::new(0), folder.join("times"));
    let (bus, ids, site, stop) = (&node.bus, &node.ids, &node.settings.site, &*node.stop);
    let worker = Worker { bus, ids, site, stop, done: &done, read: &frames, kept: Some(&kept) };
    let tariffs = tariffs_for(&worker, &node.config.current(), &plan).map_err(Failure::broken)?;
    let looked = |plan: &RunPlan| {
        let scan = Scan::new(&worker, &plan.inputs).map_err(Failure::broken)?;
        preview(&worker, &scan, RunId([1; 16]), plan, Some(&tariffs)).map_err(Failure::broken)
    };

    let (bytes, reading) = timed(|| read(node, &plan))?;
    let (found, own) = timed(|| looked(&plan))?;
    let (again, known) = timed(|| looked(&plan))?;
    let calls = found.calls;
    frames.store(0, Ordering::Relaxed);
    let hundredth = RunPlan { selection: first_part(begin, calls), ..plan.clone() };
    let (part, short) = timed(|| looked(&hundredth))?;
    if again != found || part.calls == 0 {
        return Err(Failure::Broken("the same run came to something else".to_owned()));
    }

    note(&format!(
        "{calls} stored calls, all of them change, {} rows; {} MB of frames; the period's run read {} frames and took {} ms",
        found.rows.len(),
        bytes >> 20,
        frames.load(Ordering::Relaxed),
        short.wall / 1_000_000,
    ));
    let per =
        |nanos: u64| u64::try_from(u128::from(calls) * 1_000_000_000 / u128::from(nanos.max(1))).unwrap_or(u64::MAX);
    let is = format!("reading the same {} MB of the log with CRC", bytes >> 20);
    let figure = |what: &str, own: u64, read: u64| {
        row(what, format!("{}/s", per(own)), format!("{}/s", per(read)), per(own) * 100 / per(read).max(1), &is)
    };
    Ok(vec![
        figure("preview of stored calls, both sides: calls per CPU second", own.cpu, reading.cpu),
        figure("the same by the clock", own.wall, reading.wall),
        figure("where the streams' times are known: calls per CPU second", known.cpu, reading.cpu),
    ])
}

/// Calls that began in the first hundredth of the time.
fn first_part(begin: i64, calls: u64) -> Selection {
    let micros = i64::try_from(calls).unwrap_or(i64::MAX).saturating_mul(Load::BETWEEN_CALLS) / 100;
    Selection { until: Some(OccurredAt(begin.saturating_add(micros))), ..Selection::default() }
}

/// What something took, nanoseconds of the processor (of the whole process, for several threads may work) and by the
/// clock.
struct Took {
    cpu: u64,
    wall: u64,
}

fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Took), Failure> {
    let (began, cpu) = (Instant::now(), pipeline::cpu_millis()?);
    let done = work()?;
    let wall = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok((done, Took { cpu: pipeline::cpu_millis()?.saturating_sub(cpu) * 1_000_000, wall }))
}

/// The baseline: every record of the inputs, as the log checks and hands it out.
fn read(node: &Node, plan: &RunPlan) -> Result<u64, Failure> {
    let (mut bytes, mut batch) = (0, Batch::new());
    for input in &plan.inputs {
        let end = node.bus.end(&input.stream, 0).map_err(Failure::broken)?;
        let begin = node.bus.begin(&input.stream, 0).map_err(Failure::broken)?;
        let mut reader = node.bus.reader(&input.stream, 0, begin).map_err(Failure::broken)?;
        while reader.position() < end {
            reader.poll(&mut batch, POLL_BYTES, WAIT).map_err(Failure::broken)?;
            bytes += batch.iter().map(|record| record.value.len() as u64).sum::<u64>();
        }
    }
    Ok(bytes)
}
