//! `tandem deck read`: a carrier's file as rows, problems and totals. Stores nothing.

use crate::apply::{problem_line, read_bounded};
use crate::output::{self, Ending, Failure, Outcome};
use facts::money::Currency;
use std::path::Path;

/// What a person answers where a file can be read in two ways.
#[derive(Debug, Default, clap::Args)]
pub struct Answers {
    /// Where the file does not say it
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// The sheet with the rates
    #[arg(long, value_name = "NAME")]
    pub sheet: Option<String>,
    /// Which column holds a field, by its header; as often as needed
    #[arg(long, value_name = "FIELD=HEADER")]
    pub column: Vec<String>,
    /// How 3/4/2023 is meant
    #[arg(long, value_name = "day-first|month-first", value_parser = ["day-first", "month-first"])]
    pub date_order: Option<String>,
    /// How 1,234 is meant in a price
    #[arg(long, value_name = "point|comma", value_parser = ["point", "comma"])]
    pub decimal: Option<String>,
    /// How 94-96 is meant among codes
    #[arg(long, value_name = "range|separator", value_parser = ["range", "separator"])]
    pub hyphen: Option<String>,
    /// How the blank in "52 33" is meant among codes
    #[arg(long, value_name = "list|separator", value_parser = ["list", "separator"])]
    pub space: Option<String>,
    /// First and next interval in seconds where rows name none, as 60/1
    #[arg(long, value_name = "FIRST/NEXT")]
    pub increment: Option<String>,
    /// Zone in which dates without an offset begin
    #[arg(long, value_name = "IANA")]
    pub zone: Option<String>,
    /// A price of 0 is a price; without this such a row is a problem
    #[arg(long)]
    pub zero_is_free: bool,
}

impl Answers {
    /// The answers as the reader takes them.
    pub fn options(&self) -> Result<decks::ReadOptions, Failure> {
        let mut options = decks::ReadOptions {
            currency: self.currency.as_deref().map(Currency::new).transpose().map_err(Failure::usage)?,
            sheet: self.sheet.as_deref().map(Into::into),
            zero_is_free: self.zero_is_free,
            ..decks::ReadOptions::default()
        };
        for column in &self.column {
            let (word, header) = column
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("--column {column}: write it as rate=\"New Rate\"")))?;
            let field = decks::Field::named(word).ok_or_else(|| {
                let words = decks::Field::words();
                Failure::Usage(format!("--column {column}: {word:?} is no field; the fields are {words}"))
            })?;
            options.columns.insert(field, header.into());
        }
        options.date_order = self.date_order.as_deref().map(|order| match order {
            "month-first" => decks::DateOrder::MonthFirst,
            _ => decks::DateOrder::DayFirst,
        });
        options.decimal_mark = self.decimal.as_deref().map(|mark| match mark {
            "comma" => decks::DecimalMark::Comma,
            _ => decks::DecimalMark::Point,
        });
        options.hyphen = self.hyphen.as_deref().map(|hyphen| match hyphen {
            "range" => decks::Hyphen::Range,
            _ => decks::Hyphen::Separator,
        });
        options.space = self.space.as_deref().map(|space| match space {
            "list" => decks::Space::List,
            _ => decks::Space::Separator,
        });
        if let Some(text) = &self.increment {
            let pair = text.split_once('/').and_then(|(a, b)| a.trim().parse().ok().zip(b.trim().parse().ok()));
            options.increment = pair
                .ok_or_else(|| Failure::Usage(format!("--increment {text}: write two numbers of seconds, as 60/1")))?;
        }
        if let Some(zone) = &self.zone {
            options.effective_zone = zone.as_str().into();
        }
        Ok(options)
    }
}

/// Reads and prints a deck file.
pub fn read(file: &Path, answers: &Answers, json: bool) -> Outcome {
    let options = answers.options()?;
    let bytes = read_bounded(file)?;
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
