//! Destinations' names: a carrier's beside ours. Suggestions come from codes and never from how names sound; what is not
//! certain is said to be open. The mapping is text that a person keeps. Opens no file.

mod countries;
mod numbering;

pub use countries::is_place;
pub use numbering::ranges;

use crate::DeckError;
use facts::Prefix;
use serde::Deserialize;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A carrier's name to ours.
pub type Names = BTreeMap<SmolStr, SmolStr>;

/// A name is suggested where it has more of the codes than this, percent.
const CERTAIN_PERCENT: u64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    names: Names,
}

/// Reads a mapping: TOML with one table `[names]`.
pub fn parse(text: &str) -> Result<Names, DeckError> {
    let text: Text = toml::from_str(text).map_err(|e| DeckError::Template(e.to_string().trim().to_owned()))?;
    match text.names.iter().find(|(_, ours)| ours.trim().is_empty()) {
        Some((theirs, _)) => Err(DeckError::Template(format!("names.{theirs:?}: our name is empty"))),
        None => Ok(text.names),
    }
}

/// A mapping as [`parse`] reads it: what is mapped, and what is open as comments with its reasons.
pub fn save(suggestions: &[Suggestion]) -> Result<String, DeckError> {
    let value = |text: &SmolStr| toml::Value::String(text.to_string()).to_string();
    let mut out = String::from("[names]\n");
    for suggestion in suggestions {
        let (theirs, reason) = (value(&suggestion.theirs), suggestion.reason());
        let _ = match &suggestion.ours {
            Some(ours) => writeln!(out, "{theirs} = {} # {reason}", value(ours)),
            None => writeln!(out, "# {theirs} = \"\" # {reason}"),
        };
    }
    parse(&out)?;
    Ok(out)
}

/// Our naming: codes in order with the name of their numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Book {
    codes: BTreeMap<Prefix, SmolStr>,
    /// Numbers of a code that no longer code names may not exist: they say nothing where longer codes do.
    ranges: bool,
}

impl Book {
    /// Of a deck: a code has all its numbers that no longer code has.
    pub fn of(codes: impl IntoIterator<Item = (Prefix, SmolStr)>) -> Self {
        Self { codes: codes.into_iter().collect(), ranges: false }
    }

    /// Countries by their calling codes (ITU-T E.164), where nothing better is at hand.
    pub fn countries() -> Self {
        let named = |(code, name): &(&str, &str)| Some((Prefix::new(code).ok()?, (*name).into()));
        Self { ranges: true, ..Self::of(countries::COUNTRIES.iter().filter_map(named)) }
    }

    /// The names of a code's numbers with their weights: our code itself; else the codes that begin with it and, of a
    /// deck, the rest by the longest code that it begins with; else that one alone.
    fn votes(&self, code: Prefix) -> Vec<(&SmolStr, u64)> {
        if let Some(name) = self.codes.get(&code) {
            return vec![(name, 1)];
        }
        let cover = (1..code.len()).rev().find_map(|len| self.codes.get(&code.truncate(len)));
        let within = self.codes.range(code..).take_while(|(longer, _)| longer.truncate(code.len()) == code);
        // Each code's numbers less those of the longer ones in it.
        let mut votes: Vec<(&SmolStr, u64)> = Vec::new();
        let mut open: Vec<(Prefix, usize)> = Vec::new();
        let mut rest = numbers(code);
        for (longer, name) in within {
            while open.last().is_some_and(|(outer, _)| longer.truncate(outer.len()) != *outer) {
                open.pop();
            }
            let from = open.last().map_or(&mut rest, |(_, at)| &mut votes[*at].1);
            *from = from.saturating_sub(numbers(*longer));
            open.push((*longer, votes.len()));
            votes.push((name, numbers(*longer)));
        }
        match cover {
            Some(name) if votes.is_empty() || !self.ranges => votes.push((name, rest)),
            _ => {}
        }
        votes.retain(|(_, weight)| *weight > 0);
        votes
    }
}

/// Numbers of a code, of 10^15.
fn numbers(code: Prefix) -> u64 {
    10u64.pow(u32::try_from(facts::number::PREFIX_DIGITS_MAX - code.len()).unwrap_or(0))
}

/// What a carrier's name may mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suggestion {
    pub theirs: SmolStr,
    /// Codes of the carrier under this name.
    pub codes: u64,
    /// `None` = open: a person has to say it.
    pub ours: Option<SmolStr>,
    /// Our names with their shares of the codes, in 1/100 of a code, greatest first.
    pub votes: Vec<(SmolStr, u64)>,
    /// A person has said it before.
    pub said: bool,
}

impl Suggestion {
    /// Why, in words.
    pub fn reason(&self) -> String {
        let all = self.codes;
        if self.said {
            return "said before".to_owned();
        }
        if self.votes.is_empty() {
            return format!("none of its {all} codes is known");
        }
        let part = |(name, share): &(SmolStr, u64)| format!("{} of {all} codes: {name}", hundredths(*share));
        let mut parts: Vec<String> = self.votes.iter().take(3).map(part).collect();
        if self.votes.len() > 3 {
            parts.push(format!("and {} more names", self.votes.len() - 3));
        }
        parts.join("; ")
    }
}

fn hundredths(share: u64) -> String {
    match share % 100 {
        0 => (share / 100).to_string(),
        part => format!("{}.{part:02}", share / 100),
    }
}

/// Suggests our name for each of the carrier's; what `said` names stays.
pub fn suggest(theirs: &BTreeMap<SmolStr, BTreeSet<Prefix>>, book: &Book, said: &Names) -> Vec<Suggestion> {
    let one = |(name, codes): (&SmolStr, &BTreeSet<Prefix>)| {
        let mut votes: BTreeMap<&SmolStr, u64> = BTreeMap::new();
        for code in codes {
            let found = book.votes(*code);
            let all = found.iter().map(|(_, weight)| weight).sum::<u64>().max(1);
            let mut shares: BTreeMap<&SmolStr, u64> = BTreeMap::new();
            found.iter().for_each(|(name, weight)| *shares.entry(name).or_default() += weight);
            for (name, weight) in shares {
                let share = u64::try_from(u128::from(weight) * 100 / u128::from(all)).unwrap_or(100);
                *votes.entry(name).or_default() += share;
            }
        }
        let mut votes: Vec<(SmolStr, u64)> = votes.into_iter().map(|(name, share)| (name.clone(), share)).collect();
        votes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let all = codes.len() as u64;
        let best = votes.first().filter(|(_, share)| *share > all * CERTAIN_PERCENT).map(|(name, _)| name.clone());
        let before = said.get(name).cloned();
        let said = before.is_some();
        Suggestion { theirs: name.clone(), codes: all, ours: before.or(best), votes, said }
    };
    theirs.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn codes(list: &[(&str, &str)]) -> BTreeMap<SmolStr, BTreeSet<Prefix>> {
        let mut all: BTreeMap<SmolStr, BTreeSet<Prefix>> = BTreeMap::new();
        for (name, codes) in list {
            all.entry((*name).into()).or_default().extend(codes.split(' ').map(|code| Prefix::new(code).unwrap()));
        }
        all
    }

    fn book(list: &[(&str, &str)]) -> Book {
        Book::of(list.iter().map(|(code, name)| (Prefix::new(code).unwrap(), SmolStr::from(*name))))
    }

    #[test]
    fn a_name_is_suggested_by_its_codes_and_what_is_not_certain_stays_open() {
        let ours = book(&[
            ("49", "Germany"),
            ("4915", "Germany - Mobile"),
            ("4916", "Germany - Mobile"),
            ("3361", "France - Mobile"),
            ("3362", "France - Mobile"),
            ("3363", "France - Special"),
        ]);
        let theirs = codes(&[
            ("DEU Cellular", "49151 49152 4916 4917"),
            ("DEU \"fixed\"", "49"),
            ("France GSM", "336"),
            ("Both", "4915 49"),
            ("Luna", "999"),
            ("Kept", "4915"),
        ]);
        let said = Names::from([("Kept".into(), "Germany - Special".into())]);
        let found = suggest(&theirs, &ours, &said);
        let text = save(&found).unwrap();
        expect![[r##"
            [names]
            # "Both" = "" # 1 of 2 codes: Germany; 1 of 2 codes: Germany - Mobile
            'DEU "fixed"' = "Germany" # 1 of 1 codes: Germany
            "DEU Cellular" = "Germany - Mobile" # 3 of 4 codes: Germany - Mobile; 1 of 4 codes: Germany
            "France GSM" = "France - Mobile" # 0.66 of 1 codes: France - Mobile; 0.33 of 1 codes: France - Special
            "Kept" = "Germany - Special" # said before
            # "Luna" = "" # none of its 1 codes is known
        "##]]
        .assert_eq(&text);
        let names = parse(&text).unwrap();
        assert_eq!(names.len(), 4);
        // Read again, what was written stands as said.
        let again = suggest(&theirs, &Book::countries(), &names);
        assert_eq!(again.iter().filter(|suggestion| suggestion.said).count(), 4);
        assert!(parse("[names]\n\"A\" = \"\"").is_err());
    }

    #[test]
    fn countries_and_ranges_name_what_they_hold() {
        let countries = Book::countries();
        for (code, name) in [("4930", "Germany"), ("1242", "Bahamas"), ("1212", "North America"), ("77", "Kazakhstan")]
        {
            assert_eq!(countries.votes(Prefix::new(code).unwrap())[0].0, name, "{code}");
        }
        let text = "calling_code,national_prefix_pattern,national_length,type,tariff,operator_id,operator_name,regions,area_code_length\n\
                    20,1[0-2],10,MOBILE,STANDARD_RATE,vodafone,\"Vodafone, Egypt\",EG,\n\
                    20,2x,\"8,9\",FIXED_LINE,STANDARD_RATE,,,EG,2\n20,900,10,FIXED_LINE,PREMIUM_RATE,,,EG,\n";
        let egypt = ranges(text, false).unwrap();
        let name = |code: &str| egypt.votes(Prefix::new(code).unwrap()).first().map(|(name, _)| name.to_string());
        assert_eq!(name("2011"), Some("Egypt - Mobile".into()));
        assert_eq!(name("20291"), Some("Egypt".into()));
        assert_eq!(name("20900"), Some("Egypt - Premium rate".into()));
        // What is not assigned says nothing where ranges do; of a deck the rest of a code counts.
        assert_eq!(name("201"), Some("Egypt - Mobile".into()));
        let deck = book(&[("20", "Egypt"), ("2010", "Egypt - Mobile")]);
        assert_eq!(
            deck.votes(Prefix::new("201").unwrap()).iter().max_by_key(|(_, weight)| *weight).unwrap().0,
            "Egypt"
        );
        let by_operator = ranges(text, true).unwrap();
        assert_eq!(by_operator.votes(Prefix::new("2010").unwrap())[0].0, "Egypt - Mobile Vodafone, Egypt");
        let wrong = ranges("code,name\n49,Germany\n", false).unwrap_err().to_string();
        assert!(wrong.contains("calling_code"), "{wrong}");
    }
}
