//! The switches that may ask: by address and date, each with its secret and its habits. Looks up nothing and reads no
//! settings; whoever is in no client's range is not answered at all.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Shortest secret that is taken: eight octets are guessed within hours from one packet, so sixteen.
pub const SECRET_MIN: usize = 16;

/// Which attribute is the switch's own id of a call, the same as on its call records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyFrom {
    /// Cisco's `h323-conf-id`.
    #[default]
    H323ConfId,
    /// Cisco's `sip-conf-id`.
    SipConfId,
    /// Cisco's `call-id`, by its own number or as `cisco-avpair`.
    CallId,
    AcctSessionId,
}

/// What `User-Name` says about the caller's carrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UserIs {
    #[default]
    DigestUser,
    Account,
    Trunk,
    /// It says nothing: the address of `h323-remote-address` identifies.
    Nothing,
}

/// How long calls go on beyond the first seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Extending {
    /// One hold for the whole call.
    #[default]
    No,
    /// The switch asks again, with the `State` it was given.
    Asks,
    /// We extend and tell it by CoA-Request; needs its accounting starts.
    Told,
}

/// One switch, or a range of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    pub name: String,
    pub network: IpAddr,
    /// Leading bits of the network that count.
    pub bits: u8,
    pub secret: Vec<u8>,
    /// Microseconds since 1970; `None` = always.
    pub valid_from: Option<i64>,
    pub valid_until: Option<i64>,
    /// Its id in the configuration.
    pub switch: String,
    /// False: requests without a Message-Authenticator are believed.
    pub message_authenticator: bool,
    /// True: passwords that it sends are not looked at; false: a request with one is rejected, for nobody checks it.
    pub ignore_passwords: bool,
    pub key: KeyFrom,
    pub user: UserIs,
    pub extending: Extending,
    /// Where CoA- and Disconnect-Requests go; `None` = to port 3799 of the address that asked.
    pub dynamic: Option<SocketAddr>,
}

impl fmt::Debug for Client {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("name", &self.name).field("network", &self.network).finish_non_exhaustive()
    }
}

/// Why clients cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    #[error("client {0:?} has a secret of fewer than {SECRET_MIN} octets; choose a longer one")]
    Secret(String),
    #[error("client {0:?} has more bits than its address; an IPv4 network has at most 32, an IPv6 network 128")]
    Bits(String),
    #[error("client {0:?} ends before it begins")]
    Dates(String),
    #[error("clients {0:?} and {1:?} have the same addresses at the same time; nobody could tell which one asks")]
    Same(String, String),
    #[error("two clients have the name {0:?}")]
    Name(String),
}

/// All clients.
#[derive(Clone, Debug, Default)]
pub struct Clients(Vec<Client>);

impl Clients {
    /// Checks them against one another.
    pub fn new(mut clients: Vec<Client>) -> Result<Self, ClientError> {
        for client in &mut clients {
            client.network = client.network.to_canonical();
            if client.secret.len() < SECRET_MIN {
                return Err(ClientError::Secret(client.name.clone()));
            }
            if client.bits > if client.network.is_ipv4() { 32 } else { 128 } {
                return Err(ClientError::Bits(client.name.clone()));
            }
            if let (Some(from), Some(until)) = (client.valid_from, client.valid_until)
                && until <= from
            {
                return Err(ClientError::Dates(client.name.clone()));
            }
        }
        for (at, one) in clients.iter().enumerate() {
            for other in &clients[..at] {
                if one.name == other.name {
                    return Err(ClientError::Name(one.name.clone()));
                }
                let apart = |end: Option<i64>, begin: Option<i64>| matches!((end, begin), (Some(e), Some(b)) if e <= b);
                let same_time = !apart(one.valid_until, other.valid_from) && !apart(other.valid_until, one.valid_from);
                if same_time && one.bits == other.bits && covers(one, other.network) {
                    return Err(ClientError::Same(other.name.clone(), one.name.clone()));
                }
            }
        }
        Ok(Self(clients))
    }

    /// The client of an address at an instant, the narrowest network first; and its number.
    pub fn find(&self, address: IpAddr, now: i64) -> Option<(usize, &Client)> {
        let address = address.to_canonical();
        let valid = |client: &Client| {
            client.valid_from.is_none_or(|from| from <= now) && client.valid_until.is_none_or(|until| now < until)
        };
        let fit = self.0.iter().enumerate().filter(|(_, client)| valid(client) && covers(client, address));
        fit.max_by_key(|(_, client)| client.bits)
    }

    /// A client by its number.
    pub fn get(&self, number: usize) -> Option<&Client> {
        self.0.get(number)
    }

    /// The number of the first client of that name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|client| client.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.iter()
    }
}

fn covers(client: &Client, address: IpAddr) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let rest = width - u32::from(client.bits);
        rest >= 128 || one >> rest == other >> rest
    };
    match (client.network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str, network: &str, bits: u8) -> Client {
        Client {
            name: name.to_owned(),
            network: network.parse().unwrap(),
            bits,
            secret: b"0123456789abcdef".to_vec(),
            valid_from: None,
            valid_until: None,
            switch: "edge".to_owned(),
            message_authenticator: true,
            ignore_passwords: false,
            key: KeyFrom::default(),
            user: UserIs::default(),
            extending: Extending::default(),
            dynamic: None,
        }
    }

    #[test]
    fn an_address_is_one_client_and_moves_on_its_day() {
        let mut old = client("old", "192.0.2.7", 32);
        old.valid_until = Some(100);
        let mut new = client("new", "192.0.2.7", 32);
        new.valid_from = Some(100);
        let all = vec![old, new, client("range", "192.0.2.0", 24), client("six", "2001:db8::", 32)];
        let clients = Clients::new(all).unwrap();
        let name = |address: &str, now| clients.find(address.parse().unwrap(), now).map(|(_, client)| &*client.name);
        assert_eq!(name("192.0.2.7", 99), Some("old"));
        assert_eq!(name("192.0.2.7", 100), Some("new"));
        assert_eq!(name("::ffff:192.0.2.8", 0), Some("range"));
        assert_eq!(name("2001:db8:1::1", 0), Some("six"));
        assert_eq!((name("192.0.3.1", 0), name("2001:db9::", 0)), (None, None));
    }

    #[test]
    fn two_clients_at_one_address_and_short_secrets_are_refused() {
        let both = Clients::new(vec![client("a", "192.0.2.1", 24), client("b", "192.0.2.9", 24)]);
        assert_eq!(both.unwrap_err(), ClientError::Same("a".into(), "b".into()));
        let mut short = client("a", "192.0.2.1", 32);
        short.secret.truncate(15);
        assert!(!format!("{short:?}").contains("0123"), "a secret in a log");
        assert_eq!(Clients::new(vec![short]).unwrap_err(), ClientError::Secret("a".into()));
        assert_eq!(Clients::new(vec![client("a", "192.0.2.1", 33)]).unwrap_err(), ClientError::Bits("a".into()));
        let all = Clients::new(vec![client("a", "0.0.0.0", 0)]).unwrap();
        assert!(all.find("203.0.113.9".parse().unwrap(), 0).is_some());
    }
}
