//! `tandem bench`: figures anyone can run again, each beside a baseline from the same run. The share of the baseline is
//! the figure to quote; machines differ.

use crate::cli::{BenchArgs, BenchName};
use crate::demo;
use crate::node::{Roles, Running};
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::settings::{EngineKind, Settings};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of one write of the baseline: a full frame.
const WRITE_BYTES: usize = 512 * 1024;
const DRAIN_LIMIT: Duration = Duration::from_secs(3_600);

/// Runs one benchmark.
pub fn run(args: &BenchArgs, settings: &Settings, json: bool) -> Outcome {
    let folder = std::env::temp_dir().join(format!("tandem-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|e| Failure::Broken(format!("{}: {e}", folder.display())))?;
    let rows = match args.what {
        BenchName::Bus => bus(&folder),
        BenchName::Rate => rate(args),
        BenchName::Pipeline => pipeline(args, settings, &folder),
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

fn bus(folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let mut rows = Vec::new();
    for frame_bytes in [200_000, 500_000] {
        let figures = ::bus::bench::embedded(folder, 512 << 20, frame_bytes).map_err(Failure::broken)?;
        for f in figures {
            let number = |n: u64| format!("{n} {}", f.unit);
            rows.push(row(&f.what, number(f.ours), number(f.baseline), f.percent(), f.baseline_is));
        }
    }
    Ok(rows)
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

/// Events already on the bus, then raters and ledger until every frame is durable.
fn pipeline(args: &BenchArgs, settings: &Settings, folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let mut settings = Settings { data: folder.join("data"), ..settings.clone() };
    settings.engine.kind = EngineKind::None;
    let scenario = demo::scenario(1, args.calls, settings.partitions, traffic::Flaws::none())?;
    let preload = Running::start(&settings, &Roles::default())?;
    demo::apply_scenario(&scenario, &preload.node)?;
    let sent = demo::send_day(args.calls, &scenario, &preload.node)?;
    preload.stop();
    note(&format!("{} calls with {} events are on the bus", args.calls, sent.records));

    let roles = Roles { ingest: false, engine: false, loader: false, records: false, ..Roles::pipeline(&settings) };
    let (began, cpu) = (Instant::now(), cpu_millis()?);
    let running = Running::start(&settings, &roles)?;
    running.node.drain(DRAIN_LIMIT, &mut |_| ())?;
    let (wall, cpu) = (millis(began), cpu_millis()?.saturating_sub(cpu).max(1));
    running.stop();

    let bytes = frame_bytes(&settings.data.join("log"))?;
    let raw = raw_append(&folder.join("raw"), bytes)?;
    let per = |millis: u64| args.calls * 1_000 / millis.max(1);
    let is = format!("write + fdatasync of the same {} MB in 512 KiB pieces", bytes >> 20);
    let by_cpu = ["events to rated, booked and durable: calls per CPU second", &format!("{}/s", per(cpu)), "", "", ""];
    let share = raw * 100 / wall.max(1);
    let by_clock = row("the same by the clock", format!("{}/s", per(wall)), format!("{}/s", per(raw)), share, &is);
    Ok(vec![by_cpu.map(str::to_owned).to_vec(), by_clock])
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

/// User and system time of this process (proc(5): fields 14 and 15 of stat, in hundredths of a second).
fn cpu_millis() -> Result<u64, Failure> {
    let wrong = || Failure::Broken("/proc/self/stat cannot be read".to_owned());
    let stat = fs::read_to_string("/proc/self/stat").map_err(|_| wrong())?;
    let fields: Vec<&str> = stat.rsplit(") ").next().ok_or_else(wrong)?.split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).ok_or_else(wrong);
    Ok((ticks(11)? + ticks(12)?) * 10)
}

/// Bytes of the raters' and the ledger's streams.
fn frame_bytes(log: &Path) -> Result<u64, Failure> {
    fn sum(path: &Path) -> std::io::Result<u64> {
        let meta = fs::metadata(path)?;
        if !meta.is_dir() {
            return Ok(meta.len());
        }
        fs::read_dir(path)?.map(|entry| sum(&entry?.path())).sum()
    }
    let wrong = |e: std::io::Error| Failure::Broken(format!("{}: {e}", log.display()));
    let mut total = 0;
    for entry in fs::read_dir(log).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("xdrs.") || name.starts_with("ledger.") {
            total += sum(&path).map_err(wrong)?;
        }
    }
    Ok(total)
}

/// Writes so many bytes with a sync after each piece; milliseconds.
fn raw_append(path: &Path, bytes: u64) -> Result<u64, Failure> {
    let wrong = |e: std::io::Error| Failure::Broken(format!("{}: {e}", path.display()));
    let piece: Vec<u8> = (0..WRITE_BYTES).map(|at| (at * 31 % 251) as u8).collect();
    let mut file = File::create(path).map_err(wrong)?;
    let began = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(WRITE_BYTES);
        file.write_all(&piece[..now]).and_then(|()| file.sync_data()).map_err(wrong)?;
        left -= now as u64;
    }
    Ok(millis(began))
}
