//! Our tables in the engine: SQL files compiled in, applied in order, each once. Nothing here is ever dropped.

use crate::door::identifier;
use crate::engine::Session;
use crate::error::EngineError;

/// The files; the position of a file, counted from 1, is its version.
const FILES: &[(&str, &str)] = &[
    ("0001_base.sql", include_str!("../sql/0001_base.sql")),
    ("0002_rollups.sql", include_str!("../sql/0002_rollups.sql")),
    ("0003_revisions.sql", include_str!("../sql/0003_revisions.sql")),
];

/// The newest schema this binary knows.
pub const VERSION: u32 = FILES.len() as u32;

/// Creates the database and applies what it does not have yet.
pub async fn apply(session: &mut Session) -> Result<(), EngineError> {
    let database = session.engine().database().to_owned();
    let create = format!("CREATE DATABASE IF NOT EXISTS {}", identifier(&database));
    let made = session.client().query_raw(&create).execute().await;
    made.map_err(|e| session.error("creating the database", &e))?;
    let found = version(session).await?;
    if found > VERSION {
        return Err(EngineError::NewerSchema { database, found, known: VERSION });
    }
    for (number, (file, text)) in (1..).zip(FILES).filter(|(number, _)| *number > found) {
        for statement in statements(text) {
            session.execute(file, statement).await?;
        }
        let note = format!(
            "INSERT INTO schema_versions SELECT {number}, generateUUIDv4(), now64(3)\
             \nSETTINGS async_insert = 0"
        );
        session.execute(file, &note).await?;
    }
    Ok(())
}

async fn version(session: &mut Session) -> Result<u32, EngineError> {
    let database = session.engine().database().to_owned();
    let there = session
        .db()
        .query("SELECT count() FROM system.tables WHERE database = {db:String} AND name = 'schema_versions'")
        .param("db", &database)
        .fetch_one::<u64>()
        .await
        .map_err(|e| session.error("looking for our tables", &e))?;
    if there == 0 {
        return Ok(0);
    }
    let found = session.db().query("SELECT max(version) FROM schema_versions").fetch_one::<u32>().await;
    found.map_err(|e| session.error("reading the schema's version", &e))
}

/// What tells this database from one made anew under the same name.
pub async fn incarnation(session: &mut Session) -> Result<String, EngineError> {
    let found = session
        .db()
        .query(
            "SELECT toString(incarnation) FROM schema_versions WHERE version = 1 ORDER BY applied, incarnation LIMIT 1",
        )
        .fetch_one::<String>()
        .await;
    found.map_err(|e| session.error("reading the database's incarnation", &e))
}

/// Splits a file into statements; a semicolon at a line's end ends one. Comments stay in.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

/// The SELECT by which a materialized view fills its table, over some of the rows of `attempts` only: rebuilding a
/// rollup is the view's own text, so that the two can never differ.
pub(crate) fn rollup_select(table: &str, condition: &str) -> Option<String> {
    let (_, text) = FILES.iter().find(|(_, text)| text.contains(&format!(" TO {table} AS")))?;
    let (_, rest) = text.split_once(&format!(" TO {table} AS"))?;
    let (select, _) = rest.split_once(";\n")?;
    Some(select.replace("FROM attempts", &format!("FROM (SELECT * FROM attempts WHERE {condition}) AS attempts")))
}

/// A table that a materialized view fills from `attempts`.
pub(crate) struct Rollup {
    pub table: &'static str,
    /// Its columns that are no sums.
    pub keys: &'static str,
}

/// All of them.
pub(crate) const ROLLUPS: &[Rollup] = &[
    Rollup { table: "calls_hourly", keys: "hour, site, customer, destination, sell_currency, buy_currency, result" },
    Rollup { table: "by_customer_hourly", keys: "hour, site, customer, sell_currency, buy_currency, result" },
    Rollup { table: "by_destination_hourly", keys: "hour, site, destination, sell_currency, buy_currency, result" },
    Rollup { table: "vendors_hourly", keys: "hour, site, vendor, destination, sell_currency, buy_currency, result" },
    Rollup { table: "by_vendor_hourly", keys: "hour, site, vendor, sell_currency, buy_currency, result" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rollup_can_be_built_again_from_its_views_own_text() {
        for Rollup { table, keys } in ROLLUPS {
            assert_eq!(FILES[1].1.matches(&format!("EXISTS {table}\n")).count(), 1);
            let select = rollup_select(table, "site = 'x'").unwrap();
            assert!(select.trim_start().starts_with("SELECT"), "{select}");
            assert_eq!(select.matches("WHERE site = 'x'").count(), 1, "{select}");
            assert!(select.ends_with(&format!("GROUP BY {keys}")), "{select}");
        }
        assert_eq!(rollup_select("nowhere", "1"), None);
    }

    #[test]
    fn files_split_into_their_statements() {
        let counts: Vec<usize> = FILES.iter().map(|(_, text)| statements(text).count()).collect();
        assert_eq!(counts, [3, 10, 1]);
        assert_eq!(statements("-- nothing\n;\nSELECT 1;\n-- end\n").collect::<Vec<_>>(), ["SELECT 1"]);
    }
}
