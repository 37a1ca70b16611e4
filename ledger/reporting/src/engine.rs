//! The engine as the rest of this crate sees it: one handle for a server and for the embedded child, sessions that
//! follow the child through restarts, and the schema. It never decides what is loaded or asked.

use crate::config::ReportingConfig;
use crate::door::{Embedded, EmbeddedConfig};
use crate::error::EngineError;
use crate::{fetch, schema};
use clickhouse::{Client, Compression};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest any report may run.
const QUERY_SECONDS: &str = "120";

/// A reporting engine with our schema in it. Cheap to clone; the embedded child ends with the last clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    config: ReportingConfig,
    password: String,
}

enum Place {
    Server,
    Embedded(Embedded),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Connects to the configured server, or starts the embedded engine on `data`; then brings the schema up to date.
    pub fn open(config: &ReportingConfig, data: &Path) -> Result<Self, EngineError> {
        if config.off {
            return Err(EngineError::Unavailable {
                why: "reporting is turned off (reporting.off)".to_owned(),
                advice: "take that line out of the configuration".to_owned(),
            });
        }
        if config.url.is_empty() {
            let mut embedded = EmbeddedConfig::new(fetch::find()?, data.to_owned());
            embedded.memory = config.memory_mib << 20;
            return Self::embedded(config, embedded);
        }
        if !(config.url.starts_with("http://") || config.url.starts_with("https://")) {
            return Err(EngineError::Config {
                setting: "url",
                reason: format!("{:?} does not begin with http:// or https:// (ClickHouse's HTTP port)", config.url),
            });
        }
        let password = match &config.password_file {
            None => config.password.clone(),
            Some(file) => std::fs::read_to_string(file).map_err(|e| EngineError::file(file, &e))?.trim_end().to_owned(),
        };
        Self::ready(Place::Server, config, password)
    }

    /// The embedded engine with a child started in a way of the caller's (tests of this crate).
    pub fn embedded(config: &ReportingConfig, embedded: EmbeddedConfig) -> Result<Self, EngineError> {
        Self::ready(Place::Embedded(Embedded::start(embedded)?), config, String::new())
    }

    fn ready(place: Place, config: &ReportingConfig, password: String) -> Result<Self, EngineError> {
        let this = Self { inner: Arc::new(Inner { place, config: config.clone(), password }) };
        block_on(async { schema::apply(&mut this.session()).await })?;
        Ok(this)
    }

    /// A session. Sessions keep connections that belong to the async runtime they were first used on, so each thread
    /// with a runtime of its own needs its own session.
    #[must_use]
    pub fn session(&self) -> Session {
        Session { engine: self.clone(), client: None, generation: 0 }
    }

    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        self.inner.config.database()
    }

    /// Where the engine is, for people; no secrets.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.inner.place {
            Place::Server => self.inner.config.url.clone(),
            Place::Embedded(child) => {
                let now = child.endpoint();
                format!("embedded engine {} at {}", now.version, now.url)
            }
        }
    }

    /// True for the engine in our own child process, which nobody else writes to.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self.inner.place, Place::Embedded(_))
    }

    /// Process id of the embedded child, for tests that kill it.
    #[must_use]
    pub fn child_pid(&self) -> Option<u32> {
        match &self.inner.place {
            Place::Server => None,
            Place::Embedded(child) => Some(child.pid()),
        }
    }

    /// Ends the embedded child in order and waits for it, whoever still has a hand on this engine; a server goes on.
    pub fn stop(&self) {
        if let Place::Embedded(child) = &self.inner.place {
            child.stop();
        }
    }

    /// Why the embedded child is down at this moment, if it is.
    #[must_use]
    pub fn down(&self) -> Option<String> {
        match &self.inner.place {
            Place::Server => None,
            Place::Embedded(child) => child.endpoint().down,
        }
    }
}

/// One user's way to the engine.
pub struct Session {
    engine: Engine,
    client: Option<Client>,
    generation: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("engine", &self.engine.place()).finish_non_exhaustive()
    }
}

impl Session {
    /// The client crate's handle, made anew when the embedded child has moved.
    pub fn client(&mut self) -> Client {
        let inner = &self.engine.inner;
        match &inner.place {
            Place::Embedded(child) => {
                let now = child.endpoint();
                if let Some(client) = self.client.as_ref().filter(|_| self.generation == now.generation) {
                    return client.clone();
                }
                self.generation = now.generation;
                // Loopback is faster than LZ4.
                let client = Client::default()
                    .with_url(now.url)
                    .with_user(now.user)
                    .with_password(now.password)
                    .with_compression(Compression::None);
                self.keep(client)
            }
            Place::Server => {
                if let Some(client) = &self.client {
                    return client.clone();
                }
                let mut client = Client::default().with_url(inner.config.url.clone());
                if !inner.config.user.is_empty() {
                    client = client.with_user(inner.config.user.clone()).with_password(inner.password.clone());
                }
                for (name, value) in &inner.config.settings {
                    client = client.with_setting(name, value);
                }
                self.keep(client)
            }
        }
    }

    fn keep(&mut self, client: Client) -> Client {
        let client = client.with_setting("max_execution_time", QUERY_SECONDS);
        self.client = Some(client.clone());
        client
    }

    /// The handle with our database chosen.
    pub fn db(&mut self) -> Client {
        let database = self.engine.database().to_owned();
        self.client().with_database(database)
    }

    /// Runs a statement of ours.
    pub async fn execute(&mut self, what: &str, sql: &str) -> Result<(), EngineError> {
        let done = self.db().query_raw(sql).execute().await;
        done.map_err(|e| self.error(what, &e))
    }

    /// A client error in our words.
    #[must_use]
    pub fn error(&self, what: &str, error: &clickhouse::error::Error) -> EngineError {
        if let Some(why) = self.engine.down() {
            return EngineError::Away { url: self.engine.place(), why };
        }
        EngineError::from_client(what, &self.engine.place(), error)
    }

    /// The engine it belongs to.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// Runs a future of this crate on the calling thread, for callers without a runtime. Never call it inside one.
pub fn block_on<T>(future: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| EngineError::File { path: "threads".to_owned(), reason: e.to_string() })?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
