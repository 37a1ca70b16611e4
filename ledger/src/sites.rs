//! How this site stands to the others, as facts for whoever shows them: streams, rights by account, what counts twice.
//! Refreshed with every tick of the ledger's thread; nothing here is asked of another site.

use facts::{Amount, Currency};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Accounts shown, announced and compared at once.
pub const ACCOUNTS_MAX: usize = 5_000;
/// Orders that stood twice, kept after they were taken back.
pub const SETTLED_MAX: usize = 1_000;
/// Alarms kept.
pub const ALARMS_MAX: usize = 100;

/// Everything about the sites of a house as this one sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SitesStatus {
    /// This site.
    pub number: u16,
    pub name: SmolStr,
    /// Which site grants limits.
    pub config_site: u16,
    /// This ledger's last written frame and its state root, hexadecimal.
    pub seq: u64,
    pub root: String,
    pub peers: Vec<PeerStatus>,
    /// At most [`ACCOUNTS_MAX`], by name; those of whom nothing was ever said are left out.
    pub accounts: Vec<AccountRights>,
    /// Why this site takes no new calls; empty = it does.
    #[serde(default)]
    pub standing: String,
    /// While it is drained: accounts of which it still has rights to give away, as of the last tick; none = not looked yet.
    #[serde(default)]
    pub to_give: Option<u64>,
    /// Charges and orders that stand in two streams, until one is reversed.
    pub doubles: Vec<Double>,
    /// Orders that stood in two streams and were taken back at one site, newest last, at most [`SETTLED_MAX`].
    #[serde(default)]
    pub settled: Vec<Double>,
    /// Newest last, at most [`ALARMS_MAX`].
    pub alarms: Vec<String>,
}

/// Another site.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PeerStatus {
    pub number: u16,
    pub name: SmolStr,
    /// Last frame of its ledger folded here, and the state root after it, hexadecimal.
    pub folded: u64,
    pub root: String,
    /// Last frame that it has announced; none = nothing heard yet.
    pub announced: Option<u64>,
    /// RFC 3339.
    pub heard_at: String,
    /// It does not answer: the reserve may be used without asking it.
    pub silent: bool,
    /// Why its stream is not folded on, if so.
    pub trouble: Option<String>,
}

/// One account at all sites.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccountRights {
    pub account: SmolStr,
    pub currency: Currency,
    /// What this site may spend now: its rights less the debts of the others.
    pub spendable: Amount,
    /// The same, with what is left of its reserve while another site does not answer.
    pub available: Amount,
    /// Lowered limit that could not be taken yet. Known at the configuration's site.
    pub pending_lower: Amount,
    /// By number, this site too.
    pub sites: Vec<SiteRights>,
}

/// One site's part of an account.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SiteRights {
    pub site: u16,
    /// Granted of the limit by this site.
    pub limit: Amount,
    /// Owed by this site's entries; minus = paid more than charged.
    pub owed: Amount,
    pub held: Amount,
    pub given: Amount,
    pub received: Amount,
    /// `limit - owed - held - given + received`.
    pub rights: Amount,
    /// How far below zero its rights may go.
    pub reserve: Amount,
    /// How far its rights stand below zero, by its frames or what it has announced.
    pub debt: Amount,
    /// What it has announced beyond the frames folded here; minus = it has more than they show.
    pub lock: Amount,
}

/// Something that stands in two streams and counts twice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Double {
    /// `call`, `voucher`, or the kind of entry: `payment`, `refund`, `correction`.
    pub what: SmolStr,
    /// Of the call or of the order, hexadecimal.
    pub id: String,
    /// Number of the site whose entries stay.
    pub winner: u16,
    /// Number of the site that has to reverse its own.
    pub loser: u16,
    /// What the loser booked, by account.
    pub amounts: Vec<(SmolStr, Amount)>,
    /// False: both sites booked the id, with different contents.
    #[serde(default = "yes")]
    pub same: bool,
}

fn yes() -> bool {
    true
}

/// One root over the streams of all sites (number and state root, rising): equal where the same frames are folded.
pub fn merged_root(roots: &[(u16, [u8; 32])]) -> [u8; 32] {
    let mut all = blake3::Hasher::new();
    all.update(b"tandem.sites.v1");
    for (site, root) in roots {
        all.update(&site.to_le_bytes()).update(root);
    }
    *all.finalize().as_bytes()
}
