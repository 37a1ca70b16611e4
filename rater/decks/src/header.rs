//! Finding the header row under a letterhead and what each column means. Two columns that could both be the price
//! are refused, never chosen between.

use crate::DeckError;
use crate::cell::Cell;
use crate::notice::{self, Notice};
use crate::options::ReadOptions;
use facts::Currency;
use smol_str::SmolStr;
use std::fmt;

/// Rows that are looked at for a header.
pub const SEARCH_ROWS: u32 = 200;
/// ISO 4217 codes that stand in headers and notices of decks; a header word of three letters is one of these or none.
const CURRENCIES: [&str; 24] = [
    "USD", "EUR", "GBP", "CHF", "INR", "AED", "AUD", "CAD", "CNY", "CZK", "DKK", "HKD", "HUF", "JPY", "KRW", "MXN",
    "NOK", "PLN", "RUB", "SEK", "SGD", "TRY", "UAH", "ZAR",
];
/// Words that say "each minute", which every price here is anyway.
const PER_MINUTE: [&str; 6] = ["per", "min", "mins", "minute", "minutes", "s"];

/// What a column means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// Whole dial code, or a list of them.
    Code,
    CountryCode,
    /// The rest of the code behind `CountryCode`.
    AreaCode,
    Destination,
    /// Price a minute of both intervals.
    Rate,
    FirstRate,
    NextRate,
    InterRate,
    IntraRate,
    IndeterminateRate,
    /// `60/1`, or one number for both intervals.
    Increment,
    FirstInterval,
    NextInterval,
    ConnectFee,
    AttemptFee,
    DisconnectFee,
    FreeSeconds,
    GraceSeconds,
    ValidFrom,
    ValidUntil,
    Status,
    /// Yes/no columns of the PortaOne family.
    Forbidden,
    Discontinued,
    TimeType,
    Origin,
    Currency,
    /// What has changed since the last deck, in the carrier's words.
    Change,
}

impl Field {
    /// The word by which a template names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::CountryCode => "country_code",
            Self::AreaCode => "area_code",
            Self::Destination => "destination",
            Self::Rate => "rate",
            Self::FirstRate => "first_rate",
            Self::NextRate => "next_rate",
            Self::InterRate => "inter_rate",
            Self::IntraRate => "intra_rate",
            Self::IndeterminateRate => "indeterminate_rate",
            Self::Increment => "increment",
            Self::FirstInterval => "first_interval",
            Self::NextInterval => "next_interval",
            Self::ConnectFee => "connect_fee",
            Self::AttemptFee => "attempt_fee",
            Self::DisconnectFee => "disconnect_fee",
            Self::FreeSeconds => "free_seconds",
            Self::GraceSeconds => "grace_seconds",
            Self::ValidFrom => "valid_from",
            Self::ValidUntil => "valid_until",
            Self::Status => "status",
            Self::Forbidden => "forbidden",
            Self::Discontinued => "discontinued",
            Self::TimeType => "time_type",
            Self::Origin => "origin",
            Self::Currency => "currency",
            Self::Change => "change",
        }
    }

    /// The first of two equal headers counts for these; for all others two are refused.
    fn first_counts(self) -> bool {
        matches!(self, Self::Change | Self::Destination)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Headers after `words`, and what they mean. Sources: domain.md 4.5 (Airtel, Tata, TelecomsXChange, PortaOne,
/// JeraSoft, Yeti, ASTPP, Kazoo, 46labs) and the sample decks.
#[rustfmt::skip]
const NAMES: &[(&str, Field)] = &[
    ("complete code", Field::Code), ("code", Field::Code), ("codes", Field::Code), ("prefix", Field::Code),
    ("prefixes", Field::Code), ("dial code", Field::Code), ("dial codes", Field::Code), ("dialcode", Field::Code),
    ("dialled code", Field::Code), ("dialing code", Field::Code), ("destination code", Field::Code),
    ("pattern", Field::Code), ("e164", Field::Code), ("lrn prefix", Field::Code), ("breakout code", Field::Code),
    ("full code", Field::Code),
    ("country code", Field::CountryCode), ("cc", Field::CountryCode),
    ("area code", Field::AreaCode), ("area codes", Field::AreaCode), ("city code", Field::AreaCode),
    ("city codes", Field::AreaCode), ("ndc", Field::AreaCode),
    ("destination", Field::Destination), ("destination name", Field::Destination), ("code name", Field::Destination),
    ("description", Field::Destination), ("target pattern name", Field::Destination), ("comment", Field::Destination),
    ("breakout", Field::Destination), ("zone", Field::Destination), ("zone name", Field::Destination),
    ("rate", Field::Rate), ("rates", Field::Rate), ("price", Field::Rate), ("prices", Field::Rate),
    ("cost", Field::Rate), ("charge", Field::Rate), ("new rate", Field::Rate), ("new price", Field::Rate),
    ("rate cost", Field::Rate), ("current rate", Field::Rate),
    ("price 1", Field::FirstRate), ("initial rate", Field::FirstRate), ("first rate", Field::FirstRate),
    ("price n", Field::NextRate), ("next rate", Field::NextRate),
    ("inter rate", Field::InterRate), ("interrate", Field::InterRate), ("interstate", Field::InterRate),
    ("interstate rate", Field::InterRate),
    ("intra rate", Field::IntraRate), ("intrarate", Field::IntraRate), ("intrastate", Field::IntraRate),
    ("intrastate rate", Field::IntraRate),
    ("ijrate", Field::IndeterminateRate), ("indeterminate", Field::IndeterminateRate),
    ("indeterminate rate", Field::IndeterminateRate),
    ("pulse", Field::Increment), ("increment", Field::Increment), ("increments", Field::Increment),
    ("billing increment", Field::Increment), ("billing increments", Field::Increment), ("inc", Field::Increment),
    ("charge period", Field::Increment), ("billing", Field::Increment), ("rounding", Field::Increment),
    ("rate increment", Field::Increment), ("interval", Field::Increment),
    ("first interval", Field::FirstInterval), ("initial interval", Field::FirstInterval),
    ("initial increment", Field::FirstInterval), ("interval 1", Field::FirstInterval),
    ("minimum", Field::FirstInterval), ("inc minimum", Field::FirstInterval), ("inc first", Field::FirstInterval),
    ("sub interval", Field::NextInterval), ("next interval", Field::NextInterval),
    ("interval n", Field::NextInterval), ("subsequent interval", Field::NextInterval),
    ("next increment", Field::NextInterval), ("add inc", Field::NextInterval),
    ("recurring increment", Field::NextInterval), ("int", Field::NextInterval),
    ("connect fee", Field::ConnectFee), ("connection fee", Field::ConnectFee), ("connectcost", Field::ConnectFee),
    ("connection cost", Field::ConnectFee), ("connection charge call", Field::ConnectFee),
    ("connection charge", Field::ConnectFee), ("setup fee", Field::ConnectFee), ("set up fee", Field::ConnectFee),
    ("rate surcharge", Field::ConnectFee),
    ("attempt fee", Field::AttemptFee), ("disconnect fee", Field::DisconnectFee),
    ("includedseconds", Field::FreeSeconds), ("included seconds", Field::FreeSeconds),
    ("free seconds", Field::FreeSeconds),
    ("grace volume", Field::GraceSeconds), ("grace time", Field::GraceSeconds),
    ("grace period", Field::GraceSeconds), ("rate nocharge time", Field::GraceSeconds),
    ("valid from", Field::ValidFrom), ("effective date", Field::ValidFrom), ("effective from", Field::ValidFrom),
    ("effective", Field::ValidFrom), ("start date", Field::ValidFrom), ("date from", Field::ValidFrom),
    ("activation date", Field::ValidFrom), ("date effective", Field::ValidFrom),
    ("valid until", Field::ValidUntil), ("valid till", Field::ValidUntil), ("valid to", Field::ValidUntil),
    ("end date", Field::ValidUntil), ("expiration date", Field::ValidUntil), ("expiry date", Field::ValidUntil),
    ("effective until", Field::ValidUntil), ("date to", Field::ValidUntil),
    ("status", Field::Status), ("forbidden", Field::Forbidden), ("reject calls", Field::Forbidden),
    ("discontinued", Field::Discontinued),
    ("time type", Field::TimeType), ("time profile", Field::TimeType), ("time band", Field::TimeType),
    ("src code", Field::Origin), ("origin", Field::Origin), ("origin group", Field::Origin),
    ("currency", Field::Currency),
    ("rate change", Field::Change), ("change", Field::Change), ("change type", Field::Change),
    ("code change", Field::Change),
];

/// The header's words in small letters, without currency, `per minute` and signs.
fn words(header: &str) -> String {
    let lower = header.to_lowercase();
    let all: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let kept: Vec<&str> = all
        .iter()
        .copied()
        .filter(|word| !PER_MINUTE.contains(word) && !CURRENCIES.iter().any(|c| c.eq_ignore_ascii_case(word)))
        .collect();
    if kept.is_empty() { all.join(" ") } else { kept.join(" ") }
}

/// The field that a header names, if it is a known one.
fn field(header: &str) -> Option<Field> {
    let words = words(header);
    match words.as_str() {
        // JeraSoft's `Min`; elsewhere the word belongs to a price.
        "min" => return Some(Field::FirstInterval),
        "min inc" => return Some(Field::FirstInterval),
        _ => {}
    }
    let lower = header.to_lowercase();
    if lower.contains("min inc") || lower.contains("min_inc") {
        return Some(Field::FirstInterval);
    }
    NAMES.iter().find(|(name, _)| *name == words).map(|(_, field)| *field)
}

/// The currency that a header or text names as a word of its own.
pub fn currency_in(text: &str) -> Option<Currency> {
    let mut named = text
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| CURRENCIES.iter().any(|code| code.eq_ignore_ascii_case(word)));
    let first = named.next()?;
    Currency::new(first).ok().filter(|_| named.all(|other| other.eq_ignore_ascii_case(first)))
}

/// Where the header is and what its columns mean.
#[derive(Clone, Debug)]
pub struct Layout {
    pub sheet: SmolStr,
    pub header_row: u32,
    /// Column (from 0), meaning, header as written; rising by column.
    pub columns: Vec<(usize, Field, SmolStr)>,
    pub ignored: Vec<SmolStr>,
    /// From the header of the price column.
    pub currency: Option<Currency>,
    pub notice: Notice,
}

impl Layout {
    pub fn name(&self, field: Field) -> SmolStr {
        self.columns.iter().find(|(_, f, _)| *f == field).map_or_else(SmolStr::default, |(.., name)| name.clone())
    }
}

/// Walks the first rows of a sheet until one is a header.
pub struct Search<'a> {
    file: &'a str,
    sheet: SmolStr,
    template: &'a ReadOptions,
    notice: Notice,
    layout: Option<Layout>,
    /// The row with most known columns, for the message when none is a header.
    nearest: Option<(usize, String)>,
}

impl<'a> Search<'a> {
    pub fn new(file: &'a str, sheet: &str, template: &'a ReadOptions) -> Self {
        Self { file, sheet: sheet.into(), template, notice: Notice::default(), layout: None, nearest: None }
    }

    /// `false` = seen enough.
    pub fn row(&mut self, number: u32, cells: &[Cell<'_>]) -> Result<bool, DeckError> {
        let found: Vec<(usize, Field, SmolStr)> = cells
            .iter()
            .enumerate()
            .filter_map(|(at, cell)| match cell {
                Cell::Text(text) => self.meaning(text).map(|field| (at, field, SmolStr::new(text))),
                _ => None,
            })
            .collect();
        let has = |fields: &[Field]| found.iter().any(|(_, field, _)| fields.contains(field));
        let code = has(&[Field::Code]) || (has(&[Field::CountryCode]) && has(&[Field::AreaCode]));
        let price = has(&[Field::Rate, Field::FirstRate, Field::NextRate, Field::InterRate, Field::IntraRate]);
        if code && price {
            self.layout = Some(self.decide(number, cells, found)?);
            return Ok(false);
        }
        if self.nearest.as_ref().is_none_or(|(known, _)| found.len() > *known) {
            let texts: Vec<String> =
                cells.iter().filter(|cell| !cell.is_empty()).take(12).map(|cell| cell.to_string()).collect();
            if !texts.is_empty() {
                let sheet = if self.sheet.is_empty() { String::new() } else { format!("sheet {:?} ", self.sheet) };
                let text: String = texts.join(", ").chars().take(200).collect();
                self.nearest = Some((found.len(), format!("{sheet}row {number}: {text}")));
            }
        }
        notice::row(&mut self.notice, cells, self.template);
        Ok(number < SEARCH_ROWS)
    }

    pub fn found(self) -> Option<Layout> {
        self.layout
    }

    /// What the row nearest to a header says.
    pub fn nearest(&self) -> Option<String> {
        self.nearest.as_ref().filter(|_| self.layout.is_none()).map(|(_, text)| text.clone())
    }

    fn meaning(&self, header: &str) -> Option<Field> {
        let named = self.template.columns.iter().find(|(_, name)| name.eq_ignore_ascii_case(header));
        let known = named.map(|(field, _)| *field).or_else(|| field(header))?;
        // A field that the template assigns by name has no other column.
        match self.template.columns.get(&known) {
            Some(name) if !name.eq_ignore_ascii_case(header) => None,
            _ => Some(known),
        }
    }

    fn decide(
        &mut self,
        header_row: u32,
        cells: &[Cell<'_>],
        mut found: Vec<(usize, Field, SmolStr)>,
    ) -> Result<Layout, DeckError> {
        let has = |found: &[(usize, Field, SmolStr)], field| found.iter().any(|(_, f, _)| *f == field);
        // With the whole code in a column of its own, its parts are only for show.
        if has(&found, Field::Code) {
            found.retain(|(_, field, _)| !matches!(field, Field::CountryCode | Field::AreaCode));
        }
        let mut kept: Vec<(usize, Field, SmolStr)> = Vec::with_capacity(found.len());
        for (at, field, name) in found {
            match kept.iter().find(|(_, f, _)| *f == field) {
                Some(_) if field.first_counts() => {}
                Some((_, _, first)) => return Err(self.ambiguous(field, &[first, &name])),
                None => kept.push((at, field, name)),
            }
        }
        if has(&kept, Field::Rate) && (has(&kept, Field::FirstRate) || has(&kept, Field::NextRate)) {
            let prices: Vec<&SmolStr> = kept
                .iter()
                .filter(|(_, f, _)| matches!(f, Field::Rate | Field::FirstRate | Field::NextRate))
                .map(|(.., name)| name)
                .collect();
            return Err(self.ambiguous(Field::Rate, &prices));
        }
        if let Some((field, name)) = self.template.columns.iter().find(|(field, _)| !has(&kept, **field)) {
            return Err(DeckError::Template(format!(
                "column {name:?} for {field} does not stand in the header row {header_row} of {}",
                self.file
            )));
        }
        let price = |f: &Field| matches!(f, Field::Rate | Field::FirstRate | Field::NextRate | Field::InterRate);
        let currency = kept.iter().filter(|(_, f, _)| price(f)).find_map(|(.., name)| currency_in(name));
        let used: Vec<usize> = kept.iter().map(|(at, ..)| *at).collect();
        let ignored = cells.iter().enumerate().filter(|(at, cell)| !used.contains(at) && !cell.is_empty());
        Ok(Layout {
            sheet: self.sheet.clone(),
            header_row,
            ignored: ignored.map(|(_, cell)| SmolStr::new(cell.to_string())).collect(),
            columns: kept,
            currency,
            notice: std::mem::take(&mut self.notice),
        })
    }

    fn ambiguous(&self, field: Field, columns: &[&SmolStr]) -> DeckError {
        let columns: Vec<String> = columns.iter().map(|name| format!("{name:?}")).collect();
        DeckError::Ambiguous { file: self.file.to_owned(), field, columns: columns.join(" and ") }
    }
}
