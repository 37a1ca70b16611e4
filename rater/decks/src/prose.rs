//! Increments that a carrier gives once, in a sentence: "Billing increment: 60/60 except Mexico 60/60, US 6/6",
//! "30 seconds minimum, 6 second increments". Reads sentences only; never decides for a row that names its own.

mod words;

use crate::options::Increment;
use smol_str::SmolStr;
use words::{ALL, EXCEPT, FILL, LABELS, OTHERS, TOPIC};

/// What the sentences about increments say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// For every destination that is not excepted.
    pub all: Option<Increment>,
    /// By how the destination's name begins, in the order of the text.
    pub except: Vec<(SmolStr, Increment)>,
    /// The sentences, as written.
    pub texts: Vec<String>,
    /// A sentence that speaks of increments in a way that is not understood.
    pub unclear: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Word(SmolStr),
    Number(u32),
    Sign(char),
}

/// Takes one line of a notice. `labelled`: it stands under a label that names increments.
pub fn read(said: &mut Said, line: &str) {
    let tokens = tokens(line);
    let topic = tokens.iter().any(|token| matches!(token, Token::Word(word) if is_topic(word)));
    if !topic {
        return;
    }
    let pairs = pairs(&tokens);
    if pairs.is_empty() {
        match sentence(&tokens) {
            Sentence::Nothing => return,
            Sentence::Unclear => {
                said.unclear.get_or_insert_with(|| line.to_owned());
                return;
            }
            Sentence::All(increment) => set_all(said, increment, line),
        }
    } else {
        by_pairs(said, &tokens, &pairs, line);
    }
    said.texts.push(line.to_owned());
}

fn is_topic(word: &str) -> bool {
    TOPIC.contains(&word.to_lowercase().as_str())
}

fn set_all(said: &mut Said, increment: Increment, line: &str) {
    match said.all {
        Some(known) if known != increment => said.unclear = Some(line.to_owned()),
        _ => said.all = Some(increment),
    }
}

/// Words, numbers and signs; a hyphen between letters belongs to the word.
fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = line.char_indices().peekable();
    while let Some((at, sign)) = chars.next() {
        let same = |kind: fn(char) -> bool, chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>| {
            let mut end = at + sign.len_utf8();
            while let Some((next, c)) = chars.peek().copied().filter(|(_, c)| kind(*c)) {
                end = next + c.len_utf8();
                chars.next();
            }
            &line[at..end]
        };
        if sign.is_ascii_digit() {
            let digits = same(|c| c.is_ascii_digit(), &mut chars);
            tokens.push(digits.parse().map_or(Token::Sign('?'), Token::Number));
        } else if sign.is_alphabetic() {
            tokens.push(Token::Word(same(|c| c.is_alphabetic() || c == '\'' || c == '’', &mut chars).into()));
        } else if !sign.is_whitespace() && !matches!(sign, '"' | '\'' | '″' | '′' | '(' | ')' | '“' | '”') {
            tokens.push(Token::Sign(sign));
        }
    }
    tokens
}

/// `60/1`, `1+1`, `30 sec / 6 sec`, `60-60`: where the pair begins, ends, and what it is.
fn pairs(tokens: &[Token]) -> Vec<(usize, usize, Increment)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match pair(tokens, at) {
            // A date or a list of more numbers is no pair.
            Some((end, _))
                if matches!(tokens.get(end), Some(Token::Sign('/' | '-' | '.')))
                    && matches!(tokens.get(end + 1), Some(Token::Number(_))) =>
            {
                at = end + 1;
                while matches!(tokens.get(at), Some(Token::Number(_) | Token::Sign('/' | '-' | '.'))) {
                    at += 1;
                }
            }
            Some((end, increment)) => {
                found.push((at, end, increment));
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

fn pair(tokens: &[Token], at: usize) -> Option<(usize, Increment)> {
    let number = |at: usize| match tokens.get(at) {
        Some(Token::Number(number)) => Some(*number),
        _ => None,
    };
    let unit = |at: usize| usize::from(matches!(tokens.get(at), Some(Token::Word(word)) if is_second(word)));
    if at > 0
        && matches!(tokens[at - 1], Token::Sign('.' | '/' | '-' | ':' | '$' | '€'))
        && number(at.wrapping_sub(2)).is_some()
    {
        return None;
    }
    let first = number(at)?;
    let sign = at + 1 + unit(at + 1);
    let by = matches!(tokens.get(sign), Some(Token::Sign('/' | '+' | '-' | ':' | '–' | ',')))
        || matches!(tokens.get(sign), Some(Token::Word(word)) if word.eq_ignore_ascii_case("x") || word.eq_ignore_ascii_case("by"));
    let next = number(sign + 1).filter(|_| by)?;
    let listed = matches!(tokens.get(sign), Some(Token::Sign(',')));
    let seconds = |seconds: u32| seconds <= 3_600;
    // `1,1` is a pair where it stands alone, `1,200` and a list are not.
    if listed && (number(sign + 3).is_some() || !matches!(next, 1 | 6 | 30 | 60)) {
        return None;
    }
    let end = sign + 2 + unit(sign + 2);
    (seconds(first) && seconds(next) && next > 0).then_some((end, (first, next)))
}

fn is_second(word: &str) -> bool {
    matches!(
        word.to_lowercase().as_str(),
        "s" | "sec" | "secs" | "second" | "seconds" | "сек" | "sekunden" | "secondes" | "segundos"
    )
}

fn is_minute(word: &str) -> bool {
    matches!(word.to_lowercase().as_str(), "min" | "mins" | "minute" | "minutes" | "мин" | "minuten" | "minutos")
}

/// The first pair is for all unless a destination stands before it; behind `except`, names stand before their pair
/// (`Mexico 60/60`), or the pair before the names (`60/60 for Mexico and Gambia`).
fn by_pairs(said: &mut Said, tokens: &[Token], pairs: &[(usize, usize, Increment)], line: &str) {
    let excepted = tokens
        .iter()
        .position(|token| matches!(token, Token::Word(word) if EXCEPT.contains(&word.to_lowercase().as_str())));
    let mut from = 0;
    for (n, (begin, end, increment)) in pairs.iter().enumerate() {
        let behind = excepted.is_some_and(|at| at < *begin);
        let before = names(&tokens[from..*begin], behind);
        let until = pairs.get(n + 1).map_or(tokens.len(), |(next, ..)| *next);
        let after = leading_names(&tokens[*end..until]);
        let rest = all_others(&tokens[from..*begin]);
        from = *end;
        if rest {
            // `60/60 for Mexico, all other destinations 1/1`.
            set_all(said, *increment, line);
        } else if !behind && before.is_empty() && after.is_empty() {
            set_all(said, *increment, line);
        } else if !behind && before.is_empty() {
            // `60/60 for Mexico`: the rest is for all.
            said.except.extend(after.into_iter().map(|name| (name, *increment)));
            from = until;
        } else if before.is_empty() && !after.is_empty() {
            said.except.extend(after.into_iter().map(|name| (name, *increment)));
            from = until;
        } else if before.is_empty() {
            said.unclear = Some(line.to_owned());
        } else {
            said.except.extend(before.into_iter().map(|name| (name, *increment)));
        }
    }
}

/// `all others`, before their pair.
fn all_others(tokens: &[Token]) -> bool {
    let is = |token: &Token, list: &[&str]| matches!(token, Token::Word(word) if list.contains(&word.to_lowercase().as_str()));
    tokens.windows(2).any(|two| is(&two[0], &ALL) && is(&two[1], &OTHERS))
}

/// Names directly behind a pair, after `for` or `to`.
fn leading_names(tokens: &[Token]) -> Vec<SmolStr> {
    let except = |token: &Token| matches!(token, Token::Word(word) if EXCEPT.contains(&word.to_lowercase().as_str()));
    let tokens = &tokens[..tokens.iter().position(except).unwrap_or(tokens.len())];
    let linked = tokens.iter().take(4).position(|token| {
        matches!(token, Token::Word(word) if matches!(word.to_lowercase().as_str(), "for" | "to" | "in" | "für" | "pour" | "para" | "для"))
    });
    let Some(at) = linked else { return Vec::new() };
    let all = |token: &Token| matches!(token, Token::Word(word) if matches!(word.to_lowercase().as_str(), "all" | "other" | "alle" | "tous" | "todos"));
    if tokens.get(at + 1).is_some_and(all) {
        return Vec::new();
    }
    names(&tokens[at + 1..], true)
}

/// Names among tokens: runs of words, cut at signs and at `and`. Without `all_words` only those that begin with a
/// capital letter behind a word in small letters or a sign count, so that `Billing Increment` is no destination.
fn names(tokens: &[Token], all_words: bool) -> Vec<SmolStr> {
    let mut found: Vec<SmolStr> = Vec::new();
    let mut name = String::new();
    let mut close = |name: &mut String| {
        if !name.is_empty() {
            found.push(std::mem::take(name).into());
        }
    };
    for token in tokens {
        match token {
            Token::Word(word) => {
                let lower = word.to_lowercase();
                let capital = word.starts_with(char::is_uppercase);
                let fill = FILL.contains(&lower.as_str()) || EXCEPT.contains(&lower.as_str()) || is_topic(word);
                if lower == "except" || lower == "other" {
                    name.clear();
                } else if matches!(lower.as_str(), "and" | "und" | "et" | "y" | "и" | "for" | "to") {
                    close(&mut name);
                } else if !fill && (capital || (all_words && !name.is_empty())) && (all_words || !is_label(&lower)) {
                    if !name.is_empty() {
                        name.push(' ');
                    }
                    name.push_str(word);
                }
            }
            Token::Sign(',' | ';' | ':' | '.' | '&' | '/') => close(&mut name),
            Token::Sign('-' | '–') if !name.is_empty() => name.push('-'),
            _ => {}
        }
    }
    close(&mut name);
    found.iter().map(|name| SmolStr::new(name.trim_matches('-'))).filter(|name| !name.is_empty()).collect()
}

/// Words with a capital letter that begin a label or a sentence and name no destination.
fn is_label(lower: &str) -> bool {
    LABELS.contains(&lower)
}

enum Sentence {
    Nothing,
    Unclear,
    All(Increment),
}

/// `30 seconds minimum, 6 second increments`; `billed per second`; `full minute`; `6 second increments`.
fn sentence(tokens: &[Token]) -> Sentence {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let mut said = Said::default();
        read(&mut said, line);
        let mut text = said.all.map_or_else(String::new, |(a, b)| format!("{a}/{b}"));
        for (name, (a, b)) in &said.except {
            text += &format!(" {name}={a}/{b}");
        }
        if said.unclear.is_some() { format!("unclear {text}") } else { text }
    }

    #[test]
    fn an_increment_given_once_is_the_one_the_carrier_bills_by() {
        for (line, meaning) in [
            ("Billing increment: 60/60 except Mexico 60/60, US 6/6", "60/60 Mexico=60/60 US=6/6"),
            ("Billing Increment: 1+1", "1/1"),
            ("Increments: 30/6 seconds", "30/6"),
            ("All calls are billed in 30/6 second increments", "30/6"),
            ("Billing increments are 1/1 except for Mexico (60/60) and Gambia (60/1).", "1/1 Mexico=60/60 Gambia=60/1"),
            (
                "Billing is 6/6, with the exception of: Mexico - 60/60; Papua New Guinea - 60/60",
                "6/6 Mexico=60/60 Papua New Guinea=60/60",
            ),
            (
                "Billing: 1/1 for all destinations except 60/60 for Mexico and Suriname",
                "1/1 Mexico=60/60 Suriname=60/60",
            ),
            (
                "Rates are in USD per minute, billed in 1/1 increments; USA 6/6, Mexico 60/60",
                "1/1 USA=6/6 Mexico=60/60",
            ),
            ("Billed 60/60 for Mexico and Cuba, 1/1 for all other destinations", "1/1 Mexico=60/60 Cuba=60/60"),
            ("30 seconds minimum, 6 second increments", "30/6"),
            ("Calls are billed with an initial 30 seconds and 6 seconds thereafter", "30/6"),
            ("Billing in 6 second increments", "6/6"),
            ("Per second billing applies", "1/1"),
            ("Prices in USD per minute, billed per second", "1/1"),
            ("Calls are rounded up to the next full minute", "60/60"),
            ("Abrechnungstakt: 60/1", "60/1"),
            ("Тарификация: 1/1", "1/1"),
            ("Billing increment 60 sec / 1 sec", "60/1"),
            ("Rates are per minute", ""),
            ("Effective date of this billing notice: 01/06/2023", ""),
            ("Increase Validity Date 2023-05-16", ""),
            ("Billing increment 60 seconds minimum", "unclear "),
            ("Billing increments: 1/1 or 60/60", "unclear 1/1"),
        ] {
            assert_eq!(said(line), meaning, "{line}");
        }
    }
}
