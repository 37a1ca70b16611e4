//! `tandem deck read`: a carrier's file as rows, problems and totals. Stores nothing.

use crate::apply::{problem_line, read_bounded};
use crate::output::{self, Ending, Failure, Outcome};
use facts::money::Currency;
use std::path::Path;

/// Reads and prints a deck file.
pub fn read(file: &Path, currency: Option<&str>, json: bool) -> Outcome {
    let currency = currency.map(Currency::new).transpose().map_err(Failure::usage)?;
    let bytes = read_bounded(file)?;
    let options = decks::ReadOptions { currency, ..decks::ReadOptions::default() };
    let name = file.display().to_string();
    if json { lines(&name, &bytes, &options) } else { table(file, &name, &bytes, &options) }
}

/// One row or problem a line, in the file's order.
fn lines(name: &str, bytes: &[u8], options: &decks::ReadOptions) -> Outcome {
    let mut failed = None;
    let read = decks::read_rows(name, bytes, options, &mut |item| {
        if failed.is_none() {
            failed = output::line(&decks::json::item(&item)).err();
        }
    });
    if let Some(failure) = failed {
        return Err(failure);
    }
    match read {
        Ok((_, totals)) if totals.problems == 0 => Ok(Ending::Good),
        Ok(_) => Ok(Ending::Differs),
        Err(error) => {
            output::line(&decks::json::refusal(&error))?;
            Err(Failure::usage(error))
        }
    }
}

fn table(file: &Path, name: &str, bytes: &[u8], options: &decks::ReadOptions) -> Outcome {
    let read = decks::read(name, bytes, options).map_err(Failure::usage)?;
    let rows: Vec<Vec<String>> = read
        .rates
        .iter()
        .map(|(rate, _)| {
            let instant = |t: Option<i64>| t.map(facts::time::rfc3339).unwrap_or_default();
            vec![
                rate.prefix.to_string(),
                rate.destination.to_string(),
                format!("{}/{}", rate.first_interval, rate.next_interval),
                rate.first_rate.to_string(),
                rate.next_rate.to_string(),
                instant(rate.valid_from),
                instant(rate.valid_until),
            ]
        })
        .collect();
    let header = ["prefix", "destination", "increment", "first rate", "next rate", "from", "until"];
    output::table(&header, &[false, false, false, true, true, false, false], &rows)?;
    for problem in &read.problems {
        output::note(&problem_line(file, problem));
    }
    for (label, text) in decks::json::summary(&read.found, &read.totals) {
        output::note(&format!("{label:>14}: {text}"));
    }
    Ok(if read.problems.is_empty() { Ending::Good } else { Ending::Differs })
}
