//! Prefixes written as regular expressions or wildcards (`^9375.*`, `^937[0-5]`, `^(9376|9377)\d*$`, `9375*`,
//! `44%`). Only what stands for a set of prefixes is read; all else is refused with the sign that is in the way.

use crate::code::{Fault, prefix};
use facts::Prefix;

/// Digits that a pattern may stand for at one place, and codes in all.
const MOST: usize = 10_000;

/// Whether a text has a sign that only patterns have.
pub fn looks_like(text: &str) -> bool {
    text.contains(['^', '[', '*', '\\', '%', '$', '{', 'x', 'X']) || (text.contains('(') && text.contains('|'))
}

/// The prefixes that a pattern stands for, `country` before each.
pub fn expand(text: &str, country: &str, most: u32, codes: &mut Vec<Prefix>) -> Result<(), Fault> {
    let bad = |what: String| (format!("{text:?} is no pattern of prefixes: {what}"), "write the codes out");
    let body = text.trim();
    let body = body.strip_prefix('^').unwrap_or(body);
    let body = body.strip_prefix("\\+").or_else(|| body.strip_prefix('+')).unwrap_or(body);
    let body = body.strip_prefix("00").filter(|rest| !rest.starts_with('0')).unwrap_or(body);
    let (body, open) = tail(body);
    if !open && text.trim().ends_with('$') {
        return Err(bad("it ends the number, and a deck prices what begins with a code".into()));
    }
    let mut reader = Reader { rest: body, depth: 0 };
    let all = reader.alternatives().map_err(bad)?;
    if !reader.rest.is_empty() {
        return Err(bad(format!("{:?} is not understood", reader.rest)));
    }
    if all.len() > most as usize {
        return Err(bad(format!("it stands for {} codes, more than {most}", all.len())));
    }
    for digits in all {
        if digits.is_empty() && country.is_empty() {
            return Err(bad("it holds no digit".into()));
        }
        codes.push(prefix(&format!("{country}{digits}"))?);
    }
    Ok(())
}

/// Takes off what stands for "and any digits"; `true` = there was such a tail.
fn tail(body: &str) -> (&str, bool) {
    let body = body.strip_suffix('$').unwrap_or(body);
    for tail in [".*", ".+", "\\d*", "\\d+", "[0-9]*", "[0-9]+", "(.*)", "(\\d*)", "*", "%", "."] {
        if let Some(rest) = body.strip_suffix(tail) {
            return (rest, true);
        }
    }
    let rest = body.trim_end_matches(['x', 'X']);
    (rest, rest.len() < body.len())
}

struct Reader<'t> {
    rest: &'t str,
    depth: u8,
}

impl Reader<'_> {
    fn take(&mut self, sign: char) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn alternatives(&mut self) -> Result<Vec<String>, String> {
        let mut all = self.sequence()?;
        while self.take('|') {
            all.extend(self.sequence()?);
            if all.len() > MOST {
                return Err(format!("it stands for more than {MOST} codes"));
            }
        }
        Ok(all)
    }

    fn sequence(&mut self) -> Result<Vec<String>, String> {
        let mut all = vec![String::new()];
        while let Some(sign) = self.rest.chars().next() {
            let choices = match sign {
                '|' | ')' => break,
                '0'..='9' => {
                    self.rest = &self.rest[1..];
                    vec![sign.to_string()]
                }
                '.' | 'x' | 'X' => {
                    self.rest = &self.rest[1..];
                    (0..10).map(|digit| digit.to_string()).collect()
                }
                '\\' if self.rest.starts_with("\\d") => {
                    self.rest = &self.rest[2..];
                    (0..10).map(|digit| digit.to_string()).collect()
                }
                '[' => self.class()?,
                '(' => self.group()?,
                other => return Err(format!("{other:?} is not understood")),
            };
            if self.rest.starts_with(['*', '+', '?', '{']) {
                return Err("a sign of repetition in its middle".into());
            }
            if all.len().saturating_mul(choices.len()) > MOST {
                return Err(format!("it stands for more than {MOST} codes"));
            }
            all = all.iter().flat_map(|begin| choices.iter().map(move |choice| format!("{begin}{choice}"))).collect();
        }
        Ok(all)
    }

    fn group(&mut self) -> Result<Vec<String>, String> {
        if self.depth == 8 {
            return Err("groups inside groups".into());
        }
        self.depth += 1;
        self.rest = self.rest.strip_prefix("(?:").or_else(|| self.rest.strip_prefix('(')).unwrap_or(self.rest);
        let all = self.alternatives()?;
        self.depth -= 1;
        if self.take(')') { Ok(all) } else { Err("a group without end".into()) }
    }

    fn class(&mut self) -> Result<Vec<String>, String> {
        let (inside, rest) = self.rest[1..].split_once(']').ok_or("a class without end")?;
        self.rest = rest;
        let mut digits = Vec::new();
        let mut signs = inside.bytes().peekable();
        while let Some(low) = signs.next() {
            if matches!(low, b',' | b'|') {
                continue;
            }
            let high = if signs.peek() == Some(&b'-') {
                signs.next();
                signs.next().ok_or("a class without end")?
            } else {
                low
            };
            if !low.is_ascii_digit() || !high.is_ascii_digit() || high < low {
                return Err(format!("the class [{inside}] is not understood"));
            }
            digits.extend((low..=high).map(|digit| char::from(digit).to_string()));
        }
        if digits.is_empty() { Err("an empty class".into()) } else { Ok(digits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let mut codes = Vec::new();
        match expand(text, "", 1000, &mut codes) {
            Ok(()) => codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err((reason, _)) => reason,
        }
    }

    #[test]
    fn patterns_stand_for_their_prefixes_and_no_others() {
        for (pattern, codes) in [
            ("^9375.*", "9375"),
            ("^9375", "9375"),
            ("^00937[05-6]\\d*$", "9370 9375 9376"),
            ("^(9376|9377[12]).*", "9376 93771 93772"),
            ("^\\+93.+", "93"),
            ("44%", "44"),
            ("9375*", "9375"),
            ("937XXXX", "937"),
            ("93.5*", "9305 9315 9325 9335 9345 9355 9365 9375 9385 9395"),
        ] {
            assert_eq!(read(pattern), codes, "{pattern}");
        }
        assert!(read("^911$").contains("it ends the number"));
        assert!(read("^9[^5]").contains("is not understood"));
        assert!(read("^93+5.*").contains("repetition"));
        assert!(read("^(93.*").contains("without end"));
        assert!(read(".*").contains("no digit"));
        assert!(read("^......9").contains("more than 10000 codes"));
    }
}
