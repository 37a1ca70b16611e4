//! Rate decks: immutable numbered sets of rates, and the settings that pricing reads beside them (design 4, 13).

use crate::money::{Currency, parse_scaled};
use crate::number::Prefix;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;

/// Decimals of a rate or fee.
pub const RATE_SCALE: u32 = 10;

/// A price per minute (or a fee) in units of 10^-10 of the deck's currency. Negative = reverse billing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(pub i64);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::money::format_scaled(i128::from(self.0), RATE_SCALE, 0))
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Price {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_scaled(text, RATE_SCALE)
            .and_then(|v| i64::try_from(v).ok())
            .map(Self)
            .ok_or_else(|| format!("price {text:?} is not a decimal number with at most 10 decimals"))
    }
}

impl Serialize for Price {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// State of a row (design 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    #[default]
    Open,
    /// The row ends; the shorter prefix takes over.
    Discontinued,
    /// Refuse the call; if it happened all the same it is `Unrated(blocked)`.
    Blocked,
}

/// What an origin row does to the row without origin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginMode {
    #[default]
    Replace,
    Add,
}

/// One step of a stepped tariff: from this billed second on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Microseconds billed before this step begins.
    pub from: i64,
    pub rate: Price,
    /// Seconds that `rate` is for.
    pub per: u32,
    /// Seconds.
    pub increment: u32,
}

/// Settings that may stand on row, deck or agreement; the nearest wins, `None` looks further out (design 4.8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Shorter calls are free (microseconds).
    pub grace: Option<i64>,
    /// Least duration billed (microseconds).
    pub minimum_duration: Option<i64>,
    /// Most duration billed (microseconds).
    pub maximum_duration: Option<i64>,
    pub minimum_amount: Option<Price>,
    pub maximum_amount: Option<Price>,
    pub attempt_fee: Option<Price>,
    pub disconnect_fee: Option<Price>,
}

impl Settings {
    /// What these leave open is that of the place further out.
    pub fn or(self, outer: &Self) -> Self {
        Self {
            grace: self.grace.or(outer.grace),
            minimum_duration: self.minimum_duration.or(outer.minimum_duration),
            maximum_duration: self.maximum_duration.or(outer.maximum_duration),
            minimum_amount: self.minimum_amount.or(outer.minimum_amount),
            maximum_amount: self.maximum_amount.or(outer.maximum_amount),
            attempt_fee: self.attempt_fee.or(outer.attempt_fee),
            disconnect_fee: self.disconnect_fee.or(outer.disconnect_fee),
        }
    }
}

/// One row of a deck.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Rate {
    pub prefix: Prefix,
    /// The breakout's name.
    pub destination: SmolStr,
    pub connect_fee: Price,
    /// Seconds; 0 = there is none.
    pub first_interval: u32,
    /// Per minute.
    pub first_rate: Price,
    /// Seconds, at least 1.
    pub next_interval: u32,
    /// Per minute.
    pub next_rate: Price,
    pub inter_rate: Option<Price>,
    pub intra_rate: Option<Price>,
    pub indeterminate_rate: Option<Price>,
    /// Microseconds since the epoch, inclusive; `None` = always.
    pub valid_from: Option<i64>,
    /// Exclusive; `None` = open.
    pub valid_until: Option<i64>,
    pub time_band: Option<SmolStr>,
    pub origin: Option<SmolStr>,
    pub origin_mode: OriginMode,
    pub status: RowStatus,
    /// Free time at the start, microseconds.
    pub free: i64,
    pub steps: Vec<Step>,
    pub settings: Settings,
}

impl Rate {
    /// A row at one rate: `first`/`next` seconds at `rate` a minute, valid always.
    pub fn simple(prefix: Prefix, destination: &str, first: u32, next: u32, rate: Price) -> Self {
        Self {
            prefix,
            destination: destination.into(),
            connect_fee: Price(0),
            first_interval: first,
            first_rate: rate,
            next_interval: next,
            next_rate: rate,
            inter_rate: None,
            intra_rate: None,
            indeterminate_rate: None,
            valid_from: None,
            valid_until: None,
            time_band: None,
            origin: None,
            origin_mode: OriginMode::Replace,
            status: RowStatus::Open,
            free: 0,
            steps: Vec::new(),
            settings: Settings::default(),
        }
    }
}

/// What happens to the price when a call crosses into another time band (design 4.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BandCrossing {
    #[default]
    Split,
    Start,
}

/// How the intervals are laid out (design 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalRule {
    #[default]
    Anchored,
    RoundTotal,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatedNumber {
    #[default]
    Dialled,
    Lrn,
}

/// Which of a row's jurisdictional rates an indeterminate call pays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Indeterminate {
    Inter,
    Intra,
    #[default]
    Dearer,
}

/// Which number tells whether a call stays within a US state, where the event does not say it itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JurisdictionFrom {
    /// The routing number.
    #[default]
    Rn,
    Dialled,
}

/// A named part of the week in the deck's zone.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TimeBand {
    pub name: SmolStr,
    /// `mon` to `sun`, `holiday`.
    pub days: Vec<SmolStr>,
    /// Minutes of the day, 0 to 1440.
    pub from: u16,
    /// Exclusive; less than `from` = runs into the next day.
    pub until: u16,
}

/// `08:30` as minutes of the day; `24:00` is its end. `None` for anything else.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |part: &str| -> Option<u16> {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60).then(|| hours * 60 + minutes).filter(|all| *all <= 1_440)
}

/// A named set of callers' prefixes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct OriginGroup {
    pub name: SmolStr,
    pub prefixes: Vec<Prefix>,
    /// The group of absent, too short, too long or non-numeric callers.
    pub malformed: bool,
}

/// The deck without its rows.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct DeckTerms {
    pub currency: Currency,
    /// IANA name; time bands are read in it.
    pub time_zone: SmolStr,
    /// IANA name; dates without a time begin at its midnight.
    pub effective_zone: SmolStr,
    /// `YYYY-MM-DD`.
    pub holidays: Vec<SmolStr>,
    pub band_crossing: BandCrossing,
    pub interval_rule: IntervalRule,
    pub rated_number: RatedNumber,
    pub indeterminate: Indeterminate,
    pub time_bands: Vec<TimeBand>,
    pub origin_groups: Vec<OriginGroup>,
    pub settings: Settings,
    pub jurisdiction_from: JurisdictionFrom,
}

impl DeckTerms {
    pub fn new(currency: Currency) -> Self {
        Self {
            currency,
            time_zone: SmolStr::new_static("UTC"),
            effective_zone: SmolStr::new_static("UTC"),
            holidays: Vec::new(),
            band_crossing: BandCrossing::default(),
            interval_rule: IntervalRule::default(),
            rated_number: RatedNumber::default(),
            indeterminate: Indeterminate::default(),
            time_bands: Vec::new(),
            origin_groups: Vec::new(),
            settings: Settings::default(),
            jurisdiction_from: JurisdictionFrom::default(),
        }
    }
}

/// An immutable, numbered set of rates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateDeck {
    pub id: SmolStr,
    /// Counts up from 1 per deck id.
    pub version: u32,
    pub terms: DeckTerms,
    /// Sorted by prefix, origin, time band, `valid_from`.
    pub rates: Vec<Rate>,
}
