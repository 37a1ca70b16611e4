//! Whole files: the shapes that carriers send, and the ones that attackers do.

use crate::{DeckError, DeckFile, Field, Hyphen, Item, ReadOptions, json, read};
use expect_test::{Expect, expect};
use facts::Currency;
use proptest::prelude::*;
use std::io::Write as _;
use zip::write::{SimpleFileOptions, ZipWriter};

mod notices;
mod workbooks;

const SDF: &[u8] = include_bytes!("../../../deploy/traffic/data/sdf_outbound_2010.csv");
const NOTIFICATION: &[u8] = include_bytes!("../../../tests/fixtures/decks/carrier_notification.xlsx");

fn lines(file: &DeckFile) -> String {
    let mut text = String::new();
    for (rate, source) in &file.rates {
        let dates = |date: Option<i64>| date.map(facts::time::rfc3339).unwrap_or_default();
        text += &format!(
            "{} {} {} {}/{} {} {}..{} {:?}\n",
            source.row,
            rate.prefix,
            rate.destination,
            rate.first_interval,
            rate.next_interval,
            rate.next_rate,
            dates(rate.valid_from),
            dates(rate.valid_until),
            rate.status,
        );
    }
    for problem in &file.problems {
        text += &format!("{} [{}] {}; {}\n", problem.source.row, problem.column, problem.reason, problem.advice);
    }
    for assumption in &file.found.assumptions {
        text += &format!("assumed: {assumption}\n");
    }
    for question in &file.found.to_confirm {
        text += &format!("to confirm: {question}\n");
    }
    text
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, template: &ReadOptions, expected: Expect) {
    match read("deck", bytes.as_ref(), template) {
        Ok(file) => expected.assert_eq(&lines(&file)),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

fn plain() -> ReadOptions {
    ReadOptions::default()
}

#[test]
fn the_sdf_deck_has_27_514_prices_and_nine_rows_without_one() {
    let file = read("sdf.csv", SDF, &plain()).unwrap();
    assert_eq!((file.totals.rows, file.totals.rates, file.totals.problems), (27_523, 27_509, 14));
    let free: Vec<_> = file.problems.iter().filter(|p| p.reason == "the price is 0").map(|p| p.source.row).collect();
    assert_eq!(free.len(), 5, "toll-free codes without a price: {free:?}");
    let file = read("sdf.csv", SDF, &ReadOptions { zero_is_free: true, ..plain() }).unwrap();
    assert_eq!((file.totals.rows, file.totals.rates, file.totals.problems), (27_523, 27_514, 9));
    let problems: Vec<_> = file.problems.iter().map(|p| (p.source.row, p.column.as_str(), &*p.reason)).collect();
    let rows = [583, 7151, 24073, 24127, 24128, 24129, 24130, 24131, 27393];
    assert_eq!(problems, rows.map(|row| (row, "Rate", "the price is empty")));
    let by = |code: &str| file.rates.iter().find(|(rate, _)| rate.prefix.to_string() == code).unwrap();
    let (first, source) = by("9375");
    assert_eq!(source.row, 2);
    expect![[r#"{"prefix":"9375","destination":"AFGHANISTAN - CDMA","connect_fee":"0","attempt_fee":null,"disconnect_fee":null,"first_interval":30,"first_rate":"0.2875","next_interval":6,"next_rate":"0.2875","inter_rate":null,"intra_rate":null,"indeterminate_rate":null,"valid_from":"2010-06-26T06:55:00Z","valid_until":null,"time_band":null,"origin":null,"origin_mode":"replace","status":"open","free_seconds":"0","grace_seconds":null,"minimum_seconds":null,"maximum_seconds":null,"minimum_amount":null,"maximum_amount":null,"steps":[],"source":{"sheet":"","row":2}}"#]]
        .assert_eq(&json::rate(first, Some(source)));
    assert_eq!(by("1264773").0.destination, "ANGUILLA, MOBILE");
    assert_eq!(by("1800").0.next_rate.to_string(), "0");
    let counts: Vec<_> = file.totals.increments.iter().map(|(what, count)| format!("{what} {count}")).collect();
    assert_eq!(counts, ["30/6 23414", "6/6 8", "60/60 4092"]);
    assert_eq!(file.found.currency, None);
}

#[test]
fn a_notification_is_read_below_its_letterhead() {
    let file = read("n.xlsx", NOTIFICATION, &plain()).unwrap();
    expect![[r##"
        16 9901 Freedonia-Fixed 1/1 0.285 2023-06-20T00:00:00Z.. Open
        17 9907 Freedonia-Mobile 60/60 0.3 2021-12-24T00:00:00Z.. Open
        18 991 Sylvania-Fixed 30/6 0.012 2023-05-16T00:00:00Z.. Open
        19 9915 Sylvania-Ruritel-Mobile 60/1 0.1635 2023-05-10T00:00:00Z.. Open
        20 9919 Sylvania-Premium 60/1 0 2023-05-10T00:00:00Z.. Blocked
        21 [Rates (USD / Min)] "#N/A" is no price; write a decimal number
        22 [Time Type] time type "NIGHT" is not known; declare it in the template as a time band or as meaning always
        23 [Complete Code] a spreadsheet has shortened the code to "4.47E+11"; format the column as text, type the code again and export it again
        to confirm: currency USD by the notice: --currency USD
    "##]].assert_eq(&lines(&file));
    let found = &file.found;
    assert_eq!((found.sheet.as_str(), found.header_row, found.currency), ("Pricing", 15, Currency::new("USD").ok()));
    assert_eq!(found.notice.product.as_deref(), Some("Wholesale Silver"));
    let dates = [found.notice.increase_from, found.notice.decrease_from, found.notice.issued];
    assert_eq!(
        dates.map(|date| date.unwrap().to_string()),
        ["2023-05-16T00:00:00", "2023-05-10T00:00:00", "2023-05-09T11:33:01"]
    );
    assert_eq!(found.ignored, ["Country Code", "Area Code", "Notes", "Rate Change", "Area Code Change"]);
    expect![[r##"{"problem":{"sheet":"Pricing","row":21,"column":"Rates (USD / Min)","reason":"\"#N/A\" is no price","advice":"write a decimal number"}}"##]].assert_eq(&json::problem(&file.problems[0]));
}

#[test]
fn other_carriers_columns_are_understood() {
    // TelecomsXChange: two prices, dates in words, yes/no states.
    check(
        "Country;Description;Prefix;Effective from;Forbidden;Discontinued;Price 1;Price N;Interval 1;Interval N\n\
         DE;Germany;49;16.05.2023;N;N;0,0123;0,0100;60;1\nDE;Germany Premium;49900;16.05.2023;Y;N;;;1;1\n\
         DE;Germany Old;4915;16.05.2023;N;Y;;;1;1\nDE;Germany Soon;4916;ASAP;N;N;0,5;0,5;1;1\n",
        &plain(),
        expect![[r#"
            2 49 Germany 60/1 0.01 2023-05-16T00:00:00Z.. Open
            3 49900 Germany Premium 1/1 0 2023-05-16T00:00:00Z.. Blocked
            4 4915 Germany Old 1/1 0 2023-05-16T00:00:00Z.. Discontinued
            5 [Effective from] "ASAP" needs the deck's date of issue; say when it was issued: --issued 2023-05-09
        "#]],
    );
    // JeraSoft.
    check(
        "Code,Code Name,Effective Date,End Date,Rate,Min,Int,Setup Fee\n44,UK,03/04/2023,,0.0103,30,6,0.01\n",
        &plain(),
        expect![[
            r#"deck: "03/04/2023" (row 2) can be read day first and month first, and no other date tells which; say how its dates are meant: --date-order day-first or month-first"#
        ]],
    );
    // ASTPP: patterns, free seconds, one increment.
    let astpp = "id,pattern,comment,connectcost,includedseconds,cost,trunk_id,inc,status\n\
        1,^93.*,Afghanistan,0.00000,10,0.20930,1,6,0\n2,^1808.*,Hawaii,0,0,0.01,1,6,0\n3,^1808.*,Hawaii,0,0,0.02,1,6,0\n";
    check(
        astpp,
        &plain(),
        expect![[r#"
        2 93 Afghanistan 6/6 0.2093 .. Open
        3 1808 Hawaii 6/6 0.01 .. Open
        4 [pattern] row 3 already prices code 1808 from the same date on; keep one of the two rows
        assumed: rows without a date are valid always
    "#]],
    );
    assert_eq!(read("astpp", astpp.as_bytes(), &plain()).unwrap().rates[0].0.free, 10_000_000);
    // IvozProvider.
    check(
        "\"Target Pattern Name\",\"Prefix\",\"Per minute charge\",\"Connection charge\",\"Charge period\"\n\
         \"Afghanistan\",+9377,0.273,0.273,1\n",
        &plain(),
        expect![[r#"
            2 9377 Afghanistan 1/1 0.273 .. Open
            assumed: rows without a date are valid always
        "#]],
    );
    // United States: jurisdictions only.
    check(
        "lrn_prefix\tInterstate\tIntrastate\n1201200\t0.001\t0.0025\n",
        &plain(),
        expect![[r#"
            2 1201200  1/1 0.0025 .. Open
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
}

#[test]
fn headers_in_other_languages_and_codes_in_other_forms_are_read() {
    check(
        "Zielname;Vorwahl;Preis (EUR/Min.);Taktung;Gültig ab\nAfghanistan;0093;0,2875;60/1;16.05.2023\n\
         Afghanistan mobil;^937[05-6].*;0,3;1/1;16.05.2023\n",
        &plain(),
        expect![[r#"
            2 93 Afghanistan 60/1 0.2875 2023-05-16T00:00:00Z.. Open
            3 9370 Afghanistan mobil 1/1 0.3 2023-05-16T00:00:00Z.. Open
            3 9375 Afghanistan mobil 1/1 0.3 2023-05-16T00:00:00Z.. Open
            3 9376 Afghanistan mobil 1/1 0.3 2023-05-16T00:00:00Z.. Open
        "#]],
    );
    let template = ReadOptions { space: Some(crate::Space::Separator), ..plain() };
    check(
        "Направление,Код,Цена за мин\nМексика,\"52 33,39\",0.1\n",
        &template,
        expect![[r#"
            2 5233 Мексика 1/1 0.1 .. Open
            2 5239 Мексика 1/1 0.1 .. Open
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
    check(
        "Destination,Code,Rate (USD cents/min)\nUK,44,1.5\n",
        &plain(),
        expect![[r#"
            2 44 UK 1/1 0.015 .. Open
            assumed: prices of column "Rate (USD cents/min)" are hundredths of the currency; they were divided by 100
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
    check(
        "Destination,Code,Peak Rate,Off-Peak Rate\nUK,44,1.5,1\n",
        &plain(),
        expect![[
            r#"deck: rate could be any of the columns "Peak Rate" and "Off-Peak Rate"; name one: --column rate=HEADER"#
        ]],
    );
    check(
        "Destination,Code,Old Rate,Rate\nUK,44,0.1,0\nUK mobile,447,0.1,0.2\n",
        &plain(),
        expect![[r#"
            3 447 UK mobile 1/1 0.2 .. Open
            2 [Rate] the price is 0; ask the carrier for the price; where it is meant to be free, say so: --zero-is-free
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
}

#[test]
fn every_unclear_value_is_a_problem_with_advice() {
    check(
        "Destination,Code,Rate,Billing increment,Valid from,Valid until,Status\n\
         a,44,1.5E-3,1/1,,,\n\
         b,4.47E+11,0.1,1/1,,,\n\
         c,45,\"1,234\",1/1,,,\n\
         d,46,0.12345678901,1/1,,,\n\
         e,47,0.1,1/0,,,\n\
         f,48,0.1,1/1,2023-05-16,2023-05-15,\n\
         g,49,0.1,1/1,whenever,,\n\
         h,50,0.1,1/1,,,maybe\n\
         i,,0.1,1/1,,,\n\
         j,51,\"0,125\",1/1,,,\n\
         k,51,0.2,1/1,,,\n\
         \n\
         Terms: all prices are net,,,,,,\n\
         l,52-53,0.2,1/1,,,\n",
        &plain(),
        expect![[r#"
            11 51 j 1/1 0.125 .. Open
            2 [Rate] a spreadsheet has shortened the price to "1.5E-3"; format the column as text or number and export it again
            3 [Code] a spreadsheet has shortened the code to "4.47E+11"; format the column as text, type the code again and export it again
            4 [Rate] the marks in "1,234" can mean thousands or decimals; declare the decimal mark in the template, or write the price without grouping
            5 [Rate] the price "0.12345678901" has more than 10 decimals or is too large; round it to 10 decimals at most
            6 [Billing increment] the next interval is 0 seconds; give it at least 1 second
            7 [Valid until] the row ends before it begins; correct one of its two dates
            8 [Valid from] "whenever" is no date that is known here; write it as YYYY-MM-DD, or say how dates are meant: --date-order
            9 [Status] "maybe" is no known status; write current, blocked or discontinued, or ask what it means
            10 [Code] the code is empty; give the row a code
            12 [Code] row 11 already prices code 51 from the same date on; keep one of the two rows
            15 [Code] the hyphen in "52-53" can mean a range or a separator; say which of them this carrier means: --hyphen range or --hyphen separator
            assumed: rows without a date are valid always
        "#]],
    );
    let file = read("deck", b"Code,Rate\n1,1\n,\nEND,\n", &plain()).unwrap();
    assert_eq!((file.totals.rows, file.totals.rates, file.totals.blank, file.totals.problems), (3, 1, 1, 1));
}

#[test]
fn a_file_that_could_be_read_two_ways_is_refused_with_both_named() {
    check(
        "Code,Current Rate,New Rate\n44,0.1,0.2\n",
        &plain(),
        expect![[
            r#"deck: rate could be any of the columns "Current Rate" and "New Rate"; name one: --column rate=HEADER"#
        ]],
    );
    let mut template = plain();
    template.columns.insert(Field::Rate, "New Rate".into());
    check(
        "Code,Current Rate,New Rate\n44,0.1,0.2\n",
        &template,
        expect![[r#"
            2 44  1/1 0.2 .. Open
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
    template.columns.insert(Field::ConnectFee, "Fee".into());
    check(
        "Code,Current Rate,New Rate\n44,0.1,0.2\n",
        &template,
        expect![[r#"template: column "Fee" for connect_fee does not stand in the header row 1 of deck"#]],
    );
    check(
        "Currency: EUR,\nCode,Rate (USD/min)\n44,0.1\n",
        &plain(),
        expect![
            "deck: the currency is EUR by the notice above the header and USD by the price column's header; ask which is meant"
        ],
    );
    check(
        "Name,Telephone\nAlice,44\n",
        &plain(),
        expect![
            "deck has no header row with a code and a price in its first 200 rows (looked at: row 1: Name, Telephone); name the columns: --column code=HEADER --column rate=HEADER"
        ],
    );
}

#[test]
fn text_in_any_usual_encoding_is_text_and_the_rest_is_refused() {
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend("Code;Destination;Rate\n44;Größe;0,1\n".encode_utf16().flat_map(u16::to_le_bytes));
    check(
        &utf16,
        &plain(),
        expect![[r#"
            2 44 Größe 1/1 0.1 .. Open
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
    check(
        b"\xef\xbb\xbfCode,Destination,Rate\r\n44,UK,0.1\r\n",
        &plain(),
        expect![[r#"
            2 44 UK 1/1 0.1 .. Open
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
    check(
        b"Code,Destination,Rate\n225,C\xf4te d'Ivoire,0.1\n",
        &plain(),
        expect![[r#"
            2 225 Côte d'Ivoire 1/1 0.1 .. Open
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
    check(b"", &plain(), expect!["deck is empty; ask for it again"]);
    check(
        b"\x7fELF\x02\x01\x01\0\0\0\0\0",
        &plain(),
        expect!["deck is no text (control byte 0x02 at byte 4); send a CSV, XLSX, XLS or ODS file"],
    );
    check(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        &plain(),
        expect!["deck is damaged at the workbook: its header is cut; ask for it again"],
    );
    check(
        &NOTIFICATION[..NOTIFICATION.len() / 2],
        &plain(),
        expect!["deck is damaged at its zip directory: invalid Zip archive: Could not find EOCD; ask for it again"],
    );
}

#[test]
fn dates_begin_at_midnight_of_the_declared_zone() {
    let template = ReadOptions { effective_zone: "Europe/Vienna".into(), ..plain() };
    check(
        "Code,Rate,Effective Date\n43,0.1,2023-07-01\n43,0.2,2023-12-01\n",
        &template,
        expect![[r#"
            2 43  1/1 0.1 2023-06-30T22:00:00Z.. Open
            3 43  1/1 0.2 2023-11-30T23:00:00Z.. Open
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
    let template = ReadOptions { effective_zone: "Mars/Olympus".into(), ..plain() };
    check(
        "Code,Rate\n43,0.1\n",
        &template,
        expect![[
            r#"template: effective_zone "Mars/Olympus": failed to find time zone `Mars/Olympus` in time zone database"#
        ]],
    );
}

#[test]
fn hyphens_mean_what_the_template_says() {
    let template = ReadOptions { hyphen: Some(Hyphen::Range), ..plain() };
    check(
        "Code,Rate\n\"4470-4472,4479\",0.1\n",
        &template,
        expect![[r#"
            2 4470  1/1 0.1 .. Open
            2 4471  1/1 0.1 .. Open
            2 4472  1/1 0.1 .. Open
            2 4479  1/1 0.1 .. Open
            assumed: rows without a date are valid always
            to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
        "#]],
    );
}

fn workbook(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_zip_bomb_is_refused_before_it_is_unpacked() {
    let mut template = plain();
    template.limits.unpacked_bytes = 1 << 20;
    let zeros = vec![b' '; 4 << 20];
    let bomb = workbook(&[("xl/workbook.xml", b"<workbook/>"), ("xl/worksheets/sheet1.xml", &zeros)]);
    assert!(bomb.len() < 50_000);
    check(
        &bomb,
        &template,
        expect![
            "deck is beyond the limit: part xl/worksheets/sheet1.xml declares 4194304 bytes (limit 1048576); split it or raise the limit"
        ],
    );
    // The same with a header that lies about the size, in the local header and in the directory.
    let mut lie = bomb.clone();
    let size = (4u32 << 20).to_le_bytes();
    let places: Vec<usize> = (0..lie.len() - 4).filter(|at| lie[*at..*at + 4] == size).collect();
    assert!(!places.is_empty());
    for at in places {
        lie[at..at + 4].copy_from_slice(&1000u32.to_le_bytes());
    }
    let error = read("deck", &lie, &template).unwrap_err();
    assert!(matches!(error, DeckError::TooLarge { .. } | DeckError::Damaged { .. }), "{error}");
    template.limits.parts = 1;
    check(
        &bomb,
        &template,
        expect!["deck is beyond the limit: 2 parts in the workbook (limit 1); split it or raise the limit"],
    );
}

#[test]
fn a_line_without_end_and_a_million_columns_are_refused_by_name() {
    let wide = format!("Code,Rate{}\n44,0.1\n", ",x".repeat(1_000_000));
    check(
        &wide,
        &plain(),
        expect!["deck is beyond the limit: line 1 has too many columns (limit 256); split it or raise the limit"],
    );
    let long = format!("Code,Rate,Destination\n44,0.1,{}\n", "x".repeat(2_000_000));
    check(
        &long,
        &plain(),
        expect!["deck is beyond the limit: line 2 has too much text (limit 1048576); split it or raise the limit"],
    );
    let open = format!("Code,Rate,Destination\n44,0.1,\"never closed\n{}", "45,0.1,y\n".repeat(200_000));
    check(
        &open,
        &plain(),
        expect!["deck is beyond the limit: line 2 has too much text (limit 1048576); split it or raise the limit"],
    );
    let mut template = plain();
    template.limits.problems = 10;
    check(
        format!("Code,Rate\n{}", "x,1\n".repeat(20)),
        &template,
        expect![[
            r#"deck is beyond the limit: more rows with problems (the last: row 12: "x" is no pattern of prefixes: it holds no digit; write the codes out) (limit 10); split it or raise the limit"#
        ]],
    );
    template.limits.file_bytes = 10;
    check(
        "Code,Rate\n44,0.1\n",
        &template,
        expect!["deck is beyond the limit: 17 bytes (limit 10); split it or raise the limit"],
    );
}

#[test]
fn a_pending_increase_ends_the_price_before_it() {
    let csv = b"Code,Rate,Effective Date\n44,0.2,2023-07-01\n44,0.1,2023-01-01\n43,0.3,2023-01-01\n";
    let file = read("deck", csv, &plain()).unwrap();
    let deck = file.into_deck("v1", 1, facts::deck::DeckTerms::new(Currency::new("USD").unwrap()));
    let rows: Vec<_> = deck.rates.iter().map(|r| format!("{} {} {:?}", r.prefix, r.next_rate, r.valid_until)).collect();
    assert_eq!(rows, ["43 0.3 None", "44 0.1 Some(1688169600000000)", "44 0.2 None"]);
}

#[test]
fn json_lines_of_a_file_stand_in_its_order() {
    let mut out = Vec::new();
    let csv = b"Code,Rate,Destination\n44,0.1,UK\n45,,Denmark\n";
    crate::read_rows("deck", csv, &plain(), &mut |item: Item| out.push(json::item(&item))).unwrap();
    assert_eq!(out.len(), 2);
    assert!(out[0].starts_with(r#"{"prefix":"44","destination":"UK""#));
    expect![[r#"{"problem":{"sheet":"","row":3,"column":"Rate","reason":"the price is empty","advice":"ask the carrier for the price, or mark the row as blocked or discontinued"}}"#]].assert_eq(&out[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever arrives, the reader answers; and no row is lost from the count.
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..600), head in 0usize..4) {
        let heads: [&[u8]; 4] = [b"", b"Code,Rate\n", b"PK\x03\x04", b"Code;Rate;Effective Date\n44;1;"];
        let mut whole = heads[head].to_vec();
        whole.extend(&bytes);
        if let Ok(file) = read("any", &whole, &plain()) {
            let t = &file.totals;
            prop_assert_eq!(t.rows, t.rate_rows + t.problems + t.blank + t.remarks);
            prop_assert_eq!(file.rates.len() as u64, t.rates);
        }
    }

    /// A flipped byte in a workbook is an answer too, never a panic.
    #[test]
    fn a_damaged_workbook_is_answered(at in 0..NOTIFICATION.len(), value: u8) {
        let mut bytes = NOTIFICATION.to_vec();
        bytes[at] = value;
        let _ = read("any", &bytes, &plain());
    }
}

#[test]
fn a_code_that_comes_twice_is_told_in_whatever_order_the_file_has_its_codes() {
    let csv = "Code,Rate\n49,0.1\n33,0.2\n44,0.3\n5,0.4\n33,0.5\n49,0.6\n44,0.7\n6,0.8\n";
    let file = read("twice.csv", csv.as_bytes(), &plain()).unwrap();
    let problems: Vec<String> = file.problems.iter().map(|p| format!("{}: {}", p.source.row, p.reason)).collect();
    expect![[r#"
        6: row 3 already prices code 33 from the same date on
        7: row 2 already prices code 49 from the same date on
        8: row 4 already prices code 44 from the same date on"#]]
    .assert_eq(&problems.join("\n"));
    assert_eq!((file.totals.codes, file.totals.rates), (5, 5));
}
