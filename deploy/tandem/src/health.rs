//! The state of the house: each part of the process, what is wrong with it, since when, and what to do. The console
//! shows it, `tandem up` and the single roles say on stderr when a trouble begins and when it has ended.
//!
//! Decides nothing and heals nothing: every part goes on by itself where it can; this only looks.

use crate::node::{Node, wall_micros};
use crate::output::note;
use crate::settings::{BusKind, EngineKind};
use crate::tables;
use crate::xdr_out;
use bus::BusHealth;
use console::source::{HealthLine, HealthState};
use rater::RaterStats;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two looks of the watch on stderr.
const LOOK: Duration = Duration::from_millis(500);
/// What helps when a part says no better.
const RESTART: &str = "mend the reason, then start this process again";

/// A role that has ended with an error. The others go on; it needs a person.
#[derive(Debug, Clone)]
pub struct RoleEnded {
    /// `ingest`, `rater-3`, `ledger`, `loader`, ...
    pub role: String,
    pub since: SystemTime,
    pub why: String,
}

impl std::fmt::Display for RoleEnded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.role, self.why)
    }
}

/// When a part that keeps no time itself was first seen in trouble.
pub type Noticed = Mutex<BTreeMap<String, SystemTime>>;

/// All parts of the process, troubles with their beginning.
pub fn lines(node: &Node) -> Vec<HealthLine> {
    let mut ended = node.ended();
    let mut lines = vec![bus(node)];
    let mut part = |lines: &mut Vec<HealthLine>, roles: &[&str], name: &str, usual: Option<HealthLine>| match ended
        .iter()
        .position(|one| roles.contains(&one.role.as_str()))
    {
        Some(at) => lines.push(role_ended(name, &ended.remove(at))),
        None => lines.extend(usual),
    };
    if node.ingest.is_some() {
        part(&mut lines, &["ingest"], "Ingest", ingest(node));
        lines.extend(drop_folders(node));
    }
    for (number, stats) in &node.raters {
        let name = format!("Rater {number}");
        part(&mut lines, &[&format!("rater-{number}")], &name, Some(rater(&name, *number, stats)));
    }
    part(&mut lines, &["ledger", "ledger-follower"], "Ledger", Some(ledger(node)));
    lines.extend(balances(node));
    part(&mut lines, &["loader"], "Reports", reports(node));
    if let Some(out) = &node.xdr_out {
        let roles: Vec<String> = (0..node.settings.partitions).map(|number| format!("xdr-out-{number}")).collect();
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        part(&mut lines, &roles, "xdr-out", Some(xdr_out(out)));
    }
    lines.extend(crate::peers::health::lines(node));
    lines.extend(node.runs.trouble().map(|why| {
        let (what, advice) = parts_of(&why);
        let advice =
            if advice == RESTART { "the order stands; it goes on by itself when that is mended" } else { advice };
        trouble("Runs", HealthState::Bad, None, what, advice)
    }));
    lines.extend(ended.iter().map(|one| role_ended(&one.role, one)));
    let mut noticed = node.noticed.lock().unwrap_or_else(PoisonError::into_inner);
    for line in &mut lines {
        if line.state == HealthState::Good {
            noticed.remove(&line.part);
        } else if line.since.is_empty() {
            line.since = when(*noticed.entry(line.part.clone()).or_insert_with(SystemTime::now));
        }
    }
    lines
}

/// Says on stderr what begins to be wrong and what is good again, until the process is told to stop.
pub fn watch(node: &Node) {
    let mut told: BTreeMap<String, HealthState> = BTreeMap::new();
    while !node.stop.load(Ordering::Relaxed) {
        for line in lines(node) {
            let before = told.get(&line.part).copied().unwrap_or(HealthState::Good);
            if line.state == before {
                continue;
            }
            match line.state {
                HealthState::Good => note(&format!("{}: good again at {}", line.part, now())),
                _ => note(&format!("{} since {}: {}; {}", line.part, line.since, line.detail, line.advice)),
            }
            told.insert(line.part, line.state);
        }
        std::thread::sleep(LOOK);
    }
}

pub(crate) fn good(part: &str, detail: String) -> HealthLine {
    let (since, advice) = (String::new(), String::new());
    HealthLine { part: part.to_owned(), state: HealthState::Good, detail, since, advice }
}

/// A trouble; `since` where the part knows it, else it is the first look that saw it.
pub(crate) fn trouble(
    part: &str,
    state: HealthState,
    since: Option<SystemTime>,
    what: &str,
    advice: &str,
) -> HealthLine {
    let since = since.map(when).unwrap_or_default();
    HealthLine { part: part.to_owned(), state, detail: what.to_owned(), since, advice: advice.to_owned() }
}

/// Our errors say the thing, the place and the reason first, and behind a semicolon what to do.
fn parts_of(error: &str) -> (&str, &str) {
    error.split_once("; ").unwrap_or((error, RESTART))
}

/// What the second fold found, once it has compared.
fn balances(node: &Node) -> Option<HealthLine> {
    let found = node.refold.as_ref()?.found();
    match found.unequal {
        Some(why) => {
            let (what, advice) = parts_of(&why);
            Some(trouble("Balances", HealthState::Bad, found.since, what, advice))
        }
        None if found.seq > 0 => Some(good("Balances", format!("folded again to the same up to frame {}", found.seq))),
        None => None,
    }
}

fn role_ended(part: &str, one: &RoleEnded) -> HealthLine {
    let (what, advice) = parts_of(&one.why);
    trouble(part, HealthState::Bad, Some(one.since), what, advice)
}

fn bus(node: &Node) -> HealthLine {
    let kafka = node.settings.bus.kind == BusKind::Kafka;
    match node.bus.health() {
        BusHealth::Up if kafka => good("Bus", "Kafka".to_owned()),
        BusHealth::Up => good("Bus", "embedded log".to_owned()),
        BusHealth::Away { since, why } if kafka => {
            let advice = "bring the broker back; ingest keeps records in its spool, and all goes on by itself";
            trouble("Bus", HealthState::Warned, Some(since), &format!("the broker is away: {why}"), advice)
        }
        BusHealth::Away { since, why } => {
            let log = node.settings.data.join("log");
            let advice = format!(
                "make space on the disk of {}; ingest keeps records in its spool, and all goes on by itself",
                log.display()
            );
            trouble("Bus", HealthState::Bad, Some(since), &why, &advice)
        }
        BusHealth::Failed { since, why } => {
            let (what, advice) = parts_of(&why);
            trouble("Bus", HealthState::Bad, Some(since), what, advice)
        }
    }
}

fn ingest(node: &Node) -> Option<HealthLine> {
    let stats = node.ingest.as_ref()?.shared().writer.stats();
    let away = u64::try_from(stats.away_since.load(Ordering::Relaxed)).unwrap_or(0);
    if away == 0 {
        let events = stats.events.load(Ordering::Relaxed);
        return Some(good("Ingest", format!("{events} events written since the start")));
    }
    let since = Some(UNIX_EPOCH + Duration::from_micros(away));
    if stats.waiting.load(Ordering::Relaxed) {
        let what = format!("nothing new is taken: {}", parts_of(&stats.last_trouble()).0);
        let spool = node.settings.data.join("ingest/spool");
        let advice = format!(
            "make space on the disk of {}, or bring the bus back; who sends waits or is told to send again, and all \
             goes on by itself",
            spool.display()
        );
        return Some(trouble("Ingest", HealthState::Bad, since, &what, &advice));
    }
    let spool = stats.spool_bytes.load(Ordering::Relaxed);
    let what = format!("the bus takes nothing, {spool} bytes wait in the spool");
    let advice = "mend the bus (see its line); the spool empties by itself";
    Some(trouble("Ingest", HealthState::Warned, since, &what, advice))
}

fn drop_folders(node: &Node) -> Vec<HealthLine> {
    let stuck = node.ingest.as_ref().map(|ingest| ingest.stuck()).unwrap_or_default();
    let line = |(folder, since, why): (std::path::PathBuf, SystemTime, String)| {
        let (what, advice) = parts_of(&why);
        let what = format!("{}: {what}", folder.display());
        let advice = if advice == RESTART { "mend the reason" } else { advice };
        let advice = format!("{advice}; the folder is looked at again by itself, and its files stay until then");
        trouble("Drop folder", HealthState::Bad, Some(since), &what, &advice)
    };
    stuck.into_iter().map(line).collect()
}

fn rater(part: &str, number: u32, stats: &RaterStats) -> HealthLine {
    if let Some((since, other)) = stats.rival() {
        let what = format!(
            "two raters own partition {number}: this one ({}) and {other}. They take turns; no figure changes",
            crate::node::owner()
        );
        return trouble(part, HealthState::Bad, Some(since), &what, "stop one of them; this line goes away by itself");
    }
    if let Some((since, why)) = stats.trouble_since() {
        let (what, advice) = parts_of(&why);
        let advice = if advice == RESTART { "it goes on by itself as soon as that ends" } else { advice };
        // One that works and is in trouble all the same waits for a clock that a person has to set.
        let working = stats.working.load(Ordering::Relaxed);
        let state = if working { HealthState::Bad } else { HealthState::Warned };
        return trouble(part, state, Some(since), what, advice);
    }
    let seen = stats.seen();
    let (to, frame) = stats.progress();
    good(part, format!("{} calls rated, {} open, offset {to}, frame {frame}", seen.calls, seen.open_calls))
}

fn ledger(node: &Node) -> HealthLine {
    let ledger = node.view.progress();
    match &ledger.trouble {
        Some(why) => {
            let what = format!("books nothing: {}", parts_of(why).0);
            trouble("Ledger", HealthState::Warned, None, &what, "it goes on by itself as soon as that ends")
        }
        None => good("Ledger", format!("frame {}, epoch {}", ledger.state.seq(), ledger.state.epoch())),
    }
}

fn xdr_out(out: &xdr_out::Status) -> HealthLine {
    match out.trouble() {
        Some((since, why)) => {
            let what = format!("records for others wait: {}", parts_of(&why).0);
            trouble("xdr-out", HealthState::Warned, Some(since), &what, "it goes on by itself as soon as that ends")
        }
        None => good("xdr-out", format!("{} records written since the start", out.records.load(Ordering::Relaxed))),
    }
}

/// `None` where this process has nothing to do with reports.
fn reports(node: &Node) -> Option<HealthLine> {
    Some(match (&node.engine, &node.loading) {
        _ if !node.wants_engine => return None,
        (Err(_), _) if node.settings.engine.kind == EngineKind::None => {
            good("Reports", "turned off by the settings".to_owned())
        }
        (Err(why), _) => {
            let advice = "`tandem engine fetch`, or name a library in TANDEM_CHDB or a server in the settings, then \
                          start again; calls are rated and booked all the same";
            trouble("Reports", HealthState::Bad, None, &format!("no reports: {}", parts_of(why).0), advice)
        }
        (Ok(engine), None) => good("Reports", format!("{}; another process loads", engine.place())),
        (Ok(engine), Some(loading)) => {
            let streams = loading.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match streams.iter().find_map(|stream| stream.failing.as_ref()) {
                Some((since, why)) => {
                    let what = format!("loading fails: {why}");
                    let advice = "mend the engine (space, address, password); balances are not touched, and loading \
                                  goes on by itself";
                    trouble("Reports", HealthState::Bad, Some(*since), &what, advice)
                }
                None => good("Reports", format!("{}. {}", engine.place(), tables::covers(node))),
            }
        }
    })
}

fn when(time: SystemTime) -> String {
    let micros = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    facts::time::rfc3339(i64::try_from(micros / 1_000_000 * 1_000_000).unwrap_or(0))
}

fn now() -> String {
    facts::time::rfc3339(wall_micros() / 1_000_000 * 1_000_000)
}
