//! The watchdog between sites, as lines of the state of the house: a peer that is not heard is said within ten
//! seconds, with the mode this site works in, and the line goes away by itself.

use super::{orders::troubles, status};
use crate::health::{good, trouble};
use crate::node::{Node, wall_micros};
use console::source::{HealthLine, HealthState};
use sites::{GONE_MICROS, Mode, PeerStatus, Status};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a refused stranger stays on show.
const SHOWN: i64 = 600_000_000;

/// One line a peer, one for strangers.
pub fn lines(node: &Node) -> Vec<HealthLine> {
    let Some(status) = status(node) else { return Vec::new() };
    let mut lines: Vec<HealthLine> = status.peers.iter().map(|peer| line(&status, peer)).collect();
    lines.extend(node.sites.as_ref().and_then(|sites| sites.ahead()).map(|ahead| {
        let (what, advice) = (
            ahead.to_string(),
            "stop this process, move its folder aside, and take its streams back: tandem site join --lost-disk",
        );
        trouble("Own streams", HealthState::Bad, None, &what, advice)
    }));
    let recent = status.stranger.as_ref().filter(|last| wall_micros().saturating_sub(last.since) < SHOWN);
    lines.extend(recent.map(|last| {
        let what = format!("{} refused since the start; {}", status.strangers, last.why);
        let advice =
            "if that is a peer, put its certificate into the settings of both; if not, see who reaches this address";
        trouble("Sites", HealthState::Warned, time(last.since), &what, advice)
    }));
    lines
}

fn line(status: &Status, peer: &PeerStatus) -> HealthLine {
    let part = format!("Site {}", peer.name);
    if !peer.here {
        let since = peer.heard.map(|at| at + GONE_MICROS);
        let mode = match status.mode {
            Mode::Alone => {
                "this site is alone: calls and its own payments go on within its own rights, configuration and new accounts wait"
            }
            _ => "the other sites are heard: calls go on, what this one holds of rights is out of reach",
        };
        let why = peer.trouble.as_ref().map_or_else(String::new, |trouble| format!(" ({})", trouble.why));
        let what = format!("not heard of{why}; {mode}");
        let advice = "bring the site or the line to it back; both sites catch up by themselves";
        return trouble(&part, HealthState::Warned, since.and_then(time), &what, advice);
    }
    match troubles(peer).first() {
        Some((place, one)) => {
            let what = format!("{place}: {}", one.why);
            let advice = "look at the record and at that site's own health; the other streams go on, and this one does as soon as what it gives continues";
            trouble(&part, HealthState::Bad, time(one.since), &what, advice)
        }
        None => {
            let behind: u64 = peer.topics.iter().map(|topic| topic.behind).sum();
            good(&part, format!("together; {} streams held, {behind} records behind", peer.topics.len()))
        }
    }
}

fn time(micros: i64) -> Option<SystemTime> {
    Some(UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).ok()?))
}
