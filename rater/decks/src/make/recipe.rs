//! A recipe: how a sell deck is made of buy decks, as TOML that is kept and used again. Reads text; opens no file.
//! Every field is described in docs/guides/selling.md.

use super::MakeError;
use crate::template::parse_increment;
use facts::deck::{Price, RATE_SCALE};
use facts::{Currency, Prefix};
use serde::Deserialize;
use smol_str::SmolStr;

/// 100 % in 10^-4 of a percent.
pub const WHOLE: i64 = 1_000_000;
/// Longest call that a recipe can speak of, seconds: a day.
const SECONDS_MAX: u32 = 86_400;
/// Durations and weights of a profile.
const PROFILE_MAX: usize = 1_000;
const WEIGHT_MAX: u32 = 1_000_000;

/// Which vendor's cost counts for a number, vendors being in the order of what they cost over the profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// 1 = the cheapest.
    Nth(u32),
    /// The mean of what the cheapest so many cost.
    AverageOf(u32),
}

impl Position {
    /// Vendors that it takes.
    pub fn vendors(self) -> usize {
        let (Self::Nth(count) | Self::AverageOf(count)) = self;
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

/// What happens to numbers that fewer vendors take than the position asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FewerVendors {
    /// The dearest there is counts; an average is of those there are.
    #[default]
    Last,
    /// They count as taken by nobody.
    LeaveOut,
}

/// Of what the percentage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarginOf {
    /// 20 % on 1.00 sells at 1.20.
    #[default]
    Cost,
    /// 20 % on 1.00 sells at 1.25.
    Price,
}

/// What is earned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Margin {
    /// 10^-4 of a percent; at least 0, of the price below 100 %.
    pub percent: i64,
    pub of: MarginOf,
    /// Per billed minute, added to the percentage.
    pub amount: Price,
    /// Per billed minute: never less above cost.
    pub minimum: Price,
}

impl Margin {
    /// Cost times this is what the percentage asks for.
    pub fn factor(self) -> (i128, i128) {
        let (whole, percent) = (i128::from(WHOLE), i128::from(self.percent));
        match self.of {
            MarginOf::Cost => (whole + percent, whole),
            MarginOf::Price => (whole, whole - percent),
        }
    }
}

/// For which calls the price covers its cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FloorBy {
    /// Each single call, however long.
    #[default]
    EveryCall,
    /// The calls of the profile together; short ones may cost more than they bring.
    Profile,
}

/// Which of a vendor's rows for one number count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conditions {
    /// Whoever calls and whenever: the dearest of the rows that callers' origins, hours and jurisdiction may choose.
    #[default]
    Worst,
    /// Rows for all callers at all hours, where the vendor has one.
    Plain,
}

/// What becomes of vendors' connect fees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectFee {
    /// The sell row has one too.
    #[default]
    PassOn,
    /// The rate covers it.
    InRate,
}

/// What becomes of vendors' attempt fees, which calls without an answer pay too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptFee {
    /// The sell row has one too.
    #[default]
    PassOn,
    /// The rate of answered calls covers those of all calls, by the recipe's answer ratio.
    InRate,
}

/// When a code ends that is sold no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closings {
    /// After the customers' notice, as an increase.
    #[default]
    AfterNotice,
    /// With the other changes.
    AtOnce,
}

/// What becomes of a code that no vendor takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutVendor {
    /// A blocked row: a shorter code does not take its numbers.
    #[default]
    Blocked,
    /// No row.
    LeftOut,
}

/// First and next interval of the sell rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Increments {
    Fixed(u32, u32),
    /// Those of the row that costs most among those that count.
    Vendor,
}

/// Codes that are sold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum CodeSet {
    /// Every code of the buy decks.
    #[default]
    Buy,
    /// Those that the sell deck has.
    Own,
    /// Those of another deck, with its names of destinations.
    Deck(SmolStr),
}

/// Another margin, another position or a block for some codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Codes that begin so.
    pub code: Option<Prefix>,
    /// Destinations whose name begins so; one that names a code stands above it.
    pub destination: Option<SmolStr>,
    pub margin: Margin,
    pub position: Position,
    pub blocked: bool,
}

/// How a sell deck is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipe {
    pub deck: SmolStr,
    /// Decks that are bought by; the first names the destinations.
    pub buy: Vec<SmolStr>,
    pub codes: CodeSet,
    /// Of a sell deck that does not exist yet.
    pub currency: Option<Currency>,
    pub position: Position,
    pub fewer_vendors: FewerVendors,
    pub margin: Margin,
    pub increments: Increments,
    pub floor: FloorBy,
    /// Seconds and weight, ascending.
    pub profile: Vec<(u32, u32)>,
    pub shortest: u32,
    pub longest: u32,
    /// Decimals of prices, rounded up.
    pub decimals: u32,
    /// Last digits that a price may have; empty = any.
    pub endings: Vec<u8>,
    pub conditions: Conditions,
    pub connect_fee: ConnectFee,
    pub attempt_fee: AttemptFee,
    /// Answered calls of all, in 10^-4 of a percent; above 0.
    pub answer_ratio: i64,
    pub closings: Closings,
    pub without_vendor: WithoutVendor,
    pub blocked: Vec<Prefix>,
    pub exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    deck: SmolStr,
    buy: Vec<SmolStr>,
    codes: Option<SmolStr>,
    currency: Option<Currency>,
    position: Option<u32>,
    average_of: Option<u32>,
    #[serde(default)]
    fewer_vendors: FewerVendors,
    #[serde(default)]
    margin: MarginText,
    increment: SmolStr,
    #[serde(default)]
    floor: FloorBy,
    profile: Option<Vec<(u32, u32)>>,
    shortest_seconds: Option<u32>,
    longest_seconds: Option<u32>,
    decimals: Option<u32>,
    #[serde(default)]
    endings: Vec<u8>,
    #[serde(default)]
    rows: Conditions,
    #[serde(default)]
    connect_fee: ConnectFee,
    #[serde(default)]
    attempt_fee: AttemptFee,
    answer_ratio: Option<String>,
    #[serde(default)]
    closings: Closings,
    #[serde(default)]
    without_vendor: WithoutVendor,
    #[serde(default)]
    blocked: Vec<Prefix>,
    #[serde(default, rename = "exception")]
    exceptions: Vec<ExceptionText>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarginText {
    percent: Option<String>,
    of: Option<MarginOf>,
    amount: Option<Price>,
    minimum: Option<Price>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionText {
    code: Option<Prefix>,
    destination: Option<SmolStr>,
    margin: Option<MarginText>,
    position: Option<u32>,
    average_of: Option<u32>,
    #[serde(default)]
    blocked: bool,
}

/// Calls by duration, where a recipe names none: many short ones, some long.
const PROFILE: [(u32, u32); 7] = [(10, 10), (30, 20), (60, 25), (120, 20), (300, 15), (900, 8), (3_600, 2)];

impl Recipe {
    /// Reads a recipe; the message names the field at fault.
    pub fn parse(text: &str) -> Result<Self, MakeError> {
        let text: Text = toml::from_str(text).map_err(|error| fault(error.to_string().trim()))?;
        let margin = margin(&text.margin, Margin::default())?;
        let position = position(text.position, text.average_of)?.unwrap_or(Position::Nth(1));
        let exceptions = text.exceptions.iter().map(|exception| exception_of(exception, margin, position));
        let recipe = Self {
            codes: match text.codes.as_deref() {
                None | Some("buy") => CodeSet::Buy,
                Some("own") => CodeSet::Own,
                Some(deck) => CodeSet::Deck(deck.into()),
            },
            increments: increments(&text.increment)?,
            exceptions: exceptions.collect::<Result<_, _>>()?,
            margin,
            position,
            deck: text.deck,
            buy: text.buy,
            currency: text.currency,
            fewer_vendors: text.fewer_vendors,
            floor: text.floor,
            profile: text.profile.unwrap_or_else(|| PROFILE.to_vec()),
            shortest: text.shortest_seconds.unwrap_or(1),
            longest: text.longest_seconds.unwrap_or(14_400),
            decimals: text.decimals.unwrap_or(4),
            endings: text.endings,
            conditions: text.rows,
            connect_fee: text.connect_fee,
            answer_ratio: answer_ratio(text.answer_ratio.as_deref(), text.attempt_fee)?,
            attempt_fee: text.attempt_fee,
            closings: text.closings,
            without_vendor: text.without_vendor,
            blocked: text.blocked,
        };
        recipe.checked()
    }

    fn checked(mut self) -> Result<Self, MakeError> {
        let say = |reason: &str| Err(fault(reason));
        if self.buy.is_empty() || self.deck.is_empty() {
            return say("deck and buy: name the sell deck and at least one buy deck");
        }
        if self.buy.contains(&self.deck) {
            return say("buy: a deck cannot be made from itself");
        }
        if self.shortest == 0 || self.longest < self.shortest || self.longest > SECONDS_MAX {
            return say("shortest_seconds, longest_seconds: from 1 to 86400, the shortest first");
        }
        self.profile.sort_unstable();
        let bounds =
            |(seconds, weight): &(u32, u32)| (1..=SECONDS_MAX).contains(seconds) && (1..=WEIGHT_MAX).contains(weight);
        if self.profile.is_empty() || self.profile.len() > PROFILE_MAX || !self.profile.iter().all(bounds) {
            return say("profile: up to 1000 pairs [seconds, weight], seconds up to 86400, weights up to 1000000");
        }
        if self.decimals > RATE_SCALE || self.endings.iter().any(|digit| *digit > 9) {
            return say("decimals, endings: at most 10 decimals, endings are digits 0 to 9");
        }
        Ok(self)
    }

    /// The exception that counts for a code: the longest code that it begins with, else the longest beginning of its
    /// destination's name.
    pub fn exception(&self, prefix: Prefix, destination: &str) -> Option<&Exception> {
        let by_code = self.exceptions.iter().filter_map(|exception| {
            let code = exception.code.filter(|code| prefix.truncate(code.len()) == *code)?;
            let named = exception.destination.as_ref().is_none_or(|name| destination.starts_with(name.as_str()));
            named.then_some((code.len(), exception))
        });
        let by_name = || {
            self.exceptions.iter().filter(|exception| exception.code.is_none()).filter_map(|exception| {
                let name = exception.destination.as_ref()?;
                destination.starts_with(name.as_str()).then_some((name.len(), exception))
            })
        };
        let best = by_code.max_by_key(|(len, _)| *len).or_else(|| by_name().max_by_key(|(len, _)| *len));
        best.map(|(_, exception)| exception)
    }
}

fn fault(reason: &str) -> MakeError {
    MakeError::Recipe(reason.to_owned())
}

fn increments(text: &str) -> Result<Increments, MakeError> {
    if text == "vendor" {
        return Ok(Increments::Vendor);
    }
    let read = parse_increment(text).filter(|(first, next)| *first <= SECONDS_MAX && *next <= SECONDS_MAX);
    let (first, next) = read.ok_or_else(|| fault("increment: two numbers of seconds as \"60/1\", or \"vendor\""))?;
    Ok(Increments::Fixed(first, next))
}

fn position(nth: Option<u32>, average: Option<u32>) -> Result<Option<Position>, MakeError> {
    match (nth, average) {
        (None, None) => Ok(None),
        (Some(nth), None) if nth > 0 => Ok(Some(Position::Nth(nth))),
        (None, Some(count)) if count > 0 => Ok(Some(Position::AverageOf(count))),
        _ => Err(fault("position, average_of: one of them, at least 1")),
    }
}

/// Percent of the calls that are answered; needed where the rate has to cover the others.
fn answer_ratio(text: Option<&str>, attempt_fee: AttemptFee) -> Result<i64, MakeError> {
    let Some(text) = text else {
        return match attempt_fee {
            AttemptFee::PassOn => Ok(WHOLE),
            AttemptFee::InRate => Err(fault(
                "answer_ratio: with attempt_fee = \"in-rate\" say how many of a hundred calls are answered, as \"45\"",
            )),
        };
    };
    let percent = facts::money::parse_scaled(text, 4).and_then(|percent| i64::try_from(percent).ok());
    percent.filter(|percent| (1..=WHOLE).contains(percent)).ok_or_else(|| {
        fault("answer_ratio: a decimal number in quotes above 0 and at most 100, with at most 4 decimals")
    })
}

/// What a margin does not name is that of `else`.
fn margin(text: &MarginText, otherwise: Margin) -> Result<Margin, MakeError> {
    let percent = match &text.percent {
        None => otherwise.percent,
        Some(text) => facts::money::parse_scaled(text, 4)
            .and_then(|percent| i64::try_from(percent).ok())
            .ok_or_else(|| fault("margin.percent: a decimal number in quotes with at most 4 decimals"))?,
    };
    let margin = Margin {
        percent,
        of: text.of.unwrap_or(otherwise.of),
        amount: text.amount.unwrap_or(otherwise.amount),
        minimum: text.minimum.unwrap_or(otherwise.minimum),
    };
    let most = if margin.of == MarginOf::Price { WHOLE - 1 } else { 1_000 * WHOLE };
    if !(0..=most).contains(&margin.percent) || margin.amount.0 < 0 || margin.minimum.0 < 0 {
        return Err(fault(
            "margin: percent, amount and minimum are at least 0, a percentage of the price is below 100",
        ));
    }
    Ok(margin)
}

fn exception_of(text: &ExceptionText, otherwise: Margin, place: Position) -> Result<Exception, MakeError> {
    if text.code.is_none() && text.destination.is_none() {
        return Err(fault("exception: name a code or the beginning of a destination's name"));
    }
    Ok(Exception {
        code: text.code,
        destination: text.destination.clone(),
        margin: text.margin.as_ref().map_or(Ok(otherwise), |text| margin(text, otherwise))?,
        position: position(text.position, text.average_of)?.unwrap_or(place),
        blocked: text.blocked,
    })
}
