//! What the loader says to the engine: insert a range under its token, take it out again, build rollups anew.

use super::LoadError;
use super::revisions::{Here, History, Place};
use crate::engine::Session;
use crate::error::EngineError;
use crate::rows::{AttemptRow, LevelRow};
use crate::schema::{ROLLUPS, Rollup, rollup_select};
use clickhouse::{Client, Row, RowWrite};
use facts::CallId;
use facts::xdr::Position;
use std::collections::HashMap;

/// The range of one stream that is on its way.
pub struct Range<'a> {
    pub site: &'a str,
    pub stream: &'a str,
    /// Which loading of the stream from its start this is.
    pub load: u64,
    pub from: Position,
    pub to: Position,
    /// Above 0: loaded again after a repair; the old token must not swallow it.
    pub again: u32,
}

impl Range<'_> {
    /// Same range, same token, for ever. Rows of one schema version differ from those of another.
    fn token(&self, table: &str) -> String {
        let again = if self.again == 0 { String::new() } else { format!("/again-{}", self.again) };
        let (from, to) = (self.from, self.to);
        let Self { stream, load, .. } = self;
        format!("{stream}/{load}/{}.{}-{}.{}/{table}/v1{again}", from.seq, from.index, to.seq, to.index)
    }

    /// The rows of this range, as a condition.
    fn condition(&self) -> Condition {
        Condition {
            site: self.site.to_owned(),
            stream: self.stream.to_owned(),
            from: (self.from.seq, self.from.index),
            to: (self.to.seq, self.to.index),
        }
    }
}

struct Condition {
    site: String,
    stream: String,
    from: (u64, u32),
    to: (u64, u32),
}

const IN_RANGE: &str = "site = {site:String} AND stream = {stream:String} \
    AND (seq, idx) >= ({from_seq:UInt64}, {from_idx:UInt32}) AND (seq, idx) < ({to_seq:UInt64}, {to_idx:UInt32})";

impl Condition {
    fn bind(&self, query: clickhouse::query::Query) -> clickhouse::query::Query {
        query
            .param("site", &self.site)
            .param("stream", &self.stream)
            .param("from_seq", self.from.0)
            .param("from_idx", self.from.1)
            .param("to_seq", self.to.0)
            .param("to_idx", self.to.1)
    }
}

/// One block per range and partition, known by its token: sent twice, it counts once, in the rollups too.
fn exactly_once(client: &Client, token: &str) -> Client {
    let mut client = client.clone();
    for (name, value) in [
        ("async_insert", "0"),
        ("insert_deduplicate", "1"),
        ("deduplicate_blocks_in_dependent_materialized_views", "1"),
        ("insert_deduplication_token", token),
        ("max_insert_block_size", "1000000"),
        ("min_insert_block_size_rows", "1000000"),
        ("min_insert_block_size_bytes", "1073741824"),
        // Late calls and broken switch clocks spread a range over many months.
        ("max_partitions_per_insert_block", "0"),
        ("insert_null_as_default", "0"),
    ] {
        client = client.with_setting(name, value);
    }
    client
}

/// Sends the range under its token.
pub async fn insert(
    session: &mut Session,
    range: &Range<'_>,
    attempts: &[AttemptRow<'_>],
    levels: &[LevelRow<'_>],
) -> Result<(), EngineError> {
    let client = session.db();
    let done = send::<AttemptRow<'_>>(&exactly_once(&client, &range.token("attempts")), "attempts", attempts).await;
    done.map_err(|e| session.error("loading attempts", &e))?;
    bus::failpoint::pass("loader.attempts-sent");
    let done = send::<LevelRow<'_>>(&exactly_once(&client, &range.token("levels")), "levels", levels).await;
    done.map_err(|e| session.error("loading reseller levels", &e))
}

async fn send<R: Row + RowWrite>(client: &Client, table: &str, rows: &[R::Value<'_>]) -> clickhouse::error::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = client.insert::<R>(table).await?;
    for row in rows {
        insert.write(row).await?;
    }
    insert.end().await
}

/// Takes out whatever of the range is there, loads it anew and builds the rollups of its hours again. May be broken
/// off and begun again at any point.
pub async fn repair(
    session: &mut Session,
    range: &Range<'_>,
    attempts: &[AttemptRow<'_>],
    levels: &[LevelRow<'_>],
) -> Result<(), EngineError> {
    tracing::warn!(stream = range.stream, from = ?range.from, to = ?range.to, "range is deleted and loaded again");
    let condition = range.condition();
    let mut hours = hours_of(session, &condition).await?;
    delete(session, &condition).await?;
    insert(session, range, attempts, levels).await?;
    hours.extend(attempts.iter().map(|row| hour(row.started)));
    hours.sort_unstable();
    hours.dedup();
    rebuild(session, range.site, &hours).await
}

/// Removes every row of a stream and builds the rollups of its hours again.
pub async fn forget(session: &mut Session, site: &str, stream: &str) -> Result<(), EngineError> {
    let condition =
        Condition { site: site.to_owned(), stream: stream.to_owned(), from: (0, 0), to: (u64::MAX, u32::MAX) };
    let hours = hours_of(session, &condition).await?;
    if hours.is_empty() && count(session, "levels", &condition).await? == 0 {
        return Ok(());
    }
    tracing::warn!(stream, "rows of this stream that no note speaks of are removed and will be loaded again");
    delete(session, &condition).await?;
    rebuild(session, site, &hours).await
}

/// Seconds of the hour in which an instant of micros lies.
fn hour(micros: i64) -> u32 {
    u32::try_from(micros.div_euclid(3_600_000_000) * 3_600).unwrap_or(0)
}

async fn hours_of(session: &mut Session, condition: &Condition) -> Result<Vec<u32>, EngineError> {
    let sql =
        format!("SELECT DISTINCT toUnixTimestamp(toStartOfHour(started, 'UTC')) AS h FROM attempts WHERE {IN_RANGE}");
    let query = condition.bind(session.db().query(&sql));
    query.fetch_all::<u32>().await.map_err(|e| session.error("looking for loaded rows", &e))
}

async fn count(session: &mut Session, table: &str, condition: &Condition) -> Result<u64, EngineError> {
    let sql = format!("SELECT count() FROM {table} WHERE {IN_RANGE}");
    let query = condition.bind(session.db().query(&sql));
    query.fetch_one::<u64>().await.map_err(|e| session.error("counting loaded rows", &e))
}

async fn delete(session: &mut Session, condition: &Condition) -> Result<(), EngineError> {
    for table in ["attempts", "levels"] {
        let sql = format!("ALTER TABLE {table} DELETE WHERE {IN_RANGE}");
        let client = session.db().with_setting("mutations_sync", "2").with_setting("max_execution_time", "3600");
        let done = condition.bind(client.query(&sql)).execute().await;
        done.map_err(|e| session.error("deleting a range", &e))?;
    }
    Ok(())
}

/// Rollups of these hours from the base table, by their views' own text.
async fn rebuild(session: &mut Session, site: &str, hours: &[u32]) -> Result<(), EngineError> {
    for hours in hours.chunks(1_000) {
        let list = hours.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        for Rollup { table, .. } in ROLLUPS {
            let site = crate::door::quote(site);
            let client = session
                .db()
                .with_setting("mutations_sync", "2")
                .with_setting("max_execution_time", "3600")
                .with_setting("async_insert", "0")
                .with_setting("insert_deduplicate", "0");
            let gone = format!("ALTER TABLE {table} DELETE WHERE site = {site} AND toUnixTimestamp(hour) IN ({list})");
            let done = client.query_raw(&gone).execute().await;
            done.map_err(|e| session.error("emptying rollups", &e))?;
            let rows = format!("site = {site} AND toUnixTimestamp(toStartOfHour(started, 'UTC')) IN ({list})");
            let Some(select) = rollup_select(table, &rows) else { continue };
            let done = client.query_raw(&format!("INSERT INTO {table} {select}")).execute().await;
            done.map_err(|e| session.error("building rollups again", &e))?;
        }
    }
    Ok(())
}

/// Calls asked for at once.
pub(super) const CALLS: usize = 1_000;

/// What the engine has of these calls (all among the keys of `into`), but for what stands at or behind the present
/// range: so what is found does not depend on how often that was sent. `bounds`: first and last start of the calls.
pub(super) async fn histories(
    session: &mut Session,
    here: Here<'_>,
    calls: &[(i64, CallId)],
    bounds: Option<(i64, i64)>,
    into: &mut HashMap<CallId, History>,
) -> Result<(), LoadError> {
    let quote = crate::door::quote;
    let ids = calls.iter().map(|(_, id)| format!("unhex('{id}')")).collect::<Vec<_>>().join(", ");
    let when = bounds.map_or_else(String::new, |(first, last)| {
        let at = |micros| format!("fromUnixTimestamp64Micro({micros}, 'UTC')");
        format!("AND started BETWEEN {} AND {} ", at(first), at(last))
    });
    let condition = format!(
        "WHERE site = {} {when}AND call_id IN ({ids}) AND NOT (stream = {} AND (seq, idx) >= ({}, {}))",
        quote(here.site),
        quote(here.stream),
        here.from.seq,
        here.from.index,
    );
    let client = session.db();
    let attempts = format!("SELECT ?fields FROM attempts {condition} ORDER BY stream, seq, idx, attempt");
    let read = fetch::<AttemptRow<'_>>(&client, &attempts, |row| {
        let Some(history) = into.get_mut(&CallId(row.call_id)) else { return };
        let place = |stream: &str, seq, index| Place { stream: stream.to_owned(), at: Position { seq, index } };
        let at = place(&row.stream, row.seq, row.idx);
        if row.sign > 0 {
            history.revisions.entry(at).or_default().0.push(row.owned());
        } else {
            history.replaced.insert(place(&row.of_stream, row.of_seq, row.of_idx), at);
        }
    });
    read.await.map_err(|e| session.error("reading rows to be corrected", &e))?;
    let levels = format!("SELECT ?fields FROM levels {condition} AND sign = 1 ORDER BY stream, seq, idx, level");
    let read = fetch::<LevelRow<'_>>(&client, &levels, |row| {
        let at = Place { stream: row.stream.to_string(), at: Position { seq: row.seq, index: row.idx } };
        if let Some((_, levels)) = into.get_mut(&CallId(row.call_id)).and_then(|h| h.revisions.get_mut(&at)) {
            levels.push(row.owned());
        }
    });
    read.await.map_err(|e| session.error("reading rows to be corrected", &e))?;
    Ok(())
}

async fn fetch<R>(client: &Client, sql: &str, mut each: impl FnMut(R::Value<'_>)) -> clickhouse::error::Result<()>
where
    R: clickhouse::RowRead,
{
    let mut rows = client.query(sql).fetch::<R>()?;
    while let Some(row) = rows.next().await? {
        each(row);
    }
    Ok(())
}
