//! The setting `radius`: where to listen, and which switches may ask. Text into the facts of the `radius` crate; checks
//! nothing that that crate checks.

use super::rule::EndCalls;
use radius::{Client, ClientError, Clients, Extending, KeyFrom, UserIs};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Where RADIUS is spoken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RadiusSettings {
    /// Access-Requests. Loopback unless told otherwise.
    pub listen: SocketAddr,
    /// Accounting-Requests; left out: none are taken.
    pub accounting: Option<SocketAddr>,
    /// Which calls are ended by Disconnect-Request though their seconds are not over.
    pub end_calls: EndCalls,
    /// Switches that may ask.
    pub client: Vec<ClientSettings>,
}

impl Default for RadiusSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1812)),
            accounting: None,
            end_calls: EndCalls::default(),
            client: Vec::new(),
        }
    }
}

/// One switch, or a range of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    pub name: String,
    /// `192.0.2.7` or `192.0.2.0/24`.
    pub address: String,
    /// Shared with the switch, at least 16 octets.
    pub secret: String,
    /// Its id in the configuration.
    pub switch: String,
    /// RFC 3339, inclusive; left out: always.
    #[serde(default)]
    pub from: Option<String>,
    /// RFC 3339, exclusive.
    #[serde(default)]
    pub until: Option<String>,
    /// False: requests without one are believed (BlastRADIUS).
    #[serde(default = "yes")]
    pub message_authenticator: bool,
    /// True: passwords are not looked at; false: a request with one is rejected.
    #[serde(default)]
    pub ignore_passwords: bool,
    #[serde(default)]
    pub call_key: CallKey,
    #[serde(default)]
    pub user_name: UserName,
    #[serde(default)]
    pub extend: Extend,
    /// Where CoA- and Disconnect-Requests go; left out: port 3799 of the address that asked.
    #[serde(default)]
    pub dynamic: Option<SocketAddr>,
}

impl std::fmt::Debug for ClientSettings {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSettings")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn yes() -> bool {
    true
}

/// Which attribute is the switch's own id of a call.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::enum_variant_names, reason = "as the attributes are called")]
pub enum CallKey {
    #[default]
    H323ConfId,
    SipConfId,
    CallId,
    AcctSessionId,
}

/// What `User-Name` is to the identification rules.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserName {
    #[default]
    DigestUser,
    Account,
    Trunk,
    Nothing,
}

/// How long calls go on beyond the first seconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extend {
    #[default]
    No,
    Asks,
    Told,
}

impl RadiusSettings {
    /// The clients, checked.
    pub fn clients(&self) -> Result<Clients, String> {
        let clients = self.client.iter().map(ClientSettings::client).collect::<Result<Vec<_>, _>>()?;
        Clients::new(clients).map_err(|error: ClientError| error.to_string())
    }
}

impl ClientSettings {
    fn client(&self) -> Result<Client, String> {
        let wrong = |what: &str, text: &str| format!("client {:?}: {what} {text:?} cannot be read", self.name);
        let (address, bits) = match self.address.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (&*self.address, None),
        };
        let network: IpAddr = address.parse().map_err(|_| wrong("address", &self.address))?;
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| wrong("address", &self.address))?,
            None => {
                if network.is_ipv4() {
                    32
                } else {
                    128
                }
            }
        };
        let instant = |what: &str, text: &Option<String>| match text {
            Some(text) => facts::time::parse_rfc3339(text).map(Some).ok_or_else(|| wrong(what, text)),
            None => Ok(None),
        };
        Ok(Client {
            name: self.name.clone(),
            network,
            bits,
            secret: self.secret.clone().into_bytes(),
            valid_from: instant("from", &self.from)?,
            valid_until: instant("until", &self.until)?,
            switch: self.switch.clone(),
            message_authenticator: self.message_authenticator,
            ignore_passwords: self.ignore_passwords,
            key: match self.call_key {
                CallKey::H323ConfId => KeyFrom::H323ConfId,
                CallKey::SipConfId => KeyFrom::SipConfId,
                CallKey::CallId => KeyFrom::CallId,
                CallKey::AcctSessionId => KeyFrom::AcctSessionId,
            },
            user: match self.user_name {
                UserName::DigestUser => UserIs::DigestUser,
                UserName::Account => UserIs::Account,
                UserName::Trunk => UserIs::Trunk,
                UserName::Nothing => UserIs::Nothing,
            },
            extending: match self.extend {
                Extend::No => Extending::No,
                Extend::Asks => Extending::Asks,
                Extend::Told => Extending::Told,
            },
            dynamic: self.dynamic,
        })
    }
}
