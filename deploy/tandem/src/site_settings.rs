//! Settings of a site among others: who it is, where it listens for them, who they are. Without peers nothing of it
//! counts.

use crate::settings::{Settings, SettingsError};
use accounting::vouchers::Vouchers;
use facts::{Amount, Currency};
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
    /// Carry out runs (re-rating, recycling, undo) that are ordered at a peer, over the calls booked here.
    pub take_runs: bool,
    /// What a postpaid account may spend beyond its rights while a site is cut off, percent of its limit over all sites
    /// (`tolerant`); prepaid accounts nothing (`strict`). The same at all sites.
    pub postpaid_reserve_percent: u32,
    /// The same in money for single accounts, prepaid ones too; "0" is `strict`. The same at all sites.
    pub reserves: BTreeMap<String, String>,
    /// Parts of caps (calls at once, calls a second, daily spend) by site name; one that is not named has one part. The
    /// same at all sites, else more is allowed in all than the caps say, or less.
    pub shares: BTreeMap<String, u32>,
    /// Where vouchers may be redeemed. The same at all sites.
    pub vouchers: VoucherSettings,
}

/// Where vouchers may be redeemed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoucherSettings {
    /// Worth at most so much, by currency: at any site, also while it is cut off. Left out: only at the owner's.
    pub anywhere_up_to: BTreeMap<String, String>,
    /// Beginning of codes and name of the site that owns them; others are the configuration's site's.
    pub owners: BTreeMap<String, String>,
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
    /// What stands before the names of its topics where MirrorMaker brings its ledger and its rated calls into this
    /// site's own Kafka (`vienna.`); empty: they are fetched from it like the rest.
    #[serde(default)]
    pub mirror: String,
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
            take_runs: true,
            postpaid_reserve_percent: 10,
            reserves: BTreeMap::new(),
            shares: BTreeMap::new(),
            vouchers: VoucherSettings::default(),
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

    /// Parts of caps by site number, as the ledger takes them.
    pub fn shares(&self) -> Result<BTreeMap<u16, u32>, String> {
        let part = |(name, parts): (&String, &u32)| {
            let site = self.site_number(name).ok_or_else(|| format!("{name} is neither this site nor a peer"))?;
            if *parts > 1_000_000 { Err(format!("{name}: {parts}: at most 1000000")) } else { Ok((site, *parts)) }
        };
        let shares: BTreeMap<u16, u32> = self.sites.shares.iter().map(part).collect::<Result<_, String>>()?;
        let sites = self.peers.iter().map(|peer| peer.number).chain([self.sites.number]);
        let any = sites.into_iter().any(|site| shares.get(&site).is_none_or(|parts| *parts > 0));
        if any { Ok(shares) } else { Err("every site has 0 parts; give one of them some".to_owned()) }
    }

    /// Where vouchers may be redeemed, as the ledger takes it.
    pub fn vouchers(&self) -> Result<Vouchers, String> {
        let most = |(code, text): (&String, &String)| {
            let currency = Currency::new(code).map_err(|error| format!("anywhere_up_to: {error}"))?;
            let amount: Amount = text.parse().map_err(|error| format!("anywhere_up_to {code}: {error}"))?;
            if amount < Amount::ZERO { Err(format!("{code}: {text} is below zero")) } else { Ok((currency, amount)) }
        };
        let owner = |(begin, name): (&String, &String)| {
            let site =
                self.site_number(name).ok_or_else(|| format!("owners: {name} is neither this site nor a peer"))?;
            Ok((begin.into(), site))
        };
        let settings = &self.sites.vouchers;
        Ok(Vouchers {
            anywhere_up_to: settings.anywhere_up_to.iter().map(most).collect::<Result<_, String>>()?,
            owners: settings.owners.iter().map(owner).collect::<Result<_, String>>()?,
        })
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
            if !peer.mirror.is_empty() && self.bus.kind != crate::settings::BusKind::Kafka {
                let reason = format!("{name}: MirrorMaker copies between Kafkas, and the log here is the embedded one");
                return invalid("peers.mirror", reason);
            }
            if let Err(reason) = sites::address(&peer.url) {
                return invalid("peers.url", format!("{name}: {:?}: {reason}", peer.url));
            }
        }
        self.reserves().map_err(|reason| SettingsError::Invalid { setting: "sites.reserves", reason })?;
        self.shares().map_err(|reason| SettingsError::Invalid { setting: "sites.shares", reason })?;
        self.vouchers().map_err(|reason| SettingsError::Invalid { setting: "sites.vouchers", reason })?;
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
