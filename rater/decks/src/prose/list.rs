//! Pairs of numbers and the destinations beside them: `60/60 for Mexico, all others 1/1`, `Mexico and Gambia 60/60, rest
//! 30/6`. Finds whose each pair is, or says that it cannot be told; never guesses between two neighbours.

use super::words::{ALL, AND, EXCEPT, FILL, LABELS, LINK, OTHERS, OTHERS_ALONE, WORLD};
use super::{Said, Token, is_topic};
use crate::options::Increment;
use smol_str::SmolStr;

/// What stands between two pairs.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Name(SmolStr),
    /// Every destination, or every one that is not named.
    All,
    Except,
    /// `for`, `to`, a colon, an opening bracket: what follows belongs to what came before.
    Link,
    /// `and`, between two names.
    And,
    /// A comma.
    Comma,
    /// A semicolon or the end of a sentence.
    Stop,
    /// A closing bracket.
    Close,
}

/// The destinations of one pair.
#[derive(Default)]
struct Owner {
    all: bool,
    names: Vec<SmolStr>,
    /// Left out of `all`: a pair of their own has to name them.
    without: Vec<SmolStr>,
}

impl Owner {
    fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }
}

/// It cannot be told whose a pair is.
struct Unclear;

/// Gives each pair of a line to its destinations. `false`: whose a pair is cannot be told.
pub(super) fn by_pairs(said: &mut Said, tokens: &[Token], pairs: &[(usize, usize, Increment)], line: &str) -> bool {
    let Ok(owners) = owners(tokens, pairs) else { return false };
    for ((.., increment), owner) in pairs.iter().zip(owners) {
        if owner.all {
            super::set_all(said, *increment, line);
        }
        said.left_out.extend(owner.without);
        said.except.extend(owner.names.into_iter().map(|name| (name, *increment)));
    }
    true
}

/// Whether a line is nothing but destinations and their pairs, as in a list below its title.
pub(super) fn is_list(tokens: &[Token], pairs: &[(usize, usize, Increment)]) -> bool {
    let word = |token: &Token| matches!(token, Token::Word(_));
    let Some((begin, ..)) = pairs.first() else { return false };
    let inside = |at: usize| pairs.iter().any(|(from, until, _)| (*from..*until).contains(&at));
    let numbers = tokens.iter().enumerate().any(|(at, token)| matches!(token, Token::Number(_)) && !inside(at));
    let known = |part: &Part| matches!(part, Part::Name(_) | Part::All);
    let ends = parts(&tokens[..*begin], true).iter().any(known)
        || pairs.last().is_some_and(|(_, end, _)| parts(&tokens[*end..], true).iter().any(known));
    !numbers && ends && tokens.iter().filter(|token| word(token)).count() <= 12 * pairs.len()
}

/// Whether anything is excepted.
pub(super) fn excepts(tokens: &[Token]) -> bool {
    parts(tokens, true).contains(&Part::Except)
}

/// Names of destinations in a sentence, as far as capital letters tell them.
pub(super) fn names(tokens: &[Token]) -> Vec<SmolStr> {
    let name = |part| match part {
        Part::Name(name) => Some(name),
        _ => None,
    };
    parts(tokens, false).into_iter().filter_map(name).collect()
}

fn owners(tokens: &[Token], pairs: &[(usize, usize, Increment)]) -> Result<Vec<Owner>, Unclear> {
    let mut owners: Vec<Owner> = pairs.iter().map(|_| Owner::default()).collect();
    let Some((begin, ..)) = pairs.first() else { return Ok(owners) };
    let mut lead = parts(lead(&tokens[..*begin]), false);
    let said_before = lead.contains(&Part::Except);
    lead.retain(|part| !matches!(part, Part::Link | Part::Close));
    take(&mut owners[0], &lead, false)?;
    let gaps: Vec<Vec<Part>> = pairs
        .iter()
        .enumerate()
        .map(|(n, (_, end, _))| {
            let until = pairs.get(n + 1).map_or(tokens.len(), |(next, ..)| *next);
            trimmed(parts(&tokens[*end..until], true))
        })
        .collect();
    let pair_first = owners[0].is_empty() && !said_before && gaps.iter().all(|gap| begins_directly(gap));
    for (n, gap) in gaps.iter().enumerate() {
        let last = n + 1 == gaps.len();
        let next_has_own = gaps.get(n + 1).is_some_and(|next| begins_directly(next));
        let cut = if last {
            gap.iter().position(|part| *part == Part::Stop).unwrap_or(gap.len())
        } else if pair_first {
            gap.len()
        } else {
            divide(gap, owners[n].is_empty(), n == 0, next_has_own)?
        };
        let (behind, ahead) = gap.split_at(cut);
        after(&mut owners[n], behind)?;
        if let Some(next) = owners.get_mut(n + 1) {
            take(next, ahead, false)?;
        }
    }
    // A pair without any destination is for all, if it is the first; one of two such pairs is nobody's.
    let mut alone = owners.iter_mut().enumerate().filter(|(_, owner)| owner.is_empty());
    match (alone.next(), alone.next()) {
        (Some((0, owner)), None) => owner.all = true,
        (None, _) => {}
        _ => return Err(Unclear),
    }
    Ok(owners)
}

/// Of what stands before the first pair, the last sentence.
fn lead(tokens: &[Token]) -> &[Token] {
    let ends = |two: &[Token]| matches!(two, [Token::Sign('.' | ';'), Token::Word(_)]);
    tokens.windows(2).rposition(ends).map_or(tokens, |at| &tokens[at + 1..])
}

/// Whether a gap begins with the destinations of the pair before it: `for Mexico`, `(Mexico)`, `: all others`.
fn begins_directly(gap: &[Part]) -> bool {
    let first = gap.iter().find(|part| **part != Part::Link);
    matches!(first, Some(Part::Name(_) | Part::All))
}

/// Where the destinations of the pair before end and those of the next begin.
fn divide(gap: &[Part], needs: bool, first: bool, next_has_own: bool) -> Result<usize, Unclear> {
    let linked = gap.first() == Some(&Part::Link);
    let count = |wanted: fn(&Part) -> bool| gap.iter().filter(|part| wanted(part)).count();
    let last = |wanted: fn(&Part) -> bool| gap.iter().rposition(wanted);
    let except = gap.iter().position(|part| *part == Part::Except);
    if next_has_own {
        // The next pair names its own behind it: the gap is the first one's, but for the word `except` before a pair.
        return match except {
            Some(at) if gap[at..].iter().any(|part| matches!(part, Part::Name(_))) && !linked => Err(Unclear),
            Some(at) if at + 1 == gap.len() => Ok(at),
            _ if linked || !gap.iter().any(|part| matches!(part, Part::Name(_) | Part::All)) => Ok(gap.len()),
            _ if needs => Ok(gap.len()),
            _ => Err(Unclear),
        };
    }
    if let Some(at) = except {
        // `1/1 for all destinations except Mexico 60/60`; `1/1 except Mexico 60/60`.
        return Ok(at);
    }
    if !linked && !begins_directly(gap) {
        // `1/1, Mexico 60/60`: what stands there is the next one's, if the first has its own or is for all.
        return if needs && !first { Err(Unclear) } else { Ok(0) };
    }
    if !linked && !needs {
        return Ok(0);
    }
    // `60/60 for Mexico and Cuba; USA 6/6`, `60/60 for Mexico, all others 1/1`, `60/60 Mexico, USA 6/6` which is either.
    let all =
        last(|part| *part == Part::All).filter(|at| gap[at + 1..].iter().all(|part| !matches!(part, Part::Name(_))));
    match (all, count(|part| *part == Part::Stop), count(|part| *part == Part::Comma)) {
        (Some(at), ..) if at > 0 && gap[..at].iter().any(|part| matches!(part, Part::Name(_))) => Ok(at),
        (_, 1, _) => last(|part| *part == Part::Stop).ok_or(Unclear),
        (_, 0, 1) if linked => last(|part| *part == Part::Comma).ok_or(Unclear),
        _ => Err(Unclear),
    }
}

/// Destinations behind their pair.
fn after(owner: &mut Owner, parts: &[Part]) -> Result<(), Unclear> {
    if !begins_directly(parts) && parts.first() != Some(&Part::Except) {
        // `1/1 increments, with prices in USD to ...`: the sentence has gone on to something else.
        return Ok(());
    }
    take(owner, parts, true)
}

/// Gives destinations to a pair that stands before them (`behind`) or after them.
fn take(owner: &mut Owner, parts: &[Part], behind: bool) -> Result<(), Unclear> {
    let mut excepted = false;
    let (mut all, mut names, mut without) = (false, Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::All if excepted => return Err(Unclear),
            Part::All => all = true,
            Part::Except => excepted = true,
            // `60/60 for Mexico except Mexico Mobile`.
            Part::Name(_) if excepted && !(names.is_empty() && owner.names.is_empty()) => return Err(Unclear),
            Part::Name(name) if excepted => without.push(name.clone()),
            Part::Name(name) => names.push(name.clone()),
            _ => {}
        }
    }
    if !without.is_empty() && !all {
        // `1/1 except Mexico` leaves Mexico out, `except Mexico 60/60` says what it is.
        if behind {
            all = true;
        } else {
            names = std::mem::take(&mut without);
        }
    }
    if all && !(names.is_empty() && owner.names.is_empty()) {
        return Err(Unclear);
    }
    owner.all |= all;
    owner.names.extend(names);
    owner.without.extend(without);
    Ok(())
}

/// Without signs at the end that divide nothing.
fn trimmed(mut parts: Vec<Part>) -> Vec<Part> {
    while matches!(parts.last(), Some(Part::Close | Part::And | Part::Comma)) {
        parts.pop();
    }
    parts
}

/// Names among tokens: runs of words, cut at signs and at `and`. Without `all_words` only words that begin with a
/// capital letter and are no label make a name, so that `Billing Increment` is no destination.
fn parts(tokens: &[Token], all_words: bool) -> Vec<Part> {
    let mut found = Vec::new();
    let mut name = String::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let word = match token {
            Token::Word(word) => word,
            Token::Sign(sign) => {
                sign_part(*sign, &mut name, &mut found);
                continue;
            }
            Token::Number(_) => continue,
        };
        let lower = word.to_lowercase();
        let is = |list: &[&str]| list.contains(&lower.as_str());
        if is(&ALL) && all_of(&tokens[at - 1..], true).is_none() {
            // `all calls to Mexico`.
            continue;
        }
        if let Some(words) = all_of(&tokens[at - 1..], name.is_empty()) {
            close(&mut name, &mut found);
            found.push(Part::All);
            at += words - 1;
        } else if is(&EXCEPT) || (lower == "other" && next_is(tokens, at, "than")) {
            close(&mut name, &mut found);
            found.push(Part::Except);
            at += usize::from(lower == "other");
            // `except for Mexico`.
            at += usize::from(
                matches!(tokens.get(at), Some(Token::Word(word)) if LINK.contains(&word.to_lowercase().as_str())),
            );
        } else if is(&AND) {
            close(&mut name, &mut found);
            found.push(Part::And);
        } else if is(&LINK) {
            close(&mut name, &mut found);
            found.push(Part::Link);
        } else if !is(&FILL) && !is_topic(word) && (all_words || !is(&LABELS)) {
            let capital = word.starts_with(char::is_uppercase);
            if capital || (all_words && !name.is_empty()) {
                if !name.is_empty() && !name.ends_with('-') {
                    name.push(' ');
                }
                name.push_str(word);
            }
        }
    }
    close(&mut name, &mut found);
    found
}

fn next_is(tokens: &[Token], at: usize, wanted: &str) -> bool {
    matches!(tokens.get(at), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted))
}

fn sign_part(sign: char, name: &mut String, found: &mut Vec<Part>) {
    let part = match sign {
        '-' | '–' if !name.is_empty() => {
            if !name.ends_with('-') {
                name.push('-');
            }
            return;
        }
        ',' | '/' => Part::Comma,
        '&' => Part::And,
        ';' | '.' | '|' => Part::Stop,
        ':' | '(' | '=' => Part::Link,
        ')' => Part::Close,
        _ => return,
    };
    close(name, found);
    found.push(part);
}

fn close(name: &mut String, found: &mut Vec<Part>) {
    let bare = name.trim_matches(['-', ' ']);
    if !bare.is_empty() {
        found.push(Part::Name(bare.into()));
    }
    name.clear();
}

/// How many words here mean every destination: `all`, `all other destinations`, `the rest of the world`, `elsewhere`.
/// `all Mexican networks` and `rest of Africa` do not: a name follows.
fn all_of(tokens: &[Token], fresh: bool) -> Option<usize> {
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.to_lowercase(),
        _ => String::new(),
    };
    let is = |at: usize, list: &[&str]| list.contains(&word(at).as_str());
    let name = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => {
            let lower = word.to_lowercase();
            let known = |list: &[&str]| list.contains(&lower.as_str());
            word.starts_with(char::is_uppercase)
                && !known(&FILL)
                && !known(&WORLD)
                && !is_topic(word)
                && !known(&EXCEPT)
        }
        _ => false,
    };
    if !fresh {
        return None;
    }
    let mut end = if is(0, &ALL) {
        1 + usize::from(is(1, &OTHERS))
    } else if is(0, &OTHERS_ALONE) && word(1) != "than" {
        1
    } else {
        return None;
    };
    while is(end, &["of", "the", "der", "du", "del"]) || is(end, &WORLD) {
        end += 1;
    }
    let mut next = end;
    while is(next, &LINK) || is(next, &["the"]) {
        next += 1;
    }
    (!name(next)).then_some(end)
}
