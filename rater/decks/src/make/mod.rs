//! A sell deck made of buy decks, with the reason of each price. Code sets of different lengths are brought to one: the
//! numbers of a sell code are cut into cells within which every vendor has one row, each cell is costed by the LCR
//! position asked for, and the dearest cell makes the price. Floors are charges, not rates: increments and fees count.
//!
//! Never reads a clock or a file, never rounds a price down.

mod cells;
mod durations;
mod offer;
mod price;
mod proof;
mod ratio;
mod recipe;
mod rounds;
#[cfg(test)]
mod tests;

pub use recipe::{AttemptFee, Closings, CodeSet, Margin, MarginOf, Position, Recipe};
pub use rounds::Rounds;

use crate::life::Rows;
use facts::Prefix;
use facts::deck::{IntervalRule, Price, Rate, Settings};
use smol_str::SmolStr;

/// Why no deck could be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MakeError {
    /// Names the field.
    #[error("recipe: {0}")]
    Recipe(String),
    #[error("the price of code {prefix} exceeds the range of prices; look at the vendors' rates and the increments")]
    Range { prefix: Prefix },
}

/// A deck that is bought by.
#[derive(Clone, Copy)]
pub struct Buy<'a> {
    pub name: &'a SmolStr,
    /// Rows with the deck's own settings (grace, least amount, ...) where the row names none.
    pub rows: &'a Rows,
    pub rule: IntervalRule,
    /// Calls that run from one of its hours into another are billed by both.
    pub split: bool,
    /// Units of the sell deck's currency for one of this deck's, in 10^-8.
    pub exchange: i64,
    /// How the agreements round by which it is bought; none = amounts stay exact.
    pub rounds: &'a [Rounds],
}

/// How the deck is sold.
#[derive(Clone, Copy)]
pub struct Selling<'a> {
    /// From when the rows count; microseconds since the epoch.
    pub effective: i64,
    pub rule: IntervalRule,
    /// How the agreements round by which it is sold; none = amounts stay exact.
    pub rounds: &'a [Rounds],
}

/// A code that is to be sold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code {
    pub prefix: Prefix,
    pub destination: SmolStr,
}

/// What decided a price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Percentage and amount.
    Margin,
    /// The least margin.
    Minimum,
    /// Percentage, amount or the least margin, behind the roundings of the agreements.
    Rounding,
    /// The recipe blocks it.
    Blocked,
    /// No vendor takes any of its numbers, or fewer than were asked for.
    NoVendor,
}

impl Rule {
    /// The word on screens and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Margin => "margin",
            Self::Minimum => "minimum margin",
            Self::Rounding => "margin behind rounding",
            Self::Blocked => "blocked by the recipe",
            Self::NoVendor => "no vendor",
        }
    }
}

/// The vendor's row that decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decider {
    pub vendor: SmolStr,
    /// Beginning of the numbers that cost most.
    pub cell: Prefix,
    /// The vendor's code for them.
    pub code: Prefix,
    pub first_rate: Price,
    pub next_rate: Price,
    pub first_interval: u32,
    pub next_interval: u32,
    /// Connect fee and attempt fee, those of the origin among them.
    pub connect_fee: Price,
    pub attempt_fee: Price,
    /// Group of callers whose row or surcharge this is.
    pub origin: Option<SmolStr>,
    /// A minute, in the rates already.
    pub surcharge: Price,
    /// Duration at which the price is as low as it may be; 0 = the profile as a whole.
    pub seconds: u32,
    /// Least rate a minute that covers the cost, without any margin, rounded up to 10^-10.
    pub cost: Price,
}

/// Why a row is as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    pub prefix: Prefix,
    pub destination: SmolStr,
    /// Microseconds since the epoch.
    pub from: i64,
    /// Exclusive; `OPEN` = no end.
    pub until: i64,
    pub rule: Rule,
    pub decider: Option<Decider>,
    /// Cells of the code that a vendor takes, and that none does.
    pub cells: u64,
    pub without_vendor: u64,
    /// The price; zero of blocked rows.
    pub price: Price,
}

/// A sell deck with its reasons, row by row in the same order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Made {
    pub rates: Vec<Rate>,
    pub whys: Vec<Why>,
    /// Codes of vendors whose numbers no sell code takes.
    pub not_sold: u64,
    /// Codes left out because no vendor takes them.
    pub left_out: u64,
    /// Rows of vendors that are not in any cost: surcharges by origin where only plain rows count, reverse billing.
    pub surcharges: u64,
    pub reverse: u64,
    /// Rows of vendors with an attempt fee, which the recipe passes on or puts into the rate.
    pub attempt_fees: u64,
}

/// Makes the rows that count from then on, steps of the future included. `codes` sorted by prefix.
pub fn make(recipe: &Recipe, buys: &[Buy<'_>], codes: &[Code], selling: &Selling<'_>) -> Result<Made, MakeError> {
    let mut made = Made::default();
    offer::count_left_out(buys, recipe.conditions, selling.effective, &mut made);
    let codes = with_blocked(recipe, codes);
    cells::Walk::new(recipe, buys, &codes, selling).run(&mut made)?;
    Ok(made)
}

/// The codes that are sold and those that the recipe blocks, which may be longer.
fn with_blocked(recipe: &Recipe, codes: &[Code]) -> Vec<Code> {
    let mut all = codes.to_vec();
    let excepted = recipe.exceptions.iter().filter(|exception| exception.blocked).filter_map(|x| x.code);
    for prefix in recipe.blocked.iter().copied().chain(excepted) {
        let within = codes.iter().rev().find(|code| prefix.truncate(code.prefix.len()) == code.prefix);
        let destination = within.map_or_else(|| SmolStr::new_static("blocked"), |code| code.destination.clone());
        all.push(Code { prefix, destination });
    }
    all.sort_by_key(|code| code.prefix);
    all.dedup_by_key(|code| code.prefix);
    all
}

/// Rows that carry the deck's own settings where they name none.
pub fn with_settings(rows: Rows, settings: &Settings) -> Rows {
    if *settings == Settings::default() {
        return rows;
    }
    Rows::of(rows.rates().into_iter().map(|rate| {
        let settings = rate.settings.or(settings);
        Rate { settings, ..rate }
    }))
}

/// Every code of these decks that is in force at `effective` or later, named as the first deck names it that has it.
pub fn union(buys: &[Buy<'_>], effective: i64) -> Vec<Code> {
    let mut codes: Vec<Code> = Vec::new();
    for buy in buys {
        let live = buy.rows.iter().filter(|row| row.row.until > effective);
        codes.extend(live.map(|row| Code { prefix: row.prefix(), destination: row.destination().clone() }));
    }
    // Stable: of equal codes the first deck's stays.
    codes.sort_by_key(|code| code.prefix);
    codes.dedup_by_key(|code| code.prefix);
    codes
}
