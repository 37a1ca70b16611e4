//! Increments that a carrier gives once, in a sentence: "Billing increment: 60/60 except Mexico 60/60, US 6/6",
//! "30 seconds minimum, 6 second increments". Reads sentences only; never decides for a row that names its own.

mod known;
mod list;
mod sentence;
mod words;

use crate::names::is_place;
use crate::options::Increment;
use sentence::{Sentence, sentence};
use smol_str::SmolStr;
use words::TOPIC;

pub use known::{begins, check};

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
    /// Destinations that a sentence leaves out; another has to name theirs.
    left_out: Vec<SmolStr>,
    /// The lines that follow may be a list of destinations with their pairs.
    listing: bool,
}

impl Said {
    /// Names of destinations that a sentence leaves out and none names an increment for.
    pub fn forgotten(&self) -> Option<&SmolStr> {
        let named = |name: &SmolStr| self.except.iter().any(|(of, _)| of.eq_ignore_ascii_case(name));
        self.left_out.iter().find(|name| !named(name))
    }

    /// Makes one name of two that `and` has divided, where only both together are known: Trinidad and Tobago.
    pub fn join_names(&mut self, known: &dyn Fn(&str) -> bool) {
        let mut at = 1;
        while at < self.except.len() {
            let (before, name) = (&self.except[at - 1], &self.except[at]);
            let joined = format!("{} and {}", before.0, name.0);
            if before.1 == name.1 && known(&joined) && !known(&name.0) {
                self.except[at - 1].0 = joined.into();
                self.except.remove(at);
            } else {
                at += 1;
            }
        }
    }
}

/// Seconds of increments as they are sold; other pairs in a list are no increments.
const USUAL: [u32; 12] = [0, 1, 5, 6, 10, 12, 15, 18, 20, 30, 60, 120];
/// Tokens of a line that is no sentence.
const SHORT: usize = 8;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Word(SmolStr),
    Number(u32),
    Sign(char),
}

/// Takes one text of a notice: a line, or a cell with several.
pub fn read(said: &mut Said, text: &str) {
    text.lines().for_each(|line| read_line(said, line));
}

fn read_line(said: &mut Said, line: &str) {
    let mut tokens = tokens(line);
    if tokens.is_empty() {
        return;
    }
    let topic = tokens.iter().any(|token| matches!(token, Token::Word(word) if is_topic(word)));
    if !topic {
        if said.listing {
            listed(said, &mut tokens, line);
        }
        return;
    }
    let pairs = pairs(&tokens);
    said.listing = true;
    if !pairs.is_empty() {
        understood(said, list::by_pairs, &tokens, &pairs, line);
        return;
    }
    match sentence(&tokens) {
        Sentence::Nothing => {}
        Sentence::All(increment)
            if !list::excepts(&tokens) && !list::names(&tokens).iter().any(|name| is_place(name)) =>
        {
            set_all(said, increment, line);
            said.texts.push(line.to_owned());
        }
        Sentence::All(_) | Sentence::Unclear => drop(said.unclear.get_or_insert_with(|| line.to_owned())),
    }
}

type Pairs<'p> = &'p [(usize, usize, Increment)];

fn understood(
    said: &mut Said,
    read: fn(&mut Said, &[Token], Pairs<'_>, &str) -> bool,
    tokens: &[Token],
    pairs: Pairs<'_>,
    line: &str,
) {
    if read(said, tokens, pairs, line) {
        said.texts.push(line.trim().to_owned());
    } else {
        said.unclear.get_or_insert_with(|| line.to_owned());
    }
}

/// A line below a sentence about increments: `Mexico 60/60`, perhaps behind `Exceptions:`. Another one ends the list.
fn listed(said: &mut Said, tokens: &mut [Token], line: &str) {
    // Two cells of a table: `Mexico: 60; 60`.
    for at in 1..tokens.len().saturating_sub(1) {
        let numbers = matches!((&tokens[at - 1], &tokens[at + 1]), (Token::Number(_), Token::Number(_)));
        if numbers && tokens[at] == Token::Sign(';') {
            tokens[at] = Token::Sign('/');
        }
    }
    let pairs = pairs(tokens);
    let usual = pairs.iter().all(|(.., (first, next))| first >= next && USUAL.contains(first) && USUAL.contains(next));
    match pairs.is_empty() {
        true => said.listing = list::excepts(tokens),
        false if usual && list::is_list(tokens, &pairs) => understood(said, list::by_pairs, tokens, &pairs, line),
        false => {
            // `mexico 60/60` is something, but what?
            said.listing = false;
            if usual && tokens.len() <= SHORT {
                said.unclear.get_or_insert_with(|| line.to_owned());
            }
        }
    }
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
        } else if !sign.is_whitespace() && !matches!(sign, '"' | '\'' | '″' | '′' | '“' | '”') {
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
        if said.unclear.is_some() || said.forgotten().is_some() { format!("unclear {text}") } else { text }
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
            ("Billing increments: 1/1 or 60/60", "unclear "),
        ] {
            assert_eq!(said(line), meaning, "{line}");
        }
    }

    #[test]
    fn an_increment_is_that_of_the_destinations_beside_it_and_of_no_neighbour() {
        for (line, meaning) in [
            ("Billing increment: 60/60 for Mexico, all others 1/1", "1/1 Mexico=60/60"),
            (
                "Billing increment: 60/60 for Mexico and Gambia; all other destinations: 1/1",
                "1/1 Mexico=60/60 Gambia=60/60",
            ),
            ("Increments: 60/60 for Mexico, 6/6 for USA, all other destinations 1/1", "1/1 Mexico=60/60 USA=6/6"),
            ("Billing: 1/1 except Mexico 60/60", "1/1 Mexico=60/60"),
            ("Billing: 1/1 (except Mexico 60/60)", "1/1 Mexico=60/60"),
            ("Billing increments: Mexico and Gambia 60/60, rest 30/6", "30/6 Mexico=60/60 Gambia=60/60"),
            ("Increments: Mexico: 60/60, Gambia: 60/1, all other: 1/1", "1/1 Mexico=60/60 Gambia=60/1"),
            (
                "Billed 60/60 (Mexico, Gambia), 30/6 (USA), 1/1 (rest of the world)",
                "1/1 Mexico=60/60 Gambia=60/60 USA=30/6",
            ),
            ("Billing 60/60 Mexico, all others 1/1", "1/1 Mexico=60/60"),
            ("Billing 60/60 to Mexico, 1/1 elsewhere", "1/1 Mexico=60/60"),
            ("Billing 1/1 for all destinations except Mexico and Gambia 60/60", "1/1 Mexico=60/60 Gambia=60/60"),
            (
                "Billing 1/1 for all destinations except for Mexico and Gambia which are 60/60",
                "1/1 Mexico=60/60 Gambia=60/60",
            ),
            ("All destinations other than Mexico are billed 1/1; Mexico 60/60", "1/1 Mexico=60/60"),
            ("Billing increments are 1/1 unless otherwise stated", "1/1"),
            ("Billing increments are 1/1 except where noted in the rate table", "1/1"),
            ("Abrechnungstakt: 60/60 für Mexiko, alle anderen 1/1", "1/1 Mexiko=60/60"),
            ("Facturation: 1/1 sauf Mexique 60/60", "1/1 Mexique=60/60"),
            ("All calls are charged in 60/1 in USD", "60/1"),
            ("Billing: 60/60 for Mexico and Cuba; USA 6/6", " Mexico=60/60 Cuba=60/60 USA=6/6"),
            // Lines below one another.
            (
                "Billing increments:\nMexico 60/60\nGambia: 60/1\nAll other destinations 1/1",
                "1/1 Mexico=60/60 Gambia=60/1",
            ),
            ("Billing increment: 1/1\nExceptions:\nMexico; 60; 60\nPrices in USD\nGambia 60/60", "1/1 Mexico=60/60"),
            ("Billing: all destinations except Mexico 1/1\nMexico 60/60", "1/1 Mexico=60/60"),
            // Whose a pair is cannot be told.
            ("Billing 1/1 Mexico, Gambia 60/60", "unclear "),
            ("Billing: 60/60 for Mexico, Cuba, USA 6/6", "unclear "),
            ("Billing: 60/60 for Mexico and USA 6/6", "unclear "),
            ("Billing: 60/60 for Mexico except Mexico Mobile, rest 1/1", "unclear "),
            ("Billing: all 1/1, rest 30/6", "unclear 1/1"),
            ("Billing increments:\nmexico 60/60", "unclear "),
            ("Per second billing except Mexico", "unclear "),
            ("Mexico is billed per full minute", "unclear "),
            ("Billing increment: 1/1 except Mexico", "unclear 1/1"),
        ] {
            assert_eq!(said(line), meaning, "{line}");
        }
    }
}
