//! Sentences about increments without a pair of numbers: "30 seconds minimum, 6 second increments", "billed per
//! second". Reads one sentence; knows no destinations.

use super::{Token, is_minute, is_second};
use crate::options::Increment;

/// What a sentence without a pair of numbers says.
pub(super) enum Sentence {
    Nothing,
    Unclear,
    All(Increment),
}

/// `30 seconds minimum, 6 second increments`; `billed per second`; `full minute`; `6 second increments`.
pub(super) fn sentence(tokens: &[Token]) -> Sentence {
    let (mut first, mut next, mut clash) = (None, None, false);
    let mut set = |slot: &mut Option<u32>, value: u32| match *slot {
        Some(known) if known != value => clash = true,
        _ => *slot = Some(value),
    };
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.to_lowercase(),
        _ => String::new(),
    };
    for (at, token) in tokens.iter().enumerate() {
        let Token::Number(number) = token else { continue };
        let unit = word(at + 1);
        let seconds = if is_second(&unit) {
            *number
        } else if is_minute(&unit) && *number <= 10 {
            *number * 60
        } else {
            continue;
        };
        let near = |from: usize, to: usize| (from..to).map(word).find_map(|word| role(&word));
        let role =
            near(at + 2, at + 5).or_else(|| (at.saturating_sub(4)..at).rev().map(word).find_map(|word| role(&word)));
        match role {
            Some(Role::First) => set(&mut first, seconds),
            Some(Role::Next) => set(&mut next, seconds),
            None => {}
        }
    }
    let number_said = tokens.iter().any(|token| matches!(token, Token::Number(_)));
    match (clash, first, next) {
        (true, ..) => Sentence::Unclear,
        (_, Some(first), Some(next)) if next > 0 => Sentence::All((first, next)),
        (_, None, Some(next)) if next > 0 => Sentence::All((next, next)),
        (_, Some(_), _) | (_, _, Some(_)) => Sentence::Unclear,
        (_, None, None) => by_unit(tokens, number_said),
    }
}

#[derive(Clone, Copy)]
enum Role {
    First,
    Next,
}

fn role(word: &str) -> Option<Role> {
    match word {
        "minimum" | "minimal" | "min" | "initial" | "first" | "initially" | "mindestens" => Some(Role::First),
        "increment" | "increments" | "thereafter" | "subsequent" | "additional" | "after" | "next" | "every"
        | "steps" | "intervals" | "interval" | "pulse" | "pulses" | "following" | "afterwards" | "rounding" => {
            Some(Role::Next)
        }
        _ => None,
    }
}

/// `billed per second`, `per second billing`, `rounded up to the full minute`; `rates are per minute` says nothing.
fn by_unit(tokens: &[Token], number_said: bool) -> Sentence {
    let words: Vec<String> = tokens
        .iter()
        .map(|token| match token {
            Token::Word(word) => word.to_lowercase(),
            _ => String::new(),
        })
        .collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    let after = |lead: &[&str], unit: fn(&str) -> bool| {
        words.windows(2).any(|pair| lead.contains(&pair[0].as_str()) && unit(&pair[1]))
    };
    let billed = has("billed")
        || has("billing")
        || has("rounded")
        || has("rounding")
        || has("charged")
        || has("increments")
        || has("increment");
    let priced = has("rate") || has("rates") || has("price") || has("prices") || has("usd") || has("eur");
    let each = ["per", "by", "full", "whole", "next", "one"];
    match (
        after(&each, is_second),
        after(&["full", "whole", "next"], is_minute) || (after(&each, is_minute) && !priced),
    ) {
        (true, false) if billed => Sentence::All((1, 1)),
        (false, true) if billed => Sentence::All((60, 60)),
        (true, true) if billed && priced => Sentence::All((1, 1)),
        (true, true) => Sentence::Unclear,
        _ if number_said && (has("increment") || has("increments")) => Sentence::Unclear,
        _ => Sentence::Nothing,
    }
}
