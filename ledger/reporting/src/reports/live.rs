//! The live series: calls, answers and margin per minute.

use crate::engine::Session;
use crate::error::EngineError;
use crate::rows::stored_bound;
use clickhouse::Row;
use facts::{Amount, Currency};
use serde::Deserialize;

/// One minute.
#[derive(Row, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct LiveMinute {
    /// Unix seconds of its start.
    pub minute: u32,
    pub calls: i64,
    pub answered_calls: i64,
    /// In 10^-12 of the currency asked for; sides in other currencies are not in it.
    pub margin: i128,
}

impl LiveMinute {
    #[must_use]
    pub fn margin(&self) -> Amount {
        Amount(self.margin)
    }
}

/// Minutes with calls that began in `from..until` (microseconds), in order; minutes without any are left out.
pub async fn live(
    session: &mut Session,
    from: i64,
    until: i64,
    currency: Currency,
) -> Result<Vec<LiveMinute>, EngineError> {
    let sql = "SELECT toUnixTimestamp(toStartOfMinute(started)) AS minute, sum(sign * is_final) AS calls, \
        sum(sign * answered) AS answered_calls, \
        sum(if(sell_currency = {currency:String}, sign * sell_amount, toDecimal128(0, 12))) \
        - sum(if(buy_currency = {currency:String}, sign * buy_amount, toDecimal128(0, 12))) AS margin \
        FROM attempts WHERE started >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') \
        AND started < fromUnixTimestamp64Micro({until:Int64}, 'UTC') GROUP BY minute ORDER BY minute";
    let query = session
        .db()
        .query(sql)
        .param("from", stored_bound(from))
        .param("until", stored_bound(until))
        .param("currency", currency.as_str());
    query.fetch_all::<LiveMinute>().await.map_err(|e| session.error("the live series", &e))
}
