//! What header words mean: English, German, French, Spanish, Italian, Portuguese, Russian. Looks at one header at a
//! time and never at the values below it.

use crate::field::Field;
use facts::Currency;

/// Words that say "each minute" or stand for nothing, which every price here is anyway.
const PER_MINUTE: [&str; 14] =
    ["per", "min", "mins", "minute", "minutes", "s", "pro", "par", "por", "al", "за", "мин", "минуту", "minuto"];
/// A header of more words is a sentence.
const WORDS_MAX: usize = 9;

/// Headers after `words`, and what they mean. Sources: domain.md 4.5 (Airtel, Tata, TelecomsXChange, PortaOne,
/// JeraSoft, Yeti, ASTPP, Kazoo, 46labs) and the sample decks.
#[rustfmt::skip]
const NAMES: &[(&str, Field)] = &[
    ("complete code", Field::Code), ("pattern", Field::Code), ("e164", Field::Code), ("lrn prefix", Field::Code),
    ("npanxx", Field::Code), ("npa nxx", Field::Code), ("e 164", Field::Code), ("digits", Field::Code),
    ("cc", Field::CountryCode), ("iac", Field::CountryCode), ("ac", Field::AreaCode), ("ndc", Field::AreaCode),
    ("dialcode", Field::Code), ("dialcodes", Field::Code), ("dialprefix", Field::Code), ("breakout code", Field::Code),
    ("code name", Field::Destination), ("target pattern name", Field::Destination), ("comment", Field::Destination),
    ("breakout", Field::Destination), ("zone", Field::Destination), ("zone name", Field::Destination),
    ("rate name", Field::Destination), ("location", Field::Destination), ("location name", Field::Destination),
    ("charge", Field::Rate), ("rate cost", Field::Rate), ("cost", Field::Rate),
    ("price 1", Field::FirstRate), ("price n", Field::NextRate),
    ("interrate", Field::InterRate), ("interstate", Field::InterRate), ("inter", Field::InterRate),
    ("intrarate", Field::IntraRate), ("intrastate", Field::IntraRate), ("intra", Field::IntraRate),
    ("ijrate", Field::IndeterminateRate), ("ij", Field::IndeterminateRate),
    ("charge period", Field::Increment), ("billing", Field::Increment), ("inc", Field::Increment),
    ("rate increment", Field::Increment), ("interval", Field::Increment), ("rounding", Field::Increment),
    ("interval 1", Field::FirstInterval), ("minimum", Field::FirstInterval), ("inc minimum", Field::FirstInterval),
    ("inc first", Field::FirstInterval), ("rate minimum", Field::FirstInterval),
    ("minimum duration", Field::FirstInterval), ("minimum time", Field::FirstInterval),
    ("sub interval", Field::NextInterval), ("interval n", Field::NextInterval), ("add inc", Field::NextInterval),
    ("int", Field::NextInterval),
    ("connectcost", Field::ConnectFee), ("rate surcharge", Field::ConnectFee), ("flagfall", Field::ConnectFee),
    ("includedseconds", Field::FreeSeconds), ("included seconds", Field::FreeSeconds),
    ("free seconds", Field::FreeSeconds),
    ("grace volume", Field::GraceSeconds), ("grace time", Field::GraceSeconds),
    ("grace period", Field::GraceSeconds), ("rate nocharge time", Field::GraceSeconds),
    ("status", Field::Status), ("state", Field::Status), ("forbidden", Field::Forbidden),
    ("reject calls", Field::Forbidden), ("blocked", Field::Forbidden), ("discontinued", Field::Discontinued),
    ("time type", Field::TimeType), ("time profile", Field::TimeType), ("time band", Field::TimeType),
    ("tariff time", Field::TimeType), ("time period", Field::TimeType),
    ("src code", Field::Origin), ("origin", Field::Origin), ("origin group", Field::Origin),
    ("origin name", Field::Origin), ("origination", Field::Origin), ("origin zone", Field::Origin),
    ("origin country", Field::Origin), ("a number group", Field::Origin), ("origin based", Field::Origin),
    ("ursprung", Field::Origin), ("herkunft", Field::Origin), ("origine", Field::Origin), ("origen", Field::Origin),
    ("currency", Field::Currency), ("wahrung", Field::Currency), ("devise", Field::Currency),
    ("moneda", Field::Currency), ("valuta", Field::Currency), ("валюта", Field::Currency),
    ("статус", Field::Status), ("statut", Field::Status), ("estado", Field::Status), ("stato", Field::Status),
];

const CODE: &[&str] = &[
    "code",
    "codes",
    "prefix",
    "prefixes",
    "prefijo",
    "prefijos",
    "prefisso",
    "prefissi",
    "vorwahl",
    "vorwahlen",
    "kennzahl",
    "kennzahlen",
    "indicatif",
    "indicatifs",
    "prefixe",
    "codigo",
    "codigos",
    "codice",
    "codici",
    "код",
    "коды",
    "префикс",
    "префиксы",
    "dialcode",
    "dialcodes",
    "prefixo",
    "prefixos",
    "rufnummernprafix",
];
/// Beside a word of [`CODE`] these leave it the whole code.
const CODE_FILL: &[&str] = &[
    "dial",
    "dialing",
    "dialling",
    "dialled",
    "dialed",
    "full",
    "complete",
    "e164",
    "new",
    "telephone",
    "phone",
    "number",
    "international",
    "digits",
    "digit",
    "list",
    "destination",
    "destinations",
    "breakout",
    "route",
    "lrn",
    "telefonico",
    "numero",
    "telephonique",
    "направления",
    "набора",
    "телефонный",
    "ziel",
    "destino",
    "destinazione",
    "appel",
    "e",
    "164",
    "de",
    "del",
    "di",
    "tel",
    "b",
    "term",
    "terminating",
    "calling",
];
const COUNTRY: &[&str] =
    &["country", "countries", "land", "pays", "pais", "paese", "страна", "страны", "lander", "countrycode"];
const AREA: &[&str] = &[
    "area",
    "city",
    "local",
    "network",
    "region",
    "regional",
    "ortsnetz",
    "ville",
    "ciudad",
    "citta",
    "operator",
    "города",
    "город",
    "zone",
    "region",
    "cidade",
    "ort",
    "national",
];
const ORIGIN: &[&str] =
    &["origin", "origination", "originating", "src", "source", "caller", "ani", "ursprung", "origen"];
const RATE: &[&str] = &[
    "rate",
    "rates",
    "price",
    "prices",
    "tariff",
    "tariffs",
    "tarif",
    "tarife",
    "tarifs",
    "tarifa",
    "tarifas",
    "tariffa",
    "tariffe",
    "preis",
    "preise",
    "prix",
    "precio",
    "precios",
    "prezzo",
    "prezzi",
    "цена",
    "цены",
    "тариф",
    "тарифы",
    "ставка",
    "cost",
    "charge",
    "costo",
    "kosten",
    "minutenpreis",
    "preco",
    "precos",
    "стоимость",
    "prime",
];
const DESTINATION: &[&str] = &[
    "destination",
    "destinations",
    "ziel",
    "zielname",
    "zielland",
    "ziele",
    "destino",
    "destinos",
    "destinazione",
    "destinazioni",
    "направление",
    "направления",
    "назначение",
    "description",
    "bezeichnung",
    "beschreibung",
    "descripcion",
    "descrizione",
    "descricao",
    "описание",
];
const NETWORK: &[&str] = &[
    "network",
    "operator",
    "netz",
    "netzbetreiber",
    "reseau",
    "red",
    "rete",
    "operateur",
    "operador",
    "operatore",
    "оператор",
    "сеть",
    "carrier",
    "mno",
];
const OLD: &[&str] = &[
    "old",
    "previous",
    "prev",
    "former",
    "last",
    "prior",
    "alt",
    "alter",
    "alte",
    "altes",
    "bisher",
    "bisherig",
    "bisheriger",
    "ancien",
    "ancienne",
    "anterior",
    "viejo",
    "vecchio",
    "vecchia",
    "precedente",
    "старый",
    "старая",
    "предыдущая",
    "прежняя",
];
const CHANGE: &[&str] = &[
    "change",
    "changes",
    "changed",
    "anderung",
    "aenderung",
    "changement",
    "cambio",
    "variazione",
    "изменение",
    "diff",
    "difference",
    "delta",
    "variation",
    "variacion",
    "indicator",
    "movement",
];
const INCREMENT: &[&str] = &[
    "increment",
    "increments",
    "pulse",
    "pulses",
    "takt",
    "taktung",
    "abrechnungstakt",
    "incremento",
    "incrementos",
    "incremental",
    "tarification",
    "facturation",
    "cadence",
    "cadencia",
    "шаг",
    "округление",
    "тарификация",
    "pas",
    "scatto",
    "scatti",
    "interval",
    "intervals",
    "intervall",
    "intervalo",
    "intervallo",
    "intervalle",
    "инкремент",
];
const FIRST: &[&str] = &[
    "first",
    "initial",
    "min",
    "minimum",
    "erster",
    "erste",
    "premier",
    "primer",
    "primo",
    "inicial",
    "iniziale",
    "первый",
    "начальный",
    "1st",
    "minimal",
    "minimo",
];
const NEXT: &[&str] = &[
    "next",
    "subsequent",
    "sub",
    "additional",
    "recurring",
    "n",
    "folge",
    "folgender",
    "weitere",
    "suivant",
    "siguiente",
    "successivo",
    "следующий",
    "последующий",
    "nth",
    "2nd",
    "second",
    "add",
    "adicional",
    "n+1",
];
const FROM: &[&str] = &[
    "effective",
    "valid",
    "gultig",
    "ab",
    "valable",
    "vigencia",
    "vigente",
    "valido",
    "validita",
    "decorrenza",
    "start",
    "begin",
    "beginning",
    "beginn",
    "activation",
    "from",
    "desde",
    "dal",
    "действует",
    "с",
    "начала",
    "начало",
    "effet",
    "vigor",
    "inicio",
    "inizio",
    "debut",
    "validity",
    "applicable",
    "вступления",
];
const UNTIL: &[&str] = &[
    "until",
    "till",
    "to",
    "end",
    "expiry",
    "expiration",
    "expires",
    "bis",
    "hasta",
    "au",
    "fin",
    "fine",
    "fino",
    "окончания",
    "по",
    "до",
    "ending",
    "fim",
    "ende",
    "stop",
];
const DATE: &[&str] = &["date", "datum", "fecha", "data", "дата", "on", "day"];
const CONNECT: &[&str] = &[
    "connect",
    "connection",
    "setup",
    "verbindungsaufbau",
    "verbindungsentgelt",
    "connexion",
    "conexion",
    "establecimiento",
    "scatto",
    "соединение",
    "flag",
    "call",
];
const FEE: &[&str] = &["fee", "fees", "charge", "cost", "price", "rate", "entgelt", "frais", "cargo", "costo", "плата"];
/// Beside a word of [`RATE`] these say that the column is no price.
const NO_PRICE: &[&str] = &[
    "id",
    "type",
    "plan",
    "name",
    "table",
    "group",
    "notes",
    "note",
    "code",
    "category",
    "class",
    "status",
    "currency",
    "multiplier",
    "comment",
    "comments",
    "level",
    "validity",
    "remark",
    "remarks",
    "deck",
    "per100",
    "date",
    "dates",
    "old",
    "percent",
    "pct",
    "%",
];

/// Letters without their marks, so that `Gültig` and `gueltig` and `gultig` are near one another.
fn fold(letter: char) -> char {
    match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        'ё' => 'е',
        other => other,
    }
}

/// A header's words in small letters: split at signs and where `aB` changes case.
pub fn words_of(header: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut small = false;
    for letter in header.chars() {
        let starts = small && letter.is_uppercase();
        if (!letter.is_alphanumeric() || starts) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase().map(fold));
        }
        small = letter.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The field that a header names, if it is a known one.
pub fn field(header: &str) -> Option<Field> {
    if header.len() > 120 {
        return None;
    }
    let all = words_of(header);
    if all.is_empty() || all.len() > WORDS_MAX {
        return None;
    }
    let joined = all.join(" ");
    match joined.as_str() {
        // JeraSoft's `Min`, `Min Inc`; elsewhere the word belongs to a price.
        "min" | "min inc" | "min increment" | "min interval" => return Some(Field::FirstInterval),
        "peak" | "off peak" | "offpeak" | "weekend" => return Some(Field::Rate),
        _ => {}
    }
    let kept: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|word| !PER_MINUTE.contains(word) && crate::currency::code(word).is_none() && !is_unit(word))
        .collect();
    let words = if kept.is_empty() { joined } else { kept.join(" ") };
    if let Some((_, field)) = NAMES.iter().find(|(name, _)| *name == words) {
        return Some(*field);
    }
    by_words(&Words { kept, all: &all })
}

fn is_unit(word: &str) -> bool {
    matches!(word, "cent" | "cents" | "ct" | "cts" | "centimes" | "центов" | "dollar" | "dollars" | "us" | "sec")
        || matches!(word, "euro" | "euros" | "net" | "excl" | "vat" | "in")
}

struct Words<'w> {
    kept: Vec<&'w str>,
    all: &'w [String],
}

impl Words<'_> {
    fn any(&self, known: &[&str]) -> bool {
        self.kept.iter().any(|word| known.contains(word))
    }

    fn any_of_all(&self, known: &[&str]) -> bool {
        self.all.iter().any(|word| known.contains(&word.as_str()))
    }

    /// Nothing but words of these lists.
    fn only(&self, lists: &[&[&str]]) -> bool {
        self.kept.iter().all(|word| lists.iter().any(|list| list.contains(word)))
    }
}

fn by_words(words: &Words<'_>) -> Option<Field> {
    if words.any(OLD) {
        return None;
    }
    if words.any(CHANGE) {
        return Some(Field::Change);
    }
    dates(words)
        .or_else(|| intervals(words))
        .or_else(|| codes(words))
        .or_else(|| prices(words))
        .or_else(|| names(words))
}

fn dates(words: &Words<'_>) -> Option<Field> {
    let dated = words.any_of_all(DATE) || words.any_of_all(&["valid", "gultig", "effective", "valido", "valable"]);
    let lists = [FROM, UNTIL, DATE, RATE, &["new", "of", "d", "entree", "en", "de", "entrada", "utc", "gmt"][..]];
    if !dated || !words.only(&lists) {
        return None;
    }
    let until = words.any(UNTIL);
    let from = words.any(FROM);
    match (from, until) {
        (_, true) => Some(Field::ValidUntil),
        (true, false) => Some(Field::ValidFrom),
        (false, false) if words.any_of_all(&["date", "datum", "fecha", "data", "дата"]) && !words.any(RATE) => {
            Some(Field::ValidFrom)
        }
        _ => None,
    }
}

fn intervals(words: &Words<'_>) -> Option<Field> {
    let fill = ["billing", "rate", "charging", "charge", "call", "seconds", "sec", "de", "di", "period", "duration"];
    let inc = ["inc", "incr"];
    if !(words.any(INCREMENT) || words.any(&inc)) || !words.only(&[INCREMENT, FIRST, NEXT, &fill, &inc]) {
        return None;
    }
    if words.any_of_all(FIRST) {
        return Some(Field::FirstInterval);
    }
    if words.any_of_all(NEXT) {
        return Some(Field::NextInterval);
    }
    Some(Field::Increment)
}

fn codes(words: &Words<'_>) -> Option<Field> {
    if !words.any(CODE) {
        return None;
    }
    if words.any(ORIGIN) {
        return None;
    }
    if words.any(COUNTRY) {
        return words.only(&[CODE, COUNTRY, CODE_FILL]).then_some(Field::CountryCode);
    }
    if words.any(AREA) {
        return words.only(&[CODE, AREA, CODE_FILL]).then_some(Field::AreaCode);
    }
    if words.any(&["name"]) {
        return words.only(&[CODE, CODE_FILL, &["name"]]).then_some(Field::Destination);
    }
    words.only(&[CODE, CODE_FILL]).then_some(Field::Code)
}

fn prices(words: &Words<'_>) -> Option<Field> {
    let fee = words.any(FEE) || words.any(RATE);
    if fee && words.any(&["attempt"]) {
        return Some(Field::AttemptFee);
    }
    if fee && words.any(&["disconnect", "disconnection"]) {
        return Some(Field::DisconnectFee);
    }
    let set_up = words.any(&["set"]) && words.any(&["up"]);
    let fills: [&[&str]; 4] = [CONNECT, FEE, RATE, &["set", "up", "per", "de", "di", "new"]];
    if (words.any(CONNECT) || set_up) && fee && words.only(&fills) {
        return Some(Field::ConnectFee);
    }
    if words.any(&["verbindungsaufbau", "verbindungsentgelt"]) {
        return Some(Field::ConnectFee);
    }
    if words.any(&["surcharge", "zuschlag", "recargo"]) {
        return None;
    }
    if words.any(&["indeterminate"]) {
        return Some(Field::IndeterminateRate);
    }
    if !words.any(RATE) || words.any(NO_PRICE) || words.any(CODE) {
        return None;
    }
    if words.any(&["inter", "interstate"]) {
        return Some(Field::InterRate);
    }
    if words.any(&["intra", "intrastate"]) {
        return Some(Field::IntraRate);
    }
    if words.any(&["first", "initial"]) {
        return Some(Field::FirstRate);
    }
    if words.any(&["next", "subsequent", "recurring", "additional"]) {
        return Some(Field::NextRate);
    }
    Some(Field::Rate)
}

fn names(words: &Words<'_>) -> Option<Field> {
    let fill = ["name", "full", "of", "and", "network", "the", "long", "nombre", "nom"];
    (words.any(DESTINATION) && words.only(&[DESTINATION, COUNTRY, NETWORK, &fill])).then_some(Field::Destination)
}

/// What a price column's header says about the unit of its figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unit {
    /// Hundredths of the currency.
    pub cents: bool,
    /// A second, not a minute.
    pub per_second: bool,
    /// Neither a minute nor a second: `per 100 minutes`, `per hour`, `per 1000`.
    pub unknown: bool,
}

pub fn unit(header: &str) -> Unit {
    let words = words_of(header);
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let per = |unit: &[&str]| {
        words.windows(2).any(|pair| matches!(&*pair[0], "per" | "pro" | "par" | "por") && unit.contains(&&*pair[1]))
            || header
                .split('/')
                .skip(1)
                .any(|rest| words_of(rest).first().is_some_and(|word| unit.contains(&word.as_str())))
    };
    let number = |text: &str| {
        let first = words_of(text).into_iter().next().unwrap_or_default();
        !first.is_empty() && first != "1" && first.bytes().all(|b| b.is_ascii_digit())
    };
    let count = header.split('/').skip(1).any(number)
        || words
            .windows(2)
            .any(|pair| pair[0] == "per" && pair[1] != "1" && pair[1].bytes().all(|b| b.is_ascii_digit()));
    Unit {
        cents: has(&["cent", "cents", "ct", "cts", "centimes", "cts", "paise", "pence"]) || header.contains('¢'),
        per_second: per(&["sec", "second", "seconds", "sekunde", "seconde", "segundo", "secondo", "s"]),
        unknown: count || per(&["hour", "hr", "stunde", "heure", "hora", "call"]),
    }
}

/// The currency that a header or text names as a word of its own.
pub fn currency_in(text: &str) -> Option<Currency> {
    crate::currency::named(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_header_in_seven_languages_means_one_thing() {
        let said = |headers: &[&str]| {
            headers
                .iter()
                .map(|header| format!("{header} = {}\n", field(header).map_or("?", Field::as_str)))
                .collect::<String>()
        };
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
}
