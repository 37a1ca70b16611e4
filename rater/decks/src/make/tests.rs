//! What a carrier would fear of a sell deck that was made by a program: a number that is sold below its cost.

use super::*;
use crate::life::charge::charge;
use expect_test::expect;
use facts::deck::{RowStatus, Settings};
use proptest::prelude::*;

const RULE: IntervalRule = IntervalRule::Anchored;
const DAY: i64 = 86_400_000_000;
/// Denominators of charges and percentages, all at once: products of small test prices stay far below 128 bits.
const SCALE: i128 = 60 * 60 * 1_000_000;

fn row(code: &str, name: &str, price: &str, increments: (u32, u32)) -> Rate {
    Rate::simple(Prefix::new(code).unwrap(), name, increments.0, increments.1, price.parse().unwrap())
}

fn recipe(text: &str) -> Recipe {
    Recipe::parse(&format!("deck = \"sell\"\nbuy = [\"a\", \"b\"]\n{text}")).unwrap()
}

/// The rows of a deck made from two, with their reasons, as text.
fn shown(recipe: &Recipe, decks: [Vec<Rate>; 2], codes: &[&str]) -> String {
    let (names, decks) = (["a", "b"].map(SmolStr::from), decks.map(Rows::of));
    let buys: Vec<Buy<'_>> = names
        .iter()
        .zip(&decks)
        .map(|(name, rows)| Buy { name, rows, rule: RULE, split: false, exchange: 100_000_000, rounds: &[] })
        .collect();
    let mut list = union(&buys, 0);
    if !codes.is_empty() {
        list = codes.iter().map(|code| Code { prefix: Prefix::new(code).unwrap(), destination: "X".into() }).collect();
    }
    let made = make(recipe, &buys, &list, &Selling { effective: 0, rule: RULE, rounds: &[] }).unwrap();
    let mut text = String::new();
    for (rate, why) in made.rates.iter().zip(&made.whys) {
        let until = if why.until == crate::life::rows::OPEN { "-".to_owned() } else { (why.until / DAY).to_string() };
        let by = why.decider.as_ref().map_or_else(String::new, |d| {
            format!(" by {} {}* for {}* at {} s, cost {}", d.vendor, d.code, d.cell, d.seconds, d.cost)
        });
        let state = if rate.status == RowStatus::Blocked { "blocked".to_owned() } else { rate.next_rate.to_string() };
        let fee = if rate.connect_fee.0 == 0 { String::new() } else { format!(" + {}", rate.connect_fee) };
        text.push_str(&format!(
            "{} {}..{until} {state}{fee} {}: {}{by}\n",
            rate.prefix,
            why.from / DAY,
            rate.destination,
            why.rule.as_str()
        ));
    }
    text
}

#[test]
fn a_minute_bought_and_a_second_sold_costs_what_the_shortest_call_costs() {
    let decks = || [vec![row("49", "Germany", "0.01", (60, 60))], vec![row("49", "DE", "0.02", (1, 1))]];
    // By rate a is cheaper; over the profile too. Sold by the minute its rate is its cost.
    expect![[r#"
        49 0..- 0.01 Germany: margin by a 49* for 49* at 60 s, cost 0.01
    "#]]
    .assert_eq(&shown(&recipe("increment = \"60/60\""), decks(), &[]));
    // Sold by the second, one second must bring what a minute costs.
    expect![[r#"
        49 0..- 0.6 Germany: margin by a 49* for 49* at 1 s, cost 0.6
    "#]]
    .assert_eq(&shown(&recipe("increment = \"1/1\""), decks(), &[]));
    // Calls below 20 s may lose.
    expect![[r#"
        49 0..- 0.03 Germany: margin by a 49* for 49* at 20 s, cost 0.03
    "#]]
    .assert_eq(&shown(&recipe("increment = \"1/1\"\nshortest_seconds = 20"), decks(), &[]));
    // As a whole, these calls are 60 + 60 + 120 s bought for 10 + 60 + 61 s sold.
    expect![[r#"
        49 0..- 0.0184 Germany: margin by a 49* for 49* at 0 s, cost 0.0183206107
    "#]]
    .assert_eq(&shown(
        &recipe("increment = \"1/1\"\nfloor = \"profile\"\nprofile = [[10, 1], [60, 1], [61, 1]]"),
        decks(),
        &[],
    ));
}

#[test]
fn the_dearest_cell_of_a_code_makes_its_price_and_an_empty_remainder_makes_none() {
    let ten = (0..10).map(|digit| row(&format!("49{digit}"), "DE", &format!("0.0{digit}"), (1, 1)));
    let decks = || [vec![row("49", "Germany", "0.5", (1, 1))], ten.clone().collect::<Vec<_>>()];
    // b has all ten codes below 49 and a is dearer: nobody pays 0.5 but at position 2.
    expect![[r#"
        49 0..- 0.09 X: margin by b 499* for 499* at 1 s, cost 0.09
    "#]]
    .assert_eq(&shown(&recipe("increment = \"1/1\""), decks(), &["49"]));
    expect![[r#"
        49 0..- 0.5 X: margin by a 49* for 490* at 1 s, cost 0.5
        499 0..- 0.5 X: margin by a 49* for 499* at 1 s, cost 0.5
    "#]]
    .assert_eq(&shown(&recipe("increment = \"1/1\"\nposition = 2"), decks(), &["49", "499"]));
    // The mean of both is that of 0.5 and 0.09.
    expect![[r#"
        49 0..- 0.295 X: margin by a 49* for 499* at 1 s, cost 0.295
    "#]]
    .assert_eq(&shown(&recipe("increment = \"1/1\"\naverage_of = 2"), decks(), &["49"]));
}

#[test]
fn margins_exceptions_blocks_and_endings_are_those_of_the_recipe() {
    let decks = || {
        let a = vec![
            row("49", "Germany", "0.0101", (1, 1)),
            row("4915", "Germany Mobile", "0.02", (1, 1)),
            row("88", "Satellite", "3", (1, 1)),
        ];
        [a, vec![Rate { status: RowStatus::Blocked, ..row("53", "Cuba", "0", (1, 1)) }]]
    };
    let text = "increment = \"1/1\"\ndecimals = 3\nendings = [5]\nblocked = [\"88\", \"4916\"]\n\
                [margin]\npercent = \"10\"\nminimum = \"0.002\"\n\
                [[exception]]\ndestination = \"Germany M\"\nmargin = { percent = \"20\", of = \"price\", amount = \"0.001\" }";
    expect![[r#"
        49 0..- 0.015 Germany: minimum margin by a 49* for 49* at 1 s, cost 0.0101
        4915 0..- 0.035 Germany Mobile: margin by a 4915* for 4915* at 1 s, cost 0.02
        4916 0..- blocked Germany: blocked by the recipe
        53 0..- blocked Cuba: no vendor
        88 0..- blocked Satellite: blocked by the recipe
    "#]]
    .assert_eq(&shown(&recipe(text), decks(), &[]));
}

#[test]
fn what_will_cost_more_next_week_is_sold_dearer_from_next_week_on() {
    let until = Rate { valid_until: Some(7 * DAY), ..row("49", "Germany", "0.01", (1, 1)) };
    let from = Rate { valid_from: Some(7 * DAY), ..row("49", "Germany", "0.03", (1, 1)) };
    let other = Rate { valid_until: Some(9 * DAY), ..row("49", "DE", "0.02", (1, 1)) };
    expect![[r#"
        49 0..7 0.01 Germany: margin by a 49* for 49* at 1 s, cost 0.01
        49 7..9 0.02 Germany: margin by b 49* for 49* at 1 s, cost 0.02
        49 9..- 0.03 Germany: margin by a 49* for 49* at 1 s, cost 0.03
    "#]]
    .assert_eq(&shown(&recipe("increment = \"1/1\""), [vec![until, from], vec![other]], &[]));
}

#[test]
fn the_worst_of_hours_origins_and_jurisdictions_is_covered_unless_the_recipe_looks_at_plain_rows() {
    let decks = || {
        let base = row("1", "USA", "0.01", (1, 1));
        let origin = Rate { origin: Some("EEA".into()), ..row("1", "USA", "0.05", (1, 1)) };
        let state = Rate { intra_rate: Some("0.03".parse().unwrap()), ..row("1212", "USA NY", "0.01", (1, 1)) };
        let fee = Rate { connect_fee: "0.1".parse().unwrap(), ..row("1907", "USA AK", "0.02", (1, 1)) };
        [vec![base, origin, state, fee], vec![]]
    };
    expect![[r#"
        1 0..- 0.05 USA: margin by a 1* for 1* at 1 s, cost 0.05
        1212 0..- 0.03 USA NY: margin by a 1212* for 1212* at 1 s, cost 0.03
        1907 0..- 0.02 + 0.1 USA AK: margin by a 1907* for 1907* at 1 s, cost 0.02
    "#]]
    .assert_eq(&shown(&recipe("increment = \"1/1\""), decks(), &[]));
    let plain = recipe("increment = \"1/1\"\nrows = \"plain\"\nconnect_fee = \"in-rate\"\nshortest_seconds = 60");
    expect![[r#"
        1 0..- 0.01 USA: margin by a 1* for 1* at 60 s, cost 0.01
        1212 0..- 0.03 USA NY: margin by a 1212* for 1212* at 60 s, cost 0.03
        1907 0..- 0.12 USA AK: margin by a 1907* for 1907* at 60 s, cost 0.12
    "#]]
    .assert_eq(&shown(&plain, decks(), &[]));
}

/// A vendor's row by random: codes of one to four digits of 1 to 3, so that they lie within one another.
fn any_row() -> impl Strategy<Value = Rate> {
    let settings = (0u8..12, 0i64..2_000_000, 0u32..40);
    let increments =
        prop_oneof![Just((1u32, 1u32)), Just((60, 60)), Just((30, 6)), Just((60, 1)), (0u32..70, 1u32..70)];
    let dates = (0i64..3, 0i64..4);
    ("[1-3]{1,4}", 1i64..90_000_000, 1i64..90_000_000, increments, settings, dates).prop_map(
        |(code, first, next, increments, (kind, fee, seconds), (from, length))| {
            let mut rate = row(&code, "Somewhere", "0", increments);
            (rate.first_rate, rate.next_rate) = (Price(first), Price(next));
            let (micros, fee) = (i64::from(seconds) * 1_000_000, Price(fee));
            match kind {
                0 => rate.status = RowStatus::Blocked,
                1 => rate.connect_fee = fee,
                2 => rate.settings = Settings { minimum_amount: Some(fee), ..Settings::default() },
                3 => rate.settings = Settings { minimum_duration: Some(micros), ..Settings::default() },
                4 => rate.settings = Settings { grace: Some(micros), ..Settings::default() },
                5 => rate.free = micros,
                6 => rate.settings = Settings { disconnect_fee: Some(fee), ..Settings::default() },
                _ => {}
            }
            rate.valid_from = Some(from * DAY);
            rate.valid_until = (length < 3).then_some((from + length + 1) * DAY);
            rate
        },
    )
}

/// Charge over [`SCALE`].
fn scaled(rate: &Rate, seconds: u32) -> i128 {
    let charge = charge(rate.first_rate, rate.next_rate, rate, seconds, RULE).unwrap();
    charge.numerator * (SCALE / charge.over)
}

/// What a number costs then by the recipe's position, the plain way: over [`SCALE`] times the vendors.
fn cost(recipe: &Recipe, decks: &[Rows], number: Prefix, at: i64, seconds: u32) -> Option<(i128, i128)> {
    let rows = decks.iter().filter_map(|rows| rows.covering(number, at)).map(|row| row.rate());
    let mut rows: Vec<Rate> = rows.filter(|rate| rate.status == RowStatus::Open).collect();
    rows.sort_by_key(|rate| {
        recipe.profile.iter().map(|(s, weight)| scaled(rate, *s) * i128::from(*weight)).sum::<i128>()
    });
    match recipe.position {
        Position::Nth(nth) => {
            rows.get(rows.len().min(nth as usize).checked_sub(1)?).map(|rate| (scaled(rate, seconds), 1))
        }
        Position::AverageOf(count) => {
            rows.truncate(count as usize);
            let sum = rows.iter().map(|rate| scaled(rate, seconds)).sum();
            (!rows.is_empty()).then_some((sum, rows.len() as i128))
        }
    }
}

/// Seconds that a row without other settings bills, counted one step after the other.
fn billed(rate: &Rate, seconds: u32) -> i128 {
    let mut billed = rate.first_interval;
    while billed < seconds.max(1) {
        billed += rate.next_interval;
    }
    i128::from(billed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn no_number_is_sold_below_cost_and_margin_whatever_the_codes_increments_and_the_duration(
        decks in prop::collection::vec(prop::collection::vec(any_row(), 1..14), 1..4),
        sell in prop_oneof![Just((1u32, 1u32)), Just((60, 60)), Just((30, 6)), (0u32..70, 1u32..70)],
        own in prop::option::of(prop::collection::btree_set("[1-3]{1,3}", 1..6)),
        (position, average, percent, amount, minimum) in (1u32..4, any::<bool>(), 0i64..600_000, 0i64..9_000_000, 0i64..9_000_000),
        (decimals, ending) in (3u32..7, any::<bool>()),
        calls in prop::collection::vec(("[1-3]{6}", 0i64..8, 1u32..4_000), 40),
    ) {
        let deck = |mut rates: Vec<Rate>| {
            // Two rows of one code and one day are refused where a deck is imported.
            rates.sort_by_key(|rate| (rate.prefix, rate.valid_from));
            rates.dedup_by_key(|rate| (rate.prefix, rate.valid_from));
            Rows::of(rates)
        };
        let decks: Vec<Rows> = decks.into_iter().map(deck).collect();
        let names: Vec<SmolStr> = (0..decks.len()).map(|at| format!("v{at}").into()).collect();
        let place = if average { "average_of" } else { "position" };
        let recipe = Recipe::parse(&format!(
            "deck = \"sell\"\nbuy = [\"a\"]\n{place} = {position}\nincrement = \"{}/{}\"\ndecimals = {decimals}\nendings = {}\nlongest_seconds = 3600\n\
             [margin]\npercent = \"{}\"\namount = \"{}\"\nminimum = \"{}\"",
            sell.0, sell.1, if ending { "[5]" } else { "[]" }, facts::money::format_scaled(percent.into(), 4, 0), Price(amount), Price(minimum),
        )).unwrap();
        let buys: Vec<Buy<'_>> = names.iter().zip(&decks).map(|(name, rows)| Buy { name, rows, rule: RULE, split: false, exchange: 100_000_000, rounds: &[] }).collect();
        let codes = match &own {
            None => union(&buys, 0),
            Some(own) => own.iter().map(|code| Code { prefix: Prefix::new(code).unwrap(), destination: "X".into() }).collect(),
        };
        let made = make(&recipe, &buys, &codes, &Selling { effective: 0, rule: RULE, rounds: &[] }).unwrap();
        let sold = Rows::of(made.rates.clone());
        for (number, day, seconds) in &calls {
            let (number, at) = (Prefix::new(number).unwrap(), day * DAY + 5);
            let in_profile = recipe.profile.iter().map(|(seconds, _)| *seconds);
            for seconds in in_profile.chain([*seconds, seconds % 61 + 1]).filter(|seconds| *seconds <= 3_600) {
                let Some(row) = sold.covering(number, at).filter(|row| row.status() == RowStatus::Open) else {
                    // What is not sold is not in the code set, or no vendor takes it.
                    let within = codes.iter().any(|code| number.truncate(code.prefix.len()) == code.prefix);
                    let cost = cost(&recipe, &decks, number, at, seconds);
                    prop_assert!(!within || cost.is_none(), "{} is not sold on day {}", number, day);
                    continue;
                };
                let Some((cost, vendors)) = cost(&recipe, &decks, number, at, seconds) else { continue };
                let sell = scaled(&row.rate(), seconds);
                // Earned: the percentage of the cost, and the amounts for each billed minute.
                let minutes = billed(row.body, seconds) * (SCALE / 60);
                let wanted = (cost * i128::from(1_000_000 + percent)) / 1_000_000 + minutes * i128::from(amount) * vendors;
                let least = cost + minutes * i128::from(minimum) * vendors;
                prop_assert!(sell * vendors >= wanted && sell * vendors >= least, "{} for {} s on day {}: sold {} for {}", number, seconds, day, sell * vendors, wanted.max(least));
            }
        }
    }
}
