//! Who is behind a side of a call (design section 1): identification rules of trunks, compiled to hash look-ups by the
//! set of facts they name. All given facts must match, the rule with more facts wins, rules are dated.
//!
//! Also takes off what the peer puts before the number: the tech prefix of the rule and the trunk's own prefixes.

use facts::call::Endpoint;
use facts::config::{Config, IdentificationRule, Trunk};
use facts::number::E164;
use facts::xdr::Side;
use hashbrown::{DefaultHashBuilder, HashTable};
use smol_str::SmolStr;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

/// Facts a rule may name, in order of weight where two rules name equally many: what names the account itself before
/// what only names a machine.
const ACCOUNT: u8 = 1 << 6;
const DIGEST_USER: u8 = 1 << 5;
const TECH_PREFIX: u8 = 1 << 4;
const TRUNK: u8 = 1 << 3;
const IP: u8 = 1 << 2;
const PORT: u8 = 1 << 1;
const SWITCH: u8 = 1;

/// The trunk that an endpoint belongs to, and the digits that its rule takes off the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Place of the trunk in [`Identifier::trunks`].
    pub trunk: u32,
    /// As the winning rule has it; empty = none.
    pub tech_prefix: &'a str,
}

/// All rules of one side.
pub struct Identifier {
    /// Trunk ids in the order of the configuration.
    trunks: Vec<SmolStr>,
    rules: Vec<Compiled>,
    /// Most facts first, then by weight.
    shapes: Vec<Shape>,
    hasher: DefaultHashBuilder,
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identifier({} rules of {} trunks)", self.rules.len(), self.trunks.len())
    }
}

struct Compiled {
    trunk: u32,
    rule: IdentificationRule,
    /// Next rule with the same facts and values, other dates; `u32::MAX` at the end.
    next: u32,
}

/// Rules that name the same set of facts.
struct Shape {
    facts: u8,
    rules: HashTable<u32>,
    /// Lengths of the tech prefixes among them, longest first.
    tech_lengths: Vec<usize>,
}

/// The facts of one event, as far as rules may name them.
struct Seen<'a> {
    switch: &'a str,
    endpoint: &'a Endpoint,
    tech_prefix: &'a str,
}

impl Identifier {
    /// Compiles the trunks of one side.
    pub fn compile(config: &Config, side: Side) -> Self {
        let mut this =
            Self { trunks: Vec::new(), rules: Vec::new(), shapes: Vec::new(), hasher: DefaultHashBuilder::default() };
        for trunk in config.trunks.values().filter(|trunk| trunk.side == side) {
            let number = this.trunks.len() as u32;
            this.trunks.push(trunk.id.clone());
            for rule in &trunk.rules {
                this.add(number, rule);
            }
        }
        this.shapes.sort_by_key(|shape| std::cmp::Reverse((shape.facts.count_ones(), shape.facts)));
        for shape in &mut this.shapes {
            shape.tech_lengths.sort_unstable_by(|a, b| b.cmp(a));
            shape.tech_lengths.dedup();
        }
        this
    }

    /// Trunk ids; [`Found::trunk`] is a place in this list.
    pub fn trunks(&self) -> &[SmolStr] {
        &self.trunks
    }

    fn add(&mut self, trunk: u32, rule: &IdentificationRule) {
        let facts = facts_of(rule);
        if facts == 0 {
            return; // A rule without facts would match everything; `check_overlaps` lists it.
        }
        let shape = match self.shapes.iter_mut().position(|shape| shape.facts == facts) {
            Some(at) => &mut self.shapes[at],
            None => {
                self.shapes.push(Shape { facts, rules: HashTable::new(), tech_lengths: Vec::new() });
                let last = self.shapes.len() - 1;
                &mut self.shapes[last]
            }
        };
        if !rule.tech_prefix.is_empty() {
            shape.tech_lengths.push(rule.tech_prefix.len());
        }
        let (rules, hasher) = (&self.rules, &self.hasher);
        let hash = hash_rule(hasher, facts, rule);
        let index = rules.len() as u32;
        let mut next = u32::MAX;
        match shape.rules.find_mut(hash, |known| same_facts(&rules[*known as usize].rule, rule)) {
            Some(head) => next = std::mem::replace(head, index),
            None => {
                let rehash = |known: &u32| match rules.get(*known as usize) {
                    Some(known) => hash_rule(hasher, facts, &known.rule),
                    None => hash,
                };
                shape.rules.insert_unique(hash, index, rehash);
            }
        }
        self.rules.push(Compiled { trunk, rule: rule.clone(), next });
    }

    /// The trunk of an endpoint at an instant. `called` is the number as received: a tech prefix that the switch does
    /// not name apart is looked for at its beginning.
    pub fn find(&self, switch: &str, endpoint: &Endpoint, called: &str, at: i64) -> Option<Found<'_>> {
        let digits = user_part(called);
        for shape in &self.shapes {
            if shape.facts & TECH_PREFIX == 0 {
                let seen = Seen { switch, endpoint, tech_prefix: "" };
                if let Some(found) = self.find_in(shape, &seen, at) {
                    return Some(found);
                }
                continue;
            }
            if !endpoint.tech_prefix.is_empty() {
                let seen = Seen { switch, endpoint, tech_prefix: &endpoint.tech_prefix };
                if let Some(found) = self.find_in(shape, &seen, at) {
                    return Some(found);
                }
                continue;
            }
            for length in &shape.tech_lengths {
                let Some(tech_prefix) = digits.get(..*length) else { continue };
                let seen = Seen { switch, endpoint, tech_prefix };
                if let Some(found) = self.find_in(shape, &seen, at) {
                    return Some(found);
                }
            }
        }
        None
    }

    fn find_in(&self, shape: &Shape, seen: &Seen<'_>, at: i64) -> Option<Found<'_>> {
        let hash = hash_seen(&self.hasher, shape.facts, seen)?;
        let matches = |known: &u32| matches_facts(&self.rules[*known as usize].rule, shape.facts, seen);
        let mut index = *shape.rules.find(hash, matches)?;
        while let Some(compiled) = self.rules.get(index as usize) {
            if in_force(&compiled.rule, at) {
                return Some(Found { trunk: compiled.trunk, tech_prefix: &compiled.rule.tech_prefix });
            }
            index = compiled.next;
        }
        None
    }
}

fn in_force(rule: &IdentificationRule, at: i64) -> bool {
    rule.valid_from.is_none_or(|from| from.micros() <= at) && rule.valid_until.is_none_or(|until| at < until.micros())
}

fn facts_of(rule: &IdentificationRule) -> u8 {
    let mut facts = 0;
    for (bit, text) in texts(rule) {
        facts |= if text.is_empty() { 0 } else { bit };
    }
    facts | if rule.port == 0 { 0 } else { PORT }
}

fn texts(rule: &IdentificationRule) -> [(u8, &str); 6] {
    [
        (ACCOUNT, &rule.account),
        (DIGEST_USER, &rule.digest_user),
        (TECH_PREFIX, &rule.tech_prefix),
        (TRUNK, &rule.trunk),
        (IP, &rule.ip),
        (SWITCH, &rule.switch),
    ]
}

fn seen_texts<'a>(seen: &Seen<'a>) -> [(u8, &'a str); 6] {
    [
        (ACCOUNT, &seen.endpoint.account),
        (DIGEST_USER, &seen.endpoint.digest_user),
        (TECH_PREFIX, seen.tech_prefix),
        (TRUNK, &seen.endpoint.trunk),
        (IP, &seen.endpoint.ip),
        (SWITCH, seen.switch),
    ]
}

fn same_facts(a: &IdentificationRule, b: &IdentificationRule) -> bool {
    a.port == b.port && texts(a) == texts(b)
}

fn matches_facts(rule: &IdentificationRule, facts: u8, seen: &Seen<'_>) -> bool {
    let same = texts(rule).iter().zip(seen_texts(seen)).all(|((bit, a), (_, b))| facts & bit == 0 || *a == b);
    same && (facts & PORT == 0 || rule.port == seen.endpoint.port)
}

fn hash_rule(hasher: &DefaultHashBuilder, facts: u8, rule: &IdentificationRule) -> u64 {
    let mut state = hasher.build_hasher();
    for (bit, text) in texts(rule) {
        if facts & bit != 0 {
            text.hash(&mut state);
        }
    }
    if facts & PORT != 0 {
        rule.port.hash(&mut state);
    }
    state.finish()
}

/// The hash of what was seen under a shape; `None` where a named fact is missing.
fn hash_seen(hasher: &DefaultHashBuilder, facts: u8, seen: &Seen<'_>) -> Option<u64> {
    let mut state = hasher.build_hasher();
    for (bit, text) in seen_texts(seen) {
        if facts & bit != 0 {
            if text.is_empty() {
                return None;
            }
            text.hash(&mut state);
        }
    }
    if facts & PORT != 0 {
        seen.endpoint.port.hash(&mut state);
    }
    Some(state.finish())
}

/// The user part of what was received, without scheme, plus sign, host and parameters.
fn user_part(text: &str) -> &str {
    let mut rest = text.trim();
    for scheme in ["sip:", "sips:", "tel:"] {
        rest = rest.strip_prefix(scheme).unwrap_or(rest);
    }
    rest = rest.split(['@', ';', '>']).next().unwrap_or(rest);
    rest.strip_prefix('+').unwrap_or(rest)
}

/// The number to be rated: the tech prefix of the winning rule taken off where the number as received begins with it,
/// then the first of the trunk's own prefixes that matches. `None` = no number.
pub fn number_of(called: &str, normalised: Option<E164>, tech_prefix: &str, strip: &[SmolStr]) -> Option<E164> {
    if tech_prefix.is_empty() && strip.is_empty() {
        return normalised.filter(|number| !number.is_empty());
    }
    let whole = user_part(called);
    let rest = if tech_prefix.is_empty() { whole } else { whole.strip_prefix(tech_prefix).unwrap_or(whole) };
    let mut number = if rest.len() == whole.len() { normalised } else { E164::normalise(rest).ok() };
    let written = number.map_or(rest, |_| rest.strip_prefix('+').unwrap_or(rest));
    if let Some(bare) = strip.iter().find_map(|prefix| written.strip_prefix(prefix.as_str())) {
        number = E164::normalise(bare).ok();
    }
    number.filter(|number| !number.is_empty())
}

/// Two rules that would both win for the same event, or a rule that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Overlap {
    #[error(
        "rule {rule_a} of trunk {a} and rule {rule_b} of trunk {b} name the same facts at the same time; \
         end one before the other begins"
    )]
    SameFacts { a: SmolStr, rule_a: usize, b: SmolStr, rule_b: usize },
    #[error("rule {rule} of trunk {trunk} names no fact and would match every call; name at least one")]
    NoFacts { trunk: SmolStr, rule: usize },
    #[error("rule {rule} of trunk {trunk} ends before it begins")]
    NeverValid { trunk: SmolStr, rule: usize },
    #[error("agreements {a} and {b} of account {account} cover the same product and side at the same time")]
    Agreements { a: SmolStr, b: SmolStr, account: SmolStr },
}

/// What `tandem apply` refuses: rules are counted from 1, as they stand in the file.
pub fn check_overlaps(config: &Config) -> Vec<Overlap> {
    let mut overlaps = Vec::new();
    let mut all: Vec<(&Trunk, usize, &IdentificationRule)> = config
        .trunks
        .values()
        .flat_map(|trunk| trunk.rules.iter().enumerate().map(move |(at, rule)| (trunk, at + 1, rule)))
        .collect();
    for (trunk, at, rule) in &all {
        if facts_of(rule) == 0 {
            overlaps.push(Overlap::NoFacts { trunk: trunk.id.clone(), rule: *at });
        }
        if matches!((rule.valid_from, rule.valid_until), (Some(from), Some(until)) if until <= from) {
            overlaps.push(Overlap::NeverValid { trunk: trunk.id.clone(), rule: *at });
        }
    }
    all.sort_by(|(a, _, rule_a), (b, _, rule_b)| {
        (a.side, texts(rule_a), rule_a.port).cmp(&(b.side, texts(rule_b), rule_b.port))
    });
    for same in all.chunk_by(|(a, _, x), (b, _, y)| a.side == b.side && same_facts(x, y)) {
        for (at, (a, rule_a, x)) in same.iter().enumerate() {
            for (b, rule_b, y) in &same[at + 1..] {
                if facts_of(x) != 0 && spans_meet(span(x.valid_from, x.valid_until), span(y.valid_from, y.valid_until))
                {
                    let (a, b) = (a.id.clone(), b.id.clone());
                    overlaps.push(Overlap::SameFacts { a, rule_a: *rule_a, b, rule_b: *rule_b });
                }
            }
        }
    }
    let mut agreements: Vec<_> = config.agreements.values().collect();
    agreements.sort_by_key(|a| (&a.account, a.side, &a.product));
    for same in agreements.chunk_by(|a, b| (&a.account, a.side, &a.product) == (&b.account, b.side, &b.product)) {
        for (at, a) in same.iter().enumerate() {
            for b in &same[at + 1..] {
                if spans_meet(span(a.valid_from, a.valid_until), span(b.valid_from, b.valid_until)) {
                    let (x, y, account) = (a.id.clone(), b.id.clone(), a.account.clone());
                    overlaps.push(Overlap::Agreements { a: x, b: y, account });
                }
            }
        }
    }
    overlaps
}

fn span(from: Option<facts::OccurredAt>, until: Option<facts::OccurredAt>) -> (i64, i64) {
    (from.map_or(i64::MIN, |x| x.micros()), until.map_or(i64::MAX, |x| x.micros()))
}

fn spans_meet(a: (i64, i64), b: (i64, i64)) -> bool {
    a.0.max(b.0) < a.1.min(b.1)
}

#[cfg(test)]
mod tests;
