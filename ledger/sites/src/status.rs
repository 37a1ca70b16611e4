//! How this site stands with its peers, for people and alarms. Facts only; nothing here prints.

use serde::{Deserialize, Serialize};

/// Silence after which a peer counts as gone. Asked for at least once a second, so that a site knows within 10 s.
pub const GONE_MICROS: i64 = 8_000_000;

/// Something that is wrong, and since when (microseconds since 1970).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub since: i64,
    pub why: String,
}

/// One topic of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicStatus {
    pub topic: String,
    /// Last frame held here; 0 for orders of runs, which are plain records.
    pub seq: u64,
    pub epoch: u64,
    /// Records of the peer that have not been read yet, as of its last answer.
    pub behind: u64,
    pub trouble: Option<Trouble>,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub name: String,
    pub number: u16,
    pub url: String,
    /// When anything was last heard of it, microseconds; `None`: not since this process was started.
    pub heard: Option<i64>,
    /// Heard of within the last seconds.
    pub here: bool,
    /// Why it takes no new calls, as it said last; empty = it does.
    #[serde(default)]
    pub standing: String,
    /// Newest fold version that its program folds, as of its last answer; `None`: it has not answered yet.
    pub fold: Option<u32>,
    /// Why its records cannot be fetched.
    pub trouble: Option<Trouble>,
    pub topics: Vec<TopicStatus>,
}

/// Whether a site sees the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All peers are heard.
    Together,
    /// Some are.
    Partly,
    /// None is: calls go on within this site's own rights.
    Alone,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::Partly => "partly",
            Self::Alone => "alone",
        }
    }
}

/// The site among its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub site: String,
    pub number: u16,
    pub mode: Mode,
    pub peers: Vec<PeerStatus>,
    /// Connections that showed no certificate of a peer, since the start, and the last one's reason.
    pub strangers: u64,
    pub stranger: Option<Trouble>,
    /// Records kept in quarantine, and where.
    pub quarantined: usize,
    pub quarantine: String,
}

impl Status {
    /// Everything of every peer that could be seen at its last answer is held here, and every peer has answered.
    pub fn caught_up(&self) -> bool {
        self.peers.iter().all(|peer| {
            peer.here && peer.trouble.is_none() && !peer.topics.is_empty() && peer.topics.iter().all(|t| t.behind == 0)
        })
    }
}
