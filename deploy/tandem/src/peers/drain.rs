//! `tandem site drain`: the order, and how far it has come. What follows from it is the ledger's.

use super::orders::SiteOp;
use crate::cli_site::DrainArgs;
use crate::node::{Node, wall_micros};
use crate::ops::{Answer, Op};
use crate::output::{Ending, Failure, Outcome, note};
use crate::reach;
use crate::settings::Settings;
use ledger::LedgerView;
use ledger::standing::State;
use serde::Serialize;
use std::time::Duration;

/// Longest text of who or why.
const TEXT_MAX: usize = 200;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How far a drained site is.
#[derive(Debug, Serialize)]
struct Far {
    site: String,
    /// Why it takes no new calls; empty = it does.
    standing: String,
    /// Calls and attempts for which money is set aside here.
    open_holds: usize,
    /// Records not rated, and frames of rated calls not booked.
    to_book: u64,
    /// Accounts of which it still has rights; none: not looked yet.
    to_give: Option<u64>,
    /// Peers, heard of now, that do not hold all of its streams yet: name, stream, records.
    to_copy: Vec<(String, String, u64)>,
    /// Peers that are not heard of: they get what is missing when both are there again.
    gone: Vec<String>,
    /// It may be stopped.
    done: bool,
}

/// Orders it, or ends it.
pub fn order(node: &Node, undo: bool, by: &str, reason: &str) -> Result<Answer, Failure> {
    if node.orders.is_none() {
        return Err(Failure::Usage("this process does not write the ledger; ask the one that does".to_owned()));
    }
    if by.len() > TEXT_MAX || reason.len() > TEXT_MAX {
        return Err(Failure::Usage(format!("--by and --reason have at most {TEXT_MAX} bytes")));
    }
    let now = wall_micros();
    let before = node.standing.note();
    if undo {
        if before.state_at(now) == State::Open {
            return Ok(Answer { notes: vec!["it takes calls already".to_owned()], ..Answer::default() });
        }
        node.standing.order(State::Open, by, reason, now).map_err(Failure::broken)?;
        let mut notes =
            vec![format!("site {} takes new calls again; it was: {}", node.settings.site, before.words(now))];
        if let State::Recovering { .. } = before.state_at(now) {
            notes.push("at your word: what it had set aside in frames that are lost may be sold once more".to_owned());
        }
        return Ok(Answer { notes, json: Some(serde_json::json!({ "standing": "" })), ..Answer::default() });
    }
    if let State::Recovering { .. } = before.state_at(now) {
        let why = format!("this site gives no rights away: {}", before.words(now));
        return Err(Failure::Usage(why));
    }
    if node.settings.peers.is_empty() || node.sites.is_none() {
        let why = "no process of this site exchanges with peers; start `tandem up`, and add [[peers]] to its settings";
        return Err(Failure::Usage(why.to_owned()));
    }
    if before.state_at(now) != State::Draining {
        node.standing.order(State::Draining, by, reason, now).map_err(Failure::broken)?;
    }
    far(node)
}

/// How far it is.
pub fn far(node: &Node) -> Result<Answer, Failure> {
    let now = wall_micros();
    let note = node.standing.note();
    let mut notes = Vec::new();
    let open_holds = node.view.holds(None).map_err(Failure::broken)?.len();
    let lag = node.booking()?;
    // Only after a tick of the ledger that has seen the order.
    let to_give = node.view.sites().filter(|shown| !shown.standing.is_empty()).and_then(|shown| shown.to_give);
    let (mut to_copy, mut gone) = (Vec::new(), Vec::new());
    if let Some(sites) = &node.sites {
        let own = |topic: &String| sites::belongs_to(&node.settings.site, topic);
        for topic in node.bus.topics().map_err(Failure::broken)?.into_iter().filter(own) {
            let end = node.bus.end(&topic, 0).map_err(Failure::broken)?;
            for peer in sites.acknowledged(&topic) {
                let missing = end.saturating_sub(peer.next.unwrap_or(0));
                if !peer.here && !gone.contains(&peer.peer) {
                    gone.push(peer.peer);
                } else if peer.here && missing > 0 {
                    to_copy.push((peer.peer, topic.clone(), missing));
                }
            }
        }
    }
    let all_gone = gone.len() == node.settings.peers.len();
    let draining = note.state_at(now) == State::Draining;
    let done = draining && open_holds == 0 && lag == 0 && to_give == Some(0) && to_copy.is_empty() && !all_gone;
    let site = node.settings.site.clone();
    if done {
        notes.push(format!(
            "site {site} may be stopped: no call is open, its rights are given away, its peers hold all it wrote"
        ));
        if node.config_site() == site {
            notes.push("configuration is written here: while it is stopped, move that at another site with `tandem site config-site`".to_owned());
        }
    } else if draining {
        let rights = to_give.map_or_else(|| "not looked at yet".to_owned(), |n| format!("{n} accounts"));
        let copied = to_copy.first().map_or_else(
            || "all copied".to_owned(),
            |(peer, topic, records)| format!("{records} records of {topic} to copy to {peer}"),
        );
        notes.push(format!("draining: {open_holds} holds open, {lag} to book, rights left: {rights}, {copied}"));
    } else {
        notes.push(format!("site {site} takes new calls"));
    }
    notes.extend(gone.iter().map(|name| {
        format!("site {name} is not heard of: it gets what it does not hold yet when both are there again")
    }));
    let standing = note.words(now);
    let far = Far { site, standing, open_holds, to_book: lag, to_give, to_copy, gone, done };
    let json = serde_json::to_value(&far).map_err(Failure::broken)?;
    Ok(Answer { notes, json: Some(json), differs: draining && !done, ..Answer::default() })
}

/// The command: orders, then waits until the site may be stopped.
pub fn run(settings: &Settings, args: &DrainArgs, user: fn() -> String, json: bool) -> Outcome {
    let by = args.by.clone().unwrap_or_else(user);
    let order = SiteOp::Drain { undo: args.undo, by, reason: args.reason.clone() };
    let mut answer = reach::ask(settings, &Op::Site(order))?;
    let mut said = Vec::new();
    while !args.undo && !args.no_wait && answer.differs {
        if answer.notes != said {
            answer.notes.iter().for_each(|line| note(line));
            said.clone_from(&answer.notes);
        }
        std::thread::sleep(LOOK);
        answer = reach::ask(settings, &Op::Site(SiteOp::Drained))?;
        let ended = answer.json.as_ref().is_some_and(|far| far["standing"] == "");
        if ended {
            reach::print(&answer, json)?;
            return Ok(Ending::Differs);
        }
    }
    reach::print(&answer, json)
}
