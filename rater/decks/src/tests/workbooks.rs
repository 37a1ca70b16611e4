//! XLS and ODS: the same sheet in both reads the same, and what would burst the memory is refused.

use super::{lines, plain};
use crate::read;
use expect_test::expect;
use proptest::prelude::*;
use std::io::{Read as _, Write as _};
use zip::write::{SimpleFileOptions, ZipWriter};

const XLS: &[u8] = include_bytes!("../../../../tests/fixtures/decks/carrier_rates.xls");
const ODS: &[u8] = include_bytes!("../../../../tests/fixtures/decks/carrier_rates.ods");

#[test]
fn an_old_workbook_and_an_open_one_read_as_the_same_deck() {
    for (name, bytes, format) in [("rates.xls", XLS, "xls"), ("rates.ods", ODS, "ods")] {
        let file = read(name, bytes, &plain()).unwrap();
        assert_eq!((file.found.format, file.found.sheets.len(), file.found.header_row), (format, 2, 4), "{name}");
        expect![[r#"
            5 9901 Freedonia - Größe 30/6 0.285 2023-06-01T00:00:00Z.. Open
            6 9907 Freedonia - Mobile 30/6 0.1234567 2023-06-20T00:00:00Z.. Open
            6 9908 Freedonia - Mobile 30/6 0.1234567 2023-06-20T00:00:00Z.. Open
            7 991 Sylvania 60/60 1.5 2023-06-01T00:00:00Z.. Open
            8 9919 Sylvania - Premium 60/60 0 2023-06-01T00:00:00Z.. Blocked
            9 [Code] the hyphen in "99-20" can mean a range or a separator; say which of them this carrier means: --hyphen range or --hyphen separator
            to confirm: increments 30/6, Sylvania 60/60 by the words "Billing increment: 30/6 except Sylvania 60/60": --increment 30/6
            to confirm: rows without a date are valid from 2023-06-01 by the notice: --valid-from 2023-06-01
        "#]].assert_eq(&lines(&file));
    }
}

/// Sheets of text cells, lines of which are cut at `|`.
fn sheets(all: &[(&str, &[&str])]) -> Vec<u8> {
    let cell = |text: &str| format!("<table-cell value-type='string'><p>{text}</p></table-cell>");
    let row = |line: &&str| format!("<table-row>{}</table-row>", line.split('|').map(cell).collect::<String>());
    let sheet = |(name, rows): &(&str, &[&str])| {
        format!("<table name='{name}'>{}</table>", rows.iter().map(row).collect::<String>())
    };
    ods(&format!("<doc>{}</doc>", all.iter().map(sheet).collect::<String>()))
}

#[test]
fn surcharges_by_origin_on_a_sheet_of_their_own_become_groups_and_rows() {
    let file = sheets(&[
        ("Rates", &["Destination|Code|Rate|Increment", "Austria|43|0.02|60/1", "Austria Mobile|43660; 43664|0.1|1/1"]),
        ("Origin codes", &["Origin group|Dial codes", "EEA|43; 49", "Americas|1,52"]),
        (
            "Origin rates",
            &[
                "Origin surcharges in USD, on top of the rate",
                "Origin|Destination|Surcharge",
                "Americas|Austria|0.05",
                "Unknown|Austria Mobile|0.25",
                "Africa|Austria|0.3",
                "EEA|Sylvania|0.3",
            ],
        ),
        ("All", &["Origin|Surcharge", "Americas|0.01"]),
        ("Special", &["Origin|Destination|Rate", "EEA|Austria|0.01"]),
    ]);
    let file = read("x.ods", &file, &plain()).unwrap();
    let rows: Vec<_> = file
        .rates
        .iter()
        .map(|(rate, source)| {
            format!(
                "{} {} {:?} {:?} {} {}/{} ({})",
                rate.prefix,
                rate.destination,
                rate.origin.as_deref().unwrap_or_default(),
                rate.origin_mode,
                rate.next_rate,
                rate.first_interval,
                rate.next_interval,
                source.sheet
            )
        })
        .collect();
    expect![[r#"
        43 Austria "" Replace 0.02 60/1 (Rates)
        43660 Austria Mobile "" Replace 0.1 1/1 (Rates)
        43664 Austria Mobile "" Replace 0.1 1/1 (Rates)
        43 Austria "Americas" Add 0.05 60/1 (Origin rates)
        43660 Austria Mobile "Unknown" Add 0.25 1/1 (Origin rates)
        43664 Austria Mobile "Unknown" Add 0.25 1/1 (Origin rates)
          "Americas" Add 0.01 1/1 (All)
        43 Austria "EEA" Replace 0.01 60/1 (Special)"#]]
    .assert_eq(&rows.join("\n"));
    let groups: Vec<_> = file
        .found
        .origin_groups
        .iter()
        .map(|group| format!("{} {:?} {}", group.name, group.prefixes, group.malformed))
        .collect();
    expect![[r#"
        Americas [1*, 52*] false
        EEA [43*, 49*] false
        Unknown [] true"#]]
    .assert_eq(&groups.join("\n"));
    let problems: Vec<_> = file
        .problems
        .iter()
        .map(|p| format!("{}!{} {}; {}", p.source.sheet, p.source.row, p.reason, p.advice))
        .collect();
    expect![[r#"
        Origin rates!5 no table says which callers are "Africa"; ask for the codes of the group
        Origin rates!6 no destination of the deck is called "Sylvania"; write it as the table of rates does"#]]
    .assert_eq(&problems.join("\n"));
    assert_eq!((file.totals.rows, file.totals.rates, file.totals.origin_rates, file.totals.problems), (2, 8, 5, 2));
    let terms = facts::deck::DeckTerms {
        origin_groups: file.found.origin_groups.clone(),
        ..facts::deck::DeckTerms::new(facts::Currency::new("USD").unwrap())
    };
    let deck = file.into_deck("d", 1, terms);
    assert_eq!(deck.rates[0].prefix.to_string(), "", "the surcharge for all destinations");
}

#[test]
fn several_sheets_of_rates_are_asked_or_read_as_one_deck() {
    let file = sheets(&[
        ("Europe", &["Code|Rate|Increment", "43|0.02|1/1"]),
        ("Terms", &["Payment within 30 days"]),
        ("Asia", &["Dial code|Price per min|Billing", "91|0.03|60/60", "43|0.05|1/1"]),
    ]);
    let said = |template: &crate::ReadOptions| {
        read("x.ods", &file, template).map(|file| lines(&file)).unwrap_or_else(|error| error.to_string())
    };
    expect![
        "x.ods: the sheets Europe, Asia all hold rates; name those to read, each with --sheet NAME, or --all-sheets"
    ]
    .assert_eq(&said(&plain()));
    expect![[r#"
        2 43  1/1 0.02 .. Open
        2 91  60/60 0.03 .. Open
        3 [Dial code] row 2 already prices code 43 from the same date on; keep one of the two rows
        assumed: rows without a date are valid always
    "#]]
    .assert_eq(&said(&crate::ReadOptions { all_sheets: true, ..plain() }));
    expect![[r#"
        2 91  60/60 0.03 .. Open
        3 43  1/1 0.05 .. Open
        assumed: rows without a date are valid always
    "#]]
    .assert_eq(&said(&crate::ReadOptions { sheets: vec!["Asia".into()], ..plain() }));
    expect![[r#"x.ods has no sheet "Africa"; it has Europe, Terms, Asia"#]]
        .assert_eq(&said(&crate::ReadOptions { sheets: vec!["Africa".into()], ..plain() }));
}

#[test]
fn a_cover_says_what_the_sheets_of_rates_do_not() {
    let cover: &[&str] =
        &["Currency|EUR", "Product|Gold", "Effective date|2026-01-05", "Billing: 60/60 for Mexico, rest 1/1"];
    let file = sheets(&[("Cover", cover), ("Rates", &["Code|Destination|Rate", "52|Mexico|0.02", "43|Austria|0.03"])]);
    let found = read("x.ods", &file, &plain()).unwrap();
    assert_eq!(found.found.notice.product.as_deref(), Some("Gold"));
    expect![[r#"
        2 52 Mexico 60/60 0.02 2026-01-05T00:00:00Z.. Open
        3 43 Austria 1/1 0.03 2026-01-05T00:00:00Z.. Open
        to confirm: currency EUR by the notice: --currency EUR
        to confirm: increments 1/1, Mexico 60/60 by the words "Billing: 60/60 for Mexico, rest 1/1": --increment 1/1
        to confirm: rows without a date are valid from 2026-01-05 by the notice: --valid-from 2026-01-05
    "#]]
    .assert_eq(&lines(&found));
    // Terms that mention another currency do not make the rates' own doubtful.
    let file = sheets(&[("Rates", &["Currency|USD", "Code|Rate", "43|0.03"]), ("Terms", &["Currency|EUR"])]);
    assert_eq!(read("x.ods", &file, &plain()).unwrap().found.currency, Some(facts::Currency::new("USD").unwrap()));
}

fn ods(content: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("mimetype", stored).unwrap();
    zip.write_all(crate::ods::TYPE).unwrap();
    zip.start_file("content.xml", SimpleFileOptions::default()).unwrap();
    zip.write_all(content.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn repeats_of_an_open_workbook_cost_nothing_or_are_refused() {
    let sheet = |rows: &str| {
        let head = "<table-cell value-type='string'><p>Code</p></table-cell><table-cell value-type='string'><p>Rate</p></table-cell>";
        ods(&format!("<doc><table name='a'><table-row>{head}</table-row>{rows}</table></doc>"))
    };
    let said = |bytes: &[u8]| match read("x.ods", bytes, &plain()) {
        Ok(file) => lines(&file),
        Err(error) => error.to_string(),
    };
    let cell = "<table-cell value-type='float' value='44'/><table-cell value-type='float' value='0.1'/>";
    expect!["x.ods is beyond the limit: row 2 stands 4000000000 times (limit 5000000); split it or raise the limit"]
        .assert_eq(&said(&sheet(&format!("<table-row number-rows-repeated='4000000000'>{cell}</table-row>"))));
    expect!["x.ods is beyond the limit: a row has more columns (limit 256); split it or raise the limit"].assert_eq(&said(&sheet("<table-row><table-cell number-columns-repeated='4000000000' value-type='string'><p>x</p></table-cell></table-row>")));
    let fine = format!(
        "<table-row number-rows-repeated='4000000'/><table-row>{cell}<table-cell number-columns-repeated='4000000000'/></table-row>"
    );
    expect![[r#"
        4000002 44  1/1 0.1 .. Open
        assumed: rows without a date are valid always
        to confirm: rows without an increment are billed by the second, for nothing names one: --increment 1/1
    "#]]
    .assert_eq(&said(&sheet(&fine)));
    expect!["x.ods is damaged at content.xml: it defines a document type of its own; ask for it again"]
        .assert_eq(&said(&ods("<!DOCTYPE a [<!ENTITY b 'c'>]><doc/>")));
}

#[test]
fn an_old_workbook_that_would_burst_the_memory_is_refused_before_it_is_opened() {
    let mut template = plain();
    template.limits.unpacked_bytes = 1_000;
    let error = read("x.xls", XLS, &template).unwrap_err().to_string();
    assert!(error.starts_with("x.xls is beyond the limit: its cells would take "), "{error}");
    let error = read("x.xls", &XLS[..1_500], &plain()).unwrap_err().to_string();
    assert!(error.contains("x.xls is damaged"), "{error}");
    let error = read("x.xls", &XLS[..8], &plain()).unwrap_err().to_string();
    assert_eq!(error, "x.xls is damaged at the workbook: its header is cut; ask for it again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_workbook_of_either_kind_is_answered(at in 0..XLS.len(), value: u8) {
        let mut bytes = XLS.to_vec();
        bytes[at] = value;
        let _ = read("any", &bytes, &plain());
        let mut content = String::new();
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(ODS)).unwrap();
        archive.by_name("content.xml").unwrap().read_to_string(&mut content).unwrap();
        let at = at % content.len();
        if content.is_char_boundary(at) && content.is_char_boundary(at + 1) {
            content.replace_range(at..at + 1, &char::from(value & 127).to_string());
            let _ = read("any", &ods(&content), &plain());
        }
    }
}
