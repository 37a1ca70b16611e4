//! Finding calls: by number, call id, time, account, destination, result. Each call once, as its newest revision says.

use super::table::{Kind, Table, column};
use crate::engine::Session;
use crate::error::EngineError;
use crate::rows::stored_bound;
use clickhouse::Row;
use facts::xdr::Position;
use facts::{Amount, CallId};
use serde::Deserialize;

/// Most calls of one page.
pub const PAGE_MAX: u32 = 1_000;

/// Which calls. Empty = any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    pub from: Option<i64>,
    pub until: Option<i64>,
    pub call_id: Option<CallId>,
    /// Called or calling number, whole, digits as after normalisation.
    pub number: String,
    pub customer: String,
    pub vendor: String,
    pub destination: String,
    /// Reason for which a side has no price; `any` = any of them.
    pub unrated: String,
    pub offset: u32,
    /// 0 = 100; at most [`PAGE_MAX`].
    pub limit: u32,
}

/// One call found.
#[derive(Row, Deserialize, Debug, Clone, PartialEq)]
pub struct CallRow {
    pub call_id: [u8; 16],
    /// Where its newest revision stands.
    pub stream: String,
    pub seq: u64,
    pub idx: u32,
    /// Microseconds since 1970.
    pub started: i64,
    pub caller: String,
    pub called: String,
    pub customer: String,
    /// Of the attempt that carries the result.
    pub vendor: String,
    pub destination: String,
    pub answered: u8,
    pub code: u16,
    pub attempts_made: u64,
    pub talk_us: i64,
    pub sell_amount: i128,
    pub sell_currency: String,
    pub sell_unrated: String,
    /// Over all attempts, in 10^-12 of the final attempt's currency.
    pub buy_total: i128,
    pub buy_currency: String,
    pub buy_unrated: String,
    pub estimated: u8,
}

impl CallRow {
    #[must_use]
    pub fn position(&self) -> Position {
        Position { seq: self.seq, index: self.idx }
    }
}

/// Newest calls first.
pub async fn search(session: &mut Session, search: &Search) -> Result<Vec<CallRow>, EngineError> {
    let limit = if search.limit == 0 { 100 } else { search.limit.min(PAGE_MAX) };
    let on_call = conditions(search, false);
    let on_any = conditions(search, true);
    // Candidates by any revision, then the revision of each that nothing has taken back, then the question again: a
    // corrected call is found by what holds now. Rows of before there were pointers go by their place in the stream.
    let one_each = if search.vendor.is_empty() && search.unrated.is_empty() {
        ("AND is_final = 1", "")
    } else {
        ("", "LIMIT 1 BY call_id")
    };
    let sql = format!(
        "WITH candidates AS (\
            SELECT call_id FROM attempts WHERE sign = 1 {only} AND {on_any} ORDER BY started DESC {once} LIMIT {candidates}), \
        newest AS (\
            SELECT * FROM attempts WHERE sign = 1 AND is_final = 1 AND call_id IN (SELECT call_id FROM candidates) \
                AND (call_id, toString(stream), seq, idx) NOT IN (\
                    SELECT call_id, toString(of_stream), of_seq, of_idx FROM attempts \
                    WHERE sign = -1 AND call_id IN (SELECT call_id FROM candidates)) \
            ORDER BY call_id, seq DESC, idx DESC LIMIT 1 BY call_id), \
        made AS (\
            SELECT call_id AS c, toString(stream) AS t, seq AS s, idx AS i, sum(tried) AS n, sum(buy_amount) AS b, \
                groupUniqArray(toString(vendor)) AS vendors, groupUniqArray(toString(buy_unrated)) AS reasons FROM attempts \
            WHERE sign = 1 AND (call_id, toString(stream), seq, idx) IN (\
                SELECT call_id, toString(stream), seq, idx FROM newest) GROUP BY c, t, s, i) \
        SELECT call_id, toString(stream) AS stream, seq, idx, started, caller, called, \
            toString(customer) AS customer, toString(vendor) AS vendor, toString(destination) AS destination, \
            answered, code, made.n AS attempts_made, talk_us, sell_amount, toString(sell_currency) AS sell_currency, \
            toString(sell_unrated) AS sell_unrated, made.b AS buy_total, toString(buy_currency) AS buy_currency, \
            toString(buy_unrated) AS buy_unrated, estimated \
        FROM newest INNER JOIN made ON call_id = made.c AND toString(newest.stream) = made.t AND seq = made.s AND idx = made.i \
        WHERE {on_call} ORDER BY started DESC, call_id LIMIT {limit} OFFSET {offset}",
        only = one_each.0,
        once = one_each.1,
        // Corrected calls may fall out again; there are few.
        candidates = u64::from(limit) * 2 + u64::from(search.offset) * 2 + 1_000,
        offset = search.offset,
    );
    let query = bind(session.db().query(&sql), search);
    query.fetch_all::<CallRow>().await.map_err(|e| session.error("searching calls", &e))
}

/// `any_row`: also what stands on the rows of single attempts.
fn conditions(search: &Search, any_row: bool) -> String {
    let mut all = vec!["1".to_owned()];
    if search.from.is_some() {
        all.push("attempts.started >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')".to_owned());
    }
    if search.until.is_some() {
        all.push("attempts.started < fromUnixTimestamp64Micro({until:Int64}, 'UTC')".to_owned());
    }
    if search.call_id.is_some() {
        all.push("call_id = unhex({call:String})".to_owned());
    }
    if !search.number.is_empty() {
        all.push("(called = {number:String} OR caller = {number:String})".to_owned());
    }
    if !search.customer.is_empty() {
        all.push("attempts.customer = {customer:String}".to_owned());
    }
    if !search.destination.is_empty() {
        all.push("attempts.destination = {destination:String}".to_owned());
    }
    if !search.vendor.is_empty() {
        let here = if any_row { "attempts.vendor = {vendor:String}" } else { "has(made.vendors, {vendor:String})" };
        all.push(here.to_owned());
    }
    all.extend(match (search.unrated.as_str(), any_row) {
        ("", _) => None,
        ("any", true) => Some("(sell_unrated != '' OR buy_unrated != '')".to_owned()),
        ("any", false) => Some("(sell_unrated != '' OR arrayExists(r -> r != '', made.reasons))".to_owned()),
        (_, true) => Some("(sell_unrated = {unrated:String} OR buy_unrated = {unrated:String})".to_owned()),
        (_, false) => Some("(sell_unrated = {unrated:String} OR has(made.reasons, {unrated:String}))".to_owned()),
    });
    let text = all.join(" AND ");
    if any_row { text } else { text.replace("attempts.", "newest.") }
}

fn bind(mut query: clickhouse::query::Query, search: &Search) -> clickhouse::query::Query {
    if let Some(from) = search.from {
        query = query.param("from", stored_bound(from));
    }
    if let Some(until) = search.until {
        query = query.param("until", stored_bound(until));
    }
    if let Some(id) = search.call_id {
        query = query.param("call", id.to_string());
    }
    for (name, value) in [
        ("number", &search.number),
        ("customer", &search.customer),
        ("destination", &search.destination),
        ("vendor", &search.vendor),
        ("unrated", &search.unrated),
    ] {
        if !value.is_empty() {
            query = query.param(name, value);
        }
    }
    query
}

/// Calls as columns and text; `call_id` leads to the call's page.
#[must_use]
pub fn table(calls: &[CallRow]) -> Table {
    let row = |c: &CallRow| {
        vec![
            facts::time::rfc3339(c.started),
            c.caller.clone(),
            c.called.clone(),
            c.customer.clone(),
            c.vendor.clone(),
            c.destination.clone(),
            if c.answered == 1 { "answered".to_owned() } else { format!("{}", c.code) },
            c.attempts_made.to_string(),
            facts::time::seconds(c.talk_us),
            Amount(c.sell_amount).to_string(),
            c.sell_currency.clone(),
            Amount(c.buy_total).to_string(),
            c.buy_currency.clone(),
            c.sell_unrated.clone(),
            c.buy_unrated.clone(),
            CallId(c.call_id).to_string(),
        ]
    };
    Table {
        columns: vec![
            column("started_at", "Start (UTC)", Kind::Instant),
            column("caller", "Caller", Kind::Text),
            column("called", "Called", Kind::Text),
            column("customer", "Customer", Kind::Text),
            column("vendor", "Vendor", Kind::Text),
            column("destination", "Destination", Kind::Text),
            column("result", "Result", Kind::Text),
            column("attempts", "Attempts", Kind::Count),
            column("talk", "Talk", Kind::Duration),
            column("sell", "Sell", Kind::Money),
            column("sell_currency", "", Kind::Text),
            column("buy", "Buy", Kind::Money),
            column("buy_currency", "", Kind::Text),
            column("sell_unrated", "Sell unrated", Kind::Text),
            column("buy_unrated", "Buy unrated", Kind::Text),
            column("call_id", "Call", Kind::Text),
        ],
        rows: calls.iter().map(row).collect(),
        totals: Vec::new(),
        covers: String::new(),
    }
}
