//! The four reports: from a filter to SQL over the rollups where they can answer exactly, else over the base table;
//! and from rows of the engine to lines per currency.

use super::figures::{Figures, Line, minutes};
use super::table::{Column, Kind, Table, column};
use crate::engine::Session;
use crate::error::EngineError;
use crate::rows::stored_bound;
use clickhouse::Row;
use facts::Amount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;
/// Most lines of one report; beyond it the answer is refused with advice, never cut silently.
pub const LINES_MAX: u64 = 200_000;

/// The four reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportName {
    Customer,
    Destination,
    Vendor,
    Hour,
}

impl ReportName {
    pub const ALL: [Self; 4] = [Self::Customer, Self::Destination, Self::Vendor, Self::Hour];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Destination => "destination",
            Self::Vendor => "vendor",
            Self::Hour => "hour",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

/// Which calls a report is about. The call's start decides, from inclusive, until exclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Microseconds since 1970; `None` = since ever.
    pub from: Option<i64>,
    pub until: Option<i64>,
    /// Account; empty = all, as in the others.
    pub customer: String,
    pub vendor: String,
    /// Name of the sell side's destination.
    pub destination: String,
    /// SIP codes that count for NER beside the answered ones (`SiteSettings::ner_codes`).
    pub ner_codes: Vec<u16>,
}

/// Where the figures came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The hourly sums: whole hours, filters on what they are kept by.
    Rollup,
    /// The attempts themselves.
    Attempts,
}

/// A report's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub name: ReportName,
    pub source: Source,
    /// By attempts falling (hour: by hour), then by key and currency.
    pub lines: Vec<Line>,
    /// One line per currency over all lines; key empty.
    pub totals: Vec<Line>,
}

/// What comes from the engine: sums by key and both currencies.
#[derive(Row, Deserialize, Debug)]
struct Sums {
    key: String,
    sell: String,
    buy: String,
    calls: i64,
    answered: i64,
    effective: i64,
    talk: i64,
    billed_sell: i64,
    billed_buy: i64,
    pdd_total: i64,
    pdd_count: i64,
    revenue_total: i128,
    cost_total: i128,
    revenue_prov: i128,
    cost_prov: i128,
}

/// Asks for one report.
pub async fn report(session: &mut Session, name: ReportName, filter: &Filter) -> Result<Report, EngineError> {
    let source = source_for(name, filter);
    let sql = select(name, filter, source);
    let query = bind(session.db().query(&sql), filter);
    let rows = query.fetch_all::<Sums>().await.map_err(|e| session.error("a report", &e))?;
    if rows.len() as u64 > LINES_MAX {
        return Err(EngineError::Refused {
            what: format!("the {} report", name.as_str()),
            code: None,
            message: format!("it has more than {LINES_MAX} lines; ask for a shorter time or fewer destinations"),
        });
    }
    let lines = lines(name, rows)?;
    let totals = totals(&lines)?;
    Ok(Report { name, source, lines, totals })
}

/// A report straight into one of the engine's formats (`CSVWithNames`, `JSONEachRow`, `Parquet`), durations in
/// microseconds, both currencies of each line apart. For files; the pages use [`report`].
pub async fn export(
    session: &mut Session,
    name: ReportName,
    filter: &Filter,
    format: &str,
) -> Result<Vec<u8>, EngineError> {
    let sql = select(name, filter, source_for(name, filter));
    let query = bind(session.db().query(&sql), filter);
    collect(session, query, format).await
}

/// Any reading statement, in any format the engine writes. Nothing can be changed by it.
pub async fn sql(session: &mut Session, text: &str, format: &str) -> Result<Vec<u8>, EngineError> {
    let client = session.db().with_setting("readonly", "1");
    collect(session, client.query_raw(text), format).await
}

async fn collect(session: &mut Session, query: clickhouse::query::Query, format: &str) -> Result<Vec<u8>, EngineError> {
    let mut out = Vec::new();
    let result = async {
        let mut bytes = query.fetch_bytes(format)?;
        while let Some(chunk) = bytes.next().await? {
            out.extend_from_slice(&chunk);
        }
        Ok(())
    };
    result.await.map_err(|e| session.error("a query", &e))?;
    Ok(out)
}

/// The rollups answer when the range is whole hours and the filter is on what they are kept by.
fn source_for(name: ReportName, filter: &Filter) -> Source {
    let whole = |at: Option<i64>| at.is_none_or(|t| t.rem_euclid(HOUR) == 0);
    let kept = if name == ReportName::Vendor { filter.customer.is_empty() } else { filter.vendor.is_empty() };
    if whole(filter.from) && whole(filter.until) && kept { Source::Rollup } else { Source::Attempts }
}

/// The narrowest rollup that still has what the filter asks for.
fn rollup_for(name: ReportName, filter: &Filter) -> &'static str {
    let (all_customers, all_destinations) = (filter.customer.is_empty(), filter.destination.is_empty());
    match name {
        ReportName::Customer | ReportName::Hour if all_destinations => "by_customer_hourly",
        ReportName::Hour | ReportName::Destination if all_customers => "by_destination_hourly",
        ReportName::Vendor if all_destinations => "by_vendor_hourly",
        ReportName::Vendor => "vendors_hourly",
        ReportName::Customer | ReportName::Destination | ReportName::Hour => "calls_hourly",
    }
}

fn select(name: ReportName, filter: &Filter, source: Source) -> String {
    let vendor = name == ReportName::Vendor;
    let (time, table) = match source {
        Source::Rollup => ("hour", rollup_for(name, filter)),
        Source::Attempts => ("started", "attempts"),
    };
    let key = match name {
        ReportName::Customer => "toString(customer)".to_owned(),
        ReportName::Destination => "toString(destination)".to_owned(),
        ReportName::Vendor => "toString(vendor)".to_owned(),
        ReportName::Hour => format!("formatDateTime(toStartOfHour({time}, 'UTC'), '%Y-%m-%dT%H:00:00Z', 'UTC')"),
    };
    let sums = match (source, vendor) {
        (Source::Rollup, _) => ROLLUP_SUMS,
        (Source::Attempts, false) => CALL_SUMS,
        (Source::Attempts, true) => VENDOR_SUMS,
    };
    let mut conditions = Vec::new();
    let instant = |name: &str| format!("fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')");
    if filter.from.is_some() {
        conditions.push(format!("{time} >= {}", instant("from")));
    }
    if filter.until.is_some() {
        conditions.push(format!("{time} < {}", instant("until")));
    }
    for (column, value) in
        [("customer", &filter.customer), ("vendor", &filter.vendor), ("destination", &filter.destination)]
    {
        if !value.is_empty() {
            conditions.push(format!("{column} = {{{column}:String}}"));
        }
    }
    if vendor && source == Source::Attempts {
        conditions.push("tried = 1".to_owned());
    }
    let filter = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    format!(
        "SELECT {key} AS key, toString(sell_currency) AS sell, toString(buy_currency) AS buy, {sums} \
         FROM {table} WHERE {filter} GROUP BY key, sell, buy ORDER BY key, sell, buy LIMIT {}",
        LINES_MAX + 1
    )
}

const ROLLUP_SUMS: &str = "sum(calls_n) AS calls, sum(answered_n) AS answered, \
    answered + sum(if(result IN {ner:Array(UInt16)}, calls_n - answered_n, 0)) AS effective, \
    sum(talk_sum) AS talk, sum(billed_sell_sum) AS billed_sell, sum(billed_buy_sum) AS billed_buy, \
    sum(pdd_sum) AS pdd_total, sum(pdd_n) AS pdd_count, \
    sum(revenue) AS revenue_total, sum(cost) AS cost_total, \
    sum(revenue_provisional) AS revenue_prov, sum(cost_provisional) AS cost_prov";

const CALL_SUMS: &str = "sum(sign * is_final) AS calls, sum(sign * attempts.answered) AS answered, \
    answered + sum(if(is_final = 1 AND attempts.answered = 0 AND code IN {ner:Array(UInt16)}, sign, 0)) AS effective, \
    sum(sign * talk_us) AS talk, sum(sign * billed_sell_us) AS billed_sell, sum(sign * billed_buy_us) AS billed_buy, \
    sum(if(is_final = 1 AND pdd_us >= 0, sign * pdd_us, 0)) AS pdd_total, \
    sum(if(is_final = 1 AND pdd_us >= 0, sign, 0)) AS pdd_count, \
    sum(sign * sell_amount) AS revenue_total, sum(sign * buy_amount) AS cost_total, \
    sum(if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount)) AS revenue_prov, \
    sum(if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount)) AS cost_prov";

const VENDOR_SUMS: &str = "sum(sign * tried) AS calls, sum(sign * leg_answered) AS answered, \
    answered + sum(if(leg_answered = 0 AND leg_code IN {ner:Array(UInt16)}, sign, 0)) AS effective, \
    sum(sign * leg_talk_us) AS talk, sum(sign * billed_sell_us) AS billed_sell, sum(sign * billed_buy_us) AS billed_buy, \
    sum(if(leg_pdd_us >= 0, sign * leg_pdd_us, 0)) AS pdd_total, sum(if(leg_pdd_us >= 0, sign, 0)) AS pdd_count, \
    sum(sign * sell_amount) AS revenue_total, sum(sign * buy_amount) AS cost_total, \
    sum(if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount)) AS revenue_prov, \
    sum(if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount)) AS cost_prov";

fn bind(mut query: clickhouse::query::Query, filter: &Filter) -> clickhouse::query::Query {
    query = query.param("ner", &filter.ner_codes);
    if let Some(from) = filter.from {
        query = query.param("from", stored_bound(from));
    }
    if let Some(until) = filter.until {
        query = query.param("until", stored_bound(until));
    }
    for (column, value) in
        [("customer", &filter.customer), ("vendor", &filter.vendor), ("destination", &filter.destination)]
    {
        if !value.is_empty() {
            query = query.param(column, value);
        }
    }
    query
}

/// Sums by two currencies become lines by one: counts go where the side that counts them is priced.
fn lines(name: ReportName, rows: Vec<Sums>) -> Result<Vec<Line>, EngineError> {
    let mut by_key: BTreeMap<(String, String), Figures> = BTreeMap::new();
    for row in rows {
        let counted = Figures {
            attempts: row.calls,
            answered: row.answered,
            effective: row.effective,
            talk: row.talk,
            pdd_sum: row.pdd_total,
            pdd_count: row.pdd_count,
            ..Figures::default()
        };
        let sold = Figures {
            billed_sell: row.billed_sell,
            revenue: Amount(row.revenue_total),
            revenue_provisional: Amount(row.revenue_prov),
            ..Figures::default()
        };
        let bought = Figures {
            billed_buy: row.billed_buy,
            cost: Amount(row.cost_total),
            cost_provisional: Amount(row.cost_prov),
            ..Figures::default()
        };
        let counts_in = if name == ReportName::Vendor { &row.buy } else { &row.sell };
        for (currency, part) in [(counts_in, counted), (&row.sell, sold), (&row.buy, bought)] {
            if part != Figures::default() {
                add(&mut by_key, (row.key.clone(), currency.clone()), &part)?;
            }
        }
    }
    let mut lines: Vec<Line> =
        by_key.into_iter().map(|((key, currency), figures)| Line { key, currency, figures }).collect();
    lines.retain(|line| line.figures != Figures::default());
    if name != ReportName::Hour {
        let mut weight: BTreeMap<String, i64> = BTreeMap::new();
        for line in &lines {
            *weight.entry(line.key.clone()).or_default() += line.figures.attempts;
        }
        lines.sort_by(|a, b| weight[&b.key].cmp(&weight[&a.key]).then_with(|| a.key.cmp(&b.key)));
    }
    Ok(lines)
}

fn totals(lines: &[Line]) -> Result<Vec<Line>, EngineError> {
    let mut by_currency: BTreeMap<(String, String), Figures> = BTreeMap::new();
    for line in lines {
        add(&mut by_currency, (String::new(), line.currency.clone()), &line.figures)?;
    }
    Ok(by_currency.into_iter().map(|((key, currency), figures)| Line { key, currency, figures }).collect())
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Figures>, key: K, part: &Figures) -> Result<(), EngineError> {
    let sum = sums.entry(key).or_default();
    *sum = sum.plus(part).ok_or_else(|| EngineError::Refused {
        what: "a report".to_owned(),
        code: None,
        message: "its sums leave the range of 26 digits before the point".to_owned(),
    })?;
    Ok(())
}

impl Report {
    /// As columns and text.
    #[must_use]
    pub fn table(&self) -> Table {
        let row = |line: &Line| {
            let f = &line.figures;
            vec![
                line.key.clone(),
                line.currency.clone(),
                f.attempts.to_string(),
                f.answered.to_string(),
                f.asr(),
                f.ner(),
                f.acd(),
                f.pdd(),
                minutes(f.talk),
                minutes(f.billed_sell),
                minutes(f.billed_buy),
                f.revenue.to_string(),
                f.cost.to_string(),
                f.margin().map(|m| m.to_string()).unwrap_or_default(),
                f.revenue_provisional.to_string(),
                f.cost_provisional.to_string(),
            ]
        };
        Table {
            columns: columns(self.name),
            rows: self.lines.iter().map(row).collect(),
            totals: self.totals.iter().map(row).collect(),
            covers: String::new(),
        }
    }
}

fn columns(name: ReportName) -> Vec<Column> {
    let key = match name {
        ReportName::Customer => column("customer", "Customer", Kind::Text),
        ReportName::Destination => column("destination", "Destination", Kind::Text),
        ReportName::Vendor => column("vendor", "Vendor", Kind::Text),
        ReportName::Hour => column("hour", "Hour (UTC)", Kind::Instant),
    };
    vec![
        key,
        column("currency", "Currency", Kind::Text),
        column("attempts", "Attempts", Kind::Count),
        column("answered", "Answered", Kind::Count),
        column("asr", "ASR", Kind::Share),
        column("ner", "NER", Kind::Share),
        column("acd", "ACD", Kind::Duration),
        column("pdd", "PDD", Kind::Seconds),
        column("minutes", "Minutes", Kind::Minutes),
        column("minutes_sell", "Billed sell", Kind::Minutes),
        column("minutes_buy", "Billed buy", Kind::Minutes),
        column("revenue", "Revenue", Kind::Money),
        column("cost", "Cost", Kind::Money),
        column("margin", "Margin", Kind::Money),
        column("revenue_provisional", "Revenue, provisional", Kind::Money),
        column("cost_provisional", "Cost, provisional", Kind::Money),
    ]
}
