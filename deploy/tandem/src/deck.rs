//! `tandem deck read`: a carrier's file as rows, problems and totals. Stores nothing but the template it is asked for.

use crate::apply::{problem_line, read_bounded};
use crate::output::{self, Ending, Failure, Outcome};
use decks::{Item, ReadOptions};
use facts::deck::Rate;
use facts::money::Currency;
use std::path::{Path, PathBuf};

/// What a person answers where a file can be read in two ways. An answer stands above the template.
#[derive(Debug, Clone, Default, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Answers {
    /// What was fixed for this carrier, by --save-template
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// Write what was found and answered, so that the carrier's next notice is read without questions
    #[arg(long, value_name = "FILE")]
    pub save_template: Option<PathBuf>,
    /// Where the file does not say it
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// A sheet with rates; as often as needed
    #[arg(long, value_name = "NAME")]
    pub sheet: Vec<String>,
    /// All sheets that hold rates, as one deck
    #[arg(long, conflicts_with = "sheet")]
    pub all_sheets: bool,
    /// Of a text file: utf-8, windows-1252, windows-1251, iso-8859-2, ...
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
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
    /// The same for destinations whose name begins so, as Mexico=60/60; as often as needed
    #[arg(long, value_name = "NAME=FIRST/NEXT")]
    pub increment_of: Vec<String>,
    /// What a word of the status column means, as NDA=blocked; as often as needed
    #[arg(long, value_name = "WORD=open|blocked|discontinued")]
    pub status: Vec<String>,
    /// First day of rows without a date: YYYY-MM-DD or an instant
    #[arg(long, value_name = "DATE")]
    pub valid_from: Option<String>,
    /// What ASAP means in a column of dates: YYYY-MM-DD or an instant
    #[arg(long, value_name = "DATE")]
    pub issued: Option<String>,
    /// Zone in which dates without an offset begin
    #[arg(long, value_name = "IANA")]
    pub zone: Option<String>,
    /// Our names of this carrier's destinations: a mapping by tandem deck names --save
    #[arg(long, value_name = "FILE")]
    pub names: Option<PathBuf>,
    /// A price of 0 is a price; without this such a row is a problem
    #[arg(long)]
    pub zero_is_free: bool,
}

impl Answers {
    /// Template and answers as the reader takes them.
    pub fn options(&self) -> Result<ReadOptions, Failure> {
        let mut options = match &self.template {
            Some(path) => read_template(path)?,
            None => ReadOptions::default(),
        };
        if let Some(code) = &self.currency {
            options.currency = Some(Currency::new(code).map_err(Failure::usage)?);
        }
        if !self.sheet.is_empty() {
            options.sheets = self.sheet.iter().map(Into::into).collect();
        }
        if let Some(path) = &self.names {
            options.names.extend(crate::deck_life::names::mapping(path)?);
        }
        options.all_sheets |= self.all_sheets;
        options.zero_is_free |= self.zero_is_free;
        if let Some(encoding) = &self.encoding {
            options.encoding = Some(encoding.into());
        }
        if let Some(zone) = &self.zone {
            options.effective_zone = zone.into();
        }
        self.columns(&mut options)?;
        self.signs(&mut options);
        self.increments(&mut options)?;
        self.statuses(&mut options)?;
        let instant = |text: &Option<String>| text.as_ref().map(|text| day(text, &options.effective_zone)).transpose();
        let (valid_from, issued_at) = (instant(&self.valid_from)?, instant(&self.issued)?);
        options.valid_from = valid_from.or(options.valid_from);
        options.issued_at = issued_at.or(options.issued_at);
        Ok(options)
    }

    fn columns(&self, options: &mut ReadOptions) -> Result<(), Failure> {
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
        Ok(())
    }

    fn signs(&self, options: &mut ReadOptions) {
        if let Some(order) = self.date_order.as_deref() {
            let month = order == "month-first";
            options.date_order = Some(if month { decks::DateOrder::MonthFirst } else { decks::DateOrder::DayFirst });
        }
        if let Some(mark) = self.decimal.as_deref() {
            let comma = mark == "comma";
            options.decimal_mark = Some(if comma { decks::DecimalMark::Comma } else { decks::DecimalMark::Point });
        }
        if let Some(hyphen) = self.hyphen.as_deref() {
            let range = hyphen == "range";
            options.hyphen = Some(if range { decks::Hyphen::Range } else { decks::Hyphen::Separator });
        }
        if let Some(space) = self.space.as_deref() {
            options.space = Some(if space == "list" { decks::Space::List } else { decks::Space::Separator });
        }
    }

    fn increments(&self, options: &mut ReadOptions) -> Result<(), Failure> {
        let read = |flag: &str, text: &str| {
            let wrong = || Failure::Usage(format!("{flag} {text}: write two numbers of seconds, as 60/1"));
            decks::template::parse_increment(text).ok_or_else(wrong)
        };
        if let Some(text) = &self.increment {
            options.increment = Some(read("--increment", text)?);
            // A person has said it: the notice need not agree.
            options.notice_must_agree = false;
        }
        for text in &self.increment_of {
            let wrong = || Failure::Usage(format!("--increment-of {text}: write it as Mexico=60/60"));
            let (name, increment) = text.split_once('=').ok_or_else(wrong)?;
            let increment = read("--increment-of", increment)?;
            options.increments.retain(|(known, _)| known != name);
            options.increments.push((name.into(), increment));
        }
        Ok(())
    }

    fn statuses(&self, options: &mut ReadOptions) -> Result<(), Failure> {
        for text in &self.status {
            let read = text.split_once('=').and_then(|(word, status)| {
                let status = serde_json::from_value(status.into()).ok()?;
                Some((word.to_lowercase(), status))
            });
            let wrong = || Failure::Usage(format!("--status {text}: write it as NDA=blocked (or open, discontinued)"));
            let (word, status) = read.ok_or_else(wrong)?;
            options.status_words.insert(word.into(), status);
        }
        Ok(())
    }
}

/// A day in a zone, or an instant with its own offset.
fn day(text: &str, zone: &str) -> Result<i64, Failure> {
    if let Some(micros) = facts::time::parse_rfc3339(text) {
        return Ok(micros);
    }
    let wrong = |error: jiff::Error| Failure::Usage(format!("{text:?} is no day as 2023-06-01: {error}"));
    let date: jiff::civil::Date = text.parse().map_err(wrong)?;
    Ok(date.in_tz(zone).map_err(wrong)?.timestamp().as_microsecond())
}

/// A template file as options.
pub fn read_template(path: &Path) -> Result<ReadOptions, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    decks::template::parse(&text).map_err(|error| wrong(&error))
}

/// Reads and prints a deck file; with `summary` only what it adds up to.
pub fn read(file: &Path, answers: &Answers, summary: bool, json: bool) -> Outcome {
    let options = answers.options()?;
    let bytes = read_bounded(file)?;
    let name = file.display().to_string();
    let lines = output::Lines::new();
    let mut out = Out { file, lines, json, summary, failed: None, rates: 0, problems: Vec::new(), left_out: 0 };
    let read = decks::read_rows(&name, &bytes, &options, &mut |item| out.item(&item));
    if let Some(failure) = out.failed.take() {
        return Err(failure);
    }
    let last = match &read {
        Ok((found, totals)) => decks::json::summary_line(found, totals),
        Err(error) => decks::json::refusal(error),
    };
    out.end(&last)?;
    let (found, totals) = read.map_err(Failure::usage)?;
    if !json {
        for (label, text) in decks::json::summary(&found, &totals) {
            output::note(&format!("{label:>14}: {text}"));
        }
    }
    if let Some(path) = &answers.save_template {
        let text = decks::template::save(&options, &found).map_err(Failure::usage)?;
        let text = format!("# how {name} was read, by tandem deck read --save-template\n{text}");
        std::fs::write(path, text).map_err(|error| Failure::Broken(format!("{}: {error}", path.display())))?;
    }
    Ok(if totals.problems == 0 { Ending::Good } else { Ending::Differs })
}

/// Prints rows as they are read: a million of them are never held.
struct Out<'f> {
    file: &'f Path,
    lines: output::Lines,
    json: bool,
    summary: bool,
    failed: Option<Failure>,
    rates: u64,
    /// Shown behind the table, the first of them only.
    problems: Vec<String>,
    left_out: u64,
}

/// Problems shown to people; `--json` prints all.
const PROBLEMS_SHOWN: usize = 1_000;

impl Out<'_> {
    fn item(&mut self, item: &Item) {
        if self.failed.is_some() {
            return;
        }
        let printed = match item {
            Item::Problem(problem) if !self.json => {
                if self.problems.len() < PROBLEMS_SHOWN {
                    self.problems.push(problem_line(self.file, problem));
                } else {
                    self.left_out += 1;
                }
                Ok(())
            }
            Item::Rate(..) if self.summary => Ok(()),
            Item::Rate(rate, _) if !self.json => self.rate(rate),
            item => self.lines.line(&decks::json::item(item)),
        };
        self.failed = printed.err();
    }

    fn rate(&mut self, rate: &Rate) -> Result<(), Failure> {
        if self.rates == 0 {
            let header = ["prefix", "destination", "increment", "first rate", "next rate", "from", "until"];
            let [a, b, c, d, e, f, g] = header;
            self.lines.line(&format!("{a:15}  {b:40}  {c:9}  {d:>12}  {e:>12}  {f:20}  {g}"))?;
        }
        self.rates += 1;
        let instant = |t: Option<i64>| t.map(facts::time::rfc3339).unwrap_or_default();
        let status = match rate.status {
            facts::deck::RowStatus::Open => "",
            facts::deck::RowStatus::Blocked => "  blocked",
            facts::deck::RowStatus::Discontinued => "  discontinued",
        };
        let text = format!(
            "{:15}  {:40}  {:9}  {:>12}  {:>12}  {:20}  {}{status}",
            rate.prefix.to_string(),
            rate.destination,
            format!("{}/{}", rate.first_interval, rate.next_interval),
            rate.first_rate.to_string(),
            rate.next_rate.to_string(),
            instant(rate.valid_from),
            instant(rate.valid_until),
        );
        self.lines.line(text.trim_end())
    }

    /// What stands behind the rows: the last JSON line, or the problems for people.
    fn end(self, last: &str) -> Result<(), Failure> {
        let Self { mut lines, json, problems, left_out, .. } = self;
        if json {
            lines.line(last)?;
        }
        lines.end()?;
        problems.iter().for_each(|problem| output::note(problem));
        if left_out > 0 {
            output::note(&format!("... and {left_out} more rows with problems; --json prints them all"));
        }
        Ok(())
    }
}
