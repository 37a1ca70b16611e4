//! `tandem bench deck` (design 14): a carrier's next file read, compared and in force, beside reading its cells with the
//! same library; and what a thousand versions that differ by 1 % take beside ten whole decks.

use super::{millis, row};
use crate::apply;
use crate::deck::Answers;
use crate::deck_life::told::Told;
use crate::deck_life::{read_file, rows_of};
use crate::node::{Node, Roles, Running, wall_micros};
use crate::output::{self, Failure};
use crate::settings::{EngineKind, Settings};
use calamine::Reader;
use decks::life::{Kind, Missing, Moment, Plan, Rows, merge, review};
use facts::config::{ConfigItem, DeckRules};
use facts::deck::{DeckTerms, IntervalRule, Price, Rate};
use facts::{Currency, Prefix};
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::Instant;

const XLSX_ROWS: u32 = 18_254;
const CSV_ROWS: u32 = 1_000_000;
const VERSIONS: u32 = 1_000;
const VERSION_ROWS: u32 = 10_000;

pub(super) fn deck(settings: &Settings, folder: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let mut settings = Settings { data: folder.join("data"), ..settings.clone() };
    settings.engine.kind = EngineKind::None;
    settings.schema_registry = None;
    let running = Running::start(&settings, &Roles::default())?;
    let measured = (|| {
        let node = &running.node;
        let mut rows = file(node, folder, "bench.xlsx", XLSX_ROWS, &workbook)?;
        rows.extend(file(node, folder, "bench.csv", CSV_ROWS, &|version| Ok(csv(version).into_bytes()))?);
        rows.extend(versions(node)?);
        Ok(rows)
    })();
    running.stop();
    measured
}

/// Rows as a carrier lists them: code, name, price, increment, first day. Version 1 has other prices in one row of 100.
fn cells(rows: u32, version: u32) -> impl Iterator<Item = [String; 5]> {
    (0..rows).map(move |at| {
        let changed = version > 0 && at.wrapping_mul(7_919).wrapping_add(version * 104_729).is_multiple_of(100);
        let units = 10_000 + u64::from(at % 977) * 3 + if changed { 1 + u64::from(version) } else { 0 };
        let day = if changed { "2026-12-01" } else { "2026-01-01" };
        let name = format!("Country {} - Mobile Operator {}", at / 400, at / 40 % 10);
        [
            format!("{}", 10_000_000 + u64::from(at) * 7),
            name,
            format!("0.{units:06}"),
            "60/1".to_owned(),
            day.to_owned(),
        ]
    })
}

const HEADER: [&str; 5] = ["Code", "Destination", "Rate USD", "Increment", "Effective"];

fn csv(version: u32) -> String {
    let mut text = HEADER.join(";") + "\n";
    for row in cells(CSV_ROWS, version) {
        text.push_str(&row.join(";"));
        text.push('\n');
    }
    text
}

fn workbook(version: u32) -> Result<Vec<u8>, Failure> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    let rows = cells(XLSX_ROWS, version);
    for (at, row) in std::iter::once(HEADER.map(str::to_owned)).chain(rows).enumerate() {
        for (column, text) in row.iter().enumerate() {
            let (at, column) = (u32::try_from(at).unwrap_or(0), u16::try_from(column).unwrap_or(0));
            sheet.write_string(at, column, text).map_err(Failure::usage)?;
        }
    }
    book.save_to_buffer().map_err(Failure::usage)
}

/// One deck's first file in force, then the next one measured.
fn file(
    node: &Node,
    folder: &Path,
    name: &str,
    rows: u32,
    make: &dyn Fn(u32) -> Result<Vec<u8>, Failure>,
) -> Result<Vec<Vec<String>>, Failure> {
    let path = folder.join(name);
    let write = |bytes: &[u8]| fs::write(&path, bytes).map_err(|e| Failure::Broken(format!("{}: {e}", path.display())));
    write(&make(0)?)?;
    take_in(node, name, &path)?;
    write(&make(1)?)?;
    // The highest memory is counted from here.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let began = Instant::now();
    let changes = take_in(node, name, &path)?;
    let ours = millis(began);
    let memory = peak_megabytes();
    let (began, bytes) = (Instant::now(), fs::read(&path).map_err(Failure::usage)?);
    let cells = if name == "bench.xlsx" { xlsx_cells(&bytes)? } else { csv_cells(&bytes) };
    let baseline = millis(began);
    let what = format!("{rows} rows of {name} read, compared ({changes} changes), in force; {memory} MB at most");
    let is = format!("reading its {cells} cells with the same library");
    Ok(vec![row(&what, format!("{ours} ms"), format!("{baseline} ms"), baseline * 100 / ours, &is)])
}

/// What `tandem deck import` does without asking: the number of changes.
fn take_in(node: &Node, deck: &str, path: &Path) -> Result<u64, Failure> {
    let config = node.config.current();
    let last = config.decks.get(deck).and_then(|versions| versions.last());
    let file = read_file(path, &Answers::default(), last, &Told::default())?;
    let old = last.map_or(Ok(Rows::new()), |last| rows_of(&config, &last.chunks))?;
    let rule = IntervalRule::Anchored;
    let plan = Plan {
        kind: Kind::Az,
        missing: Missing::Discontinued,
        effective: wall_micros(),
        notice: None,
        closes: None,
        rule,
    };
    let merged = merge(&old, &Rows::new(), &file.rows, &plan);
    drop(file);
    let found = review(
        &old,
        &merged.rows,
        Moment { now: plan.effective, received: plan.effective },
        rule,
        &DeckRules::default(),
        100_000,
    );
    drop(old);
    let terms = DeckTerms::new(Currency::new("USD").map_err(Failure::usage)?);
    let rates = merged.rows.into_rates();
    let (root, mut items) = apply::version_items(deck, terms, rates, "tandem bench", &config)?;
    items.push(ConfigItem::Deck(root));
    node.publish(&items, "bench", "the carrier's next file")?;
    Ok(found.total)
}

/// Most memory this process has had.
pub fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_024
}

fn xlsx_cells(bytes: &[u8]) -> Result<u64, Failure> {
    let mut book = calamine::Xlsx::new(Cursor::new(bytes)).map_err(Failure::usage)?;
    let sheet = book.sheet_names().first().cloned().unwrap_or_default();
    let mut reader = book.worksheet_cells_reader(&sheet).map_err(Failure::usage)?;
    let mut cells = 0;
    while reader.next_cell().map_err(Failure::usage)?.is_some() {
        cells += 1;
    }
    Ok(cells)
}

fn csv_cells(mut bytes: &[u8]) -> u64 {
    let mut reader = csv_core::ReaderBuilder::new().delimiter(b';').build();
    let (mut field, mut cells) = ([0; 1_024], 0);
    loop {
        let (result, read, _) = reader.read_field(bytes, &mut field);
        bytes = &bytes[read..];
        match result {
            csv_core::ReadFieldResult::Field { .. } => cells += 1,
            csv_core::ReadFieldResult::End => return cells,
            csv_core::ReadFieldResult::InputEmpty | csv_core::ReadFieldResult::OutputFull => {}
        }
    }
}

/// A thousand versions on the config log, each 1 % off the one before.
fn versions(node: &Node) -> Result<Vec<Vec<String>>, Failure> {
    let mut rates: Vec<Rate> = (0..VERSION_ROWS)
        .map(|at| {
            let prefix = Prefix::new(&(10_000_000 + u64::from(at) * 7).to_string()).unwrap_or_default();
            let name = format!("Country {} - Mobile Operator {}", at / 400, at / 40 % 10);
            Rate::simple(prefix, &name, 60, 1, Price(100_000_000 + i64::from(at % 977)))
        })
        .collect();
    let before = node.config.current().chunks.len();
    let log = node.settings.data.join("log");
    let whole: usize =
        schemas::deck_rows::split(&rates).map_err(Failure::usage)?.iter().map(|chunk| chunk.1.len()).sum();
    let disk = folder_bytes(&log);
    let bar = output::progress(u64::from(VERSIONS), "versions");
    let held = |node: &Node| node.config.current().chunks.values().map(|bytes| bytes.len()).sum::<usize>();
    let memory = held(node);
    for version in 1..=VERSIONS {
        for (at, rate) in (0u32..).zip(&mut rates) {
            if at.wrapping_mul(7_919).wrapping_add(version * 104_729).is_multiple_of(100) && version > 1 {
                let price = Price(100_000_000 + i64::from(version) * 1_000 + i64::from(at % 977));
                (rate.first_rate, rate.next_rate) = (price, price);
            }
        }
        let terms = DeckTerms::new(Currency::new("USD").map_err(Failure::usage)?);
        let config = node.config.current();
        let (root, mut items) =
            apply::version_items("versions", terms, rates.iter().cloned(), "tandem bench", &config)?;
        items.push(ConfigItem::Deck(root));
        node.publish(&items, "bench", "next version")?;
        bar.set_position(u64::from(version));
    }
    bar.finish_and_clear();
    let config = node.config.current();
    let roots: usize = config.decks["versions"].iter().map(|root| root.chunks.len() * 32 + size_of_val(root)).sum();
    let memory = held(node) - memory + roots;
    let disk = folder_bytes(&log) - disk;
    let chunks = config.chunks.len() - before;
    let kilobytes = |bytes: usize| format!("{} KB", bytes / 1_024);
    let figure = |what: String, bytes: usize| {
        row(
            &what,
            kilobytes(bytes),
            kilobytes(whole * 10),
            (whole * 1_000 / bytes.max(1)) as u64,
            "ten whole decks, encoded",
        )
    };
    Ok(vec![
        figure(
            format!("{VERSIONS} versions of {VERSION_ROWS} rows, 1 % off each other, in memory ({chunks} chunks)"),
            memory,
        ),
        figure(format!("{VERSIONS} versions of {VERSION_ROWS} rows, 1 % off each other, on disk"), disk),
    ])
}

fn folder_bytes(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
        Ok(found) => usize::try_from(found.len()).unwrap_or(0),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}
