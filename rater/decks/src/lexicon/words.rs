//! The words that headers are made of, in seven languages, by what they say. Written as read: packed, not one a line.

pub(super) const CODE: &[&str] = &[
    "code", "codes", "prefix", "prefixes", "prefijo", "prefijos", "prefisso", "prefissi", "vorwahl", "vorwahlen",
    "kennzahl", "kennzahlen", "indicatif", "indicatifs", "prefixe", "codigo", "codigos", "codice", "codici", "код",
    "коды", "префикс", "префиксы", "dialcode", "dialcodes", "prefixo", "prefixos", "rufnummernprafix",
];
/// Beside a word of [`CODE`] these leave it the whole code.
pub(super) const CODE_FILL: &[&str] = &[
    "dial", "dialing", "dialling", "dialled", "dialed", "full", "complete", "e164", "new", "telephone", "phone",
    "number", "international", "digits", "digit", "list", "destination", "destinations", "breakout", "route", "lrn",
    "telefonico", "numero", "telephonique", "направления", "набора", "телефонный", "ziel", "destino", "destinazione",
    "appel", "e", "164", "de", "del", "di", "tel", "b", "term", "terminating", "calling",
];
pub(super) const COUNTRY: &[&str] = &[
    "country", "countries", "land", "pays", "pais", "paese", "страна", "страны", "lander", "countrycode",
];
pub(super) const AREA: &[&str] = &[
    "area", "city", "local", "network", "region", "regional", "ortsnetz", "ville", "ciudad", "citta", "operator",
    "города", "город", "zone", "region", "cidade", "ort", "national",
];
pub(super) const ORIGIN: &[&str] = &[
    "origin", "origination", "originating", "src", "source", "caller", "ani", "ursprung", "origen",
];
pub(super) const RATE: &[&str] = &[
    "rate", "rates", "price", "prices", "tariff", "tariffs", "tarif", "tarife", "tarifs", "tarifa", "tarifas",
    "tariffa", "tariffe", "preis", "preise", "prix", "precio", "precios", "prezzo", "prezzi", "цена", "цены", "тариф",
    "тарифы", "ставка", "cost", "charge", "costo", "kosten", "minutenpreis", "preco", "precos", "стоимость", "prime",
];
pub(super) const DESTINATION: &[&str] = &[
    "destination", "destinations", "ziel", "zielname", "zielland", "ziele", "destino", "destinos", "destinazione",
    "destinazioni", "направление", "направления", "назначение", "description", "bezeichnung", "beschreibung",
    "descripcion", "descrizione", "descricao", "описание",
];
pub(super) const NETWORK: &[&str] = &[
    "network", "operator", "netz", "netzbetreiber", "reseau", "red", "rete", "operateur", "operador", "operatore",
    "оператор", "сеть", "carrier", "mno",
];
pub(super) const OLD: &[&str] = &[
    "old", "previous", "prev", "former", "last", "prior", "alt", "alter", "alte", "altes", "bisher", "bisherig",
    "bisheriger", "ancien", "ancienne", "anterior", "viejo", "vecchio", "vecchia", "precedente", "старый", "старая",
    "предыдущая", "прежняя",
];
pub(super) const CHANGE: &[&str] = &[
    "change", "changes", "changed", "anderung", "aenderung", "changement", "cambio", "variazione", "изменение",
    "diff", "difference", "delta", "variation", "variacion", "indicator", "movement",
];
pub(super) const INCREMENT: &[&str] = &[
    "increment", "increments", "pulse", "pulses", "takt", "taktung", "abrechnungstakt", "incremento", "incrementos",
    "incremental", "tarification", "facturation", "cadence", "cadencia", "шаг", "округление", "тарификация", "pas",
    "scatto", "scatti", "interval", "intervals", "intervall", "intervalo", "intervallo", "intervalle", "инкремент",
];
pub(super) const FIRST: &[&str] = &[
    "first", "initial", "min", "minimum", "erster", "erste", "premier", "primer", "primo", "inicial", "iniziale",
    "первый", "начальный", "1st", "minimal", "minimo",
];
pub(super) const NEXT: &[&str] = &[
    "next", "subsequent", "sub", "additional", "recurring", "n", "folge", "folgender", "weitere", "suivant",
    "siguiente", "successivo", "следующий", "последующий", "nth", "2nd", "second", "add", "adicional", "n+1",
];
pub(super) const FROM: &[&str] = &[
    "effective", "valid", "gultig", "ab", "valable", "vigencia", "vigente", "valido", "validita", "decorrenza",
    "start", "begin", "beginning", "beginn", "activation", "from", "desde", "dal", "действует", "с", "начала",
    "начало", "effet", "vigor", "inicio", "inizio", "debut", "validity", "applicable", "вступления",
];
pub(super) const UNTIL: &[&str] = &[
    "until", "till", "to", "end", "expiry", "expiration", "expires", "bis", "hasta", "au", "fin", "fine", "fino",
    "окончания", "по", "до", "ending", "fim", "ende", "stop",
];
pub(super) const DATE: &[&str] = &[
    "date", "datum", "fecha", "data", "дата", "on", "day",
];
pub(super) const CONNECT: &[&str] = &[
    "connect", "connection", "setup", "verbindungsaufbau", "verbindungsentgelt", "connexion", "conexion",
    "establecimiento", "scatto", "соединение", "flag", "call",
];
pub(super) const FEE: &[&str] = &[
    "fee", "fees", "charge", "cost", "price", "rate", "entgelt", "frais", "cargo", "costo", "плата",
];
/// Beside a word of [`RATE`] these say that the column is no price.
pub(super) const NO_PRICE: &[&str] = &[
    "id", "type", "plan", "name", "table", "group", "notes", "note", "code", "category", "class", "status",
    "currency", "multiplier", "comment", "comments", "level", "validity", "remark", "remarks", "deck", "per100",
    "date", "dates", "old", "percent", "pct", "%",
];
