//! What stands in sentences, in two lines or once for the whole deck.

use super::{check, plain};
use crate::{ReadOptions, read};
use expect_test::expect;

#[test]
fn the_order_of_day_and_month_is_told_by_the_whole_column_or_asked() {
    let csv = "Code,Code Name,Effective Date,End Date,Rate,Min,Int,Setup Fee\n44,UK,03/04/2023,,0.0103,30,6,0.01\n";
    let template = ReadOptions { date_order: Some(crate::DateOrder::MonthFirst), ..plain() };
    check(
        csv,
        &template,
        expect![[r#"
        2 44 UK 30/6 0.0103 2023-03-04T00:00:00Z.. Open
    "#]],
    );
    // A later row can be read month first only; the end date counts too.
    check(
        format!("{csv}45,DK,05/01/2023,05/31/2023,0.1,1,1,\n"),
        &plain(),
        expect![[r#"
        2 44 UK 30/6 0.0103 2023-03-04T00:00:00Z.. Open
        3 45 DK 1/1 0.1 2023-05-01T00:00:00Z..2023-05-31T00:00:00Z Open
    "#]],
    );
    check(
        format!("{csv}45,DK,31/05/2023,05/31/2023,0.1,1,1,\n"),
        &plain(),
        expect![[
            r#"deck: "31/05/2023" (row 3) can be read day first only and "05/31/2023" (row 3) month first only; say how its dates are meant: --date-order day-first or month-first"#
        ]],
    );
}

#[test]
fn increments_in_a_sentence_below_the_table_count_and_one_in_the_row_counts_more() {
    let csv = "Destination,Code,Rate,Increment\nMexico - Mobile,521,0.1,\nUK,44,0.1,\nUSA,1,0.1,\nMexico,52,0.1,1/1\n\
        Section two,,,\nAll calls are billed in increments of 1/1 except Mexico (60/60) and United States (6/6).,,,\n";
    check(
        csv,
        &plain(),
        expect![[r#"
        2 521 Mexico - Mobile 60/60 0.1 .. Open
        3 44 UK 1/1 0.1 .. Open
        4 1 USA 6/6 0.1 .. Open
        5 52 Mexico 1/1 0.1 .. Open
        assumed: rows without a date are valid always
        to confirm: increments 1/1, Mexico 60/60, United States 6/6 by the words "All calls are billed in increments of 1/1 except Mexico (60/60) and United States (6/6).": --increment 1/1
    "#]],
    );
    check(
        "Destination,Code,Rate\nUK,44,0.1\nBilling increments: 1/1 or 60/60,,\n",
        &plain(),
        expect![[
            r#"deck: "Billing increments: 1/1 or 60/60" names increments in a way that is not understood; name them: --increment 60/1"#
        ]],
    );
}

#[test]
fn a_header_of_two_lines_is_one_header() {
    check(
        "Dial,,Rate\nCode,Destination,USD cents/min\n44,UK,1.5\n",
        &plain(),
        expect![[r#"
        3 44 UK 1/1 0.015 .. Open
        assumed: prices of column "Rate USD cents/min" are hundredths of the currency; they were divided by 100
        assumed: rows without a date are valid always
        to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
    "#]],
    );
    check(
        "Code,Destination,Rate,Increment\n,,(USD/sec),(sec/sec)\n44,UK,0.0015,60/1\n",
        &plain(),
        expect![[r#"
        3 44 UK 60/1 0.09 .. Open
        assumed: prices of column "Rate (USD/sec)" are for a second; they were multiplied by 60
        assumed: rows without a date are valid always
    "#]],
    );
}

#[test]
fn an_exception_is_for_the_country_that_a_column_of_its_own_names() {
    let notice = "\"Billing: 1/1, except Mexico 60/60\"\n";
    check(
        format!(
            "{notice}Country,Network,Description,Code,Rate\nMexico,Telcel,Cellular,521,0.1\nUK,O2,Cellular,447,0.2\n"
        ),
        &plain(),
        expect![[r#"
            3 521 Cellular 60/60 0.1 .. Open
            4 447 Cellular 1/1 0.2 .. Open
            assumed: rows without a date are valid always
            to confirm: increments 1/1, Mexico 60/60 by the words "Billing: 1/1, except Mexico 60/60": --increment 1/1
        "#]],
    );
    check(
        format!("{notice}Country,Code,Rate\nMexico,52,0.1\n"),
        &plain(),
        expect![[r#"
        3 52 Mexico 60/60 0.1 .. Open
        assumed: rows without a date are valid always
        to confirm: increments 1/1, Mexico 60/60 by the words "Billing: 1/1, except Mexico 60/60": --increment 1/1
    "#]],
    );
}

#[test]
fn tables_of_origins_below_the_rates_are_read_and_no_rate_is_taken_for_one() {
    let text = "Code;Destination;Rate USD;Increment\n43;Austria;0.02;60/1\n4930;Germany - Berlin;0.008;60/1\n\
                Code;Destination;Rate USD;Increment\n49;Germany;0.01;60/1\n\nSurcharges by the caller's country\n\
                Origin group;Dial codes\nEEA;43, 33\n\nOrigin group;Destination;Surcharge\nEEA;Germany;0.05\n\
                unknown;;0.5\nEEA;Nowhere;0.1\n";
    let file = read("below.csv", text.as_bytes(), &ReadOptions::default()).unwrap();
    let rows: Vec<String> = file
        .rates
        .iter()
        .map(|(rate, source)| {
            let origin = rate.origin.as_deref().unwrap_or("-");
            format!("{} {} {origin} {:?} row {}", rate.prefix, rate.next_rate, rate.origin_mode, source.row)
        })
        .collect();
    expect![[r#"
        43 0.02 - Replace row 2
        4930 0.008 - Replace row 3
        49 0.01 - Replace row 5
        49 0.05 EEA Add row 12
         0.5 unknown Add row 13"#]]
    .assert_eq(&rows.join("\n"));
    let groups: Vec<String> = file.found.origin_groups.iter().map(|g| format!("{} {:?}", g.name, g.prefixes)).collect();
    expect!["EEA [43*, 33*]; unknown []"].assert_eq(&groups.join("; "));
    let problems: Vec<String> = file.problems.iter().map(|p| format!("{}: {}", p.source.row, p.reason)).collect();
    expect![[r#"14: no destination of the deck is called "Nowhere""#]].assert_eq(&problems.join("\n"));
    let totals = &file.totals;
    assert_eq!((totals.rate_rows, totals.rates, totals.origin_rates), (3, 5, 2));
}

#[test]
fn a_sentence_gives_increments_to_destinations_of_the_deck_and_to_nothing_else() {
    let rows = "Destination,Code,Rate\nTrinidad and Tobago,1868,0.1\nMexico - Mobile,521,0.1\nUK,44,0.1\n";
    check(
        format!("\"Billing: 60/60 for Trinidad and Tobago and Mexico, all others 30/6\"\n{rows}"),
        &plain(),
        expect![[r#"
            3 1868 Trinidad and Tobago 60/60 0.1 .. Open
            4 521 Mexico - Mobile 60/60 0.1 .. Open
            5 44 UK 30/6 0.1 .. Open
            assumed: rows without a date are valid always
            to confirm: increments 30/6, Trinidad and Tobago 60/60, Mexico 60/60 by the words "Billing: 60/60 for Trinidad and Tobago and Mexico, all others 30/6": --increment 30/6
        "#]],
    );
    // A list below its title; Gambia is a country that this deck happens not to have.
    check(
        format!("Billing increments,\nMexico,60/60\nGambia,60;1\nAll other destinations,1/1\n{rows}"),
        &plain(),
        expect![[r#"
            6 1868 Trinidad and Tobago 1/1 0.1 .. Open
            7 521 Mexico - Mobile 60/60 0.1 .. Open
            8 44 UK 1/1 0.1 .. Open
            assumed: rows without a date are valid always
            to confirm: increment 60/1 is for "Gambia", but no destination begins so
            to confirm: increments 1/1, Mexico 60/60, Gambia 60/1 by the words "Mexico: 60/60 | Gambia: 60;1 | All other destinations: 1/1": --increment 1/1
        "#]],
    );
    // Whatever a zone is, it is no destination here.
    check(
        format!("Billing: 60/60 for Zone B; all others 1/1\n{rows}"),
        &plain(),
        expect![[
            r#"deck: "Billing: 60/60 for Zone B; all others 1/1" gives increments to "Zone B", which is no destination of this deck; say which are meant: --increment 1/1 --increment-of DESTINATION=60/60"#
        ]],
    );
    check(
        format!("Billing: 1/1 for all destinations but Mexico\n{rows}"),
        &plain(),
        expect![[
            r#"deck: "Billing: 1/1 for all destinations but Mexico (nothing for Mexico)" names increments in a way that is not understood; name them: --increment 60/1"#
        ]],
    );
    let answered = ReadOptions { increment: Some((1, 1)), increments: vec![("Mexico".into(), (60, 60))], ..plain() };
    check(
        format!("Billing: 60/60 for Zone B; all others 1/1\n{rows}"),
        &answered,
        expect![[r#"
        3 1868 Trinidad and Tobago 1/1 0.1 .. Open
        4 521 Mexico - Mobile 60/60 0.1 .. Open
        5 44 UK 1/1 0.1 .. Open
        assumed: rows without a date are valid always
    "#]],
    );
}

#[test]
fn digits_beside_the_codes_are_asked_about_before_a_price_stands_for_a_whole_country() {
    let csv = "Country,Code,Area,Rate\nGermany,49,\"15, 16\",0.04\nFrance,33,6,0.02\n";
    check(
        csv,
        &plain(),
        expect![[
            r#"deck: column "Area" holds digits beside the codes of column "Code"; where they are the rest of these: --column country_code="Code" --column area_code="Area", where they are not: --column code="Code""#
        ]],
    );
    let with = |columns: &[(crate::Field, &str)]| ReadOptions {
        columns: columns.iter().map(|(field, name)| (*field, (*name).into())).collect(),
        ..plain()
    };
    let split = with(&[(crate::Field::CountryCode, "Code"), (crate::Field::AreaCode, "Area")]);
    check(
        csv,
        &split,
        expect![[r#"
        2 4915 Germany 1/1 0.04 .. Open
        2 4916 Germany 1/1 0.04 .. Open
        3 336 France 1/1 0.02 .. Open
        assumed: rows without a date are valid always
        to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
    "#]],
    );
    check(
        csv,
        &with(&[(crate::Field::Code, "Code")]),
        expect![[r#"
        2 49 Germany 1/1 0.04 .. Open
        3 33 France 1/1 0.02 .. Open
        assumed: rows without a date are valid always
        to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
    "#]],
    );
    // A name is no code.
    check(
        "Code,Area,Rate\n49,Germany,0.04\n33,,0.02\n",
        &plain(),
        expect![[r#"
        2 49  1/1 0.04 .. Open
        3 33  1/1 0.02 .. Open
        assumed: rows without a date are valid always
        to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
    "#]],
    );
}
