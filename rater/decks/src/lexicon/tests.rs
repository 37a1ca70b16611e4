//! Headers as notices have them, and what they mean.

use super::*;
use expect_test::expect;

/// What each header means, a line each.
fn said(headers: &[&str]) -> String {
    headers.iter().map(|header| format!("{header} = {}\n", field(header).map_or("?", Field::as_str))).collect()
}

#[test]
fn a_header_in_seven_languages_means_one_thing() {
    expect![[r#"
        Zielname = destination
        Vorwahl = code
        Preis (EUR/Min.) = rate
        Gültig ab = valid_from
        Gültig bis = valid_until
        Taktung = increment
        Verbindungsentgelt = connect_fee
        Währung = currency
        Indicatif = code
        Prix / min = rate
        Date d'effet = valid_from
        Pays = ?
        Prefijo = code
        Tarifa por minuto = rate
        Fecha de inicio = valid_from
        Destinazione = destination
        Prefisso = code
        Prezzo al minuto = rate
        Decorrenza = ?
        Направление = destination
        Код = code
        Цена за мин = rate
        Дата начала = valid_from
    "#]]
    .assert_eq(&said(&[
        "Zielname",
        "Vorwahl",
        "Preis (EUR/Min.)",
        "Gültig ab",
        "Gültig bis",
        "Taktung",
        "Verbindungsentgelt",
        "Währung",
        "Indicatif",
        "Prix / min",
        "Date d'effet",
        "Pays",
        "Prefijo",
        "Tarifa por minuto",
        "Fecha de inicio",
        "Destinazione",
        "Prefisso",
        "Prezzo al minuto",
        "Decorrenza",
        "Направление",
        "Код",
        "Цена за мин",
        "Дата начала",
    ]));
}

#[test]
fn a_header_of_an_english_notice_means_what_the_trade_means() {
    expect![[r#"
        DestinationName = destination
        City Code(s) = area_code
        Country Code = country_code
        Old Rate = ?
        Rate Change = change
        Rate Id = ?
        Gold Rate (USD) = rate
        Price($) = rate
        Off-Peak Rate = rate
        Min. billing increment = first_interval
        Additional Increment = next_interval
        Rate effective date = valid_from
        Set-up fee = connect_fee
        Price per call = connect_fee
        Origin dial codes = ?
        Interstate rate = inter_rate
        Cost/Min = rate
        Effective = valid_from
        End Date = valid_until
        Service Level = ?
        Currency code = ?
        first_interval = first_interval
        We announce new prices for the codes of all our destinations = ?
    "#]]
    .assert_eq(&said(&[
        "DestinationName",
        "City Code(s)",
        "Country Code",
        "Old Rate",
        "Rate Change",
        "Rate Id",
        "Gold Rate (USD)",
        "Price($)",
        "Off-Peak Rate",
        "Min. billing increment",
        "Additional Increment",
        "Rate effective date",
        "Set-up fee",
        "Price per call",
        "Origin dial codes",
        "Interstate rate",
        "Cost/Min",
        "Effective",
        "End Date",
        "Service Level",
        "Currency code",
        "first_interval",
        "We announce new prices for the codes of all our destinations",
    ]));
}

#[test]
fn a_price_in_cents_or_by_the_second_is_not_read_as_dollars_a_minute() {
    assert_eq!(unit("Rate (USD cents / min)"), Unit { cents: true, ..Unit::default() });
    assert_eq!(unit("Rates (USD / Min)"), Unit::default());
    assert_eq!(unit("Price per second"), Unit { per_second: true, ..Unit::default() });
    assert_eq!(unit("EUR/sec"), Unit { per_second: true, ..Unit::default() });
    assert_eq!(unit("Rate per 100 min"), Unit { unknown: true, ..Unit::default() });
    assert_eq!(unit("Rate/1 min"), Unit::default());
}
