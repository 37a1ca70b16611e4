//! What a carrier would fear of its decks' versions.

use super::rows::{ALWAYS, OPEN};
use super::*;
use facts::deck::{IntervalRule, Price, Rate, RowStatus};
use facts::{Amount, Prefix};
use smol_str::SmolStr;

const DAY: i64 = 86_400_000_000;
const RULE: IntervalRule = IntervalRule::Anchored;

fn rate(code: &str, price: &str, from_day: i64) -> Rate {
    let price: Price = price.parse().unwrap();
    Rate { valid_from: Some(from_day * DAY), ..Rate::simple(Prefix::new(code).unwrap(), "Somewhere", 1, 1, price) }
}

fn plan(kind: Kind, effective_day: i64, notice_day: Option<i64>) -> Plan {
    let notice = notice_day.map(|day| day * DAY);
    Plan { kind, missing: Missing::Discontinued, effective: effective_day * DAY, notice, closes: None, rule: RULE }
}

/// Code, price per minute, first and last day, as text.
fn shown(rows: &Rows) -> Vec<String> {
    let day = |at: i64| if at == OPEN || at == ALWAYS { "-".to_owned() } else { (at / DAY).to_string() };
    let line = |row: RowRef<'_>| {
        let (from, until) = (day(row.row.from), day(row.row.until));
        let state = if row.status() == RowStatus::Blocked { " blocked" } else { "" };
        format!("{} {} {from}..{until}{state}", row.prefix(), row.row.next_rate)
    };
    rows.iter().map(line).collect()
}

fn merged(old: &Rows, file: Vec<Rate>, plan: Plan) -> Merged {
    merge(old, &Rows::new(), &Rows::of(file), &plan)
}

#[test]
fn what_an_az_file_leaves_out_ends_and_what_a_partial_one_leaves_out_stays() {
    let old = Rows::of([rate("49", "0.01", 0), rate("4930", "0.02", 0)]);
    let file = vec![rate("49", "0.01", 0)];
    let az = merged(&old, file.clone(), plan(Kind::Az, 100, None));
    assert_eq!(shown(&az.rows), ["49 0.01 0..-", "4930 0.02 0..100"]);
    let partial = merged(&old, file.clone(), plan(Kind::Partial, 100, None));
    assert_eq!(shown(&partial.rows), shown(&old));
    let blocking = Plan { missing: Missing::Blocked, ..plan(Kind::Az, 100, None) };
    assert_eq!(
        shown(&merged(&old, file, blocking).rows),
        ["49 0.01 0..-", "4930 0.02 0..100", "4930 0.02 100..- blocked"]
    );
}

#[test]
fn a_code_that_is_sold_closes_no_earlier_than_its_customers_were_promised() {
    let old = Rows::of([rate("49", "0.01", 0), rate("4930", "0.02", 0), rate("33", "0.02", 0), rate("88", "1", 300)]);
    let blocked = Rate { status: RowStatus::Blocked, ..rate("33", "0", 100) };
    let inner = Rate { status: RowStatus::Blocked, ..rate("4915", "0", 100) };
    let promised = Plan { closes: Some(107 * DAY), ..plan(Kind::Az, 100, Some(107)) };
    let new = merged(&old, vec![rate("49", "0.02", 100), blocked.clone(), inner.clone()], promised);
    assert_eq!(
        shown(&new.rows),
        [
            "33 0.02 0..107",
            "33 0 107..- blocked",
            "49 0.01 0..107",
            "49 0.02 107..-",
            "4915 0 107..- blocked",
            "4930 0.02 0..107"
        ],
        "what is not sold yet is simply not there"
    );
    assert_eq!(shown(&new.claims), ["49 0.02 100..107"], "a code that closes is no increase");
    // A vendor's files close when he says so.
    let at_once = merged(&old, vec![rate("49", "0.01", 0), blocked, inner], plan(Kind::Az, 100, Some(107)));
    assert_eq!(
        shown(&at_once.rows),
        ["33 0.02 0..100", "33 0 100..- blocked", "49 0.01 0..-", "4915 0 100..- blocked", "4930 0.02 0..100"]
    );
}

#[test]
fn a_call_of_then_keeps_its_price_after_an_amendment() {
    let old = Rows::of([rate("49", "0.01", 0)]);
    let new = merged(&old, vec![rate("49", "0.008", 200)], plan(Kind::Partial, 100, None)).rows;
    assert_eq!(shown(&new), ["49 0.01 0..200", "49 0.008 200..-"]);
    let at = |day: i64| new.covering(Prefix::new("4930123").unwrap(), day * DAY).unwrap().row.next_rate.to_string();
    assert_eq!([at(199), at(200)], ["0.01", "0.008"]);
}

#[test]
fn an_increase_on_short_notice_counts_by_the_contract_and_his_date_is_kept_as_a_claim() {
    let old = Rows::of([rate("49", "0.01", 0), rate("44", "0.01", 0), rate("33", "0.01", 0)]);
    let file = vec![rate("49", "0.02", 102), rate("44", "0.005", 102), rate("3317", "0.09", 102)];
    let new = merged(&old, file.clone(), plan(Kind::Partial, 100, Some(107)));
    assert_eq!(
        shown(&new.rows),
        ["33 0.01 0..-", "3317 0.09 107..-", "44 0.01 0..102", "44 0.005 102..-", "49 0.01 0..107", "49 0.02 107..-"]
    );
    assert_eq!(shown(&new.claims), ["3317 0.09 102..107", "49 0.02 102..107"]);

    // The same notice again a day later puts nothing off and claims nothing twice beyond what it did.
    let again = merged(&new.rows, file, plan(Kind::Partial, 101, Some(108)));
    assert_eq!(shown(&again.rows), shown(&new.rows));
}

#[test]
fn a_price_said_again_with_its_old_date_changes_nothing_but_a_pending_increase_left_out_is_withdrawn() {
    let old = Rows::of([rate("49", "0.01", 0), rate("49", "0.02", 300)]);
    let same = merged(&old, vec![rate("49", "0.01", 0), rate("49", "0.02", 300)], plan(Kind::Az, 100, None));
    assert_eq!(shown(&same.rows), shown(&old));
    let withdrawn = merged(&old, vec![rate("49", "0.01", 0)], plan(Kind::Az, 100, None));
    assert_eq!(shown(&withdrawn.rows), ["49 0.01 0..-"]);
}

#[test]
fn every_change_has_its_class_and_a_closed_code_shows_the_price_it_falls_to() {
    let old = [rate("1", "0.01", 0), rate("2", "0.01", 0), rate("3", "0.01", 0), rate("31", "0.03", 0)];
    let old = Rows::of(old.into_iter().chain([rate("4", "0.01", 0), rate("5", "0.01", 0), rate("6", "0.01", 0)]));
    let minute = Rate { first_interval: 60, next_interval: 60, ..rate("4", "0.01", 0) };
    let renamed = Rate { destination: "Elsewhere".into(), ..rate("5", "0.01", 0) };
    let blocked = Rate { status: RowStatus::Blocked, ..rate("6", "0", 0) };
    let new = [rate("1", "0.02", 0), rate("2", "0.005", 0), rate("3", "0.01", 0), rate("7", "0.01", 0)];
    let new = Rows::of(new.into_iter().chain([minute, renamed, blocked]));
    let diff = diff(&old, &new, ALWAYS, RULE);
    let found: Vec<String> = diff.changes.iter().map(|c| format!("{} {}", c.prefix, c.class.as_str())).collect();
    assert_eq!(
        found,
        ["1 increase", "2 decrease", "31 closed", "4 increments changed", "5 code change", "6 blocked", "7 new"]
    );
    assert_eq!(diff.unchanged, 1);
    let covered = diff.changes[2].covered.as_ref().unwrap();
    assert_eq!((covered.prefix.to_string(), covered.rate.to_string(), covered.far), ("3".into(), "0.01".into(), true));
    assert!(diff.destinations["Elsewhere"].added.contains(&Prefix::new("5").unwrap()));
}

#[test]
fn the_money_effect_counts_increments_and_belongs_to_the_code_that_prices() {
    let old = Rows::of([rate("49", "0.06", 0)]);
    let minute = Rate { first_interval: 60, next_interval: 60, ..rate("4930", "0.06", 0) };
    let new = Rows::of([rate("49", "0.06", 0), minute]);
    let lines = [line("49301", 10, 3), line("4940", 60, 5), line("77", 60, 9)];
    let effect = effect(&old, &new, &lines, 0, RULE).unwrap();
    let amount = |text: &str| text.parse::<Amount>().unwrap();
    // 3 calls of 10 s: 0.01 each by the second, 0.06 each by the minute.
    assert_eq!((effect.old, effect.new), (amount("0.33"), amount("0.48")));
    assert_eq!(effect.codes[&Prefix::new("4930").unwrap()].money, amount("0.15"));
    assert_eq!(effect.codes[&Prefix::new("49").unwrap()].money, amount("0"));
    assert_eq!((effect.calls, effect.lost, effect.gained), (17, (0, 0), (0, 0)));
}

#[test]
fn a_backdated_row_lists_the_time_whose_calls_have_another_price() {
    let old = Rows::of([rate("49", "0.01", 0)]);
    let new = merged(&old, vec![rate("49", "0.009", 50)], plan(Kind::Partial, 100, None)).rows;
    let list = backdated(&diff(&old, &new, ALWAYS, RULE).changes, 100 * DAY);
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].from, list[0].until), (50 * DAY, 100 * DAY));
}

#[test]
fn versions_share_what_their_rows_have_in_common() {
    let rows = Rows::of((0..10_000).map(|n| rate(&format!("4{n:04}"), &format!("0.0{n:04}"), 0)));
    assert!(rows.bytes() < 10_000 * 100, "{} bytes for 10,000 rows", rows.bytes());
    assert_eq!(Rows::of(rows.rates()).rates(), rows.rates());
}

fn line(digits: &str, seconds: u32, calls: u64) -> Line {
    let digits = Prefix::new(digits).unwrap();
    Line { digits, seconds, calls, customer: "c".into(), vendor: "v".into() }
}

fn causes(old: &Rows, new: &Rows, week: Option<&[Line]>) -> Vec<String> {
    let rules = facts::config::DeckRules::default();
    review(old, new, Moment { now: 100 * DAY, received: 100 * DAY }, RULE, &rules, 100).causes(
        old,
        week,
        100 * DAY,
        &rules,
        0,
    )
}

#[test]
fn a_file_that_would_close_much_or_move_all_prices_waits_for_a_second_person() {
    let code = |n: i64| format!("49{n:02}");
    let old = Rows::of((0..40).map(|n| rate(&code(n), "0.02", 0)));
    let without = |gone: i64| (0..40).filter(|n| *n >= gone).map(|n| rate(&code(n), "0.02", 0)).collect::<Vec<_>>();
    let az = |file: Vec<Rate>| merged(&old, file, plan(Kind::Az, 100, None)).rows;
    assert_eq!(causes(&old, &az(without(2)), None), Vec::<String>::new());
    assert_eq!(causes(&old, &az(without(3)), None), ["3 of 40 codes would close, 7.5 %; the limit is 5 %"]);
    let week = [line("4900", 60, 11), line("4930", 60, 89)];
    assert_eq!(
        causes(&old, &az(without(1)), Some(&week)),
        ["codes with 11 % of the last week's minutes would close; the limit is 10 %"]
    );
    let dearer = |price: &str, many: i64| {
        let price = |n: i64| if n < many { price } else { "0.02" };
        az((0..40).map(|n| rate(&code(n), price(n), 100)).collect())
    };
    assert_eq!(causes(&old, &dearer("0.041", 19), None), Vec::<String>::new());
    assert_eq!(
        causes(&old, &dearer("0.041", 21), None),
        ["the median of new to old price is 205 %; the limits are 50 % and 200 %"]
    );
    let late = merged(&old, vec![rate("4901", "0.01", 500)], plan(Kind::Partial, 100, None)).rows;
    assert_eq!(
        causes(&old, &late, None),
        ["1 changes are more than 365 days off, the first is code 4901 at 1971-05-16T00:00:00Z"]
    );
}

#[test]
fn numbers_that_fall_to_a_much_different_price_and_prices_far_off_their_neighbours_are_named() {
    let old = Rows::of([rate("49", "0.01", 0), rate("4915", "0.02", 0), rate("4916", "0.011", 0)]);
    let mut file = vec![rate("49", "0.01", 0), rate("4917", "0.05", 200)];
    file.extend((0..5).map(|n| rate(&format!("33{n}"), if n == 3 { "0.9" } else { "0.03" }, 100)));
    let new = merged(&old, file, plan(Kind::Az, 100, None)).rows;
    let found = warnings(&old, &new, 100 * DAY, RULE, &facts::config::DeckRules::default(), 100).first;
    let found: Vec<String> = found.iter().map(|warning| format!("{} {}", warning.prefix, warning.text)).collect();
    assert_eq!(
        found,
        [
            "4915 ends 1970-04-11T00:00:00Z; its numbers fall from 0.02 to 0.01 of code 49",
            "4917 begins 1970-07-20T00:00:00Z at 0.05; until then its numbers pay 0.01 of code 49",
            "333 costs 0.9; the median of its destination's 7 rows is 0.03",
        ]
    );
    // A first version has later codes too; of many warnings the first are kept and all counted.
    let first = Rows::of([rate("49", "0.01", 0), rate("4917", "0.05", 200), rate("4918", "0.05", 200)]);
    let found = warnings(&Rows::new(), &first, 100 * DAY, RULE, &facts::config::DeckRules::default(), 1);
    let texts: Vec<&str> = found.first.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(texts, ["begins 1970-07-20T00:00:00Z at 0.05; until then its numbers pay 0.01 of code 49"]);
    assert_eq!(found.total, 2);
    let slip = Rows::of([rate("49", "-0.01", 0)]);
    let rules = facts::config::DeckRules::default();
    let found = |old: &Rows| warnings(old, &slip, 100 * DAY, RULE, &rules, 9).first;
    assert_eq!(found(&Rows::new())[0].text, "has the negative price -0.01: whoever is billed by it is paid");
    assert!(found(&slip).is_empty(), "who has reverse billing is not told every week");
}

#[test]
fn a_short_notice_is_worth_the_days_between_his_date_and_the_contract_s() {
    let old = Rows::of([rate("49", "0.06", 0)]);
    let file = vec![rate("49", "0.12", 102)];
    let contract = merged(&old, file.clone(), plan(Kind::Partial, 100, Some(107))).rows;
    let claimed = merged(&old, file, plan(Kind::Partial, 100, None)).rows;
    // 60 minutes in 10 days cost 0.06 more a minute; five of those days are disputed.
    let worth = dispute(&contract, &claimed, &[line("4930", 60, 60)], 100 * DAY, 10, RULE).unwrap();
    assert_eq!(worth, "1.8".parse::<Amount>().unwrap());
}

#[test]
fn what_is_sold_below_its_new_cost_is_named_with_the_loss_until_the_price_can_be_raised() {
    let old = Rows::of([rate("49", "0.01", 0)]);
    let new = merged(&old, vec![rate("49", "0.05", 103)], plan(Kind::Partial, 100, None)).rows;
    let (sell, dear) = (Rows::of([rate("49", "0.03", 0)]), Rows::of([rate("49", "0.9", 0)]));
    let (other, name, vendor) = (Rows::of([rate("49", "0.02", 0)]), SmolStr::from("sell"), SmolStr::from("v2"));
    let priced = |name, rows, notice_days| Priced { name, rows, rule: RULE, exchange: 100_000_000, notice_days };
    let others = [priced(&vendor, &other, 0)];
    let buying =
        Buying { old: &old, new: priced(&name, &new, 0), others: &others, at: 103 * DAY, now: 100 * DAY, days: 10 };
    let mut lines = vec![line("4930", 60, 100)];
    lines.push(Line { customer: "rich".into(), ..line("4930", 60, 100) });
    let sold = |customer: &str| Some(priced(&name, if customer == "rich" { &dear } else { &sell }, 7));
    let found = floors(&buying, &lines, &sold).unwrap();
    assert_eq!(found.len(), 1);
    let amount = |text: &str| text.parse::<Amount>().unwrap();
    assert_eq!((found[0].customer.as_str(), found[0].prefix.to_string()), ("c", "49".to_owned()));
    assert_eq!((found[0].revenue, found[0].new_cost), (amount("3"), amount("5")));
    // Two a ten days, from day 103 until day 107.
    assert_eq!((found[0].from, found[0].raise, found[0].loss), (103 * DAY, 107 * DAY, amount("0.8")));
    assert_eq!(found[0].other, Some(("v2".into(), amount("2"))));
}

/// Rows of distinct codes out of few digits, so that codes cover one another.
fn some_deck(days: std::ops::Range<i64>) -> impl proptest::strategy::Strategy<Value = Vec<Rate>> {
    use proptest::strategy::Strategy;
    let row = ("[12]{1,4}", 1..5i64, days);
    proptest::collection::vec(row, 0..12).prop_map(|rows| {
        let rows = rows.into_iter().map(|(code, price, day)| (code.clone(), rate(&code, &format!("0.0{price}"), day)));
        rows.collect::<std::collections::BTreeMap<_, _>>().into_values().collect()
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

    /// Whatever came before: after its dates an A-Z file prices every number as if it were alone, before them
    /// nothing has moved, and what the difference of the versions names is all that differs.
    #[test]
    fn an_az_file_is_the_whole_truth_from_its_dates_on_and_nothing_before(
        old in some_deck(0..50), file in some_deck(100..150), number in "[12]{4}",
    ) {
        proptest::prop_assume!(!old.is_empty());
        let (old, file) = (Rows::of(old), Rows::of(file));
        let new = merge(&old, &Rows::new(), &file, &plan(Kind::Az, 100, None)).rows;
        let number = Prefix::new(&number).unwrap();
        let price = |rows: &Rows, day: i64| {
            rows.covering(number, day * DAY).map(|row| (row.prefix(), row.row.next_rate))
        };
        proptest::prop_assert_eq!(price(&new, 200), price(&file, 200));
        proptest::prop_assert_eq!(price(&new, 99), price(&old, 99));
        let found = diff(&old, &new, ALWAYS, RULE);
        let hits = |day: i64| found.changes.iter().any(|change| {
            let covers = number.truncate(change.prefix.len()) == change.prefix;
            covers && change.from <= day * DAY && day * DAY < change.until
        });
        for day in [99, 125, 200] {
            proptest::prop_assert!(price(&old, day) == price(&new, day) || hits(day), "day {} differs unsaid", day);
        }
    }
}

#[test]
fn a_row_that_shares_its_terms_takes_little_memory_and_comes_back_as_it_was() {
    let rate = |at: u64| {
        let name = format!("Country {} - Mobile Operator", at / 400);
        let mut rate = Rate::simple(Prefix::new(&(10_000_000 + at * 7).to_string()).unwrap(), &name, 60, 1, Price(100));
        rate.next_rate = Price(1_000 + (at % 977) as i64);
        rate.valid_from = Some(DAY * (at % 3) as i64);
        rate
    };
    let rows = Rows::of((0..100_000).map(rate));
    assert!(rows.bytes() < 100_000 * 36, "{} bytes", rows.bytes());
    assert!(rows.into_rates().eq((0..100_000).map(rate)), "in order and whole");
}
