//! Settings of a site among others: who it is, where it listens for them, who they are. Without peers nothing of it
//! counts.

use crate::settings::{Settings, SettingsError};
use facts::Amount;
use ledger::run::Reserves;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// This site among its peers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SitesSettings {
    /// This site's number, the same in everybody's settings; the lowest wins where two sites charged one call.
    pub number: u16,
    /// Where peers reach this site. Loopback unless told otherwise.
    pub listen: SocketAddr,
    /// Certificate and key, PEM; paths that are not absolute lie in the data folder. `tandem site certificate` makes
    /// both.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The site that grants limits, for good, and at which configuration is written until that is moved; empty: the one
    /// with the lowest number. The same at all sites; never changed once accounts have limits, else these are granted
    /// twice.
    pub config_site: String,
    /// Bytes a second that are fetched from each peer at most; 0 = no limit.
    pub bandwidth: u64,
    /// Frames booked further ahead of this machine's clock are not taken.
    pub future_seconds: u32,
    /// What a postpaid account may spend beyond its rights while a site is cut off, percent of its limit over all sites
    /// (`tolerant`); prepaid accounts nothing (`strict`). The same at all sites.
    pub postpaid_reserve_percent: u32,
    /// The same in money for single accounts, prepaid ones too; "0" is `strict`. The same at all sites.
    pub reserves: BTreeMap<String, String>,
}

/// Another site.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// As in its own setting `site`.
    pub name: String,
    /// As in its own setting `sites.number`.
    pub number: u16,
    /// `https://HOST:PORT` of its `sites.listen`.
    pub url: String,
    /// The certificate that it shows, PEM; none other is accepted.
    pub certificate: PathBuf,
}

impl Default for SitesSettings {
    fn default() -> Self {
        Self {
            number: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            certificate: PathBuf::from("site/certificate.pem"),
            key: PathBuf::from("site/key.pem"),
            config_site: String::new(),
            bandwidth: 0,
            future_seconds: 60,
            postpaid_reserve_percent: 10,
            reserves: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// A path of these settings.
    pub fn site_path(&self, path: &Path) -> PathBuf {
        self.data.join(path)
    }

    /// Name of the site that writes the configuration until that is moved.
    pub fn first_config_site(&self) -> &str {
        if !self.sites.config_site.is_empty() {
            return &self.sites.config_site;
        }
        let lowest = self.peers.iter().min_by_key(|peer| peer.number);
        lowest.filter(|peer| peer.number < self.sites.number).map_or(&self.site, |peer| &peer.name)
    }

    /// Number of a site by its name.
    pub fn site_number(&self, name: &str) -> Option<u16> {
        let peer = self.peers.iter().find(|peer| peer.name == name).map(|peer| peer.number);
        peer.or_else(|| (name == self.site).then_some(self.sites.number))
    }

    /// Reserves as the ledger takes them.
    pub fn reserves(&self) -> Result<Reserves, String> {
        let amount = |(account, text): (&String, &String)| {
            let read: Result<Amount, _> = text.parse();
            let amount = read.map_err(|error| format!("{account}: {error}"))?;
            if amount < Amount::ZERO {
                Err(format!("{account}: {text} is below zero"))
            } else {
                Ok((account.into(), amount))
            }
        };
        let accounts = self.sites.reserves.iter().map(amount).collect::<Result<_, String>>()?;
        Ok(Reserves { postpaid_percent: self.sites.postpaid_reserve_percent, accounts })
    }

    pub(crate) fn check_sites(&self) -> Result<(), SettingsError> {
        let invalid = |setting, reason: String| Err(SettingsError::Invalid { setting, reason });
        for (at, peer) in self.peers.iter().enumerate() {
            let name = &peer.name;
            let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if name.is_empty() || !word(name) {
                return invalid(
                    "peers.name",
                    format!("{name:?}: letters, digits, - and _, as in the peer's own setting"),
                );
            }
            if *name == self.site || self.peers[..at].iter().any(|other| other.name == *name) {
                return invalid("peers.name", format!("{name} is named twice, or is this site itself"));
            }
            let same = |other: &PeerSettings| other.number == peer.number;
            if peer.number == 0 || peer.number == self.sites.number || self.peers[..at].iter().any(same) {
                return invalid("peers.number", format!("{name}: each site has a number of its own, from 1"));
            }
            if let Err(reason) = sites::address(&peer.url) {
                return invalid("peers.url", format!("{name}: {:?}: {reason}", peer.url));
            }
        }
        self.reserves().map_err(|reason| SettingsError::Invalid { setting: "sites.reserves", reason })?;
        if self.sites.postpaid_reserve_percent > 100 {
            return invalid("sites.postpaid_reserve_percent", "0 to 100".to_owned());
        }
        if self.sites.number == 0 {
            return invalid("sites.number", "from 1".to_owned());
        }
        let config_site = &self.sites.config_site;
        if !config_site.is_empty() && self.site_number(config_site).is_none() {
            return invalid("sites.config_site", format!("{config_site} is neither this site nor a peer"));
        }
        Ok(())
    }
}
