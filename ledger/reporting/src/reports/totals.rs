//! What `tandem report check` compares with the ledger: sums per account, side and currency, and counts, of the rows
//! before a cut of the streams; whether the rollups equal the rows they were made of; and what is unrated.

use crate::engine::Session;
use crate::error::EngineError;
use crate::rows::stored_bound;
use crate::schema::{ROLLUPS, Rollup, rollup_select};
use clickhouse::Row;
use facts::Amount;
use facts::xdr::Position;
use serde::Deserialize;

/// Up to where a stream is counted, exclusive. Streams that are not named do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub stream: String,
    pub before: Position,
}

/// Sums of one account, side, reseller level and currency.
#[derive(Row, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SideTotal {
    /// `sell` or `buy`.
    pub side: String,
    pub level: u8,
    pub account: String,
    pub currency: String,
    /// Priced sides, those with amount zero included.
    pub xdrs: i64,
    pub billed_us: i64,
    /// Net, in 10^-12, provisional amounts included.
    pub net: i128,
    /// Of `net`, what is provisional.
    pub provisional_net: i128,
    /// Tax charged per call (prepaid gross), in 10^-12.
    pub tax_total: i128,
}

impl SideTotal {
    #[must_use]
    pub fn amount(&self) -> Amount {
        Amount(self.net)
    }
}

/// Everything before the cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Current calls (a corrected call counts once).
    pub calls: i64,
    pub attempts: i64,
    /// Rows, corrections included.
    pub rows: u64,
    /// By side, level, account, currency.
    pub sides: Vec<SideTotal>,
}

#[derive(Row, Deserialize)]
struct Counts {
    calls: i64,
    attempts: i64,
    rows: u64,
}

/// Sums and counts of what stands before the cut.
pub async fn totals(session: &mut Session, site: &str, cuts: &[Cut]) -> Result<Totals, EngineError> {
    let before = condition(site, cuts);
    let counts = format!(
        "SELECT sum(sign * is_final) AS calls, sum(sign * tried) AS attempts, count() AS rows FROM attempts WHERE {before}"
    );
    let counts = session.db().query_raw(&counts).fetch_one::<Counts>().await;
    let counts = counts.map_err(|e| session.error("counting rows", &e))?;
    let sides = format!(
        "SELECT side, level, account, currency, sum(n) AS xdrs, sum(b) AS billed_us, sum(a) AS net, \
            sum(p) AS provisional_net, sum(t) AS tax_total FROM (\
            SELECT 'sell' AS side, toUInt8(0) AS level, toString(customer) AS account, \
                toString(sell_currency) AS currency, sign AS n, sign * billed_sell_us AS b, sign * sell_amount AS a, \
                if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount) AS p, sign * sell_tax AS t \
                FROM attempts WHERE is_final = 1 AND customer != '' AND {before} \
            UNION ALL \
            SELECT 'buy', toUInt8(0), toString(vendor), toString(buy_currency), sign, sign * billed_buy_us, \
                sign * buy_amount, if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount), toDecimal128(0, 12) \
                FROM attempts WHERE tried = 1 AND vendor != '' AND {before} \
            UNION ALL \
            SELECT toString(side), level, toString(account), toString(currency), sign, sign * billed_us, \
                sign * amount, if(unrated = '', toDecimal128(0, 12), sign * amount), sign * tax \
                FROM levels WHERE {before}) \
         GROUP BY side, level, account, currency ORDER BY side, level, account, currency"
    );
    let sides = session.db().query_raw(&sides).fetch_all::<SideTotal>().await;
    let sides = sides.map_err(|e| session.error("summing rows", &e))?;
    Ok(Totals { calls: counts.calls, attempts: counts.attempts, rows: counts.rows, sides })
}

fn condition(site: &str, cuts: &[Cut]) -> String {
    let quote = crate::door::quote;
    let streams: Vec<String> = cuts
        .iter()
        .map(|cut| {
            format!("(stream = {} AND (seq, idx) < ({}, {}))", quote(&cut.stream), cut.before.seq, cut.before.index)
        })
        .collect();
    let streams = if streams.is_empty() { "0".to_owned() } else { streams.join(" OR ") };
    format!("site = {} AND ({streams})", quote(site))
}

/// A rollup that differs from the rows it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupCheck {
    pub table: String,
    /// Groups that are only in one of the two, or differ in a figure.
    pub differing: u64,
}

/// Compares every rollup with the base table, group by group. All zero: they tie.
pub async fn check_rollups(session: &mut Session) -> Result<Vec<RollupCheck>, EngineError> {
    let mut checks = Vec::new();
    for Rollup { table, keys } in ROLLUPS {
        let Some(select) = rollup_select(table, "1") else { continue };
        let figures = FIGURES.iter().map(|f| format!("sum({f}) AS s_{f}")).collect::<Vec<_>>().join(", ");
        let opposite = FIGURES.iter().map(|f| format!("-{f} AS {f}")).collect::<Vec<_>>().join(", ");
        let any = FIGURES.iter().map(|f| format!("s_{f} != 0")).collect::<Vec<_>>().join(" OR ");
        let plain = FIGURES.join(", ");
        let sql = format!(
            "SELECT count() FROM (SELECT {keys}, {figures} FROM (\
                SELECT {keys}, {plain} FROM {table} \
                UNION ALL SELECT {keys}, {opposite} FROM ({select})) GROUP BY {keys} HAVING {any})"
        );
        let client = session.db().with_setting("max_execution_time", "3600");
        let differing = client.query_raw(&sql).fetch_one::<u64>().await;
        let differing = differing.map_err(|e| session.error("comparing a rollup with its rows", &e))?;
        checks.push(RollupCheck { table: (*table).to_owned(), differing });
    }
    Ok(checks)
}

const FIGURES: [&str; 11] = [
    "calls_n",
    "answered_n",
    "talk_sum",
    "billed_sell_sum",
    "billed_buy_sum",
    "pdd_sum",
    "pdd_n",
    "revenue",
    "cost",
    "revenue_provisional",
    "cost_provisional",
];

/// Unrated sides of one reason.
#[derive(Row, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct SuspenseRow {
    pub reason: String,
    pub side: String,
    pub account: String,
    pub currency: String,
    pub sides: i64,
    /// Microseconds of talk.
    pub talk: i64,
    /// In 10^-12.
    pub provisional: i128,
}

/// What could not be priced, by cause; calls that began in `from..until` (microseconds).
pub async fn suspense(session: &mut Session, from: i64, until: i64) -> Result<Vec<SuspenseRow>, EngineError> {
    let time = "started >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') \
        AND started < fromUnixTimestamp64Micro({until:Int64}, 'UTC')";
    let sql = format!(
        "SELECT reason, side, account, currency, sum(n) AS sides, sum(t) AS talk, sum(a) AS provisional FROM (\
            SELECT toString(sell_unrated) AS reason, 'sell' AS side, toString(customer) AS account, \
                toString(sell_currency) AS currency, sign AS n, sign * talk_us AS t, sign * sell_amount AS a \
                FROM attempts WHERE is_final = 1 AND sell_unrated != '' AND {time} \
            UNION ALL \
            SELECT toString(buy_unrated), 'buy', toString(vendor), toString(buy_currency), sign, \
                sign * leg_talk_us, sign * buy_amount FROM attempts WHERE buy_unrated != '' AND {time}) \
         GROUP BY reason, side, account, currency HAVING sides != 0 OR provisional != 0 \
         ORDER BY reason, side, account, currency"
    );
    let query = session.db().query(&sql).param("from", stored_bound(from)).param("until", stored_bound(until));
    query.fetch_all::<SuspenseRow>().await.map_err(|e| session.error("what is unrated", &e))
}
