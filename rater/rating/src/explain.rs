//! How a price came about: steps as data while it is computed (only where somebody asks), text on demand, and the
//! explanation of a stored xDR from what stands on it.

use facts::call::Call;
use facts::deck::Price;
use facts::money::{Amount, Rounding, format_scaled};
use facts::time::{rfc3339, seconds};
use facts::xdr::{ProvisionalSource, RateUsed, Side, Xdr};
use smol_str::SmolStr;
use std::fmt;

use crate::price::Jurisdiction;

/// One step of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Unanswered,
    /// Areas of both ends; empty where a number is in none.
    Jurisdiction {
        jurisdiction: Jurisdiction,
        caller: SmolStr,
        called: SmolStr,
    },
    Grace {
        duration: i64,
        grace: i64,
    },
    Duration {
        from: i64,
        to: i64,
        rule: Rounding,
    },
    Capped {
        to: i64,
    },
    Raised {
        to: i64,
    },
    Free {
        free: i64,
    },
    Fee {
        name: &'static str,
        fee: Price,
    },
    Time {
        seconds: i64,
        increment: i64,
        rate: Price,
        per: u32,
    },
    Bound {
        name: &'static str,
        bound: Price,
    },
    Exchange {
        rate: i64,
    },
    Rounded {
        rule: Rounding,
        decimals: u8,
        net: Amount,
    },
    Taxed {
        percent: i64,
        gross: Amount,
    },
    /// One of several taxes: its share of the exact net.
    Tax {
        name: SmolStr,
        percent: i64,
        amount: Amount,
        decimals: u8,
    },
}

/// Whoever wants to hear the steps. `()` hears nothing and costs nothing.
pub trait Trace {
    fn note(&mut self, step: impl FnOnce() -> Note);
}

impl Trace for () {
    fn note(&mut self, _: impl FnOnce() -> Note) {}
}

impl Trace for Vec<Note> {
    fn note(&mut self, step: impl FnOnce() -> Note) {
        self.push(step());
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jurisdiction { jurisdiction, caller, called } => {
                let area = |name: &'_ SmolStr| if name.is_empty() { "no known area".into() } else { name.clone() };
                write!(f, "{}: from {} to {}", jurisdiction.word(), area(caller), area(called))
            }
            Self::Unanswered => write!(f, "not answered: no time is charged"),
            Self::Grace { duration, grace } => {
                write!(f, "{} s is shorter than the grace time of {} s: free", seconds(*duration), seconds(*grace))
            }
            Self::Duration { from, to, .. } if from == to => write!(f, "{} s", seconds(*from)),
            Self::Duration { from, to, rule } => {
                write!(f, "{} s rounded {} to {} s", seconds(*from), way(*rule), seconds(*to))
            }
            Self::Capped { to } => write!(f, "no more than {} s are charged", seconds(*to)),
            Self::Raised { to } => write!(f, "at least {} s are charged", seconds(*to)),
            Self::Free { free } => write!(f, "the first {} s are free", seconds(*free)),
            Self::Fee { name, fee } => write!(f, "{name} {fee}"),
            Self::Time { seconds, increment, rate, per }
                if seconds == increment || seconds % increment.max(&1) != 0 =>
            {
                write!(f, "{seconds} s at {rate} per {}", per_text(*per))
            }
            Self::Time { seconds, increment, rate, per } => {
                write!(
                    f,
                    "{seconds} s ({} x {increment} s) at {rate} per {}",
                    seconds / increment.max(&1),
                    per_text(*per)
                )
            }
            Self::Bound { name, bound } => write!(f, "{name} {bound} applies"),
            Self::Exchange { rate } => write!(f, "times {} (exchange rate)", format_scaled(i128::from(*rate), 8, 0)),
            Self::Rounded { rule: Rounding::None, net, .. } => write!(f, "exact to 12 decimals: {net}"),
            Self::Rounded { rule, decimals, net } => {
                write!(f, "rounded {} at {decimals} decimals: {net}", way(*rule))
            }
            Self::Taxed { percent, gross } => {
                write!(f, "with {} % tax: {gross}", format_scaled(i128::from(*percent), 4, 0))
            }
            Self::Tax { name, percent, amount, decimals } => {
                let (percent, amount) =
                    (format_scaled(i128::from(*percent), 4, 0), amount.display(u32::from(*decimals)));
                write!(f, "{name} {percent} % of the exact net: {amount}")
            }
        }
    }
}

fn per_text(per: u32) -> String {
    if per == 60 { "minute".to_owned() } else { format!("{per} s") }
}

fn way(rule: Rounding) -> &'static str {
    match rule {
        Rounding::Up => "up",
        Rounding::Down => "down",
        Rounding::HalfUp => "half up",
        Rounding::HalfEven => "half to even",
        Rounding::None => "not at all",
    }
}

/// The row that a price came from: its code and what tells it from others of that code.
pub(crate) fn row(used: &RateUsed) -> String {
    let mut text = if used.prefix.is_empty() { "every code".to_owned() } else { format!("code {}", used.prefix) };
    if !used.destination.is_empty() {
        text.push_str(&format!(", {}", used.destination));
    }
    text.push_str(&format!(", {}/{}", used.first_interval, used.next_interval));
    for (word, name) in [("band", &used.time_band), ("origin", &used.origin)] {
        if !name.is_empty() {
            text.push_str(&format!(", {word} {name}"));
        }
    }
    if let Some(from) = used.valid_from {
        text.push_str(&format!(", valid from {}", rfc3339(from)));
    }
    text
}

/// The explanation of a stored xDR, line by line, from the facts that stand on it. Settings that stand only in the
/// deck or agreement (bounds, grace, steps) are not on the xDR: the last line then says what was booked.
pub fn explain(xdr: &Xdr, call: &Call) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(match xdr.side {
        Side::Sell => format!("sold to {} (level {}) at {}", xdr.account, xdr.level, rfc3339(xdr.rated_at.micros())),
        Side::Buy => format!("bought from {} at {}", xdr.account, rfc3339(xdr.rated_at.micros())),
    });
    if let Some(number) = call.called_number {
        lines.push(format!("number rated: {number}"));
    }
    if let Some(rate) = &xdr.rate {
        lines.push(format!("deck {} version {}, {}", rate.deck, rate.deck_version, row(rate)));
    }
    let answered = match xdr.attempt {
        Some(at) => call.attempts.get(usize::from(at)).is_some_and(|attempt| attempt.answered_at.is_some()),
        None => call.answered(),
    };
    if !answered {
        lines.push(Note::Unanswered.to_string());
    } else {
        let rounded = crate::price::round_duration(xdr.duration_rounding, xdr.duration).unwrap_or(xdr.duration);
        lines.push(Note::Duration { from: xdr.duration, to: rounded, rule: xdr.duration_rounding }.to_string());
        lines.push(format!("{} s billed", seconds(xdr.billed)));
        if let Some(rate) = &xdr.rate {
            lines.extend(intervals(xdr, rate));
        }
    }
    if xdr.exchange_rate != crate::price::SAME_CURRENCY {
        lines.push(format!("{} ({})", Note::Exchange { rate: xdr.exchange_rate }, xdr.exchange_source));
    }
    if let Some(reason) = xdr.unrated {
        lines.push(format!("not priced: {}", reason.as_str()));
    }
    lines.push(match xdr.provisional {
        Some(source) => format!("provisional {} {} ({})", xdr.amount, xdr.currency, source_text(source)),
        None => format!(
            "{} {}",
            Note::Rounded { rule: xdr.rounding, decimals: xdr.decimals, net: xdr.amount },
            xdr.currency
        ),
    });
    if xdr.gross != xdr.amount {
        lines.push(format!("charged with tax: {} {}", xdr.gross, xdr.currency));
    }
    lines
}

fn intervals(xdr: &Xdr, rate: &RateUsed) -> Vec<String> {
    let mut lines = Vec::new();
    if rate.connect_fee.0 != 0 {
        lines.push(Note::Fee { name: "connect fee", fee: rate.connect_fee }.to_string());
    }
    let (billed, first, next) = (xdr.billed / 1_000_000, i64::from(rate.first_interval), i64::from(rate.next_interval));
    if billed > 0 && first > 0 {
        lines.push(Note::Time { seconds: first, increment: first, rate: rate.first_rate, per: 60 }.to_string());
    }
    if billed > first {
        lines.push(Note::Time { seconds: billed - first, increment: next, rate: rate.next_rate, per: 60 }.to_string());
    }
    lines
}

/// Where a provisional amount comes from, in words.
pub fn source_text(source: ProvisionalSource) -> &'static str {
    match source {
        ProvisionalSource::Held => "the amount held for the call",
        ProvisionalSource::LastKnown => "the code's last known rate",
        ProvisionalSource::DearestOfCountry => "the dearest rate of that country in the deck",
        ProvisionalSource::DearestOfDeck => "the dearest rate of the deck",
        ProvisionalSource::DearestOfAll => "the dearest rate of all decks in the base currency",
        ProvisionalSource::NoDeck => "no deck to take a price from",
    }
}
