//! Settings of one process: file < environment < flags. Nothing here is business
//! configuration (accounts, decks): that is applied with `tandem apply` and lives in the `config` log.

use crate::radius::settings::RadiusSettings;
use crate::site_settings::{PeerSettings, SitesSettings};
use accounting::newcomers::NewCustomers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything a process needs to know about its surroundings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder that holds logs, raw store, snapshots, reporting engine; locked by one process.
    pub data: PathBuf,
    /// Name of this site in stream names (`ledger.SITE`).
    pub site: String,
    /// Partitions of `call-events`; fixed when the topic is made.
    pub partitions: u32,
    pub bus: BusSettings,
    pub schema_registry: Option<RegistrySettings>,
    pub engine: EngineSettings,
    pub console: ConsoleSettings,
    pub ingest: IngestSettings,
    /// Left out: nothing is published.
    pub xdr_out: Option<XdrOutSettings>,
    pub credit: CreditSettings,
    /// Left out: RADIUS is not spoken.
    pub radius: Option<RadiusSettings>,
    /// This site among others.
    pub sites: SitesSettings,
    /// The other sites; none: this site is alone by design.
    pub peers: Vec<PeerSettings>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusSettings {
    /// `embedded` or `kafka`.
    pub kind: BusKind,
    /// Copies of each partition, Kafka only.
    pub replication: i32,
    /// Any librdkafka property: bootstrap.servers, security.protocol, sasl.*, ssl.*
    pub kafka: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusKind {
    Embedded,
    Kafka,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    pub url: String,
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub password: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// `embedded`, `server` or `none`.
    pub kind: EngineKind,
    pub url: String,
    pub user: String,
    pub password: String,
    pub database: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    Embedded,
    Server,
    None,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Loopback unless told otherwise.
    pub listen: SocketAddr,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestSettings {
    pub drop: Vec<DropSettings>,
    /// Topics of other switches' events that this process reads.
    pub switch_events: Vec<SwitchEventsSettings>,
}

/// Files that appear in `folder` are read as CDRs of `switch`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropSettings {
    pub switch: String,
    pub folder: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchEventsSettings {
    pub switch: String,
    #[serde(default = "switch_events_topic")]
    pub topic: String,
}

/// Credit at call time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreditSettings {
    /// A notice when what we may still owe a vendor lasts for fewer days at the present rate; 0: none.
    pub vendor_days: u32,
    /// What customers may do who were never charged nor capped.
    pub new_customers: NewCustomers,
    /// Carriers whose accounts, in whatever currencies, draw on one line: their limits together, what we owe them counted
    /// against what they owe. Carrier and currency of the line; the same at all sites.
    pub net_positions: BTreeMap<String, String>,
}

impl CreditSettings {
    /// As the ledger takes it.
    pub fn net_positions(&self) -> Result<accounting::net::NetPositions, String> {
        let one = |(carrier, code): (&String, &String)| {
            let currency = facts::Currency::new(code).map_err(|error| format!("{carrier}: {error}"))?;
            Ok((carrier.into(), currency))
        };
        self.net_positions.iter().map(one).collect()
    }
}

impl Default for CreditSettings {
    fn default() -> Self {
        Self { vendor_days: 3, new_customers: NewCustomers::default(), net_positions: BTreeMap::new() }
    }
}

/// The plain topic of priced sides, for outsiders.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XdrOutSettings {
    #[serde(default = "xdr_out_topic")]
    pub topic: String,
    /// When the topic is made.
    #[serde(default = "one")]
    pub partitions: u32,
    /// How long records are kept, when the topic is made; left out: for ever.
    #[serde(default)]
    pub days: Option<u32>,
}

fn xdr_out_topic() -> String {
    "xdr-out".to_owned()
}

fn one() -> u32 {
    1
}

fn switch_events_topic() -> String {
    "switch-events".to_owned()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("tandem-data"),
            site: "main".to_owned(),
            partitions: 2,
            bus: BusSettings::default(),
            schema_registry: None,
            engine: EngineSettings::default(),
            console: ConsoleSettings::default(),
            ingest: IngestSettings::default(),
            xdr_out: None,
            credit: CreditSettings::default(),
            radius: None,
            sites: SitesSettings::default(),
            peers: Vec::new(),
        }
    }
}

impl Default for BusSettings {
    fn default() -> Self {
        Self { kind: BusKind::Embedded, replication: 1, kafka: BTreeMap::new() }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            kind: EngineKind::Embedded,
            url: String::new(),
            user: "default".to_owned(),
            password: String::new(),
            database: "tandem".to_owned(),
        }
    }
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}

/// Flags that override the file and the environment.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SettingsFlags {
    /// Settings file (TOML). Default: tandem.toml in the data folder, where there is one
    #[arg(long, global = true, env = "TANDEM_SETTINGS", value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Data folder
    #[arg(long, global = true, env = "TANDEM_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Name of this site
    #[arg(long, global = true, env = "TANDEM_SITE", value_name = "NAME")]
    pub site: Option<String>,
    /// Kafka bootstrap servers; chooses the Kafka bus
    #[arg(long, global = true, env = "TANDEM_KAFKA", value_name = "HOST:PORT,..")]
    pub kafka: Option<String>,
    /// Schema Registry's address
    #[arg(long, global = true, env = "TANDEM_SCHEMA_REGISTRY", value_name = "URL")]
    pub schema_registry: Option<String>,
    /// ClickHouse server's address; chooses the server instead of the embedded engine
    #[arg(long, global = true, env = "TANDEM_CLICKHOUSE", value_name = "URL")]
    pub clickhouse: Option<String>,
    #[arg(long, global = true, env = "TANDEM_CLICKHOUSE_USER", value_name = "USER", hide = true)]
    pub clickhouse_user: Option<String>,
    #[arg(
        long,
        global = true,
        env = "TANDEM_CLICKHOUSE_PASSWORD",
        value_name = "PASSWORD",
        hide = true,
        hide_env_values = true
    )]
    pub clickhouse_password: Option<String>,
    /// Topic on which every priced side is published as a plain record
    #[arg(long, global = true, env = "TANDEM_XDR_OUT", value_name = "TOPIC")]
    pub xdr_out: Option<String>,
    /// Run without a reporting engine
    #[arg(long, global = true)]
    pub no_engine: bool,
    /// Address of console and HTTP API
    #[arg(long, global = true, env = "TANDEM_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<SocketAddr>,
    /// Partitions of call-events when the topic is made
    #[arg(long, global = true, env = "TANDEM_PARTITIONS", value_name = "N")]
    pub partitions: Option<u32>,
}

/// The settings file is wrong or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("settings file {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("settings file {0}: {1}")]
    Parse(PathBuf, Box<toml::de::Error>),
    #[error("setting {setting}: {reason}")]
    Invalid { setting: &'static str, reason: String },
}

impl Settings {
    /// File, then environment and flags (clap has already put the environment beneath the flags).
    pub fn load(flags: &SettingsFlags) -> Result<Self, SettingsError> {
        let mut settings = match &flags.settings {
            Some(file) => Self::read(file)?,
            None => {
                let data = flags.data.clone().unwrap_or_else(|| Self::default().data);
                let file = data.join("tandem.toml");
                if file.exists() { Self { data, ..Self::read(&file)? } } else { Self { data, ..Self::default() } }
            }
        };
        settings.override_by(flags);
        // Children of this process, as the embedded engine, stand in other folders.
        settings.data = std::path::absolute(&settings.data).map_err(|error| {
            let reason = format!("{:?} is no path: {error}", settings.data);
            SettingsError::Invalid { setting: "data", reason }
        })?;
        settings.validate()?;
        Ok(settings)
    }

    /// The same for people to look at: secrets are stars.
    pub fn masked(&self) -> Self {
        const STARS: &str = "********";
        let mut shown = self.clone();
        let secret =
            |name: &str| ["password", "secret", "key.pem", "oauthbearer"].iter().any(|word| name.contains(word));
        for (_, value) in shown.bus.kafka.iter_mut().filter(|(name, _)| secret(name)) {
            STARS.clone_into(value);
        }
        let registry = shown.schema_registry.iter_mut().map(|registry| &mut registry.password);
        for password in registry.chain([&mut shown.engine.password]).filter(|password| !password.is_empty()) {
            STARS.clone_into(password);
        }
        for client in shown.radius.iter_mut().flat_map(|radius| &mut radius.client) {
            STARS.clone_into(&mut client.secret);
        }
        shown
    }

    fn read(file: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(file).map_err(|e| SettingsError::Read(file.to_owned(), e))?;
        toml::from_str(&text).map_err(|e| SettingsError::Parse(file.to_owned(), Box::new(e)))
    }

    fn override_by(&mut self, flags: &SettingsFlags) {
        if let Some(data) = &flags.data {
            self.data.clone_from(data);
        }
        if let Some(site) = &flags.site {
            self.site.clone_from(site);
        }
        if let Some(servers) = &flags.kafka {
            self.bus.kind = BusKind::Kafka;
            self.bus.kafka.insert("bootstrap.servers".to_owned(), servers.clone());
        }
        if let Some(url) = &flags.schema_registry {
            self.schema_registry =
                Some(RegistrySettings { url: url.clone(), user: String::new(), password: String::new() });
        }
        if let Some(url) = &flags.clickhouse {
            self.engine.kind = EngineKind::Server;
            self.engine.url.clone_from(url);
        }
        if let Some(user) = &flags.clickhouse_user {
            self.engine.user.clone_from(user);
        }
        if let Some(password) = &flags.clickhouse_password {
            self.engine.password.clone_from(password);
        }
        if let Some(topic) = &flags.xdr_out {
            let (partitions, days) = self.xdr_out.as_ref().map_or((one(), None), |it| (it.partitions, it.days));
            self.xdr_out = Some(XdrOutSettings { topic: topic.clone(), partitions, days });
        }
        if flags.no_engine {
            self.engine.kind = EngineKind::None;
        }
        if let Some(listen) = flags.listen {
            self.console.listen = listen;
        }
        if let Some(partitions) = flags.partitions {
            self.partitions = partitions;
        }
    }

    fn validate(&self) -> Result<(), SettingsError> {
        let invalid = |setting, reason: &str| Err(SettingsError::Invalid { setting, reason: reason.to_owned() });
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !word(&self.site) {
            return invalid("site", "a site's name is letters, digits, - and _, for it stands in topic names");
        }
        if self.partitions == 0 || self.partitions > 1024 {
            return invalid("partitions", "1 to 1024");
        }
        if self.bus.kind == BusKind::Kafka && !self.bus.kafka.contains_key("bootstrap.servers") {
            return invalid("bus.kafka", "\"bootstrap.servers\" is missing");
        }
        if let Some(out) = &self.xdr_out {
            let ours = ["call-events", "switch-events", "config"].contains(&out.topic.as_str())
                || ["xdrs.", "ledger.", "runs."].iter().any(|begin| out.topic.starts_with(begin));
            if ours || out.topic.is_empty() {
                return invalid("xdr_out.topic", "a topic of its own: this one is Tandem's");
            }
            if out.partitions == 0 || out.partitions > 1024 || out.days == Some(0) {
                return invalid("xdr_out", "partitions are 1 to 1024, days at least 1");
            }
        }
        if self.credit.new_customers.barred.len() > accounting::limits::BARRED_MAX {
            return invalid("credit.new_customers.barred", "at most 200 codes");
        }
        if let Err(why) = self.credit.net_positions() {
            return invalid("credit.net_positions", &why);
        }
        if let Some(Err(why)) = self.radius.as_ref().map(RadiusSettings::clients) {
            return invalid("radius", &why);
        }
        if self.engine.kind == EngineKind::Server && self.engine.url.is_empty() {
            return invalid("engine.url", "the address of the ClickHouse server is missing");
        }
        self.check_sites()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_wrong_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tandem.toml"), "site = \"vienna\"\npartitions = 8\n").unwrap();
        let flags = SettingsFlags {
            data: Some(folder.path().to_owned()),
            partitions: Some(4),
            kafka: Some("k1:9092".to_owned()),
            ..Default::default()
        };
        let settings = Settings::load(&flags).unwrap();
        assert_eq!((settings.site.as_str(), settings.partitions), ("vienna", 4));
        assert_eq!(settings.bus.kind, BusKind::Kafka);

        let relative = SettingsFlags { data: Some("some/where".into()), ..Default::default() };
        let data = Settings::load(&relative).unwrap().data;
        assert!(data.is_absolute() && data.ends_with("some/where"), "{data:?}");

        std::fs::write(folder.path().join("tandem.toml"), "sitez = \"vienna\"\n").unwrap();
        let error = Settings::load(&flags).unwrap_err().to_string();
        assert!(error.contains("unknown field `sitez`"), "{error}");
    }
}
