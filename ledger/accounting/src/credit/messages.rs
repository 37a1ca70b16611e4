//! What sites say to one another at once, beside the frames that follow. No safety rests on a message: it makes all
//! sites show the same figures, and lets rights come before somebody is refused (design 8.6).

use super::row::Row;
use super::{LineId, SiteNo};
use facts::Amount;
use facts::ids::hash;
use serde::{Deserialize, Serialize};

/// The name of one pull: answered once, whatever is sent again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PullId(pub [u8; 16]);

impl PullId {
    /// `boot` differs from start to start of a site, so a number is never used twice.
    pub fn new(site: SiteNo, boot: u64, number: u64) -> Self {
        Self(hash("tandem.pull.v1", &[&site.to_le_bytes(), &boot.to_le_bytes(), &number.to_le_bytes()]))
    }
}

/// Totals of a site's accepted frames up to `seq`. The highest sequence wins, and before it the most orders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    pub site: SiteNo,
    /// Orders of persons that the epoch of its stream counts: one more says that its disk was lost, and that frames of
    /// this sequence may have been others before. Left out while it is 0, for older releases.
    #[serde(default, skip_serializing_if = "is_none")]
    pub orders: u64,
    pub seq: u64,
    /// Rising by line.
    pub lines: Vec<Announced>,
}

fn is_none(orders: &u64) -> bool {
    *orders == 0
}

impl Announcement {
    /// The totals on one line. Lines stand in order; whoever receives an announcement sorts it, for it trusts nobody.
    pub fn line(&self, line: &str) -> Option<&Announced> {
        self.lines.binary_search_by(|announced| announced.line.as_str().cmp(line)).ok().map(|at| &self.lines[at])
    }

    /// The first line whose totals are beyond anything that can be money: such an announcement counts for nothing.
    pub fn out_of_range(&self) -> Option<&LineId> {
        let fits = |it: &&Announced| it.row.in_range() && it.seen.iter().all(|(_, sum)| super::row::in_range(*sum));
        self.lines.iter().find(|announced| !fits(announced)).map(|announced| &announced.line)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    pub line: LineId,
    pub row: Row,
    /// Per giver: what the announcing site has seen of its Gives.
    pub seen: Vec<(SiteNo, i128)>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    Announce(Announcement),
    /// "I am short of this much": what is missing plus the asker's own debt.
    Pull {
        id: PullId,
        line: LineId,
        want: Amount,
    },
    /// Given or not, my stream up to `seq` says so; its frames follow.
    Answer {
        id: PullId,
        seq: u64,
    },
}
