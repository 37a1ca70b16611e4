//! `tandem bench`: figures anyone can run again, each beside a baseline from the same run. The share of the baseline is
//! the figure to quote; machines differ.

mod deck;
mod history;
mod hold;
mod pipeline;
mod rerate;

use crate::cli::{BenchArgs, BenchName};
use crate::node;
use crate::output::{self, Ending, Failure, Outcome};
use crate::settings::{BusKind, Settings};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Records that `bench bus` copies on Kafka, and their size: an event's.
const KAFKA_RECORDS: u64 = 500_000;
const KAFKA_RECORD_BYTES: usize = 250;

/// Runs one benchmark.
pub fn run(args: &BenchArgs, settings: &Settings, json: bool) -> Outcome {
    if args.keep.is_some() && args.what != BenchName::History {
        return Err(Failure::Usage("--keep belongs to history only".to_owned()));
    }
    let folder = std::env::temp_dir().join(format!("tandem-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|e| Failure::Broken(format!("{}: {e}", folder.display())))?;
    let rows = match args.what {
        BenchName::Bus => bus(settings, &folder),
        BenchName::Rate => rate(args),
        BenchName::Hold => hold::hold(args, settings, &folder),
        BenchName::History => history::history(args, &folder),
        BenchName::Deck => deck::deck(settings, &folder),
        BenchName::Pipeline => pipeline::pipeline(args, settings, &folder),
        BenchName::Rerate => rerate::rerate(args, settings, &folder),
    };
    // It is the system's temporary folder.
    let _ = fs::remove_dir_all(&folder);
    let rows = rows?;
    if json {
        for row in &rows {
            output::json(
                &serde_json::json!({ "what": row[0], "ours": row[1], "baseline": row[2], "share": row[3], "baseline_is": row[4] }),
            )?;
        }
    } else {
        output::table(&["what", "ours", "baseline", "share", "baseline is"], &[false, true, true, true, false], &rows)?;
    }
    Ok(Ending::Good)
}

fn row(what: &str, ours: String, baseline: String, percent: u64, is: &str) -> Vec<String> {
    vec![what.to_owned(), ours, baseline, format!("{percent} %"), is.to_owned()]
}

fn bus(settings: &Settings, folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let mut figures = Vec::new();
    match settings.bus.kind {
        BusKind::Embedded => {
            for frame_bytes in [200_000, 500_000] {
                figures.extend(::bus::bench::embedded(folder, 512 << 20, frame_bytes).map_err(Failure::broken)?);
            }
        }
        BusKind::Kafka => {
            let settings = Settings { data: folder.to_owned(), ..settings.clone() };
            let config = node::kafka_config(&settings, &schemas::SchemaIds::default());
            let prefix = format!("bench.bus.{}", std::process::id());
            let copied = ::bus::bench::kafka(&config, &prefix, KAFKA_RECORDS, KAFKA_RECORD_BYTES);
            figures.extend(copied.map_err(Failure::broken)?);
        }
    }
    let rows = figures.iter().map(|f| {
        let number = |n: u64| format!("{n} {}", f.unit);
        row(&f.what, number(f.ours), number(f.baseline), f.percent(), f.baseline_is)
    });
    Ok(rows.collect())
}

fn rate(args: &BenchArgs) -> Result<Vec<Vec<String>>, Failure> {
    let calls = usize::try_from(args.calls).unwrap_or(usize::MAX);
    let figure = rater::bench::price_both_sides(1_000_000, calls)
        .ok_or_else(|| Failure::Broken("the benchmark's decks could not be made".to_owned()))?;
    let (ours, baseline) = (figure.per_second(), figure.baseline_per_second());
    let share = ours * 100 / baseline.max(1);
    let is = "HashMap per prefix length (SipHash), same calls, look-ups and products only";
    Ok(vec![row(
        "price both sides, two decks of 1,000,000 codes, one core",
        format!("{ours}/s"),
        format!("{baseline}/s"),
        share,
        is,
    )])
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}
