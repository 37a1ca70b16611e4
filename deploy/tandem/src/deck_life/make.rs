//! `tandem deck make`: a sell deck from buy decks by a recipe, taken in like a file: held, compared, weighed, a version of
//! its own. Loads the decks and tells the reasons; what a price must be is `decks::make`.

use super::args::MakeArgs;
use super::export::csv_line;
use super::floors::exchange;
use super::take::{Claims, Incoming, take};
use super::told::Told;
use super::traffic::instant_or;
use super::{root, rows_of};
use crate::apply::read_bounded;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use decks::life::diff::day;
use decks::life::{Kind, Rows};
use decks::make::{
    AttemptFee, Buy, Closings, Code, CodeSet, Made, Recipe, Rounds, Rule, Selling, Why, make as make_rows, union,
    with_settings,
};
use facts::Side;
use facts::config::{Agreement, Config};
use facts::deck::{BandCrossing, DeckTerms, IntervalRule, RowStatus, Settings};
use facts::money::Currency;
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// A vendor's rate this many percent above its own is told: increments and fees made it so.
const FAR_PERCENT: i128 = 150;

/// A sell deck as a recipe makes it, before it is taken in.
pub struct Making {
    pub made: Made,
    pub terms: DeckTerms,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// A vendor's deck as it is bought by.
struct Loaded {
    name: SmolStr,
    rows: Rows,
    rule: IntervalRule,
    split: bool,
    exchange: i64,
    rounds: Vec<Rounds>,
}

/// Makes the rows of a recipe that count from `effective` on. Writes nothing.
pub fn making(config: &Config, recipe: &Recipe, effective: i64) -> Result<Making, Failure> {
    let terms = terms(config, recipe)?;
    let mut notes = Vec::new();
    let loaded = recipe.buy.iter().map(|name| load(config, name, terms.currency, effective, &terms, &mut notes));
    let loaded = loaded.collect::<Result<Vec<Loaded>, Failure>>()?;
    let buys: Vec<Buy<'_>> = loaded
        .iter()
        .map(|deck| Buy {
            name: &deck.name,
            rows: &deck.rows,
            rule: deck.rule,
            split: deck.split,
            exchange: deck.exchange,
            rounds: &deck.rounds,
        })
        .collect();
    let codes = codes(config, recipe, &buys, effective)?;
    let by = agreements(config, &recipe.deck, Side::Sell, effective);
    let rounds = rounds(config, &by, terms.currency, effective, &mut notes);
    let selling = Selling { effective, rule: terms.interval_rule, rounds: &rounds };
    let made = make_rows(recipe, &buys, &codes, &selling).map_err(Failure::usage)?;
    if terms.settings != Settings::default() {
        notes.push(format!(
            "deck {} has settings of its own (grace, bounds or fees): calls that they make cheaper are not covered",
            recipe.deck
        ));
    }
    for agreement in by.iter().filter(|agreement| agreement.settings != Settings::default()) {
        notes.push(format!(
            "agreement {} has settings of its own (grace, bounds or fees): calls that they make cheaper are not covered",
            agreement.id
        ));
    }
    tell(recipe, &made, &buys, &mut notes);
    Ok(Making { made, terms, notes })
}

fn terms(config: &Config, recipe: &Recipe) -> Result<DeckTerms, Failure> {
    let last = config.decks.get(&recipe.deck).and_then(|versions| versions.last());
    match (last, recipe.currency) {
        (Some(last), Some(wanted)) if last.terms.currency != wanted => Err(Failure::Usage(format!(
            "deck {:?} is in {}, the recipe asks for {wanted}; a deck never changes its currency",
            recipe.deck, last.terms.currency
        ))),
        (Some(last), _) => Ok(last.terms.clone()),
        (None, Some(currency)) => Ok(DeckTerms::new(currency)),
        (None, None) => match recipe.buy.first() {
            Some(first) => Ok(DeckTerms::new(root(config, first)?.terms.currency)),
            None => Err(Failure::Usage("the recipe names no buy deck".to_owned())),
        },
    }
}

fn load(
    config: &Config,
    name: &SmolStr,
    into: Currency,
    at: i64,
    sell: &DeckTerms,
    notes: &mut Vec<String>,
) -> Result<Loaded, Failure> {
    let root = root(config, name)?;
    let from = root.terms.currency;
    let exchange = exchange(config, from, into, at).filter(|rate| *rate > 0).ok_or_else(|| {
        Failure::Usage(format!(
            "deck {} is in {from}, deck to be made is in {into}, and there is no exchange rate from {from} to {into} at {}; \
             apply one ([[exchange_rate]])",
            root.id,
            facts::time::rfc3339(at)
        ))
    })?;
    if from != into {
        notes.push(format!("deck {} is in {from}: its costs count at the rate to {into} of {}", root.id, day(at)));
    }
    if root.terms.rated_number != sell.rated_number {
        notes.push(format!("deck {} prices another number (dialled or LRN) than the deck that is made", root.id));
    }
    let by = agreements(config, &root.id, Side::Buy, at);
    let mut settings = root.terms.settings;
    let (same, other): (Vec<&Agreement>, Vec<&Agreement>) = by.iter().partition(|agreement| {
        config.accounts.get(&agreement.account).is_some_and(|account| account.currency == from)
            && by.iter().all(|other| other.settings == agreement.settings)
    });
    // Terms further out than the deck's own: what the agreement says counts where neither row nor deck does.
    if let Some(agreement) = same.first() {
        settings = settings.or(&agreement.settings);
    }
    for agreement in other.iter().filter(|agreement| agreement.settings != Settings::default()) {
        notes.push(format!(
            "agreement {} by which deck {} is bought has fees or bounds of its own that are in no price: they are not those \
             of the deck's other agreements, or in another currency",
            agreement.id, root.id
        ));
    }
    let rounds = rounds(config, &by, from, at, notes);
    let rows = with_settings(rows_of(config, &root.chunks)?, &settings);
    let (rule, split) = (root.terms.interval_rule, root.terms.band_crossing == BandCrossing::Split);
    Ok(Loaded { name: root.id.clone(), rows, rule, split, exchange, rounds })
}

/// Agreements of a side that are priced by a deck at an instant or later.
fn agreements<'c>(config: &'c Config, deck: &str, side: Side, at: i64) -> Vec<&'c Agreement> {
    let priced = |agreement: &&Agreement| {
        agreement.side == side
            && agreement.valid_until.is_none_or(|until| until.0 > at)
            && config.deck_of(agreement).is_some_and(|by| by == deck)
    };
    config.agreements.values().filter(priced).collect()
}

/// How they round; an agreement that says nothing where there is none yet.
fn rounds(config: &Config, by: &[&Agreement], deck: Currency, at: i64, notes: &mut Vec<String>) -> Vec<Rounds> {
    let mut found: Vec<Rounds> = Vec::new();
    for agreement in by {
        let Some(account) = config.accounts.get(&agreement.account) else { continue };
        let Some(exchange) = exchange(config, deck, account.currency, at).filter(|rate| *rate > 0) else {
            notes.push(format!(
                "agreement {} rounds in {}, and there is no exchange rate from {deck}: its rounding is in no price",
                agreement.id, account.currency
            ));
            continue;
        };
        let (duration, amount, decimals) =
            (agreement.duration_rounding, agreement.amount_rounding, agreement.amount_decimals);
        let rounds = Rounds { duration, amount, decimals, exchange };
        if !found.contains(&rounds) {
            found.push(rounds);
        }
    }
    if by.is_empty() {
        found.push(Rounds::default());
    }
    found
}

fn codes(config: &Config, recipe: &Recipe, buys: &[Buy<'_>], effective: i64) -> Result<Vec<Code>, Failure> {
    let name = match &recipe.codes {
        CodeSet::Buy => return Ok(union(buys, effective)),
        CodeSet::Own => &recipe.deck,
        CodeSet::Deck(name) => name,
    };
    let root = root(config, name)?;
    let rows = rows_of(config, &root.chunks)?;
    let rule = root.terms.interval_rule;
    let own = Buy { name: &root.id, rows: &rows, rule, split: false, exchange: 1, rounds: &[] };
    Ok(union(&[own], effective))
}

/// What is not in the prices, and what made them.
fn tell(recipe: &Recipe, made: &Made, buys: &[Buy<'_>], notes: &mut Vec<String>) {
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    let mut vendors: BTreeMap<&SmolStr, u64> = BTreeMap::new();
    let mut far: Vec<&Why> = Vec::new();
    let mut without = 0;
    for why in &made.whys {
        *rules.entry(why.rule.as_str()).or_default() += 1;
        without += u64::from(why.rule != Rule::NoVendor && why.without_vendor > 0);
        let Some(by) = &why.decider else { continue };
        *vendors.entry(&by.vendor).or_default() += 1;
        let exchange = buys.iter().find(|buy| *buy.name == by.vendor).map_or(0, |buy| i128::from(buy.exchange));
        let rate = i128::from(by.next_rate.0.max(by.first_rate.0)) * exchange;
        if i128::from(by.cost.0) * 100 * 100_000_000 > rate * FAR_PERCENT {
            far.push(why);
        }
    }
    fn counted<'a>(map: impl Iterator<Item = (&'a str, &'a u64)>) -> String {
        map.map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
    }
    let rows = made.rates.len();
    notes.push(format!("{rows} rows made: {}", counted(rules.iter().map(|(word, count)| (*word, count)))));
    notes.push(format!("decided by {}", counted(vendors.iter().map(|(name, count)| (name.as_str(), count)))));
    far.sort_by_key(|why| std::cmp::Reverse(why.price));
    if let Some(why) = far.first()
        && let Some(by) = &why.decider
    {
        notes.push(format!(
            "{} rows cost more than half as much again as the vendor's rate, because of increments or fees; the dearest is \
             {} {}: {} asks {}/{} s at {}, and a call of {} s must be covered",
            far.len(), why.prefix, why.destination, by.vendor, by.first_interval, by.next_interval, by.next_rate, by.seconds
        ));
    }
    let passed = match recipe.attempt_fee {
        AttemptFee::PassOn => "rows of vendors have an attempt fee: the customer pays one for each attempt too",
        AttemptFee::InRate => {
            "rows of vendors have an attempt fee: answered calls cover it for all, by the answer ratio"
        }
    };
    let told = [
        (without, "sold codes hold longer codes that no vendor takes; calls to these have no route"),
        (made.not_sold, "codes of vendors lie in no code that is sold"),
        (made.left_out, "codes are left out because no vendor takes them"),
        (made.surcharges, "surcharges by the caller's origin are in no price, because rows = \"plain\""),
        (made.reverse, "rows with a negative price are taken for no offer"),
        (made.attempt_fees, passed),
    ];
    notes.extend(told.iter().filter(|(count, _)| *count > 0).map(|(count, text)| format!("{count} {text}")));
}

/// Makes, compares and weighs; with `write` it becomes the next version, or is held.
pub fn make(node: &Node, args: &MakeArgs, write: bool, now: i64, told: &Told) -> Result<Answer, Failure> {
    let config = node.config.current();
    let bytes = read_bounded(&args.recipe)?;
    let wrong = |reason: &dyn std::fmt::Display| Failure::Usage(format!("{}: {reason}", args.recipe.display()));
    let text = std::str::from_utf8(&bytes).map_err(|e| wrong(&e))?;
    let recipe = Recipe::parse(text).map_err(|e| wrong(&e))?;
    let effective = instant_or("--effective", args.effective.as_deref(), now)?;
    told.stage("making the deck");
    let Making { made, terms, notes } = making(&config, &recipe, effective)?;
    if made.rates.is_empty() {
        return Err(wrong(&"no code is sold by any of these decks; nothing was made"));
    }
    let priced = |status: RowStatus| status == RowStatus::Open;
    let zero = made.rates.iter().filter(|rate| priced(rate.status) && rate.next_rate.0 == 0).count();
    let reasons: Vec<Vec<String>> = made.whys.iter().zip(&made.rates).map(|(why, rate)| reason(why, rate)).collect();
    let rows = Rows::of(made.rates);
    let incoming = Incoming {
        deck: &recipe.deck,
        terms,
        rows: &rows,
        kind: Kind::Az,
        word: SmolStr::new_static("make"),
        effective,
        notified: instant_or("--announced", args.announced.as_deref(), now)?,
        days: args.days,
        file: args.recipe.display().to_string(),
        file_hash: *blake3::hash(&bytes).as_bytes(),
        product: config.last_import(&recipe.deck).map(|import| import.product.clone()).unwrap_or_default(),
        by: &args.by,
        reason: &args.reason,
        zero: zero as u64,
        causes: Vec::new(),
        claims: Claims::Wait { closings: recipe.closings == Closings::AfterNotice },
        all_changes: args.all_changes.clone(),
        foreign: None,
        lines: reasons.iter().map(|cells| json!({ "made": object(cells) })).collect(),
        more: json!({ "made": rows.len(), "not_sold": made.not_sold, "left_out": made.left_out }),
    };
    let mut answer = take(node, &config, incoming, notes, write, now, told)?;
    if let Some(path) = &args.explain {
        let mut text = csv_line(REASON.iter().map(|word| (*word).to_owned()));
        text.extend(reasons.into_iter().map(|cells| csv_line(cells.into_iter())));
        answer.files.push((path.clone(), text));
    }
    Ok(answer)
}

/// Columns of the explanation.
const REASON: [&str; 23] = [
    "code",
    "destination",
    "from",
    "until",
    "price",
    "connect_fee",
    "attempt_fee",
    "increment",
    "rule",
    "vendor",
    "vendor_code",
    "numbers",
    "vendor_first_rate",
    "vendor_rate",
    "vendor_increment",
    "vendor_fee",
    "vendor_attempt_fee",
    "vendor_origin",
    "vendor_surcharge",
    "seconds",
    "cost",
    "cells",
    "cells_without_vendor",
];

fn object(cells: &[String]) -> Value {
    REASON.iter().zip(cells).map(|(key, cell)| ((*key).to_owned(), json!(cell))).collect()
}

fn reason(why: &Why, rate: &facts::deck::Rate) -> Vec<String> {
    let by = why.decider.as_ref();
    let text = |of: &dyn Fn(&decks::make::Decider) -> String| by.map(of).unwrap_or_default();
    vec![
        why.prefix.to_string(),
        why.destination.to_string(),
        day(why.from),
        day(why.until),
        why.price.to_string(),
        rate.connect_fee.to_string(),
        rate.settings.attempt_fee.unwrap_or_default().to_string(),
        format!("{}/{}", rate.first_interval, rate.next_interval),
        why.rule.as_str().to_owned(),
        text(&|by| by.vendor.to_string()),
        text(&|by| by.code.to_string()),
        text(&|by| format!("{}*", by.cell)),
        text(&|by| by.first_rate.to_string()),
        text(&|by| by.next_rate.to_string()),
        text(&|by| format!("{}/{}", by.first_interval, by.next_interval)),
        text(&|by| by.connect_fee.to_string()),
        text(&|by| by.attempt_fee.to_string()),
        text(&|by| by.origin.clone().unwrap_or_default().to_string()),
        text(&|by| by.surcharge.to_string()),
        text(&|by| if by.seconds == 0 { "profile".to_owned() } else { by.seconds.to_string() }),
        text(&|by| by.cost.to_string()),
        why.cells.to_string(),
        why.without_vendor.to_string(),
    ]
}
